//! Machines that stop, and come back with or without what they knew.

use flip_net::time::{Duration, Instant};

use crate::world::MachineId;

/// What a machine still knows when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything: it only stood still, like a host that was suspended.
    Kept,
    /// Nothing: it starts anew.
    Lost,
}

/// One crash in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: Instant,
    /// Who.
    pub machine: MachineId,
    /// How long it is down; `None`: for good.
    pub down: Option<Duration>,
    /// How it comes back.
    pub state: State,
}
