//! Representation of values that are more than a machine word (ORCA.md section 12).
//!
//! Scalars are what C calls them. Every value whose bytes are all zero is valid: 0, false, the empty array
//! (LB 0, UB -1), the empty set, NIL; compiled code relies on it to initialise storage, and objects
//! alone need more than zeroes (a cell, and their own initialisation).

use crate::descriptor::Object;

/// A lower bound and a number of elements.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dimension {
    /// The lower bound.
    pub lower: i32,
    /// The number of elements, not negative. UB = lower + count - 1.
    pub count: i32,
}

/// The head of an array value without constant bounds; `dimensions` follow it at
/// [`Array::DIMENSIONS_OFFSET`]. A string is such an array of one dimension.
///
/// Element (i, j, ..) lies at `origin + linear * element size`, where `linear` folds the indices row-major in 64
/// bits: `((i * count2) + j) * count3 + ...`. So `origin` is the virtual origin: the allocation minus `offset` elements.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Array {
    /// The virtual origin; any value if `size` is zero.
    pub origin: *mut u8,
    /// `linear` of the first element, low 32 bits.
    pub offset: i32,
    /// The number of elements in all dimensions.
    pub size: i32,
}

impl Array {
    /// Where the first [`Dimension`] lies.
    pub const DIMENSIONS_OFFSET: u64 = 16;

    /// Bytes of an array value with `dimensions` dimensions.
    pub const fn value_size(dimensions: u64) -> u64 {
        Array::DIMENSIONS_OFFSET + 8 * dimensions
    }
}

/// A set or bag: a pointer to storage that only the run-time system understands; null when empty.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SetHandle {
    pub storage: *mut u8,
}

/// Names a node of a graph. NIL is all zero: no live node has an even age.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodename {
    /// Odd while the node lives.
    pub age: i32,
    /// The slot.
    pub index: i32,
}

/// The head of a graph value; the root record follows at [`Graph::ROOT_OFFSET`].
///
/// Slot `i` lies at `slots + i * stride`, where `stride` is [`NodeSlot::FIELDS_OFFSET`] plus the node record's size,
/// rounded up to 8. A name is good if its index is below `count` and its age is odd and equal to the slot's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    pub slots: *mut u8,
    /// Slots in use or on the free list.
    pub count: u32,
    /// Slots that fit into the allocation.
    pub capacity: u32,
    /// One more than the index of the first free slot (last freed first); zero if there is none.
    pub free: u32,
    /// Nodes alive.
    pub live: u32,
}

impl Graph {
    /// Where the root record lies.
    pub const ROOT_OFFSET: u64 = 24;
}

/// The head of one slot of a graph; the node record follows at [`NodeSlot::FIELDS_OFFSET`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NodeSlot {
    /// Odd: in use; even: free. Grows by one at each change.
    pub age: u32,
    /// For a free slot: as [`Graph::free`].
    pub next_free: u32,
}

impl NodeSlot {
    /// Where the node record lies.
    pub const FIELDS_OFFSET: u64 = 8;
}

/// An object. A value of object type is a pointer to its cell, and so is an object passed as a parameter in whatever
/// mode; the pointer of a variable never changes while the variable lives. The state record follows at
/// [`ObjectCell::STATE_OFFSET`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ObjectCell {
    /// [`UNSHARED`], [`REPLICATED`], or something that only the run-time system understands.
    pub status: u32,
    /// Index in the processor's object table if the object is shared.
    pub index: u32,
    /// Its type.
    pub descriptor: *const Object,
}

impl ObjectCell {
    /// Where the state record lies.
    pub const STATE_OFFSET: u64 = 16;
}

/// Only one process can reach the object: its operations are direct calls. Nested objects are too.
pub const UNSHARED: u32 = 0;
/// A valid copy is here: operations without write alternatives are direct calls; if such a call blocks, and for all
/// others, `Entry::Invoke` decides.
pub const REPLICATED: u32 = 1;
