//! A storm in which members crash, are cut off and come back, and the group is formed anew.
//!
//! At the end the faults stop; then every member that lives must be at rest in a group, or know that
//! it is out, or that too few are left.

use std::collections::BTreeMap;
use std::fmt;

use capability::Header;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use group::checker::{Trace, check_resilient};
use group::{Config, Kind, MemberIndex, SeqNo};

use super::{Exchange, Fate, Fates, Node, PORT, config, kind_of};

/// What a seed draws.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub members: usize,
    pub resilience: u8,
    /// Fewest members after a reset.
    pub members_min: u16,
    pub automatic: bool,
    pub window: u32,
    pub history_log2: u8,
    pub history_bytes_max: usize,
    pub large: u32,
    /// In a thousand messages.
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
    /// In a thousand steps.
    pub crash: u64,
    pub dying: u64,
    pub restart: u64,
    pub leave: u64,
    pub apart: u64,
    pub freeze: u64,
    pub suspicion: u64,
    pub hold: u64,
    /// In a thousand messages of a recovery: its sender or receiver crashes at that moment.
    pub strike: u64,
    /// In a thousand messages of a recovery: somebody is cut off for a moment.
    pub flap: u64,
    pub steps: u32,
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<group::Sabotage>,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let mut pick = |from: &[u64]| from[rng.below(from.len() as u64) as usize];
        let members = pick(&[2, 3, 3, 4, 4, 5, 5, 6, 7, 9, 12, 20]) as usize;
        let members = if pick(&[0; 40]) + pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) > 0 {
            pick(&[32, 48, 64]) as usize
        } else {
            members
        };
        let majority = members / 2 + 1;
        let steps = if members > 12 { 80 } else { 250 };
        Plan {
            seed,
            members,
            resilience: pick(&[0, 0, 1, 1, 1, 2, 2, 3, 5, 15]) as u8,
            members_min: pick(&[1, 2, majority as u64, majority as u64]) as u16,
            automatic: pick(&[0, 1, 1]) == 1,
            window: pick(&[1, 2, 8, 64]) as u32,
            history_log2: pick(&[7, 7, 8, 9]) as u8,
            history_bytes_max: pick(&[4_000, 40_000, 1 << 20]) as usize,
            large: pick(&[1, 60, 200, 1_406]) as u32,
            loss: pick(&[0, 0, 10, 50, 150, 300]),
            duplication: pick(&[0, 10, 100]),
            reordering: pick(&[0, 10, 100, 300]),
            crash: pick(&[0, 5, 10, 20]),
            dying: pick(&[0, 0, 5]),
            restart: pick(&[0, 5, 20, 40]),
            leave: pick(&[0, 0, 5, 30]),
            apart: pick(&[0, 0, 5, 10]),
            freeze: pick(&[0, 0, 5]),
            suspicion: pick(&[0, 0, 5]),
            hold: pick(&[0, 2, 10]),
            strike: pick(&[0, 0, 10, 30]),
            flap: pick(&[0, 0, 20, 60]),
            steps,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    pub fn config(&self) -> Config {
        Config {
            members_max: 80,
            window: self.window,
            resilience: self.resilience,
            auto_reset: self.automatic.then_some(self.members_min),
            history_log2: self.history_log2,
            history_bytes_max: self.history_bytes_max,
            message_log2: 12,
            queue_messages_max: 50,
            large: self.large,
            #[cfg(feature = "sabotage")]
            sabotage: self.sabotage,
            ..config()
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "members={} resilience={} min={} automatic={} window={} history=2^{}/{}B large={} \
             loss={} dup={} reorder={} crash={} dying={} restart={} leave={} apart={} freeze={} \
             suspicion={} hold={} strike={} flap={} steps={}",
            self.members,
            self.resilience,
            self.members_min,
            self.automatic,
            self.window,
            self.history_log2,
            self.history_bytes_max,
            self.large,
            self.loss,
            self.duplication,
            self.reordering,
            self.crash,
            self.dying,
            self.restart,
            self.leave,
            self.apart,
            self.freeze,
            self.suspicion,
            self.hold,
            self.strike,
            self.flap,
            self.steps,
        )
    }
}

