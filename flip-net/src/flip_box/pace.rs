//! The pace of long messages where no credits hold them back: tokens, and a rate that grows fast
//! until somebody misses something. Then it halves, and grows slowly from there: what a network
//! takes is found quickly once and approached with care afterwards.
//!
//! Differs: neither the thesis nor Amoeba has it; it stands in for credits on networks without the
//! flow-control header, and for multicasts, which have no credits anywhere.

use crate::config::Pace;
use crate::time::{Duration, Instant};

/// Fragments of a burst, however slow the pace: at least one long one.
const BURST_MIN: i64 = 64 << 10;
/// In so much time of sending the rate grows by a factor of e, as long as nobody has complained.
const FOLDING_TIME: Duration = Duration::from_millis(16);
/// After a complaint it grows in so much time of sending by what it began with.
const GROWTH_TIME: Duration = Duration::from_millis(256);
/// Complaints closer together are about the same loss.
const SLOW_DOWN_INTERVAL: Duration = Duration::from_millis(20);

/// Says when the next fragment may leave.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Option<Pace>,
    /// Bytes that may leave now; below zero after a long fragment.
    tokens: i64,
    /// The tokens ran out, and a fair number has to gather first.
    stopped: bool,
    refilled: Instant,
    /// Bytes in a millisecond, as fast as seems good now.
    rate: u64,
    /// Where the fast growth ends: half of what was once too fast.
    threshold: u64,
    /// When it was slowed down last.
    slowed: Instant,
}

impl Pacer {
    /// Without a pace nothing is held back.
    pub(crate) fn new(pace: Option<Pace>) -> Pacer {
        Pacer {
            pace,
            tokens: pace.map_or(0, |pace| pace.burst as i64),
            stopped: false,
            refilled: Instant::ZERO,
            rate: pace.map_or(0, |pace| pace.per_millisecond),
            threshold: u64::MAX,
            slowed: Instant::ZERO,
        }
    }

    /// Lets the tokens grow with time; the rate grows while something waits.
    pub(crate) fn refill(&mut self, now: Instant, waiting: bool) {
        let Some(pace) = self.pace else { return };
        let gone_by = now.since(self.refilled).as_micros();
        let gained = gone_by.saturating_mul(self.rate) / 1_000;
        if gained == 0 {
            return;
        }
        self.refilled = now;
        if waiting {
            let grown = match self.rate < self.threshold {
                true => self.rate.saturating_mul(gone_by) / FOLDING_TIME.as_micros(),
                false => pace.per_millisecond.saturating_mul(gone_by) / GROWTH_TIME.as_micros(),
            };
            // However long ago the last look was, it says nothing of a rate that was never tried.
            let grown = grown.clamp(1, self.rate);
            self.rate = (self.rate + grown).min(pace.per_millisecond_max.max(1));
        }
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        let burst = self.burst(pace);
        self.tokens = self.tokens.saturating_add(gained).min(burst);
        if self.tokens >= burst / 4 {
            self.stopped = false;
        }
    }

    /// Whether a fragment may leave now.
    pub(crate) fn is_open(&self) -> bool {
        !self.stopped
    }

    /// A fragment leaves.
    pub(crate) fn spend(&mut self, bytes: usize) {
        if self.pace.is_some() {
            self.tokens -= bytes as i64;
            self.stopped = self.tokens <= 0;
        }
    }

    /// Somebody misses something: half the speed, but not twice for the same loss.
    pub(crate) fn slow_down(&mut self, now: Instant) {
        let Some(pace) = self.pace else { return };
        if now.since(self.slowed) >= SLOW_DOWN_INTERVAL {
            self.slowed = now;
            self.rate = (self.rate / 2).max(pace.per_millisecond / 64).max(1);
            self.threshold = self.rate;
        }
    }

    /// When fragments may leave again; none if they may now.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let pace = self.pace.filter(|_| self.stopped)?;
        let missing = (self.burst(pace) / 4 - self.tokens).max(1) as u64;
        let wait = (missing * 1_000).div_ceil(self.rate.max(1));
        Some(self.refilled + Duration::from_micros(wait))
    }

    /// What may leave at once: less if the rate is less than it was to begin with.
    fn burst(&self, pace: Pace) -> i64 {
        let rate = self.rate.min(pace.per_millisecond);
        let scaled =
            u128::from(pace.burst) * u128::from(rate) / u128::from(pace.per_millisecond.max(1));
        (scaled as i64).max(BURST_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        burst: 1 << 20,
        per_millisecond: 1_024,
        per_millisecond_max: 1 << 20,
    };

    /// Time goes on, a millisecond at a time, while something waits.
    fn pass(pacer: &mut Pacer, now: &mut Instant, millis: u64) {
        for _ in 0..millis {
            *now += Duration::from_millis(1);
            pacer.refill(*now, true);
        }
    }

    #[test]
    fn the_rate_grows_fast_until_somebody_complains_and_slowly_then() {
        let (mut pacer, mut now) = (Pacer::new(Some(PACE)), Instant::ZERO);
        pass(&mut pacer, &mut now, 64);
        let fast = pacer.rate;
        assert!((14 << 10..54 << 10).contains(&fast), "{fast}");
        pacer.slow_down(now);
        assert_eq!(pacer.rate, fast / 2);
        pass(&mut pacer, &mut now, 256);
        let grown = pacer.rate - fast / 2;
        assert!((1_000..1_100).contains(&grown), "{grown}");
    }

    #[test]
    fn the_rate_has_bounds_on_either_side() {
        let (mut pacer, mut now) = (Pacer::new(Some(PACE)), Instant::ZERO);
        pass(&mut pacer, &mut now, 1_000);
        assert_eq!(pacer.rate, PACE.per_millisecond_max);
        for _ in 0..100 {
            now += SLOW_DOWN_INTERVAL;
            pacer.slow_down(now);
        }
        assert_eq!(pacer.rate, PACE.per_millisecond / 64);
    }

    #[test]
    fn who_sends_nothing_does_not_get_faster() {
        let mut pacer = Pacer::new(Some(PACE));
        pacer.refill(Instant::from_micros(1_000_000), false);
        assert_eq!(pacer.rate, PACE.per_millisecond);
        // Nor does one look after a long time count for more than one doubling.
        pacer.refill(Instant::from_micros(9_000_000), true);
        assert_eq!(pacer.rate, 2 * PACE.per_millisecond);
    }
}
