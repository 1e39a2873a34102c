//! Ends a blocking receive at its deadline.
//!
//! Receiving with one system call means to block in it, and the kernel's own time-out for that is
//! rounded to its ticks (4 ms here and there), too coarse for the timers of protocols. So a thread
//! watches the deadline. While frames come and go, deadlines move ahead of it and cost nothing but
//! a store: it is told only of a deadline that is earlier than when it looks next.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration as StdDuration, Instant as StdInstant};

use crate::time::Duration;

const NEVER: u64 = u64::MAX;
/// How long a ring may go unheard before the next one.
const RING_AGAIN: Duration = Duration::from_millis(10);
/// So many rings in a row that cannot be sent, and nothing will ever be heard.
const FAILURES_MAX: u32 = 100;

/// Nobody waits.
const IDLE: u8 = 0;
/// Somebody does.
const WAITING: u8 = 1;
/// Somebody did, and was rung for.
const RUNG: u8 = 2;

/// What an alarm rings: it ends the receive that blocks.
pub(super) trait Ends: Send + Sync {
    /// Tries to; says whether it could be tried.
    fn insist(&self) -> bool;

    /// It could not be tried for long. What is left is to end receiving for good.
    fn hang_up(&self) {}
}

/// Watches one deadline at a time; its thread starts when it is first needed.
pub(super) struct Alarm {
    shared: Arc<Shared>,
    thread: OnceLock<Option<JoinHandle<()>>>,
}

struct Shared {
    epoch: StdInstant,
    ends: Arc<dyn Ends>,
    /// The deadline of the wait that is on, or was on last; microseconds of the epoch.
    deadline: AtomicU64,
    state: AtomicU8,
    /// When the thread looks next.
    looks_at: AtomicU64,
    stop: Mutex<bool>,
    changed: Condvar,
}

impl Alarm {
    /// An alarm that rings so.
    pub(super) fn new(ends: Arc<dyn Ends>) -> Alarm {
        Alarm {
            shared: Arc::new(Shared {
                epoch: StdInstant::now(),
                ends,
                deadline: AtomicU64::new(NEVER),
                state: AtomicU8::new(IDLE),
                looks_at: AtomicU64::new(NEVER),
                stop: Mutex::new(false),
                changed: Condvar::new(),
            }),
            thread: OnceLock::new(),
        }
    }

    /// Rings after `wait`, unless it is taken back. Says whether it can: no thread, no alarm.
    pub(super) fn arm(&self, wait: Duration) -> bool {
        let thread = self.thread.get_or_init(|| {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("alarm".to_owned());
            thread.spawn(move || shared.watch()).ok()
        });
        if thread.is_none() {
            return false;
        }
        let deadline = self.shared.now().saturating_add(wait.as_micros());
        self.shared.deadline.store(deadline, Ordering::SeqCst);
        // Behind the deadline: who sees this sees that.
        self.shared.state.store(WAITING, Ordering::Release);
        // Either this sees when the thread looks next, or the thread sees the deadline.
        if deadline < self.shared.looks_at.load(Ordering::SeqCst) {
            self.shared.call();
        }
        true
    }

    /// Rings now, again and again until the wait is over; if nobody waits there is nothing to do.
    pub(super) fn hasten(&self) {
        self.shared.deadline.store(0, Ordering::SeqCst);
        self.shared.call();
    }

    /// The wait is over. Says whether the alarm rang.
    pub(super) fn disarm(&self) -> bool {
        self.shared.state.swap(IDLE, Ordering::AcqRel) == RUNG
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        *self
            .shared
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.changed.notify_one();
        if let Some(Some(thread)) = self.thread.take() {
            // It has nothing that could fail.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    fn call(&self) {
        // Under the lock, so that the thread is either before its look or already waits.
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn watch(&self) {
        let mut failures = 0;
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stop {
            let state = self.state.load(Ordering::Acquire);
            let (deadline, now) = (self.deadline.load(Ordering::SeqCst), self.now());
            let next = match deadline <= now {
                true if state != IDLE => {
                    self.ring(&mut failures);
                    now + RING_AGAIN.as_micros()
                }
                true => NEVER,
                // Looked at even if the wait for it is over by then: that of the next wait is
                // likely to come behind it, and need not call.
                false => deadline,
            };
            self.looks_at.store(next, Ordering::SeqCst);
            if self.deadline.load(Ordering::SeqCst) != deadline {
                continue;
            }
            let wait = match next {
                NEVER => StdDuration::MAX,
                next => StdDuration::from_micros(next.saturating_sub(self.now())),
            };
            stop = match self.changed.wait_timeout(stop, wait) {
                Ok((stop, _)) => stop,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Rings, for the first time or once more. A host that does not deliver to itself any more, its
    /// address being gone, leaves one way to end the wait, and that is for good.
    fn ring(&self, failures: &mut u32) {
        let first = self
            .state
            .compare_exchange(WAITING, RUNG, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            *failures = 0;
        }
        if !self.ends.insist() {
            *failures += 1;
        }
        if *failures >= FAILURES_MAX {
            self.ends.hang_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    /// Sends empty datagrams.
    struct Sends(UdpSocket, SocketAddr);

    impl Ends for Sends {
        fn insist(&self) -> bool {
            self.0.send_to(&[], self.1).is_ok()
        }
    }

    /// A wait that is ended before its time.
    const LATER: Duration = Duration::from_secs(3_000);

    #[test]
    fn an_alarm_rings_at_the_end_of_a_wait_or_when_told_and_not_when_taken_back() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let timeout = Some(StdDuration::from_secs(20));
        socket.set_read_timeout(timeout).unwrap();
        let own = socket.local_addr().unwrap();
        let alarm = Alarm::new(Arc::new(Sends(socket.try_clone().unwrap(), own)));
        let hour = Duration::from_secs(3_600);
        for wait in [
            hour,
            Duration::from_millis(3),
            hour,
            LATER,
            Duration::from_micros(200),
        ] {
            let begun = StdInstant::now();
            assert!(alarm.arm(wait));
            if wait == LATER {
                alarm.hasten();
            }
            if wait == hour {
                assert!(!alarm.disarm());
                continue;
            }
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 0);
            let least = if wait == LATER { Duration::ZERO } else { wait };
            assert!(begun.elapsed() >= StdDuration::from_micros(least.as_micros()));
            // It goes on until it is heard.
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 0);
            assert!(alarm.disarm());
            socket.set_nonblocking(true).unwrap();
            while socket.recv(&mut [0; 8]).is_ok() {}
            socket.set_nonblocking(false).unwrap();
        }
    }
}
