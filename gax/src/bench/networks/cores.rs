//! Where the two ends run.

use rustix::thread::{CpuSet, sched_setaffinity};

/// Both ends on one core: what is measured is the work, since nobody works while the other does.
pub(super) const ONE_CORE: [usize; 2] = [0, 0];
/// Each end on its own, as hosts are: the waking of an idle core is measured too.
pub(super) const TWO_CORES: [usize; 2] = [0, 1];

/// Pins the calling thread. A core that is not there leaves it where it is.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    // Without it the figures are still ratios, only noisier.
    let _ = sched_setaffinity(None, &set);
}

/// Whether there are two cores.
pub(super) fn are_two() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// How many cores there are, for a thread that is not pinned yet; it stays so for all.
pub(crate) fn count() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}
