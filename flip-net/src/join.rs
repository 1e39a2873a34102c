//! Joining fragments to messages: what a receiving endpoint owns, bounded in bytes, in messages by
//! source, and in time; says what to ask for again.
//!
//! Reassembly is no function of FLIP: the box delivers fragments, in any order, some twice, some
//! never. Pieces may overlap, since a box on the way may cut further. When there is no room for
//! another message, it is dropped; the layer above sends again.
//!
//! Implements: [Thesis §2.4.1], message identifier, offset and total length.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::address::FlipAddress;
use crate::flip_box::{Fragment, PARTS_MAX};
use crate::time::{Duration, Instant};

/// Bounds of a joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinConfig {
    /// The largest message.
    pub message_len_max: usize,
    /// The most bytes of messages that are not complete, counted with their whole length.
    pub bytes_max: usize,
    /// The most incomplete messages.
    pub messages_max: usize,
    /// The most incomplete messages of one source; the oldest makes room.
    pub by_source_max: usize,
    /// The most stretches of bytes, with holes between them, in all incomplete messages.
    pub stretches_max: usize,
    /// How long a message may make no progress.
    pub gap: Duration,
    /// How long it may make no progress before the sender is asked for the missing parts; doubles
    /// each time, up to an eighth of `gap`.
    pub ask_after: Duration,
}

impl Default for JoinConfig {
    fn default() -> JoinConfig {
        JoinConfig {
            message_len_max: 128 << 20,
            bytes_max: 512 << 20,
            messages_max: 16_384,
            by_source_max: 80,
            stretches_max: 1 << 18,
            gap: Duration::from_millis(1_000),
            ask_after: Duration::from_millis(8),
        }
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub source: FlipAddress,
    /// The address it was sent to; null for a broadcast.
    pub destination: FlipAddress,
    /// Its number at the source.
    pub message: u32,
    /// Whether it came by multicast or broadcast.
    pub multicast: bool,
    /// Whether any piece of it crossed an untrusted network.
    pub tainted: bool,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// What is missing of a message, to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Who sent the message.
    pub source: FlipAddress,
    /// The address it was sent to.
    pub destination: FlipAddress,
    /// Its number at the source.
    pub message: u32,
    /// Where missing parts start and end, at most [`PARTS_MAX`].
    pub parts: Vec<(u32, u32)>,
}

/// What a joiner counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinStats {
    /// Messages put together from more than one fragment.
    pub joined: u64,
    /// Incomplete messages given up after a time.
    pub timed_out: u64,
    /// Incomplete messages that made room for a newer one of their source.
    pub displaced: u64,
    /// Fragments dropped because there was no room for them or their message.
    pub no_room: u64,
    /// Fragments that contradict what is known of their message.
    pub contradictions: u64,
    /// Times that missing parts were asked for.
    pub asked: u64,
    /// Fragments that brought nothing new.
    pub duplicates: u64,
    /// The most bytes in incomplete messages.
    pub bytes_peak: usize,
}

#[derive(Debug)]
struct Partial {
    buffer: Vec<u8>,
    /// The bytes that are there: disjoint, not touching, start to end.
    have: BTreeMap<usize, usize>,
    have_len: usize,
    total: usize,
    /// Of the first piece that came.
    destination: FlipAddress,
    multicast: bool,
    tainted: bool,
    begun: u64,
    last: Instant,
    ask_at: Instant,
    ask_step: Duration,
}

/// How much a joiner has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinSizes {
    /// Incomplete messages.
    pub messages: usize,
    /// Bytes in them, counted with their whole length.
    pub bytes: usize,
    /// Stretches of bytes that are there.
    pub stretches: usize,
}

/// How many joined messages are remembered.
const DONE_LEN_MAX: usize = 256;

/// Source and number: what was asked for again comes by another address than the message did.
type Key = (FlipAddress, u32);

/// Puts fragments together. One for each endpoint.
#[derive(Debug)]
pub struct Joiner {
    config: JoinConfig,
    partials: BTreeMap<Key, Partial>,
    /// The same by when to ask for what is missing, and by the last progress.
    by_ask: BTreeSet<(Instant, Key)>,
    by_last: BTreeSet<(Instant, Key)>,
    stretches: usize,
    /// Bytes of all incomplete messages, with their whole length.
    bytes: usize,
    begun: u64,
    /// Messages that were joined lately: a late copy of a fragment must not begin them anew.
    done: VecDeque<Key>,
    stats: JoinStats,
}

