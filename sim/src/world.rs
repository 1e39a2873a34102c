//! The world: machines, cables, the agenda, and the step to the next event.
//!
//! At one instant the order is: agenda entries in the order in which they were made, then the
//! deadlines of machines, lowest number first, time-outs before work. After each call a machine is
//! drained before anything else happens.

use std::collections::BTreeMap;
use std::fmt;

use flip_net::Frame;
use flip_net::address::{LinkAddress, NetworkId};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};

use crate::actor::Actor;
use crate::cable::{Cable, CableId};
use crate::crash::{Crash, State};
use crate::plan::Plan;
use crate::rule::{Flight, Rule, Verdict};
use crate::trace::Trace;
use crate::verdict::Failure;

/// How often a machine may want to be called at one and the same instant before the world takes it
/// for a loop.
const CALLS_AT_ONCE_MAX: u32 = 100_000;

/// One of the machines of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(usize);

impl MachineId {
    /// The machine that was added as number `index`.
    pub const fn new(index: usize) -> MachineId {
        MachineId(index)
    }

    /// Its number in the order of adding.
    pub const fn index(self) -> usize {
        self.0
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// Something on the agenda.
#[derive(Debug)]
enum Happening {
    Arrival {
        to: MachineId,
        cable: CableId,
        network: NetworkId,
        from: LinkAddress,
        bytes: Vec<u8>,
    },
    Crash(Crash),
    Return(MachineId),
}

/// Makes a machine anew after it lost its state.
type Factory<A> = Box<dyn FnMut(MachineId, Rng, Instant) -> A>;

struct Slot<A> {
    name: String,
    /// Gone while it is down without its state.
    actor: Option<A>,
    is_down: bool,
    cables: Vec<CableId>,
    /// Earliest of its time-out and its work; kept current by `drain`.
    due: Option<Instant>,
}

/// Machines on cables, and what goes wrong between them.
pub struct World<A> {
    now: Instant,
    rng: Rng,
    plan: Plan,
    slots: Vec<Slot<A>>,
    cables: Vec<Cable>,
    agenda: BTreeMap<(Instant, u64), Happening>,
    agenda_count: u64,
    rules: Vec<Box<dyn Rule>>,
    /// One side of a cut that a test made by hand.
    cut: Option<Vec<MachineId>>,
    factory: Option<Factory<A>>,
    trace: Trace,
    calls_at_once: u32,
}

impl<A: Actor> World<A> {
    /// An empty world in which `plan` goes wrong; `seed` decides when.
    pub fn new(seed: u64, plan: Plan) -> World<A> {
        let mut world = World {
            now: Instant::ZERO,
            rng: Rng::new(seed),
            plan,
            slots: Vec::new(),
            cables: Vec::new(),
            agenda: BTreeMap::new(),
            agenda_count: 0,
            rules: Vec::new(),
            cut: None,
            factory: None,
            trace: Trace::new(),
            calls_at_once: 0,
        };
        for crash in world.plan.crashes.clone() {
            world.schedule(crash.at, Happening::Crash(crash));
        }
        world
    }

    /// Adds a network.
    pub fn add_cable(&mut self, cable: Cable) -> CableId {
        self.cables.push(cable);
        CableId(self.cables.len() - 1)
    }

    /// Adds a machine that calls the cables network 0, 1 and so on. What it wants to send at its
    /// birth is sent.
    pub fn add_machine(
        &mut self,
        name: impl Into<String>,
        actor: A,
        cables: &[CableId],
    ) -> MachineId {
        let id = MachineId(self.slots.len());
        for (network, cable) in cables.iter().enumerate() {
            let network = NetworkId(u8::try_from(network).expect("a machine has few networks"));
            self.cables[cable.0].attach(id, network);
        }
        self.slots.push(Slot {
            name: name.into(),
            actor: Some(actor),
            is_down: false,
            cables: cables.to_vec(),
            due: None,
        });
        self.drain(id);
        id
    }

    /// A generator for one machine, from the world's seed.
    pub fn split_rng(&mut self) -> Rng {
        self.rng.split()
    }

    /// How machines are made again that return without their state.
    pub fn set_factory(&mut self, factory: impl FnMut(MachineId, Rng, Instant) -> A + 'static) {
        self.factory = Some(Box::new(factory));
    }

    /// Adds a rule behind those that are there.
    pub fn add_rule(&mut self, rule: impl Rule + 'static) {
        self.rules.push(Box::new(rule));
    }

    /// Removes all rules.
    pub fn clear_rules(&mut self) {
        self.rules.clear();
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What goes wrong.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Stops all frame faults of the plan, from now on.
    pub fn end_faults(&mut self) {
        self.plan.faults_end = Some(self.now);
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The same, to change what is kept.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// How many machines were added.
    pub fn machine_count(&self) -> usize {
        self.slots.len()
    }

    /// A machine, unless it is down without its state.
    pub fn machine(&self, id: MachineId) -> Option<&A> {
        self.slots[id.0].actor.as_ref()
    }

    /// Whether it is down.
    pub fn is_down(&self, id: MachineId) -> bool {
        self.slots[id.0].is_down
    }

    /// Does something to a machine that is up, then drains it.
    pub fn with<T>(&mut self, id: MachineId, act: impl FnOnce(&mut A, Instant) -> T) -> Option<T> {
        let slot = &mut self.slots[id.0];
        if slot.is_down {
            return None;
        }
        let result = act(slot.actor.as_mut()?, self.now);
        self.drain(id);
        Some(result)
    }

    /// Stops a machine now.
    pub fn crash(&mut self, id: MachineId, state: State) {
        self.trace_line(id, "crashes", "");
        let slot = &mut self.slots[id.0];
        slot.is_down = true;
        slot.due = None;
        if state == State::Lost {
            slot.actor = None;
        }
    }

    /// Brings a machine back, anew if it lost its state.
    ///
    /// # Panics
    /// If it must be made anew and no factory was set.
    pub fn bring_back(&mut self, id: MachineId) {
        if self.slots[id.0].actor.is_none() {
            let rng = self.rng.split();
            let factory = self.factory.as_mut();
            let make = factory.expect("a machine without state needs a factory to return");
            self.slots[id.0].actor = Some(make(id, rng, self.now));
        }
        self.trace_line(id, "returns", "");
        self.slots[id.0].is_down = false;
        self.drain(id);
    }

    /// From now on `side` and all others do not hear each other.
    pub fn cut_off(&mut self, side: &[MachineId]) {
        self.cut = Some(side.to_vec());
    }

    /// Ends that.
    pub fn heal(&mut self) {
        self.cut = None;
    }

    /// When something happens next.
    pub fn next_time(&self) -> Option<Instant> {
        let agenda = self.agenda.keys().next().map(|(at, _)| *at);
        let due = self.slots.iter().filter_map(|slot| slot.due);
        // A deadline in the past is due now: machines are served late, never early.
        agenda
            .into_iter()
            .chain(due)
            .min()
            .map(|at| at.max(self.now))
    }

    /// Goes to the next event and lets it happen; false if there is none, or none up to `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(at) = self.next_time().filter(|&at| at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        if at > self.now {
            self.calls_at_once = 0;
        }
        self.now = at;
        if self
            .agenda
            .first_key_value()
            .is_some_and(|((due, _), _)| *due <= at)
        {
            if let Some((_, happening)) = self.agenda.pop_first() {
                self.happen(happening);
            }
            return true;
        }
        let due = |slot: &Slot<A>| slot.due.is_some_and(|due| due <= at);
        if let Some(index) = self.slots.iter().position(due) {
            self.serve(MachineId(index));
        }
        true
    }

    /// Runs until the given time.
    pub fn run_until(&mut self, until: Instant) {
        while self.step(until) {}
    }

    /// Runs as long as `goes_on` says so, at most until the given time; tells whether it stopped
    /// because of that.
    pub fn run_while(
        &mut self,
        until: Instant,
        mut goes_on: impl FnMut(&World<A>) -> bool,
    ) -> bool {
        while goes_on(self) {
            if !self.step(until) {
                return !goes_on(self);
            }
        }
        true
    }

    /// The report of a property that does not hold.
    pub fn failure(&self, what: impl Into<String>, replay: impl Into<String>) -> Failure {
        Failure::new(what, self.now, &self.plan, &self.trace, replay)
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.agenda_count += 1;
        self.agenda.insert((at, self.agenda_count), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival {
                to,
                cable,
                network,
                from,
                bytes,
            } => self.arrive(to, cable, network, from, &bytes),
            Happening::Crash(crash) => {
                if self.is_down(crash.machine) {
                    return;
                }
                self.crash(crash.machine, crash.state);
                if let Some(down) = crash.down {
                    let returns = Happening::Return(crash.machine);
                    self.schedule(self.now + down, returns);
                }
            }
            Happening::Return(machine) => {
                if self.is_down(machine) {
                    self.bring_back(machine);
                }
            }
        }
    }

    fn arrive(
        &mut self,
        to: MachineId,
        cable: CableId,
        network: NetworkId,
        from: LinkAddress,
        bytes: &[u8],
    ) {
        if self.slots[to.0].is_down {
            return;
        }
        let detail = self
            .trace
            .frame(self.cables[cable.0].name(), &from.to_string(), bytes);
        self.trace_line(to, "hears", &detail);
        let now = self.now;
        if let Some(actor) = self.slots[to.0].actor.as_mut() {
            actor.handle_frame(now, network, from, bytes);
        }
        self.drain(to);
    }

    /// Serves a machine whose deadline has come.
    fn serve(&mut self, id: MachineId) {
        self.calls_at_once += 1;
        assert!(
            self.calls_at_once < CALLS_AT_ONCE_MAX,
            "time stands still at {}: {} wants to be called again and again",
            self.now,
            self.slots[id.0].name
        );
        let now = self.now;
        let Some(actor) = self.slots[id.0].actor.as_mut() else {
            return;
        };
        let verb = if actor.poll_timeout().is_some_and(|due| due <= now) {
            actor.handle_timeout(now);
            "timeout"
        } else {
            actor.step(now);
            "works"
        };
        self.trace_line(id, verb, "");
        self.drain(id);
    }

    /// Carries everything a machine wants to send, and looks up its next deadline.
    fn drain(&mut self, id: MachineId) {
        loop {
            let Some(actor) = self.slots[id.0].actor.as_mut() else {
                return;
            };
            if let Some(note) = actor.poll_note() {
                self.trace_line(id, "notes", &note);
            } else if let Some(frame) = actor.poll_transmit() {
                self.carry(id, frame);
            } else {
                break;
            }
        }
        let slot = &mut self.slots[id.0];
        slot.due = slot
            .actor
            .as_ref()
            .filter(|_| !slot.is_down)
            .and_then(|actor| {
                let times = [actor.poll_timeout(), actor.poll_step()];
                times.into_iter().flatten().min()
            });
    }

    fn carry(&mut self, from: MachineId, frame: Frame) {
        let Some(&cable) = self.slots[from.0].cables.get(usize::from(frame.network.0)) else {
            panic!(
                "{} sends on {:?}, which it has not",
                self.slots[from.0].name, frame.network
            );
        };
        let name = self.cables[cable.0].name().to_string();
        let bytes = frame.bytes();
        let detail = self.trace.frame(&name, &frame.to.to_string(), &bytes);
        self.trace_line(from, "sends", &detail);
        let arrival = self.cables[cable.0].arrival(self.now, frame.len());
        let station = self.cables[cable.0]
            .station_of(from)
            .expect("a machine that sends is attached");
        for tap in self.cables[cable.0].hearers(from, frame.to) {
            let flight = Flight {
                now: self.now,
                cable,
                from,
                to: tap.machine,
                addressed: frame.to,
                bytes: &bytes,
            };
            let verdict = self.judge(&flight);
            let (first, second) = match verdict {
                Verdict::Pass => (Some(Duration::ZERO), None),
                Verdict::After(delay) => (Some(delay), None),
                Verdict::Twice(delay) => (Some(Duration::ZERO), Some(delay)),
                Verdict::Drop => (None, None),
            };
            if first.is_none() {
                self.trace_line(tap.machine, "loses", &detail);
            }
            for delay in first.into_iter().chain(second) {
                let happening = Happening::Arrival {
                    to: tap.machine,
                    cable,
                    network: tap.network,
                    from: station,
                    bytes: bytes.to_vec(),
                };
                self.schedule(arrival + delay, happening);
            }
        }
    }

    fn judge(&mut self, flight: &Flight<'_>) -> Verdict {
        for rule in &mut self.rules {
            if let Some(verdict) = rule.judge(flight) {
                return verdict;
            }
        }
        if self.is_cut(flight.from, flight.to) {
            return Verdict::Drop;
        }
        let over = self.plan.faults_end.is_some_and(|end| end <= self.now);
        if over {
            return Verdict::Pass;
        }
        self.plan.faults.judge(&mut self.rng)
    }

    fn is_cut(&self, a: MachineId, b: MachineId) -> bool {
        let divides = |side: &[MachineId]| side.contains(&a) != side.contains(&b);
        let by_hand = self.cut.as_deref().is_some_and(divides);
        by_hand
            || self.plan.partitions.iter().any(|partition| {
                let over = partition.at + partition.lasts;
                partition.at <= self.now && self.now < over && divides(&partition.side)
            })
    }

    fn trace_line(&mut self, id: MachineId, verb: &str, detail: &str) {
        self.trace
            .line(self.now, &self.slots[id.0].name, verb, detail);
    }
}
