//! Opening a packet socket on an interface, and what it hears.
//!
//! The kernel filters first: our type, no VLAN tag (such a frame is for the interface of that
//! VLAN), and of frames for single stations only those for this one, so that processors which share
//! an interface do not wake each other. It is put before the socket is bound: nothing gets past it.

use std::io;

use socket2::{Domain, SockFilter, Socket, Type};

use super::header::{Address, ETHER_TYPE, is_station};
use super::{EthernetConfig, EthernetError, Station};
use crate::driver::os::interface::{self, Address as Known};
use crate::driver::os::{name, option};
use crate::wire::HEADER_LEN as FLIP_HEADER_LEN;

/// Bytes of the flow-control header, which the mtu of a link does not count.
pub(super) const FLOW_HEADER_LEN: usize = 2;
/// How long a frame waits for room at the interface.
const SEND_WAIT: std::time::Duration = std::time::Duration::from_secs(1);
const SEND_BUFFER: usize = 4 << 20;

/// An interface as the system describes it.
pub(super) struct Interface {
    pub(super) index: u32,
    /// Its hardware address; a loopback interface has none.
    pub(super) address: Option<Address>,
    pub(super) is_loopback: bool,
    /// The largest packet that a frame carries.
    pub(super) mtu: usize,
}

/// Looks the interface up.
pub(super) fn find(name: &str) -> Result<Interface, EthernetError> {
    let failed = |source| EthernetError::System {
        what: "look at the interfaces",
        interface: name.to_owned(),
        source,
    };
    let entries = interface::entries().map_err(failed)?;
    let hardware = |entry: &interface::Entry| match entry.address {
        Known::Hardware(kind, address) => Some((entry.index, kind, address)),
        Known::Ip(_) => None,
    };
    let mut named = entries.iter().filter(|entry| entry.name == name);
    let Some((index, kind, address)) = named.find_map(hardware) else {
        let mut existing: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        existing.sort();
        existing.dedup();
        return Err(EthernetError::NoInterface {
            interface: name.to_owned(),
            existing: existing.join(", "),
        });
    };
    let is_loopback = kind == libc::ARPHRD_LOOPBACK;
    if kind != libc::ARPHRD_ETHER && !is_loopback {
        let interface = name.to_owned();
        return Err(EthernetError::NotEthernet { interface });
    }
    Ok(Interface {
        index,
        address: address.filter(|address| is_station(*address)),
        is_loopback,
        mtu: interface::mtu(name)
            .map_err(failed)?
            .saturating_sub(FLOW_HEADER_LEN),
    })
}

/// The address of this processor.
pub(super) fn choose_station(
    config: &EthernetConfig,
    interface: &Interface,
) -> Result<Address, EthernetError> {
    match config.station {
        Station::Own => interface.address.ok_or_else(|| EthernetError::NoStation {
            interface: config.interface.clone(),
        }),
        // Locally administered, and no group.
        Station::Drawn(address) if address[0] & 3 == 2 => Ok(address),
        Station::Drawn(address) => Err(EthernetError::BadStation { address }),
    }
}

/// The largest packet.
pub(super) fn choose_mtu(
    config: &EthernetConfig,
    interface: &Interface,
) -> Result<usize, EthernetError> {
    let (least, most) = (FLIP_HEADER_LEN + 1, interface.mtu);
    let mtu = config.mtu.unwrap_or(most);
    if (least..=most).contains(&mtu) {
        return Ok(mtu);
    }
    Err(EthernetError::Mtu {
        interface: config.interface.clone(),
        mtu,
        least,
        most,
    })
}

/// Makes a socket that hears nothing yet: it is of no protocol.
pub(super) fn new(config: &EthernetConfig) -> Result<Socket, EthernetError> {
    Socket::new(Domain::PACKET, Type::RAW, None).map_err(|source| {
        let interface = config.interface.clone();
        if source.kind() == io::ErrorKind::PermissionDenied {
            return EthernetError::NoPermission { interface };
        }
        EthernetError::System {
            what: "open a packet socket",
            interface,
            source,
        }
    })
}

/// Attaches the socket; frames for `own` and for groups come in from now on.
pub(super) fn attach(
    socket: &Socket,
    config: &EthernetConfig,
    interface: &Interface,
    own: Address,
) -> Result<(), EthernetError> {
    let failed = |what| {
        move |source| EthernetError::System {
            what,
            interface: config.interface.clone(),
            source,
        }
    };
    let filter = filter(own, interface.is_loopback);
    socket
        .attach_filter(&filter)
        .map_err(failed("filter frames"))?;
    option::grow_receive_buffer(socket);
    // The default also works, only slower.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    let waits = socket.set_write_timeout(Some(SEND_WAIT));
    waits.map_err(failed("set up a packet socket"))?;
    // For all types, also for who has the station of the interface: processors of the same host
    // that share the interface are heard as outgoing frames, and those come to no other socket.
    let bound = socket.bind(&name::all_frames_of(interface.index));
    bound.map_err(failed("attach a packet socket"))?;
    if let Station::Drawn(_) = config.station {
        hear_station(socket, interface, own).map_err(failed("hear a station of its own"))?;
    }
    Ok(())
}

