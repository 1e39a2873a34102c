//! Expressions: operators, constant folding, literals.
//!
//! Implements: ORCA.md 5.1-5.7, 5.9, 4.2.

use crate::ast::{self, BinaryOp as Op, ExprKind as Written, Radix};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{BinaryOp, CompareOp, Expr, ExprKind, LogicalOp, TypeId, UnaryOp};
use crate::source::Span;

use super::Checker;
use super::convert::Operand;
use super::types::{BOOLEAN, CHAR, INTEGER, LONGINT, STRING, Ty};
use super::value::{self, Fault, Value};

impl Checker<'_> {
    /// Checks an expression. `hint` is the type of the place that takes it; only shifts of untyped constants look at it.
    pub(crate) fn expr(&mut self, expr: &ast::Expr, hint: Option<TypeId>) -> Operand {
        let span = expr.span;
        match &expr.kind {
            Written::Int { value, radix } => {
                let mut operand = Operand::constant(Ty::Integer, Value::Int(*value as i64), span);
                operand.quiet = *radix != Radix::Decimal;
                operand
            }
            Written::Real(value) => Operand::constant(Ty::Real, Value::Real(*value), span),
            Written::Char(byte) => {
                Operand::constant(Ty::Of(CHAR), Value::Int(i64::from(*byte)), span)
            }
            Written::String(text) => {
                let text = self.session.name(*text).as_bytes().into();
                Operand::constant(Ty::Of(STRING), Value::Text(text), span)
            }
            Written::Designator(designator) => self.designator_value(designator),
            Written::Call(call) => self.call_value(call, span),
            Written::Operation(call) => self.operation_value(call, span),
            Written::BraceAggregate { ty, elements } => self.brace_aggregate(ty, elements, span),
            Written::ArrayAggregate { ty, elements } => self.array_aggregate(ty, elements, span),
            Written::From { args, args_span } => self.removed_value(args, *args_span, span),
            Written::Paren(inner) => {
                let mut operand = self.expr(inner, hint);
                operand.expr.span = span;
                operand
            }
            Written::Unary {
                op,
                op_span,
                operand,
            } => self.unary(*op, *op_span, operand, hint, span),
            Written::Binary {
                op,
                op_span,
                left,
                right,
            } => self.binary(*op, *op_span, left, right, hint, span),
            Written::Error => Operand::error(span),
        }
    }

    /// A boolean expression.
    pub(crate) fn condition(&mut self, expr: &ast::Expr) -> Expr {
        self.expr_for(expr, Ty::Of(BOOLEAN)).expr
    }

    fn unary(
        &mut self,
        op: ast::UnaryOp,
        op_span: Span,
        operand: &ast::Expr,
        hint: Option<TypeId>,
        span: Span,
    ) -> Operand {
        let operand = self.expr(operand, hint);
        if operand.ty.is_error() {
            return Operand::error(span);
        }
        let fits = match op {
            ast::UnaryOp::Plus | ast::UnaryOp::Minus => self.types.is_numeric(operand.ty),
            ast::UnaryOp::Not => self.types.is_boolean(operand.ty),
            ast::UnaryOp::BitNot => self.types.is_integer(operand.ty),
        };
        if !fits {
            let found = self.type_name(operand.ty);
            self.report(Diagnostic::new(
                codes::BAD_OPERAND,
                op_span,
                format!("`{}` is not defined for {found}", op.text()),
            ));
            return Operand::error(span);
        }
        let quiet = operand.quiet;
        let ty = operand.ty;
        let mut result = match (op, &operand.value) {
            (ast::UnaryOp::Plus, _) => Operand {
                expr: Expr {
                    span,
                    ..operand.expr
                },
                ..operand
            },
            (_, Some(value)) => self.fold_unary(op, value.clone(), ty, quiet, span),
            (op, None) => {
                let op = match op {
                    ast::UnaryOp::Not => UnaryOp::Not,
                    ast::UnaryOp::BitNot => UnaryOp::Complement,
                    _ => UnaryOp::Negate,
                };
                let id = ty.id().expect("a value that is not constant has a type");
                Operand::computed(id, ExprKind::Unary(op, Box::new(operand.expr)), span)
            }
        };
        result.quiet = quiet;
        result
    }

    fn fold_unary(
        &mut self,
        op: ast::UnaryOp,
        value: Value,
        ty: Ty,
        quiet: bool,
        span: Span,
    ) -> Operand {
        let result = match (op, value) {
            (ast::UnaryOp::Minus, Value::Int(number)) => {
                return self.fold_integers(BinaryOp::Subtract, 0, number, ty, quiet, span, span);
            }
            (ast::UnaryOp::Minus, Value::Real(number)) => Value::Real(-number),
            (ast::UnaryOp::Not, Value::Int(number)) => Value::Int(1 - number),
            (ast::UnaryOp::BitNot, Value::Int(number)) => Value::Int(!number),
            _ => Value::Unknown,
        };
        Operand::constant(ty, result, span)
    }

    fn binary(
        &mut self,
        op: Op,
        op_span: Span,
        left: &ast::Expr,
        right: &ast::Expr,
        hint: Option<TypeId>,
        span: Span,
    ) -> Operand {
        let inner_hint = if arithmetic(op).is_some() { hint } else { None };
        let left = self.expr(left, inner_hint);
        let right = self.expr(right, left.ty.id().or(inner_hint));
        if left.ty.is_error() || right.ty.is_error() {
            return Operand::error(span);
        }
        match op {
            Op::And => self.logical(LogicalOp::And, left, right, op_span, span),
            Op::Or => self.logical(LogicalOp::Or, left, right, op_span, span),
            Op::In => self.membership(left, right, op_span, span),
            _ => match (comparison(op), arithmetic(op)) {
                (Some(compare), _) => self.comparison(compare, left, right, op_span, span),
                (_, Some(arithmetic)) => {
                    self.arithmetic(arithmetic, left, right, hint, op_span, span)
                }
                _ => Operand::error(span),
            },
        }
    }

    pub(crate) fn report_operands(&mut self, op: &str, left: Ty, right: Ty, op_span: Span) {
        let (left_name, right_name) = (self.type_name(left), self.type_name(right));
        let mut diagnostic = Diagnostic::new(
            codes::BAD_OPERAND,
            op_span,
            format!("`{op}` is not defined for {left_name} and {right_name}"),
        );
        if (self.types.is_real(left) && self.types.is_integer(right))
            || (self.types.is_integer(left) && self.types.is_real(right))
        {
            diagnostic = diagnostic.with_help(
                "integers become real only by FLOAT(...), or as constants with a point: 1.0",
            );
        } else if matches!(op, "AND" | "OR") {
            diagnostic = diagnostic
                .with_note("AND and OR bind tighter than comparisons: write (a > 0) AND (b > 0)");
        }
        self.report(diagnostic);
    }

    fn logical(
        &mut self,
        op: LogicalOp,
        left: Operand,
        right: Operand,
        op_span: Span,
        span: Span,
    ) -> Operand {
        if !self.types.is_boolean(left.ty) || !self.types.is_boolean(right.ty) {
            let text = if op == LogicalOp::And { "AND" } else { "OR" };
            self.report_operands(text, left.ty, right.ty, op_span);
            return Operand::error(span);
        }
        match (&left.value, &right.value) {
            (Some(Value::Int(a)), Some(Value::Int(b))) => {
                let value = if op == LogicalOp::And { a & b } else { a | b };
                Operand::constant(Ty::Of(BOOLEAN), Value::Int(value), span)
            }
            (Some(_), Some(_)) => Operand::constant(Ty::Of(BOOLEAN), Value::Unknown, span),
            _ => Operand::computed(
                BOOLEAN,
                ExprKind::Logical(op, Box::new(left.expr), Box::new(right.expr)),
                span,
            ),
        }
    }

    fn membership(&mut self, left: Operand, right: Operand, op_span: Span, span: Span) -> Operand {
        let Some(element) = self.types.set_element(right.ty) else {
            self.report_operands("IN", left.ty, right.ty, op_span);
            return Operand::error(span);
        };
        let left = self.coerce(left, Ty::Of(element));
        if left.ty.is_error() {
            return Operand::error(span);
        }
        if let (Some(value), Some(Value::Set(elements))) = (&left.value, &right.value)
            && value.is_known()
            && elements.iter().all(Value::is_known)
        {
            let found = i64::from(elements.contains(value));
            return Operand::constant(Ty::Of(BOOLEAN), Value::Int(found), span);
        }
        let kind = ExprKind::In(Box::new(left.expr), Box::new(right.expr));
        Operand::computed(BOOLEAN, kind, span)
    }

    fn comparison(
        &mut self,
        op: CompareOp,
        left: Operand,
        right: Operand,
        op_span: Span,
        span: Span,
    ) -> Operand {
        let is_equality = matches!(op, CompareOp::Equal | CompareOp::NotEqual);
        let fits = self.types.compatible(left.ty, right.ty)
            && (is_equality || (self.types.is_ordered(left.ty) && self.types.is_ordered(right.ty)));
        if !fits {
            self.report_operands(compare_text(op), left.ty, right.ty, op_span);
            return Operand::error(span);
        }
        if !self.types.is_comparable(left.ty) || !self.types.is_comparable(right.ty) {
            let name = self.type_name(left.ty);
            self.report(Diagnostic::new(
                codes::NOT_COMPARABLE,
                op_span,
                format!("values of {name} cannot be compared"),
            ));
            return Operand::error(span);
        }
        let common = self.types.wider(left.ty, right.ty);
        let left = self.as_constant_of(left, common);
        let right = self.as_constant_of(right, common);
        if let (Some(a), Some(b)) = (&left.value, &right.value) {
            let folded = match (a, b) {
                (Value::Unknown, _) | (_, Value::Unknown) => Some(Value::Unknown),
                (Value::Nil, Value::Nil) => Some(Value::Int(i64::from(op == CompareOp::Equal))),
                _ => value::compare(op, a, b).map(|holds| Value::Int(i64::from(holds))),
            };
            if let Some(folded) = folded {
                return Operand::constant(Ty::Of(BOOLEAN), folded, span);
            }
        }
        let kind = ExprKind::Compare(op, Box::new(left.expr), Box::new(right.expr));
        Operand::computed(BOOLEAN, kind, span)
    }

    /// `+ - * / % & | ^ << >>` on checked operands.
    pub(crate) fn arithmetic(
        &mut self,
        op: BinaryOp,
        left: Operand,
        right: Operand,
        hint: Option<TypeId>,
        op_span: Span,
        span: Span,
    ) -> Operand {
        if matches!(op, BinaryOp::ShiftLeft | BinaryOp::ShiftRight) {
            return self.shift(op, left, right, hint, op_span, span);
        }
        if !self.has_operator(op, left.ty, right.ty) {
            self.report_operands(arithmetic_text(op), left.ty, right.ty, op_span);
            return Operand::error(span);
        }
        let common = self.types.wider(left.ty, right.ty);
        let quiet = left.quiet || right.quiet;
        let left = self.as_constant_of(left, common);
        let right = self.as_constant_of(right, common);
        let mut result = match (&left.value, &right.value) {
            (Some(Value::Int(a)), Some(Value::Int(b))) => {
                self.fold_integers(op, *a, *b, common, quiet, op_span, span)
            }
            (Some(Value::Real(a)), Some(Value::Real(b))) => {
                self.fold_reals(op, *a, *b, common, op_span, span)
            }
            (Some(_), Some(_)) if common.is_universal() || self.types.is_numeric(common) => {
                Operand::constant(common, Value::Unknown, span)
            }
            (_, Some(Value::Int(b))) if self.divides_badly(op, *b) => {
                self.report_fault(op, *b, op_span, span)
            }
            (_, Some(Value::Real(b))) if op == BinaryOp::Divide && *b == 0.0 => {
                self.report_fault(op, 0, op_span, span)
            }
            _ => {
                let id = common.id().unwrap_or(INTEGER);
                let kind = ExprKind::Binary(op, Box::new(left.expr), Box::new(right.expr), op_span);
                Operand::computed(id, kind, span)
            }
        };
        result.quiet = quiet;
        result
    }

    /// Whether two types have an arithmetic operator in common.
    pub(crate) fn has_operator(&self, op: BinaryOp, left: Ty, right: Ty) -> bool {
        let is_set = self.types.set_element(left).is_some() && left == right;
        match op {
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide => {
                let both = self.types.is_numeric(left) && self.types.is_numeric(right);
                is_set || (both && self.types.compatible(left, right))
            }
            _ => self.types.is_integer(left) && self.types.is_integer(right),
        }
    }

    fn divides_badly(&self, op: BinaryOp, divisor: i64) -> bool {
        (op == BinaryOp::Divide && divisor == 0) || (op == BinaryOp::Modulo && divisor <= 0)
    }

    fn report_fault(&mut self, op: BinaryOp, divisor: i64, op_span: Span, span: Span) -> Operand {
        let fault = value::integer(op, 1, divisor, 64)
            .err()
            .unwrap_or(Fault::DivideByZero);
        self.report(Diagnostic::new(
            codes::CONSTANT_ERROR,
            op_span,
            fault.text(),
        ));
        Operand::error(span)
    }

    /// Reports a constant divisor that can only fail; for `/:=` and `%:=`.
    pub(crate) fn check_divisor(&mut self, op: BinaryOp, right: &Operand, op_span: Span) {
        let bad = match right.value {
            Some(Value::Int(divisor)) => self.divides_badly(op, divisor).then_some(divisor),
            Some(Value::Real(divisor)) => (op == BinaryOp::Divide && divisor == 0.0).then_some(0),
            _ => None,
        };
        if let Some(divisor) = bad {
            self.report_fault(op, divisor, op_span, op_span);
        }
    }

    fn shift(
        &mut self,
        op: BinaryOp,
        left: Operand,
        right: Operand,
        hint: Option<TypeId>,
        op_span: Span,
        span: Span,
    ) -> Operand {
        if !self.types.is_integer(left.ty) || !self.types.is_integer(right.ty) {
            self.report_operands(arithmetic_text(op), left.ty, right.ty, op_span);
            return Operand::error(span);
        }
        let quiet = left.quiet;
        let count = self.as_constant_of(right, Ty::Of(LONGINT));
        if let Some(Value::Int(..0)) = count.value {
            self.report(Diagnostic::new(
                codes::CONSTANT_ERROR,
                op_span,
                Fault::ShiftCount.text(),
            ));
            return Operand::error(span);
        }
        let mut result = match (&left.value, &count.value) {
            (Some(Value::Int(a)), Some(Value::Int(b))) => {
                self.fold_integers(op, *a, *b, left.ty, quiet, op_span, span)
            }
            (Some(_), Some(_)) => Operand::constant(left.ty, Value::Unknown, span),
            _ => {
                let wanted =
                    hint.filter(|&id| self.types.is_integer(Ty::Of(id)) && left.ty == Ty::Integer);
                let left = match wanted {
                    Some(id) if id == LONGINT => self.as_constant_of(left, Ty::Of(LONGINT)),
                    _ => self.concrete(left),
                };
                let id = left.expr.ty;
                let kind = ExprKind::Binary(op, Box::new(left.expr), Box::new(count.expr), op_span);
                Operand::computed(id, kind, span)
            }
        };
        result.quiet = quiet;
        result
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an operator, its operands and its places"
    )]
    fn fold_integers(
        &mut self,
        op: BinaryOp,
        a: i64,
        b: i64,
        ty: Ty,
        quiet: bool,
        op_span: Span,
        span: Span,
    ) -> Operand {
        let bits = ty
            .id()
            .and_then(|id| value::bits(self.types.kind(id)))
            .unwrap_or(64);
        match value::integer(op, a, b, bits) {
            Ok((result, overflow)) => {
                if overflow && !quiet {
                    self.report(Diagnostic::new(
                        codes::CONSTANT_OVERFLOW,
                        span,
                        format!("overflow in constant expression; the result is {result}"),
                    ));
                }
                Operand::constant(ty, Value::Int(result), span)
            }
            Err(fault) => {
                self.report(Diagnostic::new(
                    codes::CONSTANT_ERROR,
                    op_span,
                    fault.text(),
                ));
                Operand::error(span)
            }
        }
    }

    fn fold_reals(
        &mut self,
        op: BinaryOp,
        a: f64,
        b: f64,
        ty: Ty,
        op_span: Span,
        span: Span,
    ) -> Operand {
        match value::real(op, a, b) {
            Some(Ok(result)) => {
                let result = ty.id().map_or(result, |id| self.round(result, id));
                Operand::constant(ty, Value::Real(result), span)
            }
            Some(Err(fault)) => {
                self.report(Diagnostic::new(
                    codes::CONSTANT_ERROR,
                    op_span,
                    fault.text(),
                ));
                Operand::error(span)
            }
            None => Operand::error(span),
        }
    }
}

