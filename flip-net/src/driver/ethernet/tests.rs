//! Frames that no device of ours sends, to one that may block in a receive and one that may not.

use std::time::{Duration as StdDuration, Instant};

use super::*;
use crate::driver::namespace::within;
use crate::driver::os::name;

#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests beside it need more")]
mod support;

const OWN: Address = [2, 0, 0, 0, 0, 1];
const OTHER: Address = [2, 0, 0, 0, 0, 2];
const MTU: usize = 1_000;

/// A loopback interface, a processor on it, and a socket that sends anything.
struct Host {
    namespace: support::Namespace,
    device: EthernetDevice,
    socket: Socket,
}

impl Host {
    fn new(mtu: Option<usize>, interrupt: Option<Interrupt>) -> Option<Host> {
        let namespace = support::Namespace::new()?;
        let opened = within(&namespace.name, || {
            let config = EthernetConfig {
                interface: "lo".to_owned(),
                station: Station::Drawn(OWN),
                mtu,
            };
            let device = EthernetDevice::open_with(&config, interrupt).unwrap();
            let socket = Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None).unwrap();
            socket.bind(&name::all_frames_of(device.interface)).unwrap();
            (device, socket)
        });
        let (device, socket) = opened.unwrap();
        Some(Host {
            namespace,
            device,
            socket,
        })
    }

    fn send(&self, to: Address, from: Address, bytes: &[u8]) {
        let frame = [&header::emit(to, from)[..], bytes].concat();
        self.socket.send(&frame).unwrap();
    }

    /// The next frames, so many of them.
    fn receive(&self, count: usize) -> Vec<(LinkAddress, Vec<u8>)> {
        let mut frames = Vec::new();
        let until = Instant::now() + StdDuration::from_secs(20);
        while frames.len() < count {
            assert!(Instant::now() < until, "{} frames came", frames.len());
            let second = Duration::from_secs(1);
            self.device.receive(second, &mut |from, bytes| {
                frames.push((from, bytes.to_vec()))
            });
        }
        assert_eq!(frames.len(), count);
        frames
    }

    fn count(&self, reason: &str) -> u64 {
        self.device.drops().get(reason).copied().unwrap_or(0)
    }

    /// Sends numbered frames, from `first` on, until a hundred of them found no room; gives the
    /// number after the last one.
    fn overflow(&self, reason: &str, first: u32) -> u32 {
        let before = self.count(reason);
        let until = Instant::now() + StdDuration::from_secs(20);
        let mut number = first;
        while self.count(reason) < before + 100 {
            assert!(Instant::now() < until, "{number} frames found room");
            self.send(OWN, OTHER, &number.to_be_bytes());
            number += 1;
        }
        number
    }

    /// What is there now: numbered frames. Their order is checked.
    fn numbers(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut look = || {
            self.device.receive(Duration::ZERO, &mut |_, bytes| {
                numbers.push(u32::from_be_bytes(bytes.try_into().unwrap()))
            })
        };
        while look() > 0 {}
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        numbers
    }
}

/// Checks something where a receive may block, and where none may.
fn with_both(mtu: Option<usize>, check: impl Fn(&Host)) {
    let interrupt = Interrupt::new();
    assert!(interrupt.is_some(), "nobody uses the signal here");
    for interrupt in [interrupt, None] {
        let Some(host) = Host::new(mtu, interrupt) else {
            return;
        };
        check(&host);
    }
}

#[test]
fn frames_from_nobody_and_from_here_are_counted() {
    with_both(Some(MTU), |host| {
        let send = |to, from, len: usize| host.send(to, from, &vec![5; len]);
        let all = [0xff; 6];
        send(all, [3, 0, 0, 0, 0, 1], 60);
        send(all, all, 60);
        send(OWN, [0; 6], 60);
        send(all, OWN, 60);
        send([0x55; 6], OTHER, 60);
        send(OWN, OTHER, 1_003);
        send(OWN, OTHER, 5_000);
        send(OWN, OTHER, 1_002);
        let other = LinkAddress::Station(header::number(OTHER));
        assert_eq!(host.receive(1), [(other, vec![5; 1_002])]);
        let wanted = [
            ("from a group or nobody", 3),
            ("from this station", 1),
            ("for a group that is not listened to", 1),
            ("too long", 2),
        ];
        assert_eq!(host.device.drops(), BTreeMap::from(wanted));
    });
}

#[test]
fn the_kernel_keeps_back_what_is_none_of_ours() {
    with_both(Some(MTU), |host| {
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
            host.socket.send(frame).unwrap();
        }
        // A header alone is an empty packet; the box has no use for it, but it is well-formed.
        let came = host.receive(2);
        let came: Vec<_> = came.iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(came, [0, 60]);
        assert_eq!(host.device.drops(), BTreeMap::new());
    });
}

