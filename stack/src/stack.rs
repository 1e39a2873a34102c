//! `Stack`: the box and the group member of one processor, wired together.
//!
//! ```text
//!  handle_command                                      take_delivery
//!        |                                                   ^
//!        v                                             DeliveryQueue
//!     Member  --poll_transmit-->  unicast, multicast,        ^
//!        ^    --poll_registration->  broadcast, register     |
//!        |    --poll_event-----------------------------------+
//!     Joiner  <--Event::Fragment-- FlipBox <-- handle_frame
//!                                     +------> poll_transmit
//! ```
//! `pump` is the only place where one machine's output becomes the other's input. It keeps both
//! drain rules: one mutation, then every output, then the next mutation.
//!
//! The RPC endpoint is one more machine beside the member, on an interface of its own: `endpoint.rs`.
//!
//! Implements: DESIGN 6; [Thesis §3.4], groups on FLIP.

use flip_net::step;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use capability::Header;
use flip_net::address::{EndpointId, FlipAddress, InterfaceId, LinkAddress, NetworkId};
use flip_net::join::{JoinConfig, JoinStats, Joiner};
use flip_net::rng::Rng;
use flip_net::time::Instant;
use flip_net::walk::Walk;
use flip_net::{FlipBox, Frame, Listen, Machine, SendOptions};
use group::{ConfigError, Destination, Endpoint, Member, MemberIndex, Registration, Transmit};

use crate::command::{Answer, Command, Refused};
use crate::config::Config;
use crate::driver::{Driven, Running};
use crate::endpoint::{Transactions, interface_of};
use crate::event::Delivery;
use crate::queue::{DeliveryQueue, QueueStats};

/// Room for headers in front of the largest payload.
const HEADERS_LEN_MAX: usize = 4_096;

/// Messages by the power of two of their size: slot 0 is empty ones, slot `n` those below `2^n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes([u64; 28]);

impl Sizes {
    fn count(&mut self, len: usize) {
        let slot = (usize::BITS - len.leading_zeros()) as usize;
        self.0[slot.min(self.0.len() - 1)] += 1;
    }

    /// Pairs of an upper bound and how many messages were below it; empty slots are left out.
    pub fn slots(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let counted = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(slot, count)| (1 << slot, *count))
    }
}

/// What a stack counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackStats {
    /// The box: packets by type, drops by reason.
    pub flip: flip_net::flip_box::Stats,
    /// Messages put together from fragments.
    pub join: JoinStats,
    /// The member: messages by kind, marks, peaks.
    pub group: group::Stats,
    /// The RPC endpoint, if there is one.
    pub rpc: rpc::Stats,
    /// The delivery queue.
    pub queue: QueueStats,
    /// Messages given to FLIP, by size.
    pub sent: Sizes,
    /// Messages that came from FLIP, by size.
    pub received: Sizes,
    /// Messages that FLIP did not take.
    pub refused: u64,
    /// Messages that FLIP gave back.
    pub not_delivered: u64,
}

/// One processor's communication. See the module.
#[derive(Debug)]
pub struct Stack {
    flip: FlipBox,
    joiner: Joiner,
    member: Member,
    /// The member's interface to the box.
    interface: InterfaceId,
    endpoints: BTreeMap<Endpoint, EndpointId>,
    /// Which endpoint has a public address. Messages say what they were sent to; their last
    /// fragment may have come by another way.
    names: BTreeMap<FlipAddress, Endpoint>,
    queue: DeliveryQueue,
    /// Own affairs, if the owner wants them apart from the order.
    affairs: Option<VecDeque<Delivery>>,
    transactions: Option<Transactions>,
    header: Header,
    hops_max: u16,
    stats: StackStats,
    walk: Walk,
}

