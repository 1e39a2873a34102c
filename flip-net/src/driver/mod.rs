//! Devices: networks as the operating system has them. Everything that blocks, or calls the
//! system, is below this line; nothing here decides.
//!
//! A device is shared by the threads of one processor: anybody may send, one thread at a time
//! receives (whoever has the receive role).

#![allow(
    clippy::disallowed_methods,
    reason = "devices live where clocks and sockets are"
)]
#![allow(clippy::disallowed_types, reason = "nothing in here is replayed")]

mod alarm;
pub mod capture;
mod drops;
pub mod ethernet;
pub mod guard;
pub mod guarded;
pub mod key_file;
pub mod memory;
pub mod namespace;
mod os;
pub mod shm;
mod traffic;
pub mod tunnel;
pub mod udp;

pub use capture::{CaptureDevice, CaptureStats};
pub use ethernet::{EthernetConfig, EthernetDevice, EthernetError, Station};
pub use guard::Guard;
pub use guarded::GuardedDevice;
pub use key_file::KeyError;
pub use memory::{MemoryDevice, MemoryNetwork};
pub use shm::{ShmDevice, ShmSegment};
pub use tunnel::{End, TcpTunnelConfig, TcpTunnelDevice, TunnelState};
pub use udp::{UdpConfig, UdpDevice, UdpError};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::time::Duration;

/// What takes the frames that a device received: the sender's station and the bytes.
pub type Sink<'a> = dyn FnMut(LinkAddress, &[u8]) + 'a;

/// One attached network.
pub trait Device: Send + Sync {
    /// What it is to a box.
    fn link(&self) -> Link;

    /// This station.
    fn station(&self) -> LinkAddress;

    /// Puts frames on the network, in order. What the network does not take is lost, and counted.
    /// The network in the frame is ignored.
    fn send(&self, frames: &[Frame]);

    /// Hears a data-link multicast address from now on, or no longer. Networks on which a multicast
    /// reaches every station have nothing to do.
    fn listen(&self, _group: u64, _on: bool) {}

    /// Waits at most `wait` for frames and gives those that are there to `sink`, a bounded number
    /// of them. Says how many. Returns early when woken. One thread at a time.
    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize;

    /// Makes the `receive` that blocks, or else the next one, return at once.
    fn wake(&self);

    /// Frames that were lost here because they were not taken.
    fn lost(&self) -> u64;

    /// Frames that came in and were not given to a sink, by the reason why.
    fn drops(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

impl<D: Device + ?Sized> Device for Arc<D> {
    fn link(&self) -> Link {
        (**self).link()
    }

    fn station(&self) -> LinkAddress {
        (**self).station()
    }

    fn send(&self, frames: &[Frame]) {
        (**self).send(frames);
    }

    fn listen(&self, group: u64, on: bool) {
        (**self).listen(group, on);
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        (**self).receive(wait, sink)
    }

    fn wake(&self) {
        (**self).wake();
    }

    fn lost(&self) -> u64 {
        (**self).lost()
    }

    fn drops(&self) -> BTreeMap<&'static str, u64> {
        (**self).drops()
    }
}
