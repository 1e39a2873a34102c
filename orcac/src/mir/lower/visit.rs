//! Walks over the typed program that lowering needs: which locals does code use, what can an expression write.
//!
//! Everything here only looks; nothing is lowered.

use std::collections::BTreeSet;

use crate::hir::{
    Argument, Base, Call, Expr, ExprKind, Invocation, LocalId, Place, StepKind, Stmt, StmtKind,
};

/// What a walk meets.
pub(super) enum Item<'a> {
    Expr(&'a Expr),
    Place(&'a Place),
    Call(&'a Call),
    Invocation(&'a Invocation),
}

type Visit<'v> = &'v mut dyn FnMut(&Item<'_>);

pub(super) fn in_stmts(stmts: &[Stmt], visit: Visit<'_>) {
    for stmt in stmts {
        in_stmt(stmt, visit);
    }
}

fn in_stmt(stmt: &Stmt, visit: Visit<'_>) {
    match &stmt.kind {
        StmtKind::Assign { place, value }
        | StmtKind::AssignBinary { place, value, .. }
        | StmtKind::AssignLogical { place, value, .. } => {
            in_place(place, visit);
            in_expr(value, visit);
        }
        StmtKind::Call(call) => in_call(call, visit),
        StmtKind::Invoke(invocation) => in_invocation(invocation, visit),
        StmtKind::Discard(expr) | StmtKind::Assert(expr) => in_expr(expr, visit),
        StmtKind::Fork { arguments, on, .. } => {
            in_arguments(arguments, visit);
            on.iter().for_each(|on| in_expr(on, visit));
        }
        StmtKind::Exit => {}
        StmtKind::Return(value) => value.iter().for_each(|value| in_expr(value, visit)),
        StmtKind::If {
            branches,
            otherwise,
        } => {
            for (condition, body) in branches {
                in_expr(condition, visit);
                in_stmts(body, visit);
            }
            in_stmts(otherwise, visit);
        }
        StmtKind::Case {
            selector,
            branches,
            otherwise,
        } => {
            in_expr(selector, visit);
            branches.iter().for_each(|(_, body)| in_stmts(body, visit));
            otherwise.iter().for_each(|body| in_stmts(body, visit));
        }
        StmtKind::While { condition, body } => {
            in_expr(condition, visit);
            in_stmts(body, visit);
        }
        StmtKind::Loop(body) => in_stmts(body, visit),
        StmtKind::Repeat { body, until } => {
            in_stmts(body, visit);
            in_expr(until, visit);
        }
        StmtKind::ForRange { from, to, body, .. } => {
            in_expr(from, visit);
            in_expr(to, visit);
            in_stmts(body, visit);
        }
        StmtKind::ForEach { set, body, .. } => {
            in_expr(set, visit);
            in_stmts(body, visit);
        }
        StmtKind::Insert { element, set } | StmtKind::Delete { element, set } => {
            in_expr(element, visit);
            in_place(set, visit);
        }
        StmtKind::DeleteNode { graph, node } => {
            in_place(graph, visit);
            in_expr(node, visit);
        }
        StmtKind::Strategy {
            object,
            replicate,
            cpu,
        } => {
            in_place(object, visit);
            in_expr(replicate, visit);
            in_expr(cpu, visit);
        }
        StmtKind::Read(places) => places.iter().for_each(|place| in_place(place, visit)),
        StmtKind::Write { arguments, .. } => arguments.iter().for_each(|a| in_expr(a, visit)),
    }
}

pub(super) fn in_expr(expr: &Expr, visit: Visit<'_>) {
    visit(&Item::Expr(expr));
    match &expr.kind {
        ExprKind::Integer(_) | ExprKind::Real(_) | ExprKind::Text(_) | ExprKind::Nil => {}
        ExprKind::Place(place) | ExprKind::From(place) | ExprKind::AddNode(place) => {
            in_place(place, visit);
        }
        ExprKind::Convert(inner) | ExprKind::Unary(_, inner) | ExprKind::Measure(_, inner) => {
            in_expr(inner, visit);
        }
        ExprKind::Binary(_, left, right, _)
        | ExprKind::Logical(_, left, right)
        | ExprKind::Compare(_, left, right)
        | ExprKind::In(left, right) => {
            in_expr(left, visit);
            in_expr(right, visit);
        }
        ExprKind::RecordAggregate(parts)
        | ExprKind::SetAggregate(parts)
        | ExprKind::Standard(_, parts)
        | ExprKind::ArrayAggregate {
            elements: parts, ..
        } => parts.iter().for_each(|part| in_expr(part, visit)),
        ExprKind::Call(call) => in_call(call, visit),
        ExprKind::Invoke(invocation) => in_invocation(invocation, visit),
    }
}

pub(super) fn in_place(place: &Place, visit: Visit<'_>) {
    visit(&Item::Place(place));
    for step in &place.path {
        match &step.kind {
            StepKind::Index(indices) => indices.iter().for_each(|index| in_expr(index, visit)),
            StepKind::Node(name) => in_expr(name, visit),
            _ => {}
        }
    }
}

fn in_call(call: &Call, visit: Visit<'_>) {
    visit(&Item::Call(call));
    in_arguments(&call.arguments, visit);
}

fn in_invocation(invocation: &Invocation, visit: Visit<'_>) {
    visit(&Item::Invocation(invocation));
    in_place(&invocation.object, visit);
    in_arguments(&invocation.arguments, visit);
}

fn in_arguments(arguments: &[Argument], visit: Visit<'_>) {
    for argument in arguments {
        match argument {
            Argument::In(expr) => in_expr(expr, visit),
            Argument::Out(place) | Argument::Shared(place) => in_place(place, visit),
        }
    }
}

/// The locals that places name in these statements, expressions and initialisations.
#[derive(Default)]
pub(super) struct Used(BTreeSet<LocalId>);

impl Used {
    pub(super) fn stmts(&mut self, stmts: &[Stmt]) {
        in_stmts(stmts, &mut |item| self.note(item));
    }

    pub(super) fn expr(&mut self, expr: &Expr) {
        in_expr(expr, &mut |item| self.note(item));
    }

    pub(super) fn contains(&self, local: LocalId) -> bool {
        self.0.contains(&local)
    }

    fn note(&mut self, item: &Item<'_>) {
        if let Item::Place(Place {
            base: Base::Local(local),
            ..
        }) = item
        {
            self.0.insert(*local);
        }
    }
}

/// Whether evaluating an expression can change something that starts at `base`, or move it.
pub(super) fn may_write(expr: &Expr, base: Base) -> bool {
    let mut found = false;
    in_expr(expr, &mut |item| found |= writes(item, base));
    found
}

/// The same for the indices and node names of a designator.
pub(super) fn place_may_write(place: &Place, base: Base) -> bool {
    let mut found = false;
    in_place(place, &mut |item| found |= writes(item, base));
    found
}

/// The same for an actual parameter's own evaluation, not counting what the call then does with it.
pub(super) fn argument_may_write(argument: &Argument, base: Base) -> bool {
    match argument {
        Argument::In(expr) => may_write(expr, base),
        Argument::Out(place) | Argument::Shared(place) => place_may_write(place, base),
    }
}

fn writes(item: &Item<'_>, base: Base) -> bool {
    match item {
        Item::Call(call) => call.arguments.iter().any(|a| passes(a, base)),
        Item::Invocation(invocation) => {
            touches(invocation.object.base, base)
                || invocation.arguments.iter().any(|a| passes(a, base))
        }
        Item::Expr(Expr {
            kind: ExprKind::From(place) | ExprKind::AddNode(place),
            ..
        }) => place.base == base,
        _ => false,
    }
}

/// Whether an operation on an object that starts at `object` can change what starts at `base`.
pub(super) fn touches(object: Base, base: Base) -> bool {
    object == base || (object == Base::SelfObject && matches!(base, Base::OwnField(_)))
}

fn passes(argument: &Argument, base: Base) -> bool {
    match argument {
        Argument::In(_) => false,
        Argument::Out(place) | Argument::Shared(place) => place.base == base,
    }
}

/// Whether the memory that a designator denotes can move while its variable lives.
pub(super) fn may_move(place: &Place) -> bool {
    place.path.iter().any(|step| {
        matches!(
            step.kind,
            StepKind::Index(_) | StepKind::Node(_) | StepKind::ObjectField(_)
        )
    })
}
