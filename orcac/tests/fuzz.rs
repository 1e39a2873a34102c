//! Damaged programs through the whole compiler: whatever is still a program must come out as machine code, whatever is not must be told,
//! and nothing may panic or take long.
//!
//! The material is the run tests of this project; the damage is a few edits of bytes or words, or no text at all but random bytes. 2,000 texts
//! in a test run; `ORCA_FUZZ_COUNT` sets another number and `ORCA_FUZZ_SEED` the first seed. A failure names the seed that repeats it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orcac::Input;
use orcac::session::{Options, Session};
use orcac::source::MemoryFiles;

const COUNT: u64 = 2_000;
/// The longest that one text may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The compiler's own binary runs on a large stack as well.
const STACK: usize = 256 << 20;

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// The programs of the run tests, in the order of their names.
fn programs() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/run");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the run tests")
        .flatten()
        .map(|entry| entry.path().join("main.orca"))
        .filter(|path| path.exists())
        .collect();
    paths.sort();
    assert!(paths.len() > 20, "the run tests are the material");
    paths
        .iter()
        .map(|path| fs::read(path).expect("a readable program"))
        .collect()
}

/// Where words, numbers and single other bytes begin.
fn starts(text: &[u8]) -> Vec<usize> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (0..text.len())
        .filter(|&at| at == 0 || !is_word(text[at]) || !is_word(text[at - 1]))
        .collect()
}

/// One word, number or byte of a text.
fn piece<'a>(rng: &mut Rng, text: &'a [u8]) -> &'a [u8] {
    let starts = starts(text);
    let which = rng.below(starts.len());
    let end = starts.get(which + 1).copied().unwrap_or(text.len());
    &text[starts[which]..end]
}

fn damaged(rng: &mut Rng, programs: &[Vec<u8>]) -> Vec<u8> {
    if rng.below(20) == 0 {
        return (0..rng.below(400)).map(|_| rng.below(256) as u8).collect();
    }
    let mut text = programs[rng.below(programs.len())].clone();
    for _ in 0..=rng.below(3) {
        let all = starts(&text);
        let which = rng.below(all.len());
        let start = all[which];
        let end = all.get(which + 1).copied().unwrap_or(text.len());
        match rng.below(5) {
            0 => drop(text.drain(start..end)),
            1 => {
                let own = text.clone();
                let word = piece(rng, &own).to_vec();
                text.splice(start..end, word);
            }
            2 => {
                let other = &programs[rng.below(programs.len())];
                let word = piece(rng, other).to_vec();
                text.splice(start..end, word);
            }
            3 => {
                let number = [
                    "0",
                    "-1",
                    "2147483647",
                    "9223372036854775807",
                    "1.5E300",
                    "0FFFFFFFFH",
                ];
                let number = number[rng.below(number.len())];
                text.splice(start..end, number.bytes());
            }
            _ => {
                let at = rng.below(text.len());
                text[at] = rng.below(256) as u8;
            }
        }
    }
    text
}

/// Compiles a text as far as it goes; tells whether that was all the way.
fn compile(text: &[u8], opt_level: u8) -> bool {
    let files = MemoryFiles::new().with("main.orca", text.to_vec());
    let options = Options {
        opt_level,
        ..Options::default()
    };
    let mut session = Session::new(options, Box::new(files));
    let input = Input {
        main: PathBuf::from("main.orca"),
        files: Vec::new(),
    };
    let Some(program) = orcac::compile(&mut session, &input, &mut |_| {}) else {
        assert!(session.has_errors(), "no program, and nothing said");
        return false;
    };
    orcac::codegen::aot::compile(&program, orcac::codegen_options(&session))
        .expect("a program without errors has code");
    true
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run() {
    let programs = programs();
    let first = setting("ORCA_FUZZ_SEED").unwrap_or(0);
    let count = setting("ORCA_FUZZ_COUNT").unwrap_or(COUNT);
    let mut compiled = 0;
    for seed in first..first + count {
        let mut rng = Rng::new(seed);
        let text = damaged(&mut rng, &programs);
        let opt_level = rng.below(3) as u8;
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| compile(&text, opt_level)));
        let replay =
            format!("ORCA_FUZZ_SEED={seed} ORCA_FUZZ_COUNT=1 cargo test -p orcac --test fuzz");
        match outcome {
            Ok(whole) => compiled += u64::from(whole),
            Err(_) => panic!("{replay} fails on:\n{}", String::from_utf8_lossy(&text)),
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{replay} takes {:?} on:\n{}",
            begun.elapsed(),
            String::from_utf8_lossy(&text)
        );
    }
    println!("{count} texts from seed {first} on, {compiled} of them programs");
    assert!(
        count < 500 || compiled > count / 50,
        "too few texts are programs: {compiled}"
    );
}

#[test]
fn damaged_programs_are_compiled_or_refused() {
    let thread = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .expect("a thread");
    if let Err(payload) = thread.join() {
        std::panic::resume_unwind(payload);
    }
}
