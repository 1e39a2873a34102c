//! What tests do to a ring: look into it, stop in the middle of a record, and write nonsense.

use std::ptr;

use super::*;
use crate::driver::shm::wait::Patience;
use crate::rng::Rng;
use crate::time::Duration;

impl Ring<'_> {
    /// Puts a record and does `then` at one step; where the record is written, only half of it is
    /// so.
    pub(in crate::driver::shm) fn put_half(
        &self,
        from: u16,
        payload: &[u8],
        at: Step,
        then: impl Fn(),
    ) {
        let start = self.tail();
        let watch = |step| {
            if step == at {
                if step == Step::Written {
                    let place = self.place(start, record_len(payload.len()));
                    let half = payload.len() / 2;
                    let bytes = self.payload(start.wrapping_add(place.padding), payload.len());
                    // SAFETY: the bytes are the second half of the payload, and nobody sees them.
                    unsafe { bytes.add(half).write_bytes(0, payload.len() - half) };
                }
                then();
            }
        };
        let mut patience = Patience::new(Duration::from_secs(60));
        self.put_watched(from, [payload, b""], &mut patience, watch)
            .expect("a ring with room");
    }

    pub(in crate::driver::shm) fn is_writer_waiting(&self) -> bool {
        self.control.room.0.wanted.load(Ordering::SeqCst) != 0
    }

    pub(in crate::driver::shm) fn is_receiver_asleep(&self) -> bool {
        self.control.receiver.0.sleep.load(Ordering::SeqCst) == ASLEEP
    }

    /// Where the receiver sleeps, as this process has it.
    pub(in crate::driver::shm) fn sleep_address(&self) -> usize {
        self.control.receiver.0.sleep.as_ptr().addr()
    }

    /// Puts both positions there, as if so much had passed. The ring is new and empty.
    pub(in crate::driver::shm) fn start_at(&self, position: u64) -> Reader {
        self.set_tail(position);
        let head_seen = &self.control.tail.0.head_seen;
        head_seen.store(position, Ordering::SeqCst);
        self.control.head.0.store(position, Ordering::SeqCst);
        let reader = Reader::default();
        reader.head.store(position, Ordering::SeqCst);
        reader
    }

    pub(in crate::driver::shm) fn set_tail(&self, position: u64) {
        self.control.tail.0.tail.store(position, Ordering::SeqCst);
    }

    pub(in crate::driver::shm) fn tail(&self) -> u64 {
        self.control.tail.0.tail.load(Ordering::SeqCst)
    }

    pub(in crate::driver::shm) fn set_word(&self, position: u64, word: u64) {
        self.word(position).store(word, Ordering::SeqCst);
    }

    /// Fills the ring with random bytes.
    pub(in crate::driver::shm) fn scribble(&self, rng: &mut Rng) {
        for position in (0..self.size).step_by(ALIGN as usize) {
            self.set_word(position, rng.next_u64());
        }
    }

    /// Writes random words over the control block. What marks a mutex stays if `keep_kinds`; the
    /// sign of life stays if somebody holds it.
    pub(in crate::driver::shm) fn scribble_control(&self, rng: &mut Rng, keep_kinds: bool) {
        let alive = self.state() == State::Open;
        let base = ptr::from_ref(self.control).cast::<u32>();
        let words = size_of::<Control>() / 4;
        let mutex_words = size_of::<RobustMutex>() / 4;
        let alive_at = std::mem::offset_of!(Control, alive) / 4;
        for at in 0..words {
            let is_kind = at == self.kind.word() || at == alive_at + self.kind.word();
            let is_alive = (alive_at..alive_at + mutex_words).contains(&at);
            if keep_kinds && is_kind || alive && is_alive {
                continue;
            }
            // SAFETY: the word lies in the control block, which is mapped to be written; nobody
            // else uses it in these tests, and every value of it is allowed.
            unsafe { AtomicU32::from_ptr(base.add(at).cast_mut()) }
                .store(rng.next_u64() as u32, Ordering::SeqCst);
        }
    }
}
