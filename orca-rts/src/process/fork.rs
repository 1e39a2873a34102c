//! FORK and the end of a process.
//!
//! A FORK is an ordered message, so that all processors count processes and holds on objects alike. Its arguments travel as
//!
//! ```text
//! IN parameter            length (32), the encoded value
//! SHARED object           one reference
//! SHARED array of objects lower bound and count of each dimension (32 each; none if the type has bounds), a reference an element
//! reference               0, number (32)            an object that is shared already
//!                         1, length (32), state     an object that becomes shared now, and gets the next number
//!                         2, k (32)                 the k-th object that becomes shared by this message
//! ```
//!
//! The forker waits until its own processor has delivered the message, so its object's state cannot change on the way.
//!
//! Implements: [Thesis §4.3.1] FORK; ORCA 7.4, 9.9, 9.10.

use orca_abi::control::Request;
use orca_abi::descriptor::{Mode, Process as ProcessType};
use orca_abi::trap::Trap;
use orca_abi::types::{Kind, Type};
use orca_abi::value::{Dimension, REPLICATED, UNSHARED};

use super::{Process, ProcessId, Resume, Role, State};
use crate::heap::OutOfMemory;
use crate::kernel::Kernel;
use crate::marshal::{self, DecodeError, Reader};
use crate::message::Message;
use crate::object::ObjectId;
use crate::object::arguments::{OwnedArguments, encode_in};
use crate::placement;
use crate::value::describe::{Describe, entries, type_at};
use crate::value::place::Place;
use crate::value::{array, object};

const KNOWN: u8 = 0;
const NEW: u8 = 1;
const SAME: u8 = 2;

/// A fork as it came.
pub(crate) struct DeliveredFork<'a> {
    pub(crate) process: u32,
    pub(crate) cpu: u32,
    pub(crate) invocation: u64,
    pub(crate) forker: u32,
    pub(crate) arguments: &'a [u8],
}

/// The objects that an argument refers to: one, or the elements of an array.
fn cells_of(kind: &Type, argument: Place) -> Vec<Place> {
    if kind.kind == Kind::Object {
        return vec![argument];
    }
    let (first, count) = array::elements_of(kind, argument);
    (0..count).map(|i| first.element(i, 8).follow()).collect()
}

impl Kernel {
    /// `Entry::Fork`.
    pub(crate) fn on_fork(&mut self, forker: ProcessId, request: &Request) {
        let [process, table, cpu, site, _] = request.integers;
        let (process, cpu, site) = (process as u32, cpu as i32, site as u32);
        let table = crate::entry::place(table);
        let cpu = match cpu {
            -1 => self.me,
            cpu => match u32::try_from(cpu).ok().filter(|&cpu| cpu < self.ncpus) {
                Some(cpu) => cpu,
                None => {
                    let failure = self.trap_failure(Trap::IllegalCpu, site, self.me);
                    return self.fail(failure);
                }
            },
        };
        let arguments = match self.encode_fork(process, table) {
            Ok(arguments) => arguments,
            Err(trap) => {
                let failure = self.trap_failure(trap, site, self.me);
                return self.fail(failure);
            }
        };
        self.set_state(forker, State::Invoking);
        let invocation = self.begin_invocation(forker, table);
        self.broadcast(&Message::Fork {
            process,
            cpu,
            invocation,
            forker: forker.0,
            arguments: &arguments,
        });
    }

    fn encode_fork(&self, process: u32, table: Place) -> Result<Vec<u8>, Trap> {
        let mut out = Vec::new();
        let mut new: Vec<Place> = Vec::new();
        let parameters = entries(&self.process_type(process).parameters);
        for (index, parameter) in parameters.iter().enumerate() {
            let kind = type_at(parameter.kind);
            let argument = table.element(index as u64, 8).follow();
            if parameter.mode != Mode::Shared {
                let start = out.len();
                out.extend_from_slice(&[0; 4]);
                encode_in(kind, argument, &mut out);
                let length = (out.len() - start - 4) as u32;
                out[start..start + 4].copy_from_slice(&length.to_le_bytes());
                continue;
            }
            if kind.kind == Kind::Array {
                for dimension in array::dimensions(kind, argument) {
                    out.extend_from_slice(&dimension.lower.to_le_bytes());
                    out.extend_from_slice(&dimension.count.to_le_bytes());
                }
            }
            for cell in cells_of(kind, argument) {
                self.encode_reference(cell, &mut new, &mut out)?;
            }
        }
        Ok(out)
    }

