//! Layout of Orca types: type descriptors out of the types of the typed program, on demand.
//!
//! Sizes, alignments and offsets are those of the C interface (ORCA.md 12) and of `orca_abi::value`. A type gets a
//! descriptor only when something asks for it, so what a program never reaches costs nothing. The tables here also answer the
//! questions that lowering asks all the time: is it a scalar, is it plain, does it hold objects, where does a field lie.
//!
//! Implements: [Thesis §4.4] representation of values; orca_abi::types.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use orca_abi::types::{BITWISE_EQUAL, HAS_OBJECT, Kind, PLAIN};
use orca_abi::value::{Array, Graph};

use super::{FieldDescriptor, ObjectId, Ty, TypeDescriptor, TypeId};
use crate::hir;

/// Constant-bounded arrays above this many bytes are kept on the heap like those with computed bounds.
pub const INLINE_ARRAY_SIZE_MAX: u64 = i32::MAX as u64;

/// How lowering treats values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One machine word: this type in memory. Nodenames are words of 64 bits.
    Scalar(Ty),
    Record,
    /// Elements inline.
    FixedArray,
    /// Head and elements on the heap.
    HeapArray,
    /// A set or bag.
    Set,
    Graph,
    Object,
}

/// The descriptors made so far.
pub struct Layouts<'a> {
    program: &'a hir::Program,
    ids: Vec<Option<TypeId>>,
    states: BTreeMap<hir::ObjectId, TypeId>,
    /// All descriptors, by id.
    pub descriptors: Vec<TypeDescriptor>,
    /// Object types that some descriptor reaches, in order of their ids.
    pub objects: IndexMap<hir::ObjectId, ObjectId>,
}

impl<'a> Layouts<'a> {
    /// No descriptors yet.
    pub fn new(program: &'a hir::Program) -> Layouts<'a> {
        Layouts {
            program,
            ids: vec![None; program.types.len()],
            states: BTreeMap::new(),
            descriptors: Vec::new(),
            objects: IndexMap::new(),
        }
    }

    /// The descriptor of a type.
    pub fn id(&mut self, ty: hir::TypeId) -> TypeId {
        if let Some(id) = self.ids[ty.index()] {
            return id;
        }
        // Reserved first: an object's operations and state may mention the type again.
        let id = self.reserve();
        self.ids[ty.index()] = Some(id);
        let program = self.program;
        let source = &program.types[ty.index()];
        let descriptor = self.describe(ty, &source.name, &source.kind);
        self.descriptors[id.index()] = descriptor;
        id
    }

    /// The descriptor behind a type.
    pub fn of(&mut self, ty: hir::TypeId) -> &TypeDescriptor {
        let id = self.id(ty);
        &self.descriptors[id.index()]
    }

    /// The record of an object type's fields.
    pub fn state(&mut self, object: hir::ObjectId) -> TypeId {
        if let Some(&id) = self.states.get(&object) {
            return id;
        }
        let program = self.program;
        let source = &program.objects[object.index()];
        let id = self.reserve();
        self.states.insert(object, id);
        let descriptor = self.record(format!("{} state", source.name), &source.fields);
        self.descriptors[id.index()] = descriptor;
        id
    }

    /// The id of an object type; from now on the program has it.
    pub fn object(&mut self, object: hir::ObjectId) -> ObjectId {
        let next = ObjectId(self.objects.len() as u32);
        *self.objects.entry(object).or_insert(next)
    }

    /// How values of a type are treated.
    pub fn shape(&self, ty: hir::TypeId) -> Shape {
        use hir::TypeKind as K;
        match &self.program.types[ty.index()].kind {
            K::ShortInt => Shape::Scalar(Ty::I16),
            K::Integer => Shape::Scalar(Ty::I32),
            K::LongInt | K::Nodename { .. } => Shape::Scalar(Ty::I64),
            K::ShortReal => Shape::Scalar(Ty::F32),
            K::Real | K::LongReal => Shape::Scalar(Ty::F64),
            K::Boolean | K::Char => Shape::Scalar(Ty::I8),
            K::Enumeration { literals } if literals.len() <= 256 => Shape::Scalar(Ty::I8),
            K::Enumeration { .. } => Shape::Scalar(Ty::I32),
            K::Record { .. } => Shape::Record,
            K::Array(array) if self.inline_bounds(array).is_some() => Shape::FixedArray,
            K::Array(_) => Shape::HeapArray,
            K::Set { .. } | K::Bag { .. } => Shape::Set,
            K::Graph { .. } => Shape::Graph,
            K::Object(_) => Shape::Object,
        }
    }

    /// The memory type of a scalar.
    pub fn scalar(&self, ty: hir::TypeId) -> Option<Ty> {
        match self.shape(ty) {
            Shape::Scalar(ty) => Some(ty),
            _ => None,
        }
    }

    /// Whether ordinals of the type are signed: integers are, the rest is not.
    pub fn signed(&self, ty: hir::TypeId) -> bool {
        use hir::TypeKind as K;
        matches!(
            self.program.types[ty.index()].kind,
            K::ShortInt | K::Integer | K::LongInt
        )
    }

    /// Whether copying the bytes copies the value.
    pub fn plain(&mut self, ty: hir::TypeId) -> bool {
        self.of(ty).flags & PLAIN != 0
    }

    /// Whether an object is among the components.
    pub fn has_object(&mut self, ty: hir::TypeId) -> bool {
        self.of(ty).flags & HAS_OBJECT != 0
    }

    /// Bytes of a value, without its heap parts.
    pub fn size(&mut self, ty: hir::TypeId) -> u64 {
        self.of(ty).size
    }

    /// Offset of a field in a record value.
    pub fn field(&mut self, record: hir::TypeId, field: hir::FieldId) -> u64 {
        self.of(record).fields[field.index()].offset
    }

    /// Offset of a root field in a graph value.
    pub fn root_field(&mut self, graph: hir::TypeId, field: hir::FieldId) -> u64 {
        let root = self.of(graph).root.expect("a graph has a root record");
        Graph::ROOT_OFFSET + self.descriptors[root.index()].fields[field.index()].offset
    }

    /// Offset of a node field in its node record.
    pub fn node_field(&mut self, graph: hir::TypeId, field: hir::FieldId) -> u64 {
        let node = self.of(graph).element.expect("a graph has a node record");
        self.descriptors[node.index()].fields[field.index()].offset
    }

    /// Offset of a field in an object's state record.
    pub fn state_field(&mut self, object: hir::ObjectId, field: hir::FieldId) -> u64 {
        let state = self.state(object);
        self.descriptors[state.index()].fields[field.index()].offset
    }

    /// The array type behind a type.
    pub fn array(&self, ty: hir::TypeId) -> &'a hir::ArrayType {
        match &self.program.types[ty.index()].kind {
            hir::TypeKind::Array(array) => array,
            other => unreachable!("an array type was expected, not {other:?}"),
        }
    }

