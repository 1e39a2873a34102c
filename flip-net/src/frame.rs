//! A frame: bytes for a network, and whom they are for.

use std::borrow::Cow;

use bytes::Bytes;

use crate::address::{LinkAddress, NetworkId};

/// One frame on its way to a network: `head`, and `body` behind it.
///
/// A long payload is the part of a message that it was cut from, not a copy of it; so a device that
/// takes bytes in several parts sends a message from where it stands in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The network that carries it.
    pub network: NetworkId,
    /// Whom it is for: one station, or every station.
    pub to: LinkAddress,
    /// FLIP's header, what stands in front of it (the link header not included), and a payload if
    /// that is short.
    pub head: Vec<u8>,
    /// A long payload; else nothing.
    pub body: Bytes,
}

impl Frame {
    /// A frame in one part.
    pub fn new(network: NetworkId, to: LinkAddress, bytes: Vec<u8>) -> Frame {
        Frame {
            network,
            to,
            head: bytes,
            body: Bytes::new(),
        }
    }

    /// How long it is, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a frame has a header")]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Its parts, in order.
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.body]
    }

    /// All of it in one part; copies it if it has two.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self.body.is_empty() {
            true => Cow::Borrowed(&self.head),
            false => Cow::Owned(self.parts().concat()),
        }
    }
}
