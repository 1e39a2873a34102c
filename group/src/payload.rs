//! User data, shared instead of copied between history, delivery and retransmission.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Immutable bytes with a cheap `clone`; may be the tail of the message they came in.
#[derive(Clone, Default)]
pub struct Payload {
    bytes: Arc<Vec<u8>>,
    start: usize,
}

impl Payload {
    /// What follows the first `start` bytes of `message`; the message is kept, not copied.
    ///
    /// # Panics
    /// If the message is shorter than that.
    pub fn tail(message: Vec<u8>, start: usize) -> Payload {
        assert!(
            start <= message.len(),
            "the tail of a message lies inside it"
        );
        Payload {
            bytes: Arc::new(message),
            start,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::tail(bytes, 0)
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Payload {
        Payload::from(bytes.to_vec())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::wire::write_data(f, self)
    }
}
