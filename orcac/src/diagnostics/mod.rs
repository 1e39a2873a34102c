//! What the compiler tells its user: one `Diagnostic` a mistake, collected in a sink and shown once, at the end.
//!
//! A message is lower case, without a full stop, says what was found and what was expected, and points at the smallest
//! span; a label stands where the cause is. `codes` is the table of all codes; `render` turns diagnostics into text.

pub mod codes;
pub mod render;

use std::fmt;

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The program has no meaning.
    Error,
    /// The program has a meaning that is likely not the one intended.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// The number of a kind of diagnostic, shown as `E0123` or `W0123`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Code {
    severity: Severity,
    number: u16,
}

impl Code {
    /// An error code; codes are made only in `codes`.
    const fn error(number: u16) -> Code {
        Code {
            severity: Severity::Error,
            number,
        }
    }

    /// A warning code.
    const fn warning(number: u16) -> Code {
        Code {
            severity: Severity::Warning,
            number,
        }
    }

    /// Error or warning.
    pub fn severity(self) -> Severity {
        self.severity
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.severity {
            Severity::Error => 'E',
            Severity::Warning => 'W',
        };
        write!(f, "{letter}{:04}", self.number)
    }
}

/// A second place that explains the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there.
    pub text: String,
}

/// One thing to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// One line: what was found, what was expected.
    pub message: String,
    /// The smallest span that shows the mistake.
    pub span: Span,
    /// Text beside the primary span, if the message alone does not say it.
    pub label: Option<String>,
    /// Other places.
    pub labels: Vec<Label>,
    /// Background, a sentence each.
    pub notes: Vec<String>,
    /// What to write instead, when that is certain.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic with its code, place and message; the code decides the severity.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            message: message.into(),
            span,
            label: None,
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Text beside the primary span.
    pub fn with_primary(mut self, text: impl Into<String>) -> Diagnostic {
        self.label = Some(text.into());
        self
    }

    /// A second place.
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Background.
    pub fn with_note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// What to write instead.
    pub fn with_help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help = Some(text.into());
        self
    }
}

/// Errors kept beyond which only the count grows.
pub const ERRORS_MAX: usize = 100;

/// The sink.
#[derive(Default, Debug)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// Takes a diagnostic. Beyond `ERRORS_MAX` of a severity only the count is kept.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        let count = match diagnostic.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= ERRORS_MAX {
            self.list.push(diagnostic);
        }
    }

    /// The number of errors reported, kept or not.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// The number of warnings reported, kept or not.
    pub fn warning_count(&self) -> usize {
        self.warnings
    }

    /// Whether so many errors were found that more would not help.
    pub fn is_full(&self) -> bool {
        self.errors >= ERRORS_MAX
    }

    /// In order of reporting.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// In order of place; the same message at the same place only once.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.list.iter().collect();
        all.sort_by(|a, b| {
            (a.span.file, a.span.start, a.code, &a.message).cmp(&(
                b.span.file,
                b.span.start,
                b.code,
                &b.message,
            ))
        });
        all.dedup_by(|a, b| (a.span, a.code, &a.message) == (b.span, b.code, &b.message));
        all
    }
}
