//! One routine: its parameters and variables, its body, its ways out.
//!
//! Functions take words by value and everything else by pointer; processes and operations take a table of addresses. An OUT formal is a
//! fresh variable that moves to the actual when the routine completes. RETURN and the end of the body meet in one exit block.
//! An operation becomes up to two functions, one for its read and one for its write alternatives; a plain body is
//! one alternative without a guard.
//!
//! Implements: ORCA.md 7, 9.3, 9.4; orca_abi::descriptor (calling conventions).

use orca_abi::descriptor::{BLOCKED, DONE};
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;

use super::scope::{Scope, Storage};
use super::visit::Used;
use super::{Class, Instance, Lowerer};
use crate::hir::{self, Alternative, LocalId, LocalKind, OperationBody, Stmt};
use crate::mir::build::{Address, Builder};
use crate::mir::layout::Shape;
use crate::mir::{
    self, Block, Context, Function, Op, Region, RoutineId, Slot, Terminator, Ty, Value,
};
use crate::source::Span;

/// Where a local of the routine is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home {
    /// Not in scope here.
    Unset,
    /// A word that the code may set.
    Local(mir::Local),
    /// A word that does not change, and the same as 64 bits if that exists.
    Word {
        value: Value,
        wide: Option<Value>,
    },
    Memory(Storage),
}

/// How the result leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// There is none.
    Nothing,
    /// In this local until the exit block.
    Local(mir::Local),
    /// Into memory: `fresh` if it is known to be all zero.
    Memory { pointer: Value, fresh: bool },
}

/// A block to leave to, and how many scopes stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    pub(super) block: Block,
    pub(super) depth: usize,
}

/// A routine being lowered.
pub(super) struct Body<'l, 'a> {
    pub(super) cx: &'l mut Lowerer<'a>,
    pub(super) hir: &'a hir::Program,
    pub(super) b: Builder,
    pub(super) context: Context,
    pub(super) routine: RoutineId,
    pub(super) locals: &'a [hir::Local],
    pub(super) homes: Vec<Home>,
    /// Of the operation or initialisation: its object type and the state's address.
    pub(super) own: Option<(hir::ObjectId, Value)>,
    pub(super) scopes: Vec<Scope>,
    /// Frame memory that no scope uses: slot, size, alignment.
    pub(super) free_slots: Vec<(Slot, u64, u32)>,
    pub(super) loops: Vec<Exit>,
    pub(super) exit: Option<Exit>,
    pub(super) outcome: Outcome,
}

/// Where arguments come from.
#[derive(Clone, Copy)]
enum Incoming<'v> {
    /// Function parameters, one a formal.
    Values(&'v [Value]),
    /// A table of addresses. `owned`: structured IN values may be modified where they are.
    Table { table: Value, owned: bool },
}

pub(super) fn lower_instance(cx: &mut Lowerer<'_>, instance: Instance, name: String) -> Function {
    let hir = cx.hir;
    match instance {
        Instance::Function(id, context) => {
            let function = &hir.functions[id.index()];
            let hir::FunctionBody::Orca(body) = &function.body else {
                unreachable!("library functions are entries");
            };
            let routine = &function.routine;
            Body::new(cx, name, &routine.title, &routine.file, context).function(routine, body)
        }
        Instance::Process(id) => {
            let process = &hir.processes[id.index()];
            let routine = &process.routine;
            let context = Context::Process;
            Body::new(cx, name, &routine.title, &routine.file, context)
                .process(routine, &process.body)
        }
        Instance::Operation(object, id, class, context) => {
            let operation = &hir.objects[object.index()].operations[id.index()];
            let routine = &operation.routine;
            Body::new(cx, name, &routine.title, &routine.file, context)
                .operation(object, operation, class)
        }
        Instance::Initialization(id, context) => {
            let object = &hir.objects[id.index()];
            let (title, file) = match &object.init {
                Some((routine, _)) => (routine.title.clone(), routine.file.clone()),
                None => (
                    format!("initialization of {}", object.name),
                    cx.file_name(object.span),
                ),
            };
            Body::new(cx, name, &title, &file, context).initialization(id, object)
        }
        Instance::Data(index) => {
            let module = &hir.data_modules[index];
            let routine = &module.routine;
            let context = Context::Process;
            Body::new(cx, name, &routine.title, &routine.file, context).data(module)
        }
    }
}

