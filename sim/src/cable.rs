//! A simulated network: who hangs on it, how long a frame takes, how many fit.
//!
//! A broadcast or multicast frame reaches every other station; filtering link multicast addresses
//! is left to the receiver, as on a network card in promiscuous mode.

use flip_net::address::{LinkAddress, NetworkId};
use flip_net::time::{Duration, Instant};

use crate::world::MachineId;

/// One of the networks of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CableId(pub(crate) usize);

/// One attached machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    pub(crate) machine: MachineId,
    /// What the machine calls this network.
    pub(crate) network: NetworkId,
}

/// A network.
#[derive(Clone, Debug)]
pub struct Cable {
    name: String,
    delay: Duration,
    bytes_per_milli: Option<u64>,
    taps: Vec<Tap>,
    busy_until: Instant,
}

impl Cable {
    /// A network on which every frame takes `delay`, however many there are.
    pub fn new(name: impl Into<String>, delay: Duration) -> Cable {
        Cable {
            name: name.into(),
            delay,
            bytes_per_milli: None,
            taps: Vec::new(),
            busy_until: Instant::ZERO,
        }
    }

    /// The same with one frame after the other, at this rate.
    #[must_use]
    pub fn with_bandwidth(self, bytes_per_milli: u64) -> Cable {
        Cable {
            bytes_per_milli: Some(bytes_per_milli.max(1)),
            ..self
        }
    }

    /// Its name in traces.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn attach(&mut self, machine: MachineId, network: NetworkId) {
        self.taps.push(Tap { machine, network });
    }

    /// The station that a machine is here.
    pub(crate) fn station_of(&self, machine: MachineId) -> Option<LinkAddress> {
        let station = self.taps.iter().position(|tap| tap.machine == machine)?;
        Some(LinkAddress::Station(station as u64))
    }

    /// Who hears a frame that `from` sends to `to`.
    pub(crate) fn hearers(&self, from: MachineId, to: LinkAddress) -> Vec<Tap> {
        match to {
            LinkAddress::Station(station) => usize::try_from(station)
                .ok()
                .and_then(|station| self.taps.get(station))
                .copied()
                .into_iter()
                .collect(),
            LinkAddress::Broadcast | LinkAddress::Multicast(_) => {
                let others = |tap: &&Tap| tap.machine != from;
                self.taps.iter().filter(others).copied().collect()
            }
        }
    }

    /// When a frame of this size, handed over now, arrives if nothing happens to it.
    pub(crate) fn arrival(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.bytes_per_milli else {
            return now + self.delay;
        };
        let takes = Duration::from_micros(bytes as u64 * 1_000 / rate);
        self.busy_until = self.busy_until.max(now) + takes;
        self.busy_until + self.delay
    }
}
