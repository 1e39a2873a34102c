//! One member: the machine. It routes messages, calls and time to the files beside this one.
//!
//! Implements: [Thesis §3.4.2].

mod acknowledge;
mod deliver;
mod join;
mod liveness;
mod receive;
mod rtt;
mod send;

use flip_net::step;
use std::collections::VecDeque;

use capability::{HEADER_SIZE, Order};
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::time::Instant;

use crate::config::{Config, ConfigError};
use crate::event::{Destination, Endpoint, Event, Registration, Transmit};
use crate::failure::Liveness;
use crate::filter::{Gate, Stage};
use crate::history::{Bounds, Entry, History};
use crate::recovery::Recovery;
use crate::seq::{Incarnation, MemberIndex, MessageId, SeqNo};
use crate::sequencer::Sequencer;
use crate::stats::{Mark, Stats};
use crate::timers::{Timer, Timers};
use crate::view::{Peer, PeerState, View};
use crate::wire::{BROADCAST_SELECTOR, GROUP_HEADER_SIZE, Kind, Packet, Repr};

use deliver::Delivery;
use join::Locate;
use receive::Receiver;
pub(crate) use receive::data_body;
pub(crate) use send::Request;
pub use send::SendError;
use send::Sender;

/// How far into the group's life this member is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Asking everybody where the sequencer is.
    Locating(Locate),
    /// Waiting for the number of the own join.
    Joining {
        /// When the request was first sent.
        since: Instant,
    },
    Inside,
    /// The own leave waits for its number.
    Leaving,
    /// The own leave is numbered; what comes before it may still wait for the owner.
    Left,
    Gone,
}

/// The group's two private addresses and their public forms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupAddresses {
    pub(crate) private_a: FlipAddress,
    pub(crate) private_b: FlipAddress,
    pub(crate) a: FlipAddress,
    pub(crate) b: FlipAddress,
}

impl GroupAddresses {
    pub(crate) fn new(a: FlipAddress, b: FlipAddress, config: &Config) -> GroupAddresses {
        GroupAddresses {
            private_a: a,
            private_b: b,
            a: (config.one_way)(a),
            b: (config.one_way)(b),
        }
    }
}

/// One member of one group.
///
/// One mutation (`handle_*`, `send`, `consumed`, `leave`, `declare_lost`), then drain
/// `poll_registration`, `poll_transmit`, `poll_event` until all say `None`, then the next
/// mutation. An owner whose delivery queue is full may leave events in `poll_event`: the member
/// goes on answering, tells the sequencer that it takes no more, and nothing is lost.
#[derive(Debug)]
pub struct Member {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) phase: Phase,
    pub(crate) me: MemberIndex,
    /// Our public address.
    pub(crate) address: FlipAddress,
    pub(crate) incarnation: Incarnation,
    pub(crate) addresses: GroupAddresses,
    pub(crate) view: View,
    pub(crate) history: History,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) delivery: Delivery,
    /// There if this member numbers.
    pub(crate) sequencer: Option<Sequencer>,
    pub(crate) liveness: Liveness,
    /// There while the group is broken.
    pub(crate) recovery: Option<Recovery>,
    pub(crate) timers: Timers,
    /// The owner wants to leave but we are not in yet.
    pub(crate) leave_wanted: bool,
    pub(crate) stats: Stats,
    rng: Rng,
    registrations: VecDeque<Registration>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
}

impl Member {
    /// Creates a group and becomes its first member and sequencer.
    ///
    /// # Errors
    /// A parameter that cannot work.
    pub fn create(config: Config, mut rng: Rng, now: Instant) -> Result<Member, ConfigError> {
        let a = FlipAddress::random(&mut rng);
        let b = FlipAddress::random(&mut rng);
        let mut member = Member::new(config, rng, now)?;
        member.addresses = GroupAddresses::new(a, b, &member.config);
        member.phase = Phase::Inside;
        member.view.set(
            member.me,
            Peer::new(
                (member.address, member.config.rpc_address),
                PeerState::Member,
                SeqNo::FIRST,
            ),
        );
        member.sequencer = Some(Sequencer::new(&member.config));
        member.register(Endpoint::ToAll, b);
        member.register(Endpoint::Everybody, FlipAddress::NULL);
        member.event(Event::Entered {
            me: member.me,
            sequencer: member.me,
            next: SeqNo::FIRST,
            group: member.addresses.b,
        });
        Ok(member)
    }

