//! The routing table: a cache of hints where addresses are. Local addresses are not in here but
//! with the host interface, so nothing in this file can forget them.
//!
//! A LOCATE on its way makes a box forget the ways to its destination. For unicasts that is at
//! once; multicasts still use them for a moment, so that a question about a group does not cut off
//! its listeners until they have answered.
//!
//! Implements: [Thesis §2.4.2], routing table; facts sheet 1.6.
//! Differs: under the rules of the thesis a route is forgotten at a fixed age; those of Amoeba 5
//! purge only when three quarters of the table are used.

use std::collections::{BTreeMap, BTreeSet};

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::Entry;

use crate::address::{FlipAddress, LinkAddress, NetworkId};
use crate::config::{Config, Rules};
use crate::time::{Duration, Instant};

/// One station through which an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The network of the station.
    pub network: NetworkId,
    /// The station.
    pub station: LinkAddress,
    /// The weight of the way to the address.
    pub hops: u16,
    /// Endpoints behind the station.
    pub count: u16,
    /// How many of them over trusted networks only.
    pub trusted: u16,
    /// Sweeps since the last packet from the address.
    pub idle: u32,
}

/// How long multicasts use a way that a LOCATE made us forget.
const DOUBTED_FOR: Duration = Duration::from_millis(500);

/// What `best` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Way(Location),
    /// There are ways, but none that may be trusted.
    OnlyUntrusted,
    Nothing,
}

/// Sums over the locations of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) count: u16,
    pub(crate) trusted: u16,
    pub(crate) hops_max: u16,
}

#[derive(Debug)]
struct Doubted {
    ways: Vec<Location>,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Routes {
    /// In the order of their last use, so that no hash shows in what the box does.
    table: LinkedHashMap<FlipAddress, Vec<Location>>,
    /// Ways that a LOCATE made us forget, and until when multicasts use them.
    doubted: BTreeMap<FlipAddress, Doubted>,
    len_max: usize,
    locations_len_max: usize,
    pub(crate) evicted: u64,
    pub(crate) aged: u64,
}

impl Routes {
    pub(crate) fn new(config: &Config) -> Routes {
        Routes {
            table: LinkedHashMap::new(),
            doubted: BTreeMap::new(),
            len_max: config.routes_len_max,
            locations_len_max: config.locations_len_max,
            evicted: 0,
            aged: 0,
        }
    }

    /// A packet from `address` came in: remember the way back and that it is fresh.
    pub(crate) fn learn(&mut self, address: FlipAddress, way: Location) {
        match find(self.entry(address), way.network, way.station) {
            Some(known) => {
                known.hops = way.hops;
                known.trusted = if way.trusted == 0 { 0 } else { known.count };
                known.idle = 0;
            }
            None => self.push(address, way),
        }
    }

    /// A HEREIS said how many endpoints are behind a station: replaces what was known of it.
    pub(crate) fn learn_counted(&mut self, address: FlipAddress, way: Location) {
        match find(self.entry(address), way.network, way.station) {
            Some(known) => *known = way,
            None => self.push(address, way),
        }
    }

    /// The ways to `address`, which is the most recently used one now.
    fn entry(&mut self, address: FlipAddress) -> &mut Vec<Location> {
        if self.table.len() >= self.len_max && !self.table.contains_key(&address) {
            self.table.pop_front();
            self.evicted += 1;
        }
        let mut entry = match self.table.entry(address) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => return entry.insert(Vec::new()),
        };
        entry.to_back();
        entry.into_mut()
    }

    fn push(&mut self, address: FlipAddress, way: Location) {
        let len_max = self.locations_len_max;
        let ways = self.entry(address);
        if ways.len() >= len_max {
            let oldest = (0..ways.len()).max_by_key(|&at| ways[at].idle);
            ways.remove(oldest.expect("a full list has an oldest member"));
        }
        ways.push(way);
    }

