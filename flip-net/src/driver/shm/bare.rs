//! Two words in shared memory and nothing else: what it costs at least to wake each other there,
//! for benchmarks to compare with.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::segment::{Mapping, ShmSegment};
use super::wait;

/// Both words of one segment, and how to sleep on them.
pub struct BareWords {
    mapping: Mapping,
}

impl BareWords {
    /// Words in a new segment.
    pub fn create() -> io::Result<BareWords> {
        let segment = ShmSegment::create(2, 4_096)?;
        let mapping = Mapping::open(segment.as_fd()).map_err(io::Error::other)?;
        Ok(BareWords { mapping })
    }

    /// What word 0 or 1 says.
    pub fn get(&self, word: u16) -> u32 {
        self.mapping.first_word(word).load(Ordering::Acquire)
    }

    /// Lets a word say something; wakes who sleeps on it, if it is to.
    pub fn put(&self, word: u16, value: u32, wakes: bool) {
        let word: &AtomicU32 = self.mapping.first_word(word);
        word.store(value, Ordering::Release);
        if wakes {
            wait::futex_wake(word);
        }
    }

    /// Sleeps while a word says `old`, without a time-out: that would cost a timer each time.
    pub fn sleep(&self, word: u16, old: u32) {
        wait::futex_wait_for_ever(self.mapping.first_word(word), old);
    }
}
