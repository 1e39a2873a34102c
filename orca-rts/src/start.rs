//! Where a linked program starts: `main` of every executable that `orcac build` makes.
//!
//! The symbol is weak, and so is its reference to the program: an executable that contains compiled Orca code finds its `main` here, while a Rust
//! program that uses this crate as a library keeps its own. The C library calls it, so nothing of Rust's own start has happened: a
//! closed pipe must not kill us silently, the rest needs no preparation.
#![allow(unsafe_code, reason = "the C entry of executables")]

use std::ffi::{CStr, c_char};
use std::sync::Arc;

use orca_abi::descriptor::Program;

use crate::driver::{Options, StandardOutput, report, run};
use crate::trap::{Outcome, STATUS_INTERNAL};
use crate::value::describe::ProgramRef;

std::arch::global_asm!(
    ".weak main",
    ".type main, @function",
    ".weak orca_program",
    "main:",
    "mov rdx, qword ptr [rip + orca_program@GOTPCREL]",
    "jmp {start}",
    start = sym start,
);

/// Runs the program that was linked with this crate; gives the exit status.
extern "C" fn start(argc: i32, argv: *const *const c_char, program: *const Program) -> i32 {
    // SAFETY: the C library passes so many strings.
    let arguments: Vec<Vec<u8>> = (0..argc as usize)
        .map(|index| unsafe { CStr::from_ptr(*argv.add(index)).to_bytes().to_vec() })
        .collect();
    // SAFETY: no other thread runs yet, and the linked program lives as long as the process.
    let program = unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        ProgramRef::new(program)
    };
    let program = match program {
        Ok(program) => program,
        Err(error) => {
            return report(&Outcome {
                status: STATUS_INTERNAL,
                message: Some(format!("internal error: {error}")),
            });
        }
    };
    let options = Options {
        arguments,
        output: Arc::new(|_| Box::new(StandardOutput)),
        ..Options::default()
    };
    report(&run(program, 1, &options))
}
