//! Signals that compiled code raises: a stack that overflows into its guard, an illegal instruction, a bad division.
//!
//! Each worker has a signal stack of its own, since the process's stack is the one that is full. The handler finds the control block from
//! r15, believes it only if the stack pointer lies among the stacks of that arena (no Rust code ever runs there), notes
//! what happened in the control block, and lets the thread go on in the worker as if a leaf entry had trapped. Every other fault goes
//! to the handler that was there before.
#![allow(unsafe_code, reason = "signal handlers and their stacks")]

use std::mem::{MaybeUninit, zeroed};
use std::ptr::null_mut;
use std::sync::OnceLock;

use orca_abi::control::Control;

use super::switch::leave_after_signal;
use crate::heap;

/// `Request::entry` after a signal.
pub(crate) const SIGNALLED: u64 = u64::MAX;

const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
const SIGNAL_STACK_BYTES: usize = 64 << 10;

/// The handlers that were there before ours; signal handlers belong to the whole operating-system process.
static PREVIOUS: OnceLock<[libc::sigaction; 4]> = OnceLock::new();

/// The host's monotonic clock, in nanoseconds.
pub(crate) fn monotonic_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the structure it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What a signal told, as the handler leaves it in the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) signal: i32,
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    /// The address that could not be accessed.
    pub(crate) address: u64,
}

impl Fault {
    /// The fault that the last request tells about, if it does.
    pub(crate) fn of_request(request: &orca_abi::control::Request) -> Option<Fault> {
        (request.entry == SIGNALLED).then(|| Fault {
            signal: request.integers[0] as i32,
            pc: request.integers[1],
            sp: request.integers[2],
            address: request.integers[3],
        })
    }
}

/// The signal stack of this thread; the previous one returns when it is dropped.
pub(crate) struct SignalStack {
    memory: *mut libc::c_void,
    previous: libc::stack_t,
}

impl SignalStack {
    /// Gives this thread a signal stack, and the operating-system process the handlers if it has none yet.
    pub(crate) fn install() -> std::io::Result<SignalStack> {
        install_handlers();
        // SAFETY: plain system calls on memory that only this value owns.
        unsafe {
            let memory = libc::mmap(
                null_mut(),
                SIGNAL_STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            let stack = libc::stack_t {
                ss_sp: memory,
                ss_flags: 0,
                ss_size: SIGNAL_STACK_BYTES,
            };
            let mut previous = zeroed();
            if libc::sigaltstack(&stack, &mut previous) != 0 {
                let error = std::io::Error::last_os_error();
                libc::munmap(memory, SIGNAL_STACK_BYTES);
                return Err(error);
            }
            Ok(SignalStack { memory, previous })
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: this thread does not handle a signal now, and the memory is ours.
        unsafe {
            libc::sigaltstack(&self.previous, null_mut());
            libc::munmap(self.memory, SIGNAL_STACK_BYTES);
        }
    }
}

/// Gives the operating-system process the handlers, once.
pub(crate) fn install_handlers() {
    PREVIOUS.get_or_init(|| {
        SIGNALS.map(|signal| {
            // SAFETY: the handler below is async-signal-safe.
            unsafe {
                let mut action: libc::sigaction = zeroed();
                action.sa_sigaction = handle as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&mut action.sa_mask);
                let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
                libc::sigaction(signal, &action, previous.as_mut_ptr());
                previous.assume_init()
            }
        })
    });
}

/// # Safety
///
/// Called by the kernel only.
unsafe extern "C" fn handle(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo and a ucontext; nobody else uses them now.
    let (registers, address) = unsafe {
        let context = &mut *(context as *mut libc::ucontext_t);
        (&mut context.uc_mcontext.gregs, (*info).si_addr() as u64)
    };
    let base = registers[libc::REG_R15 as usize] as u64;
    let sp = registers[libc::REG_RSP as usize] as u64;
    if heap::arena_base(base) != Some(base) || !heap::is_stack_address(base, sp) {
        // SAFETY: what the kernel passed.
        unsafe { forward(signal, info, context) };
        return;
    }
    // SAFETY: code that runs on a stack of this arena has its control block in r15, and nobody else uses it meanwhile.
    unsafe {
        let control = base as *mut Control;
        (*control).request.entry = SIGNALLED;
        (*control).request.integers = [
            signal as u64,
            registers[libc::REG_RIP as usize] as u64,
            sp,
            address,
            0,
        ];
    }
    registers[libc::REG_RIP as usize] = leave_after_signal as *const () as i64;
}

/// Not ours: what would have happened without us.
///
/// # Safety
///
/// With the arguments of a signal handler.
unsafe fn forward(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let previous = PREVIOUS.get().and_then(|actions| {
        let index = SIGNALS.iter().position(|&known| known == signal)?;
        Some(actions[index])
    });
    // SAFETY: a handler that was installed for this signal, called as it wants to be; else the default action is put back,
    // and the instruction faults again.
    unsafe {
        match previous {
            Some(action)
                if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN =>
            {
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: unsafe extern "C" fn(
                        libc::c_int,
                        *mut libc::siginfo_t,
                        *mut libc::c_void,
                    ) = std::mem::transmute(action.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: unsafe extern "C" fn(libc::c_int) =
                        std::mem::transmute(action.sa_sigaction);
                    handler(signal);
                }
            }
            _ => {
                let mut action: libc::sigaction = zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &action, null_mut());
            }
        }
    }
}
