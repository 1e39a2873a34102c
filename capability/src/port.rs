//! 48-bit ports and the step from get-port to put-port.
//!
//! Implements: [Amoeba5] §4.

use std::fmt;
use std::str::FromStr;

use crate::one_way;

/// Bytes of a port.
pub const PORT_SIZE: usize = 6;

/// A 48-bit name of a service or a group; byte 0 first, never swapped on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port([u8; PORT_SIZE]);

impl Port {
    /// The null port, which names nothing.
    pub const NULL: Port = Port([0; PORT_SIZE]);

    /// The port with these bytes.
    pub const fn new(bytes: [u8; PORT_SIZE]) -> Port {
        Port(bytes)
    }

    /// The bytes, byte 0 first.
    pub const fn bytes(self) -> [u8; PORT_SIZE] {
        self.0
    }

    /// Whether this is the null port.
    pub fn is_null(self) -> bool {
        self == Port::NULL
    }

    /// The put-port that belongs to this get-port. The null port maps to itself; no other port
    /// maps to null.
    #[must_use]
    pub fn put_port(self) -> Port {
        if self.is_null() {
            return Port::NULL;
        }
        let mut image = one_way::one_way(self.0);
        if image == [0; PORT_SIZE] {
            image[0] |= 1;
        }
        Port(image)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A port is written as twelve hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a port is twelve hexadecimal digits")]
pub struct ParsePortError;

impl FromStr for Port {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Port, ParsePortError> {
        if text.len() != 2 * PORT_SIZE || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ParsePortError);
        }
        let mut bytes = [0; PORT_SIZE];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16)
                .map_err(|_| ParsePortError)?;
        }
        Ok(Port(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_put_port(get: &str, put: &str) {
        let get: Port = get.parse().expect("a port in the test's own text");
        assert_eq!(get.put_port().to_string(), put, "put-port of {get}");
    }

    #[test]
    fn the_one_way_function_gives_the_known_answers() {
        check_put_port("010203040506", "0d6e00b12afe");
        check_put_port("010000000000", "0f8905c8feff");
        check_put_port("ffffffffffff", "2a4a50f2bbdb");
        check_put_port("746573740000", "5884075ce686");
        check_put_port("deadbeef1234", "165ea17ad19d");
        check_put_port("000000000000", "000000000000");
    }

    /// The check field of a capability is the same function of the random number with the rights
    /// exclusive-ored into byte 0: a second set of known answers.
    #[test]
    fn check_fields_of_known_capabilities_come_out() {
        let known = [
            (0x00, "165ea17ad19d"),
            (0x01, "8ca7967a0f11"),
            (0x03, "50797b5b7877"),
            (0x0f, "cb912606ae84"),
            (0x7f, "62f104b8ceb0"),
            (0x80, "3d8e9081a5e6"),
            (0xc7, "361ab55ee322"),
            (0xfe, "150d93f26381"),
        ];
        for (rights, check) in known {
            let random = Port::new([0xde ^ rights, 0xad, 0xbe, 0xef, 0x12, 0x34]);
            assert_eq!(random.put_port().to_string(), check, "rights {rights:02x}");
        }
    }

    #[test]
    fn text_that_is_no_port_is_refused() {
        for text in [
            "",
            "01020304050",
            "0102030405067",
            "01020304050g",
            "+10203040506",
        ] {
            assert_eq!(text.parse::<Port>(), Err(ParsePortError), "{text:?}");
        }
    }
}
