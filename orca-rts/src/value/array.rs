//! Arrays with bounds of their own, strings among them.
//!
//! The value is a head with a virtual origin, the number of elements and the dimensions ([`orca_abi::value::Array`]); the elements lie in a
//! block of the heap. There is no block while an array is empty.
//!
//! Implements: ORCA 4.4, 4.5, 12.

use orca_abi::types::{Kind, Type};
use orca_abi::value::{Array, Dimension};

use super::describe::Describe;
use super::place::Place;
use super::{copy, fill_elements, free_elements};
use crate::heap::{Heap, OutOfMemory};

/// The number of elements in all dimensions.
pub(crate) fn count(array: Place) -> u64 {
    array.get::<Array>().size as u32 as u64
}

/// A dimension, counted from 0.
pub(crate) fn dimension(array: Place, index: u32) -> Dimension {
    array
        .add(Array::DIMENSIONS_OFFSET + 8 * u64::from(index))
        .get()
}

/// All dimensions.
pub(crate) fn dimensions(kind: &Type, array: Place) -> impl Iterator<Item = Dimension> {
    (0..kind.dimensions).map(move |index| dimension(array, index))
}

/// The indices of the first element, folded as compiled code does it.
fn first_linear(kind: &Type, array: Place) -> i64 {
    dimensions(kind, array).fold(0i64, |linear, dimension| {
        linear
            .wrapping_mul(i64::from(dimension.count))
            .wrapping_add(i64::from(dimension.lower))
    })
}

/// Where the elements lie; null if there are none.
pub(crate) fn elements(kind: &Type, array: Place) -> Place {
    let head: Array = array.get();
    if head.size == 0 {
        return Place::NULL;
    }
    let first = first_linear(kind, array) as u64;
    // The origin may lie anywhere, its offset by the first element may not.
    array.follow().element(first, kind.element_type().size)
}

/// The bytes of a string.
pub(crate) fn string_bytes<'a>(string: Place) -> &'a [u8] {
    let head: Array = string.get();
    if head.size <= 0 {
        return &[];
    }
    let lower = i64::from(dimension(string, 0).lower) as u64;
    string.follow().add(lower).bytes(head.size as u64)
}

/// Bytes of the block of `count` elements, or nothing if the language does not allow so many.
fn block_bytes(kind: &Type, count: u64) -> Result<u64, OutOfMemory> {
    if count > i32::MAX as u64 {
        return Err(OutOfMemory);
    }
    count
        .checked_mul(kind.element_type().size)
        .ok_or(OutOfMemory)
}

/// The product of the counts, if the language allows so many elements.
pub(crate) fn element_count(dimensions: &[Dimension]) -> Option<u64> {
    let mut product = 1u64;
    for dimension in dimensions {
        let count = u64::try_from(dimension.count).ok()?;
        product = product.checked_mul(count)?;
        if product > 0 && product > i32::MAX as u64 {
            // A later empty dimension makes it empty after all.
            return dimensions
                .iter()
                .any(|dimension| dimension.count == 0)
                .then_some(0);
        }
    }
    Some(product)
}

/// Makes zeroed bytes an array of zero elements.
pub(crate) fn make(
    heap: Heap,
    kind: &Type,
    array: Place,
    dimensions: &[Dimension],
) -> Result<(), OutOfMemory> {
    debug_assert_eq!(dimensions.len(), kind.dimensions as usize);
    let count = element_count(dimensions).ok_or(OutOfMemory)?;
    let bytes = block_bytes(kind, count)?;
    let block = if count == 0 {
        Place::NULL
    } else {
        heap.allocate(bytes)?
    };
    set_head(kind, array, block, dimensions.iter().copied(), count);
    Ok(())
}

fn set_head(
    kind: &Type,
    array: Place,
    block: Place,
    dimensions: impl Iterator<Item = Dimension>,
    count: u64,
) {
    let mut linear = 0i64;
    for (index, dimension) in dimensions.enumerate() {
        linear = linear
            .wrapping_mul(i64::from(dimension.count))
            .wrapping_add(i64::from(dimension.lower));
        array
            .add(Array::DIMENSIONS_OFFSET + 8 * index as u64)
            .set(dimension);
    }
    let before = (linear as u64).wrapping_mul(kind.element_type().size);
    let origin = block.add(before.wrapping_neg());
    array.set(Array {
        origin: origin.pointer(),
        offset: linear as i32,
        size: count as i32,
    });
}

/// Replaces a live string by these bytes, with bounds 1..n.
pub(crate) fn set_string(heap: Heap, string: Place, bytes: &[u8]) -> Result<(), OutOfMemory> {
    let count = i32::try_from(bytes.len()).map_err(|_| OutOfMemory)?;
    let block = if bytes.is_empty() {
        Place::NULL
    } else {
        let block = heap.allocate(bytes.len() as u64)?;
        block.bytes_mut(bytes.len() as u64).copy_from_slice(bytes);
        block
    };
    free_string(heap, string);
    string.set(Array {
        origin: block.add(1u64.wrapping_neg()).pointer(),
        offset: 1,
        size: count,
    });
    string
        .add(Array::DIMENSIONS_OFFSET)
        .set(Dimension { lower: 1, count });
    Ok(())
}

fn free_string(heap: Heap, string: Place) {
    let head: Array = string.get();
    if head.size > 0 {
        let lower = i64::from(dimension(string, 0).lower) as u64;
        heap.release(string.follow().add(lower), head.size as u64);
    }
}

pub(super) fn free_parts(heap: Heap, kind: &Type, array: Place) {
    let count = count(array);
    if count == 0 {
        return;
    }
    let block = elements(kind, array);
    let element = kind.element_type();
    free_elements(heap, element, block, count);
    heap.release(block, count * element.size);
}

pub(super) fn fill(
    heap: Heap,
    kind: &Type,
    destination: Place,
    source: Place,
) -> Result<(), OutOfMemory> {
    let count = count(source);
    let block = if count == 0 {
        Place::NULL
    } else {
        heap.allocate(block_bytes(kind, count)?)?
    };
    set_head(kind, destination, block, dimensions(kind, source), count);
    fill_elements(heap, kind.element_type(), block, elements(kind, source), count)
}

/// Copies without a new block where the old one has the right size; says whether it did.
pub(super) fn copy_in_place(
    heap: Heap,
    kind: &Type,
    destination: Place,
    source: Place,
) -> Result<bool, OutOfMemory> {
    let element = kind.element_type();
    let count = count(source);
    if self::count(destination) != count {
        return Ok(false);
    }
    let to = elements(kind, destination);
    let from = elements(kind, source);
    if element.is_plain() {
        to.copy_from(from, count * element.size);
        set_head(kind, destination, to, dimensions(kind, source), count);
        return Ok(true);
    }
    // Objects keep their identity if the bounds stay.
    if element.has_object() && dimensions(kind, destination).eq(dimensions(kind, source)) {
        for i in 0..count {
            let at = i * element.size;
            copy(heap, element, to.add(at), from.add(at))?;
        }
        return Ok(true);
    }
    Ok(false)
}

/// The elements of an array of either kind: where they lie and how many.
pub(crate) fn elements_of(kind: &Type, value: Place) -> (Place, u64) {
    match kind.kind {
        Kind::FixedArray => (value, kind.fixed_count()),
        _ => (elements(kind, value), count(value)),
    }
}
