//! A ring: many processes write records, one reads them.
//!
//! ```text
//!   record:  u32 length of the payload | u16 station of the writer | u16 kind | payload
//!            and filling to a multiple of 8 bytes
//!   kinds:   a frame, or padding to the end of the ring; the next record is at its start then
//!
//!             head              tail
//!              v                 v
//!   ...........[record][record  ].........
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
//! then looks again whether there is a reason not to; whoever has a reason first writes it down,
//! then looks whether somebody sleeps. All four, the two writes and the two looks, are sequentially
//! consistent, so one of the two sees the other:
//!
//! - The receiver sets `sleep` to ASLEEP, looks at the tail, and lets the kernel put it to sleep
//!   only if `sleep` is ASLEEP still. A writer moves the tail and looks at `sleep`; if it is
//!   ASLEEP, it changes it and wakes. If the change comes before the kernel looks, there is no
//!   sleep; if it comes after, the wake-up does too. A writer that dies between change and wake-up
//!   holds the lock, so the next writer is told of it, and wakes in its place. If there is no next
//!   one, the receiver sleeps until its wait is over.
//! - A writer without room reads `bell`, sets `wanted`, looks at the head, and sleeps only if
//!   `bell` is what it was. The receiver moves the head and looks at `wanted`; if it is set, it
//!   clears it, changes `bell` and wakes all. Who set `wanted` before that has read `bell` before.
//!
//! What the memory holds is believed only where it does no harm: places are computed modulo the
//! size, lengths are checked against the tail and the end, and the receiver's head is its own.

mod read;
#[cfg(test)]
pub(super) mod testing;
mod write;

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::lock::{Kind, NotLocked, RobustMutex};

pub(super) use read::Reader;
#[cfg(test)]
pub(super) use write::Step;

/// Records begin at multiples of this, and their first word has this size.
const ALIGN: u64 = 8;
/// A record without payload.
pub(super) const RECORD_LEN_MIN: usize = ALIGN as usize;
const KIND_FRAME: u16 = 0x4652;
const KIND_PADDING: u16 = 0x5041;

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
    /// A head that a writer has seen, used with the lock: it spares looks at the receiver's line.
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
                // Nobody has it: the receiver is about to leave, or it died.
                if guard.is_abandoned() {
                    self.set_state(State::Closed);
                }
                false
            }
        }
    }

    /// Bytes that are free, if these positions are possible.
    fn room(&self, tail: u64, head: u64) -> Option<u64> {
        self.size.checked_sub(tail.wrapping_sub(head))
    }

    fn offset(&self, position: u64) -> u64 {
        position & (self.size - 1)
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
}