impl<'l, 'a> Body<'l, 'a> {
    fn new(
        cx: &'l mut Lowerer<'a>,
        name: String,
        title: &str,
        file: &str,
        context: Context,
    ) -> Body<'l, 'a> {
        let routine = cx.routine(title, file);
        let hir = cx.hir;
        Body {
            cx,
            hir,
            b: Builder::new(name, routine, context),
            context,
            routine,
            locals: &[],
            homes: Vec::new(),
            own: None,
            scopes: Vec::new(),
            free_slots: Vec::new(),
            loops: Vec::new(),
            exit: None,
            outcome: Outcome::Nothing,
        }
    }

    fn function(mut self, routine: &'a hir::Routine, body: &'a [Stmt]) -> Function {
        self.at(routine.span);
        let arguments: Vec<Value> = routine.locals[..routine.parameter_count]
            .iter()
            .map(|local| {
                let ty = match local.kind {
                    LocalKind::In { .. } => self.cx.layouts.scalar(local.ty).unwrap_or(Ty::I64),
                    _ => Ty::I64,
                };
                self.b.parameter(ty)
            })
            .collect();
        self.outcome = match routine.result {
            None => Outcome::Nothing,
            Some(result) => match self.cx.layouts.scalar(result) {
                Some(ty) => {
                    self.b.set_result(ty);
                    Outcome::Local(self.b.local("result", ty))
                }
                None => Outcome::Memory {
                    pointer: self.b.parameter(Ty::I64),
                    fresh: true,
                },
            },
        };
        if self.context == Context::Process {
            self.b.effect(Op::Poll);
        }
        self.push_scope();
        let incoming = Incoming::Values(&arguments);
        self.bind(routine, incoming, None);
        self.run(routine, body);
        self.copy_out(routine, incoming);
        self.pop_scope();
        let result = match self.outcome {
            Outcome::Local(local) => Some(self.b.get(local)),
            _ => None,
        };
        self.b.terminate(Terminator::Return(result));
        self.b.finish()
    }

    fn process(mut self, routine: &'a hir::Routine, body: &'a [Stmt]) -> Function {
        self.at(routine.span);
        let table = self.b.parameter(Ty::I64);
        self.b.effect(Op::Poll);
        self.push_scope();
        self.bind(routine, Incoming::Table { table, owned: true }, None);
        self.run(routine, body);
        self.pop_scope();
        self.end_process()
    }

    fn data(mut self, module: &'a hir::DataModule) -> Function {
        self.at(module.routine.span);
        self.b.parameter(Ty::I64);
        self.push_scope();
        for &id in &module.variables {
            let variable = &self.hir.data_variables[id.index()];
            let address = self.data_address(id);
            self.scoped(|body| body.create(variable.ty, address, &variable.init, variable.span));
        }
        self.bind(&module.routine, Incoming::Values(&[]), None);
        self.run(&module.routine, &module.body);
        self.pop_scope();
        self.end_process()
    }

    fn end_process(mut self) -> Function {
        self.b.entry(Entry::Exit, Vec::new());
        self.b.terminate(Terminator::Unreachable);
        self.b.finish()
    }

    fn initialization(mut self, id: hir::ObjectId, object: &'a hir::Object) -> Function {
        self.at(object.span);
        let state = self.b.parameter(Ty::I64);
        self.own = Some((id, state));
        self.push_scope();
        for (index, field) in object.fields.iter().enumerate() {
            let offset = self.cx.layouts.state_field(id, hir::FieldId(index as u32));
            let address = Address::new(state).plus(offset);
            self.scoped(|body| body.create(field.ty, address, &field.init, field.span));
        }
        if let Some((routine, body)) = &object.init {
            self.bind(routine, Incoming::Values(&[]), None);
            self.run(routine, body);
        }
        self.pop_scope();
        self.b.terminate(Terminator::Return(None));
        self.b.finish()
    }

    fn operation(
        mut self,
        object: hir::ObjectId,
        operation: &'a hir::Operation,
        class: Class,
    ) -> Function {
        self.at(operation.routine.span);
        let state = self.b.parameter(Ty::I64);
        let table = self.b.parameter(Ty::I64);
        self.b.set_result(Ty::I32);
        self.own = Some((object, state));
        match &operation.body {
            OperationBody::Plain { body, .. } => {
                self.attempt(&operation.routine, table, None, body);
            }
            OperationBody::Guards(alternatives) => {
                for alternative in alternatives {
                    if Class::of(alternative.class) == class {
                        self.at(alternative.span);
                        let next = self.b.block();
                        let guard = Some((alternative, next));
                        self.attempt(&operation.routine, table, guard, &alternative.body);
                        self.b.switch_to(next);
                    }
                }
                self.end_attempt(BLOCKED);
            }
        }
        self.b.finish()
    }

