//! Numbers as text and back, exactly as the language says.
//!
//! Reals are printed as C's `%.*g` prints them; input is parsed as `scanf` parses it. Everything here is a pure
//! function of its arguments, the same on every processor. What differs from C: a NaN has no sign, and hexadecimal reals are not read.
//!
//! Implements: ORCA 8.1, 11 (conversions).

/// Digits of a real in `Write`.
pub(crate) const WRITE_PRECISION: usize = 6;

/// Appends a real as `%.{precision}g` prints it.
pub(crate) fn push_real(out: &mut Vec<u8>, value: f64, precision: usize) {
    let precision = precision.max(1);
    if value.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" });
        return;
    }
    let scientific = format!("{:.*e}", precision - 1, value);
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("the form of a real in scientific notation");
    let exponent: i32 = exponent.parse().expect("the exponent of a real");
    if exponent < -4 || exponent >= precision as i32 {
        out.extend_from_slice(without_trailing_zeros(mantissa).as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else {
        let decimals = (precision as i32 - 1 - exponent) as usize;
        let fixed = format!("{value:.decimals$}");
        out.extend_from_slice(without_trailing_zeros(&fixed).as_bytes());
    }
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

/// Appends an integer.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// What C calls white space.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A parsed number, and how many bytes it took.
pub(crate) type Prefix<T> = Option<(T, usize)>;

/// The longest decimal integer at the start; beyond 64 bits it is the nearest that fits.
pub(crate) fn parse_integer(bytes: &[u8]) -> Prefix<i64> {
    let (negative, start) = sign(bytes);
    let digits = digit_count(&bytes[start..]);
    if digits == 0 {
        return None;
    }
    let value = bytes[start..start + digits]
        .iter()
        .fold(0i64, |value, &digit| {
            let digit = i64::from(digit - b'0');
            let next = value.checked_mul(10).and_then(|value| {
                if negative {
                    value.checked_sub(digit)
                } else {
                    value.checked_add(digit)
                }
            });
            next.unwrap_or(if negative { i64::MIN } else { i64::MAX })
        });
    Some((value, start + digits))
}

/// The longest decimal real at the start.
pub(crate) fn parse_real(bytes: &[u8]) -> Prefix<f64> {
    let (negative, start) = sign(bytes);
    for (name, value) in [
        ("infinity", f64::INFINITY),
        ("inf", f64::INFINITY),
        ("nan", f64::NAN),
    ] {
        let end = start + name.len();
        if bytes.len() >= end && bytes[start..end].eq_ignore_ascii_case(name.as_bytes()) {
            return Some((if negative { -value } else { value }, end));
        }
    }
    let whole = digit_count(&bytes[start..]);
    let mut end = start + whole;
    let mut digits = whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digit_count(&bytes[end + 1..]);
        digits += fraction;
        if digits > 0 {
            end += 1 + fraction;
        }
    }
    if digits == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let (_, exponent_start) = sign(&bytes[end + 1..]);
        let exponent = digit_count(&bytes[end + 1 + exponent_start..]);
        if exponent > 0 {
            end += 1 + exponent_start + exponent;
        }
    }
    let text = str::from_utf8(&bytes[..end]).expect("signs, digits and points are ASCII");
    Some((text.parse().ok()?, end))
}

fn sign(bytes: &[u8]) -> (bool, usize) {
    match bytes.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    }
}

fn digit_count(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// What `Read` looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Integer,
    Real,
    Character,
    String,
}

impl Wanted {
    /// The end of the message if the input holds something else.
    pub(crate) fn expectation(self) -> &'static str {
        match self {
            Wanted::Integer => "integer expected",
            Wanted::Real => "real expected",
            Wanted::Character => "character expected",
            Wanted::String => "string expected",
        }
    }
}

/// What `Read` found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Integer(i64),
    Real(f64),
    Character(u8),
    String(Vec<u8>),
}

/// The outcome of looking at buffered input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scan {
    /// More input could change the answer.
    More,
    /// Found, with the number of bytes consumed.
    Found(Found, usize),
    /// Something else is there, or nothing at all.
    Failed,
}

