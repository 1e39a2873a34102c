//! The rules of the mid-level representation, and the check that a program keeps them.
//!
//! Runs between passes in debug builds and in all tests. Whatever it finds is a defect of the compiler, never of the user's program.
//! It reports everything it finds, not only the first.
//!
//! Tables
//! - Every id is inside its table.
//! - Function names are unique. Alignments are powers of two; a type's size is a multiple of its alignment, and its fields lie inside it.
//! - A process' code takes the address of the argument table (one I64) and returns nothing; alternatives take state and arguments
//!   (two I64) and return an I32, in operation context; initialisation of a data module takes nothing or one I64 and returns nothing.
//! - `main` is a process without parameters.
//!
//! Control flow
//! - A function has an entry block, and nothing jumps to it. Every block has a terminator.
//! - A target gets as many arguments as its block has parameters, of the same types; targets of a switch have no parameters; cases are distinct.
//! - A return has a value exactly if the function has a result, of that type.
//! - A final entry is the last instruction of its block; its block, and no other, ends in `unreachable`.
//!
//! Values
//! - Every value is defined once, and its definition dominates every use. (What cannot be reached may use anything.)
//! - An instruction has a result exactly if its operation gives one; operands and result have the types that the operation
//!   asks for; an integer constant fits its type, sign-extended.
//! - Calls match the callee's parameters and result; calls of entries match [`orca_abi::symbols`].
//!
//! Context
//! - In operation context: no polls, no waiting entries, no `exit`, and only calls of functions in operation context.
//! - Only there is the region `object` accessed. The regions `constant` and `control` are never stored to.
//!
//! Not checked: that memory accesses stay inside what they access, and that regions tell the truth.

use std::collections::BTreeSet;
use std::fmt;

use orca_abi::symbols::{Class, Entry, Word};

use crate::mir::{
    Binary, Block, Context, ControlField, Function, FunctionId, Inst, Op, ParameterDescriptor,
    Program, Region, Target, Terminator, Ty, TypeId, Unary, Value,
};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Function, block and instruction, or the table's row.
    pub place: String,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong with a program; empty if nothing is.
pub fn verify(program: &Program) -> Vec<Violation> {
    let mut violations = verify_tables(program);
    for (index, function) in program.functions.iter().enumerate() {
        let mut checker = FunctionChecker::new(program, index, function);
        checker.check();
        violations.append(&mut checker.violations);
    }
    violations
}

/// Stops the compiler if `program` breaks a rule; `after` names the phase that made it.
pub fn assert_valid(program: &Program, after: &str) {
    let violations = verify(program);
    if !violations.is_empty() {
        let list: Vec<String> = violations
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect();
        panic!(
            "invalid intermediate code after {after}:\n  {}",
            list.join("\n  ")
        );
    }
}

// Tables.

struct Tables<'a> {
    program: &'a Program,
    violations: Vec<Violation>,
    place: String,
}

fn verify_tables(program: &Program) -> Vec<Violation> {
    let mut tables = Tables {
        program,
        violations: Vec::new(),
        place: String::new(),
    };
    tables.functions();
    tables.types();
    tables.objects();
    tables.rest();
    tables.violations
}

