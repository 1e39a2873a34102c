//! The Orca compiler: source text to typed tree to intermediate code to native code.
//!
//! Phases are functions from one representation to the next that share a `session::Session`; they never print, exit or
//! open files. The binary `orcac` parses arguments and shows what comes back.

pub mod session;
pub mod source;
pub mod symbol;

pub mod diagnostics;

pub mod ast;
pub mod lexer;
pub mod parser;
pub mod mir;
