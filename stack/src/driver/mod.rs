//! Runs one machine behind one lock on real networks.
//!
//! Sending happens on the thread that caused it: frames are collected under the lock, the system
//! call follows after release, and a token for each network keeps the order. Receiving has a role
//! for each network that one thread holds at a time. A receiver thread for each network holds it
//! while the worker works; a worker that waits takes the role of the first network, so that the
//! frame it waits for wakes it and nobody else. Handing the role over costs a wake-up, so it is
//! done only if the worker stays away for long:
//!
//! ```text
//!   worker waits, role free          -> the worker receives, the receiver stands by
//!   worker waits, role taken         -> it sleeps on its bell; the receiver, once it has
//!                                       something for it, leaves the role to it
//!   worker leaves, is often long     -> the receiver is called at once
//!   worker leaves, is often quick    -> the receiver looks after a fraction of a millisecond
//! ```
//! Whoever holds the first network's role also serves the machine's timers, and never sleeps past
//! the next deadline, nor longer than 5 ms while something is outstanding.
//!
//! Nothing here decides anything about protocols, and there is no second way to run a machine.
//!
//! Implements: DESIGN 6.

#![allow(clippy::disallowed_methods, reason = "threads and clocks live here")]

mod clock;
mod ticket;
mod wake;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;

use flip_net::address::{LinkAddress, NetworkId};
use flip_net::driver::Device;
use flip_net::time::{Duration, Instant};
use flip_net::{FlipBox, Frame, Machine};
use parking_lot::{Mutex, MutexGuard};

pub use clock::Clock;
pub(crate) use ticket::{Desked, seed};
pub use wake::Doorbell;
use wake::{Bell, Place, WorkerState};

/// The longest sleep while something is outstanding.
const OUTSTANDING_SLEEP_MAX: Duration = Duration::from_millis(5);
/// The longest sleep of a receiver.
const IDLE_SLEEP_MAX: Duration = Duration::from_millis(20);
/// How long a receiver that left its role to the worker waits before it looks again.
const STAND_BY: Duration = Duration::from_micros(300);
/// How long the worker has to stay in the role for the receiver to sleep soundly.
const SOUND_AFTER: u32 = 30;
/// How long such a receiver sleeps at most.
const SOUND_SLEEP_MAX: Duration = Duration::from_millis(200);
/// How long frames that keep coming hold up the timers.
const TIMER_DELAY_MAX: Duration = Duration::from_millis(5);
/// A worker that is usually away longer than this is replaced at once.
const QUICK_RETURN: u64 = 150;

/// A machine that gives something to a worker.
pub trait Driven: Machine + Send + 'static {
    /// What it gives.
    type Delivery: Send;

    /// Takes the next delivery out; this may cause frames, as any mutation.
    fn take_delivery(&mut self, now: Instant) -> Option<Self::Delivery>;

    /// Whether `take_delivery` has something.
    fn has_delivery(&self) -> bool;

    /// Whether an answer is waited for, so that long sleeps would hurt.
    fn is_outstanding(&self) -> bool;

    /// A thread of the driver panicked: nothing more comes from outside.
    fn handle_driver_failure(&mut self) {}
}

/// A box by itself: a switch, or the bottom of something that is not a processor.
impl Driven for FlipBox {
    type Delivery = flip_net::Event;

    fn take_delivery(&mut self, _now: Instant) -> Option<flip_net::Event> {
        self.poll_event()
    }

    fn has_delivery(&self) -> bool {
        self.has_event()
    }

    fn is_outstanding(&self) -> bool {
        self.is_busy()
    }
}

/// How to run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverConfig {
    /// How long a waiting worker may look for frames before it sleeps: zero unless there are cores
    /// to spare. It is used only as long as it pays.
    pub spin_max: Duration,
}

impl Default for DriverConfig {
    fn default() -> DriverConfig {
        DriverConfig {
            spin_max: Duration::ZERO,
        }
    }
}

/// Why `wait` came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There is a delivery.
    Delivery,
    /// A waker called.
    Called,
    /// The deadline has come.
    Deadline,
    /// A thread of the driver panicked: the processor cannot go on.
    Failed,
}

