//! A tiny world of endpoints: whole messages between them in virtual time, on one thread.
//!
//! What happens to a message on its way is asked of a `Fate`, so scripts can say "lose the next
//! REPLY at h0" and storms can draw from a seed. Of FLIP only the conduct is in here: a message to
//! an address that was known and is gone comes back as not here; one to an address that must be
//! located and cannot comes back as not located; routes are learnt from whoever is heard.

#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]

pub mod storm;

use std::collections::{BTreeMap, VecDeque};

use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use rpc::{Config, Destination, Endpoint, Event, Kind, Listener, Packet, Pretty, Transmit};

/// Stands in for FLIP's one-way function: readable, but not the identity.
pub fn one_way(private: FlipAddress) -> FlipAddress {
    let mut bytes = private.bytes();
    bytes[6] ^= 0x55;
    FlipAddress::new(bytes)
}

/// What becomes of one message at one receiver.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// When its copies arrive, counted from now; none: it is lost.
    pub arrivals: Vec<Duration>,
}

impl Fate {
    pub fn after(delay: Duration) -> Fate {
        Fate {
            arrivals: vec![delay],
        }
    }

    pub fn lost() -> Fate {
        Fate::default()
    }
}

/// Decides what becomes of messages.
pub trait Fates {
    fn fate(&mut self, now: Instant, from: usize, to: usize, message: &[u8]) -> Fate;

    /// Whether a locate reaches the other host now.
    fn reaches(&mut self, _now: Instant, _from: usize, _to: usize) -> bool {
        true
    }
}

/// Nothing goes wrong; every message takes 100 microseconds.
pub struct Calm;

impl Fates for Calm {
    fn fate(&mut self, _: Instant, _: usize, _: usize, _: &[u8]) -> Fate {
        Fate::after(Duration::from_micros(100))
    }
}

/// One host, the process on it, and what that process was told.
pub struct Node {
    pub endpoint: Option<Endpoint>,
    pub config: Config,
    /// The host is down: what comes vanishes.
    pub is_down: bool,
    /// The host stands still until then; what arrives waits.
    pub frozen_until: Instant,
    /// How many processes were here before.
    pub life: u32,
    /// Every way to the others crosses a network that is not trusted.
    pub untrusted: bool,
    /// On which host each address was when it was heard of.
    routes: BTreeMap<FlipAddress, usize>,
    pub inbox: VecDeque<Event>,
}

enum Arrival {
    Message {
        node: usize,
        from: FlipAddress,
        /// Null for a broadcast.
        to: FlipAddress,
        message: bytes::Bytes,
    },
    Bounce {
        node: usize,
        life: u32,
        to: FlipAddress,
        reason: Undelivered,
        message: bytes::Bytes,
    },
}

/// The world.
pub struct Exchange {
    pub now: Instant,
    pub nodes: Vec<Node>,
    /// Where each address is or was.
    hosts: BTreeMap<FlipAddress, usize>,
    agenda: BTreeMap<(Instant, u64), Arrival>,
    count: u64,
    rng: Rng,
    /// How long FLIP looks for an address.
    pub locate_time: Duration,
    /// Lines of what happened, if somebody wants them.
    pub log: Option<Vec<String>>,
    /// Messages handed to FLIP.
    pub transmits: u64,
    /// The last message of each kind that came to each node.
    pub last: BTreeMap<(usize, Kind), (FlipAddress, bytes::Bytes)>,
    past: rpc::Stats,
}

