//! What every phase is handed: options, sources, names, diagnostics.
//!
//! A phase never prints, exits or opens a file; it takes the session and returns a value.

use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::source::{FileId, Files, Sources, Span};
use crate::symbol::{Interner, Symbol};

/// Which spellings of keywords are reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keywords {
    /// The first keyword of each file decides.
    #[default]
    Auto,
    /// `MODULE`, `IF`, ...
    Upper,
    /// `module`, `if`, ...
    Lower,
    /// Either.
    Both,
}

/// How diagnostics are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MessageFormat {
    /// With the source text.
    #[default]
    Human,
    /// One line each.
    Short,
    /// One JSON object a line.
    Json,
}

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-I`: folders to search for units and included files.
    pub import_dirs: Vec<PathBuf>,
    /// `-D`: symbols of conditional compilation that are defined.
    pub defines: Vec<String>,
    /// `-U`: symbols that are not, even if `-D` names them.
    pub undefines: Vec<String>,
    /// `--keywords`.
    pub keywords: Keywords,
    /// `--message-format`.
    pub message_format: MessageFormat,
    /// `-O`: 0, 1 or 2.
    pub opt_level: u8,
    /// `-g`.
    pub debug_info: bool,
    /// `-v`.
    pub verbose: bool,
    /// `--time-phases`.
    pub time_phases: bool,
    /// `--sysroot`.
    pub sysroot: Option<PathBuf>,
    /// Other files named on the command line: units are found there too.
    pub other_files: Vec<PathBuf>,
}

/// One compilation.
pub struct Session {
    /// What the user asked for.
    pub options: Options,
    /// All files read so far.
    pub sources: Sources,
    /// All names seen so far.
    pub interner: Interner,
    /// All that was found wrong so far.
    pub diagnostics: Diagnostics,
    files: Box<dyn Files>,
}

impl Session {
    /// A session that reads through `files`.
    pub fn new(options: Options, files: Box<dyn Files>) -> Session {
        Session {
            options,
            sources: Sources::default(),
            interner: Interner::default(),
            diagnostics: Diagnostics::default(),
            files,
        }
    }

    /// Reads a file, once.
    pub fn load(&mut self, path: &Path) -> io::Result<FileId> {
        self.sources.load(&*self.files, path)
    }

    /// Where files come from.
    pub fn files(&self) -> &dyn Files {
        &*self.files
    }

    /// The symbol of a text.
    pub fn intern(&mut self, text: &str) -> Symbol {
        self.interner.intern(text)
    }

    /// The text of a symbol.
    pub fn name(&self, symbol: Symbol) -> &str {
        self.interner.name(symbol)
    }

    /// The source text of a span.
    pub fn text(&self, span: Span) -> &str {
        self.sources.text(span)
    }

    /// Puts a diagnostic into the sink.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.report(diagnostic);
    }

    /// Whether any error was reported.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.error_count() > 0
    }
}
