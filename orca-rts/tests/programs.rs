//! Whole programs written by hand, on one processor and on several.
#![allow(unsafe_code, reason = "stands in for compiled code")]
#![allow(clippy::disallowed_methods, reason = "one test is about real time")]

mod support;

use orca_abi::descriptor::*;
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;
use support::*;

// One process.

process_code!(hello, |cpu, _arguments| {
    cpu.call(Entry::WriteInteger, &[42]);
    cpu.call(Entry::WriteChar, &[u64::from(b' ')]);
    cpu.call(Entry::WriteInteger, &[(-7i64) as u64]);
    cpu.call(Entry::WriteEnd, &[1]);
});

#[test]
fn a_program_writes_and_ends() {
    let program = program(vec![process("OrcaMain", hello, vec![])], vec![]);
    for count in [1, 3] {
        let (outcome, output) = run(program, count);
        assert_eq!((outcome.status, outcome.message), (0, None));
        assert_eq!(output, "42 -7\n");
    }
}

process_code!(traps, |cpu, _arguments| {
    cpu.write_line(1);
    cpu.call(Entry::Trap, &[u64::from(Trap::ArrayBound.code()), 31]);
});

#[test]
fn a_trap_is_one_line_after_the_output() {
    let program = program(vec![process("OrcaMain", traps, vec![])], vec![]);
    for count in [1, 3] {
        let (outcome, output) = run(program, count);
        assert_eq!(output, "1\n");
        assert_eq!(outcome.status, 70);
        assert_eq!(
            outcome.message.as_deref(),
            Some(
                "Run-time error on CPU 0, file \"test.orca\", line 31, in process test.OrcaMain: array bound error"
            )
        );
    }
}

process_code!(leaf_traps, |cpu, _arguments| {
    let mut set = 0u64;
    let mut element = 0i32;
    let kind = set_of(orca_abi::types::Kind::Set, integer());
    cpu.call(
        Entry::SetFrom,
        &[
            address(kind),
            at(&mut set) as u64,
            at(&mut element) as u64,
            5,
        ],
    );
    cpu.write_line(99);
});

#[test]
fn a_leaf_entry_that_traps_does_not_return() {
    let program = program(vec![process("OrcaMain", leaf_traps, vec![])], vec![]);
    let (outcome, output) = run(program, 1);
    assert_eq!(output, "");
    assert!(
        outcome
            .message
            .expect("a message")
            .ends_with("line 5, in process test.OrcaMain: FROM on empty set or bag")
    );
}

// Stack overflow.

#[unsafe(naked)]
unsafe extern "C" fn overflows() {
    std::arch::naked_asm!("2:", "sub rsp, 4096", "mov qword ptr [rsp], 0", "jmp 2b")
}

