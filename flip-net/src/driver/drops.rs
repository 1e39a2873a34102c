//! Frames that a device took from the network and did not give: counted by reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// One counter for each reason.
pub(super) struct Drops<const N: usize> {
    names: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Drops<N> {
    pub(super) fn new(names: [&'static str; N]) -> Drops<N> {
        Drops {
            names,
            counts: [const { AtomicU64::new(0) }; N],
        }
    }

    /// One more for reason number `at`.
    pub(super) fn count(&self, at: usize) {
        self.add(at, 1);
    }

    /// More of them for reason number `at`.
    pub(super) fn add(&self, at: usize, count: u64) {
        self.counts[at].fetch_add(count, Ordering::Relaxed);
    }

    /// The reasons that there were.
    pub(super) fn table(&self) -> BTreeMap<&'static str, u64> {
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let table = self.names.iter().copied().zip(counts);
        table.filter(|(_, count)| *count > 0).collect()
    }
}
