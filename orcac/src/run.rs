//! Code in memory meets the run-time system: a program on N processors of this operating-system process, on threads.
//!
//! The only file of this crate that knows `orca-rts`.

#![allow(unsafe_code, reason = "hands compiled code to the run-time system")]

use orca_rts::{Options, ProgramRef, report};

use crate::codegen::{self, CodegenError, jit};
use crate::mir;

/// A program in memory, ready to run.
pub struct Loaded {
    code: jit::Jit,
}

/// How to run it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Number of processors.
    pub processors: u32,
    /// The program's name, then its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Bytes of a process' stack, if not the usual.
    pub stack_size: Option<u64>,
}

/// Compiles into memory.
pub fn load(program: &mir::Program, options: codegen::Options) -> Result<Loaded, CodegenError> {
    Ok(Loaded {
        code: jit::compile(program, options)?,
    })
}

impl Loaded {
    /// The program, for whoever runs its processors.
    pub fn program(&self) -> ProgramRef {
        // SAFETY: the code generator wrote the descriptor; it and the code stay until this process ends.
        let program = unsafe { ProgramRef::new(self.code.program()) };
        program.expect("compiler and run-time system are of one version")
    }
}

/// Runs to the end, says on standard error what there is to say about it, and gives the exit status.
pub fn run(loaded: &Loaded, settings: &Settings) -> i32 {
    let mut options = Options {
        arguments: settings.arguments.clone(),
        ..Options::default()
    };
    if let Some(size) = settings.stack_size {
        options.stack_bytes = size;
    }
    report(&orca_rts::run(
        loaded.program(),
        settings.processors,
        &options,
    ))
}
