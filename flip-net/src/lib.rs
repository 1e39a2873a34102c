//! FLIP, the fast local internet protocol: moves messages between 64-bit addresses that name
//! processes and groups instead of hosts.
//!
//! What it promises: a message reaches its destination at most damaged by loss, duplication or
//! reordering of whole fragments; nothing else. What it does not know: transactions, groups with
//! members, objects. There is no clock, thread, socket or random generator in here outside of
//! `driver`.
//!
//! Implements: [Thesis §2] and Appendix A.

#![warn(missing_docs)]

pub mod address;
pub mod config;
pub mod driver;
pub mod flip_box;
mod frame;
pub mod join;
pub mod link;
pub mod rng;
pub mod seal;
pub mod time;
pub mod walk;
pub mod wire;

pub use config::{Config, Pace, Rules, Timing};
pub use flip_box::{Event, FlipBox, Fragment, SendError, SendOptions, Undelivered};
pub use frame::Frame;
pub use link::Link;

use address::{LinkAddress, NetworkId};
use time::Instant;

/// A data-link multicast address that this station wants to hear, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The network.
    pub network: NetworkId,
    /// The address, as in [`LinkAddress::Multicast`].
    pub group: u64,
    /// Hear it, or stop hearing it.
    pub on: bool,
}

/// Anything that lives on a set of networks: fed with frames and time, drained of frames.
///
/// The contract, the same for every machine in this house: one mutation (`handle_*` or a call from
/// above), then drain every `poll_*` until it says `None`, then the next mutation.
pub trait Machine {
    /// A frame came in from a network. Never fails: a bad frame is counted and dropped.
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]);
    /// The deadline that `poll_timeout` named has come (or an earlier one; then nothing happens).
    fn handle_timeout(&mut self, now: Instant);
    /// The next frame to put on a network.
    fn poll_transmit(&mut self) -> Option<Frame>;
    /// The next data-link multicast address to hear, or to stop hearing. What it says comes before
    /// the frames that follow.
    fn poll_listen(&mut self) -> Option<Listen> {
        None
    }
    /// When `handle_timeout` wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;
}
