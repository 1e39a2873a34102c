//! Checked expressions, and making them fit the place that takes them.
//!
//! Implements: ORCA.md 4.2, 5.3 (constants wrap, with a warning unless written in octal or hexadecimal).

use std::rc::Rc;

use crate::ast;
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{Expr, ExprKind, TypeId, TypeKind};
use crate::source::Span;

use super::Checker;
use super::types::{INTEGER, LONGINT, REAL, Ty};
use super::value::{self, Value};

/// Larger aggregates are made when the program runs.
const CONSTANT_PARTS_MAX: usize = 1 << 18;

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) ty: Ty,
    /// What it is, if it is constant.
    pub(crate) value: Option<Value>,
    /// Of universal constants, NIL and ADDNODE the type is only right after conversion.
    pub(crate) expr: Expr,
    /// Wraps without a warning.
    pub(crate) quiet: bool,
}

impl Operand {
    /// Of something that was reported.
    pub(crate) fn error(span: Span) -> Operand {
        Operand::constant(Ty::Error, Value::Unknown, span).without_value()
    }

    /// A constant of simple type.
    pub(crate) fn constant(ty: Ty, value: Value, span: Span) -> Operand {
        let kind = match &value {
            Value::Int(value) => ExprKind::Integer(*value),
            Value::Real(value) => ExprKind::Real(*value),
            Value::Text(text) => ExprKind::Text(text.to_vec()),
            Value::Nil => ExprKind::Nil,
            _ => ExprKind::Integer(0),
        };
        let id = match ty {
            Ty::Real => REAL,
            other => other.id().unwrap_or(INTEGER),
        };
        Operand {
            ty,
            value: Some(value),
            expr: Expr { kind, ty: id, span },
            quiet: false,
        }
    }

    /// A value computed when the program runs.
    pub(crate) fn computed(ty: TypeId, kind: ExprKind, span: Span) -> Operand {
        Operand {
            ty: Ty::Of(ty),
            value: None,
            expr: Expr { kind, ty, span },
            quiet: false,
        }
    }

    fn without_value(mut self) -> Operand {
        self.value = None;
        self
    }
}

/// Stands where an expression was reported; never reaches a program.
pub(crate) fn dummy(span: Span) -> Expr {
    Expr {
        kind: ExprKind::Integer(0),
        ty: INTEGER,
        span,
    }
}

