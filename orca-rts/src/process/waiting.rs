//! Doing the jobs of a worker for real: reading and opening files on threads of their own, sleeping by deadline.
//!
//! A job gets copies of what it needs and touches nothing of the processor; its result is posted, the doorbell rung, and the worker takes it at
//! its next poll. A read of standard input that never returns keeps only its own thread, which dies with the operating-system process.
#![allow(clippy::disallowed_methods, reason = "real files, threads and clocks")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::worker::{Done, Job, OpenMode};
use crate::doorbell::Bell;
use crate::driver::StandardInput;

/// Bytes of input read at once.
const FILL_BYTES: usize = 64 << 10;
/// The stack of a thread that does one job.
const JOB_STACK_BYTES: usize = 256 << 10;

/// The jobs of one worker.
pub(crate) struct Jobs {
    sender: Sender<Done>,
    receiver: Receiver<Done>,
    bell: Bell,
    input: StandardInput,
    /// Sleeping processes by the time when they wake.
    sleepers: BTreeMap<(Instant, u32), ()>,
}

impl Jobs {
    /// No jobs yet; `bell` is rung when one is done.
    pub(crate) fn new(bell: Bell, input: StandardInput) -> Jobs {
        let (sender, receiver) = channel();
        Jobs {
            sender,
            receiver,
            bell,
            input,
            sleepers: BTreeMap::new(),
        }
    }

    /// Begins a job.
    pub(crate) fn begin(&mut self, job: Job) {
        match job {
            Job::Sleep { process, micros } => {
                let wake = Instant::now() + Duration::from_micros(micros);
                self.sleepers.insert((wake, process), ());
            }
            job => {
                let sender = self.sender.clone();
                let bell = self.bell.clone();
                let input = self.input.clone();
                let work = move || {
                    if let Some(done) = perform(job, &input) {
                        // The worker may be gone; then nobody wants the result.
                        let _ = sender.send(done);
                        bell.ring();
                    }
                };
                std::thread::Builder::new()
                    .name("orca-job".to_owned())
                    .stack_size(JOB_STACK_BYTES)
                    .spawn(work)
                    .expect("the operating system gives a thread to a job");
            }
        }
    }

    /// A job that has been done.
    pub(crate) fn poll_done(&mut self) -> Option<Done> {
        if let Some((&(wake, process), ())) = self.sleepers.first_key_value()
            && wake <= Instant::now()
        {
            self.sleepers.pop_first();
            return Some(Done::Slept { process });
        }
        self.receiver.try_recv().ok()
    }

    /// When the next sleeping process wakes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.sleepers.first_key_value().map(|(&(wake, _), ())| wake)
    }
}

fn perform(job: Job, input: &StandardInput) -> Option<Done> {
    match job {
        Job::Fill { stream, file } => {
            let bytes = match (&file, input) {
                (Some(file), _) => read(&mut &**file),
                (None, StandardInput::Read(more)) => more(),
                (None, StandardInput::Bytes(_)) => Vec::new(),
            };
            Some(Done::Filled { stream, bytes })
        }
        Job::Open {
            process,
            path,
            mode,
        } => Some(Done::Opened {
            process,
            mode,
            file: open(&path, mode),
        }),
        Job::Sleep { .. } => None,
    }
}

/// Reads what standard input of the operating-system process has.
pub(crate) fn read_standard_input() -> Vec<u8> {
    read(&mut std::io::stdin().lock())
}

/// Reads what is there; an error ends the stream.
fn read(source: &mut impl Read) -> Vec<u8> {
    let mut bytes = vec![0; FILL_BYTES];
    loop {
        match source.read(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => {
                bytes.truncate(result.unwrap_or(0));
                return bytes;
            }
        }
    }
}

fn open(path: &Path, mode: OpenMode) -> Option<File> {
    let mut options = OpenOptions::new();
    match mode {
        OpenMode::Input => options.read(true),
        OpenMode::Output => options.write(true).create(true).truncate(true),
        OpenMode::Append => options.append(true).create(true),
    };
    options.mode(0o666);
    let file = options.open(path).ok()?;
    // A folder can be opened, but not read.
    (!file.metadata().ok()?.is_dir()).then_some(file)
}
