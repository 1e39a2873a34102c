//! What tests of the whole share: programs on simulated processors, and the storms they run through.

pub mod cluster;
pub mod storm;
