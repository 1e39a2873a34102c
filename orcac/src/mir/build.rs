//! Building one function: blocks, values, and the line that the next instruction belongs to.
//!
//! The builder folds constant integers where they meet (address arithmetic with constant indices comes out as offsets), starts a
//! fresh block when code follows a terminator, and at the end drops blocks that nothing reaches. It knows nothing of Orca.

use std::collections::VecDeque;

use orca_abi::symbols::{Entry, Word};
use orca_abi::trap::Trap;

use super::{
    Binary, Block, BlockData, Compare, CompareReal, Context, Function, FunctionId, Inst, Local,
    LocalData, Op, Region, RoutineId, Site, Slot, SlotData, Target, Terminator, Ty, Unary, Value,
};

/// An address: a pointer and a constant displacement.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub base: Value,
    pub offset: i64,
}

impl Address {
    /// The pointer itself.
    pub fn new(base: Value) -> Address {
        Address { base, offset: 0 }
    }

    /// So many bytes further on.
    pub fn plus(self, bytes: u64) -> Address {
        Address {
            base: self.base,
            offset: self.offset.wrapping_add(bytes as i64),
        }
    }
}

/// A function being built.
pub struct Builder {
    function: Function,
    current: Option<Block>,
    /// What each value is known to be.
    constants: Vec<Option<i64>>,
    /// The line of what is emitted next.
    pub line: u32,
}

impl Builder {
    /// A function with an empty, current entry block.
    pub fn new(name: String, routine: RoutineId, context: Context) -> Builder {
        let mut builder = Builder {
            function: Function {
                name,
                routine,
                context,
                result: None,
                blocks: Vec::new(),
                values: Vec::new(),
                locals: Vec::new(),
                slots: Vec::new(),
            },
            current: None,
            constants: Vec::new(),
            line: 0,
        };
        let entry = builder.block();
        builder.switch_to(entry);
        builder
    }

    /// Who runs it.
    pub fn context(&self) -> Context {
        self.function.context
    }

    /// Sets the result type.
    pub fn set_result(&mut self, ty: Ty) {
        self.function.result = Some(ty);
    }

    /// A further parameter of the function.
    pub fn parameter(&mut self, ty: Ty) -> Value {
        self.block_parameter(Block(0), ty)
    }

    /// A new empty block.
    pub fn block(&mut self) -> Block {
        self.function.blocks.push(BlockData::default());
        Block(self.function.blocks.len() as u32 - 1)
    }

    /// A new empty block that is seldom reached.
    pub fn cold_block(&mut self) -> Block {
        let block = self.block();
        self.function.blocks[block.index()].cold = true;
        block
    }

    /// A further parameter of a block.
    pub fn block_parameter(&mut self, block: Block, ty: Ty) -> Value {
        let value = self.value(ty);
        self.function.blocks[block.index()].parameters.push(value);
        value
    }

    /// Continues at the end of a block.
    pub fn switch_to(&mut self, block: Block) {
        debug_assert!(
            self.function.blocks[block.index()].terminator.is_none(),
            "a finished block is not continued"
        );
        self.current = Some(block);
    }

    /// Whether the code so far can fall through to here.
    pub fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// A new mutable scalar.
    pub fn local(&mut self, name: &str, ty: Ty) -> Local {
        self.function.locals.push(LocalData {
            name: name.to_owned(),
            ty,
        });
        Local(self.function.locals.len() as u32 - 1)
    }

