//! The units of a program: which exist, which file holds each half, and which unit a name in a file means.
//!
//! Expects: files named on the command line. Guarantees: each unit once, its specification and implementation paired;
//! `find` gives the same answer each time. Reports: files that cannot be read, units declared twice or without
//! specification, units not found. It does not look inside declarations; scopes and types are `typecheck`'s.
//!
//! Implements: ORCA.md 3.4-3.6.

pub mod error;
pub mod files;
pub mod scope;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::ast::{Ident, Unit, UnitKind, UnitPart};
use crate::parser;
use crate::session::Session;
use crate::source::{FileId, Span};
use crate::symbol::Symbol;

/// A unit of the program, in the table of [`Units`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct UnitId(u32);

impl UnitId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Both halves of a unit.
#[derive(Clone, Debug)]
pub struct UnitInfo {
    pub name: Symbol,
    pub kind: UnitKind,
    pub specification: Option<Rc<Unit>>,
    pub implementation: Option<Rc<Unit>>,
    /// Part of the standard library.
    pub library: bool,
}

impl UnitInfo {
    /// Whether it has generic formals.
    pub fn is_generic(&self) -> bool {
        [&self.specification, &self.implementation]
            .into_iter()
            .flatten()
            .any(|unit| unit.generic.is_some())
    }

    /// Where its name stands.
    pub fn span(&self) -> Span {
        let unit = self.specification.as_ref().or(self.implementation.as_ref());
        unit.expect("a unit has a half").name.span
    }
}

/// All units loaded so far, and how to find more.
#[derive(Default)]
pub struct Units {
    list: Vec<UnitInfo>,
    /// Units each file declares.
    files: BTreeMap<FileId, Vec<UnitId>>,
    /// Files named on the command line.
    given: Vec<FileId>,
    /// Answers given: `None` was reported.
    found: BTreeMap<(FileId, Symbol), Option<UnitId>>,
}

/// Where a file comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Given,
    Found,
    Library,
}

impl Units {
    /// Loads the files of the command line; an error in one does not keep the others from loading.
    /// Gives the units they declare.
    pub fn load(&mut self, session: &mut Session, paths: &[PathBuf]) -> Vec<UnitId> {
        let mut loaded = Vec::new();
        for path in paths {
            match session.load(path) {
                Ok(file) if !self.given.contains(&file) => {
                    self.given.push(file);
                    loaded.push(file);
                }
                Ok(_) => {}
                Err(why) => report_unreadable(session, path, &why),
            }
        }
        let parsed: Vec<(FileId, Vec<Rc<Unit>>)> = loaded
            .into_iter()
            .map(|file| (file, parse(session, file)))
            .collect();
        for (file, units) in &parsed {
            self.take_specifications(session, *file, units, Origin::Given);
        }
        for (file, units) in &parsed {
            self.take_implementations(session, *file, units, Origin::Given);
        }
        for (file, _) in &parsed {
            self.pair_with_sibling(session, *file, Origin::Given);
        }
        let mut units: Vec<UnitId> = Vec::new();
        for (file, _) in &parsed {
            for &unit in &self.files[file] {
                if !units.contains(&unit) {
                    units.push(unit);
                }
            }
        }
        units
    }

    /// A unit's halves.
    pub fn get(&self, unit: UnitId) -> &UnitInfo {
        &self.list[unit.index()]
    }

    /// All units loaded so far.
    pub fn iter(&self) -> impl Iterator<Item = (UnitId, &UnitInfo)> {
        self.list
            .iter()
            .enumerate()
            .map(|(i, info)| (UnitId(i as u32), info))
    }

    /// The unit that `name` means in its file. A unit that is not there is reported once a file.
    pub fn find(&mut self, session: &mut Session, name: Ident) -> Option<UnitId> {
        let key = (name.span.file, name.name);
        if let Some(&answer) = self.found.get(&key) {
            return answer;
        }
        let answer = self.search(session, name);
        if answer.is_none() {
            let near = self.near_unit(session, name);
            let text = session.name(name.name).to_owned();
            session.report(error::unit_not_found(name.span, &text, near));
        }
        self.found.insert(key, answer);
        answer
    }

    fn search(&mut self, session: &mut Session, name: Ident) -> Option<UnitId> {
        let from = name.span.file;
        if let Some(unit) = self.declared_in(from, name.name) {
            return Some(unit);
        }
        let path = session.sources.get(from).path.clone();
        let is_library = path.starts_with(files::LIBRARY_FOLDER);
        if !is_library {
            for file in self.given.clone() {
                if let Some(unit) = self.declared_in(file, name.name) {
                    return Some(unit);
                }
            }
            let mut folders = vec![path.parent().unwrap_or(Path::new("")).to_owned()];
            folders.extend(session.options.import_dirs.iter().cloned());
            let text = session.name(name.name).to_owned();
            for folder in folders {
                for path in files::candidates(session.files(), &folder, &text) {
                    if let Some(unit) = self.load_found(session, name, &path) {
                        return Some(unit);
                    }
                }
            }
        }
        self.search_library(session, name.name)
    }

