//! Transactions between whole stacks on a simulated network, beside the group's own traffic.

use std::collections::BTreeMap;

use sim::{Cable, Flight, MachineId, Mood, Passive, Plan, State, Verdict, World};
use stack::capability::{Header, Port};
use stack::flip_net::Link;
use stack::flip_net::address::FlipAddress;
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant};
use stack::rpc::checker::{History, Outcome, check_complete};
use stack::rpc::{Endpoint, Event, Failure, Kind, ReplyOutcome, TransactionId};
use stack::{Config, Delivery, Stack};

const SERVICE: Port = Port::new(*b"stack\0");
const GROUP: Port = Port::new([7; 6]);

type Net = World<Passive<Stack>>;

/// Stacks in one group, the first of which created it, each with an endpoint.
fn net(count: usize, seed: u64) -> Net {
    let mut world = World::new(seed, Plan::calm());
    let cable = world.add_cable(Cable::new("net", Duration::from_micros(50)));
    for number in 0..count {
        let config = Config::new(vec![Link::udp(1_400, true)], GROUP, number == 0).with_rpc();
        let rng = Rng::new(seed << 8 | number as u64);
        let stack = Stack::new(config, rng, Instant::ZERO).expect("parameters that work");
        world.add_machine(format!("p{number}"), Passive(stack), &[cable]);
    }
    run(&mut world, 500);
    world
}

fn id(processor: usize) -> MachineId {
    MachineId::new(processor)
}

fn run(world: &mut Net, millis: u64) {
    let until = world.now() + Duration::from_millis(millis);
    world.run_until(until);
}

fn serve(world: &mut Net, processor: usize) {
    let served = world.with(id(processor), |stack, now| {
        stack.0.rpc(now, |rpc, now| rpc.get_request(now, SERVICE))
    });
    served
        .flatten()
        .expect("it is up")
        .expect("room for a server");
}

fn trans(world: &mut Net, processor: usize, data: &[u8]) {
    let header = Header::to(SERVICE.put_port());
    let begun = world.with(id(processor), |stack, now| {
        stack.0.rpc(now, |rpc, now| rpc.trans(now, header, data))
    });
    begun.flatten().expect("it is up").expect("room for it");
}

fn next(world: &mut Net, processor: usize) -> Option<Event> {
    let event = world.with(id(processor), |stack, _| stack.0.poll_rpc_event());
    event.expect("it is up")
}

/// Answers every request that came to a processor with what it got.
fn echo_all(world: &mut Net, processor: usize) -> usize {
    let mut count = 0;
    while let Some(event) = next(world, processor) {
        if let Event::Request {
            server,
            header,
            data,
            ..
        } = event
        {
            count += 1;
            world.with(id(processor), |stack, now| {
                let put =
                    |rpc: &mut stack::rpc::Endpoint, now| rpc.put_reply(now, server, header, &data);
                stack
                    .0
                    .rpc(now, put)
                    .expect("there is one")
                    .expect("it executes");
            });
        }
    }
    count
}

fn check_echo(world: &mut Net, data: &[u8]) {
    serve(world, 1);
    trans(world, 0, data);
    run(world, 200);
    assert_eq!(echo_all(world, 1), 1);
    run(world, 200);
    match next(world, 0) {
        Some(Event::Replied { data: reply, .. }) => assert_eq!(reply, data),
        other => panic!("{other:?} instead of a reply"),
    }
    let done = next(world, 1);
    let outcome = ReplyOutcome::Acknowledged;
    assert!(matches!(done, Some(Event::ReplyDone { outcome: o, .. }) if o == outcome));
}

#[test]
fn a_processor_serves_another_beside_the_group() {
    let mut world = net(3, 1);
    check_echo(&mut world, b"small");
    check_echo(&mut world, &vec![3; 1 << 20]);
    let stats = world.machine(id(0)).expect("it is up").0.stats();
    assert_eq!(stats.rpc.sent_of(Kind::Request), 2);
    assert_eq!(stats.rpc.sent_of(Kind::Locate), 1);
    for processor in 0..3 {
        let entered = world.with(id(processor), |stack, now| stack.0.poll_delivery(now));
        assert!(matches!(entered, Some(Some(Delivery::Entered { .. }))));
    }
    let lines = stats.to_string();
    assert!(lines.contains("RPC REQUEST sent"), "{lines}");
}

