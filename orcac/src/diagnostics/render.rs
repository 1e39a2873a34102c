//! Diagnostics to text: for people through ariadne, one line each, or JSON.
//!
//! Everything is rendered once, at the end, sorted by place. Colours and the folder that paths are shown relative to are
//! decided by the caller.
//!
//! A JSON line is an object:
//! `{"code": "E0201", "severity": "error", "message": ..., "file": ..., "span": SPAN, "labels": [{"file": ..., "span": SPAN,
//! "text": ...}], "notes": [...], "help": ... or null}`, where SPAN is `{"start": {"line", "column", "offset"}, "end": ...}`;
//! lines and columns count from 1, columns and offsets count bytes. The first label is that of the span itself, if it has a
//! text.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ariadne::{CharSet, Color, Config, IndexType, Label, LabelAttach, Report, ReportKind};
use serde_json::{Value, json};

use crate::session::{MessageFormat, Session};
use crate::source::{FileId, Source, Span};

use super::{Diagnostic, ERRORS_MAX, Severity};

/// Longer lines are not shown to people.
const LINE_LEN_MAX: usize = 400;

/// How to show diagnostics.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// For whom.
    pub format: MessageFormat,
    /// Whether the output is a terminal that shows colours.
    pub colour: bool,
    /// Paths below this folder are shown relative to it.
    pub base: Option<PathBuf>,
}

/// All diagnostics of a session as text.
pub fn render(session: &Session, style: &Style) -> String {
    let mut out = String::new();
    for diagnostic in session.diagnostics.sorted() {
        match style.format {
            MessageFormat::Human => human(session, style, diagnostic, &mut out),
            MessageFormat::Short => short(session, style, diagnostic, &mut out),
            MessageFormat::Json => {
                let _ = writeln!(out, "{}", to_json(session, style, diagnostic));
            }
        }
    }
    if style.format == MessageFormat::Human {
        summary(session, &mut out);
    }
    out
}

/// A path as the user should see it.
fn shown_path(style: &Style, path: &Path) -> String {
    let relative = style
        .base
        .as_ref()
        .and_then(|base| path.strip_prefix(base).ok());
    relative.unwrap_or(path).display().to_string()
}

fn short(session: &Session, style: &Style, diagnostic: &Diagnostic, out: &mut String) {
    let source = session.sources.get(diagnostic.span.file);
    let (line, column) = source.line_column(diagnostic.span.start);
    let _ = writeln!(
        out,
        "{}:{line}:{column}: {}[{}]: {}",
        shown_path(style, &source.path),
        diagnostic.severity(),
        diagnostic.code,
        diagnostic.message
    );
}

fn to_json(session: &Session, style: &Style, diagnostic: &Diagnostic) -> Value {
    let place = |span: Span| {
        let source = session.sources.get(span.file);
        let point = |offset: u32| {
            let (line, column) = source.line_column(offset);
            json!({"line": line, "column": column, "offset": offset})
        };
        let file = shown_path(style, &source.path);
        (
            file,
            json!({"start": point(span.start), "end": point(span.end)}),
        )
    };
    let label = |span: Span, text: &str| {
        let (file, span) = place(span);
        json!({"file": file, "span": span, "text": text})
    };
    let primary = diagnostic
        .label
        .iter()
        .map(|text| label(diagnostic.span, text));
    let others = diagnostic
        .labels
        .iter()
        .map(|other| label(other.span, &other.text));
    let labels: Vec<Value> = primary.chain(others).collect();
    let (file, span) = place(diagnostic.span);
    json!({
        "code": diagnostic.code.to_string(),
        "severity": diagnostic.severity().to_string(),
        "message": diagnostic.message,
        "file": file,
        "span": span,
        "labels": labels,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    })
}

/// The files of a session as ariadne wants them.
struct Cache<'a> {
    session: &'a Session,
    style: &'a Style,
    loaded: Vec<Option<ariadne::Source<String>>>,
}

impl ariadne::Cache<FileId> for Cache<'_> {
    type Storage = String;

    fn fetch(&mut self, id: &FileId) -> Result<&ariadne::Source<String>, impl std::fmt::Debug> {
        let index = id.index();
        if self.loaded.len() <= index {
            self.loaded.resize_with(index + 1, || None);
        }
        let source = self.session.sources.get(*id);
        let loaded =
            self.loaded[index].get_or_insert_with(|| ariadne::Source::from(printable(source)));
        Ok::<_, std::convert::Infallible>(loaded)
    }

    fn display<'b>(&self, id: &'b FileId) -> Option<impl std::fmt::Display + 'b> {
        Some(shown_path(self.style, &self.session.sources.get(*id).path))
    }
}

