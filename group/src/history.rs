//! The bounded buffer of broadcasts, in three parts.
//!
//! ```text
//!        lowest            next              end
//!   free |  sequenced, kept  |  third part     |  free
//! ```
//!
//! What is sequenced is kept for delivery and for retransmission. The third part holds, at the
//! sequencer, requests that have their number but must wait until others have room for them; at a
//! member, broadcasts that came out of order, and accepts whose body has not come.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.10.
//! Differs: bounded in bytes as well as in messages.

use std::collections::VecDeque;
use std::sync::Arc;

use capability::{HEADER_SIZE, Header, Order};
use flip_net::time::Instant;

use crate::payload::Payload;
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::wire::{JoinTable, Kind};

/// What an entry costs besides its data, so that empty messages are bounded too.
const ENTRY_OVERHEAD: usize = 128;

/// How a request reached the sequencer, hence what it multicasts: the data or an accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Pb,
    Bb,
}

/// What a numbered message says.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Data { header: Header, data: Payload },
    Join(Arc<JoinTable>),
    Leave(Header),
}

impl Body {
    /// The kind of the broadcast that carries it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Body::Data { .. } => Kind::Bcast,
            Body::Join(_) => Kind::Join,
            Body::Leave(_) => Kind::Leave,
        }
    }

    /// Bytes behind the group header.
    pub(crate) fn size(&self) -> usize {
        match self {
            Body::Data { data, .. } => HEADER_SIZE + data.len(),
            Body::Join(table) => table.size(),
            Body::Leave(_) => HEADER_SIZE,
        }
    }

    /// Appends the bytes to a message.
    pub(crate) fn emit(&self, message: &mut Vec<u8>) {
        message.reserve(self.size());
        match self {
            Body::Data { header, data } => {
                message.extend(header.emit(Order::Little));
                message.extend_from_slice(data);
            }
            Body::Join(table) => message.extend(table.emit(Order::Little)),
            Body::Leave(header) => message.extend(header.emit(Order::Little)),
        }
    }
}

/// One numbered message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) member: MemberIndex,
    pub(crate) id: MessageId,
    /// What its sender expected when it sent.
    pub(crate) expect: SeqNo,
    pub(crate) method: Method,
    /// Nothing at a member that has the accept but not the body.
    pub(crate) body: Option<Body>,
    /// To whom, and when, it was last sent again.
    pub(crate) answered: Option<(MemberIndex, Instant)>,
}

impl Entry {
    fn cost(&self) -> usize {
        ENTRY_OVERHEAD + self.body.as_ref().map_or(0, Body::size)
    }
}

/// How much a history may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Messages in all.
    pub(crate) messages_max: usize,
    /// Messages in the sequenced part; the rest is for the third part.
    pub(crate) accepted_max: usize,
    /// Bytes in the sequenced part, and again in the third.
    pub(crate) bytes_max: usize,
}

/// What became of a broadcast that a member wanted to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Kept,
    Duplicate,
    /// Further ahead than the history reaches, or no bytes left.
    NoRoom,
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct History {
    bounds: Bounds,
    lowest: SeqNo,
    next: SeqNo,
    slots: VecDeque<Option<Entry>>,
    bytes_sequenced: usize,
    bytes_third: usize,
}

impl History {
    /// An empty history that begins with number `first`.
    pub(crate) fn new(first: SeqNo, bounds: Bounds) -> History {
        History {
            bounds,
            lowest: first,
            next: first,
            slots: VecDeque::new(),
            bytes_sequenced: 0,
            bytes_third: 0,
        }
    }

    /// The lowest number still kept.
    pub(crate) fn lowest(&self) -> SeqNo {
        self.lowest
    }

    /// The first number that is not sequenced: all below are complete and in order.
    pub(crate) fn next(&self) -> SeqNo {
        self.next
    }