#[unsafe(naked)]
unsafe extern "C" fn overflows_in_a_stub() {
    // Down to where nothing is left but less than the stub pushes.
    std::arch::naked_asm!(
        "2:",
        "push 0",
        "mov rdi, r15",
        "call qword ptr [r15 + {entries} + 8 * {entry}]",
        "jmp 2b",
        entries = const std::mem::offset_of!(orca_abi::control::Control, entries),
        entry = const Entry::InOutFlush as u32,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn illegal() {
    std::arch::naked_asm!("ud2")
}

fn with_lines(program: &mut Program, code: Code) {
    program.functions = table(vec![Function {
        code: code as *const u8,
        size: 64,
        routine: 0,
        lines: table(vec![Line { offset: 0, line: 7 }]),
    }]);
}

#[test]
fn a_stack_that_overflows_is_a_run_time_error_with_its_line() {
    for code in [overflows as Code, overflows_in_a_stub] {
        let program = program(vec![process("OrcaMain", code, vec![])], vec![]);
        with_lines(program, code);
        let (outcome, _) = run(program, 1);
        assert_eq!(outcome.status, 70);
        assert_eq!(
            outcome.message.as_deref(),
            Some(
                "Run-time error on CPU 0, file \"test.orca\", line 7, in process test.OrcaMain: stack overflow"
            )
        );
    }
}

#[test]
fn an_illegal_instruction_is_an_internal_error() {
    let program = program(vec![process("OrcaMain", illegal, vec![])], vec![]);
    let (outcome, _) = run(program, 1);
    assert_eq!(outcome.status, 75);
    assert!(
        outcome
            .message
            .expect("a message")
            .starts_with("internal error: signal 4")
    );
}

// An account: add a number; take waits until there is as much.

operation_code!(add, |cpu, state, arguments| {
    let amount: i32 = get(argument(arguments, 0));
    put::<i32>(state, get::<i32>(state) + amount);
    DONE
});

operation_code!(take, |cpu, state, arguments| {
    let amount: i32 = get(argument(arguments, 0));
    if get::<i32>(state) < amount {
        return BLOCKED;
    }
    put::<i32>(state, get::<i32>(state) - amount);
    put::<i32>(argument(arguments, 1), get::<i32>(state));
    DONE
});

operation_code!(value, |cpu, state, arguments| {
    put::<i32>(argument(arguments, 0), get::<i32>(state));
    DONE
});

operation_code!(await_value, |cpu, state, arguments| {
    if get::<i32>(state) == get::<i32>(argument(arguments, 0)) {
        DONE
    } else {
        BLOCKED
    }
});

operation_code!(explode, |cpu, state, arguments| {
    cpu.call(Entry::WriteInteger, &[7]);
    cpu.call(Entry::WriteEnd, &[1]);
    put::<i32>(state, 1000);
    cpu.call(Entry::Trap, &[u64::from(Trap::DivideByZero.code()), 12]);
    DONE
});

operation_code!(overflow, |cpu, state, arguments| {
    fn recurse(depth: u64) -> u64 {
        let frame = std::hint::black_box([depth; 64]);
        if depth == u64::MAX {
            0
        } else {
            recurse(depth + 1) + frame[(depth % 64) as usize]
        }
    }
    put::<i32>(state, recurse(0) as i32);
    DONE
});

operation_code!(who, |cpu, state, arguments| {
    put::<i32>(state, get::<i32>(state) * 10 + cpu.mycpu());
    cpu.write_line(i64::from(get::<i32>(state)));
    DONE
});

const ADD: u64 = 2;
const TAKE: u64 = 3;
const VALUE: u64 = 4;
const AWAIT: u64 = 5;
const EXPLODE: u64 = 6;
const OVERFLOW: u64 = 7;
const WHO: u64 = 8;

fn account() -> &'static Object {
    use std::sync::OnceLock;
    struct Held(&'static Object);
    // SAFETY: descriptors are constant.
    unsafe impl Send for Held {}
    // SAFETY: as above.
    unsafe impl Sync for Held {}
    static ACCOUNT: OnceLock<Held> = OnceLock::new();
    ACCOUNT
        .get_or_init(|| {
            let amount = || parameter(Mode::In, integer());
            let state = record(&[integer()]);
            let blocking = HAS_WRITE | MAY_BLOCK;
            Held(object(
                "Account",
                0,
                state,
                0,
                vec![
                    operation(
                        "add",
                        HAS_WRITE | PURE_WRITE,
                        None,
                        Some(add),
                        vec![amount()],
                        None,
                    ),
                    operation(
                        "take",
                        blocking,
                        None,
                        Some(take),
                        vec![amount()],
                        Some(integer()),
                    ),
                    operation(
                        "value",
                        HAS_READ,
                        Some(value),
                        None,
                        vec![],
                        Some(integer()),
                    ),
                    operation(
                        "await",
                        HAS_READ | MAY_BLOCK,
                        Some(await_value),
                        None,
                        vec![amount()],
                        None,
                    ),
                    operation(
                        "explode",
                        HAS_WRITE | DOES_OUTPUT,
                        None,
                        Some(explode),
                        vec![],
                        None,
                    ),
                    operation("overflow", HAS_WRITE, None, Some(overflow), vec![], None),
                    operation(
                        "who",
                        HAS_WRITE | DOES_OUTPUT,
                        None,
                        Some(who),
                        vec![],
                        None,
                    ),
                ],
            ))
        })
        .0
}

fn shared_account() -> Parameter {
    // SAFETY: the kind of a leaked descriptor.
    parameter(Mode::Shared, unsafe { &*account().kind })
}

fn add_to(cpu: Cpu, cell: *mut u8, mut amount: i32) {
    cpu.invoke(cell, ADD, &[at(&mut amount)], 3);
}

fn take_from(cpu: Cpu, cell: *mut u8, mut amount: i32) -> i32 {
    let mut rest = -1i32;
    cpu.invoke(cell, TAKE, &[at(&mut amount), at(&mut rest)], 4);
    rest
}

fn value_of(cpu: Cpu, cell: *mut u8) -> i32 {
    let mut result = -1i32;
    cpu.invoke(cell, VALUE, &[at(&mut result)], 5);
    result
}

fn await_on(cpu: Cpu, cell: *mut u8, mut amount: i32) {
    cpu.invoke(cell, AWAIT, &[at(&mut amount)], 6);
}

// C2 of the reference: ten workers add 1 to 10, and OrcaMain waits for the sum.

process_code!(adder, |cpu, arguments| {
    let amount: i32 = get(argument(arguments, 1));
    add_to(cpu, argument(arguments, 0), amount);
});

process_code!(sum_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    for k in 1..=10i32 {
        let mut amount = k;
        cpu.fork(1, &[cell, at(&mut amount)], k % cpu.ncpus(), 20);
    }
    await_on(cpu, cell, 55);
    cpu.write_line(i64::from(value_of(cpu, cell)));
    cpu.drop_object(account(), cell);
});

#[test]
fn workers_on_all_processors_share_an_object() {
    let program = program(
        vec![
            process("OrcaMain", sum_main, vec![]),
            process(
                "adder",
                adder,
                vec![shared_account(), parameter(Mode::In, integer())],
            ),
        ],
        vec![account()],
    );
    for count in [1, 2, 4] {
        let (outcome, output) = run(program, count);
        assert_eq!((outcome.status, outcome.message), (0, None));
        assert_eq!(output, "55\n", "on {count} processors");
    }
}

// Takers block in the queue; each add releases some.

process_code!(taker, |cpu, arguments| {
    let amount: i32 = get(argument(arguments, 2));
    take_from(cpu, argument(arguments, 0), amount);
    add_to(cpu, argument(arguments, 1), 1);
});

process_code!(queue_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    let done = cpu.new_object(account());
    for k in 0..6i32 {
        let mut amount = 10;
        cpu.fork(1, &[cell, done, at(&mut amount)], k % cpu.ncpus(), 20);
    }
    for _ in 0..60 {
        add_to(cpu, cell, 1);
    }
    await_on(cpu, done, 6);
    cpu.write_line(i64::from(value_of(cpu, cell)));
});

