//! One processor's communication: FLIP and groups wired together, and the threads that drive them.

#![warn(missing_docs)]

pub mod driver;
