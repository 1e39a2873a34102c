//! The keys of a receiver: those of the present epoch, of the previous one while it lasts, and of
//! the next one once it is told.
//!
//! Implements: nothing of the thesis.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use ring::aead::Aad;

use super::frame::{Header, SEAL_HEADER_LEN, SenderId};
use super::key::{EpochKey, SenderKey};
use super::stats::SealDrop;
use crate::time::Instant;

/// Opens frames of every sender.
pub(super) struct Keyring {
    current: EpochKey,
    /// With when it is to be forgotten.
    previous: Option<(EpochKey, Instant)>,
    /// Opens already, and does not seal yet; always of a later epoch than the present one.
    next: Option<EpochKey>,
    cache: KeyCache,
}

impl Keyring {
    pub(super) fn new(current: EpochKey, cached_max: usize) -> Keyring {
        Keyring {
            current,
            previous: None,
            next: None,
            cache: KeyCache::new(cached_max),
        }
    }

    pub(super) fn current(&self) -> &EpochKey {
        &self.current
    }

    pub(super) fn previous_until(&self) -> Option<Instant> {
        self.previous.as_ref().map(|(_, until)| *until)
    }

    /// Opens what is sealed with this key too; it replaces another one that was told before.
    pub(super) fn set_next(&mut self, key: EpochKey) {
        assert!(key.epoch > self.current.epoch, "epochs only go up");
        self.forget_next(u32::MAX);
        self.next = Some(key);
    }

    /// What was derived from it goes too: there may be another key of the same epoch.
    fn forget_next(&mut self, epoch_max: u32) {
        if let Some(next) = self.next.take_if(|next| next.epoch <= epoch_max) {
            self.cache.forget(next.epoch);
        }
    }

    /// Makes the present key the previous one; that there is none any more is the caller's part.
    pub(super) fn replace(&mut self, key: EpochKey, until: Instant) {
        assert!(key.epoch > self.current.epoch, "epochs only go up");
        assert!(self.previous.is_none(), "one previous key at a time");
        self.forget_next(key.epoch);
        let before = mem::replace(&mut self.current, key);
        self.previous = Some((before, until));
    }

    /// Says which epoch it was.
    pub(super) fn forget_previous(&mut self) -> Option<u32> {
        let (key, _) = self.previous.take()?;
        self.cache.forget(key.epoch);
        Some(key.epoch)
    }

    /// The key of one sender, if the epoch is open.
    pub(super) fn derive(&self, sender: SenderId, epoch: u32) -> Option<SenderKey> {
        let previous = self.previous.as_ref().map(|(key, _)| key);
        let open = [Some(&self.current), previous, self.next.as_ref()];
        let mut open = open.into_iter().flatten();
        let key = open.find(|key| key.epoch == epoch)?;
        Some(key.sender(sender))
    }

    /// Opens a frame in place.
    pub(super) fn open<'a>(
        &mut self,
        header: &Header,
        frame: &'a mut [u8],
    ) -> Result<&'a [u8], SealDrop> {
        let (_, body) = frame.split_at_mut(SEAL_HEADER_LEN);
        if let Some(key) = self.cache.get(header.sender, header.epoch) {
            return open_body(key, header, body);
        }
        let key = self
            .derive(header.sender, header.epoch)
            .ok_or(SealDrop::UnknownEpoch)?;
        let plain = open_body(&key, header, body)?;
        self.cache.insert(header.sender, key);
        Ok(plain)
    }
}

fn open_body<'a>(
    key: &SenderKey,
    header: &Header,
    body: &'a mut [u8],
) -> Result<&'a [u8], SealDrop> {
    let aad = Aad::from(header.bytes());
    let opened = key.key.open_in_place(header.nonce(), aad, body);
    opened.map(|plain| &*plain).map_err(|_| SealDrop::BadTag)
}

/// Keys that were derived before: the newest few of them. Only keys that have opened a frame come
/// in here, so frames without the key throw nothing out.
struct KeyCache {
    keys: BTreeMap<(SenderId, u32), SenderKey>,
    order: VecDeque<(SenderId, u32)>,
    len_max: usize,
}

impl KeyCache {
    fn new(len_max: usize) -> KeyCache {
        let (keys, order) = Default::default();
        KeyCache {
            keys,
            order,
            len_max,
        }
    }

    fn get(&self, sender: SenderId, epoch: u32) -> Option<&SenderKey> {
        self.keys.get(&(sender, epoch))
    }

    fn insert(&mut self, sender: SenderId, key: SenderKey) {
        if self.len_max == 0 {
            return;
        }
        if self.order.len() == self.len_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        let at = (sender, key.epoch);
        self.order.push_back(at);
        let before = self.keys.insert(at, key);
        assert!(before.is_none(), "a key is derived once while it is cached");
    }

    fn forget(&mut self, epoch: u32) {
        self.order.retain(|at| at.1 != epoch);
        self.keys.retain(|at, _| at.1 != epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;

    #[test]
    fn the_newest_keys_of_open_epochs_are_kept() {
        let key = |epoch| EpochKey::new(&Key::new([1; 32], epoch));
        let id = |n| SenderId::new([n; 16]);
        let mut ring = Keyring::new(key(0), 2);
        let put = |ring: &mut Keyring, n, epoch| {
            let key = ring.derive(id(n), epoch).unwrap();
            ring.cache.insert(id(n), key);
        };
        (1..=3).for_each(|n| put(&mut ring, n, 0));
        assert!(ring.cache.get(id(1), 0).is_none());
        assert!(ring.cache.get(id(2), 0).is_some() && ring.cache.get(id(3), 0).is_some());
        ring.replace(key(1), Instant::ZERO);
        put(&mut ring, 2, 1);
        assert_eq!(ring.forget_previous(), Some(0));
        assert!(ring.cache.get(id(2), 1).is_some());
        assert_eq!((ring.cache.keys.len(), ring.cache.order.len()), (1, 1));
        assert!(ring.derive(id(2), 0).is_none());
        assert_eq!(ring.forget_previous(), None);
    }
}
