//! Phase 1: who is left, and who leads them.
//!
//! Every member that resets invites all others. Of two invitations the one with the higher round goes
//! first, then the one whose coordinator has stored more, then the one with the lower index; who has
//! promised to follow one answers a lesser one with STOP. A round is one above all that its
//! coordinator has seen, so two results never share a round and a coordinator.
//!
//! Implements: [Thesis §3.4.3] phase 1, Fig. 3.18 (a, b); [Amoeba5] §3.8.
//! Differs: rounds; a living sequencer takes part like everybody else, but for `Rules::Amoeba5`.

use std::collections::{BTreeMap, BTreeSet};

use capability::{Header, Order as ByteOrder};

use super::result::TOO_FEW;
use super::{Order, Role};
use crate::config::Rules;
use crate::member::Member;
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::{Ballot, Kind, Packet, ReformBody, Repr, VOTE_ABORT, VOTE_STOP, VoteBody};

/// What a voter said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    /// The first number that it has not stored.
    pub(super) stored: SeqNo,
    /// The invitation whose result it has acknowledged.
    pub(super) prepared: Option<Ballot>,
    /// The last id that it has used.
    pub(super) last: MessageId,
}

/// How far a coordinator is.
#[derive(Debug)]
pub(super) enum Step {
    /// Waiting for votes.
    Inviting,
    /// Getting what this voter has more than we.
    Fetching { from: MemberIndex },
    /// Waiting until all voters have what we have.
    Updating,
    /// Waiting until all have acknowledged the result.
    Confirming { acknowledged: BTreeSet<MemberIndex> },
}

/// What a coordinator knows.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) ballot: Ballot,
    pub(super) step: Step,
    pub(super) votes: BTreeMap<MemberIndex, Vote>,
}

impl Member {
    /// Becomes coordinator, in a round above all that were seen.
    pub(super) fn begin_invitation(&mut self) {
        if self.leavers_in_tail().contains(&self.me) {
            return self.wait_to_leave();
        }
        let members_min = self.config.auto_reset.unwrap_or(1);
        let header = Header::to(self.config.port);
        let (me, stored) = (self.me, self.history.stored());
        let recovery = self.recovering();
        recovery.order = recovery.own.or(recovery.order);
        recovery.order.get_or_insert(Order {
            header,
            members_min,
        });
        let ballot = Ballot {
            round: recovery.promised.map_or(0, |ballot| ballot.round) + 1,
            stored,
            coordinator: me,
        };
        recovery.promised = Some(ballot);
        recovery.role = Role::Coordinator(Coordinator {
            ballot,
            step: Step::Inviting,
            votes: BTreeMap::new(),
        });
        self.stats.mark(Mark::InvitationBegun);
        self.take_heart();
        for member in self.invited() {
            self.invite(member);
        }
        self.go_on();
    }

    /// Our own leave has a tentative number, so we cannot number for those that stay. They invite us, or
    /// nobody is left.
    fn wait_to_leave(&mut self) {
        let timing = self.config.timing;
        let patience = timing.reset_max.times(u64::from(timing.reset_tries));
        let (now, header) = (self.now, Header::to(self.config.port));
        let recovery = self.recovering();
        let until = recovery.since + patience;
        recovery.role = Role::Idle;
        if now >= until {
            return self.leave_expelled();
        }
        let members_min = recovery.order.map_or(1, |order| order.members_min);
        recovery.order.get_or_insert(Order {
            header,
            members_min,
        });
        self.timers.set(Timer::Recover, until);
    }

    /// Everybody else who may have something or go on, as far as we know.
    pub(super) fn invited(&self) -> Vec<MemberIndex> {
        self.view
            .iter()
            .filter(|&(member, peer)| {
                let counts = matches!(peer.state, PeerState::Member | PeerState::LeftSequencer);
                member != self.me && counts
            })
            .map(|(member, _)| member)
            .collect()
    }

    fn invite(&mut self, member: MemberIndex) {
        let ballot = self.coordinator().map(|coordinator| coordinator.ballot);
        let order = self.recovering().order;
        let (Some(ballot), Some(order), Some(address)) = (ballot, order, self.address_of(member))
        else {
            return;
        };
        let mut repr = self.header(Kind::ReformReq);
        repr.seq = ballot.stored;
        repr.id = MessageId::new(ballot.round);
        let body = ReformBody {
            header: order.header,
            members_min: order.members_min,
        };
        self.unicast(address, repr, |message| {
            message.extend(body.emit(ByteOrder::Little));
        });
    }

    /// Who has been invited and is still expected to answer.
    pub(super) fn awaited(&self) -> Vec<MemberIndex> {
        let mut awaited = self.invited();
        if let Some(recovery) = &self.recovery
            && let Role::Coordinator(coordinator) = &recovery.role
        {
            awaited.retain(|member| {
                !coordinator.votes.contains_key(member) && !recovery.crashed.contains(member)
            });
        }
        awaited
    }

