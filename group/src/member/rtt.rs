//! The reply time-out: measured round trips, smoothed, with room for their spread.
//!
//! Implements: [Amoeba5] §3.5 congestion control, the estimate of the round trip.
//! Differs: mean plus four deviations, between two configured bounds; no send budget.

use flip_net::time::Duration;

use crate::config::Timing;

#[derive(Clone, Debug)]
pub(crate) struct Rtt {
    /// Mean and deviation in microseconds, once something was measured.
    measured: Option<(u64, u64)>,
    /// Doublings since the last answer to a request that was sent once.
    backoff: u32,
}

impl Rtt {
    pub(crate) fn new() -> Rtt {
        Rtt {
            measured: None,
            backoff: 0,
        }
    }

    /// A request that was sent once came back after `sample`.
    pub(crate) fn measure(&mut self, sample: Duration) {
        let sample = sample.as_micros();
        self.measured = Some(match self.measured {
            None => (sample, sample / 2),
            Some((mean, deviation)) => (
                (7 * mean + sample) / 8,
                (3 * deviation + mean.abs_diff(sample)) / 4,
            ),
        });
    }

    /// A request that was sent once came back: the time-out is long enough.
    pub(crate) fn answered(&mut self) {
        self.backoff = 0;
    }

    pub(crate) fn timed_out(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// How long to wait for an answer now.
    pub(crate) fn timeout(&self, timing: &Timing) -> Duration {
        let base = match self.measured {
            None => timing.reply,
            Some((mean, deviation)) => {
                Duration::from_micros(mean + 4 * deviation).max(timing.reply_min)
            }
        };
        base.times(1 << self.backoff).min(timing.reply_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_what_was_measured_within_its_bounds() {
        let timing = Timing::modern();
        let mut rtt = Rtt::new();
        assert_eq!(rtt.timeout(&timing), timing.reply);
        for _ in 0..100 {
            rtt.measure(Duration::from_micros(100));
        }
        assert_eq!(rtt.timeout(&timing), timing.reply_min);
        for _ in 0..100 {
            rtt.measure(Duration::from_millis(30));
        }
        let settled = rtt.timeout(&timing).as_micros();
        assert!((29_000..40_000).contains(&settled), "{settled}");
        rtt.timed_out();
        rtt.timed_out();
        assert_eq!(rtt.timeout(&timing).as_micros(), 4 * settled);
        (0..10).for_each(|_| rtt.timed_out());
        assert_eq!(rtt.timeout(&timing), timing.reply_max);
        rtt.answered();
        assert_eq!(rtt.timeout(&timing).as_micros(), settled);
    }
}
