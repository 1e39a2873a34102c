//! The sample programs in storms: whole processors in virtual time, frames lost, doubled and overtaken, small bounds and sleepy
//! workers, hosts that stand still; what is printed is what one processor prints. `cargo storm` runs more.
//!
//! Implements: DESIGN 12.

use std::time::{Duration, Instant};

use stack::group::Mark;
use tests::storm::{Draw, FIRST_SEED, Totals, samples};

/// So many seeds run in any case.
const FLOOR: u64 = 200;
/// More are tried as long as there is time; `STORM_SECONDS` says otherwise.
const BUDGET: Duration = Duration::from_secs(60);

/// Marks that whole, correct processors cannot reach that join once and come back when they stand still.
const ELSEWHERE: &[Mark] = &[
    // Nobody crashes, and nobody stands still as long as a silence may last.
    Mark::MemberLost,
    // There are fewer processors than slots.
    Mark::GroupFull,
    // Nobody sends what no correct member sends, and all belong to one incarnation of one group.
    Mark::Malformed,
    Mark::UnknownKind,
    Mark::BadExpect,
    Mark::RequestBeyondWindow,
    Mark::BroadcastTooFar,
    Mark::OtherIncarnation,
    // The stack has FLIP leave out the sender.
    Mark::OwnEcho,
    // The stack asks the member for nothing while its own queue, of the same size, is full: that is counted there, and must happen.
    Mark::QueueFull,
];

/// Programs run without resilience, and nobody crashes: `group/tests/gale.rs` reaches these.
const IN_GALES: std::ops::RangeInclusive<Mark> = Mark::NumberTentative..=Mark::Expelled;

fn budget() -> Duration {
    match std::env::var("STORM_SECONDS") {
        Ok(text) => Duration::from_secs(text.parse().expect("STORM_SECONDS is a number")),
        Err(_) => BUDGET,
    }
}

#[test]
fn every_program_prints_in_a_storm_what_it_prints_alone() {
    let samples = samples();
    let begun = Instant::now();
    let mut totals = Totals::default();
    let mut count = 0;
    while count < FLOOR || begun.elapsed() < budget() {
        let draw = Draw::new(FIRST_SEED + count, &samples);
        let report = draw.run(false).unwrap_or_else(|told| panic!("{told}"));
        report.stats.iter().for_each(|stats| totals.add(stats));
        count += 1;
    }
    println!(
        "{count} seeds from {FIRST_SEED:#x} in {} s (at least {FLOOR})\n{totals}",
        begun.elapsed().as_secs()
    );
    let elsewhere: Vec<Mark> = ELSEWHERE
        .iter()
        .chain(Mark::ALL.iter().filter(|mark| IN_GALES.contains(mark)))
        .copied()
        .collect();
    let missed = totals.missed(&elsewhere);
    assert!(missed.is_empty(), "never reached: {missed:#?}");
}

#[test]
fn a_seed_decides_everything() {
    let samples = samples();
    let hash = |seed| {
        let report = Draw::new(seed, &samples).run(false);
        report.unwrap_or_else(|told| panic!("{told}")).hash
    };
    for seed in FIRST_SEED..FIRST_SEED + 5 {
        assert_eq!(hash(seed), hash(seed), "seed {seed:#x}");
    }
    assert_ne!(hash(FIRST_SEED), hash(FIRST_SEED + 5));
}
