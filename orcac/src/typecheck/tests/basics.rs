//! Whole small programs.

use expect_test::expect;

use super::check;

#[test]
fn scalars_strings_and_writes() {
    check(
        r#"
MODULE IMPLEMENTATION t1;
  PROCESS OrcaMain();
    i: integer; s: string;
  BEGIN
    i := 7; Write(i / 2, " ", -i / 2, " ", (0 - i) % 2, " ", ORD(MAX(char)), " ");
    Write(0.1, " ", 1000000.0, " ");
    s := "ab";
    IF (s = "ab") AND ODD(i) THEN WriteLine("true-branch"); FI;
  END;
END;
"#,
        &expect![[r#"
            program main
            process t1.OrcaMain()
              i: integer
              s: string
              BEGIN
                i := 7
                Write((i / 2), " ", (-(i / 2)), " ", ((0 - i) % 2), " ", 255, " ")
                Write(0.1, " ", 1000000.0, " ")
                s := "ab"
                IF ((s = "ab") AND ODD(i))
                  WriteLine("true-branch")
        "#]],
    );
}

#[test]
fn an_object_shared_by_forked_processes() {
    check(
        r#"
OBJECT SPECIFICATION acc;
  OPERATION add(v: integer);
  OPERATION await(n: integer): integer;
END;
OBJECT IMPLEMENTATION acc;
  sum, cnt: integer;
  OPERATION add(v: integer); BEGIN sum +:= v; cnt +:= 1; END;
  OPERATION await(n: integer): integer;
  BEGIN GUARD cnt = n DO RETURN sum; OD; END;
END;
MODULE IMPLEMENTATION t2;
  IMPORT acc;
  PROCESS w(a: SHARED acc; k: integer); BEGIN a$add(k); END;
  PROCESS OrcaMain();
    a: acc;
  BEGIN
    FOR k IN 1 .. 10 DO FORK w(a, k) ON(k % NCPUS()); OD;
    WriteLine(a$await(10));
  END;
END;
"#,
        &expect![[r#"
            program main
            type t9 acc = OBJECT o0
            object acc
              sum: integer
              cnt: integer
              operation add(v: integer) write
                BEGIN
                  sum +:= v
                  cnt +:= 1
              operation await(n: integer): integer blocking
                GUARD (cnt = n) read
                  RETURN sum
            process t2.w(a: SHARED acc; k: integer)
              BEGIN
                a$add(k)
            process t2.OrcaMain()
              a: acc
              FOR k: integer
              BEGIN
                FOR k IN 1 .. 10
                  FORK t2.w(SHARED a, k) ON (k % NCPUS())
                WriteLine(a$await(10))
        "#]],
    );
}

#[test]
fn arrays_with_bounds_at_run_time() {
    check(
        r#"
MODULE IMPLEMENTATION t3;
  TYPE v = ARRAY[integer] OF integer;
  PROCESS OrcaMain();
    a: v[1 .. 5]; e: v;
  BEGIN
    WriteLine(LB(e), " ", UB(e), " ", SIZE(a));
    e := a; e[5] := 1; a[6] := 1;
  END;
END;
"#,
        &expect![[r#"
            program main
            type t9 v = ARRAY[integer] OF integer
            process t3.OrcaMain()
              a: v[1 .. 5]
              e: v
              BEGIN
                WriteLine(LB(e, 1), " ", UB(e, 1), " ", SIZE(a))
                e := a
                e[5] := 1
                a[6] := 1
        "#]],
    );
}

#[test]
fn a_bare_program_in_lower_case() {
    check(
        r#"
object specification Cell;
  operation get(): integer;
  operation put(v: integer);
end;
object implementation Cell;
  x: integer;
  operation get(): integer; begin return x; end;
  operation put(v: integer); begin x := v; end;
begin x := 0; end;
process add(c: shared Cell; n: integer);
begin c$put(c$get() + n); end;
process OrcaMain();
  c: Cell;
begin fork add(c, 5) on(1); end;
"#,
        &expect![[r#"
            program main
            type t9 Cell = OBJECT o0
            object Cell
              x: integer
              operation get(): integer read
                BEGIN
                  RETURN x
              operation put(v: integer) write
                BEGIN
                  x := v
              initialization
                BEGIN
                  x := 0
            process main.add(c: SHARED Cell; n: integer)
              BEGIN
                c$put((c$get() + n))
            process main.OrcaMain()
              c: Cell
              BEGIN
                FORK main.add(SHARED c, 5) ON 1
        "#]],
    );
}
