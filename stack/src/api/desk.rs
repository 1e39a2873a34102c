//! The desk: a stack, and everybody who waits for something of it.
//!
//! A machine around [`Stack`], behind the same lock. Operations are polled, like futures; one that
//! has to wait leaves its waker here, under what it waits for. After every mutation of the stack
//! the desk looks at what has happened and gives out the wakers of those concerned. Deliveries stay
//! in the stack's queue until somebody receives: a blocked sender takes none, and back-pressure
//! is what it is without a desk.
//!
//! Deadlines of operations are deadlines of this machine; nobody needs a timer of its own.
//!
//! Implements: DESIGN 6, blocked callers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Poll, Waker};

use flip_net::address::{LinkAddress, NetworkId};
use flip_net::time::Instant;
use flip_net::{Frame, Listen, Machine};
use group::{LostReason, MemberIndex, MessageId, SeqNo};
use rpc::{Event, ReplyOutcome, ServerId, TransactionId};

use super::error::{End, Waits};
use crate::driver::Driven;
use crate::event::Delivery;
use crate::stack::Stack;

/// Outcomes that nobody has fetched and are kept.
const KEPT_MAX: usize = 1_024;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// The outcome of a broadcast.
    Outcome(u32),
    /// That a broadcast can be sent.
    Room,
    /// A delivery.
    Delivery,
    /// That the state of the group changes: entered, broken, reset, left.
    State,
    /// The outcome of a transaction.
    Transaction(TransactionId),
    /// A request for a server, or the end of its turn.
    Server(ServerId),
}

/// Which operation waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Sleeper {
    waker: Waker,
    deadline: Option<Instant>,
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed(SeqNo),
    Failed,
}

/// How far a server's turn is.
#[derive(Debug)]
pub(crate) enum Turn {
    Waiting,
    Requested(Event),
    Serving { is_signalled: bool },
    Done(ReplyOutcome),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) stack: Stack,
    next_ticket: u64,
    sleepers: BTreeMap<(Interest, Ticket), Sleeper>,
    alarms: BTreeSet<(Instant, Interest, Ticket)>,
    to_wake: VecDeque<Waker>,
    /// Whether the group was broken, and whether somebody was resetting it.
    health: (bool, bool),

    pub(crate) has_entered: bool,
    /// Why nothing more comes from the group.
    pub(crate) end: Option<End>,
    /// The own leave has its place in the order, or the owner wants nothing more.
    pub(crate) has_left: bool,
    /// Whether deliveries are dropped: the owner leaves and receives no more.
    pub(crate) is_leaving: bool,
    /// Broadcasts under way, and those whose outcome somebody may still ask for.
    outcomes: BTreeMap<u32, Option<Outcome>>,
    /// Those of them that nobody waits for, oldest first.
    kept: VecDeque<u32>,
    /// Who was lost since the last reset that was received.
    pub(crate) lost: Vec<(MemberIndex, LostReason)>,
    /// Resets of ours that found too few, and what the last of them found.
    pub(crate) resets_failed: (u64, usize, u16),
    /// Who receives: one at a time.
    pub(crate) receiver: Option<Ticket>,

    pub(crate) transactions: BTreeMap<TransactionId, Option<Event>>,
    pub(crate) turns: BTreeMap<ServerId, Turn>,
}

impl Desk {
    pub(crate) fn new(mut stack: Stack, now: Instant) -> Desk {
        stack.separate_affairs(now);
        let mut desk = Desk {
            stack,
            next_ticket: 0,
            sleepers: BTreeMap::new(),
            alarms: BTreeSet::new(),
            to_wake: VecDeque::new(),
            health: (false, false),
            has_entered: false,
            end: None,
            has_left: false,
            is_leaving: false,
            outcomes: BTreeMap::new(),
            kept: VecDeque::new(),
            lost: Vec::new(),
            resets_failed: (0, 0, 0),
            receiver: None,
            transactions: BTreeMap::new(),
            turns: BTreeMap::new(),
        };
        desk.attend(now);
        desk
    }

    /// A number for an operation that may wait.
    pub(crate) fn draw_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// The operation waits: it is woken when something happens that may concern it, or at its
    /// deadline, and then polled again.
    pub(crate) fn sleep<T>(
        &mut self,
        ticket: Ticket,
        interest: Interest,
        deadline: Option<Instant>,
        waker: &Waker,
    ) -> Poll<T> {
        self.rise(ticket, interest);
        let waker = waker.clone();
        self.sleepers
            .insert((interest, ticket), Sleeper { waker, deadline });
        if let Some(at) = deadline {
            self.alarms.insert((at, interest, ticket));
        }
        Poll::Pending
    }

    /// The operation does not wait any more.
    pub(crate) fn rise(&mut self, ticket: Ticket, interest: Interest) {
        if let Some(sleeper) = self.sleepers.remove(&(interest, ticket))
            && let Some(at) = sleeper.deadline
        {
            self.alarms.remove(&(at, interest, ticket));
        }
    }

    /// Wakes everybody who waits for this.
    pub(crate) fn wake(&mut self, interest: Interest) {
        self.wake_range(interest, interest);
    }

