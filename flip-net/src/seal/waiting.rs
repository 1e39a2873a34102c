//! Senders that are not known yet: what they sent, and when they were last asked who they are.
//!
//! Nothing in here is needed for safety. An entry may be thrown out at any time, and the oldest
//! one is when room is short; what is lost with it are held frames and, for this sender, an early
//! floor.

use std::collections::{BTreeMap, VecDeque};

use super::SealConfig;
use super::frame::{SEAL_OVERHEAD, SenderId};
use crate::address::LinkAddress;
use crate::time::{Duration, Instant};

/// An authentic frame whose sender is unknown.
pub(super) struct Held {
    pub(super) from: LinkAddress,
    pub(super) epoch: u32,
    pub(super) counter: u64,
    pub(super) plain: Vec<u8>,
}

impl Held {
    fn size(&self) -> usize {
        self.plain.len() + SEAL_OVERHEAD
    }
}

/// One sender that is not known yet.
pub(super) struct Waiting {
    /// The counter of ours when we first heard of it.
    pub(super) floor: u64,
    /// When it may be challenged next, and how long it is left alone after that.
    next_challenge: Instant,
    pause: Duration,
    /// In the order in which they came.
    pub(super) held: VecDeque<Held>,
    bytes: usize,
    serial: u64,
}

/// All of them, bounded in number and in bytes.
pub(super) struct WaitingTable {
    config: SealConfig,
    senders: BTreeMap<SenderId, Waiting>,
    /// By age.
    order: BTreeMap<u64, SenderId>,
    serial: u64,
    bytes: usize,
}

impl WaitingTable {
    pub(super) fn new(config: SealConfig) -> WaitingTable {
        assert!(config.waiting_max > 0, "one sender must be able to wait");
        WaitingTable {
            config,
            senders: BTreeMap::new(),
            order: BTreeMap::new(),
            serial: 0,
            bytes: 0,
        }
    }

    /// Makes sure that the sender has an entry. Says how many held frames had to go for it.
    pub(super) fn note(&mut self, sender: SenderId, floor: u64) -> u64 {
        if self.senders.contains_key(&sender) {
            return 0;
        }
        let full = self.senders.len() >= self.config.waiting_max;
        let lost = if full { self.evict_oldest() } else { 0 };
        self.serial += 1;
        self.order.insert(self.serial, sender);
        let waiting = Waiting {
            floor,
            next_challenge: Instant::ZERO,
            pause: self.config.challenge_pause,
            held: VecDeque::new(),
            bytes: 0,
            serial: self.serial,
        };
        self.senders.insert(sender, waiting);
        assert_eq!(self.senders.len(), self.order.len(), "one age each");
        lost
    }

    /// Holds a frame of a sender that has been noted. Older frames make room, those of this sender
    /// first; what was sent last has the best chance of being vouched for. Says how many were lost,
    /// this one included.
    pub(super) fn hold(&mut self, sender: SenderId, frame: Held) -> u64 {
        let size = frame.size();
        let by_sender = self.config.held_bytes_by_sender_max;
        if size > by_sender.min(self.config.held_bytes_max) {
            return 1;
        }
        let own = self.senders.get_mut(&sender).expect("noted before");
        let mut lost = 0;
        while own.held.len() >= self.config.held_by_sender_max || own.bytes + size > by_sender {
            let Some(oldest) = own.held.pop_front() else {
                return lost + 1;
            };
            own.bytes -= oldest.size();
            self.bytes -= oldest.size();
            lost += 1;
        }
        while self.bytes + size > self.config.held_bytes_max {
            let oldest = self.order.values().copied().next();
            if oldest.expect("bytes belong to somebody") == sender {
                return lost + 1;
            }
            lost += self.evict_oldest();
        }
        let own = self.senders.get_mut(&sender).expect("not the oldest");
        own.bytes += size;
        own.held.push_back(frame);
        self.bytes += size;
        lost
    }

    /// Whether the sender may be challenged now; the next time is later then.
    pub(super) fn take_challenge(&mut self, now: Instant, sender: SenderId) -> Option<u64> {
        let own = self.senders.get_mut(&sender)?;
        if now < own.next_challenge {
            return None;
        }
        own.next_challenge = now + own.pause;
        own.pause = own.pause.times(2).min(self.config.challenge_pause_max);
        Some(own.floor)
    }

    /// The sender is not unknown any more.
    pub(super) fn remove(&mut self, sender: SenderId) -> Option<Waiting> {
        let waiting = self.senders.remove(&sender)?;
        self.order.remove(&waiting.serial);
        self.bytes -= waiting.bytes;
        Some(waiting)
    }

    /// Lets go of frames of an epoch that is over. Says how many.
    pub(super) fn forget(&mut self, epoch: u32) -> u64 {
        let mut lost = 0;
        for waiting in self.senders.values_mut() {
            let before = waiting.held.len();
            waiting.held.retain(|frame| frame.epoch != epoch);
            lost += (before - waiting.held.len()) as u64;
            let bytes = waiting.held.iter().map(Held::size).sum();
            self.bytes -= waiting.bytes - bytes;
            waiting.bytes = bytes;
        }
        lost
    }

    pub(super) fn len(&self) -> usize {
        self.senders.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    fn evict_oldest(&mut self) -> u64 {
        let oldest = self.order.values().copied().next();
        let waiting = oldest.and_then(|sender| self.remove(sender));
        waiting.map_or(0, |waiting| waiting.held.len() as u64)
    }
}
