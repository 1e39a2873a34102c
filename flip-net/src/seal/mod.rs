//! Keyed networks: every frame between a box and the wire is sealed under a key that all boxes on
//! the network share. No socket, no clock, no generator: secrets and ids are handed in.
//!
//! # Who can do what
//!
//! The attacker hears, keeps, drops, delays, changes and makes up frames, for as long as it likes.
//! Without the key it
//! - cannot read a frame, nor tell two equal ones (it sees lengths, times, stations and counters);
//! - cannot join, nor have a frame of its own accepted, nor one that was changed by a bit;
//! - cannot have a frame accepted twice by a receiver, nor one that was sent before the receiver
//!   was made;
//! - can drop and delay, which any network does.
//!
//! Who has the key is trusted: it can speak as anybody and read everything of the epoch. What is
//! *not* protected: the stations. A frame may be made to come from or go to another station before
//! it has been accepted there, which draws traffic to where it is dropped or late, and answers go to
//! where a frame came from. Networks with the same key count as one network: frames may be carried
//! from one to the other, and are accepted at most once there too.
//!
//! # Why no nonce comes twice
//!
//! A sealer draws 128 random bits as its sender id when it is made, and never goes on from a
//! saved state. Its key is HKDF-SHA256(key of the network; domain, epoch, sender id), so no two
//! sealers share one. The nonce is the counter, which starts at 0, is the same one for all
//! epochs and all kinds of frames, and gives every number once. A key seals at most
//! [`SealConfig::frames_max`] frames, then refuses.
//!
//! # Why no frame is accepted twice, nor from before the start
//!
//! Frames of a *known* sender pass a window of [`WINDOW_LEN`] counters, one for all epochs since
//! the counter is one. The window is never forgotten while a frame that has passed it could be
//! opened: not before the epoch of its newest frame is over.
//!
//! A sender that is not known may be dead, its frames kept by the attacker since before this
//! receiver started. The receiver's own sender id is a fresh number that nobody has seen before
//! the receiver was made, so whoever seals a frame that names it is alive and knows what it sent
//! since when:
//!
//! ```text
//!   sender S, has sealed #0 to #7                receiver R, made just now
//!       |  data #7  ------------------------------->  authentic, S unknown: held
//!       |  <-------  challenge R#0, target S, floor 0    by unicast to where #7 came from
//!  knows R: whatever has counter 8 or more
//!  was sealed after R was made
//!       |  introduction #8, target R, floor 8  ---->  window of S from 8 on, 8 is the top
//!       |                                             held frames from 8 on are released
//! ```
//!
//! A sealer notes its counter as the *floor* for each id when it first hears of it, by any
//! authentic frame, so frames that were sealed between then and the introduction are released too.
//! What is below the floor is dropped: **the first frames to a receiver that its sender had not
//! heard of are lost**, since they could be replays; FLIP repeats its LOCATEs. [`Sealer::announce`]
//! makes that rare: who broadcasts it when it starts is known to everybody, and knows everybody,
//! one round trip later. A challenge introduces as well as it asks, so two that are new to each
//! other need one challenge and one introduction.
//!
//! An introduction is no use to other receivers, nor to this one when it starts again, since they
//! have other ids. One that is delayed opens the window where it was sealed; no frame of that
//! sender has passed before, or none that could still be opened.
//!
//! # How the key changes without a loss
//!
//! In two steps: every box accepts the next key ([`Sealer::accept_next`]); when all do, each begins
//! to seal with it, in any order ([`Sealer::rekey`]), and accepts the old one for a while. When all
//! have the key is for the caller to know. The counters, the windows and the senders that are known
//! go on from one epoch to the next.
//!
//! # What an attacker can make us store or send
//!
//! Frames without a valid tag cost a key derivation and leave nothing but a count. Replayed frames
//! of dead senders are authentic: each sender costs an entry among [`SealConfig::waiting_max`],
//! held frames within three bounds, and challenges of [`SEAL_OVERHEAD`] + 24 bytes with pauses that
//! double, all within [`SealConfig::answers_per_second`]. They may throw out entries of senders
//! that just start, and a frame of such a sender that is repeated from another station draws its
//! challenges there: both delay these senders, and no others. Known senders, which are never thrown
//! out within an epoch, are made by the living only; beyond [`SealConfig::senders_max`] new ones
//! are refused.
//!
//! Implements: nothing of the thesis, which trusts its networks.
//! Differs: `docs/differences.md`, keyed networks.

mod frame;
mod incoming;
mod key;
mod keyring;
mod limit;
mod outgoing;
mod stats;
mod waiting;
mod window;

pub use frame::{SEAL_HEADER_LEN, SEAL_MAGIC, SEAL_OVERHEAD, SEAL_TAG_LEN, SenderId};
pub use incoming::Incoming;
pub use key::{KEY_LEN, Key};
pub use outgoing::Outgoing;
pub use stats::{SealDrop, SealStats};
pub use window::WINDOW_LEN;

