//! Processors in simulation: one thread, seeds for every order, and the same replicas everywhere.
#![allow(unsafe_code, reason = "stands in for compiled code")]

mod support;

use std::collections::VecDeque;
use std::sync::Arc;

use orca_abi::descriptor::*;
use orca_abi::symbols::Entry;
use orca_abi::types::Kind;
use orca_abi::value::{Array, SetHandle};
use orca_rts::{Command, Delivery, Options, Outcome, ProgramRef, Progress, StandardInput, Stepped};
use support::*;

/// A world of processors that share a totally ordered log.
struct World {
    processors: Vec<Stepped>,
    log: Vec<Delivery>,
    /// How much of the log each has taken.
    taken: Vec<usize>,
    seq: u64,
    now: u64,
    random: u64,
    shown: Shown,
}

impl World {
    fn new(program: &'static Program, count: u32, seed: u64) -> World {
        let shown = Shown::default();
        let sink = shown.clone();
        let options = Options {
            arguments: vec![b"test".to_vec()],
            input: StandardInput::Bytes(b"1 2 3".to_vec()),
            output: Arc::new(move |_| Box::new(sink.clone())),
            ..Options::default()
        };
        // SAFETY: the descriptors are leaked.
        let program = unsafe { ProgramRef::new(program) }.expect("a program of this version");
        let processors = (0..count)
            .map(|number| {
                let seed = seed ^ u64::from(number) << 32;
                Stepped::new(program, number, count, &options, seed).expect("a processor")
            })
            .collect();
        World {
            processors,
            log: (0..count)
                .map(|processor| Delivery::Joined { processor })
                .collect(),
            taken: vec![0; count as usize],
            seq: 0,
            now: 0,
            random: seed,
            shown,
        }
    }

    fn draw(&mut self, bound: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.random >> 33) as usize % bound
    }

    fn drain(&mut self, index: usize) {
        while let Some(command) = self.processors[index].poll_command() {
            if let Command::Broadcast(bytes) = command {
                self.seq += 1;
                self.log.push(Delivery::Data {
                    seq: self.seq,
                    from: index as u32,
                    bytes,
                });
            }
        }
    }

    /// Runs to the end, in an order drawn from the seed. `check` sees the world after each delivery.
    fn run(&mut self, mut check: impl FnMut(&World)) -> (Outcome, String) {
        let count = self.processors.len();
        let mut still = 0;
        while self
            .processors
            .iter()
            .any(|processor| processor.outcome().is_none())
        {
            let index = self.draw(count);
            let mut moved = false;
            if self.taken[index] < self.log.len() && self.draw(3) != 0 {
                let delivery = self.log[self.taken[index]].clone();
                self.taken[index] += 1;
                self.processors[index].handle_delivery(delivery);
                self.drain(index);
                check(self);
                moved = true;
            }
            let turns = 1 + self.draw(5) as u32;
            moved |= self.processors[index].step(turns) == Progress::Ran;
            self.drain(index);
            still = if moved { 0 } else { still + 1 };
            if still > 40 * count {
                self.advance();
                still = 0;
            }
        }
        let outcomes = self
            .processors
            .iter()
            .map(|processor| processor.outcome().cloned().expect("all have ended"));
        let outcome = orca_rts::join_outcomes(outcomes);
        let output = String::from_utf8(self.shown.0.lock().expect("free").clone()).expect("text");
        (outcome, output)
    }

    /// Nothing moves: time does.
    fn advance(&mut self) {
        let next = self
            .processors
            .iter()
            .filter_map(Stepped::poll_timeout)
            .min();
        self.now = next
            .unwrap_or_else(|| panic!("nothing can happen any more"))
            .max(self.now);
        for index in 0..self.processors.len() {
            self.processors[index].handle_time(self.now);
            self.drain(index);
        }
    }
}

/// Replicas that have applied the same messages are the same.
fn check_replicas() -> impl FnMut(&World) {
    let mut known = std::collections::BTreeMap::new();
    move |world: &World| {
        for processor in &world.processors {
            if processor.outcome().is_none() {
                let digest = processor.replicas_digest();
                let first = *known.entry(processor.applied()).or_insert(digest);
                assert_eq!(first, digest, "replicas differ at {}", processor.applied());
            }
        }
    }
}

// A board: a set of numbers, a text, and a count. Players add and take.

#[repr(C)]
struct Board {
    numbers: SetHandle,
    text: [u8; 24],
    count: i64,
}

fn types() -> (u64, u64) {
    (address(board_set()), address(string()))
}

fn board_set() -> &'static orca_abi::types::Type {
    set_of(Kind::Bag, integer())
}

operation_code!(put_number, |cpu, state, arguments| {
    let (bag, _) = types();
    cpu.call(
        Entry::SetInsert,
        &[bag, state as u64, argument(arguments, 0) as u64, 1],
    );
    let count = state.wrapping_add(32);
    put::<i64>(count, get::<i64>(count) + 1);
    DONE
});

operation_code!(take_number, |cpu, state, arguments| {
    let (bag, text) = types();
    if cpu.call(Entry::SetSize, &[bag, state as u64]) as i32 == 0 {
        return BLOCKED;
    }
    cpu.call(
        Entry::SetFrom,
        &[bag, state as u64, argument(arguments, 0) as u64, 1],
    );
    let mut letters = [0u8; 24];
    let word = (get::<i32>(argument(arguments, 0)) % 7) as usize;
    cpu.call(
        Entry::StringNew,
        &[
            at(&mut letters) as u64,
            b"abcdefgh".as_ptr() as u64,
            word as u64,
            1,
        ],
    );
    cpu.call(
        Entry::ValueMove,
        &[text, state.wrapping_add(8) as u64, at(&mut letters) as u64],
    );
    DONE
});