    fn search_library(&mut self, session: &mut Session, name: Symbol) -> Option<UnitId> {
        let text = session.name(name).to_owned();
        for (file_name, _) in files::library_candidates(&text) {
            let file = load_library(session, file_name)?;
            self.take_file(session, file, Origin::Library);
            if let Some(unit) = self.declared_in(file, name) {
                return Some(unit);
            }
        }
        None
    }

    fn load_found(&mut self, session: &mut Session, name: Ident, path: &Path) -> Option<UnitId> {
        match session.load(path) {
            Ok(file) => {
                self.take_file(session, file, Origin::Found);
                self.declared_in(file, name.name)
            }
            Err(why) => {
                session.report(error::unreadable(name.span, path, &why));
                None
            }
        }
    }

    /// The unit of this name that a file declares.
    pub fn declared_in(&self, file: FileId, name: Symbol) -> Option<UnitId> {
        let units = self.files.get(&file)?;
        let of_name = |unit: &&UnitId| self.get(**unit).name == name;
        let with_specification = |unit: &&UnitId| self.get(**unit).specification.is_some();
        units
            .iter()
            .filter(of_name)
            .find(with_specification)
            .or_else(|| units.iter().find(of_name))
            .copied()
    }

    fn take_file(&mut self, session: &mut Session, file: FileId, origin: Origin) {
        if self.files.contains_key(&file) {
            return;
        }
        let units = parse(session, file);
        self.take_specifications(session, file, &units, origin);
        self.take_implementations(session, file, &units, origin);
        self.pair_with_sibling(session, file, origin);
    }

    fn take_specifications(
        &mut self,
        session: &mut Session,
        file: FileId,
        units: &[Rc<Unit>],
        origin: Origin,
    ) {
        self.files.entry(file).or_default();
        for unit in units
            .iter()
            .filter(|unit| unit.part == UnitPart::Specification)
        {
            let scope: &[FileId] = if origin == Origin::Given {
                &self.given
            } else {
                &[file]
            };
            let first = scope
                .iter()
                .filter_map(|&file| self.declared_in(file, unit.name.name))
                .find_map(|other| self.get(other).specification.as_ref());
            if let Some(first) = first {
                let first = first.name.span;
                let name = session.name(unit.name.name).to_owned();
                session.report(error::duplicate_unit(
                    unit.name.span,
                    &name,
                    "specification",
                    first,
                ));
                continue;
            }
            self.add(file, unit, origin);
        }
    }

    fn take_implementations(
        &mut self,
        session: &mut Session,
        file: FileId,
        units: &[Rc<Unit>],
        origin: Origin,
    ) {
        for unit in units
            .iter()
            .filter(|unit| unit.part == UnitPart::Implementation)
        {
            let name = unit.name.name;
            let mut known = self.declared_in(file, name);
            if known.is_none() && origin == Origin::Given {
                known = self
                    .given
                    .iter()
                    .find_map(|&given| self.declared_in(given, name));
            }
            if known.is_none() && !is_free_standing(session, file, unit) {
                known = self.specification_for(session, file, unit, origin);
            }
            match known {
                Some(known) => {
                    self.attach(session, known, unit);
                    let units = self.files.entry(file).or_default();
                    if !units.contains(&known) {
                        units.push(known);
                    }
                }
                None => {
                    if !is_free_standing(session, file, unit) {
                        let text = session.name(name).to_owned();
                        session.report(error::no_specification(unit.name.span, &text));
                    }
                    self.add(file, unit, origin);
                }
            }
        }
    }

    /// Looks for the specification of an implementation that came without one.
    fn specification_for(
        &mut self,
        session: &mut Session,
        file: FileId,
        unit: &Rc<Unit>,
        origin: Origin,
    ) -> Option<UnitId> {
        let path = session.sources.get(file).path.clone();
        let sibling = path.with_extension("spf");
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if origin == Origin::Library {
            let name = sibling.file_name()?.to_str()?.to_owned();
            let file = load_library(session, &name)?;
            self.take_only_specifications(session, file, origin);
            return self.declared_in(file, unit.name.name);
        }
        let text = session.name(unit.name.name).to_owned();
        let mut paths = vec![sibling];
        paths.extend(files::candidates(session.files(), &folder, &text));
        for path in paths {
            if !session.files().exists(&path) || path == session.sources.get(file).path {
                continue;
            }
            let Ok(found) = session.load(&path) else {
                continue;
            };
            self.take_only_specifications(session, found, Origin::Found);
            if let Some(unit) = self.declared_in(found, unit.name.name) {
                return Some(unit);
            }
        }
        None
    }

