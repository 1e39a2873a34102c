//! Calls of functions and operations: arguments by mode, and aliases among them.
//!
//! Implements: ORCA.md 7, 9.3.

use crate::ast::{self, Designator, Ident, Mode};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{
    Argument, Base, Call, Expr, ExprKind, FunctionId, Invocation, ObjectId, OperationId, Place,
    StepKind,
};
use crate::resolve::scope;
use crate::source::Span;

use super::Checker;
use super::convert::{Operand, dummy};
use super::entity::{Entity, Formal, Signature, Within};
use super::generic::count;
use super::place::{Denoted, Usage};
use super::types::Ty;

/// What a call calls.
pub(crate) enum Callee {
    /// Was reported.
    Error,
    Function(FunctionId),
    Standard(super::entity::Standard),
}

/// How two places lie to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Overlap {
    No,
    Yes,
    /// Depends on index values.
    Maybe,
}

impl Checker<'_> {
    /// A call where a value is wanted.
    pub(crate) fn call_value(&mut self, call: &ast::Call, span: Span) -> Operand {
        match self.callee(&call.callee) {
            Callee::Error => {
                self.check_all(&call.args);
                Operand::error(span)
            }
            Callee::Standard(standard) => {
                self.standard_value(standard, &call.args, call.args_span, span)
            }
            Callee::Function(function) => {
                let (call, result) = self.function_call(function, call, span);
                match result.map(|ty| (ty, ty.id())) {
                    Some((_, Some(id))) => {
                        Operand::computed(id, ExprKind::Call(Box::new(call)), span)
                    }
                    Some(_) => Operand::error(span),
                    None => {
                        let name = self.functions[function.index()].name.clone();
                        self.report_no_result(&name, span);
                        Operand::error(span)
                    }
                }
            }
        }
    }

    fn report_no_result(&mut self, name: &str, span: Span) {
        self.report(Diagnostic::new(
            codes::BAD_CALL,
            span,
            format!("`{name}` has no result: its call is a statement"),
        ));
    }

    pub(crate) fn report_unused_result(&mut self, name: &str, span: Span) {
        self.report(Diagnostic::new(
            codes::BAD_CALL,
            span,
            format!("unexpected function result: the result of `{name}` must be used"),
        ));
    }

    /// What a designator before parentheses means.
    pub(crate) fn callee(&mut self, designator: &Designator) -> Callee {
        let (entity, used) = self.leading_entity(designator);
        let rest = &designator.selectors[used..];
        match entity {
            Entity::Error => Callee::Error,
            Entity::Function(function) if rest.is_empty() => Callee::Function(function),
            Entity::Standard(standard) if rest.is_empty() => Callee::Standard(standard),
            other => {
                let text = self.session.text(designator.span).to_owned();
                let message = match &other {
                    Entity::Process(_) => format!("`{text}` is a process: start it with FORK"),
                    Entity::Type(_) | Entity::Unit(_) => {
                        format!("`{text}` is {}, not a function", other.kind_name())
                    }
                    _ => format!("`{text}` is not a function"),
                };
                if !matches!(other, Entity::Function(_))
                    && !matches!(self.denote_quietly(&other), Ty::Error)
                {
                    self.report(Diagnostic::new(codes::WRONG_KIND, designator.span, message));
                }
                Callee::Error
            }
        }
    }

    /// A local of unknown type was reported when it was declared.
    fn denote_quietly(&self, entity: &Entity) -> Ty {
        match entity {
            Entity::Const(constant) => constant.ty,
            Entity::Type(ty) => *ty,
            _ => Ty::Nil,
        }
    }

    pub(crate) fn function_call(
        &mut self,
        function: FunctionId,
        call: &ast::Call,
        span: Span,
    ) -> (Call, Option<Ty>) {
        let data = &self.functions[function.index()];
        let signature = data.signature.clone();
        let name = data.name.clone();
        if self.cx.in_bounds {
            self.report(Diagnostic::new(
                codes::BAD_BOUNDS,
                span,
                format!("`{name}` cannot be called in bounds; only standard functions can"),
            ));
        } else if self.cx.routine.is_none() {
            self.report(Diagnostic::new(
                codes::NOT_CONSTANT,
                span,
                format!("expected a constant expression, and `{name}` is only called when the program runs"),
            ));
        }
        let (arguments, alias_checks) =
            self.arguments(&name, &signature, &call.args, call.args_span);
        let made = Call {
            function,
            arguments,
            alias_checks,
            span,
        };
        if self.cx.in_bounds || self.cx.routine.is_none() {
            return (made, Some(Ty::Error));
        }
        (made, signature.result)
    }

    /// An operation call where a value is wanted.
    pub(crate) fn operation_value(&mut self, call: &ast::OperationCall, span: Span) -> Operand {
        let Some((invocation, result)) = self.invocation(call, span) else {
            return Operand::error(span);
        };
        match result {
            Some(ty) => match ty.id() {
                Some(id) => Operand::computed(id, ExprKind::Invoke(Box::new(invocation)), span),
                None => Operand::error(span),
            },
            None => {
                let name = self.text(call.operation.name);
                self.report_no_result(&name, span);
                Operand::error(span)
            }
        }
    }

    /// `object$operation(arguments)`, and its result type.
    pub(crate) fn invocation(
        &mut self,
        call: &ast::OperationCall,
        span: Span,
    ) -> Option<(Invocation, Option<Ty>)> {
        let found = self.object_operand(&call.object, call.operation.span);
        let Some((place, object)) = found else {
            self.check_all(&call.args);
            return None;
        };
        if self.cx.routine.is_none() || self.cx.in_bounds {
            self.report(Diagnostic::new(
                codes::NOT_CONSTANT,
                span,
                "operations are only called in statements",
            ));
            return None;
        }
        let Some(operation) = self.find_operation(object, call.operation) else {
            self.check_all(&call.args);
            return None;
        };
        let data = &self.objects[object.0 as usize].operations[operation.index()];
        let signature = data.signature.clone();
        let name = self.text(call.operation.name);
        let (arguments, alias_checks) =
            self.arguments(&name, &signature, &call.args, call.args_span);
        let invocation = Invocation {
            object: place,
            operation,
            arguments,
            alias_checks,
            span,
        };
        Some((invocation, signature.result))
    }

    /// The object of an operation call, or SELF.
    fn object_operand(
        &mut self,
        designator: &Designator,
        operation: Span,
    ) -> Option<(Place, ObjectId)> {
        if designator.selectors.is_empty()
            && matches!(
                self.look_up_silently(designator.root),
                Some(Entity::SelfObject)
            )
        {
            return self.self_operand(designator.span);
        }
        let designated = match self.denote(designator, Usage::Read) {
            Denoted::Error => return None,
            Denoted::Place(designated) => designated,
            Denoted::Value(operand) => {
                self.report_no_object(designator.span, operand.ty);
                return None;
            }
        };
        let ty = Ty::Of(designated.place.ty);
        let Some(object) = self.types.object(ty) else {
            self.report_no_object(designator.span, ty);
            return None;
        };
        debug_assert!(
            operation.start >= designator.span.start,
            "the operation stands behind its object"
        );
        if let Base::Local(local) = designated.place.base {
            self.mark_changed(local);
        }
        Some((designated.place, object))
    }

    fn report_no_object(&mut self, span: Span, ty: Ty) {
        let name = self.type_name(ty);
        self.report(Diagnostic::new(
            codes::NOT_AN_OBJECT,
            span,
            format!("expected an object before `$`, found {name}"),
        ));
    }

    fn self_operand(&mut self, span: Span) -> Option<(Place, ObjectId)> {
        let within = self
            .cx
            .routine
            .as_ref()
            .and_then(|routine| routine.within.object());
        let Some(object) = within else {
            self.report(Diagnostic::new(
                codes::BAD_SELF,
                span,
                "SELF stands only in an operation or object initialization",
            ));
            return None;
        };
        let place = Place {
            base: Base::SelfObject,
            path: Vec::new(),
            ty: self.objects[object.0 as usize].ty,
            span,
        };
        Some((place, object))
    }

    fn find_operation(&mut self, object: ObjectId, name: Ident) -> Option<OperationId> {
        let data = &self.objects[object.0 as usize];
        let is_inside = data.instance == self.cx.instance;
        let found = data
            .operations
            .iter()
            .position(|operation| operation.name == name.name);
        if let Some(found) = found
            && (is_inside || data.operations[found].exported)
        {
            return Some(OperationId(found as u32));
        }
        let instance = &self.instances[data.instance.index()];
        if instance.poisoned || instance.refused || self.is_missing(name) {
            return None;
        }
        let object_name = data.name.clone();
        let text = self.text(name.name);
        let message = if found.is_some() {
            format!("`{text}` is a private operation of `{object_name}`")
        } else {
            format!("`{object_name}` has no operation `{text}`")
        };
        let data = &self.objects[object.0 as usize];
        let names = data
            .operations
            .iter()
            .filter(|operation| is_inside || operation.exported)
            .map(|operation| operation.name);
        let near = scope::nearest(&self.session.interner, name.name, names);
        let mut diagnostic = Diagnostic::new(codes::NO_OPERATION, name.span, message);
        if let Some(near) = near {
            diagnostic = diagnostic.with_help(format!("it has `{near}`"));
        }
        self.report(diagnostic);
        None
    }

    /// The actuals of a call against its formals, and the pairs to check for aliases at run time.
    pub(crate) fn arguments(
        &mut self,
        name: &str,
        signature: &Signature,
        actuals: &[ast::Expr],
        span: Span,
    ) -> (Vec<Argument>, Vec<(usize, usize)>) {
        if signature.formals.len() != actuals.len() {
            self.report(
                Diagnostic::new(
                    codes::ARGUMENT_COUNT,
                    span,
                    format!(
                        "`{name}` takes {}, found {}",
                        count(signature.formals.len(), "argument"),
                        actuals.len()
                    ),
                )
                .with_label(signature.span, "declared here"),
            );
            self.check_all(actuals);
            return (Vec::new(), Vec::new());
        }
        let arguments: Vec<Argument> = signature
            .formals
            .iter()
            .zip(actuals)
            .map(|(formal, actual)| self.argument(formal, actual))
            .collect();
        let checks = self.aliases(&arguments);
        (arguments, checks)
    }

    fn argument(&mut self, formal: &Formal, actual: &ast::Expr) -> Argument {
        if formal.ty.is_error() {
            return self.argument_of_unknown(actual);
        }
        if formal.mode == Mode::In {
            return Argument::In(self.expr_for(actual, formal.ty).expr);
        }
        let usage = if formal.mode == Mode::Out {
            Usage::Write
        } else {
            Usage::ReadWrite
        };
        let Some(place) = self.changed_argument(actual, usage) else {
            return Argument::In(dummy(actual.span));
        };
        let found = Ty::Of(place.ty);
        if found != formal.ty {
            let mode = if formal.mode == Mode::Out {
                "OUT"
            } else {
                "SHARED"
            };
            let (wanted, found) = (self.type_name(formal.ty), self.type_name(found));
            self.report(Diagnostic::new(
                codes::TYPE_MISMATCH,
                actual.span,
                format!("expected a variable of {wanted} for this {mode} parameter, found {found}"),
            ));
            return Argument::In(dummy(actual.span));
        }
        match formal.mode {
            Mode::Out => Argument::Out(place),
            _ => Argument::Shared(place),
        }
    }

    /// An actual for a formal whose type was reported: a bare function name may stand there.
    fn argument_of_unknown(&mut self, actual: &ast::Expr) -> Argument {
        self.check_for_unknown(actual);
        Argument::In(dummy(actual.span))
    }

    /// Checks a value whose place is of unknown type.
    pub(crate) fn check_for_unknown(&mut self, actual: &ast::Expr) {
        let is_function = match &actual.kind {
            ast::ExprKind::Designator(designator) => {
                matches!(self.leading_entity(designator).0, Entity::Function(_))
            }
            _ => false,
        };
        if !is_function {
            self.expr(actual, None);
        }
    }

    /// Reports pairs that overlap, gives those that may.
    fn aliases(&mut self, arguments: &[Argument]) -> Vec<(usize, usize)> {
        let mut checks = Vec::new();
        for (j, second) in arguments.iter().enumerate() {
            for (i, first) in arguments[..j].iter().enumerate() {
                let (Some(a), Some(b)) = (changed_place(first), changed_place(second)) else {
                    continue;
                };
                match overlap(a, b) {
                    Overlap::No => {}
                    Overlap::Maybe => checks.push((i, j)),
                    Overlap::Yes => {
                        let span = b.span;
                        let other = a.span;
                        self.report(
                            Diagnostic::new(
                                codes::ALIAS,
                                span,
                                "illegal alias: this OUT or SHARED argument overlaps another one",
                            )
                            .with_label(other, "the other one"),
                        );
                    }
                }
            }
        }
        checks
    }

    /// The process of a FORK and its arguments.
    pub(crate) fn fork_arguments(
        &mut self,
        name: &str,
        signature: &Signature,
        actuals: &[ast::Expr],
        span: Span,
    ) -> (Vec<Argument>, Vec<(usize, usize)>) {
        let (arguments, checks) = self.arguments(name, signature, actuals, span);
        for argument in &arguments {
            let Argument::Shared(place) = argument else {
                continue;
            };
            let Base::Local(local) = place.base else {
                continue;
            };
            let kind = self
                .cx
                .routine
                .as_ref()
                .map(|routine| routine.locals[local.index()].kind);
            if let Some(crate::hir::LocalKind::In { .. }) = kind {
                self.report(Diagnostic::new(
                    codes::BAD_FORK,
                    place.span,
                    "an IN parameter is a private copy; shared objects are declared in a process or received as SHARED",
                ));
            }
        }
        (arguments, checks)
    }

    /// Whether the routine being checked is a process.
    pub(crate) fn in_process(&self) -> bool {
        self.cx
            .routine
            .as_ref()
            .is_some_and(|routine| routine.within == Within::Process)
    }
}

