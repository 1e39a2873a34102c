//! What programs do, from source text through lowering to the interpreter: output, run-time errors with their line, and no leaks.

use std::path::Path;

use orca_abi::trap::Trap;

use super::interpreter::{Run, run};
use crate::diagnostics::render::{Style, render};
use crate::mir::verify::verify;
use crate::session::{MessageFormat, Options, Session};
use crate::source::MemoryFiles;
use crate::typecheck::check_program;

fn execute(text: &str) -> Run {
    let files = MemoryFiles::new().with("main.orca", text);
    let mut session = Session::new(Options::default(), Box::new(files));
    let program = check_program(&mut session, Path::new("main.orca"), &[]);
    let style = Style {
        format: MessageFormat::Short,
        ..Style::default()
    };
    let program = program.unwrap_or_else(|| panic!("{}", render(&session, &style)));
    let program = super::lower(&session, &program);
    let violations: Vec<String> = verify(&program).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    run(&program)
}

/// The output of a whole file.
fn check_file(text: &str, output: &str) {
    let ended = execute(text);
    assert_eq!(ended.output, output, "and ended with {:?}", ended.trap);
    assert_eq!(ended.trap, None);
}

/// A file with OrcaMain made of these declarations and statements; the statements start on line 100.
fn module(units: &str, declarations: &str, body: &str) -> String {
    let mut text = format!("{units}\nMODULE IMPLEMENTATION main;\n{declarations}\nBEGIN");
    let lines = text.lines().count();
    text.push_str(&"\n".repeat(100 - lines));
    text + body + "\nEND;\nEND;\n"
}

fn check(declarations: &str, body: &str, output: &str) {
    let declarations = match declarations.contains("PROCESS OrcaMain") {
        true => declarations.to_owned(),
        false => format!("PROCESS OrcaMain();\n{declarations}"),
    };
    check_file(&module("", &declarations, body), output);
}

fn check_trap(declarations: &str, body: &str, trap: Trap, line: u32) {
    let declarations = match declarations.contains("PROCESS OrcaMain") {
        true => declarations.to_owned(),
        false => format!("PROCESS OrcaMain();\n{declarations}"),
    };
    let ended = execute(&module("", &declarations, body));
    assert_eq!(ended.trap, Some((trap, line)), "output {:?}", ended.output);
}

#[test]
fn integers_wrap_and_division_truncates() {
    check(
        "i: integer; s: shortint; l: longint;",
        "i := 7; Write(i / 2, ' ', -i / 2, ' ', (0 - i) % 2, ' ');
         i := 2147483647; i +:= 1; Write(i, ' '); Write(ABS(i), ' ');
         s := 32767; s +:= 1; Write(s, ' ');
         l := i; l -:= 1; Write(l, ' ');
         i := 1 << 31; i := i / (-1); WriteLine(i);",
        "3 -3 -1 -2147483648 -2147483648 -32768 -2147483649 -2147483648\n",
    );
}

#[test]
fn shifts_take_any_count_that_is_not_negative() {
    check(
        "i, n: integer;",
        "n := 40; i := -5; Write(i << n, ' ', i >> n, ' ', i >> 1, ' ', i << 1);",
        "0 -1 -3 -10",
    );
    check_trap(
        "i, n: integer;",
        "n := -1;\ni := i << n;",
        Trap::ShiftCount,
        101,
    );
}

#[test]
fn bits_and_conversions() {
    check(
        "i: integer; c: char; b: boolean;",
        "i := 12; Write(i & 10, ' ', i | 3, ' ', i ^ 5, ' ', ~i, ' ');
         c := CHR(200); Write(ORD(c), ' ', CAP('q'), CAP('!'), ' ');
         b := VAL(boolean, 1); IF b THEN Write('y'); FI;
         Write(' ', TRUNC(-2.7), ' ', FLOAT(3), ' ', TRUNC(1.0E30));",
        "8 15 9 -13 200 Q! y -2 3 2147483647",
    );
}

