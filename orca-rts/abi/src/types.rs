//! Type descriptors: layout and shape of every Orca value, for code that walks values.
//!
//! The run-time system copies, compares, frees, hashes and marshals values by walking these; it never
//! initialises them (compiled code does, since bounds and object initialisation are code).

use crate::descriptor::Object;
use crate::value::Dimension;
use crate::{Table, Text};

/// What a value is made of.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// boolean, char, enumeration of up to 256 literals: one byte.
    Byte = 1,
    /// Enumeration of more than 256 literals: an unsigned 32-bit ordinal.
    LongEnum = 2,
    ShortInt = 3,
    Integer = 4,
    LongInt = 5,
    ShortReal = 6,
    /// real and longreal.
    Real = 7,
    /// [`crate::value::Nodename`].
    Nodename = 8,
    /// [`crate::value::Array`] with its dimensions; `element` and `dimensions` count.
    Array = 9,
    /// Constant bounds: the elements inline, row-major; `bounds` has the dimensions.
    FixedArray = 10,
    /// A C struct; `fields`.
    Record = 11,
    /// [`crate::value::SetHandle`]; `element`.
    Set = 12,
    /// [`crate::value::SetHandle`]; `element`.
    Bag = 13,
    /// [`crate::value::Graph`] followed by the root record at [`crate::value::Graph::ROOT_OFFSET`]; `element` is the node
    /// record, `root` the root record.
    Graph = 14,
    /// A pointer to an [`crate::value::ObjectCell`]; `object`.
    Object = 15,
    /// A function value: a 32-bit registration index.
    Function = 16,
}

/// The value has no part on the heap: copying its bytes copies it.
pub const PLAIN: u32 = 1;
/// Two values are equal if and only if their bytes are (implies [`PLAIN`]; no reals, no padding).
pub const BITWISE_EQUAL: u32 = 2;
/// An object is among its components.
pub const HAS_OBJECT: u32 = 4;

/// Layout and shape of one type.
#[repr(C)]
pub struct Type {
    pub kind: Kind,
    /// [`PLAIN`], [`BITWISE_EQUAL`], [`HAS_OBJECT`].
    pub flags: u32,
    /// Bytes of the value itself (heap parts not included), a multiple of `align`.
    pub size: u64,
    pub align: u32,
    /// Number of dimensions of `Array` and `FixedArray`.
    pub dimensions: u32,
    /// As the program calls it, for messages and traces.
    pub name: Text,
    /// Element of arrays, sets and bags; node record of graphs; else null.
    pub element: *const Type,
    /// Root record of graphs; else null.
    pub root: *const Type,
    /// Fields of records, in order of declaration.
    pub fields: Table<Field>,
    /// Dimensions of `FixedArray`.
    pub bounds: Table<Dimension>,
    /// Of object types; else null.
    pub object: *const Object,
}

/// One field of a record.
#[repr(C)]
pub struct Field {
    pub offset: u64,
    pub kind: *const Type,
    pub name: Text,
}
