//! Generic units.

use expect_test::expect;

use super::check;

#[test]
fn each_instantiation_makes_new_types() {
    check(
        r##"
GENERIC (TYPE T; CONST max: integer; FUNCTION less(a, b: T): boolean)
OBJECT SPECIFICATION heap;
  TYPE items = ARRAY[integer] OF T;
  OPERATION put(x: T);
  OPERATION top(): T;
END;
GENERIC OBJECT IMPLEMENTATION heap;
  data: items[1 .. max]; n: integer;
  OPERATION put(x: T);
  BEGIN
    n +:= 1; data[n] := x;
    FOR i IN 1 .. n - 1 DO IF less(x, data[i]) THEN data[i] := x; FI; OD;
  END;
  OPERATION top(): T; BEGIN RETURN data[1]; END;
END;
GENERIC (NUMERIC TYPE T) MODULE SPECIFICATION sums; FUNCTION sum(a, b: T): T; END;
GENERIC MODULE IMPLEMENTATION sums; FUNCTION sum(a, b: T): T; BEGIN RETURN a + b; END; END;
MODULE IMPLEMENTATION main;
  FUNCTION before(a, b: integer): boolean; BEGIN RETURN a < b; END;
  FUNCTION shorter(a, b: string): boolean; BEGIN RETURN SIZE(a) < SIZE(b); END;
  OBJECT ints = NEW heap(integer, 10, before);
  OBJECT words = NEW heap(string, 5, shorter);
  MODULE reals = NEW sums(real);
  PROCESS OrcaMain();
    a: ints; b: words; i: ints.items; w: words.items;
  BEGIN
    a$put(3); b$put("x"); WriteLine(a$top(), b$top(), reals.sum(1.0, 2.0));
    i := ints.items:[1]; w := words.items:["a"];
  END;
END;
"##,
        &expect![[r#"
            program main
            type t9 ints = OBJECT o0
            type t10 ints.items = ARRAY[integer] OF integer
            type t11 words = OBJECT o1
            type t12 words.items = ARRAY[integer] OF string
            object ints
              data: ints.items[1 .. 10]
              n: integer
              operation put(x: integer) write
                FOR i: integer
                BEGIN
                  n +:= 1
                  data[n] := x
                  FOR i IN 1 .. (n - 1)
                    IF main.before(x, data[i])
                      data[i] := x
              operation top(): integer read
                BEGIN
                  RETURN data[1]
            object words
              data: words.items[1 .. 5]
              n: integer
              operation put(x: string) write
                FOR i: integer
                BEGIN
                  n +:= 1
                  data[n] := x
                  FOR i IN 1 .. (n - 1)
                    IF main.shorter(x, data[i])
                      data[i] := x
              operation top(): string read
                BEGIN
                  RETURN data[1]
            function main.before(a: integer; b: integer): boolean
              BEGIN
                RETURN (a < b)
            function main.shorter(a: string; b: string): boolean
              BEGIN
                RETURN (SIZE(a) < SIZE(b))
            function reals.sum(a: real; b: real): real
              BEGIN
                RETURN (a + b)
            process main.OrcaMain()
              a: ints
              b: words
              i: ints.items
              w: words.items
              BEGIN
                a$put(3)
                b$put("x")
                WriteLine(a$top(), b$top(), reals.sum(1.0, 2.0))
                i := ints.items[1 .. 1]:[1]
                w := words.items[1 .. 1]:["a"]
        "#]],
    );
}

#[test]
fn actuals_must_fit() {
    check(
        r##"
GENERIC (NUMERIC TYPE T; CONST n: integer; FUNCTION f(a: T): T) MODULE SPECIFICATION g; CONST m = n; END;
MODULE IMPLEMENTATION main;
  TYPE r = RECORD END;
  FUNCTION id(a: integer): integer; BEGIN RETURN a; END;
  FUNCTION other(a: OUT integer): integer; BEGIN RETURN a; END;
  MODULE a = NEW g(integer, 3, id);
  MODULE b = NEW g(r, 3, id);
  MODULE c = NEW g(integer, 3.0, id);
  MODULE d = NEW g(integer, 3, other);
  MODULE e = NEW g(integer, 3);
  OBJECT h = NEW g(integer, 3, id);
  MODULE i = NEW main(integer);
  MODULE j = NEW g(3, id, 4);
  IMPORT g;
  PROCESS OrcaMain(); BEGIN WriteLine(a.m); END;
END;
"##,
        &expect![[r#"
            main.orca:8:20: error[E0316]: expected an integer or real type, found `r`
            main.orca:9:29: error[E0316]: expected a constant of `integer`, found a real constant
            main.orca:10:32: error[E0316]: the head of this function differs from the generic parameter
            main.orca:11:18: error[E0406]: `g` takes 3 parameters, found 2
            main.orca:12:10: warning[W0301]: `h` is never used
            main.orca:12:18: error[E0314]: `g` is a module: write MODULE here
            main.orca:13:18: error[E0316]: `main` is not generic; import it
            main.orca:14:20: error[E0316]: expected the name of a type or function
            main.orca:14:23: error[E0314]: `id` is a function: a call has parentheses
            main.orca:14:27: error[E0316]: expected the name of a type or function
            main.orca:15:10: error[E0308]: `g` is generic and cannot be imported
        "#]],
    );
}

#[test]
fn a_generic_is_checked_with_its_formals_abstract_and_once() {
    check(
        r##"
GENERIC (TYPE T; NUMERIC TYPE N) OBJECT SPECIFICATION g; OPERATION a(x, y: T): boolean; OPERATION b(x: N): N; END;
GENERIC OBJECT IMPLEMENTATION g;
  TYPE pair = RECORD a, b: T; END;
  p: pair;
  OPERATION a(x, y: T): boolean; BEGIN p := pair:{x, y}; RETURN x = y; END;
  OPERATION b(x: N): N; i: integer; BEGIN i := wrong; RETURN -x * x; END;
END;
MODULE IMPLEMENTATION main;
  OBJECT one = NEW g(integer, integer);
  OBJECT two = NEW g(real, real);
  PROCESS OrcaMain(); x: one; y: two; BEGIN WriteLine(x$b(1), y$b(1.0)); END;
END;
"##,
        &expect![[r#"
            main.orca:6:67: error[E0408]: values of `T` cannot be compared
            main.orca:7:48: error[E0302]: `wrong` is not declared
        "#]],
    );
}

#[test]
fn generics_inside_generics_end() {
    check(
        r##"
GENERIC (TYPE T) OBJECT SPECIFICATION inner; OPERATION put(x: T); OPERATION get(): T; END;
GENERIC OBJECT IMPLEMENTATION inner; x: T; OPERATION put(y: T); BEGIN x := y; END; OPERATION get(): T; BEGIN RETURN x; END; END;
GENERIC (TYPE T) OBJECT SPECIFICATION outer; OBJECT part = NEW inner(T); OPERATION pass(x: T): T; END;
GENERIC OBJECT IMPLEMENTATION outer;
  p: part;
  OPERATION pass(x: T): T; BEGIN p$put(x); RETURN p$get(); END;
END;
GENERIC (TYPE T) MODULE SPECIFICATION self; MODULE again = NEW self(T); END;
MODULE IMPLEMENTATION main;
  OBJECT o = NEW outer(string);
  PROCESS OrcaMain(); x: o; y: o.part; BEGIN y$put("a"); WriteLine(x$pass(y$get())); END;
END;
"##,
        &expect![[r#"
            main.orca:9:64: error[E0317]: `self` instantiates itself
        "#]],
    );
}
