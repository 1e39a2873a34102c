//! Packets on a stream of bytes: where one ends and the next begins.
//!
//! FLIP packets stand back to back, header and payload, without anything in between: the header
//! says how long a packet is, in its own byte order. Sealed frames say nothing to who has no key,
//! so they stand behind their length, 32 bits in little endian. Bytes come in pieces of any size;
//! what is kept is at most one packet that is not complete.
//!
//! A header that makes no sense ends the stream: there is nothing to find the next packet by.
//! Types and counters are not looked at: those are the box's business.
//!
//! Implements: [Amoeba5 §FLIP over TCP]; facts sheet 1.10.
//! Differs: bit 1 of the flags is respected, see `packet`.

use super::packet::{FLAG_BIG_ENDIAN, FLAG_VARIABLE, HEADER_LEN, VERSION, array, field};
use super::variable::VARIABLE_LEN_MAX;
use super::{Order, WireError};

/// What tells where a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The FLIP header of each frame.
    Flip,
    /// A 32-bit length in front of each frame, little endian.
    Length,
}

/// Bytes in front of a frame under [`Framing::Length`].
pub const PREFIX_LEN: usize = 4;

/// Why nothing can be taken from a stream any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// What stands where a header should be is none.
    #[error("no header where one should be: {0}")]
    Header(WireError),
    /// A frame of no bytes, or of more than this end takes.
    #[error("a frame of {len} bytes, where they have 1 to {max}")]
    Length {
        /// What its header says.
        len: usize,
        /// The most that is taken.
        max: usize,
    },
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct Deframer {
    framing: Framing,
    mtu: usize,
    /// The beginning of a frame that is not complete.
    partial: Vec<u8>,
    failed: Option<StreamError>,
}

impl Deframer {
    /// For frames of at most `mtu` bytes, a variable part not counted.
    ///
    /// # Panics
    /// If a frame of this size has no room for payload.
    pub fn new(framing: Framing, mtu: usize) -> Deframer {
        assert!(mtu > HEADER_LEN, "a frame has room for payload");
        Deframer {
            framing,
            mtu,
            partial: Vec::new(),
            failed: None,
        }
    }

    /// For another stream of the same kind.
    pub fn anew(&self) -> Deframer {
        Deframer::new(self.framing, self.mtu)
    }

