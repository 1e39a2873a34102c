//! One attempt at an operation: its read alternatives, then its write alternatives, on the stack of operations.
//!
//! The whole-state operations have no code: READ_ copies the state out, WRITE_ takes a new one over; their argument is the other
//! state record.
//!
//! Implements: ORCA 9.4 (attempt), 4.11.

use orca_abi::descriptor::{BLOCKED, DONE, HAS_WRITE, Object, Operation};
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;

use super::guard::Attempt;
use crate::kernel::Kernel;
use crate::process::switch::Left;
use crate::trap::Failure;
use crate::value::describe::{ProgramRef, type_at};
use crate::value::place::Place;
use crate::value::{copy, object};

/// Index of the operation that reads the whole state.
pub(crate) const READ_STATE: u32 = 0;
/// Index of the operation that writes the whole state.
pub(crate) const WRITE_STATE: u32 = 1;

/// One attempt at one operation.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) cell: Place,
    pub(crate) operation: u32,
    pub(crate) table: Place,
    /// The processor whose process invokes.
    pub(crate) invoker: u32,
    pub(crate) site: u32,
    /// Only the read alternatives.
    pub(crate) only_reads: bool,
}

/// The operation can change its object.
pub(crate) fn may_write(object: &'static Object, index: u32) -> bool {
    index == WRITE_STATE || operation(object, index).flags & HAS_WRITE != 0
}

/// An operation of an object type.
pub(crate) fn operation(object: &'static Object, index: u32) -> &'static Operation {
    ProgramRef::operation(object, index)
}

impl Kernel {
    /// Makes one attempt; a run-time error in it is handed back.
    pub(crate) fn attempt(&mut self, call: Call) -> Result<Attempt, Failure> {
        if call.operation <= WRITE_STATE {
            return self.attempt_whole_state(call);
        }
        let operation = operation(object::descriptor(call.cell), call.operation);
        if !operation.reads.is_null() && self.run_alternatives(operation.reads, call)? {
            return Ok(Attempt::Read);
        }
        if !call.only_reads
            && !operation.writes.is_null()
            && self.run_alternatives(operation.writes, call)?
        {
            return Ok(Attempt::Wrote);
        }
        Ok(Attempt::Blocked)
    }

    fn attempt_whole_state(&mut self, call: Call) -> Result<Attempt, Failure> {
        let kind = type_at(object::descriptor(call.cell).state);
        let state = object::state(call.cell);
        let other = call.table.follow();
        let (to, from, outcome) = if call.operation == READ_STATE {
            (other, state, Attempt::Read)
        } else {
            (state, other, Attempt::Wrote)
        };
        match copy(self.heap, kind, to, from) {
            Ok(()) => Ok(outcome),
            Err(_) => Err(self.trap_failure(Trap::OutOfMemory, call.site, call.invoker)),
        }
    }

    /// True if the attempt completed.
    fn run_alternatives(&mut self, code: *const u8, call: Call) -> Result<bool, Failure> {
        let muted = call.invoker != self.me;
        self.local.with(|state| state.muted = muted);
        let left = self.machine.call(code, object::state(call.cell), call.table, call.invoker);
        self.local.with(|state| state.muted = false);
        let cpu = call.invoker as i32;
        match left {
            Left::Returned(DONE) => Ok(true),
            Left::Returned(BLOCKED) => Ok(false),
            Left::Returned(status) => {
                Err(self.internal_failure(&format!("an operation returned {status}")))
            }
            Left::Trapped(code, site) => Err(self.leaf_failure(cpu, code, site)),
            Left::Request(request, _) if request.entry == Entry::Trap as u64 => {
                let [code, site, ..] = request.integers;
                Err(self.leaf_failure(cpu, code as u32, site as u32))
            }
            Left::Request(request, _) => {
                Err(self.internal_failure(&format!("entry {} in an operation", request.entry)))
            }
            Left::Fault(fault) => Err(self.fault_failure(cpu, fault)),
        }
    }
}
