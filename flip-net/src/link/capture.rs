//! Frames as a capture file: classic pcap with nanoseconds, little endian. Bytes in, bytes out; no
//! file, no clock.
//!
//! ```text
//! file    0  u32  0xa1b23c4d             record  0  u32  seconds since 1970
//!         4  u16  major version, 2               4  u32  nanoseconds
//!         6  u16  minor version, 4               8  u32  bytes in the file
//!         8  [8]  0                             12  u32  bytes on the network
//!        16  u32  longest record's bytes        16  ..   the bytes
//!        20  u32  link type
//! ```
//! A record goes out by one `write_all`, so a file that nobody buffers is whole up to its last
//! record whenever its writer ends. What does not fit under the bound is left out, and so is
//! everything after it: a capture ends at one moment, it has no holes.
//!
//! `docs/wireshark/orca.lua` takes the packets apart.

use std::io::{self, Write};
use std::time::Duration;

use crate::address::LinkAddress;

/// Bytes in front of the first record.
pub const FILE_HEADER_LEN: usize = 24;
/// Bytes in front of each packet.
pub const RECORD_HEADER_LEN: usize = 16;
/// Says pcap, nanoseconds, and by its order of bytes little endian.
pub const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// The most bytes of a frame that are kept; more than any network here carries.
pub const SNAP_LEN: usize = 256 << 10;
/// The Ethernet type of FLIP.
pub const ETHERTYPE_FLIP: u16 = 0x8146;

const ETHERNET_HEADER_LEN: usize = 14;

/// What stands in front of the FLIP header in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An Ethernet header, made of the numbers of the stations, and the flow-control header.
    Ethernet,
    /// Nothing.
    Bare,
    /// The flow-control header.
    Flow,
}

impl Form {
    /// The number by which readers know the form.
    pub const fn link_type(self) -> u32 {
        match self {
            Form::Ethernet => 1,
            Form::Bare => 147,
            Form::Flow => 148,
        }
    }
}

/// Why a frame is not in the capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It, or one before it, would have gone beyond the bound.
    #[error("the bound of {0} bytes is reached")]
    Full(u64),
    /// It could not be written, so that nobody knows where the next record would start.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// An earlier one could not be written.
    #[error("an earlier frame could not be written")]
    Broken,
}

/// A capture that is being written.
#[derive(Debug)]
pub struct Capture<W> {
    out: W,
    form: Form,
    bytes: u64,
    bytes_max: u64,
    state: State,
    record: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Full,
    Broken,
}

impl<W: Write> Capture<W> {
    /// Writes the header of the file. All of it will have at most `bytes_max` bytes, or those of the
    /// header alone.
    pub fn begin(mut out: W, form: Form, bytes_max: u64) -> io::Result<Capture<W>> {
        let mut header = Vec::with_capacity(FILE_HEADER_LEN);
        header.extend(MAGIC_NANOSECONDS.to_le_bytes());
        header.extend(2_u16.to_le_bytes());
        header.extend(4_u16.to_le_bytes());
        header.extend([0; 8]);
        header.extend((SNAP_LEN as u32).to_le_bytes());
        header.extend(form.link_type().to_le_bytes());
        out.write_all(&header)?;
        Ok(Capture {
            out,
            form,
            bytes: header.len() as u64,
            bytes_max,
            state: State::Open,
            record: Vec::new(),
        })
    }

