//! Claims about the parser: the tree of good text, the messages of bad text.

use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::*;
use crate::ast::print::print;
use crate::diagnostics::render::{Style, render};
use crate::session::{MessageFormat, Options};
use crate::source::MemoryFiles;

/// Parses `text` as a file of this name: the tree and the messages.
fn parse_as(name: &str, text: &str) -> (String, String) {
    let files = MemoryFiles::new().with(name, text);
    let mut session = Session::new(Options::default(), Box::new(files));
    let file = session.load(Path::new(name)).unwrap();
    let tree = parse_file(&mut session, file);
    let style = Style {
        format: MessageFormat::Short,
        ..Style::default()
    };
    (print(&session, &tree), render(&session, &style))
}

/// The tree of good text.
fn check_tree(text: &str, expected: Expect) {
    let (tree, messages) = parse_as("t.orca", text);
    assert_eq!(messages, "");
    expected.assert_eq(&tree);
}

/// The messages of bad text.
fn check_messages(text: &str, expected: Expect) {
    let (_, messages) = parse_as("t.orca", text);
    for line in messages.lines() {
        let message = line
            .splitn(5, ':')
            .nth(4)
            .expect("FILE:LINE:COL: error[CODE]: message");
        assert!(message.len() <= 101, "too long: {message}");
    }
    expected.assert_eq(&messages);
}

