//! Guards, classes of operations, what operations may reach.

use expect_test::expect;

use super::check;

#[test]
fn alternatives_are_classified_one_by_one() {
    check(
        r##"
OBJECT SPECIFICATION q;
  TYPE list = ARRAY[integer] OF integer;
  OPERATION take(v: OUT integer): boolean;
  OPERATION pick(): integer;
  OPERATION look(): integer;
  OPERATION fill(v: list);
  OPERATION both();
END;
OBJECT IMPLEMENTATION q;
  s: SET OF integer; closed: boolean; l: list;
  FUNCTION grow(x: SHARED list); BEGIN END;
  FUNCTION size(x: list): integer; BEGIN RETURN SIZE(x); END;
  OPERATION take(v: OUT integer): boolean;
  BEGIN
    GUARD SIZE(s) > 0 DO v := FROM(s); RETURN true; OD;
    GUARD closed DO RETURN false; OD;
  END;
  OPERATION pick(): integer; BEGIN GUARD FROM(s) > 0 DO RETURN size(l); OD; END;
  OPERATION look(): integer; BEGIN RETURN SELF$size2(); END;
  OPERATION size2(): integer; BEGIN RETURN size(l); END;
  OPERATION fill(v: list); BEGIN v[1] := 3; grow(v); END;
  OPERATION both(); BEGIN grow(l); END;
END;
MODULE IMPLEMENTATION main; IMPORT q; PROCESS OrcaMain(); x: q; BEGIN x$both(); END; END;
"##,
        &expect![[r#"
            program main
            type t9 q = OBJECT o0
            type t10 list = ARRAY[integer] OF integer
            type t11 SET OF integer = SET OF integer
            object q
              s: SET OF integer
              closed: boolean
              l: list
              operation take(v: OUT integer): boolean blocking
                GUARD (SIZE(s) > 0) write
                  v := FROM(s)
                  RETURN true
                GUARD closed read
                  RETURN false
              operation pick(): integer blocking
                GUARD (FROM(s) > 0) write guard-writes
                  RETURN q.size(l)
              operation look(): integer read
                BEGIN
                  RETURN SELF$size2()
              operation fill(v: IN copied list) read
                BEGIN
                  v[1] := 3
                  q.grow(SHARED v)
              operation both() write
                BEGIN
                  q.grow(SHARED l)
              operation size2(): integer read
                BEGIN
                  RETURN q.size(l)
            function q.grow(x: SHARED list)
              BEGIN
            function q.size(x: list): integer
              BEGIN
                RETURN SIZE(x)
            process main.OrcaMain()
              x: q
              BEGIN
                x$both()
        "#]],
    );
}

#[test]
fn blocking_within_an_operation_is_refused() {
    check(
        r##"
OBJECT SPECIFICATION cell; OPERATION take(): integer; OPERATION get(): integer; END;
OBJECT IMPLEMENTATION cell;
  full: boolean;
  OPERATION take(): integer; BEGIN GUARD full DO full := false; RETURN 1; OD; END;
  OPERATION get(): integer; BEGIN RETURN SELF$take(); END;
END;
OBJECT SPECIFICATION pair; OPERATION both(): integer; OPERATION via(); END;
OBJECT IMPLEMENTATION pair;
  IMPORT cell;
  a, b: cell;
  FUNCTION f(c: SHARED cell): integer; BEGIN RETURN c$take(); END;
  OPERATION both(): integer; BEGIN RETURN a$take() + b$take(); END;
  OPERATION via(); BEGIN WriteLine(f(a)); END;
END;
MODULE IMPLEMENTATION main; IMPORT pair; PROCESS OrcaMain(); x: pair; BEGIN x$via(); END; END;
"##,
        &expect![[r#"
            main.orca:6:42: error[E0906]: cell$get can block here, within an operation; that is not compiled yet
            main.orca:13:43: error[E0906]: pair$both can block here, within an operation; that is not compiled yet
            main.orca:14:26: warning[W0501]: the operation pair$via writes output; its invoker's processor performs it, once
            main.orca:14:36: error[E0906]: pair$via can block here, within an operation; that is not compiled yet
        "#]],
    );
}

#[test]
fn guards_are_boolean_and_stand_in_operations() {
    check(
        r##"
OBJECT SPECIFICATION o; OPERATION a(); END;
OBJECT IMPLEMENTATION o;
  n: integer;
  OPERATION a(); BEGIN GUARD n DO EXIT; OD; GUARD n > 1 DO n := 1; OD; END;
END;
MODULE IMPLEMENTATION main; IMPORT o;
  FUNCTION f(); BEGIN GUARD true DO OD; END;
  PROCESS OrcaMain(); x: o; BEGIN x$a(); f(); END;
END;
"##,
        &expect![[r#"
            main.orca:5:30: error[E0401]: expected `boolean`, found `integer`
            main.orca:5:35: error[E0503]: EXIT stands outside a loop
            main.orca:8:23: error[E0210]: only operations have guards
        "#]],
    );
}

#[test]
fn input_output_and_clocks_in_operations_warn() {
    check(
        r##"
OBJECT SPECIFICATION log; OPERATION note(s: string); OPERATION ask(): integer; END;
OBJECT IMPLEMENTATION log;
  last: integer;
  FUNCTION show(s: string); BEGIN WriteLine(s); END;
  OPERATION note(s: string); BEGIN show(s); last +:= MYCPU(); END;
  OPERATION ask(): integer; BEGIN Read(last); RETURN last; END;
END;
MODULE IMPLEMENTATION main; IMPORT log; PROCESS OrcaMain(); l: log; BEGIN l$note("x"); END; END;
"##,
        &expect![[r#"
            main.orca:6:36: warning[W0501]: the operation log$note writes output; its invoker's processor performs it, once
            main.orca:7:35: warning[W0502]: the operation log$ask reads input, files or a clock, so log is never replicated
            program main
            type t9 log = OBJECT o0
            object log single-copy
              last: integer
              operation note(s: string) write output
                BEGIN
                  log.show(s)
                  last +:= MYCPU()
              operation ask(): integer write
                BEGIN
                  Read(last)
                  RETURN last
            function log.show(s: string)
              BEGIN
                WriteLine(s)
            process main.OrcaMain()
              l: log
              BEGIN
                l$note("x")
        "#]],
    );
}