fn comparison(op: Op) -> Option<CompareOp> {
    Some(match op {
        Op::Eq => CompareOp::Equal,
        Op::Ne => CompareOp::NotEqual,
        Op::Lt => CompareOp::Less,
        Op::Le => CompareOp::LessEqual,
        Op::Gt => CompareOp::Greater,
        Op::Ge => CompareOp::GreaterEqual,
        _ => return None,
    })
}

/// The arithmetic meaning of an operator.
pub(crate) fn arithmetic(op: Op) -> Option<BinaryOp> {
    Some(match op {
        Op::Add => BinaryOp::Add,
        Op::Sub => BinaryOp::Subtract,
        Op::Mul => BinaryOp::Multiply,
        Op::Div => BinaryOp::Divide,
        Op::Mod => BinaryOp::Modulo,
        Op::BitOr => BinaryOp::BitOr,
        Op::BitAnd => BinaryOp::BitAnd,
        Op::BitXor => BinaryOp::BitXor,
        Op::Shl => BinaryOp::ShiftLeft,
        Op::Shr => BinaryOp::ShiftRight,
        _ => return None,
    })
}

pub(crate) fn arithmetic_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "^",
        BinaryOp::ShiftLeft => "<<",
        BinaryOp::ShiftRight => ">>",
    }
}

pub(crate) fn compare_text(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "=",
        CompareOp::NotEqual => "/=",
        CompareOp::Less => "<",
        CompareOp::Greater => ">",
        CompareOp::LessEqual => "<=",
        CompareOp::GreaterEqual => ">=",
    }
}
