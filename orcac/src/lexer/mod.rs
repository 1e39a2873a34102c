//! Text to tokens.
//!
//! Expects: a loaded file. Guarantees: tokens in order, none of them across a line; names and literals interned;
//! comments, blank lines and preprocessor lines in a side table, so that the text can be written again. Reports: bad
//! characters, numbers, constants and preprocessor lines; what it reports it also repairs, so that the parser
//! does not complain of the same place again.
//!
//! `logos` finds where tokens start; numbers, constants and names are finished by hand. Whether a word is a keyword depends on
//! the case that the file uses, found from its first word.
//!
//! Implements: ORCA.md section 1.

mod conditional;
mod context;
mod number;
pub mod token;

#[cfg(test)]
mod tests;

use std::fmt::Write;

use logos::Logos;

use crate::diagnostics::{Code, Diagnostic, codes};
use crate::session::{Keywords, Session};
use crate::source::{FileId, NOT_UTF8, Span};

pub use token::{KeywordCase, Tok};

/// A token where it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Token {
    /// What.
    pub tok: Tok,
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// What stands between tokens and is not white space within a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TriviaKind {
    /// `# ...`
    Comment,
    /// Lines with nothing on them; their number.
    BlankLines(u32),
    /// A preprocessor line.
    Directive,
    /// Text that conditional compilation leaves out.
    Skipped,
}

/// A piece of the side table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trivia {
    /// What.
    pub kind: TriviaKind,
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// The index of the token that follows it.
    pub before: u32,
}

/// A file in tokens.
#[derive(Clone, Debug)]
pub struct Lexed {
    /// The file.
    pub file: FileId,
    /// The case of its keywords.
    pub case: KeywordCase,
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// What stands between them, in order.
    pub trivia: Vec<Trivia>,
    /// Where strings end that lack their closing quote, in order.
    pub open_strings: Vec<u32>,
    /// Its length.
    pub end: u32,
}

/// Some editors put it at the start of a file; it means nothing.
const BYTE_ORDER_MARK: char = '\u{feff}';

#[derive(Logos, Clone, Copy, PartialEq, Debug)]
enum Raw {
    #[regex(r"[ \t\x0b\x0c\r]+")]
    Blank,
    #[token("\n")]
    Newline,
    #[regex(r"#[^\n]*", allow_greedy = true)]
    Comment,
    #[regex(r"[A-Za-z_][A-Za-z0-9_]*")]
    Word,
    #[regex(r"[0-9]")]
    Digit,
    #[token("'")]
    Quote,
    #[token("\"")]
    DoubleQuote,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("|")]
    Bar,
    #[token("^")]
    Caret,
    #[token("&")]
    Amp,
    #[token("~")]
    Tilde,
    #[token("<<")]
    Shl,
    #[token(">>")]
    Shr,
    #[token("=")]
    Eq,
    #[token("/=")]
    Ne,
    #[token("<")]
    Lt,
    #[token(">")]
    Gt,
    #[token("<=")]
    Le,
    #[token(">=")]
    Ge,
    #[token(":=")]
    Assign,
    #[token("..")]
    DotDot,
    #[token("=>")]
    Arrow,
    #[token(",")]
    Comma,
    #[token(".")]
    Dot,
    #[token(";")]
    Semi,
    #[token(":")]
    Colon,
    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LBrack,
    #[token("]")]
    RBrack,
    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
    #[token("$")]
    Dollar,
    #[token("$$")]
    DollarDollar,
    #[token("!")]
    Bang,
    // Marks of other languages: nothing in Orca starts so, and the message can say what is meant.
    #[token("==")]
    EqEq,
    #[token("!=")]
    #[token("<>")]
    NotEq,
    #[token("&&")]
    AmpAmp,
    #[token("+=")]
    #[token("-=")]
    #[token("*=")]
    #[token("%=")]
    #[token("&=")]
    #[token("^=")]
    OpEq,
    #[regex(r"//[^\n]*", allow_greedy = true)]
    SlashComment,
    #[token("/*")]
    #[token("(*")]
    BlockComment,
}

