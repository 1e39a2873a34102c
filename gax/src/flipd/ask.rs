//! `flipd status`: asks a running flipd, over its socket, and prints what it tells.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::report::{REPORT_LEN_MAX, Report};
use super::{Stop, text};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the status of the flipd that listens at `socket`.
pub fn print_status(json: bool, socket: &Path) -> Result<u8, Stop> {
    let document = ask(socket).map_err(|error| Stop::System(explain(socket, &error)))?;
    let report: Report = serde_json::from_str(&document).map_err(|error| {
        let text = format!(
            "what answers at {} is no flipd of this version: {error}",
            socket.display()
        );
        Stop::System(text)
    })?;
    let text = if json {
        format!("{}\n", document.trim_end())
    } else {
        text::of(&report)
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads only the beginning has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Stop::System(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(0),
    }
}

/// The document, whole.
pub fn ask(socket: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut document = String::new();
    stream.take(REPORT_LEN_MAX).read_to_string(&mut document)?;
    Ok(document)
}

fn explain(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no flipd is running at {socket}: start one with `flipd CONFIG.toml`, or say with --socket where it listens"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("only the user who started the flipd at {socket} may ask it: {error}")
        }
        io::ErrorKind::WouldBlock => {
            format!(
                "the flipd at {socket} does not answer within {} s",
                PATIENCE.as_secs()
            )
        }
        _ => format!("cannot ask the flipd at {socket}: {error}"),
    }
}
