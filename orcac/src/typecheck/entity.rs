//! What names mean and what is known about units, routines and objects while they are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::ast::{Ident, Mode, Unit, UnitKind};
use crate::hir::{
    ConstantId, DataId, FieldId, FunctionId, Init, Local, LocalId, ObjectId, ProcessId, TypeId,
};
use crate::resolve::UnitId;
use crate::resolve::scope::Scope;
use crate::source::Span;
use crate::symbol::Symbol;

use super::types::Ty;
use super::value::Value;

/// A unit that is not generic, or one instantiation of a generic one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct InstanceId(pub(crate) u32);

impl InstanceId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a name means.
#[derive(Clone, Debug)]
pub(crate) enum Entity {
    /// Was reported; silences whatever uses it.
    Error,
    Type(Ty),
    Const(Rc<Const>),
    Function(FunctionId),
    Process(ProcessId),
    /// A module, or an object with its type.
    Unit(InstanceId),
    Data(DataId),
    Local(LocalId),
    OwnField(ObjectId, FieldId),
    Standard(Standard),
    SelfObject,
    Nil,
}

impl Entity {
    /// As messages say it.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Entity::Error => "unknown",
            Entity::Type(_) => "a type",
            Entity::Const(_) => "a constant",
            Entity::Function(_) => "a function",
            Entity::Process(_) => "a process",
            Entity::Unit(_) => "a unit",
            Entity::Data(_) => "a data-module variable",
            Entity::Local(_) => "a variable",
            Entity::OwnField(..) => "an object field",
            Entity::Standard(_) => "a standard function",
            Entity::SelfObject => "the object itself",
            Entity::Nil => "a value",
        }
    }
}

/// A constant.
#[derive(Clone, Debug)]
pub(crate) struct Const {
    pub(crate) ty: Ty,
    pub(crate) value: Value,
    /// Where a structured constant is kept.
    pub(crate) id: Option<ConstantId>,
    /// Written in octal or hexadecimal: wraps silently.
    pub(crate) quiet: bool,
    pub(crate) is_literal: bool,
}

/// The standard functions that are called like others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Standard {
    Abs,
    Cap,
    Chr,
    Float,
    Trunc,
    Max,
    Min,
    Odd,
    Ord,
    Val,
    Ncpus,
    Mycpu,
    Size,
    Lb,
    Ub,
    AddNode,
    DeleteNode,
    Insert,
    Delete,
    Assert,
    Strategy,
    Read,
    Write,
    WriteLine,
}

/// The upper-case names of the standard functions; in lower-case files those up to `Assert` are written in lower case.
pub(crate) const STANDARD: [(&str, Standard); 20] = [
    ("ABS", Standard::Abs),
    ("CAP", Standard::Cap),
    ("CHR", Standard::Chr),
    ("FLOAT", Standard::Float),
    ("TRUNC", Standard::Trunc),
    ("MAX", Standard::Max),
    ("MIN", Standard::Min),
    ("ODD", Standard::Odd),
    ("ORD", Standard::Ord),
    ("VAL", Standard::Val),
    ("NCPUS", Standard::Ncpus),
    ("MYCPU", Standard::Mycpu),
    ("SIZE", Standard::Size),
    ("LB", Standard::Lb),
    ("UB", Standard::Ub),
    ("ADDNODE", Standard::AddNode),
    ("DELETENODE", Standard::DeleteNode),
    ("INSERT", Standard::Insert),
    ("DELETE", Standard::Delete),
    ("ASSERT", Standard::Assert),
];

/// Spelled so in every file.
pub(crate) const STANDARD_MIXED: [(&str, Standard); 4] = [
    ("Strategy", Standard::Strategy),
    ("Read", Standard::Read),
    ("Write", Standard::Write),
    ("WriteLine", Standard::WriteLine),
];

impl Standard {
    /// As messages name it.
    pub(crate) fn name(self) -> &'static str {
        STANDARD
            .iter()
            .chain(&STANDARD_MIXED)
            .find(|(_, standard)| *standard == self)
            .map(|(name, _)| *name)
            .expect("every standard function has a name")
    }
}

/// A unit as it is used: its specification's names, what its implementation sees.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) unit: UnitId,
    /// As messages name it.
    pub(crate) name: String,
    pub(crate) kind: UnitKind,
    pub(crate) library: bool,
    /// Of a generic unit; `abstract_`: with its formals standing for themselves.
    pub(crate) generic: bool,
    pub(crate) abstract_: bool,
    /// Where the generic unit was instantiated.
    pub(crate) parent: Option<InstanceId>,
    /// The specification is being declared.
    pub(crate) open: bool,
    /// What the generic formals stand for.
    pub(crate) bindings: Vec<(Symbol, Entity)>,
    pub(crate) exports: Scope<Entity>,
    /// All names of the implementation.
    pub(crate) scope: Scope<Entity>,
    pub(crate) object: Option<ObjectId>,
    /// Partitioned objects have no type yet.
    pub(crate) refused: bool,
    /// Some declaration did not parse: unknown names are its fault.
    pub(crate) poisoned: bool,
    pub(crate) imports: BTreeSet<InstanceId>,
    pub(crate) functions: Vec<FunctionId>,
    pub(crate) processes: Vec<ProcessId>,
    pub(crate) data: Vec<DataId>,
    /// The data module's BEGIN part, checked.
    pub(crate) init: Option<(crate::hir::Routine, Vec<crate::hir::Stmt>)>,
}

