//! What the primitives of the interface fail with: one error for each, holding what its caller can
//! act on. Each has Amoeba's number for it, by `code`.
//!
//! Implements: [Amoeba5] §2.4 and §3.1, codes.

use std::fmt;
use std::io;

use capability::Port;
use flip_net::address::FlipAddress;
use group::{ConfigError, LostReason, MemberIndex, MessageId};
use rpc::{Pending, ReplyOutcome, Step};

/// Why a group ended for this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    NotFound,
    Expelled,
    Left,
    Stopped,
}

/// What the member of the group waits for, and from whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits(pub Vec<group::Wait>);

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("it waits for nobody");
        }
        for (number, wait) in self.0.iter().enumerate() {
            let comma = if number > 0 { "; " } else { "" };
            write!(f, "{comma}{wait}")?;
        }
        Ok(())
    }
}

/// The members that do not answer any more, and how that was noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost(pub Vec<(MemberIndex, LostReason)>);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("another member has found it broken");
        }
        for (number, (member, reason)) in self.0.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{member} was lost: {reason:?}")?;
        }
        Ok(())
    }
}

const STOPPED: &str =
    "a thread of the driver panicked and said why: this processor cannot go on, start another";

/// Why a group was not created or joined.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// A parameter of the group cannot work. STD_ARGBAD; BC_BADPORT if it is the port.
    #[error("the group was not entered: {0}")]
    Config(#[from] ConfigError),
    /// A parameter of the RPC endpoint cannot work. STD_ARGBAD
    #[error("the RPC endpoint was not made: {0}")]
    Rpc(#[from] rpc::ConfigError),
    /// The operating system gives no thread. STD_NOMEM
    #[error("the receivers of this processor were not started: {0}")]
    Driver(#[from] io::Error),
    /// Nobody knows such a group, or it has no room. BC_NOEXIST
    #[error(
        "no sequencer of a group with port {port} answered in {millis} ms, or it has no room: create the group first, or attach the network that it is on"
    )]
    NotFound {
        /// The group's port.
        port: Port,
        /// How long it was looked for.
        millis: u64,
    },
    /// The group is there, but does not let us in in time. BC_FAIL
    #[error("joining the group with port {port} took longer than {millis} ms: {waits}")]
    TimedOut {
        /// The group's port.
        port: Port,
        /// How long it was tried.
        millis: u64,
        /// From whom an answer is missing.
        waits: Waits,
    },
    /// The driver failed.
    #[error("{STOPPED}")]
    Stopped,
}

impl EnterError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            EnterError::Config(ConfigError::NullPort) => -23,
            EnterError::Config(_) | EnterError::Rpc(_) => -1002,
            EnterError::Driver(_) => -1006,
            EnterError::NotFound { .. } => -24,
            EnterError::TimedOut { .. } | EnterError::Stopped => -20,
        }
    }
}

/// Why a message has no place in the order, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is larger than a message of this group. Nothing was sent. BC_TOOBIG
    #[error(
        "{size} bytes are more than a message of this group carries ({size_max}): send them in parts"
    )]
    TooLarge {
        /// Its size.
        size: usize,
        /// What a message carries.
        size_max: usize,
    },
    /// The group has been left. Nothing was sent. BC_NOEXIST
    #[error("this processor has left the group: join again before sending")]
    NotMember,
    /// The group is broken. BC_ABORT
    #[error("the group is broken ({lost}): reset it; {}", unsettled(message))]
    Aborted {
        /// The message, if it was under way: whether it has a place in the order is decided by the
        /// reset, and `Group::outcome` tells. Nothing: it was not sent.
        message: Option<MessageId>,
        /// Who was lost.
        lost: Lost,
    },
    /// The group broke before the message had a place in the order, and now it never gets one:
    /// nobody delivers it. Send it again if it is still wanted. BC_ABORT
    #[error(
        "message {message} had no place in the order when the group broke and nobody delivers it: send it again"
    )]
    Failed {
        /// Which.
        message: MessageId,
    },
    /// The others have gone on without this processor; they may have delivered the message or not.
    /// BC_FAIL
    #[error(
        "the others took this processor for crashed and went on without it; {}: join again",
        unsettled(message)
    )]
    Expelled {
        /// The message, if it was under way.
        message: Option<MessageId>,
    },
    /// The caller's patience is over; the message may still get its place. BC_FAIL
    #[error("no place in the order in time: {waits}; {}", unsettled(message))]
    TimedOut {
        /// The message, if it was under way: `Group::outcome` tells what became of it. Nothing: it
        /// was not sent.
        message: Option<MessageId>,
        /// From whom an answer is missing.
        waits: Waits,
    },
    /// The driver failed.
    #[error("{STOPPED}")]
    Stopped,
}

fn unsettled(message: &Option<MessageId>) -> String {
    match message {
        None => "the message was not sent".to_owned(),
        Some(id) => format!("whether message {id} has a place in the order is not known here yet"),
    }
}

impl SendError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            SendError::TooLarge { .. } => -22,
            SendError::NotMember => -24,
            SendError::Aborted { .. } | SendError::Failed { .. } => -21,
            SendError::Expelled { .. } | SendError::TimedOut { .. } | SendError::Stopped => -20,
        }
    }
}

