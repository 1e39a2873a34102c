//! Claims about tokens, one table each.

use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::diagnostics::render::{Style, render};
use crate::session::{MessageFormat, Options};
use crate::source::MemoryFiles;

/// Lexes `text` as the file `t.orca`; tokens, then messages.
fn lexed(options: Options, files: MemoryFiles, text: &str) -> String {
    let files = files.with("t.orca", text);
    let mut session = Session::new(options, Box::new(files));
    let file = session.load(Path::new("t.orca")).unwrap();
    let lexed = lex(&mut session, file);
    let style = Style {
        format: MessageFormat::Short,
        ..Style::default()
    };
    format!("{}{}", dump(&session, &lexed), render(&session, &style))
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&lexed(Options::default(), MemoryFiles::new(), text));
}

/// Tokens on one line, without places.
fn check_tokens(options: Options, text: &str, expected: &str) {
    let all = lexed(options, MemoryFiles::new(), text);
    let tokens: Vec<&str> = all
        .lines()
        .map(|line| line.split_once(' ').map_or(line, |(_, token)| token))
        .collect();
    assert_eq!(tokens.join(" "), expected, "{text}");
}

#[test]
fn marks_are_the_longest_possible() {
    check_tokens(
        Options::default(),
        "IF a<<b>>c<=d>=e/=f:=g..h=>i$$j$k!l|m^n&o~p%q",
        "IF name a << name b >> name c <= name d >= name e /= name f := name g .. name h => name i \
         $$ name j $ name k ! name l | name m ^ name n & name o ~ name p % name q",
    );
    check_tokens(
        Options::default(),
        "IF 1..5 a.b T:{1}",
        "IF integer 1 .. integer 5 name a . name b name T : { integer 1 }",
    );
}

#[test]
fn the_first_word_decides_which_case_is_reserved() {
    check_tokens(
        Options::default(),
        "MODULE begin End END",
        "MODULE name begin name End END",
    );
    check_tokens(
        Options::default(),
        "module begin End END",
        "module begin name End name END"
            .replace("module begin", "MODULE BEGIN")
            .as_str(),
    );
    let both = Options {
        keywords: Keywords::Both,
        ..Options::default()
    };
    check_tokens(both, "module begin END", "MODULE BEGIN END");
    let lower = Options {
        keywords: Keywords::Lower,
        ..Options::default()
    };
    check_tokens(lower, "MODULE module", "name MODULE MODULE");
    check_tokens(
        Options::default(),
        "# MODULE\nobject END",
        "comment \"# MODULE\" OBJECT name END",
    );
}

