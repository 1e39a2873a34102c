//! The device over real sockets of the loopback interface.

mod keyed;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;
use std::time::{Duration as StdDuration, Instant as StdInstant};

use super::*;
use crate::address::NetworkId;

const LONG: Duration = Duration::from_secs(20);
/// Long enough to block, short enough to look again.
const SHORT: Duration = Duration::from_millis(2);

fn frame(to: LinkAddress, bytes: Vec<u8>) -> Frame {
    Frame::new(NetworkId(0), to, bytes)
}

fn open<const N: usize>(config: &UdpConfig) -> [UdpDevice; N] {
    [(); N].map(|()| UdpDevice::open(config).unwrap())
}

fn introduce(devices: &[&UdpDevice]) {
    let peers: Vec<_> = devices.iter().map(|device| device.address()).collect();
    devices.iter().for_each(|device| device.set_peers(&peers));
}

/// One look at what is there.
fn look(device: &UdpDevice, wait: Duration) -> Vec<(LinkAddress, Vec<u8>)> {
    let mut frames = Vec::new();
    let count = device.receive(wait, &mut |from, bytes| frames.push((from, bytes.to_vec())));
    assert_eq!(count, frames.len());
    frames
}

/// Calls until it says true; fails if it never does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = StdInstant::now() + StdDuration::from_secs(20);
    while !done() {
        assert!(StdInstant::now() < end, "{what}");
    }
}

/// Receives until `count` frames are there; fails if they do not come.
fn receive(device: &UdpDevice, count: usize) -> Vec<(LinkAddress, Vec<u8>)> {
    let mut frames = Vec::new();
    until("all frames come", || {
        frames.extend(look(device, LONG));
        frames.len() >= count
    });
    assert_eq!(frames.len(), count);
    frames
}

/// Sends a frame that is the last one, and gives all that come before it. So what comes is
/// complete without waiting for what does not come.
fn receive_to_end(from: &UdpDevice, device: &UdpDevice) -> Vec<Vec<u8>> {
    let end = b"end".to_vec();
    from.send(&[frame(device.station(), end.clone())]);
    let mut frames = Vec::new();
    until("the last frame comes", || {
        frames.extend(look(device, LONG).into_iter().map(|(_, bytes)| bytes));
        frames.contains(&end)
    });
    // It may have overtaken what came by the other socket; but that is there.
    loop {
        let rest = look(device, Duration::ZERO);
        if rest.is_empty() {
            break;
        }
        frames.extend(rest.into_iter().map(|(_, bytes)| bytes));
    }
    frames.retain(|bytes| *bytes != end);
    frames
}

fn loopback_v6() -> UdpConfig {
    UdpConfig::at(Ipv6Addr::LOCALHOST.into(), 60 << 10)
}

fn group() -> SocketAddr {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    SocketAddr::from(([239, 255, 81, 46], port))
}

fn check_three(devices: &[UdpDevice; 3]) {
    let [a, b, c] = devices;
    let dropped = devices.each_ref().map(UdpDevice::drops);
    let long = vec![7; a.link().mtu];
    a.send(&[frame(LinkAddress::Broadcast, long.clone())]);
    for receiver in [b, c] {
        assert_eq!(receive(receiver, 1), [(a.station(), long.clone())]);
    }
    let many = (0..100_u8)
        .map(|n| frame(c.station(), vec![n; 20]))
        .collect::<Vec<_>>();
    b.send(&many);
    let numbers: Vec<u8> = receive(c, 100).iter().map(|(_, bytes)| bytes[0]).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert_eq!(look(a, Duration::ZERO), [], "nobody hears itself");
    assert_eq!(devices.each_ref().map(UdpDevice::drops), dropped);
    assert!(devices.iter().all(|device| device.lost() == 0));
}

#[test]
fn frames_travel_peer_by_peer() {
    let devices = open::<3>(&UdpConfig::loopback(None));
    introduce(&devices.each_ref());
    check_three(&devices);
    assert!(devices.iter().all(|device| device.drops().is_empty()));
}