impl Raw {
    /// The mark that needs no further look.
    fn mark(self) -> Option<Tok> {
        Some(match self {
            Raw::Plus => Tok::Plus,
            Raw::Minus => Tok::Minus,
            Raw::Star => Tok::Star,
            Raw::Slash => Tok::Slash,
            Raw::Percent => Tok::Percent,
            Raw::Bar => Tok::Bar,
            Raw::Caret => Tok::Caret,
            Raw::Amp => Tok::Amp,
            Raw::Tilde => Tok::Tilde,
            Raw::Shl => Tok::Shl,
            Raw::Shr => Tok::Shr,
            Raw::Eq => Tok::Eq,
            Raw::Ne => Tok::Ne,
            Raw::Lt => Tok::Lt,
            Raw::Gt => Tok::Gt,
            Raw::Le => Tok::Le,
            Raw::Ge => Tok::Ge,
            Raw::Assign => Tok::Assign,
            Raw::DotDot => Tok::DotDot,
            Raw::Arrow => Tok::Arrow,
            Raw::Comma => Tok::Comma,
            Raw::Dot => Tok::Dot,
            Raw::Semi => Tok::Semi,
            Raw::Colon => Tok::Colon,
            Raw::LParen => Tok::LParen,
            Raw::RParen => Tok::RParen,
            Raw::LBrack => Tok::LBrack,
            Raw::RBrack => Tok::RBrack,
            Raw::LBrace => Tok::LBrace,
            Raw::RBrace => Tok::RBrace,
            Raw::Dollar => Tok::Dollar,
            Raw::DollarDollar => Tok::DollarDollar,
            Raw::Bang => Tok::Bang,
            _ => return None,
        })
    }
}

/// Lexes a file.
pub fn lex(session: &mut Session, file: FileId) -> Lexed {
    let text = session.sources.get(file).text.clone();
    let active = conditional::process(session, file);
    let mut lexer = Lexer {
        session,
        file,
        text: &text,
        case: None,
        tokens: Vec::new(),
        trivia: Vec::new(),
        newlines: 1,
        open_strings: Vec::new(),
        blank_start: 0,
    };
    lexer.case = lexer.forced_case();
    for (start, end) in active.pieces {
        lexer.piece(start, end);
    }
    let Lexer {
        case,
        mut tokens,
        mut trivia,
        open_strings,
        ..
    } = lexer;
    let case = case.unwrap_or(KeywordCase::Upper);
    context::promote(session, case, &mut tokens);
    for (list, kind) in [
        (active.directives, TriviaKind::Directive),
        (active.skipped, TriviaKind::Skipped),
    ] {
        trivia.extend(list.into_iter().map(|(start, end)| {
            let before = tokens.partition_point(|token| token.start < start) as u32;
            Trivia {
                kind,
                start,
                end,
                before,
            }
        }));
    }
    trivia.sort_by_key(|trivia| trivia.start);
    Lexed {
        file,
        case,
        tokens,
        trivia,
        open_strings,
        end: text.len() as u32,
    }
}

struct Lexer<'a> {
    session: &'a mut Session,
    file: FileId,
    text: &'a str,
    /// Known as soon as the first word is.
    case: Option<KeywordCase>,
    tokens: Vec<Token>,
    trivia: Vec<Trivia>,
    /// Newlines since the last token or comment.
    newlines: u32,
    open_strings: Vec<u32>,
    /// Where the first blank line of the present run starts.
    blank_start: u32,
}

