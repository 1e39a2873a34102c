//! The launcher with real processes: statuses, order of output, and that nothing is left behind.
//!
//! The processors are this very executable: started with a control channel it plays a program that the tests choose by its first
//! argument. So these tests need a `main` of their own; they are still run and chosen by name as usual.
//!
//! Implements: CONTRACT.md, Output and Exit statuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use orca_rts::control_channel::{
    CONTROL_VARIABLE, Counter, FromProcessor, Inbox, Start, Stream, ToProcessor, VERSION,
};

fn main() {
    if std::env::var_os(CONTROL_VARIABLE).is_some() {
        stub::main();
    }
    let filter: Option<String> = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS {
        if filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
            continue;
        }
        let result = std::panic::catch_unwind(test);
        println!(
            "test {name} ... {}",
            if result.is_ok() { "ok" } else { "FAILED" }
        );
        passed += usize::from(result.is_ok());
        failed += usize::from(result.is_err());
    }
    println!("\ntest result: {passed} passed; {failed} failed");
    std::process::exit(i32::from(failed > 0));
}

macro_rules! tests {
    ($($name:ident,)*) => { const TESTS: &[(&str, fn())] = &[$((stringify!($name), $name)),*]; };
}

tests! {
    arguments_and_numbers_reach_every_processor,
    output_follows_cause_across_processors,
    a_long_text_arrives_whole,
    labels_name_the_writer,
    input_goes_to_processor_0_only,
    statistics_are_printed_after_the_run,
    a_run_time_error_decides_the_status,
    an_internal_error_decides_the_status,
    a_lost_processor_ends_the_run_with_71,
    an_interrupt_ends_the_run_with_130,
    a_termination_ends_the_run_with_143,
    a_time_out_ends_the_run_with_124,
    killing_the_launcher_leaves_nobody_behind,
    a_stubborn_processor_is_killed,
    a_program_that_is_not_there_is_127,
    a_file_that_is_no_program_is_126,
    a_program_that_is_not_orca_is_126,
    a_wrong_option_is_2,
    a_reader_that_goes_away_ends_the_run,
    eight_processors_start_within_100_ms,
}

