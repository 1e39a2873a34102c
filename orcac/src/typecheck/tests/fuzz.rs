//! Random edits of good programs, name by name and symbol by symbol: the checker never panics, and always comes back.
//!
//! `ORCA_FUZZ_COUNT` sets the number of texts, `ORCA_FUZZ_SEED` the first seed; a failure names the seed that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Texts in the test run.
const COUNT: u64 = 2_000;
/// The longest that one small text may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

const GOOD: &[&str] = &[
    r#"
GENERIC (TYPE T; CONST max: integer; FUNCTION less(a, b: T): boolean; NUMERIC TYPE N)
OBJECT SPECIFICATION heap;
  TYPE items = ARRAY[integer] OF T;
  FUNCTION drain(h: SHARED heap; n: OUT N);
  OPERATION put(x: T; n: N);
  OPERATION top(v: OUT T): boolean;
END GENERIC;
GENERIC OBJECT IMPLEMENTATION heap;
  data: items[1 .. max]; n: integer; sum: N; open: boolean;
  FUNCTION drain(h: SHARED heap; n: OUT N); BEGIN n := h$total(); END;
  OPERATION put(x: T; n: N);
  BEGIN
    n +:= n; data[1] := x; sum := sum * n;
    FOR i IN 1 .. max - 1 DO IF less(x, data[i]) THEN data[i] := x; EXIT; FI; OD;
  END;
  OPERATION top(v: OUT T): boolean;
  BEGIN
    GUARD n > 0 DO v := data[n]; n -:= 1; RETURN true; OD;
    GUARD NOT open DO RETURN false; OD;
  END;
  OPERATION total(): N; BEGIN RETURN sum; END;
BEGIN open := true; END GENERIC;
DATA MODULE SPECIFICATION d; TYPE t = ARRAY[integer 0 .. 3] OF real; limit: integer; table: t; END;
DATA MODULE IMPLEMENTATION d; BEGIN limit := 3; table := t:[1.0, 2.0, 3.0, 4.0]; END;
MODULE IMPLEMENTATION main;
  IMPORT d;
  FROM d IMPORT limit;
  TYPE colour = (red, green, blue);
  TYPE pair = RECORD a: integer; b: string; END;
  TYPE pairs = ARRAY[colour] OF pair;
  TYPE name = NODENAME OF list;
  TYPE list = GRAPH first: name; NODES next: name; v: pair; END;
  TYPE some = SET OF colour;
  FUNCTION before(a, b: pair): boolean; BEGIN RETURN a.a < b.a; END;
  OBJECT queue = NEW heap(pair, 10, before, real);
  CONST start = pair:{3, "three"};
  CONST half = start.a / 2;
  FUNCTION walk(g: SHARED list; n: name; s: OUT some): integer;
    k: integer;
  BEGIN
    WHILE n /= NIL DO k +:= g[n].v.a; n := g[n].next; OD;
    CASE k OF 1, 3 .. 5 => s := some:{red}; | 2 => INSERT(blue, s); ELSE k := -k; ESAC;
    RETURN k + g!first.v.a;
  END;
  PROCESS worker(q: SHARED queue; all: pairs; id: integer);
    p: pair; total: real;
  BEGIN
    REPEAT q$put(all[green], FLOAT(id) * 0.5); UNTIL ODD(id);
    WHILE q$top(p) DO WriteLine(p.a, " ", p.b, SIZE(p.b), UB(p.b)); OD;
    queue.drain(q, total); ASSERT(total >= 0.0);
  END;
  PROCESS OrcaMain();
    q: queue; g: list; s: some; all: pairs[red .. blue]; l: longint; i: integer;
  BEGIN
    g.first := ADDNODE(g); g!first.v := start; DELETENODE(g, g.first);
    i := walk(g, g.first, s); l := 1 << i; l %:= 7; s +:= some:{MAX(colour), VAL(colour, 1)};
    FOR c IN s DO all[c] := pair:{ORD(c), "x"}; OD;
    FOR k IN 1 .. NCPUS() - 1 DO FORK worker(q, all, k + half) ON(k % NCPUS()); OD;
    Strategy(q, 1, 0); Read(i, all[red].b);
    IF (i > limit) AND (FROM(s) IN s) OR (d.table[i] = 0.5) THEN i := ORD(FROM(s)); FI;
  END;
END;
"#,
    r#"
object specification cell;
  type vec = array[integer] of integer;
  operation get(i: integer): integer;
  operation put(v: vec);
end;
object implementation cell;
  x: vec[1 .. 3];
  operation get(i: integer): integer; begin guard x[i] > 0 do return x[i]; od; end;
  operation put(v: vec); y: cell; begin x := v; y.x := x; if y.x = x then self$bump(v[1]); fi; end;
  operation bump(n: integer); begin x[1] +:= n; end;
begin x := vec:[1, 2, 3]; end;
process add(c: shared cell; n: integer; v: cell.vec);
begin c$put(v); writeln(n); end;
process OrcaMain();
  c: cell; d: array[integer 1 .. 2] of cell;
begin fork add(c, 5, cell.vec:[abs(-1), ord('c'), trunc(2.5)]) on(1); d[1] := c; WriteLine(d[2]$get(1)); end;
"#,
];

