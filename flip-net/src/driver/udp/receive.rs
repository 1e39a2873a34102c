//! Waiting for datagrams, and sorting what came.
//!
//! Without a group there is one socket to watch, and a wait is one system call: a receive that
//! blocks, ended by a frame, by a wake-up, or by the alarm. That is for times when frames flow (see
//! `traffic`). With a group there are two sockets, and always `ppoll`.
//!
//! Small datagrams that come one at a time are taken by the plainest call there is. Who gets more
//! than that, several long ones at once, asks the kernel for batches, and to put datagrams together
//! (UDP_GRO). That stays on: what is in the queue already cannot be told apart afterwards.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::PoisonError;

use super::control::{self, Datagram};
use super::{DATAGRAM_LEN_MAX, Reason, UdpDevice, sockets};
use crate::address::LinkAddress;
use crate::driver::Sink;
use crate::driver::os::batch::{BATCH_MAX, Inbox};
use crate::driver::os::name::normalised;
use crate::driver::os::poll::poll;
use crate::driver::traffic::Traffic;
use crate::time::Duration;

/// The longest wait that nothing can end.
const DEAF_WAIT_MAX: Duration = Duration::from_millis(5);
/// So many bytes by one call are a long message.
const LONG_LEN: usize = 4 << 10;
/// Several datagrams that the kernel has put together may be a little longer than one.
const BUFFER_LEN: usize = 1 << 16;
const _: () = assert!(BUFFER_LEN > DATAGRAM_LEN_MAX);

/// What whoever has the receive role keeps.
pub(super) struct Receiving {
    inbox: Inbox,
    pub(super) traffic: Traffic,
    /// The kernel puts datagrams together.
    joins: bool,
}

/// By which socket a datagram came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Own,
    Group,
}

impl Receiving {
    pub(super) fn new() -> Receiving {
        Receiving {
            inbox: Inbox::new(BUFFER_LEN),
            traffic: Traffic::default(),
            joins: false,
        }
    }

    /// Takes what is there.
    fn take(&mut self, socket: &UdpSocket) -> usize {
        // An error is a datagram that did not make it, or a signal: what comes, comes.
        let count = self.inbox.receive(socket.as_fd(), BATCH_MAX, false);
        count.unwrap_or(0)
    }

    /// Waits for something, and takes it, with as much else as there is if this is the time to look.
    fn wait_and_take(&mut self, socket: &UdpSocket, looks: bool) -> usize {
        let most = if looks { BATCH_MAX } else { 1 };
        let count = self.inbox.receive(socket.as_fd(), most, true);
        count.unwrap_or(0)
    }
}

impl UdpDevice {
    pub(super) fn receive_frames(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        self.probe_if_due();
        let wait = self.probing.limit(wait);
        let receiving = &mut *self
            .receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let given = match self.group.get() {
            _ if self.waker.is_deaf() => {
                // The own address is gone. What is left to do is to let time pass.
                poll([None], wait.min(DEAF_WAIT_MAX));
                0
            }
            None => self.receive_own(receiving, wait, sink),
            Some(group) => self.receive_both(receiving, group, wait, sink),
        };
        self.waker.heard();
        self.probe_if_due();
        given
    }

    fn receive_own(&self, receiving: &mut Receiving, wait: Duration, sink: &mut Sink<'_>) -> usize {
        if wait > Duration::ZERO && receiving.traffic.flows() && self.alarm.arm(wait) {
            let looks = receiving.traffic.looks();
            if !receiving.joins && !looks {
                let came = self.socket.recv_from(receiving.inbox.room());
                let by_frame = !self.alarm.disarm() && came.is_ok();
                receiving.traffic.blocked(usize::from(by_frame), false);
                let Ok((len, from)) = came else { return 0 };
                let bytes = &mut receiving.inbox.room()[..len];
                return self.take_message(normalised(from), bytes, None, By::Own, sink);
            }
            let count = receiving.wait_and_take(&self.socket, looks);
            let by_frames = if self.alarm.disarm() { 0 } else { count };
            receiving.traffic.blocked(by_frames, looks);
            return self.sort(receiving, By::Own, count, sink);
        }
        let ready = wait == Duration::ZERO || poll([Some(self.socket.as_fd())], wait)[0];
        let count = if ready {
            receiving.take(&self.socket)
        } else {
            0
        };
        let given = self.sort(receiving, By::Own, count, sink);
        receiving.traffic.polled(given, wait > Duration::ZERO);
        given
    }