impl Stack {
    /// A stack that creates its group, or begins to join it.
    ///
    /// # Errors
    /// A parameter of the group that cannot work.
    ///
    /// # Panics
    /// If a parameter of the RPC endpoint cannot work; [`rpc::Config::check`] tells beforehand.
    pub fn new(mut config: Config, mut rng: Rng, now: Instant) -> Result<Stack, ConfigError> {
        let walk = config.group.walk.clone();
        let mut flip = FlipBox::new(config.flip);
        flip.set_walk(walk.clone());
        for link in &config.links {
            flip.attach(*link);
        }
        let interface = flip.interface_from(rng.next_u64() as u32);
        let queue = DeliveryQueue::new(
            config.group.queue_messages_max,
            config.group.queue_bytes_max,
        );
        let message_len_max = (1 << config.group.message_log2) + HEADERS_LEN_MAX;
        let joiner = Joiner::new(JoinConfig {
            message_len_max,
            bytes_max: message_len_max * 4,
            ..JoinConfig::default()
        });
        let header = Header::to(config.group.port);
        let mut own = rng;
        let rng = own.split();
        let transactions = config.rpc.take().map(|config| {
            let made = Transactions::new(config, own.split(), now, &mut flip);
            made.expect("parameters that were checked")
        });
        if let Some(transactions) = &transactions {
            config.group.rpc_address = transactions.endpoint.address();
        }
        let member = if config.founds {
            Member::create(config.group, rng, now)?
        } else {
            Member::join(config.group, rng, now)?
        };
        let mut stack = Stack {
            flip,
            joiner,
            member,
            interface,
            endpoints: BTreeMap::new(),
            names: BTreeMap::new(),
            queue,
            affairs: None,
            transactions,
            header,
            hops_max: config.flip.hops_max,
            stats: StackStats::default(),
            walk,
        };
        stack.pump(now);
        Ok(stack)
    }

