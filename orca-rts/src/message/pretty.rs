//! One line for each message of the run-time system, as captures show it. Never fails.

use std::fmt::{self, Write};

use super::{Header, IdleReport, Message};
use crate::roster::parse_introduction;

/// The bytes of a broadcast as one line, message or not.
#[derive(Clone, Copy, Debug)]
pub struct MessageLine<'a>(pub &'a [u8]);

impl fmt::Display for MessageLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(processor) = parse_introduction(self.0) {
            return write!(f, "Introduction processor {processor}");
        }
        match Message::parse(self.0) {
            Ok(Some((header, message))) => write_line(f, header, &message),
            Ok(None) => f.write_str("? another version"),
            Err(_) => f.write_str("? malformed"),
        }
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, header: Header, message: &Message<'_>) -> fmt::Result {
    f.write_str(message.name())?;
    write_body(f, message)?;
    write!(f, " after {}", header.applied)?;
    if header.epoch != 0 {
        write!(f, " epoch {}", header.epoch)?;
    }
    Ok(())
}

fn write_body(f: &mut fmt::Formatter<'_>, message: &Message<'_>) -> fmt::Result {
    match message {
        Message::Write {
            object,
            operation,
            invocation,
            process,
            site,
            arguments,
        } => write!(
            f,
            " object {object} operation {operation} process {process} site {site} \
             invocation {invocation} {} B",
            arguments.len()
        ),
        Message::Fork {
            process,
            cpu,
            invocation,
            forker,
            arguments,
        } => write!(
            f,
            " process {process} cpu {cpu} forker {forker} invocation {invocation} {} B",
            arguments.len()
        ),
        Message::Exit { objects } | Message::Release { objects } => {
            write_list(f, objects, |f, object| write!(f, "{object}"))
        }
        Message::DataHash { hashes } => write_list(f, hashes, |f, hash| write!(f, "{hash:016x}")),
        Message::Idle(report) => {
            let IdleReport {
                sent,
                received,
                waiting_count,
                waiting,
            } = report;
            let told = waiting.len();
            write!(
                f,
                " sent {sent} received {received} waiting {waiting_count} told {told}"
            )
        }
        Message::Trap { status, line } => write!(f, " status {status} {line:?}"),
        Message::ReplicaHash {
            object,
            writes,
            digest,
        } => write!(f, " object {object} writes {writes} digest {digest:016x}"),
    }
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    items.iter().try_for_each(|item| {
        f.write_char(' ')?;
        write(f, item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &Message<'_>, expected: &str) {
        let header = Header {
            epoch: 0,
            applied: 77,
        };
        assert_eq!(MessageLine(&message.emit(header)).to_string(), expected);
    }

    #[test]
    fn a_line_says_it_all() {
        check(
            &Message::Write {
                object: 3,
                operation: 2,
                invocation: 1 << 40,
                process: 7,
                site: 9,
                arguments: b"args",
            },
            "Write object 3 operation 2 process 7 site 9 invocation 1099511627776 4 B after 77",
        );
        check(
            &Message::Release {
                objects: vec![4, 5],
            },
            "Release 4 5 after 77",
        );
        check(
            &Message::Trap {
                status: 70,
                line: "a \"b\"",
            },
            "Trap status 70 \"a \\\"b\\\"\" after 77",
        );
    }

    #[test]
    fn bytes_that_are_no_message_have_a_line_too() {
        for (bytes, expected) in [
            (&b""[..], "? malformed"),
            (&[1; 8], "? malformed"),
            (&[2; 16], "? another version"),
            (&[0xff, 2, 1, 0, 0], "Introduction processor 258"),
        ] {
            assert_eq!(MessageLine(bytes).to_string(), expected);
        }
    }
}
