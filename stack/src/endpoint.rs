//! The RPC endpoint of a processor on the box: an interface of its own, so its address and its
//! registration for broadcasts are its own, and a joiner of its own.
//!
//! Implements: DESIGN 6; [Thesis §2.5], RPC on FLIP.

use std::collections::VecDeque;

use flip_net::address::{EndpointId, FlipAddress, InterfaceId};
use flip_net::join::{JoinConfig, Joiner};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use flip_net::{FlipBox, SendOptions};
use rpc::{Destination, Endpoint, Event, Listener, Transmit};

/// Room for the headers in front of the largest data.
const HEADERS_LEN_MAX: usize = 4_096;

/// An endpoint, wired to a box.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(crate) endpoint: Endpoint,
    pub(crate) joiner: Joiner,
    pub(crate) interface: InterfaceId,
    own: EndpointId,
    pub(crate) events: VecDeque<Event>,
    /// Messages that FLIP did not take: as good as lost on the way.
    pub(crate) refused: u64,
}

impl Transactions {
    /// An endpoint with a fresh address, registered.
    pub(crate) fn new(
        config: rpc::Config,
        mut rng: Rng,
        now: Instant,
        flip: &mut FlipBox,
    ) -> Result<Transactions, rpc::ConfigError> {
        let message_len_max = config.data_len_max + HEADERS_LEN_MAX;
        let joiner = Joiner::new(JoinConfig {
            message_len_max,
            bytes_max: message_len_max.saturating_mul(4),
            ..JoinConfig::default()
        });
        let interface = flip.interface_from(rng.next_u64() as u32);
        let mut endpoint = Endpoint::new(config, rng, now)?;
        let mut own = None;
        while let Some(registration) = endpoint.poll_registration() {
            let id = flip.register(interface, registration.private);
            if registration.listener == Listener::Process {
                own = Some(id);
            }
        }
        Ok(Transactions {
            endpoint,
            joiner,
            interface,
            own: own.expect("an endpoint registers its process"),
            events: VecDeque::new(),
            refused: 0,
        })
    }

    /// Moves what the endpoint sends and tells.
    pub(crate) fn drain(&mut self, now: Instant, flip: &mut FlipBox, hops_max: u16) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.send(now, flip, hops_max, transmit);
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push_back(event);
        }
    }

    fn send(&mut self, now: Instant, flip: &mut FlipBox, hops_max: u16, transmit: Transmit) {
        let mut options = SendOptions {
            security: transmit.security,
            relocate: transmit.relocate,
            ..SendOptions::default()
        };
        if transmit.is_answer {
            options.locate_time = Duration::ZERO;
        }
        let message = transmit.message;
        let sent = match transmit.to {
            Destination::Unicast(to) => flip.unicast(now, self.own, to, message, options),
            Destination::Broadcast { hop_count } => {
                flip.broadcast(now, self.own, message, hop_count.min(hops_max))
            }
        };
        if sent.is_err() {
            self.refused += 1;
        }
    }

    /// What the box tells this interface.
    pub(crate) fn handle_flip_event(&mut self, now: Instant, event: flip_net::Event) {
        match event {
            flip_net::Event::Fragment { fragment, .. } => {
                let Some(message) = self.joiner.handle_fragment(now, fragment) else {
                    return;
                };
                let listener = match message.destination {
                    FlipAddress::NULL => Listener::Everybody,
                    _ => Listener::Process,
                };
                self.endpoint
                    .handle_message(now, listener, message.source, message.payload);
            }
            flip_net::Event::NotDelivered {
                destination,
                reason,
                offset,
                payload,
                ..
            } => {
                self.endpoint
                    .handle_undeliverable(now, destination, reason, offset, &payload);
            }
        }
    }

    /// What is due: incomplete messages, then the endpoint's own deadlines.
    pub(crate) fn handle_timeout(&mut self, now: Instant, flip: &mut FlipBox) {
        self.joiner.handle_timeout(now);
        while let Some(missing) = self.joiner.poll_missing(now) {
            let (source, message) = (missing.source, missing.message);
            flip.ask_again(now, self.own, source, message, &missing.parts);
        }
        let due = self.endpoint.poll_timeout();
        if due.is_some_and(|deadline| deadline <= now) {
            self.endpoint.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.joiner.poll_timeout(), self.endpoint.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }
}

/// Which box event is for whom.
pub(crate) fn interface_of(event: &flip_net::Event) -> InterfaceId {
    match event {
        flip_net::Event::Fragment { interface, .. }
        | flip_net::Event::NotDelivered { interface, .. } => *interface,
    }
}
