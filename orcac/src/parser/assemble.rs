//! Pieces to units: bodies go to their heads, declarations to their unit, loose declarations to a module of the file's name.
//!
//! Also checked here is what may stand in which kind of unit, which the grammar leaves open.
//!
//! Implements: ORCA.md 2.1, 2.9 (1), 3.6 (4).

use crate::ast::*;
use crate::diagnostics::{Code as DiagnosticCode, Diagnostic, codes};
use crate::session::Session;
use crate::source::{FileId, Span};

use super::build::{Item, Piece, Tail, UnitHead};

/// What becomes of one piece: its tree, and whether it was whole.
pub(super) struct Parsed {
    /// The tree.
    pub(super) piece: Piece,
    /// Whether nothing had to be mended; if not, doubts about the structure are kept to oneself.
    pub(super) whole: bool,
}

/// A unit whose end has not come yet.
struct Open {
    unit: Unit,
    head: Span,
    items: Items,
}

/// Declarations so far, and the routine that a body would belong to.
#[derive(Default)]
struct Items {
    decls: Vec<Decl>,
    pending: Option<usize>,
    dependencies: Option<Block>,
}

pub(super) struct Assembly {
    /// Loose declarations are allowed: not a `.spf` or `.imp` file.
    loose_allowed: bool,
    name: Ident,
    units: Vec<Unit>,
    open: Option<Open>,
    loose: Items,
    /// Where the implicit module stands among the units.
    loose_place: Option<usize>,
    /// Something did not parse, so that a misplaced END may be an echo.
    damaged: bool,
}

impl Assembly {
    pub(super) fn new(session: &mut Session, file: FileId) -> Assembly {
        let path = &session.sources.get(file).path;
        let historical = path
            .extension()
            .is_some_and(|ext| ext == "spf" || ext == "imp");
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("main")
            .to_owned();
        let name = Ident {
            name: session.intern(&stem),
            span: Span::new(file, 0, 0),
        };
        Assembly {
            loose_allowed: !historical,
            name,
            units: Vec::new(),
            open: None,
            loose: Items::default(),
            loose_place: None,
            damaged: false,
        }
    }

    pub(super) fn add(&mut self, session: &mut Session, parsed: Parsed) {
        let Parsed { piece, whole } = parsed;
        self.damaged |= !whole;
        if let Some(head) = piece.head {
            self.start(session, head);
        }
        self.items(session, piece.items);
        if let Some(tail) = piece.tail {
            self.close(session, tail);
        }
        self.items(session, piece.after);
    }

    /// The units of the file.
    pub(super) fn finish(mut self, session: &mut Session) -> Vec<Unit> {
        let end = Span::new(
            self.name.span.file,
            0,
            session.sources.get(self.name.span.file).text.len() as u32,
        )
        .after();
        self.unclosed(session, end, "the end of the file");
        if let Some(place) = self.loose_place {
            let decls = std::mem::take(&mut self.loose.decls);
            let span = match (decls.first(), decls.last()) {
                (Some(first), Some(last)) => first.span.to(last.span),
                _ => self.name.span,
            };
            let unit = Unit {
                span,
                kind: UnitKind::Module,
                part: UnitPart::Implementation,
                name: self.name,
                generic: None,
                shape: Vec::new(),
                decls,
                init: None,
                implicit: true,
            };
            check_decls(session, &unit, self.damaged);
            self.units.insert(place, unit);
        }
        self.units
    }

    fn start(&mut self, session: &mut Session, head: UnitHead) {
        self.unclosed(session, head.span, "the next unit");
        check_head(session, &head);
        let unit = Unit {
            span: head.span,
            kind: head.kind,
            part: head.part,
            name: head.name,
            generic: head.generic,
            shape: head.shape,
            decls: Vec::new(),
            init: None,
            implicit: false,
        };
        self.open = Some(Open {
            unit,
            head: head.span,
            items: Items::default(),
        });
    }

    /// Closes a unit that lacks its END.
    fn unclosed(&mut self, session: &mut Session, at: Span, before: &str) {
        let Some(open) = self.open.take() else { return };
        if !self.damaged {
            let name = session.name(open.unit.name.name).to_owned();
            session.report(
                Diagnostic::new(
                    codes::UNCLOSED,
                    Span {
                        end: at.start,
                        ..at
                    },
                    format!("expected `END;` of unit `{name}` before {before}"),
                )
                .with_label(open.head, "this unit is not closed"),
            );
        }
        let last = open.items.decls.last().map_or(open.head, |decl| decl.span);
        self.put(session, open, last, None);
    }

