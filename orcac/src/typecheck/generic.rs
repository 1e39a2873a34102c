//! Generic units: each instantiation is an instance of its own, with new types.
//!
//! Implements: ORCA.md 3.8.

use std::rc::Rc;

use crate::ast::{
    self, DeclKind, GenericParam, GenericParamKind, Ident, RoutineKind, Unit, UnitKind,
};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::FunctionId;
use crate::resolve::UnitId;
use crate::resolve::scope::Scope;
use crate::source::Span;
use crate::symbol::Symbol;

use super::Checker;
use super::entity::{Const, Entity, FunctionData, InstanceId, Signature};
use super::types::{Formal, Ty};
use super::value::Value;

/// More instantiations than any program needs; generic units can multiply each other.
const INSTANCES_MAX: usize = 5_000;

impl Checker<'_> {
    /// `OBJECT name = NEW generic(actuals);`
    pub(crate) fn declare_instantiation(
        &mut self,
        unit: &Rc<Unit>,
        kind: UnitKind,
        name: Ident,
        generic: Ident,
        actuals: &[ast::Expr],
    ) {
        let entity = match self.instantiate(unit, kind, name, generic, actuals) {
            Some(instance) => {
                self.instances[self.cx.instance.index()]
                    .imports
                    .insert(instance);
                Entity::Unit(instance)
            }
            None => Entity::Error,
        };
        self.declare_name(name, entity);
    }

    fn instantiate(
        &mut self,
        unit: &Rc<Unit>,
        kind: UnitKind,
        name: Ident,
        generic: Ident,
        actuals: &[ast::Expr],
    ) -> Option<InstanceId> {
        if self.is_missing(generic) {
            return None;
        }
        let id = self.units.find(self.session, generic)?;
        let info = self.units.get(id).clone();
        let generic_name = self.text(generic.name);
        let specification = info.specification.as_ref().filter(|_| info.is_generic());
        let Some(specification) = specification else {
            self.report(Diagnostic::new(
                codes::BAD_ACTUAL,
                generic.span,
                format!("`{generic_name}` is not generic; import it"),
            ));
            return None;
        };
        if (info.kind == UnitKind::Object) != (kind == UnitKind::Object) {
            let (is, keyword) = if info.kind == UnitKind::Object {
                ("an object", "OBJECT")
            } else {
                ("a module", "MODULE")
            };
            self.report(Diagnostic::new(
                codes::WRONG_KIND,
                generic.span,
                format!("`{generic_name}` is {is}: write {keyword} here"),
            ));
        }
        if !self.may_instantiate(id, generic) {
            return None;
        }
        let params = specification
            .generic
            .iter()
            .flat_map(|generic| &generic.params);
        let params: Vec<GenericParam> = params.cloned().collect();
        if params.len() != actuals.len() {
            self.report(Diagnostic::new(
                codes::ARGUMENT_COUNT,
                generic.span,
                format!(
                    "`{generic_name}` takes {}, found {}",
                    count(params.len(), "parameter"),
                    actuals.len()
                ),
            ));
            return None;
        }
        let bindings = self.bind(unit, specification.span, &params, actuals)?;
        let parent = self.cx.instance;
        let text = self.text(name.name);
        let instance = self.add_instance(id, text, bindings, Some(parent));
        self.instances[instance.index()].abstract_ = self.instances[parent.index()].abstract_;
        self.declare_specification(instance);
        Some(instance)
    }

    fn may_instantiate(&mut self, unit: UnitId, generic: Ident) -> bool {
        let mut ancestor = Some(self.cx.instance);
        while let Some(id) = ancestor {
            let instance = &self.instances[id.index()];
            if instance.unit == unit {
                let text = self.text(generic.name);
                self.report(Diagnostic::new(
                    codes::GENERIC_DEPTH,
                    generic.span,
                    format!("`{text}` instantiates itself"),
                ));
                return false;
            }
            ancestor = instance.parent;
        }
        if self.instances.len() < INSTANCES_MAX {
            return true;
        }
        self.report(Diagnostic::new(
            codes::GENERIC_DEPTH,
            generic.span,
            format!("the program has more than {INSTANCES_MAX} units and instantiations"),
        ));
        false
    }

    /// What each formal stands for; `None` if an actual does not fit.
    fn bind(
        &mut self,
        unit: &Rc<Unit>,
        specification: Span,
        params: &[GenericParam],
        actuals: &[ast::Expr],
    ) -> Option<Vec<(Symbol, Entity)>> {
        let mut bindings = Vec::new();
        let mut fits = true;
        for (param, actual) in params.iter().zip(actuals) {
            let entity = self.bind_one(unit, specification, param, actual, &bindings);
            fits &= entity.is_some();
            bindings.push((param.name.name, entity.unwrap_or(Entity::Error)));
        }
        fits.then_some(bindings)
    }

    fn bind_one(
        &mut self,
        unit: &Rc<Unit>,
        specification: Span,
        param: &GenericParam,
        actual: &ast::Expr,
        bindings: &[(Symbol, Entity)],
    ) -> Option<Entity> {
        match &param.kind {
            GenericParamKind::Type => self.type_actual(actual).map(Entity::Type),
            GenericParamKind::ScalarType => {
                let ty = self.type_actual(actual)?;
                let fits = ty.is_error() || self.types.is_ordered(ty);
                self.expect_actual(
                    actual,
                    ty,
                    fits,
                    "an integer, real, char, boolean or enumeration type",
                )
            }
            GenericParamKind::NumericType => {
                let ty = self.type_actual(actual)?;
                let fits = ty.is_error() || self.types.is_numeric(ty);
                self.expect_actual(actual, ty, fits, "an integer or real type")
            }
            GenericParamKind::Const(name) => {
                let ty = self
                    .within_bindings(specification, bindings, |checker| checker.named_type(name));
                let operand = self.constant_expr(actual, ty.id())?;
                if operand.ty.is_error() || ty.is_error() {
                    return None;
                }
                if !self.types.equivalent(ty, operand.ty) {
                    let (wanted, found) = (self.type_name(ty), self.type_name(operand.ty));
                    self.report(Diagnostic::new(
                        codes::BAD_ACTUAL,
                        actual.span,
                        format!("expected a constant of {wanted}, found {found}"),
                    ));
                    return None;
                }
                let operand = self.as_constant_of(operand, ty);
                Some(
                    self.constant_entity(
                        self.session.name(param.name.name).to_owned(),
                        Some(operand),
                    ),
                )
            }
            GenericParamKind::Function { params, result } => {
                let wanted = self.within_bindings(specification, bindings, |checker| {
                    checker.generic_head(param.span, params, result.as_ref())
                });
                self.function_actual(unit, actual, &wanted)
                    .map(Entity::Function)
            }
        }
    }

    fn expect_actual(
        &mut self,
        actual: &ast::Expr,
        ty: Ty,
        fits: bool,
        wanted: &str,
    ) -> Option<Entity> {
        if fits {
            return Some(Entity::Type(ty));
        }
        let found = self.type_name(ty);
        self.report(Diagnostic::new(
            codes::BAD_ACTUAL,
            actual.span,
            format!("expected {wanted}, found {found}"),
        ));
        None
    }

    fn generic_head(
        &mut self,
        span: Span,
        params: &[ast::Param],
        result: Option<&ast::ResultType>,
    ) -> Signature {
        let result = result.map(|result| self.named_type(&result.ty));
        Signature {
            formals: self.formals(params, None),
            result,
            span,
        }
    }

    /// Runs with only the formals in sight that come before.
    fn within_bindings<T>(
        &mut self,
        specification: Span,
        bindings: &[(Symbol, Entity)],
        run: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut scope = Scope::default();
        for (name, entity) in bindings {
            scope.declare(*name, entity.clone(), None).ok();
        }
        let before = self.enter(self.cx.instance, scope, specification);
        let result = run(self);
        self.cx = before;
        result
    }

    fn type_actual(&mut self, actual: &ast::Expr) -> Option<Ty> {
        match self.actual_entity(actual)? {
            Entity::Error => None,
            Entity::Type(ty) => Some(ty).filter(|ty| !ty.is_error()),
            Entity::Unit(instance) if self.instances[instance.index()].object.is_some() => {
                self.object_type(instance).id().map(Ty::Of)
            }
            other => {
                self.report(Diagnostic::new(
                    codes::BAD_ACTUAL,
                    actual.span,
                    format!("expected a type, found {}", other.kind_name()),
                ));
                None
            }
        }
    }

    fn function_actual(
        &mut self,
        unit: &Rc<Unit>,
        actual: &ast::Expr,
        wanted: &Signature,
    ) -> Option<FunctionId> {
        self.declare_head_ahead(unit, actual);
        match self.actual_entity(actual)? {
            Entity::Error => None,
            Entity::Function(function) => {
                let found = self.functions[function.index()].signature.clone();
                if self.same_heads(wanted, &found) {
                    return Some(function);
                }
                self.report(
                    Diagnostic::new(
                        codes::BAD_ACTUAL,
                        actual.span,
                        "the head of this function differs from the generic parameter",
                    )
                    .with_label(wanted.span, "wanted so here")
                    .with_label(found.span, "declared so here"),
                );
                None
            }
            other => {
                self.report(Diagnostic::new(
                    codes::BAD_ACTUAL,
                    actual.span,
                    format!("expected a function, found {}", other.kind_name()),
                ));
                None
            }
        }
    }

    /// An actual that names something; what does not is reported.
    fn actual_entity(&mut self, actual: &ast::Expr) -> Option<Entity> {
        let name = match &actual.kind {
            ast::ExprKind::Designator(designator) => designator.as_qual_name(),
            ast::ExprKind::Error => return None,
            _ => None,
        };
        let Some(name) = name else {
            self.report(Diagnostic::new(
                codes::BAD_ACTUAL,
                actual.span,
                "expected the name of a type or function",
            ));
            return None;
        };
        Some(self.look_up_qualified(&name))
    }

    /// A local function may be an actual before its head stands.
    fn declare_head_ahead(&mut self, unit: &Rc<Unit>, actual: &ast::Expr) {
        let ast::ExprKind::Designator(designator) = &actual.kind else {
            return;
        };
        let name = designator.root.name;
        if !designator.selectors.is_empty() || self.cx.scope.get(name).is_some() {
            return;
        }
        let head = unit.decls.iter().position(|decl| match &decl.kind {
            DeclKind::Routine(routine) => {
                routine.kind == RoutineKind::Function && routine.name.name == name
            }
            _ => false,
        });
        if let Some(index) = head {
            let DeclKind::Routine(routine) = &unit.decls[index].kind else {
                return;
            };
            let bodiless = ast::Routine {
                body: None,
                ..(**routine).clone()
            };
            let mut ahead = (**unit).clone();
            ahead.decls = vec![ast::Decl {
                span: unit.decls[index].span,
                kind: DeclKind::Routine(Box::new(bodiless)),
            }];
            self.declare_routine(&Rc::new(ahead), 0);
        }
    }

    /// An instance whose formals stand for themselves: to check a generic unit as it is written.
    pub(crate) fn instantiate_abstractly(&mut self, unit: UnitId) {
        let info = self.units.get(unit).clone();
        let Some(specification) = info.specification else {
            return;
        };
        let name = self.text(info.name);
        let id = self.add_instance(unit, name, Vec::new(), None);
        self.instances[id.index()].abstract_ = true;
        let before = self.enter(id, Scope::default(), specification.span);
        let params = specification
            .generic
            .iter()
            .flat_map(|generic| &generic.params);
        for param in params {
            let entity = self.abstract_actual(param);
            self.declare_name(param.name, entity.clone());
            self.instances[id.index()]
                .bindings
                .push((param.name.name, entity));
        }
        self.cx = before;
        self.declare_specification(id);
    }

    fn abstract_actual(&mut self, param: &GenericParam) -> Entity {
        let name = self.text(param.name.name);
        match &param.kind {
            GenericParamKind::Type => {
                Entity::Type(Ty::Of(self.types.add_formal(name, Formal::Plain)))
            }
            GenericParamKind::ScalarType => {
                Entity::Type(Ty::Of(self.types.add_formal(name, Formal::Scalar)))
            }
            GenericParamKind::NumericType => {
                Entity::Type(Ty::Of(self.types.add_formal(name, Formal::Numeric)))
            }
            GenericParamKind::Const(ty) => Entity::Const(Rc::new(Const {
                ty: self.named_type(ty),
                value: Value::Unknown,
                id: None,
                quiet: true,
                is_literal: false,
            })),
            GenericParamKind::Function { params, result } => {
                let signature = self.generic_head(param.span, params, result.as_ref());
                let id = FunctionId(self.functions.len() as u32);
                self.functions.push(FunctionData {
                    name,
                    instance: self.cx.instance,
                    signature,
                    text: None,
                    done: None,
                });
                Entity::Function(id)
            }
        }
    }
}

/// `1 parameter`, `2 parameters`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
