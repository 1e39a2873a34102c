//! The kernel of one processor: its objects and processes, and what the total order does to them.
//!
//! It belongs to the worker and sits behind no lock. It is fed with deliveries, in order, and with requests of its own
//! processes; it gives commands for the group. It has no clock, no thread and no socket, so that the simulator can step it.
//! After each call its owner drains [`Kernel::poll_command`].
//!
//! A program's life: when all processors have joined, each initialises its data modules; when the hashes of their variables
//! agree, OrcaMain starts on processor 0; when no process is left anywhere, everybody leaves. A processor alone skips the group: its
//! broadcasts come back at once.
//!
//! Implements: [Thesis §4.3] the run-time system; DESIGN 8, 9.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use orca_abi::descriptor::{BLOCKED, Process as ProcessType, Site};
use orca_abi::trap::Trap;
use stack::flip_net::step;
use stack::flip_net::walk::Walk;

use crate::builtin::local::Local;
use crate::heap::Heap;
use crate::marshal::{self, DecodeError};
use crate::message::{Header, IdleReport, Message, WAITING_MAX, Waiting};
use crate::object::apply::DeliveredWrite;
use crate::object::{ObjectId, ObjectTable};
use crate::process::fork::DeliveredFork;
use crate::process::idle::Idle;
use crate::process::schedule::Schedule;
use crate::process::signal::Fault;
use crate::process::stack::Stacks;
use crate::process::switch::Machine;
use crate::process::{Process, ProcessId, ProcessTable, Resume, Role, State};
use crate::trap::{Failure, Outcome, STATUS_LOST, STATUS_TRAP, located, place};
use crate::value::compare::Hasher;
use crate::value::describe::{ProgramRef, entries, text, type_at};
use crate::value::object;
use crate::value::place::Place;

/// Bytes of a message at most: what the group carries.
const MESSAGE_BYTES_MAX: usize = (1 << 26) - 64;

const _: () = assert!(BLOCKED != orca_abi::descriptor::DONE);

/// What a processor asks of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Broadcast these bytes; they come back in a delivery.
    Broadcast(Vec<u8>),
    /// The program is over: leave the group.
    Leave,
}

/// What the group tells a processor, in the same order everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A broadcast.
    Data {
        /// Its place in the total order.
        seq: u64,
        /// The processor that sent it.
        from: u32,
        bytes: Vec<u8>,
    },
    /// A processor has joined.
    Joined { processor: u32 },
    /// A processor has left of its own accord.
    Left { processor: u32 },
    /// A processor is gone.
    Lost { processor: u32 },
}

/// Where the program is.
#[derive(Debug)]
enum Phase {
    /// Waiting for all processors.
    Joining(BTreeSet<u32>),
    /// Data modules are being initialised, or their hashes compared.
    Initialising(BTreeMap<u32, Vec<u64>>),
    Running,
    Over(Outcome),
}

/// See the head of this file.
pub(crate) struct Kernel {
    pub(crate) me: u32,
    pub(crate) ncpus: u32,
    pub(crate) program: ProgramRef,
    pub(crate) local: Local,
    pub(crate) heap: Heap,
    pub(crate) machine: Machine,
    pub(crate) stacks: Stacks,
    pub(crate) data: Place,
    pub(crate) objects: ObjectTable,
    pub(crate) processes: ProcessTable,
    pub(crate) ready: Schedule,
    /// Processes of the whole program.
    pub(crate) alive: u64,
    /// Number of the last ordered message applied.
    pub(crate) applied: u64,
    phase: Phase,
    idle: Idle,
    invocations: u64,
    /// Own broadcasts that have not been delivered.
    outstanding: u64,
    commands: VecDeque<Command>,
    /// Broadcasts of a processor alone, on their way back.
    loopback: VecDeque<Vec<u8>>,
    /// This processor has reported a run-time error and runs nothing any more.
    failing: bool,
    /// An operation trapped on every replica: its invoker reports it.
    reporter: Option<u32>,
    /// Messages of another version or epoch.
    pub(crate) dropped: u64,
    pub(crate) walk: Walk,
}

/// What a kernel is made of.
pub(crate) struct Parts {
    pub(crate) processor: u32,
    pub(crate) ncpus: u32,
    pub(crate) program: ProgramRef,
    pub(crate) local: Local,
    pub(crate) heap: Heap,
    pub(crate) machine: Machine,
    pub(crate) stacks: Stacks,
    pub(crate) data: Place,
    pub(crate) seed: Option<u64>,
    pub(crate) walk: Walk,
}