/// Why nothing was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The group is broken, and everything before that was received. After a reset, here or
    /// elsewhere, receiving goes on. BC_ABORT
    #[error("the group is broken ({lost}): reset it, or go on receiving until another member has")]
    Aborted {
        /// Who was lost.
        lost: Lost,
    },
    /// The group has been left; there is nothing more. BC_NOEXIST
    #[error("this processor has left the group: there is nothing more to receive")]
    NotMember,
    /// The others have gone on without this processor. BC_FAIL
    #[error("the others took this processor for crashed and went on without it: join again")]
    Expelled,
    /// Another thread receives. BC_FAIL
    #[error("another thread receives from this group: only one can at a time")]
    SecondReceiver,
    /// Nothing came in time. BC_FAIL
    #[error("nothing was received in time: {waits}")]
    TimedOut {
        /// What is known to be missing.
        waits: Waits,
    },
    /// The driver failed.
    #[error("{STOPPED}")]
    Stopped,
}

impl ReceiveError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            ReceiveError::Aborted { .. } => -21,
            ReceiveError::NotMember => -24,
            _ => -20,
        }
    }
}

/// Why the group was not reset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// Too few members are left, or can be reached. The group is as it was, unless another member
    /// was content with fewer: `Group::info` tells. BC_FAIL
    #[error(
        "{members} members are left or can be reached, {members_min} were wanted: wait for others and reset again, or with fewer"
    )]
    TooFew {
        /// How many, ourselves included.
        members: usize,
        /// How many were wanted.
        members_min: u16,
    },
    /// The group has been left. BC_NOEXIST
    #[error("this processor has left the group: it cannot reset it")]
    NotMember,
    /// The others have gone on without this processor. BC_FAIL
    #[error("the others took this processor for crashed and went on without it: join again")]
    Expelled,
    /// The caller's patience is over; the reset goes on. BC_FAIL
    #[error("the group was not reset in time: {waits}")]
    TimedOut {
        /// From whom an answer is missing.
        waits: Waits,
    },
    /// The driver failed.
    #[error("{STOPPED}")]
    Stopped,
}

impl ResetError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            ResetError::NotMember => -24,
            _ => -20,
        }
    }
}

/// Why the group was not left. The processor is gone from it in any case: the others will find out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveError {
    /// The group has been left, or has gone on without this processor. BC_NOEXIST
    #[error("this processor is not in the group any more")]
    NotMember,
    /// The leave got no place in the order in time. BC_FAIL
    #[error(
        "the leave has no place in the order after {millis} ms: {waits}; the others will find this processor lost"
    )]
    TimedOut {
        /// How long it was tried.
        millis: u64,
        /// From whom an answer is missing.
        waits: Waits,
    },
    /// The driver failed.
    #[error("{STOPPED}")]
    Stopped,
}

impl LeaveError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            LeaveError::NotMember => -24,
            _ => -20,
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransError {
    /// The transaction was not begun.
    #[error("the transaction was not begun: {0}")]
    Refused(#[from] rpc::TransError),
    /// It ended without a reply; the failure says whether the request may have been executed.
    #[error(transparent)]
    Failed(#[from] rpc::Failure),
    /// The caller's patience is over. If a server had been found, it may execute the request, once,
    /// or have executed it. RPC_FAILURE
    #[error("no reply in time{}", step(pending))]
    TimedOut {
        /// What was waited for, and from whom.
        pending: Option<Pending>,
    },
    /// The driver failed; the request may have been executed.
    #[error("{STOPPED}")]
    Stopped,
}

fn step(pending: &Option<Pending>) -> String {
    pending.map_or_else(String::new, |pending| format!(": {pending}"))
}

impl TransError {
    /// Whether the request was certainly not executed, and never will be.
    pub fn was_not_executed(&self) -> bool {
        match self {
            TransError::Refused(_) => true,
            TransError::Failed(failure) => failure.was_not_executed(),
            TransError::TimedOut { pending } => {
                pending.is_some_and(|pending| pending.step == Step::Locate)
            }
            TransError::Stopped => false,
        }
    }

    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            TransError::Refused(error) => error.code(),
            TransError::Failed(failure) => failure.code(),
            TransError::TimedOut { .. } | TransError::Stopped => -1,
        }
    }
}

/// Why a server's call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The call was refused; nothing happened.
    #[error(transparent)]
    Refused(#[from] rpc::ServeError),
    /// Nobody asked in time. RPC_TRYAGAIN
    #[error("no request came on port {port} in time")]
    TimedOut {
        /// The put-port.
        port: Port,
    },
    /// The client has not said that it has the answer, however often it was asked. RPC_ABORTED
    #[error("client {client} did not acknowledge the answer ({outcome:?}): it may have it or not")]
    Unacknowledged {
        /// Whether it was silent, or is nowhere.
        outcome: ReplyOutcome,
        /// The client's FLIP address.
        client: FlipAddress,
    },
    /// The group has no such member, or that serves nothing: the request is still to be answered.
    /// RPC_FAILURE
    #[error(
        "{member} is not in the group or has no RPC endpoint: forward to another member, or answer"
    )]
    NoSuchMember {
        /// Who was named.
        member: MemberIndex,
    },
    /// The driver failed.
    #[error("{STOPPED}")]
    Stopped,
}

impl ServeError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            ServeError::Refused(error) => error.code(),
            ServeError::TimedOut { .. } => -5,
            ServeError::Unacknowledged { .. } => -4,
            ServeError::NoSuchMember { .. } | ServeError::Stopped => -1,
        }
    }
}
