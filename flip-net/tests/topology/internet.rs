//! One internetwork, drawn from a seed: its shape, what happens to it, and the probes.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::rc::Rc;

use flip_net::address::{FlipAddress, LinkAddress, NetworkId};
use flip_net::flip_box::{ACCOUNTS_LEN_MAX, Marks};
use flip_net::rng::Rng;
use flip_net::time::Duration;
use flip_net::wire::pretty;
use flip_net::{Config, FlipBox, Link, SendOptions};
use sim::{Cable, CableId, Failure, MachineId, Plan};

use crate::host::{Host, Hosts, Letter, Seen};
use crate::witness::{Facts, Witness};

/// How long a sender waits before it takes a message for lost.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Virtual time for one unit of weight: who is lighter is faster.
const DELAY: u64 = 200;

struct Network {
    id: CableId,
    link: Link,
    /// The boxes on it, in the order of their stations.
    taps: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Address {
    public: FlipAddress,
    home: usize,
}

/// What the probes came to.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) probes: u64,
    pub(crate) repeats: u64,
    pub(crate) stale: u64,
}

pub(crate) struct Internet {
    seed: u64,
    rng: Rng,
    world: Hosts,
    facts: Rc<RefCell<Facts>>,
    config: Config,
    networks: Vec<Network>,
    /// The networks of each box, in the order of its network numbers.
    boxes: Vec<Vec<usize>>,
    /// Switched off, or not trusted, by one box.
    off: BTreeSet<(usize, usize)>,
    distrusted: BTreeSet<(usize, usize)>,
    addresses: Vec<Address>,
    privates: BTreeMap<FlipAddress, FlipAddress>,
    /// Who listens to the group: boxes.
    group: FlipAddress,
    next_number: u64,
    marks: Marks,
    pub(crate) report: Report,
}

impl fmt::Display for Internet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (boxes, networks) = (self.boxes.len(), self.networks.len());
        write!(
            f,
            "seed {:#x}: {boxes} boxes, {networks} networks",
            self.seed
        )?;
        for (at, network) in self.networks.iter().enumerate() {
            write!(f, "\n  n{at} {:?} {:?}", network.link, network.taps)?;
        }
        write!(f, "\n  addresses ")?;
        let mut addresses = self.addresses.iter();
        addresses.try_for_each(|each| write!(f, "{} on p{}, ", each.public, each.home))
    }
}

impl Internet {
    /// The shape that a seed draws.
    pub(crate) fn draw(seed: u64) -> Internet {
        let mut rng = Rng::new(seed);
        let shape = Shape::draw(&mut rng);
        let mut world = Hosts::new(rng.next_u64(), Plan::calm());
        world.trace_mut().describe_frames(describe);
        let facts = Rc::new(RefCell::new(Facts::default()));
        world.add_rule(Witness(Rc::clone(&facts)));
        let links = shape.links.iter().enumerate();
        let mut networks: Vec<Network> = links
            .map(|(at, &link)| {
                let delay = Duration::from_micros(u64::from(link.weight) * DELAY);
                let id = world.add_cable(Cable::new(format!("n{at}"), delay));
                if link.flow {
                    facts.borrow_mut().flow.insert(id);
                }
                let taps = Vec::new();
                Network { id, link, taps }
            })
            .collect();
        let config = Config {
            routes_len_max: [12, 4_096][rng.below(2) as usize],
            heard_len_max: [0, 2, 256][rng.below(3) as usize],
            credits_max: 2 + rng.below(10) as u8,
            credits_owed_max: 2,
            pace: None,
            ..Config::default()
        };
        for (at, own) in shape.boxes.iter().enumerate() {
            let flip = make_box(config, &networks, own);
            let cables: Vec<CableId> = own.iter().map(|network| networks[*network].id).collect();
            let host = Host::new(flip, rng.next_u64() as u32);
            world.add_machine(format!("p{at}"), host, &cables);
            own.iter()
                .for_each(|network| networks[*network].taps.push(at));
        }
        let mut internet = Internet {
            seed,
            rng,
            world,
            facts,
            config,
            networks,
            boxes: shape.boxes,
            off: BTreeSet::new(),
            distrusted: BTreeSet::new(),
            addresses: Vec::new(),
            privates: BTreeMap::new(),
            group: FlipAddress::NULL,
            next_number: 0,
            marks: Marks::default(),
            report: Report::default(),
        };
        let group = FlipAddress::random(&mut internet.rng);
        internet.group = group.one_way();
        for at in 0..internet.boxes.len() {
            internet.settle(at);
            if internet.rng.chance(1, 3) {
                let id = MachineId::new(at);
                internet.world.with(id, |host, _| host.register(group));
            }
        }
        internet
    }

