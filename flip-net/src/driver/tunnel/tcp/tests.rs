//! Tunnels over the loopback interface, against each other and against bare sockets.

#![allow(unsafe_code, reason = "unshare has no safe form in std")]

use super::*;
use crate::address::{FlipAddress, NetworkId};
use crate::wire::{Flags, Kind, Repr};

const MTU: usize = 2_000;
const SHORT: Duration = Duration::from_millis(5);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn open(end: End, framing: Framing) -> TcpTunnelDevice {
    let config = TcpTunnelConfig {
        end,
        framing,
        mtu: MTU,
        silence: Duration::from_secs(2),
    };
    TcpTunnelDevice::open(&config).unwrap()
}

fn listening() -> (TcpTunnelDevice, SocketAddr) {
    let device = open(End::Listen(any_port()), Framing::Flip);
    let address = device.address().unwrap();
    (device, address)
}

fn pair(framing: Framing) -> [TcpTunnelDevice; 2] {
    let a = open(End::Listen(any_port()), framing);
    let b = open(End::Connect(vec![a.address().unwrap()]), framing);
    until(&[&a, &b], "connected", |_| {
        a.state().peer.is_some() && b.state().peer.is_some()
    });
    [a, b]
}

/// A packet with its number.
fn packet(message: u32, len: usize) -> Vec<u8> {
    let repr = Repr {
        kind: Kind::UniData,
        flags: Flags::default(),
        actual: 1,
        maximum: 25,
        destination: FlipAddress::new([1; 8]),
        source: FlipAddress::new([2; 8]),
        message,
        offset: 0,
        total: len as u32,
    };
    repr.emit(&vec![message as u8; len])
}

fn frame(bytes: Vec<u8>) -> Frame {
    Frame::new(NetworkId(0), PEER, bytes)
}

/// Lets the devices receive in turn until `done` is content with the frames; fails if it never is.
#[track_caller]
fn until(
    devices: &[&TcpTunnelDevice],
    what: &str,
    mut done: impl FnMut(&[Vec<u8>]) -> bool,
) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let end = Instant::now() + StdDuration::from_secs(20);
    while !done(&frames) {
        assert!(Instant::now() < end, "not {what}; {} frames", frames.len());
        for device in devices {
            device.receive(SHORT, &mut |from, bytes| {
                assert_eq!(from, PEER);
                frames.push(bytes.to_vec());
            });
        }
    }
    frames
}

#[track_caller]
fn receive(device: &TcpTunnelDevice, count: usize) -> Vec<Vec<u8>> {
    until(&[device], "received", |frames| frames.len() >= count)
}

#[test]
fn frames_travel_both_ways_in_order() {
    let [a, b] = pair(Framing::Flip);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let packets: Vec<_> = (0..200).map(|n| packet(n, n as usize * 7)).collect();
        let frames: Vec<_> = packets.iter().cloned().map(frame).collect();
        from.send(&frames);
        assert_eq!(receive(to, 200), packets);
    }
    assert_eq!((a.lost(), b.lost()), (0, 0));
}

#[test]
fn frames_behind_their_length_may_be_anything() {
    let [a, b] = pair(Framing::Length);
    let frames = [vec![0xff; MTU], vec![1], b"sealed".to_vec()];
    a.send(&frames.clone().map(frame));
    assert_eq!(receive(&b, 3), frames);
}

#[test]
fn a_packet_in_three_segments_with_the_next_one_glued_is_two_packets() {
    // [scenario 56]
    let (device, address) = listening();
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_nodelay(true).unwrap();
    let (first, second) = (packet(1, 10), packet(2, 5));
    let stream = [first.clone(), second.clone()].concat();
    for (segment, kept) in [(0..17, 17), (17..44, 44)] {
        peer.write_all(&stream[segment]).unwrap();
        // Each one is read before the next one leaves.
        let frames = until(&[&device], "read", |_| {
            device.receiver.lock().unwrap().deframer.partial_len() == kept
        });
        assert!(frames.is_empty());
    }
    peer.write_all(&stream[44..]).unwrap();
    let frames = receive(&device, 2);
    assert_eq!(frames, [first.clone(), second]);
    // What leaves has no framing either.
    device.send(&[frame(first.clone())]);
    let mut sent = vec![0; first.len()];
    peer.read_exact(&mut sent).unwrap();
    assert_eq!(sent, first);
}

#[test]
fn what_makes_no_sense_ends_the_connection_and_the_next_one_starts_afresh() {
    let (device, address) = listening();
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(&packet(1, 3)).unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n")
        .unwrap();
    let frames = until(&[&device], "ended", |_| device.state().ended.is_some());
    assert_eq!(frames, [packet(1, 3)]);
    let state = device.state();
    assert_eq!(state.peer, None);
    assert_eq!(
        state.ended.unwrap(),
        "no header where one should be: unknown version"
    );
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(&packet(2, 3)).unwrap();
    assert_eq!(receive(&device, 1), [packet(2, 3)]);
    assert_eq!(device.state().connections, 2);
}

