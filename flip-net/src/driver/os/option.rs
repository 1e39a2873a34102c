//! Socket options that are one plain value, and the size of receive buffers.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};

use socket2::Socket;

/// The receive buffer that is asked for; the kernel gives less to those who may not have it.
const RECEIVE_BUFFER: usize = 32 << 20;
/// The receive buffer without privileges.
const RECEIVE_BUFFER_PLAIN: usize = 4 << 20;

/// A type that the kernel reads and writes as plain bytes.
///
/// # Safety
/// Only for types of which all bytes are valid, without pointers, and without padding that matters.
pub(in crate::driver) unsafe trait Plain {}

// SAFETY: an int.
unsafe impl Plain for libc::c_int {}
// SAFETY: an int, two shorts and eight bytes; no padding.
unsafe impl Plain for libc::packet_mreq {}
// SAFETY: two ints.
unsafe impl Plain for libc::tpacket_stats {}

/// Sets an option.
pub(in crate::driver) fn set<T: Plain>(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let pointer: *const T = value;
    // SAFETY: the value lives during the call, has the size that is given, and is plain.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            pointer.cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads an option into `value`; what the kernel does not fill stays as it is.
pub(in crate::driver) fn get<T: Plain>(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let pointer: *mut T = value;
    let mut len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the value lives during the call, has the size that is given, and is plain.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            pointer.cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks for a receive buffer that takes bursts of fragments; what we get is what we get.
pub(in crate::driver) fn grow_receive_buffer(socket: &Socket) {
    let size = RECEIVE_BUFFER as libc::c_int;
    if set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &size).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_PLAIN);
    }
}
