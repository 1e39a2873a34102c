//! A tiny world of group members: whole messages between them in virtual time, on one thread.
//!
//! What happens to a message on its way is asked of a `Fate` per receiver, so scripts can say "lose
//! the next BCAST at m2" and storms can draw from a seed. FLIP, fragments and networks are not in
//! here: a message arrives whole or not at all.

#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]

pub mod gale;
pub mod storm;

use std::collections::BTreeMap;

use capability::{Header, Port};
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use group::checker::{Change, Delivery, Trace};
use group::{
    Config, Destination, Endpoint, Event, Kind, Member, MemberIndex, Payload, Pretty, Registration,
    SendError, SeqNo, Transmit,
};

/// The port of the only group.
pub const PORT: Port = Port::new(*b"group\0");

/// Stands in for FLIP's one-way function: readable, but not the identity.
pub fn one_way(private: FlipAddress) -> FlipAddress {
    let mut bytes = private.bytes();
    bytes[6] ^= 0x55;
    FlipAddress::new(bytes)
}

/// The default parameters of a group in these tests.
pub fn config() -> Config {
    Config {
        members_max: 12,
        ..Config::new(PORT, one_way)
    }
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

/// One member and the application above it.
pub struct Node {
    pub member: Option<Member>,
    addresses: BTreeMap<Endpoint, FlipAddress>,
    /// The application takes nothing.
    pub holding: bool,
    /// The whole host stands still until then; what arrives waits.
    pub frozen_until: Instant,
    /// Deliveries taken and not yet told as consumed; none: consumed at once.
    pub consume_later: bool,
    pub trace: Trace<Vec<u8>>,
    pub events: Vec<Event>,
    pub lost: Vec<MemberIndex>,
    pub entered: bool,
    pub failed: bool,
    pub left: bool,
    pub closed: bool,
    pub expelled: bool,
    pub resets: usize,
    pub failed_resets: usize,
    /// The last reset has failed, an automatic one included.
    pub gave_up: bool,
}

struct Arrival {
    node: usize,
    endpoint: Endpoint,
    from: FlipAddress,
    message: Vec<u8>,
}

/// The world.
pub struct Exchange {
    pub now: Instant,
    pub nodes: Vec<Node>,
    agenda: BTreeMap<(Instant, u64), Arrival>,
    count: u64,
    rng: Rng,
    /// Lines of what happened, if somebody wants them.
    pub log: Option<Vec<String>>,
    /// Messages handed to FLIP, a multicast counted once.
    pub transmits: u64,
    /// In which order owners drain their members.
    pub events_first: bool,
}

impl Exchange {
    pub fn new(seed: u64) -> Exchange {
        Exchange {
            now: Instant::ZERO,
            nodes: Vec::new(),
            agenda: BTreeMap::new(),
            count: 0,
            rng: Rng::new(seed),
            log: None,
            transmits: 0,
            events_first: false,
        }
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(line());
        }
    }

    fn add(&mut self, member: Member) -> usize {
        let name = format!("m{}", self.nodes.len());
        self.nodes.push(Node {
            member: Some(member),
            addresses: BTreeMap::new(),
            holding: false,
            frozen_until: Instant::ZERO,
            consume_later: false,
            trace: Trace::new(name),
            events: Vec::new(),
            lost: Vec::new(),
            entered: false,
            failed: false,
            left: false,
            closed: false,
            expelled: false,
            resets: 0,
            failed_resets: 0,
            gave_up: false,
        });
        self.nodes.len() - 1
    }

    pub fn create(&mut self, config: Config, fates: &mut dyn Fates) -> usize {
        let rng = self.rng.split();
        let member = Member::create(config, rng, self.now).expect("a configuration that works");
        let node = self.add(member);
        self.drain(node, fates);
        node
    }

    pub fn join(&mut self, config: Config, fates: &mut dyn Fates) -> usize {
        let rng = self.rng.split();
        let member = Member::join(config, rng, self.now).expect("a configuration that works");
        let node = self.add(member);
        self.drain(node, fates);
        node
    }

    /// A message from nowhere: what a broken or hostile box might send.
    pub fn inject(&mut self, node: usize, endpoint: Endpoint, from: FlipAddress, message: Vec<u8>) {
        self.count += 1;
        let arrival = Arrival {
            node,
            endpoint,
            from,
            message,
        };
        self.agenda.insert((self.now, self.count), arrival);
    }

    pub fn member(&self, node: usize) -> &Member {
        self.nodes[node]
            .member
            .as_ref()
            .expect("this node has not crashed")
    }

    /// Something the application does to its member, and everything that follows at once.
    pub fn act<T>(
        &mut self,
        node: usize,
        fates: &mut dyn Fates,
        act: impl FnOnce(&mut Member, Instant) -> T,
    ) -> Option<T> {
        let now = self.now;
        let result = self.nodes[node]
            .member
            .as_mut()
            .map(|member| act(member, now));
        self.drain(node, fates);
        result
    }

    pub fn send(
        &mut self,
        node: usize,
        data: Vec<u8>,
        fates: &mut dyn Fates,
    ) -> Result<(), SendError> {
        let now = self.now;
        let Some(member) = self.nodes[node].member.as_mut() else {
            return Err(SendError::NotMember);
        };
        let result = member.send(now, Header::to(PORT), Payload::from(data.clone()));
        if let Ok(id) = result {
            // An application that takes no events has not been told who it is.
            let me = member.me();
            self.nodes[node].trace.member = Some(me);
            self.nodes[node].trace.sent.push((id, data));
        }
        self.drain(node, fates);
        result.map(|_| ())
    }

    /// The host stops for good, without a word.
    pub fn crash(&mut self, node: usize) {
        self.nodes[node].member = None;
        self.nodes[node].addresses.clear();
    }

    /// Lets the application take deliveries again.
    pub fn resume(&mut self, node: usize, fates: &mut dyn Fates) {
        let now = self.now;
        let resumed = &mut self.nodes[node];
        resumed.holding = false;
        resumed.consume_later = false;
        if let (Some(member), Some(last)) =
            (resumed.member.as_mut(), resumed.trace.delivered.last())
        {
            member.consumed(now, last.seq);
        }
        self.drain(node, fates);
    }

    /// When a node wants to be served, and can be.
    fn due(node: &Node) -> Option<Instant> {
        let due = node.member.as_ref()?.poll_timeout()?;
        Some(due.max(node.frozen_until))
    }

    /// The next thing to happen, and when.
    pub fn next_time(&self) -> Option<Instant> {
        let arrival = self.agenda.keys().next().map(|(at, _)| *at);
        let due = self.nodes.iter().filter_map(Self::due);
        arrival.into_iter().chain(due).min()
    }

    /// Whether messages are under way.
    pub fn has_arrivals(&self) -> bool {
        !self.agenda.is_empty()
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
            let due = Self::due(&self.nodes[index]);
            if due.is_some_and(|due| due <= at) {
                let now = self.now;
                if let Some(member) = self.nodes[index].member.as_mut() {
                    member.handle_timeout(now);
                }
                self.drain(index, fates);
            }
        }
        true
    }

    pub fn run_until(&mut self, until: Instant, fates: &mut dyn Fates) {
        while self.step(until, fates) {}
    }

    /// Runs until no message is under way; timers do not count.
    pub fn settle(&mut self, fates: &mut dyn Fates) {
        while let Some((at, _)) = self.agenda.keys().next() {
            let at = *at;
            self.step(at, fates);
        }
    }

    fn arrive(&mut self, arrival: Arrival, fates: &mut dyn Fates) {
        let now = self.now;
        let node = &mut self.nodes[arrival.node];
        if node.frozen_until > now {
            self.count += 1;
            let later = (node.frozen_until, self.count);
            self.agenda.insert(later, arrival);
            return;
        }
        if !node.addresses.contains_key(&arrival.endpoint) {
            return;
        }
        if let Some(member) = node.member.as_mut() {
            member.handle_message(now, arrival.endpoint, arrival.from, arrival.message);
        }
        self.drain(arrival.node, fates);
    }

    /// Registrations, transmits and events, until there are no more.
    pub fn drain(&mut self, index: usize, fates: &mut dyn Fates) {
        loop {
            let mut again = false;
            while let Some(registration) = self.nodes[index]
                .member
                .as_mut()
                .and_then(Member::poll_registration)
            {
                let node = &mut self.nodes[index];
                match registration {
                    Registration::Register { endpoint, private } => {
                        node.addresses.insert(endpoint, one_way(private));
                    }
                    Registration::Unregister { endpoint } => {
                        node.addresses.remove(&endpoint);
                    }
                }
            }
            if self.events_first {
                again |= self.drain_events(index);
                again |= self.drain_transmits(index, fates);
            } else {
                again |= self.drain_transmits(index, fates);
                again |= self.drain_events(index);
            }
            if !again {
                return;
            }
        }
    }

    fn drain_transmits(&mut self, index: usize, fates: &mut dyn Fates) -> bool {
        let mut any = false;
        while let Some(transmit) = self.nodes[index]
            .member
            .as_mut()
            .and_then(Member::poll_transmit)
        {
            any = true;
            self.carry(index, transmit, fates);
        }
        any
    }

    fn drain_events(&mut self, index: usize) -> bool {
        let mut any = false;
        while !self.nodes[index].holding {
            let Some(event) = self.nodes[index]
                .member
                .as_mut()
                .and_then(Member::poll_event)
            else {
                break;
            };
            any = true;
            self.take_event(index, event);
        }
        any
    }

    fn take_event(&mut self, index: usize, event: Event) {
        let (now, name) = (self.now, self.nodes[index].trace.name.clone());
        let node = &mut self.nodes[index];
        let line = match &event {
            Event::Entered {
                me,
                sequencer,
                next,
                group,
            } => {
                node.trace.lives.push((*next, *group));
                node.entered = true;
                node.trace.member = Some(*me);
                node.trace.first = *next;
                node.trace.end = *next;
                format!("{name} enters as {me}, sequencer {sequencer}, next {next}")
            }
            Event::JoinFailed => {
                node.failed = true;
                format!("{name} finds no group")
            }
            Event::Completed { .. } => String::new(),
            Event::Delivered {
                seq,
                from,
                id,
                data,
                ..
            } => {
                let line = format!("{name} delivers {seq} {data:?}");
                node.trace.end = seq.next();
                node.trace.delivered.push(Delivery {
                    seq: *seq,
                    from: *from,
                    id: *id,
                    data: data.to_vec(),
                });
                if !node.consume_later
                    && let Some(member) = node.member.as_mut()
                {
                    member.consumed(now, *seq);
                }
                line
            }
            Event::Joined { seq, member, .. } => {
                node.trace.end = seq.next();
                node.trace.changes.push((*seq, Change::Joined(*member)));
                format!("{name} sees {member} join at {seq}")
            }
            Event::Left { seq, member } => {
                node.trace.end = seq.next();
                node.trace.changes.push((*seq, Change::Left(*member)));
                if Some(*member) == node.trace.member {
                    node.left = true;
                }
                format!("{name} sees {member} leave at {seq}")
            }
            Event::Reset {
                seq,
                members,
                removed,
                sequencer,
                group,
                ..
            } => {
                node.trace.end = seq.next();
                node.trace.lives.push((seq.next(), *group));
                let change = Change::Reset {
                    members: members.clone(),
                    removed: removed.clone(),
                    sequencer: *sequencer,
                };
                node.trace.changes.push((*seq, change));
                node.resets += 1;
                node.gave_up = false;
                format!("{name} goes on at {seq} with {members:?}, sequencer {sequencer}")
            }
            Event::SendFailed { id } => {
                node.trace.fail(*id);
                format!("{name} cannot send {id} any more")
            }
            Event::Aborted => {
                node.trace.aborts.push(node.trace.end);
                format!("{name} aborts")
            }
            Event::ResetFailed {
                members,
                members_min,
            } => {
                node.failed_resets += 1;
                node.gave_up = true;
                format!("{name} finds {members} members, not {members_min}")
            }
            Event::Expelled => {
                node.expelled = true;
                format!("{name} is expelled")
            }
            Event::Lost { member, reason } => {
                node.lost.push(*member);
                format!("{name} loses {member}: {reason:?}")
            }
            Event::Closed => {
                node.closed = true;
                format!("{name} closes")
            }
            other => format!("{name} {other:?}"),
        };
        node.events.push(event);
        if !line.is_empty() {
            self.say(|| line);
        }
    }

    fn carry(&mut self, sender: usize, transmit: Transmit, fates: &mut dyn Fates) {
        self.transmits += 1;
        let from = self.nodes[sender].addresses.get(&transmit.from);
        let from = *from.expect("a message leaves from an endpoint that is registered");
        let targets = self.targets(sender, transmit.to);
        let mut fated = Vec::new();
        for (node, endpoint) in targets {
            let fate = fates.fate(self.now, sender, node, &transmit.message);
            for delay in &fate.arrivals {
                self.count += 1;
                let arrival = Arrival {
                    node,
                    endpoint,
                    from,
                    message: transmit.message.clone(),
                };
                self.agenda.insert((self.now + *delay, self.count), arrival);
            }
            fated.push((node, fate));
        }
        let names = |index: usize| format!("m{index}");
        self.say(|| {
            let to = match transmit.to {
                Destination::Unicast(_) => match fated.first() {
                    Some((node, _)) => names(*node),
                    None => "?".to_string(),
                },
                Destination::Multicast { .. } => "*".to_string(),
                Destination::Broadcast { hop_count } => format!("all within {hop_count}"),
            };
            let mut line = format!("{} -> {to}  {}", names(sender), Pretty(&transmit.message));
            for (node, fate) in &fated {
                match fate.arrivals.len() {
                    0 => line += &format!("        lost at {}", names(*node)),
                    1 => {}
                    copies => line += &format!("        {copies} times at {}", names(*node)),
                }
            }
            line
        });
    }

    fn targets(&self, sender: usize, to: Destination) -> Vec<(usize, Endpoint)> {
        let wanted = match to {
            Destination::Unicast(address) => address,
            Destination::Multicast { group, .. } => group,
            Destination::Broadcast { .. } => one_way(FlipAddress::NULL),
        };
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for (&endpoint, &address) in &node.addresses {
                if index != sender && address == wanted {
                    found.push((index, endpoint));
                }
            }
        }
        found
    }

    /// The whole run's counters.
    pub fn stats(&self) -> group::Stats {
        let mut total = group::Stats::default();
        for node in &self.nodes {
            if let Some(member) = &node.member {
                total.add(member.stats());
            }
        }
        total
    }

    pub fn traces(&self) -> Vec<Trace<Vec<u8>>> {
        self.nodes.iter().map(|node| node.trace.clone()).collect()
    }

    /// Everybody who is in agrees on the next number and has delivered up to it.
    pub fn is_at_rest(&self) -> bool {
        let inside: Vec<&Member> = self
            .nodes
            .iter()
            .filter_map(|node| node.member.as_ref())
            .filter(|member| member.is_inside())
            .collect();
        let next = inside
            .iter()
            .map(|member| member.next())
            .reduce(SeqNo::latest);
        let settled = |member: &&Member| {
            Some(member.next()) == next
                && Some(member.expect()) == next
                && member.outstanding() == 0
        };
        inside.iter().all(settled)
    }
}

/// Decides what becomes of messages.
pub trait Fates {
    fn fate(&mut self, now: Instant, from: usize, to: usize, message: &[u8]) -> Fate;
}

/// Nothing goes wrong; every message takes 100 microseconds.
pub struct Calm;

impl Fates for Calm {
    fn fate(&mut self, _: Instant, _: usize, _: usize, _: &[u8]) -> Fate {
        Fate::after(Duration::from_micros(100))
    }
}

/// What kind of message this is, if any.
pub fn kind_of(message: &[u8]) -> Option<Kind> {
    let bytes = message
        .strip_prefix(&group::BROADCAST_SELECTOR.to_be_bytes())
        .unwrap_or(message);
    Kind::from_code(*bytes.first()?)
}
