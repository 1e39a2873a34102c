//! Claims about the text form: what is printed is read back.

use super::*;

/// Every construct of the language once.
const EVERYTHING: &str = r#"program "all" main 0
data 16
routine r0 = "process M.p" "m.orca"
routine r1 = "operation O$add" "m.orca"
site @0 = r0 3
site @1 = r1 7
blob c0 = "a \22quoted\22 \5c text\0a"
blob c1 = ""
type t0 = integer "integer" size 4 align 4 (plain bitwise_equal)
type t1 = record "state" size 8 align 4 (plain bitwise_equal) fields "n" t0 0, "m" t0 4
type t2 = object "O" size 8 align 8 (has_object) object o0
type t3 = fixed_array "grid" size 96 align 4 (plain) element t0 dimensions 2 bounds 0:4, -1:6
type t4 = graph "tree" size 32 align 8 () element t1 root t1
object o0 = "O" state t1 type t2 (single_copy_only)
  operation "add" r1 (has_write may_block) writes f1 result t0 parameters in "v" t0, out "w" t0
process "p" f0 parameters shared "o" t2, in "k" t0
module "M" init f2
module "N"
variable "M.x" t0 offset 0 module 0

function f0 "M.p" r0 process {
  local l0 "i" i32
  slot s0 "name" size 16 align 8
b0(v0: i64):
  v1: i32 = integer -5 !3
  v2: f64 = real 1e-7
  v3: f64 = real 0x7ff8000000000000
  set l0, v1
  v4: i32 = get l0
  v5: i64 = slot_address s0
  v6: i64 = blob_address c0
  v7: i64 = type_address t0
  v8: i32 = control ncpus
  v9: i32 = load data v0[-8]
  store head v5[8], v9
  copy v5, v6, 16
  zero v5, 16
  v10: i64 = sign_extend v9
  v11: i32 = add v9, v1
  v12: i8 = less v9, v1
  v13: i8 = not_equal_real v2, v3
  v14: i32 = select v12, v9, v1
  check v12, array_bound @0
  v15: i32 = call f3(v14)
  entry write_integer(v10)
  v16: f64 = entry Math.sin(v2)
  poll
  branch v13, b1(v14, v10), b2
b1 cold(v17: i32, v18: i64):
  switch v18, 1 b2, -2 b3, else b3
b2:
  entry exit()
  unreachable
b3:
  trap case_error @0
}

function f1 "O$add/writes" r1 operation -> i32 {
b0(v0: i64, v1: i64):
  v2: i32 = integer 0
  return v2
}

function f2 "M" r0 process {
b0(v0: i64):
  jump b1
b1:
  return
}

function f3 "M.f" r0 process -> i32 {
b0(v0: i32):
  return v0
}
"#;

#[test]
fn what_is_printed_is_read_back_and_printed_the_same() {
    let program = parse(EVERYTHING).expect("the text is right");
    assert_eq!(print(&program), EVERYTHING);
}

#[test]
fn an_error_names_line_expectation_and_finding() {
    let message = |text: &str| parse(text).expect_err("the text is wrong").to_string();
    assert_eq!(
        message("program main"),
        "line 1: expected a text in quotes, found `main`"
    );
    assert_eq!(
        message("program \"x\" main 0\nfunction f1"),
        "line 2: expected `f0`, found `f1`"
    );
    assert_eq!(message("program \"x"), "line 1: text without an end");
    let body = "program \"x\" main 0\nfunction f0 \"f\" r0 process {\nb0:\n  v0: i32 = jump b1\n}";
    assert_eq!(
        message(body),
        "line 4: expected an instruction, found `jump`"
    );
}

#[test]
fn cut_text_is_refused_and_never_panics() {
    for length in 1..EVERYTHING.len() {
        // Whether a cut text is a program does not matter; that the parser comes back does.
        let _ = parse(&EVERYTHING[..length]);
    }
}