impl Joiner {
    /// A joiner that has seen nothing.
    pub fn new(config: JoinConfig) -> Joiner {
        let stats = JoinStats::default();
        Joiner {
            config,
            partials: BTreeMap::new(),
            by_ask: BTreeSet::new(),
            by_last: BTreeSet::new(),
            stretches: 0,
            bytes: 0,
            begun: 0,
            done: VecDeque::new(),
            stats,
        }
    }

    /// Takes a fragment; gives the message if this was the last piece.
    pub fn handle_fragment(&mut self, now: Instant, fragment: Fragment) -> Option<Message> {
        let total = fragment.total as usize;
        if fragment.payload.len() == total {
            return Some(whole(fragment));
        }
        let start = fragment.offset as usize;
        if fragment.payload.is_empty() || start + fragment.payload.len() > total {
            self.stats.contradictions += 1;
            return None;
        }
        let key = (fragment.source, fragment.message);
        if !self.partials.contains_key(&key) {
            if self.done.contains(&key) {
                self.stats.duplicates += 1;
                return None;
            }
            if !self.make_room(now, &fragment) {
                self.stats.no_room += 1;
                return None;
            }
        }
        let partial = self.partials.get_mut(&key).expect("made above");
        if partial.total != total {
            self.stats.contradictions += 1;
            return None;
        }
        let room = self.stretches < self.config.stretches_max || partial.have.is_empty();
        let before = partial.have.len();
        let added = partial.add(start, &fragment.payload, room);
        self.stretches = self.stretches - before + partial.have.len();
        match added {
            Added::New => {}
            Added::Nothing => {
                self.stats.duplicates += 1;
                return None;
            }
            Added::NoRoom => {
                self.stats.no_room += 1;
                return None;
            }
        }
        partial.tainted |= fragment.tainted;
        if partial.have_len < total {
            let step = self.config.ask_after;
            partial.ask_step = step;
            self.by_last.remove(&(partial.last, key));
            partial.last = now;
            self.by_last.insert((now, key));
            self.set_ask(key, now + step);
            return None;
        }
        let partial = self.remove(key).expect("it is there");
        self.stats.joined += 1;
        self.done.truncate(DONE_LEN_MAX - 1);
        self.done.push_front(key);
        Some(Message {
            source: fragment.source,
            destination: partial.destination,
            message: fragment.message,
            multicast: partial.multicast,
            tainted: partial.tainted,
            payload: partial.buffer,
        })
    }

    /// Gives up messages that make no progress.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(last, key)) = self.by_last.first()
            && now.since(last) >= self.config.gap
        {
            self.remove(key);
            self.stats.timed_out += 1;
        }
    }

    /// A message whose missing parts should be asked for now.
    pub fn poll_missing(&mut self, now: Instant) -> Option<Missing> {
        let &(ask_at, key) = self.by_ask.first()?;
        if ask_at > now {
            return None;
        }
        let step_max = self.config.gap.divided(8);
        let partial = self.partials.get_mut(&key).expect("one for each deadline");
        partial.ask_step = partial.ask_step.times(2).min(step_max);
        let next = now + partial.ask_step.max(Duration::from_micros(1));
        self.stats.asked += 1;
        let (source, message) = key;
        let missing = Missing {
            source,
            destination: partial.destination,
            message,
            parts: partial.missing(),
        };
        self.set_ask(key, next);
        Some(missing)
    }

    /// When `handle_timeout` has something to give up, or `poll_missing` something to ask for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ask = self.by_ask.first().map(|(at, _)| *at);
        let end = self.by_last.first().map(|(at, _)| *at + self.config.gap);
        [ask, end].into_iter().flatten().min()
    }

    /// How much is incomplete.
    pub fn sizes(&self) -> JoinSizes {
        assert_eq!(self.partials.len(), self.by_ask.len(), "one deadline each");
        assert_eq!(self.partials.len(), self.by_last.len(), "one deadline each");
        JoinSizes {
            messages: self.partials.len(),
            bytes: self.bytes,
            stretches: self.stretches,
        }
    }

    /// What was counted.
    pub fn stats(&self) -> JoinStats {
        self.stats
    }

    /// Whether any message is incomplete.
    pub fn is_busy(&self) -> bool {
        !self.partials.is_empty()
    }

    fn make_room(&mut self, now: Instant, first: &Fragment) -> bool {
        let key = (first.source, first.message);
        let total = first.total as usize;
        if total > self.config.message_len_max {
            return false;
        }
        let own = || self.partials.range((key.0, 0)..=(key.0, u32::MAX));
        if own().count() >= self.config.by_source_max {
            let oldest = own()
                .min_by_key(|(_, partial)| partial.begun)
                .map(|(key, _)| *key);
            self.remove(oldest.expect("at least one incomplete message is allowed"));
            self.stats.displaced += 1;
        }
        if !self.has_room(total) {
            self.handle_timeout(now);
        }
        if !self.has_room(total) {
            return false;
        }
        self.bytes += total;
        self.stats.bytes_peak = self.stats.bytes_peak.max(self.bytes);
        self.begun += 1;
        let partial = Partial {
            buffer: Vec::new(),
            have: BTreeMap::new(),
            have_len: 0,
            total,
            destination: first.destination,
            multicast: first.multicast,
            tainted: false,
            begun: self.begun,
            last: now,
            ask_at: now,
            ask_step: self.config.ask_after,
        };
        self.partials.insert(key, partial);
        self.by_ask.insert((now, key));
        self.by_last.insert((now, key));
        true
    }

    fn has_room(&self, total: usize) -> bool {
        self.partials.len() < self.config.messages_max
            && self.bytes + total <= self.config.bytes_max
    }

    fn set_ask(&mut self, key: Key, at: Instant) {
        let partial = self.partials.get_mut(&key).expect("an incomplete message");
        self.by_ask.remove(&(partial.ask_at, key));
        partial.ask_at = at;
        self.by_ask.insert((at, key));
    }

    fn remove(&mut self, key: Key) -> Option<Partial> {
        let partial = self.partials.remove(&key)?;
        self.by_ask.remove(&(partial.ask_at, key));
        self.by_last.remove(&(partial.last, key));
        self.stretches -= partial.have.len();
        self.bytes -= partial.total;
        Some(partial)
    }
}

