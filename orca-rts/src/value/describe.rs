//! Reading what the compiler wrote about a program: types, operations, processes, places in the source.
//!
//! Descriptors are constant data of the program and live as long as it does; here they become references and slices.
#![allow(unsafe_code, reason = "follows pointers in the program's constant data")]

use orca_abi::descriptor::{Object, Operation, Program, Site};
use orca_abi::types::{BITWISE_EQUAL, HAS_OBJECT, Kind, PLAIN, Type};
use orca_abi::value::Dimension;
use orca_abi::{Table, Text};

/// The entries of a table.
pub(crate) fn entries<T>(table: &Table<T>) -> &'static [T] {
    if table.len == 0 {
        return &[];
    }
    // SAFETY: a table of the program's constant data has so many entries.
    unsafe { std::slice::from_raw_parts(table.data, table.len as usize) }
}

/// A name.
pub(crate) fn text(text: &Text) -> &'static str {
    if text.len == 0 {
        return "";
    }
    // SAFETY: a text of the program's constant data has so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(text.data, text.len as usize) };
    str::from_utf8(bytes).unwrap_or("?")
}

/// The type behind a pointer of the program.
pub(crate) fn type_at(pointer: *const Type) -> &'static Type {
    assert!(!pointer.is_null(), "a type is described");
    // SAFETY: type descriptors are constant data of the program.
    unsafe { &*pointer }
}

/// The type behind a pointer of the program that may be null.
pub(crate) fn optional_type(pointer: *const Type) -> Option<&'static Type> {
    (!pointer.is_null()).then(|| type_at(pointer))
}

/// The object type behind a pointer of the program.
pub(crate) fn object_at(pointer: *const Object) -> &'static Object {
    assert!(!pointer.is_null(), "an object type is described");
    // SAFETY: object descriptors are constant data of the program.
    unsafe { &*pointer }
}

/// What the walks over values ask about a type.
pub(crate) trait Describe {
    fn is_plain(&self) -> bool;
    fn has_object(&self) -> bool;
    /// The bytes are the value and nothing but the value: they may be sent as they are.
    fn is_raw(&self) -> bool;
    fn element_type(&self) -> &'static Type;
    fn root_type(&self) -> &'static Type;
    fn object_type(&self) -> &'static Object;
    fn fixed_bounds(&self) -> &'static [Dimension];
    /// Number of elements of a `FixedArray`.
    fn fixed_count(&self) -> u64;
}

impl Describe for Type {
    fn is_plain(&self) -> bool {
        self.flags & PLAIN != 0
    }

    fn has_object(&self) -> bool {
        self.flags & HAS_OBJECT != 0
    }

    fn is_raw(&self) -> bool {
        match self.kind {
            Kind::ShortReal | Kind::Real => true,
            Kind::FixedArray => self.is_plain() && self.element_type().is_raw(),
            _ => self.flags & BITWISE_EQUAL != 0,
        }
    }

    fn element_type(&self) -> &'static Type {
        type_at(self.element)
    }

    fn root_type(&self) -> &'static Type {
        type_at(self.root)
    }

    fn object_type(&self) -> &'static Object {
        object_at(self.object)
    }

    fn fixed_bounds(&self) -> &'static [Dimension] {
        entries(&self.bounds)
    }

    fn fixed_count(&self) -> u64 {
        self.fixed_bounds()
            .iter()
            .map(|dimension| dimension.count as u64)
            .product()
    }
}

/// Why a program cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Compiled for another version of the contract.
    #[error("the program was compiled for version {0} of the run-time system; this is version {version}", version = orca_abi::VERSION)]
    Version(u32),
    /// There is none.
    #[error("there is no program")]
    Missing,
    /// Its data-module variables do not fit.
    #[error("the data-module variables need {0} bytes, which is too much")]
    TooMuchData(u64),
}

/// A compiled program; its descriptors and code live as long as the run.
#[derive(Clone, Copy, Debug)]
pub struct ProgramRef(*const Program);

// SAFETY: descriptors are constant data, written before any processor starts.
unsafe impl Send for ProgramRef {}
// SAFETY: as above.
unsafe impl Sync for ProgramRef {}

impl ProgramRef {
    /// Takes a program over.
    ///
    /// # Safety
    ///
    /// `program` is null, or a descriptor as `orca_abi` says that lives, with its code, until every processor that runs it is gone.
    pub unsafe fn new(program: *const Program) -> Result<ProgramRef, ProgramError> {
        if program.is_null() {
            return Err(ProgramError::Missing);
        }
        // SAFETY: the version comes first in every version of the descriptor.
        let version = unsafe { (*program).version };
        if version != orca_abi::VERSION {
            return Err(ProgramError::Version(version));
        }
        let program = ProgramRef(program);
        let size = program.get().data_size;
        if size > crate::heap::DATA_BYTES_MAX {
            return Err(ProgramError::TooMuchData(size));
        }
        Ok(program)
    }

    pub(crate) fn get(self) -> &'static Program {
        // SAFETY: promised to `new`.
        unsafe { &*self.0 }
    }

    /// An operation of an object type.
    pub(crate) fn operation(object: &'static Object, index: u32) -> &'static Operation {
        &entries(&object.operations)[index as usize]
    }

    /// Where an address of compiled code belongs.
    pub(crate) fn place_of(self, address: u64) -> Option<Site> {
        entries(&self.get().functions).iter().find_map(|function| {
            let offset = address.wrapping_sub(function.code as u64);
            if offset >= u64::from(function.size) {
                return None;
            }
            let lines = entries(&function.lines);
            let after = lines.partition_point(|line| u64::from(line.offset) <= offset);
            let line = lines.get(after.saturating_sub(1)).map_or(0, |line| line.line);
            Some(Site { routine: function.routine, line })
        })
    }

    /// A site by its index.
    pub(crate) fn site(self, index: u32) -> Option<Site> {
        entries(&self.get().sites).get(index as usize).copied()
    }
}
