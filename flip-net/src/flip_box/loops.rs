//! The loop cache: which fragments that go to many have been here before.
//!
//! Under the rules of the thesis each is remembered for a time, and up to a number; what was
//! forgotten too early costs a packet, never more, since every hop costs weight. Under those of
//! Amoeba 5 the cache is an array in which two fragments may share a slot and make it forget.
//!
//! Implements: [Thesis §2.4.2], loops; facts sheet 1.5.
//! Differs: the thesis has network and location in the key, which would let a packet that came
//! back by another way pass; the key here is that of Amoeba 5, the time-out that of the thesis.

use std::collections::{BTreeMap, VecDeque};

use crate::address::FlipAddress;
use crate::time::{Duration, Instant};

/// Slots of the array of Amoeba 5.
const SLOTS: usize = 1_024;

/// The most fragments that are remembered under the rules of the thesis.
pub const LOOPS_LEN_MAX: usize = 1 << 16;

/// A fragment: its source, the number of the message, and where it starts in that.
pub(crate) type Key = (FlipAddress, u32, u32);

#[derive(Debug)]
pub(crate) enum LoopCache {
    Timed {
        /// How long a fragment is remembered.
        memory: Duration,
        seen: BTreeMap<Key, Instant>,
        /// In the order of time; a fragment that came again is in here more than once.
        order: VecDeque<(Instant, Key)>,
    },
    Slots(Vec<Option<Key>>),
}

impl LoopCache {
    /// Forgets after `memory`.
    pub(crate) fn timed(memory: Duration) -> LoopCache {
        LoopCache::Timed {
            memory,
            seen: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Forgets when a slot is needed.
    pub(crate) fn slots() -> LoopCache {
        LoopCache::Slots(vec![None; SLOTS])
    }

    /// Whether this fragment was here before; does not remember it.
    pub(crate) fn knows(&self, now: Instant, key: Key) -> bool {
        match self {
            LoopCache::Slots(slots) => slots[index(key)] == Some(key),
            LoopCache::Timed { memory, seen, .. } => {
                let at = seen.get(&key);
                at.is_some_and(|at| now.since(*at) < *memory)
            }
        }
    }

    /// Whether this fragment was here before; remembers it either way.
    pub(crate) fn seen(&mut self, now: Instant, key: Key) -> bool {
        match self {
            LoopCache::Slots(slots) => {
                let slot = &mut slots[index(key)];
                slot.replace(key) == Some(key)
            }
            LoopCache::Timed {
                memory,
                seen,
                order,
            } => {
                forget(seen, order, now, *memory);
                order.push_back((now, key));
                seen.insert(key, now).is_some()
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            LoopCache::Slots(slots) => slots.len(),
            LoopCache::Timed { order, .. } => order.len(),
        }
    }
}

/// Forgets what is too old, and the oldest if there is too much.
fn forget(
    seen: &mut BTreeMap<Key, Instant>,
    order: &mut VecDeque<(Instant, Key)>,
    now: Instant,
    memory: Duration,
) {
    while let Some(&(at, key)) = order.front()
        && (now.since(at) >= memory || order.len() >= LOOPS_LEN_MAX)
    {
        order.pop_front();
        // If it came again since, the later entry stands for it.
        if seen.get(&key) == Some(&at) {
            seen.remove(&key);
        }
    }
}

fn index((source, message, offset): Key) -> usize {
    let [a, b, c, d, e, f, g, h] = source.bytes();
    let halves = u32::from_le_bytes([a, b, c, d]).wrapping_add(u32::from_le_bytes([e, f, g, h]));
    halves.wrapping_add(message).wrapping_add(offset) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: FlipAddress = FlipAddress::new([1; 8]);
    const MEMORY: Duration = Duration::from_secs(10);

    #[test]
    fn amoeba_knows_a_fragment_until_its_slot_is_taken() {
        // Scenarios 26 and 27.
        let mut cache = LoopCache::slots();
        let t = Instant::ZERO;
        assert!(!cache.seen(t, (S, 1, 0)));
        assert!(cache.seen(t + Duration::from_secs(1_000), (S, 1, 0)));
        assert!(!cache.seen(t, (S, 2, 0)));
        assert!(!cache.seen(t, (S, 1 + SLOTS as u32, 0)));
        assert!(!cache.seen(t, (S, 1, 0)));
    }

    #[test]
    fn the_thesis_forgets_after_a_time() {
        let mut cache = LoopCache::timed(MEMORY);
        assert!(!cache.seen(Instant::ZERO, (S, 1, 0)));
        assert!(cache.seen(Instant::from_micros(9_000_000), (S, 1, 0)));
        // A duplicate starts the time-out again.
        assert!(cache.seen(Instant::from_micros(18_000_000), (S, 1, 0)));
        assert!(!cache.seen(Instant::from_micros(28_000_000), (S, 1, 0)));
    }

    #[test]
    fn the_thesis_is_not_fooled_by_fragments_that_would_share_a_slot() {
        // Counterpart of scenario 27 under the rules of the thesis.
        let mut cache = LoopCache::timed(MEMORY);
        let t = Instant::ZERO;
        for number in 0..100 {
            assert!(!cache.seen(t, (S, 1 + number * SLOTS as u32, 0)));
        }
        for number in 0..100 {
            assert!(cache.seen(t, (S, 1 + number * SLOTS as u32, 0)));
        }
    }

    #[test]
    fn a_flood_makes_it_forget_the_oldest_and_not_grow() {
        let mut cache = LoopCache::timed(MEMORY);
        let t = Instant::ZERO;
        for number in 0..3 * LOOPS_LEN_MAX as u32 {
            assert!(!cache.seen(t, (S, number, 0)));
            assert!(cache.len() <= LOOPS_LEN_MAX);
        }
        let last = 3 * LOOPS_LEN_MAX as u32 - 1;
        assert!(cache.seen(t, (S, last, 0)));
        assert!(!cache.seen(t, (S, last - LOOPS_LEN_MAX as u32, 0)));
    }
}
