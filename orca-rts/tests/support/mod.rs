//! Programs written by hand: descriptors built at run time, code in Rust functions that stand in for compiled ones.
//!
//! Processes and operations are tiny `extern "C"` functions behind a trampoline that hands them the control block from r15. They
//! call entries through [`call`], which puts it back there. They must not panic.
#![allow(unsafe_code, reason = "stands in for compiled code")]
#![allow(dead_code, reason = "each test uses a part of it")]

use std::arch::naked_asm;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use orca_abi::control::Control;
use orca_abi::descriptor::*;
use orca_abi::symbols::Entry;
use orca_abi::types::{BITWISE_EQUAL, Field, HAS_OBJECT, Kind, PLAIN, Type};
use orca_abi::value::{Array, Dimension, Graph, ObjectCell};
use orca_abi::{Table, Text};
use orca_rts::{Options, Outcome, OverGroup, ProgramRef, Sink, StandardInput};

pub(crate) fn text(text: &'static str) -> Text {
    Text {
        data: text.as_ptr(),
        len: text.len() as u64,
    }
}

pub(crate) fn table<T>(entries: Vec<T>) -> Table<T> {
    let entries = entries.leak();
    Table {
        data: entries.as_ptr(),
        len: entries.len() as u64,
    }
}

pub(crate) fn empty<T>() -> Table<T> {
    Table {
        data: std::ptr::null(),
        len: 0,
    }
}

pub(crate) fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

// Types.

fn blank(kind: Kind, flags: u32, size: u64, align: u32) -> Type {
    Type {
        kind,
        flags,
        size,
        align,
        dimensions: 0,
        name: text("t"),
        element: std::ptr::null(),
        root: std::ptr::null(),
        fields: empty(),
        bounds: empty(),
        object: std::ptr::null(),
    }
}

pub(crate) fn integer() -> &'static Type {
    leak(blank(Kind::Integer, PLAIN | BITWISE_EQUAL, 4, 4))
}

pub(crate) fn longint() -> &'static Type {
    leak(blank(Kind::LongInt, PLAIN | BITWISE_EQUAL, 8, 8))
}

pub(crate) fn real() -> &'static Type {
    leak(blank(Kind::Real, PLAIN, 8, 8))
}

pub(crate) fn char() -> &'static Type {
    leak(blank(Kind::Byte, PLAIN | BITWISE_EQUAL, 1, 1))
}

pub(crate) fn array_of(element: &'static Type, dimensions: u32) -> &'static Type {
    leak(Type {
        dimensions,
        element,
        flags: element.flags & HAS_OBJECT,
        ..blank(Kind::Array, 0, Array::value_size(u64::from(dimensions)), 8)
    })
}

pub(crate) fn string() -> &'static Type {
    array_of(char(), 1)
}