    /// Takes the next bytes of the stream; gives each frame that is complete now to `sink`.
    ///
    /// # Errors
    /// If the stream makes no sense, now or at any time before. The frames up to there are given.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let fed = self.cut(bytes, sink);
        if let Err(error) = fed {
            self.failed = Some(error);
            self.partial = Vec::new();
        }
        fed
    }

    /// Bytes of a frame that is not complete: what is lost if the stream ends here.
    pub fn partial_len(&self) -> usize {
        self.partial.len()
    }

    fn cut(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), StreamError> {
        // First what was begun, as many bytes at a time as are known to belong to it.
        while !self.partial.is_empty() {
            let need = self.need(&self.partial)?;
            let taken = bytes.len().min(need.bytes() - self.partial.len());
            self.partial.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            assert!(self.partial.len() <= self.partial_len_max());
            if self.partial.len() < need.bytes() {
                return Ok(());
            }
            if let Need::Whole { start, .. } = need {
                sink(&self.partial[start..]);
                self.partial.clear();
            }
        }
        // Then what is whole where it lies.
        while !bytes.is_empty() {
            let need = self.need(bytes)?;
            match need {
                Need::Whole { start, end } if end <= bytes.len() => {
                    sink(&bytes[start..end]);
                    bytes = &bytes[end..];
                }
                _ => {
                    self.partial.extend_from_slice(bytes);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What the frame needs that begins with `bytes`; there may be more than that.
    fn need(&self, bytes: &[u8]) -> Result<Need, StreamError> {
        match self.framing {
            Framing::Flip => self.need_flip(bytes),
            Framing::Length => self.need_length(bytes),
        }
    }

    fn need_flip(&self, bytes: &[u8]) -> Result<Need, StreamError> {
        let Some(header) = bytes.get(..HEADER_LEN) else {
            return Ok(Need::More(HEADER_LEN));
        };
        if header[field::VERSION] != VERSION {
            return Err(StreamError::Header(WireError::Version));
        }
        let flags = header[field::FLAGS];
        let order = if flags & FLAG_BIG_ENDIAN != 0 {
            Order::Big
        } else {
            Order::Little
        };
        let number = |range| order.u32(array(&header[range]));
        let length = number(field::LENGTH);
        match number(field::OFFSET).checked_add(length) {
            Some(end) if end <= number(field::TOTAL) => {}
            _ => return Err(StreamError::Header(WireError::Bounds)),
        }
        let whole = HEADER_LEN.saturating_add(length as usize);
        if whole > self.mtu {
            return Err(self.wrong_length(whole));
        }
        if flags & FLAG_VARIABLE == 0 {
            return Ok(Need::frame(0, whole));
        }
        let Some(count) = bytes.get(HEADER_LEN..HEADER_LEN + 4) else {
            return Ok(Need::More(HEADER_LEN + 4));
        };
        let count = order.u32(array(count)) as usize;
        if count > VARIABLE_LEN_MAX || !count.is_multiple_of(4) {
            return Err(StreamError::Header(WireError::VariablePart));
        }
        Ok(Need::frame(0, whole + 4 + count))
    }

    fn need_length(&self, bytes: &[u8]) -> Result<Need, StreamError> {
        let Some(prefix) = bytes.get(..PREFIX_LEN) else {
            return Ok(Need::More(PREFIX_LEN));
        };
        let length = u32::from_le_bytes(array(prefix)) as usize;
        if length == 0 || length > self.mtu {
            return Err(self.wrong_length(length));
        }
        Ok(Need::frame(PREFIX_LEN, PREFIX_LEN + length))
    }

    fn wrong_length(&self, len: usize) -> StreamError {
        StreamError::Length { len, max: self.mtu }
    }

    fn partial_len_max(&self) -> usize {
        self.mtu + 4 + VARIABLE_LEN_MAX
    }
}

/// How much of a frame is known.
#[derive(Clone, Copy)]
enum Need {
    /// So many bytes before its length is known.
    More(usize),
    /// It ends at `end`; what counts of it begins at `start`.
    Whole { start: usize, end: usize },
}

impl Need {
    fn frame(start: usize, end: usize) -> Need {
        Need::Whole { start, end }
    }

    fn bytes(self) -> usize {
        match self {
            Need::More(bytes) | Need::Whole { end: bytes, .. } => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const MTU: usize = 100;

    /// A UNIDATA packet with `length` bytes of payload, with its integers in either order.
    fn packet(length: u32, order: Order) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[field::VERSION] = VERSION;
        bytes[field::KIND] = 3;
        let number = match order {
            Order::Little => length.to_le_bytes(),
            Order::Big => {
                bytes[field::FLAGS] = FLAG_BIG_ENDIAN;
                length.to_be_bytes()
            }
        };
        bytes[field::LENGTH].copy_from_slice(&number);
        bytes[field::TOTAL].copy_from_slice(&number);
        bytes.extend((0..length).map(|at| at as u8 + 1));
        bytes
    }

    fn with_variable(mut packet: Vec<u8>, count: u32) -> Vec<u8> {
        packet[field::FLAGS] |= FLAG_VARIABLE;
        let part = [&count.to_le_bytes()[..], &vec![0xaa; count as usize]].concat();
        packet.splice(HEADER_LEN..HEADER_LEN, part);
        packet
    }

    fn feed(deframer: &mut Deframer, bytes: &[u8]) -> Result<Vec<Vec<u8>>, StreamError> {
        let mut frames = Vec::new();
        deframer.feed(bytes, &mut |frame| frames.push(frame.to_vec()))?;
        Ok(frames)
    }

    #[test]
    fn segments_do_not_matter_and_the_next_packet_may_be_glued() {
        // [scenario 56]
        let (first, second) = (packet(10, Order::Little), packet(5, Order::Little));
        let stream = [first.clone(), second.clone()].concat();
        let mut deframer = Deframer::new(Framing::Flip, MTU);
        assert_eq!(
            feed(&mut deframer, &stream[..17]).unwrap(),
            [] as [Vec<u8>; 0]
        );
        assert_eq!(
            feed(&mut deframer, &stream[17..44]).unwrap(),
            [] as [Vec<u8>; 0]
        );
        let frames = feed(&mut deframer, &stream[44..]).unwrap();
        assert_eq!(frames, [first, second]);
        assert_eq!(deframer.partial_len(), 0);
    }

    /// However the stream is cut, the same frames come out.
    fn check_any_cut(framing: Framing, stream: &[u8], expected: &[Vec<u8>]) {
        for size in 1..=stream.len() {
            let mut deframer = Deframer::new(framing, MTU);
            let pieces = stream.chunks(size);
            let frames = pieces.flat_map(|piece| feed(&mut deframer, piece).unwrap());
            assert_eq!(frames.collect::<Vec<_>>(), expected, "in pieces of {size}");
            assert_eq!(deframer.partial_len(), 0);
        }
    }

    #[test]
    fn headers_say_their_length_in_their_own_order() {
        let packets = [
            packet(10, Order::Big),
            packet(0, Order::Little),
            packet(MTU as u32 - HEADER_LEN as u32, Order::Little),
            with_variable(packet(3, Order::Little), 8),
            with_variable(packet(60, Order::Little), VARIABLE_LEN_MAX as u32),
            packet(1, Order::Big),
        ];
        check_any_cut(Framing::Flip, &packets.concat(), &packets);
    }

    #[test]
    fn frames_behind_their_length_may_be_anything() {
        let frames = [vec![0xff; 1], vec![0; MTU], b"abc".to_vec()];
        let framed = frames.iter().map(|frame| {
            let prefix = (frame.len() as u32).to_le_bytes();
            [&prefix[..], frame].concat()
        });
        check_any_cut(
            Framing::Length,
            &framed.collect::<Vec<_>>().concat(),
            &frames,
        );
    }

    fn check_refused(framing: Framing, bytes: &[u8], expected: StreamError) {
        let good = match framing {
            Framing::Flip => packet(2, Order::Little),
            Framing::Length => vec![1, 0, 0, 0, 7],
        };
        let mut deframer = Deframer::new(framing, MTU);
        let mut count = 0;
        let stream = [&good[..], bytes].concat();
        let fed = deframer.feed(&stream, &mut |_| count += 1);
        // What came before it is given; what comes after it never is.
        assert_eq!((fed, count), (Err(expected), 1));
        assert_eq!(feed(&mut deframer, &good), Err(expected));
        assert_eq!(deframer.partial_len(), 0);
    }

    #[test]
    fn a_header_that_makes_no_sense_ends_the_stream() {
        let too_long = |len| StreamError::Length { len, max: MTU };
        let mut no_version = packet(0, Order::Little);
        no_version[field::VERSION] = 2;
        check_refused(
            Framing::Flip,
            &no_version,
            StreamError::Header(WireError::Version),
        );
        let mut outside = packet(4, Order::Little);
        outside[field::OFFSET].copy_from_slice(&u32::MAX.to_le_bytes());
        check_refused(
            Framing::Flip,
            &outside,
            StreamError::Header(WireError::Bounds),
        );
        check_refused(Framing::Flip, &packet(61, Order::Big), too_long(101));
        for count in [6, 260] {
            let bad = with_variable(packet(0, Order::Little), count);
            let error = StreamError::Header(WireError::VariablePart);
            check_refused(Framing::Flip, &bad, error);
        }
        let mut endless = packet(0, Order::Little);
        endless[field::LENGTH].fill(0xff);
        endless[field::TOTAL].fill(0xff);
        check_refused(
            Framing::Flip,
            &endless,
            too_long(HEADER_LEN + u32::MAX as usize),
        );
        check_refused(Framing::Length, &[0; 4], too_long(0));
        check_refused(Framing::Length, &[101, 0, 0, 0], too_long(101));
    }

    #[test]
    fn no_bytes_make_it_panic_or_keep_more_than_a_packet() {
        let mut rng = Rng::new(56);
        let mut frames = 0;
        for _ in 0..20_000 {
            let framing = [Framing::Flip, Framing::Length][rng.below(2) as usize];
            let mut deframer = Deframer::new(framing, MTU);
            for _ in 0..4 {
                let mut bytes = vec![0; rng.below(200) as usize];
                rng.fill(&mut bytes);
                // Plausible often enough for every branch to be taken.
                for at in (0..bytes.len()).step_by(HEADER_LEN) {
                    let plausible = packet(rng.below(40) as u32, Order::Big);
                    let end = bytes
                        .len()
                        .min(at + rng.below(HEADER_LEN as u64 + 1) as usize);
                    bytes[at..end].copy_from_slice(&plausible[..end - at]);
                }
                let _ = deframer.feed(&bytes, &mut |frame| {
                    assert!(frame.len() <= MTU + 4 + VARIABLE_LEN_MAX);
                    frames += 1;
                });
                assert!(deframer.partial_len() <= deframer.partial_len_max());
            }
        }
        assert!(frames > 1_000, "{frames} frames by chance");
    }
}
