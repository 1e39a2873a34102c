//! A ring: many processes write records, one reads them.
//!
//! ```text
//!   record:  u32 length of the payload | u16 station of the writer | u16 kind | payload | filling to 8 bytes
//!   kinds:   a frame, or padding up to the end of the ring; the next record is at its start then
//!
//!             head              tail
//!              v                 v
//!   ...........[record][record ][.......[padding]
//! ```
//! Positions are 64-bit counters of bytes that only grow; a position modulo the size of the ring
//! is a place in it. Records are contiguous, so that the receiver can be given a slice.
//!
//! **Writers** hold the ring's lock, write the record beyond the tail, and then move the tail.
//! Until then nothing of it can be seen, so it does not matter at which instruction a writer dies:
//! the next one writes over what it left. **The receiver** takes no lock: it reads up to the tail
//! and then moves the head, and only that makes room.
//!
//! **Sleeping.** The one rule, as everywhere in this house: whoever wants to sleep first says so,
//! then looks again whether there is a reason not to; whoever has a reason first writes it down, then
//! looks whether somebody sleeps. Between the writing and the looking both sides have a fence that
//! is sequentially consistent, so one of the two sees the other:
//!
//! - The receiver sets `sleep` to ASLEEP, looks at the tail, and lets the kernel put it to sleep only if
//!   `sleep` is ASLEEP still. A writer moves the tail and looks at `sleep`; if it is ASLEEP, it changes it
//!   and wakes. If the change comes before the kernel looks, there is no sleep; if it comes after,
//!   the wake-up does too. A writer that dies between change and wake-up holds the lock, so the
//!   next writer is told of it, and wakes in its place.
//! - A writer without room reads `bell`, sets `wanted`, looks at the head, and sleeps only if
//!   `bell` is what it was. The receiver moves the head and looks at `wanted`; if it is set, it clears it, changes
//!   `bell` and wakes all. Who set `wanted` before that has read `bell` before that.
//!
//! What the memory holds is believed only where it does no harm: places are computed modulo the size, lengths
//! are checked against the tail and the end, and the receiver's head is its own.

#[cfg(test)]
pub(super) mod testing;

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::Refused;
use super::lock::{Kind, NotLocked, RobustMutex};
use super::wait::{Patience, futex_wait, futex_wake};
use crate::address::LinkAddress;
use crate::driver::Sink;
use crate::time::Duration;

/// Records begin at multiples of this, and their first word has this size.
const ALIGN: u64 = 8;
/// A record without payload.
pub(super) const RECORD_LEN_MIN: usize = ALIGN as usize;
const KIND_FRAME: u16 = 0x4652;
const KIND_PADDING: u16 = 0x5041;
/// The most frames that one look gives.
const BATCH_MAX: usize = 64;
/// How long a writer that waits for room sleeps before it looks whether the receiver lives.
const ROOM_SLEEP_MAX: Duration = Duration::from_millis(1);

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// Keeps neighbours from fighting for a cache line: two lines, since some processors fetch pairs.
#[repr(C, align(128))]
struct Line<T>(T);

/// What belongs to one ring besides its bytes. All zero but for the mutexes: a fresh ring.
#[repr(C)]
pub(super) struct Control {
    lock: Line<RobustMutex>,
    tail: Line<Tail>,
    head: Line<AtomicU64>,
    receiver: Line<Receiver>,
    room: Line<Room>,
    /// Held by a thread of the receiving process for as long as that lives.
    alive: Line<RobustMutex>,
}

struct Tail {
    /// Where the next record goes. Written with the lock.
    tail: AtomicU64,
    /// A head that a writer has seen. Only used with the lock; it spares a look at the receiver's line.
    head_seen: AtomicU64,
}

struct Receiver {
    state: AtomicU32,
    /// Whether the receiver sleeps; what it sleeps on.
    sleep: AtomicU32,
}

struct Room {
    /// A writer waits for room.
    wanted: AtomicU32,
    /// What writers sleep on; changes when there is room.
    bell: AtomicU32,
}

/// How far a receiver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has opened the ring; what comes is kept for who does.
    New,
    /// Somebody does so.
    Opening,
    /// Somebody receives.
    Open,
    /// Nobody will receive any more.
    Closed,
    /// The ring makes no sense.
    Broken,
}

/// One ring.
#[derive(Clone, Copy)]
pub(super) struct Ring<'a> {
    control: &'a Control,
    bytes: NonNull<u8>,
    size: u64,
    kind: Kind,
}

/// Where the receiver is; its own, whatever the shared memory says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader {
    head: u64,
    broken: bool,
}

