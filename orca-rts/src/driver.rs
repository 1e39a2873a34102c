//! Running processors for real: threads, clocks, standard input and output.
//!
//! [`run_processor`] drives one worker over a transport on the calling thread until the program is over. [`run`] makes a whole program
//! of it: alone, or as N threads whose stacks meet on a network in memory.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place that reads clocks and starts threads"
)]

use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use stack::flip_net::walk::Walk;

use crate::builtin::input::Input;
use crate::builtin::local::{Clock, Local, LocalState};
use crate::builtin::output::Sink;
use crate::doorbell::Bell;
use crate::entry::panic_text;
use crate::heap::Arena;
use crate::kernel::{Command, Kernel, Parts};
use crate::local_group::local_group;
use crate::process::signal::SignalStack;
use crate::process::stack::{STACK_BYTES_DEFAULT, Stacks};
use crate::process::switch::{Machine, set_float_mode};
use crate::process::waiting::{Jobs, read_standard_input};
use crate::process::worker::Worker;
use crate::transport::{Alone, Transport};
use crate::trap::{Outcome, STATUS_INTERNAL, STATUS_LOST};
use crate::value::describe::ProgramRef;

/// How long a processor must be idle before it says so.
const IDLE_DELAY: Duration = Duration::from_millis(100);
/// How often processes that compete take turns.
const TICK: Duration = Duration::from_millis(10);
/// The stack of operations is so much larger than that of a process.
const OPERATION_STACK_FACTOR: u64 = 8;
/// How long a processor that has ended serves the others.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Reads more input, however long it takes; nothing at the end.
pub type ReadMore = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// Where standard input comes from.
#[derive(Clone)]
pub enum StandardInput {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A function that is called on a thread of its own.
    Read(ReadMore),
}

/// Makes the sink of a processor's output.
pub type MakeSink = Arc<dyn Fn(u32) -> Box<dyn Sink> + Send + Sync>;

/// How a program is run.
#[derive(Clone)]
pub struct Options {
    /// The program's name, then its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Bytes of a process's stack.
    pub stack_bytes: u64,
    /// Bytes of a processor's heap at most; what the computer has, unless told.
    pub heap_bytes: u64,
    pub input: StandardInput,
    pub output: MakeSink,
    /// Who hears which functions a shared-object write passes.
    pub walk: Walk,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            arguments: Vec::new(),
            stack_bytes: STACK_BYTES_DEFAULT,
            heap_bytes: u64::MAX,
            input: StandardInput::Read(Arc::new(read_standard_input)),
            output: Arc::new(|_| Box::new(StandardOutput)),
            walk: Walk::default(),
        }
    }
}

/// Standard output of the operating-system process.
#[derive(Debug, Clone, Copy)]
pub struct StandardOutput;

impl Sink for StandardOutput {
    fn show(&mut self, text: &[u8], _applied: u64) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text)?;
        out.flush()
    }

    fn is_interactive(&self) -> bool {
        std::io::stdout().is_terminal()
    }
}

/// A worker with everything under it. Drop order matters: the arena goes last.
pub(crate) struct Processor {
    pub(crate) worker: Worker,
    pub(crate) local: Local,
    _arena: Arena,
}

impl Processor {
    /// Makes processor `number` of `count`.
    pub(crate) fn new(
        program: ProgramRef,
        number: u32,
        count: u32,
        options: &Options,
        clock: Clock,
        seed: Option<u64>,
    ) -> Result<Processor, Outcome> {
        let refuse = |what: String| Outcome {
            status: STATUS_INTERNAL,
            message: Some(what),
        };
        let arena = Arena::reserve_from(number).map_err(|error| refuse(error.to_string()))?;
        let heap = arena.make_heap(options.heap_bytes);
        let operation_bytes = options.stack_bytes.saturating_mul(OPERATION_STACK_FACTOR);
        let machine = Machine::new(&arena, number, count, operation_bytes)
            .ok_or_else(|| refuse("cannot protect the stack of operations".to_owned()))?;
        let sink = (options.output)(number);
        let state = LocalState::new(program, count, options.arguments.clone(), clock, sink);
        let local = Local::create(arena.control(), state);
        let (stacks_base, stacks_bytes) = arena.stacks();
        let kernel = Kernel::new(Parts {
            processor: number,
            ncpus: count,
            program,
            local,
            heap,
            machine,
            stacks: Stacks::new(stacks_base, stacks_bytes, options.stack_bytes),
            data: arena.data(),
            seed,
            walk: options.walk.clone(),
        });
        // Standard input belongs to processor 0.
        let input = match &options.input {
            StandardInput::Read(_) if number == 0 => Input::default(),
            StandardInput::Bytes(bytes) if number == 0 => Input::ended_with(bytes.clone()),
            _ => Input::ended_with(Vec::new()),
        };
        Ok(Processor {
            worker: Worker::new(kernel, input),
            local,
            _arena: arena,
        })
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.local.destroy();
    }
}

