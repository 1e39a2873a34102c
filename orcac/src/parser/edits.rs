//! The edits that may mend a mistake, and what mistake each of them mends.
//!
//! `Candidates` lists them from the most telling to the crudest; `repair` tries them.

use std::ops::Range;

use crate::lexer::token::{self, KeywordCase, Tok};
use crate::symbol::Interner;

use super::around::{
    LOOK_BACK, bar_before_arrow, closers, comes, is_closer, is_operator, is_relation,
    missing_start, opened, second_relation, starts_after,
};
use super::repair::{Failure, NAME, Placed};

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
    /// `VAR` before a declaration.
    VarKeyword,
    /// A guard among statements.
    GuardAsStatement,
    /// The token has no business here.
    Extra,
    /// Nothing small helps.
    Garbled,
}

impl Kind {
    /// Whether it changes what closes what.
    pub(super) fn is_structure(self) -> bool {
        match self {
            Kind::Instead(tok) => is_closer(tok),
            Kind::Unclosed | Kind::Extra => true,
            _ => false,
        }
    }

    /// How much more likely this mistake is than others that would explain as much.
    pub(super) fn certainty(self) -> usize {
        match self {
            Kind::MissingBeforeBar
            | Kind::Instead(_)
            | Kind::Misspelt(_)
            | Kind::Sign
            | Kind::SecondRelation => 2,
            Kind::VarKeyword => 2,
            Kind::Unclosed | Kind::KeywordAsName => 1,
            _ => 0,
        }
    }
}

/// A change of the token list.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) kind: Kind,
    /// The tokens that go.
    pub(super) remove: Range<usize>,
    /// The tokens that come in their place.
    pub(super) insert: Vec<Tok>,
}

/// Edits worth a trial, the most telling first.
pub(super) fn candidates(
    interner: &Interner,
    case: KeywordCase,
    tokens: &[Placed],
    failure: &Failure,
) -> Vec<Edit> {
    let found = tokens.get(failure.index).map(|token| token.tok);
    let after_var_keyword = matches!(found, Some(Tok::Ident(_)))
        && failure
            .index
            .checked_sub(1)
            .is_some_and(|i| match tokens[i].tok {
                Tok::Ident(name) => interner.name(name).eq_ignore_ascii_case("VAR"),
                _ => false,
            });
    let mut candidates = Candidates {
        tokens,
        failure,
        k: failure.index,
        found,
        after_var_keyword,
        list: Vec::new(),
    };
    candidates.misspelt(interner, case);
    candidates.classics();
    candidates.confused();
    candidates.closers();
    candidates.missing();
    candidates.crude();
    candidates.list
}

struct Candidates<'a> {
    tokens: &'a [Placed],
    failure: &'a Failure,
    /// The index of the mistake.
    k: usize,
    found: Option<Tok>,
    /// Two names in a row where declarations stand, the first of them `VAR`.
    after_var_keyword: bool,
    list: Vec<Edit>,
}