/// What one look gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drained {
    pub(super) frames: usize,
    /// How often the ring made no sense.
    pub(super) nonsense: u64,
}

/// A place for a record: padding at `tail` if it is not empty, and then the record.
struct Place {
    tail: u64,
    padding: u64,
    record: u64,
}

/// What a writer has done so far. Each is a point at which it may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has the lock.
    Locked,
    /// The record is written, beyond the tail.
    Written,
    /// The tail was moved.
    Published,
    /// The receiver is not asleep any more, as far as others know; it is not woken yet.
    Roused,
}

/// The first word of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RecordHead {
    len: u32,
    from: u16,
    kind: u16,
}

impl Control {
    /// Makes the mutexes.
    ///
    /// # Safety
    /// Nobody may use the block before this returns.
    pub(super) unsafe fn init(&self) -> io::Result<()> {
        // SAFETY: the caller says that nobody uses it.
        unsafe {
            self.lock.0.init()?;
            self.alive.0.init()
        }
    }
}

impl RecordHead {
    fn word(self) -> u64 {
        u64::from(self.len) | u64::from(self.from) << 32 | u64::from(self.kind) << 48
    }

    fn of(word: u64) -> RecordHead {
        RecordHead {
            len: word as u32,
            from: (word >> 32) as u16,
            kind: (word >> 48) as u16,
        }
    }

    fn record_len(self) -> u64 {
        record_len(self.len as usize)
    }
}

/// What a record with so much payload takes.
fn record_len(payload: usize) -> u64 {
    (payload as u64 + ALIGN).next_multiple_of(ALIGN)
}

/// The longest payload that fits into an empty ring wherever its head is: the padding before it is
/// shorter than the record.
pub(super) const fn payload_len_max(ring_bytes: usize) -> usize {
    ring_bytes / 2 - RECORD_LEN_MIN
}

