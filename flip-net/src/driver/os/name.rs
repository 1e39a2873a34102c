//! Socket names as the kernel writes them, and what they mean.

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::{SockAddr, SockAddrStorage};

/// Room for a name; the kernel fills it.
#[derive(Clone, Copy)]
pub(in crate::driver) struct Name(pub(super) libc::sockaddr_storage);

impl Name {
    pub(in crate::driver) const LEN: usize = mem::size_of::<libc::sockaddr_storage>();

    pub(in crate::driver) fn empty() -> Name {
        // SAFETY: all zero is a valid storage: a name of no family.
        Name(unsafe { mem::zeroed() })
    }

    /// The address of a UDP socket, as [`normalised`] says.
    pub(in crate::driver) fn socket_addr(&self) -> Option<SocketAddr> {
        let storage: *const libc::sockaddr_storage = &self.0;
        let address = match libc::c_int::from(self.0.ss_family) {
            libc::AF_INET => {
                // SAFETY: the storage is larger than every name, and aligned for each; the family
                // says which it is.
                let raw = unsafe { &*storage.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
                SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let raw = unsafe { &*storage.cast::<libc::sockaddr_in6>() };
                SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(raw.sin6_addr.s6_addr),
                    u16::from_be(raw.sin6_port),
                    0,
                    raw.sin6_scope_id,
                ))
            }
            _ => return None,
        };
        Some(normalised(address))
    }
}

/// One form for each address: IPv4 in the clothes of IPv6 is IPv4; flow labels are nothing, and
/// scopes are only something for link-local addresses.
pub(in crate::driver) fn normalised(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = address else {
        return address;
    };
    if let Some(ip) = v6.ip().to_ipv4_mapped() {
        return SocketAddr::V4(SocketAddrV4::new(ip, v6.port()));
    }
    let scope = if v6.ip().is_unicast_link_local() {
        v6.scope_id()
    } else {
        0
    };
    SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope))
}

/// The name to bind a packet socket to: frames of all types on one interface.
pub(in crate::driver) fn all_frames_of(interface: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a packet name is one of the names that the storage is made for.
    let raw = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    raw.sll_family = libc::AF_PACKET as u16;
    raw.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    raw.sll_ifindex = interface as libc::c_int;
    // SAFETY: the storage holds a packet name, and that is its length.
    unsafe { SockAddr::new(storage, mem::size_of::<libc::sockaddr_ll>() as _) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        for (given, wanted) in [
            ("10.0.0.1:5", "10.0.0.1:5"),
            ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"),
            ("[fd00::1%7]:5", "[fd00::1]:5"),
            ("[fe80::1%7]:5", "[fe80::1%7]:5"),
        ] {
            let given: SocketAddr = given.parse().unwrap();
            assert_eq!(normalised(given), wanted.parse().unwrap());
        }
    }
}
