//! When to probe who hears the group: a few times, soon and then more and more rarely, and again
//! when somebody turns up who was not there. Nobody waits for the outcome.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant as StdInstant;

use crate::time::Duration;

/// Probes after the start. The last one goes out after five seconds: interfaces that have just been
/// set up may need a while.
const ROUNDS: u32 = 10;
/// What lies between the first two; it doubles from one to the next.
const FIRST_DELAY: Duration = Duration::from_millis(10);
/// Probes because of peers that turned up late.
const EXTRA_ROUNDS: u32 = 256;

const NEVER: u64 = u64::MAX;

/// The timetable of probes.
pub(super) struct Probing {
    epoch: StdInstant,
    nonce: u64,
    /// When the next one is due, in microseconds of the epoch; looked at before every system call.
    next: AtomicU64,
    left: Mutex<Left>,
}

struct Left {
    rounds: u32,
    extra: u32,
}

impl Probing {
    /// No probes yet. The nonce is what answers must have.
    pub(super) fn new(nonce: u64) -> Probing {
        Probing {
            epoch: StdInstant::now(),
            nonce,
            next: AtomicU64::new(NEVER),
            left: Mutex::new(Left {
                rounds: 0,
                extra: EXTRA_ROUNDS,
            }),
        }
    }

    pub(super) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Begins, or begins again; the first probe is due at once.
    pub(super) fn begin(&self) {
        self.lock().rounds = ROUNDS;
        self.next.store(0, Ordering::Release);
    }

    /// Somebody is there who has not answered. If no probe is to come, one more is due.
    pub(super) fn once_more(&self) {
        let mut left = self.lock();
        if self.next.load(Ordering::Acquire) == NEVER && left.extra > 0 {
            left.extra -= 1;
            left.rounds = 1;
            self.next.store(0, Ordering::Release);
        }
    }

    /// Everybody has answered.
    pub(super) fn end(&self) {
        self.lock().rounds = 0;
        self.next.store(NEVER, Ordering::Release);
    }

    /// Whether a probe is to be sent now; if so the next one is planned.
    pub(super) fn take_due(&self) -> bool {
        let next = self.next.load(Ordering::Acquire);
        if next == NEVER || next > self.now() {
            return false;
        }
        let mut left = self.lock();
        // Another thread may have been here in between.
        if left.rounds == 0 || self.next.load(Ordering::Acquire) != next {
            return false;
        }
        let delay = FIRST_DELAY.as_micros() << (ROUNDS - left.rounds);
        left.rounds -= 1;
        let next = match left.rounds {
            0 => NEVER,
            _ => self.now() + delay,
        };
        self.next.store(next, Ordering::Release);
        true
    }

    /// Shortens a wait so that it ends when the next probe is due.
    pub(super) fn limit(&self, wait: Duration) -> Duration {
        match self.next.load(Ordering::Acquire) {
            NEVER => wait,
            next => wait.min(Duration::from_micros(next.saturating_sub(self.now()))),
        }
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_probe_is_due_at_once_and_the_next_one_is_not() {
        let probing = Probing::new(1);
        let hour = Duration::from_secs(3_600);
        assert!(!probing.take_due());
        assert_eq!(probing.limit(hour), hour);
        probing.begin();
        assert_eq!(probing.limit(hour), Duration::ZERO);
        assert!(probing.take_due());
        assert!(probing.limit(hour) <= FIRST_DELAY);
        probing.end();
        assert!(!probing.take_due());
    }

    #[test]
    fn probes_end_and_late_peers_get_a_bounded_number_more() {
        let probing = Probing::new(1);
        probing.begin();
        let mut probes = 0;
        // The clock of the schedule is moved by hand.
        while probing.next.load(Ordering::Acquire) != NEVER {
            probing.next.store(0, Ordering::Release);
            probes += u32::from(probing.take_due());
        }
        assert_eq!(probes, ROUNDS);
        let mut more = 0;
        for _ in 0..10 * EXTRA_ROUNDS {
            probing.once_more();
            more += u32::from(probing.take_due());
        }
        assert_eq!(more, EXTRA_ROUNDS);
    }
}
