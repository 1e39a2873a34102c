//! Which runnable process is next.
//!
//! In a real run the one that waited longest; in simulation one drawn from a seed, so that many orders are tried and each can be
//! repeated.

use std::collections::VecDeque;

use super::ProcessId;

/// The runnable processes of a processor.
#[derive(Debug)]
pub(crate) struct Schedule {
    ready: VecDeque<ProcessId>,
    /// State of the generator, in simulation.
    random: Option<u64>,
}

impl Schedule {
    /// An empty schedule; with a seed its order is drawn.
    pub(crate) fn new(seed: Option<u64>) -> Schedule {
        Schedule {
            ready: VecDeque::new(),
            random: seed,
        }
    }

    /// The process may run when its turn comes.
    pub(crate) fn push_back(&mut self, process: ProcessId) {
        self.ready.push_back(process);
    }

    /// The process goes on at once.
    pub(crate) fn push_front(&mut self, process: ProcessId) {
        self.ready.push_front(process);
    }

    /// The next process to run.
    pub(crate) fn next(&mut self) -> Option<ProcessId> {
        if self.ready.is_empty() {
            return None;
        }
        let Some(state) = &mut self.random else {
            return self.ready.pop_front();
        };
        let index = next_random(state) % self.ready.len() as u64;
        self.ready.remove(index as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.ready.clear();
    }
}

/// SplitMix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: Option<u64>) -> Vec<u32> {
        let mut schedule = Schedule::new(seed);
        (0..20).for_each(|id| schedule.push_back(ProcessId(id)));
        std::iter::from_fn(|| schedule.next()).map(|id| id.0).collect()
    }

    #[test]
    fn without_a_seed_first_come_first_served() {
        assert_eq!(order(None), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_seed_decides_the_order() {
        assert_eq!(order(Some(7)), order(Some(7)));
        assert_ne!(order(Some(7)), order(Some(8)));
    }
}
