//! From an entry of the configuration to a device: the one place that knows which kinds of networks there are.
//!
//! A kind or a key that nothing stands behind yet is refused here, by name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::sync::Arc;

use stack::flip_net::Link;
use stack::flip_net::address::LinkAddress;
use stack::flip_net::driver::{
    Device, End, TcpTunnelConfig, TcpTunnelDevice, UdpConfig, UdpDevice, udp,
};
use stack::flip_net::wire::Framing;

use super::config::{Carrier, Network, Peer};

/// A network that is open.
pub struct Opened {
    pub device: Arc<dyn Device>,
    /// The same device, if it is a tunnel over TCP: it knows whether it is connected.
    pub tunnel: Option<Arc<TcpTunnelDevice>>,
    /// Where others find it, if it has an address of its own.
    pub address: Option<SocketAddr>,
    /// What the one who started it should know.
    pub note: Option<&'static str>,
    name_station: fn(u64) -> String,
}

/// Why a network could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration asks for something that is not there.
    #[error("{0}")]
    NotAvailable(&'static str),
    #[error("cannot find the address of {0}: {1}")]
    Resolve(String, io::Error),
    #[error("cannot open {0}: {1}")]
    System(String, io::Error),
}

impl Opened {
    /// A station as this kind of network writes it.
    pub fn station(&self, station: LinkAddress) -> String {
        match station {
            LinkAddress::Station(number) => (self.name_station)(number),
            other => other.to_string(),
        }
    }

    /// What the network is to the box, once the configuration has had its say.
    pub fn link(&self, network: &Network) -> Link {
        Link {
            weight: network.weight,
            trusted: network.trusted,
            ..self.device.link()
        }
    }
}

/// Opens a network.
///
/// # Errors
/// If it is of a kind that cannot be opened here, or the system refuses.
pub fn open(network: &Network) -> Result<Opened, OpenError> {
    // Sealing goes around the device that is made below: tunnels over TCP then use `Framing::Length`.
    if network.key.is_some() {
        return Err(OpenError::NotAvailable("`key` is not available yet"));
    }
    match &network.carrier {
        // The device for raw Ethernet is opened here, with `interface` and `network.mtu`.
        Carrier::Ethernet { .. } => Err(OpenError::NotAvailable(
            "kind ethernet is not available yet",
        )),
        Carrier::Udp {
            interface,
            port,
            peers,
            multicast,
        } => open_udp(*interface, *port, peers, *multicast, network.mtu),
        // One peer, and no way to reach anybody else.
        Carrier::TunnelUdp {
            interface,
            port,
            peer,
        } => open_udp(
            *interface,
            *port,
            std::slice::from_ref(peer),
            None,
            network.mtu,
        ),
        Carrier::TunnelListen(address) => open_tunnel(End::Listen(*address), network.mtu),
        Carrier::TunnelConnect(peer) => open_tunnel(End::Connect(resolve(peer)?), network.mtu),
    }
}

fn open_udp(
    interface: IpAddr,
    port: u16,
    peers: &[Peer],
    multicast: Option<SocketAddr>,
    mtu: usize,
) -> Result<Opened, OpenError> {
    let config = UdpConfig {
        interface: v4(interface)?,
        port,
        multicast: match multicast {
            Some(group) => Some(SocketAddrV4::new(v4(group.ip())?, group.port())),
            None => None,
        },
        mtu,
    };
    let mut addresses = Vec::new();
    for peer in peers {
        let found = resolve(peer)?
            .into_iter()
            .find_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            });
        addresses.push(found.ok_or(ONLY_V4)?);
    }
    let device = UdpDevice::open(&config).map_err(|error| {
        let what = format!("UDP port {port} at {interface}");
        OpenError::System(what, error)
    })?;
    device.set_peers(&addresses);
    let address = device.address().into();
    let is_deaf = multicast.is_some() && !device.has_multicast();
    Ok(Opened {
        device: Arc::new(device),
        tunnel: None,
        address: Some(address),
        note: is_deaf.then_some("multicast does not work here: frames for all go to each peer"),
        name_station: |number| udp::address_of(number).to_string(),
    })
}

fn open_tunnel(end: End, mtu: usize) -> Result<Opened, OpenError> {
    let config = TcpTunnelConfig {
        end,
        framing: Framing::Flip,
        mtu,
        silence: TcpTunnelConfig::SILENCE,
    };
    let device = TcpTunnelDevice::open(&config).map_err(|error| {
        let what = match &config.end {
            End::Listen(address) => format!("TCP port {} at {}", address.port(), address.ip()),
            End::Connect(_) => "a tunnel over TCP".to_owned(),
        };
        OpenError::System(what, error)
    })?;
    let device = Arc::new(device);
    Ok(Opened {
        address: device.address(),
        tunnel: Some(Arc::clone(&device)),
        device,
        note: None,
        name_station: |_| "peer".to_owned(),
    })
}

const ONLY_V4: OpenError = OpenError::NotAvailable("UDP on IPv6 is not available yet");

fn v4(address: IpAddr) -> Result<Ipv4Addr, OpenError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(ONLY_V4),
    }
}

/// All addresses of a peer, at least one. Names are looked up once, at the start.
fn resolve(peer: &Peer) -> Result<Vec<SocketAddr>, OpenError> {
    let failed = |error| OpenError::Resolve(peer.as_str().to_owned(), error);
    let found: Vec<SocketAddr> = peer.as_str().to_socket_addrs().map_err(failed)?.collect();
    if found.is_empty() {
        return Err(failed(io::Error::other("the name has none")));
    }
    Ok(found)
}
