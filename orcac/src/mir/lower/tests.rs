//! What lowering makes of small typed programs, as text; and that everything it makes obeys the verifier.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use orca_abi::descriptor::{HAS_READ, HAS_WRITE, MAY_BLOCK};

use crate::hir::{
    AccessClass, Alternative, Argument, ArrayBounds, ArrayType, Base, BinaryOp, Call, CompareOp,
    Expr, ExprKind, Field, FieldId, Function, FunctionBody, FunctionId, Init, Invocation, Local,
    LocalId, LocalKind, Object, ObjectId, Operation, OperationBody, OperationId, Place, Process,
    ProcessId, Program, Routine, Step, StepKind, Stmt, StmtKind, Type, TypeId, TypeKind,
};
use crate::mir;
use crate::mir::layout::Layouts;
use crate::mir::text::print_function;
use crate::mir::verify::verify;
use crate::session::{Options, Session};
use crate::source::{FileId, MemoryFiles, Span};

const INTEGER: TypeId = TypeId(0);
const BOOLEAN: TypeId = TypeId(1);
const CHAR: TypeId = TypeId(2);
const STRING: TypeId = TypeId(3);
const REAL: TypeId = TypeId(4);
const SHORTREAL: TypeId = TypeId(5);
const IN: LocalKind = LocalKind::In { modified: false };

/// A program under construction: every construct lies on the line that was set last.
struct Fixture {
    session: Session,
    file: FileId,
    line: u32,
    program: Program,
}

impl Fixture {
    fn new() -> Fixture {
        let mut session = Session::new(Options::default(), Box::new(MemoryFiles::new()));
        let text = "x\n".repeat(100).into_bytes();
        let file = session.sources.add("m.orca", text);
        let mut fixture = Fixture {
            session,
            file: file.expect("the text is small"),
            line: 1,
            program: Program::default(),
        };
        fixture.ty("integer", TypeKind::Integer);
        fixture.ty("boolean", TypeKind::Boolean);
        fixture.ty("char", TypeKind::Char);
        fixture.array("string", ArrayBounds::Dynamic, CHAR);
        fixture.ty("real", TypeKind::Real);
        fixture.ty("shortreal", TypeKind::ShortReal);
        fixture
    }

    fn span(&self) -> Span {
        let start = 2 * (self.line - 1);
        Span::new(self.file, start, start + 1)
    }

    fn ty(&mut self, name: &str, kind: TypeKind) -> TypeId {
        let name = name.into();
        self.program.types.push(Type { name, kind });
        TypeId(self.program.types.len() as u32 - 1)
    }

    fn array(&mut self, name: &str, bounds: ArrayBounds, element: TypeId) -> TypeId {
        let array = ArrayType {
            indices: vec![INTEGER],
            bounds,
            element,
        };
        self.ty(name, TypeKind::Array(array))
    }

    fn field(&self, name: &str, ty: TypeId) -> Field {
        Field {
            name: name.into(),
            ty,
            init: Init::default(),
            span: self.span(),
        }
    }

    fn local(&self, name: &str, ty: TypeId, kind: LocalKind) -> Local {
        Local {
            name: name.into(),
            ty,
            kind,
            init: Init::default(),
            span: self.span(),
        }
    }

    fn routine(&self, title: &str, locals: Vec<Local>, result: Option<TypeId>) -> Routine {
        let inner = |local: &&Local| matches!(local.kind, LocalKind::Variable | LocalKind::Loop);
        Routine {
            title: title.into(),
            file: "m.orca".into(),
            parameter_count: locals.len() - locals.iter().filter(inner).count(),
            locals,
            result,
            span: self.span(),
            end: self.span(),
        }
    }

    fn function(&mut self, name: &str, routine: Routine, body: Vec<Stmt>) -> FunctionId {
        self.program.functions.push(Function {
            name: name.into(),
            routine,
            body: FunctionBody::Orca(body),
        });
        FunctionId(self.program.functions.len() as u32 - 1)
    }