#[test]
fn guards_wait_and_are_tried_again_on_every_replica() {
    let program = program(
        vec![
            process("OrcaMain", queue_main, vec![]),
            process(
                "taker",
                taker,
                vec![
                    shared_account(),
                    shared_account(),
                    parameter(Mode::In, integer()),
                ],
            ),
        ],
        vec![account()],
    );
    for count in [1, 3] {
        let (outcome, output) = run(program, count);
        assert_eq!((outcome.status, outcome.message), (0, None));
        assert_eq!(output, "0\n");
    }
}

// Deadlock.

process_code!(waiter, |cpu, arguments| {
    take_from(cpu, argument(arguments, 0), 1);
});

process_code!(deadlock_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    for k in 0..cpu.ncpus() {
        cpu.fork(1, &[cell], k, 20);
    }
    await_on(cpu, cell, 5);
});

#[test]
fn a_deadlock_is_noticed_within_a_second_and_told_once() {
    let program = program(
        vec![
            process("test.OrcaMain", deadlock_main, vec![]),
            process("test.waiter", waiter, vec![shared_account()]),
        ],
        vec![account()],
    );
    for count in [1, 3] {
        let start = std::time::Instant::now();
        let (outcome, output) = run(program, count);
        assert!(start.elapsed() < std::time::Duration::from_secs(3));
        assert_eq!(outcome.status, 70);
        assert_eq!(output, "");
        let message = outcome.message.expect("a message");
        assert!(
            message.starts_with("Run-time error on CPU 0, file \"test.orca\", line "),
            "{message}"
        );
        assert!(
            message.contains("deadlock: process test.OrcaMain waits for operation Account$await"),
            "{message}"
        );
        assert_eq!(message.lines().count() as u32, count + 1, "{message}");
    }
}

process_code!(local_deadlock, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    take_from(cpu, cell, 1);
});

#[test]
fn blocking_on_an_unshared_object_is_a_local_deadlock() {
    let program = program(
        vec![process("OrcaMain", local_deadlock, vec![])],
        vec![account()],
    );
    let (outcome, _) = run(program, 1);
    assert!(
        outcome
            .message
            .expect("a message")
            .ends_with("line 4, in process test.OrcaMain: local deadlock")
    );
}

// Traps in operations.

process_code!(exploder, |cpu, arguments| {
    cpu.invoke(argument(arguments, 0), EXPLODE, &[], 8);
});