    /// Adds a frame that was seen `at` after the beginning of 1970.
    pub fn add(
        &mut self,
        at: Duration,
        from: LinkAddress,
        to: LinkAddress,
        frame: &[u8],
    ) -> Result<(), CaptureError> {
        match self.state {
            State::Open => {}
            State::Full => return Err(CaptureError::Full(self.bytes_max)),
            State::Broken => return Err(CaptureError::Broken),
        }
        self.lay_out(at, from, to, frame);
        let bytes = self.bytes + self.record.len() as u64;
        if bytes > self.bytes_max {
            self.state = State::Full;
            return Err(CaptureError::Full(self.bytes_max));
        }
        if let Err(error) = self.out.write_all(&self.record) {
            self.state = State::Broken;
            return Err(CaptureError::Write(error));
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The bytes written so far, the header of the file included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn lay_out(&mut self, at: Duration, from: LinkAddress, to: LinkAddress, frame: &[u8]) {
        let link_header = match self.form {
            Form::Ethernet => ETHERNET_HEADER_LEN,
            Form::Bare | Form::Flow => 0,
        };
        let len = link_header + frame.len();
        let kept = frame.len().min(SNAP_LEN - link_header);
        let record = &mut self.record;
        record.clear();
        // The format ends in 2106.
        record.extend((at.as_secs() as u32).to_le_bytes());
        record.extend(at.subsec_nanos().to_le_bytes());
        record.extend(((link_header + kept) as u32).to_le_bytes());
        record.extend((len as u32).to_le_bytes());
        if self.form == Form::Ethernet {
            record.extend(ethernet_address(to));
            record.extend(ethernet_address(from));
            record.extend(ETHERTYPE_FLIP.to_be_bytes());
        }
        record.extend_from_slice(&frame[..kept]);
    }
}

/// The six bytes of a station or group. On Ethernet its number is its address; numbers of other
/// networks lose what is above 48 bits.
fn ethernet_address(address: LinkAddress) -> [u8; 6] {
    let number = match address {
        LinkAddress::Broadcast => u64::MAX,
        LinkAddress::Multicast(number) | LinkAddress::Station(number) => number,
    };
    let [_, _, bytes @ ..] = number.to_be_bytes();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::new(0x0102_0304, 5);
    const A: LinkAddress = LinkAddress::Station(0x0200_0000_000a);
    const B: LinkAddress = LinkAddress::Station(0xb);

    fn check(form: Form, to: LinkAddress, expected: &str) {
        let mut capture = Capture::begin(Vec::new(), form, 1 << 20).expect("memory takes all");
        capture.add(AT, A, to, b"\x00\x01abc").expect("it fits");
        let bytes = capture.bytes();
        let written = capture.into_inner();
        assert_eq!(bytes, written.len() as u64);
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected.replace([' ', '\n'], ""));
    }

    #[test]
    fn every_form_has_its_golden_bytes() {
        let file = "4d3cb2a1 0200 0400 00000000 00000000 00000400";
        let times = "04030201 05000000";
        check(
            Form::Bare,
            B,
            &format!("{file} 93000000 {times} 05000000 05000000 0001616263"),
        );
        check(
            Form::Flow,
            B,
            &format!("{file} 94000000 {times} 05000000 05000000 0001616263"),
        );
        let lengths = "13000000 13000000";
        for (to, address) in [
            (B, "00000000000b"),
            (LinkAddress::Broadcast, "ffffffffffff"),
            (LinkAddress::Multicast(0x5555_a2a3_a4a5), "5555a2a3a4a5"),
        ] {
            let frame = format!("{address} 02000000000a 8146 0001616263");
            check(
                Form::Ethernet,
                to,
                &format!("{file} 01000000 {times} {lengths} {frame}"),
            );
        }
    }

    #[test]
    fn a_full_capture_ends_with_a_whole_record_and_takes_nothing_more() {
        let room = (FILE_HEADER_LEN + 2 * (RECORD_HEADER_LEN + 10)) as u64;
        let mut capture = Capture::begin(Vec::new(), Form::Bare, room + 25).expect("memory");
        for _ in 0..2 {
            capture.add(AT, A, B, &[1; 10]).expect("it fits");
        }
        let refused = capture.add(AT, A, B, &[2; 10]);
        assert!(matches!(refused, Err(CaptureError::Full(_))), "{refused:?}");
        // A shorter one would fit, but would come after a hole.
        let refused = capture.add(AT, A, B, &[]);
        assert!(matches!(refused, Err(CaptureError::Full(_))), "{refused:?}");
        assert_eq!(capture.into_inner().len() as u64, room);
    }

    #[test]
    fn a_frame_beyond_all_networks_is_cut_and_says_so() {
        let mut capture = Capture::begin(Vec::new(), Form::Ethernet, u64::MAX).expect("memory");
        capture.add(AT, A, B, &vec![7; SNAP_LEN]).expect("it fits");
        let written = capture.into_inner();
        assert_eq!(
            written.len(),
            FILE_HEADER_LEN + RECORD_HEADER_LEN + SNAP_LEN
        );
        let length = |at: usize| u32::from_le_bytes(written[at..at + 4].try_into().expect("four"));
        assert_eq!(length(FILE_HEADER_LEN + 8) as usize, SNAP_LEN);
        assert_eq!(length(FILE_HEADER_LEN + 12) as usize, SNAP_LEN + 14);
    }

    /// Takes so many bytes.
    struct Narrow(usize);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_write_that_failed_nothing_more_is_written() {
        assert!(Capture::begin(Narrow(23), Form::Bare, 1 << 20).is_err());
        let mut capture = Capture::begin(Narrow(60), Form::Bare, 1 << 20).expect("24 bytes fit");
        let first = capture.add(AT, A, B, &[1; 100]);
        assert!(matches!(first, Err(CaptureError::Write(_))), "{first:?}");
        let second = capture.add(AT, A, B, b"");
        assert!(matches!(second, Err(CaptureError::Broken)), "{second:?}");
        assert_eq!(capture.bytes(), FILE_HEADER_LEN as u64);
    }
}
