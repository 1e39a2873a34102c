//! Makes the parser's tables from `src/parser/orca.lalrpop`, and the table of the standard library's sources from
//! whatever stands in `stdlib/`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/parser/orca.lalrpop");
    lalrpop::Configuration::new()
        .use_cargo_dir_conventions()
        .process()
        .expect("the grammar is LALR(1)");
    embed_standard_library();
}

/// `STDLIB`: file name and text of every `.spf` and `.imp`, sorted.
fn embed_standard_library() {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let folder = Path::new(&root).join("../stdlib");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "spf" || extension == "imp")
        })
        .collect();
    files.sort();
    let mut table =
        String::from("/// File name and text of each source of the standard library.\n");
    table.push_str("pub const STDLIB: &[(&str, &str)] = &[\n");
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file
            .file_name()
            .expect("a listed file has a name")
            .to_string_lossy()
            .into_owned();
        let path = file.canonicalize().expect("a listed file exists");
        writeln!(
            table,
            "    ({name:?}, include_str!({:?})),",
            path.display().to_string()
        )
        .expect("writing to a string cannot fail");
    }
    table.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("stdlib.rs"), table).expect("OUT_DIR can be written");
}
