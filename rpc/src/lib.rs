//! At-most-once transactions: a client sends a request to a service, which a server executes, and
//! gets the reply.
//!
//! Whatever happens to messages, networks, servers and clients, a request is executed at most once,
//! and the client is told which it was:
//!
//! | the client is told | the request was |
//! |---|---|
//! | [`Event::Replied`] | executed exactly once |
//! | [`Event::Failed`], [`Failure::was_not_executed`] | not executed, and never will be |
//! | [`Event::Failed`], [`Failure::ContactLost`] | executed once or not at all |
//!
//! A service is named by a 48-bit port; its servers are found by broadcast and remembered. Three
//! messages make an undisturbed transaction: `REQUEST`, `REPLY`, and an `ACK` that nobody waits
//! for. After silence nothing is sent again without asking first.
//!
//! [`Endpoint`] is a machine without clock, socket or thread: one for each process, for all its
//! clients and servers. Its owner feeds it messages, time and calls, and after each of them drains
//! `poll_registration`, `poll_transmit` and `poll_event` until all three say `None`.
//!
//! What it does not know: groups, objects, networks, packets. A message may be any size up to
//! 1 GiB; FLIP below cuts it.
//!
//! Implements: [Thesis §2.5]; [Amoeba5] §2.
//! Differs: see `docs/differences.md`.

#![warn(missing_docs)]

mod endpoint;

mod client;
mod forward;
mod local;
mod locate;
mod reply;
mod request;
mod server;

mod cache;
mod config;
mod error;
mod event;
mod executed;
mod id;
mod pending;
mod stats;
mod timers;
mod wire;

pub mod checker;

pub use client::{SHORT_DATA_LEN_MAX, TransOptions};
#[cfg(feature = "sabotage")]
pub use config::Sabotage;
pub use config::{Config, ConfigError, Rules, Timing};
pub use endpoint::{Endpoint, Sizes};
pub use error::{Failure, LostReason, ReplyOutcome, ServeError, TransError};
pub use event::{Destination, Event, Listener, Registration, Transmit};
pub use id::{KernelId, ServerId, Tid, TransactionId};
pub use pending::{Pending, Step, Who};
pub use stats::{Mark, Stats};
pub use wire::{
    BROADCAST_SELECTOR, DATA_OFFSET, Flags, Kind, Packet, Pretty, RPC_HEADER_SIZE,
    Repr as RpcHeader, WireError,
};