struct Run {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Run {
    #[track_caller]
    fn expect(&self, code: i32, out: &str) {
        assert_eq!(self.status.code(), Some(code), "stderr: {}", self.err);
        assert_eq!(self.out, out);
    }
}

fn me() -> String {
    let path = std::env::current_exe().expect("a test knows its executable");
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn gax(options: &[&str], program: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gax"));
    command.args(options).arg(me()).args(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(options: &[&str], program: &[&str]) -> Run {
    finish(gax(options, program).spawn().expect("gax can be started"))
}

fn finish(child: Child) -> Run {
    let output = child.wait_with_output().expect("gax can be waited for");
    Run {
        status: output.status,
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Starts `n` processors that stay, and returns when all run, with the numbers of their processes in order.
fn sleepers(options: &[&str], n: usize, behaviour: &str) -> (Child, Vec<String>) {
    let n_text = n.to_string();
    let mut all = vec!["-n", &n_text];
    all.extend_from_slice(options);
    let mut child = gax(&all, &[behaviour]).spawn().expect("gax can be started");
    let mut lines = BufReader::new(child.stdout.as_mut().expect("it is piped")).lines();
    let mut pids = vec![String::new(); n];
    for _ in 0..n {
        let line = lines.next().expect("a line from each").expect("text");
        let (number, pid) = line.split_once(' ').expect("two numbers");
        pids[number.parse::<usize>().expect("a processor")] = pid.to_owned();
    }
    (child, pids)
}

/// Waits until none of these processes exists, at most two seconds.
#[track_caller]
fn expect_gone(pids: &[String]) {
    let end = Instant::now() + Duration::from_secs(2);
    for pid in pids {
        while is_alive(pid) {
            assert!(Instant::now() < end, "process {pid} was left behind");
            std::thread::yield_now();
        }
    }
}

fn is_alive(pid: &str) -> bool {
    // A dead process that its new parent has not waited for yet is gone for all purposes.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn kill(signal: &str, pid: &str) {
    let status = Command::new("kill").args([signal, pid]).status();
    assert!(status.expect("kill exists").success());
}

fn arguments_and_numbers_reach_every_processor() {
    let run = run(&["-n", "3"], &["hello", "-n", "x y"]);
    run.expect(
        0,
        "hello 0 of 3: -n,x y\nhello 1 of 3: -n,x y\nhello 2 of 3: -n,x y\n",
    );
    assert_eq!(run.err, "");
}

fn output_follows_cause_across_processors() {
    let run = run(&["-n", "4"], &["relay", "400"]);
    let expected: String = (0..400).map(|i| format!("step {i}\n")).collect();
    run.expect(0, &expected);
}

fn a_long_text_arrives_whole() {
    let run = run(&["-n", "1"], &["flood", "300000"]);
    let expected: String = (0..300_000).map(|i| format!("{i}\n")).collect();
    assert!(
        run.out == expected,
        "{} of {} bytes",
        run.out.len(),
        expected.len()
    );
    assert_eq!(run.status.code(), Some(0));
}

fn labels_name_the_writer() {
    let run = run(&["-n", "2", "--label"], &["hello"]);
    run.expect(0, "[0] hello 0 of 2: \n[1] hello 1 of 2: \n");
}

fn input_goes_to_processor_0_only() {
    let mut child = gax(&["-n", "2"], &["copy"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("gax can be started");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(b"one\ntwo\n").expect("gax reads");
    drop(input);
    finish(child).expect(0, "0: one\ntwo\n\n1: \n");
}

fn statistics_are_printed_after_the_run() {
    let json = run(&["-n", "2", "--stats=json"], &["stats"]);
    json.expect(0, "");
    let value: serde_json::Value = serde_json::from_str(&json.err).expect("JSON");
    assert_eq!(
        value["processors"][1]["counters"]["group send"]["number"],
        101
    );
    assert_eq!(value["all"]["group send"]["bytes"], 800);
    let table = run(&["-n", "2", "--stats"], &["stats"]);
    assert!(table.err.contains("group send"), "{}", table.err);
    // Nobody asked.
    assert_eq!(run(&["-n", "2"], &["stats"]).err, "");
}

fn a_run_time_error_decides_the_status() {
    let run = run(&["-n", "3"], &["error", "70"]);
    run.expect(70, "");
    assert_eq!(run.err, "Run-time error on CPU 1\n");
}

fn an_internal_error_decides_the_status() {
    let run = run(&["-n", "3"], &["exit", "75"]);
    run.expect(75, "");
}

fn a_lost_processor_ends_the_run_with_71() {
    let (child, pids) = sleepers(&[], 3, "sleep");
    kill("-9", &pids[1]);
    let begun = Instant::now();
    let run = finish(child);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(run.status.code(), Some(71));
    assert!(run.err.contains("processor 1 was lost"), "{}", run.err);
    expect_gone(&pids);
}

fn an_interrupt_ends_the_run_with_130() {
    ends_on_signal("-INT", 130);
}

fn a_termination_ends_the_run_with_143() {
    ends_on_signal("-TERM", 143);
}

fn ends_on_signal(signal: &str, status: i32) {
    let (child, pids) = sleepers(&[], 3, "sleep");
    kill(signal, &child.id().to_string());
    assert_eq!(finish(child).status.code(), Some(status));
    expect_gone(&pids);
}

fn a_time_out_ends_the_run_with_124() {
    let (child, pids) = sleepers(&["--timeout", "0.3"], 2, "sleep");
    let run = finish(child);
    assert_eq!(run.status.code(), Some(124));
    assert_eq!(run.err, "gax: time-out after 0.3 s\n");
    expect_gone(&pids);
}

fn killing_the_launcher_leaves_nobody_behind() {
    for behaviour in ["sleep", "stubborn"] {
        let (mut child, pids) = sleepers(&[], 3, behaviour);
        kill("-9", &child.id().to_string());
        child.wait().expect("it was killed");
        expect_gone(&pids);
    }
}

fn a_stubborn_processor_is_killed() {
    let (child, pids) = sleepers(&[], 2, "stubborn");
    kill("-INT", &child.id().to_string());
    assert_eq!(finish(child).status.code(), Some(130));
    expect_gone(&pids);
}

fn launch(program: &str) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_gax"))
        .args(["-n", "2", program])
        .stdin(Stdio::null())
        .output()
        .expect("gax can be started");
    Run {
        status: output.status,
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn a_program_that_is_not_there_is_127() {
    let run = launch("./no-such-program");
    run.expect(127, "");
    assert_eq!(run.err, "gax: there is no program `./no-such-program`\n");
}

fn a_file_that_is_no_program_is_126() {
    let run = launch("/etc/passwd");
    run.expect(126, "");
    assert!(
        run.err.starts_with("gax: cannot run `/etc/passwd`:"),
        "{}",
        run.err
    );
}

fn a_program_that_is_not_orca_is_126() {
    let run = launch("true");
    run.expect(126, "");
    assert!(
        run.err.contains("is it a program made by `orcac build`?"),
        "{}",
        run.err
    );
}

fn a_wrong_option_is_2() {
    let run = run(&["--lable"], &["hello"]);
    run.expect(2, "");
    assert!(run.err.contains("--label"), "{}", run.err);
}

fn a_reader_that_goes_away_ends_the_run() {
    let mut child = gax(&["-n", "1"], &["flood", "100000000"])
        .spawn()
        .expect("gax can be started");
    let mut out = child.stdout.take().expect("it is piped");
    out.read_exact(&mut [0; 10]).expect("the first numbers");
    drop(out);
    let run = finish(child);
    assert_eq!(run.status.code(), Some(70));
    assert_eq!(run.err, "");
}

fn eight_processors_start_within_100_ms() {
    // The best of several: the machine may be busy with other tests.
    let best = (0..10)
        .map(|_| {
            let begun = Instant::now();
            run(&["-n", "8"], &["hello"]);
            begun.elapsed()
        })
        .min()
        .expect("ten runs");
    assert!(best < Duration::from_millis(100), "{best:?} at best");
}

/// What the processors do.
mod stub {
    use super::*;

    /// What the launcher told.
    struct Told {
        number: u16,
        count: u16,
        start: Start,
    }

    impl std::ops::Deref for Told {
        type Target = Start;

        fn deref(&self) -> &Start {
            &self.start
        }
    }

    struct Processor {
        channel: UnixStream,
        inbox: Inbox,
        socket: UdpSocket,
    }

    impl Processor {
        fn say(&mut self, message: &FromProcessor) {
            // When the launcher is gone there is nothing left to do.
            if self.channel.write_all(&message.to_frame()).is_err() {
                std::process::exit(1);
            }
        }

        fn write(&mut self, stream: Stream, text: &str) {
            for piece in text.as_bytes().chunks(60_000) {
                self.say(&FromProcessor::Output {
                    stream,
                    at: gax::os::monotonic(),
                    text: piece.to_vec(),
                });
            }
        }

        fn receive(&mut self) -> ToProcessor {
            loop {
                if let Some(message) = self.inbox.next_to_processor().expect("gax is right") {
                    return message;
                }
                let mut buffer = [0; 4096];
                match self.channel.read(&mut buffer) {
                    Ok(n) if n > 0 => self.inbox.extend(&buffer[..n]),
                    _ => std::process::exit(1),
                }
            }
        }

        fn end(&mut self, status: u8) -> ! {
            self.say(&FromProcessor::Status(status));
            std::process::exit(i32::from(status));
        }

        /// Waits until the processor before this one has its turn; processor 0 begins.
        fn await_turn(&mut self, start: &Told, round: usize) {
            if start.number > 0 || round > 0 {
                self.socket.recv(&mut [0; 1]).expect("the turn arrives");
            }
        }

        fn pass_turn(&mut self, start: &Told) {
            let next = usize::from((start.number + 1) % start.count);
            self.socket
                .send_to(&[1], &start.peers[next][0])
                .expect("loopback works");
        }
    }

    pub(super) fn main() -> ! {
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("it is bound").to_string();
        let mut me = Processor {
            channel: descriptor.expect("a descriptor").into(),
            inbox: Inbox::new(),
            socket,
        };
        me.say(&FromProcessor::Hello { version: VERSION });
        let ToProcessor::Prepare(prepare) = me.receive() else {
            panic!("the first message must be Prepare");
        };
        me.say(&FromProcessor::Attached {
            addresses: vec![address],
        });
        let ToProcessor::Start(start) = me.receive() else {
            panic!("the second message must be Start");
        };
        let told = Told {
            number: prepare.number,
            count: prepare.count,
            start: *start,
        };
        me.say(&FromProcessor::Ready);
        play(&mut me, &told)
    }

    fn play(me: &mut Processor, start: &Told) -> ! {
        let texts: Vec<String> = start
            .arguments
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect();
        let number = |place: usize| texts[place].parse::<usize>().expect("a number");
        match texts[0].as_str() {
            "hello" => {
                me.await_turn(start, 0);
                let line = format!(
                    "hello {} of {}: {}\n",
                    start.number,
                    start.count,
                    texts[1..].join(",")
                );
                me.write(Stream::Out, &line);
                me.pass_turn(start);
            }
            "relay" => {
                let count = usize::from(start.count);
                for round in 0..number(1) / count {
                    me.await_turn(start, round);
                    let step = round * count + usize::from(start.number);
                    me.write(Stream::Out, &format!("step {step}\n"));
                    me.pass_turn(start);
                }
            }
            "flood" => {
                for i in 0..number(1) {
                    me.write(Stream::Out, &format!("{i}\n"));
                }
            }
            "copy" => {
                me.await_turn(start, 0);
                let mut all = Vec::new();
                loop {
                    me.say(&FromProcessor::InputRequest);
                    match me.receive() {
                        ToProcessor::Input(text) if text.is_empty() => break,
                        ToProcessor::Input(text) => all.extend(text),
                        other => panic!("{other:?}"),
                    }
                }
                let text = String::from_utf8(all).expect("text");
                me.write(Stream::Out, &format!("{}: {text}\n", start.number));
                me.pass_turn(start);
            }
            "stats" => {
                if start.option("stats").is_some() {
                    me.say(&FromProcessor::Stats(vec![Counter {
                        name: "group send".into(),
                        count: 100 + u64::from(start.number),
                        bytes: 400,
                    }]));
                }
            }
            "error" if start.number == 1 => {
                me.write(Stream::Err, "Run-time error on CPU 1\n");
                me.end(number(1) as u8);
            }
            "exit" if start.number == 1 => std::process::exit(number(1) as i32),
            "error" | "exit" => sleep(me),
            "sleep" => {
                me.write(
                    Stream::Out,
                    &format!("{} {}\n", start.number, std::process::id()),
                );
                sleep(me);
            }
            "stubborn" => {
                me.write(
                    Stream::Out,
                    &format!("{} {}\n", start.number, std::process::id()),
                );
                loop {
                    std::thread::park();
                }
            }
            other => panic!("no behaviour {other}"),
        }
        me.end(0)
    }

    fn sleep(me: &mut Processor) -> ! {
        while me.receive() != ToProcessor::Shutdown {}
        std::process::exit(0)
    }
}