#[test]
fn checks_of_arithmetic_name_the_line_of_the_operator() {
    check_trap(
        "i, z: integer;",
        "i := 1;\ni := i / z;",
        Trap::DivideByZero,
        101,
    );
    check_trap("i, z: integer;", "i := i\n% z;", Trap::ModuloByZero, 101);
    check_trap("x: real;", "x := 1.0 / x;", Trap::DivideByZero, 100);
    check_trap(
        "i: integer; c: char;",
        "i := 256;\n\nc := CHR(i);",
        Trap::RangeError,
        102,
    );
}

#[test]
fn a_shortreal_is_rounded_where_it_is_stored() {
    check(
        "s: shortreal; x: real;",
        "s := 0.1; x := s; IF x = 0.1 THEN Write('=') ELSE Write('/') FI;
         x := 0.5; s := x; Write(s);",
        "/0.5",
    );
}

#[test]
fn loops_of_every_kind() {
    check(
        "TYPE colour = (red, green, blue); i, n: integer;",
        "FOR k IN 1 .. 3 DO Write(k) OD; FOR k IN 3 .. 1 DO Write(k) OD;
         FOR c IN 'a' .. 'e' DO Write(c); IF c = 'c' THEN EXIT FI; OD;
         FOR b IN false .. true DO n +:= 1 OD; FOR c IN green .. blue DO n +:= ORD(c) OD; Write(n);
         FOR k IN 2147483646 .. 2147483647 DO n +:= 1 OD; Write(n);
         WHILE i < 3 DO i +:= 1; Write('w') OD;
         REPEAT i -:= 1; Write('r') UNTIL i <= 1;
         DO i +:= 1; IF i > 4 THEN EXIT FI; OD; WriteLine(i);",
        "123abc57wwwrr5\n",
    );
}

#[test]
fn a_case_takes_the_labelled_branch() {
    check(
        "",
        "FOR i IN 0 .. 9 DO
           CASE i OF 1, 3 .. 5 => Write('a'); | 7 => Write('b'); | 8 => ELSE Write('-'); ESAC;
         OD;",
        "-a-aaa-b-",
    );
}

#[test]
fn arrays_check_indices_and_assignment_replaces_bounds() {
    let vector =
        "TYPE v = ARRAY[integer] OF integer;\nPROCESS OrcaMain();\na: v[1 .. 5]; e: v; i: integer;";
    check(
        vector,
        "Write(LB(e), ' ', UB(e), ' ', SIZE(a), ' '); e := a; e[5] := 1; Write(UB(e), e[5], a[5]);
         IF a = e THEN Write('=') ELSE Write('/') FI;",
        "0 -1 5 510/",
    );
    check_trap(
        vector,
        "i := 6;\na[1] := 0; a[i] := 1;",
        Trap::ArrayBound,
        101,
    );
    check_trap(vector, "e[0] := 1;", Trap::ArrayBound, 100);
}

#[test]
fn arrays_of_several_dimensions_and_arrays_of_arrays() {
    check(
        "TYPE m = ARRAY[integer, integer] OF integer; TYPE r = ARRAY[integer] OF integer;
         TYPE g = ARRAY[integer] OF r;
         PROCESS OrcaMain();
         a: m[0 .. 2, 5 .. 7]; b: g[1 .. 3][2 .. 4]; n: integer;",
        "FOR i IN 0 .. 2 DO FOR j IN 5 .. 7 DO a[i, j] := 10 * i + j OD OD;
         FOR i IN 0 .. 2 DO FOR j IN 5 .. 7 DO n +:= a[i, j] OD OD;
         FOR i IN 1 .. 3 DO FOR j IN 2 .. 4 DO b[i][j] := i * j OD OD;
         Write(n, ' ', a[2, 7], ' ', LB(a, 2), UB(a, 1), SIZE(a), ' ', b[3][4]);
         b[2] := b[3]; Write(b[2][2]); b := g:[r:[1, 2], r:[3]]; Write(b[2][1], SIZE(b[1]));",
        "144 27 529 12632",
    );
}

