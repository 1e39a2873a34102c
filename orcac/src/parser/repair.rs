//! Mending a piece that does not parse.
//!
//! When the parser stops at a token, a list of small edits (`edits`) is tried, from the most specific to the crudest: put a
//! word in, take one for another, leave one out, leave out a statement, leave out the rest. The first edit after which the
//! parser gets well past the place wins; if none does, the one that gets furthest. The choice also says what the
//! mistake was, so `message` can name it. Every edit makes progress and their number is bounded, so is the work: a budget of
//! tokens for trials makes the whole linear in the text.

use crate::lexer::Token;
use crate::lexer::token::{KeywordCase, Tok};
use crate::session::Session;
use crate::source::{FileId, Span};
use crate::symbol::Symbol;

use super::around::is_closer;
use super::assemble::Parsed;
use super::build::{Cx, Item, Loc, Piece};
use super::edits::{self, Edit, Kind};
use super::{message, orca};
use crate::ast::{Decl, DeclKind};

use lalrpop_util::ParseError;

/// A piece and where it stands.
pub(super) struct Source<'a> {
    pub(super) file: FileId,
    pub(super) case: KeywordCase,
    /// The length of the file.
    pub(super) end: u32,
    pub(super) tokens: &'a [Token],
    /// The token after the piece.
    pub(super) follower: Option<Token>,
    /// Where strings end that lack their quote: what follows on the line may be part of them.
    pub(super) open_strings: &'a [u32],
}

/// Tokens that may still be parsed in trials.
pub(super) struct Budget {
    tokens: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { tokens: 10_000_000 }
    }
}

impl Budget {
    /// Whether `count` tokens more may be parsed.
    fn take(&mut self, count: usize) -> bool {
        let left = self.tokens.checked_sub(count);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }
}

/// Mistakes reported in one piece; a piece with more is not worth mending.
const PIECE_ERRORS_MAX: usize = 20;
/// An edit is taken at once if the parser gets so many tokens past the mistake.
const GOOD_GAIN: usize = 4;
/// How many tokens behind a mistake are looked at.
pub(super) const TRIAL_LEN: usize = 40;

/// A token of the piece as mended so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) tok: Tok,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Its index in the piece as written; of an inserted token, that of the token behind it.
    pub(super) origin: usize,
}

/// Where the parser stopped.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The index of the token that it could not take; the length of the list at its end.
    pub(super) index: usize,
    /// Those of `ASKED` that it could have taken.
    pub(super) expected: Vec<Tok>,
}

impl Failure {
    /// Whether the parser could have taken this.
    pub(super) fn expects(&self, tok: Tok) -> bool {
        debug_assert!(ASKED.contains(&tok), "{tok:?} is asked for");
        self.expected.contains(&tok)
    }
}

/// The name that stands for all names, and for one that is missing.
pub(super) const NAME: Tok = Tok::Ident(Symbol::MISSING);

/// The tokens that repair and messages ask for.
#[rustfmt::skip]
const ASKED: &[Tok] = &[
    NAME, Tok::Error, Tok::Then, Tok::Do, Tok::Of, Tok::Fi, Tok::Od, Tok::Esac, Tok::Until, Tok::End,
    Tok::While, Tok::Repeat, Tok::Const, Tok::Type, Tok::Record, Tok::Array, Tok::Not, Tok::Guard,
    Tok::Import, Tok::Module, Tok::New, Tok::Nodes, Tok::Specification, Tok::Implementation, Tok::In,
    Tok::Assign, Tok::Eq, Tok::Ge, Tok::Star, Tok::Slash, Tok::Colon, Tok::Semi, Tok::Comma,
    Tok::Dot, Tok::DotDot, Tok::Arrow, Tok::Dollar, Tok::LParen, Tok::RParen, Tok::LBrack,
    Tok::RBrack, Tok::LBrace, Tok::RBrace,
];

/// What could stand in the place of the token at `index`, of those in `ASKED`.
///
/// The generated parser merges states, so its own list lacks what a reduction made too early has hidden; but it
/// never takes a wrong token, so trying each is exact.
fn expected(file: FileId, tokens: &[Placed], index: usize, budget: &mut Budget) -> Vec<Tok> {
    let all = ASKED.iter().copied();
    let mut prefix: Vec<Placed> = tokens[..index].to_vec();
    let byte = prefix.last().map_or(0, |token| token.end);
    all.filter(|&tok| {
        if !budget.take(prefix.len() + 1) {
            return false;
        }
        prefix.push(Placed {
            tok,
            start: byte,
            end: byte,
            origin: 0,
        });
        let taken = match attempt(file, &prefix) {
            Ok(_) => true,
            Err(next) => next > index,
        };
        prefix.pop();
        taken
    })
    .collect()
}