    /// The lightest way to `address` within `budget` that does not use network `except`.
    /// Among equals the last one examined wins.
    pub(crate) fn best(
        &mut self,
        address: FlipAddress,
        budget: u16,
        except: Option<NetworkId>,
        security: bool,
    ) -> Found {
        let Some(ways) = self.table.to_back(&address) else {
            return Found::Nothing;
        };
        let mut found = Found::Nothing;
        for way in ways.iter() {
            if Some(way.network) == except || way.hops > budget {
                continue;
            }
            if security && way.trusted == 0 {
                if found == Found::Nothing {
                    found = Found::OnlyUntrusted;
                }
                continue;
            }
            match found {
                Found::Way(best) if best.hops < way.hops => {}
                _ => found = Found::Way(*way),
            }
        }
        found
    }

    /// All known ways to `address`.
    pub(crate) fn locations(&self, address: FlipAddress) -> &[Location] {
        self.table.get(&address).map_or(&[], |ways| &ways[..])
    }

    /// Every address with its ways, in the order of addresses.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlipAddress, &[Location])> {
        let entries = self.table.iter();
        let mut entries: Vec<_> = entries.map(|(&of, ways)| (of, &ways[..])).collect();
        entries.sort_unstable_by_key(|&(address, _)| address);
        entries.into_iter()
    }

    /// Sums over the ways to `address` that do not use network `except`.
    pub(crate) fn totals(&self, address: FlipAddress, except: Option<NetworkId>) -> Totals {
        let ways = self.locations(address).iter();
        ways.filter(|way| Some(way.network) != except)
            .fold(Totals::default(), |sum, way| Totals {
                count: sum.count.saturating_add(way.count),
                trusted: sum.trusted.saturating_add(way.trusted),
                hops_max: sum.hops_max.max(way.hops),
            })
    }

    pub(crate) fn forget(&mut self, address: FlipAddress) {
        self.table.remove(&address);
    }

    /// Forgets all ways to `address` but those over `network`, because of a LOCATE.
    pub(crate) fn forget_except(&mut self, now: Instant, address: FlipAddress, network: NetworkId) {
        let ways = self.locations(address).iter();
        let ways: Vec<Location> = ways.filter(|way| way.network != network).copied().collect();
        self.retain(address, |way| way.network == network);
        if !ways.is_empty() && self.doubted.len() < self.len_max {
            let until = now + DOUBTED_FOR;
            self.doubted.insert(address, Doubted { ways, until });
        }
    }

    /// Trusts no way to `address` any more but those over `network`, because of a LOCATE that asks
    /// for trusted ways.
    pub(crate) fn distrust_except(&mut self, address: FlipAddress, network: NetworkId) {
        if let Some(ways) = self.table.get_mut(&address) {
            let others = ways.iter_mut();
            others
                .filter(|way| way.network != network)
                .for_each(|way| way.trusted = 0);
        }
    }

    /// How many stations on one network are known ways to `address`.
    pub(crate) fn stations_on(&self, address: FlipAddress, network: NetworkId) -> usize {
        let ways = self.locations(address).iter();
        ways.filter(|way| way.network == network).count()
    }

    /// The stations on one network that listen to `address`, as far as is known, those that were
    /// forgotten a moment ago included.
    pub(crate) fn listeners(
        &self,
        now: Instant,
        address: FlipAddress,
        network: NetworkId,
    ) -> Vec<LinkAddress> {
        let known = self.locations(address).iter();
        let doubted = self.doubted.get(&address);
        let doubted = doubted.filter(|doubted| doubted.until > now);
        let doubted = doubted.map_or(&[][..], |doubted| &doubted.ways[..]);
        let (mut stations, mut seen) = (Vec::new(), BTreeSet::new());
        for way in known.chain(doubted) {
            if way.network == network && seen.insert(way.station) {
                stations.push(way.station);
            }
        }
        stations
    }

    /// Forgets the way to `address` through one station, if a packet with this budget may have
    /// taken it.
    pub(crate) fn forget_way(
        &mut self,
        address: FlipAddress,
        network: NetworkId,
        station: LinkAddress,
        budget: u16,
    ) {
        self.retain(address, |way| {
            (way.network, way.station) != (network, station) || way.hops > budget
        });
    }

    fn retain(&mut self, address: FlipAddress, keep: impl Fn(&Location) -> bool) {
        if let Some(ways) = self.table.get_mut(&address) {
            ways.retain(keep);
            if ways.is_empty() {
                self.table.remove(&address);
            }
        }
    }

    /// Everything grows older by one.
    pub(crate) fn sweep(&mut self, now: Instant, config: &Config) {
        self.doubted.retain(|_, doubted| doubted.until > now);
        let locations = || self.table.values().flatten();
        let age_max = match config.rules {
            Rules::Thesis => config.route_age_max,
            Rules::Amoeba5 if self.table.len() > self.len_max * 3 / 4 => {
                let sum: u64 = locations().map(|way| u64::from(way.idle) + 1).sum();
                (sum / (locations().count() as u64).max(1)) as u32
            }
            Rules::Amoeba5 => u32::MAX,
        };
        let aged = &mut self.aged;
        self.table.retain(|_, ways| {
            for way in ways.iter_mut() {
                way.idle = way.idle.saturating_add(1);
            }
            let before = ways.len();
            ways.retain(|way| way.idle < age_max);
            *aged += (before - ways.len()) as u64;
            !ways.is_empty()
        });
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.doubted.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn locations_len(&self) -> usize {
        self.table.values().map(Vec::len).sum()
    }

    pub(crate) fn doubted_len(&self) -> usize {
        self.doubted.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

fn find(ways: &mut [Location], network: NetworkId, station: LinkAddress) -> Option<&mut Location> {
    ways.iter_mut()
        .find(|way| (way.network, way.station) == (network, station))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> FlipAddress {
        FlipAddress::new([number, 1, 0, 0, 0, 0, 0, 0])
    }

    fn way(network: u8, station: u64, hops: u16) -> Location {
        Location {
            network: NetworkId(network),
            station: LinkAddress::Station(station),
            hops,
            count: 1,
            trusted: 1,
            idle: 0,
        }
    }

    #[test]
    fn the_lightest_way_off_the_arrival_network_wins() {
        // Scenario 16.
        let mut routes = Routes::new(&Config::default());
        routes.learn(address(1), way(0, 1, 1));
        routes.learn(address(1), way(1, 2, 3));
        let best =
            |routes: &mut Routes, budget, except| routes.best(address(1), budget, except, false);
        assert_eq!(best(&mut routes, 25, None), Found::Way(way(0, 1, 1)));
        assert_eq!(
            best(&mut routes, 25, Some(NetworkId(0))),
            Found::Way(way(1, 2, 3))
        );
        assert_eq!(best(&mut routes, 2, Some(NetworkId(0))), Found::Nothing);
    }

    #[test]
    fn a_full_table_evicts_what_was_used_least_recently() {
        // Scenario 40.
        let config = Config {
            routes_len_max: 3,
            ..Config::default()
        };
        let mut routes = Routes::new(&config);
        for number in 1..=3 {
            routes.learn(address(number), way(0, 1, 1));
        }
        routes.best(address(1), 25, None, false);
        routes.learn(address(4), way(0, 1, 1));
        let known: Vec<_> = routes.iter().map(|(address, _)| address).collect();
        assert_eq!(known, [address(1), address(3), address(4)]);
    }

    #[test]
    fn routes_age_under_the_thesis_and_only_under_pressure_in_amoeba() {
        // Scenario 39.
        let thesis = Config {
            route_age_max: 3,
            ..Config::default()
        };
        let mut routes = Routes::new(&thesis);
        routes.learn(address(1), way(0, 1, 1));
        routes.sweep(Instant::ZERO, &thesis);
        routes.sweep(Instant::ZERO, &thesis);
        assert_eq!(routes.len(), 1);
        routes.sweep(Instant::ZERO, &thesis);
        assert!(routes.is_empty());

        let amoeba = Config {
            routes_len_max: 4,
            ..Config::amoeba5()
        };
        let mut routes = Routes::new(&amoeba);
        routes.learn(address(1), way(0, 1, 1));
        routes.learn(address(2), way(0, 1, 1));
        for _ in 0..1_000 {
            routes.sweep(Instant::ZERO, &amoeba);
        }
        assert_eq!(routes.len(), 2);
        routes.learn(address(3), way(0, 1, 1));
        routes.learn(address(4), way(0, 1, 1));
        routes.sweep(Instant::ZERO, &amoeba);
        assert_eq!(
            routes
                .iter()
                .map(|(address, _)| address)
                .collect::<Vec<_>>(),
            [address(3), address(4)]
        );
    }
}
