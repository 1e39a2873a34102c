//! Parameters, copies, aliases.

use expect_test::expect;

use super::check;

#[test]
fn modes_copies_and_aliases() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  TYPE vec = ARRAY[integer] OF integer;
  TYPE rec = RECORD a, b: vec; END;
  FUNCTION swap(x, y: SHARED integer); t: integer; BEGIN t := x; x := y; y := t; END;
  FUNCTION put(x: OUT integer; y: integer); BEGIN x := y; END;
  FUNCTION keep(v: vec; w: IN vec): integer; BEGIN v[1] := 2; RETURN v[1] + w[1]; END;
  FUNCTION both(v: SHARED vec; x: SHARED integer); BEGIN v[1] := x; END;
  PROCESS OrcaMain();
    v: vec[1 .. 3]; i, j: integer; l: longint; r: rec;
  BEGIN
    swap(i, j); swap(v[i], v[j]); swap(v[1], v[2]); put(i, i); i := keep(v, v); both(r.a, r.b[1]);
    swap(i, i);
    swap(v[i], v[i]);
    both(v, v[i]);
    swap(v[1], v[1]);
    swap(i, l);
    swap(i, 3);
    put(i + 1, 2);
    swap(i);
    FOR k IN 1 .. 3 DO swap(k, i); OD;
    both(r.a, r.a[i]);
  END;
END;
"##,
        &expect![[r#"
            main.orca:13:13: error[E0416]: illegal alias: this OUT or SHARED argument overlaps another one
            main.orca:14:16: error[E0416]: illegal alias: this OUT or SHARED argument overlaps another one
            main.orca:15:13: error[E0416]: illegal alias: this OUT or SHARED argument overlaps another one
            main.orca:16:16: error[E0416]: illegal alias: this OUT or SHARED argument overlaps another one
            main.orca:17:13: error[E0401]: expected a variable of `integer` for this SHARED parameter, found `longint`
            main.orca:18:13: error[E0407]: expected a variable, found an expression
            main.orca:19:9: error[E0407]: expected a variable, found an expression
            main.orca:20:9: error[E0406]: `main.swap` takes 2 arguments, found 1
            main.orca:21:29: error[E0407]: this is a FOR variable and cannot be changed here
            main.orca:22:15: error[E0416]: illegal alias: this OUT or SHARED argument overlaps another one
        "#]],
    );
}
