//! Bounds of arrays are checked once a loop where that can be known.
//!
//! A loop that counts upward by one exists twice: if the first and the last index of every access that depends on the counter are inside
//! its array, so are all between, and a copy without these checks runs; otherwise the copy with all checks runs, and traps exactly
//! where it must. Checks that do not depend on the counter are tested beforehand, too.
//!
//! Only innermost loops, as lowering makes them of FOR: one latch, which goes back while the counter is less than the last value.
//! Arithmetic on indices is in 32 bits and may wrap; inside an array's bounds it cannot have.

use std::collections::{BTreeMap, BTreeSet};

use crate::mir::{
    Binary, Block, Compare, Function, Inst, Op, Target, Terminator, Ty, Unary, Value,
};

use super::flow::{Flow, Loop, for_each_loop};

/// Larger loops gain too little for their second copy.
const INSTRUCTION_COUNT_MAX: usize = 400;

pub(super) fn run(function: &mut Function) {
    for_each_loop(function, &mut |function, _, around, preheader| {
        // The flow that comes with the loop does not know the preheader.
        let flow = Flow::of(function);
        let is_innermost = flow
            .loops()
            .iter()
            .all(|other| other.header == around.header || !around.body.contains(&other.header));
        // The slow copies of loops are cold.
        let is_cold = function.blocks[around.header].cold;
        if is_innermost
            && !is_cold
            && let Some(plan) = Plan::of(function, &flow, around, preheader)
        {
            plan.carry_out(function, around, preheader);
        }
    });
}

/// An index: the counter, or the counter plus or minus something that the loop does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    Counter,
    Plus(Value),
    Minus(Value),
}

/// What must hold before the loop so that a check is not needed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// `index - lower` is below `count`.
    Inside {
        index: Index,
        lower: Value,
        count: Value,
    },
    /// The condition is zero; it is computed before the loop.
    False(Value),
}

struct Plan {
    /// The counter's first and last value; the first is the preheader's own parameter or older.
    first: Value,
    last: Value,
    needs: BTreeSet<Need>,
    /// Conditions of the checks that go.
    needless: BTreeSet<Value>,
    line: u32,
}

/// What a loop's instructions are, for recognising them.
struct Shape<'a> {
    function: &'a Function,
    around: &'a Loop,
    definitions: BTreeMap<Value, &'a Op>,
    inside: BTreeSet<Value>,
    counter: Value,
}

impl Plan {
    fn of(function: &Function, flow: &Flow, around: &Loop, preheader: usize) -> Option<Plan> {
        let [latch] = around.latches[..] else {
            return None;
        };
        let size: usize = around
            .body
            .iter()
            .map(|block| function.blocks[*block].insts.len())
            .sum();
        if size > INSTRUCTION_COUNT_MAX || values_leave(function, flow, around) {
            return None;
        }
        let header = &function.blocks[around.header];
        let mut definitions = BTreeMap::new();
        let mut inside = BTreeSet::new();
        for &block in &flow.order {
            let data = &function.blocks[block];
            for inst in &data.insts {
                if let Some(result) = inst.result {
                    definitions.insert(result, &inst.op);
                }
            }
            if around.body.contains(&block) {
                inside.extend(&data.parameters);
                inside.extend(data.insts.iter().filter_map(|inst| inst.result));
            }
        }
        let Some(Terminator::Branch(condition, yes, no)) = &function.blocks[latch].terminator
        else {
            return None;
        };
        let is_header = |target: &Target| target.block.index() == around.header;
        if !is_header(yes) || is_header(no) {
            return None;
        }
        let Some(Op::Compare(Compare::Less, counter, last)) = definitions.get(condition) else {
            return None;
        };
        let place = header
            .parameters
            .iter()
            .position(|parameter| parameter == counter)?;
        let shape = Shape {
            function,
            around,
            definitions,
            inside,
            counter: *counter,
        };
        if shape.inside.contains(last) || !shape.is_next(yes.arguments[place]) {
            return None;
        }
        let Some(Terminator::Jump(target)) = &function.blocks[preheader].terminator else {
            return None;
        };
        shape.plan(target.arguments[place], *last)
    }
}

/// Whether anything after the loop uses what the loop computed; arguments of its exits are no such use.
fn values_leave(function: &Function, flow: &Flow, around: &Loop) -> bool {
    let mut inside = BTreeSet::new();
    for &block in &around.body {
        let data = &function.blocks[block];
        inside.extend(&data.parameters);
        inside.extend(data.insts.iter().filter_map(|inst| inst.result));
    }
    flow.order
        .iter()
        .filter(|block| !around.body.contains(block))
        .any(|block| {
            let data = &function.blocks[*block];
            let terminator = data.terminator.iter().flat_map(Terminator::operands);
            let mut used = data
                .insts
                .iter()
                .flat_map(|inst| inst.op.operands())
                .chain(terminator);
            used.any(|value| inside.contains(&value))
        })
}

