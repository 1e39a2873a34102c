//! Who reads and writes what: the class of every operation.

pub mod operation;