process_code!(explode_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    cpu.fork(1, &[cell], cpu.ncpus() - 1, 20);
    await_on(cpu, cell, 5);
});

#[test]
fn a_trap_in_an_operation_is_told_once_by_the_invokers_processor() {
    let program = program(
        vec![
            process("OrcaMain", explode_main, vec![]),
            process("exploder", exploder, vec![shared_account()]),
        ],
        vec![account()],
    );
    for count in [1, 3] {
        let (outcome, output) = run(program, count);
        assert_eq!(output, "7\n");
        assert_eq!(outcome.status, 70);
        let expected = format!(
            "Run-time error on CPU {}, file \"test.orca\", line 12, in process test.OrcaMain: divide by 0",
            count - 1
        );
        assert_eq!(outcome.message, Some(expected));
    }
}

process_code!(overflow_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    cpu.fork(1, &[cell], 0, 20);
    cpu.invoke(cell, OVERFLOW, &[], 8);
});

#[test]
fn an_operation_that_overflows_its_stack_is_a_run_time_error() {
    let program = program(
        vec![
            process("OrcaMain", overflow_main, vec![]),
            process("waiter", waiter, vec![shared_account()]),
        ],
        vec![account()],
    );
    for count in [1, 2] {
        let (outcome, _) = run(program, count);
        assert_eq!(outcome.status, 70);
        assert_eq!(
            outcome.message.as_deref(),
            Some("Run-time error on CPU 0: stack overflow")
        );
    }
}

// Output and MYCPU in replicated operations.

process_code!(who_worker, |cpu, arguments| {
    cpu.invoke(argument(arguments, 0), WHO, &[], 8);
});

process_code!(who_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    cpu.fork(1, &[cell], 2, 20);
    await_on(cpu, cell, 2);
    cpu.fork(1, &[cell], 1, 20);
    await_on(cpu, cell, 21);
    cpu.invoke(cell, WHO, &[], 8);
});

#[test]
fn output_and_mycpu_of_an_operation_are_the_invokers() {
    let program = program(
        vec![
            process("OrcaMain", who_main, vec![]),
            process("who", who_worker, vec![shared_account()]),
        ],
        vec![account()],
    );
    // What the invokers wrote, each by itself: an operation's text is ordered with that of its invoker, not with text that another
    // processor writes after it has applied the same operation.
    let shown = [(); 3].map(|()| Shown::default());
    let sinks = shown.clone();
    let (outcome, _) = run_with(program, 3, |options| {
        options.output =
            std::sync::Arc::new(move |number| Box::new(sinks[number as usize].clone()));
    });
    assert_eq!((outcome.status, outcome.message), (0, None));
    let shown = shown.map(|shown| {
        let text = shown.0.lock().expect("free").clone();
        String::from_utf8(text).expect("text")
    });
    assert_eq!(shown, ["210\n", "21\n", "2\n"]);
}

// Many processes.

process_code!(crowd_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    for _ in 0..10_000 {
        cpu.fork(1, &[cell], -1, 20);
    }
    cpu.write_line(i64::from(value_of(cpu, cell)));
    add_to(cpu, cell, 10_000);
    await_on(cpu, cell, 0);
});

#[test]
fn ten_thousand_processes_wait_on_one_processor() {
    let program = program(
        vec![
            process("OrcaMain", crowd_main, vec![]),
            process("waiter", waiter, vec![shared_account()]),
        ],
        vec![account()],
    );
    let (outcome, output) = run(program, 1);
    assert_eq!((outcome.status, outcome.message), (0, None));
    assert_eq!(output, "0\n");
}

process_code!(nothing, |cpu, _arguments| {
    let _ = cpu;
});

process_code!(turns_main, |cpu, _arguments| {
    for _ in 0..20_000 {
        let cell = cpu.new_object(account());
        cpu.fork(1, &[cell], -1, 20);
        cpu.drop_object(account(), cell);
    }
    cpu.write_line(1);
});

#[test]
fn processes_in_turn_reuse_stacks_and_objects() {
    let program = program(
        vec![
            process("OrcaMain", turns_main, vec![]),
            process("nothing", nothing, vec![shared_account()]),
        ],
        vec![account()],
    );
    let (outcome, output) = run_with(program, 1, |options| options.heap_bytes = 8 << 20);
    assert_eq!((outcome.status, outcome.message), (0, None));
    assert_eq!(output, "1\n");
}

// Polling.

