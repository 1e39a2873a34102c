//! Which operations write their object, may block, reach output, input or a clock.
//!
//! Expects: a program without errors, whose operations carry no classes yet. Guarantees: the class of each alternative, `may_block`,
//! `does_output` and `single_copy_only` as least fixed points over all calls of the program. Reports: warnings for output, input and
//! clocks in operations; blocking within an operation, which is not compiled yet.
//!
//! A statement writes the object if it assigns a field, changes one by a standard function, passes one as OUT or SHARED,
//! or invokes a writing operation on SELF or a nested object. Functions cannot touch the object otherwise.
//!
//! Implements: ORCA.md 9.7 (FROM is a write), 8.1 and DESIGN.md 8 (input and output).

use orca_abi::symbols::Effect;

use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{
    AccessClass, Argument, Base, Call, Expr, ExprKind, FunctionBody, FunctionId, Invocation,
    ObjectId, OperationBody, OperationId, Place, Program, StandardFunction, StepKind, Stmt,
    StmtKind, TypeKind,
};
use crate::session::Session;
use crate::source::Span;

/// Where something can be reached that matters in an operation.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Reach {
    /// Of an operation only: the object is written.
    writes: bool,
    /// The first place, in the routine's own text, from which it is reached.
    blocks: Option<Span>,
    output: Option<Span>,
    world: Option<Span>,
}

impl Reach {
    fn add(&mut self, other: Reach) -> bool {
        let before = *self;
        self.writes |= other.writes;
        self.blocks = self.blocks.or(other.blocks);
        self.output = self.output.or(other.output);
        self.world = self.world.or(other.world);
        before != *self
    }
}

/// What is known so far about every routine.
struct Facts {
    functions: Vec<Reach>,
    /// By object, then operation; `blocks` is whether a call of it may.
    operations: Vec<Vec<Reach>>,
    guarded: Vec<Vec<bool>>,
    /// Initialisation parts of objects.
    inits: Vec<Reach>,
}

/// Classifies all operations of a program.
pub fn classify(session: &mut Session, program: &mut Program) {
    let facts = fixed_point(program);
    report(session, program, &facts);
    store(program, &facts);
}

fn fixed_point(program: &Program) -> Facts {
    let mut facts = Facts {
        functions: vec![Reach::default(); program.functions.len()],
        operations: program
            .objects
            .iter()
            .map(|object| vec![Reach::default(); object.operations.len()])
            .collect(),
        guarded: program
            .objects
            .iter()
            .map(|object| {
                let is_guarded = |body: &OperationBody| matches!(body, OperationBody::Guards(_));
                object
                    .operations
                    .iter()
                    .map(|operation| is_guarded(&operation.body))
                    .collect()
            })
            .collect(),
        inits: vec![Reach::default(); program.objects.len()],
    };
    loop {
        let mut changed = false;
        for (i, function) in program.functions.iter().enumerate() {
            let found = match &function.body {
                FunctionBody::Orca(body) => Walk::new(program, &facts).over(body),
                FunctionBody::Library(entry) => {
                    let at = Some(function.routine.span);
                    let effect = entry.signature().effect;
                    Reach {
                        output: at.filter(|_| effect == Effect::Output),
                        world: at.filter(|_| effect == Effect::World),
                        ..Reach::default()
                    }
                }
            };
            changed |= facts.functions[i].add(found);
        }
        for (o, object) in program.objects.iter().enumerate() {
            for (i, operation) in object.operations.iter().enumerate() {
                let found = match &operation.body {
                    OperationBody::Plain { body, .. } => Walk::new(program, &facts).over(body),
                    OperationBody::Guards(alternatives) => {
                        let mut walk = Walk::new(program, &facts);
                        for alternative in alternatives {
                            walk.expr(&alternative.guard);
                            walk.stmts(&alternative.body);
                        }
                        walk.found
                    }
                };
                changed |= facts.operations[o][i].add(found);
            }
            if let Some((_, body)) = &object.init {
                let found = Walk::new(program, &facts).over(body);
                changed |= facts.inits[o].add(found);
            }
        }
        if !changed {
            return facts;
        }
    }
}

