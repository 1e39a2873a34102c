//! `FlipBox`: packet switch, host interface and attached networks, as one pure machine.
//!
//! ```text
//!        register, unicast, multicast, broadcast          Event
//!                 |                                         ^
//!   interface.rs  v                                         |
//!        locate.rs (unknown way)    fragment.rs (long)      |
//!                 |                      |                  |
//!   switch.rs     +-------> routes.rs <--+------------------+
//!                 v                                         ^
//!             poll_transmit                           handle_frame
//! ```
//! | timer | at its deadline |
//! |---|---|
//! | `next_sweep` | routes grow older |
//! | `locates.next_timeout` | ask again, farther away, or give up |
//! | `fragments.next_release` | the pace lets more fragments go |
//! | `credits.next_timeout` | a neighbour is asked for credit, or given up |
//! | `kept.next_expiry` | a long message cannot be asked for again any more |
//!
//! The drain rule of [`Machine`] holds: one mutation, then every `poll_*` until it says `None`.
//!
//! Implements: [Thesis §2.3], [Thesis §2.4], Appendix A; facts sheet 1.
//! Differs: fragments of long messages that no credits hold back are paced.

mod again;
mod credit;
mod fragment;
mod interface;
mod locate;
mod loops;
mod marks;
mod multicast;
mod pace;
mod queue;
mod routes;
mod sizes;
mod stats;
mod switch;

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;

pub use again::PARTS_MAX;
pub use credit::ACCOUNTS_LEN_MAX;
pub use interface::{SendError, SendOptions};
pub use loops::LOOPS_LEN_MAX;
pub use marks::{Mark, Marks};
pub use routes::Location;
pub use sizes::Sizes;
pub use stats::{Drop, Kinds, NetworkStats, Stats};

use crate::address::{EndpointId, FlipAddress, InterfaceId, LinkAddress, NetworkId};
use crate::config::{Config, Rules};
use crate::link::Link;
use crate::step;
use crate::time::{Duration, Instant};
use crate::walk::Walk;
use crate::wire::flow::FLOW_HEADER_LEN;
use crate::wire::{Flow, Packet, Repr};
use crate::{Frame, Listen, Machine};
use again::KeptMessages;
use credit::{Credits, Neighbour};
use interface::Host;
use locate::Locates;
use loops::LoopCache;
use multicast::Multicasts;
use queue::FragmentQueue;
use routes::Routes;

/// A piece of a message for a local endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Who sent the message.
    pub source: FlipAddress,
    /// The address it was sent to; null for a broadcast.
    pub destination: FlipAddress,
    /// The number of the message at its source.
    pub message: u32,
    /// Where the piece starts in the message.
    pub offset: u32,
    /// Bytes of the whole message.
    pub total: u32,
    /// Whether it came by multicast or broadcast.
    pub multicast: bool,
    /// Whether it crossed an untrusted network.
    pub tainted: bool,
    /// The bytes.
    pub payload: Bytes,
}

/// Why something that was sent came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// No locate found (enough of) the destination in time.
    #[error("not located")]
    NotLocated,
    /// The destination is not where it was; the route is forgotten.
    #[error("not here")]
    NotHere,
    /// No way to the destination that may be trusted.
    #[error("no trusted way")]
    Untrusted,
}

/// What a box tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fragment came in for an endpoint.
    Fragment {
        /// The owner of the endpoint.
        interface: InterfaceId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The piece.
        fragment: Fragment,
    },
    /// A message, or a fragment of it, could not be delivered.
    NotDelivered {
        /// The owner of the endpoint.
        interface: InterfaceId,
        /// The endpoint that sent it.
        endpoint: EndpointId,
        /// Whom it was for.
        destination: FlipAddress,
        /// The number of the message.
        message: u32,
        /// Why.
        reason: Undelivered,
        /// Where `payload` starts in the message.
        offset: u32,
        /// What came back.
        payload: Bytes,
    },
}

#[derive(Debug)]
struct Network {
    link: Link,
    on: bool,
    /// The second that `locates` counts.
    second: u64,
    locates: u32,
}

