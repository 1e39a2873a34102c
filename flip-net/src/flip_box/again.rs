//! Sending again: a message of several fragments is kept for a while, and who misses parts of it
//! may ask for them, so that a lost fragment costs a fragment and not the message.
//!
//! What is sent again goes as a unicast to who asked, also if the message was a multicast: boxes on
//! the way would take the same fragment of a multicast for a loop, and the others have it already.
//! Message numbers are counted by interface, so source and number say which message it belongs to.
//!
//! Differs: neither the thesis nor Amoeba has it; see AGAIN in [`Kind`](crate::wire::Kind).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;

use super::queue::Job;
use super::routes::Found;
use super::switch::Arrival;
use super::{Drop, FlipBox};
use crate::address::{EndpointId, FlipAddress};
use crate::time::Instant;
use crate::wire::{Flags, Kind, Repr};

/// The most missing parts in one packet.
pub const PARTS_MAX: usize = 64;

/// A message of several fragments that may be asked for again.
#[derive(Debug)]
struct Kept {
    repr: Repr,
    payload: Bytes,
    /// Counts messages; the smallest goes first.
    number: u64,
    until: Instant,
}

/// Source and number.
type Key = (FlipAddress, u32);

/// What was sent in fragments lately.
#[derive(Debug, Default)]
pub(crate) struct KeptMessages {
    messages: BTreeMap<Key, Kept>,
    /// The same by number, and by when they are let go of.
    by_number: BTreeMap<u64, Key>,
    by_end: BTreeSet<(Instant, Key)>,
    bytes: usize,
    count: u64,
}

impl KeptMessages {
    pub(crate) fn keep(&mut self, repr: Repr, payload: &Bytes, until: Instant, bytes_max: usize) {
        let key = (repr.source, repr.message);
        if bytes_max == 0 || self.messages.contains_key(&key) {
            return;
        }
        while self.bytes + payload.len() > bytes_max
            && let Some((_, &oldest)) = self.by_number.first_key_value()
        {
            self.remove(oldest);
        }
        self.count += 1;
        self.bytes += payload.len();
        let kept = Kept {
            repr,
            payload: payload.clone(),
            number: self.count,
            until,
        };
        self.messages.insert(key, kept);
        self.by_number.insert(self.count, key);
        self.by_end.insert((until, key));
    }

    /// How many there are, and bytes in them.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.messages.len(), self.bytes)
    }

    fn keep_until(&mut self, key: Key, until: Instant) {
        if let Some(kept) = self.messages.get_mut(&key) {
            self.by_end.remove(&(kept.until, key));
            kept.until = until;
            self.by_end.insert((until, key));
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(kept) = self.messages.remove(&key) {
            self.bytes -= kept.payload.len();
            self.by_number.remove(&kept.number);
            self.by_end.remove(&(kept.until, key));
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_end.first().map(|(until, _)| *until)
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.by_end.first()
            && until <= now
        {
            self.remove(key);
        }
    }
}

/// The body of AGAIN.
fn emit_parts(parts: &[(u32, u32)]) -> Vec<u8> {
    let numbers = parts.iter().flat_map(|&(start, end)| [start, end]);
    numbers.flat_map(u32::to_le_bytes).collect()
}

/// The parts in the body of AGAIN, if they are parts of a message of `total` bytes.
fn parse_parts(body: &[u8], total: usize) -> Option<Vec<Range<usize>>> {
    if body.is_empty() || !body.len().is_multiple_of(8) || body.len() > PARTS_MAX * 8 {
        return None;
    }
    let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let parts = body.chunks(8).map(|pair| {
        let (start, end) = (number(&pair[..4]) as usize, number(&pair[4..]) as usize);
        (start < end && end <= total).then_some(start..end)
    });
    let parts: Vec<Range<usize>> = parts.collect::<Option<_>>()?;
    // Parts that overlap would make little questions cause endless answers.
    let wanted: usize = parts.iter().map(Range::len).sum();
    (wanted <= total).then_some(parts)
}

impl FlipBox {
    /// Asks the sender of a message for the parts that did not arrive. The answer comes as more
    /// fragments, or never.
    pub fn ask_again(
        &mut self,
        now: Instant,
        from: EndpointId,
        sender: FlipAddress,
        message: u32,
        missing: &[(u32, u32)],
    ) {
        self.tick(now);
        let Some(asker) = self.host.get(from).map(|endpoint| endpoint.address) else {
            return;
        };
        let Found::Way(way) = self.routes.best(sender, u16::MAX, None, false) else {
            return self.stats.drop(Drop::NoWayBack);
        };
        let link = *self.link(way.network);
        let parts_max = PARTS_MAX.min(link.payload_len_max() / 8);
        let body = emit_parts(&missing[..missing.len().min(parts_max)]);
        let repr = Repr {
            kind: Kind::Again,
            flags: Flags::default(),
            actual: link.weight,
            maximum: way.hops,
            destination: sender,
            source: asker,
            message,
            offset: 0,
            total: body.len() as u32,
        };
        self.put(way.network, way.station, repr, &body);
    }

    /// AGAIN: on towards the sender, or here it is.
    pub(super) fn on_again(&mut self, arrival: Arrival, repr: Repr, payload: &[u8]) {
        if repr.source.is_null() || repr.destination.is_null() {
            return self.stats.drop(Drop::NullAddress);
        }
        self.learn(arrival, &repr);
        if self.host.is_local(repr.destination) {
            return self.send_again(arrival, &repr, payload);
        }
        match self.route_on(arrival, &repr) {
            Found::Way(way) => self.put_on(way, repr, payload),
            _ => self.stats.drop(Drop::NoWayBack),
        }
    }

    /// Somebody misses parts of a message that was sent from here.
    fn send_again(&mut self, arrival: Arrival, again: &Repr, body: &[u8]) {
        let key = (again.destination, again.message);
        let Some(kept) = self.kept.messages.get(&key) else {
            return self.stats.drop(Drop::NothingKept);
        };
        if self.fragments.has(key.0, key.1) {
            // It is not all sent yet: too early to miss anything.
            return self.stats.drop(Drop::NothingKept);
        }
        let Some(parts) = parse_parts(body, kept.payload.len()) else {
            return self.stats.drop(Drop::BadParts);
        };
        let wanted = parts.iter().map(Range::len).sum();
        if !self.has_queue_room(wanted) {
            return self.stats.drop(Drop::QueueFull);
        }
        let payload = kept.payload.clone();
        let repr = Repr {
            kind: Kind::UniData,
            destination: again.source,
            actual: arrival.weight,
            maximum: again.actual.max(arrival.weight),
            ..kept.repr
        };
        self.kept.keep_until(key, self.now + self.config.kept_time);
        let to = (arrival.network, arrival.station);
        let gate = self.gate_of(to, &repr);
        for part in parts {
            self.stats.parts_again += 1;
            self.stats.bytes_again += part.len() as u64;
            let job = Job {
                repr,
                payload: payload.clone(),
                part,
                gate,
                held_for: None,
            };
            self.fragments.push(to, job);
        }
        self.fragments.pacer.slow_down(self.now);
    }
}
