//! Which counters of one sender have been here: a sliding window under the largest one.
//!
//! Implements: nothing of the thesis; the anti-replay window of RFC 4303, 3.4.3.

use super::stats::SealDrop;

/// How far behind the newest frame of its sender a frame may come in. A station may have two
/// sockets, one of them for multicasts, and what waits in one is overtaken by what comes by the
/// other: that is more than any network reorders.
pub const WINDOW_LEN: u64 = 4_096;

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = (WINDOW_LEN / WORD_BITS) as usize;

/// The counters from `floor` on that were accepted, as far as they lie in the window.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Nothing below is ever accepted.
    floor: u64,
    top: u64,
    /// The bit of a counter is at the counter's remainder; those beyond `top` are clear.
    bits: [u64; WORDS],
}

impl Window {
    /// A window in which `top` has been seen, and nothing else from `floor` on.
    pub(super) fn new(floor: u64, top: u64) -> Window {
        assert!(floor <= top, "the window opens at or below its first frame");
        let mut window = Window {
            floor,
            top,
            bits: [0; WORDS],
        };
        window.set(top);
        window
    }

    /// Whether a frame with this counter would be the first one.
    pub(super) fn check(&self, counter: u64) -> Result<(), SealDrop> {
        if counter < self.floor {
            Err(SealDrop::Stale)
        } else if counter > self.top {
            Ok(())
        } else if self.top - counter >= WINDOW_LEN {
            Err(SealDrop::TooOld)
        } else if self.has(counter) {
            Err(SealDrop::Replayed)
        } else {
            Ok(())
        }
    }

    /// Notes a frame that was checked and is authentic.
    pub(super) fn accept(&mut self, counter: u64) {
        assert_eq!(self.check(counter), Ok(()), "accepted once");
        if counter > self.top {
            if counter - self.top >= WINDOW_LEN {
                self.bits = [0; WORDS];
            } else {
                (self.top + 1..=counter).for_each(|passed| self.clear(passed));
            }
            self.top = counter;
        }
        self.set(counter);
    }

    fn has(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        self.bits[word] & bit != 0
    }

    fn set(&mut self, counter: u64) {
        let (word, bit) = place(counter);
        self.bits[word] |= bit;
    }

    fn clear(&mut self, counter: u64) {
        let (word, bit) = place(counter);
        self.bits[word] &= !bit;
    }
}

fn place(counter: u64) -> (usize, u64) {
    let at = counter % WINDOW_LEN;
    ((at / WORD_BITS) as usize, 1 << (at % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_window_agrees_with_a_set_of_all_that_was_seen() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let first = rng.below(5_000);
            let floor = first - rng.below(first + 1);
            let mut window = Window::new(floor, first);
            let mut seen = BTreeSet::from([first]);
            for _ in 0..5_000 {
                let top = *seen.last().unwrap();
                let step = [3, 70, WINDOW_LEN * 3 / 2][rng.below(3) as usize];
                let low = top.saturating_sub(if rng.chance(1, 20) {
                    2 * WINDOW_LEN + 50
                } else {
                    step
                });
                let counter = low + rng.below(top - low + step / 20 + 2);
                let expected = if counter < floor {
                    Err(SealDrop::Stale)
                } else if counter + WINDOW_LEN <= top {
                    Err(SealDrop::TooOld)
                } else if seen.contains(&counter) {
                    Err(SealDrop::Replayed)
                } else {
                    Ok(())
                };
                assert_eq!(
                    window.check(counter),
                    expected,
                    "seed {seed}, {counter} of {top}"
                );
                if expected.is_ok() {
                    window.accept(counter);
                    seen.insert(counter);
                }
            }
        }
    }

    #[test]
    fn the_last_counter_there_is_can_be_accepted() {
        let mut window = Window::new(0, u64::MAX - 1);
        window.accept(u64::MAX);
        assert_eq!(window.check(u64::MAX), Err(SealDrop::Replayed));
        assert_eq!(window.check(u64::MAX - WINDOW_LEN), Err(SealDrop::TooOld));
        assert_eq!(window.check(u64::MAX - WINDOW_LEN + 1), Ok(()));
    }
}
