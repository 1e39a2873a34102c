//! The typed program: resolved, monomorphic, without sugar. What every later phase reads.
//!
//! Expects: nothing; this is data. Guarantees, once `typecheck` has built it without errors:
//! - every name is an id, every generic is instantiated, every expression has its type;
//! - conversions between integer widths and between real widths are [`ExprKind::Convert`] nodes, so both operands of an arithmetic
//!   or relational operator have the same type and a value has exactly the type of the place that takes it; a universal constant has the type of its
//!   context;
//! - constant expressions of scalar type are folded to [`ExprKind::Integer`] or [`ExprKind::Real`];
//! - evaluation order is the order of the fields and vectors here (ORCA.md 5.2);
//! - operations carry their read/write class per alternative.
//!
//! Whatever the language refuses or this compiler does not do yet never gets here: a program with errors has no HIR.

pub mod print;

use crate::source::Span;

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
    /// A type, in [`Program::types`].
    TypeId "t";
    /// An object type, in [`Program::objects`].
    ObjectId "o";
    /// An operation of its object type, in [`Object::operations`].
    OperationId "op";
    /// A function, in [`Program::functions`].
    FunctionId "f";
    /// A process type, in [`Program::processes`].
    ProcessId "p";
    /// A local variable or parameter of its routine, in [`Routine::locals`].
    LocalId "l";
    /// A variable of a data module, in [`Program::data_variables`].
    DataId "d";
    /// A structured constant, in [`Program::constants`].
    ConstantId "c";
    /// A field of a record, a graph's root or node, or an object's state, in order of declaration.
    FieldId "";
}

/// The whole program.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// As the executable is called.
    pub name: String,
    pub types: Vec<Type>,
    pub objects: Vec<Object>,
    pub functions: Vec<Function>,
    pub processes: Vec<Process>,
    pub data_variables: Vec<DataVariable>,
    /// In the order of initialisation.
    pub data_modules: Vec<DataModule>,
    pub constants: Vec<Constant>,
    /// OrcaMain; always there after a whole-program check.
    pub main: Option<ProcessId>,
}

/// One type. Name equivalence: two ids are the same type only if they are equal.
#[derive(Clone, Debug)]
pub struct Type {
    /// As messages name it: `integer`, `sched.task`, `ARRAY[integer] OF real`.
    pub name: String,
    pub kind: TypeKind,
}

/// What a type is made of.
#[derive(Clone, Debug)]
pub enum TypeKind {
    ShortInt,
    Integer,
    LongInt,
    ShortReal,
    Real,
    LongReal,
    Boolean,
    Char,
    Enumeration {
        literals: Vec<String>,
    },
    Record {
        fields: Vec<Field>,
    },
    Array(ArrayType),
    Set {
        element: TypeId,
    },
    Bag {
        element: TypeId,
    },
    Graph {
        root: Vec<Field>,
        node: Vec<Field>,
    },
    /// Names nodes of this graph type.
    Nodename {
        graph: TypeId,
    },
    Object(ObjectId),
}

/// An array type. `string` is one with a single integer index, no bounds, and `char` elements.
#[derive(Clone, Debug)]
pub struct ArrayType {
    /// The index type of each dimension, at least one.
    pub indices: Vec<TypeId>,
    pub bounds: ArrayBounds,
    pub element: TypeId,
}

/// Where the bounds of an array type come from.
#[derive(Clone, Debug)]
pub enum ArrayBounds {
    /// Each variable or assignment brings its own; an [`crate::hir::Init`] may set them.
    Dynamic,
    /// Constant (lower, upper) ordinals for each dimension: laid out inline.
    Constant(Vec<(i64, i64)>),
    /// In the type but computed at run time: represented like `Dynamic`; each variable of the type is created with these. They only mention
    /// constants, `NCPUS`, `MYCPU`, data-module variables and, in a type declared in a routine, its parameters.
    Computed(Vec<(Expr, Expr)>),
}

/// A field of a record, graph or object.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub ty: TypeId,
    pub init: Init,
    pub span: Span,
}

/// How a variable, field or OUT formal is created, beyond all-zero bytes.
///
/// Whatever the type itself asks for (computed bounds, objects to make, fields' own `Init`s) comes on top and is not repeated here.
#[derive(Clone, Debug, Default)]
pub struct Init {
    /// Bounds given in the declaration: `T[a..b, c..d][e..f]`. The outer vector goes from the array to its element arrays, the inner one over
    /// dimensions. Empty if none are given.
    pub bounds: Vec<Vec<(Expr, Expr)>>,
}

/// A variable of a data module.
#[derive(Clone, Debug)]
pub struct DataVariable {
    pub module: String,
    pub name: String,
    pub ty: TypeId,
    pub init: Init,
    pub span: Span,
}

/// A data module: its variables are initialised by `Init`, then `body` runs, on every processor.
#[derive(Clone, Debug)]
pub struct DataModule {
    pub name: String,
    pub variables: Vec<DataId>,
    /// Its routine; a routine without statements if the unit has no BEGIN part.
    pub routine: Routine,
    pub body: Vec<Stmt>,
}