    fn wake_range(&mut self, first: Interest, last: Interest) {
        let range = (first, Ticket(0))..=(last, Ticket(u64::MAX));
        let keys: Vec<_> = self.sleepers.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            let sleeper = self.sleepers.remove(&key).expect("it was just seen");
            if let Some(at) = sleeper.deadline {
                self.alarms.remove(&(at, key.0, key.1));
            }
            self.to_wake.push_back(sleeper.waker);
        }
    }

    fn wake_everybody(&mut self) {
        for (_, sleeper) in std::mem::take(&mut self.sleepers) {
            self.to_wake.push_back(sleeper.waker);
        }
        self.alarms.clear();
    }

    /// What the group's member waits for, for an error that says so.
    pub(crate) fn waits(&self) -> Waits {
        Waits(self.stack.member().waits())
    }

    /// A broadcast was sent.
    pub(crate) fn expect_outcome(&mut self, id: MessageId) {
        self.outcomes.insert(id.value(), None);
    }

    /// What became of a broadcast; nothing if it is not known yet, an error if nobody knows of it.
    pub(crate) fn outcome(&self, id: MessageId) -> Result<Option<Outcome>, ()> {
        self.outcomes.get(&id.value()).copied().ok_or(())
    }

    /// Nobody will ask any more.
    pub(crate) fn forget_outcome(&mut self, id: MessageId) {
        self.outcomes.remove(&id.value());
    }

    /// Nobody waits, but somebody may ask later.
    pub(crate) fn keep_outcome(&mut self, id: MessageId) {
        self.kept.push_back(id.value());
        if self.kept.len() > KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
    }

    /// Looks at what has happened, after every mutation of the stack.
    pub(crate) fn attend(&mut self, now: Instant) {
        while let Some(affair) = self.stack.poll_affair() {
            self.handle_affair(affair);
        }
        while let Some(event) = self.stack.poll_rpc_event() {
            self.handle_rpc_event(now, event);
        }
        let member = self.stack.member();
        let health = (member.is_recovering(), member.is_resetting());
        if health != self.health {
            self.health = health;
            self.wake_group();
        }
        if self.is_leaving {
            self.drop_deliveries(now);
        }
        if self.stack.has_queued() {
            self.wake(Interest::Delivery);
        }
    }

    /// Everybody but who waits for RPC.
    fn wake_group(&mut self) {
        self.wake_range(Interest::Outcome(0), Interest::State);
    }

    fn handle_affair(&mut self, affair: Delivery) {
        match affair {
            Delivery::Completed { id, seq } => self.settle(id, Outcome::Completed(seq)),
            Delivery::Failed { id } => self.settle(id, Outcome::Failed),
            Delivery::Entered { .. } => {
                self.has_entered = true;
                self.wake_group();
            }
            Delivery::JoinFailed => self.finish(End::NotFound),
            Delivery::Expelled => self.finish(End::Expelled),
            Delivery::Closed => self.finish(End::Left),
            Delivery::Lost { member, reason } => self.lost.push((member, reason)),
            Delivery::ResetFailed {
                members,
                members_min,
            } => {
                self.resets_failed = (self.resets_failed.0 + 1, members, members_min);
                self.wake_group();
            }
            // The rest has a place in the order.
            _ => unreachable!("{affair:?} is not an own affair"),
        }
    }

    /// The first reason is the one that is told.
    pub(crate) fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.wake_group();
    }

    fn settle(&mut self, id: MessageId, outcome: Outcome) {
        if let Some(settled) = self.outcomes.get_mut(&id.value()) {
            *settled = Some(outcome);
        }
        self.wake(Interest::Outcome(id.value()));
        self.wake(Interest::Room);
    }

    fn drop_deliveries(&mut self, now: Instant) {
        let me = self.stack.member().me();
        while let Some(delivery) = self.stack.poll_delivery(now) {
            if matches!(delivery, Delivery::Left { member, .. } if member == me) {
                self.has_left = true;
                self.wake(Interest::State);
            }
        }
        // Taking them may have closed the member.
        while let Some(affair) = self.stack.poll_affair() {
            self.handle_affair(affair);
        }
    }

    fn handle_rpc_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Replied { transaction, .. } | Event::Failed { transaction, .. } => {
                if let Some(waited) = self.transactions.get_mut(&transaction) {
                    *waited = Some(event);
                }
                self.wake(Interest::Transaction(transaction));
            }
            Event::Request { server, .. } => {
                match self.turns.get_mut(&server) {
                    Some(turn) => *turn = Turn::Requested(event),
                    // Who waited has gone in this very moment.
                    None => {
                        self.stack.rpc(now, |rpc, now| rpc.cancel(now, server));
                    }
                }
                self.wake(Interest::Server(server));
            }
            Event::ReplyDone { server, outcome } => {
                if let Some(turn) = self.turns.get_mut(&server) {
                    *turn = Turn::Done(outcome);
                }
                self.wake(Interest::Server(server));
            }
            Event::Signalled { server } => {
                if let Some(Turn::Serving { is_signalled }) = self.turns.get_mut(&server) {
                    *is_signalled = true;
                }
            }
        }
    }
}

impl Machine for Desk {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.stack.handle_frame(now, network, from, frame);
        self.attend(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        self.attend(now);
        while let Some(&(at, interest, ticket)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            if let Some(sleeper) = self.sleepers.remove(&(interest, ticket)) {
                self.to_wake.push_back(sleeper.waker);
            }
        }
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        self.stack.poll_transmit()
    }

    fn poll_listen(&mut self) -> Option<Listen> {
        self.stack.poll_listen()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let alarm = self.alarms.first().map(|(at, ..)| *at);
        [self.stack.poll_timeout(), alarm]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Driven for Desk {
    /// Who is to be woken.
    type Delivery = Waker;

    fn take_delivery(&mut self, _now: Instant) -> Option<Waker> {
        self.to_wake.pop_front()
    }

    fn has_delivery(&self) -> bool {
        !self.to_wake.is_empty()
    }

    fn is_outstanding(&self) -> bool {
        self.stack.is_outstanding()
    }

    fn handle_driver_failure(&mut self) {
        self.end = Some(End::Stopped);
        self.wake_everybody();
    }
}
