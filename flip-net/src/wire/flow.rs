//! The flow-control header: two bytes in front of FLIP on networks whose link asks for it.
//!
//! ```text
//!  0  u8   type
//!  1  u8   credits, where the type has some; else 0
//!
//!  0  DATA               a FLIP packet; credits ride along
//!  1  REQUEST            who may I send to you?
//!  2  CREDIT             so many more
//!  3  MULTICAST REQUEST  link address (8), FLIP address (8): please hear it
//!  4  MULTICAST ACK      FLIP address (8): heard from now on
//!  5  MULTICAST NAK      FLIP address (8): cannot be heard here
//!  6  ABSOLUTE           so many in all
//! ```
//! A link address is the six bytes of Ethernet and two zero bytes. The header knows no byte order.
//!
//! Implements: facts sheet 1.1 and 1.7.
//! Differs: types 7 and 8, experiments of Amoeba, are unknown types here.

use super::WireError;
use crate::address::FlipAddress;

/// Bytes of the header.
pub const FLOW_HEADER_LEN: usize = 2;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A FLIP packet follows.
    Data {
        /// Credits that the sender gives back along the way.
        credits: u8,
    },
    /// The sender has fragments waiting and no credit.
    Request,
    /// More credits.
    Credit(u8),
    /// Hear a data-link multicast address, for the sake of a FLIP address.
    MulticastRequest {
        /// The data-link address, as in [`LinkAddress::Multicast`](crate::address::LinkAddress).
        group: u64,
        /// The FLIP address.
        address: FlipAddress,
    },
    /// The data-link multicast address of this FLIP address is heard.
    MulticastAck(FlipAddress),
    /// It cannot be heard.
    MulticastNak(FlipAddress),
    /// The credits in all: what was known before does not count.
    Absolute(u8),
}

impl Flow {
    /// How many types there are; their numbers are below it.
    pub const TYPES: usize = 7;

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Flow::Data { .. } => 0,
            Flow::Request => 1,
            Flow::Credit(_) => 2,
            Flow::MulticastRequest { .. } => 3,
            Flow::MulticastAck(_) => 4,
            Flow::MulticastNak(_) => 5,
            Flow::Absolute(_) => 6,
        }
    }

    /// The name in traces of the type with this number.
    pub const fn name_of(number: usize) -> &'static str {
        match number {
            0 => "DATA",
            1 => "CREDIT-REQUEST",
            2 => "CREDIT",
            3 => "MULTICAST-REQUEST",
            4 => "MULTICAST-ACK",
            5 => "MULTICAST-NAK",
            6 => "CREDIT-ABSOLUTE",
            _ => "?",
        }
    }

    /// Takes a frame apart: the header, and the packet behind DATA.
    pub fn parse(frame: &[u8]) -> Result<(Flow, &[u8]), WireError> {
        let (&[number, count], body) = frame.split_first_chunk().ok_or(WireError::FlowHeader)?;
        let flow = match number {
            0 => return Ok((Flow::Data { credits: count }, body)),
            1 => Flow::Request,
            2 => Flow::Credit(count),
            3 => {
                let (location, body) = body.split_first_chunk().ok_or(WireError::FlowHeader)?;
                Flow::MulticastRequest {
                    group: parse_location(*location)?,
                    address: parse_address(body)?,
                }
            }
            4 => Flow::MulticastAck(parse_address(body)?),
            5 => Flow::MulticastNak(parse_address(body)?),
            6 => Flow::Absolute(count),
            _ => return Err(WireError::UnknownFlow),
        };
        Ok((flow, &[]))
    }

    /// The bytes of everything but DATA; of DATA the header alone.
    pub fn emit(self) -> Vec<u8> {
        let count = match self {
            Flow::Data { credits } => credits,
            Flow::Credit(credits) | Flow::Absolute(credits) => credits,
            _ => 0,
        };
        let mut bytes = vec![self.number(), count];
        match self {
            Flow::MulticastRequest { group, address } => {
                bytes.extend((group << 16).to_be_bytes());
                bytes.extend(address.bytes());
            }
            Flow::MulticastAck(address) | Flow::MulticastNak(address) => {
                bytes.extend(address.bytes());
            }
            _ => {}
        }
        bytes
    }
}

fn parse_location(bytes: [u8; 8]) -> Result<u64, WireError> {
    match bytes {
        [.., 0, 0] => Ok(u64::from_be_bytes(bytes) >> 16),
        _ => Err(WireError::FlowHeader),
    }
}

fn parse_address(body: &[u8]) -> Result<FlipAddress, WireError> {
    let bytes = body.first_chunk().ok_or(WireError::FlowHeader)?;
    Ok(FlipAddress::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: FlipAddress = FlipAddress::new([1, 2, 0xa2, 0xa3, 0xa4, 0xa5, 7, 0]);

    fn check_golden(flow: Flow, expected: &str) {
        let bytes = flow.emit();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        assert_eq!(Flow::parse(&bytes), Ok((flow, &[][..])));
        // Ethernet pads short frames.
        let padded = [bytes, vec![0; 46]].concat();
        assert_eq!(Flow::parse(&padded).map(|(flow, _)| flow), Ok(flow));
    }

    #[test]
    fn every_type_has_its_golden_bytes() {
        check_golden(Flow::Data { credits: 3 }, "0003");
        check_golden(Flow::Request, "0100");
        check_golden(Flow::Credit(6), "0206");
        let group = D.link_multicast();
        check_golden(
            Flow::MulticastRequest { group, address: D },
            "03005555a2a3a4a500000102a2a3a4a50700",
        );
        check_golden(Flow::MulticastAck(D), "04000102a2a3a4a50700");
        check_golden(Flow::MulticastNak(D), "05000102a2a3a4a50700");
        check_golden(Flow::Absolute(5), "0605");
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_refused() {
        // Scenario 6.
        assert_eq!(Flow::parse(&[9, 0]), Err(WireError::UnknownFlow));
        let whole = Flow::MulticastRequest {
            group: D.link_multicast(),
            address: D,
        }
        .emit();
        for len in (0..whole.len()).filter(|len| *len != 2) {
            assert_eq!(Flow::parse(&whole[..len]), Err(WireError::FlowHeader));
        }
        let mut crooked = whole;
        crooked[9] = 1;
        assert_eq!(Flow::parse(&crooked), Err(WireError::FlowHeader));
    }
}
