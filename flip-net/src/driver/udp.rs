//! UDP on IPv4 as a network: a list of peers, and one multicast group where the interface can do
//! it. A station is the address and port of a processor's own socket.
//!
//! Every frame leaves from that socket, so its source says who sent it. Multicast frames come in
//! by a second socket that all processors of the run share the port of. Whether multicast works is
//! tried once, at the start; if not, a frame for all goes to each peer.

#![allow(
    unsafe_code,
    reason = "sendmmsg, recvmmsg, ppoll and eventfd have no safe form in std"
)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration as StdDuration, Instant as StdInstant};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Device, Sink};
use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::time::Duration;

/// The largest datagram that UDP carries on IPv4.
const DATAGRAM_LEN_MAX: usize = 65_507;
/// Datagrams that one system call moves at most.
const BATCH_MAX: usize = 16;
/// The receive buffer that is asked for; the kernel gives less to those who may not have it.
const RECEIVE_BUFFER: usize = 32 << 20;
/// The receive buffer without privileges.
const RECEIVE_BUFFER_PLAIN: usize = 4 << 20;
const SEND_BUFFER: usize = 4 << 20;
/// How long the test of multicast may take: it is tried so often, and so long each time.
const PROBES: usize = 3;
const PROBE_WAIT: StdDuration = StdDuration::from_millis(40);
/// What is sent to try it, in front of the own port: too short to be a packet.
const PROBE: &[u8] = b"probe";

/// How a processor is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// The address of the interface: 127.0.0.1 stays on this host.
    pub interface: Ipv4Addr,
    /// The port of the own socket; 0 takes any.
    pub port: u16,
    /// The multicast group and port of the run, if it should be tried.
    pub multicast: Option<SocketAddrV4>,
    /// The largest frame.
    pub mtu: usize,
}

impl UdpConfig {
    /// Between processors of this host, with long frames.
    pub fn loopback(multicast: Option<SocketAddrV4>) -> UdpConfig {
        UdpConfig {
            interface: Ipv4Addr::LOCALHOST,
            port: 0,
            multicast,
            mtu: 60 << 10,
        }
    }
}

/// A UDP network as one processor has it.
pub struct UdpDevice {
    link: Link,
    address: SocketAddrV4,
    socket: UdpSocket,
    interface: Ipv4Addr,
    /// The socket for the group, once multicast is known to work.
    group: OnceLock<(UdpSocket, SocketAddrV4)>,
    peers: RwLock<Vec<SocketAddrV4>>,
    bell: OwnedFd,
    buffers: Mutex<Vec<Vec<u8>>>,
    lost: AtomicU64,
}

/// The number that names a station in frames.
pub fn station_of(address: SocketAddrV4) -> LinkAddress {
    let ip = u64::from(u32::from(*address.ip()));
    LinkAddress::Station(ip << 16 | u64::from(address.port()))
}

/// The address behind the number.
pub fn address_of(station: u64) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from((station >> 16) as u32), station as u16)
}

impl UdpDevice {
    /// Opens the sockets and finds out whether multicast works.
    pub fn open(config: &UdpConfig) -> io::Result<UdpDevice> {
        let mtu = config.mtu;
        if !(crate::wire::HEADER_LEN + 1..=DATAGRAM_LEN_MAX).contains(&mtu) {
            let text = format!("a frame of {mtu} bytes is no datagram");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let own = SocketAddrV4::new(config.interface, config.port);
        let socket = open_socket(own, false)?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            return Err(io::Error::other("a socket on IPv4 has an address of IPv4"));
        };
        // SAFETY: eventfd takes no pointers; the result is checked before it is owned.
        let bell = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if bell < 0 {
            return Err(io::Error::last_os_error());
        }
        let device = UdpDevice {
            // A frame for all is one frame to the box, also where it goes out peer by peer.
            link: Link::udp(mtu, true),
            address,
            socket,
            interface: config.interface,
            group: OnceLock::new(),
            peers: RwLock::new(Vec::new()),
            // SAFETY: the descriptor is open, and nobody else has it.
            bell: unsafe { OwnedFd::from_raw_fd(bell) },
            buffers: Mutex::new(vec![vec![0; DATAGRAM_LEN_MAX]; BATCH_MAX]),
            lost: AtomicU64::new(0),
        };
        if let Some(group) = config.multicast {
            device.try_multicast(group);
        }
        Ok(device)
    }