impl Kernel {
    pub(crate) fn new(parts: Parts) -> Kernel {
        let mut kernel = Kernel {
            me: parts.processor,
            ncpus: parts.ncpus,
            program: parts.program,
            local: parts.local,
            heap: parts.heap,
            machine: parts.machine,
            stacks: parts.stacks,
            data: parts.data,
            objects: ObjectTable::default(),
            processes: ProcessTable::default(),
            ready: Schedule::new(parts.seed),
            alive: 1,
            applied: 0,
            phase: Phase::Joining(BTreeSet::new()),
            idle: Idle::new(parts.ncpus),
            invocations: 0,
            outstanding: 0,
            commands: VecDeque::new(),
            loopback: VecDeque::new(),
            failing: false,
            reporter: None,
            dropped: 0,
            walk: parts.walk,
        };
        if kernel.ncpus == 1 {
            kernel.begin_initialisation();
            kernel.deliver_loopback();
        }
        kernel
    }

    /// What the group is asked for next.
    pub(crate) fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// How the program ended, if it has.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The next process to run, unless the program is ending.
    pub(crate) fn next_process(&mut self) -> Option<ProcessId> {
        if self.failing || self.reporter.is_some() || self.outcome().is_some() {
            return None;
        }
        self.ready.next()
    }

    // Deliveries.

    /// Takes the next delivery of the total order.
    pub(crate) fn handle_delivery(&mut self, delivery: Delivery) {
        step!(self.walk);
        if self.outcome().is_some() {
            return;
        }
        match delivery {
            Delivery::Data { seq, from, bytes } => self.on_data(seq, from, &bytes),
            Delivery::Joined { processor } => self.on_joined(processor),
            Delivery::Left { processor } => {
                let failure = self.lost(processor, "left before the end of the program");
                self.end(failure);
            }
            Delivery::Lost { processor } => {
                let failure = self.lost(processor, "was lost");
                self.end(failure);
            }
        }
        self.deliver_loopback();
    }

    fn lost(&self, processor: u32, how: &str) -> Outcome {
        // The lowest survivor speaks for all.
        let speaks = self.me == u32::from(processor == 0);
        Outcome {
            status: STATUS_LOST,
            message: speaks.then(|| format!("System error: processor {processor} {how}")),
        }
    }

    fn on_joined(&mut self, processor: u32) {
        if let Phase::Joining(joined) = &mut self.phase {
            joined.insert(processor);
            if joined.len() as u32 == self.ncpus {
                self.begin_initialisation();
            }
        }
    }