impl Shape<'_> {
    fn is_next(&self, value: Value) -> bool {
        match self.definitions.get(&value) {
            Some(Op::Binary(Binary::Add, a, b)) => {
                *a == self.counter && self.definitions.get(b) == Some(&&Op::Integer(1))
            }
            _ => false,
        }
    }

    fn is_invariant(&self, value: Value) -> bool {
        !self.inside.contains(&value)
    }

    /// A value from before the loop, or a constant, which can be made there.
    fn is_available(&self, value: Value) -> bool {
        self.is_invariant(value) || matches!(self.definitions.get(&value), Some(Op::Integer(_)))
    }

    fn plan(&self, first: Value, last: Value) -> Option<Plan> {
        if self.function.values[self.counter.index()] != Ty::I64 {
            return None;
        }
        let mut plan = Plan {
            first,
            last,
            needs: BTreeSet::new(),
            needless: BTreeSet::new(),
            line: 0,
        };
        for &block in &self.around.body {
            for inst in &self.function.blocks[block].insts {
                if let Op::Check { condition, .. } = &inst.op
                    && let Some(need) = self.need(*condition)
                {
                    plan.needs.insert(need);
                    plan.needless.insert(*condition);
                    plan.line = inst.line;
                }
            }
        }
        (!plan.needs.is_empty()).then_some(plan)
    }

    fn need(&self, condition: Value) -> Option<Need> {
        if self.is_invariant(condition) {
            return Some(Need::False(condition));
        }
        let Some(Op::Compare(Compare::AboveEqual, distance, count)) =
            self.definitions.get(&condition)
        else {
            return None;
        };
        let Some(Op::Binary(Binary::Subtract, index, lower)) = self.definitions.get(distance)
        else {
            return None;
        };
        let is_wide = self.function.values[index.index()] == Ty::I64;
        if !is_wide || !self.is_bound(*lower) || !self.is_bound(*count) {
            return None;
        }
        Some(Need::Inside {
            index: self.index(*index)?,
            lower: *lower,
            count: *count,
        })
    }

    /// A lower bound or a count of elements, as arrays have them: 32 bits made wide, from before the loop or a constant. Upper bounds
    /// are below 2^31, too, so that an index inside has not wrapped.
    fn is_bound(&self, value: Value) -> bool {
        match self.definitions.get(&value) {
            Some(Op::Unary(Unary::SignExtend, narrow)) => {
                self.is_invariant(value) && self.function.values[narrow.index()] == Ty::I32
            }
            Some(Op::Integer(bound)) => i32::try_from(*bound).is_ok(),
            _ => false,
        }
    }

    fn index(&self, value: Value) -> Option<Index> {
        if value == self.counter {
            return Some(Index::Counter);
        }
        match self.definitions.get(&value)? {
            Op::Binary(op, a, b) if *a == self.counter => self.offset(*op, *b),
            Op::Unary(Unary::SignExtend, narrow) => match self.definitions.get(narrow)? {
                Op::Binary(op, a, b) if self.is_narrow_counter(*a) => self.offset(*op, *b),
                Op::Binary(Binary::Add, a, b) if self.is_narrow_counter(*b) => {
                    self.offset(Binary::Add, *a)
                }
                _ if self.is_narrow_counter(*narrow) => Some(Index::Counter),
                _ => None,
            },
            _ => None,
        }
    }

    fn offset(&self, op: Binary, by: Value) -> Option<Index> {
        if !self.is_available(by) {
            return None;
        }
        match op {
            Binary::Add => Some(Index::Plus(by)),
            Binary::Subtract => Some(Index::Minus(by)),
            _ => None,
        }
    }

    fn is_narrow_counter(&self, value: Value) -> bool {
        let is_word = self.function.values[value.index()] == Ty::I32;
        is_word
            && matches!(self.definitions.get(&value),
                Some(Op::Unary(Unary::Truncate, wide)) if *wide == self.counter)
    }
}

impl Plan {
    fn carry_out(self, function: &mut Function, around: &Loop, preheader: usize) {
        let slow = clone_loop(function, around);
        let condition = self.condition(function, preheader);
        for &block in &around.body {
            function.blocks[block].insts.retain(|inst| {
                !matches!(&inst.op, Op::Check { condition, .. } if self.needless.contains(condition))
            });
        }
        let Some(Terminator::Jump(fast)) = function.blocks[preheader].terminator.take() else {
            unreachable!("a preheader jumps");
        };
        let slow = Target {
            block: slow,
            arguments: fast.arguments.clone(),
        };
        function.blocks[preheader].terminator = Some(Terminator::Branch(condition, fast, slow));
    }

