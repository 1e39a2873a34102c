//! The 32-byte header in front of the user's data, as a view and as a value.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 6 | port |
//! | 6 | 6 | signature |
//! | 12 | 10 | private part: object 3 (little endian), rights 1, check 6 |
//! | 22 | 2 | command, or status in a reply |
//! | 24 | 4 | offset |
//! | 28 | 2 | size |
//! | 30 | 2 | extra |
//!
//! The four integers at the end are in the order that the protocol header in front announces; the
//! rest are byte strings.
//!
//! Implements: [Thesis §3.3]; [Amoeba5] §2.3.

use crate::port::{PORT_SIZE, Port};

/// Bytes of the header.
pub const HEADER_SIZE: usize = 32;

/// The byte order that a protocol header announces for the integers behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Least significant byte first: what we send.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    /// Reads a 16-bit integer.
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Reads a 32-bit integer.
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Writes a 16-bit integer.
    pub fn put_u16(self, value: u16) -> [u8; 2] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    /// Writes a 32-bit integer.
    pub fn put_u32(self, value: u32) -> [u8; 4] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }
}

mod field {
    use std::ops::Range;

    pub(super) const PORT: Range<usize> = 0..6;
    pub(super) const SIGNATURE: Range<usize> = 6..12;
    pub(super) const PRIVATE: Range<usize> = 12..22;
    pub(super) const COMMAND: Range<usize> = 22..24;
    pub(super) const OFFSET: Range<usize> = 24..28;
    pub(super) const SIZE: Range<usize> = 28..30;
    pub(super) const EXTRA: Range<usize> = 30..32;
}

/// The buffer is shorter than a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} bytes where a header of {HEADER_SIZE} was expected")]
pub struct ShortHeader {
    /// How many bytes there were.
    pub found: usize,
}

/// A header as it lies in a buffer: knows where the fields are, interprets nothing.
#[derive(Clone, Copy, Debug)]
pub struct HeaderView<'a> {
    bytes: &'a [u8; HEADER_SIZE],
    order: Order,
}

impl<'a> HeaderView<'a> {
    /// The header at the start of `bytes`, its integers in `order`.
    ///
    /// # Errors
    /// [`ShortHeader`] if there are fewer than 32 bytes.
    pub fn new_checked(bytes: &'a [u8], order: Order) -> Result<HeaderView<'a>, ShortHeader> {
        match bytes.first_chunk() {
            Some(bytes) => Ok(HeaderView { bytes, order }),
            None => Err(ShortHeader { found: bytes.len() }),
        }
    }

    fn chunk<const N: usize>(&self, range: std::ops::Range<usize>) -> [u8; N] {
        let mut chunk = [0; N];
        chunk.copy_from_slice(&self.bytes[range]);
        chunk
    }

    /// Whom the message is for.
    pub fn port(&self) -> Port {
        Port::new(self.chunk(field::PORT))
    }

    /// The sender's signature; no protocol interprets it.
    pub fn signature(&self) -> [u8; PORT_SIZE] {
        self.chunk(field::SIGNATURE)
    }

    /// Object, rights and check field of the capability used.
    pub fn private(&self) -> [u8; 10] {
        self.chunk(field::PRIVATE)
    }

    /// Command of a request, status of a reply.
    pub fn command(&self) -> u16 {
        self.order.u16(self.chunk(field::COMMAND))
    }

    /// Free for the user, by habit an offset in a file.
    pub fn offset(&self) -> i32 {
        self.order.u32(self.chunk(field::OFFSET)).cast_signed()
    }

    /// Free for the user, by habit the size of the data.
    pub fn size(&self) -> u16 {
        self.order.u16(self.chunk(field::SIZE))
    }

    /// Free for the user.
    pub fn extra(&self) -> u16 {
        self.order.u16(self.chunk(field::EXTRA))
    }
}

/// A header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whom the message is for.
    pub port: Port,
    /// The sender's signature.
    pub signature: [u8; PORT_SIZE],
    /// Object, rights and check field.
    pub private: [u8; 10],
    /// Command or status.
    pub command: u16,
    /// Free for the user.
    pub offset: i32,
    /// Free for the user.
    pub size: u16,
    /// Free for the user.
    pub extra: u16,
}

impl Header {
    /// A header that names `port` and is zero elsewhere.
    pub const fn to(port: Port) -> Header {
        Header {
            port,
            signature: [0; PORT_SIZE],
            private: [0; 10],
            command: 0,
            offset: 0,
            size: 0,
            extra: 0,
        }
    }

    /// The value of a view.
    pub fn parse(view: &HeaderView<'_>) -> Header {
        Header {
            port: view.port(),
            signature: view.signature(),
            private: view.private(),
            command: view.command(),
            offset: view.offset(),
            size: view.size(),
            extra: view.extra(),
        }
    }

    /// The 32 bytes, integers in `order`.
    pub fn emit(&self, order: Order) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[field::PORT].copy_from_slice(&self.port.bytes());
        bytes[field::SIGNATURE].copy_from_slice(&self.signature);
        bytes[field::PRIVATE].copy_from_slice(&self.private);
        bytes[field::COMMAND].copy_from_slice(&order.put_u16(self.command));
        bytes[field::OFFSET].copy_from_slice(&order.put_u32(self.offset.cast_unsigned()));
        bytes[field::SIZE].copy_from_slice(&order.put_u16(self.size));
        bytes[field::EXTRA].copy_from_slice(&order.put_u16(self.extra));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: [u8; HEADER_SIZE] = [
        1, 2, 3, 4, 5, 6, // port
        7, 8, 9, 10, 11, 12, // signature
        0x56, 0x34, 0x12, 0xff, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, // private part
        0x34, 0x12, // command
        0xfe, 0xff, 0xff, 0xff, // offset
        0x88, 0x77, // size
        0xbb, 0xaa, // extra
    ];
    const BIG: [u8; HEADER_SIZE] = [
        1, 2, 3, 4, 5, 6, // port
        7, 8, 9, 10, 11, 12, // signature
        0x56, 0x34, 0x12, 0xff, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, // private part
        0x12, 0x34, // command
        0xff, 0xff, 0xff, 0xfe, // offset
        0x77, 0x88, // size
        0xaa, 0xbb, // extra
    ];

    fn golden() -> Header {
        Header {
            port: Port::new([1, 2, 3, 4, 5, 6]),
            signature: [7, 8, 9, 10, 11, 12],
            private: [0x56, 0x34, 0x12, 0xff, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5],
            command: 0x1234,
            offset: -2,
            size: 0x7788,
            extra: 0xaabb,
        }
    }

    #[test]
    fn the_golden_header_is_written_in_both_orders() {
        assert_eq!(golden().emit(Order::Little), LITTLE);
        assert_eq!(golden().emit(Order::Big), BIG);
    }

    #[test]
    fn the_golden_header_is_read_in_both_orders() {
        for (bytes, order) in [(LITTLE, Order::Little), (BIG, Order::Big)] {
            let view = HeaderView::new_checked(&bytes, order).expect("32 bytes");
            assert_eq!(Header::parse(&view), golden());
        }
    }

    #[test]
    fn a_short_buffer_is_refused() {
        let short = HeaderView::new_checked(&LITTLE[..31], Order::Little);
        assert_eq!(short.err(), Some(ShortHeader { found: 31 }));
    }
}
