//! How a failed run is told: the last events, the verdict, the plan, the command that repeats it,
//! and nothing else.

use std::fmt;

use flip_net::time::Instant;

use crate::plan::Plan;
use crate::trace::Trace;

/// A failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which property does not hold, and who saw it.
    pub what: String,
    /// When it was noticed.
    pub at: Instant,
    plan: String,
    hash: u64,
    tail: Vec<String>,
    replay: String,
}

impl Failure {
    /// The report of a run that `replay` repeats.
    pub fn new(
        what: impl Into<String>,
        at: Instant,
        plan: &Plan,
        trace: &Trace,
        replay: impl Into<String>,
    ) -> Failure {
        Failure {
            what: what.into(),
            at,
            plan: plan.to_string(),
            hash: trace.hash(),
            tail: trace.tail().map(str::to_string).collect(),
            replay: replay.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tail
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))?;
        let mut what = self.what.lines();
        writeln!(
            f,
            "storm: {} at {}",
            what.next().unwrap_or_default(),
            self.at
        )?;
        what.try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "  plan   {}", self.plan)?;
        let shown = self.tail.len();
        writeln!(
            f,
            "  trace  hash={:016x} (last {shown} events above)",
            self.hash
        )?;
        write!(f, "  replay {}", self.replay)
    }
}

impl std::error::Error for Failure {}
