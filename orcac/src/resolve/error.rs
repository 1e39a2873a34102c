//! What resolution has to say.
//!
//! One function for each message, so that wording and code stand side by side.

use std::path::Path;

use crate::diagnostics::{Diagnostic, codes};
use crate::source::Span;

pub(crate) fn unit_not_found(span: Span, name: &str, near: Option<String>) -> Diagnostic {
    let found = Diagnostic::new(
        codes::UNIT_NOT_FOUND,
        span,
        format!("there is no unit `{name}`"),
    );
    match near {
        Some(near) => found.with_help(format!("the unit `{near}` exists")),
        None => found.with_note(format!(
            "searched for `{name}.orca` and `{name}.spf` in the folder of this file, the -I folders and the standard library"
        )),
    }
}

pub(crate) fn duplicate_unit(span: Span, name: &str, part: &str, first: Span) -> Diagnostic {
    Diagnostic::new(
        codes::DUPLICATE_UNIT,
        span,
        format!("a second {part} of `{name}`"),
    )
    .with_label(first, "the first one is here")
}

pub(crate) fn no_specification(span: Span, name: &str) -> Diagnostic {
    Diagnostic::new(
        codes::NO_SPECIFICATION,
        span,
        format!("`{name}` has an implementation, but no specification"),
    )
}

pub(crate) fn kind_differs(span: Span, name: &str, specification: Span) -> Diagnostic {
    Diagnostic::new(
        codes::HEAD_MISMATCH,
        span,
        format!("the implementation of `{name}` is of another kind than its specification"),
    )
    .with_label(specification, "the specification")
}

pub(crate) fn unreadable(span: Span, path: &Path, why: &std::io::Error) -> Diagnostic {
    Diagnostic::new(
        codes::FILE_NOT_FOUND,
        span,
        format!("cannot read `{}`: {why}", path.display()),
    )
}