/// The statements of a good body, as they print.
fn check_body(statements: &str, expected: Expect) {
    let text = format!("FUNCTION f();\nBEGIN\n{statements}\nEND;\n");
    let (tree, messages) = parse_as("t.orca", &text);
    assert_eq!(messages, "");
    let lines: Vec<&str> = tree.lines().skip(3).map(|line| &line[6..]).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// The messages of a bad body.
fn check_bad_body(statements: &str, expected: Expect) {
    check_messages(
        &format!("FUNCTION f();\nBEGIN\n{statements}\nEND;\n"),
        expected,
    );
}

#[test]
fn binary_operators_have_two_levels_and_relations_one() {
    check_body(
        "x := a + b * c - d;
         x := -a * b;
         x := -7 % 3;
         x := 1 << k - 1;
         x := x & 3 = 0;
         x := NOT a = b;
         x := a OR b AND NOT ~c;
         x := (a > 0) AND (b IN s);
         x := a * (-b);",
        expect![[r#"
            x := (- (+ a (* b c)) d)  @3:1
            x := (- (* a b))  @4:10
            x := (- (% 7 3))  @5:10
            x := (- (<< 1 k) 1)  @6:10
            x := (= (& x 3) 0)  @7:10
            x := (= (NOT a) b)  @8:10
            x := (OR a (AND b (NOT (~ c))))  @9:10
            x := (AND (paren (> a 0)) (paren (IN b s)))  @10:10
            x := (* a (paren (- b)))  @11:10"#]],
    );
}

#[test]
fn assignment_operators_may_stand_apart() {
    check_body(
        "x +:= 1; x + := 1; x OR:= b; x <<:= 2; x AND := y;",
        expect![[r#"
        x +:= 1  @3:1
        x +:= 1  @3:10
        x OR:= b  @3:20
        x <<:= 2  @3:30
        x AND:= y  @3:40"#]],
    );
}

#[test]
fn statements_of_every_kind() {
    check_body(
        "a := b; M.f(x); o$op(); SELF$op(a[1]); g!first.v := g[n].v; FROM(s); EXIT; RETURN; RETURN f(x);
         IF a THEN ELSIF b THEN ; ELSE c(); FI;
         CASE x OF 1, 2 .. 3 => a(); | | 'c' => ; ELSE b(); ESAC;
         WHILE q$GetJob(j) DO a(); OD; DO EXIT; OD; REPEAT a(); UNTIL b;
         FOR i IN 1 .. 10 DO OD; FOR e IN s DO OD;
         FORK p(a, b); FORK M.p() ON NCPUS()-i; FORK p() ON(i);
         x := point:{1, M.row:[1.5, 2.]}; m := M:[[1,2],[3,4]]; e := T:[]; s := S:{};",
        expect![[r#"
            a := b  @3:1
            M.f(x)  @3:9
            o$op()  @3:17
            SELF$op(a[1])  @3:25
            g!first.v := g[n].v  @3:40
            from(s)  @3:61
            exit  @3:70
            return  @3:76
            return f(x)  @3:84
            if a  @4:10
            elsif b  @4:20
            else
              c()  @4:40
            case x  @5:10
              1, 2..3 =>  @5:20
                a()  @5:33
              'c' =>  @5:42
            else
              b()  @5:56
            while q$GetJob(j)  @6:10
              a()  @6:31
            do  @6:40
              exit  @6:43
            repeat  @6:53
              a()  @6:60
            until b
            for i in 1..10  @7:10
            for e in s  @7:34
            fork p(a, b)  @8:10
            fork M.p() on (- NCPUS() i)  @8:24
            fork p() on (paren i)  @8:49
            x := point:{1, M.row:[1.5, 2.0]}  @9:10
            m := M:[[1, 2], [3, 4]]  @9:43
            e := T:[]  @9:65
            s := S:{}  @9:76"#]],
    );
}

#[test]
fn types_of_every_kind() {
    check_tree(
        "MODULE SPECIFICATION m;
           TYPE a = ARRAY[integer 0 .. NCPUS(), colour] OF Q;
           TYPE e = (red, green); TYPE s = SET OF BAG OF M.T; TYPE opaque;
           TYPE r = RECORD a, b: integer; c: T[1..3, 2..4][5..6]; u: shape(box); END;
           TYPE u = UNION (k: kind (circle)) circle => r: real; box => b: pair; END;
           TYPE n = NODENAME OF g; TYPE g = GRAPH first: n; NODES next: n; v: integer; END;
           TYPE f = FUNCTION (T, SHARED M.U, OUT V): integer; TYPE p = FUNCTION ();
         END;",
        expect![[r#"
            module specification m  @1:1
              type a = array [integer 0..NCPUS(), colour] of Q  @2:12
              type e = (red, green)  @3:12
              type s = set of bag of M.T  @3:35
              type opaque  @3:63
              type r = record a, b: integer; c: T[1..3, 2..4][5..6]; u: shape(box); end  @4:12
              type u = union (k: kind (circle)) circle => r: real; box => b: pair; end  @5:12
              type n = nodename of g  @6:12
              type g = graph first: n; nodes next: n; v: integer; end  @6:36
              type f = function (T, shared M.U, out V): integer  @7:12
              type p = function ()  @7:63
        "#]],
    );
}

#[test]
fn units_of_every_kind() {
    check_tree(
        "GENERIC (NUMERIC TYPE N; SCALAR TYPE S; TYPE T; FUNCTION f(a: T): S; CONST c: integer)
         OBJECT SPECIFICATION q;
           FUNCTION g(x: IN T; y: SHARED T; z: OUT T[1..n]): integer;
           OPERATION op(v: integer);
         END GENERIC;
         GENERIC OBJECT IMPLEMENTATION q;
           FROM M IMPORT x, y;
           OBJECT inner = NEW bin(integer, f, \"s\");
           n: integer;
           FUNCTION g(x: IN T; y: SHARED T; z: OUT T[1..n]): integer;
             CONST k = 3;
             a: integer;
           BEGIN RETURN 1; END;
           OPERATION op(v: integer);
           BEGIN
             GUARD n > 0 DO n := 1; OD;
             GUARD n < 0 DO n := 2; OD;
           END;
         BEGIN n := 0; END;
         DATA MODULE SPECIFICATION d; a: integer; END;
         DATA MODULE IMPLEMENTATION d; BEGIN a := 1; END;",
        expect![[r#"
            generic object specification q  @1:1
              formal numeric type N  @1:10
              formal scalar type S  @1:26
              formal type T  @1:41
              formal function f(a: T): S  @1:49
              formal const c: integer  @1:70
              function g(x: T; y: shared T; z: out T[1..n]): integer  @3:12
              operation op(v: integer)  @4:12
            generic object implementation q  @6:10
              from M import x, y  @7:12
              object inner = new bin(integer, f, "s")  @8:12
              var n: integer  @9:12
              function g(x: T; y: shared T; z: out T[1..n]): integer  @10:12
                const k = 3  @11:14
                var a: integer  @12:14
                begin
                  return 1  @13:18
              operation op(v: integer)  @14:12
                begin
                  guard (> n 0)  @16:14
                    n := 1  @16:29
                  guard (< n 0)  @17:14
                    n := 2  @17:29
              begin
                n := 0  @19:16
            data module specification d  @20:10
              var a: integer  @20:39
            data module implementation d  @21:10
              begin
                a := 1  @21:46
        "#]],
    );
}

#[test]
fn a_begin_after_a_forward_head_is_its_body() {
    check_tree(
        "OBJECT IMPLEMENTATION o;
           FUNCTION forward();
           FUNCTION f(); BEGIN END;
           FUNCTION forward();
             x: integer;
           BEGIN END;
           TYPE late = integer;
         BEGIN x := 1; END;",
        expect![[r#"
            object implementation o  @1:1
              function forward()  @2:12
              function f()  @3:12
                begin
              function forward()  @4:12
                var x: integer  @5:14
                begin
              type late = integer  @7:12
              begin
                x := 1  @8:16
        "#]],
    );
}

#[test]
fn loose_declarations_form_a_module_of_the_files_name() {
    check_tree(
        "object specification Cell; operation get(): integer; end;
         type t = integer;
         process OrcaMain(); c: Cell; begin end;
         object implementation Cell; operation get(): integer; begin return 1; end; end;
         function last(); begin end;",
        expect![[r#"
            object specification Cell  @1:1
              operation get(): integer  @1:28
            implicit module implementation t  @2:10
              type t = integer  @2:10
              process OrcaMain()  @3:10
                var c: Cell  @3:30
                begin
              function last()  @5:10
                begin
            object implementation Cell  @4:10
              operation get(): integer  @4:38
                begin
                  return 1  @4:70
        "#]],
    );
}

#[test]
fn a_historical_file_holds_units_only() {
    let (_, messages) = parse_as("t.imp", "PROCESS p();\nBEGIN END;\n");
    expect![[r#"
        t.imp:1:1: error[E0211]: a .spf or .imp file holds one unit and nothing outside of it
    "#]]
    .assert_eq(&messages);
}

#[test]
fn the_data_parallel_extension_parses() {
    check_tree(
        "OBJECT IMPLEMENTATION grid[integer lo..hi, integer a..b];
           v: real; ACCESS: integer;
           PARALLEL OPERATION[i, j] op(x: integer; y: OUT GATHER A): REDUCE T WITH f;
           DEPENDENCIES ACCESS[i + 1, j]; END;
           BEGIN v[i, j] := 1.0; ACCESS := 1; g$$partition(1, 2); END;
         END;",
        expect![[r#"
            object implementation grid[integer lo..hi, integer a..b]  @1:1
              var v: real  @2:12
              var ACCESS: integer  @2:21
              parallel[i, j] operation op(x: integer; y: out gather A): reduce T with f  @3:12
                dependencies
                  access[(+ i 1), j]  @4:25
                begin
                  v[i, j] := 1.0  @5:18
                  ACCESS := 1  @5:34
                  g$$partition(1, 2)  @5:47
        "#]],
    );
}

#[test]
fn a_missing_semicolon_before_a_closing_word_is_a_warning() {
    check_messages(
        "OBJECT IMPLEMENTATION o;
           OPERATION a(); BEGIN IF x THEN EXIT FI; END
           OPERATION b(); BEGIN GUARD x DO y := 1 OD END
         BEGIN x := 1
         END",
        expect![[r#"
            t.orca:2:46: warning[W0201]: missing `;` at the end of this
            t.orca:2:54: warning[W0201]: missing `;` at the end of this
            t.orca:3:49: warning[W0201]: missing `;` at the end of this
            t.orca:3:53: warning[W0201]: missing `;` at the end of this
            t.orca:4:9: warning[W0201]: missing `;` at the end of this
            t.orca:4:21: warning[W0201]: missing `;` at the end of this
        "#]],
    );
}

#[test]
fn independent_mistakes_are_told_once_each() {
    check_bad_body(
        "IF a > 0 x := 1; FI;
         x = 5;
         y := (a + x;
         x := 3
         y := 4;
         WHILE x < 10 x +:= 1; OD;",
        expect![[r#"
            t.orca:3:10: error[E0202]: expected `THEN`, found `x`
            t.orca:4:12: error[E0201]: expected `:=`, found `=`, which compares
            t.orca:5:21: error[E0202]: expected `)`, found `;`
            t.orca:6:15: error[E0202]: expected `;`, found `y`
            t.orca:8:23: error[E0202]: expected `DO`, found `x`
        "#]],
    );
}

#[test]
fn a_mistake_in_one_routine_does_not_reach_the_next() {
    check_messages(
        "FUNCTION f();
         BEGIN
           IF a THEN WHILE b DO c();
         FUNCTION g();
         BEGIN x := ; END;
         PROCESS p()
         BEGIN END;",
        expect![[r#"
            t.orca:4:10: error[E0203]: expected `OD` before `FUNCTION`
            t.orca:5:21: error[E0202]: expected an expression, found `;`
            t.orca:6:20: error[E0202]: expected `;`, found `BEGIN`
        "#]],
    );
}

#[test]
fn closing_words_are_told_with_what_they_close() {
    check_bad_body(
        "IF a THEN b := c; OD;",
        expect![[r#"
        t.orca:3:19: error[E0203]: expected `FI`, found `OD`
    "#]],
    );
    check_bad_body(
        "DO IF a THEN b := c; OD;",
        expect![[r#"
        t.orca:3:22: error[E0203]: expected `FI` before `OD`
    "#]],
    );
    check_bad_body(
        "WHILE a DO b();",
        expect![[r#"
        t.orca:4:1: error[E0203]: expected `OD` before `END`
    "#]],
    );
    check_bad_body(
        "IF a THEN b(); ELSE IF c THEN d(); FI;",
        expect![[r#"
        t.orca:4:1: error[E0203]: expected `FI` before `END`
    "#]],
    );
    check_bad_body(
        "CASE a OF 1 => b(); END;",
        expect![[r#"
        t.orca:3:21: error[E0203]: expected `ESAC` before `END`
    "#]],
    );
}

#[test]
fn classic_mistakes_have_messages_of_their_own() {
    check_bad_body(
        "IF a > 0 AND b > 0 THEN FI;",
        expect![[r#"
        t.orca:3:16: error[E0204]: `>` is a second relation in the same expression
    "#]],
    );
    check_bad_body(
        "x := a * -b;",
        expect![[r#"
        t.orca:3:10: error[E0205]: a sign cannot follow `*`
    "#]],
    );
    check_bad_body(
        "x := 1E5;",
        expect![[r#"
        t.orca:3:6: error[E0103]: a real number needs a point: `1E5`
    "#]],
    );
    check_bad_body(
        "FOR i := 1 TO 10 DO OD;",
        expect![[r#"
            t.orca:3:7: error[E0201]: expected `IN`, found `:=`
            t.orca:3:12: error[E0201]: the name `TO` cannot stand here; expected `..`
        "#]],
    );
    check_bad_body(
        "IF a := b THEN FI;",
        expect![[r#"
        t.orca:3:6: error[E0201]: expected `=`, found `:=`, which assigns
    "#]],
    );
    check_bad_body(
        "CASE x OF 1 => y := 3 | 2 => y := 4; ESAC;",
        expect![[r#"
        t.orca:3:21: error[E0202]: expected `;` before `|`
    "#]],
    );
    check_bad_body(
        "foo;",
        expect![[r#"
        t.orca:3:4: error[E0202]: expected `(`, found `;`
    "#]],
    );
    check_bad_body(
        "x: integer;\n x := 1;",
        expect![[r#"
        t.orca:3:2: error[E0201]: expected `:=`, found `:`
    "#]],
    );
    check_bad_body(
        "IF a THEN ELSEIF b THEN FI;",
        expect![[r#"
        t.orca:3:11: error[E0201]: the name `ELSEIF` cannot stand here; `ELSIF` is the keyword
    "#]],
    );
    check_bad_body(
        "if a then b(); fi;",
        expect![[r#"
        t.orca:3:1: error[E0201]: the name `if` cannot stand here; `IF` is the keyword
        t.orca:3:16: error[E0201]: the name `fi` cannot stand here; `FI` is the keyword
    "#]],
    );
    check_bad_body(
        "x := f(a).b;",
        expect![[r#"
            t.orca:3:10: error[E0201]: expected `;` or an operator, found `.`
        "#]],
    );
    check_bad_body(
        "GUARD a DO b(); OD; c();",
        expect![[r#"
        t.orca:3:1: error[E0210]: only operations have guards
        t.orca:3:21: error[E0201]: expected `END`, found `c`
    "#]],
    );
    check_bad_body(
        "x := a[1;",
        expect![[r#"
        t.orca:3:9: error[E0202]: expected `]`, found `;`
    "#]],
    );
    check_bad_body(
        "x := ;",
        expect![[r#"
        t.orca:3:6: error[E0202]: expected an expression, found `;`
    "#]],
    );
    check_bad_body(
        "x := y z w;",
        expect![[r#"
        t.orca:3:8: error[E0201]: expected `;` or an operator, found `z`
    "#]],
    );
    check_bad_body(
        "IF a THEN b(); END IF;\nWHILE a DO END WHILE;",
        expect![[r#"
            t.orca:3:16: error[E0203]: expected `FI`, found `END`
            t.orca:4:12: error[E0203]: expected `OD`, found `END`
        "#]],
    );
    check_bad_body(
        "IF a THEN b(); ENDIF;\nc();",
        expect![[r#"
        t.orca:3:16: error[E0201]: the name `ENDIF` cannot stand here; `FI` is the keyword
    "#]],
    );
    check_messages(
        "FUNCTION f(); VAR x: integer; y: integer := 5; BEGIN END;",
        expect![[r#"
            t.orca:1:15: error[E0201]: `VAR` is no keyword: variables are declared without one
            t.orca:1:42: error[E0201]: expected `;`, found `:=`
        "#]],
    );
    check_messages(
        "FUNCTION f(SHARED a: T); BEGIN END;",
        expect![[r#"
        t.orca:1:12: error[E0201]: expected a name or `)`, found `SHARED`
    "#]],
    );
    check_messages(
        "FUNCTION f; BEGIN END;",
        expect![[r#"
        t.orca:1:11: error[E0202]: expected `(`, found `;`
    "#]],
    );
    check_messages(
        "TYPE END = integer;",
        expect![[r#"
        t.orca:1:6: error[E0201]: expected a name, but `END` is a keyword
    "#]],
    );
}

#[test]
fn what_has_no_place_in_a_unit_is_told() {
    check_messages(
        "MODULE SPECIFICATION m; x: integer; FUNCTION f(); BEGIN END; END;
         MODULE IMPLEMENTATION m; OPERATION o(); TYPE t; END GENERIC;
         OBJECT SPECIFICATION o; PROCESS p(); f: integer; END;
         DATA MODULE IMPLEMENTATION d; x: integer; END;
         GENERIC OBJECT SPECIFICATION g; END;
         MODULE IMPLEMENTATION n; PROCESS p(): integer; FUNCTION f(); BEGIN GUARD a DO OD; END; END;
         END;",
        expect![[r#"
            t.orca:1:25: error[E0210]: a module has no variables; objects, data modules and routines have
            t.orca:1:51: error[E0210]: a specification holds heads only; the body stands in the implementation
            t.orca:2:35: error[E0210]: operations stand in objects only
            t.orca:2:50: error[E0210]: an implementation says what the type is
            t.orca:2:58: error[E0210]: `END GENERIC` closes a unit that is not generic
            t.orca:3:34: error[E0210]: processes stand in modules only
            t.orca:3:47: error[E0210]: the fields of an object stand in its implementation
            t.orca:4:40: error[E0210]: the variables of a data module stand in its specification
            t.orca:5:10: error[E0210]: a generic specification needs its parameters
            t.orca:6:48: error[E0210]: a process has no result
            t.orca:6:77: error[E0210]: only operations have guards
            t.orca:7:10: error[E0211]: this `END` closes nothing
        "#]],
    );
}

#[test]
fn a_unit_without_end_is_closed_by_the_next() {
    check_messages(
        "MODULE SPECIFICATION a;\n TYPE t = integer;\nMODULE SPECIFICATION b;\nEND;\nMODULE SPECIFICATION c;\n",
        expect![[r#"
            t.orca:3:1: error[E0203]: expected `END;` of unit `a` before the next unit
            t.orca:6:1: error[E0203]: expected `END;` of unit `c` before the end of the file
        "#]],
    );
}

#[test]
fn an_empty_file_has_no_units() {
    let (tree, messages) = parse_as("t.orca", "# nothing\n");
    assert_eq!((tree.as_str(), messages.as_str()), ("", ""));
}

/// The processor time that this thread has used: other work on the machine must not fail a test.
pub(super) fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Parses within a time that only a linear parser keeps.
fn check_quick(text: &str) -> String {
    let start = processor_time();
    let (_, messages) = parse_as("t.orca", text);
    let taken = processor_time() - start;
    assert!(taken < Duration::from_secs(10), "took {taken:?}");
    messages
}

#[test]
fn deep_nesting_is_told_not_followed() {
    for (open, close) in [
        ("(", ")"),
        ("f(", ")"),
        ("NOT ", ""),
        ("1 + ", ""),
        ("a[", "]"),
        ("T:[", "]"),
    ] {
        let text = format!(
            "FUNCTION f();\nBEGIN x := {}a{};\nEND;",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        let messages = check_quick(&text);
        assert!(
            messages.contains("error[E0206]: this is nested too deeply"),
            "{messages}"
        );
    }
    for open in ["IF a THEN ", "DO ", "CASE x OF 1 => ", "REPEAT "] {
        let messages = check_quick(&format!("FUNCTION f();\nBEGIN {}", open.repeat(100_000)));
        assert!(messages.contains("E0206"), "{messages}");
    }
    for ty in ["ARRAY[integer] OF ", "SET OF ", "RECORD a: "] {
        let messages = check_quick(&format!("TYPE t = {} T;", ty.repeat(100_000)));
        assert!(messages.contains("E0206"), "{messages}");
    }
}

#[test]
fn hostile_texts_take_linear_time() {
    for piece in [
        "(",
        ")",
        "END ",
        "x := ",
        "IF ",
        "FI ",
        "; ",
        "a.b",
        "FUNCTION ",
        "MODULE ",
        "GENERIC (",
        "ACCESS[",
        "| ",
        "1 ",
        "\"",
        "'",
        ".ifdef A\n",
        "a: ",
        "OBJECT IMPLEMENTATION ",
    ] {
        check_quick(&piece.repeat(30_000));
        check_quick(&format!("FUNCTION f();\nBEGIN {}", piece.repeat(30_000)));
    }
}

#[test]
fn a_long_program_takes_linear_time() {
    let routine = "FUNCTION f(a: integer): integer;\nBEGIN\n  IF (a > 0) AND NOT b.c[1, 2] THEN x := -a * 2 + f(a, b); FI;\n  RETURN T:{1, 2};\nEND;\n";
    let long_body = "  x := a[i, j + 1] * 2;\n".repeat(20_000);
    assert_eq!(check_quick(&routine.repeat(5_000)), "");
    assert_eq!(
        check_quick(&format!("PROCESS p();\nBEGIN\n{long_body}END;\n")),
        ""
    );
    let wrong = check_quick(&format!(
        "PROCESS p();\nBEGIN\n{long_body}  x = 1;\n{long_body}END;\n"
    ));
    assert_eq!(wrong.lines().count(), 1, "{wrong}");
}
