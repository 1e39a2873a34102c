//! The bounded buffer of broadcasts, in three parts.
//!
//! ```text
//!        lowest            next              end
//!   free |  sequenced, kept  |  third part     |  free
//! ```
//!
//! What is sequenced is kept for delivery and for retransmission. The third part holds, at the
//! sequencer, requests that have their number but must wait until others have stored them or have
//! room for them; at a member, broadcasts that came out of order, accepts whose body has not come,
//! and with resilience above 0 requests whose number is still *tentative*.
//!
//! A number is *official* once its message may be delivered. The sequencer accepts in order, so
//! one number tells it all: everything below `official` is. What is complete from `next` on, tentative
//! or not, ends at `stored`: that is what a member can answer for.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.10.
//! Differs: bounded in bytes as well as in messages.

use std::collections::VecDeque;
use std::sync::Arc;

use capability::{HEADER_SIZE, Header, Order};
use flip_net::time::Instant;

use crate::payload::Payload;
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::wire::{JoinTable, Kind, ResultTable};

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
    Data {
        header: Header,
        data: Payload,
    },
    Join(Arc<JoinTable>),
    Leave(Header),
    /// The group was formed anew.
    Reset(Arc<ResultTable>),
}

impl Body {
    /// The kind of the broadcast that carries it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Body::Data { .. } => Kind::Bcast,
            Body::Join(_) => Kind::Join,
            Body::Leave(_) => Kind::Leave,
            Body::Reset(_) => Kind::Result,
        }
    }

    /// The kind of the message that carries it while its number is tentative.
    pub(crate) fn tentative_kind(&self) -> Kind {
        match self {
            Body::Data { .. } => Kind::BcastReq,
            Body::Join(_) => Kind::JoinReq,
            Body::Leave(_) => Kind::LeaveReq,
            Body::Reset(_) => Kind::Result,
        }
    }

    /// Bytes behind the group header.
    pub(crate) fn size(&self) -> usize {
        match self {
            Body::Data { data, .. } => HEADER_SIZE + data.len(),
            Body::Join(table) => table.size(),
            Body::Leave(_) => HEADER_SIZE,
            Body::Reset(table) => table.size(),
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
            Body::Reset(table) => message.extend(table.emit(Order::Little)),
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
    /// What an entry with user data of at most this size costs at most.
    pub(crate) fn cost_max(data_size: usize) -> usize {
        ENTRY_OVERHEAD + HEADER_SIZE + data_size
    }

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
    /// The largest entry there can be, in bytes.
    pub(crate) entry_max: usize,
}

impl Bounds {
    /// What a member must be able to hold so that it never throws out what another may need: all
    /// that a sequencer ever holds, whose parts may each be one message of any size.
    fn member_bytes_max(&self) -> usize {
        2 * self.bytes_max.max(self.entry_max)
    }
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
    /// The first number that may not be delivered yet, as far as known.
    official: SeqNo,
    /// The first number from `next` on whose message is not complete.
    stored: SeqNo,
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
            official: first,
            stored: first,
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

    /// The first number whose message is not complete here.
    pub(crate) fn stored(&self) -> SeqNo {
        self.stored
    }

    /// Everything below `end` may be delivered.
    pub(crate) fn make_official(&mut self, end: SeqNo) {
        self.official = self.official.latest(end);
    }

    /// The first number behind everything stored.
    pub(crate) fn end(&self) -> SeqNo {
        self.lowest.plus(self.slots.len() as u32)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes_sequenced + self.bytes_third
    }

    /// Bytes of what is not sequenced yet.
    pub(crate) fn bytes_third(&self) -> usize {
        self.bytes_third
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
        let cost = ENTRY_OVERHEAD + size;
        // After a recovery the sequenced part may be larger than its share.
        let fits = self.bytes() + cost <= self.bounds.member_bytes_max();
        self.slots.is_empty()
            || (self.slots.len() < self.bounds.messages_max
                && fits
                && (self.next == self.end() || self.bytes_third + cost <= self.bounds.bytes_max))
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
        self.note_stored();
        seq
    }

    /// Puts the result of a recovery behind everything stored. There is one for each, so it needs no
    /// room of its own.
    pub(crate) fn append_result(&mut self, entry: Entry) {
        self.bytes_third += entry.cost();
        self.slots.push_back(Some(entry));
        self.note_stored();
    }

    /// Whether the next waiting request may be accepted without anybody's history overflowing.
    pub(crate) fn has_room_to_accept(&self) -> bool {
        let sequenced = self.next.distance(self.lowest) as usize;
        let cost = self.get(self.next).map_or(0, Entry::cost);
        sequenced == 0
            || (sequenced < self.bounds.accepted_max
                && self.bytes_sequenced + cost <= self.bounds.bytes_max)
    }

    /// Moves `next` over one complete and official message and gives its number; none if there is a
    /// hole.
    pub(crate) fn advance(&mut self) -> Option<SeqNo> {
        let seq = self.next;
        if !self.official.is_after(seq) || !self.stored.is_after(seq) {
            return None;
        }
        let cost = self.get(seq)?.cost();
        self.bytes_third -= cost;
        self.bytes_sequenced += cost;
        self.next = seq.next();
        Some(seq)
    }

    /// At the sequencer: makes the next number official and moves over it.
    pub(crate) fn accept(&mut self) -> Option<SeqNo> {
        self.make_official(self.next.next());
        self.advance()
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
        // What comes next in the order is always taken.
        let is_next = self.is_within(seq) && seq == self.stored;
        if !is_next && !self.fits(seq, entry.cost()) {
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
        self.note_stored();
        Stored::Kept
    }

    fn note_stored(&mut self) {
        while self
            .get(self.stored)
            .is_some_and(|entry| entry.body.is_some())
        {
            self.stored = self.stored.next();
        }
    }

    fn fits(&self, seq: SeqNo, cost: usize) -> bool {
        self.is_within(seq) && self.bytes() + cost <= self.bounds.member_bytes_max()
    }

    fn is_within(&self, seq: SeqNo) -> bool {
        (seq.distance(self.lowest) as usize) < self.bounds.messages_max
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
        self.note_stored();
    }

    /// How many numbers are missing from `stored` on before something complete, or before `top`.
    pub(crate) fn hole(&self, top: SeqNo) -> u32 {
        let top = top.latest(self.end());
        let mut seq = self.stored;
        while top.is_after(seq) && self.get(seq).is_none_or(|entry| entry.body.is_none()) {
            seq = seq.next();
        }
        seq.distance(self.stored)
    }

    /// Forgets everything behind the complete run; what `official` promised of it holds no more.
    pub(crate) fn drop_behind_stored(&mut self) {
        while self.end().is_after(self.stored) {
            if let Some(Some(entry)) = self.slots.pop_back() {
                self.bytes_third -= entry.cost();
            }
        }
        if self.official.is_after(self.stored) {
            self.official = self.stored;
        }
    }

    /// What a planted bug does: forgets all that is not sequenced.
    pub(crate) fn drop_tail(&mut self) {
        self.stored = self.next;
        self.drop_behind_stored();
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
        entry_max: 2_000,
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
            history.accept();
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
        history.accept();
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
        assert_eq!(history.advance(), None, "nothing is official yet");
        history.make_official(SeqNo::new(5));
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
            history.accept();
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
        history.accept();
        history.release_below(SeqNo::new(5));
        assert_eq!((history.bytes(), history.len()), (0, 0));
        assert_eq!(history.lowest(), SeqNo::new(2));
    }

    #[test]
    fn what_is_tentative_is_stored_but_not_delivered_and_what_follows_a_hole_can_be_dropped() {
        let mut history = History::new(SeqNo::FIRST, BOUNDS);
        let floor = SeqNo::FIRST;
        for id in [1, 2, 4] {
            history.store(SeqNo::new(id), entry(id, 5), floor);
        }
        assert_eq!(
            (history.next(), history.stored()),
            (SeqNo::new(1), SeqNo::new(3))
        );
        assert_eq!(history.advance(), None);
        history.make_official(SeqNo::new(5));
        history.drop_behind_stored();
        assert_eq!(history.end(), SeqNo::new(3));
        history.advance();
        history.advance();
        assert_eq!(history.next(), SeqNo::new(3));
        // Number 3 was promised in another life of the group; its successor is not official yet.
        history.store(SeqNo::new(3), entry(3, 5), floor);
        assert_eq!(history.advance(), None);
    }
}
