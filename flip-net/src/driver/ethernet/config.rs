//! How a processor is attached to an Ethernet, and why it could not be.

use std::io;

use crate::rng::Rng;

/// Whose address the frames of a processor carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Station {
    /// That of the interface. One processor of an interface can have it.
    Own,
    /// One of the processor's own: locally administered, and no group.
    Drawn([u8; 6]),
}

impl Station {
    /// An address that nobody else is likely to have.
    pub fn draw(rng: &mut Rng) -> Station {
        let [_, _, a, b, c, d, e, f] = rng.next_u64().to_be_bytes();
        Station::Drawn([a & !3 | 2, b, c, d, e, f])
    }
}

/// How a processor is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthernetConfig {
    /// The name of the interface.
    pub interface: String,
    /// Whose address its frames carry.
    pub station: Station,
    /// The largest packet, if it should be smaller than the interface allows; the flow-control
    /// header is not counted. All stations of a network need the same.
    pub mtu: Option<usize>,
}

/// Why an Ethernet could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum EthernetError {
    /// There is no interface of this name.
    #[error("there is no interface {interface}; there are: {existing}")]
    NoInterface {
        /// What was asked for.
        interface: String,
        /// What there is.
        existing: String,
    },
    /// It carries something else.
    #[error("interface {interface} does not carry Ethernet frames; use UDP over it")]
    NotEthernet {
        /// What was asked for.
        interface: String,
    },
    /// Raw frames are for the privileged.
    #[error(
        "no permission to send raw frames on {interface}: that takes CAP_NET_RAW; \
         run as root, or give it to the program with `setcap cap_net_raw+ep`"
    )]
    NoPermission {
        /// What was asked for.
        interface: String,
    },
    /// The interface has no address to use.
    #[error("interface {interface} has no hardware address: draw one for each processor")]
    NoStation {
        /// What was asked for.
        interface: String,
    },
    /// This is no address to draw.
    #[error(
        "{address:02x?} is no address that a processor may draw: \
         the first byte must end in the bits 10, locally administered and no group"
    )]
    BadStation {
        /// What was asked for.
        address: [u8; 6],
    },
    /// The interface does not carry such packets.
    #[error(
        "interface {interface} does not carry packets of {mtu} bytes: choose {least} to {most}, \
         or give the interface a larger mtu"
    )]
    Mtu {
        /// What was asked for.
        interface: String,
        /// And how much of it.
        mtu: usize,
        /// The least that makes sense.
        least: usize,
        /// What it carries.
        most: usize,
    },
    /// The system refused something else.
    #[error("cannot {what} on {interface}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        interface: String,
        /// What the system says.
        source: io::Error,
    },
}
