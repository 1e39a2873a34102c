//! Random texts and random edits of good programs: the lexer and the parser never panic, and always come back.
//!
//! `ORCA_FUZZ_COUNT` sets the number of texts, `ORCA_FUZZ_SEED` the first seed; a failure names the seed that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::tests::processor_time;
use crate::ast::print::print;
use crate::diagnostics::render::{Style, render};
use crate::session::{MessageFormat, Options, Session};
use crate::source::MemoryFiles;

/// Texts in the test run.
const COUNT: u64 = 2_000;
/// The processor time that one small text may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// xorshift64*: good enough to be nasty, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }
}

const GOOD: &[&str] = &[
    "MODULE IMPLEMENTATION t1;
  TYPE v = ARRAY[integer 1..3, colour] OF RECORD a, b: integer; END;
  FUNCTION f(a: IN integer; b: SHARED v; c: OUT v[1..n][2..m](tag)): integer;
    CONST k = 0FFH; x: integer;
  BEGIN
    IF (a > 0) AND NOT b.c[1, 2]!d.e THEN x := -a * 2; ELSIF c THEN x +:= 1; ELSE RETURN 1; FI;
    CASE x OF 1, 2..3 => y := 'c'; | 4 => z := \"s\\\"\"; ELSE q(); ESAC;
    FOR i IN 1..10 DO o$op(i); OD; FOR e IN s DO EXIT; OD;
    REPEAT x := FROM(s); UNTIL x IN t; DO FORK p(1) ON(2); OD;
    a := T:{1, 2}; b := M.T:[[1], [2.5E3]]; WHILE a DO ; OD;
  END;
END;
",
    "object specification acc;
  operation add(v: integer);
  operation await(n: integer): integer;
end;
object implementation acc; # a comment
  sum, cnt: integer;
.ifdef DEBUG
  log: string;
.else
  nolog: integer;
.endif
  operation add(v: integer); begin sum +:= v; cnt +:= 1; end;
  operation await(n: integer): integer;
  begin guard cnt = n do return sum; od; guard cnt < 0 do return 0; od; end;
begin sum := 0; end;
process OrcaMain(); a: acc; begin fork w(a, 3) on(1); WriteLine(a$await(10)); end;
",
    "GENERIC (TYPE T; SCALAR TYPE S; FUNCTION f(a: T): T; CONST c: integer)
OBJECT SPECIFICATION g[integer, integer];
  TYPE n; FUNCTION h(x: T); OPERATION op(): T;
END GENERIC;
GENERIC OBJECT IMPLEMENTATION g[integer a..b, integer c..d];
  FROM M IMPORT x, y; OBJECT q = NEW bin(integer, 3);
  TYPE u = UNION (k: kind (red)) red => r: real; blue => b: SET OF T; END;
  TYPE gr = GRAPH first: n; NODES next: NODENAME OF gr; END;
  PARALLEL OPERATION[i, j] p(y: OUT GATHER A): REDUCE T WITH f;
  DEPENDENCIES ACCESS[i + 1, j]; END;
  BEGIN v[i, j] := 1.0; g$$partition(1, 2); END;
END;
",
];

const WORDS: &[&str] = &[
    "IF",
    "THEN",
    "FI",
    "OD",
    "DO",
    "END",
    "BEGIN",
    "MODULE",
    "OBJECT",
    "GENERIC",
    "FUNCTION",
    "PROCESS",
    "OPERATION",
    "GUARD",
    "CASE",
    "OF",
    "ESAC",
    "RECORD",
    "ARRAY",
    "IMPORT",
    "FROM",
    ";",
    ":=",
    "=",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "..",
    "=>",
    "|",
    "$",
    "$$",
    "!",
    ".",
    ",",
    "1",
    "1.",
    "'",
    "\"",
    "x",
    "-",
    "NOT",
    "\n.ifdef A\n",
    "\n.else\n",
    "\n.endif\n",
    "#",
    "\n",
    "é",
    "\u{1a}",
    "while",
    "end",
    "TYPE",
    "CONST",
    "UNION",
    "DATA",
    "SPECIFICATION",
    "IMPLEMENTATION",
    "NEW",
    "ELSE",
    "UNTIL",
];

fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut text = GOOD[rng.below(GOOD.len())].as_bytes().to_vec();
    for _ in 0..1 + rng.below(6) {
        let at = rng.below(text.len() + 1);
        let len = rng.below(30).min(text.len() - at);
        match rng.below(5) {
            0 => drop(text.drain(at..at + len)),
            1 => {
                let piece = text[at..at + len].to_vec();
                let to = rng.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            2 if at < text.len() => text[at] = rng.next() as u8,
            _ => {
                let word = format!(" {} ", WORDS[rng.below(WORDS.len())]);
                text.splice(at..at, word.into_bytes());
            }
        }
    }
    text
}

fn text(rng: &mut Rng) -> Vec<u8> {
    match rng.below(10) {
        0 => (0..rng.below(300)).map(|_| rng.next() as u8).collect(),
        1 => (0..rng.below(300))
            .map(|_| b' ' + rng.below(95) as u8)
            .collect(),
        2 => {
            let words = (0..rng.below(150)).map(|_| WORDS[rng.below(WORDS.len())]);
            words.collect::<Vec<_>>().join(" ").into_bytes()
        }
        _ => mutated(rng),
    }
}

/// Everything a user can ask for of a text that does not need to mean anything.
fn run(text: Vec<u8>) {
    let files = MemoryFiles::new().with("t.orca", text);
    let mut session = Session::new(Options::default(), Box::new(files));
    let file = session
        .load(Path::new("t.orca"))
        .expect("the file is in memory");
    let tree = super::parse_file(&mut session, file);
    print(&session, &tree);
    for format in [
        MessageFormat::Human,
        MessageFormat::Short,
        MessageFormat::Json,
    ] {
        render(
            &session,
            &Style {
                format,
                ..Style::default()
            },
        );
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_texts_are_parsed_without_panic_in_bounded_time() {
    let first = setting("ORCA_FUZZ_SEED").unwrap_or(0);
    let count = setting("ORCA_FUZZ_COUNT").unwrap_or(COUNT);
    for seed in first..first + count {
        let text = text(&mut Rng::new(seed));
        let shown = String::from_utf8_lossy(&text).into_owned();
        let start = processor_time();
        let result = catch_unwind(AssertUnwindSafe(|| run(text)));
        let taken = processor_time() - start;
        let replay = format!("ORCA_FUZZ_SEED={seed} ORCA_FUZZ_COUNT=1");
        assert!(result.is_ok(), "panic on the text of {replay}:\n{shown}");
        assert!(taken < PATIENCE, "{taken:?} on {replay}:\n{shown}");
    }
}

/// The number of errors in a text.
fn errors(text: &str) -> usize {
    let files = MemoryFiles::new().with("t.orca", text);
    let mut session = Session::new(Options::default(), Box::new(files));
    let file = session
        .load(Path::new("t.orca"))
        .expect("the file is in memory");
    super::parse_file(&mut session, file);
    session.diagnostics.error_count()
}

/// The places of the tokens of a text.
fn token_places(text: &str) -> Vec<(usize, usize)> {
    let files = MemoryFiles::new().with("t.orca", text);
    let mut session = Session::new(Options::default(), Box::new(files));
    let file = session
        .load(Path::new("t.orca"))
        .expect("the file is in memory");
    let lexed = crate::lexer::lex(&mut session, file);
    lexed
        .tokens
        .iter()
        .map(|token| (token.start as usize, token.end as usize))
        .collect()
}

#[test]
fn one_token_too_few_or_too_many_is_mostly_one_message() {
    let (mut texts, mut messages, mut worst) = (0, 0, 0);
    for good in GOOD {
        assert_eq!(errors(good), 0);
        for (start, end) in token_places(good) {
            let deleted = format!("{}{}", &good[..start], &good[end..]);
            let doubled = format!("{} {}", &good[..end], &good[start..]);
            for text in [deleted, doubled] {
                let count = errors(&text);
                texts += 1;
                messages += count;
                worst = worst.max(count);
            }
        }
    }
    let mean = messages as f64 / texts as f64;
    assert!(mean < 1.35, "{messages} messages for {texts} mistakes");
    assert!(worst <= 12, "{worst} messages for one mistake");
    println!("{messages} messages for {texts} mistakes, at most {worst} for one");
}
