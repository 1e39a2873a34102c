//! One processor's communication: FLIP, groups and RPC wired together, and the threads that drive them.
//!
//! [`Stack`] is pure: frames, time and commands in, frames and deliveries out. It behind one lock,
//! with real devices, is a [`driver::Running`]: the worker gives commands on its own thread, takes
//! deliveries out of a bounded queue, and waits in a way that its own packet wakes it directly.
//!
//! The drain rule, as for every machine: one mutation, then every `poll_*` until it says `None`,
//! then the next mutation. Deliveries may stay: that is what the queue is for.
//!
//! Programs in Rust use [`api`]: the primitives of Amoeba, which block. A replicated counter that
//! survives the kill of any member:
//!
//! ```
#![doc = include_str!("../examples/counter.rs")]
//! ```
//!
//! What it does not know: objects, processes, programs.
//!
//! Implements: DESIGN 6.

#![warn(missing_docs)]

mod command;
mod config;
mod endpoint;
mod event;
mod queue;
mod stack;

pub mod api;
pub mod driver;

pub use capability;
pub use flip_net;
pub use group;
pub use rpc;

pub use command::{Answer, Command, Refused};
pub use config::Config;
pub use event::Delivery;
pub use queue::QueueStats;
pub use stack::{Sizes, Stack, StackStats};
