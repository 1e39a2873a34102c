//! How a processor is attached to a UDP network, and why it could not be.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Frames between processors of one host.
const MTU_LOOPBACK: usize = 60 << 10;

/// How a processor is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// The address of the interface; one of loopback stays on this host.
    pub interface: IpAddr,
    /// The port of the own socket; 0 takes any.
    pub port: u16,
    /// The multicast group and port of the run, if it should be tried.
    pub multicast: Option<SocketAddr>,
    /// The largest frame.
    pub mtu: usize,
    /// Takes frames from stations that are no peers too.
    pub accept_strangers: bool,
}

impl UdpConfig {
    /// Between processors of this host, with long frames.
    pub fn loopback(multicast: Option<SocketAddr>) -> UdpConfig {
        UdpConfig {
            multicast,
            ..UdpConfig::at(Ipv4Addr::LOCALHOST.into(), MTU_LOOPBACK)
        }
    }

    /// On the interface with this address.
    pub fn at(interface: IpAddr, mtu: usize) -> UdpConfig {
        UdpConfig {
            interface,
            port: 0,
            multicast: None,
            mtu,
            accept_strangers: false,
        }
    }
}

/// Why a UDP network could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// No datagram carries such frames.
    #[error("frames of {mtu} bytes do not fit into UDP: choose an mtu from {least} to {most}")]
    Mtu {
        /// What was asked for.
        mtu: usize,
        /// The least that makes sense.
        least: usize,
        /// What a datagram carries.
        most: usize,
    },
    /// The address belongs to no interface.
    #[error(
        "{interface} does not say by which interface frames leave: \
         name an address of this host, such as its source address towards a peer"
    )]
    NoInterface {
        /// What was given.
        interface: IpAddr,
    },
    /// The socket did not open there.
    #[error(
        "cannot open a UDP socket at {address}: {source}; \
         it must be an address of this host, and the port must be free"
    )]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gave something else not.
    #[error("cannot set up a UDP network: {0}")]
    System(#[from] io::Error),
}

impl From<UdpError> for io::Error {
    fn from(error: UdpError) -> io::Error {
        let kind = match &error {
            UdpError::Mtu { .. } | UdpError::NoInterface { .. } => io::ErrorKind::InvalidInput,
            UdpError::Bind { source, .. } | UdpError::System(source) => source.kind(),
        };
        io::Error::new(kind, error)
    }
}
