//! Designators: from a base along a path to a word or an address, with all checks on the way.
//!
//! Evaluating a designator also gives the values of its indices and node names, so that it can be located again later without evaluating
//! them twice, and so that two designators can be compared (alias checks).
//!
//! Implements: ORCA.md 4.4 (index checks), 4.9 (nodes), 5.10, 7.2 (alias checks at run time).

use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;
use orca_abi::value::ObjectCell;

use super::routine::{Body, Home};
use super::visit;
use crate::hir::{self, Base, ExprKind, Place, Step, StepKind, TypeKind};
use crate::mir::build::Address;
use crate::mir::layout::Shape;
use crate::mir::{self, Binary, Compare, Context, ControlField, Op, Region, Ty, Unary, Value};
use crate::source::Span;

/// What a designator denotes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Local(mir::Local),
    /// A FOR variable.
    Word(Value),
    Memory(Address, Region),
}

impl Target {
    /// The address of something in memory.
    pub(super) fn address(self) -> Address {
        match self {
            Target::Memory(address, _) => address,
            other => unreachable!("structured values are in memory, not in {other:?}"),
        }
    }
}

/// A designator that has been evaluated.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) target: Target,
    /// Index values (64 bits) and node names along the path.
    pub(super) indices: Vec<Value>,
}

/// Where index values come from.
enum Indices<'i> {
    /// Evaluated as the path is followed.
    Evaluate(Vec<Value>),
    /// From an earlier evaluation.
    Given(&'i [Value]),
}

