//! Noticing that somebody is gone: silence, probes, and the verdict.
//!
//! The sequencer watches everybody, everybody watches the sequencer. Whoever says anything lives.
//! Who is silent for `probe_after` is probed, then again at growing intervals; only who has been
//! silent for `silence_max` *and* left `probes_min` probes unanswered is lost. Time in which this
//! member itself did not run counts for nobody: a processor that shares its core with many others
//! must not take its own pause for the others' silence.
//!
//! Implements: [Thesis §3.4.3] first part; [Amoeba5] §3.7.
//! Differs: the retry counter is a silence and a number of probes; `Timing::amoeba5` gives both
//! the values that amount to the same.

use std::collections::BTreeMap;

use flip_net::time::{Duration, Instant};

use crate::config::Timing;
use crate::seq::MemberIndex;

/// How late a deadline may be served before we think that we were not running.
const PAUSE_MIN: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
struct Watched {
    heard: Instant,
    /// Unanswered since then.
    probes: u32,
    probe_at: Instant,
    lost: bool,
}

/// What a look at the clock brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// To be probed now; true if not for the first time.
    pub(crate) probe: Vec<(MemberIndex, bool)>,
    pub(crate) lost: Vec<MemberIndex>,
    /// Whether silence was forgiven because we ourselves had not been running.
    pub(crate) paused: bool,
}

/// Who is watched, and since when they have been silent.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    watched: BTreeMap<MemberIndex, Watched>,
}

impl Liveness {
    pub(crate) fn watch(&mut self, member: MemberIndex, now: Instant, timing: &Timing) {
        let watched = Watched {
            heard: now,
            probes: 0,
            probe_at: now + timing.probe_after,
            lost: false,
        };
        self.watched.insert(member, watched);
    }

    pub(crate) fn forget(&mut self, member: MemberIndex) {
        self.watched.remove(&member);
    }

    pub(crate) fn forget_all(&mut self) {
        self.watched.clear();
    }

    /// A sign of life.
    pub(crate) fn heard(&mut self, member: MemberIndex, now: Instant) {
        if let Some(watched) = self.watched.get_mut(&member) {
            watched.heard = now;
            watched.probes = 0;
        }
    }

    pub(crate) fn silence(&self, member: MemberIndex, now: Instant) -> Option<Duration> {
        Some(now.since(self.watched.get(&member)?.heard))
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.watched
            .values()
            .filter(|watched| !watched.lost)
            .map(|watched| watched.probe_at)
            .min()
    }

    /// Looks at everybody; `due` is when this look should have happened.
    pub(crate) fn look(&mut self, now: Instant, due: Instant, timing: &Timing) -> Findings {
        let mut findings = Findings::default();
        let late = now.since(due);
        if late > PAUSE_MIN {
            findings.paused = true;
            for watched in self.watched.values_mut() {
                let moved = watched.heard + late;
                watched.heard = moved.min(now);
            }
        }
        for (&member, watched) in &mut self.watched {
            if watched.lost || watched.probe_at > now {
                continue;
            }
            if watched.probes == 0 {
                // Deadlines are not moved at every sign of life, only looked at when they come.
                let first = watched.heard + timing.probe_after;
                if first > now {
                    watched.probe_at = first;
                    continue;
                }
            }
            let silence = now.since(watched.heard);
            if silence >= timing.silence_max && watched.probes >= timing.probes_min {
                watched.lost = true;
                findings.lost.push(member);
                continue;
            }
            findings.probe.push((member, watched.probes > 0));
            let pause = timing.probe.times(1 << watched.probes.min(16));
            watched.probe_at = now + pause.min(timing.probe_max);
            watched.probes += 1;
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M1: MemberIndex = MemberIndex::new(1);

    /// Serves every deadline on time until somebody is lost or `until`.
    fn run(liveness: &mut Liveness, until: Instant, answers: bool) -> Option<Instant> {
        let timing = Timing::modern();
        while let Some(due) = liveness.next_look().filter(|&due| due < until) {
            let findings = liveness.look(due, due, &timing);
            if !findings.lost.is_empty() {
                return Some(due);
            }
            if answers && !findings.probe.is_empty() {
                liveness.heard(M1, due);
            }
        }
        None
    }

    #[test]
    fn a_silent_member_is_found_within_five_seconds_and_not_before_three() {
        let mut liveness = Liveness::default();
        liveness.watch(M1, Instant::ZERO, &Timing::modern());
        let found = run(&mut liveness, Instant::from_micros(60_000_000), false);
        let found = found.expect("silence is found").as_micros();
        assert!((3_000_000..5_000_000).contains(&found), "found at {found}");
        assert_eq!(liveness.next_look(), None, "reported once");
    }

    #[test]
    fn who_answers_is_never_suspected() {
        let mut liveness = Liveness::default();
        liveness.watch(M1, Instant::ZERO, &Timing::modern());
        assert_eq!(
            run(&mut liveness, Instant::from_micros(600_000_000), true),
            None
        );
    }

    #[test]
    fn the_own_pause_is_not_the_others_silence() {
        let timing = Timing::modern();
        let mut liveness = Liveness::default();
        liveness.watch(M1, Instant::ZERO, &timing);
        // We ourselves stand still for a minute at every deadline but hear nothing in between.
        for _ in 0..4 {
            let due = liveness.next_look().expect("watched");
            let findings = liveness.look(due + Duration::from_secs(60), due, &timing);
            assert!(findings.paused && findings.lost.is_empty());
        }
    }
}
