//! `Endpoint`: one process' transactions as a pure machine.
//!
//! ```text
//!   trans, abort      get_request, put_reply, forward_request, cancel        Event
//!        |                         |                                          ^
//!        v                         v                                          |
//!    client.rs                 server.rs ---- executed.rs                     |
//!        |  \  local.rs ----- /    |                                          |
//!    locate.rs                 forward.rs                                     |
//!        +------------+------------+------------------------------------------+
//!                     v                       ^
//!               poll_transmit           handle_message
//! ```
//! The rule of all machines of this house holds: one mutation, then every `poll_*` until it says
//! `None`, then the next mutation.
//!
//! Implements: [Thesis §2.5]; [Amoeba5] §2.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use capability::{Header, Order, Port};
use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::step;
use flip_net::time::Instant;

use crate::cache::{Cache, Search};
use crate::client::Transaction;
use crate::config::{Config, ConfigError};
use crate::event::{Destination, Event, Listener, Registration, Transmit};
use crate::executed::Executed;
use crate::id::{KernelId, Slots, Tid};
use crate::server::Server;
use crate::stats::{Mark, Stats};
use crate::timers::{Timer, Timers};
use crate::wire::{BROADCAST_SELECTOR, DATA_OFFSET, Kind, Packet, Repr};

/// Put-ports that are remembered for the get-ports they belong to.
const PUT_PORTS_LEN_MAX: usize = 256;

/// The endpoint of one process. See the module.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) config: Config,
    pub(crate) address: FlipAddress,
    pub(crate) kid: KernelId,
    pub(crate) now: Instant,
    /// The number of the next attempt.
    pub(crate) next_tid: Tid,
    pub(crate) transactions: Slots<Transaction>,
    pub(crate) servers: Slots<Server>,
    /// The servers that wait, by put-port, longest wait first.
    pub(crate) waiting: BTreeMap<Port, VecDeque<u16>>,
    /// The servers that have a request, by client and number.
    pub(crate) serving: BTreeMap<(FlipAddress, Tid), u16>,
    pub(crate) executed: Executed,
    pub(crate) cache: Cache,
    pub(crate) searches: BTreeMap<Port, Search>,
    put_ports: BTreeMap<Port, Port>,
    pub(crate) timers: Timers,
    pub(crate) stats: Stats,
    registrations: VecDeque<Registration>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// How much an endpoint holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Transactions under way.
    pub transactions: usize,
    /// Servers that wait, execute, or answered and are not acknowledged.
    pub servers: usize,
    /// Ports whose servers are known.
    pub ports: usize,
    /// Ports that are looked for.
    pub searches: usize,
    /// Clients whose executed requests are remembered.
    pub clients: usize,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Data and questions.
    Full,
    /// The same after silence or a bounce: what is known of the way may be wrong.
    Relocate,
    /// An answer: not worth a locate.
    Answer,
}

impl Endpoint {
    /// An endpoint with a fresh address.
    ///
    /// # Errors
    /// A parameter that cannot work.
    pub fn new(config: Config, mut rng: Rng, now: Instant) -> Result<Endpoint, ConfigError> {
        config.check()?;
        let private = FlipAddress::random(&mut rng);
        let listen = |listener, private| Registration { listener, private };
        let registrations = [
            listen(Listener::Process, private),
            listen(Listener::Everybody, FlipAddress::NULL),
        ];
        Ok(Endpoint {
            address: (config.one_way)(private),
            kid: KernelId::random(&mut rng),
            now,
            next_tid: Tid::new(rng.next_u64() as u32),
            transactions: Slots::new(config.transactions_max),
            servers: Slots::new(config.servers_max),
            waiting: BTreeMap::new(),
            serving: BTreeMap::new(),
            executed: Executed::new(config.clients_max, config.window, config.timing.memory),
            cache: Cache::new(&config),
            searches: BTreeMap::new(),
            put_ports: BTreeMap::new(),
            timers: Timers::default(),
            stats: Stats::default(),
            registrations: registrations.into(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            config,
        })
    }

    /// The public address of the process: what `forward_request` takes.
    pub fn address(&self) -> FlipAddress {
        self.address
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How much is held.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            transactions: self.transactions.len(),
            servers: self.servers.len(),
            ports: self.cache.len(),
            searches: self.searches.len(),
            clients: self.executed.len(),
        }
    }

    /// Whether something was sent whose answer is due: an owner then polls more eagerly.
    pub fn is_outstanding(&self) -> bool {
        self.transactions.len() > 0 || self.timers.earliest().is_some()
    }

    /// What FLIP must listen to; asked first, and answered before anything is sent.
    pub fn poll_registration(&mut self) -> Option<Registration> {
        self.registrations.pop_front()
    }