/// A constant of structured type (string, array, record, set aggregate).
#[derive(Clone, Debug)]
pub struct Constant {
    pub name: String,
    /// An aggregate or string of constants.
    pub value: Expr,
}

/// What every routine has.
#[derive(Clone, Debug)]
pub struct Routine {
    /// As messages name it: `function M.f`, `operation JobBag$take`, `process M.p`, `initialization of O`.
    pub title: String,
    /// Base name of its source file.
    pub file: String,
    /// Parameters first, in order, then variables and FOR variables.
    pub locals: Vec<Local>,
    /// How many of `locals` are parameters.
    pub parameter_count: usize,
    pub result: Option<TypeId>,
    /// The whole routine.
    pub span: Span,
    /// Its closing END, where `no RETURN` is reported.
    pub end: Span,
}

/// A parameter or local variable.
#[derive(Clone, Debug)]
pub struct Local {
    pub name: String,
    pub ty: TypeId,
    pub kind: LocalKind,
    /// For variables and OUT parameters.
    pub init: Init,
    pub span: Span,
}

/// What a local is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    In {
        /// The body assigns it or passes it on as OUT or SHARED, so it needs a copy.
        modified: bool,
    },
    Out,
    Shared,
    Variable,
    /// Of a FOR loop: set by the loop, read-only in the body.
    Loop,
}

/// A function of a module or object.
#[derive(Clone, Debug)]
pub struct Function {
    /// `M.f`.
    pub name: String,
    pub routine: Routine,
    pub body: FunctionBody,
}

/// Where a function's behaviour is.
#[derive(Clone, Debug)]
pub enum FunctionBody {
    Orca(Vec<Stmt>),
    /// Of a standard module, behind this entry of the run-time system.
    Library(orca_abi::symbols::Entry),
}

/// A process type.
#[derive(Clone, Debug)]
pub struct Process {
    /// `M.p`.
    pub name: String,
    pub routine: Routine,
    pub body: Vec<Stmt>,
}

/// An object type.
#[derive(Clone, Debug)]
pub struct Object {
    pub name: String,
    /// The type whose kind is `TypeKind::Object` of this object.
    pub ty: TypeId,
    /// The state.
    pub fields: Vec<Field>,
    /// In the order of the descriptor, which puts READ_ and WRITE_ in front of them: the specification's first.
    pub operations: Vec<Operation>,
    /// The BEGIN part; runs right after the fields are initialised.
    pub init: Option<(Routine, Vec<Stmt>)>,
    /// Some operation reads input or a clock.
    pub single_copy_only: bool,
    pub span: Span,
}

/// An operation of an object type.
#[derive(Clone, Debug)]
pub struct Operation {
    pub name: String,
    pub routine: Routine,
    pub body: OperationBody,
    /// It has guards, or calls an operation that has.
    pub may_block: bool,
    /// It can reach Write.
    pub does_output: bool,
}

/// Either a body or alternatives.
#[derive(Clone, Debug)]
pub enum OperationBody {
    Plain { class: AccessClass, body: Vec<Stmt> },
    Guards(Vec<Alternative>),
}

/// One guarded alternative.
#[derive(Clone, Debug)]
pub struct Alternative {
    pub class: AccessClass,
    /// The guard itself writes the object: if it yields false, the state must be put back.
    pub guard_writes: bool,
    pub guard: Expr,
    pub body: Vec<Stmt>,
    pub span: Span,
}

/// Whether something changes the state of the operation's object (ORCA.md 9.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessClass {
    Read,
    Write,
}

/// A designator: a base and a path into it.
#[derive(Clone, Debug)]
pub struct Place {
    pub base: Base,
    /// From the base inwards.
    pub path: Vec<Step>,
    /// Of the whole designator.
    pub ty: TypeId,
    pub span: Span,
}

/// Where a designator starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Local(LocalId),
    /// A field of the object on which the operation or initialisation runs.
    OwnField(FieldId),
    /// The object itself: only as the object of an operation call.
    SelfObject,
    Data(DataId),
    Constant(ConstantId),
}

/// One step of a designator.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: StepKind,
    /// The type after the step.
    pub ty: TypeId,
    pub span: Span,
}

/// What a step selects.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// A field of a record.
    Field(FieldId),
    /// A root field of a graph.
    RootField(FieldId),
    /// A field of the node that the preceding `Node` step selected.
    NodeField(FieldId),
    /// A field of a private copy of an object of the operation's own type (`x.f`).
    ObjectField(FieldId),
    /// An array element: one index a dimension, each of the dimension's index type.
    Index(Vec<Expr>),
    /// A node of a graph by name; `ty` is the graph type, a `NodeField` follows. `g!f` is `g[g.f]`, written out.
    Node(Box<Expr>),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: TypeId,
    pub span: Span,
}

