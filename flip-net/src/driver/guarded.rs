//! A device behind a guard: any device, with every frame sealed.
//!
//! For devices that put nothing but frames on the network; one that has datagrams of its own calls
//! its guard itself, as `udp` does, or those would go in the clear. A frame is copied once each way
//! more than in a device that does that.

use std::collections::BTreeMap;

use super::{Device, Guard, Sink};
use crate::Frame;
use crate::address::{LinkAddress, NetworkId};
use crate::link::Link;
use crate::time::Duration;

/// A device whose frames are sealed on the network.
pub struct GuardedDevice<D> {
    inner: D,
    guard: Guard,
}

impl<D: Device> GuardedDevice<D> {
    /// Puts `guard` before `inner`, and announces the station to the others.
    ///
    /// # Panics
    /// If no packet fits into a sealed frame of that device.
    pub fn new(inner: D, guard: Guard) -> GuardedDevice<D> {
        let _ = guard.link(inner.link());
        let device = GuardedDevice { inner, guard };
        device.announce();
        device
    }

    /// Announces this station: for devices that did not reach everybody when they were made.
    pub fn announce(&self) {
        let announcement = self.guard.announcement();
        self.inner.send(&Vec::from_iter(
            announcement.map(|bytes| frame(LinkAddress::Broadcast, bytes)),
        ));
    }

    /// The device behind the guard.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// The guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }
}

fn frame(to: LinkAddress, bytes: Vec<u8>) -> Frame {
    // The network of a frame is nothing to a device.
    Frame::new(NetworkId(0), to, bytes)
}

impl<D: Device> Device for GuardedDevice<D> {
    fn link(&self) -> Link {
        self.guard.link(self.inner.link())
    }

    fn station(&self) -> LinkAddress {
        self.inner.station()
    }

    fn send(&self, frames: &[Frame]) {
        if !self.guard.is_keyed() {
            return self.inner.send(frames);
        }
        let seal = |plain: &Frame| {
            let sealed = self.guard.seal_parts(plain.parts())?;
            Some(frame(plain.to, sealed))
        };
        let sealed: Vec<Frame> = frames.iter().filter_map(seal).collect();
        self.inner.send(&sealed);
    }

    fn listen(&self, group: u64, on: bool) {
        self.inner.listen(group, on);
    }

    /// Says how many frames the sink got; those between the guards are not counted.
    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        if !self.guard.is_keyed() {
            return self.inner.receive(wait, sink);
        }
        let mut count = 0;
        let mut answers = Vec::new();
        let mut buffer = Vec::new();
        self.inner.receive(wait, &mut |from, sealed| {
            buffer.clear();
            buffer.extend_from_slice(sealed);
            let mut deliver = |from: LinkAddress, plain: &[u8]| {
                count += 1;
                sink(from, plain);
            };
            let mut answer = |to, bytes| answers.push(frame(to, bytes));
            self.guard
                .open(from, &mut buffer, &mut deliver, &mut answer);
        });
        if !answers.is_empty() {
            self.inner.send(&answers);
        }
        count
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn lost(&self) -> u64 {
        self.inner.lost() + self.guard.refused()
    }

    /// Those of the device, and those of the guard.
    fn drops(&self) -> BTreeMap<&'static str, u64> {
        let mut table = self.inner.drops();
        self.guard.add_drops(&mut table);
        table
    }
}