    fn encode_reference(
        &self,
        cell: Place,
        new: &mut Vec<Place>,
        out: &mut Vec<u8>,
    ) -> Result<(), Trap> {
        let head = object::head(cell);
        if head.status != UNSHARED {
            out.push(KNOWN);
            out.extend_from_slice(&head.index.to_le_bytes());
        } else if let Some(index) = new.iter().position(|&earlier| earlier == cell) {
            out.push(SAME);
            out.extend_from_slice(&(index as u32).to_le_bytes());
        } else {
            if !placement::may_share(object::descriptor(cell), self.ncpus) {
                return Err(Trap::NotReplicable);
            }
            new.push(cell);
            out.push(NEW);
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            marshal::encode_state(cell, out);
            let length = (out.len() - start - 4) as u32;
            out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }

    /// A fork was delivered.
    pub(crate) fn on_delivered_fork(&mut self, from: u32, fork: DeliveredFork<'_>) {
        let types = entries(&self.program.get().processes);
        if fork.process as usize >= types.len() || fork.cpu >= self.ncpus {
            return self.on_bad_message(from, "a fork of a process that does not exist");
        }
        let mut forkers_table = None;
        if from == self.me {
            forkers_table = self.finish_invocation(ProcessId(fork.forker), fork.invocation);
            if forkers_table.is_none() {
                return self.on_bad_message(from, "a fork that nobody made");
            }
        }
        let here = fork.cpu == self.me;
        match self.take_fork(&fork, forkers_table, here) {
            Ok(arguments) => {
                self.alive += 1;
                if let Some((arguments, holds)) = arguments {
                    let code = types[fork.process as usize].code;
                    self.spawn(Role::Process(fork.process), code, Some(arguments), holds);
                }
                if from == self.me {
                    self.wake_first(ProcessId(fork.forker));
                }
            }
            Err(error) => self.on_decode_error(from, error),
        }
    }

    /// Shares the objects of a fork, and makes the arguments if the process starts here.
    fn take_fork(
        &mut self,
        fork: &DeliveredFork<'_>,
        forkers_table: Option<Place>,
        here: bool,
    ) -> Result<Option<(OwnedArguments, Vec<ObjectId>)>, DecodeError> {
        let process: &'static ProcessType = self.process_type(fork.process);
        let arguments = if here {
            Some(OwnedArguments::of_process(self.heap, process)?)
        } else {
            None
        };
        let mut reader = Reader::new(fork.arguments);
        let mut holds = Vec::new();
        let mut new = Vec::new();
        for (index, parameter) in entries(&process.parameters).iter().enumerate() {
            let kind = type_at(parameter.kind);
            if parameter.mode != Mode::Shared {
                let length = reader.u32()?;
                let mut value = Reader::new(reader.take(u64::from(length))?);
                if let Some(arguments) = &arguments {
                    arguments.decode_in(index, &mut value)?;
                    value.finish()?;
                }
                continue;
            }
            let (dimensions, count) = match kind.kind {
                Kind::Object => (Vec::new(), 1),
                Kind::FixedArray => (Vec::new(), kind.fixed_count()),
                _ => marshal::decode_dimensions(kind, &mut reader)?,
            };
            // Each reference takes five bytes.
            if count > reader.rest().len() as u64 / 5 {
                return Err(DecodeError::Short);
            }
            let element = if kind.kind == Kind::Object {
                kind
            } else {
                kind.element_type()
            };
            let forkers_cells =
                forkers_table.map(|table| cells_of(kind, table.element(index as u64, 8).follow()));
            let mut cells = Vec::with_capacity(count as usize);
            for i in 0..count as usize {
                let forkers_cell = forkers_cells
                    .as_ref()
                    .and_then(|cells| cells.get(i).copied());
                let id = self.take_reference(element, &mut reader, forkers_cell, &mut new)?;
                holds.push(id);
                cells.push(
                    self.objects
                        .get(id)
                        .map_or(Place::NULL, |shared| shared.cell),
                );
            }
            if let Some(arguments) = &arguments {
                let dimensions: &[Dimension] = &dimensions;
                arguments.set_shared(index, dimensions, &cells)?;
            }
        }
        reader.finish()?;
        Ok(arguments.map(|arguments| (arguments, holds)))
    }

    fn take_reference(
        &mut self,
        kind: &Type,
        reader: &mut Reader<'_>,
        forkers_cell: Option<Place>,
        new: &mut Vec<ObjectId>,
    ) -> Result<ObjectId, DecodeError> {
        let id = match reader.u8()? {
            KNOWN => ObjectId(reader.u32()?),
            SAME => *new
                .get(reader.u32()? as usize)
                .ok_or(DecodeError::Malformed)?,
            NEW => {
                let length = reader.u32()?;
                let mut state = Reader::new(reader.take(u64::from(length))?);
                let cell = match forkers_cell {
                    Some(cell) => cell,
                    None => {
                        let cell = object::make(self.heap, kind.object_type())?;
                        marshal::decode_state(self.heap, cell, &mut state)?;
                        state.finish()?;
                        cell
                    }
                };
                let id = self.objects.insert(cell);
                object::set_status(cell, REPLICATED, id.0);
                let shared = self.objects.get_mut(id).expect("it was just inserted");
                // The declarer's hold.
                shared.holds = 1;
                new.push(id);
                id
            }
            _ => return Err(DecodeError::Malformed),
        };
        let shared = self.objects.get_mut(id).ok_or(DecodeError::Malformed)?;
        shared.holds += 1;
        Ok(id)
    }

    /// Makes a process that starts when its turn comes.
    pub(crate) fn spawn(
        &mut self,
        role: Role,
        code: *const u8,
        arguments: Option<OwnedArguments>,
        holds: Vec<ObjectId>,
    ) {
        let Some(stack) = self.stacks.take() else {
            let failure = self.trap_failure(Trap::OutOfMemory, u32::MAX, self.me);
            return self.fail(failure);
        };
        let id = self.processes.insert(Process {
            role,
            stack,
            resume: Resume::Start(code),
            state: State::Ready,
            invocation: 0,
            table: Place::NULL,
            arguments,
            holds,
            assignments: Vec::new(),
            text: Vec::new(),
        });
        self.ready.push_back(id);
    }

    /// `Entry::Exit`.
    pub(crate) fn on_exit(&mut self, id: ProcessId) {
        let process = self.processes.remove(id).expect("a process that runs");
        drop(process.arguments);
        self.stacks.give_back(process.stack);
        self.local.with(|state| {
            state.output.text().clear();
            state.output.show_all();
        });
        match process.role {
            Role::Initialisation(module) => self.initialise_from(module + 1),
            Role::Process(_) => {
                let mut objects: Vec<u32> = process.holds.iter().map(|id| id.0).collect();
                objects.append(&mut self.take_released());
                self.broadcast(&Message::Exit { objects });
            }
        }
    }

    /// Shared objects that declarers on this processor dropped since the last question.
    pub(crate) fn take_released(&mut self) -> Vec<u32> {
        let links = std::iter::from_fn(|| self.heap.take_released());
        links
            .map(|link| object::head(object::cell_of_link(link)).index)
            .collect()
    }

    /// Holds on shared objects were given up.
    pub(crate) fn on_released(&mut self, from: u32, objects: &[u32]) {
        for &index in objects {
            let id = ObjectId(index);
            let Some(shared) = self.objects.get_mut(id) else {
                return self.on_bad_message(from, "a hold that nobody has");
            };
            shared.holds -= 1;
            if shared.holds == 0 {
                let shared = self.objects.remove(id).expect("it was just there");
                object::destroy(self.heap, shared.cell);
            }
        }
    }

    /// Memory ran out while something was being delivered.
    pub(crate) fn on_out_of_memory(&mut self, OutOfMemory: OutOfMemory) {
        let failure = self.trap_failure(Trap::OutOfMemory, u32::MAX, self.me);
        self.fail(failure);
    }
}
