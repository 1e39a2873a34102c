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
         x := 0.5; s := x; Write(s); s := 0.1; IF s = 0.1 THEN Write('='); FI;",
        "/0.5=",
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

#[test]
fn objects_in_parameters_records_and_results_are_copied() {
    let main = module(
        ACC,
        "IMPORT acc; TYPE o = ARRAY[integer] OF acc; TYPE r = RECORD n: integer; a: acc; s: string; END;
         FUNCTION private(a: acc): integer; BEGIN a$add(1000); RETURN a$twice(0); END;
         FUNCTION through(a: SHARED acc; s: string); t: string; BEGIN a$add(1); a$swap(s, t); END;
         FUNCTION make(n: integer): o; x: o[1 .. 2]; BEGIN x[2]$add(n); RETURN x; END;
         FUNCTION wrap(a: acc): r; x: r; BEGIN x.a := a; x.n := 3; x.s := \"wrapped\"; RETURN x; END;
         FUNCTION count(a: o): integer; BEGIN a[1]$add(7); RETURN SIZE(a) + a[1]$twice(0); END;
         PROCESS OrcaMain(); a: acc; x, y: o[1 .. 2]; z: o; p, q: r;",
        "Write(private(a), ' ', a$twice(0), ' '); through(a, \"text\"); Write(a$all(), a$twice(0), ' ');
         x := make(5); Write(x[2]$twice(0), ' '); z := x; z[2]$add(1); Write(x[2]$twice(0), z[2]$twice(0), ' ');
         p := wrap(a); q := p; q.a$add(1); Write(p.s, p.n, p.a$twice(0), q.a$twice(0), ' ');
         Write(count(x), x[1]$twice(0), ' '); through(x[1], \"in\"); y[2] := x[1]; Write(y[2]$all(), SIZE(z));",
    );
    check_file(
        &main,
        "1100 100 text101 105 105106 wrapped3101102 109100 in2",
    );
}

#[test]
fn operations_pass_fields_of_their_own_object() {
    let object = "OBJECT SPECIFICATION b; OPERATION go(): string; END;
OBJECT IMPLEMENTATION b;
  TYPE v = ARRAY[integer] OF string; TYPE r = RECORD a: integer; s: string; END;
  x: v[1 .. 2]; n: integer; t: r;
  FUNCTION twice(s: SHARED string; n: SHARED integer; k: integer): string; BEGIN n +:= k; s[1] := 'Z'; RETURN s; END;
  FUNCTION low(o: OUT integer; s: OUT string[5 .. 6]); BEGIN o := 3; s[5] := 'l'; s[6] := 'o'; END;
  OPERATION put(s: string; o: OUT string; k: OUT integer);
  BEGIN x := v:[\"new1\", \"new2\", \"new3\"]; t.s := s; n := 50; o := s; k := n + 1; END;
  OPERATION go(): string; u: string;
  BEGIN
    x[1] := \"one\"; x[2] := \"two\"; u := twice(x[2], n, n); t := r:{n, \"rec\"};
    u := twice(t.s, t.a, 4); x[1] := t.s; low(n, x[2]); low(t.a, t.s);
    SELF$put(x[1], x[2], n); RETURN x[2];
  END;
END;
";
    let main = module(
        object,
        "IMPORT b; PROCESS OrcaMain(); a: b;",
        "Write(a$go());",
    );
    check_file(&main, "Zec");
}

#[test]
fn a_guard_that_writes_leaves_nothing_behind() {
    let object = "OBJECT SPECIFICATION b; OPERATION go(): integer; OPERATION set(n: integer); END;
OBJECT IMPLEMENTATION b;
  TYPE v = ARRAY[integer] OF string; TYPE s = SET OF integer;
  x: v[1 .. 2]; n: integer; t: s;
  FUNCTION try(x: SHARED v; t: SHARED s; n: integer): boolean;
  BEGIN x := v:[\"gone\"]; INSERT(n, t); RETURN n > 1; END;
  OPERATION go(): integer; k: string[1 .. 3];
  BEGIN
    GUARD try(x, t, n) DO k[2] := 'x'; RETURN 100 * SIZE(x) + SIZE(t); OD;
    GUARD n = 1 DO RETURN 10 * SIZE(x) + SIZE(t); OD;
  END;
  OPERATION set(m: integer); BEGIN n := m; END;
END;
";
    let main = module(
        object,
        "IMPORT b; PROCESS OrcaMain(); a: b; i: integer;",
        "a$set(1); Write(a$go(), ' '); a$set(2); Write(a$go()); a$set(0);\ni := a$go();",
    );
    let ended = execute(&main);
    assert_eq!(ended.output, "20 101");
    assert_eq!(ended.trap, Some((Trap::LocalDeadlock, 101)));
}

#[test]
fn temporaries_of_conditions_and_arguments_are_freed() {
    check(
        "TYPE s = SET OF string; TYPE r = RECORD a: s; n: string; END; TYPE rs = ARRAY[integer] OF r;
         FUNCTION one(x: string): s; a: s; BEGIN INSERT(x, a); RETURN a; END;
         FUNCTION rec(x: string): r; BEGIN RETURN r:{one(x), x}; END;
         FUNCTION n(x: r; y: s; z: string): integer; BEGIN RETURN SIZE(x.a + y) + SIZE(z); END;
         FUNCTION many(k: integer): rs; a: rs[1 .. k]; BEGIN a[k] := rec(\"m\"); RETURN a; END;
         PROCESS OrcaMain(); a: r; i: integer; b: rs;",
        "Write(n(rec(\"a\"), one(\"b\"), \"ccc\"));
         WHILE (one(\"x\") = one(\"x\")) AND (n(rec(\"a\"), one(\"a\"), \"\") = 1) AND (i < 3) DO i +:= 1; OD; Write(i);
         a := rec(\"k\"); a := r:{a.a + one(\"j\"), a.n}; Write(SIZE(a.a), a.n); a.a := a.a - one(\"k\"); a.a +:= a.a;
         IF \"j\" IN a.a * one(\"j\") THEN Write('y'); FI;
         b := many(2); b[1] := b[2]; b := rs:[b[1], rec(\"z\"), a]; Write(SIZE(b), b[1].n, b[2].n, b[3].n);
         CASE n(a, a.a, a.n) OF 2 => Write('t'); ELSE Write('f'); ESAC;
         FOR k IN n(a, a.a, \"\") .. n(a, a.a, \"xx\") DO Write(k); OD;",
        "532ky3mzkt123",
    );
}

#[test]
fn indices_of_every_discrete_type() {
    check(
        "TYPE colour = (red, green, blue); TYPE a = ARRAY[colour] OF integer; TYPE b = ARRAY[char] OF boolean;
         TYPE c = ARRAY[longint] OF char; TYPE d = ARRAY[boolean, colour] OF shortint;
         PROCESS OrcaMain(); x: a[red .. blue]; y: b['a' .. 'z']; z: c[5 .. 6]; w: d[false .. true, green .. blue]; l: longint; k: char;",
        "x[blue] := 4; FOR i IN red .. blue DO x[i] +:= 1; OD; k := 'q'; y[k] := true; l := 6; z[l] := 'c'; w[true, green] := -3;
         Write(x[red], x[blue], z[6], w[true, green], w[false, blue]); IF y['q'] AND NOT y['r'] THEN Write('y'); FI;
         IF UB(x) = blue THEN Write(ORD(UB(x)), UB(y), UB(z)); FI; FOR m IN l - 1 .. l DO Write(m); OD;",
        "15c-30y2z656",
    );
}

#[test]
fn types_of_routines_have_bounds_of_their_parameters() {
    check(
        "FUNCTION f(n: integer; k: OUT integer): integer;
           TYPE v = ARRAY[integer 1 .. n] OF integer; TYPE w = RECORD a, b: v; END;
           x: w; y: v;
         BEGIN k := UB(x.b); x.a[n] := 7; y := x.a; RETURN y[n] + SIZE(x.b); END;
         PROCESS OrcaMain(); i: integer;",
        "Write(f(4, i), i);",
        "114",
    );
}

#[test]
fn nodes_have_fields_of_any_type() {
    check(
        "TYPE vec = ARRAY[integer] OF string; TYPE nodeT = NODENAME OF gT; TYPE names = SET OF nodeT;
         TYPE gT = GRAPH all: names; top: vec[1 .. 2]; NODES s: vec[3 .. 4]; next: names; END;
         TYPE pair = RECORD g: gT; n: nodeT; END;
         FUNCTION new(g: SHARED gT): nodeT; n: nodeT; BEGIN n := ADDNODE(g); INSERT(n, g.all); RETURN n; END;
         PROCESS OrcaMain(); g: gT; p: pair; m: nodeT;",
        "g[new(g)].s[3] := \"x\"; m := new(g); g[m].s[4] := \"y\"; INSERT(m, g[m].next); g.top[2] := \"t\";
         p.g := g; p.n := m; FOR n IN p.g.all DO Write(p.g[n].s[3], p.g[n].s[4], SIZE(p.g[n].next), ' '); OD;
         DELETENODE(p.g, FROM(p.g.all)); Write(SIZE(p.g.all), SIZE(g.all), p.g.top[2], UB(p.g[p.n].s));
         FOR k IN 1 .. 20 DO m := new(g); g[m].s := vec:[\"only\"]; OD; Write(SIZE(g.all), g[m].s[1]);",
        "x0 y1 12t422only",
    );
}

#[test]
fn arguments_of_write_are_evaluated_before_any_is_written() {
    check(
        "FUNCTION f(s: SHARED string): integer; BEGIN WriteLine(\"in\"); s := \"after\"; RETURN 1; END;
         PROCESS OrcaMain(); s: string;",
        "s := \"before\"; WriteLine(s, f(s), s, 1.5);",
        "in\nbefore1after1.5\n",
    );
}

#[test]
fn a_large_value_lives_in_a_block_of_its_own() {
    check(
        "TYPE big = ARRAY[integer 1 .. 5000] OF integer; TYPE r = RECORD a: big; s: string; END;
         FUNCTION f(x: big; n: integer): big; BEGIN x[n] := n; IF n > 1 THEN RETURN f(x, n - 1); FI; RETURN x; END;
         FUNCTION g(x: r): r; BEGIN x.s := \"g\"; RETURN x; END;
         PROCESS OrcaMain(); x, y: big; z: r;",
        "y := f(x, 3); Write(y[1], y[2], y[3], x[1]); z.a := y; z := g(z); Write(z.s, z.a[3]); IF z.a = y THEN Write('='); FI;",
        "1230g3=",
    );
}

#[test]
fn an_object_that_reads_a_clock_runs_in_the_process_while_it_is_not_shared() {
    let text = "OBJECT SPECIFICATION b; OPERATION ask(): integer; END;
OBJECT IMPLEMENTATION b; n: integer;
  OPERATION ask(): integer; BEGIN Read(n); RETURN n; END;
END;
MODULE IMPLEMENTATION main; IMPORT b; PROCESS OrcaMain(); a: b; BEGIN Write(a$ask()); END; END;
";
    let files = MemoryFiles::new().with("main.orca", text);
    let mut session = Session::new(Options::default(), Box::new(files));
    let program = check_program(&mut session, Path::new("main.orca"), &[]).expect("it is right");
    let program = super::lower(&session, &program);
    assert_eq!(verify(&program), []);
    let calls_read = |name: &str| {
        let function = program.functions.iter().find(|f| f.name == name);
        let blocks = &function.unwrap_or_else(|| panic!("no {name}")).blocks;
        blocks.iter().flat_map(|block| &block.insts).any(|inst| {
            matches!(
                inst.op,
                crate::mir::Op::CallEntry(orca_abi::symbols::Entry::Read, _)
            )
        })
    };
    assert!(calls_read("b$ask.writes.unshared"));
    assert!(!calls_read("b$ask.writes"));
}

#[test]
fn processors_that_do_not_exist_are_errors() {
    let declarations =
        "IMPORT acc; PROCESS w(); BEGIN Write(\"w\"); END; PROCESS OrcaMain(); a: acc; n: integer;";
    let main = |body| module(ACC, declarations, body);
    check_file(
        &main("Strategy(a, 1, 7); Strategy(a, 0, 0); FORK w() ON(n);"),
        "w",
    );
    let ended = execute(&main("n := 1;\nStrategy(a, 0, n);"));
    assert_eq!(ended.trap, Some((Trap::IllegalCpu, 101)));
    let ended = execute(&main("n := -1;\nFORK w() ON(n);"));
    assert_eq!(ended.trap, Some((Trap::IllegalCpu, 101)));
}
