//! Phase 2: the new group, proposed, acknowledged by all, entered.
//!
//! A result is decided when every member of the new group has acknowledged it. It has a place in the
//! order like any message; its number is the first one behind what all have stored.
//!
//! Implements: [Thesis §3.4.3] phase 2, Fig. 3.18 (c); [Amoeba5] §3.8 RESULT.
//! Differs: see the module above.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use capability::{Header, Order as ByteOrder};
use flip_net::address::FlipAddress;

use super::Role;
use super::election::Step;
use crate::event::{Endpoint, Event};
use crate::history::{Body, Entry, Method};
use crate::member::{GroupAddresses, Member, Phase};
use crate::seq::{Incarnation, MemberIndex, MessageId, SeqNo};
use crate::sequencer::Sequencer;
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::{Ballot, Kind, Packet, Repr, ResultTable, SlotState};

/// The message id of a RESULT that says: too few have voted.
pub(super) const TOO_FEW: MessageId = MessageId::NONE;
/// The message id of a RESULT that says: the group has gone on without all of us.
pub(super) const EXPELLED: MessageId = MessageId::FIRST;

/// A result that we have acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(super) ballot: Ballot,
    pub(super) table: Arc<ResultTable>,
    seq: SeqNo,
    id: MessageId,
}

impl Member {
    // The coordinator.

    /// Proposes the new group to all that voted.
    pub(super) fn propose(&mut self, members: &[MemberIndex]) {
        let slots = self.new_slots(members);
        let (private_a, private_b) = self.draw_addresses();
        let me = self.me;
        let id = self.sender.last().next();
        let seq = if planted!(self, MisplaceResult) {
            self.history.next()
        } else {
            self.history.stored()
        };
        let incarnation = self.incarnation.value().wrapping_add(1);
        let port = self.config.port;
        let recovery = self.recovering();
        let header = recovery
            .order
            .map_or(Header::to(port), |order| order.header);
        let Role::Coordinator(coordinator) = &recovery.role else {
            return;
        };
        let ballot = coordinator.ballot;
        let table = ResultTable {
            header,
            slots,
            private_a,
            private_b,
            total: members.len() as u16,
            sequencer: me,
            incarnation,
            round: ballot.round,
        };
        self.stats.mark(Mark::ResultProposed);
        self.prepare(Prepared {
            ballot,
            table: table.into(),
            seq,
            id,
        });
        self.set_step(Step::Confirming {
            acknowledged: BTreeSet::new(),
        });
        self.repeat_result();
        self.go_on();
    }

    /// Every slot: who goes on, and who is taken for crashed.
    fn new_slots(&mut self, members: &[MemberIndex]) -> Vec<(SlotState, MessageId)> {
        let mut removed: BTreeSet<MemberIndex> = self.view.iter().map(|(m, _)| m).collect();
        for (_, member, _, body) in self.tail() {
            if matches!(body, Body::Join(_)) {
                removed.insert(member);
            }
        }
        let leaving = self.leavers_in_tail();
        removed.retain(|member| !leaving.contains(member));
        let mut last: BTreeMap<MemberIndex, MessageId> = BTreeMap::new();
        if let Some(coordinator) = self.coordinator() {
            removed.retain(|member| !coordinator.votes.contains_key(member));
            last.extend(
                coordinator
                    .votes
                    .iter()
                    .map(|(&voter, vote)| (voter, vote.last)),
            );
        }
        last.insert(self.me, self.sender.last().next());
        let slots = (0..self.config.members_max).map(MemberIndex::new);
        let slot = |member| {
            let state = match member {
                _ if members.contains(&member) => SlotState::Member,
                _ if removed.contains(&member) => SlotState::Leaving,
                _ => SlotState::Unused,
            };
            (state, last.get(&member).copied().unwrap_or_default())
        };
        slots.map(slot).collect()
    }

    pub(super) fn repeat_result(&mut self) {
        let Some(prepared) = self.recovering().prepared.clone() else {
            return;
        };
        let unheard: Vec<MemberIndex> = match self.coordinator() {
            Some(coordinator) => match &coordinator.step {
                Step::Confirming { acknowledged } => {
                    let voters = coordinator.votes.keys().copied();
                    voters
                        .filter(|voter| !acknowledged.contains(voter))
                        .collect()
                }
                _ => return,
            },
            None => return,
        };
        for member in unheard {
            if let Some(address) = self.address_of(member) {
                let mut repr = self.header(Kind::Result);
                repr.seq = prepared.seq;
                repr.id = prepared.id;
                let table = Arc::clone(&prepared.table);
                self.unicast(address, repr, |message| {
                    message.extend(table.emit(ByteOrder::Little));
                });
            }
        }
    }

