//! Switching between the worker and compiled code, and the stubs behind the entry table.
//!
//! The worker (Rust, on its own stack) enters compiled code in four ways: it starts a process, resumes one that waited,
//! resumes one that was polled, or runs the alternatives of an operation on the stack of operations. Each way saves the worker's
//! registers and the previous `worker_sp` on the worker's stack, in one layout, and notes the stack pointer in
//! `Control::worker_sp`; there leaf entries run. Whatever leaves compiled code goes through [`leave`], which undoes exactly that.
//! So worker, operation and leaf nest to any depth, and no Rust frame ever lies on an Orca stack.
//!
//! A process that waits has on its stack rbp, rbx, r12-r14 and its return address; a polled one all general registers and xmm0-15. How
//! it is to be resumed is known to the worker, not to the stack: a suspended stack holds no address of the run-time system.
//! The return address of a process is zero. MXCSR is 0x1F80 throughout. Switches end in jumps, since a return to an address that no call
//! pushed costs more than the whole switch.
#![allow(unsafe_code, reason = "hand-written switches between stacks")]

use std::arch::naked_asm;
use std::mem::offset_of;
use std::sync::atomic::AtomicU32;

use orca_abi::control::{Control, Request};

use super::signal::Fault;
use super::stack::{GUARD_BYTES, protect};
use crate::entry::stub_addresses;
use crate::heap::Arena;
use crate::value::place::Place;

/// Offsets in the control block that the assembly below uses.
pub(crate) const WORKER_SP: usize = offset_of!(Control, worker_sp);
pub(crate) const CODE_SP: usize = offset_of!(Control, code_sp);
pub(crate) const TRAP_CODE: usize = offset_of!(Control, trap_code);
pub(crate) const ENTRY: usize = offset_of!(Control, request) + offset_of!(Request, entry);
pub(crate) const INTEGERS: usize = offset_of!(Control, request) + offset_of!(Request, integers);
pub(crate) const FLOATS: usize = offset_of!(Control, request) + offset_of!(Request, floats);
pub(crate) const RESULT: usize = offset_of!(Control, request) + offset_of!(Request, result);

/// How compiled code came back to the worker: an entry made a request.
pub(crate) const REQUESTED: u32 = 0x100;
/// How compiled code came back: a leaf entry trapped, or a signal.
pub(crate) const TRAPPED: u32 = 0x101;

/// What every stub ends in that leaves compiled code: r15 is the control block, eax how.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave() {
    naked_asm!(
        "mov rsp, [r15 + {worker_sp}]",
        "pop qword ptr [r15 + {worker_sp}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "pop rcx",
        "jmp rcx",
        worker_sp = const WORKER_SP,
    )
}

/// Where a signal handler sends compiled code that cannot go on.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave_after_signal() {
    naked_asm!(
        "mov eax, {trapped}",
        "jmp {leave}",
        trapped = const TRAPPED,
        leave = sym leave,
    )
}

macro_rules! enter {
    () => {
        concat!(
            "push rbp\n",
            "push rbx\n",
            "push r12\n",
            "push r13\n",
            "push r14\n",
            "push r15\n",
            "mov r15, rdi\n",
            "push qword ptr [r15 + {worker_sp}]\n",
            "mov [r15 + {worker_sp}], rsp\n",
        )
    };
}

/// Starts a process: `code(arguments)` on a fresh stack.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn start(
    control: *mut Control,
    stack_top: u64,
    code: *const u8,
    arguments: *mut u8,
) -> u32 {
    naked_asm!(
        enter!(),
        "mov rsp, rsi",
        "push 0",
        "mov rdi, rcx",
        "xor ebp, ebp",
        "jmp rdx",
        worker_sp = const WORKER_SP,
    )
}

/// Resumes a process that waits: it finds the result of its request.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn resume_waiting(control: *mut Control, code_sp: u64) -> u32 {
    naked_asm!(
        enter!(),
        "mov rsp, rsi",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "mov rax, [r15 + {result}]",
        "movq xmm0, rax",
        "pop rcx",
        "jmp rcx",
        worker_sp = const WORKER_SP,
        result = const RESULT,
    )
}

/// Resumes a process that was polled, with every register as it was.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn resume_polled(control: *mut Control, code_sp: u64) -> u32 {
    naked_asm!(
        enter!(),
        "mov rsp, rsi",
        "movups xmm0, [rsp]",
        "movups xmm1, [rsp + 16]",
        "movups xmm2, [rsp + 32]",
        "movups xmm3, [rsp + 48]",
        "movups xmm4, [rsp + 64]",
        "movups xmm5, [rsp + 80]",
        "movups xmm6, [rsp + 96]",
        "movups xmm7, [rsp + 112]",
        "movups xmm8, [rsp + 128]",
        "movups xmm9, [rsp + 144]",
        "movups xmm10, [rsp + 160]",
        "movups xmm11, [rsp + 176]",
        "movups xmm12, [rsp + 192]",
        "movups xmm13, [rsp + 208]",
        "movups xmm14, [rsp + 224]",
        "movups xmm15, [rsp + 240]",
        "add rsp, 256",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rbp",
        "pop rbx",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "ret",
        worker_sp = const WORKER_SP,
    )
}

