//! Which types fit which, and what constants become.

use expect_test::expect;

use super::check_body;

#[test]
fn integer_types_mix_and_the_wider_one_computes() {
    check_body(
        r##"i: integer; l: longint; s: shortint;"##,
        r##"i := 1; l := 2; s := 3;
l := i + l;
i := l;
s := i * 2;
IF i < l THEN i := s; FI;"##,
        &expect![[r#"
            program main
            process main.OrcaMain()
              i: integer
              l: longint
              s: shortint
              BEGIN
                i := 1
                l := 2
                s := 3
                l := (longint(i) + l)
                i := integer(l)
                s := shortint((i * 2))
                IF (longint(i) < l)
                  i := integer(s)
        "#]],
    );
}

#[test]
fn an_integer_is_never_implicitly_real() {
    check_body(
        r##"x: real; i: integer;"##,
        r##"x := 1;
x := i;
i := x;
x := x + i;
x := FLOAT(i) + 1.0;
i := TRUNC(x);"##,
        &expect![[r#"
            main.orca:5:6: error[E0401]: expected `real`, found an integer constant
            main.orca:6:6: error[E0401]: expected `real`, found `integer`
            main.orca:7:6: error[E0401]: expected `integer`, found `real`
            main.orca:8:8: error[E0402]: `+` is not defined for `real` and `integer`
        "#]],
    );
}

#[test]
fn decimal_constants_that_do_not_fit_warn_and_others_wrap_silently() {
    check_body(
        r##"i: integer; s: shortint; l: longint;"##,
        r##"i := 3000000000;
i := 0FFFFFFFFH;
s := 40000;
l := 3000000000;
i := 2147483647 + 1;
i := -2147483648;
WriteLine(i, s, l, 5000000000);"##,
        &expect![[r#"
            main.orca:5:6: warning[W0401]: overflow in constant: 3000000000 as `integer` is -1294967296
            main.orca:7:6: warning[W0401]: overflow in constant: 40000 as `shortint` is -25536
            main.orca:9:6: warning[W0401]: overflow in constant: 2147483648 as `integer` is -2147483648
            program main
            process main.OrcaMain()
              i: integer
              s: shortint
              l: longint
              BEGIN
                i := -1294967296
                i := -1
                s := -25536
                l := 3000000000
                i := -2147483648
                i := -2147483648
                WriteLine(i, s, l, 5000000000)
        "#]],
    );
}

#[test]
fn shifts_have_the_type_of_their_left_operand() {
    check_body(
        r##"l: longint; k: integer;"##,
        r##"k := 3;
l := 1 << k;
k := 1 << k;
k := k >> l;
k := 1 << 4;
l <<:= k;"##,
        &expect![[r#"
            program main
            process main.OrcaMain()
              l: longint
              k: integer
              BEGIN
                k := 3
                l := (1 << longint(k))
                k := (1 << longint(k))
                k := (k >> l)
                k := 16
                l <<:= longint(k)
        "#]],
    );
}

#[test]
fn types_are_equal_by_name_only() {
    check_body(
        r##"a: ARRAY[integer] OF integer; b: ARRAY[integer] OF integer; s: string;"##,
        r##"a := b;
a := a;
s := a;"##,
        &expect![[r#"
            main.orca:5:6: error[E0401]: expected `ARRAY[integer] OF integer`, found `ARRAY[integer] OF integer`
            main.orca:7:6: error[E0401]: expected `string`, found `ARRAY[integer] OF integer`
        "#]],
    );
}

#[test]
fn real_widths_convert() {
    check_body(
        r##"x: real; y: shortreal; z: longreal;"##,
        r##"x := 0.1; y := 0.1; z := x;
y := x;
z := x * y;
x +:= z;
y *:= x;"##,
        &expect![[r#"
            program main
            process main.OrcaMain()
              x: real
              y: shortreal
              z: longreal
              BEGIN
                x := 0.1
                y := 0.10000000149011612
                z := longreal(x)
                y := shortreal(x)
                z := longreal((x * real(y)))
                x := real((longreal(x) + z))
                y := shortreal((real(y) * x))
        "#]],
    );
}
