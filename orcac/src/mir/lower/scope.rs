//! Who owns what: scopes of temporaries and variables, freed on every way out.
//!
//! A scope lists what must be freed when control leaves it. Leaving by falling through pops the scope; EXIT and RETURN emit the same code
//! for all scopes they leave without popping them. Only values with parts on the heap, and large values that live in a heap block, need
//! anything at all. The frame memory of temporaries is used again once their scope is gone.

use orca_abi::symbols::Entry;

use super::routine::Body;
use crate::hir;
use crate::mir::build::Address;
use crate::mir::{self, Slot, Ty, Value};
use crate::source::Span;

/// Variables and temporaries with more inline bytes live in heap blocks.
pub(super) const FRAME_VALUE_SIZE_MAX: u64 = 4096;

/// Where a variable or temporary lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Storage {
    Slot(Slot),
    /// At a pointer that dominates all uses.
    Pointer(Value),
}

/// One thing to do when a scope is left.
#[derive(Clone, Copy, Debug)]
enum Cleanup {
    /// Free the parts of a value.
    Value(mir::TypeId, Storage),
    /// Free a heap block of this size.
    Block(Value, u64),
}

/// What must be freed when control leaves.
#[derive(Default)]
pub(super) struct Scope {
    cleanups: Vec<Cleanup>,
    /// Frame memory to use again: slot, size, alignment.
    slots: Vec<(Slot, u64, u32)>,
}

impl<'a> Body<'_, 'a> {
    pub(super) fn push_scope(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Leaves the innermost scope by falling through.
    pub(super) fn pop_scope(&mut self) {
        let scope = self.scopes.pop().expect("scopes are popped once");
        if self.b.is_open() {
            self.clean(&scope.cleanups);
        }
        self.free_slots.extend(scope.slots);
    }

    /// Runs `f` in a scope of its own.
    pub(super) fn scoped<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        self.push_scope();
        let result = f(self);
        self.pop_scope();
        result
    }

    /// Emits what leaving all scopes above `depth` asks for; the scopes stay.
    pub(super) fn unwind(&mut self, depth: usize) {
        let cleanups: Vec<Cleanup> = self.scopes[depth..]
            .iter()
            .flat_map(|scope| scope.cleanups.iter().copied())
            .collect();
        self.clean(&cleanups);
    }

    /// Zeroed memory for a value that the current scope owns. Not created yet: no bounds, no objects.
    pub(super) fn storage(
        &mut self,
        name: &str,
        ty: hir::TypeId,
        temporary: bool,
        span: Span,
    ) -> Storage {
        let (size, align) = {
            let of = self.cx.layouts.of(ty);
            (of.size, of.align)
        };
        let storage = if size > FRAME_VALUE_SIZE_MAX {
            let bytes = self.b.int(Ty::I64, size as i64);
            let site = self.site(span);
            let block = self
                .b
                .entry(Entry::BlockNew, vec![bytes, site])
                .expect("BlockNew has a result");
            self.own(Cleanup::Block(block, size));
            Storage::Pointer(block)
        } else {
            let slot = if temporary {
                self.scratch(name, size, align)
            } else {
                self.b.slot(name, size, align)
            };
            let address = self.b.slot_address(slot);
            self.b.zero(address, size);
            Storage::Slot(slot)
        };
        if !self.cx.layouts.plain(ty) {
            let id = self.cx.layouts.id(ty);
            self.own(Cleanup::Value(id, storage));
        }
        storage
    }

    /// A zeroed temporary of the current scope, live (objects in it have cells), to be assigned once.
    pub(super) fn temporary(&mut self, ty: hir::TypeId, span: Span) -> Address {
        let storage = self.storage("temporary", ty, true, span);
        let address = self.storage_address(storage);
        self.create_cells(ty, address, span);
        address
    }

    pub(super) fn storage_address(&mut self, storage: Storage) -> Address {
        match storage {
            Storage::Slot(slot) => self.b.slot_address(slot),
            Storage::Pointer(pointer) => Address::new(pointer),
        }
    }

    /// Frame memory until the current scope ends; its contents are whatever they are.
    pub(super) fn scratch(&mut self, name: &str, size: u64, align: u32) -> Slot {
        let fits = |&(_, s, a): &(Slot, u64, u32)| s == size && a == align;
        let slot = match self.free_slots.iter().position(fits) {
            Some(position) => self.free_slots.swap_remove(position).0,
            None => self.b.slot(name, size, align),
        };
        let scope = self.scopes.last_mut().expect("code is lowered in a scope");
        scope.slots.push((slot, size, align));
        slot
    }

    fn own(&mut self, cleanup: Cleanup) {
        let scope = self.scopes.last_mut().expect("code is lowered in a scope");
        scope.cleanups.push(cleanup);
    }

    /// Last created, first freed.
    fn clean(&mut self, cleanups: &[Cleanup]) {
        for cleanup in cleanups.iter().rev() {
            match *cleanup {
                Cleanup::Value(ty, storage) => {
                    let address = self.storage_address(storage);
                    let pointer = self.b.pointer(address);
                    let ty = self.type_address(ty);
                    self.b.entry(Entry::ValueFree, vec![ty, pointer]);
                }
                Cleanup::Block(block, size) => {
                    let bytes = self.b.int(Ty::I64, size as i64);
                    self.b.entry(Entry::BlockFree, vec![block, bytes]);
                }
            }
        }
    }
}