#[test]
fn a_first_word_in_mixed_case_is_an_error() {
    check(
        "Module IMPLEMENTATION m;\nEND;",
        expect![[r#"
            1:1 MODULE
            1:8 IMPLEMENTATION
            1:23 name m
            1:24 ;
            2:1 END
            2:4 ;
            t.orca:1:1: error[E0106]: cannot determine keyword case: neither upper nor lower
        "#]],
    );
}

#[test]
fn character_constants_have_no_escapes() {
    check(
        "IF '\\' ''' '\t' '#' '\"' ' '",
        expect![[r#"
        1:1 IF
        1:4 char '\\'
        1:8 char '\''
        1:12 char '\t'
        1:16 char '#'
        1:20 char '"'
        1:24 char ' '
    "#]],
    );
}

#[test]
fn broken_character_constants_are_read_as_what_is_meant() {
    check(
        "IF 'ab' '' '\\n' 'é' 'x + 1",
        expect![[r#"
        1:1 IF
        1:4 char 'a'
        1:9 char '\''
        1:12 char '\\'
        1:17 char 'Ã'
        1:22 char 'x'
        1:25 +
        1:27 integer 1
        t.orca:1:4: error[E0104]: a character constant holds exactly one character
        t.orca:1:9: error[E0104]: a character constant holds exactly one character, not none
        t.orca:1:12: error[E0104]: a character constant holds exactly one character
        t.orca:1:17: error[E0104]: a character constant holds one byte; write CHR(n) for others
        t.orca:1:22: error[E0104]: this character constant has no closing apostrophe
    "#]],
    );
}

#[test]
fn a_backslash_in_a_string_makes_the_next_character_stand_for_itself() {
    check(
        r#"IF "a\"b" "\\" "\n" "" "it's # no comment""#,
        expect![[r#"
        1:1 IF
        1:4 string "a\"b"
        1:11 string "\\"
        1:16 string "n"
        1:21 string ""
        1:24 string "it's # no comment"
        t.orca:1:17: warning[W0101]: `\n` in a string is the letter `n`
    "#]],
    );
}

#[test]
fn an_open_string_ends_with_its_line() {
    check(
        "IF \"abc);\nEND",
        expect![[r#"
        1:1 IF
        1:4 string "abc);"
        2:1 END
        t.orca:1:4: error[E0105]: this string has no closing quote on its line
    "#]],
    );
    check(
        "IF \"abc\\\nEND",
        expect![[r#"
        1:1 IF
        1:4 string "abc"
        2:1 END
        t.orca:1:4: error[E0105]: this string has no closing quote on its line
    "#]],
    );
}

#[test]
fn numbers_are_checked() {
    check(
        "IF 18B 1E5 12AF 1.0E+ 99999999999999999999 1.0E999 0FFH 17B 3. 0.5D",
        expect![[r#"
        1:1 IF
        1:4 integer 0B
        1:8 real 1.0
        1:12 integer 0H
        1:17 real 1.0
        1:23 integer 0
        1:44 real inf
        1:52 integer FFH
        1:57 integer 17B
        1:61 real 3.0
        1:64 real 0.5
        t.orca:1:4: error[E0103]: `18B` ends in `B` but has digits that are not octal
        t.orca:1:8: error[E0103]: a real number needs a point: `1E5`
        t.orca:1:12: error[E0103]: `12AF` has hexadecimal digits but no final `H`
        t.orca:1:17: error[E0103]: the exponent of `1.0E+` has no digits
        t.orca:1:23: error[E0103]: a number too large for any type
        t.orca:1:44: error[E0103]: a number too large for any type
    "#]],
    );
}

#[test]
fn names_keep_their_underscores_apart() {
    check(
        "IF a_b a__b a_ _a",
        expect![[r#"
        1:1 IF
        1:4 name a_b
        1:8 name a__b
        1:13 name a_
        1:16 name _a
        t.orca:1:8: error[E0102]: a name has no two `_` in a row
        t.orca:1:13: error[E0102]: a name ends with a letter or digit, not with `_`
        t.orca:1:16: error[E0102]: a name starts with a letter, not with `_`
    "#]],
    );
}

#[test]
fn characters_of_other_alphabets_are_told_once() {
    check(
        "IF a → b é @ ? # é is fine here\nEND",
        expect![[r##"
            1:1 IF
            1:4 name a
            1:10 name b
            1:12 name é
            1:19 comment "# é is fine here"
            2:1 END
            t.orca:1:6: error[E0101]: `→` can stand in comments and strings only
            t.orca:1:12: error[E0102]: `é` is no name: the letters of names are A to Z and a to z
            t.orca:1:15: error[E0101]: no token of Orca starts with `@`
            t.orca:1:17: error[E0101]: no token of Orca starts with `?`
        "##]],
    );
}

#[test]
fn operators_of_other_languages_are_read_as_what_is_meant() {
    check(
        "IF a == b != c <> d && e += 1",
        expect![[r#"
        1:1 IF
        1:4 name a
        1:6 =
        1:9 name b
        1:11 /=
        1:14 name c
        1:16 /=
        1:19 name d
        1:21 AND
        1:24 name e
        1:26 +
        1:27 :=
        1:29 integer 1
        t.orca:1:6: error[E0108]: `==` is no operator of Orca
        t.orca:1:11: error[E0108]: `!=` is no operator of Orca
        t.orca:1:16: error[E0108]: `<>` is no operator of Orca
        t.orca:1:21: error[E0108]: `&&` is no operator of Orca
        t.orca:1:26: error[E0108]: `+=` is no operator of Orca
    "#]],
    );
}

#[test]
fn comments_of_other_languages_are_left_out() {
    check(
        "IF a // b\n/* c\nd */ e (* f *) g",
        expect![[r#"
        1:1 IF
        1:4 name a
        3:6 name e
        3:16 name g
        t.orca:1:6: error[E0107]: a comment starts with `#`, not with `//`
        t.orca:2:1: error[E0107]: a comment starts with `#`; there are no `/* */` comments
        t.orca:3:8: error[E0107]: a comment starts with `#`; there are no `(* *)` comments
    "#]],
    );
}

#[test]
fn comments_and_blank_lines_are_kept_aside() {
    check(
        "# one\n\n\nIF # two\n\n  # three\nEND\n",
        expect![[r##"
        1:1 comment "# one"
        2:1 blank 2
        4:1 IF
        4:4 comment "# two"
        5:1 blank 1
        6:3 comment "# three"
        7:1 END
    "##]],
    );
}

#[test]
fn words_of_the_extension_are_names_elsewhere() {
    check_tokens(
        Options::default(),
        "IF WITH := ACCESS; PARALLEL OPERATION ; ACCESS[1]; ACCESS[1] := 2; : GATHER A; : GATHER;",
        "IF name WITH := name ACCESS ; PARALLEL OPERATION ; ACCESS [ integer 1 ] ; name ACCESS [ \
         integer 1 ] := integer 2 ; : GATHER name A ; : name GATHER ;",
    );
}

#[test]
fn conditionals_choose_lines_and_keep_line_numbers() {
    let options = Options {
        defines: vec!["A".to_owned()],
        ..Options::default()
    };
    let text = "IF\n.ifdef A\n  a\n. ifdef B # nested\n  b\n.else\n  c\n.endif\n.else\n.nonsense\n  \"\n.endif\n.undef A\n.ifndef A\n  d\n.endif\nEND\n";
    let all = lexed(options, MemoryFiles::new(), text);
    let tokens: Vec<&str> = all
        .lines()
        .filter(|l| !l.contains("directive") && !l.contains("skipped"))
        .collect();
    assert_eq!(
        tokens,
        [
            "1:1 IF",
            "3:3 name a",
            "7:3 name c",
            "15:3 name d",
            "17:1 END"
        ]
    );
}

#[test]
fn unbalanced_conditionals_are_told() {
    check(
        ".endif\n.else\n.ifdef\n.ifdef A b\n.else\n.else\nIF\n.foo\n.define\n.endif\n",
        expect![[r#"
        1:1 directive ".endif"
        2:1 directive ".else"
        3:1 directive ".ifdef"
        4:1 directive ".ifdef A b"
        5:1 directive ".else"
        6:1 directive ".else"
        7:1 skipped "IF"
        8:1 directive ".foo"
        9:1 directive ".define"
        10:1 directive ".endif"
        t.orca:1:1: error[E0109]: `.endif` without `.ifdef` or `.ifndef`
        t.orca:2:1: error[E0109]: `.else` without `.ifdef` or `.ifndef`
        t.orca:3:1: error[E0109]: this conditional has no `.endif`
        t.orca:3:1: error[E0110]: expected the name of a symbol on this line
        t.orca:6:1: error[E0109]: a second `.else` in one conditional
    "#]],
    );
}

#[test]
fn an_included_file_shares_its_symbols_and_nothing_else() {
    let files = MemoryFiles::new()
        .with("defs", "# shared\n.define A\n")
        .with("lib/text", "  .no directive\n.define B\n")
        .with("loop", ".include \"loop\"\n");
    let text = ".include \"defs\"\n.include \"text\"\n.include \"none\"\n.include \"loop\"\n.ifdef A\nIF\n.endif\n.ifdef B\nFI\n.endif\n";
    let options = Options {
        import_dirs: vec!["lib".into()],
        ..Options::default()
    };
    let all = lexed(options, files, text);
    let rest: Vec<&str> = all
        .lines()
        .filter(|l| !l.contains("directive") || l.contains("error"))
        .collect();
    expect![[r#"
        6:1 IF
        9:1 FI
        t.orca:3:1: error[E0112]: cannot find the file `none` to include
        lib/text:1:1: error[E0113]: an included file may only contain preprocessor lines and comments
        loop:1:1: error[E0112]: `loop` includes itself"#]].assert_eq(&rest.join("\n"));
}

#[test]
fn command_line_symbols_can_be_undefined() {
    let options = Options {
        defines: vec!["A".to_owned(), "B".to_owned()],
        undefines: vec!["A".to_owned()],
        ..Options::default()
    };
    let all = lexed(
        options,
        MemoryFiles::new(),
        ".ifdef A\nIF\n.endif\n.ifdef B\nFI\n.endif\n",
    );
    assert!(all.contains("5:1 FI") && !all.contains("2:1 IF"), "{all}");
}

#[test]
fn a_byte_order_mark_means_nothing() {
    check_tokens(Options::default(), "\u{feff}MODULE a", "MODULE name a");
}
