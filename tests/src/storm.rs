//! Storms over whole programs: a seed draws a sample program, its processors, their bounds, bad weather and a host that
//! stands still for a while; what is printed must be
//! what one processor prints in calm weather.

use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use flip_net::Link;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use orca_rts::ProgramRef;
use sim::{Crash, Faults, MachineId, Plan, State};
use stack::StackStats;

use crate::cluster::{Bounds, Cluster, Pace, Report, Setup, compile};

/// The first seed of a test run.
pub const FIRST_SEED: u64 = 0x5eed_0000;

/// Name, main file, arguments, an input file, and what is surely in the output.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
    &'static str,
);

const SAMPLES: &[Row] = &[
    (
        "tsp",
        "tsp/tsp.orca",
        &["tsp12"],
        Some("tsp/tsp12"),
        "shortest route 3215",
    ),
    ("asp", "asp/asp.orca", &["40"], None, "40"),
    ("sor", "sor/sor.imp", &["12", "14"], None, "12 x 14 grid"),
    ("ab", "ab/ab.imp", &["4"], None, "depth 4"),
    (
        "pingpong",
        "pingpong/pingpong.orca",
        &["60"],
        None,
        "60 rounds, ball 60",
    ),
];

/// A program that storms run.
pub struct Sample {
    name: &'static str,
    program: ProgramRef,
    arguments: Vec<Vec<u8>>,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// What one processor prints.
    expected: String,
}

/// All samples, compiled, each run once on one processor.
///
/// # Panics
/// If one does not compile, or prints on one processor what it should not.
pub fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    SAMPLES
        .iter()
        .map(|&(name, main, arguments, file, contained)| {
            let words = std::iter::once(name).chain(arguments.iter().copied());
            let files = file.map(|file| {
                let path = folder.join(file);
                let bytes = std::fs::read(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                (PathBuf::from(arguments[0]), bytes)
            });
            let mut sample = Sample {
                name,
                program: compile(&folder.join(main)),
                arguments: words.map(|word| word.as_bytes().to_vec()).collect(),
                files: files.into_iter().collect(),
                expected: String::new(),
            };
            let mut cluster = Cluster::new(&sample.setup(1, 1));
            let report = cluster.run("cargo storm --count 1");
            let report = report.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            assert_eq!(
                (report.outcome.status, &report.outcome.message),
                (0, &None),
                "{name} on one processor"
            );
            sample.expected = report.output();
            assert!(
                sample.expected.contains(contained),
                "{name} printed {:?}",
                sample.expected
            );
            sample
        })
        .collect()
}

impl Sample {
    fn setup(&self, processors: u32, seed: u64) -> Setup {
        Setup {
            arguments: self.arguments.clone(),
            files: self.files.clone(),
            ..Setup::new(self.program, processors, seed)
        }
    }
}

/// What a seed draws.
pub struct Draw<'a> {
    seed: u64,
    sample: &'a Sample,
    processors: u32,
    link: Link,
    plan: Plan,
    bounds: Bounds,
    pace: Pace,
}

