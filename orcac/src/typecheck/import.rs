//! Imports, and finding what a name means.
//!
//! Implements: ORCA.md 1.3, 3.2, 3.3.

use std::rc::Rc;

use crate::ast::{Ident, QualName};
use crate::diagnostics::{Diagnostic, codes};
use crate::resolve::scope;
use crate::symbol::Symbol;

use super::Checker;
use super::entity::{Const, Entity, InstanceId, STANDARD, STANDARD_MIXED, Standard};
use super::types::{BOOLEAN, PREDECLARED, Ty};
use super::value::Value;

impl Checker<'_> {
    pub(crate) fn declare_import(&mut self, from: Option<Ident>, names: &[Ident]) {
        match from {
            None => {
                for name in names {
                    let entity = self.unit_entity(*name);
                    self.declare_imported(*name, entity);
                }
            }
            Some(from) => self.declare_from(from, names),
        }
    }

    fn declare_imported(&mut self, name: Ident, entity: Entity) {
        if self.is_missing(name) {
            return;
        }
        if let Err(first) = self.cx.scope.import(name.name, entity, name.span) {
            self.report_duplicate(name, first);
        }
    }

    /// The unit that an import names.
    fn unit_entity(&mut self, name: Ident) -> Entity {
        match self.imported_unit(name) {
            Some(instance) => Entity::Unit(instance),
            None => Entity::Error,
        }
    }

    fn imported_unit(&mut self, name: Ident) -> Option<InstanceId> {
        let local = self.cx.scope.get(name.name).filter(|entry| !entry.imported);
        if let Some(Entity::Unit(instance)) = local.map(|entry| &entry.entity)
            && *instance != self.cx.instance
        {
            let instance = *instance;
            self.cx.scope.look_up(name.name);
            return Some(instance);
        }
        if self.is_missing(name) {
            return None;
        }
        let unit = self.units.find(self.session, name)?;
        let text = self.text(name.name);
        if unit == self.instances[self.cx.instance.index()].unit {
            self.report(Diagnostic::new(
                codes::BAD_IMPORT,
                name.span,
                format!("`{text}` imports itself"),
            ));
            return None;
        }
        if self.units.get(unit).is_generic() {
            self.report(
                Diagnostic::new(
                    codes::BAD_IMPORT,
                    name.span,
                    format!("`{text}` is generic and cannot be imported"),
                )
                .with_help(format!("instantiate it: OBJECT name = NEW {text}(...);")),
            );
            return None;
        }
        let instance = self.instance_of(unit, Some(name.span))?;
        self.instances[self.cx.instance.index()]
            .imports
            .insert(instance);
        Some(instance)
    }

    fn declare_from(&mut self, from: Ident, names: &[Ident]) {
        let Some(unit) = self.imported_unit(from) else {
            for name in names {
                self.cx
                    .scope
                    .import(name.name, Entity::Error, name.span)
                    .ok();
            }
            return;
        };
        for name in names {
            let entity = self.exported(unit, *name);
            self.declare_imported(*name, entity.clone());
            if let Entity::Type(ty) = entity {
                self.import_literals(unit, ty, *name);
            }
        }
    }

    /// Importing an enumeration brings its literals.
    fn import_literals(&mut self, unit: InstanceId, ty: Ty, name: Ident) {
        let literals: Vec<(Symbol, Entity)> = self.instances[unit.index()]
            .exports
            .iter()
            .filter(|(_, entry)| matches!(&entry.entity, Entity::Const(c) if c.is_literal && c.ty == ty))
            .map(|(symbol, entry)| (symbol, entry.entity.clone()))
            .collect();
        if !literals.is_empty() {
            self.cx.scope.look_up(name.name);
        }
        for (symbol, entity) in literals {
            if self.cx.scope.import(symbol, entity, name.span).is_ok() {
                self.cx.scope.look_up(symbol);
            }
        }
    }

    /// What an exported name of a unit means.
    pub(crate) fn exported(&mut self, unit: InstanceId, name: Ident) -> Entity {
        let instance = &self.instances[unit.index()];
        if let Some(entry) = instance.exports.get(name.name) {
            return entry.entity.clone();
        }
        if unit == self.cx.instance {
            let own = self.cx.scope.get(name.name).filter(|entry| !entry.imported);
            if let Some(entry) = own {
                return entry.entity.clone();
            }
        }
        if instance.poisoned || self.is_missing(name) {
            return Entity::Error;
        }
        let text = self.text(name.name);
        let unit_name = self.instances[unit.index()].name.clone();
        let is_operation = self.instances[unit.index()].object.is_some_and(|object| {
            let operations = &self.objects[object.0 as usize].operations;
            operations
                .iter()
                .any(|operation| operation.name == name.name)
        });
        if is_operation {
            self.report(Diagnostic::new(
                codes::BAD_IMPORT,
                name.span,
                format!("`{text}` is an operation of `{unit_name}`: it is called on an object, as x${text}(...)"),
            ));
            return Entity::Error;
        }
        let names = self.instances[unit.index()]
            .exports
            .iter()
            .map(|(name, _)| name);
        let near = scope::nearest(&self.session.interner, name.name, names);
        let mut diagnostic = Diagnostic::new(
            codes::NOT_EXPORTED,
            name.span,
            format!("`{unit_name}` exports no `{text}`"),
        );
        if let Some(near) = near {
            diagnostic = diagnostic.with_help(format!("it exports `{near}`"));
        }
        self.report(diagnostic);
        Entity::Error
    }

    /// What a name means here; unknown names are reported once in each scope.
    pub(crate) fn look_up(&mut self, name: Ident) -> Entity {
        if let Some(entity) = self.look_up_silently(name) {
            return entity;
        }
        if !self.is_poisoned() && !self.is_missing(name) {
            self.report_unknown(name);
        }
        let scope = match &mut self.cx.routine {
            Some(routine) => &mut routine.scopes[0],
            None => &mut self.cx.scope,
        };
        // As an import: it is not exported, and no declaration clashes with it.
        if scope.import(name.name, Entity::Error, name.span).is_ok() {
            scope.look_up(name.name);
        }
        Entity::Error
    }

    pub(crate) fn look_up_silently(&mut self, name: Ident) -> Option<Entity> {
        if let Some(routine) = &mut self.cx.routine {
            let local = routine
                .scopes
                .iter_mut()
                .rev()
                .find_map(|scope| scope.look_up(name.name));
            if let Some(entity) = local {
                return Some(entity);
            }
        }
        if let Some(entity) = self.cx.scope.look_up(name.name) {
            if let Some(routine) = &mut self.cx.routine
                && routine.declaring
            {
                routine.outer_used.entry(name.name).or_insert(name.span);
            }
            return Some(entity);
        }
        predeclared(self.session.name(name.name), self.cx.lower, self.cx.upper)
            .or_else(|| self.unit_beside(name))
    }

    /// The loose declarations of a file see its units without importing them.
    fn unit_beside(&mut self, name: Ident) -> Option<Entity> {
        let own = self.instances[self.cx.instance.index()].unit;
        let is_implicit = self
            .units
            .get(own)
            .implementation
            .as_ref()
            .is_some_and(|unit| unit.implicit);
        if !is_implicit {
            return None;
        }
        let unit = self
            .units
            .declared_in(name.span.file, name.name)
            .filter(|&unit| unit != own)?;
        if self.units.get(unit).is_generic() {
            return None;
        }
        let instance = self.instance_of(unit, Some(name.span))?;
        self.instances[self.cx.instance.index()]
            .imports
            .insert(instance);
        let entity = Entity::Unit(instance);
        self.cx
            .scope
            .import(name.name, entity.clone(), name.span)
            .ok();
        self.cx.scope.look_up(name.name);
        Some(entity)
    }

    /// Where the text has no name the parser has put an empty one, and reported it.
    pub(crate) fn is_missing(&self, name: Ident) -> bool {
        self.session.name(name.name).is_empty()
    }

    fn is_poisoned(&self) -> bool {
        let routine = self
            .cx
            .routine
            .as_ref()
            .is_some_and(|routine| routine.poisoned);
        routine || self.instances[self.cx.instance.index()].poisoned
    }

    fn report_unknown(&mut self, name: Ident) {
        let text = self.text(name.name);
        let diagnostic = Diagnostic::new(
            codes::UNKNOWN_NAME,
            name.span,
            format!("`{text}` is not declared"),
        );
        let near = self.near_name(name.name);
        self.report(match near {
            Some(near) => diagnostic.with_help(format!("`{near}` is declared")),
            None => diagnostic,
        });
    }

    fn near_name(&self, name: Symbol) -> Option<String> {
        let locals = self.cx.routine.iter().flat_map(|routine| &routine.scopes);
        let declared = locals
            .flat_map(|scope| scope.iter())
            .chain(self.cx.scope.iter())
            .filter(|(_, entry)| !matches!(entry.entity, Entity::Error))
            .map(|(symbol, _)| self.session.name(symbol).to_owned());
        let standard = predeclared_names(self.cx.lower, self.cx.upper);
        let all: Vec<String> = declared.chain(standard).collect();
        scope::nearest_text(self.session.name(name), all.iter().map(String::as_str))
    }

    /// What a qualified name means.
    pub(crate) fn look_up_qualified(&mut self, name: &QualName) -> Entity {
        let mut entity = self.look_up(name.parts[0]);
        for part in &name.parts[1..] {
            entity = match entity {
                Entity::Error => return Entity::Error,
                Entity::Unit(unit) => self.exported(unit, *part),
                other => {
                    self.report(Diagnostic::new(
                        codes::WRONG_KIND,
                        name.span,
                        format!("this is {}, which exports nothing", other.kind_name()),
                    ));
                    return Entity::Error;
                }
            };
        }
        entity
    }
}

