//! What an endpoint tells its owner, and what it asks of FLIP.

use bytes::Bytes;
use capability::Header;
use flip_net::address::FlipAddress;

use crate::error::{Failure, ReplyOutcome};
use crate::id::{ServerId, TransactionId};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A waiting server has a request; its answer is `put_reply` or `forward_request`.
    Request {
        /// The server.
        server: ServerId,
        /// The header, its port being the put-port.
        header: Header,
        /// The user's bytes, cut to what the server takes.
        data: Bytes,
        /// The client's FLIP address.
        client: FlipAddress,
    },
    /// A transaction was executed once.
    Replied {
        /// Which.
        transaction: TransactionId,
        /// The header of the reply.
        header: Header,
        /// The user's bytes, cut to what the client takes.
        data: Bytes,
    },
    /// A transaction ended without a reply.
    Failed {
        /// Which.
        transaction: TransactionId,
        /// Whether it may have been executed, and what was tried.
        error: Failure,
    },
    /// A server's turn is over: it may `get_request` again.
    ReplyDone {
        /// The server.
        server: ServerId,
        /// Whether the client has the reply.
        outcome: ReplyOutcome,
    },
    /// The client of a server that executes wants to end; told once for each request.
    Signalled {
        /// The server.
        server: ServerId,
    },
}

/// Which address a message leaves from or came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// The process' own.
    Process,
    /// The null address: who listens there hears LOCATE.
    Everybody,
}

/// What FLIP must listen to from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Under which name messages then come in.
    pub listener: Listener,
    /// The private address; null for [`Listener::Everybody`].
    pub private: FlipAddress,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the process with this public address.
    Unicast(FlipAddress),
    /// To everybody within this many hops who listens to the null address.
    Broadcast {
        /// FLIP's hop count; 0 stays on this box.
        hop_count: u16,
    },
}

/// A message for FLIP to carry, from [`Listener::Process`].
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: Destination,
    /// Only over trusted networks.
    pub security: bool,
    /// Forget what is known of the destination and locate it anew (Amoeba's INVAL).
    pub relocate: bool,
    /// An answer on the way that the question came: if that is not known any more, it is dropped
    /// instead of locating the destination.
    pub is_answer: bool,
    /// The bytes, whole: FLIP cuts them.
    pub message: Bytes,
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = crate::wire::Pretty(&self.message);
        write!(f, "-> {:?} {line}", self.to)
    }
}
