//! Stacks of processes: fixed slots in the arena, each with a guard below.
//!
//! A slot is reserved for good and gets memory only where it is touched. A slot given back is used again, the last one first; the
//! memory of slots beyond the first [`KEPT_COUNT`] waiting ones returns to the operating system.
//!
//! The guard is a guard region where the kernel has them (one system call, no mapping of its own), else a protected page range, of which
//! an operating-system process can have some 32,000.
#![allow(unsafe_code, reason = "protects and releases ranges of the arena")]

/// Bytes of a guard; compiled code probes each page of a larger frame.
pub(crate) const GUARD_BYTES: u64 = 16 << 10;
/// Bytes of a stack unless told otherwise.
pub const STACK_BYTES_DEFAULT: u64 = 1 << 20;
/// Bytes of a stack at least and at most.
const STACK_BYTES_MIN: u64 = 64 << 10;
const STACK_BYTES_MAX: u64 = 512 << 20;
/// Free slots that keep their memory.
const KEPT_COUNT: usize = 256;
/// Bytes at the top of a stack that are kept when the rest is released.
const KEPT_BYTES: u64 = 16 << 10;
/// Newer than the C library's headers: Linux 6.13.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// The stack of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stack {
    slot: u32,
    /// The first address above it, 16-aligned.
    pub(crate) top: u64,
}

/// All slots of a processor.
pub(crate) struct Stacks {
    base: u64,
    /// Bytes from one slot to the next, guard included.
    stride: u64,
    count_max: u32,
    /// Slots ever used, their guards in place.
    used: u32,
    free: Vec<Stack>,
}

impl Stacks {
    /// Divides a range of the arena into slots.
    pub(crate) fn new(base: u64, range_bytes: u64, stack_bytes: u64) -> Stacks {
        let stack_bytes = stack_bytes
            .clamp(STACK_BYTES_MIN, STACK_BYTES_MAX)
            .next_multiple_of(4096);
        let stride = stack_bytes + GUARD_BYTES;
        Stacks {
            base,
            stride,
            count_max: u32::try_from(range_bytes / stride).unwrap_or(u32::MAX),
            used: 0,
            free: Vec::new(),
        }
    }

    /// A stack, or nothing if there is no room for another one.
    pub(crate) fn take(&mut self) -> Option<Stack> {
        if let Some(stack) = self.free.pop() {
            return Some(stack);
        }
        if self.used == self.count_max {
            return None;
        }
        let bottom = self.base + u64::from(self.used) * self.stride;
        if !protect(bottom, GUARD_BYTES) {
            return None;
        }
        let stack = Stack {
            slot: self.used,
            top: bottom + self.stride,
        };
        self.used += 1;
        Some(stack)
    }

    /// Takes back the stack of a process that is gone.
    pub(crate) fn give_back(&mut self, stack: Stack) {
        if self.free.len() >= KEPT_COUNT {
            let bottom = stack.top - self.stride + GUARD_BYTES;
            // SAFETY: nothing lives on this stack any more.
            unsafe {
                libc::madvise(
                    bottom as *mut libc::c_void,
                    (stack.top - KEPT_BYTES - bottom) as usize,
                    libc::MADV_DONTNEED,
                );
            }
        }
        self.free.push(stack);
    }

    /// The address lies in the guard of some stack.
    pub(crate) fn is_guard(&self, address: u64) -> bool {
        let offset = address.wrapping_sub(self.base);
        offset < self.stride * u64::from(self.used) && offset % self.stride < GUARD_BYTES
    }

    /// The first address of the stack that `address` lies in.
    pub(crate) fn bottom_of(&self, address: u64) -> u64 {
        let offset = address.wrapping_sub(self.base);
        address - offset % self.stride + GUARD_BYTES
    }

    /// The end of the stack that `address` lies in.
    pub(crate) fn top_of(&self, address: u64) -> u64 {
        self.bottom_of(address) - GUARD_BYTES + self.stride
    }
}

/// Makes a range trap on every access; says whether it does.
pub(crate) fn protect(start: u64, bytes: u64) -> bool {
    // SAFETY: the range lies in the arena and holds nothing.
    unsafe {
        libc::madvise(start as *mut libc::c_void, bytes as usize, MADV_GUARD_INSTALL) == 0
            || libc::mprotect(start as *mut libc::c_void, bytes as usize, libc::PROT_NONE) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Arena;

    #[test]
    fn stacks_lie_apart_and_are_used_again() {
        let arena = Arena::reserve_from(200).expect("a free range");
        let (base, bytes) = arena.stacks();
        let mut stacks = Stacks::new(base, bytes, STACK_BYTES_DEFAULT);
        let a = stacks.take().expect("room");
        let b = stacks.take().expect("room");
        assert_eq!(b.top - a.top, STACK_BYTES_DEFAULT + GUARD_BYTES);
        assert!(stacks.is_guard(a.top));
        assert!(!stacks.is_guard(a.top - 1));
        assert!(stacks.is_guard(a.top - STACK_BYTES_DEFAULT - 1));
        assert_eq!(stacks.bottom_of(a.top - 8), a.top - STACK_BYTES_DEFAULT);
        assert_eq!(stacks.top_of(a.top - 8), a.top);
        stacks.give_back(a);
        assert_eq!(stacks.take(), Some(a));
    }
}