/// Parses a piece; what is wrong with it is reported and mended.
pub(super) fn parse_piece(session: &mut Session, source: &Source, budget: &mut Budget) -> Parsed {
    let mut tokens: Vec<Placed> = source
        .tokens
        .iter()
        .enumerate()
        .map(|(origin, token)| Placed {
            tok: token.tok,
            start: token.start,
            end: token.end,
            origin,
        })
        .collect();
    let mut errors = 0;
    let mut mended_to = 0;
    loop {
        let failure = match attempt(source.file, &tokens) {
            Ok((piece, cx)) => {
                for diagnostic in cx.found.into_inner() {
                    session.report(diagnostic);
                }
                return Parsed {
                    piece,
                    whole: errors == 0,
                };
            }
            // So many mistakes were told that another would not be shown.
            Err(_) if session.diagnostics.is_full() => {
                return Parsed {
                    piece: given_up(source, &tokens),
                    whole: false,
                };
            }
            Err(index) => {
                let expected = expected(source.file, &tokens, index, budget);
                Failure { index, expected }
            }
        };
        let edit = choose(session, source, &tokens, &failure, budget);
        let origin = origin(&tokens, failure.index, source);
        let after_open_string = failure
            .index
            .checked_sub(1)
            .is_some_and(|i| source.open_strings.binary_search(&tokens[i].end).is_ok());
        let echo = after_open_string || (errors > 0 && origin < mended_to + 2);
        if !echo {
            let kind = edit.as_ref().map_or(Kind::Garbled, |edit| edit.kind);
            message::report(session, source, &tokens, &failure, kind);
        }
        errors += 1;
        let Some(edit) = edit.filter(|_| errors <= PIECE_ERRORS_MAX) else {
            return Parsed {
                piece: given_up(source, &tokens),
                whole: false,
            };
        };
        mended_to = origin.max(
            edit.remove
                .end
                .checked_sub(1)
                .map_or(0, |i| tokens[i].origin),
        );
        apply(&mut tokens, &edit, source);
    }
}

/// One run of the generated parser: the tree, or the index of the token that it could not take.
fn attempt(file: FileId, tokens: &[Placed]) -> Result<(Piece, Cx), usize> {
    let cx = Cx::new(file);
    let stream = tokens.iter().enumerate().map(|(i, token)| {
        let l = Loc {
            byte: token.start,
            index: i as u32,
        };
        let r = Loc {
            byte: token.end,
            index: i as u32 + 1,
        };
        (l, token.tok, r)
    });
    let result = orca::PieceParser::new().parse(&cx, stream);
    match result {
        Ok(piece) => Ok((piece, cx)),
        Err(ParseError::UnrecognizedToken { token, .. } | ParseError::ExtraToken { token }) => {
            Err(token.0.index as usize)
        }
        Err(ParseError::UnrecognizedEof { .. }) => Err(tokens.len()),
        Err(ParseError::InvalidToken { location }) => Err(location.index as usize),
        Err(ParseError::User { error }) => match error {},
    }
}

/// The index in the text as written.
fn origin(tokens: &[Placed], index: usize, source: &Source) -> usize {
    tokens
        .get(index)
        .map_or(source.tokens.len(), |token| token.origin)
}

fn apply(tokens: &mut Vec<Placed>, edit: &Edit, source: &Source) {
    *tokens = edited(tokens, edit, source, usize::MAX);
}

/// The list after an edit, up to `limit` tokens.
fn edited(tokens: &[Placed], edit: &Edit, source: &Source, limit: usize) -> Vec<Placed> {
    let (start, end) = (edit.remove.start, edit.remove.end);
    let removed = &tokens[start..end];
    let (first, last) = match (removed.first(), removed.last()) {
        (Some(first), Some(last)) => (first.start, last.end),
        _ => {
            let before = start.checked_sub(1).map_or(0, |i| tokens[i].end);
            (before, before)
        }
    };
    let origin = origin(tokens, start, source);
    let inserted = edit.insert.iter().map(|&tok| Placed {
        tok,
        start: first,
        end: last,
        origin,
    });
    let head = tokens[..start].iter().copied();
    head.chain(inserted)
        .chain(tokens[end..].iter().copied())
        .take(limit)
        .collect()
}