    /// Begins to join the group with the configured port. [`Event::Entered`] tells that it worked,
    /// [`Event::JoinFailed`] that it did not.
    ///
    /// # Errors
    /// A parameter that cannot work.
    pub fn join(config: Config, rng: Rng, now: Instant) -> Result<Member, ConfigError> {
        let mut member = Member::new(config, rng, now)?;
        member.begin_locate(false);
        Ok(member)
    }

    fn new(config: Config, mut rng: Rng, now: Instant) -> Result<Member, ConfigError> {
        config.check()?;
        let private = FlipAddress::random(&mut rng);
        let me = MemberIndex::new(0);
        let mut member = Member {
            now,
            phase: Phase::Gone,
            me,
            address: (config.one_way)(private),
            incarnation: Incarnation::FIRST,
            addresses: GroupAddresses::new(FlipAddress::NULL, FlipAddress::NULL, &config),
            view: View::new(usize::from(config.members_max), me),
            history: History::new(SeqNo::FIRST, bounds(&config)),
            sender: Sender::new(),
            receiver: Receiver::default(),
            delivery: Delivery::new(SeqNo::FIRST),
            sequencer: None,
            liveness: Liveness::default(),
            recovery: None,
            rng,
            timers: Timers::default(),
            leave_wanted: false,
            stats: Stats::new(),
            registrations: VecDeque::new(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            config,
        };
        member.register(Endpoint::Member, private);
        Ok(member)
    }

    // In, from the network and the clock.

    /// A message came in on one of our endpoints, from a public address. Never fails: what is bad
    /// is counted and dropped.
    pub fn handle_message(
        &mut self,
        now: Instant,
        endpoint: Endpoint,
        from: FlipAddress,
        mut message: Vec<u8>,
    ) {
        step!(self.config.walk);
        self.advance_clock(now);
        if endpoint == Endpoint::Everybody {
            if !message.starts_with(&BROADCAST_SELECTOR.to_be_bytes()) {
                return self.stats.mark(Mark::UnknownKind);
            }
            message.drain(..4);
        }
        let (packet, repr) = match parse(&message) {
            Ok(parsed) => parsed,
            Err(mark) => return self.stats.mark(mark),
        };
        if from == self.address {
            return self.stats.mark(Mark::OwnEcho);
        }
        self.enter_if_decided(from, &repr);
        if self.is_told_out(from, &repr) {
            return self.on_told_out(repr.member);
        }
        if self.answers_straggler(from, &repr) {
            return;
        }
        if let Err(mark) = self.gate().check(from, &repr) {
            return self.stats.mark(mark);
        }
        self.stats.received(repr.kind);
        self.heard(&repr);

        match repr.kind {
            Kind::Locate => self.on_locate(from, &packet),
            Kind::HereIs => self.on_here_is(from, &repr, &packet),
            Kind::JoinReq | Kind::LeaveReq => {
                self.on_membership_request(endpoint, &repr, &packet);
            }
            Kind::Join => self.on_join(&repr, &packet),
            Kind::Leave => self.on_leave(&repr, &packet),
            Kind::BcastReq => self.on_request(endpoint, &repr, message),
            Kind::Bcast => self.on_broadcast(&repr, message),
            Kind::Retrans if self.recovery.is_some() => self.on_retrans_in_recovery(&repr),
            Kind::Retrans if self.sequencer.is_some() => self.on_retrans(&repr),
            Kind::Retrans => self.on_request_wanted(repr.id),
            Kind::Sync if self.recovery.is_some() => self.on_sync_in_recovery(&repr, &packet),
            Kind::Sync => self.on_sync(&repr, &packet),
            Kind::State if self.recovery.is_some() => self.on_state_in_recovery(&repr),
            Kind::State => self.hear_expect(repr.member, repr.expect),
            Kind::AliveReq => self.on_alive_request(&repr),
            Kind::Alive => self.on_alive(&repr),
            Kind::Ack => self.on_ack(&repr),
            Kind::ReformReq => self.on_reform_req(&repr, &packet),
            Kind::Vote => self.on_vote(&repr, &packet),
            Kind::Result => self.on_result(&repr, &packet),
            Kind::ResultAck => self.on_result_ack(&repr),
            Kind::Dead => self.on_dead(&repr),
        }
    }

    /// The deadline that `poll_timeout` named has come (or an earlier one; then nothing happens).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_clock(now);
        while let Some((timer, due)) = self.timers.take_due(now) {
            match timer {
                Timer::LocateAgain => self.on_locate_again(),
                Timer::ResendRequest => self.on_resend(),
                Timer::AskAgain => self.on_ask_again(),
                Timer::Synchronise => self.on_synchronise(),
                Timer::Probe => self.on_probe(due),
                Timer::AskForAcks => self.on_ask_for_acks(),
                Timer::Recover => self.on_recover(),
                Timer::FreeLeaver => self.on_free_leaver(),
            }
        }
    }