/// Sets a processor's flag every tick while somebody wants it.
struct Ticker {
    shared: Arc<TickerShared>,
    thread: Option<JoinHandle<()>>,
}

struct TickerShared {
    bell: Bell,
    wanted: AtomicBool,
    over: Mutex<bool>,
    change: Condvar,
}

impl Ticker {
    fn new(bell: Bell) -> Ticker {
        Ticker {
            shared: Arc::new(TickerShared {
                bell,
                wanted: AtomicBool::new(false),
                over: Mutex::new(false),
                change: Condvar::new(),
            }),
            thread: None,
        }
    }

    /// Ticks from now on, or no longer.
    fn set_wanted(&mut self, wanted: bool) {
        if self.shared.wanted.load(Ordering::Relaxed) == wanted {
            return;
        }
        self.shared.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            return;
        }
        if self.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name("orca-tick".to_owned())
                .stack_size(128 << 10)
                .spawn(move || shared.tick());
            self.thread = Some(thread.expect("the operating system gives a thread to the ticker"));
        }
        let _over = self.shared.over.lock();
        self.shared.change.notify_one();
    }
}

impl TickerShared {
    fn tick(&self) {
        let mut over = self.over.lock();
        while !*over {
            if self.wanted.load(Ordering::Relaxed) {
                self.change.wait_for(&mut over, TICK);
                if self.wanted.load(Ordering::Relaxed) && !*over {
                    self.bell.ring();
                }
            } else {
                self.change.wait(&mut over);
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.shared.over.lock() = true;
        self.shared.change.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and if it did there would be nothing to do about it here.
            let _ = thread.join();
        }
    }
}

/// Runs one processor on this thread until the program is over.
pub fn run_processor(
    program: ProgramRef,
    number: u32,
    count: u32,
    options: &Options,
    transport: &mut dyn Transport,
) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| {
        drive(program, number, count, options, transport)
    })) {
        Ok(outcome) => outcome,
        Err(payload) => Outcome::internal(program, &panic_text(&*payload)),
    }
}

fn drive(
    program: ProgramRef,
    number: u32,
    count: u32,
    options: &Options,
    transport: &mut dyn Transport,
) -> Outcome {
    let _signal_stack = match SignalStack::install() {
        Ok(stack) => stack,
        Err(error) => return Outcome::internal(program, &format!("no signal stack: {error}")),
    };
    set_float_mode();
    let clock = Clock::Real(Instant::now());
    let processor = match Processor::new(program, number, count, options, clock, None) {
        Ok(processor) => processor,
        Err(outcome) => return outcome,
    };
    let bell = Bell::new(processor.worker.kernel.machine.poll_flag());
    let mut driver = Driver {
        jobs: Jobs::new(bell.clone(), options.input.clone()),
        ticker: Ticker::new(bell.clone()),
        bell: bell.clone(),
        processor,
        transport,
        idle_since: None,
    };
    driver.transport.attach(bell);
    let outcome = driver.run();
    if outcome.status != STATUS_LOST {
        driver.transport.close(Instant::now() + CLOSE_PATIENCE);
    }
    outcome
}

struct Driver<'a> {
    jobs: Jobs,
    ticker: Ticker,
    bell: Bell,
    processor: Processor,
    transport: &'a mut dyn Transport,
    /// Since when nothing could happen here, and the last message at that time.
    idle_since: Option<(Instant, u64)>,
}

impl Drop for Driver<'_> {
    /// However the processor ends: other threads may ring as long as they like, but not in the arena, which goes next.
    fn drop(&mut self) {
        self.bell.detach();
    }
}

