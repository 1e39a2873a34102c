//! Module Math: elementary functions from one pinned implementation, the same on every processor.
//!
//! Shifts by more than 31 push all bits out; a right shift by less than nothing shifts nothing, a left one everything.
//!
//! Implements: ORCA 11 (Math).
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use crate::entry::{leaves, place};

leaves! {
    MathSin(_local, x: f64) -> f64 { libm::sin(x) }
    MathCos(_local, x: f64) -> f64 { libm::cos(x) }
    MathTan(_local, x: f64) -> f64 { libm::tan(x) }
    MathAsin(_local, x: f64) -> f64 { libm::asin(x) }
    MathAcos(_local, x: f64) -> f64 { libm::acos(x) }
    MathAtan(_local, x: f64) -> f64 { libm::atan(x) }
    MathSinh(_local, x: f64) -> f64 { libm::sinh(x) }
    MathCosh(_local, x: f64) -> f64 { libm::cosh(x) }
    MathTanh(_local, x: f64) -> f64 { libm::tanh(x) }
    MathExp(_local, x: f64) -> f64 { libm::exp(x) }
    MathLog(_local, x: f64) -> f64 { libm::log(x) }
    MathLog10(_local, x: f64) -> f64 { libm::log10(x) }
    MathSqrt(_local, x: f64) -> f64 { libm::sqrt(x) }
    MathCeil(_local, x: f64) -> f64 { libm::ceil(x) }
    MathFloor(_local, x: f64) -> f64 { libm::floor(x) }
    MathFabs(_local, x: f64) -> f64 { libm::fabs(x) }
    MathAtan2(_local, y: f64, x: f64) -> f64 { libm::atan2(y, x) }
    MathPow(_local, x: f64, y: f64) -> f64 { libm::pow(x, y) }
    MathLdexp(_local, x: f64, exponent: i32) -> f64 { libm::ldexp(x, exponent) }
    MathFrexp(_local, x: f64, exponent: u64) -> f64 {
        let (fraction, power) = libm::frexp(x);
        place(exponent).set(power);
        fraction
    }
    MathModf(_local, x: f64, whole: u64) -> f64 {
        let (fraction, integer) = libm::modf(x);
        place(whole).set(integer);
        fraction
    }
    MathFmod(_local, x: f64, y: f64) -> f64 { libm::fmod(x, y) }
    MathLeftShift(_local, n: i32, count: i32) -> i32 {
        u32::try_from(count).ok().and_then(|count| (n as u32).checked_shl(count)).unwrap_or(0) as i32
    }
    MathRightShift(_local, n: i32, count: i32) -> i32 {
        n >> count.clamp(0, 31)
    }
    MathBitwiseAnd(_local, a: i32, b: i32) -> i32 { a & b }
    MathBitwiseOr(_local, a: i32, b: i32) -> i32 { a | b }
    MathBitwiseXor(_local, a: i32, b: i32) -> i32 { a ^ b }
    MathIntToLongReal(_local, n: i32) -> f64 { f64::from(n) }
    MathLongRealToInt(_local, x: f64) -> i32 { x as i32 }
    MathLongRealMin(_local, a: f64, b: f64) -> f64 { if b < a { b } else { a } }
    MathLongRealMax(_local, a: f64, b: f64) -> f64 { if b > a { b } else { a } }
}