/// Words, numbers, strings and symbols, with the blanks between them.
fn pieces(text: &str) -> Vec<String> {
    let kind = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '_' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut pieces: Vec<String> = Vec::new();
    let mut last = None;
    for c in text.chars() {
        let now = kind(c);
        match pieces.last_mut() {
            Some(piece) if last == Some(now) && now != 2 => piece.push(c),
            _ => pieces.push(c.to_string()),
        }
        last = Some(now);
    }
    pieces
}

fn edited(rng: &mut Rng) -> String {
    let mut text = pieces(GOOD[rng.below(GOOD.len())]);
    let pool = pieces(GOOD[rng.below(GOOD.len())]);
    for _ in 0..=rng.below(6) {
        let at = rng.below(text.len());
        match rng.below(5) {
            0 => {
                text.remove(at);
            }
            1 => {
                let piece = text[at].clone();
                text.insert(at, piece);
            }
            2 => {
                let other = rng.below(text.len());
                text.swap(at, other);
            }
            3 => {
                let from = rng.below(pool.len());
                let length = rng.below(12).min(pool.len() - from);
                text.splice(at..at, pool[from..from + length].iter().cloned());
            }
            _ => text[at] = pool[rng.below(pool.len())].clone(),
        }
        if text.is_empty() {
            text.push(" ".to_owned());
        }
    }
    text.concat()
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_edits_of_good_programs_never_stop_the_checker() {
    let count = variable("ORCA_FUZZ_COUNT").unwrap_or(COUNT);
    let first = variable("ORCA_FUZZ_SEED").unwrap_or(0);
    for seed in first..first + count {
        let text = edited(&mut Rng::new(seed));
        let start = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| {
            super::outcome(&[("main.orca", &text)], &[])
        }));
        assert!(
            done.is_ok(),
            "ORCA_FUZZ_SEED={seed} ORCA_FUZZ_COUNT=1 panics on:\n{text}"
        );
        assert!(
            start.elapsed() < PATIENCE,
            "ORCA_FUZZ_SEED={seed} takes too long on:\n{text}"
        );
    }
}

#[test]
fn the_programs_that_are_edited_are_good_or_nearly() {
    let first = super::outcome(&[("main.orca", GOOD[0])], &[]);
    let errors: Vec<&str> = first
        .lines()
        .filter(|line| line.contains("error["))
        .collect();
    assert_eq!(errors, Vec::<&str>::new());
}

#[test]
fn deep_and_doubling_programs_are_bounded() {
    let deep = format!(
        "PROCESS OrcaMain(); i: integer; BEGIN i := {}1{}; END;",
        "(".repeat(200),
        ")".repeat(200)
    );
    super::outcome(&[("main.orca", &deep)], &[]);
    let mut doubling = String::from("TYPE r0 = RECORD a: integer; END; CONST c0 = r0:{1};\n");
    for i in 1..60 {
        doubling.push_str(&format!(
            "TYPE r{i} = RECORD a, b: r{0}; END; CONST c{i} = r{i}:{{c{0}, c{0}}};\n",
            i - 1
        ));
    }
    doubling.push_str("PROCESS OrcaMain(); BEGIN WriteLine(c10.a.b.a.b.a.b.a.b.a.b.a); END;");
    super::outcome(&[("main.orca", &doubling)], &[]);
    let mut graphs =
        String::from("TYPE n0 = NODENAME OF g0; TYPE g0 = GRAPH f: n0; NODES v: integer; END;\n");
    for i in 1..60 {
        graphs.push_str(&format!(
            "TYPE n{i} = NODENAME OF g{i}; TYPE g{i} = GRAPH f: n{i}; NODES h: g{}; END;\n",
            i - 1
        ));
    }
    let chain = "!f.h".repeat(59);
    graphs.push_str(&format!(
        "PROCESS OrcaMain(); g: g59; BEGIN g{chain}!f.v := 1; END;"
    ));
    super::outcome(&[("main.orca", &graphs)], &[]);
}
