//! Frames on their way into a stream: whole ones, in order, with a bound in bytes. What does not
//! fit is refused, so the stream never holds half a frame up to throw it away.

use std::collections::VecDeque;
use std::io::IoSlice;

/// The most bytes that wait for a slow stream: some tens of milliseconds of a fast network.
pub(super) const OUTGOING_BYTES_MAX: usize = 4 << 20;
/// The most frames that one system call takes.
const SLICES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: VecDeque<Vec<u8>>,
    /// Bytes of all frames, those of the first one that have left not counted.
    bytes: usize,
    /// Bytes of the first frame that have left.
    gone: usize,
}

impl Outgoing {
    /// Whether a frame of this length would be taken. An empty queue takes any.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.is_empty() || self.bytes + len <= OUTGOING_BYTES_MAX
    }

    /// Takes a frame in, unless there is no room for it.
    pub(super) fn push(&mut self, frame: Vec<u8>) -> bool {
        let fits = self.has_room(frame.len());
        if fits && !frame.is_empty() {
            self.bytes += frame.len();
            self.frames.push_back(frame);
        }
        fits
    }

    /// What is to be written next.
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut gone = self.gone;
        let frames = self.frames.iter().take(SLICES_MAX);
        frames
            .map(|frame| IoSlice::new(&frame[std::mem::take(&mut gone)..]))
            .collect()
    }

    /// So many bytes of that were written.
    pub(super) fn advance(&mut self, mut written: usize) {
        assert!(written <= self.bytes, "no more is written than there was");
        self.bytes -= written;
        while let Some(first) = self.frames.front() {
            let left = first.len() - self.gone;
            if written < left {
                self.gone += written;
                return;
            }
            written -= left;
            self.gone = 0;
            self.frames.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames that have not left, or not whole.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_order_however_much_is_written_at_a_time() {
        for step in 1..=9 {
            let mut outgoing = Outgoing::default();
            assert!(outgoing.push(b"abc".to_vec()) && outgoing.push(b"defgh".to_vec()));
            assert!(outgoing.push(b"i".to_vec()));
            let mut out = Vec::new();
            while !outgoing.is_empty() {
                let slices = outgoing.slices();
                let next: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                let written = next.len().min(step);
                out.extend_from_slice(&next[..written]);
                outgoing.advance(written);
            }
            assert_eq!(out, b"abcdefghi", "{step} at a time");
            assert_eq!(outgoing.bytes, 0);
        }
    }

    #[test]
    fn a_full_queue_refuses_and_an_empty_one_never_does() {
        let mut outgoing = Outgoing::default();
        assert!(outgoing.push(vec![0; OUTGOING_BYTES_MAX + 1]));
        assert!(!outgoing.push(vec![0; 1]));
        assert_eq!(outgoing.len(), 1);
        outgoing.advance(2);
        assert!(outgoing.push(vec![0; 1]));
    }
}
