//! Sending datagrams: in order, and with as few system calls as they take.
//!
//! One datagram is one plain call. Many go by `sendmmsg`, and a run of equally long ones to one
//! station (the fragments of a long message) is one message that the kernel cuts. A frame for many
//! is sealed once, whoever it goes to, and stands in memory once.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::SockRef;

use super::{DATAGRAM_LEN_MAX, UdpDevice};
use crate::Frame;
use crate::address::LinkAddress;
use crate::driver::os::batch::{self, BATCH_MAX, Message};

/// The most datagrams that the kernel cuts out of one message.
const SEGMENTS_MAX: usize = 64;

/// One datagram, in the parts that it stands in memory in.
pub(super) struct Datagram<'a> {
    head: Cow<'a, [u8]>,
    body: &'a [u8],
}

impl Datagram<'_> {
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, self.body]
    }

    fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    fn slices(&self) -> [IoSlice<'_>; 2] {
        self.parts().map(IoSlice::new)
    }
}

impl From<Vec<u8>> for Datagram<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        let (head, body) = (Cow::Owned(bytes), &[][..]);
        Datagram { head, body }
    }
}

impl<'a> From<&'a [u8]> for Datagram<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let (head, body) = (Cow::Borrowed(bytes), &[][..]);
        Datagram { head, body }
    }
}

impl<'a> From<&'a Frame> for Datagram<'a> {
    fn from(frame: &'a Frame) -> Self {
        let [head, body] = frame.parts();
        let head = Cow::Borrowed(head);
        Datagram { head, body }
    }
}

/// The datagrams of one call, on their way out.
struct Outbox<'a> {
    /// As they go to the network.
    datagrams: Vec<Datagram<'a>>,
    /// In order.
    parcels: Vec<Parcel>,
}

/// Whom for, and which of the datagrams.
struct Parcel {
    to: SocketAddr,
    datagram: usize,
}

/// The longest datagrams that the kernel is asked to cut. It refuses those that IP would have to
/// cut again, and it may not be able to cut at all.
pub(super) struct Segmentation {
    len_max: AtomicUsize,
}

impl Segmentation {
    pub(super) fn new(works: bool) -> Segmentation {
        let len_max = AtomicUsize::new(if works { DATAGRAM_LEN_MAX } else { 0 });
        Segmentation { len_max }
    }

    /// Remembers that datagrams of this length go one by one but not together.
    fn refuse(&self, len: usize) {
        self.len_max
            .fetch_min(len.saturating_sub(1), Ordering::Relaxed);
    }

    /// Cuts a list of datagrams into runs that are one message each.
    fn runs(&self, to: &[(SocketAddr, usize)]) -> Vec<Range<usize>> {
        let len_max = self.len_max.load(Ordering::Relaxed);
        let mut runs = Vec::with_capacity(to.len());
        let mut at = 0;
        while at < to.len() {
            let end = at + run_len(&to[at..], len_max);
            runs.push(at..end);
            at = end;
        }
        runs
    }
}

/// How many of the first datagrams may be one message: to one station, equally long, except that
/// the last one may be shorter.
fn run_len(to: &[(SocketAddr, usize)], len_max: usize) -> usize {
    let (first, len) = to[0];
    if len == 0 || len > len_max {
        return 1;
    }
    let mut total = len;
    let mut count = 1;
    for (station, next) in &to[1..] {
        total += next;
        let fits = count < SEGMENTS_MAX && total <= DATAGRAM_LEN_MAX;
        if *station != first || *next > len || *next == 0 || !fits {
            break;
        }
        count += 1;
        if *next < len {
            break;
        }
    }
    count
}

impl UdpDevice {
    pub(super) fn send_frames(&self, frames: &[Frame]) {
        if let [frame] = frames
            && let LinkAddress::Station(station) = frame.to
            && is_sendable(frame)
        {
            // The most frequent case, without the lists that follow.
            let to = self.directory().address_of(station);
            let left = to.is_some_and(|to| self.send_one(to, frame.into()));
            return self.lose(usize::from(!left));
        }
        let mut outbox = Outbox {
            datagrams: Vec::with_capacity(frames.len()),
            parcels: Vec::with_capacity(frames.len()),
        };
        let mut rest = frames;
        while let Some(first) = rest.first() {
            let count = match first.to {
                LinkAddress::Station(station) => {
                    self.put_copy(&mut outbox, first, station);
                    1
                }
                LinkAddress::Broadcast | LinkAddress::Multicast(_) => {
                    let for_all = |frame: &&Frame| !matches!(frame.to, LinkAddress::Station(_));
                    let count = rest.iter().take_while(for_all).count();
                    self.put_for_all(&mut outbox, &rest[..count]);
                    count
                }
            };
            rest = &rest[count..];
        }
        self.lose(self.transmit(&outbox));
    }

