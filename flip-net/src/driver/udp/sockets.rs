//! Opening the sockets: the own one, and the one of the group. And finding the interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{DATAGRAM_LEN_MAX, UdpConfig, UdpError};
use crate::driver::os::name::normalised;
use crate::driver::os::{interface, option};

const SEND_BUFFER: usize = 4 << 20;

/// The address from which this host sends to `peer`: that of the interface on the route there.
/// No datagram leaves for it.
pub fn source_towards(peer: SocketAddr) -> io::Result<IpAddr> {
    let peer = normalised(peer);
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(normalised(socket.local_addr()?).ip())
}

/// The own socket, and the address it has.
pub(super) fn open_own(config: &UdpConfig) -> Result<(UdpSocket, SocketAddr), UdpError> {
    let (least, most) = (crate::wire::HEADER_LEN + 1, DATAGRAM_LEN_MAX);
    let mtu = config.mtu;
    if !(least..=most).contains(&mtu) {
        return Err(UdpError::Mtu { mtu, least, most });
    }
    let wanted = normalised(SocketAddr::new(config.interface, config.port));
    if wanted.ip().is_unspecified() || wanted.ip().is_multicast() {
        let interface = config.interface;
        return Err(UdpError::NoInterface { interface });
    }
    let wanted = with_scope(wanted);
    let bind = |source| UdpError::Bind {
        address: wanted,
        source,
    };
    let socket = open(wanted, false).map_err(bind)?;
    let own = socket.local_addr().map_err(bind)?;
    Ok((socket, normalised(own)))
}

/// A link-local address is one only together with its interface.
fn with_scope(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(mut v6) if v6.ip().is_unicast_link_local() => {
            // If there is no such interface, binding fails and says so.
            v6.set_scope_id(interface::index_of(address.ip()).unwrap_or(0));
            SocketAddr::V6(v6)
        }
        _ => address,
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_address(true)?;
    }
    option::grow_receive_buffer(&socket);
    // The default also works, only slower.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Lets the kernel put datagrams together that come in a row. One that cannot gives them one by one.
pub(super) fn join_datagrams(socket: &UdpSocket) {
    let _ = option::set(socket, libc::SOL_UDP, libc::UDP_GRO, &1);
}

/// Whether the kernel cuts long messages into datagrams.
pub(super) fn cuts_segments(socket: &UdpSocket) -> bool {
    // Zero is what it is already: nothing is cut unless the message says so.
    option::set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, &0).is_ok()
}

/// Joins the group by the interface of the own address, and lets the own socket send to it.
pub(super) fn open_group(
    socket: &UdpSocket,
    own: SocketAddr,
    group: SocketAddr,
) -> io::Result<(UdpSocket, SocketAddr)> {
    let sender = SockRef::from(socket);
    match (own.ip(), normalised(group)) {
        (IpAddr::V4(interface), group @ SocketAddr::V4(v4)) if v4.ip().is_multicast() => {
            sender.set_multicast_if_v4(&interface)?;
            sender.set_multicast_loop_v4(true)?;
            sender.set_multicast_ttl_v4(1)?;
            let receiver = open(group, true)?;
            receiver.join_multicast_v4(v4.ip(), &interface)?;
            Ok((receiver, group))
        }
        (IpAddr::V6(_), SocketAddr::V6(v6)) if v6.ip().is_multicast() => {
            let index = interface::index_of(own.ip())?;
            sender.set_multicast_if_v6(index)?;
            sender.set_multicast_loop_v6(true)?;
            sender.set_multicast_hops_v6(1)?;
            let group = SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, index));
            let receiver = open(group, true)?;
            receiver.join_multicast_v6(v6.ip(), index)?;
            Ok((receiver, group))
        }
        (own, group) => {
            let text = format!("{group} is no multicast address for an interface with {own}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}
