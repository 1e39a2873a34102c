//! The variable part: parameters behind the fixed header, as hints that nobody needs.
//!
//! ```text
//!  0  u32  bytes that follow, a multiple of four, in the order of the header
//!  4  ..   parameters: code (1, not zero), size (1), and so many bytes of data; zero bytes pad
//! ```
//! Nothing here knows a code yet, so all of them are skipped. What is not well formed is no packet.
//!
//! Implements: [Thesis §2.4.1], the variable part.
//! Differs: Amoeba 5 neither sends nor skips it; it is not sent here and not forwarded.

use super::{Order, WireError};

/// The most bytes of parameters that are skipped; more is no packet of ours.
pub const VARIABLE_LEN_MAX: usize = 256;

/// One parameter: its code and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// What it is about; never zero.
    pub code: u8,
    /// What it says.
    pub data: &'a [u8],
}

/// How many bytes the variable part at the start of `bytes` takes, its count included.
pub(crate) fn variable_len(bytes: &[u8], order: Order) -> Result<usize, WireError> {
    let (count, rest) = bytes.split_first_chunk().ok_or(WireError::VariablePart)?;
    let count = order.u32(*count) as usize;
    if count > VARIABLE_LEN_MAX || !count.is_multiple_of(4) || count > rest.len() {
        return Err(WireError::VariablePart);
    }
    Parameters(&rest[..count]).try_for_each(|parameter| parameter.map(drop))?;
    Ok(4 + count)
}

/// The parameters in a variable part, its count left out.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a>(pub &'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&code, rest) = self.0.split_first()?;
        if code == 0 {
            // Padding, to the end.
            self.0 = &[];
            let padded = rest.len() < 4 && rest.iter().all(|byte| *byte == 0);
            return (!padded).then_some(Err(WireError::VariablePart));
        }
        let split = rest
            .split_first()
            .and_then(|(&size, rest)| rest.split_at_checked(usize::from(size)));
        let Some((data, rest)) = split else {
            self.0 = &[];
            return Some(Err(WireError::VariablePart));
        };
        self.0 = rest;
        Some(Ok(Parameter { code, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<usize, WireError>) {
        assert_eq!(variable_len(bytes, Order::Little), expected, "{bytes:?}");
    }

    #[test]
    fn parameters_are_read_one_after_the_other() {
        let bytes = [7, 2, 1, 2, 9, 0, 0, 0];
        let found: Vec<_> = Parameters(&bytes).collect();
        let expected = [
            Ok(Parameter {
                code: 7,
                data: &[1, 2],
            }),
            Ok(Parameter { code: 9, data: &[] }),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_part_that_is_not_well_formed_is_refused() {
        check(&[0, 0, 0, 0], Ok(4));
        check(&[4, 0, 0, 0, 7, 2, 1, 2, 99], Ok(8));
        check(&[4, 0, 0, 0, 7, 3, 1, 2], Err(WireError::VariablePart));
        check(&[4, 0, 0, 0, 7, 1, 1, 7], Err(WireError::VariablePart));
        check(&[4, 0, 0, 0, 0, 0, 1, 0], Err(WireError::VariablePart));
        check(
            &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Err(WireError::VariablePart),
        );
        check(&[2, 0, 0, 0, 7, 0], Err(WireError::VariablePart));
        check(&[4, 0, 0], Err(WireError::VariablePart));
        check(&[8, 0, 0, 0, 7, 2, 1, 2], Err(WireError::VariablePart));
        check(&[0xff; 300], Err(WireError::VariablePart));
    }
}
