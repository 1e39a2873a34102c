//! Where a unit lives: the files that may hold unit `X`, in the order in which they are asked.
//!
//! Nothing is read here except whether files exist; the standard library is part of the compiler.
//!
//! Implements: ORCA.md 3.5, 3.6, CONTRACT.md source files.

use std::path::{Path, PathBuf};

use crate::source::Files;

include!(concat!(env!("OUT_DIR"), "/stdlib.rs"));

/// The folder in which messages show units of the standard library.
pub const LIBRARY_FOLDER: &str = "<stdlib>";

/// Old file systems kept this much of a unit's name.
const TRUNCATED: usize = 10;

/// The shortest prefix of a unit's name that a file may have.
const PREFIX_MIN: usize = 8;

/// The files of `folder` that may declare `unit`, best first.
pub fn candidates(files: &dyn Files, folder: &Path, unit: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = certain_names(unit)
        .into_iter()
        .map(|name| folder.join(name))
        .filter(|path| files.exists(path))
        .collect();
    for name in files.list(folder) {
        let path = folder.join(&name);
        if is_prefix_name(&name, unit) && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// The texts of the standard library that may declare `unit`, best first: file name and text.
pub fn library_candidates(unit: &str) -> Vec<(&'static str, &'static str)> {
    let exact = certain_names(unit);
    let mut found: Vec<(&'static str, &'static str)> = exact
        .iter()
        .filter_map(|name| STDLIB.iter().copied().find(|(file, _)| file == name))
        .collect();
    for &(file, text) in STDLIB {
        if is_prefix_name(file, unit) && !exact.iter().any(|name| name == file) {
            found.push((file, text));
        }
    }
    found
}

/// The text of a file of the standard library.
pub fn library_text(name: &str) -> Option<&'static str> {
    STDLIB
        .iter()
        .find(|(file, _)| *file == name)
        .map(|(_, text)| *text)
}

/// The base names of all specifications of the standard library.
pub fn library_names() -> impl Iterator<Item = &'static str> {
    STDLIB
        .iter()
        .filter_map(|(file, _)| file.strip_suffix(".spf"))
}

fn certain_names(unit: &str) -> Vec<String> {
    let mut names = vec![format!("{unit}.orca"), format!("{unit}.spf")];
    if unit.len() > TRUNCATED && unit.is_char_boundary(TRUNCATED) {
        names.push(format!("{}.spf", &unit[..TRUNCATED]));
    }
    names
}

fn is_prefix_name(file: &str, unit: &str) -> bool {
    file.strip_suffix(".spf").is_some_and(|base| {
        base.len() >= PREFIX_MIN && base.len() < unit.len() && unit.starts_with(base)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemoryFiles;

    #[test]
    fn a_unit_is_found_under_its_name_its_ten_letters_and_its_prefix() {
        let files = MemoryFiles::new()
            .with("lib/GenericJob.spf", "")
            .with("lib/GenericJobQ.spf", "")
            .with("lib/GenericJobQueue.spf", "")
            .with("lib/Generic.spf", "");
        let names: Vec<String> = candidates(&files, Path::new("lib"), "GenericJobQueue")
            .into_iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            names,
            [
                "lib/GenericJobQueue.spf",
                "lib/GenericJob.spf",
                "lib/GenericJobQ.spf"
            ]
        );
    }
}
