//! A cluster in simulation: a compiled program on N processors, each a real stack under a real run-time system, on one cable in
//! virtual time.
//!
//! ```text
//!  World --- Node --- Stepped   worker, kernel, compiled code
//!                      Roster   who is who; what waits for the window
//!                      Stack    group and FLIP
//! ```
//! A worker runs for a number of polls drawn from the seed, or until nothing is runnable; then it takes what was delivered. Each poll costs
//! a fixed virtual time, and now and then the worker naps, as one does whose core was taken away. One call, then everything that comes
//! out of it, then the next: the same rule as everywhere.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flip_net::address::{LinkAddress, NetworkId};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use flip_net::walk::Walk;
use flip_net::{Frame, Link, Machine};
use orca_rts::{
    Options, Outcome, ProgramRef, Progress, Roster, Sink, StandardInput, Stepped, join_outcomes,
};
use orcac::Input;
use orcac::session::{self, Session};
use orcac::source::DiskFiles;
use sim::{Actor, Cable, Failure, MachineId, Plan, World};
use stack::capability::Port;
use stack::driver::Driven;
use stack::{Stack, StackStats};

/// What a poll costs.
const POLL_COST: Duration = Duration::from_micros(1);
/// How long a frame takes.
const CABLE_DELAY: Duration = Duration::from_micros(100);
/// Every run is over by then.
const DEADLINE: Instant = Instant::from_micros(1_200_000_000);

/// Compiles a program into memory, where it stays.
///
/// # Panics
/// If it does not compile.
pub fn compile(main: &Path) -> ProgramRef {
    let options = session::Options {
        opt_level: 2,
        ..session::Options::default()
    };
    let mut session = Session::new(options, Box::new(DiskFiles));
    let input = Input {
        main: main.to_path_buf(),
        files: Vec::new(),
    };
    let program = orcac::compile(&mut session, &input, &mut |_| {});
    let program = program.unwrap_or_else(|| panic!("{} has errors", main.display()));
    let loaded = orcac::run::load(&program, orcac::codegen_options(&session));
    let loaded = loaded.unwrap_or_else(|error| panic!("{}: {error}", main.display()));
    Box::leak(Box::new(loaded)).program()
}

/// The bounds of a processor and its group; small ones bring out what happens at them.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Broadcasts of a member that may be under way.
    pub window: u32,
    /// Messages in the history, as a power of two.
    pub history_log2: u8,
    /// Bytes in the history.
    pub history_bytes_max: usize,
    /// Bytes of BB bodies without a number.
    pub early_bytes_max: usize,
    /// Deliveries that wait for the worker.
    pub queue_messages_max: usize,
    /// From this size on data goes by BB; what does not fit a packet, if nothing is said.
    pub large: Option<u32>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            window: 64,
            history_log2: 10,
            history_bytes_max: 1 << 24,
            early_bytes_max: 1 << 24,
            queue_messages_max: 1 << 12,
            large: None,
        }
    }
}

/// How workers pass their time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Polls between two looks at the deliveries, at most.
    pub turns_max: u32,
    /// Chance in a thousand that a worker naps after a stretch.
    pub naps: u64,
    /// The longest nap.
    pub nap_max: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            turns_max: 64,
            naps: 0,
            nap_max: Duration::from_millis(40),
        }
    }
}

/// Hears the landmarks that messages pass: on which processor, and which.
pub type Steps = Arc<dyn Fn(u32, String) + Send + Sync>;

/// What a cluster is made of.
#[derive(Clone)]
pub struct Setup {
    pub program: ProgramRef,
    pub processors: u32,
    /// The program's name, then its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Files that every processor can read.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    pub seed: u64,
    pub plan: Plan,
    pub link: Link,
    pub bounds: Bounds,
    pub pace: Pace,
    pub steps: Option<Steps>,
}

impl Setup {
    /// A calm cluster.
    pub fn new(program: ProgramRef, processors: u32, seed: u64) -> Setup {
        Setup {
            program,
            processors,
            arguments: vec![b"program".to_vec()],
            files: Vec::new(),
            seed,
            plan: Plan::calm(),
            link: Link {
                flow: false,
                ..Link::ethernet()
            },
            bounds: Bounds::default(),
            pace: Pace::default(),
            steps: None,
        }
    }
}

