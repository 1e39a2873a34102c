//! The worker of a processor: it runs processes, one at a time, and serves what they ask for.
//!
//! A process runs until an entry hands a request over. What concerns objects and processes goes to the kernel; what waits for the world
//! (reading, sleeping, opening files) becomes a [`Job`] for whoever drives the worker, and the process waits until it is [`Done`].
//! Like the kernel, the worker has no clock and no thread.
//!
//! Implements: [Thesis §4.3] processes; ORCA 8.1, 11 (InOut, Time).

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use orca_abi::control::Request;
use orca_abi::symbols::{ENTRIES, Entry};
use orca_abi::trap::Trap;
use orca_abi::types::Kind;
use stack::flip_net::step;

use super::switch::Left;
use super::{ProcessId, Resume, State};
use crate::builtin::input::{Answer, Input, Question};
use crate::format::{Found, Wanted};
use crate::kernel::Kernel;
use crate::placement;
use crate::trap::Failure;
use crate::value::array;
use crate::value::place::Place;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    Input,
    Output,
    Append,
}

/// Something that takes time, to be done outside.
#[derive(Debug)]
pub(crate) enum Job {
    /// Wake the process after so many microseconds.
    Sleep { process: u32, micros: u64 },
    /// Read more of an input stream: of this file, or of standard input.
    Fill {
        stream: u64,
        file: Option<Arc<File>>,
    },
    /// Open a file.
    Open {
        process: u32,
        path: PathBuf,
        mode: OpenMode,
    },
}

/// A job that has been done.
#[derive(Debug)]
pub(crate) enum Done {
    Slept {
        process: u32,
    },
    /// Bytes that were read; none at the end of the stream.
    Filled {
        stream: u64,
        bytes: Vec<u8>,
    },
    Opened {
        process: u32,
        mode: OpenMode,
        file: Option<File>,
    },
    /// A file was opened for input whose bytes are known, or could not be.
    Handed {
        process: u32,
        bytes: Option<Vec<u8>>,
    },
}

/// Where the answer to a question goes.
#[derive(Debug, Clone, Copy)]
enum Target {
    ShortInt(Place),
    Integer(Place),
    LongInt(Place),
    ShortReal(Place),
    Real(Place),
    Character(Place),
    String(Place),
    /// The result of the entry.
    Result,
}

/// A process that waits for input.
#[derive(Debug)]
struct Reader {
    process: ProcessId,
    question: Question,
    target: Target,
}

/// The current input, and standard input while a file is read.
struct Inputs {
    current: Input,
    file: Option<Arc<File>>,
    standard: Option<Input>,
    streams: u64,
    /// A job is on its way for this stream.
    filling: Option<u64>,
    readers: VecDeque<Reader>,
}

/// See the head of this file.
pub(crate) struct Worker {
    pub(crate) kernel: Kernel,
    inputs: Inputs,
    jobs: VecDeque<Job>,
    /// The process that was polled last: it goes behind those that have become ready since.
    polled: Option<ProcessId>,
    /// Jobs that have not been done.
    pending: u32,
}

impl Worker {
    /// A worker whose standard input is this.
    pub(crate) fn new(kernel: Kernel, input: Input) -> Worker {
        Worker {
            kernel,
            inputs: Inputs {
                current: input,
                file: None,
                standard: None,
                streams: 0,
                filling: None,
                readers: VecDeque::new(),
            },
            jobs: VecDeque::new(),
            polled: None,
            pending: 0,
        }
    }

    /// The next job to be done outside.
    pub(crate) fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// No job is on its way.
    pub(crate) fn is_unoccupied(&self) -> bool {
        self.pending == 0
    }

    /// Processes beside the next one are runnable.
    pub(crate) fn has_competition(&self) -> bool {
        self.kernel.ready.len() + usize::from(self.polled.is_some()) > 1
    }