fn board() -> &'static Object {
    let state = record(&[board_set(), string(), longint()]);
    assert_eq!(state.size as usize, size_of::<Board>());
    assert_eq!(size_of::<Array>() + 8, 24);
    object(
        "Board",
        0,
        state,
        0,
        vec![
            operation(
                "put",
                HAS_WRITE,
                None,
                Some(put_number),
                vec![parameter(Mode::In, integer())],
                None,
            ),
            operation(
                "take",
                HAS_WRITE | MAY_BLOCK,
                None,
                Some(take_number),
                vec![],
                Some(integer()),
            ),
        ],
    )
}

process_code!(player, |cpu, arguments| {
    let (cell, number) = (argument(arguments, 0), get::<i32>(argument(arguments, 1)));
    for round in 0..10i32 {
        let mut value = number * 100 + round;
        cpu.invoke(cell, 2, &[at(&mut value)], 3);
        cpu.poll();
        let mut taken = 0i32;
        cpu.invoke(cell, 3, &[at(&mut taken)], 4);
    }
});

process_code!(game, |cpu, _arguments| {
    let descriptor = board();
    let cell = cpu.new_object(descriptor);
    for k in 0..6i32 {
        let mut number = k;
        cpu.fork(1, &[cell, at(&mut number)], k % cpu.ncpus(), 20);
    }
    let mut taken = 0i32;
    let mut value = 7i32;
    cpu.invoke(cell, 2, &[at(&mut value)], 5);
    cpu.invoke(cell, 3, &[at(&mut taken)], 6);
    cpu.drop_object(descriptor, cell);
    cpu.write_line(1);
});

fn game_program() -> &'static Program {
    let descriptor = board();
    // SAFETY: the kind of a leaked descriptor.
    let shared = parameter(Mode::Shared, unsafe { &*descriptor.kind });
    program(
        vec![
            process("OrcaMain", game, vec![]),
            process(
                "player",
                player,
                vec![shared, parameter(Mode::In, integer())],
            ),
        ],
        vec![descriptor],
    )
}

#[test]
fn replicas_agree_after_every_message_whatever_the_order() {
    let program = game_program();
    for seed in 0..30 {
        let mut world = World::new(program, 3, seed);
        let (outcome, output) = world.run(check_replicas());
        assert_eq!((outcome.status, outcome.message), (0, None), "seed {seed}");
        assert_eq!(output, "1\n");
        for processor in &world.processors {
            assert_eq!(
                processor.in_use(),
                (0, 0, 0),
                "seed {seed}: everything is freed"
            );
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let program = game_program();
    let run = |seed| {
        let mut world = World::new(program, 3, seed);
        world.run(|_| {});
        world.log
    };
    assert!(run(5) == run(5));
    assert!(run(5) != run(6));
}

// A deadlock in virtual time, and sleeping.

process_code!(sleeper, |cpu, _arguments| {
    cpu.call(Entry::TimeSleep, &[3600, 0]);
    cpu.write_line(cpu.call(Entry::TimeGetTime, &[]) as i64);
});

#[test]
fn an_hour_passes_at_once() {
    let program = program(vec![process("OrcaMain", sleeper, vec![])], vec![]);
    let mut world = World::new(program, 2, 1);
    let (outcome, output) = world.run(|_| {});
    assert_eq!((outcome.status, outcome.message), (0, None));
    assert_eq!(output, "36000\n");
}

process_code!(stuck, |cpu, _arguments| {
    let cell = cpu.new_object(board());
    cpu.fork(1, &[cell], cpu.ncpus() - 1, 20);
    let mut taken = 0i32;
    cpu.invoke(cell, 3, &[at(&mut taken)], 6);
});

process_code!(stuck_too, |cpu, arguments| {
    let mut taken = 0i32;
    cpu.invoke(argument(arguments, 0), 3, &[at(&mut taken)], 8);
});

#[test]
fn a_deadlock_is_found_on_three_processors() {
    let descriptor = board();
    // SAFETY: the kind of a leaked descriptor.
    let shared = parameter(Mode::Shared, unsafe { &*descriptor.kind });
    let program = program(
        vec![
            process("Main", stuck, vec![]),
            process("Other", stuck_too, vec![shared]),
        ],
        vec![descriptor],
    );
    for seed in 0..20 {
        let mut world = World::new(program, 3, seed);
        let (outcome, _) = world.run(check_replicas());
        assert_eq!(outcome.status, 70, "seed {seed}");
        let message = outcome.message.expect("a message");
        assert_eq!(
            message,
            "Run-time error on CPU 0, file \"test.orca\", line 6, in process test.OrcaMain: \
             deadlock: process Main waits for operation Board$take\n  \
             on CPU 2, file \"test.orca\", line 8, in process test.OrcaMain: \
             process Other waits for operation Board$take",
            "seed {seed}"
        );
    }
}

// Hostile messages.

#[test]
fn garbled_messages_end_the_program_but_never_the_processor() {
    let program = game_program();
    let mut world = World::new(program, 2, 9);
    world.run(|_| {});
    let log = world.log.clone();
    let _ = VecDeque::from(log.clone());
    for at in 0..log.len() {
        let Delivery::Data { seq, from, bytes } = &log[at] else {
            continue;
        };
        for place in (0..bytes.len()).step_by(3) {
            let mut victim = World::new(program, 2, 9);
            for delivery in &log[..at] {
                victim.processors[1].handle_delivery(delivery.clone());
            }
            let mut bytes = bytes.clone();
            bytes[place] ^= 0xff;
            victim.processors[1].handle_delivery(Delivery::Data {
                seq: *seq,
                from: *from,
                bytes,
            });
        }
        if at > 12 {
            break;
        }
    }
}
