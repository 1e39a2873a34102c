//! Reading from a ring: without a lock, by one thread of the process that the ring belongs to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{ALIGN, ASLEEP, AWAKE, KIND_FRAME, KIND_PADDING, RecordHead, Ring, Room, State};
use crate::address::LinkAddress;
use crate::driver::Sink;
use crate::driver::shm::wait::{futex_wait, futex_wake};
use crate::time::Duration;

/// The most frames that one look gives.
const BATCH_MAX: usize = 64;

/// Where the receiver is; its own, whatever the shared memory says.
#[derive(Debug, Default)]
pub(in crate::driver::shm) struct Reader {
    pub(super) head: AtomicU64,
    broken: AtomicBool,
    /// A thread reads: slices of the ring are out, and the head is its.
    busy: AtomicBool,
}

/// The right to read, until dropped. What was read by then is free for writers.
struct Turn<'a> {
    reader: &'a Reader,
    ring: Ring<'a>,
}

/// What one look gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::driver::shm) struct Drained {
    pub(in crate::driver::shm) frames: usize,
    /// How often the ring made no sense.
    pub(in crate::driver::shm) nonsense: u64,
}

/// What the receiver finds: a frame and its writer, or padding.
struct Record<'a> {
    len: u64,
    frame: Option<(u16, &'a [u8])>,
}

impl Reader {
    fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Gives the frames that are there to the sink, a bounded number of them. One thread at a time;
    /// another one gets nothing.
    pub(in crate::driver::shm) fn drain(&self, ring: &Ring<'_>, sink: &mut Sink<'_>) -> Drained {
        let nothing = Drained::default();
        // Acquire: the records up to the tail are complete.
        let tail = ring.control.tail.0.tail.load(Ordering::Acquire);
        if tail == self.head() || self.is_broken() {
            return nothing;
        }
        let Some(turn) = Turn::take(self, ring) else {
            return nothing;
        };
        // Whoever had the turn before may have gone beyond the tail that was read.
        let tail = ring.control.tail.0.tail.load(Ordering::Acquire);
        if tail.is_multiple_of(ALIGN) && ring.room(tail, self.head()).is_some() {
            return turn.read(tail, sink);
        }
        // Writers go by the tail: there is no way on from here.
        self.broken.store(true, Ordering::Relaxed);
        ring.set_state(State::Broken);
        Drained {
            frames: 0,
            nonsense: 1,
        }
    }
}

impl<'a> Turn<'a> {
    fn take(reader: &'a Reader, ring: &Ring<'a>) -> Option<Turn<'a>> {
        let is_free = !reader.busy.swap(true, Ordering::Acquire);
        is_free.then_some(Turn {
            reader,
            ring: *ring,
        })
    }

    /// Reads records up to `tail`, or until it is enough for once.
    fn read(&self, tail: u64, sink: &mut Sink<'_>) -> Drained {
        let mut drained = Drained::default();
        let start = self.reader.head();
        loop {
            let head = self.reader.head();
            // Not the whole ring, so that writers who wait go on while the rest is read.
            let is_much = head.wrapping_sub(start) >= self.ring.size / 4 && drained.frames > 0;
            if head == tail || is_much || drained.frames == BATCH_MAX {
                return drained;
            }
            // Release: what was read is read before it is written over.
            self.ring.control.head.0.store(head, Ordering::Release);
            let Some(record) = self.ring.record(head, tail) else {
                // Records do not say where the next one begins any more: on with what comes.
                drained.nonsense += 1;
                self.reader.head.store(tail, Ordering::Relaxed);
                return drained;
            };
            // First, so that a sink that panics is not given the frame again.
            let next = head.wrapping_add(record.len);
            self.reader.head.store(next, Ordering::Relaxed);
            if let Some((from, bytes)) = record.frame {
                drained.frames += 1;
                sink(LinkAddress::Station(u64::from(from)), bytes);
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.ring.free(self.reader.head());
        self.reader.busy.store(false, Ordering::Release);
    }
}

impl<'a> Ring<'a> {
    /// The record at a position, if it makes sense and ends before `tail`.
    fn record(&self, position: u64, tail: u64) -> Option<Record<'a>> {
        let head = RecordHead::of(self.word(position).load(Ordering::Relaxed));
        let len = head.record_len();
        let to_end = self.size - self.offset(position);
        if len > to_end || len > tail.wrapping_sub(position) {
            return None;
        }
        match head.kind {
            KIND_PADDING if len == to_end => Some(Record { len, frame: None }),
            KIND_FRAME => {
                let payload = head.len as usize;
                let bytes = self.payload(position, payload);
                // SAFETY: the bytes are inside of the ring, as `payload` has checked, and complete,
                // as the tail is beyond them. Nobody writes there until the head is: that
                // takes the turn, and whoever has it is done with the slice by then.
                let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr(), payload) };
                let frame = Some((head.from, bytes));
                Some(Record { len, frame })
            }
            _ => None,
        }
    }

    /// Sleeps until there is a record or a call, or `wait` is over. `is_called` is asked once the
    /// sleep is announced.
    pub(in crate::driver::shm) fn sleep(
        &self,
        reader: &Reader,
        wait: Duration,
        is_called: impl Fn() -> bool,
    ) {
        let sleep = &self.control.receiver.0.sleep;
        sleep.store(ASLEEP, Ordering::SeqCst);
        let tail = self.control.tail.0.tail.load(Ordering::SeqCst);
        let is_empty = reader.is_broken() || tail == reader.head();
        if is_empty && !is_called() {
            futex_wait(sleep, ASLEEP, wait);
        }
        sleep.store(AWAKE, Ordering::SeqCst);
    }

    /// Makes the room up to `head` free for writers, and wakes those who wait for it.
    fn free(&self, head: u64) {
        self.control.head.0.store(head, Ordering::SeqCst);
        if self.control.room.0.wanted.load(Ordering::SeqCst) != 0 {
            self.call_writers();
        }
    }

    /// Wakes the writers that wait for room.
    pub(in crate::driver::shm) fn call_writers(&self) {
        let Room { wanted, bell } = &self.control.room.0;
        wanted.store(0, Ordering::SeqCst);
        bell.fetch_add(1, Ordering::SeqCst);
        futex_wake(bell);
    }
}
