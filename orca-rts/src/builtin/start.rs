//! Where a linked program starts: `main` of every executable that `orcac build` makes.
//!
//! The symbol is weak, and so is its reference to the program: an executable that contains compiled Orca code finds its `main` here, while a Rust
//! program that uses this crate as a library keeps its own. The C library calls it, so nothing of Rust's own start has happened: a
//! closed pipe must not kill us silently, the rest needs no preparation.
#![allow(unsafe_code, reason = "the C entry of executables")]
#![allow(
    clippy::disallowed_methods,
    reason = "a launcher speaks through the environment"
)]

use std::ffi::{CStr, c_char};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;

use orca_abi::descriptor::Program;

use crate::control_channel::CONTROL_VARIABLE;
use crate::driver::{Options, report, run};
use crate::launched::run_launched;
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
    if let Some(channel) = take_channel() {
        let name = arguments.into_iter().next().unwrap_or_default();
        return run_launched(program, name, channel);
    }
    let options = Options {
        arguments,
        ..Options::default()
    };
    report(&run(program, 1, &options))
}

/// The control channel, if a launcher started this process; the program does not see the variable.
fn take_channel() -> Option<UnixStream> {
    let number: i32 = std::env::var(CONTROL_VARIABLE).ok()?.parse().ok()?;
    // SAFETY: no other thread runs yet; the launcher says that the descriptor is a connected socket, and ours alone. In its
    // old place the program finds nothing.
    unsafe {
        std::env::remove_var(CONTROL_VARIABLE);
        let kept = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        if kept < 0 {
            return None;
        }
        libc::close(number);
        libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        Some(UnixStream::from_raw_fd(kept))
    }
}