    /// (lower, count) of each dimension if the elements lie inline.
    pub fn inline_bounds(&self, array: &hir::ArrayType) -> Option<Vec<(i64, i64)>> {
        let hir::ArrayBounds::Constant(bounds) = &array.bounds else {
            return None;
        };
        let mut total = self.inline_size(array.element).max(1);
        let mut dimensions = Vec::with_capacity(bounds.len());
        for &(lower, upper) in bounds {
            let count = dimension_count(lower, upper);
            if i32::try_from(lower).is_err() || i32::try_from(count).is_err() {
                return None;
            }
            total = total.saturating_mul(count as u64);
            dimensions.push((lower, count));
        }
        (total <= INLINE_ARRAY_SIZE_MAX).then_some(dimensions)
    }

    /// An upper limit of the size of a value that needs no descriptor.
    fn inline_size(&self, ty: hir::TypeId) -> u64 {
        use hir::TypeKind as K;
        let fields = |fields: &[hir::Field]| {
            fields.iter().fold(8u64, |sum, field| {
                sum.saturating_add(self.inline_size(field.ty))
                    .saturating_add(8)
            })
        };
        match &self.program.types[ty.index()].kind {
            K::Record { fields: list } => fields(list),
            K::Graph { root, .. } => fields(root).saturating_add(Graph::ROOT_OFFSET),
            K::Array(array) => match self.inline_bounds(array) {
                Some(bounds) => bounds
                    .iter()
                    .fold(self.inline_size(array.element), |size, &(_, count)| {
                        size.saturating_mul(count as u64)
                    }),
                None => Array::value_size(array.indices.len() as u64),
            },
            K::ShortInt => 2,
            K::Boolean | K::Char => 1,
            K::Integer | K::ShortReal => 4,
            _ => 8,
        }
    }

    fn reserve(&mut self) -> TypeId {
        self.descriptors
            .push(leaf(String::new(), Kind::Byte, 0, 1, 0));
        TypeId(self.descriptors.len() as u32 - 1)
    }

