//! Names: FLIP addresses, endpoints, networks and the stations on them.

use std::fmt;

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};

use crate::rng::Rng;

/// A 64-bit network service access point: names a process or a group, not a host.
/// Bytes 0 to 6 are the identifier, byte 7 the address space. [Thesis §2.2]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlipAddress([u8; 8]);

impl FlipAddress {
    /// The null address: everybody, in a broadcast.
    pub const NULL: FlipAddress = FlipAddress([0; 8]);

    /// The address with these bytes, byte 0 first.
    pub const fn new(bytes: [u8; 8]) -> FlipAddress {
        FlipAddress(bytes)
    }

    /// A fresh random address in space 0; never null.
    pub fn random(rng: &mut Rng) -> FlipAddress {
        loop {
            let mut bytes = rng.next_u64().to_be_bytes();
            bytes[7] = 0;
            if bytes != [0; 8] {
                return FlipAddress(bytes);
            }
        }
    }

    /// The bytes, byte 0 first.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// The public address that belongs to this private one: what others send to. Who knows only
    /// the public address cannot register it. [Thesis §2.3]
    ///
    /// DES of a zero block under the private address as key, bits numbered from the least
    /// significant one of each byte; byte 7, the space, stays as it is. Null stays null.
    pub fn one_way(self) -> FlipAddress {
        if self.0[..7] == [0; 7] {
            return self;
        }
        let mut public = encrypt_zero_block(self.0);
        public[7] = 0;
        if public == [0; 8] {
            public = encrypt_zero_block(public);
        }
        public[7] = self.0[7];
        FlipAddress(public)
    }

    /// The data-link multicast address that stands for this address: `55:55` and bytes 2 to 5.
    pub fn link_multicast(self) -> u64 {
        let [_, _, a, b, c, d, _, _] = self.0;
        u64::from_be_bytes([0, 0, 0x55, 0x55, a, b, c, d])
    }

    /// Whether this is the null address.
    pub fn is_null(self) -> bool {
        self == FlipAddress::NULL
    }
}

impl fmt::Display for FlipAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FlipAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// DES with the Amoeba numbering of bits, which reverses each byte of standard DES.
fn encrypt_zero_block(key: [u8; 8]) -> [u8; 8] {
    let cipher = Des::new(&key.map(u8::reverse_bits).into());
    let mut block = [0; 8].into();
    cipher.encrypt_block(&mut block);
    let block: [u8; 8] = block.into();
    block.map(u8::reverse_bits)
}

/// One user of a box: the owner of endpoints. [Thesis §2.3], the entity that calls init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u32);

/// One registration of an address at a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// One of the networks of a box, numbered in the order of attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u8);

/// A station on one network, in whatever form that network names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkAddress {
    /// Every station on the network but the sender.
    Broadcast,
    /// The stations that listen to a data-link multicast address.
    Multicast(u64),
    /// One station; the network's driver knows what the number means.
    Station(u64),
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkAddress::Broadcast => f.write_str("*"),
            LinkAddress::Multicast(group) => write!(f, "m{group:x}"),
            LinkAddress::Station(station) => write!(f, "s{station:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(hex: &str) -> FlipAddress {
        FlipAddress::new(u64::from_str_radix(hex, 16).unwrap().to_be_bytes())
    }

    #[test]
    fn the_one_way_function_has_its_known_answers() {
        // Scenario 7 and 8.
        for (private, public) in [
            ("0000000000000000", "0000000000000000"),
            ("0000000000000005", "0000000000000005"),
            ("0100000000000000", "a915eb14c85b9500"),
            ("0102030405060700", "d70d52d1b9d01900"),
            ("0102030405060709", "a99fe083d93f7309"),
            ("133457799bbcdff1", "297c96d8f6b36ff1"),
            ("deadbeef12345600", "436104d6abd0c900"),
            ("8000000000000000", "3165b297838dc400"),
            ("ffffffffffffff00", "5266800e5128b100"),
        ] {
            assert_eq!(parse(private).one_way(), parse(public), "{private}");
        }
    }

    #[test]
    fn the_top_bit_of_a_byte_does_not_count() {
        // Scenario 9.
        let one = parse("0102030405060700").one_way();
        assert_eq!(parse("0102038405060700").one_way(), one);
    }
}