/// What the processors have shown, each for itself.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Sink for Shown {
    fn show(&mut self, text: &[u8], _applied: u64) -> std::io::Result<()> {
        self.0
            .lock()
            .expect("nobody panics here")
            .extend_from_slice(text);
        Ok(())
    }
}

/// One processor.
pub struct Node {
    stack: Stack,
    roster: Roster,
    processor: Stepped,
    pace: Pace,
    rng: Rng,
    /// Frames that are to leave.
    out: VecDeque<Frame>,
    notes: VecDeque<String>,
    /// The worker does nothing before that.
    busy_until: Instant,
    /// Processes may be runnable.
    is_running: bool,
    has_ended: bool,
}

impl Node {
    /// How the program ended here, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.processor.outcome()
    }

    /// Number of the last ordered message that was applied.
    pub fn applied(&self) -> u64 {
        self.processor.applied()
    }

    /// What the stack counted.
    pub fn stats(&self) -> StackStats {
        self.stack.stats()
    }

    fn drain_stack(&mut self) {
        while let Some(frame) = self.stack.poll_transmit() {
            self.out.push_back(frame);
        }
    }

    /// Hands over what the processor asks for, as far as the window goes.
    fn send(&mut self, now: Instant) {
        while let Some(command) = self.processor.poll_command() {
            self.roster.handle_command(command);
        }
        let (stack, out) = (&mut self.stack, &mut self.out);
        self.roster.send(|command| {
            let answer = stack.handle_command(now, command);
            while let Some(frame) = stack.poll_transmit() {
                out.push_back(frame);
            }
            answer
        });
    }

    fn take_deliveries(&mut self, now: Instant) {
        while let Some(delivery) = self.stack.poll_delivery(now) {
            self.drain_stack();
            if let Some(delivery) = self.roster.handle_delivery(delivery) {
                self.processor.handle_delivery(delivery);
                self.notes
                    .push_back(format!("has applied {}", self.processor.applied()));
            }
            self.send(now);
        }
    }

    fn note_end(&mut self) {
        if let Some(outcome) = self.processor.outcome()
            && !self.has_ended
        {
            self.has_ended = true;
            self.notes
                .push_back(format!("ends with status {}", outcome.status));
        }
    }
}

impl Machine for Node {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.stack.handle_frame(now, network, from, frame);
        self.drain_stack();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        self.drain_stack();
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.stack.poll_timeout()
    }
}

impl Actor for Node {
    fn step(&mut self, now: Instant) {
        if now < self.busy_until {
            return;
        }
        self.processor.handle_time(now.as_micros());
        self.send(now);
        self.take_deliveries(now);
        let turns = 1 + self.rng.below(u64::from(self.pace.turns_max)) as u32;
        self.is_running = self.processor.step(turns) == Progress::Ran;
        self.send(now);
        self.note_end();
        if self.is_running {
            self.busy_until = now + POLL_COST.times(u64::from(turns));
        }
        if self.rng.chance(self.pace.naps, 1_000) {
            let nap = self.rng.below(self.pace.nap_max.as_micros());
            self.busy_until = now + Duration::from_micros(nap);
        }
    }

    fn poll_step(&self) -> Option<Instant> {
        if self.is_running || self.stack.has_delivery() {
            return Some(self.busy_until);
        }
        if self.has_ended {
            return None;
        }
        let timeout = self.processor.poll_timeout().map(Instant::from_micros);
        timeout.map(|timeout| timeout.max(self.busy_until))
    }

    fn poll_note(&mut self) -> Option<String> {
        self.notes.pop_front()
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What each processor has shown.
    pub outputs: Vec<String>,
    pub outcome: Outcome,
    /// What each stack counted.
    pub stats: Vec<StackStats>,
    /// The hash of the trace.
    pub hash: u64,
    /// How long it took in virtual time.
    pub took: Instant,
    /// How many events there were.
    pub events: u64,
}

impl Report {
    /// All output, processor by processor.
    pub fn output(&self) -> String {
        self.outputs.concat()
    }
}

/// The processors of one program and the world that they live in.
pub struct Cluster {
    pub world: World<Node>,
    shown: Vec<Shown>,
}

impl Cluster {
    /// Makes the processors; nothing has run yet.
    ///
    /// # Panics
    /// If a bound cannot work.
    pub fn new(setup: &Setup) -> Cluster {
        let mut world = World::new(setup.seed, setup.plan.clone());
        let cable = world.add_cable(Cable::new("cable", CABLE_DELAY));
        let mut shown = Vec::new();
        for number in 0..setup.processors {
            let sink = Shown::default();
            shown.push(sink.clone());
            let node = make_node(setup, number, sink, &mut world.split_rng());
            world.add_machine(format!("p{number}"), node, &[cable]);
        }
        Cluster { world, shown }
    }

