//! What stands around a mistake: open constructs, the start of the statement, earlier relations.
//!
//! Plain scans over tokens, all of bounded or linear length; they guess, and `repair` finds out.

use crate::lexer::Tok;

use super::repair::{Placed, TRIAL_LEN};

/// How far back a statement or declaration is looked for.
pub(super) const LOOK_BACK: usize = 2_000;

/// `=`, `<`, ...
pub(super) fn is_relation(tok: Tok) -> bool {
    matches!(
        tok,
        Tok::Eq | Tok::Ne | Tok::Lt | Tok::Gt | Tok::Le | Tok::Ge | Tok::In
    )
}

/// Operators that take an operand behind them.
pub(super) fn is_operator(tok: Tok) -> bool {
    is_relation(tok)
        || matches!(
            tok,
            Tok::Plus
                | Tok::Minus
                | Tok::Star
                | Tok::Slash
                | Tok::Percent
                | Tok::Bar
                | Tok::Caret
                | Tok::Amp
                | Tok::Shl
                | Tok::Shr
                | Tok::And
                | Tok::Or
                | Tok::Not
                | Tok::Tilde
        )
}

/// `FI`, `OD`, `ESAC`, `END`.
pub(super) fn is_closer(tok: Tok) -> bool {
    matches!(tok, Tok::Fi | Tok::Od | Tok::Esac | Tok::End)
}

/// The `|` that separates alternatives but was read as an operator, if the mistake at `k` looks so.
pub(super) fn bar_before_arrow(tokens: &[Placed], k: usize) -> Option<usize> {
    if !matches!(tokens.get(k)?.tok, Tok::Arrow | Tok::DotDot | Tok::Comma) {
        return None;
    }
    let from = k.saturating_sub(LOOK_BACK);
    let back = tokens[from..k]
        .iter()
        .rev()
        .take_while(|token| token.tok != Tok::Semi);
    back.map(|token| token.tok)
        .position(|tok| tok == Tok::Bar)
        .map(|i| k - 1 - i)
}

/// Whether a statement can start behind this.
pub(super) fn starts_after(tok: Tok) -> bool {
    matches!(
        tok,
        Tok::Semi
            | Tok::Then
            | Tok::Do
            | Tok::Else
            | Tok::Arrow
            | Tok::Repeat
            | Tok::Begin
            | Tok::Init
            | Tok::Dependencies
    )
}

/// Where the statement around `k` starts.
pub(super) fn statement_start(tokens: &[Placed], k: usize) -> usize {
    let from = k.saturating_sub(LOOK_BACK);
    let behind = tokens[from..k]
        .iter()
        .rposition(|token| starts_after(token.tok));
    behind.map_or(from, |i| from + i + 1)
}

/// Whether the rest of the statement has this word, so that it is not missing.
pub(super) fn comes(tokens: &[Placed], k: usize, word: Tok) -> bool {
    let rest = tokens[k.min(tokens.len())..]
        .iter()
        .take(TRIAL_LEN)
        .map(|token| token.tok);
    for tok in rest {
        match tok {
            Tok::And | Tok::Or | Tok::Not | Tok::In => {}
            tok if tok == word => return true,
            tok if tok == Tok::Semi || tok.is_keyword() => return false,
            _ => {}
        }
    }
    false
}

/// `i IN s DO` without FOR, `a = b THEN` without IF: where the keyword is missing, and which.
pub(super) fn missing_start(tokens: &[Placed], k: usize) -> Option<(usize, Tok)> {
    let start = statement_start(tokens, k);
    let rest = tokens[start..]
        .iter()
        .take(TRIAL_LEN)
        .map(|token| token.tok);
    let mut loops_over = false;
    for tok in rest {
        match tok {
            Tok::In => loops_over = true,
            Tok::Then => return Some((start, Tok::If)),
            Tok::Do if loops_over => return Some((start, Tok::For)),
            Tok::Do => return Some((start, Tok::While)),
            Tok::Of => return Some((start, Tok::Case)),
            Tok::Ident(_) => {}
            Tok::Semi => return None,
            tok if tok.is_keyword() && !matches!(tok, Tok::And | Tok::Or | Tok::Not) => {
                return None;
            }
            _ => {}
        }
    }
    None
}

/// Whether a relation stands before `k` in the same expression.
pub(super) fn second_relation(tokens: &[Placed], k: usize) -> bool {
    let mut depth = 0usize;
    for token in tokens[k.saturating_sub(LOOK_BACK)..k].iter().rev() {
        match token.tok {
            Tok::RParen | Tok::RBrack | Tok::RBrace => depth += 1,
            Tok::LParen | Tok::LBrack | Tok::LBrace if depth == 0 => return false,
            Tok::LParen | Tok::LBrack | Tok::LBrace => depth -= 1,
            tok if depth > 0 && tok != Tok::Semi => {}
            tok if is_relation(tok) => return true,
            Tok::Semi
            | Tok::Comma
            | Tok::Assign
            | Tok::If
            | Tok::Elsif
            | Tok::While
            | Tok::Until
            | Tok::Return
            | Tok::Then
            | Tok::Do
            | Tok::Guard => return false,
            _ => {}
        }
    }
    false
}

/// A construct that is open at some place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    /// What opened it.
    pub(super) index: usize,
    /// What closes it.
    pub(super) closer: Tok,
}

/// The constructs open before `k`, outermost first.
pub(super) fn opened(tokens: &[Placed], k: usize) -> Vec<Opened> {
    let mut open: Vec<Opened> = Vec::new();
    let mut head: Option<usize> = None;
    for (index, token) in tokens[..k].iter().enumerate() {
        let closer = match token.tok {
            Tok::LParen => Tok::RParen,
            Tok::LBrack => Tok::RBrack,
            Tok::LBrace => Tok::RBrace,
            Tok::If => Tok::Fi,
            Tok::Do => Tok::Od,
            Tok::Case => Tok::Esac,
            Tok::Repeat => Tok::Until,
            Tok::Record | Tok::Union | Tok::Graph | Tok::Begin | Tok::Init | Tok::Dependencies => {
                Tok::End
            }
            Tok::While | Tok::For | Tok::Guard => {
                head = Some(index);
                continue;
            }
            tok => {
                if open.last().is_some_and(|last| last.closer == tok) {
                    open.pop();
                }
                continue;
            }
        };
        let index = if token.tok == Tok::Do {
            head.take().unwrap_or(index)
        } else {
            index
        };
        open.push(Opened { index, closer });
    }
    open
}

/// What closes all constructs that must be closed before the token at `k` can stand there.
pub(super) fn closers(tokens: &[Placed], k: usize) -> Option<Vec<Tok>> {
    let open = opened(tokens, k);
    let keep = match tokens.get(k) {
        None => 0,
        Some(found) => open.iter().rposition(|opened| opened.closer == found.tok)? + 1,
    };
    let toks: Vec<Tok> = open[keep.min(open.len())..]
        .iter()
        .rev()
        .flat_map(|opened| match opened.closer {
            Tok::Fi | Tok::Od | Tok::Esac | Tok::End => vec![opened.closer, Tok::Semi],
            Tok::Until => vec![Tok::Until, Tok::Error, Tok::Semi],
            bracket => vec![bracket],
        })
        .collect();
    (!toks.is_empty()).then_some(toks)
}
