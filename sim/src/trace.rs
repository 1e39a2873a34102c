//! What happened: one line an event, in fixed columns, and a running hash over all lines.
//!
//! ```text
//! +0.001204   p2       hears    wire s0    64 B  9f31c07e
//! +0.001204   p2       sends    wire *     80 B  0c11d2aa
//! +0.002000   p1       timeout
//! time        machine  verb     network peer size hash of the bytes
//! ```
//!
//! Verbs: `sends`, `hears`, `loses` (a frame that will not arrive there), `timeout`, `works`,
//! `notes`, `crashes`, `returns`. With a describer set, its text stands for size and hash.

use std::collections::VecDeque;

use flip_net::time::Instant;

/// How many lines a failure shows.
const TAIL_LEN: usize = 40;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The trace of a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    count: u64,
    tail: VecDeque<String>,
    /// Every line, if somebody asked for them.
    all: Option<Vec<String>>,
    describe: Option<fn(&[u8]) -> String>,
}

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace {
            hash: FNV_OFFSET,
            count: 0,
            tail: VecDeque::with_capacity(TAIL_LEN),
            all: None,
            describe: None,
        }
    }

    /// Keeps every line from now on, not only the last ones.
    pub fn keep_all(&mut self) {
        self.all.get_or_insert_default();
    }

    /// Uses `describe` for the text of frames. It becomes part of the hash.
    pub fn describe_frames(&mut self, describe: fn(&[u8]) -> String) {
        self.describe = Some(describe);
    }

    /// The hash over all lines so far: equal runs have equal hashes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last lines, oldest first.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }

    /// Every line, if they were kept.
    pub fn lines(&self) -> &[String] {
        self.all.as_deref().unwrap_or_default()
    }

    pub(crate) fn line(&mut self, now: Instant, machine: &str, verb: &str, detail: &str) {
        let time = now.to_string();
        let line = format!("{time:<11} {machine:<8} {verb:<8} {detail}");
        let line = line.trim_end().to_string();
        self.hash = fnv(fnv(self.hash, line.as_bytes()), b"\n");
        self.count += 1;
        if let Some(all) = &mut self.all {
            all.push(line.clone());
        }
        if self.tail.len() == TAIL_LEN {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// The columns for a frame.
    pub(crate) fn frame(&self, cable: &str, peer: &str, bytes: &[u8]) -> String {
        match self.describe {
            Some(describe) => format!("{cable} {peer:<5} {}", describe(bytes)),
            None => {
                let hash = fnv(FNV_OFFSET, bytes) as u32;
                format!("{cable} {peer:<5} {:>5} B  {hash:08x}", bytes.len())
            }
        }
    }
}

fn fnv(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    bytes.iter().fold(start, step)
}
