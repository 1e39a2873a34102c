//! Puts the output of all processors in one order.
//!
//! Texts are shown by the time at which they were written, which follows cause, with one exception: a line that one processor has begun
//! is completed before another's text, if that takes no longer than 50 ms. A processor that ends, or that asks for input, has nothing to
//! add to its line either.
//!
//! This is a pure part: it is told the time and writes nowhere. The caller guarantees that everything written before the
//! *horizon* has been pushed.
//!
//! Implements: CONTRACT.md, Output.

use std::collections::{BTreeMap, VecDeque};

use orca_rts::control_channel::Stream;

/// How long a line that was begun keeps others waiting, in nanoseconds.
pub const LINE_PATIENCE: u64 = 50_000_000;
/// Kept back for the sake of an unfinished line at most; beyond, the line is broken.
pub const HELD_LEN_MAX: usize = 1 << 20;

/// Text of one processor that waits for its turn.
#[derive(Debug)]
struct Chunk {
    processor: u16,
    text: Vec<u8>,
}

/// A line that has been begun and may go on.
#[derive(Clone, Copy, Debug)]
struct Open {
    processor: u16,
    until: u64,
}

/// One of the two outputs.
#[derive(Debug)]
struct Lines {
    stream: Stream,
    open: Option<Open>,
    /// Who wrote the last byte, if that was not a newline.
    mid_line: Option<u16>,
    held: VecDeque<Chunk>,
    held_len: usize,
}

/// The order of all output of a run.
#[derive(Debug)]
pub struct Merger {
    label: bool,
    /// By time, then by arrival.
    pending: BTreeMap<(u64, u64), (Stream, Chunk)>,
    arrivals: u64,
    lines: [Lines; 2],
}

impl Merger {
    pub fn new(label: bool) -> Merger {
        let lines = |stream| Lines {
            stream,
            open: None,
            mid_line: None,
            held: VecDeque::new(),
            held_len: 0,
        };
        Merger {
            label,
            pending: BTreeMap::new(),
            arrivals: 0,
            lines: [lines(Stream::Out), lines(Stream::Err)],
        }
    }

    /// Takes a text that was written at time `at` and arrived at time `now`.
    pub fn push(&mut self, processor: u16, stream: Stream, at: u64, text: Vec<u8>, now: u64) {
        if !text.is_empty() {
            // A time in the future would keep the text back.
            let key = (at.min(now), self.arrivals);
            self.arrivals += 1;
            self.pending
                .insert(key, (stream, Chunk { processor, text }));
        }
    }

    /// Is there text that was written after the horizon so far?
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The processor has nothing to add to a line that it has begun.
    pub fn release(&mut self, processor: u16) {
        for lines in &mut self.lines {
            lines.open = lines.open.filter(|open| open.processor != processor);
        }
    }

    /// Appends to `shown` all that may be shown now that everything written before `horizon` has been pushed.
    pub fn advance(&mut self, horizon: u64, now: u64, shown: &mut Vec<(Stream, Vec<u8>)>) {
        while let Some(entry) = self.pending.first_entry() {
            if entry.key().0 > horizon {
                break;
            }
            let (stream, chunk) = entry.remove();
            let lines = &mut self.lines[stream as usize];
            lines.held_len += chunk.text.len();
            lines.held.push_back(chunk);
            lines.show(self.label, now, shown);
        }
        for lines in &mut self.lines {
            lines.show(self.label, now, shown);
        }
    }

    /// When `advance` must be called again if nothing else happens.
    pub fn deadline(&self) -> Option<u64> {
        self.lines
            .iter()
            .filter(|lines| !lines.held.is_empty())
            .filter_map(|lines| lines.open.map(|open| open.until))
            .min()
    }
}

impl Lines {
    fn show(&mut self, label: bool, now: u64, shown: &mut Vec<(Stream, Vec<u8>)>) {
        if self.held.is_empty() {
            return;
        }
        let mut out = Vec::new();
        loop {
            if self.held_len > HELD_LEN_MAX || self.open.is_some_and(|open| now >= open.until) {
                self.open = None;
            }
            let place = match self.open {
                None => 0,
                Some(open) => {
                    let same = |chunk: &Chunk| chunk.processor == open.processor;
                    match self.held.iter().position(same) {
                        Some(place) => place,
                        None => break,
                    }
                }
            };
            let Some(chunk) = self.held.get_mut(place) else {
                break;
            };
            let processor = chunk.processor;
            // With earlier texts of others waiting only the line that they wait for is completed.
            let newline = if place == 0 {
                chunk.text.iter().rposition(|byte| *byte == b'\n')
            } else {
                chunk.text.iter().position(|byte| *byte == b'\n')
            };
            let end = newline.map_or(chunk.text.len(), |at| at + 1);
            let rest = chunk.text.split_off(end);
            let text = std::mem::replace(&mut chunk.text, rest);
            if chunk.text.is_empty() {
                self.held.remove(place);
            }
            self.held_len -= text.len();
            let begun = self.open.map_or(now + LINE_PATIENCE, |open| open.until);
            self.open = newline.is_none().then_some(Open {
                processor,
                until: begun,
            });
            self.write(label, processor, &text, &mut out);
        }
        if !out.is_empty() {
            shown.push((self.stream, out));
        }
    }

