//! Devices of one process: what a network must do, and what happens at its bounds.

use super::super::ring::Step;
use super::*;

const SMALL: usize = 4_096;

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed * 31 + at * 7) as u8).collect()
}

#[test]
fn a_broadcast_reaches_everybody_else() {
    let segment = ShmSegment::create(3, SMALL).unwrap();
    let [a, b, c] = devices::<3>(&segment);
    a.send(&[
        frame(LinkAddress::Broadcast, "all"),
        frame(LinkAddress::Multicast(7), "some"),
        frame(b.station(), "you"),
    ]);
    let from_a = |text: &str| (a.station(), text.as_bytes().to_vec());
    assert_eq!(receive_now(&a), []);
    assert_eq!(
        receive_now(&b),
        [from_a("all"), from_a("some"), from_a("you")]
    );
    assert_eq!(receive_now(&c), [from_a("all"), from_a("some")]);
    assert_eq!((a.lost(), a.station()), (0, to(0)));
}

#[test]
fn every_length_arrives_unchanged_wherever_the_ring_ends() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    let mtu = a.link().mtu;
    assert_eq!(a.link(), Link::shm(SMALL / 2 - 8));
    // Records of one length wander through all places that the ring has for them.
    for step in [1, 3, 8, 13] {
        for len in (0..=mtu).step_by(step) {
            let bytes = pattern(len, len);
            a.send(&[frame(b.station(), bytes.clone())]);
            assert_eq!(receive_now(&b), [(a.station(), bytes)], "length {len}");
        }
    }
    for len in 0..64 {
        let frames: Vec<_> = (0..32)
            .map(|n| frame(b.station(), pattern(n, len)))
            .collect();
        for _ in 0..SMALL / 32 {
            a.send(&frames);
            let received = receive_now(&b);
            assert!(
                received
                    .iter()
                    .map(|r| &r.1)
                    .eq(frames.iter().map(|f| &f.head))
            );
        }
    }
    assert_eq!((a.counts(), b.counts()), Default::default());
}

#[test]
fn a_large_ring_carries_frames_as_long_as_other_networks_do() {
    let segment = ShmSegment::create(2, ShmSegment::RING_BYTES).unwrap();
    let [a, b] = devices::<2>(&segment);
    assert_eq!(a.link(), Link::shm(60 << 10));
    let bytes = pattern(1, 60 << 10);
    a.send(&[frame(b.station(), bytes.clone())]);
    assert_eq!(receive_now(&b), [(a.station(), bytes)]);
}

#[test]
fn one_call_gives_a_bounded_number_of_frames() {
    let segment = ShmSegment::create(2, 1 << 16).unwrap();
    let [a, b] = devices::<2>(&segment);
    let frames: Vec<_> = (0..200_u8).map(|n| frame(b.station(), [n])).collect();
    a.send(&frames);
    let mut numbers = Vec::new();
    let count = b.receive(LONG, &mut |_, bytes| numbers.push(bytes[0]));
    assert!((1..200).contains(&count), "{count} frames at once");
    numbers.extend(receive_now(&b).iter().map(|(_, bytes)| bytes[0]));
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

#[test]
fn what_comes_before_the_receiver_is_kept_for_it() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let a = patient(&segment, 0);
    a.send(&[frame(to(1), "early")]);
    let b = patient(&segment, 1);
    assert_eq!(receive_now(&b), [(a.station(), b"early".to_vec())]);
    assert_eq!(a.lost(), 0);
}

#[test]
fn who_never_came_is_not_waited_for() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let a = patient(&segment, 0);
    a.send(&vec![frame(to(1), [1; 100]); 100]);
    let counts = a.counts();
    assert!(counts.gone > 0);
    assert_eq!((counts.full, a.lost()), (0, counts.gone));
}

#[test]
fn a_full_ring_holds_the_writer_back() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    let frames: Vec<_> = (0..200_u8).map(|n| frame(b.station(), [n; 300])).collect();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| a.send(&frames));
        wait_until("a writer that waits", || b.own().is_writer_waiting());
        assert!(!writer.is_finished());
        let numbers: Vec<u8> = receive(&b, 200).iter().map(|(_, bytes)| bytes[0]).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        writer.join().unwrap();
    });
    assert_eq!((a.lost(), receive_now(&b)), (0, vec![]));
}

#[test]
fn what_has_no_room_in_time_is_lost_and_overwrites_nothing() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let a = ShmDevice::open(&segment, 0).unwrap();
    let b = ShmDevice::open(&segment, 1).unwrap();
    let frames: Vec<_> = (0..50_u8).map(|n| frame(b.station(), [n; 300])).collect();
    a.send(&frames);
    let room = SMALL / (300 + 8 + 4);
    let counts = a.counts();
    assert_eq!(counts.full, (50 - room) as u64);
    assert_eq!(a.lost(), counts.full);
    let expected: Received = (0..room).map(|n| (to(0), vec![n as u8; 300])).collect();
    assert_eq!(receive_now(&b), expected);
    // There is room again.
    a.send(&frames[..1]);
    assert_eq!(receive_now(&b).len(), 1);
}

#[test]
fn a_lock_that_is_kept_costs_frames_and_no_more() {
    let segment = ShmSegment::create(3, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    let other = ShmDevice::open(&segment, 2).unwrap();
    let (is_kept, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            a.mapping.ring(1).put_half(0, b"slow", Step::Locked, || {
                is_kept.store(true, Ordering::SeqCst);
                wait_until("a loss", || is_over.load(Ordering::SeqCst));
            });
        });
        wait_until("a lock", || is_kept.load(Ordering::SeqCst));
        other.send(&[(); 3].map(|()| frame(b.station(), "lost")));
        assert_eq!((other.counts().locked, other.lost()), (3, 3));
        is_over.store(true, Ordering::SeqCst);
    });
    other.send(&[frame(b.station(), "next")]);
    let expected = [(to(0), b"slow".to_vec()), (to(2), b"next".to_vec())];
    assert_eq!(receive_now(&b), expected);
}

