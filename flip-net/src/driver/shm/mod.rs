//! Shared memory as a network between the processors of one host that are processes of their own.
//!
//! A segment holds a ring for each processor; everybody else writes into it, and its processor
//! receives from it. A frame for everybody is a copy into each ring. As long as the receiver looks
//! by itself, a frame costs a lock, a copy and no system call; a receiver that sleeps is woken. The
//! FLIP header comes first, there is no flow-control header in front of it, and a station is the
//! number of its processor.
//!
//! A ring that is full holds the writer back for a while; what still does not fit then is lost, and
//! counted, as on any network. Nothing here is waited for without a bound, and nobody is waited
//! for who is gone: a process may be killed at any instruction, and the others go on.
//!
//! **Trust.** The processes of a run belong to one user and trust one another. Who has the segment
//! can write everything in it: the station in a frame is what its writer says, and a
//! process that goes wild in it can spoil the run. But what lies in the memory is checked where it
//! is read: nonsense is counted and costs frames, or the ring, and nothing outside of the segment.
//!
//! Not here: how processes come by the descriptor of the segment; that is for who starts them.
//!
//! Implements: facts sheet 1.10, shared memory; DESIGN 6.
//! Differs: it has multicast, since it can, and frames as long as messages like them.

#![allow(
    unsafe_code,
    reason = "memfd, mmap, futexes and robust mutexes have no safe form in std"
)]

mod alive;
mod bare;
mod lock;
mod ring;
mod segment;
mod wait;

#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use bare::BareWords;
pub use segment::{ShmOpenError, ShmSegment};

use self::alive::SignOfLife;
use self::ring::{Reader, Ring, State, payload_len_max};
use self::segment::Mapping;
use self::wait::Patience;
use super::{Device, Sink};
use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::time::Duration;

/// The longest frame, where rings are large enough for it.
const FRAME_LEN_MAX: usize = 60 << 10;
/// How long one call of `send` waits in all.
const SEND_PATIENCE: Duration = Duration::from_millis(10);

/// A network of shared memory as one processor has it.
pub struct ShmDevice {
    mapping: Arc<Mapping>,
    number: u16,
    link: Link,
    patience: Duration,
    reader: Reader,
    /// Somebody wants the `receive` that sleeps, or the next one, to return.
    woken: AtomicBool,
    /// A `receive` sleeps, or is about to.
    asleep: AtomicBool,
    counters: Counters,
    /// Dropped by hand, before the mapping.
    sign_of_life: Option<SignOfLife>,
}

/// What a device counted: frames that were lost here, by reason, and nonsense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShmCounts {
    /// No room, as long as there was patience.
    pub full: u64,
    /// Another writer kept the lock as long as there was patience.
    pub locked: u64,
    /// There is no such processor, it has left, or it died and its ring is full.
    pub gone: u64,
    /// The ring of the receiver makes no sense.
    pub broken: u64,
    /// Longer than the network carries.
    pub long: u64,
    /// How often the own ring made no sense. What was in it is lost, and how much that was is not
    /// known.
    pub nonsense: u64,
}

#[derive(Default)]
struct Counters {
    full: AtomicU64,
    locked: AtomicU64,
    gone: AtomicU64,
    broken: AtomicU64,
    long: AtomicU64,
    nonsense: AtomicU64,
}

/// Why a ring did not take a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Full,
    Locked,
    Gone,
    Broken,
    Long,
}

impl ShmDevice {
    /// Attaches this process as processor `number`. The descriptor is not needed afterwards.
    ///
    /// Each number can be opened once: what is in a ring is for who opened it. Frames that came
    /// before are received.
    pub fn open(fd: impl AsFd, number: u16) -> Result<ShmDevice, ShmOpenError> {
        let mapping = Arc::new(Mapping::open(fd.as_fd())?);
        let processors = mapping.processors();
        if number >= processors {
            return Err(ShmOpenError::NoSuchProcessor { number, processors });
        }
        if !mapping.ring(number).claim() {
            return Err(ShmOpenError::Opened(number));
        }
        let sign = SignOfLife::show(&mapping, number).map_err(|source| {
            mapping.ring(number).set_state(State::Closed);
            let what = "show a sign of life in";
            ShmOpenError::System { what, source }
        })?;
        mapping.ring(number).set_state(State::Open);
        let mtu = payload_len_max(mapping.ring_bytes()).min(FRAME_LEN_MAX);
        Ok(ShmDevice {
            mapping,
            number,
            link: Link::shm(mtu),
            patience: SEND_PATIENCE,
            reader: Reader::default(),
            woken: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            counters: Counters::default(),
            sign_of_life: Some(sign),
        })
    }

