//! Getting a worker's attention from another thread.
//!
//! A [`Bell`] sets the flag that compiled code polls, and wakes the worker if it is resting. The flag lies in the arena, which goes away with the
//! processor; so the bell is told when, and rings nowhere after that.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Rings a processor's doorbell; cheap to copy.
#[derive(Clone)]
pub struct Bell(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    wake: Condvar,
    /// Wakes a worker that rests elsewhere than on this bell.
    elsewhere: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct State {
    /// The flag; nothing when the processor is gone.
    flag: Option<&'static AtomicU32>,
    rung: bool,
}

impl Bell {
    /// A bell for a flag that lives until [`Bell::detach`].
    pub(crate) fn new(flag: &'static AtomicU32) -> Bell {
        Bell(Arc::new(Inner {
            state: Mutex::new(State {
                flag: Some(flag),
                rung: false,
            }),
            wake: Condvar::new(),
            elsewhere: OnceLock::new(),
        }))
    }

    /// Something waits for the worker: it is told at its next poll, and woken if it rests.
    pub fn ring(&self) {
        self.raise();
        if let Some(wake) = self.0.elsewhere.get() {
            wake();
        }
    }

    /// As [`Bell::ring`], by somebody who wakes a worker that rests elsewhere himself.
    pub fn raise(&self) {
        let mut state = self.0.state.lock();
        state.rung = true;
        if let Some(flag) = state.flag {
            flag.store(1, Ordering::Release);
        }
        self.0.wake.notify_one();
    }

    /// The worker rests elsewhere; this is how it is woken there. Only the first one counts.
    pub fn also_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A second one would wake the same worker again.
        let _ = self.0.elsewhere.set(Box::new(wake));
    }

    /// Rests until the bell rings, unless it has rung since the last rest, or until the deadline.
    pub fn wait(&self, deadline: Option<Instant>) {
        let mut state = self.0.state.lock();
        while !state.rung {
            match deadline {
                Some(deadline) => {
                    if self.0.wake.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
                None => self.0.wake.wait(&mut state),
            }
        }
        state.rung = false;
    }

    /// The flag is going away.
    pub(crate) fn detach(&self) {
        self.0.state.lock().flag = None;
    }
}