impl<'a> Draw<'a> {
    /// What `seed` draws; programs take turns.
    pub fn new(seed: u64, samples: &'a [Sample]) -> Draw<'a> {
        let mut rng = Rng::new(seed);
        let mut pick = |from: &[u64]| from[rng.below(from.len() as u64) as usize];
        // Neighbours in the sequence of seeds differ in what decides most.
        let sample = &samples[(seed % samples.len() as u64) as usize];
        Draw {
            seed,
            sample,
            processors: 2 + (seed / samples.len() as u64 % 4) as u32,
            link: Link {
                mtu: pick(&[300, 1_498, 60 << 10]) as usize,
                weight: 1,
                multicast: pick(&[0, 1, 1]) == 1,
                trusted: true,
                flow: false,
            },
            plan: Plan {
                faults: Faults {
                    loss: 100,
                    duplication: 100,
                    reordering: 100,
                    delay_max: Duration::from_micros(pick(&[500, 3_000, 20_000])),
                },
                crashes: match pick(&[0, 0, 1]) {
                    0 => Vec::new(),
                    _ => vec![Crash {
                        at: Instant::from_micros(pick(&[1_000, 3_000, 50_000, 300_000])),
                        machine: MachineId::new(pick(&[0, 0, 1]) as usize),
                        down: Some(Duration::from_millis(pick(&[300, 1_500]))),
                        state: State::Kept,
                    }],
                },
                ..Plan::calm()
            },
            bounds: Bounds {
                window: pick(&[1, 2, 64]) as u32,
                history_log2: pick(&[4, 5, 10]) as u8,
                history_bytes_max: pick(&[1_000, 4_000, 1 << 20]) as usize,
                early_bytes_max: pick(&[200, 500, 4_000, 1 << 20]) as usize,
                queue_messages_max: pick(&[1, 2, 4, 4_096]) as usize,
                large: [None, Some(1), Some(60), Some(200)][pick(&[0, 1, 2, 3]) as usize],
            },
            pace: Pace {
                turns_max: pick(&[8, 64, 500]) as u32,
                naps: pick(&[0, 5, 50]),
                nap_max: Duration::from_micros(pick(&[5_000, 40_000, 200_000])),
            },
        }
    }

    /// The command that repeats it.
    pub fn replay(&self) -> String {
        format!("cargo storm --seed {:#x} --trace", self.seed)
    }

    /// Runs it; with `trace` every event is printed.
    ///
    /// # Errors
    /// What does not hold, what was drawn, and the command that repeats it.
    pub fn run(&self, trace: bool) -> Result<Report, String> {
        let setup = Setup {
            plan: self.plan.clone(),
            link: self.link,
            bounds: self.bounds,
            pace: self.pace,
            ..self.sample.setup(self.processors, self.seed)
        };
        let replay = self.replay();
        let mut cluster = Cluster::new(&setup);
        if trace {
            cluster.world.trace_mut().keep_all();
        }
        let result = catch_unwind(AssertUnwindSafe(|| cluster.run(&replay)));
        if trace {
            let mut out = std::io::stdout().lock();
            for line in cluster.world.trace().lines() {
                // A reader that has gone away is not our problem.
                let _ = writeln!(out, "{line}");
            }
        }
        let failure = |what: String| format!("{}", cluster.world.failure(what, &replay));
        let result = match result {
            Ok(Ok(report)) => self.check(report).map_err(failure),
            Ok(Err(told)) => Err(told.to_string()),
            Err(panic) => Err(failure(format!("panic: {}", text_of(&*panic)))),
        };
        result.map_err(|told| format!("{self}\n{told}"))
    }

    fn check(&self, report: Report) -> Result<Report, String> {
        let outcome = &report.outcome;
        if outcome.status != 0 || outcome.message.is_some() {
            return Err(format!(
                "status {}: {}",
                outcome.status,
                outcome.message.as_deref().unwrap_or("nothing said")
            ));
        }
        let (printed, expected) = (report.output(), &self.sample.expected);
        if printed != *expected {
            return Err(format!("printed {printed:?}, expected {expected:?}"));
        }
        Ok(report)
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("of no text").to_owned()
}

impl fmt::Display for Draw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bounds, pace) = (&self.bounds, &self.pace);
        write!(
            f,
            "seed {:#x}: {} on {} processors, mtu={} multicast={} {} window={} history=2^{}/{}B early={}B queue={} \
             large={} turns<={} naps={}/1000<{}",
            self.seed,
            self.sample.name,
            self.processors,
            self.link.mtu,
            self.link.multicast,
            self.plan,
            bounds.window,
            bounds.history_log2,
            bounds.history_bytes_max,
            bounds.early_bytes_max,
            bounds.queue_messages_max,
            bounds
                .large
                .map_or("packet".to_owned(), |large| large.to_string()),
            pace.turns_max,
            pace.naps,
            pace.nap_max,
        )
    }
}

/// What many runs counted together.
#[derive(Default)]
pub struct Totals {
    /// The members' marks.
    pub group: stack::group::Stats,
    /// What FLIP and the joining of fragments did.
    below: [u64; 5],
}

const BELOW: [&str; 5] = [
    "messages joined from fragments",
    "times that missing fragments were asked for",
    "bytes of fragments sent again",
    "addresses located",
    "times the worker's queue was full",
];

impl Totals {
    /// Adds what one stack counted.
    pub fn add(&mut self, stats: &StackStats) {
        self.group.add(&stats.group);
        let counts = [
            stats.join.joined,
            stats.join.asked,
            stats.flip.bytes_again,
            stats.flip.locates,
            stats.queue.full,
        ];
        self.below
            .iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }

    /// What never happened, except for marks that cannot happen here.
    pub fn missed(&self, elsewhere: &[stack::group::Mark]) -> Vec<&'static str> {
        let marks = stack::group::Mark::ALL.iter();
        let marks = marks.filter(|mark| !elsewhere.contains(mark) && self.group.count(**mark) == 0);
        let below = BELOW.iter().zip(self.below).filter(|(_, sum)| *sum == 0);
        marks
            .map(|mark| mark.text())
            .chain(below.map(|(text, _)| *text))
            .collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.group)?;
        BELOW
            .iter()
            .zip(self.below)
            .try_for_each(|(text, sum)| writeln!(f, "{sum:>10}  {text}"))
    }
}
