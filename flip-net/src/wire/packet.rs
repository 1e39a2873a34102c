//! The FLIP header as a view.
//!
//! ```text
//!  0  u8   version, 1                 8  [8]  destination address
//!  1  u8   type                      16  [8]  source address
//!  2  u8   flags                     24  u32  message identifier
//!  3  u8   reserved, 0               28  u32  length of this fragment
//!  4  u16  actual hop count          32  u32  offset of this fragment
//!  6  u16  maximum hop count         36  u32  total length of the message
//! ```
//! If bit 1 of the flags is set, a variable part follows, see [`variable`](super::variable).
//!
//! Implements: [Thesis §2.4.1] Figs. 2.4 and 2.5; facts sheet 1.2.
//! Differs: Amoeba 5 neither checks the version nor knows the variable part.

use super::variable::{Parameters, variable_len};
use super::{Order, WireError};
use crate::address::FlipAddress;

/// Bytes of the fixed part of the header.
pub const HEADER_LEN: usize = 40;
/// The version that is spoken.
pub const VERSION: u8 = 1;

pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const VERSION: usize = 0;
    pub(crate) const KIND: usize = 1;
    pub(crate) const FLAGS: usize = 2;
    pub(crate) const ACTUAL: Range<usize> = 4..6;
    pub(crate) const MAXIMUM: Range<usize> = 6..8;
    pub(crate) const DESTINATION: Range<usize> = 8..16;
    pub(crate) const SOURCE: Range<usize> = 16..24;
    pub(crate) const MESSAGE: Range<usize> = 24..28;
    pub(crate) const LENGTH: Range<usize> = 28..32;
    pub(crate) const OFFSET: Range<usize> = 32..36;
    pub(crate) const TOTAL: Range<usize> = 36..40;
}

/// Flag bit 0: integers are big endian.
pub const FLAG_BIG_ENDIAN: u8 = 0x01;
/// Flag bit 1: a variable part follows the header.
pub const FLAG_VARIABLE: u8 = 0x02;
/// Flag bit 2: only over trusted networks.
pub const FLAG_SECURITY: u8 = 0x04;
/// Flag bit 4: sent back because no trusted route was there.
pub const FLAG_UNREACHABLE: u8 = 0x10;
/// Flag bit 5: crossed an untrusted network.
pub const FLAG_UNSAFE: u8 = 0x20;

/// A view on the bytes of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T> {
    buffer: T,
    payload_start: usize,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks lengths, so that no accessor panics; does not look at what the fields mean.
    pub fn new_checked(buffer: T) -> Result<Packet<T>, WireError> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(WireError::ShortHeader);
        }
        if bytes[field::VERSION] != VERSION {
            return Err(WireError::Version);
        }
        let mut packet = Packet {
            buffer,
            payload_start: HEADER_LEN,
        };
        if packet.raw_flags() & FLAG_VARIABLE != 0 {
            let behind = &packet.buffer.as_ref()[HEADER_LEN..];
            packet.payload_start += variable_len(behind, packet.order())?;
        }
        let bytes = packet.buffer.as_ref();
        if bytes.len() - packet.payload_start < packet.length() as usize {
            return Err(WireError::ShortPayload);
        }
        match packet.offset().checked_add(packet.length()) {
            Some(end) if end <= packet.total() => Ok(packet),
            _ => Err(WireError::Bounds),
        }
    }

    /// The parameters behind the header.
    pub fn parameters(&self) -> Parameters<'_> {
        let part = &self.buffer.as_ref()[HEADER_LEN..self.payload_start];
        Parameters(part.get(4..).unwrap_or_default())
    }

    /// The type, raw, so that nonsense can still be printed.
    pub fn kind(&self) -> u8 {
        self.buffer.as_ref()[field::KIND]
    }

    /// All flag bits.
    pub fn raw_flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// The order of the integers in this header.
    pub fn order(&self) -> Order {
        if self.raw_flags() & FLAG_BIG_ENDIAN != 0 {
            Order::Big
        } else {
            Order::Little
        }
    }

    /// The weight gathered so far.
    pub fn actual(&self) -> u16 {
        self.u16(field::ACTUAL)
    }

    /// The weight at which the packet dies.
    pub fn maximum(&self) -> u16 {
        self.u16(field::MAXIMUM)
    }

    /// Whom it is for.
    pub fn destination(&self) -> FlipAddress {
        FlipAddress::new(array(&self.buffer.as_ref()[field::DESTINATION]))
    }

    /// Whom it is from.
    pub fn source(&self) -> FlipAddress {
        FlipAddress::new(array(&self.buffer.as_ref()[field::SOURCE]))
    }

    /// The number of the message, per source.
    pub fn message(&self) -> u32 {
        self.u32(field::MESSAGE)
    }

    /// Bytes of payload in this fragment.
    pub fn length(&self) -> u32 {
        self.u32(field::LENGTH)
    }

    /// Where the fragment starts in its message.
    pub fn offset(&self) -> u32 {
        self.u32(field::OFFSET)
    }

    /// Bytes in the whole message.
    pub fn total(&self) -> u32 {
        self.u32(field::TOTAL)
    }

    /// The payload; padding of the link is cut off.
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[self.payload_start..self.payload_start + self.length() as usize]
    }

    fn u16(&self, range: std::ops::Range<usize>) -> u16 {
        self.order().u16(array(&self.buffer.as_ref()[range]))
    }

    fn u32(&self, range: std::ops::Range<usize>) -> u32 {
        self.order().u32(array(&self.buffer.as_ref()[range]))
    }
}

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes
        .try_into()
        .expect("the field ranges have the sizes of their types")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[0] = 1;
        bytes[1] = 3;
        bytes[2] = flags;
        bytes
    }

    #[test]
    fn link_padding_is_no_payload() {
        let mut bytes = header(0);
        bytes.extend([0xee; 20]);
        assert_eq!(Packet::new_checked(&bytes).unwrap().payload(), b"");
    }

    #[test]
    fn a_length_beyond_the_frame_is_refused() {
        let mut bytes = header(0);
        bytes[28] = 100;
        bytes[36] = 100;
        bytes.extend([0; 50]);
        assert_eq!(
            Packet::new_checked(&bytes).unwrap_err(),
            WireError::ShortPayload
        );
    }

    #[test]
    fn a_fragment_outside_of_its_message_is_refused() {
        let mut bytes = header(0);
        bytes[28] = 4;
        bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes.extend([0; 4]);
        assert_eq!(Packet::new_checked(&bytes).unwrap_err(), WireError::Bounds);
    }

    #[test]
    fn the_variable_part_is_skipped_and_bounded() {
        let with = |count: u32, following: usize| {
            let mut bytes = header(FLAG_VARIABLE);
            bytes[28] = 2;
            bytes[36] = 2;
            bytes.extend(count.to_le_bytes());
            // Parameters of four bytes each.
            bytes.extend([0xaa, 2, 1, 2].iter().cycle().take(following));
            bytes.extend(b"hi");
            bytes
        };
        let packet = Packet::new_checked(with(8, 8)).unwrap();
        assert_eq!(packet.payload(), b"hi");
        assert_eq!(packet.parameters().count(), 2);
        for bad in [with(6, 6), with(4096, 4096), with(u32::MAX, 0), with(64, 8)] {
            assert_eq!(
                Packet::new_checked(bad).unwrap_err(),
                WireError::VariablePart
            );
        }
        assert_eq!(
            Packet::new_checked(header(FLAG_VARIABLE)).unwrap_err(),
            WireError::VariablePart
        );
    }
}
