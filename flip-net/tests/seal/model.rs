//! Conversations at random: stations that start again, a network that loses, doubles, delays and
//! reorders, an attacker that repeats whatever it has ever heard. One seed decides everything.
//!
//! Checked outside, from what was sent and what came out: nothing comes out twice at a receiver,
//! nothing that was not sent, nothing that was sent before the receiver was made; and once a
//! sender is known, nothing of it is refused that comes in for the first time within the window.

use std::collections::{BTreeMap, BTreeSet};

use flip_net::address::LinkAddress;
use flip_net::link::fault::{FaultLink, Faults};
use flip_net::rng::Rng;
use flip_net::seal::{Opened, SealConfig, Sealer, SenderId, WINDOW_LEN};
use flip_net::time::{Duration, Instant};

use super::{counter, key};

const STATIONS: usize = 4;
const STEPS: u64 = 6_000;
const GRACE: Duration = Duration::from_millis(20);

/// A frame on its way: where it comes from and goes to.
#[derive(Clone)]
struct Flight {
    from: usize,
    to: usize,
    frame: Vec<u8>,
}

/// What the test knows of a receiver, from its making on.
struct Receiver {
    made: Instant,
    delivered: BTreeSet<Vec<u8>>,
    /// By sender: the frames that came in, those that were let through at once, the newest one.
    seen: BTreeMap<SenderId, (BTreeSet<u64>, BTreeSet<u64>)>,
}

struct Model {
    seed: u64,
    rng: Rng,
    now: Instant,
    epoch: u32,
    stations: Vec<(Sealer, Receiver)>,
    link: FaultLink<Flight>,
    captured: Vec<Flight>,
    /// Every plain frame: when it was sealed and by whom.
    sent: BTreeMap<Vec<u8>, (Instant, SenderId)>,
    /// New keys make senders unknown that are silent, so less can be promised.
    rekeys: bool,
    counts: Counts,
}

