//! Several processes: frames between them, and processes that are killed wherever it hurts.

use super::super::ring::Step;
use super::*;

/// The path of a test in this file.
macro_rules! this {
    ($test:ident) => {
        concat!(module_path!(), "::", stringify!($test))
    };
}

const SMALL: usize = 4_096;

fn number_of(from: LinkAddress) -> u16 {
    let LinkAddress::Station(number) = from else {
        panic!("a station sends")
    };
    number as u16
}

/// In a child: sends back what comes, until an empty frame does.
fn play_echo(number: u16) {
    let device = patient(inherited(), number);
    report("open");
    let mut is_over = false;
    wait_until("the last frame", || {
        let mut answers = Vec::new();
        device.receive(Duration::from_millis(100), &mut |from, bytes| {
            is_over |= bytes.is_empty();
            answers.push(frame(from, bytes));
        });
        device.send(&answers);
        is_over
    });
    assert_eq!(device.lost(), 0);
}

#[test]
fn frames_of_all_sizes_go_to_another_process_and_back() {
    if part().is_some() {
        return play_echo(1);
    }
    let segment = ShmSegment::create(2, 1 << 16).unwrap();
    let mut echo = Process::start(
        this!(frames_of_all_sizes_go_to_another_process_and_back),
        &segment,
        "echo",
    );
    let device = patient(&segment, 0);
    echo.wait_for("open");
    let lens = (1..200)
        .chain((200..device.link().mtu).step_by(977))
        .chain([device.link().mtu]);
    for (number, len) in lens.enumerate() {
        let bytes = vec![number as u8; len];
        device.send(&[frame(to(1), bytes.clone())]);
        assert_eq!(receive(&device, 1), [(to(1), bytes)]);
    }
    let burst: Vec<_> = (1..=250_u8).map(|n| frame(to(1), vec![n; 20])).collect();
    for _ in 0..20 {
        device.send(&burst);
        let received = receive(&device, burst.len());
        assert!(
            received
                .iter()
                .map(|r| &r.1)
                .eq(burst.iter().map(|f| &f.head))
        );
    }
    device.send(&[frame(to(1), [])]);
    assert_eq!(receive(&device, 1), [(to(1), vec![])]);
    echo.finish();
    assert_eq!(device.lost(), 0);
}

const EACH: u32 = 4_000;
const WRITERS: u16 = 4;

/// In a child: numbered frames to processor 0 and to everybody.
fn play_writer(number: u16) {
    let device = patient(inherited(), number);
    // All begin at the same time: when everybody is there.
    report("open");
    receive(&device, 1);
    for count in 0..EACH {
        let bytes = count.to_be_bytes().repeat(1 + (count % 30) as usize);
        device.send(&[frame(to(0), bytes)]);
    }
    assert_eq!(device.lost(), 0);
}

#[test]
fn writers_at_once_lose_and_double_nothing() {
    if let Some(part) = part() {
        return play_writer(part.parse().unwrap());
    }
    let segment = ShmSegment::create(WRITERS + 1, SMALL).unwrap();
    let device = patient(&segment, 0);
    let mut writers: Vec<_> = (1..=WRITERS)
        .map(|number| {
            let test = this!(writers_at_once_lose_and_double_nothing);
            Process::start(test, &segment, &number.to_string())
        })
        .collect();
    writers
        .iter_mut()
        .for_each(|writer| _ = writer.wait_for("open"));
    device.send(&[frame(LinkAddress::Broadcast, "go")]);
    let mut next = [0; WRITERS as usize + 1];
    for (from, bytes) in receive(&device, WRITERS as usize * EACH as usize) {
        let next: &mut u32 = &mut next[number_of(from) as usize];
        let expected = next.to_be_bytes().repeat(1 + (*next % 30) as usize);
        assert_eq!(bytes, expected, "from {from:?}");
        *next += 1;
    }
    assert_eq!(next[1..], [EACH; WRITERS as usize]);
    writers.into_iter().for_each(Process::finish);
    assert_eq!((device.lost(), receive_now(&device)), (0, vec![]));
}

const TORN: [u8; 1_000] = [0xee; 1_000];

const STEPS: [Step; 4] = [Step::Locked, Step::Written, Step::Published, Step::Roused];

/// In a child: a writer that comes to a certain step of a record.
fn play_torn_writer(part: &str) {
    let device = patient(inherited(), 1);
    let step = STEPS.into_iter().find(|step| format!("{step:?}") == part);
    report("open");
    // A frame tells it to go on.
    receive(&device, 1);
    device
        .mapping
        .ring(0)
        .put_half(1, &TORN, step.unwrap(), || {
            report("there");
            stay()
        });
    panic!("the step was not made");
}

/// Starts a writer, lets it come to that step of a record to processor 0, and kills it there.
fn kill_a_writer(test: &str, segment: &ShmSegment, other: &ShmDevice, step: Step) {
    let mut writer = Process::start(test, segment, &format!("{step:?}"));
    writer.wait_for("open");
    other.send(&[frame(to(1), "go")]);
    writer.wait_for("there");
    writer.kill();
}

