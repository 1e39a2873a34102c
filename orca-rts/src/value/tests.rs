//! Values against models: sets and bags as vectors, graphs as lists of names, everything through bytes and back.

use orca_abi::types::{BITWISE_EQUAL, Field, HAS_OBJECT, Kind, PLAIN, Type};
use orca_abi::value::{Array, Dimension, Graph, Nodename};
use orca_abi::{Table, Text, descriptor::Object};

use super::place::Place;
use super::{Scratch, array, compare, copy, fill, free, graph, object, set};
use crate::heap::{Arena, Heap};
use crate::marshal::{self, Reader};

// Types.

fn table<T>(entries: Vec<T>) -> Table<T> {
    let entries = entries.leak();
    Table {
        data: entries.as_ptr(),
        len: entries.len() as u64,
    }
}

fn blank(kind: Kind, flags: u32, size: u64, align: u32) -> Type {
    let name = "t";
    Type {
        kind,
        flags,
        size,
        align,
        dimensions: 0,
        name: Text {
            data: name.as_ptr(),
            len: 1,
        },
        element: std::ptr::null(),
        root: std::ptr::null(),
        fields: table(vec![]),
        bounds: table(vec![]),
        object: std::ptr::null(),
    }
}

fn leak(kind: Type) -> &'static Type {
    Box::leak(Box::new(kind))
}

fn integer() -> &'static Type {
    leak(blank(Kind::Integer, PLAIN | BITWISE_EQUAL, 4, 4))
}

fn real() -> &'static Type {
    leak(blank(Kind::Real, PLAIN, 8, 8))
}

fn byte() -> &'static Type {
    leak(blank(Kind::Byte, PLAIN | BITWISE_EQUAL, 1, 1))
}

