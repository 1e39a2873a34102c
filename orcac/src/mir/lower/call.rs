//! Passing parameters, calling functions, FORK.
//!
//! All actuals are evaluated first, in order; then OUT and SHARED actuals are located for good, aliases are checked, and the call is made. A word
//! that has no address of its own (a local, a field of the running operation's object) is passed in frame memory and stored back
//! afterwards. IN values go by address without a copy unless something could change the actual during the call; objects always are copied.
//!
//! Implements: ORCA.md 7, 9.9, 12.

use orca_abi::symbols::{Class, Entry};
use orca_abi::trap::Trap;

use super::Instance;
use super::place::{Located, Target};
use super::routine::Body;
use super::visit;
use crate::hir::{self, Argument, Base, Call, Expr, ExprKind, FunctionBody, Place};
use crate::mir::build::{Address, word_ty};
use crate::mir::layout::Shape;
use crate::mir::{Compare, Context, ControlField, Op, Region, Terminator, Ty, Value};
use crate::source::Span;

/// What is called: decides which IN values need copies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    Function,
    /// Writes OUT actuals while it runs.
    Library,
    /// On the object that starts at this base.
    Operation(Base),
    /// The run-time system captures IN values.
    Process,
}

/// An evaluated actual.
enum Prepared<'a> {
    Word(Value, hir::TypeId),
    /// An address, or an object's cell.
    Pointer(Value),
    Place {
        place: &'a Place,
        located: Located,
        out: bool,
    },
}

/// An actual as it is passed.
#[derive(Clone, Copy)]
pub(super) enum Passed {
    Word(Value, hir::TypeId),
    Pointer(Value),
}

/// A value to store after the call.
struct WriteBack<'a> {
    place: &'a Place,
    located: Located,
    /// The call may have moved the actual.
    relocate: bool,
    from: Address,
}

/// Actuals ready for the call, and what to do after it.
pub(super) struct Actuals<'a> {
    pub(super) passed: Vec<Passed>,
    write_backs: Vec<WriteBack<'a>>,
}

