//! Designators: what a chain of names, fields and indices denotes, and whether it may be changed.
//!
//! Implements: ORCA.md 5.10, 3.7, 4.4, 4.9, 6 (FOR variables).

use crate::ast::{self, Designator, Ident, Selector, SelectorKind};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{
    Base, Expr, ExprKind, Field, FieldId, LocalId, LocalKind, Place, Step, StepKind, TypeId,
    TypeKind,
};
use crate::resolve::scope;
use crate::source::Span;

use super::Checker;
use super::convert::Operand;
use super::entity::{Const, Entity, Standard};
use super::types::{INTEGER, Ty};
use super::value::Value;

/// `g!f` is `g[g.f]`, so each `!` doubles the designator.
const ROOTS_MAX: usize = 8;

/// What a designator denotes when it is a place.
#[derive(Clone, Debug)]
pub(crate) struct Designated {
    pub(crate) place: Place,
    /// Of a constant.
    pub(crate) value: Option<Value>,
    /// Why it may not be changed.
    pub(crate) fixed: Option<&'static str>,
}

/// What a designator denotes.
pub(crate) enum Denoted {
    /// Was reported.
    Error,
    Place(Designated),
    /// A constant without a place.
    Value(Operand),
}

/// What is done to a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Read,
    Write,
    ReadWrite,
}

