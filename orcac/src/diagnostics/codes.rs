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
        UNKNOWN_NAME = error 302, "a name that is not declared",
            "Every name is declared before it is used: in the routine, in its unit, by an import, or predeclared. What the\n\
             specification imports is not visible in the implementation:\n\n    \
             MODULE IMPLEMENTATION m;\n      \
             IMPORT Math;              import here again what you use\n      \
             ... Math.sqrt(x) ...";
        DUPLICATE_NAME = error 303, "a name declared twice in one scope",
            "A scope declares each name once, and imported names count as declared in the importing unit. A routine may\n\
             declare a name again that its unit declares.";
        UNIT_NOT_FOUND = error 304, "a unit that cannot be found",
            "A unit X is searched in the same file, in the other files of the command line, as X.orca or X.spf in the folder\n\
             of the importing file, in each -I folder, and in the standard library. Files with long names may be cut to ten\n\
             letters: RowCollect.spf holds RowCollection.";
        DUPLICATE_UNIT = error 305, "a unit declared twice",
            "A program has one specification and one implementation of each unit.";
        IMPORT_CYCLE = error 306, "a specification that depends on itself",
            "Specifications may not import each other in a circle. Implementations may import any specification: often the\n\
             import can move there.";
        NOT_EXPORTED = error 307, "a name that a unit does not export",
            "Only what stands in the specification of a unit can be used outside.";
        BAD_IMPORT = error 308, "something that cannot be imported",
            "Operations are called on objects and need no import, a generic unit is instantiated, and a unit does not import\n\
             itself:\n\n    \
             IMPORT IntObject;                          x$inc();\n    \
             OBJECT Queue = NEW GenericJobQueue(job);   q$AddJob(j);";
        NOT_IMPLEMENTED = error 309, "a specification without implementation",
            "Every routine of a specification has a body in the implementation of the unit: in the same .orca file, or in\n\
             Name.imp beside Name.spf.";
        NO_SPECIFICATION = error 310, "an implementation without specification",
            "Objects, data modules and generic units need a specification; so does every .imp file. Only a module in a .orca\n\
             file may do without.";
        HEAD_MISMATCH = error 311, "a head that differs from its specification",
            "Modes, types and result of a routine are the same in specification and implementation; only the names of the\n\
             parameters may differ.";
        BAD_MAIN = error 312, "a wrong or missing OrcaMain",
            "A program has exactly one process OrcaMain, without parameters, in a module that is not generic:\n\n    \
             PROCESS OrcaMain();\n    \
             BEGIN\n      \
             WriteLine(\"hello\");\n    \
             END;";
        ALREADY_USED = error 313, "a name declared after its outer meaning was used",
            "A routine may declare a name again that its unit declares, but not after it has used the outer one:\n\n    \
             a: vector[1 .. n]; n: integer;     wrong: which n gives the bound?";
        WRONG_KIND = error 314, "a name of the wrong kind",
            "The name is declared, but as something that cannot stand here: a type where a value is needed, a process where a\n\
             function is called.";
        BAD_ACTUAL = error 316, "a generic actual that does not fit its formal",
            "TYPE takes any type, SCALAR TYPE an integer, real, char, boolean or enumeration type, NUMERIC TYPE an integer or\n\
             real type, FUNCTION a function with an equivalent head, CONST a constant of the type.";
        GENERIC_DEPTH = error 317, "a generic unit that instantiates itself",
            "Each instantiation makes new types, so a generic unit that instantiates itself would never end.";
        UNUSED_NAME = warning 301, "a name that is never used",
            "The declaration can go, or something was meant to use it.";
        UNUSED_IMPORT = warning 302, "an import that is never used",
            "The import can go.";
        NEVER_ASSIGNED = warning 303, "a variable that is used but never assigned",
            "Nothing gives this variable a value, so it is zero whenever it is used.";
        HIDES = warning 304, "a FOR variable that hides another declaration",
            "FOR declares its variable. The one declared outside is another one and keeps its value.";
        NO_PARENTHESES = warning 305, "NCPUS or MYCPU without parentheses",
            "NCPUS and MYCPU are functions: write NCPUS().";
    }
}