process_code!(spinner, |cpu, arguments| {
    // Waits busily, with polls, for a writer on the same processor.
    while value_of(cpu, argument(arguments, 0)) == 0 {
        cpu.poll();
    }
    cpu.write_line(2);
});

process_code!(spin_main, |cpu, _arguments| {
    let cell = cpu.new_object(account());
    cpu.fork(1, &[cell], -1, 20);
    let mut turns = 0u64;
    while turns < 200_000 {
        turns += 1;
        cpu.poll();
    }
    cpu.write_line(1);
    add_to(cpu, cell, 1);
});

#[test]
fn busy_waiting_does_not_starve_the_writer() {
    let program = program(
        vec![
            process("OrcaMain", spin_main, vec![]),
            process("spinner", spinner, vec![shared_account()]),
        ],
        vec![account()],
    );
    let (outcome, output) = run(program, 1);
    assert_eq!((outcome.status, outcome.message), (0, None));
    assert_eq!(output, "1\n2\n");
}

process_code!(bad_cpu, |cpu, _arguments| {
    cpu.fork(1, &[], 9, 21);
});

#[test]
fn forking_on_a_processor_that_is_not_there_is_an_error() {
    let program = program(
        vec![
            process("OrcaMain", bad_cpu, vec![]),
            process("nothing", nothing, vec![]),
        ],
        vec![],
    );
    let (outcome, _) = run(program, 2);
    assert!(
        outcome
            .message
            .expect("a message")
            .ends_with("line 21, in process test.OrcaMain: illegal cpu number")
    );
}

// Reading.

process_code!(reads, |cpu, _arguments| {
    let mut number = 0i32;
    let mut fraction = 0f64;
    let mut character = 0u8;
    cpu.call(
        Entry::Read,
        &[address(integer()), at(&mut number) as u64, 9],
    );
    cpu.call(Entry::Read, &[address(real()), at(&mut fraction) as u64, 9]);
    cpu.call(
        Entry::Read,
        &[address(char()), at(&mut character) as u64, 9],
    );
    cpu.write_line(i64::from(number));
    cpu.write_line((fraction * 4.0) as i64);
    cpu.write_line(i64::from(character));
    cpu.call(Entry::InOutReadInt, &[at(&mut number) as u64]);
});

#[test]
fn reading_beyond_the_input_is_an_error() {
    let program = program(vec![process("OrcaMain", reads, vec![])], vec![]);
    let (outcome, output) = run_with(program, 1, |options| {
        options.input = orca_rts::StandardInput::Bytes(b" 17\t2.25\nx".to_vec());
    });
    assert_eq!(output, "17\n9\n10\n");
    assert_eq!(outcome.status, 70);
    assert_eq!(
        outcome.message.as_deref(),
        Some("I/O error on CPU 0: integer expected")
    );
}

process_code!(sleeps, |cpu, _arguments| {
    cpu.call(Entry::TimeSleep, &[0, 20_000_000]);
    cpu.write_line(i64::from(cpu.call(Entry::TimeSysMilli, &[]) as i32 >= 20));
    cpu.write_line(cpu.call(Entry::ArgsArgc, &[]) as i64);
});

#[test]
fn sleeping_takes_its_time() {
    let program = program(vec![process("OrcaMain", sleeps, vec![])], vec![]);
    let (outcome, output) = run(program, 2);
    assert_eq!((outcome.status, outcome.message), (0, None));
    assert_eq!(output, "1\n2\n");
}

// Data modules.

process_code!(init_data, |cpu, _arguments| {
    put::<i32>(cpu.data().wrapping_add(8), 5);
});

process_code!(init_differently, |cpu, _arguments| {
    put::<i32>(cpu.data().wrapping_add(8), cpu.mycpu());
});

process_code!(show_data, |cpu, _arguments| {
    cpu.write_line(i64::from(get::<i32>(cpu.data().wrapping_add(8))));
});

fn with_data(code: Code) -> &'static Program {
    let program = program(vec![process("OrcaMain", show_data, vec![])], vec![]);
    program.data_modules = table(vec![DataModule {
        name: text("Tables"),
        init: code as *const u8,
    }]);
    program.data_variables = table(vec![DataVariable {
        name: text("n"),
        kind: integer(),
        offset: 8,
        module: 0,
        reserved: 0,
    }]);
    program
}

#[test]
fn data_modules_are_initialised_before_the_program() {
    for count in [1, 3] {
        let (outcome, output) = run(with_data(init_data), count);
        assert_eq!((outcome.status, outcome.message), (0, None));
        assert_eq!(output, "5\n");
    }
}