    fn close(&mut self, session: &mut Session, tail: Tail) {
        let Some(open) = self.open.take() else {
            if !self.damaged {
                session.report(
                    Diagnostic::new(codes::NO_UNIT, tail.span, "this `END` closes nothing")
                        .with_note("an earlier one may be one too many"),
                );
            }
            self.damaged = true;
            return;
        };
        if tail.generic && open.unit.generic.is_none() {
            misplaced(
                session,
                tail.span,
                "`END GENERIC` closes a unit that is not generic",
            );
        }
        let misfit = match (&tail.init, open.unit.part, open.unit.kind) {
            (None, ..) => None,
            (_, UnitPart::Specification, _) => Some("a specification has no initialisation part"),
            (_, _, UnitKind::Module) => {
                Some("a module has no initialisation part; objects and data modules have")
            }
            _ => None,
        };
        if let Some(message) = misfit.filter(|_| !self.damaged) {
            misplaced(session, tail.begin, message);
        }
        self.put(session, open, tail.span, tail.init);
    }

    fn put(&mut self, session: &mut Session, open: Open, end: Span, init: Option<Block>) {
        let Open {
            mut unit, items, ..
        } = open;
        unit.span = unit.span.to(end);
        unit.decls = items.decls;
        unit.init = init;
        check_decls(session, &unit, self.damaged);
        self.units.push(unit);
    }

    fn items(&mut self, session: &mut Session, items: Vec<Item>) {
        for item in items {
            if self.open.is_none() && self.loose_place.is_none() {
                self.loose_place = Some(self.units.len());
                if !self.loose_allowed && !self.damaged {
                    let message = "a .spf or .imp file holds one unit and nothing outside of it";
                    session.report(Diagnostic::new(codes::NO_UNIT, item.span(), message));
                }
            }
            self.check_outside(session, &item);
            let items = match &mut self.open {
                Some(open) => &mut open.items,
                None => &mut self.loose,
            };
            items.add(session, item, self.damaged);
        }
    }
}

impl Assembly {
    /// An operation outside of every unit: an `END` too many has closed its object, which is told once.
    fn check_outside(&mut self, session: &mut Session, item: &Item) {
        let Item::Head(routine) = item else { return };
        if self.open.is_some() || self.damaged || routine.kind != RoutineKind::Operation {
            return;
        }
        self.damaged = true;
        session.report(
            Diagnostic::new(
                codes::NO_UNIT,
                routine.head,
                "an operation outside of every object",
            )
            .with_note("an `END` before it may be one too many"),
        );
    }
}

impl Item {
    fn span(&self) -> Span {
        match self {
            Item::Decl(decl) => decl.span,
            Item::Head(routine) => routine.head,
            Item::Dependencies(span, _) | Item::Body(span, ..) => *span,
        }
    }
}

impl Items {
    fn add(&mut self, session: &mut Session, item: Item, damaged: bool) {
        match item {
            Item::Decl(decl) => {
                if matches!(
                    decl.kind,
                    DeclKind::Import { .. } | DeclKind::Instantiation { .. }
                ) {
                    self.pending = None;
                }
                self.decls.push(decl);
            }
            Item::Head(routine) => {
                self.pending = Some(self.decls.len());
                self.dependencies = None;
                let span = routine.head;
                self.decls.push(Decl {
                    span,
                    kind: DeclKind::Routine(Box::new(routine)),
                });
            }
            Item::Dependencies(span, block) => {
                if self.pending.is_none() && !damaged {
                    misplaced(session, span, "DEPENDENCIES belong to a parallel operation");
                }
                self.dependencies = Some(block);
            }
            Item::Body(span, code, end) => match self.pending.take() {
                Some(index) => self.attach(index, span, code, end),
                None if damaged => {}
                None => misplaced(session, span, "this body belongs to no routine"),
            },
        }
    }

    fn attach(&mut self, index: usize, span: Span, code: Code, end: Span) {
        let decls = self.decls.split_off(index + 1);
        let head = &mut self.decls[index];
        let span = decls.first().map_or(span, |first| first.span.to(span));
        head.span = head.span.to(span);
        let DeclKind::Routine(routine) = &mut head.kind else {
            unreachable!("a pending declaration is a routine");
        };
        let dependencies = self.dependencies.take();
        routine.body = Some(Body {
            span,
            decls,
            dependencies,
            code,
            end,
        });
    }
}

