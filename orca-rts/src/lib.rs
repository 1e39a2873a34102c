//! The run-time system.

mod builtin;
mod entry;
mod format;
mod heap;
mod marshal;
mod process;
mod value;
