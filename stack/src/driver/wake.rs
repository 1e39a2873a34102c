//! Waking: where the worker is, what makes it come back, and a bell to wait on.
//!
//! The one rule that makes it safe: whoever wants to sleep first says so, then looks again whether
//! there is a reason not to; whoever has a reason first writes it down, then looks whether
//! somebody sleeps. All of it sequentially consistent, so one of the two sees the other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Called whenever there is something for the worker: a delivery was queued, or it was woken. Runs
/// on any thread and must be quick.
pub struct Doorbell(Box<dyn Fn() + Send + Sync>);

impl Doorbell {
    /// Nothing to ring.
    pub fn none() -> Doorbell {
        Doorbell(Box::new(|| {}))
    }

    /// Sets a flag to 1.
    pub fn flag(flag: &'static AtomicU32) -> Doorbell {
        Doorbell::call(move || flag.store(1, SeqCst))
    }

    /// Calls a function.
    pub fn call(ring: impl Fn() + Send + Sync + 'static) -> Doorbell {
        Doorbell(Box::new(ring))
    }

    pub(crate) fn ring(&self) {
        (self.0)();
    }
}

/// One thread waits, others ring; a ring that nobody waits for is remembered.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.condition.notify_one();
    }

    /// Whether it was rung; asks once.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut *self.rung.lock())
    }

    /// Until it rings, however long that takes.
    pub(crate) fn wait_for_ring(&self) {
        let mut rung = self.rung.lock();
        while !*rung {
            self.condition.wait(&mut rung);
        }
        *rung = false;
    }

    /// Until it rings, or `wait` is over.
    pub(crate) fn wait(&self, wait: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.condition.wait_for(&mut rung, wait);
        }
        *rung = false;
    }
}

/// Where the worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At work; it looks at its doorbell by itself.
    Working,
    /// Waiting on its bell: a receiver thread has the receive role.
    OnBell,
    /// Receiving from the first network itself.
    InDevice,
}

/// What the worker and those who wake it share.
#[derive(Default)]
pub(crate) struct WorkerState {
    place: AtomicU8,
    woken: AtomicBool,
    pub(crate) bell: Bell,
}

impl WorkerState {
    pub(crate) fn place(&self) -> Place {
        match self.place.load(SeqCst) {
            0 => Place::Working,
            1 => Place::OnBell,
            _ => Place::InDevice,
        }
    }

    pub(crate) fn set_place(&self, place: Place) {
        let number = match place {
            Place::Working => 0,
            Place::OnBell => 1,
            Place::InDevice => 2,
        };
        self.place.store(number, SeqCst);
    }

    /// Somebody wants the worker's attention.
    pub(crate) fn set_woken(&self) {
        self.woken.store(true, SeqCst);
    }

    /// Whether somebody wanted it; asks once.
    pub(crate) fn take_woken(&self) -> bool {
        self.woken.swap(false, SeqCst)
    }
}
