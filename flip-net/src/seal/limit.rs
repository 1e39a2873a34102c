//! How many answers may leave, whoever asks.

use crate::time::{Duration, Instant};

const SECOND_MICROS: u64 = 1_000_000;

/// Grants up to `burst` at once and `per_second` after that.
pub(super) struct Limit {
    burst: u64,
    per_second: u64,
    left: u64,
    /// Up to when grants have been added.
    at: Instant,
}

impl Limit {
    pub(super) fn new(burst: u64, per_second: u64) -> Limit {
        assert!(
            (1..=SECOND_MICROS).contains(&per_second),
            "at least one answer a second, at most one a microsecond"
        );
        let at = Instant::ZERO;
        Limit {
            burst,
            per_second,
            left: burst,
            at,
        }
    }

    /// Takes one grant, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let span = SECOND_MICROS / self.per_second;
        let earned = now.since(self.at).as_micros() / span;
        self.left = self.left.saturating_add(earned).min(self.burst);
        // What is left of the last span counts the next time.
        self.at += Duration::from_micros(earned * span);
        let granted = self.left > 0;
        self.left -= u64::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_the_burst_and_the_rate() {
        let mut limit = Limit::new(10, 100);
        let mut granted = 0;
        for micros in 0..500_000 {
            granted += u64::from(limit.take(Instant::from_micros(micros)));
        }
        assert_eq!(granted, 10 + 49);
    }
}
