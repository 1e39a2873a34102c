//! The networks of a launched processor: what the launcher may ask for, and the devices that come of it.
//!
//! A network beyond this host carries the run's key: what it carries is authenticated and encrypted, and so it is trusted. Without the
//! key it is refused, unless the user said that no key is no mistake; then it is not trusted.
//!
//! Implements: DESIGN 9; [Thesis §2.2], trusted and untrusted networks.
#![allow(
    clippy::disallowed_methods,
    reason = "sockets and memory of a real processor"
)]

use std::fs::OpenOptions;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use stack::flip_net::Link;
use stack::flip_net::driver::{
    Device, EthernetConfig, EthernetDevice, Guard, GuardedDevice, ShmDevice, Station, UdpConfig,
    UdpDevice,
};
use stack::flip_net::rng::Rng;
use stack::flip_net::seal::Key;

/// The largest datagram beyond this host: what a plain Ethernet carries behind the headers of IP and UDP.
const MTU_ETHERNET: usize = 1_440;

/// What carries frames between the processors of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Shared memory: the number of the descriptor, inherited from the launcher, of its segment.
    Shm { segment: u32 },
    /// UDP by the interface with this address.
    Udp { interface: IpAddr },
    /// Raw Ethernet on the interface of this name.
    Ethernet { interface: String },
}

impl Medium {
    /// Whether frames leave this host, or come in from beyond it.
    pub fn is_beyond_host(&self) -> bool {
        match self {
            Medium::Shm { .. } => false,
            Medium::Udp { interface } => !interface.is_loopback(),
            Medium::Ethernet { interface } => interface != "lo",
        }
    }
}

/// A network that the processors of a run share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub medium: Medium,
    /// Frames are sealed with the run's key.
    pub keyed: bool,
    /// The user accepts a network beyond this host without a key.
    pub insecure: bool,
}

impl Network {
    /// The network as it should be: keyed where it leaves the host, unless the user wants it bare.
    pub fn new(medium: Medium, insecure: bool) -> Network {
        let keyed = medium.is_beyond_host() && !insecure;
        Network {
            medium,
            keyed,
            insecure,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.medium.is_beyond_host() && !self.keyed && !self.insecure {
            let what = self.name();
            return Err(format!(
                "{what} is a network beyond this host and has no key: gax --insecure accepts that"
            ));
        }
        Ok(())
    }

    fn name(&self) -> String {
        match &self.medium {
            Medium::Shm { .. } => "shm".to_owned(),
            Medium::Udp { interface } => format!("udp={interface}"),
            Medium::Ethernet { interface } => format!("ethernet={interface}"),
        }
    }
}

/// Networks that are open.
pub(crate) struct Attached {
    pub(crate) devices: Vec<Arc<dyn Device>>,
    /// What each device is to the box.
    pub(crate) links: Vec<Link>,
    /// Where this processor can be reached, by network.
    pub(crate) addresses: Vec<String>,
    udp: Vec<(usize, Arc<UdpDevice>)>,
}

/// Opens the networks for processor `number`.
///
/// # Errors
/// Why one cannot be opened, for the user.
pub(crate) fn attach(
    networks: &[Network],
    number: u16,
    key: &[u8; 32],
    rng: &mut Rng,
) -> Result<Attached, String> {
    let mut attached = Attached {
        devices: Vec::new(),
        links: Vec::new(),
        addresses: Vec::new(),
        udp: Vec::new(),
    };
    for network in networks {
        network.check()?;
        attached.open(network, number, key, rng)?;
    }
    Ok(attached)
}

impl Attached {
    fn open(
        &mut self,
        network: &Network,
        number: u16,
        key: &[u8; 32],
        rng: &mut Rng,
    ) -> Result<(), String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", network.name());
        let guard = match network.keyed {
            true => Guard::keyed(Key::new(*key, 0)).map_err(|error| named(&error))?,
            false => Guard::none(),
        };
        let (device, address): (Arc<dyn Device>, String) = match &network.medium {
            Medium::Shm { segment } => {
                let device = open_segment(*segment, number).map_err(|error| named(&error))?;
                (Arc::new(device), number.to_string())
            }
            Medium::Udp { interface } => {
                let config = match interface.is_loopback() {
                    true => UdpConfig {
                        interface: *interface,
                        ..UdpConfig::loopback(None)
                    },
                    false => UdpConfig::at(*interface, MTU_ETHERNET),
                };
                let device = Arc::new(UdpDevice::open(&config).map_err(|error| named(&error))?);
                self.udp.push((self.devices.len(), Arc::clone(&device)));
                let address = device.address().to_string();
                (device, address)
            }
            Medium::Ethernet { interface } => {
                let config = EthernetConfig {
                    interface: interface.clone(),
                    // Several processors may share the interface.
                    station: Station::draw(rng),
                    mtu: None,
                };
                let device = EthernetDevice::open(&config).map_err(|error| error.to_string())?;
                let address = device.station().to_string();
                (Arc::new(device), address)
            }
        };
        let device = match guard.is_keyed() {
            true => Arc::new(GuardedDevice::new(device, guard)),
            false => device,
        };
        let link = device.link();
        let trusted = link.trusted && (network.keyed || !network.medium.is_beyond_host());
        self.links.push(Link { trusted, ..link });
        self.devices.push(device);
        self.addresses.push(address);
        Ok(())
    }

