//! Heads of arrays are read before a loop, not in it.
//!
//! A load moves if nothing in the loop may write heads and its address can be read before the loop: it was computed there, behind whatever
//! checks it needs, or it is a parameter, a slot, a constant or the data-module variables, plus constants. Gets of locals that the loop does not set move likewise, and so does the arithmetic that these need.
//! A check moves if its condition does not change and it is what the loop does first: a rotated loop is entered only to be
//! executed, so the same trap comes at the same time.

use std::collections::BTreeSet;

use crate::mir::{ControlField, Function, Inst, Op, Region, Value};

use super::common::changes_heads;
use super::flow::{Loop, for_each_loop};

pub(super) fn run(function: &mut Function) {
    // What has come out of a loop may have left the check that it needs behind.
    let mut unchecked = BTreeSet::new();
    for_each_loop(function, &mut |function, flow, around, preheader| {
        let order: Vec<usize> = flow
            .order
            .iter()
            .copied()
            .filter(|block| around.body.contains(block))
            .collect();
        hoist(function, around, &order, preheader, &mut unchecked);
    });
}

fn hoist(
    function: &mut Function,
    around: &Loop,
    order: &[usize],
    preheader: usize,
    unchecked: &mut BTreeSet<Value>,
) {
    let mut invariant = Invariants::of(function, around, unchecked);
    let mut moved: Vec<Inst> = Vec::new();
    for &block in order {
        let is_header = block == around.header;
        // Whether the loop has done nothing yet that anybody could see.
        let mut is_first = is_header;
        let mut kept = Vec::new();
        for inst in std::mem::take(&mut function.blocks[block].insts) {
            if invariant.moves(&inst, is_first) {
                if let Some(result) = inst.result {
                    invariant.add(result, &inst.op);
                    unchecked.insert(result);
                }
                moved.push(inst);
            } else {
                is_first &= inst.op.is_pure()
                    || matches!(inst.op, Op::Get(_) | Op::Load { .. } | Op::Control(_));
                kept.push(inst);
            }
        }
        function.blocks[block].insts = kept;
    }
    function.blocks[preheader].insts.append(&mut moved);
}

/// What does not change in a loop.
struct Invariants {
    /// By value: defined outside, or moved out.
    values: Vec<bool>,
    /// By value: an address that can be read at any time, within its object.
    safe: Vec<bool>,
    /// By value: an integer constant.
    constant: Vec<bool>,
    /// By local: not set in the loop.
    locals: Vec<bool>,
    heads: bool,
}

impl Invariants {
    fn of(function: &Function, around: &Loop, unchecked: &BTreeSet<Value>) -> Invariants {
        let count = function.values.len();
        let mut this = Invariants {
            values: vec![true; count],
            safe: vec![false; count],
            constant: vec![false; count],
            locals: vec![true; function.locals.len()],
            heads: true,
        };
        for &parameter in &function.blocks[0].parameters {
            this.safe[parameter.index()] = true;
        }
        let blocks = super::flow::Flow::of(function).order;
        for block in blocks {
            let is_inside = around.body.contains(&block);
            let data = &function.blocks[block];
            if is_inside {
                data.parameters
                    .iter()
                    .for_each(|value| this.values[value.index()] = false);
            }
            for inst in &data.insts {
                if let Some(result) = inst.result {
                    this.values[result.index()] = !is_inside;
                    this.note(result, &inst.op);
                    if !is_inside && !unchecked.contains(&result) {
                        this.safe[result.index()] = true;
                    }
                }
                if is_inside {
                    if let Op::Set(local, _) = &inst.op {
                        this.locals[local.index()] = false;
                    }
                    this.heads &= !changes_heads(&inst.op, function.context);
                }
            }
        }
        this
    }

    fn note(&mut self, result: Value, op: &Op) {
        use crate::mir::Binary;
        let is_safe = match op {
            Op::SlotAddress(_)
            | Op::BlobAddress(_)
            | Op::TypeAddress(_)
            | Op::Control(ControlField::Data) => true,
            Op::Binary(Binary::Add, a, b) => {
                (self.safe[a.index()] && self.constant[b.index()])
                    || (self.constant[a.index()] && self.safe[b.index()])
            }
            _ => false,
        };
        self.safe[result.index()] = is_safe;
        self.constant[result.index()] = matches!(op, Op::Integer(_));
    }

    fn add(&mut self, result: Value, op: &Op) {
        self.values[result.index()] = true;
        self.note(result, op);
    }

    fn moves(&self, inst: &Inst, is_first: bool) -> bool {
        if !inst
            .op
            .operands()
            .iter()
            .all(|operand| self.values[operand.index()])
        {
            return false;
        }
        match &inst.op {
            Op::Get(local) => self.locals[local.index()],
            Op::Control(_) => true,
            Op::Load {
                address,
                region: Region::Head,
                ..
            } => self.heads && (is_first || self.safe[address.index()]),
            Op::Check { .. } => is_first,
            op => op.is_pure(),
        }
    }
}