    /// The first number behind everything stored.
    pub(crate) fn end(&self) -> SeqNo {
        self.lowest.plus(self.slots.len() as u32)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes_sequenced + self.bytes_third
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn index(&self, seq: SeqNo) -> Option<usize> {
        if self.lowest.is_after(seq) {
            return None;
        }
        Some(seq.distance(self.lowest) as usize)
    }

    /// The message with number `seq`, if it is here.
    pub(crate) fn get(&self, seq: SeqNo) -> Option<&Entry> {
        self.slots.get(self.index(seq)?)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, seq: SeqNo) -> Option<&mut Entry> {
        let index = self.index(seq)?;
        self.slots.get_mut(index)?.as_mut()
    }

    /// The number of a member's message, searched from the newest back.
    pub(crate) fn find(&self, member: MemberIndex, id: MessageId) -> Option<SeqNo> {
        let back = self.slots.iter().rposition(|slot| {
            slot.as_ref()
                .is_some_and(|entry| entry.member == member && entry.id == id)
        })?;
        Some(self.lowest.plus(back as u32))
    }

    /// Whether the sequencer can number one more request with a body of `size`.
    pub(crate) fn has_room_to_append(&self, size: usize) -> bool {
        self.slots.len() < self.bounds.messages_max
            && (self.next == self.end()
                || self.bytes_third + ENTRY_OVERHEAD + size <= self.bounds.bytes_max)
    }

    /// Gives the request the next number; it waits in the third part.
    pub(crate) fn append(&mut self, entry: Entry) -> SeqNo {
        assert!(
            self.slots.len() < self.bounds.messages_max,
            "the sequencer asks for room before it numbers a request"
        );
        let seq = self.end();
        self.bytes_third += entry.cost();
        self.slots.push_back(Some(entry));
        seq
    }

    /// Whether the next waiting request may be accepted without anybody's history overflowing.
    pub(crate) fn has_room_to_accept(&self) -> bool {
        let sequenced = self.next.distance(self.lowest) as usize;
        let cost = self.get(self.next).map_or(0, Entry::cost);
        sequenced == 0
            || (sequenced < self.bounds.accepted_max
                && self.bytes_sequenced + cost <= self.bounds.bytes_max)
    }

    /// Moves `next` over one complete message and gives its number; none if there is a hole.
    pub(crate) fn advance(&mut self) -> Option<SeqNo> {
        let seq = self.next;
        let entry = self.get(seq)?;
        entry.body.as_ref()?;
        let cost = entry.cost();
        self.bytes_third -= cost;
        self.bytes_sequenced += cost;
        self.next = seq.next();
        Some(seq)
    }

    /// Stores a broadcast at a member. What is below `floor` may be thrown out for it.
    pub(crate) fn store(&mut self, seq: SeqNo, entry: Entry, floor: SeqNo) -> Stored {
        if self.next.is_after(seq) {
            return Stored::Duplicate;
        }
        if let Some(known) = self.get(seq)
            && (known.body.is_some() || entry.body.is_none())
        {
            return Stored::Duplicate;
        }
        while floor.is_after(self.lowest) && !self.fits(seq, entry.cost()) {
            self.release_one();
        }
        if !self.fits(seq, entry.cost()) {
            return Stored::NoRoom;
        }
        let index = seq.distance(self.lowest) as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.bytes_third += entry.cost();
        if let Some(old) = self.slots[index].replace(entry) {
            self.bytes_third -= old.cost();
        }
        Stored::Kept
    }

    fn fits(&self, seq: SeqNo, cost: usize) -> bool {
        let within = (seq.distance(self.lowest) as usize) < self.bounds.messages_max;
        within && (seq == self.next || self.bytes() + cost <= 2 * self.bounds.bytes_max)
    }

    /// Gives an accept that waits in the third part its body.
    pub(crate) fn fill(&mut self, seq: SeqNo, body: Body) {
        let size = body.size();
        if let Some(entry) = self.get_mut(seq)
            && entry.body.is_none()
        {
            entry.body = Some(body);
            self.bytes_third += size;
        }
    }

    /// How many numbers are missing from `next` on before something complete, or before `top`.
    pub(crate) fn hole(&self, top: SeqNo) -> u32 {
        let top = top.latest(self.end());
        let mut seq = self.next;
        while top.is_after(seq) && self.get(seq).is_none_or(|entry| entry.body.is_none()) {
            seq = seq.next();
        }
        seq.distance(self.next)
    }

    /// Forgets what lies below `seq`, but nothing that is not sequenced.
    pub(crate) fn release_below(&mut self, seq: SeqNo) {
        while seq.is_after(self.lowest) && self.next.is_after(self.lowest) {
            self.release_one();
        }
    }

    fn release_one(&mut self) {
        debug_assert!(self.next.is_after(self.lowest), "only the sequenced part");
        if let Some(Some(entry)) = self.slots.pop_front() {
            self.bytes_sequenced -= entry.cost();
        }
        self.lowest = self.lowest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capability::Port;

    const BOUNDS: Bounds = Bounds {
        messages_max: 8,
        accepted_max: 4,
        bytes_max: 2_000,
    };

    fn entry(id: u32, size: usize) -> Entry {
        Entry {
            member: MemberIndex::new(1),
            id: MessageId::new(id),
            expect: SeqNo::FIRST,
            method: Method::Pb,
            body: Some(Body::Data {
                header: Header::to(Port::NULL),
                data: Payload::from(vec![0; size]),
            }),
            answered: None,
        }
    }

    fn accept(id: u32) -> Entry {
        Entry {
            body: None,
            ..entry(id, 0)
        }
    }

    #[test]
    fn the_third_part_waits_until_the_sequenced_part_has_room() {
        let mut history = History::new(SeqNo::FIRST, BOUNDS);
        for id in 1..=8 {
            assert!(history.has_room_to_append(0));
            history.append(entry(id, 0));
        }
        assert!(!history.has_room_to_append(0));
        for _ in 0..4 {
            assert!(history.has_room_to_accept());
            history.advance();
        }
        assert!(!history.has_room_to_accept());
        history.release_below(SeqNo::new(2));
        assert!(history.has_room_to_accept());
        assert!(history.has_room_to_append(0));
    }

    #[test]
    fn bytes_bound_both_parts_but_never_a_single_message() {
        let mut history = History::new(SeqNo::FIRST, BOUNDS);
        assert!(history.has_room_to_append(1 << 20));
        history.append(entry(1, 1 << 20));
        assert!(!history.has_room_to_append(0));
        assert!(history.has_room_to_accept());
        history.advance();
        history.append(entry(2, 10));
        assert!(!history.has_room_to_accept());
        history.release_below(SeqNo::new(2));
        assert!(history.has_room_to_accept());
    }

    #[test]
    fn a_hole_ends_where_something_complete_is_held() {
        let mut history = History::new(SeqNo::FIRST, BOUNDS);
        let floor = SeqNo::FIRST;
        assert_eq!(
            history.store(SeqNo::new(4), entry(4, 0), floor),
            Stored::Kept
        );
        assert_eq!(history.hole(SeqNo::NONE), 3);
        assert_eq!(history.store(SeqNo::new(2), accept(2), floor), Stored::Kept);
        assert_eq!(history.hole(SeqNo::NONE), 3);
        history.fill(SeqNo::new(2), entry(2, 5).body.expect("made with a body"));
        assert_eq!(history.hole(SeqNo::NONE), 1);
        assert_eq!(
            history.store(SeqNo::new(1), entry(1, 0), floor),
            Stored::Kept
        );
        assert_eq!(history.advance(), Some(SeqNo::new(1)));
        assert_eq!(history.advance(), Some(SeqNo::new(2)));
        assert_eq!(history.advance(), None);
        assert_eq!(history.hole(SeqNo::new(9)), 1);
    }

    #[test]
    fn a_member_throws_out_only_what_it_has_delivered() {
        let mut history = History::new(SeqNo::FIRST, BOUNDS);
        for id in 1..=8 {
            let seq = SeqNo::new(id);
            assert_eq!(history.store(seq, entry(id, 0), SeqNo::FIRST), Stored::Kept);
            history.advance();
        }
        let ninth = SeqNo::new(9);
        assert_eq!(
            history.store(ninth, entry(9, 0), SeqNo::FIRST),
            Stored::NoRoom
        );
        assert_eq!(
            history.store(ninth, entry(9, 0), SeqNo::new(3)),
            Stored::Kept
        );
        assert_eq!(history.lowest(), SeqNo::new(2));
        assert_eq!(
            history.store(SeqNo::new(5), entry(5, 0), ninth),
            Stored::Duplicate
        );
    }

    #[test]
    fn byte_counts_come_back_to_zero() {
        let mut history = History::new(SeqNo::FIRST, BOUNDS);
        history.store(SeqNo::new(1), accept(1), SeqNo::FIRST);
        history.fill(SeqNo::new(1), entry(1, 77).body.expect("made with a body"));
        history.advance();
        history.release_below(SeqNo::new(5));
        assert_eq!((history.bytes(), history.len()), (0, 0));
        assert_eq!(history.lowest(), SeqNo::new(2));
    }
}