    /// Invites once more who has not answered, crashed or not.
    pub(super) fn repeat_invitations(&mut self) {
        for member in self.awaited() {
            self.stats.mark(Mark::InvitationRepeated);
            self.invite(member);
        }
    }

    /// Somebody wants to form the group anew.
    pub(crate) fn on_reform_req(&mut self, repr: &Repr, packet: &Packet<'_>) {
        let Ok(body) = ReformBody::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        let ballot = Ballot {
            round: repr.id.value(),
            stored: repr.seq,
            coordinator: repr.member,
        };
        if self.recovery.is_none() {
            let wins = self.sequencer.is_some() && self.would_beat(ballot);
            self.enter_recovery(None);
            if self.recovery.is_none() {
                return self.stats.mark(Mark::OutOfPhase);
            }
            if self.config.rules == Rules::Amoeba5 && wins {
                return self.vote(repr.member, VOTE_ABORT, ballot.round, None);
            }
        }
        self.note_expect_in_recovery(repr);
        self.recovering().crashed.remove(&repr.member);
        let order = Order {
            header: body.header,
            members_min: body.members_min,
        };
        self.answer_invitation(ballot, order);
    }

    fn would_beat(&self, ballot: Ballot) -> bool {
        let own = Ballot {
            round: ballot.round,
            stored: self.history.stored(),
            coordinator: self.me,
        };
        own.beats(ballot)
    }

    fn answer_invitation(&mut self, ballot: Ballot, order: Order) {
        let forgets = planted!(self, ForgetPromise);
        let recovery = self.recovering();
        let prefers = match (&recovery.prepared, recovery.promised) {
            // We are in a result that may have been decided, and this coordinator is not.
            (Some(prepared), _) if !prepared.table.has(ballot.coordinator) => Some(prepared.ballot),
            (_, Some(promised)) if promised.beats(ballot) && !forgets => Some(promised),
            _ => None,
        };
        if let Some(preferred) = prefers {
            self.stats.mark(Mark::InvitationStopped);
            return self.vote(ballot.coordinator, VOTE_STOP, ballot.round, Some(preferred));
        }
        if matches!(recovery.role, Role::Coordinator(_)) {
            self.stats.mark(Mark::CoordinatorStepsDown);
        }
        let recovery = self.recovering();
        let again = recovery.promised == Some(ballot);
        recovery.promised = Some(ballot);
        recovery.order = Some(order);
        recovery.role = Role::Cohort(ballot.coordinator);
        let prepared = recovery.prepared.as_ref().map(|prepared| prepared.ballot);
        if !again {
            self.receiver = self.receiver.at_rest(self.history.stored());
        }
        self.take_heart();
        let stored = self.history.stored();
        let stored = if planted!(self, VoteDelivered) {
            self.history.next()
        } else {
            stored
        };
        self.vote(ballot.coordinator, stored, ballot.round, prepared);
    }

    fn vote(&mut self, to: MemberIndex, vote: SeqNo, round: u32, ballot: Option<Ballot>) {
        let Some(address) = self.address_of(to) else {
            return;
        };
        let mut repr = self.header(Kind::Vote);
        repr.seq = vote;
        repr.id = MessageId::new(round);
        let last = self.sender.last();
        let body = VoteBody { last, ballot };
        self.unicast(address, repr, |message| {
            message.extend(body.emit(ByteOrder::Little));
        });
    }

    pub(crate) fn on_vote(&mut self, repr: &Repr, packet: &Packet<'_>) {
        let Ok(VoteBody { last, ballot }) = VoteBody::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        let Some(coordinator) = self.coordinator() else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        if coordinator.ballot.round != repr.id.value() {
            return self.stats.mark(Mark::OutOfPhase);
        }
        match (repr.seq, ballot) {
            (VOTE_ABORT, _) => self.follow(repr.member),
            (VOTE_STOP, Some(preferred)) => self.on_stop(repr.member, preferred),
            (VOTE_STOP, None) => self.stats.mark(Mark::Malformed),
            (stored, prepared) => {
                // Who votes again has only not heard from us; what it has did not change.
                if matches!(coordinator.step, Step::Inviting) {
                    let vote = Vote {
                        stored,
                        prepared,
                        last,
                    };
                    coordinator.votes.insert(repr.member, vote);
                    self.recovering().crashed.remove(&repr.member);
                    self.note_expect_in_recovery(repr);
                    self.take_heart();
                    self.go_on();
                }
            }
        }
    }

    /// A voter prefers another invitation.
    fn on_stop(&mut self, voter: MemberIndex, preferred: Ballot) {
        let recovery = self.recovering();
        let beats = recovery.promised.is_none_or(|own| preferred.beats(own));
        if !beats || preferred.coordinator == self.me {
            // It has acknowledged a result without us in a lesser round, or one of our own.
            self.recovering().crashed.insert(voter);
            return self.go_on();
        }
        self.stats.mark(Mark::CoordinatorStopped);
        self.recovering().promised = Some(preferred);
        self.follow(preferred.coordinator);
    }