    /// Is there a process that can run?
    pub(crate) fn has_runnable(&self) -> bool {
        self.polled.is_some() || !self.kernel.ready.is_empty()
    }

    /// Runs the next process until it hands over; false if there is none.
    pub(crate) fn run_next(&mut self) -> bool {
        if let Some(id) = self.polled.take() {
            self.kernel.ready.push_back(id);
        }
        let Some(id) = self.kernel.next_process() else {
            return false;
        };
        self.run(id);
        if self.kernel.outcome().is_none() {
            self.kernel.flush_released();
            self.kernel.deliver_loopback();
        }
        true
    }

    fn run(&mut self, id: ProcessId) {
        step!(self.kernel.walk);
        let kernel = &mut self.kernel;
        let machine = kernel.machine;
        let local = kernel.local;
        let process = kernel.process_mut(id);
        if !process.text.is_empty() {
            let text = std::mem::take(&mut process.text);
            local.with(|state| *state.output.text() = text);
        }
        let left = match process.resume {
            Resume::Start(code) => {
                let table = process
                    .arguments
                    .as_ref()
                    .map_or(Place::NULL, |a| a.table());
                machine.start(process.stack.top, code, table)
            }
            Resume::Waiting(sp, result) => machine.resume_waiting(sp, result),
            Resume::Polled(sp) => machine.resume_polled(sp),
        };
        let text = local.with(|state| std::mem::take(state.output.text()));
        kernel.process_mut(id).text = text;
        let cpu = kernel.me as i32;
        let failure = match left {
            Left::Request(request, sp) => return self.on_request(id, &request, sp),
            Left::Trapped(code, site) => kernel.leaf_failure(cpu, code, site),
            Left::Fault(fault) => kernel.fault_failure(cpu, fault),
            Left::Returned(_) => kernel.internal_failure("a process returned"),
        };
        kernel.fail(failure);
    }

    fn on_request(&mut self, id: ProcessId, request: &Request, sp: u64) {
        let entry = ENTRIES.get(request.entry as usize).copied();
        self.kernel.process_mut(id).resume = match entry {
            Some(Entry::Poll) => Resume::Polled(sp),
            _ => Resume::Waiting(sp, 0),
        };
        let integers = request.integers;
        let kernel = &mut self.kernel;
        match entry {
            Some(Entry::Poll) => self.polled = Some(id),
            Some(Entry::Exit) => kernel.on_exit(id),
            Some(Entry::Trap) => {
                let cpu = kernel.me as i32;
                let failure = kernel.leaf_failure(cpu, integers[0] as u32, integers[1] as u32);
                kernel.fail(failure);
            }
            Some(Entry::Invoke) => kernel.on_invoke(id, request),
            Some(Entry::AssignShared) => kernel.on_assign(id, request),
            Some(Entry::Fork) => kernel.on_fork(id, request),
            Some(Entry::Strategy) => {
                let [_, replicate, cpu, site, _] = integers;
                if placement::is_strategy_legal(replicate as i32, cpu as i32, kernel.ncpus) {
                    kernel.wake_first(id);
                } else {
                    let failure = kernel.trap_failure(Trap::IllegalCpu, site as u32, kernel.me);
                    kernel.fail(failure);
                }
            }
            Some(Entry::TimeSleep) => {
                let (seconds, nanos) = (integers[0] as i32, integers[1] as i32);
                let micros = i64::from(seconds) * 1_000_000 + i64::from(nanos) / 1000;
                let micros = u64::try_from(micros).unwrap_or(0);
                self.begin_job(
                    id,
                    Job::Sleep {
                        process: id.0,
                        micros,
                    },
                );
            }
            Some(entry) => self.on_input_request(id, entry, integers),
            None => {
                let failure = kernel.internal_failure(&format!("entry {}", request.entry));
                kernel.fail(failure);
            }
        }
    }