    /// Does what the owner asks, or says why not.
    ///
    /// # Errors
    /// [`Refused`]; then nothing happened.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<Answer, Refused> {
        step!(self.walk);
        let answer = match command {
            Command::Broadcast(payload) => {
                let sent = self.member.send(now, self.header, payload.clone());
                match sent {
                    Ok(id) => Answer::Sent(id),
                    Err(group::SendError::WindowFull) => return Err(Refused::Full(payload)),
                    Err(group::SendError::NotMember) => return Err(Refused::NotMember),
                    Err(group::SendError::Aborted) => return Err(Refused::Aborted),
                    Err(group::SendError::TooBig {
                        size,
                        size_max: max,
                    }) => {
                        return Err(Refused::TooLarge { size, max });
                    }
                }
            }
            Command::Leave => {
                self.member.leave(now);
                Answer::Done
            }
            Command::DeclareLost(member) => {
                self.member.declare_lost(now, member);
                Answer::Done
            }
            Command::Reset { members_min } => {
                self.member.reset(now, self.header, members_min)?;
                Answer::Done
            }
        };
        self.pump(now);
        Ok(answer)
    }

    /// From now on own affairs do not wait in the delivery queue but come by
    /// [`poll_affair`](Stack::poll_affair), even while the queue is full; among them the places of
    /// the own broadcasts.
    pub fn separate_affairs(&mut self, now: Instant) {
        let affairs = self.affairs.get_or_insert_default();
        affairs.extend(self.queue.take_affairs());
        self.pump(now);
    }

    /// The next own affair, for who has them separated.
    pub fn poll_affair(&mut self) -> Option<Delivery> {
        self.affairs.as_mut()?.pop_front()
    }

    /// Whether `poll_delivery` has something.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The member is gone at once, and says so: nobody has to find out from silence.
    pub fn die(&mut self, now: Instant) {
        self.member.die(now);
        self.pump(now);
    }

    /// Other times of the group from now on.
    pub fn set_group_timing(&mut self, now: Instant, timing: group::Timing) {
        self.member.set_timing(now, timing);
        self.pump(now);
    }

    /// The next delivery. Taking it out makes room for another, which the sequencer may hear of.
    pub fn poll_delivery(&mut self, now: Instant) -> Option<Delivery> {
        let delivery = self.queue.pop()?;
        step!(self.walk);
        if let Some(seq) = delivery.seq() {
            self.member.consumed(now, seq);
        }
        self.pump(now);
        Some(delivery)
    }

    /// Whether a broadcast of this size would be taken now.
    pub fn has_send_room(&self, size: usize) -> bool {
        self.member.is_inside() && self.member.has_send_room(size)
    }

    /// Broadcasts of ours that have no place in the order yet.
    pub fn outstanding(&self) -> usize {
        self.member.outstanding()
    }

    /// Does something to the RPC endpoint: begins a transaction, waits for a request, answers one.
    /// Nothing happens where there is none.
    pub fn rpc<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut rpc::Endpoint, Instant) -> T,
    ) -> Option<T> {
        let done = act(&mut self.transactions.as_mut()?.endpoint, now);
        self.pump(now);
        Some(done)
    }

    /// The next thing that the RPC endpoint tells.
    pub fn poll_rpc_event(&mut self) -> Option<rpc::Event> {
        self.transactions.as_mut()?.events.pop_front()
    }

    /// The group member: who is in, who numbers.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Who is in the group as far as was received, ourselves included.
    pub fn members(&self) -> Vec<MemberIndex> {
        self.member.members()
    }

    /// What was counted so far.
    pub fn stats(&self) -> StackStats {
        StackStats {
            flip: self.flip.stats(),
            join: self.joiner.stats(),
            group: self.member.stats().clone(),
            rpc: self.rpc_stats(),
            refused: self.stats.refused + self.transactions.as_ref().map_or(0, |side| side.refused),
            queue: self.queue.stats,
            ..self.stats.clone()
        }
    }

    fn rpc_stats(&self) -> rpc::Stats {
        let transactions = self.transactions.as_ref();
        transactions.map_or_else(rpc::Stats::default, |transactions| {
            transactions.endpoint.stats().clone()
        })
    }

    /// Moves transmits down and events up until nothing moves.
    fn pump(&mut self, now: Instant) {
        loop {
            self.drain_member(now);
            if let Some(transactions) = &mut self.transactions {
                transactions.drain(now, &mut self.flip, self.hops_max);
            }
            let Some(event) = self.flip.poll_event() else {
                return;
            };
            self.handle_flip_event(now, event);
        }
    }

    /// All outputs of the member, after one mutation of it.
    fn drain_member(&mut self, now: Instant) {
        loop {
            while let Some(registration) = self.member.poll_registration() {
                self.register(registration);
            }
            while self.affairs.is_some()
                && let Some(event) = self.member.poll_affair()
            {
                self.take_event(event);
            }
            while self.queue.has_room()
                && let Some(event) = self.member.poll_event()
            {
                self.take_event(event);
            }
            let mut moved = false;
            while let Some(transmit) = self.member.poll_transmit() {
                moved = true;
                self.send(now, transmit);
            }
            // Taking an event may have caused transmits, but a transmit causes no events.
            if !moved {
                return;
            }
        }
    }

    fn register(&mut self, registration: Registration) {
        match registration {
            Registration::Register { endpoint, private } => {
                let id = self.flip.register(self.interface, private);
                if let Some(old) = self.endpoints.insert(endpoint, id) {
                    self.unregister(old);
                }
                self.names.insert(private.one_way(), endpoint);
            }
            Registration::Unregister { endpoint } => {
                if let Some(id) = self.endpoints.remove(&endpoint) {
                    self.unregister(id);
                }
            }
        }
    }

    fn unregister(&mut self, id: EndpointId) {
        if let Some(address) = self.flip.address_of(id) {
            self.names.remove(&address);
        }
        self.flip.unregister(id);
    }

    fn take_event(&mut self, event: group::Event) {
        step!(self.walk);
        let delivery = match event {
            group::Event::Entered {
                me,
                sequencer,
                next,
                ..
            } => Delivery::Entered {
                me,
                sequencer,
                next,
                members: self.member.members(),
            },
            group::Event::JoinFailed => Delivery::JoinFailed,
            group::Event::Completed { id, seq } if self.affairs.is_some() => {
                Delivery::Completed { id, seq }
            }
            // The delivery of the same message follows.
            group::Event::Completed { .. } => return,
            group::Event::Delivered {
                seq,
                from,
                id,
                data,
                ..
            } => Delivery::Data {
                seq,
                from,
                id,
                payload: data,
            },
            group::Event::Joined { seq, member, .. } => Delivery::Joined { seq, member },
            group::Event::Left { seq, member } => Delivery::Left { seq, member },
            group::Event::SendFailed { id } => Delivery::Failed { id },
            group::Event::Aborted => Delivery::Aborted,
            group::Event::Reset {
                seq,
                members,
                removed,
                sequencer,
                ..
            } => Delivery::Reset {
                seq,
                members,
                removed,
                sequencer,
            },
            group::Event::ResetFailed {
                members,
                members_min,
            } => Delivery::ResetFailed {
                members,
                members_min,
            },
            group::Event::Expelled => Delivery::Expelled,
            group::Event::Lost { member, reason } => Delivery::Lost { member, reason },
            group::Event::Closed => Delivery::Closed,
            _ => return,
        };
        if let Some(affairs) = &mut self.affairs
            && delivery.is_affair()
        {
            affairs.push_back(delivery);
            return;
        }
        self.queue.push(delivery);
        if !self.queue.has_room() {
            self.queue.stats.full += 1;
        }
    }

    fn send(&mut self, now: Instant, transmit: Transmit) {
        step!(self.walk);
        let Transmit { from, to, message } = transmit;
        let Some(&endpoint) = self.endpoints.get(&from) else {
            self.stats.refused += 1;
            return;
        };
        self.stats.sent.count(message.len());
        let options = SendOptions {
            skip_own: true,
            ..SendOptions::default()
        };
        let sent = match to {
            Destination::Unicast(address) => {
                self.flip.unicast(now, endpoint, address, message, options)
            }
            Destination::Multicast { group, listeners } => {
                let listeners = u16::try_from(listeners).unwrap_or(u16::MAX);
                self.flip
                    .multicast(now, endpoint, group, message, listeners, options)
            }
            Destination::Broadcast { hop_count } => {
                self.flip
                    .broadcast(now, endpoint, message, hop_count.min(self.hops_max))
            }
        };
        if sent.is_err() {
            // As good as lost on the way; the member sends again what matters.
            self.stats.refused += 1;
        }
    }

    fn handle_flip_event(&mut self, now: Instant, event: flip_net::Event) {
        step!(self.walk);
        if let Some(transactions) = &mut self.transactions
            && transactions.interface == interface_of(&event)
        {
            return transactions.handle_flip_event(now, event);
        }
        match event {
            flip_net::Event::Fragment { fragment, .. } => {
                let Some(message) = self.joiner.handle_fragment(now, fragment) else {
                    return;
                };
                let Some(&endpoint) = self.names.get(&message.destination) else {
                    return;
                };
                self.stats.received.count(message.payload.len());
                self.member
                    .handle_message(now, endpoint, message.source, message.payload);
            }
            flip_net::Event::NotDelivered { destination, .. } => {
                self.stats.not_delivered += 1;
                self.member.handle_undeliverable(now, destination);
            }
        }
    }
}