impl Checker<'_> {
    /// A designator as a value.
    pub(crate) fn designator_value(&mut self, designator: &Designator) -> Operand {
        let span = designator.span;
        match self.denote(designator, Usage::Read) {
            Denoted::Error => Operand::error(span),
            Denoted::Value(operand) => operand,
            Denoted::Place(designated) => {
                let ty = designated.place.ty;
                if let Some(value @ (Value::Int(_) | Value::Real(_) | Value::Nil)) =
                    designated.value
                {
                    return Operand::constant(Ty::Of(ty), value, span);
                }
                let mut operand = Operand::computed(ty, ExprKind::Place(designated.place), span);
                operand.value = designated.value;
                operand
            }
        }
    }

    /// A designator that is changed: assigned, or passed as OUT or SHARED.
    pub(crate) fn changed(&mut self, designator: &Designator, usage: Usage) -> Option<Place> {
        match self.denote(designator, usage) {
            Denoted::Error => None,
            Denoted::Value(_) => {
                self.report_fixed(designator.span, "a constant");
                None
            }
            Denoted::Place(designated) => {
                if let Some(why) = designated.fixed {
                    self.report_fixed(designator.span, why);
                    return None;
                }
                if let Base::Local(local) = designated.place.base {
                    self.mark_changed(local);
                }
                Some(designated.place)
            }
        }
    }

    pub(crate) fn report_fixed(&mut self, span: Span, why: &str) {
        self.report(Diagnostic::new(
            codes::NOT_ASSIGNABLE,
            span,
            format!("this is {why} and cannot be changed here"),
        ));
    }

    /// An IN parameter that its routine changes needs a copy.
    pub(crate) fn mark_changed(&mut self, local: LocalId) {
        let Some(routine) = &mut self.cx.routine else {
            return;
        };
        routine.uses[local.index()].assigned = true;
        if let LocalKind::In { modified } = &mut routine.locals[local.index()].kind {
            *modified = true;
        }
    }

    /// An expression that must be a designator, for OUT and SHARED arguments and the like.
    pub(crate) fn changed_argument(&mut self, expr: &ast::Expr, usage: Usage) -> Option<Place> {
        match &expr.kind {
            ast::ExprKind::Designator(designator) => self.changed(designator, usage),
            ast::ExprKind::Error => None,
            _ => {
                let operand = self.expr(expr, None);
                if !operand.ty.is_error() {
                    self.report(Diagnostic::new(
                        codes::NOT_ASSIGNABLE,
                        expr.span,
                        "expected a variable, found an expression",
                    ));
                }
                None
            }
        }
    }

    /// What a designator denotes.
    pub(crate) fn denote(&mut self, designator: &Designator, usage: Usage) -> Denoted {
        let (entity, used) = self.leading_entity(designator);
        let rest = &designator.selectors[used..];
        let head = match rest.first() {
            Some(first) => Span {
                end: first.span.start,
                ..designator.span
            },
            None => designator.span,
        };
        let start = self.start(entity, designator, head, usage);
        match start {
            Denoted::Place(start) if !rest.is_empty() => self.select(start, rest, head),
            Denoted::Value(operand) if !rest.is_empty() => {
                let name = self.type_name(operand.ty);
                self.report(Diagnostic::new(
                    codes::BAD_INDEX,
                    rest[0].span,
                    format!("{name} has no components"),
                ));
                Denoted::Error
            }
            Denoted::Error => {
                self.check_indices(rest);
                Denoted::Error
            }
            whole => whole,
        }
    }

    /// The entity of the leading names, through units, and how many selectors that took.
    pub(crate) fn leading_entity(&mut self, designator: &Designator) -> (Entity, usize) {
        let mut entity = self.look_up(designator.root);
        let mut used = 0;
        while let Entity::Unit(unit) = entity {
            let Some(SelectorKind::Field(name)) = designator.selectors.get(used).map(|s| &s.kind)
            else {
                break;
            };
            entity = self.exported(unit, *name);
            used += 1;
        }
        (entity, used)
    }

    fn check_indices(&mut self, selectors: &[Selector]) {
        for selector in selectors {
            if let SelectorKind::Index(indices) = &selector.kind {
                self.check_all(indices);
            }
        }
    }

    fn start(
        &mut self,
        entity: Entity,
        designator: &Designator,
        span: Span,
        usage: Usage,
    ) -> Denoted {
        match entity {
            Entity::Error => Denoted::Error,
            Entity::Local(local) => self.start_local(local, span, usage),
            Entity::OwnField(object, field) => self.start_field(object, field, span),
            Entity::Data(id) => {
                let ty = self.data_variables[id.index()].ty;
                let is_own = self.data_owners[id.index()] == self.cx.instance;
                let fixed = if is_own {
                    None
                } else {
                    Some("a data-module variable")
                };
                place(Base::Data(id), ty, span, None, fixed)
            }
            Entity::Const(constant) => start_constant(&constant, span),
            Entity::Nil => Denoted::Value(Operand::constant(Ty::Nil, Value::Nil, span)),
            Entity::SelfObject => {
                self.report(Diagnostic::new(
                    codes::BAD_SELF,
                    span,
                    "SELF stands only before `$`, in an operation or initialization",
                ));
                Denoted::Error
            }
            Entity::Standard(standard @ (Standard::Ncpus | Standard::Mycpu))
                if designator.selectors.is_empty() =>
            {
                if self.cx.upper {
                    self.report(Diagnostic::new(
                        codes::NO_PARENTHESES,
                        span,
                        format!("{0} is a function: write {0}()", standard.name()),
                    ));
                }
                Denoted::Value(self.processor_number(standard, span))
            }
            other => {
                let text = self.session.text(span).to_owned();
                let message = match other {
                    Entity::Function(_) | Entity::Standard(_) => {
                        format!("`{text}` is {}: a call has parentheses", other.kind_name())
                    }
                    _ => format!("`{text}` is {}, not a value", other.kind_name()),
                };
                self.report(Diagnostic::new(codes::WRONG_KIND, span, message));
                Denoted::Error
            }
        }
    }

    fn start_local(&mut self, local: LocalId, span: Span, usage: Usage) -> Denoted {
        let in_bounds = self.cx.in_bounds;
        let Some(routine) = &mut self.cx.routine else {
            return Denoted::Error;
        };
        let info = &routine.locals[local.index()];
        let uses = &mut routine.uses[local.index()];
        uses.used |= usage != Usage::Write;
        uses.assigned |= usage != Usage::Read;
        let ty = info.ty;
        let kind = info.kind;
        if in_bounds && !matches!(kind, LocalKind::In { .. } | LocalKind::Shared) {
            self.report_bounds(span);
            return Denoted::Error;
        }
        let fixed = if kind == LocalKind::Loop {
            Some("a FOR variable")
        } else {
            None
        };
        place(Base::Local(local), ty, span, None, fixed)
    }

    fn report_bounds(&mut self, span: Span) {
        self.report(Diagnostic::new(
            codes::BAD_BOUNDS,
            span,
            "bounds may use constants, IN and SHARED parameters, data-module variables and standard functions only",
        ));
    }

    fn start_field(&mut self, object: crate::hir::ObjectId, field: FieldId, span: Span) -> Denoted {
        let ty = self.objects[object.0 as usize].fields[field.index()].ty;
        if self.cx.in_bounds {
            self.report_bounds(span);
            return Denoted::Error;
        }
        let within = self
            .cx
            .routine
            .as_ref()
            .and_then(|routine| routine.within.object());
        if within != Some(object) {
            let text = self.session.text(span).to_owned();
            self.report(Diagnostic::new(
                codes::FIELD_OUTSIDE,
                span,
                format!(
                    "the field `{text}` may only be used in an operation or object initialization"
                ),
            ));
            return Denoted::Error;
        }
        place(Base::OwnField(field), ty, span, None, None)
    }

    fn select(&mut self, start: Designated, selectors: &[Selector], head: Span) -> Denoted {
        let mut at = start;
        let mut whole = head;
        let mut after_node = false;
        let mut roots = 0;
        for (i, selector) in selectors.iter().enumerate() {
            whole = whole.to(selector.span);
            let next = match &selector.kind {
                SelectorKind::Field(name) => self.select_field(&at, *name, after_node),
                SelectorKind::Index(indices) if after_node => {
                    self.check_all(indices);
                    self.report_bare_node(selector.span);
                    None
                }
                SelectorKind::Index(indices) => self.select_index(&mut at, indices, selector.span),
                SelectorKind::Root(_) if after_node => {
                    self.report_bare_node(selector.span);
                    None
                }
                SelectorKind::Root(name) => {
                    roots += 1;
                    if roots > ROOTS_MAX {
                        self.report_too_deep(selector.span);
                        return Denoted::Error;
                    }
                    self.select_root(&at, *name, selector.span)
                }
            };
            let Some((kind, ty)) = next else {
                self.check_indices(&selectors[i + 1..]);
                return Denoted::Error;
            };
            after_node = matches!(kind, StepKind::Node(_));
            if let (StepKind::Field(field), Some(Value::Record(parts))) = (&kind, &at.value) {
                at.value = parts.get(field.index()).cloned();
            }
            at.place.path.push(Step {
                kind,
                ty,
                span: selector.span,
            });
            at.place.ty = ty;
            at.place.span = whole;
        }
        if after_node {
            self.report_bare_node(whole);
            return Denoted::Error;
        }
        Denoted::Place(at)
    }

    fn report_too_deep(&mut self, span: Span) {
        self.report(Diagnostic::new(
            codes::BAD_INDEX,
            span,
            format!("a designator goes through {ROOTS_MAX} graphs by `!` at most"),
        ));
    }

    fn report_bare_node(&mut self, span: Span) {
        self.report(Diagnostic::new(
            codes::NO_FIELD,
            span,
            "a node is no value: select one of its fields",
        ));
    }

    fn select_field(
        &mut self,
        at: &Designated,
        name: Ident,
        after_node: bool,
    ) -> Option<(StepKind, TypeId)> {
        let ty = at.place.ty;
        let kind = self.types.kind(ty).clone();
        let (fields, step): (&[Field], fn(FieldId) -> StepKind) = match &kind {
            TypeKind::Record { fields } => (fields, StepKind::Field),
            TypeKind::Graph { node, .. } if after_node => (node, StepKind::NodeField),
            TypeKind::Graph { root, .. } => (root, StepKind::RootField),
            TypeKind::Object(object) => {
                let is_private_copy = matches!(at.place.base, Base::Local(_));
                let within = self
                    .cx
                    .routine
                    .as_ref()
                    .and_then(|routine| routine.within.object());
                if within != Some(*object) || !is_private_copy {
                    self.report(Diagnostic::new(
                        codes::FIELD_OUTSIDE,
                        name.span,
                        "the fields of an object can only be reached in its own operations, and there in local copies",
                    ));
                    return None;
                }
                let field = self.objects[object.0 as usize]
                    .field_names
                    .get(&name.name)
                    .copied();
                let Some(field) = field else {
                    self.report_no_field(ty, name, Vec::new());
                    return None;
                };
                let ty = self.objects[object.0 as usize].fields[field.index()].ty;
                return Some((StepKind::ObjectField(field), ty));
            }
            _ => (&[], StepKind::Field),
        };
        let text = self.session.name(name.name);
        let found = fields.iter().position(|field| field.name == text);
        let Some(found) = found else {
            let names = fields.iter().map(|field| field.name.clone()).collect();
            self.report_no_field(ty, name, names);
            return None;
        };
        Some((step(FieldId(found as u32)), fields[found].ty))
    }

    fn report_no_field(&mut self, ty: TypeId, name: Ident, fields: Vec<String>) {
        if self.is_missing(name) {
            return;
        }
        let text = self.text(name.name);
        let shown = self.type_name(Ty::Of(ty));
        let near = scope::nearest_text(&text, fields.iter().map(String::as_str));
        let mut diagnostic = Diagnostic::new(
            codes::NO_FIELD,
            name.span,
            format!("{shown} has no field `{text}`"),
        );
        if let Some(near) = near {
            diagnostic = diagnostic.with_help(format!("it has `{near}`"));
        }
        self.report(diagnostic);
    }

    fn select_index(
        &mut self,
        at: &mut Designated,
        indices: &[ast::Expr],
        span: Span,
    ) -> Option<(StepKind, TypeId)> {
        let ty = at.place.ty;
        match self.types.kind(ty).clone() {
            TypeKind::Array(array) => {
                if array.indices.len() != indices.len() {
                    let name = self.type_name(Ty::Of(ty));
                    let wanted = super::generic::count(array.indices.len(), "dimension");
                    self.report(Diagnostic::new(
                        codes::BAD_INDEX,
                        span,
                        format!(
                            "{name} has {wanted}, found {}",
                            super::generic::count(indices.len(), "index")
                                .replace("indexs", "indices")
                        ),
                    ));
                    self.check_all(indices);
                    return None;
                }
                let operands: Vec<Operand> = indices
                    .iter()
                    .zip(&array.indices)
                    .map(|(index, &ty)| self.expr_for(index, Ty::Of(ty)))
                    .collect();
                self.fold_index(at, &operands, span);
                let exprs = operands.into_iter().map(|operand| operand.expr).collect();
                Some((StepKind::Index(exprs), array.element))
            }
            TypeKind::Graph { .. } => {
                let node = self.node_name(ty, indices, span)?;
                Some((StepKind::Node(Box::new(node)), ty))
            }
            _ => {
                let name = self.type_name(Ty::Of(ty));
                self.report(Diagnostic::new(
                    codes::BAD_INDEX,
                    span,
                    format!("{name} is neither an array nor a graph"),
                ));
                self.check_all(indices);
                None
            }
        }
    }

    /// The value of an element of a constant.
    fn fold_index(&mut self, at: &mut Designated, operands: &[Operand], span: Span) {
        let Some(value) = at.value.take() else { return };
        let indices: Option<Vec<i64>> = operands
            .iter()
            .map(|operand| match operand.value {
                Some(Value::Int(index)) => Some(index),
                _ => None,
            })
            .collect();
        let Some(indices) = indices else { return };
        match value.element(&indices) {
            Some(Ok(element)) => at.value = Some(element),
            Some(Err(())) => self.report(Diagnostic::new(
                codes::CONSTANT_ERROR,
                span,
                "array bound error: the constant has no such element",
            )),
            None => {}
        }
    }

    /// The one index of a graph: a name of one of its nodes.
    fn node_name(&mut self, graph: TypeId, indices: &[ast::Expr], span: Span) -> Option<Expr> {
        let [index] = indices else {
            self.report(Diagnostic::new(
                codes::BAD_INDEX,
                span,
                "a graph is indexed by one nodename",
            ));
            self.check_all(indices);
            return None;
        };
        let operand = self.expr(index, None);
        self.as_node_of(graph, operand)
    }

    /// A nodename of this graph type.
    pub(crate) fn as_node_of(&mut self, graph: TypeId, operand: Operand) -> Option<Expr> {
        let fits = match operand.ty {
            Ty::Error => return None,
            Ty::Nil => true,
            Ty::Added(added) => added == graph,
            Ty::Of(id) => {
                matches!(self.types.kind(id), TypeKind::Nodename { graph: of } if *of == graph)
            }
            _ => false,
        };
        if !fits {
            self.report_mismatch(operand.expr.span, Ty::Added(graph), operand.ty);
            return None;
        }
        if matches!(operand.ty, Ty::Nil | Ty::Added(_)) {
            let name = format!("NODENAME OF {}", self.types.id_name(graph));
            let ty = self.types.add(name, TypeKind::Nodename { graph });
            return Some(self.as_constant_of(operand, Ty::Of(ty)).expr);
        }
        Some(operand.expr)
    }

    /// `g!f`: the node that root field f names.
    fn select_root(
        &mut self,
        at: &Designated,
        name: Ident,
        span: Span,
    ) -> Option<(StepKind, TypeId)> {
        let graph = at.place.ty;
        if !self.types.is_graph(Ty::Of(graph)) {
            let shown = self.type_name(Ty::Of(graph));
            self.report(Diagnostic::new(
                codes::BAD_INDEX,
                span,
                format!("{shown} is not a graph"),
            ));
            return None;
        }
        let (kind, ty) = self.select_field(at, name, false)?;
        let mut place = at.place.clone();
        place.path.push(Step { kind, ty, span });
        place.ty = ty;
        place.span = place.span.to(span);
        let place_span = place.span;
        let operand = Operand::computed(ty, ExprKind::Place(place), place_span);
        let node = self.as_node_of(graph, operand)?;
        Some((StepKind::Node(Box::new(node)), graph))
    }
}

fn place(
    base: Base,
    ty: TypeId,
    span: Span,
    value: Option<Value>,
    fixed: Option<&'static str>,
) -> Denoted {
    Denoted::Place(Designated {
        place: Place {
            base,
            path: Vec::new(),
            ty,
            span,
        },
        value,
        fixed,
    })
}

fn start_constant(constant: &Const, span: Span) -> Denoted {
    if let (Some(id), Some(ty)) = (constant.id, constant.ty.id()) {
        return place(
            Base::Constant(id),
            ty,
            span,
            Some(constant.value.clone()),
            Some("a constant"),
        );
    }
    let is_simple = !matches!(constant.value, Value::Unknown);
    let structured = constant
        .ty
        .id()
        .filter(|_| !is_simple && constant.ty != Ty::Of(INTEGER));
    if let Some(ty) = structured {
        // Of a generic formal: what it selects is not known yet either.
        let id = crate::hir::ConstantId(0);
        return place(
            Base::Constant(id),
            ty,
            span,
            Some(Value::Unknown),
            Some("a constant"),
        );
    }
    let mut operand = Operand::constant(constant.ty, constant.value.clone(), span);
    operand.quiet = constant.quiet;
    Denoted::Value(operand)
}
