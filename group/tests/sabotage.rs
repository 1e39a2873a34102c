//! Planted bugs: each must be found by a storm, or the storms are worth little. The seeds that find
//! them are recorded here.
//!
//! `cargo test --release -p group --features sabotage --test sabotage -- --nocapture`; a bug without
//! a recorded seed is looked for, and its seed printed.

mod exchange;

use std::panic::{AssertUnwindSafe, catch_unwind};

use exchange::gale::{self, Gale};
use exchange::storm::{self, Storm};
use group::Sabotage;

/// A bug that so many seeds do not find is not found.
const SEEDS_MAX: u64 = 2_000;

/// Which storms look for a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Nobody crashes.
    Storm,
    /// Members crash, and the group is formed anew.
    Gale,
}

use Weather::{Gale as G, Storm as S};

/// Each bug, where it is found and by which seed.
const FOUND: &[(Sabotage, Weather, u64)] = &[
    (Sabotage::NumberDuplicates, S, 0),
    (Sabotage::WindowOffByOne, S, 0),
    (Sabotage::ForgetSenderOrder, S, 0x5eed_0000),
    (Sabotage::ReleaseEarly, S, 0),
    (Sabotage::MistakeBodies, S, 0),
    (Sabotage::SkipHoles, S, 0),
    (Sabotage::SuspectEarly, S, 0),
    (Sabotage::IgnoreRetrans, S, 0),
    (Sabotage::NeverSync, S, 0),
    (Sabotage::ForgetBodies, S, 0),
    (Sabotage::AcceptUnacknowledged, G, 0),
    (Sabotage::AcceptOneAckEarly, G, 0x6a1e_0031),
    (Sabotage::AcknowledgeHoles, G, 0x6a1e_036e),
    (Sabotage::DeliverTentative, G, 0x6a1e_0013),
    (Sabotage::PromoteEarly, G, 0x6a1e_003e),
    (Sabotage::VoteDelivered, G, 0x6a1e_012c),
    (Sabotage::ForgetPromise, G, 0x6a1e_000a),
    (Sabotage::DecideEarly, G, 0x6a1e_00c1),
    (Sabotage::KeepOldAddress, G, 0x6a1e_0003),
    (Sabotage::DropTail, G, 0x6a1e_0002),
    (Sabotage::MisplaceResult, G, 0),
    (Sabotage::ForgetIds, G, 0x6a1e_0001),
    (Sabotage::StaleTable, G, 0),
    (Sabotage::ReuseIds, G, 0x6a1e_0001),
    (Sabotage::FailNumbered, G, 0x6a1e_0002),
    (Sabotage::KeepOutstanding, G, 0x6a1e_0006),
];

/// What a storm with this bug fails with, be it a checker or an assertion.
fn finds(seed: u64, bug: Sabotage, weather: Weather) -> Option<String> {
    let run = || match weather {
        Weather::Storm => {
            let mut plan = storm::Plan::draw(seed);
            plan.sabotage = Some(bug);
            Storm::new(plan, false).run()
        }
        Weather::Gale => {
            let mut plan = gale::Plan::draw(seed);
            plan.sabotage = Some(bug);
            Gale::new(plan, false).run()
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => None,
        Ok(Err(what)) => Some(what.lines().next().unwrap_or_default().to_string()),
        Err(_) => Some("an assertion".to_string()),
    }
}

fn first_seed(weather: Weather) -> u64 {
    match weather {
        Weather::Storm => 0x5eed_0000,
        Weather::Gale => 0x6a1e_0000,
    }
}

#[test]
fn every_planted_bug_is_found() {
    let mut missing = Vec::new();
    for &(bug, weather, recorded) in FOUND {
        if let Some(what) = finds(recorded, bug, weather) {
            println!("{bug:?} found by {recorded:#x}: {what}");
            continue;
        }
        let first = first_seed(weather);
        let found =
            (first..first + SEEDS_MAX).find_map(|seed| Some((seed, finds(seed, bug, weather)?)));
        match found {
            Some((seed, what)) => missing.push(format!("{bug:?}: record seed {seed:#x} ({what})")),
            None => missing.push(format!("{bug:?} is not found by {SEEDS_MAX} seeds")),
        }
    }
    let known = |bug: &&Sabotage| FOUND.iter().any(|(found, ..)| found == *bug);
    let unknown: Vec<_> = Sabotage::ALL.iter().filter(|bug| !known(bug)).collect();
    assert!(unknown.is_empty(), "no storm looks for {unknown:?}");
    assert!(missing.is_empty(), "{missing:#?}");
}
