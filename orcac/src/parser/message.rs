//! What a syntax error is called: found, expected, and what to write instead.

use crate::diagnostics::{Code, Diagnostic, codes};
use crate::lexer::token::{KeywordCase, Tok};
use crate::session::Session;
use crate::source::Span;
use crate::symbol::Symbol;

use super::around::{bar_before_arrow, opened, statement_start};
use super::edits::{Kind, meant};
use super::repair::{Failure, NAME, Placed, Source};

/// Names are cut to this many characters in messages.
const SHOWN_LEN_MAX: usize = 24;
/// Alternatives named in a message.
const ALTERNATIVES_MAX: usize = 4;

/// Reports the mistake that an edit mends.
pub(super) fn report(
    session: &mut Session,
    source: &Source,
    tokens: &[Placed],
    failure: &Failure,
    kind: Kind,
) {
    let teller = Teller {
        session,
        source,
        tokens,
        failure,
    };
    let diagnostic = teller.tell(kind);
    session.report(diagnostic);
}

struct Teller<'a> {
    session: &'a Session,
    source: &'a Source<'a>,
    tokens: &'a [Placed],
    failure: &'a Failure,
}

impl Teller<'_> {
    fn tell(&self, kind: Kind) -> Diagnostic {
        if let Some(diagnostic) = self.other_case() {
            return diagnostic;
        }
        let found = self.found();
        let here = self.here();
        match kind {
            Kind::Missing(Tok::Star)
            | Kind::GuardAsStatement
            | Kind::Garbled
            | Kind::Extra
            | Kind::MissingPart => self.unexpected(kind),
            Kind::Missing(tok) => {
                let message = format!("expected {}, found {found}", self.show(tok));
                let mut diagnostic = self
                    .diagnostic(codes::MISSING_TOKEN, self.gap(), message)
                    .with_primary(format!("{} is missing here", self.show(tok)));
                if tok == Tok::Semi {
                    diagnostic = self.declaration_hint(diagnostic);
                }
                self.opener_label(diagnostic, tok)
            }
            Kind::MissingName => self.diagnostic(
                codes::MISSING_TOKEN,
                here,
                format!("expected a name, found {found}"),
            ),
            Kind::MissingParens => self
                .diagnostic(
                    codes::MISSING_TOKEN,
                    self.gap(),
                    format!("expected `(`, found {found}"),
                )
                .with_note("parentheses are needed even when there are no parameters")
                .with_help("write `()`"),
            Kind::MissingBeforeBar => self.missing_before_bar(),
            Kind::MissingStart(tok) => {
                let start = self.tokens[statement_start(self.tokens, self.failure.index)];
                let message = format!(
                    "expected {} before {}",
                    self.show(tok),
                    self.describe(start)
                );
                let span = Span::new(self.source.file, start.start, start.end);
                self.diagnostic(codes::MISSING_TOKEN, span, message)
            }
            Kind::MissingUnitPart => {
                let before = self.tokens[self.failure.index - 1];
                let message = format!(
                    "expected {} or {}, found {}",
                    self.show(Tok::Specification),
                    self.show(Tok::Implementation),
                    self.describe(before)
                );
                let span = Span::new(self.source.file, before.start, before.end);
                self.diagnostic(codes::MISSING_TOKEN, span, message)
            }
            Kind::VarKeyword => {
                let before = self.tokens[self.failure.index - 1];
                let span = Span::new(self.source.file, before.start, before.end);
                let word = self.describe(before);
                let message = format!("{word} is no keyword: variables are declared without one");
                self.diagnostic(codes::UNEXPECTED_TOKEN, span, message)
                    .with_help("write `name: type;`")
            }
            Kind::Unclosed => self.unclosed(),
            Kind::Instead(tok) => self.instead(tok),
            Kind::Misspelt(tok) => self.misspelt(tok),
            Kind::KeywordAsName => {
                let message = format!("expected a name, but {found} is a keyword");
                self.declaration_hint(self.diagnostic(codes::UNEXPECTED_TOKEN, here, message))
            }
            Kind::SecondRelation => self.second_relation(),
            Kind::Sign => self
                .diagnostic(
                    codes::SIGN_AFTER_OPERATOR,
                    here,
                    format!("a sign cannot follow {}", self.before()),
                )
                .with_note("a sign stands only at the start of an expression")
                .with_help("put the sign and its operand in parentheses: `a * (-b)`"),
        }
    }

    fn diagnostic(&self, code: Code, span: Span, message: String) -> Diagnostic {
        Diagnostic::new(code, span, message)
    }

    /// The token at the mistake, or the first after the piece.
    fn here(&self) -> Span {
        let file = self.source.file;
        match self.tokens.get(self.failure.index) {
            Some(token) => Span::new(file, token.start, token.end),
            None => match self.source.follower {
                Some(token) => Span::new(file, token.start, token.end),
                None => self.last_token(),
            },
        }
    }

    fn last_token(&self) -> Span {
        let file = self.source.file;
        match self
            .tokens
            .iter()
            .rev()
            .find(|token| token.end > token.start)
        {
            Some(token) => Span::new(file, token.start, token.end),
            None => Span::new(file, self.source.end, self.source.end),
        }
    }

    /// Where something is missing: at the token if it stands on the same line as the one before, else behind that one.
    fn gap(&self) -> Span {
        let here = self.here();
        let Some(before) = self.failure.index.checked_sub(1).map(|i| self.tokens[i]) else {
            return here;
        };
        let file = self.source.file;
        let before = Span::new(
            file,
            before.end.saturating_sub(1).max(before.start),
            before.end,
        );
        let line = |span| self.session.sources.line(span);
        if line(before) == line(here) && self.tokens.len() > self.failure.index {
            here
        } else {
            before
        }
    }

    fn found(&self) -> String {
        match self.tokens.get(self.failure.index) {
            Some(token) => self.describe(*token),
            None => match self.source.follower {
                Some(token) => self.show(token.tok),
                None => "the end of the file".to_owned(),
            },
        }
    }

    fn before(&self) -> String {
        match self.failure.index.checked_sub(1) {
            Some(i) => self.describe(self.tokens[i]),
            None => "this".to_owned(),
        }
    }

    /// A word or mark as this file spells it.
    fn show(&self, tok: Tok) -> String {
        match tok.spelling() {
            Some(text) => format!("`{}`", self.source.case.spell(text)),
            None => "a value".to_owned(),
        }
    }

    fn describe(&self, token: Placed) -> String {
        match token.tok {
            Tok::Ident(Symbol::MISSING) | Tok::Error => "this".to_owned(),
            Tok::Ident(name) => format!("`{}`", cut(self.session.name(name))),
            Tok::Str(_) => "a string".to_owned(),
            Tok::Char(_) => "a character".to_owned(),
            Tok::Int(..) | Tok::Real(_) => {
                let span = Span::new(self.source.file, token.start, token.end);
                format!("`{}`", cut(self.session.text(span)))
            }
            tok => self.show(tok),
        }
    }

    fn unexpected(&self, kind: Kind) -> Diagnostic {
        let found = self.found();
        let stray = self
            .tokens
            .get(self.failure.index)
            .is_some_and(|t| t.tok == Tok::End);
        if stray && self.failure.expects(Tok::Const) && !self.failure.expects(Tok::End) {
            return self
                .diagnostic(
                    codes::NO_UNIT,
                    self.here(),
                    format!("this {found} closes nothing"),
                )
                .with_note("an earlier one may be one too many");
        }
        let closer = self.tokens.get(self.failure.index).map(|token| token.tok);
        if kind == Kind::Extra && matches!(closer, Some(Tok::Fi | Tok::Od | Tok::Esac | Tok::End)) {
            let message = format!("this {found} closes nothing");
            return self.diagnostic(codes::UNCLOSED, self.here(), message);
        }
        let expected = self.expected();
        let message = match expected {
            Some(expected) => format!("expected {expected}, found {found}"),
            None => format!("{found} cannot stand here"),
        };
        let code = match kind {
            Kind::MissingPart => codes::MISSING_TOKEN,
            _ => codes::UNEXPECTED_TOKEN,
        };
        let diagnostic = self.diagnostic(code, self.here(), message);
        self.hints(diagnostic)
    }

    /// What could stand here, in words; nothing if that would be a catalogue.
    fn expected(&self) -> Option<String> {
        let failure = self.failure;
        let mut words: Vec<String> = Vec::new();
        let statements = failure.expects(Tok::While) && failure.expects(Tok::Repeat);
        let declarations = failure.expects(Tok::Const) && failure.expects(Tok::Type);
        let expression = failure.expects(Tok::Not) && failure.expects(Tok::LParen);
        let types = failure.expects(Tok::Record) && failure.expects(Tok::Array);
        let operators = failure.expects(Tok::Star) && failure.expects(Tok::Slash);
        for (present, word) in [
            (statements, "a statement"),
            (declarations, "a declaration"),
            (expression, "an expression"),
            (types, "a type"),
        ] {
            if present {
                words.push(word.to_owned());
            }
        }
        let grouped = !words.is_empty();
        if !grouped && failure.expects(NAME) {
            words.push("a name".to_owned());
        }
        // Words that open or continue something are covered by the groups; closers and marks are not.
        let single: &[Tok] = &[
            Tok::Then,
            Tok::Do,
            Tok::Of,
            Tok::Fi,
            Tok::Od,
            Tok::Esac,
            Tok::Until,
            Tok::End,
            Tok::Assign,
            Tok::Arrow,
            Tok::Semi,
            Tok::Colon,
            Tok::RParen,
            Tok::RBrack,
            Tok::RBrace,
            Tok::Comma,
            Tok::DotDot,
            Tok::Eq,
            Tok::In,
            Tok::New,
            Tok::Import,
            Tok::Nodes,
            Tok::Specification,
            Tok::Implementation,
            Tok::Module,
            Tok::LParen,
            Tok::LBrack,
            Tok::LBrace,
        ];
        let after_type = failure.expects(Tok::Semi) && failure.expects(Tok::LBrack) && !operators;
        let skip = |tok: Tok| match tok {
            Tok::LParen | Tok::LBrack if after_type && !failure.expects(Tok::Assign) => true,
            Tok::LParen => expression || types || operators,
            Tok::LBrack | Tok::LBrace => operators || expression,
            Tok::Eq | Tok::In | Tok::Comma => operators,
            Tok::Colon => operators || failure.expects(Tok::Assign),
            Tok::Module | Tok::Import => declarations,
            Tok::Semi => statements || declarations,
            Tok::Do => statements,
            Tok::Fi | Tok::Od | Tok::Esac | Tok::End | Tok::Until => {
                operators && failure.expects(Tok::Semi)
            }
            _ => false,
        };
        words.extend(
            single
                .iter()
                .filter(|&&tok| failure.expects(tok) && !skip(tok))
                .map(|&tok| self.show(tok)),
        );
        if operators {
            words.push("an operator".to_owned());
        }
        if words.is_empty() || words.len() > ALTERNATIVES_MAX {
            words.truncate(if grouped { 1 } else { 0 });
        }
        let last = words.pop()?;
        Some(if words.is_empty() {
            last
        } else {
            format!("{} or {last}", words.join(", "))
        })
    }

    fn missing_before_bar(&self) -> Diagnostic {
        let Some(bar) = bar_before_arrow(self.tokens, self.failure.index).filter(|&bar| bar > 0)
        else {
            return self.unexpected(Kind::Garbled);
        };
        let before = self.tokens[bar - 1];
        let span = Span::new(self.source.file, before.end.saturating_sub(1), before.end);
        self.diagnostic(
            codes::MISSING_TOKEN,
            span,
            "expected `;` before `|`".to_owned(),
        )
        .with_note("without it `|` is the operator \"bitwise or\"")
    }

    fn unclosed(&self) -> Diagnostic {
        let open = opened(self.tokens, self.failure.index);
        let Some(innermost) = open.last() else {
            return self.unexpected(Kind::Garbled);
        };
        let opener = self.tokens[innermost.index];
        let closer = self.show(innermost.closer);
        let span = Span::new(self.source.file, opener.start, opener.end);
        let message = format!("expected {closer} before {}", self.found());
        let diagnostic = self
            .diagnostic(codes::UNCLOSED, self.here(), message)
            .with_label(
                span,
                format!("this {} is not closed", self.show(opener.tok)),
            );
        self.else_if_hint(diagnostic, innermost.index)
    }

    /// `ELSE IF` opens a second IF, which is easily forgotten.
    fn else_if_hint(&self, diagnostic: Diagnostic, index: usize) -> Diagnostic {
        let is = |i: usize, tok| self.tokens.get(i).is_some_and(|token| token.tok == tok);
        if is(index, Tok::If) && index > 0 && is(index - 1, Tok::Else) {
            let spell = |word| self.source.case.spell(word);
            return diagnostic.with_help(format!(
                "`{}` continues the same `{}` and needs no `{}` of its own",
                spell("ELSIF"),
                spell("IF"),
                spell("FI")
            ));
        }
        diagnostic
    }

    fn opener_label(&self, diagnostic: Diagnostic, tok: Tok) -> Diagnostic {
        if !matches!(tok, Tok::RParen | Tok::RBrack | Tok::RBrace) {
            return diagnostic;
        }
        match opened(self.tokens, self.failure.index).last() {
            Some(open) if open.closer == tok => {
                let opener = self.tokens[open.index];
                let span = Span::new(self.source.file, opener.start, opener.end);
                diagnostic.with_label(span, "to close this")
            }
            _ => diagnostic,
        }
    }

    fn instead(&self, tok: Tok) -> Diagnostic {
        let found = self.tokens.get(self.failure.index).map(|token| token.tok);
        let shown = self.found();
        let here = self.here();
        let wanted = self.show(tok);
        let spell = |word| self.source.case.spell(word);
        match (found, tok) {
            (Some(Tok::Eq | Tok::Ne), Tok::Assign) => self
                .diagnostic(
                    codes::UNEXPECTED_TOKEN,
                    here,
                    format!("expected `:=`, found {shown}, which compares"),
                )
                .with_help("an assignment is written `:=`"),
            (Some(Tok::Assign), Tok::Eq) => {
                let what = if self.failure.expects(Tok::Star) {
                    "a comparison is written `=`; an assignment is no expression"
                } else {
                    "a declaration has `=`"
                };
                self.diagnostic(
                    codes::UNEXPECTED_TOKEN,
                    here,
                    "expected `=`, found `:=`, which assigns".to_owned(),
                )
                .with_help(what)
            }
            (Some(Tok::Assign | Tok::Eq), Tok::In) => self
                .diagnostic(
                    codes::UNEXPECTED_TOKEN,
                    here,
                    format!("expected {wanted}, found {shown}"),
                )
                .with_help(format!(
                    "a loop over numbers is written `{} i {} 1 .. n {}`",
                    spell("FOR"),
                    spell("IN"),
                    spell("DO")
                )),
            (Some(Tok::Ident(name)), _) => self.wrong_word(here, name, tok),
            (Some(_), Tok::Fi | Tok::Od | Tok::Esac | Tok::End) => {
                let diagnostic = self.diagnostic(
                    codes::UNCLOSED,
                    here,
                    format!("expected {wanted}, found {shown}"),
                );
                match opened(self.tokens, self.failure.index).last() {
                    Some(open) => {
                        let opener = self.tokens[open.index];
                        let span = Span::new(self.source.file, opener.start, opener.end);
                        diagnostic.with_label(
                            span,
                            format!("this {} is closed by {wanted}", self.show(opener.tok)),
                        )
                    }
                    None => diagnostic,
                }
            }
            _ => {
                let message = format!("expected {wanted}, found {shown}");
                self.hints(self.diagnostic(codes::UNEXPECTED_TOKEN, here, message))
            }
        }
    }

    /// A keyword in the wrong case just before the mistake: the name is the mistake.
    fn other_case(&self) -> Option<Diagnostic> {
        let before = self.tokens[..self.failure.index].last()?;
        let Tok::Ident(name) = before.tok else {
            return None;
        };
        let (tok, true) = meant(self.session.name(name), self.source.case)? else {
            return None;
        };
        let starts = self.failure.index < 2 || {
            let earlier = self.tokens[self.failure.index - 2].tok;
            earlier.is_keyword() || matches!(earlier, Tok::Semi | Tok::Arrow | Tok::Ident(_))
        };
        let span = Span::new(self.source.file, before.start, before.end);
        starts.then(|| self.wrong_word(span, name, tok))
    }

    fn misspelt(&self, tok: Tok) -> Diagnostic {
        let before = self.tokens[self.failure.index - 1];
        let span = Span::new(self.source.file, before.start, before.end);
        match before.tok {
            Tok::Ident(name) => self.wrong_word(span, name, tok),
            _ => self.unexpected(Kind::Garbled),
        }
    }

    /// A keyword of another language or case.
    fn wrong_word(&self, span: Span, name: Symbol, tok: Tok) -> Diagnostic {
        let word = cut(self.session.name(name));
        let wanted = self.show(tok);
        let only_case = meant(self.session.name(name), self.source.case).is_some_and(|(_, c)| c);
        let diagnostic = self
            .diagnostic(
                codes::UNEXPECTED_TOKEN,
                span,
                match tok.is_keyword() {
                    true => format!("the name `{word}` cannot stand here; {wanted} is the keyword"),
                    false => format!("the name `{word}` cannot stand here; expected {wanted}"),
                },
            )
            .with_help(format!("write {wanted}"));
        if only_case {
            let case = match self.source.case {
                KeywordCase::Lower => "lower",
                KeywordCase::Upper | KeywordCase::Both => "upper",
            };
            return diagnostic.with_note(format!("the keywords of this file are in {case} case"));
        }
        diagnostic
    }

    fn second_relation(&self) -> Diagnostic {
        let (and, or) = (self.source.case.spell("AND"), self.source.case.spell("OR"));
        self.diagnostic(
            codes::RELATION_CHAIN,
            self.here(),
            format!(
                "{} is a second relation in the same expression",
                self.found()
            ),
        )
        .with_note(format!(
            "`{and}` and `{or}` bind more tightly than relations"
        ))
        .with_help(format!(
            "put each relation in parentheses: `(a > 0) {and} (b > 0)`"
        ))
    }

    /// Notes on mistakes that show only in what stands around.
    fn hints(&self, diagnostic: Diagnostic) -> Diagnostic {
        let k = self.failure.index;
        let at = |i: Option<usize>| i.and_then(|i| self.tokens.get(i)).map(|token| token.tok);
        let spell = |word| self.source.case.spell(word);
        match (at(k.checked_sub(1)), at(Some(k))) {
            (_, Some(Tok::Guard)) if self.failure.expects(Tok::While) => {
                diagnostic.with_note("a body is either all guards or has no guard")
            }
            _ if self.failure.expects(Tok::Guard) && !self.failure.expects(Tok::While) => {
                diagnostic.with_note("a body is either all guards or has no guard")
            }
            (_, Some(Tok::Begin | Tok::Init)) if self.failure.expects(Tok::While) => diagnostic
                .with_note(format!(
                    "statements need no `{}`: `{}`, loops and `{}` have closing words of their own",
                    spell("BEGIN"),
                    spell("IF"),
                    spell("CASE")
                )),
            (_, Some(Tok::Const | Tok::Type)) if self.failure.expects(Tok::While) => {
                diagnostic.with_note(format!("declarations stand before `{}`", spell("BEGIN")))
            }
            (_, Some(Tok::Colon)) | (Some(Tok::Colon), _)
                if self.failure.expects(Tok::LBrace) || self.failure.expects(Tok::Assign) =>
            {
                diagnostic.with_note(format!(
                    "variables are declared before `{}`; an aggregate is written `T:{{...}}`",
                    spell("BEGIN")
                ))
            }
            (_, Some(Tok::Assign | Tok::Eq))
                if self.failure.expects(Tok::Semi)
                    && self.failure.expects(Tok::LBrack)
                    && !self.failure.expects(Tok::Star) =>
            {
                diagnostic.with_note("a variable has no initial value in its declaration")
            }
            (Some(Tok::RParen), Some(Tok::Dot | Tok::LBrack)) => {
                diagnostic.with_note("nothing can be selected from a result or parenthesis")
            }
            _ => self.declaration_hint(diagnostic),
        }
    }

    /// `SHARED a: T` has the mode before the name.
    fn declaration_hint(&self, diagnostic: Diagnostic) -> Diagnostic {
        let found = self.tokens.get(self.failure.index).map(|token| token.tok);
        match found {
            Some(Tok::Shared | Tok::Out | Tok::In) if self.failure.expects(NAME) => diagnostic
                .with_note(format!(
                    "the mode stands behind the colon: `a: {} T`",
                    self.source.case.spell("SHARED")
                )),
            _ => diagnostic,
        }
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN_LEN_MAX {
        return text.to_owned();
    }
    text.chars()
        .take(SHOWN_LEN_MAX - 3)
        .chain("...".chars())
        .collect()
}
