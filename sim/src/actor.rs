//! What the world runs: a machine that may also have work of its own.

use flip_net::address::{LinkAddress, NetworkId};
use flip_net::time::Instant;
use flip_net::{Frame, Machine};

/// A machine that also works at times of its own choice: a processor whose worker runs coroutines,
/// an application that sends. A stretch of work takes no virtual time by itself; to make it cost
/// some, `poll_step` names a later time for the next one.
pub trait Actor: Machine {
    /// Works at the time that `poll_step` named (or an earlier one; then nothing happens).
    fn step(&mut self, now: Instant) {
        let _ = now;
    }

    /// When there is work to do next; `None` while it waits for something to arrive.
    fn poll_step(&self) -> Option<Instant> {
        None
    }

    /// Something worth a line in the trace: a delivery, an output, a state reached.
    fn poll_note(&mut self) -> Option<String> {
        None
    }
}

/// A machine without work of its own.
#[derive(Debug)]
pub struct Passive<M>(pub M);

impl<M: Machine> Machine for Passive<M> {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.0.handle_frame(now, network, from, frame);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        self.0.poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

impl<M: Machine> Actor for Passive<M> {}