    fn main(&mut self, locals: Vec<Local>, body: Vec<Stmt>) {
        let routine = self.routine("process OrcaMain", locals, None);
        self.program.processes.push(Process {
            name: "OrcaMain".into(),
            routine,
            body,
        });
        self.program.main = Some(ProcessId(self.program.processes.len() as u32 - 1));
    }

    fn expr(&self, ty: TypeId, kind: ExprKind) -> Expr {
        Expr {
            kind,
            ty,
            span: self.span(),
        }
    }

    fn int(&self, number: i64) -> Expr {
        self.expr(INTEGER, ExprKind::Integer(number))
    }

    fn place(&self, base: Base, ty: TypeId) -> Place {
        Place {
            base,
            path: Vec::new(),
            ty,
            span: self.span(),
        }
    }

    fn at(&self, local: u32, ty: TypeId) -> Place {
        self.place(Base::Local(LocalId(local)), ty)
    }

    fn step(&self, mut place: Place, kind: StepKind, ty: TypeId) -> Place {
        let span = self.span();
        place.path.push(Step { kind, ty, span });
        place.ty = ty;
        place
    }

    fn read(&self, place: Place) -> Expr {
        self.expr(place.ty, ExprKind::Place(place))
    }

    fn var(&self, local: u32, ty: TypeId) -> Expr {
        self.read(self.at(local, ty))
    }

    fn compare(&self, op: CompareOp, left: Expr, right: Expr) -> Expr {
        let kind = ExprKind::Compare(op, Box::new(left), Box::new(right));
        self.expr(BOOLEAN, kind)
    }

    fn stmt(&self, kind: StmtKind) -> Stmt {
        let span = self.span();
        Stmt { kind, span }
    }

    fn assign(&self, place: Place, value: Expr) -> Stmt {
        self.stmt(StmtKind::Assign { place, value })
    }

    fn assign_op(&self, place: Place, op: BinaryOp, value: Expr) -> Stmt {
        self.stmt(StmtKind::AssignBinary {
            place,
            op,
            value,
            operator: self.span(),
        })
    }

    fn returns(&self, value: Expr) -> Stmt {
        self.stmt(StmtKind::Return(Some(value)))
    }

    fn call(&self, function: FunctionId, arguments: Vec<Argument>) -> Call {
        Call {
            function,
            arguments,
            alias_checks: Vec::new(),
            span: self.span(),
        }
    }

    fn invocation(&self, object: Place, operation: u32, arguments: Vec<Argument>) -> Invocation {
        Invocation {
            object,
            operation: OperationId(operation),
            arguments,
            alias_checks: Vec::new(),
            span: self.span(),
        }
    }

    fn lower(&self) -> mir::Program {
        let program = super::lower(&self.session, &self.program);
        let mut list = String::new();
        for violation in verify(&program) {
            writeln!(list, "{violation}").expect("strings take everything");
        }
        assert!(list.is_empty(), "{list}");
        program
    }

    /// The text of one function of the lowered program.
    fn check(&self, name: &str, expected: &Expect) {
        let program = self.lower();
        let index = program.functions.iter().position(|f| f.name == name);
        let index = index.unwrap_or_else(|| panic!("there is no {name}"));
        let id = mir::FunctionId(index as u32);
        expected.assert_eq(&print_function(id, &program.functions[index]));
    }
}

