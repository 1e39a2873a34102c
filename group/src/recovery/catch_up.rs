//! Between the phases: all that vote come to have the same history.
//!
//! The coordinator asks the best voter for what it lacks, then tells every voter that is behind up to
//! which number to fetch from the coordinator; STATE says that it has. The messages are those of
//! normal operation, asked for and repeated by the same code, in the old incarnation; what was
//! tentative stays so.
//!
//! Implements: [Thesis §3.4.3] phase 2, Fig. 3.18 (c); [Amoeba5] §3.8.

use std::collections::BTreeSet;

use capability::Order as ByteOrder;
use flip_net::address::FlipAddress;

use super::Role;
use super::election::Step;
use super::result::Prepared;
use crate::history::Body;
use crate::member::Member;
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::wire::{self, Kind, Packet, Repr};

impl Member {
    /// Asks the best voter for what we lack; false if nobody has more than we.
    pub(super) fn begin_fetching(&mut self) -> bool {
        let stored = self.history.stored();
        let Some(coordinator) = self.coordinator() else {
            return false;
        };
        let ahead = coordinator
            .votes
            .iter()
            .filter(|(_, vote)| vote.stored.is_after(stored));
        let best = ahead.reduce(|a, b| {
            if b.1.stored.is_after(a.1.stored) {
                b
            } else {
                a
            }
        });
        let Some((from, goal)) = best.map(|(member, vote)| (*member, vote.stored)) else {
            return false;
        };
        self.stats.mark(Mark::HistoryFetched);
        self.set_step(Step::Fetching { from });
        self.fetch_below(goal);
        true
    }

    /// Brings the voters that are behind up to date; false if none is.
    pub(super) fn begin_updating(&mut self) -> bool {
        if self.behind().is_empty() {
            return false;
        }
        self.set_step(Step::Updating);
        self.repeat_updates();
        true
    }

    fn behind(&mut self) -> Vec<MemberIndex> {
        let stored = self.history.stored();
        self.coordinator().map_or(Vec::new(), |coordinator| {
            let voters = coordinator.votes.iter();
            let behind = voters.filter(|(_, vote)| vote.stored != stored);
            behind.map(|(member, _)| *member).collect()
        })
    }

    pub(super) fn repeat_updates(&mut self) {
        for member in self.behind() {
            let Some(address) = self.address_of(member) else {
                continue;
            };
            self.stats.mark(Mark::VoterUpdated);
            let mut repr = self.header(Kind::Sync);
            repr.seq = self.history.stored();
            repr.id = self.coordinated_round();
            let list = wire::emit_sync_list(&[member], ByteOrder::Little);
            self.unicast(address, repr, |message| message.extend(list));
        }
    }

    /// Our coordinator says how far we must come.
    pub(crate) fn on_sync_in_recovery(&mut self, repr: &Repr, packet: &Packet<'_>) {
        if wire::parse_sync_list(packet).is_err() {
            return self.stats.mark(Mark::Malformed);
        }
        let recovery = self.recovering();
        let follows = matches!(recovery.role, Role::Cohort(member) if member == repr.member);
        let round = recovery.promised.map(|ballot| ballot.round);
        if !follows || round != Some(repr.id.value()) {
            return self.stats.mark(Mark::OutOfPhase);
        }
        let promised = recovery.promised;
        let is_earlier = |prepared: &mut Prepared| Some(prepared.ballot) != promised;
        // A coordinator that goes on has found that an earlier result was not decided.
        if recovery.prepared.take_if(is_earlier).is_some() {
            self.stats.mark(Mark::ResultDropped);
            self.unregister_group();
        }
        self.take_heart();
        self.fetch_below(repr.seq);
        self.on_stored_in_recovery();
    }

    /// More of the history has come in.
    pub(crate) fn on_stored_in_recovery(&mut self) {
        let Some(recovery) = &self.recovery else {
            return;
        };
        match recovery.role {
            Role::Idle => {}
            Role::Coordinator(_) => {
                self.take_heart();
                self.go_on();
            }
            Role::Cohort(coordinator) => {
                let stored = self.history.stored();
                let (true, Some(address)) =
                    (self.receiver.has_all(stored), self.address_of(coordinator))
                else {
                    return;
                };
                let mut repr = self.header(Kind::State);
                repr.seq = stored;
                self.unicast(address, repr, |_| {});
            }
        }
    }

    /// A voter says how far it is.
    pub(crate) fn on_state_in_recovery(&mut self, repr: &Repr) {
        self.note_expect_in_recovery(repr);
        let stored = self.history.stored();
        let Some(coordinator) = self.coordinator() else {
            return;
        };
        if !matches!(coordinator.step, Step::Updating) || repr.seq.is_after(stored) {
            return;
        }
        if let Some(vote) = coordinator.votes.get_mut(&repr.member) {
            vote.stored = vote.stored.latest(repr.seq);
            self.take_heart();
            self.go_on();
        }
    }

    /// Somebody who recovers lacks something that we have.
    pub(crate) fn on_retrans_in_recovery(&mut self, repr: &Repr) {
        self.note_expect_in_recovery(repr);
        let waits = self
            .coordinator()
            .is_some_and(|coordinator| matches!(coordinator.step, Step::Updating));
        if waits {
            self.take_heart();
        }
        self.answer_retrans(repr);
    }

    /// Who gives us what is missing: nobody, but whom we have asked.
    pub(crate) fn fetched_from(&self) -> Option<MemberIndex> {
        match &self.recovery.as_ref()?.role {
            Role::Idle => None,
            Role::Cohort(coordinator) => Some(*coordinator),
            Role::Coordinator(coordinator) => match coordinator.step {
                Step::Fetching { from } => Some(from),
                _ => None,
            },
        }
    }

    /// Who may ask how far we are.
    pub(crate) fn led_by(&self) -> FlipAddress {
        let leader = match self.recovery.as_ref().map(|recovery| &recovery.role) {
            Some(Role::Cohort(coordinator)) => *coordinator,
            Some(_) => return FlipAddress::NULL,
            None => return self.sequencer_address(),
        };
        self.address_of(leader).unwrap_or(FlipAddress::NULL)
    }

    /// Every message tells how far its sender's application is.
    pub(super) fn note_expect_in_recovery(&mut self, repr: &Repr) {
        let stored = self.history.stored();
        if repr.expect.is_after(stored) {
            return;
        }
        if let Some(peer) = self.view.get_mut(repr.member) {
            peer.expect = peer.expect.latest(repr.expect);
        }
    }

    /// Whose leave has a number that is still tentative.
    pub(super) fn leavers_in_tail(&self) -> BTreeSet<MemberIndex> {
        self.tail()
            .filter_map(|(_, member, _, body)| matches!(body, Body::Leave(_)).then_some(member))
            .collect()
    }

    /// What is stored and not delivered to anybody: number, sender, id, content.
    pub(super) fn tail(&self) -> impl Iterator<Item = (SeqNo, MemberIndex, MessageId, &Body)> {
        let (next, stored) = (self.history.next(), self.history.stored());
        (0..stored.distance(next)).filter_map(move |offset| {
            let seq = next.plus(offset);
            let entry = self.history.get(seq)?;
            Some((seq, entry.member, entry.id, entry.body.as_ref()?))
        })
    }
}
