//! The tree as written: whole language, spans everywhere, nothing resolved.
//!
//! It does not know what a name means: `M.x`, `record.field` and `Object.Type` are the same `Designator` here, and a bare
//! designator may be a type name where the standard functions MAX, MIN and VAL or a generic actual want one. Parentheses
//! are kept. `Error` nodes stand for text that did not parse; whoever meets one stays silent, the user has been told.
//!
//! Depth is bounded by the parser (`parser::DEPTH_MAX`), so recursion over a tree needs no guard.
//!
//! Implements: ORCA.md section 2.

pub mod print;

use crate::source::{FileId, Span};
use crate::symbol::Symbol;

/// A name where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ident {
    /// The name.
    pub name: Symbol,
    /// Where.
    pub span: Span,
}

/// `a.b.c`; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QualName {
    /// The whole.
    pub span: Span,
    /// Its parts, from the left.
    pub parts: Vec<Ident>,
}

/// A source file.
#[derive(Clone, Debug)]
pub struct File {
    /// Which.
    pub id: FileId,
    /// Units in the order of the text; loose declarations form one unit with `implicit` set, at the place of the first.
    pub units: Vec<Unit>,
}

/// What a unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitKind {
    /// `MODULE`
    Module,
    /// `DATA MODULE`
    Data,
    /// `OBJECT`
    Object,
}

/// Which half of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitPart {
    /// `SPECIFICATION`
    Specification,
    /// `IMPLEMENTATION`
    Implementation,
}

/// A specification or an implementation.
#[derive(Clone, Debug)]
pub struct Unit {
    /// From the first keyword to the closing `END`.
    pub span: Span,
    /// Module, data module or object.
    pub kind: UnitKind,
    /// Specification or implementation.
    pub part: UnitPart,
    /// Its name; of an implicit module, the file's name without extension.
    pub name: Ident,
    /// `GENERIC ...`
    pub generic: Option<Generic>,
    /// `[integer lo..hi, ...]` of a partitioned object; empty otherwise.
    pub shape: Vec<ShapeDim>,
    /// Declarations and routines in the order of the text.
    pub decls: Vec<Decl>,
    /// The `BEGIN` part of an object or data module.
    pub init: Option<Block>,
    /// Made of loose declarations in a `.orca` file, without a head of its own.
    pub implicit: bool,
}

/// That a unit is generic.
#[derive(Clone, Debug)]
pub struct Generic {
    /// `GENERIC` and the parameters.
    pub span: Span,
    /// The formal parameters; empty in an implementation.
    pub params: Vec<GenericParam>,
}

/// One generic formal.
#[derive(Clone, Debug)]
pub struct GenericParam {
    /// The whole.
    pub span: Span,
    /// Its name.
    pub name: Ident,
    /// What it stands for.
    pub kind: GenericParamKind,
}

/// What a generic formal stands for.
#[derive(Clone, Debug)]
pub enum GenericParamKind {
    /// `TYPE T`
    Type,
    /// `SCALAR TYPE T`
    ScalarType,
    /// `NUMERIC TYPE T`
    NumericType,
    /// `FUNCTION f(...) : T`
    Function {
        /// The formals.
        params: Vec<Param>,
        /// The result.
        result: Option<ResultType>,
    },
    /// `CONST c : T`
    Const(QualName),
}

/// A dimension of a partitioned object.
#[derive(Clone, Debug)]
pub struct ShapeDim {
    /// The whole.
    pub span: Span,
    /// The index type.
    pub index: QualName,
    /// The names of the bounds, in an implementation.
    pub bounds: Option<(Ident, Ident)>,
}

/// A declaration.
#[derive(Clone, Debug)]
pub struct Decl {
    /// The whole, with its `;`.
    pub span: Span,
    /// What is declared.
    pub kind: DeclKind,
}