/// What an expression computes.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A value of an integer-like type, char, boolean (0, 1) or enumeration (ordinal).
    Integer(i64),
    Real(f64),
    /// A string literal.
    Text(Vec<u8>),
    /// NIL of a nodename type.
    Nil,
    Place(Place),
    /// Between integer widths (low bits kept), or between real widths.
    Convert(Box<Expr>),
    Unary(UnaryOp, Box<Expr>),
    /// `span` of the operator is where a division traps.
    Binary(BinaryOp, Box<Expr>, Box<Expr>, Span),
    /// AND, OR: the right side only if needed.
    Logical(LogicalOp, Box<Expr>, Box<Expr>),
    /// Any comparable type for `=` and `/=`.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// Element IN set or bag.
    In(Box<Expr>, Box<Expr>),
    /// A record's fields in order.
    RecordAggregate(Vec<Expr>),
    /// The elements of a set or bag, inserted in order.
    SetAggregate(Vec<Expr>),
    /// All elements row-major; constant (lower, upper) ordinals a dimension.
    ArrayAggregate {
        bounds: Vec<(i64, i64)>,
        elements: Vec<Expr>,
    },
    Call(Box<Call>),
    Invoke(Box<Invocation>),
    Standard(StandardFunction, Vec<Expr>),
    /// SIZE, LB, UB of something that has a place (`dimension` from 0).
    Measure(Measure, Box<Expr>),
    /// FROM(s).
    From(Place),
    /// ADDNODE(g).
    AddNode(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// Wraps for integers.
    Negate,
    Not,
    /// `~`
    Complement,
}

/// Arithmetic on two operands of one type. `+ - * /` on sets and bags are union, difference, intersection, symmetric difference.
/// For shifts the right operand is an integer of any width (as `longint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalOp {
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
}

/// Standard functions of one scalar argument or none; the result type is the expression's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardFunction {
    Abs,
    Cap,
    /// Range checked.
    Chr,
    Float,
    Odd,
    Ord,
    /// Saturates.
    Trunc,
    /// VAL(T, i), T being the expression's type: range checked for char, boolean, enumerations; a conversion for integers.
    Val,
    Ncpus,
    Mycpu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Size,
    Lower { dimension: usize },
    Upper { dimension: usize },
}

/// An actual parameter.
#[derive(Clone, Debug)]
pub enum Argument {
    In(Expr),
    Out(Place),
    Shared(Place),
}

/// A function call.
#[derive(Clone, Debug)]
pub struct Call {
    pub function: FunctionId,
    pub arguments: Vec<Argument>,
    /// Pairs of arguments that may denote overlapping places only at run time: checked before the call (`illegal alias`).
    pub alias_checks: Vec<(usize, usize)>,
    pub span: Span,
}

/// An operation call. Inside an operation, on `SelfObject` or a nested object: a direct call.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The object's designator; its type is an object type.
    pub object: Place,
    pub operation: OperationId,
    pub arguments: Vec<Argument>,
    pub alias_checks: Vec<(usize, usize)>,
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

/// A branch of CASE: ranges of ordinals, both ends included, and what is done for them.
pub type CaseBranch = (Vec<(i64, i64)>, Vec<Stmt>);

/// What a statement does.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// Designator's subexpressions, then the value, then the store.
    Assign {
        place: Place,
        value: Expr,
    },
    /// `place op:= value`: the designator once; `span` of the operator is where a division traps.
    AssignBinary {
        place: Place,
        op: BinaryOp,
        value: Expr,
        operator: Span,
    },
    /// `place AND:= value`, `place OR:= value`: the value only if needed.
    AssignLogical {
        place: Place,
        op: LogicalOp,
        value: Expr,
    },
    Call(Call),
    Invoke(Invocation),
    /// FROM(s) as a statement.
    Discard(Expr),
    Fork {
        process: ProcessId,
        arguments: Vec<Argument>,
        alias_checks: Vec<(usize, usize)>,
        on: Option<Expr>,
    },
    Exit,
    Return(Option<Expr>),
    /// Conditions in order, then ELSE.
    If {
        branches: Vec<(Expr, Vec<Stmt>)>,
        otherwise: Vec<Stmt>,
    },
    /// Without `otherwise`, no match is a case error at `span`.
    Case {
        selector: Expr,
        branches: Vec<CaseBranch>,
        otherwise: Option<Vec<Stmt>>,
    },
    While {
        condition: Expr,
        body: Vec<Stmt>,
    },
    Loop(Vec<Stmt>),
    Repeat {
        body: Vec<Stmt>,
        until: Expr,
    },
    ForRange {
        variable: LocalId,
        from: Expr,
        to: Expr,
        body: Vec<Stmt>,
    },
    /// Over a copy of a set or bag.
    ForEach {
        variable: LocalId,
        set: Expr,
        body: Vec<Stmt>,
    },
    Insert {
        element: Expr,
        set: Place,
    },
    Delete {
        element: Expr,
        set: Place,
    },
    DeleteNode {
        graph: Place,
        node: Expr,
    },
    Assert(Expr),
    Strategy {
        object: Place,
        replicate: Expr,
        cpu: Expr,
    },
    Read(Vec<Place>),
    /// Integers, reals, chars and strings.
    Write {
        arguments: Vec<Expr>,
        newline: bool,
    },
}