/// One box. See the module.
#[derive(Debug)]
pub struct FlipBox {
    config: Config,
    now: Instant,
    networks: Vec<Network>,
    host: Host,
    routes: Routes,
    loops: LoopCache,
    locates: Locates,
    fragments: FragmentQueue,
    credits: Credits,
    multicasts: Multicasts,
    /// Who gets a credit back once the packet that is being switched is digested.
    held: Option<Neighbour>,
    /// Where pieces begin that the multicast being switched was cut into.
    cut_pieces: Vec<u32>,
    kept: KeptMessages,
    next_sweep: Instant,
    transmits: VecDeque<Frame>,
    /// What to tell, and who gets a credit back when it is told.
    events: VecDeque<(Event, Option<Neighbour>)>,
    stats: Stats,
    walk: Walk,
}

impl FlipBox {
    /// A box without networks and endpoints.
    pub fn new(config: Config) -> FlipBox {
        let loops = match config.rules {
            Rules::Thesis => LoopCache::timed(config.loop_memory),
            Rules::Amoeba5 => LoopCache::slots(),
        };
        FlipBox {
            config,
            now: Instant::ZERO,
            networks: Vec::new(),
            host: Host::default(),
            routes: Routes::new(&config),
            loops,
            locates: Locates::default(),
            fragments: FragmentQueue::new(config.pace),
            credits: Credits::new(&config),
            multicasts: Multicasts::default(),
            held: None,
            cut_pieces: Vec::new(),
            kept: KeptMessages::default(),
            next_sweep: Instant::ZERO + config.sweep_interval,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            walk: Walk::default(),
        }
    }

    /// Who hears which functions a message passes.
    pub fn set_walk(&mut self, walk: Walk) {
        self.walk = walk;
    }

    /// Attaches a network.
    ///
    /// # Panics
    /// If the link costs nothing, carries no payload, or is the 256th.
    pub fn attach(&mut self, link: Link) -> NetworkId {
        assert!(link.weight > 0, "only the host interface costs nothing");
        assert!(
            link.mtu > crate::wire::HEADER_LEN,
            "a frame has room for payload"
        );
        let id = NetworkId(u8::try_from(self.networks.len()).expect("at most 255 networks"));
        self.networks.push(Network {
            link,
            on: true,
            second: 0,
            locates: 0,
        });
        self.stats.networks.push(NetworkStats::default());
        id
    }

    /// Switches a network on or off, or changes whether it is trusted: what was known of the
    /// world may be wrong now and is forgotten.
    pub fn control(&mut self, network: NetworkId, on: bool, trusted: bool) {
        let Some(attached) = self.networks.get_mut(usize::from(network.0)) else {
            return;
        };
        if (attached.on, attached.link.trusted) != (on, trusted) {
            attached.on = on;
            attached.link.trusted = trusted;
            self.routes.clear();
            self.stats.mark(Mark::RoutesFlushed);
        }
    }