/// What is declared.
#[derive(Clone, Debug)]
pub enum DeclKind {
    /// `[FROM m] IMPORT a, b;`
    Import {
        /// The unit whose names are listed; without it, the names are units.
        from: Option<Ident>,
        /// What is imported; never empty.
        names: Vec<Ident>,
    },
    /// `OBJECT name = NEW generic(actuals);`
    Instantiation {
        /// Module or object, as written.
        kind: UnitKind,
        /// The new unit.
        name: Ident,
        /// The generic unit.
        generic: Ident,
        /// Types, functions or constants.
        actuals: Vec<Expr>,
    },
    /// `CONST name = value;`
    Const {
        /// Its name.
        name: Ident,
        /// Its value.
        value: Expr,
    },
    /// `TYPE name = ty;`, or the opaque `TYPE name;`
    Type {
        /// Its name.
        name: Ident,
        /// Its definition; `None`: opaque.
        ty: Option<Type>,
    },
    /// `a, b: ty;`
    Var {
        /// The names; never empty.
        names: Vec<Ident>,
        /// Their type, perhaps with bounds or a tag.
        ty: Type,
    },
    /// A function, process or operation.
    Routine(Box<Routine>),
    /// Text that did not parse.
    Error,
}

/// What a routine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoutineKind {
    /// `FUNCTION`
    Function,
    /// `PROCESS`
    Process,
    /// `OPERATION`
    Operation,
}

/// A head, perhaps with a body.
#[derive(Clone, Debug)]
pub struct Routine {
    /// `FUNCTION ... ;` without the body.
    pub head: Span,
    /// Function, process or operation.
    pub kind: RoutineKind,
    /// The index names of a `PARALLEL OPERATION[i, j]`.
    pub parallel: Option<Vec<Ident>>,
    /// Its name.
    pub name: Ident,
    /// The formals in order.
    pub params: Vec<Param>,
    /// The result type.
    pub result: Option<ResultType>,
    /// `None`: a head alone.
    pub body: Option<Body>,
}

/// How a parameter is passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A copy.
    In,
    /// A new variable, copied back at return.
    Out,
    /// The actual itself.
    Shared,
}

/// One section of formal parameters: `a, b: OUT T`.
#[derive(Clone, Debug)]
pub struct Param {
    /// The whole.
    pub span: Span,
    /// The names; never empty.
    pub names: Vec<Ident>,
    /// How they are passed.
    pub mode: Mode,
    /// The mode's keyword, if written.
    pub mode_span: Option<Span>,
    /// Their type; with bounds or tag only for OUT.
    pub ty: Type,
    /// How the values of a parallel operation are brought together (OUT only).
    pub collect: Option<Collect>,
}

/// `: T`, or for a parallel operation `: GATHER T` or `: REDUCE T WITH f`.
#[derive(Clone, Debug)]
pub struct ResultType {
    /// The whole behind the colon.
    pub span: Span,
    /// The type.
    pub ty: QualName,
    /// How the values of a parallel operation are brought together.
    pub collect: Option<Collect>,
}

/// How the values of a parallel operation are brought together.
#[derive(Clone, Debug)]
pub enum Collect {
    /// Into an array.
    Gather,
    /// Two by two.
    Reduce {
        /// The combining function.
        with: Ident,
    },
}

/// The body of a routine.
#[derive(Clone, Debug)]
pub struct Body {
    /// From the first declaration or `BEGIN` to `END`.
    pub span: Span,
    /// Constants, types and variables.
    pub decls: Vec<Decl>,
    /// `DEPENDENCIES ... END;` of a parallel operation.
    pub dependencies: Option<Block>,
    /// What is executed.
    pub code: Code,
    /// The closing `END`.
    pub end: Span,
}

/// What a body executes.
#[derive(Clone, Debug)]
pub enum Code {
    /// Ordinary statements.
    Statements(Block),
    /// Guards, at least one.
    Guards(Vec<Guard>),
}

/// `GUARD condition DO ... OD;`
#[derive(Clone, Debug)]
pub struct Guard {
    /// The whole.
    pub span: Span,
    /// When it may run.
    pub condition: Expr,
    /// What it does.
    pub body: Block,
}