impl Tables<'_> {
    fn require(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(Violation {
                place: self.place.clone(),
                message: message(),
            });
        }
    }

    fn inside(&mut self, index: u32, len: usize, what: &str) -> bool {
        let holds = (index as usize) < len;
        self.require(holds, || format!("{what}{index} does not exist"));
        holds
    }

    fn ty(&mut self, id: TypeId) {
        self.inside(id.0, self.program.types.len(), "t");
    }

    fn parameters(&mut self, parameters: &[ParameterDescriptor]) {
        for parameter in parameters {
            self.ty(parameter.ty);
        }
    }

    fn code(&mut self, id: FunctionId, context: Context, accepted: &[&[Ty]], result: Option<Ty>) {
        if !self.inside(id.0, self.program.functions.len(), "f") {
            return;
        }
        let function = &self.program.functions[id.index()];
        let parameters = parameter_types(function);
        self.require(
            function.context == context
                && function.result == result
                && accepted.contains(&parameters.as_slice()),
            || format!("{id} has the wrong signature or context for its role"),
        );
    }

    fn functions(&mut self) {
        let mut names = BTreeSet::new();
        for (index, function) in self.program.functions.iter().enumerate() {
            self.place = format!("f{index}");
            self.inside(function.routine.0, self.program.routines.len(), "r");
            self.require(names.insert(function.name.as_str()), || {
                format!("a second function is named {:?}", function.name)
            });
        }
    }

    fn types(&mut self) {
        for (index, ty) in self.program.types.iter().enumerate() {
            self.place = format!("t{index}");
            let align = u64::from(ty.align);
            self.require(
                ty.align.is_power_of_two() && ty.size % align.max(1) == 0,
                || format!("size {} and alignment {} do not fit", ty.size, ty.align),
            );
            for id in ty.element.iter().chain(&ty.root) {
                self.ty(*id);
            }
            if let Some(object) = ty.object {
                self.inside(object.0, self.program.objects.len(), "o");
            }
            for field in &ty.fields {
                self.ty(field.ty);
                let size = self
                    .program
                    .types
                    .get(field.ty.index())
                    .map_or(0, |ty| ty.size);
                self.require(field.offset.saturating_add(size) <= ty.size, || {
                    format!("field {:?} lies outside", field.name)
                });
            }
        }
    }

    fn objects(&mut self) {
        for (index, object) in self.program.objects.iter().enumerate() {
            self.place = format!("o{index}");
            self.ty(object.state);
            self.ty(object.ty);
            for operation in &object.operations {
                self.place = format!("o{index}, operation {:?}", operation.name);
                self.inside(operation.routine.0, self.program.routines.len(), "r");
                for code in operation.reads.iter().chain(&operation.writes) {
                    self.code(
                        *code,
                        Context::Operation,
                        &[&[Ty::I64, Ty::I64]],
                        Some(Ty::I32),
                    );
                }
                if let Some(result) = operation.result {
                    self.ty(result);
                }
                self.parameters(&operation.parameters);
            }
        }
    }

    fn rest(&mut self) {
        let program = self.program;
        for (index, site) in program.sites.iter().enumerate() {
            self.place = format!("@{index}");
            self.inside(site.routine.0, program.routines.len(), "r");
        }
        for process in &program.processes {
            self.place = format!("process {:?}", process.name);
            self.code(process.code, Context::Process, &[&[Ty::I64]], None);
            self.parameters(&process.parameters);
        }
        for module in &program.data_modules {
            self.place = format!("module {:?}", module.name);
            if let Some(init) = module.init {
                self.code(init, Context::Process, &[&[], &[Ty::I64]], None);
            }
        }
        for variable in &program.data_variables {
            self.place = format!("variable {:?}", variable.name);
            self.ty(variable.ty);
            self.inside(variable.module, program.data_modules.len(), "module ");
            let size = program
                .types
                .get(variable.ty.index())
                .map_or(0, |ty| ty.size);
            self.require(
                variable.offset.saturating_add(size) <= program.data_size,
                || "lies outside the data".to_owned(),
            );
        }
        self.place = "program".to_owned();
        if self.inside(program.main, program.processes.len(), "process ") {
            let main = &program.processes[program.main as usize];
            self.require(main.parameters.is_empty(), || {
                "main has parameters".to_owned()
            });
        }
    }
}

/// The types of a function's parameters; I64 for those that do not exist.
fn parameter_types(function: &Function) -> Vec<Ty> {
    let Some(entry) = function.blocks.first() else {
        return Vec::new();
    };
    let ty = |value: &Value| {
        function
            .values
            .get(value.index())
            .copied()
            .unwrap_or(Ty::I64)
    };
    entry.parameters.iter().map(ty).collect()
}

/// The machine type of an entry's argument or result.
pub(crate) fn type_of_word(word: Word) -> Ty {
    match word {
        Word::I8 => Ty::I8,
        Word::I16 => Ty::I16,
        Word::I32 => Ty::I32,
        Word::I64 | Word::Pointer => Ty::I64,
        Word::F32 => Ty::F32,
        Word::F64 => Ty::F64,
    }
}

impl Ty {
    /// Whether it is an integer type.
    pub fn is_integer(self) -> bool {
        !self.is_real()
    }

    /// Whether it is a floating-point type.
    pub fn is_real(self) -> bool {
        matches!(self, Ty::F32 | Ty::F64)
    }

    /// Number of bits.
    pub fn bits(self) -> u32 {
        match self {
            Ty::I8 => 8,
            Ty::I16 => 16,
            Ty::I32 | Ty::F32 => 32,
            Ty::I64 | Ty::F64 => 64,
        }
    }
}