    fn on_data(&mut self, seq: u64, from: u32, bytes: &[u8]) {
        self.set_applied(seq);
        if from == self.me {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        match Message::parse(bytes) {
            Ok(Some((header, message))) if header.epoch == 0 => {
                self.on_message(from, header, message);
            }
            Ok(_) => self.dropped += 1,
            Err(error) => self.on_decode_error(from, error),
        }
    }

    pub(crate) fn set_applied(&mut self, number: u64) {
        self.applied = number;
        self.local.with(|state| state.output.applied = number);
    }

    /// Something was ordered that could wake somebody.
    pub(crate) fn on_activity(&mut self, number: u64) {
        self.set_applied(number);
        self.idle.on_activity(number);
    }

    fn on_message(&mut self, from: u32, header: Header, message: Message<'_>) {
        if !matches!(message, Message::Idle(_)) {
            self.idle.on_activity(self.applied);
        }
        match message {
            Message::Write {
                object,
                operation,
                invocation,
                process,
                site,
                arguments,
            } => self.on_write(
                from,
                DeliveredWrite {
                    object: ObjectId(object),
                    operation,
                    invocation,
                    process,
                    site,
                    arguments,
                },
            ),
            Message::Fork {
                process,
                cpu,
                invocation,
                forker,
                arguments,
            } => self.on_delivered_fork(
                from,
                DeliveredFork {
                    process,
                    cpu,
                    invocation,
                    forker,
                    arguments,
                },
            ),
            Message::Exit { objects } => {
                self.on_released(from, &objects);
                self.alive -= 1;
                if self.alive == 0 && self.reporter.is_none() {
                    self.end(Outcome::fine());
                }
            }
            Message::Release { objects } => self.on_released(from, &objects),
            Message::DataHash { hashes } => self.on_data_hash(from, hashes),
            Message::Idle(report) => self.on_idle_report(from, header.applied, report),
            Message::Trap { status, line } => self.on_trap(from, status, line),
            Message::ReplicaHash {
                object,
                writes,
                digest,
            } => self.on_replica_hash(ObjectId(object), writes, digest),
        }
    }

    /// A message that no correct processor sends.
    pub(crate) fn on_bad_message(&mut self, from: u32, what: &str) {
        let failure = self.internal_failure(&format!("processor {from} sent {what}"));
        self.fail(failure);
    }

    pub(crate) fn on_decode_error(&mut self, from: u32, error: DecodeError) {
        match error {
            DecodeError::OutOfMemory => self.on_out_of_memory(crate::heap::OutOfMemory),
            _ => self.on_bad_message(from, &format!("a message that cannot be read: {error}")),
        }
    }

    // Broadcasts.

    /// Sends a message through the total order.
    pub(crate) fn broadcast(&mut self, message: &Message<'_>) {
        step!(self.walk);
        let bytes = message.emit(Header {
            epoch: 0,
            applied: self.applied,
        });
        if self.ncpus == 1 {
            self.loopback.push_back(bytes);
        } else if bytes.len() > MESSAGE_BYTES_MAX {
            let line = format!(
                "Limit exceeded on CPU {}: arguments of {} bytes are more than a message carries",
                self.me,
                bytes.len()
            );
            self.fail(Failure {
                status: STATUS_TRAP,
                line,
                is_local: true,
            });
        } else {
            self.outstanding += 1;
            self.commands.push_back(Command::Broadcast(bytes));
        }
    }

    /// Delivers what a processor alone has sent.
    pub(crate) fn deliver_loopback(&mut self) {
        while let Some(bytes) = self.loopback.pop_front() {
            if self.outcome().is_some() {
                return;
            }
            self.on_data(self.applied + 1, self.me, &bytes);
        }
    }

    /// Tells everybody that declarers here dropped shared objects, if some did.
    pub(crate) fn flush_released(&mut self) {
        let objects = self.take_released();
        if !objects.is_empty() {
            self.broadcast(&Message::Release { objects });
        }
    }

    // Processes.

    pub(crate) fn process_type(&self, index: u32) -> &'static ProcessType {
        &entries(&self.program.get().processes)[index as usize]
    }

    pub(crate) fn process_mut(&mut self, id: ProcessId) -> &mut Process {
        self.processes.get_mut(id).expect("a process that is alive")
    }

    pub(crate) fn set_state(&mut self, id: ProcessId, state: State) {
        self.process_mut(id).state = state;
    }

    /// The process may go on; it finds no result.
    pub(crate) fn wake(&mut self, id: ProcessId) {
        step!(self.walk);
        self.set_state(id, State::Ready);
        self.ready.push_back(id);
    }

    /// As [`Kernel::wake`], before others.
    pub(crate) fn wake_first(&mut self, id: ProcessId) {
        self.set_state(id, State::Ready);
        self.ready.push_front(id);
    }

    /// As [`Kernel::wake`], with a result.
    pub(crate) fn wake_with(&mut self, id: ProcessId, result: u64) {
        if let Resume::Waiting(_, place) = &mut self.process_mut(id).resume {
            *place = result;
        }
        self.wake(id);
    }

    /// Gives an invocation its number.
    pub(crate) fn begin_invocation(&mut self, id: ProcessId, table: Place) -> u64 {
        self.invocations += 1;
        let number = self.invocations;
        let process = self.process_mut(id);
        process.invocation = number;
        process.table = table;
        number
    }

    /// An invocation of this processor came back; gives the table of its arguments, once.
    pub(crate) fn finish_invocation(&mut self, id: ProcessId, number: u64) -> Option<Place> {
        let process = self.processes.get_mut(id)?;
        if process.state != State::Invoking || process.invocation != number {
            return None;
        }
        process.invocation = 0;
        Some(process.table)
    }

    // The beginning.

    fn begin_initialisation(&mut self) {
        self.phase = Phase::Initialising(BTreeMap::new());
        self.initialise_from(0);
    }

    /// Initialises the data modules from this one on, one after the other.
    pub(crate) fn initialise_from(&mut self, first: u32) {
        let modules = entries(&self.program.get().data_modules);
        for (index, module) in modules.iter().enumerate().skip(first as usize) {
            if !module.init.is_null() {
                let role = Role::Initialisation(index as u32);
                return self.spawn(role, module.init, None, Vec::new());
            }
        }
        if self.ncpus == 1 {
            return self.begin_program();
        }
        let hashes = self.hash_data(modules.len());
        self.broadcast(&Message::DataHash { hashes });
    }

