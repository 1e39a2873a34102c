//! Bodies of routines and initialisation parts: parameters and declarations into locals, then the statements.
//!
//! Implements: ORCA.md 6 (RETURN), 7.1, 9.2-9.4.

use std::rc::Rc;

use crate::ast::{
    self, Body, Code, Decl, DeclKind, Ident, Mode, Routine as WrittenRoutine,
    TypeKind as WrittenType, Unit,
};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{
    AccessClass, Alternative, Function, FunctionBody, Init, Local, LocalId, LocalKind, Operation,
    OperationBody, Process, Routine, Stmt, TypeId,
};
use crate::source::Span;

use super::Checker;
use super::entity::{BodyRef, Context, Entity, InstanceId, LocalUse, RoutineCx, Signature, Within};
use super::types::{INTEGER, Ty};

/// What a checked body is made of.
enum CheckedCode {
    Plain(Vec<Stmt>),
    Guards(Vec<Alternative>),
}

impl Checker<'_> {
    /// Checks all bodies of a unit.
    pub(crate) fn check_bodies(&mut self, id: InstanceId) {
        let info = self.units.get(self.instances[id.index()].unit).clone();
        let Some(unit) = info.implementation else {
            self.take_library_functions(id);
            return;
        };
        if self.instances[id.index()].refused {
            return;
        }
        let before = self.enter_implementation(id, &unit);
        for index in 0..self.instances[id.index()].functions.len() {
            let function = self.instances[id.index()].functions[index];
            let data = &self.functions[function.index()];
            let (signature, text) = (data.signature.clone(), data.text.clone());
            let title = format!("function {}", data.name);
            let Some(text) = text else { continue };
            let name = data.name.clone();
            if let Some((routine, code)) =
                self.check_routine(Within::Function, title, &signature, &text)
            {
                let body = FunctionBody::Orca(only_statements(code));
                self.functions[function.index()].done = Some(Function {
                    name,
                    routine,
                    body,
                });
            }
        }
        for index in 0..self.instances[id.index()].processes.len() {
            let process = self.instances[id.index()].processes[index];
            let data = &self.processes[process.index()];
            let (signature, text) = (data.signature.clone(), data.text.clone());
            let name = format!(
                "{}.{}",
                self.instances[id.index()].name,
                self.text(data.name)
            );
            let Some(text) = text else { continue };
            let title = format!("process {name}");
            if let Some((routine, code)) =
                self.check_routine(Within::Process, title, &signature, &text)
            {
                let body = only_statements(code);
                self.processes[process.index()].done = Some(Process {
                    name,
                    routine,
                    body,
                });
            }
        }
        self.check_operations(id);
        self.check_init(id, &unit);
        self.warn_unused_names(id);
        self.leave_implementation(before);
    }

    fn check_operations(&mut self, id: InstanceId) {
        let Some(object) = self.instances[id.index()].object else {
            return;
        };
        for index in 0..self.objects[object.0 as usize].operations.len() {
            let data = &self.objects[object.0 as usize];
            let operation = &data.operations[index];
            let (signature, text) = (operation.signature.clone(), operation.text.clone());
            let name = self.text(operation.name);
            let title = format!("operation {}${name}", data.name);
            let Some(text) = text else { continue };
            let Some((routine, code)) =
                self.check_routine(Within::Operation(object), title, &signature, &text)
            else {
                continue;
            };
            let body = match code {
                CheckedCode::Plain(body) => OperationBody::Plain {
                    class: AccessClass::Read,
                    body,
                },
                CheckedCode::Guards(alternatives) => OperationBody::Guards(alternatives),
            };
            self.objects[object.0 as usize].operations[index].done = Some(Operation {
                name,
                routine,
                body,
                may_block: false,
                does_output: false,
            });
        }
    }

    fn check_init(&mut self, id: InstanceId, unit: &Rc<Unit>) {
        let object = self.instances[id.index()].object;
        let within = match object {
            Some(object) => Within::ObjectInit(object),
            None if unit.kind == ast::UnitKind::Data => Within::DataInit,
            None => return,
        };
        let title = format!("initialization of {}", self.instances[id.index()].name);
        let end = Span {
            start: unit.span.end.saturating_sub(1).max(unit.span.start),
            ..unit.span
        };
        let Some(init) = &unit.init else {
            if object.is_none() {
                let routine = self.empty_routine(title, unit.name.span, end);
                self.instances[id.index()].init = Some((routine, Vec::new()));
            }
            return;
        };
        self.cx.routine = Some(RoutineCx::new(within, None));
        let body = self.statements(init);
        let left = self.cx.routine.take().expect("a routine is being checked");
        let mut routine = self.empty_routine(title, init.span, init.span.after());
        routine.locals = left.locals;
        match object {
            Some(object) => self.objects[object.0 as usize].init = Some((routine, body)),
            None => self.instances[id.index()].init = Some((routine, body)),
        }
    }

    fn empty_routine(&self, title: String, span: Span, end: Span) -> Routine {
        Routine {
            title,
            file: self.file_name(span),
            locals: Vec::new(),
            parameter_count: 0,
            result: None,
            span,
            end,
        }
    }

    /// The base name of the file of a place.
    fn file_name(&self, span: Span) -> String {
        let path = &self.session.sources.get(span.file).path;
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    fn check_routine(
        &mut self,
        within: Within,
        title: String,
        signature: &Signature,
        text: &BodyRef,
    ) -> Option<(Routine, CheckedCode)> {
        let unit = Rc::clone(&text.unit);
        let DeclKind::Routine(written) = &unit.decls[text.decl].kind else {
            return None;
        };
        let body = written.body.as_ref()?;
        self.cx.routine = Some(RoutineCx::new(within, signature.result));
        self.declare_parameters(signature, written);
        self.declare_locals(&body.decls);
        if let Some(routine) = &mut self.cx.routine {
            routine.declaring = false;
        }
        let code = self.code(&body.code);
        self.check_returns(signature, body, &title);
        self.warn_unused_locals(signature.formals.len());
        let left = self.cx.routine.take().expect("a routine is being checked");
        let routine = Routine {
            title,
            file: self.file_name(written.head),
            locals: left.locals,
            parameter_count: signature.formals.len(),
            result: signature.result.and_then(Ty::id),
            span: written.head.to(body.end),
            end: body.end,
        };
        Some((routine, code))
    }

    fn declare_parameters(&mut self, signature: &Signature, written: &WrittenRoutine) {
        for formal in &signature.formals {
            let kind = match formal.mode {
                Mode::In => LocalKind::In { modified: false },
                Mode::Out => LocalKind::Out,
                Mode::Shared => LocalKind::Shared,
            };
            let name = Ident {
                name: formal.name,
                span: formal.span,
            };
            self.declare_local(name, formal.ty, Init::default(), kind);
        }
        let mut index = 0;
        for param in &written.params {
            if let WrittenType::Named { bounds, .. } = &param.ty.kind
                && !bounds.is_empty()
            {
                let ty = signature
                    .formals
                    .get(index)
                    .map_or(Ty::Error, |formal| formal.ty);
                if param.mode != Mode::Out {
                    self.report(Diagnostic::new(
                        codes::BAD_BOUNDS,
                        bounds[0].span,
                        "only OUT parameters have bounds; others get those of the argument",
                    ));
                } else if !ty.is_error() {
                    let init = self.bounds_of(ty, bounds).unwrap_or_default();
                    if let Some(routine) = &mut self.cx.routine {
                        for local in routine
                            .locals
                            .iter_mut()
                            .skip(index)
                            .take(param.names.len())
                        {
                            local.init = init.clone();
                        }
                    }
                }
            }
            index += param.names.len();
        }
    }

    /// A new local; one of unknown type keeps its place, but its name is silent.
    pub(crate) fn declare_local(
        &mut self,
        name: Ident,
        ty: Ty,
        init: Init,
        kind: LocalKind,
    ) -> LocalId {
        let text = self.text(name.name);
        let Some(routine) = &mut self.cx.routine else {
            return LocalId(0);
        };
        let id = LocalId(routine.locals.len() as u32);
        routine.locals.push(Local {
            name: text,
            ty: ty.id().unwrap_or(INTEGER),
            kind,
            init,
            span: name.span,
        });
        routine.uses.push(LocalUse::default());
        let entity = if ty.is_error() {
            Entity::Error
        } else {
            Entity::Local(id)
        };
        if ty.is_error() {
            routine.uses[id.index()] = LocalUse {
                used: true,
                assigned: true,
            };
        }
        if !self.declare_name(name, entity) {
            self.routine().uses[id.index()] = LocalUse {
                used: true,
                assigned: true,
            };
        }
        id
    }

    fn declare_locals(&mut self, decls: &[Decl]) {
        for decl in decls {
            match &decl.kind {
                DeclKind::Const { name, value } => self.declare_constant(*name, value),
                DeclKind::Type { name, ty } => self.declare_type(*name, ty.as_ref()),
                DeclKind::Var { names, ty } => {
                    let sub = self.sub_type(ty);
                    for name in names {
                        self.declare_local(*name, sub.ty, sub.init.clone(), LocalKind::Variable);
                    }
                }
                DeclKind::Error => {
                    if let Some(routine) = &mut self.cx.routine {
                        routine.poisoned = true;
                    }
                }
                DeclKind::Import { .. } | DeclKind::Instantiation { .. } | DeclKind::Routine(_) => {
                }
            }
        }
        self.close_block();
    }

    fn code(&mut self, code: &Code) -> CheckedCode {
        match code {
            Code::Statements(block) => CheckedCode::Plain(self.statements(block)),
            Code::Guards(guards) => {
                let alternatives = guards.iter().map(|guard| Alternative {
                    class: AccessClass::Read,
                    guard_writes: false,
                    guard: self.condition(&guard.condition),
                    body: self.statements(&guard.body),
                    span: guard.span,
                });
                CheckedCode::Guards(alternatives.collect())
            }
        }
    }

    fn check_returns(&mut self, signature: &Signature, body: &Body, title: &str) {
        let routine = self
            .cx
            .routine
            .as_ref()
            .expect("a routine is being checked");
        let poisoned = routine.poisoned || contains_error(&body.code);
        if signature.result.is_some() && !routine.returns_value && !poisoned {
            self.report(
                Diagnostic::new(
                    codes::BAD_RETURN,
                    body.end,
                    format!("{title} should return a value, but does not"),
                )
                .with_label(signature.span, "a result is declared here"),
            );
        }
    }

    fn warn_unused_locals(&mut self, parameters: usize) {
        let Some(routine) = &self.cx.routine else {
            return;
        };
        if routine.poisoned {
            return;
        }
        let mut warnings = Vec::new();
        for (local, uses) in routine.locals.iter().zip(&routine.uses).skip(parameters) {
            if local.kind != LocalKind::Variable {
                continue;
            }
            let name = &local.name;
            if !uses.used && !uses.assigned {
                warnings.push(Diagnostic::new(
                    codes::UNUSED_NAME,
                    local.span,
                    format!("`{name}` is never used"),
                ));
            } else if !uses.assigned && self.is_scalar(local.ty) {
                warnings.push(Diagnostic::new(
                    codes::NEVER_ASSIGNED,
                    local.span,
                    format!("`{name}` is used but never assigned"),
                ));
            }
        }
        let scope = &routine.scopes[0];
        for (symbol, entry) in scope.iter() {
            let is_declaration = matches!(entry.entity, Entity::Const(_) | Entity::Type(Ty::Of(_)));
            if let (false, true, Some(span)) = (entry.used, is_declaration, entry.span) {
                let name = self.session.name(symbol);
                warnings.push(Diagnostic::new(
                    codes::UNUSED_NAME,
                    span,
                    format!("`{name}` is never used"),
                ));
            }
        }
        for warning in warnings {
            self.report(warning);
        }
    }

    fn is_scalar(&self, ty: TypeId) -> bool {
        self.types.is_discrete(Ty::Of(ty)) || self.types.is_real(Ty::Of(ty))
    }

    /// The functions of a standard module that the run-time system implements.
    fn take_library_functions(&mut self, id: InstanceId) {
        for index in 0..self.instances[id.index()].functions.len() {
            let function = self.instances[id.index()].functions[index];
            let data = &self.functions[function.index()];
            let entry = data.name.split_once('.').and_then(|(module, function)| {
                orca_abi::symbols::Entry::of_library(module, function)
            });
            let Some(entry) = entry else { continue };
            let signature = data.signature.clone();
            let name = data.name.clone();
            let mut routine =
                self.empty_routine(format!("function {name}"), signature.span, signature.span);
            routine.result = signature.result.and_then(Ty::id);
            routine.parameter_count = signature.formals.len();
            routine.locals = signature
                .formals
                .iter()
                .map(|formal| Local {
                    name: self.text(formal.name),
                    ty: formal.ty.id().unwrap_or(INTEGER),
                    kind: match formal.mode {
                        Mode::In => LocalKind::In { modified: false },
                        Mode::Out => LocalKind::Out,
                        Mode::Shared => LocalKind::Shared,
                    },
                    init: Init::default(),
                    span: formal.span,
                })
                .collect();
            self.functions[function.index()].done = Some(Function {
                name,
                routine,
                body: FunctionBody::Library(entry),
            });
        }
    }

    /// Where the checker is, inside a routine.
    pub(crate) fn routine(&mut self) -> &mut RoutineCx {
        let Context { routine, .. } = &mut self.cx;
        routine.as_mut().expect("statements stand in routines")
    }
}