#[test]
fn a_new_connection_replaces_the_old_one() {
    let (device, address) = listening();
    let mut old = TcpStream::connect(address).unwrap();
    until(&[&device], "connected", |_| device.state().connections == 1);
    // Half a packet must not be joined with what comes by another connection.
    old.write_all(&packet(1, 10)[..45]).unwrap();
    let mut new = TcpStream::connect(address).unwrap();
    new.write_all(&packet(2, 10)).unwrap();
    assert_eq!(receive(&device, 1), [packet(2, 10)]);
    assert_eq!(device.state().peer, Some(new.local_addr().unwrap()));
    old.set_read_timeout(Some(StdDuration::from_secs(20)))
        .unwrap();
    // Closed, or reset since it was not read to its end.
    assert!(!matches!(old.read(&mut [0; 8]), Ok(1..)));
    assert_eq!(
        device.state().ended.unwrap(),
        "replaced by a new connection"
    );
}

#[test]
fn a_peer_that_comes_late_or_again_is_found() {
    // An address that belongs to this process and this test, so nobody else can get the port meanwhile.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, 128 | high & 63, low, 1], 33_093));
    let dialing = open(End::Connect(vec![address]), Framing::Flip);
    until(&[&dialing], "refused", |_| dialing.state().ended.is_some());
    for connection in 1..=2 {
        let listening = open(End::Listen(address), Framing::Flip);
        until(&[&dialing, &listening], "connected", |_| {
            dialing.state().peer.is_some() && listening.state().peer.is_some()
        });
        assert_eq!(dialing.state().connections, connection);
        listening.send(&[frame(packet(1, 1))]);
        receive(&dialing, 1);
        drop(listening);
        until(&[&dialing], "cut", |_| dialing.state().peer.is_none());
    }
}

#[test]
fn frames_for_nobody_are_lost_and_counted() {
    let (device, _) = listening();
    device.send(&[frame(packet(1, 1)), frame(packet(2, 1))]);
    assert_eq!(device.lost(), 2);
}

#[test]
fn a_peer_that_does_not_read_costs_frames_and_holds_nobody_up() {
    let (device, address) = listening();
    let mut peer = TcpStream::connect(address).unwrap();
    until(&[&device], "connected", |_| device.state().peer.is_some());
    let mut sent = 0;
    while device.lost() < 10 {
        device.send(&[frame(packet(sent, 1_500))]);
        sent += 1;
        assert!(sent < 1_000_000, "the bound was never reached");
    }
    let arrived = u64::from(sent) - device.lost();
    // The receiver goes on writing when the peer reads at last: whole packets, in order.
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut deframer = Deframer::new(Framing::Flip, MTU);
            let mut numbers = Vec::new();
            let mut buffer = vec![0; 64 << 10];
            while (numbers.len() as u64) < arrived {
                let len = peer.read(&mut buffer).unwrap();
                assert_ne!(len, 0, "closed");
                let mut take = |bytes: &[u8]| {
                    numbers.push(crate::wire::Packet::new_checked(bytes).unwrap().message());
                };
                deframer.feed(&buffer[..len], &mut take).unwrap();
            }
            (numbers, peer)
        });
        until(&[&device], "written", |_| reader.is_finished());
        let (numbers, _peer) = reader.join().unwrap();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!(device.line().outgoing.is_empty());
        // There is room again.
        let lost = device.lost();
        device.send(&[frame(packet(0, 1_500))]);
        assert_eq!(device.lost(), lost);
    });
}

/// Takes the loopback interface up or down; whether that was possible.
fn set_loopback(state: &str) -> bool {
    let mut command = std::process::Command::new("ip");
    let done = command.args(["link", "set", "lo", state]).status();
    done.is_ok_and(|status| status.success())
}

/// In a network namespace of its own, which ends with the thread.
fn check_silence(busy: bool) {
    // SAFETY: the call changes this thread only, which was made for it.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 || !set_loopback("up") {
        println!("skipped: needs root and the command ip");
        return;
    }
    let [a, b] = pair(Framing::Flip);
    assert!(set_loopback("down"));
    if busy {
        a.send(&[frame(packet(1, 100))]);
    }
    let devices = [&a, &b];
    until(&devices, "given up", |_| {
        devices.iter().all(|device| device.state().peer.is_none())
    });
    for device in devices {
        assert!(device.state().ended.is_some());
    }
    assert!(set_loopback("up"));
    until(&devices, "connected again", |_| {
        devices.iter().all(|device| device.state().peer.is_some())
    });
}

#[test]
fn a_peer_that_is_silently_gone_is_given_up_and_found_again() {
    std::thread::scope(|scope| {
        let checks = [false, true].map(|busy| scope.spawn(move || check_silence(busy)));
        for check in checks {
            check.join().unwrap();
        }
    });
}

#[test]
fn a_waiting_receiver_can_be_woken() {
    let long = Duration::from_secs(20);
    let [a, b] = pair(Framing::Flip);
    for device in [a, b] {
        std::thread::scope(|scope| {
            let begun = Instant::now();
            let waiter = scope.spawn(|| device.receive(long, &mut |_, _| panic!("no frame")));
            device.wake();
            assert_eq!(waiter.join().unwrap(), 0);
            assert!(begun.elapsed() < StdDuration::from_secs(20));
        });
    }
}

#[test]
fn sizes_and_ends_that_make_no_sense_are_refused() {
    for (end, mtu) in [
        (End::Listen(any_port()), HEADER_LEN),
        (End::Listen(any_port()), FRAME_LEN_MAX + 1),
        (End::Connect(vec![]), MTU),
    ] {
        let config = TcpTunnelConfig {
            end,
            framing: Framing::Flip,
            mtu,
            silence: TcpTunnelConfig::SILENCE,
        };
        let error = TcpTunnelDevice::open(&config).err().expect("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
