//! The messages of the protocol as bytes: the 24-byte header, the bodies, one line of text for each.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | kernel id of the client; meaningful in `REQUEST`, `RECEIVED` about one, and `ENQUIRE` |
//! | 8 | 6 | put-port; meaningful in `LOCATE`, `HEREIS` and `REQUEST` |
//! | 14 | 1 | type |
//! | 15 | 1 | flags; bit 0: integers are big endian |
//! | 16 | 4 | transaction number; in `LOCATE` the sender's clock, echoed by `HEREIS` |
//! | 20 | 2 | index of the receiving transaction or server; in `REQUEST` the round trip in ms |
//! | 22 | 2 | index of the sending transaction or server |
//!
//! Behind it `REQUEST` and `REPLY` carry the 32-byte header of `capability` and the user's bytes,
//! `FORWARD` the FLIP address of the other server, the rest nothing. In front of a `LOCATE`, which
//! is a FLIP broadcast, stands the word 1, big endian. We send little endian and read both.
//!
//! Implements: [Amoeba5] §2.2, §2.3.
//! Differs: `ENQUIRE` carries the kernel id; see `docs/differences.md`.

use std::fmt;

use capability::{HEADER_SIZE, Header, HeaderView, Order, Port};
use flip_net::address::FlipAddress;

use crate::id::{KernelId, Tid};

/// Bytes of the RPC header.
pub const RPC_HEADER_SIZE: usize = 24;

/// Bytes in front of the user's data in `REQUEST` and `REPLY`.
pub const DATA_OFFSET: usize = RPC_HEADER_SIZE + HEADER_SIZE;

/// The word in front of every RPC message that is a FLIP broadcast, big endian.
pub const BROADCAST_SELECTOR: u32 = 1;

/// Bytes of the body of `FORWARD`.
const ADDRESS_SIZE: usize = 8;

