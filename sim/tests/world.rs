//! The world keeps its promise: the same seed gives the same trace, and rules, partitions and
//! crashes do what they say.

use flip_net::address::{LinkAddress, NetworkId};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use flip_net::{Frame, Machine};
use sim::{Actor, Cable, Failure, Flight, MachineId, Mood, Plan, State, Verdict, World};

/// Says its name to everybody every now and then, answers everybody, counts, and works a little.
struct Chatterer {
    rng: Rng,
    next_word: Instant,
    work_at: Option<Instant>,
    worked: u32,
    out: Vec<Frame>,
    heard: Vec<(Instant, u8)>,
    notes: Vec<String>,
}

const QUESTION: u8 = 0;
const ANSWER: u8 = 1;

impl Chatterer {
    fn new(rng: Rng, now: Instant) -> Chatterer {
        Chatterer {
            rng,
            next_word: now + Duration::from_millis(1),
            work_at: Some(now + Duration::from_micros(10)),
            worked: 0,
            out: Vec::new(),
            heard: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Machine for Chatterer {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.heard.push((now, frame[0]));
        if frame[0] == QUESTION {
            self.out.push(Frame::new(network, from, vec![ANSWER; 20]));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_word {
            return;
        }
        self.next_word = now + Duration::from_micros(500 + self.rng.below(2_000));
        let question = vec![QUESTION; 60];
        self.out
            .push(Frame::new(NetworkId(0), LinkAddress::Broadcast, question));
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        self.out.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next_word)
    }
}

impl Actor for Chatterer {
    fn step(&mut self, now: Instant) {
        self.worked += 1;
        self.notes.push(format!("worked {} times", self.worked));
        self.work_at = (self.worked < 100).then_some(now + Duration::from_micros(100));
    }

    fn poll_step(&self) -> Option<Instant> {
        self.work_at
    }

    fn poll_note(&mut self) -> Option<String> {
        self.notes.pop()
    }
}

fn mood() -> Mood {
    Mood {
        machines: 4,
        span: Duration::from_millis(200),
        crashes_max: 2,
        partitions_max: 2,
        restarts: true,
    }
}

fn world(seed: u64, plan: Plan) -> World<Chatterer> {
    let mut world = World::new(seed, plan);
    let cable = world.add_cable(Cable::new("wire", Duration::from_micros(50)));
    for index in 0..4 {
        let chatterer = Chatterer::new(world.split_rng(), Instant::ZERO);
        world.add_machine(format!("p{index}"), chatterer, &[cable]);
    }
    world.set_factory(|_, rng, now| Chatterer::new(rng, now));
    world
}

fn run(seed: u64) -> (u64, u64) {
    let mut world = world(seed, Plan::draw(seed, &mood()));
    world.run_until(Instant::from_micros(300_000));
    (world.trace().hash(), world.trace().count())
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_another() {
    for seed in 0..20 {
        let (hash, count) = run(seed);
        assert_eq!(run(seed), (hash, count), "seed {seed}");
        assert_ne!(run(seed + 1_000).0, hash, "seed {seed}");
        assert!(count > 1_000, "{count} events");
    }
}

#[test]
fn work_happens_at_the_times_it_asked_for() {
    let mut world = world(1, Plan::calm());
    world.run_until(Instant::from_micros(1_000));
    let worked = world.machine(MachineId::new(0)).expect("up").worked;
    assert_eq!(worked, 10, "at 10, 110, ... 910 microseconds");
    world.run_until(Instant::from_micros(100_000));
    assert_eq!(world.machine(MachineId::new(0)).expect("up").worked, 100);
}

#[test]
fn the_first_rule_with_an_opinion_wins() {
    let mut world = world(1, Plan::calm());
    let target = MachineId::new(2);
    world.add_rule(move |flight: &Flight<'_>| {
        (flight.to == target && flight.bytes[0] == QUESTION).then_some(Verdict::Drop)
    });
    world.add_rule(move |flight: &Flight<'_>| (flight.to == target).then_some(Verdict::Pass));
    world.run_until(Instant::from_micros(50_000));
    let heard = &world.machine(target).expect("up").heard;
    assert!(!heard.is_empty() && heard.iter().all(|(_, word)| *word == ANSWER));
}

#[test]
fn a_delayed_frame_arrives_that_much_later() {
    let mut world: World<Chatterer> = World::new(1, Plan::calm());
    let cable = world.add_cable(Cable::new("wire", Duration::from_micros(50)));
    for name in ["a", "b"] {
        let chatterer = Chatterer::new(world.split_rng(), Instant::ZERO);
        world.add_machine(name, chatterer, &[cable]);
    }
    world.add_rule(|_: &Flight<'_>| Some(Verdict::After(Duration::from_micros(700))));
    world.run_until(Instant::from_micros(1_760));
    let heard = &world.machine(MachineId::new(1)).expect("up").heard;
    assert_eq!(heard.first().map(|(at, _)| at.as_micros()), Some(1_750));
}

#[test]
fn bandwidth_puts_frames_one_behind_the_other() {
    let mut world: World<Chatterer> = World::new(1, Plan::calm());
    let wire = Cable::new("wire", Duration::from_micros(50)).with_bandwidth(60);
    let cable = world.add_cable(wire);
    for name in ["a", "b", "c"] {
        let chatterer = Chatterer::new(world.split_rng(), Instant::ZERO);
        world.add_machine(name, chatterer, &[cable]);
    }
    world.run_until(Instant::from_micros(4_100));
    // Three questions of 60 bytes at the first millisecond, one millisecond each on the wire.
    let heard = &world.machine(MachineId::new(2)).expect("up").heard;
    let times: Vec<u64> = heard.iter().map(|(at, _)| at.as_micros()).take(2).collect();
    assert_eq!(times, [2_050, 3_050]);
}

#[test]
fn who_is_cut_off_hears_nothing_from_the_other_side() {
    let mut world = world(1, Plan::calm());
    let alone = MachineId::new(3);
    world.cut_off(&[alone]);
    world.run_until(Instant::from_micros(50_000));
    assert!(world.machine(alone).expect("up").heard.is_empty());
    world.heal();
    world.run_until(Instant::from_micros(100_000));
    assert!(!world.machine(alone).expect("up").heard.is_empty());
}

#[test]
fn a_crashed_machine_is_silent_and_returns_as_planned() {
    let mut world = world(1, Plan::calm());
    let (kept, lost) = (MachineId::new(1), MachineId::new(2));
    world.run_until(Instant::from_micros(20_000));
    let before = world.machine(kept).expect("up").heard.len();
    world.crash(kept, State::Kept);
    world.crash(lost, State::Lost);
    world.run_until(Instant::from_micros(40_000));
    assert!(world.is_down(kept) && world.machine(lost).is_none());
    assert_eq!(world.machine(kept).expect("state kept").heard.len(), before);
    world.bring_back(kept);
    world.bring_back(lost);
    assert!(world.machine(lost).expect("made anew").heard.is_empty());
    world.run_until(Instant::from_micros(60_000));
    assert!(world.machine(kept).expect("up").heard.len() > before);
}

#[test]
fn a_plan_and_a_failure_print_what_is_needed() {
    let mut world = world(7, Plan::draw(7, &mood()));
    world.run_until(Instant::from_micros(10_000));
    let failure: Failure = world.failure(
        "total-order broken\nm2 delivered #318 before #317",
        "cargo storm --seed 0x7 --trace",
    );
    let text = failure.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let verdict = lines.len() - 5;
    assert_eq!(verdict, 40, "the last events come first");
    assert_eq!(lines[verdict], "storm: total-order broken at +0.010000");
    assert_eq!(lines[verdict + 1], "  m2 delivered #318 before #317");
    assert!(lines[verdict + 2].starts_with("  plan   drop="));
    assert_eq!(
        lines[verdict + 4],
        "  replay cargo storm --seed 0x7 --trace"
    );
}