const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const JEQ: u16 = 0x15;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

/// The classic filter program: see the module.
fn filter(own: Address, is_loopback: bool) -> Vec<SockFilter> {
    let [a, b, c, d, e, f] = own;
    let auxiliary = |what: libc::c_int| (libc::SKF_AD_OFF + what) as u32;
    let tag = auxiliary(libc::SKF_AD_VLAN_TAG_PRESENT);
    let packet_type = auxiliary(libc::SKF_AD_PKTTYPE);
    // What comes twice on a loopback interface is taken when it comes in.
    let unwanted = match is_loopback {
        true => u32::from(libc::PACKET_OUTGOING),
        false => u32::MAX,
    };
    // Jumps count the instructions that are skipped; 12 is `reject`, 13 is `accept`.
    let to = |at: u8, target: u8| target - at - 1;
    let (reject, accept) = (12, 13);
    let program = [
        (LD_H_ABS, 0, 0, 12),
        (JEQ, 0, to(1, reject), u32::from(ETHER_TYPE)),
        (LD_W_ABS, 0, 0, tag),
        (JEQ, 0, to(3, reject), 0),
        (LD_W_ABS, 0, 0, packet_type),
        (JEQ, to(5, reject), 0, unwanted),
        (LD_B_ABS, 0, 0, 0),
        (JSET, to(7, accept), 0, 1),
        (LD_W_ABS, 0, 0, 0),
        (JEQ, 0, to(9, reject), u32::from_be_bytes([a, b, c, d])),
        (LD_H_ABS, 0, 0, 4),
        (
            JEQ,
            to(11, accept),
            to(11, reject),
            u32::from_be_bytes([0, 0, e, f]),
        ),
        (RET, 0, 0, 0),
        (RET, 0, 0, u32::MAX),
    ];
    let instruction = |(code, jt, jf, k)| SockFilter::new(code, jt, jf, k);
    program.into_iter().map(instruction).collect()
}

/// Lets the interface hear frames for a station that is not its own one.
fn hear_station(socket: &Socket, interface: &Interface, own: Address) -> io::Result<()> {
    if interface.is_loopback {
        // Everything is heard there.
        return Ok(());
    }
    let member = |kind| {
        change(
            socket,
            interface.index,
            libc::PACKET_ADD_MEMBERSHIP,
            kind,
            own,
        )
    };
    member(libc::PACKET_MR_UNICAST).or_else(|_| member(libc::PACKET_MR_PROMISC))
}

/// Frames that the kernel had no room for since this was asked last; none if it does not say.
pub(super) fn take_overflow(socket: &Socket) -> u64 {
    let mut counts = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    // The kernel forgets what it has told.
    let told = option::get(
        socket,
        libc::SOL_PACKET,
        libc::PACKET_STATISTICS,
        &mut counts,
    );
    told.map_or(0, |()| counts.tp_drops.into())
}

/// Lets the interface hear a group, or no longer.
pub(super) fn hear_group(
    socket: &Socket,
    interface: u32,
    group: Address,
    on: bool,
) -> io::Result<()> {
    let option = match on {
        true => libc::PACKET_ADD_MEMBERSHIP,
        false => libc::PACKET_DROP_MEMBERSHIP,
    };
    change(socket, interface, option, libc::PACKET_MR_MULTICAST, group)
}

/// Lets the interface hear all groups: what is left when it has no room for one more.
pub(super) fn hear_all_groups(socket: &Socket, interface: u32) -> io::Result<()> {
    let (option, kind) = (libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_MR_ALLMULTI);
    change(socket, interface, option, kind, [0; 6])
}

fn change(
    socket: &Socket,
    interface: u32,
    option: libc::c_int,
    kind: libc::c_int,
    address: Address,
) -> io::Result<()> {
    let [a, b, c, d, e, f] = address;
    let request = libc::packet_mreq {
        mr_ifindex: interface as libc::c_int,
        mr_type: kind as libc::c_ushort,
        mr_alen: 6,
        mr_address: [a, b, c, d, e, f, 0, 0],
    };
    option::set(socket, libc::SOL_PACKET, option, &request)
}