#[test]
fn a_for_loop_over_an_array_is_rotated_and_counts_in_64_bits() {
    let mut f = Fixture::new();
    let vector = f.array("vector", ArrayBounds::Dynamic, INTEGER);
    let locals = vec![
        f.local("a", vector, IN),
        f.local("n", INTEGER, IN),
        f.local("sum", INTEGER, LocalKind::Variable),
        f.local("i", INTEGER, LocalKind::Loop),
    ];
    let routine = f.routine("function m.total", locals, Some(INTEGER));
    f.line = 5;
    let index = StepKind::Index(vec![f.var(3, INTEGER)]);
    let element = f.read(f.step(f.at(0, vector), index, INTEGER));
    let add = f.assign_op(f.at(2, INTEGER), BinaryOp::Add, element);
    f.line = 4;
    let each = f.stmt(StmtKind::ForRange {
        variable: LocalId(3),
        from: f.int(1),
        to: f.var(1, INTEGER),
        body: vec![add],
    });
    let total = f.returns(f.var(2, INTEGER));
    let id = f.function("m.total", routine, vec![each, total]);
    let locals = vec![
        f.local("v", vector, LocalKind::Variable),
        f.local("s", INTEGER, LocalKind::Variable),
    ];
    let arguments = vec![Argument::In(f.var(0, vector)), Argument::In(f.int(3))];
    let call = f.expr(INTEGER, ExprKind::Call(Box::new(f.call(id, arguments))));
    let body = vec![f.assign(f.at(1, INTEGER), call)];
    f.main(locals, body);
    f.check("m.total", &expect![[""]]);
}

#[test]
fn words_without_an_address_are_passed_in_the_frame_and_stored_back() {
    let mut f = Fixture::new();
    let locals = vec![
        f.local("x", INTEGER, LocalKind::Shared),
        f.local("y", INTEGER, LocalKind::Out),
    ];
    let routine = f.routine("function m.f", locals, None);
    let body = vec![
        f.assign(f.at(0, INTEGER), f.int(7)),
        f.assign(f.at(1, INTEGER), f.int(8)),
    ];
    let id = f.function("m.f", routine, body);
    let locals = vec![
        f.local("a", INTEGER, LocalKind::Variable),
        f.local("b", INTEGER, LocalKind::Variable),
    ];
    let arguments = vec![
        Argument::Shared(f.at(0, INTEGER)),
        Argument::Out(f.at(1, INTEGER)),
    ];
    let body = vec![f.stmt(StmtKind::Call(f.call(id, arguments)))];
    f.main(locals, body);
    f.check("m.f", &expect![[""]]);
    f.check("OrcaMain", &expect![[""]]);
}

#[test]
fn a_returned_string_variable_moves_and_other_variables_are_freed() {
    let mut f = Fixture::new();
    let locals = vec![
        f.local("s", STRING, LocalKind::Variable),
        f.local("t", STRING, LocalKind::Variable),
    ];
    let routine = f.routine("function m.f", locals, Some(STRING));
    let abc = f.expr(STRING, ExprKind::Text("abc".into()));
    let body = vec![f.assign(f.at(0, STRING), abc), f.returns(f.var(0, STRING))];
    let id = f.function("m.f", routine, body);
    let locals = vec![f.local("a", STRING, LocalKind::Variable)];
    let call = f.expr(STRING, ExprKind::Call(Box::new(f.call(id, Vec::new()))));
    let body = vec![f.assign(f.at(0, STRING), call)];
    f.main(locals, body);
    f.check("m.f", &expect![[""]]);
    f.check("OrcaMain", &expect![[""]]);
}

/// An object with a counter: `value` reads it, `take` waits until it is positive.
fn counter(f: &mut Fixture) -> TypeId {
    let count = f.place(Base::OwnField(FieldId(0)), INTEGER);
    f.line = 10;
    let value = Operation {
        name: "value".into(),
        routine: f.routine("operation counter$value", Vec::new(), Some(INTEGER)),
        body: OperationBody::Plain {
            class: AccessClass::Read,
            body: vec![f.returns(f.read(count.clone()))],
        },
        may_block: false,
        does_output: false,
    };
    f.line = 20;
    let locals = vec![f.local("n", INTEGER, IN)];
    let take = Operation {
        name: "take".into(),
        routine: f.routine("operation counter$take", locals, None),
        body: OperationBody::Guards(vec![Alternative {
            class: AccessClass::Write,
            guard_writes: false,
            guard: f.compare(CompareOp::Greater, f.read(count.clone()), f.int(0)),
            body: vec![f.assign_op(count, BinaryOp::Subtract, f.var(0, INTEGER))],
            span: f.span(),
        }]),
        may_block: true,
        does_output: false,
    };
    let ty = f.ty("counter", TypeKind::Object(ObjectId(0)));
    f.program.objects.push(Object {
        name: "counter".into(),
        ty,
        fields: vec![f.field("count", INTEGER)],
        operations: vec![value, take],
        init: None,
        single_copy_only: false,
        span: f.span(),
    });
    ty
}