    /// Finds out whether multicast works, and uses it from now on if it does. All stations must use the same group, so this is
    /// for the time before the first frame.
    pub fn try_multicast(&self, group: SocketAddrV4) -> bool {
        if let Some(opened) = open_group(&self.socket, self.interface, self.address, group) {
            // Whoever was first has opened an equal one.
            let _ = self.group.set(opened);
        }
        self.has_multicast()
    }

    /// The address of the own socket: what peers are told.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Whether one datagram reaches all.
    pub fn has_multicast(&self) -> bool {
        self.group.get().is_some()
    }

    /// Whom a frame for all goes to if multicast does not work; the own address is left out.
    pub fn set_peers(&self, peers: &[SocketAddrV4]) {
        let others = peers
            .iter()
            .copied()
            .filter(|peer| *peer != self.address)
            .collect();
        *self.peers.write().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// Sends datagrams in order, as many by one call as it takes.
    fn send_all(&self, datagrams: &[(SocketAddrV4, &[u8])]) {
        for batch in datagrams.chunks(BATCH_MAX) {
            let mut rest = batch;
            while !rest.is_empty() {
                match send_batch(&self.socket, rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        // The network refused the first one: that is a loss, the others go on.
                        self.lost.fetch_add(1, Ordering::Relaxed);
                        rest = &rest[1..];
                    }
                }
            }
        }
    }

    /// Gives what one socket has to the sink.
    fn drain(&self, socket: &UdpSocket, buffers: &mut [Vec<u8>], sink: &mut Sink<'_>) -> usize {
        let mut received = [(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), 0); BATCH_MAX];
        let Ok(count) = receive_batch(socket, buffers, &mut received) else {
            return 0;
        };
        let mut given = 0;
        for ((from, len), buffer) in received.iter().zip(&*buffers).take(count) {
            let frame = &buffer[..*len];
            // Own multicasts come back, and others may still be trying whether theirs do.
            if *from != self.address && !is_probe(frame) {
                sink(station_of(*from), frame);
                given += 1;
            }
        }
        given
    }
}

impl Device for UdpDevice {
    fn link(&self) -> Link {
        self.link
    }

    fn station(&self) -> LinkAddress {
        station_of(self.address)
    }

    fn send(&self, frames: &[Frame]) {
        let mut datagrams = Vec::with_capacity(frames.len());
        let peers;
        match self.group.get() {
            Some((_, group)) => {
                for frame in frames {
                    let to = match frame.to {
                        LinkAddress::Station(station) => address_of(station),
                        LinkAddress::Broadcast | LinkAddress::Multicast(_) => *group,
                    };
                    datagrams.push((to, &frame.bytes[..]));
                }
            }
            None => {
                peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
                for frame in frames {
                    match frame.to {
                        LinkAddress::Station(station) => {
                            datagrams.push((address_of(station), &frame.bytes[..]));
                        }
                        LinkAddress::Broadcast | LinkAddress::Multicast(_) => {
                            datagrams.extend(peers.iter().map(|peer| (*peer, &frame.bytes[..])));
                        }
                    }
                }
            }
        }
        self.send_all(&datagrams);
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        let group = self.group.get().map(|(socket, _)| socket);
        let polled = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let group_fd: RawFd = group.map_or(-1, |socket| socket.as_raw_fd());
        let mut fds = [
            polled(self.socket.as_raw_fd()),
            polled(group_fd),
            polled(self.bell.as_raw_fd()),
        ];
        if !poll(&mut fds, wait) {
            return 0;
        }
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        // Readable, or an error that reading clears.
        if fds[0].revents != 0 {
            count += self.drain(&self.socket, &mut buffers, sink);
        }
        if let Some(group) = group
            && fds[1].revents != 0
        {
            count += self.drain(group, &mut buffers, sink);
        }
        if fds[2].revents != 0 {
            let mut rings = 0_u64;
            let room: *mut u64 = &mut rings;
            // SAFETY: the descriptor is an eventfd of ours, and `rings` has the 8 bytes it writes.
            unsafe { libc::read(self.bell.as_raw_fd(), room.cast(), 8) };
        }
        count
    }

