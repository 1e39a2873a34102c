//! The descriptors of a program in memory, read as the run-time system reads them.

use orca_abi::descriptor::{HAS_READ, HAS_WRITE, Mode, PURE_WRITE};
use orca_abi::types::{HAS_OBJECT, Kind};
use orca_abi::{Table, Text};

use super::*;
use crate::mir::text::parse;
use crate::mir::verify::assert_valid;

const PROGRAM: &str = r#"program "all" main 0
data 16
routine r0 = "process M.p" "m.orca"
routine r1 = "operation O$add" "o.orca"
site @0 = r0 3
site @1 = r1 7
blob c0 = "abc"
type t0 = integer "integer" size 4 align 4 (plain bitwise_equal)
type t1 = record "state" size 8 align 4 (plain bitwise_equal) fields "n" t0 0, "m" t0 4
type t2 = object "O" size 8 align 8 (has_object) object o0
type t3 = fixed_array "grid" size 96 align 4 (plain) element t0 dimensions 2 bounds 0:4, -1:6
object o0 = "O" state t1 type t2 ()
  operation "add" r1 (has_write) writes f1 result t0 parameters in "v" t0, out "w" t0
process "p" f0 parameters
process "q" f0 parameters shared "o" t2
module "M" init f0
variable "M.x" t0 offset 8 module 0

function f0 "M.p" r0 process {
b0(v0: i64):
  v1: i64 = type_address t3 !3
  v2: i64 = slot_address s0 !4
  entry value_free(v1, v2) !4
  poll !5
  entry exit() !6
  unreachable
}

function f1 "O$add/writes" r1 operation -> i32 {
b0(v0: i64, v1: i64):
  v2: i32 = integer 0 !9
  return v2
}

function f2 "types" r0 process -> i64 {
b0:
  v0: i64 = type_address t3
  return v0
}

function f3 "blobs" r0 process -> i64 {
b0:
  v0: i64 = blob_address c0
  return v0
}
"#;

fn compiled(opt_level: u8) -> (Program, Jit) {
    let text = PROGRAM
        .replace("process \"p\" f0 parameters\n", "process \"p\" f0\n")
        .replace(
            "process {\nb0(v0: i64):",
            "process {\n  slot s0 \"x\" size 96 align 8\nb0(v0: i64):",
        );
    let program = parse(&text).expect("the text is right");
    assert_valid(&program, "parsing");
    let options = Options {
        opt_level,
        debug_info: false,
    };
    let jit = compile(&program, options).expect("the program is right");
    (program, jit)
}

fn items<T>(table: &Table<T>) -> &'static [T] {
    let len = usize::try_from(table.len).expect("small");
    if len == 0 {
        return &[];
    }
    // SAFETY: the tables of a compiled program are never freed or changed.
    unsafe { std::slice::from_raw_parts(table.data, len) }
}

fn text(text: &Text) -> &'static str {
    let len = usize::try_from(text.len).expect("small");
    assert!(!text.data.is_null());
    // SAFETY: the texts of a compiled program are never freed or changed.
    let bytes = unsafe { std::slice::from_raw_parts(text.data, len) };
    std::str::from_utf8(bytes).expect("texts are UTF-8")
}

fn read<T>(address: *const T) -> &'static T {
    assert!(address.is_aligned() && !address.is_null());
    // SAFETY: the address comes from a descriptor of a compiled program, which is never freed or changed.
    unsafe { &*address }
}

