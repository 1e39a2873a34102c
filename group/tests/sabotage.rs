//! Planted bugs: each must be found by a storm, or the storms are worth little. The seeds that find
//! them are recorded here.
//!
//! `cargo test -p group --features sabotage --test sabotage`

mod exchange;

use std::panic::{AssertUnwindSafe, catch_unwind};

use exchange::storm::{Plan, Storm};
use group::Sabotage;

const FIRST_SEED: u64 = 0x5eed_0000;
/// A bug that so many seeds do not find is not found.
const SEEDS_MAX: u64 = 2_000;

/// Whether a storm with this bug fails, be it by a checker or by an assertion.
fn finds(seed: u64, bug: Sabotage) -> Option<String> {
    let mut plan = Plan::draw(seed);
    plan.sabotage = Some(bug);
    match catch_unwind(AssertUnwindSafe(|| Storm::new(plan, false).run())) {
        Ok(Ok(())) => None,
        Ok(Err(what)) => Some(what.lines().next().unwrap_or_default().to_string()),
        Err(_) => Some("an assertion".to_string()),
    }
}

fn check_found(bug: Sabotage, recorded: u64) {
    if let Some(what) = finds(recorded, bug) {
        println!("{bug:?} found by {recorded:#x}: {what}");
        return;
    }
    let seeds = FIRST_SEED..FIRST_SEED + SEEDS_MAX;
    match seeds
        .into_iter()
        .find_map(|seed| Some((seed, finds(seed, bug)?)))
    {
        Some((seed, what)) => panic!("{bug:?}: record seed {seed:#x} ({what})"),
        None => panic!("{bug:?} is not found by {SEEDS_MAX} seeds"),
    }
}

#[test]
fn a_request_numbered_twice_is_found() {
    check_found(Sabotage::NumberDuplicates, 0);
}

#[test]
fn a_lost_sender_order_is_found() {
    check_found(Sabotage::ForgetSenderOrder, 0x5eed_0000);
}

#[test]
fn a_history_released_early_is_found() {
    check_found(Sabotage::ReleaseEarly, 0);
}

#[test]
fn a_mistaken_body_is_found() {
    check_found(Sabotage::MistakeBodies, 0);
}

#[test]
fn a_skipped_hole_is_found() {
    check_found(Sabotage::SkipHoles, 0);
}

#[test]
fn a_hasty_suspicion_is_found() {
    check_found(Sabotage::SuspectEarly, 0);
}