    /// New memory in the frame.
    pub fn slot(&mut self, name: &str, size: u64, align: u32) -> Slot {
        self.function.slots.push(SlotData {
            name: name.to_owned(),
            size: u32::try_from(size.max(1)).expect("large values do not live in the frame"),
            align,
        });
        Slot(self.function.slots.len() as u32 - 1)
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Ty {
        self.function.values[value.index()]
    }

    /// The type of a local.
    pub fn local_ty(&self, local: Local) -> Ty {
        self.function.locals[local.index()].ty
    }

    /// What an integer value is known to be.
    pub fn constant(&self, value: Value) -> Option<i64> {
        self.constants[value.index()]
    }

    /// An instruction with a result.
    pub fn value_of(&mut self, ty: Ty, op: Op) -> Value {
        let value = self.value(ty);
        self.push(Some(value), op);
        value
    }

    /// An instruction without a result.
    pub fn effect(&mut self, op: Op) {
        self.push(None, op);
    }

    pub fn int(&mut self, ty: Ty, number: i64) -> Value {
        let number = wrap(ty, number);
        let value = self.value_of(ty, Op::Integer(number));
        self.constants[value.index()] = Some(number);
        value
    }

    pub fn real(&mut self, number: f64) -> Value {
        self.value_of(Ty::F64, Op::Real(number))
    }

    pub fn get(&mut self, local: Local) -> Value {
        self.value_of(self.local_ty(local), Op::Get(local))
    }

    pub fn set(&mut self, local: Local, value: Value) {
        self.effect(Op::Set(local, value));
    }

    pub fn slot_address(&mut self, slot: Slot) -> Address {
        Address::new(self.value_of(Ty::I64, Op::SlotAddress(slot)))
    }

    /// The pointer that an address amounts to.
    pub fn pointer(&mut self, address: Address) -> Value {
        if address.offset == 0 {
            return address.base;
        }
        let offset = self.int(Ty::I64, address.offset);
        self.binary(Binary::Add, address.base, offset)
    }

    pub fn load(&mut self, ty: Ty, address: Address, region: Region) -> Value {
        let (address, offset) = self.split(address);
        self.value_of(
            ty,
            Op::Load {
                address,
                offset,
                region,
            },
        )
    }

    pub fn store(&mut self, value: Value, address: Address, region: Region) {
        let (address, offset) = self.split(address);
        self.effect(Op::Store {
            value,
            address,
            offset,
            region,
        });
    }

    pub fn copy(&mut self, to: Address, from: Address, size: u64) {
        if size > 0 {
            let (to, from) = (self.pointer(to), self.pointer(from));
            self.effect(Op::Copy { to, from, size });
        }
    }

    pub fn zero(&mut self, address: Address, size: u64) {
        if size > 0 {
            let address = self.pointer(address);
            self.effect(Op::Zero { address, size });
        }
    }

    pub fn unary(&mut self, op: Unary, ty: Ty, value: Value) -> Value {
        if let Some(number) = self.constant(value) {
            match op {
                Unary::SignExtend | Unary::Truncate => return self.int(ty, number),
                Unary::ZeroExtend => {
                    let mask = match self.ty(value) {
                        Ty::I8 => 0xff,
                        Ty::I16 => 0xffff,
                        Ty::I32 => 0xffff_ffff,
                        _ => -1,
                    };
                    return self.int(ty, number & mask);
                }
                Unary::Negate => return self.int(ty, number.wrapping_neg()),
                Unary::Complement => return self.int(ty, !number),
                _ => {}
            }
        }
        self.value_of(ty, Op::Unary(op, value))
    }

    /// An integer of another width: extended as asked, or its low bits.
    pub fn resize(&mut self, value: Value, ty: Ty, signed: bool) -> Value {
        let from = bits(self.ty(value));
        match bits(ty).cmp(&from) {
            std::cmp::Ordering::Equal => value,
            std::cmp::Ordering::Less => self.unary(Unary::Truncate, ty, value),
            std::cmp::Ordering::Greater if signed => self.unary(Unary::SignExtend, ty, value),
            std::cmp::Ordering::Greater => self.unary(Unary::ZeroExtend, ty, value),
        }
    }

    pub fn binary(&mut self, op: Binary, left: Value, right: Value) -> Value {
        let ty = self.ty(left);
        debug_assert_eq!(
            ty,
            self.ty(right),
            "operands of {op:?} in {}",
            self.function.name
        );
        match (self.constant(left), self.constant(right)) {
            (Some(a), Some(b)) => {
                if let Some(number) = fold(op, a, b) {
                    return self.int(ty, number);
                }
            }
            (_, Some(0)) if matches!(op, Binary::Add | Binary::Subtract) => return left,
            (_, Some(1)) if matches!(op, Binary::Multiply | Binary::Divide) => return left,
            (Some(0), _) if op == Binary::Add => return right,
            (Some(1), _) if op == Binary::Multiply => return right,
            _ => {}
        }
        self.value_of(ty, Op::Binary(op, left, right))
    }

    pub fn compare(&mut self, op: Compare, left: Value, right: Value) -> Value {
        debug_assert_eq!(
            self.ty(left),
            self.ty(right),
            "operands of {op:?} in {}",
            self.function.name
        );
        if let (Some(a), Some(b)) = (self.constant(left), self.constant(right)) {
            return self.int(Ty::I8, i64::from(compare(op, a, b)));
        }
        self.value_of(Ty::I8, Op::Compare(op, left, right))
    }

    pub fn compare_real(&mut self, op: CompareReal, left: Value, right: Value) -> Value {
        self.value_of(Ty::I8, Op::CompareReal(op, left, right))
    }

    pub fn select(&mut self, condition: Value, yes: Value, no: Value) -> Value {
        match self.constant(condition) {
            Some(0) => no,
            Some(_) => yes,
            None => self.value_of(self.ty(yes), Op::Select(condition, yes, no)),
        }
    }

    /// Traps if the condition holds; nothing if it certainly does not.
    pub fn check(&mut self, condition: Value, trap: Trap, site: Site) {
        if self.constant(condition) != Some(0) {
            self.effect(Op::Check {
                condition,
                trap,
                site,
            });
        }
    }

    pub fn call(
        &mut self,
        function: FunctionId,
        arguments: Vec<Value>,
        result: Option<Ty>,
    ) -> Option<Value> {
        self.maybe(result, Op::Call(function, arguments))
    }

    /// Calls an entry; its result if it has one.
    pub fn entry(&mut self, entry: Entry, arguments: Vec<Value>) -> Option<Value> {
        let result = entry.signature().result.map(word_ty);
        self.maybe(result, Op::CallEntry(entry, arguments))
    }

    pub fn jump(&mut self, block: Block) {
        self.jump_with(block, Vec::new());
    }

    pub fn jump_with(&mut self, block: Block, arguments: Vec<Value>) {
        self.terminate(Terminator::Jump(Target { block, arguments }));
    }

    pub fn branch(&mut self, condition: Value, yes: Block, no: Block) {
        self.branch_with(condition, yes, Vec::new(), no, Vec::new());
    }

    pub fn branch_with(
        &mut self,
        condition: Value,
        yes: Block,
        yes_arguments: Vec<Value>,
        no: Block,
        no_arguments: Vec<Value>,
    ) {
        let target = |block, arguments| Target { block, arguments };
        match self.constant(condition) {
            Some(0) => self.jump_with(no, no_arguments),
            Some(_) => self.jump_with(yes, yes_arguments),
            None => self.terminate(Terminator::Branch(
                condition,
                target(yes, yes_arguments),
                target(no, no_arguments),
            )),
        }
    }

    /// Ends the block. Code that follows without a new block is unreachable.
    pub fn terminate(&mut self, terminator: Terminator) {
        let block = self.open_block();
        self.function.blocks[block.index()].terminator = Some(terminator);
        self.current = None;
    }

    /// The finished function, without the blocks that nothing reaches.
    pub fn finish(mut self) -> Function {
        if self.is_open() {
            self.terminate(Terminator::Unreachable);
        }
        prune(&mut self.function);
        self.function
    }

    fn maybe(&mut self, result: Option<Ty>, op: Op) -> Option<Value> {
        match result {
            Some(ty) => Some(self.value_of(ty, op)),
            None => {
                self.effect(op);
                None
            }
        }
    }

    fn value(&mut self, ty: Ty) -> Value {
        self.function.values.push(ty);
        self.constants.push(None);
        Value(self.function.values.len() as u32 - 1)
    }

    fn open_block(&mut self) -> Block {
        if self.current.is_none() {
            self.current = Some(self.block());
        }
        self.current.expect("a block was made current just before")
    }

    fn push(&mut self, result: Option<Value>, op: Op) {
        let block = self.open_block();
        let line = self.line;
        self.function.blocks[block.index()]
            .insts
            .push(Inst { result, op, line });
    }

    fn split(&mut self, address: Address) -> (Value, i32) {
        match i32::try_from(address.offset) {
            Ok(offset) => (address.base, offset),
            Err(_) => (self.pointer(address), 0),
        }
    }
}

/// The machine type of an entry's argument or result.
pub fn word_ty(word: Word) -> Ty {
    match word {
        Word::I8 => Ty::I8,
        Word::I16 => Ty::I16,
        Word::I32 => Ty::I32,
        Word::I64 | Word::Pointer => Ty::I64,
        Word::F32 => Ty::F32,
        Word::F64 => Ty::F64,
    }
}

/// The number of bits of a type.
pub fn bits(ty: Ty) -> u32 {
    match ty {
        Ty::I8 => 8,
        Ty::I16 => 16,
        Ty::I32 | Ty::F32 => 32,
        Ty::I64 | Ty::F64 => 64,
    }
}

fn wrap(ty: Ty, number: i64) -> i64 {
    match ty {
        Ty::I8 => i64::from(number as i8),
        Ty::I16 => i64::from(number as i16),
        Ty::I32 => i64::from(number as i32),
        _ => number,
    }
}

fn fold(op: Binary, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Subtract => a.wrapping_sub(b),
        Binary::Multiply => a.wrapping_mul(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Minimum => a.min(b),
        Binary::Maximum => a.max(b),
        _ => return None,
    })
}

