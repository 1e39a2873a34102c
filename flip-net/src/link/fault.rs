//! Seeded loss, duplication, delay and reordering around any link.
//!
//! Pure: frames go in with the time, and come out with the time. Tests put it between a machine
//! and its network; it has no opinion about what is inside of a frame.

use std::collections::BTreeMap;

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// How bad a link is. Chances are in one thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames that never arrive.
    pub loss: u64,
    /// Frames that arrive twice.
    pub duplication: u64,
    /// Frames that are held back by up to `delay_max` beyond the others.
    pub reordering: u64,
    /// What every frame takes.
    pub delay: Duration,
    /// How much longer a reordered frame takes at most.
    pub delay_max: Duration,
}

/// What happened to the frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultStats {
    /// Frames offered.
    pub offered: u64,
    /// Frames dropped.
    pub lost: u64,
    /// Extra copies made.
    pub duplicated: u64,
    /// Frames held back.
    pub reordered: u64,
}

/// A link that loses, doubles, delays and reorders what it is given.
#[derive(Debug)]
pub struct FaultLink<T> {
    faults: Faults,
    rng: Rng,
    /// Ordered by time of arrival, then by order of sending.
    under_way: BTreeMap<(Instant, u64), T>,
    sent: u64,
    stats: FaultStats,
}

impl<T: Clone> FaultLink<T> {
    /// A link with these faults; the same generator gives the same fate to the same frames.
    pub fn new(faults: Faults, rng: Rng) -> FaultLink<T> {
        FaultLink {
            faults,
            rng,
            under_way: BTreeMap::new(),
            sent: 0,
            stats: FaultStats::default(),
        }
    }

    /// Changes how bad the link is from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Takes a frame.
    pub fn send(&mut self, now: Instant, frame: T) {
        self.stats.offered += 1;
        if self.rng.chance(self.faults.loss, 1_000) {
            self.stats.lost += 1;
            return;
        }
        if self.rng.chance(self.faults.duplication, 1_000) {
            self.stats.duplicated += 1;
            self.put(now, frame.clone());
        }
        self.put(now, frame);
    }

    fn put(&mut self, now: Instant, frame: T) {
        let mut arrival = now + self.faults.delay;
        let spread = self.faults.delay_max.as_micros();
        if spread > 0 && self.rng.chance(self.faults.reordering, 1_000) {
            self.stats.reordered += 1;
            arrival += Duration::from_micros(1 + self.rng.below(spread));
        }
        self.sent += 1;
        self.under_way.insert((arrival, self.sent), frame);
    }

    /// The next frame that has arrived by now.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(arrival, _)| *arrival)
    }

    /// What happened so far.
    pub fn stats(&self) -> FaultStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, faults: Faults) -> (Vec<u32>, FaultStats) {
        let mut link = FaultLink::new(faults, Rng::new(seed));
        let mut arrived = Vec::new();
        for number in 0..1_000 {
            let now = Instant::from_micros(number * 10);
            link.send(now, number as u32);
            while let Some(frame) = link.receive(now) {
                arrived.push(frame);
            }
        }
        while let Some(next) = link.next_arrival() {
            arrived.extend(link.receive(next));
        }
        (arrived, link.stats())
    }

    #[test]
    fn a_good_link_passes_everything_in_order() {
        let (arrived, _) = run(
            1,
            Faults {
                delay: Duration::from_micros(50),
                ..Faults::default()
            },
        );
        assert_eq!(arrived, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_seed_decides_every_fate() {
        let faults = Faults {
            loss: 100,
            duplication: 50,
            reordering: 200,
            delay: Duration::from_micros(20),
            delay_max: Duration::from_micros(500),
        };
        let (arrived, stats) = run(2, faults);
        assert_eq!(run(2, faults), (arrived.clone(), stats));
        assert_ne!(run(3, faults).0, arrived);
        assert_eq!(arrived.len() as u64, 1_000 - stats.lost + stats.duplicated);
        assert!(stats.lost > 50 && stats.duplicated > 20 && stats.reordered > 100);
        assert!(!arrived.is_sorted());
    }
}
