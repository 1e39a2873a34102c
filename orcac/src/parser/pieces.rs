//! Cutting a file before every unit and every routine, and measuring how deep it goes.
//!
//! The words that start a unit or a routine are reserved and stand nowhere else, so the cuts are right even where the
//! text around them is not: an `END` too few in one routine does not touch the next.

use crate::diagnostics::{Diagnostic, codes};
use crate::lexer::{KeywordCase, Lexed, Tok, Token};
use crate::session::Session;
use crate::source::Span;

use super::{DEPTH_MAX, edits};

/// Reports a construct that is nested too deeply; whether there is none.
///
/// Counts brackets and statements that are open, and the operators of each open expression: no tree is deeper.
pub(super) fn check_depth(session: &mut Session, lexed: &Lexed) -> bool {
    let mut open: Vec<usize> = vec![0];
    let mut total = 0;
    for token in &lexed.tokens {
        match token.tok {
            Tok::LParen
            | Tok::LBrack
            | Tok::LBrace
            | Tok::If
            | Tok::Do
            | Tok::Case
            | Tok::Repeat
            | Tok::Record
            | Tok::Union
            | Tok::Graph
            | Tok::Begin => {
                open.push(1);
                total += 1;
            }
            Tok::RParen
            | Tok::RBrack
            | Tok::RBrace
            | Tok::Fi
            | Tok::Od
            | Tok::Esac
            | Tok::Until
            | Tok::End
                if open.len() > 1 =>
            {
                total -= open.pop().expect("more than one is open");
            }
            Tok::Semi | Tok::Comma => {
                let base = usize::from(open.len() > 1);
                let last = open.last_mut().expect("the outermost level stays");
                total -= *last - base;
                *last = base;
            }
            Tok::Plus
            | Tok::Minus
            | Tok::Star
            | Tok::Slash
            | Tok::Percent
            | Tok::Bar
            | Tok::Caret
            | Tok::Amp
            | Tok::Tilde
            | Tok::Shl
            | Tok::Shr
            | Tok::Eq
            | Tok::Ne
            | Tok::Lt
            | Tok::Gt
            | Tok::Le
            | Tok::Ge
            | Tok::And
            | Tok::Or
            | Tok::Not
            | Tok::In
            | Tok::Of => {
                *open.last_mut().expect("the outermost level stays") += 1;
                total += 1;
            }
            _ => {}
        }
        if total > DEPTH_MAX {
            session.report(
                Diagnostic::new(
                    codes::TOO_DEEP,
                    Span::new(lexed.file, token.start, token.end),
                    "this is nested too deeply",
                )
                .with_note(format!(
                    "brackets, statements and operators go {DEPTH_MAX} deep at most"
                )),
            );
            return false;
        }
    }
    true
}

/// Cuts the tokens into pieces, and tells a unit's `BEGIN` from a routine's.
pub(super) fn cut(session: &Session, lexed: &Lexed) -> Vec<Vec<Token>> {
    let tokens = &lexed.tokens;
    let mut pieces: Vec<Vec<Token>> = Vec::new();
    let mut start = 0;
    let mut i = 0;
    while i < tokens.len() {
        if let Some(head) = starts_piece(session, lexed.case, tokens, i) {
            if i > start {
                pieces.push(tokens[start..i].to_vec());
            }
            start = i;
            i += head;
        } else {
            i += 1;
        }
    }
    if start < tokens.len() {
        pieces.push(tokens[start..].to_vec());
    }
    pieces
        .iter_mut()
        .for_each(|piece| mark_initialisation(piece));
    pieces
}

/// Whether a unit or routine starts at `i`, and how many tokens to pass before another can.
fn starts_piece(session: &Session, case: KeywordCase, tokens: &[Token], i: usize) -> Option<usize> {
    let at = |i: usize| tokens.get(i).map(|token| token.tok);
    let unit_word = |tok| matches!(tok, Some(Tok::Module | Tok::Object | Tok::Data));
    match tokens[i].tok {
        Tok::Generic if at(i + 1) == Some(Tok::LParen) => {
            let close = i + 1 + parenthesis(&tokens[i + 1..]);
            let data = usize::from(at(close) == Some(Tok::Data));
            Some(close - i + data + usize::from(unit_word(at(close))))
        }
        Tok::Generic if unit_word(at(i + 1)) => Some(2 + usize::from(at(i + 1) == Some(Tok::Data))),
        Tok::Data => Some(2),
        Tok::Module | Tok::Object => {
            let head = matches!(at(i + 1), Some(Tok::Specification | Tok::Implementation))
                || (matches!(at(i + 1), Some(Tok::Ident(_))) && at(i + 2) == Some(Tok::Semi));
            head.then_some(1)
        }
        Tok::Parallel => Some(2),
        Tok::Process | Tok::Operation => Some(1),
        Tok::Function => (at(i + 1) != Some(Tok::LParen)).then_some(1),
        // `PROCEDURE f(`: what is meant is plain.
        Tok::Ident(name) if matches!(at(i + 1), Some(Tok::Ident(_))) => {
            let routine = matches!(
                edits::meant(session.name(name), case),
                Some((Tok::Function | Tok::Process | Tok::Operation, _))
            );
            (routine && at(i + 2) == Some(Tok::LParen)).then_some(1)
        }
        _ => None,
    }
}

/// The tokens of the parenthesis at the start, as far as it goes before something that cannot be in it.
fn parenthesis(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        match token.tok {
            Tok::LParen => depth += 1,
            Tok::RParen => depth -= 1,
            Tok::Module | Tok::Object | Tok::Data | Tok::Begin | Tok::End => return i,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// `BEGIN` belongs to the routine that starts the piece, once; any other is the unit's initialisation part.
/// An import between head and `BEGIN` shows that the head was a declaration only.
fn mark_initialisation(piece: &mut [Token]) {
    let first = piece.first().map(|token| token.tok);
    let mut routine = matches!(
        first,
        Some(Tok::Function | Tok::Process | Tok::Operation | Tok::Parallel | Tok::Ident(_))
    );
    let mut depth = 0usize;
    for token in piece {
        match token.tok {
            Tok::Import | Tok::New => routine = false,
            Tok::Begin if routine => {
                routine = false;
                depth += 1;
            }
            // Inside a body it is a mistake, and of another kind.
            Tok::Begin if depth > 0 => {}
            Tok::Begin => {
                token.tok = Tok::Init;
                depth += 1;
            }
            Tok::Record | Tok::Union | Tok::Graph | Tok::Dependencies => depth += 1,
            Tok::End => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}
