//! A processor that somebody else moves on: for the simulator.
//!
//! No thread, no clock, no real input: time, deliveries and turns come in by calls, and commands go out by
//! [`Stepped::poll_command`]. The poll flag is always set, so every poll is a point where another process may get its turn; which one is
//! drawn from the seed. Input is what the options say; the only files are those that [`Stepped::add_file`] gave, and they can only be read.
//!
//! The rule, as for every machine: one call, then all commands until there are none, then the next call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::builtin::local::Clock;
use crate::driver::{Options, Processor};
use crate::kernel::{Command, Delivery};
use crate::process::signal::install_handlers;
use crate::process::switch::set_float_mode;
use crate::process::worker::{Done, Job, OpenMode};
use crate::trap::Outcome;
use crate::value::describe::ProgramRef;

/// How long a processor must be idle before it says so, in microseconds.
const IDLE_DELAY_US: u64 = 100_000;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Processes ran, and may run again.
    Ran,
    /// Nothing can happen before a delivery or [`Stepped::poll_timeout`].
    Idle,
    /// The program is over here.
    Over,
}

/// See the head of this file.
pub struct Stepped {
    processor: Processor,
    now_us: u64,
    /// Sleeping processes by the time when they wake.
    sleepers: BTreeSet<(u64, u32)>,
    /// Since when nothing could happen here, and the last message at that time.
    idle_since: Option<(u64, u64)>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Stepped {
    /// Processor `number` of `count`. Its thread must have a signal stack if stacks are to overflow; threads of Rust's own have one.
    pub fn new(
        program: ProgramRef,
        number: u32,
        count: u32,
        options: &Options,
        seed: u64,
    ) -> Result<Stepped, Outcome> {
        install_handlers();
        set_float_mode();
        let clock = Clock::Stepped(0);
        let processor = Processor::new(program, number, count, options, clock, Some(seed))?;
        let mut stepped = Stepped {
            processor,
            now_us: 0,
            sleepers: BTreeSet::new(),
            idle_since: None,
            files: BTreeMap::new(),
        };
        stepped.do_jobs();
        Ok(stepped)
    }

    /// Lets the program open a file for input.
    pub fn add_file(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        self.files.insert(path.into(), bytes);
    }

    /// Takes the next delivery of the total order.
    pub fn handle_delivery(&mut self, delivery: Delivery) {
        self.processor.worker.kernel.handle_delivery(delivery);
        self.do_jobs();
    }

    /// Time has come so far, in microseconds since the program started; it never goes back.
    pub fn handle_time(&mut self, now_us: u64) {
        assert!(now_us >= self.now_us, "time never goes back");
        self.now_us = now_us;
        self.processor.local.with(|state| {
            state.clock = Clock::Stepped(now_us);
            state.output.handle_time(now_us);
        });
        while let Some(&(wake, process)) = self.sleepers.first()
            && wake <= now_us
        {
            self.sleepers.pop_first();
            self.processor.worker.handle_done(Done::Slept { process });
        }
        if self.is_quiet() {
            let (since, _) = self.note_idle();
            if since + IDLE_DELAY_US <= now_us {
                self.processor.worker.kernel.report_idle();
            }
        } else {
            self.idle_since = None;
        }
        self.do_jobs();
    }

    /// Gives processes so many turns at most; a turn ends at a poll or a request.
    pub fn step(&mut self, turns: u32) -> Progress {
        for _ in 0..turns {
            if self.outcome().is_some() {
                return Progress::Over;
            }
            let worker = &mut self.processor.worker;
            worker
                .kernel
                .machine
                .poll_flag()
                .store(1, Ordering::Relaxed);
            if !worker.run_next() {
                self.processor.local.with(|state| state.output.show_lines());
                if self.is_quiet() {
                    self.note_idle();
                }
                return Progress::Idle;
            }
            self.idle_since = None;
            self.do_jobs();
        }
        Progress::Ran
    }

    /// What the group is asked for next; whole lines of output have been shown before.
    pub fn poll_command(&mut self) -> Option<Command> {
        let command = self.processor.worker.kernel.poll_command()?;
        self.processor.local.with(|state| state.output.show_lines());
        Some(command)
    }

    /// When [`Stepped::handle_time`] has something to do.
    pub fn poll_timeout(&self) -> Option<u64> {
        let sleeper = self.sleepers.first().map(|&(wake, _)| wake);
        let output = self
            .processor
            .local
            .with(|state| state.output.deadline_us());
        let idle = self
            .idle_since
            .filter(|_| self.is_quiet())
            .map(|(since, _)| since + IDLE_DELAY_US);
        [sleeper, output, idle].into_iter().flatten().min()
    }

    /// How the program ended here, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.processor.worker.kernel.outcome()
    }

    /// Number of the last ordered message that was applied.
    pub fn applied(&self) -> u64 {
        self.processor.worker.kernel.applied
    }

    /// A hash over all replicas of shared objects: equal on processors that have applied the same messages.
    pub fn replicas_digest(&self) -> u64 {
        self.processor.worker.kernel.replicas_digest()
    }

    /// Shared objects, processes of this processor, and blocks of its heap that are in use.
    pub fn in_use(&self) -> (usize, usize, u64) {
        let kernel = &self.processor.worker.kernel;
        (
            kernel.objects.len(),
            kernel.processes.len(),
            kernel.heap.live_blocks(),
        )
    }

    /// Nothing can happen here: since when, counted from the last message that could have changed that.
    fn note_idle(&mut self) -> (u64, u64) {
        let activity = self.processor.worker.kernel.activity();
        let known = self.idle_since.filter(|(_, before)| *before == activity);
        *self
            .idle_since
            .insert(known.unwrap_or((self.now_us, activity)))
    }

    fn is_quiet(&self) -> bool {
        let worker = &self.processor.worker;
        worker.is_unoccupied() && worker.kernel.should_report_idle()
    }

    /// Does what can be done without a world.
    fn do_jobs(&mut self) {
        while let Some(job) = self.processor.worker.poll_job() {
            match job {
                Job::Sleep { process, micros } => {
                    self.sleepers
                        .insert((self.now_us.saturating_add(micros), process));
                }
                Job::Fill { stream, .. } => {
                    let bytes = Vec::new();
                    self.processor
                        .worker
                        .handle_done(Done::Filled { stream, bytes });
                }
                Job::Open {
                    process,
                    path,
                    mode,
                } => {
                    let known = self.files.get(&path);
                    let bytes = known.filter(|_| mode == OpenMode::Input).cloned();
                    self.processor
                        .worker
                        .handle_done(Done::Handed { process, bytes });
                }
            }
        }
    }
}
