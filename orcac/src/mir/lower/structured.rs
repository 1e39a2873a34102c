//! Values larger than a word: records, arrays, strings, sets, graphs, objects.
//!
//! `address_of` gives the address of a value and says whether the current scope owns it; `build` makes a value in a fresh destination;
//! `assign` puts one into a live variable. Copies of plain values are `Copy`; others go through the run-time system. An assignment to
//! a variable that holds objects never replaces their cells.
//!
//! Implements: ORCA.md 4.4 to 4.11, 5.6, 5.8, 6 (assignment).

use orca_abi::symbols::Entry;

use super::place::{Located, Target};
use super::routine::Body;
use super::visit;
use crate::hir::{self, Base, BinaryOp, Expr, ExprKind, LocalKind, Place, TypeKind};
use crate::mir::build::Address;
use crate::mir::layout::{Shape, dimension_count};
use crate::mir::{self, Compare, Context, Region, Ty, Value};
use crate::source::Span;

impl<'a> Body<'_, 'a> {
    /// The address of a structured value until the current scope ends, and whether it is a temporary of that scope.
    pub(super) fn address_of(&mut self, expr: &'a Expr) -> (Address, bool) {
        self.at(expr.span);
        if let Some(address) = self.literal(expr) {
            return (address, false);
        }
        if let ExprKind::Place(place) = &expr.kind {
            return (self.locate(place).target.address(), false);
        }
        let address = self.temporary(expr.ty, expr.span);
        self.build(expr, address);
        (address, true)
    }

    /// The address of an operand that keeps its value while the later operands are evaluated.
    pub(super) fn address_before(
        &mut self,
        expr: &'a Expr,
        later: impl IntoIterator<Item = &'a Expr>,
    ) -> Address {
        let address = self.address_of(expr).0;
        match &expr.kind {
            ExprKind::Place(place)
                if later.into_iter().any(|e| visit::may_write(e, place.base)) =>
            {
                self.private_copy(expr.ty, address, expr.span)
            }
            _ => address,
        }
    }

    /// A temporary copy.
    pub(super) fn private_copy(&mut self, ty: hir::TypeId, from: Address, span: Span) -> Address {
        let copy = self.temporary(ty, span);
        self.copy_value(ty, copy, from, span);
        copy
    }

    /// The address of a set's element: of a copy in the frame if it is a word.
    pub(super) fn element_address(
        &mut self,
        element: &'a Expr,
        disturbed: impl FnOnce(&Place) -> bool,
    ) -> Address {
        if self.cx.layouts.scalar(element.ty).is_some() {
            let value = self.scalar(element);
            return self.spill(value, element.ty);
        }
        let address = self.address_of(element).0;
        match &element.kind {
            ExprKind::Place(place) if disturbed(place) => {
                self.private_copy(element.ty, address, element.span)
            }
            _ => address,
        }
    }

    /// Makes a value in a fresh destination.
    pub(super) fn build(&mut self, expr: &'a Expr, to: Address) {
        self.at(expr.span);
        match &expr.kind {
            ExprKind::Place(place) => {
                let from = self.locate(place).target.address();
                self.copy_value(expr.ty, to, from, expr.span);
            }
            ExprKind::Text(text) => self.store_text(text, to, expr.span),
            ExprKind::RecordAggregate(fields) => {
                if !self.build_constant(expr, to) {
                    self.build_record(expr, fields, to);
                }
            }
            ExprKind::SetAggregate(elements) => {
                for element in elements {
                    self.scoped(|body| {
                        let address = body.element_address(element, |_| false);
                        body.set_insert(expr.ty, to, address, element.span);
                    });
                }
            }
            ExprKind::ArrayAggregate { bounds, elements } => {
                if !self.build_constant(expr, to) {
                    self.build_array(expr, bounds, elements, to);
                }
            }
            ExprKind::Binary(op, left, right, _) => {
                self.build(left, to);
                let right_address = self.address_of(right).0;
                self.set_operation(*op, expr.ty, to, right_address, expr.span);
            }
            ExprKind::Call(call) => {
                self.call(call, Some(to));
            }
            ExprKind::Invoke(invocation) => {
                self.invoke(invocation, Some(to));
            }
            ExprKind::From(set) => self.set_from(set, to, expr.span),
            other => unreachable!("{other:?} is not a structured value"),
        }
    }

    /// Makes a component, word or not, in a fresh destination.
    fn build_component(&mut self, expr: &'a Expr, to: Address) {
        if self.cx.layouts.scalar(expr.ty).is_some() {
            let value = self.scalar(expr);
            self.store(Target::Memory(to, Region::Data), expr.ty, value);
        } else {
            self.build(expr, to);
        }
    }

    fn build_record(&mut self, expr: &'a Expr, fields: &'a [Expr], to: Address) {
        for (index, field) in fields.iter().enumerate() {
            let offset = self.cx.layouts.field(expr.ty, hir::FieldId(index as u32));
            self.build_component(field, to.plus(offset));
        }
    }

    fn build_constant(&mut self, expr: &'a Expr, to: Address) -> bool {
        let Some(from) = self.literal(expr) else {
            return false;
        };
        self.copy_value(expr.ty, to, from, expr.span);
        true
    }

    fn build_array(
        &mut self,
        expr: &'a Expr,
        bounds: &[(i64, i64)],
        elements: &'a [Expr],
        to: Address,
    ) {
        let element = self.cx.layouts.array(expr.ty).element;
        let size = self.cx.layouts.size(element);
        let first = if self.cx.layouts.shape(expr.ty) == Shape::FixedArray {
            let count: i64 = bounds.iter().map(|&(l, u)| dimension_count(l, u)).product();
            debug_assert_eq!(count, elements.len() as i64, "one expression an element");
            to
        } else {
            let bounds: Vec<(Value, Value)> = bounds
                .iter()
                .map(|&(lower, upper)| (self.b.int(Ty::I64, lower), self.b.int(Ty::I64, upper)))
                .collect();
            self.new_array(expr.ty, to, &bounds, expr.span);
            let first = Address::new(self.first_element(element, to));
            if self.cx.needs_creation(element, false) {
                for index in 0..elements.len() as u64 {
                    self.create_cells(element, first.plus(index * size), expr.span);
                }
            }
            first
        };
        for (index, element) in elements.iter().enumerate() {
            self.build_component(element, first.plus(index as u64 * size));
        }
    }

    /// Assigns to a designator.
    pub(super) fn assign(&mut self, place: &'a Place, value: &'a Expr) {
        let located = self.locate(place);
        let disturbed = visit::may_write(value, place.base);
        if self.cx.layouts.scalar(place.ty).is_some() {
            let word = self.scalar(value);
            let target = self.refresh(place, &located, disturbed);
            self.at(place.span);
            self.store(target, place.ty, word);
            return;
        }
        if let ExprKind::RecordAggregate(fields) = &value.kind
            && self.assign_words(place, &located, value, fields, disturbed)
        {
            return;
        }
        if let ExprKind::Text(text) = &value.kind {
            return self.store_text(text, located.target.address(), value.span);
        }
        let (from, owned) = self.address_of(value);
        let to = self.refresh(place, &located, disturbed).address();
        self.at(value.span);
        if owned {
            self.move_value(place.ty, to, from, value.span);
        } else {
            let same = matches!(&value.kind, ExprKind::Place(source) if source.base == place.base);
            self.copy_apart(place.ty, to, from, same, value.span);
        }
    }

    /// A record of words: all are evaluated, then all are stored.
    fn assign_words(
        &mut self,
        place: &'a Place,
        located: &Located,
        value: &'a Expr,
        fields: &'a [Expr],
        disturbed: bool,
    ) -> bool {
        let all_words = fields
            .iter()
            .all(|field| self.cx.layouts.scalar(field.ty).is_some());
        if !all_words || self.constant_bytes(value).is_some() {
            return false;
        }
        let words: Vec<Value> = fields.iter().map(|field| self.scalar(field)).collect();
        let to = self.refresh(place, located, disturbed).address();
        for (index, (field, word)) in fields.iter().zip(words).enumerate() {
            let offset = self.cx.layouts.field(value.ty, hir::FieldId(index as u32));
            self.store(
                Target::Memory(to.plus(offset), Region::Data),
                field.ty,
                word,
            );
        }
        true
    }

    /// Puts the value of a RETURN into memory that nothing in the expression mentions.
    pub(super) fn return_value(&mut self, expr: &'a Expr, to: Address, fresh: bool) {
        if let ExprKind::Place(place) = &expr.kind
            && let Base::Local(id) = place.base
            && place.path.is_empty()
            && self.locals[id.index()].kind == LocalKind::Variable
        {
            // The variable dies here.
            let from = self.locate(place).target.address();
            self.move_value(expr.ty, to, from, expr.span);
            return;
        }
        if fresh {
            self.build(expr, to);
            return;
        }
        let (from, owned) = self.address_of(expr);
        if owned {
            self.move_value(expr.ty, to, from, expr.span);
        } else {
            self.copy_value(expr.ty, to, from, expr.span);
        }
    }

    /// A deep copy into a live destination in other memory.
    pub(super) fn copy_value(&mut self, ty: hir::TypeId, to: Address, from: Address, span: Span) {
        let entry = if self.cx.layouts.plain(ty) {
            let size = self.cx.layouts.size(ty);
            self.b.copy(to, from, size);
            return;
        } else if self.cx.layouts.has_object(ty) && self.context == Context::Process {
            Entry::AssignShared
        } else {
            Entry::ValueCopy
        };
        let arguments = vec![
            self.descriptor(ty),
            self.b.pointer(to),
            self.b.pointer(from),
            self.site(span),
        ];
        self.b.entry(entry, arguments);
    }

    /// The same where source and destination may be the same place.
    fn copy_apart(
        &mut self,
        ty: hir::TypeId,
        to: Address,
        from: Address,
        maybe_same: bool,
        span: Span,
    ) {
        if !maybe_same || !self.cx.layouts.plain(ty) {
            return self.copy_value(ty, to, from, span);
        }
        let (to, from) = (self.b.pointer(to), self.b.pointer(from));
        let (copy, done) = (self.b.block(), self.b.block());
        let different = self.b.compare(Compare::NotEqual, to, from);
        self.b.branch(different, copy, done);
        self.b.switch_to(copy);
        self.copy_value(ty, Address::new(to), Address::new(from), span);
        self.b.jump(done);
        self.b.switch_to(done);
    }

    /// A value that dies moves into a live destination.
    pub(super) fn move_value(&mut self, ty: hir::TypeId, to: Address, from: Address, span: Span) {
        if self.cx.layouts.plain(ty) || self.cx.layouts.has_object(ty) {
            // Objects keep their cells, so their state is copied.
            return self.copy_value(ty, to, from, span);
        }
        let arguments = vec![
            self.descriptor(ty),
            self.b.pointer(to),
            self.b.pointer(from),
        ];
        self.b.entry(Entry::ValueMove, arguments);
    }

    /// Copies an object's state record inside an operation.
    pub(super) fn state_copy(&mut self, ty: mir::TypeId, to: Address, from: Address) {
        let descriptor = &self.cx.layouts.descriptors[ty.index()];
        if descriptor.flags & orca_abi::types::PLAIN != 0 {
            let size = descriptor.size;
            self.b.copy(to, from, size);
            return;
        }
        let site = self.cx.sites.insert_full(mir::SitePlace {
            routine: self.routine,
            line: self.b.line,
        });
        let arguments = vec![
            self.type_address(ty),
            self.b.pointer(to),
            self.b.pointer(from),
            self.b.int(Ty::I32, site.0 as i64),
        ];
        self.b.entry(Entry::ValueCopy, arguments);
    }

    fn store_text(&mut self, text: &[u8], to: Address, span: Span) {
        let blob = self.cx.blob(text.to_vec());
        let arguments = vec![
            self.b.pointer(to),
            self.blob_address(blob).base,
            self.b.int(Ty::I64, text.len() as i64),
            self.site(span),
        ];
        self.b.entry(Entry::StringNew, arguments);
    }

    /// `to := to op right` for sets and bags.
    pub(super) fn set_operation(
        &mut self,
        op: BinaryOp,
        ty: hir::TypeId,
        to: Address,
        right: Address,
        span: Span,
    ) {
        let entry = match op {
            BinaryOp::Add => Entry::SetUnion,
            BinaryOp::Subtract => Entry::SetDifference,
            BinaryOp::Multiply => Entry::SetIntersection,
            BinaryOp::Divide => Entry::SetSymmetric,
            other => unreachable!("{other:?} is not defined on sets"),
        };
        let arguments = vec![
            self.descriptor(ty),
            self.b.pointer(to),
            self.b.pointer(right),
            self.site(span),
        ];
        self.b.entry(entry, arguments);
    }

    /// `set op:= value`.
    pub(super) fn assign_set(
        &mut self,
        op: BinaryOp,
        place: &'a Place,
        value: &'a Expr,
        span: Span,
    ) {
        let located = self.locate(place);
        let (mut right, owned) = self.address_of(value);
        if !owned
            && let ExprKind::Place(source) = &value.kind
            && source.base == place.base
        {
            right = self.private_copy(value.ty, right, value.span);
        }
        let disturbed = visit::may_write(value, place.base);
        let to = self.refresh(place, &located, disturbed).address();
        self.set_operation(op, place.ty, to, right, span);
    }

    pub(super) fn set_insert(
        &mut self,
        ty: hir::TypeId,
        set: Address,
        element: Address,
        span: Span,
    ) {
        let arguments = vec![
            self.descriptor(ty),
            self.b.pointer(set),
            self.b.pointer(element),
            self.site(span),
        ];
        self.b.entry(Entry::SetInsert, arguments);
    }

    /// FROM into a live destination.
    pub(super) fn set_from(&mut self, set: &'a Place, to: Address, span: Span) {
        debug_assert!(
            matches!(
                self.hir.types[set.ty.index()].kind,
                TypeKind::Set { .. } | TypeKind::Bag { .. }
            ),
            "FROM takes from sets and bags"
        );
        let address = self.locate(set).target.address();
        self.at(span);
        let arguments = vec![
            self.descriptor(set.ty),
            self.b.pointer(address),
            self.b.pointer(to),
            self.site(span),
        ];
        self.b.entry(Entry::SetFrom, arguments);
    }
}
