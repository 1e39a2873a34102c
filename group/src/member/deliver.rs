//! Handing the order to the owner, and the back-pressure that follows from it.
//!
//! `expect` is the next number that the owner's delivery queue waits for. It stands still when the
//! owner does not poll, or when it has not yet consumed what it was given; then the sequencer's
//! history fills, numbering stops, and senders wait.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.12.

use std::collections::VecDeque;

use flip_net::time::Instant;

use super::{Member, Phase};
use crate::event::Event;
use crate::history::Body;
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::wire::SlotState;

/// What the owner was given and what it has told to have consumed.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) expect: SeqNo,
    handed: VecDeque<(SeqNo, usize)>,
    bytes: usize,
    was_full: bool,
}

impl Delivery {
    pub(crate) fn new(first: SeqNo) -> Delivery {
        Delivery {
            expect: first,
            handed: VecDeque::new(),
            bytes: 0,
            was_full: false,
        }
    }

    fn hand(&mut self, seq: SeqNo, bytes: usize) {
        self.handed.push_back((seq, bytes));
        self.bytes += bytes;
        self.was_full = false;
    }

    fn consume(&mut self, seq: SeqNo) {
        while let Some(&(oldest, bytes)) = self.handed.front() {
            if oldest.is_after(seq) {
                return;
            }
            self.bytes -= bytes;
            self.handed.pop_front();
        }
    }
}

impl Member {
    /// The owner has taken everything up to and including number `seq` out of its queue.
    pub fn consumed(&mut self, now: Instant, seq: SeqNo) {
        self.advance_clock(now);
        self.delivery.consume(seq);
    }

    /// What we tell others that our queue waits for.
    pub(crate) fn expect_to_tell(&self) -> SeqNo {
        match self.phase {
            // What is ours to deliver is all here; nobody need keep anything for us.
            Phase::Left => self.history.next(),
            _ => self.delivery.expect,
        }
    }

    fn queue_is_full(&self, size: usize) -> bool {
        let delivery = &self.delivery;
        let bytes_full = delivery.bytes + size > self.config.queue_bytes_max;
        delivery.handed.len() >= self.config.queue_messages_max
            || (bytes_full && !delivery.handed.is_empty())
    }

    /// The next event of the total order.
    pub(crate) fn poll_ordered(&mut self) -> Option<Event> {
        if !matches!(self.phase, Phase::Inside | Phase::Leaving | Phase::Left) {
            return None;
        }
        loop {
            let seq = self.delivery.expect;
            if !self.history.next().is_after(seq) {
                return self.poll_aborted();
            }
            let entry = self.history.get(seq)?;
            let (member, id) = (entry.member, entry.id);
            let body = entry.body.clone()?;
            if self.queue_is_full(body.size()) {
                if !self.delivery.was_full {
                    self.delivery.was_full = true;
                    self.stats.mark(Mark::QueueFull);
                }
                return None;
            }
            self.delivery.expect = seq.next();
            let event = self.ordered_event(seq, member, id, body);
            self.on_expect_advanced();
            if event.is_some() {
                return event;
            }
        }
    }

    /// The group is broken and there is nothing more before that.
    fn poll_aborted(&mut self) -> Option<Event> {
        let recovery = self.recovery.as_mut()?;
        if recovery.aborted || recovery.userless {
            return None;
        }
        recovery.aborted = true;
        Some(Event::Aborted)
    }

    fn ordered_event(
        &mut self,
        seq: SeqNo,
        member: MemberIndex,
        id: MessageId,
        body: Body,
    ) -> Option<Event> {
        match body {
            // A sequencer whose application has left delivers to nobody.
            _ if self.is_userless() => None,
            Body::Data { header, data } => {
                self.delivery.hand(seq, data.len());
                let peak = self.stats.queue_bytes_peak.max(self.delivery.bytes);
                self.stats.queue_bytes_peak = peak;
                Some(Event::Delivered {
                    seq,
                    from: member,
                    id,
                    header,
                    data,
                })
            }
            // The joiner was told by `Entered`.
            Body::Join(_) if member == self.me => None,
            Body::Join(table) => Some(Event::Joined {
                seq,
                member,
                rpc_address: table.slots[member.slot()].rpc_address,
            }),
            Body::Reset(table) => Some(Event::Reset {
                seq,
                header: table.header,
                members: table.all(SlotState::Member).collect(),
                removed: table.all(SlotState::Leaving).collect(),
                sequencer: table.sequencer,
                group: (self.config.one_way)(table.private_b),
            }),
            Body::Leave(_) => {
                if member == self.me {
                    self.on_own_leave_delivered();
                }
                Some(Event::Left { seq, member })
            }
        }
    }

    fn on_expect_advanced(&mut self) {
        if matches!(self.phase, Phase::Gone) {
            return;
        }
        if self.sequencer.is_some() {
            self.hear_expect(self.me, self.delivery.expect);
        } else if self.recovery.is_none() {
            self.on_member_expect_advanced();
        }
    }
}
