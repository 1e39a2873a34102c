//! A tunnel over one TCP connection. One end listens, the other connects, again and again if it
//! must; a connection that comes in replaces the one that is there, so that a peer that was
//! restarted need not wait for its old connection to be missed.
//!
//! Everything but writing is done by whoever receives: accepting, connecting, and writing what the
//! stream did not take at once. So nobody waits for the peer: what finds no room is lost, and
//! counted. A peer that is silently gone is noticed by the system, which probes quiet connections
//! and gives up on unacknowledged bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration as StdDuration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::dial::Dialer;
use super::outgoing::Outgoing;
use crate::Frame;
use crate::address::LinkAddress;
use crate::driver::{Device, Sink};
use crate::link::Link;
use crate::time::Duration;
use crate::wire::HEADER_LEN;
use crate::wire::stream::{Deframer, Framing};

/// The largest frame of a tunnel.
const FRAME_LEN_MAX: usize = 1 << 20;
/// Bytes that are read at a time.
const READ_LEN: usize = 64 << 10;
/// Reads of one `receive`.
const READS_MAX: usize = 16;
/// How long to leave callers alone after one could not be let in.
const ACCEPT_PAUSE: StdDuration = StdDuration::from_millis(100);
/// Connections that wait to be let in.
const BACKLOG: i32 = 8;

/// Which end of the tunnel this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer connects to this address.
    Listen(SocketAddr),
    /// The peer listens at one of these, tried in turn.
    Connect(Vec<SocketAddr>),
}

/// How a tunnel is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTunnelConfig {
    /// Which end this is.
    pub end: End,
    /// What tells where a frame ends. Both ends must agree.
    pub framing: Framing,
    /// The largest frame. The peer must not send longer ones.
    pub mtu: usize,
    /// How long a peer may say nothing at all, not even that it has heard, before it is given up.
    /// The system counts in seconds.
    pub silence: Duration,
}

impl TcpTunnelConfig {
    /// Long enough for a network that has its bad moments.
    pub const SILENCE: Duration = Duration::from_secs(20);
}

/// What a tunnel is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelState {
    /// The peer, if there is a connection.
    pub peer: Option<SocketAddr>,
    /// Connections so far.
    pub connections: u64,
    /// Why the last connection, or attempt at one, came to its end.
    pub ended: Option<String>,
}

/// A tunnel over TCP. See the module.
pub struct TcpTunnelDevice {
    link: Link,
    framing: Framing,
    silence: StdDuration,
    /// Where it listens, if it does.
    address: Option<SocketAddr>,
    receiver: Mutex<Receiver>,
    /// Locked inside of `receiver`, or alone.
    line: Mutex<Line>,
    bell: OwnedFd,
    lost: AtomicU64,
}

/// What only the receiver uses.
struct Receiver {
    door: Door,
    deframer: Deframer,
    buffer: Vec<u8>,
}

/// Where connections come from.
enum Door {
    /// From the peer; not before this time, if there is one.
    Listening(TcpListener, Option<Instant>),
    Dialing(Dialer),
}

/// What senders and the receiver share.
#[derive(Default)]
struct Line {
    stream: Option<Arc<TcpStream>>,
    outgoing: Outgoing,
    /// Why nothing could be written: the receiver has not seen it yet.
    failed: Option<String>,
    state: TunnelState,
}

/// The number of the peer; this station is 0.
const PEER: LinkAddress = LinkAddress::Station(1);

