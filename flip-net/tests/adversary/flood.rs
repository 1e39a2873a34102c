//! Floods: a hundred thousand of everything that makes a box remember or answer. Tables keep their
//! bounds, and when it is over a sender that repeats gets through. What makes it queue: `queues.rs`.

use flip_net::address::{FlipAddress, LinkAddress, NetworkId};
use flip_net::flip_box::Drop;
use flip_net::time::Duration;
use flip_net::wire::{Flags, Flow, Kind, Repr};

use super::lab::{A, GROUP, HOMES, Lab, S};

pub(crate) const FLOOD: u64 = 100_000;
/// Between two frames of a flood.
pub(crate) const PAUSE: Duration = Duration::from_micros(10);
pub(crate) const CABLE: NetworkId = NetworkId(0);

pub(crate) fn address(number: u64) -> FlipAddress {
    FlipAddress::new((0x7700_0000_0000_0000 | number << 8).to_be_bytes())
}

pub(crate) fn station(number: u64) -> LinkAddress {
    LinkAddress::Station(1_000 + number)
}

/// A packet on cable 0, from `source` to `destination`.
pub(crate) fn packet(kind: Kind, source: FlipAddress, destination: FlipAddress) -> Repr {
    Repr {
        kind,
        flags: Flags::default(),
        actual: 3,
        maximum: 20,
        destination,
        source,
        message: 7,
        offset: 0,
        total: 0,
    }
}

/// Hands frames to a node of a lab in which there has been a conversation, checks the bounds now
/// and then, and whether the conversation goes on.
pub(crate) fn flood(
    to: usize,
    count: u64,
    mut frame: impl FnMut(u64) -> (LinkAddress, Vec<u8>),
) -> Lab {
    let mut lab = Lab::new();
    lab.gets_through();
    for number in 0..count {
        let (from, bytes) = frame(number);
        lab.inject(to, CABLE, from, &bytes);
        lab.run_for(PAUSE);
        if number % 5_000 == 0 {
            lab.check_bounds();
        }
    }
    lab.check_bounds();
    lab.gets_through();
    lab
}

pub(crate) fn dropped(lab: &Lab, node: usize, reason: Drop) -> u64 {
    let stats = lab.nodes[node].flip.stats();
    stats.dropped.get(&reason).copied().unwrap_or(0)
}

#[test]
fn locates_from_many_sources() {
    let lab = flood(S, FLOOD, |number| {
        let sought = address(FLOOD + number);
        let locate = packet(Kind::Locate, address(number), sought);
        (station(number), locate.emit_behind(Some(0), b""))
    });
    let routes = lab.nodes[S].flip.sizes().routes;
    assert!(routes > 4_000, "the table was full: {routes}");
    assert!(dropped(&lab, S, Drop::TooManyLocates) < FLOOD);
}

#[test]
fn locates_from_many_sources_in_no_time() {
    let mut lab = Lab::new();
    lab.gets_through();
    for number in 0..FLOOD {
        let locate = packet(Kind::Locate, address(number), HOMES[A].one_way());
        let bytes = locate.emit_behind(Some(0), b"");
        lab.inject(S, CABLE, station(number), &bytes);
    }
    lab.check_bounds();
    assert!(dropped(&lab, S, Drop::TooManyLocates) > FLOOD / 2);
    lab.gets_through();
}

#[test]
fn requests_to_hear_many_multicast_addresses() {
    let lab = flood(S, 2 * FLOOD, |number| {
        let address = address(number / 2);
        if number % 2 == 0 {
            // Somebody listens behind another network.
            let packet = packet(Kind::MultiData, address, GROUP.one_way());
            return (station(number), packet.emit_behind(Some(0), b""));
        }
        let group = address.link_multicast();
        let request = Flow::MulticastRequest { group, address };
        (station(number), request.emit())
    });
    assert!(lab.nodes[S].flip.sizes().heard <= lab.nodes[S].flip.bounds().heard);

    let mut lab = Lab::new();
    lab.gets_through();
    for number in 0..FLOOD {
        let wanted = address(number);
        let packet = Repr {
            actual: 4,
            ..packet(Kind::UniData, wanted, HOMES[A].one_way())
        };
        lab.inject(S, NetworkId(1), station(number), &packet.emit(b""));
        let group = wanted.link_multicast();
        let request = Flow::MulticastRequest {
            group,
            address: wanted,
        };
        lab.inject(S, CABLE, station(number), &request.emit());
    }
    lab.check_bounds();
    let sizes = lab.nodes[S].flip.sizes();
    assert_eq!(
        sizes.heard,
        lab.nodes[S].flip.bounds().heard,
        "as many as may be"
    );
    lab.gets_through();
    lab.run_for(Duration::from_secs(600));
    assert_eq!(
        lab.nodes[S].flip.sizes().heard,
        0,
        "nobody wants them any more"
    );
}

#[test]
fn answers_about_multicasts_that_nobody_asked_for() {
    let lab = flood(S, FLOOD, |number| {
        let address = address(number);
        let answer = match number % 2 {
            0 => Flow::MulticastAck(address),
            _ => Flow::MulticastNak(address),
        };
        (station(number), answer.emit())
    });
    assert_eq!(lab.nodes[S].flip.sizes().agreements, 0);
}

#[test]
fn credits_from_many_stations() {
    for flow in [
        Flow::Request,
        Flow::Credit(255),
        Flow::Credit(0),
        Flow::Absolute(0),
    ] {
        for to in [A, S] {
            let lab = flood(to, FLOOD, |number| (station(number), flow.emit()));
            let accounts = lab.nodes[to].flip.accounts_len();
            assert!(accounts > 4_000, "the table was full: {accounts}");
        }
    }
}
