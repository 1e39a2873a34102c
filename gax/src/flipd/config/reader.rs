//! One entry of the configuration: what is written, and what it means.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{Carrier, Kind, Mistake, Network, Peer};
use crate::flipd::trust::{self, Exposure};

const PEERS_MAX: usize = 1_024;
const NAME_LEN_MAX: usize = 32;
/// More than a packet may gather is a network that nothing crosses.
const WEIGHT: RangeInclusive<i64> = 1..=25;
/// The smallest frame in which every packet that may not be cut fits: the list of missing parts is the longest one.
const MTU_MIN: i64 = 576;
/// The largest datagram of UDP on IPv4.
const DATAGRAM_MAX: i64 = 65_507;
const ETHERNET_MAX: i64 = 65_535;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) status: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) network: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: Spanned<String>,
    kind: Spanned<Kind>,
    interface: Option<Spanned<String>>,
    port: Option<Spanned<i64>>,
    peers: Option<Spanned<Vec<Spanned<String>>>>,
    multicast: Option<Spanned<String>>,
    listen: Option<Spanned<String>>,
    connect: Option<Spanned<String>>,
    weight: Option<Spanned<i64>>,
    mtu: Option<Spanned<i64>>,
    key: Option<Spanned<PathBuf>>,
    trusted: Option<Spanned<bool>>,
    insecure: Option<bool>,
}

