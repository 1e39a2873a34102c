//! One storm: the plan that a seed draws, the weather that follows from it, and the run.

use std::fmt;

use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use group::checker::{check_complete, check_safety};
use group::{Config, Endpoint, Rules, Timing};

use super::{Exchange, Fate, Fates, Node, config};

/// What a seed draws.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub members: usize,
    pub rules: Rules,
    pub timing: Timing,
    pub window: u32,
    pub history_log2: u8,
    pub history_bytes_max: usize,
    pub early_bytes_max: usize,
    pub large: u32,
    /// In a thousand.
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
    pub noise: u64,
    pub hold: u64,
    pub change: u64,
    /// Hosts that stand still for a while, in a thousand steps.
    pub freeze: u64,
    pub steps: u32,
    pub all_leave: bool,
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<group::Sabotage>,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let mut pick = |from: &[u64]| from[rng.below(from.len() as u64) as usize];
        Plan {
            seed,
            members: pick(&[2, 3, 3, 4, 5, 7]) as usize,
            rules: if pick(&[0, 0, 0, 1]) == 0 {
                Rules::Thesis
            } else {
                Rules::Amoeba5
            },
            timing: Timing::modern(),
            window: pick(&[1, 2, 8, 64, 64]) as u32,
            history_log2: pick(&[4, 5, 6, 8]) as u8,
            history_bytes_max: pick(&[4_000, 40_000, 1 << 20]) as usize,
            early_bytes_max: pick(&[500, 4_000, 1 << 20]) as usize,
            large: pick(&[1, 60, 200, 1_406]) as u32,
            loss: pick(&[0, 10, 50, 100, 150]),
            duplication: pick(&[0, 10, 100]),
            reordering: pick(&[0, 10, 100, 300]),
            noise: pick(&[0, 0, 5]),
            hold: pick(&[0, 2, 10]),
            change: pick(&[0, 2, 5]),
            freeze: pick(&[0, 0, 0, 3]),
            steps: pick(&[300, 600]) as u32,
            all_leave: pick(&[0, 1]) == 1,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    fn config(&self) -> Config {
        Config {
            members_max: 10,
            rules: self.rules,
            timing: self.timing,
            window: self.window,
            history_log2: self.history_log2,
            history_bytes_max: self.history_bytes_max,
            early_bytes_max: self.early_bytes_max,
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
            "members={} rules={:?} window={} history=2^{}/{}B early={}B large={} loss={} dup={} \
             reorder={} noise={} hold={} change={} freeze={} \
             steps={} all-leave={}",
            self.members,
            self.rules,
            self.window,
            self.history_log2,
            self.history_bytes_max,
            self.early_bytes_max,
            self.large,
            self.loss,
            self.duplication,
            self.reordering,
            self.noise,
            self.hold,
            self.change,
            self.freeze,
            self.steps,
            self.all_leave,
        )
    }
}

/// Draws the fate of each message; calm once the faults are over.
pub struct Weather {
    pub rng: Rng,
    pub plan: Plan,
    calm: bool,
}

