//! Constructors that the grammar's actions call, and what a parse finds besides the tree.
//!
//! An action cannot fail. What it finds wrong goes into `Cx::found`, which the parser reports only for the parse
//! whose tree it keeps.

use std::cell::RefCell;

use crate::ast::*;
use crate::diagnostics::{Diagnostic, codes};
use crate::source::{FileId, Span};

/// A place in a piece: its byte in the file and its token's index in the piece.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Loc {
    /// Byte in the file.
    pub byte: u32,
    /// Index in the token list that is parsed.
    pub index: u32,
}

/// What the actions share during one parse.
pub struct Cx {
    file: FileId,
    /// Diagnostics of this parse.
    pub found: RefCell<Vec<Diagnostic>>,
}

/// What the grammar makes of one piece of a file.
#[derive(Debug, Default)]
pub struct Piece {
    /// The head of a unit, if one starts here.
    pub head: Option<UnitHead>,
    /// What stands in the unit.
    pub items: Vec<Item>,
    /// The end of the unit, if it is here.
    pub tail: Option<Tail>,
    /// What stands behind the end: loose declarations.
    pub after: Vec<Item>,
}

/// `OBJECT SPECIFICATION name;`
#[derive(Debug)]
pub struct UnitHead {
    /// The whole.
    pub span: Span,
    /// `GENERIC ...`
    pub generic: Option<Generic>,
    /// Module, data module, object.
    pub kind: UnitKind,
    /// Which half.
    pub part: UnitPart,
    /// Its name.
    pub name: Ident,
    /// Its dimensions.
    pub shape: Vec<ShapeDim>,
}

/// `BEGIN ... END GENERIC;`
#[derive(Debug)]
pub struct Tail {
    /// The initialisation part.
    pub init: Option<Block>,
    /// Its `BEGIN`, or else its `END`.
    pub begin: Span,
    /// Whether it says GENERIC.
    pub generic: bool,
    /// The `END`.
    pub span: Span,
}

/// What stands in a unit, in the order of the text: a body belongs to the head before it.
#[derive(Debug)]
pub enum Item {
    /// A declaration.
    Decl(Decl),
    /// The head of a routine.
    Head(Routine),
    /// `DEPENDENCIES ... END;`
    Dependencies(Span, Block),
    /// `BEGIN ... END;` and the span of its `END`.
    Body(Span, Code, Span),
}

impl Cx {
    /// For one parse of a piece of `file`.
    pub fn new(file: FileId) -> Cx {
        Cx {
            file,
            found: RefCell::new(Vec::new()),
        }
    }

