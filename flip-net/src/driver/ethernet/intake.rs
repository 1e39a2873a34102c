//! Where the frames of a packet socket come in: through a ring that is shared with the kernel, or,
//! where that cannot be had, by a system call for a batch of them.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use super::ring::Ring;
use crate::driver::os::batch::{BATCH_MAX, Inbox};

/// One of the two.
pub(super) enum Intake {
    Ring(Mutex<Ring>),
    Calls(Box<Mutex<Inbox>>),
}

impl Intake {
    /// The better one that a socket which hears nothing yet can have, for frames of at most
    /// `len_max` bytes. Without a ring the socket is of no use any more: then there is None.
    pub(super) fn ring(socket: &Socket, len_max: usize) -> Option<Intake> {
        let ring = Ring::new(socket, len_max).ok()?;
        Some(Intake::Ring(Mutex::new(ring)))
    }

    /// The other one, which every socket has.
    pub(super) fn calls(len_max: usize) -> Intake {
        Intake::Calls(Box::new(Mutex::new(Inbox::new(len_max))))
    }

    /// Whether a look costs no system call.
    pub(super) fn is_ring(&self) -> bool {
        matches!(self, Intake::Ring(_))
    }

    /// Hands the frames that are there to `take`, a bounded number of them, and whether they were
    /// too long and have been cut. Says how many. An error is about the interface; if a ring is
    /// empty although the socket is said to be ready (`is_ready`), there is one.
    pub(super) fn look(
        &self,
        socket: &Socket,
        is_ready: bool,
        mut take: impl FnMut(&[u8], bool),
    ) -> io::Result<usize> {
        match self {
            Intake::Ring(ring) => {
                let mut ring = lock(ring);
                let mut count = 0;
                while count < BATCH_MAX
                    && let Some(slot) = ring.next()
                {
                    take(slot.bytes(), slot.is_cut());
                    count += 1;
                }
                if count == 0
                    && is_ready
                    && let Some(error) = socket.take_error()?
                {
                    return Err(error);
                }
                Ok(count)
            }
            Intake::Calls(inbox) => {
                let mut inbox = lock(inbox);
                let count = match inbox.receive(socket.as_fd(), BATCH_MAX, false) {
                    Err(error) if is_nothing(&error) => 0,
                    count => count?,
                };
                for at in 0..count {
                    let message = inbox.get(at);
                    take(message.bytes, message.is_cut);
                }
                Ok(count)
            }
        }
    }
}

fn lock<T>(end: &Mutex<T>) -> MutexGuard<'_, T> {
    end.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
