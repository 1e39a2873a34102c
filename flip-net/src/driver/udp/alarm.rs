//! Ends a blocking receive at its deadline.
//!
//! Receiving with one system call means to block in it, and the kernel's own time-out for that is
//! rounded to its ticks (4 ms here and there), too coarse for the timers of protocols. So a thread
//! watches the deadline. While frames come and go, deadlines move ahead of it and cost nothing but
//! a store: it is told only of a deadline that is earlier than when it looks next.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration as StdDuration, Instant as StdInstant};

use crate::time::Duration;

const NEVER: u64 = u64::MAX;

/// Watches one deadline at a time; its thread starts when it is first needed.
pub(super) struct Alarm {
    shared: Arc<Shared>,
    thread: OnceLock<Option<JoinHandle<()>>>,
}

struct Shared {
    epoch: StdInstant,
    ring: Box<dyn Fn() + Send + Sync>,
    /// The deadline of the wait that is on, or was on last; microseconds of the epoch.
    deadline: AtomicU64,
    is_waiting: AtomicBool,
    /// When the thread looks next.
    looks_at: AtomicU64,
    stop: Mutex<bool>,
    changed: Condvar,
}

impl Alarm {
    /// An alarm that rings so.
    pub(super) fn new(ring: impl Fn() + Send + Sync + 'static) -> Alarm {
        Alarm {
            shared: Arc::new(Shared {
                epoch: StdInstant::now(),
                ring: Box::new(ring),
                deadline: AtomicU64::new(NEVER),
                is_waiting: AtomicBool::new(false),
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
            let thread = std::thread::Builder::new().name("udp-alarm".to_owned());
            thread.spawn(move || shared.watch()).ok()
        });
        if thread.is_none() {
            return false;
        }
        let deadline = self.shared.now().saturating_add(wait.as_micros());
        self.shared.deadline.store(deadline, SeqCst);
        self.shared.is_waiting.store(true, SeqCst);
        // Either this sees when the thread looks next, or the thread sees this deadline.
        if deadline < self.shared.looks_at.load(SeqCst) {
            self.shared.call();
        }
        true
    }

    /// The wait is over. Says whether the alarm rang.
    pub(super) fn disarm(&self) -> bool {
        !self.shared.is_waiting.swap(false, SeqCst)
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
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stop {
            let (deadline, now) = (self.deadline.load(SeqCst), self.now());
            if deadline <= now && self.is_waiting.swap(false, SeqCst) {
                (self.ring)();
            }
            // A deadline that was not waited for to the end is looked at too: the next one is
            // likely to come behind it, and need not call.
            let next = if deadline > now { deadline } else { NEVER };
            self.looks_at.store(next, SeqCst);
            if self.deadline.load(SeqCst) != deadline {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn an_alarm_rings_once_for_each_wait_and_not_when_taken_back() {
        let (rang, rings) = channel();
        let alarm = Alarm::new(move || rang.send(StdInstant::now()).unwrap());
        let hour = Duration::from_secs(3_600);
        for wait in [
            hour,
            Duration::from_millis(3),
            hour,
            Duration::from_micros(200),
        ] {
            let begun = StdInstant::now();
            assert!(alarm.arm(wait));
            if wait == hour {
                assert!(!alarm.disarm());
                continue;
            }
            let rang = rings.recv_timeout(StdDuration::from_secs(20)).unwrap();
            assert!(rang - begun >= StdDuration::from_micros(wait.as_micros()));
            assert!(alarm.disarm());
        }
        drop(alarm);
        assert!(rings.try_recv().is_err());
    }
}
