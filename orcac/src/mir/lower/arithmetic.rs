//! Arithmetic on words, and the standard functions, with their checks.
//!
//! Integers wrap at their width; `/` and `%` check their right operand; shifts take any count that is not negative; reals are computed
//! as F64 and check for division by zero.
//!
//! Implements: ORCA.md 5.3, 5.4, 8.

use orca_abi::trap::Trap;

use super::routine::Body;
use crate::hir::{self, BinaryOp, Expr, StandardFunction, TypeKind};
use crate::mir::build::bits;
use crate::mir::{Binary, Compare, CompareReal, ControlField, Op, Ty, Unary, Value};
use crate::source::Span;

impl<'a> Body<'_, 'a> {
    /// A binary operation on two words; for shifts the right one has a type of its own.
    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        ty: hir::TypeId,
        left: Value,
        (right, right_ty): (Value, hir::TypeId),
        operator: Span,
    ) -> Value {
        self.at(operator);
        if self.word(ty) == Ty::F64 {
            return self.binary_real(op, left, right, operator);
        }
        match op {
            BinaryOp::Add => self.b.binary(Binary::Add, left, right),
            BinaryOp::Subtract => self.b.binary(Binary::Subtract, left, right),
            BinaryOp::Multiply => self.b.binary(Binary::Multiply, left, right),
            BinaryOp::BitAnd => self.b.binary(Binary::And, left, right),
            BinaryOp::BitOr => self.b.binary(Binary::Or, left, right),
            BinaryOp::BitXor => self.b.binary(Binary::Xor, left, right),
            BinaryOp::Divide => {
                let zero = self.b.int(self.b.ty(right), 0);
                let bad = self.b.compare(Compare::Equal, right, zero);
                self.check(bad, Trap::DivideByZero, operator);
                self.b.binary(Binary::Divide, left, right)
            }
            BinaryOp::Modulo => {
                let zero = self.b.int(self.b.ty(right), 0);
                let bad = self.b.compare(Compare::LessEqual, right, zero);
                self.check(bad, Trap::ModuloByZero, operator);
                self.b.binary(Binary::Modulo, left, right)
            }
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
                let signed = self.cx.layouts.signed(right_ty);
                let count = self.b.resize(right, Ty::I64, signed);
                self.shift(op, left, count, operator)
            }
        }
    }

    fn binary_real(&mut self, op: BinaryOp, left: Value, right: Value, operator: Span) -> Value {
        let op = match op {
            BinaryOp::Add => Binary::AddReal,
            BinaryOp::Subtract => Binary::SubtractReal,
            BinaryOp::Multiply => Binary::MultiplyReal,
            BinaryOp::Divide => {
                let zero = self.b.real(0.0);
                let bad = self.b.compare_real(CompareReal::Equal, right, zero);
                self.check(bad, Trap::DivideByZero, operator);
                Binary::DivideReal
            }
            other => unreachable!("{other:?} is not defined on reals"),
        };
        self.b.binary(op, left, right)
    }

    /// Counts from the width on shift everything out; negative ones trap.
    fn shift(&mut self, op: BinaryOp, left: Value, count: Value, operator: Span) -> Value {
        let ty = self.b.ty(left);
        let width = i64::from(bits(ty));
        let zero = self.b.int(Ty::I64, 0);
        let negative = self.b.compare(Compare::Less, count, zero);
        self.check(negative, Trap::ShiftCount, operator);
        let last = self.b.int(Ty::I64, width - 1);
        let least = self.b.binary(Binary::Minimum, count, last);
        let within = self.b.resize(least, ty, false);
        if op == BinaryOp::ShiftRight {
            return self.b.binary(Binary::ShiftRight, left, within);
        }
        let shifted = self.b.binary(Binary::ShiftLeft, left, within);
        let fits = self.b.compare(Compare::LessEqual, count, last);
        let nothing = self.b.int(ty, 0);
        self.b.select(fits, shifted, nothing)
    }

    /// A standard function.
    pub(super) fn standard(
        &mut self,
        function: StandardFunction,
        arguments: &'a [Expr],
        expr: &'a Expr,
    ) -> Value {
        match function {
            StandardFunction::Ncpus => return self.control(ControlField::Ncpus, expr.ty),
            StandardFunction::Mycpu => return self.control(ControlField::Mycpu, expr.ty),
            _ => {}
        }
        let argument = &arguments[0];
        let value = self.scalar(argument);
        let signed = self.cx.layouts.signed(argument.ty);
        self.at(expr.span);
        match function {
            StandardFunction::Abs => self.absolute(value),
            StandardFunction::Cap => self.capital(value),
            StandardFunction::Chr | StandardFunction::Val => {
                let wide = self.b.resize(value, Ty::I64, signed);
                self.value_of_ordinal(wide, expr.ty, expr.span)
            }
            StandardFunction::Float => {
                let wide = self.b.resize(value, Ty::I64, signed);
                self.b.unary(Unary::ToReal, Ty::F64, wide)
            }
            StandardFunction::Odd => {
                let low = self.b.resize(value, Ty::I8, signed);
                let one = self.b.int(Ty::I8, 1);
                self.b.binary(Binary::And, low, one)
            }
            StandardFunction::Ord => {
                let word = self.word(expr.ty);
                self.b.resize(value, word, signed)
            }
            StandardFunction::Trunc => {
                let word = self.word(expr.ty);
                self.b.unary(Unary::ToInteger, word, value)
            }
            StandardFunction::Ncpus | StandardFunction::Mycpu => {
                unreachable!("they have no argument")
            }
        }
    }

    fn control(&mut self, field: ControlField, ty: hir::TypeId) -> Value {
        let value = self.b.value_of(Ty::I32, Op::Control(field));
        let word = self.word(ty);
        self.b.resize(value, word, true)
    }

    fn absolute(&mut self, value: Value) -> Value {
        let ty = self.b.ty(value);
        if ty == Ty::F64 {
            return self.b.unary(Unary::AbsoluteReal, ty, value);
        }
        let negated = self.b.unary(Unary::Negate, ty, value);
        self.b.binary(Binary::Maximum, value, negated)
    }

    /// Upper case of a letter `a..z`.
    fn capital(&mut self, value: Value) -> Value {
        let a = self.b.int(Ty::I8, i64::from(b'a'));
        let letters = self.b.int(Ty::I8, 26);
        let difference = self.b.int(Ty::I8, i64::from(b'a' - b'A'));
        let from_a = self.b.binary(Binary::Subtract, value, a);
        let small = self.b.compare(Compare::Below, from_a, letters);
        let capital = self.b.binary(Binary::Subtract, value, difference);
        self.b.select(small, capital, value)
    }

    /// CHR and VAL: checked for types with few values, a conversion for integers.
    fn value_of_ordinal(&mut self, ordinal: Value, ty: hir::TypeId, span: Span) -> Value {
        let count = match &self.hir.types[ty.index()].kind {
            TypeKind::Char => Some(256),
            TypeKind::Boolean => Some(2),
            TypeKind::Enumeration { literals } => Some(literals.len() as i64),
            _ => None,
        };
        if let Some(count) = count {
            let count = self.b.int(Ty::I64, count);
            let outside = self.b.compare(Compare::AboveEqual, ordinal, count);
            self.check(outside, Trap::RangeError, span);
        }
        let word = self.word(ty);
        self.b.resize(ordinal, word, true)
    }
}