    // Out.

    /// The next change of what FLIP must listen to. An address is not given up before the messages
    /// that leave from it are taken.
    pub fn poll_registration(&mut self) -> Option<Registration> {
        let gives_up = matches!(
            self.registrations.front(),
            Some(Registration::Unregister { .. })
        );
        if gives_up && !self.transmits.is_empty() {
            return None;
        }
        self.registrations.pop_front()
    }

    /// The next event. Own affairs first, then the total order as far as the delivery queue takes
    /// it; taking a delivery is what acknowledges it, so it may cause transmits.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| self.poll_ordered())
    }

    /// The next event of this member's own affairs, for an owner that keeps them apart from the
    /// total order: they come whether or not its delivery queue is full.
    pub fn poll_affair(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    // What can be asked.

    /// Who we are; meaningful once entered.
    pub fn me(&self) -> MemberIndex {
        self.me
    }

    /// Our public FLIP address.
    pub fn address(&self) -> FlipAddress {
        self.address
    }

    /// Who numbers.
    pub fn sequencer(&self) -> MemberIndex {
        self.view.sequencer
    }

    /// Whether that is us.
    pub fn is_sequencer(&self) -> bool {
        self.sequencer.is_some()
    }

    /// The members as of the last number received, ourselves included.
    pub fn members(&self) -> Vec<MemberIndex> {
        self.view.members().collect()
    }

    /// A member's public FLIP address.
    pub fn address_of(&self, member: MemberIndex) -> Option<FlipAddress> {
        Some(self.view.get(member)?.address)
    }

    /// The first number not yet received in order.
    pub fn next(&self) -> SeqNo {
        self.history.next()
    }

    /// The next number that `poll_event` will hand out.
    pub fn expect(&self) -> SeqNo {
        self.delivery.expect
    }

    /// The lowest number kept in the history.
    pub fn lowest_kept(&self) -> SeqNo {
        self.history.lowest()
    }

    /// Requests without their number yet.
    pub fn outstanding(&self) -> usize {
        self.sender.outstanding()
    }

    /// Whether this member is in the group and may send.
    pub fn is_inside(&self) -> bool {
        matches!(self.phase, Phase::Inside)
    }

    /// Whether this member is done and may be dropped.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    // Shared by the parts.

    pub(crate) fn advance_clock(&mut self, now: Instant) {
        // A thread that read its clock before it got the owner's lock may come a little late.
        self.now = self.now.max(now);
    }

    fn gate(&self) -> Gate<'_> {
        Gate {
            rules: self.config.rules,
            stage: match self.phase {
                Phase::Locating(_) => Stage::Locating,
                Phase::Joining { .. } => Stage::Joining,
                Phase::Gone => Stage::Gone,
                _ if self.recovery.is_some() => Stage::Recovering,
                Phase::Inside | Phase::Leaving | Phase::Left => Stage::Inside,
            },
            incarnation: self.incarnation,
            is_sequencer: self.sequencer.is_some(),
            numberer: self.numberer_address(),
            leader: self.led_by(),
            view: &self.view,
        }
    }

    pub(crate) fn sequencer_address(&self) -> FlipAddress {
        self.view
            .get(self.view.sequencer)
            .map_or(FlipAddress::NULL, |peer| peer.address)
    }

    /// Whose messages with numbers we take: the sequencer's, or in recovery those of whom we asked.
    fn numberer_address(&self) -> FlipAddress {
        if self.recovery.is_none() {
            return self.sequencer_address();
        }
        let from = self.fetched_from().and_then(|from| self.view.get(from));
        from.map_or(FlipAddress::NULL, |peer| peer.address)
    }

    /// Asks for something missing whoever has it.
    pub(crate) fn tell_numberer(&mut self, repr: Repr) {
        if self.recovery.is_none() {
            return self.tell_sequencer(repr, |_| {});
        }
        let to = self.numberer_address();
        if !to.is_null() {
            self.unicast(to, repr, |_| {});
        }
    }

    /// The addresses of a new group.
    pub(crate) fn draw_addresses(&mut self) -> (FlipAddress, FlipAddress) {
        let a = FlipAddress::random(&mut self.rng);
        (a, FlipAddress::random(&mut self.rng))
    }

    pub(crate) fn register(&mut self, endpoint: Endpoint, private: FlipAddress) {
        let registration = Registration::Register { endpoint, private };
        self.registrations.push_back(registration);
    }

    pub(crate) fn unregister(&mut self, endpoint: Endpoint) {
        let registration = Registration::Unregister { endpoint };
        self.registrations.push_back(registration);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A header of ours; the caller fills in what its kind needs.
    pub(crate) fn header(&self, kind: Kind) -> Repr {
        Repr {
            kind,
            member: self.me,
            incarnation: self.incarnation,
            seq: SeqNo::NONE,
            id: MessageId::NONE,
            expect: self.expect_to_tell(),
        }
    }

    pub(crate) fn transmit(
        &mut self,
        from: Endpoint,
        to: Destination,
        repr: Repr,
        emit_body: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut message = Vec::with_capacity(GROUP_HEADER_SIZE + HEADER_SIZE);
        if matches!(to, Destination::Broadcast { .. }) {
            message.extend(BROADCAST_SELECTOR.to_be_bytes());
        }
        message.extend(repr.emit(Order::Little));
        emit_body(&mut message);
        self.stats.sent(repr.kind);
        self.transmits.push_back(Transmit { from, to, message });
    }

    pub(crate) fn unicast(
        &mut self,
        to: FlipAddress,
        repr: Repr,
        emit_body: impl FnOnce(&mut Vec<u8>),
    ) {
        self.transmit(Endpoint::Member, Destination::Unicast(to), repr, emit_body);
    }

    /// Sends to the sequencer; every such message tells it how far we are.
    pub(crate) fn tell_sequencer(&mut self, repr: Repr, emit_body: impl FnOnce(&mut Vec<u8>)) {
        self.receiver.spoke(repr.expect);
        self.unicast(self.sequencer_address(), repr, emit_body);
    }

    /// Ends everything: nothing is answered from here on.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Gone;
        self.timers.clear_all();
        self.liveness.forget_all();
        self.unregister(Endpoint::Member);
        if self.recovery.take().is_some() {
            self.unregister_group();
        }
        if self.sequencer.is_some() {
            self.unregister(Endpoint::ToAll);
            self.unregister(Endpoint::Everybody);
        }
        self.event(Event::Closed);
    }
}

/// The bounds of a history under this configuration.
pub(crate) fn bounds(config: &Config) -> Bounds {
    Bounds {
        messages_max: config.history_messages_max(),
        accepted_max: config.accepted_messages_max(),
        bytes_max: config.history_bytes_max,
        entry_max: Entry::cost_max(config.message_bytes_max().max(config.table_bytes_max())),
    }
}

fn parse(message: &[u8]) -> Result<(Packet<'_>, Repr), Mark> {
    use crate::wire::WireError;
    let parsed = Packet::new_checked(message).and_then(|packet| {
        let repr = Repr::parse(&packet)?;
        Ok((packet, repr))
    });
    parsed.map_err(|error| match error {
        WireError::Kind(_) | WireError::Flags(_) => Mark::UnknownKind,
        WireError::Short { .. } | WireError::Body(_) => Mark::Malformed,
    })
}
