//! One line per packet, as traces, scripts and reports of errors print it.

use std::fmt;

use super::{Flow, Kind, Packet, Repr};

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr {
            kind,
            actual,
            maximum,
            destination,
            source,
            message,
            ..
        } = self;
        write!(
            f,
            "{} {source} -> {destination} #{message} {actual}/{maximum}",
            kind.name()
        )?;
        match kind {
            Kind::Locate => {}
            Kind::HereIs { count, trusted } => write!(f, " count {count} trusted {trusted}")?,
            _ => write!(f, " @{} of {}", self.offset, self.total)?,
        }
        let flags = [
            (self.flags.security, " security"),
            (self.flags.unreachable, " unreachable"),
            (self.flags.tainted, " unsafe"),
        ];
        flags
            .iter()
            .filter(|(set, _)| *set)
            .try_for_each(|(_, name)| f.write_str(name))
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Flow::name_of(usize::from(self.number())))?;
        match self {
            Flow::Request | Flow::Data { credits: 0 } => Ok(()),
            Flow::Data { credits } => write!(f, " credits {credits}"),
            Flow::Credit(credits) | Flow::Absolute(credits) => write!(f, " {credits}"),
            Flow::MulticastRequest { group, address } => write!(f, " m{group:x} for {address}"),
            Flow::MulticastAck(address) | Flow::MulticastNak(address) => write!(f, " {address}"),
        }
    }
}

/// One line for a frame on a network with the flow-control header.
pub fn flow_line(frame: &[u8]) -> String {
    match Flow::parse(frame) {
        Ok((Flow::Data { credits: 0 }, packet)) => line(packet),
        Ok((flow @ Flow::Data { .. }, packet)) => format!("{} ({flow})", line(packet)),
        Ok((flow, _)) => flow.to_string(),
        Err(error) => format!("{} B, no frame: {error}", frame.len()),
    }
}

/// One line for any bytes, packet or not.
pub fn line(frame: &[u8]) -> String {
    let parsed = Packet::new_checked(frame).and_then(|packet| Repr::parse(&packet));
    match parsed {
        Ok(repr) => repr.to_string(),
        Err(error) => format!("{} B, no packet: {error}", frame.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::FlipAddress;
    use crate::wire::Flags;

    #[test]
    fn a_line_says_it_all() {
        let repr = Repr {
            kind: Kind::UniData,
            flags: Flags {
                security: true,
                ..Flags::default()
            },
            actual: 3,
            maximum: 4,
            destination: FlipAddress::new([1; 8]),
            source: FlipAddress::new([2; 8]),
            message: 7,
            offset: 10,
            total: 14,
        };
        assert_eq!(
            line(&repr.emit(b"abcd")),
            "UNIDATA 0202020202020202 -> 0101010101010101 #7 3/4 @10 of 14 security"
        );
        assert_eq!(line(b"hello"), "5 B, no packet: shorter than a header");
    }
}