use crate::address::LinkAddress;
use crate::time::{Duration, Instant};
use key::EpochKey;

/// The bounds of a sealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealConfig {
    /// The most senders that are known at the same time.
    pub senders_max: usize,
    /// The most senders that are not known yet and remembered.
    pub waiting_max: usize,
    /// The most frames that are held for one of these.
    pub held_by_sender_max: usize,
    /// The most bytes of them.
    pub held_bytes_by_sender_max: usize,
    /// The most bytes that are held in all.
    pub held_bytes_max: usize,
    /// The shortest time between two answers to the same sender. It doubles between challenges.
    pub challenge_pause: Duration,
    /// Where it stops doubling.
    pub challenge_pause_max: Duration,
    /// Answers that may be sent at once.
    pub answers_burst: u64,
    /// Answers that may be sent in a second.
    pub answers_per_second: u64,
    /// The most frames that are sealed with one key. With the default and frames of 1,400 bytes,
    /// who guesses that this is not a random stream is right by one in a million more than half.
    pub frames_max: u64,
    /// Derived keys that are kept ready, about 600 bytes each.
    pub keys_len_max: usize,
}

impl Default for SealConfig {
    fn default() -> SealConfig {
        SealConfig {
            senders_max: 65_536,
            waiting_max: 1_024,
            held_by_sender_max: 8,
            held_bytes_by_sender_max: 256 << 10,
            held_bytes_max: 4 << 20,
            challenge_pause: Duration::from_millis(5),
            challenge_pause_max: Duration::from_secs(1),
            answers_burst: 4_096,
            answers_per_second: 4_096,
            frames_max: 1 << 48,
            keys_len_max: 1_024,
        }
    }
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// This is what its sender sealed.
    Frame(&'a [u8]),
    /// It is authentic, and held until its sender introduces itself.
    Held,
    /// It was between the sealers.
    Control,
    /// It was thrown away.
    Dropped(SealDrop),
}

/// A key whose time is not after that of the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network is in epoch {present}; epoch {wanted} is not after that: give a later key")]
pub struct RekeyError {
    /// The present epoch.
    pub present: u32,
    /// The epoch of the key that was offered.
    pub wanted: u32,
}

/// Both halves of one sealer: what stands between a box and a keyed network.
///
/// After each `open` drain `poll_frame` and `poll_transmit`. Threads that share one take the
/// halves: any number may seal, one at a time opens.
pub struct Sealer {
    outgoing: Outgoing,
    incoming: Incoming,
}

impl Sealer {
    /// A sealer. The id must be drawn for it alone.
    pub fn new(key: Key, id: SenderId, config: SealConfig) -> Sealer {
        let epoch = EpochKey::new(&key);
        Sealer {
            outgoing: Outgoing::new(&epoch, id, &config),
            incoming: Incoming::new(epoch, id, config),
        }
    }

    /// See [`Outgoing::seal`].
    pub fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.outgoing.seal(plain)
    }

    /// See [`Outgoing::announce`].
    pub fn announce(&self) -> Option<Vec<u8>> {
        self.outgoing.announce()
    }

    /// See [`Incoming::open`].
    pub fn open<'a>(&mut self, now: Instant, from: LinkAddress, frame: &'a mut [u8]) -> Opened<'a> {
        self.incoming.open(&self.outgoing, now, from, frame)
    }

    /// Opens what is sealed with `key` from now on, and seals nothing with it but answers to those
    /// who do. It replaces another key that was told so, and ends with the change to a key of its
    /// epoch or of a later one.
    pub fn accept_next(&mut self, key: Key) -> Result<(), RekeyError> {
        self.incoming.accept_next(key)
    }

    /// Seals with `key` from now on, and accepts what was sealed with the present one until
    /// `grace` is over. Boxes that do not have the new key yet cannot open what is sent meanwhile:
    /// let all of them [accept](Sealer::accept_next) it first.
    pub fn rekey(&mut self, now: Instant, key: Key, grace: Duration) -> Result<(), RekeyError> {
        self.incoming.rekey(&mut self.outgoing, now, key, grace)
    }

    /// See [`Incoming::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.incoming.handle_timeout(now);
    }

    /// See [`Incoming::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.incoming.poll_timeout()
    }

    /// See [`Incoming::poll_frame`].
    pub fn poll_frame(&mut self) -> Option<(LinkAddress, Vec<u8>)> {
        self.incoming.poll_frame()
    }

    /// See [`Incoming::poll_transmit`].
    pub fn poll_transmit(&mut self) -> Option<(LinkAddress, Vec<u8>)> {
        self.incoming.poll_transmit()
    }

    /// See [`Incoming::stats`].
    pub fn stats(&self) -> &SealStats {
        self.incoming.stats()
    }

    /// The halves, for threads.
    pub fn split(self) -> (Outgoing, Incoming) {
        (self.outgoing, self.incoming)
    }

    /// The receiving half.
    pub fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// The sending half.
    pub fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }
}
