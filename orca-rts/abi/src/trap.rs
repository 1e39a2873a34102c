//! Run-time errors of Orca programs: their codes and their texts (ORCA.md section 10).

/// Why a program was ended by a run-time error.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trap {
    FromEmpty = 1,
    ArrayBound = 2,
    LocalDeadlock = 3,
    BadNodename = 4,
    UnionError = 5,
    IllegalCpu = 6,
    CaseError = 7,
    IllegalAlias = 8,
    AssertionFailed = 9,
    NoReturn = 10,
    DivideByZero = 11,
    RangeError = 12,
    ModuloByZero = 13,
    UninitialisedFunction = 14,
    ShiftCount = 15,
    Deadlock = 16,
    StackOverflow = 17,
    OutOfMemory = 18,
    /// An object whose operations read input or a clock was shared; it cannot be replicated.
    NotReplicable = 19,
    /// A library function failed; the text is its own.
    Library = 20,
}

impl Trap {
    /// Every trap, in the order of the codes.
    pub const ALL: [Trap; 20] = [
        Trap::FromEmpty,
        Trap::ArrayBound,
        Trap::LocalDeadlock,
        Trap::BadNodename,
        Trap::UnionError,
        Trap::IllegalCpu,
        Trap::CaseError,
        Trap::IllegalAlias,
        Trap::AssertionFailed,
        Trap::NoReturn,
        Trap::DivideByZero,
        Trap::RangeError,
        Trap::ModuloByZero,
        Trap::UninitialisedFunction,
        Trap::ShiftCount,
        Trap::Deadlock,
        Trap::StackOverflow,
        Trap::OutOfMemory,
        Trap::NotReplicable,
        Trap::Library,
    ];

    /// The trap with this code.
    pub fn from_code(code: u32) -> Option<Trap> {
        Trap::ALL.into_iter().find(|trap| trap.code() == code)
    }

    /// The number that compiled code passes to `Entry::Trap`; never zero.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The text of the message.
    pub const fn text(self) -> &'static str {
        match self {
            Trap::FromEmpty => "FROM on empty set or bag",
            Trap::ArrayBound => "array bound error",
            Trap::LocalDeadlock => "local deadlock",
            Trap::BadNodename => "bad nodename",
            Trap::UnionError => "union error",
            Trap::IllegalCpu => "illegal cpu number",
            Trap::CaseError => "case error",
            Trap::IllegalAlias => "illegal alias",
            Trap::AssertionFailed => "assertion failed",
            Trap::NoReturn => "no RETURN from function procedure/operation",
            Trap::DivideByZero => "divide by 0",
            Trap::RangeError => "range error in CHR or VAL",
            Trap::ModuloByZero => "modulo by <= 0",
            Trap::UninitialisedFunction => "uninitialised function variable",
            Trap::ShiftCount => "shift count out of range",
            Trap::Deadlock => "deadlock",
            Trap::StackOverflow => "stack overflow",
            Trap::OutOfMemory => "out of memory",
            Trap::NotReplicable => {
                "an object that reads input or a clock cannot be shared (single-copy objects are not supported yet)"
            }
            Trap::Library => "error in a library function",
        }
    }
}