    /// One alternative, from fresh variables to DONE; to the block beside the guard, with nothing changed, if the guard yields false.
    fn attempt(
        &mut self,
        routine: &'a hir::Routine,
        table: Value,
        guard: Option<(&'a Alternative, Block)>,
        body: &'a [Stmt],
    ) {
        let incoming = Incoming::Table {
            table,
            owned: false,
        };
        self.push_scope();
        self.outcome = match routine.result {
            None => Outcome::Nothing,
            Some(_) => Outcome::Memory {
                pointer: self.incoming(incoming, routine.parameter_count),
                fresh: false,
            },
        };
        let used = guard.map(|(alternative, _)| {
            let mut used = Used::default();
            used.expr(&alternative.guard);
            used.stmts(body);
            used
        });
        self.bind(routine, incoming, used.as_ref());
        if let Some((alternative, next)) = guard {
            let saved = alternative.guard_writes.then(|| self.save_state());
            let (yes, no) = (self.b.block(), self.b.block());
            self.condition(&alternative.guard, yes, no);
            self.b.switch_to(no);
            if let Some(saved) = saved {
                self.restore_state(saved);
            }
            self.unwind(0);
            self.b.jump(next);
            self.b.switch_to(yes);
        }
        self.run(routine, body);
        self.copy_out(routine, incoming);
        self.pop_scope();
        self.end_attempt(DONE);
    }

    fn end_attempt(&mut self, status: u32) {
        let status = self.b.int(Ty::I32, i64::from(status));
        self.b.terminate(Terminator::Return(Some(status)));
    }

    /// A copy of the object's state.
    fn save_state(&mut self) -> Address {
        let (object, state) = self.own.expect("guards belong to an operation");
        let ty = self.cx.layouts.state(object);
        let saved = self.state_storage(object);
        self.state_copy(ty, saved, Address::new(state));
        saved
    }

    fn restore_state(&mut self, saved: Address) {
        let (object, state) = self.own.expect("guards belong to an operation");
        let ty = self.cx.layouts.state(object);
        self.state_copy(ty, Address::new(state), saved);
    }

    /// The body's statements; afterwards the exit block is current.
    fn run(&mut self, routine: &'a hir::Routine, body: &'a [Stmt]) {
        let exit = self.b.block();
        self.exit = Some(Exit {
            block: exit,
            depth: self.scopes.len(),
        });
        self.stmts(body);
        if self.b.is_open() {
            self.at(routine.end);
            if routine.result.is_some() {
                let site = self.cx.site(self.routine, routine.end);
                self.b.terminate(Terminator::Trap(Trap::NoReturn, site));
            } else {
                self.b.jump(exit);
            }
        }
        self.b.switch_to(exit);
        self.at(routine.end);
    }

    /// Gives parameters and variables their homes and first values; if `used` is given, only the variables that it has and those
    /// with objects, whose creation can be seen.
    fn bind(&mut self, routine: &'a hir::Routine, incoming: Incoming<'_>, used: Option<&Used>) {
        self.locals = &routine.locals;
        self.homes = vec![Home::Unset; routine.locals.len()];
        let parameters = &routine.locals[..routine.parameter_count];
        // OUT formals may have bounds that mention any other parameter.
        for out in [false, true] {
            for (index, local) in parameters.iter().enumerate() {
                if (local.kind == LocalKind::Out) == out {
                    self.homes[index] = self.bind_parameter(local, incoming, index);
                }
            }
        }
        for index in routine.parameter_count..routine.locals.len() {
            let local = &routine.locals[index];
            let needed = used.is_none_or(|used| used.contains(LocalId(index as u32)))
                || self.cx.layouts.has_object(local.ty);
            if local.kind == LocalKind::Variable && needed {
                self.homes[index] = self.variable(local);
            }
        }
    }

    fn bind_parameter(
        &mut self,
        local: &'a hir::Local,
        incoming: Incoming<'_>,
        index: usize,
    ) -> Home {
        let shape = self.cx.layouts.shape(local.ty);
        match (local.kind, shape) {
            (LocalKind::Out | LocalKind::Variable | LocalKind::Loop, _) => self.variable(local),
            (_, Shape::Object) => {
                // A parameter is the cell itself; everything else expects a variable that points to it.
                let cell = self.incoming(incoming, index);
                let slot = self.b.slot(&local.name, 8, 8);
                let address = self.b.slot_address(slot);
                self.b.store(cell, address, Region::Data);
                Home::Memory(Storage::Slot(slot))
            }
            (LocalKind::In { .. }, Shape::Scalar(ty)) => {
                let home = self.b.local(&local.name, ty);
                let value = match incoming {
                    Incoming::Values(values) => values[index],
                    Incoming::Table { .. } => {
                        let pointer = self.incoming(incoming, index);
                        self.b.load(ty, Address::new(pointer), Region::Data)
                    }
                };
                self.b.set(home, value);
                Home::Local(home)
            }
            (LocalKind::In { modified }, _) => {
                let pointer = self.incoming(incoming, index);
                let owned = matches!(incoming, Incoming::Table { owned: true, .. });
                if modified && !owned && !self.cx.layouts.has_object(local.ty) {
                    let storage = self.storage(&local.name, local.ty, false, local.span);
                    let to = self.storage_address(storage);
                    self.copy_value(local.ty, to, Address::new(pointer), local.span);
                    Home::Memory(storage)
                } else {
                    Home::Memory(Storage::Pointer(pointer))
                }
            }
            (LocalKind::Shared, _) => {
                Home::Memory(Storage::Pointer(self.incoming(incoming, index)))
            }
        }
    }

    /// The address that was passed for parameter `index`.
    fn incoming(&mut self, incoming: Incoming<'_>, index: usize) -> Value {
        match incoming {
            Incoming::Values(values) => values[index],
            Incoming::Table { table, .. } => {
                let entry = Address::new(table).plus(8 * index as u64);
                self.b.load(Ty::I64, entry, Region::Data)
            }
        }
    }

    /// A new variable of the current scope.
    fn variable(&mut self, local: &'a hir::Local) -> Home {
        self.at(local.span);
        if let Shape::Scalar(ty) = self.cx.layouts.shape(local.ty) {
            let home = self.b.local(&local.name, ty);
            let zero = self.zero(ty);
            self.b.set(home, zero);
            return Home::Local(home);
        }
        let storage = self.storage(&local.name, local.ty, false, local.span);
        let address = self.storage_address(storage);
        self.scoped(|body| body.create(local.ty, address, &local.init, local.span));
        Home::Memory(storage)
    }

    /// Moves OUT formals to the actuals.
    fn copy_out(&mut self, routine: &'a hir::Routine, incoming: Incoming<'_>) {
        for (index, local) in routine.locals[..routine.parameter_count].iter().enumerate() {
            if local.kind != LocalKind::Out {
                continue;
            }
            let to = Address::new(self.incoming(incoming, index));
            match self.homes[index] {
                Home::Local(home) => {
                    let value = self.b.get(home);
                    self.b.store(value, to, Region::Data);
                }
                Home::Memory(storage) => {
                    let from = self.storage_address(storage);
                    self.move_value(local.ty, to, from, local.span);
                }
                Home::Unset | Home::Word { .. } => unreachable!("OUT formals are variables"),
            }
        }
    }

    /// Code that follows belongs to the line of this span.
    pub(super) fn at(&mut self, span: Span) {
        self.b.line = self.cx.line(span);
    }

    /// Where to report a trap, as entries take it.
    pub(super) fn site(&mut self, span: Span) -> Value {
        let site = self.cx.site(self.routine, span);
        self.b.int(Ty::I32, i64::from(site.0))
    }

    /// Traps if the condition holds.
    pub(super) fn check(&mut self, condition: Value, trap: Trap, span: Span) {
        let site = self.cx.site(self.routine, span);
        self.b.check(condition, trap, site);
    }

    pub(super) fn type_address(&mut self, ty: mir::TypeId) -> Value {
        self.b.value_of(Ty::I64, Op::TypeAddress(ty))
    }

    /// The address of a type's descriptor.
    pub(super) fn descriptor(&mut self, ty: hir::TypeId) -> Value {
        let id = self.cx.layouts.id(ty);
        self.type_address(id)
    }

    /// The zero of a machine type.
    pub(super) fn zero(&mut self, ty: Ty) -> Value {
        match ty {
            Ty::F64 => self.b.real(0.0),
            Ty::F32 => self.b.value_of(Ty::F32, Op::Real(0.0)),
            _ => self.b.int(ty, 0),
        }
    }

    pub(super) fn home(&self, local: LocalId) -> Home {
        self.homes[local.index()]
    }
}
