//! A FLIP packet as a value: one of seven kinds with fields that make sense together.
//!
//! Implements: [Thesis §2.4.1], Fig. 2.6; facts sheet 1.2.
//! Differs: AGAIN, type 7, is ours; boxes that do not know it drop it, and nothing depends on it.

use super::flow::{FLOW_HEADER_LEN, Flow};
use super::packet::{
    FLAG_SECURITY, FLAG_UNREACHABLE, FLAG_UNSAFE, HEADER_LEN, Packet, VERSION, field,
};
use super::{Order, WireError};
use crate::address::FlipAddress;

/// The types of packets: the six of the thesis, and one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where is the destination?
    Locate,
    /// The destination of the LOCATE can be reached through the sender of this.
    HereIs {
        /// Endpoints behind the one who answers.
        count: u16,
        /// How many of them can be reached over trusted networks.
        trusted: u16,
    },
    /// A fragment for one endpoint.
    UniData,
    /// A fragment for all endpoints with the address, or for everybody.
    MultiData,
    /// UNIDATA on its way back: the destination is not to be found.
    NotHere,
    /// UNIDATA on its way back: no trusted route.
    Untrusted,
    /// Not in the thesis: parts of a long message did not arrive, the destination may send them
    /// again. The body is a list of pairs of 32-bit integers, always in little endian: where a
    /// missing part starts and where it ends.
    Again,
}

impl Kind {
    /// Every type, in the order of the numbers; HEREIS with any counters stands for all.
    pub const ALL: &[Kind] = &[
        Kind::Locate,
        Kind::HereIs {
            count: 1,
            trusted: 0,
        },
        Kind::UniData,
        Kind::MultiData,
        Kind::NotHere,
        Kind::Untrusted,
        Kind::Again,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Kind::Locate => 1,
            Kind::HereIs { .. } => 2,
            Kind::UniData => 3,
            Kind::MultiData => 4,
            Kind::NotHere => 5,
            Kind::Untrusted => 6,
            Kind::Again => 7,
        }
    }

    /// The name in traces.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Locate => "LOCATE",
            Kind::HereIs { .. } => "HEREIS",
            Kind::UniData => "UNIDATA",
            Kind::MultiData => "MULTIDATA",
            Kind::NotHere => "NOTHERE",
            Kind::Untrusted => "UNTRUSTED",
            Kind::Again => "AGAIN",
        }
    }
}

/// The flags that mean something above the byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The sender wants trusted networks only.
    pub security: bool,
    /// No trusted network was there.
    pub unreachable: bool,
    /// The packet crossed an untrusted network.
    pub tainted: bool,
}

/// One packet, payload not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// What it is.
    pub kind: Kind,
    /// Its flags.
    pub flags: Flags,
    /// The weight gathered so far.
    pub actual: u16,
    /// The weight at which it dies.
    pub maximum: u16,
    /// Whom it is for; of an answer: whom the question was about.
    pub destination: FlipAddress,
    /// Whom it is from; of an answer: who asked.
    pub source: FlipAddress,
    /// The number of the message, per source.
    pub message: u32,
    /// Where the fragment starts in its message.
    pub offset: u32,
    /// Bytes in the whole message.
    pub total: u32,
}

