//! Operations that come in the total order: done on this replica, in order, whoever invoked them.
//!
//! The invoker's processor uses the waiting process's own arguments, the others decode a copy. Output and run-time errors are
//! the invoker's; the others do the operation muted, and when it traps they wait for the invoker's report.
//!
//! Implements: [Thesis §4.3.1] write operations; ORCA 9.4, 9.8.

use stack::flip_net::step;

use super::call::{Call, WRITE_STATE, operation};
use super::guard::{Attempt, GuardQueue};
use super::{Arguments, Blocked, ObjectId, arguments::OwnedArguments};
use crate::kernel::Kernel;
use crate::marshal::{DecodeError, Reader};
use crate::message::Message;
use crate::process::ProcessId;
use crate::trap::Failure;
use crate::value::describe::{entries, type_at};
use crate::value::{Scratch, move_value, object};
use crate::{marshal, value::place::Place};

/// In debug builds a replica is hashed each time it has been written so often.
const HASH_INTERVAL: u64 = 64;

/// A write as it came.
pub(crate) struct DeliveredWrite<'a> {
    pub(crate) object: ObjectId,
    pub(crate) operation: u32,
    pub(crate) invocation: u64,
    pub(crate) process: u32,
    pub(crate) site: u32,
    pub(crate) arguments: &'a [u8],
}

impl Kernel {
    /// A write was delivered.
    pub(crate) fn on_write(&mut self, from: u32, write: DeliveredWrite<'_>) {
        step!(self.walk);
        let Some(shared) = self.objects.get(write.object) else {
            return self.on_bad_message(from, "a write to an object that does not exist");
        };
        let descriptor = shared.descriptor();
        let cell = shared.cell;
        if write.operation as usize >= entries(&descriptor.operations).len() {
            return self.on_bad_message(from, "an operation that does not exist");
        }
        if write.operation == WRITE_STATE {
            return self.on_write_state(from, cell, &write);
        }
        let invoked_here = from == self.me;
        let (process, arguments) = if invoked_here {
            let process = ProcessId(write.process);
            let Some(table) = self.finish_invocation(process, write.invocation) else {
                return self.on_bad_message(from, "an invocation that nobody made");
            };
            (Some(process), Arguments::Callers(table))
        } else {
            let operation = operation(descriptor, write.operation);
            match OwnedArguments::of_operation(self.heap, operation, write.arguments) {
                Ok(owned) => (None, Arguments::Owned(owned)),
                Err(error) => return self.on_decode_error(from, error),
            }
        };
        let blocked = Blocked {
            operation: write.operation,
            invoker: from,
            site: write.site,
            process,
            arguments,
            is_replicated: true,
        };
        self.apply_operation(write.object, blocked);
    }

    fn on_write_state(&mut self, from: u32, cell: Place, write: &DeliveredWrite<'_>) {
        let kind = type_at(object::descriptor(cell).state);
        let mut reader = Reader::new(write.arguments);
        let result = Scratch::new(self.heap, kind)
            .map_err(DecodeError::from)
            .and_then(|scratch| {
                marshal::decode(self.heap, kind, scratch.place, &mut reader)?;
                reader.finish()?;
                move_value(self.heap, kind, object::state(cell), scratch.place);
                Ok(())
            });
        if let Err(error) = result {
            return self.on_decode_error(from, error);
        }
        if from == self.me {
            let process = ProcessId(write.process);
            if self.finish_invocation(process, write.invocation).is_none() {
                return self.on_bad_message(from, "an assignment that nobody made");
            }
            self.next_assignment(process);
        }
        self.after_write(write.object);
    }

