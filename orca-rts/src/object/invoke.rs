//! Invocations by processes of this processor: done at once where that is possible, else broadcast or queued.
//!
//! Reads run on the local copy. An operation that may write is broadcast and done by every processor in the total order; the
//! process goes on when its own processor has done it. A read whose guards all fail waits here alone.
//!
//! Implements: [Thesis §4.3.1, §4.3.2]; ORCA 9.5, 9.8.

use orca_abi::control::Request;
use orca_abi::trap::Trap;
use orca_abi::types::{Kind, Type};
use orca_abi::value::UNSHARED;
use stack::flip_net::step;

use super::call::{Call, WRITE_STATE, may_write, operation};
use super::guard::Attempt;
use super::{Arguments, Blocked, ObjectId, arguments};
use crate::heap::OutOfMemory;
use crate::kernel::Kernel;
use crate::marshal;
use crate::message::Message;
use crate::process::{ProcessId, State};
use crate::value::describe::{Describe, entries, type_at};
use crate::value::place::Place;
use crate::value::{array, copy, object};

/// A shared object that an assignment gives a new state.
#[derive(Debug)]
pub(crate) struct Assignment {
    object: ObjectId,
    state: Vec<u8>,
}

impl Kernel {
    /// `Entry::Invoke`.
    pub(crate) fn on_invoke(&mut self, process: ProcessId, request: &Request) {
        step!(self.walk);
        let [cell, index, table, site, _] = request.integers;
        let (cell, table) = (crate::entry::place(cell), crate::entry::place(table));
        let (index, site) = (index as u32, site as u32);
        let head = object::head(cell);
        if index == WRITE_STATE && head.status != UNSHARED {
            let mut state = Vec::new();
            marshal::encode(
                type_at(object::descriptor(cell).state),
                table.follow(),
                &mut state,
            );
            let object = ObjectId(head.index);
            self.process_mut(process).assignments = vec![Assignment { object, state }];
            return self.next_assignment(process);
        }
        let call = Call {
            cell,
            operation: index,
            table,
            invoker: self.me,
            site,
            only_reads: head.status != UNSHARED,
        };
        let attempt = match self.attempt(call) {
            Ok(attempt) => attempt,
            Err(failure) => return self.fail(failure),
        };
        if attempt != Attempt::Blocked {
            return self.ready.push_front(process);
        }
        if head.status == UNSHARED {
            let failure = self.trap_failure(Trap::LocalDeadlock, site, self.me);
            return self.fail(failure);
        }
        let object = ObjectId(head.index);
        if may_write(object::descriptor(cell), index) {
            self.broadcast_write(process, object, index, site, table);
        } else {
            self.block(
                object,
                Blocked {
                    operation: index,
                    invoker: self.me,
                    site,
                    process: Some(process),
                    arguments: Arguments::Callers(table),
                    is_replicated: false,
                },
            );
        }
    }

    fn broadcast_write(
        &mut self,
        process: ProcessId,
        object: ObjectId,
        index: u32,
        site: u32,
        table: Place,
    ) {
        step!(self.walk);
        self.set_state(process, State::Invoking);
        if self.ncpus == 1 {
            // Alone, the order of invocations is the total order.
            self.on_activity(self.applied + 1);
            return self.apply_operation(
                object,
                Blocked {
                    operation: index,
                    invoker: self.me,
                    site,
                    process: Some(process),
                    arguments: Arguments::Callers(table),
                    is_replicated: true,
                },
            );
        }
        let Some(shared) = self.objects.get(object) else {
            let failure = self.internal_failure("an operation on an object that is not shared");
            return self.fail(failure);
        };
        let operation = operation(shared.descriptor(), index);
        let arguments = arguments::encode_operation(operation, table, &self.walk);
        let invocation = self.begin_invocation(process, table);
        self.broadcast(&Message::Write {
            object: object.0,
            operation: index,
            invocation,
            process: process.0,
            site,
            arguments: &arguments,
        });
    }

    /// `Entry::AssignShared`.
    pub(crate) fn on_assign(&mut self, process: ProcessId, request: &Request) {
        let [kind, destination, source, site, _] = request.integers;
        let (destination, source) = (
            crate::entry::place(destination),
            crate::entry::place(source),
        );
        let mut assignments = Vec::new();
        let result = self.assign(
            crate::entry::kind(kind),
            destination,
            source,
            &mut assignments,
        );
        if result.is_err() {
            let failure = self.trap_failure(Trap::OutOfMemory, site as u32, self.me);
            return self.fail(failure);
        }
        assignments.reverse();
        self.process_mut(process).assignments = assignments;
        self.next_assignment(process);
    }

    /// Goes on with an assignment to shared objects; the process is ready after the last one.
    pub(crate) fn next_assignment(&mut self, process: ProcessId) {
        let Some(Assignment { object, state }) = self.process_mut(process).assignments.pop() else {
            return self.ready.push_front(process);
        };
        self.set_state(process, State::Invoking);
        let invocation = self.begin_invocation(process, Place::NULL);
        self.broadcast(&Message::Write {
            object: object.0,
            operation: WRITE_STATE,
            invocation,
            process: process.0,
            site: u32::MAX,
            arguments: &state,
        });
    }

    /// Assigns everything but shared objects, and collects those.
    fn assign(
        &self,
        kind: &Type,
        destination: Place,
        source: Place,
        shared: &mut Vec<Assignment>,
    ) -> Result<(), OutOfMemory> {
        if !kind.has_object() || destination == source {
            return copy(self.heap, kind, destination, source);
        }
        match kind.kind {
            Kind::Object => {
                let (to, from) = (destination.follow(), source.follow());
                let head = object::head(to);
                if head.status == UNSHARED || from.is_null() {
                    return object::copy_state(self.heap, to, from);
                }
                let mut state = Vec::new();
                marshal::encode_state(from, &mut state);
                shared.push(Assignment {
                    object: ObjectId(head.index),
                    state,
                });
                Ok(())
            }
            Kind::Record => {
                for field in entries(&kind.fields) {
                    let at = field.offset;
                    let (to, from) = (destination.add(at), source.add(at));
                    self.assign(type_at(field.kind), to, from, shared)?;
                }
                Ok(())
            }
            Kind::FixedArray => {
                self.assign_elements(kind, (destination, source), kind.fixed_count(), shared)
            }
            Kind::Array
                if array::dimensions(kind, destination).eq(array::dimensions(kind, source)) =>
            {
                let to = array::elements(kind, destination);
                let from = array::elements(kind, source);
                self.assign_elements(kind, (to, from), array::count(source), shared)
            }
            // Other bounds, or nodes: the components of the destination die, and new ones are made.
            _ => copy(self.heap, kind, destination, source),
        }
    }

    fn assign_elements(
        &self,
        kind: &Type,
        (to, from): (Place, Place),
        count: u64,
        shared: &mut Vec<Assignment>,
    ) -> Result<(), OutOfMemory> {
        let element = kind.element_type();
        for i in 0..count {
            let at = i * element.size;
            self.assign(element, to.add(at), from.add(at), shared)?;
        }
        Ok(())
    }
}