macro_rules! kinds {
    ($($code:literal $name:ident $text:literal $doc:literal),* $(,)?) => {
        /// What a message is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = $doc] $name = $code,)*
        }

        impl Kind {
            /// Every kind, by code.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// The name that traces use.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }

            /// The kind with this code.
            pub const fn from_code(code: u8) -> Option<Kind> {
                match code { $($code => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    1 Locate "LOCATE" "Client to everybody: who serves this port?",
    2 HereIs "HEREIS" "Server to client: I do.",
    3 Request "REQUEST" "Client to server: execute this.",
    4 Reply "REPLY" "Server to client: it was executed, this is the result.",
    5 Ack "ACK" "I have it: the reply, or a request that is being executed.",
    6 Nak "NAK" "Server: this request will never be executed here. Client: the reply did not come.",
    7 Enquire "ENQUIRE" "Client to server: are you still at it?",
    8 Alive "ALIVE" "Server to client: yes.",
    9 Received "RECEIVED" "Did you get my request, or my reply?",
    10 Forward "FORWARD" "Server to client: not executed here, ask that one.",
    11 Fail "FAIL" "Server to client: that request came here, and nobody knows its result.",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The flags of the header, the byte order apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// A request or reply that may have been sent before.
    pub retrans: bool,
    /// In `RECEIVED`: the question is about a request.
    pub request: bool,
    /// In `RECEIVED`: the question is about a reply.
    pub reply: bool,
    /// In `ENQUIRE`: the client wants to end.
    pub signal: bool,
}

mod bit {
    pub(super) const BIG_ENDIAN: u8 = 0x01;
    pub(super) const RETRANS: u8 = 0x02;
    pub(super) const REQUEST: u8 = 0x04;
    pub(super) const REPLY: u8 = 0x08;
    pub(super) const SIGNAL: u8 = 0x10;
    pub(super) const KNOWN: u8 = 0x1f;
}

impl Flags {
    /// No flag at all.
    pub const NONE: Flags = Flags {
        retrans: false,
        request: false,
        reply: false,
        signal: false,
    };
    /// A copy of what may have been sent before.
    pub const RETRANS: Flags = Flags {
        retrans: true,
        ..Flags::NONE
    };
    /// A question about a request.
    pub const REQUEST: Flags = Flags {
        request: true,
        ..Flags::NONE
    };
    /// A question about a reply.
    pub const REPLY: Flags = Flags {
        reply: true,
        ..Flags::NONE
    };

    fn from_bits(bits: u8) -> Flags {
        Flags {
            retrans: bits & bit::RETRANS != 0,
            request: bits & bit::REQUEST != 0,
            reply: bits & bit::REPLY != 0,
            signal: bits & bit::SIGNAL != 0,
        }
    }

    fn bits(self) -> u8 {
        let set = |on: bool, bit: u8| if on { bit } else { 0 };
        set(self.retrans, bit::RETRANS)
            | set(self.request, bit::REQUEST)
            | set(self.reply, bit::REPLY)
            | set(self.signal, bit::SIGNAL)
    }
}

/// Why bytes are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than its kind needs.
    #[error("{found} bytes where at least {expected} were expected")]
    Short {
        /// Bytes there were.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// A type code that nobody assigned.
    #[error("unknown type {0}")]
    Kind(u8),
    /// A flag that nobody assigned.
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
}

/// A message as it lies in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The message in `bytes`; after this no accessor panics.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Kind`] and [`WireError::Flags`].
    pub fn new_checked(bytes: &'a [u8]) -> Result<Packet<'a>, WireError> {
        let found = bytes.len();
        let check = |expected| match found < expected {
            true => Err(WireError::Short { found, expected }),
            false => Ok(()),
        };
        check(RPC_HEADER_SIZE)?;
        let packet = Packet { bytes };
        if bytes[15] & !bit::KNOWN != 0 {
            return Err(WireError::Flags(bytes[15]));
        }
        match Kind::from_code(packet.code()) {
            None => return Err(WireError::Kind(packet.code())),
            Some(Kind::Request | Kind::Reply) => check(DATA_OFFSET)?,
            Some(Kind::Forward) => check(RPC_HEADER_SIZE + ADDRESS_SIZE)?,
            Some(_) => {}
        }
        Ok(packet)
    }

    /// The byte order of the integers, here and in the header behind.
    pub fn order(&self) -> Order {
        match self.bytes[15] & bit::BIG_ENDIAN {
            0 => Order::Little,
            _ => Order::Big,
        }
    }

    /// The type code, raw, so that nonsense can still be logged.
    pub fn code(&self) -> u8 {
        self.bytes[14]
    }

    /// The 32-byte header of a `REQUEST` or `REPLY`.
    pub fn header(&self) -> Option<Header> {
        let body = &self.bytes[RPC_HEADER_SIZE..];
        let view = HeaderView::new_checked(body, self.order()).ok()?;
        Some(Header::parse(&view))
    }

    /// The address in a `FORWARD`.
    pub fn address(&self) -> Option<FlipAddress> {
        let bytes = self.bytes[RPC_HEADER_SIZE..].first_chunk()?;
        Some(FlipAddress::new(*bytes))
    }

    fn chunk<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut chunk = [0; N];
        chunk.copy_from_slice(&self.bytes[at..at + N]);
        chunk
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// What the message is.
    pub kind: Kind,
    /// The flags that go with it.
    pub flags: Flags,
    /// The client's kernel; null where nobody looks at it.
    pub kid: KernelId,
    /// The put-port; null where nobody looks at it.
    pub port: Port,
    /// Which transaction.
    pub tid: Tid,
    /// The index at the receiver; in `REQUEST` the client's round trip in milliseconds.
    pub dest: u16,
    /// The index at the sender.
    pub from: u16,
}

impl Repr {
    /// A header that says only what every message says.
    pub const fn new(kind: Kind, tid: Tid, from: u16, dest: u16) -> Repr {
        Repr {
            kind,
            flags: Flags::NONE,
            kid: KernelId::NULL,
            port: Port::NULL,
            tid,
            dest,
            from,
        }
    }

    /// The header of a message.
    pub fn parse(packet: &Packet<'_>) -> Repr {
        let order = packet.order();
        Repr {
            kind: Kind::from_code(packet.code()).expect("the packet was checked"),
            flags: Flags::from_bits(packet.bytes[15]),
            kid: KernelId::new(packet.chunk(0)),
            port: Port::new(packet.chunk(8)),
            tid: Tid::new(order.u32(packet.chunk(16))),
            dest: order.u16(packet.chunk(20)),
            from: order.u16(packet.chunk(22)),
        }
    }

    /// The 24 bytes, integers in `order`.
    pub fn emit(&self, order: Order) -> [u8; RPC_HEADER_SIZE] {
        let mut bytes = [0; RPC_HEADER_SIZE];
        bytes[0..8].copy_from_slice(&self.kid.bytes());
        bytes[8..14].copy_from_slice(&self.port.bytes());
        bytes[14] = self.kind as u8;
        let order_bit = match order {
            Order::Little => 0,
            Order::Big => bit::BIG_ENDIAN,
        };
        bytes[15] = self.flags.bits() | order_bit;
        bytes[16..20].copy_from_slice(&order.put_u32(self.tid.value()));
        bytes[20..22].copy_from_slice(&order.put_u16(self.dest));
        bytes[22..24].copy_from_slice(&order.put_u16(self.from));
        bytes
    }
}

/// One line for a message; never fails, whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Pretty<'a>(pub &'a [u8]);

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selector = BROADCAST_SELECTOR.to_be_bytes();
        let bytes = self.0.strip_prefix(&selector).unwrap_or(self.0);
        let packet = match Packet::new_checked(bytes) {
            Ok(packet) => packet,
            Err(error) => return write!(f, "? {error}"),
        };
        let repr = Repr::parse(&packet);
        write_repr(f, &repr)?;
        match repr.kind {
            Kind::Request | Kind::Reply => {
                f.write_str(" ")?;
                write_data(f, &bytes[DATA_OFFSET..])
            }
            Kind::Forward => match packet.address() {
                Some(address) => write!(f, " to {address}"),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn write_repr(f: &mut fmt::Formatter<'_>, repr: &Repr) -> fmt::Result {
    let Repr {
        kind, flags, tid, ..
    } = repr;
    write!(f, "{kind}")?;
    for (on, name) in [
        (flags.retrans, "RETRANS"),
        (flags.request, "request"),
        (flags.reply, "reply"),
        (flags.signal, "SIGTRANS"),
    ] {
        if on {
            write!(f, " {name}")?;
        }
    }
    match kind {
        Kind::Locate => write!(f, " {}", repr.port),
        Kind::HereIs => write!(f, " {} t{}", repr.port, repr.from),
        Kind::Request => write!(f, " {tid} c{} rtt {}", repr.from, repr.dest),
        _ => write!(f, " {tid} {}->{}", repr.from, repr.dest),
    }
}

/// Short printable data as text, anything else by its size.
pub(crate) fn write_data(f: &mut fmt::Formatter<'_>, data: &[u8]) -> fmt::Result {
    const TEXT_LEN_MAX: usize = 16;
    match std::str::from_utf8(data) {
        Ok(text) if data.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control) => {
            write!(f, "{text:?}")
        }
        _ => write!(f, "{} B", data.len()),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
