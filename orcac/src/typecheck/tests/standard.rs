//! Standard functions.

use expect_test::expect;

use super::{check, check_body};

#[test]
fn standard_functions_take_what_they_take() {
    check_body(
        r##"i: integer; b: boolean; s: string; x: real; l: longint;"##,
        r##"Write(b);
Write(s, i, x, 'c', l);
Read(i, x, s);
Read(b);
Read(3);
i := ABS(s);
i := ORD(x);
i := MAX(real);
i := MAX(i);
i := SIZE(i);
i := LB(s, 2);
i := LB(s, i);
b := ODD(x);
ASSERT(i);
ASSERT(b, b);
ABS(i);
i := INSERT(1, s);
INSERT(1, s);
i := NCPUS;
i := NCPUS(1);
l := ABS(l) + VAL(longint, i);
i := MYCPU();"##,
        &expect![[r#"
            main.orca:5:7: error[E0415]: Write takes integers, reals, chars and strings, found `boolean`
            main.orca:8:6: error[E0415]: Read takes integers, reals, chars and strings, found `boolean`
            main.orca:9:6: error[E0407]: expected a variable, found an expression
            main.orca:10:6: error[E0415]: ABS takes an integer or real, found `string`
            main.orca:11:6: error[E0415]: ORD takes an integer, char, boolean or enumeration, found `real`
            main.orca:12:10: error[E0415]: MAX takes an integer, char, boolean or enumeration type, found `real`
            main.orca:13:10: error[E0415]: MAX takes the name of a type, found a variable
            main.orca:14:6: error[E0415]: SIZE takes an array, string or set, found `integer`
            main.orca:15:12: error[E0410]: `string` has 1 dimension, not a dimension 2
            main.orca:16:12: error[E0403]: expected a constant expression
            main.orca:17:6: error[E0415]: ODD takes an integer, found `real`
            main.orca:18:8: error[E0401]: expected `boolean`, found `integer`
            main.orca:19:7: error[E0406]: ASSERT takes 1 argument, found 2
            main.orca:20:1: error[E0505]: unexpected function result: the result of `ABS` must be used
            main.orca:21:6: error[E0505]: INSERT has no result: its call is a statement
            main.orca:22:11: error[E0415]: INSERT takes a set as its second argument, found `string`
            main.orca:23:6: warning[W0305]: NCPUS is a function: write NCPUS()
            main.orca:24:11: error[E0406]: NCPUS takes 0 arguments, found 1
        "#]],
    );
}

#[test]
fn lower_case_files_have_lower_case_names() {
    check(
        r##"
process OrcaMain();
  i: integer; min: integer;
begin
  i := abs(-3) + ncpus() + NCPUS + ord('c');
  min := i;
  writeline(min);
  i := ABS(i);
  i := abs(min);
end;
"##,
        &expect![[r#"
            main.orca:7:3: error[E0302]: `writeline` is not declared
            main.orca:8:8: error[E0302]: `ABS` is not declared
        "#]],
    );
}
