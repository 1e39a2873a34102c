//! Tests of the network of shared memory, and how they play several processes: a test starts its
//! own executable again, told to run that same test, with the segment as standard input and the
//! part to play in the environment. The child reports on its standard output.

mod frames;
mod hostile;
mod model;
mod processes;

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration as StdDuration, Instant as StdInstant};

use super::*;
use crate::address::NetworkId;

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(60);
const LONG_STD: StdDuration = StdDuration::from_secs(60);

const PART: &str = "FLIP_SHM_PART";

/// What a child was told to play; None in a test proper.
fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// A process that plays a part. Killed when dropped.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the part of a test, given by its path.
    fn start(test: &str, segment: &ShmSegment, part: &str) -> Process {
        let (_, test) = test.split_once("::").expect("a path with a crate");
        let segment = segment.as_fd().try_clone_to_owned().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .stdin(Stdio::from(segment))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Process { child, lines }
    }

    /// Reads up to a report, and returns what follows its first word.
    fn wait_for(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let len = self.lines.read_line(&mut line).unwrap();
            assert!(len > 0, "a child ended before it said {word}");
            if let Some(rest) = line.strip_prefix(&format!("@{word}")) {
                return rest.trim().to_owned();
            }
        }
    }

    /// `kill -9`, and waits for the end.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for an end without failure.
    fn finish(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a child failed: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a child: the segment that it was given.
fn inherited() -> OwnedFd {
    std::io::stdin().as_fd().try_clone_to_owned().unwrap()
}

/// In a child: tells the test. The harness may have begun a line.
fn report(text: &str) {
    let mut stdout = std::io::stdout();
    write!(stdout, "\n@{text}\n").unwrap();
    stdout.flush().unwrap();
}

/// In a child: stays until it is killed, or its test has ended for whatever reason.
fn stay() -> ! {
    let mut out = std::io::stdout();
    wait_until("the end of the test", || {
        writeln!(out, "still here")
            .and_then(|()| out.flush())
            .is_err()
    });
    std::process::exit(1)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = StdInstant::now() + LONG_STD;
    while !is_so() {
        assert!(StdInstant::now() < until, "no sign of {what}");
        std::thread::yield_now();
    }
}

fn frame(to: LinkAddress, bytes: impl Into<Vec<u8>>) -> Frame {
    Frame::new(NetworkId(0), to, bytes.into())
}

fn to(number: u16) -> LinkAddress {
    LinkAddress::Station(u64::from(number))
}

/// Devices of processors 0 to N - 1, in this process, that wait as long as it takes.
fn devices<const N: usize>(segment: &ShmSegment) -> [ShmDevice; N] {
    std::array::from_fn(|number| patient(segment, number as u16))
}

fn patient(fd: impl AsFd, number: u16) -> ShmDevice {
    ShmDevice::open(fd, number).unwrap().with_patience(LONG)
}

type Received = Vec<(LinkAddress, Vec<u8>)>;

/// What is there now.
fn receive_now(device: &ShmDevice) -> Received {
    let mut frames = Vec::new();
    let mut sink = |from, bytes: &[u8]| frames.push((from, bytes.to_vec()));
    while device.receive(Duration::ZERO, &mut sink) > 0 {}
    frames
}

/// Waits for so many frames; fails if they do not come.
fn receive(device: &ShmDevice, count: usize) -> Received {
    let mut frames = Vec::new();
    wait_until("all frames", || {
        device.receive(Duration::from_millis(100), &mut |from, bytes: &[u8]| {
            frames.push((from, bytes.to_vec()));
        });
        frames.len() >= count
    });
    frames
}
