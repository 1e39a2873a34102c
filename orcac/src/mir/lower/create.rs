//! Creating variables: bounds, objects, and what their components ask for.
//!
//! Memory is all zero bytes before; that is already the right value of everything but arrays with bounds and objects
//! (`orca_abi::value`). So most variables cost a `Zero` and nothing more.
//!
//! Implements: ORCA.md 4.4, 4.13, 9.2.

use orca_abi::symbols::Entry;
use orca_abi::value::{Array, Graph, ObjectCell};

use super::routine::Body;
use super::{Instance, Lowerer};
use crate::hir::{self, ArrayBounds, Init, TypeKind};
use crate::mir::build::Address;
use crate::mir::layout::Shape;
use crate::mir::{Binary, Compare, Context, Region, Ty, Value};
use crate::source::Span;

/// Bounds of one array level: (lower, upper) of each dimension as 64-bit values.
type Bounds = Vec<(Value, Value)>;

/// How much is created.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Bounds, objects, their initialisation.
    Full,
    /// Only cells for objects that lie inline: something is about to be copied over the value.
    Cells,
}

impl Lowerer<'_> {
    /// Whether a value of the type needs more than zero bytes: `full` with bounds and initialisation, else only cells of objects.
    pub(super) fn needs_creation(&mut self, ty: hir::TypeId, full: bool) -> bool {
        if let Some(&known) = self.creation.get(&(ty, full)) {
            return known;
        }
        self.creation.insert((ty, full), false);
        let hir = self.hir;
        let needed = match &hir.types[ty.index()].kind {
            TypeKind::Object(_) => true,
            TypeKind::Record { fields } | TypeKind::Graph { root: fields, .. } => {
                self.fields_need_creation(fields, full)
            }
            TypeKind::Array(array) => match (&array.bounds, self.layouts.shape(ty)) {
                (_, Shape::FixedArray) => self.needs_creation(array.element, full),
                (ArrayBounds::Dynamic, _) => false,
                _ => full,
            },
            _ => false,
        };
        self.creation.insert((ty, full), needed);
        needed
    }

    fn fields_need_creation(&mut self, fields: &[hir::Field], full: bool) -> bool {
        fields.iter().any(|field| {
            (full && !field.init.bounds.is_empty()) || self.needs_creation(field.ty, full)
        })
    }

    /// Whether a new object needs more than a zero state.
    pub(super) fn needs_initialization(&mut self, object: hir::ObjectId) -> bool {
        let hir = self.hir;
        let source = &hir.objects[object.index()];
        source.init.is_some() || self.fields_need_creation(&source.fields, true)
    }
}

