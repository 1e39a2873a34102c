//! The deterministic world: many machines on simulated networks, in virtual time, on one thread.
//!
//! The promise: the same seed, plan and machines give the same trace, byte for byte. Everything
//! that is random comes from one seed: delay, loss, duplication, reordering, partitions, crashes.
//! Machines are the real ones, by the trait that the drivers run them by; nothing is written twice
//! for tests.
//!
//! ```text
//! World::new(seed, plan)  .add_cable(..)  .add_machine(..)  .run_until(..)
//!     |                                                        |
//!     |   agenda: frames under way, crashes, partitions        v   one event at a time
//!     +-- cables: who hears whom, delay, bandwidth        handle_* , step
//!     +-- rules: pass, deliver after, drop; first wins    poll_transmit until None
//!     +-- trace: one line an event, running hash
//! ```
//!
//! What it does not know: FLIP, groups, objects. A frame is bytes.

#![warn(missing_docs)]

mod actor;
mod cable;
mod crash;
mod plan;
mod rule;
mod trace;
mod verdict;
mod world;

pub use actor::{Actor, Passive};
pub use cable::{Cable, CableId};
pub use crash::{Crash, State};
pub use plan::{Faults, Mood, Partition, Plan};
pub use rule::{Flight, Rule, Verdict};
pub use trace::Trace;
pub use verdict::Failure;
pub use world::{MachineId, World};
