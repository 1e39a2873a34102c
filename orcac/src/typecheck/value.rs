//! Values known when the program is compiled, and arithmetic on them.
//!
//! `Unknown` is the value of a constant that is known to exist only: a generic CONST formal, or one that was reported;
//! everything computed from it is unknown and silent.
//!
//! Implements: ORCA.md 5.3, 5.4, 5.9.

use std::rc::Rc;

use crate::hir::{BinaryOp, CompareOp, TypeKind};

/// A constant's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unknown,
    /// Of integer types, char, boolean and enumerations (ordinal).
    Int(i64),
    Real(f64),
    /// A string with lower bound 1.
    Text(Rc<[u8]>),
    Nil,
    Record(Rc<[Value]>),
    Set(Rc<[Value]>),
    Array {
        bounds: Rc<[(i64, i64)]>,
        elements: Rc<[Value]>,
    },
}

/// Why a constant operation has no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    DivideByZero,
    ModuloByNonPositive,
    ShiftCount,
}

impl Fault {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Fault::DivideByZero => "divide by 0",
            Fault::ModuloByNonPositive => "modulo by <= 0",
            Fault::ShiftCount => "shift count out of range",
        }
    }
}

/// The result of integer arithmetic in `bits` bits: wrapped, and whether it had to be.
pub(crate) fn integer(op: BinaryOp, a: i64, b: i64, bits: u32) -> Result<(i64, bool), Fault> {
    let (wide_a, wide_b) = (i128::from(a), i128::from(b));
    let exact = match op {
        BinaryOp::Add => wide_a + wide_b,
        BinaryOp::Subtract => wide_a - wide_b,
        BinaryOp::Multiply => wide_a * wide_b,
        BinaryOp::Divide if b == 0 => return Err(Fault::DivideByZero),
        BinaryOp::Divide => wide_a / wide_b,
        BinaryOp::Modulo if b <= 0 => return Err(Fault::ModuloByNonPositive),
        BinaryOp::Modulo => wide_a % wide_b,
        BinaryOp::BitAnd => wide_a & wide_b,
        BinaryOp::BitOr => wide_a | wide_b,
        BinaryOp::BitXor => wide_a ^ wide_b,
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight if b < 0 => return Err(Fault::ShiftCount),
        BinaryOp::ShiftLeft if b >= i64::from(bits) => 0,
        BinaryOp::ShiftLeft => return Ok((wrap_bits(wide_a << b, bits), false)),
        BinaryOp::ShiftRight => wide_a >> b.min(i64::from(bits) - 1),
    };
    let wrapped = wrap_bits(exact, bits);
    Ok((wrapped, i128::from(wrapped) != exact))
}

/// The low `bits` bits as a signed number.
pub(crate) fn wrap_bits(value: i128, bits: u32) -> i64 {
    let shift = 128 - bits;
    ((value << shift) >> shift) as i64
}

/// The result of real arithmetic; `None` for operators that reals do not have.
pub(crate) fn real(op: BinaryOp, a: f64, b: f64) -> Option<Result<f64, Fault>> {
    Some(Ok(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide if b == 0.0 => return Some(Err(Fault::DivideByZero)),
        BinaryOp::Divide => a / b,
        _ => return None,
    }))
}

/// How many bits an integer-like type has.
pub(crate) fn bits(kind: &TypeKind) -> Option<u32> {
    match kind {
        TypeKind::ShortInt => Some(16),
        TypeKind::Integer => Some(32),
        TypeKind::LongInt => Some(64),
        _ => None,
    }
}

/// A comparison of simple values.
pub(crate) fn compare(op: CompareOp, a: &Value, b: &Value) -> Option<bool> {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Real(a), Value::Real(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => {
            return match op {
                CompareOp::Equal => Some(a == b),
                CompareOp::NotEqual => Some(a != b),
                _ => None,
            };
        }
        _ => return None,
    };
    Some(match op {
        CompareOp::Equal => order == Some(std::cmp::Ordering::Equal),
        CompareOp::NotEqual => order != Some(std::cmp::Ordering::Equal),
        CompareOp::Less => order.is_some_and(|o| o.is_lt()),
        CompareOp::Greater => order.is_some_and(|o| o.is_gt()),
        CompareOp::LessEqual => order.is_some_and(|o| o.is_le()),
        CompareOp::GreaterEqual => order.is_some_and(|o| o.is_ge()),
    })
}

impl Value {
    /// The element of a constant array or string at these indices; `Err` if one is outside the bounds.
    pub(crate) fn element(&self, indices: &[i64]) -> Option<Result<Value, ()>> {
        match self {
            Value::Text(text) => {
                let &[index] = indices else { return None };
                let found = usize::try_from(index)
                    .ok()
                    .and_then(|i| text.get(i.checked_sub(1)?));
                Some(found.map(|&byte| Value::Int(i64::from(byte))).ok_or(()))
            }
            Value::Array { bounds, elements } => {
                if bounds.len() != indices.len() {
                    return None;
                }
                let mut at: usize = 0;
                for (&(low, high), &index) in bounds.iter().zip(indices) {
                    if index < low || index > high {
                        return Some(Err(()));
                    }
                    at = at * (high - low + 1) as usize + (index - low) as usize;
                }
                elements.get(at).cloned().map(Ok)
            }
            _ => None,
        }
    }

    /// Whether the value is known, whole: an aggregate with an unknown part is itself unknown.
    pub(crate) fn is_known(&self) -> bool {
        *self != Value::Unknown
    }

    /// The number of simple values in it; counting stops soon after `limit`.
    pub(crate) fn size(&self, limit: usize) -> usize {
        let parts = match self {
            Value::Record(parts) | Value::Set(parts) => parts,
            Value::Array { elements, .. } => elements,
            _ => return 1,
        };
        let mut size = 1;
        for part in parts.iter() {
            if size > limit {
                break;
            }
            size += part.size(limit - size.min(limit));
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_to_their_width_and_say_so() {
        let max = i64::from(i32::MAX);
        assert_eq!(
            integer(BinaryOp::Add, max, 1, 32),
            Ok((i64::from(i32::MIN), true))
        );
        assert_eq!(integer(BinaryOp::Add, max, 1, 64), Ok((max + 1, false)));
        assert_eq!(
            integer(BinaryOp::Divide, i64::MIN, -1, 64),
            Ok((i64::MIN, true))
        );
    }

    #[test]
    fn division_truncates_and_the_remainder_has_the_sign_of_the_dividend() {
        assert_eq!(integer(BinaryOp::Divide, -7, 2, 32), Ok((-3, false)));
        assert_eq!(integer(BinaryOp::Modulo, -7, 2, 32), Ok((-1, false)));
        assert_eq!(
            integer(BinaryOp::Modulo, 7, 0, 32),
            Err(Fault::ModuloByNonPositive)
        );
    }

    #[test]
    fn shifts_beyond_the_width_leave_nothing_or_the_sign() {
        assert_eq!(integer(BinaryOp::ShiftLeft, 1, 40, 32), Ok((0, false)));
        assert_eq!(integer(BinaryOp::ShiftRight, -8, 40, 32), Ok((-1, false)));
        assert_eq!(
            integer(BinaryOp::ShiftLeft, 1, -1, 32),
            Err(Fault::ShiftCount)
        );
    }
}