impl Repr {
    /// The meaning of a packet.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Repr, WireError> {
        let kind = match packet.kind() {
            1 => Kind::Locate,
            2 => parse_counters(packet)?,
            3 => Kind::UniData,
            4 => Kind::MultiData,
            5 => Kind::NotHere,
            6 => Kind::Untrusted,
            7 => Kind::Again,
            _ => return Err(WireError::UnknownKind),
        };
        let flags = packet.raw_flags();
        Ok(Repr {
            kind,
            flags: Flags {
                security: flags & FLAG_SECURITY != 0,
                unreachable: flags & FLAG_UNREACHABLE != 0,
                tainted: flags & FLAG_UNSAFE != 0,
            },
            actual: packet.actual(),
            maximum: packet.maximum(),
            destination: packet.destination(),
            source: packet.source(),
            message: packet.message(),
            offset: packet.offset(),
            total: packet.total(),
        })
    }

    /// The whole packet in little endian: header, and `payload` or the counters of a HEREIS.
    ///
    /// # Panics
    /// If the payload does not lie inside of the message.
    pub fn emit(&self, payload: &[u8]) -> Vec<u8> {
        self.emit_behind(None, payload)
    }

    /// The same, behind a flow-control header if it says how many credits ride along.
    ///
    /// # Panics
    /// If the payload does not lie inside of the message.
    pub fn emit_behind(&self, credits: Option<u8>, payload: &[u8]) -> Vec<u8> {
        self.emit_ahead(credits, payload, 0)
    }

    /// The same but for the last `rest` bytes of the payload, which follow elsewhere.
    ///
    /// # Panics
    /// If the payload does not lie inside of the message.
    pub(crate) fn emit_ahead(&self, credits: Option<u8>, payload: &[u8], rest: usize) -> Vec<u8> {
        let counters;
        let (payload, total) = match self.kind {
            Kind::HereIs { count, trusted } => {
                let [a, b] = count.to_le_bytes();
                let [c, d] = trusted.to_le_bytes();
                counters = [a, b, c, d];
                (&counters[..], 4)
            }
            _ => (payload, self.total),
        };
        let len = payload.len() + rest;
        assert!(
            self.offset as usize + len <= total as usize,
            "a fragment lies inside of its message"
        );
        let mut frame = Vec::with_capacity(FLOW_HEADER_LEN + HEADER_LEN + payload.len());
        if let Some(credits) = credits {
            frame.extend([Flow::Data { credits }.number(), credits]);
        }
        let header_start = frame.len();
        frame.resize(header_start + HEADER_LEN, 0);
        let bytes = &mut frame[header_start..];
        bytes[field::VERSION] = VERSION;
        bytes[field::KIND] = self.kind.number();
        bytes[field::FLAGS] = self.flag_bits();
        bytes[field::ACTUAL].copy_from_slice(&self.actual.to_le_bytes());
        bytes[field::MAXIMUM].copy_from_slice(&self.maximum.to_le_bytes());
        bytes[field::DESTINATION].copy_from_slice(&self.destination.bytes());
        bytes[field::SOURCE].copy_from_slice(&self.source.bytes());
        bytes[field::MESSAGE].copy_from_slice(&self.message.to_le_bytes());
        bytes[field::LENGTH].copy_from_slice(&(len as u32).to_le_bytes());
        bytes[field::OFFSET].copy_from_slice(&self.offset.to_le_bytes());
        bytes[field::TOTAL].copy_from_slice(&total.to_le_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    fn flag_bits(&self) -> u8 {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        bit(self.flags.security, FLAG_SECURITY)
            | bit(self.flags.unreachable, FLAG_UNREACHABLE)
            | bit(self.flags.tainted, FLAG_UNSAFE)
    }
}

fn parse_counters<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Kind, WireError> {
    let &[a, b, c, d] = packet.payload() else {
        return Err(WireError::Counters);
    };
    let order: Order = packet.order();
    let (count, trusted) = (order.u16([a, b]), order.u16([c, d]));
    if count >= 1 && trusted <= count && packet.total() == 4 {
        Ok(Kind::HereIs { count, trusted })
    } else {
        Err(WireError::Counters)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::FLAG_BIG_ENDIAN;
    use super::*;
    use crate::rng::Rng;

    const D: FlipAddress = FlipAddress::new([0xd, 0, 0, 0, 0, 0, 1, 0]);
    const S: FlipAddress = FlipAddress::new([0x5, 0, 0, 0, 0, 0, 2, 0]);

    fn repr(kind: Kind) -> Repr {
        Repr {
            kind,
            flags: Flags::default(),
            actual: 3,
            maximum: 3,
            destination: D,
            source: S,
            message: 0x0102_0304,
            offset: 0,
            total: 0,
        }
    }

    /// The same packet with its integers turned around.
    fn big_endian(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[field::FLAGS] |= FLAG_BIG_ENDIAN;
        for range in [field::ACTUAL, field::MAXIMUM] {
            bytes[range].reverse();
        }
        for range in [field::MESSAGE, field::LENGTH, field::OFFSET, field::TOTAL] {
            bytes[range].reverse();
        }
        if bytes[field::KIND] == 2 {
            bytes[40..42].reverse();
            bytes[42..44].reverse();
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Repr, WireError> {
        Repr::parse(&Packet::new_checked(bytes)?)
    }

    fn check_golden(repr: Repr, payload: &[u8], expected: &str) {
        let bytes = repr.emit(payload);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected.replace([' ', '\n'], ""));
        assert_eq!(parse(&bytes).unwrap(), repr);
        assert_eq!(parse(&big_endian(bytes)).unwrap(), repr);
    }

    #[test]
    fn locate_has_its_golden_bytes_in_both_orders() {
        // Scenario 1 and 2.
        check_golden(
            repr(Kind::Locate),
            b"",
            "01 01 00 00 03 00 03 00 0d00000000000100 0500000000000200
             04 03 02 01 00 00 00 00 00 00 00 00 00 00 00 00",
        );
    }

    #[test]
    fn here_is_has_its_golden_bytes_in_both_orders() {
        // Scenario 3.
        check_golden(
            Repr {
                total: 4,
                ..repr(Kind::HereIs {
                    count: 3,
                    trusted: 2,
                })
            },
            b"",
            "01 02 00 00 03 00 03 00 0d00000000000100 0500000000000200
             04 03 02 01 04 00 00 00 00 00 00 00 04 00 00 00 03 00 02 00",
        );
    }

    #[test]
    fn data_and_answers_have_their_golden_bytes_in_both_orders() {
        let fragment = |kind| Repr {
            offset: 2,
            total: 6,
            ..repr(kind)
        };
        let tail = "03 00 03 00 0d00000000000100 0500000000000200
             04 03 02 01 04 00 00 00 02 00 00 00 06 00 00 00 61 62 63 64";
        let kinds = [
            (Kind::UniData, 3),
            (Kind::MultiData, 4),
            (Kind::NotHere, 5),
            (Kind::Again, 7),
        ];
        for (kind, number) in kinds {
            check_golden(fragment(kind), b"abcd", &format!("010{number}0000{tail}"));
        }
        let flags = Flags {
            security: true,
            unreachable: true,
            tainted: true,
        };
        let untrusted = Repr {
            flags,
            ..fragment(Kind::Untrusted)
        };
        check_golden(untrusted, b"abcd", &format!("01063400{tail}"));
    }

    #[test]
    fn silly_counters_are_refused() {
        // Scenario 30.
        for (count, trusted) in [(0, 0), (1, 2)] {
            let bytes = Repr {
                total: 4,
                ..repr(Kind::HereIs { count, trusted })
            }
            .emit(b"");
            assert_eq!(parse(&bytes), Err(WireError::Counters));
        }
        let mut bytes = repr(Kind::Locate).emit(b"");
        bytes[field::KIND] = 2;
        assert_eq!(parse(&bytes), Err(WireError::Counters));
    }

    #[test]
    fn unknown_types_are_refused() {
        // Scenario 6.
        let mut bytes = repr(Kind::Locate).emit(b"");
        bytes[field::KIND] = 9;
        assert_eq!(parse(&bytes), Err(WireError::UnknownKind));
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let mut rng = Rng::new(7);
        for _ in 0..20_000 {
            let mut bytes = vec![0; rng.below(80) as usize];
            rng.fill(&mut bytes);
            if let Some(version) = bytes.first_mut() {
                *version = 1;
            }
            // Small integers, so that some packets pass the bounds.
            for range in [field::LENGTH, field::OFFSET, field::TOTAL] {
                if bytes.len() >= HEADER_LEN && rng.chance(9, 10) {
                    bytes[range].copy_from_slice(&(rng.below(20) as u32).to_le_bytes());
                }
            }
            if let Ok(repr) = parse(&bytes) {
                let packet = Packet::new_checked(&bytes).unwrap();
                let again = parse(&repr.emit(packet.payload())).unwrap();
                assert_eq!(again, repr);
            }
        }
    }
}