/// The best edit, if any makes progress.
fn choose(
    session: &Session,
    source: &Source,
    tokens: &[Placed],
    failure: &Failure,
    budget: &mut Budget,
) -> Option<Edit> {
    let limit = failure.index + TRIAL_LEN;
    let mut candidates = edits::candidates(&session.interner, source.case, tokens, failure);
    if tokens
        .get(failure.index)
        .is_some_and(|token| is_closer(token.tok))
    {
        if let Some(edit) = choose_structure(source, tokens, failure, &candidates, budget) {
            return Some(edit);
        }
        candidates.retain(|edit| !edit.kind.is_structure());
    }
    let mut best: Option<(usize, Edit)> = None;
    for edit in candidates {
        let crude = matches!(edit.kind, Kind::Extra | Kind::Garbled);
        if crude && best.as_ref().is_some_and(|(gain, _)| *gain > 1) {
            break;
        }
        let limit = limit.max(edit.remove.end) + edit.insert.len();
        let trial = edited(tokens, &edit, source, limit);
        let whole = tokens.len() + edit.insert.len() - edit.remove.len() <= limit;
        if !budget.take(trial.len()) {
            break;
        }
        // What counts is how many tokens behind the edit can be taken.
        let behind = edit.remove.start + edit.insert.len();
        let gain = match attempt(source.file, &trial) {
            Ok(_) => usize::MAX,
            Err(next) if next == trial.len() && !whole => usize::MAX,
            Err(next) => next.saturating_sub(behind),
        };
        if gain == 0 {
            continue;
        }
        let gain = gain.saturating_add(edit.kind.certainty());
        if gain >= GOOD_GAIN {
            return Some(edit);
        }
        if best.as_ref().is_none_or(|(most, _)| gain > *most) {
            best = Some((gain, edit));
        }
    }
    best.map(|(_, edit)| edit)
}

/// For a closing word that does not fit: whether another is missing, wrong or too many shows only in what becomes
/// of the rest, so each is tried on all of it.
fn choose_structure(
    source: &Source,
    tokens: &[Placed],
    failure: &Failure,
    candidates: &[Edit],
    budget: &mut Budget,
) -> Option<Edit> {
    let k = failure.index;
    let with_semi = tokens.get(k + 1).is_some_and(|next| next.tok == Tok::Semi);
    let extra = with_semi.then(|| Edit {
        kind: Kind::Extra,
        remove: k..k + 2,
        insert: Vec::new(),
    });
    let structural = candidates.iter().filter(|edit| edit.kind.is_structure());
    let mut best: Option<(usize, &Edit)> = None;
    for edit in structural.chain(&extra) {
        let trial = edited(tokens, edit, source, usize::MAX);
        if !budget.take(trial.len()) {
            break;
        }
        let behind = edit.remove.start + edit.insert.len();
        let reached = match attempt(source.file, &trial) {
            Ok(_) => usize::MAX,
            Err(next) if next <= behind => continue,
            Err(next) => origin(&trial, next, source),
        };
        if best.is_none_or(|(most, _)| reached > most) {
            best = Some((reached, edit));
        }
    }
    best.map(|(_, edit)| edit.clone())
}

/// The tree of a piece that cannot be mended: its unit's head and end if they are there, and nothing between.
fn given_up(source: &Source, tokens: &[Placed]) -> Piece {
    let Some((first, last)) = tokens.first().zip(tokens.last()) else {
        return Piece::default();
    };
    let span = Span::new(source.file, first.start.min(last.end), last.end);
    let head_len = tokens
        .iter()
        .position(|token| token.tok == Tok::Semi)
        .map_or(0, |i| i + 1);
    let head = attempt(source.file, &tokens[..head_len])
        .ok()
        .and_then(|(piece, _)| piece.head);
    let error = Item::Decl(Decl {
        span,
        kind: DeclKind::Error,
    });
    let closes = closes_unit(tokens);
    let tail = closes.and_then(|end| {
        let end = tokens[end..].iter().take(2).copied().collect::<Vec<_>>();
        attempt(source.file, &end[..1])
            .ok()
            .and_then(|(piece, _)| piece.tail)
    });
    Piece {
        head,
        items: vec![error],
        tail,
        after: Vec::new(),
    }
}

/// The index of an `END` that closes nothing within the piece.
fn closes_unit(tokens: &[Placed]) -> Option<usize> {
    let mut open = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        match token.tok {
            Tok::Record | Tok::Union | Tok::Graph | Tok::Begin | Tok::Dependencies => open += 1,
            Tok::End if open == 0 => return Some(i),
            Tok::End => open -= 1,
            _ => {}
        }
    }
    None
}