fn array_of(element: &'static Type, dimensions: u32) -> &'static Type {
    leak(Type {
        dimensions,
        element,
        ..blank(
            Kind::Array,
            element.flags & HAS_OBJECT,
            Array::value_size(u64::from(dimensions)),
            8,
        )
    })
}

fn set_of(kind: Kind, element: &'static Type) -> &'static Type {
    leak(Type {
        element,
        ..blank(kind, 0, 8, 8)
    })
}

/// A record of fields that need no padding.
fn record(fields: &[&'static Type]) -> &'static Type {
    let mut at = 0;
    let mut flags = PLAIN | BITWISE_EQUAL;
    let described = fields
        .iter()
        .map(|field| {
            let offset = at;
            at += field.size;
            flags = (flags & field.flags & (PLAIN | BITWISE_EQUAL))
                | ((flags | field.flags) & HAS_OBJECT);
            Field {
                offset,
                kind: *field,
                name: blank(Kind::Byte, 0, 0, 1).name,
            }
        })
        .collect();
    leak(Type {
        fields: table(described),
        ..blank(Kind::Record, flags, at, 8)
    })
}

fn graph_of(root: &'static Type, node: &'static Type) -> &'static Type {
    leak(Type {
        element: node,
        root,
        ..blank(
            Kind::Graph,
            0,
            (Graph::ROOT_OFFSET + root.size).next_multiple_of(8),
            8,
        )
    })
}

fn string() -> &'static Type {
    array_of(byte(), 1)
}

fn object_type(state: &'static Type) -> (&'static Object, &'static Type) {
    let object = Box::leak(Box::new(Object {
        name: state.name,
        state,
        kind: std::ptr::null(),
        operations: table(vec![]),
        flags: 0,
        index: 0,
    }));
    let kind = leak(Type {
        object: std::ptr::from_ref(object),
        ..blank(Kind::Object, HAS_OBJECT, 8, 8)
    });
    object.kind = kind;
    (object, kind)
}

// Values.

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Runs a test with a heap, and checks that it frees all it takes.
fn with_heap(test: impl FnOnce(Heap)) {
    let arena = Arena::reserve_from(250).expect("a free range");
    let heap = arena.make_heap(1 << 32);
    test(heap);
    assert_eq!(heap.live_blocks(), 0, "everything is freed");
}

/// Fills a zeroed value at random.
fn randomise(heap: Heap, kind: &'static Type, value: Place, random: &mut Random) {
    use super::describe::{Describe, entries, type_at};
    match kind.kind {
        Kind::Integer => value.set(random.below(50) as i32),
        Kind::Real => value.set(random.below(1000) as f64 / 8.0 - 60.0),
        Kind::Byte => value.set(b'a' + random.below(4) as u8),
        Kind::Record => {
            for field in entries(&kind.fields) {
                randomise(heap, type_at(field.kind), value.add(field.offset), random);
            }
        }
        Kind::Array => {
            let dimensions: Vec<Dimension> = (0..kind.dimensions)
                .map(|_| Dimension {
                    lower: random.below(9) as i32 - 4,
                    count: random.below(5) as i32,
                })
                .collect();
            array::make(heap, kind, value, &dimensions).expect("memory");
            let element = kind.element_type();
            for i in 0..array::count(value) {
                let at = array::elements(kind, value).element(i, element.size);
                randomise(heap, element, at, random);
            }
        }
        Kind::Set | Kind::Bag => {
            for _ in 0..random.below(30) {
                let element = Scratch::new(heap, kind.element_type()).expect("memory");
                randomise(heap, kind.element_type(), element.place, random);
                set::insert(heap, kind, value, element.place).expect("memory");
            }
            for _ in 0..random.below(8) {
                let element = Scratch::new(heap, kind.element_type()).expect("memory");
                randomise(heap, kind.element_type(), element.place, random);
                set::delete(heap, kind, value, element.place);
            }
        }
        Kind::Graph => {
            let mut names = Vec::new();
            for _ in 0..random.below(20) {
                let name = graph::add(heap, kind, value).expect("memory");
                let node = graph::node(kind, value, name).expect("a good name");
                randomise(heap, kind.element_type(), node, random);
                names.push(name);
                if random.below(3) == 0 {
                    let name = names.swap_remove(random.below(names.len() as u64) as usize);
                    assert!(graph::delete(heap, kind, value, name));
                }
            }
            randomise(heap, kind.root_type(), graph::root(value), random);
        }
        Kind::Object => {
            let cell = object::make(heap, kind.object_type()).expect("memory");
            value.refer_to(cell);
            let state = type_at(object::descriptor(cell).state);
            randomise(heap, state, object::state(cell), random);
        }
        _ => {}
    }
}

/// A type with everything in it.
fn everything() -> &'static Type {
    let (_, cell) = object_type(record(&[string(), integer(), integer()]));
    let node = record(&[string(), integer(), integer()]);
    record(&[
        string(),
        array_of(array_of(real(), 2), 1),
        set_of(Kind::Set, record(&[integer(), integer()])),
        set_of(Kind::Bag, string()),
        graph_of(record(&[string()]), node),
        cell,
        array_of(cell, 1),
        array_of(record(&[real(), integer(), byte()]), 1),
        integer(),
    ])
}

// Marshalling.

fn encoded(kind: &Type, value: Place) -> Vec<u8> {
    let mut bytes = Vec::new();
    marshal::encode(kind, value, &mut bytes);
    bytes
}

#[test]
fn values_come_back_from_bytes_as_they_were() {
    with_heap(|heap| {
        let kind = everything();
        for seed in 0..200 {
            let value = Scratch::new(heap, kind).expect("memory");
            randomise(heap, kind, value.place, &mut Random(seed));
            let bytes = encoded(kind, value.place);
            let back = Scratch::new(heap, kind).expect("memory");
            let mut reader = Reader::new(&bytes);
            marshal::decode(heap, kind, back.place, &mut reader).expect("good bytes");
            reader.finish().expect("all of them");
            assert_eq!(encoded(kind, back.place), bytes, "seed {seed}");
            let again = Scratch::new(heap, kind).expect("memory");
            fill(heap, kind, again.place, value.place).expect("memory");
            assert_eq!(encoded(kind, again.place), bytes, "seed {seed}");
        }
    });
}

#[test]
fn damaged_bytes_give_an_error_or_a_value_but_never_a_leak() {
    with_heap(|heap| {
        let kind = everything();
        let value = Scratch::new(heap, kind).expect("memory");
        randomise(heap, kind, value.place, &mut Random(7));
        let bytes = encoded(kind, value.place);
        let check = |bytes: &[u8]| {
            let back = Scratch::new(heap, kind).expect("memory");
            marshal::decode(heap, kind, back.place, &mut Reader::new(bytes)).is_ok()
        };
        assert!(check(&bytes));
        for end in 0..bytes.len() {
            assert!(!check(&bytes[..end]), "cut at {end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                check(&damaged);
            }
        }
    });
}

// Arrays.

fn make_string(heap: Heap, text: &str) -> Scratch<'static> {
    let value = Scratch::new(heap, string()).expect("memory");
    array::set_string(heap, value.place, text.as_bytes()).expect("memory");
    value
}