#[test]
fn a_guarded_operation_returns_blocked_with_nothing_changed() {
    let mut f = Fixture::new();
    let ty = counter(&mut f);
    let locals = vec![f.local("c", ty, LocalKind::Variable)];
    f.main(locals, Vec::new());
    f.check("counter$take.writes", &expect![[""]]);
    f.check("counter$value.reads", &expect![[""]]);
}

#[test]
fn a_process_calls_unshared_objects_directly_and_leaves_others_to_the_run_time_system() {
    let mut f = Fixture::new();
    let ty = counter(&mut f);
    let locals = vec![
        f.local("c", ty, LocalKind::Variable),
        f.local("n", INTEGER, LocalKind::Variable),
    ];
    f.line = 30;
    let take = f.invocation(f.at(0, ty), 1, vec![Argument::In(f.int(1))]);
    let value = f.invocation(f.at(0, ty), 0, Vec::new());
    let value = f.expr(INTEGER, ExprKind::Invoke(Box::new(value)));
    let body = vec![
        f.stmt(StmtKind::Invoke(take)),
        f.assign(f.at(1, INTEGER), value),
    ];
    f.main(locals, body);
    f.check("OrcaMain", &expect![[""]]);
    let program = f.lower();
    let operations = &program.objects[0].operations;
    let flags: Vec<u32> = operations.iter().map(|operation| operation.flags).collect();
    assert_eq!(flags, [HAS_READ, HAS_WRITE | MAY_BLOCK]);
}

#[test]
fn records_are_laid_out_like_c_structs() {
    let mut f = Fixture::new();
    let inner = f.array("inner", ArrayBounds::Constant(vec![(1, 3)]), CHAR);
    let fields = vec![
        f.field("c", CHAR),
        f.field("x", REAL),
        f.field("t", inner),
        f.field("s", SHORTREAL),
    ];
    let record = f.ty("r", TypeKind::Record { fields });
    let mut layouts = Layouts::new(&f.program);
    let descriptor = layouts.of(record);
    let offsets: Vec<u64> = descriptor.fields.iter().map(|field| field.offset).collect();
    assert_eq!(offsets, [0, 8, 16, 20]);
    assert_eq!((descriptor.size, descriptor.align), (24, 8));
    assert_eq!(descriptor.flags, orca_abi::types::PLAIN);
    assert_eq!(layouts.size(STRING), 24);
}

#[test]
fn an_array_too_large_for_a_frame_or_a_record_is_made_on_the_heap() {
    let mut f = Fixture::new();
    let huge = ArrayBounds::Constant(vec![(1, 1_000_000_000_000)]);
    let huge = f.array("huge", huge, INTEGER);
    let large = f.array("large", ArrayBounds::Constant(vec![(1, 2000)]), INTEGER);
    let locals = vec![
        f.local("h", huge, LocalKind::Variable),
        f.local("l", large, LocalKind::Variable),
    ];
    f.main(locals, Vec::new());
    f.check("OrcaMain", &expect![[""]]);
}

#[test]
fn a_constant_index_within_constant_bounds_needs_no_check() {
    let mut f = Fixture::new();
    let vector = f.array("vector", ArrayBounds::Constant(vec![(1, 4)]), INTEGER);
    let locals = vec![f.local("v", vector, LocalKind::Variable)];
    let index = StepKind::Index(vec![f.int(3)]);
    let element = f.step(f.at(0, vector), index, INTEGER);
    let body = vec![f.assign(element, f.int(9))];
    f.main(locals, body);
    f.check("OrcaMain", &expect![[""]]);
}