    /// Waits for somebody else's result.
    fn follow(&mut self, coordinator: MemberIndex) {
        self.recovering().role = Role::Cohort(coordinator);
        self.take_heart();
    }

    /// The coordinator's next step, as soon as the present one is complete.
    pub(super) fn go_on(&mut self) {
        let stored = self.history.stored();
        let Some(coordinator) = self.coordinator() else {
            return;
        };
        let complete = match &coordinator.step {
            Step::Inviting => self.awaited().is_empty(),
            Step::Fetching { from } => coordinator
                .votes
                .get(from)
                .is_none_or(|vote| !vote.stored.is_after(stored)),
            Step::Updating => coordinator.votes.values().all(|vote| vote.stored == stored),
            Step::Confirming { acknowledged } => coordinator
                .votes
                .keys()
                .all(|voter| acknowledged.contains(voter)),
        };
        let is_early = planted!(self, DecideEarly)
            && matches!(
                self.coordinator().map(|coordinator| &coordinator.step),
                Some(Step::Confirming { acknowledged }) if !acknowledged.is_empty()
            );
        if !complete && !is_early {
            return;
        }
        if matches!(
            self.coordinator().map(|coordinator| &coordinator.step),
            Some(Step::Confirming { .. })
        ) {
            self.decide();
        } else {
            self.conclude();
        }
    }

    /// All that will vote have voted, or what was missing has come.
    pub(super) fn conclude(&mut self) {
        if self.coordinator().is_none() {
            return;
        }
        // What was fetched may have brought members that we did not know of.
        let fresh = self.awaited();
        if !fresh.is_empty() {
            self.set_step(Step::Inviting);
            fresh.into_iter().for_each(|member| self.invite(member));
            return;
        }
        if self.leavers_in_tail().contains(&self.me) {
            self.tell_failed(TOO_FEW);
            return self.wait_to_leave();
        }
        let members = self.new_members();
        let (members_min, told_out) = {
            let recovery = self.recovering();
            let members_min = recovery.order.map_or(1, |order| order.members_min);
            (usize::from(members_min), !recovery.expelled_by.is_empty())
        };
        if told_out && 2 * members.len() <= self.view.total() {
            return self.leave_expelled();
        }
        if members.len() < members_min {
            return self.fail_reset(members.len());
        }
        if let Some(decided) = self.take_possibly_decided() {
            return self.adopt_and_begin_again(decided);
        }
        if !self.begin_fetching() && !self.begin_updating() {
            self.propose(&members);
        }
    }

    /// Who goes on: those that voted and whose applications take part, and we.
    fn new_members(&mut self) -> Vec<MemberIndex> {
        let voters: BTreeSet<MemberIndex> = self
            .coordinator()
            .map(|coordinator| coordinator.votes.keys().copied().collect())
            .unwrap_or_default();
        let leaving = self.leavers_in_tail();
        self.view
            .members()
            .filter(|member| *member == self.me || voters.contains(member))
            .filter(|member| !leaving.contains(member))
            .collect()
    }

    pub(super) fn set_step(&mut self, step: Step) {
        if let Some(coordinator) = self.coordinator() {
            coordinator.step = step;
        }
        self.take_heart();
    }

    /// Sends once more what the present step is waiting for.
    pub(super) fn repeat_step(&mut self) {
        match self.coordinator().map(|coordinator| &coordinator.step) {
            Some(Step::Inviting) => self.repeat_invitations(),
            // What is missing is asked for again by the timer of missing broadcasts.
            Some(Step::Fetching { .. }) | None => {}
            Some(Step::Updating) => self.repeat_updates(),
            Some(Step::Confirming { .. }) => self.repeat_result(),
        }
    }

    /// Whoever the present step is waiting for has crashed.
    pub(super) fn give_up_silent(&mut self) {
        self.stats.mark(Mark::VoterGivenUp);
        let stored = self.history.stored();
        let Some(coordinator) = self.coordinator() else {
            return;
        };
        let voters = |silent: &dyn Fn(&MemberIndex, &Vote) -> bool| -> Vec<MemberIndex> {
            let voters = coordinator.votes.iter();
            voters
                .filter(|(m, vote)| silent(m, vote))
                .map(|(m, _)| *m)
                .collect()
        };
        let (silent, was_proposed) = match &coordinator.step {
            Step::Inviting => (self.awaited(), false),
            Step::Fetching { from } => (vec![*from], false),
            Step::Updating => (voters(&|_, vote| vote.stored != stored), false),
            Step::Confirming { acknowledged } => {
                (voters(&|voter, _| !acknowledged.contains(voter)), true)
            }
        };
        for member in silent {
            if let Some(coordinator) = self.coordinator() {
                coordinator.votes.remove(&member);
            }
            self.recovering().crashed.insert(member);
        }
        if was_proposed {
            // Another result needs another round.
            self.begin_invitation();
        } else {
            self.take_heart();
            self.conclude();
        }
    }
}
