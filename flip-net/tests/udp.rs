//! UDP between hosts that are network namespaces: which interface is taken, what IP has to cut, and
//! who hears a group.

#![allow(
    clippy::disallowed_methods,
    reason = "sockets and namespaces take the time they take"
)]

mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration as StdDuration, Instant};

use flip_net::Frame;
use flip_net::address::{LinkAddress, NetworkId};
use flip_net::driver::udp::source_towards;
use flip_net::driver::{Device, Guard, UdpConfig, UdpDevice, namespace};
use flip_net::seal::Key;
use flip_net::time::Duration;
use support::Namespace;

/// Long enough to block, short enough to look again.
const SHORT: Duration = Duration::from_millis(2);

const HELLO: &[u8] = b"hello";

fn frame(to: LinkAddress, bytes: Vec<u8>) -> Frame {
    let network = NetworkId(0);
    Frame::new(network, to, bytes)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn open(host: &Namespace, config: &UdpConfig) -> UdpDevice {
    open_guarded(host, config, Guard::none())
}

fn keyed() -> Guard {
    Guard::keyed(Key::new([3; 32], 0)).unwrap()
}

fn open_guarded(host: &Namespace, config: &UdpConfig, guard: Guard) -> UdpDevice {
    namespace::within(&host.name, || UdpDevice::open_guarded(config, guard))
        .unwrap()
        .unwrap()
}

/// Hosts on one bridge: host number n is 10.7.0.n and fd07::n. Each has another interface, which is
/// the first in every list, up, with the same address everywhere: like a bridge for containers.
fn hosts(count: u8) -> Option<(Namespace, Vec<Namespace>)> {
    let middle = Namespace::new()?;
    middle.ip("link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
    middle.ip("link set br0 up");
    let mut hosts = Vec::new();
    for n in 1..=count {
        let host = Namespace::new()?;
        host.ip("link add docker0 type bridge");
        host.ip("addr add 172.17.0.1/16 dev docker0");
        host.ip("link set docker0 up");
        let name = &host.name;
        middle.ip(&format!(
            "link add port{n} type veth peer name port netns {name}"
        ));
        middle.ip(&format!("link set port{n} master br0 up"));
        host.ip(&format!("addr add 10.7.0.{n}/24 dev port"));
        host.ip(&format!("addr add fd07::{n}/64 dev port nodad"));
        host.ip("link set port addrgenmode none");
        host.ip(&format!("addr add fe80::{n}/64 dev port nodad"));
        host.ip("link set port up");
        hosts.push(host);
    }
    hosts.iter().for_each(|host| host.wait_until_up("port"));
    Some((middle, hosts))
}

fn introduce(devices: &[UdpDevice]) {
    let peers: Vec<_> = devices.iter().map(UdpDevice::address).collect();
    devices.iter().for_each(|device| device.set_peers(&peers));
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + StdDuration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}");
    }
}

fn receive(device: &UdpDevice, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    until("all frames come", || {
        device.receive(SHORT, &mut |_, bytes| frames.push(bytes.to_vec()));
        // Of these there may have been more than one.
        frames.retain(|bytes| bytes != HELLO);
        frames.len() >= count
    });
    assert_eq!(frames.len(), count);
    frames
}

/// Frames until one has come: then each knows where the other is, and nothing is dropped for that.
fn meet(sender: &UdpDevice, receiver: &UdpDevice) {
    let hello = frame(receiver.station(), HELLO.to_vec());
    let mut count = 0;
    until("they meet", || {
        sender.send(std::slice::from_ref(&hello));
        let mut sink = |_: LinkAddress, bytes: &[u8]| assert_eq!(bytes, HELLO);
        count = receiver.receive(SHORT, &mut sink);
        // With a key it is asked who it is, and has to say so.
        sender.receive(Duration::ZERO, &mut sink);
        count > 0
    });
}

/// Frames of all kinds between these, the longest ones.
fn check_exchange(devices: &[UdpDevice]) {
    let mtu = devices[0].link().mtu;
    introduce(devices);
    for sender in devices {
        let others = devices
            .iter()
            .filter(|one| one.station() != sender.station());
        others.for_each(|other| meet(sender, other));
    }
    for sender in devices {
        let frames: Vec<_> = (0..100_u8).map(|n| vec![n; mtu]).collect();
        let for_all = |bytes: &Vec<u8>| frame(LinkAddress::Broadcast, bytes.clone());
        sender.send(&frames.iter().map(for_all).collect::<Vec<_>>());
        let others = || {
            devices
                .iter()
                .filter(|one| one.station() != sender.station())
        };
        others().for_each(|other| assert_eq!(receive(other, 100), frames));
        for other in others() {
            let to_other = |bytes: &Vec<u8>| frame(other.station(), bytes.clone());
            sender.send(&frames.iter().map(to_other).collect::<Vec<_>>());
            assert_eq!(receive(other, 100), frames);
        }
    }
    for device in devices {
        assert_eq!((device.lost(), drops(device)), (0, BTreeMap::new()));
    }
}

/// What is lost is lost before they meet, since nobody knows then that it is no replay.
fn drops(device: &UdpDevice) -> BTreeMap<&'static str, u64> {
    let mut drops = device.drops();
    if device.guard().is_keyed() {
        drops.remove("may be from before the start");
    }
    drops
}

