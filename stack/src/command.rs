//! What the owner of a stack may ask of it.

use group::{MemberIndex, MessageId, Payload};

/// A request to the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send to all members, this one included, at one place in the total order.
    Broadcast(Payload),
    /// Leave the group, after everything sent before. [`Delivery::Left`](crate::Delivery::Left)
    /// with the own number is the last delivery in the order, then
    /// [`Delivery::Closed`](crate::Delivery::Closed).
    Leave,
    /// A member's processor is known to be gone.
    DeclareLost(MemberIndex),
    /// Form the broken group anew, with at least so many members.
    /// [`Delivery::Reset`](crate::Delivery::Reset) or
    /// [`Delivery::ResetFailed`](crate::Delivery::ResetFailed) follows; a group that is well
    /// stays as it is.
    Reset {
        /// Fewest members that the new group may have.
        members_min: u16,
    },
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was sent; its delivery will carry this id.
    Sent(MessageId),
    /// It is done, or under way.
    Done,
}

/// Why a command was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many broadcasts as allowed are under way. Here is the payload back: try again after the
    /// next delivery of an own broadcast.
    #[error("as many broadcasts as allowed are under way")]
    Full(Payload),
    /// The payload is larger than a message of this group.
    #[error("{size} bytes are more than a message carries ({max})")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What a message carries.
        max: usize,
    },
    /// Not yet in the group, or not any more.
    #[error("not a member of the group")]
    NotMember,
    /// The group is broken; broadcast again after the reset.
    #[error("the group is broken until it is reset")]
    Aborted,
    /// The reset was not begun.
    #[error(transparent)]
    Reset(#[from] group::ResetError),
}