impl Driver<'_> {
    fn run(&mut self) -> Outcome {
        let flag = self.processor.worker.kernel.machine.poll_flag();
        flag.store(1, Ordering::Relaxed);
        loop {
            if flag.swap(0, Ordering::AcqRel) != 0 {
                self.attend();
            }
            self.send();
            if let Some(outcome) = self.processor.worker.kernel.outcome() {
                return outcome.clone();
            }
            self.ticker.set_wanted(self.wants_tick());
            if self.processor.worker.run_next() {
                self.idle_since = None;
                continue;
            }
            self.rest(flag.load(Ordering::Acquire) != 0);
        }
    }

    fn wants_tick(&self) -> bool {
        let worker = &self.processor.worker;
        worker.has_competition()
            || worker.has_runnable()
                && (self.jobs.deadline().is_some()
                    || self
                        .processor
                        .local
                        .with(|state| state.output.deadline_us().is_some()))
    }

    /// Takes everything that has come.
    fn attend(&mut self) {
        let worker = &mut self.processor.worker;
        while let Some(delivery) = self.transport.try_delivery() {
            worker.kernel.handle_delivery(delivery);
        }
        while let Some(done) = self.jobs.poll_done() {
            worker.handle_done(done);
        }
        self.processor.local.with(|state| {
            let now = state.clock.micros();
            state.output.handle_time(now);
        });
    }

    /// Sends what the kernel has to say and begins what the worker wants done; whole lines go out before.
    fn send(&mut self) {
        let worker = &mut self.processor.worker;
        let mut shown = false;
        while let Some(command) = worker.kernel.poll_command() {
            if !shown {
                shown = true;
                self.processor.local.with(|state| match command {
                    Command::Leave => state.output.show_all(),
                    Command::Broadcast(_) => state.output.show_lines(),
                });
            }
            self.transport.command(command);
        }
        while let Some(job) = worker.poll_job() {
            self.jobs.begin(job);
        }
    }

    /// Nothing is runnable: rest until something comes, or it is time to say that nothing will.
    fn rest(&mut self, rung: bool) {
        let worker = &mut self.processor.worker;
        self.ticker.set_wanted(false);
        let now = Instant::now();
        let mut deadline = self.jobs.deadline();
        if worker.is_unoccupied() && worker.kernel.should_report_idle() {
            // While messages go about there is no hurry.
            let activity = worker.kernel.activity();
            let known = self.idle_since.filter(|(_, before)| *before == activity);
            let (since, _) = *self.idle_since.insert(known.unwrap_or((now, activity)));
            // Alone, nobody else can change anything.
            let delay = if worker.kernel.ncpus == 1 {
                Duration::ZERO
            } else {
                IDLE_DELAY
            };
            if since + delay <= now {
                worker.kernel.report_idle();
                return;
            }
            deadline = Some(deadline.map_or(since + delay, |other| other.min(since + delay)));
        } else {
            self.idle_since = None;
        }
        let output = self.processor.local.with(|state| {
            state.output.show_lines();
            let now_us = state.clock.micros();
            let deadline = state.output.deadline_us();
            deadline.map(|at| now + Duration::from_micros(at.saturating_sub(now_us)))
        });
        if let Some(output) = output {
            deadline = Some(deadline.map_or(output, |other| other.min(output)));
        }
        if !rung {
            self.transport.wait(deadline);
        }
        let flag = self.processor.worker.kernel.machine.poll_flag();
        flag.store(1, Ordering::Relaxed);
    }
}

/// Runs a program on `count` processors of this operating-system process and says how it ended.
pub fn run(program: ProgramRef, count: u32, options: &Options) -> Outcome {
    if count <= 1 {
        return run_processor(program, 0, 1, options, &mut Alone::default());
    }
    match local_group(count) {
        Ok(groups) => run_over(program, options, groups),
        Err(error) => Outcome {
            status: STATUS_INTERNAL,
            message: Some(format!("cannot start {count} processors: {error}")),
        },
    }
}

/// As [`run`], with a processor for each of these transports.
pub fn run_over<T: Transport + 'static>(
    program: ProgramRef,
    options: &Options,
    transports: Vec<T>,
) -> Outcome {
    let count = transports.len() as u32;
    let threads: Vec<_> = transports
        .into_iter()
        .zip(0u32..)
        .map(|(mut transport, number)| {
            let options = options.clone();
            std::thread::Builder::new()
                .name(format!("orca-{number}"))
                .stack_size(8 << 20)
                .spawn(move || run_processor(program, number, count, &options, &mut transport))
                .expect("the operating system gives a thread to each processor")
        })
        .collect();
    let outcomes = threads.into_iter().map(|thread| {
        thread.join().unwrap_or_else(|payload| {
            let text = panic_text(&*payload);
            Outcome::internal(program, &text)
        })
    });
    join_outcomes(outcomes)
}

/// How the program ended, from how it ended on each processor: what somebody has a message about counts, then the worst.
pub fn join_outcomes(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    outcomes.fold(Outcome::fine(), |whole, one| {
        let better = match (&whole.message, &one.message) {
            (None, Some(_)) => true,
            (None, None) => one.status > whole.status,
            _ => false,
        };
        if better { one } else { whole }
    })
}

/// Runs a program, prints what it has to say about its end on standard error, and gives the exit status.
pub fn run_and_report(program: ProgramRef, count: u32, options: &Options) -> i32 {
    let outcome = run(program, count, options);
    report(&outcome)
}

/// Prints what there is to say about the end of a program; gives the exit status.
pub fn report(outcome: &Outcome) -> i32 {
    if let Some(message) = &outcome.message {
        eprintln!("{message}");
    }
    outcome.status
}
