//! Starting one processor: an operating-system process that holds one end of a control channel.
//!
//! The channel takes the place of the process's standard input, whose contents it delivers on request. So nothing but the three
//! standard descriptors is inherited. Each processor has a process group of its own: an interrupt from the keyboard reaches the
//! launcher alone, which then ends the run in order.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use orca_rts::control_channel::CONTROL_VARIABLE;

use crate::{os, status};

/// A processor that has just been started, and our end of its channel, which does not block.
#[derive(Debug)]
pub struct Spawned {
    pub child: Child,
    pub channel: UnixStream,
}

/// Why a processor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("there is no program `{0}`{1}")]
    NotFound(String, String),
    #[error("cannot run `{0}`: {1}")]
    CannotRun(String, io::Error),
    #[error("cannot make a control channel: {0}")]
    Channel(io::Error),
}

impl SpawnError {
    pub fn status(&self) -> u8 {
        match self {
            SpawnError::NotFound(..) => status::NOT_FOUND,
            SpawnError::CannotRun(..) => status::CANNOT_RUN,
            SpawnError::Channel(_) => status::IO_ERROR,
        }
    }
}

/// Starts one processor of the program.
pub fn spawn(executable: &OsStr) -> Result<Spawned, SpawnError> {
    let (ours, theirs) = UnixStream::pair().map_err(SpawnError::Channel)?;
    ours.set_nonblocking(true).map_err(SpawnError::Channel)?;
    let mut command = Command::new(executable);
    command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .env(CONTROL_VARIABLE, "0")
        .process_group(0);
    os::die_with_parent(&mut command);
    let child = command
        .spawn()
        .map_err(|error| explain(executable, error))?;
    Ok(Spawned {
        child,
        channel: ours,
    })
}

fn explain(executable: &OsStr, error: io::Error) -> SpawnError {
    let name = executable.to_string_lossy().into_owned();
    if error.kind() != io::ErrorKind::NotFound {
        return SpawnError::CannotRun(name, error);
    }
    let here = !name.contains('/') && std::path::Path::new(executable).exists();
    let hint = if here {
        format!("; there is one in this folder: ./{name}")
    } else {
        String::new()
    };
    SpawnError::NotFound(name, hint)
}
