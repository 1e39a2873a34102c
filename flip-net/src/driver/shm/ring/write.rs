//! Writing into a ring: the lock, a place, the bytes, and last of all the tail.

use std::ptr;
use std::sync::atomic::Ordering;

use super::{
    ALIGN, ASLEEP, AWAKE, KIND_FRAME, KIND_PADDING, RecordHead, Ring, Room, State, Tail, record_len,
};
use crate::driver::shm::Refused;
use crate::driver::shm::lock::NotLocked;
use crate::driver::shm::wait::{Patience, futex_wait, futex_wake};
use crate::time::Duration;

/// How long a writer that waits for room sleeps before it looks whether the receiver lives.
const ROOM_SLEEP_MAX: Duration = Duration::from_millis(1);

/// What a writer has done so far. Each is a point at which it may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver::shm) enum Step {
    /// It has the lock.
    Locked,
    /// The record is written, beyond the tail.
    Written,
    /// The tail was moved.
    Published,
    /// The receiver is not asleep any more, as far as others know; it is not woken yet.
    Roused,
}

/// A place for a record: padding at `tail` if it is not empty, and then the record.
pub(super) struct Place {
    tail: u64,
    pub(super) padding: u64,
    record: u64,
}

impl Ring<'_> {
    /// Appends one record, its payload given in two parts, if there is room for it.
    pub(in crate::driver::shm) fn put(
        &self,
        from: u16,
        payload: [&[u8]; 2],
        patience: &mut Patience,
    ) -> Result<(), Refused> {
        self.put_watched(from, payload, patience, |_| {})
    }

    /// The same, and somebody is told of each step that was made.
    pub(super) fn put_watched(
        &self,
        from: u16,
        payload: [&[u8]; 2],
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
        let place = self.reserve(record_len(payload[0].len() + payload[1].len()))?;
        self.write(&place, from, payload);
        watch(Step::Written);
        self.publish(&place);
        watch(Step::Published);
        let sleep = &self.control.receiver.0.sleep;
        if sleep.load(Ordering::SeqCst) == ASLEEP {
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
    pub(super) fn place(&self, tail: u64, record: u64) -> Place {
        let to_end = self.size - self.offset(tail);
        let padding = if to_end < record { to_end } else { 0 };
        Place {
            tail,
            padding,
            record,
        }
    }

    /// Writes beyond the tail what nobody sees yet.
    fn write(&self, place: &Place, from: u16, payload: [&[u8]; 2]) {
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
            len: (payload[0].len() + payload[1].len()) as u32,
            from,
            kind: KIND_FRAME,
        };
        self.word(at).store(head.word(), Ordering::Relaxed);
        let [first, second] = payload;
        let to = self.payload(at, first.len() + second.len());
        // SAFETY: `payload` has checked that the bytes are inside of the ring, and they are free
        // and ours: beyond the tail, before the head, with the lock. No slice of ours can overlap.
        unsafe {
            ptr::copy_nonoverlapping(first.as_ptr(), to.as_ptr(), first.len());
            let to = to.add(first.len());
            ptr::copy_nonoverlapping(second.as_ptr(), to.as_ptr(), second.len());
        }
    }

    /// Shows the record: the one step that does so.
    fn publish(&self, place: &Place) {
        let tail = place.tail.wrapping_add(place.len());
        // Releases what was written; more than that, since a look at the sleeper follows.
        self.control.tail.0.tail.store(tail, Ordering::SeqCst);
    }

    /// Wakes the receiver if it sleeps, or keeps it from falling asleep.
    pub(in crate::driver::shm) fn call_receiver(&self) {
        let sleep = &self.control.receiver.0.sleep;
        sleep.store(AWAKE, Ordering::SeqCst);
        futex_wake(sleep);
    }

    /// Sleeps, a while at most, until there is room for a record with so much payload, or nobody
    /// who will make it.
    pub(in crate::driver::shm) fn wait_for_room(&self, payload: usize, patience: &mut Patience) {
        let Room { wanted, bell } = &self.control.room.0;
        let before = bell.load(Ordering::SeqCst);
        wanted.store(1, Ordering::SeqCst);
        // Without the lock this is a guess; who comes back for nothing comes again.
        let tail = self.control.tail.0.tail.load(Ordering::Relaxed);
        let head = self.control.head.0.load(Ordering::SeqCst);
        let needed = self.place(tail, record_len(payload)).len();
        if self.state() == State::Open && self.room(tail, head) < Some(needed) {
            futex_wait(bell, before, patience.left().min(ROOM_SLEEP_MAX));
        }
    }
}

impl Place {
    fn len(&self) -> u64 {
        self.padding + self.record
    }
}
