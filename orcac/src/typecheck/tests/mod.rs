//! Claims about the language, one file a feature: a program, and what the compiler makes of it or says about it.

mod aggregates;
mod arrays;
mod basics;
mod constants;
mod conversions;
mod data_modules;
mod forks;
mod fuzz;
mod generics;
mod guards;
mod imports;
mod names;
mod objects;
mod parameters;
mod standard;
mod statements;
mod types;

use std::path::{Path, PathBuf};

use expect_test::Expect;

use crate::diagnostics::render::{Style, render};
use crate::hir::print;
use crate::session::{MessageFormat, Options, Session};
use crate::source::MemoryFiles;

/// Checks `main.orca` with this text.
fn check(text: &str, expected: &Expect) {
    check_files(&[("main.orca", text)], expected);
}

/// Checks files of which the first holds OrcaMain: the messages, and the program if there is one.
fn check_files(files: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&outcome(files, &[]));
}

/// The same with units in folders of `-I`.
fn outcome(files: &[(&str, &str)], import_dirs: &[&str]) -> String {
    let mut memory = MemoryFiles::new();
    for (path, text) in files {
        memory.insert(*path, *text);
    }
    let options = Options {
        import_dirs: import_dirs.iter().map(PathBuf::from).collect(),
        ..Options::default()
    };
    let mut session = Session::new(options, Box::new(memory));
    let program = super::check_program(&mut session, Path::new(files[0].0), &[]);
    let style = Style {
        format: MessageFormat::Short,
        ..Style::default()
    };
    let mut shown = render(&session, &style);
    assert_eq!(
        program.is_none(),
        session.has_errors(),
        "a program exactly if there are no errors:\n{shown}"
    );
    if let Some(program) = program {
        shown.push_str(&print::print(&program));
    }
    shown
}

/// A module around the body of OrcaMain.
fn check_body(declarations: &str, body: &str, expected: &Expect) {
    let text = format!(
        "MODULE IMPLEMENTATION main;\nPROCESS OrcaMain();\n{declarations}\nBEGIN\n{body}\nEND;\nEND;\n"
    );
    check(&text, expected);
}
