//! Which of the numbered protocol scenarios have a test: each is cited by number in a script or a test, as `[scenario 42]` or
//! `Scenario 42`, or stands below among those not done yet. A list that claims too little fails as one that claims too much.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many scenarios there are.
const LAST: u32 = 131;

/// Nothing stands behind these yet: the services.
const NOT_DONE: &[std::ops::RangeInclusive<u32>] = &[114..=131];

fn texts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            texts(&path, found);
        } else if name.ends_with(".rs") || name.ends_with(".txt") {
            let text = fs::read_to_string(&path).expect("a readable text");
            found.push((path, text));
        }
    }
}

/// The numbers behind every mention of the word, as in `Scenarios 26 and 27`.
fn cited(text: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    for (at, word) in text.match_indices("cenario") {
        let rest = text[at + word.len()..].trim_start_matches('s');
        let end = rest.find(|c: char| !c.is_ascii_digit() && !" ,and\n".contains(c));
        let list = &rest[..end.unwrap_or(rest.len())];
        numbers.extend(
            list.split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse::<u32>().ok()),
        );
    }
    numbers
}

#[test]
fn every_scenario_is_cited_or_known_as_not_done() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a member of the workspace");
    let mut found = Vec::new();
    for member in ["flip-net", "rpc", "group", "stack", "gax"] {
        texts(&root.join(member), &mut found);
    }
    let cited: BTreeSet<u32> = found.iter().flat_map(|(_, text)| cited(text)).collect();
    let not_done: BTreeSet<u32> = NOT_DONE.iter().cloned().flatten().collect();
    let missing: Vec<u32> = (1..=LAST)
        .filter(|n| !cited.contains(n) && !not_done.contains(n))
        .collect();
    assert!(
        missing.is_empty(),
        "no test cites the scenarios {missing:?}"
    );
    let done: Vec<u32> = not_done.intersection(&cited).copied().collect();
    assert!(done.is_empty(), "listed as not done, but cited: {done:?}");
    let beyond: Vec<u32> = cited
        .into_iter()
        .filter(|n| !(1..=LAST).contains(n))
        .collect();
    assert!(beyond.is_empty(), "no such scenarios: {beyond:?}");
}