#[test]
fn data_modules_that_differ_are_an_error_that_names_the_module() {
    let (outcome, output) = run(with_data(init_differently), 3);
    assert_eq!(output, "");
    assert_eq!(outcome.status, 70);
    assert!(
        outcome
            .message
            .expect("a message")
            .contains("data module Tables")
    );
}

process_code!(sharer, |cpu, _arguments| {
    let cell = cpu.new_object(single_copy());
    cpu.fork(1, &[cell], 0, 20);
});

fn single_copy() -> &'static Object {
    object("Clock", 0, record(&[integer()]), SINGLE_COPY_ONLY, vec![])
}

#[test]
fn an_object_that_reads_a_clock_cannot_be_replicated() {
    let program = program(
        vec![
            process("OrcaMain", sharer, vec![]),
            process("nothing", nothing, vec![shared_account()]),
        ],
        vec![single_copy()],
    );
    let (outcome, _) = run(program, 2);
    assert_eq!(outcome.status, 70);
    assert!(
        outcome
            .message
            .expect("a message")
            .contains("cannot be shared")
    );
}

// Over the group protocol.

fn memory(count: usize) -> Vec<std::sync::Arc<dyn stack::flip_net::driver::Device>> {
    let network = stack::flip_net::driver::MemoryNetwork::new();
    (0..count).map(|_| network.device() as _).collect()
}

#[test]
fn the_same_program_runs_over_a_group() {
    let sum = program(
        vec![
            process("OrcaMain", sum_main, vec![]),
            process(
                "adder",
                adder,
                vec![shared_account(), parameter(Mode::In, integer())],
            ),
        ],
        vec![account()],
    );
    let (outcome, output) = run_over_devices(sum, memory(4));
    assert_eq!((outcome.status, outcome.message), (0, None));
    assert_eq!(output, "55\n");

    let explode = program(
        vec![
            process("OrcaMain", explode_main, vec![]),
            process("exploder", exploder, vec![shared_account()]),
        ],
        vec![account()],
    );
    let (outcome, output) = run_over_devices(explode, memory(3));
    assert_eq!(output, "7\n");
    assert_eq!(outcome.status, 70);
    assert!(
        outcome
            .message
            .expect("a message")
            .starts_with("Run-time error on CPU 2")
    );

    let deadlock = program(
        vec![
            process("test.OrcaMain", deadlock_main, vec![]),
            process("test.waiter", waiter, vec![shared_account()]),
        ],
        vec![account()],
    );
    let (outcome, _) = run_over_devices(deadlock, memory(3));
    assert_eq!(outcome.status, 70);
    assert!(outcome.message.expect("a message").contains("deadlock"));
}

// Bells.

/// A group that never delivers anything, and a thread that never stops ringing.
struct Ringing {
    bell: Option<orca_rts::Bell>,
    over: std::sync::Arc<std::sync::atomic::AtomicBool>,
    ringer: Option<std::thread::JoinHandle<()>>,
}

impl orca_rts::Transport for Ringing {
    fn attach(&mut self, bell: orca_rts::Bell) {
        let over = std::sync::Arc::clone(&self.over);
        self.bell = Some(bell.clone());
        self.ringer = Some(std::thread::spawn(move || {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                bell.ring();
            }
        }));
    }

    fn command(&mut self, _command: orca_rts::Command) {}

    fn try_delivery(&mut self) -> Option<orca_rts::Delivery> {
        None
    }

    fn wait(&mut self, deadline: Option<std::time::Instant>) {
        if let Some(bell) = &self.bell {
            bell.wait(deadline);
        }
    }
}

#[test]
fn a_bell_rings_nowhere_when_its_processor_is_gone() {
    let program = program(vec![process("OrcaMain", nothing, vec![])], vec![]);
    // SAFETY: the descriptors are leaked.
    let program = unsafe { orca_rts::ProgramRef::new(program) }.expect("a program");
    for _ in 0..1000 {
        let mut ringing = Ringing {
            bell: None,
            over: std::sync::Arc::default(),
            ringer: None,
        };
        let options = orca_rts::Options::default();
        let outcome = orca_rts::run_processor(program, 0, 1, &options, &mut ringing);
        assert_eq!(outcome.status, 0);
        ringing
            .over
            .store(true, std::sync::atomic::Ordering::Relaxed);
        ringing
            .ringer
            .expect("a thread")
            .join()
            .expect("it rang in peace");
    }
}
