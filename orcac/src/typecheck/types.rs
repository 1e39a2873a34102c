//! The table of types while a program is checked, and what types may do with each other.
//!
//! A `Ty` is a type of the table, or one of the few that only expressions have: universal constants, NIL, the node just
//! added to a graph, and the error type, which fits everywhere and says nothing.
//!
//! Implements: ORCA.md 4.1, 4.2, 5.5.

use std::collections::{BTreeMap, BTreeSet};

use crate::hir::{ArrayBounds, ArrayType, Field, Init, ObjectId, Type, TypeId, TypeKind};

pub(crate) const SHORTINT: TypeId = TypeId(0);
pub(crate) const INTEGER: TypeId = TypeId(1);
pub(crate) const LONGINT: TypeId = TypeId(2);
pub(crate) const SHORTREAL: TypeId = TypeId(3);
pub(crate) const REAL: TypeId = TypeId(4);
pub(crate) const LONGREAL: TypeId = TypeId(5);
pub(crate) const BOOLEAN: TypeId = TypeId(6);
pub(crate) const CHAR: TypeId = TypeId(7);
pub(crate) const STRING: TypeId = TypeId(8);

/// The predeclared types by name.
pub(crate) const PREDECLARED: [(&str, TypeId); 9] = [
    ("shortint", SHORTINT),
    ("integer", INTEGER),
    ("longint", LONGINT),
    ("shortreal", SHORTREAL),
    ("real", REAL),
    ("longreal", LONGREAL),
    ("boolean", BOOLEAN),
    ("char", CHAR),
    ("string", STRING),
];

/// The type of an expression.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Ty {
    /// Of something that was reported.
    Error,
    /// Of an untyped integer constant.
    Integer,
    /// Of an untyped real constant.
    Real,
    /// Of NIL.
    Nil,
    /// Of ADDNODE on this graph type.
    Added(TypeId),
    /// Of the table.
    Of(TypeId),
}

impl Ty {
    pub(crate) fn id(self) -> Option<TypeId> {
        match self {
            Ty::Of(id) => Some(id),
            _ => None,
        }
    }

    pub(crate) fn is_error(self) -> bool {
        self == Ty::Error
    }

    pub(crate) fn is_universal(self) -> bool {
        matches!(self, Ty::Integer | Ty::Real)
    }
}

/// What a generic unit may do with a formal type while it is checked with its formals abstract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Formal {
    Plain,
    Scalar,
    Numeric,
}

/// All types.
pub(crate) struct Types {
    list: Vec<Type>,
    formals: BTreeMap<TypeId, Formal>,
}

impl Types {
    pub(crate) fn new() -> Types {
        let mut types = Types {
            list: Vec::new(),
            formals: BTreeMap::new(),
        };
        let kinds = [
            TypeKind::ShortInt,
            TypeKind::Integer,
            TypeKind::LongInt,
            TypeKind::ShortReal,
            TypeKind::Real,
            TypeKind::LongReal,
            TypeKind::Boolean,
            TypeKind::Char,
            TypeKind::Array(ArrayType {
                indices: vec![INTEGER],
                bounds: ArrayBounds::Dynamic,
                element: CHAR,
            }),
        ];
        for ((name, id), kind) in PREDECLARED.into_iter().zip(kinds) {
            assert_eq!(
                types.add(name.to_owned(), kind),
                id,
                "the predeclared types come first"
            );
        }
        types
    }

    pub(crate) fn add(&mut self, name: String, kind: TypeKind) -> TypeId {
        let id = TypeId(u32::try_from(self.list.len()).expect("fewer than 2^32 types"));
        self.list.push(Type { name, kind });
        id
    }

    /// A type that stands for a generic formal; it never reaches a program.
    pub(crate) fn add_formal(&mut self, name: String, formal: Formal) -> TypeId {
        let id = self.add(name, TypeKind::Record { fields: Vec::new() });
        self.formals.insert(id, formal);
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets the types from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
        self.formals.retain(|id, _| id.index() < len);
    }

    pub(crate) fn into_list(self) -> Vec<Type> {
        self.list
    }

