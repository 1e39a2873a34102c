//! Sealers, from outside: the bytes, the attacker, the bounds, conversations, boxes.
//!
//! There is no network but in `boxes`: a test hands frames from one sealer to another.

mod bounds;
mod boxes;
mod model;
mod rekey;
mod replay;
mod wire;

use flip_net::address::LinkAddress;
use flip_net::rng::Rng;
use flip_net::seal::{Key, Opened, SealConfig, SealDrop, Sealer, SenderId};
use flip_net::time::Instant;

/// Where the frames of most tests come from.
const THERE: LinkAddress = LinkAddress::Station(9);
const START: Instant = Instant::ZERO;

/// What became of a frame, without the borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Frame(Vec<u8>),
    Held,
    Control,
    Dropped(SealDrop),
}

fn key(epoch: u32) -> Key {
    Key::new([0x4b; 32], epoch)
}

fn id(number: u64) -> SenderId {
    SenderId::from_rng(&mut Rng::new(number))
}

fn sealer(number: u64) -> Sealer {
    sealer_with(number, SealConfig::default())
}

fn sealer_with(number: u64, config: SealConfig) -> Sealer {
    Sealer::new(key(0), id(number), config)
}

fn seal(from: &Sealer, plain: &[u8]) -> Vec<u8> {
    from.seal(plain).expect("the key is not used up")
}

fn open(to: &mut Sealer, now: Instant, frame: &[u8]) -> Fate {
    match to.open(now, THERE, &mut frame.to_vec()) {
        Opened::Frame(plain) => Fate::Frame(plain.to_vec()),
        Opened::Held => Fate::Held,
        Opened::Control => Fate::Control,
        Opened::Dropped(reason) => Fate::Dropped(reason),
    }
}

fn released(from: &mut Sealer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| from.poll_frame().map(|(_, plain)| plain)).collect()
}

fn answers(from: &mut Sealer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| from.poll_transmit().map(|(_, frame)| frame)).collect()
}

/// Hands answers to and fro until there are none. Says how many there were.
fn exchange(now: Instant, a: &mut Sealer, b: &mut Sealer) -> usize {
    let mut count = 0;
    loop {
        let (from_a, from_b) = (answers(a), answers(b));
        if from_a.is_empty() && from_b.is_empty() {
            return count;
        }
        count += from_a.len() + from_b.len();
        from_a.iter().for_each(|frame| drop(open(b, now, frame)));
        from_b.iter().for_each(|frame| drop(open(a, now, frame)));
    }
}

/// Makes two sealers known to each other.
fn meet(now: Instant, a: &mut Sealer, b: &mut Sealer) {
    let before = (a.stats().introduced, b.stats().introduced);
    let hello = a.announce().expect("the key is not used up");
    assert_eq!(open(b, now, &hello), Fate::Control);
    assert_eq!(exchange(now, a, b), 2, "one challenge, one introduction");
    let after = (a.stats().introduced, b.stats().introduced);
    assert_eq!(after, (before.0 + 1, before.1 + 1));
}

/// The counter in a sealed frame.
fn counter(frame: &[u8]) -> u64 {
    u64::from_be_bytes(frame[22..30].try_into().expect("eight bytes"))
}
