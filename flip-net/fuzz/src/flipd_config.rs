//! Any text as a configuration of flipd: nothing panics, what comes out makes sense by itself, and a
//! mistake is told with a line that is there.

use std::collections::BTreeSet;

use super::flipd::config::{Carrier, Config, Network, parse};

/// Reads `data`, if it is text.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = 1 + data.iter().filter(|byte| **byte == b'\n').count();
    let parsed = parse(text);
    assert_eq!(parsed, parse(text), "the same text means the same");
    match parsed {
        Ok(config) => check(text, lines, &config),
        Err(mistake) => {
            assert!((1..=lines).contains(&mistake.line), "{mistake}");
            assert!(!mistake.text.is_empty());
        }
    }
}

fn check(text: &str, lines: usize, config: &Config) {
    assert!(
        config
            .status
            .as_ref()
            .is_none_or(|path| !path.as_os_str().is_empty())
    );
    let networks = &config.networks;
    assert!((1..=255).contains(&networks.len()));
    let names: BTreeSet<&str> = networks.iter().map(|network| &*network.name).collect();
    assert_eq!(names.len(), networks.len(), "each has its own name");
    for network in networks {
        assert!((1..=lines).contains(&network.line));
        check_network(text, network);
    }
}

fn check_network(text: &str, network: &Network) {
    assert!((1..=25).contains(&network.weight));
    assert!(network.mtu.is_none_or(|mtu| (576..=65_535).contains(&mtu)));
    let name = network.name.as_bytes();
    assert!((1..=32).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic));
    let is_here = match &network.carrier {
        Carrier::Ethernet { interface } => {
            assert!((1..16).contains(&interface.len()) && !interface.contains('/'));
            false
        }
        Carrier::Udp {
            interface,
            port,
            peers,
            multicast,
        } => {
            assert!(*port != 0 && !(peers.is_empty() && multicast.is_none()));
            assert!(multicast.is_none_or(|group| group.ip().is_multicast() && group.port() != 0));
            interface.is_loopback()
        }
        Carrier::TunnelUdp {
            interface, port, ..
        } => {
            assert_ne!(*port, 0);
            interface.is_loopback()
        }
        Carrier::TunnelListen(address) => {
            assert_ne!(address.port(), 0);
            address.ip().is_loopback()
        }
        Carrier::TunnelConnect(peer) => peer.literal().is_some_and(|peer| peer.ip().is_loopback()),
    };
    let has_reason = network.key.is_some() || is_here || text.contains("insecure");
    assert!(!network.trusted || has_reason, "trusted for nothing");
}
