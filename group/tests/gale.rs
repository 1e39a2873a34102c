//! Storms with crashes, partitions, pauses and false suspicions: the group is formed anew, by itself
//! or by its owners, and what was delivered anywhere is delivered by all that go on, as long as no more
//! members are lost at once than the resilience provides for.
//!
//! `GALE_COUNT=50000 cargo test --release -p group --test gale` for a night;
//! `GALE_SEED=0x... cargo test -p group --test gale -- --nocapture` repeats one.
//!
//! Implements: [Thesis §3.4.1, §3.4.3]; scenarios 100 to 113.

mod exchange;

use exchange::gale::{Gale, Plan};
use group::{Mark, Stats};

/// How many seeds a test run takes.
const SEEDS: u64 = 300;
const FIRST_SEED: u64 = 0x6a1e_0000;

fn run_seed(seed: u64, total: &mut Stats, trace: bool) {
    let plan = Plan::draw(seed);
    let mut gale = Gale::new(plan.clone(), trace);
    let result = gale.run();
    total.add(&gale.exchange.stats());
    if let Err(what) = result {
        if let Some(log) = &gale.exchange.log {
            log.iter().for_each(|line| println!("{line}"));
        }
        panic!(
            "gale: {what} at {}\n  plan   {plan}\n  replay GALE_SEED={seed:#x} cargo test -p group \
             --test gale -- --nocapture",
            gale.exchange.now
        );
    }
}

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// What `storm` and the scripts reach.
const ELSEWHERE: &[Mark] = &[
    Mark::BadAck,
    Mark::BadExpect,
    Mark::GroupFull,
    Mark::Undeliverable,
    Mark::Malformed,
    Mark::UnknownKind,
    Mark::RequestBeyondWindow,
    Mark::RetransmissionSpared,
    Mark::BodyRefused,
    Mark::BroadcastTooFar,
    Mark::QueueFull,
    Mark::RequestTurnedAway,
    Mark::OwnEcho,
];

#[test]
fn whoever_goes_on_has_what_anybody_delivered() {
    let mut total = Stats::default();
    if let Some(seed) = number_from("GALE_SEED") {
        return run_seed(seed, &mut total, true);
    }
    let count = number_from("GALE_COUNT").unwrap_or(SEEDS);
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
