//! A sealer that knows one sender, is to meet another, and hears frames of both, damaged and whole,
//! late and twice, and bytes that nobody sealed. Only what was sealed is ever accepted, once.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use arbitrary::{Arbitrary, Unstructured};
use flip_net::address::LinkAddress;
use flip_net::rng::Rng;
use flip_net::seal::{Key, Opened, SEAL_MAGIC, SealConfig, Sealer, SenderId};
use flip_net::time::{Duration, Instant};

const OPS_MAX: usize = 200;
const ANSWERS_MAX: usize = 1_024;

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    /// Bytes that nobody sealed.
    Bytes(&'a [u8]),
    /// The same behind the header of a frame of somebody.
    Body {
        of: u8,
        kind: u8,
        body: &'a [u8],
    },
    /// Somebody seals a frame; it is on its way.
    Seal {
        by: u8,
        len: u8,
    },
    Announce {
        by: u8,
    },
    /// A frame arrives; it is not gone from the network by that.
    Arrive {
        frame: u16,
        station: u8,
    },
    /// The same with a bit turned over.
    Damaged {
        frame: u16,
        bit: u16,
    },
    /// The same, shorter or longer.
    Cut {
        frame: u16,
        len: u16,
    },
    /// What the sealer answers reaches the other two, and their answers are on their way.
    Answers,
    Rekey {
        all: bool,
        grace: u8,
    },
    Wait {
        millis: u16,
    },
}

fn config() -> SealConfig {
    SealConfig {
        senders_max: 3,
        waiting_max: 2,
        held_by_sender_max: 3,
        held_bytes_by_sender_max: 300,
        held_bytes_max: 400,
        answers_burst: 8,
        answers_per_second: 100,
        keys_len_max: 2,
        ..SealConfig::default()
    }
}

fn id(number: u64) -> SenderId {
    SenderId::from_rng(&mut Rng::new(number))
}

/// Opens what `data` says.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut bench = Bench::new(secret_of(data));
    for _ in 0..OPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(op) = input.arbitrary() else { break };
        bench.step(op);
        bench.check();
    }
}

/// A secret of this input alone. The fuzzer sees what is compared and writes it into later inputs:
/// with one secret for all, a frame that was sealed for one input would be a forgery in another, and
/// a good one.
fn secret_of(data: &[u8]) -> [u8; 32] {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    let mut secret = [0; 32];
    Rng::new(hasher.finish()).fill(&mut secret);
    secret
}

struct Bench {
    secret: [u8; 32],
    now: Instant,
    epoch: u32,
    receiver: Sealer,
    others: [Sealer; 3],
    /// All frames that were ever on the network.
    wire: Vec<Vec<u8>>,
    plains: BTreeSet<Vec<u8>>,
    accepted: BTreeSet<Vec<u8>>,
}

impl Bench {
    fn new(secret: [u8; 32]) -> Bench {
        let key = || Key::new(secret, 0);
        let other = |number| Sealer::new(key(), id(number), SealConfig::default());
        let mut bench = Bench {
            secret,
            now: Instant::ZERO,
            epoch: 0,
            receiver: Sealer::new(key(), id(1), config()),
            others: [2, 3, 4].map(other),
            wire: Vec::new(),
            plains: BTreeSet::new(),
            accepted: BTreeSet::new(),
        };
        // The first of the others is known.
        let hello = bench.others[0].announce().expect("a fresh key");
        bench.arrive(hello, 0);
        bench.exchange_answers();
        let introduction = bench.wire.last().cloned().expect("it was challenged");
        bench.arrive(introduction, 0);
        assert_eq!(bench.receiver.incoming().sizes().0, 1);
        bench
    }

