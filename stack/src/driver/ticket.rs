//! Many threads and tasks that wait on one machine.
//!
//! The machine's deliveries are the wakers of those whose answer has come; whoever finds one wakes
//! it: the receiver threads, the thread that gave the machine something to do, or the one blocked
//! thread that *leads*. A blocked thread leads if nobody else does: it receives for itself, so that
//! what it waits for wakes it directly; the others sleep, each on a bell of its own. Who ends calls
//! the next one to lead. Nobody depends on a leader: without one the receiver threads do it all.
//!
//! Implements: DESIGN 6, blocked callers.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Poll, Wake, Waker as TaskWaker};

use flip_net::driver::Device;
use flip_net::time::Instant;
use parking_lot::Mutex;

use super::wake::Bell;
use super::{Driven, DriverConfig, Ring, Running, Shared, Waker};

/// A number that the operating system draws, for a processor's generator.
pub(crate) fn seed() -> u64 {
    // A hasher of the standard library is keyed by the operating system's entropy.
    RandomState::new().hash_one(())
}

/// A machine whose deliveries are those to be woken, run for whoever blocks on it.
pub(crate) struct Desked<M: Driven<Delivery = TaskWaker>> {
    running: Running<M>,
    crew: Mutex<Crew<M>>,
}

struct Crew<M: Driven> {
    is_led: bool,
    /// Who sleeps and could lead.
    followers: VecDeque<Arc<Sleeper<M>>>,
}

/// One blocked thread.
struct Sleeper<M: Driven> {
    bell: Bell,
    leads: AtomicBool,
    driver: Waker<M>,
}

impl<M: Driven> Wake for Sleeper<M> {
    fn wake(self: Arc<Sleeper<M>>) {
        // In this order: who is about to lead looks at its bell after it has said so.
        self.bell.ring();
        if self.leads.load(SeqCst) {
            self.driver.wake();
        }
    }
}

fn wake_all<M: Driven<Delivery = TaskWaker>>(shared: &Shared<M>) {
    while let Some(waker) = shared.with(M::take_delivery) {
        waker.wake();
    }
}

impl<M: Driven<Delivery = TaskWaker>> Desked<M> {
    /// Starts the receivers, as [`Running::start`].
    pub(crate) fn start(
        machine: M,
        devices: Vec<Arc<dyn Device>>,
        config: DriverConfig,
    ) -> io::Result<Desked<M>> {
        let ring = Ring::Serve(wake_all::<M>);
        Ok(Desked {
            running: Running::start_ringing(machine, devices, config, ring)?,
            crew: Mutex::new(Crew {
                is_led: false,
                followers: VecDeque::new(),
            }),
        })
    }

    /// Does something to the machine, on this thread.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut M, Instant) -> R) -> R {
        self.running.with(act)
    }

    /// Polls until there is an answer. The poll leaves the waker with the machine.
    pub(crate) fn block<T>(
        &self,
        mut poll: impl FnMut(&mut M, Instant, &TaskWaker) -> Poll<T>,
    ) -> T {
        let sleeper = Arc::new(Sleeper {
            bell: Bell::default(),
            leads: AtomicBool::new(false),
            driver: self.running.waker(),
        });
        let waker = TaskWaker::from(Arc::clone(&sleeper));
        loop {
            if let Poll::Ready(answer) = self.with(|machine, now| poll(machine, now, &waker)) {
                self.call_next();
                return answer;
            }
            self.sleep(&sleeper);
        }
    }

    /// Until somebody rings, as leader if there is none.
    fn sleep(&self, sleeper: &Arc<Sleeper<M>>) {
        let mut crew = self.crew.lock();
        if crew.is_led {
            crew.followers.push_back(Arc::clone(sleeper));
            drop(crew);
            sleeper.bell.wait_for_ring();
            let mut crew = self.crew.lock();
            crew.followers.retain(|other| !Arc::ptr_eq(other, sleeper));
            return;
        }
        crew.is_led = true;
        drop(crew);
        sleeper.leads.store(true, SeqCst);
        if !sleeper.bell.take() {
            self.running.wait(None);
            wake_all(&self.running.shared);
        }
        sleeper.leads.store(false, SeqCst);
        self.crew.lock().is_led = false;
    }

    /// Somebody who sleeps may lead now.
    fn call_next(&self) {
        let crew = self.crew.lock();
        let next = match crew.is_led {
            true => None,
            false => crew.followers.front().cloned(),
        };
        drop(crew);
        if let Some(next) = next {
            next.wake();
        }
    }
}
