//! Waking whoever receives: an empty datagram from the own socket to itself. So the wait is one
//! system call on one socket, and nothing else has to be watched.

use std::io;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{SockAddr, SockRef};

use crate::driver::alarm::Ends;

/// The sending end of wake-ups.
pub(super) struct Waker {
    socket: UdpSocket,
    own: SockAddr,
    /// Rung, and nobody has come back from a receive since.
    rung: AtomicBool,
    is_deaf: AtomicBool,
}

impl Waker {
    pub(super) fn new(socket: &UdpSocket, own: SocketAddr) -> io::Result<Waker> {
        Ok(Waker {
            socket: socket.try_clone()?,
            own: own.into(),
            rung: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
        })
    }

    /// Makes the receive that blocks, or else the next one, return.
    pub(super) fn ring(&self) {
        // Whoever rings second is heard by the receive that the first one ends.
        if !self.rung.swap(true, Ordering::AcqRel) && !self.insist() {
            // The alarm at the end of the wait tries again.
            self.rung.store(false, Ordering::Release);
        }
    }

    /// A receive is over. A datagram that is still under way ends the next one too early, which
    /// does no harm; but none is lost: also not if the kernel had no room for it, since then there
    /// were frames to return for.
    pub(super) fn heard(&self) {
        if self.rung.load(Ordering::Acquire) {
            self.rung.swap(false, Ordering::AcqRel);
        }
    }

    /// Whether it has come to that.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf.load(Ordering::Acquire)
    }
}

impl Ends for Waker {
    /// Sends one more wake-up; says whether it left.
    fn insist(&self) -> bool {
        let socket = SockRef::from(&self.socket);
        let sent = socket.send_to_with_flags(&[], &self.own, libc::MSG_DONTWAIT);
        sent.is_ok()
    }

    /// Ends all receiving on the own socket: nothing can wake it any more.
    fn hang_up(&self) {
        self.is_deaf.store(true, Ordering::Release);
        // It says that the socket is not connected, and does it.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Read);
    }
}
