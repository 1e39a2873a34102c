//! Sending datagrams: in order, and with as few system calls as they take.
//!
//! One datagram is one plain call. Many go by `sendmmsg`, and a run of equally long ones to one
//! station (the fragments of a long message) is one message that the kernel cuts.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{DATAGRAM_LEN_MAX, UdpDevice};
use crate::Frame;
use crate::address::LinkAddress;
use crate::driver::os::batch::{self, BATCH_MAX, Message};

/// The most datagrams that the kernel cuts out of one message.
const SEGMENTS_MAX: usize = 64;

/// One datagram on its way out.
pub(super) struct Parcel<'a> {
    pub(super) to: SocketAddr,
    pub(super) bytes: Cow<'a, [u8]>,
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
    /// Everything that leaves for others passes here: frames, copies, probes and answers. The place
    /// where a datagram is sealed. (Wake-ups do not pass: they are empty, and go from here to here.)
    fn outgoing<'a>(&self, _to: SocketAddr, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(bytes)
    }

    pub(super) fn send_frames(&self, frames: &[Frame]) {
        if let [frame] = frames
            && let LinkAddress::Station(station) = frame.to
            && is_sendable(frame)
        {
            // The most frequent case, without the lists that follow.
            let to = self.directory().address_of(station);
            let left = to.is_some_and(|to| self.send_one(to, &frame.bytes));
            return self.lose(usize::from(!left));
        }
        let mut parcels = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while let Some(first) = rest.first() {
            let count = match first.to {
                LinkAddress::Station(station) => {
                    self.put_copy(&mut parcels, first, station);
                    1
                }
                LinkAddress::Broadcast | LinkAddress::Multicast(_) => {
                    let for_all = |frame: &&Frame| !matches!(frame.to, LinkAddress::Station(_));
                    let count = rest.iter().take_while(for_all).count();
                    self.put_for_all(&mut parcels, &rest[..count]);
                    count
                }
            };
            rest = &rest[count..];
        }
        self.lose(self.transmit(&parcels));
    }

    fn put_copy<'a>(&self, parcels: &mut Vec<Parcel<'a>>, frame: &'a Frame, station: u64) {
        match self.directory().address_of(station) {
            Some(to) if is_sendable(frame) => parcels.push(Parcel {
                to,
                bytes: Cow::Borrowed(&frame.bytes),
            }),
            _ => self.lose(1),
        }
    }

    /// Frames for all, station by station, so that the fragments of a message stay together.
    fn put_for_all<'a>(&self, parcels: &mut Vec<Parcel<'a>>, frames: &'a [Frame]) {
        let good = || frames.iter().filter(|frame| is_sendable(frame));
        self.lose(frames.len() - good().count());
        let directory = self.directory();
        let route = directory.route();
        if let Some((group, prefix)) = &route.multicast {
            parcels.extend(good().map(|frame| Parcel {
                to: *group,
                bytes: match prefix.as_slice() {
                    [] => Cow::Borrowed(&frame.bytes[..]),
                    prefix => Cow::Owned([prefix, &frame.bytes].concat()),
                },
            }));
        }
        for to in &route.copies {
            parcels.extend(good().map(|frame| Parcel {
                to: *to,
                bytes: Cow::Borrowed(&frame.bytes),
            }));
        }
    }

    /// Sends datagrams in order. Says how many the network did not take.
    pub(super) fn transmit(&self, parcels: &[Parcel<'_>]) -> usize {
        if let [one] = parcels {
            return usize::from(!self.send_one(one.to, &one.bytes));
        }
        let sealed: Vec<_> = parcels
            .iter()
            .map(|parcel| self.outgoing(parcel.to, &parcel.bytes))
            .collect();
        let parts: Vec<_> = sealed.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let to = parcels.iter().zip(&parts);
        let to: Vec<_> = to.map(|(parcel, part)| (parcel.to, part.len())).collect();
        self.send_runs(&parts, &to, &self.segmentation.runs(&to))
    }

    /// Sends one datagram; says whether it left.
    fn send_one(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        let bytes = self.outgoing(to, bytes);
        loop {
            match self.socket.send_to(&bytes, to) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends runs of datagrams, each run as one message. Says how many datagrams were not taken.
    fn send_runs(
        &self,
        parts: &[IoSlice<'_>],
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
                    parts: &parts[run.clone()],
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
    super::control::is_frame(&frame.bytes)
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