#[derive(Default, Debug)]
struct Counts {
    delivered: u64,
    released: u64,
    replayed: u64,
    restarts: u64,
    rekeys: u64,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut rng = Rng::new(seed);
        let faults = Faults {
            loss: rng.below(200),
            duplication: rng.below(200),
            reordering: rng.below(500),
            delay: Duration::from_micros(20 + rng.below(300)),
            delay_max: Duration::from_micros(1 + rng.below(5_000)),
        };
        let link = FaultLink::new(faults, rng.split());
        let rekeys = rng.chance(1, 2);
        let mut model = Model {
            seed,
            rng,
            now: Instant::ZERO,
            epoch: 0,
            stations: Vec::new(),
            link,
            captured: Vec::new(),
            sent: BTreeMap::new(),
            rekeys,
            counts: Counts::default(),
        };
        for at in 0..STATIONS {
            let station = model.make();
            model.stations.push(station);
            model.announce(at);
        }
        model
    }

    fn make(&mut self) -> (Sealer, Receiver) {
        let id = SenderId::from_rng(&mut self.rng);
        let sealer = Sealer::new(key(self.epoch), id, SealConfig::default());
        let receiver = Receiver {
            made: self.now,
            delivered: BTreeSet::new(),
            seen: BTreeMap::new(),
        };
        (sealer, receiver)
    }

    fn announce(&mut self, at: usize) {
        if self.rng.chance(1, 2) {
            let frame = self.stations[at].0.announce().unwrap();
            self.send(at, None, frame);
        }
    }

    /// Puts a frame on the network, for one or for all, under the eyes of the attacker.
    fn send(&mut self, from: usize, to: Option<usize>, frame: Vec<u8>) {
        for to in (0..STATIONS).filter(|at| *at != from && to.is_none_or(|to| to == *at)) {
            let frame = frame.clone();
            let flight = Flight { from, to, frame };
            self.link.send(self.now, flight.clone());
            self.captured.push(flight);
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_micros(1 + self.rng.below(100));
        let at = self.rng.below(STATIONS as u64) as usize;
        match self.rng.below(1_000) {
            0 => {
                self.stations[at] = self.make();
                self.counts.restarts += 1;
                self.announce(at);
            }
            1 if self.rekeys => {
                self.epoch += 1;
                self.counts.rekeys += 1;
            }
            2..50 => self.catch_up(at),
            50..250 => self.replay(),
            _ => self.send_data(at),
        }
        while let Some(flight) = self.link.receive(self.now) {
            self.arrive(flight, false);
        }
    }

    /// Stations get a new key one after the other, and may miss one. Some hear of it beforehand.
    fn catch_up(&mut self, at: usize) {
        let (sealer, _) = &mut self.stations[at];
        let told = self.epoch + self.rng.below(2) as u32;
        if self.rekeys && self.rng.chance(1, 2) && told > sealer.outgoing().epoch() {
            sealer.accept_next(key(told)).unwrap();
        } else if sealer.outgoing().epoch() < self.epoch {
            sealer.rekey(self.now, key(self.epoch), GRACE).unwrap();
        }
    }

    fn send_data(&mut self, at: usize) {
        let number = (self.sent.len() as u64).to_be_bytes();
        let mut plain = vec![0; self.rng.below(100) as usize];
        self.rng.fill(&mut plain);
        plain.extend_from_slice(&number);
        let (sealer, _) = &self.stations[at];
        let frame = sealer.seal(&plain).unwrap();
        let id = sealer.outgoing().id();
        self.sent.insert(plain, (self.now, id));
        let to = self.rng.below(2 * STATIONS as u64) as usize;
        self.send(at, (to < STATIONS).then_some(to), frame);
    }

    fn replay(&mut self) {
        let len = self.captured.len() as u64;
        if len == 0 {
            return;
        }
        // Young and old ones, mostly to whom they were for.
        let young = self.rng.chance(1, 2);
        let back = self.rng.below(if young { len.min(50) } else { len });
        let mut flight = self.captured[(len - 1 - back) as usize].clone();
        if self.rng.chance(1, 4) {
            flight.to = self.rng.below(STATIONS as u64) as usize;
        }
        self.counts.replayed += 1;
        self.arrive(flight, true);
    }

    fn arrive(&mut self, flight: Flight, replayed: bool) {
        let Flight { from, to, frame } = flight;
        let station = LinkAddress::Station(from as u64);
        let sender = SenderId::new(frame[6..22].try_into().unwrap());
        let number = counter(&frame);
        let must = self.must_pass(to, sender, &frame);
        let (sealer, receiver) = &mut self.stations[to];
        let mut bytes = frame.clone();
        let mut out = Vec::new();
        let passed = match sealer.open(self.now, station, &mut bytes) {
            Opened::Frame(plain) => {
                out.push(plain.to_vec());
                receiver.seen.entry(sender).or_default().1.insert(number);
                true
            }
            Opened::Held | Opened::Control => false,
            Opened::Dropped(reason) => {
                assert!(
                    !must,
                    "seed {}: #{number} refused: {reason}, replayed {replayed}",
                    self.seed
                );
                false
            }
        };
        assert!(passed || !must, "seed {}: #{number} held", self.seed);
        receiver.seen.entry(sender).or_default().0.insert(number);
        self.counts.delivered += out.len() as u64;
        while let Some((_, plain)) = sealer.poll_frame() {
            self.counts.released += 1;
            out.push(plain);
        }
        out.into_iter().for_each(|plain| self.check(to, plain));
        while let Some((LinkAddress::Station(answer_to), frame)) =
            self.stations[to].0.poll_transmit()
        {
            self.send(to, Some(answer_to as usize), frame);
        }
    }

    /// Whether a frame comes in for the first time, from a sender that is known to be known, and
    /// is neither too far behind nor below the first frame that was let through.
    fn must_pass(&self, to: usize, sender: SenderId, frame: &[u8]) -> bool {
        let (sealer, receiver) = &self.stations[to];
        let Some((seen, passed)) = receiver.seen.get(&sender) else {
            return false;
        };
        let (Some(first), Some(newest)) = (passed.first(), seen.last()) else {
            return false;
        };
        let number = counter(frame);
        frame[1] == 1
            && !self.rekeys
            && sender != sealer.outgoing().id()
            && !seen.contains(&number)
            && number > *first
            && number + WINDOW_LEN > *newest
    }

    fn check(&mut self, to: usize, plain: Vec<u8>) {
        let (seed, now) = (self.seed, self.now);
        let receiver = &mut self.stations[to].1;
        let sent = self.sent.get(&plain);
        let (when, _) = sent.unwrap_or_else(|| panic!("seed {seed}: never sent: {plain:?}"));
        assert!(
            *when >= receiver.made,
            "seed {seed}: sent {when}, before the start at {}, came at {now}",
            receiver.made
        );
        assert!(
            receiver.delivered.insert(plain),
            "seed {seed}: delivered twice"
        );
    }
}

#[test]
fn whatever_happens_frames_come_out_once_and_only_if_they_were_sent() {
    let mut all = Counts::default();
    for seed in 0..60 {
        let mut model = Model::new(seed);
        (0..STEPS).for_each(|_| model.step());
        let counts = model.counts;
        assert!(counts.delivered > STEPS / 4, "seed {seed}: {counts:?}");
        all.delivered += counts.delivered;
        all.released += counts.released;
        all.replayed += counts.replayed;
        all.restarts += counts.restarts;
        all.rekeys += counts.rekeys;
    }
    // The conversations had everything in them that they are to be checked for.
    assert!(all.released > 200 && all.replayed > 50_000, "{all:?}");
    assert!(all.restarts > 200 && all.rekeys > 100, "{all:?}");
}

#[test]
fn a_seed_decides_the_whole_conversation() {
    let run = |seed| {
        let mut model = Model::new(seed);
        (0..500).for_each(|_| model.step());
        format!("{:?} {:?}", model.counts, model.stations[0].0.stats())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