    /// The next message for FLIP.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// The deadline has come (or an earlier one; then nothing happens).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        // What a timer sets anew for this very instant waits for the next call.
        let due = std::iter::from_fn(|| self.timers.take_due(now)).collect::<Vec<_>>();
        for timer in due {
            match timer {
                Timer::LocateAgain(port) => self.locate_again(port),
                Timer::AskServer(index) => self.ask_server(index),
                Timer::AskClient(index) => self.ask_client(index),
            }
        }
    }

    /// A whole message came in. Never fails: a bad one is counted and dropped.
    pub fn handle_message(
        &mut self,
        now: Instant,
        listener: Listener,
        source: FlipAddress,
        message: impl Into<Bytes>,
    ) {
        step!(self.config.walk);
        self.tick(now);
        let mut message = message.into();
        if listener == Listener::Everybody {
            let selector = BROADCAST_SELECTOR.to_be_bytes();
            if !message.starts_with(&selector) {
                self.stats.mark(Mark::OtherSelector);
                return;
            }
            message = message.slice(selector.len()..);
        }
        let Ok(packet) = Packet::new_checked(&message) else {
            self.stats.mark(Mark::Malformed);
            return;
        };
        let repr = Repr::parse(&packet);
        if source.is_null()
            || source == self.address
            || (repr.kind == Kind::Locate) != (listener == Listener::Everybody)
        {
            self.stats.mark(Mark::OutOfPhase);
            return;
        }
        self.stats.received(repr.kind);
        match repr.kind {
            Kind::Locate => self.on_locate(source, &repr),
            Kind::HereIs => self.on_here_is(source, &repr),
            Kind::Request => self.on_request(source, &repr, &message),
            Kind::Reply => self.on_reply(source, &repr, &message),
            Kind::Forward => {
                let to = packet.address().expect("the packet was checked");
                self.on_forward(source, &repr, to);
            }
            Kind::Ack => self.on_ack(source, &repr),
            Kind::Nak => self.on_nak(source, &repr),
            Kind::Enquire => self.on_enquire(source, &repr),
            Kind::Alive => self.on_alive(source, &repr),
            Kind::Received if repr.flags.request => self.on_request_doubted(source, &repr),
            Kind::Received if repr.flags.reply => self.on_reply_doubted(source, &repr),
            Kind::Received => self.stats.mark(Mark::Malformed),
            Kind::Fail => self.on_fail(source, &repr),
        }
    }

    /// FLIP gave a message back, or the piece of it that starts at `offset`. Pieces without our
    /// header tell nothing that the time-outs do not tell, too.
    pub fn handle_undeliverable(
        &mut self,
        now: Instant,
        destination: FlipAddress,
        reason: Undelivered,
        offset: u32,
        payload: &[u8],
    ) {
        self.tick(now);
        self.stats.mark(Mark::Bounced);
        if offset != 0 || payload.len() < crate::wire::RPC_HEADER_SIZE {
            return;
        }
        // The first piece of a long message is enough for the header.
        let Some(kind) = Kind::from_code(payload[14]) else {
            return;
        };
        let mut head = [0; DATA_OFFSET];
        let len = payload.len().min(DATA_OFFSET);
        head[..len].copy_from_slice(&payload[..len]);
        let Ok(packet) = Packet::new_checked(&head) else {
            return;
        };
        let repr = Repr::parse(&packet);
        match kind {
            Kind::Request => self.on_request_bounced(destination, &repr, reason),
            Kind::Enquire => self.on_question_bounced(destination, &repr, reason),
            Kind::Received if repr.flags.request => {
                self.on_question_bounced(destination, &repr, reason);
            }
            Kind::Reply | Kind::Forward | Kind::Received => {
                self.on_reply_bounced(destination, &repr, reason);
            }
            // Answers: whoever asked asks again.
            _ => {}
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        assert!(now >= self.now, "time went back from {} to {now}", self.now);
        self.now = now;
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Sends a message without a body.
    pub(crate) fn send(&mut self, to: FlipAddress, repr: &Repr, care: Care) {
        let message = Bytes::copy_from_slice(&repr.emit(Order::Little));
        self.send_message(to, repr.kind, message, care);
    }

    pub(crate) fn send_message(&mut self, to: FlipAddress, kind: Kind, message: Bytes, care: Care) {
        self.stats.sent(kind);
        self.transmits.push_back(Transmit {
            to: Destination::Unicast(to),
            security: self.config.security && care != Care::Answer,
            relocate: care == Care::Relocate,
            is_answer: care == Care::Answer,
            message,
        });
    }

    pub(crate) fn broadcast(&mut self, repr: &Repr, hop_count: u16) {
        self.stats.sent(repr.kind);
        let mut message = BROADCAST_SELECTOR.to_be_bytes().to_vec();
        message.extend(repr.emit(Order::Little));
        self.transmits.push_back(Transmit {
            to: Destination::Broadcast { hop_count },
            security: false,
            relocate: false,
            is_answer: false,
            message: message.into(),
        });
    }

    /// The put-port of a get-port.
    pub(crate) fn put_port(&mut self, get_port: Port) -> Port {
        if self.put_ports.len() >= PUT_PORTS_LEN_MAX {
            self.put_ports.clear();
        }
        let known = self.put_ports.entry(get_port);
        *known.or_insert_with(|| get_port.put_port())
    }
}

/// A message that begins with our header and the user's.
pub(crate) fn compose(repr: &Repr, header: &Header, data: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(DATA_OFFSET + data.len());
    message.extend(repr.emit(Order::Little));
    message.extend(header.emit(Order::Little));
    message.extend(data);
    message.into()
}

/// The same message under another header of ours; copied only if somebody still holds it.
pub(crate) fn recompose(message: Bytes, repr: &Repr) -> Bytes {
    let mut message = message
        .try_into_mut()
        .unwrap_or_else(|shared| shared[..].into());
    let head = repr.emit(Order::Little);
    message[..head.len()].copy_from_slice(&head);
    message.freeze()
}

/// The user's part of a message that carries some, cut to `len_max` bytes.
pub(crate) fn user_part(message: &Bytes, len_max: usize) -> (Header, Bytes, bool) {
    let packet = Packet::new_checked(message).expect("it was checked when it came");
    let header = packet.header().expect("requests and replies have one");
    let data = message.slice(DATA_OFFSET..);
    let is_cut = data.len() > len_max;
    let data = data.slice(..data.len().min(len_max));
    (header, data, is_cut)
}
