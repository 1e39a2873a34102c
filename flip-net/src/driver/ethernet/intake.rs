//! Waiting for frames, and taking them: by a receive that blocks while frames flow, else by `ppoll`
//! (see `traffic`). Either is ended by hand.
//!
//! A receive that blocks is interrupted. Whoever wakes first says so and then interrupts; whoever
//! receives first lets itself be interrupted and then looks whether somebody said so. An interrupt
//! that comes before the kernel blocks is repeated by the alarm, until the wait is over.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use crate::driver::alarm::{Alarm, Ends};
use crate::driver::os::batch::{BATCH_MAX, Inbox};
use crate::driver::os::bell::Bell;
use crate::driver::os::interrupt::Interrupt;
use crate::driver::os::poll::poll;
use crate::driver::traffic::Traffic;
use crate::time::Duration;

/// Where frames come in.
pub(super) struct Intake {
    receiving: Mutex<Receiving>,
    /// How a receive that blocks is ended; without it none blocks.
    end: Option<End>,
    bell: Bell,
    /// Somebody rang the bell, and no receive has returned for it yet.
    woken: AtomicBool,
}

struct Receiving {
    inbox: Inbox,
    traffic: Traffic,
}

struct End {
    interrupt: Arc<Interrupt>,
    alarm: Alarm,
}

impl Ends for Interrupt {
    fn insist(&self) -> bool {
        self.send();
        true
    }
}

impl Intake {
    /// For frames of at most `len_max` bytes.
    pub(super) fn new(len_max: usize, interrupt: Option<Interrupt>) -> io::Result<Intake> {
        let end = interrupt.map(|interrupt| {
            let interrupt = Arc::new(interrupt);
            let alarm = Alarm::new(Arc::clone(&interrupt) as Arc<dyn Ends>);
            End { interrupt, alarm }
        });
        Ok(Intake {
            receiving: Mutex::new(Receiving {
                inbox: Inbox::new(len_max),
                traffic: Traffic::default(),
            }),
            end,
            bell: Bell::new()?,
            woken: AtomicBool::new(false),
        })
    }

    /// Waits at most `wait` for frames, and hands those that are there to `take`, a bounded number
    /// of them, and whether they were too long and have been cut. Says how many. An error is about
    /// the interface.
    pub(super) fn receive(
        &self,
        socket: &Socket,
        wait: Duration,
        mut take: impl FnMut(&[u8], bool),
    ) -> io::Result<usize> {
        let receiving = &mut *self.lock();
        let came = match &self.end {
            Some(end)
                if wait > Duration::ZERO && receiving.traffic.flows() && end.alarm.arm(wait) =>
            {
                self.block(receiving, end, socket)
            }
            _ => self.poll(receiving, socket, wait),
        };
        let count = match came {
            Err(error) if is_nothing(&error) => 0,
            count => count?,
        };
        for at in 0..count {
            let message = receiving.inbox.get(at);
            take(message.bytes, message.is_cut);
        }
        Ok(count)
    }

    fn block(&self, receiving: &mut Receiving, end: &End, socket: &Socket) -> io::Result<usize> {
        let looks = receiving.traffic.looks();
        let came = end.interrupt.during(|| match looks {
            _ if self.woken.load(Ordering::SeqCst) => Ok(0),
            true => receiving.inbox.receive(socket.as_fd(), BATCH_MAX, true),
            false => receiving.inbox.receive_one(socket.as_fd()),
        });
        end.alarm.disarm();
        if self.woken.load(Ordering::SeqCst) {
            self.heard();
        }
        let count = came.as_ref().map_or(0, |count| *count);
        receiving.traffic.blocked(count, looks);
        came
    }

    fn poll(
        &self,
        receiving: &mut Receiving,
        socket: &Socket,
        wait: Duration,
    ) -> io::Result<usize> {
        let waits = wait > Duration::ZERO;
        let [ready, rung] = match waits {
            true => poll([Some(socket.as_fd()), Some(self.bell.as_fd())], wait),
            false => [true, false],
        };
        if rung {
            self.heard();
        }
        let came = match ready {
            true => receiving.inbox.receive(socket.as_fd(), BATCH_MAX, false),
            false => Ok(0),
        };
        let count = came.as_ref().map_or(0, |count| *count);
        receiving.traffic.polled(count, waits);
        came
    }

    /// Makes the receive that waits, or else the next one that would, return.
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.bell.ring();
        // Who begins to block later sees that it is woken.
        if let Some(end) = &self.end
            && end.interrupt.send()
        {
            end.alarm.hasten();
        }
    }

    /// A receive returns. What is said from here on is for the next one.
    fn heard(&self) {
        self.woken.store(false, Ordering::SeqCst);
        self.bell.quiet();
    }

    fn lock(&self) -> MutexGuard<'_, Receiving> {
        self.receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
