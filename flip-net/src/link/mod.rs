//! What a link is to a box: sizes, a weight, and two properties. No device, no wire.
//!
//! Implements: [Thesis §2.4.2], networks and their weights; facts sheet 1.4.

pub mod fault;

use crate::wire::HEADER_LEN;

/// The properties of one attached network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The largest packet: FLIP header and payload, a flow-control header not counted.
    pub mtu: usize,
    /// What it costs to cross it. The host interface costs nothing, so this is at least 1.
    pub weight: u16,
    /// Whether one frame can reach many stations. If not, the box sends one to each.
    pub multicast: bool,
    /// Whether packets may cross it that ask for security.
    pub trusted: bool,
    /// Whether packets carry the flow-control header in front of FLIP's: credits between
    /// neighbours, and data-link multicast addresses that are agreed on before they are used.
    pub flow: bool,
}

impl Link {
    /// The Ethernet of the thesis: 1,458 bytes of payload, weight 3.
    pub const fn ethernet() -> Link {
        Link {
            mtu: 1_498,
            weight: 3,
            multicast: true,
            trusted: true,
            flow: true,
        }
    }

    /// The network between processors of one process.
    pub const fn memory() -> Link {
        Link {
            mtu: 60 << 10,
            weight: 1,
            multicast: true,
            trusted: true,
            flow: false,
        }
    }

    /// Shared memory between processors of one host, with records of at most `mtu` bytes.
    pub const fn shm(mtu: usize) -> Link {
        Link {
            mtu,
            weight: 1,
            multicast: true,
            trusted: true,
            flow: false,
        }
    }

    /// UDP with datagrams of at most `mtu` bytes.
    pub const fn udp(mtu: usize, multicast: bool) -> Link {
        Link {
            mtu,
            weight: 4,
            multicast,
            trusted: true,
            flow: false,
        }
    }

    /// A tunnel: two boxes with somebody else's network in between. It has one other station, so one
    /// frame reaches all; it weighs more than anything near.
    pub const fn tunnel(mtu: usize) -> Link {
        Link {
            mtu,
            weight: 10,
            multicast: true,
            trusted: true,
            flow: false,
        }
    }

    /// Bytes of a message that fit into one frame.
    pub const fn payload_len_max(&self) -> usize {
        self.mtu - HEADER_LEN
    }
}
