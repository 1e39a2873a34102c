//! An echo: one end asks, the other one answers, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::cores;

/// The asking end.
pub(super) trait Asks: Send {
    /// Sends a question and waits for its answer.
    fn ask(&mut self);

    /// Makes the other end stop waiting; what waits with a bound does so by itself.
    fn release(&mut self) {}
}

/// The answering end.
pub(super) trait Answers: Send {
    /// Waits for something, a while, and answers it.
    fn answer(&mut self);
}

/// Seconds an echo: `count` of them, the ends on these cores.
pub(super) fn seconds(
    asks: &mut impl Asks,
    answers: &mut impl Answers,
    count: u32,
    on: [usize; 2],
) -> f64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            cores::pin(on[1]);
            while !over.load(Ordering::Relaxed) {
                answers.answer();
            }
        });
        let asking = scope.spawn(|| {
            cores::pin(on[0]);
            // The first ones find each other.
            (0..count / 20 + 1).for_each(|_| asks.ask());
            let begun = Instant::now();
            (0..count).for_each(|_| asks.ask());
            let seconds = begun.elapsed().as_secs_f64() / f64::from(count);
            over.store(true, Ordering::Relaxed);
            asks.release();
            seconds
        });
        asking.join().expect("an end that fails has said why")
    })
}
