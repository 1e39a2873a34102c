//! Values to bytes and back, by walking their types.
//!
//! The format is little-endian and has no padding: plain values without reals or padding inside go as they are, records field by
//! field, arrays with their dimensions in front, sets and bags oldest element first, graphs with ages and free list, objects as their
//! state. Both ends know the type, so nothing else is told.
//!
//! Decoding trusts nothing: a count is believed only as far as the bytes that follow could hold so many elements, and
//! what a graph says about its own free list is checked. A failed decode leaves a value that can be freed.
//!
//! Implements: [Thesis §4.3.1] marshalling.

use orca_abi::types::{Kind, Type};
use orca_abi::value::{Dimension, Graph, NodeSlot};

use crate::heap::{Heap, OutOfMemory};
use crate::value::compare::Hasher;
use crate::value::describe::{Describe, entries, type_at};
use crate::value::place::Place;
use crate::value::{Scratch, array, graph, object, set};

/// Elements that take no bytes are believed up to this count.
const EMPTY_ELEMENTS_MAX: u64 = 1 << 20;
/// Each element that is not raw takes at least so many bytes.
const STRUCTURED_BYTES_MIN: u64 = 1;

/// Why bytes are no value of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the message is too short")]
    Short,
    #[error("the message contradicts itself")]
    Malformed,
    #[error("out of memory")]
    OutOfMemory,
}

impl From<OutOfMemory> for DecodeError {
    fn from(_: OutOfMemory) -> DecodeError {
        DecodeError::OutOfMemory
    }
}

/// Bytes being read.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8], DecodeError> {
        if count > self.rest.len() as u64 {
            return Err(DecodeError::Short);
        }
        let (taken, rest) = self.rest.split_at(count as usize);
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into().expect("two bytes")))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed)
        }
    }

    /// A count of elements, believed if the rest can hold so many.
    fn check_count(&self, element: &Type, count: u64) -> Result<(), DecodeError> {
        let bytes_min = if element.is_raw() {
            element.size
        } else {
            STRUCTURED_BYTES_MIN
        };
        let believed = match count.checked_mul(bytes_min) {
            Some(0) => count <= EMPTY_ELEMENTS_MAX,
            Some(bytes) => bytes <= self.rest.len() as u64,
            None => false,
        };
        if believed { Ok(()) } else { Err(DecodeError::Short) }
    }
}

/// Appends a value.
pub(crate) fn encode(kind: &Type, value: Place, out: &mut Vec<u8>) {
    if kind.is_raw() {
        out.extend_from_slice(value.bytes(kind.size));
        return;
    }
    match kind.kind {
        Kind::Array => {
            for dimension in array::dimensions(kind, value) {
                out.extend_from_slice(&dimension.lower.to_le_bytes());
                out.extend_from_slice(&dimension.count.to_le_bytes());
            }
            let (first, count) = array::elements_of(kind, value);
            encode_elements(kind.element_type(), first, count, out);
        }
        Kind::FixedArray => {
            encode_elements(kind.element_type(), value, kind.fixed_count(), out);
        }
        Kind::Record => {
            let start = out.len();
            for field in entries(&kind.fields) {
                encode(type_at(field.kind), value.add(field.offset), out);
            }
            if out.len() == start {
                // So that every structured element takes a byte.
                out.push(0);
            }
        }
        Kind::Set | Kind::Bag => {
            out.extend_from_slice(&set::count(value).to_le_bytes());
            for element in set::places(kind, value) {
                encode(kind.element_type(), element, out);
            }
        }
        Kind::Graph => encode_graph(kind, value, out),
        Kind::Object => {
            let cell = value.follow();
            out.push(u8::from(!cell.is_null()));
            if !cell.is_null() {
                encode_state(cell, out);
            }
        }
        _ => out.extend_from_slice(value.bytes(kind.size)),
    }
}

/// Appends the state of an object.
pub(crate) fn encode_state(cell: Place, out: &mut Vec<u8>) {
    encode(
        type_at(object::descriptor(cell).state),
        object::state(cell),
        out,
    );
}

fn encode_elements(element: &Type, first: Place, count: u64, out: &mut Vec<u8>) {
    if element.is_raw() {
        out.extend_from_slice(first.bytes(count * element.size));
        return;
    }
    for i in 0..count {
        encode(element, first.element(i, element.size), out);
    }
}

fn encode_graph(kind: &Type, value: Place, out: &mut Vec<u8>) {
    let head: Graph = value.get();
    out.extend_from_slice(&head.count.to_le_bytes());
    out.extend_from_slice(&head.free.to_le_bytes());
    for index in 0..head.count {
        let slot = graph::slot(kind, &head, index);
        let note: NodeSlot = slot.get();
        out.extend_from_slice(&note.age.to_le_bytes());
        if graph::in_use(slot) {
            encode(kind.element_type(), graph::fields(slot), out);
        } else {
            out.extend_from_slice(&note.next_free.to_le_bytes());
        }
    }
    encode(kind.root_type(), graph::root(value), out);
}

