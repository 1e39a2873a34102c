//! The control block: what compiled code sees of its processor, at the address in r15.

use std::sync::atomic::AtomicU32;

use crate::symbols::ENTRY_COUNT;

/// A request from a waiting or final entry to the worker's loop.
///
/// The stub of entry `entry` stores its argument registers here, saves what the calling convention
/// wants saved on the process's own stack, and switches to the worker. For a waiting entry with a result, the worker stores
/// it in `result` before it resumes the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Which entry was called: an index into [`Control::entries`].
    pub entry: u64,
    /// Integer and pointer arguments after the control block, in order.
    pub integers: [u64; 5],
    /// Floating-point arguments, in order.
    pub floats: [f64; 2],
    /// The result, integer or pointer (bit pattern, zero-extended), or the bits of an f64.
    pub result: u64,
}

/// What compiled code sees of its processor. Fields marked (code) are read by compiled code; the
/// rest belongs to the stubs and the worker.
#[repr(C, align(64))]
pub struct Control {
    /// (code) Not zero when the worker wants the processor: deliveries wait, or a tick passed.
    pub poll: AtomicU32,
    /// Keeps the flag on a cache line of its own.
    pub padding: [u32; 15],
    /// (code) Addresses of the entries' stubs, indexed by [`crate::symbols::Entry`].
    pub entries: [u64; ENTRY_COUNT],
    /// (code) This processor's copy of the data-module variables.
    pub data: *mut u8,
    /// (code) `NCPUS()`.
    pub ncpus: i32,
    /// (code) `MYCPU()`: this processor, or inside an operation the invoker's.
    pub mycpu: i32,
    /// The worker's stack pointer while compiled code runs: where leaf entries run.
    pub worker_sp: u64,
    /// The stack pointer of the compiled code that made the last request.
    pub code_sp: u64,
    /// Where compiled code goes when it leaves for good; belongs to the stubs.
    pub exit: u64,
    /// Not zero after a leaf entry that raised a trap: the stub then leaves compiled code.
    pub trap_code: u32,
    /// The site of that trap: an index into [`crate::descriptor::Program::sites`].
    pub trap_site: u32,
    /// The last request.
    pub request: Request,
    /// The run-time system's own state; compiled code never looks at it.
    pub owner: u64,
}
