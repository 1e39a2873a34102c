//! One storm: the plan that a seed draws, the weather that follows from it, and the run.

use std::collections::BTreeMap;
use std::fmt;

use capability::{Header, Port};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use rpc::checker::{History, Outcome, check_complete, check_safety};
use rpc::{Config, Event, ReplyOutcome, Rules, ServerId, Timing, TransOptions, TransactionId};

use super::{Exchange, Fate, Fates, one_way};

/// What a seed draws.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub hosts: usize,
    /// Hosts that serve; the first ones.
    pub servers: usize,
    pub threads: usize,
    pub ports: usize,
    pub rules: Rules,
    pub timing: Timing,
    pub window: u32,
    pub transactions_max: usize,
    pub clients_max: usize,
    pub packet_len_max: usize,
    pub size_max: usize,
    /// In a thousand.
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
    pub forward: u64,
    pub cancel: u64,
    pub abort: u64,
    pub pause: u64,
    pub crash: u64,
    pub partition: u64,
    /// Most milliseconds that a server takes.
    pub service_max: u64,
    pub steps: u32,
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<rpc::Sabotage>,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let mut pick = |from: &[u64]| from[rng.below(from.len() as u64) as usize];
        let hosts = pick(&[2, 3, 3, 4, 5, 8]) as usize;
        Plan {
            seed,
            hosts,
            servers: (pick(&[1, 2, 2, 3, 4]) as usize).min(hosts),
            threads: pick(&[1, 1, 2, 4, 16]) as usize,
            ports: pick(&[1, 1, 2]) as usize,
            rules: match pick(&[0, 0, 1]) {
                0 => Rules::Thesis,
                _ => Rules::Amoeba5,
            },
            timing: match pick(&[0, 0, 0, 0, 1]) {
                0 => Timing::modern(),
                _ => Timing::amoeba5(),
            },
            window: pick(&[128, 128, 512, 4_096]) as u32,
            transactions_max: pick(&[2, 20, 300]) as usize,
            clients_max: pick(&[1, 64, 64, 64, 64]) as usize,
            packet_len_max: 1_458,
            size_max: pick(&[16, 16, 3_000, 3_000, 100_000, 1 << 20]) as usize,
            loss: pick(&[0, 10, 50, 100, 200, 300]),
            duplication: pick(&[0, 10, 100, 300]),
            reordering: pick(&[0, 10, 100, 300]),
            forward: pick(&[0, 0, 50, 200]),
            cancel: pick(&[0, 0, 20]),
            abort: pick(&[0, 0, 20, 100]),
            pause: pick(&[0, 0, 10]),
            crash: pick(&[0, 0, 5, 20]),
            partition: pick(&[0, 0, 5]),
            service_max: pick(&[0, 1, 20, 1_000]),
            steps: pick(&[60, 150, 300]) as u32,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    fn config(&self) -> Config {
        Config {
            rules: self.rules,
            timing: self.timing,
            window: self.window,
            transactions_max: self.transactions_max,
            clients_max: self.clients_max,
            packet_len_max: self.packet_len_max,
            duplicating: self.duplication > 0,
            #[cfg(feature = "sabotage")]
            sabotage: self.sabotage,
            ..Config::new(one_way)
        }
    }

    /// Whether nothing can go wrong that a reply does not survive.
    fn is_mild(&self) -> bool {
        self.loss <= 10 && self.crash + self.partition + self.cancel + self.pause == 0
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self;
        let times = match plan.timing == Timing::modern() {
            true => "modern",
            false => "amoeba5",
        };
        let (seed, hosts, servers) = (plan.seed, plan.hosts, plan.servers);
        write!(
            f,
            "seed={seed:#x} hosts={hosts} servers={servers} threads={} ",
            plan.threads
        )?;
        write!(
            f,
            "ports={} rules={:?} timing={times} ",
            plan.ports, plan.rules
        )?;
        write!(
            f,
            "window={} transactions={} ",
            plan.window, plan.transactions_max
        )?;
        write!(
            f,
            "clients={} size={} loss={} ",
            plan.clients_max, plan.size_max, plan.loss
        )?;
        write!(f, "dup={} reorder={} ", plan.duplication, plan.reordering)?;
        write!(
            f,
            "forward={} cancel={} abort={} ",
            plan.forward, plan.cancel, plan.abort
        )?;
        write!(
            f,
            "pause={} crash={} partition={} ",
            plan.pause, plan.crash, plan.partition
        )?;
        write!(f, "service={} steps={}", plan.service_max, plan.steps)
    }
}

