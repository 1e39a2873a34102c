//! All codes: name, number, one line that says what it is, and a text for `orcac explain`.
//!
//! Ranges: E01 lexer, E02 syntax, E03 names and units, E04 types, E05 other rules, E08 building, E09 not done yet; warnings
//! likewise. A number is never used again for something else.

use super::Code;

/// What is known about a code.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// One line.
    pub title: &'static str,
    /// Some sentences and an example.
    pub explain: &'static str,
}

/// Looks a code up by its shown form, in either case: `E0201`, `w0103`.
pub fn find(shown: &str) -> Option<&'static Entry> {
    let shown = shown.to_ascii_uppercase();
    tables().find(|entry| entry.code.to_string() == shown)
}

/// All codes, in the order of this file.
pub fn tables() -> impl Iterator<Item = &'static Entry> {
    [LEXER, SYNTAX, NAMES, TYPES, RULES, BUILDING, NOT_YET]
        .into_iter()
        .flatten()
}

macro_rules! codes {
    ($(#[$doc:meta])* $table:ident { $($name:ident = $kind:ident $number:literal, $title:literal, $explain:literal;)* }) => {
        $(#[doc = $title] pub const $name: Code = Code::$kind($number);)*
        $(#[$doc])*
        const $table: &[Entry] = &[$(Entry { code: $name, title: $title, explain: $explain }),*];
    };
}

codes! {
    /// E01xx, W01xx: characters and tokens.
    LEXER {
        BAD_CHARACTER = error 101, "a character that no token starts with",
            "Orca source is ASCII. Other characters may stand in comments and strings only.";
    }
}

codes! {
    /// E02xx, W02xx: the grammar.
    SYNTAX {
        UNEXPECTED_TOKEN = error 201, "a token that cannot stand here",
            "The text does not follow the grammar at this place; the message says what could stand there.";
    }
}

codes! {
    /// E03xx, W03xx: units, scopes, imports.
    NAMES {
        FILE_NOT_FOUND = error 301, "a file that cannot be read",
            "The file does not exist or may not be read.";
    }
}

codes! {
    /// E04xx, W04xx: types.
    TYPES {
    }
}

codes! {
    /// E05xx, W05xx: other rules of the language.
    RULES {
    }
}

codes! {
    /// E08xx: object files, linking.
    BUILDING {
    }
}

codes! {
    /// E09xx: parts of the language that are not compiled yet.
    NOT_YET {
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_used_twice() {
        let mut shown: Vec<String> = tables().map(|entry| entry.code.to_string()).collect();
        shown.sort();
        let count = shown.len();
        shown.dedup();
        assert_eq!(shown.len(), count);
    }

    #[test]
    fn codes_are_found_by_their_shown_form() {
        assert_eq!(
            find("e0201").map(|entry| entry.code),
            Some(UNEXPECTED_TOKEN)
        );
        assert!(find("E9999").is_none());
    }
}