/// Constants are kept sign-extended, which keeps the unsigned order of each width.
fn compare(op: Compare, a: i64, b: i64) -> bool {
    match op {
        Compare::Equal => a == b,
        Compare::NotEqual => a != b,
        Compare::Less => a < b,
        Compare::LessEqual => a <= b,
        Compare::Greater => a > b,
        Compare::GreaterEqual => a >= b,
        Compare::Below => (a as u64) < b as u64,
        Compare::BelowEqual => a as u64 <= b as u64,
        Compare::Above => a as u64 > b as u64,
        Compare::AboveEqual => a as u64 >= b as u64,
    }
}

/// Drops blocks that cannot be reached and numbers the rest anew, in their order.
fn prune(function: &mut Function) {
    let mut reached = vec![false; function.blocks.len()];
    let mut queue = VecDeque::from([Block(0)]);
    reached[0] = true;
    while let Some(block) = queue.pop_front() {
        let terminator = function.blocks[block.index()].terminator.as_mut();
        for next in successors(terminator.expect("every block of a finished function ends")) {
            if !std::mem::replace(&mut reached[next.index()], true) {
                queue.push_back(*next);
            }
        }
    }
    let mut numbers = vec![Block(u32::MAX); function.blocks.len()];
    for (new, (old, _)) in reached.iter().enumerate().filter(|&(_, &r)| r).enumerate() {
        numbers[old] = Block(new as u32);
    }
    let mut keep = reached.iter();
    function
        .blocks
        .retain(|_| *keep.next().expect("one mark a block"));
    for block in &mut function.blocks {
        let terminator = block.terminator.as_mut();
        for next in successors(terminator.expect("every block of a finished function ends")) {
            *next = numbers[next.index()];
        }
    }
}

fn successors(terminator: &mut Terminator) -> Vec<&mut Block> {
    match terminator {
        Terminator::Jump(target) => vec![&mut target.block],
        Terminator::Branch(_, yes, no) => vec![&mut yes.block, &mut no.block],
        Terminator::Switch(_, cases, otherwise) => cases
            .iter_mut()
            .map(|(_, block)| block)
            .chain(std::iter::once(otherwise))
            .collect(),
        Terminator::Return(_) | Terminator::Trap(..) | Terminator::Unreachable => Vec::new(),
    }
}
