//! Statements.
//!
//! Implements: ORCA.md 6.

use crate::ast::{self, Block, CaseArm, Ident, QualName, StmtKind as Written};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{Argument, Init, LocalKind, LogicalOp, Stmt, StmtKind, TypeId};
use crate::resolve::scope::Scope;
use crate::source::Span;

use super::Checker;
use super::call::Callee;
use super::convert::Operand;
use super::entity::{Entity, LocalUse};
use super::expr::{arithmetic, arithmetic_text};
use super::place::Usage;
use super::types::{BOOLEAN, INTEGER, Ty};
use super::value::Value;

impl Checker<'_> {
    pub(crate) fn statements(&mut self, block: &Block) -> Vec<Stmt> {
        let mut done = Vec::new();
        for stmt in &block.stmts {
            if let Some(kind) = self.statement(stmt) {
                done.push(Stmt {
                    kind,
                    span: stmt.span,
                });
            }
        }
        done
    }

    fn loop_body(&mut self, body: &Block) -> Vec<Stmt> {
        self.routine().loops += 1;
        let done = self.statements(body);
        self.routine().loops -= 1;
        done
    }

    fn statement(&mut self, stmt: &ast::Stmt) -> Option<StmtKind> {
        let span = stmt.span;
        match &stmt.kind {
            Written::Assign {
                target,
                op,
                op_span,
                value,
            } => self.assignment(target, *op, *op_span, value, span),
            Written::Call(call) => self.call_statement(call, span),
            Written::Operation(call) => {
                let (invocation, result) = self.invocation(call, span)?;
                if result.is_some() {
                    let name = self.text(call.operation.name);
                    self.report_unused_result(&name, span);
                }
                Some(StmtKind::Invoke(invocation))
            }
            Written::Fork {
                process,
                args,
                args_span,
                on,
            } => self.fork(process, args, *args_span, on.as_ref(), span),
            Written::Exit => {
                if self.routine().loops == 0 {
                    self.report(Diagnostic::new(
                        codes::BAD_EXIT,
                        span,
                        "EXIT stands outside a loop",
                    ));
                }
                Some(StmtKind::Exit)
            }
            Written::Return(value) => self.return_statement(value.as_ref(), span),
            Written::If { arms, otherwise } => {
                let branches = arms
                    .iter()
                    .map(|arm| (self.condition(&arm.condition), self.statements(&arm.body)))
                    .collect();
                let otherwise = otherwise.as_ref().map(|block| self.statements(block));
                Some(StmtKind::If {
                    branches,
                    otherwise: otherwise.unwrap_or_default(),
                })
            }
            Written::Case {
                selector,
                arms,
                otherwise,
            } => self.case(selector, arms, otherwise.as_ref()),
            Written::While { condition, body } => Some(StmtKind::While {
                condition: self.condition(condition),
                body: self.loop_body(body),
            }),
            Written::Loop(body) => Some(StmtKind::Loop(self.loop_body(body))),
            Written::Repeat { body, until } => {
                let body = self.loop_body(body);
                let until = self.condition(until);
                Some(StmtKind::Repeat { body, until })
            }
            Written::ForRange {
                variable,
                range,
                body,
            } => self.for_range(*variable, range, body),
            Written::ForEach {
                variable,
                elements,
                body,
            } => self.for_each(*variable, elements, body),
            Written::From { args, args_span } => {
                let operand = self.removed_value(args, *args_span, span);
                (!operand.ty.is_error()).then_some(StmtKind::Discard(operand.expr))
            }
            Written::Directive { object, args, .. } => {
                self.check_all(args);
                self.refuse_directive(object, span);
                None
            }
            Written::Access(args) => {
                self.check_all(args);
                self.report(Diagnostic::new(
                    codes::DATA_PARALLEL,
                    span,
                    "dependencies of parallel operations are not compiled yet",
                ));
                None
            }
            Written::Error => None,
        }
    }

    /// A directive on a partitioned object, whose declaration was reported, or on something else.
    fn refuse_directive(&mut self, object: &ast::Designator, span: Span) {
        let operand = self.designator_value(object);
        if !operand.ty.is_error() {
            let name = self.type_name(operand.ty);
            self.report(Diagnostic::new(
                codes::NOT_AN_OBJECT,
                span,
                format!("directives are for partitioned objects, found {name}"),
            ));
        }
    }

    fn assignment(
        &mut self,
        target: &ast::Designator,
        op: Option<ast::BinaryOp>,
        op_span: Span,
        value: &ast::Expr,
        span: Span,
    ) -> Option<StmtKind> {
        let usage = if op.is_some() {
            Usage::ReadWrite
        } else {
            Usage::Write
        };
        let place = self.changed(target, usage);
        let Some(place) = place else {
            self.check_for_unknown(value);
            return None;
        };
        let operand = self.expr(value, Some(place.ty));
        let ty = Ty::Of(place.ty);
        if operand.ty.is_error() {
            return None;
        }
        let Some(op) = op else {
            let value = self.coerce(operand, ty).expr;
            return Some(StmtKind::Assign { place, value });
        };
        if let ast::BinaryOp::And | ast::BinaryOp::Or = op {
            let (op, text) = match op {
                ast::BinaryOp::And => (LogicalOp::And, "AND"),
                _ => (LogicalOp::Or, "OR"),
            };
            if ty != Ty::Of(BOOLEAN) || operand.ty != Ty::Of(BOOLEAN) {
                self.report_operands(text, ty, operand.ty, op_span);
                return None;
            }
            let value = operand.expr;
            return Some(StmtKind::AssignLogical { place, op, value });
        }
        let op = arithmetic(op)?;
        let is_shift = matches!(
            op,
            crate::hir::BinaryOp::ShiftLeft | crate::hir::BinaryOp::ShiftRight
        );
        if !self.has_operator(op, ty, operand.ty) {
            self.report_operands(arithmetic_text(op), ty, operand.ty, op_span);
            return None;
        }
        self.check_divisor(op, &operand, op_span);
        if !is_shift && self.types.wider(ty, operand.ty) != ty {
            return Some(self.widened_assignment(place, op, operand, op_span, span));
        }
        let to = if is_shift {
            Ty::Of(super::types::LONGINT)
        } else {
            ty
        };
        let value = self.as_constant_of(operand, to).expr;
        Some(StmtKind::AssignBinary {
            place,
            op,
            value,
            operator: op_span,
        })
    }

    /// `i +:= l` with a wider right side: wrapping addition, subtraction and multiplication of the low bits give the same
    /// as computing wide; other operators are computed wide where the place has no side effects to repeat.
    fn widened_assignment(
        &mut self,
        place: crate::hir::Place,
        op: crate::hir::BinaryOp,
        operand: Operand,
        op_span: Span,
        span: Span,
    ) -> StmtKind {
        use crate::hir::{BinaryOp, Expr, ExprKind};
        let ty = Ty::Of(place.ty);
        let keeps_low_bits = self.types.is_integer(ty)
            && matches!(
                op,
                BinaryOp::Add
                    | BinaryOp::Subtract
                    | BinaryOp::Multiply
                    | BinaryOp::BitAnd
                    | BinaryOp::BitOr
                    | BinaryOp::BitXor
            );
        if keeps_low_bits || !is_repeatable(&place) {
            let value = self.as_constant_of(operand, ty).expr;
            return StmtKind::AssignBinary {
                place,
                op,
                value,
                operator: op_span,
            };
        }
        let wide = operand.expr.ty;
        let left = Expr {
            ty: place.ty,
            span: place.span,
            kind: ExprKind::Place(place.clone()),
        };
        let left = Expr {
            ty: wide,
            span: place.span,
            kind: ExprKind::Convert(Box::new(left)),
        };
        let computed = Expr {
            ty: wide,
            span,
            kind: ExprKind::Binary(op, Box::new(left), Box::new(operand.expr), op_span),
        };
        let value = Expr {
            ty: place.ty,
            span,
            kind: ExprKind::Convert(Box::new(computed)),
        };
        StmtKind::Assign { place, value }
    }

    fn call_statement(&mut self, call: &ast::Call, span: Span) -> Option<StmtKind> {
        match self.callee(&call.callee) {
            Callee::Error => {
                self.check_all(&call.args);
                None
            }
            Callee::Standard(standard) => {
                self.standard_statement(standard, &call.args, call.args_span, span)
            }
            Callee::Function(function) => {
                let (made, result) = self.function_call(function, call, span);
                if result.is_some() {
                    let name = self.functions[function.index()].name.clone();
                    self.report_unused_result(&name, span);
                }
                Some(StmtKind::Call(made))
            }
        }
    }

    fn fork(
        &mut self,
        process: &QualName,
        args: &[ast::Expr],
        args_span: Span,
        on: Option<&ast::Expr>,
        span: Span,
    ) -> Option<StmtKind> {
        if !self.in_process() {
            self.report(Diagnostic::new(
                codes::BAD_FORK,
                span,
                "FORK stands in processes only",
            ));
        }
        let id = match self.look_up_qualified(process) {
            Entity::Process(id) => Some(id),
            Entity::Error => None,
            other => {
                let text = self.session.text(process.span).to_owned();
                self.report(Diagnostic::new(
                    codes::BAD_FORK,
                    process.span,
                    format!("`{text}` is {}, not a process", other.kind_name()),
                ));
                None
            }
        };
        let made = match id {
            Some(id) => {
                let data = &self.processes[id.index()];
                let signature = data.signature.clone();
                let name = self.text(data.name);
                let (arguments, alias_checks) =
                    self.fork_arguments(&name, &signature, args, args_span);
                Some((id, arguments, alias_checks))
            }
            None => {
                self.check_all(args);
                None
            }
        };
        let on = on.map(|on| self.expr_for(on, Ty::Of(INTEGER)).expr);
        let (process, arguments, alias_checks): (_, Vec<Argument>, _) = made?;
        Some(StmtKind::Fork {
            process,
            arguments,
            alias_checks,
            on,
        })
    }

    fn return_statement(&mut self, value: Option<&ast::Expr>, span: Span) -> Option<StmtKind> {
        let result = self.routine().result;
        match (result, value) {
            (Some(ty), Some(value)) => {
                self.routine().returns_value = true;
                let value = self.expr_for(value, ty).expr;
                Some(StmtKind::Return(Some(value)))
            }
            (Some(_), None) => {
                self.report(Diagnostic::new(
                    codes::BAD_RETURN,
                    span,
                    "RETURN needs a value here",
                ));
                self.routine().returns_value = true;
                None
            }
            (None, Some(value)) => {
                self.expr(value, None);
                self.report(Diagnostic::new(
                    codes::BAD_RETURN,
                    value.span,
                    "RETURN has no value here: there is no result",
                ));
                None
            }
            (None, None) => Some(StmtKind::Return(None)),
        }
    }

    fn case(
        &mut self,
        selector: &ast::Expr,
        arms: &[CaseArm],
        otherwise: Option<&Block>,
    ) -> Option<StmtKind> {
        let selector = self.expr(selector, None);
        let selector = self.concrete(selector);
        let is_known = !selector.ty.is_error();
        if is_known && !self.types.is_discrete(selector.ty) {
            self.report_selector(&selector);
        }
        let id = selector
            .ty
            .id()
            .filter(|_| self.types.is_discrete(selector.ty));
        let mut seen: Vec<(i64, i64, Span)> = Vec::new();
        let mut branches = Vec::new();
        for arm in arms {
            let mut ranges = Vec::new();
            for label in &arm.labels {
                let range = self.case_label(label, id);
                let Some((low, high)) = range else { continue };
                let clash = seen
                    .iter()
                    .find(|&&(first, last, _)| low <= last && first <= high)
                    .copied();
                if let Some((_, _, first)) = clash {
                    self.report(
                        Diagnostic::new(
                            codes::BAD_LABEL,
                            label.span,
                            "this label stands here a second time",
                        )
                        .with_label(first, "the first time"),
                    );
                    continue;
                }
                seen.push((low, high, label.span));
                ranges.push((low, high));
            }
            branches.push((ranges, self.statements(&arm.body)));
        }
        let otherwise = otherwise.map(|block| self.statements(block));
        is_known.then_some(StmtKind::Case {
            selector: selector.expr,
            branches,
            otherwise,
        })
    }

    fn report_selector(&mut self, selector: &Operand) {
        let name = self.type_name(selector.ty);
        self.report(Diagnostic::new(
            codes::BAD_LABEL,
            selector.expr.span,
            format!("CASE needs an integer, char, boolean or enumeration, found {name}"),
        ));
    }

    fn case_label(&mut self, label: &ast::CaseLabel, ty: Option<TypeId>) -> Option<(i64, i64)> {
        let low = self.label_value(&label.low, ty);
        let high = match &label.high {
            Some(high) => self.label_value(high, ty),
            None => low,
        };
        let (low, high) = (low?, high?);
        if low > high {
            self.report(Diagnostic::new(
                codes::BAD_LABEL,
                label.span,
                "this range is empty",
            ));
            return None;
        }
        Some((low, high))
    }

    fn label_value(&mut self, expr: &ast::Expr, ty: Option<TypeId>) -> Option<i64> {
        let operand = self.constant_expr(expr, ty)?;
        let ty = Ty::Of(ty?);
        if !self.types.equivalent(ty, operand.ty) {
            self.report_mismatch(expr.span, ty, operand.ty);
            return None;
        }
        match self.as_constant_of(operand, ty).value {
            Some(Value::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// Runs with a FOR variable in scope.
    fn with_variable(
        &mut self,
        variable: Ident,
        ty: Ty,
        body: &Block,
    ) -> (crate::hir::LocalId, Vec<Stmt>) {
        self.warn_hiding(variable);
        self.routine().scopes.push(Scope::default());
        let id = self.declare_local(variable, ty, Init::default(), LocalKind::Loop);
        let uses = &mut self.routine().uses[id.index()];
        *uses = LocalUse {
            used: true,
            assigned: true,
        };
        let body = self.loop_body(body);
        self.routine().scopes.pop();
        (id, body)
    }

    fn warn_hiding(&mut self, variable: Ident) {
        let routine = self.cx.routine.as_ref();
        let hidden = routine
            .into_iter()
            .flat_map(|routine| routine.scopes.iter().rev())
            .find_map(|scope| scope.get(variable.name))
            .or_else(|| self.cx.scope.get(variable.name));
        let hidden = hidden.filter(|entry| !matches!(entry.entity, Entity::Error));
        if let Some(first) = hidden.and_then(|entry| entry.span) {
            let text = self.text(variable.name);
            self.report(
                Diagnostic::new(
                    codes::HIDES,
                    variable.span,
                    format!("the FOR variable `{text}` hides another declaration"),
                )
                .with_label(first, "declared here"),
            );
        }
    }

    fn for_range(&mut self, variable: Ident, range: &ast::Range, body: &Block) -> Option<StmtKind> {
        let low = self.expr(&range.low, None);
        let high = self.expr(&range.high, low.ty.id());
        let mut ty = if low.ty.is_universal() {
            high.ty
        } else {
            low.ty
        };
        if low.ty.is_error() || high.ty.is_error() {
            ty = Ty::Error;
        } else if !self.types.equivalent(low.ty, high.ty) || !self.types.is_discrete(ty) {
            let (low_name, high_name) = (self.type_name(low.ty), self.type_name(high.ty));
            self.report(Diagnostic::new(
                codes::TYPE_MISMATCH,
                range.span,
                format!(
                    "FOR needs two bounds of one discrete type, found {low_name} and {high_name}"
                ),
            ));
            ty = Ty::Error;
        }
        if ty == Ty::Integer {
            let fits = |operand: &Operand| match operand.value {
                Some(Value::Int(value)) => i32::try_from(value).is_ok(),
                _ => true,
            };
            let wide = !fits(&low) || !fits(&high);
            ty = Ty::Of(if wide { super::types::LONGINT } else { INTEGER });
        }
        let from = self.as_constant_of(low, ty).expr;
        let to = self.as_constant_of(high, ty).expr;
        let (variable, body) = self.with_variable(variable, ty, body);
        (!ty.is_error()).then_some(StmtKind::ForRange {
            variable,
            from,
            to,
            body,
        })
    }

    fn for_each(
        &mut self,
        variable: Ident,
        elements: &ast::Expr,
        body: &Block,
    ) -> Option<StmtKind> {
        let set = self.expr(elements, None);
        let element = self.types.set_element(set.ty);
        if element.is_none() && !set.ty.is_error() {
            let name = self.type_name(set.ty);
            self.report(Diagnostic::new(
                codes::TYPE_MISMATCH,
                elements.span,
                format!("FOR runs over a range or a set, found {name}"),
            ));
        }
        let ty = element.map_or(Ty::Error, Ty::Of);
        let (variable, body) = self.with_variable(variable, ty, body);
        element?;
        Some(StmtKind::ForEach {
            variable,
            set: set.expr,
            body,
        })
    }
}

/// Whether evaluating a designator twice is the same as once.
fn is_repeatable(place: &crate::hir::Place) -> bool {
    use crate::hir::{Expr, ExprKind, StepKind};
    fn plain(expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Integer(_) | ExprKind::Real(_) | ExprKind::Text(_) | ExprKind::Nil => true,
            ExprKind::Place(place) => is_repeatable(place),
            ExprKind::Convert(inner) | ExprKind::Unary(_, inner) => plain(inner),
            ExprKind::Binary(_, a, b, _)
            | ExprKind::Compare(_, a, b)
            | ExprKind::Logical(_, a, b) => plain(a) && plain(b),
            ExprKind::Standard(_, args) => args.iter().all(plain),
            _ => false,
        }
    }
    place.path.iter().all(|step| match &step.kind {
        StepKind::Index(indices) => indices.iter().all(plain),
        StepKind::Node(node) => plain(node),
        _ => true,
    })
}
