//! What a sealer counts: frames by fate, drops by reason.

use std::collections::BTreeMap;

/// Why a frame was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{}", self.name())]
pub enum SealDrop {
    /// Fewer bytes than a sealed frame has, or none at all.
    TooShort,
    /// The first byte is not that of a sealed frame: the sender has no key.
    NotSealed,
    /// None of the known kinds.
    UnknownKind,
    /// Sealed with a key of another time.
    UnknownEpoch,
    /// Not sealed with the key, or changed on the way.
    BadTag,
    /// Has been here before.
    Replayed,
    /// Further behind the newest frame of its sender than the window reaches.
    TooOld,
    /// Nobody can vouch that it was sent after this receiver had started.
    Stale,
    /// One of its own frames that came back.
    Own,
    /// A challenge or an introduction for somebody else.
    NotForMe,
    /// A holder of the key has sealed what makes no sense.
    Malformed,
    /// Was held until its sender introduces itself, and had to make room.
    Unintroduced,
    /// The table of known senders is full.
    TooManySenders,
}

impl SealDrop {
    /// The reason in words.
    pub fn name(self) -> &'static str {
        match self {
            SealDrop::TooShort => "shorter than a sealed frame",
            SealDrop::NotSealed => "not sealed",
            SealDrop::UnknownKind => "unknown kind",
            SealDrop::UnknownEpoch => "unknown epoch",
            SealDrop::BadTag => "bad tag",
            SealDrop::Replayed => "replayed",
            SealDrop::TooOld => "too old",
            SealDrop::Stale => "may be from before the start",
            SealDrop::Own => "own frame",
            SealDrop::NotForMe => "for somebody else",
            SealDrop::Malformed => "malformed",
            SealDrop::Unintroduced => "no room for frames of unknown senders",
            SealDrop::TooManySenders => "too many senders",
        }
    }
}

/// The counters of a sealer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealStats {
    /// Frames that were opened at once.
    pub opened: u64,
    /// Frames held back until their sender introduces itself.
    pub held: u64,
    /// Held frames that were released.
    pub released: u64,
    /// Challenges sent.
    pub challenges: u64,
    /// Introductions sent.
    pub introductions: u64,
    /// Answers that were not sent, since there had been too many.
    pub unanswered: u64,
    /// Senders that introduced themselves.
    pub introduced: u64,
    /// Frames thrown away, by reason.
    pub dropped: BTreeMap<SealDrop, u64>,
}

impl SealStats {
    pub(super) fn drop(&mut self, reason: SealDrop, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
        }
    }

    /// How many frames were thrown away for this reason.
    pub fn dropped_for(&self, reason: SealDrop) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }
}