impl<'a> Body<'_, 'a> {
    /// Creates a variable in zeroed memory.
    pub(super) fn create(&mut self, ty: hir::TypeId, address: Address, init: &'a Init, span: Span) {
        let levels: Vec<Bounds> = init
            .bounds
            .iter()
            .map(|level| self.evaluate_bounds(level))
            .collect();
        self.create_value(ty, address, &levels, Extent::Full, span);
    }

    /// Gives the objects that lie inline in zeroed memory their cells.
    pub(super) fn create_cells(&mut self, ty: hir::TypeId, address: Address, span: Span) {
        self.create_value(ty, address, &[], Extent::Cells, span);
    }

    /// Creates the fields of a new node.
    pub(super) fn create_node(&mut self, graph: hir::TypeId, node: Address, span: Span) {
        let TypeKind::Graph { node: fields, .. } = &self.hir.types[graph.index()].kind else {
            unreachable!("nodes belong to graphs");
        };
        let offset = |body: &mut Self, field| body.cx.layouts.node_field(graph, field);
        self.create_fields(fields, node, Extent::Full, span, offset);
    }

    pub(super) fn node_needs_creation(&mut self, graph: hir::TypeId) -> bool {
        let TypeKind::Graph { node, .. } = &self.hir.types[graph.index()].kind else {
            unreachable!("nodes belong to graphs");
        };
        self.cx.fields_need_creation(node, true)
    }

    /// Zeroed memory of the current scope for a state record, with cells for the objects in it.
    pub(super) fn state_storage(&mut self, object: hir::ObjectId) -> Address {
        let cell = self.object_storage(object);
        Address::new(cell).plus(ObjectCell::STATE_OFFSET)
    }

    /// A private object of the current scope that nothing has initialised: its cell.
    fn object_storage(&mut self, object: hir::ObjectId) -> Value {
        let source = &self.hir.objects[object.index()];
        let address = self.temporary(source.ty, source.span);
        self.b.load(Ty::I64, address, Region::Data)
    }

    fn evaluate_bounds(&mut self, level: &'a [(hir::Expr, hir::Expr)]) -> Bounds {
        level
            .iter()
            .map(|(lower, upper)| (self.wide(lower), self.wide(upper)))
            .collect()
    }

    fn create_value(
        &mut self,
        ty: hir::TypeId,
        address: Address,
        levels: &[Bounds],
        extent: Extent,
        span: Span,
    ) {
        if levels.is_empty() && !self.cx.needs_creation(ty, extent == Extent::Full) {
            return;
        }
        match &self.hir.types[ty.index()].kind {
            TypeKind::Object(object) => self.create_object(*object, address, extent, span),
            TypeKind::Record { fields } => {
                let offset = |body: &mut Self, field| body.cx.layouts.field(ty, field);
                self.create_fields(fields, address, extent, span, offset);
            }
            TypeKind::Graph { root, .. } => {
                let offset = |body: &mut Self, field| {
                    body.cx.layouts.root_field(ty, field) - Graph::ROOT_OFFSET
                };
                let root_address = address.plus(Graph::ROOT_OFFSET);
                self.create_fields(root, root_address, extent, span, offset);
            }
            TypeKind::Array(array) => {
                self.create_array(ty, array, address, levels, extent, span);
            }
            _ => {}
        }
    }

    fn create_fields(
        &mut self,
        fields: &'a [hir::Field],
        address: Address,
        extent: Extent,
        span: Span,
        offset: impl Fn(&mut Self, hir::FieldId) -> u64,
    ) {
        for (index, field) in fields.iter().enumerate() {
            let at = address.plus(offset(self, hir::FieldId(index as u32)));
            match extent {
                Extent::Full => self.create(field.ty, at, &field.init, span),
                Extent::Cells => self.create_value(field.ty, at, &[], extent, span),
            }
        }
    }

    fn create_object(
        &mut self,
        object: hir::ObjectId,
        address: Address,
        extent: Extent,
        span: Span,
    ) {
        let ty = self.descriptor(self.hir.objects[object.index()].ty);
        let site = self.site(span);
        let cell = self
            .b
            .entry(Entry::ObjectNew, vec![ty, site])
            .expect("ObjectNew has a result");
        self.b.store(cell, address, Region::Data);
        let state = Address::new(cell).plus(ObjectCell::STATE_OFFSET);
        match extent {
            Extent::Full if self.cx.needs_initialization(object) => {
                let state = self.b.pointer(state);
                let instance = Instance::Initialization(object, self.context);
                let code = self.cx.function(instance);
                self.b.call(code, vec![state], None);
            }
            Extent::Full => {}
            Extent::Cells => {
                let fields = &self.hir.objects[object.index()].fields;
                let offset = |body: &mut Self, field| body.cx.layouts.state_field(object, field);
                self.create_fields(fields, state, extent, span, offset);
            }
        }
    }

    fn create_array(
        &mut self,
        ty: hir::TypeId,
        array: &'a hir::ArrayType,
        address: Address,
        levels: &[Bounds],
        extent: Extent,
        span: Span,
    ) {
        let rest = levels.get(1..).unwrap_or_default();
        let elements = !rest.is_empty()
            || self
                .cx
                .needs_creation(array.element, extent == Extent::Full);
        if self.cx.layouts.shape(ty) == Shape::FixedArray {
            if elements {
                let bounds = self.cx.layouts.inline_bounds(array).expect("it is inline");
                let count = bounds.iter().map(|&(_, count)| count).product();
                let first = self.b.pointer(address);
                let count = self.b.int(Ty::I64, count);
                self.create_elements(array.element, first, count, rest, extent, span);
            }
            return;
        }
        let bounds = match (
            levels.first().filter(|level| !level.is_empty()),
            &array.bounds,
        ) {
            (Some(level), _) => level.clone(),
            (None, ArrayBounds::Computed(bounds)) => self.evaluate_bounds(bounds),
            (None, ArrayBounds::Constant(bounds)) => bounds
                .iter()
                .map(|&(lower, upper)| (self.b.int(Ty::I64, lower), self.b.int(Ty::I64, upper)))
                .collect(),
            (None, ArrayBounds::Dynamic) => return,
        };
        self.new_array(ty, address, &bounds, span);
        if elements {
            let first = self.first_element(array.element, address);
            let count = self.b.load(Ty::I32, address.plus(12), Region::Head);
            let count = self.b.resize(count, Ty::I64, true);
            self.create_elements(array.element, first, count, rest, extent, span);
        }
    }

    /// Makes the array there one of zero elements with these bounds.
    pub(super) fn new_array(
        &mut self,
        ty: hir::TypeId,
        address: Address,
        bounds: &[(Value, Value)],
        span: Span,
    ) {
        let slot = self.scratch("bounds", 16 * bounds.len() as u64, 8);
        let table = self.b.slot_address(slot);
        for (index, &(lower, upper)) in bounds.iter().enumerate() {
            let pair = table.plus(16 * index as u64);
            self.b.store(lower, pair, Region::Data);
            self.b.store(upper, pair.plus(8), Region::Data);
        }
        let arguments = vec![
            self.descriptor(ty),
            self.b.pointer(address),
            table.base,
            self.site(span),
        ];
        self.b.entry(Entry::ArrayNew, arguments);
    }

    /// The address of the first element of an array with its elements on the heap.
    pub(super) fn first_element(&mut self, element: hir::TypeId, array: Address) -> Value {
        let size = self.cx.layouts.size(element) as i64;
        let origin = self.b.load(Ty::I64, array, Region::Head);
        let offset = self.b.load(Ty::I32, array.plus(8), Region::Head);
        let offset = self.b.resize(offset, Ty::I64, true);
        let size = self.b.int(Ty::I64, size);
        let bytes = self.b.binary(Binary::Multiply, offset, size);
        self.b.binary(Binary::Add, origin, bytes)
    }

    /// A loop over `count` adjacent elements.
    fn create_elements(
        &mut self,
        element: hir::TypeId,
        first: Value,
        count: Value,
        levels: &[Bounds],
        extent: Extent,
        span: Span,
    ) {
        let (body, done) = (self.b.block(), self.b.block());
        let at = self.b.block_parameter(body, Ty::I64);
        let left = self.b.block_parameter(body, Ty::I64);
        let none = self.b.int(Ty::I64, 0);
        let some = self.b.compare(Compare::Greater, count, none);
        self.b
            .branch_with(some, body, vec![first, count], done, Vec::new());
        self.b.switch_to(body);
        self.scoped(|this| this.create_value(element, Address::new(at), levels, extent, span));
        if self.context == Context::Process {
            self.b.effect(crate::mir::Op::Poll);
        }
        let size = self.cx.layouts.size(element) as i64;
        let size = self.b.int(Ty::I64, size);
        let next = self.b.binary(Binary::Add, at, size);
        let one = self.b.int(Ty::I64, 1);
        let fewer = self.b.binary(Binary::Subtract, left, one);
        let more = self.b.compare(Compare::Greater, fewer, none);
        self.b
            .branch_with(more, body, vec![next, fewer], done, Vec::new());
        self.b.switch_to(done);
    }
}

const _: () = assert!(
    Array::DIMENSIONS_OFFSET == 16,
    "the head's offset and size lie at 8 and 12"
);
