//! Objects as values: cells and the state in them.
//!
//! A cell is a block of the heap: a private word for the run-time system, the head that compiled code knows, and the state record. A
//! cell that is shared belongs to the object table; whoever drops the variable only notes it ([`Heap::note_released`]).
//!
//! Implements: ORCA 4.11, 9.2.

use orca_abi::descriptor::Object;
use orca_abi::types::Type;
use orca_abi::value::{ObjectCell, UNSHARED};

use super::describe::{object_at, type_at};
use super::place::Place;
use super::{Scratch, fill as fill_value, free_parts, move_value};
use crate::heap::{Heap, OutOfMemory};

/// The private words before a cell.
const PREFIX_BYTES: u64 = 16;

fn state_type(descriptor: &Object) -> &'static Type {
    type_at(descriptor.state)
}

fn block_bytes(descriptor: &Object) -> u64 {
    PREFIX_BYTES + ObjectCell::STATE_OFFSET + state_type(descriptor).size
}

/// A new unshared object, its state all zero.
pub(crate) fn make(heap: Heap, descriptor: &'static Object) -> Result<Place, OutOfMemory> {
    let cell = heap.allocate(block_bytes(descriptor))?.add(PREFIX_BYTES);
    cell.set(ObjectCell {
        status: UNSHARED,
        index: 0,
        descriptor,
    });
    Ok(cell)
}

/// The head of a cell.
pub(crate) fn head(cell: Place) -> ObjectCell {
    cell.get()
}

/// The type of the object in a cell.
pub(crate) fn descriptor(cell: Place) -> &'static Object {
    object_at(head(cell).descriptor)
}

/// Changes how a cell is shared.
pub(crate) fn set_status(cell: Place, status: u32, index: u32) {
    let descriptor = head(cell).descriptor;
    cell.set(ObjectCell { status, index, descriptor });
}

/// Where the state record lies.
pub(crate) fn state(cell: Place) -> Place {
    cell.add(ObjectCell::STATE_OFFSET)
}

/// The cell whose private word this is.
pub(crate) fn cell_of_link(link: Place) -> Place {
    link.add(PREFIX_BYTES)
}

/// Frees a cell and everything in it.
pub(crate) fn destroy(heap: Heap, cell: Place) {
    let descriptor = descriptor(cell);
    free_parts(heap, state_type(descriptor), state(cell));
    heap.release(
        cell.add(PREFIX_BYTES.wrapping_neg()),
        block_bytes(descriptor),
    );
}

/// A variable of object type dies.
pub(super) fn drop_cell(heap: Heap, cell: Place) {
    if cell.is_null() {
        return;
    }
    if head(cell).status == UNSHARED {
        destroy(heap, cell);
    } else {
        heap.note_released(cell.add(PREFIX_BYTES.wrapping_neg()));
    }
}

/// Makes a zeroed variable a new object with the state of another.
pub(super) fn fill(heap: Heap, destination: Place, source: Place) -> Result<(), OutOfMemory> {
    let from = source.follow();
    if from.is_null() {
        return Ok(());
    }
    let descriptor = descriptor(from);
    let cell = make(heap, descriptor)?;
    destination.refer_to(cell);
    fill_value(heap, state_type(descriptor), state(cell), state(from))
}

/// Gives an object the state of another.
pub(crate) fn copy_state(heap: Heap, to: Place, from: Place) -> Result<(), OutOfMemory> {
    if to == from || from.is_null() {
        return Ok(());
    }
    let kind = state_type(descriptor(from));
    let scratch = Scratch::new(heap, kind)?;
    fill_value(heap, kind, scratch.place, state(from))?;
    move_value(heap, kind, state(to), scratch.place);
    Ok(())
}
