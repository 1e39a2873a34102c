//! Echoes over shared memory: on one core against futexes, on two cores against one cache line.

use std::sync::Arc;

use stack::flip_net::driver::shm::BareWords;
use stack::flip_net::driver::{Device, ShmDevice, ShmSegment};

use super::Pair;
use super::cores::{self, ONE_CORE, TWO_CORES};
use super::echo::{Answers, Asks, seconds};
use super::node::{Node, pair};
use super::udp::QUESTION_LEN;

const RING_BYTES: usize = 1 << 20;

fn nodes(spins: bool) -> Result<[Node; 2], String> {
    let segment = ShmSegment::create(2, RING_BYTES).map_err(|error| error.to_string())?;
    let open = |number| -> Result<Arc<dyn Device>, String> {
        let device = ShmDevice::open(&segment, number).map_err(|error| error.to_string())?;
        Ok(Arc::new(device))
    };
    Ok(pair([open(0)?, open(1)?], QUESTION_LEN, spins))
}

/// One end of two words in shared memory, each on a page of its own.
struct End {
    words: Arc<BareWords>,
    seen: u32,
    sleeps: bool,
}

const QUESTION: u16 = 0;
const ANSWER: u16 = 1;

fn ends(sleeps: bool) -> Result<[End; 2], String> {
    let words = Arc::new(BareWords::create().map_err(|error| error.to_string())?);
    Ok([(); 2].map(|()| End {
        words: Arc::clone(&words),
        seen: 0,
        sleeps,
    }))
}

impl End {
    fn put(&self, word: u16, value: u32) {
        self.words.put(word, value, self.sleeps);
    }

    /// Waits until the word is what it should be; who looks only does not do so for ever.
    fn wait(&self, word: u16, is_it: impl Fn(u32) -> bool) -> u32 {
        let mut value = self.words.get(word);
        for _ in 0..10_000_000 {
            if is_it(value) {
                break;
            }
            match self.sleeps {
                true => self.words.sleep(word, value),
                false => std::hint::spin_loop(),
            }
            value = self.words.get(word);
        }
        value
    }
}

impl Asks for End {
    fn ask(&mut self) {
        self.seen += 1;
        self.put(QUESTION, self.seen);
        self.wait(ANSWER, |answer| answer == self.seen);
    }

    fn release(&mut self) {
        self.seen += 1;
        self.put(QUESTION, self.seen);
    }
}

impl Answers for End {
    fn answer(&mut self) {
        self.seen = self.wait(QUESTION, |question| question != self.seen);
        self.put(ANSWER, self.seen);
    }
}

/// Both ends on one core, sleeping.
pub(super) fn echo(rounds: u32) -> Result<Pair, String> {
    let [mut ask, mut answer] = ends(true)?;
    let [mut near, mut far] = nodes(false)?;
    Ok(Pair::measure(
        rounds,
        Some(1.5),
        || seconds(&mut ask, &mut answer, 10_000, ONE_CORE),
        || seconds(&mut near, &mut far, 10_000, ONE_CORE),
    ))
}

/// Both ends looking, on two cores.
pub(super) fn spin(rounds: u32) -> Result<Pair, String> {
    if !cores::are_two() {
        return Err("two cores are needed".to_owned());
    }
    let [mut ask, mut answer] = ends(false)?;
    let [mut near, mut far] = nodes(true)?;
    let mut pair = Pair::measure(
        rounds,
        None,
        || seconds(&mut ask, &mut answer, 50_000, TWO_CORES),
        || seconds(&mut near, &mut far, 50_000, TWO_CORES),
    );
    let median = super::estimate(&pair.measured).median;
    let verdict = if median <= 1e-6 { "kept" } else { "MISSED" };
    pair.note = format!("  at most 1 us: {verdict}");
    Ok(pair)
}
