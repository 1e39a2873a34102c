//! From units to the typed program: names, types, constants, every rule that can be decided before the program runs.
//!
//! Expects: units as `resolve` loads them, trees with error nodes allowed. Guarantees: a `hir::Program` with the properties
//! that `hir` lists, and only if no error was reported. Reports: one diagnostic a mistake; error types and error names
//! silence followers. Generic units are checked once for each instantiation, and once with their formals abstract.
//!
//! Three passes: specifications are declared as they are imported (`declare`), then all implementations, then the bodies of
//! all routines (`routine`, `stmt`, `expr`, `place`, `call`, `standard`, `aggregate`). At the end `patterns::operation`
//! classifies operations.
//!
//! Implements: ORCA.md 3-9.

mod aggregate;
mod call;
mod convert;
mod declare;
mod entity;
mod expr;
mod finish;
mod generic;
mod import;
mod place;
mod routine;
mod standard;
mod stmt;
#[cfg(test)]
mod tests;
mod type_expr;
mod types;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::diagnostics::{Code, Diagnostic, Severity};
use crate::hir;
use crate::resolve::{UnitId, Units};
use crate::session::{Keywords, Session};
use crate::source::Span;
use crate::symbol::Symbol;

use entity::{Context, FunctionData, Instance, InstanceId, ObjectData, ProcessData};
use types::{Ty, Types};

/// Checks the units of these files. Tells whether they are free of errors; no OrcaMain is needed.
pub fn check_files(session: &mut Session, files: &[PathBuf]) -> bool {
    if let Some(mut program) = Checker::new(session).run(files, None) {
        crate::patterns::operation::classify(session, &mut program);
    }
    !session.has_errors()
}

/// Checks a whole program: `main` and `files`, and every unit they need. No program if there is any error.
pub fn check_program(
    session: &mut Session,
    main: &Path,
    files: &[PathBuf],
) -> Option<hir::Program> {
    let mut all = vec![main.to_owned()];
    all.extend(files.iter().cloned());
    let name = main
        .file_stem()
        .map_or("main".into(), |stem| stem.to_string_lossy())
        .into_owned();
    let mut program = Checker::new(session).run(&all, Some(&name))?;
    crate::patterns::operation::classify(session, &mut program);
    if session.has_errors() {
        return None;
    }
    assert!(
        program.main.is_some(),
        "a program without errors has an OrcaMain"
    );
    Some(program)
}

/// Everything known while a program is checked.
pub(crate) struct Checker<'s> {
    session: &'s mut Session,
    units: Units,
    types: Types,
    objects: Vec<ObjectData>,
    functions: Vec<FunctionData>,
    processes: Vec<ProcessData>,
    data_variables: Vec<hir::DataVariable>,
    data_owners: Vec<InstanceId>,
    constants: Vec<hir::Constant>,
    instances: Vec<Instance>,
    by_unit: BTreeMap<UnitId, InstanceId>,
    cx: Context,
    /// Places in generic units that have been reported, whichever instantiation it was.
    generic_places: BTreeSet<(Span, Code)>,
}

impl<'s> Checker<'s> {
    fn new(session: &'s mut Session) -> Checker<'s> {
        Checker {
            session,
            units: Units::default(),
            types: Types::new(),
            objects: Vec::new(),
            functions: Vec::new(),
            processes: Vec::new(),
            data_variables: Vec::new(),
            data_owners: Vec::new(),
            constants: Vec::new(),
            instances: Vec::new(),
            by_unit: BTreeMap::new(),
            cx: Context::default(),
            generic_places: BTreeSet::new(),
        }
    }

    /// Checks everything in these files and what they need; with a name, it is a program and has an OrcaMain.
    fn run(mut self, files: &[PathBuf], name: Option<&str>) -> Option<hir::Program> {
        for unit in self.units.load(self.session, files) {
            if !self.units.get(unit).is_generic() {
                self.instance_of(unit, None);
            }
        }
        self.check_implementations(0);
        self.check_containment();
        let main = name.and_then(|name| self.find_main(name, files));
        let marks = self.marks();
        self.check_abstract_generics();
        self.forget(marks);
        self.into_program(name.unwrap_or_default(), main)
    }

    /// Declares the implementations and checks the bodies of all instances from `first` on, and of those that turn up.
    fn check_implementations(&mut self, first: usize) {
        let mut declared = first;
        let mut checked = first;
        while declared < self.instances.len() || checked < self.instances.len() {
            while declared < self.instances.len() {
                self.declare_implementation(InstanceId(declared as u32));
                declared += 1;
            }
            self.check_bodies(InstanceId(checked as u32));
            checked += 1;
        }
    }

    /// Checks every generic unit with its formals abstract.
    fn check_abstract_generics(&mut self) {
        let mut done = BTreeSet::new();
        loop {
            let next = self
                .units
                .iter()
                .find(|(id, info)| {
                    info.is_generic() && info.specification.is_some() && !done.contains(id)
                })
                .map(|(id, _)| id);
            let Some(unit) = next else { return };
            done.insert(unit);
            let first = self.instances.len();
            self.instantiate_abstractly(unit);
            self.check_implementations(first);
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        let instance = self.instances.get(self.cx.instance.index());
        if instance.is_some_and(|instance| instance.generic)
            && !self
                .generic_places
                .insert((diagnostic.span, diagnostic.code))
        {
            return;
        }
        let is_warning = diagnostic.severity() == Severity::Warning;
        if is_warning && instance.is_some_and(|instance| instance.library) {
            return;
        }
        self.session.report(diagnostic);
    }

    fn text(&self, name: Symbol) -> String {
        self.session.name(name).to_owned()
    }

    fn type_name(&self, ty: Ty) -> String {
        self.types.name(ty)
    }

    /// Whether the unit is written with lower-case, upper-case keywords: (lower, upper).
    fn keyword_case(&self, unit: Span) -> (bool, bool) {
        match self.session.options.keywords {
            Keywords::Upper => (false, true),
            Keywords::Lower => (true, false),
            Keywords::Both => (true, true),
            Keywords::Auto => {
                let lower = self
                    .session
                    .text(unit)
                    .starts_with(|c: char| c.is_ascii_lowercase());
                (lower, !lower)
            }
        }
    }
}
