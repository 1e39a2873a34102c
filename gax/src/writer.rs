//! The thread that writes standard output and standard error, so that a slow reader of them blocks nothing else.

use std::io::{self, Write};

use orca_rts::control_channel::Stream;
use tokio::sync::{mpsc, oneshot};

/// The way to the thread. Dropping `texts` ends it when all has been written.
#[derive(Debug)]
pub struct Writer {
    pub texts: mpsc::Sender<(Stream, Vec<u8>)>,
    /// Answers when the thread ends: with what went wrong, if it did.
    pub end: oneshot::Receiver<Option<io::Error>>,
}

/// Texts on their way to the thread at most.
const QUEUE_LEN_MAX: usize = 16;

/// Starts the thread.
pub fn start() -> Writer {
    let (texts, mut queue) = mpsc::channel::<(Stream, Vec<u8>)>(QUEUE_LEN_MAX);
    let (report, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut result = Ok(());
        while let Some((stream, text)) = queue.blocking_recv() {
            result = match stream {
                Stream::Out => write(&mut io::stdout().lock(), &text),
                Stream::Err => write(&mut io::stderr().lock(), &text),
            };
            if result.is_err() {
                break;
            }
        }
        // Nobody listens any more if the run was cut short.
        let _ = report.send(result.err());
    });
    Writer { texts, end }
}

fn write(to: &mut dyn Write, text: &[u8]) -> io::Result<()> {
    to.write_all(text)?;
    to.flush()
}
