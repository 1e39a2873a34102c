//! One function: blocks, values, arithmetic, control flow.

use std::collections::BTreeMap;

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Switch, Variable};
use cranelift_module::Module;
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;

use super::memory::Regions;
use super::{Names, clif_type, signature};
use crate::mir::verify::reverse_postorder;
use crate::mir::{
    Binary, Compare, CompareReal, Function, FunctionId, Inst, Op, Site, Target, Terminator, Unary,
    Value,
};

/// Fills `to` with a function's code.
pub(super) fn build(
    module: &mut dyn Module,
    names: &Names<'_>,
    function: &Function,
    to: &mut ir::Function,
    context: &mut FunctionBuilderContext,
) {
    to.signature = signature(function);
    let regions = Regions::declare(to);
    let frontend_config = module.target_config();
    let mut body = Body {
        module,
        names,
        function,
        builder: FunctionBuilder::new(to, context),
        regions,
        values: vec![None; function.values.len()],
        constants: vec![None; function.values.len()],
        blocks: Vec::new(),
        locals: Vec::new(),
        slots: Vec::new(),
        callees: BTreeMap::new(),
        entries: BTreeMap::new(),
        traps: BTreeMap::new(),
        data: None,
    };
    body.declare();
    for block in reverse_postorder(function) {
        body.fill(block);
    }
    body.fill_traps();
    body.builder.seal_all_blocks();
    body.builder.finalize(frontend_config);
}

pub(super) struct Body<'a, 'f> {
    pub(super) module: &'a mut dyn Module,
    pub(super) names: &'a Names<'a>,
    pub(super) function: &'a Function,
    pub(super) builder: FunctionBuilder<'f>,
    pub(super) regions: Regions,
    values: Vec<Option<ir::Value>>,
    /// Of the values that are integer constants.
    constants: Vec<Option<i64>>,
    blocks: Vec<ir::Block>,
    locals: Vec<Variable>,
    slots: Vec<ir::StackSlot>,
    pub(super) callees: BTreeMap<FunctionId, ir::FuncRef>,
    pub(super) entries: BTreeMap<Entry, ir::SigRef>,
    /// Where the checks of a place go when they fail.
    pub(super) traps: BTreeMap<(Trap, Site), ir::Block>,
    pub(super) data: Option<ir::ExternalName>,
}

impl Body<'_, '_> {
    fn declare(&mut self) {
        for (index, block) in self.function.blocks.iter().enumerate() {
            let clif = self.builder.create_block();
            self.blocks.push(clif);
            if block.cold {
                self.builder.set_cold_block(clif);
            }
            for &parameter in &block.parameters {
                let ty = self.ty(parameter);
                // The entry block's parameters are the function's.
                let value = self.builder.append_block_param(clif, ty);
                self.values[parameter.index()] = Some(value);
            }
            debug_assert!(index != 0 || block.parameters.len() == self.parameter_count());
        }
        for local in &self.function.locals {
            self.locals
                .push(self.builder.declare_var(clif_type(local.ty)));
        }
        for slot in &self.function.slots {
            let align_shift = u8::try_from(slot.align.trailing_zeros()).expect("at most 4");
            let data =
                ir::StackSlotData::new(ir::StackSlotKind::ExplicitSlot, slot.size, align_shift);
            self.slots.push(self.builder.create_sized_stack_slot(data));
        }
    }

    fn parameter_count(&self) -> usize {
        self.builder.func.signature.params.len()
    }

    fn fill(&mut self, index: usize) {
        let function = self.function;
        let block = &function.blocks[index];
        self.builder.switch_to_block(self.blocks[index]);
        for inst in &block.insts {
            self.set_line(inst.line);
            let value = self.inst(inst);
            if let Some(result) = inst.result {
                self.values[result.index()] = value;
            }
        }
        let terminator = block.terminator.as_ref().expect("verified");
        self.terminator(terminator);
    }

    fn set_line(&mut self, line: u32) {
        let place = if line == 0 {
            ir::SourceLoc::default()
        } else {
            ir::SourceLoc::new(line)
        };
        self.builder.set_srcloc(place);
    }

    /// What a value has become.
    pub(super) fn value(&self, value: Value) -> ir::Value {
        self.values[value.index()].expect("definitions dominate uses")
    }

    pub(super) fn all(&self, values: &[Value]) -> Vec<ir::Value> {
        values.iter().map(|value| self.value(*value)).collect()
    }

    fn ty(&self, value: Value) -> ir::Type {
        clif_type(self.function.values[value.index()])
    }