    /// A hash of the variables of each data module.
    fn hash_data(&self, modules: usize) -> Vec<u64> {
        let mut hashes = vec![0u64; modules];
        for variable in entries(&self.program.get().data_variables) {
            let digest = marshal::digest(type_at(variable.kind), self.data.add(variable.offset));
            if let Some(hash) = hashes.get_mut(variable.module as usize) {
                *hash = hash.rotate_left(7) ^ digest;
            }
        }
        hashes
    }

    fn on_data_hash(&mut self, from: u32, hashes: Vec<u64>) {
        let Phase::Initialising(known) = &mut self.phase else {
            return self.on_bad_message(from, "a hash of its data modules at a wrong time");
        };
        known.insert(from, hashes);
        if known.len() < self.ncpus as usize {
            return;
        }
        let modules = entries(&self.program.get().data_modules);
        let first = known.values().next().expect("there are processors");
        let differing = (0..modules.len()).find(|&index| {
            known
                .values()
                .any(|hashes| hashes.get(index) != first.get(index))
        });
        match differing {
            None => self.begin_program(),
            Some(index) => {
                let name = text(&modules[index].name);
                let line = format!(
                    "Run-time error: data module {name} has different values on different processors"
                );
                self.end(Outcome {
                    status: STATUS_TRAP,
                    message: (self.me == 0).then_some(line),
                });
            }
        }
    }

    fn begin_program(&mut self) {
        self.phase = Phase::Running;
        if self.me != 0 {
            return;
        }
        let main = self.program.get().main;
        let process = self.process_type(main);
        match crate::object::arguments::OwnedArguments::of_process(self.heap, process) {
            Ok(arguments) => {
                self.spawn(
                    Role::Process(main),
                    process.code,
                    Some(arguments),
                    Vec::new(),
                );
            }
            Err(error) => self.on_out_of_memory(error),
        }
    }

    // The end.

    fn end(&mut self, outcome: Outcome) {
        if self.outcome().is_none() {
            self.local.with(|state| state.output.show_all());
            self.phase = Phase::Over(outcome);
            self.ready.clear();
            self.commands.push_back(Command::Leave);
        }
    }

