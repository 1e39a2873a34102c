//! Boxes on a memory network behind guards: two that have the key, and some that do not.

#![allow(clippy::disallowed_methods, reason = "devices live in real time")]

use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant as StdInstant};

use flip_net::address::{EndpointId, FlipAddress, LinkAddress, NetworkId};
use flip_net::driver::{Device, Guard, GuardedDevice, MemoryDevice, MemoryNetwork};
use flip_net::link::fault::Faults;
use flip_net::seal::{Key, SEAL_OVERHEAD, SealDrop};
use flip_net::time::{Duration, Instant};
use flip_net::{Config, Event, FlipBox, Frame, Link, Machine, SendOptions};

/// How long a test waits for what must come.
const DEADLINE: StdDuration = StdDuration::from_secs(20);

type Guarded = GuardedDevice<Arc<MemoryDevice>>;

/// A box on one network, driven by the test's thread.
struct Node {
    flip: FlipBox,
    endpoint: EndpointId,
    address: FlipAddress,
    device: Guarded,
    start: StdInstant,
    received: Vec<Vec<u8>>,
    undelivered: usize,
}

impl Node {
    fn new(network: &MemoryNetwork, number: u8, guard: Guard) -> Node {
        let device = GuardedDevice::new(network.device(), guard);
        let mut flip = FlipBox::new(Config::default());
        flip.attach(device.link());
        let private = FlipAddress::new([number; 8]);
        let interface = flip.interface();
        let endpoint = flip.register(interface, private);
        Node {
            flip,
            endpoint,
            address: private.one_way(),
            device,
            start: StdInstant::now(),
            received: Vec::new(),
            undelivered: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    fn send(&mut self, to: FlipAddress, bytes: &[u8]) {
        self.send_with(to, bytes, SendOptions::default());
    }

    fn send_with(&mut self, to: FlipAddress, bytes: &[u8], options: SendOptions) {
        let now = self.now();
        self.flip
            .unicast(now, self.endpoint, to, bytes.to_vec(), options)
            .unwrap();
    }

    /// Moves what can be moved without waiting.
    fn run(&mut self) {
        let now = self.now();
        let mut frames = Vec::new();
        let sink = &mut |from, bytes: &[u8]| frames.push((from, bytes.to_vec()));
        self.device.receive(Duration::ZERO, sink);
        for (from, bytes) in frames {
            self.flip.handle_frame(now, NetworkId(0), from, &bytes);
        }
        self.flip.handle_timeout(now);
        while let Some(frame) = self.flip.poll_transmit() {
            self.device.send(&[frame]);
        }
        while let Some(event) = self.flip.poll_event() {
            match event {
                Event::Fragment { fragment, .. } => self.received.push(fragment.payload.into()),
                Event::NotDelivered { .. } => self.undelivered += 1,
            }
        }
    }
}

fn run_until(nodes: &mut [Node], done: impl Fn(&[Node]) -> bool) {
    let until = StdInstant::now() + DEADLINE;
    while !done(nodes) {
        assert!(StdInstant::now() < until, "it did not happen in time");
        nodes.iter_mut().for_each(Node::run);
        std::thread::yield_now();
    }
}

fn keyed() -> Guard {
    Guard::keyed(Key::new([5; 32], 0)).unwrap()
}

/// Hears everything, as a station on the same wire does.
fn tap(device: &MemoryDevice) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    while device.receive(Duration::ZERO, &mut |_, bytes| heard.push(bytes.to_vec())) > 0 {}
    heard
}

#[test]
fn two_boxes_talk_from_the_start() {
    let network = MemoryNetwork::new();
    let ear = network.device();
    let mut nodes = [1, 2].map(|number| Node::new(&network, number, keyed()));
    let [a, b] = nodes.each_ref().map(|node| node.address);
    let long = vec![7; nodes[0].device.link().payload_len_max()];
    for round in 0..50 {
        let said = format!("round {round}, and nobody else must know");
        nodes[0].send(b, said.as_bytes());
        nodes[1].send(a, &long);
        let done = |nodes: &[Node]| nodes.iter().all(|node| node.received.len() > round);
        run_until(&mut nodes, done);
        assert_eq!(nodes[1].received[round], said.as_bytes());
        assert_eq!(nodes[0].received[round], long);
    }
    assert!(nodes.iter().all(|node| node.undelivered == 0));
    let heard = tap(&ear);
    assert!(heard.len() >= 2, "the LOCATEs at least");
    for frame in heard {
        assert_eq!(frame[0], flip_net::seal::SEAL_MAGIC);
        assert!(!frame.windows(6).any(|part| part == b"nobody"));
    }
}

#[test]
fn they_talk_over_a_bad_network_too() {
    let faults = Faults {
        loss: 100,
        duplication: 100,
        reordering: 100,
        ..Faults::default()
    };
    let network = MemoryNetwork::with(Link::memory(), faults, 3);
    let mut nodes = [1, 2].map(|number| Node::new(&network, number, keyed()));
    let [a, b] = nodes.each_ref().map(|node| node.address);
    // Messages may be lost, so they are sent until enough have come.
    let until = StdInstant::now() + DEADLINE;
    while nodes.iter().any(|node| node.received.len() < 100) {
        assert!(StdInstant::now() < until, "too few messages came");
        nodes[0].send(b, b"there");
        nodes[1].send(a, b"and back");
        nodes.iter_mut().for_each(Node::run);
    }
    assert!(nodes[0].received.iter().all(|bytes| bytes == b"and back"));
    assert!(nodes[1].received.iter().all(|bytes| bytes == b"there"));
    // What the network doubles does not reach a box twice.
    let replayed = nodes.each_ref().map(|node| {
        let drops = node.device.guard().drops();
        drops.get(&SealDrop::Replayed).copied().unwrap_or(0)
    });
    assert!(replayed.iter().all(|count| *count > 0), "{replayed:?}");
}

#[test]
fn a_box_without_the_key_is_alone() {
    let network = MemoryNetwork::new();
    let guards = [
        keyed(),
        Guard::none(),
        Guard::keyed(Key::new([6; 32], 0)).unwrap(),
    ];
    let mut number = 0;
    let mut nodes = guards.map(|guard| {
        number += 1;
        Node::new(&network, number, guard)
    });
    let [a, none, other] = nodes.each_ref().map(|node| node.address);
    nodes[1].send(a, b"no key");
    nodes[2].send(a, b"another key");
    nodes[0].send(none, b"to no key");
    nodes[0].send(other, b"to another key");
    run_until(&mut nodes, |nodes| {
        nodes.iter().map(|node| node.undelivered).sum::<usize>() == 4
    });
    assert!(nodes.iter().all(|node| node.received.is_empty()));
    let drops = nodes[0].device.guard().drops();
    assert!(drops[&SealDrop::NotSealed] > 0 && drops[&SealDrop::BadTag] > 0);
    let named = drops.iter().map(|(reason, count)| (reason.name(), *count));
    assert_eq!(nodes[0].device.drops(), named.collect());
}

#[test]
fn captured_frames_do_nothing_to_a_box_that_starts_again() {
    let network = MemoryNetwork::new();
    let ear = network.device();
    let mut nodes = vec![
        Node::new(&network, 1, keyed()),
        Node::new(&network, 2, keyed()),
    ];
    let b = nodes[1].address;
    nodes[0].send(b, b"once");
    run_until(&mut nodes, |nodes| nodes[1].received.len() == 1);
    let all = |frames: Vec<Vec<u8>>, to: LinkAddress| -> Vec<Frame> {
        let network = NetworkId(0);
        let frames = frames.into_iter();
        frames.map(|bytes| Frame::new(network, to, bytes)).collect()
    };
    let captured = tap(&ear);
    assert!(!captured.is_empty());
    nodes[1] = Node::new(&network, 2, keyed());
    let station = nodes[1].device.station();
    ear.send(&all(captured, station));
    let seen = |nodes: &[Node]| {
        let stats = nodes[1].device.guard().stats();
        stats.held + stats.dropped.values().sum::<u64>() > 0
    };
    run_until(&mut nodes, seen);
    assert_eq!(nodes[1].received, Vec::<Vec<u8>>::new());
    assert_eq!(nodes[1].device.guard().stats().opened, 0);
    // And it talks, once it is found at its new station.
    let options = SendOptions {
        relocate: true,
        ..SendOptions::default()
    };
    nodes[0].send_with(b, b"again", options);
    run_until(&mut nodes, |nodes| !nodes[1].received.is_empty());
}

#[test]
fn without_a_key_a_guarded_device_is_the_device() {
    let network = MemoryNetwork::new();
    let [a, b] = [network.device(), network.device()];
    let guarded = GuardedDevice::new(Arc::clone(&a), Guard::none());
    assert_eq!(guarded.link(), a.link());
    assert_eq!(guarded.station(), a.station());
    let bytes = b"plain".to_vec();
    let (network, to) = (NetworkId(0), LinkAddress::Broadcast);
    guarded.send(&[Frame::new(network, to, bytes)]);
    assert_eq!(tap(&b), [b"plain".to_vec()]);
    let keyed = GuardedDevice::new(a, keyed());
    assert_eq!(keyed.link().mtu, guarded.link().mtu - SEAL_OVERHEAD);
    assert_eq!(tap(&b).len(), 1, "the announcement");
}

#[test]
fn a_used_up_key_is_a_loss_of_the_device() {
    use flip_net::seal::SealConfig;
    let network = MemoryNetwork::new();
    let config = SealConfig {
        frames_max: 2,
        ..SealConfig::default()
    };
    let guard = Guard::with(Key::new([5; 32], 0), config).unwrap();
    let device = GuardedDevice::new(network.device(), guard);
    let bytes = b"data".to_vec();
    let (network, to) = (NetworkId(0), LinkAddress::Broadcast);
    let frame = Frame::new(network, to, bytes);
    device.send(&[frame.clone(), frame.clone(), frame]);
    assert_eq!(
        device.lost(),
        2,
        "the announcement and one frame were sealed"
    );
    device
        .guard()
        .rekey(Key::new([5; 32], 1), Duration::from_secs(1))
        .unwrap();
    assert!(device.guard().seal(b"more").is_some());
}