impl Terminator {
    /// The blocks that may come next, with the arguments they get.
    pub fn targets(&self) -> Vec<(Block, &[Value])> {
        fn parts(target: &Target) -> (Block, &[Value]) {
            (target.block, &target.arguments)
        }
        match self {
            Terminator::Jump(target) => vec![parts(target)],
            Terminator::Branch(_, yes, no) => vec![parts(yes), parts(no)],
            Terminator::Switch(_, cases, otherwise) => {
                let cases = cases.iter().map(|(_, block)| *block);
                cases
                    .chain([*otherwise])
                    .map(|block| (block, &[][..]))
                    .collect()
            }
            Terminator::Return(_) | Terminator::Trap(..) | Terminator::Unreachable => Vec::new(),
        }
    }
}

impl Op {
    /// The values that it uses, in order.
    pub fn operands(&self) -> Vec<Value> {
        match self {
            Op::Integer(_)
            | Op::Real(_)
            | Op::Get(_)
            | Op::SlotAddress(_)
            | Op::BlobAddress(_)
            | Op::TypeAddress(_)
            | Op::Control(_)
            | Op::Poll => Vec::new(),
            Op::Set(_, a) | Op::Unary(_, a) => vec![*a],
            Op::Load { address, .. } | Op::Zero { address, .. } => vec![*address],
            Op::Store { value, address, .. } => vec![*value, *address],
            Op::Copy { to, from, .. } => vec![*to, *from],
            Op::Binary(_, a, b) | Op::Compare(_, a, b) | Op::CompareReal(_, a, b) => vec![*a, *b],
            Op::Select(condition, a, b) => vec![*condition, *a, *b],
            Op::Check { condition, .. } => vec![*condition],
            Op::Call(_, arguments) | Op::CallEntry(_, arguments) => arguments.clone(),
        }
    }
}

// Functions.

/// Where a value is defined: its block, and the place in it (0 for parameters).
type Place = (usize, usize);

struct FunctionChecker<'a> {
    program: &'a Program,
    function: &'a Function,
    name: String,
    definitions: Vec<Option<Place>>,
    /// Immediate dominators; `None` for blocks that cannot be reached.
    dominators: Vec<Option<usize>>,
    here: Place,
    violations: Vec<Violation>,
}