/// Draws the fate of each message.
struct Weather {
    rng: Rng,
    plan: Plan,
    calm: bool,
    /// On which side of a cut each node is.
    apart: BTreeMap<usize, bool>,
    /// These are cut off from everybody until then.
    cut_off: BTreeMap<usize, Instant>,
    /// These crash as soon as the present step is over.
    struck: Vec<usize>,
}

/// The messages by which a group is formed anew.
const RECOVERY: &[Kind] = &[
    Kind::ReformReq,
    Kind::Vote,
    Kind::Result,
    Kind::ResultAck,
    Kind::State,
    Kind::Sync,
];

impl Weather {
    /// What happens to the ends of a message of a recovery.
    fn strike(&mut self, now: Instant, from: usize, to: usize) {
        let victim = if self.rng.chance(1, 2) { from } else { to };
        if self.rng.chance(self.plan.strike, 1_000) {
            self.struck.push(victim);
        }
        if self.rng.chance(self.plan.flap, 1_000) {
            let span = Duration::from_micros(self.rng.below(3_000_000));
            self.cut_off.insert(victim, now + span);
        }
    }

    fn is_cut(&self, now: Instant, from: usize, to: usize) -> bool {
        let side = |node| self.apart.get(&node).copied().unwrap_or(false);
        let is_off = |node| self.cut_off.get(&node).is_some_and(|&until| until > now);
        side(from) != side(to) || is_off(from) || is_off(to)
    }
}

impl Fates for Weather {
    fn fate(&mut self, now: Instant, from: usize, to: usize, message: &[u8]) -> Fate {
        let mut delay = Duration::from_micros(50 + self.rng.below(50));
        if self.is_cut(now, from, to) {
            return Fate::lost();
        }
        if self.calm {
            return Fate::after(delay);
        }
        if kind_of(message).is_some_and(|kind| RECOVERY.contains(&kind)) {
            self.strike(now, from, to);
        }
        if self.rng.chance(self.plan.loss, 1_000) {
            return Fate::lost();
        }
        if self.rng.chance(self.plan.reordering, 1_000) {
            delay = delay + Duration::from_micros(self.rng.below(5_000));
        }
        let mut fate = Fate::after(delay);
        if self.rng.chance(self.plan.duplication, 1_000) {
            let later = Duration::from_micros(self.rng.below(20_000));
            fate.arrivals.push(delay + later);
        }
        fate
    }
}

/// One run.
pub struct Gale {
    pub exchange: Exchange,
    weather: Weather,
    rng: Rng,
    plan: Plan,
    number: u32,
    together_at: Instant,
}

impl Gale {
    pub fn new(plan: Plan, trace: bool) -> Gale {
        let mut rng = Rng::new(plan.seed ^ 0x6a1e);
        let mut exchange = Exchange::new(rng.next_u64());
        exchange.log = trace.then(Vec::new);
        exchange.events_first = plan.seed % 2 == 1;
        let weather = Weather {
            rng: rng.split(),
            plan: plan.clone(),
            calm: true,
            apart: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            struck: Vec::new(),
        };
        Gale {
            exchange,
            weather,
            rng,
            plan,
            number: 0,
            together_at: Instant::ZERO,
        }
    }

    pub fn run(&mut self) -> Result<(), String> {
        self.gather();
        self.weather.calm = false;
        for _ in 0..self.plan.steps {
            self.act();
            let pause = match self.rng.below(40) {
                0 => self.rng.below(2_000_000),
                1..=4 => self.rng.below(60_000),
                _ => self.rng.below(2_000),
            };
            self.run_for(Duration::from_micros(pause));
        }
        self.check()?;
        self.come_to_rest()
    }

    fn gather(&mut self) {
        let config = self.plan.config();
        self.exchange.create(config.clone(), &mut self.weather);
        for _ in 1..self.plan.members {
            self.exchange.join(config.clone(), &mut self.weather);
            self.run_for(Duration::from_micros(500));
        }
        self.run_for(Duration::from_millis(200));
    }

