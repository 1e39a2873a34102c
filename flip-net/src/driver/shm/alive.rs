//! The sign of life of a receiver: a robust mutex that a thread of its process holds.
//!
//! Once that thread has ended, however it ended, the kernel gives the mutex to the next who asks,
//! and says so. A thread of its own has it, since the threads that receive come and go; it sleeps
//! all the time.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use super::lock::NotLocked;
use super::segment::Mapping;
use super::wait::Patience;
use crate::time::Duration;

/// Nobody holds the mutex of a receiver that has not come up yet for longer than a look takes.
const TAKE_PATIENCE: Duration = Duration::from_secs(1);

/// Shows that this process lives, until dropped.
pub(super) struct SignOfLife {
    /// The thread ends when this is gone.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SignOfLife {
    /// Shows that the receiver of ring `number` lives.
    pub(super) fn show(mapping: &Arc<Mapping>, number: u16) -> io::Result<SignOfLife> {
        let (stop, stopped) = channel();
        let (report, taken) = channel();
        let mapping = Arc::clone(mapping);
        let hold = move || {
            let (mutex, kind) = mapping.ring(number).alive();
            let guard = mutex.lock(kind, &mut Patience::new(TAKE_PATIENCE));
            // Whoever started this thread waits for the report, and then may drop `stop` any time.
            let _ = report.send(guard.as_ref().err().copied());
            if guard.is_ok() {
                let _ = stopped.recv();
            }
        };
        let thread = Builder::new().name("shm alive".to_owned()).spawn(hold)?;
        let sign = SignOfLife {
            stop: Some(stop),
            thread: Some(thread),
        };
        match taken.recv() {
            Ok(None) => Ok(sign),
            Ok(Some(NotLocked::Held)) => Err(io::ErrorKind::ResourceBusy.into()),
            Ok(Some(NotLocked::Broken)) | Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Drop for SignOfLife {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing left to do but to give the mutex back.
            let _ = thread.join();
        }
    }
}