/// Runs alternatives of an operation on the stack of operations; gives their status, or [`REQUESTED`] or [`TRAPPED`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_operation(
    control: *mut Control,
    code: *const u8,
    state: *mut u8,
    arguments: *const u8,
    stack_top: u64,
) -> u32 {
    naked_asm!(
        enter!(),
        "mov rsp, r8",
        "mov rax, rsi",
        "mov rdi, rdx",
        "mov rsi, rcx",
        "xor ebp, ebp",
        "call rax",
        "jmp {leave}",
        worker_sp = const WORKER_SP,
        leave = sym leave,
    )
}

/// The stub of a leaf entry: runs it on the worker's stack.
macro_rules! leaf_stub {
    ($name:ident, $function:path) => {
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "push rbp",
                "mov rbp, rsp",
                "mov rdi, r15",
                "mov rsp, [r15 + {worker_sp}]",
                "call {function}",
                "mov rsp, rbp",
                "pop rbp",
                "cmp dword ptr [r15 + {trap_code}], 0",
                "jne 2f",
                "ret",
                "2:",
                "mov eax, {trapped}",
                "jmp {leave}",
                worker_sp = const $crate::process::switch::WORKER_SP,
                trap_code = const $crate::process::switch::TRAP_CODE,
                trapped = const $crate::process::switch::TRAPPED,
                function = sym $function,
                leave = sym $crate::process::switch::leave,
            )
        }
    };
}
pub(crate) use leaf_stub;

/// The stub of a waiting or final entry: hands its arguments to the worker.
macro_rules! request_stub {
    ($name:ident, $entry:expr) => {
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "push rbp",
                "push rbx",
                "push r12",
                "push r13",
                "push r14",
                "mov qword ptr [r15 + {entry_field}], {entry}",
                "mov [r15 + {integers}], rsi",
                "mov [r15 + {integers} + 8], rdx",
                "mov [r15 + {integers} + 16], rcx",
                "mov [r15 + {integers} + 24], r8",
                "mov [r15 + {integers} + 32], r9",
                "movsd [r15 + {floats}], xmm0",
                "movsd [r15 + {floats} + 8], xmm1",
                "mov [r15 + {code_sp}], rsp",
                "mov eax, {requested}",
                "jmp {leave}",
                entry_field = const $crate::process::switch::ENTRY,
                entry = const $entry as u32,
                integers = const $crate::process::switch::INTEGERS,
                floats = const $crate::process::switch::FLOATS,
                code_sp = const $crate::process::switch::CODE_SP,
                requested = const $crate::process::switch::REQUESTED,
                leave = sym $crate::process::switch::leave,
            )
        }
    };
}
pub(crate) use request_stub;

/// The stub of the poll: everything is saved.
macro_rules! poll_stub {
    ($name:ident, $entry:expr) => {
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "push rax",
                "push rcx",
                "push rdx",
                "push rbx",
                "push rbp",
                "push rsi",
                "push rdi",
                "push r8",
                "push r9",
                "push r10",
                "push r11",
                "push r12",
                "push r13",
                "push r14",
                "sub rsp, 256",
                "movups [rsp], xmm0",
                "movups [rsp + 16], xmm1",
                "movups [rsp + 32], xmm2",
                "movups [rsp + 48], xmm3",
                "movups [rsp + 64], xmm4",
                "movups [rsp + 80], xmm5",
                "movups [rsp + 96], xmm6",
                "movups [rsp + 112], xmm7",
                "movups [rsp + 128], xmm8",
                "movups [rsp + 144], xmm9",
                "movups [rsp + 160], xmm10",
                "movups [rsp + 176], xmm11",
                "movups [rsp + 192], xmm12",
                "movups [rsp + 208], xmm13",
                "movups [rsp + 224], xmm14",
                "movups [rsp + 240], xmm15",
                "mov qword ptr [r15 + {entry_field}], {entry}",
                "mov [r15 + {code_sp}], rsp",
                "mov eax, {requested}",
                "jmp {leave}",
                entry_field = const $crate::process::switch::ENTRY,
                entry = const $entry as u32,
                code_sp = const $crate::process::switch::CODE_SP,
                requested = const $crate::process::switch::REQUESTED,
                leave = sym $crate::process::switch::leave,
            )
        }
    };
}
pub(crate) use poll_stub;

/// Rounding to nearest, all exceptions masked: what compiled code expects of the floating-point unit.
const MXCSR: u32 = 0x1F80;

