//! Claims about the verifier: what it accepts, and what it says about the rest.

use super::*;
use crate::mir::text::parse;

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

/// The messages about a program with one more function, `f1`.
fn messages(function: &str) -> Vec<String> {
    let program = parse(&format!("{HEAD}{function}")).expect("the text is right");
    verify(&program).iter().map(ToString::to_string).collect()
}

fn check(function: &str, expected: &[&str]) {
    assert_eq!(messages(function), expected);
}

#[test]
fn a_loop_over_a_block_parameter_is_valid() {
    check(
        r#"function f1 "f" r0 process -> i32 {
b0(v0: i32):
  v1: i32 = integer 0
  jump b1(v1)
b1(v2: i32):
  poll
  v3: i32 = add v2, v0
  v4: i8 = less v3, v0
  branch v4, b1(v3), b2
b2:
  return v3
}"#,
        &[],
    );
}

#[test]
fn a_value_that_does_not_dominate_its_use_is_found() {
    check(
        r#"function f1 "f" r0 process -> i32 {
b0(v0: i8):
  branch v0, b1, b2
b1:
  v1: i32 = integer 0
  jump b2
b2:
  return v1
}"#,
        &["f1 \"f\", b2, instruction 1: v1 is used where it is not defined"],
    );
}

#[test]
fn a_use_before_the_definition_in_one_block_is_found() {
    check(
        r#"function f1 "f" r0 process -> i32 {
b0:
  v1: i32 = add v0, v0
  v0: i32 = integer 0
  return v1
}"#,
        &[
            "f1 \"f\", b0, instruction 1: v0 is used where it is not defined",
            "f1 \"f\", b0, instruction 1: v0 is used where it is not defined",
        ],
    );
}

#[test]
fn operands_and_results_of_a_wrong_type_are_found() {
    check(
        r#"function f1 "f" r0 process {
b0(v0: i32, v1: f64):
  v2: i32 = add v0, v1
  v3: i32 = add_real v1, v1
  v4: i8 = integer 255
  v5: i32 = less v0, v0
  v6: i64 = truncate v0
  check v0, array_bound @0
  return v0
}"#,
        &[
            "f1 \"f\", b0, instruction 1: v1 is f64, not i32",
            "f1 \"f\", b0, instruction 2: the result is i32, not f64",
            "f1 \"f\", b0, instruction 3: 255 is no i8, sign-extended",
            "f1 \"f\", b0, instruction 4: the result is i32, not i8",
            "f1 \"f\", b0, instruction 5: no such instruction from i32 to i64",
            "f1 \"f\", b0, instruction 6: v0 is i32, not i8",
            "f1 \"f\", b0, instruction 7: a return with a value",
        ],
    );
}

#[test]
fn an_operation_neither_polls_nor_waits() {
    check(
        r#"function f1 "f" r0 operation {
b0(v0: i64):
  poll
  v1: i8 = entry InOut.Eof()
  v2: i32 = load object v0[0]
  call f0(v0)
  entry exit()
  unreachable
}"#,
        &[
            "f1 \"f\", b0, instruction 1: a poll in an operation",
            "f1 \"f\", b0, instruction 2: an operation calls InOut.Eof, which waits",
            "f1 \"f\", b0, instruction 4: an operation calls a function in process context",
            "f1 \"f\", b0, instruction 5: an operation calls exit",
        ],
    );
}

#[test]
fn a_process_never_touches_the_state_of_an_object_directly() {
    check(
        r#"function f1 "f" r0 process {
b0(v0: i64):
  v1: i32 = load object v0[0]
  return
}"#,
        &["f1 \"f\", b0, instruction 1: the state of an object outside an operation"],
    );
}

#[test]
fn targets_get_what_their_blocks_ask_for() {
    check(
        r#"function f1 "f" r0 process {
b0(v0: i64):
  switch v0, 1 b1, 1 b2, else b2
b1(v1: i32):
  jump b2(v1)
b2:
  return
}"#,
        &[
            "f1 \"f\", b0, instruction 1: a case occurs twice",
            "f1 \"f\", b0, instruction 1: 0 arguments instead of 1",
            "f1 \"f\", b1, instruction 1: 1 arguments instead of 0",
        ],
    );
    check(
        "function f1 \"f\" r0 process {\nb0:\n  jump b7\n}",
        &["f1 \"f\", b0: b7 does not exist"],
    );
}

#[test]
fn code_has_the_signature_of_its_role() {
    let text = HEAD.replace("b0(v0: i64)", "b0(v0: i32)");
    let program = parse(&text).expect("the text is right");
    let found: Vec<String> = verify(&program).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["process \"p\": f0 has the wrong signature or context for its role"]
    );
}
