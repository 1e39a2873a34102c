//! A list of operations on a joiner with small bounds: pieces in any order, overlapping, twice,
//! that contradict each other; time that goes on; questions for what is missing. What is joined is
//! what was put in, bounds hold, and deadlines move on.

use arbitrary::{Arbitrary, Unstructured};
use flip_net::address::FlipAddress;
use flip_net::flip_box::{Fragment, PARTS_MAX};
use flip_net::join::{JoinConfig, Joiner, Message};
use flip_net::time::{Duration, Instant};

const OPS_MAX: usize = 400;

#[derive(Arbitrary, Debug)]
enum Op {
    /// A piece of one of the messages.
    Piece {
        key: u8,
        offset: u16,
        len: u8,
        tainted: bool,
    },
    /// The same with a length of the message that nobody else may say.
    Liar {
        key: u8,
        offset: u32,
        len: u8,
        total: u32,
    },
    /// Time goes on.
    Wait { millis: u8 },
    /// Until the next deadline.
    NextDeadline,
}

fn config() -> JoinConfig {
    JoinConfig {
        message_len_max: 700,
        bytes_max: 2_000,
        messages_max: 7,
        by_source_max: 3,
        stretches_max: 2,
        gap: Duration::from_millis(100),
        ask_after: Duration::from_millis(4),
    }
}

/// Joins what `data` says.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut bench = Bench {
        now: Instant::ZERO,
        joiner: Joiner::new(config()),
    };
    for _ in 0..OPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(op) = input.arbitrary() else { break };
        bench.step(op);
        bench.check();
    }
}

struct Bench {
    now: Instant,
    joiner: Joiner,
}

impl Bench {
    fn step(&mut self, op: Op) {
        match op {
            Op::Piece {
                key,
                offset,
                len,
                tainted,
            } => {
                let total = total_of(key);
                let offset = u32::from(offset) % total;
                let len = u32::from(len).min(total - offset);
                self.put(key, offset, len, total, tainted);
            }
            Op::Liar {
                key,
                offset,
                len,
                total,
            } => self.put(key, offset, u32::from(len), total, false),
            Op::Wait { millis } => self.wait(self.now + Duration::from_millis(millis.into())),
            Op::NextDeadline => {
                if let Some(next) = self.joiner.poll_timeout() {
                    self.wait(next);
                }
            }
        }
    }

    fn put(&mut self, key: u8, offset: u32, len: u32, total: u32, tainted: bool) {
        let bytes = (offset..offset.saturating_add(len)).map(|at| byte_of(key, at));
        let fragment = Fragment {
            source: source_of(key),
            destination: FlipAddress::new([9; 8]),
            message: u32::from(key),
            offset,
            total,
            multicast: key & 1 == 1,
            tainted,
            payload: bytes.collect(),
        };
        let is_whole = fragment.payload.len() == total as usize;
        let joined = self.joiner.handle_fragment(self.now, fragment);
        assert!(
            joined.is_some() || !is_whole,
            "a whole message needs nothing"
        );
        if let Some(message) = joined {
            check_message(key, offset, total, is_whole, &message);
        }
    }

    fn wait(&mut self, until: Instant) {
        assert!(until >= self.now, "deadlines lie in the future");
        self.now = until;
        self.joiner.handle_timeout(self.now);
        let mut asked = 0;
        while let Some(missing) = self.joiner.poll_missing(self.now) {
            asked += 1;
            assert!(asked <= config().messages_max, "each is asked for once");
            let parts = &missing.parts;
            assert!((1..=PARTS_MAX).contains(&parts.len()));
            assert!(parts.iter().all(|(start, end)| start < end));
            assert!(parts.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        let next = self.joiner.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "it stands still");
    }

    fn check(&self) {
        let (sizes, config) = (self.joiner.sizes(), config());
        assert!(sizes.messages <= config.messages_max);
        assert!(sizes.bytes <= config.bytes_max);
        assert!(sizes.stretches <= config.stretches_max + sizes.messages);
        assert_eq!(self.joiner.is_busy(), sizes.messages > 0);
        assert_eq!(self.joiner.is_busy(), self.joiner.poll_timeout().is_some());
        assert_eq!(sizes.messages == 0, sizes.bytes == 0);
    }
}

fn check_message(key: u8, offset: u32, total: u32, is_whole: bool, message: &Message) {
    assert_eq!(message.source, source_of(key));
    assert_eq!(message.message, u32::from(key));
    assert_eq!(message.payload.len(), total as usize);
    let first = if is_whole { offset } else { 0 };
    let bytes = (0..total).map(|at| byte_of(key, first.wrapping_add(at)));
    assert!(
        bytes.eq(message.payload.iter().copied()),
        "the pieces that were put in"
    );
}

fn source_of(key: u8) -> FlipAddress {
    FlipAddress::new([1 + key % 5; 8])
}

fn total_of(key: u8) -> u32 {
    2 + u32::from(key) * 3
}

fn byte_of(key: u8, at: u32) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 24) as u8 ^ key
}
