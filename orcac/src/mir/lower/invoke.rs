//! Operation calls.
//!
//! Inside an operation (on SELF, a nested object or a private one) both functions of the operation are called directly. A process
//! looks at the object first: an unshared one is called directly as well, and so is a replicated one if the operation only reads; everything else,
//! and a read that blocks, goes to the run-time system. Blocking where nobody else can reach the object is a local deadlock.
//!
//! Implements: [Thesis §4.5]; ORCA.md 9.4, 9.5, 9.8; orca_abi::value::ObjectCell.

use orca_abi::descriptor::DONE;
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;
use orca_abi::value::{ObjectCell, REPLICATED, UNSHARED};

use super::call::Callee;
use super::place::Target;
use super::routine::Body;
use super::{Class, Instance, has_class, visit};
use crate::hir::{self, Base, Invocation, TypeKind};
use crate::mir::build::Address;
use crate::mir::layout::Shape;
use crate::mir::{Compare, Context, Region, Terminator, Ty, Value};
use crate::source::Span;

/// READ_ and WRITE_ of the whole state come first in a descriptor.
const FIRST_OPERATION: i64 = 2;

/// One operation call on the way.
#[derive(Clone, Copy)]
struct Pending<'a> {
    object: hir::ObjectId,
    id: hir::OperationId,
    operation: &'a hir::Operation,
    table: Value,
    span: Span,
}

impl<'a> Body<'_, 'a> {
    /// Calls an operation. A structured result goes to `to`, which is fresh; a word is returned.
    pub(super) fn invoke(
        &mut self,
        invocation: &'a Invocation,
        to: Option<Address>,
    ) -> Option<Value> {
        let place = &invocation.object;
        let own = place.base == Base::SelfObject;
        let TypeKind::Object(object) = self.hir.types[place.ty.index()].kind else {
            unreachable!("operations belong to objects");
        };
        let located = (!own).then(|| self.locate(place));
        let callee = Callee::Operation(place.base);
        let actuals = self.actuals(
            &invocation.arguments,
            &invocation.alias_checks,
            callee,
            invocation.span,
        );
        let operation = &self.hir.objects[object.index()].operations[invocation.operation.index()];
        let result_at = operation
            .routine
            .result
            .map(|ty| match (to, self.cx.layouts.shape(ty)) {
                (Some(to), _) => to,
                (None, Shape::Scalar(_)) => {
                    let word = self.word(ty);
                    let zero = self.zero(word);
                    self.spill(zero, ty)
                }
                (None, _) => self.temporary(ty, invocation.span),
            });
        let result_pointer = result_at.map(|at| self.b.pointer(at));
        let pending = Pending {
            object,
            id: invocation.operation,
            operation,
            table: self.table(&actuals.passed, result_pointer),
            span: invocation.span,
        };
        match located {
            None => {
                let state = self.own.expect("SELF belongs to an operation").1;
                self.at(invocation.span);
                self.invoke_inside(pending, state);
            }
            Some(located) => {
                let disturbed = invocation
                    .arguments
                    .iter()
                    .any(|argument| visit::argument_may_write(argument, place.base));
                let variable = self.refresh(place, &located, disturbed).address();
                self.at(invocation.span);
                let cell = self.b.load(Ty::I64, variable, Region::Data);
                match self.context {
                    Context::Process => self.invoke_from_process(pending, cell),
                    Context::Operation => {
                        let state = Address::new(cell).plus(ObjectCell::STATE_OFFSET);
                        let state = self.b.pointer(state);
                        self.invoke_inside(pending, state);
                    }
                }
            }
        }
        self.write_back(actuals);
        let ty = operation.routine.result?;
        self.cx.layouts.scalar(ty)?;
        let at = result_at.expect("there is a result");
        Some(self.load(Target::Memory(at, Region::Data), ty))
    }

    /// A direct call of an object that nobody else can reach.
    fn invoke_inside(&mut self, pending: Pending<'a>, state: Value) {
        let done = self.b.block();
        let blocked = self.b.cold_block();
        self.attempt_directly(pending, state, done, blocked);
        self.b.switch_to(blocked);
        self.local_deadlock(pending.span);
        self.b.switch_to(done);
    }

    fn local_deadlock(&mut self, span: Span) {
        let site = self.cx.site(self.routine, span);
        self.b
            .terminate(Terminator::Trap(Trap::LocalDeadlock, site));
    }

    fn invoke_from_process(&mut self, pending: Pending<'a>, cell: Value) {
        let only_reads = !has_class(pending.operation, Class::Writes)
            && !self.hir.objects[pending.object.index()].single_copy_only;
        let status = self.b.load(Ty::I32, Address::new(cell), Region::Data);
        let unshared = self.b.int(Ty::I32, i64::from(UNSHARED));
        let here = if only_reads {
            let replicated = self.b.int(Ty::I32, i64::from(REPLICATED));
            self.b.compare(Compare::BelowEqual, status, replicated)
        } else {
            self.b.compare(Compare::Equal, status, unshared)
        };
        let (directly, shared, done) = (self.b.block(), self.b.block(), self.b.block());
        let blocked = self.b.cold_block();
        self.b.branch(here, directly, shared);

        self.b.switch_to(directly);
        let state = Address::new(cell).plus(ObjectCell::STATE_OFFSET);
        let state = self.b.pointer(state);
        self.attempt_directly(pending, state, done, blocked);

        self.b.switch_to(blocked);
        if only_reads {
            let alone = self.b.compare(Compare::Equal, status, unshared);
            let trap = self.b.cold_block();
            self.b.branch(alone, trap, shared);
            self.b.switch_to(trap);
        }
        self.local_deadlock(pending.span);

        self.b.switch_to(shared);
        let index = self
            .b
            .int(Ty::I32, FIRST_OPERATION + i64::from(pending.id.0));
        let site = self.site(pending.span);
        self.b
            .entry(Entry::Invoke, vec![cell, index, pending.table, site]);
        self.b.jump(done);
        self.b.switch_to(done);
    }

    /// Calls the read, then the write alternatives; goes to `done`, or to `blocked` if that can happen.
    fn attempt_directly(
        &mut self,
        pending: Pending<'a>,
        state: Value,
        done: crate::mir::Block,
        blocked: crate::mir::Block,
    ) {
        let alone = self.hir.objects[pending.object.index()].single_copy_only;
        let context = match self.context {
            Context::Process if alone => Context::Process,
            _ => Context::Operation,
        };
        let classes: Vec<Class> = [Class::Reads, Class::Writes]
            .into_iter()
            .filter(|&class| has_class(pending.operation, class))
            .collect();
        for (index, &class) in classes.iter().enumerate() {
            let instance = Instance::Operation(pending.object, pending.id, class, context);
            let code = self.cx.function(instance);
            let arguments = vec![state, pending.table];
            let status = self
                .b
                .call(code, arguments, Some(Ty::I32))
                .expect("operations return a status");
            if !pending.operation.may_block {
                self.b.jump(done);
                return;
            }
            let otherwise = match index + 1 == classes.len() {
                true => blocked,
                false => self.b.block(),
            };
            let completed = self.b.int(Ty::I32, i64::from(DONE));
            let completed = self.b.compare(Compare::Equal, status, completed);
            self.b.branch(completed, done, otherwise);
            if otherwise != blocked {
                self.b.switch_to(otherwise);
            }
        }
    }

    /// The cell of an object in a variable.
    pub(super) fn cell(&mut self, place: &'a hir::Place) -> Value {
        let variable = self.locate(place).target.address();
        self.b.load(Ty::I64, variable, Region::Data)
    }
}