/// Sets the floating-point unit of this thread as compiled code expects it.
pub(crate) fn set_float_mode() {
    let mode = MXCSR;
    // SAFETY: the value is the default of the C interface, which Rust expects too.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &mode, options(nostack, readonly));
    }
}

/// How compiled code came back to the worker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left {
    /// An operation returned its status.
    Returned(u32),
    /// An entry made a request; the process, if it goes on, goes on from this stack pointer.
    Request(Request, u64),
    /// A leaf entry raised a trap: code and site.
    Trapped(u32, u32),
    /// A signal.
    Fault(Fault),
}

/// The worker's side of a control block: it enters compiled code and learns how it left.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    control: *mut Control,
    /// The top of the stack of operations, and the end of the guard below it.
    operation_top: u64,
    operation_bottom: u64,
}

impl Machine {
    /// Fills the control block of an arena in, and prepares the stack of operations.
    pub(crate) fn new(
        arena: &Arena,
        cpu: u32,
        ncpus: u32,
        operation_stack_bytes: u64,
    ) -> Option<Machine> {
        let control = arena.control();
        let (base, reserved) = arena.operation_stack();
        let bytes = operation_stack_bytes
            .next_multiple_of(4096)
            .min(reserved - GUARD_BYTES);
        if !protect(base, GUARD_BYTES) {
            return None;
        }
        // SAFETY: the control block lies in a fresh arena that nobody else uses.
        unsafe {
            (*control).entries = stub_addresses();
            (*control).data = arena.data().pointer();
            (*control).ncpus = ncpus as i32;
            (*control).mycpu = cpu as i32;
            (*control).exit = leave as *const () as u64;
        }
        Some(Machine {
            control,
            operation_top: base + GUARD_BYTES + bytes,
            operation_bottom: base + GUARD_BYTES,
        })
    }

    /// Starts a process on its stack.
    pub(crate) fn start(self, stack_top: u64, code: *const u8, arguments: Place) -> Left {
        // SAFETY: code of a process, on a stack of its own.
        let how = unsafe { start(self.control, stack_top, code, arguments.pointer()) };
        self.left(how)
    }

    /// Resumes a process that waited.
    pub(crate) fn resume_waiting(self, code_sp: u64, result: u64) -> Left {
        // SAFETY: the stack pointer that the process left with.
        let how = unsafe {
            (*self.control).request.result = result;
            resume_waiting(self.control, code_sp)
        };
        self.left(how)
    }

    /// Resumes a process that was polled.
    pub(crate) fn resume_polled(self, code_sp: u64) -> Left {
        // SAFETY: as above.
        let how = unsafe { resume_polled(self.control, code_sp) };
        self.left(how)
    }

    /// Runs alternatives of an operation for the process of CPU `invoker`.
    pub(crate) fn call(self, code: *const u8, state: Place, arguments: Place, invoker: u32) -> Left {
        // SAFETY: code of an operation with its state and arguments, on the stack of operations, which nothing uses now:
        // operations call each other directly, not through the worker.
        let how = unsafe {
            let before = (*self.control).mycpu;
            (*self.control).mycpu = invoker as i32;
            let how = call_operation(
                self.control,
                code,
                state.pointer(),
                arguments.pointer(),
                self.operation_top,
            );
            (*self.control).mycpu = before;
            how
        };
        self.left(how)
    }

    fn left(self, how: u32) -> Left {
        // SAFETY: the control block of a live processor; compiled code does not run now.
        let control = unsafe { &mut *self.control };
        match how {
            REQUESTED => Left::Request(control.request, control.code_sp),
            TRAPPED => {
                if control.trap_code != 0 {
                    let trap = (control.trap_code, control.trap_site);
                    control.trap_code = 0;
                    return Left::Trapped(trap.0, trap.1);
                }
                let fault = Fault::of_request(&control.request);
                control.request.entry = 0;
                Left::Fault(fault.expect("a trap or a signal made compiled code leave"))
            }
            status => Left::Returned(status),
        }
    }

    /// The flag that compiled code polls.
    pub(crate) fn poll_flag<'a>(self) -> &'a AtomicU32 {
        // SAFETY: the flag lies in the arena, which outlives every use of the machine; it is atomic.
        unsafe { &(*self.control).poll }
    }

    /// The guard of the stack of operations holds this address.
    pub(crate) fn is_operation_guard(self, address: u64) -> bool {
        (self.operation_bottom - GUARD_BYTES..self.operation_bottom).contains(&address)
    }

    /// The part of the stack of operations above this stack pointer.
    pub(crate) fn operation_stack_from(self, sp: u64) -> Option<(u64, u64)> {
        (self.operation_bottom - GUARD_BYTES..self.operation_top)
            .contains(&sp)
            .then(|| (sp.max(self.operation_bottom), self.operation_top))
    }
}
