//! Orca processes.

pub(crate) mod signal;
pub(crate) mod stack;
pub(crate) mod switch;
