//! The compiler's mid-level representation: control-flow graphs over typed values, after all of Orca's own constructs are
//! gone and before Cranelift.
//!
//! A function has *values* (`v3`: defined once, typed), *locals* (`l2`: mutable scalars, never addressed), *slots* (`s1`: memory of the
//! frame) and *blocks* (`b4`) with parameters. Checks are instructions of their own, so that an optimiser can move or
//! remove them. Its text form is in `text`, its rules in `verify`.
//!
//! A function exists in up to two versions, by [`Context`]: operations call the one without polls.

use orca_abi::descriptor::Mode;
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;
use orca_abi::types::Kind;

pub mod build;
pub mod layout;
pub mod lower;
pub mod text;
pub mod verify;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $letter:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index into its table.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }
    )*};
}

ids! {
    /// A value of a function.
    Value "v";
    /// A mutable scalar of a function.
    Local "l";
    /// Memory in a function's frame.
    Slot "s";
    /// A basic block of a function.
    Block "b";
    /// A function, in [`Program::functions`].
    FunctionId "f";
    /// A type descriptor, in [`Program::types`].
    TypeId "t";
    /// Constant bytes, in [`Program::blobs`].
    BlobId "c";
    /// An object type, in [`Program::objects`].
    ObjectId "o";
    /// A routine as messages name it, in [`Program::routines`].
    RoutineId "r";
    /// A place that can trap or wait, in [`Program::sites`].
    Site "@";
}

/// A machine type. Pointers are `I64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ty {
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

/// A whole program: code, and what its descriptors say.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub name: String,
    pub functions: Vec<Function>,
    pub types: Vec<TypeDescriptor>,
    pub blobs: Vec<Vec<u8>>,
    pub processes: Vec<ProcessDescriptor>,
    pub objects: Vec<ObjectDescriptor>,
    pub data_size: u64,
    pub data_variables: Vec<DataVariable>,
    pub data_modules: Vec<DataModule>,
    pub routines: Vec<Routine>,
    pub sites: Vec<SitePlace>,
    /// Index of OrcaMain in `processes`.
    pub main: u32,
}

/// As [`orca_abi::types::Type`], with ids for pointers.
#[derive(Clone, Debug)]
pub struct TypeDescriptor {
    pub name: String,
    pub kind: Kind,
    pub flags: u32,
    pub size: u64,
    pub align: u32,
    pub element: Option<TypeId>,
    pub root: Option<TypeId>,
    pub fields: Vec<FieldDescriptor>,
    /// Number of dimensions of `Array` and `FixedArray`.
    pub dimensions: u32,
    /// (lower, count) of each dimension of a `FixedArray`.
    pub bounds: Vec<(i32, i32)>,
    pub object: Option<ObjectId>,
}

/// As [`orca_abi::types::Field`].
#[derive(Clone, Debug)]
pub struct FieldDescriptor {
    pub name: String,
    pub offset: u64,
    pub ty: TypeId,
}

/// As [`orca_abi::descriptor::Process`].
#[derive(Clone, Debug)]
pub struct ProcessDescriptor {
    pub name: String,
    pub code: FunctionId,
    pub parameters: Vec<ParameterDescriptor>,
}

/// As [`orca_abi::descriptor::Parameter`].
#[derive(Clone, Debug)]
pub struct ParameterDescriptor {
    pub name: String,
    pub mode: Mode,
    pub ty: TypeId,
}

/// As [`orca_abi::descriptor::Object`]; READ_ and WRITE_ are added when it is written out.
#[derive(Clone, Debug)]
pub struct ObjectDescriptor {
    pub name: String,
    pub state: TypeId,
    pub ty: TypeId,
    pub operations: Vec<OperationDescriptor>,
    pub flags: u32,
}

/// As [`orca_abi::descriptor::Operation`].
#[derive(Clone, Debug)]
pub struct OperationDescriptor {
    pub name: String,
    pub flags: u32,
    pub routine: RoutineId,
    pub reads: Option<FunctionId>,
    pub writes: Option<FunctionId>,
    pub parameters: Vec<ParameterDescriptor>,
    pub result: Option<TypeId>,
}

/// As [`orca_abi::descriptor::DataVariable`].
#[derive(Clone, Debug)]
pub struct DataVariable {
    pub name: String,
    pub ty: TypeId,
    pub offset: u64,
    pub module: u32,
}

/// As [`orca_abi::descriptor::DataModule`].
#[derive(Clone, Debug)]
pub struct DataModule {
    pub name: String,
    pub init: Option<FunctionId>,
}

/// As [`orca_abi::descriptor::Routine`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Routine {
    pub title: String,
    pub file: String,
}

/// As [`orca_abi::descriptor::Site`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SitePlace {
    pub routine: RoutineId,
    pub line: u32,
}

/// Who runs a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// A process: polls at loop back-edges and entries, may call waiting entries.
    Process,
    /// An operation or object initialisation: indivisible; no polls, no waiting entries.
    Operation,
}

