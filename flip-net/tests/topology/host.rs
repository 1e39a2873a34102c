//! A box with a user on top: it sends numbered messages, and notes what arrives and what comes back.

use std::collections::BTreeMap;

use flip_net::address::{EndpointId, FlipAddress, InterfaceId, LinkAddress, NetworkId};
use flip_net::join::{JoinConfig, Joiner};
use flip_net::time::Instant;
use flip_net::{Event, FlipBox, Frame, Listen, Machine, SendOptions};
use sim::{Actor, World};

/// What the user has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The message with this number arrived.
    Arrived(u64),
    /// FLIP gave this message of the user's back.
    Returned(u64),
}

/// What a user sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) from: FlipAddress,
    pub(crate) to: FlipAddress,
    pub(crate) number: u64,
    pub(crate) len: usize,
    pub(crate) options: SendOptions,
    /// To all with the address, if so many are known.
    pub(crate) at_least: Option<u16>,
}

/// A box, its user, and the addresses that live here.
pub(crate) struct Host {
    pub(crate) flip: FlipBox,
    interface: InterfaceId,
    endpoints: BTreeMap<FlipAddress, EndpointId>,
    joiner: Joiner,
    /// Which of the user's messages has which number at FLIP.
    numbers: BTreeMap<u32, u64>,
    pub(crate) seen: Vec<Seen>,
}

impl Host {
    pub(crate) fn new(mut flip: FlipBox, first: u32) -> Host {
        let interface = flip.interface_from(first);
        Host {
            flip,
            interface,
            endpoints: BTreeMap::new(),
            joiner: Joiner::new(JoinConfig::default()),
            numbers: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn register(&mut self, private: FlipAddress) {
        let endpoint = self.flip.register(self.interface, private);
        self.endpoints.insert(private.one_way(), endpoint);
    }

    pub(crate) fn unregister(&mut self, public: FlipAddress) {
        if let Some(endpoint) = self.endpoints.remove(&public) {
            self.flip.unregister(endpoint);
        }
    }

    pub(crate) fn send(&mut self, now: Instant, letter: Letter) {
        let Letter {
            from,
            to,
            number,
            len,
            options,
            at_least,
        } = letter;
        let endpoint = self.endpoints[&from];
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(len.max(8), 0);
        let sent = match at_least {
            None => self.flip.unicast(now, endpoint, to, payload, options),
            Some(at_least) => self
                .flip
                .multicast(now, endpoint, to, payload, at_least, options),
        };
        match sent {
            Ok(message) => drop(self.numbers.insert(message, number)),
            Err(_) => self.seen.push(Seen::Returned(number)),
        }
        self.look(now);
    }

    /// Takes out what the box has to say.
    pub(crate) fn look(&mut self, now: Instant) {
        while let Some(event) = self.flip.poll_event() {
            match event {
                Event::Fragment { fragment, .. } => {
                    if let Some(message) = self.joiner.handle_fragment(now, fragment) {
                        let number = message.payload[..8].try_into().expect("eight bytes");
                        self.seen.push(Seen::Arrived(u64::from_le_bytes(number)));
                    }
                }
                Event::NotDelivered { message, .. } => {
                    if let Some(number) = self.numbers.get(&message) {
                        self.seen.push(Seen::Returned(*number));
                    }
                }
            }
        }
    }
}

impl Machine for Host {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.flip.handle_frame(now, network, from, frame);
        self.look(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.flip.handle_timeout(now);
        self.joiner.handle_timeout(now);
        self.look(now);
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        self.flip.poll_transmit()
    }

    fn poll_listen(&mut self) -> Option<Listen> {
        self.flip.poll_listen()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.flip.poll_timeout()
    }
}

impl Actor for Host {}

/// A world of hosts.
pub(crate) type Hosts = World<Host>;
