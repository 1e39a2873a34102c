//! Raw Ethernet between hosts that are network namespaces: pairs of veth, bridges, loopback.

#![allow(
    clippy::disallowed_methods,
    reason = "sockets and namespaces take the time they take"
)]

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration as StdDuration, Instant};

use flip_net::Frame;
use flip_net::address::{FlipAddress, LinkAddress, NetworkId};
use flip_net::driver::{Device, EthernetConfig, EthernetDevice, EthernetError, Station, namespace};
use flip_net::rng::Rng;
use flip_net::time::Duration;
use support::Namespace;

const LONG: Duration = Duration::from_secs(10);
/// The shortest payload; what is shorter arrives with zeros behind it.
const PAYLOAD_LEN_MIN: usize = 46;

fn frame(to: LinkAddress, bytes: Vec<u8>) -> Frame {
    let network = NetworkId(0);
    Frame::new(network, to, bytes)
}

/// A payload that is not filled up.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(PAYLOAD_LEN_MIN, b'.');
    bytes
}

fn config(interface: &str, station: Station) -> EthernetConfig {
    EthernetConfig {
        interface: interface.to_owned(),
        station,
        mtu: None,
    }
}

fn open_with(host: &Namespace, config: &EthernetConfig) -> Result<EthernetDevice, EthernetError> {
    namespace::within(&host.name, || EthernetDevice::open(config)).expect("the namespace is there")
}

fn open(host: &Namespace, interface: &str, station: Station) -> EthernetDevice {
    open_with(host, &config(interface, station)).expect("the interface is there")
}

fn drawn(seed: u64) -> Station {
    Station::draw(&mut Rng::new(seed))
}

/// Two hosts and a cable: interface `west` and interface `east`.
fn cable() -> Option<[Namespace; 2]> {
    let hosts = [Namespace::new()?, Namespace::new()?];
    let far = &hosts[1].name;
    hosts[0].ip(&format!(
        "link add west type veth peer name east netns {far}"
    ));
    hosts[0].ip("link set west up");
    hosts[1].ip("link set east up");
    hosts[0].wait_until_up("west");
    hosts[1].wait_until_up("east");
    Some(hosts)
}

/// Receives until a frame with these bytes is there; gives all that came up to it.
fn receive_to(device: &EthernetDevice, end: &[u8]) -> Vec<(LinkAddress, Vec<u8>)> {
    let deadline = Instant::now() + StdDuration::from_secs(20);
    let mut frames: Vec<(LinkAddress, Vec<u8>)> = Vec::new();
    while frames.last().is_none_or(|(_, bytes)| bytes != end) {
        assert!(Instant::now() < deadline, "{} frames came", frames.len());
        device.receive(LONG, &mut |from, bytes| frames.push((from, bytes.to_vec())));
    }
    frames
}

/// Everything that this one gets, once `from` has sent it a last frame.
fn receive_all(from: &EthernetDevice, device: &EthernetDevice) -> Vec<Vec<u8>> {
    let end = text("end");
    from.send(&[frame(device.station(), end.clone())]);
    let mut frames = receive_to(device, &end);
    frames.pop();
    frames.into_iter().map(|(_, bytes)| bytes).collect()
}

#[test]
fn frames_for_one_and_for_all_cross_a_cable() {
    let Some([left, right]) = cable() else { return };
    let [a, b] = [
        open(&left, "west", Station::Own),
        open(&right, "east", Station::Own),
    ];
    assert_eq!(a.link(), flip_net::Link::ethernet());
    a.send(&[frame(LinkAddress::Broadcast, text("all"))]);
    let many: Vec<_> = (0..100_u8).map(|n| vec![n; 1_500]).collect();
    let to_b = |bytes: &Vec<u8>| frame(b.station(), bytes.clone());
    a.send(&many.iter().map(to_b).collect::<Vec<_>>());
    let came = receive_to(&b, many.last().unwrap());
    assert!(came.iter().all(|(from, _)| *from == a.station()));
    let bytes: Vec<_> = came.into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(bytes, [vec![text("all")], many].concat());
    b.send(&[frame(a.station(), text("back"))]);
    assert_eq!(receive_to(&a, &text("back")), [(b.station(), text("back"))]);
    for device in [&a, &b] {
        assert_eq!((device.lost(), device.drops()), (0, BTreeMap::new()));
    }
}