#[test]
fn equality_of_arrays_compares_lower_bounds_unless_empty() {
    with_heap(|heap| {
        let kind = string();
        let literal = make_string(heap, "ab");
        let shifted = Scratch::new(heap, kind).expect("memory");
        let bounds = [Dimension { lower: 0, count: 2 }];
        array::make(heap, kind, shifted.place, &bounds).expect("memory");
        array::elements(kind, shifted.place)
            .bytes_mut(2)
            .copy_from_slice(b"ab");
        assert_eq!(array::string_bytes(shifted.place), b"ab");
        assert!(!compare::equal(kind, literal.place, shifted.place));
        copy(heap, kind, shifted.place, literal.place).expect("memory");
        assert!(compare::equal(kind, literal.place, shifted.place));
        assert_eq!(array::dimension(shifted.place, 0).lower, 1);
        // Two empty arrays are equal whatever their bounds.
        let never = Scratch::new(heap, kind).expect("memory");
        let empty = make_string(heap, "");
        assert_eq!(
            array::dimension(empty.place, 0),
            Dimension { lower: 1, count: 0 }
        );
        assert!(compare::equal(kind, never.place, empty.place));
        assert_eq!(
            compare::hash(kind, never.place),
            compare::hash(kind, empty.place)
        );
    });
}

#[test]
fn the_first_element_of_a_matrix_is_where_compiled_code_looks() {
    with_heap(|heap| {
        let kind = array_of(integer(), 2);
        let value = Scratch::new(heap, kind).expect("memory");
        let bounds = [
            Dimension {
                lower: -2,
                count: 3,
            },
            Dimension { lower: 5, count: 4 },
        ];
        array::make(heap, kind, value.place, &bounds).expect("memory");
        let head: Array = value.place.get();
        assert_eq!(head.size, 12);
        assert_eq!(head.offset, -2 * 4 + 5);
        let first = array::elements(kind, value.place);
        assert_eq!(
            value.place.follow().element((-2i64 * 4 + 5) as u64, 4),
            first
        );
        assert!(
            array::element_count(
                &[Dimension {
                    lower: 0,
                    count: i32::MAX
                }; 3]
            )
            .is_none()
        );
    });
}

#[test]
fn minus_zero_equals_zero_and_hashes_alike() {
    with_heap(|heap| {
        let kind = record(&[real(), integer(), integer()]);
        let (a, b) = (
            Scratch::new(heap, kind).expect("memory"),
            Scratch::new(heap, kind).expect("memory"),
        );
        b.place.set(-0.0f64);
        assert!(compare::equal(kind, a.place, b.place));
        assert_eq!(compare::hash(kind, a.place), compare::hash(kind, b.place));
        b.place.set(f64::NAN);
        assert!(!compare::equal(kind, b.place, b.place));
    });
}

// Objects.

#[test]
fn assignment_copies_the_state_and_keeps_the_object() {
    with_heap(|heap| {
        let (_, cell) = object_type(record(&[string(), integer(), integer()]));
        for kind in [cell, array_of(cell, 1), record(&[cell, string()])] {
            let (a, b) = (
                Scratch::new(heap, kind).expect("memory"),
                Scratch::new(heap, kind).expect("memory"),
            );
            if kind.kind == Kind::Array {
                let bounds = [Dimension { lower: 1, count: 3 }];
                for (value, seed) in [(&a, 1), (&b, 2)] {
                    array::make(heap, kind, value.place, &bounds).expect("memory");
                    for i in 0..3 {
                        let at = array::elements(kind, value.place).element(i, 8);
                        randomise(heap, cell, at, &mut Random(seed + 10 * i));
                    }
                }
            } else {
                randomise(heap, kind, a.place, &mut Random(1));
                randomise(heap, kind, b.place, &mut Random(2));
            }
            let first = |value: &Scratch<'_>| match kind.kind {
                Kind::Array => array::elements(kind, value.place).follow(),
                _ => value.place.follow(),
            };
            let identity = first(&a);
            copy(heap, kind, a.place, b.place).expect("memory");
            assert_eq!(first(&a), identity);
            assert_ne!(first(&a), first(&b));
            assert_eq!(encoded(kind, a.place), encoded(kind, b.place));
        }
    });
}

