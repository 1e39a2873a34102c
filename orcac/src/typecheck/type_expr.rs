//! Types as written into types of the table, and the bounds that declarations add.
//!
//! Implements: ORCA.md 4.3-4.9, 4.2 (each constructor makes a new type).

use std::rc::Rc;

use crate::ast::{self, Fields, Ident, QualName, TypeKind as Written};
use crate::diagnostics::{Code, Diagnostic, codes};
use crate::hir::{ArrayBounds, ArrayType, Expr, Field, Init, TypeId, TypeKind};
use crate::source::Span;

use super::Checker;
use super::entity::{Const, Entity, InstanceId, SubType};
use super::types::{self, Ty};
use super::value::Value;

/// A graph type that a NODENAME mentions before it is declared stands for this until then.
const NOT_YET: TypeId = TypeId(u32::MAX);

impl Checker<'_> {
    /// `TYPE name = ty`: an alias, or a new type of that name.
    pub(crate) fn type_definition(&mut self, name: Ident, ty: &ast::Type) -> Ty {
        if let Written::Named { .. } = ty.kind {
            return self.plain_type(ty);
        }
        let instance = &self.instances[self.cx.instance.index()];
        let text = self.session.name(name.name);
        let full = if instance.generic && self.cx.routine.is_none() {
            format!("{}.{text}", instance.name)
        } else {
            text.to_owned()
        };
        self.make_type(ty, Some(full))
    }

    /// A type where no bounds may be added.
    pub(crate) fn plain_type(&mut self, ty: &ast::Type) -> Ty {
        if let Written::Named { name, bounds, tag } = &ty.kind {
            if let Some(first) = bounds.first() {
                self.report(Diagnostic::new(
                    codes::BAD_BOUNDS,
                    first.span,
                    "bounds stand in the declaration of a variable or field, not here",
                ));
            }
            let meaning = self.named_type(name);
            if tag.is_some() && !meaning.is_error() {
                self.report_type(codes::BAD_TYPE, ty.span, "only unions have an initial tag");
            }
            return meaning;
        }
        self.make_type(ty, None)
    }

    /// The type of a formal; bounds of OUT formals come with the body.
    pub(crate) fn head_type(&mut self, ty: &ast::Type) -> Ty {
        match &ty.kind {
            Written::Named { name, .. } => self.named_type(name),
            _ => self.make_type(ty, None),
        }
    }

    /// The type of a variable or field, with what the declaration adds.
    pub(crate) fn sub_type(&mut self, ty: &ast::Type) -> SubType {
        let Written::Named { name, bounds, tag } = &ty.kind else {
            return SubType {
                ty: self.make_type(ty, None),
                init: Init::default(),
            };
        };
        let meaning = self.named_type(name);
        if meaning.is_error() {
            return SubType {
                ty: Ty::Error,
                init: Init::default(),
            };
        }
        if tag.is_some() {
            self.report_type(codes::BAD_TYPE, ty.span, "only unions have an initial tag");
        }
        match self.bounds_of(meaning, bounds) {
            Some(init) => SubType { ty: meaning, init },
            None => SubType {
                ty: Ty::Error,
                init: Init::default(),
            },
        }
    }

    /// The bounds that a declaration gives to a type without them.
    /// `None` if they do not fit.
    pub(crate) fn bounds_of(&mut self, ty: Ty, written: &[ast::Bounds]) -> Option<Init> {
        let mut init = Init::default();
        let mut at = ty;
        for group in written {
            let Some(array) = self.types.array(at).cloned() else {
                let name = self.type_name(at);
                self.report(Diagnostic::new(
                    codes::BAD_BOUNDS,
                    group.span,
                    format!("{name} is not an array type"),
                ));
                return None;
            };
            if !matches!(array.bounds, ArrayBounds::Dynamic) {
                let name = self.type_name(at);
                self.report(Diagnostic::new(
                    codes::BAD_BOUNDS,
                    group.span,
                    format!("{name} has bounds already"),
                ));
                return None;
            }
            if array.indices.len() != group.ranges.len() {
                let name = self.type_name(at);
                self.report(Diagnostic::new(
                    codes::BAD_BOUNDS,
                    group.span,
                    format!(
                        "{name} has {}, found {} of bounds",
                        super::generic::count(array.indices.len(), "dimension"),
                        super::generic::count(group.ranges.len(), "pair")
                    ),
                ));
                return None;
            }
            let ranges = group.ranges.iter().zip(&array.indices);
            let pairs = ranges
                .map(|(range, &index)| self.range(range, index))
                .collect();
            init.bounds.push(pairs);
            at = Ty::Of(array.element);
        }
        Some(init)
    }

    fn range(&mut self, range: &ast::Range, index: TypeId) -> (Expr, Expr) {
        let low = self.bound(&range.low, index).0;
        let high = self.bound(&range.high, index).0;
        (low, high)
    }

    /// One bound: of the index type, from what may stand in bounds; its value if it is constant.
    fn bound(&mut self, expr: &ast::Expr, index: TypeId) -> (Expr, Option<Value>) {
        let was = std::mem::replace(&mut self.cx.in_bounds, true);
        let operand = self.expr(expr, Some(index));
        self.cx.in_bounds = was;
        if !self.types.equivalent(Ty::Of(index), operand.ty) {
            self.report_mismatch(expr.span, Ty::Of(index), operand.ty);
        }
        let operand = if operand.ty.is_error() {
            operand
        } else {
            self.as_constant_of(operand, Ty::Of(index))
        };
        (operand.expr, operand.value)
    }

    /// A type by its name.
    pub(crate) fn named_type(&mut self, name: &QualName) -> Ty {
        match self.look_up_qualified(name) {
            Entity::Error => Ty::Error,
            Entity::Type(ty) => ty,
            Entity::Unit(instance) if self.instances[instance.index()].object.is_some() => {
                self.object_type(instance)
            }
            other => {
                let text = self.session.text(name.span).to_owned();
                self.report(Diagnostic::new(
                    codes::WRONG_KIND,
                    name.span,
                    format!("`{text}` is {}, not a type", other.kind_name()),
                ));
                Ty::Error
            }
        }
    }

    /// The type of an object unit; of a partitioned one there is none yet, which was reported.
    pub(crate) fn object_type(&self, instance: InstanceId) -> Ty {
        let instance = &self.instances[instance.index()];
        match instance.object {
            Some(object) if !instance.refused => Ty::Of(self.objects[object.0 as usize].ty),
            _ => Ty::Error,
        }
    }

    fn make_type(&mut self, ty: &ast::Type, name: Option<String>) -> Ty {
        let made = match &ty.kind {
            Written::Named { .. } => return self.plain_type(ty),
            Written::Error => None,
            Written::Enumeration(literals) => self.make_enumeration(literals, name.clone()),
            Written::Record(fields) => {
                let fields = self.make_fields(fields, &mut Vec::new());
                fields.map(|fields| {
                    self.types
                        .add("RECORD".to_owned(), TypeKind::Record { fields })
                })
            }
            Written::Array { dims, element } => self.make_array(dims, element),
            Written::Set(element) => self.make_set(ty, element),
            Written::Graph { root, node } => {
                let root = self.make_fields(root, &mut Vec::new());
                let node = self.make_fields(node, &mut Vec::new());
                root.zip(node).map(|(root, node)| {
                    self.types
                        .add("GRAPH".to_owned(), TypeKind::Graph { root, node })
                })
            }
            Written::NodeName(graph) => self.make_nodename(*graph),
            Written::Union {
                tag_type,
                alternatives,
                ..
            } => {
                self.named_type(tag_type);
                for alternative in alternatives {
                    self.sub_type(&alternative.ty);
                }
                self.refuse_type(codes::UNIONS, ty.span, "unions are not compiled yet")
            }
            Written::Bag(element) => {
                self.plain_type(element);
                self.refuse_type(codes::BAGS, ty.span, "bags are not compiled yet")
            }
            Written::Function { params, result } => {
                let named = params.iter().map(|param| &param.ty).chain(result);
                named.for_each(|name| {
                    self.named_type(name);
                });
                self.refuse_type(
                    codes::FUNCTION_TYPES,
                    ty.span,
                    "function types are not compiled yet",
                )
            }
        };
        if let (Some(id), Some(name)) = (made, name) {
            self.types.set_name(id, name);
        }
        made.map_or(Ty::Error, Ty::Of)
    }

    fn refuse_type(&mut self, code: Code, span: Span, message: &str) -> Option<TypeId> {
        self.report(Diagnostic::new(code, span, message));
        None
    }

    fn report_type(&mut self, code: Code, span: Span, message: &str) {
        self.report(Diagnostic::new(code, span, message));
    }

    fn make_enumeration(&mut self, literals: &[Ident], name: Option<String>) -> Option<TypeId> {
        let texts: Vec<String> = literals
            .iter()
            .map(|literal| self.text(literal.name))
            .collect();
        let shown = name.unwrap_or_else(|| format!("({})", texts.join(", ")));
        let id = self
            .types
            .add(shown, TypeKind::Enumeration { literals: texts });
        for (ordinal, literal) in literals.iter().enumerate() {
            let constant = Const {
                ty: Ty::Of(id),
                value: Value::Int(ordinal as i64),
                id: None,
                quiet: false,
                is_literal: true,
            };
            self.declare_name(*literal, Entity::Const(Rc::new(constant)));
            self.mark_literal_used(*literal);
        }
        Some(id)
    }

    /// A literal need not be used.
    fn mark_literal_used(&mut self, literal: Ident) {
        match &mut self.cx.routine {
            Some(routine) => {
                routine
                    .scopes
                    .last_mut()
                    .and_then(|scope| scope.look_up(literal.name));
            }
            None => {
                self.cx.scope.look_up(literal.name);
            }
        }
    }

    /// The fields of a record or of one half of a graph; `None` if the type of one is unknown.
    fn make_fields(&mut self, written: &[Fields], names: &mut Vec<Ident>) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        let mut is_known = true;
        for group in written {
            let sub = self.sub_type(&group.ty);
            for name in &group.names {
                if let Some(first) = names.iter().find(|first| first.name == name.name) {
                    let first = first.span;
                    self.report_duplicate(*name, Some(first));
                    continue;
                }
                names.push(*name);
                match sub.ty.id() {
                    Some(id) => {
                        let text = self.text(name.name);
                        fields.push(types::field(&text, id, sub.init.clone(), name.span));
                    }
                    None => is_known = false,
                }
            }
        }
        is_known.then_some(fields)
    }

    fn make_array(&mut self, dims: &[ast::Dim], element: &ast::Type) -> Option<TypeId> {
        let mut indices = Vec::new();
        let mut is_known = true;
        for dim in dims {
            let ty = self.named_type(&dim.index);
            match ty.id() {
                Some(id) if self.types.is_discrete(ty) => indices.push(id),
                Some(_) => {
                    let name = self.type_name(ty);
                    self.report(Diagnostic::new(
                        codes::BAD_TYPE,
                        dim.index.span,
                        format!("an index is an integer, char, boolean or enumeration, not {name}"),
                    ));
                    is_known = false;
                }
                None => is_known = false,
            }
        }
        let bounds = if is_known {
            self.array_bounds(dims, &indices)
        } else {
            None
        };
        let element = self.plain_type(element).id();
        let (Some(bounds), Some(element)) = (bounds, element) else {
            return None;
        };
        let names: Vec<String> = indices
            .iter()
            .map(|&index| self.types.id_name(index).to_owned())
            .collect();
        let name = format!(
            "ARRAY[{}] OF {}",
            names.join(", "),
            self.types.id_name(element)
        );
        let array = ArrayType {
            indices,
            bounds,
            element,
        };
        Some(self.types.add(name, TypeKind::Array(array)))
    }

    fn array_bounds(&mut self, dims: &[ast::Dim], indices: &[TypeId]) -> Option<ArrayBounds> {
        let given = dims.iter().filter(|dim| dim.range.is_some()).count();
        if given == 0 {
            return Some(ArrayBounds::Dynamic);
        }
        if given != dims.len() {
            let bare = dims.iter().find(|dim| dim.range.is_none());
            let span = bare.map_or(dims[0].span, |dim| dim.span);
            self.report(Diagnostic::new(
                codes::BAD_BOUNDS,
                span,
                "either all dimensions of a type have bounds or none",
            ));
            return None;
        }
        let mut constant = Vec::new();
        let mut computed = Vec::new();
        let mut is_unknown = false;
        for (dim, &index) in dims.iter().zip(indices) {
            let Some(range) = &dim.range else { continue };
            let (low, low_value) = self.bound(&range.low, index);
            let (high, high_value) = self.bound(&range.high, index);
            if let (Some(Value::Int(low)), Some(Value::Int(high))) = (&low_value, &high_value) {
                constant.push((*low, (*high).max(low.saturating_sub(1))));
            }
            is_unknown |= [low_value, high_value].contains(&Some(Value::Unknown));
            computed.push((low, high));
        }
        Some(if constant.len() == dims.len() {
            ArrayBounds::Constant(constant)
        } else if is_unknown {
            ArrayBounds::Dynamic
        } else {
            ArrayBounds::Computed(computed)
        })
    }

    fn make_set(&mut self, ty: &ast::Type, element: &ast::Type) -> Option<TypeId> {
        let element = self.plain_type(element).id()?;
        let name = self.types.id_name(element).to_owned();
        if !self.types.is_comparable(Ty::Of(element)) {
            self.report(Diagnostic::new(
                codes::BAD_TYPE,
                ty.span,
                format!("`{name}` cannot be compared, so there are no sets of it"),
            ));
            return None;
        }
        Some(
            self.types
                .add(format!("SET OF {name}"), TypeKind::Set { element }),
        )
    }

    fn make_nodename(&mut self, graph: Ident) -> Option<TypeId> {
        let text = self.text(graph.name);
        let name = format!("NODENAME OF {text}");
        let known = self.graph_declared(graph);
        match known {
            Some(Entity::Type(ty)) if self.types.is_graph(ty) => {
                let graph = ty.id()?;
                Some(self.types.add(name, TypeKind::Nodename { graph }))
            }
            Some(Entity::Error | Entity::Type(Ty::Error)) => None,
            _ => {
                let id = self.types.add(name, TypeKind::Nodename { graph: NOT_YET });
                self.cx.open_nodenames.push((id, graph));
                Some(id)
            }
        }
    }

    /// A graph type that is declared already, in whatever scope.
    fn graph_declared(&mut self, graph: Ident) -> Option<Entity> {
        let declaring = self
            .cx
            .routine
            .as_mut()
            .map(|routine| std::mem::replace(&mut routine.declaring, false));
        let found = self.look_up_silently(graph);
        if let (Some(was), Some(routine)) = (declaring, &mut self.cx.routine) {
            routine.declaring = was;
        }
        found
    }

    /// A type was declared: nodenames that wait for it are complete.
    pub(crate) fn complete_nodenames(&mut self, name: Ident, ty: Ty) {
        if !self.types.is_graph(ty) && !ty.is_error() {
            return;
        }
        let open = std::mem::take(&mut self.cx.open_nodenames);
        for (id, graph) in open {
            if graph.name != name.name {
                self.cx.open_nodenames.push((id, graph));
                continue;
            }
            match ty.id() {
                Some(graph) => self.types.set_kind(id, TypeKind::Nodename { graph }),
                None => self.types.set_kind(id, TypeKind::Nodename { graph: id }),
            }
            self.use_silently(graph);
        }
    }

    fn use_silently(&mut self, name: Ident) {
        self.graph_declared(name);
    }

    /// The declarations end: nodenames without a graph are wrong.
    pub(crate) fn close_block(&mut self) {
        for (id, graph) in std::mem::take(&mut self.cx.open_nodenames) {
            self.types.set_kind(id, TypeKind::Nodename { graph: id });
            match self.look_up(graph) {
                Entity::Error => {}
                other => {
                    let text = self.text(graph.name);
                    let found = match other {
                        Entity::Type(_) => "another type",
                        other => other.kind_name(),
                    };
                    self.report(Diagnostic::new(
                        codes::BAD_TYPE,
                        graph.span,
                        format!("`{text}` is {found}, not a graph type"),
                    ));
                }
            }
        }
    }
}