    pub(crate) fn kind(&self, id: TypeId) -> &TypeKind {
        &self.list[id.index()].kind
    }

    pub(crate) fn set_kind(&mut self, id: TypeId, kind: TypeKind) {
        self.list[id.index()].kind = kind;
    }

    pub(crate) fn set_name(&mut self, id: TypeId, name: String) {
        self.list[id.index()].name = name;
    }

    pub(crate) fn id_name(&self, id: TypeId) -> &str {
        &self.list[id.index()].name
    }

    /// As messages name it.
    pub(crate) fn name(&self, ty: Ty) -> String {
        match ty {
            Ty::Error => "an unknown type".to_owned(),
            Ty::Integer => "an integer constant".to_owned(),
            Ty::Real => "a real constant".to_owned(),
            Ty::Nil => "NIL".to_owned(),
            Ty::Added(graph) => format!("a nodename of `{}`", self.id_name(graph)),
            Ty::Of(id) => format!("`{}`", self.id_name(id)),
        }
    }

    pub(crate) fn array(&self, ty: Ty) -> Option<&ArrayType> {
        match self.kind(ty.id()?) {
            TypeKind::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The element type of a set.
    pub(crate) fn set_element(&self, ty: Ty) -> Option<TypeId> {
        match *self.kind(ty.id()?) {
            TypeKind::Set { element } | TypeKind::Bag { element } => Some(element),
            _ => None,
        }
    }

    pub(crate) fn object(&self, ty: Ty) -> Option<ObjectId> {
        match *self.kind(ty.id()?) {
            TypeKind::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn is_graph(&self, ty: Ty) -> bool {
        ty.id()
            .is_some_and(|id| matches!(self.kind(id), TypeKind::Graph { .. }))
    }

    pub(crate) fn formal(&self, ty: Ty) -> Option<Formal> {
        self.formals.get(&ty.id()?).copied()
    }

    pub(crate) fn is_integer(&self, ty: Ty) -> bool {
        match ty {
            Ty::Integer => true,
            Ty::Of(id) => matches!(
                self.kind(id),
                TypeKind::ShortInt | TypeKind::Integer | TypeKind::LongInt
            ),
            _ => false,
        }
    }

    pub(crate) fn is_real(&self, ty: Ty) -> bool {
        match ty {
            Ty::Real => true,
            Ty::Of(id) => matches!(
                self.kind(id),
                TypeKind::ShortReal | TypeKind::Real | TypeKind::LongReal
            ),
            _ => false,
        }
    }

    /// Takes part in arithmetic.
    pub(crate) fn is_numeric(&self, ty: Ty) -> bool {
        self.is_integer(ty) || self.is_real(ty) || self.formal(ty) == Some(Formal::Numeric)
    }

    pub(crate) fn is_boolean(&self, ty: Ty) -> bool {
        ty == Ty::Of(BOOLEAN)
    }

    pub(crate) fn is_discrete(&self, ty: Ty) -> bool {
        match ty {
            Ty::Integer => true,
            Ty::Of(id) => self.is_integer(ty) || self.ordinals(id).is_some(),
            _ => false,
        }
    }

    /// Has `<`.
    pub(crate) fn is_ordered(&self, ty: Ty) -> bool {
        self.is_discrete(ty)
            || self.is_real(ty)
            || matches!(self.formal(ty), Some(Formal::Scalar | Formal::Numeric))
    }

    /// The number of values of char, boolean and enumerations.
    pub(crate) fn ordinals(&self, id: TypeId) -> Option<i64> {
        match self.kind(id) {
            TypeKind::Boolean => Some(2),
            TypeKind::Char => Some(256),
            TypeKind::Enumeration { literals } => Some(literals.len() as i64),
            _ => None,
        }
    }

    /// The least and greatest value of a discrete type.
    pub(crate) fn range(&self, id: TypeId) -> Option<(i64, i64)> {
        Some(match self.kind(id) {
            TypeKind::ShortInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
            TypeKind::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
            TypeKind::LongInt => (i64::MIN, i64::MAX),
            _ => (0, self.ordinals(id)? - 1),
        })
    }

    /// Same type, counting universal constants as every type of their kind.
    pub(crate) fn equivalent(&self, a: Ty, b: Ty) -> bool {
        match (a, b) {
            (Ty::Error, _) | (_, Ty::Error) => true,
            (Ty::Integer, other) | (other, Ty::Integer) => self.is_integer(other),
            (Ty::Real, other) | (other, Ty::Real) => self.is_real(other),
            _ => a == b,
        }
    }

    /// Usable together as operands.
    pub(crate) fn compatible(&self, a: Ty, b: Ty) -> bool {
        self.equivalent(a, b)
            || (self.is_integer(a) && self.is_integer(b))
            || (self.is_real(a) && self.is_real(b))
            || (a == Ty::Nil && self.is_nodename(b))
            || (b == Ty::Nil && self.is_nodename(a))
    }

    /// A value of type `from` may be assigned to a variable of type `to`.
    pub(crate) fn assignable(&self, to: Ty, from: Ty) -> bool {
        if self.compatible(to, from) {
            return true;
        }
        match (to.id().map(|id| self.kind(id)), from) {
            (Some(TypeKind::Nodename { graph }), Ty::Added(added)) => *graph == added,
            _ => false,
        }
    }

    /// A nodename type whose graph was not found names itself.
    pub(crate) fn is_broken(&self, id: TypeId) -> bool {
        matches!(self.kind(id), TypeKind::Nodename { graph } if *graph == id)
    }

    pub(crate) fn is_nodename(&self, ty: Ty) -> bool {
        match ty {
            Ty::Nil | Ty::Added(_) => true,
            Ty::Of(id) => matches!(self.kind(id), TypeKind::Nodename { .. }),
            _ => false,
        }
    }

    /// Of two compatible types the one in which both are computed.
    pub(crate) fn wider(&self, a: Ty, b: Ty) -> Ty {
        let rank = |ty: Ty| match ty.id().map(|id| self.kind(id)) {
            Some(TypeKind::ShortInt | TypeKind::ShortReal) => 1,
            Some(TypeKind::Integer | TypeKind::Real) => 2,
            Some(TypeKind::LongInt | TypeKind::LongReal) => 3,
            Some(_) => 4,
            None => 0,
        };
        if a.is_error() || b.is_error() {
            Ty::Error
        } else if rank(b) > rank(a) {
            b
        } else {
            a
        }
    }

    /// Whether `=` is defined.
    pub(crate) fn is_comparable(&self, ty: Ty) -> bool {
        !self.contains(ty, &|types, id| {
            matches!(types.kind(id), TypeKind::Graph { .. } | TypeKind::Object(_))
                || types.formal(Ty::Of(id)) == Some(Formal::Plain)
        })
    }

    /// Whether an object is among its components.
    pub(crate) fn contains_object(&self, ty: Ty) -> bool {
        self.contains(ty, &|types, id| {
            matches!(types.kind(id), TypeKind::Object(_))
        })
    }

    /// Whether the type or a component of it is as `wanted`; the state of objects is not looked at.
    fn contains(&self, ty: Ty, wanted: &dyn Fn(&Types, TypeId) -> bool) -> bool {
        let Some(start) = ty.id() else { return false };
        let mut seen = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            if wanted(self, id) {
                return true;
            }
            let mut visit = |id: TypeId| {
                if seen.insert(id) {
                    open.push(id);
                }
            };
            match self.kind(id) {
                TypeKind::Record { fields } => fields.iter().for_each(|field| visit(field.ty)),
                TypeKind::Graph { root, node } => {
                    root.iter().chain(node).for_each(|field| visit(field.ty))
                }
                TypeKind::Array(array) => visit(array.element),
                TypeKind::Set { element } | TypeKind::Bag { element } => visit(*element),
                _ => {}
            }
        }
        false
    }
}

/// A field without bounds of its own.
pub(crate) fn field(name: &str, ty: TypeId, init: Init, span: crate::source::Span) -> Field {
    Field {
        name: name.to_owned(),
        ty,
        init,
        span,
    }
}