    fn write(&mut self, label: bool, processor: u16, text: &[u8], out: &mut Vec<u8>) {
        if label {
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                match self.mid_line {
                    Some(writer) if writer == processor => {}
                    Some(_) => out.extend_from_slice(format!("\n[{processor}] ").as_bytes()),
                    None => out.extend_from_slice(format!("[{processor}] ").as_bytes()),
                }
                out.extend_from_slice(line);
                self.mid_line = (line.last() != Some(&b'\n')).then_some(processor);
            }
        } else {
            out.extend_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    struct Run {
        merger: Merger,
        out: String,
        err: String,
    }

    impl Run {
        fn new(label: bool) -> Run {
            Run {
                merger: Merger::new(label),
                out: String::new(),
                err: String::new(),
            }
        }

        fn push(&mut self, processor: u16, at: u64, text: &str) {
            self.merger
                .push(processor, Stream::Out, at, text.into(), u64::MAX);
        }

        fn advance(&mut self, now: u64) -> &str {
            let mut shown = Vec::new();
            self.merger.advance(now, now, &mut shown);
            for (stream, text) in shown {
                let text = String::from_utf8(text).expect("tests write text");
                match stream {
                    Stream::Out => self.out += &text,
                    Stream::Err => self.err += &text,
                }
            }
            &self.out
        }
    }

    #[test]
    fn texts_are_shown_in_the_order_of_their_writing_not_of_their_arrival() {
        let mut run = Run::new(false);
        run.push(1, 20, "second\n");
        run.push(0, 10, "first\n");
        run.push(0, 30, "third\n");
        assert_eq!(run.advance(100), "first\nsecond\nthird\n");
    }

    #[test]
    fn nothing_beyond_the_horizon_is_shown() {
        let mut run = Run::new(false);
        run.push(1, 20, "later\n");
        assert_eq!(run.advance(19), "");
        assert!(run.merger.is_pending());
        assert_eq!(run.advance(20), "later\n");
    }

    #[test]
    fn a_line_in_pieces_is_not_mixed_with_another() {
        let mut run = Run::new(false);
        run.push(0, 10, "a");
        run.push(1, 11, "x");
        run.push(0, 12, "b");
        run.push(1, 13, "y\n");
        assert_eq!(run.advance(MS), "ab");
        run.push(0, 2 * MS, "c\nd");
        assert_eq!(run.advance(3 * MS), "abc\nxy\nd");
    }

    #[test]
    fn an_unfinished_line_keeps_others_waiting_for_50_ms() {
        let mut run = Run::new(false);
        run.push(0, MS, "prompt: ");
        run.advance(MS);
        run.push(1, 2 * MS, "result\n");
        assert_eq!(run.advance(50 * MS), "prompt: ");
        assert_eq!(run.merger.deadline(), Some(51 * MS));
        assert_eq!(run.advance(51 * MS), "prompt: result\n");
        assert_eq!(run.merger.deadline(), None);
    }

    #[test]
    fn dots_without_a_newline_do_not_keep_others_waiting_for_ever() {
        let mut run = Run::new(false);
        for i in 0..10 {
            run.push(0, i * 10 * MS, ".");
            if i == 1 {
                run.push(1, i * 10 * MS, "x\n");
            }
            run.advance(i * 10 * MS);
        }
        assert_eq!(run.out, ".....x\n.....");
    }

    #[test]
    fn a_processor_that_ends_or_reads_releases_its_line() {
        let mut run = Run::new(false);
        run.push(0, MS, "no newline");
        run.advance(MS);
        run.merger.release(0);
        run.push(1, 2 * MS, "x\n");
        assert_eq!(run.advance(2 * MS), "no newlinex\n");
    }

    #[test]
    fn labels_stand_at_the_beginning_of_each_line() {
        let mut run = Run::new(true);
        run.push(2, 1, "one\ntwo\n");
        run.push(0, 2, "half");
        run.advance(2);
        run.merger.release(0);
        run.push(2, 3, "three\n");
        assert_eq!(run.advance(3), "[2] one\n[2] two\n[0] half\n[2] three\n");
    }

    #[test]
    fn a_flood_behind_an_unfinished_line_is_not_kept() {
        let mut run = Run::new(false);
        run.push(0, 1, "half");
        run.advance(1);
        run.push(1, 2, &"x".repeat(HELD_LEN_MAX + 1));
        assert_eq!(run.advance(3).len(), 4 + HELD_LEN_MAX + 1);
    }

    #[test]
    fn standard_error_has_lines_of_its_own() {
        let mut run = Run::new(false);
        run.push(0, 1, "half");
        run.merger.push(1, Stream::Err, 2, b"error\n".to_vec(), 9);
        run.advance(3);
        assert_eq!(run.err, "error\n");
    }

    #[test]
    fn a_clock_that_runs_ahead_keeps_nothing_back() {
        let mut merger = Merger::new(false);
        merger.push(0, Stream::Out, u64::MAX, b"x\n".to_vec(), 7);
        let mut shown = Vec::new();
        merger.advance(7, 7, &mut shown);
        assert_eq!(shown, [(Stream::Out, b"x\n".to_vec())]);
    }
}
