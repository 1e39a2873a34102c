//! Statements.

use expect_test::expect;

use super::{check, check_body};

#[test]
fn case_labels_are_constants_once_each() {
    check_body(
        r##"i: integer; c: char;"##,
        r##"CASE i OF 1, 3 .. 5 => c := 'a'; | 2 => c := 'b'; ELSE c := 'c'; ESAC;
CASE c OF 'a' .. 'f' => i := 1; | 'c' => i := 2; | 'z' .. 'x' => i := 3; | 1 => i := 4; ESAC;
CASE 1.5 OF 1 => i := 1; ESAC;
CASE i OF c => i := 1; ESAC;"##,
        &expect![[r#"
            main.orca:6:35: error[E0412]: this label stands here a second time
            main.orca:6:52: error[E0412]: this range is empty
            main.orca:6:76: error[E0401]: expected `char`, found an integer constant
            main.orca:7:6: error[E0412]: CASE needs an integer, char, boolean or enumeration, found `real`
            main.orca:8:11: error[E0403]: expected a constant expression
        "#]],
    );
}

#[test]
fn loops_exit_and_for_variables() {
    check_body(
        r##"i, n: integer; l: longint; x: real;"##,
        r##"EXIT;
FOR i IN 1 .. 10 DO i := 3; n := i; EXIT; OD;
FOR k IN 1 .. l DO l := k; OD;
FOR k IN i .. l DO OD;
FOR k IN x .. x DO OD;
FOR k IN i DO OD;
FOR c IN 'a' .. 'z' DO Write(c); OD;
DO IF n = 1 THEN EXIT; FI; OD;
REPEAT n +:= 1; UNTIL n > 3;
WHILE n DO n := k; OD;"##,
        &expect![[r#"
            main.orca:3:1: warning[W0303]: `i` is used but never assigned
            main.orca:3:28: warning[W0303]: `x` is used but never assigned
            main.orca:5:1: error[E0503]: EXIT stands outside a loop
            main.orca:6:5: warning[W0304]: the FOR variable `i` hides another declaration
            main.orca:6:21: error[E0407]: this is a FOR variable and cannot be changed here
            main.orca:8:10: error[E0401]: FOR needs two bounds of one discrete type, found `integer` and `longint`
            main.orca:9:10: error[E0401]: FOR needs two bounds of one discrete type, found `real` and `real`
            main.orca:10:10: error[E0401]: FOR runs over a range or a set, found `integer`
            main.orca:14:7: error[E0401]: expected `boolean`, found `integer`
            main.orca:14:17: error[E0302]: `k` is not declared
        "#]],
    );
}

#[test]
fn functions_return_exactly_if_they_have_a_result() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  FUNCTION a(): integer; BEGIN END;
  FUNCTION b(); BEGIN RETURN 1; END;
  FUNCTION c(): integer; BEGIN IF true THEN RETURN; FI; RETURN 2; END;
  FUNCTION d(): integer; BEGIN RETURN 1.5; END;
  PROCESS OrcaMain();
    i: integer;
  BEGIN
    c(); i := b(); b(); i := c(); i := a() + d();
    RETURN;
  END;
END;
"##,
        &expect![[r#"
            main.orca:3:32: error[E0502]: function main.a should return a value, but does not
            main.orca:4:30: error[E0502]: RETURN has no value here: there is no result
            main.orca:5:45: error[E0502]: RETURN needs a value here
            main.orca:6:39: error[E0401]: expected `integer`, found a real constant
            main.orca:10:5: error[E0505]: unexpected function result: the result of `main.c` must be used
            main.orca:10:15: error[E0505]: `main.b` has no result: its call is a statement
        "#]],
    );
}

#[test]
fn assignments_with_operators() {
    check_body(
        r##"i: integer; l: longint; b: boolean; x: real; s: SET OF integer;"##,
        r##"i +:= l; i /:= l; i %:= 3; i |:= 8; i ^:= i; i &:= l;
b AND:= i > 3; b OR:= b; x /:= 2.0; s -:= s;
i AND:= b;
b +:= 1;
x %:= 2.0;
x +:= 1;"##,
        &expect![[r#"
            main.orca:3:13: warning[W0303]: `l` is used but never assigned
            main.orca:7:3: error[E0402]: `AND` is not defined for `integer` and `boolean`
            main.orca:8:3: error[E0402]: `+` is not defined for `boolean` and an integer constant
            main.orca:9:3: error[E0402]: `%` is not defined for `real` and a real constant
            main.orca:10:3: error[E0402]: `+` is not defined for `real` and an integer constant
        "#]],
    );
}
