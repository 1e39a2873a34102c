//! The loop cache: which broadcasts have been here before.
//!
//! Direct-mapped, so two broadcasts that share a slot make it forget; that costs a packet, never
//! correctness.
//!
//! Implements: [Thesis §2.4.2], loops; facts sheet 1.5.
//! Differs: the thesis has network and location in the key, which would let a packet that came
//! back by another way pass; the key here is that of Amoeba 5, the time-out that of the thesis.

use crate::address::FlipAddress;
use crate::time::{Duration, Instant};

const SLOTS: usize = 1_024;

type Key = (FlipAddress, u32, u32);

#[derive(Debug)]
pub(crate) struct LoopCache {
    slots: Vec<Option<(Key, Instant)>>,
    memory: Option<Duration>,
}

impl LoopCache {
    /// `memory` is how long a broadcast is remembered; none means until its slot is needed.
    pub(crate) fn new(memory: Option<Duration>) -> LoopCache {
        LoopCache {
            slots: vec![None; SLOTS],
            memory,
        }
    }

    /// Whether this fragment of a broadcast was here before; remembers it either way.
    pub(crate) fn seen(
        &mut self,
        now: Instant,
        source: FlipAddress,
        message: u32,
        offset: u32,
    ) -> bool {
        let key = (source, message, offset);
        let slot = &mut self.slots[index(key)];
        let seen = slot.is_some_and(|(known, at)| {
            known == key && self.memory.is_none_or(|memory| now.since(at) < memory)
        });
        *slot = Some((key, now));
        seen
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

    #[test]
    fn a_fragment_is_known_the_second_time_and_until_its_slot_is_taken() {
        // Scenarios 26 and 27.
        let mut cache = LoopCache::new(None);
        let t = Instant::ZERO;
        assert!(!cache.seen(t, S, 1, 0));
        assert!(cache.seen(t + Duration::from_secs(1_000), S, 1, 0));
        assert!(!cache.seen(t, S, 2, 0));
        assert!(!cache.seen(t, S, 1 + SLOTS as u32, 0));
        assert!(!cache.seen(t, S, 1, 0));
    }

    #[test]
    fn the_thesis_forgets_after_a_time() {
        let mut cache = LoopCache::new(Some(Duration::from_secs(10)));
        assert!(!cache.seen(Instant::ZERO, S, 1, 0));
        assert!(cache.seen(Instant::from_micros(9_000_000), S, 1, 0));
        // A duplicate starts the time-out again.
        assert!(cache.seen(Instant::from_micros(18_000_000), S, 1, 0));
        assert!(!cache.seen(Instant::from_micros(28_000_000), S, 1, 0));
    }
}
