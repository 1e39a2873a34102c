//! Output of the processes of one processor.
//!
//! A Write gathers its text and goes out in one piece. Whole lines wait until the processor rests, sends a message, reads, or has
//! gathered [`SHOW_BYTES`]; the rest of a line waits until its writer ends or reads, or for [`PARTIAL_DELAY_US`]. So lines of several
//! processors never mix, and on one host text comes before everything that was caused after it.
//!
//! Implements: ORCA 8.1, 11 (InOut); CONTRACT, output.

use std::fs::File;
use std::io::Write;

/// So many waiting bytes go out at once.
const SHOW_BYTES: usize = 16 << 10;
/// How long the rest of a line may wait.
pub(crate) const PARTIAL_DELAY_US: u64 = 50_000;

/// Where the standard output of a processor goes.
pub trait Sink: Send {
    /// Shows some text; `applied` is the number of the last ordered message that this processor has applied.
    fn show(&mut self, text: &[u8], applied: u64) -> std::io::Result<()>;

    /// A human is watching: whole lines are shown at once.
    fn is_interactive(&self) -> bool {
        false
    }
}

/// How eagerly text is shown: InOut's BufferingKind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffering {
    /// IOFBF: as described above.
    Full,
    /// IOLBF: each line at once.
    Lines,
    /// IONBF: each Write at once.
    None,
}

enum Stream {
    Standard,
    File(File),
}

/// The current output of one processor.
pub(crate) struct Output {
    sink: Box<dyn Sink>,
    stream: Stream,
    /// The text of the Write in progress.
    text: Vec<u8>,
    /// Written, not shown.
    waiting: Vec<u8>,
    /// How much of it is whole lines.
    whole: usize,
    /// When the oldest waiting text was written, in microseconds of the processor's clock.
    since: Option<u64>,
    buffering: Buffering,
    /// Number of the last ordered message applied.
    pub(crate) applied: u64,
    /// What went wrong in showing, told once.
    error: Option<std::io::Error>,
}

impl Output {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Output {
        let buffering = if sink.is_interactive() {
            Buffering::Lines
        } else {
            Buffering::Full
        };
        Output {
            sink,
            stream: Stream::Standard,
            text: Vec::new(),
            waiting: Vec::new(),
            whole: 0,
            since: None,
            buffering,
            applied: 0,
            error: None,
        }
    }

    /// The text of the Write in progress, to be appended to.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// The Write is complete.
    pub(crate) fn end_write(&mut self, newline: bool, now_us: u64) {
        if newline {
            self.text.push(b'\n');
        }
        if self.text.is_empty() {
            return;
        }
        if let Some(last) = self.text.iter().rposition(|&byte| byte == b'\n') {
            self.whole = self.waiting.len() + last + 1;
        }
        self.waiting.append(&mut self.text);
        self.since.get_or_insert(now_us);
        match self.buffering {
            Buffering::None => self.show_all(),
            Buffering::Lines => self.show_lines(),
            Buffering::Full if self.waiting.len() >= SHOW_BYTES => self.show_lines(),
            Buffering::Full => {}
        }
    }

    /// Shows the whole lines.
    pub(crate) fn show_lines(&mut self) {
        let whole = self.whole;
        self.show(whole);
    }

    /// Shows everything.
    pub(crate) fn show_all(&mut self) {
        self.show(self.waiting.len());
    }

    fn show(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let text = &self.waiting[..count];
        let result = match &mut self.stream {
            Stream::Standard => self.sink.show(text, self.applied),
            Stream::File(file) => file.write_all(text),
        };
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
        self.waiting.drain(..count);
        self.whole = self.whole.saturating_sub(count);
        if self.waiting.is_empty() {
            self.since = None;
        }
    }

    /// When the waiting text must be shown.
    pub(crate) fn deadline_us(&self) -> Option<u64> {
        self.since.map(|since| since + PARTIAL_DELAY_US)
    }

    /// Shows what has waited long enough.
    pub(crate) fn handle_time(&mut self, now_us: u64) {
        if self.deadline_us().is_some_and(|deadline| deadline <= now_us) {
            self.show_all();
        }
    }

    /// Output goes to this file from now on, or to standard output again.
    pub(crate) fn redirect(&mut self, file: Option<File>) {
        self.show_all();
        self.stream = match file {
            Some(file) => Stream::File(file),
            None => Stream::Standard,
        };
    }

    pub(crate) fn set_buffering(&mut self, buffering: Buffering) {
        self.show_all();
        self.buffering = buffering;
    }

    /// What went wrong since the last question.
    pub(crate) fn take_error(&mut self) -> Option<std::io::Error> {
        self.error.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<String>>>);

    impl Sink for Shown {
        fn show(&mut self, text: &[u8], _applied: u64) -> std::io::Result<()> {
            let text = String::from_utf8_lossy(text).into_owned();
            self.0.lock().expect("no panic holds it").push(text);
            Ok(())
        }
    }

    fn write(output: &mut Output, text: &str, newline: bool, now: u64) {
        output.text().extend_from_slice(text.as_bytes());
        output.end_write(newline, now);
    }

    #[test]
    fn a_partial_line_waits_fifty_milliseconds() {
        let shown = Shown::default();
        let mut output = Output::new(Box::new(shown.clone()));
        write(&mut output, "a", true, 0);
        write(&mut output, "b", false, 10);
        output.show_lines();
        assert_eq!(*shown.0.lock().expect("free"), ["a\n"]);
        output.handle_time(49_999);
        assert_eq!(shown.0.lock().expect("free").len(), 1);
        output.handle_time(50_010);
        assert_eq!(*shown.0.lock().expect("free"), ["a\n", "b"]);
        assert_eq!(output.deadline_us(), None);
    }

    #[test]
    fn much_text_goes_out_in_whole_lines() {
        let shown = Shown::default();
        let mut output = Output::new(Box::new(shown.clone()));
        for _ in 0..SHOW_BYTES / 10 + 1 {
            write(&mut output, "123456789", true, 0);
        }
        write(&mut output, "rest", false, 0);
        let shown = shown.0.lock().expect("free").concat();
        assert!(shown.len() >= SHOW_BYTES && shown.ends_with('\n'));
    }
}