#[test]
fn descriptors_say_what_the_program_says() {
    let (_, jit) = compiled(2);
    let program = read(jit.program());
    assert_eq!(
        (program.version, program.main, text(&program.name)),
        (orca_abi::VERSION, 0, "all")
    );
    assert_eq!(program.data_size, 16);

    let [p, q] = items(&program.processes) else {
        panic!("two processes")
    };
    assert_eq!((text(&p.name), p.code), ("p", jit.function(FunctionId(0))));
    assert!(items(&p.parameters).is_empty());
    let [o] = items(&q.parameters) else {
        panic!("one parameter")
    };
    assert_eq!((text(&o.name), o.mode), ("o", Mode::Shared));

    let [object] = items(&program.objects) else {
        panic!("one object type")
    };
    assert_eq!(o.kind, object.kind);
    let kind = read(object.kind);
    assert_eq!(
        (kind.kind, kind.flags, text(&kind.name)),
        (Kind::Object, HAS_OBJECT, "O")
    );
    assert!(std::ptr::eq(kind.object, object));
    let state = read(object.state);
    assert_eq!((state.kind, state.size, state.align), (Kind::Record, 8, 4));
    let fields: Vec<_> = items(&state.fields)
        .iter()
        .map(|field| (text(&field.name), field.offset))
        .collect();
    assert_eq!(fields, [("n", 0), ("m", 4)]);

    let [module] = items(&program.data_modules) else {
        panic!("one data module")
    };
    assert_eq!(
        (text(&module.name), module.init),
        ("M", jit.function(FunctionId(0)))
    );
    let [variable] = items(&program.data_variables) else {
        panic!("one variable")
    };
    assert_eq!(
        (text(&variable.name), variable.offset, variable.module),
        ("M.x", 8, 0)
    );
}

#[test]
fn every_object_type_has_operations_on_its_whole_state_first() {
    let (_, jit) = compiled(0);
    let program = read(jit.program());
    let object = &items(&program.objects)[0];
    let routines = items(&program.routines);
    let [reads, writes, add] = items(&object.operations) else {
        panic!("three operations")
    };
    assert_eq!((text(&reads.name), reads.flags), ("READ_", HAS_READ));
    assert_eq!(reads.result, object.state);
    assert!(reads.reads.is_null() && reads.writes.is_null());
    assert_eq!(
        (text(&writes.name), writes.flags),
        ("WRITE_", HAS_WRITE | PURE_WRITE)
    );
    assert_eq!(items(&writes.parameters)[0].kind, object.state);
    let routine = &routines[writes.routine as usize];
    assert_eq!(
        (text(&routine.name), text(&routine.file)),
        ("operation O$WRITE_", "o.orca")
    );
    assert_eq!((text(&add.name), add.flags), ("add", HAS_WRITE));
    assert_eq!(
        (add.reads.is_null(), add.writes),
        (true, jit.function(FunctionId(1)))
    );
    let modes: Vec<Mode> = items(&add.parameters)
        .iter()
        .map(|parameter| parameter.mode)
        .collect();
    assert_eq!(modes, [Mode::In, Mode::Out]);
}

#[test]
fn code_finds_type_descriptors_and_constants() {
    let (source, jit) = compiled(2);
    let address = |function| match jit.evaluate(&source, FunctionId(function), &[]) {
        Outcome::Returned(address) => address,
        trapped => panic!("{trapped:?}"),
    };
    let grid = read(address(2) as *const orca_abi::types::Type);
    assert_eq!(
        (grid.kind, grid.dimensions, text(&grid.name)),
        (Kind::FixedArray, 2, "grid")
    );
    let bounds: Vec<_> = items(&grid.bounds)
        .iter()
        .map(|bound| (bound.lower, bound.count))
        .collect();
    assert_eq!(bounds, [(0, 4), (-1, 6)]);
    assert_eq!(*read(address(3) as *const [u8; 3]), *b"abc");
}

#[test]
fn lines_of_a_function_are_sorted_and_inside_it() {
    for opt_level in [0, 1] {
        let (_, jit) = compiled(opt_level);
        let function = &items(&read(jit.program()).functions)[0];
        assert_eq!(function.code, jit.function(FunctionId(0)));
        let lines = items(&function.lines);
        assert!(lines.is_sorted_by_key(|line| line.offset));
        assert!(lines.iter().all(|line| line.offset < function.size));
        // The call of line 4, the poll of line 5, the end on line 6; addresses have no code of their own.
        for line in [4, 5, 6] {
            assert!(
                lines.iter().any(|found| found.line == line),
                "line {line}: {}",
                lines.len()
            );
        }
    }
}
