//! Objects and operations.

use expect_test::expect;

use super::check;

#[test]
fn operations_nested_objects_and_copies() {
    check(
        r##"
OBJECT SPECIFICATION cell;
  TYPE value = integer;
  FUNCTION twice(c: SHARED cell);
  OPERATION get(): value;
  OPERATION put(v: value);
END;
OBJECT IMPLEMENTATION cell;
  x: integer;
  FUNCTION twice(c: SHARED cell); BEGIN c$bump(); c$bump(); END;
  OPERATION get(): value; BEGIN RETURN x; END;
  OPERATION put(v: value); BEGIN x := v; END;
  OPERATION bump(); BEGIN x +:= 1; END;
  OPERATION same(c: cell): boolean; d: cell; BEGIN d := c; d.x := 3; RETURN (c.x = x) AND (d.x = SELF$get()); END;
END;
OBJECT SPECIFICATION pair;
  IMPORT cell;
  OPERATION sum(): integer;
  OPERATION set(a, b: integer);
  OPERATION copy(c: cell);
END;
OBJECT IMPLEMENTATION pair;
  IMPORT cell;
  TYPE cells = ARRAY[integer 1 .. 2] OF cell;
  c: cells;
  OPERATION sum(): integer; BEGIN RETURN c[1]$get() + c[2]$get(); END;
  OPERATION set(a, b: integer); BEGIN c[1]$put(a); c[2]$put(b); END;
  OPERATION copy(c: cell); BEGIN c$put(1); END;
BEGIN
  SELF$set(1, 2);
END;
MODULE IMPLEMENTATION main;
  IMPORT cell, pair;
  PROCESS OrcaMain();
    p, q: pair; c: cell; a: ARRAY[integer 1 .. 4] OF cell;
  BEGIN
    p$set(1, 2); q := p; cell.twice(c); a[2] := c; Strategy(a[1], 0, 1); Strategy(c, 1, 0);
    WriteLine(p$sum(), c$get());
  END;
END;
"##,
        &expect![[r#"
            program main
            type t9 cell = OBJECT o0
            type t10 pair = OBJECT o1
            type t11 cells = ARRAY[integer 1 .. 2] OF cell
            type t12 ARRAY[integer] OF cell = ARRAY[integer 1 .. 4] OF cell
            object cell
              x: integer
              operation get(): integer read
                BEGIN
                  RETURN x
              operation put(v: integer) write
                BEGIN
                  x := v
              operation bump() write
                BEGIN
                  x +:= 1
              operation same(c: cell): boolean read
                d: cell
                BEGIN
                  d := c
                  d.x := 3
                  RETURN ((c.x = x) AND (d.x = SELF$get()))
            object pair
              c: cells
              operation sum(): integer read
                BEGIN
                  RETURN (c[1]$get() + c[2]$get())
              operation set(a: integer; b: integer) write
                BEGIN
                  c[1]$put(a)
                  c[2]$put(b)
              operation copy(c: IN copied cell) read
                BEGIN
                  c$put(1)
              initialization
                BEGIN
                  SELF$set(1, 2)
            function cell.twice(c: SHARED cell)
              BEGIN
                c$bump()
                c$bump()
            process main.OrcaMain()
              p: pair
              q: pair
              c: cell
              a: ARRAY[integer] OF cell
              BEGIN
                p$set(1, 2)
                q := p
                cell.twice(SHARED c)
                a[2] := c
                Strategy(a[1], 0, 1)
                Strategy(c, 1, 0)
                WriteLine(p$sum(), c$get())
        "#]],
    );
}

#[test]
fn wrong_uses_of_objects() {
    check(
        r##"
OBJECT SPECIFICATION cell;
  FUNCTION f(c: SHARED cell);
  OPERATION get(): integer;
  OPERATION put(v: integer);
  OPERATION lost();
END;
OBJECT IMPLEMENTATION cell;
  x, get: integer;
  FUNCTION f(c: SHARED cell); BEGIN x := 1; c.x := 2; SELF$get(); END;
  OPERATION get(): integer; BEGIN RETURN x; END;
  OPERATION put(v: integer; w: integer); BEGIN x := v; FORK p(); END;
  OPERATION hidden(c: SHARED cell); BEGIN END;
  PROCESS p(); BEGIN END;
END;
MODULE IMPLEMENTATION main;
  IMPORT cell;
  x: integer;
  FUNCTION out(c: OUT cell); BEGIN END;
  PROCESS OrcaMain();
    c: cell; i: integer;
  BEGIN
    c$hidden(c); c$gat(); c$get(); i := c$put(1, 2); c.x := 1; i$get(); SELF$get(); i := c; IF c = c THEN FI;
    c$put(1); i := SELF; i := cell; i := main;
  END;
END;
"##,
        &expect![[r#"
            main.orca:6:3: error[E0309]: `lost` has no body in the implementation
            main.orca:9:6: error[E0303]: `get` is declared twice
            main.orca:10:37: error[E0507]: the field `x` may only be used in an operation or object initialization
            main.orca:10:47: error[E0507]: the fields of an object can only be reached in its own operations, and there in local copies
            main.orca:10:55: error[E0508]: SELF stands only in an operation or object initialization
            main.orca:12:3: error[E0311]: the head of `put` differs from the one declared before
            main.orca:12:56: error[E0501]: FORK stands in processes only
            main.orca:12:61: error[E0302]: `p` is not declared
            main.orca:13:23: error[E0506]: an operation has no SHARED parameters
            main.orca:14:3: error[E0210]: processes stand in modules only
            main.orca:18:3: error[E0210]: a module has no variables; objects, data modules and routines have
            main.orca:19:12: warning[W0301]: `out` is never used
            main.orca:19:23: error[E0413]: an OUT parameter cannot contain objects
            main.orca:23:7: error[E0414]: `hidden` is a private operation of `cell`
            main.orca:23:20: error[E0414]: `cell` has no operation `gat`
            main.orca:23:27: error[E0505]: unexpected function result: the result of `get` must be used
            main.orca:23:41: error[E0505]: `put` has no result: its call is a statement
            main.orca:23:56: error[E0507]: the fields of an object can only be reached in its own operations, and there in local copies
            main.orca:23:64: error[E0417]: expected an object before `$`, found `integer`
            main.orca:23:73: error[E0508]: SELF stands only in an operation or object initialization
            main.orca:23:90: error[E0401]: expected `integer`, found `cell`
            main.orca:23:98: error[E0408]: values of `cell` cannot be compared
            main.orca:24:10: error[E0406]: `put` takes 2 arguments, found 1
            main.orca:24:20: error[E0508]: SELF stands only before `$`, in an operation or initialization
            main.orca:24:31: error[E0314]: `cell` is a unit, not a value
            main.orca:24:42: error[E0302]: `main` is not declared
        "#]],
    );
}