    /// Whether all needs are met, computed in the preheader.
    fn condition(&self, function: &mut Function, preheader: usize) -> Value {
        let mut builder = Before {
            function,
            preheader,
            line: self.line,
        };
        // So that no sum below can wrap between first and last.
        let span = builder.binary(Binary::Subtract, self.last, self.first);
        let most = builder.integer(Ty::I64, 1 << 32);
        let mut all = builder.compare(Compare::Below, span, most);
        for need in &self.needs {
            match need {
                Need::False(condition) => {
                    let zero = builder.integer(Ty::I8, 0);
                    let holds = builder.compare(Compare::Equal, *condition, zero);
                    all = builder.binary(Binary::And, all, holds);
                }
                Need::Inside {
                    index,
                    lower,
                    count,
                } => {
                    let (lower, count) = (builder.available(*lower), builder.available(*count));
                    for counter in [self.first, self.last] {
                        let index = builder.index(*index, counter);
                        let distance = builder.binary(Binary::Subtract, index, lower);
                        let holds = builder.compare(Compare::Below, distance, count);
                        all = builder.binary(Binary::And, all, holds);
                    }
                }
            }
        }
        all
    }
}

/// Appends to the preheader.
struct Before<'a> {
    function: &'a mut Function,
    preheader: usize,
    line: u32,
}

impl Before<'_> {
    fn add(&mut self, ty: Ty, op: Op) -> Value {
        self.function.append(self.preheader, ty, op, self.line)
    }

    fn integer(&mut self, ty: Ty, value: i64) -> Value {
        self.add(ty, Op::Integer(value))
    }

    fn binary(&mut self, op: Binary, a: Value, b: Value) -> Value {
        let ty = self.function.values[a.index()];
        self.add(ty, Op::Binary(op, a, b))
    }

    fn compare(&mut self, op: Compare, a: Value, b: Value) -> Value {
        self.add(Ty::I8, Op::Compare(op, a, b))
    }

    /// A value that is available, here: a constant of the loop is made again.
    fn available(&mut self, value: Value) -> Value {
        let constant = self
            .function
            .blocks
            .iter()
            .flat_map(|block| &block.insts)
            .find_map(|inst| match &inst.op {
                Op::Integer(constant) if inst.result == Some(value) => Some(*constant),
                _ => None,
            });
        match constant {
            Some(constant) => self.integer(self.function.values[value.index()], constant),
            None => value,
        }
    }

    fn index(&mut self, index: Index, counter: Value) -> Value {
        let (op, by) = match index {
            Index::Counter => return counter,
            Index::Plus(by) => (Binary::Add, by),
            Index::Minus(by) => (Binary::Subtract, by),
        };
        let mut by = self.available(by);
        if self.function.values[by.index()] == Ty::I32 {
            by = self.add(Ty::I64, Op::Unary(Unary::SignExtend, by));
        }
        self.binary(op, counter, by)
    }
}

/// A second, cold copy of a loop; gives its header.
fn clone_loop(function: &mut Function, around: &Loop) -> Block {
    let mut values = BTreeMap::new();
    let mut blocks = BTreeMap::new();
    for &block in &around.body {
        let data = &function.blocks[block];
        let results = data.insts.iter().filter_map(|inst| inst.result);
        let defined: Vec<Value> = data.parameters.iter().copied().chain(results).collect();
        for value in defined {
            let copy = function.new_value(function.values[value.index()]);
            values.insert(value, copy);
        }
        let original = Block(u32::try_from(block).expect("few blocks"));
        blocks.insert(original, function.new_block(Default::default()));
    }
    let mut value = |value: Value| values.get(&value).copied().unwrap_or(value);
    for (original, copy) in &blocks {
        let mut data = function.blocks[original.index()].clone();
        data.cold = true;
        data.parameters
            .iter_mut()
            .for_each(|parameter| *parameter = value(*parameter));
        for Inst { result, op, .. } in &mut data.insts {
            *result = result.map(&mut value);
            op.map_operands(&mut value);
        }
        let terminator = data.terminator.as_mut().expect("finished");
        terminator.map_operands(&mut value);
        terminator.map_blocks(&|block| blocks.get(&block).copied().unwrap_or(block));
        function.blocks[copy.index()] = data;
    }
    blocks[&Block(u32::try_from(around.header).expect("few blocks"))]
}
