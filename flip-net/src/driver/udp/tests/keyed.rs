//! Devices with a key, among others that have it and some that do not.

use super::super::receive::By;
use super::*;
use crate::seal::{Key, SEAL_MAGIC, SEAL_OVERHEAD, SealConfig};

fn guard(key: u8) -> Guard {
    Guard::keyed(Key::new([key; 32], 0)).unwrap()
}

fn open_keyed<const N: usize>(config: &UdpConfig, key: u8) -> [UdpDevice; N] {
    [(); N].map(|()| UdpDevice::open_guarded(config, guard(key)).unwrap())
}

/// Frames until one has come from everybody to everybody: then all know each other, and nothing is
/// lost for want of that.
fn meet(devices: &[&UdpDevice]) {
    introduce(devices);
    let mut heard = vec![std::collections::BTreeSet::new(); devices.len()];
    until("all meet", || {
        for device in devices {
            device.send(&[frame(LinkAddress::Broadcast, vec![0])]);
        }
        for (device, heard) in devices.iter().zip(&mut heard) {
            heard.extend(look(device, SHORT).into_iter().map(|(from, _)| from));
        }
        heard.iter().all(|heard| heard.len() == devices.len() - 1)
    });
    for device in devices {
        while !look(device, Duration::ZERO).is_empty() {}
    }
}

/// Bare sockets of a station that does by hand what a device does, and keeps all that it hears.
struct Bare {
    own: UdpSocket,
    group: UdpSocket,
    to_group: SocketAddr,
    guard: Guard,
    /// As they came, by which socket, and from whom.
    sealed: Vec<(By, SocketAddr, Vec<u8>)>,
    opened: Vec<Vec<u8>>,
}