impl Lexer<'_> {
    fn forced_case(&self) -> Option<KeywordCase> {
        match self.session.options.keywords {
            Keywords::Auto => None,
            Keywords::Upper => Some(KeywordCase::Upper),
            Keywords::Lower => Some(KeywordCase::Lower),
            Keywords::Both => Some(KeywordCase::Both),
        }
    }

    fn piece(&mut self, start: u32, end: u32) {
        let mut raw = Raw::lexer(&self.text[start as usize..end as usize]);
        while let Some(next) = raw.next() {
            let at = start + raw.span().start as u32;
            let Ok(kind) = next else {
                let extra = self.foreign_character(at, end);
                raw.bump(extra);
                continue;
            };
            let extra = self.token(kind, at, raw.slice(), raw.remainder());
            raw.bump(extra);
        }
    }

    /// Takes one raw token and says how many bytes behind it belong to it.
    fn token(&mut self, kind: Raw, at: u32, slice: &str, rest: &str) -> usize {
        let end = at + slice.len() as u32;
        if let Some(tok) = kind.mark() {
            self.push(tok, at, end);
            return 0;
        }
        match kind {
            Raw::Blank => 0,
            Raw::Newline => {
                self.newline(end);
                0
            }
            Raw::Comment => {
                self.flush_blank(at);
                self.trivia(TriviaKind::Comment, at, end);
                0
            }
            Raw::Word => {
                self.word(at, slice);
                0
            }
            Raw::Digit => self.number(at) - 1,
            Raw::Quote => self.char_constant(at, rest),
            Raw::DoubleQuote => self.string(at, rest),
            Raw::SlashComment => {
                self.error(
                    codes::FOREIGN_COMMENT,
                    at,
                    at + 2,
                    "a comment starts with `#`, not with `//`",
                );
                0
            }
            Raw::BlockComment => self.block_comment(at, slice, rest),
            foreign => {
                self.foreign_operator(foreign, at, slice);
                0
            }
        }
    }

    fn push(&mut self, tok: Tok, start: u32, end: u32) {
        self.flush_blank(start);
        self.tokens.push(Token { tok, start, end });
    }

    fn trivia(&mut self, kind: TriviaKind, start: u32, end: u32) {
        let before = self.tokens.len() as u32;
        self.trivia.push(Trivia {
            kind,
            start,
            end,
            before,
        });
    }

    fn newline(&mut self, end: u32) {
        self.newlines += 1;
        if self.newlines == 1 {
            self.blank_start = end;
        }
    }

    /// Notes the blank lines before a token or comment at `start`.
    fn flush_blank(&mut self, start: u32) {
        if self.newlines > 1 {
            self.trivia(
                TriviaKind::BlankLines(self.newlines - 1),
                self.blank_start,
                start,
            );
        }
        self.newlines = 0;
    }

    fn report(&mut self, code: Code, start: u32, end: u32, message: &str) -> Diagnostic {
        Diagnostic::new(code, Span::new(self.file, start, end), message)
    }

    fn error(&mut self, code: Code, start: u32, end: u32, message: &str) {
        let diagnostic = self.report(code, start, end, message);
        self.session.report(diagnostic);
    }

    /// A character at `at` that no token starts with, in a piece that ends at `end`; how many bytes after it go with it.
    fn foreign_character(&mut self, at: u32, end: u32) -> usize {
        let rest = &self.text[at as usize..end as usize];
        let first = rest.chars().next().expect("a token has a character");
        if at == 0 && first == BYTE_ORDER_MARK {
            return 0;
        }
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let len: usize = if !first.is_ascii() && in_word(first) {
            rest.chars()
                .take_while(|&c| in_word(c))
                .map(char::len_utf8)
                .sum()
        } else {
            rest.chars()
                .take_while(|c| !c.is_ascii() && !in_word(*c))
                .map(char::len_utf8)
                .sum()
        };
        if !first.is_ascii() && in_word(first) {
            self.foreign_name(at, at + len as u32);
            return len - first.len_utf8();
        }
        let len = len.max(first.len_utf8());
        self.bad_character(at, at + len as u32);
        len - first.len_utf8()
    }

    /// A name with letters of other alphabets, the first of them at `at`.
    fn foreign_name(&mut self, at: u32, end: u32) {
        let head = self.tokens.pop_if(|token| {
            token.end == at && (matches!(token.tok, Tok::Ident(_)) || token.tok.is_keyword())
        });
        let start = head.map_or(at, |token| token.start);
        let word = &self.text[start as usize..end as usize];
        let shown: String = word.chars().take(24).collect();
        let name = self.session.intern(word);
        self.push(Tok::Ident(name), start, end);
        let message = format!("`{shown}` is no name: the letters of names are A to Z and a to z");
        self.error(codes::BAD_NAME, start, end, &message);
    }

    fn bad_character(&mut self, start: u32, end: u32) {
        let text = &self.text[start as usize..end as usize];
        let message = match text.chars().next() {
            Some(c) if c == NOT_UTF8 as char || c.is_ascii_control() => {
                "a byte that is no character of a program".to_owned()
            }
            Some(c) if c.is_ascii() => format!("no token of Orca starts with `{c}`"),
            _ => format!(
                "`{}` can stand in comments and strings only",
                text.chars().take(20).collect::<String>()
            ),
        };
        self.error(codes::BAD_CHARACTER, start, end, &message);
    }

    fn word(&mut self, at: u32, word: &str) {
        let end = at + word.len() as u32;
        let first = self.case.is_none();
        let case = match self.case {
            Some(case) => case,
            None => self.find_case(at, word),
        };
        if let Some(tok) = token::keyword(word, case) {
            return self.push(tok, at, end);
        }
        // A first word in mixed case has been told; it is read as what it means.
        if let Some(tok) = token::keyword_in_any_case(word).filter(|_| first) {
            return self.push(tok, at, end);
        }
        let fault = if word.starts_with('_') {
            Some("starts")
        } else if word.ends_with('_') {
            Some("ends")
        } else {
            None
        };
        if let Some(verb) = fault {
            let message = format!("a name {verb} with a letter or digit, not with `_`")
                .replace("starts with a letter or digit", "starts with a letter");
            self.error(codes::BAD_NAME, at, end, &message);
        } else if word.contains("__") {
            self.error(codes::BAD_NAME, at, end, "a name has no two `_` in a row");
        }
        let name = self.session.intern(word);
        self.push(Tok::Ident(name), at, end);
    }

    /// The file's first word decides the case of all its keywords.
    fn find_case(&mut self, at: u32, word: &str) -> KeywordCase {
        let all_lower = word.bytes().all(|b| !b.is_ascii_uppercase());
        let case = if token::keyword(word, KeywordCase::Upper).is_some() {
            KeywordCase::Upper
        } else if token::keyword(word, KeywordCase::Lower).is_some() {
            KeywordCase::Lower
        } else if token::keyword_in_any_case(word).is_some() {
            let diagnostic = self
                .report(
                    codes::UNKNOWN_KEYWORD_CASE,
                    at,
                    at + word.len() as u32,
                    "cannot determine keyword case: neither upper nor lower",
                )
                .with_help(format!(
                    "write `{}` or `{}`; all keywords of a file are spelled alike",
                    word.to_ascii_uppercase(),
                    word.to_ascii_lowercase()
                ));
            self.session.report(diagnostic);
            let upper = self.majority_is_upper();
            let case = if upper {
                KeywordCase::Upper
            } else {
                KeywordCase::Lower
            };
            self.case = Some(case);
            return case;
        } else if all_lower && !self.majority_is_upper() {
            KeywordCase::Lower
        } else {
            KeywordCase::Upper
        };
        self.case = Some(case);
        case
    }

    /// Which spelling of `begin`, `end` and the like is more frequent in the text.
    fn majority_is_upper(&self) -> bool {
        let mut balance = 0i64;
        for word in self
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        {
            if token::keyword(word, KeywordCase::Upper).is_some() {
                balance += 1;
            } else if token::keyword(word, KeywordCase::Lower).is_some() {
                balance -= 1;
            }
        }
        balance >= 0
    }

    /// The number at `at`; its length.
    fn number(&mut self, at: u32) -> usize {
        let text = self.text;
        let rest = &text[at as usize..];
        let line = rest
            .split('\n')
            .next()
            .expect("split gives at least one piece");
        let number = number::scan(line);
        let end = at + number.len as u32;
        self.push(number.tok, at, end);
        let Some(fault) = number.fault else {
            return number.len;
        };
        let shown: String = line[..number.len].chars().take(24).collect();
        let (message, help) = match fault {
            number::Fault::NotOctal => (
                format!("`{shown}` ends in `B` but has digits that are not octal"),
                None,
            ),
            number::Fault::ExponentWithoutPoint => {
                let (whole, exponent) = line[..number.len]
                    .split_at(line.bytes().take_while(u8::is_ascii_digit).count());
                (
                    format!("a real number needs a point: `{shown}`"),
                    Some(format!("write `{whole}.0{exponent}`")),
                )
            }
            number::Fault::HexWithoutH => (
                format!("`{shown}` has hexadecimal digits but no final `H`"),
                None,
            ),
            number::Fault::NoExponentDigits => {
                (format!("the exponent of `{shown}` has no digits"), None)
            }
            number::Fault::TooLarge => ("a number too large for any type".to_owned(), None),
        };
        let mut diagnostic = self.report(codes::BAD_NUMBER, at, end, &message);
        diagnostic.help = help;
        self.session.report(diagnostic);
        number.len
    }

    /// The character constant that opens at `at`; `rest` follows the apostrophe.
    fn char_constant(&mut self, at: u32, rest: &str) -> usize {
        let line = rest
            .split('\n')
            .next()
            .expect("split gives at least one piece");
        let bytes = line.as_bytes();
        if bytes.len() >= 2 && bytes[1] == b'\'' && bytes[0] != NOT_UTF8 {
            self.push(Tok::Char(bytes[0]), at, at + 3);
            return 2;
        }
        // What follows up to the next apostrophe was meant, if it is near.
        let close = line
            .char_indices()
            .take(12)
            .find(|&(_, c)| c == '\'')
            .map(|(i, _)| i);
        let (len, message) = match close {
            Some(0) => (
                1,
                "a character constant holds exactly one character, not none",
            ),
            Some(i) if line[..i].chars().count() == 1 => (
                i + 1,
                "a character constant holds one byte; write CHR(n) for others",
            ),
            Some(i) => (i + 1, "a character constant holds exactly one character"),
            None => (
                line.chars().next().map_or(0, char::len_utf8),
                "this character constant has no closing apostrophe",
            ),
        };
        let escape = close.is_some() && line.starts_with('\\');
        let end = at + 1 + len as u32;
        let value = bytes.first().copied().unwrap_or(b' ');
        self.push(Tok::Char(value), at, end);
        let mut diagnostic = self.report(codes::BAD_CHARACTER_CONSTANT, at, end, message);
        if escape {
            diagnostic = diagnostic
                .with_note("there are no escapes: '\\' is a backslash, CHR(10) is a newline");
        } else if close.is_some_and(|i| i > 1) {
            diagnostic = diagnostic.with_note("a string stands between double quotes");
        }
        self.session.report(diagnostic);
        len
    }

    /// The string that opens at `at`; `rest` follows the quote.
    fn string(&mut self, at: u32, rest: &str) -> usize {
        let line = rest
            .split('\n')
            .next()
            .expect("split gives at least one piece");
        let mut value = String::new();
        let mut chars = line.char_indices();
        let mut bad_byte = None;
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    let symbol = self.session.intern(&value);
                    self.push(Tok::Str(symbol), at, at + i as u32 + 2);
                    self.bad_byte_in_string(at, bad_byte);
                    return i + 1;
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) => {
                        if escaped.is_ascii_alphabetic() {
                            self.letter_escape(at + 1 + i as u32, escaped);
                        }
                        value.push(escaped);
                    }
                    None => break,
                },
                c => {
                    if c == NOT_UTF8 as char {
                        bad_byte = Some(at + 1 + i as u32);
                    }
                    value.push(c);
                }
            }
        }
        let len = line.trim_end().len();
        self.open_strings.push(at + 1 + len as u32);
        self.error(
            codes::OPEN_STRING,
            at,
            at + 1 + len as u32,
            "this string has no closing quote on its line",
        );
        let symbol = self.session.intern(&value);
        self.push(Tok::Str(symbol), at, at + 1 + len as u32);
        len
    }

    fn bad_byte_in_string(&mut self, at: u32, place: Option<u32>) {
        if let Some(place) = place {
            debug_assert!(place > at, "the byte lies inside the string");
            self.error(
                codes::BAD_CHARACTER,
                place,
                place + 1,
                "a byte that is no character of a program",
            );
        }
    }

    fn letter_escape(&mut self, at: u32, letter: char) {
        let diagnostic = self
            .report(
                codes::LETTER_ESCAPE,
                at,
                at + 2,
                &format!("`\\{letter}` in a string is the letter `{letter}`"),
            )
            .with_note("only `\\\"` and `\\\\` are useful; CHR(10) is a newline");
        self.session.report(diagnostic);
    }

    fn block_comment(&mut self, at: u32, slice: &str, rest: &str) -> usize {
        let close = if slice == "/*" { "*/" } else { "*)" };
        self.error(
            codes::FOREIGN_COMMENT,
            at,
            at + 2,
            &format!("a comment starts with `#`; there are no `{slice} {close}` comments"),
        );
        match rest.find(close) {
            Some(i) => i + 2,
            None => rest.find('\n').unwrap_or(rest.len()),
        }
    }

    /// An operator of another language is read as the one that is meant.
    fn foreign_operator(&mut self, raw: Raw, at: u32, slice: &str) {
        let end = at + slice.len() as u32;
        let (toks, meant): (&[Tok], String) = match raw {
            Raw::EqEq => (&[Tok::Eq], "=".to_owned()),
            Raw::NotEq => (&[Tok::Ne], "/=".to_owned()),
            Raw::AmpAmp => (&[Tok::And], "AND".to_owned()),
            Raw::OpEq => {
                let op = slice.chars().next().expect("a token has a character");
                let tok = match op {
                    '+' => Tok::Plus,
                    '-' => Tok::Minus,
                    '*' => Tok::Star,
                    '%' => Tok::Percent,
                    '&' => Tok::Amp,
                    _ => Tok::Caret,
                };
                self.push(tok, at, at + 1);
                (&[Tok::Assign], format!("{op}:="))
            }
            other => unreachable!("{other:?} is handled elsewhere"),
        };
        let start = if raw == Raw::OpEq { at + 1 } else { at };
        for &tok in toks {
            self.push(tok, start, end);
        }
        let diagnostic = self
            .report(
                codes::FOREIGN_OPERATOR,
                at,
                end,
                &format!("`{slice}` is no operator of Orca"),
            )
            .with_help(format!("write `{meant}`"));
        self.session.report(diagnostic);
    }
}

/// The text form for `orcac dump tokens`: a line a token, comments and blank lines among them.
pub fn dump(session: &Session, lexed: &Lexed) -> String {
    let source = session.sources.get(lexed.file);
    let mut out = String::new();
    let mut trivia = lexed.trivia.iter().peekable();
    for index in 0..=lexed.tokens.len() {
        while let Some(t) = trivia.next_if(|t| t.before as usize <= index) {
            let (line, column) = source.line_column(t.start);
            let text = source.text[t.start as usize..t.end as usize].trim_end();
            let _ = match t.kind {
                TriviaKind::Comment => writeln!(out, "{line}:{column} comment {text:?}"),
                TriviaKind::BlankLines(count) => writeln!(out, "{line}:{column} blank {count}"),
                TriviaKind::Directive => writeln!(out, "{line}:{column} directive {text:?}"),
                TriviaKind::Skipped => writeln!(out, "{line}:{column} skipped {text:?}"),
            };
        }
        if let Some(token) = lexed.tokens.get(index) {
            let (line, column) = source.line_column(token.start);
            let _ = writeln!(
                out,
                "{line}:{column} {}",
                token.tok.describe(&session.interner)
            );
        }
    }
    out
}
