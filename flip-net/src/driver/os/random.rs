//! Numbers that others cannot guess, from the kernel.

use std::io;

/// Eight random bytes.
pub(in crate::driver) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the buffer lives during the call and its length is given.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // So few bytes come whole or not at all.
    if count == bytes.len() as isize {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::Error::last_os_error())
    }
}