/// Turns what is written into what is meant, and knows where it stands.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    pub(super) fn mistake_at(&self, at: usize, text: impl Display) -> Mistake {
        Mistake {
            line: self.line(at),
            text: text.to_string(),
        }
    }

    pub(super) fn mistake<T>(&self, at: &Spanned<T>, text: impl Display) -> Mistake {
        self.mistake_at(at.span().start, text)
    }

    pub(super) fn network(&self, spanned: &Spanned<Entry>) -> Result<Network, Mistake> {
        let entry = spanned.get_ref();
        self.check_name(&entry.name)?;
        self.check_fields(entry)?;
        let carrier = match entry.kind.get_ref() {
            Kind::Ethernet => self.ethernet(entry)?,
            Kind::Udp => self.udp(entry)?,
            Kind::TunnelUdp => self.tunnel_udp(entry)?,
            Kind::TunnelTcp => self.tunnel_tcp(entry)?,
        };
        let kind = carrier.kind();
        let mtu_max = match kind {
            Kind::Ethernet => ETHERNET_MAX,
            _ => DATAGRAM_MAX,
        };
        let exposure = Exposure {
            keyed: entry.key.is_some(),
            loopback: carrier.is_loopback(),
            insecure: entry.insecure.unwrap_or(false),
        };
        let wanted = entry.trusted.as_ref();
        let trusted = trust::trusted(exposure, wanted.map(|wanted| *wanted.get_ref()));
        Ok(Network {
            name: entry.name.get_ref().clone(),
            line: self.line(spanned.span().start),
            weight: match &entry.weight {
                Some(weight) => self.number("weight", weight, WEIGHT)? as u16,
                None => kind.weight(),
            },
            mtu: match &entry.mtu {
                Some(mtu) => Some(self.number("mtu", mtu, MTU_MIN..=mtu_max)? as usize),
                None => carrier.mtu(),
            },
            carrier,
            key: entry.key.as_ref().map(|key| key.get_ref().clone()),
            trusted: trusted.map_err(|error| match wanted {
                Some(wanted) => self.mistake(wanted, error),
                None => self.mistake(spanned, error),
            })?,
        })
    }

    fn check_name(&self, name: &Spanned<String>) -> Result<(), Mistake> {
        let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let text = name.get_ref();
        if (1..=NAME_LEN_MAX).contains(&text.len()) && text.chars().all(is_good) {
            return Ok(());
        }
        let text = format!("a name has 1 to {NAME_LEN_MAX} letters, digits, `.`, `_` or `-`");
        Err(self.mistake(name, text))
    }

    /// Nothing is said that this kind of network has no use for.
    fn check_fields(&self, entry: &Entry) -> Result<(), Mistake> {
        let kind = *entry.kind.get_ref();
        let at = |field: &Option<Spanned<String>>| field.as_ref().map(|value| value.span().start);
        let given = [
            ("interface", at(&entry.interface)),
            ("port", entry.port.as_ref().map(|port| port.span().start)),
            (
                "peers",
                entry.peers.as_ref().map(|peers| peers.span().start),
            ),
            ("multicast", at(&entry.multicast)),
            ("listen", at(&entry.listen)),
            ("connect", at(&entry.connect)),
        ];
        let used: &[&str] = match kind {
            Kind::Ethernet => &["interface"],
            Kind::Udp => &["interface", "port", "peers", "multicast"],
            Kind::TunnelUdp => &["interface", "port", "peers"],
            Kind::TunnelTcp => &["listen", "connect"],
        };
        for (name, at) in given {
            if let Some(at) = at
                && !used.contains(&name)
            {
                let text = format!("a network of kind {} has no `{name}`", kind.name());
                return Err(self.mistake_at(at, text));
            }
        }
        Ok(())
    }

    fn ethernet(&self, entry: &Entry) -> Result<Carrier, Mistake> {
        let interface = self.needed("interface", &entry.interface, entry)?;
        // What Linux takes for a name.
        let name = interface.get_ref();
        let is_name = (1..16).contains(&name.len())
            && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        if !is_name {
            let text = format!("there can be no interface `{}`", name.escape_debug());
            return Err(self.mistake(interface, text));
        }
        Ok(Carrier::Ethernet {
            interface: name.clone(),
        })
    }

    fn udp(&self, entry: &Entry) -> Result<Carrier, Mistake> {
        let interface = match &entry.interface {
            Some(interface) => self.ip(interface)?,
            None => Ipv4Addr::LOCALHOST.into(),
        };
        let peers = match &entry.peers {
            Some(peers) => self.peers(peers)?,
            None => Vec::new(),
        };
        let multicast = match &entry.multicast {
            Some(group) => Some(self.group(group)?),
            None => None,
        };
        if peers.is_empty() && multicast.is_none() {
            let text = "a network of kind udp needs `peers`, or `multicast`, or both: else nobody would hear it";
            return Err(self.mistake(&entry.kind, text));
        }
        self.check_reach(interface, &peers, entry)?;
        Ok(Carrier::Udp {
            interface,
            port: self.port(entry)?,
            peers,
            multicast,
        })
    }

    fn tunnel_udp(&self, entry: &Entry) -> Result<Carrier, Mistake> {
        let peers = self.needed("peers", &entry.peers, entry)?;
        let list = self.peers(peers)?;
        let [peer] = &list[..] else {
            return Err(self.mistake(peers, "a tunnel has one peer"));
        };
        let interface = match &entry.interface {
            Some(interface) => self.ip(interface)?,
            None if peer.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        self.check_reach(interface, &list, entry)?;
        Ok(Carrier::TunnelUdp {
            interface,
            port: self.port(entry)?,
            peer: peer.clone(),
        })
    }

    fn tunnel_tcp(&self, entry: &Entry) -> Result<Carrier, Mistake> {
        match (&entry.listen, &entry.connect) {
            (Some(listen), None) => Ok(Carrier::TunnelListen(self.address(listen)?)),
            (None, Some(connect)) => Ok(Carrier::TunnelConnect(self.peer(connect)?)),
            _ => {
                let text = "a network of kind tunnel-tcp has either `listen` or `connect`: one end listens, the other connects";
                Err(self.mistake(&entry.kind, text))
            }
        }
    }

    /// From the loopback interface nothing gets beyond this host.
    fn check_reach(&self, interface: IpAddr, peers: &[Peer], entry: &Entry) -> Result<(), Mistake> {
        let stranger = peers.iter().find(|peer| {
            let beyond = peer.literal().is_some_and(|peer| !peer.ip().is_loopback());
            interface.is_loopback() && beyond
        });
        let Some(peer) = stranger else { return Ok(()) };
        let text = format!(
            "{} cannot be reached from the loopback interface: set `interface` to the address of one that leads there",
            peer.as_str()
        );
        Err(match &entry.peers {
            Some(peers) => self.mistake(peers, text),
            None => self.mistake(&entry.kind, text),
        })
    }

    fn needed<'e, T>(
        &self,
        name: &str,
        field: &'e Option<Spanned<T>>,
        entry: &Entry,
    ) -> Result<&'e Spanned<T>, Mistake> {
        field.as_ref().ok_or_else(|| {
            let kind = entry.kind.get_ref().name();
            let text = format!("a network of kind {kind} needs `{name}`");
            self.mistake(&entry.kind, text)
        })
    }

    fn number(
        &self,
        name: &str,
        value: &Spanned<i64>,
        range: RangeInclusive<i64>,
    ) -> Result<i64, Mistake> {
        let number = *value.get_ref();
        if range.contains(&number) {
            return Ok(number);
        }
        let (least, most) = range.into_inner();
        let text = format!("`{name}` is from {least} to {most}, not {number}");
        Err(self.mistake(value, text))
    }

    fn port(&self, entry: &Entry) -> Result<u16, Mistake> {
        let port = self.needed("port", &entry.port, entry)?;
        Ok(self.number("port", port, 1..=65_535)? as u16)
    }

    fn ip(&self, text: &Spanned<String>) -> Result<IpAddr, Mistake> {
        text.get_ref().parse().map_err(|_| {
            let what = "`interface` is the address of an interface of this host, such as 127.0.0.1";
            self.mistake(text, what)
        })
    }

    fn address(&self, text: &Spanned<String>) -> Result<SocketAddr, Mistake> {
        let address = text.get_ref().parse().ok();
        address
            .filter(|address: &SocketAddr| address.port() != 0)
            .ok_or_else(|| {
                let what = "expected an address and a port, such as 0.0.0.0:33093 or [::]:33093";
                self.mistake(text, what)
            })
    }

    fn group(&self, text: &Spanned<String>) -> Result<SocketAddr, Mistake> {
        let group = self.address(text)?;
        if group.ip().is_multicast() {
            Ok(group)
        } else {
            let what = "expected a multicast address and a port, such as 239.192.1.1:33095";
            Err(self.mistake(text, what))
        }
    }

    fn peers(&self, peers: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<Peer>, Mistake> {
        let list = peers.get_ref();
        if list.len() > PEERS_MAX {
            return Err(self.mistake(peers, format!("at most {PEERS_MAX} peers")));
        }
        list.iter().map(|peer| self.peer(peer)).collect()
    }

    fn peer(&self, text: &Spanned<String>) -> Result<Peer, Mistake> {
        let peer = text.get_ref();
        let is_address = peer
            .parse::<SocketAddr>()
            .is_ok_and(|peer| peer.port() != 0);
        let is_name = peer.rsplit_once(':').is_some_and(|(host, port)| {
            let is_good = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            let is_host = (1..=253).contains(&host.len()) && host.chars().all(is_good);
            is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if is_address || is_name {
            Ok(Peer(peer.clone()))
        } else {
            let what = "expected a host and a port, such as 10.0.0.2:33094 or gate.example:33093";
            Err(self.mistake(text, what))
        }
    }
}