#[test]
fn a_group_is_heard_only_while_it_is_listened_to() {
    let Some([left, right]) = cable() else { return };
    let [a, b] = [
        open(&left, "west", Station::Own),
        open(&right, "east", Station::Own),
    ];
    let group = FlipAddress::new([1, 2, 3, 4, 5, 6, 7, 0]).link_multicast();
    let other = FlipAddress::new([1, 2, 3, 4, 5, 7, 7, 0]).link_multicast();
    let to_groups = || {
        a.send(&[
            frame(LinkAddress::Multicast(group), text("group")),
            frame(LinkAddress::Multicast(other), text("other")),
        ]);
        receive_all(&a, &b)
    };
    let dropped = |count| BTreeMap::from([("for a group that is not listened to", count)]);
    assert_eq!(to_groups(), <[Vec<u8>; 0]>::default());
    assert_eq!(b.drops(), dropped(2), "this kind of cable does not filter");
    b.listen(group, true);
    b.listen(group, true);
    assert_eq!(to_groups(), [text("group")]);
    assert_eq!(b.drops(), dropped(3));
    b.listen(group, false);
    // What is no group changes nothing.
    b.listen(u64::MAX, true);
    b.listen(2, true);
    assert_eq!(to_groups(), <[Vec<u8>; 0]>::default());
    assert_eq!(b.drops(), dropped(5));
}

/// Each of these hears each other one, once, and nothing that is not for it.
fn check_all_hear_each_other(devices: &[EthernetDevice]) {
    for (at, sender) in devices.iter().enumerate() {
        let name = |to: usize| text(&format!("{at} to {to}"));
        let others = || (0..devices.len()).filter(|to| *to != at);
        sender.send(&[frame(LinkAddress::Broadcast, text("all"))]);
        let unicasts = others().map(|to| frame(devices[to].station(), name(to)));
        sender.send(&unicasts.collect::<Vec<_>>());
        for to in others() {
            assert_eq!(receive_all(sender, &devices[to]), [text("all"), name(to)]);
        }
    }
    for device in devices {
        assert_eq!(device.lost(), 0);
    }
}

#[test]
fn processors_share_one_end_of_a_cable() {
    let Some([left, right]) = cable() else { return };
    let devices = [
        open(&left, "west", Station::Own),
        open(&left, "west", drawn(1)),
        open(&left, "west", drawn(2)),
        open(&right, "east", drawn(3)),
        open(&right, "east", drawn(4)),
    ];
    check_all_hear_each_other(&devices);
    for device in &devices {
        assert_eq!(device.drops(), BTreeMap::new());
    }
}

#[test]
fn processors_share_a_loopback() {
    let Some(host) = Namespace::new() else { return };
    let devices = [1, 2, 3].map(|seed| open(&host, "lo", drawn(seed)));
    check_all_hear_each_other(&devices);
    // Whatever is for all comes back there; it stays with its sender.
    for device in &devices {
        device.receive(Duration::ZERO, &mut |_, _| panic!("nothing is left"));
        assert_eq!(device.drops(), BTreeMap::from([("from this station", 1)]));
    }
}

