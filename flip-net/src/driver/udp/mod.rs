//! UDP as a network: a list of peers, and one multicast group for those that hear it. A station is
//! the address and port of a processor's own socket, on IPv4 or on IPv6.
//!
//! Every datagram leaves from that socket, so its source says who sent it, and frames are taken
//! only from configured peers. Multicast frames come in by a second socket that all processors of
//! the run share the port of. Who hears the group is found out peer by peer while frames already
//! flow: a few probes go out by multicast, and who hears one says so. Until then, and for those who
//! never answer, a frame for all is one copy each; everybody gets it exactly once in every mixture
//! (see `control`). Nothing here blocks but `receive`.
//!
//! With a key (`open_guarded`) everything that leaves for others is sealed: frames with the lists in
//! front of them, probes, answers (see `sealing`). Without one this is no secure network: who can
//! write the address of a peer into a datagram can speak as that peer.
//!
//! Implements: DESIGN 6, sending and receiving.

mod config;
mod control;
mod directory;
mod probe;
mod receive;
mod sealing;
mod sockets;
#[cfg(test)]
mod tests;
mod transmit;
mod waker;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::alarm::{Alarm, Ends};
use super::drops::Drops;
use super::os::random::random_u64;
use super::{Device, Guard, Sink};
use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::time::Duration;
pub use config::{UdpConfig, UdpError};
use directory::{Directory, number_of};
use probe::Probing;
use receive::Receiving;
pub use sockets::source_towards;
use transmit::{Datagram, Segmentation};
use waker::Waker;

/// The largest datagram that UDP carries on IPv4.
const DATAGRAM_LEN_MAX: usize = 65_507;

/// Why a datagram was not given.
#[derive(Clone, Copy)]
enum Reason {
    Stranger,
    StationsFull,
    Malformed,
    Misplaced,
    StaleAnswer,
    Empty,
}

/// In the order of [`Reason`].
const DROPS: [&str; 6] = [
    "from a stranger",
    "too many stations",
    "malformed",
    "by the wrong socket",
    "answer to no probe",
    "empty",
];

/// A UDP network as one processor has it.
pub struct UdpDevice {
    link: Link,
    own: SocketAddr,
    station: LinkAddress,
    socket: UdpSocket,
    /// The socket for the group, once it is joined.
    group: OnceLock<UdpSocket>,
    directory: RwLock<Directory>,
    probing: Probing,
    receiving: Mutex<Receiving>,
    segmentation: Segmentation,
    waker: Arc<Waker>,
    alarm: Alarm,
    guard: Guard,
    drops: Drops<{ DROPS.len() }>,
    lost: AtomicU64,
}

impl UdpDevice {
    /// Opens the socket, and joins the group if there is one.
    pub fn open(config: &UdpConfig) -> Result<UdpDevice, UdpError> {
        UdpDevice::open_guarded(config, Guard::none())
    }

    /// The same on a network whose datagrams are sealed. The mtu of the configuration is what a
    /// datagram carries, so frames are shorter by what sealing adds.
    pub fn open_guarded(config: &UdpConfig, guard: Guard) -> Result<UdpDevice, UdpError> {
        let (socket, own) = sockets::open_own(config, guard.overhead())?;
        let waker = Arc::new(Waker::new(&socket, own)?);
        // A sealed frame is no longer than the mtu, and the list in front of it is sealed with it.
        let room = DATAGRAM_LEN_MAX - config.mtu;
        let directory = Directory::new(own, config.accept_strangers, room);
        let device = UdpDevice {
            // A frame for all is one frame to the box, also where it goes out peer by peer.
            link: guard.link(Link::udp(config.mtu, true)),
            own,
            station: directory.station_of(own).expect("the own station is known"),
            group: OnceLock::new(),
            directory: RwLock::new(directory),
            probing: Probing::new(random_u64()?),
            receiving: Mutex::new(Receiving::new()),
            segmentation: Segmentation::new(sockets::cuts_segments(&socket)),
            socket,
            alarm: Alarm::new(Arc::clone(&waker) as Arc<dyn Ends>),
            waker,
            guard,
            drops: Drops::new(DROPS),
            lost: AtomicU64::new(0),
        };
        if let Some(group) = config.multicast {
            // Without the group every peer gets a copy.
            let _ = device.try_multicast(group);
        }
        Ok(device)
    }