    fn wake(&self) {
        let ring = 1_u64;
        let bytes: *const u64 = &ring;
        // SAFETY: the descriptor is an eventfd of ours, and `ring` has the 8 bytes it reads. It
        // can only fail when it has rung 2^64 times unheard, and then it is loud enough.
        unsafe { libc::write(self.bell.as_raw_fd(), bytes.cast(), 8) };
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn open_socket(address: SocketAddrV4, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if shared {
        socket.set_reuse_address(true)?;
    }
    grow_receive_buffer(&socket);
    // The default also works, only slower.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(&SocketAddr::V4(address).into())?;
    Ok(socket.into())
}

/// Asks for a receive buffer that takes bursts of fragments; what we get is what we get.
fn grow_receive_buffer(socket: &Socket) {
    let size = RECEIVE_BUFFER as libc::c_int;
    let value: *const libc::c_int = &size;
    // SAFETY: the option takes one int, and `size` is one.
    let forced = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            value.cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if forced != 0 {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_PLAIN);
    }
}

/// Joins the group and sends itself a datagram by it. None if that does not come back.
fn open_group(
    socket: &UdpSocket,
    interface: Ipv4Addr,
    own: SocketAddrV4,
    group: SocketAddrV4,
) -> Option<(UdpSocket, SocketAddrV4)> {
    let sender = Socket::from(socket.try_clone().ok()?);
    sender.set_multicast_if_v4(&interface).ok()?;
    sender.set_multicast_loop_v4(true).ok()?;
    sender.set_multicast_ttl_v4(1).ok()?;
    let receiver = open_socket(group, true).ok()?;
    receiver.join_multicast_v4(group.ip(), &interface).ok()?;
    let mut buffer = [0; 64];
    let probe = [PROBE, &own.port().to_be_bytes()[..]].concat();
    for _ in 0..PROBES {
        socket.send_to(&probe, group).ok()?;
        let until = StdInstant::now() + PROBE_WAIT;
        while let Some(wait) = until.checked_duration_since(StdInstant::now()) {
            receiver
                .set_read_timeout(Some(wait.max(StdDuration::from_micros(1))))
                .ok()?;
            match receiver.recv_from(&mut buffer) {
                Ok((len, from)) if from == SocketAddr::V4(own) && buffer[..len] == probe[..] => {
                    return Some((receiver, group));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    None
}

/// Waits for input or an error on any of the descriptors.
fn poll(fds: &mut [libc::pollfd; 3], wait: Duration) -> bool {
    let micros = wait.as_micros();
    let wait = libc::timespec {
        tv_sec: (micros / 1_000_000).min(3_600) as libc::time_t,
        tv_nsec: ((micros % 1_000_000) * 1_000) as libc::c_long,
    };
    // SAFETY: `fds` and `wait` live during the call and their number is given; no signal mask.
    // Negative descriptors are skipped by the kernel.
    let ready = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            &wait,
            std::ptr::null(),
        )
    };
    ready > 0
}

fn is_probe(frame: &[u8]) -> bool {
    frame.len() == PROBE.len() + 2 && frame.starts_with(PROBE)
}

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// One system call; says how many datagrams left. An error is about the first one.
fn send_batch(socket: &UdpSocket, datagrams: &[(SocketAddrV4, &[u8])]) -> io::Result<usize> {
    assert!(datagrams.len() <= BATCH_MAX, "a batch has a bound");
    let mut names = [raw_address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); BATCH_MAX];
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH_MAX];
    // SAFETY: all zero is a valid message header: no name, no parts, no control data.
    let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (at, (to, bytes)) in datagrams.iter().enumerate() {
        names[at] = raw_address(*to);
        parts[at] = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let header = &mut headers[at].msg_hdr;
        header.msg_name = (&raw mut names[at]).cast();
        header.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = &raw mut parts[at];
        header.msg_iovlen = 1;
    }
    // SAFETY: the first `len` headers point to names, parts and bytes that live during the call;
    // the kernel only reads the bytes.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            datagrams.len() as libc::c_uint,
            libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(sent as usize)
    }
}

