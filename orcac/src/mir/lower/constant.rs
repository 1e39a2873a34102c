//! Constants as bytes: aggregates and strings whose parts are constant become blobs.
//!
//! A plain constant is its bytes. An array on the heap is a blob of its elements and a head, made in the frame where
//! it is needed; nobody may modify it or free it. Constants that hold sets or arrays of arrays are built like any other value.

use orca_abi::value::Array;

use super::routine::Body;
use crate::hir::{self, Base, ConstantId, Expr, ExprKind, TypeKind};
use crate::mir::build::Address;
use crate::mir::layout::{Shape, dimension_count};
use crate::mir::{BlobId, Op, Region, Ty};

/// (lower, count) of each dimension.
type Dimensions = Vec<(i64, i64)>;

impl<'a> Body<'_, 'a> {
    /// Whether an expression is made of nothing but constants.
    fn is_constant(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Integer(_) | ExprKind::Real(_) | ExprKind::Nil | ExprKind::Text(_) => true,
            ExprKind::RecordAggregate(parts)
            | ExprKind::ArrayAggregate {
                elements: parts, ..
            } => parts.iter().all(|part| self.is_constant(part)),
            ExprKind::Place(place) => match place.base {
                Base::Constant(id) if place.path.is_empty() => {
                    self.is_constant(&self.hir.constants[id.index()].value)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The bytes of a constant of plain type.
    pub(super) fn constant_bytes(&mut self, expr: &'a Expr) -> Option<Vec<u8>> {
        if !self.is_constant(expr) || !self.cx.layouts.plain(expr.ty) {
            return None;
        }
        let size = usize::try_from(self.cx.layouts.size(expr.ty)).ok()?;
        let mut bytes = vec![0; size];
        self.write_constant(expr, &mut bytes)?;
        Some(bytes)
    }

    /// Writes a constant of plain type over bytes that are all zero.
    fn write_constant(&mut self, expr: &'a Expr, bytes: &mut [u8]) -> Option<()> {
        match &expr.kind {
            ExprKind::Nil => Some(()),
            ExprKind::Integer(number) => {
                bytes.copy_from_slice(&number.to_le_bytes()[..bytes.len()]);
                Some(())
            }
            ExprKind::Real(number) if bytes.len() == 4 => {
                bytes.copy_from_slice(&(*number as f32).to_le_bytes());
                Some(())
            }
            ExprKind::Real(number) => {
                bytes.copy_from_slice(&number.to_le_bytes());
                Some(())
            }
            ExprKind::Place(place) => match (place.base, place.path.is_empty()) {
                (Base::Constant(id), true) => {
                    self.write_constant(&self.hir.constants[id.index()].value, bytes)
                }
                _ => None,
            },
            ExprKind::RecordAggregate(fields) => {
                for (index, field) in fields.iter().enumerate() {
                    let offset = self.cx.layouts.field(expr.ty, hir::FieldId(index as u32));
                    let size = self.cx.layouts.size(field.ty) as usize;
                    let offset = offset as usize;
                    self.write_constant(field, &mut bytes[offset..offset + size])?;
                }
                Some(())
            }
            ExprKind::ArrayAggregate { elements, .. } => self.write_elements(elements, bytes),
            _ => None,
        }
    }

    fn write_elements(&mut self, elements: &'a [Expr], bytes: &mut [u8]) -> Option<()> {
        let Some(first) = elements.first() else {
            return Some(());
        };
        let size = self.cx.layouts.size(first.ty) as usize;
        for (index, element) in elements.iter().enumerate() {
            self.write_constant(element, &mut bytes[index * size..][..size])?;
        }
        Some(())
    }

    /// The elements of a constant array that lives on the heap, as bytes, and its bounds.
    pub(super) fn constant_array(&mut self, expr: &'a Expr) -> Option<(Vec<u8>, Dimensions)> {
        if self.cx.layouts.shape(expr.ty) != Shape::HeapArray {
            return None;
        }
        match &expr.kind {
            ExprKind::Text(text) => Some((text.clone(), vec![(1, text.len() as i64)])),
            ExprKind::ArrayAggregate { bounds, elements } => {
                let element = self.cx.layouts.array(expr.ty).element;
                if !self.cx.layouts.plain(element) {
                    return None;
                }
                let size = self.cx.layouts.size(element) as usize;
                let mut bytes = vec![0; size * elements.len()];
                self.write_elements(elements, &mut bytes)?;
                let dimensions = bounds
                    .iter()
                    .map(|&(lower, upper)| (lower, dimension_count(lower, upper)))
                    .collect();
                Some((bytes, dimensions))
            }
            ExprKind::Place(place) => match (place.base, place.path.is_empty()) {
                (Base::Constant(id), true) => {
                    self.constant_array(&self.hir.constants[id.index()].value)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The first element and the bounds of an array constant, if they are bytes.
    pub(super) fn constant_elements(&mut self, id: ConstantId) -> Option<(Address, Dimensions)> {
        let value = &self.hir.constants[id.index()].value;
        if let Some((bytes, bounds)) = self.constant_array(value) {
            let blob = self.cx.blob(bytes);
            return Some((self.blob_address(blob), bounds));
        }
        let TypeKind::Array(array) = &self.hir.types[value.ty.index()].kind else {
            return None;
        };
        let bounds = self.cx.layouts.inline_bounds(array)?;
        let bytes = self.constant_bytes(value)?;
        let blob = self.cx.blob(bytes);
        Some((self.blob_address(blob), bounds))
    }

    /// The address of a structured constant, which stays the program's.
    pub(super) fn constant_address(&mut self, id: ConstantId) -> Address {
        let value = &self.hir.constants[id.index()].value;
        self.address_of(value).0
    }

    /// The address of a constant expression that is only bytes, perhaps with a head.
    pub(super) fn literal(&mut self, expr: &'a Expr) -> Option<Address> {
        if let Some((bytes, bounds)) = self.constant_array(expr) {
            let element = self.cx.layouts.array(expr.ty).element;
            let size = self.cx.layouts.size(element) as i64;
            let blob = self.cx.blob(bytes);
            return Some(self.literal_head(blob, &bounds, size));
        }
        let bytes = self.constant_bytes(expr)?;
        let blob = self.cx.blob(bytes);
        Some(self.blob_address(blob))
    }

    /// A head in the frame for elements in a blob.
    fn literal_head(&mut self, blob: BlobId, bounds: &[(i64, i64)], element: i64) -> Address {
        let offset = bounds
            .iter()
            .fold(0i64, |linear, &(lower, count)| linear * count + lower);
        let count: i64 = bounds.iter().map(|&(_, count)| count).product();
        let slot = self.scratch("literal", Array::value_size(bounds.len() as u64), 8);
        let head = self.b.slot_address(slot);
        let elements = self.blob_address(blob);
        let origin = self.b.pointer(Address {
            base: elements.base,
            offset: offset.wrapping_mul(element).wrapping_neg(),
        });
        self.b.store(origin, head, Region::Head);
        let words = [offset, count]
            .into_iter()
            .chain(bounds.iter().flat_map(|&(lower, count)| [lower, count]));
        for (index, word) in words.enumerate() {
            let word = self.b.int(Ty::I32, word);
            let at = head.plus(8 + 4 * index as u64);
            self.b.store(word, at, Region::Head);
        }
        head
    }

    pub(super) fn blob_address(&mut self, blob: BlobId) -> Address {
        Address::new(self.b.value_of(Ty::I64, Op::BlobAddress(blob)))
    }
}
