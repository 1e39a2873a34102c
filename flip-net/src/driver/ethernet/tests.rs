//! Frames that no device of ours sends.

use std::time::{Duration as StdDuration, Instant};

use super::*;
use crate::driver::namespace::within;
use crate::driver::os::name;

#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests beside it need more")]
mod support;

const OWN: Address = [2, 0, 0, 0, 0, 1];
const OTHER: Address = [2, 0, 0, 0, 0, 2];

/// A loopback interface, a processor on it, and a socket that sends anything.
fn open() -> Option<(support::Namespace, EthernetDevice, Socket)> {
    let host = support::Namespace::new()?;
    let opened = within(&host.name, || {
        let config = EthernetConfig {
            interface: "lo".to_owned(),
            station: Station::Drawn(OWN),
            mtu: Some(1_000),
        };
        let device = EthernetDevice::open(&config).unwrap();
        let socket = Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None).unwrap();
        socket.bind(&name::all_frames_of(device.interface)).unwrap();
        (device, socket)
    });
    let (device, socket) = opened.unwrap();
    Some((host, device, socket))
}

/// The next frames, so many of them.
fn receive(device: &EthernetDevice, count: usize) -> Vec<(LinkAddress, Vec<u8>)> {
    let mut frames = Vec::new();
    let until = Instant::now() + StdDuration::from_secs(20);
    while frames.len() < count {
        assert!(Instant::now() < until, "{} frames came", frames.len());
        let second = Duration::from_secs(1);
        device.receive(second, &mut |from, bytes| {
            frames.push((from, bytes.to_vec()))
        });
    }
    assert_eq!(frames.len(), count);
    frames
}

#[test]
fn frames_from_nobody_and_from_here_are_counted() {
    let Some((_host, device, socket)) = open() else {
        return;
    };
    let send = |to, from, len: usize| {
        let frame = [&header::emit(to, from)[..], &vec![5; len]].concat();
        socket.send(&frame).unwrap();
    };
    let all = [0xff; 6];
    send(all, [3, 0, 0, 0, 0, 1], 60);
    send(all, all, 60);
    send(OWN, [0; 6], 60);
    send(all, OWN, 60);
    send([0x55; 6], OTHER, 60);
    send(OWN, OTHER, 1_003);
    send(OWN, OTHER, 1_002);
    let other = LinkAddress::Station(header::number(OTHER));
    assert_eq!(receive(&device, 1), [(other, vec![5; 1_002])]);
    let wanted = [
        ("from a group or nobody", 3),
        ("from this station", 1),
        ("for a group that is not listened to", 1),
        ("too long", 1),
    ];
    assert_eq!(device.drops(), BTreeMap::from(wanted));
}

#[test]
fn the_kernel_keeps_back_what_is_none_of_ours() {
    let Some((_host, device, socket)) = open() else {
        return;
    };
    let frame = [&header::emit(OWN, OTHER)[..], &[5; 60]].concat();
    let mut other_type = frame.clone();
    other_type[13] += 1;
    let other_station = [&header::emit(OTHER, OWN)[..], &[5; 60]].concat();
    // A tag, and our type and a packet behind it.
    let tagged = [&frame[..12], &[0x81, 0x00, 0, 1], &frame[12..]].concat();
    for frame in [
        &other_type,
        &other_station,
        &tagged,
        &frame[..14].to_vec(),
        &frame,
    ] {
        socket.send(frame).unwrap();
    }
    // A header alone is an empty packet; the box has no use for it, but it is well-formed.
    let came = receive(&device, 2);
    let came: Vec<_> = came.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(came, [0, 60]);
    assert_eq!(device.drops(), BTreeMap::new());
}
