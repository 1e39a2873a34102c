//! From an entry of the configuration to a device: the one place that knows which kinds of networks there are.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use stack::flip_net::Link;
use stack::flip_net::address::LinkAddress;
use stack::flip_net::driver::{
    CaptureDevice, Device, End, EthernetConfig, EthernetDevice, EthernetError, Guard,
    GuardedDevice, KeyError, Station, TcpTunnelConfig, TcpTunnelDevice, UdpConfig, UdpDevice,
    UdpError,
};
use stack::flip_net::seal::Key;
use stack::flip_net::wire::Framing;

use super::config::{Carrier, Network, Peer};

/// A network that is open.
pub struct Opened {
    pub device: Arc<dyn Device>,
    /// The same device, if it is a tunnel over TCP: it knows whether it is connected.
    pub tunnel: Option<Arc<TcpTunnelDevice>>,
    /// Where others find it, if it has an address of its own.
    pub address: Option<SocketAddr>,
    name_station: Box<dyn Fn(u64) -> String + Send + Sync>,
}

/// Why a network could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Ethernet(#[from] EthernetError),
    #[error(transparent)]
    Udp(#[from] UdpError),
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

    /// Writes everything that passes from now on to a new file.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn capture(&mut self, path: &Path) -> io::Result<()> {
        let device = Arc::clone(&self.device);
        self.device = Arc::new(CaptureDevice::create(device, path)?);
        Ok(())
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
    let guard = match &network.key {
        None => Guard::none(),
        Some(path) => {
            let failed = |error| OpenError::System("a sealed network".to_owned(), error);
            Guard::keyed(Key::read(path)?).map_err(failed)?
        }
    };
    // All kinds but Ethernet have a default.
    let mtu = network.mtu.unwrap_or_default();
    match &network.carrier {
        Carrier::Ethernet { interface } => open_ethernet(interface, network.mtu, guard),
        Carrier::Udp {
            interface,
            port,
            peers,
            multicast,
        } => open_udp(*interface, *port, peers, *multicast, mtu, guard),
        // One peer, and no way to reach anybody else.
        Carrier::TunnelUdp {
            interface,
            port,
            peer,
        } => {
            let peers = std::slice::from_ref(peer);
            open_udp(*interface, *port, peers, None, mtu, guard)
        }
        Carrier::TunnelListen(address) => open_tunnel(End::Listen(*address), mtu, guard),
        Carrier::TunnelConnect(peer) => open_tunnel(End::Connect(resolve(peer)?), mtu, guard),
    }
}

/// A device that knows nothing of keys behind its guard, if there is a key.
fn guarded<D: Device + 'static>(device: Arc<D>, guard: Guard) -> Arc<dyn Device> {
    match guard.is_keyed() {
        true => Arc::new(GuardedDevice::new(device, guard)),
        false => device,
    }
}

fn open_ethernet(interface: &str, mtu: Option<usize>, guard: Guard) -> Result<Opened, OpenError> {
    let device = EthernetDevice::open(&EthernetConfig {
        interface: interface.to_owned(),
        station: Station::Own,
        mtu,
    })?;
    Ok(Opened {
        device: guarded(Arc::new(device), guard),
        tunnel: None,
        address: None,
        name_station: Box::new(|number| {
            let [_, _, bytes @ ..] = number.to_be_bytes();
            bytes.map(|byte| format!("{byte:02x}")).join(":")
        }),
    })
}

fn open_udp(
    interface: IpAddr,
    port: u16,
    peers: &[Peer],
    multicast: Option<SocketAddr>,
    mtu: usize,
    guard: Guard,
) -> Result<Opened, OpenError> {
    let config = UdpConfig {
        interface,
        port,
        multicast: None,
        mtu,
        accept_strangers: false,
    };
    let mut addresses = Vec::new();
    for peer in peers {
        let found = resolve(peer)?;
        // Of the same family, if the name has one of each.
        let fitting = found
            .iter()
            .find(|address| address.is_ipv4() == interface.is_ipv4());
        addresses.push(*fitting.unwrap_or(&found[0]));
    }
    let device = Arc::new(UdpDevice::open_guarded(&config, guard)?);
    device.set_peers(&addresses);
    if let Some(group) = multicast {
        let failed = |error| OpenError::System(format!("the multicast group {group}"), error);
        device.try_multicast(group).map_err(failed)?;
    }
    let names = Arc::clone(&device);
    Ok(Opened {
        address: Some(device.address()),
        device,
        tunnel: None,
        name_station: Box::new(move |number| {
            let address = names.address_of(number);
            address.map_or_else(|| format!("{number:x}"), |address| address.to_string())
        }),
    })
}

fn open_tunnel(end: End, mtu: usize, guard: Guard) -> Result<Opened, OpenError> {
    let config = TcpTunnelConfig {
        end,
        framing: match guard.is_keyed() {
            true => Framing::Length,
            false => Framing::Flip,
        },
        mtu: mtu + guard.overhead(),
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
        device: guarded(device, guard),
        name_station: Box::new(|_| "peer".to_owned()),
    })
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
