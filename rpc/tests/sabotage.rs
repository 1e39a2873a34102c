//! Planted bugs: each must be found by a storm, or the storms are worth little. The seeds that find
//! them are recorded here.
//!
//! `cargo test -p rpc --features sabotage --test sabotage`

mod exchange;

use std::panic::{AssertUnwindSafe, catch_unwind};

use exchange::storm::{Plan, Storm};
use rpc::Sabotage;

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
fn a_resent_request_is_found() {
    check_found(Sabotage::ResendInsteadOfAsking, 0);
}

#[test]
fn a_forgotten_execution_is_found() {
    check_found(Sabotage::ForgetExecuted, 0x5eed_0003);
}

#[test]
fn a_mark_off_by_one_is_found() {
    check_found(Sabotage::MarkOffByOne, 0x5eed_0004);
}

#[test]
fn a_mistaken_reply_is_found() {
    check_found(Sabotage::AcceptAnyReply, 0x5eed_000b);
}

#[test]
fn an_untrue_nak_is_found() {
    check_found(Sabotage::NakExecuted, 0);
}

#[test]
fn a_hasty_change_of_servers_is_found() {
    check_found(Sabotage::NewServerAfterTimeout, 0);
}

#[test]
fn a_reply_that_is_not_kept_is_found() {
    check_found(Sabotage::DropReplyEarly, 0);
}

#[test]
fn a_mistaken_acknowledgement_is_found() {
    check_found(Sabotage::AckOfAnything, 0x5eed_000f);
}

#[test]
fn a_forgotten_refusal_is_found() {
    check_found(Sabotage::ForgetRefused, 0x5eed_0003);
}

#[test]
fn a_bounce_taken_for_proof_is_found() {
    check_found(Sabotage::BounceIsProof, 0x5eed_0008);
}

#[test]
fn an_outcome_that_hopes_is_found() {
    check_found(Sabotage::HopeForTheBest, 0x5eed_0004);
}
