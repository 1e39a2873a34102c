//! The words of the data-parallel extension, which are keywords only where the extension has them.
//!
//! Each is an ordinary name unless its neighbours make it impossible that a name is meant; so old programs with
//! variables called `ACCESS` or `WITH` stay what they are.
//!
//! Implements: ORCA.md 1.3, 2.4, decision 40.

use crate::session::Session;

use super::Token;
use super::token::{self, KeywordCase, Tok};

/// Turns names into keywords of the extension where they can be nothing else.
pub(super) fn promote(session: &Session, case: KeywordCase, tokens: &mut [Token]) {
    for i in 0..tokens.len() {
        let Tok::Ident(name) = tokens[i].tok else {
            continue;
        };
        let Some(tok) = token::contextual(session.name(name), case) else {
            continue;
        };
        let prev = i.checked_sub(1).map(|i| tokens[i].tok);
        let next = tokens.get(i + 1).map(|token| token.tok);
        let is_name = |tok: Option<Tok>| matches!(tok, Some(Tok::Ident(_)));
        let promoted = match tok {
            Tok::Parallel => next == Some(Tok::Operation),
            Tok::Gather | Tok::Reduce => {
                matches!(prev, Some(Tok::Colon | Tok::Out)) && is_name(next)
            }
            Tok::With => is_name(prev) && is_name(next),
            Tok::Dependencies => prev == Some(Tok::Semi) && starts_statements(next),
            Tok::Access => {
                starts_statement(prev)
                    && next == Some(Tok::LBrack)
                    && bracket_ends_statement(&tokens[i + 1..])
            }
            _ => false,
        };
        if promoted {
            tokens[i].tok = tok;
        }
    }
}

/// Whether a statement sequence may start with this, and an operator or selector may not.
fn starts_statements(next: Option<Tok>) -> bool {
    match next {
        Some(Tok::And | Tok::Or | Tok::In) | None => false,
        Some(Tok::Ident(_) | Tok::Semi) => true,
        Some(tok) => tok.is_keyword(),
    }
}

/// Whether a statement may follow this.
fn starts_statement(prev: Option<Tok>) -> bool {
    matches!(
        prev,
        Some(
            Tok::Semi
                | Tok::Then
                | Tok::Do
                | Tok::Else
                | Tok::Arrow
                | Tok::Repeat
                | Tok::Begin
                | Tok::Dependencies
        )
    )
}

/// Whether the bracket pair at the start is all that follows in its statement.
fn bracket_ends_statement(tokens: &[Token]) -> bool {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        match token.tok {
            Tok::LBrack | Tok::LParen | Tok::LBrace => depth += 1,
            Tok::RBrack | Tok::RParen | Tok::RBrace => depth -= 1,
            Tok::Semi => return false,
            _ => {}
        }
        if depth == 0 {
            let next = tokens.get(i + 1).map(|token| token.tok);
            return matches!(
                next,
                None | Some(
                    Tok::Semi | Tok::Fi | Tok::Od | Tok::Esac | Tok::End | Tok::Else | Tok::Elsif
                )
            );
        }
    }
    false
}
