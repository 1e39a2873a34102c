//! The same computation is done once, and the same check.
//!
//! A walk down the tree of dominators: what was computed on the way is at hand. Loads of array heads and gets of locals are computations, too, as
//! long as nothing in between may have changed what they read; a poll in a process changes no head, since a process sees only its
//! own data.

use std::collections::{BTreeMap, BTreeSet};

use crate::mir::{Context, Function, Op, Region, Ty, Value};

use super::flow::Flow;

/// A computation, with operands that are themselves replaced; `version` tells apart what memory or a local was meanwhile.
type Key = (u8, u8, u64, u64, u64, u64, u8);

pub(super) fn run(function: &mut Function) {
    let flow = Flow::of(function);
    let mut children = vec![Vec::new(); function.blocks.len()];
    for &block in &flow.order {
        if let Some(dominator) = flow.dominator(block) {
            children[dominator].push(block);
        }
    }
    let mut walk = Walk {
        replaced: (0..).map(Value).take(function.values.len()).collect(),
        known: BTreeMap::new(),
        checked: BTreeSet::new(),
        versions: 0,
        at_end: vec![Versions::default(); function.blocks.len()],
    };
    let mut stack = vec![Step::Enter(0)];
    while let Some(step) = stack.pop() {
        match step {
            Step::Enter(block) => {
                let undo = walk.block(function, &flow, block);
                stack.push(Step::Leave(undo));
                stack.extend(
                    children[block]
                        .iter()
                        .rev()
                        .map(|child| Step::Enter(*child)),
                );
            }
            Step::Leave(undo) => walk.forget(undo),
        }
    }
    // Back edges use values that were not known when their block was walked.
    for block in &mut function.blocks {
        if let Some(terminator) = &mut block.terminator {
            terminator.map_operands(&mut |value| walk.replaced[value.index()]);
        }
    }
}

enum Step {
    Enter(usize),
    Leave(Undo),
}

/// What to forget when a subtree is done.
#[derive(Default)]
struct Undo {
    known: Vec<(Key, Option<Value>)>,
    checked: Vec<Value>,
}

/// Numbers that change whenever what a load or get would give may have changed.
#[derive(Clone, Default)]
struct Versions {
    heads: u64,
    locals: BTreeMap<u32, u64>,
    /// Of locals that are not listed.
    other_locals: u64,
}

struct Walk {
    replaced: Vec<Value>,
    known: BTreeMap<Key, Value>,
    /// Conditions of checks that have passed.
    checked: BTreeSet<Value>,
    versions: u64,
    at_end: Vec<Versions>,
}

impl Walk {
    fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    fn block(&mut self, function: &mut Function, flow: &Flow, block: usize) -> Undo {
        let mut undo = Undo::default();
        let mut versions = match flow.predecessors[block][..] {
            [only] => self.at_end[only].clone(),
            _ => {
                let version = self.next_version();
                Versions {
                    heads: version,
                    locals: BTreeMap::new(),
                    other_locals: version,
                }
            }
        };
        let context = function.context;
        let types = &function.values;
        function.blocks[block].insts.retain_mut(|inst| {
            inst.op
                .map_operands(&mut |value| self.replaced[value.index()]);
            match &inst.op {
                Op::Check { condition, .. } => {
                    let is_new = self.checked.insert(*condition);
                    if is_new {
                        undo.checked.push(*condition);
                    }
                    return is_new;
                }
                Op::Set(local, value) => {
                    let version = self.next_version();
                    versions.locals.insert(local.0, version);
                    let ty = types[value.index()];
                    if let Some(key) = key(&Op::Get(*local), ty, &versions) {
                        undo.known.push((key, self.known.insert(key, *value)));
                    }
                }
                op if changes_heads(op, context) => versions.heads = self.next_version(),
                _ => {}
            }
            let Some(result) = inst.result else {
                return true;
            };
            let Some(key) = key(&inst.op, types[result.index()], &versions) else {
                return true;
            };
            if let Some(before) = self.known.get(&key) {
                self.replaced[result.index()] = *before;
                return false;
            }
            undo.known.push((key, self.known.insert(key, result)));
            true
        });
        let replaced = &self.replaced;
        if let Some(terminator) = &mut function.blocks[block].terminator {
            terminator.map_operands(&mut |value| replaced[value.index()]);
        }
        self.at_end[block] = versions;
        undo
    }

    fn forget(&mut self, undo: Undo) {
        for (key, before) in undo.known {
            match before {
                Some(value) => self.known.insert(key, value),
                None => self.known.remove(&key),
            };
        }
        for condition in undo.checked {
            self.checked.remove(&condition);
        }
    }
}

/// Whether the head of some array may be another afterwards.
pub(super) fn changes_heads(op: &Op, context: Context) -> bool {
    match op {
        Op::Store { region, .. } => *region == Region::Head,
        Op::Copy { .. } | Op::Zero { .. } | Op::Call(..) => true,
        Op::CallEntry(entry, _) => !entry.is_about_numbers(),
        Op::Poll => context == Context::Operation,
        _ => false,
    }
}

/// Entries that touch no value of the program's.
trait AboutNumbers {
    fn is_about_numbers(&self) -> bool;
}

impl AboutNumbers for orca_abi::symbols::Entry {
    fn is_about_numbers(&self) -> bool {
        use orca_abi::symbols::{Class, Word};
        let signature = self.signature();
        signature.class == Class::Leaf && !signature.parameters.contains(&Word::Pointer)
    }
}

fn key(op: &Op, ty: Ty, versions: &Versions) -> Option<Key> {
    let ty = ty as u8;
    let id = |value: Value| u64::from(value.0);
    Some(match op {
        Op::Integer(value) => (0, 0, value.cast_unsigned(), 0, 0, 0, ty),
        Op::Real(value) => (1, 0, value.to_bits(), 0, 0, 0, ty),
        Op::SlotAddress(slot) => (2, 0, u64::from(slot.0), 0, 0, 0, ty),
        Op::BlobAddress(blob) => (3, 0, u64::from(blob.0), 0, 0, 0, ty),
        Op::TypeAddress(descriptor) => (4, 0, u64::from(descriptor.0), 0, 0, 0, ty),
        Op::Unary(op, a) => (5, *op as u8, id(*a), 0, 0, 0, ty),
        Op::Binary(op, a, b) => (6, *op as u8, id(*a), id(*b), 0, 0, ty),
        Op::Compare(op, a, b) => (7, *op as u8, id(*a), id(*b), 0, 0, ty),
        Op::CompareReal(op, a, b) => (8, *op as u8, id(*a), id(*b), 0, 0, ty),
        Op::Select(condition, a, b) => (9, 0, id(*condition), id(*a), id(*b), 0, ty),
        Op::Get(local) => {
            let version = versions
                .locals
                .get(&local.0)
                .unwrap_or(&versions.other_locals);
            (10, 0, u64::from(local.0), 0, 0, *version, ty)
        }
        Op::Load {
            address,
            offset,
            region: Region::Head,
        } => {
            let offset = i64::from(*offset).cast_unsigned();
            (11, 0, id(*address), offset, 0, versions.heads, ty)
        }
        _ => return None,
    })
}