codes! {
    /// E04xx, W04xx: types.
    TYPES {
        TYPE_MISMATCH = error 401, "a value of the wrong type",
            "Types are equal by name: each ARRAY, RECORD, ... that is written out is a type of its own. Integer types convert\n\
             into each other without being asked, and so do real types; nothing else does:\n\n    \
             x := 1;           wrong if x is real: write 1.0\n    \
             x := FLOAT(i);    integer to real\n    \
             i := TRUNC(x);    real to integer\n    \
             c := CHR(i);      i := ORD(c);";
        BAD_OPERAND = error 402, "an operator that is not defined for its operands",
            "Arithmetic needs two integers or two reals, or two sets of one type; AND OR NOT need booleans, & | ^ ~ << >>\n\
             integers, < <= > >= simple types. AND and OR bind more tightly than comparisons:\n\n    \
             IF (a > 0) AND (b > 0) THEN ...";
        NOT_CONSTANT = error 403, "an expression that is not constant",
            "Constants, case labels and generic constants are known when the program is compiled: literals, other constants,\n\
             operators, and ABS CAP CHR FLOAT MAX MIN ODD ORD TRUNC VAL SIZE LB UB of these. NCPUS() is not.";
        BAD_INDEX = error 404, "a wrong index",
            "Arrays and graphs are indexed; an array takes one index for each dimension:\n\n    \
             m[i, j]     of ARRAY[integer, integer] OF real\n    \
             g[i][j]     of an array of arrays\n    \
             t[n].key    of a graph, n being a nodename of it";
        NO_FIELD = error 405, "a field that does not exist",
            "Records and graphs have the fields of their declaration. A node of a graph is no value; its fields are.";
        ARGUMENT_COUNT = error 406, "a wrong number of arguments",
            "A call has one actual parameter for each formal.";
        NOT_ASSIGNABLE = error 407, "something that cannot be assigned",
            "Variables, parameters, and an object's fields within its operations can be assigned and passed as OUT or SHARED.\n\
             Constants, FOR variables, results of functions and, outside their module, data-module variables cannot.";
        NOT_COMPARABLE = error 408, "values that cannot be compared",
            "Graphs and objects, types that contain them, and formal types of a generic unit that are not SCALAR or NUMERIC\n\
             have no = and /=.";
        BAD_BOUNDS = error 409, "wrong array bounds",
            "A type fixes bounds for all its dimensions or for none; a variable gives them only if its type does not. They may\n\
             use constants, IN and SHARED parameters, data-module variables and standard functions:\n\n    \
             TYPE vector = ARRAY[integer] OF real;\n    \
             FUNCTION f(n: integer);  v: vector[1 .. n];";
        CONSTANT_ERROR = error 410, "a constant expression that fails",
            "The value is known when the program is compiled, and is a division by zero, a modulo by zero or less, a shift by a\n\
             negative count, or out of its range.";
        BAD_AGGREGATE = error 411, "a wrong aggregate",
            "A record takes one value for each field, an array the right number of elements, several dimensions rows of equal\n\
             length:\n\n    \
             point:{1, 2}     vector:[1.0, 2.0]     matrix:[[1, 2], [3, 4]]";
        BAD_LABEL = error 412, "a wrong case label",
            "Labels are constants of the selector's type, in ranges that are not empty, each value once. Selectors are\n\
             integers, chars, booleans and enumerations.";
        BAD_TYPE = error 413, "a type that cannot be made",
            "Sets need elements that can be compared; indices are integers, char, boolean or enumerations; no type contains\n\
             itself; OUT parameters and data modules hold no objects.";
        NO_OPERATION = error 414, "an operation that does not exist",
            "Operations are those of the object's specification; within the implementation also its private ones.";
        BAD_ARGUMENT = error 415, "an argument that a standard function does not take",
            "Write and Read take integers, reals, chars and strings. To write a boolean or an enumeration, write ORD of it or\n\
             choose a text with IF or CASE.";
        ALIAS = error 416, "an illegal alias",
            "Two OUT or SHARED arguments of one call may not be the same variable, nor one a part of the other:\n\n    \
             swap(i, i);      wrong\n    \
             swap(a[i], a[j]) right; checked when the program runs";
        NOT_AN_OBJECT = error 417, "an operation on something that is no object",
            "x$op() calls an operation of the object x, so x must be of an object type.";
        CONSTANT_OVERFLOW = warning 401, "overflow in a constant",
            "The value does not fit its type; its low bits are used. Hexadecimal and octal numbers wrap without a warning.";
    }
}

codes! {
    /// E05xx, W05xx: other rules of the language.
    RULES {
        BAD_FORK = error 501, "a wrong FORK",
            "Only processes fork, and only processes are forked. What they share are objects declared in a process or received\n\
             as SHARED:\n\n    \
             FORK worker(queue, i) ON(i % NCPUS());";
        BAD_RETURN = error 502, "a wrong RETURN",
            "RETURN has a value exactly if the routine has a result, and such a routine returns a value somewhere.";
        BAD_EXIT = error 503, "EXIT outside a loop",
            "EXIT leaves the innermost loop. A guard is no loop.";
        BAD_CALL = error 505, "a call whose result does not fit its use",
            "A call with a result is used in an expression, a call without one is a statement.";
        BAD_MODE = error 506, "a parameter mode that is not allowed here",
            "Operations have no SHARED parameters. Processes have no OUT parameters, and SHARED ones only for objects and\n\
             one-dimensional arrays of objects.";
        FIELD_OUTSIDE = error 507, "an object's field outside its operations",
            "Fields may only be used in an operation or in the object's initialization, and there also those of local copies\n\
             (copy.field). Functions of the object get what they need as parameters, and call operations.";
        BAD_SELF = error 508, "a wrong use of SELF",
            "SELF stands for the operation's own object, and only in SELF$op(...).";
        OUTPUT_IN_OPERATION = warning 501, "output in an operation",
            "An operation may be executed on many processors. Its output is performed once, by the processor whose process\n\
             invoked it.";
        INPUT_IN_OPERATION = warning 502, "input or a clock in an operation",
            "The replicas of an object must stay equal, so an object whose operations read input, files or a clock is never\n\
             replicated.";
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
        UNIONS = error 901, "unions are not compiled yet",
            "Use a record with a field for the tag and fields for all alternatives.";
        BAGS = error 902, "bags are not compiled yet",
            "Use an array, or a set of records that hold an element and its number.";
        FUNCTION_TYPES = error 903, "function types are not compiled yet",
            "Use a generic unit with a FUNCTION parameter, or CASE over an enumeration.";
        OPAQUE_TYPES = error 904, "opaque types are not compiled yet",
            "Define the type in the specification: TYPE T = NODENAME OF G; with G there, too.";
        FOREIGN_MODULES = error 905, "foreign modules are not compiled yet",
            "A specification with functions but without implementation stands for a module that is written in C.";
        NESTED_BLOCKING = error 906, "blocking within an operation is not compiled yet",
            "The operation reaches a call of an operation that has guards, on a nested object or on SELF. If that blocked, the\n\
             outer operation would have to be undone. Put the guard into the outer operation:\n\n    \
             GUARD count > 0 DO ... OD;";
        DATA_PARALLEL = error 907, "the data-parallel extension is not compiled yet",
            "Partitioned objects, parallel operations and their directives are read, but there is no code for them.";
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
