//! Claims about the parser.
use crate::diagnostics::render::*;
use crate::session::*;
use crate::source::*;
#[test]
fn scratch() {
    for path in std::env::var("ORCA_FILES")
        .unwrap_or_default()
        .split_whitespace()
    {
        let mut session = Session::new(Options::default(), Box::new(DiskFiles));
        let file = session.load(std::path::Path::new(path)).unwrap();
        let tree = super::parse_file(&mut session, file);
        println!("== {path}: {} units", tree.units.len());
        if std::env::var("TREE").is_ok() {
            println!("{tree:#?}");
        }
        let format = if std::env::var("HUMAN").is_ok() {
            MessageFormat::Human
        } else {
            MessageFormat::Short
        };
        print!(
            "{}",
            render(
                &session,
                &Style {
                    format,
                    colour: false,
                    base: None
                }
            )
        );
    }
}