    /// Tells all that voted that nothing comes of it: for now, or for good.
    pub(super) fn tell_failed(&mut self, verdict: MessageId) {
        let voters: Vec<MemberIndex> = self
            .coordinator()
            .map(|coordinator| coordinator.votes.keys().copied().collect())
            .unwrap_or_default();
        for member in voters {
            if let Some(address) = self.address_of(member) {
                let mut repr = self.header(Kind::Result);
                repr.id = verdict;
                self.unicast(address, repr, |_| {});
            }
        }
    }

    pub(crate) fn on_result_ack(&mut self, repr: &Repr) {
        self.note_expect_in_recovery(repr);
        let Some(coordinator) = self.coordinator() else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        if coordinator.ballot.round != repr.id.value() {
            return self.stats.mark(Mark::OutOfPhase);
        }
        if let Step::Confirming { acknowledged } = &mut coordinator.step {
            acknowledged.insert(repr.member);
            self.take_heart();
            self.go_on();
        }
    }

    /// All have acknowledged.
    pub(super) fn decide(&mut self) {
        if let Some(prepared) = self.recovering().prepared.take() {
            self.stats.mark(Mark::ResultDecided);
            self.enter_new_group(prepared);
        }
    }

    // The cohort.

    pub(crate) fn on_result(&mut self, repr: &Repr, packet: &Packet<'_>) {
        let stored = self.history.stored();
        let recovery = self.recovering();
        let promised = recovery.promised;
        let follows = matches!(recovery.role, Role::Cohort(member) if member == repr.member);
        let ballot = promised.filter(|ballot| follows && ballot.coordinator == repr.member);
        let Some(ballot) = ballot else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        if repr.seq == SeqNo::NONE {
            if repr.id == EXPELLED {
                return self.leave_expelled();
            }
            return self.on_failed_reset();
        }
        let Ok(table) = ResultTable::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        let fits = table.slots.len() == usize::from(self.config.members_max)
            && table.sequencer == repr.member
            && table.incarnation == self.incarnation.value().wrapping_add(1);
        if !fits {
            return self.stats.mark(Mark::Malformed);
        }
        if table.round != ballot.round || repr.seq != stored {
            return self.stats.mark(Mark::OutOfPhase);
        }
        let prepared = Prepared {
            ballot,
            table: table.into(),
            seq: repr.seq,
            id: repr.id,
        };
        self.take_heart();
        let known = self
            .recovering()
            .prepared
            .as_ref()
            .map(|known| known.ballot);
        if known != Some(ballot) {
            self.stats.mark(Mark::ResultPrepared);
            self.prepare(prepared);
        }
        let Some(address) = self.address_of(repr.member) else {
            return;
        };
        let mut answer = self.header(Kind::ResultAck);
        answer.seq = repr.seq;
        answer.id = MessageId::new(ballot.round);
        self.unicast(address, answer, |_| {});
    }

    fn on_failed_reset(&mut self) {
        let place = self.place_among_living() + 1;
        let wait = self.config.timing.reset_max.times(place);
        let at = self.now + wait;
        let recovery = self.recovering();
        recovery.role = Role::Idle;
        if recovery.left {
            // Somebody may try again, but there is no owner to wait for.
            let patience = self.config.timing.silence_max;
            self.timers.set(Timer::Recover, self.now + patience);
        } else if recovery.asked {
            // Ours may reach more members; or it fails in its turn, and the owner hears of it.
            self.timers.set(Timer::Recover, at);
        } else {
            recovery.order = None;
            self.timers.clear(Timer::Recover);
        }
    }

    /// Keeps a result, and listens to the group that may come of it.
    fn prepare(&mut self, prepared: Prepared) {
        let table = &prepared.table;
        let (a, b) = (table.private_a, table.private_b);
        if table.sequencer != self.me && !planted!(self, KeepOldAddress) {
            self.register(Endpoint::FromSequencer, a);
        }
        self.register(Endpoint::ToAll, b);
        self.recovering().prepared = Some(prepared);
    }

    /// Somebody speaks in the incarnation whose result we have acknowledged: it was decided.
    pub(crate) fn enter_if_decided(&mut self, from: FlipAddress, repr: &Repr) {
        let Some(prepared) = self.recovery.as_ref().and_then(|r| r.prepared.as_ref()) else {
            return;
        };
        let speaks_for_it = self.next_incarnation(&prepared.table) == repr.incarnation
            && self
                .view
                .by_address(from)
                .is_some_and(|member| prepared.table.has(member));
        if speaks_for_it {
            let prepared = prepared.clone();
            self.stats.mark(Mark::ResultHeard);
            self.enter_new_group(prepared);
        }
    }

