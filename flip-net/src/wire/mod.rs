//! What FLIP puts on a network: views, which know where the fields are, and values, which know
//! what they mean.
//!
//! A view never interprets and, once checked, never panics; a value holds only states that make
//! sense. Integers may come in either byte order (bit 0 of the flags says which) and always leave
//! in little endian.
//!
//! Implements: [Thesis §2.4.1]; facts sheet 0, 1.1 and 1.2.

pub mod flow;
pub mod packet;
pub mod pretty;
pub mod repr;
pub mod stream;
pub mod variable;

pub use flow::Flow;
pub use packet::{HEADER_LEN, Packet};
pub use repr::{Flags, Kind, Repr};
pub use stream::{Deframer, Framing, StreamError};

/// The order of the bytes of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant byte first: what we send.
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// Why a frame is no FLIP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than a header has.
    #[error("shorter than a header")]
    ShortHeader,
    /// Not version 1.
    #[error("unknown version")]
    Version,
    /// The variable part is too long, not a multiple of four, or not all there.
    #[error("bad variable part")]
    VariablePart,
    /// The header announces more payload than there is.
    #[error("shorter than its length says")]
    ShortPayload,
    /// The fragment lies outside of its message.
    #[error("fragment outside of its message")]
    Bounds,
    /// None of the known types.
    #[error("unknown type")]
    UnknownKind,
    /// The flow-control header, or what belongs to it, is cut short or makes no sense.
    #[error("bad flow-control header")]
    FlowHeader,
    /// None of the known types of the flow-control header.
    #[error("unknown flow-control type")]
    UnknownFlow,
    /// The counters of a HEREIS are missing or contradict each other.
    #[error("counters of a HEREIS make no sense")]
    Counters,
}