/// Draws the fate of each message; calm once the faults are over.
pub struct Weather {
    pub rng: Rng,
    pub plan: Plan,
    pub calm: bool,
    /// Hosts on the other side of a cut.
    pub cut: Vec<usize>,
}

impl Fates for Weather {
    fn fate(&mut self, now: Instant, from: usize, to: usize, message: &[u8]) -> Fate {
        let mut delay = Duration::from_micros(50 + self.rng.below(50) + message.len() as u64 / 100);
        if !self.reaches(now, from, to) {
            return Fate::lost();
        }
        if self.calm {
            return Fate::after(delay);
        }
        if self.rng.chance(self.plan.loss, 1_000) {
            return Fate::lost();
        }
        if self.rng.chance(self.plan.reordering, 1_000) {
            let longest = if self.rng.chance(1, 10) {
                2_000_000
            } else {
                5_000
            };
            delay = delay + Duration::from_micros(self.rng.below(longest));
        }
        let mut arrivals = vec![delay];
        if self.rng.chance(self.plan.duplication, 1_000) {
            let longest = if self.rng.chance(1, 4) {
                3_000_000
            } else {
                5_000
            };
            arrivals.push(delay + Duration::from_micros(self.rng.below(longest)));
        }
        Fate { arrivals }
    }

    fn reaches(&mut self, _: Instant, from: usize, to: usize) -> bool {
        self.cut.contains(&from) == self.cut.contains(&to)
    }
}

/// Client host, its life, and the number of the transaction there.
pub type Key = (usize, u32, u64);

enum Plot {
    Answer {
        node: usize,
        life: u32,
        server: ServerId,
    },
    Restart {
        node: usize,
    },
    Heal,
}

/// A run.
pub struct Storm {
    pub exchange: Exchange,
    pub weather: Weather,
    pub rng: Rng,
    pub history: History<Key>,
    transactions: BTreeMap<(usize, u32, TransactionId), Key>,
    executing: BTreeMap<(usize, u32, ServerId), (Key, Vec<u8>)>,
    answered: BTreeMap<(usize, u32, ServerId), Key>,
    plots: BTreeMap<(Instant, u64), Plot>,
    count: u64,
}

const PORTS: [Port; 2] = [Port::new(*b"first\0"), Port::new(*b"second")];

/// How long one transaction may take after the faults are over; with Amoeba's times a silent server
/// is given up after four minutes, and servers may be asked one after the other.
const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_AMOEBA5: Duration = Duration::from_secs(900);

impl Storm {
    pub fn new(plan: Plan, trace: bool) -> Storm {
        let mut rng = Rng::new(plan.seed ^ 0x57_0412);
        let mut exchange = Exchange::new(plan.seed);
        exchange.log = trace.then(Vec::new);
        for _ in 0..plan.hosts {
            exchange.add(plan.config());
        }
        let weather = Weather {
            rng: rng.split(),
            plan,
            calm: false,
            cut: Vec::new(),
        };
        Storm {
            exchange,
            weather,
            rng,
            history: History::default(),
            transactions: BTreeMap::new(),
            executing: BTreeMap::new(),
            answered: BTreeMap::new(),
            plots: BTreeMap::new(),
            count: 0,
        }
    }

    /// The whole run; says what does not hold.
    pub fn run(&mut self) -> Result<(), String> {
        for node in 0..self.weather.plan.servers {
            self.serve(node);
        }
        for _ in 0..self.weather.plan.steps {
            self.act();
            let pause = Duration::from_micros(self.rng.below(4_000));
            self.run_until(self.exchange.now + pause)?;
        }
        self.come_to_rest()
    }

