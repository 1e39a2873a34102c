//! Constants and folding.

use expect_test::expect;

use super::{check, check_body};

#[test]
fn constants_fold() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  CONST n = 10; CONST m = 3; CONST half = 0.5; CONST name = "orca"; CONST last = MAX(char); CONST big = n * 100 - m % 2;
  PROCESS OrcaMain();
    i: integer; x: real; c: char; b: boolean;
  BEGIN
    i := big; x := half * 2.0; c := name[2]; c := last; i := SIZE(name) + UB(name);
    i := ORD('a') << 2; b := (n > m) AND NOT ODD(n); i := ABS(-5) | 10B; i := ~0; c := CAP('x'); c := CHR(10);
    i := -7 / 2; i := -7 % 3; i := TRUNC(2.9); x := FLOAT(n); b := "ab" = "ab"; i := MIN(integer) - 1;
    WriteLine(i, x, c, name);
    IF b THEN i := VAL(integer, 7); FI;
  END;
END;
"##,
        &expect![[r#"
            main.orca:9:86: warning[W0401]: overflow in constant expression; the result is 2147483647
            program main
            constant c0 name = "orca"
            process main.OrcaMain()
              i: integer
              x: real
              c: char
              b: boolean
              BEGIN
                i := 999
                x := 1.0
                c := 'r'
                c := CHR(255)
                i := 8
                i := 388
                b := true
                i := 13
                i := -1
                c := 'X'
                c := CHR(10)
                i := -3
                i := -1
                i := 2
                x := 10.0
                b := true
                i := 2147483647
                WriteLine(i, x, c, name)
                IF b
                  i := 7
        "#]],
    );
}

#[test]
fn constants_that_fail() {
    check_body(
        r##"i: integer; c: char; x: real;"##,
        r##"i := 1 / 0;
i := i % 0;
i := i % (-1);
x := x / 0.0;
c := CHR(256);
i := 1 << (-1);
i /:= 0;
c := MIN(char);
WriteLine(i, x, c);"##,
        &expect![[r#"
            main.orca:5:8: error[E0410]: divide by 0
            main.orca:6:8: error[E0410]: modulo by <= 0
            main.orca:7:8: error[E0410]: modulo by <= 0
            main.orca:8:8: error[E0410]: divide by 0
            main.orca:9:6: error[E0410]: range error in CHR: a char has the values 0 .. 255
            main.orca:10:8: error[E0410]: shift count out of range
            main.orca:11:3: error[E0410]: divide by 0
        "#]],
    );
}

#[test]
fn a_constant_is_known_when_the_program_is_compiled() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  FUNCTION f(): integer; BEGIN RETURN 1; END;
  CONST a = NCPUS();
  CONST b = f();
  CONST c = a + 1;
  PROCESS OrcaMain();
    CONST d = a + undefined;
    i: integer;
  BEGIN
    i := a + b + c + d;
    CASE i OF i => i := 1; ESAC;
    a := 3;
    true := false;
  END;
END;
"##,
        &expect![[r#"
            main.orca:4:13: error[E0403]: expected a constant expression
            main.orca:5:13: error[E0403]: expected a constant expression, and `main.f` is only called when the program runs
            main.orca:8:19: error[E0302]: `undefined` is not declared
            main.orca:12:15: error[E0403]: expected a constant expression
            main.orca:14:5: error[E0407]: this is a constant and cannot be changed here
        "#]],
    );
}
