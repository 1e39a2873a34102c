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
    f.check(
        "m.total",
        &expect![[r#"
        function f1 "m.total" r1 process -> i32 {
          local l0 "result" i32
          local l1 "n" i32
          local l2 "sum" i32
        b0(v0: i64, v1: i32):
          poll !1
          set l1, v1 !1
          v2: i32 = integer 0 !1
          set l2, v2 !1
          v3: i32 = integer 1 !4
          v4: i64 = integer 1 !4
          v5: i32 = get l1 !4
          v6: i64 = sign_extend v5 !4
          v8: i8 = less_equal v4, v6 !4
          branch v8, b2(v4), b3
        b1:
          v27: i32 = get l0 !1
          return v27
        b2(v7: i64):
          v9: i32 = truncate v7 !4
          v10: i32 = get l2 !5
          v11: i32 = load head v0[16] !5
          v12: i64 = sign_extend v11 !5
          v13: i32 = load head v0[20] !5
          v14: i64 = sign_extend v13 !5
          v15: i64 = subtract v7, v12 !5
          v16: i8 = above_equal v15, v14 !5
          check v16, array_bound @0 !5
          v17: i64 = load head v0[0] !5
          v18: i64 = integer 4 !5
          v19: i64 = multiply v7, v18 !5
          v20: i64 = add v17, v19 !5
          v21: i32 = load data v20[0] !5
          v22: i32 = add v10, v21 !5
          set l2, v22 !5
          poll !4
          v23: i8 = less v7, v6 !4
          v24: i64 = integer 1 !4
          v25: i64 = add v7, v24 !4
          branch v23, b2(v25), b3
        b3:
          v26: i32 = get l2 !4
          set l0, v26 !4
          jump b1
        }
    "#]],
    );
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
    f.check(
        "m.f",
        &expect![[r#"
        function f1 "m.f" r1 process {
          local l0 "y" i32
        b0(v0: i64, v1: i64):
          poll !1
          v2: i32 = integer 0 !1
          set l0, v2 !1
          v3: i32 = integer 7 !1
          store data v0[0], v3 !1
          v4: i32 = integer 8 !1
          set l0, v4 !1
          jump b1
        b1:
          v5: i32 = get l0 !1
          store data v1[0], v5 !1
          return
        }
    "#]],
    );
    f.check(
        "OrcaMain",
        &expect![[r#"
        function f0 "OrcaMain" r0 process {
          local l0 "a" i32
          local l1 "b" i32
          slot s0 "value" size 4 align 4
          slot s1 "value" size 4 align 4
        b0(v0: i64):
          poll !1
          v1: i32 = integer 0 !1
          set l0, v1 !1
          v2: i32 = integer 0 !1
          set l1, v2 !1
          v3: i32 = get l0 !1
          v4: i64 = slot_address s0 !1
          store data v4[0], v3 !1
          v5: i32 = integer 0 !1
          v6: i64 = slot_address s1 !1
          store data v6[0], v5 !1
          call f1(v4, v6) !1
          v7: i32 = load data v4[0] !1
          set l0, v7 !1
          v8: i32 = load data v6[0] !1
          set l1, v8 !1
          jump b1
        b1:
          entry exit() !1
          unreachable
        }
    "#]],
    );
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
    f.check(
        "m.f",
        &expect![[r#"
        function f1 "m.f" r1 process {
          slot s0 "s" size 24 align 8
          slot s1 "t" size 24 align 8
        b0(v0: i64):
          poll !1
          v1: i64 = slot_address s0 !1
          zero v1, 24 !1
          v2: i64 = slot_address s0 !1
          v3: i64 = slot_address s1 !1
          zero v3, 24 !1
          v4: i64 = slot_address s1 !1
          v5: i64 = slot_address s0 !1
          v6: i64 = blob_address c0 !1
          v7: i64 = integer 3 !1
          v8: i32 = integer 0 !1
          entry string_new(v5, v6, v7, v8) !1
          v9: i64 = slot_address s0 !1
          v10: i64 = type_address t0 !1
          entry value_move(v10, v0, v9) !1
          jump b1
        b1:
          v11: i64 = slot_address s1 !1
          v12: i64 = type_address t0 !1
          entry value_free(v12, v11) !1
          v13: i64 = slot_address s0 !1
          v14: i64 = type_address t0 !1
          entry value_free(v14, v13) !1
          return
        }
    "#]],
    );
    f.check(
        "OrcaMain",
        &expect![[r#"
        function f0 "OrcaMain" r0 process {
          slot s0 "a" size 24 align 8
          slot s1 "temporary" size 24 align 8
        b0(v0: i64):
          poll !1
          v1: i64 = slot_address s0 !1
          zero v1, 24 !1
          v2: i64 = slot_address s0 !1
          v3: i64 = slot_address s0 !1
          v4: i64 = slot_address s1 !1
          zero v4, 24 !1
          v5: i64 = slot_address s1 !1
          call f1(v5) !1
          v6: i64 = type_address t0 !1
          entry value_move(v6, v3, v5) !1
          v7: i64 = slot_address s1 !1
          v8: i64 = type_address t0 !1
          entry value_free(v8, v7) !1
          jump b1
        b1:
          v9: i64 = slot_address s0 !1
          v10: i64 = type_address t0 !1
          entry value_free(v10, v9) !1
          entry exit() !1
          unreachable
        }
    "#]],
    );
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
    f.check(
        "counter$take.writes",
        &expect![[r#"
        function f2 "counter$take.writes" r2 operation -> i32 {
          local l0 "n" i32
        b0(v0: i64, v1: i64):
          v2: i64 = load data v1[0] !20
          v3: i32 = load data v2[0] !20
          set l0, v3 !20
          v4: i32 = load object v0[0] !20
          v5: i32 = integer 0 !20
          v6: i8 = greater v4, v5 !20
          branch v6, b2, b3
        b1:
          v11: i32 = integer 1 !20
          return v11
        b2:
          v7: i32 = load object v0[0] !20
          v8: i32 = get l0 !20
          v9: i32 = subtract v7, v8 !20
          store object v0[0], v9 !20
          jump b4
        b3:
          jump b1
        b4:
          v10: i32 = integer 0 !20
          return v10
        }
    "#]],
    );
    f.check(
        "counter$value.reads",
        &expect![[r#"
        function f1 "counter$value.reads" r1 operation -> i32 {
        b0(v0: i64, v1: i64):
          v2: i64 = load data v1[0] !10
          v3: i32 = load object v0[0] !10
          store data v2[0], v3 !10
          jump b1
        b1:
          v4: i32 = integer 0 !10
          return v4
        }
    "#]],
    );
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
    f.check(
        "OrcaMain",
        &expect![[r#"
        function f0 "OrcaMain" r0 process {
          local l0 "n" i32
          slot s0 "c" size 8 align 8
          slot s1 "arguments" size 8 align 8
          slot s2 "value" size 4 align 4
        b0(v0: i64):
          poll !30
          v1: i64 = slot_address s0 !20
          zero v1, 8 !20
          v2: i64 = slot_address s0 !20
          v3: i64 = type_address t0 !20
          v4: i32 = integer 0 !20
          v5: i64 = entry object_new(v3, v4) !20
          store data v2[0], v5 !20
          v6: i32 = integer 0 !20
          set l0, v6 !20
          v7: i64 = slot_address s0 !30
          v8: i32 = integer 1 !30
          v9: i64 = slot_address s1 !30
          v10: i64 = slot_address s2 !30
          store data v10[0], v8 !30
          store data v9[0], v10 !30
          v11: i64 = load data v7[0] !30
          v12: i32 = load data v11[0] !30
          v13: i32 = integer 0 !30
          v14: i8 = equal v12, v13 !30
          branch v14, b2, b3
        b1:
          v38: i64 = slot_address s0 !30
          v39: i64 = type_address t0 !30
          entry value_free(v39, v38) !30
          entry exit() !30
          unreachable
        b2:
          v15: i64 = integer 16 !30
          v16: i64 = add v11, v15 !30
          v17: i32 = call f1(v16, v9) !30
          v18: i32 = integer 0 !30
          v19: i8 = equal v17, v18 !30
          branch v19, b4, b5
        b3:
          v20: i32 = integer 3 !30
          v21: i32 = integer 1 !30
          entry invoke(v11, v20, v9, v21) !30
          jump b4
        b4:
          v22: i64 = slot_address s0 !30
          v23: i32 = integer 0 !30
          v24: i64 = slot_address s2 !30
          store data v24[0], v23 !30
          v25: i64 = slot_address s1 !30
          store data v25[0], v24 !30
          v26: i64 = load data v22[0] !30
          v27: i32 = load data v26[0] !30
          v28: i32 = integer 0 !30
          v29: i32 = integer 1 !30
          v30: i8 = below_equal v27, v29 !30
          branch v30, b6, b7
        b5 cold:
          trap local_deadlock @1
        b6:
          v31: i64 = integer 16 !30
          v32: i64 = add v26, v31 !30
          v33: i32 = call f2(v32, v25) !30
          jump b8
        b7:
          v35: i32 = integer 2 !30
          v36: i32 = integer 1 !30
          entry invoke(v26, v35, v25, v36) !30
          jump b8
        b8:
          v37: i32 = load data v24[0] !30
          set l0, v37 !30
          jump b1
        }
    "#]],
    );
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
    f.check(
        "OrcaMain",
        &expect![[r#"
        function f0 "OrcaMain" r0 process {
          slot s0 "h" size 24 align 8
          slot s1 "bounds" size 16 align 8
        b0(v0: i64):
          poll !1
          v1: i64 = slot_address s0 !1
          zero v1, 24 !1
          v2: i64 = slot_address s0 !1
          v3: i64 = integer 1 !1
          v4: i64 = integer 1000000000000 !1
          v5: i64 = slot_address s1 !1
          store data v5[0], v3 !1
          store data v5[8], v4 !1
          v6: i64 = type_address t0 !1
          v7: i32 = integer 0 !1
          entry array_new(v6, v2, v5, v7) !1
          v8: i64 = integer 8000 !1
          v9: i32 = integer 0 !1
          v10: i64 = entry block_new(v8, v9) !1
          jump b1
        b1:
          v11: i64 = integer 8000 !1
          entry block_free(v10, v11) !1
          v12: i64 = slot_address s0 !1
          v13: i64 = type_address t0 !1
          entry value_free(v13, v12) !1
          entry exit() !1
          unreachable
        }
    "#]],
    );
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
    f.check(
        "OrcaMain",
        &expect![[r#"
        function f0 "OrcaMain" r0 process {
          slot s0 "v" size 16 align 4
        b0(v0: i64):
          poll !1
          v1: i64 = slot_address s0 !1
          zero v1, 16 !1
          v2: i64 = slot_address s0 !1
          v3: i64 = slot_address s0 !1
          v4: i32 = integer 3 !1
          v5: i64 = integer 3 !1
          v6: i64 = integer 0 !1
          v7: i64 = integer 4 !1
          v8: i64 = integer 1 !1
          v9: i64 = integer 2 !1
          v10: i8 = integer 0 !1
          v11: i64 = integer 0 !1
          v12: i64 = integer 3 !1
          v13: i32 = integer 9 !1
          store data v3[8], v13 !1
          jump b1
        b1:
          entry exit() !1
          unreachable
        }
    "#]],
    );
}
