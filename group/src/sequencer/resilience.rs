//! Resilience above 0: a number is tentative until enough members have stored its message.
//!
//! The sequencer multicasts each request with its number; the members with the `r` lowest ranks
//! acknowledge it, and then it is accepted. An acknowledgement says that everything up to its
//! number is stored, so it counts for all before it, too. When `r` members crash, one of the `r + 1`
//! that have a message is left, or everybody had it.
//!
//! Implements: [Thesis §3.4.1] resilience, Fig. 3.7, 3.8; [Amoeba5] §3.5.
//! Differs: acknowledgements are cumulative, those of any member count, and a number without enough
//! of them is sent again, to those whose turn it is. A leave waits until those who stay have what the
//! leaver has acknowledged.

use flip_net::step;
use flip_net::time::Duration;

use crate::event::{Destination, Endpoint};
use crate::history::{Body, Method};
use crate::member::Member;
use crate::seq::{MemberIndex, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::{Kind, Repr};

impl Member {
    /// Whether numbers are tentative at first. [Thesis §3.4.1]
    pub(crate) fn is_resilient(&self) -> bool {
        self.config.resilience > 0
    }

    /// The members whose turn it is to acknowledge: the `r` lowest ranks. The sequencer has rank 0,
    /// the others follow by index. Who leaves does not count.
    fn ranked(&self, leaver: Option<MemberIndex>) -> impl Iterator<Item = MemberIndex> {
        let sequencer = self.view.sequencer;
        let others = self.view.members();
        let others = others.filter(move |&m| m != sequencer && Some(m) != leaver);
        others.take(usize::from(self.config.resilience))
    }

    /// Whether our rank makes us acknowledge this request.
    pub(crate) fn acknowledges(&self, repr: &Repr) -> bool {
        let leaver = (repr.kind == Kind::LeaveReq).then_some(repr.member);
        self.ranked(leaver).any(|member| member == self.me)
    }

    /// Who leaves by the message with this number.
    fn leaver(&self, seq: SeqNo) -> Option<MemberIndex> {
        let entry = self.history.get(seq)?;
        matches!(entry.body, Some(Body::Leave(_))).then_some(entry.member)
    }

    /// Tells everybody a tentative number. PB: with the data; BB: they have it.
    pub(super) fn multicast_tentative(&mut self, seq: SeqNo) {
        let listeners = self.other_members();
        if !self.is_resilient() || listeners == 0 {
            return;
        }
        step!(self.config.walk);
        let Some((repr, body)) = self.stored(seq) else {
            return;
        };
        let is_bb = self.method(seq) == Some(Method::Bb);
        self.stats.mark(Mark::NumberTentative);
        let to = Destination::Multicast {
            group: self.addresses.a,
            listeners,
        };
        self.transmit(Endpoint::Member, to, repr, |message| {
            if !is_bb {
                body.emit(message);
            }
        });
        self.wait_for_acks();
    }

    /// Whoever does not acknowledge is asked: also who was not there when the number was given.
    pub(super) fn wait_for_acks(&mut self) {
        if !self.timers.is_set(Timer::AskForAcks) {
            self.set_ack_timer(self.config.timing.ask_again);
        }
    }

    /// Another tentative number is the first one now, or there is none: its wait begins here.
    pub(super) fn restart_ack_timer(&mut self) {
        if self.timers.is_set(Timer::AskForAcks) {
            match self.history.next() == self.history.end() {
                true => self.timers.clear(Timer::AskForAcks),
                false => self.set_ack_timer(self.config.timing.ask_again),
            }
        }
    }

    fn set_ack_timer(&mut self, pause: Duration) {
        let size = self.history.bytes_third();
        let transfer = self.config.timing.transfer(size);
        self.seq_mut().ack_pause = pause;
        self.timers
            .set(Timer::AskForAcks, self.now + pause + transfer);
    }

    /// A member has stored everything up to a tentative number.
    pub(crate) fn on_ack(&mut self, repr: &Repr) {
        self.hear_expect(repr.member, repr.expect);
        if !self.history.end().is_after(repr.seq) {
            return self.stats.mark(Mark::BadAck);
        }
        self.hear_stored(repr.member, repr.seq.next());
        let before = self.history.next();
        self.process_history();
        if self.history.next() != before {
            self.use_room();
        }
    }

    /// A member has everything below `stored`.
    fn hear_stored(&mut self, member: MemberIndex, stored: SeqNo) {
        if let Some(peer) = self.view.get_mut(member) {
            peer.stored = peer.stored.latest(stored);
        }
    }

    /// Whether as many others have stored this number as must before it is official.
    pub(super) fn is_stored_enough(&self, seq: SeqNo) -> bool {
        if !self.is_resilient() {
            return true;
        }
        if planted!(self, AcceptUnacknowledged) {
            return true;
        }
        let leaver = self.leaver(seq);
        let stays = |member: MemberIndex| member != self.me && Some(member) != leaver;
        let others = || {
            self.view
                .iter()
                .filter(move |&(member, peer)| stays(member) && peer.state == PeerState::Member)
        };
        // What a leaver has acknowledged must be with those who stay; who has joined since holds
        // nothing from before.
        let needed_from = others()
            .map(|(_, peer)| peer.expect)
            .reduce(SeqNo::earliest);
        let holds = |peer: &crate::view::Peer| {
            peer.stored.latest(peer.expect).is_after(seq)
                && (leaver.is_none() || needed_from.is_none_or(|from| !peer.since.is_after(from)))
        };
        let wanted = others().count().min(usize::from(self.config.resilience));
        let spared = usize::from(planted!(self, AcceptOneAckEarly));
        others().filter(|(_, peer)| holds(peer)).count() + spared >= wanted
    }

    /// The first tentative number has waited for long: sends it again to whose turn it is and who
    /// has not acknowledged it.
    pub(crate) fn on_ask_for_acks(&mut self) {
        let seq = self.history.next();
        if seq == self.history.end() {
            return;
        }
        if !self.is_stored_enough(seq) {
            let lacks = |member: &MemberIndex| {
                let peer = self.view.get(*member);
                peer.is_some_and(|peer| !peer.stored.latest(peer.expect).is_after(seq))
            };
            let mut asked: Vec<MemberIndex> = self.ranked(self.leaver(seq)).filter(lacks).collect();
            if asked.is_empty() {
                // Those whose turn it is have it, but some of them do not count: ask all others.
                asked = self.view.members().filter(lacks).collect();
                asked.retain(|&member| member != self.me);
            }
            for member in asked {
                self.stats.mark(Mark::AckAskedFor);
                self.answer(member, seq);
            }
        }
        let doubled = self.seq_mut().ack_pause.times(2);
        self.set_ack_timer(doubled.min(self.config.timing.ask_again_max));
    }
}
