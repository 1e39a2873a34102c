//! Imports and files.

use expect_test::expect;

use super::{check_files, outcome};

#[test]
fn all_forms_of_import() {
    check_files(
        &[
            (
                "main.imp",
                r##"
MODULE IMPLEMENTATION main;
  IMPORT colours;
  FROM colours IMPORT shade, limit;
  FROM cell IMPORT cell, half;
  PROCESS OrcaMain();
    c: colours.colour; s: shade; o: cell;
  BEGIN
    c := colours.red; s := dark; WriteLine(limit, half(4), o$get(), ORD(c), ORD(s));
  END;
END;
"##,
            ),
            ("main.spf", r##"MODULE SPECIFICATION main; END;"##),
            (
                "colours.spf",
                r##"MODULE SPECIFICATION colours; TYPE colour = (red, green); TYPE shade = (light, dark); CONST limit = 7; END;"##,
            ),
            (
                "cell.spf",
                r##"OBJECT SPECIFICATION cell; FUNCTION half(x: integer): integer; OPERATION get(): integer; END;"##,
            ),
            (
                "cell.imp",
                r##"OBJECT IMPLEMENTATION cell; x: integer; FUNCTION half(x: integer): integer; BEGIN RETURN x / 2; END; OPERATION get(): integer; BEGIN RETURN x; END; END;"##,
            ),
        ],
        &expect![[r#"
            program main
            type t9 colour = (red, green)
            type t10 shade = (light, dark)
            type t11 cell = OBJECT o0
            object cell
              x: integer
              operation get(): integer read
                BEGIN
                  RETURN x
            function cell.half(x: integer): integer
              BEGIN
                RETURN (x / 2)
            process main.OrcaMain()
              c: colour
              s: shade
              o: cell
              BEGIN
                c := red
                s := dark
                WriteLine(7, cell.half(4), o$get(), ORD(c), ORD(s))
        "#]],
    );
}

#[test]
fn what_cannot_be_imported() {
    check_files(
        &[(
            "main.orca",
            r##"
MODULE SPECIFICATION a; IMPORT b; CONST x = 1; END;
MODULE SPECIFICATION b; IMPORT a; CONST y = 1; END;
GENERIC (TYPE T) MODULE SPECIFICATION g; CONST z = 1; END;
OBJECT SPECIFICATION o; OPERATION p(); END;
OBJECT IMPLEMENTATION o; OPERATION p(); BEGIN END; END;
MODULE IMPLEMENTATION main;
  IMPORT nowhere, g, main, b;
  IMPORT InOot;
  FROM o IMPORT p, q;
  FROM b IMPORT y, z, yy;
  FROM nothing IMPORT one, two;
  IMPORT o, o;
  PROCESS OrcaMain();
  BEGIN
    WriteLine(y, z, one, nowhere.x, o.p);
  END;
END;
"##,
        )],
        &expect![[r#"
            main.orca:2:32: warning[W0302]: the import `b` is never used
            main.orca:3:32: error[E0306]: the specification of `a` depends on itself
            main.orca:8:10: error[E0304]: there is no unit `nowhere`
            main.orca:8:19: error[E0308]: `g` is generic and cannot be imported
            main.orca:8:22: error[E0308]: `main` imports itself
            main.orca:8:28: warning[W0302]: the import `b` is never used
            main.orca:9:10: error[E0304]: there is no unit `InOot`
            main.orca:10:17: error[E0308]: `p` is an operation of `o`: it is called on an object, as x$p(...)
            main.orca:10:20: error[E0307]: `o` exports no `q`
            main.orca:11:20: error[E0307]: `b` exports no `z`
            main.orca:11:23: error[E0307]: `b` exports no `yy`
            main.orca:12:8: error[E0304]: there is no unit `nothing`
            main.orca:13:13: error[E0303]: `o` is declared twice
            main.orca:16:39: error[E0308]: `p` is an operation of `o`: it is called on an object, as x$p(...)
        "#]],
    );
}

#[test]
fn the_implementation_imports_again_what_it_uses() {
    check_files(
        &[(
            "main.orca",
            r##"
MODULE SPECIFICATION k; CONST n = 3; END;
MODULE SPECIFICATION main; IMPORT k; CONST m = k.n; FUNCTION f(x: integer); PROCESS p(); END;
MODULE IMPLEMENTATION main;
  IMPORT k;
  FUNCTION f(y: integer); BEGIN WriteLine(y, m, n); END;
  PROCESS OrcaMain(); BEGIN f(1); END;
END;
"##,
        )],
        &expect![[r#"
            main.orca:3:77: error[E0309]: `p` has no body in the implementation
            main.orca:5:10: warning[W0302]: the import `k` is never used
            main.orca:6:49: error[E0302]: `n` is not declared
        "#]],
    );
}

#[test]
fn old_file_names_are_truncated_and_local_units_hide_the_library() {
    check_files(
        &[
            (
                "main.imp",
                r##"
MODULE IMPLEMENTATION main;
  IMPORT RowCollection, Math;
  PROCESS OrcaMain(); r: RowCollection; BEGIN r$a(); WriteLine(Math.PI); END;
END;
"##,
            ),
            ("main.spf", r##"MODULE SPECIFICATION main; END;"##),
            (
                "RowCollect.spf",
                r##"OBJECT SPECIFICATION RowCollection; OPERATION a(); END;"##,
            ),
            (
                "RowCollect.imp",
                r##"OBJECT IMPLEMENTATION RowCollection; OPERATION a(); BEGIN END; END;"##,
            ),
            (
                "Math.spf",
                r##"MODULE SPECIFICATION Math; CONST PI = 3.0; END;"##,
            ),
        ],
        &expect![[r#"
            program main
            type t9 RowCollection = OBJECT o0
            object RowCollection
              operation a() read
                BEGIN
            process main.OrcaMain()
              r: RowCollection
              BEGIN
                r$a()
                WriteLine(3.0)
        "#]],
    );
}

#[test]
fn halves_that_do_not_fit() {
    check_files(
        &[
            (
                "main.imp",
                r##"
MODULE IMPLEMENTATION main;
  IMPORT a, b;
  PROCESS OrcaMain(); x: a; BEGIN x$f(); END;
END;
"##,
            ),
            (
                "a.spf",
                r##"OBJECT SPECIFICATION a; OPERATION f(); OPERATION g(x: integer): real; OPERATION h(); END;"##,
            ),
            (
                "a.imp",
                r##"OBJECT IMPLEMENTATION a; OPERATION f(); BEGIN END; OPERATION f(); BEGIN END; OPERATION g(x: real): real; BEGIN RETURN x; END; END;"##,
            ),
            ("b.spf", r##"OBJECT SPECIFICATION b; OPERATION f(); END;"##),
        ],
        &expect![[r#"
            main.imp:2:23: error[E0310]: `main` has an implementation, but no specification
            main.imp:3:13: warning[W0302]: the import `b` is never used
            a.spf:1:71: error[E0309]: `h` has no body in the implementation
            a.imp:1:62: error[E0303]: `f` is declared twice
            a.imp:1:78: error[E0311]: the head of `g` differs from the one declared before
            b.spf:1:22: error[E0309]: `b` has no implementation
        "#]],
    );
}

#[test]
fn units_are_found_in_import_folders_after_the_folder_of_the_file() {
    let files = [
        (
            "src/main.orca",
            "MODULE IMPLEMENTATION main; IMPORT a, b; PROCESS OrcaMain(); BEGIN WriteLine(a.x, b.x); END; END;",
        ),
        ("src/a.spf", "MODULE SPECIFICATION a; CONST x = 1; END;"),
        ("lib/a.spf", "MODULE SPECIFICATION a; CONST x = 2; END;"),
        ("lib/b.orca", "MODULE SPECIFICATION b; CONST x = 3; END;"),
    ];
    expect![[r#"
        program main
        process main.OrcaMain()
          BEGIN
            WriteLine(1, 3)
    "#]]
    .assert_eq(&outcome(&files, &["lib"]));
}

#[test]
fn the_standard_library_needs_no_folder() {
    check_files(
        &[(
            "main.orca",
            r##"
MODULE IMPLEMENTATION main;
  IMPORT Math, InOut;
  FROM Finish IMPORT Finish;
  PROCESS OrcaMain();
  BEGIN
    WriteLine(Math.sqrt(2.0)); InOut.WriteLn(); Finish(); Math.nothing();
  END;
END;
"##,
        )],
        &expect![[r#"
            main.orca:7:64: error[E0307]: `Math` exports no `nothing`
        "#]],
    );
}
