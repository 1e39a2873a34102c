//! Types that are declared.

use expect_test::expect;

use super::check;

#[test]
fn enumerations_records_and_sets() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  TYPE colour = (red, green, blue);
  TYPE pair = RECORD a, b: integer; c: colour; END;
  TYPE pairs = ARRAY[colour] OF pair;
  TYPE palette = SET OF colour;
  TYPE alias = pair;
  PROCESS OrcaMain();
    p: pair; q: alias; all: pairs[red .. blue]; s: palette; c: colour;
  BEGIN
    p := pair:{1, 2, green};
    q := p;
    all[red].b := p.a;
    s := palette:{red, blue};
    INSERT(green, s); DELETE(red, s);
    c := FROM(s);
    FROM(s);
    IF (c IN s) AND (s = palette:{}) AND (p = q) THEN c := MAX(colour); FI;
    s := s + s - s * s / s;
    s +:= palette:{c};
    FOR e IN s DO WriteLine(ORD(e)); OD;
    FOR e IN red .. blue DO c := e; OD;
    c := VAL(colour, 1);
  END;
END;
"##,
        &expect![[r#"
            program main
            type t9 colour = (red, green, blue)
            type t10 pair = RECORD a: integer; b: integer; c: colour; END
            type t11 pairs = ARRAY[colour] OF pair
            type t12 palette = SET OF colour
            process main.OrcaMain()
              p: pair
              q: pair
              all: pairs[red .. blue]
              s: palette
              c: colour
              FOR e.l5: colour
              FOR e.l6: colour
              BEGIN
                p := pair:{1, 2, green}
                q := p
                all[red].b := p.a
                s := palette:{red, blue}
                INSERT(green, s)
                DELETE(red, s)
                c := FROM(s)
                FROM(s)
                IF (((c IN s) AND (s = palette:{})) AND (p = q))
                  c := blue
                s := ((s + s) - ((s * s) / s))
                s +:= palette:{c}
                FOR e.l5 IN s
                  WriteLine(ORD(e.l5))
                FOR e.l6 IN red .. blue
                  c := e.l6
                c := green
        "#]],
    );
}

#[test]
fn graphs_and_nodenames() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  TYPE nodeT = NODENAME OF listT;
  TYPE listT = GRAPH first: nodeT; len: integer; NODES next: nodeT; v: integer; END;
  PROCESS OrcaMain();
    g: listT; n: nodeT;
  BEGIN
    n := ADDNODE(g);
    g.first := n;
    g[n].v := 5;
    g[n].next := NIL;
    g!first.v +:= 1;
    g.len := g!first!next.v;
    IF (n /= NIL) AND (g[n].next = NIL) THEN DELETENODE(g, n); FI;
    g[n] := 3;
    g[3].v := 1;
    g.nothing := 1;
    IF g = g THEN n := 3; FI;
  END;
END;
"##,
        &expect![[r#"
            main.orca:13:21: error[E0405]: a node is no value: select one of its fields
            main.orca:15:5: error[E0405]: a node is no value: select one of its fields
            main.orca:16:7: error[E0401]: expected a nodename of `listT`, found an integer constant
            main.orca:17:7: error[E0405]: `listT` has no field `nothing`
            main.orca:18:10: error[E0408]: values of `listT` cannot be compared
            main.orca:18:24: error[E0401]: expected `nodeT`, found an integer constant
        "#]],
    );
}