impl<'a> FunctionChecker<'a> {
    fn new(program: &'a Program, index: usize, function: &'a Function) -> FunctionChecker<'a> {
        FunctionChecker {
            program,
            function,
            name: format!("f{index} {:?}", function.name),
            definitions: vec![None; function.values.len()],
            dominators: Vec::new(),
            here: (0, 0),
            violations: Vec::new(),
        }
    }

    fn report(&mut self, message: String) {
        let (block, at) = self.here;
        let inst = match at {
            0 => String::new(),
            at => format!(", instruction {at}"),
        };
        let place = format!("{}, b{block}{inst}", self.name);
        self.violations.push(Violation { place, message });
    }

    fn require(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.report(message());
        }
    }

    fn check(&mut self) {
        let function = self.function;
        if function.blocks.is_empty() {
            return self.report("there is no entry block".to_owned());
        }
        for (index, slot) in function.slots.iter().enumerate() {
            self.require(slot.align.is_power_of_two() && slot.align <= 16, || {
                format!("s{index} has alignment {}", slot.align)
            });
        }
        if !self.check_targets() {
            return;
        }
        self.collect_definitions();
        self.dominators = dominators(function);
        for (block, data) in function.blocks.iter().enumerate() {
            for (index, inst) in data.insts.iter().enumerate() {
                self.here = (block, index + 1);
                self.check_inst(inst);
                let is_last = index + 1 == data.insts.len();
                self.require(is_last || !is_final(inst), || {
                    "a final entry is not the last instruction".to_owned()
                });
            }
            self.here = (block, data.insts.len() + 1);
            self.check_terminator(block);
        }
    }

    /// Whether control flow makes sense at all.
    fn check_targets(&mut self) -> bool {
        let function = self.function;
        let count = function.blocks.len();
        for (index, block) in function.blocks.iter().enumerate() {
            self.here = (index, 0);
            match &block.terminator {
                None => self.report("there is no terminator".to_owned()),
                Some(terminator) => {
                    for (target, _) in terminator.targets() {
                        self.require(target.index() < count, || {
                            format!("{target} does not exist")
                        });
                        self.require(target.index() != 0, || "jump to the entry block".to_owned());
                    }
                }
            }
        }
        self.violations.is_empty()
    }

    fn collect_definitions(&mut self) {
        for (block, data) in self.function.blocks.iter().enumerate() {
            for &parameter in &data.parameters {
                self.define(parameter, (block, 0));
            }
            for (index, inst) in data.insts.iter().enumerate() {
                if let Some(result) = inst.result {
                    self.define(result, (block, index + 1));
                }
            }
        }
    }

    fn define(&mut self, value: Value, place: Place) {
        self.here = place;
        match self.definitions.get_mut(value.index()) {
            None => self.report(format!("{value} does not exist")),
            Some(Some(_)) => self.report(format!("{value} is defined twice")),
            Some(definition) => *definition = Some(place),
        }
    }

    /// The type of an operand, if it may be used here.
    fn operand(&mut self, value: Value) -> Option<Ty> {
        let Some(definition) = self.definitions.get(value.index()).copied() else {
            self.report(format!("{value} does not exist"));
            return None;
        };
        let dominates = match definition {
            None => false,
            Some((block, at)) if block == self.here.0 => at < self.here.1,
            Some((block, _)) => self.is_dominated(self.here.0, block),
        };
        self.require(dominates, || {
            format!("{value} is used where it is not defined")
        });
        Some(self.function.values[value.index()])
    }

    fn is_dominated(&self, mut block: usize, by: usize) -> bool {
        if self.dominators[block].is_none() {
            return true;
        }
        while block != by {
            match self.dominators[block] {
                Some(next) if next != block => block = next,
                _ => return false,
            }
        }
        true
    }

    fn expect(&mut self, value: Value, wanted: Ty) {
        if let Some(found) = self.operand(value) {
            self.require(found == wanted, || {
                format!("{value} is {found}, not {wanted}")
            });
        }
    }

    fn expect_arguments(&mut self, values: &[Value], wanted: &[Ty]) {
        self.require(values.len() == wanted.len(), || {
            format!("{} arguments instead of {}", values.len(), wanted.len())
        });
        for (value, ty) in values.iter().zip(wanted) {
            self.expect(*value, *ty);
        }
    }

    fn check_inst(&mut self, inst: &Inst) {
        let result = inst
            .result
            .and_then(|value| self.function.values.get(value.index()).copied());
        match (self.result_of(&inst.op, result), result) {
            (Ok(None), None) => {}
            (Ok(Some(wanted)), Some(found)) => {
                self.require(wanted == found, || {
                    format!("the result is {found}, not {wanted}")
                });
            }
            (Ok(Some(_)), None) => self.report("there is no result".to_owned()),
            (Ok(None), Some(_)) => self.report("there is a result".to_owned()),
            (Err(message), _) => self.report(message),
        }
    }

    /// Checks the operands; gives the type that the result must have, where several will do the one it has.
    fn result_of(&mut self, op: &Op, result: Option<Ty>) -> Result<Option<Ty>, String> {
        let function = self.function;
        Ok(match op {
            Op::Integer(value) => {
                let ty = result
                    .filter(|ty| ty.is_integer())
                    .ok_or("the result is no integer")?;
                let unused = 64 - ty.bits();
                if (value << unused) >> unused != *value {
                    return Err(format!("{value} is no {ty}, sign-extended"));
                }
                Some(ty)
            }
            Op::Real(_) => Some(
                result
                    .filter(|ty| ty.is_real())
                    .ok_or("the result is no real")?,
            ),
            Op::Get(local) => Some(
                function
                    .locals
                    .get(local.index())
                    .ok_or("no such local")?
                    .ty,
            ),
            Op::Set(local, value) => {
                let ty = function
                    .locals
                    .get(local.index())
                    .ok_or("no such local")?
                    .ty;
                self.expect(*value, ty);
                None
            }
            Op::SlotAddress(slot) => {
                function.slots.get(slot.index()).ok_or("no such slot")?;
                Some(Ty::I64)
            }
            Op::BlobAddress(blob) => {
                self.program
                    .blobs
                    .get(blob.index())
                    .ok_or("no such constant")?;
                Some(Ty::I64)
            }
            Op::TypeAddress(ty) => {
                self.program.types.get(ty.index()).ok_or("no such type")?;
                Some(Ty::I64)
            }
            Op::Control(ControlField::Ncpus | ControlField::Mycpu) => Some(Ty::I32),
            Op::Control(ControlField::Data) => Some(Ty::I64),
            Op::Load {
                address, region, ..
            } => {
                self.expect(*address, Ty::I64);
                self.check_region(*region);
                Some(result.ok_or("there is no result")?)
            }
            Op::Store {
                value,
                address,
                region,
                ..
            } => {
                self.operand(*value);
                self.expect(*address, Ty::I64);
                self.check_region(*region);
                self.require(
                    !matches!(region, Region::Constant | Region::Control),
                    || "a store to a region that is not written".to_owned(),
                );
                None
            }
            Op::Copy { to, from, .. } => {
                self.expect_arguments(&[*to, *from], &[Ty::I64; 2]);
                None
            }
            Op::Zero { address, .. } => {
                self.expect(*address, Ty::I64);
                None
            }
            Op::Unary(op, value) => {
                let from = self.operand(*value).ok_or("no operand")?;
                let to = result.ok_or("there is no result")?;
                if !converts(*op, from, to) {
                    return Err(format!("no such instruction from {from} to {to}"));
                }
                Some(to)
            }
            Op::Binary(op, a, b) => {
                let ty = self.operand(*a).ok_or("no operand")?;
                self.expect(*b, ty);
                if is_real(*op) != ty.is_real() {
                    return Err(format!("no such instruction on {ty}"));
                }
                Some(ty)
            }
            Op::Compare(_, a, b) => {
                let ty = self.operand(*a).ok_or("no operand")?;
                self.require(ty.is_integer(), || format!("an integer comparison of {ty}"));
                self.expect(*b, ty);
                Some(Ty::I8)
            }
            Op::CompareReal(_, a, b) => {
                let ty = self.operand(*a).ok_or("no operand")?;
                self.require(ty.is_real(), || format!("a real comparison of {ty}"));
                self.expect(*b, ty);
                Some(Ty::I8)
            }
            Op::Select(condition, a, b) => {
                self.expect(*condition, Ty::I8);
                let ty = self.operand(*a).ok_or("no operand")?;
                self.expect(*b, ty);
                Some(ty)
            }
            Op::Check {
                condition, site, ..
            } => {
                self.expect(*condition, Ty::I8);
                self.program.sites.get(site.index()).ok_or("no such site")?;
                None
            }
            Op::Call(callee, arguments) => {
                let callee = self
                    .program
                    .functions
                    .get(callee.index())
                    .ok_or("no such function")?;
                let wanted = parameter_types(callee);
                self.expect_arguments(arguments, &wanted);
                let allowed =
                    callee.context == Context::Operation || function.context == Context::Process;
                self.require(allowed, || {
                    "an operation calls a function in process context".to_owned()
                });
                callee.result
            }
            Op::CallEntry(entry, arguments) => {
                let signature = entry.signature();
                let wanted: Vec<Ty> = signature
                    .parameters
                    .iter()
                    .map(|word| type_of_word(*word))
                    .collect();
                self.expect_arguments(arguments, &wanted);
                self.check_class(*entry, signature.class);
                signature.result.map(type_of_word)
            }
            Op::Poll => {
                self.require(function.context == Context::Process, || {
                    "a poll in an operation".to_owned()
                });
                None
            }
        })
    }

    fn check_region(&mut self, region: Region) {
        let allowed = region != Region::Object || self.function.context == Context::Operation;
        self.require(allowed, || {
            "the state of an object outside an operation".to_owned()
        });
    }

    fn check_class(&mut self, entry: Entry, class: Class) {
        let is_operation = self.function.context == Context::Operation;
        let name = entry.signature().name;
        match class {
            Class::Leaf => {}
            Class::Poll => self.report("the poll is an instruction of its own".to_owned()),
            Class::Waiting => self.require(!is_operation, || {
                format!("an operation calls {name}, which waits")
            }),
            Class::Final => self.require(!is_operation || entry == Entry::Trap, || {
                format!("an operation calls {name}")
            }),
        }
    }

    fn check_terminator(&mut self, block: usize) {
        let function = self.function;
        let data = &function.blocks[block];
        let after_final = data.insts.last().is_some_and(is_final);
        let Some(terminator) = &data.terminator else {
            return;
        };
        let is_unreachable = *terminator == Terminator::Unreachable;
        self.require(after_final == is_unreachable, || {
            "`unreachable` and final entries go together".to_owned()
        });
        match terminator {
            Terminator::Branch(condition, ..) => self.expect(*condition, Ty::I8),
            Terminator::Switch(value, cases, _) => {
                self.expect(*value, Ty::I64);
                let distinct: BTreeSet<i64> = cases.iter().map(|(case, _)| *case).collect();
                self.require(distinct.len() == cases.len(), || {
                    "a case occurs twice".to_owned()
                });
            }
            Terminator::Return(value) => match (value, function.result) {
                (None, None) => {}
                (Some(value), Some(ty)) => self.expect(*value, ty),
                (None, Some(_)) => self.report("a return without a value".to_owned()),
                (Some(_), None) => self.report("a return with a value".to_owned()),
            },
            Terminator::Trap(_, site) => {
                let exists = site.index() < self.program.sites.len();
                self.require(exists, || format!("{site} does not exist"));
            }
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
        for (target, arguments) in terminator.targets() {
            let parameters = &function.blocks[target.index()].parameters;
            let ty = |value: &Value| function.values.get(value.index()).copied();
            let wanted: Option<Vec<Ty>> = parameters.iter().map(ty).collect();
            if let Some(wanted) = wanted {
                self.expect_arguments(arguments, &wanted);
            }
        }
    }
}

