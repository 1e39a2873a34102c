//! Who is on the network: stations and their addresses, whom frames are accepted from, and where a
//! frame for all has to go so that every peer gets it once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::control::{self, EXCEPT_MAX};
use crate::address::LinkAddress;
use crate::driver::os::name::normalised;

/// Marks the station numbers of IPv6 addresses: they do not fit, so the rest is a hash, the same at
/// every station, and a table says what it stands for.
const INTERNED: u64 = 1 << 63;
/// The most IPv6 stations, ever.
const STATIONS_MAX: usize = 1 << 16;
/// The most of these that nobody has configured.
const STRANGERS_MAX: usize = 256;

/// Whether a peer answered a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    Unknown,
    Hears,
}

/// Where a frame for all goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// To the group, with these bytes in front.
    pub(super) multicast: Option<(SocketAddr, Vec<u8>)>,
    /// And to each of these.
    pub(super) copies: Vec<SocketAddr>,
}

/// Everybody that is known.
pub(super) struct Directory {
    own: SocketAddr,
    accept_strangers: bool,
    /// Bytes that a datagram has left beside the longest frame.
    room: usize,
    peers: BTreeMap<SocketAddr, Hearing>,
    group: Option<SocketAddr>,
    route: Route,
    interned: BTreeMap<u64, SocketAddrV6>,
    strangers: usize,
}

impl Directory {
    pub(super) fn new(own: SocketAddr, accept_strangers: bool, room: usize) -> Directory {
        let mut directory = Directory {
            own,
            accept_strangers,
            room,
            peers: BTreeMap::new(),
            group: None,
            route: Route::default(),
            interned: BTreeMap::new(),
            strangers: 0,
        };
        assert!(directory.intern(own), "an empty table has room");
        directory
    }

    /// Replaces the peers; the own address is left out. What is known about those who stay, stays.
    pub(super) fn set_peers(&mut self, peers: &[SocketAddr]) {
        let before = std::mem::take(&mut self.peers);
        for peer in peers {
            let peer = self.scoped(normalised(*peer));
            if peer != self.own && self.intern(peer) {
                let hearing = before.get(&peer).copied().unwrap_or(Hearing::Unknown);
                self.peers.insert(peer, hearing);
            }
        }
        self.plan_route();
    }

    /// A link-local peer without a scope is on the own link.
    fn scoped(&self, peer: SocketAddr) -> SocketAddr {
        match (self.own, peer) {
            (SocketAddr::V6(own), SocketAddr::V6(mut peer))
                if peer.ip().is_unicast_link_local() && peer.scope_id() == 0 =>
            {
                peer.set_scope_id(own.scope_id());
                SocketAddr::V6(peer)
            }
            _ => peer,
        }
    }

    pub(super) fn set_group(&mut self, group: SocketAddr) {
        self.group = Some(group);
        self.plan_route();
    }

    pub(super) fn group(&self) -> Option<SocketAddr> {
        self.group
    }

    pub(super) fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// A peer has answered a probe. Says whether that is news.
    pub(super) fn set_hearing(&mut self, peer: SocketAddr) -> bool {
        let hearing = self.peers.get_mut(&peer);
        let is_news = hearing
            .is_some_and(|hearing| std::mem::replace(hearing, Hearing::Hears) == Hearing::Unknown);
        if is_news {
            self.plan_route();
        }
        is_news
    }

    /// Whether this is a peer that has not answered yet.
    pub(super) fn is_waited_for(&self, peer: SocketAddr) -> bool {
        self.peers.get(&peer) == Some(&Hearing::Unknown)
    }

    /// The peers that hear the group.
    pub(super) fn hearing(&self) -> Vec<SocketAddr> {
        self.select(Hearing::Hears)
    }

    /// Whether every peer hears the group.
    pub(super) fn all_hear(&self) -> bool {
        let mut hearing = self.peers.values();
        self.group.is_some() && hearing.all(|hearing| *hearing == Hearing::Hears)
    }

