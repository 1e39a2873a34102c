//! Waiting for several descriptors at once, with microseconds: ppoll.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::time::Duration;

/// The longest wait that is handed to the kernel; callers come back.
const WAIT_MAX_SECS: u64 = 3_600;

/// Waits at most `wait` for input, or an error that reading clears, and says on which of them.
/// A signal ends the wait early.
pub(in crate::driver) fn poll<const N: usize>(
    sources: [Option<BorrowedFd<'_>>; N],
    wait: Duration,
) -> [bool; N] {
    let mut fds = sources.map(|source| libc::pollfd {
        // Negative descriptors are skipped by the kernel.
        fd: source.map_or(-1, |source| source.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    let micros = wait.as_micros();
    let wait = libc::timespec {
        tv_sec: (micros / 1_000_000).min(WAIT_MAX_SECS) as libc::time_t,
        tv_nsec: ((micros % 1_000_000) * 1_000) as libc::c_long,
    };
    // SAFETY: `fds` and `wait` live during the call and their number is given; no signal mask.
    let ready = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            &wait,
            std::ptr::null(),
        )
    };
    fds.map(|fd| ready > 0 && fd.revents != 0)
}
