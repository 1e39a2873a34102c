//! Small changes of functions: new values and blocks, other operands.

use crate::mir::{Block, BlockData, Function, Inst, Op, Target, Terminator, Ty, Value};

impl Op {
    /// Replaces every operand.
    pub(super) fn map_operands(&mut self, map: &mut dyn FnMut(Value) -> Value) {
        match self {
            Op::Integer(_)
            | Op::Real(_)
            | Op::Get(_)
            | Op::SlotAddress(_)
            | Op::BlobAddress(_)
            | Op::TypeAddress(_)
            | Op::Control(_)
            | Op::Poll => {}
            Op::Set(_, a) | Op::Unary(_, a) => *a = map(*a),
            Op::Load { address, .. } | Op::Zero { address, .. } => *address = map(*address),
            Op::Store { value, address, .. } => {
                *value = map(*value);
                *address = map(*address);
            }
            Op::Copy { to, from, .. } => {
                *to = map(*to);
                *from = map(*from);
            }
            Op::Binary(_, a, b) | Op::Compare(_, a, b) | Op::CompareReal(_, a, b) => {
                *a = map(*a);
                *b = map(*b);
            }
            Op::Select(condition, a, b) => {
                *condition = map(*condition);
                *a = map(*a);
                *b = map(*b);
            }
            Op::Check { condition, .. } => *condition = map(*condition),
            Op::Call(_, arguments) | Op::CallEntry(_, arguments) => {
                arguments
                    .iter_mut()
                    .for_each(|argument| *argument = map(*argument));
            }
        }
    }

    /// Whether it computes its result from its operands alone, always, and nothing else.
    pub(super) fn is_pure(&self) -> bool {
        use crate::mir::Binary;
        match self {
            Op::Integer(_)
            | Op::Real(_)
            | Op::SlotAddress(_)
            | Op::BlobAddress(_)
            | Op::TypeAddress(_)
            | Op::Unary(..)
            | Op::Compare(..)
            | Op::CompareReal(..)
            | Op::Select(..) => true,
            // These need the check before them.
            Op::Binary(op, ..) => !matches!(op, Binary::Divide | Binary::Modulo),
            _ => false,
        }
    }
}

impl Terminator {
    /// Replaces every value that it uses.
    pub(super) fn map_operands(&mut self, map: &mut dyn FnMut(Value) -> Value) {
        match self {
            Terminator::Branch(value, ..) | Terminator::Switch(value, ..) => *value = map(*value),
            Terminator::Return(value) => *value = value.map(&mut *map),
            Terminator::Jump(_) | Terminator::Trap(..) | Terminator::Unreachable => {}
        }
        for target in self.targets_mut() {
            target
                .arguments
                .iter_mut()
                .for_each(|argument| *argument = map(*argument));
        }
    }

    /// The targets that can have arguments.
    pub(super) fn targets_mut(&mut self) -> Vec<&mut Target> {
        match self {
            Terminator::Jump(target) => vec![target],
            Terminator::Branch(_, yes, no) => vec![yes, no],
            Terminator::Switch(..)
            | Terminator::Return(_)
            | Terminator::Trap(..)
            | Terminator::Unreachable => Vec::new(),
        }
    }

    /// Replaces every block that it goes to.
    pub(super) fn map_blocks(&mut self, map: &dyn Fn(Block) -> Block) {
        match self {
            Terminator::Switch(_, cases, otherwise) => {
                cases.iter_mut().for_each(|(_, block)| *block = map(*block));
                *otherwise = map(*otherwise);
            }
            _ => {
                self.targets_mut()
                    .into_iter()
                    .for_each(|target| target.block = map(target.block));
            }
        }
    }

    /// Every value that it uses.
    pub(super) fn operands(&self) -> Vec<Value> {
        let mut operands: Vec<Value> = match self {
            Terminator::Branch(value, ..)
            | Terminator::Switch(value, ..)
            | Terminator::Return(Some(value)) => vec![*value],
            _ => Vec::new(),
        };
        for (_, arguments) in self.targets() {
            operands.extend_from_slice(arguments);
        }
        operands
    }
}

impl Function {
    pub(super) fn new_value(&mut self, ty: Ty) -> Value {
        self.values.push(ty);
        Value(u32::try_from(self.values.len() - 1).expect("fewer than 2^32 values"))
    }

    pub(super) fn new_block(&mut self, data: BlockData) -> Block {
        self.blocks.push(data);
        Block(u32::try_from(self.blocks.len() - 1).expect("fewer than 2^32 blocks"))
    }

    /// Appends an instruction with a result to a block.
    pub(super) fn append(&mut self, block: usize, ty: Ty, op: Op, line: u32) -> Value {
        let result = self.new_value(ty);
        self.blocks[block].insts.push(Inst {
            result: Some(result),
            op,
            line,
        });
        result
    }
}
