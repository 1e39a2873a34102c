//! What things are called in the text form: one table a vocabulary.

use orca_abi::descriptor::{
    DOES_OUTPUT, HAS_READ, HAS_WRITE, MAY_BLOCK, Mode, PURE_WRITE, SINGLE_COPY_ONLY,
};
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;
use orca_abi::types::{BITWISE_EQUAL, HAS_OBJECT, Kind, PLAIN};

use crate::mir::{Binary, Compare, CompareReal, Context, ControlField, Region, Ty, Unary};

pub(super) type Names<T> = &'static [(T, &'static str)];

/// The name of something that its table holds.
pub(super) fn name<T: PartialEq + Copy>(names: Names<T>, wanted: T) -> &'static str {
    names
        .iter()
        .find(|(item, _)| *item == wanted)
        .map_or("?", |(_, name)| name)
}

/// What has this name.
pub(super) fn item<T: Copy>(names: Names<T>, wanted: &str) -> Option<T> {
    names
        .iter()
        .find(|(_, name)| *name == wanted)
        .map(|(item, _)| *item)
}

/// What an entry is called in text.
pub(super) fn name_of_entry(entry: Entry) -> &'static str {
    entry.signature().name
}

/// What a trap is called in text.
pub(super) fn name_of_trap(trap: Trap) -> &'static str {
    name(TRAPS, trap)
}

pub(super) const TYPES: Names<Ty> = &[
    (Ty::I8, "i8"),
    (Ty::I16, "i16"),
    (Ty::I32, "i32"),
    (Ty::I64, "i64"),
    (Ty::F32, "f32"),
    (Ty::F64, "f64"),
];

pub(super) const KINDS: Names<Kind> = &[
    (Kind::Byte, "byte"),
    (Kind::LongEnum, "long_enum"),
    (Kind::ShortInt, "shortint"),
    (Kind::Integer, "integer"),
    (Kind::LongInt, "longint"),
    (Kind::ShortReal, "shortreal"),
    (Kind::Real, "real"),
    (Kind::Nodename, "nodename"),
    (Kind::Array, "array"),
    (Kind::FixedArray, "fixed_array"),
    (Kind::Record, "record"),
    (Kind::Set, "set"),
    (Kind::Bag, "bag"),
    (Kind::Graph, "graph"),
    (Kind::Object, "object"),
    (Kind::Function, "function"),
];

pub(super) const TYPE_FLAGS: Names<u32> = &[
    (PLAIN, "plain"),
    (BITWISE_EQUAL, "bitwise_equal"),
    (HAS_OBJECT, "has_object"),
];

pub(super) const OBJECT_FLAGS: Names<u32> = &[(SINGLE_COPY_ONLY, "single_copy_only")];

pub(super) const OPERATION_FLAGS: Names<u32> = &[
    (HAS_READ, "has_read"),
    (HAS_WRITE, "has_write"),
    (MAY_BLOCK, "may_block"),
    (PURE_WRITE, "pure_write"),
    (DOES_OUTPUT, "does_output"),
];

pub(super) const MODES: Names<Mode> = &[
    (Mode::In, "in"),
    (Mode::Out, "out"),
    (Mode::Shared, "shared"),
];

pub(super) const CONTEXTS: Names<Context> = &[
    (Context::Process, "process"),
    (Context::Operation, "operation"),
];

pub(super) const REGIONS: Names<Region> = &[
    (Region::Data, "data"),
    (Region::Head, "head"),
    (Region::Object, "object"),
    (Region::Control, "control"),
    (Region::Constant, "constant"),
];

pub(super) const CONTROL_FIELDS: Names<ControlField> = &[
    (ControlField::Ncpus, "ncpus"),
    (ControlField::Mycpu, "mycpu"),
    (ControlField::Data, "data"),
];

pub(super) const UNARY: Names<Unary> = &[
    (Unary::SignExtend, "sign_extend"),
    (Unary::ZeroExtend, "zero_extend"),
    (Unary::Truncate, "truncate"),
    (Unary::ToReal, "to_real"),
    (Unary::ToInteger, "to_integer"),
    (Unary::ConvertReal, "convert_real"),
    (Unary::Negate, "negate"),
    (Unary::NegateReal, "negate_real"),
    (Unary::AbsoluteReal, "absolute_real"),
    (Unary::Complement, "complement"),
    (Unary::SquareRoot, "square_root"),
];

pub(super) const BINARY: Names<Binary> = &[
    (Binary::Add, "add"),
    (Binary::Subtract, "subtract"),
    (Binary::Multiply, "multiply"),
    (Binary::Divide, "divide"),
    (Binary::Modulo, "modulo"),
    (Binary::And, "and"),
    (Binary::Or, "or"),
    (Binary::Xor, "xor"),
    (Binary::ShiftLeft, "shift_left"),
    (Binary::ShiftRight, "shift_right"),
    (Binary::Minimum, "minimum"),
    (Binary::Maximum, "maximum"),
    (Binary::AddReal, "add_real"),
    (Binary::SubtractReal, "subtract_real"),
    (Binary::MultiplyReal, "multiply_real"),
    (Binary::DivideReal, "divide_real"),
];

pub(super) const COMPARE: Names<Compare> = &[
    (Compare::Equal, "equal"),
    (Compare::NotEqual, "not_equal"),
    (Compare::Less, "less"),
    (Compare::LessEqual, "less_equal"),
    (Compare::Greater, "greater"),
    (Compare::GreaterEqual, "greater_equal"),
    (Compare::Below, "below"),
    (Compare::BelowEqual, "below_equal"),
    (Compare::Above, "above"),
    (Compare::AboveEqual, "above_equal"),
];

pub(super) const COMPARE_REAL: Names<CompareReal> = &[
    (CompareReal::Equal, "equal_real"),
    (CompareReal::NotEqual, "not_equal_real"),
    (CompareReal::Less, "less_real"),
    (CompareReal::LessEqual, "less_equal_real"),
    (CompareReal::Greater, "greater_real"),
    (CompareReal::GreaterEqual, "greater_equal_real"),
];

pub(super) const TRAPS: Names<Trap> = &[
    (Trap::FromEmpty, "from_empty"),
    (Trap::ArrayBound, "array_bound"),
    (Trap::LocalDeadlock, "local_deadlock"),
    (Trap::BadNodename, "bad_nodename"),
    (Trap::UnionError, "union_error"),
    (Trap::IllegalCpu, "illegal_cpu"),
    (Trap::CaseError, "case_error"),
    (Trap::IllegalAlias, "illegal_alias"),
    (Trap::AssertionFailed, "assertion_failed"),
    (Trap::NoReturn, "no_return"),
    (Trap::DivideByZero, "divide_by_zero"),
    (Trap::RangeError, "range_error"),
    (Trap::ModuloByZero, "modulo_by_zero"),
    (Trap::UninitialisedFunction, "uninitialised_function"),
    (Trap::ShiftCount, "shift_count"),
    (Trap::Deadlock, "deadlock"),
    (Trap::StackOverflow, "stack_overflow"),
    (Trap::OutOfMemory, "out_of_memory"),
    (Trap::NotReplicable, "not_replicable"),
    (Trap::Library, "library"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_has_a_name() {
        for trap in Trap::ALL {
            assert_eq!(item(TRAPS, name_of_trap(trap)), Some(trap));
        }
    }
}