impl Stack {
    /// Asks the senders of incomplete messages for what is missing.
    fn ask_again(&mut self, now: Instant) {
        let own = self.endpoints.get(&Endpoint::Member).copied();
        while let Some(missing) = self.joiner.poll_missing(now) {
            let parts = &missing.parts;
            // Who has left wants nothing any more, and gives it up in a while.
            if let Some(own) = own {
                self.flip
                    .ask_again(now, own, missing.source, missing.message, parts);
            }
        }
    }
}

impl Machine for Stack {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.flip.handle_frame(now, network, from, frame);
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.flip.handle_timeout(now);
        self.joiner.handle_timeout(now);
        self.ask_again(now);
        if let Some(transactions) = &mut self.transactions {
            transactions.handle_timeout(now, &mut self.flip);
        }
        self.pump(now);
        if self
            .member
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            self.member.handle_timeout(now);
            self.pump(now);
        }
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        let frame = self.flip.poll_transmit()?;
        step!(self.walk);
        Some(frame)
    }

    fn poll_listen(&mut self) -> Option<Listen> {
        self.flip.poll_listen()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.flip.poll_timeout(),
            self.joiner.poll_timeout(),
            self.member.poll_timeout(),
            self.transactions
                .as_ref()
                .and_then(Transactions::poll_timeout),
        ];
        timeouts.into_iter().flatten().min()
    }
}

impl Driven for Stack {
    type Delivery = Delivery;

    fn take_delivery(&mut self, now: Instant) -> Option<Delivery> {
        self.poll_delivery(now)
    }

    fn has_delivery(&self) -> bool {
        let transactions = self.transactions.as_ref();
        !self.queue.is_empty()
            || transactions.is_some_and(|transactions| !transactions.events.is_empty())
    }

    fn is_outstanding(&self) -> bool {
        self.member.outstanding() > 0
            || !self.member.is_inside()
            || self.flip.is_busy()
            || self.joiner.is_busy()
            || self.transactions.as_ref().is_some_and(|transactions| {
                transactions.endpoint.is_outstanding() || transactions.joiner.is_busy()
            })
    }
}

