//! Equality of values by the rules of the language, and a hash that agrees with it.
//!
//! Arrays are equal if bounds and elements are, or if both are empty; sets regardless of order; bags with multiplicity; reals as numbers, so
//! that -0.0 equals 0.0 and nothing equals a NaN. Graphs and objects cannot be compared.
//!
//! Implements: ORCA 4.4, 5.5.

use orca_abi::types::{BITWISE_EQUAL, Kind, Type};
use orca_abi::value::Nodename;

use super::describe::{Describe, entries, type_at};
use super::place::Place;
use super::{array, set};

/// The two values are equal.
pub(crate) fn equal(kind: &Type, a: Place, b: Place) -> bool {
    if kind.flags & BITWISE_EQUAL != 0 {
        return a.bytes(kind.size) == b.bytes(kind.size);
    }
    match kind.kind {
        Kind::ShortReal => a.get::<f32>() == b.get::<f32>(),
        Kind::Real => a.get::<f64>() == b.get::<f64>(),
        Kind::Nodename => a.get::<Nodename>() == b.get::<Nodename>(),
        Kind::Record => entries(&kind.fields).iter().all(|field| {
            equal(
                type_at(field.kind),
                a.add(field.offset),
                b.add(field.offset),
            )
        }),
        Kind::Array => {
            let count = array::count(a);
            if count != array::count(b) {
                return false;
            }
            count == 0
                || array::dimensions(kind, a).eq(array::dimensions(kind, b))
                    && equal_elements(
                        kind.element_type(),
                        array::elements(kind, a),
                        array::elements(kind, b),
                        count,
                    )
        }
        Kind::FixedArray => equal_elements(kind.element_type(), a, b, kind.fixed_count()),
        Kind::Set | Kind::Bag => set::equal(kind, a, b),
        Kind::Graph | Kind::Object => false,
        _ => a.bytes(kind.size) == b.bytes(kind.size),
    }
}

fn equal_elements(element: &Type, a: Place, b: Place, count: u64) -> bool {
    if element.flags & BITWISE_EQUAL != 0 {
        let bytes = count * element.size;
        return a.bytes(bytes) == b.bytes(bytes);
    }
    (0..count).all(|i| {
        let at = i * element.size;
        equal(element, a.add(at), b.add(at))
    })
}

/// A hash such that equal values have equal hashes; the same on every processor.
pub(crate) fn hash(kind: &Type, value: Place) -> u64 {
    let mut hasher = Hasher::new();
    hash_into(&mut hasher, kind, value);
    hasher.finish()
}

fn hash_into(hasher: &mut Hasher, kind: &Type, value: Place) {
    if kind.flags & BITWISE_EQUAL != 0 {
        hasher.bytes(value.bytes(kind.size));
        return;
    }
    match kind.kind {
        // Adding zero turns -0.0 into 0.0.
        Kind::ShortReal => hasher.word(u64::from((value.get::<f32>() + 0.0).to_bits())),
        Kind::Real => hasher.word((value.get::<f64>() + 0.0).to_bits()),
        Kind::Record => {
            for field in entries(&kind.fields) {
                hash_into(hasher, type_at(field.kind), value.add(field.offset));
            }
        }
        Kind::Array | Kind::FixedArray => {
            let (first, count) = array::elements_of(kind, value);
            let element = kind.element_type();
            hasher.word(count);
            if element.flags & BITWISE_EQUAL != 0 {
                hasher.bytes(first.bytes(count * element.size));
                return;
            }
            for i in 0..count {
                hash_into(hasher, element, first.element(i, element.size));
            }
        }
        Kind::Set | Kind::Bag => {
            let sum = set::places(kind, value)
                .fold(0u64, |sum, element| {
                    sum.wrapping_add(hash(kind.element_type(), element))
                });
            hasher.word(sum);
        }
        Kind::Graph | Kind::Object => {}
        _ => hasher.bytes(value.bytes(kind.size)),
    }
}

/// A small mixing hash, fixed for ever: replicas compare its results.
pub(crate) struct Hasher(u64);

impl Hasher {
    pub(crate) fn new() -> Hasher {
        Hasher(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ 0xa076_1d64_78bd_642f;
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let rest = chunks.remainder();
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    pub(crate) fn finish(&self) -> u64 {
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
        x ^ (x >> 29)
    }
}