    /// Runs on, with owners that reset broken groups where they have to do it themselves.
    fn run_for(&mut self, span: Duration) {
        let until = self.exchange.now + span;
        loop {
            let next = (self.exchange.now + Duration::from_millis(20)).min(until);
            while self.exchange.step(next, &mut self.weather) {
                for node in std::mem::take(&mut self.weather.struck) {
                    self.exchange.crash(node);
                }
            }
            if self.exchange.now >= self.together_at {
                self.weather.apart.clear();
            }
            self.reset_what_is_broken();
            if self.exchange.now >= until {
                return;
            }
        }
    }

    fn reset_what_is_broken(&mut self) {
        for index in 0..self.exchange.nodes.len() {
            let node = &self.exchange.nodes[index];
            let recovers = node.member.as_ref().is_some_and(|m| m.is_recovering());
            let automatic = self.plan.automatic && !node.gave_up;
            let frozen = node.frozen_until > self.exchange.now;
            if !recovers || automatic || frozen || !self.rng.chance(1, 3) {
                continue;
            }
            let members_min = self.plan.members_min;
            self.exchange.act(index, &mut self.weather, |member, now| {
                // A refusal says that it is under way already.
                let _ = member.reset(now, Header::to(PORT), members_min);
            });
        }
    }

    fn living(&self) -> Vec<usize> {
        let nodes = self.exchange.nodes.iter().enumerate();
        let lives = |node: &Node| node.member.is_some() && !node.closed;
        nodes
            .filter(|(_, node)| lives(node))
            .map(|(index, _)| index)
            .collect()
    }

    fn act(&mut self) {
        let living = self.living();
        let Some(&node) = living.get(self.rng.below(living.len().max(1) as u64) as usize) else {
            return;
        };
        let plan = self.plan.clone();
        if self.exchange.nodes[node].frozen_until > self.exchange.now {
            return;
        }
        if self.rng.chance(plan.hold, 100) {
            self.exchange.nodes[node].holding = true;
        } else if self.rng.chance(1, 4) {
            self.exchange.resume(node, &mut self.weather);
        }
        if self.rng.chance(plan.crash, 1_000) {
            return self.crash(node, &living);
        }
        if self.rng.chance(plan.dying, 1_000) {
            self.exchange
                .act(node, &mut self.weather, |member, now| member.die(now));
            return;
        }
        if self.rng.chance(plan.restart, 1_000) && living.len() < 70 {
            self.exchange.join(plan.config(), &mut self.weather);
        }
        if self.rng.chance(plan.leave, 1_000) {
            self.exchange
                .act(node, &mut self.weather, |member, now| member.leave(now));
        }
        if self.rng.chance(plan.apart, 1_000) {
            self.cut();
        }
        if self.rng.chance(plan.freeze, 1_000) {
            let pause = Duration::from_micros(self.rng.below(8_000_000));
            self.exchange.nodes[node].frozen_until = self.exchange.now + pause;
        }
        if self.rng.chance(plan.suspicion, 1_000) {
            let other = living[self.rng.below(living.len() as u64) as usize];
            self.suspect(node, other);
        }
        self.send_some(node);
    }

    fn crash(&mut self, node: usize, living: &[usize]) {
        self.exchange.crash(node);
        // Somebody may see it at once, as a launcher sees its child end.
        if self.rng.chance(1, 2) {
            let witness = living[self.rng.below(living.len() as u64) as usize];
            if witness != node {
                self.suspect(witness, node);
            }
        }
    }

    fn suspect(&mut self, witness: usize, node: usize) {
        let Some(lost) = self.exchange.nodes[node].trace.member else {
            return;
        };
        self.exchange
            .act(witness, &mut self.weather, |member, now| {
                if member.is_inside() && member.me() != lost {
                    member.declare_lost(now, lost);
                }
            });
    }

    fn cut(&mut self) {
        let nodes = self.exchange.nodes.len();
        self.weather.apart = (0..nodes)
            .map(|node| (node, self.rng.chance(1, 3)))
            .collect();
        let span = Duration::from_micros(self.rng.below(9_000_000));
        self.together_at = self.exchange.now + span;
    }

    fn send_some(&mut self, node: usize) {
        for _ in 0..self.rng.below(4) {
            self.number += 1;
            let mut data = self.number.to_le_bytes().to_vec();
            let size = match self.rng.below(20) {
                0 => 3_000,
                1..=4 => 150,
                _ => 4,
            };
            data.resize(size, node as u8);
            // A refusal is something that the application lives with.
            let _ = self.exchange.send(node, data, &mut self.weather);
        }
    }