    fn inst(&mut self, inst: &Inst) -> Option<ir::Value> {
        let result_type = inst.result.map(|result| self.ty(result));
        // The verifier has seen that there is a result where one is needed.
        let ty = result_type.unwrap_or(types::I64);
        Some(match &inst.op {
            Op::Integer(value) => {
                let result = inst.result.expect("verified");
                self.constants[result.index()] = Some(*value);
                self.builder.ins().iconst(ty, *value)
            }
            Op::Real(value) if ty == types::F32 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the constant is of this type"
                )]
                let value = *value as f32;
                self.builder.ins().f32const(value)
            }
            Op::Real(value) => self.builder.ins().f64const(*value),
            Op::Get(local) => self.builder.use_var(self.locals[local.index()]),
            Op::Set(local, value) => {
                let value = self.value(*value);
                self.builder.def_var(self.locals[local.index()], value);
                return None;
            }
            Op::SlotAddress(slot) => {
                self.builder
                    .ins()
                    .stack_addr(types::I64, self.slots[slot.index()], 0)
            }
            Op::BlobAddress(blob) => self.data_address(self.names.layout.blob(*blob)),
            Op::TypeAddress(ty) => self.data_address(self.names.layout.ty(*ty)),
            Op::Control(field) => self.control_field(*field),
            Op::Load {
                address,
                offset,
                region,
            } => self.load(ty, *address, *offset, *region),
            Op::Store {
                value,
                address,
                offset,
                region,
            } => {
                self.store(*value, *address, *offset, *region);
                return None;
            }
            Op::Copy { to, from, size } => {
                self.copy(*to, *from, *size);
                return None;
            }
            Op::Zero { address, size } => {
                self.zero(*address, *size);
                return None;
            }
            Op::Unary(op, value) => self.unary(*op, *value, ty),
            Op::Binary(op, a, b) => self.binary(*op, *a, *b),
            Op::Compare(op, a, b) => {
                let (a, b) = (self.value(*a), self.value(*b));
                self.builder.ins().icmp(condition(*op), a, b)
            }
            Op::CompareReal(op, a, b) => {
                let (a, b) = (self.value(*a), self.value(*b));
                self.builder.ins().fcmp(condition_real(*op), a, b)
            }
            Op::Select(condition, a, b) => {
                let (condition, a, b) = (self.value(*condition), self.value(*a), self.value(*b));
                self.builder.ins().select(condition, a, b)
            }
            Op::Check {
                condition,
                trap,
                site,
            } => {
                self.check(*condition, *trap, *site);
                return None;
            }
            Op::Call(function, arguments) => return self.call(*function, arguments),
            Op::CallEntry(entry, arguments) => {
                let arguments = self.all(arguments);
                return self.call_entry(*entry, &arguments);
            }
            Op::Poll => {
                self.poll();
                return None;
            }
        })
    }

    fn unary(&mut self, op: Unary, operand: Value, ty: ir::Type) -> ir::Value {
        let value = self.value(operand);
        match op {
            Unary::SignExtend => self.builder.ins().sextend(ty, value),
            Unary::ZeroExtend => self.builder.ins().uextend(ty, value),
            Unary::Truncate => self.builder.ins().ireduce(ty, value),
            Unary::ToReal => {
                let is_short = self.ty(operand).bits() < 32;
                let value = if is_short {
                    self.builder.ins().sextend(types::I32, value)
                } else {
                    value
                };
                self.builder.ins().fcvt_from_sint(ty, value)
            }
            Unary::ToInteger if ty.bits() < 32 => self.saturate_short(value, ty),
            Unary::ToInteger => self.builder.ins().fcvt_to_sint_sat(ty, value),
            Unary::ConvertReal if ty == types::F64 => self.builder.ins().fpromote(ty, value),
            Unary::ConvertReal => self.builder.ins().fdemote(ty, value),
            Unary::Negate => self.builder.ins().ineg(value),
            Unary::NegateReal => self.builder.ins().fneg(value),
            Unary::AbsoluteReal => self.builder.ins().fabs(value),
            Unary::Complement => self.builder.ins().bnot(value),
            Unary::SquareRoot => self.builder.ins().sqrt(value),
        }
    }

    /// Saturating conversion to fewer than 32 bits, which the machine does not have.
    fn saturate_short(&mut self, value: ir::Value, ty: ir::Type) -> ir::Value {
        let most = (1i64 << (ty.bits() - 1)) - 1;
        let wide = self.builder.ins().fcvt_to_sint_sat(types::I32, value);
        let most_value = self.builder.ins().iconst(types::I32, most);
        let least_value = self.builder.ins().iconst(types::I32, -most - 1);
        let capped = self.builder.ins().smin(wide, most_value);
        let both = self.builder.ins().smax(capped, least_value);
        self.builder.ins().ireduce(ty, both)
    }

    fn binary(&mut self, op: Binary, a: Value, b: Value) -> ir::Value {
        let (x, y) = (self.value(a), self.value(b));
        let ins = self.builder.ins();
        match op {
            Binary::Add => ins.iadd(x, y),
            Binary::Subtract => ins.isub(x, y),
            Binary::Multiply => ins.imul(x, y),
            Binary::Divide => self.divide(x, b),
            Binary::Modulo => {
                let (divisor, _) = self.safe_divisor(b);
                self.builder.ins().srem(x, divisor)
            }
            Binary::And => ins.band(x, y),
            Binary::Or => ins.bor(x, y),
            Binary::Xor => ins.bxor(x, y),
            Binary::ShiftLeft => ins.ishl(x, y),
            Binary::ShiftRight => ins.sshr(x, y),
            Binary::Minimum => ins.smin(x, y),
            Binary::Maximum => ins.smax(x, y),
            Binary::AddReal => ins.fadd(x, y),
            Binary::SubtractReal => ins.fsub(x, y),
            Binary::MultiplyReal => ins.fmul(x, y),
            Binary::DivideReal => ins.fdiv(x, y),
        }
    }

    fn divide(&mut self, x: ir::Value, divisor: Value) -> ir::Value {
        let (divisor, is_minus_one) = self.safe_divisor(divisor);
        let quotient = self.builder.ins().sdiv(x, divisor);
        match is_minus_one {
            None => quotient,
            Some(is_minus_one) => {
                let negated = self.builder.ins().ineg(x);
                self.builder.ins().select(is_minus_one, negated, quotient)
            }
        }
    }

    /// The machine traps on MIN / -1, where the language wraps: -1 becomes 1, and the condition says so. A remainder by 1 is
    /// what it is by -1.
    fn safe_divisor(&mut self, divisor: Value) -> (ir::Value, Option<ir::Value>) {
        let value = self.value(divisor);
        if matches!(self.constants[divisor.index()], Some(constant) if constant != -1) {
            return (value, None);
        }
        let ty = self.ty(divisor);
        let is_minus_one = self.builder.ins().icmp_imm_s(IntCC::Equal, value, -1);
        let one = self.builder.ins().iconst(ty, 1);
        (
            self.builder.ins().select(is_minus_one, one, value),
            Some(is_minus_one),
        )
    }

    fn terminator(&mut self, terminator: &Terminator) {
        match terminator {
            Terminator::Jump(target) => {
                let (block, arguments) = self.target(target);
                self.builder.ins().jump(block, &arguments);
            }
            Terminator::Branch(condition, yes, no) => {
                let condition = self.value(*condition);
                let (yes, yes_arguments) = self.target(yes);
                let (no, no_arguments) = self.target(no);
                self.builder
                    .ins()
                    .brif(condition, yes, &yes_arguments, no, &no_arguments);
            }
            Terminator::Switch(value, cases, otherwise) => {
                let mut switch = Switch::new();
                for (case, block) in cases {
                    switch.set_entry(u128::from(case.cast_unsigned()), self.blocks[block.index()]);
                }
                let value = self.value(*value);
                switch.emit(&mut self.builder, value, self.blocks[otherwise.index()]);
            }
            Terminator::Return(value) => {
                let values: Vec<ir::Value> = value.iter().map(|value| self.value(*value)).collect();
                self.builder.ins().return_(&values);
            }
            Terminator::Trap(trap, site) => {
                let block = self.trap_block(*trap, *site);
                self.builder.ins().jump(block, &[]);
            }
            Terminator::Unreachable => self.unreachable(),
        }
    }

    fn target(&self, target: &Target) -> (ir::Block, Vec<BlockArg>) {
        let arguments = target
            .arguments
            .iter()
            .map(|value| self.value(*value).into())
            .collect();
        (self.blocks[target.block.index()], arguments)
    }
}

fn condition(op: Compare) -> IntCC {
    match op {
        Compare::Equal => IntCC::Equal,
        Compare::NotEqual => IntCC::NotEqual,
        Compare::Less => IntCC::SignedLessThan,
        Compare::LessEqual => IntCC::SignedLessThanOrEqual,
        Compare::Greater => IntCC::SignedGreaterThan,
        Compare::GreaterEqual => IntCC::SignedGreaterThanOrEqual,
        Compare::Below => IntCC::UnsignedLessThan,
        Compare::BelowEqual => IntCC::UnsignedLessThanOrEqual,
        Compare::Above => IntCC::UnsignedGreaterThan,
        Compare::AboveEqual => IntCC::UnsignedGreaterThanOrEqual,
    }
}

/// Ordered, except for `NotEqual`.
fn condition_real(op: CompareReal) -> FloatCC {
    match op {
        CompareReal::Equal => FloatCC::Equal,
        CompareReal::NotEqual => FloatCC::NotEqual,
        CompareReal::Less => FloatCC::LessThan,
        CompareReal::LessEqual => FloatCC::LessThanOrEqual,
        CompareReal::Greater => FloatCC::GreaterThan,
        CompareReal::GreaterEqual => FloatCC::GreaterThanOrEqual,
    }
}