fn report(session: &mut Session, program: &Program, facts: &Facts) {
    for (o, object) in program.objects.iter().enumerate() {
        for (i, operation) in object.operations.iter().enumerate() {
            let reach = facts.operations[o][i];
            let title = format!("{}${}", object.name, operation.name);
            if let Some(place) = reach.output {
                warn(
                    session,
                    place,
                    codes::OUTPUT_IN_OPERATION,
                    format!(
                        "the operation {title} writes output; its invoker's processor performs it, once"
                    ),
                );
            }
            if let Some(place) = reach.world {
                warn(
                    session,
                    place,
                    codes::INPUT_IN_OPERATION,
                    format!(
                        "the operation {title} reads input, files or a clock, so {} is never replicated",
                        object.name
                    ),
                );
            }
            report_blocking(session, reach, &title);
        }
        report_blocking(
            session,
            facts.inits[o],
            &format!("the initialization of {}", object.name),
        );
    }
}

fn warn(session: &mut Session, place: Span, code: crate::diagnostics::Code, message: String) {
    let path = &session.sources.get(place.file).path;
    if !path.starts_with(crate::resolve::files::LIBRARY_FOLDER) {
        session.report(Diagnostic::new(code, place, message));
    }
}

fn report_blocking(session: &mut Session, reach: Reach, title: &str) {
    if let Some(place) = reach.blocks {
        session.report(Diagnostic::new(
            codes::NESTED_BLOCKING,
            place,
            format!("{title} can block here, within an operation; that is not compiled yet"),
        ));
    }
}

fn store(program: &mut Program, facts: &Facts) {
    let mut classes = Vec::new();
    for object in &program.objects {
        for operation in &object.operations {
            classes.push(match &operation.body {
                OperationBody::Plain { body, .. } => {
                    vec![(false, Walk::new(program, facts).over(body).writes)]
                }
                OperationBody::Guards(alternatives) => alternatives
                    .iter()
                    .map(|alternative| {
                        let mut walk = Walk::new(program, facts);
                        walk.expr(&alternative.guard);
                        let guard_writes = walk.found.writes;
                        walk.stmts(&alternative.body);
                        (guard_writes, walk.found.writes)
                    })
                    .collect(),
            });
        }
    }
    let mut classes = classes.into_iter();
    for (o, object) in program.objects.iter_mut().enumerate() {
        object.single_copy_only = facts.operations[o]
            .iter()
            .any(|reach| reach.world.is_some());
        for (i, operation) in object.operations.iter_mut().enumerate() {
            let found = classes.next().expect("a class for each operation");
            let reach = facts.operations[o][i];
            operation.may_block = facts.guarded[o][i] || reach.blocks.is_some();
            operation.does_output = reach.output.is_some();
            match &mut operation.body {
                OperationBody::Plain { class, .. } => *class = class_of(found[0].1),
                OperationBody::Guards(alternatives) => {
                    for (alternative, (guard_writes, writes)) in alternatives.iter_mut().zip(found)
                    {
                        alternative.guard_writes = guard_writes;
                        alternative.class = class_of(writes);
                    }
                }
            }
        }
    }
}

fn class_of(writes: bool) -> AccessClass {
    if writes {
        AccessClass::Write
    } else {
        AccessClass::Read
    }
}

