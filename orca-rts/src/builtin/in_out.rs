//! Leaf entries that write: the language's Write, and the writing half of module InOut.
//!
//! Each InOut function is a Write of its own. Reading waits, so it is a matter of the worker ([`super::input`]).
//!
//! Implements: ORCA 8.1, 11 (InOut, Finish).
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use super::output::Buffering;
use crate::entry::{leaves, place};
use crate::format::{WRITE_PRECISION, push_integer, push_real};
use crate::value::array;

leaves! {
    WriteInteger(local, value: i64) {
        local.write(|text| push_integer(text, value));
    }
    WriteReal(local, value: f64) {
        local.write(|text| push_real(text, value, WRITE_PRECISION));
    }
    WriteChar(local, value: u64) {
        local.write(|text| text.push(value as u8));
    }
    WriteString(local, string: u64) {
        local.write(|text| text.extend_from_slice(array::string_bytes(place(string))));
    }
    WriteEnd(local, newline: i32) {
        local.end_write(newline != 0);
    }

    InOutWriteChar(local, value: u64) {
        local.write(|text| text.push(value as u8));
        local.end_write(false);
    }
    InOutWriteInt(local, value: i32) {
        local.write(|text| push_integer(text, i64::from(value)));
        local.end_write(false);
    }
    InOutWriteLongInt(local, value: i64) {
        local.write(|text| push_integer(text, value));
        local.end_write(false);
    }
    InOutWriteShortInt(local, value: i32) {
        local.write(|text| push_integer(text, i64::from(value)));
        local.end_write(false);
    }
    InOutWriteReal(local, value: f64) {
        local.write(|text| push_real(text, value, WRITE_PRECISION));
        local.end_write(false);
    }
    InOutWriteLongReal(local, value: f64) {
        local.write(|text| push_real(text, value, WRITE_PRECISION));
        local.end_write(false);
    }
    InOutWriteString(local, string: u64) {
        local.write(|text| text.extend_from_slice(array::string_bytes(place(string))));
        local.end_write(false);
    }
    InOutWriteLn(local) {
        local.end_write(true);
    }
    InOutSetBuffering(local, mode: u64) {
        let buffering = match mode as u8 {
            0 => Buffering::Full,
            1 => Buffering::Lines,
            _ => Buffering::None,
        };
        local.with(|state| {
            if !state.muted {
                state.output.set_buffering(buffering);
            }
        });
    }
    InOutFlush(local) {
        local.with(|state| {
            if !state.muted {
                state.output.show_all();
            }
        });
    }
    FinishFinish(local) {
        local.with(|state| {
            if !state.muted {
                state.output.show_all();
            }
        });
    }
}
