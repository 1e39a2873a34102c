//! Checks and polls: the tests that stay in the code, and the rare paths behind them.

use std::mem::offset_of;

use cranelift_codegen::ir::{self, InstBuilder, TrapCode, types};
use orca_abi::control::Control;
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;

use super::body::Body;
use crate::mir::{Region, Site, Value};

impl Body<'_, '_> {
    /// Goes on if the condition is zero.
    pub(super) fn check(&mut self, condition: Value, trap: Trap, site: Site) {
        let condition = self.value(condition);
        let failed = self.trap_block(trap, site);
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, failed, &[], next, &[]);
        self.builder.switch_to_block(next);
    }

    /// The block that reports this trap; all checks of one place share it.
    pub(super) fn trap_block(&mut self, trap: Trap, site: Site) -> ir::Block {
        if let Some(block) = self.traps.get(&(trap, site)) {
            return *block;
        }
        let block = self.builder.create_block();
        self.builder.set_cold_block(block);
        self.traps.insert((trap, site), block);
        block
    }

    /// Fills the blocks that checks go to.
    pub(super) fn fill_traps(&mut self) {
        for ((trap, site), block) in std::mem::take(&mut self.traps) {
            self.builder.switch_to_block(block);
            let line = self.names.program.sites[site.index()].line;
            self.builder.set_srcloc(ir::SourceLoc::new(line));
            let code = self
                .builder
                .ins()
                .iconst(types::I32, i64::from(trap.code()));
            let site = self.builder.ins().iconst(types::I32, i64::from(site.0));
            self.call_entry(Entry::Trap, &[code, site]);
            self.unreachable();
        }
    }

    /// After something that does not return.
    pub(super) fn unreachable(&mut self) {
        self.builder.ins().trap(TrapCode::unwrap_user(1));
    }

    /// Looks at the flag; the call is out of the way and changes no register.
    ///
    /// The load is atomic: an ordinary one could be taken out of a loop. It also keeps whatever was loaded before from being used
    /// after the poll.
    pub(super) fn poll(&mut self) {
        const { assert!(offset_of!(Control, poll) == 0) };
        let control = self.control();
        let flags = self.regions.flags(Region::Control);
        let flag = self.builder.ins().atomic_load(types::I32, flags, control);
        let wanted = self.builder.create_block();
        let next = self.builder.create_block();
        self.builder.set_cold_block(wanted);
        self.builder.ins().brif(flag, wanted, &[], next, &[]);
        self.builder.switch_to_block(wanted);
        self.call_entry(Entry::Poll, &[]);
        self.builder.ins().jump(next, &[]);
        self.builder.switch_to_block(next);
    }
}