/// What the driver counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// Frames received by the worker itself.
    pub received_by_worker: u64,
    /// Frames received by receiver threads.
    pub received_by_receivers: u64,
    /// Calls that sent a batch of frames.
    pub batches_sent: u64,
    /// Times the worker slept on its bell.
    pub sleeps_on_bell: u64,
    /// Times the worker received for itself.
    pub sleeps_in_device: u64,
    /// Frames that the devices did not take.
    pub lost: u64,
}

#[derive(Default)]
struct Counters {
    received_by_worker: AtomicU64,
    received_by_receivers: AtomicU64,
    batches_sent: AtomicU64,
    sleeps_on_bell: AtomicU64,
    sleeps_in_device: AtomicU64,
}

struct Network {
    device: Arc<dyn Device>,
    /// Frames that left the machine and not the host, in order. Locked inside of the machine's
    /// lock, or alone.
    outbox: Mutex<Vec<Frame>>,
    /// Who has it sends.
    token: Mutex<()>,
    /// Who has it receives.
    role: Mutex<()>,
    /// When who has the role means to be back; 0 while it is awake.
    sleeps_until: AtomicU64,
    /// Where a receiver waits that has not got its role.
    stand_by: Bell,
    /// The receiver sleeps soundly there: it has to be called.
    sound: AtomicBool,
}

struct Shared<M: Driven> {
    machine: Mutex<M>,
    networks: Vec<Network>,
    clock: Clock,
    worker: WorkerState,
    /// How long the worker is usually away between two waits, in microseconds.
    away: AtomicU64,
    ring: Ring<M>,
    stop: AtomicBool,
    failed: AtomicBool,
    counters: Counters,
}

/// What is done, besides waking the worker, when there is something for it.
enum Ring<M: Driven> {
    Doorbell(Doorbell),
    /// This is called without a lock.
    Serve(fn(&Shared<M>)),
}

/// A machine that runs. Dropping it stops it.
pub struct Running<M: Driven> {
    shared: Arc<Shared<M>>,
    threads: Vec<JoinHandle<()>>,
    /// What only the one thread that waits uses.
    waiting: Mutex<Waiting>,
}

struct Waiting {
    spin_max: Duration,
    /// How long looking without sleeping seems to pay now.
    spin: Duration,
    left: Instant,
}

/// Wakes the worker from anywhere.
pub struct Waker<M: Driven>(Arc<Shared<M>>);

impl<M: Driven> Clone for Waker<M> {
    fn clone(&self) -> Waker<M> {
        Waker(Arc::clone(&self.0))
    }
}

impl<M: Driven> Waker<M> {
    /// Makes the `wait` that sleeps, or else the next one, come back; rings the doorbell.
    pub fn wake(&self) {
        self.0.worker.set_woken();
        self.0.call_worker();
    }
}

