//! What a box counts: packets by type, drops by reason, peaks.

use std::collections::BTreeMap;

use super::marks::{Mark, Marks};
use crate::wire::{Flow, Kind, WireError};

/// Why a packet was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Drop {
    /// The bytes are no packet.
    #[error("malformed: {0}")]
    Malformed(WireError),
    /// From or for a network that is unknown or switched off.
    #[error("network off")]
    NetworkOff,
    /// The sender's link address is not a station.
    #[error("sender is no station")]
    NoStation,
    /// It has gathered more weight than it may.
    #[error("too many hops")]
    Hops,
    /// It wants to travel farther than anybody may.
    #[error("maximum hop count too large")]
    HopsMax,
    /// A null address where none may be.
    #[error("null address")]
    NullAddress,
    /// More LOCATEs from one network in a second than are taken.
    #[error("too many locates")]
    TooManyLocates,
    /// A broadcast that was here before.
    #[error("seen before")]
    Loop,
    /// A broadcast of this box that came back.
    #[error("own broadcast")]
    Own,
    /// The destination of a multicast is unknown.
    #[error("unknown multicast destination")]
    UnknownDestination,
    /// Nobody knows the way back to the source.
    #[error("no way back")]
    NoWayBack,
    /// It asks for security on an untrusted network.
    #[error("untrusted network")]
    Untrusted,
    /// The one alternative way is the way it came.
    #[error("no usable alternative")]
    NoAlternative,
    /// The queue of cut messages is full.
    #[error("queue full")]
    QueueFull,
    /// A part of a message is wanted again that is not kept any more, or still under way.
    #[error("nothing to send again")]
    NothingKept,
    /// A list of missing parts that makes no sense.
    #[error("bad list of missing parts")]
    BadParts,
    /// Messages for a neighbour that gives no credit and does not answer.
    #[error("neighbour gives no credit")]
    NoCredit,
    /// A request to hear a data-link multicast address that does not belong to the FLIP address.
    #[error("multicast address of somebody else")]
    ForeignGroup,
    /// A fragment without bytes of a message that has some.
    #[error("empty fragment")]
    EmptyFragment,
}

/// Packets by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([u64; 7]);

impl Kinds {
    pub(crate) fn count(&mut self, kind: Kind) {
        self.0[usize::from(kind.number()) - 1] += 1;
    }

    /// How many packets of this type.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[usize::from(kind.number()) - 1]
    }

    /// How many packets of each type, by its name.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Kind::ALL.iter().map(|kind| (kind.name(), self.of(*kind)))
    }

    /// How many packets of all types.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The counters of one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Packets sent, by type; a multicast frame is one.
    pub sent: Kinds,
    /// Packets received, by type.
    pub received: Kinds,
    /// Frames of flow control sent, by [`Flow::number`]; DATA is not counted here.
    pub flow_sent: [u64; Flow::TYPES],
    /// Frames of flow control received.
    pub flow_received: [u64; Flow::TYPES],
    /// Bytes sent, headers included.
    pub bytes_sent: u64,
    /// Bytes received, headers included.
    pub bytes_received: u64,
}

/// The counters of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By network, in the order of attachment.
    pub networks: Vec<NetworkStats>,
    /// Packets thrown away, by reason.
    pub dropped: BTreeMap<Drop, u64>,
    /// Fragments handed to endpoints.
    pub delivered: u64,
    /// Messages that never saw a network, since sender and receiver are here.
    pub local: u64,
    /// Messages that could not be delivered and went back to the one above.
    pub not_delivered: u64,
    /// Locates begun.
    pub locates: u64,
    /// The most bytes that waited for locates.
    pub waiting_bytes_peak: usize,
    /// The most bytes of cut messages that waited for their turn.
    pub queued_bytes_peak: usize,
    /// Parts of messages that were wanted again and sent again.
    pub parts_again: u64,
    /// Bytes in them.
    pub bytes_again: u64,
    /// What else was seen.
    pub marks: Marks,
}

impl Stats {
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.add(mark, 1);
    }

    pub(crate) fn drop(&mut self, reason: Drop) {
        self.drop_many(reason, 1);
    }

    pub(crate) fn drop_many(&mut self, reason: Drop, count: u64) {
        *self.dropped.entry(reason).or_default() += count;
    }
}
