//! The tokens of the language and their spellings.

use std::fmt;

use crate::ast::Radix;
use crate::symbol::{Interner, Symbol};

macro_rules! tokens {
    (
        keywords { $($keyword:ident $word:literal)* }
        contextual { $($contextual:ident $context_word:literal)* }
        marks { $($mark:ident $text:literal)* }
    ) => {
        /// A token. Words and marks carry nothing; the others carry their value.
        #[derive(Clone, Copy, PartialEq, Debug)]
        #[allow(missing_docs, reason = "each is its own spelling")]
        pub enum Tok {
            /// A name.
            Ident(Symbol),
            /// `12`, `17B`, `0FFH`.
            Int(u64, Radix),
            /// `1.5E3`.
            Real(f64),
            /// `'c'`.
            Char(u8),
            /// `"text"`, escapes resolved.
            Str(Symbol),
            /// The `BEGIN` of a unit's initialisation part, told apart from a routine's before parsing.
            Init,
            /// Stands for text that did not parse.
            Error,
            $($keyword,)* $($contextual,)* $($mark,)*
        }

        /// The reserved words, in upper case.
        pub const KEYWORDS: &[(&str, Tok)] = &[$(($word, Tok::$keyword)),*];

        /// Words that are keywords only where the data-parallel extension has them.
        pub const CONTEXTUAL: &[(&str, Tok)] = &[$(($context_word, Tok::$contextual)),*];

        impl Tok {
            /// The spelling of a word (in upper case) or mark.
            pub fn spelling(self) -> Option<&'static str> {
                match self {
                    $(Tok::$keyword => Some($word),)*
                    $(Tok::$contextual => Some($context_word),)*
                    $(Tok::$mark => Some($text),)*
                    Tok::Init => Some("BEGIN"),
                    _ => None,
                }
            }
        }
    };
}

tokens! {
    keywords {
        And "AND" Array "ARRAY" Bag "BAG" Begin "BEGIN" Case "CASE" Const "CONST" Data "DATA" Do "DO"
        Else "ELSE" Elsif "ELSIF" End "END" Esac "ESAC" Exit "EXIT" Fi "FI" For "FOR" Fork "FORK"
        From "FROM" Function "FUNCTION" Generic "GENERIC" Graph "GRAPH" Guard "GUARD" If "IF"
        Implementation "IMPLEMENTATION" Import "IMPORT" In "IN" Module "MODULE" New "NEW"
        NodeName "NODENAME" Nodes "NODES" Not "NOT" Numeric "NUMERIC" Object "OBJECT" Od "OD" Of "OF"
        On "ON" Operation "OPERATION" Or "OR" Out "OUT" Process "PROCESS" Record "RECORD"
        Repeat "REPEAT" Return "RETURN" Scalar "SCALAR" Set "SET" Shared "SHARED"
        Specification "SPECIFICATION" Then "THEN" Type "TYPE" Union "UNION" Until "UNTIL" While "WHILE"
    }
    contextual {
        Access "ACCESS" Dependencies "DEPENDENCIES" Gather "GATHER" Parallel "PARALLEL"
        Reduce "REDUCE" With "WITH"
    }
    marks {
        Plus "+" Minus "-" Star "*" Slash "/" Percent "%" Bar "|" Caret "^" Amp "&" Tilde "~"
        Shl "<<" Shr ">>" Eq "=" Ne "/=" Lt "<" Gt ">" Le "<=" Ge ">=" Assign ":=" DotDot ".."
        Arrow "=>" Comma "," Dot "." Semi ";" Colon ":" LParen "(" RParen ")" LBrack "[" RBrack "]"
        LBrace "{" RBrace "}" Dollar "$" DollarDollar "$$" Bang "!"
    }
}

/// Which spelling of the keywords a file uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeywordCase {
    /// `MODULE`
    Upper,
    /// `module`
    Lower,
    /// Either, by `--keywords=both`.
    Both,
}

impl KeywordCase {
    /// A keyword as a file of this case spells it.
    pub fn spell(self, upper: &str) -> String {
        match self {
            KeywordCase::Upper | KeywordCase::Both => upper.to_owned(),
            KeywordCase::Lower => upper.to_ascii_lowercase(),
        }
    }
}

/// The longest word in the tables.
const WORD_LEN_MAX: usize = 14;

/// The word of a table, in the case of the file.
fn find(table: &[(&str, Tok)], word: &str, case: KeywordCase) -> Option<Tok> {
    if word.len() > WORD_LEN_MAX {
        return None;
    }
    let upper = || table.iter().find(|(text, _)| *text == word);
    let lower = || {
        let all_lower = word.bytes().all(|b| b.is_ascii_lowercase());
        table
            .iter()
            .find(|(text, _)| all_lower && text.eq_ignore_ascii_case(word))
    };
    let found = match case {
        KeywordCase::Upper => upper(),
        KeywordCase::Lower => lower(),
        KeywordCase::Both => upper().or_else(lower),
    };
    found.map(|&(_, tok)| tok)
}

/// The keyword that `word` is in a file of this case.
pub fn keyword(word: &str, case: KeywordCase) -> Option<Tok> {
    find(KEYWORDS, word, case)
}

/// The keyword that `word` would be in some case; `Module` and `oD` are among them.
pub fn keyword_in_any_case(word: &str) -> Option<Tok> {
    KEYWORDS
        .iter()
        .find(|(text, _)| text.eq_ignore_ascii_case(word))
        .map(|&(_, tok)| tok)
}

/// The word of the data-parallel extension that `word` may be.
pub fn contextual(word: &str, case: KeywordCase) -> Option<Tok> {
    find(CONTEXTUAL, word, case)
}

impl Tok {
    /// Whether it is one of the reserved words.
    pub fn is_keyword(self) -> bool {
        self == Tok::Init || KEYWORDS.iter().any(|&(_, tok)| tok == self)
    }

    /// For dumps: the kind and the value.
    pub fn describe(self, interner: &Interner) -> String {
        match self {
            Tok::Ident(name) => format!("name {}", interner.name(name)),
            Tok::Int(value, Radix::Decimal) => format!("integer {value}"),
            Tok::Int(value, Radix::Octal) => format!("integer {value:o}B"),
            Tok::Int(value, Radix::Hex) => format!("integer {value:X}H"),
            Tok::Real(value) => format!("real {value:?}"),
            Tok::Char(value) => format!("char {:?}", char::from(value)),
            Tok::Str(text) => format!("string {:?}", interner.name(text)),
            Tok::Error => "error".to_owned(),
            other => other
                .spelling()
                .expect("words and marks have a spelling")
                .to_owned(),
        }
    }
}

impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling().unwrap_or("value"))
    }
}