    fn plot(&mut self, at: Instant, plot: Plot) {
        self.count += 1;
        self.plots.insert((at, self.count), plot);
    }

    fn run_until(&mut self, until: Instant) -> Result<(), String> {
        loop {
            self.take_all();
            let plot = self.plots.keys().next().map(|(at, _)| *at);
            let next = self.exchange.next_time();
            let at = plot.into_iter().chain(next).min();
            if at.is_none_or(|at| at > until) {
                self.exchange.step(until, &mut self.weather);
                break;
            }
            if plot.is_some_and(|plot| next.is_none_or(|next| plot <= next)) {
                let ((at, _), plot) = self.plots.pop_first().expect("just looked at");
                self.exchange.now = self.exchange.now.max(at);
                self.carry_out(plot);
            } else {
                self.exchange.step(until, &mut self.weather);
            }
        }
        check_safety(&self.history).map_err(|violation| violation.to_string())
    }

    /// What the processes were told.
    fn take_all(&mut self) {
        for node in 0..self.exchange.nodes.len() {
            while let Some(event) = self.exchange.nodes[node].inbox.pop_front() {
                self.take(node, event);
            }
        }
    }

    fn carry_out(&mut self, plot: Plot) {
        match plot {
            Plot::Answer { node, life, server } => self.answer(node, life, server),
            Plot::Restart { node } => {
                self.exchange.start(node);
                if node < self.weather.plan.servers {
                    self.serve(node);
                }
            }
            Plot::Heal => self.weather.cut.clear(),
        }
    }

    fn serve(&mut self, node: usize) {
        for port in &PORTS[..self.weather.plan.ports] {
            for _ in 0..self.weather.plan.threads {
                self.get_request(node, *port);
            }
        }
    }

    fn get_request(&mut self, node: usize, port: Port) {
        self.exchange.act(node, &mut self.weather, |endpoint, now| {
            endpoint
                .get_request(now, port)
                .expect("room for a few servers")
        });
    }

    /// One thing that somebody does, or that goes wrong.
    fn act(&mut self) {
        let plan = self.weather.plan.clone();
        let node = self.rng.below(plan.hosts as u64) as usize;
        let burst = if self.rng.chance(1, 30) { 40 } else { 1 };
        for _ in 0..burst {
            self.trans(node);
        }
        if self.rng.chance(plan.abort, 1_000) {
            self.abort();
        }
        if self.rng.chance(plan.pause, 1_000) {
            let length = Duration::from_millis(self.rng.below(7_000));
            self.exchange.nodes[node].frozen_until = self.exchange.now + length;
        }
        if self.rng.chance(plan.crash, 1_000) && self.exchange.nodes[node].endpoint.is_some() {
            self.crash(node);
        }
        if self.rng.chance(plan.partition, 1_000) && self.weather.cut.is_empty() {
            self.weather.cut = (0..plan.hosts).filter(|_| self.rng.chance(1, 2)).collect();
            let length = Duration::from_millis(self.rng.below(6_000));
            self.plot(self.exchange.now + length, Plot::Heal);
        }
    }

    fn trans(&mut self, node: usize) {
        let plan = &self.weather.plan;
        let life = self.exchange.nodes[node].life;
        let port = PORTS[self.rng.below(plan.ports as u64) as usize];
        let size = match self.rng.chance(1, 2) {
            true => 0,
            false => self.rng.below(plan.size_max as u64 + 1) as usize,
        };
        self.count += 1;
        let key = (node, life, self.count);
        let mut data = encode(key);
        data.resize(data.len() + size, key.2 as u8);
        let options = TransOptions {
            locate_time: self
                .rng
                .chance(1, 2)
                .then(|| Duration::from_millis(self.rng.below(1_000))),
            ..TransOptions::default()
        };
        let header = Header::to(port.put_port());
        // The record is there before anything can be executed at this very endpoint.
        let begun = self.exchange.act(node, &mut self.weather, |endpoint, now| {
            endpoint.trans_with(now, header, &data, options)
        });
        if let Some(Ok(transaction)) = begun {
            self.history.of(key);
            self.transactions.insert((node, life, transaction), key);
        }
    }