/// A sequence of statements.
#[derive(Clone, Debug)]
pub struct Block {
    /// From its first statement to the keyword behind it.
    pub span: Span,
    /// The statements; empty ones are left out.
    pub stmts: Vec<Stmt>,
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct Type {
    /// The whole.
    pub span: Span,
    /// Which.
    pub kind: TypeKind,
}

/// The forms of types.
#[derive(Clone, Debug)]
pub enum TypeKind {
    /// `T`, `M.T`, `T[1..n][1..m]`, `T(tag)`
    Named {
        /// The type.
        name: QualName,
        /// Bounds, one element a bracket pair; empty mostly.
        bounds: Vec<Bounds>,
        /// The initial tag of a union.
        tag: Option<Box<Expr>>,
    },
    /// `(red, green)`
    Enumeration(Vec<Ident>),
    /// `RECORD ... END`
    Record(Vec<Fields>),
    /// `UNION (tag: T (default)) ... END`
    Union {
        /// The tag field.
        tag: Ident,
        /// Its type.
        tag_type: QualName,
        /// Its initial value.
        default: Option<Box<Expr>>,
        /// At least one.
        alternatives: Vec<Alternative>,
    },
    /// `ARRAY [dims] OF element`
    Array {
        /// At least one.
        dims: Vec<Dim>,
        /// What it holds.
        element: Box<Type>,
    },
    /// `SET OF T`
    Set(Box<Type>),
    /// `BAG OF T`
    Bag(Box<Type>),
    /// `GRAPH root NODES node END`
    Graph {
        /// Fields of the whole.
        root: Vec<Fields>,
        /// Fields of every node.
        node: Vec<Fields>,
    },
    /// `NODENAME OF graph`
    NodeName(Ident),
    /// `FUNCTION (IN T, SHARED U) : V`
    Function {
        /// Modes and types.
        params: Vec<FunctionTypeParam>,
        /// The result.
        result: Option<QualName>,
    },
    /// Text that did not parse.
    Error,
}

/// `a, b: T;` inside a record or graph.
#[derive(Clone, Debug)]
pub struct Fields {
    /// The whole.
    pub span: Span,
    /// The names; never empty.
    pub names: Vec<Ident>,
    /// Their type.
    pub ty: Type,
}

/// `label => name: T;` inside a union.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// The whole.
    pub span: Span,
    /// The tag's value.
    pub label: Expr,
    /// The field.
    pub name: Ident,
    /// Its type.
    pub ty: Type,
}

/// `[1..n, 1..m]`
#[derive(Clone, Debug)]
pub struct Bounds {
    /// With the brackets.
    pub span: Span,
    /// One a dimension; at least one.
    pub ranges: Vec<Range>,
}

/// `low .. high`
#[derive(Clone, Debug)]
pub struct Range {
    /// The whole.
    pub span: Span,
    /// The first.
    pub low: Expr,
    /// The last.
    pub high: Expr,
}

/// A dimension of an array type: `integer` or `integer 1..4`.
#[derive(Clone, Debug)]
pub struct Dim {
    /// The whole.
    pub span: Span,
    /// The index type.
    pub index: QualName,
    /// Fixed bounds.
    pub range: Option<Range>,
}

/// A parameter of a function type.
#[derive(Clone, Debug)]
pub struct FunctionTypeParam {
    /// The whole.
    pub span: Span,
    /// How it is passed.
    pub mode: Mode,
    /// Its type.
    pub ty: QualName,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// Without its `;`.
    pub span: Span,
    /// Which.
    pub kind: StmtKind,
}