    fn check(&self) -> Result<(), String> {
        let traces = self.exchange.traces();
        let resilience = self.plan.resilience;
        check_resilient(&traces, resilience).map_err(|violation| violation.to_string())?;
        let bounds = 2 * self.plan.history_bytes_max.max(8_192);
        for node in &self.exchange.nodes {
            let Some(member) = &node.member else { continue };
            let peak = member.stats().history_bytes_peak;
            if peak > bounds + 1_024 * (1 + node.resets) {
                return Err(format!("{}: {peak} bytes of history", node.trace.name));
            }
        }
        Ok(())
    }

    fn come_to_rest(&mut self) -> Result<(), String> {
        self.weather.calm = true;
        self.weather.apart.clear();
        self.weather.cut_off.clear();
        for node in 0..self.exchange.nodes.len() {
            self.exchange.nodes[node].frozen_until = self.exchange.now;
            self.exchange.resume(node, &mut self.weather);
        }
        self.run_for(Duration::from_secs(60));
        self.check()?;
        self.check_groups()
    }

    /// Every member that lives is at rest in a group, or too few are left for one.
    fn check_groups(&self) -> Result<(), String> {
        let mut groups: BTreeMap<(Vec<MemberIndex>, [u8; 8]), SeqNo> = BTreeMap::new();
        for index in self.living() {
            let node = &self.exchange.nodes[index];
            let member = self.exchange.member(index);
            let name = &node.trace.name;
            if node.failed {
                continue;
            }
            if member.is_recovering() {
                if self.plan.members_min == 1 || !self.somebody_failed() {
                    return Err(format!("{name} still recovers\n{}", self.state()));
                }
                continue;
            }
            let joins = !node.entered || node.left;
            if joins && self.somebody_recovers() {
                continue;
            }
            let settled = member.outstanding() == 0 && member.next() == member.expect();
            if !settled {
                return Err(format!("{name} is not at rest\n{}", self.state()));
            }
            if !member.is_inside() {
                continue;
            }
            let sequencer = member.address_of(member.sequencer());
            let key = (member.members(), sequencer.map_or([0; 8], |a| a.bytes()));
            let next = *groups.entry(key).or_insert(member.next());
            if next != member.next() {
                return Err(format!(
                    "{name} is not as far as its group\n{}",
                    self.state()
                ));
            }
            self.check_own(&node.trace)?;
        }
        let is_majority = 2 * usize::from(self.plan.members_min) > self.exchange.nodes.len();
        if is_majority && groups.len() > 1 {
            return Err(format!("two groups of a majority\n{}", self.state()));
        }
        Ok(())
    }

    fn somebody_failed(&self) -> bool {
        let mut living = self.living().into_iter();
        living.any(|index| self.exchange.nodes[index].failed_resets > 0)
    }

    fn somebody_recovers(&self) -> bool {
        let mut living = self.living().into_iter();
        living.any(|index| self.exchange.member(index).is_recovering())
    }

    /// What a member sent was delivered, or has failed.
    fn check_own(&self, trace: &Trace<Vec<u8>>) -> Result<(), String> {
        for (place, (id, data)) in trace.sent.iter().enumerate() {
            let delivered = trace.delivered.iter().any(|d| d.data == *data);
            if delivered == trace.failed.contains(&place) {
                let what = if delivered { "both" } else { "neither" };
                return Err(format!("{}: {id} has {what}", trace.name));
            }
        }
        Ok(())
    }

    pub fn state(&self) -> String {
        let line = |(index, node): (usize, &Node)| match &node.member {
            Some(member) => format!(
                "  m{index} is {} of {:?} sequencer {} next {} expect {} outstanding {}{}{}{}\n",
                member.me(),
                member.members(),
                member.sequencer(),
                member.next(),
                member.expect(),
                member.outstanding(),
                if member.is_recovering() {
                    " recovers"
                } else {
                    ""
                },
                if node.closed { " closed" } else { "" },
                if node.expelled { " expelled" } else { "" },
            ),
            None => format!("  m{index} crashed\n"),
        };
        self.exchange.nodes.iter().enumerate().map(line).collect()
    }
}
