//! Where objects live: the one module that decides.
//!
//! Today every shared object is replicated on all processors; the only question is whether an object may be.
//! `Strategy` is checked and otherwise ignored.
//!
//! Implements: [Thesis §4.3.1] replication, without migration; ORCA 8.2, 13.6.
//! Differs: no single-copy objects yet.

use orca_abi::descriptor::{Object, SINGLE_COPY_ONLY};

/// An object of this type may become shared on so many processors.
pub(crate) fn may_share(object: &Object, processors: u32) -> bool {
    // With one processor there is one copy whatever the operations do.
    processors == 1 || object.flags & SINGLE_COPY_ONLY == 0
}

/// `Strategy(object, replicate, cpu)` names a processor that exists, or needs none.
pub(crate) fn is_strategy_legal(replicate: i32, cpu: i32, processors: u32) -> bool {
    replicate != 0 || u32::try_from(cpu).is_ok_and(|cpu| cpu < processors)
}