    fn receive_both(
        &self,
        receiving: &mut Receiving,
        group: &UdpSocket,
        wait: Duration,
        sink: &mut Sink<'_>,
    ) -> usize {
        let [own, all] = poll([Some(self.socket.as_fd()), Some(group.as_fd())], wait);
        let mut given = 0;
        for (ready, by, socket) in [(own, By::Own, &self.socket), (all, By::Group, group)] {
            if ready {
                let count = receiving.take(socket);
                given += self.sort(receiving, by, count, sink);
            }
        }
        given
    }

    /// Gives the frames of the last batch to the sink; says how many there were.
    fn sort(&self, receiving: &mut Receiving, by: By, count: usize, sink: &mut Sink<'_>) -> usize {
        let mut given = 0;
        let mut total = 0;
        for at in 0..count {
            let message = receiving.inbox.get(at);
            total += message.bytes.len();
            given += match message.name.socket_addr() {
                // Longer than any datagram, with the room that there is: that is not UDP.
                Some(from) if !message.is_cut => {
                    self.take_message(from, message.bytes, message.segment, by, sink)
                }
                _ => self.drop_one(Reason::Malformed),
            };
        }
        if count > 1 && total >= LONG_LEN && !receiving.joins {
            receiving.joins = true;
            sockets::join_datagrams(&self.socket);
            self.group
                .get()
                .into_iter()
                .for_each(sockets::join_datagrams);
        }
        given
    }

    /// One message of the kernel: one datagram, or several of the same sender in a row.
    fn take_message(
        &self,
        from: SocketAddr,
        bytes: &mut [u8],
        segment: Option<usize>,
        by: By,
        sink: &mut Sink<'_>,
    ) -> usize {
        // Own multicasts come back, and wake-ups are empty datagrams from here to here.
        if from == self.own {
            return 0;
        }
        if bytes.is_empty() {
            return self.drop_one(Reason::Empty);
        }
        let segment = segment.unwrap_or(bytes.len());
        bytes
            .chunks_mut(segment)
            .map(|datagram| self.incoming(from, datagram, by, sink))
            .sum()
    }

    /// One datagram as it was before it was sealed, if it was.
    pub(super) fn take_datagram(
        &self,
        from: SocketAddr,
        bytes: &[u8],
        by: By,
        sink: &mut Sink<'_>,
    ) -> usize {
        let frame = match (control::parse(bytes, self.own), by) {
            (Ok(Datagram::Frame(frame)), _) => frame,
            (
                Ok(Datagram::Except {
                    frame,
                    listed: false,
                }),
                By::Group,
            ) => frame,
            // The copy for this station comes by itself.
            (Ok(Datagram::Except { listed: true, .. }), By::Group) => return 0,
            (Ok(Datagram::Probe(nonce)), By::Group) => {
                self.on_probe(from, nonce);
                return 0;
            }
            (Ok(Datagram::Heard(answer)), By::Own) => {
                self.on_heard(from, answer);
                return 0;
            }
            // What belongs on the other socket proves nothing here.
            (Ok(_), _) => return self.drop_one(Reason::Misplaced),
            (Err(control::Malformed), _) => return self.drop_one(Reason::Malformed),
        };
        match self.accept(from) {
            Ok(station) => {
                sink(station, frame);
                1
            }
            Err(reason) => self.drop_one(reason),
        }
    }

    /// The station that a frame is accepted from.
    fn accept(&self, from: SocketAddr) -> Result<LinkAddress, Reason> {
        let directory = self.directory();
        if let Some(station) = directory.known(from) {
            return Ok(station);
        }
        if !directory.accepts_strangers() {
            return Err(Reason::Stranger);
        }
        drop(directory);
        self.directory_mut().admit(from).ok_or(Reason::StationsFull)
    }

    pub(super) fn drop_one(&self, reason: Reason) -> usize {
        self.drops.count(reason as usize);
        0
    }
}