    /// All processors, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        nodes(&self.world)
    }

    /// Runs to the end: the program is over everywhere, and everybody has left the group.
    ///
    /// # Errors
    /// It does not end; `replay` is the command that repeats it.
    pub fn run(&mut self, replay: &str) -> Result<Report, Box<Failure>> {
        let goes_on = |world: &World<Node>| nodes(world).any(|node| !node.roster.is_closed());
        if !self.world.run_while(DEADLINE, goes_on) {
            return Err(Box::new(self.world.failure(self.state(), replay)));
        }
        let outcomes = self.nodes().map(|node| {
            let outcome = node.outcome().cloned();
            outcome.expect("only a processor whose program is over leaves")
        });
        let outcome = join_outcomes(outcomes);
        let leftover = self.nodes().find(|node| {
            let (objects, processes, _) = node.processor.in_use();
            (objects, processes) != (0, 0)
        });
        if outcome.status == 0
            && let Some(node) = leftover
        {
            let what = format!("left over at the end: {:?}", node.processor.in_use());
            return Err(Box::new(self.world.failure(what, replay)));
        }
        Ok(Report {
            outputs: self.shown.iter().map(text_of).collect(),
            outcome,
            stats: self.nodes().map(Node::stats).collect(),
            hash: self.world.trace().hash(),
            took: self.world.now(),
            events: self.world.trace().count(),
        })
    }

    /// Where everybody is, for a run that does not end.
    fn state(&self) -> String {
        let mut text = "the program does not end".to_owned();
        for (number, node) in self.nodes().enumerate() {
            text += &format!(
                "\np{number} has applied {}, outcome {:?}, knows all: {}, has left: {}, under way {}, in use {:?}",
                node.applied(),
                node.outcome(),
                node.roster.is_complete(),
                node.roster.is_closed(),
                node.stack.outstanding(),
                node.processor.in_use(),
            );
        }
        text
    }
}

fn nodes(world: &World<Node>) -> impl Iterator<Item = &Node> {
    (0..world.machine_count()).filter_map(|index| world.machine(MachineId::new(index)))
}

fn text_of(shown: &Shown) -> String {
    let bytes = shown.0.lock().expect("nobody panics here");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn make_node(setup: &Setup, number: u32, sink: Shown, rng: &mut Rng) -> Node {
    let walk = match &setup.steps {
        None => Walk::default(),
        Some(steps) => {
            let steps = Arc::clone(steps);
            Walk::told_to(Arc::new(move |step| steps(number, step)))
        }
    };
    let options = Options {
        arguments: setup.arguments.clone(),
        input: StandardInput::Bytes(Vec::new()),
        output: Arc::new(move |_| Box::new(sink.clone())),
        walk: walk.clone(),
        ..Options::default()
    };
    let seed = rng.next_u64();
    let processor = Stepped::new(setup.program, number, setup.processors, &options, seed);
    let mut processor = processor.expect("a processor starts");
    for (path, bytes) in &setup.files {
        processor.add_file(path, bytes.clone());
    }
    let mut config = stack::Config::new(vec![setup.link], Port::new([7; 6]), number == 0);
    let bounds = setup.bounds;
    let group = &mut config.group;
    group.members_max = 8;
    group.window = bounds.window;
    group.history_log2 = bounds.history_log2;
    group.history_bytes_max = bounds.history_bytes_max;
    group.early_bytes_max = bounds.early_bytes_max;
    group.queue_messages_max = bounds.queue_messages_max;
    group.large = bounds.large.unwrap_or(group.large);
    group.walk = walk;
    let stack = Stack::new(config, rng.split(), Instant::ZERO).expect("bounds that work");
    let mut node = Node {
        stack,
        roster: Roster::new(number, setup.processors),
        processor,
        pace: setup.pace,
        rng: rng.split(),
        out: VecDeque::new(),
        notes: VecDeque::new(),
        busy_until: Instant::ZERO,
        is_running: true,
        has_ended: false,
    };
    node.drain_stack();
    node
}
