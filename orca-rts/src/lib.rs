//! Being built.

pub mod control_channel;
