//! Words about who is alive, in and around a recovery: DEAD, probes of the coordinator, and answers
//! to those whom the group has left behind.
//!
//! Implements: [Amoeba5] §3.7 DEAD, §3.8 the polls of cohorts.
//! Differs: DEAD also tells of others, and whom the group has gone on without.

use flip_net::address::FlipAddress;
use flip_net::time::Instant;

use super::Role;
use crate::event::{Destination, Endpoint, LostReason};
use crate::member::{Member, Phase};
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::wire::{self, Kind, Repr};

/// The sequence number of an ALIVEREQ of a cohort to its coordinator.
pub(crate) const IN_RECOVERY: SeqNo = SeqNo::new(3);

impl Member {
    /// This member dies and says so: the others need not find out. Nothing is done any more.
    /// [Amoeba5] §3.7
    pub fn die(&mut self, now: Instant) {
        self.advance_clock(now);
        if matches!(self.phase, Phase::Inside | Phase::Leaving) && self.recovery.is_none() {
            self.multicast_dead(MessageId::NONE);
        }
        self.close();
    }

    /// Tells everybody that a member is gone, so that all recover at once.
    pub(super) fn tell_dead(&mut self, member: MemberIndex) {
        self.multicast_dead(wire::dead_id(Some(member)));
    }

    fn multicast_dead(&mut self, about: MessageId) {
        let mut repr = self.header(Kind::Dead);
        repr.id = about;
        let to = Destination::Multicast {
            group: self.addresses.b,
            listeners: self.other_members(),
        };
        self.transmit(Endpoint::Member, to, repr, |_| {});
    }

    pub(crate) fn on_dead(&mut self, repr: &Repr) {
        match wire::told_dead(repr) {
            Some(dead) if dead == repr.member => self.report_lost(dead, LostReason::Died),
            // They have not heard from us for long. We live, but what they number is over.
            Some(dead) if dead == self.me => self.enter_recovery(None),
            Some(dead) => self.report_lost(dead, LostReason::Reported),
            None => self.enter_recovery(None),
        }
    }

    /// Somebody who does not know of the recovery wants to know whether we live.
    pub(crate) fn answer_with_recovery(&mut self, to: FlipAddress) {
        let crashed = self.recovering().crashed.first().copied();
        let mut repr = self.header(Kind::Dead);
        repr.id = wire::dead_id(crashed);
        self.unicast(to, repr, |_| {});
    }

    pub(super) fn probe_coordinator(&mut self, coordinator: MemberIndex) {
        let Some(address) = self.address_of(coordinator) else {
            return self.take_over();
        };
        self.stats.mark(Mark::CoordinatorProbed);
        let mut repr = self.header(Kind::AliveReq);
        repr.seq = IN_RECOVERY;
        self.unicast(address, repr, |_| {});
    }

    /// The round in which we coordinate, to tell a cohort that asks.
    pub(crate) fn coordinated_round(&self) -> MessageId {
        match self.recovery.as_ref().map(|recovery| &recovery.role) {
            Some(Role::Coordinator(coordinator)) => MessageId::new(coordinator.ballot.round),
            _ => MessageId::NONE,
        }
    }

    /// Our coordinator lives, and still is what we take it for.
    pub(crate) fn on_coordinator_alive(&mut self, repr: &Repr) {
        let Some(recovery) = &self.recovery else {
            return;
        };
        let follows = matches!(recovery.role, Role::Cohort(member) if member == repr.member);
        let round = recovery.promised.map(|ballot| ballot.round);
        if follows && round == Some(repr.id.value()) {
            self.take_heart();
        }
    }

    /// A message of another life of the group, not later than ours, from somebody who recovers: who is
    /// still in hears that the new life has begun, who is not hears that, too. False if it is nothing
    /// of the kind.
    pub(crate) fn answers_straggler(&mut self, from: FlipAddress, repr: &Repr) -> bool {
        let is_earlier = self.incarnation.is_after(repr.incarnation);
        let is_other =
            self.incarnation != repr.incarnation && !repr.incarnation.is_after(self.incarnation);
        let recovers = match repr.kind {
            Kind::ReformReq | Kind::Vote | Kind::ResultAck => true,
            Kind::AliveReq => repr.seq == IN_RECOVERY,
            _ => false,
        };
        if !is_other || !recovers || !matches!(self.phase, Phase::Inside | Phase::Leaving) {
            return false;
        }
        if is_earlier && self.view.by_address(from) == Some(repr.member) {
            self.stats.mark(Mark::StragglerTold);
            let answer = self.header(Kind::Alive);
            self.unicast(from, answer, |_| {});
        } else {
            self.stats.mark(Mark::StragglerExpelled);
            let mut answer = self.header(Kind::Dead);
            answer.id = wire::dead_id(Some(repr.member));
            self.unicast(from, answer, |_| {});
        }
        true
    }

    /// Whether a message says that the group has gone on without us.
    pub(crate) fn is_told_out(&self, from: FlipAddress, repr: &Repr) -> bool {
        repr.kind == Kind::Dead
            && repr.incarnation != self.incarnation
            && !self.incarnation.is_after(repr.incarnation)
            && wire::told_dead(repr) == Some(self.me)
            && matches!(self.phase, Phase::Inside | Phase::Leaving)
            && self.address_of(repr.member) == Some(from)
    }

    pub(crate) fn on_told_out(&mut self, member: MemberIndex) {
        self.enter_recovery(None);
        let recovery = self.recovering();
        recovery.expelled_by.insert(member);
        recovery.crashed.insert(member);
        let follows = matches!(recovery.role, Role::Cohort(coordinator) if coordinator == member);
        if follows {
            return self.take_over();
        }
        if let Some(coordinator) = self.coordinator() {
            coordinator.votes.remove(&member);
        }
        self.go_on();
    }
}