fn report(session: &mut Session, code: DiagnosticCode, span: Span, message: &str) {
    session.report(Diagnostic::new(code, span, message));
}

fn misplaced(session: &mut Session, span: Span, message: &str) {
    report(session, codes::UNIT_STRUCTURE, span, message);
}

fn check_head(session: &mut Session, head: &UnitHead) {
    if let Some(generic) = &head.generic {
        let specification = head.part == UnitPart::Specification;
        if specification && generic.params.is_empty() {
            misplaced(
                session,
                generic.span,
                "a generic specification needs its parameters",
            );
        }
        if !specification && !generic.params.is_empty() {
            misplaced(
                session,
                generic.span,
                "generic parameters stand in the specification only",
            );
        }
    }
    if let Some(dim) = head.shape.first() {
        if head.kind != UnitKind::Object {
            misplaced(session, dim.span, "only an object has dimensions");
        }
        let named = head.part == UnitPart::Implementation;
        for dim in head
            .shape
            .iter()
            .filter(|dim| dim.bounds.is_some() != named)
        {
            let message = if named {
                "the implementation names the bounds of each dimension: `integer low..high`"
            } else {
                "the specification gives index types only; bounds are named in the implementation"
            };
            misplaced(session, dim.span, message);
        }
    }
}

/// What may stand in which unit.
fn check_decls(session: &mut Session, unit: &Unit, damaged: bool) {
    let specification = unit.part == UnitPart::Specification;
    for decl in &unit.decls {
        match &decl.kind {
            // After other mistakes what looks like a variable may have been something else.
            DeclKind::Var { .. } if damaged => {}
            DeclKind::Var { .. } => {
                let message = match (unit.kind, specification) {
                    (UnitKind::Object, false) | (UnitKind::Data, true) => continue,
                    (UnitKind::Object, true) => {
                        "the fields of an object stand in its implementation"
                    }
                    (UnitKind::Data, false) => {
                        "the variables of a data module stand in its specification"
                    }
                    (UnitKind::Module, _) => {
                        "a module has no variables; objects, data modules and routines have"
                    }
                };
                misplaced(session, decl.span, message);
            }
            DeclKind::Type { ty: None, .. } if !specification => {
                misplaced(
                    session,
                    decl.span,
                    "an implementation says what the type is",
                );
            }
            DeclKind::Type { ty: None, .. } if unit.kind == UnitKind::Data => {
                misplaced(session, decl.span, "a data module has no opaque types");
            }
            DeclKind::Routine(routine) => check_routine(session, unit, routine, damaged),
            _ => {}
        }
    }
}

fn check_routine(session: &mut Session, unit: &Unit, routine: &Routine, damaged: bool) {
    let message = match (routine.kind, unit.kind) {
        (RoutineKind::Operation, UnitKind::Module | UnitKind::Data) => {
            Some("operations stand in objects only")
        }
        (RoutineKind::Process, UnitKind::Object | UnitKind::Data) => {
            Some("processes stand in modules only")
        }
        (RoutineKind::Function, UnitKind::Data) if unit.part == UnitPart::Specification => {
            Some("the functions of a data module are private to its implementation")
        }
        _ => None,
    };
    // After other mistakes the unit may not be what it seems.
    if let Some(message) = message.filter(|_| !damaged) {
        misplaced(session, routine.head, message);
    }
    if let (RoutineKind::Process, Some(result)) = (routine.kind, &routine.result) {
        misplaced(session, result.span, "a process has no result");
    }
    let Some(body) = &routine.body else { return };
    if unit.part == UnitPart::Specification {
        misplaced(
            session,
            body.span,
            "a specification holds heads only; the body stands in the implementation",
        );
    }
    if let (Code::Guards(guards), RoutineKind::Function | RoutineKind::Process) =
        (&body.code, routine.kind)
    {
        misplaced(session, guards[0].span, "only operations have guards");
    }
    if let (Some(block), None) = (&body.dependencies, &routine.parallel) {
        misplaced(
            session,
            block.span,
            "DEPENDENCIES belong to a parallel operation",
        );
    }
    for decl in &body.decls {
        if let DeclKind::Type { ty: None, .. } = decl.kind {
            misplaced(session, decl.span, "a routine says what its types are");
        }
    }
}
