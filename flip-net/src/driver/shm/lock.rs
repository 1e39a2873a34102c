//! A mutex in shared memory that survives its owner: if the thread that holds it dies, by
//! `kill -9` too, the next one gets it and is told.
//!
//! This is the C library's robust mutex, shared between processes. The library keeps links between
//! the mutexes that a thread holds inside of the mutexes, so a process that scribbles over a mutex
//! while another holds it does harm that nobody can prevent; see the trust that the parent module
//! speaks of. Nonsense that was there before is found out: `Kind` tells a robust mutex from other
//! bytes, so that the library is never handed anything else.

use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::sync::atomic::{AtomicU32, Ordering};

use super::wait::Patience;

/// Looks at a lock that is held before the kernel is asked to wait: records are short.
const SPINS: usize = 40;

const WORDS: usize = mem::size_of::<libc::pthread_mutex_t>() / 4;

unsafe extern "C" {
    /// POSIX has it since 2024, the libc crate not yet. The older form waits by the time of day,
    /// which may be set back.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// A robust mutex, shared between processes.
#[repr(transparent)]
pub(super) struct RobustMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: it is a mutex; the C library synchronises what it does to the bytes.
unsafe impl Sync for RobustMutex {}

/// The lock, until dropped. Belongs to the thread that took it.
pub(super) struct Guard<'a> {
    mutex: &'a RobustMutex,
    abandoned: bool,
    /// No other thread may give the lock back.
    stays: PhantomData<*const ()>,
}

/// Why a lock was not had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotLocked {
    /// Another thread holds it, and kept it as long as there was patience.
    Held,
    /// These bytes are no robust mutex, or one that is beyond repair.
    Broken,
}

/// What the C library writes into a robust shared mutex, never changes, and acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    word: usize,
    value: u32,
}

impl Kind {
    /// Finds it on a fresh mutex: the one thing in it that is not zero.
    pub(super) fn find() -> io::Result<Kind> {
        let fresh = RobustMutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: nobody else knows of this mutex, and it owns no resources to destroy.
        unsafe { fresh.init()? };
        let found = (0..WORDS).find_map(|word| {
            let value = fresh.word(word).load(Ordering::Relaxed);
            (value != 0).then_some(Kind { word, value })
        });
        Ok(found.expect("the C library marks a mutex that is robust and shared"))
    }

    /// Which word of a mutex it is.
    #[cfg(test)]
    pub(super) fn word(self) -> usize {
        self.word
    }
}

impl RobustMutex {
    /// Makes a mutex of the bytes.
    ///
    /// # Safety
    /// Nobody may use it before this returns.
    pub(super) unsafe fn init(&self) -> io::Result<()> {
        let mut attributes = MaybeUninit::uninit();
        let at = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised before use, and destroyed; the mutex is only ours
        // according to the contract of this function.
        unsafe {
            check(libc::pthread_mutexattr_init(at))?;
            let result = check(libc::pthread_mutexattr_setpshared(
                at,
                libc::PTHREAD_PROCESS_SHARED,
            ))
            .and_then(|()| {
                check(libc::pthread_mutexattr_setrobust(
                    at,
                    libc::PTHREAD_MUTEX_ROBUST,
                ))
            })
            .and_then(|()| check(libc::pthread_mutex_init(self.0.get(), at)));
            libc::pthread_mutexattr_destroy(at);
            result
        }
    }

    /// Takes the lock if it is free.
    pub(super) fn try_lock(&self, kind: Kind) -> Result<Guard<'_>, NotLocked> {
        if self.word(kind.word).load(Ordering::Relaxed) != kind.value {
            return Err(NotLocked::Broken);
        }
        // SAFETY: the bytes are a robust mutex, as its kind says.
        self.taken(unsafe { libc::pthread_mutex_trylock(self.0.get()) })
    }

    /// Takes the lock, and waits for it as long as there is patience.
    pub(super) fn lock(&self, kind: Kind, patience: &mut Patience) -> Result<Guard<'_>, NotLocked> {
        for _ in 0..SPINS {
            match self.try_lock(kind) {
                Err(NotLocked::Held) => std::hint::spin_loop(),
                done => return done,
            }
        }
        let until = patience.until().timespec();
        // SAFETY: the bytes are a robust mutex, as its kind said just now; `until` lives.
        let result = unsafe {
            pthread_mutex_clocklock(self.0.get(), libc::CLOCK_MONOTONIC, &raw const until)
        };
        self.taken(result)
    }

    fn taken(&self, result: libc::c_int) -> Result<Guard<'_>, NotLocked> {
        let abandoned = match result {
            0 => false,
            libc::EOWNERDEAD => true,
            libc::EBUSY | libc::ETIMEDOUT => return Err(NotLocked::Held),
            _ => return Err(NotLocked::Broken),
        };
        Ok(Guard {
            mutex: self,
            abandoned,
            stays: PhantomData,
        })
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < WORDS, "a mutex has {WORDS} words");
        // SAFETY: the word is within the mutex, which is aligned for it, and the kind of a mutex
        // is not written after its making.
        unsafe { AtomicU32::from_ptr(self.0.get().cast::<u32>().add(index)) }
    }
}

impl Guard<'_> {
    /// Whether the owner before died with the lock. Once `mend` was called, the next one is not
    /// told any more; a guard that is dropped unmended leaves a mutex that nobody can have.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// What the lock protects is in order.
    pub(super) fn mend(&mut self) {
        if self.abandoned {
            // SAFETY: this thread has the lock, and was told that the owner before died.
            unsafe { libc::pthread_mutex_consistent(self.mutex.0.get()) };
            self.abandoned = false;
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread has the lock: a guard cannot be sent to another one.
        unsafe { libc::pthread_mutex_unlock(self.mutex.0.get()) };
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
