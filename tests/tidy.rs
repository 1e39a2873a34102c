//! The house rules that a machine can check: who may import whom, where `unsafe` may stand, which citations exist, what may not be left
//! behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may use whom among our own crates. Anything else is a new edge and deserves a commit of its own.
const ALLOWED_EDGES: &[(&str, &[&str])] = &[
    ("capability", &[]),
    ("flip-net", &[]),
    ("orca-abi", &[]),
    ("rpc", &["flip-net", "capability"]),
    ("group", &["flip-net", "capability"]),
    ("stack", &["flip-net", "rpc", "group", "capability"]),
    ("orca-rts", &["orca-abi", "stack"]),
    ("services", &["stack", "capability"]),
    // Only `src/run.rs`, behind the feature `run`, may name the run-time system.
    ("orcac", &["orca-abi", "orca-rts"]),
    ("gax", &["stack", "services", "orca-rts", "capability"]),
    ("sim", &["flip-net"]),
];

/// The only places where `unsafe` may stand: files, and folders that end in a slash.
const UNSAFE_PLACES: &[&str] = &[
    "orca-rts/abi/",
    "orca-rts/src/entry.rs",
    "orca-rts/src/heap.rs",
    "orca-rts/src/marshal.rs",
    "orca-rts/src/value/",
    "orca-rts/src/checkpoint/",
    "orca-rts/src/builtin/",
    "orca-rts/src/object/call.rs",
    "orca-rts/src/process/stack.rs",
    "orca-rts/src/process/switch.rs",
    "orca-rts/src/process/signal.rs",
    "orcac/src/codegen/jit.rs",
    "orcac/src/codegen/jit/",
    "orcac/src/run.rs",
    "flip-net/src/driver/",
    "stack/src/driver/wake.rs",
    // The monotonic clock, and children that die with the launcher.
    "gax/src/os.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member")
        .to_path_buf()
}

/// Every file that git would track, below the root, as relative paths.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, endings: &[&str], found: &mut Vec<(String, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .expect("a folder of the project")
            .flatten()
            .map(|e| e.path())
            .collect();
        entries.sort();
        for path in entries {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    walk(root, &path, endings, found);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(root).expect("below the root");
                let text = fs::read(&path).expect("a readable file");
                found.push((
                    relative.to_string_lossy().into_owned(),
                    String::from_utf8_lossy(&text).into_owned(),
                ));
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &root, endings, &mut found);
    assert!(!found.is_empty(), "no files with endings {endings:?}");
    found
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

#[test]
fn every_edge_between_crates_is_allowed() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED_EDGES.iter().copied().collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        if name == "tests" {
            continue;
        }
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let target = dependency["name"].as_str().expect("a name");
            let is_dev = dependency["kind"].as_str() == Some("dev");
            if !ours.contains(&target) || (is_dev && ["sim", "flip-net"].contains(&target)) {
                continue;
            }
            let targets = allowed
                .get(name)
                .unwrap_or_else(|| panic!("crate {name} is not in the table of allowed edges"));
            if !targets.contains(&target) {
                wrong.push(format!("{name} -> {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that are not allowed: {wrong:?}");
}

#[test]
fn only_one_file_of_the_compiler_names_the_run_time_system() {
    let wrong: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("orcac/src/") && path != "orcac/src/run.rs")
        .filter(|(_, text)| code_lines(text).any(|(_, line)| line.contains("orca_rts::")))
        .map(|(path, _)| path)
        .collect();
    assert!(
        wrong.is_empty(),
        "only orcac/src/run.rs may name orca_rts: {wrong:?}"
    );
}

/// Lines without comments, with their numbers from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let code = line.split("//").next().unwrap_or_default();
        (!code.trim().is_empty()).then_some((index + 1, code))
    })
}

/// Whether a line of code has the word `unsafe` as a keyword.
fn has_unsafe(code: &str) -> bool {
    [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe extern",
        "unsafe trait",
        "unsafe(",
    ]
    .iter()
    .any(|form| code.contains(form))
}

#[test]
fn unsafe_stands_only_in_its_places_and_each_block_says_why() {
    let mut wrong = Vec::new();
    for (path, text) in files(&[".rs"]) {
        if path == "tests/tidy.rs" || path.split('/').any(|part| part == "tests") {
            continue;
        }
        let allowed = UNSAFE_PLACES.iter().any(|place| {
            if place.ends_with('/') {
                path.starts_with(place)
            } else {
                path == *place
            }
        });
        let lines: Vec<&str> = text.lines().collect();
        for (number, code) in code_lines(&text) {
            if !has_unsafe(code) {
                continue;
            }
            if !allowed {
                wrong.push(format!("{path}:{number}: unsafe outside its places"));
            }
            if code.contains("unsafe {") {
                // The reason stands on the line or in the comment lines right above the statement.
                let above = lines[number.saturating_sub(9)..number].iter();
                if !above.clone().any(|line| line.contains("SAFETY:")) {
                    wrong.push(format!("{path}:{number}: unsafe block without its reason"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    let wrong: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "files without a head comment: {wrong:?}");
}

#[test]
fn every_citation_has_its_reference() {
    let references = fs::read_to_string(root().join("docs/references.md")).expect("the references");
    let mut wrong = Vec::new();
    for (path, text) in files(&[".rs", ".txt", ".md"]) {
        for (index, line) in text.lines().enumerate() {
            for cited in line.split('[').skip(1) {
                let Some((key, _)) = cited.split_once(" §") else {
                    continue;
                };
                if key.chars().all(|c| c.is_ascii_alphanumeric())
                    && !references.contains(&format!("`{key}`"))
                {
                    wrong.push(format!("{path}:{}: {key}", index + 1));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "citations without a reference:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn nothing_is_left_behind() {
    let forbidden = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        concat!("#[", "ignore"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let mut wrong = Vec::new();
    for (path, text) in files(&[".rs", ".lalrpop"]) {
        if path == "tests/tidy.rs" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{path}:{}: {word}", index + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_expected_error_text_has_its_program() {
    let folder = root().join("tests/ui");
    if !folder.exists() {
        return;
    }
    let mut wrong = Vec::new();
    for (path, _) in files(&[".stderr"]) {
        let stem = root().join(path.trim_end_matches(".stderr"));
        let has_source = ["orca", "spf", "imp"]
            .iter()
            .any(|ending| stem.with_extension(ending).exists())
            || stem.is_dir();
        if !has_source {
            wrong.push(path);
        }
    }
    assert!(
        wrong.is_empty(),
        "expected texts without a program: {wrong:?}"
    );
}

#[test]
fn no_planted_bug_is_in_a_default_build() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let defaults = &package["features"]["default"];
        let planted = defaults
            .as_array()
            .is_some_and(|features| features.iter().any(|feature| feature == "sabotage"));
        assert!(!planted, "{} plants bugs by default", package["name"]);
    }
    // A test may ask for them by `required-features`; nobody's dependency may.
    for (path, text) in files(&["Cargo.toml"]) {
        let asked = text.lines().any(|line| {
            line.contains("sabotage") && line.contains("features") && line.contains("path")
        });
        assert!(!asked, "{path} asks for planted bugs");
    }
}