#[test]
fn processors_share_a_bridge_and_its_ports() {
    let Some(middle) = Namespace::new() else {
        return;
    };
    middle.ip("link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
    middle.ip("link set br0 up");
    let mut hosts = Vec::new();
    let mut devices = vec![
        open(&middle, "br0", drawn(1)),
        open(&middle, "br0", Station::Own),
    ];
    for seed in [10, 20, 30] {
        let Some(host) = Namespace::new() else { return };
        let (port, name) = (format!("p{seed}"), &host.name);
        middle.ip(&format!(
            "link add {port} type veth peer name port netns {name}"
        ));
        middle.ip(&format!("link set {port} master br0 up"));
        host.ip("link set port up");
        host.wait_until_up("port");
        middle.wait_until_up(&port);
        devices.push(open(&host, "port", drawn(seed)));
        devices.push(open(&host, "port", drawn(seed + 1)));
        hosts.push(host);
    }
    check_all_hear_each_other(&devices);
}

#[test]
fn long_frames_pass_where_the_interface_takes_them() {
    let Some([left, right]) = cable() else { return };
    left.ip("link set west mtu 9000");
    right.ip("link set east mtu 9000");
    let [a, b] = [
        open(&left, "west", drawn(1)),
        open(&right, "east", drawn(2)),
    ];
    assert_eq!(a.link().mtu, 8_998);
    let (longest, too_long) = (vec![1; 9_000], vec![2; 9_001]);
    a.send(&[
        frame(b.station(), too_long.clone()),
        frame(b.station(), longest.clone()),
    ]);
    assert_eq!(a.lost(), 1);
    assert_eq!(receive_all(&a, &b), std::slice::from_ref(&longest));

    let small = EthernetConfig {
        mtu: Some(1_000),
        ..config("east", drawn(3))
    };
    let small = open_with(&right, &small).unwrap();
    assert_eq!(small.link().mtu, 1_000);
    a.send(&[
        frame(small.station(), longest),
        frame(small.station(), vec![3; 1_002]),
    ]);
    assert_eq!(receive_all(&a, &small), [vec![3; 1_002]]);
    assert_eq!(small.drops(), BTreeMap::from([("too long", 1)]));
}

#[test]
fn short_frames_are_filled_up_with_zeros() {
    let Some([left, right]) = cable() else { return };
    let [a, b] = [
        open(&left, "west", Station::Own),
        open(&right, "east", Station::Own),
    ];
    let short: Vec<_> = [0, 1, 2, 42, 45].map(|len| vec![7; len]).into();
    let to_b = |bytes: &Vec<u8>| frame(b.station(), bytes.clone());
    a.send(&short.iter().map(to_b).collect::<Vec<_>>());
    let filled = short.into_iter().map(|mut bytes| {
        bytes.resize(PAYLOAD_LEN_MIN, 0);
        bytes
    });
    assert_eq!(receive_all(&a, &b), filled.collect::<Vec<_>>());
}

#[test]
fn single_frames_leave_whole_whatever_their_size() {
    let Some([left, right]) = cable() else { return };
    left.ip("link set west mtu 9000");
    right.ip("link set east mtu 9000");
    let [a, b] = [
        open(&left, "west", drawn(1)),
        open(&right, "east", Station::Own),
    ];
    // Up to 2,034 bytes a frame leaves as one piece.
    let sizes = (0..=100).chain(2_000..=2_100).chain([1_500, 8_999, 9_000]);
    for len in sizes {
        let mut bytes: Vec<_> = (0..len).map(|at| (at % 251) as u8 + 1).collect();
        a.send(&[frame(b.station(), bytes.clone())]);
        bytes.resize(len.max(PAYLOAD_LEN_MIN), 0);
        assert_eq!(receive_to(&b, &bytes).len(), 1, "of {len} bytes");
    }
    for device in [&a, &b] {
        assert_eq!((device.lost(), device.drops()), (0, BTreeMap::new()));
    }
}

#[test]
fn a_cable_may_be_pulled_and_plugged_again() {
    let Some([left, right]) = cable() else { return };
    let [a, b] = [
        open(&left, "west", drawn(1)),
        open(&right, "east", Station::Own),
    ];
    let group = FlipAddress::new([1, 2, 3, 4, 5, 6, 7, 0]).link_multicast();
    a.listen(group, true);
    for _ in 0..2 {
        left.ip("link set west down");
        let before = a.lost();
        a.send(&[frame(b.station(), text("into the dark"))]);
        a.send(&[
            frame(b.station(), text("into the dark")),
            frame(LinkAddress::Broadcast, text("into the dark")),
        ]);
        assert_eq!(a.lost(), before + 3);
        // The socket says once that the interface is down, then it waits like any other.
        let deadline = Instant::now() + StdDuration::from_secs(20);
        while a.lost() == before + 3 {
            assert!(Instant::now() < deadline, "it is noticed");
            a.receive(LONG, &mut |_, _| panic!("nothing can come"));
        }
        left.ip("link set west up");
        left.wait_until_up("west");
        right.wait_until_up("east");
        b.send(&[
            frame(LinkAddress::Multicast(group), text("group")),
            frame(a.station(), text("light")),
        ]);
        assert_eq!(receive_all(&b, &a), [text("group"), text("light")]);
        assert_eq!(receive_all(&a, &b), <[Vec<u8>; 0]>::default());
    }
    left.ip("link del west");
    let before = a.lost();
    a.send(&[frame(b.station(), text("into nothing"))]);
    a.listen(group, false);
    assert_eq!(
        a.lost(),
        before + 1,
        "no interface is a loss like any other"
    );
}

#[test]
fn a_waiting_receiver_can_be_woken() {
    let Some(host) = Namespace::new() else { return };
    let device = open(&host, "lo", drawn(1));
    for _ in 0..100 {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| device.receive(LONG, &mut |_, _| panic!("no frame")));
            device.wake();
            assert_eq!(waiter.join().unwrap(), 0);
        });
        assert!(begun.elapsed() < StdDuration::from_secs(5));
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some([left, _right]) = cable() else {
        return;
    };
    let refusal = |config: &EthernetConfig| {
        let opened = open_with(&left, config).map(|_| ());
        opened.unwrap_err().to_string()
    };
    let nowhere = refusal(&config("eth9", Station::Own));
    assert_eq!(nowhere, "there is no interface eth9; there are: lo, west");
    let loopback = refusal(&config("lo", Station::Own));
    assert!(loopback.contains("draw one"), "{loopback}");
    for bad in [[3, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1]] {
        let bad = refusal(&config("west", Station::Drawn(bad)));
        assert!(bad.contains("locally administered"), "{bad}");
    }
    for mtu in [40, 1_499] {
        let config = EthernetConfig {
            mtu: Some(mtu),
            ..config("west", Station::Own)
        };
        let text = refusal(&config);
        assert!(text.contains("choose 41 to 1498"), "{text}");
    }
    assert!(Station::draw(&mut Rng::new(1)) != Station::draw(&mut Rng::new(2)));
}

#[test]
fn without_permission_the_error_says_what_it_takes() {
    const INNER: &str = "FLIP_TEST_WITHOUT_RAW_FRAMES";
    let is_inner = std::env::var_os(INNER).is_some();
    match EthernetDevice::open(&config("lo", drawn(1))) {
        Err(error) => {
            assert!(
                matches!(error, EthernetError::NoPermission { .. }),
                "{error}"
            );
            assert!(
                error.to_string().contains("setcap cap_net_raw+ep"),
                "{error}"
            );
        }
        Ok(_) if is_inner => panic!("raw frames without permission"),
        // Once more, without the capability.
        Ok(_) => {
            let this = std::env::current_exe().expect("a test has a file");
            let name = "without_permission_the_error_says_what_it_takes";
            let run = Command::new("setpriv")
                .args(["--bounding-set", "-net_raw"])
                .arg(this)
                .args(["--exact", name])
                .env(INNER, "1")
                .output();
            let Ok(output) = run else {
                println!("skipped: no `setpriv` to give the permission up with");
                return;
            };
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{text}"
            );
        }
    }
}
