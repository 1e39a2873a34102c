//! Raw Ethernet as a network: frames of type 0x8146 on one interface, without IP. A station is a
//! hardware address: that of the interface, or one that the processor has drawn for itself, so that
//! several of them share an interface.
//!
//! The device puts the 14-byte header on and takes it off. What is behind it, the flow-control
//! header included, is the business of the box; so is the padding of short frames, which it cuts by
//! the length that FLIP gives. Broadcasts come in always, data-link multicast addresses while they
//! are listened to, and nothing that is for another station.
//!
//! Processors on one interface of one host must hear each other. What Linux does there, as the tests
//! show on each kind of interface:
//!
//! ```text
//!   veth    a frame goes to the other end, and to other packet sockets on this end as *outgoing*,
//!           but only to those for all types (ETH_P_ALL); hence a filter for our type. It comes to
//!           its own sender in neither way. Groups and stations are not filtered.
//!   bridge  the same, for a processor on the bridge itself; stations on its ports hear each other.
//!           Frames from the zero address are dropped.
//!   lo      a frame comes to everybody as outgoing and once more as incoming, to its own sender
//!           only as incoming; so outgoing ones are not taken. There is no hardware address.
//! ```
//! A drawn station is asked for by PACKET_MR_UNICAST. Interfaces without a filter for it (veth and
//! bridge among them) are promiscuous then, by the doing of the kernel.
//!
//! While frames come one at a time, each is one system call that waits for it, as short as there
//! is: a ring that is shared with the kernel has to be waited for by `ppoll`, which costs more than
//! the copy that it spares. Many come in batches. What arrives while the buffer of the socket is
//! full is counted when drops are asked for.
//!
//! Whatever the interface does, the device stays: frames that do not leave are losses, and when the
//! interface is up again they leave again.
//!
//! Implements: [Thesis §2.4.2]; facts sheet 1.1, 1.9.

mod bare;
mod config;
mod header;
mod intake;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use socket2::Socket;

use super::drops::Drops;
use super::os::batch::{self, BATCH_MAX, Message};
use super::os::interrupt::Interrupt;
use super::{Device, Sink};
use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::time::Duration;
pub use bare::BareSocket;
pub use config::{EthernetConfig, EthernetError, Station};
use header::{Address, FRAME_LEN_MIN, HEADER_LEN, To};
use intake::Intake;
use socket::FLOW_HEADER_LEN;

/// The most groups that are listened to at once.
const GROUPS_MAX: usize = 4_096;

/// A frame that is not longer is copied into one piece to be sent: to the kernel that is less work
/// than several parts.
const PIECE_LEN_MAX: usize = 256;

/// Why a frame was not given.
#[derive(Clone, Copy)]
enum Reason {
    FromHere,
    FromNobody,
    OtherGroup,
    OtherStation,
    TooLong,
    Malformed,
    BufferFull,
}

/// In the order of [`Reason`].
const REASONS: [&str; 7] = [
    "from this station",
    "from a group or nobody",
    "for a group that is not listened to",
    "for another station",
    "too long",
    "malformed",
    "receive buffer full",
];

/// An Ethernet as one processor has it.
pub struct EthernetDevice {
    link: Link,
    own: Address,
    interface: u32,
    socket: Socket,
    groups: RwLock<BTreeSet<Address>>,
    intake: Intake,
    drops: Drops<{ REASONS.len() }>,
    lost: AtomicU64,
}

impl EthernetDevice {
    /// Attaches a processor to an interface of the network namespace of this thread.
    pub fn open(config: &EthernetConfig) -> Result<EthernetDevice, EthernetError> {
        EthernetDevice::open_with(config, Interrupt::new())
    }

    /// A receive blocks only if it can be interrupted.
    fn open_with(
        config: &EthernetConfig,
        interrupt: Option<Interrupt>,
    ) -> Result<EthernetDevice, EthernetError> {
        let interface = socket::find(&config.interface)?;
        let own = socket::choose_station(config, &interface)?;
        let mtu = socket::choose_mtu(config, &interface)?;
        let len_max = HEADER_LEN + FLOW_HEADER_LEN + mtu;
        let socket = socket::new(config)?;
        socket::attach(&socket, config, &interface, own)?;
        let intake = Intake::new(len_max, interrupt);
        let intake = intake.map_err(|source| EthernetError::System {
            what: "make a wake-up call",
            interface: config.interface.clone(),
            source,
        })?;
        Ok(EthernetDevice {
            link: Link {
                mtu,
                ..Link::ethernet()
            },
            own,
            interface: interface.index,
            socket,
            groups: RwLock::new(BTreeSet::new()),
            intake,
            drops: Drops::new(REASONS),
            lost: AtomicU64::new(0),
        })
    }

