//! Ending a system call that blocks, from another thread: by a signal that does nothing.
//!
//! The signal is SIGURG, which is ignored unless somebody wants it: one that comes too late ends
//! some other call of the same thread too early, and everybody who blocks has to be ready for that
//! (std tries again). A process that uses SIGURG for something keeps it, and has no interrupts.
//!
//! A signal that comes before the call blocks ends nothing, and nobody can tell. So whoever wants
//! the call ended goes on sending until it is over.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SIGNAL: libc::c_int = libc::SIGURG;

extern "C" fn nothing(_: libc::c_int) {}

/// [`nothing`], as the kernel has it.
fn handler() -> libc::sighandler_t {
    nothing as extern "C" fn(libc::c_int) as libc::sighandler_t
}

/// Interrupts whoever is within [`Interrupt::during`].
pub(in crate::driver) struct Interrupt(Mutex<Calls>);

struct Calls {
    /// Who makes a call.
    now: Option<libc::pthread_t>,
    /// Who made the last one, and lets the signal through.
    last: Option<libc::pthread_t>,
}

impl Interrupt {
    /// An interrupt, unless the process uses the signal for something else.
    pub(in crate::driver) fn new() -> Option<Interrupt> {
        let is_ours = present().ok()? == handler() || install().is_ok();
        let (now, last) = (None, None);
        is_ours.then(|| Interrupt(Mutex::new(Calls { now, last })))
    }

    /// Makes a call that blocks, which may be ended early meanwhile. One thread at a time; a thread
    /// lets the signal through from then on.
    pub(in crate::driver) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        // SAFETY: it only says who calls.
        let own = unsafe { libc::pthread_self() };
        let mut calls = self.lock();
        calls.now = Some(own);
        if calls.last.replace(own) != Some(own) {
            let_through();
        }
        drop(calls);
        let _over = Over(self);
        call()
    }

    /// Sends the signal to who makes a call; says whether anybody does.
    pub(in crate::driver) fn send(&self) -> bool {
        let calls = self.lock();
        if let Some(thread) = calls.now {
            // SAFETY: the thread is within `during`, which does not end while the lock is held. It
            // fails for no thread that lives.
            unsafe { libc::pthread_kill(thread, SIGNAL) };
        }
        calls.now.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a call, however it ends.
struct Over<'a>(&'a Interrupt);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // From here on nobody uses the handle of this thread, which may end.
        self.0.lock().now = None;
    }
}

/// Lets the signal through to this thread.
fn let_through() {
    // SAFETY: all zero is a set of signals, which is emptied at once.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours, and nobody asks for the mask that was before. None of the calls
    // fails for a signal that exists.
    unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, SIGNAL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// What the process does with the signal.
fn present() -> io::Result<libc::sighandler_t> {
    // SAFETY: all zero is an action, which the next call overwrites.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the action is ours; nothing is changed.
    match unsafe { libc::sigaction(SIGNAL, std::ptr::null(), &raw mut action) } {
        0 => Ok(action.sa_sigaction),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the signal end system calls, if the process does not use it.
fn install() -> io::Result<()> {
    if ![libc::SIG_DFL, libc::SIG_IGN].contains(&present()?) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // SAFETY: all zero is an action: no flags, no further signals that are blocked.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler();
    // Not SA_RESTART, since calls are to end; and on the stack for signals where a thread has one,
    // since its own may be small.
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the action is filled, and a handler that does nothing does no harm anywhere.
    match unsafe { libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_that_blocks_ends_and_nothing_else_does() {
        let interrupt = Interrupt::new().expect("nobody uses the signal here");
        let (mut silent, _other) = UnixStream::pair().unwrap();
        silent
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    interrupt.send();
                    std::thread::yield_now();
                }
            });
            for _ in 0..100 {
                let ended = interrupt.during(|| io::Read::read(&mut silent, &mut [0]));
                assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::Interrupted);
            }
            over.store(true, Ordering::SeqCst);
        });
        assert!(!interrupt.send(), "who is not within a call gets no signal");
        assert_eq!(present().unwrap(), handler());
    }
}
