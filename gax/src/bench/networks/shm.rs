//! Echoes over shared memory: on one core against futexes, on two cores against one cache line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex;
use stack::flip_net::driver::{Device, ShmDevice, ShmSegment};

use super::echo::{Answers, Asks, seconds};
use super::node::{Node, pair};
use super::udp::QUESTION_LEN;
use super::{Pair, cores};

const RING_BYTES: usize = 1 << 20;

fn nodes(spins: bool) -> Result<[Node; 2], String> {
    let segment = ShmSegment::create(2, RING_BYTES).map_err(|error| error.to_string())?;
    let open = |number| -> Result<Arc<dyn Device>, String> {
        let device = ShmDevice::open(&segment, number).map_err(|error| error.to_string())?;
        Ok(Arc::new(device))
    };
    Ok(pair([open(0)?, open(1)?], QUESTION_LEN, spins))
}

/// A word for each direction, each on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU32);

#[derive(Default)]
struct Words {
    question: Line,
    answer: Line,
}

/// One end of the words.
struct End {
    words: Arc<Words>,
    seen: u32,
    sleeps: bool,
}

fn ends(sleeps: bool) -> [End; 2] {
    let words = Arc::new(Words::default());
    [(); 2].map(|()| End {
        words: Arc::clone(&words),
        seen: 0,
        sleeps,
    })
}

impl End {
    fn put(&self, line: &Line, value: u32) {
        line.0.store(value, Ordering::Release);
        if self.sleeps {
            // Not a private futex: what stands on shared memory is shared by processes.
            futex::wake(&line.0, futex::Flags::empty(), 1).expect("a futex");
        }
    }

    /// Waits until the word is no longer `old`; not for ever.
    fn wait(&self, line: &Line, old: u32) -> u32 {
        for _ in 0..10_000_000 {
            let value = line.0.load(Ordering::Acquire);
            if value != old {
                return value;
            }
            if self.sleeps {
                // It may have changed by now, or somebody rang for nothing.
                let _ = futex::wait(&line.0, futex::Flags::empty(), old, None);
            } else {
                std::hint::spin_loop();
            }
        }
        old
    }
}

impl Asks for End {
    fn ask(&mut self) {
        self.seen += 1;
        self.put(&self.words.question, self.seen);
        self.wait(&self.words.answer, self.seen - 1);
    }

    fn release(&mut self) {
        self.put(&self.words.question, self.seen + 1);
    }
}

impl Answers for End {
    fn answer(&mut self) {
        self.seen = self.wait(&self.words.question, self.seen);
        self.put(&self.words.answer, self.seen);
    }
}

/// Both ends on one core, sleeping.
pub(super) fn echo(rounds: u32) -> Result<Pair, String> {
    let [mut near, mut far] = nodes(false)?;
    Ok(Pair::measure(
        rounds,
        Some(1.5),
        || {
            let [mut ask, mut answer] = ends(true);
            seconds(&mut ask, &mut answer, 10_000, [0, 0])
        },
        || seconds(&mut near, &mut far, 10_000, [0, 0]),
    ))
}

/// Both ends looking, on two cores.
pub(super) fn spin(rounds: u32) -> Result<Pair, String> {
    if !cores::are_two() {
        return Err("two cores are needed".to_owned());
    }
    let [mut near, mut far] = nodes(true)?;
    let mut pair = Pair::measure(
        rounds,
        None,
        || {
            let [mut ask, mut answer] = ends(false);
            seconds(&mut ask, &mut answer, 50_000, [0, 1])
        },
        || seconds(&mut near, &mut far, 50_000, [0, 1]),
    );
    let median = super::estimate(&pair.measured).median;
    let verdict = if median <= 1e-6 { "kept" } else { "MISSED" };
    pair.note = format!("  at most 1 us: {verdict}");
    Ok(pair)
}
