//! Declarations of units: the specification into exports, then the implementation on top of them.
//!
//! Bodies are not looked at here, only heads. A declaration may use what stands before it; routines may use each other in any
//! order because their bodies come later.
//!
//! Implements: ORCA.md 2.1, 2.2, 3.2, 3.4, 3.7, 7.1.

use std::rc::Rc;

use crate::ast::{self, DeclKind, Ident, Mode, RoutineKind, Unit, UnitKind, UnitPart};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir;
use crate::hir::{DataId, FieldId, FunctionId, Init, ObjectId, ProcessId, TypeKind};
use crate::resolve::UnitId;
use crate::resolve::scope::Scope;
use crate::source::Span;
use crate::symbol::Symbol;

use super::Checker;
use super::convert::Operand;
use super::entity::{
    BodyRef, Const, Context, Entity, Formal, FunctionData, Instance, InstanceId, ObjectData,
    OperationData, ProcessData, Signature,
};
use super::types::{self, Ty};
use super::value::Value;

impl Checker<'_> {
    /// The one instance of a unit that is not generic; its specification is declared when this returns.
    /// `None` if the specification is just being declared: it depends on itself.
    pub(crate) fn instance_of(&mut self, unit: UnitId, from: Option<Span>) -> Option<InstanceId> {
        if let Some(&known) = self.by_unit.get(&unit) {
            if self.instances[known.index()].open {
                let name = self.instances[known.index()].name.clone();
                if let Some(from) = from {
                    self.report(Diagnostic::new(
                        codes::IMPORT_CYCLE,
                        from,
                        format!("the specification of `{name}` depends on itself"),
                    ));
                }
                return None;
            }
            return Some(known);
        }
        let name = self.text(self.units.get(unit).name);
        let id = self.add_instance(unit, name, Vec::new(), None);
        self.by_unit.insert(unit, id);
        self.declare_specification(id);
        Some(id)
    }

    /// A new instance, not declared yet.
    pub(crate) fn add_instance(
        &mut self,
        unit: UnitId,
        name: String,
        bindings: Vec<(Symbol, Entity)>,
        parent: Option<InstanceId>,
    ) -> InstanceId {
        let info = self.units.get(unit);
        let halves = [&info.specification, &info.implementation];
        let poisoned = halves.into_iter().flatten().any(|half| {
            half.decls
                .iter()
                .any(|decl| matches!(decl.kind, DeclKind::Error))
        });
        let id = InstanceId(self.instances.len() as u32);
        self.instances.push(Instance {
            unit,
            name,
            kind: info.kind,
            library: info.library,
            generic: info.is_generic(),
            abstract_: false,
            parent,
            open: false,
            bindings,
            exports: Scope::default(),
            scope: Scope::default(),
            object: None,
            refused: false,
            poisoned,
            imports: Default::default(),
            functions: Vec::new(),
            processes: Vec::new(),
            data: Vec::new(),
            init: None,
        });
        id
    }

    /// Moves the checker into a unit; gives back where it was.
    pub(crate) fn enter(
        &mut self,
        instance: InstanceId,
        scope: Scope<Entity>,
        unit: Span,
    ) -> Context {
        let (lower, upper) = self.keyword_case(unit);
        std::mem::replace(
            &mut self.cx,
            Context {
                instance,
                scope,
                lower,
                upper,
                routine: None,
                open_nodenames: Vec::new(),
                in_bounds: false,
            },
        )
    }

    /// Enters the implementation of an instance, with all its names.
    pub(crate) fn enter_implementation(&mut self, id: InstanceId, unit: &Unit) -> Context {
        let scope = std::mem::take(&mut self.instances[id.index()].scope);
        self.enter(id, scope, unit.span)
    }

    /// Leaves it again.
    pub(crate) fn leave_implementation(&mut self, before: Context) {
        let left = std::mem::replace(&mut self.cx, before);
        self.instances[left.instance.index()].scope = left.scope;
    }

    pub(crate) fn declare_specification(&mut self, id: InstanceId) {
        let info = self.units.get(self.instances[id.index()].unit).clone();
        let text = info.specification.as_ref().or(info.implementation.as_ref());
        let text = Rc::clone(text.expect("a unit has a half"));
        self.instances[id.index()].open = true;
        let before = self.enter(id, Scope::default(), text.span);
        self.declare_own_names(id, &text);
        if let Some(specification) = &info.specification {
            self.declare_all(specification);
            self.warn_unused_imports();
        }
        let left = std::mem::replace(&mut self.cx, before);
        let bound: Vec<Symbol> = self.instances[id.index()]
            .bindings
            .iter()
            .map(|(name, _)| *name)
            .collect();
        let mut exports = Scope::default();
        for (name, entry) in left.scope.iter() {
            if !entry.imported && !bound.contains(&name) {
                exports.declare(name, entry.entity.clone(), entry.span).ok();
            }
        }
        let instance = &mut self.instances[id.index()];
        instance.exports = exports;
        instance.open = false;
    }

    /// The generic formals and, for an object, its type.
    fn declare_own_names(&mut self, id: InstanceId, unit: &Unit) {
        for (name, entity) in self.instances[id.index()].bindings.clone() {
            self.cx.scope.declare(name, entity, None).ok();
        }
        if unit.kind != UnitKind::Object {
            return;
        }
        if !unit.shape.is_empty() {
            self.refuse_parallel(id, unit.name.span);
        }
        let object = ObjectId(self.objects.len() as u32);
        let name = self.instances[id.index()].name.clone();
        let ty = self.types.add(name.clone(), TypeKind::Object(object));
        self.objects.push(ObjectData {
            name,
            ty,
            instance: id,
            fields: Vec::new(),
            field_names: Default::default(),
            operations: Vec::new(),
            init: None,
            span: unit.name.span,
        });
        self.instances[id.index()].object = Some(object);
        self.cx
            .scope
            .declare(unit.name.name, Entity::Unit(id), None)
            .ok();
    }

    fn refuse_parallel(&mut self, id: InstanceId, span: Span) {
        if !std::mem::replace(&mut self.instances[id.index()].refused, true) {
            self.report(Diagnostic::new(
                codes::DATA_PARALLEL,
                span,
                "partitioned objects and parallel operations are not compiled yet",
            ));
        }
    }

    pub(crate) fn declare_implementation(&mut self, id: InstanceId) {
        let info = self.units.get(self.instances[id.index()].unit).clone();
        let own: Vec<(Symbol, Entity, Option<Span>)> = self.instances[id.index()]
            .exports
            .iter()
            .map(|(name, entry)| (name, entry.entity.clone(), entry.span))
            .collect();
        let mut scope = Scope::default();
        for (name, entity) in &self.instances[id.index()].bindings {
            scope.declare(*name, entity.clone(), None).ok();
        }
        for (name, entity, span) in own {
            scope.declare(name, entity, span).ok();
        }
        let Some(unit) = info.implementation else {
            self.instances[id.index()].scope = scope;
            self.check_without_implementation(id, info.specification.as_deref());
            return;
        };
        let before = self.enter(id, scope, unit.span);
        if !unit.shape.is_empty() {
            self.refuse_parallel(id, unit.name.span);
        }
        self.declare_all(&unit);
        self.check_all_implemented(id);
        self.leave_implementation(before);
    }

    fn declare_all(&mut self, unit: &Rc<Unit>) {
        for index in 0..unit.decls.len() {
            self.declare(unit, index);
        }
        self.close_block();
    }

    fn declare(&mut self, unit: &Rc<Unit>, index: usize) {
        let decl = &unit.decls[index];
        match &decl.kind {
            DeclKind::Import { from, names } => self.declare_import(*from, names),
            DeclKind::Instantiation {
                kind,
                name,
                generic,
                actuals,
            } => self.declare_instantiation(unit, *kind, *name, *generic, actuals),
            DeclKind::Const { name, value } => self.declare_constant(*name, value),
            DeclKind::Type { name, ty } => self.declare_type(*name, ty.as_ref()),
            DeclKind::Var { names, ty } => self.declare_state(unit, names, ty),
            DeclKind::Routine(_) => self.declare_routine(unit, index),
            DeclKind::Error => {}
        }
    }

    /// Declares a name of the unit or, in a routine, of the routine.
    /// False if the name was taken, which is reported.
    pub(crate) fn declare_name(&mut self, name: Ident, entity: Entity) -> bool {
        if self.is_missing(name) {
            return true;
        }
        let text = self.text(name.name);
        let (scope, outer) = match &mut self.cx.routine {
            Some(routine) => (
                routine.scopes.last_mut().expect("a routine has a scope"),
                routine.outer_used.get(&name.name).copied(),
            ),
            None => (&mut self.cx.scope, None),
        };
        let first = match scope.declare(name.name, entity.clone(), Some(name.span)) {
            Ok(()) => {
                if let Some(used) = outer {
                    self.report(
                        Diagnostic::new(
                            codes::ALREADY_USED,
                            name.span,
                            format!("`{text}` is already used here with its outer meaning"),
                        )
                        .with_label(used, "used here"),
                    );
                }
                return true;
            }
            Err(first) => first,
        };
        let is_silent = scope
            .get(name.name)
            .is_some_and(|entry| matches!(entry.entity, Entity::Error | Entity::Type(Ty::Error)));
        if is_silent {
            scope.replace(name.name, entity);
            return true;
        }
        self.report_duplicate(name, first);
        false
    }

    pub(crate) fn report_duplicate(&mut self, name: Ident, first: Option<Span>) {
        let text = self.text(name.name);
        let mut diagnostic = Diagnostic::new(
            codes::DUPLICATE_NAME,
            name.span,
            format!("`{text}` is declared twice"),
        );
        if let Some(first) = first {
            diagnostic = diagnostic.with_label(first, "the first declaration");
        }
        self.report(diagnostic);
    }

    pub(crate) fn declare_constant(&mut self, name: Ident, value: &ast::Expr) {
        let operand = self.constant_expr(value, None);
        let entity = self.constant_entity(self.session.name(name.name).to_owned(), operand);
        self.declare_name(name, entity);
    }

    /// A constant of this name; `None` and the error type were reported.
    pub(crate) fn constant_entity(&mut self, name: String, operand: Option<Operand>) -> Entity {
        let Some(operand) = operand else {
            return Entity::Error;
        };
        let Some(value) = operand.value.clone().filter(|_| !operand.ty.is_error()) else {
            return Entity::Error;
        };
        let is_structured = matches!(
            value,
            Value::Text(_) | Value::Record(_) | Value::Set(_) | Value::Array { .. }
        );
        let id = match operand.ty.id() {
            Some(ty) if is_structured && value.is_known() => {
                let expr = self.value_expr(&value, ty, operand.expr.span);
                let id = hir::ConstantId(self.constants.len() as u32);
                self.constants.push(hir::Constant { name, value: expr });
                Some(id)
            }
            _ => None,
        };
        Entity::Const(Rc::new(Const {
            ty: operand.ty,
            value,
            id,
            quiet: operand.quiet,
            is_literal: false,
        }))
    }

    pub(crate) fn declare_type(&mut self, name: Ident, ty: Option<&ast::Type>) {
        let Some(ty) = ty else {
            let text = self.text(name.name);
            if self.instances[self.cx.instance.index()].open {
                self.report(Diagnostic::new(
                    codes::OPAQUE_TYPES,
                    name.span,
                    format!("opaque types are not compiled yet; define `{text}` here"),
                ));
            }
            self.declare_name(name, Entity::Type(Ty::Error));
            return;
        };
        let meaning = self.type_definition(name, ty);
        self.declare_name(name, Entity::Type(meaning));
        self.complete_nodenames(name, meaning);
    }

    /// `a, b: T;` at the level of a unit: the state of an object or data module.
    /// In other places the parser has reported them.
    fn declare_state(&mut self, unit: &Unit, names: &[Ident], ty: &ast::Type) {
        let is_field = unit.kind == UnitKind::Object && unit.part == UnitPart::Implementation;
        let is_data = unit.kind == UnitKind::Data && unit.part == UnitPart::Specification;
        let sub = self.sub_type(ty);
        let id = sub.ty.id().filter(|_| is_field || is_data);
        let Some(id) = id else {
            for name in names {
                self.declare_name(*name, Entity::Error);
            }
            return;
        };
        if is_data && self.types.contains_object(sub.ty) {
            self.report(Diagnostic::new(
                codes::BAD_TYPE,
                ty.span,
                "the variables of a data module cannot contain objects",
            ));
        }
        for name in names {
            if is_field {
                self.declare_field(*name, id, sub.init.clone());
            } else {
                self.declare_data_variable(*name, id, sub.init.clone());
            }
        }
    }

    fn declare_field(&mut self, name: Ident, ty: hir::TypeId, init: Init) {
        let object = self.instances[self.cx.instance.index()].object;
        let Some(object) = object else { return };
        let text = self.text(name.name);
        let data = &mut self.objects[object.0 as usize];
        let field = FieldId(data.fields.len() as u32);
        data.fields.push(types::field(&text, ty, init, name.span));
        data.field_names.entry(name.name).or_insert(field);
        let operation = data
            .operations
            .iter()
            .find(|operation| operation.name == name.name);
        let clash = operation.map(|operation| operation.signature.span);
        self.declare_name(name, Entity::OwnField(object, field));
        if let Some(first) = clash {
            self.report_duplicate(name, Some(first));
            self.cx.scope.look_up(name.name);
        }
    }

    fn declare_data_variable(&mut self, name: Ident, ty: hir::TypeId, init: Init) {
        let instance = self.cx.instance;
        let id = DataId(self.data_variables.len() as u32);
        self.data_variables.push(hir::DataVariable {
            module: self.instances[instance.index()].name.clone(),
            name: self.text(name.name),
            ty,
            init,
            span: name.span,
        });
        self.data_owners.push(instance);
        self.instances[instance.index()].data.push(id);
        self.declare_name(name, Entity::Data(id));
    }

    /// Declares a head, or matches it with the head that was declared before.
    pub(crate) fn declare_routine(&mut self, unit: &Rc<Unit>, index: usize) {
        let DeclKind::Routine(routine) = &unit.decls[index].kind else {
            return;
        };
        if !may_stand(unit, routine) {
            return;
        }
        if routine.parallel.is_some() {
            self.refuse_parallel(self.cx.instance, routine.name.span);
            return;
        }
        let signature = self.signature(routine);
        let text = routine.body.is_some().then(|| BodyRef {
            unit: Rc::clone(unit),
            decl: index,
        });
        match routine.kind {
            RoutineKind::Function => self.declare_function(routine.name, signature, text),
            RoutineKind::Process => self.declare_process(routine.name, signature, text),
            RoutineKind::Operation => {
                self.declare_operation(
                    routine.name,
                    signature,
                    text,
                    unit.part == UnitPart::Specification,
                );
            }
        }
    }

    fn declare_function(&mut self, name: Ident, signature: Signature, text: Option<BodyRef>) {
        let instance = self.cx.instance;
        let known = match self.cx.scope.get(name.name) {
            Some(entry) if !entry.imported => match entry.entity {
                Entity::Function(id) if self.functions[id.index()].instance == instance => Some(id),
                _ => None,
            },
            _ => None,
        };
        if let Some(id) = known {
            let function = &self.functions[id.index()];
            let (first, has_text) = (function.signature.clone(), function.text.is_some());
            if self.match_heads(name, &first, &signature, has_text, text.is_some()) {
                let function = &mut self.functions[id.index()];
                function.signature = signature;
                function.text = text.or(function.text.take());
            }
            return;
        }
        let id = FunctionId(self.functions.len() as u32);
        let title = format!(
            "{}.{}",
            self.instances[instance.index()].name,
            self.session.name(name.name)
        );
        self.functions.push(FunctionData {
            name: title,
            instance,
            signature,
            text,
            done: None,
        });
        self.instances[instance.index()].functions.push(id);
        self.declare_name(name, Entity::Function(id));
    }

    fn declare_process(&mut self, name: Ident, signature: Signature, text: Option<BodyRef>) {
        let instance = self.cx.instance;
        let known = match self.cx.scope.get(name.name) {
            Some(entry) if !entry.imported => match entry.entity {
                Entity::Process(id) if self.processes[id.index()].instance == instance => Some(id),
                _ => None,
            },
            _ => None,
        };
        if let Some(id) = known {
            let process = &self.processes[id.index()];
            let (first, has_text) = (process.signature.clone(), process.text.is_some());
            if self.match_heads(name, &first, &signature, has_text, text.is_some()) {
                let process = &mut self.processes[id.index()];
                process.signature = signature;
                process.text = text.or(process.text.take());
            }
            return;
        }
        let id = ProcessId(self.processes.len() as u32);
        self.processes.push(ProcessData {
            name: name.name,
            instance,
            signature,
            text,
            done: None,
        });
        self.instances[instance.index()].processes.push(id);
        self.declare_name(name, Entity::Process(id));
    }

    fn declare_operation(
        &mut self,
        name: Ident,
        signature: Signature,
        text: Option<BodyRef>,
        exported: bool,
    ) {
        let Some(object) = self.instances[self.cx.instance.index()].object else {
            return;
        };
        let data = &self.objects[object.0 as usize];
        let known = data
            .operations
            .iter()
            .position(|operation| operation.name == name.name);
        if let Some(known) = known {
            let operation = &data.operations[known];
            let (first, has_text) = (operation.signature.clone(), operation.text.is_some());
            if self.match_heads(name, &first, &signature, has_text, text.is_some()) {
                let operation = &mut self.objects[object.0 as usize].operations[known];
                operation.signature = signature;
                operation.text = text.or(operation.text.take());
            }
            return;
        }
        let field = data
            .field_names
            .get(&name.name)
            .map(|&field| data.fields[field.index()].span);
        if let Some(first) = field {
            self.report_duplicate(name, Some(first));
        }
        self.objects[object.0 as usize]
            .operations
            .push(OperationData {
                name: name.name,
                exported,
                signature,
                text,
                done: None,
            });
    }

    /// Whether a second head may take the place of the first.
    fn match_heads(
        &mut self,
        name: Ident,
        first: &Signature,
        second: &Signature,
        has_text: bool,
        brings_text: bool,
    ) -> bool {
        if has_text && brings_text {
            self.report_duplicate(name, Some(first.span));
            return false;
        }
        if !self.same_heads(first, second) {
            let text = self.text(name.name);
            self.report(
                Diagnostic::new(
                    codes::HEAD_MISMATCH,
                    second.span,
                    format!("the head of `{text}` differs from the one declared before"),
                )
                .with_label(first.span, "declared so here"),
            );
        }
        true
    }

    /// Same modes, equivalent types, same result.
    pub(crate) fn same_heads(&self, a: &Signature, b: &Signature) -> bool {
        let same_result = match (a.result, b.result) {
            (None, None) => true,
            (Some(a), Some(b)) => self.types.equivalent(a, b),
            _ => false,
        };
        let same_formal =
            |(a, b): (&Formal, &Formal)| a.mode == b.mode && self.types.equivalent(a.ty, b.ty);
        same_result
            && a.formals.len() == b.formals.len()
            && a.formals.iter().zip(&b.formals).all(same_formal)
    }

    fn signature(&mut self, routine: &ast::Routine) -> Signature {
        let result = routine
            .result
            .as_ref()
            .map(|result| self.named_type(&result.ty));
        let formals = self.formals(&routine.params, Some(routine.kind));
        Signature {
            formals,
            result,
            span: routine.head,
        }
    }

    /// The formals of a head; `kind` is that of a routine, or `None` for a generic FUNCTION formal.
    pub(crate) fn formals(
        &mut self,
        params: &[ast::Param],
        kind: Option<RoutineKind>,
    ) -> Vec<Formal> {
        let mut formals = Vec::new();
        for param in params {
            let ty = self.head_type(&param.ty);
            self.check_mode(param, ty, kind);
            for name in &param.names {
                formals.push(Formal {
                    name: name.name,
                    mode: param.mode,
                    ty,
                    span: name.span,
                });
            }
        }
        formals
    }

    fn check_mode(&mut self, param: &ast::Param, ty: Ty, kind: Option<RoutineKind>) {
        let place = param.mode_span.unwrap_or(param.span);
        let message = match (kind, param.mode) {
            (Some(RoutineKind::Operation), Mode::Shared) => "an operation has no SHARED parameters",
            (Some(RoutineKind::Process), Mode::Out) => "a process has no OUT parameters",
            (Some(RoutineKind::Process), Mode::Shared) if !self.may_be_shared(ty) => {
                "a SHARED parameter of a process is an object or a one-dimensional array of objects"
            }
            (_, Mode::Out) if self.types.contains_object(ty) => {
                self.report(Diagnostic::new(
                    codes::BAD_TYPE,
                    param.ty.span,
                    "an OUT parameter cannot contain objects",
                ));
                return;
            }
            _ => return,
        };
        self.report(Diagnostic::new(codes::BAD_MODE, place, message));
    }

    fn may_be_shared(&self, ty: Ty) -> bool {
        if ty.is_error() || self.types.object(ty).is_some() {
            return true;
        }
        self.types.array(ty).is_some_and(|array| {
            array.indices.len() == 1 && self.types.object(Ty::Of(array.element)).is_some()
        })
    }

    /// A unit without implementation: a module of constants and types, or one that the run-time system implements.
    fn check_without_implementation(&mut self, id: InstanceId, specification: Option<&Unit>) {
        let Some(specification) = specification else {
            return;
        };
        let instance = &self.instances[id.index()];
        let (name, kind, library) = (instance.name.clone(), instance.kind, instance.library);
        if instance.refused || instance.poisoned {
            return;
        }
        if kind != UnitKind::Module || !instance.processes.is_empty() {
            self.report(Diagnostic::new(
                codes::NOT_IMPLEMENTED,
                specification.name.span,
                format!("`{name}` has no implementation"),
            ));
            return;
        }
        let functions = instance.functions.clone();
        let is_known = |function: &FunctionId| {
            let name = &self.functions[function.index()].name;
            name.split_once('.').is_some_and(|(module, function)| {
                orca_abi::symbols::Entry::of_library(module, function).is_some()
            })
        };
        let is_library = library && functions.iter().all(is_known);
        if !is_library && !functions.is_empty() {
            let place = self.import_place(id).unwrap_or(specification.name.span);
            self.report(Diagnostic::new(
                codes::FOREIGN_MODULES,
                place,
                format!(
                    "`{name}` has no implementation in Orca; foreign modules are not compiled yet"
                ),
            ));
        }
    }

    /// Where the first import of a unit stands.
    fn import_place(&self, id: InstanceId) -> Option<Span> {
        self.instances.iter().find_map(|importer| {
            let entries = importer.exports.iter().chain(importer.scope.iter());
            entries
                .filter(|(_, entry)| entry.imported)
                .find(|(_, entry)| matches!(entry.entity, Entity::Unit(unit) if unit == id))
                .and_then(|(_, entry)| entry.span)
        })
    }

    /// Every head has a body somewhere.
    fn check_all_implemented(&mut self, id: InstanceId) {
        let instance = &self.instances[id.index()];
        if instance.refused || instance.poisoned {
            return;
        }
        let functions = instance.functions.iter().map(|id| {
            let function = &self.functions[id.index()];
            (
                function.name.clone(),
                function.signature.span,
                function.text.is_some(),
            )
        });
        let processes = instance.processes.iter().map(|id| {
            let process = &self.processes[id.index()];
            (
                self.text(process.name),
                process.signature.span,
                process.text.is_some(),
            )
        });
        let operations = instance
            .object
            .map(|object| &self.objects[object.0 as usize].operations);
        let operations = operations.into_iter().flatten().map(|operation| {
            (
                self.text(operation.name),
                operation.signature.span,
                operation.text.is_some(),
            )
        });
        let missing: Vec<(String, Span)> = functions
            .chain(processes)
            .chain(operations)
            .filter(|(_, _, has_text)| !has_text)
            .map(|(name, span, _)| (name, span))
            .collect();
        for (name, span) in missing {
            self.report(Diagnostic::new(
                codes::NOT_IMPLEMENTED,
                span,
                format!("`{name}` has no body in the implementation"),
            ));
        }
    }
}

/// Whether a routine of this kind belongs into the unit; what does not, the parser has reported.
fn may_stand(unit: &Unit, routine: &ast::Routine) -> bool {
    match (routine.kind, unit.kind) {
        (RoutineKind::Process, UnitKind::Object | UnitKind::Data) => false,
        (RoutineKind::Operation, UnitKind::Module | UnitKind::Data) => false,
        (RoutineKind::Function, UnitKind::Data) => unit.part == UnitPart::Implementation,
        _ => true,
    }
}