    /// Sends frames in order, as many by one call as it takes.
    fn send_batch(&self, frames: &[(Address, &Frame)]) {
        let headers: Vec<_> = frames
            .iter()
            .map(|(to, _)| header::emit(*to, self.own))
            .collect();
        let frames = frames.iter().zip(&headers);
        let parts: Vec<_> = frames
            .map(|((_, frame), header)| parts(header, frame))
            .collect();
        let mut rest = &parts[..];
        while !rest.is_empty() {
            let message = |parts| Message {
                to: None,
                parts,
                segment: None,
            };
            let messages: Vec<_> = rest.iter().map(|parts| message(parts)).collect();
            match batch::send(self.socket.as_fd(), &messages) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // The interface refused the first one: that is a loss, the others go on.
                    self.lose();
                    rest = &rest[1..];
                }
            }
        }
    }

    /// A single frame goes without the ado of a batch; if it is short, as one piece.
    fn send_one(&self, to: Address, frame: &Frame) {
        let header = header::emit(to, self.own);
        let len = HEADER_LEN + frame.len();
        let mut room = [0; PIECE_LEN_MAX];
        let piece = room.get_mut(..len.max(FRAME_LEN_MIN)).map(|piece| {
            piece[..HEADER_LEN].copy_from_slice(&header);
            let (head, body) = piece[HEADER_LEN..len].split_at_mut(frame.head.len());
            head.copy_from_slice(&frame.head);
            body.copy_from_slice(&frame.body);
            &*piece
        });
        let send = || match piece {
            Some(piece) => self.socket.send(piece),
            None => self.socket.send_vectored(&parts(&header, frame)),
        };
        while let Err(error) = send() {
            if error.kind() != io::ErrorKind::Interrupted {
                return self.lose();
            }
        }
    }

    /// Gives a frame to the sink if it is for this station; says how many.
    fn take(&self, frame: &[u8], is_cut: bool, sink: &mut Sink<'_>) -> usize {
        let Some(frame) = header::parse(frame) else {
            return self.drop_one(Reason::Malformed);
        };
        if frame.from == self.own {
            return self.drop_one(Reason::FromHere);
        }
        if !header::is_station(frame.from) {
            return self.drop_one(Reason::FromNobody);
        }
        // Networks that do not filter give everything.
        let is_wanted = match frame.to {
            To::All => true,
            To::Group(group) if !self.listens(group) => return self.drop_one(Reason::OtherGroup),
            To::Group(_) => true,
            To::Station(station) => station == self.own,
        };
        if !is_wanted {
            return self.drop_one(Reason::OtherStation);
        }
        if is_cut {
            return self.drop_one(Reason::TooLong);
        }
        sink(LinkAddress::Station(header::number(frame.from)), frame.rest);
        1
    }

    fn listens(&self, group: Address) -> bool {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.contains(&group)
    }

    fn drop_one(&self, reason: Reason) -> usize {
        self.drops.count(reason as usize);
        0
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// A frame as it leaves: header, its own parts, and what fills it up.
fn parts<'a>(header: &'a [u8; HEADER_LEN], frame: &'a Frame) -> [IoSlice<'a>; 4] {
    const PADDING: [u8; FRAME_LEN_MIN] = [0; FRAME_LEN_MIN];
    let padding = FRAME_LEN_MIN.saturating_sub(HEADER_LEN + frame.len());
    [&header[..], &frame.head, &frame.body, &PADDING[..padding]].map(IoSlice::new)
}

impl Device for EthernetDevice {
    fn link(&self) -> Link {
        self.link
    }

    fn station(&self) -> LinkAddress {
        LinkAddress::Station(header::number(self.own))
    }

    fn send(&self, frames: &[Frame]) {
        let len_max = FLOW_HEADER_LEN + self.link.mtu;
        let addressed = frames.iter().filter_map(|frame| {
            match header::destination(frame.to).filter(|_| frame.len() <= len_max) {
                Some(to) => Some((to, frame)),
                None => {
                    self.lose();
                    None
                }
            }
        });
        if frames.len() == 1 {
            return addressed.for_each(|(to, frame)| self.send_one(to, frame));
        }
        let addressed: Vec<_> = addressed.collect();
        addressed
            .chunks(BATCH_MAX)
            .for_each(|batch| self.send_batch(batch));
    }

    fn listen(&self, group: u64, on: bool) {
        let Some(address) = header::address(group).filter(|group| header::is_group(*group)) else {
            return;
        };
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let is_change = match on {
            true => groups.len() < GROUPS_MAX && groups.insert(address),
            false => groups.remove(&address),
        };
        if !is_change {
            return;
        }
        let heard = socket::hear_group(&self.socket, self.interface, address, on);
        if heard.is_err() && on {
            // If that fails too the interface is gone, and nothing is heard anyway.
            let _ = socket::hear_all_groups(&self.socket, self.interface);
        }
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        let mut given = 0;
        let received = self.intake.receive(&self.socket, wait, |frame, is_cut| {
            given += self.take(frame, is_cut, sink);
        });
        if received.is_err() {
            // The interface went down; whatever was under way is gone.
            self.lose();
        }
        given
    }

    fn wake(&self) {
        self.intake.wake();
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn drops(&self) -> BTreeMap<&'static str, u64> {
        let overflow = socket::take_overflow(&self.socket);
        self.drops.add(Reason::BufferFull as usize, overflow);
        self.drops.table()
    }
}
