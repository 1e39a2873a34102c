//! flipd: a box without host interface. It joins the networks of its configuration, forwards between them as every box
//! does, and tells what it does to who asks.
//!
//! The way of a run: [`config`] understands the file, [`trust`] says which networks may be trusted, [`networks`] makes
//! devices of its entries, [`serve`] runs a `FlipBox` on them until a signal comes, [`reload`] finds what a changed file
//! changes. [`report`] is what is told over the socket, [`ask`] the other side of it, [`text`] its form for readers.
//!
//! The threads of `stack::driver` do the forwarding; here is only what is in no hurry. Nothing is decided about packets.
//!
//! Implements: CONTRACT.md, `flipd`; [Thesis §2.4.2], boxes that join networks.

pub mod config;
pub mod trust;

pub mod networks;
pub mod reload;
pub mod serve;

pub mod ask;
pub mod report;
pub mod text;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::status;
use config::Config;

/// The longest file that is looked at.
const CONFIG_LEN_MAX: u64 = 1 << 20;

#[derive(Parser, Debug)]
#[command(
    name = "flipd",
    version,
    about = "Joins networks and forwards FLIP packets between them",
    override_usage = "flipd [--capture DIR] CONFIG.toml\n       flipd status [--json] [--socket PATH]",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "On SIGHUP flipd reads CONFIG.toml again. See flipd(1) for the file and for what `status` tells."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The networks to join
    #[arg(value_name = "CONFIG.toml", required = true)]
    config: Option<PathBuf>,
    /// Write all packets of network NAME to DIR/NAME.pcap, at most 1 GiB, as they are before they are sealed
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print what a running flipd has counted, and its routing table
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Where it listens [default: flipd.sock in $XDG_RUNTIME_DIR, or in /run]
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
}

/// Why there is nothing to run, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error("{path}:{mistake}")]
    Mistake {
        path: String,
        mistake: config::Mistake,
    },
    #[error("{0}")]
    System(String),
    #[error("internal error: a receiver of flipd {version} panicked; please report what it said", version = env!("CARGO_PKG_VERSION"))]
    Internal,
}

impl Stop {
    fn status(&self) -> u8 {
        match self {
            Stop::Unreadable { .. } => status::CANNOT_READ,
            Stop::Mistake { .. } => status::COMMAND_LINE,
            Stop::System(_) => status::IO_ERROR,
            Stop::Internal => status::INTERNAL,
        }
    }
}

/// Runs the command line `arguments` (with the command's own name first) and returns the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(Arguments {
            command: Some(Command::Status { json, socket }),
            ..
        }) => ask::print_status(json, &socket.unwrap_or_else(default_socket)),
        Ok(Arguments {
            config, capture, ..
        }) => {
            let config = config.expect("clap requires one or the other");
            serve::run(&config, capture.as_deref())
        }
        Err(error) => {
            // Failing to print a usage message leaves nothing better to do.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => status::COMMAND_LINE,
            };
        }
    };
    outcome.unwrap_or_else(|stop| {
        say(&stop);
        stop.status()
    })
}

/// A line for the one who started it. Nobody may be there any more, and that ends nothing.
fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "flipd: {text}");
}

/// Where `flipd status` is answered unless the configuration says something else.
fn default_socket() -> PathBuf {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    Path::new(&folder.unwrap_or_else(|| "/run".into())).join("flipd.sock")
}

/// Reads and understands the configuration.
fn read_config(path: &Path) -> Result<Config, Stop> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| Stop::Unreadable {
        path: name.clone(),
        error,
    })?;
    config::parse(&text).map_err(|mistake| Stop::Mistake {
        path: name,
        mistake,
    })
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(CONFIG_LEN_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_LEN_MAX {
        let text = format!("it is longer than {CONFIG_LEN_MAX} bytes");
        return Err(io::Error::other(text));
    }
    Ok(text)
}