#[test]
fn a_waiting_receiver_is_woken_by_a_frame_and_by_hand() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    let wait_asleep = || {
        let start = StdInstant::now();
        let count = b.receive(LONG, &mut |_, _| {});
        assert!(start.elapsed() < LONG_STD / 2, "nobody woke it");
        count
    };
    for _ in 0..200 {
        std::thread::scope(|scope| {
            let waiter = scope.spawn(wait_asleep);
            wait_until("sleep", || b.own().is_receiver_asleep());
            a.send(&[frame(LinkAddress::Broadcast, "up")]);
            assert_eq!(waiter.join().unwrap(), 1);
            let waiter = scope.spawn(wait_asleep);
            wait_until("sleep", || b.own().is_receiver_asleep());
            b.wake();
            assert_eq!(waiter.join().unwrap(), 0);
        });
    }
}

#[test]
fn a_wake_is_kept_for_the_next_receive_and_used_up_by_it() {
    let segment = ShmSegment::create(1, SMALL).unwrap();
    let [a] = devices::<1>(&segment);
    a.wake();
    a.wake();
    let start = StdInstant::now();
    assert_eq!(a.receive(LONG, &mut |_, _| {}), 0);
    assert!(start.elapsed() < LONG_STD / 2);
    let wait = Duration::from_millis(20);
    let start = StdInstant::now();
    assert_eq!(a.receive(wait, &mut |_, _| {}), 0);
    assert!(start.elapsed().as_micros() >= 20_000);
}

#[test]
fn a_ping_that_waits_for_its_pong_never_waits_for_a_time_out() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    const ROUNDS: usize = 5_000;
    let start = StdInstant::now();
    let next = |device: &ShmDevice| while device.receive(LONG, &mut |_, _| {}) == 0 {};
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                next(&b);
                b.send(&[frame(a.station(), "pong")]);
            }
        });
        for _ in 0..ROUNDS {
            a.send(&[frame(b.station(), "ping")]);
            next(&a);
        }
    });
    assert!(start.elapsed() < LONG_STD, "a wake-up was lost");
}

#[test]
fn threads_that_write_at_once_keep_their_order() {
    let segment = ShmSegment::create(5, SMALL).unwrap();
    let all = devices::<5>(&segment);
    let (receiver, writers) = all.split_last().unwrap();
    const EACH: u32 = 3_000;
    std::thread::scope(|scope| {
        for writer in writers {
            scope.spawn(move || {
                for number in 0..EACH {
                    let bytes = number.to_be_bytes().repeat(1 + number as usize % 40);
                    writer.send(&[frame(to(4), bytes)]);
                }
            });
        }
        let mut next = [0_u32; 4];
        for (from, bytes) in receive(receiver, 4 * EACH as usize) {
            let LinkAddress::Station(from) = from else {
                panic!("a station sends")
            };
            let next = &mut next[from as usize];
            let expected = next.to_be_bytes().repeat(1 + *next as usize % 40);
            assert_eq!(bytes, expected, "from {from}");
            *next += 1;
        }
        assert_eq!(next, [EACH; 4]);
    });
    assert!(writers.iter().all(|writer| writer.lost() == 0));
}

#[test]
fn a_frame_for_nobody_is_lost_and_counted() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    // Itself, nobody, and a number that is none.
    for station in [0, 2, u64::MAX] {
        a.send(&[frame(LinkAddress::Station(station), "x")]);
    }
    a.send(&[frame(b.station(), vec![0; a.link().mtu + 1])]);
    let counts = a.counts();
    assert_eq!((counts.gone, counts.long, a.lost()), (3, 1, 4));
    assert_eq!((receive_now(&a), receive_now(&b)), (vec![], vec![]));
}

#[test]
fn who_has_left_is_not_waited_for_and_no_part_of_everybody() {
    let segment = ShmSegment::create(3, SMALL).unwrap();
    let [a, b, c] = devices::<3>(&segment);
    let frames = vec![frame(b.station(), [0; 300]); 20];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| a.send(&frames));
        wait_until("a writer that waits", || b.own().is_writer_waiting());
        drop(b);
        writer.join().unwrap();
    });
    let counts = a.counts();
    assert!(counts.gone > 0);
    assert_eq!(counts.full, 0);
    for _ in 0..100 {
        a.send(&[frame(LinkAddress::Broadcast, [1; 300])]);
        assert_eq!(receive_now(&c), [(a.station(), vec![1; 300])]);
    }
    assert_eq!(a.counts(), counts);
}

#[test]
fn a_ring_serves_one_process_once() {
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let first = ShmDevice::open(&segment, 1).unwrap();
    let open = |number| ShmDevice::open(&segment, number).map(|_| ()).unwrap_err();
    assert!(matches!(open(1), ShmOpenError::Opened(1)));
    drop(first);
    assert!(matches!(open(1), ShmOpenError::Opened(1)));
    let none = open(2);
    assert_eq!(
        none.to_string(),
        "there is no processor 2: the segment has rings for 2, from 0"
    );
}

#[test]
fn sizes_that_make_no_segment_are_refused() {
    for (processors, ring_bytes) in [
        (0, SMALL),
        (1, 0),
        (1, 2_048),
        (1, SMALL + 8),
        (1, 1 << 31),
        (u16::MAX, 1 << 30),
    ] {
        let error = ShmSegment::create(processors, ring_bytes).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}
