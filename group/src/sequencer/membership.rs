//! Joins and leaves, the sequencer's side: slots reserved, freed, and the table that a JOIN carries.
//!
//! Implements: [Thesis §3.3] JoinGroup, LeaveGroup; [Amoeba5] §3.6.
//! Differs: a LEAVE is repeated until the leaver says that it has it.

use capability::{Header, Order};
use flip_net::address::FlipAddress;
use flip_net::time::Instant;

use crate::history::Body;
use crate::member::{Member, Phase};
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::{Peer, PeerState};
use crate::wire::{JoinTable, Kind, LocateBody, Packet, Parameters, TableSlot};

/// How often a leaver without a word is sent its LEAVE before it is taken for gone.
const LEAVE_REPEATS: u64 = 20;

impl Member {
    /// What a join or leave changes; gives who leaves by it.
    pub(super) fn enact(&mut self, seq: SeqNo) -> Option<MemberIndex> {
        let entry = self.history.get(seq)?;
        let member = entry.member;
        match entry.body.as_ref()? {
            Body::Data { .. } | Body::Reset(_) => None,
            Body::Join(_) => {
                self.enact_join(seq, member);
                None
            }
            Body::Leave(_) => {
                self.enact_leave(seq, member);
                Some(member)
            }
        }
    }

    fn enact_join(&mut self, seq: SeqNo, member: MemberIndex) {
        if let Some(peer) = self.view.get_mut(member) {
            peer.state = PeerState::Member;
            // The JOIN itself is kept until the joiner shows that it has it.
            peer.expect = seq;
            peer.stored = seq;
            peer.since = seq;
        }
        let table = self.table(member, seq.next());
        if planted!(self, StaleTable) {
            return self.watch(member);
        }
        if let Some(entry) = self.history.get_mut(seq) {
            entry.body = Some(Body::Join(table.into()));
        }
        self.stats.mark(Mark::MemberJoined);
        self.watch(member);
    }

    fn enact_leave(&mut self, seq: SeqNo, member: MemberIndex) {
        self.stats.mark(Mark::MemberLeft);
        let until = self.now + self.config.timing.linger;
        let is_me = member == self.me;
        if let Some(peer) = self.view.get_mut(member) {
            peer.state = if is_me {
                PeerState::LeftSequencer
            } else {
                PeerState::Leaving { seq, until }
            };
        }
        if !is_me {
            self.liveness.forget(member);
            self.seq_mut().forget(member);
            self.seq_mut().left.insert(member, seq);
            if !self.timers.is_set(Timer::FreeLeaver) {
                self.set_leaver_timer();
            }
        }
    }

    /// The member table as a JOIN tells it.
    pub(super) fn table(&self, joiner: MemberIndex, next: SeqNo) -> JoinTable {
        let slots = self.view.to_slots();
        JoinTable {
            header: Header::to(self.config.port),
            joiner: slots
                .get(joiner.slot())
                .map_or(FlipAddress::NULL, |slot: &TableSlot| slot.address),
            slots,
            private_b: self.addresses.private_b,
            total: self.view.total() as u16,
            sequencer: self.me,
            next,
            incarnation: self.incarnation.value(),
            resilience: u16::from(self.config.resilience),
            large: self.config.large,
        }
    }

    pub(crate) fn on_locate(&mut self, from: FlipAddress, packet: &Packet<'_>) {
        let Ok(body) = LocateBody::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        if body.header.port != self.config.port {
            return;
        }
        if body.address != from {
            return self.stats.mark(Mark::OtherSource);
        }
        match self.reserve(&body) {
            Ok(assigned) => self.tell_here_is(from, assigned),
            Err(mark) => self.stats.mark(mark),
        }
    }

    /// The slot for a joiner: the one it has, or a free one.
    fn reserve(&mut self, body: &LocateBody) -> Result<MemberIndex, Mark> {
        let until = self.now + self.config.timing.silence_max;
        let next = self.history.next();
        if let Some(member) = self.view.by_address(body.address) {
            let peer = self.view.get_mut(member).ok_or(Mark::OutOfPhase)?;
            return match peer.state {
                PeerState::Joining { .. } => {
                    peer.state = PeerState::Joining { until };
                    Ok(member)
                }
                // It is in but does not know, and begins again.
                PeerState::Member if peer.id == MessageId::FIRST => Ok(member),
                _ => Err(Mark::OutOfPhase),
            };
        }
        let member = self.reusable_slot().ok_or(Mark::GroupFull)?;
        self.seq_mut().forget(member);
        let addresses = (body.address, body.rpc_address);
        let state = PeerState::Joining { until };
        self.view.set(member, Peer::new(addresses, state, next));
        Ok(member)
    }

    /// A free slot. Not one whose last owner somebody may still think to be in: the accepts of the
    /// next owner would be taken for the last one's.
    fn reusable_slot(&mut self) -> Option<MemberIndex> {
        let lowest = self.history.lowest();
        let mut free = self.view.free_slots(self.now);
        let left = &self.sequencer.as_ref()?.left;
        free.find(|slot| left.get(slot).is_none_or(|&leave| lowest.is_after(leave)))
    }

    fn tell_here_is(&mut self, to: FlipAddress, assigned: MemberIndex) {
        let parameters = Parameters {
            members_max: self.config.members_max,
            history_log2: u16::from(self.config.history_log2),
            message_log2: u16::from(self.config.message_log2),
            resilience: u16::from(self.config.resilience),
            large: self.config.large,
            assigned,
            sequencer: self.me,
            private_a: self.addresses.private_a,
            private_b: self.addresses.private_b,
        };
        let repr = self.header(Kind::HereIs);
        self.unicast(to, repr, |message| {
            message.extend(parameters.emit(Order::Little));
        });
    }

    /// Sends leavers their LEAVE again, and frees the slots of those that had time enough.
    pub(crate) fn on_free_leaver(&mut self) {
        let leaving: Vec<(MemberIndex, SeqNo, Instant)> = self
            .view
            .iter()
            .filter_map(|(member, peer)| match peer.state {
                PeerState::Leaving { seq, until } => Some((member, seq, until)),
                _ => None,
            })
            .collect();
        for &(member, seq, until) in &leaving {
            if until <= self.now {
                self.stats.mark(Mark::LeaverGone);
                self.view.free(member);
            } else {
                self.stats.mark(Mark::LeaveRepeated);
                self.answer(member, seq);
            }
        }
        if !leaving.is_empty() {
            self.set_leaver_timer();
        }
        self.release();
        self.check_finished();
    }

    fn set_leaver_timer(&mut self) {
        let pause = self.config.timing.linger.divided(LEAVE_REPEATS);
        self.timers.set(Timer::FreeLeaver, self.now + pause);
    }

    /// The own application has left: number on as long as somebody else is there.
    pub(crate) fn begin_userless(&mut self) {
        self.seq_mut().userless = true;
        self.consume_unheard();
        self.check_finished();
        if !self.is_closed() {
            self.stats.mark(Mark::UserlessSequencer);
        }
    }

    pub(super) fn consume_unheard(&mut self) {
        let next = self.history.next();
        self.delivery.expect = next;
        if let Some(peer) = self.view.get_mut(self.me) {
            peer.expect = next;
        }
        self.release();
    }

    pub(super) fn check_finished(&mut self) {
        let others = self.view.iter().any(|(member, peer)| {
            member != self.me && !matches!(peer.state, PeerState::Joining { .. })
        });
        if self.is_userless() && !others && !matches!(self.phase, Phase::Gone) {
            self.close();
        }
    }
}