#[test]
fn frames_travel_on_ipv6() {
    let Ok(first) = UdpDevice::open(&loopback_v6()) else {
        println!("skipped: no IPv6 on this loopback");
        return;
    };
    let [second, third] = open(&loopback_v6());
    let devices = [first, second, third];
    introduce(&devices.each_ref());
    check_three(&devices);
}

fn probe_until_all_hear(devices: &[UdpDevice]) {
    until("all hear", || {
        devices
            .iter()
            .for_each(|device| assert_eq!(look(device, SHORT), []));
        devices.iter().all(UdpDevice::has_multicast)
    });
}

#[test]
fn frames_travel_by_multicast_once_all_have_answered() {
    let devices = open::<3>(&UdpConfig::loopback(Some(group())));
    assert!(devices[0].group.get().is_some(), "loopback has multicast");
    introduce(&devices.each_ref());
    probe_until_all_hear(&devices);
    let route = devices[0].directory().route().clone();
    assert!(route.multicast.is_some() && route.copies.is_empty());
    check_three(&devices);
}

#[test]
fn everybody_gets_a_frame_once_in_a_mixture() {
    let config = UdpConfig::loopback(Some(group()));
    let [a, b, c, late] = open(&config);
    let [deaf] = open(&UdpConfig::loopback(None));
    introduce(&[&a, &b, &c, &late, &deaf]);
    until("two of four hear", || {
        for device in [&a, &b, &c] {
            assert_eq!(look(device, SHORT), []);
        }
        a.hearing().len() == 2
    });
    let route = a.directory().route().clone();
    assert!(route.multicast.is_some());
    assert_eq!(route.copies.len(), 2);
    let frames: Vec<_> = (0..40_u8).map(|n| vec![n; 1_400]).collect();
    let for_all = |bytes: &Vec<u8>| frame(LinkAddress::Broadcast, bytes.clone());
    a.send(&frames.iter().map(for_all).collect::<Vec<_>>());
    // The one that has not said so hears the group as well, and ignores what it gets as a copy.
    for device in [&b, &c, &late, &deaf] {
        assert_eq!(receive_to_end(&a, device), frames);
        assert_eq!(device.drops(), BTreeMap::new());
    }
    until("the late one is heard of", || {
        look(&late, SHORT);
        look(&a, SHORT);
        a.hearing().len() == 3
    });
    a.send(&[for_all(&frames[3])]);
    for device in [&b, &c, &late, &deaf] {
        assert_eq!(receive_to_end(&a, device), frames[3..4]);
    }
}

#[test]
fn no_frame_is_lost_or_doubled_while_both_sides_probe() {
    let devices = open::<3>(&UdpConfig::loopback(None));
    introduce(&devices.each_ref());
    check_while_probing(&devices);
}

/// Everybody sends to all while the others do, and begins to use a group meanwhile.
fn check_while_probing(devices: &[UdpDevice; 3]) {
    const COUNT: u16 = 3_000;
    let group = group();
    let complete_ones = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for device in devices {
            scope.spawn(move || {
                let mut is_complete = false;
                let mut seen: BTreeMap<LinkAddress, Vec<u16>> = BTreeMap::new();
                let mut sent = 0;
                until("all frames come", || {
                    if sent == COUNT / 3 {
                        device.try_multicast(group).unwrap();
                    }
                    if sent < COUNT {
                        let bytes = [[0, 0], sent.to_be_bytes()].concat();
                        device.send(&[frame(LinkAddress::Broadcast, bytes)]);
                        sent += 1;
                    }
                    let wait = if sent < COUNT { Duration::ZERO } else { SHORT };
                    for (from, bytes) in look(device, wait) {
                        let number = u16::from_be_bytes([bytes[2], bytes[3]]);
                        seen.entry(from).or_default().push(number);
                    }
                    let all = |numbers: &Vec<u16>| numbers.len() >= usize::from(COUNT);
                    let complete = seen.len() == 2 && seen.values().all(all);
                    if complete && device.has_multicast() && !is_complete {
                        is_complete = true;
                        complete_ones.fetch_add(1, Ordering::SeqCst);
                    }
                    // The others may still want answers.
                    complete_ones.load(Ordering::SeqCst) == 3
                });
                for numbers in seen.values_mut() {
                    // Two sockets: what went by multicast may overtake what went before.
                    numbers.sort_unstable();
                    assert_eq!(*numbers, (0..COUNT).collect::<Vec<_>>());
                }
                assert_eq!(device.lost(), 0);
            });
        }
    });
}

