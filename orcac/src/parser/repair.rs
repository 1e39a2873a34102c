//! Mending a piece that does not parse.
//!
//! When the parser stops at a token, a list of small edits is tried, from the most specific to the crudest: put a word in,
//! take one for another, leave one out, leave out a statement, leave out the rest. The first edit after which the
//! parser gets well past the place wins; if none does, the one that gets furthest. The choice also says what the
//! mistake was, so `message` can name it. Every edit makes progress and their number is bounded, so is the work: a budget of
//! tokens for trials makes the whole linear in the text.

use std::ops::Range;

use crate::lexer::Token;
use crate::lexer::token::{self, KeywordCase, Tok};
use crate::session::Session;
use crate::source::{FileId, Span};
use crate::symbol::{Interner, Symbol};

use super::assemble::Parsed;
use super::build::{Cx, Item, Loc, Piece};
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
        Budget { tokens: 2_000_000 }
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
/// How many tokens behind a mistake a trial looks at.
const TRIAL_LEN: usize = 40;
/// How far back a statement or declaration is looked for.
const LOOK_BACK: usize = 2_000;

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

/// What kind of mistake an edit mends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    /// This is missing.
    Missing(Tok),
    /// An expression, type or statement is missing.
    MissingPart,
    /// A name is missing.
    MissingName,
    /// A call without parentheses.
    MissingParens,
    /// The last statement of an alternative lacks its `;`, so that `|` was read as an operator.
    MissingBeforeBar,
    /// `SPECIFICATION` or `IMPLEMENTATION` is missing.
    MissingUnitPart,
    /// The keyword that starts the statement is missing.
    MissingStart(Tok),
    /// Constructs are open that must be closed here.
    Unclosed,
    /// The token should be this one.
    Instead(Tok),
    /// The token before should be this keyword.
    Misspelt(Tok),
    /// A keyword stands where a name must.
    KeywordAsName,
    /// A second relation in an expression.
    SecondRelation,
    /// A sign behind an operator.
    Sign,
    /// The token has no business here.
    Extra,
    /// Nothing small helps.
    Garbled,
}

impl Kind {
    /// Whether it changes what closes what.
    fn is_structure(self) -> bool {
        match self {
            Kind::Instead(tok) => is_closer(tok),
            Kind::Unclosed | Kind::Extra => true,
            _ => false,
        }
    }

    /// How much more likely this mistake is than others that would explain as much.
    fn certainty(self) -> usize {
        match self {
            Kind::MissingBeforeBar
            | Kind::Instead(_)
            | Kind::Misspelt(_)
            | Kind::Sign
            | Kind::SecondRelation => 2,
            Kind::Unclosed | Kind::KeywordAsName => 1,
            _ => 0,
        }
    }
}

/// A change of the token list.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) kind: Kind,
    remove: Range<usize>,
    insert: Vec<Tok>,
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
    let Range { start, end } = edit.remove;
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
    let mut candidates = candidates(&session.interner, source, tokens, failure);
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
        let crude =
            matches!(edit.kind, Kind::Extra | Kind::Garbled) && !edit.insert.contains(&Tok::While);
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

