//! The Rust side of the standard modules, and what it works on.

pub(crate) mod args;
pub(crate) mod conversions;
pub(crate) mod in_out;
pub(crate) mod input;
pub(crate) mod local;
pub(crate) mod math;
pub(crate) mod output;
pub(crate) mod start;
pub(crate) mod time;
pub(crate) mod values;
