//! The contract between compiled Orca code and the run-time system.
//!
//! `orcac` writes what is described here into object files and memory; `orca-rts` reads it. Nothing
//! in this crate has behaviour, and everything is `#[repr(C)]`. A change of any layout, symbol or
//! convention changes [`VERSION`]; the run-time system refuses a program of another version.
//!
//! # Conventions of compiled code
//!
//! - Register r15 (Cranelift's pinned register) holds the address of the processor's
//!   [`control::Control`] block. There are no globals: data-module variables, the processor's number
//!   and the entry table are all reached through it.
//! - Compiled code calls the run-time system only through the entry table in the control block
//!   ([`symbols::Entry`]). It never takes the address of a run-time function.
//! - *Leaf* entries run on the worker's stack and return. *Waiting* entries hand a request to the
//!   worker's loop, which resumes the process later. *Final* entries never return.
//! - Entries take at most six integer and eight floating-point arguments, all in registers; the first
//!   one is always the control block. No leaf entry ever calls compiled code.
//! - Outside operations, loop back-edges and function entries poll [`control::Control::poll`] and call
//!   `Entry::Poll` with `CallConv::PreserveAll` when it is not zero. Operation bodies, and the versions of
//!   functions that operations call, contain no polls.

pub mod control;
pub mod descriptor;
pub mod symbols;
pub mod trap;
pub mod types;
pub mod value;

/// The version of the whole contract.
pub const VERSION: u32 = 1;

/// The name under which a linked program exports its [`descriptor::Program`].
pub const PROGRAM_SYMBOL: &str = "orca_program";

/// The name of the section that holds compiled code in an executable.
pub const TEXT_SECTION: &str = ".orca_text";

/// The fixed address of [`TEXT_SECTION`] in an executable.
pub const TEXT_ADDRESS: u64 = 0x0000_0200_0000_0000;

/// A run of bytes in the program's constant data (UTF-8 for names, no terminator).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The first byte; dangling but not null if `len` is zero.
    pub data: *const u8,
    /// Number of bytes.
    pub len: u64,
}

/// A table in the program's constant data.
#[repr(C)]
#[derive(Debug)]
pub struct Table<T> {
    /// The first entry; may be null if `len` is zero.
    pub data: *const T,
    /// Number of entries.
    pub len: u64,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Table<T> {}