/// One walk over a routine with what is known so far.
struct Walk<'a> {
    program: &'a Program,
    facts: &'a Facts,
    found: Reach,
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program, facts: &'a Facts) -> Walk<'a> {
        Walk {
            program,
            facts,
            found: Reach::default(),
        }
    }

    fn over(mut self, body: &[Stmt]) -> Reach {
        self.stmts(body);
        self.found
    }

    fn stmts(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let at = stmt.span;
        match &stmt.kind {
            StmtKind::Assign { place, value }
            | StmtKind::AssignBinary { place, value, .. }
            | StmtKind::AssignLogical { place, value, .. } => {
                self.changed(place);
                self.expr(value);
            }
            StmtKind::Call(call) => self.call(call),
            StmtKind::Invoke(invocation) => self.invoke(invocation),
            StmtKind::Discard(expr) | StmtKind::Assert(expr) => self.expr(expr),
            StmtKind::Fork { arguments, on, .. } => {
                self.arguments(arguments);
                on.iter().for_each(|on| self.expr(on));
            }
            StmtKind::Exit => {}
            StmtKind::Return(value) => value.iter().for_each(|value| self.expr(value)),
            StmtKind::If {
                branches,
                otherwise,
            } => {
                for (condition, body) in branches {
                    self.expr(condition);
                    self.stmts(body);
                }
                self.stmts(otherwise);
            }
            StmtKind::Case {
                selector,
                branches,
                otherwise,
            } => {
                self.expr(selector);
                branches.iter().for_each(|(_, body)| self.stmts(body));
                otherwise.iter().for_each(|body| self.stmts(body));
            }
            StmtKind::While { condition, body } => {
                self.expr(condition);
                self.stmts(body);
            }
            StmtKind::Loop(body) => self.stmts(body),
            StmtKind::Repeat { body, until } => {
                self.stmts(body);
                self.expr(until);
            }
            StmtKind::ForRange { from, to, body, .. } => {
                self.expr(from);
                self.expr(to);
                self.stmts(body);
            }
            StmtKind::ForEach { set, body, .. } => {
                self.expr(set);
                self.stmts(body);
            }
            StmtKind::Insert { element, set } | StmtKind::Delete { element, set } => {
                self.expr(element);
                self.changed(set);
            }
            StmtKind::DeleteNode { graph, node } => {
                self.changed(graph);
                self.expr(node);
            }
            StmtKind::Strategy {
                object,
                replicate,
                cpu,
            } => {
                self.place(object);
                self.expr(replicate);
                self.expr(cpu);
            }
            StmtKind::Read(places) => {
                self.reach_world(at);
                places.iter().for_each(|place| self.changed(place));
            }
            StmtKind::Write { arguments, .. } => {
                self.found.output = self.found.output.or(Some(at));
                arguments.iter().for_each(|argument| self.expr(argument));
            }
        }
    }

    fn reach_world(&mut self, at: Span) {
        self.found.world = self.found.world.or(Some(at));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Integer(_) | ExprKind::Real(_) | ExprKind::Text(_) | ExprKind::Nil => {}
            ExprKind::Place(place) => self.place(place),
            ExprKind::Convert(inner) | ExprKind::Unary(_, inner) | ExprKind::Measure(_, inner) => {
                self.expr(inner)
            }
            ExprKind::Binary(_, left, right, _)
            | ExprKind::Logical(_, left, right)
            | ExprKind::Compare(_, left, right)
            | ExprKind::In(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::RecordAggregate(parts)
            | ExprKind::SetAggregate(parts)
            | ExprKind::ArrayAggregate {
                elements: parts, ..
            } => {
                parts.iter().for_each(|part| self.expr(part));
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Invoke(invocation) => self.invoke(invocation),
            ExprKind::Standard(StandardFunction::Ncpus | StandardFunction::Mycpu, _) => {}
            ExprKind::Standard(_, arguments) => {
                arguments.iter().for_each(|argument| self.expr(argument))
            }
            ExprKind::From(place) | ExprKind::AddNode(place) => self.changed(place),
        }
    }

    fn place(&mut self, place: &Place) {
        for step in &place.path {
            match &step.kind {
                StepKind::Index(indices) => indices.iter().for_each(|index| self.expr(index)),
                StepKind::Node(node) => self.expr(node),
                StepKind::Field(_)
                | StepKind::RootField(_)
                | StepKind::NodeField(_)
                | StepKind::ObjectField(_) => {}
            }
        }
    }

    /// A designator that is changed.
    fn changed(&mut self, place: &Place) {
        self.place(place);
        self.found.writes |= is_own(place);
    }

    fn arguments(&mut self, arguments: &[Argument]) {
        for argument in arguments {
            match argument {
                Argument::In(expr) => self.expr(expr),
                Argument::Out(place) | Argument::Shared(place) => self.changed(place),
            }
        }
    }

    fn call(&mut self, call: &Call) {
        self.arguments(&call.arguments);
        let FunctionId(index) = call.function;
        let reach = self.facts.functions[index as usize];
        let at = Some(call.span);
        self.found.add(Reach {
            writes: false,
            blocks: reach.blocks.and(at),
            output: reach.output.and(at),
            world: reach.world.and(at),
        });
    }

    fn invoke(&mut self, invocation: &Invocation) {
        self.place(&invocation.object);
        self.arguments(&invocation.arguments);
        let TypeKind::Object(ObjectId(object)) =
            self.program.types[invocation.object.ty.index()].kind
        else {
            return;
        };
        let OperationId(operation) = invocation.operation;
        let reach = self.facts.operations[object as usize][operation as usize];
        let is_guarded = self.facts.guarded[object as usize][operation as usize];
        let at = Some(invocation.span);
        self.found.add(Reach {
            writes: reach.writes && is_own(&invocation.object),
            blocks: at.filter(|_| is_guarded || reach.blocks.is_some()),
            output: reach.output.and(at),
            world: reach.world.and(at),
        });
    }
}

/// Whether a designator is the object, or a part of its state.
fn is_own(place: &Place) -> bool {
    matches!(place.base, Base::OwnField(_) | Base::SelfObject)
}
