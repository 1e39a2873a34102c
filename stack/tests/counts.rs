//! What a broadcast and a transaction cost, in virtual time: FLIP messages, functions that the sequencer
//! passes, and delay. All of it on a calm network with multicast and a constant delay, one at a time,
//! the sender not being the sequencer.
//!
//! Implements: [Thesis §3.5]: 2 FLIP messages a broadcast without resilience, 3 + min(n - 1, r) with it, and a delay that does not
//! grow with the group; [Thesis §2.5]: 3 messages a transaction. DESIGN 13.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Cable, MachineId, Passive, Plan, World};
use stack::capability::{Header, Port};
use stack::flip_net::Link;
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant};
use stack::flip_net::walk::Walk;
use stack::group::Payload;
use stack::rpc::Event;
use stack::{Answer, Command, Config, Delivery, Stack};

const GROUP: Port = Port::new([7; 6]);
const SERVICE: Port = Port::new(*b"count\0");
const MTU: usize = 9_000;
const CABLE_DELAY: Duration = Duration::from_micros(50);
/// One message after the other, in less time than anybody takes for silence.
const COUNT: u64 = 100;

type Net = World<Passive<Stack>>;

fn id(processor: usize) -> MachineId {
    MachineId::new(processor)
}

fn run(world: &mut Net, millis: u64) {
    let until = world.now() + Duration::from_millis(millis);
    world.run_until(until);
}

/// A group in which everybody is; processor 0 created it and numbers.
fn net(members: usize, change: impl Fn(usize, &mut Config)) -> Net {
    let mut world = World::new(1, Plan::calm());
    let cable = world.add_cable(Cable::new("net", CABLE_DELAY));
    for number in 0..members {
        let mut config = Config::new(vec![Link::udp(MTU, true)], GROUP, number == 0).with_rpc();
        // Whether the silent ones live is asked every half second, whatever is sent.
        config.group.timing.probe_after = Duration::from_secs(60);
        change(number, &mut config);
        let rng = Rng::new(1 << 8 | number as u64);
        let stack = Stack::new(config, rng, Instant::ZERO).expect("parameters that work");
        world.add_machine(format!("p{number}"), Passive(stack), &[cable]);
        // One after the other, so that slots are numbers.
        run(&mut world, 100);
    }
    run(&mut world, 400);
    for number in 0..members {
        let stack = &world.machine(id(number)).expect("it is up").0;
        assert_eq!(stack.members().len(), members, "everybody is in");
    }
    world
}

/// FLIP messages that all processors have sent so far: each is one packet here.
fn packets(world: &Net) -> u64 {
    (0..world.machine_count())
        .map(|number| {
            let stats = world.machine(id(number)).expect("it is up").0.stats();
            stats.flip.networks[0].sent.total()
        })
        .sum()
}

/// Broadcasts of processor 1, one at a time; the delay of the last one.
fn broadcast_many(world: &mut Net, size: usize, count: u64) -> Duration {
    let mut delay = Duration::ZERO;
    for _ in 0..count {
        let begun = world.now();
        let sent = world.with(id(1), |stack, now| {
            let payload = Payload::from(vec![7; size]);
            stack.0.handle_command(now, Command::Broadcast(payload))
        });
        let Some(Ok(Answer::Sent(sent))) = sent else {
            panic!("{sent:?}")
        };
        let is_ours =
            |delivery: &Delivery| matches!(delivery, Delivery::Data { id, .. } if *id == sent);
        let until = begun + Duration::from_secs(1);
        loop {
            let came = world.with(id(1), |stack, now| stack.0.poll_delivery(now));
            match came.flatten() {
                Some(delivery) if is_ours(&delivery) => break,
                Some(_) => {}
                None => assert!(world.step(until), "it comes within a second"),
            }
        }
        delay = world.now().since(begun);
    }
    delay
}

/// FLIP messages a broadcast, and the delay of one.
fn cost(members: usize, resilience: u8, size: usize) -> (f64, Duration) {
    let mut world = net(members, |_, config| {
        config.group.resilience = resilience;
        config.group.large = 4_096;
    });
    // The first ones find out who is where.
    broadcast_many(&mut world, size, 5);
    let before = packets(&world);
    let delay = broadcast_many(&mut world, size, COUNT);
    // The last accept may still be on its way; whatever else is sent after so long is about silence.
    run(&mut world, 1);
    ((packets(&world) - before) as f64 / COUNT as f64, delay)
}

const SMALL: usize = 64;
const LARGE: usize = 6_000;