/// Edits worth a trial, the most telling first.
fn candidates(
    interner: &Interner,
    source: &Source,
    tokens: &[Placed],
    failure: &Failure,
) -> Vec<Edit> {
    let k = failure.index;
    let found = tokens.get(k).map(|token| token.tok);
    let mut list = Vec::new();
    let mut add = |kind: Kind, remove: Range<usize>, insert: &[Tok]| {
        list.push(Edit {
            kind,
            remove,
            insert: insert.to_vec(),
        });
    };
    let name = NAME;

    if let Some(found) = found {
        misspelt(interner, source.case, tokens, k, &mut add);
        if is_relation(found) && second_relation(tokens, k) {
            add(Kind::SecondRelation, k..k + 1, &[Tok::And]);
        }
        if matches!(found, Tok::Plus | Tok::Minus) && k > 0 && is_operator(tokens[k - 1].tok) {
            add(Kind::Sign, k..k + 1, &[]);
        }
        if let Some(bar) = bar_before_arrow(tokens, k) {
            add(Kind::MissingBeforeBar, bar..bar, &[Tok::Semi]);
        }
        let bracket = opened(tokens, k).last().map(|opened| opened.closer);
        if found == Tok::Assign && bracket == Some(Tok::RBrack) && failure.expects(Tok::RBrack) {
            add(Kind::Missing(Tok::RBrack), k..k, &[Tok::RBrack]);
        }
        if let Some((start, tok)) = missing_start(tokens, k) {
            add(Kind::MissingStart(tok), start..start, &[tok]);
        }
        if k == 2 && matches!(tokens[0].tok, Tok::Module | Tok::Object) && found == Tok::Semi {
            add(Kind::MissingUnitPart, 1..1, &[Tok::Implementation]);
        }
        for &tok in confusable(found).iter().filter(|_| found != Tok::Semi) {
            let in_expression = found == Tok::Colon && failure.expects(Tok::Star);
            if failure.expects(tok) && !(in_expression && tok == Tok::Eq) {
                add(Kind::Instead(tok), k..k + 1, &[tok]);
            }
        }
        if found == Tok::Guard && failure.expects(Tok::While) {
            add(Kind::Garbled, k..k + 1, &[Tok::While]);
        }
        if found.is_keyword() && failure.expects(name) {
            add(Kind::KeywordAsName, k..k + 1, &[name]);
        }
    }
    let unclosed = closers(tokens, k);
    if let Some(closers) = &unclosed {
        add(Kind::Unclosed, k..k, closers);
        if failure.expects(Tok::Semi) {
            let with_semi: Vec<Tok> = [Tok::Semi].iter().chain(closers).copied().collect();
            add(Kind::Unclosed, k..k, &with_semi);
        }
    }
    for tok in [Tok::Fi, Tok::Od, Tok::Esac, Tok::End] {
        if failure.expects(tok) && found.is_some_and(is_closer) {
            add(Kind::Instead(tok), k..k + 1, &[tok]);
        }
    }
    let after_type = failure.expects(Tok::LBrack)
        && !failure.expects(Tok::Star)
        && !failure.expects(Tok::Assign);
    let call = failure.expects(Tok::LParen) && !failure.expects(Tok::Not) && !after_type;
    let operand = matches!(
        found,
        Some(Tok::Ident(_) | Tok::Int(..) | Tok::Real(_) | Tok::Char(_) | Tok::Str(_))
    );
    if call && !operand {
        add(Kind::MissingParens, k..k, &[Tok::LParen, Tok::RParen]);
        add(
            Kind::MissingParens,
            k..k,
            &[Tok::LParen, Tok::RParen, Tok::Semi],
        );
    }
    // A word that starts a statement or expression is not missing where one is expected.
    let opens = |tok: Tok| match tok {
        Tok::Then | Tok::Do | Tok::Of if comes(tokens, k, tok) => true,
        Tok::Do => failure.expects(Tok::While),
        Tok::LParen | Tok::LBrack if after_type => true,
        Tok::LParen | Tok::LBrack => [Tok::Not, Tok::Record, Tok::Star, Tok::Assign]
            .into_iter()
            .any(|tok| failure.expects(tok)),
        Tok::Module if matches!(found, Some(Tok::Specification | Tok::Implementation)) => false,
        Tok::Import | Tok::Module => failure.expects(Tok::Const),
        _ => false,
    };
    for &tok in INSERTED
        .iter()
        .filter(|&&tok| failure.expects(tok) && !opens(tok))
    {
        add(Kind::Missing(tok), k..k, &[tok]);
    }
    if found == Some(Tok::Semi) {
        for &tok in confusable(Tok::Semi)
            .iter()
            .filter(|&&tok| failure.expects(tok))
        {
            add(Kind::Instead(tok), k..k + 1, &[tok]);
        }
    }
    if call && operand {
        add(
            Kind::MissingParens,
            k..k,
            &[Tok::LParen, Tok::RParen, Tok::Semi],
        );
    }
    if failure.expects(Tok::Error) {
        add(Kind::MissingPart, k..k, &[Tok::Error]);
        add(Kind::MissingPart, k..k, &[Tok::Error, Tok::Semi]);
    }
    if failure.expects(name) {
        add(Kind::MissingName, k..k, &[name]);
    }
    if found.is_some() {
        add(Kind::Extra, k..k + 1, &[]);
    }
    for range in skips(tokens, k) {
        add(Kind::Garbled, range.clone(), &[Tok::Error]);
        add(Kind::Garbled, range, &[]);
    }
    list
}

/// What is put in where it is missing, in this order.
const INSERTED: &[Tok] = &[
    Tok::Then,
    Tok::Do,
    Tok::Of,
    Tok::Semi,
    Tok::RParen,
    Tok::RBrack,
    Tok::RBrace,
    Tok::Colon,
    Tok::Comma,
    Tok::LParen,
    Tok::LBrack,
    Tok::Assign,
    Tok::Eq,
    Tok::Arrow,
    Tok::DotDot,
    Tok::In,
    Tok::New,
    Tok::Import,
    Tok::Specification,
    Tok::Implementation,
    Tok::Module,
    Tok::Star,
];

/// What may have been meant by a mark or word that stands in its place.
fn confusable(found: Tok) -> &'static [Tok] {
    match found {
        Tok::Eq => &[Tok::Assign, Tok::In, Tok::Colon, Tok::Arrow],
        Tok::Assign => &[Tok::Eq, Tok::In, Tok::Colon],
        Tok::Ne => &[Tok::Assign],
        Tok::Colon => &[Tok::Eq, Tok::Assign, Tok::Semi, Tok::Arrow],
        Tok::Comma => &[Tok::Semi, Tok::DotDot],
        Tok::Semi => &[Tok::Comma, Tok::Colon, Tok::Then, Tok::Do],
        Tok::Dot => &[Tok::DotDot, Tok::Dollar],
        Tok::DotDot => &[Tok::Dot],
        Tok::Arrow => &[Tok::Ge, Tok::Colon],
        Tok::Do => &[Tok::Then, Tok::Of],
        Tok::Then => &[Tok::Do, Tok::Of],
        Tok::Of => &[Tok::Do, Tok::Then],
        Tok::RParen => &[Tok::RBrack, Tok::RBrace],
        Tok::RBrack => &[Tok::RParen, Tok::RBrace],
        Tok::RBrace => &[Tok::RParen, Tok::RBrack],
        Tok::LParen => &[Tok::LBrack, Tok::LBrace],
        Tok::LBrack => &[Tok::LParen, Tok::LBrace],
        Tok::LBrace => &[Tok::LParen, Tok::LBrack],
        _ => &[],
    }
}

