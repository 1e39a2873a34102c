//! Preprocessor lines: `.define`, `.undef`, `.ifdef`, `.ifndef`, `.else`, `.endif`, `.include`.
//!
//! The result is the list of pieces of the file that are to be lexed, by their place in the file itself, so that line
//! numbers need no map. Symbols have no values and nothing is substituted. An included file holds nothing but such
//! lines; it exists to share `.define`s.
//!
//! Implements: ORCA.md 1.7.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::diagnostics::{Diagnostic, codes};
use crate::session::Session;
use crate::source::{FileId, Span};

/// Conditionals open at a time.
const NESTING_MAX: usize = 256;
/// Files open at a time.
const INCLUDE_DEPTH_MAX: usize = 32;
/// Files included for one source file, counting repetitions.
const INCLUDE_COUNT_MAX: usize = 1000;

/// What the preprocessor lines leave of a file.
#[derive(Debug, Default)]
pub(super) struct Active {
    /// The text to lex, as byte ranges in order.
    pub(super) pieces: Vec<(u32, u32)>,
    /// The preprocessor lines themselves.
    pub(super) directives: Vec<(u32, u32)>,
    /// The text passed over.
    pub(super) skipped: Vec<(u32, u32)>,
}

/// Splits a file into what counts and what does not.
pub(super) fn process(session: &mut Session, file: FileId) -> Active {
    let defined: BTreeSet<String> = session
        .options
        .defines
        .iter()
        .filter(|name| !session.options.undefines.contains(name))
        .cloned()
        .collect();
    let mut state = State {
        session,
        defined,
        include_count: 0,
        open: Vec::new(),
    };
    state.file(file, false)
}

struct State<'a> {
    session: &'a mut Session,
    defined: BTreeSet<String>,
    include_count: usize,
    /// The files being read, outermost first.
    open: Vec<FileId>,
}

/// One open `.ifdef`.
struct Level {
    opened: Span,
    /// Whether the text around it counts.
    outer: bool,
    /// Whether the branch being read counts.
    taken: bool,
    has_else: bool,
}

