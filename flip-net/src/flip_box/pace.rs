//! The pace of long messages where no credits hold them back: tokens, and a rate that halves when
//! somebody misses something.
//!
//! Differs: neither the thesis nor Amoeba has it; it stands in for credits on networks without the
//! flow-control header, and for multicasts, which have no credits anywhere.

use crate::config::Pace;
use crate::time::{Duration, Instant};

/// Fragments of a burst, however slow the pace: at least one long one.
const BURST_MIN: i64 = 64 << 10;
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
            slowed: Instant::ZERO,
        }
    }

    /// Lets the tokens grow with time; the rate recovers while something waits.
    pub(crate) fn refill(&mut self, now: Instant, waiting: bool) {
        let Some(pace) = self.pace else { return };
        let gone_by = now.since(self.refilled).as_micros();
        let gained = gone_by.saturating_mul(self.rate) / 1_000;
        if gained == 0 {
            return;
        }
        self.refilled = now;
        if waiting {
            // Back to full speed in a quarter of a second of sending.
            let grown = gone_by.saturating_mul(pace.per_millisecond) / (1_000 * 256);
            self.rate = (self.rate + grown.max(1)).min(pace.per_millisecond);
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
        }
    }

    /// When fragments may leave again; none if they may now.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let pace = self.pace.filter(|_| self.stopped)?;
        let missing = (self.burst(pace) / 4 - self.tokens).max(1) as u64;
        let wait = (missing * 1_000).div_ceil(self.rate.max(1));
        Some(self.refilled + Duration::from_micros(wait))
    }

    /// What may leave at once, in proportion to the rate.
    fn burst(&self, pace: Pace) -> i64 {
        let scaled = pace.burst as u128 * self.rate as u128 / pace.per_millisecond.max(1) as u128;
        (scaled as i64).max(BURST_MIN)
    }
}
