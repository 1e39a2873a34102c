//! After the bodies: OrcaMain, types that contain themselves, names nobody used, and the program put together.
//!
//! Implements: ORCA.md 3.4 (OrcaMain), 3.2(7), 3.7 (order of data modules).

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{
    ArrayBounds, DataModule, Init, Object, ObjectId, ProcessId, Program, TypeId, TypeKind,
};
use crate::source::Span;

use super::Checker;
use super::entity::{Entity, InstanceId};
use super::types::Ty;

/// How long every table was before something was checked that is no part of the program.
pub(crate) struct Marks {
    types: usize,
    objects: usize,
    functions: usize,
    processes: usize,
    data_variables: usize,
    constants: usize,
    instances: usize,
}

impl Checker<'_> {
    pub(crate) fn marks(&self) -> Marks {
        Marks {
            types: self.types.len(),
            objects: self.objects.len(),
            functions: self.functions.len(),
            processes: self.processes.len(),
            data_variables: self.data_variables.len(),
            constants: self.constants.len(),
            instances: self.instances.len(),
        }
    }

    /// Forgets everything made since the marks.
    pub(crate) fn forget(&mut self, marks: Marks) {
        self.types.truncate(marks.types);
        self.objects.truncate(marks.objects);
        self.functions.truncate(marks.functions);
        self.processes.truncate(marks.processes);
        self.data_variables.truncate(marks.data_variables);
        self.constants.truncate(marks.constants);
        self.instances.truncate(marks.instances);
    }

    /// The one OrcaMain of the program.
    pub(crate) fn find_main(&mut self, name: &str, files: &[PathBuf]) -> Option<ProcessId> {
        let found: Vec<ProcessId> = (0..self.processes.len())
            .map(|index| ProcessId(index as u32))
            .filter(|id| self.session.name(self.processes[id.index()].name) == "OrcaMain")
            .collect();
        for (i, &id) in found.iter().enumerate() {
            let data = &self.processes[id.index()];
            let span = data.signature.span;
            let generic = self.instances[data.instance.index()].generic;
            let problem = if i > 0 {
                "a program has only one OrcaMain"
            } else if generic {
                "OrcaMain cannot stand in a generic unit"
            } else if !data.signature.formals.is_empty() {
                "OrcaMain has no parameters"
            } else {
                continue;
            };
            let mut diagnostic = Diagnostic::new(codes::BAD_MAIN, span, problem);
            if i > 0 {
                let first = self.processes[found[0].index()].signature.span;
                diagnostic = diagnostic.with_label(first, "the first one");
            }
            self.session.report(diagnostic);
        }
        let poisoned = self.instances.iter().any(|instance| instance.poisoned);
        if found.is_empty()
            && !poisoned
            && !self.session.has_errors()
            && let Some(file) = files.first().and_then(|path| self.session.load(path).ok())
        {
            let span = Span::new(file, 0, 0);
            self.session.report(
                Diagnostic::new(
                    codes::BAD_MAIN,
                    span,
                    format!("`{name}` has no process OrcaMain, where a program starts"),
                )
                .with_help("write: PROCESS OrcaMain(); BEGIN ... END;"),
            );
        }
        found.first().copied()
    }

    /// Objects and records that would contain themselves without end.
    pub(crate) fn check_containment(&mut self) {
        let mut done = BTreeSet::new();
        for index in 0..self.objects.len() {
            let mut path = Vec::new();
            self.contain(ObjectId(index as u32), &mut path, &mut done);
        }
    }

    fn contain(
        &mut self,
        object: ObjectId,
        path: &mut Vec<ObjectId>,
        done: &mut BTreeSet<ObjectId>,
    ) {
        if path.contains(&object) {
            let data = &self.objects[object.0 as usize];
            let (name, span) = (data.name.clone(), data.span);
            self.session.report(Diagnostic::new(
                codes::BAD_TYPE,
                span,
                format!("the object `{name}` contains itself"),
            ));
            done.insert(object);
            return;
        }
        if done.contains(&object) {
            return;
        }
        path.push(object);
        let fields = self.objects[object.0 as usize].fields.clone();
        for field in fields {
            for inner in self.contained_objects(field.ty, &field.init) {
                self.contain(inner, path, done);
                if done.contains(&object) {
                    path.pop();
                    return;
                }
            }
        }
        path.pop();
        done.insert(object);
    }

    /// The object types that a variable of this type has from the start.
    fn contained_objects(&self, ty: TypeId, init: &Init) -> Vec<ObjectId> {
        let mut found = Vec::new();
        let mut open = vec![(ty, init.bounds.len())];
        let mut seen = BTreeSet::new();
        while let Some((id, bounded)) = open.pop() {
            if !seen.insert((id, bounded)) {
                continue;
            }
            match self.types.kind(id) {
                TypeKind::Object(object) => found.push(*object),
                TypeKind::Record { fields } | TypeKind::Graph { root: fields, .. } => {
                    open.extend(
                        fields
                            .iter()
                            .map(|field| (field.ty, field.init.bounds.len())),
                    );
                }
                TypeKind::Array(array) => {
                    let is_empty = matches!(array.bounds, ArrayBounds::Dynamic) && bounded == 0;
                    if !is_empty {
                        open.push((array.element, bounded.saturating_sub(1)));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Imports of the specification being declared that it does not use.
    pub(crate) fn warn_unused_imports(&mut self) {
        let unused: Vec<(crate::symbol::Symbol, Span)> = self
            .cx
            .scope
            .iter()
            .filter(|(_, entry)| {
                entry.imported && !entry.used && !matches!(entry.entity, Entity::Error)
            })
            .filter_map(|(symbol, entry)| Some((symbol, entry.span?)))
            .collect();
        for (symbol, span) in unused {
            let text = self.text(symbol);
            self.report(Diagnostic::new(
                codes::UNUSED_IMPORT,
                span,
                format!("the import `{text}` is never used"),
            ));
        }
    }

    /// Names that only the implementation knows, and it does not use them.
    pub(crate) fn warn_unused_names(&mut self, id: InstanceId) {
        if self.instances[id.index()].poisoned {
            return;
        }
        self.warn_unused_imports();
        let exports = &self.instances[id.index()].exports;
        let unused: Vec<(crate::symbol::Symbol, Span)> = self
            .cx
            .scope
            .iter()
            .filter(|(symbol, entry)| {
                !entry.imported && !entry.used && exports.get(*symbol).is_none()
            })
            .filter(|(symbol, entry)| match entry.entity {
                Entity::Type(Ty::Of(ty)) => !self.types.is_broken(ty),
                Entity::Const(_) | Entity::Function(_) | Entity::Unit(_) => true,
                Entity::OwnField(..) => true,
                Entity::Process(_) => self.session.name(*symbol) != "OrcaMain",
                _ => false,
            })
            .filter_map(|(symbol, entry)| Some((symbol, entry.span?)))
            .collect();
        for (symbol, span) in unused {
            let text = self.text(symbol);
            self.report(Diagnostic::new(
                codes::UNUSED_NAME,
                span,
                format!("`{text}` is never used"),
            ));
        }
    }

    /// Puts the program together; only good if nothing was reported.
    pub(crate) fn into_program(self, name: &str, main: Option<ProcessId>) -> Option<Program> {
        if self.session.has_errors() {
            return None;
        }
        let data_modules = self.data_modules();
        let objects = self.objects.into_iter().map(|data| {
            let operations = data.operations.into_iter().map(|operation| operation.done);
            Object {
                name: data.name,
                ty: data.ty,
                fields: data.fields,
                operations: operations
                    .map(|done| done.expect("an operation without errors is checked"))
                    .collect(),
                init: data.init,
                single_copy_only: false,
                span: data.span,
            }
        });
        let functions = self.functions.into_iter().map(|data| data.done);
        let processes = self.processes.into_iter().map(|data| data.done);
        Some(Program {
            name: name.to_owned(),
            types: self.types.into_list(),
            objects: objects.collect(),
            functions: functions
                .map(|done| done.expect("a function without errors is checked"))
                .collect(),
            processes: processes
                .map(|done| done.expect("a process without errors is checked"))
                .collect(),
            data_variables: self.data_variables,
            data_modules,
            constants: self.constants,
            main,
        })
    }

    /// Data modules, each after those that it imports, directly or not.
    fn data_modules(&self) -> Vec<DataModule> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for index in 0..self.instances.len() {
            self.visit_imports(InstanceId(index as u32), &mut seen, &mut order);
        }
        order
            .into_iter()
            .filter_map(|id: InstanceId| {
                let instance = &self.instances[id.index()];
                let (routine, body) = instance.init.clone()?;
                Some(DataModule {
                    name: instance.name.clone(),
                    variables: instance.data.clone(),
                    routine,
                    body,
                })
            })
            .collect()
    }

    fn visit_imports(
        &self,
        start: InstanceId,
        seen: &mut BTreeSet<InstanceId>,
        order: &mut Vec<InstanceId>,
    ) {
        let mut stack = vec![(start, false)];
        while let Some((id, is_done)) = stack.pop() {
            if is_done {
                order.push(id);
            } else if seen.insert(id) {
                stack.push((id, true));
                let imports = &self.instances[id.index()].imports;
                stack.extend(imports.iter().rev().map(|&import| (import, false)));
            }
        }
    }
}
