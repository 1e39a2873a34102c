//! The sending half: seals frames, from any number of threads.
//!
//! The counter is the only thing that sealing changes. It never goes back and every number is
//! taken once, under whatever key, so no nonce comes twice; when the numbers that one key may
//! spend are used up, nothing is sealed any more until the next key.

use std::sync::atomic::{AtomicU64, Ordering};

use ring::aead::Aad;

use super::SealConfig;
use super::frame::{Control, Header, Kind, SEAL_HEADER_LEN, SEAL_OVERHEAD, SenderId};
use super::key::{EpochKey, SenderKey};

/// What seals the frames of one sender. It cannot be cloned, and a process that goes on from a
/// copy of its memory must make another one.
pub struct Outgoing {
    id: SenderId,
    key: SenderKey,
    counter: AtomicU64,
    /// The first counter that the present key must not seal.
    limit: u64,
    frames_max: u64,
    refused: AtomicU64,
}

impl Outgoing {
    pub(super) fn new(epoch: &EpochKey, id: SenderId, config: &SealConfig) -> Outgoing {
        Outgoing {
            id,
            key: epoch.sender(id),
            counter: AtomicU64::new(0),
            limit: config.frames_max,
            frames_max: config.frames_max,
            refused: AtomicU64::new(0),
        }
    }

    /// Seals a frame. `None`, counted, when the present key has sealed as many as it may.
    pub fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal_parts([plain, b""])
    }

    /// Seals a frame that stands in memory in two parts.
    pub fn seal_parts(&self, plain: [&[u8]; 2]) -> Option<Vec<u8>> {
        self.seal_as(Kind::Data, &self.key, plain)
    }

    /// A frame to broadcast when the network is up: whoever hears it introduces itself, and knows
    /// from when on its own frames are fresh for this receiver. Nothing depends on it but that
    /// fewer frames are lost at the start.
    pub fn announce(&self) -> Option<Vec<u8>> {
        let control = Control {
            target: SenderId::EVERYBODY,
            floor: 0,
        };
        self.seal_as(Kind::Challenge, &self.key, [&control.bytes(), b""])
    }

    /// Who this is to others.
    pub fn id(&self) -> SenderId {
        self.id
    }

    /// The epoch that frames are sealed in.
    pub fn epoch(&self) -> u32 {
        self.key.epoch
    }

    /// Frames that were not sealed because the key was used up.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The first counter that has not been used: whatever is sealed from now on has this one or a
    /// larger one, on whatever thread.
    pub(super) fn counter(&self) -> u64 {
        self.counter.load(Ordering::SeqCst)
    }

    /// Answers to frames of another open epoch are sealed with that epoch's key, which `incoming`
    /// derives; the counter is the same.
    pub(super) fn seal_control(
        &self,
        kind: Kind,
        other: Option<&SenderKey>,
        control: Control,
    ) -> Option<Vec<u8>> {
        assert!(kind != Kind::Data, "a challenge or an introduction");
        self.seal_as(kind, other.unwrap_or(&self.key), [&control.bytes(), b""])
    }

    pub(super) fn set_key(&mut self, epoch: &EpochKey) {
        assert!(epoch.epoch > self.key.epoch, "epochs only go up");
        self.key = epoch.sender(self.id);
        self.limit = self.counter().saturating_add(self.frames_max);
    }

    fn seal_as(&self, kind: Kind, key: &SenderKey, plain: [&[u8]; 2]) -> Option<Vec<u8>> {
        let take = |counter| (counter < self.limit).then(|| counter + 1);
        let taken = self
            .counter
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        let Ok(counter) = taken else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let header = Header {
            kind,
            epoch: key.epoch,
            sender: self.id,
            counter,
        };
        let head = header.bytes();
        let len = plain[0].len() + plain[1].len();
        let mut frame = Vec::with_capacity(len + SEAL_OVERHEAD);
        for part in [&head[..], plain[0], plain[1]] {
            frame.extend_from_slice(part);
        }
        let body = &mut frame[SEAL_HEADER_LEN..];
        let tag = key
            .key
            .seal_in_place_separate_tag(header.nonce(), Aad::from(head), body)
            .expect("a frame is shorter than the 64 GiB that the cipher takes");
        frame.extend_from_slice(tag.as_ref());
        Some(frame)
    }
}