impl State<'_> {
    fn file(&mut self, file: FileId, included: bool) -> Active {
        let text = self.session.sources.get(file).text.clone();
        let mut active = Active::default();
        let mut levels: Vec<Level> = Vec::new();
        let mut told = false;
        let mut start = 0;
        self.open.push(file);
        for line in text.split_inclusive('\n') {
            let range = (start, start + line.len() as u32);
            start = range.1;
            let counts = levels.last().is_none_or(|level| level.taken);
            if line.starts_with('.') {
                let span = Span::new(file, range.0, range.0 + line.trim_end().len() as u32);
                self.directive(span, line, counts, &mut levels);
                active.directives.push(range);
            } else if counts {
                if included && !told && !is_blank(line) {
                    told = true;
                    self.text_in_include(Span::new(
                        file,
                        range.0,
                        range.0 + line.trim_end().len() as u32,
                    ));
                }
                extend(&mut active.pieces, range);
            } else {
                extend(&mut active.skipped, range);
            }
        }
        if let Some(level) = levels.last() {
            self.session.report(
                Diagnostic::new(
                    codes::UNBALANCED_CONDITIONAL,
                    level.opened,
                    "this conditional has no `.endif`",
                )
                .with_note("conditionals must be balanced within each file"),
            );
        }
        self.open.pop();
        active
    }

    fn text_in_include(&mut self, span: Span) {
        self.session.report(Diagnostic::new(
            codes::TEXT_IN_INCLUDE,
            span,
            "an included file may only contain preprocessor lines and comments",
        ));
    }

    fn directive(&mut self, span: Span, line: &str, counts: bool, levels: &mut Vec<Level>) {
        let line = line.trim_end_matches(['\n', '\r']);
        let after_dot = line[1..].trim_start();
        let word_len = after_dot
            .bytes()
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        let (word, rest) = after_dot.split_at(word_len);
        let rest = rest.trim();
        match word {
            "ifdef" | "ifndef" => {
                let Some(name) = self.symbol(span, rest, counts) else {
                    return push(self.session, levels, level(span, counts, false));
                };
                let taken = counts && self.defined.contains(name) == (word == "ifdef");
                push(self.session, levels, level(span, counts, taken));
            }
            "else" => {
                self.nothing_follows(span, rest, counts);
                match levels.last_mut() {
                    Some(level) if !level.has_else => {
                        level.has_else = true;
                        level.taken = level.outer && !level.taken;
                    }
                    Some(level) => {
                        let opened = level.opened;
                        self.session.report(
                            Diagnostic::new(
                                codes::UNBALANCED_CONDITIONAL,
                                span,
                                "a second `.else` in one conditional",
                            )
                            .with_label(opened, "the conditional starts here"),
                        );
                    }
                    None => self.without_start(span, ".else"),
                }
            }
            "endif" => {
                self.nothing_follows(span, rest, counts);
                if levels.pop().is_none() {
                    self.without_start(span, ".endif");
                }
            }
            _ if !counts => {}
            "define" => {
                if let Some(name) = self.symbol(span, rest, true) {
                    self.defined.insert(name.to_owned());
                }
            }
            "undef" => {
                if let Some(name) = self.symbol(span, rest, true) {
                    self.defined.remove(name);
                }
            }
            "include" => self.include(span, rest),
            _ => self.session.report(
                Diagnostic::new(
                    codes::UNKNOWN_DIRECTIVE,
                    span,
                    "a line that starts with `.` is a preprocessor line, and this is none",
                )
                .with_note("there are .define .undef .ifdef .ifndef .else .endif and .include"),
            ),
        }
    }

    /// The symbol that a line names, if the line is well formed.
    fn symbol<'t>(&mut self, span: Span, rest: &'t str, counts: bool) -> Option<&'t str> {
        let len = rest
            .bytes()
            .take_while(|&b| b.is_ascii_alphanumeric() || b == b'_')
            .count();
        let (name, tail) = rest.split_at(len);
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            if counts {
                self.session.report(Diagnostic::new(
                    codes::BAD_DIRECTIVE,
                    span,
                    "expected the name of a symbol on this line",
                ));
            }
            return None;
        }
        self.nothing_follows(span, tail, counts);
        Some(name)
    }

    fn nothing_follows(&mut self, span: Span, tail: &str, counts: bool) {
        if counts && !is_blank(tail) {
            self.session.report(Diagnostic::new(
                codes::BAD_DIRECTIVE,
                span,
                "garbage following the preprocessor line",
            ));
        }
    }

    fn without_start(&mut self, span: Span, word: &str) {
        self.session.report(Diagnostic::new(
            codes::UNBALANCED_CONDITIONAL,
            span,
            format!("`{word}` without `.ifdef` or `.ifndef`"),
        ));
    }

    fn include(&mut self, span: Span, rest: &str) {
        let Some((name, tail)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'))
        else {
            self.session.report(Diagnostic::new(
                codes::BAD_DIRECTIVE,
                span,
                "expected a file name in double quotes after `.include`",
            ));
            return;
        };
        self.nothing_follows(span, tail, true);
        self.include_count += 1;
        if self.include_count > INCLUDE_COUNT_MAX || self.open.len() >= INCLUDE_DEPTH_MAX {
            if self.include_count <= INCLUDE_COUNT_MAX + 1 {
                self.session.report(Diagnostic::new(
                    codes::INCLUDE_FAILED,
                    span,
                    "files are included too deeply or too often",
                ));
            }
            return;
        }
        match self.find(span.file, name) {
            Some(file) if self.open.contains(&file) => self.session.report(Diagnostic::new(
                codes::INCLUDE_FAILED,
                span,
                format!("`{name}` includes itself"),
            )),
            Some(file) => {
                self.file(file, true);
            }
            None => self.session.report(
                Diagnostic::new(
                    codes::INCLUDE_FAILED,
                    span,
                    format!("cannot find the file `{name}` to include"),
                )
                .with_note("looked in the folder of this file, then in the folders given by -I"),
            ),
        }
    }

    fn find(&mut self, from: FileId, name: &str) -> Option<FileId> {
        let here = self
            .session
            .sources
            .get(from)
            .path
            .parent()
            .unwrap_or(Path::new(""));
        let mut candidates: Vec<PathBuf> = vec![here.join(name)];
        candidates.extend(
            self.session
                .options
                .import_dirs
                .iter()
                .map(|dir| dir.join(name)),
        );
        candidates
            .iter()
            .find_map(|path| self.session.load(path).ok())
    }
}

fn level(opened: Span, outer: bool, taken: bool) -> Level {
    Level {
        opened,
        outer,
        taken,
        has_else: false,
    }
}

fn push(session: &mut Session, levels: &mut Vec<Level>, level: Level) {
    if levels.len() == NESTING_MAX {
        session.report(Diagnostic::new(
            codes::UNBALANCED_CONDITIONAL,
            level.opened,
            format!("more than {NESTING_MAX} conditionals inside each other"),
        ));
    }
    levels.push(level);
}

/// White space and a comment at most.
fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn extend(ranges: &mut Vec<(u32, u32)>, range: (u32, u32)) {
    match ranges.last_mut() {
        Some(last) if last.1 == range.0 => last.1 = range.1,
        _ => ranges.push(range),
    }
}
