//! What has no safe call: the host's monotonic clock, children that die with their parent, and waiting for a socket that is read and
//! written directly.

#![allow(
    unsafe_code,
    reason = "clock_gettime, prctl between fork and exec, registering a descriptor"
)]

use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::io::unix::AsyncFd;

/// Nanoseconds of the host's monotonic clock, the one that chunks of output carry.
pub fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(result, 0, "the monotonic clock can be read");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Makes the command's process receive SIGKILL when the thread that starts it ends, so also when this process is killed.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let before_exec = move || {
        // SAFETY: prctl and getppid are async-signal-safe and take no pointers here.
        let (result, now) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::getppid(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have been killed before prctl took effect.
        if now as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe calls and does not allocate.
    unsafe { command.pre_exec(before_exec) };
}

/// Lets a task wait for this stream.
pub fn register(stream: UnixStream) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: the stream owns its descriptor, which stays open and the same for as long as the stream lives, and the
    // stream lives in the registration.
    Ok(unsafe { AsyncFd::register(stream) }?)
}
