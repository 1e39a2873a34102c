//! A packet socket and nothing else: what raw frames cost at least, for benchmarks to compare with.

use std::io;

use socket2::{Domain, Socket, Type};

use super::header::{Address, ETHER_TYPE};
use super::{EthernetError, header, socket};
use crate::driver::os::name;

/// A socket that hears the frames of FLIP's type on one interface, its own ones left out.
pub struct BareSocket {
    socket: Socket,
    own: Address,
}

impl BareSocket {
    /// Opens it on an interface of the network namespace of this thread.
    pub fn open(interface: &str) -> Result<BareSocket, EthernetError> {
        let found = socket::find(interface)?;
        let failed = |source| EthernetError::System {
            what: "open a packet socket",
            interface: interface.to_owned(),
            source,
        };
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(failed)?;
        let name = name::frames_of(found.index, ETHER_TYPE);
        socket.bind(&name).map_err(failed)?;
        Ok(BareSocket {
            socket,
            own: found.address.unwrap_or_default(),
        })
    }

    /// The hardware address of the interface.
    pub fn address(&self) -> [u8; 6] {
        self.own
    }

    /// Sends a whole frame: the header of Ethernet, then `payload`.
    pub fn frame_to(&self, to: [u8; 6], payload: &[u8]) -> Vec<u8> {
        [&header::emit(to, self.own)[..], payload].concat()
    }

    /// One system call.
    pub fn send(&self, frame: &[u8]) -> io::Result<usize> {
        self.socket.send(frame)
    }

    /// One system call, which waits. Frames longer than the buffer are cut.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &self.socket, buffer)
    }
}
