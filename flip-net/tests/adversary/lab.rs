//! Two hosts, a switch between them, and the wire that an adversary hears and writes on.
//!
//! ```text
//!   A ---- cable 0: Ethernet, flow control ---- S ---- cable 1: short frames, untrusted ---- B
//!                        X                                     X
//! ```
//! Frames arrive at once, in order. Stations are the numbers of the nodes.

use std::collections::VecDeque;

use flip_net::address::{EndpointId, FlipAddress, InterfaceId, LinkAddress, NetworkId};
use flip_net::join::{JoinConfig, Joiner, Message};
use flip_net::time::{Duration, Instant};
use flip_net::{Config, Event, FlipBox, Link, Machine, SendOptions};

pub(crate) const A: usize = 0;
pub(crate) const S: usize = 1;
pub(crate) const B: usize = 2;

/// The addresses of the nodes, and of a group that A and B are in.
pub(crate) const HOMES: [FlipAddress; 3] = [
    FlipAddress::new([0xa; 8]),
    FlipAddress::new([0x5; 8]),
    FlipAddress::new([0xb; 8]),
];
pub(crate) const GROUP: FlipAddress = FlipAddress::new([0x6; 8]);

/// A longer message than any of the networks takes in one piece.
pub(crate) const LONG: usize = 20_000;

/// How often a sender repeats, and how long it waits in between.
const REPEATS_MAX: usize = 6;
const PATIENCE: Duration = Duration::from_millis(2_500);

pub(crate) fn links() -> [Link; 2] {
    let short = Link {
        mtu: 600,
        trusted: false,
        ..Link::udp(600, true)
    };
    [Link::ethernet(), short]
}

/// A frame as the adversary hears it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) to: usize,
    pub(crate) network: NetworkId,
    pub(crate) from: LinkAddress,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Node {
    pub(crate) flip: FlipBox,
    pub(crate) interface: InterfaceId,
    pub(crate) endpoint: EndpointId,
    pub(crate) joiner: Joiner,
    pub(crate) messages: Vec<Message>,
    pub(crate) undelivered: u64,
}

impl Node {
    fn new(number: usize, cables: &[usize]) -> Node {
        let mut flip = FlipBox::new(Config::default());
        for &cable in cables {
            flip.attach(links()[cable]);
        }
        let interface = flip.interface();
        let endpoint = flip.register(interface, HOMES[number]);
        if number != S {
            flip.register(interface, GROUP);
            flip.register(interface, FlipAddress::NULL);
        }
        Node {
            flip,
            interface,
            endpoint,
            joiner: Joiner::new(JoinConfig::default()),
            messages: Vec::new(),
            undelivered: 0,
        }
    }

    pub(crate) fn address(&self) -> FlipAddress {
        self.flip.address_of(self.endpoint).expect("it is there")
    }
}

pub(crate) struct Lab {
    pub(crate) now: Instant,
    pub(crate) nodes: [Node; 3],
    flying: VecDeque<Heard>,
    /// What the adversary notes, as long as it does.
    pub(crate) heard: Option<Vec<Heard>>,
    /// One frame in so many is lost; zero: none.
    pub(crate) loses: u64,
    sent: u64,
    payloads: u8,
}

