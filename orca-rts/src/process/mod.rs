//! Orca processes of one processor: what is known about each, and how it is entered.

pub(crate) mod fork;
pub(crate) mod idle;
pub(crate) mod schedule;
pub(crate) mod signal;
pub(crate) mod stack;
pub(crate) mod switch;
pub(crate) mod waiting;
pub(crate) mod worker;

use crate::object::ObjectId;
use crate::object::arguments::OwnedArguments;
use crate::object::invoke::Assignment;
use crate::value::place::Place;
use stack::Stack;

/// Number of a process on its processor; used again when the process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u32);

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The process type with this index.
    Process(u32),
    /// The initialisation of the data module with this index.
    Initialisation(u32),
}

/// How a process is entered next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resume {
    Start(*const u8),
    /// It made a request: stack pointer and result.
    Waiting(u64, u64),
    /// It was polled: stack pointer.
    Polled(u64),
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Running or runnable.
    Ready,
    /// Its write or fork is on its way through the total order.
    Invoking,
    /// Its invocation waits for a guard: object, operation, site.
    Blocked((ObjectId, u32, u32)),
    /// It reads, sleeps, or opens a file.
    World,
}

/// A process of this processor.
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) stack: Stack,
    pub(crate) resume: Resume,
    pub(crate) state: State,
    /// Number of its invocation on its way, and the table of its arguments.
    pub(crate) invocation: u64,
    pub(crate) table: Place,
    pub(crate) arguments: Option<OwnedArguments>,
    /// Shared objects that it got as parameters.
    pub(crate) holds: Vec<ObjectId>,
    /// Shared objects that an assignment has still to reach, last one first.
    pub(crate) assignments: Vec<Assignment>,
    /// The Write in progress while it does not run.
    pub(crate) text: Vec<u8>,
}

/// The processes of a processor.
#[derive(Default)]
pub(crate) struct ProcessTable {
    processes: Vec<Option<Process>>,
    free: Vec<u32>,
}

impl ProcessTable {
    pub(crate) fn insert(&mut self, process: Process) -> ProcessId {
        match self.free.pop() {
            Some(index) => {
                self.processes[index as usize] = Some(process);
                ProcessId(index)
            }
            None => {
                self.processes.push(Some(process));
                ProcessId(self.processes.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(id.0 as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: ProcessId) -> Option<Process> {
        let process = self.processes.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        Some(process)
    }

    /// All processes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.processes.len() - self.free.len()
    }
}