/// What a piece brought.
enum Added {
    New,
    Nothing,
    NoRoom,
}

impl Partial {
    /// Copies a piece to its place; without room only if that makes no new stretch.
    fn add(&mut self, start: usize, piece: &[u8], room: bool) -> Added {
        let end = start + piece.len();
        let (mut from, mut to) = (start, end);
        let mut covered = 0;
        // All known ranges that touch the piece grow together with it.
        let before = self.have.range(..=end).rev();
        let touching: Vec<(usize, usize)> = before
            .map(|(&from, &to)| (from, to))
            .take_while(|&(_, to)| to >= start)
            .collect();
        for &(known_from, known_to) in &touching {
            if known_from <= start && known_to >= end {
                return Added::Nothing;
            }
            covered += known_to - known_from;
            from = from.min(known_from);
            to = to.max(known_to);
        }
        if touching.is_empty() && !room {
            return Added::NoRoom;
        }
        for (known_from, _) in touching {
            self.have.remove(&known_from);
        }
        self.have.insert(from, to);
        self.have_len += (to - from) - covered;
        self.put(start, piece);
        Added::New
    }

    /// Copies a piece to its place. Pieces that come in order, as they mostly do, are appended. With
    /// the first one that does not, the buffer gets its whole length; either way its pages are
    /// touched only as pieces come in, whatever length a message claims.
    fn put(&mut self, start: usize, piece: &[u8]) {
        if self.buffer.is_empty() && start == 0 {
            self.buffer.reserve_exact(self.total);
        }
        if start == self.buffer.len() {
            return self.buffer.extend_from_slice(piece);
        }
        let end = start + piece.len();
        if end > self.buffer.len() {
            let mut whole = vec![0; self.total];
            whole[..self.buffer.len()].copy_from_slice(&self.buffer);
            self.buffer = whole;
        }
        self.buffer[start..end].copy_from_slice(piece);
    }
}

impl Partial {
    /// The holes, first to last, at most as many as can be asked for.
    fn missing(&self) -> Vec<(u32, u32)> {
        let starts = std::iter::once(0).chain(self.have.values().copied());
        let ends = self.have.keys().copied().chain([self.total]);
        let holes = starts.zip(ends).filter(|(start, end)| start < end);
        holes
            .take(PARTS_MAX)
            .map(|(start, end)| (start as u32, end as u32))
            .collect()
    }
}

