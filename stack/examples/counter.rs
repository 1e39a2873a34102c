//! A replicated counter that survives the kill of any member.

use std::sync::Arc;

use stack::api::{Group, ReceiveError, Received, SendError};
use stack::capability::Port;
use stack::flip_net::driver::{Device, MemoryNetwork};
use stack::flip_net::time::Duration;

/// A member that counts what it receives; all receive the same.
struct Replica {
    group: Group,
    count: u64,
}

impl Replica {
    fn start(network: &MemoryNetwork, creates: bool) -> Replica {
        let devices: Vec<Arc<dyn Device>> = vec![network.device()];
        let mut config = stack::Config::of(&devices, Port::new(*b"count\0"));
        config.group.resilience = 1; // One crash at a time loses nothing.
        config.group.auto_reset = Some(1); // Who is left goes on.
        config.group.timing.probe_after = Duration::from_millis(100);
        config.group.timing.probe_max = Duration::from_millis(80);
        config.group.timing.silence_max = Duration::from_millis(600);
        let enter = if creates { Group::create } else { Group::join };
        let group = enter(config, devices).expect("the network is there");
        Replica { group, count: 0 }
    }

    /// Returns when the increment is acknowledged: it has its place in the order, for good.
    fn increment(&self) {
        while let Err(error) = self.group.send(b"+1".as_slice()) {
            // Failed: the group broke first, and nobody counts it. Anything else is the end.
            assert!(matches!(error, SendError::Failed { .. }), "{error}");
        }
    }

    fn count_to(&mut self, count: u64) {
        while self.count < count {
            match self.group.receive() {
                Ok(Received::Message { .. }) => self.count += 1,
                Ok(_) | Err(ReceiveError::Aborted { .. }) => {} // Somebody came or went.
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn main() {
    let network = MemoryNetwork::new();
    let mut replicas = Vec::from([true, false, false].map(|first| Replica::start(&network, first)));
    for (killed, count) in [(0, 2), (1, 4)] {
        replicas[1].increment();
        drop(replicas.remove(killed)); // Without a word. Number 0 is the sequencer, too.
        replicas[0].increment();
        replicas.iter_mut().for_each(|left| left.count_to(count));
    }
}
