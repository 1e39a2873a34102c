//! The run-time system's own messages, as they travel through the program's group.
//!
//! ```text
//!  0 version   1 kind   2 checkpoint epoch (16)   4 reserved (32)   8 number of the last ordered message applied by the sender (64)
//! 16 body
//! ```
//!
//! Everything is little-endian. Variable parts come last or with their length in front. Parsing believes no length. The sender is
//! known from the group; what a message says about processes means processes of its sender. A message of another version or
//! epoch is dropped and counted.
//!
//! | message | says |
//! |---|---|
//! | Write | operation `operation` is to be done on `object`; the arguments that go in follow |
//! | Fork | process type `process` starts on `cpu`; its arguments follow, with objects that become shared by it |
//! | Exit | a process ended, and with it its hold on `objects` |
//! | Release | the sender's declarers dropped these shared objects |
//! | DataHash | hashes of the data modules' variables after initialisation |
//! | Idle | nothing can happen on the sender unless a message arrives |
//! | Trap | the program ends with this status; the sender prints the line |
//! | ReplicaHash | hash of `object` on the sender after so many writes |
//!
//! Implements: [Thesis §4.3] messages of the run-time system.

mod pretty;

use crate::marshal::{DecodeError, Reader};

pub use pretty::MessageLine;

/// First byte of every message.
pub(crate) const VERSION: u8 = 1;
/// Bytes before the body.
const HEADER_BYTES: usize = 16;
/// Waiting processes told in an idle report at most.
pub(crate) const WAITING_MAX: usize = 32;
/// Bytes of a line at most.
const LINE_BYTES_MAX: usize = 8 << 10;

/// What every message says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) epoch: u16,
    pub(crate) applied: u64,
}

/// A process that waits for a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Index of the process type.
    pub(crate) process: u32,
    /// Where the operation was called: an index of sites.
    pub(crate) site: u32,
    /// Index of the object type, and of the operation in it.
    pub(crate) object_type: u32,
    pub(crate) operation: u32,
}

/// Nothing can happen on a processor unless a message arrives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IdleReport {
    /// Messages sent and received that are not ordered; none exist yet.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Processes that wait, told or not.
    pub(crate) waiting_count: u32,
    pub(crate) waiting: Vec<Waiting>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Write {
        object: u32,
        operation: u32,
        invocation: u64,
        process: u32,
        site: u32,
        arguments: &'a [u8],
    },
    Fork {
        process: u32,
        cpu: u32,
        invocation: u64,
        forker: u32,
        arguments: &'a [u8],
    },
    Exit {
        objects: Vec<u32>,
    },
    Release {
        objects: Vec<u32>,
    },
    DataHash {
        hashes: Vec<u64>,
    },
    Idle(IdleReport),
    Trap {
        status: u32,
        line: &'a str,
    },
    ReplicaHash {
        object: u32,
        writes: u64,
        digest: u64,
    },
}

impl<'a> Message<'a> {
    fn kind(&self) -> u8 {
        match self {
            Message::Write { .. } => 1,
            Message::Fork { .. } => 2,
            Message::Exit { .. } => 3,
            Message::Release { .. } => 4,
            Message::DataHash { .. } => 5,
            Message::Idle(_) => 6,
            Message::Trap { .. } => 7,
            Message::ReplicaHash { .. } => 8,
        }
    }

