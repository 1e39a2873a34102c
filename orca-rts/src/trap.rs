//! Run-time errors as the user reads them: one line, and the exit status that goes with it.
//!
//! The line is made where the error happens, since only there the place is known; other processors are told the line, not the circumstances.
//!
//! Implements: ORCA 10; CONTRACT, run-time errors and exit statuses.

use orca_abi::descriptor::Site;
use orca_abi::trap::Trap;

use crate::builtin::local::INTERNAL_ERROR;
use crate::value::describe::{ProgramRef, entries, text};

/// The program ran to its end.
pub const STATUS_FINE: i32 = 0;
/// A run-time error, a deadlock, or an input/output error.
pub const STATUS_TRAP: i32 = 70;
/// A processor was lost.
pub const STATUS_LOST: i32 = 71;
/// A defect of the system.
pub const STATUS_INTERNAL: i32 = 75;

/// How a program ended on one processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status.
    pub status: i32,
    /// What to print on standard error, after standard output; only one processor has it.
    pub message: Option<String>,
}

impl Outcome {
    pub(crate) fn fine() -> Outcome {
        Outcome {
            status: STATUS_FINE,
            message: None,
        }
    }

    pub(crate) fn internal(program: ProgramRef, what: &str) -> Outcome {
        Failure::internal(program, what).into_outcome()
    }
}

/// Something that ends the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: i32,
    pub(crate) line: String,
    /// It need not happen on other replicas: they cannot be relied on to see it.
    pub(crate) is_local: bool,
}

impl Failure {
    /// A trap, given by its code.
    pub(crate) fn trap(
        program: ProgramRef,
        cpu: i32,
        code: u32,
        site: Option<Site>,
        detail: Option<String>,
    ) -> Failure {
        if code == INTERNAL_ERROR {
            return Failure::internal(program, detail.as_deref().unwrap_or("no message"));
        }
        let Some(trap) = Trap::from_code(code) else {
            return Failure::internal(program, &format!("trap code {code} is unknown"));
        };
        let line = match (trap, detail) {
            (Trap::Library, Some(detail)) => detail,
            _ => located(program, cpu, site, trap.text()),
        };
        Failure {
            status: STATUS_TRAP,
            line,
            is_local: matches!(trap, Trap::OutOfMemory | Trap::Library),
        }
    }

    /// A defect of the run-time system, the compiler, or another processor.
    pub(crate) fn internal(program: ProgramRef, what: &str) -> Failure {
        Failure {
            status: STATUS_INTERNAL,
            line: format!(
                "internal error: {what} (run-time system {}, program {}); please report it",
                env!("CARGO_PKG_VERSION"),
                text(&program.get().name),
            ),
            is_local: true,
        }
    }

    /// Input that was not what `Read` wanted.
    pub(crate) fn input(cpu: u32, expectation: &str) -> Failure {
        Failure {
            status: STATUS_TRAP,
            line: format!("I/O error on CPU {cpu}: {expectation}"),
            is_local: true,
        }
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome {
            status: self.status,
            message: Some(self.line),
        }
    }
}

/// `Run-time error on CPU 2, file "worker.imp", line 31, in operation JobBag$take: TEXT`, as far as the place is known.
pub(crate) fn located(program: ProgramRef, cpu: i32, site: Option<Site>, what: &str) -> String {
    format!("Run-time error on CPU {cpu}{}: {what}", place(program, site))
}

/// `, file "worker.imp", line 31, in operation JobBag$take`
pub(crate) fn place(program: ProgramRef, site: Option<Site>) -> String {
    let routine = site.and_then(|site| entries(&program.get().routines).get(site.routine as usize));
    match (site, routine) {
        (Some(site), Some(routine)) => format!(
            ", file \"{}\", line {}, in {}",
            text(&routine.file),
            site.line,
            text(&routine.name)
        ),
        _ => String::new(),
    }
}
