//! Module conversions: numbers from strings and back.
//!
//! Implements: ORCA 11 (conversions).
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use crate::entry::{leaves, place};
use crate::format::{is_space, parse_integer, parse_real, push_integer, push_real};
use crate::value::array;

/// Digits of RealToString at most.
const PRECISION_MAX: i32 = 100;

/// Skips white space, parses, and counts both.
fn convert<T: Default>(
    string: u64,
    eaten: u64,
    parse: impl FnOnce(&[u8]) -> Option<(T, usize)>,
) -> T {
    let bytes = array::string_bytes(place(string));
    let start = bytes.iter().take_while(|&&byte| is_space(byte)).count();
    match parse(&bytes[start..]) {
        Some((value, length)) => {
            place(eaten).set((start + length) as i32);
            value
        }
        None => {
            place(eaten).set(0i32);
            T::default()
        }
    }
}

leaves! {
    ConversionsStringToReal(_local, string: u64, eaten: u64) -> f64 {
        convert(string, eaten, parse_real)
    }
    ConversionsStringToInt(_local, string: u64, eaten: u64) -> i64 {
        convert(string, eaten, parse_integer)
    }
    ConversionsRealToString(local, value: f64, precision: i32, result: u64) {
        let mut text = Vec::new();
        push_real(&mut text, value, precision.clamp(1, PRECISION_MAX) as usize);
        local.check(array::set_string(local.heap(), place(result), &text), u32::MAX);
    }
    ConversionsIntToString(local, value: i64, result: u64) {
        let mut text = Vec::new();
        push_integer(&mut text, value);
        local.check(array::set_string(local.heap(), place(result), &text), u32::MAX);
    }
}