fn whole(fragment: Fragment) -> Message {
    Message {
        source: fragment.source,
        destination: fragment.destination,
        message: fragment.message,
        multicast: fragment.multicast,
        tainted: fragment.tainted,
        payload: fragment.payload.into(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rng::Rng;

    const S: FlipAddress = FlipAddress::new([5; 8]);

    fn piece(message: u32, offset: usize, payload: &[u8], total: usize) -> Fragment {
        Fragment {
            source: S,
            destination: FlipAddress::new([6; 8]),
            message,
            offset: offset as u32,
            total: total as u32,
            multicast: false,
            tainted: false,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn check_shuffled(seed: u64) {
        let mut rng = Rng::new(seed);
        let mut message = vec![0; 1 + rng.below(5_000) as usize];
        rng.fill(&mut message);
        // Overlapping pieces that cover the message, some of them twice, in any order.
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < message.len() {
            let end = (at + 1 + rng.below(700) as usize).min(message.len());
            let from = at.saturating_sub(rng.below(100) as usize);
            pieces.push((from, end));
            if rng.chance(1, 4) {
                pieces.push((from, end));
            }
            at = end;
        }
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, rng.below(last as u64 + 1) as usize);
        }
        let mut joiner = Joiner::new(JoinConfig::default());
        let mut joined = pieces.iter().filter_map(|&(from, end)| {
            let piece = piece(9, from, &message[from..end], message.len());
            joiner.handle_fragment(Instant::ZERO, piece)
        });
        assert_eq!(joined.next().unwrap().payload, message, "seed {seed}");
    }

    #[test]
    fn pieces_join_in_any_order_and_overlap() {
        (0..300).for_each(check_shuffled);
    }

    #[test]
    fn what_makes_no_progress_is_given_up() {
        let mut joiner = Joiner::new(JoinConfig::default());
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(1, 0, b"ab", 4)),
            None
        );
        let later = Instant::ZERO + JoinConfig::default().gap;
        joiner.handle_timeout(later);
        assert_eq!(joiner.handle_fragment(later, piece(1, 2, b"cd", 4)), None);
        assert_eq!(joiner.stats().timed_out, 1);
        assert_eq!(joiner.bytes, 4);
    }

    #[test]
    fn holes_are_asked_for_after_a_while_and_less_and_less_often() {
        let mut joiner = Joiner::new(JoinConfig::default());
        joiner.handle_fragment(Instant::ZERO, piece(1, 2, b"cd", 10));
        joiner.handle_fragment(Instant::ZERO, piece(1, 6, b"gh", 10));
        let mut asked = Vec::new();
        while let Some(next) = joiner.poll_timeout() {
            joiner.handle_timeout(next);
            while let Some(missing) = joiner.poll_missing(next) {
                assert_eq!(missing.parts, [(0, 2), (4, 6), (8, 10)]);
                asked.push(next.as_micros() / 1_000);
            }
        }
        assert_eq!(asked, [8, 24, 56, 120, 245, 370, 495, 620, 745, 870, 995]);
    }

    #[test]
    fn a_late_copy_of_a_fragment_begins_nothing() {
        let mut joiner = Joiner::new(JoinConfig::default());
        joiner.handle_fragment(Instant::ZERO, piece(1, 0, b"ab", 4));
        assert!(
            joiner
                .handle_fragment(Instant::ZERO, piece(1, 2, b"cd", 4))
                .is_some()
        );
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(1, 0, b"ab", 4)),
            None
        );
        assert!(!joiner.is_busy());
    }

    #[test]
    fn a_source_displaces_only_its_own_messages() {
        let mut joiner = Joiner::new(JoinConfig {
            by_source_max: 2,
            ..JoinConfig::default()
        });
        for message in 1..=3 {
            joiner.handle_fragment(Instant::ZERO, piece(message, 0, b"ab", 4));
        }
        assert_eq!(joiner.stats().displaced, 1);
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(1, 2, b"cd", 4)),
            None
        );
        assert!(
            joiner
                .handle_fragment(Instant::ZERO, piece(3, 2, b"cd", 4))
                .is_some()
        );
    }

    #[test]
    fn announced_lengths_beyond_the_bound_are_refused() {
        let config = JoinConfig {
            bytes_max: 10,
            message_len_max: 8,
            ..JoinConfig::default()
        };
        let mut joiner = Joiner::new(config);
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(1, 0, b"ab", 9)),
            None
        );
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(2, 0, b"ab", 8)),
            None
        );
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(3, 0, b"ab", 8)),
            None
        );
        assert_eq!((joiner.stats().no_room, joiner.bytes), (2, 8));
    }

    #[test]
    fn a_piece_that_contradicts_the_first_is_dropped() {
        let mut joiner = Joiner::new(JoinConfig::default());
        joiner.handle_fragment(Instant::ZERO, piece(1, 0, b"ab", 4));
        assert_eq!(
            joiner.handle_fragment(Instant::ZERO, piece(1, 2, b"cd", 6)),
            None
        );
        assert_eq!(joiner.stats().contradictions, 1);
    }
}