#[test]
fn a_writer_that_is_killed_in_a_record_leaves_nothing_of_it() {
    if let Some(part) = part() {
        return play_torn_writer(&part);
    }
    let test = this!(a_writer_that_is_killed_in_a_record_leaves_nothing_of_it);
    for step in [Step::Locked, Step::Written, Step::Published] {
        // With room to the end of the ring, and so that the record needs padding.
        for before in [0, 3] {
            let segment = ShmSegment::create(3, SMALL).unwrap();
            let receiver = patient(&segment, 0);
            let other = patient(&segment, 2);
            for _ in 0..before {
                other.send(&[frame(to(0), TORN)]);
                assert_eq!(receive_now(&receiver).len(), 1);
            }
            kill_a_writer(test, &segment, &other, step);
            let is_complete = step == Step::Published;
            let seen = is_complete.then(|| (to(1), TORN.to_vec()));
            assert!(receive_now(&receiver).into_iter().eq(seen), "{step:?}");
            // The others go on: as many frames as the ring has room for, many times.
            for round in 0..20_u8 {
                other.send(&[(); 9].map(|()| frame(to(0), [round; 400])));
                assert_eq!(receive_now(&receiver), vec![(to(2), vec![round; 400]); 9]);
            }
            assert_eq!(
                (other.lost(), receiver.counts().nonsense),
                (0, 0),
                "{step:?}"
            );
        }
    }
}

#[test]
fn a_receiver_is_woken_by_the_next_writer_if_the_one_who_should_was_killed() {
    if let Some(part) = part() {
        return play_torn_writer(&part);
    }
    let segment = ShmSegment::create(3, SMALL).unwrap();
    let receiver = patient(&segment, 0);
    let other = patient(&segment, 2);
    let test = this!(a_receiver_is_woken_by_the_next_writer_if_the_one_who_should_was_killed);
    std::thread::scope(|scope| {
        let start = StdInstant::now();
        let waiter = scope.spawn(|| receiver.receive(LONG, &mut |_, _| {}));
        // The kernel has put it to sleep: it is not only about to.
        wait_until("sleep", || is_asleep_in_kernel(&receiver.own()));
        kill_a_writer(test, &segment, &other, Step::Roused);
        other.send(&[frame(to(0), "up")]);
        let count = waiter.join().unwrap();
        assert!(start.elapsed() < LONG_STD / 2, "it slept to the end");
        assert_eq!(count + receive_now(&receiver).len(), 2);
    });
}

/// Whether a thread of this process sleeps on the word that receivers of the ring sleep on.
fn is_asleep_in_kernel(ring: &Ring<'_>) -> bool {
    let call = format!("{} {:#x} ", libc::SYS_futex, ring.sleep_address());
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut calls = tasks.map(|task| std::fs::read_to_string(task.path().join("syscall")));
    calls.any(|text| text.is_ok_and(|text| text.starts_with(&call)))
}

#[test]
fn a_receiver_that_was_killed_is_not_waited_for() {
    if part().is_some() {
        let _device = patient(inherited(), 1);
        report("open");
        stay()
    }
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let device = patient(&segment, 0);
    let test = this!(a_receiver_that_was_killed_is_not_waited_for);
    let mut receiver = Process::start(test, &segment, "receiver");
    receiver.wait_for("open");
    let frames = vec![frame(to(1), [0; 300]); 20];
    std::thread::scope(|scope| {
        // It is killed while a writer waits for it.
        let writer = scope.spawn(|| device.send(&frames));
        wait_until("a writer that waits", || {
            device.mapping.ring(1).is_writer_waiting()
        });
        assert!(!writer.is_finished());
        receiver.kill();
        writer.join().unwrap();
    });
    let counts = device.counts();
    assert!(counts.gone > 0);
    assert_eq!(counts.full, 0);
    // From now on nothing is even tried.
    device.send(&frames);
    assert_eq!(device.counts().gone, counts.gone + frames.len() as u64);
}

#[test]
fn a_receiver_that_sleeps_in_another_process_is_woken() {
    if part().is_some() {
        let device = patient(inherited(), 1);
        let start = StdInstant::now();
        assert_eq!(device.receive(LONG, &mut |_, _| {}), 1);
        assert!(start.elapsed() < LONG_STD / 2, "it slept to the end");
        return;
    }
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let device = patient(&segment, 0);
    let test = this!(a_receiver_that_sleeps_in_another_process_is_woken);
    let receiver = Process::start(test, &segment, "receiver");
    wait_until("sleep", || device.mapping.ring(1).is_receiver_asleep());
    device.send(&[frame(to(1), "up")]);
    receiver.finish();
}

#[test]
fn nothing_is_left_behind_whatever_dies() {
    use std::os::unix::fs::MetadataExt;
    if let Some(part) = part() {
        return play_torn_writer(&part);
    }
    let shared_files = || -> Vec<_> {
        let folder = std::fs::read_dir("/dev/shm")
            .into_iter()
            .flatten()
            .flatten();
        folder.map(|entry| entry.file_name()).collect()
    };
    let segment = ShmSegment::create(3, SMALL).unwrap();
    let devices = [patient(&segment, 0), patient(&segment, 2)];
    let test = this!(nothing_is_left_behind_whatever_dies);
    kill_a_writer(test, &segment, &devices[1], Step::Written);
    let file = std::fs::File::from(OwnedFd::from(segment));
    let inode = file.metadata().unwrap().ino();
    // No folder has a name for it, so it lasts as long as processes have it open or mapped.
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    let is_mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| {
            line.contains("flip-rings")
                && line.split_whitespace().nth(4) == Some(&inode.to_string())
        })
    };
    assert!(is_mapped());
    drop((devices, file));
    assert!(!is_mapped(), "a device leaves memory behind");
    let left: Vec<_> = shared_files()
        .into_iter()
        .filter(|name| name.to_string_lossy().contains("flip"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