impl<M: Driven> Running<M> {
    /// Starts the receivers. Device number `n` is network `n` of the machine.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        machine: M,
        devices: Vec<Arc<dyn Device>>,
        config: DriverConfig,
        doorbell: Doorbell,
    ) -> io::Result<Running<M>> {
        Running::start_ringing(machine, devices, config, Ring::Doorbell(doorbell))
    }

    fn start_ringing(
        machine: M,
        devices: Vec<Arc<dyn Device>>,
        config: DriverConfig,
        ring: Ring<M>,
    ) -> io::Result<Running<M>> {
        let networks = devices.into_iter().map(|device| Network {
            device,
            outbox: Mutex::default(),
            token: Mutex::default(),
            role: Mutex::default(),
            sleeps_until: AtomicU64::new(0),
            stand_by: Bell::default(),
            sound: AtomicBool::new(false),
        });
        let clock = Clock::start();
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            networks: networks.collect(),
            clock,
            worker: WorkerState::default(),
            away: AtomicU64::new(0),
            ring,
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            counters: Counters::default(),
        });
        let waiting = Waiting {
            spin_max: config.spin_max,
            spin: config.spin_max,
            left: clock.now(),
        };
        let mut running = Running {
            shared,
            threads: Vec::new(),
            waiting: Mutex::new(waiting),
        };
        for at in 0..running.shared.networks.len() {
            let shared = Arc::clone(&running.shared);
            let builder = std::thread::Builder::new().name(format!("receiver-{at}"));
            running
                .threads
                .push(builder.spawn(move || shared.run_receiver(at))?);
        }
        Ok(running)
    }

    /// Does something to the machine, on this thread; the frames that it causes leave before this
    /// returns, or right after by the thread that is sending.
    pub fn with<R>(&self, act: impl FnOnce(&mut M, Instant) -> R) -> R {
        self.shared.with(act)
    }

    /// The next delivery.
    pub fn try_delivery(&self) -> Option<M::Delivery> {
        self.with(M::take_delivery)
    }

    /// Whether `try_delivery` has something.
    pub fn has_delivery(&self) -> bool {
        self.shared.machine.lock().has_delivery()
    }

    /// Waits until there is a delivery, a waker calls, or the deadline comes. One thread at a time:
    /// the worker.
    pub fn wait(&self, until: Option<Instant>) -> Woken {
        let mut waiting = self.waiting.lock();
        self.shared.back(&mut waiting);
        let woken = self.shared.wait(&mut waiting, until);
        self.shared.leave(&mut waiting);
        woken
    }

    /// A handle that wakes the worker.
    pub fn waker(&self) -> Waker<M> {
        Waker(Arc::clone(&self.shared))
    }

    /// The time as the machine sees it.
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// What the driver counted.
    pub fn driver_stats(&self) -> DriverStats {
        let counters = &self.shared.counters;
        DriverStats {
            received_by_worker: counters.received_by_worker.load(SeqCst),
            received_by_receivers: counters.received_by_receivers.load(SeqCst),
            batches_sent: counters.batches_sent.load(SeqCst),
            sleeps_on_bell: counters.sleeps_on_bell.load(SeqCst),
            sleeps_in_device: counters.sleeps_in_device.load(SeqCst),
            lost: self
                .shared
                .networks
                .iter()
                .map(|network| network.device.lost())
                .sum(),
        }
    }

    /// Ends the receivers and waits for them; they sleep no longer than a wake-up takes.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for network in &self.shared.networks {
            network.device.wake();
            network.stand_by.ring();
        }
        for thread in self.threads.drain(..) {
            // A receiver that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl<M: Driven> Drop for Running<M> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<M: Driven> Shared<M> {
    fn with<R>(&self, act: impl FnOnce(&mut M, Instant) -> R) -> R {
        let mut machine = self.machine.lock();
        let had_delivery = machine.has_delivery();
        let result = act(&mut machine, self.clock.now());
        self.drain(&mut machine);
        let has_delivery = machine.has_delivery();
        let nudged = self.is_overdue(&machine);
        drop(machine);
        self.flush();
        if nudged {
            self.networks[0].device.wake();
        }
        if has_delivery && !had_delivery {
            self.call_worker();
        }
        result
    }

    /// Moves what the machine wants to send to the outboxes.
    fn drain(&self, machine: &mut M) {
        while let Some(listen) = machine.poll_listen() {
            // Rare enough to be done under the lock.
            if let Some(attached) = self.networks.get(usize::from(listen.network.0)) {
                attached.device.listen(listen.group, listen.on);
            }
        }
        let mut outbox: Option<(NetworkId, MutexGuard<'_, Vec<Frame>>)> = None;
        while let Some(frame) = machine.poll_transmit() {
            let network = frame.network;
            match &mut outbox {
                Some((open, frames)) if *open == network => frames.push(frame),
                _ => {
                    let Some(attached) = self.networks.get(usize::from(network.0)) else {
                        continue;
                    };
                    // The one that is open closes before the other one opens.
                    drop(outbox.take());
                    let mut frames = attached.outbox.lock();
                    frames.push(frame);
                    outbox = Some((network, frames));
                }
            }
        }
    }

    /// Whether whoever serves the timers sleeps past the next deadline.
    fn is_overdue(&self, machine: &M) -> bool {
        let Some(network) = self.networks.first() else {
            return false;
        };
        let deadline = machine.poll_timeout();
        deadline.is_some_and(|next| next.as_micros() < network.sleeps_until.load(SeqCst))
    }

    /// Sends what is in the outboxes. Who does not get the token leaves its frames to who has it.
    fn flush(&self) {
        for network in &self.networks {
            while !network.outbox.lock().is_empty() {
                let Some(token) = network.token.try_lock() else {
                    break;
                };
                let frames = std::mem::take(&mut *network.outbox.lock());
                if !frames.is_empty() {
                    network.device.send(&frames);
                    self.counters.batches_sent.fetch_add(1, SeqCst);
                }
                // The outbox is looked at again after this: nobody's frames stay behind.
                drop(token);
            }
        }
    }

    /// There is something for the worker.
    fn call_worker(&self) {
        match &self.ring {
            Ring::Doorbell(doorbell) => doorbell.ring(),
            Ring::Serve(serve) => serve(self),
        }
        match self.worker.place() {
            Place::Working => {}
            Place::OnBell => self.worker.bell.ring(),
            Place::InDevice => self.networks[0].device.wake(),
        }
    }

    /// One round of who has the role of network `at`: receive, handle, serve timers, send. Says
    /// how many frames came and whether there is something for the worker.
    fn receive(&self, at: usize, until: Option<Instant>) -> (usize, bool) {
        let network = &self.networks[at];
        let wait = self.plan_sleep(at, until);
        let id = NetworkId(at as u8);
        let mut locked: Option<MutexGuard<'_, M>> = None;
        let count = network
            .device
            .receive(wait, &mut |from: LinkAddress, bytes: &[u8]| {
                let machine = locked.get_or_insert_with(|| self.machine.lock());
                machine.handle_frame(self.clock.now(), id, from, bytes);
                self.drain(machine);
            });
        network.sleeps_until.store(0, SeqCst);
        let mut machine = locked.unwrap_or_else(|| self.machine.lock());
        let now = self.clock.now();
        // What is already here comes before what is missing: no deadline passes judgement while
        // frames wait, unless they never end.
        let late = machine.poll_timeout().filter(|deadline| *deadline <= now);
        if late.is_some_and(|deadline| count == 0 || now.since(deadline) > TIMER_DELAY_MAX) {
            machine.handle_timeout(now);
            self.drain(&mut machine);
        }
        let has_delivery = machine.has_delivery();
        let nudged = at != 0 && self.is_overdue(&machine);
        drop(machine);
        self.flush();
        if nudged {
            self.networks[0].device.wake();
        }
        (count, has_delivery)
    }

    /// How long who has the role may sleep; written down where others see it.
    fn plan_sleep(&self, at: usize, until: Option<Instant>) -> Duration {
        let machine = self.machine.lock();
        let now = self.clock.now();
        let sleep_max = if machine.is_outstanding() {
            OUTSTANDING_SLEEP_MAX
        } else {
            IDLE_SLEEP_MAX
        };
        let deadline = machine.poll_timeout().unwrap_or(now + sleep_max);
        let wake = deadline
            .min(now + sleep_max)
            .min(until.unwrap_or(now + sleep_max));
        self.networks[at]
            .sleeps_until
            .store(wake.as_micros(), SeqCst);
        wake.since(now)
    }

    fn run_receiver(&self, at: usize) {
        let ran = catch_unwind(AssertUnwindSafe(|| self.receive_forever(at)));
        if ran.is_err() {
            self.failed.store(true, SeqCst);
            self.machine.lock().handle_driver_failure();
            self.worker.set_woken();
            self.call_worker();
        }
    }

    fn receive_forever(&self, at: usize) {
        let network = &self.networks[at];
        let mut rounds_without = 0;
        while !self.stop.load(SeqCst) {
            let Some(role) = network.role.try_lock() else {
                rounds_without += 1;
                self.stand_by(network, rounds_without);
                continue;
            };
            rounds_without = 0;
            let (count, has_delivery) = self.receive(at, None);
            self.counters
                .received_by_receivers
                .fetch_add(count as u64, SeqCst);
            drop(role);
            if has_delivery {
                let was_waiting = self.worker.place() == Place::OnBell;
                self.call_worker();
                if at == 0 && was_waiting && self.is_quick() {
                    // It will be back soon, and then receive for itself.
                    network.stand_by.wait(to_std(STAND_BY));
                }
            }
        }
    }

    /// The worker has the role: look again later, or, if it seems to stay, only when called.
    fn stand_by(&self, network: &Network, rounds: u32) {
        if rounds < SOUND_AFTER {
            return network.stand_by.wait(to_std(STAND_BY));
        }
        network.sound.store(true, SeqCst);
        // A worker that left before it could see this is seen here.
        if self.worker.place() == Place::InDevice {
            network.stand_by.wait(to_std(SOUND_SLEEP_MAX));
        }
        network.sound.store(false, SeqCst);
    }

    fn is_quick(&self) -> bool {
        self.away.load(SeqCst) < QUICK_RETURN
    }

    /// The worker is back: how long was it away?
    fn back(&self, waiting: &mut Waiting) {
        let away = self.clock.now().since(waiting.left).as_micros();
        let usually = self.away.load(SeqCst);
        self.away
            .store((usually * 3 + away.min(10_000)) / 4, SeqCst);
    }

    fn leave(&self, waiting: &mut Waiting) {
        waiting.left = self.clock.now();
        let place = self.worker.place();
        self.worker.set_place(Place::Working);
        if let Some(network) = self.networks.first()
            && place == Place::InDevice
            && (network.sound.load(SeqCst) || !self.is_quick())
        {
            network.stand_by.ring();
        }
    }

    fn wait(&self, waiting: &mut Waiting, until: Option<Instant>) -> Woken {
        loop {
            let role = self
                .networks
                .first()
                .and_then(|network| network.role.try_lock());
            self.worker.set_place(if role.is_some() {
                Place::InDevice
            } else {
                Place::OnBell
            });
            if let Some(woken) = self.reason_to_return(until) {
                return woken;
            }
            if role.is_none() {
                let now = self.clock.now();
                let longest = now + IDLE_SLEEP_MAX;
                self.counters.sleeps_on_bell.fetch_add(1, SeqCst);
                let wake = until.unwrap_or(longest).min(longest);
                self.worker.bell.wait(to_std(wake.since(now)));
                continue;
            }
            let count = self.receive_as_worker(waiting, until);
            self.counters
                .received_by_worker
                .fetch_add(count as u64, SeqCst);
            drop(role);
        }
    }

    /// Looks for frames without sleeping as long as that pays, then sleeps for them.
    fn receive_as_worker(&self, waiting: &mut Waiting, until: Option<Instant>) -> usize {
        let begun = self.clock.now();
        let spin_end = begun + waiting.spin;
        while self.clock.now() < spin_end {
            let (count, has_delivery) = self.receive(0, Some(Instant::ZERO));
            if count > 0 || has_delivery {
                waiting.spin = (waiting.spin + waiting.spin).min(waiting.spin_max);
                return count;
            }
            std::hint::spin_loop();
        }
        self.counters.sleeps_in_device.fetch_add(1, SeqCst);
        let (count, _) = self.receive(0, until);
        // What came soon after would have come to who looked longer; else looking was in vain.
        let slept = self.clock.now().since(begun);
        let least = waiting.spin_max.divided(16);
        waiting.spin = if count > 0 && slept < waiting.spin_max {
            waiting.spin_max
        } else {
            waiting.spin.divided(2).max(least)
        };
        count
    }

    fn reason_to_return(&self, until: Option<Instant>) -> Option<Woken> {
        if self.failed.load(SeqCst) {
            return Some(Woken::Failed);
        }
        if self.machine.lock().has_delivery() {
            return Some(Woken::Delivery);
        }
        if self.worker.take_woken() {
            return Some(Woken::Called);
        }
        until
            .is_some_and(|until| until <= self.clock.now())
            .then_some(Woken::Deadline)
    }
}

fn to_std(span: Duration) -> std::time::Duration {
    std::time::Duration::from_micros(span.as_micros())
}
