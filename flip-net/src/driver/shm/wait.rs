//! Waiting across processes: futexes on shared words, and how long a sender has patience.
//!
//! The futexes are not private ones, since a word is mapped at another place in every process.
//! Nothing here knows what a word means, and nothing but a benchmark waits without a bound.

use std::sync::atomic::AtomicU32;

use crate::time::Duration;

/// The longest single wait: who wants more comes back.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Nanoseconds of the host's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(u64);

impl Nanos {
    pub(super) fn now() -> Nanos {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is ours and has room for what the call writes.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        assert_eq!(result, 0, "every Linux has a monotonic clock");
        Nanos(now.tv_sec as u64 * NANOS_PER_SEC + now.tv_nsec as u64)
    }

    pub(super) fn timespec(self) -> libc::timespec {
        libc::timespec {
            tv_sec: (self.0 / NANOS_PER_SEC) as libc::time_t,
            tv_nsec: (self.0 % NANOS_PER_SEC) as libc::c_long,
        }
    }
}

/// How long something may take in all. The clock is read only once there is a reason to wait.
pub(super) struct Patience {
    span: Duration,
    until: Option<Nanos>,
}

impl Patience {
    pub(super) fn new(span: Duration) -> Patience {
        Patience { span, until: None }
    }

    /// When it ends; it begins with the first call.
    pub(super) fn until(&mut self) -> Nanos {
        let span = self.span.as_micros().saturating_mul(1_000);
        *self
            .until
            .get_or_insert_with(|| Nanos(Nanos::now().0.saturating_add(span)))
    }

    /// What is left of it, rounded up.
    pub(super) fn left(&mut self) -> Duration {
        let left = self.until().0.saturating_sub(Nanos::now().0);
        Duration::from_micros(left.div_ceil(1_000))
    }
}

/// Sleeps while `word` is `expected`, until somebody wakes the word or `wait` is over. It may also
/// come back for no reason.
pub(super) fn futex_wait(word: &AtomicU32, expected: u32, wait: Duration) {
    let micros = wait.min(WAIT_MAX).as_micros();
    let wait = Nanos(micros * 1_000).timespec();
    // SAFETY: the word is mapped and aligned during the call, the kernel only reads it, and `wait`
    // lives. Every result, errors too, means the same: look again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            &raw const wait,
        );
    }
}

/// The same without a bound, for measuring what that costs.
pub(super) fn futex_wait_for_ever(word: &AtomicU32, expected: u32) {
    // SAFETY: as above, and no time-out is a null pointer.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            std::ptr::null::<libc::timespec>(),
        );
    }
}

/// Wakes everybody who sleeps on `word`.
pub(super) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word is mapped and aligned during the call; the kernel uses only its address.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            libc::c_int::MAX,
        );
    }
}