/// The statements of a routine that is no operation; guards in it the parser has reported.
fn only_statements(code: CheckedCode) -> Vec<Stmt> {
    match code {
        CheckedCode::Plain(body) => body,
        CheckedCode::Guards(_) => Vec::new(),
    }
}

/// Whether some statement did not parse; a RETURN may have been in it.
fn contains_error(code: &Code) -> bool {
    fn block(block: &ast::Block) -> bool {
        block.stmts.iter().any(stmt)
    }
    fn stmt(stmt: &ast::Stmt) -> bool {
        use ast::StmtKind as S;
        match &stmt.kind {
            S::Error => true,
            S::If { arms, otherwise } => {
                arms.iter().any(|arm| block(&arm.body)) || otherwise.as_ref().is_some_and(block)
            }
            S::Case {
                arms, otherwise, ..
            } => arms.iter().any(|arm| block(&arm.body)) || otherwise.as_ref().is_some_and(block),
            S::While { body, .. }
            | S::Repeat { body, .. }
            | S::ForRange { body, .. }
            | S::ForEach { body, .. } => block(body),
            S::Loop(body) => block(body),
            _ => false,
        }
    }
    match code {
        Code::Statements(body) => block(body),
        Code::Guards(guards) => guards.iter().any(|guard| block(&guard.body)),
    }
}
