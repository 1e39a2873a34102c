//! Shared objects: the table of replicas, and the invocations that wait for them.
//!
//! Every processor has the same table: an object gets its number when the FORK that first shares it is delivered, and loses it when
//! the last hold on it is released, both by ordered messages. A *hold* is what keeps an object alive: its declarer's
//! variable, and each process that got it as a shared parameter.

pub(crate) mod apply;
pub(crate) mod arguments;
pub(crate) mod call;
pub(crate) mod guard;
pub(crate) mod invoke;

use orca_abi::descriptor::Object;

use crate::process::ProcessId;
use crate::value::object;
use crate::value::place::Place;
use arguments::OwnedArguments;
use guard::GuardQueue;

/// Number of a shared object, the same on every processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectId(pub(crate) u32);

/// An invocation that waits for a guard.
pub(crate) struct Blocked {
    pub(crate) operation: u32,
    /// The processor whose process invokes.
    pub(crate) invoker: u32,
    pub(crate) site: u32,
    /// The process, if it is one of this processor.
    pub(crate) process: Option<ProcessId>,
    pub(crate) arguments: Arguments,
    /// It is in the queue of every replica.
    pub(crate) is_replicated: bool,
}

/// The arguments of an invocation.
pub(crate) enum Arguments {
    /// The invoking process's own; it waits meanwhile.
    Callers(Place),
    /// Decoded from a message.
    Owned(OwnedArguments),
}

impl Arguments {
    /// The table of addresses.
    pub(crate) fn table(&self) -> Place {
        match self {
            Arguments::Callers(table) => *table,
            Arguments::Owned(owned) => owned.table(),
        }
    }
}

/// The local replica of a shared object.
pub(crate) struct Shared {
    pub(crate) cell: Place,
    pub(crate) holds: u32,
    pub(crate) queue: GuardQueue<Blocked>,
    /// Completed writes, the same on every replica.
    pub(crate) writes: u64,
    /// Writes and hash when it was last hashed.
    pub(crate) hashed: (u64, u64),
}

impl Shared {
    pub(crate) fn descriptor(&self) -> &'static Object {
        object::descriptor(self.cell)
    }
}

/// All shared objects, by number.
#[derive(Default)]
pub(crate) struct ObjectTable {
    objects: Vec<Option<Shared>>,
    free: Vec<u32>,
    /// Objects ever entered.
    born: u64,
}

impl ObjectTable {
    /// Enters a new object and gives it its number.
    pub(crate) fn insert(&mut self, cell: Place) -> ObjectId {
        // Counted from a number of its own, so that a late hash of an object that had the same number is no hash of this one.
        let writes = self.born << 32;
        self.born += 1;
        let shared = Shared {
            cell,
            holds: 0,
            queue: GuardQueue::default(),
            writes,
            hashed: (writes, 0),
        };
        match self.free.pop() {
            Some(index) => {
                self.objects[index as usize] = Some(shared);
                ObjectId(index)
            }
            None => {
                self.objects.push(Some(shared));
                ObjectId(self.objects.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn get(&self, id: ObjectId) -> Option<&Shared> {
        self.objects.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: ObjectId) -> Option<&mut Shared> {
        self.objects.get_mut(id.0 as usize)?.as_mut()
    }

    /// Removes an object; its number may be given again.
    pub(crate) fn remove(&mut self, id: ObjectId) -> Option<Shared> {
        let shared = self.objects.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        Some(shared)
    }

    /// All shared objects, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shared> {
        self.objects.iter().flatten()
    }

    /// Number of objects that are shared now.
    pub(crate) fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }
}
