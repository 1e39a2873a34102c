//! Cutting messages. A message of one packet leaves at once; the fragments of a longer one wait
//! in a fair queue and leave at a pace or, where a link has the flow-control header, by credits.
//!
//! Reassembly is not done here, and a box on the way only cuts further.
//!
//! Implements: [Thesis §2.4.1], fragments; facts sheet 1.7.

use std::borrow::Cow;

use bytes::Bytes;

use super::credit::{Due, Neighbour};
use super::queue::{Gate, Job};
use super::{Drop, FlipBox, Mark};
use crate::address::{LinkAddress, NetworkId};
use crate::step;
use crate::wire::{Flow, Kind, Repr};

impl FlipBox {
    /// Sends a message or a fragment to one station (or one multicast address): at once if it fits
    /// into a packet, else piece by piece.
    pub(super) fn send_cut(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        repr: Repr,
        payload: &Bytes,
    ) {
        step!(self.walk);
        if payload.len() <= self.link(network).payload_len_max() {
            return self.put_shared(network, to, repr, Cow::Borrowed(payload));
        }
        if !self.has_queue_room(payload.len()) {
            return self.stats.drop(Drop::QueueFull);
        }
        let until = self.now + self.config.kept_time;
        self.kept
            .keep(repr, payload, until, self.config.kept_bytes_max);
        let job = Job {
            repr,
            payload: payload.clone(),
            part: 0..payload.len(),
            gate: self.gate_of((network, to), &repr),
            held_for: None,
        };
        self.enqueue((network, to), job);
    }

    /// Whether so many more bytes may wait. One message always may, however long it is.
    pub(super) fn has_queue_room(&self, bytes: usize) -> bool {
        self.fragments.is_empty() || self.fragments.cost() + bytes <= self.config.queued_bytes_max
    }

    /// What holds fragments of this kind back on their way to a neighbour.
    pub(super) fn gate_of(&self, (network, to): Neighbour, repr: &Repr) -> Gate {
        match to {
            LinkAddress::Station(_) if self.link(network).flow => match repr.kind {
                Kind::MultiData => Gate::PaceAndCredit,
                _ => Gate::Credit,
            },
            _ => Gate::Pace,
        }
    }

    fn enqueue(&mut self, to: Neighbour, job: Job) {
        self.fragments.push(to, job);
        self.stats.queued_bytes_peak = self.stats.queued_bytes_peak.max(self.fragments.bytes());
    }

    /// Whether a packet is a fragment of a long unicast as credits count them. What only arrived
    /// in pieces, and would fit into a packet here, does not count.
    pub(super) fn is_credited(&self, network: NetworkId, repr: &Repr) -> bool {
        let link = self.link(network);
        link.flow && repr.kind == Kind::UniData && repr.total as usize > link.payload_len_max()
    }

    /// Sends a fragment of somebody else on, in smaller pieces if it must be. Where credits count,
    /// it waits for them, and the neighbour that sent it here gets its own back only then.
    pub(super) fn forward(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        repr: Repr,
        payload: &[u8],
    ) {
        let room = self.link(network).payload_len_max();
        if self.is_credited(network, &repr) && matches!(to, LinkAddress::Station(_)) {
            if !self.has_queue_room(payload.len()) {
                return self.stats.drop(Drop::QueueFull);
            }
            if payload.is_empty() {
                return self.stats.drop(Drop::EmptyFragment);
            }
            let job = Job {
                repr,
                payload: Bytes::copy_from_slice(payload),
                part: 0..payload.len(),
                gate: Gate::Credit,
                held_for: self.held.take(),
            };
            if payload.len() > room {
                self.stats.mark(Mark::CutFurther);
            }
            return self.enqueue((network, to), job);
        }
        if payload.len() <= room {
            return self.put(network, to, repr, payload);
        }
        self.stats.mark(Mark::CutFurther);
        for (at, piece) in payload.chunks(room).enumerate() {
            let offset = repr.offset + (at * room) as u32;
            // The same piece may have come by another way, cut there, or come yet.
            if repr.kind == Kind::MultiData && at > 0 {
                if self
                    .loops
                    .knows(self.now, (repr.source, repr.message, offset))
                {
                    continue;
                }
                self.cut_pieces.push(offset);
            }
            self.put(network, to, Repr { offset, ..repr }, piece);
        }
    }

    /// Moves the next waiting fragment to the frames that leave, if pace and credits allow.
    pub(super) fn next_fragment(&mut self) {
        if self.fragments.is_empty() && !self.credits.has_unblocked() {
            return;
        }
        let networks = &self.networks;
        let room = |network: NetworkId| networks[usize::from(network.0)].link.payload_len_max();
        let piece = self.fragments.pop(self.now, &mut self.credits, room);
        let Some(piece) = piece else { return };
        self.put_shared(
            piece.to.0,
            piece.to.1,
            piece.repr,
            Cow::Owned(piece.payload),
        );
        if let Some(neighbour) = piece.released {
            self.release(neighbour);
        }
    }

    /// Sends no more of a message.
    pub(super) fn cancel(&mut self, repr: &Repr) {
        let released = self.fragments.cancel(repr.source, repr.message);
        released
            .into_iter()
            .for_each(|neighbour| self.release(neighbour));
    }

    /// A fragment of a long unicast is digested: its credit goes back, some time.
    pub(super) fn release(&mut self, neighbour: Neighbour) {
        if let Some(count) = self.credits.released(self.now, neighbour) {
            self.put_flow(neighbour, Flow::Credit(count));
        }
    }

    /// Deadlines of credits: ask, or give up who does not answer.
    pub(super) fn credits_again(&mut self) {
        let fragments = &self.fragments;
        let due = self.credits.expire(self.now, |to| fragments.waits_for(to));
        for due in due {
            match due {
                Due::Ask(to) => {
                    self.stats.mark(Mark::CreditAsked);
                    self.put_flow(to, Flow::Request);
                }
                Due::GiveUp(to) => {
                    self.stats.mark(Mark::CreditGivenUp);
                    let (count, released) = self.fragments.give_up(to);
                    self.stats.drop_many(Drop::NoCredit, count);
                    released
                        .into_iter()
                        .for_each(|neighbour| self.release(neighbour));
                }
            }
        }
    }
}