// Sets and bags.

/// An element as a test sees it: an integer, or the string of its digits.
fn element(heap: Heap, kind: &'static Type, number: u64) -> Scratch<'static> {
    if kind.kind == Kind::Integer {
        let value = Scratch::new(heap, kind).expect("memory");
        value.place.set(number as i32);
        value
    } else {
        make_string(heap, &number.to_string())
    }
}

fn number(kind: &Type, value: Place) -> u64 {
    if kind.kind == Kind::Integer {
        value.get::<i32>() as u64
    } else {
        let text = str::from_utf8(array::string_bytes(value)).expect("digits");
        text.parse().expect("digits")
    }
}

fn contents(kind: &Type, set: Place) -> Vec<u64> {
    use super::describe::Describe;
    set::places(kind, set)
        .map(|place| number(kind.element_type(), place))
        .collect()
}

fn model_insert(kind: Kind, model: &mut Vec<u64>, number: u64) {
    if kind == Kind::Bag || !model.contains(&number) {
        model.push(number);
    }
}

fn model_delete(model: &mut Vec<u64>, number: u64) -> bool {
    let found = model.iter().position(|&other| other == number);
    found.map(|index| model.remove(index)).is_some()
}

fn check_against_model(heap: Heap, kind: Kind, of: &'static Type, seed: u64, range: u64) {
    let kind = set_of(kind, of);
    let mut random = Random(seed);
    let values: Vec<_> = (0..2)
        .map(|_| Scratch::new(heap, kind).expect("memory"))
        .collect();
    let mut models: Vec<Vec<u64>> = vec![Vec::new(); 2];
    for step in 0..3000 {
        let which = random.below(2) as usize;
        let (place, other) = (values[which].place, values[1 - which].place);
        let drawn = random.below(range);
        let item = element(heap, of, drawn);
        let other_model = models[1 - which].clone();
        let model = &mut models[which];
        match random.below(100) {
            0..50 => {
                set::insert(heap, kind, place, item.place).expect("memory");
                model_insert(kind.kind, model, drawn);
            }
            50..70 => {
                let deleted = set::delete(heap, kind, place, item.place);
                assert_eq!(deleted, model_delete(model, drawn), "step {step}");
            }
            70..85 => {
                let taken = element(heap, of, 0);
                let any = set::take_oldest(heap, kind, place, taken.place);
                assert_eq!(any, !model.is_empty());
                if any {
                    assert_eq!(number(of, taken.place), model.remove(0), "step {step}");
                }
            }
            85..90 => {
                let contains = set::contains(kind, place, item.place);
                assert_eq!(contains, model.contains(&drawn), "step {step}");
                let index = random.below(range) as usize;
                let found = set::element(heap, kind, place, index as u32).expect("memory");
                assert_eq!(found.map(|at| number(of, at)), model.get(index).copied());
            }
            90..92 => {
                set::union(heap, kind, place, other).expect("memory");
                other_model
                    .iter()
                    .for_each(|&n| model_insert(kind.kind, model, n));
            }
            92..94 => {
                set::difference(heap, kind, place, other);
                other_model.iter().for_each(|&n| {
                    model_delete(model, n);
                });
            }
            94..96 => {
                set::intersection(heap, kind, place, other).expect("memory");
                let mut rest = other_model;
                model.retain(|&n| model_delete(&mut rest, n));
            }
            96..98 => {
                set::symmetric(heap, kind, place, other).expect("memory");
                let mut others = other_model.clone();
                model.iter().for_each(|&n| {
                    model_delete(&mut others, n);
                });
                other_model.iter().for_each(|&n| {
                    model_delete(model, n);
                });
                others
                    .iter()
                    .for_each(|&n| model_insert(kind.kind, model, n));
            }
            _ => {
                copy(heap, kind, place, other).expect("memory");
                *model = other_model;
                assert!(compare::equal(kind, place, other));
            }
        }
        assert_eq!(contents(kind, place), models[which], "step {step}");
        let mut sorted = models.clone();
        sorted.iter_mut().for_each(|model| model.sort_unstable());
        let equal = compare::equal(kind, values[0].place, values[1].place);
        assert_eq!(equal, sorted[0] == sorted[1], "step {step}");
        if equal {
            let hash = |index: usize| compare::hash(kind, values[index].place);
            assert_eq!(hash(0), hash(1));
        }
    }
}

#[test]
fn sets_and_bags_behave_as_their_models() {
    with_heap(|heap| {
        for seed in 0..4 {
            for range in [3, 12, 200] {
                check_against_model(heap, Kind::Set, integer(), seed, range);
                check_against_model(heap, Kind::Bag, integer(), seed, range);
                check_against_model(heap, Kind::Set, string(), seed, range);
                check_against_model(heap, Kind::Bag, string(), seed, range);
            }
        }
    });
}

#[test]
fn a_bag_of_equal_elements_is_no_slower_than_another() {
    with_heap(|heap| {
        let kind = set_of(Kind::Bag, integer());
        let bag = Scratch::new(heap, kind).expect("memory");
        let item = element(heap, integer(), 5);
        // Quadratic behaviour would take minutes.
        for _ in 0..200_000 {
            set::insert(heap, kind, bag.place, item.place).expect("memory");
        }
        let twin = Scratch::new(heap, kind).expect("memory");
        copy(heap, kind, twin.place, bag.place).expect("memory");
        assert!(compare::equal(kind, twin.place, bag.place));
        while set::delete(heap, kind, bag.place, item.place) {}
        assert_eq!(set::count(bag.place), 0);
    });
}

// Graphs.

#[test]
fn names_of_deleted_nodes_are_never_good_again() {
    with_heap(|heap| {
        let kind = graph_of(record(&[integer(), integer()]), record(&[string()]));
        let value = Scratch::new(heap, kind).expect("memory");
        let mut random = Random(3);
        let mut live: Vec<(Nodename, String)> = Vec::new();
        let mut dead: Vec<Nodename> = Vec::new();
        for step in 0..5000u32 {
            if random.below(5) < 3 || live.is_empty() {
                let name = graph::add(heap, kind, value.place).expect("memory");
                assert!(!dead.contains(&name) && live.iter().all(|(other, _)| *other != name));
                let node = graph::node(kind, value.place, name).expect("a good name");
                assert_eq!(array::count(node), 0, "fields of a new node are zero");
                let text = step.to_string();
                array::set_string(heap, node, text.as_bytes()).expect("memory");
                live.push((name, text));
            } else {
                let (name, _) = live.swap_remove(random.below(live.len() as u64) as usize);
                assert!(graph::delete(heap, kind, value.place, name));
                assert!(!graph::delete(heap, kind, value.place, name));
                dead.push(name);
            }
            if step % 97 == 0 {
                for (name, text) in &live {
                    let node = graph::node(kind, value.place, *name).expect("a good name");
                    assert_eq!(array::string_bytes(node), text.as_bytes());
                }
                assert!(
                    dead.iter()
                        .all(|&name| graph::node(kind, value.place, name).is_none())
                );
            }
        }
        assert!(graph::node(kind, value.place, Nodename::default()).is_none());
        let foreign = Nodename { age: 1, index: -1 };
        assert!(graph::node(kind, value.place, foreign).is_none());
    });
}

#[test]
fn the_slot_freed_last_is_used_first_and_a_copy_goes_on_alike() {
    with_heap(|heap| {
        let kind = graph_of(record(&[]), record(&[integer()]));
        let value = Scratch::new(heap, kind).expect("memory");
        let names: Vec<Nodename> = (0..4)
            .map(|_| graph::add(heap, kind, value.place).expect("memory"))
            .collect();
        assert_eq!(names[3], Nodename { age: 1, index: 3 });
        graph::delete(heap, kind, value.place, names[1]);
        graph::delete(heap, kind, value.place, names[2]);
        let twin = Scratch::new(heap, kind).expect("memory");
        copy(heap, kind, twin.place, value.place).expect("memory");
        for expected in [
            Nodename { age: 3, index: 2 },
            Nodename { age: 3, index: 1 },
            Nodename { age: 1, index: 4 },
        ] {
            assert_eq!(graph::add(heap, kind, value.place), Ok(expected));
            assert_eq!(graph::add(heap, kind, twin.place), Ok(expected));
        }
        free(heap, kind, value.place);
        assert_eq!(
            graph::add(heap, kind, value.place),
            Ok(Nodename { age: 1, index: 0 })
        );
    });
}
