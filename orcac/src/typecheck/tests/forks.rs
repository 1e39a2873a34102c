//! Processes, FORK, OrcaMain.

use expect_test::expect;

use super::check;

#[test]
fn forks_pass_objects_and_values() {
    check(
        r##"
OBJECT SPECIFICATION o; OPERATION a(); END;
OBJECT IMPLEMENTATION o; OPERATION a(); BEGIN END; END;
MODULE IMPLEMENTATION main;
  IMPORT o;
  TYPE many = ARRAY[integer] OF o;
  TYPE vec = ARRAY[integer] OF integer;
  PROCESS p(x: SHARED o; all: SHARED many; v: vec; c: o);
  BEGIN x$a(); all[1]$a(); v[1] := 2; c$a(); END;
  PROCESS bad(x: SHARED integer; y: OUT integer; z: SHARED vec); BEGIN END;
  FUNCTION f(); BEGIN FORK q(); END;
  PROCESS q(); BEGIN END;
  PROCESS r(mine: o); BEGIN FORK p(mine, mine, 1, 2); END;
  PROCESS OrcaMain();
    x, y: o; all: many[1 .. 3]; v: vec[1 .. 2]; l: longint;
  BEGIN
    FORK p(x, all, v, y) ON l; FORK q(); FORK p(all[1], all, v, x);
    FORK f(); FORK nobody(x); FORK q(1); FORK p(x, x, v, y) ON(1.0); q(); FORK r(x); f();
  END;
END;
"##,
        &expect![[r#"
            main.orca:10:11: warning[W0301]: `bad` is never used
            main.orca:10:18: error[E0506]: a SHARED parameter of a process is an object or a one-dimensional array of objects
            main.orca:10:37: error[E0506]: a process has no OUT parameters
            main.orca:10:53: error[E0506]: a SHARED parameter of a process is an object or a one-dimensional array of objects
            main.orca:11:23: error[E0501]: FORK stands in processes only
            main.orca:13:36: error[E0501]: an IN parameter is a private copy; shared objects are declared in a process or received as SHARED
            main.orca:13:42: error[E0401]: expected a variable of `many` for this SHARED parameter, found `o`
            main.orca:13:48: error[E0401]: expected `vec`, found an integer constant
            main.orca:13:51: error[E0401]: expected `o`, found an integer constant
            main.orca:15:49: warning[W0303]: `l` is used but never assigned
            main.orca:17:57: error[E0416]: illegal alias: this OUT or SHARED argument overlaps another one
            main.orca:18:10: error[E0501]: `f` is a function, not a process
            main.orca:18:20: error[E0302]: `nobody` is not declared
            main.orca:18:37: error[E0406]: `q` takes 0 arguments, found 1
            main.orca:18:52: error[E0401]: expected a variable of `many` for this SHARED parameter, found `o`
            main.orca:18:63: error[E0401]: expected `integer`, found a real constant
            main.orca:18:70: error[E0314]: `q` is a process: start it with FORK
        "#]],
    );
}

#[test]
fn a_program_has_one_orcamain_without_parameters() {
    check(
        r##"
MODULE IMPLEMENTATION a; PROCESS OrcaMain(n: integer); BEGIN WriteLine(n); END; END;
MODULE IMPLEMENTATION b; PROCESS OrcaMain(); BEGIN END; END;
"##,
        &expect![[r#"
            main.orca:2:26: error[E0312]: OrcaMain has no parameters
            main.orca:3:26: error[E0312]: a program has only one OrcaMain
        "#]],
    );
}

#[test]
fn a_program_without_orcamain_says_so() {
    check(
        r##"
MODULE IMPLEMENTATION a; PROCESS Main(); BEGIN END; END;
"##,
        &expect![[r#"
            main.orca:1:1: error[E0312]: `main` has no process OrcaMain, where a program starts
            main.orca:2:34: warning[W0301]: `Main` is never used
        "#]],
    );
}