    fn begin_job(&mut self, id: ProcessId, job: Job) {
        self.kernel.set_state(id, State::World);
        self.pending += 1;
        self.jobs.push_back(job);
    }

    // Input.

    fn on_input_request(&mut self, id: ProcessId, entry: Entry, integers: [u64; 5]) {
        let first = crate::entry::place(integers[0]);
        let item = Question::Item;
        match entry {
            Entry::Read => {
                let place = crate::entry::place(integers[1]);
                let (wanted, target) = match crate::entry::kind(integers[0]).kind {
                    Kind::ShortInt => (Wanted::Integer, Target::ShortInt(place)),
                    Kind::Integer => (Wanted::Integer, Target::Integer(place)),
                    Kind::LongInt => (Wanted::Integer, Target::LongInt(place)),
                    Kind::ShortReal => (Wanted::Real, Target::ShortReal(place)),
                    Kind::Real => (Wanted::Real, Target::Real(place)),
                    Kind::Array => (Wanted::String, Target::String(place)),
                    _ => (Wanted::Character, Target::Character(place)),
                };
                self.ask(id, item(wanted), target);
            }
            Entry::InOutReadChar => {
                self.ask(id, item(Wanted::Character), Target::Character(first));
            }
            Entry::InOutReadInt => self.ask(id, item(Wanted::Integer), Target::Integer(first)),
            Entry::InOutReadLongInt => self.ask(id, item(Wanted::Integer), Target::LongInt(first)),
            Entry::InOutReadShortInt => {
                self.ask(id, item(Wanted::Integer), Target::ShortInt(first));
            }
            Entry::InOutReadReal | Entry::InOutReadLongReal => {
                self.ask(id, item(Wanted::Real), Target::Real(first));
            }
            Entry::InOutReadShortReal => self.ask(id, item(Wanted::Real), Target::ShortReal(first)),
            Entry::InOutReadString => self.ask(id, item(Wanted::String), Target::String(first)),
            Entry::InOutAhead => self.ask(id, Question::Ahead, Target::Result),
            Entry::InOutEof => self.ask(id, Question::Eof, Target::Result),
            Entry::InOutEoln => self.ask(id, Question::Eoln, Target::Result),
            Entry::InOutOpenInputFile => self.open(id, first, OpenMode::Input),
            Entry::InOutOpenOutputFile => self.open(id, first, OpenMode::Output),
            Entry::InOutAppendOutputFile => self.open(id, first, OpenMode::Append),
            Entry::InOutCloseInput => {
                self.inputs.return_to_standard();
                self.kernel.wake_first(id);
            }
            Entry::InOutCloseOutput => {
                self.kernel.local.with(|state| state.output.redirect(None));
                self.kernel.wake_first(id);
            }
            other => {
                let what = format!("entry {} is no request", other.signature().name);
                let failure = self.kernel.internal_failure(&what);
                self.kernel.fail(failure);
            }
        }
    }

    fn open(&mut self, id: ProcessId, name: Place, mode: OpenMode) {
        let name = array::string_bytes(name).to_vec();
        let path = PathBuf::from(std::ffi::OsString::from_vec(name));
        self.begin_job(
            id,
            Job::Open {
                process: id.0,
                path,
                mode,
            },
        );
    }

    /// Asks the current input, behind those who asked before.
    fn ask(&mut self, process: ProcessId, question: Question, target: Target) {
        self.kernel.local.with(|state| state.output.show_all());
        self.kernel.set_state(process, State::World);
        self.inputs.readers.push_back(Reader {
            process,
            question,
            target,
        });
        self.serve_readers();
    }

    /// Answers questions in order, as far as the input goes.
    fn serve_readers(&mut self) {
        while let Some(reader) = self.inputs.readers.front() {
            let Some(answer) = self.inputs.current.ask(reader.question) else {
                return self.fill();
            };
            let reader = self.inputs.readers.pop_front().expect("it was just there");
            self.answer(&reader, answer);
        }
    }

