//! What a member tells its owner, and what it asks of FLIP.

use capability::Header;
use flip_net::address::FlipAddress;

use crate::payload::Payload;
use crate::seq::{MemberIndex, MessageId, SeqNo};

/// Something that happened.
///
/// `Delivered`, `Joined`, `Left` and `Reset` come in the total order, with their numbers, and are
/// subject to back-pressure; `Aborted` comes behind what was delivered before. The others are this member's own affairs and come at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This member is in: the group was created, or the own join was numbered. Deliveries begin
    /// with number `next`.
    Entered {
        /// Who we are.
        me: MemberIndex,
        /// Who numbers.
        sequencer: MemberIndex,
        /// The first number that will be delivered here.
        next: SeqNo,
        /// The group's public address. Every reset draws another, so it tells one life of the group
        /// from all others, those on the other side of a partition included.
        group: FlipAddress,
    },
    /// No group was found, or it would not take us; nothing more will come.
    JoinFailed,
    /// A request of ours has its place in the order; one more may be outstanding.
    Completed {
        /// Which request, as `send` named it.
        id: MessageId,
        /// Its number.
        seq: SeqNo,
    },
    /// A broadcast, in order.
    Delivered {
        /// Its number.
        seq: SeqNo,
        /// Who sent it.
        from: MemberIndex,
        /// The sender's id of it.
        id: MessageId,
        /// The 32-byte header.
        header: Header,
        /// The user's bytes.
        data: Payload,
    },
    /// Somebody else joined.
    Joined {
        /// The number of the join.
        seq: SeqNo,
        /// Who.
        member: MemberIndex,
        /// Its RPC address; null if it has none.
        rpc_address: FlipAddress,
    },
    /// Somebody left; after the own leave nothing more is delivered.
    Left {
        /// The number of the leave.
        seq: SeqNo,
        /// Who.
        member: MemberIndex,
    },
    /// A request of ours had no number when the group broke, and never gets one.
    SendFailed {
        /// Which request, as `send` named it.
        id: MessageId,
    },
    /// The group is broken, and everything that was delivered before has been handed out. It goes on
    /// after a reset. [Thesis §3.3] BC_ABORT
    Aborted,
    /// The group was formed anew, in this place of the order.
    Reset {
        /// The number of the reset.
        seq: SeqNo,
        /// What the member that reset the group had to say.
        header: Header,
        /// Who is in now.
        members: Vec<MemberIndex>,
        /// Who was in and is taken for crashed.
        removed: Vec<MemberIndex>,
        /// Who numbers now.
        sequencer: MemberIndex,
        /// The public address of the new group.
        group: FlipAddress,
    },
    /// Our reset found too few members. The group is as broken as before; try again, or give up.
    ResetFailed {
        /// How many it found, ourselves included.
        members: usize,
        /// How many were wanted.
        members_min: u16,
    },
    /// The others have taken us for crashed and gone on without us. What became of our requests
    /// without an outcome is not known. [`Event::Closed`] follows.
    Expelled,
    /// A member does not answer any more. The group is broken until it is reset.
    Lost {
        /// Who.
        member: MemberIndex,
        /// How it was noticed.
        reason: LostReason,
    },
    /// This member has left and nobody needs it any more: it may be dropped.
    Closed,
}

/// How a loss was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// Nothing was heard from it for the longest silence allowed, in spite of probes.
    Silent,
    /// FLIP cannot find it, and nothing was heard from it for half that time.
    Unreachable,
    /// The owner said so.
    Declared,
    /// Another member found it.
    Reported,
    /// It said so itself.
    Died,
}

impl LostReason {
    /// Whether the others should be told.
    pub(crate) fn is_own_finding(self) -> bool {
        !matches!(self, LostReason::Reported | LostReason::Died)
    }
}

/// Which of a member's addresses a message leaves from or came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// The member's own.
    Member,
    /// Group address A: what the sequencer says to all others.
    FromSequencer,
    /// Group address B: what a member says to all others (BB).
    ToAll,
    /// The null address: who listens there hears LOCATE.
    Everybody,
}

/// What FLIP must listen to from now on, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Register this private address.
    Register {
        /// Under which name messages then come in.
        endpoint: Endpoint,
        /// The private address; null for [`Endpoint::Everybody`].
        private: FlipAddress,
    },
    /// Drop the registration.
    Unregister {
        /// Which.
        endpoint: Endpoint,
    },
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the one endpoint with this public address.
    Unicast(FlipAddress),
    /// To every other endpoint with this public address.
    Multicast {
        /// The group's public address.
        group: FlipAddress,
        /// How many *other* endpoints should be listening.
        listeners: usize,
    },
    /// To everybody within this many hops who listens to the null address.
    Broadcast {
        /// FLIP's hop count; 0 stays on this box.
        hop_count: u16,
    },
}

/// A message for FLIP to carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The endpoint it leaves from.
    pub from: Endpoint,
    /// Where it goes.
    pub to: Destination,
    /// The bytes, whole: FLIP cuts them.
    pub message: Vec<u8>,
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = crate::wire::Pretty(&self.message);
        write!(f, "{:?} -> {:?} {line}", self.from, self.to)
    }
}