fn is_final(inst: &Inst) -> bool {
    matches!(&inst.op, Op::CallEntry(entry, _) if entry.signature().class == Class::Final)
}

fn converts(op: Unary, from: Ty, to: Ty) -> bool {
    match op {
        Unary::SignExtend | Unary::ZeroExtend => {
            from.is_integer() && to.is_integer() && from.bits() < to.bits()
        }
        Unary::Truncate => from.is_integer() && to.is_integer() && from.bits() > to.bits(),
        Unary::ToReal => from.is_integer() && to.is_real(),
        Unary::ToInteger => from.is_real() && to.is_integer(),
        Unary::ConvertReal => from.is_real() && to.is_real() && from != to,
        Unary::Negate | Unary::Complement => from.is_integer() && from == to,
        Unary::NegateReal | Unary::AbsoluteReal => from.is_real() && from == to,
        Unary::SquareRoot => from == Ty::F64 && to == Ty::F64,
    }
}

fn is_real(op: Binary) -> bool {
    matches!(
        op,
        Binary::AddReal | Binary::SubtractReal | Binary::MultiplyReal | Binary::DivideReal
    )
}

/// The immediate dominator of each block that can be reached; the entry is its own.
pub(crate) fn dominators(function: &Function) -> Vec<Option<usize>> {
    let order = reverse_postorder(function);
    let mut rank = vec![usize::MAX; function.blocks.len()];
    for (index, &block) in order.iter().enumerate() {
        rank[block] = index;
    }
    let mut predecessors = vec![Vec::new(); function.blocks.len()];
    for &block in &order {
        for (target, _) in successors(function, block) {
            predecessors[target.index()].push(block);
        }
    }
    let mut dominators: Vec<Option<usize>> = vec![None; function.blocks.len()];
    dominators[0] = Some(0);
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().skip(1) {
            let mut common: Option<usize> = None;
            for &predecessor in &predecessors[block] {
                if dominators[predecessor].is_none() {
                    continue;
                }
                common = Some(match common {
                    None => predecessor,
                    Some(other) => meet(&dominators, &rank, other, predecessor),
                });
            }
            if common != dominators[block] {
                dominators[block] = common;
                changed = true;
            }
        }
    }
    dominators
}

fn meet(dominators: &[Option<usize>], rank: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        // Both have been processed, so both have a dominator.
        if rank[a] > rank[b] {
            a = dominators[a].expect("processed");
        } else {
            b = dominators[b].expect("processed");
        }
    }
    a
}

fn successors(function: &Function, block: usize) -> Vec<(Block, &[Value])> {
    function.blocks[block]
        .terminator
        .as_ref()
        .map_or_else(Vec::new, Terminator::targets)
}

/// The blocks that can be reached, each before those that only it leads to.
pub(crate) fn reverse_postorder(function: &Function) -> Vec<usize> {
    let mut seen = vec![false; function.blocks.len()];
    let mut order = Vec::new();
    let mut stack = vec![(0, 0)];
    seen[0] = true;
    while let Some((block, next)) = stack.pop() {
        match successors(function, block).get(next) {
            Some((target, _)) => {
                stack.push((block, next + 1));
                if !std::mem::replace(&mut seen[target.index()], true) {
                    stack.push((target.index(), 0));
                }
            }
            None => order.push(block),
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests;
