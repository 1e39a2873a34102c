//! Bounds of arrays are checked once a loop where that can be known.
//!
//! A loop that counts upward by one exists twice: if the first and the last index of every access that depends on the counter are inside
//! its array, so are all between, and a copy without these checks runs; otherwise the copy with all checks runs, and traps exactly
//! where it must. Checks that do not depend on the counter are tested beforehand, too.
//!
//! Only innermost loops, as lowering makes them of FOR: one latch, which goes back while the counter is less than the last value.
//! Indices may be sums of multiples of the counter, of what the loop does not change, and constants: they move one way. Arithmetic on them is in 32
//! bits and may wrap; the test is in 64, and inside an array's bounds nothing can have wrapped.

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

/// The largest factor of the counter or of a term, and the largest constant: sums stay far below 2^63.
const FACTOR_MAX: i64 = 1 << 20;

/// Terms of an index beyond the counter.
const TERM_COUNT_MAX: usize = 4;

/// An index: `scale * counter + sum of factor * value + constant`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Index {
    scale: i64,
    /// What the loop does not change.
    terms: Vec<(i64, Value)>,
    constant: i64,
}

impl Index {
    fn constant(constant: i64) -> Index {
        Index {
            constant,
            ..Index::default()
        }
    }

    /// `self + factor * other`, if it stays small.
    fn plus(mut self, factor: i64, other: &Index) -> Option<Index> {
        let is_small = |number: &i64| (-FACTOR_MAX..=FACTOR_MAX).contains(number);
        let factor = Some(factor).filter(is_small)?;
        self.scale = Some(self.scale + factor * other.scale).filter(is_small)?;
        self.constant = Some(self.constant + factor * other.constant).filter(is_small)?;
        for (other_factor, value) in &other.terms {
            self.terms
                .push((Some(factor * other_factor).filter(is_small)?, *value));
        }
        (self.terms.len() <= TERM_COUNT_MAX).then_some(self)
    }
}

/// What must hold before the loop so that a check is not needed in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        match self.definitions.get(&value) {
            Some(Op::Unary(Unary::SignExtend, narrow))
                if !self.is_invariant(value) && self.function.values[narrow.index()] == Ty::I32 =>
            {
                self.sum(*narrow, 0)
            }
            _ => self.sum(value, 0),
        }
    }

    /// A sum, all of one width.
    fn sum(&self, value: Value, depth: u32) -> Option<Index> {
        const DEPTH_MAX: u32 = 8;
        if depth > DEPTH_MAX {
            return None;
        }
        if value == self.counter || self.is_narrow_counter(value) {
            return Some(Index {
                scale: 1,
                ..Index::default()
            });
        }
        if let Some(Op::Integer(constant)) = self.definitions.get(&value) {
            return Index::constant(0).plus(1, &Index::constant(*constant));
        }
        if self.is_invariant(value) {
            return Some(Index {
                terms: vec![(1, value)],
                ..Index::default()
            });
        }
        let sum = |value: &Value| self.sum(*value, depth + 1);
        match self.definitions.get(&value)? {
            Op::Binary(Binary::Add, a, b) => sum(a)?.plus(1, &sum(b)?),
            Op::Binary(Binary::Subtract, a, b) => sum(a)?.plus(-1, &sum(b)?),
            Op::Binary(Binary::Multiply, a, b) => match (self.integer(*a), self.integer(*b)) {
                (Some(factor), _) => Index::constant(0).plus(factor, &sum(b)?),
                (_, Some(factor)) => Index::constant(0).plus(factor, &sum(a)?),
                _ => None,
            },
            Op::Binary(Binary::ShiftLeft, a, b) => {
                let count = self.integer(*b).filter(|count| (0..20).contains(count))?;
                Index::constant(0).plus(1 << count, &sum(a)?)
            }
            _ => None,
        }
    }

    fn integer(&self, value: Value) -> Option<i64> {
        match self.definitions.get(&value) {
            Some(Op::Integer(value)) => Some(*value),
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
        // So that no sum below can wrap: the first value has 32 bits, and the last is not much larger.
        let half = builder.integer(Ty::I64, 1 << 31);
        let most = builder.integer(Ty::I64, 1 << 32);
        let moved = builder.binary(Binary::Add, self.first, half);
        let is_narrow = builder.compare(Compare::Below, moved, most);
        let span = builder.binary(Binary::Subtract, self.last, self.first);
        let is_short = builder.compare(Compare::Below, span, most);
        let mut all = builder.binary(Binary::And, is_narrow, is_short);
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
                        let index = builder.index(index, counter);
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

    fn index(&mut self, index: &Index, counter: Value) -> Value {
        let mut sum = self.integer(Ty::I64, index.constant);
        let parts = [(index.scale, counter)]
            .into_iter()
            .chain(index.terms.iter().copied());
        for (factor, value) in parts {
            let mut value = self.available(value);
            if self.function.values[value.index()] != Ty::I64 {
                value = self.add(Ty::I64, Op::Unary(Unary::SignExtend, value));
            }
            let factor = self.integer(Ty::I64, factor);
            let part = self.binary(Binary::Multiply, value, factor);
            sum = self.binary(Binary::Add, sum, part);
        }
        sum
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
