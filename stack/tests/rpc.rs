//! Transactions between whole stacks on a simulated network, beside the group's own traffic.

use sim::{Cable, Flight, MachineId, Passive, Plan, State, Verdict, World};
use stack::capability::{Header, Port};
use stack::flip_net::Link;
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant};
use stack::rpc::{Event, Failure, Kind, ReplyOutcome};
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