impl Bare {
    fn new(group: SocketAddr, guard: Guard) -> Bare {
        let own = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = own.local_addr().unwrap();
        let (receiver, to_group) = sockets::open_group(&own, address, group).unwrap();
        own.set_nonblocking(true).unwrap();
        receiver.set_nonblocking(true).unwrap();
        Bare {
            own,
            group: receiver,
            to_group,
            guard,
            sealed: Vec::new(),
            opened: Vec::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.own.local_addr().unwrap()
    }

    fn station(&self) -> LinkAddress {
        LinkAddress::Station(number_of(self.address()))
    }

    /// Takes what is there, own multicasts left out, and sends what the guard answers.
    fn look(&mut self) {
        let mut room = vec![0; DATAGRAM_LEN_MAX];
        for (by, socket) in [(By::Own, &self.own), (By::Group, &self.group)] {
            while let Ok((len, from)) = socket.recv_from(&mut room) {
                if from == self.own.local_addr().unwrap() {
                    continue;
                }
                self.sealed.push((by, from, room[..len].to_vec()));
                let station = LinkAddress::Station(number_of(from));
                let opened = &mut self.opened;
                self.guard.open(
                    station,
                    &mut room[..len],
                    &mut |_, plain| opened.push(plain.to_vec()),
                    &mut |_, answer| assert!(self.own.send_to(&answer, from).is_ok()),
                );
            }
        }
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let sealed = self.guard.seal(bytes).unwrap();
        self.own.send_to(&sealed, to).unwrap();
    }

    fn has_opened(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        self.opened.iter().any(|bytes| is(bytes))
    }
}

#[test]
fn all_that_a_keyed_device_sends_is_sealed() {
    let group = group();
    let devices = open_keyed::<3>(&UdpConfig::loopback(Some(group)), 1);
    let mut ear = Bare::new(group, guard(1));
    let mut peers: Vec<_> = devices.iter().map(UdpDevice::address).collect();
    peers.push(ear.address());
    devices.iter().for_each(|device| device.set_peers(&peers));
    // It asks, and does not answer itself: so there are lists, and copies for it.
    until("everything was seen", || {
        ear.look();
        ear.send(ear.to_group, &control::probe(5));
        for device in &devices {
            device.send(&[
                frame(LinkAddress::Broadcast, b"for all".to_vec()),
                frame(ear.station(), b"for one".to_vec()),
            ]);
            look(device, SHORT);
        }
        let probe = control::probe(devices[0].probing.nonce());
        let heard = control::heard(5 ^ number_of(devices[0].address()));
        let listed = control::except(&[ear.address()]);
        ear.has_opened(|bytes| bytes == probe)
            && ear.has_opened(|bytes| bytes == heard)
            && ear.has_opened(|bytes| bytes == b"for one")
            && ear.has_opened(|bytes| bytes == b"for all")
            && ear.has_opened(|bytes| bytes.starts_with(&listed) && bytes.ends_with(b"for all"))
    });
    // Challenges and introductions are among them.
    assert!(ear.guard.stats().introduced >= 3);
    assert!(ear.sealed.len() > ear.opened.len());
    let sealed = || ear.sealed.iter().map(|(_, _, bytes)| bytes);
    assert!(sealed().all(|bytes| bytes[0] == SEAL_MAGIC));
    let shows = |part: &[u8]| sealed().any(|b| b.windows(part.len()).any(|w| w == part));
    assert!(!shows(b"for all") && !shows(b"for one"));
}

#[test]
fn forged_probes_and_answers_change_nothing() {
    let group = group();
    let devices = open_keyed::<3>(&UdpConfig::loopback(Some(group)), 1);
    let [a, b, c] = &devices;
    let mut forgers = [Bare::new(group, Guard::none()), Bare::new(group, guard(2))];
    let mut peers: Vec<_> = devices.iter().map(UdpDevice::address).collect();
    peers.extend(forgers.iter().map(Bare::address));
    devices.iter().for_each(|device| device.set_peers(&peers));
    until("those with the key hear", || {
        devices.iter().for_each(|device| {
            look(device, SHORT);
        });
        a.hearing().len() == 2
    });
    let (hearing, route) = (a.hearing(), a.directory().route().clone());
    assert!([b, c].iter().all(|one| hearing.contains(&one.address())));
    for forger in &mut forgers {
        forger.look();
        forger.sealed.clear();
    }
    let count = |reason| a.drops().get(reason).copied().unwrap_or(0);
    let before = ["not sealed", "bad tag"].map(count);
    for forger in &forgers {
        // They even know what only those with the key can know.
        let nonce = a.probing.nonce();
        let own = number_of(forger.address());
        for to in [a.address(), forger.to_group] {
            forger.send(to, &control::heard(nonce ^ own));
            forger.send(to, &control::heard(nonce));
            forger.send(to, &control::probe(7));
            forger.send(to, &[1, 2, 3]);
        }
    }
    until("all of it was refused", || {
        assert_eq!(look(a, SHORT), []);
        ["not sealed", "bad tag"].map(count) == before.map(|count| count + 8)
    });
    assert_eq!(a.hearing(), hearing);
    assert_eq!(*a.directory().route(), route);
    for forger in &mut forgers {
        forger.look();
        let own = forger.sealed.iter().filter(|(by, ..)| *by == By::Own);
        assert_eq!(own.count(), 0, "nobody answers it");
    }
}

#[test]
fn an_answer_is_of_no_use_as_that_of_another_station() {
    let group = group();
    let [a] = open_keyed(&UdpConfig::loopback(Some(group)), 1);
    let [mut b, mut c] = [(); 2].map(|()| Bare::new(group, guard(1)));
    a.set_peers(&[b.address(), c.address()]);
    let nonce = a.probing.nonce();
    // Sealed by a holder of the key, b, and sent on with the source of c.
    let passed_on = control::heard(nonce ^ number_of(b.address()));
    until("all have met", || {
        look(&a, SHORT);
        b.look();
        c.look();
        [&b, &c]
            .iter()
            .all(|bare| bare.guard.stats().introduced > 0)
    });
    let before = a.drops();
    c.send(a.address(), &passed_on);
    until("it is counted", || {
        look(&a, SHORT);
        a.drops().get("answer to no probe") > before.get("answer to no probe")
    });
    assert_eq!(a.hearing(), []);
    b.send(a.address(), &passed_on);
    until("the own answer counts", || {
        look(&a, SHORT);
        a.hearing() == [b.address()]
    });
}

#[test]
fn a_probe_that_was_held_proves_no_more_than_one_that_was_not() {
    let group = group();
    let [a] = open_keyed(&UdpConfig::loopback(Some(group)), 1);
    let mut bare = Bare::new(group, guard(1));
    a.set_peers(&[bare.address()]);
    until("its announcement comes", || bare.own.peek(&mut [0]).is_ok());
    // It hears of the device, so what it seals from here on is fresh, and is not known to it yet.
    let mut room = [0; 1_500];
    let len = bare.own.recv(&mut room).unwrap();
    let no_frames = &mut |_: LinkAddress, _: &[u8]| panic!("an announcement is no frame");
    let mut challenge = Vec::new();
    let keep = &mut |_: LinkAddress, answer: Vec<u8>| challenge = answer;
    bare.guard
        .open(a.station(), &mut room[..len], no_frames, keep);
    bare.send(a.address(), &control::probe(3));
    bare.send(bare.to_group, &control::probe(4));
    until("both are held", || {
        assert_eq!(look(&a, SHORT), []);
        a.guard().stats().held == 2
    });
    assert!(!a.drops().contains_key("by the wrong socket"));
    bare.own.send_to(&challenge, a.address()).unwrap();
    let own = number_of(a.address());
    until("the one that came by the group is answered", || {
        look(&a, SHORT);
        bare.look();
        bare.has_opened(|bytes| bytes == control::heard(4 ^ own))
    });
    assert_eq!(a.drops()["by the wrong socket"], 1);
    assert!(!bare.has_opened(|bytes| bytes == control::heard(3 ^ own)));
}

#[test]
fn keyed_frames_travel_by_copies_and_by_multicast() {
    let devices = open_keyed::<3>(&UdpConfig::loopback(None), 1);
    meet(&devices.each_ref());
    check_three(&devices);
    let group = group();
    let join = |device: &UdpDevice| device.try_multicast(group).unwrap();
    devices.iter().for_each(join);
    probe_until_all_hear(&devices);
    check_three(&devices);
    let route = devices[0].directory().route().clone();
    assert!(route.multicast.is_some() && route.copies.is_empty());
}

#[test]
fn keyed_frames_travel_on_ipv6() {
    if UdpDevice::open(&loopback_v6()).is_err() {
        println!("skipped: no IPv6 on this loopback");
        return;
    }
    let devices = open_keyed::<3>(&loopback_v6(), 1);
    meet(&devices.each_ref());
    check_three(&devices);
    // The first frame comes from somebody who is no peer yet, and is held until it is one.
    let welcoming = UdpConfig {
        accept_strangers: true,
        ..loopback_v6()
    };
    let [a] = open_keyed(&loopback_v6(), 1);
    let [b] = open_keyed(&welcoming, 1);
    a.set_peers(&[b.address()]);
    let mut came = Vec::new();
    until("frames of a stranger come", || {
        a.send(&[frame(LinkAddress::Broadcast, vec![6])]);
        look(&a, SHORT);
        came.extend(look(&b, SHORT));
        !came.is_empty()
    });
    assert_eq!(came[0], (a.station(), vec![6]));
}

#[test]
fn no_keyed_frame_is_lost_or_doubled_while_both_sides_probe() {
    let devices = open_keyed::<3>(&UdpConfig::loopback(None), 1);
    meet(&devices.each_ref());
    check_while_probing(&devices);
}

#[test]
fn keyed_long_runs_arrive_as_they_were_sent() {
    let pair = open_keyed::<2>(&UdpConfig::loopback(None), 1);
    meet(&pair.each_ref());
    // Frames of a sender that is not known are not given; this one hears of it first.
    let ear = guard(1);
    let (there, here) = (pair[0].station(), LinkAddress::Station(1));
    let mut answers = Vec::new();
    let mut pass = |to: &Guard, from, mut bytes: Vec<u8>| {
        let no_frames = &mut |_: LinkAddress, _: &[u8]| panic!("no frame");
        to.open(from, &mut bytes, no_frames, &mut |_, answer| {
            answers.push(answer)
        });
        answers.pop()
    };
    let challenge = pass(&ear, there, pair[0].guard().announcement().unwrap());
    let introduction = pass(pair[0].guard(), here, challenge.unwrap());
    pass(&ear, there, introduction.unwrap());
    check_long_runs(&pair, |bytes| {
        assert_eq!(bytes[0], SEAL_MAGIC);
        let mut plain = None;
        let deliver = &mut |_: LinkAddress, bytes: &[u8]| plain = Some(bytes.to_vec());
        ear.open(there, bytes, deliver, &mut |_, _| panic!("it is known"));
        plain.expect("a frame")
    });
}

#[test]
fn a_peer_with_another_key_hears_nothing() {
    let config = UdpConfig::loopback(Some(group()));
    let [a, b] = open_keyed(&config, 1);
    let [other] = open_keyed(&config, 2);
    let [bare] = open(&config);
    let all = [&a, &b, &other, &bare];
    introduce(&all);
    let mut count = 0;
    until("those with the same key talk", || {
        for device in all {
            device.send(&[frame(LinkAddress::Broadcast, vec![9])]);
        }
        for device in [&a, &b] {
            let frames = look(device, SHORT);
            assert!(
                frames
                    .iter()
                    .all(|(from, _)| [a.station(), b.station()].contains(from))
            );
            count += frames.len();
        }
        assert_eq!(look(&other, SHORT), []);
        // To somebody without a key it is a frame that its box cannot read.
        let readable = |(_, bytes): &(LinkAddress, Vec<u8>)| bytes[0] != SEAL_MAGIC;
        assert!(!look(&bare, SHORT).iter().any(readable));
        count >= 10
    });
    for device in [&a, &b] {
        assert!(!device.hearing().contains(&other.address()));
        assert!(!device.hearing().contains(&bare.address()));
        assert!(device.drops()["bad tag"] > 0 && device.drops()["not sealed"] > 0);
    }
    assert_eq!(other.hearing(), []);
    assert!(other.drops()["bad tag"] > 0);
}

#[test]
fn a_frame_for_all_is_sealed_once() {
    let config = SealConfig {
        frames_max: 2,
        ..SealConfig::default()
    };
    let guard = Guard::with(Key::new([1; 32], 0), config).unwrap();
    let device = UdpDevice::open_guarded(&UdpConfig::loopback(None), guard).unwrap();
    let peers = [(); 3].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    device.set_peers(&peers.each_ref().map(|peer| peer.local_addr().unwrap()));
    let for_all = frame(LinkAddress::Broadcast, b"for all".to_vec());
    device.send(std::slice::from_ref(&for_all));
    for what in ["the announcement", "the frame"] {
        let heard = peers.each_ref().map(|peer| {
            peer.set_read_timeout(Some(StdDuration::from_secs(20)))
                .unwrap();
            let mut room = [0; 100];
            let len = peer.recv(&mut room).unwrap();
            room[..len].to_vec()
        });
        assert!(
            heard[0][0] == SEAL_MAGIC && heard[0] == heard[1] && heard[1] == heard[2],
            "{what}"
        );
    }
    // That was all that the key may seal.
    assert_eq!(device.lost(), 0);
    device.send(&[for_all, frame(LinkAddress::Station(0), vec![1])]);
    assert_eq!(device.lost(), 4);
}

#[test]
fn peers_that_are_new_hear_an_announcement() {
    let [device] = open_keyed(&UdpConfig::loopback(None), 1);
    let [old, new] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [old_at, new_at] = [&old, &new].map(|socket| socket.local_addr().unwrap());
    device.set_peers(&[old_at]);
    device.set_peers(&[old_at]);
    device.set_peers(&[old_at, new_at]);
    // On loopback what was sent is there.
    for socket in [&old, &new] {
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.recv(&mut [0; 100]).unwrap(), SEAL_OVERHEAD + 24);
        assert!(socket.recv(&mut [0; 100]).is_err(), "one each");
    }
}