/// One formal parameter.
#[derive(Clone, Debug)]
pub(crate) struct Formal {
    pub(crate) name: Symbol,
    pub(crate) mode: Mode,
    pub(crate) ty: Ty,
    pub(crate) span: Span,
}

/// A head.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) formals: Vec<Formal>,
    pub(crate) result: Option<Ty>,
    pub(crate) span: Span,
}

/// Where a routine's text is: a declaration of a unit.
#[derive(Clone, Debug)]
pub(crate) struct BodyRef {
    pub(crate) unit: Rc<Unit>,
    pub(crate) decl: usize,
}

/// A function while it is checked.
#[derive(Clone, Debug)]
pub(crate) struct FunctionData {
    pub(crate) name: String,
    pub(crate) instance: InstanceId,
    pub(crate) signature: Signature,
    pub(crate) text: Option<BodyRef>,
    pub(crate) done: Option<crate::hir::Function>,
}

/// A process type while it is checked.
#[derive(Clone, Debug)]
pub(crate) struct ProcessData {
    pub(crate) name: Symbol,
    pub(crate) instance: InstanceId,
    pub(crate) signature: Signature,
    pub(crate) text: Option<BodyRef>,
    pub(crate) done: Option<crate::hir::Process>,
}

/// An object type while it is checked.
#[derive(Clone, Debug)]
pub(crate) struct ObjectData {
    pub(crate) name: String,
    pub(crate) ty: TypeId,
    pub(crate) instance: InstanceId,
    pub(crate) fields: Vec<crate::hir::Field>,
    pub(crate) field_names: BTreeMap<Symbol, FieldId>,
    pub(crate) operations: Vec<OperationData>,
    pub(crate) init: Option<(crate::hir::Routine, Vec<crate::hir::Stmt>)>,
    pub(crate) span: Span,
}

/// An operation while it is checked.
#[derive(Clone, Debug)]
pub(crate) struct OperationData {
    pub(crate) name: Symbol,
    pub(crate) exported: bool,
    pub(crate) signature: Signature,
    pub(crate) text: Option<BodyRef>,
    pub(crate) done: Option<crate::hir::Operation>,
}

/// What kind of code is being checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Within {
    Function,
    Process,
    Operation(ObjectId),
    ObjectInit(ObjectId),
    DataInit,
}

impl Within {
    /// The object whose fields are in sight.
    pub(crate) fn object(self) -> Option<ObjectId> {
        match self {
            Within::Operation(object) | Within::ObjectInit(object) => Some(object),
            Within::Function | Within::Process | Within::DataInit => None,
        }
    }
}

/// How a local is used.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct LocalUse {
    pub(crate) used: bool,
    pub(crate) assigned: bool,
}

/// The routine being checked.
#[derive(Debug)]
pub(crate) struct RoutineCx {
    pub(crate) within: Within,
    pub(crate) locals: Vec<Local>,
    pub(crate) uses: Vec<LocalUse>,
    /// The routine's own, then one for each FOR around.
    pub(crate) scopes: Vec<Scope<Entity>>,
    pub(crate) result: Option<Ty>,
    pub(crate) loops: usize,
    /// A RETURN with a value was seen.
    pub(crate) returns_value: bool,
    /// Outer names used while declarations go on.
    pub(crate) outer_used: BTreeMap<Symbol, Span>,
    pub(crate) declaring: bool,
    /// Some declaration did not parse.
    pub(crate) poisoned: bool,
}

impl RoutineCx {
    pub(crate) fn new(within: Within, result: Option<Ty>) -> RoutineCx {
        RoutineCx {
            within,
            locals: Vec::new(),
            uses: Vec::new(),
            scopes: vec![Scope::default()],
            result,
            loops: 0,
            returns_value: false,
            outer_used: BTreeMap::new(),
            declaring: true,
            poisoned: false,
        }
    }
}

/// Where the checker is.
#[derive(Default, Debug)]
pub(crate) struct Context {
    pub(crate) instance: InstanceId,
    pub(crate) scope: Scope<Entity>,
    /// Spellings of standard names.
    pub(crate) lower: bool,
    pub(crate) upper: bool,
    pub(crate) routine: Option<RoutineCx>,
    /// Nodename types whose graph is not declared yet.
    pub(crate) open_nodenames: Vec<(TypeId, Ident)>,
    /// Inside bounds, where variables and calls may not stand.
    pub(crate) in_bounds: bool,
}

/// A type with what a declaration adds to it.
#[derive(Clone, Debug)]
pub(crate) struct SubType {
    pub(crate) ty: Ty,
    pub(crate) init: Init,
}