fn changed_place(argument: &Argument) -> Option<&Place> {
    match argument {
        Argument::In(_) => None,
        Argument::Out(place) | Argument::Shared(place) => Some(place),
    }
}

/// Whether two places are the same, or one is a part of the other.
fn overlap(a: &Place, b: &Place) -> Overlap {
    if a.base != b.base {
        return Overlap::No;
    }
    let mut certain = true;
    for (first, second) in a.path.iter().zip(&b.path) {
        match (&first.kind, &second.kind) {
            (StepKind::Index(first), StepKind::Index(second)) => {
                for (first, second) in first.iter().zip(second) {
                    match same_value(first, second) {
                        Some(true) => {}
                        Some(false) => return Overlap::No,
                        None => certain = false,
                    }
                }
            }
            (StepKind::Node(first), StepKind::Node(second)) => match same_value(first, second) {
                Some(true) => {}
                Some(false) => return Overlap::No,
                None => certain = false,
            },
            (StepKind::Field(first), StepKind::Field(second))
            | (StepKind::RootField(first), StepKind::RootField(second))
            | (StepKind::NodeField(first), StepKind::NodeField(second))
            | (StepKind::ObjectField(first), StepKind::ObjectField(second)) => {
                if first != second {
                    return Overlap::No;
                }
            }
            // A root field beside a node.
            _ => return Overlap::No,
        }
    }
    if certain {
        Overlap::Yes
    } else {
        Overlap::Maybe
    }
}

/// Whether two expressions have the same value, if that is plain to see.
fn same_value(a: &Expr, b: &Expr) -> Option<bool> {
    match (&a.kind, &b.kind) {
        (ExprKind::Integer(a), ExprKind::Integer(b)) => Some(a == b),
        (ExprKind::Convert(a), ExprKind::Convert(b)) if a.ty == b.ty => {
            same_value(a, b).filter(|same| *same)
        }
        (ExprKind::Place(a), ExprKind::Place(b)) => {
            let same = a.path.len() == b.path.len() && overlap(a, b) == Overlap::Yes;
            same.then_some(true)
        }
        _ => None,
    }
}
