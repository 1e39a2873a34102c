//! The Ethernet header: twelve bytes of addresses and two of type, and what an address may be.

use crate::address::LinkAddress;

/// The type of FLIP.
pub(super) const ETHER_TYPE: u16 = 0x8146;
pub(super) const HEADER_LEN: usize = 14;
/// The shortest frame, without the checksum. Shorter ones are filled up with zeros.
pub(super) const FRAME_LEN_MIN: usize = 60;

/// Six bytes that name a station, a group of them, or all.
pub(super) type Address = [u8; 6];

const BROADCAST: Address = [0xff; 6];
/// The bit of byte 0 that tells groups from stations.
const GROUP_BIT: u8 = 1;

mod field {
    use std::ops::Range;

    pub(super) const TO: Range<usize> = 0..6;
    pub(super) const FROM: Range<usize> = 6..12;
    pub(super) const TYPE: Range<usize> = 12..14;
}

/// Whether it names one station.
pub(super) fn is_station(address: Address) -> bool {
    address[0] & GROUP_BIT == 0 && address != [0; 6]
}

/// Whether it names a group that is not everybody.
pub(super) fn is_group(address: Address) -> bool {
    address[0] & GROUP_BIT != 0 && address != BROADCAST
}

/// The number with these six bytes at its end.
pub(super) fn number(address: Address) -> u64 {
    let [a, b, c, d, e, f] = address;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The address that a number stands for, if it stands for one.
pub(super) fn address(number: u64) -> Option<Address> {
    match number.to_be_bytes() {
        [0, 0, a, b, c, d, e, f] => Some([a, b, c, d, e, f]),
        _ => None,
    }
}

/// The address that stands in the header of a frame for `to`.
pub(super) fn destination(to: LinkAddress) -> Option<Address> {
    match to {
        LinkAddress::Broadcast => Some(BROADCAST),
        LinkAddress::Multicast(group) => address(group).filter(|address| is_group(*address)),
        LinkAddress::Station(station) => address(station).filter(|address| is_station(*address)),
    }
}

/// A header.
pub(super) fn emit(to: Address, from: Address) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[field::TO].copy_from_slice(&to);
    header[field::FROM].copy_from_slice(&from);
    header[field::TYPE].copy_from_slice(&ETHER_TYPE.to_be_bytes());
    header
}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    All,
    Group(Address),
    Station(Address),
}

/// A header that was read, and what came behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) to: To,
    pub(super) from: Address,
    pub(super) rest: &'a [u8],
}

/// Reads a frame of our type; None for everything else.
pub(super) fn parse(frame: &[u8]) -> Option<Parsed<'_>> {
    let (header, rest) = frame.split_first_chunk::<HEADER_LEN>()?;
    if header[field::TYPE] != ETHER_TYPE.to_be_bytes() {
        return None;
    }
    let to: Address = header[field::TO].try_into().ok()?;
    Some(Parsed {
        to: match to {
            BROADCAST => To::All,
            group if is_group(group) => To::Group(group),
            station => To::Station(station),
        },
        from: header[field::FROM].try_into().ok()?,
        rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::FlipAddress;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let (a, b) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let bytes = emit(a, b);
        assert_eq!(bytes, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0x46]);
        let (to, from) = (To::Station(a), b);
        let rest = &[][..];
        assert_eq!(parse(&bytes), Some(Parsed { to, from, rest }));
        assert_eq!(parse(&bytes[..13]), None);
        assert_eq!(parse(&[0; 60]), None);
    }

    #[test]
    fn an_address_of_flip_has_its_multicast_address() {
        let group = FlipAddress::new([1, 2, 0xa2, 0xa3, 0xa4, 0xa5, 6, 7]).link_multicast();
        let bytes = [0x55, 0x55, 0xa2, 0xa3, 0xa4, 0xa5];
        assert_eq!(destination(LinkAddress::Multicast(group)), Some(bytes));
        assert_eq!(number(bytes), group);
    }

    #[test]
    fn what_names_nobody_is_no_destination() {
        for to in [
            LinkAddress::Station(0),
            LinkAddress::Station(1 << 40),
            LinkAddress::Station(1 << 48 | 2),
            LinkAddress::Multicast(2),
            LinkAddress::Multicast(0xffff_ffff_ffff),
            LinkAddress::Multicast(1 << 63 | 1 << 40),
        ] {
            assert_eq!(destination(to), None, "{to}");
        }
    }
}