impl<'a> Ring<'a> {
    /// # Safety
    /// There are `size` bytes at `bytes`, aligned for records, that live as long as `control`.
    pub(super) unsafe fn new(
        control: &'a Control,
        bytes: NonNull<u8>,
        size: usize,
        kind: Kind,
    ) -> Ring<'a> {
        assert!(size.is_power_of_two(), "places are found by masking");
        assert!(bytes.addr().get().is_multiple_of(RECORD_LEN_MIN));
        Ring {
            control,
            bytes,
            size: size as u64,
            kind,
        }
    }

    pub(super) fn control(&self) -> &'a Control {
        self.control
    }

    pub(super) fn state(&self) -> State {
        match self.control.receiver.0.state.load(Ordering::Acquire) {
            0 => State::New,
            1 => State::Opening,
            2 => State::Open,
            3 => State::Closed,
            _ => State::Broken,
        }
    }

    pub(super) fn set_state(&self, state: State) {
        let number = state as u32;
        self.control
            .receiver
            .0
            .state
            .store(number, Ordering::SeqCst);
    }

    /// Whether the ring was new; it is being opened then, by who asked.
    pub(super) fn claim(&self) -> bool {
        let (new, opening) = (State::New as u32, State::Opening as u32);
        let state = &self.control.receiver.0.state;
        state
            .compare_exchange(new, opening, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// What the receiving process holds while it lives.
    pub(super) fn alive(&self) -> (&'a RobustMutex, Kind) {
        (&self.control.alive.0, self.kind)
    }

    /// Whether somebody lives who makes room in this ring. A receiver that is found dead is never
    /// asked for again.
    pub(super) fn is_served(&self) -> bool {
        if self.state() != State::Open {
            return false;
        }
        match self.control.alive.0.try_lock(self.kind) {
            Err(NotLocked::Held) => true,
            Err(NotLocked::Broken) => false,
            Ok(guard) => {
                // Nobody has it: the receiver is about to leave, or it died. Unmended, it stays taken.
                if guard.is_abandoned() {
                    self.set_state(State::Closed);
                }
                false
            }
        }
    }

    /// Appends one record, if there is room for it.
    pub(super) fn put(
        &self,
        from: u16,
        payload: &[u8],
        patience: &mut Patience,
    ) -> Result<(), Refused> {
        self.put_watched(from, payload, patience, |_| {})
    }

    /// The same, and somebody is told of each step that was made.
    fn put_watched(
        &self,
        from: u16,
        payload: &[u8],
        patience: &mut Patience,
        watch: impl Fn(Step),
    ) -> Result<(), Refused> {
        let mut guard = match self.control.lock.0.lock(self.kind, patience) {
            Ok(guard) => guard,
            Err(NotLocked::Held) => return Err(Refused::Locked),
            Err(NotLocked::Broken) => return Err(Refused::Broken),
        };
        if guard.is_abandoned() {
            // The dead writer may have owed the receiver a wake-up, and nothing else: what it
            // wrote is beyond the tail, or complete.
            guard.mend();
            self.call_receiver();
        }
        watch(Step::Locked);
        let place = self.reserve(record_len(payload.len()))?;
        self.write(&place, from, payload);
        watch(Step::Written);
        self.publish(&place);
        watch(Step::Published);
        let sleep = &self.control.receiver.0.sleep;
        if sleep.load(Ordering::Relaxed) == ASLEEP {
            sleep.store(AWAKE, Ordering::SeqCst);
            watch(Step::Roused);
            futex_wake(sleep);
        }
        Ok(())
    }

    /// Finds the place for a record of this size. Takes the lock as given.
    fn reserve(&self, record: u64) -> Result<Place, Refused> {
        let Tail { tail, head_seen } = &self.control.tail.0;
        let tail = tail.load(Ordering::Relaxed);
        if !tail.is_multiple_of(ALIGN) {
            return Err(Refused::Broken);
        }
        let place = self.place(tail, record);
        if self.room(tail, head_seen.load(Ordering::Relaxed)) >= Some(place.len()) {
            return Ok(place);
        }
        // Acquire: the receiver has read what we are about to write over.
        let head = self.control.head.0.load(Ordering::Acquire);
        let room = self.room(tail, head).ok_or(Refused::Broken)?;
        head_seen.store(head, Ordering::Relaxed);
        if room >= place.len() {
            Ok(place)
        } else {
            Err(Refused::Full)
        }
    }

    /// Where a record goes if the tail is there.
    fn place(&self, tail: u64, record: u64) -> Place {
        let to_end = self.size - self.offset(tail);
        let padding = if to_end < record { to_end } else { 0 };
        Place {
            tail,
            padding,
            record,
        }
    }

    /// Bytes that are free, if these positions are possible.
    fn room(&self, tail: u64, head: u64) -> Option<u64> {
        self.size.checked_sub(tail.wrapping_sub(head))
    }

    fn offset(&self, position: u64) -> u64 {
        position & (self.size - 1)
    }

    /// Writes beyond the tail what nobody sees yet.
    fn write(&self, place: &Place, from: u16, payload: &[u8]) {
        if place.padding > 0 {
            let head = RecordHead {
                len: (place.padding - ALIGN) as u32,
                from,
                kind: KIND_PADDING,
            };
            self.word(place.tail).store(head.word(), Ordering::Relaxed);
        }
        let at = place.tail.wrapping_add(place.padding);
        let head = RecordHead {
            len: payload.len() as u32,
            from,
            kind: KIND_FRAME,
        };
        self.word(at).store(head.word(), Ordering::Relaxed);
        let to = self.payload(at, payload.len());
        // SAFETY: `payload` has checked that the bytes are inside of the ring, and they are free
        // and ours: beyond the tail, before the head, with the lock. No slice of ours can overlap.
        unsafe { ptr::copy_nonoverlapping(payload.as_ptr(), to.as_ptr(), payload.len()) };
    }

    /// Shows the record: the one step that does so. What follows looks whether the receiver sleeps.
    fn publish(&self, place: &Place) {
        let tail = place.tail.wrapping_add(place.len());
        self.control.tail.0.tail.store(tail, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// The word at a position, which is a multiple of eight.
    fn word(&self, position: u64) -> &AtomicU64 {
        let offset = self.offset(position);
        assert!(offset.is_multiple_of(ALIGN), "records are aligned");
        // SAFETY: an offset is less than the size, both are multiples of eight, and so is the
        // address of the ring: a whole word lies there, as long as the ring does.
        unsafe { AtomicU64::from_ptr(self.bytes.add(offset as usize).cast().as_ptr()) }
    }

    /// The payload of the record at a position.
    fn payload(&self, position: u64, len: usize) -> NonNull<u8> {
        let start = self.offset(position) + ALIGN;
        assert!(start + len as u64 <= self.size, "a record is contiguous");
        // SAFETY: the payload lies inside of the ring, as was asserted.
        unsafe { self.bytes.add(start as usize) }
    }

    /// Wakes the receiver if it sleeps, or keeps it from falling asleep.
    pub(super) fn call_receiver(&self) {
        let sleep = &self.control.receiver.0.sleep;
        sleep.store(AWAKE, Ordering::SeqCst);
        futex_wake(sleep);
    }

    /// Sleeps until there is a record or a call, or `wait` is over. `is_called` is asked once the
    /// sleep is announced.
    pub(super) fn sleep(&self, reader: &Reader, wait: Duration, is_called: impl Fn() -> bool) {
        let sleep = &self.control.receiver.0.sleep;
        sleep.store(ASLEEP, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let is_empty =
            reader.broken || self.control.tail.0.tail.load(Ordering::SeqCst) == reader.head;
        if is_empty && !is_called() {
            futex_wait(sleep, ASLEEP, wait);
        }
        sleep.store(AWAKE, Ordering::SeqCst);
    }

    /// Sleeps, a while at most, until there is room for a record with so much payload, or nobody
    /// who will make it.
    pub(super) fn wait_for_room(&self, payload: usize, patience: &mut Patience) {
        let Room { wanted, bell } = &self.control.room.0;
        let before = bell.load(Ordering::SeqCst);
        wanted.store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Without the lock this is a guess; who comes back for nothing comes again.
        let tail = self.control.tail.0.tail.load(Ordering::Relaxed);
        let head = self.control.head.0.load(Ordering::Relaxed);
        let needed = self.place(tail, record_len(payload)).len();
        if self.state() == State::Open && self.room(tail, head) < Some(needed) {
            futex_wait(bell, before, patience.left().min(ROOM_SLEEP_MAX));
        }
    }

    /// Tells writers that there is room, or that there will never be any.
    pub(super) fn call_writers(&self) {
        let Room { wanted, bell } = &self.control.room.0;
        fence(Ordering::SeqCst);
        if wanted.load(Ordering::Relaxed) != 0 {
            wanted.store(0, Ordering::SeqCst);
            bell.fetch_add(1, Ordering::SeqCst);
            futex_wake(bell);
        }
    }
}

impl Place {
    fn len(&self) -> u64 {
        self.padding + self.record
    }
}

impl Reader {
    /// Gives the frames that are there to the sink, a bounded number of them.
    pub(super) fn drain(&mut self, ring: &Ring<'_>, sink: &mut Sink<'_>) -> Drained {
        let mut drained = Drained::default();
        // Acquire: the records up to the tail are complete.
        let tail = ring.control.tail.0.tail.load(Ordering::Acquire);
        if tail == self.head || self.broken {
            return drained;
        }
        if !tail.is_multiple_of(ALIGN) || ring.room(tail, self.head).is_none() {
            // Writers go by the tail: there is no way on from here.
            self.broken = true;
            drained.nonsense = 1;
            ring.set_state(State::Broken);
            ring.call_writers();
            return drained;
        }
        // Not the whole ring, so that writers who wait go on while the rest is read.
        let start = self.head;
        let is_enough = |head: u64, frames| {
            frames >= BATCH_MAX || frames > 0 && head.wrapping_sub(start) >= ring.size / 4
        };
        while self.head != tail && !is_enough(self.head, drained.frames) {
            let Some(frame) = self.step(ring, tail) else {
                // Records do not say where the next one begins any more: on with what comes.
                drained.nonsense += 1;
                self.head = tail;
                ring.control.head.0.store(tail, Ordering::Release);
                break;
            };
            if let Some((from, bytes)) = frame {
                drained.frames += 1;
                sink(LinkAddress::Station(u64::from(from)), bytes);
            }
            // Release: what was read is read before it is written over.
            ring.control.head.0.store(self.head, Ordering::Release);
        }
        ring.call_writers();
        drained
    }

    /// Takes the next record before `tail`; says what it carries, or that it makes no sense.
    fn step<'a>(&mut self, ring: &Ring<'a>, tail: u64) -> Option<Option<(u16, &'a [u8])>> {
        let position = self.head;
        let head = RecordHead::of(ring.word(position).load(Ordering::Relaxed));
        let len = head.record_len();
        let to_end = ring.size - ring.offset(position);
        if len > to_end || len > tail.wrapping_sub(position) {
            return None;
        }
        self.head = position.wrapping_add(len);
        match head.kind {
            KIND_PADDING if len == to_end => Some(None),
            KIND_FRAME => {
                let bytes = ring.payload(position, head.len as usize);
                // SAFETY: the bytes are inside of the ring, as `payload` has checked, complete, as
                // the tail is beyond them, and nobody writes there until the head is.
                let bytes =
                    unsafe { std::slice::from_raw_parts(bytes.as_ptr(), head.len as usize) };
                Some(Some((head.from, bytes)))
            }
            _ => None,
        }
    }
}
