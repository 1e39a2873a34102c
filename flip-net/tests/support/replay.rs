//! Replays the corpus of a fuzz target in a test, and seeded mutations of it. Whoever includes this
//! brings the generator along.

use std::fs;
use std::path::{Path, PathBuf};

use super::Rng;

/// An input longer than this was never tried by the fuzzers either.
const INPUT_LEN_MAX: usize = 2_048;

/// The inputs of a target, in the order of their names.
pub(crate) fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../flip-net/fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// An input that is being tried. If that ends in a panic it is kept, and told how to repeat it.
struct Trial<'a> {
    target: &'a str,
    input: &'a [u8],
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.input", self.target));
            let kept = fs::write(&path, self.input);
            let (target, path) = (self.target, path.display());
            eprintln!("the input is in {path} ({kept:?}); again:");
            eprintln!("cd flip-net && cargo +nightly fuzz run --sanitizer none {target} {path}");
        }
    }
}

/// Tries all of them, and so many mutations.
pub(crate) fn check(target: &str, mutations: usize, run: fn(&[u8])) {
    let corpus = corpus(target);
    for (_, input) in &corpus {
        let _trial = Trial { target, input };
        run(input);
    }
    let mut rng = Rng::new(mutations as u64);
    for _ in 0..mutations {
        let input = mutant(&mut rng, &corpus);
        let _trial = Trial {
            target,
            input: &input,
        };
        run(&input);
    }
}

/// One input, changed in a few places, some of them by a part of another.
fn mutant(rng: &mut Rng, corpus: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let pick = |rng: &mut Rng| &corpus[rng.below(corpus.len() as u64) as usize].1;
    let mut bytes = pick(rng).clone();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        let end = (at + rng.below(40) as usize).min(bytes.len());
        match rng.below(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.next_u64() as u8,
            2 => drop(bytes.drain(at..end)),
            _ => {
                let other = pick(rng);
                let from = rng.below(other.len() as u64 + 1) as usize;
                let to = (from + rng.below(80) as usize).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes.truncate(INPUT_LEN_MAX);
    bytes
}