    /// This processor met a run-time error: the program ends when the report has its place in the total order.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.ncpus == 1 {
            return self.end(failure.into_outcome());
        }
        if !self.failing {
            self.failing = true;
            self.broadcast(&Message::Trap {
                status: failure.status as u32,
                line: &failure.line,
            });
        }
    }

    /// An operation trapped in the total order: only its invoker's report counts from now on.
    pub(crate) fn expect_trap_from(&mut self, invoker: u32) {
        self.reporter.get_or_insert(invoker);
    }

    fn on_trap(&mut self, from: u32, status: u32, line: &str) {
        if self.reporter.is_some_and(|reporter| reporter != from) {
            return;
        }
        self.end(Outcome {
            status: status as i32,
            message: (from == self.me).then(|| line.to_owned()),
        });
    }

    // Deadlock.

    /// Nothing can happen here unless a message arrives.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Running)
            && self.ready.is_empty()
            && self.outstanding == 0
            && !self.failing
            && self.reporter.is_none()
            && self
                .processes
                .iter()
                .all(|process| matches!(process.state, State::Blocked(_)))
    }

    /// This processor is quiet and has not said so.
    pub(crate) fn should_report_idle(&self) -> bool {
        self.is_quiet() && !self.idle.has_reported()
    }

    /// Number of the last ordered message that could wake somebody.
    pub(crate) fn activity(&self) -> u64 {
        self.idle.activity()
    }

    /// Says that nothing can happen here.
    pub(crate) fn report_idle(&mut self) {
        if self.is_quiet() && self.idle.begin_report() {
            let report = self.idle_report();
            self.broadcast(&Message::Idle(report));
            self.deliver_loopback();
        }
    }

    fn idle_report(&self) -> IdleReport {
        let waiting = self.processes.iter().filter_map(|process| {
            let (Role::Process(kind), State::Blocked((object, operation, site))) =
                (process.role, process.state)
            else {
                return None;
            };
            let object_type = self.objects.get(object)?.descriptor().index;
            Some(Waiting {
                process: kind,
                site,
                object_type,
                operation,
            })
        });
        IdleReport {
            sent: 0,
            received: 0,
            waiting_count: self.processes.len() as u32,
            waiting: waiting.take(WAITING_MAX).collect(),
        }
    }

    fn on_idle_report(&mut self, from: u32, applied: u64, report: IdleReport) {
        let Some(reports) = self.idle.on_report(from, applied, report) else {
            return;
        };
        let line = describe_deadlock(self.program, reports);
        self.end(Outcome {
            status: STATUS_TRAP,
            message: (self.me == 0).then_some(line),
        });
    }

    /// A hash over all replicas.
    pub(crate) fn replicas_digest(&self) -> u64 {
        let mut hasher = Hasher::new();
        for shared in self.objects.iter() {
            let state = type_at(shared.descriptor().state);
            hasher.word(marshal::digest(state, object::state(shared.cell)));
            hasher.word(u64::from(shared.holds));
        }
        hasher.finish()
    }

    // Run-time errors.

    pub(crate) fn trap_failure(&self, trap: Trap, site: u32, cpu: u32) -> Failure {
        let site = self.program.site(site);
        Failure::trap(self.program, cpu as i32, trap.code(), site, None)
    }

    /// A leaf entry, or compiled code itself, raised a trap.
    pub(crate) fn leaf_failure(&self, cpu: i32, code: u32, site: u32) -> Failure {
        let detail = self.local.with(|state| state.failure.take());
        Failure::trap(self.program, cpu, code, self.program.site(site), detail)
    }

    pub(crate) fn internal_failure(&self, what: &str) -> Failure {
        Failure::internal(self.program, what)
    }

    /// Compiled code raised a signal.
    pub(crate) fn fault_failure(&self, cpu: i32, fault: Fault) -> Failure {
        let site = self.locate(fault);
        let overflow = fault.signal == libc::SIGSEGV || fault.signal == libc::SIGBUS;
        if overflow
            && (self.stacks.is_guard(fault.address)
                || self.machine.is_operation_guard(fault.address))
        {
            return Failure::trap(self.program, cpu, Trap::StackOverflow.code(), site, None);
        }
        self.internal_failure(&format!(
            "signal {} at {:#x}, address {:#x}{}",
            fault.signal,
            fault.pc,
            fault.address,
            place(self.program, site)
        ))
    }

    /// The place of a fault: that of its instruction, or if that is no compiled code, of the nearest return address.
    /// A prologue that finds no room for its frame faults in the routine that was called: the line is that routine's head.
    fn locate(&self, fault: Fault) -> Option<Site> {
        if let Some(site) = self.program.place_of(fault.pc) {
            return Some(site);
        }
        let (from, to) = self
            .machine
            .operation_stack_from(fault.sp)
            .unwrap_or_else(|| {
                let top = self.stacks.top_of(fault.sp);
                (fault.sp.max(self.stacks.bottom_of(fault.sp)), top)
            });
        // A return address lies within a few frames.
        let words = ((to - from) / 8).min(512);
        let stack = crate::entry::place(from.next_multiple_of(8));
        (0..words.saturating_sub(1)).find_map(|index| {
            let word: u64 = stack.element(index, 8).get();
            self.program.place_of(word.wrapping_sub(1))
        })
    }
}

/// What is printed about a deadlock: the first waiting process makes the line that every run-time error has, the others follow.
fn describe_deadlock(program: ProgramRef, reports: &BTreeMap<u32, IdleReport>) -> String {
    let mut told = 0u64;
    let mut lines = Vec::new();
    for (cpu, report) in reports {
        for waiting in &report.waiting {
            told += 1;
            let object = entries(&program.get().objects).get(waiting.object_type as usize);
            let operation = object
                .and_then(|object| entries(&object.operations).get(waiting.operation as usize));
            let names = match (object, operation) {
                (Some(object), Some(operation)) => {
                    format!("{}${}", text(&object.name), text(&operation.name))
                }
                _ => "an operation".to_owned(),
            };
            let process = entries(&program.get().processes).get(waiting.process as usize);
            let process = process.map_or("?", |process| text(&process.name));
            let site = program.site(waiting.site);
            let what = format!("process {process} waits for operation {names}");
            if lines.is_empty() {
                lines.push(located(
                    program,
                    *cpu as i32,
                    site,
                    &format!("deadlock: {what}"),
                ));
            } else {
                lines.push(format!("  on CPU {cpu}{}: {what}", place(program, site)));
            }
        }
    }
    let all: u64 = reports
        .values()
        .map(|report| u64::from(report.waiting_count))
        .sum();
    if lines.is_empty() {
        lines.push("Run-time error: deadlock".to_owned());
    }
    if all > told {
        lines.push(format!("  and {} more", all - told));
    }
    lines.join("\n")
}