/// The forms of statements.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `target := value`, `target +:= value`
    Assign {
        /// What changes.
        target: Designator,
        /// `None`: plain `:=`. Otherwise one of Add Sub Mul Div Mod BitOr BitAnd BitXor Or And Shl Shr.
        op: Option<BinaryOp>,
        /// The `:=`, with its operator.
        op_span: Span,
        /// The new value or right operand.
        value: Expr,
    },
    /// `f(args)`
    Call(Call),
    /// `object$operation(args)`
    Operation(OperationCall),
    /// `FORK p(args) ON cpu`
    Fork {
        /// The process.
        process: QualName,
        /// The actuals.
        args: Vec<Expr>,
        /// The parentheses and what is in them.
        args_span: Span,
        /// Where it runs.
        on: Option<Expr>,
    },
    /// `EXIT`
    Exit,
    /// `RETURN e`
    Return(Option<Expr>),
    /// `IF .. THEN .. ELSIF .. ELSE .. FI`
    If {
        /// Conditions with their statements, at least one.
        arms: Vec<IfArm>,
        /// The ELSE part.
        otherwise: Option<Block>,
    },
    /// `CASE .. OF .. ESAC`
    Case {
        /// What is looked at.
        selector: Expr,
        /// The alternatives; empty ones are left out.
        arms: Vec<CaseArm>,
        /// The ELSE part.
        otherwise: Option<Block>,
    },
    /// `WHILE c DO .. OD`
    While {
        /// Tested before each turn.
        condition: Expr,
        /// The turn.
        body: Block,
    },
    /// `DO .. OD`
    Loop(Block),
    /// `REPEAT .. UNTIL c`
    Repeat {
        /// The turn.
        body: Block,
        /// Tested after each turn.
        until: Expr,
    },
    /// `FOR v IN low .. high DO .. OD`
    ForRange {
        /// Declared by this statement.
        variable: Ident,
        /// From, to.
        range: Range,
        /// The turn.
        body: Block,
    },
    /// `FOR v IN set DO .. OD`
    ForEach {
        /// Declared by this statement.
        variable: Ident,
        /// A set or bag.
        elements: Expr,
        /// The turn.
        body: Block,
    },
    /// `FROM(s)`, its result discarded.
    From {
        /// The actuals.
        args: Vec<Expr>,
        /// The parentheses and what is in them.
        args_span: Span,
    },
    /// `object$$directive(args)`
    Directive {
        /// A partitioned object.
        object: Designator,
        /// Which directive.
        directive: Ident,
        /// The actuals.
        args: Vec<Expr>,
        /// The parentheses and what is in them.
        args_span: Span,
    },
    /// `ACCESS[e, ...]`
    Access(Vec<Expr>),
    /// Text that did not parse.
    Error,
}

/// `IF condition THEN body`
#[derive(Clone, Debug)]
pub struct IfArm {
    /// From `IF` or `ELSIF` to the end of the body.
    pub span: Span,
    /// Tested.
    pub condition: Expr,
    /// Done if true.
    pub body: Block,
}

/// `labels => body`
#[derive(Clone, Debug)]
pub struct CaseArm {
    /// The whole.
    pub span: Span,
    /// At least one.
    pub labels: Vec<CaseLabel>,
    /// What is done.
    pub body: Block,
}

/// `low` or `low .. high`
#[derive(Clone, Debug)]
pub struct CaseLabel {
    /// The whole.
    pub span: Span,
    /// The first or only value.
    pub low: Expr,
    /// The last value.
    pub high: Option<Expr>,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The whole.
    pub span: Span,
    /// Which.
    pub kind: ExprKind,
}

/// The forms of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `12`, `17B`, `0FFH`
    Int {
        /// The value; a decimal one is below 2^63, others use all 64 bits.
        value: u64,
        /// Decimal, octal or hexadecimal: decimal ones warn when they do not fit, others wrap.
        radix: Radix,
    },
    /// `1.5`
    Real(f64),
    /// `'c'`
    Char(u8),
    /// `"text"`: the contents, escapes resolved; its bytes are the characters.
    String(Symbol),
    /// A variable, constant, type, ...
    Designator(Designator),
    /// `f(args)`
    Call(Call),
    /// `object$operation(args)`
    Operation(OperationCall),
    /// `T:{a, b}`
    BraceAggregate {
        /// The type.
        ty: QualName,
        /// The values.
        elements: Vec<Expr>,
    },
    /// `T:[a, b]`, `T:[[a, b], [c, d]]`
    ArrayAggregate {
        /// The type.
        ty: QualName,
        /// Values, or rows of them.
        elements: Vec<Element>,
    },
    /// `FROM(s)`
    From {
        /// The actuals.
        args: Vec<Expr>,
        /// The parentheses and what is in them.
        args_span: Span,
    },
    /// `(e)`
    Paren(Box<Expr>),
    /// `NOT e`, `-e`
    Unary {
        /// Which.
        op: UnaryOp,
        /// The operator.
        op_span: Span,
        /// To what.
        operand: Box<Expr>,
    },
    /// `a + b`
    Binary {
        /// Which.
        op: BinaryOp,
        /// The operator.
        op_span: Span,
        /// Evaluated first.
        left: Box<Expr>,
        /// Evaluated second, or not at all by AND and OR.
        right: Box<Expr>,
    },
    /// Text that did not parse.
    Error,
}

