//! Optimisation of the mid-level representation: the order of passes.
//!
//! Expects and guarantees a program that `mir::verify` accepts; reports nothing. Cranelift does what is local to a function and
//! needs no knowledge of Orca: constants, common subexpressions, invariant arithmetic, dead code. What it cannot know is done here: that the
//! head of an array changes only where something may write heads, and that a loop whose first and last index are good has
//! only good ones.
//!
//! A pass neither reorders effects nor lets a program see a different trap first. None reassociates floating point.
//!
//! Implements: [Thesis §4.4.2] optimisation, beyond what the C compiler did there.

mod bounds;
mod common;
mod convert;
mod flow;
mod hoist;
mod promote;
mod rewrite;

#[cfg(test)]
mod tests;

use crate::mir::{Function, Program};

/// Runs the passes of an optimisation level.
pub fn run(program: &mut Program, opt_level: u8) {
    if opt_level == 0 {
        return;
    }
    for function in &mut program.functions {
        run_function(function, opt_level);
    }
    if cfg!(debug_assertions) {
        crate::mir::verify::assert_valid(program, "optimising");
    }
}

fn run_function(function: &mut Function, opt_level: u8) {
    promote::run(function);
    common::run(function);
    hoist::run(function);
    common::run(function);
    convert::run(function);
    if opt_level >= 2 {
        bounds::run(function);
    }
}
