//! Optimisation of the mid-level representation: the order of passes.
//!
//! Expects and guarantees a program that `mir::verify` accepts; reports nothing. Cranelift does what is local to a function and
//! needs no knowledge of Orca: constants, common subexpressions, dead code.

use crate::mir::Program;

/// Runs the passes of an optimisation level.
pub fn run(_program: &mut Program, _opt_level: u8) {}
