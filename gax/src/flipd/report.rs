//! What flipd tells of itself: one JSON document, whose fields stay what they are (flipd(1) describes them; new ones
//! may come).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stack::flip_net::FlipBox;
use stack::flip_net::address::NetworkId;
use stack::flip_net::flip_box::{Kinds, NetworkStats};
use stack::flip_net::time::Instant;

use super::config::Network;
use super::networks::Opened;

/// The most ways that are told; a table may have many more.
pub const WAYS_MAX: usize = 10_000;
/// The longest document, as who asks has to believe in some bound.
pub const REPORT_LEN_MAX: u64 = 16 << 20;

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of flipd.
    pub version: String,
    /// Seconds since it was started.
    pub up_s: u64,
    /// In the order of the configuration.
    pub networks: Vec<NetworkReport>,
    /// Packets that were thrown away, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// The routing table: a way an entry, in the order of addresses.
    pub routes: Vec<Way>,
    /// Ways that are in the table and not in here, since there are too many.
    pub routes_left_out: u64,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReport {
    pub name: String,
    pub kind: String,
    pub weight: u16,
    /// The largest packet in bytes, header included.
    pub mtu: usize,
    pub on: bool,
    pub trusted: bool,
    pub keyed: bool,
    /// Where others find this station; null if it has no address.
    pub address: Option<String>,
    /// Of a tunnel over TCP; null for others.
    pub tunnel: Option<Tunnel>,
    pub sent: Traffic,
    pub received: Traffic,
    /// Packets that the network, or the way to it, did not take.
    pub lost: u64,
    /// What came in and was thrown away before flipd looked at it, by reason. An older flipd does not tell.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
}

/// Whether a tunnel is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The address of the peer; null while there is no connection.
    pub peer: Option<String>,
    /// Connections so far.
    pub connections: u64,
    /// Why the last one, or the last attempt at one, came to its end.
    pub ended: Option<String>,
}

/// Packets of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// A multicast packet is one.
    pub packets: u64,
    /// Headers included.
    pub bytes: u64,
    /// Packets by type: LOCATE, HEREIS, UNIDATA, MULTIDATA, NOTHERE, UNTRUSTED, AGAIN.
    pub types: BTreeMap<String, u64>,
}

/// A known way to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The FLIP address, 16 hexadecimal digits.
    pub address: String,
    /// The name of the network to take.
    pub network: String,
    /// The station on it.
    pub station: String,
    /// The weight of the way.
    pub hops: u16,
    /// Endpoints behind the station, and how many of them over trusted networks only.
    pub count: u16,
    pub trusted: u16,
    /// Seconds since the last packet from there, rounded down to whole sweeps of the table.
    pub idle_s: u64,
}

/// What the box, its networks and the configuration say now. The networks are those of the box, in its order.
pub fn collect(flip: &FlipBox, now: Instant, networks: &[(Network, Opened)]) -> Report {
    let stats = flip.stats();
    let links = flip.networks().zip(networks).zip(&stats.networks);
    let mut dropped = BTreeMap::new();
    for (reason, count) in &stats.dropped {
        *dropped.entry(reason.to_string()).or_default() += count;
    }
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        up_s: now.as_micros() / 1_000_000,
        networks: links
            .map(
                |(((_, link, on), (network, opened)), stats)| NetworkReport {
                    on,
                    trusted: link.trusted,
                    weight: link.weight,
                    mtu: link.mtu,
                    ..network_report(network, opened, stats)
                },
            )
            .collect(),
        dropped,
        routes: Vec::new(),
        routes_left_out: 0,
    };
    add_routes(&mut report, flip, networks);
    report
}

fn network_report(network: &Network, opened: &Opened, stats: &NetworkStats) -> NetworkReport {
    let tunnel = opened.tunnel.as_ref().map(|tunnel| {
        let state = tunnel.state();
        Tunnel {
            peer: state.peer.map(|peer| peer.to_string()),
            connections: state.connections,
            ended: state.ended,
        }
    });
    NetworkReport {
        name: network.name.clone(),
        kind: network.carrier.kind().name().to_owned(),
        weight: network.weight,
        mtu: opened.link(network).mtu,
        on: true,
        trusted: network.trusted,
        keyed: network.key.is_some(),
        address: opened.address.map(|address| address.to_string()),
        tunnel,
        sent: traffic(&stats.sent, stats.bytes_sent),
        received: traffic(&stats.received, stats.bytes_received),
        lost: opened.device.lost(),
        dropped: named(opened.device.drops()),
    }
}

fn named(counts: BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    let counts = counts.into_iter();
    counts
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

fn traffic(kinds: &Kinds, bytes: u64) -> Traffic {
    Traffic {
        packets: kinds.total(),
        bytes,
        types: named(kinds.by_name().collect()),
    }
}

fn add_routes(report: &mut Report, flip: &FlipBox, networks: &[(Network, Opened)]) {
    let sweep_s = super::serve::flip_config().sweep_interval.as_micros() / 1_000_000;
    let ways = flip
        .routes()
        .flat_map(|(address, ways)| ways.iter().map(move |way| (address, way)));
    for (address, way) in ways {
        if report.routes.len() == WAYS_MAX {
            report.routes_left_out += 1;
            continue;
        }
        let NetworkId(at) = way.network;
        let (network, opened) = &networks[usize::from(at)];
        report.routes.push(Way {
            address: address.to_string(),
            network: network.name.clone(),
            station: opened.station(way.station),
            hops: way.hops,
            count: way.count,
            trusted: way.trusted,
            idle_s: u64::from(way.idle) * sweep_s,
        });
    }
}
