//! The layout of a sealed frame. No key, no decision.
//!
//! ```text
//! off  size  field      notes
//!   0     1  magic      0xE5: no version of FLIP, no type of the flow-control header, no probe
//!   1     1  kind       1 data, 2 challenge, 3 introduction
//!   2     4  epoch      which key of the network
//!   6    16  sender     random bytes, drawn when the sender was made; never all zero
//!  22     8  counter    0 for the first frame of this sender, then one more each time
//!  30     n  sealed     data: a frame; challenge, introduction: see below
//!  30+n  16  tag        AES-256-GCM over both; bytes 0 to 29 are the associated data
//! ```
//!
//! The nonce is four zero bytes and the counter. What a challenge or an introduction seals:
//!
//! ```text
//!   0    16  target     the sender id of whom it is for; zero in a challenge to everybody
//!  16     8  floor      frames of the sender from this counter on were sealed after it had heard
//!                       of the target; zero in a challenge to everybody
//! ```
//!
//! Integers are big endian. The shortest sealed frame has 46 bytes, which is the shortest payload of
//! Ethernet, so nothing is ever padded; a frame with bytes behind its tag is not accepted.

use std::fmt;

use ring::aead::{NONCE_LEN, Nonce};

use super::stats::SealDrop;
use crate::rng::Rng;

/// Byte 0 of every sealed frame.
pub const SEAL_MAGIC: u8 = 0xE5;
/// Bytes in front of what is sealed.
pub const SEAL_HEADER_LEN: usize = 30;
/// Bytes behind it.
pub const SEAL_TAG_LEN: usize = 16;
/// How much longer a frame gets by being sealed.
pub const SEAL_OVERHEAD: usize = SEAL_HEADER_LEN + SEAL_TAG_LEN;

const _: () = assert!(SEAL_OVERHEAD == 46, "see the head of this file");

mod field {
    use std::ops::Range;

    pub(super) const MAGIC: usize = 0;
    pub(super) const KIND: usize = 1;
    pub(super) const EPOCH: Range<usize> = 2..6;
    pub(super) const SENDER: Range<usize> = 6..22;
    pub(super) const COUNTER: Range<usize> = 22..30;
    pub(super) const TARGET: Range<usize> = 0..16;
    pub(super) const FLOOR: Range<usize> = 16..24;
}

const CONTROL_LEN: usize = 24;

/// Names one sealer from its making to its end. A box that starts again has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SenderId(u128);

impl SenderId {
    pub(super) const EVERYBODY: SenderId = SenderId(0);

    /// The id with these bytes, which must come from a source that does not repeat itself.
    ///
    /// # Panics
    /// If all of them are zero, which no such source gives.
    pub fn new(bytes: [u8; 16]) -> SenderId {
        assert!(bytes != [0; 16], "a sender id is random, not zero");
        SenderId(u128::from_be_bytes(bytes))
    }

    /// An id for simulated networks.
    pub fn from_rng(rng: &mut Rng) -> SenderId {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        SenderId::new(bytes)
    }

    /// The bytes as they are on the network.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl fmt::Debug for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 1,
    Challenge = 2,
    Introduction = 3,
}

/// The part that everybody can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) epoch: u32,
    pub(super) sender: SenderId,
    pub(super) counter: u64,
}

impl Header {
    /// Reads the header of a frame that is long enough to be a sealed one.
    pub(super) fn parse(frame: &[u8]) -> Result<Header, SealDrop> {
        if frame.first().is_some_and(|first| *first != SEAL_MAGIC) {
            return Err(SealDrop::NotSealed);
        }
        if frame.len() < SEAL_OVERHEAD {
            return Err(SealDrop::TooShort);
        }
        let kind = match frame[field::KIND] {
            1 => Kind::Data,
            2 => Kind::Challenge,
            3 => Kind::Introduction,
            _ => return Err(SealDrop::UnknownKind),
        };
        let sender = SenderId(u128::from_be_bytes(array(&frame[field::SENDER])));
        if sender == SenderId::EVERYBODY {
            return Err(SealDrop::Malformed);
        }
        Ok(Header {
            kind,
            epoch: u32::from_be_bytes(array(&frame[field::EPOCH])),
            sender,
            counter: u64::from_be_bytes(array(&frame[field::COUNTER])),
        })
    }

    pub(super) fn bytes(&self) -> [u8; SEAL_HEADER_LEN] {
        let mut bytes = [0; SEAL_HEADER_LEN];
        bytes[field::MAGIC] = SEAL_MAGIC;
        bytes[field::KIND] = self.kind as u8;
        bytes[field::EPOCH].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[field::SENDER].copy_from_slice(&self.sender.bytes());
        bytes[field::COUNTER].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// The key belongs to one sender and one epoch, and the counter never comes twice there.
    pub(super) fn nonce(&self) -> Nonce {
        let mut bytes = [0; NONCE_LEN];
        bytes[NONCE_LEN - 8..].copy_from_slice(&self.counter.to_be_bytes());
        Nonce::assume_unique_for_key(bytes)
    }
}

/// What challenges and introductions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) target: SenderId,
    pub(super) floor: u64,
}

impl Control {
    /// Reads what the holder of the key `header` belongs to has sealed.
    pub(super) fn parse(header: &Header, plain: &[u8]) -> Result<Control, SealDrop> {
        if plain.len() != CONTROL_LEN {
            return Err(SealDrop::Malformed);
        }
        let control = Control {
            target: SenderId(u128::from_be_bytes(array(&plain[field::TARGET]))),
            floor: u64::from_be_bytes(array(&plain[field::FLOOR])),
        };
        let everybody = control.target == SenderId::EVERYBODY;
        if control.floor > header.counter || (everybody && header.kind != Kind::Challenge) {
            return Err(SealDrop::Malformed);
        }
        Ok(control)
    }

    pub(super) fn bytes(&self) -> [u8; CONTROL_LEN] {
        let mut bytes = [0; CONTROL_LEN];
        bytes[field::TARGET].copy_from_slice(&self.target.bytes());
        bytes[field::FLOOR].copy_from_slice(&self.floor.to_be_bytes());
        bytes
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes
        .try_into()
        .expect("the field has the length of its type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_of_the_key_that_seals_nonsense_is_not_believed() {
        let [sender, target] = [1, 2].map(|n| SenderId::new([n; 16]));
        let parse = |kind, target, floor, len: usize| {
            let header = Header {
                kind,
                epoch: 0,
                sender,
                counter: 10,
            };
            let mut bytes = Control { target, floor }.bytes().to_vec();
            bytes.resize(len, 0);
            Control::parse(&header, &bytes)
        };
        let good = Control { target, floor: 10 };
        assert_eq!(parse(Kind::Introduction, target, 10, CONTROL_LEN), Ok(good));
        let everybody = SenderId::EVERYBODY;
        for wrong in [
            parse(Kind::Introduction, target, 11, CONTROL_LEN),
            parse(Kind::Challenge, target, u64::MAX, CONTROL_LEN),
            parse(Kind::Introduction, everybody, 0, CONTROL_LEN),
            parse(Kind::Introduction, target, 10, CONTROL_LEN - 1),
            parse(Kind::Introduction, target, 10, CONTROL_LEN + 1),
            parse(Kind::Introduction, target, 10, 0),
        ] {
            assert_eq!(wrong, Err(SealDrop::Malformed));
        }
    }
}