    /// The name in traces.
    fn name(&self) -> &'static str {
        match self {
            Message::Write { .. } => "Write",
            Message::Fork { .. } => "Fork",
            Message::Exit { .. } => "Exit",
            Message::Release { .. } => "Release",
            Message::DataHash { .. } => "DataHash",
            Message::Idle(_) => "Idle",
            Message::Trap { .. } => "Trap",
            Message::ReplicaHash { .. } => "ReplicaHash",
        }
    }

    /// The bytes of the message.
    pub(crate) fn emit(&self, header: Header) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 32);
        out.push(VERSION);
        out.push(self.kind());
        out.extend_from_slice(&header.epoch.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&header.applied.to_le_bytes());
        self.emit_body(&mut out);
        out
    }

    fn emit_body(&self, out: &mut Vec<u8>) {
        match self {
            Message::Write {
                object,
                operation,
                invocation,
                process,
                site,
                arguments,
            } => {
                words(out, &[*object, *operation, *process, *site]);
                out.extend_from_slice(&invocation.to_le_bytes());
                out.extend_from_slice(arguments);
            }
            Message::Fork {
                process,
                cpu,
                invocation,
                forker,
                arguments,
            } => {
                words(out, &[*process, *cpu, *forker]);
                out.extend_from_slice(&invocation.to_le_bytes());
                out.extend_from_slice(arguments);
            }
            Message::Exit { objects } | Message::Release { objects } => {
                words(out, &[objects.len() as u32]);
                words(out, objects);
            }
            Message::DataHash { hashes } => {
                words(out, &[hashes.len() as u32]);
                for hash in hashes {
                    out.extend_from_slice(&hash.to_le_bytes());
                }
            }
            Message::Idle(report) => {
                out.extend_from_slice(&report.sent.to_le_bytes());
                out.extend_from_slice(&report.received.to_le_bytes());
                words(out, &[report.waiting_count, report.waiting.len() as u32]);
                for waiting in &report.waiting {
                    let Waiting {
                        process,
                        site,
                        object_type,
                        operation,
                    } = *waiting;
                    words(out, &[process, site, object_type, operation]);
                }
            }
            Message::Trap { status, line } => {
                words(out, &[*status]);
                let mut end = line.len().min(LINE_BYTES_MAX);
                while !line.is_char_boundary(end) {
                    end -= 1;
                }
                out.extend_from_slice(&line.as_bytes()[..end]);
            }
            Message::ReplicaHash {
                object,
                writes,
                digest,
            } => {
                words(out, &[*object]);
                out.extend_from_slice(&writes.to_le_bytes());
                out.extend_from_slice(&digest.to_le_bytes());
            }
        }
    }

    /// Reads a message; nothing if it is of another version.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<(Header, Message<'a>)>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        let kind = reader.u8()?;
        let epoch = reader.u16()?;
        reader.u32()?;
        let applied = reader.u64()?;
        if version != VERSION {
            return Ok(None);
        }
        let message = Message::parse_body(kind, &mut reader)?;
        Ok(Some((Header { epoch, applied }, message)))
    }

    fn parse_body(kind: u8, reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
        let message = match kind {
            1 => {
                let (object, operation) = (reader.u32()?, reader.u32()?);
                let (process, site) = (reader.u32()?, reader.u32()?);
                return Ok(Message::Write {
                    object,
                    operation,
                    process,
                    site,
                    invocation: reader.u64()?,
                    arguments: reader.rest(),
                });
            }
            2 => {
                let (process, cpu, forker) = (reader.u32()?, reader.u32()?, reader.u32()?);
                return Ok(Message::Fork {
                    process,
                    cpu,
                    forker,
                    invocation: reader.u64()?,
                    arguments: reader.rest(),
                });
            }
            3 => Message::Exit {
                objects: many(reader, 4, Reader::u32)?,
            },
            4 => Message::Release {
                objects: many(reader, 4, Reader::u32)?,
            },
            5 => Message::DataHash {
                hashes: many(reader, 8, Reader::u64)?,
            },
            6 => {
                let (sent, received) = (reader.u64()?, reader.u64()?);
                let waiting_count = reader.u32()?;
                let waiting = many(reader, 16, |reader| {
                    Ok(Waiting {
                        process: reader.u32()?,
                        site: reader.u32()?,
                        object_type: reader.u32()?,
                        operation: reader.u32()?,
                    })
                })?;
                Message::Idle(IdleReport {
                    sent,
                    received,
                    waiting_count,
                    waiting,
                })
            }
            7 => {
                let status = reader.u32()?;
                let line = str::from_utf8(reader.rest()).map_err(|_| DecodeError::Malformed)?;
                return Ok(Message::Trap { status, line });
            }
            8 => Message::ReplicaHash {
                object: reader.u32()?,
                writes: reader.u64()?,
                digest: reader.u64()?,
            },
            _ => return Err(DecodeError::Malformed),
        };
        reader.finish()?;
        Ok(message)
    }
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// A count and so many items of `bytes` each.
fn many<'a, T>(
    reader: &mut Reader<'a>,
    bytes: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.u32()? as usize;
    if count > reader.rest().len() / bytes {
        return Err(DecodeError::Short);
    }
    (0..count).map(|_| item(reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Message<'static>> {
        vec![
            Message::Write {
                object: 3,
                operation: 2,
                invocation: 1 << 40,
                process: 7,
                site: 9,
                arguments: b"args",
            },
            Message::Fork {
                process: 1,
                cpu: 5,
                invocation: 8,
                forker: 0,
                arguments: b"",
            },
            Message::Exit {
                objects: vec![1, 2],
            },
            Message::Release { objects: vec![] },
            Message::DataHash {
                hashes: vec![u64::MAX, 0],
            },
            Message::Idle(IdleReport {
                sent: 1,
                received: 2,
                waiting_count: 40,
                waiting: vec![Waiting {
                    process: 1,
                    site: 2,
                    object_type: 3,
                    operation: 4,
                }],
            }),
            Message::Trap {
                status: 70,
                line: "Run-time error: \u{e9}",
            },
            Message::ReplicaHash {
                object: 1,
                writes: 64,
                digest: 99,
            },
        ]
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        let header = Header {
            epoch: 0x1234,
            applied: 77,
        };
        for message in samples() {
            let bytes = message.emit(header);
            assert_eq!(Message::parse(&bytes), Ok(Some((header, message))));
        }
    }

    #[test]
    fn cut_and_garbled_messages_are_refused_or_read_without_a_panic() {
        for message in samples() {
            let bytes = message.emit(Header::default());
            for end in 0..bytes.len() {
                let _ = Message::parse(&bytes[..end]);
            }
            for at in 0..bytes.len() {
                let mut garbled = bytes.clone();
                garbled[at] ^= 0xff;
                let _ = Message::parse(&garbled);
            }
        }
        let mut huge = Message::Exit { objects: vec![] }.emit(Header::default());
        huge[HEADER_BYTES..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::parse(&huge), Err(DecodeError::Short));
    }

    #[test]
    fn a_write_has_these_bytes() {
        let message = Message::Write {
            object: 1,
            operation: 2,
            invocation: 3,
            process: 4,
            site: 5,
            arguments: &[0xaa],
        };
        let bytes = message.emit(Header {
            epoch: 0x0102,
            applied: 6,
        });
        assert_eq!(
            bytes,
            [
                1, 1, 2, 1, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0,
                5, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0xaa
            ]
        );
    }
}