/// Which nodes are on a cable, and which of their networks that is.
const CABLES: [[(usize, NetworkId); 2]; 2] = [
    [(A, NetworkId(0)), (S, NetworkId(0))],
    [(S, NetworkId(1)), (B, NetworkId(0))],
];

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab {
            now: Instant::ZERO,
            nodes: [
                Node::new(A, &[0]),
                Node::new(S, &[0, 1]),
                Node::new(B, &[1]),
            ],
            flying: VecDeque::new(),
            heard: None,
            loses: 0,
            sent: 0,
            payloads: 0,
        }
    }

    /// The adversary puts a frame in front of a node.
    pub(crate) fn inject(
        &mut self,
        to: usize,
        network: NetworkId,
        from: LinkAddress,
        bytes: &[u8],
    ) {
        self.nodes[to]
            .flip
            .handle_frame(self.now, network, from, bytes);
        self.settle();
    }

    /// Until no frame is on its way.
    pub(crate) fn settle(&mut self) {
        (0..self.nodes.len()).for_each(|at| self.drain(at));
        while let Some(frame) = self.flying.pop_front() {
            if let Some(heard) = &mut self.heard {
                heard.push(frame.clone());
            }
            let flip = &mut self.nodes[frame.to].flip;
            flip.handle_frame(self.now, frame.network, frame.from, &frame.bytes);
            self.drain(frame.to);
        }
    }

    fn drain(&mut self, at: usize) {
        loop {
            while let Some(frame) = self.nodes[at].flip.poll_transmit() {
                self.sent += 1;
                if self.loses == 0 || !self.sent.is_multiple_of(self.loses) {
                    self.fly(at, frame.network, frame.to, frame.bytes().into_owned());
                }
            }
            let node = &mut self.nodes[at];
            while node.flip.poll_listen().is_some() {}
            match node.flip.poll_event() {
                Some(Event::Fragment { fragment, .. }) => {
                    let joined = node.joiner.handle_fragment(self.now, fragment);
                    node.messages.extend(joined);
                }
                Some(Event::NotDelivered { .. }) => node.undelivered += 1,
                None => break,
            }
        }
    }

    fn fly(&mut self, by: usize, network: NetworkId, to: LinkAddress, bytes: Vec<u8>) {
        let cable = CABLES.iter().find(|ends| ends.contains(&(by, network)));
        for &(node, network) in cable.expect("every network is a cable") {
            let is_for = match to {
                LinkAddress::Station(station) => station == node as u64,
                LinkAddress::Broadcast | LinkAddress::Multicast(_) => true,
            };
            if node != by && is_for {
                self.flying.push_back(Heard {
                    to: node,
                    network,
                    from: LinkAddress::Station(by as u64),
                    bytes: bytes.clone(),
                });
            }
        }
    }

    /// Lets time go on to the next deadline, or to `until`.
    fn next(&mut self, until: Instant) {
        let timeouts = self.nodes.iter();
        let timeouts =
            timeouts.flat_map(|node| [node.flip.poll_timeout(), node.joiner.poll_timeout()]);
        let next = timeouts.flatten().min().unwrap_or(until).min(until);
        self.now = self.now.max(next);
        let now = self.now;
        for node in &mut self.nodes {
            node.flip.handle_timeout(now);
            node.joiner.handle_timeout(now);
            while let Some(missing) = node.joiner.poll_missing(now) {
                node.flip.ask_again(
                    now,
                    node.endpoint,
                    missing.source,
                    missing.message,
                    &missing.parts,
                );
            }
        }
        self.settle();
        for node in &self.nodes {
            let next = [node.flip.poll_timeout(), node.joiner.poll_timeout()];
            let next = next.into_iter().flatten().min();
            assert!(next.is_none_or(|next| next > now), "it stands still");
        }
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.settle();
        while self.now < until {
            self.next(until);
        }
    }

    /// Whether all tables keep their bounds.
    pub(crate) fn check_bounds(&self) {
        for node in &self.nodes {
            let (sizes, bounds) = (node.flip.sizes(), node.flip.bounds());
            assert_eq!(sizes.beyond(&bounds), None, "{sizes:?}");
            let (joins, config) = (node.joiner.sizes(), JoinConfig::default());
            assert!(joins.messages <= config.messages_max);
            assert!(joins.bytes <= config.bytes_max);
            assert!(joins.stretches <= config.stretches_max + config.messages_max);
        }
    }

    pub(crate) fn payload(&mut self, len: usize) -> Vec<u8> {
        self.payloads = self.payloads.wrapping_add(1);
        let first = self.payloads;
        (0..len).map(|at| first ^ (at as u8)).collect()
    }

    pub(crate) fn send(
        &mut self,
        from: usize,
        to: FlipAddress,
        payload: &[u8],
        options: SendOptions,
    ) {
        let endpoint = self.nodes[from].endpoint;
        let payload = payload.to_vec();
        self.nodes[from]
            .flip
            .unicast(self.now, endpoint, to, payload, options)
            .expect("there is room for a message");
        self.settle();
    }

    /// A sender that repeats gets through, both ways, with short messages and long ones.
    pub(crate) fn gets_through(&mut self) {
        for (from, to, len) in [(A, B, 100), (B, A, 100), (A, B, LONG), (B, A, LONG)] {
            self.nodes[to].messages.clear();
            let payload = self.payload(len);
            let address = self.nodes[to].address();
            let arrived = (0..REPEATS_MAX).any(|repeat| {
                let options = SendOptions {
                    relocate: repeat > 0,
                    ..SendOptions::default()
                };
                self.send(from, address, &payload, options);
                let until = self.now + PATIENCE;
                let here = |lab: &Lab| {
                    let messages = &lab.nodes[to].messages;
                    messages.iter().any(|message| message.payload == payload)
                };
                while !here(self) && self.now < until {
                    self.next(until);
                }
                here(self)
            });
            assert!(arrived, "{len} B from {from} to {to}");
        }
    }
}
