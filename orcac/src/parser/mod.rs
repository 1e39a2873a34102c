//! Tokens to tree.
//!
//! Expects: a loaded file. Guarantees: always a tree, of bounded depth, in time linear in the text; where text did
//! not parse, the tree has an `Error` node. Reports: each syntax error once, with what was found, what was expected, and
//! for the classic mistakes what to write instead.
//!
//! `pieces` cuts the file before every unit and routine, `orca.lalrpop` parses a piece, `repair` mends a piece that does
//! not parse and tries again, `message` says what was wrong, `assemble` puts the pieces together.
//!
//! Implements: ORCA.md section 2, and the file forms of 3.6.

mod pieces;

pub mod build;

mod around;
mod edits;
mod message;
mod repair;

mod assemble;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use crate::ast;
use crate::lexer;
use crate::session::Session;
use crate::source::FileId;

lalrpop_util::lalrpop_mod!(
    #[allow(
        clippy::all,
        unused,
        missing_docs,
        unreachable_pub,
        reason = "made by lalrpop"
    )]
    orca,
    "/parser/orca.rs"
);

/// How deep a tree may be: statements, brackets and operators inside each other.
pub const DEPTH_MAX: usize = 256;

/// Parses a file.
pub fn parse_file(session: &mut Session, file: FileId) -> ast::File {
    let lexed = lexer::lex(session, file);
    if !pieces::check_depth(session, &lexed) {
        return ast::File {
            id: file,
            units: Vec::new(),
        };
    }
    let mut assembly = assemble::Assembly::new(session, file);
    let mut budget = repair::Budget::default();
    let pieces = pieces::cut(session, &lexed);
    for (i, piece) in pieces.iter().enumerate() {
        let follower = pieces.get(i + 1).and_then(|next| next.first()).copied();
        let source = repair::Source {
            file,
            case: lexed.case,
            end: lexed.end,
            tokens: piece,
            follower,
            open_strings: &lexed.open_strings,
        };
        let parsed = repair::parse_piece(session, &source, &mut budget);
        assembly.add(session, parsed);
    }
    ast::File {
        id: file,
        units: assembly.finish(session),
    }
}