    fn abort(&mut self) {
        let open = self.transactions.len() as u64;
        if open == 0 {
            return;
        }
        let which = self.rng.below(open) as usize;
        let (node, life, transaction) = *self
            .transactions
            .keys()
            .nth(which)
            .expect("below the count");
        if self.exchange.nodes[node].life == life {
            self.exchange.act(node, &mut self.weather, |endpoint, now| {
                endpoint.abort(now, transaction);
            });
        }
    }

    fn crash(&mut self, node: usize) {
        // What it was told it knew.
        self.take_all();
        let life = self.exchange.nodes[node].life;
        let host_too = self.rng.chance(1, 2);
        self.exchange.say(|| format!("h{node} crashes"));
        self.exchange.kill(node, host_too);
        let of_it = |key: &(usize, u32, TransactionId)| key.0 == node && key.1 == life;
        let gone: Vec<_> = self
            .transactions
            .keys()
            .filter(|key| of_it(key))
            .copied()
            .collect();
        for transaction in gone {
            let key = self.transactions.remove(&transaction).expect("listed");
            self.history.of(key).outcomes.push(Outcome::Crashed);
        }
        let pause = Duration::from_micros(self.rng.below(2_000_000));
        self.plot(self.exchange.now + pause, Plot::Restart { node });
    }

    fn take(&mut self, node: usize, event: Event) {
        let life = self.exchange.nodes[node].life;
        match event {
            Event::Request { server, data, .. } => self.execute(node, life, server, &data),
            Event::Replied {
                transaction, data, ..
            } => {
                let key = self.end(node, life, transaction);
                let is_right = data.get(..24) == Some(&encode(key)[..]);
                let outcome = Outcome::Replied { is_right };
                self.history.of(key).outcomes.push(outcome);
            }
            Event::Failed { transaction, error } => {
                let key = self.end(node, life, transaction);
                let outcome = match error.was_not_executed() {
                    true => Outcome::NotExecuted,
                    false => Outcome::ContactLost,
                };
                self.history.of(key).outcomes.push(outcome);
            }
            Event::ReplyDone { server, outcome } => self.done(node, life, server, outcome),
            Event::Signalled { server } => {
                if let Some((key, _)) = self.executing.get(&(node, life, server)) {
                    self.history.of(*key).signals += 1;
                    self.plot(self.exchange.now, Plot::Answer { node, life, server });
                }
            }
        }
    }

    fn end(&mut self, node: usize, life: u32, transaction: TransactionId) -> Key {
        let ended = self.transactions.remove(&(node, life, transaction));
        ended.unwrap_or_else(|| panic!("h{node} {transaction} ended twice"))
    }

    /// A request at a server: executed, or forwarded without.
    fn execute(&mut self, node: usize, life: u32, server: ServerId, data: &[u8]) {
        let plan = self.weather.plan.clone();
        let key = decode(data);
        // A transaction of this very endpoint is executed before `trans` has returned.
        let to = self.rng.below(plan.servers as u64) as usize;
        let can_forward = self.exchange.nodes[to].endpoint.is_some();
        if can_forward && self.rng.chance(plan.forward, 1_000) {
            let to = self.exchange.address(to);
            self.exchange.act(node, &mut self.weather, |endpoint, now| {
                endpoint
                    .forward_request(now, server, to)
                    .expect("it executes")
            });
            return;
        }
        let place = format!("h{node}/{life} {server} {}", self.exchange.now);
        let record = self.history.of(key);
        record.executed.push(place);
        let id = (node, life, server);
        self.executing.insert(id, (key, data.to_vec()));
        let long = self.rng.chance(1, 20);
        let longest = if long { 5_000 } else { plan.service_max };
        let takes = Duration::from_micros(self.rng.below(longest * 1_000 + 1));
        self.plot(
            self.exchange.now + takes,
            Plot::Answer { node, life, server },
        );
    }