    fn select(&self, wanted: Hearing) -> Vec<SocketAddr> {
        let peers = self.peers.iter();
        peers
            .filter(|(_, hearing)| **hearing == wanted)
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Whether the answer to a probe should go there. Peers may be set after the first probes of
    /// others come, so until then everybody gets one; it is no longer than the probe.
    pub(super) fn is_answered(&self, from: SocketAddr) -> bool {
        self.accept_strangers || self.peers.is_empty() || self.peers.contains_key(&from)
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    fn plan_route(&mut self) {
        let (hearing, deaf) = (self.select(Hearing::Hears), self.select(Hearing::Unknown));
        self.route = match self.group {
            Some(group) if self.pays(hearing.len(), deaf.len()) => {
                let prefix = match deaf.as_slice() {
                    [] => Vec::new(),
                    deaf => control::except(deaf),
                };
                let multicast = Some((group, prefix));
                let copies = deaf;
                Route { multicast, copies }
            }
            _ => Route {
                multicast: None,
                copies: self.peers.keys().copied().collect(),
            },
        };
        if let Some((_, prefix)) = &self.route.multicast
            && prefix.len() > self.room
        {
            self.route.multicast = None;
            self.route.copies = self.peers.keys().copied().collect();
        }
    }

    /// Whether a multicast is worth it. A single peer is better off with a copy: that costs the
    /// same and does not come back to the sender. Strangers, though, get nothing but multicasts.
    fn pays(&self, hearing: usize, deaf: usize) -> bool {
        (hearing > 1 || self.accept_strangers) && deaf <= EXCEPT_MAX
    }

    /// The station that frames from this address come from, if they are accepted without ado.
    pub(super) fn known(&self, from: SocketAddr) -> Option<LinkAddress> {
        let is_accepted = self.accept_strangers || self.peers.contains_key(&from);
        is_accepted.then(|| self.station_of(from)).flatten()
    }

    /// Whether frames from somebody who is not [`known`](Directory::known) may be accepted.
    pub(super) fn accepts_strangers(&self) -> bool {
        self.accept_strangers
    }

    /// Makes a stranger known. None if there are too many of them.
    pub(super) fn admit(&mut self, from: SocketAddr) -> Option<LinkAddress> {
        if self.strangers >= STRANGERS_MAX || !self.intern(from) {
            return None;
        }
        self.strangers += 1;
        self.station_of(from)
    }

    /// The station of an address, if it has one already.
    pub(super) fn station_of(&self, address: SocketAddr) -> Option<LinkAddress> {
        let number = number_of(address);
        let is_known = self.address_of(number) == Some(address);
        is_known.then_some(LinkAddress::Station(number))
    }

    /// The address of a station.
    pub(super) fn address_of(&self, station: u64) -> Option<SocketAddr> {
        if station & INTERNED == 0 {
            let ip = Ipv4Addr::from((station >> 16) as u32);
            return Some(SocketAddr::V4(SocketAddrV4::new(ip, station as u16)));
        }
        self.interned.get(&station).copied().map(SocketAddr::V6)
    }

    /// Gives an address a station. Says whether it has one: the table has a bound, and in theory
    /// somebody else may have the number.
    fn intern(&mut self, address: SocketAddr) -> bool {
        if let SocketAddr::V6(v6) = address
            && self.interned.len() < STATIONS_MAX
        {
            self.interned.entry(number_of(address)).or_insert(v6);
        }
        self.station_of(address).is_some()
    }
}

/// The number of a station: address and port where they fit, and else a hash of them (FNV-1a).
fn number_of(address: SocketAddr) -> u64 {
    let port = address.port();
    match address {
        SocketAddr::V4(v4) => u64::from(u32::from(*v4.ip())) << 16 | u64::from(port),
        SocketAddr::V6(v6) => {
            let bytes = v6.ip().octets().into_iter().chain(port.to_be_bytes());
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            INTERNED | hash
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn with_peers(count: usize) -> (Directory, Vec<SocketAddr>) {
        let mut directory = Directory::new(address("10.0.0.1:1"), false, 200);
        let peers: Vec<_> = (0..count)
            .map(|at| address(&format!("10.0.1.{at}:1")))
            .collect();
        directory.set_peers(&peers);
        directory.set_group(address("239.1.1.1:1"));
        (directory, peers)
    }

    #[test]
    fn stations_and_addresses_are_the_same_thing() {
        let mut directory = Directory::new(address("[fd00::1]:9"), true, 0);
        let v4 = address("10.1.2.250:54321");
        let v6 = address("[fd00::2]:54321");
        assert_eq!(directory.known(v6), None);
        assert!(directory.admit(v6).is_some());
        for address in [v4, v6, address("[fd00::1]:9")] {
            let Some(LinkAddress::Station(station)) = directory.station_of(address) else {
                panic!("{address} has no station")
            };
            assert_eq!(station & INTERNED != 0, address.is_ipv6());
            assert_eq!(directory.address_of(station), Some(address));
        }
        assert_eq!(directory.address_of(INTERNED | 3), None);
        assert_eq!(directory.station_of(address("[fd00::2]:1")), None);
    }

    #[test]
    fn strangers_are_few() {
        let mut directory = Directory::new(address("[fd00::1]:9"), true, 0);
        let admitted = (1..=1_000_u16)
            .filter(|port| {
                directory
                    .admit(SocketAddr::new(address("[fd00::2]:1").ip(), *port))
                    .is_some()
            })
            .count();
        assert_eq!(admitted, STRANGERS_MAX);
        let late = address("[fd00::3]:1");
        directory.set_peers(&[late]);
        assert!(directory.known(late).is_some(), "peers have room");
    }

    #[test]
    fn every_peer_has_one_way() {
        let (mut directory, peers) = with_peers(3);
        let group = address("239.1.1.1:1");
        assert_eq!(directory.route().multicast, None);
        assert_eq!(directory.route().copies, peers);
        assert!(directory.set_hearing(peers[0]));
        assert_eq!(directory.route().copies, peers, "one alone gets a copy");
        assert!(directory.set_hearing(peers[2]));
        assert!(!directory.set_hearing(peers[2]));
        let prefix = control::except(&[peers[1]]);
        assert_eq!(directory.route().multicast, Some((group, prefix)));
        assert_eq!(directory.route().copies, [peers[1]]);
        assert!(directory.set_hearing(peers[1]));
        assert_eq!(directory.route().multicast, Some((group, Vec::new())));
        assert_eq!(directory.route().copies, []);
        assert!(!directory.set_hearing(address("10.9.9.9:1")));
        assert!(directory.all_hear());
    }

    #[test]
    fn many_who_do_not_hear_end_the_multicast() {
        let (mut directory, peers) = with_peers(EXCEPT_MAX + 3);
        peers[..2].iter().for_each(|peer| {
            directory.set_hearing(*peer);
        });
        assert_eq!(directory.route().multicast, None);
        assert_eq!(directory.route().copies, peers);
        directory.set_hearing(peers[2]);
        assert!(directory.route().multicast.is_some());
    }

    #[test]
    fn a_list_that_does_not_fit_ends_the_multicast() {
        let (mut directory, peers) = with_peers(4);
        directory.room = 10;
        directory.set_hearing(peers[0]);
        directory.set_hearing(peers[1]);
        assert_eq!(directory.route().copies, peers);
        directory.set_hearing(peers[2]);
        assert_eq!(directory.route().copies, peers[3..]);
    }
}
