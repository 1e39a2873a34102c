//! Machine code in memory.
//!
//! Nothing is imported: compiled code finds the run-time system through the control block, so whoever has a control block can run it.
//! The memory is never given back, since nobody can know when the last pointer into it is gone; a compiler runs one program.

#![allow(unsafe_code, reason = "calls the code that was just compiled")]

use std::arch::global_asm;
use std::mem::offset_of;
use std::sync::atomic::AtomicU32;

use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Module};
use orca_abi::control::{Control, Request};
use orca_abi::descriptor;
use orca_abi::symbols::{ENTRY_COUNT, Entry};
use orca_abi::trap::Trap;

use super::{CodegenError, Options, emit, libcall_name, target};
use crate::mir::{FunctionId, Program, Site, Ty};

/// Address space for code and data: calls reach 2 GB at most.
const RESERVED: usize = 1 << 30;

/// A compiled program in memory.
pub struct Jit {
    module: JITModule,
    functions: Vec<FuncId>,
    program: *const descriptor::Program,
}

/// Compiles a program into memory.
pub fn compile(program: &Program, options: Options) -> Result<Jit, CodegenError> {
    let mut builder = JITBuilder::with_isa(target(options)?, Box::new(libcall_name));
    let memory = ArenaMemoryProvider::new_with_size(RESERVED)
        .map_err(|error| CodegenError::Host(error.to_string()))?;
    builder.memory_provider(Box::new(memory));
    let mut module = JITModule::new(builder);
    let emitted = emit(&mut module as &mut dyn Module, program)?;
    module.finalize_definitions()?;
    let (data, _) = module.get_finalized_data(emitted.program);
    Ok(Jit {
        module,
        functions: emitted.functions,
        program: data.cast(),
    })
}

impl Jit {
    /// The program's descriptors; valid for the rest of this process' life.
    pub fn program(&self) -> *const descriptor::Program {
        self.program
    }

    /// The code of a function; valid for the rest of this process' life.
    pub fn function(&self, id: FunctionId) -> *const u8 {
        self.module
            .get_finalized_function(self.functions[id.index()])
    }

    /// Calls a function on this thread's own stack, for tests of code generation: no coroutines, no worker, no entries but polls
    /// and traps.
    pub fn evaluate(&self, program: &Program, id: FunctionId, arguments: &[u64]) -> Outcome {
        let function = &program.functions[id.index()];
        let mut words = [0; 10];
        let (mut integers, mut reals) = (0..6, 6..10);
        for (parameter, argument) in function.blocks[0].parameters.iter().zip(arguments) {
            let is_real = function.values[parameter.index()].is_real();
            let place = if is_real {
                reals.next()
            } else {
                integers.next()
            };
            words[place.expect("few arguments")] = *argument;
        }
        let mut control = Control {
            poll: AtomicU32::new(1),
            padding: [0; 15],
            entries: [orcac_jit_refuse as *const () as u64; ENTRY_COUNT],
            data: std::ptr::null_mut(),
            ncpus: 4,
            mycpu: 3,
            worker_sp: 0,
            code_sp: 0,
            exit: 0,
            trap_code: 0,
            trap_site: 0,
            request: Request::default(),
            owner: 0,
        };
        control.entries[Entry::Trap.index()] = orcac_jit_trap as *const () as u64;
        control.entries[Entry::Poll.index()] = orcac_jit_poll as *const () as u64;
        let code = self.function(id);
        // SAFETY: `code` was compiled from a verified function, all its arguments are in `words`, and every entry either
        // returns by the conventions or leaves through `orcac_jit_call`, which restores all callee-saved registers.
        let integer = unsafe { orcac_jit_call(code, &mut control, words.as_mut_ptr()) };
        match (control.trap_code, function.result) {
            (0, Some(ty)) if ty.is_real() => Outcome::Returned(words[0] & mask(ty)),
            (0, Some(ty)) => Outcome::Returned(integer & mask(ty)),
            (0, None) => Outcome::Returned(0),
            (code, _) => Outcome::Trapped(Trap::from_code(code), Site(control.trap_site)),
        }
    }
}

/// The bits that a type has.
fn mask(ty: Ty) -> u64 {
    u64::MAX >> (64 - ty.bits())
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bits of the result, zero-extended; zero if there is none.
    Returned(u64),
    /// `None`: an entry that `evaluate` does not have.
    Trapped(Option<Trap>, Site),
}

unsafe extern "C" {
    fn orcac_jit_call(code: *const u8, control: *mut Control, words: *mut u64) -> u64;
    fn orcac_jit_trap();
    fn orcac_jit_refuse();
    fn orcac_jit_poll();
}

global_asm!(
    ".text",
    ".globl orcac_jit_call",
    "orcac_jit_call:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rdx",
    "mov r15, rsi",
    "mov [r15 + {worker_sp}], rsp",
    "mov rax, rdi",
    "mov r10, rdx",
    "mov rdi, [r10]",
    "mov rsi, [r10 + 8]",
    "mov rdx, [r10 + 16]",
    "mov rcx, [r10 + 24]",
    "mov r8, [r10 + 32]",
    "mov r9, [r10 + 40]",
    "movsd xmm0, [r10 + 48]",
    "movsd xmm1, [r10 + 56]",
    "movsd xmm2, [r10 + 64]",
    "movsd xmm3, [r10 + 72]",
    "call rax",
    "2:",
    "pop rdx",
    "movsd [rdx], xmm0",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // Leaves compiled code at once: there are only frames of compiled code in between.
    ".globl orcac_jit_trap",
    "orcac_jit_trap:",
    "mov [rdi + {trap_code}], esi",
    "mov [rdi + {trap_site}], edx",
    "mov r15, rdi",
    "mov rsp, [r15 + {worker_sp}]",
    "jmp 2b",
    ".globl orcac_jit_refuse",
    "orcac_jit_refuse:",
    "mov esi, -1",
    "mov edx, 0",
    "jmp orcac_jit_trap",
    // Clears the flag and changes no register.
    ".globl orcac_jit_poll",
    "orcac_jit_poll:",
    "mov dword ptr [r15 + {poll}], 0",
    "ret",
    worker_sp = const offset_of!(Control, worker_sp),
    trap_code = const offset_of!(Control, trap_code),
    trap_site = const offset_of!(Control, trap_site),
    poll = const offset_of!(Control, poll),
);

#[cfg(test)]
mod tests;
