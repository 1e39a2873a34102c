//! Names: FLIP addresses, endpoints, networks and the stations on them.

use std::fmt;

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
