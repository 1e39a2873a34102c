//! Keys: the secret of a network, and what is derived from it for each sender.
//!
//! Where secrets come from is not known here: the caller hands in bytes of the operating system,
//! or a file that `driver` has read. Keys that are expanded for the cipher are `ring`'s and are
//! freed without being wiped; the secret itself and every derived byte string is wiped.
//!
//! Implements: nothing of the thesis; RFC 5869 (HKDF), NIST SP 800-38D (AES-256-GCM).

use std::fmt;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::{Zeroize, Zeroizing};

use super::frame::SenderId;

/// Bytes of a secret.
pub const KEY_LEN: usize = 32;

const SALT: &[u8] = b"flip-net seal 1";
const INFO_SENDER: &[u8] = b"flip-net seal 1 sender";
const INFO_NEXT: &[u8] = b"flip-net seal 1 next epoch";

/// The secret that all boxes on a network share, and the number of the time it is used in.
pub struct Key {
    secret: [u8; KEY_LEN],
    epoch: u32,
}

impl Key {
    /// The key of `epoch` with this secret, which must come from a source that nobody can guess.
    pub fn new(secret: [u8; KEY_LEN], epoch: u32) -> Key {
        Key { secret, epoch }
    }

    /// The key of the next epoch. It can be told only by who knows both this key and `fresh`,
    /// which has to be the same at all boxes. `None` after the last epoch there is.
    pub fn next(&self, fresh: &[u8; KEY_LEN]) -> Option<Key> {
        let epoch = self.epoch.checked_add(1)?;
        let prk = Salt::new(HKDF_SHA256, fresh).extract(&self.secret);
        let mut secret = [0; KEY_LEN];
        expand(&prk, &[INFO_NEXT, &epoch.to_be_bytes()], &mut secret);
        Some(Key { secret, epoch })
    }

    /// The number of the epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = &self.epoch;
        f.debug_struct("Key")
            .field("epoch", epoch)
            .finish_non_exhaustive()
    }
}

struct Secret;

impl KeyType for Secret {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8; KEY_LEN]) {
    let okm = prk.expand(info, Secret);
    let filled = okm.and_then(|okm| okm.fill(out));
    filled.expect("HKDF-SHA256 gives up to 8,160 bytes");
}

/// What the keys of all senders of one epoch are derived from.
pub(super) struct EpochKey {
    prk: Prk,
    pub(super) epoch: u32,
}

impl EpochKey {
    pub(super) fn new(key: &Key) -> EpochKey {
        let prk = Salt::new(HKDF_SHA256, SALT).extract(&key.secret);
        let epoch = key.epoch;
        EpochKey { prk, epoch }
    }

    /// The key that `sender` seals with, and nobody else.
    pub(super) fn sender(&self, sender: SenderId) -> SenderKey {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        let epoch = self.epoch.to_be_bytes();
        expand(
            &self.prk,
            &[INFO_SENDER, &epoch, &sender.bytes()],
            &mut bytes,
        );
        let key = UnboundKey::new(&AES_256_GCM, &bytes[..]).expect("the key has 32 bytes");
        SenderKey {
            key: LessSafeKey::new(key),
            epoch: self.epoch,
        }
    }
}

/// The key of one sender in one epoch, ready for use.
pub(super) struct SenderKey {
    pub(super) key: LessSafeKey,
    pub(super) epoch: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_its_epoch_and_nothing_else() {
        let key = Key::new([0xab; KEY_LEN], 3);
        assert_eq!(format!("{key:?}"), "Key { epoch: 3, .. }");
    }

    #[test]
    fn the_next_key_depends_on_the_old_one_and_on_the_fresh_bytes() {
        let next = |secret, fresh| Key::new([secret; 32], 7).next(&[fresh; 32]).unwrap();
        let key = next(1, 2);
        assert_eq!(key.epoch(), 8);
        assert_eq!(key.secret, next(1, 2).secret);
        assert_ne!(key.secret, next(1, 3).secret);
        assert_ne!(key.secret, next(2, 2).secret);
        assert!(Key::new([1; 32], u32::MAX).next(&[2; 32]).is_none());
    }
}