    /// What the box counted.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.marks.add(Mark::RouteEvicted, self.routes.evicted);
        stats.marks.add(Mark::RouteAged, self.routes.aged);
        stats
    }

    /// The known ways to an address, local endpoints not included.
    pub fn locations(&self, address: FlipAddress) -> &[Location] {
        self.routes.locations(address)
    }

    /// The attached networks: what each is to the box, and whether it is on.
    pub fn networks(&self) -> impl Iterator<Item = (NetworkId, &Link, bool)> {
        let ids = self.network_ids().zip(&self.networks);
        ids.map(|(id, attached)| (id, &attached.link, attached.on))
    }

    /// The routing table: every address with its known ways, in the order of addresses.
    pub fn routes(&self) -> impl Iterator<Item = (FlipAddress, &[Location])> {
        self.routes.iter()
    }

    /// How many addresses the routing table has.
    pub fn routes_len(&self) -> usize {
        self.routes.len()
    }

    /// How many neighbours have an account of credits.
    pub fn accounts_len(&self) -> usize {
        self.credits.len()
    }

    /// Whether anything waits for the network: a locate, or fragments of a long message.
    pub fn is_busy(&self) -> bool {
        !self.locates.is_empty() || !self.fragments.is_empty()
    }

    /// Whether `poll_event` has something.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing to tell the layer above.
    pub fn poll_event(&mut self) -> Option<Event> {
        let (event, held_for) = self.events.pop_front()?;
        if let Some(neighbour) = held_for {
            self.release(neighbour);
        }
        Some(event)
    }

    /// Time goes on; it never goes back.
    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let waiting = !self.fragments.is_empty();
        self.fragments.pacer.refill(self.now, waiting);
    }

    fn link(&self, network: NetworkId) -> &Link {
        &self.networks[usize::from(network.0)].link
    }

    fn network_ids(&self) -> impl Iterator<Item = NetworkId> + use<> {
        (0..self.networks.len() as u8).map(NetworkId)
    }

    fn is_on(&self, network: NetworkId) -> bool {
        self.networks
            .get(usize::from(network.0))
            .is_some_and(|attached| attached.on)
    }

    /// Puts one packet on a network.
    fn put(&mut self, network: NetworkId, to: LinkAddress, repr: Repr, payload: &[u8]) {
        self.put_parts(network, to, repr, payload, Bytes::new());
    }

    /// The same with a part of a message, which is copied only if it is short.
    fn put_shared(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        repr: Repr,
        payload: Cow<'_, Bytes>,
    ) {
        match payload.len() < SHARED_LEN_MIN {
            true => self.put(network, to, repr, &payload),
            false => self.put_parts(network, to, repr, b"", payload.into_owned()),
        }
    }

    /// The one place where the rule of sending holds: what asks for security never goes on an
    /// untrusted network, and whatever goes there is marked. The payload is `payload` and `body`.
    fn put_parts(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        mut repr: Repr,
        payload: &[u8],
        body: Bytes,
    ) {
        if !self.is_on(network) {
            return self.stats.drop(Drop::NetworkOff);
        }
        if !self.link(network).trusted {
            if repr.flags.security {
                return self.stats.drop(Drop::Untrusted);
            }
            repr.flags.tainted = true;
        }
        let link = *self.link(network);
        // Only what has credits itself gives other ones a ride.
        let owed = match self.is_credited(network, &repr) {
            true => self.credits.take_owed((network, to)),
            false => 0,
        };
        if owed > 0 {
            self.stats.mark(Mark::CreditRodeAlong);
        }
        if matches!(to, LinkAddress::Multicast(_)) && link.flow {
            self.stats.mark(Mark::MulticastFrame);
        }
        let frame = Frame {
            network,
            to,
            head: repr.emit_ahead(link.flow.then_some(owed), payload, body.len()),
            body,
        };
        let header_len = if link.flow { FLOW_HEADER_LEN } else { 0 };
        assert!(
            frame.len() <= link.mtu + header_len,
            "a packet fits into a frame"
        );
        let stats = &mut self.stats.networks[usize::from(network.0)];
        stats.sent.count(repr.kind);
        stats.bytes_sent += frame.len() as u64;
        self.transmits.push_back(frame);
    }

    /// Puts a frame of flow control on a network.
    fn put_flow(&mut self, (network, to): Neighbour, flow: Flow) {
        if !self.is_on(network) {
            return self.stats.drop(Drop::NetworkOff);
        }
        let bytes = flow.emit();
        let stats = &mut self.stats.networks[usize::from(network.0)];
        stats.flow_sent[usize::from(flow.number())] += 1;
        stats.bytes_sent += bytes.len() as u64;
        self.transmits.push_back(Frame::new(network, to, bytes));
    }

    /// What a neighbour says with the flow-control header.
    fn on_flow(&mut self, from: Neighbour, flow: Flow) {
        let now = self.now;
        match flow {
            Flow::Data { credits: 0 } => {}
            Flow::Data { credits } | Flow::Credit(credits) => {
                self.credits.on_credit(now, from, credits);
            }
            Flow::Request => {
                let count = self.credits.on_request(now, from);
                self.put_flow(from, Flow::Absolute(count));
            }
            Flow::Absolute(count) => self.credits.on_absolute(now, from, count),
            Flow::MulticastRequest { group, address } => {
                self.on_multicast_request(from, group, address);
            }
            Flow::MulticastAck(address) => self.on_multicast_answer(from, address, true),
            Flow::MulticastNak(address) => self.on_multicast_answer(from, address, false),
        }
    }

    /// Takes the flow-control header off, where there is one, and does what it says.
    fn take_flow<'a>(&mut self, from: Neighbour, frame: &'a [u8]) -> Option<&'a [u8]> {
        if !self.link(from.0).flow {
            return Some(frame);
        }
        match Flow::parse(frame) {
            Ok((flow, packet)) => {
                let is_data = matches!(flow, Flow::Data { .. });
                if !is_data {
                    let stats = &mut self.stats.networks[usize::from(from.0.0)];
                    stats.flow_received[usize::from(flow.number())] += 1;
                    stats.bytes_received += frame.len() as u64;
                }
                self.on_flow(from, flow);
                is_data.then_some(packet)
            }
            Err(error) => {
                self.stats.drop(Drop::Malformed(error));
                None
            }
        }
    }

    /// Switches one packet; whoever sent a fragment that counts gets its credit back when that is
    /// digested: at once, unless it waits for somebody above or for its turn on another network.
    fn take_packet(&mut self, (network, from): Neighbour, repr: Repr, payload: &[u8]) {
        if self.is_credited(network, &repr) {
            self.credits.arrived(self.now, (network, from));
            self.held = Some((network, from));
        }
        self.switch(network, from, repr, payload);
        if let Some(neighbour) = self.held.take() {
            self.release(neighbour);
        }
    }

    fn sweep(&mut self) {
        let interval = self.config.sweep_interval.as_micros().max(1);
        if self.next_sweep > self.now {
            return;
        }
        // After a long sleep everything is old; it need not grow older one by one.
        let missed = 1 + (self.now - self.next_sweep).as_micros() / interval;
        for _ in 0..missed.min(SWEEPS_AT_ONCE) {
            self.routes.sweep(self.now, &self.config);
        }
        self.credits.sweep(self.now);
        self.sweep_multicasts();
        self.next_sweep += Duration::from_micros(interval).times(missed);
    }
}