/// One system call, without waiting; says how many datagrams came.
fn receive_batch(
    socket: &UdpSocket,
    buffers: &mut [Vec<u8>],
    received: &mut [(SocketAddrV4, usize); BATCH_MAX],
) -> io::Result<usize> {
    assert!(buffers.len() <= BATCH_MAX, "a batch has a bound");
    let mut names = [raw_address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); BATCH_MAX];
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH_MAX];
    // SAFETY: all zero is a valid message header: no name, no parts, no control data.
    let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (at, buffer) in buffers.iter_mut().enumerate() {
        parts[at] = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let header = &mut headers[at].msg_hdr;
        header.msg_name = (&raw mut names[at]).cast();
        header.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = &raw mut parts[at];
        header.msg_iovlen = 1;
    }
    // SAFETY: the headers point to names and buffers that live during the call, with their sizes;
    // nobody else uses the buffers meanwhile.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            buffers.len() as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    for at in 0..count as usize {
        let ip = Ipv4Addr::from(u32::from_be(names[at].sin_addr.s_addr));
        let from = SocketAddrV4::new(ip, u16::from_be(names[at].sin_port));
        received[at] = (from, headers[at].msg_len as usize);
    }
    Ok(count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::NetworkId;

    const LONG: Duration = Duration::from_secs(10);

    fn frame(to: LinkAddress, bytes: Vec<u8>) -> Frame {
        Frame {
            network: NetworkId(0),
            to,
            bytes,
        }
    }

    /// Receives until `count` frames are there; fails if they do not come.
    fn receive(device: &UdpDevice, count: usize) -> Vec<(LinkAddress, Vec<u8>)> {
        let mut frames = Vec::new();
        let until = StdInstant::now() + StdDuration::from_secs(10);
        while frames.len() < count {
            assert!(
                StdInstant::now() < until,
                "{} of {count} frames came",
                frames.len()
            );
            device.receive(LONG, &mut |from, bytes| {
                frames.push((from, bytes.to_vec()));
            });
        }
        frames
    }

    fn check_three(group: Option<SocketAddrV4>) {
        let config = UdpConfig::loopback(group);
        let devices = [(); 3].map(|()| UdpDevice::open(&config).unwrap());
        let addresses = devices.each_ref().map(UdpDevice::address);
        devices
            .iter()
            .for_each(|device| device.set_peers(&addresses));
        let [a, b, c] = &devices;
        let long = vec![7; 60 << 10];
        a.send(&[frame(LinkAddress::Broadcast, long.clone())]);
        for receiver in [b, c] {
            assert_eq!(receive(receiver, 1), [(a.station(), long.clone())]);
        }
        let many = (0..100_u8)
            .map(|n| frame(c.station(), vec![n; 20]))
            .collect::<Vec<_>>();
        b.send(&many);
        let numbers: Vec<u8> = receive(c, 100).iter().map(|(_, bytes)| bytes[0]).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        // Nobody hears itself.
        assert_eq!(
            a.receive(Duration::ZERO, &mut |_, _| panic!("own frame")),
            0
        );
    }

    #[test]
    fn frames_travel_by_multicast_on_loopback() {
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 81, 46), free_port());
        if !UdpDevice::open(&UdpConfig::loopback(Some(group)))
            .unwrap()
            .has_multicast()
        {
            println!("no multicast on this loopback: peers are served one by one");
        }
        check_three(Some(group));
    }

    #[test]
    fn frames_travel_peer_by_peer() {
        check_three(None);
    }

    #[test]
    fn a_waiting_receiver_can_be_woken() {
        let device = UdpDevice::open(&UdpConfig::loopback(None)).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| device.receive(LONG, &mut |_, _| panic!("no frame")));
            device.wake();
            assert_eq!(waiter.join().unwrap(), 0);
        });
    }

    #[test]
    fn stations_and_addresses_are_the_same_thing() {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 1, 2, 250), 54_321);
        let LinkAddress::Station(station) = station_of(address) else {
            panic!("no station")
        };
        assert_eq!(address_of(station), address);
    }

    fn free_port() -> u16 {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    }
}