    /// Our own earlier result, if it may have been decided by who is not heard any more: everybody in
    /// it that is has acknowledged it. Otherwise it is dropped for good.
    pub(super) fn take_possibly_decided(&mut self) -> Option<Prepared> {
        let (me, ballot) = (self.me, self.recovering().promised);
        let prepared = self.recovering().prepared.take()?;
        if Some(prepared.ballot) == ballot {
            return None;
        }
        let coordinator = self.coordinator()?;
        // Who proposed it knows that it was not.
        let is_own = prepared.ballot.coordinator == me;
        let all_have_it = !is_own
            && coordinator.votes.iter().all(|(&voter, vote)| {
                voter == me || !prepared.table.has(voter) || vote.prepared == Some(prepared.ballot)
            });
        if all_have_it {
            return Some(prepared);
        }
        self.stats.mark(Mark::ResultDropped);
        self.unregister_group();
        None
    }

    /// Enters the group of a result whose coordinator is gone, and forms the next one.
    pub(super) fn adopt_and_begin_again(&mut self, decided: Prepared) {
        self.stats.mark(Mark::ResultAdopted);
        let (asked, order) = {
            let recovery = self.recovering();
            (recovery.asked, recovery.order)
        };
        let gone = decided.table.sequencer;
        self.enter_new_group(decided);
        self.enter_recovery(Some(gone));
        if let Some(recovery) = &mut self.recovery {
            recovery.asked |= asked;
            recovery.order = order;
            self.begin_invitation();
        }
    }

    // Everybody.

    /// Everything stored is official, and so is the result behind it.
    fn enter_new_group(&mut self, decided: Prepared) {
        if self.recovering().left {
            return self.finish_leaving();
        }
        self.recovery = None;
        self.timers.clear(Timer::Recover);
        if planted!(self, DropTail) && decided.table.sequencer != self.me {
            self.history.drop_tail();
        }
        self.history.make_official(decided.seq);
        self.advance();
        if matches!(self.phase, Phase::Left) {
            return;
        }
        self.fail_outstanding();
        if decided.table.sequencer == self.me {
            // The result is a message of ours.
            self.sender.take_id(decided.id);
        }
        self.history.append_result(Entry {
            member: decided.table.sequencer,
            id: decided.id,
            // It tells nothing of how far its sender's application is.
            expect: self.history.lowest(),
            method: Method::Pb,
            body: Some(Body::Reset(Arc::clone(&decided.table))),
            answered: None,
        });
        self.history.make_official(decided.seq.next());
        self.advance();
        self.resume(&decided.table);
    }

    fn next_incarnation(&self, table: &ResultTable) -> Incarnation {
        self.incarnation.next(table.number())
    }

    /// The group is another one from this number on.
    pub(crate) fn on_reset_sequenced(&mut self, seq: SeqNo, table: &ResultTable) {
        self.stats.mark(Mark::GroupReset);
        let lowest = self.history.lowest();
        let known: Vec<MemberIndex> = self.view.iter().map(|(member, _)| member).collect();
        for member in known {
            if !table.has(member) {
                self.view.free(member);
            } else if let Some(peer) = self.view.get_mut(member) {
                peer.state = PeerState::Member;
                // What had no number has failed.
                peer.id = if planted!(self, ForgetIds) {
                    MessageId::NONE
                } else {
                    table.last_id(member)
                };
                // Everybody who goes on has all of it.
                peer.stored = seq.next();
                peer.since = lowest;
            }
        }
        self.view.sequencer = table.sequencer;
        self.incarnation = self.next_incarnation(table);
        let (a, b) = (table.private_a, table.private_b);
        self.addresses = GroupAddresses::new(a, b, &self.config);
    }

    /// Normal operation again.
    fn resume(&mut self, table: &ResultTable) {
        self.receiver = self.receiver.at_rest(self.history.next());
        self.timers.clear_all();
        if table.sequencer == self.me {
            self.sequencer = Some(Sequencer::new(&self.config));
            self.register(Endpoint::Everybody, FlipAddress::NULL);
            let members: Vec<MemberIndex> = self.view.members().collect();
            for member in members {
                if member != self.me {
                    self.watch(member);
                }
            }
            self.begin_numbering();
        } else {
            self.watch(table.sequencer);
        }
        if matches!(self.phase, Phase::Leaving) {
            self.begin_request(crate::member::Request::Leave);
        }
    }

    /// What had no number when the group broke has none for good; a leave is asked for again.
    pub(super) fn fail_outstanding(&mut self) {
        if planted!(self, ReuseIds) {
            let last = self.view.get(self.me).map_or(MessageId::NONE, |p| p.id);
            self.sender.reuse_ids_behind(last);
        }
        let ids = if planted!(self, KeepOutstanding) {
            self.sender.outstanding_ids()
        } else {
            self.sender.fail_all()
        };
        for id in ids {
            self.stats.mark(Mark::SendFailed);
            self.event(Event::SendFailed { id });
        }
    }
}