impl Candidates<'_> {
    fn add(&mut self, kind: Kind, remove: Range<usize>, insert: &[Tok]) {
        self.list.push(Edit {
            kind,
            remove,
            insert: insert.to_vec(),
        });
    }

    fn insert(&mut self, kind: Kind, toks: &[Tok]) {
        self.add(kind, self.k..self.k, toks);
    }

    fn replace(&mut self, kind: Kind, toks: &[Tok]) {
        self.add(kind, self.k..self.k + 1, toks);
    }

    fn expects(&self, tok: Tok) -> bool {
        self.failure.expects(tok)
    }

    /// Keywords of other languages, or of the other case, at the mistake or just before it.
    fn misspelt(&mut self, interner: &Interner, case: KeywordCase) {
        if self.found.is_none() {
            return;
        }
        for i in [Some(self.k), self.k.checked_sub(1)].into_iter().flatten() {
            let Tok::Ident(name) = self.tokens[i].tok else {
                continue;
            };
            let Some((tok, _)) = meant(interner.name(name), case) else {
                continue;
            };
            let kind = if i == self.k {
                Kind::Instead(tok)
            } else {
                Kind::Misspelt(tok)
            };
            self.add(kind, i..i + 1, &[tok]);
            if matches!(tok, Tok::Fi | Tok::Od | Tok::Esac) {
                self.add(kind, i..i + 1, &[tok, Tok::Semi]);
            }
        }
    }

    /// Mistakes with a shape of their own.
    fn classics(&mut self) {
        let Some(found) = self.found else { return };
        let (tokens, k) = (self.tokens, self.k);
        if is_relation(found) && second_relation(tokens, k) {
            self.replace(Kind::SecondRelation, &[Tok::And]);
        }
        if matches!(found, Tok::Plus | Tok::Minus) && k > 0 && is_operator(tokens[k - 1].tok) {
            self.replace(Kind::Sign, &[]);
        }
        if let Some(bar) = bar_before_arrow(tokens, k) {
            self.add(Kind::MissingBeforeBar, bar..bar, &[Tok::Semi]);
        }
        let bracket = opened(tokens, k).last().map(|opened| opened.closer);
        if found == Tok::Assign && bracket == Some(Tok::RBrack) && self.expects(Tok::RBrack) {
            self.insert(Kind::Missing(Tok::RBrack), &[Tok::RBrack]);
        }
        if self.after_var_keyword {
            self.add(Kind::VarKeyword, k - 1..k, &[]);
        }
        if let Some((start, tok)) = missing_start(tokens, k) {
            self.add(Kind::MissingStart(tok), start..start, &[tok]);
        }
        if k == 2 && matches!(tokens[0].tok, Tok::Module | Tok::Object) && found == Tok::Semi {
            self.add(Kind::MissingUnitPart, 1..1, &[Tok::Implementation]);
        }
    }

    /// One thing taken for another.
    fn confused(&mut self) {
        let Some(found) = self.found else { return };
        for &tok in confusable(found).iter().filter(|_| found != Tok::Semi) {
            let in_expression = found == Tok::Colon && self.expects(Tok::Star);
            if self.expects(tok) && !(in_expression && tok == Tok::Eq) {
                self.replace(Kind::Instead(tok), &[tok]);
            }
        }
        if found == Tok::Guard && self.expects(Tok::While) {
            self.replace(Kind::GuardAsStatement, &[Tok::While]);
        }
        if found.is_keyword() && self.expects(NAME) {
            self.replace(Kind::KeywordAsName, &[NAME]);
        }
    }

    /// Closing words that are missing or wrong.
    fn closers(&mut self) {
        if let Some(closers) = closers(self.tokens, self.k) {
            self.insert(Kind::Unclosed, &closers);
            if self.expects(Tok::Semi) {
                let with_semi: Vec<Tok> = [Tok::Semi].into_iter().chain(closers).collect();
                self.insert(Kind::Unclosed, &with_semi);
            }
        }
        // `END IF`, `END WHILE`: two words for one.
        let next = self.tokens.get(self.k + 1).map(|token| token.tok);
        let meant = match next {
            Some(Tok::If) => Some(Tok::Fi),
            Some(Tok::While | Tok::For | Tok::Do) => Some(Tok::Od),
            Some(Tok::Case) => Some(Tok::Esac),
            _ => None,
        };
        if let (Some(Tok::End), Some(tok)) = (self.found, meant.filter(|&tok| self.expects(tok))) {
            self.add(Kind::Instead(tok), self.k..self.k + 2, &[tok]);
        }
        for tok in [Tok::Fi, Tok::Od, Tok::Esac, Tok::End] {
            if self.expects(tok) && self.found.is_some_and(is_closer) {
                self.replace(Kind::Instead(tok), &[tok]);
            }
        }
    }

    /// What may be missing.
    fn missing(&mut self) {
        let after_type = self.after_type();
        let call = self.expects(Tok::LParen) && !self.expects(Tok::Not) && !after_type;
        let operand = matches!(
            self.found,
            Some(Tok::Ident(_) | Tok::Int(..) | Tok::Real(_) | Tok::Char(_) | Tok::Str(_))
        );
        if call && !operand {
            self.insert(Kind::MissingParens, &[Tok::LParen, Tok::RParen]);
            self.insert(Kind::MissingParens, &[Tok::LParen, Tok::RParen, Tok::Semi]);
        }
        for &tok in INSERTED {
            if self.expects(tok) && !self.starts_something(tok) {
                self.insert(Kind::Missing(tok), &[tok]);
            }
        }
        if self.found == Some(Tok::Semi) {
            for &tok in confusable(Tok::Semi)
                .iter()
                .filter(|&&tok| self.failure.expects(tok))
            {
                self.replace(Kind::Instead(tok), &[tok]);
            }
        }
        if call && operand {
            self.insert(Kind::MissingParens, &[Tok::LParen, Tok::RParen, Tok::Semi]);
        }
        if self.expects(Tok::Error) {
            self.insert(Kind::MissingPart, &[Tok::Error]);
            self.insert(Kind::MissingPart, &[Tok::Error, Tok::Semi]);
        }
        if self.expects(NAME) {
            self.insert(Kind::MissingName, &[NAME]);
        }
    }

    /// Behind the name of a type, where bounds or a tag could follow.
    fn after_type(&self) -> bool {
        self.expects(Tok::LBrack) && !self.expects(Tok::Star) && !self.expects(Tok::Assign)
    }

    /// A word that could start a statement, expression or declaration here is not missing.
    fn starts_something(&self, tok: Tok) -> bool {
        match tok {
            Tok::Then | Tok::Do | Tok::Of if comes(self.tokens, self.k, tok) => true,
            Tok::Do => self.expects(Tok::While),
            Tok::LParen | Tok::LBrack if self.after_type() => true,
            Tok::LParen | Tok::LBrack => [Tok::Not, Tok::Record, Tok::Star, Tok::Assign]
                .into_iter()
                .any(|tok| self.expects(tok)),
            Tok::Module => {
                let part = matches!(self.found, Some(Tok::Specification | Tok::Implementation));
                self.expects(Tok::Const) && !part
            }
            Tok::Import => self.expects(Tok::Const),
            _ => false,
        }
    }

    /// Leaving something out.
    fn crude(&mut self) {
        if self.found.is_some() {
            self.replace(Kind::Extra, &[]);
        }
        for range in skips(self.tokens, self.k) {
            self.add(Kind::Garbled, range.clone(), &[Tok::Error]);
            self.add(Kind::Garbled, range, &[]);
        }
    }
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