#[test]
fn a_broadcast_without_resilience_takes_two_messages() {
    for members in [2, 3, 8, 30] {
        for (size, method) in [(SMALL, "PB"), (LARGE, "BB")] {
            let (messages, _) = cost(members, 0, size);
            assert_eq!(messages, 2.0, "{method} with {members} members");
        }
    }
}

#[test]
fn a_resilient_broadcast_takes_three_messages_and_the_acknowledgements() {
    for (members, resilience) in [(2, 1), (3, 1), (3, 2), (5, 4), (9, 8), (16, 15), (4, 8)] {
        for (size, method) in [(SMALL, "PB"), (LARGE, "BB")] {
            let (messages, _) = cost(members, resilience, size);
            let acks = (members - 1).min(usize::from(resilience));
            let what = format!("{method}, {members} members, r = {resilience}");
            assert_eq!(messages, 3.0 + acks as f64, "{what}");
        }
    }
}

#[test]
fn the_delay_does_not_depend_on_the_number_of_members() {
    for (resilience, size) in [(0, SMALL), (0, LARGE), (1, SMALL), (1, LARGE)] {
        let (_, two) = cost(2, resilience, size);
        for members in [3, 4, 8, 16, 30] {
            let (_, delay) = cost(members, resilience, size);
            let ratio = delay.as_micros() as f64 / two.as_micros() as f64;
            let what =
                format!("{delay:?} with {members}, {two:?} with 2; r = {resilience}, {size} bytes");
            assert!((ratio - 1.0).abs() <= 0.01, "{what}");
        }
    }
}

/// Landmarks of group and box that the sequencer passes for a broadcast of this size.
fn steps(members: usize, size: usize) -> u64 {
    let passed = Arc::new(AtomicU64::new(0));
    let mut world = net(members, |number, config| {
        config.group.large = 4_096;
        if number == 0 {
            let passed = Arc::clone(&passed);
            let walk = Walk::told_to(Arc::new(move |_| {
                passed.fetch_add(1, Ordering::Relaxed);
            }));
            config.group.walk = walk;
        }
    });
    broadcast_many(&mut world, size, 5);
    run(&mut world, 1);
    let before = passed.load(Ordering::Relaxed);
    broadcast_many(&mut world, size, COUNT);
    run(&mut world, 1);
    passed.load(Ordering::Relaxed) - before
}

#[test]
fn the_sequencer_passes_as_many_functions_for_any_number_of_members() {
    for size in [SMALL, LARGE] {
        let two = steps(2, size);
        assert!(two >= COUNT, "somebody listens");
        for members in [3, 8, 30] {
            assert_eq!(steps(members, size), two, "{members} members, {size} bytes");
        }
    }
}

#[test]
fn a_transaction_takes_three_messages() {
    let mut world = net(2, |_, _| {});
    transact_many(&mut world, 5);
    let before = packets(&world);
    transact_many(&mut world, COUNT);
    run(&mut world, 1);
    assert_eq!(packets(&world) - before, 3 * COUNT);
}

fn serve(world: &mut Net) {
    let served = world.with(id(0), |stack, now| {
        stack.0.rpc(now, |rpc, now| rpc.get_request(now, SERVICE))
    });
    served.flatten().expect("it is up").expect("room for it");
}

/// Null transactions of processor 1 with processor 0, one at a time.
fn transact_many(world: &mut Net, count: u64) {
    for _ in 0..count {
        serve(world);
        let header = Header::to(SERVICE.put_port());
        let begun = world.with(id(1), |stack, now| {
            stack.0.rpc(now, |rpc, now| rpc.trans(now, header, &[]))
        });
        begun.flatten().expect("it is up").expect("room for it");
        let until = world.now() + Duration::from_secs(1);
        while !has_reply(world) {
            answer(world);
            assert!(world.step(until), "it comes within a second");
        }
    }
}

fn has_reply(world: &mut Net) -> bool {
    let event = world.with(id(1), |stack, _| stack.0.poll_rpc_event());
    matches!(event.flatten(), Some(Event::Replied { .. }))
}

/// Lets processor 0 answer what has come.
fn answer(world: &mut Net) {
    world.with(id(0), |stack, now| {
        while let Some(event) = stack.0.poll_rpc_event() {
            if let Event::Request { server, header, .. } = event {
                let put =
                    |rpc: &mut stack::rpc::Endpoint, now| rpc.put_reply(now, server, header, &[]);
                let put = stack.0.rpc(now, put).expect("there is one");
                put.expect("it executes");
            }
        }
    });
}
