//! Statements.
//!
//! Loops are rotated: a test in front, the body, a poll, the test again. FOR counts in 64 bits, so it cannot overflow at
//! the end of its type. Each simple statement is a scope for its temporaries.
//!
//! Implements: ORCA.md 6, 8.1.

use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;

use super::place::Target;
use super::routine::{Body, Exit, Home, Outcome};
use super::scope::Storage;
use super::visit;
use crate::hir::{BinaryOp, Expr, LocalId, LogicalOp, Place, Stmt, StmtKind};
use crate::mir::build::Address;
use crate::mir::layout::Shape;
use crate::mir::{
    Binary, Block, Compare, Context, ControlField, Op, Region, Terminator, Ty, Value,
};
use crate::source::Span;

/// The labels of a CASE branch, each a range, and its statements.
type CaseBranch = (Vec<(i64, i64)>, Vec<Stmt>);

/// CASE with more labels than this, or fewer than `SWITCH_CASES_MIN`, tests ranges instead.
const SWITCH_CASES_MAX: i64 = 1024;
const SWITCH_CASES_MIN: i64 = 4;

impl<'a> Body<'_, 'a> {
    /// Statements in order, up to one that never falls through.
    pub(super) fn stmts(&mut self, stmts: &'a [Stmt]) {
        for stmt in stmts {
            if !self.b.is_open() {
                return;
            }
            self.at(stmt.span);
            self.scoped(|body| body.stmt(stmt));
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        match &stmt.kind {
            StmtKind::Assign { place, value } => self.assign(place, value),
            StmtKind::AssignBinary {
                place,
                op,
                value,
                operator,
            } => self.assign_binary(place, *op, value, *operator),
            StmtKind::AssignLogical { place, op, value } => {
                self.assign_logical(place, *op, value);
            }
            StmtKind::Call(call) => {
                self.call(call, None);
            }
            StmtKind::Invoke(invocation) => {
                self.invoke(invocation, None);
            }
            StmtKind::Discard(expr) => self.discard(expr),
            StmtKind::Fork {
                process,
                arguments,
                alias_checks,
                on,
            } => self.fork(*process, arguments, alias_checks, on.as_ref(), stmt.span),
            StmtKind::Exit => {
                let innermost = *self.loops.last().expect("EXIT is in a loop");
                self.leave(innermost);
            }
            StmtKind::Return(value) => self.return_stmt(value.as_ref()),
            StmtKind::If {
                branches,
                otherwise,
            } => self.if_stmt(branches, otherwise),
            StmtKind::Case {
                selector,
                branches,
                otherwise,
            } => self.case(selector, branches, otherwise.as_deref(), stmt.span),
            StmtKind::While { condition, body } => self.while_loop(condition, body),
            StmtKind::Loop(body) => self.endless_loop(body),
            StmtKind::Repeat { body, until } => self.repeat(body, until),
            StmtKind::ForRange {
                variable,
                from,
                to,
                body,
            } => self.for_range(*variable, from, to, body),
            StmtKind::ForEach {
                variable,
                set,
                body,
            } => self.for_each(*variable, set, body),
            StmtKind::Insert { element, set } => {
                let at =
                    self.element_address(element, |place| visit::place_may_write(set, place.base));
                let to = self.locate(set).target.address();
                self.at(stmt.span);
                self.set_insert(set.ty, to, at, stmt.span);
            }
            StmtKind::Delete { element, set } => self.delete(element, set, stmt.span),
            StmtKind::DeleteNode { graph, node } => self.delete_node(graph, node, stmt.span),
            StmtKind::Assert(condition) => {
                let holds = self.scalar(condition);
                self.at(stmt.span);
                let fails = self.not(holds);
                self.check(fails, Trap::AssertionFailed, stmt.span);
            }
            StmtKind::Strategy {
                object,
                replicate,
                cpu,
            } => self.strategy(object, replicate, cpu, stmt.span),
            StmtKind::Read(places) => {
                for place in places {
                    self.read(place);
                }
            }
            StmtKind::Write { arguments, newline } => self.write(arguments, *newline, stmt.span),
        }
    }

    fn assign_binary(&mut self, place: &'a Place, op: BinaryOp, value: &'a Expr, operator: Span) {
        if self.cx.layouts.scalar(place.ty).is_none() {
            return self.assign_set(op, place, value, operator);
        }
        let located = self.locate(place);
        let old = self.load(located.target, place.ty);
        let right = self.scalar(value);
        let new = self.binary(op, place.ty, old, (right, value.ty), operator);
        let disturbed = visit::may_write(value, place.base);
        let target = self.refresh(place, &located, disturbed);
        self.store(target, place.ty, new);
    }

    fn assign_logical(&mut self, place: &'a Place, op: LogicalOp, value: &'a Expr) {
        let located = self.locate(place);
        let old = self.load(located.target, place.ty);
        let (more, done) = (self.b.block(), self.b.block());
        match op {
            LogicalOp::And => self.b.branch(old, more, done),
            LogicalOp::Or => self.b.branch(old, done, more),
        }
        self.b.switch_to(more);
        self.scoped(|body| {
            let new = body.scalar(value);
            let disturbed = visit::may_write(value, place.base);
            let target = body.refresh(place, &located, disturbed);
            body.store(target, place.ty, new);
        });
        self.b.jump(done);
        self.b.switch_to(done);
    }

    fn discard(&mut self, expr: &'a Expr) {
        if self.cx.layouts.scalar(expr.ty).is_some() {
            self.scalar(expr);
        } else {
            self.address_of(expr);
        }
    }

    /// Frees what the scopes in between own and goes there.
    fn leave(&mut self, exit: Exit) {
        self.unwind(exit.depth);
        self.b.jump(exit.block);
    }

    fn return_stmt(&mut self, value: Option<&'a Expr>) {
        if let Some(expr) = value {
            match self.outcome {
                Outcome::Nothing => unreachable!("only routines with a result return values"),
                Outcome::Local(local) => {
                    let word = self.scalar(expr);
                    self.store(Target::Local(local), expr.ty, word);
                }
                Outcome::Memory { pointer, fresh } => {
                    let to = Address::new(pointer);
                    if self.cx.layouts.scalar(expr.ty).is_some() {
                        let word = self.scalar(expr);
                        self.store(Target::Memory(to, Region::Data), expr.ty, word);
                    } else {
                        self.return_value(expr, to, fresh);
                    }
                }
            }
        }
        let exit = self.exit.expect("routines have an exit");
        self.leave(exit);
    }

    fn if_stmt(&mut self, branches: &'a [(Expr, Vec<Stmt>)], otherwise: &'a [Stmt]) {
        let done = self.b.block();
        for (condition, body) in branches {
            let (yes, no) = (self.b.block(), self.b.block());
            self.condition(condition, yes, no);
            self.b.switch_to(yes);
            self.stmts(body);
            self.fall_to(done);
            self.b.switch_to(no);
        }
        self.stmts(otherwise);
        self.fall_to(done);
        self.b.switch_to(done);
    }

    fn fall_to(&mut self, block: Block) {
        if self.b.is_open() {
            self.b.jump(block);
        }
    }

    fn case(
        &mut self,
        selector: &'a Expr,
        branches: &'a [CaseBranch],
        otherwise: Option<&'a [Stmt]>,
        span: Span,
    ) {
        let value = self.scoped(|body| body.wide(selector));
        self.at(selector.span);
        let (done, none) = (self.b.block(), self.b.block());
        let blocks: Vec<Block> = branches.iter().map(|_| self.b.block()).collect();
        let labels: Vec<((i64, i64), Block)> = branches
            .iter()
            .zip(&blocks)
            .flat_map(|((labels, _), &block)| labels.iter().map(move |&label| (label, block)))
            .collect();
        self.select_case(value, &labels, none);
        for ((_, body), block) in branches.iter().zip(blocks) {
            self.b.switch_to(block);
            self.stmts(body);
            self.fall_to(done);
        }
        self.b.switch_to(none);
        match otherwise {
            Some(body) => {
                self.stmts(body);
                self.fall_to(done);
            }
            None => {
                let site = self.cx.site(self.routine, span);
                self.b.terminate(Terminator::Trap(Trap::CaseError, site));
            }
        }
        self.b.switch_to(done);
    }

    fn select_case(&mut self, value: Value, labels: &[((i64, i64), Block)], none: Block) {
        let count = labels.iter().fold(0i64, |sum, &((low, high), _)| {
            sum.saturating_add(high.saturating_sub(low))
                .saturating_add(1)
        });
        if (SWITCH_CASES_MIN..=SWITCH_CASES_MAX).contains(&count) {
            let cases = labels
                .iter()
                .flat_map(|&((low, high), block)| (low..=high).map(move |label| (label, block)))
                .collect();
            self.b.terminate(Terminator::Switch(value, cases, none));
            return;
        }
        for &((low, high), block) in labels {
            let next = self.b.block();
            let first = self.b.int(Ty::I64, low);
            let inside = if low == high {
                self.b.compare(Compare::Equal, value, first)
            } else {
                let distance = self.b.binary(Binary::Subtract, value, first);
                let width = self.b.int(Ty::I64, high.wrapping_sub(low));
                self.b.compare(Compare::BelowEqual, distance, width)
            };
            self.b.branch(inside, block, next);
            self.b.switch_to(next);
        }
        self.b.jump(none);
    }

    /// A loop's body; afterwards the code is at the back-edge, if it gets there.
    fn loop_body(&mut self, body: &'a [Stmt], exit: Block) {
        self.loops.push(Exit {
            block: exit,
            depth: self.scopes.len(),
        });
        self.stmts(body);
        self.loops.pop();
    }

    fn poll(&mut self) {
        if self.context == Context::Process {
            self.b.effect(Op::Poll);
        }
    }

    fn while_loop(&mut self, condition: &'a Expr, body: &'a [Stmt]) {
        let (head, exit) = (self.b.block(), self.b.block());
        self.condition(condition, head, exit);
        self.b.switch_to(head);
        self.loop_body(body, exit);
        if self.b.is_open() {
            self.at(condition.span);
            self.poll();
            self.condition(condition, head, exit);
        }
        self.b.switch_to(exit);
    }

    fn endless_loop(&mut self, body: &'a [Stmt]) {
        let (head, exit) = (self.b.block(), self.b.block());
        self.b.jump(head);
        self.b.switch_to(head);
        self.loop_body(body, exit);
        if self.b.is_open() {
            self.poll();
            self.b.jump(head);
        }
        self.b.switch_to(exit);
    }

    fn repeat(&mut self, body: &'a [Stmt], until: &'a Expr) {
        let (head, exit) = (self.b.block(), self.b.block());
        self.b.jump(head);
        self.b.switch_to(head);
        self.loop_body(body, exit);
        if self.b.is_open() {
            self.at(until.span);
            self.poll();
            self.condition(until, exit, head);
        }
        self.b.switch_to(exit);
    }

    fn for_range(&mut self, variable: LocalId, from: &'a Expr, to: &'a Expr, body: &'a [Stmt]) {
        let first = self.wide(from);
        let last = self.wide(to);
        let (head, exit) = (self.b.block(), self.b.block());
        let counter = self.b.block_parameter(head, Ty::I64);
        let some = self.b.compare(Compare::LessEqual, first, last);
        self.b
            .branch_with(some, head, vec![first], exit, Vec::new());
        self.b.switch_to(head);
        let word = self.word(self.locals[variable.index()].ty);
        let value = self.b.resize(counter, word, true);
        self.homes[variable.index()] = Home::Word {
            value,
            wide: Some(counter),
        };
        self.loop_body(body, exit);
        if self.b.is_open() {
            self.at(from.span);
            self.poll();
            let more = self.b.compare(Compare::Less, counter, last);
            let one = self.b.int(Ty::I64, 1);
            let next = self.b.binary(Binary::Add, counter, one);
            self.b.branch_with(more, head, vec![next], exit, Vec::new());
        }
        self.homes[variable.index()] = Home::Unset;
        self.b.switch_to(exit);
    }

    fn for_each(&mut self, variable: LocalId, set: &'a Expr, body: &'a [Stmt]) {
        let (mut elements, owned) = self.address_of(set);
        if !owned {
            elements = self.private_copy(set.ty, elements, set.span);
        }
        let elements = self.b.pointer(elements);
        let ty = self.descriptor(set.ty);
        let size = self.b.entry(Entry::SetSize, vec![ty, elements]);
        let size = size.expect("SetSize has a result");
        let (head, exit) = (self.b.block(), self.b.block());
        let index = self.b.block_parameter(head, Ty::I32);
        let zero = self.b.int(Ty::I32, 0);
        let some = self.b.compare(Compare::Greater, size, zero);
        self.b.branch_with(some, head, vec![zero], exit, Vec::new());

        self.b.switch_to(head);
        let ty = self.descriptor(set.ty);
        let element = self
            .b
            .entry(Entry::SetElement, vec![ty, elements, index])
            .expect("SetElement has a result");
        let element_ty = self.locals[variable.index()].ty;
        self.homes[variable.index()] = match self.cx.layouts.shape(element_ty) {
            Shape::Scalar(_) => {
                let from = Target::Memory(Address::new(element), Region::Data);
                let value = self.load(from, element_ty);
                Home::Word { value, wide: None }
            }
            _ => Home::Memory(Storage::Pointer(element)),
        };
        self.loop_body(body, exit);
        if self.b.is_open() {
            self.at(set.span);
            self.poll();
            let one = self.b.int(Ty::I32, 1);
            let next = self.b.binary(Binary::Add, index, one);
            let more = self.b.compare(Compare::Less, next, size);
            self.b.branch_with(more, head, vec![next], exit, Vec::new());
        }
        self.homes[variable.index()] = Home::Unset;
        self.b.switch_to(exit);
    }

    fn delete(&mut self, element: &'a Expr, set: &'a Place, span: Span) {
        // The element may lie in a variable that the designator's evaluation changes.
        let at = self.element_address(element, |place| visit::place_may_write(set, place.base));
        let from = self.locate(set).target.address();
        self.at(span);
        let arguments = vec![
            self.descriptor(set.ty),
            self.b.pointer(from),
            self.b.pointer(at),
        ];
        self.b.entry(Entry::SetDelete, arguments);
    }

    fn delete_node(&mut self, graph: &'a Place, node: &'a Expr, span: Span) {
        let located = self.locate(graph);
        let name = self.scalar(node);
        let disturbed = visit::may_write(node, graph.base);
        let at = self.refresh(graph, &located, disturbed).address();
        self.at(span);
        let arguments = vec![
            self.descriptor(graph.ty),
            self.b.pointer(at),
            name,
            self.site(span),
        ];
        self.b.entry(Entry::GraphDelete, arguments);
    }

    fn strategy(&mut self, object: &'a Place, replicate: &'a Expr, cpu: &'a Expr, span: Span) {
        if self.context == Context::Operation {
            // The objects there are nested or private: they go where their holder goes.
            self.scalar(replicate);
            self.scalar(cpu);
            return;
        }
        let cell = self.cell(object);
        let replicate = self.wide(replicate);
        let cpu = self.wide(cpu);
        self.at(span);
        let zero = self.b.int(Ty::I64, 0);
        let single = self.b.compare(Compare::Equal, replicate, zero);
        let all = self.b.value_of(Ty::I32, Op::Control(ControlField::Ncpus));
        let all = self.b.resize(all, Ty::I64, true);
        let outside = self.b.compare(Compare::AboveEqual, cpu, all);
        let illegal = self.b.binary(Binary::And, single, outside);
        self.check(illegal, Trap::IllegalCpu, span);
        let one = self.b.int(Ty::I32, 1);
        let none = self.b.int(Ty::I32, 0);
        let replicate = self.b.select(single, none, one);
        let cpu = self.b.resize(cpu, Ty::I32, true);
        self.at(span);
        let site = self.site(span);
        self.b
            .entry(Entry::Strategy, vec![cell, replicate, cpu, site]);
    }

    fn read(&mut self, place: &'a Place) {
        let target = self.locate(place).target;
        if self.context == Context::Operation {
            self.cannot_wait(None, place.span);
            return;
        }
        let to = match target {
            Target::Memory(address, _) => address,
            _ => {
                let word = self.word(place.ty);
                let zero = self.zero(word);
                self.spill(zero, place.ty)
            }
        };
        self.at(place.span);
        let arguments = vec![
            self.descriptor(place.ty),
            self.b.pointer(to),
            self.site(place.span),
        ];
        self.b.entry(Entry::Read, arguments);
        if let Target::Local(_) = target {
            let value = self.load(Target::Memory(to, Region::Data), place.ty);
            self.store(target, place.ty, value);
        }
    }

    /// All arguments are evaluated before the first is written, so that what they write themselves does not come in between.
    fn write(&mut self, arguments: &'a [Expr], newline: bool, span: Span) {
        let mut items = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.iter().enumerate() {
            let later = &arguments[index + 1..];
            items.push(self.write_item(argument, later));
        }
        self.at(span);
        for (entry, value) in items {
            self.b.entry(entry, vec![value]);
        }
        let newline = self.b.int(Ty::I32, i64::from(newline));
        self.b.entry(Entry::WriteEnd, vec![newline]);
    }

    fn write_item(&mut self, argument: &'a Expr, later: &'a [Expr]) -> (Entry, Value) {
        match self.cx.layouts.shape(argument.ty) {
            Shape::Scalar(Ty::F32 | Ty::F64) => (Entry::WriteReal, self.scalar(argument)),
            Shape::Scalar(Ty::I8) => (Entry::WriteChar, self.scalar(argument)),
            Shape::Scalar(_) => (Entry::WriteInteger, self.wide(argument)),
            _ => {
                let address = self.address_before(argument, later);
                (Entry::WriteString, self.b.pointer(address))
            }
        }
    }
}
