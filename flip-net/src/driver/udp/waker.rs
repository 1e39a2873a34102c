//! Waking whoever receives: an empty datagram from the own socket to itself. So the wait is one
//! system call on one socket, and nothing else has to be watched.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{SockAddr, SockRef};

/// The sending end of wake-ups.
pub(super) struct Waker {
    socket: UdpSocket,
    own: SockAddr,
    /// Rung, and nobody has come back from a receive since.
    rung: AtomicBool,
}

impl Waker {
    pub(super) fn new(socket: &UdpSocket, own: SocketAddr) -> io::Result<Waker> {
        Ok(Waker {
            socket: socket.try_clone()?,
            own: own.into(),
            rung: AtomicBool::new(false),
        })
    }

    /// Makes the receive that blocks, or else the next one, return.
    pub(super) fn ring(&self) {
        // Whoever rings second is heard by the receive that the first one ends.
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let socket = SockRef::from(&self.socket);
        let sent = socket.send_to_with_flags(&[], &self.own, libc::MSG_DONTWAIT);
        if sent.is_err() {
            // The longest sleep of the socket ends the wait then.
            self.rung.store(false, Ordering::Release);
        }
    }

    /// A receive is over. A datagram that is still under way ends the next one too early, which
    /// does no harm; but none is lost: also not if the kernel had no room for it, since then there
    /// were frames to return for.
    pub(super) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}