fn literal(ty: Ty, value: i64) -> Entity {
    Entity::Const(Rc::new(Const {
        ty,
        value: Value::Int(value),
        id: None,
        quiet: false,
        is_literal: true,
    }))
}

/// What a name means everywhere, in files of this keyword case.
fn predeclared(text: &str, lower: bool, upper: bool) -> Option<Entity> {
    if let Some((_, id)) = PREDECLARED.iter().find(|(name, _)| *name == text) {
        return Some(Entity::Type(Ty::Of(*id)));
    }
    match text {
        "true" => return Some(literal(Ty::Of(BOOLEAN), 1)),
        "false" => return Some(literal(Ty::Of(BOOLEAN), 0)),
        "NIL" => return Some(Entity::Nil),
        "SELF" => return Some(Entity::SelfObject),
        "nil" if lower => return Some(Entity::Nil),
        "self" if lower => return Some(Entity::SelfObject),
        "NCPUS" => return Some(Entity::Standard(Standard::Ncpus)),
        "MYCPU" => return Some(Entity::Standard(Standard::Mycpu)),
        _ => {}
    }
    let find = |table: &[(&str, Standard)], fold: bool| {
        table
            .iter()
            .find(|(name, _)| {
                if fold {
                    name.to_ascii_lowercase() == text
                } else {
                    *name == text
                }
            })
            .map(|(_, standard)| Entity::Standard(*standard))
    };
    find(&STANDARD_MIXED, false)
        .or_else(|| if upper { find(&STANDARD, false) } else { None })
        .or_else(|| if lower { find(&STANDARD, true) } else { None })
}

fn predeclared_names(lower: bool, upper: bool) -> Vec<String> {
    let types = PREDECLARED.iter().map(|(name, _)| (*name).to_owned());
    let mixed = STANDARD_MIXED.iter().map(|(name, _)| (*name).to_owned());
    let mut names: Vec<String> = types.chain(mixed).collect();
    names.extend(["true", "false", "NIL", "SELF"].map(str::to_owned));
    for (name, _) in STANDARD {
        if upper {
            names.push(name.to_owned());
        }
        if lower {
            names.push(name.to_ascii_lowercase());
        }
    }
    names
}