/// Makes zeroed bytes the value that was encoded.
pub(crate) fn decode(
    heap: Heap,
    kind: &Type,
    value: Place,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    if kind.is_raw() {
        let bytes = reader.take(kind.size)?;
        value.bytes_mut(kind.size).copy_from_slice(bytes);
        return Ok(());
    }
    match kind.kind {
        Kind::Array => decode_array(heap, kind, value, reader),
        Kind::FixedArray => {
            decode_elements(heap, kind.element_type(), value, kind.fixed_count(), reader)
        }
        Kind::Record => {
            let start = reader.rest.len();
            for field in entries(&kind.fields) {
                decode(heap, type_at(field.kind), value.add(field.offset), reader)?;
            }
            if reader.rest.len() == start && reader.u8()? != 0 {
                return Err(DecodeError::Malformed);
            }
            Ok(())
        }
        Kind::Set | Kind::Bag => {
            let count = reader.u32()?;
            reader.check_count(kind.element_type(), u64::from(count))?;
            let element = Scratch::new(heap, kind.element_type())?;
            for _ in 0..count {
                decode(heap, kind.element_type(), element.place, reader)?;
                set::insert_moved(heap, kind, value, element.place)?;
                crate::value::free(heap, kind.element_type(), element.place);
            }
            Ok(())
        }
        Kind::Graph => decode_graph(heap, kind, value, reader),
        Kind::Object => match reader.u8()? {
            0 => Ok(()),
            1 => {
                let cell = object::make(heap, kind.object_type())?;
                value.refer_to(cell);
                decode_state(heap, cell, reader)
            }
            _ => Err(DecodeError::Malformed),
        },
        _ => {
            let bytes = reader.take(kind.size)?;
            value.bytes_mut(kind.size).copy_from_slice(bytes);
            Ok(())
        }
    }
}

/// Decodes the state of a new object.
pub(crate) fn decode_state(
    heap: Heap,
    cell: Place,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    let kind = type_at(object::descriptor(cell).state);
    decode(heap, kind, object::state(cell), reader)
}

/// Reads the dimensions of an array.
pub(crate) fn decode_dimensions(
    kind: &Type,
    reader: &mut Reader<'_>,
) -> Result<(Vec<Dimension>, u64), DecodeError> {
    let mut dimensions = Vec::with_capacity(kind.dimensions as usize);
    for _ in 0..kind.dimensions {
        let lower = reader.u32()? as i32;
        let count = reader.u32()? as i32;
        dimensions.push(Dimension { lower, count });
    }
    let count = array::element_count(&dimensions).ok_or(DecodeError::Malformed)?;
    Ok((dimensions, count))
}

fn decode_array(
    heap: Heap,
    kind: &Type,
    value: Place,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    let (dimensions, count) = decode_dimensions(kind, reader)?;
    reader.check_count(kind.element_type(), count)?;
    array::make(heap, kind, value, &dimensions)?;
    let first = array::elements(kind, value);
    decode_elements(heap, kind.element_type(), first, count, reader)
}

fn decode_elements(
    heap: Heap,
    element: &Type,
    first: Place,
    count: u64,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    if element.is_raw() {
        let bytes = count * element.size;
        first.bytes_mut(bytes).copy_from_slice(reader.take(bytes)?);
        return Ok(());
    }
    for i in 0..count {
        decode(heap, element, first.element(i, element.size), reader)?;
    }
    Ok(())
}

fn decode_graph(
    heap: Heap,
    kind: &Type,
    value: Place,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    let count = reader.u32()?;
    let free = reader.u32()?;
    // A slot takes at least the bytes of its age.
    if u64::from(count) * 4 > reader.rest.len() as u64 || free > count {
        return Err(DecodeError::Malformed);
    }
    if count != 0 {
        graph::make_slots(heap, kind, value, count)?;
    }
    let mut head: Graph = value.get();
    let mut free_count = 0;
    for index in 0..count {
        let slot = graph::slot(kind, &head, index);
        let age = reader.u32()?;
        if age == 0 || age > i32::MAX as u32 {
            return Err(DecodeError::Malformed);
        }
        if age % 2 == 1 {
            slot.set(NodeSlot { age, next_free: 0 });
            head.live += 1;
            decode(heap, kind.element_type(), graph::fields(slot), reader)?;
        } else {
            let next_free = reader.u32()?;
            if next_free > count {
                return Err(DecodeError::Malformed);
            }
            free_count += 1;
            slot.set(NodeSlot { age, next_free });
        }
    }
    // The free list must end, and hold free slots only.
    let mut next = free;
    for _ in 0..=free_count {
        if next == 0 {
            head.free = free;
            value.set(head);
            return decode(heap, kind.root_type(), graph::root(value), reader);
        }
        let slot = graph::slot(kind, &head, next - 1);
        if graph::in_use(slot) {
            return Err(DecodeError::Malformed);
        }
        next = slot.get::<NodeSlot>().next_free;
    }
    Err(DecodeError::Malformed)
}

/// A hash over everything that a value is, order and ages included: equal on replicas that agree.
pub(crate) fn digest(kind: &Type, value: Place) -> u64 {
    let mut bytes = Vec::new();
    encode(kind, value, &mut bytes);
    let mut hasher = Hasher::new();
    hasher.bytes(&bytes);
    hasher.finish()
}