/// One function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Unique in the program; the symbol's name is made from it.
    pub name: String,
    pub routine: RoutineId,
    pub context: Context,
    pub result: Option<Ty>,
    /// The entry block is the first; its parameters are the function's.
    pub blocks: Vec<BlockData>,
    /// The type of each value.
    pub values: Vec<Ty>,
    pub locals: Vec<LocalData>,
    pub slots: Vec<SlotData>,
}

#[derive(Clone, Debug)]
pub struct LocalData {
    pub name: String,
    pub ty: Ty,
}

#[derive(Clone, Debug)]
pub struct SlotData {
    pub name: String,
    pub size: u32,
    /// A power of two, at most 16.
    pub align: u32,
}

#[derive(Clone, Debug, Default)]
pub struct BlockData {
    pub parameters: Vec<Value>,
    pub insts: Vec<Inst>,
    /// Always there in a finished function.
    pub terminator: Option<Terminator>,
    /// Seldom reached: laid out away from the others.
    pub cold: bool,
}

/// One instruction.
#[derive(Clone, Debug)]
pub struct Inst {
    pub result: Option<Value>,
    pub op: Op,
    /// Source line, 0 if there is none.
    pub line: u32,
}

/// What memory an access touches; accesses of different regions never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Contents of values: scalars, elements, fields.
    Data,
    /// Heads of arrays: origin, offset, bounds.
    Head,
    /// The state of the object that an operation runs on (only in `Context::Operation`).
    Object,
    /// The control block.
    Control,
    /// Constants of the program: never written.
    Constant,
}

/// What an instruction does. Address arithmetic is ordinary `I64` arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// An integer constant of the result's type (sign-extended here).
    Integer(i64),
    /// A floating-point constant of the result's type.
    Real(f64),
    Get(Local),
    Set(Local, Value),
    SlotAddress(Slot),
    /// Of the constant bytes.
    BlobAddress(BlobId),
    /// Of the type descriptor.
    TypeAddress(TypeId),
    /// `NCPUS()`, `MYCPU()` (I32), or the address of the data-module variables (I64).
    Control(ControlField),
    /// Loads a value of the result's type from `address + offset`.
    Load {
        address: Value,
        offset: i32,
        region: Region,
    },
    Store {
        value: Value,
        address: Value,
        offset: i32,
        region: Region,
    },
    /// Copies `size` bytes; the ranges do not overlap.
    Copy {
        to: Value,
        from: Value,
        size: u64,
    },
    /// Zeroes `size` bytes.
    Zero {
        address: Value,
        size: u64,
    },
    Unary(Unary, Value),
    Binary(Binary, Value, Value),
    /// I8: 1 or 0.
    Compare(Compare, Value, Value),
    /// I8: 1 or 0. NaN is unordered: only `NotEqual` holds.
    CompareReal(CompareReal, Value, Value),
    /// The first if the I8 condition is not zero, else the second.
    Select(Value, Value, Value),
    /// Traps if the I8 condition is not zero.
    Check {
        condition: Value,
        trap: Trap,
        site: Site,
    },
    Call(FunctionId, Vec<Value>),
    /// The control block is passed implicitly.
    CallEntry(Entry, Vec<Value>),
    /// Only in `Context::Process`.
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlField {
    Ncpus,
    Mycpu,
    Data,
}

/// One operand; conversions go from the operand's to the result's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    SignExtend,
    ZeroExtend,
    /// To fewer bits.
    Truncate,
    /// Signed integer to real.
    ToReal,
    /// Real to signed integer, toward zero, saturating; NaN gives 0.
    ToInteger,
    /// f32 to f64 or back.
    ConvertReal,
    Negate,
    NegateReal,
    AbsoluteReal,
    Complement,
    /// Square root of an F64.
    SquareRoot,
}

/// Both operands and the result have one type. Integers wrap. `Divide` and `Modulo` are signed, never see a zero divisor, and wrap on MIN / -1
/// (the code generator takes care). Shift counts are below the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
    ShiftLeft,
    /// Arithmetic.
    ShiftRight,
    Minimum,
    Maximum,
    AddReal,
    SubtractReal,
    MultiplyReal,
    DivideReal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// Unsigned.
    Below,
    /// Unsigned.
    BelowEqual,
    /// Unsigned.
    Above,
    /// Unsigned.
    AboveEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareReal {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Terminator {
    Jump(Target),
    /// To the first if the I8 condition is not zero.
    Branch(Value, Target, Target),
    /// By an I64 value; cases are distinct.
    Switch(Value, Vec<(i64, Block)>, Block),
    Return(Option<Value>),
    /// `Entry::Trap`.
    Trap(Trap, Site),
    /// After a final entry.
    Unreachable,
}

/// A block and what its parameters become.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub block: Block,
    pub arguments: Vec<Value>,
}