#[test]
fn constant_bounds_lie_inline() {
    check(
        "TYPE v = ARRAY[integer 1 .. 3] OF integer; TYPE w = ARRAY[boolean false .. true] OF v;
         TYPE big = ARRAY[integer 1 .. 3000] OF longint;
         PROCESS OrcaMain();
         a: w; b: v; h: big; i: integer;",
        "b := v:[4, 5, 6]; a[true] := b; i := 2; a[false][i] := 9; h[3000] := 7;
         Write(a[true][3], a[false][2], a[false][1], UB(b), h[3000], SIZE(h));",
        "690373000",
    );
    check_trap(
        "TYPE v = ARRAY[integer 1 .. 3] OF integer;\nPROCESS OrcaMain(); a: v; i: integer;",
        "a[i] := 1;",
        Trap::ArrayBound,
        100,
    );
}

#[test]
fn strings_are_arrays_of_characters() {
    check(
        "FUNCTION join(a, b: string): string;
           r: string[LB(a) .. UB(a) + SIZE(b)];
         BEGIN
           FOR i IN LB(a) .. UB(a) DO r[i] := a[i] OD;
           FOR i IN LB(b) .. UB(b) DO r[UB(a) + i] := b[i] OD;
           RETURN r;
         END;
         PROCESS OrcaMain();
         s, t: string; e: string;",
        "s := \"ab\"; t := join(s, join(\"cd\", \"e\")); WriteLine(t, SIZE(t), t[3]);
         IF (s = \"ab\") AND (s /= t) THEN s[1] := 'x' FI; WriteLine(s, e, \"\", SIZE(e), UB(e));
         s := s; t := \"\"; WriteLine(s, LB(t), UB(t));",
        "abcde5c\nxb0-1\nxb10\n",
    );
}

#[test]
fn records_are_values() {
    check(
        "TYPE p = RECORD x, y: integer; END; TYPE q = RECORD name: string; at: p; END;
         FUNCTION swap(a: p): p; BEGIN RETURN p:{a.y, a.x}; END;
         PROCESS OrcaMain();
         a, b: p; c, d: q;",
        "a := p:{1, 2}; b := a; b.x := 5; a := p:{a.y, a.x}; Write(a.x, a.y, b.x, ' ');
         a := swap(a); Write(a.x, ' ');
         c := q:{\"n\", b}; d := c; d.name[1] := 'm'; d.at.y := 7; Write(c.name, d.name, c.at.y, d.at.y);
         IF c = d THEN Write('=') ELSE Write('/') FI; IF a = p:{1, 2} THEN Write('=') FI; a := a;",
        "215 1 nm27/=",
    );
}

#[test]
fn parameters_follow_their_modes() {
    check(
        "TYPE v = ARRAY[integer] OF integer;
         FUNCTION f(a: v; n: integer; o: OUT v[1 .. n]; s: SHARED integer; x: OUT integer);
         BEGIN
           a[1] := 99; n := 0; s +:= 1; x := s; o[1] := a[1] + x;
         END;
         FUNCTION last(a: v): integer; BEGIN RETURN a[UB(a)]; END;
         FUNCTION grow(a: SHARED v; b: v): integer; BEGIN a[1] := 50; RETURN b[1]; END;
         PROCESS OrcaMain();
         a, o: v[1 .. 2]; i, j: integer;",
        "i := 3; f(a, 2, o, i, j); Write(a[1], ' ', o[1], ' ', i, j, UB(o), ' '); f(a, 3, o, i, a[2]);
         Write(a[2], UB(o), last(v:[7, 8]), last(o), ' '); a[1] := 4; Write(grow(a, a), a[1]);",
        "0 103 442 5380 450",
    );
}

#[test]
fn aliases_that_only_the_run_shows_are_errors() {
    let declarations = "TYPE v = ARRAY[integer] OF integer;
         FUNCTION f(a, b: SHARED integer); BEGIN a := b; END;
         PROCESS OrcaMain();
         a: v[1 .. 3]; i, j: integer;";
    check(
        declarations,
        "i := 1; j := 2; a[2] := 8; f(a[i], a[j]); Write(a[1]);",
        "8",
    );
    check_trap(
        declarations,
        "i := 2; j := 2;\nf(a[i], a[j]);",
        Trap::IllegalAlias,
        101,
    );
}

#[test]
fn evaluation_goes_from_left_to_right() {
    check(
        "TYPE v = ARRAY[integer] OF integer;
         FUNCTION next(n: SHARED integer): integer; BEGIN n +:= 1; Write(n); RETURN n; END;
         FUNCTION shrink(a: SHARED v): integer; BEGIN a := v:[5, 6]; RETURN 1; END;
         PROCESS OrcaMain();
         n: integer; a: v[1 .. 9];",
        "a[next(n)] := next(n) * 10 + next(n); Write(' ', a[1], ' ');
         n := n + next(n); Write(' ', n, ' '); a[next(n) - 7] +:= next(n); Write(' ', a[1], ' ');
         n := 0; Write(n, next(n), n); a[2] := shrink(a); Write(' ', a[1], a[2], SIZE(a));",
        "123 23 4 7 89 32 1011 512",
    );
}

#[test]
fn logical_operators_stop_early() {
    check(
        "FUNCTION t(c: char; b: boolean): boolean; BEGIN Write(c); RETURN b; END;
         PROCESS OrcaMain();
         b: boolean;",
        "IF t('a', false) AND t('b', true) THEN Write('!') FI;
         IF t('c', true) OR t('d', true) THEN Write('!') FI;
         b := NOT (t('e', true) AND (t('f', false) OR t('g', true)));
         IF b THEN Write('!') FI; b AND:= t('h', true); b OR:= t('i', true); IF b THEN Write('!') FI;",
        "ac!efgi!",
    );
}

#[test]
fn sets_keep_the_order_of_insertion() {
    check(
        "TYPE s = SET OF integer; TYPE n = SET OF string;
         PROCESS OrcaMain();
         a, b: s; c: n; x: string;",
        "INSERT(3, a); INSERT(1, a); INSERT(3, a); b := s:{1, 2};
         FOR e IN a + b DO Write(e) OD; FOR e IN a * b DO Write(e) OD; FOR e IN a - b DO Write(e) OD;
         Write(' ', SIZE(a), FROM(a), SIZE(a), ' '); DELETE(1, a); Write(SIZE(a));
         b +:= s:{7}; b +:= b; IF 7 IN b THEN Write('y') FI; IF b = s:{7, 2, 1} THEN Write('=') FI;
         INSERT(\"one\", c); x := \"two\"; INSERT(x, c); FOR e IN c DO Write(e); EXIT OD; x := FROM(c); Write(x);
         FOR e IN b DO INSERT(e + 10, b) OD; Write(SIZE(b)); FROM(b);",
        "31213 231 0y=oneone6",
    );
    check_trap(
        "TYPE s = SET OF integer;\nPROCESS OrcaMain(); a: s; i: integer;",
        "i := FROM(a);",
        Trap::FromEmpty,
        100,
    );
}

#[test]
fn graphs_own_their_nodes() {
    let list = "TYPE nodeT = NODENAME OF listT;
         TYPE listT = GRAPH first: nodeT; len: integer; NODES next: nodeT; v: integer; s: string; END;
         FUNCTION push(g: SHARED listT; v: integer); n: nodeT;
         BEGIN n := ADDNODE(g); g[n].v := v; g[n].s := \"s\"; g[n].next := g.first; g.first := n; g.len +:= 1; END;
         PROCESS OrcaMain();
         g, h: listT; n: nodeT;";
    check(
        list,
        "FOR i IN 1 .. 4 DO push(g, i) OD; h := g; g!first.v := 9;
         n := h.first; DELETENODE(g, g!first.next);
         WHILE n /= NIL DO Write(h[n].v, h[n].s); n := h[n].next OD; Write(' ', g.len, g!first.v);",
        "4s3s2s1s 49",
    );
    check_trap(
        list,
        "n := ADDNODE(g); DELETENODE(g, n);\ng[n].v := 1;",
        Trap::BadNodename,
        101,
    );
    check_trap(list, "g[n].v := 1;", Trap::BadNodename, 100);
}

const ACC: &str = "OBJECT SPECIFICATION acc;
  OPERATION add(v: integer); OPERATION await(n: integer): integer; OPERATION all(): string;
  OPERATION swap(s: string; o: OUT string); OPERATION twice(v: integer): integer;
END;
OBJECT IMPLEMENTATION acc;
  sum, cnt: integer; text: string;
  OPERATION add(v: integer); BEGIN sum +:= v; cnt +:= 1; END;
  OPERATION await(n: integer): integer; BEGIN GUARD cnt = n DO RETURN sum; OD; END;
  OPERATION all(): string; BEGIN RETURN text; END;
  OPERATION swap(s: string; o: OUT string); BEGIN o := text; text := s; s := \"gone\"; END;
  OPERATION twice(v: integer): integer; BEGIN SELF$add(v); SELF$add(v); RETURN sum; END;
BEGIN text := \"new\"; sum := 100; END;
";

#[test]
fn operations_of_unshared_objects_are_calls() {
    let main = module(
        ACC,
        "IMPORT acc; PROCESS OrcaMain(); a: acc; b: acc; s, t: string;",
        "a$add(5); Write(a$await(1), ' '); s := \"old\"; a$swap(s, t); Write(s, t, a$all(), ' ');
         b := a; b$add(1); Write(a$twice(2), ' ', b$await(2));",
    );
    check_file(&main, "105 oldnewold 109 106");
}

#[test]
fn forked_processes_share_objects_and_get_copies_of_the_rest() {
    let main = module(
        ACC,
        "IMPORT acc; TYPE v = ARRAY[integer] OF integer; TYPE o = ARRAY[integer] OF acc;
         PROCESS w(a: SHARED acc; k: integer; x: v; s: string);
         BEGIN x[1] +:= k; a$add(x[1]); s[1] := 'S'; WriteLine(s, a$await(k)); END;
         PROCESS all(a: SHARED o); BEGIN a[2]$add(1); WriteLine(a[2]$twice(0)); END;
         PROCESS OrcaMain(); a: acc; x: v[1 .. 1]; b: o[1 .. 2];",
        "FOR k IN 1 .. 3 DO x[1] := k; FORK w(a, k, x, \"text\"); OD;
         FORK all(b) ON(0);
         Write(\"main \");",
    );
    check_file(&main, "main Sext102\nSext106\nSext112\n101\n");
}

#[test]
fn guards_are_tried_in_order_and_undone() {
    let object = "OBJECT SPECIFICATION q;
  OPERATION put(v: integer); OPERATION get(): integer; OPERATION odd(): integer;
END;
OBJECT IMPLEMENTATION q;
  TYPE v = ARRAY[integer] OF integer;
  n: integer; a: v[1 .. 4]; tries: integer;
  FUNCTION count(n: SHARED integer): boolean; BEGIN n +:= 1; RETURN n > 100; END;
  OPERATION put(v: integer); BEGIN GUARD n < 4 DO n +:= 1; a[n] := v; OD; END;
  OPERATION get(): integer; x: integer;
  BEGIN
    GUARD n > 2 DO x := a[n]; n -:= 1; RETURN x; OD;
    GUARD n = 1 DO RETURN -a[1]; OD;
    GUARD n = 0 DO RETURN tries; OD;
  END;
  OPERATION odd(): integer;
  BEGIN
    GUARD count(tries) DO RETURN 1; OD;
    GUARD n >= 0 DO RETURN tries; OD;
  END;
END;
";
    let main = module(
        object,
        "IMPORT q; PROCESS OrcaMain(); o: q;",
        "Write(o$get()); o$put(5); Write(o$get()); o$put(6); o$put(7); Write(o$get(), ' ', o$odd());\no$get();",
    );
    let main = main.replace("o$get();\nEND", "Write(o$get());\nEND");
    let ended = execute(&main);
    assert_eq!(ended.output, "0-57 0");
    assert_eq!(ended.trap, Some((Trap::LocalDeadlock, 101)));
}

#[test]
fn nested_objects_belong_to_the_outer_operation() {
    let objects = "OBJECT SPECIFICATION cell; OPERATION put(v: integer); OPERATION get(): integer; END;
OBJECT IMPLEMENTATION cell; x: integer;
  OPERATION put(v: integer); BEGIN x := v; END;
  OPERATION get(): integer; BEGIN RETURN x; END;
BEGIN x := 1; END;
OBJECT SPECIFICATION pair; OPERATION move(): integer; OPERATION copy(p: pair): integer; END;
OBJECT IMPLEMENTATION pair; IMPORT cell;
  TYPE cells = ARRAY[integer] OF cell;
  a, b: cell; more: cells[1 .. 3];
  OPERATION move(): integer; BEGIN b$put(a$get() + 1); more[2]$put(7); a := more[2]; RETURN a$get() + b$get(); END;
  OPERATION copy(p: pair): integer; BEGIN RETURN p.a$get(); END;
END;
";
    let main = module(
        objects,
        "IMPORT pair; PROCESS OrcaMain(); p, q: pair;",
        "Write(p$move()); Write(q$copy(p)); q := p; Write(p$copy(q), q$move());",
    );
    check_file(&main, "97715");
}

#[test]
fn data_modules_are_initialised_in_order() {
    let data = "DATA MODULE SPECIFICATION config; TYPE v = ARRAY[integer] OF integer; n: integer; a: v[1 .. NCPUS() + 2]; END;
DATA MODULE IMPLEMENTATION config; BEGIN n := 4; a[3] := n; END;
";
    let main = module(
        data,
        "FROM config IMPORT n, a; PROCESS OrcaMain(); b: ARRAY[integer] OF integer;",
        "Write(n, a[3], SIZE(a));",
    );
    check_file(&main.replace(" b: ARRAY[integer] OF integer;", ""), "443");
}

#[test]
fn falling_through_a_function_and_failing_assertions_trap() {
    check_trap(
        "FUNCTION f(n: integer): integer;\nBEGIN\nIF n > 0 THEN RETURN 1 FI;\nEND;\nPROCESS OrcaMain(); i: integer;",
        "i := f(0);",
        Trap::NoReturn,
        6,
    );
    check_trap(
        "i: integer;",
        "ASSERT(i = 0);\nASSERT(i = 1);",
        Trap::AssertionFailed,
        101,
    );
    check_trap(
        "i: integer;",
        "i := 3;\nCASE i OF 1 => | 2 => i := 0 ESAC;",
        Trap::CaseError,
        101,
    );
}

#[test]
fn every_way_out_frees_what_it_leaves() {
    check(
        "TYPE s = SET OF string; TYPE big = ARRAY[integer 1 .. 1000] OF string;
         FUNCTION find(a: s; x: string): string; b: big;
         BEGIN
           FOR e IN a DO
             FOR f IN a DO b[7] := e; IF e = x THEN RETURN b[7] FI; IF SIZE(f) > 3 THEN EXIT FI; OD;
           OD;
           RETURN \"none\";
         END;
         FUNCTION same(a, b: string): boolean; BEGIN RETURN a = b; END;
         FUNCTION id(a: string): string; BEGIN RETURN a; END;
         PROCESS OrcaMain();
         a: s; n: integer;",
        "INSERT(\"long one\", a); INSERT(id(\"two\"), a); Write(find(a, \"two\"), find(a, \"three\"));
         WHILE same(id(\"x\"), id(\"x\")) AND NOT same(find(a, \"two\"), id(\"y\")) DO n +:= 1; IF n = 3 THEN RETURN FI; OD;",
        "twonone",
    );
}

#[test]
fn constants_are_bytes_of_the_program() {
    check(
        "TYPE v = ARRAY[integer] OF integer; TYPE p = RECORD a: integer; b: char; END; TYPE ps = ARRAY[integer] OF p;
         CONST primes = v:[2, 3, 5, 7]; CONST text = \"hello\"; CONST table = ps:[p:{1, 'x'}, p:{2, 'y'}];
         FUNCTION sum(a: v): integer; n: integer; BEGIN FOR i IN LB(a) .. UB(a) DO n +:= a[i] OD; RETURN n; END;
         PROCESS OrcaMain();
         i: integer; w: v;",
        "i := 3; Write(primes[i], sum(primes), text, text[i], table[i - 1].b, SIZE(primes)); w := primes; w[1] := 0;
         Write(w[2], primes[1]);",
        "517helloly432",
    );
    check_trap(
        "TYPE v = ARRAY[integer] OF integer; CONST primes = v:[2, 3];\nPROCESS OrcaMain(); i: integer;",
        "i := primes[i];",
        Trap::ArrayBound,
        100,
    );
}
