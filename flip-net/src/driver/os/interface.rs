//! The interfaces of the current network namespace: names, numbers, addresses, sizes.
//!
//! Not from /sys: that shows the namespace it was mounted in, which need not be that of the thread.

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Address {
    Ip(IpAddr),
    /// The kind of hardware, and the station if it has six bytes.
    Hardware(u16, Option<[u8; 6]>),
}

/// One address, and the interface that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Entry {
    pub(in crate::driver) name: String,
    pub(in crate::driver) index: u32,
    pub(in crate::driver) address: Address,
}

/// All addresses of all interfaces.
pub(in crate::driver) fn entries() -> io::Result<Vec<Entry>> {
    let mut first = std::ptr::null_mut();
    // SAFETY: the call fills the pointer with a list that `freeifaddrs` ends below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut entries = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: each element of the list is valid until the list is freed.
        let raw = unsafe { &*next };
        // SAFETY: the name is a string with an end, and valid as long as the list.
        let name = unsafe { CStr::from_ptr(raw.ifa_name) };
        // SAFETY: the name has an end; the call only reads it.
        let index = unsafe { libc::if_nametoindex(raw.ifa_name) };
        if let Some(address) = address(raw.ifa_addr)
            && index != 0
        {
            let name = name.to_string_lossy().into_owned();
            entries.push(Entry {
                name,
                index,
                address,
            });
        }
        next = raw.ifa_next;
    }
    // SAFETY: the list came from `getifaddrs`, and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(entries)
}

fn address(raw: *const libc::sockaddr) -> Option<Address> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: not null, so it is a name; every name starts with its family.
    match libc::c_int::from(unsafe { (*raw).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that it is this kind of name.
            let raw = unsafe { raw.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            Some(Address::Ip(IpAddr::V4(ip)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let raw = unsafe { raw.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            Some(Address::Ip(IpAddr::V6(ip)))
        }
        libc::AF_PACKET => {
            // SAFETY: as above.
            let raw = unsafe { raw.cast::<libc::sockaddr_ll>().read_unaligned() };
            let [a, b, c, d, e, f, ..] = raw.sll_addr;
            let station = (raw.sll_halen == 6).then_some([a, b, c, d, e, f]);
            Some(Address::Hardware(raw.sll_hatype, station))
        }
        _ => None,
    }
}

/// The number of the interface that has this address.
pub(in crate::driver) fn index_of(ip: IpAddr) -> io::Result<u32> {
    let found = entries()?
        .into_iter()
        .find(|entry| entry.address == Address::Ip(ip));
    found.map(|entry| entry.index).ok_or_else(|| {
        let text = format!("no interface has the address {ip}");
        io::Error::new(io::ErrorKind::AddrNotAvailable, text)
    })
}

/// The bytes that one frame of this interface carries behind its header.
pub(in crate::driver) fn mtu(name: &str) -> io::Result<usize> {
    // SAFETY: all zero is a valid request: an empty name and no value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // Any socket will do to ask.
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    // SAFETY: the request lives during the call, and its name has an end.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_mtu }.max(0) as usize)
}
