//! Arrays and their bounds.

use expect_test::expect;

use super::{check, check_body};

#[test]
fn bounds_come_from_declarations_and_types() {
    check(
        r##"
MODULE SPECIFICATION m; TYPE perCpu = ARRAY[integer 0 .. NCPUS()] OF real; END;
MODULE IMPLEMENTATION main;
  FROM m IMPORT perCpu;
  CONST n = 4;
  TYPE vec = ARRAY[integer] OF integer;
  TYPE mat = ARRAY[integer, char] OF vec;
  TYPE fixed = ARRAY[integer 1 .. n, boolean false .. true] OF vec;
  FUNCTION f(k: integer; a: OUT vec[1 .. k]; s: SHARED vec);
    local: vec[LB(s) .. k * 2];
  BEGIN a[k] := local[LB(s)]; END;
  PROCESS OrcaMain();
    v: vec[1 .. n]; m: mat[1 .. n, 'a' .. 'z'][0 .. 9]; x: fixed; p: perCpu; w: vec;
  BEGIN
    v[1] := m[2, 'c'][3] + x[1, true][4];
    p[NCPUS()] := 1.0;
    f(3, v, w);
    WriteLine(SIZE(x), UB(x, 1), LB(m, 2), SIZE(v));
    v[1, 2] := 3;
    m[1] := v;
    v['a'] := 1;
    v.x := 1;
    n[1] := 2;
  END;
END;
"##,
        &expect![[r#"
            main.orca:19:6: error[E0404]: `vec` has 1 dimension, found 2 indices
            main.orca:20:6: error[E0404]: `mat` has 2 dimensions, found 1 index
            main.orca:21:7: error[E0401]: expected `integer`, found `char`
            main.orca:22:7: error[E0405]: `vec` has no field `x`
            main.orca:23:6: error[E0404]: an integer constant has no components
        "#]],
    );
}

#[test]
fn a_type_with_bounds_takes_no_more() {
    check_body(
        r##"a: ARRAY[integer 1 .. 3] OF integer; b: string[1 .. 2];"##,
        r##"a[1] := 1; b[1] := 'x';"##,
        &expect![[r#"
            program main
            type t9 ARRAY[integer] OF integer = ARRAY[integer 1 .. 3] OF integer
            process main.OrcaMain()
              a: ARRAY[integer] OF integer
              b: string[1 .. 2]
              BEGIN
                a[1] := 1
                b[1] := 'x'
        "#]],
    );
}
