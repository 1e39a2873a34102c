//! Data modules.

use expect_test::expect;

use super::check;

#[test]
fn data_modules_are_initialised_after_those_they_import() {
    check(
        r##"
DATA MODULE SPECIFICATION second; IMPORT first; n: integer; table: ARRAY[integer 1 .. first.size] OF integer; END;
DATA MODULE IMPLEMENTATION second;
  IMPORT first;
  FUNCTION fill(k: OUT integer); BEGIN k := first.size; table[1] := 1; END;
BEGIN fill(n);
END;
DATA MODULE SPECIFICATION first; size: integer; END;
DATA MODULE IMPLEMENTATION first; BEGIN size := 3; END;
MODULE IMPLEMENTATION main;
  IMPORT second;
  FROM first IMPORT size;
  PROCESS OrcaMain(); v: string[1 .. size]; BEGIN WriteLine(second.n, second.table[size], v); END;
END;
"##,
        &expect![[r#"
            program main
            type t9 ARRAY[integer] OF integer = ARRAY[integer 1 .. first.size] OF integer
            data module first
              size: integer
              BEGIN
                first.size := 3
            data module second
              n: integer
              table: ARRAY[integer] OF integer
              BEGIN
                second.fill(OUT second.n)
            function second.fill(k: OUT integer)
              BEGIN
                k := first.size
                second.table[1] := 1
            process main.OrcaMain()
              v: string[1 .. first.size]
              BEGIN
                WriteLine(second.n, second.table[first.size], v)
        "#]],
    );
}

#[test]
fn data_is_assigned_only_by_its_own_module() {
    check(
        r##"
OBJECT SPECIFICATION o; OPERATION a(); END;
OBJECT IMPLEMENTATION o; OPERATION a(); BEGIN END; END;
DATA MODULE SPECIFICATION d; IMPORT o; n: integer; x: o; FUNCTION f(); END;
DATA MODULE IMPLEMENTATION d; k: integer; BEGIN n := 1; END;
MODULE IMPLEMENTATION main;
  IMPORT d;
  FUNCTION set(x: OUT integer); BEGIN x := 1; END;
  PROCESS OrcaMain();
  BEGIN
    d.n := 2; set(d.n); Read(d.n); WriteLine(d.n);
  END;
END;
"##,
        &expect![[r#"
            main.orca:4:55: error[E0413]: the variables of a data module cannot contain objects
            main.orca:4:58: error[E0210]: the functions of a data module are private to its implementation
            main.orca:5:31: error[E0210]: the variables of a data module stand in its specification
            main.orca:11:5: error[E0407]: this is a data-module variable and cannot be changed here
            main.orca:11:19: error[E0407]: this is a data-module variable and cannot be changed here
            main.orca:11:30: error[E0407]: this is a data-module variable and cannot be changed here
        "#]],
    );
}
