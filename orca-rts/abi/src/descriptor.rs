//! What a compiled program carries about itself: processes, object types, operations, places.

use crate::types::Type;
use crate::{Table, Text};

/// Code of an operation's read or write alternatives: `extern "C" fn(state, arguments) -> status` with r15 set.
///
/// `state` is the address of the state record; `arguments` a table of argument addresses, one a parameter in order
/// and one more for the result if there is one (an object parameter: its cell's address). IN arguments stay the caller's and are not
/// modified. OUT arguments and the result point to live variables of the parameter's type, which are assigned only when the
/// attempt completes. `status` is [`DONE`] or [`BLOCKED`]; a blocked attempt has changed nothing.
pub type AlternativesCode = *const u8;

/// Code of a process: `extern "C" fn(arguments)` with r15 set; ends in `Entry::Exit`, never returns. IN arguments belong to the
/// process, which may modify them; the run-time system frees them afterwards. An object is passed as its cell's address.
pub type ProcessCode = *const u8;

/// Code that initialises one data module on this processor: like a process without parameters (it may read files, so it may wait).
pub type InitCode = *const u8;

/// The attempt completed.
pub const DONE: u32 = 0;
/// All guards failed; nothing was changed.
pub const BLOCKED: u32 = 1;

/// The whole program.
#[repr(C)]
pub struct Program {
    /// [`crate::VERSION`] of the compiler.
    pub version: u32,
    /// Index of OrcaMain in `processes`.
    pub main: u32,
    pub name: Text,
    pub processes: Table<Process>,
    pub objects: Table<Object>,
    /// Bytes of all data-module variables together; aligned to 64.
    pub data_size: u64,
    pub data_variables: Table<DataVariable>,
    /// Data modules in the order of initialisation.
    pub data_modules: Table<DataModule>,
    pub routines: Table<Routine>,
    pub sites: Table<Site>,
    /// Compiled functions, in no particular order.
    pub functions: Table<Function>,
}

/// One process type.
#[repr(C)]
pub struct Process {
    pub name: Text,
    pub code: ProcessCode,
    pub parameters: Table<Parameter>,
}

/// How a parameter is passed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    In = 0,
    Out = 1,
    Shared = 2,
}

/// One parameter of a process or operation.
#[repr(C)]
pub struct Parameter {
    pub mode: Mode,
    pub reserved: u32,
    pub kind: *const Type,
    pub name: Text,
}

/// Operations of this type read input or a clock: its objects may never be replicated.
pub const SINGLE_COPY_ONLY: u32 = 1;

/// One object type.
#[repr(C)]
pub struct Object {
    pub name: Text,
    /// The record of its fields.
    pub state: *const Type,
    /// The type whose values are objects of this type ([`crate::types::Kind::Object`]).
    pub kind: *const Type,
    /// Index 0 is READ_ and 1 is WRITE_ of the whole state (both without code); then the specification's, then the others.
    pub operations: Table<Operation>,
    /// [`SINGLE_COPY_ONLY`].
    pub flags: u32,
    /// Index in [`Program::objects`].
    pub index: u32,
}

/// There is an alternative (or a body) that only reads.
pub const HAS_READ: u32 = 1;
/// There is an alternative (or a body) that writes.
pub const HAS_WRITE: u32 = 2;
/// It has guards, or calls something that has.
pub const MAY_BLOCK: u32 = 4;
/// No result, no OUT parameter, never blocks.
pub const PURE_WRITE: u32 = 8;
/// It can reach Write: on replicas other than the invoker's, output is muted.
pub const DOES_OUTPUT: u32 = 16;

/// One operation.
#[repr(C)]
pub struct Operation {
    pub name: Text,
    /// [`HAS_READ`] and so on.
    pub flags: u32,
    /// The operation as a place: an index into [`Program::routines`].
    pub routine: u32,
    /// The read alternatives, or null.
    pub reads: AlternativesCode,
    /// The write alternatives, or null.
    pub writes: AlternativesCode,
    pub parameters: Table<Parameter>,
    /// Null if there is none.
    pub result: *const Type,
}

/// One variable of a data module, for the comparison between processors.
#[repr(C)]
pub struct DataVariable {
    pub name: Text,
    pub kind: *const Type,
    /// From the start of the data-module variables.
    pub offset: u64,
    /// Index into [`Program::data_modules`].
    pub module: u32,
    pub reserved: u32,
}

/// One data module.
#[repr(C)]
pub struct DataModule {
    pub name: Text,
    /// Null if it has no initialisation part.
    pub init: InitCode,
}

/// A routine as messages name it.
#[repr(C)]
pub struct Routine {
    /// With what it is: `operation JobBag$take`, `function M.f`, `process M.p`, `initialization of O`.
    pub name: Text,
    /// Base name of the source file, with extension.
    pub file: Text,
}

/// A place that can trap or wait.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Site {
    /// Index into [`Program::routines`].
    pub routine: u32,
    pub line: u32,
}

/// One compiled function, to find the line of an address.
#[repr(C)]
pub struct Function {
    pub code: *const u8,
    pub size: u32,
    /// Index into [`Program::routines`].
    pub routine: u32,
    /// Sorted by offset.
    pub lines: Table<Line>,
}

/// From this offset on (to the next entry), code belongs to this line.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Line {
    pub offset: u32,
    pub line: u32,
}
