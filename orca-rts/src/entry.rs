//! The functions that compiled code calls: the leaf entries, and the table of stubs.
//!
//! A leaf entry checks nothing that the compiler guarantees, works, and returns; a run-time error is noted in the control block, and the stub
//! leaves compiled code. A panic is a defect of the run-time system and does the same. Functions carry the names of their entries,
//! and the compiler of this file checks each against its signature in [`orca_abi::symbols`].
#![allow(unsafe_code, reason = "called by compiled code with raw pointers")]
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use orca_abi::control::Control;
use orca_abi::descriptor::Object;
use orca_abi::symbols::ENTRY_COUNT;
use orca_abi::types::Type;

use crate::builtin::local::{INTERNAL_ERROR, Local};
use crate::value::describe::{object_at, type_at};
use crate::value::place::Place;

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// Runs the body of a leaf entry; a panic makes the stub leave compiled code.
pub(crate) fn leaf<R: Default>(control: *mut Control, body: impl FnOnce(Local) -> R) -> R {
    // SAFETY: stubs pass the control block of the running processor.
    let local = unsafe { Local::of(control) };
    match catch_unwind(AssertUnwindSafe(|| body(local))) {
        Ok(result) => result,
        Err(payload) => {
            let text = panic_text(&*payload);
            local.with(|state| state.failure = Some(text));
            local.raise_code(INTERNAL_ERROR, u32::MAX);
            R::default()
        }
    }
}

/// An address that compiled code passed.
pub(crate) fn place(address: u64) -> Place {
    // SAFETY: compiled code passes addresses of live values.
    unsafe { Place::new(address as *mut u8) }
}

/// A type that compiled code passed.
pub(crate) fn kind(address: u64) -> &'static Type {
    type_at(address as *const Type)
}

/// An object type that compiled code passed.
pub(crate) fn object_type(address: u64) -> &'static Object {
    object_at(address as *const Object)
}

/// Declares leaf entries: the first parameter becomes the processor's local state.
macro_rules! leaves {
    ($($name:ident($local:ident $(, $argument:ident: $word:ty)*) $(-> $result:ty)? $body:block)*) => {
        $(pub(crate) extern "C" fn $name(
            control: *mut orca_abi::control::Control,
            $($argument: $word),*
        ) $(-> $result)? {
            $crate::entry::leaf(control, |$local| $body)
        })*
    };
}
pub(crate) use leaves;

/// All leaf entries under one roof.
mod all {
    pub(crate) use crate::builtin::args::*;
    pub(crate) use crate::builtin::conversions::*;
    pub(crate) use crate::builtin::in_out::*;
    pub(crate) use crate::builtin::math::*;
    pub(crate) use crate::builtin::time::*;
    pub(crate) use crate::builtin::values::*;
}

/// The machine type of a word as Rust sees it. A byte comes as a word of which only the low byte counts.
macro_rules! word {
    (I8) => { u64 };
    (I16) => { u64 };
    (I32) => { i32 };
    (I64) => { i64 };
    (F32) => { f32 };
    (F64) => { f64 };
    (Pointer) => { u64 };
}

macro_rules! stub {
    ($id:ident Leaf) => {
        $crate::process::switch::leaf_stub!($id, crate::entry::all::$id);
    };
    ($id:ident Waiting) => {
        $crate::process::switch::request_stub!($id, orca_abi::symbols::Entry::$id);
    };
    ($id:ident Final) => {
        $crate::process::switch::request_stub!($id, orca_abi::symbols::Entry::$id);
    };
    ($id:ident Poll) => {
        $crate::process::switch::poll_stub!($id, orca_abi::symbols::Entry::$id);
    };
}

macro_rules! check_signature {
    ($id:ident Leaf ($($word:ident),*)) => {
        const _: extern "C" fn(*mut Control, $(word!($word)),*) = all::$id;
    };
    ($id:ident Leaf ($($word:ident),*) $result:ident) => {
        const _: extern "C" fn(*mut Control, $(word!($word)),*) -> word!($result) = all::$id;
    };
    ($id:ident $class:ident $($rest:tt)*) => {};
}

macro_rules! table {
    ($(($id:ident $class:ident ($($word:ident),*) $($result:ident)?))*) => {
        /// One stub an entry.
        mod stub {
            $(stub!($id $class);)*
        }

        $(check_signature!($id $class ($($word),*) $($result)?);)*

        /// The addresses of all stubs, in the order of the entries.
        pub(crate) fn stub_addresses() -> [u64; ENTRY_COUNT] {
            [$(stub::$id as *const () as u64),*]
        }
    };
}

orca_abi::with_entries!(table);
