//! Where a keyed UDP network meets its guard: what leaves is sealed, what comes is opened, and what
//! the guard itself has to say leaves from here.
//!
//! Without a key all of this passes bytes on as they are.
//!
//! Who sends is looked at first: only those whose frames may be accepted cost a key or draw an
//! answer. What the guard holds until its sender has introduced itself comes back with the station
//! alone, so the socket by which it came is noted in that: a probe proves something only if it came
//! by the group, also when it is believed late.
//!
//! Wake-ups are no part of this. They are empty, from here to here, and what has the own address as
//! its source is never looked into; whoever forges one ends a wait too early.
//!
//! Implements: nothing of the thesis. Differs: `docs/differences.md`, keyed networks.

use std::net::SocketAddr;

use super::directory::{UNUSED_BIT, number_of};
use super::receive::By;
use super::transmit::Datagram;
use super::{Reason, UdpDevice};
use crate::address::LinkAddress;
use crate::driver::Sink;

/// Marks the place of what came by the group.
const BY_GROUP: u64 = UNUSED_BIT;

/// Where a datagram came from and by which socket, as the guard remembers it.
fn place_of(from: SocketAddr, by: By) -> LinkAddress {
    let mark = match by {
        By::Own => 0,
        By::Group => BY_GROUP,
    };
    LinkAddress::Station(number_of(from) | mark)
}

impl UdpDevice {
    /// Everything that leaves for others passes here: frames, with the list before them if there is
    /// one, probes and answers. None when the key must not seal any more.
    pub(super) fn outgoing<'a>(&self, datagram: Datagram<'a>) -> Option<Datagram<'a>> {
        if !self.guard.is_keyed() {
            return Some(datagram);
        }
        let sealed = self.guard.seal_parts(datagram.parts())?;
        Some(Datagram::from(sealed))
    }

    /// Everything that came from others passes here before anybody looks into it, datagram by
    /// datagram. Says how many frames the sink got.
    pub(super) fn incoming(
        &self,
        from: SocketAddr,
        datagram: &mut [u8],
        by: By,
        sink: &mut Sink<'_>,
    ) -> usize {
        if !self.guard.is_keyed() {
            return self.take_datagram(from, datagram, by, sink);
        }
        if !self.directory().is_answered(from) {
            return self.drop_one(Reason::Stranger);
        }
        let mut given = 0;
        let mut deliver = |place: LinkAddress, plain: &[u8]| {
            given += self.take_opened(place, from, plain, sink);
        };
        let mut answer = |_: LinkAddress, sealed: Vec<u8>| {
            // It is repeated if it is lost.
            let _ = self.put_datagram(from, &Datagram::from(sealed));
        };
        let place = place_of(from, by);
        self.guard.open(place, datagram, &mut deliver, &mut answer);
        given
    }

    /// What the guard believes: the datagram that has just come from `now_from`, or one that was
    /// held, which mostly is of the same sender.
    fn take_opened(
        &self,
        place: LinkAddress,
        now_from: SocketAddr,
        plain: &[u8],
        sink: &mut Sink<'_>,
    ) -> usize {
        let LinkAddress::Station(place) = place else {
            unreachable!("the guard gives back what it got")
        };
        let (by, station) = match place & BY_GROUP {
            0 => (By::Own, place),
            _ => (By::Group, place & !BY_GROUP),
        };
        let from = match number_of(now_from) == station {
            true => Some(now_from),
            false => self.directory().address_of(station),
        };
        match from {
            Some(from) => self.take_datagram(from, plain, by, sink),
            None => self.drop_one(Reason::Stranger),
        }
    }

    /// Tells these that this station is there, so that they know it before its first frame comes.
    pub(super) fn announce(&self, peers: &[SocketAddr]) {
        if peers.is_empty() {
            return;
        }
        let Some(announcement) = self.guard.announcement() else {
            return;
        };
        let announcement = Datagram::from(announcement);
        for peer in peers {
            // Nothing depends on it but that fewer frames are lost at the start.
            let _ = self.put_datagram(*peer, &announcement);
        }
    }
}