/// Looks for one item at the start of the input; `ended`: no more input will come.
pub(crate) fn scan(wanted: Wanted, input: &[u8], ended: bool) -> Scan {
    if wanted == Wanted::Character {
        return match input.first() {
            Some(&byte) => Scan::Found(Found::Character(byte), 1),
            None if ended => Scan::Failed,
            None => Scan::More,
        };
    }
    let start = input.iter().take_while(|&&byte| is_space(byte)).count();
    let item = &input[start..];
    let length = match wanted {
        Wanted::String => item.iter().take_while(|&&byte| !is_space(byte)).count(),
        _ => item
            .iter()
            .take_while(|&&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            .count(),
    };
    if start + length == input.len() && !ended {
        return Scan::More;
    }
    let item = &item[..length];
    let found = match wanted {
        Wanted::Integer => parse_integer(item).map(|(value, end)| (Found::Integer(value), end)),
        Wanted::Real => parse_real(item).map(|(value, end)| (Found::Real(value), end)),
        _ => (length > 0).then(|| (Found::String(item.to_vec()), length)),
    };
    match found {
        Some((found, end)) => Scan::Found(found, start + end),
        None => Scan::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: f64) -> String {
        let mut out = Vec::new();
        push_real(&mut out, value, WRITE_PRECISION);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn reals_print_as_percent_g_does() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (0.1, "0.1"),
            (1_000_000.0, "1e+06"),
            (999_999.0, "999999"),
            (999_999.5, "1e+06"),
            (123_456.7, "123457"),
            (3.141_594_653_5, "3.14159"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (0.000_099_999_99, "0.0001"),
            (0.000_01, "1e-05"),
            (-2.5, "-2.5"),
            (100.0, "100"),
            (2.5e10, "2.5e+10"),
            (1e100, "1e+100"),
            (5e-324, "4.94066e-324"),
            (f64::MAX, "1.79769e+308"),
            (0.5, "0.5"),
            (2.000_000_5, "2"),
            (1.000_005, "1.00001"),
            (1.000_015, "1.00002"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ] {
            assert_eq!(real(value), expected, "{value:e}");
        }
    }

    #[test]
    fn the_precision_is_the_number_of_digits() {
        let mut out = Vec::new();
        push_real(&mut out, 1.0 / 3.0, 15);
        assert_eq!(out, b"0.333333333333333");
        out.clear();
        push_real(&mut out, 1234.5, 1);
        assert_eq!(out, b"1e+03");
    }

    #[test]
    fn integers_are_parsed_to_the_first_other_byte() {
        assert_eq!(parse_integer(b"42abc"), Some((42, 2)));
        assert_eq!(parse_integer(b"-7"), Some((-7, 2)));
        assert_eq!(parse_integer(b"+7"), Some((7, 2)));
        assert_eq!(parse_integer(b"-"), None);
        assert_eq!(parse_integer(b""), None);
        assert_eq!(parse_integer(b"99999999999999999999"), Some((i64::MAX, 20)));
        assert_eq!(parse_integer(b"-9223372036854775808"), Some((i64::MIN, 20)));
    }

    #[test]
    fn reals_are_parsed_as_far_as_they_go() {
        assert_eq!(parse_real(b"3"), Some((3.0, 1)));
        assert_eq!(parse_real(b"3."), Some((3.0, 2)));
        assert_eq!(parse_real(b".5x"), Some((0.5, 2)));
        assert_eq!(parse_real(b"-1.5e3,"), Some((-1500.0, 6)));
        assert_eq!(parse_real(b"1e"), Some((1.0, 1)));
        assert_eq!(parse_real(b"1e+"), Some((1.0, 1)));
        assert_eq!(parse_real(b"."), None);
        assert_eq!(parse_real(b"e5"), None);
        assert_eq!(parse_real(b"Inf"), Some((f64::INFINITY, 3)));
    }

    #[test]
    fn reading_waits_while_more_input_could_change_the_answer() {
        use Found::*;
        for (wanted, input, ended, expected) in [
            (Wanted::Integer, &b"  12"[..], false, Scan::More),
            (Wanted::Integer, b"  12", true, Scan::Found(Integer(12), 4)),
            (
                Wanted::Integer,
                b"  12 ",
                false,
                Scan::Found(Integer(12), 4),
            ),
            (Wanted::Integer, b"12,", false, Scan::Found(Integer(12), 2)),
            (Wanted::Integer, b"12x,", false, Scan::Found(Integer(12), 2)),
            (Wanted::Integer, b" x ", false, Scan::Failed),
            (Wanted::Integer, b"   ", false, Scan::More),
            (Wanted::Integer, b"   ", true, Scan::Failed),
            (Wanted::Real, b"1e5\n", false, Scan::Found(Real(1e5), 3)),
            (
                Wanted::Character,
                b" x",
                false,
                Scan::Found(Character(b' '), 1),
            ),
            (Wanted::Character, b"", false, Scan::More),
            (Wanted::Character, b"", true, Scan::Failed),
            (
                Wanted::String,
                b"\n ab c",
                false,
                Scan::Found(String(b"ab".to_vec()), 4),
            ),
            (Wanted::String, b"ab", false, Scan::More),
            (
                Wanted::String,
                b"ab",
                true,
                Scan::Found(String(b"ab".to_vec()), 2),
            ),
            (Wanted::String, b" \n", true, Scan::Failed),
        ] {
            assert_eq!(
                scan(wanted, input, ended),
                expected,
                "{wanted:?} in {input:?}"
            );
        }
    }
}
