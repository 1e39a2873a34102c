//! Answering for what was missed: from the history, to the one who asks, with the data and the final
//! kind.
//!
//! Implements: [Thesis §3.4.1] the history buffer; [Thesis §3.4.2] Fig. 3.14 `retrial`.

use crate::member::Member;
use crate::seq::{MemberIndex, SeqNo};
use crate::stats::Mark;
use crate::wire::Repr;

/// Most messages sent for one RETRANS.
const ANSWER_MESSAGES_MAX: u32 = 64;
/// Most bytes sent for one RETRANS, the first message not counted.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

impl Member {
    pub(crate) fn on_retrans(&mut self, repr: &Repr) {
        self.hear_expect(repr.member, repr.expect);
        if planted!(self, IgnoreRetrans) {
            return;
        }
        self.answer_retrans(repr);
    }

    /// Sends what is asked for, as far as it is here.
    pub(crate) fn answer_retrans(&mut self, repr: &Repr) {
        let count = repr.id.value().clamp(1, ANSWER_MESSAGES_MAX);
        if self.history.lowest().is_after(repr.seq) {
            return self.stats.mark(Mark::RetransmissionImpossible);
        }
        // Tentative numbers are sent again, too; what only waits for room is nobody else's business.
        let end = if self.is_resilient() || self.recovery.is_some() {
            self.history.stored()
        } else {
            self.history.next()
        };
        let mut bytes = 0;
        let mut seq = repr.seq;
        for _ in 0..count {
            if !end.is_after(seq) || bytes > ANSWER_BYTES_MAX {
                return;
            }
            bytes += self.answer(repr.member, seq);
            seq = seq.next();
        }
    }

    /// Sends a stored message to one member, with its data and its final kind; gives its size.
    pub(crate) fn answer(&mut self, member: MemberIndex, seq: SeqNo) -> usize {
        let Some(address) = self.view.get(member).map(|peer| peer.address) else {
            return 0;
        };
        let Some((repr, body)) = self.stored(seq) else {
            self.stats.mark(Mark::RetransmissionImpossible);
            return 0;
        };
        let size = body.size();
        // A large message takes its time; asking again does not make it faster.
        let under_way = self.config.timing.transfer(size);
        let now = self.now;
        if let Some(entry) = self.history.get_mut(seq) {
            let recently = entry
                .answered
                .is_some_and(|(to, at)| to == member && now.since(at) < under_way);
            if recently {
                self.stats.mark(Mark::RetransmissionSpared);
                return 0;
            }
            entry.answered = Some((member, now));
        }
        self.stats.mark(Mark::RetransmissionAnswered);
        self.unicast(address, repr, |message| body.emit(message));
        size
    }
}
