//! Input of the processes of one processor: what was read but not yet consumed, and who waits for it.
//!
//! Nothing here reads: bytes come from a job that the driver has done ([`crate::process::waiting`]), and are consumed in the order
//! in which processes asked. Standard input belongs to processor 0; on the others it has ended.
//!
//! Implements: ORCA 8.1, 11 (InOut).

use crate::format::{Found, Scan, Wanted, scan};

/// What a process asks of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Item(Wanted),
    /// The next byte, not consumed; 255 at the end.
    Ahead,
    Eof,
    Eoln,
}

/// What the input says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Item(Found),
    Byte(u8),
    /// Something else is there, or nothing.
    Failed,
}

/// The current input.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    consumed: usize,
    ended: bool,
    /// Which stream the buffer belongs to, so that late bytes of another one are known; standard input is 0.
    pub(crate) stream: u64,
}

impl Input {
    /// Input that holds these bytes and no more will come.
    pub(crate) fn ended_with(bytes: Vec<u8>) -> Input {
        Input {
            buffer: bytes,
            ended: true,
            ..Input::default()
        }
    }

    /// Answers a question, or says that more input is needed.
    pub(crate) fn ask(&mut self, question: Question) -> Option<Answer> {
        let rest = &self.buffer[self.consumed..];
        match question {
            Question::Item(wanted) => match scan(wanted, rest, self.ended) {
                Scan::More => None,
                Scan::Failed => Some(Answer::Failed),
                Scan::Found(found, count) => {
                    self.consumed += count;
                    Some(Answer::Item(found))
                }
            },
            _ => match rest.first() {
                None if !self.ended => None,
                next => Some(Answer::Byte(match question {
                    Question::Eof => u8::from(next.is_none()),
                    Question::Eoln => u8::from(next == Some(&b'\n')),
                    _ => next.copied().unwrap_or(255),
                })),
            },
        }
    }

    /// More bytes of the current stream; none at its end.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
        if bytes.is_empty() {
            self.ended = true;
        }
    }

    /// Nothing of this stream has been read yet.
    pub(crate) fn of_stream(stream: u64) -> Input {
        Input {
            stream,
            ..Input::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_ahead_consumes_nothing() {
        let mut input = Input::default();
        assert_eq!(input.ask(Question::Ahead), None);
        input.feed(b"x\n");
        assert_eq!(input.ask(Question::Ahead), Some(Answer::Byte(b'x')));
        assert_eq!(input.ask(Question::Eof), Some(Answer::Byte(0)));
        assert_eq!(input.ask(Question::Eoln), Some(Answer::Byte(0)));
        let character = Question::Item(Wanted::Character);
        assert_eq!(input.ask(character), Some(Answer::Item(Found::Character(b'x'))));
        assert_eq!(input.ask(Question::Eoln), Some(Answer::Byte(1)));
        assert_eq!(input.ask(character), Some(Answer::Item(Found::Character(b'\n'))));
        assert_eq!(input.ask(Question::Eof), None);
        input.feed(b"");
        assert_eq!(input.ask(Question::Eof), Some(Answer::Byte(1)));
        assert_eq!(input.ask(Question::Ahead), Some(Answer::Byte(255)));
        assert_eq!(input.ask(character), Some(Answer::Failed));
    }

    #[test]
    fn a_number_may_come_in_pieces() {
        let mut input = Input::default();
        input.feed(b" 1");
        assert_eq!(input.ask(Question::Item(Wanted::Integer)), None);
        input.feed(b"2 3");
        let integer = Question::Item(Wanted::Integer);
        assert_eq!(input.ask(integer), Some(Answer::Item(Found::Integer(12))));
        assert_eq!(input.ask(integer), None);
        input.feed(b"");
        assert_eq!(input.ask(integer), Some(Answer::Item(Found::Integer(3))));
    }
}
