//! Tentative numbers at a member: stored, acknowledged, not delivered.
//!
//! Implements: [Thesis §3.4.1] Fig. 3.7, 3.8; [Amoeba5] §3.5.
//! Differs: an acknowledgement is sent once everything before its number is stored, too, and counts
//! for all of that.

use flip_net::step;

use super::Member;
use crate::event::Endpoint;
use crate::history::{Body, Method};
use crate::seq::SeqNo;
use crate::stats::Mark;
use crate::wire::{self, GROUP_HEADER_SIZE, JoinTable, Kind, Packet, Repr};

/// The tentative numbers that we still owe an acknowledgement for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    first: SeqNo,
    last: SeqNo,
}

impl Member {
    /// A request with its tentative number: with data, or without when that went to all (BB).
    pub(crate) fn on_tentative_data(&mut self, endpoint: Endpoint, repr: &Repr, message: Vec<u8>) {
        step!(self.config.walk);
        let (method, body) = if message.len() == GROUP_HEADER_SIZE {
            (Method::Bb, self.take_body_for(repr))
        } else {
            match super::data_body(message) {
                Some(body) => (Method::Pb, Some(body)),
                None => return self.stats.mark(Mark::Malformed),
            }
        };
        self.on_tentative(endpoint, repr, method, body);
    }

    /// A join or leave with its tentative number.
    pub(crate) fn on_tentative_membership(
        &mut self,
        endpoint: Endpoint,
        repr: &Repr,
        packet: &Packet<'_>,
    ) {
        let body = if repr.kind == Kind::LeaveReq {
            wire::parse_header(packet, repr.kind).map(Body::Leave)
        } else {
            JoinTable::parse(packet).map(|table| Body::Join(table.into()))
        };
        match body {
            Ok(Body::Join(table)) if !self.fits_group(repr, &table) => {
                self.stats.mark(Mark::Malformed);
            }
            Ok(body) => self.on_tentative(endpoint, repr, Method::Pb, Some(body)),
            Err(_) => self.stats.mark(Mark::Malformed),
        }
    }

    fn on_tentative(
        &mut self,
        endpoint: Endpoint,
        repr: &Repr,
        method: Method,
        body: Option<Body>,
    ) {
        if self.recovery.is_none() {
            // Who is asked personally answers whatever its rank: the sequencer may see another one.
            let asked = endpoint == Endpoint::Member;
            if asked || self.acknowledges(repr) {
                self.owe(repr.seq);
            }
            if asked && self.history.stored().is_after(repr.seq) {
                self.stats.mark(Mark::AckRepeated);
            }
        }
        if planted!(self, DeliverTentative) {
            self.history.make_official(repr.seq.next());
        }
        self.on_numbered(repr, method, body);
        self.acknowledge();
    }

    fn owe(&mut self, seq: SeqNo) {
        let owed = self.receiver.owed.map_or(
            Owed {
                first: seq,
                last: seq,
            },
            |owed| Owed {
                first: owed.first.earliest(seq),
                last: owed.last.latest(seq),
            },
        );
        self.receiver.owed = Some(owed);
    }

    /// Acknowledges what is owed, as far as everything before it is here.
    pub(crate) fn acknowledge(&mut self) {
        let stored = self.history.stored();
        let Some(owed) = self.receiver.owed else {
            return;
        };
        let stored = if planted!(self, AcknowledgeHoles) {
            owed.last.next()
        } else {
            stored
        };
        if self.recovery.is_some() || !stored.is_after(owed.first) {
            return;
        }
        self.receiver.owed = (!stored.is_after(owed.last)).then_some(Owed {
            first: stored,
            last: owed.last,
        });
        self.stats.mark(Mark::AckSent);
        let mut repr = self.header(Kind::Ack);
        repr.seq = SeqNo::new(stored.value().wrapping_sub(1));
        if let Some(entry) = self.history.get(repr.seq) {
            repr.id = entry.id;
        }
        self.tell_sequencer(repr, |_| {});
    }
}