impl Running<Stack> {
    /// Does what the owner asks, on this thread; the frames leave before it returns.
    ///
    /// # Errors
    /// [`Refused`]; then nothing happened.
    pub fn command(&self, command: Command) -> Result<Answer, Refused> {
        self.with(|stack, now| stack.handle_command(now, command))
    }

    /// Does something to the RPC endpoint, as [`Stack::rpc`]; the frames leave before it returns.
    pub fn rpc<T>(&self, act: impl FnOnce(&mut rpc::Endpoint, Instant) -> T) -> Option<T> {
        self.with(|stack, now| stack.rpc(now, act))
    }

    /// The next thing that the RPC endpoint tells; who waits is woken for it as for a delivery.
    pub fn try_rpc_event(&self) -> Option<rpc::Event> {
        self.with(|stack, _| stack.poll_rpc_event())
    }

    /// What the stack counted so far.
    pub fn stats(&self) -> StackStats {
        self.with(|stack, _| stack.stats())
    }
}

/// A table for `--stats`: what is zero is left out.
impl fmt::Display for StackStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |count: u64, text: &dyn fmt::Display| match count {
            0 => Ok(()),
            count => writeln!(f, "{count:>12}  {text}"),
        };
        for kind in group::Kind::ALL {
            line(
                self.group.sent_of(*kind),
                &format_args!("group {kind:?} sent"),
            )?;
            line(
                self.group.received_of(*kind),
                &format_args!("group {kind:?} received"),
            )?;
        }
        for mark in group::Mark::ALL {
            line(self.group.count(*mark), &mark.text())?;
        }
        for kind in rpc::Kind::ALL {
            line(self.rpc.sent_of(*kind), &format_args!("RPC {kind} sent"))?;
            line(
                self.rpc.received_of(*kind),
                &format_args!("RPC {kind} received"),
            )?;
        }
        for mark in rpc::Mark::ALL {
            line(self.rpc.count(*mark), &mark.text())?;
        }
        for (below, count) in self.sent.slots() {
            line(count, &format_args!("messages sent below {below} bytes"))?;
        }
        for (below, count) in self.received.slots() {
            line(
                count,
                &format_args!("messages received below {below} bytes"),
            )?;
        }
        for (number, network) in self.flip.networks.iter().enumerate() {
            line(
                network.sent.total(),
                &format_args!("packets sent on network {number}"),
            )?;
            line(
                network.bytes_sent,
                &format_args!("bytes sent on network {number}"),
            )?;
            line(
                network.received.total(),
                &format_args!("packets received on network {number}"),
            )?;
            line(
                network.bytes_received,
                &format_args!("bytes received on network {number}"),
            )?;
        }
        for (reason, count) in &self.flip.dropped {
            line(*count, &format_args!("packets dropped: {reason}"))?;
        }
        line(self.flip.locates, &"addresses located")?;
        line(self.flip.local, &"messages within this processor")?;
        line(self.join.joined, &"messages joined from fragments")?;
        line(self.join.timed_out, &"messages never completed")?;
        line(
            self.join.asked,
            &"times that missing fragments were asked for",
        )?;
        line(self.flip.bytes_again, &"bytes of fragments sent again")?;
        line(self.join.displaced, &"incomplete messages displaced")?;
        line(self.join.no_room, &"fragments dropped: no room")?;
        line(self.refused, &"messages not taken by FLIP")?;
        line(self.not_delivered, &"messages given back by FLIP")?;
        line(self.queue.deliveries, &"deliveries")?;
        line(self.queue.full, &"times the delivery queue was full")?;
        line(self.queue.messages_peak as u64, &"peak: deliveries queued")?;
        line(self.queue.bytes_peak as u64, &"peak: bytes queued")?;
        line(
            self.group.history_messages_peak as u64,
            &"peak: messages in the history",
        )?;
        line(
            self.group.history_bytes_peak as u64,
            &"peak: bytes in the history",
        )?;
        line(
            self.join.bytes_peak as u64,
            &"peak: bytes of incomplete messages",
        )?;
        line(
            self.flip.queued_bytes_peak as u64,
            &"peak: bytes waiting for the network",
        )
    }
}
