//! What the passes do, and what they must not do, as text.

use expect_test::{Expect, expect};

use crate::mir::text::{parse, print_function};
use crate::mir::verify::assert_valid;
use crate::mir::{Function, FunctionId};

use super::*;

const HEAD: &str = r#"program "p" main 0
routine r0 = "process M.p" "m.orca"
site @0 = r0 1
process "p" f0
function f0 "M.p" r0 process {
b0(v0: i64):
  entry exit()
  unreachable
}
"#;

fn check(pass: &dyn Fn(&mut Function), before: &str, after: &Expect) {
    let mut program = parse(&format!("{HEAD}{before}")).expect("the text is right");
    assert_valid(&program, "parsing");
    pass(&mut program.functions[1]);
    assert_valid(&program, "the pass");
    after.assert_eq(&print_function(FunctionId(1), &program.functions[1]));
}

#[test]
fn a_local_that_is_set_once_becomes_a_value() {
    check(
        &promote::run,
        r#"function f1 "f" r0 process -> i32 {
  local l0 "n" i32
  local l1 "twice" i32
b0(v0: i32):
  set l0, v0
  v1: i32 = get l0
  set l1, v1
  jump b1
b1:
  v2: i32 = get l0
  v3: i32 = get l1
  v4: i32 = add v2, v3
  set l1, v4
  v5: i8 = less v4, v2
  branch v5, b1, b2
b2:
  v6: i32 = get l1
  return v6
}"#,
        &expect![[r#"
            function f1 "f" r0 process -> i32 {
              local l0 "n" i32
              local l1 "twice" i32
            b0(v0: i32):
              set l1, v0
              jump b1
            b1:
              v3: i32 = get l1
              v4: i32 = add v0, v3
              set l1, v4
              v5: i8 = less v4, v0
              branch v5, b1, b2
            b2:
              v6: i32 = get l1
              return v6
            }
        "#]],
    );
}

#[test]
fn a_local_that_is_read_before_it_is_set_stays() {
    check(
        &promote::run,
        r#"function f1 "f" r0 process -> i32 {
  local l0 "n" i32
b0(v0: i8, v1: i32):
  branch v0, b1, b2
b1:
  set l0, v1
  jump b2
b2:
  v2: i32 = get l0
  return v2
}"#,
        &expect![[r#"
            function f1 "f" r0 process -> i32 {
              local l0 "n" i32
            b0(v0: i8, v1: i32):
              branch v0, b1, b2
            b1:
              set l0, v1
              jump b2
            b2:
              v2: i32 = get l0
              return v2
            }
        "#]],
    );
}

#[test]
fn the_second_check_of_the_same_index_goes_but_not_one_on_another_path() {
    check(
        &common::run,
        r#"function f1 "f" r0 process -> i32 {
b0(v0: i64, v1: i64, v2: i8):
  v3: i32 = load head v0[20]
  v4: i64 = sign_extend v3
  v5: i8 = above_equal v1, v4
  check v5, array_bound @0
  branch v2, b1, b2
b1:
  v6: i32 = load head v0[20]
  v7: i64 = sign_extend v6
  v8: i8 = above_equal v1, v7
  check v8, array_bound @0
  return v6
b2:
  store head v0[20], v3
  v9: i32 = load head v0[20]
  v10: i64 = sign_extend v9
  v11: i8 = above_equal v1, v10
  check v11, array_bound @0
  return v9
}"#,
        &expect![[r#"
            function f1 "f" r0 process -> i32 {
            b0(v0: i64, v1: i64, v2: i8):
              v3: i32 = load head v0[20]
              v4: i64 = sign_extend v3
              v5: i8 = above_equal v1, v4
              check v5, array_bound @0
              branch v2, b1, b2
            b1:
              return v3
            b2:
              store head v0[20], v3
              v9: i32 = load head v0[20]
              v10: i64 = sign_extend v9
              v11: i8 = above_equal v1, v10
              check v11, array_bound @0
              return v9
            }
        "#]],
    );
}

const LOOP: &str = r#"function f1 "f" r0 process {
b0(v0: i64, v1: i64, v2: i64):
  v3: i8 = less_equal v1, v2
  branch v3, b1(v1), b2
b1(v4: i64):
  v5: i32 = load head v0[16]
  v6: i64 = sign_extend v5
  v7: i32 = load head v0[20]
  v8: i64 = sign_extend v7
  v9: i64 = subtract v4, v6
  v10: i8 = above_equal v9, v8
  check v10, array_bound @0
  v11: i64 = load head v0[0]
  v12: i64 = add v11, v4
  v13: i8 = integer 0
  store data v12[0], v13
  poll
  v14: i8 = less v4, v2
  v15: i64 = integer 1
  v16: i64 = add v4, v15
  branch v14, b1(v16), b2
b2:
  return
}"#;

#[test]
fn heads_are_read_before_the_loop() {
    check(
        &hoist::run,
        LOOP,
        &expect![[r#"
        function f1 "f" r0 process {
        b0(v0: i64, v1: i64, v2: i64):
          v3: i8 = less_equal v1, v2
          branch v3, b3(v1), b2
        b1(v4: i64):
          v9: i64 = subtract v4, v6
          v10: i8 = above_equal v9, v8
          check v10, array_bound @0
          v12: i64 = add v11, v4
          store data v12[0], v13
          poll
          v14: i8 = less v4, v2
          v16: i64 = add v4, v15
          branch v14, b1(v16), b2
        b2:
          return
        b3(v17: i64):
          v5: i32 = load head v0[16]
          v6: i64 = sign_extend v5
          v7: i32 = load head v0[20]
          v8: i64 = sign_extend v7
          v11: i64 = load head v0[0]
          v13: i8 = integer 0
          v15: i64 = integer 1
          jump b1(v17)
        }
    "#]],
    );
}

#[test]
fn heads_are_read_in_a_loop_that_calls() {
    let calling = LOOP.replace("  poll\n", "  call f0(v0)\n");
    let mut program = parse(&format!("{HEAD}{calling}")).expect("the text is right");
    hoist::run(&mut program.functions[1]);
    let text = print_function(FunctionId(1), &program.functions[1]);
    let after = text.split("\nb1(").nth(1).expect("the loop is still there");
    assert!(after.contains("load head v0[0]"), "{text}");
}

#[test]
fn a_counting_loop_gets_a_copy_without_checks() {
    check(
        &|function| run_function(function, 2),
        LOOP,
        &expect![[r#"
            function f1 "f" r0 process {
            b0(v0: i64, v1: i64, v2: i64):
              v3: i8 = less_equal v1, v2
              branch v3, b3(v1), b2
            b1(v4: i64):
              v9: i64 = subtract v4, v6
              v10: i8 = above_equal v9, v8
              v12: i64 = add v11, v4
              store data v12[0], v13
              poll
              v14: i8 = less v4, v2
              v16: i64 = add v4, v15
              branch v14, b1(v16), b2
            b2:
              return
            b3(v17: i64):
              v5: i32 = load head v0[16]
              v6: i64 = sign_extend v5
              v7: i32 = load head v0[20]
              v8: i64 = sign_extend v7
              v11: i64 = load head v0[0]
              v13: i8 = integer 0
              v15: i64 = integer 1
              jump b4(v17)
            b4(v18: i64):
              v25: i64 = integer 2147483648
              v26: i64 = integer 4294967296
              v27: i64 = add v18, v25
              v28: i8 = below v27, v26
              v29: i64 = subtract v2, v18
              v30: i8 = below v29, v26
              v31: i8 = and v28, v30
              v32: i64 = integer 0
              v33: i64 = integer 1
              v34: i64 = multiply v18, v33
              v35: i64 = add v32, v34
              v36: i64 = subtract v35, v6
              v37: i8 = below v36, v8
              v38: i8 = and v31, v37
              v39: i64 = integer 0
              v40: i64 = integer 1
              v41: i64 = multiply v2, v40
              v42: i64 = add v39, v41
              v43: i64 = subtract v42, v6
              v44: i8 = below v43, v8
              v45: i8 = and v38, v44
              branch v45, b1(v18), b6(v18)
            b5 cold(v19: i64):
              v20: i64 = subtract v19, v6
              v21: i8 = above_equal v20, v8
              check v21, array_bound @0
              v22: i64 = add v11, v19
              store data v22[0], v13
              poll
              v23: i8 = less v19, v2
              v24: i64 = add v19, v15
              branch v23, b5(v24), b2
            b6 cold(v46: i64):
              jump b5(v46)
            }
        "#]],
    );
}

#[test]
fn a_loop_that_changes_its_bound_keeps_its_checks() {
    let changing = LOOP.replace("  poll\n", "  store head v0[20], v7\n");
    let mut program = parse(&format!("{HEAD}{changing}")).expect("the text is right");
    let before = program.functions[1].clone();
    run_function(&mut program.functions[1], 2);
    let checks = |function: &Function| {
        let insts = function.blocks.iter().flat_map(|block| &block.insts);
        insts
            .filter(|inst| matches!(inst.op, crate::mir::Op::Check { .. }))
            .count()
    };
    assert_eq!(checks(&program.functions[1]), checks(&before));
}

const MAXIMUM: &str = r#"function f1 "f" r0 process -> f64 {
  local l0 "largest" f64
b0(v0: f64, v1: f64):
  set l0, v0
  jump b1
b1:
  v2: f64 = get l0
  v3: i8 = greater_real v1, v2
  branch v3, b2, b3
b2:
  set l0, v1
  jump b4
b3:
  jump b4
b4:
  v4: f64 = get l0
  return v4
}"#;

#[test]
fn a_running_maximum_becomes_a_select() {
    check(
        &convert::run,
        MAXIMUM,
        &expect![[r#"
        function f1 "f" r0 process -> f64 {
          local l0 "largest" f64
        b0(v0: f64, v1: f64):
          set l0, v0
          jump b1
        b1:
          v2: f64 = get l0
          v3: i8 = greater_real v1, v2
          v5: f64 = select v3, v1, v2
          set l0, v5
          jump b4
        b2:
          set l0, v1
          jump b4
        b3:
          jump b4
        b4:
          v4: f64 = get l0
          return v4
        }
    "#]],
    );
}

#[test]
fn an_update_that_does_more_stays_a_branch() {
    let more = MAXIMUM.replace("  set l0, v1\n  jump b4", "  set l0, v1\n  poll\n  jump b4");
    let mut program = parse(&format!("{HEAD}{more}")).expect("the text is right");
    let before = print_function(FunctionId(1), &program.functions[1]);
    convert::run(&mut program.functions[1]);
    assert_eq!(print_function(FunctionId(1), &program.functions[1]), before);
}