    fn fill(&mut self) {
        let stream = self.inputs.current.stream;
        if self.inputs.filling == Some(stream) {
            return;
        }
        self.inputs.filling = Some(stream);
        self.pending += 1;
        let file = self.inputs.file.clone();
        self.jobs.push_back(Job::Fill { stream, file });
    }

    fn answer(&mut self, reader: &Reader, answer: Answer) {
        let kernel = &mut self.kernel;
        let result = match (reader.target, answer) {
            (Target::ShortInt(place), Answer::Item(Found::Integer(value))) => {
                place.set(value as i16);
                0
            }
            (Target::Integer(place), Answer::Item(Found::Integer(value))) => {
                place.set(value as i32);
                0
            }
            (Target::LongInt(place), Answer::Item(Found::Integer(value))) => {
                place.set(value);
                0
            }
            (Target::ShortReal(place), Answer::Item(Found::Real(value))) => {
                place.set(value as f32);
                0
            }
            (Target::Real(place), Answer::Item(Found::Real(value))) => {
                place.set(value);
                0
            }
            (Target::Character(place), Answer::Item(Found::Character(byte))) => {
                place.set(byte);
                0
            }
            (Target::String(place), Answer::Item(Found::String(bytes))) => {
                if let Err(error) = array::set_string(kernel.heap, place, &bytes) {
                    return kernel.on_out_of_memory(error);
                }
                0
            }
            (Target::Result, Answer::Byte(byte)) => u64::from(byte),
            _ => {
                let expectation = match reader.question {
                    Question::Item(wanted) => wanted.expectation(),
                    _ => "input expected",
                };
                return kernel.fail(Failure::input(kernel.me, expectation));
            }
        };
        kernel.wake_with(reader.process, result);
    }

    /// Takes the result of a job.
    pub(crate) fn handle_done(&mut self, done: Done) {
        if self.kernel.outcome().is_some() {
            return;
        }
        self.pending = self.pending.saturating_sub(1);
        match done {
            Done::Slept { process } => self.kernel.wake(ProcessId(process)),
            Done::Filled { stream, bytes } => {
                if self.inputs.filling == Some(stream) {
                    self.inputs.filling = None;
                }
                if self.inputs.current.stream == stream {
                    self.inputs.current.feed(&bytes);
                } else if stream == 0
                    && let Some(standard) = &mut self.inputs.standard
                {
                    standard.feed(&bytes);
                }
                self.serve_readers();
            }
            Done::Opened {
                process,
                mode,
                file,
            } => {
                let opened = file.is_some();
                match (mode, file) {
                    (_, None) => {}
                    (OpenMode::Input, Some(file)) => self.inputs.read_from(Some(file)),
                    (_, Some(file)) => {
                        self.kernel
                            .local
                            .with(|state| state.output.redirect(Some(file)));
                    }
                }
                self.kernel.wake_with(ProcessId(process), u64::from(opened));
            }
            Done::Handed { process, bytes } => {
                let opened = bytes.is_some();
                if let Some(bytes) = bytes {
                    self.inputs.read_from(None);
                    self.inputs.current.feed(&bytes);
                    self.inputs.current.feed(&[]);
                }
                self.kernel.wake_with(ProcessId(process), u64::from(opened));
            }
        }
        self.kernel.deliver_loopback();
    }
}

impl Inputs {
    /// Input comes from a file from now on; without one somebody feeds it.
    fn read_from(&mut self, file: Option<File>) {
        self.streams += 1;
        let fresh = Input::of_stream(self.streams);
        let old = std::mem::replace(&mut self.current, fresh);
        if old.stream == 0 {
            self.standard = Some(old);
        }
        self.file = file.map(Arc::new);
    }

    /// Input comes from standard input again.
    fn return_to_standard(&mut self) {
        if let Some(standard) = self.standard.take() {
            self.current = standard;
            self.file = None;
        }
    }
}