    fn describe(&mut self, ty: hir::TypeId, name: &str, kind: &'a hir::TypeKind) -> TypeDescriptor {
        use hir::TypeKind as K;
        const BITS: u32 = PLAIN | BITWISE_EQUAL;
        let name = name.to_owned();
        match kind {
            K::ShortInt => leaf(name, Kind::ShortInt, 2, 2, BITS),
            K::Integer => leaf(name, Kind::Integer, 4, 4, BITS),
            K::LongInt => leaf(name, Kind::LongInt, 8, 8, BITS),
            K::ShortReal => leaf(name, Kind::ShortReal, 4, 4, PLAIN),
            K::Real | K::LongReal => leaf(name, Kind::Real, 8, 8, PLAIN),
            K::Boolean | K::Char => leaf(name, Kind::Byte, 1, 1, BITS),
            K::Enumeration { literals } if literals.len() <= 256 => {
                leaf(name, Kind::Byte, 1, 1, BITS)
            }
            K::Enumeration { .. } => leaf(name, Kind::LongEnum, 4, 4, BITS),
            K::Nodename { .. } => leaf(name, Kind::Nodename, 8, 4, BITS),
            K::Record { fields } => self.record(name, fields),
            K::Array(array) => self.describe_array(name, array),
            K::Set { element } | K::Bag { element } => {
                let element = self.id(*element);
                let kind = match kind {
                    K::Set { .. } => Kind::Set,
                    _ => Kind::Bag,
                };
                let flags = self.inherited(element);
                TypeDescriptor {
                    element: Some(element),
                    ..leaf(name, kind, 8, 8, flags)
                }
            }
            K::Graph { root, node } => self.describe_graph(name, root, node),
            K::Object(object) => {
                self.state(*object);
                let id = self.object(*object);
                debug_assert_eq!(self.program.objects[object.index()].ty, ty);
                TypeDescriptor {
                    object: Some(id),
                    ..leaf(name, Kind::Object, 8, 8, HAS_OBJECT)
                }
            }
        }
    }

    fn describe_array(&mut self, name: String, array: &'a hir::ArrayType) -> TypeDescriptor {
        let element = self.id(array.element);
        let dimensions = array.indices.len() as u32;
        match self.inline_bounds(array) {
            None => TypeDescriptor {
                element: Some(element),
                dimensions,
                ..leaf(
                    name,
                    Kind::Array,
                    Array::value_size(u64::from(dimensions)),
                    8,
                    self.inherited(element),
                )
            },
            Some(bounds) => {
                let of = &self.descriptors[element.index()];
                let count: u64 = bounds.iter().map(|&(_, count)| count as u64).product();
                TypeDescriptor {
                    element: Some(element),
                    dimensions,
                    bounds: bounds
                        .iter()
                        .map(|&(lower, count)| (lower as i32, count as i32))
                        .collect(),
                    ..leaf(
                        name,
                        Kind::FixedArray,
                        of.size * count,
                        of.align,
                        of.flags & (PLAIN | BITWISE_EQUAL | HAS_OBJECT),
                    )
                }
            }
        }
    }

    fn describe_graph(
        &mut self,
        name: String,
        root: &'a [hir::Field],
        node: &'a [hir::Field],
    ) -> TypeDescriptor {
        let root_record = self.record(format!("{name} root"), root);
        let node_record = self.record(format!("{name} node"), node);
        let size = (Graph::ROOT_OFFSET + root_record.size).next_multiple_of(8);
        let flags = (root_record.flags | node_record.flags) & HAS_OBJECT;
        let root = self.push(root_record);
        let node = self.push(node_record);
        TypeDescriptor {
            element: Some(node),
            root: Some(root),
            ..leaf(name, Kind::Graph, size, 8, flags)
        }
    }

    fn push(&mut self, descriptor: TypeDescriptor) -> TypeId {
        self.descriptors.push(descriptor);
        TypeId(self.descriptors.len() as u32 - 1)
    }

    /// A C struct of these fields.
    fn record(&mut self, name: String, fields: &'a [hir::Field]) -> TypeDescriptor {
        let mut record = leaf(name, Kind::Record, 0, 1, PLAIN | BITWISE_EQUAL);
        for field in fields {
            let ty = self.id(field.ty);
            let of = &self.descriptors[ty.index()];
            let offset = record.size.next_multiple_of(u64::from(of.align));
            let mut kept = of.flags & (PLAIN | BITWISE_EQUAL);
            if offset != record.size {
                kept &= !BITWISE_EQUAL;
            }
            record.flags = (record.flags & kept) | ((record.flags | of.flags) & HAS_OBJECT);
            record.align = record.align.max(of.align);
            record.size = offset.saturating_add(of.size);
            record.fields.push(FieldDescriptor {
                name: field.name.clone(),
                offset,
                ty,
            });
        }
        let end = record.size.next_multiple_of(u64::from(record.align));
        if end != record.size {
            record.flags &= !BITWISE_EQUAL;
        }
        record.size = end;
        record
    }

    /// What a value with its components on the heap inherits from them.
    fn inherited(&self, element: TypeId) -> u32 {
        self.descriptors[element.index()].flags & HAS_OBJECT
    }
}

/// The number of values from `lower` to `upper`.
pub fn dimension_count(lower: i64, upper: i64) -> i64 {
    if upper < lower {
        0
    } else {
        upper.saturating_sub(lower).saturating_add(1)
    }
}

fn leaf(name: String, kind: Kind, size: u64, align: u32, flags: u32) -> TypeDescriptor {
    TypeDescriptor {
        name,
        kind,
        flags,
        size,
        align,
        element: None,
        root: None,
        fields: Vec::new(),
        dimensions: 0,
        bounds: Vec::new(),
        object: None,
    }
}
