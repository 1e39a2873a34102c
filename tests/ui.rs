//! What the compiler tells its user: each file of `ui/FOLDER` is checked, and the messages compared with the `.stderr` beside it.
//!
//! The files of `lex` and `parse` are only parsed; those of the other folders go through the whole front end. The first line may
//! give options: `#~ -D NAME -U NAME -I DIR --keywords=both`. A comment `#~ E0201` says that its line has this diagnostic,
//! `#~^ E0201` that the line before has it; `#~` notes and messages must agree, so that a `.stderr` cannot be rewritten
//! without looking. Files whose names start with `_` are imported or included by others.
//!
//! `UPDATE_EXPECT=1 cargo test -p tests --test ui` rewrites the `.stderr` files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use orcac::diagnostics::render::{Style, render};
use orcac::session::{Keywords, MessageFormat, Options, Session};
use orcac::source::DiskFiles;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

/// The cases of a folder: sources, in order of name.
fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("_");
            let ext = path.extension().and_then(|ext| ext.to_str());
            !name.starts_with('_') && matches!(ext, Some("orca" | "spf" | "imp"))
        })
        .collect();
    paths.sort();
    paths
}

/// The options in the first line of a case.
fn options(path: &Path, text: &str) -> Options {
    let mut options = Options::default();
    let first = text.lines().next().unwrap_or("");
    let Some(list) = first.strip_prefix("#~ -") else {
        return options;
    };
    let list = format!("-{list}");
    let mut words = list.split_whitespace();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .unwrap_or_else(|| panic!("{path:?}: {word} lacks a value"))
        };
        match word {
            "-D" => options.defines.push(value().to_owned()),
            "-U" => options.undefines.push(value().to_owned()),
            "-I" => {
                let folder = path.parent().expect("a case lies in a folder");
                options.import_dirs.push(folder.join(value()));
            }
            "--keywords=upper" => options.keywords = Keywords::Upper,
            "--keywords=lower" => options.keywords = Keywords::Lower,
            "--keywords=both" => options.keywords = Keywords::Both,
            other => panic!("{path:?}: unknown option {other}"),
        }
    }
    options
}

/// The `#~` notes: lines and codes.
fn notes(text: &str) -> BTreeSet<(u32, String)> {
    let mut notes = BTreeSet::new();
    for (line, content) in (1..).zip(text.lines()) {
        let Some((_, note)) = content.split_once("#~") else {
            continue;
        };
        let before = note.bytes().take_while(|&b| b == b'^').count();
        let codes = note[before..].split_whitespace();
        let is_code = |word: &&str| word.len() == 5 && word.starts_with(['E', 'W']);
        notes.extend(
            codes
                .filter(is_code)
                .map(|code| (line - before as u32, code.to_owned())),
        );
    }
    notes
}

/// One case; what is wrong with it, if anything.
fn run(path: &Path, front_end: fn(&mut Session, &Path)) -> Result<(), String> {
    let text =
        String::from_utf8_lossy(&std::fs::read(path).expect("the case can be read")).into_owned();
    let mut session = Session::new(options(path, &text), Box::new(DiskFiles));
    front_end(&mut session, path);
    let found: BTreeSet<(u32, String)> = session
        .diagnostics
        .iter()
        .filter(|d| session.sources.get(d.span.file).path == path)
        .map(|d| (session.sources.line(d.span), d.code.to_string()))
        .collect();
    let noted = notes(&text);
    let shown = path
        .strip_prefix(root())
        .expect("a case lies under ui")
        .display();
    let mut faults = String::new();
    for (line, code) in noted.difference(&found) {
        faults += &format!("{shown}:{line}: noted but not reported: {code}\n");
    }
    for (line, code) in found.difference(&noted) {
        faults += &format!("{shown}:{line}: reported but not noted: {code}\n");
    }
    let style = Style {
        format: MessageFormat::Human,
        colour: false,
        base: Some(root()),
    };
    let actual = render(&session, &style);
    let stderr = path.with_extension("stderr");
    let expected = std::fs::read_to_string(&stderr).unwrap_or_default();
    if actual != expected {
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&stderr, &actual).expect("the .stderr file can be written");
        } else {
            faults +=
                &format!("{shown}: messages differ\n--- expected\n{expected}--- found\n{actual}");
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn check_folder(folder: &str, front_end: fn(&mut Session, &Path)) {
    let cases = cases(folder);
    assert!(!cases.is_empty(), "ui/{folder} has cases");
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|path| run(path, front_end).err())
        .collect();
    assert!(
        faults.is_empty(),
        "{} of {} fail\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
}

fn parse(session: &mut Session, path: &Path) {
    let file = session.load(path).expect("the case can be read");
    orcac::parser::parse_file(session, file);
}

#[test]
fn tokens() {
    check_folder("lex", parse);
}

#[test]
fn syntax() {
    check_folder("parse", parse);
}

fn check_whole(session: &mut Session, path: &Path) {
    orcac::typecheck::check_files(session, &[path.to_owned()]);
}

#[test]
fn names_and_units() {
    check_folder("resolve", check_whole);
}

#[test]
fn types() {
    check_folder("type", check_whole);
}

#[test]
fn generic_units() {
    check_folder("generic", check_whole);
}

#[test]
fn objects_and_parameters() {
    check_folder("object", check_whole);
}

#[test]
fn guards_and_operations() {
    check_folder("guard", check_whole);
}

#[test]
fn forks() {
    check_folder("fork", check_whole);
}

#[test]
fn every_stderr_has_its_source() {
    let folders = std::fs::read_dir(root()).expect("the cases are there");
    for folder in folders.map(|entry| entry.expect("the folder can be read").path()) {
        for entry in std::fs::read_dir(&folder).expect("a folder of cases") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_some_and(|ext| ext == "stderr") {
                let source = ["orca", "spf", "imp"]
                    .iter()
                    .any(|ext| path.with_extension(ext).exists());
                assert!(source, "{path:?} belongs to no source");
            }
        }
    }
}

/// The sources below a folder, in order.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let ext = path.extension().and_then(|ext| ext.to_str());
        if path.is_dir() {
            sources(&path, found);
        } else if matches!(ext, Some("orca" | "spf" | "imp")) {
            found.push(path);
        }
    }
}

#[test]
fn shipped_sources_parse_without_a_message() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in ["stdlib", "programs"] {
        sources(&home.join(folder), &mut found);
    }
    for path in found {
        let mut session = Session::new(Options::default(), Box::new(DiskFiles));
        parse(&mut session, &path);
        let shown = render(&session, &Style::default());
        assert_eq!(shown, "", "{path:?}");
    }
}