    /// Keeps the whole trace, and gives it.
    pub(crate) fn keep_trace(&mut self) {
        self.world.trace_mut().keep_all();
    }

    pub(crate) fn trace(&self) -> &[String] {
        self.world.trace().lines()
    }

    pub(crate) fn boxes(&self) -> usize {
        self.boxes.len()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.world.trace().hash()
    }

    pub(crate) fn marks(&self) -> Marks {
        let mut marks = self.marks;
        for at in 0..self.boxes.len() {
            marks.merge(&self.host(at).flip.stats().marks);
        }
        marks
    }

    pub(crate) fn failure(&self, what: String, replay: String) -> Failure {
        self.world.failure(format!("{what}\n{self}"), replay)
    }

    /// Lets things happen, and probes in between.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..4 + self.rng.below(6) {
            for _ in 0..self.rng.below(4) {
                self.change();
            }
            for _ in 0..self.rng.below(6) {
                self.send_something();
            }
            self.pass_time();
            self.check_tables()?;
            for _ in 0..2 {
                self.probe()?;
            }
            if let Some(broken) = self.facts.borrow_mut().broken.take() {
                return Err(broken);
            }
            self.facts.borrow_mut().forget_sent();
        }
        Ok(())
    }

    fn host(&self, at: usize) -> &Host {
        self.world
            .machine(MachineId::new(at))
            .expect("hosts stay up")
    }

    /// A new address, or two, on a box.
    fn settle(&mut self, home: usize) {
        for _ in 0..1 + self.rng.below(2) {
            let private = FlipAddress::random(&mut self.rng);
            self.world
                .with(MachineId::new(home), |host, _| host.register(private));
            let public = private.one_way();
            self.note_home(public, home);
            self.addresses.push(Address { public, home });
            self.privates.insert(public, private);
        }
    }

    fn note_home(&mut self, public: FlipAddress, home: usize) {
        let mut facts = self.facts.borrow_mut();
        facts
            .homes
            .entry(public)
            .or_default()
            .insert(MachineId::new(home));
    }

    fn pick_box(&mut self) -> usize {
        self.rng.below(self.boxes.len() as u64) as usize
    }

    fn pick_address(&mut self) -> usize {
        self.rng.below(self.addresses.len() as u64) as usize
    }

    /// Something changes in the world.
    fn change(&mut self) {
        match self.rng.below(9) {
            6.. => self.betray(),
            0 | 1 => self.pull_or_plug(),
            2 | 3 => self.move_an_address(),
            4 => self.switch_a_network(),
            _ => self.restart_a_box(),
        }
    }

    fn pull_or_plug(&mut self) {
        let at = self.pick_box();
        let own = &self.boxes[at];
        let network = own[self.rng.below(own.len() as u64) as usize];
        let tap = (self.networks[network].id, MachineId::new(at));
        let pulled = &mut self.facts.borrow_mut().pulled;
        if !pulled.remove(&tap) && pulled.len() < self.boxes.len() {
            pulled.insert(tap);
        }
    }

    fn move_an_address(&mut self) {
        let (which, to) = (self.pick_address(), self.pick_box());
        let Address { public, home } = self.addresses[which];
        let private = self.privates[&public];
        self.world
            .with(MachineId::new(home), |host, _| host.unregister(public));
        self.world
            .with(MachineId::new(to), |host, _| host.register(private));
        self.note_home(public, to);
        self.addresses[which].home = to;
    }

    fn switch_a_network(&mut self) {
        let at = self.pick_box();
        let number = self.rng.below(self.boxes[at].len() as u64) as usize;
        let key = (at, self.boxes[at][number]);
        let set = match self.rng.chance(1, 2) {
            true => &mut self.off,
            false => &mut self.distrusted,
        };
        if !set.remove(&key) {
            set.insert(key);
        }
        self.apply_switches(at, number);
    }

    fn apply_switches(&mut self, at: usize, number: usize) {
        let key = (at, self.boxes[at][number]);
        let (on, trusted) = (!self.off.contains(&key), self.trusts(at, key.1));
        self.world.with(MachineId::new(at), |host, _| {
            host.flip.control(NetworkId(number as u8), on, trusted);
        });
    }

    fn trusts(&self, at: usize, network: usize) -> bool {
        self.networks[network].link.trusted && !self.distrusted.contains(&(at, network))
    }

    /// Two exchange messages safely; then a box on the way stops to trust the network that it used,
    /// and hears over it from the other end. The next safe message runs into that.
    fn betray(&mut self) {
        let (here, there) = (self.pick_address(), self.pick_address());
        let (here, there) = (self.addresses[here], self.addresses[there]);
        let safe = SendOptions {
            security: true,
            ..SendOptions::default()
        };
        let group = self.group;
        self.exchange(there, here.public, safe, None);
        self.exchange(here, there.public, safe, None);
        self.exchange(there, group, SendOptions::default(), Some(1));
        let ways = (0..self.boxes.len()).flat_map(|at| {
            let ways = self.host(at).flip.locations(there.public).iter();
            ways.map(move |way| (at, usize::from(way.network.0)))
        });
        let ways: Vec<_> = ways.filter(|(at, _)| *at != here.home).collect();
        if ways.is_empty() {
            return;
        }
        let (at, number) = ways[self.rng.below(ways.len() as u64) as usize];
        self.distrusted.insert((at, self.boxes[at][number]));
        self.apply_switches(at, number);
        let neighbour = self.addresses.iter().find(|address| address.home == at);
        let to = neighbour.map_or(here.public, |neighbour| neighbour.public);
        self.exchange(there, to, SendOptions::default(), None);
        self.exchange(here, there.public, safe, None);
    }

    /// Sends one message and lets it arrive, if it does.
    fn exchange(
        &mut self,
        from: Address,
        to: FlipAddress,
        options: SendOptions,
        many: Option<u16>,
    ) {
        let number = self.fresh_number();
        let letter = Letter {
            from: from.public,
            to,
            number,
            len: 8,
            options,
            at_least: many,
        };
        self.post(from.home, letter);
        self.run_for(Duration::from_millis(60));
    }

    /// A box forgets everything; who lived there is somebody else afterwards.
    fn restart_a_box(&mut self) {
        let at = self.pick_box();
        self.marks.merge(&self.host(at).flip.stats().marks);
        let mut flip = make_box(self.config, &self.networks, &self.boxes[at]);
        for (number, network) in self.boxes[at].iter().enumerate() {
            let on = !self.off.contains(&(at, *network));
            flip.control(NetworkId(number as u8), on, self.trusts(at, *network));
        }
        self.facts.borrow_mut().forget_sent_by(MachineId::new(at));
        let first = self.rng.next_u64() as u32;
        self.world
            .with(MachineId::new(at), |host, _| *host = Host::new(flip, first));
        self.addresses.retain(|address| address.home != at);
        self.settle(at);
    }

    /// Traffic without a promise: to one, to the group, with security, from anew.
    fn send_something(&mut self) {
        let from = self.pick_address();
        let Address { public, home } = self.addresses[from];
        let to = self.pick_address();
        let to = self.addresses[to].public;
        let options = SendOptions {
            security: self.rng.chance(1, 3),
            relocate: self.rng.chance(1, 4),
            skip_own: true,
            ..SendOptions::default()
        };
        let number = self.fresh_number();
        let len = self.draw_len();
        let many = self.rng.chance(1, 3);
        let at_least = 1 + self.rng.below(3) as u16;
        let letter = Letter {
            from: public,
            to: if many { self.group } else { to },
            number,
            len,
            options,
            at_least: many.then_some(at_least),
        };
        self.post(home, letter);
        let pause = self.rng.below(20_000);
        self.run_for(Duration::from_micros(pause));
    }

    fn post(&mut self, home: usize, letter: Letter) {
        self.world
            .with(MachineId::new(home), |host, now| host.send(now, letter));
    }

    fn fresh_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn draw_len(&mut self) -> usize {
        match self.rng.chance(1, 2) {
            true => 8 + self.rng.below(100) as usize,
            false => 8 + self.rng.below(9_000) as usize,
        }
    }

    fn pass_time(&mut self) {
        let micros = match self.rng.below(8) {
            0 => 400_000_000,
            1 => self.rng.below(100_000_000),
            _ => self.rng.below(500_000),
        };
        self.run_for(Duration::from_micros(micros));
    }

    fn run_for(&mut self, span: Duration) {
        let until = self.world.now() + span;
        self.world.run_until(until);
    }

    fn check_tables(&self) -> Result<(), String> {
        for at in 0..self.boxes.len() {
            let flip = &self.host(at).flip;
            if flip.routes_len() > self.config.routes_len_max {
                return Err(format!("p{at} has {} routes", flip.routes_len()));
            }
            if flip.accounts_len() > ACCOUNTS_LEN_MAX {
                return Err(format!("p{at} has {} accounts", flip.accounts_len()));
            }
        }
        Ok(())
    }

    /// Somebody sends to somebody whom it can reach, and repeats until it gets through.
    fn probe(&mut self) -> Result<(), String> {
        let (from, to) = (self.pick_address(), self.pick_address());
        let (from, to) = (self.addresses[from], self.addresses[to]);
        let (source, target) = (from.public, to.public);
        let (home, end) = (from.home, to.home);
        let security = self.rng.chance(1, 3);
        if !self.has_way(home, end, security) {
            return Ok(());
        }
        let stale = self.stale_routes(target, end);
        let len = self.draw_len();
        self.report.probes += 1;
        self.report.stale += stale;
        for repeat in 0.. {
            let options = SendOptions {
                security,
                relocate: repeat > 0,
                ..SendOptions::default()
            };
            let number = self.fresh_number();
            let letter = Letter {
                from: source,
                to: target,
                number,
                len,
                options,
                at_least: None,
            };
            self.post(home, letter);
            if self.waits_for(number, home, end) {
                return Ok(());
            }
            if repeat > stale {
                return Err(format!(
                    "{target} on p{end} did not hear {source} on p{home} after {repeat} repeats, with {stale} stale \
                     routes, security {security}"
                ));
            }
            self.report.repeats += 1;
        }
        unreachable!("repeats end")
    }

    /// Runs until the message has arrived, or come back, or has taken too long; whether it arrived.
    fn waits_for(&mut self, number: u64, home: usize, end: usize) -> bool {
        let until = self.world.now() + PATIENCE;
        let seen = move |world: &Hosts, at, what| {
            let host = world.machine(MachineId::new(at));
            host.is_some_and(|host| host.seen.contains(&what))
        };
        self.world.run_while(until, |world| {
            !seen(world, end, Seen::Arrived(number)) && !seen(world, home, Seen::Returned(number))
        });
        seen(&self.world, end, Seen::Arrived(number))
    }

    /// Whether `at` can use this network now.
    fn is_plugged(&self, at: usize, network: usize) -> bool {
        let tap = (self.networks[network].id, MachineId::new(at));
        !self.facts.borrow().pulled.contains(&tap) && !self.off.contains(&(at, network))
    }

    /// Whether there is a way that a packet may travel.
    fn has_way(&self, from: usize, to: usize, security: bool) -> bool {
        let mut best: BTreeMap<usize, u16> = BTreeMap::new();
        let mut open = BinaryHeap::from([(Reverse(0), from)]);
        while let Some((Reverse(weight), at)) = open.pop() {
            if at == to {
                return true;
            }
            for &network in &self.boxes[at] {
                let link = self.networks[network].link;
                let next = weight + link.weight;
                let unsafe_ = |at| security && !self.trusts(at, network);
                if !self.is_plugged(at, network) || next > self.config.hops_max || unsafe_(at) {
                    continue;
                }
                for &other in &self.networks[network].taps {
                    if self.is_plugged(other, network)
                        && !unsafe_(other)
                        && best.get(&other).is_none_or(|known| next < *known)
                    {
                        best.insert(other, next);
                        open.push((Reverse(next), other));
                    }
                }
            }
        }
        false
    }

    /// How many routes to an address lead nowhere, over all boxes.
    fn stale_routes(&self, target: FlipAddress, home: usize) -> u64 {
        let mut routes: Vec<(usize, usize, usize)> = Vec::new();
        for at in 0..self.boxes.len() {
            for way in self.host(at).flip.locations(target) {
                let network = self.boxes[at][usize::from(way.network.0)];
                let LinkAddress::Station(station) = way.station else {
                    continue;
                };
                let next = self.networks[network].taps[station as usize];
                routes.push((at, network, next));
            }
        }
        let all = routes.len();
        // Who leads to the home, or to somebody with a good route by another network.
        let mut good: BTreeSet<(usize, usize, usize)> = BTreeSet::new();
        loop {
            let before = good.len();
            for &(at, network, next) in &routes {
                let carried = self.is_plugged(at, network) && self.is_plugged(next, network);
                let mut on = good.iter();
                let leads = next == home || on.any(|&(box_, by, _)| box_ == next && by != network);
                if carried && leads {
                    good.insert((at, network, next));
                }
            }
            if good.len() == before {
                return (all - good.len()) as u64;
            }
        }
    }
}