#[test]
fn a_probe_is_answered_before_the_peers_are_known() {
    let config = UdpConfig::loopback(Some(group()));
    let [a, b] = open(&config);
    a.set_peers(&[b.address()]);
    until("b is heard of", || {
        look(&a, SHORT);
        look(&b, SHORT);
        a.has_multicast()
    });
    assert_eq!(b.drops(), BTreeMap::new());
}

#[test]
fn strangers_are_dropped_unless_they_are_welcome() {
    let [a, b] = open(&UdpConfig::loopback(None));
    let open_to_all = UdpConfig {
        accept_strangers: true,
        ..UdpConfig::loopback(None)
    };
    let [welcoming] = open(&open_to_all);
    a.set_peers(&[]);
    b.send(&[
        frame(a.station(), vec![1]),
        frame(welcoming.station(), vec![1]),
    ]);
    until("it is counted", || {
        assert_eq!(look(&a, SHORT), []);
        a.drops() == BTreeMap::from([("from a stranger", 1)])
    });
    assert_eq!(receive(&welcoming, 1), [(b.station(), vec![1])]);
}

#[test]
fn datagrams_that_are_none_of_ours_are_counted() {
    let [device] = open(&UdpConfig::loopback(None));
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    device.set_peers(&[peer.local_addr().unwrap()]);
    let bad = [
        (vec![0xf1, 9], "malformed"),
        (vec![0xff], "malformed"),
        (vec![], "empty"),
        (control::probe(1), "by the wrong socket"),
        (
            [control::except(&[]), vec![1]].concat(),
            "by the wrong socket",
        ),
        (control::heard(1), "answer to no probe"),
    ];
    let mut wanted = BTreeMap::new();
    for (bytes, reason) in bad {
        peer.send_to(&bytes, device.address()).unwrap();
        *wanted.entry(reason).or_insert(0) += 1;
    }
    peer.send_to(&[1], device.address()).unwrap();
    assert_eq!(receive(&device, 1)[0].1, [1]);
    assert_eq!(device.drops(), wanted);
    device.send(&[
        frame(LinkAddress::Broadcast, vec![0xf1]),
        frame(LinkAddress::Station(0), vec![]),
    ]);
    assert_eq!(
        device.lost(),
        2,
        "what looks like ours does not leave as a frame"
    );
}

/// Frames of these lengths, each with bytes of its own.
fn frames_of(to: LinkAddress, lens: &[usize]) -> Vec<Frame> {
    let bytes = |at: usize, len: usize| (0..len).map(|n| ((at * 31 + n) % 240) as u8).collect();
    let frames = lens.iter().enumerate();
    frames.map(|(at, len)| frame(to, bytes(at, *len))).collect()
}

#[test]
fn long_runs_arrive_as_they_were_sent() {
    let pair = open(&UdpConfig::loopback(None));
    introduce(&pair.each_ref());
    check_long_runs(&pair, |bytes| bytes.to_vec());
}

