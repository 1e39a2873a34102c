//! Graphs: nodes in numbered slots, each with an age that makes names of deleted nodes invalid for ever.
//!
//! An even age means that the slot is free, an odd one that it holds a node. `ADDNODE` takes the slot freed last and lets it age by one;
//! `DELETENODE` lets it age again. A copy takes over ages and free list, so that it goes on generating the same names.
//!
//! Implements: [Thesis §4.2.1] graphs; ORCA 4.9.

use orca_abi::types::Type;
use orca_abi::value::{Graph, NodeSlot, Nodename};

use super::describe::Describe;
use super::place::Place;
use super::{fill as fill_value, free_parts as free_value};
use crate::heap::{Heap, OutOfMemory};

const CAPACITY_FIRST: u32 = 4;
/// A slot of this age is never used again.
const AGE_MAX: u32 = i32::MAX as u32 - 1;

/// Bytes from one slot to the next.
pub(crate) fn stride(kind: &Type) -> u64 {
    (NodeSlot::FIELDS_OFFSET + kind.element_type().size).next_multiple_of(8)
}

/// The slot with this index.
pub(crate) fn slot(kind: &Type, head: &Graph, index: u32) -> Place {
    slots(head).element(u64::from(index), stride(kind))
}

fn slots(head: &Graph) -> Place {
    Place::NULL.add(head.slots as u64)
}

/// The node record of a slot.
pub(crate) fn fields(slot: Place) -> Place {
    slot.add(NodeSlot::FIELDS_OFFSET)
}

/// A node lives in this slot.
pub(crate) fn in_use(slot: Place) -> bool {
    slot.get::<NodeSlot>().age % 2 == 1
}

/// `ADDNODE`: the name of a new node, its fields all zero.
pub(crate) fn add(heap: Heap, kind: &Type, graph: Place) -> Result<Nodename, OutOfMemory> {
    let mut head: Graph = graph.get();
    let index = if head.free != 0 {
        let index = head.free - 1;
        let at = slot(kind, &head, index);
        let mut node: NodeSlot = at.get();
        head.free = node.next_free;
        node.age += 1;
        node.next_free = 0;
        at.set(node);
        index
    } else {
        if head.count == head.capacity {
            grow(heap, kind, &mut head)?;
        }
        let index = head.count;
        head.count += 1;
        slot(kind, &head, index).set(NodeSlot { age: 1, next_free: 0 });
        index
    };
    head.live += 1;
    graph.set(head);
    Ok(Nodename {
        age: slot(kind, &head, index).get::<NodeSlot>().age as i32,
        index: index as i32,
    })
}

fn grow(heap: Heap, kind: &Type, head: &mut Graph) -> Result<(), OutOfMemory> {
    let capacity = match head.capacity {
        0 => CAPACITY_FIRST,
        old => old.checked_mul(2).filter(|&new| new <= i32::MAX as u32).ok_or(OutOfMemory)?,
    };
    let block = heap.allocate(u64::from(capacity) * stride(kind))?;
    let old_bytes = u64::from(head.capacity) * stride(kind);
    if old_bytes != 0 {
        block.copy_from(slots(head), old_bytes);
        heap.release(slots(head), old_bytes);
    }
    head.slots = block.pointer();
    head.capacity = capacity;
    Ok(())
}

/// The slot that a name stands for, if the name is good.
fn find(kind: &Type, head: &Graph, name: Nodename) -> Option<Place> {
    let index = u32::try_from(name.index).ok().filter(|&index| index < head.count)?;
    let at = slot(kind, head, index);
    (name.age % 2 != 0 && at.get::<NodeSlot>().age == name.age as u32).then_some(at)
}

/// `DELETENODE`: false if the name is bad.
pub(crate) fn delete(heap: Heap, kind: &Type, graph: Place, name: Nodename) -> bool {
    let mut head: Graph = graph.get();
    let Some(at) = find(kind, &head, name) else {
        return false;
    };
    super::free(heap, kind.element_type(), fields(at));
    let age = name.age as u32 + 1;
    let reusable = age < AGE_MAX;
    at.set(NodeSlot {
        age,
        next_free: if reusable { head.free } else { 0 },
    });
    if reusable {
        head.free = name.index as u32 + 1;
    }
    head.live -= 1;
    graph.set(head);
    true
}

/// The node record of a node, if the name is good.
pub(crate) fn node(kind: &Type, graph: Place, name: Nodename) -> Option<Place> {
    let head: Graph = graph.get();
    find(kind, &head, name).map(fields)
}

/// Where the root record lies.
pub(crate) fn root(graph: Place) -> Place {
    graph.add(Graph::ROOT_OFFSET)
}

pub(super) fn free_parts(heap: Heap, kind: &Type, graph: Place) {
    free_value(heap, kind.root_type(), root(graph));
    let head: Graph = graph.get();
    if !kind.element_type().is_plain() {
        for index in 0..head.count {
            let at = slot(kind, &head, index);
            if in_use(at) {
                free_value(heap, kind.element_type(), fields(at));
            }
        }
    }
    if head.capacity != 0 {
        heap.release(slots(&head), u64::from(head.capacity) * stride(kind));
    }
}

pub(super) fn fill(
    heap: Heap,
    kind: &Type,
    destination: Place,
    source: Place,
) -> Result<(), OutOfMemory> {
    let from: Graph = source.get();
    if from.count != 0 {
        make_slots(heap, kind, destination, from.count)?;
        let mut to: Graph = destination.get();
        if kind.element_type().is_plain() {
            slots(&to).copy_from(slots(&from), u64::from(from.count) * stride(kind));
        } else {
            for index in 0..from.count {
                let (at, origin) = (slot(kind, &to, index), slot(kind, &from, index));
                at.set(origin.get::<NodeSlot>());
                if in_use(origin) {
                    fill_value(heap, kind.element_type(), fields(at), fields(origin))?;
                }
            }
        }
        to.free = from.free;
        to.live = from.live;
        destination.set(to);
    }
    fill_value(heap, kind.root_type(), root(destination), root(source))
}

/// Gives a zeroed graph so many free slots that are on no list yet.
pub(crate) fn make_slots(
    heap: Heap,
    kind: &Type,
    graph: Place,
    count: u32,
) -> Result<(), OutOfMemory> {
    let capacity = count.max(CAPACITY_FIRST);
    let block = heap.allocate(u64::from(capacity) * stride(kind))?;
    graph.set(Graph {
        slots: block.pointer(),
        count,
        capacity,
        free: 0,
        live: 0,
    });
    Ok(())
}
