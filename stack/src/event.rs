//! What a stack hands to the worker: deliveries, in the total order where they have a number.

use group::{LostReason, MemberIndex, MessageId, Payload, SeqNo};

/// One thing that the worker takes out of the delivery queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// This processor is in the group. What follows starts with number `next`.
    Entered {
        /// Who we are.
        me: MemberIndex,
        /// Who numbers.
        sequencer: MemberIndex,
        /// The first number that is delivered here.
        next: SeqNo,
        /// Who is in already, ourselves included.
        members: Vec<MemberIndex>,
    },
    /// No group was found, or it would not take us. Nothing else will come.
    JoinFailed,
    /// A broadcast.
    Data {
        /// Its place in the order.
        seq: SeqNo,
        /// Who sent it.
        from: MemberIndex,
        /// The sender's id of it, as the command was answered.
        id: MessageId,
        /// The bytes.
        payload: Payload,
    },
    /// Somebody else came.
    Joined {
        /// The place of the join in the order.
        seq: SeqNo,
        /// Who.
        member: MemberIndex,
    },
    /// Somebody left.
    Left {
        /// The place of the leave in the order.
        seq: SeqNo,
        /// Who; after the own leave there is nothing more in the order.
        member: MemberIndex,
    },
    /// A broadcast of ours has its place in the order. Told only to who has asked for affairs, by
    /// [`Stack::separate_affairs`](crate::Stack::separate_affairs).
    Completed {
        /// Which, as the command was answered.
        id: MessageId,
        /// Its place.
        seq: SeqNo,
    },
    /// A broadcast of ours had no place in the order when the group broke, and never gets one.
    Failed {
        /// Which, as the command was answered.
        id: MessageId,
    },
    /// The group is broken, and everything before that was delivered. It goes on after
    /// [`Command::Reset`](crate::Command::Reset), here or elsewhere.
    Aborted,
    /// The group was formed anew.
    Reset {
        /// The place of the reset in the order.
        seq: SeqNo,
        /// Who is in now.
        members: Vec<MemberIndex>,
        /// Who was in and is taken for crashed.
        removed: Vec<MemberIndex>,
        /// Who numbers now.
        sequencer: MemberIndex,
    },
    /// Our reset found too few members.
    ResetFailed {
        /// How many, ourselves included.
        members: usize,
        /// How many were wanted.
        members_min: u16,
    },
    /// A member does not answer any more; the group is broken until it is reset.
    Lost {
        /// Who.
        member: MemberIndex,
        /// How it was noticed.
        reason: LostReason,
    },
    /// The others went on without this processor.
    Expelled,
    /// This processor has left and is not needed any more.
    Closed,
}

impl Delivery {
    /// The place in the total order, of what has one.
    pub fn seq(&self) -> Option<SeqNo> {
        match self {
            Delivery::Data { seq, .. }
            | Delivery::Joined { seq, .. }
            | Delivery::Left { seq, .. }
            | Delivery::Reset { seq, .. } => Some(*seq),
            _ => None,
        }
    }

    /// Whether it is this processor's own affair, and belongs nowhere in the order.
    pub fn is_affair(&self) -> bool {
        self.seq().is_none() && !matches!(self, Delivery::Aborted)
    }

    /// Bytes of payload.
    pub fn size(&self) -> usize {
        match self {
            Delivery::Data { payload, .. } => payload.len(),
            _ => 0,
        }
    }
}