    /// From `l` to `r`; an empty construct lies where it starts.
    pub fn span(&self, l: Loc, r: Loc) -> Span {
        Span::new(self.file, l.byte.min(r.byte), r.byte)
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// A `;` is missing, harmlessly, at `at`.
    pub fn missing_semi(&self, at: Loc) {
        let span = Span::new(self.file, at.byte.saturating_sub(1), at.byte);
        self.report(
            Diagnostic::new(
                codes::MISSING_SEMICOLON,
                span,
                "missing `;` at the end of this",
            )
            .with_note("every statement and every body ends in `;`, also the last one"),
        );
    }

    /// A sequence whose last statement lacks its `;`.
    pub fn unterminated(
        &self,
        l: Loc,
        mut stmts: Vec<Stmt>,
        last: Stmt,
        end: Loc,
        r: Loc,
    ) -> Block {
        self.missing_semi(end);
        stmts.push(last);
        Block {
            span: self.span(l, r),
            stmts,
        }
    }

    /// A type where bounds and tags have no place.
    pub fn plain_type(&self, ty: Type) -> Type {
        if let TypeKind::Named { bounds, tag, .. } = &ty.kind {
            let extra = bounds
                .first()
                .map(|b| b.span)
                .or(tag.as_ref().map(|tag| tag.span));
            if let Some(span) = extra {
                self.report(
                    Diagnostic::new(
                        codes::MISPLACED_BOUNDS,
                        span,
                        "bounds and tags belong to the declaration of a variable, not of a type",
                    )
                    .with_note("a type with fixed bounds is written `ARRAY[integer 1..n] OF T`"),
                );
            }
        }
        ty
    }

    /// An aggregate, whose type must be a name.
    pub fn aggregate(&self, ty: Designator, make: impl FnOnce(QualName) -> ExprKind) -> ExprKind {
        match ty.as_qual_name() {
            Some(name) => make(name),
            None => {
                self.report(Diagnostic::new(
                    codes::AGGREGATE_TYPE,
                    ty.span,
                    "an aggregate starts with the name of its type",
                ));
                ExprKind::Error
            }
        }
    }
}

/// A list with one more element.
pub fn push<T>(mut list: Vec<T>, last: T) -> Vec<T> {
    list.push(last);
    list
}

/// A list with one more element in front.
pub fn cons<T>(first: T, mut rest: Vec<T>) -> Vec<T> {
    rest.insert(0, first);
    rest
}

/// A list with perhaps one more element.
pub fn extend<T>(mut list: Vec<T>, last: Option<T>) -> Vec<T> {
    list.extend(last);
    list
}

/// The alternatives of a CASE without the empty ones.
pub fn cases(arms: Vec<Option<CaseArm>>, last: Option<CaseArm>) -> Vec<CaseArm> {
    arms.into_iter().flatten().chain(last).collect()
}

/// A generic formal.
pub fn generic_param(cx: &Cx, l: Loc, name: Ident, kind: GenericParamKind, r: Loc) -> GenericParam {
    GenericParam {
        span: cx.span(l, r),
        name,
        kind,
    }
}

/// A routine that has no body yet.
pub fn routine_head(
    head: Span,
    kind: RoutineKind,
    parallel: Option<Vec<Ident>>,
    name: Ident,
    params: Vec<Param>,
    result: Option<ResultType>,
) -> Routine {
    Routine {
        head,
        kind,
        parallel,
        name,
        params,
        result,
        body: None,
    }
}

/// A section of formal parameters.
pub fn param(
    cx: &Cx,
    l: Loc,
    names: Vec<Ident>,
    mode: Option<(Mode, Span)>,
    ty: Type,
    collect: Option<Collect>,
    r: Loc,
) -> Param {
    let kind = mode.map_or(Mode::In, |(mode, _)| mode);
    if kind != Mode::Out {
        check_param_type(cx, &ty);
    }
    Param {
        span: cx.span(l, r),
        names,
        mode: kind,
        mode_span: mode.map(|(_, span)| span),
        ty,
        collect,
    }
}

/// Only an OUT parameter may bring bounds, a tag, or a type of its own.
fn check_param_type(cx: &Cx, ty: &Type) {
    let span = match &ty.kind {
        TypeKind::Named { bounds, tag, .. } => bounds
            .first()
            .map(|b| b.span)
            .or(tag.as_ref().map(|tag| tag.span)),
        TypeKind::Error => None,
        _ => {
            cx.report(Diagnostic::new(
                codes::PARAMETER_TYPE,
                ty.span,
                "the type of an IN or SHARED parameter is a name; declare the type before",
            ));
            return;
        }
    };
    if let Some(span) = span {
        cx.report(Diagnostic::new(
            codes::MISPLACED_BOUNDS,
            span,
            "only an OUT parameter has bounds or a tag; others take them from the actual",
        ));
    }
}

/// A name as a type.
pub fn named(name: QualName) -> Type {
    Type {
        span: name.span,
        kind: TypeKind::Named {
            name,
            bounds: Vec::new(),
            tag: None,
        },
    }
}

/// `left op right`
pub fn binary(left: Expr, op: BinaryOp, op_span: Span, right: Expr) -> Expr {
    Expr {
        span: left.span.to(right.span),
        kind: ExprKind::Binary {
            op,
            op_span,
            left: Box::new(left),
            right: Box::new(right),
        },
    }
}

/// `op operand`
pub fn unary(op: UnaryOp, op_span: Span, operand: Expr) -> Expr {
    Expr {
        span: op_span.to(operand.span),
        kind: ExprKind::Unary {
            op,
            op_span,
            operand: Box::new(operand),
        },
    }
}

/// A designator with one more step.
pub fn select(mut base: Designator, selector: Selector) -> Designator {
    base.span = base.span.to(selector.span);
    base.selectors.push(selector);
    base
}