impl<'a> Body<'_, 'a> {
    /// Evaluates a designator.
    pub(super) fn locate(&mut self, place: &'a Place) -> Located {
        // An index that changes the array it selects from: then all indices come before the first check.
        if visit::may_move(place) && visit::place_may_write(place, place.base) {
            let mut indices = Vec::new();
            for step in &place.path {
                self.step_indices(step, &mut indices);
            }
            let target = self.locate_again(place, &indices);
            return Located { target, indices };
        }
        let mut source = Indices::Evaluate(Vec::new());
        let target = self.follow(place, &mut source);
        let Indices::Evaluate(indices) = source else {
            unreachable!("the source stays what it is");
        };
        Located { target, indices }
    }

    /// Locates an evaluated designator once more.
    pub(super) fn locate_again(&mut self, place: &'a Place, indices: &[Value]) -> Target {
        self.follow(place, &mut Indices::Given(indices))
    }

    /// The current address of a designator after something else was evaluated.
    pub(super) fn refresh(
        &mut self,
        place: &'a Place,
        located: &Located,
        disturbed: bool,
    ) -> Target {
        if disturbed && visit::may_move(place) {
            self.locate_again(place, &located.indices)
        } else {
            located.target
        }
    }

    fn step_indices(&mut self, step: &'a Step, indices: &mut Vec<Value>) {
        match &step.kind {
            StepKind::Index(list) => {
                for index in list {
                    let value = self.wide(index);
                    indices.push(value);
                }
            }
            StepKind::Node(name) => {
                let value = self.scalar(name);
                indices.push(value);
            }
            _ => {}
        }
    }

    fn follow(&mut self, place: &'a Place, source: &mut Indices<'_>) -> Target {
        let mut given = match source {
            Indices::Given(values) => values.iter(),
            Indices::Evaluate(_) => [].iter(),
        };
        let mut path = place.path.iter();
        let (mut address, mut ty) = match self.constant_element(place, source, &mut given) {
            Some((address, element)) => {
                path.next();
                (address, element)
            }
            None => {
                let (target, ty) = self.base(place.base);
                if place.path.is_empty() {
                    return self.with_region(place, target);
                }
                (target.address(), ty)
            }
        };
        for step in path {
            address = match &step.kind {
                StepKind::Field(field) => address.plus(self.cx.layouts.field(ty, *field)),
                StepKind::RootField(field) => address.plus(self.cx.layouts.root_field(ty, *field)),
                StepKind::NodeField(field) => address.plus(self.cx.layouts.node_field(ty, *field)),
                StepKind::ObjectField(field) => {
                    let TypeKind::Object(object) = self.hir.types[ty.index()].kind else {
                        unreachable!("a field of an object");
                    };
                    let cell = self.b.load(Ty::I64, address, Region::Data);
                    let offset = self.cx.layouts.state_field(object, *field);
                    Address::new(cell).plus(ObjectCell::STATE_OFFSET + offset)
                }
                StepKind::Node(_) => {
                    let name = self.indices_of(step, source, &mut given)[0];
                    self.node(ty, address, name, step.span)
                }
                StepKind::Index(_) => {
                    let values = self.indices_of(step, source, &mut given);
                    self.element(ty, address, &values, step)
                }
            };
            ty = step.ty;
        }
        self.with_region(place, Target::Memory(address, Region::Data))
    }

    /// The first step of a designator that indexes a constant: its bounds are known, so it needs no head.
    fn constant_element(
        &mut self,
        place: &'a Place,
        source: &mut Indices<'_>,
        given: &mut std::slice::Iter<'_, Value>,
    ) -> Option<(Address, hir::TypeId)> {
        let (Base::Constant(id), Some(step)) = (place.base, place.path.first()) else {
            return None;
        };
        if !matches!(step.kind, StepKind::Index(_)) {
            return None;
        }
        let (elements, bounds) = self.constant_elements(id)?;
        let array = self.hir.constants[id.index()].value.ty;
        let element = self.cx.layouts.array(array).element;
        let values = self.indices_of(step, source, given);
        let address = self.inline_element(elements, &bounds, element, &values, step);
        Some((address, element))
    }

    fn indices_of(
        &mut self,
        step: &'a Step,
        source: &mut Indices<'_>,
        given: &mut std::slice::Iter<'_, Value>,
    ) -> Vec<Value> {
        let count = match &step.kind {
            StepKind::Index(list) => list.len(),
            _ => 1,
        };
        match source {
            Indices::Given(_) => given.take(count).copied().collect(),
            Indices::Evaluate(all) => {
                let mut values = Vec::with_capacity(count);
                self.step_indices(step, &mut values);
                all.extend(&values);
                values
            }
        }
    }

    /// Words of an object's state have a region of their own while an operation runs on it.
    fn with_region(&mut self, place: &Place, target: Target) -> Target {
        let own = match place.path.last() {
            None => matches!(place.base, Base::OwnField(_)),
            Some(step) => matches!(step.kind, StepKind::ObjectField(_)),
        };
        match target {
            Target::Memory(address, Region::Data)
                if own
                    && self.context == Context::Operation
                    && self.cx.layouts.scalar(place.ty).is_some() =>
            {
                Target::Memory(address, Region::Object)
            }
            other => other,
        }
    }

    /// What the base alone denotes, and its type.
    fn base(&mut self, base: Base) -> (Target, hir::TypeId) {
        match base {
            Base::Local(id) => {
                let target = match self.home(id) {
                    Home::Local(local) => Target::Local(local),
                    Home::Word { value, .. } => Target::Word(value),
                    Home::Memory(storage) => {
                        Target::Memory(self.storage_address(storage), Region::Data)
                    }
                    Home::Unset => unreachable!("a local is used only where it is in scope"),
                };
                (target, self.local_type(id))
            }
            Base::OwnField(field) => {
                let (object, state) = self.own.expect("fields belong to an operation");
                let offset = self.cx.layouts.state_field(object, field);
                let target = Target::Memory(Address::new(state).plus(offset), Region::Data);
                let ty = self.hir.objects[object.index()].fields[field.index()].ty;
                (target, ty)
            }
            Base::Data(id) => {
                let target = Target::Memory(self.data_address(id), Region::Data);
                (target, self.hir.data_variables[id.index()].ty)
            }
            Base::Constant(id) => {
                let target = Target::Memory(self.constant_address(id), Region::Data);
                (target, self.hir.constants[id.index()].value.ty)
            }
            Base::SelfObject => unreachable!("SELF is only the object of an operation call"),
        }
    }

    /// The type of a local of the routine.
    fn local_type(&self, id: hir::LocalId) -> hir::TypeId {
        self.locals[id.index()].ty
    }

    /// Where a data-module variable lies on this processor.
    pub(super) fn data_address(&mut self, id: hir::DataId) -> Address {
        let base = self.b.value_of(Ty::I64, Op::Control(ControlField::Data));
        Address::new(base).plus(self.cx.data[id.index()])
    }

    /// The node record that a name denotes now.
    pub(super) fn node(
        &mut self,
        graph: hir::TypeId,
        address: Address,
        name: Value,
        span: Span,
    ) -> Address {
        let arguments = vec![
            self.descriptor(graph),
            self.b.pointer(address),
            name,
            self.site(span),
        ];
        let node = self.b.entry(Entry::GraphNode, arguments);
        Address::new(node.expect("GraphNode has a result"))
    }

    fn element(
        &mut self,
        ty: hir::TypeId,
        address: Address,
        indices: &[Value],
        step: &Step,
    ) -> Address {
        let array = self.cx.layouts.array(ty);
        match self.cx.layouts.inline_bounds(array) {
            Some(bounds) => self.inline_element(address, &bounds, array.element, indices, step),
            None => self.heap_element(address, array.element, indices, step),
        }
    }

    /// An element of an array with known bounds whose first element lies at `first`.
    fn inline_element(
        &mut self,
        first: Address,
        bounds: &[(i64, i64)],
        element: hir::TypeId,
        indices: &[Value],
        step: &Step,
    ) -> Address {
        let size = self.cx.layouts.size(element) as i64;
        let mut linear = self.b.int(Ty::I64, 0);
        let mut skipped = 0i64;
        for (&index, &(lower, count)) in indices.iter().zip(bounds) {
            let bound = self.b.int(Ty::I64, count);
            let low = self.b.int(Ty::I64, lower);
            self.check_index(index, low, bound, step.span);
            linear = self.b.binary(Binary::Multiply, linear, bound);
            linear = self.b.binary(Binary::Add, linear, index);
            skipped = skipped.wrapping_mul(count).wrapping_add(lower);
        }
        let mut address = self.displaced(first, linear, size);
        address.offset = address.offset.wrapping_sub(skipped.wrapping_mul(size));
        address
    }

    /// An element of the array whose head lies at `head`.
    fn heap_element(
        &mut self,
        head: Address,
        element: hir::TypeId,
        indices: &[Value],
        step: &Step,
    ) -> Address {
        let size = self.cx.layouts.size(element) as i64;
        let mut linear = None;
        for (dimension, &index) in indices.iter().enumerate() {
            let lower = self.array_lower(head, dimension);
            let count = self.array_count(head, dimension);
            self.check_index(index, lower, count, step.span);
            linear = Some(match linear {
                None => index,
                Some(linear) => {
                    let outer = self.b.binary(Binary::Multiply, linear, count);
                    self.b.binary(Binary::Add, outer, index)
                }
            });
        }
        let origin = self.b.load(Ty::I64, head, Region::Head);
        let linear = linear.expect("an array has dimensions");
        self.displaced(Address::new(origin), linear, size)
    }

    /// The lower bound of a dimension, 64 bits.
    pub(super) fn array_lower(&mut self, head: Address, dimension: usize) -> Value {
        let at = head.plus(16 + 8 * dimension as u64);
        let lower = self.b.load(Ty::I32, at, Region::Head);
        self.b.unary(Unary::SignExtend, Ty::I64, lower)
    }

    /// The number of values of a dimension, 64 bits.
    pub(super) fn array_count(&mut self, head: Address, dimension: usize) -> Value {
        let at = head.plus(20 + 8 * dimension as u64);
        let count = self.b.load(Ty::I32, at, Region::Head);
        self.b.unary(Unary::SignExtend, Ty::I64, count)
    }

    fn check_index(&mut self, index: Value, lower: Value, count: Value, span: Span) {
        let distance = self.b.binary(Binary::Subtract, index, lower);
        let outside = self.b.compare(Compare::AboveEqual, distance, count);
        self.check(outside, Trap::ArrayBound, span);
    }

    fn displaced(&mut self, address: Address, elements: Value, size: i64) -> Address {
        if let Some(number) = self.b.constant(elements) {
            return address.plus(number.wrapping_mul(size) as u64);
        }
        let size = self.b.int(Ty::I64, size);
        let bytes = self.b.binary(Binary::Multiply, elements, size);
        Address {
            base: self.b.binary(Binary::Add, address.base, bytes),
            offset: address.offset,
        }
    }

    /// Traps if two designators with the same base and the same shape of path denote overlapping places: if all indices that both
    /// have are equal.
    pub(super) fn check_alias(
        &mut self,
        first: (&'a Place, &Located),
        second: (&'a Place, &Located),
        span: Span,
    ) {
        let both = first.1.indices.iter().zip(&second.1.indices);
        let mut same = self.b.int(Ty::I8, 1);
        for (&a, &b) in both {
            let equal = self.b.compare(Compare::Equal, a, b);
            same = match self.b.constant(same) {
                Some(1) => equal,
                _ => self.b.binary(Binary::And, same, equal),
            };
        }
        if first.0.base == second.0.base {
            self.check(same, Trap::IllegalAlias, span);
        }
    }

    /// An integer-like value as 64 bits.
    pub(super) fn wide(&mut self, expr: &'a hir::Expr) -> Value {
        if let ExprKind::Place(place) = &expr.kind
            && let (Base::Local(id), true) = (place.base, place.path.is_empty())
            && let Home::Word {
                wide: Some(wide), ..
            } = self.home(id)
        {
            return wide;
        }
        if let ExprKind::Convert(inner) = &expr.kind
            && self.widens(inner.ty, expr.ty)
        {
            return self.wide(inner);
        }
        let value = self.scalar(expr);
        let signed = self.cx.layouts.signed(expr.ty);
        self.b.resize(value, Ty::I64, signed)
    }

    /// Whether converting between these integer types loses nothing.
    fn widens(&self, from: hir::TypeId, to: hir::TypeId) -> bool {
        match (self.cx.layouts.shape(from), self.cx.layouts.shape(to)) {
            (Shape::Scalar(from), Shape::Scalar(to)) => {
                let integer = |ty| !matches!(ty, Ty::F32 | Ty::F64);
                integer(from) && integer(to) && mir::build::bits(from) <= mir::build::bits(to)
            }
            _ => false,
        }
    }
}
