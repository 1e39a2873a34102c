//! Storms: clients and servers in virtual time under a plan of faults drawn from a seed, the checker
//! over everything, and a table of what the seeds reached.
//!
//! Messages are lost, doubled, delayed and overtaken, also by seconds; hosts stand still, networks
//! are cut in two, processes and hosts crash and come back with new addresses; servers are busy,
//! forward, and die while they execute; clients abort. Executions are counted where they happen.
//!
//! Implements: [Thesis §2.5]; scenarios 60, 62 to 67, 69, 75 and 76.

mod exchange;

use exchange::storm::{Plan, Storm};
use rpc::{Mark, Stats};

/// How many seeds a test run takes; more by `RPC_COUNT`.
const SEEDS: u64 = 400;
const FIRST_SEED: u64 = 0x5eed_0000;

/// Runs one seed and adds what it reached; a failure prints what is needed to repeat it.
fn run_seed(seed: u64, total: &mut Stats, trace: bool) {
    let plan = Plan::draw(seed);
    let mut storm = Storm::new(plan.clone(), trace);
    let result = storm.run();
    total.add(&storm.exchange.stats());
    if let Some(log) = &storm.exchange.log {
        log.iter().for_each(|line| println!("{line}"));
    }
    if let Err(what) = result {
        panic!(
            "storm: {what} at {}\n  plan   {plan}\n  replay RPC_SEED={seed:#x} cargo test \
             -p rpc --test storm every_storm -- --nocapture",
            storm.exchange.now
        );
    }
}

/// Marks that these storms cannot reach; other tests do.
const ELSEWHERE: &[Mark] = &[
    // Storms send nothing malformed: `hostile.rs`.
    Mark::Malformed,
    Mark::OtherSelector,
    // Storms give no buffers that are too small: `data/normal`.
    Mark::ReplyTruncated,
    Mark::RequestTruncated,
];

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn every_storm_ends_with_the_truth_everywhere() {
    let mut total = Stats::default();
    if let Some(seed) = number_from("RPC_SEED") {
        return run_seed(seed, &mut total, true);
    }
    let count = number_from("RPC_COUNT").unwrap_or(SEEDS);
    for seed in FIRST_SEED..FIRST_SEED + count {
        run_seed(seed, &mut total, false);
    }
    println!("{count} seeds from {FIRST_SEED:#x}\n{total}");
    let missed: Vec<&str> = Mark::ALL
        .iter()
        .filter(|mark| !ELSEWHERE.contains(mark) && total.count(**mark) == 0)
        .map(|mark| mark.text())
        .collect();
    assert!(missed.is_empty(), "never reached: {missed:#?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let log = |seed| {
        let mut storm = Storm::new(Plan::draw(seed), true);
        storm.run().expect("a seed that passes");
        storm.exchange.log.take().expect("it was asked for")
    };
    assert_eq!(log(FIRST_SEED), log(FIRST_SEED));
    assert_ne!(log(FIRST_SEED), log(FIRST_SEED + 1));
}
