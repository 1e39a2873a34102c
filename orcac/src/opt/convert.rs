//! Running minima and maxima without branches: `IF x > largest THEN largest := x; FI` becomes a select, which the machine has as one
//! instruction.
//!
//! Only where the compared values are the old and the new value of the local: then the select costs less than a branch that is foreseen
//! wrongly now and then. NaN and signed zeroes come out as the branch would have it.

use crate::mir::{Function, Inst, Local, Op, Target, Terminator, Value};

use super::flow::Flow;

pub(super) fn run(function: &mut Function) {
    let flow = Flow::of(function);
    for &block in &flow.order {
        if let Some(update) = Update::of(function, &flow, block) {
            update.carry_out(function, block);
        }
    }
}

struct Update {
    local: Local,
    condition: Value,
    new: Value,
    old: Value,
    next: Target,
    line: u32,
}

impl Update {
    fn of(function: &Function, flow: &Flow, block: usize) -> Option<Update> {
        let data = &function.blocks[block];
        let Some(Terminator::Branch(condition, yes, no)) = &data.terminator else {
            return None;
        };
        let yes_block = &function.blocks[yes.block.index()];
        let (
            [
                Inst {
                    op: Op::Set(local, new),
                    line,
                    ..
                },
            ],
            Some(Terminator::Jump(next)),
        ) = (&yes_block.insts[..], &yes_block.terminator)
        else {
            return None;
        };
        let is_only = flow.predecessors[yes.block.index()] == [block];
        if !is_only || !next.arguments.is_empty() || !leads_to(function, no, next) {
            return None;
        }
        let (a, b) = data.insts.iter().find_map(|inst| match inst.op {
            Op::Compare(_, a, b) | Op::CompareReal(_, a, b) if inst.result == Some(*condition) => {
                Some((a, b))
            }
            _ => None,
        })?;
        let old = if *new == a { b } else { a };
        if *new != a && *new != b {
            return None;
        }
        let is_old = |inst: &Inst| inst.result == Some(old) && inst.op == Op::Get(*local);
        let get = data.insts.iter().position(is_old)?;
        let is_set = |inst: &Inst| matches!(&inst.op, Op::Set(other, _) if other == local);
        if data.insts[get..].iter().any(is_set) {
            return None;
        }
        Some(Update {
            local: *local,
            condition: *condition,
            new: *new,
            old,
            next: next.clone(),
            line: *line,
        })
    }

    fn carry_out(self, function: &mut Function, block: usize) {
        let ty = function.values[self.new.index()];
        let select = Op::Select(self.condition, self.new, self.old);
        let selected = function.append(block, ty, select, self.line);
        let data = &mut function.blocks[block];
        data.insts.push(Inst {
            result: None,
            op: Op::Set(self.local, selected),
            line: self.line,
        });
        data.terminator = Some(Terminator::Jump(self.next));
    }
}

/// Whether one target is the other, or an empty block before it.
fn leads_to(function: &Function, from: &Target, to: &Target) -> bool {
    if from == to {
        return true;
    }
    let between = &function.blocks[from.block.index()];
    between.insts.is_empty() && between.terminator.as_ref() == Some(&Terminator::Jump(to.clone()))
}
