//! The files under `tests/mir`: programs in the text form of the mid-level representation.
//!
//! Every file is parsed, verified, printed and parsed again. Comments that begin with `run:` call a function, optimised and compiled at each level:
//!
//! ```text
//! ; run: f1(3, -4) = -1
//! ; run: f2(0) traps divide_by_zero @0
//! ; run: f3(1.5) = 2.5
//! ```
//!
//! Every file with `run:` lines also becomes an object file, whose code must be in its own section.

use std::fs;
use std::path::{Path, PathBuf};

use orcac::codegen::jit::{Jit, Outcome};
use orcac::codegen::{Options, aot, jit};
use orcac::mir::text::{parse, print};
use orcac::mir::verify::verify;
use orcac::mir::{FunctionId, Program, Site, Ty};

#[test]
fn every_file_under_mir_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mir");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no files under {}", root.display());
    let mut failures = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("the file can be read");
        let name = file
            .strip_prefix(&root)
            .unwrap_or(file)
            .display()
            .to_string();
        failures.extend(
            check_file(&text)
                .into_iter()
                .map(|failure| format!("{name}: {failure}")),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "mir") {
            files.push(path);
        }
    }
}

fn check_file(text: &str) -> Vec<String> {
    let program = match parse(text) {
        Ok(program) => program,
        Err(error) => return vec![error.to_string()],
    };
    let printed = print(&program);
    let again = parse(&printed).map(|program| print(&program));
    if again.as_ref() != Ok(&printed) {
        return vec![format!("printed text is not read back: {again:?}")];
    }
    let violations = verify(&program);
    if !violations.is_empty() {
        return violations.iter().map(ToString::to_string).collect();
    }
    let runs: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("; run:"))
        .collect();
    if runs.is_empty() {
        return Vec::new();
    }
    let mut failures = Vec::new();
    for opt_level in [0, 1, 2] {
        let mut program = program.clone();
        orcac::opt::run(&mut program, opt_level);
        let options = Options {
            opt_level,
            debug_info: false,
        };
        let jit = jit::compile(&program, options).expect("the program is valid");
        for run in &runs {
            if let Err(message) = check_run(&program, &jit, run.trim()) {
                failures.push(format!("-O{opt_level}: {message}"));
            }
        }
    }
    let object = aot::compile(
        &program,
        Options {
            opt_level: 2,
            debug_info: false,
        },
    );
    let object = object.expect("the program is valid");
    if !section_names(&object).contains(&".orca_text".to_owned()) {
        failures.push("no section .orca_text in the object file".to_owned());
    }
    failures
}

fn section_names(file: &[u8]) -> Vec<String> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(file).expect("the object file is valid");
    file.sections()
        .filter_map(|section| section.name().ok().map(str::to_owned))
        .collect()
}

/// `f1(3, -4) = -1` or `f2(0) traps divide_by_zero @0`
fn check_run(program: &Program, jit: &Jit, run: &str) -> Result<(), String> {
    let wrong = || format!("`{run}` is no run line");
    let (name, rest) = run.split_once('(').ok_or_else(wrong)?;
    let (arguments, expected) = rest.split_once(')').ok_or_else(wrong)?;
    let index = name
        .strip_prefix('f')
        .and_then(|number| number.parse().ok())
        .ok_or_else(wrong)?;
    let function = program.functions.get(index as usize).ok_or_else(wrong)?;
    let arguments = arguments
        .split(',')
        .map(str::trim)
        .filter(|argument| !argument.is_empty());
    let parameters = function.blocks[0].parameters.iter();
    let words: Option<Vec<u64>> = arguments
        .zip(parameters)
        .map(|(text, parameter)| bits(text, function.values[parameter.index()]))
        .collect();
    let outcome = jit.evaluate(program, FunctionId(index), &words.ok_or_else(wrong)?);
    let expected = expected.trim();
    let is_right = if let Some(value) = expected.strip_prefix("= ") {
        let ty = function.result.ok_or_else(wrong)?;
        outcome == Outcome::Returned(bits(value, ty).ok_or_else(wrong)?)
    } else if let Some(trap) = expected.strip_prefix("traps ") {
        let (trap, site) = trap.split_once(" @").ok_or_else(wrong)?;
        let site = Site(site.parse().map_err(|_| wrong())?);
        let snake = |name: String| {
            let mut snake = String::new();
            for c in name.chars() {
                if c.is_ascii_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            snake
        };
        matches!(outcome, Outcome::Trapped(Some(found), at) if snake(format!("{found:?}")) == trap && at == site)
    } else if expected == "returns" {
        outcome == Outcome::Returned(0)
    } else {
        return Err(wrong());
    };
    if is_right {
        Ok(())
    } else {
        Err(format!("`{run}` gave {outcome:?}"))
    }
}

/// The bits of a value as text says it, zero-extended.
fn bits(text: &str, ty: Ty) -> Option<u64> {
    Some(match ty {
        Ty::F64 => text.parse::<f64>().ok()?.to_bits(),
        Ty::F32 => u64::from(text.parse::<f32>().ok()?.to_bits()),
        _ => {
            let value: i128 = text.parse().ok()?;
            (value as u64) & (u64::MAX >> (64 - ty.bits()))
        }
    })
}