#[test]
fn frames_of_every_size_come_whole() {
    with_both(Some(MTU), |host| {
        let sizes: Vec<usize> = (0..=FLOW_HEADER_LEN + MTU).collect();
        // One, and many at once.
        for sizes in sizes.chunks(100).cycle().take(60) {
            let sent = sizes.iter().map(|len| vec![*len as u8; *len]);
            let sent: Vec<_> = sent.collect();
            sent.iter().for_each(|bytes| host.send(OWN, OTHER, bytes));
            let came = host.receive(sent.len()).into_iter();
            let came: Vec<_> = came.map(|(_, bytes)| bytes).collect();
            assert!(came == sent, "of {} bytes and more", sizes[0]);
        }
        assert_eq!(host.device.drops(), BTreeMap::new());
    });
}

#[test]
fn the_longest_frames_come_whole() {
    with_both(None, |host| {
        assert!(host.device.link().mtu > 65_000, "a loopback takes them");
        let longest = FLOW_HEADER_LEN + host.device.link().mtu;
        for round in 0..50_u8 {
            let sent = [1, 1_500, 9_000, longest - 1, longest].map(|len| vec![round; len]);
            sent.iter().for_each(|bytes| host.send(OWN, OTHER, bytes));
            let came = host.receive(sent.len()).into_iter();
            let came: Vec<_> = came.map(|(_, bytes)| bytes).collect();
            assert!(came == sent, "in round {round}");
        }
        assert_eq!(host.device.drops(), BTreeMap::new());
    });
}

#[test]
fn a_full_buffer_drops_what_comes_and_goes_on() {
    let Some(host) = Host::new(Some(MTU), None) else {
        return;
    };
    host.device.socket.set_recv_buffer_size(1 << 16).unwrap();
    let end = host.overflow("receive buffer full", 0);
    assert_eq!(host.numbers()[0], 0);
    host.send(OWN, OTHER, &end.to_be_bytes());
    assert_eq!(host.receive(1)[0].1, end.to_be_bytes());
    assert_eq!(host.device.drops().len(), 1);
}

#[test]
fn an_interface_that_goes_down_is_noticed_once() {
    with_both(Some(MTU), |host| {
        host.send(OWN, OTHER, &[1; 60]);
        host.receive(1);
        host.namespace.ip("link set lo down");
        let until = Instant::now() + StdDuration::from_secs(20);
        let receive = |wait| {
            host.device
                .receive(wait, &mut |_, _| panic!("nothing can come"))
        };
        while host.device.lost() == 0 {
            assert!(Instant::now() < until, "it is noticed");
            receive(Duration::from_secs(1));
        }
        receive(Duration::from_millis(1));
        assert_eq!(host.device.lost(), 1);
        host.namespace.ip("link set lo up");
        // The socket of the test was told as well.
        host.socket.take_error().unwrap();
        host.send(OWN, OTHER, &[2; 60]);
        assert_eq!(host.receive(1)[0].1, [2; 60]);
    });
}

#[test]
fn a_wait_is_over_when_it_should_be() {
    with_both(Some(MTU), |host| {
        for wait in [200, 3_000, 50] {
            let wait = Duration::from_micros(wait);
            for _ in 0..20 {
                // Now frames flow, as far as the device knows.
                host.send(OWN, OTHER, &[5; 60]);
                host.receive(1);
                let begun = Instant::now();
                let mut none = |_: LinkAddress, _: &[u8]| panic!("no frame");
                while begun.elapsed() < StdDuration::from_micros(wait.as_micros()) {
                    host.device.receive(wait, &mut none);
                }
                assert!(begun.elapsed() < StdDuration::from_secs(10));
            }
        }
    });
}

#[test]
fn a_receiver_is_woken_and_finds_what_came() {
    with_both(Some(MTU), |host| {
        let long = Duration::from_secs(30);
        let begun = Instant::now();
        for _ in 0..50 {
            std::thread::scope(|scope| {
                let mut none = |_: LinkAddress, _: &[u8]| panic!("no frame");
                let waiter = scope.spawn(move || host.device.receive(long, &mut none));
                host.device.wake();
                assert_eq!(waiter.join().unwrap(), 0);
            });
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| host.receive(1));
                host.send(OWN, OTHER, &[5; 60]);
                assert_eq!(waiter.join().unwrap()[0].1, [5; 60]);
            });
        }
        assert!(begun.elapsed() < StdDuration::from_secs(20));
    });
}
