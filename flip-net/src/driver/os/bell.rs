//! A bell that a waiting thread hears among its descriptors: an eventfd.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Rings until it is quieted, however often it was rung.
pub(in crate::driver) struct Bell(OwnedFd);

impl Bell {
    pub(in crate::driver) fn new() -> io::Result<Bell> {
        // SAFETY: eventfd takes no pointers; the result is checked before it is owned.
        let bell = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if bell < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and nobody else has it.
        Ok(Bell(unsafe { OwnedFd::from_raw_fd(bell) }))
    }

    pub(in crate::driver) fn ring(&self) {
        let ring = 1_u64;
        let bytes: *const u64 = &ring;
        // SAFETY: the descriptor is an eventfd of ours, and `ring` has the 8 bytes it reads. It
        // can only fail when it has rung 2^64 times unheard, and then it is loud enough.
        unsafe { libc::write(self.0.as_raw_fd(), bytes.cast(), 8) };
    }

    pub(in crate::driver) fn quiet(&self) {
        let mut rings = 0_u64;
        let room: *mut u64 = &mut rings;
        // SAFETY: the descriptor is an eventfd of ours, and `rings` has the 8 bytes it writes. It
        // fails when the bell was quiet, which is what is wanted.
        unsafe { libc::read(self.0.as_raw_fd(), room.cast(), 8) };
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
