//! Module args: the command line and the environment.
//!
//! `Argv(0)` is the program's name; there is nothing from `Argv(Argc())` on.
//!
//! Implements: ORCA 11 (args).
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::entry::{leaves, place};
use crate::value::array;

leaves! {
    ArgsArgc(local) -> i32 {
        local.with(|state| state.arguments.len() as i32)
    }
    ArgsArgv(local, index: i32, result: u64) {
        let argument = local.with(|state| {
            usize::try_from(index).ok().and_then(|index| state.arguments.get(index).cloned())
        });
        let bytes = argument.unwrap_or_default();
        local.check(array::set_string(local.heap(), place(result), &bytes), u32::MAX);
    }
    ArgsGetenv(local, name: u64, result: u64) {
        let name = std::ffi::OsStr::from_bytes(array::string_bytes(place(name)));
        let named = !name.is_empty() && !name.as_bytes().contains(&b'=') && !name.as_bytes().contains(&0);
        let bytes = if named {
            std::env::var_os(name).map(|value| value.into_vec()).unwrap_or_default()
        } else {
            Vec::new()
        };
        local.check(array::set_string(local.heap(), place(result), &bytes), u32::MAX);
    }
}