#[test]
fn a_processor_that_dies_is_noticed_within_five_seconds() {
    let mut world = net(2, 2);
    serve(&mut world, 1);
    trans(&mut world, 0, b"work");
    run(&mut world, 1_000);
    world.crash(id(1), State::Lost);
    run(&mut world, 5_000);
    match next(&mut world, 0) {
        Some(Event::Failed { error, .. }) => {
            assert!(matches!(error, Failure::ContactLost { .. }), "{error}");
        }
        other => panic!("{other:?} instead of a failure"),
    }
}

#[test]
fn transactions_survive_a_network_that_loses_frames() {
    for seed in 0..20 {
        let mut world = net(2, seed);
        let mut rng = Rng::new(seed);
        world.add_rule(move |_: &Flight<'_>| rng.chance(1, 10).then_some(Verdict::Drop));
        for number in 0..30_usize {
            serve(&mut world, 1);
            trans(&mut world, 0, &vec![number as u8; number * 500]);
        }
        let mut executed = 0;
        for _ in 0..400 {
            run(&mut world, 20);
            executed += echo_all(&mut world, 1);
        }
        let mut replied = 0;
        while let Some(event) = next(&mut world, 0) {
            match event {
                Event::Replied { data, .. } => {
                    let number = data.first().copied().unwrap_or(0);
                    assert_eq!(data.len(), usize::from(number) * 500, "seed {seed}");
                    replied += 1;
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!((executed, replied), (30, 30), "seed {seed}");
    }
}

/// What a storm has seen of a processor: which life it is in, and its transactions that are open.
#[derive(Default)]
struct Life {
    address: Option<FlipAddress>,
    number: u64,
    open: BTreeMap<TransactionId, Key>,
}

/// Processor, life, number.
type Key = (usize, u64, u64);

/// A processor that two others serve while frames are lost, doubled and late, the network is cut, and
/// processors stand still or come back anew.
struct Storm {
    world: Net,
    lives: Vec<Life>,
    history: History<Key>,
    count: u64,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mood = Mood {
            machines: 3,
            span: Duration::from_secs(1),
            crashes_max: 2,
            partitions_max: 1,
            restarts: true,
        };
        let mut world = World::new(seed, Plan::draw(seed, &mood));
        let cable = world.add_cable(Cable::new("net", Duration::from_micros(50)));
        let make = |number: usize, rng: Rng, now: Instant| {
            let config = Config::new(vec![Link::udp(1_400, true)], GROUP, number == 0).with_rpc();
            Passive(Stack::new(config, rng, now).expect("parameters that work"))
        };
        world.set_factory(move |id, rng, now| make(id.index(), rng, now));
        for number in 0..3 {
            let rng = world.split_rng();
            world.add_machine(
                format!("p{number}"),
                make(number, rng, Instant::ZERO),
                &[cable],
            );
        }
        Storm {
            world,
            lives: (0..3).map(|_| Life::default()).collect(),
            history: History::default(),
            count: 0,
        }
    }

    /// Does something to the endpoint of a processor that is up; notices if it is another one.
    fn rpc<T>(
        &mut self,
        processor: usize,
        act: impl FnOnce(&mut Endpoint, Instant) -> T,
    ) -> Option<T> {
        let (address, done) = self
            .world
            .with(id(processor), |stack, now| {
                stack.0.rpc(now, |rpc, now| (rpc.address(), act(rpc, now)))
            })
            .flatten()?;
        assert_eq!(
            self.lives[processor].address,
            Some(address),
            "lives are told apart before"
        );
        Some(done)
    }

    /// Whether a processor is up; its transactions of an earlier life have ended with that.
    fn is_up(&mut self, processor: usize) -> bool {
        let address = self.world.with(id(processor), |stack, now| {
            stack
                .0
                .rpc(now, |rpc, _| rpc.address())
                .expect("there is one")
        });
        let life = &mut self.lives[processor];
        if address.is_some() && life.address != address {
            life.address = address;
            life.number += 1;
            for (_, key) in std::mem::take(&mut life.open) {
                self.history.of(key).outcomes.push(Outcome::Crashed);
            }
        }
        address.is_some()
    }

    fn tick(&mut self, begins: bool) {
        for processor in 0..3 {
            if !self.is_up(processor) {
                continue;
            }
            let events = std::iter::from_fn(|| next(&mut self.world, processor));
            for event in events.collect::<Vec<_>>() {
                self.take(processor, event);
            }
            // The first one asks, the others serve.
            if processor > 0 {
                self.rpc(processor, |rpc, now| {
                    while rpc.sizes().servers < 2 {
                        rpc.get_request(now, SERVICE).expect("room for a server");
                    }
                });
            } else if begins {
                self.begin(processor);
            }
        }
        let until = self.world.now() + Duration::from_millis(5);
        self.world.run_until(until);
    }

    fn begin(&mut self, processor: usize) {
        self.count += 1;
        let key = (processor, self.lives[processor].number, self.count);
        let mut data = format!("{key:?}").into_bytes();
        data.resize(data.len() + (self.count as usize * 997) % 20_000, b' ');
        let header = Header::to(SERVICE.put_port());
        let begun = self.rpc(processor, |rpc, now| rpc.trans(now, header, &data));
        if let Some(Ok(transaction)) = begun {
            self.history.of(key);
            self.lives[processor].open.insert(transaction, key);
        }
    }

    fn take(&mut self, processor: usize, event: Event) {
        match event {
            Event::Request { server, data, .. } => {
                let at = format!("p{processor} {}", self.world.now());
                let key = parse(&data);
                self.history.of(key).executed.push(at);
                self.rpc(processor, |rpc, now| {
                    rpc.put_reply(now, server, Header::to(Port::NULL), &data)
                        .expect("it executes");
                });
            }
            Event::Replied {
                transaction, data, ..
            } => {
                let key = self.end(processor, transaction);
                let is_right = parse(&data) == key;
                self.history
                    .of(key)
                    .outcomes
                    .push(Outcome::Replied { is_right });
            }
            Event::Failed { transaction, error } => {
                let key = self.end(processor, transaction);
                let outcome = match error.was_not_executed() {
                    true => Outcome::NotExecuted,
                    false => Outcome::ContactLost,
                };
                self.history.of(key).outcomes.push(outcome);
            }
            Event::ReplyDone { .. } | Event::Signalled { .. } => {}
        }
    }

    fn end(&mut self, processor: usize, transaction: TransactionId) -> Key {
        let ended = self.lives[processor].open.remove(&transaction);
        ended.expect("it ends once")
    }
}

fn parse(data: &[u8]) -> Key {
    let text = std::str::from_utf8(data).expect("text");
    let words = text.trim().trim_matches(['(', ')']).split(", ");
    let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
    (numbers[0] as usize, numbers[1], numbers[2])
}

#[test]
fn every_client_is_told_the_truth_whatever_the_networks_do() {
    // More by `RPC_COUNT`.
    let count = std::env::var("RPC_COUNT").ok();
    let count = count.map_or(12, |text| text.parse().expect("a number"));
    let mut outcomes = [0; 4];
    for seed in 0x5eed_0000..0x5eed_0000 + count {
        let mut storm = Storm::new(seed);
        (0..250).for_each(|_| storm.tick(true));
        storm.world.end_faults();
        for _ in 0..4_000 {
            if storm.lives.iter().all(|life| life.open.is_empty()) {
                break;
            }
            storm.tick(false);
        }
        // What is late comes now, if ever.
        (0..200).for_each(|_| storm.tick(false));
        if let Err(violation) = check_complete(&storm.history) {
            panic!(
                "{violation}\n  seed {seed:#x}, plan {:?}",
                storm.world.plan()
            );
        }
        for record in storm.history.records.values() {
            let slot = match record.outcomes[0] {
                Outcome::Replied { .. } => 0,
                Outcome::NotExecuted => 1,
                Outcome::ContactLost => 2,
                Outcome::Crashed => 3,
            };
            outcomes[slot] += 1;
        }
    }
    println!("replied, not executed, contact lost, crashed: {outcomes:?}");
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}
