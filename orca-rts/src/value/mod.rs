//! Values of Orca programs: copying, moving, freeing them by walking their types.
//!
//! A value is its own bytes plus parts on the heap: elements of arrays, storage of sets and graphs, objects. Every value whose
//! bytes are all zero is valid. So each function here that makes a value starts from zeroed bytes, and when memory runs out half-way,
//! what is there can be freed like any other value.
//!
//! Values are deep: a copy shares nothing with what it was copied from. The exception is shared objects, which are known by a
//! cell that the processor's object table owns.
//!
//! Implements: [Thesis §4.2] types and values; ORCA 4, 7, 12.

pub(crate) mod array;
pub(crate) mod compare;
pub(crate) mod describe;
pub(crate) mod graph;
pub(crate) mod object;
pub(crate) mod place;
pub(crate) mod set;
#[cfg(test)]
mod tests;

use orca_abi::types::{Kind, Type};

use crate::heap::{Heap, OutOfMemory};
use describe::{Describe, entries, type_at};
use place::Place;

/// Makes the destination, a live value, a deep copy of the source. On failure the destination is unchanged.
///
/// Objects among the components keep their cells and take over the state.
pub(crate) fn copy(
    heap: Heap,
    kind: &Type,
    destination: Place,
    source: Place,
) -> Result<(), OutOfMemory> {
    if destination == source {
        return Ok(());
    }
    if kind.is_plain() {
        destination.copy_from(source, kind.size);
        return Ok(());
    }
    if kind.kind == Kind::Array && array::copy_in_place(heap, kind, destination, source)? {
        return Ok(());
    }
    if kind.has_object() {
        match kind.kind {
            Kind::Object => return object::copy_state(heap, destination.follow(), source.follow()),
            Kind::Record => {
                for field in entries(&kind.fields) {
                    let at = field.offset;
                    copy(
                        heap,
                        type_at(field.kind),
                        destination.add(at),
                        source.add(at),
                    )?;
                }
                return Ok(());
            }
            Kind::FixedArray => {
                let element = kind.element_type();
                for i in 0..kind.fixed_count() {
                    let at = i * element.size;
                    copy(heap, element, destination.add(at), source.add(at))?;
                }
                return Ok(());
            }
            _ => {}
        }
    }
    let scratch = Scratch::new(heap, kind)?;
    fill(heap, kind, scratch.place, source)?;
    move_value(heap, kind, destination, scratch.place);
    Ok(())
}

/// Frees the destination's parts, moves the source's bytes there and zeroes the source.
pub(crate) fn move_value(heap: Heap, kind: &Type, destination: Place, source: Place) {
    if destination == source {
        return;
    }
    free_parts(heap, kind, destination);
    destination.copy_from(source, kind.size);
    source.zero(kind.size);
}

/// Frees all parts on the heap, drops objects, and zeroes the bytes.
pub(crate) fn free(heap: Heap, kind: &Type, value: Place) {
    free_parts(heap, kind, value);
    value.zero(kind.size);
}

fn free_parts(heap: Heap, kind: &Type, value: Place) {
    if kind.is_plain() {
        return;
    }
    match kind.kind {
        Kind::Array => array::free_parts(heap, kind, value),
        Kind::FixedArray => {
            let element = kind.element_type();
            free_elements(heap, element, value, kind.fixed_count());
        }
        Kind::Record => {
            for field in entries(&kind.fields) {
                free_parts(heap, type_at(field.kind), value.add(field.offset));
            }
        }
        Kind::Set | Kind::Bag => set::free_parts(heap, kind, value),
        Kind::Graph => graph::free_parts(heap, kind, value),
        Kind::Object => object::drop_cell(heap, value.follow()),
        _ => {}
    }
}

/// Frees the parts of `count` values that lie one after the other.
fn free_elements(heap: Heap, element: &Type, first: Place, count: u64) {
    if element.is_plain() {
        return;
    }
    for i in 0..count {
        free_parts(heap, element, first.element(i, element.size));
    }
}

/// Makes zeroed bytes a deep copy of the source. On failure the destination is some valid value, to be freed by the caller.
pub(crate) fn fill(
    heap: Heap,
    kind: &Type,
    destination: Place,
    source: Place,
) -> Result<(), OutOfMemory> {
    if kind.is_plain() {
        destination.copy_from(source, kind.size);
        return Ok(());
    }
    match kind.kind {
        Kind::Array => array::fill(heap, kind, destination, source),
        Kind::FixedArray => {
            let element = kind.element_type();
            fill_elements(heap, element, destination, source, kind.fixed_count())
        }
        Kind::Record => {
            for field in entries(&kind.fields) {
                let at = field.offset;
                fill(
                    heap,
                    type_at(field.kind),
                    destination.add(at),
                    source.add(at),
                )?;
            }
            Ok(())
        }
        Kind::Set | Kind::Bag => set::fill(heap, kind, destination, source),
        Kind::Graph => graph::fill(heap, kind, destination, source),
        Kind::Object => object::fill(heap, destination, source),
        _ => unreachable!("a value of kind {:?} is plain", kind.kind),
    }
}

fn fill_elements(
    heap: Heap,
    element: &Type,
    destination: Place,
    source: Place,
    count: u64,
) -> Result<(), OutOfMemory> {
    if element.is_plain() {
        destination.copy_from(source, count * element.size);
        return Ok(());
    }
    for i in 0..count {
        let at = i * element.size;
        fill(heap, element, destination.add(at), source.add(at))?;
    }
    Ok(())
}

/// A zeroed value of some type that is freed, with its parts, when dropped.
pub(crate) struct Scratch<'a> {
    heap: Heap,
    kind: &'a Type,
    pub(crate) place: Place,
}

impl<'a> Scratch<'a> {
    pub(crate) fn new(heap: Heap, kind: &'a Type) -> Result<Scratch<'a>, OutOfMemory> {
        let place = heap.allocate(kind.size)?;
        Ok(Scratch { heap, kind, place })
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        free_parts(self.heap, self.kind, self.place);
        self.heap.release(self.place, self.kind.size);
    }
}