/// What a raw socket gets is opened so.
fn check_long_runs([a, b]: &[UdpDevice; 2], mut open: impl FnMut(&mut [u8]) -> Vec<u8>) {
    let plain = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    plain
        .set_read_timeout(Some(StdDuration::from_secs(20)))
        .unwrap();
    let mut room = vec![0; DATAGRAM_LEN_MAX];
    for lens in [
        vec![1_400; 700],
        [vec![1_400; 69], vec![3]].concat(),
        vec![60 << 10; 5],
        vec![1; 200],
        (1..200).collect(),
        (1..200).rev().collect(),
        [[1_400, 1_400, 700], [1_400, 700, 700], [60_000, 1, 60_000]].concat(),
    ] {
        for to in [b.station(), LinkAddress::Broadcast] {
            let sent = frames_of(to, &lens);
            a.send(&sent);
            let came = receive(b, lens.len());
            assert!(
                came.iter()
                    .map(|(_, bytes)| bytes)
                    .eq(sent.iter().map(|frame| &frame.head))
            );
        }
        // Somebody whose socket does not want them put together.
        let address = plain.local_addr().unwrap();
        let station = a.directory().station_of(address).unwrap();
        let sent = frames_of(station, &lens);
        // Its receive buffer is the default one.
        let at_once = if lens[0] > 10_000 { 1 } else { 64 };
        for frames in sent.chunks(at_once) {
            a.send(frames);
            for frame in frames {
                let len = plain.recv(&mut room).unwrap();
                assert_eq!(open(&mut room[..len]), frame.head);
            }
        }
    }
    assert_eq!(a.lost(), 0);
}

#[test]
fn a_blocked_receiver_is_woken_in_every_way_of_waiting() {
    let [plain, peer] = open(&UdpConfig::loopback(None));
    let [grouped] = open(&UdpConfig::loopback(Some(group())));
    introduce(&[&plain, &peer]);
    for device in [&plain, &grouped] {
        for round in 0..200 {
            // Every other time right after a frame, when the receive itself blocks.
            if round % 2 == 0 && std::ptr::eq(device, &plain) {
                peer.send(&[frame(plain.station(), vec![1])]);
                receive(&plain, 1);
                assert!(device.receiving.lock().unwrap().traffic.flows());
            }
            let begun = StdInstant::now();
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| look(device, LONG));
                device.wake();
                assert_eq!(waiter.join().unwrap(), []);
            });
            assert!(begun.elapsed() < StdDuration::from_secs(10));
        }
    }
}

#[test]
fn a_wait_ends_at_its_deadline_also_while_frames_flow() {
    let [a, b] = open(&UdpConfig::loopback(None));
    introduce(&[&a, &b]);
    for _ in 0..20 {
        b.send(&[frame(a.station(), vec![1])]);
        receive(&a, 1);
        assert!(a.receiving.lock().unwrap().traffic.flows());
        let begun = StdInstant::now();
        assert_eq!(look(&a, SHORT), []);
        assert!(begun.elapsed() >= StdDuration::from_micros(SHORT.as_micros()));
        assert!(begun.elapsed() < StdDuration::from_secs(10));
        assert!(!a.receiving.lock().unwrap().traffic.flows());
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let nowhere = UdpConfig::at(Ipv4Addr::UNSPECIFIED.into(), 1_400);
    assert!(matches!(
        UdpDevice::open(&nowhere),
        Err(UdpError::NoInterface { .. })
    ));
    let long = UdpConfig::at(Ipv4Addr::LOCALHOST.into(), 65_508);
    assert!(matches!(UdpDevice::open(&long), Err(UdpError::Mtu { .. })));
    // From the block that is for documentation: nobody has it.
    let other = UdpConfig::at("198.51.100.77".parse().unwrap(), 1_400);
    let error = UdpDevice::open(&other).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("198.51.100.77:0"), "{error}");
    let [device] = open(&UdpConfig::loopback(None));
    for bad in ["10.0.0.1:5", "[ff11::1]:5"] {
        let error = device.try_multicast(bad.parse().unwrap()).unwrap_err();
        assert!(
            error.to_string().contains("no multicast address"),
            "{error}"
        );
    }
}
