//! One run from the first process to the exit status.
//!
//! A single task owns all control channels. It wakes when any of them, a signal, a timer or the terminal has something for it, and then
//! reads *all* channels: texts written before that round began have then all arrived, and can be put in order. The first
//! thing that goes wrong decides the verdict; what follows from it, such as other processors ending, changes nothing. The loop
//! ends when every processor's process has been waited for.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::task::{Context, Poll};
use std::time::Duration;

use orca_rts::control_channel::{
    self as channel, CHUNK_LEN_MAX, Counter, FromProcessor, Inbox, Prepare, Start, Stream,
    ToProcessor,
};
use orca_rts::networks::{Medium, Network};
use stack::flip_net::driver::ShmSegment;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::options::{Choice, Options};
use crate::output::Merger;
use crate::writer::{self, Writer};
use crate::{os, report, spawn, status};

/// A processor that has not said hello, or is not ready, after this time never will.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// After a run-time error all processors end by themselves; this is how long they get before they are told to.
const ERROR_PATIENCE: Duration = Duration::from_secs(1);
/// Between being told to end and being killed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(300);
/// Between closing its channel and being killed.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// When some have ended well, and nothing has been heard of the others for this time, those are lost.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// How often processes are looked after that are about to end; and that are not.
const REAP_SOON: Duration = Duration::from_millis(2);
const REAP_LATE: Duration = Duration::from_millis(200);
/// What waits in shared memory for one processor at most; pages that are not used cost nothing.
const RING_BYTES: usize = 4 << 20;
/// Text that waits for the writer at most; beyond, channels are not read.
const SHOWN_LEN_MAX: usize = 1 << 20;

/// Runs the program and returns the exit status.
pub async fn run(options: Options) -> u8 {
    match Session::begin(options) {
        Ok(session) => session.run().await,
        Err((message, status)) => {
            eprintln!("gax: {message}");
            status
        }
    }
}

/// What is known of one processor.
#[derive(Debug)]
struct Processor {
    child: Child,
    /// None when the other end is closed.
    channel: Option<AsyncFd<UnixStream>>,
    inbox: Inbox,
    /// Bytes that the channel has not taken yet.
    outbox: Vec<u8>,
    greeted: bool,
    addresses: Option<Vec<String>>,
    ready: bool,
    status: Option<u8>,
    stats: Vec<Counter>,
    closed_at: u64,
    exit: Option<ExitStatus>,
}

