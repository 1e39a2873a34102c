//! A device that writes down every frame it sends and receives.
//!
//! Each frame is in the file before it is on the network, or in the hands of the receiver, and it
//! gets there by one system call: whatever ends the process, what the file holds happened, up to
//! its last whole record. If a frame cannot be written the capture is over, with one line on
//! standard error; the network goes on.
//!
//! Networks with the flow-control header are captured as Ethernet, others as bare packets. A
//! received frame does not say whom it was for, so the header made for it names this station.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration as StdDuration, SystemTime};

use super::{Device, Sink};
use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::link::capture::{Capture, CaptureError, Form};
use crate::time::Duration;

/// The bound of a capture file where nobody asks for another one.
pub const CAPTURE_BYTES_MAX: u64 = 1 << 30;

/// What a capture did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    /// Frames in the file.
    pub frames: u64,
    /// Frames that are not, because the file is full or could not be written.
    pub missed: u64,
    /// Writes that failed: at most one, since nothing is tried after it.
    pub errors: u64,
}

/// A device with everything that passes it written to a capture file.
pub struct CaptureDevice<D, W = File> {
    inner: D,
    tape: Mutex<Tape<W>>,
}

struct Tape<W> {
    capture: Capture<W>,
    /// What it is called in the line that says that it is over.
    name: String,
    stats: CaptureStats,
}

impl<D: Device> CaptureDevice<D> {
    /// Captures what passes `inner` to a new file, at most [`CAPTURE_BYTES_MAX`] bytes.
    pub fn create(inner: D, path: &Path) -> io::Result<CaptureDevice<D>> {
        let file = File::create(path)?;
        CaptureDevice::new(inner, file, &path.display().to_string(), CAPTURE_BYTES_MAX)
    }
}

impl<D: Device, W: Write + Send> CaptureDevice<D, W> {
    /// Captures what passes `inner` to `out`, at most `bytes_max` bytes. The name is for messages.
    pub fn new(inner: D, out: W, name: &str, bytes_max: u64) -> io::Result<CaptureDevice<D, W>> {
        let form = if inner.link().flow {
            Form::Ethernet
        } else {
            Form::Bare
        };
        let tape = Mutex::new(Tape {
            capture: Capture::begin(out, form, bytes_max)?,
            name: name.to_owned(),
            stats: CaptureStats::default(),
        });
        Ok(CaptureDevice { inner, tape })
    }

    /// The device whose frames these are.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// What the capture did so far.
    pub fn stats(&self) -> CaptureStats {
        self.lock().stats
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tape<W>> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> Tape<W> {
    fn write(&mut self, at: StdDuration, from: LinkAddress, to: LinkAddress, frame: &[u8]) {
        let name = &self.name;
        let first = self.stats.missed == 0;
        match self.capture.add(at, from, to, frame) {
            Ok(()) => self.stats.frames += 1,
            Err(error) => {
                self.stats.missed += 1;
                self.stats.errors += u64::from(matches!(error, CaptureError::Write(_)));
                if first {
                    let count = self.stats.frames;
                    // If nobody can be told, nothing better is left to do.
                    let _ = writeln!(
                        io::stderr(),
                        "capture {name} ends after {count} frames: {error}"
                    );
                }
            }
        }
    }
}

fn now() -> StdDuration {
    // A clock before 1970 is wrong anyway.
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

impl<D: Device, W: Write + Send> Device for CaptureDevice<D, W> {
    fn link(&self) -> Link {
        self.inner.link()
    }

    fn station(&self) -> LinkAddress {
        self.inner.station()
    }

    fn send(&self, frames: &[Frame]) {
        let (at, own) = (now(), self.station());
        let mut tape = self.lock();
        for frame in frames {
            tape.write(at, own, frame.to, &frame.bytes());
        }
        drop(tape);
        self.inner.send(frames);
    }

    fn listen(&self, group: u64, on: bool) {
        self.inner.listen(group, on);
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        let own = self.station();
        self.inner.receive(wait, &mut |from, bytes| {
            // The sink may send: nothing is locked while it runs.
            self.lock().write(now(), from, own, bytes);
            sink(from, bytes);
        })
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn lost(&self) -> u64 {
        self.inner.lost()
    }

    fn drops(&self) -> BTreeMap<&'static str, u64> {
        self.inner.drops()
    }
}

#[cfg(test)]
#[path = "capture/tests.rs"]
mod tests;
