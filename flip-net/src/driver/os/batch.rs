//! Many datagrams by one system call: sendmmsg and recvmmsg, with segmentation by the kernel where
//! a message is to be cut (UDP_SEGMENT) or has been put together (UDP_GRO).

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

use super::name::Name;

/// Messages that one system call moves at most.
pub(in crate::driver) const BATCH_MAX: usize = 16;

/// One message to send.
pub(in crate::driver) struct Message<'a> {
    /// Whom to, unless the socket knows.
    pub(in crate::driver) to: Option<SockAddr>,
    /// The bytes, in as many parts as is convenient.
    pub(in crate::driver) parts: &'a [IoSlice<'a>],
    /// The kernel cuts it into datagrams of so many bytes; the last one may be shorter.
    pub(in crate::driver) segment: Option<u16>,
}

/// Room for one control message with an int.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

const EMPTY_CONTROL: Control = Control([0; 64]);

/// One system call; says how many messages left. An error is about the first one.
pub(in crate::driver) fn send(
    socket: BorrowedFd<'_>,
    messages: &[Message<'_>],
) -> io::Result<usize> {
    assert!(messages.len() <= BATCH_MAX, "a batch has a bound");
    let mut controls = [EMPTY_CONTROL; BATCH_MAX];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH_MAX];
    for ((message, header), control) in messages.iter().zip(&mut headers).zip(&mut controls) {
        // SAFETY: all zero is a valid message header: no name, no parts, no control data.
        let header = header.write(unsafe { mem::zeroed() });
        if let Some(to) = &message.to {
            header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = to.len();
        }
        // An IoSlice has the layout of an iovec; the kernel only reads what it points to.
        header.msg_hdr.msg_iov = message.parts.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_iovlen = message.parts.len() as _;
        if let Some(segment) = message.segment {
            put_segment(&mut header.msg_hdr, control, segment);
        }
    }
    // SAFETY: as many headers as are given have been written above; they point to names, parts,
    // control data and bytes that live during the call.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            messages.len() as libc::c_uint,
            libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(sent as usize)
    }
}

fn put_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
    header.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE only computes. The room is larger, and aligned for a control message.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as libc::c_uint) } as _;
    // SAFETY: the header points to room for one control message with two bytes.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as libc::c_uint) as _;
        libc::CMSG_DATA(message)
            .cast::<u16>()
            .write_unaligned(segment);
    }
}

/// Room for a batch of messages, and what came in last.
pub(in crate::driver) struct Inbox {
    buffers: Vec<Vec<u8>>,
    names: [Name; BATCH_MAX],
    controls: [Control; BATCH_MAX],
    came: [Came; BATCH_MAX],
}

#[derive(Clone, Copy, Default)]
struct Came {
    len: usize,
    is_cut: bool,
    segment: Option<usize>,
}

/// One message that came in.
pub(in crate::driver) struct Received<'a> {
    /// Who sent it.
    pub(in crate::driver) name: &'a Name,
    /// What came.
    pub(in crate::driver) bytes: &'a mut [u8],
    /// It was longer than the room for it.
    pub(in crate::driver) is_cut: bool,
    /// It is several datagrams of so many bytes; the last one may be shorter.
    pub(in crate::driver) segment: Option<usize>,
}

impl Inbox {
    /// Room for messages of so many bytes.
    pub(in crate::driver) fn new(len: usize) -> Inbox {
        Inbox {
            buffers: vec![vec![0; len]; BATCH_MAX],
            names: [Name::empty(); BATCH_MAX],
            controls: [EMPTY_CONTROL; BATCH_MAX],
            came: [Came::default(); BATCH_MAX],
        }
    }

    /// One system call for at most `count` messages; says how many came. If told to wait it waits
    /// for the first one, as long as the socket lets it.
    pub(in crate::driver) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        count: usize,
        wait: bool,
    ) -> io::Result<usize> {
        assert!((1..=BATCH_MAX).contains(&count), "a batch has bounds");
        let mut parts = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH_MAX];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH_MAX];
        for (at, header) in headers.iter_mut().enumerate().take(count) {
            parts[at].iov_base = self.buffers[at].as_mut_ptr().cast();
            parts[at].iov_len = self.buffers[at].len();
            self.names[at].0.ss_family = libc::AF_UNSPEC as libc::sa_family_t;
            // SAFETY: all zero is a valid message header: no name, no parts, no control data.
            let header = &mut header.write(unsafe { mem::zeroed() }).msg_hdr;
            header.msg_name = (&raw mut self.names[at].0).cast();
            header.msg_namelen = Name::LEN as libc::socklen_t;
            header.msg_iov = &raw mut parts[at];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[at].0.as_mut_ptr().cast();
            header.msg_controllen = mem::size_of::<Control>() as _;
        }
        let flags = if wait {
            libc::MSG_WAITFORONE
        } else {
            libc::MSG_DONTWAIT
        };
        // SAFETY: the first `count` headers are written; they point to names, control data and
        // buffers that live during the call, with their sizes; nobody else uses them meanwhile.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                count as libc::c_uint,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        if received < 0 {
            return Err(io::Error::last_os_error());
        }
        for (came, header) in self.came.iter_mut().zip(&headers).take(received as usize) {
            // SAFETY: the kernel says that it filled so many of the headers that were written.
            let header = unsafe { header.assume_init_ref() };
            *came = Came {
                len: header.msg_len as usize,
                is_cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                segment: segment_of(&header.msg_hdr),
            };
        }
        Ok(received as usize)
    }

    /// The plainest receive there is: waits for one message, as long as the socket lets it. Who sent
    /// it is not asked. Says that it came: 1.
    pub(in crate::driver) fn receive_one(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let room = &mut self.buffers[0];
        // SAFETY: the buffer lives during the call and has the length that is given.
        let len = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                libc::MSG_TRUNC,
            )
        };
        if len < 0 {
            return Err(io::Error::last_os_error());
        }
        // It says how long the message was, not how much of it is here.
        let len = len as usize;
        self.came[0] = Came {
            len: len.min(room.len()),
            is_cut: len > room.len(),
            segment: None,
        };
        Ok(1)
    }

    /// Room for one message that is received by other means.
    pub(in crate::driver) fn room(&mut self) -> &mut [u8] {
        &mut self.buffers[0]
    }

    /// Message `at` of the last batch.
    pub(in crate::driver) fn get(&mut self, at: usize) -> Received<'_> {
        let came = self.came[at];
        Received {
            name: &self.names[at],
            bytes: &mut self.buffers[at][..came.len],
            is_cut: came.is_cut,
            segment: came.segment,
        }
    }
}

fn segment_of(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled the control data and says how much of it.
    let first = unsafe { libc::CMSG_FIRSTHDR(header).as_ref()? };
    // It is the only control message that is asked for.
    if first.cmsg_level != libc::SOL_UDP || first.cmsg_type != libc::UDP_GRO {
        return None;
    }
    // SAFETY: this control message holds an int.
    let segment = unsafe {
        libc::CMSG_DATA(first)
            .cast::<libc::c_int>()
            .read_unaligned()
    };
    usize::try_from(segment).ok().filter(|segment| *segment > 0)
}