impl<'a> Body<'_, 'a> {
    /// Calls a function. A structured result goes to `to`, which is fresh; a word is returned.
    pub(super) fn call(&mut self, call: &'a Call, to: Option<Address>) -> Option<Value> {
        let function = &self.hir.functions[call.function.index()];
        let callee = match function.body {
            FunctionBody::Orca(_) => Callee::Function,
            FunctionBody::Library(_) => Callee::Library,
        };
        let actuals = self.actuals(&call.arguments, &call.alias_checks, callee, call.span);
        let result_pointer = to.map(|to| self.b.pointer(to));
        self.at(call.span);
        let result = match &function.body {
            FunctionBody::Orca(_) => {
                let mut arguments: Vec<Value> = actuals
                    .passed
                    .iter()
                    .map(|&passed| self.direct(passed))
                    .collect();
                arguments.extend(result_pointer);
                let ty = match to {
                    Some(_) => None,
                    None => function.routine.result.map(|ty| self.memory_word(ty)),
                };
                let instance = Instance::Function(call.function, self.context);
                let code = self.cx.function(instance);
                self.b.call(code, arguments, ty)
            }
            FunctionBody::Library(entry) => {
                self.call_library(*entry, &actuals, result_pointer, call.span)
            }
        };
        self.write_back(actuals);
        let result = result?;
        let ty = function.routine.result?;
        let word = self.memory_word(ty);
        let result = match self.b.ty(result) {
            Ty::F32 | Ty::F64 => result,
            _ => self.b.resize(result, word, true),
        };
        Some(self.unpack(result))
    }

    /// A word as a function takes it, or the pointer.
    fn direct(&mut self, passed: Passed) -> Value {
        match passed {
            Passed::Word(value, ty) => self.pack(value, ty),
            Passed::Pointer(pointer) => pointer,
        }
    }

    fn call_library(
        &mut self,
        entry: Entry,
        actuals: &Actuals<'_>,
        result: Option<Value>,
        span: Span,
    ) -> Option<Value> {
        let signature = entry.signature();
        if signature.class != Class::Leaf && self.context == Context::Operation {
            return self.cannot_wait(signature.result.map(word_ty), span);
        }
        let mut arguments = Vec::with_capacity(signature.parameters.len());
        for (&passed, &word) in actuals.passed.iter().zip(signature.parameters) {
            let argument = match passed {
                Passed::Pointer(pointer) => pointer,
                Passed::Word(value, ty) => match word_ty(word) {
                    Ty::F64 => value,
                    Ty::F32 => self.pack(value, ty),
                    word => {
                        let signed = self.cx.layouts.signed(ty);
                        self.b.resize(value, word, signed)
                    }
                },
            };
            arguments.push(argument);
        }
        arguments.extend(result);
        self.b.entry(entry, arguments)
    }

    /// An operation reaches something that waits. Such objects run their operations in another version while they are not shared and cannot be
    /// shared at all, so this code never runs.
    pub(super) fn cannot_wait(&mut self, result: Option<Ty>, span: Span) -> Option<Value> {
        let site = self.cx.site(self.routine, span);
        self.b
            .terminate(Terminator::Trap(Trap::NotReplicable, site));
        result.map(|ty| self.zero(ty))
    }

    /// Evaluates all actuals of a call and makes them ready.
    pub(super) fn actuals(
        &mut self,
        arguments: &'a [Argument],
        alias_checks: &[(usize, usize)],
        callee: Callee,
        span: Span,
    ) -> Actuals<'a> {
        let mut prepared = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.iter().enumerate() {
            let ready = match argument {
                Argument::In(expr) => self.prepare_in(expr, index, arguments, callee),
                Argument::Out(place) | Argument::Shared(place) => Prepared::Place {
                    place,
                    located: self.locate(place),
                    out: matches!(argument, Argument::Out(_)),
                },
            };
            prepared.push(ready);
        }
        for &(first, second) in alias_checks {
            if let (
                Prepared::Place {
                    place: a,
                    located: at_a,
                    ..
                },
                Prepared::Place {
                    place: b,
                    located: at_b,
                    ..
                },
            ) = (&prepared[first], &prepared[second])
            {
                self.check_alias((a, at_a), (b, at_b), span);
            }
        }
        let mut actuals = Actuals {
            passed: Vec::with_capacity(prepared.len()),
            write_backs: Vec::new(),
        };
        for (index, ready) in prepared.into_iter().enumerate() {
            let later = &arguments[index + 1..];
            let passed = match ready {
                Prepared::Word(value, ty) => Passed::Word(value, ty),
                Prepared::Pointer(pointer) => Passed::Pointer(pointer),
                Prepared::Place {
                    place,
                    located,
                    out,
                } => {
                    let disturbed = later
                        .iter()
                        .any(|a| visit::argument_may_write(a, place.base));
                    let target = self.refresh(place, &located, disturbed);
                    let located = Located { target, ..located };
                    let backs = &mut actuals.write_backs;
                    Passed::Pointer(self.pass_place(place, located, out, callee, backs))
                }
            };
            actuals.passed.push(passed);
        }
        actuals
    }

    fn prepare_in(
        &mut self,
        expr: &'a Expr,
        index: usize,
        arguments: &'a [Argument],
        callee: Callee,
    ) -> Prepared<'a> {
        let shape = self.cx.layouts.shape(expr.ty);
        if let Shape::Scalar(_) = shape {
            return Prepared::Word(self.scalar(expr), expr.ty);
        }
        let (mut address, owned) = self.address_of(expr);
        if !owned && self.needs_copy(expr, index, arguments, callee) {
            address = self.private_copy(expr.ty, address, expr.span);
        }
        Prepared::Pointer(match shape {
            Shape::Object => self.b.load(Ty::I64, address, Region::Data),
            _ => self.b.pointer(address),
        })
    }

    /// Whether an IN actual that is a variable could change before the callee is done with it.
    fn needs_copy(
        &mut self,
        expr: &'a Expr,
        index: usize,
        arguments: &'a [Argument],
        callee: Callee,
    ) -> bool {
        let ExprKind::Place(place) = &expr.kind else {
            return false;
        };
        let base = place.base;
        let later = arguments[index + 1..]
            .iter()
            .any(|argument| visit::argument_may_write(argument, base));
        let aliased = arguments.iter().any(|argument| match argument {
            Argument::In(_) => false,
            Argument::Shared(other) => other.base == base,
            Argument::Out(other) => callee == Callee::Library && other.base == base,
        });
        let on_object = matches!(callee, Callee::Operation(object) if visit::touches(object, base));
        later
            || on_object
            || (callee != Callee::Process && (aliased || self.cx.layouts.has_object(expr.ty)))
    }

    /// The address or cell to pass for an OUT or SHARED actual.
    fn pass_place(
        &mut self,
        place: &'a Place,
        located: Located,
        out: bool,
        callee: Callee,
        backs: &mut Vec<WriteBack<'a>>,
    ) -> Value {
        let on_object =
            matches!(callee, Callee::Operation(object) if visit::touches(object, place.base));
        let from = match (self.cx.layouts.shape(place.ty), located.target) {
            (Shape::Object, target) => {
                return self.b.load(Ty::I64, target.address(), Region::Data);
            }
            (_, Target::Memory(address, Region::Data)) if !on_object => {
                return self.b.pointer(address);
            }
            (Shape::Scalar(_), target) => {
                let value = match out {
                    true => {
                        let word = self.word(place.ty);
                        self.zero(word)
                    }
                    false => self.load(target, place.ty),
                };
                self.spill(value, place.ty)
            }
            _ => self.temporary(place.ty, place.span),
        };
        backs.push(WriteBack {
            place,
            located,
            relocate: on_object,
            from,
        });
        self.b.pointer(from)
    }

    /// Stores what the call left in frame memory to the actuals, left to right.
    pub(super) fn write_back(&mut self, actuals: Actuals<'a>) {
        for back in actuals.write_backs {
            let place = back.place;
            let target = self.refresh(place, &back.located, back.relocate);
            if self.cx.layouts.scalar(place.ty).is_some() {
                let value = self.load(Target::Memory(back.from, Region::Data), place.ty);
                self.store(target, place.ty, value);
            } else {
                self.move_value(place.ty, target.address(), back.from, place.span);
            }
        }
    }

    /// A table of the actuals' addresses, with `extra` at its end.
    pub(super) fn table(&mut self, passed: &[Passed], extra: Option<Value>) -> Value {
        let entries = passed.len() + usize::from(extra.is_some());
        let slot = self.scratch("arguments", 8 * entries as u64, 8);
        let table = self.b.slot_address(slot);
        let mut pointers = Vec::with_capacity(entries);
        for &passed in passed {
            pointers.push(match passed {
                Passed::Pointer(pointer) => pointer,
                Passed::Word(value, ty) => {
                    let at = self.spill(value, ty);
                    self.b.pointer(at)
                }
            });
        }
        pointers.extend(extra);
        for (index, pointer) in pointers.into_iter().enumerate() {
            let at = table.plus(8 * index as u64);
            self.b.store(pointer, at, Region::Data);
        }
        table.base
    }

    pub(super) fn fork(
        &mut self,
        process: hir::ProcessId,
        arguments: &'a [Argument],
        alias_checks: &[(usize, usize)],
        on: Option<&'a Expr>,
        span: Span,
    ) {
        let actuals = self.actuals(arguments, alias_checks, Callee::Process, span);
        let cpu = match on {
            None => self.b.int(Ty::I32, -1),
            Some(on) => {
                let cpu = self.wide(on);
                self.at(on.span);
                let all = self.b.value_of(Ty::I32, Op::Control(ControlField::Ncpus));
                let all = self.b.resize(all, Ty::I64, true);
                let outside = self.b.compare(Compare::AboveEqual, cpu, all);
                self.check(outside, Trap::IllegalCpu, on.span);
                self.b.resize(cpu, Ty::I32, true)
            }
        };
        let table = self.table(&actuals.passed, None);
        self.at(span);
        let index = self.cx.process(process);
        let index = self.b.int(Ty::I32, i64::from(index));
        let site = self.site(span);
        self.b.entry(Entry::Fork, vec![index, table, cpu, site]);
        self.write_back(actuals);
    }
}