    /// The same with another bound on how long one call of `send` waits in all.
    pub fn with_patience(mut self, patience: Duration) -> ShmDevice {
        self.patience = patience;
        self
    }

    /// What was lost, and why.
    pub fn counts(&self) -> ShmCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ShmCounts {
            full: count(&self.counters.full),
            locked: count(&self.counters.locked),
            gone: count(&self.counters.gone),
            broken: count(&self.counters.broken),
            long: count(&self.counters.long),
            nonsense: count(&self.counters.nonsense),
        }
    }

    fn own(&self) -> Ring<'_> {
        self.mapping.ring(self.number)
    }

    /// Puts one frame on the network; errors are counted, one for each ring.
    fn send_one(&self, frame: &Frame, patience: &mut Patience) {
        if frame.len() > self.link.mtu {
            return self.count(Refused::Long);
        }
        match frame.to {
            LinkAddress::Station(station) => {
                let number = u16::try_from(station).ok();
                match number.filter(|number| self.is_other(*number)) {
                    Some(number) => self.put(&self.mapping.ring(number), frame, patience),
                    None => self.count(Refused::Gone),
                }
            }
            LinkAddress::Broadcast | LinkAddress::Multicast(_) => {
                let others = (0..self.mapping.processors()).filter(|at| self.is_other(*at));
                for ring in others.map(|number| self.mapping.ring(number)) {
                    // Who has left is no part of everybody.
                    if ring.state() != State::Closed {
                        self.put(&ring, frame, patience);
                    }
                }
            }
        }
    }

    fn is_other(&self, number: u16) -> bool {
        number < self.mapping.processors() && number != self.number
    }

    /// Puts a frame into a ring, and waits for room where somebody may make it.
    fn put(&self, ring: &Ring<'_>, frame: &Frame, patience: &mut Patience) {
        loop {
            let result = match ring.state() {
                State::Closed => Err(Refused::Gone),
                State::Broken => Err(Refused::Broken),
                State::New | State::Opening | State::Open => {
                    ring.put(self.number, frame.parts(), patience)
                }
            };
            match result {
                Ok(()) => return,
                Err(Refused::Full) if !ring.is_served() => return self.count(Refused::Gone),
                Err(Refused::Full) if patience.left() > Duration::ZERO => {
                    ring.wait_for_room(frame.len(), patience);
                }
                Err(refused) => return self.count(refused),
            }
        }
    }

    fn count(&self, refused: Refused) {
        let counter = match refused {
            Refused::Full => &self.counters.full,
            Refused::Locked => &self.counters.locked,
            Refused::Gone => &self.counters.gone,
            Refused::Broken => &self.counters.broken,
            Refused::Long => &self.counters.long,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn drain(&self, sink: &mut Sink<'_>) -> usize {
        let drained = self.reader.drain(&self.own(), sink);
        if drained.nonsense > 0 {
            let nonsense = &self.counters.nonsense;
            nonsense.fetch_add(drained.nonsense, Ordering::Relaxed);
        }
        drained.frames
    }

    /// Sleeps until there is a frame, or somebody wakes, or `wait` is over.
    ///
    /// A wake by hand is not lost: here `asleep` is set before `woken` is looked at, there `woken`
    /// is set before `asleep` is looked at, all of it sequentially consistent. It needs no word
    /// that another process writes, so it does not depend on others.
    fn sleep(&self, wait: Duration) {
        self.asleep.store(true, Ordering::SeqCst);
        self.own()
            .sleep(&self.reader, wait, || self.woken.load(Ordering::SeqCst));
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Device for ShmDevice {
    fn link(&self) -> Link {
        self.link
    }

    fn station(&self) -> LinkAddress {
        LinkAddress::Station(u64::from(self.number))
    }

    fn send(&self, frames: &[Frame]) {
        let mut patience = Patience::new(self.patience);
        for frame in frames {
            self.send_one(frame, &mut patience);
        }
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        let mut count = self.drain(sink);
        if count == 0 && wait > Duration::ZERO {
            self.sleep(wait);
            count = self.drain(sink);
        }
        // Whoever woke this call, or would have: it returns.
        if self.woken.load(Ordering::SeqCst) {
            self.woken.store(false, Ordering::SeqCst);
        }
        count
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.own().call_receiver();
        }
    }

    fn lost(&self) -> u64 {
        let counts = self.counts();
        counts.full + counts.locked + counts.gone + counts.broken + counts.long
    }
}

impl Drop for ShmDevice {
    fn drop(&mut self) {
        self.own().set_state(State::Closed);
        self.own().call_writers();
        // The thread that shows it uses the memory.
        self.sign_of_life = None;
    }
}