    fn take_only_specifications(&mut self, session: &mut Session, file: FileId, origin: Origin) {
        if !self.files.contains_key(&file) {
            let units = parse(session, file);
            self.take_specifications(session, file, &units, origin);
            if session
                .sources
                .get(file)
                .path
                .extension()
                .is_some_and(|e| e == "orca")
            {
                self.take_implementations(session, file, &units, origin);
            }
        }
    }

    /// A specification in `Name.spf` has its implementation in `Name.imp` beside it.
    fn pair_with_sibling(&mut self, session: &mut Session, file: FileId, origin: Origin) {
        let path = session.sources.get(file).path.clone();
        if path.extension().is_none_or(|extension| extension != "spf") {
            return;
        }
        let open = |units: &Units| {
            units.files[&file]
                .iter()
                .any(|&unit| units.get(unit).implementation.is_none())
        };
        let sibling = path.with_extension("imp");
        let loaded = match origin {
            _ if !open(self) => None,
            Origin::Library => sibling
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| load_library(session, name)),
            _ if session.files().exists(&sibling) => session.load(&sibling).ok(),
            _ => None,
        };
        let Some(sibling) = loaded.filter(|file| !self.files.contains_key(file)) else {
            return;
        };
        self.files.entry(sibling).or_default();
        for unit in parse(session, sibling) {
            if unit.part != UnitPart::Implementation {
                continue;
            }
            match self.declared_in(file, unit.name.name) {
                Some(known) => {
                    self.attach(session, known, &unit);
                    self.files.entry(sibling).or_default().push(known);
                }
                None => {
                    let text = session.name(unit.name.name).to_owned();
                    session.report(error::no_specification(unit.name.span, &text));
                }
            }
        }
    }

    fn attach(&mut self, session: &mut Session, known: UnitId, unit: &Rc<Unit>) {
        let info = &mut self.list[known.index()];
        if let Some(first) = &info.implementation {
            let first = first.name.span;
            let name = session.name(unit.name.name).to_owned();
            session.report(error::duplicate_unit(
                unit.name.span,
                &name,
                "implementation",
                first,
            ));
            return;
        }
        let specification = info
            .specification
            .as_ref()
            .map(|s| (s.name.span, s.generic.is_some()));
        if let Some((span, generic)) = specification
            && (info.kind != unit.kind || generic != unit.generic.is_some())
        {
            let name = session.name(unit.name.name).to_owned();
            session.report(error::kind_differs(unit.name.span, &name, span));
        }
        let info = &mut self.list[known.index()];
        if info.kind == unit.kind {
            info.implementation = Some(Rc::clone(unit));
        }
    }

    fn add(&mut self, file: FileId, unit: &Rc<Unit>, origin: Origin) {
        let id = UnitId(self.list.len() as u32);
        let is_specification = unit.part == UnitPart::Specification;
        self.list.push(UnitInfo {
            name: unit.name.name,
            kind: unit.kind,
            specification: is_specification.then(|| Rc::clone(unit)),
            implementation: (!is_specification).then(|| Rc::clone(unit)),
            library: origin == Origin::Library,
        });
        self.files.entry(file).or_default().push(id);
    }

    fn near_unit(&self, session: &Session, name: Ident) -> Option<String> {
        let mut known: Vec<&str> = files::library_names().collect();
        known.extend(self.list.iter().map(|info| session.name(info.name)));
        scope::nearest_text(session.name(name.name), known.into_iter())
    }
}

/// A module of a `.orca` file needs no specification.
fn is_free_standing(session: &Session, file: FileId, unit: &Unit) -> bool {
    let path = &session.sources.get(file).path;
    let is_old = path
        .extension()
        .is_some_and(|extension| extension == "imp" || extension == "spf");
    !is_old && unit.kind == UnitKind::Module && unit.generic.is_none()
}

fn parse(session: &mut Session, file: FileId) -> Vec<Rc<Unit>> {
    let tree = parser::parse_file(session, file);
    tree.units.into_iter().map(Rc::new).collect()
}

fn load_library(session: &mut Session, name: &str) -> Option<FileId> {
    let text = files::library_text(name)?;
    let path = Path::new(files::LIBRARY_FOLDER).join(name);
    session.sources.add(path, text.as_bytes().to_vec()).ok()
}

/// A file of the command line that cannot be read becomes an empty source, so that the report has a place.
fn report_unreadable(session: &mut Session, path: &Path, why: &std::io::Error) {
    if let Ok(file) = session.sources.add(path, Vec::new()) {
        session.report(error::unreadable(Span::new(file, 0, 0), path, why));
    }
}