    fn step(&mut self, op: Op<'_>) {
        match op {
            Op::Bytes(bytes) => self.forge(bytes.to_vec()),
            Op::Body { of, kind, body } => {
                let mut frame = vec![SEAL_MAGIC, kind];
                frame.extend(self.epoch.to_be_bytes());
                frame.extend(id(2 + u64::from(of % 4)).bytes());
                frame.extend(body);
                self.forge(frame);
            }
            Op::Seal { by, len } => {
                let number = self.plains.len() as u32;
                let mut plain = number.to_be_bytes().to_vec();
                plain.resize(4 + usize::from(len), by);
                let sealed = self.others[usize::from(by % 3)].seal(&plain);
                self.wire.extend(sealed);
                self.plains.insert(plain);
            }
            Op::Announce { by } => {
                let hello = self.others[usize::from(by % 3)].announce();
                self.wire.extend(hello);
            }
            Op::Arrive { frame, station } => {
                if let Some(frame) = self.pick(frame) {
                    self.arrive(frame, station);
                }
            }
            Op::Damaged { frame, bit } => {
                if let Some(mut frame) = self.pick(frame) {
                    let bit = usize::from(bit) % (frame.len() * 8);
                    frame[bit / 8] ^= 1 << (bit % 8);
                    self.forge(frame);
                }
            }
            Op::Cut { frame, len } => {
                if let Some(mut frame) = self.pick(frame) {
                    let len = usize::from(len) % (frame.len() + 40);
                    if len != frame.len() {
                        frame.resize(len, 0);
                        self.forge(frame);
                    }
                }
            }
            Op::Answers => self.exchange_answers(),
            Op::Rekey { all, grace } => self.rekey(all, grace),
            Op::Wait { millis } => {
                self.now += Duration::from_millis(millis.into());
                self.receiver.handle_timeout(self.now);
                let next = self.receiver.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "it stands still");
            }
        }
    }

    fn rekey(&mut self, all: bool, grace: u8) {
        self.epoch += 1;
        let grace = Duration::from_millis(grace.into());
        let others = self.others.iter_mut().take(if all { 3 } else { 1 });
        for sealer in others.chain([&mut self.receiver]) {
            let key = Key::new(self.secret, self.epoch);
            sealer.rekey(self.now, key, grace).expect("a later epoch");
        }
    }

    fn pick(&self, frame: u16) -> Option<Vec<u8>> {
        let at = usize::from(frame).checked_rem(self.wire.len())?;
        Some(self.wire[at].clone())
    }

    /// A frame that no sealer has made.
    fn forge(&mut self, mut frame: Vec<u8>) {
        if self.wire.contains(&frame) {
            return;
        }
        let before = self.receiver.incoming().sizes();
        let from = LinkAddress::Station(7);
        let opened = self.receiver.open(self.now, from, &mut frame);
        assert!(
            matches!(opened, Opened::Dropped(_)),
            "a forgery became {opened:?}"
        );
        assert_eq!(self.receiver.poll_frame(), None);
        assert_eq!(self.receiver.poll_transmit(), None);
        // An epoch may have come to its end meanwhile.
        let after = self.receiver.incoming().sizes();
        assert!(after.0 <= before.0 && after.1 <= before.1 && after.2 <= before.2);
    }

    fn arrive(&mut self, mut frame: Vec<u8>, station: u8) {
        let from = LinkAddress::Station(station.into());
        if let Opened::Frame(plain) = self.receiver.open(self.now, from, &mut frame) {
            let plain = plain.to_vec();
            self.accept(plain);
        }
        while let Some((_, plain)) = self.receiver.poll_frame() {
            self.accept(plain);
        }
    }

    fn accept(&mut self, plain: Vec<u8>) {
        assert!(self.plains.contains(&plain), "nobody sealed {plain:?}");
        assert!(self.accepted.insert(plain), "accepted twice");
    }

    fn exchange_answers(&mut self) {
        let mut count = 0;
        while let Some((_, answer)) = self.receiver.poll_transmit() {
            count += 1;
            assert!(count <= ANSWERS_MAX);
            for other in &mut self.others {
                other.open(self.now, LinkAddress::Station(1), &mut answer.clone());
                while let Some((_, answer)) = other.poll_transmit() {
                    self.wire.push(answer);
                }
            }
        }
    }

    fn check(&mut self) {
        // Answers that nobody fetched do not count in `forge`.
        self.exchange_answers();
        let ((known, waiting, held), config) = (self.receiver.incoming().sizes(), config());
        assert!(known <= config.senders_max && waiting <= config.waiting_max);
        assert!(held <= config.held_bytes_max);
    }
}
