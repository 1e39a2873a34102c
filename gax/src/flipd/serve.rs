//! flipd at work: opens everything, starts the box, says what it joined, and waits for signals and for who asks.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::umask;
use stack::driver::{Doorbell, DriverConfig, Running, Woken};
use stack::flip_net::address::NetworkId;
use stack::flip_net::driver::Device;
use stack::flip_net::driver::{EthernetError, UdpError};
use stack::flip_net::time::Instant;
use stack::flip_net::{self, FlipBox};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, Semaphore};

use super::config::{Config, Mistake, Network};
use super::networks::{self, OpenError, Opened};
use super::reload::{self, Change};
use super::{Stop, default_socket, read_config, report, say};
use crate::status;

/// How long one who asks may take to read the answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How many may read at the same time.
const ANSWERS_MAX: usize = 8;
/// How long to wait after a call that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Only the user who started flipd may ask it.
const SOCKET_MODE: u32 = 0o600;

/// How the box of a flipd is made.
pub fn flip_config() -> flip_net::Config {
    flip_net::Config::default()
}

/// What forwards, and what is told about it.
struct Flipd {
    running: Running<FlipBox>,
    networks: Vec<(Network, Opened)>,
}

/// Runs until a signal ends it; the exit status says which. What passes is written to files in the folder
/// `capture`, if there is one.
pub fn run(path: &Path, capture: Option<&Path>) -> Result<u8, Stop> {
    let config = read_config(path)?;
    let mut networks = open_networks(path, &config)?;
    if let Some(folder) = capture {
        capture_all(&mut networks, folder)?;
    }
    let socket = config.status.clone().unwrap_or_else(default_socket);
    let (listener, _file) = bind(&socket).map_err(|error| {
        let socket = socket.display();
        Stop::System(format!(
            "cannot listen at {socket} for `flipd status`: {error}; `status` in the configuration sets another path"
        ))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    runtime.block_on(serve(path, config, networks, listener))
}

fn cannot_start(error: io::Error) -> Stop {
    Stop::System(format!("cannot start: {error}"))
}

fn open_networks(path: &Path, config: &Config) -> Result<Vec<(Network, Opened)>, Stop> {
    let open = |network: &Network| match networks::open(network) {
        Ok(opened) => Ok((network.clone(), opened)),
        Err(error) => {
            let path = path.display().to_string();
            let mistake = Mistake {
                line: network.line,
                text: format!("network {}: {error}", network.name),
            };
            Err(match error {
                // What another configuration would cure.
                OpenError::Key(_)
                | OpenError::Ethernet(
                    EthernetError::NoInterface { .. } | EthernetError::NotEthernet { .. },
                )
                | OpenError::Udp(UdpError::Mtu { .. } | UdpError::NoInterface { .. }) => {
                    Stop::Mistake { path, mistake }
                }
                _ => Stop::System(format!("{path}:{mistake}")),
            })
        }
    };
    config.networks.iter().map(open).collect()
}

fn capture_all(networks: &mut [(Network, Opened)], folder: &Path) -> Result<(), Stop> {
    let failed = |path: &Path, error: io::Error| {
        Stop::System(format!(
            "cannot write the capture {}: {error}",
            path.display()
        ))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (network, opened) in networks {
        let path = folder.join(format!("{}.pcap", network.name));
        opened
            .capture(&path)
            .map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The box, running; `failed` is told when a delivery or the end of a receiver needs to be looked at.
fn start(networks: Vec<(Network, Opened)>, failed: &Arc<Notify>) -> io::Result<Flipd> {
    let mut flip = FlipBox::new(flip_config());
    for (network, opened) in &networks {
        flip.attach(opened.link(network));
    }
    let devices = networks
        .iter()
        .map(|(_, opened)| Arc::clone(&opened.device));
    let devices: Vec<Arc<dyn Device>> = devices.collect();
    let failed = Arc::clone(failed);
    let doorbell = Doorbell::call(move || failed.notify_one());
    let running = Running::start(flip, devices, DriverConfig::default(), doorbell)?;
    Ok(Flipd { running, networks })
}

async fn serve(
    path: &Path,
    mut config: Config,
    networks: Vec<(Network, Opened)>,
    listener: StdListener,
) -> Result<u8, Stop> {
    let listen = |kind| signal(kind).map_err(cannot_start);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up: Signal = listen(SignalKind::hangup())?;
    let failed = Arc::new(Notify::new());
    let flipd = Arc::new(start(networks, &failed).map_err(cannot_start)?);
    let listener = UnixListener::from_std(listener).map_err(cannot_start)?;
    tokio::spawn(answer_all(listener, Arc::clone(&flipd)));
    // Who reads these lines may send signals and ask.
    for (network, opened) in &flipd.networks {
        introduce(network, opened);
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(status::TERMINATED),
            _ = interrupt.recv() => return Ok(status::INTERRUPTED),
            _ = hang_up.recv() => reload(path, &mut config, &flipd),
            () = failed.notified() => flipd.check()?,
        }
    }
}

/// One line for a network.
fn introduce(network: &Network, opened: &Opened) {
    let mut line = format!(
        "{}: {}, weight {}, mtu {}, {}, {}",
        network.name,
        network.carrier.kind().name(),
        network.weight,
        opened.link(network).mtu,
        if network.trusted {
            "trusted"
        } else {
            "not trusted"
        },
        if network.key.is_some() {
            "keyed"
        } else {
            "not keyed"
        },
    );
    if let Some(address) = opened.address {
        line += &format!(", at {address}");
    }
    say(line);
}

impl Flipd {
    /// Somebody rang: a box without endpoints delivers nothing, so a receiver has failed.
    fn check(&self) -> Result<(), Stop> {
        while self.running.try_delivery().is_some() {}
        match self.running.wait(Some(Instant::ZERO)) {
            Woken::Failed => Err(Stop::Internal),
            Woken::Delivery | Woken::Called | Woken::Deadline => Ok(()),
        }
    }

    /// The document for who asks.
    fn document(&self) -> String {
        let networks = &self.networks;
        let collect = |flip: &mut FlipBox, now| report::collect(flip, now, networks);
        let report = self.running.with(collect);
        serde_json::to_string(&report).expect("a report is made of text and numbers")
    }
}

/// Reads the configuration again. A mistake in it changes nothing.
fn reload(path: &Path, config: &mut Config, flipd: &Flipd) {
    let asked = match read_config(path) {
        Ok(asked) => asked,
        Err(stop) => return say(format!("{stop}; nothing is changed")),
    };
    let changes = reload::changes(config, &asked);
    if changes.is_empty() {
        say(format!("{}: nothing has changed", path.display()));
    }
    for change in changes {
        match change {
            Change::Restart(text) => say(format!("{}: {text}", path.display())),
            Change::Trust { at, trusted } => {
                let network = &mut config.networks[at];
                network.trusted = trusted;
                let id = NetworkId(u8::try_from(at).expect("at most 255 networks"));
                flipd
                    .running
                    .with(|flip, _| flip.control(id, true, trusted));
                let now = if trusted { "now" } else { "no longer" };
                say(format!(
                    "network {} is {now} trusted; all routes are forgotten",
                    network.name
                ));
            }
        }
    }
}

/// Answers whoever connects; a few at a time, and nobody for long.
async fn answer_all(listener: UnixListener, flipd: Arc<Flipd>) {
    let places = Arc::new(Semaphore::new(ANSWERS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: it would fail again at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let flipd = Arc::clone(&flipd);
        tokio::spawn(async move {
            let answered = answer(stream, flipd.document());
            // Who does not read, or goes away, has only itself to blame.
            let _ = tokio::time::timeout(ANSWER_TIME, answered).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: UnixStream, document: String) -> io::Result<()> {
    stream.write_all(document.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    stream.shutdown().await
}

/// Takes the socket away when flipd ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it is gone already, somebody did our work.
        let _ = fs::remove_file(&self.0);
    }
}

/// A listening socket that nobody but this user can open. What an earlier flipd left behind is replaced; one that
/// runs is not.
fn bind(path: &Path) -> io::Result<(StdListener, SocketFile)> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket {
        match StdStream::connect(path) {
            Ok(_) => {
                let text = "another flipd is running there; give this one a `status` of its own";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
            }
            Err(error) => return Err(error),
        }
    }
    // No other thread makes files yet.
    let before = umask(Mode::from_raw_mode(!SOCKET_MODE & 0o777));
    let bound = StdListener::bind(path);
    umask(before);
    let listener = bound?;
    let file = SocketFile(path.to_owned());
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}