    /// Joins the group, answers probes from now on, and begins to probe which peers hear it, if
    /// there are peers; else `set_peers` does. An error says why multicast is not used here: no
    /// harm is done, every peer gets a copy. Only the first group counts.
    pub fn try_multicast(&self, group: SocketAddr) -> io::Result<()> {
        let mut directory = self.directory_mut();
        if directory.group().is_some() {
            return Ok(());
        }
        let (receiver, group) = sockets::open_group(&self.socket, self.own, group)?;
        directory.set_group(group);
        let has_peers = directory.has_peers();
        drop(directory);
        assert!(self.group.set(receiver).is_ok(), "one group, joined once");
        if has_peers {
            self.probing.begin();
        }
        // Whoever receives watches one socket so far.
        self.wake();
        Ok(())
    }

    /// The address of the own socket: what peers are told.
    pub fn address(&self) -> SocketAddr {
        self.own
    }

    /// The address behind a station number, if it is known.
    pub fn address_of(&self, station: u64) -> Option<SocketAddr> {
        self.directory().address_of(station)
    }

    /// Whether every peer is known to hear the group.
    pub fn has_multicast(&self) -> bool {
        self.directory().all_hear()
    }

    /// The peers that are known to hear the group.
    pub fn hearing(&self) -> Vec<SocketAddr> {
        self.directory().hearing()
    }

    /// What seals and opens here.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Whom frames are for and accepted from; the own address is left out. On a keyed network those
    /// who are new in the list are told that this station is there.
    pub fn set_peers(&self, peers: &[SocketAddr]) {
        let mut directory = self.directory_mut();
        let new = directory.set_peers(peers);
        let probes = directory.group().is_some() && !directory.all_hear();
        drop(directory);
        self.announce(&new);
        if probes {
            self.probing.begin();
            self.wake();
        }
    }

    fn probe_if_due(&self) {
        if !self.probing.take_due() {
            return;
        }
        let group = self.directory().group();
        if let Some(group) = group {
            self.send_control(group, &control::probe(self.probing.nonce()));
        }
    }

    /// Somebody wants to know whether the group is heard here, and thereby is heard.
    fn on_probe(&self, from: SocketAddr, nonce: u64) {
        let directory = self.directory();
        let (is_answered, is_waited_for) =
            (directory.is_answered(from), directory.is_waited_for(from));
        drop(directory);
        if !is_answered {
            return self.drops.count(Reason::Stranger as usize);
        }
        self.send_control(from, &control::heard(nonce ^ number_of(self.own)));
        if is_waited_for {
            // It may have come too late for the probes from here.
            self.probing.once_more();
        }
    }

    fn on_heard(&self, from: SocketAddr, answer: u64) {
        if answer ^ number_of(from) != self.probing.nonce() {
            return self.drops.count(Reason::StaleAnswer as usize);
        }
        let mut directory = self.directory_mut();
        if directory.set_hearing(from) && directory.all_hear() {
            self.probing.end();
        }
    }

    fn send_control(&self, to: SocketAddr, bytes: &[u8]) {
        // It is no frame; if it does not leave, that is as if nobody heard it.
        let _ = self.send_one(to, Datagram::from(bytes));
    }

    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for UdpDevice {
    fn link(&self) -> Link {
        self.link
    }

    fn station(&self) -> LinkAddress {
        self.station
    }

    fn send(&self, frames: &[Frame]) {
        self.probe_if_due();
        self.send_frames(frames);
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        self.receive_frames(wait, sink)
    }

    fn wake(&self) {
        self.waker.ring();
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn drops(&self) -> BTreeMap<&'static str, u64> {
        let mut table = self.drops.table();
        self.guard.add_drops(&mut table);
        table
    }
}
