//! Makes the parser's tables from `src/parser/orca.lalrpop`.

fn main() {
    println!("cargo:rerun-if-changed=src/parser/orca.lalrpop");
    lalrpop::Configuration::new()
        .use_cargo_dir_conventions()
        .process()
        .expect("the grammar is LALR(1)");
}
