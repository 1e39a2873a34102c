//! What control flow looks like: predecessors, dominators, loops; and preheaders where there are none.

use std::collections::{BTreeMap, BTreeSet};

use crate::mir::verify::{dominators, reverse_postorder};
use crate::mir::{Block, BlockData, Function, Target, Terminator};

/// Control flow of a function as it is now.
pub(super) struct Flow {
    /// The blocks that can be reached, dominators before what they dominate.
    pub(super) order: Vec<usize>,
    pub(super) predecessors: Vec<Vec<usize>>,
    dominators: Vec<Option<usize>>,
    /// By block: where a walk of the tree of dominators enters and leaves it.
    spans: Vec<(u32, u32)>,
}

impl Flow {
    pub(super) fn of(function: &Function) -> Flow {
        let order = reverse_postorder(function);
        let mut predecessors = vec![Vec::new(); function.blocks.len()];
        for &block in &order {
            for (target, _) in terminator(function, block).targets() {
                predecessors[target.index()].push(block);
            }
        }
        let dominators = dominators(function);
        let spans = spans(&order, &dominators);
        Flow {
            order,
            predecessors,
            dominators,
            spans,
        }
    }

    /// The immediate dominator; none for the entry block.
    pub(super) fn dominator(&self, block: usize) -> Option<usize> {
        self.dominators[block].filter(|dominator| *dominator != block)
    }

    /// Both can be reached.
    pub(super) fn dominates(&self, by: usize, block: usize) -> bool {
        let (enter, leave) = self.spans[by];
        (enter..=leave).contains(&self.spans[block].0)
    }

    /// The natural loops, inner ones before those around them.
    pub(super) fn loops(&self) -> Vec<Loop> {
        let mut latches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &block in &self.order {
            for &predecessor in &self.predecessors[block] {
                if self.dominates(block, predecessor) {
                    latches.entry(block).or_default().push(predecessor);
                }
            }
        }
        let mut loops: Vec<Loop> = latches
            .into_iter()
            .map(|(header, latches)| Loop {
                header,
                body: self.body(header, &latches),
                latches,
            })
            .collect();
        loops.sort_by_key(|found| found.body.len());
        loops
    }

    fn body(&self, header: usize, latches: &[usize]) -> BTreeSet<usize> {
        let mut body = BTreeSet::from([header]);
        let mut waiting = latches.to_vec();
        while let Some(block) = waiting.pop() {
            if body.insert(block) {
                waiting.extend_from_slice(&self.predecessors[block]);
            }
        }
        body
    }
}

fn spans(order: &[usize], dominators: &[Option<usize>]) -> Vec<(u32, u32)> {
    let mut sizes = vec![0; dominators.len()];
    let parent = |block: usize| dominators[block].filter(|dominator| *dominator != block);
    for &block in order.iter().rev() {
        sizes[block] += 1;
        if let Some(parent) = parent(block) {
            sizes[parent] += sizes[block];
        }
    }
    // Parents come before their children in the order, and give each its part of their own span.
    let mut spans = vec![(0, 0); dominators.len()];
    let mut next_free = vec![0; dominators.len()];
    for &block in order {
        let enter = match parent(block) {
            Some(parent) => {
                let enter = next_free[parent];
                next_free[parent] += sizes[block];
                enter
            }
            None => 0,
        };
        spans[block] = (enter, enter + sizes[block] - 1);
        next_free[block] = enter + 1;
    }
    spans
}

fn terminator(function: &Function, block: usize) -> &Terminator {
    function.blocks[block]
        .terminator
        .as_ref()
        .expect("a finished function")
}

/// A natural loop.
pub(super) struct Loop {
    pub(super) header: usize,
    /// With the header.
    pub(super) body: BTreeSet<usize>,
    /// The blocks that jump back to the header.
    pub(super) latches: Vec<usize>,
}

/// Blocks times loops of functions that are looked through loop by loop; only generated programs have larger ones.
const LOOP_WORK_MAX: usize = 1 << 19;

/// Calls `work` once for every loop, inner ones first, with a preheader: a new block through which alone the loop is entered.
pub(super) fn for_each_loop(
    function: &mut Function,
    work: &mut dyn FnMut(&mut Function, &Flow, &Loop, usize),
) {
    let mut seen = BTreeSet::new();
    loop {
        let flow = Flow::of(function);
        if seen.len() * function.blocks.len() > LOOP_WORK_MAX {
            return;
        }
        let next = flow
            .loops()
            .into_iter()
            .find(|found| !seen.contains(&found.header));
        let Some(next) = next else {
            return;
        };
        seen.insert(next.header);
        let preheader = add_preheader(function, &flow, &next);
        // The new block changes nothing about the blocks of the loop.
        work(function, &flow, &next, preheader);
    }
}

fn add_preheader(function: &mut Function, flow: &Flow, around: &Loop) -> usize {
    let header = Block(u32::try_from(around.header).expect("few blocks"));
    let parameters = function.blocks[around.header].parameters.clone();
    let parameters: Vec<_> = parameters
        .iter()
        .map(|parameter| function.new_value(function.values[parameter.index()]))
        .collect();
    let jump = Terminator::Jump(Target {
        block: header,
        arguments: parameters.clone(),
    });
    let cold = function.blocks[around.header].cold;
    let preheader = function.new_block(BlockData {
        parameters,
        insts: Vec::new(),
        terminator: Some(jump),
        cold,
    });
    for &predecessor in &flow.predecessors[around.header] {
        if !around.body.contains(&predecessor) {
            let terminator = function.blocks[predecessor]
                .terminator
                .as_mut()
                .expect("finished");
            terminator.map_blocks(&|block| if block == header { preheader } else { block });
        }
    }
    preheader.index()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mir::text::parse;

    #[test]
    fn dominance_follows_the_tree_and_loops_come_inside_out() {
        let text = r#"program "p" main 0
routine r0 = "process M.p" "m.orca"
function f0 "f" r0 process {
b0(v0: i8):
  jump b1
b1:
  branch v0, b2, b3
b2:
  branch v0, b2, b4
b3:
  jump b4
b4:
  branch v0, b1, b5
b5:
  return
}"#;
        let program = parse(text).expect("the text is right");
        let flow = Flow::of(&program.functions[0]);
        let dominated = |by| {
            (0..6)
                .filter(|block| flow.dominates(by, *block))
                .collect::<Vec<_>>()
        };
        assert_eq!(dominated(0), [0, 1, 2, 3, 4, 5]);
        assert_eq!(dominated(1), [1, 2, 3, 4, 5]);
        assert_eq!(dominated(2), [2]);
        assert_eq!(dominated(4), [4, 5]);
        let loops = flow.loops();
        let headers: Vec<usize> = loops.iter().map(|found| found.header).collect();
        assert_eq!(headers, [2, 1]);
        assert_eq!(loops[1].body, BTreeSet::from([1, 2, 3, 4]));
        assert_eq!(loops[1].latches, [4]);
    }
}
