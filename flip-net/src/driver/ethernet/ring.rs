//! A receive ring that the kernel shares with a packet socket (PACKET_RX_RING, TPACKET_V2): frames
//! that are there are read without a system call, and without another copy.
//!
//! The ring is frames of one size. Each begins with a header whose status word says who has it:
//!
//! ```text
//!   offset 0    status: bit 0 set: ours; zero: the kernel's
//!          4    length of the frame on the network
//!          8    length of what is here; less if it was cut
//!          12   where that begins, counted from the header
//! ```
//! The kernel fills frames in their order and looks no further when it comes to one that is still
//! ours: then what arrives is dropped, and counted for those who ask.
//!
//! Waiting is not done here, and what a frame means is not known.

#![allow(
    unsafe_code,
    reason = "memory that is shared with the kernel has no safe form"
)]

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::tpacket2_hdr as Header;
use socket2::Socket;

use crate::driver::os::option;

/// What a ring takes, if its frames are not too long for that.
const BYTES: usize = 4 << 20;
/// The frames that a ring has at least.
const FRAMES_MIN: usize = 64;
/// Memory comes in blocks of whole frames and whole pages; this is a multiple of every page size.
const BLOCK_LEN_MIN: usize = 64 << 10;
/// What the kernel puts before the bytes of a frame: header, sender, and room up to the next
/// aligned place that keeps 16 bytes for the header of the link.
const HEADROOM: usize = (libc::TPACKET2_HDRLEN + 16).next_multiple_of(libc::TPACKET_ALIGNMENT);

const _: () = assert!(HEADROOM == 80 && size_of::<Header>() == 32);
const _: () = assert!(BYTES.is_multiple_of(BLOCK_LEN_MIN));

/// A ring, as the end that reads it.
pub(super) struct Ring {
    base: NonNull<u8>,
    frame_len: usize,
    frames: usize,
    /// The frame that is filled next, or has been.
    next: usize,
    /// The longest frame that is whole.
    len_max: usize,
}

// SAFETY: the memory stays mapped until the ring is dropped, from whatever thread it is used.
unsafe impl Send for Ring {}

/// A frame that came; the kernel has its place again when this is dropped.
pub(super) struct Slot<'a> {
    begin: NonNull<u8>,
    len: usize,
    is_cut: bool,
    status: &'a AtomicU32,
}

impl Slot<'_> {
    /// What is there of it, from the header of the link on.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: these bytes lie within a frame of the ring, and the kernel does not write them
        // before the status is given back, which is when this is dropped.
        unsafe { std::slice::from_raw_parts(self.begin.as_ptr(), self.len) }
    }

    /// It was longer than the longest one.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // What was read is read before the kernel writes the next frame here.
        self.status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Ring {
    /// Makes the ring of a socket that hears nothing yet, for frames of at most `len_max` bytes. A
    /// socket that failed here may have a ring which nobody reads: it is of no use any more.
    pub(super) fn new(socket: &Socket, len_max: usize) -> io::Result<Ring> {
        let frame_len = (HEADROOM + len_max).next_power_of_two();
        let frames = (BYTES / frame_len).max(FRAMES_MIN);
        let block_len = frame_len.max(BLOCK_LEN_MIN);
        let request = libc::tpacket_req {
            tp_block_size: block_len as libc::c_uint,
            tp_block_nr: (frames * frame_len / block_len) as libc::c_uint,
            tp_frame_size: frame_len as libc::c_uint,
            tp_frame_nr: frames as libc::c_uint,
        };
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        option::set(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        option::set(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let base = map(socket, frames * frame_len)?;
        Ok(Ring {
            base,
            frame_len,
            frames,
            next: 0,
            len_max,
        })
    }

    /// The next frame, if it is there.
    pub(super) fn next(&mut self) -> Option<Slot<'_>> {
        assert!(self.next < self.frames, "the next frame is one of the ring");
        // SAFETY: the frame lies in the mapping, which lives as long as `self`.
        let frame = unsafe { self.base.add(self.next * self.frame_len) };
        let header = frame.cast::<Header>().as_ptr();
        // SAFETY: frames are aligned for their header, and everybody, the kernel included, uses its
        // status as an atomic.
        let status = unsafe { AtomicU32::from_ptr(&raw mut (*header).tp_status) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the frame is ours; the kernel wrote its header before it gave the status.
        let header = unsafe { header.read() };
        self.next = (self.next + 1) % self.frames;
        let (len, len_here) = (header.tp_len as usize, header.tp_snaplen as usize);
        let begin = usize::from(header.tp_mac);
        // The kernel stays within the frame; if it did not, nothing of it could be used.
        let is_within = begin >= size_of::<Header>() && begin + len_here <= self.frame_len;
        let (begin, len_here) = if is_within { (begin, len_here) } else { (0, 0) };
        Some(Slot {
            // SAFETY: it lies within the frame, as was just checked.
            begin: unsafe { frame.add(begin) },
            len: len_here,
            is_cut: len > len_here || len > self.len_max,
            status,
        })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let len = self.frames * self.frame_len;
        // SAFETY: the memory was mapped by us with this length, and slots borrow the ring.
        unsafe { libc::munmap(self.base.as_ptr().cast(), len) };
    }
}

fn map(socket: &Socket, len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at a place that the kernel chooses touches no memory of ours.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            socket.as_raw_fd(),
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(base.cast()).expect("the kernel maps nothing at address zero"))
}