    fn put_copy<'a>(&self, outbox: &mut Outbox<'a>, frame: &'a Frame, station: u64) {
        let to = self.directory().address_of(station);
        match to {
            Some(to) if is_sendable(frame) => {
                self.put(outbox, std::iter::once(frame.into()), &[to]);
            }
            _ => self.lose(1),
        }
    }

    /// Frames for all, station by station, so that the fragments of a message stay together.
    fn put_for_all<'a>(&self, outbox: &mut Outbox<'a>, frames: &'a [Frame]) {
        let good = || frames.iter().filter(|frame| is_sendable(frame));
        self.lose(frames.len() - good().count());
        let directory = self.directory();
        let route = directory.route();
        if let Some((group, prefix)) = &route.multicast {
            let datagrams = good().map(|frame| match prefix.as_slice() {
                [] => frame.into(),
                prefix => Datagram {
                    head: Cow::Owned([prefix, &frame.head].concat()),
                    body: &frame.body,
                },
            });
            self.put(outbox, datagrams, &[*group]);
        }
        if !route.copies.is_empty() {
            self.put(outbox, good().map(Datagram::from), &route.copies);
        }
    }

    /// Puts datagrams down for each of these. What cannot be sealed is lost.
    fn put<'a>(
        &self,
        outbox: &mut Outbox<'a>,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        to: &[SocketAddr],
    ) {
        let first = outbox.datagrams.len();
        for datagram in datagrams {
            match self.outgoing(datagram) {
                Some(datagram) => outbox.datagrams.push(datagram),
                None => self.lose(to.len()),
            }
        }
        for to in to {
            let datagrams = first..outbox.datagrams.len();
            let parcel = |datagram| Parcel { to: *to, datagram };
            outbox.parcels.extend(datagrams.map(parcel));
        }
    }

    /// Sends datagrams in order. Says how many the network did not take.
    fn transmit(&self, outbox: &Outbox<'_>) -> usize {
        let Outbox { datagrams, parcels } = outbox;
        if let [one] = parcels.as_slice() {
            return usize::from(!self.put_datagram(one.to, &datagrams[one.datagram]));
        }
        let chosen = || parcels.iter().map(|one| &datagrams[one.datagram]);
        let parts: Vec<_> = chosen().map(Datagram::slices).collect();
        let to = parcels.iter().zip(chosen());
        let to: Vec<_> = to.map(|(one, datagram)| (one.to, datagram.len())).collect();
        self.send_runs(&parts, &to, &self.segmentation.runs(&to))
    }

    /// Sends one datagram; says whether it left.
    pub(super) fn send_one(&self, to: SocketAddr, datagram: Datagram<'_>) -> bool {
        let sealed = self.outgoing(datagram);
        sealed.is_some_and(|datagram| self.put_datagram(to, &datagram))
    }

    /// Sends one datagram that is as it goes to the network; says whether it left.
    pub(super) fn put_datagram(&self, to: SocketAddr, datagram: &Datagram<'_>) -> bool {
        let send = || match datagram.parts() {
            [head, []] => self.socket.send_to(head, to),
            _ => SockRef::from(&self.socket).send_to_vectored(&datagram.slices(), &to.into()),
        };
        loop {
            match send() {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends runs of datagrams, each run as one message. Says how many datagrams were not taken.
    fn send_runs(
        &self,
        parts: &[[IoSlice<'_>; 2]],
        to: &[(SocketAddr, usize)],
        runs: &[Range<usize>],
    ) -> usize {
        let mut refused = 0;
        let mut rest = runs;
        while let Some(first) = rest.first() {
            let messages: Vec<_> = rest
                .iter()
                .take(BATCH_MAX)
                .map(|run| Message {
                    to: Some(to[run.start].0.into()),
                    parts: parts[run.clone()].as_flattened(),
                    segment: (run.len() > 1).then_some(to[run.start].1 as u16),
                })
                .collect();
            match batch::send(self.socket.as_fd(), &messages) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if first.len() > 1 => {
                    // Refused together: they may pass one by one.
                    let single: Vec<_> = first.clone().map(|at| at..at + 1).collect();
                    let lost = self.send_runs(parts, to, &single);
                    if lost == 0 {
                        self.segmentation.refuse(to[first.start].1);
                    }
                    refused += lost;
                    rest = &rest[1..];
                }
                Err(_) => {
                    // The network refused the first one; the others go on.
                    refused += 1;
                    rest = &rest[1..];
                }
            }
        }
        refused
    }

    fn lose(&self, count: usize) {
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Whether it cannot be taken for anything but a frame.
fn is_sendable(frame: &Frame) -> bool {
    super::control::is_frame(&frame.head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(lens: &[(u16, usize)], len_max: usize) -> Vec<usize> {
        let to: Vec<_> = lens
            .iter()
            .map(|(port, len)| (SocketAddr::from(([127, 0, 0, 1], *port)), *len))
            .collect();
        let segmentation = Segmentation::new(true);
        segmentation.refuse(len_max + 1);
        let runs = segmentation.runs(&to);
        runs.iter().map(Range::len).collect()
    }

    #[test]
    fn a_run_is_equally_long_but_for_its_end() {
        let list = [
            (1, 9),
            (1, 9),
            (1, 5),
            (1, 9),
            (2, 9),
            (2, 9),
            (2, 10),
            (2, 1),
        ];
        assert_eq!(runs(&list, 100), [3, 1, 2, 2]);
        assert_eq!(runs(&list, 9), [3, 1, 2, 1, 1]);
        assert_eq!(runs(&list, 0), [1; 8]);
    }

    #[test]
    fn a_run_has_the_bounds_of_the_kernel() {
        assert_eq!(runs(&[(1, 10); 130], 100), [64, 64, 2]);
        assert_eq!(runs(&[(1, 30_000); 5], 60_000), [2, 2, 1]);
        assert_eq!(runs(&[(1, 50_000), (1, 15_507), (1, 1)], 60_000), [2, 1]);
        assert_eq!(runs(&[(1, 50_000), (1, 15_508)], 60_000), [1, 1]);
    }
}
