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
        Flow {
            order,
            predecessors,
            dominators: dominators(function),
        }
    }

    /// The immediate dominator; none for the entry block.
    pub(super) fn dominator(&self, block: usize) -> Option<usize> {
        self.dominators[block].filter(|dominator| *dominator != block)
    }

    pub(super) fn dominates(&self, by: usize, mut block: usize) -> bool {
        while block != by {
            match self.dominator(block) {
                Some(next) => block = next,
                None => return false,
            }
        }
        true
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

/// Calls `work` once for every loop, inner ones first, with a preheader: a new block through which alone the loop is entered.
pub(super) fn for_each_loop(
    function: &mut Function,
    work: &mut dyn FnMut(&mut Function, &Flow, &Loop, usize),
) {
    let mut seen = BTreeSet::new();
    loop {
        let flow = Flow::of(function);
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