    /// Learns where the others are: by processor, what each said of its networks.
    ///
    /// # Errors
    /// If that is no address.
    pub(crate) fn connect(
        &self,
        peers: &[Vec<String>],
        multicast: Option<SocketAddr>,
    ) -> Result<(), String> {
        for (at, device) in &self.udp {
            let texts = peers.iter().map(|addresses| addresses.get(*at));
            let parse =
                |text: Option<&String>| text.and_then(|text| text.parse::<SocketAddr>().ok());
            let addresses: Option<Vec<SocketAddr>> = texts.map(parse).collect();
            device.set_peers(&addresses.ok_or("a peer without an address on UDP")?);
            if let Some(group) =
                multicast.filter(|group| group.is_ipv4() == device.address().is_ipv4())
            {
                // If that is refused every peer gets a copy, and nothing else changes.
                let _ = device.try_multicast(group);
            }
        }
        Ok(())
    }
}

/// The segment that the launcher left open for us.
fn open_segment(descriptor: u32, number: u16) -> Result<ShmDevice, String> {
    let path = format!("/proc/self/fd/{descriptor}");
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file =
        file.map_err(|error| format!("cannot open the shared memory of the run: {error}"))?;
    ShmDevice::open(&file, number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn refusal(network: Network) -> Option<String> {
        attach(&[network], 0, &[7; 32], &mut Rng::new(1)).err()
    }

    #[test]
    fn a_network_beyond_this_host_without_a_key_is_refused() {
        let beyond = Medium::Udp {
            interface: Ipv4Addr::new(192, 0, 2, 1).into(),
        };
        let bare = Network {
            medium: beyond.clone(),
            keyed: false,
            insecure: false,
        };
        let text = refusal(bare).expect("no key");
        assert!(
            text.contains("udp=192.0.2.1") && text.contains("--insecure"),
            "{text}"
        );
        // What the launcher makes of it has a key, or the user's word.
        assert!(Network::new(beyond.clone(), false).keyed);
        let insecure = Network::new(beyond, true);
        assert!(!insecure.keyed && insecure.check().is_ok());
    }

    #[test]
    fn a_network_of_this_host_needs_no_key_and_is_trusted() {
        let medium = Medium::Udp {
            interface: Ipv4Addr::LOCALHOST.into(),
        };
        let network = Network::new(medium, false);
        assert!(!network.keyed);
        let attached = attach(&[network], 0, &[7; 32], &mut Rng::new(1)).expect("loopback");
        assert!(attached.links[0].trusted);
        assert!(attached.addresses[0].starts_with("127.0.0.1:"));
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let medium = Medium::Ethernet {
            interface: "nosuch0".to_owned(),
        };
        let text = refusal(Network::new(medium, false)).expect("there is none");
        assert!(text.starts_with("there is no interface nosuch0"), "{text}");
        let text =
            refusal(Network::new(Medium::Shm { segment: 9_999 }, false)).expect("there is none");
        assert!(
            text.starts_with("shm: cannot open the shared memory of the run"),
            "{text}"
        );
    }
}
