//! Reliable, totally ordered broadcast in a group: every member delivers the same messages in the
//! same order, each sender's in the order it sent them, without gaps and without duplicates.
//!
//! One member, the *sequencer*, numbers all broadcasts. A sender hands its message to the sequencer
//! (PB), or to everybody when it is large (BB); the sequencer answers with the numbered message, or
//! with a short *accept*. Whoever sees a hole in the numbers asks the sequencer, which keeps every
//! message in its history until it knows that all have it. When the history is full it stops
//! numbering, and so senders stop: nothing is dropped.
//!
//! With a resilience of `r` a number is tentative until `r` others have stored its message, and then
//! nothing that was delivered anywhere is lost as long as no more than `r` members crash. When one
//! does, or seems to, the group is broken; [`Member::reset`] forms it anew from those that are left.
//!
//! ```text
//!   join() -> Locating -> Joining -> Inside -> Leaving -> Left -> Gone
//! create() -------------------------^  |  ^
//!                                loss v  | reset
//!                                   Recovering
//! ```
//!
//! [`Member`] is a machine without clock, socket or thread. Its owner feeds it messages, time and
//! calls, and after each of them drains `poll_registration`, `poll_transmit` and `poll_event` until
//! all three say `None`; taking an event may cause a transmit.
//!
//! What it does not know: objects, transactions, networks, packets. A message may be any size up to
//! 64 MiB; FLIP below cuts it.
//!
//! | thesis | here |
//! |---|---|
//! | Fig. 3.9 declarations | `view`, `history`, `wire` |
//! | Fig. 3.10 history in three parts | `history` |
//! | Fig. 3.11 message types | `wire` |
//! | Fig. 3.12 ReceiveFromGroup | `member::deliver` |
//! | Fig. 3.13 SendToGroup | `member::send` |
//! | Fig. 3.14, 3.15 bcastreq, processhist | `sequencer` |
//! | Fig. 3.16, 3.17 broadcastreceive, processrec | `member::receive` |
//! | 3.4.2 STATE and SYNC | `sequencer::sync`, `member::receive` |
//! | Fig. 3.7, 3.8 resilience | `sequencer::resilience`, `member::acknowledge` |
//! | 3.4.3 detection of failures | `failure` |
//! | 3.4.3 ResetGroup, Fig. 3.18 | `recovery` |
//!
//! Implements: [Thesis §3.3, §3.4]; [Amoeba5] §3.
//! Differs: several requests of a member may be outstanding; see `docs/differences.md`.

#![warn(missing_docs)]

#[macro_use]
mod sabotage;

mod member;
mod recovery;
mod sequencer;

mod config;
mod event;
mod failure;
mod filter;
mod history;
mod info;
mod payload;
mod seq;
mod stats;
mod timers;
mod view;
mod wire;

pub mod checker;

pub use config::{Config, ConfigError, RESILIENCE_MAX, Rules, Timing, WINDOW_MAX};
pub use event::{Destination, Endpoint, Event, LostReason, Registration, Transmit};
pub use info::{Info, Wait, WaitStep};
pub use member::{Member, SendError};
pub use payload::Payload;
pub use recovery::{ResetError, Resetting};
#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;
pub use seq::{Incarnation, MemberIndex, MessageId, SeqNo};
pub use stats::{Mark, Stats};
pub use wire::{
    BROADCAST_SELECTOR, GROUP_HEADER_SIZE, Kind, Packet, Pretty, Repr as GroupHeader, WireError,
};
