//! Scopes and names.

use expect_test::expect;

use super::{check, check_body};

#[test]
fn four_independent_mistakes_give_four_messages() {
    check_body(
        r##"count: integer; x: real;"##,
        r##"conut := 1; conut := conut + 1;
x := count;
count := undefined(count, alsoundefined);
WriteLine(cuont, x, count);
count := "text";"##,
        &expect![[r#"
            main.orca:5:1: error[E0302]: `conut` is not declared
            main.orca:6:6: error[E0401]: expected `real`, found `integer`
            main.orca:7:10: error[E0302]: `undefined` is not declared
            main.orca:7:27: error[E0302]: `alsoundefined` is not declared
            main.orca:8:11: error[E0302]: `cuont` is not declared
            main.orca:9:10: error[E0401]: expected `integer`, found `string`
        "#]],
    );
}

#[test]
fn names_nobody_uses_and_names_that_hide() {
    check(
        r##"
MODULE SPECIFICATION lib; CONST one = 1; CONST two = 2; END;
MODULE IMPLEMENTATION main;
  IMPORT lib;
  FROM lib IMPORT one, two;
  TYPE unused = integer;
  CONST c = 1;
  FUNCTION never(); BEGIN END;
  PROCESS OrcaMain();
    CONST d = 2;
    a, b, i: integer;
  BEGIN
    i := two; a := b;
    FOR i IN 1 .. 2 DO a := i; OD;
    WriteLine(a);
  END;
END;
"##,
        &expect![[r#"
            main.orca:4:10: warning[W0302]: the import `lib` is never used
            main.orca:5:19: warning[W0302]: the import `one` is never used
            main.orca:6:8: warning[W0301]: `unused` is never used
            main.orca:7:9: warning[W0301]: `c` is never used
            main.orca:8:12: warning[W0301]: `never` is never used
            main.orca:10:11: warning[W0301]: `d` is never used
            main.orca:11:8: warning[W0303]: `b` is used but never assigned
            main.orca:14:9: warning[W0304]: the FOR variable `i` hides another declaration
            program main
            function main.never()
              BEGIN
            process main.OrcaMain()
              a: integer
              b: integer
              i.l2: integer
              FOR i.l3: integer
              BEGIN
                i.l2 := 2
                a := b
                FOR i.l3 IN 1 .. 2
                  a := i.l3
                WriteLine(a)
        "#]],
    );
}

#[test]
fn a_routine_may_hide_an_outer_name_it_has_not_used() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  CONST n = 3;
  TYPE v = ARRAY[integer] OF integer;
  FUNCTION good(); n: integer; x: v[1 .. 2]; BEGIN n := 1; x[1] := n; END;
  FUNCTION bad(); x: v[1 .. n]; n: integer; BEGIN n := 1; x[1] := n; END;
  PROCESS OrcaMain(); x: integer; x: real; good: integer; BEGIN good := 1; bad(); x := good; END;
  PROCESS twice(a: integer; a: real); BEGIN END;
  TYPE v = integer;
END;
"##,
        &expect![[r#"
            main.orca:5:12: warning[W0301]: `good` is never used
            main.orca:6:33: error[E0313]: `n` is already used here with its outer meaning
            main.orca:7:35: error[E0303]: `x` is declared twice
            main.orca:8:11: warning[W0301]: `twice` is never used
            main.orca:8:29: error[E0303]: `a` is declared twice
            main.orca:9:8: error[E0303]: `v` is declared twice
        "#]],
    );
}

#[test]
fn a_name_of_the_wrong_kind() {
    check_body(
        r##"i: integer;"##,
        r##"i := integer; i := OrcaMain; OrcaMain(); i(); integer(3); FORK i(); i := WriteLine; i := WriteLine(3); i := i.x; i := i!x; i$x();
i := true.x; NIL := 3; i := NIL;"##,
        &expect![[r#"
            main.orca:5:6: error[E0314]: `integer` is a type, not a value
            main.orca:5:20: error[E0314]: `OrcaMain` is a process, not a value
            main.orca:5:30: error[E0314]: `OrcaMain` is a process: start it with FORK
            main.orca:5:42: error[E0314]: `i` is not a function
            main.orca:5:47: error[E0314]: `integer` is a type, not a function
            main.orca:5:64: error[E0501]: `i` is a variable, not a process
            main.orca:5:74: error[E0314]: `WriteLine` is a standard function: a call has parentheses
            main.orca:5:90: error[E0505]: WriteLine has no result: its call is a statement
            main.orca:5:111: error[E0405]: `integer` has no field `x`
            main.orca:5:120: error[E0404]: `integer` is not a graph
            main.orca:5:124: error[E0417]: expected an object before `$`, found `integer`
            main.orca:6:10: error[E0404]: `boolean` has no components
            main.orca:6:14: error[E0407]: this is a constant and cannot be changed here
            main.orca:6:29: error[E0401]: expected `integer`, found NIL
        "#]],
    );
}