/// Keywords of other languages, or of the other case, at the mistake or just before it.
fn misspelt(
    interner: &Interner,
    case: KeywordCase,
    tokens: &[Placed],
    k: usize,
    add: &mut impl FnMut(Kind, Range<usize>, &[Tok]),
) {
    for i in [Some(k), k.checked_sub(1)].into_iter().flatten() {
        let Tok::Ident(name) = tokens[i].tok else {
            continue;
        };
        let Some((tok, _)) = meant(interner.name(name), case) else {
            continue;
        };
        let kind = if i == k {
            Kind::Instead(tok)
        } else {
            Kind::Misspelt(tok)
        };
        let closes = matches!(tok, Tok::Fi | Tok::Od | Tok::Esac);
        add(kind, i..i + 1, &[tok]);
        if closes {
            add(kind, i..i + 1, &[tok, Tok::Semi]);
        }
    }
}

/// The keyword that a name was likely meant to be, and whether it is only in the wrong case.
pub(super) fn meant(word: &str, case: KeywordCase) -> Option<(Tok, bool)> {
    if token::keyword(word, case).is_some() {
        return None;
    }
    if let Some(tok) = token::keyword_in_any_case(word) {
        return Some((tok, true));
    }
    let tok = match word.to_ascii_uppercase().as_str() {
        "ELSEIF" | "ELIF" => Tok::Elsif,
        "ENDIF" => Tok::Fi,
        "ENDDO" | "ENDWHILE" | "ENDFOR" | "DONE" => Tok::Od,
        "ENDCASE" => Tok::Esac,
        "PROCEDURE" | "FUNC" => Tok::Function,
        "BREAK" => Tok::Exit,
        "TO" => Tok::DotDot,
        "STRUCT" => Tok::Record,
        "SPEC" => Tok::Specification,
        "IMPL" => Tok::Implementation,
        "LOOP" => Tok::Do,
        "MOD" => Tok::Percent,
        "DIV" => Tok::Slash,
        "XOR" => Tok::Caret,
        _ => return None,
    };
    Some((tok, false))
}

fn is_relation(tok: Tok) -> bool {
    matches!(
        tok,
        Tok::Eq | Tok::Ne | Tok::Lt | Tok::Gt | Tok::Le | Tok::Ge | Tok::In
    )
}

fn is_operator(tok: Tok) -> bool {
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

fn is_closer(tok: Tok) -> bool {
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
fn comes(tokens: &[Placed], k: usize, word: Tok) -> bool {
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
fn missing_start(tokens: &[Placed], k: usize) -> Option<(usize, Tok)> {
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
fn second_relation(tokens: &[Placed], k: usize) -> bool {
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
fn closers(tokens: &[Placed], k: usize) -> Option<Vec<Tok>> {
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

/// What may be left out around `k`: from the start of the statement or from the mistake, to the next
/// place where something can start again.
fn skips(tokens: &[Placed], k: usize) -> Vec<Range<usize>> {
    let from = k.saturating_sub(LOOK_BACK);
    let starts_after = |tok: Tok| {
        starts_after(tok) || matches!(tok, Tok::Record | Tok::Nodes | Tok::Of | Tok::Bar)
    };
    let mut starts: Vec<usize> = (from..k)
        .rev()
        .filter(|&i| starts_after(tokens[i].tok))
        .map(|i| i + 1)
        .take(3)
        .collect();
    starts.insert(0, k);
    if from == 0 {
        starts.push(0);
    }
    let ahead = &tokens[k.min(tokens.len())..];
    let mut ends: Vec<usize> = Vec::new();
    for (i, token) in ahead.iter().enumerate().take(LOOK_BACK) {
        let stop = match token.tok {
            Tok::Semi => {
                ends.push(k + i);
                k + i + 1
            }
            Tok::Fi
            | Tok::Od
            | Tok::Esac
            | Tok::End
            | Tok::Else
            | Tok::Elsif
            | Tok::Until
            | Tok::Begin
            | Tok::Init => k + i,
            _ => continue,
        };
        ends.push(stop);
        if ends.len() >= 5 {
            break;
        }
    }
    ends.push(tokens.len());
    let mut ranges = Vec::new();
    for &end in &ends {
        for &start in &starts {
            let range = start..end;
            if start < end && !ranges.contains(&range) {
                ranges.push(range);
            }
        }
    }
    ranges
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