impl Machine for FlipBox {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        step!(self.walk);
        self.tick(now);
        if !self.is_on(network) {
            return self.stats.drop(Drop::NetworkOff);
        }
        let LinkAddress::Station(_) = from else {
            return self.stats.drop(Drop::NoStation);
        };
        let Some(frame) = self.take_flow((network, from), frame) else {
            return;
        };
        let packet = match Packet::new_checked(frame) {
            Ok(packet) => packet,
            Err(error) => return self.stats.drop(Drop::Malformed(error)),
        };
        match Repr::parse(&packet) {
            Ok(repr) => {
                let stats = &mut self.stats.networks[usize::from(network.0)];
                stats.received.count(repr.kind);
                stats.bytes_received += frame.len() as u64;
                self.take_packet((network, from), repr, packet.payload());
            }
            Err(error) => self.stats.drop(Drop::Malformed(error)),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        self.sweep();
        self.locate_again();
        self.credits_again();
        self.kept.expire(self.now);
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        if self.transmits.is_empty() {
            self.next_fragment();
        }
        self.transmits.pop_front()
    }

    fn poll_listen(&mut self) -> Option<Listen> {
        self.multicasts.changes.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let sweep = (!self.routes.is_empty()).then_some(self.next_sweep.max(self.now));
        let timeouts = [
            sweep,
            self.locates.next_timeout(),
            self.fragments.next_release(),
            self.credits.next_timeout(),
            self.kept.next_expiry(),
        ];
        timeouts.into_iter().flatten().min()
    }
}

/// A payload that is shorter is copied behind its header: to make it a part of its own costs more.
const SHARED_LEN_MIN: usize = 4 << 10;

/// The most sweeps that are made up for.
const SWEEPS_AT_ONCE: u64 = 1_000;

/// Long enough for any locate on a local network.
pub const LOCATE_TIME: Duration = Duration::from_millis(1_000);