/// The text without characters that would spoil a terminal or that ariadne takes for line ends; every byte keeps its place.
fn printable(source: &Source) -> String {
    let mut text = String::with_capacity(source.text.len());
    for c in source.text.chars() {
        let shown = match c {
            '\n' | '\t' => true,
            '\u{2028}' | '\u{2029}' => false,
            c => !c.is_control(),
        };
        if shown {
            text.push(c);
        } else {
            text.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
    text
}

fn human(session: &Session, style: &Style, diagnostic: &Diagnostic, out: &mut String) {
    let (escape, colour) = match diagnostic.severity() {
        Severity::Error => ("\x1b[1;31m", Color::Red),
        Severity::Warning => ("\x1b[1;33m", Color::Yellow),
    };
    let (on, off) = if style.colour {
        (escape, "\x1b[0m")
    } else {
        ("", "")
    };
    let (severity, code) = (diagnostic.severity(), diagnostic.code);
    let _ = writeln!(out, "{on}{severity}[{code}]{off}: {}", diagnostic.message);

    if labels(diagnostic, colour)
        .iter()
        .any(|(span, ..)| is_long(session, *span))
    {
        return without_source(session, style, diagnostic, out);
    }
    let config = Config::default()
        .with_color(style.colour)
        .with_index_type(IndexType::Byte)
        .with_char_set(CharSet::Unicode)
        .with_label_attach(LabelAttach::Start)
        .with_tab_width(8);
    let place = |span: Span| (span.file, widened(session, span));
    let mut report = Report::build(ReportKind::Error, place(diagnostic.span)).with_config(config);
    for (order, (span, text, colour)) in labels(diagnostic, colour).into_iter().enumerate() {
        let label = Label::new(place(span))
            .with_message(text)
            .with_color(colour);
        report = report.with_label(label.with_order(order as i32));
    }
    for note in &diagnostic.notes {
        report = report.with_note(note);
    }
    if let Some(help) = &diagnostic.help {
        report = report.with_help(help);
    }
    let mut bytes = Vec::new();
    let cache = Cache {
        session,
        style,
        loaded: Vec::new(),
    };
    report
        .finish()
        .write(cache, &mut bytes)
        .expect("a vector takes every byte");
    // The first line is ariadne's own header.
    for line in String::from_utf8_lossy(&bytes).lines().skip(1) {
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}

/// Whether a span lies on a line too long to be shown.
fn is_long(session: &Session, span: Span) -> bool {
    let source = session.sources.get(span.file);
    let (first, last) = (
        source.line_column(span.start).0,
        source.line_column(span.end).0,
    );
    [first, last]
        .into_iter()
        .any(|line| source.line(line).len() > LINE_LEN_MAX)
}

/// The place and the notes alone.
fn without_source(session: &Session, style: &Style, diagnostic: &Diagnostic, out: &mut String) {
    let source = session.sources.get(diagnostic.span.file);
    let (line, column) = source.line_column(diagnostic.span.start);
    let _ = writeln!(
        out,
        "  at {}:{line}:{column}",
        shown_path(style, &source.path)
    );
    for note in &diagnostic.notes {
        let _ = writeln!(out, "  Note: {note}");
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "  Help: {help}");
    }
    out.push('\n');
}

/// All labels: the file of the mistake first, each file from top to bottom.
fn labels(diagnostic: &Diagnostic, colour: Color) -> Vec<(Span, &str, Color)> {
    let primary = diagnostic.label.as_deref().unwrap_or("here");
    let mut labels = vec![(diagnostic.span, primary, colour)];
    labels.extend(
        diagnostic
            .labels
            .iter()
            .map(|l| (l.span, l.text.as_str(), Color::Blue)),
    );
    labels.sort_by_key(|(span, ..)| (span.file != diagnostic.span.file, span.file, span.start));
    labels
}

/// The bytes to underline: whole characters, at least one, and not beyond the text.
fn widened(session: &Session, span: Span) -> Range<usize> {
    let text = &session.sources.get(span.file).text;
    let mut start = text.floor_char_boundary(span.start as usize);
    let mut end = text.ceil_char_boundary(span.end as usize);
    if start == end {
        match text[start..].chars().next() {
            Some(c) if c != '\n' => end += c.len_utf8(),
            _ => {
                start = text[..start]
                    .char_indices()
                    .next_back()
                    .map_or(0, |(i, _)| i)
            }
        }
    }
    start..end
}

fn summary(session: &Session, out: &mut String) {
    let (errors, warnings) = (
        session.diagnostics.error_count(),
        session.diagnostics.warning_count(),
    );
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let line = match (errors, warnings) {
        (0, 0) => return,
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    let _ = writeln!(out, "{line}");
    if errors > ERRORS_MAX || warnings > ERRORS_MAX {
        let _ = writeln!(out, "only the first {ERRORS_MAX} of each are shown");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::diagnostics::codes;
    use crate::session::Options;
    use crate::source::MemoryFiles;

    fn check(format: MessageFormat, expected: Expect) {
        let files = MemoryFiles::new().with("/w/a.orca", "IF x = 1\n  y := \tb;\nFI;\n");
        let mut session = Session::new(Options::default(), Box::new(files));
        let file = session.load(Path::new("/w/a.orca")).unwrap();
        let then = Span::new(file, 11, 12);
        session.report(Diagnostic::new(
            codes::UNCLOSED,
            Span::new(file, 20, 22),
            "second",
        ));
        session.report(
            Diagnostic::new(codes::MISSING_TOKEN, then, "expected `THEN`, found `y`")
                .with_primary("`THEN` is missing here")
                .with_label(Span::new(file, 0, 2), "of this `IF`")
                .with_note("a note")
                .with_help("write `THEN`"),
        );
        let style = Style {
            format,
            colour: false,
            base: Some("/w".into()),
        };
        expected.assert_eq(&render(&session, &style));
    }

    #[test]
    fn people_see_the_source_text() {
        check(
            MessageFormat::Human,
            expect![[r#"
                error[E0202]: expected `THEN`, found `y`
                   ╭─[ a.orca:2:3 ]
                   │
                 1 │ IF x = 1
                   │ ┬─
                   │ ╰─── of this `IF`
                 2 │   y :=  b;
                   │   ┬
                   │   ╰── `THEN` is missing here
                   │
                   │ Help: write `THEN`
                   │
                   │ Note: a note
                ───╯

                error[E0203]: second
                   ╭─[ a.orca:3:1 ]
                   │
                 3 │ FI;
                   │ ┬─
                   │ ╰─── here
                ───╯

                2 errors
            "#]],
        );
    }

    #[test]
    fn scripts_see_one_line_each() {
        check(
            MessageFormat::Short,
            expect![[r#"
            a.orca:2:3: error[E0202]: expected `THEN`, found `y`
            a.orca:3:1: error[E0203]: second
        "#]],
        );
    }

    #[test]
    fn programs_see_json() {
        check(
            MessageFormat::Json,
            expect![[r#"
                {"code":"E0202","file":"a.orca","help":"write `THEN`","labels":[{"file":"a.orca","span":{"end":{"column":4,"line":2,"offset":12},"start":{"column":3,"line":2,"offset":11}},"text":"`THEN` is missing here"},{"file":"a.orca","span":{"end":{"column":3,"line":1,"offset":2},"start":{"column":1,"line":1,"offset":0}},"text":"of this `IF`"}],"message":"expected `THEN`, found `y`","notes":["a note"],"severity":"error","span":{"end":{"column":4,"line":2,"offset":12},"start":{"column":3,"line":2,"offset":11}}}
                {"code":"E0203","file":"a.orca","help":null,"labels":[],"message":"second","notes":[],"severity":"error","span":{"end":{"column":3,"line":3,"offset":22},"start":{"column":1,"line":3,"offset":20}}}
            "#]],
        );
    }

    #[test]
    fn labels_at_odd_places_are_shown() {
        let text = "é\u{2028}é\r\nx\x07";
        for (start, end) in [(0, 1), (1, 1), (2, 4), (7, 9), (9, 9), (11, 11), (10, 11)] {
            let files = MemoryFiles::new().with("a", text).with("empty", "");
            let mut session = Session::new(Options::default(), Box::new(files));
            let file = session.load(Path::new("a")).unwrap();
            let empty = session.load(Path::new("empty")).unwrap();
            session.report(Diagnostic::new(
                codes::UNCLOSED,
                Span::new(file, start, end),
                "m",
            ));
            session.report(Diagnostic::new(
                codes::UNCLOSED,
                Span::new(empty, 0, 0),
                "m",
            ));
            let shown = render(&session, &Style::default());
            assert!(
                shown.contains("error[E0203]: m") && shown.ends_with("2 errors\n"),
                "{shown}"
            );
        }
    }
}
