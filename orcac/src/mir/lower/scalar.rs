//! Expressions that are one machine word: integers, reals, characters, booleans, enumerations, nodenames.
//!
//! `shortreal` values are F64 here and F32 in memory, in locals and between functions. Temporaries of operands that are evaluated
//! only sometimes live in a scope of their own.
//!
//! Implements: ORCA.md 5.2, 5.5, 5.7.

use orca_abi::symbols::Entry;

use super::place::Target;
use super::routine::Body;
use super::visit;
use crate::hir::{self, CompareOp, Expr, ExprKind, LogicalOp, Measure, UnaryOp};
use crate::mir::build::Address;
use crate::mir::layout::Shape;
use crate::mir::{Block, Compare, CompareReal, Op, Region, Ty, Unary, Value};
use crate::source::Span;

impl<'a> Body<'_, 'a> {
    /// The value of a scalar expression.
    pub(super) fn scalar(&mut self, expr: &'a Expr) -> Value {
        self.at(expr.span);
        match &expr.kind {
            ExprKind::Integer(number) => {
                let ty = self.word(expr.ty);
                self.b.int(ty, *number)
            }
            ExprKind::Real(number) => match self.memory_word(expr.ty) {
                Ty::F32 => self.b.real(f64::from(*number as f32)),
                _ => self.b.real(*number),
            },
            ExprKind::Nil => self.b.int(Ty::I64, 0),
            ExprKind::Place(place) => {
                let target = self.locate(place).target;
                self.load(target, expr.ty)
            }
            ExprKind::Convert(inner) => self.convert(inner, expr.ty),
            ExprKind::Unary(op, inner) => self.unary(*op, inner),
            ExprKind::Binary(op, left, right, operator) => {
                let a = self.scalar(left);
                let b = self.scalar(right);
                self.binary(*op, expr.ty, a, (b, right.ty), *operator)
            }
            ExprKind::Logical(..) => self.logical(expr),
            ExprKind::Compare(op, left, right) => self.compare(*op, left, right),
            ExprKind::In(element, set) => self.contains(element, set),
            ExprKind::Call(call) => self
                .call(call, None)
                .expect("a function in an expression has a result"),
            ExprKind::Invoke(invocation) => self
                .invoke(invocation, None)
                .expect("an operation in an expression has a result"),
            ExprKind::Standard(function, arguments) => self.standard(*function, arguments, expr),
            ExprKind::Measure(measure, inner) => self.measure(*measure, inner, expr.ty),
            ExprKind::From(set) => {
                let word = self.cx.layouts.size(expr.ty);
                let slot = self.scratch("element", word, word as u32);
                let to = self.b.slot_address(slot);
                self.set_from(set, to, expr.span);
                self.load(Target::Memory(to, Region::Data), expr.ty)
            }
            ExprKind::AddNode(graph) => self.add_node(graph, expr.span),
            ExprKind::Text(_)
            | ExprKind::RecordAggregate(_)
            | ExprKind::SetAggregate(_)
            | ExprKind::ArrayAggregate { .. } => {
                unreachable!("structured values are not words")
            }
        }
    }

    /// The type of a scalar as a value.
    pub(super) fn word(&self, ty: hir::TypeId) -> Ty {
        match self.memory_word(ty) {
            Ty::F32 => Ty::F64,
            other => other,
        }
    }

    /// The type of a scalar in memory.
    pub(super) fn memory_word(&self, ty: hir::TypeId) -> Ty {
        self.cx
            .layouts
            .scalar(ty)
            .expect("a scalar type was expected")
    }

    /// Loads a scalar.
    pub(super) fn load(&mut self, target: Target, ty: hir::TypeId) -> Value {
        let value = match target {
            Target::Word(value) => return value,
            Target::Local(local) => self.b.get(local),
            Target::Memory(address, region) => {
                let word = self.memory_word(ty);
                self.b.load(word, address, region)
            }
        };
        self.unpack(value)
    }

    /// Stores a scalar.
    pub(super) fn store(&mut self, target: Target, ty: hir::TypeId, value: Value) {
        let value = self.pack(value, ty);
        match target {
            Target::Word(_) => unreachable!("FOR variables are not assigned"),
            Target::Local(local) => self.b.set(local, value),
            Target::Memory(address, region) => self.b.store(value, address, region),
        }
    }

    /// From the form in memory to the form that is computed with.
    pub(super) fn unpack(&mut self, value: Value) -> Value {
        match self.b.ty(value) {
            Ty::F32 => self.b.unary(Unary::ConvertReal, Ty::F64, value),
            _ => value,
        }
    }

    /// From the form that is computed with to the form in memory.
    pub(super) fn pack(&mut self, value: Value, ty: hir::TypeId) -> Value {
        match self.memory_word(ty) {
            Ty::F32 if self.b.ty(value) == Ty::F64 => {
                self.b.unary(Unary::ConvertReal, Ty::F32, value)
            }
            _ => value,
        }
    }

    /// Frame memory with this scalar in it.
    pub(super) fn spill(&mut self, value: Value, ty: hir::TypeId) -> Address {
        let size = self.cx.layouts.size(ty);
        let slot = self.scratch("value", size, size as u32);
        let address = self.b.slot_address(slot);
        self.store(Target::Memory(address, Region::Data), ty, value);
        address
    }

    fn convert(&mut self, inner: &'a Expr, to: hir::TypeId) -> Value {
        let value = self.scalar(inner);
        match self.memory_word(to) {
            Ty::F32 => {
                let rounded = self.pack(value, to);
                self.unpack(rounded)
            }
            Ty::F64 => value,
            word => {
                let signed = self.cx.layouts.signed(inner.ty);
                self.b.resize(value, word, signed)
            }
        }
    }

    fn unary(&mut self, op: UnaryOp, inner: &'a Expr) -> Value {
        let value = self.scalar(inner);
        let ty = self.b.ty(value);
        match op {
            UnaryOp::Negate if ty == Ty::F64 => self.b.unary(Unary::NegateReal, ty, value),
            UnaryOp::Negate => self.b.unary(Unary::Negate, ty, value),
            UnaryOp::Complement => self.b.unary(Unary::Complement, ty, value),
            UnaryOp::Not => self.not(value),
        }
    }

    pub(super) fn not(&mut self, value: Value) -> Value {
        let zero = self.b.int(Ty::I8, 0);
        self.b.compare(Compare::Equal, value, zero)
    }

    fn logical(&mut self, expr: &'a Expr) -> Value {
        let (yes, no, done) = (self.b.block(), self.b.block(), self.b.block());
        let result = self.b.block_parameter(done, Ty::I8);
        self.condition(expr, yes, no);
        for (block, number) in [(yes, 1), (no, 0)] {
            self.b.switch_to(block);
            let number = self.b.int(Ty::I8, number);
            self.b.jump_with(done, vec![number]);
        }
        self.b.switch_to(done);
        result
    }

    /// Goes to `yes` if the condition holds, else to `no`.
    pub(super) fn condition(&mut self, expr: &'a Expr, yes: Block, no: Block) {
        match &expr.kind {
            ExprKind::Logical(op, left, right) => {
                let second = self.b.block();
                match op {
                    LogicalOp::And => self.condition(left, second, no),
                    LogicalOp::Or => self.condition(left, yes, second),
                }
                self.b.switch_to(second);
                self.condition(right, yes, no);
            }
            ExprKind::Unary(UnaryOp::Not, inner) => self.condition(inner, no, yes),
            _ => {
                let value = self.scoped(|body| body.scalar(expr));
                self.at(expr.span);
                self.b.branch(value, yes, no);
            }
        }
    }

    fn compare(&mut self, op: CompareOp, left: &'a Expr, right: &'a Expr) -> Value {
        if self.cx.layouts.scalar(left.ty).is_none() {
            return self.compare_structured(op, left, right);
        }
        let a = self.scalar(left);
        let b = self.scalar(right);
        self.compare_words(op, left.ty, a, b)
    }

    pub(super) fn compare_words(
        &mut self,
        op: CompareOp,
        ty: hir::TypeId,
        a: Value,
        b: Value,
    ) -> Value {
        if self.word(ty) == Ty::F64 {
            let op = match op {
                CompareOp::Equal => CompareReal::Equal,
                CompareOp::NotEqual => CompareReal::NotEqual,
                CompareOp::Less => CompareReal::Less,
                CompareOp::Greater => CompareReal::Greater,
                CompareOp::LessEqual => CompareReal::LessEqual,
                CompareOp::GreaterEqual => CompareReal::GreaterEqual,
            };
            return self.b.compare_real(op, a, b);
        }
        let signed = self.cx.layouts.signed(ty);
        let op = match (op, signed) {
            (CompareOp::Equal, _) => Compare::Equal,
            (CompareOp::NotEqual, _) => Compare::NotEqual,
            (CompareOp::Less, true) => Compare::Less,
            (CompareOp::Greater, true) => Compare::Greater,
            (CompareOp::LessEqual, true) => Compare::LessEqual,
            (CompareOp::GreaterEqual, true) => Compare::GreaterEqual,
            (CompareOp::Less, false) => Compare::Below,
            (CompareOp::Greater, false) => Compare::Above,
            (CompareOp::LessEqual, false) => Compare::BelowEqual,
            (CompareOp::GreaterEqual, false) => Compare::AboveEqual,
        };
        self.b.compare(op, a, b)
    }

    fn compare_structured(&mut self, op: CompareOp, left: &'a Expr, right: &'a Expr) -> Value {
        let a = self.address_before(left, [right]);
        let b = self.address_of(right).0;
        let arguments = vec![
            self.descriptor(left.ty),
            self.b.pointer(a),
            self.b.pointer(b),
        ];
        let equal = self.b.entry(Entry::ValueEqual, arguments);
        let zero = self.b.int(Ty::I32, 0);
        let op = match op {
            CompareOp::NotEqual => Compare::Equal,
            _ => Compare::NotEqual,
        };
        self.b
            .compare(op, equal.expect("ValueEqual has a result"), zero)
    }

    fn contains(&mut self, element: &'a Expr, set: &'a Expr) -> Value {
        let element = self.element_address(element, |place| visit::may_write(set, place.base));
        let set_address = self.address_of(set).0;
        let arguments = vec![
            self.descriptor(set.ty),
            self.b.pointer(set_address),
            self.b.pointer(element),
        ];
        let found = self.b.entry(Entry::SetContains, arguments);
        let zero = self.b.int(Ty::I32, 0);
        self.b.compare(
            Compare::NotEqual,
            found.expect("SetContains has a result"),
            zero,
        )
    }

    fn measure(&mut self, measure: Measure, inner: &'a Expr, to: hir::TypeId) -> Value {
        if self.cx.layouts.shape(inner.ty) == Shape::Set {
            let set = self.address_of(inner).0;
            let arguments = vec![self.descriptor(inner.ty), self.b.pointer(set)];
            let size = self.b.entry(Entry::SetSize, arguments);
            return size.expect("SetSize has a result");
        }
        let word = self.word(to);
        let array = self.cx.layouts.array(inner.ty);
        let inline = match self.cx.layouts.inline_bounds(array) {
            Some(bounds) => Some(bounds),
            None => self.constant_array(inner).map(|(_, bounds)| bounds),
        };
        if let Some(bounds) = inline {
            if !matches!(inner.kind, ExprKind::Place(_)) {
                self.address_of(inner);
            }
            let number = match measure {
                Measure::Size => bounds.iter().map(|&(_, count)| count).product(),
                Measure::Lower { dimension } => bounds[dimension].0,
                Measure::Upper { dimension } => bounds[dimension].0 + bounds[dimension].1 - 1,
            };
            return self.b.int(word, number);
        }
        let head = self.address_of(inner).0;
        let number = match measure {
            Measure::Size => {
                let size = self.b.load(Ty::I32, head.plus(12), Region::Head);
                self.b.resize(size, Ty::I64, true)
            }
            Measure::Lower { dimension } => self.array_lower(head, dimension),
            Measure::Upper { dimension } => {
                let lower = self.array_lower(head, dimension);
                let count = self.array_count(head, dimension);
                let end = self.b.binary(crate::mir::Binary::Add, lower, count);
                let one = self.b.int(Ty::I64, 1);
                self.b.binary(crate::mir::Binary::Subtract, end, one)
            }
        };
        self.b.resize(number, word, true)
    }

    /// ADDNODE: the new node's name.
    fn add_node(&mut self, graph: &'a hir::Place, span: Span) -> Value {
        let address = self.locate(graph).target.address();
        let slot = self.scratch("name", 8, 8);
        let name_at = self.b.slot_address(slot);
        let arguments = vec![
            self.descriptor(graph.ty),
            self.b.pointer(address),
            name_at.base,
            self.site(span),
        ];
        self.b.entry(Entry::GraphAdd, arguments);
        let name = self.b.value_of(
            Ty::I64,
            Op::Load {
                address: name_at.base,
                offset: 0,
                region: Region::Data,
            },
        );
        if self.node_needs_creation(graph.ty) {
            let node = self.node(graph.ty, address, name, span);
            self.create_node(graph.ty, node, span);
        }
        name
    }
}