#[test]
fn the_interface_is_the_one_towards_the_peer() {
    let Some((_middle, hosts)) = hosts(2) else {
        return;
    };
    let host = &hosts[0];
    let (v4, v6) = (
        SocketAddr::new(ip("10.7.0.2"), 9),
        SocketAddr::new(ip("fd07::2"), 9),
    );
    let towards = |peer| namespace::within(&host.name, || source_towards(peer)).unwrap();
    assert_eq!(towards(v4).unwrap(), ip("10.7.0.1"));
    assert_eq!(towards(v6).unwrap(), ip("fd07::1"));
    let inside = SocketAddr::new(ip("172.17.0.9"), 9);
    assert_eq!(towards(inside).unwrap(), ip("172.17.0.1"));
    let nowhere = SocketAddr::new(ip("10.99.0.1"), 9);
    assert!(towards(nowhere).is_err(), "there is no route");

    let a = open(host, &UdpConfig::at(towards(v4).unwrap(), 1_400));
    let b = open(&hosts[1], &UdpConfig::at(ip("10.7.0.2"), 1_400));
    assert_eq!(a.address().ip(), ip("10.7.0.1"));
    check_exchange(&[a, b]);
}

#[test]
fn frames_that_ip_has_to_cut_pass_too() {
    let Some((_middle, hosts)) = hosts(2) else {
        return;
    };
    for (net, mtu) in [
        ("10.7.0.", 1_400),
        ("10.7.0.", 8_000),
        ("fd07::", 1_400),
        ("fd07::", 8_000),
    ] {
        for guard in [Guard::none, keyed] {
            let device = |n: usize| {
                let config = UdpConfig::at(ip(&format!("{net}{}", n + 1)), mtu);
                open_guarded(&hosts[n], &config, guard())
            };
            check_exchange(&[device(0), device(1)]);
        }
    }
}

#[test]
fn everybody_hears_the_group_across_a_bridge() {
    let Some((_middle, hosts)) = hosts(3) else {
        return;
    };
    let nets = [
        ("10.7.0.", "239.255.81.46:8146"),
        ("fd07::", "[ff12::8146]:8146"),
        ("fe80::", "[ff12::8147]:8147"),
    ];
    for (net, group) in nets {
        for guard in [Guard::none, keyed] {
            let device = |n: usize| {
                let config = UdpConfig {
                    multicast: Some(group.parse().unwrap()),
                    ..UdpConfig::at(ip(&format!("{net}{}", n + 1)), 1_400)
                };
                open_guarded(&hosts[n], &config, guard())
            };
            check_group(&[0, 1, 2].map(device));
        }
    }
}

fn check_group(devices: &[UdpDevice]) {
    introduce(devices);
    until("all hear", || {
        for device in devices {
            device.receive(SHORT, &mut |_, _| panic!("no frames yet"));
        }
        devices.iter().all(UdpDevice::has_multicast)
    });
    check_exchange(devices);
}

#[test]
fn a_host_that_does_not_hear_the_group_is_served_all_the_same() {
    let Some((middle, hosts)) = hosts(4) else {
        return;
    };
    // Multicasts do not pass to the last one, as with a switch that has forgotten it.
    middle.ip("link set dev port4 type bridge_slave mcast_flood off");
    let devices: Vec<_> = (1..=4)
        .map(|n| {
            let config = UdpConfig {
                multicast: Some("239.255.81.46:8146".parse().unwrap()),
                ..UdpConfig::at(ip(&format!("10.7.0.{n}")), 1_400)
            };
            open(&hosts[n - 1], &config)
        })
        .collect();
    introduce(&devices);
    let deaf = devices[3].address();
    until("the others hear", || {
        for device in &devices {
            device.receive(SHORT, &mut |_, _| panic!("no frames yet"));
        }
        let hearing = |device: &UdpDevice| device.hearing().len();
        devices[..3].iter().all(|device| hearing(device) == 2) && hearing(&devices[3]) == 3
    });
    assert!(
        devices[..3]
            .iter()
            .all(|device| !device.hearing().contains(&deaf))
    );
    check_exchange(&devices);
}

#[test]
fn a_wait_ends_also_when_the_own_address_is_gone() {
    let Some((_middle, hosts)) = hosts(2) else {
        return;
    };
    let device = |n: usize| {
        open(
            &hosts[n],
            &UdpConfig::at(ip(&format!("10.7.0.{}", n + 1)), 1_400),
        )
    };
    let pair = [device(0), device(1)];
    introduce(&pair);
    let [a, b] = &pair;
    meet(b, a);
    // Frames flow, so the next wait blocks in the kernel; and nobody can send to it any more.
    hosts[0].ip("addr del 10.7.0.1/24 dev port");
    let begun = Instant::now();
    for _ in 0..10 {
        a.receive(SHORT, &mut |_, _| panic!("nothing can come"));
    }
    assert!(begun.elapsed() < StdDuration::from_secs(20));
    assert!(
        begun.elapsed() >= StdDuration::from_millis(15),
        "waits are still waits"
    );
    a.wake();
    a.send(&[frame(b.station(), vec![1])]);
    assert_eq!(a.lost(), 1);
}