impl Fates for Weather {
    fn fate(&mut self, _: Instant, _: usize, _: usize, _: &[u8]) -> Fate {
        let mut delay = Duration::from_micros(50 + self.rng.below(50));
        if self.calm {
            return Fate::after(delay);
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

pub struct Storm {
    pub exchange: Exchange,
    pub weather: Weather,
    pub rng: Rng,
    pub plan: Plan,
    pub number: u32,
}

impl Storm {
    pub fn new(plan: Plan, trace: bool) -> Storm {
        let mut rng = Rng::new(plan.seed ^ 0xfeed);
        let mut exchange = Exchange::new(rng.next_u64());
        exchange.log = trace.then(Vec::new);
        exchange.events_first = plan.seed % 2 == 1;
        let weather = Weather {
            rng: rng.split(),
            plan: plan.clone(),
            calm: false,
        };
        Storm {
            exchange,
            weather,
            rng,
            plan,
            number: 0,
        }
    }

    pub fn run(&mut self) -> Result<(), String> {
        self.gather();
        self.blow();
        check_safety(&self.exchange.traces()).map_err(|violation| violation.to_string())?;
        self.come_to_rest()
    }

    pub fn gather(&mut self) {
        let config = self.plan.config();
        self.exchange.create(config.clone(), &mut self.weather);
        for _ in 1..self.plan.members {
            self.exchange.join(config.clone(), &mut self.weather);
        }
    }

    pub fn blow(&mut self) {
        for _ in 0..self.plan.steps {
            self.act();
            let pause = Duration::from_micros(self.rng.below(2_000));
            let until = self.exchange.now + pause;
            self.exchange.run_until(until, &mut self.weather);
        }
    }

    pub fn act(&mut self) {
        let node = self.rng.below(self.exchange.nodes.len() as u64) as usize;
        if self.exchange.nodes[node].frozen_until > self.exchange.now {
            return;
        }
        if self.rng.chance(self.plan.hold, 100) {
            if self.rng.chance(1, 2) {
                self.exchange.nodes[node].holding = true;
            } else {
                self.exchange.nodes[node].consume_later = true;
            }
        } else if self.rng.chance(1, 4) {
            self.exchange.resume(node, &mut self.weather);
        }
        if self.rng.chance(self.plan.freeze, 1_000) {
            let pause = Duration::from_micros(self.rng.below(2_000_000));
            self.exchange.nodes[node].frozen_until = self.exchange.now + pause;
        }
        if self.rng.chance(self.plan.noise, 100) {
            self.make_noise(node);
        }
        if self.rng.chance(self.plan.change, 1_000) {
            self.exchange.join(self.plan.config(), &mut self.weather);
        }
        if self.rng.chance(self.plan.change, 1_000) {
            self.exchange
                .act(node, &mut self.weather, |member, now| member.leave(now));
        }
        for _ in 0..self.rng.below(4) {
            self.number += 1;
            let mut data = self.number.to_le_bytes().to_vec();
            let size = match self.rng.below(20) {
                0 => 3_000,
                1..=4 => 150,
                _ => 4,
            };
            data.resize(size, node as u8);
            // A full window is a refusal that the application lives with.
            let _ = self.exchange.send(node, data, &mut self.weather);
        }
    }

    /// A damaged or forged message.
    fn make_noise(&mut self, node: usize) {
        let Some(member) = self.exchange.nodes[node].member.as_ref() else {
            return;
        };
        let own = member.address();
        let sequencer = member.address_of(member.sequencer()).unwrap_or(own);
        let stranger = FlipAddress::random(&mut self.rng);
        let mut message = vec![0; 60];
        message[0] = self.rng.below(24) as u8;
        message[4] = self.rng.below(4) as u8;
        message[8] = self.rng.below(256) as u8;
        let (from, cut) = match self.rng.below(6) {
            0 => (stranger, 60),
            1 => (own, 60),
            2 => (sequencer, 5),
            3 => {
                message[1] = 0x80;
                (sequencer, 60)
            }
            4 => {
                message[6] = 9;
                (sequencer, 60)
            }
            _ => (stranger, self.rng.below(60) as usize),
        };
        message.truncate(cut);
        let endpoint = match self.rng.below(3) {
            0 => Endpoint::Member,
            1 => Endpoint::FromSequencer,
            _ => Endpoint::ToAll,
        };
        self.exchange.inject(node, endpoint, from, message);
    }

    pub fn come_to_rest(&mut self) -> Result<(), String> {
        self.weather.calm = true;
        for node in 0..self.exchange.nodes.len() {
            self.exchange.nodes[node].frozen_until = self.exchange.now;
            self.exchange.resume(node, &mut self.weather);
        }
        let until = self.exchange.now + Duration::from_secs(12);
        self.exchange.run_until(until, &mut self.weather);
        if !self.exchange.is_at_rest() {
            return Err(format!("did not come to rest\n{}", self.state()));
        }
        self.check_nobody_lost()?;
        check_complete(&self.exchange.traces(), true).map_err(|violation| violation.to_string())?;
        if self.plan.all_leave {
            self.everybody_leaves()?;
        }
        Ok(())
    }

    fn check_nobody_lost(&self) -> Result<(), String> {
        match self
            .exchange
            .nodes
            .iter()
            .find(|node| !node.lost.is_empty())
        {
            Some(node) => Err(format!("{} lost {:?}", node.trace.name, node.lost)),
            None => Ok(()),
        }
    }

    fn everybody_leaves(&mut self) -> Result<(), String> {
        self.weather.calm = false;
        for node in 0..self.exchange.nodes.len() {
            let pause = Duration::from_micros(self.rng.below(3_000));
            let until = self.exchange.now + pause;
            self.exchange.run_until(until, &mut self.weather);
            self.exchange
                .act(node, &mut self.weather, |member, now| member.leave(now));
        }
        let until = self.exchange.now + Duration::from_secs(12);
        self.exchange.run_until(until, &mut self.weather);
        check_safety(&self.exchange.traces()).map_err(|violation| violation.to_string())?;
        match self.exchange.nodes.iter().find(|node| !node.closed) {
            Some(node) => Err(format!(
                "{} did not close\n{}",
                node.trace.name,
                self.state()
            )),
            None => Ok(()),
        }
    }

    fn state(&self) -> String {
        let line = |(index, node): (usize, &Node)| match &node.member {
            Some(member) => format!(
                "  m{index} {} {} next {} expect {} outstanding {} lowest {} closed {}\n",
                member.me(),
                if member.is_sequencer() {
                    "sequencer"
                } else {
                    "member"
                },
                member.next(),
                member.expect(),
                member.outstanding(),
                member.lowest_kept(),
                member.is_closed(),
            ),
            None => format!("  m{index} crashed\n"),
        };
        self.exchange.nodes.iter().enumerate().map(line).collect()
    }
}
