//! The end of a tunnel that connects: one attempt at a time, to one address after the other, with
//! delays that grow while nothing comes of it. It never waits; its owner polls for it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

const DELAY_FIRST: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(10);
/// How long one attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum Step {
    /// Until the next attempt.
    Waiting(Instant),
    /// The system is connecting; given up at the deadline.
    Connecting(Socket, Instant),
    /// There is a connection: nothing to do.
    Resting,
}

#[derive(Debug)]
pub(super) struct Dialer {
    /// Not empty.
    addresses: Vec<SocketAddr>,
    /// Whose turn it is.
    next: usize,
    delay: Duration,
    step: Step,
}

impl Dialer {
    pub(super) fn new(addresses: Vec<SocketAddr>, now: Instant) -> Dialer {
        assert!(!addresses.is_empty(), "there is somebody to connect to");
        Dialer {
            addresses,
            next: 0,
            delay: DELAY_FIRST,
            step: Step::Waiting(now),
        }
    }

    /// Begins an attempt if one is due.
    ///
    /// # Errors
    /// If it failed at once; the next one comes later.
    pub(super) fn begin(&mut self, now: Instant) -> io::Result<()> {
        match self.step {
            Step::Waiting(until) if until <= now => {}
            _ => return Ok(()),
        }
        let address = self.addresses[self.next];
        self.next = (self.next + 1) % self.addresses.len();
        match connect(address) {
            Ok(socket) => self.step = Step::Connecting(socket, now + ATTEMPT_MAX),
            Err(error) => {
                self.back_off(now);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The socket that becomes writable when the attempt is over.
    pub(super) fn connecting(&self) -> Option<&Socket> {
        match &self.step {
            Step::Connecting(socket, _) => Some(socket),
            _ => None,
        }
    }

    /// When there is something to do even if no socket says so.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.step {
            Step::Waiting(until) => Some(until),
            Step::Connecting(_, until) => Some(until),
            Step::Resting => None,
        }
    }

    /// The socket has become writable, or the deadline has come: the connection, or nothing yet.
    ///
    /// # Errors
    /// If the attempt failed; the next one comes later.
    pub(super) fn finish(&mut self, now: Instant, ready: bool) -> io::Result<Option<TcpStream>> {
        let Step::Connecting(_, until) = self.step else {
            return Ok(None);
        };
        if !ready && now < until {
            return Ok(None);
        }
        let Step::Connecting(socket, _) = std::mem::replace(&mut self.step, Step::Resting) else {
            unreachable!("it was connecting right before");
        };
        let outcome = if ready {
            established(socket)
        } else {
            Err(io::ErrorKind::TimedOut.into())
        };
        if outcome.is_err() {
            self.back_off(now);
        }
        outcome.map(Some)
    }

    /// The connection is gone, or never was: again, later, and each time later.
    pub(super) fn back_off(&mut self, now: Instant) {
        self.step = Step::Waiting(now + self.delay);
        self.delay = (self.delay * 2).min(DELAY_MAX);
    }

    /// The connection is good for something: the next loss is a new one.
    pub(super) fn worked(&mut self) {
        self.delay = DELAY_FIRST;
    }
}

fn connect(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn established(socket: Socket) -> io::Result<TcpStream> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    let stream = TcpStream::from(socket);
    // A port of this host that nobody listens on may be given to the very socket that calls it.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_a_bound_until_it_works() {
        let now = Instant::now();
        let mut dialer = Dialer::new(vec![SocketAddr::from(([127, 0, 0, 1], 1))], now);
        let mut delays = Vec::new();
        for _ in 0..10 {
            dialer.back_off(now);
            delays.push(dialer.deadline().unwrap() - now);
        }
        assert_eq!(delays[..3], [50, 100, 200].map(Duration::from_millis));
        assert_eq!(delays[9], DELAY_MAX);
        dialer.worked();
        dialer.back_off(now);
        assert_eq!(dialer.deadline(), Some(now + DELAY_FIRST));
    }

    #[test]
    fn an_attempt_that_takes_too_long_is_given_up() {
        let now = Instant::now();
        // A listener whose queue is never looked at: the connection stands, but nobody asks.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut dialer = Dialer::new(vec![listener.local_addr().unwrap()], now);
        dialer.begin(now).unwrap();
        assert!(dialer.finish(now, false).unwrap().is_none());
        let error = dialer.finish(now + ATTEMPT_MAX, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(dialer.connecting().is_none());
    }
}