    fn answer(&mut self, node: usize, life: u32, server: ServerId) {
        if self.exchange.nodes[node].life != life || self.exchange.nodes[node].endpoint.is_none() {
            return;
        }
        let frozen_until = self.exchange.nodes[node].frozen_until;
        if frozen_until > self.exchange.now {
            return self.plot(frozen_until, Plot::Answer { node, life, server });
        }
        let Some((key, data)) = self.executing.remove(&(node, life, server)) else {
            return;
        };
        let port = PORTS[self.rng.below(self.weather.plan.ports as u64) as usize];
        if self.rng.chance(self.weather.plan.cancel, 1_000) {
            self.exchange.act(node, &mut self.weather, |endpoint, now| {
                endpoint.cancel(now, server);
            });
            return self.get_request(node, port);
        }
        self.answered.insert((node, life, server), key);
        self.exchange.act(node, &mut self.weather, |endpoint, now| {
            endpoint
                .put_reply(now, server, Header::to(Port::NULL), &data)
                .expect("it executes")
        });
    }

    fn done(&mut self, node: usize, life: u32, server: ServerId, outcome: ReplyOutcome) {
        let answered = self.answered.remove(&(node, life, server));
        if let Some(key) = answered
            && outcome == ReplyOutcome::Acknowledged
            && self.history.of(key).outcomes.is_empty()
            // The client's own event may still be in its inbox.
            && self.exchange.nodes[key.0].inbox.is_empty()
        {
            self.history.of(key).acknowledged_early = true;
        }
        let port = PORTS[self.rng.below(self.weather.plan.ports as u64) as usize];
        self.get_request(node, port);
    }

    /// No new faults; hosts that stand still and networks that are cut come back by themselves.
    /// Everything must end, and stay as it was told.
    fn come_to_rest(&mut self) -> Result<(), String> {
        self.weather.calm = true;
        let longest = match self.weather.plan.timing == Timing::modern() {
            true => LONGEST,
            false => LONGEST_AMOEBA5,
        };
        self.run_until(self.exchange.now + longest)?;
        if let Err(violation) = check_complete(&self.history) {
            return Err(format!("{violation}\n{}", self.state()));
        }
        for (index, node) in self.exchange.nodes.iter().enumerate() {
            let pending = node.endpoint.as_ref().map(|endpoint| endpoint.sizes());
            if pending.is_some_and(|sizes| sizes.transactions + sizes.searches > 0) {
                return Err(format!("h{index} still waits: {pending:?}"));
            }
        }
        self.check_mild()
    }

    /// What everybody waits for.
    fn state(&self) -> String {
        let nodes = self.exchange.nodes.iter().enumerate();
        let endpoints = nodes.filter_map(|(index, node)| Some((index, node.endpoint.as_ref()?)));
        let lines = endpoints.flat_map(|(index, endpoint)| {
            let pending = endpoint.pending();
            pending.map(move |pending| format!("  h{index} {pending}\n"))
        });
        lines.collect()
    }

    /// Where next to nothing goes wrong every transaction has its reply, or found all servers busy.
    fn check_mild(&self) -> Result<(), String> {
        if !self.weather.plan.is_mild() || self.weather.plan.clients_max == 1 {
            return Ok(());
        }
        let lost = |record: &&rpc::checker::Record| record.outcomes == [Outcome::ContactLost];
        match self.history.records.values().find(lost) {
            Some(record) => Err(format!("contact lost in mild weather: {record:?}")),
            None => Ok(()),
        }
    }
}

fn encode(key: Key) -> Vec<u8> {
    let words = [key.0 as u64, u64::from(key.1), key.2];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn decode(data: &[u8]) -> Key {
    let word = |at: usize| u64::from_le_bytes(data[8 * at..8 * at + 8].try_into().expect("8"));
    (word(0) as usize, word(1) as u32, word(2))
}
