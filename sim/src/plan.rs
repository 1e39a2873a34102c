//! What a seed draws: rates of faults, partitions, crashes. A plan prints itself before the run, so
//! that a human can take it and shrink it by hand.

use std::fmt;

use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};

use crate::crash::{Crash, State};
use crate::rule::Verdict;
use crate::world::MachineId;

/// How often frames suffer, in a thousand, and by how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames lost, in a thousand.
    pub loss: u64,
    /// Frames that arrive twice, in a thousand.
    pub duplication: u64,
    /// Frames delayed beyond those sent after them, in a thousand.
    pub reordering: u64,
    /// The longest such delay.
    pub delay_max: Duration,
}

impl Faults {
    /// Draws what becomes of one frame.
    pub(crate) fn judge(&self, rng: &mut Rng) -> Verdict {
        if rng.chance(self.loss, 1_000) {
            return Verdict::Drop;
        }
        let delay =
            |rng: &mut Rng| Duration::from_micros(rng.below(self.delay_max.as_micros().max(1)));
        if rng.chance(self.duplication, 1_000) {
            return Verdict::Twice(delay(rng));
        }
        if rng.chance(self.reordering, 1_000) {
            return Verdict::After(delay(rng));
        }
        Verdict::Pass
    }
}

/// A time during which two sides do not hear each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// When it begins.
    pub at: Instant,
    /// How long it lasts.
    pub lasts: Duration,
    /// One side; everybody else is on the other.
    pub side: Vec<MachineId>,
}

/// What kind of weather to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mood {
    /// How many machines there are to choose from.
    pub machines: usize,
    /// Over which time crashes and partitions are spread.
    pub span: Duration,
    /// Most crashes.
    pub crashes_max: u64,
    /// Most partitions.
    pub partitions_max: u64,
    /// Whether crashed machines come back.
    pub restarts: bool,
}

/// Everything that goes wrong in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What happens to single frames.
    pub faults: Faults,
    /// When the frame faults stop; `None`: never.
    pub faults_end: Option<Instant>,
    /// Who does not hear whom, and when.
    pub partitions: Vec<Partition>,
    /// Who stops, and when.
    pub crashes: Vec<Crash>,
}

impl Plan {
    /// Nothing goes wrong.
    pub fn calm() -> Plan {
        Plan::default()
    }

    /// What `seed` draws in this mood.
    pub fn draw(seed: u64, mood: &Mood) -> Plan {
        let mut rng = Rng::new(seed ^ 0x7061_6c6e);
        let mut pick = |from: &[u64]| from[rng.below(from.len() as u64) as usize];
        let faults = Faults {
            loss: pick(&[0, 10, 40, 100]),
            duplication: pick(&[0, 10, 100]),
            reordering: pick(&[0, 20, 100]),
            delay_max: Duration::from_micros(pick(&[500, 3_000, 20_000])),
        };
        let partitions = (0..rng.below(mood.partitions_max + 1))
            .map(|_| draw_partition(&mut rng, mood))
            .collect();
        let mut crashes: Vec<Crash> = (0..rng.below(mood.crashes_max + 1))
            .map(|_| draw_crash(&mut rng, mood))
            .collect();
        // A machine crashes once in a plan: twice at a time would be no crash at all.
        crashes.sort_by_key(|crash| crash.machine);
        crashes.dedup_by_key(|crash| crash.machine);
        Plan {
            faults,
            faults_end: None,
            partitions,
            crashes,
        }
    }
}

fn draw_time(rng: &mut Rng, mood: &Mood) -> Instant {
    Instant::from_micros(rng.below(mood.span.as_micros().max(1)))
}

fn draw_partition(rng: &mut Rng, mood: &Mood) -> Partition {
    let side = (0..mood.machines)
        .filter(|_| rng.chance(1, 2))
        .map(MachineId::new)
        .collect();
    Partition {
        at: draw_time(rng, mood),
        lasts: Duration::from_micros(rng.below(mood.span.divided(4).as_micros().max(1))),
        side,
    }
}

fn draw_crash(rng: &mut Rng, mood: &Mood) -> Crash {
    let machine = MachineId::new(rng.below(mood.machines.max(1) as u64) as usize);
    let down = Duration::from_micros(rng.below(mood.span.divided(4).as_micros().max(1)));
    Crash {
        at: draw_time(rng, mood),
        machine,
        down: mood.restarts.then_some(down),
        state: if rng.chance(1, 2) {
            State::Kept
        } else {
            State::Lost
        },
    }
}

fn percent(f: &mut fmt::Formatter<'_>, name: &str, thousandths: u64) -> fmt::Result {
    write!(f, "{name}={}.{}% ", thousandths / 10, thousandths % 10)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        percent(f, "drop", self.faults.loss)?;
        percent(f, "dup", self.faults.duplication)?;
        percent(f, "reorder", self.faults.reordering)?;
        write!(f, "delay<{}", self.faults.delay_max)?;
        if let Some(end) = self.faults_end {
            write!(f, " until={end}")?;
        }
        for partition in &self.partitions {
            write!(f, " partition={}/{}:", partition.at, partition.lasts)?;
            for machine in &partition.side {
                write!(f, "{machine},")?;
            }
        }
        for crash in &self.crashes {
            write!(f, " crash={}:{}", crash.at, crash.machine)?;
            match (crash.down, crash.state) {
                (None, _) => {}
                (Some(down), State::Kept) => write!(f, "/{down}")?,
                (Some(down), State::Lost) => write!(f, "/{down}/anew")?,
            }
        }
        Ok(())
    }
}
