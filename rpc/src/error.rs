//! What a client or a server can be told instead of success.
//!
//! A client always learns the truth: the reply means executed once; a [`Failure`] says by
//! [`Failure::was_not_executed`] whether the request was certainly not executed, or whether contact
//! was lost, when it may have been executed, but not twice.
//!
//! Implements: [Thesis §2.5], outcomes; [Amoeba5] §2.4, codes.

use capability::Port;
use flip_net::address::FlipAddress;
use flip_net::time::Duration;

/// Why a transaction did not begin. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransError {
    /// The null port names no service.
    #[error("a transaction needs the put-port of a service, and this port is null")]
    BadPort,
    /// More data than a request carries.
    #[error("{size} bytes are more than a request carries ({size_max}): send them in parts")]
    TooBig {
        /// How many.
        size: usize,
        /// How many may be.
        size_max: usize,
    },
    /// As many transactions as allowed are under way.
    #[error("{under_way} transactions are under way: try again when one has ended")]
    TryAgain {
        /// How many.
        under_way: usize,
    },
}

impl TransError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            TransError::TooBig { .. } => -1,
            TransError::TryAgain { .. } => -5,
            TransError::BadPort => -8,
        }
    }
}

/// Why a server's call was refused. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The null port names no service.
    #[error("a server needs the get-port of its service, and this port is null")]
    BadPort,
    /// As many servers as allowed wait or execute.
    #[error("{servers} servers wait or execute: try again when one is done")]
    TryAgain {
        /// How many.
        servers: usize,
    },
    /// The server has no request, has answered it, or was cancelled.
    #[error("this server executes no request: only one that does can answer or forward it")]
    NotServing,
    /// More data than a reply carries.
    #[error("{size} bytes are more than a reply carries ({size_max}): answer in parts")]
    TooBig {
        /// How many.
        size: usize,
        /// How many may be.
        size_max: usize,
    },
    /// The null address names no server.
    #[error("a request can be forwarded to the address of a server, and this address is null")]
    BadAddress,
}

impl ServeError {
    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            ServeError::NotServing | ServeError::TooBig { .. } => -1,
            ServeError::BadAddress => -3,
            ServeError::TryAgain { .. } => -5,
            ServeError::BadPort => -8,
        }
    }
}

/// Why a transaction ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody serves the port, or nobody had time. Not executed.
    #[error(
        "no server of port {port} took the request within {} ms (refused {refusals} times): not executed; start a server, or let more of them wait",
        searched.as_micros() / 1_000
    )]
    NotFound {
        /// The put-port.
        port: Port,
        /// How long it was tried.
        searched: Duration,
        /// How often a server was busy.
        refusals: u32,
    },
    /// The client aborted it before a server had it. Not executed.
    #[error("the transaction on port {port} was aborted before a server took it: not executed")]
    Aborted {
        /// The put-port.
        port: Port,
    },
    /// No path to the server is trusted. Not executed.
    #[error(
        "every path to server {server} of port {port} crosses a network that is not trusted: not executed; encrypt and send without security, or mend the trusted path"
    )]
    Unsafe {
        /// The put-port.
        port: Port,
        /// The server's address.
        server: FlipAddress,
    },
    /// The request may have been executed once, or not at all.
    #[error(
        "contact with server {server} of port {port} was lost ({why}): the request was executed once or not at all; ask the service before trying again"
    )]
    ContactLost {
        /// The put-port.
        port: Port,
        /// The server's address.
        server: FlipAddress,
        /// How it was noticed.
        why: LostReason,
    },
}

/// How a loss of contact was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// Questions stayed without answer.
    #[error("it answers no questions")]
    Silent,
    /// The server's kernel says that the result is not known.
    #[error("it lost the request")]
    Failed,
    /// The server's address is nowhere.
    #[error("its address cannot be located")]
    Gone,
    /// The path is not trusted any more.
    #[error("the path is not trusted any more")]
    Untrusted,
}

impl Failure {
    /// Whether the request was certainly not executed, and never will be.
    pub const fn was_not_executed(&self) -> bool {
        !matches!(self, Failure::ContactLost { .. })
    }

    /// Amoeba's number for it.
    pub const fn code(&self) -> i16 {
        match self {
            Failure::ContactLost { .. } => -1,
            Failure::NotFound { .. } => -2,
            Failure::Aborted { .. } => -4,
            Failure::Unsafe { .. } => -9,
        }
    }
}

/// How a server's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyOutcome {
    /// The client has the reply, or does not want it any more.
    Acknowledged,
    /// The client did not say so, however often it was asked.
    GivenUp,
    /// The client's address is nowhere.
    ClientGone,
}
