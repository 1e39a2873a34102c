//! Numbers: decimal, octal, hexadecimal, real.
//!
//! Implements: ORCA.md 1.4.

use crate::ast::Radix;

use super::token::Tok;

/// A number at the start of a text, or what is wrong with it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Number {
    /// Its value; a likely one if there is a fault.
    pub(super) tok: Tok,
    /// Its length in bytes.
    pub(super) len: usize,
    /// What is wrong.
    pub(super) fault: Option<Fault>,
}

/// What can be wrong with a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// `18B`
    NotOctal,
    /// `1E5`
    ExponentWithoutPoint,
    /// `12AF`
    HexWithoutH,
    /// `1.0E+`
    NoExponentDigits,
    /// Does not fit 64 bits.
    TooLarge,
}

fn run(bytes: &[u8], from: usize, member: impl Fn(u8) -> bool) -> usize {
    from + bytes[from..].iter().take_while(|&&b| member(b)).count()
}

fn is_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'A'..=b'F').contains(&b)
}

/// Scans the number at the start of `text`, which begins with a digit.
pub(super) fn scan(text: &str) -> Number {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let digits = run(bytes, 0, |b| b.is_ascii_digit());
    let hex = run(bytes, 0, is_hex);
    if at(hex) == b'H' {
        return integer(&text[..hex], hex + 1, Radix::Hex);
    }
    if hex == digits + 1 && at(digits) == b'B' {
        return integer(&text[..digits], hex, Radix::Octal);
    }
    if hex > digits {
        return letters_without_h(text, digits, hex);
    }
    if at(digits) == b'.' && at(digits + 1) != b'.' {
        return real(text, digits + 1);
    }
    integer(&text[..digits], digits, Radix::Decimal)
}

fn integer(digits: &str, len: usize, radix: Radix) -> Number {
    let base = match radix {
        Radix::Decimal => 10,
        Radix::Octal => 8,
        Radix::Hex => 16,
    };
    let max = if radix == Radix::Decimal {
        i64::MAX as u64
    } else {
        u64::MAX
    };
    let not_octal = radix == Radix::Octal && digits.bytes().any(|b| b > b'7');
    let (value, fault) = match u64::from_str_radix(digits, base) {
        _ if not_octal => (0, Some(Fault::NotOctal)),
        Ok(value) if value <= max => (value, None),
        _ => (0, Some(Fault::TooLarge)),
    };
    Number {
        tok: Tok::Int(value, radix),
        len,
        fault,
    }
}

/// `1E5`, `12AF`; also `10DO`, whose `D` would be a hexadecimal digit.
fn letters_without_h(text: &str, digits: usize, hex: usize) -> Number {
    let rest = &text[digits..];
    let exponent = rest.starts_with(['E', 'D']) && {
        let signed = &rest[1..];
        let unsigned = signed.strip_prefix(['+', '-']).unwrap_or(signed);
        unsigned.starts_with(|c: char| c.is_ascii_digit())
    };
    if exponent {
        let bytes = text.as_bytes();
        let sign = usize::from(matches!(bytes[digits + 1], b'+' | b'-'));
        let len = run(bytes, digits + 1 + sign, |b| b.is_ascii_digit());
        return Number {
            tok: Tok::Real(1.0),
            len,
            fault: Some(Fault::ExponentWithoutPoint),
        };
    }
    Number {
        tok: Tok::Int(0, Radix::Hex),
        len: hex,
        fault: Some(Fault::HexWithoutH),
    }
}

/// A real whose point ends at `point`.
fn real(text: &str, point: usize) -> Number {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let fraction = run(bytes, point, |b| b.is_ascii_digit());
    let letter = at(fraction);
    let mut end = fraction;
    let mut len = fraction;
    let mut fault = None;
    if matches!(letter, b'E' | b'D' | b'e') {
        let sign = usize::from(matches!(at(fraction + 1), b'+' | b'-'));
        let first = fraction + 1 + sign;
        if at(first).is_ascii_digit() {
            end = run(bytes, first, |b| b.is_ascii_digit());
            len = end;
        } else if letter == b'D' && !at(fraction + 1).is_ascii_alphanumeric() {
            // An older dialect marked longreal constants so; it means nothing.
            len = fraction + 1;
        } else if letter != b'D' && !at(first).is_ascii_alphanumeric() {
            len = first;
            fault = Some(Fault::NoExponentDigits);
        }
    }
    let value: f64 = text[..end]
        .replace('D', "E")
        .parse()
        .expect("digits, a point and an exponent are a number");
    if value.is_infinite() {
        fault = Some(Fault::TooLarge);
    }
    Number {
        tok: Tok::Real(value),
        len,
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, tok: Tok, len: usize) {
        assert_eq!(
            scan(text),
            Number {
                tok,
                len,
                fault: None
            },
            "{text}"
        );
    }

    fn check_fault(text: &str, fault: Fault, len: usize) {
        let number = scan(text);
        assert_eq!((number.fault, number.len), (Some(fault), len), "{text}");
    }

    #[test]
    fn integers_have_three_radixes() {
        check("0", Tok::Int(0, Radix::Decimal), 1);
        check(
            "9223372036854775807",
            Tok::Int(i64::MAX as u64, Radix::Decimal),
            19,
        );
        check("17B", Tok::Int(15, Radix::Octal), 3);
        check("0FFH", Tok::Int(255, Radix::Hex), 4);
        check("1BH", Tok::Int(27, Radix::Hex), 3);
        check("0FFFFFFFFFFFFFFFFH", Tok::Int(u64::MAX, Radix::Hex), 18);
        check("12OD", Tok::Int(12, Radix::Decimal), 2);
    }

    #[test]
    fn a_range_is_not_a_real() {
        check("1..5", Tok::Int(1, Radix::Decimal), 1);
        check("1.", Tok::Real(1.0), 2);
        check("3. ", Tok::Real(3.0), 2);
    }

    #[test]
    fn reals_have_an_exponent_by_e_or_d() {
        check("1.5E3", Tok::Real(1500.0), 5);
        check("1.5e-3;", Tok::Real(0.0015), 6);
        check("2.D+2", Tok::Real(200.0), 5);
        check("0.5D;", Tok::Real(0.5), 4);
        check("0.5D", Tok::Real(0.5), 4);
        check("0.5DO", Tok::Real(0.5), 3);
        check("1.0ELSE", Tok::Real(1.0), 3);
    }

    #[test]
    fn faults_cover_the_whole_number() {
        check_fault("18B", Fault::NotOctal, 3);
        check_fault("1E5", Fault::ExponentWithoutPoint, 3);
        check_fault("1E-5", Fault::ExponentWithoutPoint, 4);
        check_fault("12AF ", Fault::HexWithoutH, 4);
        check_fault("1.0E+;", Fault::NoExponentDigits, 5);
        check_fault("9223372036854775808", Fault::TooLarge, 19);
        check_fault("10000000000000000H", Fault::TooLarge, 18);
        check_fault("1.0E999", Fault::TooLarge, 7);
    }
}
