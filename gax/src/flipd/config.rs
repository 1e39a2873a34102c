//! The configuration of flipd: what is asked for, from text. Nothing is opened, resolved or read here; what comes out
//! makes sense by itself. The first mistake is told with its line.

mod reader;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use reader::{File, Reader};

/// The most networks of a box.
const NETWORKS_MAX: usize = 255;
/// Frames where nothing limits them, such as those of processors on one host.
const MTU_LONG: usize = 60 << 10;
/// A datagram that an Ethernet carries whole.
const MTU_DATAGRAM: usize = 1_472;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The socket for `flipd status`, if not the usual one.
    pub status: Option<PathBuf>,
    pub networks: Vec<Network>,
}

/// One network to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    /// Where it stands in the file.
    pub line: usize,
    pub carrier: Carrier,
    pub weight: u16,
    pub mtu: Option<usize>,
    /// The file with the key.
    pub key: Option<PathBuf>,
    /// What the policy made of it.
    pub trusted: bool,
}

/// What carries its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    Ethernet {
        interface: String,
    },
    Udp {
        interface: IpAddr,
        port: u16,
        peers: Vec<Peer>,
        multicast: Option<SocketAddr>,
    },
    TunnelUdp {
        interface: IpAddr,
        port: u16,
        peer: Peer,
    },
    TunnelListen(SocketAddr),
    TunnelConnect(Peer),
}

/// Somebody else: a host by name or number, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(String);

/// The kinds of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Ethernet,
    Udp,
    TunnelUdp,
    TunnelTcp,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {text}")]
pub struct Mistake {
    pub line: usize,
    pub text: String,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Ethernet => "ethernet",
            Kind::Udp => "udp",
            Kind::TunnelUdp => "tunnel-udp",
            Kind::TunnelTcp => "tunnel-tcp",
        }
    }

    const fn weight(self) -> u16 {
        match self {
            Kind::Ethernet => 3,
            Kind::Udp => 4,
            Kind::TunnelUdp | Kind::TunnelTcp => 10,
        }
    }
}

impl Carrier {
    pub fn kind(&self) -> Kind {
        match self {
            Carrier::Ethernet { .. } => Kind::Ethernet,
            Carrier::Udp { .. } => Kind::Udp,
            Carrier::TunnelUdp { .. } => Kind::TunnelUdp,
            Carrier::TunnelListen(_) | Carrier::TunnelConnect(_) => Kind::TunnelTcp,
        }
    }

    /// Whether nothing from beyond this host can come in by it. A name may stand for anybody, so only numbers count.
    fn is_loopback(&self) -> bool {
        match self {
            Carrier::Ethernet { .. } => false,
            Carrier::Udp { interface, .. } | Carrier::TunnelUdp { interface, .. } => {
                interface.is_loopback()
            }
            Carrier::TunnelListen(address) => address.ip().is_loopback(),
            Carrier::TunnelConnect(peer) => peer.is_loopback(),
        }
    }

    /// The largest packet unless told; Ethernet goes by its interface.
    fn mtu(&self) -> Option<usize> {
        match self {
            Carrier::Ethernet { .. } => None,
            Carrier::TunnelListen(_) | Carrier::TunnelConnect(_) => Some(MTU_LONG),
            _ if self.is_loopback() => Some(MTU_LONG),
            _ => Some(MTU_DATAGRAM),
        }
    }
}

impl Peer {
    /// `host:port`, as it is in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is written as one.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.0.parse().ok()
    }

    fn is_loopback(&self) -> bool {
        self.literal().is_some_and(|peer| peer.ip().is_loopback())
    }
}

/// Understands the text of a configuration.
///
/// # Errors
/// The first mistake in it.
pub fn parse(text: &str) -> Result<Config, Mistake> {
    let reader = Reader { text };
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        reader.mistake_at(start, error.message())
    })?;
    if let Some(path) = &file.status
        && path.get_ref().as_os_str().is_empty()
    {
        return Err(reader.mistake(path, "`status` is the path of a socket, not nothing"));
    }
    if file.network.is_empty() {
        let text = "there is no [[network]]: a box without networks has nothing to do";
        return Err(reader.mistake_at(0, text));
    }
    let mut names = BTreeSet::new();
    let mut networks = Vec::new();
    for entry in &file.network {
        if networks.len() == NETWORKS_MAX {
            let text = format!("a box has at most {NETWORKS_MAX} networks");
            return Err(reader.mistake(entry, text));
        }
        let network = reader.network(entry)?;
        if !names.insert(network.name.clone()) {
            let text = format!("there is a network `{}` already", network.name);
            return Err(reader.mistake(&entry.get_ref().name, text));
        }
        networks.push(network);
    }
    Ok(Config {
        status: file.status.map(Spanned::into_inner),
        networks,
    })
}

#[cfg(test)]
mod tests;
