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
            "Orca source is ASCII. Other characters may stand in comments and strings only, as UTF-8.";
        BAD_NAME = error 102, "a name with misplaced underscores",
            "A name is a letter followed by letters, digits and underscores. It neither starts nor ends with an\n\
             underscore, and has no two of them in a row:\n\n    max_size     right\n    max__size    wrong";
        BAD_NUMBER = error 103, "a number that is not well formed, or too large",
            "12 is decimal, 17B octal, 0FFH hexadecimal (first a decimal digit, upper-case letters, a final H).\n\
             A real number has a point, also before an exponent: 1.0E5, not 1E5. The largest integer constant\n\
             is 9223372036854775807.";
        BAD_CHARACTER_CONSTANT = error 104, "a character constant that is not one character",
            "A character constant is exactly one character between apostrophes. There are no escapes: '\\' is a\n\
             backslash and ''' is an apostrophe. CHR(10) is a newline.";
        OPEN_STRING = error 105, "a string without its closing quote",
            "A string stands on one line. A quote inside it is written \\\".";
        UNKNOWN_KEYWORD_CASE = error 106, "a first word that is neither upper nor lower case",
            "All keywords of a file are in upper case, or all are in lower case; the first word of the file decides.";
        FOREIGN_COMMENT = error 107, "a comment of another language",
            "A comment starts with # and ends with the line.";
        FOREIGN_OPERATOR = error 108, "an operator of another language",
            "Comparison is = and /=, conjunction is AND, and `a +:= b` adds b to a.";
        UNBALANCED_CONDITIONAL = error 109, "conditional compilation that is not balanced",
            ".ifdef or .ifndef, perhaps .else, and .endif belong together within one file, nested at most 256 deep.";
        BAD_DIRECTIVE = error 110, "a preprocessor line that is not well formed",
            "A preprocessor line is one of\n\n    .define NAME    .undef NAME    .ifdef NAME    .ifndef NAME\n    \
             .else           .endif         .include \"file\"\n\nand nothing else but a comment may follow on it.";
        UNKNOWN_DIRECTIVE = error 111, "a line that starts with a point but is no preprocessor line",
            "A line whose very first character is a point is a preprocessor line. Indent the line if it is not meant so.";
        INCLUDE_FAILED = error 112, "a file that cannot be included",
            ".include looks in the folder of the including file, then in the folders given by -I.";
        TEXT_IN_INCLUDE = error 113, "program text in an included file",
            "An included file holds .define and .undef lines for several files to share; declarations are imported instead.";
        LETTER_ESCAPE = warning 101, "a backslash before a letter in a string",
            "A backslash makes the character behind it stand for itself: \"\\n\" is the letter n, not a newline.\n\
             Write(CHR(10)) writes a newline.";
    }
}

codes! {
    /// E02xx, W02xx: the grammar.
    SYNTAX {
        UNEXPECTED_TOKEN = error 201, "a token that cannot stand here",
            "The text does not follow the grammar at this place; the message says what could stand there.";
        MISSING_TOKEN = error 202, "something is missing here",
            "The text follows the grammar if the named word or mark is put in at this place.";
        UNCLOSED = error 203, "a construct that is not closed",
            "IF is closed by FI, CASE by ESAC, every loop and guard by OD, RECORD, UNION, GRAPH, BEGIN and a unit by END.";
        RELATION_CHAIN = error 204, "two relations in one expression",
            "AND and OR bind more tightly than relations, so each relation needs its parentheses:\n\n    \
             IF (a > 0) AND (b > 0) THEN ...";
        SIGN_AFTER_OPERATOR = error 205, "a sign behind an operator",
            "A sign stands only at the start of an expression: write a * (-b) instead of a * -b.";
        TOO_DEEP = error 206, "a construct that is nested too deeply",
            "Brackets, statements and operators may be nested some hundred deep. Introduce variables or functions.";
        MISPLACED_BOUNDS = error 207, "bounds where none can stand",
            "A variable or OUT parameter is declared with bounds, v: T[1..n]; a type has them in its ARRAY[integer 1..n].";
        AGGREGATE_TYPE = error 208, "an aggregate without the name of its type",
            "An aggregate is the name of a type, a colon, and values: point:{1, 2} or vector:[1, 2, 3].";
        PARAMETER_TYPE = error 209, "a parameter whose type is no name",
            "Type equivalence goes by name, so no actual could have the type of this parameter. Declare it first.";
        UNIT_STRUCTURE = error 210, "something that has no place in this unit",
            "A module has constants, types, functions and processes; an object fields, functions and operations; a data\n\
             module variables and functions. A specification has heads only.";
        NO_UNIT = error 211, "text outside of every unit",
            "A file holds units, each from its head (MODULE SPECIFICATION name;) to its END. A .orca file may also hold\n\
             declarations and routines alone: they form a module named after the file.";
        MISSING_SEMICOLON = warning 201, "a missing semicolon",
            "Every statement ends in a semicolon, also the last one before FI, OD, ESAC, END, UNTIL, ELSE and ELSIF, and\n\
             every body ends in END and a semicolon.";
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
