//! Argument tables that the run-time system owns: of processes, and of operations that another processor invoked.
//!
//! One block holds the table of addresses and the values behind it. IN values are decoded; OUT values and the result are zero; a
//! shared object is its cell's address, an array of shared objects an array of such addresses, which owns its elements' block but
//! not the objects.
//!
//! Implements: ORCA 7, 12.

use orca_abi::descriptor::{Mode, Operation, Parameter, Process};
use orca_abi::types::{Kind, Type};
use orca_abi::value::Dimension;
use stack::flip_net::step;
use stack::flip_net::walk::Walk;

use crate::heap::{Heap, OutOfMemory};
use crate::marshal::{self, DecodeError, Reader};
use crate::value::describe::{Describe, entries, optional_type, type_at};
use crate::value::place::Place;
use crate::value::{array, free, object};

/// A table and its values; freed when dropped.
pub(crate) struct OwnedArguments {
    heap: Heap,
    block: Place,
    bytes: u64,
    parameters: &'static [Parameter],
    result: Option<&'static Type>,
}

/// Bytes that a parameter needs beside its address: none for objects, which have cells.
fn value_bytes(kind: &Type) -> u64 {
    match kind.kind {
        Kind::Object => 0,
        _ => kind.size.next_multiple_of(16),
    }
}

impl OwnedArguments {
    fn new(
        heap: Heap,
        parameters: &'static [Parameter],
        result: Option<&'static Type>,
    ) -> Result<OwnedArguments, OutOfMemory> {
        let slots = parameters.len() as u64 + u64::from(result.is_some());
        let kinds = || {
            let of_parameters = parameters.iter().map(|parameter| type_at(parameter.kind));
            of_parameters.chain(result)
        };
        let head = (slots * 8).next_multiple_of(16);
        let bytes = head + kinds().map(value_bytes).sum::<u64>();
        let block = heap.allocate(bytes)?;
        let mut at = block.add(head);
        for (index, kind) in kinds().enumerate() {
            if kind.kind != Kind::Object {
                block.element(index as u64, 8).refer_to(at);
            }
            at = at.add(value_bytes(kind));
        }
        Ok(OwnedArguments {
            heap,
            block,
            bytes,
            parameters,
            result,
        })
    }

    /// The arguments of an operation, as [`encode_in`] wrote them.
    pub(crate) fn of_operation(
        heap: Heap,
        operation: &'static Operation,
        bytes: &[u8],
    ) -> Result<OwnedArguments, DecodeError> {
        let parameters = entries(&operation.parameters);
        let arguments = OwnedArguments::new(heap, parameters, optional_type(operation.result))?;
        let mut reader = Reader::new(bytes);
        for (index, parameter) in parameters.iter().enumerate() {
            if parameter.mode == Mode::In {
                arguments.decode_in(index, &mut reader)?;
            }
        }
        reader.finish()?;
        Ok(arguments)
    }

    /// Zeroed arguments of a process.
    pub(crate) fn of_process(
        heap: Heap,
        process: &'static Process,
    ) -> Result<OwnedArguments, OutOfMemory> {
        OwnedArguments::new(heap, entries(&process.parameters), None)
    }

    /// Decodes an IN argument into its place.
    pub(crate) fn decode_in(
        &self,
        index: usize,
        reader: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        let kind = type_at(self.parameters[index].kind);
        if kind.kind == Kind::Object {
            let cell = object::make(self.heap, kind.object_type())?;
            self.slot(index).refer_to(cell);
            marshal::decode_state(self.heap, cell, reader)
        } else {
            marshal::decode(self.heap, kind, self.value(index), reader)
        }
    }

    /// Sets a shared argument: one object, or an array of them with these bounds.
    pub(crate) fn set_shared(
        &self,
        index: usize,
        dimensions: &[Dimension],
        cells: &[Place],
    ) -> Result<(), OutOfMemory> {
        let kind = type_at(self.parameters[index].kind);
        let first = match kind.kind {
            Kind::Object => self.slot(index),
            Kind::FixedArray => self.value(index),
            _ => {
                array::make(self.heap, kind, self.value(index), dimensions)?;
                array::elements(kind, self.value(index))
            }
        };
        for (i, cell) in cells.iter().enumerate() {
            first.element(i as u64, 8).refer_to(*cell);
        }
        Ok(())
    }

    /// The table of addresses.
    pub(crate) fn table(&self) -> Place {
        self.block
    }

    fn slot(&self, index: usize) -> Place {
        self.block.element(index as u64, 8)
    }

    fn value(&self, index: usize) -> Place {
        self.slot(index).follow()
    }

    fn free_parameter(&self, index: usize, parameter: &Parameter) {
        let kind = type_at(parameter.kind);
        match (parameter.mode, kind.kind) {
            (Mode::Shared, Kind::Array) => {
                // The elements are cells that belong to the object table.
                let value = self.value(index);
                let count = array::count(value);
                if count != 0 {
                    let bytes = count * kind.element_type().size;
                    self.heap.release(array::elements(kind, value), bytes);
                }
            }
            (Mode::Shared, _) => {}
            (_, Kind::Object) => {
                let cell = self.value(index);
                if !cell.is_null() {
                    object::destroy(self.heap, cell);
                }
            }
            _ => free(self.heap, kind, self.value(index)),
        }
    }
}

impl Drop for OwnedArguments {
    fn drop(&mut self) {
        for (index, parameter) in self.parameters.iter().enumerate() {
            self.free_parameter(index, parameter);
        }
        if let Some(kind) = self.result {
            let index = self.parameters.len();
            if kind.kind == Kind::Object {
                let cell = self.value(index);
                if !cell.is_null() {
                    object::destroy(self.heap, cell);
                }
            } else {
                free(self.heap, kind, self.value(index));
            }
        }
        self.heap.release(self.block, self.bytes);
    }
}

/// Appends one IN argument: a value, or the state of an object.
pub(crate) fn encode_in(kind: &Type, argument: Place, out: &mut Vec<u8>) {
    if kind.kind == Kind::Object {
        marshal::encode_state(argument, out);
    } else {
        marshal::encode(kind, argument, out);
    }
}

/// The IN arguments of an operation, from the caller's table.
pub(crate) fn encode_operation(operation: &Operation, table: Place, walk: &Walk) -> Vec<u8> {
    step!(walk);
    let mut out = Vec::new();
    for (index, parameter) in entries(&operation.parameters).iter().enumerate() {
        if parameter.mode == Mode::In {
            let argument = table.element(index as u64, 8).follow();
            encode_in(type_at(parameter.kind), argument, &mut out);
        }
    }
    out
}