/// How an integer was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Radix {
    /// `12`
    Decimal,
    /// `14B`
    Octal,
    /// `0CH`
    Hex,
}

/// An element of an array aggregate.
#[derive(Clone, Debug)]
pub enum Element {
    /// A value.
    Value(Expr),
    /// `[...]`, a row of the next dimension.
    Row {
        /// With the brackets.
        span: Span,
        /// Values, or rows of them.
        elements: Vec<Element>,
    },
}

/// `name { .field | [index, ...] | !root }`
#[derive(Clone, Debug)]
pub struct Designator {
    /// The whole.
    pub span: Span,
    /// The leading name.
    pub root: Ident,
    /// What is selected, step by step.
    pub selectors: Vec<Selector>,
}

/// A step of a designator.
#[derive(Clone, Debug)]
pub struct Selector {
    /// With its `.`, `!` or brackets.
    pub span: Span,
    /// Which.
    pub kind: SelectorKind,
}

/// The steps of a designator.
#[derive(Clone, Debug)]
pub enum SelectorKind {
    /// `.name`: a field, or a name of a unit.
    Field(Ident),
    /// `[i, j]`: at least one.
    Index(Vec<Expr>),
    /// `!name`: the node that root field `name` of a graph names.
    Root(Ident),
}

/// `callee(args)`
#[derive(Clone, Debug)]
pub struct Call {
    /// A function, or a variable of function type.
    pub callee: Designator,
    /// The actuals.
    pub args: Vec<Expr>,
    /// The parentheses and what is in them.
    pub args_span: Span,
}

/// `object$operation(args)`
#[derive(Clone, Debug)]
pub struct OperationCall {
    /// The object, or SELF.
    pub object: Designator,
    /// What is done to it.
    pub operation: Ident,
    /// The actuals.
    pub args: Vec<Expr>,
    /// The parentheses and what is in them.
    pub args_span: Span,
}

/// Prefix operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `NOT`
    Not,
    /// `~`
    BitNot,
}

/// Infix operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `|`
    BitOr,
    /// `&`
    BitAnd,
    /// `^`, exclusive or
    BitXor,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `=`
    Eq,
    /// `/=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `IN`
    In,
}

impl UnaryOp {
    /// As written in upper-case files.
    pub fn text(self) -> &'static str {
        match self {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
            UnaryOp::Not => "NOT",
            UnaryOp::BitNot => "~",
        }
    }
}

impl BinaryOp {
    /// As written in upper-case files.
    pub fn text(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::BitOr => "|",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitXor => "^",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::And => "AND",
            BinaryOp::Or => "OR",
            BinaryOp::Eq => "=",
            BinaryOp::Ne => "/=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::In => "IN",
        }
    }
}

impl QualName {
    /// The last part.
    pub fn last(&self) -> Ident {
        *self.parts.last().expect("a qualified name has a part")
    }
}

impl Designator {
    /// The designator as a qualified name, if it selects only by `.`.
    pub fn as_qual_name(&self) -> Option<QualName> {
        let mut parts = vec![self.root];
        for selector in &self.selectors {
            match selector.kind {
                SelectorKind::Field(ident) => parts.push(ident),
                SelectorKind::Index(_) | SelectorKind::Root(_) => return None,
            }
        }
        Some(QualName {
            span: self.span,
            parts,
        })
    }
}
