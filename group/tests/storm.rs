//! Storms: whole groups in virtual time under a plan of faults drawn from a seed, the checker over
//! everything, and a table of what the seeds reached.
//!
//! Messages are lost, doubled, delayed and overtaken; applications stop taking deliveries; members
//! join and leave, the sequencer among them; broken messages come from nowhere. Nobody crashes:
//! going on without a member is recovery. At the end the faults stop, and the group must come to
//! rest with everything delivered everywhere.
//!
//! Implements: [Thesis §3.4.2]; scenarios 86 to 89, 93 to 98.

mod exchange;

use exchange::storm::{Plan, Storm};
use exchange::{Exchange, Fate, Fates, config, kind_of};
use flip_net::time::{Duration, Instant};
use group::checker::{check_complete, check_safety};
use group::{Kind, Mark, Member, Stats};

/// How many seeds a test run takes; more by `GROUP_STORM_COUNT`.
const SEEDS: u64 = 400;
const FIRST_SEED: u64 = 0x5eed_0000;

/// Runs one seed and adds what it reached; a failure prints what is needed to repeat it.
fn run_seed(seed: u64, total: &mut Stats, trace: bool) {
    let plan = Plan::draw(seed);
    let mut storm = Storm::new(plan.clone(), trace);
    let result = storm.run();
    total.add(&storm.exchange.stats());
    if let Err(what) = result {
        if let Some(log) = &storm.exchange.log {
            log.iter().for_each(|line| println!("{line}"));
        }
        panic!(
            "storm: {what} at {}\n  plan   {plan}\n  replay GROUP_STORM_SEED={seed:#x} cargo test \
             -p group --test storm -- --nocapture",
            storm.exchange.now
        );
    }
}

/// Marks that message-level storms without crashes cannot reach; other tests do.
const ELSEWHERE: &[Mark] = &[
    Mark::MemberLost,
    Mark::Undeliverable,
    Mark::GroupFull,
    Mark::BadExpect,
    Mark::RequestBeyondWindow,
    Mark::RetransmissionImpossible,
    Mark::RetransmissionSpared,
    Mark::BroadcastTooFar,
];

/// These belong to crashes and resilience: `gale` reaches them.
const IN_GALES: std::ops::RangeInclusive<Mark> = Mark::NumberTentative..=Mark::Expelled;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn every_storm_ends_with_the_same_order_everywhere() {
    let mut total = Stats::default();
    if let Some(seed) = number_from("GROUP_STORM_SEED") {
        return run_seed(seed, &mut total, true);
    }
    let count = number_from("GROUP_STORM_COUNT").unwrap_or(SEEDS);
    for seed in FIRST_SEED..FIRST_SEED + count {
        run_seed(seed, &mut total, false);
    }
    println!("{count} seeds from {FIRST_SEED:#x}\n{total}");
    let missed: Vec<&str> = Mark::ALL
        .iter()
        .filter(|mark| !ELSEWHERE.contains(mark) && !IN_GALES.contains(mark))
        .filter(|mark| total.count(**mark) == 0)
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

/// A host that dies in a storm is reported by the sequencer, and by nobody else, within five
/// seconds; what was delivered stays in order.
#[test]
fn a_crash_in_a_storm_is_reported_and_nothing_is_disordered() {
    for seed in FIRST_SEED..FIRST_SEED + 60 {
        let mut plan = Plan::draw(seed);
        plan.members = plan.members.max(3);
        plan.change = 0;
        plan.freeze = 0;
        let mut storm = Storm::new(plan.clone(), false);
        storm.gather();
        storm.blow();
        let victim = 1 + storm.rng.below(plan.members as u64 - 1) as usize;
        let member = storm.exchange.nodes[victim].trace.member;
        let known = storm.exchange.nodes[victim].entered;
        storm.exchange.crash(victim);
        let until = storm.exchange.now + Duration::from_secs(5);
        while storm.exchange.now < until {
            storm.act();
            let pause = Duration::from_micros(20_000);
            storm
                .exchange
                .run_until(storm.exchange.now + pause, &mut storm.weather);
        }
        let lost = &storm.exchange.nodes[0].lost;
        if known {
            assert_eq!(
                lost.iter().copied().map(Some).collect::<Vec<_>>(),
                [member],
                "{plan}"
            );
        }
        // The sequencer's word reaches the others, or they hear that it recovers when they ask.
        for node in &storm.exchange.nodes[1..] {
            let lost = node.lost.iter().copied().map(Some);
            assert!(lost.eq(node.lost.first().map(|_| member)), "{plan}");
        }
        if let Err(violation) = check_safety(&storm.exchange.traces()) {
            panic!("{violation}\n  plan {plan}");
        }
    }
}

/// Losing everything of one kind for a while delays, and nothing else.
#[test]
fn no_single_kind_of_message_is_missed_for_good() {
    struct Without {
        kind: Kind,
        until: Instant,
    }
    impl Fates for Without {
        fn fate(&mut self, now: Instant, _: usize, _: usize, message: &[u8]) -> Fate {
            if now < self.until && kind_of(message) == Some(self.kind) {
                return Fate::lost();
            }
            Fate::after(Duration::from_micros(100))
        }
    }
    for &kind in Kind::ALL {
        let mut exchange = Exchange::new(3);
        let mut fates = Without {
            kind,
            until: Instant::from_micros(1_500_000),
        };
        for node in 0..3 {
            if node == 0 {
                exchange.create(config(), &mut fates);
            } else {
                exchange.join(config(), &mut fates);
            }
        }
        for round in 0..100_u32 {
            for node in 0..3 {
                let size = if round % 3 == 0 { 3_000 } else { 4 };
                let mut data = round.to_le_bytes().to_vec();
                data.resize(size, node as u8);
                let _ = exchange.send(node, data, &mut fates);
            }
            let until = exchange.now + Duration::from_millis(30);
            exchange.run_until(until, &mut fates);
        }
        exchange.run_until(exchange.now + Duration::from_secs(3), &mut fates);
        assert!(exchange.is_at_rest(), "{kind}");
        let sent: usize = exchange
            .nodes
            .iter()
            .map(|node| node.trace.sent.len())
            .sum();
        assert!(sent > 100, "{kind}: {sent}");
        if let Err(violation) = check_complete(&exchange.traces(), true) {
            panic!("{kind}: {violation}");
        }
        assert!(
            exchange.nodes.iter().all(|node| node.lost.is_empty()),
            "{kind}"
        );
        assert!(
            exchange
                .nodes
                .iter()
                .all(|node| node.member.as_ref().is_some_and(Member::is_inside))
        );
    }
}