#[test]
fn the_longest_sealed_frame_has_room_for_the_list() {
    let list_len = control::except(&["127.0.0.1:1".parse().unwrap()]).len();
    let config = UdpConfig {
        mtu: DATAGRAM_LEN_MAX - list_len,
        ..UdpConfig::loopback(Some(group()))
    };
    let [a, b, c] = open_keyed(&config, 1);
    let [deaf] = open_keyed(
        &UdpConfig {
            multicast: None,
            ..config.clone()
        },
        1,
    );
    assert_eq!(a.link().mtu, config.mtu - SEAL_OVERHEAD);
    assert!(a.link().trusted);
    meet(&[&a, &b, &c, &deaf]);
    until("two of three hear", || {
        for device in [&a, &b, &c] {
            look(device, SHORT);
        }
        a.hearing().len() == 2
    });
    assert!(a.directory().route().multicast.is_some());
    let long = vec![8; a.link().mtu];
    a.send(&[frame(LinkAddress::Broadcast, long.clone())]);
    for device in [&b, &c, &deaf] {
        assert_eq!(receive_to_end(&a, device), std::slice::from_ref(&long));
    }
    assert_eq!(a.lost(), 0);
    let least = crate::wire::HEADER_LEN + 1 + SEAL_OVERHEAD;
    for (mtu, fits) in [(least - 1, false), (least, true)] {
        let config = UdpConfig::at(Ipv4Addr::LOCALHOST.into(), mtu);
        let opened = UdpDevice::open_guarded(&config, guard(1));
        assert_eq!(opened.is_ok(), fits);
        assert!(fits || matches!(opened, Err(UdpError::Mtu { .. })));
    }
}
