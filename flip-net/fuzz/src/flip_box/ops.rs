//! What the inputs of the target mean: operations on a box, and the frames and addresses in them.

use arbitrary::Arbitrary;
use flip_net::address::FlipAddress;
use flip_net::time::Duration;
use flip_net::wire::{Flags, Flow, HEADER_LEN, Kind, Repr};
use flip_net::{Config, Link, Pace, Rules, SendOptions, Timing};

#[derive(Arbitrary, Debug)]
pub(super) struct Setup {
    pub(super) amoeba_rules: bool,
    pub(super) amoeba_timing: bool,
    pub(super) flat: bool,
    pub(super) paced: bool,
    pub(super) networks: [NetworkSetup; 3],
    pub(super) networks_len: u8,
}

#[derive(Arbitrary, Debug)]
pub(super) struct NetworkSetup {
    pub(super) flow: bool,
    pub(super) multicast: bool,
    pub(super) trusted: bool,
    pub(super) short: bool,
    pub(super) weight: u8,
}

#[derive(Arbitrary, Debug)]
pub(super) enum Op<'a> {
    /// Bytes, whatever they are.
    Raw {
        at: At,
        bytes: &'a [u8],
    },
    /// A packet that makes sense.
    Packet {
        at: At,
        credits: u8,
        packet: PacketOp,
    },
    /// A packet with a bit turned over.
    Damaged {
        at: At,
        packet: PacketOp,
        bit: u16,
    },
    Flow {
        at: At,
        kind: u8,
        count: u8,
        address: u8,
    },
    Register {
        interface: u8,
        address: u8,
    },
    Unregister {
        endpoint: u8,
    },
    End {
        interface: u8,
    },
    Unicast {
        from: u8,
        to: u8,
        len: u16,
        how: How,
    },
    Multicast {
        from: u8,
        to: u8,
        len: u16,
        how: How,
        at_least: u8,
    },
    Broadcast {
        from: u8,
        len: u8,
        hops: u16,
    },
    AskAgain {
        from: u8,
        sender: u8,
        message: u8,
        start: u16,
        len: u16,
    },
    Control {
        network: u8,
        on: bool,
        trusted: bool,
    },
    /// The one above takes no events for a while.
    Stall(bool),
    Wait {
        millis: u16,
    },
    NextDeadline,
    /// Two stations say that they have an address, and that they hear its multicasts.
    Listeners {
        network: u8,
        address: u8,
    },
}

#[derive(Arbitrary, Debug)]
pub(super) struct At {
    pub(super) network: u8,
    pub(super) station: u8,
}

#[derive(Arbitrary, Debug)]
pub(super) struct PacketOp {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) actual: u8,
    pub(super) maximum: u8,
    pub(super) destination: u8,
    pub(super) source: u8,
    pub(super) message: u8,
    pub(super) offset: u16,
    pub(super) len: u8,
    pub(super) total: u16,
}

#[derive(Arbitrary, Debug)]
pub(super) struct How {
    pub(super) security: bool,
    pub(super) relocate: bool,
    pub(super) skip_own: bool,
    pub(super) at_once: bool,
}

impl Setup {
    pub(super) fn links(&self) -> Vec<Link> {
        let networks = self.networks.iter();
        networks
            .take(1 + usize::from(self.networks_len % 3))
            .map(|network| Link {
                mtu: HEADER_LEN + if network.short { 8 } else { 700 },
                weight: 1 + u16::from(network.weight % 5),
                multicast: network.multicast,
                trusted: network.trusted,
                flow: network.flow,
            })
            .collect()
    }
}

pub(super) fn config(setup: &Setup) -> Config {
    Config {
        rules: [Rules::Thesis, Rules::Amoeba5][usize::from(setup.amoeba_rules)],
        timing: [Timing::Modern, Timing::Amoeba5][usize::from(setup.amoeba_timing)],
        flat: setup.flat,
        routes_len_max: 4,
        locations_len_max: 3,
        sweep_interval: Duration::from_millis(500),
        route_age_max: 3,
        locates_per_second: 50,
        locates_len_max: 3,
        waiting_bytes_max: 5_000,
        queued_bytes_max: 12_000,
        pace: setup.paced.then_some(Pace {
            burst: 2_000,
            per_millisecond: 20,
            per_millisecond_max: 200,
        }),
        credits_max: 3,
        credits_owed_max: 2,
        heard_len_max: 2,
        kept_time: Duration::from_millis(100),
        kept_bytes_max: 6_000,
        message_len_max: 5_000,
        ..Config::default()
    }
}

/// Addresses are few, so that packets are about each other.
pub(super) fn private(number: u8) -> FlipAddress {
    match number % 8 {
        0 => FlipAddress::NULL,
        number => FlipAddress::new([number; 8]),
    }
}

pub(super) fn public(number: u8) -> FlipAddress {
    private(number).one_way()
}

impl PacketOp {
    /// The bytes on a link.
    pub(super) fn emit(&self, link: &Link, credits: u8) -> Vec<u8> {
        let total = u32::from(self.total) % 6_000;
        let offset = u32::from(self.offset).checked_rem(total).unwrap_or(0);
        let len = u32::from(self.len).min(total - offset);
        let count = 1 + u16::from(self.len % 3);
        let trusted = u16::from(self.offset as u8) % (count + 1);
        let kind = match self.kind % 7 {
            0 => Kind::Locate,
            1 => Kind::HereIs { count, trusted },
            2 => Kind::UniData,
            3 => Kind::MultiData,
            4 => Kind::NotHere,
            5 => Kind::Untrusted,
            _ => Kind::Again,
        };
        let is_counted = matches!(kind, Kind::HereIs { .. });
        let repr = Repr {
            kind,
            flags: Flags {
                security: self.flags & 1 != 0,
                unreachable: self.flags & 2 != 0,
                tainted: self.flags & 4 != 0,
            },
            actual: (self.actual % 30).into(),
            maximum: (self.maximum % 30).into(),
            destination: public(self.destination),
            source: public(self.source),
            message: self.message.into(),
            offset: if is_counted { 0 } else { offset },
            total,
        };
        let payload = match kind {
            // Parts of messages that can be there.
            Kind::Again => [0, 0, 0, 0, self.len, self.actual % 4, 0, 0].repeat(len as usize / 8),
            _ => vec![self.message; len as usize],
        };
        repr.emit_behind(link.flow.then_some(credits), &payload)
    }
}

pub(super) fn flow(kind: u8, count: u8, address: FlipAddress) -> Flow {
    let group = address.link_multicast();
    match kind % 6 {
        0 => Flow::Request,
        1 => Flow::Credit(count),
        2 => Flow::MulticastRequest { group, address },
        3 => Flow::MulticastAck(address),
        4 => Flow::MulticastNak(address),
        _ => Flow::Absolute(count),
    }
}

pub(super) fn options(how: &How) -> SendOptions {
    SendOptions {
        security: how.security,
        relocate: how.relocate,
        skip_own: how.skip_own,
        locate_time: Duration::from_millis(if how.at_once { 0 } else { 200 }),
    }
}

/// Somebody answers that `address` is there.
pub(super) fn here_is(link: &Link, address: FlipAddress) -> Repr {
    let (count, trusted) = (1, 1);
    Repr {
        kind: Kind::HereIs { count, trusted },
        flags: Flags::default(),
        actual: 0,
        maximum: link.weight,
        destination: address,
        source: public(7),
        message: 0,
        offset: 0,
        total: 4,
    }
}
