//! The group of a program whose processors are threads of one process: whole stacks on a network in memory.
//!
//! Nothing but the network differs from processors that are processes of their own.
//!
//! Implements: DESIGN 5; [Thesis §3.2].
#![allow(
    clippy::disallowed_types,
    reason = "seeds of real processors come from the operating system"
)]

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use stack::capability::Port;
use stack::driver::DriverConfig;
use stack::flip_net::driver::{Device, MemoryNetwork};
use stack::flip_net::rng::Rng;
use stack::flip_net::time::Duration;

use crate::over_group::{GroupError, OverGroup};

/// The most that a worker looks for frames before it sleeps, when there are cores to spare.
const SPIN_MAX: Duration = Duration::from_micros(50);
/// The group of the only program on its network.
const PORT: Port = Port::new([0, 0, 0, 0, 0, 1]);

/// How long the workers of `count` processors may look for frames on this computer.
pub(crate) fn driver_config(count: u32) -> DriverConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let spin_max = if cores > count as usize {
        SPIN_MAX
    } else {
        Duration::ZERO
    };
    DriverConfig { spin_max }
}

/// The members of a new group on a network of its own; member 0 founds it.
pub(crate) fn local_group(count: u32) -> Result<Vec<OverGroup>, GroupError> {
    let network = MemoryNetwork::new();
    // A hasher of the standard library is keyed by the operating system's entropy.
    let entropy = RandomState::new();
    (0..count)
        .map(|number| {
            let device: Arc<dyn Device> = network.device();
            let mut config = stack::Config::new(vec![device.link()], PORT, number == 0);
            let members = u16::try_from(count + 2).unwrap_or(u16::MAX);
            config.group.members_max = config.group.members_max.max(members);
            let seed = Rng::new(entropy.hash_one(number));
            let driver = driver_config(count);
            OverGroup::start(config, vec![device], driver, number, count, seed)
        })
        .collect()
}
