//! What the leaf entries of one processor work on: its heap, output, arguments and clock.
//!
//! Leaf entries run while the worker has handed the processor to compiled code, deep below it on the same stack. So
//! the worker and they reach this state through the same handle, and each only for the length of a closure in which no compiled code runs.
#![allow(
    unsafe_code,
    reason = "reaches the state of a processor from its control block"
)]

use std::sync::atomic::Ordering;
use std::time::Instant;

use orca_abi::control::Control;
use orca_abi::trap::Trap;

use super::output::{Output, Sink};
use crate::heap::{Heap, OutOfMemory, heap_of_control};
use crate::value::describe::ProgramRef;

/// The code of a leaf entry that found a defect of the run-time system.
pub(crate) const INTERNAL_ERROR: u32 = u32::MAX;

/// Where a processor takes the time from.
pub(crate) enum Clock {
    /// The real one, counted from the start.
    Real(Instant),
    /// Set by whoever steps the processor.
    Stepped(u64),
}

impl Clock {
    /// Microseconds since the program started.
    pub(crate) fn micros(&self) -> u64 {
        match self {
            Clock::Real(start) => start.elapsed().as_micros() as u64,
            Clock::Stepped(now) => *now,
        }
    }
}

/// See the head of this file.
pub(crate) struct LocalState {
    pub(crate) program: ProgramRef,
    pub(crate) ncpus: u32,
    pub(crate) output: Output,
    /// The program's name and its arguments.
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) clock: Clock,
    /// A replica of another processor's operation runs: it writes nothing.
    pub(crate) muted: bool,
    /// What a trap of code [`Trap::Library`], or a defect, is about.
    pub(crate) failure: Option<String>,
}

/// A handle of the local state.
#[derive(Clone, Copy)]
pub(crate) struct Local(*mut Control);

impl Local {
    /// Attaches the state to a control block; [`Local::destroy`] must end it.
    pub(crate) fn create(control: *mut Control, state: LocalState) -> Local {
        let owner = Box::into_raw(Box::new(state)) as u64;
        // SAFETY: the control block lies in a live arena.
        unsafe { (*control).owner = owner };
        Local(control)
    }

    /// # Safety
    ///
    /// `control` is the control block of a live processor.
    pub(crate) unsafe fn of(control: *mut Control) -> Local {
        Local(control)
    }

    /// Frees the state.
    pub(crate) fn destroy(self) {
        // SAFETY: `create` made it, and its owner ends it once, after everything that could use it.
        unsafe {
            drop(Box::from_raw((*self.0).owner as *mut LocalState));
            (*self.0).owner = 0;
        }
    }

    /// Works on the state; `body` must neither run compiled code nor call this again.
    pub(crate) fn with<R>(self, body: impl FnOnce(&mut LocalState) -> R) -> R {
        // SAFETY: one worker uses a processor, and bodies do not nest.
        unsafe { body(&mut *((*self.0).owner as *mut LocalState)) }
    }

    pub(crate) fn heap(self) -> Heap {
        heap_of_control(self.0)
    }

    /// The CPU that the running code belongs to: this one, or inside an operation the invoker's.
    pub(crate) fn mycpu(self) -> i32 {
        // SAFETY: the control block of a live processor.
        unsafe { (*self.0).mycpu }
    }

    /// Makes the stub of the running leaf entry leave compiled code.
    pub(crate) fn raise(self, trap: Trap, site: u32) {
        self.raise_code(trap.code(), site);
    }

    /// As [`Local::raise`], for a library function that failed.
    pub(crate) fn raise_library(self, text: String) {
        self.with(|state| state.failure = Some(text));
        self.raise(Trap::Library, u32::MAX);
    }

    pub(crate) fn raise_code(self, code: u32, site: u32) {
        // SAFETY: as in `mycpu`.
        unsafe {
            (*self.0).trap_code = code;
            (*self.0).trap_site = site;
        }
    }

    /// Raises a trap if memory ran out.
    pub(crate) fn check(self, result: Result<(), OutOfMemory>, site: u32) {
        if result.is_err() {
            self.raise(Trap::OutOfMemory, site);
        }
    }

    /// Appends to the Write in progress, unless output is muted.
    pub(crate) fn write(self, body: impl FnOnce(&mut Vec<u8>)) {
        self.with(|state| {
            if !state.muted {
                body(state.output.text());
            }
        });
    }

    /// The Write in progress is complete.
    pub(crate) fn end_write(self, newline: bool) {
        let (error, is_first) = self.with(|state| {
            if state.muted {
                return (None, false);
            }
            let now = state.clock.micros();
            let was_waiting = state.output.deadline_us().is_some();
            state.output.end_write(newline, now);
            let is_waiting = state.output.deadline_us().is_some();
            (state.output.take_error(), is_waiting && !was_waiting)
        });
        if is_first {
            // The worker must see that time counts from now on: nothing else may make this process poll.
            // SAFETY: as in `mycpu`.
            unsafe { (*self.0).poll.store(1, Ordering::Relaxed) };
        }
        if let Some(error) = error {
            let text = format!("I/O error on CPU {}: {error}", self.mycpu());
            self.raise_library(text);
        }
    }
}

impl LocalState {
    pub(crate) fn new(
        program: ProgramRef,
        ncpus: u32,
        arguments: Vec<Vec<u8>>,
        clock: Clock,
        sink: Box<dyn Sink>,
    ) -> LocalState {
        LocalState {
            program,
            ncpus,
            output: Output::new(sink),
            arguments,
            clock,
            muted: false,
            failure: None,
        }
    }
}