#[test]
fn types_that_cannot_be_made() {
    check(
        r##"
OBJECT SPECIFICATION o; OPERATION a(); END;
OBJECT IMPLEMENTATION o; inner: o; OPERATION a(); BEGIN END; END;
MODULE IMPLEMENTATION main;
  IMPORT o;
  TYPE a = ARRAY[real] OF integer;
  TYPE b = ARRAY[integer 1 .. 3, char] OF integer;
  TYPE c = SET OF o;
  TYPE d = NODENAME OF integer;
  TYPE e = NODENAME OF nowhere;
  TYPE f = RECORD x: integer; x: real; END;
  TYPE g = ARRAY[integer] OF integer;
  PROCESS OrcaMain();
    v: g[1 .. 3, 1 .. 2]; w: integer[1 .. 3]; x: g[1.0 .. 2.0];
    y: ARRAY[integer 1 .. 3] OF integer; z: g[w .. 3];
  BEGIN
    v := x; y := y; z := v;
  END;
END;
"##,
        &expect![[r#"
            main.orca:2:22: error[E0413]: the object `o` contains itself
            main.orca:3:26: warning[W0301]: `inner` is never used
            main.orca:6:18: error[E0413]: an index is an integer, char, boolean or enumeration, not `real`
            main.orca:7:34: error[E0409]: either all dimensions of a type have bounds or none
            main.orca:8:12: error[E0413]: `o` cannot be compared, so there are no sets of it
            main.orca:9:24: error[E0413]: `integer` is another type, not a graph type
            main.orca:10:24: error[E0302]: `nowhere` is not declared
            main.orca:11:8: warning[W0301]: `f` is never used
            main.orca:11:31: error[E0303]: `x` is declared twice
            main.orca:14:9: error[E0409]: `g` has 1 dimension, found 2 pairs of bounds
            main.orca:14:37: error[E0409]: `integer` is not an array type
            main.orca:14:52: error[E0401]: expected `integer`, found a real constant
            main.orca:14:59: error[E0401]: expected `integer`, found a real constant
        "#]],
    );
}

#[test]
fn what_is_not_compiled_yet_is_refused_once() {
    check(
        r##"
DATA MODULE SPECIFICATION d; x: BAG OF integer; END;
DATA MODULE IMPLEMENTATION d; BEGIN END;
MODULE SPECIFICATION f; FUNCTION g(x: integer): integer; END;
MODULE IMPLEMENTATION main;
  IMPORT f;
  TYPE kind = (circle, box);
  TYPE shape = UNION (k: kind) circle => r: real; box => b: integer; END;
  TYPE cmp = FUNCTION (IN integer, IN integer): integer;
  TYPE bag = BAG OF integer;
  FUNCTION apply(c: cmp; x: integer): integer;
  BEGIN RETURN c(x, x); END;
  FUNCTION add(a, b: integer): integer;
  BEGIN RETURN a + b; END;
  PROCESS OrcaMain();
    s: shape; b: bag; c: cmp;
  BEGIN
    s := shape:{circle, 1.0};
    WriteLine(s.r, f.g(1), apply(add, 3));
    INSERT(1, b);
    c := add;
    WriteLine(c(1, 2));
  END;
END;
"##,
        &expect![[r#"
            main.orca:2:33: error[E0902]: bags are not compiled yet
            main.orca:4:22: error[E0905]: `f` has no implementation in Orca; foreign modules are not compiled yet
            main.orca:8:16: error[E0901]: unions are not compiled yet
            main.orca:9:14: error[E0903]: function types are not compiled yet
            main.orca:10:14: error[E0902]: bags are not compiled yet
        "#]],
    );
}

#[test]
fn opaque_types_are_not_compiled_yet() {
    check(
        r##"
OBJECT SPECIFICATION o; TYPE Node; OPERATION a(n: Node); END;
OBJECT IMPLEMENTATION o;
  TYPE Node = NODENAME OF G;
  TYPE G = GRAPH NODES v: integer; END;
  OPERATION a(n: Node); BEGIN END;
END;
MODULE IMPLEMENTATION main;
  IMPORT o;
  PROCESS OrcaMain();
    x: o; n: o.Node;
  BEGIN x$a(n); END;
END;
"##,
        &expect![[r#"
            main.orca:2:30: error[E0904]: opaque types are not compiled yet; define `Node` here
        "#]],
    );
}

#[test]
fn partitioned_objects_are_refused_once() {
    check(
        r##"
OBJECT SPECIFICATION grid[integer, integer]; OPERATION step(): real; END;
OBJECT IMPLEMENTATION grid[integer lo1..hi1, integer lo2..hi2];
  v: real;
  PARALLEL OPERATION[i, j] step(): REDUCE real WITH max; BEGIN v[i, j] := 1.0; RETURN v[i, j]; END;
END;
MODULE IMPLEMENTATION main;
  IMPORT grid;
  PROCESS OrcaMain();
    g: grid[1..3, 1..4];
  BEGIN
    g$$partition(1, 1); WriteLine(g$step());
  END;
END;
"##,
        &expect![[r#"
            main.orca:2:22: error[E0907]: partitioned objects and parallel operations are not compiled yet
        "#]],
    );
}
