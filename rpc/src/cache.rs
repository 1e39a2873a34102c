//! What is known of ports: the servers that answered, and how far the search for one has come.
//!
//! Nothing here sends or waits; `locate.rs` does.
//!
//! Implements: [Thesis §2.5], locating ports; [Amoeba5] §2.5.

use std::collections::BTreeMap;

use capability::Port;
use flip_net::address::FlipAddress;
use flip_net::time::{Duration, Instant};

use crate::config::{Config, Rules, Timing};

/// The widest ring of a locate.
pub(crate) const HOP_COUNT_MAX: u16 = 25;

/// A server that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) address: FlipAddress,
    pub(crate) round_trip: Duration,
}

#[derive(Debug)]
struct Entry {
    servers: Vec<Known>,
    used: Instant,
}

/// The port cache.
#[derive(Debug)]
pub(crate) struct Cache {
    ports: BTreeMap<Port, Entry>,
    ports_max: usize,
    servers_max: usize,
}

impl Cache {
    pub(crate) fn new(config: &Config) -> Cache {
        Cache {
            ports: BTreeMap::new(),
            ports_max: config.ports_max,
            servers_max: config.servers_by_port_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ports.len()
    }

    /// The server to ask first.
    pub(crate) fn first(&mut self, now: Instant, port: Port) -> Option<Known> {
        let entry = self.ports.get_mut(&port)?;
        entry.used = now;
        entry.servers.first().copied()
    }

    /// Remembers a server, behind those that are known.
    pub(crate) fn add(&mut self, now: Instant, port: Port, known: Known) {
        if !self.ports.contains_key(&port) && self.ports.len() >= self.ports_max {
            let oldest = self.ports.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(port, _)| *port);
            self.ports
                .remove(&oldest.expect("the cache holds at least one port"));
        }
        let entry = self.ports.entry(port).or_insert_with(|| Entry {
            servers: Vec::new(),
            used: now,
        });
        let is_same = |server: &Known| server.address == known.address;
        match entry.servers.iter().position(is_same) {
            Some(at) => entry.servers[at] = known,
            None if entry.servers.len() < self.servers_max => entry.servers.push(known),
            None => {}
        }
    }

    /// Strikes a server out; says whether it was there.
    pub(crate) fn forget(&mut self, port: Port, address: FlipAddress) -> bool {
        let Some(entry) = self.ports.get_mut(&port) else {
            return false;
        };
        let before = entry.servers.len();
        entry.servers.retain(|server| server.address != address);
        let struck = entry.servers.len() < before;
        if entry.servers.is_empty() {
            self.ports.remove(&port);
        }
        struck
    }

    /// A forwarding server names another one: that takes its place.
    pub(crate) fn replace(&mut self, now: Instant, port: Port, old: FlipAddress, new: Known) {
        self.forget(port, old);
        self.forget(port, new.address);
        self.add(now, port, new);
        let entry = self.ports.get_mut(&port).expect("a server was added");
        entry.servers.retain(|server| server.address != new.address);
        entry.servers.insert(0, new);
    }

    pub(crate) fn round_trip(&self, port: Port, address: FlipAddress) -> Option<Duration> {
        let servers = &self.ports.get(&port)?.servers;
        let server = servers.iter().find(|server| server.address == address)?;
        Some(server.round_trip)
    }

    /// A round trip was measured: smoothed, as one exchange is not the next.
    pub(crate) fn measured(&mut self, port: Port, address: FlipAddress, sample: Duration) {
        let entry = self.ports.get_mut(&port);
        let servers = entry.map(|entry| entry.servers.iter_mut());
        for server in servers.into_iter().flatten() {
            if server.address == address {
                let smoothed = (server.round_trip.times(7) + sample).divided(8);
                server.round_trip = smoothed.max(Duration::from_micros(1));
            }
        }
    }
}

/// A port that is being looked for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Broadcasts so far.
    pub(crate) tries: u32,
    ring: u16,
    pause: Duration,
    /// The transactions that wait for it, by index.
    pub(crate) waiting: Vec<u16>,
}

impl Search {
    pub(crate) fn new(config: &Config) -> Search {
        let ring = match config.rules {
            Rules::Thesis => config.locate_first_ring,
            Rules::Amoeba5 => 1,
        };
        Search {
            tries: 0,
            ring: ring.min(HOP_COUNT_MAX),
            pause: config.timing.locate_step,
            waiting: Vec::new(),
        }
    }

    /// How far the next broadcast goes, and how long to wait after it.
    pub(crate) fn next_ring(&mut self, rules: Rules, timing: &Timing) -> (u16, Duration) {
        let (ring, pause) = (self.ring, self.pause);
        self.tries += 1;
        if ring < HOP_COUNT_MAX {
            self.ring = match rules {
                Rules::Thesis => ring + 1,
                Rules::Amoeba5 => (2 * ring + 1).min(HOP_COUNT_MAX),
            };
        } else {
            self.pause = pause.times(2).min(timing.locate_step_max);
        }
        (ring, pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Port = Port::new([1; 6]);

    fn known(number: u8) -> Known {
        Known {
            address: FlipAddress::new([number; 8]),
            round_trip: Duration::from_millis(10),
        }
    }

    fn config() -> Config {
        Config {
            ports_max: 2,
            servers_by_port_max: 2,
            timing: Timing::amoeba5(),
            ..Config::new(|address| address)
        }
    }

    fn rings(rules: Rules, total: Duration) -> (Vec<u16>, u64) {
        let mut search = Search::new(&config());
        let mut rings = Vec::new();
        let mut at = Duration::ZERO;
        while at < total {
            let (ring, pause) = search.next_ring(rules, &Timing::amoeba5());
            rings.push(ring);
            at = at + pause;
        }
        (rings, at.as_micros() / 1_000)
    }

    #[test]
    fn the_rings_are_those_of_the_rules() {
        let total = Timing::amoeba5().locate_time;
        let (found, end) = rings(Rules::Amoeba5, total);
        assert_eq!(found, [1, 3, 7, 15, 25, 25, 25, 25, 25, 25]);
        assert_eq!(end, 6_700);
        let (found, end) = rings(Rules::Thesis, total);
        assert_eq!(found[..25], (1..=25).collect::<Vec<_>>());
        assert_eq!((found.len(), end), (29, 5_500));
    }

    #[test]
    fn the_first_known_server_is_asked_until_it_is_struck_out() {
        let mut cache = Cache::new(&config());
        for number in [1, 2, 2, 3] {
            cache.add(Instant::ZERO, P, known(number));
        }
        assert_eq!(cache.first(Instant::ZERO, P), Some(known(1)));
        assert!(cache.forget(P, known(1).address));
        assert_eq!(cache.first(Instant::ZERO, P), Some(known(2)));
        cache.replace(Instant::ZERO, P, known(2).address, known(9));
        assert_eq!(cache.first(Instant::ZERO, P), Some(known(9)));
        assert!(cache.forget(P, known(9).address));
        assert!(!cache.forget(P, known(9).address));
        assert_eq!(cache.first(Instant::ZERO, P), None);
    }

    #[test]
    fn the_port_unused_for_longest_makes_room() {
        let mut cache = Cache::new(&config());
        for number in 1..=3 {
            let now = Instant::from_micros(u64::from(number));
            cache.add(now, Port::new([number; 6]), known(number));
            cache.first(now + Duration::from_secs(1), P);
        }
        assert_eq!(cache.len(), 2);
        assert!(cache.first(Instant::ZERO, P).is_some());
        assert!(cache.first(Instant::ZERO, Port::new([2; 6])).is_none());
    }
}
