//! Aggregates.

use expect_test::expect;

use super::check;

#[test]
fn arrays_sets_and_records_of_values() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  TYPE vec = ARRAY[integer] OF integer;
  TYPE mat = ARRAY[integer, integer] OF integer;
  TYPE vecs = ARRAY[integer] OF vec;
  TYPE four = ARRAY[integer 0 .. 3] OF real;
  TYPE flags = ARRAY[boolean] OF char;
  TYPE rec = RECORD v: vec; s: string; END;
  CONST table = vec:[10, 20, 30];
  CONST second = table[2];
  PROCESS OrcaMain();
    v: vec; m: mat; w: vecs; f: four; b: flags; r: rec; i: integer;
  BEGIN
    v := vec:[1, i, 3]; v := vec:[]; m := mat:[[1, 2], [3, 4]]; w := vecs:[vec:[1], vec:[2, 3]];
    f := four:[1.0, 2.0, 3.0, 4.0]; b := flags:['a', 'b']; r := rec:{table, "xy"};
    i := second; v := table; i := table[i]; WriteLine(SIZE(table), UB(table));
  END;
END;
"##,
        &expect![[r#"
            program main
            type t9 vec = ARRAY[integer] OF integer
            type t10 mat = ARRAY[integer, integer] OF integer
            type t11 vecs = ARRAY[integer] OF vec
            type t12 four = ARRAY[integer 0 .. 3] OF real
            type t13 flags = ARRAY[boolean] OF char
            type t14 rec = RECORD v: vec; s: string; END
            constant c0 table = vec[1 .. 3]:[10, 20, 30]
            process main.OrcaMain()
              v: vec
              m: mat
              w: vecs
              f: four
              b: flags
              r: rec
              i: integer
              BEGIN
                v := vec[1 .. 3]:[1, i, 3]
                v := vec[1 .. 0]:[]
                m := mat[1 .. 2, 1 .. 2]:[1, 2, 3, 4]
                w := vecs[1 .. 2]:[vec[1 .. 1]:[1], vec[1 .. 2]:[2, 3]]
                f := four[0 .. 3]:[1.0, 2.0, 3.0, 4.0]
                b := flags[0 .. 1]:['a', 'b']
                r := rec:{table, "xy"}
                i := 20
                v := table
                i := table[i]
                WriteLine(3, 3)
        "#]],
    );
}

#[test]
fn aggregates_that_do_not_fit() {
    check(
        r##"
MODULE IMPLEMENTATION main;
  TYPE vec = ARRAY[integer] OF integer;
  TYPE mat = ARRAY[integer, integer] OF integer;
  TYPE four = ARRAY[integer 0 .. 3] OF real;
  TYPE flags = ARRAY[boolean] OF char;
  TYPE rec = RECORD a, b: integer; END;
  TYPE late = ARRAY[integer 1 .. NCPUS()] OF integer;
  CONST table = vec:[10, 20, 30];
  PROCESS OrcaMain();
    v: vec; m: mat; f: four; b: flags; r: rec; l: late;
  BEGIN
    v := vec:[1, 2.0];
    m := mat:[[1, 2], [3]];
    m := mat:[1, 2];
    v := vec:[[1]];
    f := four:[1.0];
    b := flags:['a', 'b', 'c'];
    r := rec:{1};
    r := rec:[1, 2];
    v := vec:{1, 2};
    l := late:[1];
    v := vec:[table[4]];
  END;
END;
"##,
        &expect![[r#"
            main.orca:13:18: error[E0401]: expected `integer`, found a real constant
            main.orca:14:23: error[E0411]: rows of equal length are needed: the first has 2, this one 1
            main.orca:15:15: error[E0411]: the array has 2 dimensions: rows stand in [ ]
            main.orca:16:15: error[E0411]: the array has only 1 dimension
            main.orca:17:10: error[E0411]: `four` has 4 elements in a row, found 1
            main.orca:18:10: error[E0411]: the index type `boolean` has 2 values, found 3 elements
            main.orca:19:10: error[E0411]: `rec` has 2 fields, found 1 value
            main.orca:20:10: error[E0411]: `rec` is not an array type
            main.orca:21:10: error[E0411]: `vec` is an array type: write its values in [ ]
            main.orca:22:10: error[E0411]: the bounds of `late` are only known when the program runs, so it has no aggregates
            main.orca:23:20: error[E0410]: array bound error: the constant has no such element
        "#]],
    );
}