fn describe(frame: &[u8]) -> String {
    // Both forms are tried: the trace does not know which network has the flow-control header.
    let line = pretty::line(frame);
    match line.contains("no packet") {
        true => pretty::flow_line(frame),
        false => line,
    }
}

/// Which box is on which networks.
struct Shape {
    links: Vec<Link>,
    boxes: Vec<Vec<usize>>,
}

impl Shape {
    fn draw(rng: &mut Rng) -> Shape {
        if rng.chance(1, 5) {
            return Shape::diamond(rng);
        }
        let size_max = [6, 12, 49][rng.below(3) as usize];
        let boxes_len = 2 + rng.below(size_max) as usize;
        let networks_len = 1 + rng.below(boxes_len as u64 + 1) as usize;
        let draw_own = |rng: &mut Rng| {
            let count = 1 + rng.below(3);
            let own = (0..count).map(|_| rng.below(networks_len as u64) as usize);
            own.collect::<BTreeSet<_>>().into_iter().collect()
        };
        Shape {
            links: (0..networks_len).map(|_| draw_link(rng)).collect(),
            boxes: (0..boxes_len).map(|_| draw_own(rng)).collect(),
        }
    }

    /// Two ways of the same weight: what one side refuses the other one may take.
    fn diamond(rng: &mut Rng) -> Shape {
        let link = Link {
            trusted: true,
            ..draw_link(rng)
        };
        Shape {
            links: vec![link; 5],
            boxes: vec![vec![0], vec![0, 1, 2], vec![1, 3], vec![2, 4], vec![3, 4]],
        }
    }
}

fn draw_link(rng: &mut Rng) -> Link {
    Link {
        mtu: [200, 576, 1_498][rng.below(3) as usize],
        weight: 1 + rng.below(4) as u16,
        multicast: rng.chance(3, 4),
        trusted: rng.chance(9, 10),
        flow: rng.chance(1, 2),
    }
}

fn make_box(config: Config, networks: &[Network], own: &[usize]) -> FlipBox {
    let mut flip = FlipBox::new(config);
    for network in own {
        flip.attach(networks[*network].link);
    }
    flip
}