pub(crate) fn fixed_array(element: &'static Type, lower: i32, count: i32) -> &'static Type {
    leak(Type {
        dimensions: 1,
        element,
        bounds: table(vec![Dimension { lower, count }]),
        ..blank(
            Kind::FixedArray,
            element.flags,
            element.size * count as u64,
            element.align,
        )
    })
}

pub(crate) fn record(fields: &[&'static Type]) -> &'static Type {
    let (mut at, mut align, mut flags) = (0u64, 1u32, PLAIN | BITWISE_EQUAL);
    let mut padded = false;
    let described = fields
        .iter()
        .map(|field| {
            let offset = at.next_multiple_of(u64::from(field.align));
            padded |= offset != at;
            at = offset + field.size;
            align = align.max(field.align);
            flags = (flags & field.flags) | (field.flags & HAS_OBJECT) | (flags & HAS_OBJECT);
            Field {
                offset,
                kind: *field,
                name: text("f"),
            }
        })
        .collect();
    let size = at.next_multiple_of(u64::from(align));
    if padded || size != at {
        flags &= !BITWISE_EQUAL;
    }
    leak(Type {
        fields: table(described),
        ..blank(Kind::Record, flags, size, align)
    })
}

pub(crate) fn set_of(kind: Kind, element: &'static Type) -> &'static Type {
    leak(Type {
        element,
        ..blank(kind, 0, 8, 8)
    })
}

pub(crate) fn graph_of(root: &'static Type, node: &'static Type) -> &'static Type {
    let size = (Graph::ROOT_OFFSET + root.size).next_multiple_of(8);
    leak(Type {
        element: node,
        root,
        ..blank(Kind::Graph, 0, size, 8)
    })
}

pub(crate) fn object_kind(object: &'static Object) -> &'static Type {
    leak(Type {
        object,
        ..blank(Kind::Object, HAS_OBJECT, 8, 8)
    })
}

// Programs.

pub(crate) fn parameter(mode: Mode, kind: &'static Type) -> Parameter {
    Parameter {
        mode,
        reserved: 0,
        kind,
        name: text("p"),
    }
}

pub(crate) type Code = unsafe extern "C" fn();

pub(crate) fn operation(
    name: &'static str,
    flags: u32,
    reads: Option<Code>,
    writes: Option<Code>,
    parameters: Vec<Parameter>,
    result: Option<&'static Type>,
) -> Operation {
    let pointer = |code: Option<Code>| code.map_or(std::ptr::null(), |code| code as *const u8);
    Operation {
        name: text(name),
        flags,
        routine: 0,
        reads: pointer(reads),
        writes: pointer(writes),
        parameters: table(parameters),
        result: result.map_or(std::ptr::null(), std::ptr::from_ref),
    }
}

pub(crate) fn object(
    name: &'static str,
    index: u32,
    state: &'static Type,
    flags: u32,
    operations: Vec<Operation>,
) -> &'static Object {
    let mut all = vec![
        operation("READ_", HAS_READ, None, None, vec![], None),
        operation("WRITE_", HAS_WRITE, None, None, vec![], None),
    ];
    all.extend(operations);
    let object = Box::leak(Box::new(Object {
        name: text(name),
        state,
        kind: std::ptr::null(),
        operations: table(all),
        flags,
        index,
    }));
    let kind = leak(Type {
        object: std::ptr::from_ref(object),
        ..blank(Kind::Object, HAS_OBJECT, 8, 8)
    });
    object.kind = kind;
    object
}

pub(crate) fn process(name: &'static str, code: Code, parameters: Vec<Parameter>) -> Process {
    Process {
        name: text(name),
        code: code as *const u8,
        parameters: table(parameters),
    }
}

/// A program whose process 0 is OrcaMain; site `n` is line `n` of `test.orca`.
#[allow(clippy::mut_from_ref, reason = "what comes out is not what went in")]
pub(crate) fn program(
    processes: Vec<Process>,
    objects: Vec<&'static Object>,
) -> &'static mut Program {
    let objects: Vec<Object> = objects
        .into_iter()
        // SAFETY: descriptors are plain data.
        .map(|object| unsafe { std::ptr::read(object) })
        .collect();
    let sites = (0..100).map(|line| Site { routine: 0, line }).collect();
    Box::leak(Box::new(Program {
        version: orca_abi::VERSION,
        main: 0,
        name: text("test"),
        processes: table(processes),
        objects: table(objects),
        data_size: 4096,
        data_variables: empty(),
        data_modules: empty(),
        routines: table(vec![Routine {
            name: text("process test.OrcaMain"),
            file: text("test.orca"),
        }]),
        sites: table(sites),
        functions: empty(),
    }))
}

// Running.

/// Collects the output of all processors.
#[derive(Clone, Default)]
pub(crate) struct Shown(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Sink for Shown {
    fn show(&mut self, text: &[u8], _applied: u64) -> std::io::Result<()> {
        self.0
            .lock()
            .expect("nobody panics with it")
            .extend_from_slice(text);
        Ok(())
    }
}

/// Runs a program on so many processors; gives how it ended and what it wrote.
pub(crate) fn run_with(
    program: &'static Program,
    count: u32,
    change: impl FnOnce(&mut Options),
) -> (Outcome, String) {
    let shown = Shown::default();
    let sink = shown.clone();
    let mut options = Options {
        arguments: vec![b"test".to_vec(), b"one".to_vec()],
        input: StandardInput::Bytes(Vec::new()),
        output: Arc::new(move |_| Box::new(sink.clone())),
        ..Options::default()
    };
    change(&mut options);
    // SAFETY: the descriptors above are leaked.
    let program = unsafe { ProgramRef::new(program) }.expect("a program of this version");
    let outcome = orca_rts::run(program, count, &options);
    let output = String::from_utf8(shown.0.lock().expect("free").clone()).expect("text");
    (outcome, output)
}

/// Runs a program on processors that talk over this network of the stack.
pub(crate) fn run_over_devices(
    program: &'static Program,
    devices: Vec<Arc<dyn stack::flip_net::driver::Device>>,
) -> (Outcome, String) {
    let count = devices.len() as u32;
    let port = stack::capability::Port::new([1, 2, 3, 4, 5, 6]);
    let groups = devices
        .into_iter()
        .zip(0u32..)
        .map(|(device, number)| {
            let config = stack::Config::new(vec![device.link()], port, number == 0);
            let driver = stack::driver::DriverConfig::default();
            let rng = stack::flip_net::rng::Rng::new(
                u64::from(std::process::id()) << 16 | u64::from(number),
            );
            OverGroup::start(config, vec![device], driver, number, count, rng).expect("a group")
        })
        .collect();
    let shown = Shown::default();
    let sink = shown.clone();
    let options = Options {
        arguments: vec![b"test".to_vec()],
        input: StandardInput::Bytes(Vec::new()),
        output: Arc::new(move |_| Box::new(sink.clone())),
        ..Options::default()
    };
    // SAFETY: the descriptors above are leaked.
    let program = unsafe { ProgramRef::new(program) }.expect("a program of this version");
    let outcome = orca_rts::run_over(program, &options, groups);
    let output = String::from_utf8(shown.0.lock().expect("free").clone()).expect("text");
    (outcome, output)
}

pub(crate) fn run(program: &'static Program, count: u32) -> (Outcome, String) {
    run_with(program, count, |_| {})
}

// Code.

/// Calls an entry with the control block in r15, as compiled code does.
#[unsafe(naked)]
unsafe extern "C" fn call_entry(
    control: *mut Control,
    entry: u64,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
) -> u64 {
    naked_asm!(
        "push r15",
        "mov r15, rdi",
        "mov rax, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov rcx, r8",
        "mov r8, r9",
        "call rax",
        "pop r15",
        "ret",
    )
}

/// The control block as code sees it.
#[derive(Clone, Copy)]
pub(crate) struct Cpu(pub(crate) *mut Control);

impl Cpu {
    pub(crate) fn call(self, entry: Entry, arguments: &[u64]) -> u64 {
        let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
        // SAFETY: as compiled code does it.
        unsafe {
            let entry = (*self.0).entries[entry.index()];
            call_entry(
                self.0,
                entry,
                argument(0),
                argument(1),
                argument(2),
                argument(3),
            )
        }
    }

    pub(crate) fn write_line(self, value: i64) {
        self.call(Entry::WriteInteger, &[value as u64]);
        self.call(Entry::WriteEnd, &[1]);
    }

    pub(crate) fn poll(self) {
        // SAFETY: the flag of a live control block.
        if unsafe { (*self.0).poll.load(Ordering::Relaxed) } != 0 {
            self.call(Entry::Poll, &[]);
        }
    }

    pub(crate) fn exit(self) -> ! {
        self.call(Entry::Exit, &[]);
        // SAFETY: a process never comes back from its exit.
        unsafe { std::hint::unreachable_unchecked() }
    }

    pub(crate) fn mycpu(self) -> i32 {
        // SAFETY: a field of a live control block.
        unsafe { (*self.0).mycpu }
    }

    pub(crate) fn ncpus(self) -> i32 {
        // SAFETY: as above.
        unsafe { (*self.0).ncpus }
    }

    pub(crate) fn data(self) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (*self.0).data }
    }

    pub(crate) fn new_object(self, object: &'static Object) -> *mut u8 {
        self.call(Entry::ObjectNew, &[object.kind as u64, 1]) as *mut u8
    }

    /// Invokes an operation, as compiled code does for an object that may be shared.
    pub(crate) fn invoke(self, cell: *mut u8, operation: u64, arguments: &[*mut u8], site: u64) {
        self.call(
            Entry::Invoke,
            &[cell as u64, operation, arguments.as_ptr() as u64, site],
        );
    }

    pub(crate) fn fork(self, process: u64, arguments: &[*mut u8], cpu: i32, site: u64) {
        self.call(
            Entry::Fork,
            &[process, arguments.as_ptr() as u64, cpu as u32 as u64, site],
        );
    }

    /// Drops an object variable.
    pub(crate) fn drop_object(self, object: &'static Object, cell: *mut u8) {
        let mut cell = cell;
        self.call(
            Entry::ValueFree,
            &[object.kind as u64, &raw mut cell as u64],
        );
    }
}

pub(crate) fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

/// The address of a local variable, as an argument.
pub(crate) fn at<T>(value: &mut T) -> *mut u8 {
    (value as *mut T).cast()
}

/// Reads a value.
pub(crate) fn get<T: Copy>(at: *const u8) -> T {
    // SAFETY: tests pass addresses of live values.
    unsafe { (at as *const T).read_unaligned() }
}

/// Writes a value.
pub(crate) fn put<T: Copy>(at: *mut u8, value: T) {
    // SAFETY: as above.
    unsafe { (at as *mut T).write_unaligned(value) }
}

/// The address in entry `index` of an argument table.
pub(crate) fn argument(table: *const *mut u8, index: usize) -> *mut u8 {
    // SAFETY: as above.
    unsafe { *table.add(index) }
}

/// The state record of an object.
pub(crate) fn state_of(cell: *mut u8) -> *mut u8 {
    cell.wrapping_add(ObjectCell::STATE_OFFSET as usize)
}

/// Declares code of a process: `process_code!(name, |cpu, arguments| { ... })`.
#[macro_export]
macro_rules! process_code {
    ($name:ident, |$cpu:ident, $arguments:ident| $body:block) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            extern "C" fn body($arguments: *const *mut u8, control: *mut orca_abi::control::Control) {
                let $cpu = $crate::support::Cpu(control);
                $body
                $cpu.exit()
            }
            std::arch::naked_asm!("mov rsi, r15", "jmp {body}", body = sym body)
        }
    };
}

/// Declares alternatives of an operation: `operation_code!(name, |cpu, state, arguments| { status })`.
#[macro_export]
macro_rules! operation_code {
    ($name:ident, |$cpu:ident, $state:ident, $arguments:ident| $body:block) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            extern "C" fn body(
                $state: *mut u8,
                $arguments: *const *mut u8,
                control: *mut orca_abi::control::Control,
            ) -> u32 {
                let $cpu = $crate::support::Cpu(control);
                let _ = ($cpu, $state, $arguments);
                $body
            }
            std::arch::naked_asm!("mov rdx, r15", "jmp {body}", body = sym body)
        }
    };
}
