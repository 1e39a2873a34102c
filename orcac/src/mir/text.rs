//! The text form of the mid-level representation: printed, and read back.
//!
//! What `print` gives, `parse` reads, and printing that again gives the same text. It is the language of `orcac dump mir` and of the
//! files under `tests/mir`. A `;` starts a comment. Nothing here checks that a program makes sense: that is `verify`'s work;
//! only ids are checked to be dense and in order, since the tables are indexed by them.
//!
//! ```text
//! program "name" main 0
//! data 8
//! routine r0 = "process M.p" "m.orca"
//! site @0 = r0 3
//! blob c0 = "bytes, \0a as hexadecimal"
//! type t0 = integer "integer" size 4 align 4 (plain bitwise_equal)
//! object o0 = "O" state t1 type t2 ()
//!   operation "add" r1 (has_write) writes f1 parameters in "v" t0
//! process "p" f0 parameters shared "o" t2
//! module "M" init f2
//! variable "M.x" t0 offset 0 module 0
//! function f0 "M.p" r0 process {
//!   local l0 "i" i32
//!   slot s0 "name" size 16 align 8
//! b0(v0: i64):
//!   v1: i32 = integer 5 !3          ; on line 3 of the source
//!   set l0, v1
//!   v2: i32 = load data v0[8]
//!   v3: i8 = less v2, v1
//!   check v3, array_bound @0
//!   branch v3, b1(v2), b2
//! b1 cold(v4: i32):
//!   ...
//! }
//! ```

mod names;
mod parse;
mod print;

#[cfg(test)]
mod tests;

pub use parse::{ParseError, parse};
pub use print::{print, print_function};