impl Exchange {
    pub fn new(seed: u64) -> Exchange {
        Exchange {
            now: Instant::ZERO,
            nodes: Vec::new(),
            hosts: BTreeMap::new(),
            agenda: BTreeMap::new(),
            count: 0,
            rng: Rng::new(seed),
            locate_time: Duration::from_millis(1_000),
            log: None,
            transmits: 0,
            last: BTreeMap::new(),
            past: rpc::Stats::default(),
        }
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{} {}", self.now, line()));
        }
    }

    pub fn add(&mut self, config: Config) -> usize {
        self.nodes.push(Node {
            endpoint: None,
            config,
            is_down: true,
            frozen_until: Instant::ZERO,
            life: 0,
            untrusted: false,
            routes: BTreeMap::new(),
            inbox: VecDeque::new(),
        });
        let node = self.nodes.len() - 1;
        self.start(node);
        node
    }

    /// A new process on a host, with an address of its own.
    pub fn start(&mut self, node: usize) {
        let (rng, now) = (self.rng.split(), self.now);
        let config = self.nodes[node].config.clone();
        let mut endpoint = Endpoint::new(config, rng, now).expect("a configuration that works");
        while endpoint.poll_registration().is_some() {}
        self.hosts.insert(endpoint.address(), node);
        let started = &mut self.nodes[node];
        started.endpoint = Some(endpoint);
        started.is_down = false;
        started.life += 1;
        started.inbox.clear();
    }

    /// The process ends without a word; the host stays, or does not.
    pub fn kill(&mut self, node: usize, host_too: bool) {
        let killed = &mut self.nodes[node];
        if let Some(endpoint) = killed.endpoint.take() {
            self.past.add(endpoint.stats());
        }
        killed.is_down = host_too;
        killed.inbox.clear();
    }

    /// The process moves to another host with everything it has.
    pub fn migrate(&mut self, from: usize, to: usize) {
        let endpoint = self.nodes[from].endpoint.take();
        let endpoint = endpoint.expect("a process that can move");
        self.hosts.insert(endpoint.address(), to);
        self.nodes[to].endpoint = Some(endpoint);
        self.nodes[to].is_down = false;
    }

    pub fn address(&self, node: usize) -> FlipAddress {
        let endpoint = self.nodes[node].endpoint.as_ref();
        endpoint.expect("this node is up").address()
    }

    /// Something the application does to its endpoint, and everything that follows at once.
    pub fn act<T>(
        &mut self,
        node: usize,
        fates: &mut dyn Fates,
        act: impl FnOnce(&mut Endpoint, Instant) -> T,
    ) -> Option<T> {
        let now = self.now;
        let endpoint = self.nodes[node].endpoint.as_mut();
        let result = endpoint.map(|endpoint| act(endpoint, now));
        self.drain(node, fates);
        result
    }

    fn due(node: &Node) -> Option<Instant> {
        let due = node.endpoint.as_ref()?.poll_timeout()?;
        Some(due.max(node.frozen_until))
    }

    /// The next thing to happen, and when.
    pub fn next_time(&self) -> Option<Instant> {
        let arrival = self.agenda.keys().next().map(|(at, _)| *at);
        let due = self.nodes.iter().filter_map(Self::due);
        arrival.into_iter().chain(due).min()
    }

    /// Does the next thing; false if there is none before `until`.
    pub fn step(&mut self, until: Instant, fates: &mut dyn Fates) -> bool {
        let Some(at) = self.next_time().filter(|&at| at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(at);
        if self.agenda.keys().next().is_some_and(|(due, _)| *due <= at) {
            let (_, arrival) = self.agenda.pop_first().expect("just looked at");
            self.arrive(arrival, fates);
            return true;
        }
        for index in 0..self.nodes.len() {
            if Self::due(&self.nodes[index]).is_some_and(|due| due <= at) {
                self.act(index, fates, Endpoint::handle_timeout);
            }
        }
        true
    }

    /// Runs until no message is under way; timers do not count.
    pub fn has_arrivals(&self) -> bool {
        !self.agenda.is_empty()
    }

    fn put(&mut self, at: Instant, arrival: Arrival) {
        self.count += 1;
        self.agenda.insert((at, self.count), arrival);
    }

    /// A message from nowhere, or from the past.
    pub fn inject(&mut self, node: usize, from: FlipAddress, message: bytes::Bytes) {
        let to = self.address(node);
        let arrival = Arrival::Message {
            node,
            from,
            to,
            message,
        };
        self.put(self.now, arrival);
    }

    fn arrive(&mut self, arrival: Arrival, fates: &mut dyn Fates) {
        let now = self.now;
        let index = match &arrival {
            Arrival::Message { node, .. } | Arrival::Bounce { node, .. } => *node,
        };
        let node = &mut self.nodes[index];
        if node.is_down {
            return;
        }
        if node.frozen_until > now {
            let until = node.frozen_until;
            return self.put(until, arrival);
        }
        match arrival {
            Arrival::Bounce {
                life,
                to,
                reason,
                message,
                ..
            } => {
                node.routes.remove(&to);
                if node.life != life {
                    return;
                }
                self.say(|| format!("h{index} gets back {}: {reason}", Pretty(&message)));
                self.act(index, fates, |endpoint, now| {
                    endpoint.handle_undeliverable(now, to, reason, 0, &message);
                });
            }
            Arrival::Message {
                from, to, message, ..
            } => self.deliver(index, from, to, message, fates),
        }
    }

    fn deliver(
        &mut self,
        index: usize,
        from: FlipAddress,
        to: FlipAddress,
        message: bytes::Bytes,
        fates: &mut dyn Fates,
    ) {
        let node = &mut self.nodes[index];
        if let Some(&host) = self.hosts.get(&from) {
            node.routes.insert(from, host);
        }
        let here = node.endpoint.as_ref().map(Endpoint::address);
        if !to.is_null() && here != Some(to) {
            return self.bounce(index, from, to, message, fates);
        }
        if here.is_none() {
            return;
        }
        if let Some(kind) = kind_of(&message) {
            self.last.insert((index, kind), (from, message.clone()));
        }
        let listener = match to.is_null() {
            true => Listener::Everybody,
            false => Listener::Process,
        };
        self.act(index, fates, |endpoint, now| {
            endpoint.handle_message(now, listener, from, message);
        });
    }

    /// The host is there and the process is not.
    fn bounce(
        &mut self,
        index: usize,
        from: FlipAddress,
        to: FlipAddress,
        message: bytes::Bytes,
        fates: &mut dyn Fates,
    ) {
        let Some(&sender) = self.hosts.get(&from) else {
            return;
        };
        let life = self.nodes[sender].life;
        for delay in fates.fate(self.now, index, sender, &message).arrivals {
            let bounce = Arrival::Bounce {
                node: sender,
                life,
                to,
                reason: Undelivered::NotHere,
                message: message.clone(),
            };
            self.put(self.now + delay, bounce);
        }
    }

    /// Transmits and events, until there are no more.
    pub fn drain(&mut self, index: usize, fates: &mut dyn Fates) {
        loop {
            let Some(endpoint) = self.nodes[index].endpoint.as_mut() else {
                return;
            };
            let transmit = endpoint.poll_transmit();
            let from = endpoint.address();
            if let Some(transmit) = transmit {
                self.carry(index, from, &transmit, fates);
                continue;
            }
            let Some(event) = endpoint.poll_event() else {
                return;
            };
            self.say(|| format!("h{index} {}", event_line(&event)));
            self.nodes[index].inbox.push_back(event);
        }
    }

    fn carry(
        &mut self,
        sender: usize,
        from: FlipAddress,
        transmit: &Transmit,
        fates: &mut dyn Fates,
    ) {
        self.transmits += 1;
        let message = &transmit.message;
        let line = Pretty(message).to_string();
        let (to, targets) = match transmit.to {
            Destination::Broadcast { hop_count } => {
                let others = (0..self.nodes.len()).filter(|&node| node != sender);
                self.say(|| format!("h{sender} -> all within {hop_count}  {line}"));
                (FlipAddress::NULL, others.collect::<Vec<_>>())
            }
            Destination::Unicast(to) => match self.route(sender, to, transmit, fates) {
                Some(node) => (to, vec![node]),
                None => return,
            },
        };
        for node in targets {
            let fate = fates.fate(self.now, sender, node, message);
            if !to.is_null() || fate.arrivals.len() != 1 {
                let what = match fate.arrivals.len() {
                    0 => format!("        lost at h{node}"),
                    1 => String::new(),
                    copies => format!("        {copies} times at h{node}"),
                };
                let anew = if transmit.relocate {
                    " (located anew)"
                } else {
                    ""
                };
                self.say(|| format!("h{sender} -> h{node}  {line}{anew}{what}"));
            }
            for delay in fate.arrivals {
                let message = message.clone();
                let arrival = Arrival::Message {
                    node,
                    from,
                    to,
                    message,
                };
                self.put(self.now + delay, arrival);
            }
        }
    }

    /// The host a unicast goes to, as FLIP sees it; else what it does about that.
    fn route(
        &mut self,
        sender: usize,
        to: FlipAddress,
        transmit: &Transmit,
        fates: &mut dyn Fates,
    ) -> Option<usize> {
        let host = self.hosts.get(&to).copied();
        let is_unsafe = transmit.security && self.nodes[sender].untrusted;
        let known = self.nodes[sender].routes.get(&to).copied();
        if let Some(host) = known.filter(|_| !transmit.relocate && !is_unsafe) {
            return Some(host);
        }
        let is_there = host.is_some_and(|host| {
            let node = &self.nodes[host];
            let here = node.endpoint.as_ref().map(Endpoint::address);
            here == Some(to) && !node.is_down
        });
        let reached = is_there && host.is_some_and(|host| fates.reaches(self.now, sender, host));
        let reason = match (host, reached) {
            (Some(host), true) if !is_unsafe => {
                self.nodes[sender].routes.insert(to, host);
                return Some(host);
            }
            (_, true) => Undelivered::Untrusted,
            (_, false) => Undelivered::NotLocated,
        };
        let line = Pretty(&transmit.message).to_string();
        self.say(|| format!("h{sender} -> ?  {line}"));
        if !transmit.is_answer {
            let bounce = Arrival::Bounce {
                node: sender,
                life: self.nodes[sender].life,
                to,
                reason,
                message: transmit.message.clone(),
            };
            self.put(self.now + self.locate_time, bounce);
        }
        None
    }

    /// The whole run's counters.
    pub fn stats(&self) -> rpc::Stats {
        let mut total = self.past.clone();
        let endpoints = self.nodes.iter().filter_map(|node| node.endpoint.as_ref());
        endpoints.for_each(|endpoint| total.add(endpoint.stats()));
        total
    }
}

/// What kind of message this is, if any.
pub fn kind_of(message: &[u8]) -> Option<Kind> {
    let selector = rpc::BROADCAST_SELECTOR.to_be_bytes();
    let bytes = message.strip_prefix(&selector).unwrap_or(message);
    let packet = Packet::new_checked(bytes).ok()?;
    Kind::from_code(packet.code())
}

/// An event in one line.
pub fn event_line(event: &Event) -> String {
    match event {
        Event::Request { server, data, .. } => format!("{server} executes {}", data_text(data)),
        Event::Replied {
            transaction, data, ..
        } => {
            format!("{transaction} gets {}", data_text(data))
        }
        Event::Failed { transaction, error } => format!("{transaction} fails: {error}"),
        Event::ReplyDone { server, outcome } => format!("{server} is done: {outcome:?}"),
        Event::Signalled { server } => format!("{server} is signalled"),
    }
}

fn data_text(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) if data.len() <= 16 && !text.chars().any(char::is_control) => format!("{text:?}"),
        _ => format!("{} B", data.len()),
    }
}
