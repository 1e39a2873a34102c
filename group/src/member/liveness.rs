//! Watching others: probes out, answers in, losses reported. The judgement is in `failure`.
//!
//! Implements: [Thesis §3.4.3] first part; [Amoeba5] §3.7.

use flip_net::address::FlipAddress;
use flip_net::time::Instant;

use super::{Member, Phase};
use crate::event::{Destination, Endpoint, LostReason};
use crate::recovery::IN_RECOVERY;
use crate::seq::{MemberIndex, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::{Kind, Repr};

/// The sequence number of an ALIVEREQ that went point to point.
const POINT_TO_POINT: SeqNo = SeqNo::new(1);
/// That of one that went to the group.
const TO_GROUP: SeqNo = SeqNo::new(2);

impl Member {
    /// The owner knows that a member's processor is gone. Reported at once, and once.
    pub fn declare_lost(&mut self, now: Instant, member: MemberIndex) {
        self.advance_clock(now);
        if member != self.me {
            self.report_lost(member, LostReason::Declared);
        }
    }

    /// FLIP could not find this address: a message to it was dropped. Time-outs repair that; only
    /// who has been silent for long anyway is given up at once.
    pub fn handle_undeliverable(&mut self, now: Instant, to: FlipAddress) {
        self.advance_clock(now);
        self.stats.mark(Mark::Undeliverable);
        let Some(member) = self.view.by_address(to) else {
            return;
        };
        let half = self.config.timing.silence_max.divided(2);
        let silence = self.liveness.silence(member, now);
        if silence.is_some_and(|silence| silence >= half) {
            self.report_lost(member, LostReason::Unreachable);
        }
    }

    pub(crate) fn watch(&mut self, member: MemberIndex) {
        self.liveness.watch(member, self.now, &self.config.timing);
        if !self.timers.is_set(Timer::Probe) {
            self.set_probe_timer();
        }
    }

    fn set_probe_timer(&mut self) {
        match self.liveness.next_look() {
            Some(at) => self.timers.set(Timer::Probe, at),
            None => self.timers.clear(Timer::Probe),
        }
    }

    /// Whoever sent this lives.
    pub(crate) fn heard(&mut self, repr: &Repr) {
        let speaker = match repr.kind {
            Kind::Join | Kind::Leave | Kind::Bcast | Kind::Sync => self.view.sequencer,
            Kind::BcastReq | Kind::JoinReq | Kind::LeaveReq if repr.seq != SeqNo::NONE => {
                self.view.sequencer
            }
            _ => repr.member,
        };
        self.liveness.heard(speaker, self.now);
    }

    pub(crate) fn on_probe(&mut self, due: Instant) {
        let timing = self.config.timing;
        let timing = if planted!(self, SuspectEarly) {
            crate::config::Timing {
                silence_max: timing.probe_after,
                probes_min: 0,
                ..timing
            }
        } else {
            timing
        };
        let findings = self.liveness.look(self.now, due, &timing);
        if findings.paused {
            self.stats.mark(Mark::OwnPause);
        }
        for member in findings.lost {
            self.report_lost(member, LostReason::Silent);
        }
        for &(_, again) in &findings.probe {
            self.stats.mark(Mark::ProbeSent);
            if again {
                self.stats.mark(Mark::ProbeRepeated);
            }
        }
        let total = self.view.total();
        if findings.probe.len() > 1 && findings.probe.len() > total / 4 {
            self.probe_group();
        } else {
            for (member, _) in findings.probe {
                self.probe(member);
            }
        }
        self.set_probe_timer();
    }

    fn probe(&mut self, member: MemberIndex) {
        let Some(address) = self.view.get(member).map(|peer| peer.address) else {
            return;
        };
        let mut repr = self.header(Kind::AliveReq);
        repr.seq = POINT_TO_POINT;
        self.unicast(address, repr, |_| {});
    }

    fn probe_group(&mut self) {
        let mut repr = self.header(Kind::AliveReq);
        repr.seq = TO_GROUP;
        let to = Destination::Multicast {
            group: self.addresses.a,
            listeners: self.other_members(),
        };
        self.transmit(Endpoint::Member, to, repr, |_| {});
    }

    pub(crate) fn on_alive_request(&mut self, repr: &Repr) {
        self.note_expect(repr);
        let Some(address) = self.view.get(repr.member).map(|peer| peer.address) else {
            return;
        };
        if self.recovery.is_some() && repr.seq != IN_RECOVERY {
            return self.answer_with_recovery(address);
        }
        // From the group's address, so that the asker's FLIP learns the way to the group.
        let from = if repr.seq == TO_GROUP && !matches!(self.phase, Phase::Left) {
            Endpoint::FromSequencer
        } else {
            Endpoint::Member
        };
        let mut answer = self.header(Kind::Alive);
        answer.id = self.coordinated_round();
        self.transmit(from, Destination::Unicast(address), answer, |_| {});
    }

    pub(crate) fn on_alive(&mut self, repr: &Repr) {
        self.note_expect(repr);
        self.on_coordinator_alive(repr);
    }

    /// Both probes and answers tell how far their sender is.
    fn note_expect(&mut self, repr: &Repr) {
        let state = self.view.get(repr.member).map(|peer| peer.state);
        if self.sequencer.is_some() && state == Some(PeerState::Member) {
            self.hear_expect(repr.member, repr.expect);
        }
    }
}