impl Drop for Processor {
    fn drop(&mut self) {
        if self.exit.is_none() {
            // An error means that it has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The way to the end once something has gone wrong. Times are of the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    status: u8,
    shutdown_at: Option<u64>,
    kill_at: u64,
}

enum Event {
    Channels,
    Tick,
    Signal(u8),
    Input(io::Result<Vec<u8>>),
    Room,
    WriterEnded(Option<io::Error>),
}

struct Session {
    options: Options,
    key: [u8; 32],
    networks: Vec<Network>,
    processors: Vec<Processor>,
    merger: Merger,
    /// In the order in which it is to be written.
    shown: Vec<(Stream, Vec<u8>)>,
    shown_len: usize,
    writer: Writer,
    writer_ended: bool,
    terminal: Terminal,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    begun: u64,
    heard: u64,
    started: bool,
    verdict: Option<Verdict>,
}

impl Session {
    fn begin(options: Options) -> Result<Session, (String, u8)> {
        let internal = |error: io::Error| (format!("cannot start: {error}"), status::IO_ERROR);
        // Before anything is started: a signal must find somebody who ends what has been started.
        let interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
        let terminate = signal(SignalKind::terminate()).map_err(internal)?;
        let hang_up = signal(SignalKind::hangup()).map_err(internal)?;
        let key = random_key().map_err(|error| {
            (
                format!("cannot read /dev/urandom: {error}"),
                status::IO_ERROR,
            )
        })?;
        // Open until all have inherited it; it has no name, so nothing is left of it when all have ended.
        let segment = Segment::create(&options).map_err(internal)?;
        let networks = options
            .networks
            .iter()
            .map(|choice| network(choice, &segment, options.insecure));
        let networks = networks.collect();
        let mut processors = Vec::new();
        for _ in 0..options.processors {
            let spawned = spawn::spawn(&options.executable)
                .map_err(|error| (error.to_string(), error.status()))?;
            processors.push(Processor {
                child: spawned.child,
                channel: Some(os::register(spawned.channel).map_err(internal)?),
                inbox: Inbox::new(),
                outbox: Vec::new(),
                greeted: false,
                addresses: None,
                ready: false,
                status: None,
                stats: Vec::new(),
                closed_at: 0,
                exit: None,
            });
        }
        let now = os::monotonic();
        Ok(Session {
            merger: Merger::new(options.label),
            options,
            key,
            networks,
            processors,
            shown: Vec::new(),
            shown_len: 0,
            writer: writer::start(),
            writer_ended: false,
            terminal: Terminal::new(),
            interrupt,
            terminate,
            hang_up,
            begun: now,
            heard: now,
            started: false,
            verdict: None,
        })
    }

    async fn run(mut self) -> u8 {
        while self.processors.iter().any(|p| p.exit.is_none()) {
            let event = self.next_event().await;
            self.handle(event);
            while !self.read_channels() {}
            self.reap();
            self.check_deadlines();
        }
        self.finish().await
    }

    /// Writes what is left, reports, and says how it ended.
    async fn finish(mut self) -> u8 {
        for number in 0..self.options.processors {
            self.merger.release(number);
        }
        self.show(u64::MAX);
        if let (Some(form), None) = (self.options.stats, self.verdict) {
            let counters: Vec<_> = (self.processors.iter_mut())
                .map(|p| std::mem::take(&mut p.stats))
                .collect();
            self.say(&report::stats(form, &counters));
        }
        while !self.shown.is_empty() && !self.writer_ended {
            match self.next_event().await {
                event @ (Event::Room | Event::WriterEnded(_)) => self.handle(event),
                Event::Signal(status) => return status,
                _ => {}
            }
        }
        if !self.writer_ended {
            drop(self.writer.texts);
            let ended = tokio::select! {
                ended = self.writer.end => ended.ok().flatten(),
                _ = self.interrupt.recv() => return status::INTERRUPTED,
                _ = self.terminate.recv() => return status::TERMINATED,
            };
            if ended.is_some() && self.verdict.is_none() {
                return status::IO_ERROR;
            }
        }
        self.verdict.map_or(0, |verdict| verdict.status)
    }

    async fn next_event(&mut self) -> Event {
        let until = Duration::from_nanos(self.next_deadline().saturating_sub(os::monotonic()));
        let may_read = self.shown_len < SHOWN_LEN_MAX;
        let has_text = !self.shown.is_empty() && !self.writer_ended;
        let processors = &mut self.processors;
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Event::Signal(status::INTERRUPTED),
            _ = self.terminate.recv() => Event::Signal(status::TERMINATED),
            _ = self.hang_up.recv() => Event::Signal(status::TERMINATED),
            ended = &mut self.writer.end, if !self.writer_ended => Event::WriterEnded(ended.ok().flatten()),
            _ = self.writer.texts.reserve(), if has_text => Event::Room,
            _ = poll_fn(|cx| poll_channels(processors, may_read, cx)) => Event::Channels,
            Some(input) = self.terminal.inputs.recv() => Event::Input(input),
            _ = tokio::time::sleep(until) => Event::Tick,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Channels | Event::Tick => {}
            Event::Signal(status) => {
                if let Some(verdict) = &mut self.verdict {
                    // Whoever asks twice does not want to wait.
                    verdict.kill_at = 0;
                }
                self.end_with(status, Duration::ZERO);
            }
            Event::Input(input) => {
                let text = input.unwrap_or_else(|error| {
                    self.say(&format!("gax: cannot read standard input: {error}\n"));
                    self.end_with(status::IO_ERROR, Duration::ZERO);
                    Vec::new()
                });
                self.send(0, &ToProcessor::Input(text));
            }
            Event::Room => {
                let mut sent = 0;
                for text in &mut self.shown {
                    let Ok(permit) = self.writer.texts.try_reserve() else {
                        break;
                    };
                    self.shown_len -= text.1.len();
                    permit.send((text.0, std::mem::take(&mut text.1)));
                    sent += 1;
                }
                self.shown.drain(..sent);
            }
            Event::WriterEnded(error) => {
                self.writer_ended = true;
                self.shown.clear();
                self.shown_len = 0;
                let error = error.unwrap_or_else(|| ErrorKind::Other.into());
                // A reader that has gone away, as in `gax .. | head`, needs no message.
                if error.kind() != ErrorKind::BrokenPipe {
                    eprintln!("gax: cannot write: {error}");
                }
                self.end_with(status::IO_ERROR, Duration::ZERO);
            }
        }
    }

    // --- channels ---

    /// Reads every channel. All that was written before this began can be shown afterwards. Returns false if there is more to be read.
    fn read_channels(&mut self) -> bool {
        if self.shown_len >= SHOWN_LEN_MAX {
            return true;
        }
        let horizon = os::monotonic();
        for number in 0..self.processors.len() {
            self.flush(number);
            self.read_channel(number, horizon);
        }
        self.show(horizon);
        !self.merger.is_pending() || self.shown_len >= SHOWN_LEN_MAX
    }

    fn read_channel(&mut self, number: usize, horizon: u64) {
        let mut buffer = [0; CHUNK_LEN_MAX];
        let mut newest = 0;
        // A processor that writes without end must not keep the others waiting.
        while newest <= horizon {
            let Some(channel) = &self.processors[number].channel else {
                return;
            };
            match (&mut channel.get_ref()).read(&mut buffer) {
                Ok(0) => return self.close(number),
                Ok(n) => {
                    self.heard = os::monotonic();
                    self.processors[number].inbox.extend(&buffer[..n]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.close(number),
            }
            loop {
                match self.processors[number].inbox.next_from_processor() {
                    Ok(Some(message)) => {
                        if let FromProcessor::Output { at, .. } = message {
                            newest = at;
                        }
                        self.on_message(number, message);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        let text = format!(
                            "gax: processor {number} does not follow the protocol: {error}\n"
                        );
                        self.say(&text);
                        self.end_with(status::INTERNAL, Duration::ZERO);
                        return self.close(number);
                    }
                }
            }
        }
    }

    fn close(&mut self, number: usize) {
        self.processors[number].channel = None;
        self.processors[number].closed_at = os::monotonic();
        self.merger.release(number as u16);
    }

    fn send(&mut self, number: usize, message: &ToProcessor) {
        self.processors[number]
            .outbox
            .extend_from_slice(&message.to_frame());
        self.flush(number);
    }

    fn flush(&mut self, number: usize) {
        let processor = &mut self.processors[number];
        while !processor.outbox.is_empty() {
            let Some(channel) = &processor.channel else {
                processor.outbox.clear();
                return;
            };
            match (&mut channel.get_ref()).write(&processor.outbox) {
                Ok(n) => drop(processor.outbox.drain(..n)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It has ended; reading will say so.
                Err(_) => processor.outbox.clear(),
            }
        }
    }

    fn on_message(&mut self, number: usize, message: FromProcessor) {
        match message {
            FromProcessor::Hello { version } if version == channel::VERSION => {
                self.processors[number].greeted = true;
                let prepare = Prepare {
                    number: number as u16,
                    count: self.options.processors,
                    key: self.key,
                    networks: self.networks.clone(),
                };
                self.send(number, &ToProcessor::Prepare(Box::new(prepare)));
            }
            FromProcessor::Hello { version } => {
                self.say(&format!(
                    "gax: the program was built with another version of Orca (its control channel has version {version}, \
                     gax has {}); build it again\n",
                    channel::VERSION
                ));
                self.end_with(status::CANNOT_RUN, Duration::ZERO);
            }
            FromProcessor::Attached { addresses } => {
                self.processors[number].addresses = Some(addresses);
                self.start_when_complete();
            }
            FromProcessor::Refused(why) => {
                // All have the same networks, and say the same; once is enough.
                if self.verdict.is_none() {
                    self.say(&format!("gax: {why}\n"));
                }
                self.end_with(status::IO_ERROR, Duration::ZERO);
            }
            FromProcessor::Ready => self.processors[number].ready = true,
            FromProcessor::Output { stream, at, text } => {
                let now = os::monotonic();
                self.merger.push(number as u16, stream, at, text, now);
            }
            FromProcessor::InputRequest => {
                self.merger.release(number as u16);
                if number == 0 {
                    self.terminal.request();
                } else {
                    self.send(number, &ToProcessor::Input(Vec::new()));
                }
            }
            FromProcessor::Stats(counters) => self.processors[number].stats = counters,
            FromProcessor::Status(status) => {
                self.processors[number].status = Some(status);
                if status != 0 {
                    self.end_with(status, ERROR_PATIENCE);
                }
            }
        }
    }

    /// When all have said where they are, tells everybody.
    fn start_when_complete(&mut self) {
        let peers: Option<Vec<_>> = self
            .processors
            .iter()
            .map(|p| p.addresses.clone())
            .collect();
        let Some(peers) = peers.filter(|_| !self.started && self.verdict.is_none()) else {
            return;
        };
        self.started = true;
        let arguments: Vec<Vec<u8>> = (self.options.arguments.iter().cloned())
            .map(OsString::into_vec)
            .collect();
        for number in 0..self.options.processors {
            let start = Start {
                group_port: group_port(&self.key),
                multicast: Some(multicast(&self.key)),
                peers: peers.clone(),
                arguments: arguments.clone(),
                options: settings(&self.options),
            };
            self.send(usize::from(number), &ToProcessor::Start(Box::new(start)));
        }
    }

    // --- the end ---

    /// Decides how the run ends, unless that is decided. Processors get `patience` to end by themselves.
    fn end_with(&mut self, status: u8, patience: Duration) {
        if self.verdict.is_none() {
            let shutdown_at = os::monotonic() + nanos(patience);
            self.verdict = Some(Verdict {
                status,
                shutdown_at: Some(shutdown_at),
                kill_at: shutdown_at + nanos(SHUTDOWN_PATIENCE),
            });
        }
    }

    /// Waits for processes that have ended, and says what it means.
    fn reap(&mut self) {
        for number in 0..self.processors.len() {
            let processor = &mut self.processors[number];
            if processor.exit.is_some() {
                continue;
            }
            let Ok(Some(exit)) = processor.child.try_wait() else {
                continue;
            };
            processor.exit = Some(exit);
            if processor.channel.is_some() {
                // What it said last is in the channel, which somebody else may hold open.
                self.read_channel(number, u64::MAX);
                if self.processors[number].channel.is_some() {
                    self.close(number);
                }
            }
            self.on_exit(number, exit);
        }
    }

    fn on_exit(&mut self, number: usize, exit: ExitStatus) {
        let processor = &self.processors[number];
        if processor.status.is_some() || self.verdict.is_some() {
            return;
        }
        let how = match (exit.code(), exit.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        if !processor.greeted && exit.code().is_some() {
            let name = self.options.executable.to_string_lossy().into_owned();
            self.say(&format!(
                "gax: `{name}` {how} before it reported to gax: is it a program made by `orcac build`?\n"
            ));
            return self.end_with(status::CANNOT_RUN, Duration::ZERO);
        }
        if exit.code() == Some(i32::from(status::INTERNAL)) {
            self.say(&format!("gax: internal error on processor {number}\n"));
            return self.end_with(status::INTERNAL, Duration::ZERO);
        }
        self.lose(number, &how);
    }

    fn lose(&mut self, number: usize, how: &str) {
        self.say(&format!(
            "gax: processor {number} was lost: its process {how}\n"
        ));
        for other in 0..self.processors.len() {
            self.send(other, &ToProcessor::Lost(number as u16));
        }
        self.end_with(status::LOST, Duration::ZERO);
    }

    /// The next moment at which [`Session::check_deadlines`] or the merger has something to do.
    fn next_deadline(&self) -> u64 {
        let now = os::monotonic();
        let ending = self.verdict.is_some()
            || self
                .processors
                .iter()
                .any(|p| p.channel.is_none() && p.exit.is_none());
        let reap = now + nanos(if ending { REAP_SOON } else { REAP_LATE });
        let end = self
            .options
            .timeout
            .map(|timeout| self.begun + nanos(timeout));
        [
            Some(reap),
            self.merger.deadline(),
            end.filter(|_| self.verdict.is_none()),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(reap)
    }

    fn check_deadlines(&mut self) {
        let now = os::monotonic();
        self.check_patience(now);
        let Some(verdict) = &mut self.verdict else {
            return;
        };
        let verdict = *verdict;
        if verdict.shutdown_at.is_some_and(|at| now >= at) {
            self.verdict = Some(Verdict {
                shutdown_at: None,
                ..verdict
            });
            for number in 0..self.processors.len() {
                self.send(number, &ToProcessor::Shutdown);
            }
        }
        if now >= verdict.kill_at {
            for processor in self.processors.iter_mut().filter(|p| p.exit.is_none()) {
                // An error means that it has ended already.
                let _ = processor.child.kill();
            }
        }
    }

    /// Everything that takes too long.
    fn check_patience(&mut self, now: u64) {
        let age = Duration::from_nanos(now.saturating_sub(self.begun));
        for processor in &mut self.processors {
            let late = now.saturating_sub(processor.closed_at) > nanos(EXIT_PATIENCE);
            if processor.channel.is_none() && processor.exit.is_none() && late {
                let _ = processor.child.kill();
            }
        }
        if self.verdict.is_some() {
            return;
        }
        if self.options.timeout.is_some_and(|timeout| age >= timeout) {
            let seconds = self.options.timeout.unwrap_or_default().as_secs_f64();
            self.say(&format!("gax: time-out after {seconds} s\n"));
            return self.end_with(status::TIME_OUT, Duration::ZERO);
        }
        let unready = self
            .processors
            .iter()
            .position(|p| !p.ready && p.status.is_none());
        if let Some(number) = unready.filter(|_| age >= START_PATIENCE) {
            let name = self.options.executable.to_string_lossy().into_owned();
            let (text, status) = if !self.processors[number].greeted {
                let text = format!(
                    "gax: processor {number} does not report: is `{name}` a program made by `orcac build`?\n"
                );
                (text, status::CANNOT_RUN)
            } else {
                let text = format!("gax: processor {number} could not join the others\n");
                (text, status::LOST)
            };
            self.say(&text);
            return self.end_with(status, Duration::ZERO);
        }
        let silence = Duration::from_nanos(now.saturating_sub(self.heard));
        let some_ended = self.processors.iter().any(|p| p.status.is_some());
        let missing = self.processors.iter().position(|p| p.status.is_none());
        if let Some(number) = missing.filter(|_| some_ended && silence >= END_PATIENCE) {
            self.lose(number, "does not end although others have");
        }
    }

    // --- output ---

    fn show(&mut self, horizon: u64) {
        let before = self.shown.len();
        self.merger
            .advance(horizon, os::monotonic(), &mut self.shown);
        self.shown_len += self.shown[before..]
            .iter()
            .map(|(_, text)| text.len())
            .sum::<usize>();
        if self.writer_ended {
            self.shown.clear();
            self.shown_len = 0;
        }
    }

    /// A message of the launcher's own, on standard error.
    fn say(&mut self, text: &str) {
        self.shown_len += text.len();
        self.shown.push((Stream::Err, text.as_bytes().to_vec()));
    }
}

/// Ready when any channel can be read, or can take what it has not taken yet. The readiness is used up: the caller must try.
fn poll_channels(processors: &mut [Processor], may_read: bool, cx: &mut Context) -> Poll<()> {
    let mut ready = false;
    for processor in processors {
        let Some(channel) = &processor.channel else {
            continue;
        };
        if may_read && let Poll::Ready(Ok(mut guard)) = channel.poll_read_ready(cx) {
            guard.clear_ready();
            ready = true;
        }
        if !processor.outbox.is_empty()
            && let Poll::Ready(Ok(mut guard)) = channel.poll_write_ready(cx)
        {
            guard.clear_ready();
            ready = true;
        }
    }
    if ready {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

/// Standard input, read by a thread, and only when a processor asks for it.
struct Terminal {
    requests: std::sync::mpsc::Sender<()>,
    inputs: mpsc::UnboundedReceiver<io::Result<Vec<u8>>>,
}

impl Terminal {
    fn new() -> Terminal {
        let (requests, asked) = std::sync::mpsc::channel();
        let (answers, inputs) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut buffer = [0; CHUNK_LEN_MAX];
            while asked.recv().is_ok() {
                let read = loop {
                    match io::stdin().lock().read(&mut buffer) {
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        other => break other,
                    }
                };
                if answers.send(read.map(|n| buffer[..n].to_vec())).is_err() {
                    break;
                }
            }
        });
        Terminal { requests, inputs }
    }

    fn request(&self) {
        // The thread ends only after this session.
        let _ = self.requests.send(());
    }
}

/// The shared memory of the run, if it is used: open here so that the processors inherit it.
struct Segment(Option<OwnedFd>);

impl Segment {
    fn create(options: &Options) -> io::Result<Segment> {
        if !options.networks.contains(&Choice::Shm) {
            return Ok(Segment(None));
        }
        let segment = ShmSegment::create(options.processors, RING_BYTES)?;
        let descriptor = OwnedFd::from(segment);
        rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty())?;
        Ok(Segment(Some(descriptor)))
    }

    fn number(&self) -> u32 {
        let descriptor = self
            .0
            .as_ref()
            .expect("made whenever shared memory is chosen");
        descriptor.as_raw_fd().unsigned_abs()
    }
}

fn network(choice: &Choice, segment: &Segment, insecure: bool) -> Network {
    let medium = match choice {
        Choice::Shm => Medium::Shm {
            segment: segment.number(),
        },
        Choice::Udp(interface) => Medium::Udp {
            interface: *interface,
        },
        Choice::Ethernet(interface) => Medium::Ethernet {
            interface: interface.clone(),
        },
    };
    Network::new(medium, insecure)
}

fn settings(options: &Options) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
    if let Some(bytes) = options.stack {
        set("stack", bytes.to_string());
    }
    if let Some(bytes) = options.buffer {
        set("buffer", bytes.to_string());
    }
    if options.stats.is_some() {
        set("stats", "1".to_owned());
    }
    settings
}

fn random_key() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// The 48-bit port of the run's group.
fn group_port(key: &[u8; 32]) -> u64 {
    key[..6]
        .iter()
        .fold(0, |port, byte| port << 8 | u64::from(*byte))
}

/// A multicast address of the run's own, from the block that administrators may use freely.
fn multicast(key: &[u8; 32]) -> SocketAddrV4 {
    let port = 20_000 + u16::from_le_bytes([key[9], key[10]]) % 10_000;
    SocketAddrV4::new(Ipv4Addr::new(239, 192 | key[6] & 3, key[7], key[8]), port)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
