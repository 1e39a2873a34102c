//! Two boxes behind guards on a keyed network, and the adversary between them.

use std::collections::VecDeque;

use flip_net::address::{EndpointId, FlipAddress, LinkAddress, NetworkId};
use flip_net::driver::Guard;
use flip_net::flip_box::{Sizes, Stats};
use flip_net::join::{JoinConfig, Joiner};
use flip_net::seal::{Key, SEAL_HEADER_LEN, SEAL_TAG_LEN};
use flip_net::time::{Duration, Instant};
use flip_net::{Config, Event, FlipBox, Link, Machine, SendOptions};

use super::lab::{GROUP, HOMES, LONG};

const CABLE: NetworkId = NetworkId(0);

/// A box behind a guard.
pub(crate) struct Node {
    flip: FlipBox,
    endpoint: EndpointId,
    joiner: Joiner,
    pub(crate) guard: Guard,
    messages: Vec<Vec<u8>>,
}

impl Node {
    fn new(private: FlipAddress) -> Node {
        let guard = Guard::keyed(Key::new([7; 32], 0)).expect("random bytes");
        let mut flip = FlipBox::new(Config::default());
        flip.attach(guard.link(Link::ethernet()));
        let interface = flip.interface();
        let endpoint = flip.register(interface, private);
        flip.register(interface, GROUP);
        flip.register(interface, FlipAddress::NULL);
        Node {
            flip,
            endpoint,
            joiner: Joiner::new(JoinConfig::default()),
            guard,
            messages: Vec::new(),
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.guard.drops().values().sum()
    }

    /// All that an adversary could want to change.
    pub(crate) fn state(&self) -> (Stats, Sizes, usize) {
        (self.flip.stats(), self.flip.sizes(), self.messages.len())
    }
}

pub(crate) struct Pair {
    now: Instant,
    pub(crate) nodes: [Node; 2],
    flying: VecDeque<(usize, Vec<u8>)>,
    /// Every frame that was on the network, and whom it was for.
    pub(crate) heard: Vec<(usize, Vec<u8>)>,
    /// Whether the adversary holds each frame up and tries it with every bit turned over first.
    tampers: bool,
    pub(crate) tampered: [u64; 2],
}

impl Pair {
    pub(crate) fn new(tampers: bool) -> Pair {
        let mut pair = Pair {
            now: Instant::ZERO,
            nodes: [Node::new(HOMES[0]), Node::new(HOMES[2])],
            flying: VecDeque::new(),
            heard: Vec::new(),
            tampers,
            tampered: [0; 2],
        };
        for by in 0..2 {
            let hello = pair.nodes[by].guard.announcement();
            pair.fly(by, hello.expect("a fresh key"));
            pair.settle();
        }
        pair
    }

    /// Turns over each bit of header and tag of a frame that has not arrived yet.
    fn tamper(&mut self, to: usize, sealed: &[u8]) {
        let before = self.nodes[to].state();
        let header = 0..SEAL_HEADER_LEN * 8;
        let tag = (sealed.len() - SEAL_TAG_LEN) * 8..sealed.len() * 8;
        for bit in header.chain(tag) {
            let mut bytes = sealed.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            self.attack(to, 1 - to as u64, &bytes);
            self.tampered[to] += 1;
        }
        assert_eq!(self.nodes[to].state(), before);
    }

    fn fly(&mut self, by: usize, sealed: Vec<u8>) {
        self.heard.push((1 - by, sealed.clone()));
        self.flying.push_back((1 - by, sealed));
    }

    fn settle(&mut self) {
        loop {
            (0..2).for_each(|at| self.drain(at));
            let Some((to, mut sealed)) = self.flying.pop_front() else {
                return;
            };
            if self.tampers {
                self.tamper(to, &sealed);
            }
            let from = LinkAddress::Station(1 - to as u64);
            let (now, node) = (self.now, &mut self.nodes[to]);
            let (guard, flip) = (&node.guard, &mut node.flip);
            let mut answers = Vec::new();
            guard.open(
                from,
                &mut sealed,
                &mut |from, plain| flip.handle_frame(now, CABLE, from, plain),
                &mut |_, answer| answers.push(answer),
            );
            answers.into_iter().for_each(|answer| self.fly(to, answer));
        }
    }

    fn drain(&mut self, at: usize) {
        loop {
            while let Some(frame) = self.nodes[at].flip.poll_transmit() {
                let sealed = self.nodes[at].guard.seal_parts(frame.parts());
                let sealed = sealed.expect("a fresh key");
                self.fly(at, sealed);
            }
            let node = &mut self.nodes[at];
            while node.flip.poll_listen().is_some() {}
            match node.flip.poll_event() {
                Some(Event::Fragment { fragment, .. }) => {
                    let joined = node.joiner.handle_fragment(self.now, fragment);
                    node.messages.extend(joined.map(|message| message.payload));
                }
                Some(Event::NotDelivered { .. }) => panic!("nothing is lost here"),
                None => return,
            }
        }
    }

    fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.settle();
        while self.now < until {
            let timeouts = self
                .nodes
                .iter()
                .filter_map(|node| node.flip.poll_timeout());
            self.now = timeouts.min().unwrap_or(until).min(until);
            for node in &mut self.nodes {
                node.flip.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// Messages of every kind, none of which needs to be sent twice.
    pub(crate) fn talk(&mut self) {
        for from in 0..2 {
            self.nodes.iter_mut().for_each(|node| node.messages.clear());
            let endpoint = self.nodes[from].endpoint;
            let to = self.nodes[1 - from]
                .flip
                .address_of(self.nodes[1 - from].endpoint);
            let to = to.expect("it is there");
            let options = SendOptions {
                security: true,
                ..SendOptions::default()
            };
            for len in [80, LONG] {
                let (now, flip) = (self.now, &mut self.nodes[from].flip);
                flip.unicast(now, endpoint, to, vec![1; len], options)
                    .expect("room");
                self.run_for(Duration::from_millis(100));
            }
            let (now, flip) = (self.now, &mut self.nodes[from].flip);
            let group = GROUP.one_way();
            flip.multicast(now, endpoint, group, vec![2; 900], 2, options)
                .expect("room");
            flip.broadcast(now, endpoint, vec![3; 9], 20)
                .expect("short");
            self.run_for(Duration::from_millis(1_100));
            let lens = self.nodes[1 - from].messages.iter().map(Vec::len);
            let mut lens: Vec<usize> = lens.collect();
            lens.sort_unstable();
            assert_eq!(lens, [9, 80, 900, LONG]);
        }
    }

    /// The adversary puts a frame in front of a guard. Nothing comes of it.
    pub(crate) fn attack(&self, to: usize, station: u64, bytes: &[u8]) {
        let from = LinkAddress::Station(station);
        let mut bytes = bytes.to_vec();
        self.nodes[to].guard.open(
            from,
            &mut bytes,
            &mut |_, plain| panic!("{} B reached the box", plain.len()),
            &mut |_, answer| panic!("{} B were answered", answer.len()),
        );
    }
}