    /// Tries an invocation that has its place in the total order; it may complete, block or trap.
    pub(crate) fn apply_operation(&mut self, id: ObjectId, blocked: Blocked) {
        step!(self.walk);
        let Some(cell) = self.objects.get(id).map(|shared| shared.cell) else {
            return self.on_bad_message(blocked.invoker, "an object that does not exist");
        };
        match self.attempt_blocked(cell, &blocked) {
            Attempt::Blocked => self.block(id, blocked),
            Attempt::Read => self.complete(blocked),
            Attempt::Wrote => {
                self.complete(blocked);
                self.after_write(id);
            }
            Attempt::Trapped => {}
        }
    }

    /// Puts an invocation into its object's queue.
    pub(crate) fn block(&mut self, id: ObjectId, blocked: Blocked) {
        if let Some(process) = blocked.process {
            let waiting = (id, blocked.operation, blocked.site);
            self.set_state(process, crate::process::State::Blocked(waiting));
        }
        match self.objects.get_mut(id) {
            Some(shared) => shared.queue.push(blocked),
            None => self.on_bad_message(self.me, "an object that does not exist"),
        }
    }

    fn attempt_blocked(&mut self, cell: Place, blocked: &Blocked) -> Attempt {
        let call = Call {
            cell,
            operation: blocked.operation,
            table: blocked.arguments.table(),
            invoker: blocked.invoker,
            site: blocked.site,
            only_reads: !blocked.is_replicated,
        };
        match self.attempt(call) {
            Ok(attempt) => attempt,
            Err(failure) => {
                self.on_trapped(blocked, failure);
                Attempt::Trapped
            }
        }
    }

    fn on_trapped(&mut self, blocked: &Blocked, failure: Failure) {
        if blocked.is_replicated {
            self.expect_trap_from(blocked.invoker);
        }
        if blocked.invoker == self.me || failure.is_local {
            self.fail(failure);
        }
    }

    fn complete(&mut self, blocked: Blocked) {
        if let Some(process) = blocked.process {
            self.wake(process);
        }
    }

    /// Tries the waiting invocations after a completed write.
    fn after_write(&mut self, id: ObjectId) {
        step!(self.walk);
        let Some(shared) = self.objects.get_mut(id) else {
            return;
        };
        shared.writes += 1;
        let cell = shared.cell;
        if !shared.queue.is_empty() {
            let mut queue: GuardQueue<Blocked> = std::mem::take(&mut shared.queue);
            let mut writes = 0;
            let mut completed = Vec::new();
            queue.scan(
                |blocked| {
                    let attempt = self.attempt_blocked(cell, blocked);
                    writes += u64::from(attempt == Attempt::Wrote);
                    attempt
                },
                |blocked| completed.push(blocked),
            );
            if let Some(shared) = self.objects.get_mut(id) {
                shared.queue = queue;
                shared.writes += writes;
            }
            for blocked in completed {
                self.complete(blocked);
            }
        }
        if cfg!(debug_assertions) && self.ncpus > 1 {
            self.hash_replica(id);
        }
    }

    /// Hashes a replica now and then; processor 0 tells the others.
    fn hash_replica(&mut self, id: ObjectId) {
        let me = self.me;
        let Some(shared) = self.objects.get_mut(id) else {
            return;
        };
        if shared.writes - shared.hashed.0 < HASH_INTERVAL {
            return;
        }
        let digest = marshal::digest(
            type_at(shared.descriptor().state),
            object::state(shared.cell),
        );
        let writes = shared.writes;
        shared.hashed = (writes, digest);
        if me == 0 {
            self.broadcast(&Message::ReplicaHash {
                object: id.0,
                writes,
                digest,
            });
        }
    }

    /// Processor 0 told the hash of its replica.
    pub(crate) fn on_replica_hash(&mut self, id: ObjectId, writes: u64, digest: u64) {
        let Some(shared) = self.objects.get(id) else {
            return;
        };
        if shared.hashed.0 == writes && shared.hashed.1 != digest {
            let name = crate::value::describe::text(&shared.descriptor().name);
            let what = format!("replicas of an object of type {name} differ after {writes} writes");
            let failure = self.internal_failure(&what);
            self.fail(failure);
        }
    }
}
