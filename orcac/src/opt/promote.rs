//! Locals that are set once become values.
//!
//! The set must dominate every get. Parameters that are never assigned are the common case: afterwards everybody sees that they do not
//! change. What is set more often stays a local; Cranelift makes values of it.

use crate::mir::{Function, Op, Value};

use super::flow::Flow;

pub(super) fn run(function: &mut Function) {
    let flow = Flow::of(function);
    let mut sets: Vec<Vec<(usize, usize, Value)>> = vec![Vec::new(); function.locals.len()];
    for &block in &flow.order {
        for (index, inst) in function.blocks[block].insts.iter().enumerate() {
            if let Op::Set(local, value) = &inst.op {
                sets[local.index()].push((block, index, *value));
            }
        }
    }
    let mut once: Vec<Option<(usize, usize, Value)>> = sets
        .iter()
        .map(|sets| {
            if let [only] = sets[..] {
                Some(only)
            } else {
                None
            }
        })
        .collect();
    for &block in &flow.order {
        for (index, inst) in function.blocks[block].insts.iter().enumerate() {
            if let Op::Get(local) = &inst.op
                && let Some((set_block, set_index, _)) = once[local.index()]
            {
                let is_after = if block == set_block {
                    index > set_index
                } else {
                    flow.dominates(set_block, block)
                };
                if !is_after {
                    once[local.index()] = None;
                }
            }
        }
    }
    let mut replaced: Vec<Option<Value>> = vec![None; function.values.len()];
    // In this order a value that was itself a get is known before it is set.
    for &block in &flow.order {
        let insts = &mut function.blocks[block].insts;
        insts.retain_mut(|inst| {
            inst.op
                .map_operands(&mut |value| replaced[value.index()].unwrap_or(value));
            match &inst.op {
                Op::Get(local) if once[local.index()].is_some() => {
                    let (_, _, value) = once[local.index()].expect("checked");
                    let value = replaced[value.index()].unwrap_or(value);
                    replaced[inst.result.expect("a get").index()] = Some(value);
                    false
                }
                Op::Set(local, _) => once[local.index()].is_none(),
                _ => true,
            }
        });
    }
    for block in &mut function.blocks {
        let replace = &mut |value: Value| replaced[value.index()].unwrap_or(value);
        block
            .insts
            .iter_mut()
            .for_each(|inst| inst.op.map_operands(replace));
        if let Some(terminator) = &mut block.terminator {
            terminator.map_operands(replace);
        }
    }
}