impl Checker<'_> {
    pub(crate) fn report_mismatch(&mut self, span: Span, wanted: Ty, found: Ty) {
        if wanted.is_error() || found.is_error() {
            return;
        }
        let (wanted_name, found_name) = (self.type_name(wanted), self.type_name(found));
        let mut diagnostic = Diagnostic::new(
            codes::TYPE_MISMATCH,
            span,
            format!("expected {wanted_name}, found {found_name}"),
        );
        if wanted_name == found_name {
            diagnostic = diagnostic
                .with_note("types are equal by name: each type that is written out is a new one");
        } else if self.types.is_real(wanted) && found == Ty::Integer {
            diagnostic = diagnostic.with_help("write a real constant, with a point: 1.0");
        } else if self.types.is_real(wanted) && self.types.is_integer(found) {
            diagnostic = diagnostic.with_help("FLOAT(...) makes a real of an integer");
        } else if self.types.is_integer(wanted) && self.types.is_real(found) {
            diagnostic = diagnostic.with_help("TRUNC(...) makes an integer of a real");
        }
        self.report(diagnostic);
    }

    /// An expression as a value for a place of type `to`.
    pub(crate) fn coerce(&mut self, operand: Operand, to: Ty) -> Operand {
        if to.is_error() || operand.ty.is_error() {
            return Operand::error(operand.expr.span);
        }
        if !self.types.assignable(to, operand.ty) {
            self.report_mismatch(operand.expr.span, to, operand.ty);
            return Operand::error(operand.expr.span);
        }
        self.as_constant_of(operand, to)
    }

    /// Checks an expression and makes it fit.
    pub(crate) fn expr_for(&mut self, expr: &ast::Expr, to: Ty) -> Operand {
        let operand = self.expr(expr, to.id());
        self.coerce(operand, to)
    }

    /// Converts between compatible types.
    pub(crate) fn as_constant_of(&mut self, operand: Operand, to: Ty) -> Operand {
        let Some(id) = to.id() else { return operand };
        let span = operand.expr.span;
        if operand.ty == to {
            return operand;
        }
        match (&operand.value, operand.ty) {
            (_, Ty::Error) => operand,
            (Some(Value::Int(number)), _) if self.types.is_integer(to) => {
                let wrapped = self.wrap(*number, id, operand.quiet, span);
                Operand::constant(to, Value::Int(wrapped), span)
            }
            (Some(Value::Real(number)), _) if self.types.is_real(to) => {
                let rounded = self.round(*number, id);
                Operand::constant(to, Value::Real(rounded), span)
            }
            (Some(Value::Unknown), _) => Operand::constant(to, Value::Unknown, span),
            (_, Ty::Nil) => Operand::constant(to, Value::Nil, span),
            (_, Ty::Added(_)) => Operand {
                ty: to,
                expr: Expr {
                    ty: id,
                    ..operand.expr
                },
                ..operand
            },
            _ => Operand::computed(id, ExprKind::Convert(Box::new(operand.expr)), span),
        }
    }

    fn wrap(&mut self, number: i64, ty: TypeId, quiet: bool, span: Span) -> i64 {
        let Some(bits) = value::bits(self.types.kind(ty)) else {
            return number;
        };
        let wrapped = value::wrap_bits(i128::from(number), bits);
        if wrapped != number && !quiet {
            let name = self.types.id_name(ty).to_owned();
            self.report(Diagnostic::new(
                codes::CONSTANT_OVERFLOW,
                span,
                format!("overflow in constant: {number} as `{name}` is {wrapped}"),
            ));
        }
        wrapped
    }

    /// A real constant as its type stores it.
    pub(crate) fn round(&self, number: f64, ty: TypeId) -> f64 {
        match self.types.kind(ty) {
            TypeKind::ShortReal => f64::from(number as f32),
            _ => number,
        }
    }

    /// A value where nothing says of which type: universal constants become `integer` (`longint` if need be) and `real`.
    pub(crate) fn concrete(&mut self, operand: Operand) -> Operand {
        match operand.ty {
            Ty::Integer => {
                let fits = match operand.value {
                    Some(Value::Int(number)) => operand.quiet || i32::try_from(number).is_ok(),
                    _ => true,
                };
                let ty = if fits { INTEGER } else { LONGINT };
                self.as_constant_of(operand, Ty::Of(ty))
            }
            Ty::Real => self.as_constant_of(operand, Ty::Of(REAL)),
            _ => operand,
        }
    }

    /// A constant expression; one that is not constant is reported.
    pub(crate) fn constant_expr(
        &mut self,
        expr: &ast::Expr,
        hint: Option<TypeId>,
    ) -> Option<Operand> {
        let operand = self.expr(expr, hint);
        if operand.ty.is_error() {
            return None;
        }
        if operand.value.is_none() {
            self.report(Diagnostic::new(
                codes::NOT_CONSTANT,
                expr.span,
                "expected a constant expression",
            ));
            return None;
        }
        Some(operand)
    }

    /// A value as an expression of its type.
    pub(crate) fn value_expr(&self, value: &Value, ty: TypeId, span: Span) -> Expr {
        let all = |parts: &[Value], types: &mut dyn Iterator<Item = TypeId>| {
            parts
                .iter()
                .zip(types)
                .map(|(part, ty)| self.value_expr(part, ty, span))
                .collect()
        };
        let kind = match (value, self.types.kind(ty)) {
            (Value::Int(number), _) => ExprKind::Integer(*number),
            (Value::Real(number), _) => ExprKind::Real(*number),
            (Value::Text(text), _) => ExprKind::Text(text.to_vec()),
            (Value::Nil, _) => ExprKind::Nil,
            (Value::Record(parts), TypeKind::Record { fields }) => {
                ExprKind::RecordAggregate(all(parts, &mut fields.iter().map(|field| field.ty)))
            }
            (Value::Set(parts), TypeKind::Set { element } | TypeKind::Bag { element }) => {
                ExprKind::SetAggregate(all(parts, &mut std::iter::repeat(*element)))
            }
            (Value::Array { bounds, elements }, TypeKind::Array(array)) => {
                ExprKind::ArrayAggregate {
                    bounds: bounds.to_vec(),
                    elements: all(elements, &mut std::iter::repeat(array.element)),
                }
            }
            _ => ExprKind::Integer(0),
        };
        Expr { kind, ty, span }
    }

    /// The value of an aggregate of these parts, if all are constant and the whole is not too large.
    pub(crate) fn aggregate_value(
        operands: &[Operand],
        make: impl FnOnce(Rc<[Value]>) -> Value,
    ) -> Option<Value> {
        let parts: Option<Rc<[Value]>> = operands
            .iter()
            .map(|operand| operand.value.clone())
            .collect();
        let parts = parts?;
        if parts.contains(&Value::Unknown) {
            return Some(Value::Unknown);
        }
        let mut room = CONSTANT_PARTS_MAX;
        for part in parts.iter() {
            room = room.checked_sub(part.size(room))?;
        }
        Some(make(parts))
    }
}