impl TcpTunnelDevice {
    /// Opens this end. The peer need not be there, now or ever.
    ///
    /// # Errors
    /// If the sizes make no sense, or the address cannot be listened at.
    pub fn open(config: &TcpTunnelConfig) -> io::Result<TcpTunnelDevice> {
        let mtu = config.mtu;
        if !(HEADER_LEN + 1..=FRAME_LEN_MAX).contains(&mtu) {
            let text = format!("a tunnel carries no frames of {mtu} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (door, address) = match &config.end {
            End::Listen(address) => {
                let listener = listen(*address)?;
                let address = listener.local_addr()?;
                (Door::Listening(listener, None), Some(address))
            }
            End::Connect(addresses) if addresses.is_empty() => {
                let text = "a tunnel without an address to connect to";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            End::Connect(addresses) => {
                let dialer = Dialer::new(addresses.clone(), Instant::now());
                (Door::Dialing(dialer), None)
            }
        };
        let receiver = Receiver {
            door,
            deframer: Deframer::new(config.framing, mtu),
            buffer: vec![0; READ_LEN],
        };
        Ok(TcpTunnelDevice {
            link: Link::tunnel(mtu),
            framing: config.framing,
            silence: StdDuration::from_micros(config.silence.as_micros()),
            address,
            receiver: Mutex::new(receiver),
            line: Mutex::default(),
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            lost: AtomicU64::new(0),
        })
    }

    /// Where it listens, if it does: the port is known even if any was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What it is doing.
    pub fn state(&self) -> TunnelState {
        self.line().state.clone()
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_lost(&self, frames: usize) {
        self.lost.fetch_add(frames as u64, Ordering::Relaxed);
    }

    /// The frame as it stands in the stream.
    fn framed(&self, frame: &Frame) -> Vec<u8> {
        match self.framing {
            Framing::Flip => frame.parts().concat(),
            Framing::Length => {
                let len = (frame.len() as u32).to_le_bytes();
                [&len[..], &frame.head, &frame.body].concat()
            }
        }
    }

    /// A new connection takes the place of the old one.
    fn install(&self, receiver: &mut Receiver, stream: TcpStream) -> io::Result<()> {
        prepare(&stream, self.silence)?;
        let peer = stream.peer_addr()?;
        self.hang_up(receiver, "replaced by a new connection");
        let mut line = self.line();
        line.stream = Some(Arc::new(stream));
        line.state.peer = Some(peer);
        line.state.connections += 1;
        Ok(())
    }

    /// The connection is over, for this reason. What has not left is lost.
    fn hang_up(&self, receiver: &mut Receiver, why: &str) {
        let mut line = self.line();
        let Some(stream) = line.stream.take() else {
            return;
        };
        // A peer that is gone already does not mind.
        let _ = stream.shutdown(Shutdown::Both);
        let left = std::mem::take(&mut line.outgoing).len();
        line.state.peer = None;
        line.state.ended = Some(line.failed.take().unwrap_or_else(|| why.to_owned()));
        drop(line);
        self.count_lost(left);
        receiver.deframer = receiver.deframer.anew();
        if let Door::Dialing(dialer) = &mut receiver.door {
            dialer.back_off(Instant::now());
        }
    }

    fn note_failure(&self, error: &io::Error) {
        self.line().state.ended = Some(error.to_string());
    }

    /// Lets callers in; the last one stays.
    fn accept(&self, receiver: &mut Receiver) {
        for _ in 0..BACKLOG {
            let Door::Listening(listener, pause) = &mut receiver.door else {
                return;
            };
            let accepted = listener.accept();
            let failed = match accepted {
                Ok((stream, _)) => self.install(receiver, stream).err(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, say: it would fail again and again at once.
                    *pause = Some(Instant::now() + ACCEPT_PAUSE);
                    Some(error)
                }
            };
            if let Some(error) = failed {
                return self.note_failure(&error);
            }
        }
    }

    /// Carries an attempt to connect on, or begins one.
    fn dial(&self, receiver: &mut Receiver, ready: bool) {
        let Door::Dialing(dialer) = &mut receiver.door else {
            return;
        };
        let now = Instant::now();
        match dialer.finish(now, ready) {
            Ok(Some(stream)) => {
                if let Err(error) = self.install(receiver, stream) {
                    self.note_failure(&error);
                    if let Door::Dialing(dialer) = &mut receiver.door {
                        dialer.back_off(now);
                    }
                }
            }
            Ok(None) => {
                if let Err(error) = dialer.begin(now) {
                    self.note_failure(&error);
                }
            }
            Err(error) => self.note_failure(&error),
        }
    }

    /// Reads what is there, a bounded amount; says how many frames it was.
    fn read(&self, receiver: &mut Receiver, stream: &TcpStream, sink: &mut Sink<'_>) -> usize {
        let mut count = 0;
        let mut deliver = |frame: &[u8]| {
            sink(PEER, frame);
            count += 1;
        };
        let mut over = None;
        for _ in 0..READS_MAX {
            let mut from = stream;
            match from.read(&mut receiver.buffer) {
                Ok(0) => {
                    over = Some("closed by the peer".to_owned());
                    break;
                }
                Ok(len) => {
                    let bytes = &receiver.buffer[..len];
                    if let Err(error) = receiver.deframer.feed(bytes, &mut deliver) {
                        over = Some(error.to_string());
                        break;
                    }
                    if len < READ_LEN {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    over = Some(error.to_string());
                    break;
                }
            }
        }
        if count > 0
            && let Door::Dialing(dialer) = &mut receiver.door
        {
            dialer.worked();
        }
        if let Some(why) = over {
            self.hang_up(receiver, &why);
        }
        count
    }

    /// Sleeps until there is something to do, at most `wait`.
    fn sleep(&self, receiver: &Receiver, stream: Option<&TcpStream>, wait: Duration) -> Ready {
        let now = Instant::now();
        let mut wait =
            StdDuration::from_micros(wait.as_micros()).min(StdDuration::from_secs(3_600));
        let mut fds = vec![PollFd::new(&self.bell, PollFlags::IN)];
        if let Some(stream) = stream {
            let mut events = PollFlags::IN;
            if !self.line().outgoing.is_empty() {
                events |= PollFlags::OUT;
            }
            fds.push(PollFd::new(stream, events));
        }
        let mut until = None;
        match &receiver.door {
            Door::Listening(_, Some(pause)) if *pause > now => until = Some(*pause),
            Door::Listening(listener, _) => fds.push(PollFd::new(listener, PollFlags::IN)),
            Door::Dialing(dialer) => {
                until = dialer.deadline();
                let socket = dialer.connecting();
                fds.extend(socket.map(|socket| PollFd::new(socket, PollFlags::OUT)));
            }
        }
        if let Some(until) = until {
            wait = wait.min(until.saturating_duration_since(now));
        }
        let wait = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        };
        // Interrupted, say: then nothing is ready, and the caller comes back.
        if poll(&mut fds, Some(&wait)).is_err() {
            return Ready::default();
        }
        let mut ready = Ready::default();
        let mut fds = fds.iter().map(PollFd::revents);
        ready.bell = fds.next().is_some_and(|events| !events.is_empty());
        if stream.is_some() {
            let events = fds.next().unwrap_or(PollFlags::empty());
            ready.write = events.contains(PollFlags::OUT);
            // An error is told by reading.
            ready.read = !events.difference(PollFlags::OUT).is_empty();
        }
        ready.door = fds.next().is_some_and(|events| !events.is_empty());
        ready
    }
}

/// What `sleep` found.
#[derive(Default)]
struct Ready {
    bell: bool,
    read: bool,
    write: bool,
    door: bool,
}

impl Line {
    /// Writes as much as the stream takes now.
    fn flush(&mut self) {
        let Some(stream) = &self.stream else { return };
        while !self.outgoing.is_empty() {
            match (&**stream).write_vectored(&self.outgoing.slices()) {
                Ok(written) if written > 0 => self.outgoing.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    self.failed = outcome.err().map(|error| error.to_string());
                    // So the receiver sees that it is over, and cleans up.
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }
}

impl Device for TcpTunnelDevice {
    fn link(&self) -> Link {
        self.link
    }

    fn station(&self) -> LinkAddress {
        LinkAddress::Station(0)
    }

    fn send(&self, frames: &[Frame]) {
        let mut line = self.line();
        if line.stream.is_none() {
            return self.count_lost(frames.len());
        }
        let waited = !line.outgoing.is_empty();
        let mut refused = 0;
        for frame in frames {
            let framed = self.framed(frame);
            if !line.outgoing.has_room(framed.len()) {
                line.flush();
            }
            if !line.outgoing.push(framed) {
                refused += 1;
            }
        }
        line.flush();
        let waits = !line.outgoing.is_empty();
        drop(line);
        self.count_lost(refused);
        if waits && !waited {
            // From now on somebody has to look when the stream takes more.
            self.wake();
        }
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = &mut *receiver;
        self.dial(receiver, false);
        let stream = self.line().stream.clone();
        let ready = self.sleep(receiver, stream.as_deref(), wait);
        if ready.bell {
            let mut rings = [0; 8];
            // It does not matter how often it rang, nor whether somebody else has heard it.
            let _ = rustix::io::read(&self.bell, &mut rings);
        }
        if ready.write {
            self.line().flush();
        }
        let count = match stream {
            Some(stream) if ready.read => self.read(receiver, &stream, sink),
            _ => 0,
        };
        if ready.door {
            self.accept(receiver);
            self.dial(receiver, true);
        }
        count
    }

    fn wake(&self) {
        // It can only fail when it has rung 2^64 times unheard, and then it is loud enough.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // Connections of a box that was here before do not keep the port from the next one.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Probes go out when a connection has been quiet for a while, so a peer that is gone is missed even by who has
/// nothing to send to it.
fn prepare(stream: &TcpStream, silence: StdDuration) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let second = StdDuration::from_secs(1);
    let probes = TcpKeepalive::new()
        .with_time((silence / 2).max(second))
        .with_interval((silence / 8).max(second))
        .with_retries(4);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(silence))
}

#[cfg(test)]
mod tests;
