//! One processor of many, started by a launcher: everything it knows comes through the control channel.
//!
//! It gets its number and its networks, opens them, says where it can be reached, gets its peers, joins, and runs. Its output and what there is to say about
//! the end go to the launcher; input comes from there on request. When the channel closes, or the launcher says so, the process ends at once.
//!
//! Implements: DESIGN 9.
#![allow(
    clippy::disallowed_methods,
    reason = "threads, clocks and sockets of a real processor"
)]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use stack::capability::Port;
use stack::flip_net::rng::Rng;
use stack::flip_net::wire::Flow;

use crate::builtin::output::Sink;
use crate::capture::captured;
use crate::control_channel::{
    CHUNK_LEN_MAX, Counter, FromProcessor, Inbox, Prepare, Start, Stream, ToProcessor, VERSION,
};
use crate::driver::{Options, StandardInput, run_processor};
use crate::local_group::driver_config;
use crate::networks::{Attached, attach};
use crate::over_group::OverGroup;
use crate::process::signal::monotonic_nanos;
use crate::traffic::Counted;
use crate::trap::{Outcome, STATUS_INTERNAL, STATUS_LOST};
use crate::value::compare::Hasher;
use crate::value::describe::ProgramRef;

/// The writing end of the channel.
#[derive(Clone)]
struct Channel(Arc<Mutex<UnixStream>>);

impl Channel {
    fn send(&self, message: &FromProcessor) -> std::io::Result<()> {
        self.0.lock().write_all(&message.to_frame())
    }

    /// Sends text in pieces; `stream` says which output it is.
    fn show(&self, stream: Stream, text: &[u8]) -> std::io::Result<()> {
        text.chunks(CHUNK_LEN_MAX).try_for_each(|piece| {
            self.send(&FromProcessor::Output {
                stream,
                at: monotonic_nanos(),
                text: piece.to_vec(),
            })
        })
    }
}

/// Standard output by way of the launcher.
struct ChannelSink(Channel);

impl Sink for ChannelSink {
    fn show(&mut self, text: &[u8], _applied: u64) -> std::io::Result<()> {
        self.0.show(Stream::Out, text)
    }
}

/// What the reading thread hands on.
struct Incoming {
    prepare: Receiver<Prepare>,
    start: Receiver<Start>,
    input: Receiver<Vec<u8>>,
}

/// Reads the channel until it closes, then ends the process.
fn read_channel(mut stream: UnixStream) -> Incoming {
    let (prepare_sender, prepare) = channel();
    let (start_sender, start) = channel();
    let (input_sender, input) = channel();
    let to = Outgoing {
        prepare: prepare_sender,
        start: start_sender,
        input: input_sender,
    };
    std::thread::Builder::new()
        .name("orca-control".to_owned())
        .stack_size(512 << 10)
        .spawn(move || {
            let mut inbox = Inbox::new();
            let mut buffer = vec![0; CHUNK_LEN_MAX];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => std::process::exit(STATUS_LOST),
                    Ok(count) => inbox.extend(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => std::process::exit(STATUS_LOST),
                }
                take_messages(&mut inbox, &to);
            }
        })
        .expect("the operating system gives a thread to the control channel");
    Incoming {
        prepare,
        start,
        input,
    }
}

/// Whom the reading thread hands it to.
struct Outgoing {
    prepare: Sender<Prepare>,
    start: Sender<Start>,
    input: Sender<Vec<u8>>,
}

fn take_messages(inbox: &mut Inbox, to: &Outgoing) {
    loop {
        // Nobody waits any more for what cannot be handed on.
        match inbox.next_to_processor() {
            Ok(None) => return,
            Ok(Some(ToProcessor::Prepare(message))) => drop(to.prepare.send(*message)),
            Ok(Some(ToProcessor::Start(message))) => drop(to.start.send(*message)),
            Ok(Some(ToProcessor::Input(bytes))) => drop(to.input.send(bytes)),
            // The launcher has told the user what there is to tell.
            Ok(Some(ToProcessor::Lost(_) | ToProcessor::Shutdown)) => {
                std::process::exit(STATUS_LOST);
            }
            Err(_) => std::process::exit(STATUS_INTERNAL),
        }
    }
}

/// Runs this processor over the channel until the program is over; gives the exit status.
pub(crate) fn run_launched(program: ProgramRef, name: Vec<u8>, stream: UnixStream) -> i32 {
    match launch(program, name, stream) {
        Ok(status) => status,
        Err(error) => {
            // The launcher sees the status; the text helps if somebody looks.
            eprintln!("cannot run under a launcher: {error}");
            STATUS_INTERNAL
        }
    }
}

fn launch(program: ProgramRef, name: Vec<u8>, stream: UnixStream) -> std::io::Result<i32> {
    let incoming = read_channel(stream.try_clone()?);
    let channel = Channel(Arc::new(Mutex::new(stream)));
    channel.send(&FromProcessor::Hello { version: VERSION })?;
    let silent = |_| std::io::Error::other("the launcher said nothing");
    let prepare = incoming.prepare.recv().map_err(silent)?;
    let mut rng = Rng::new(seed(&prepare));
    let attached = match attach(&prepare.networks, prepare.number, &prepare.key, &mut rng) {
        Ok(attached) => attached,
        Err(why) => {
            channel.send(&FromProcessor::Refused(why))?;
            return Ok(STATUS_INTERNAL);
        }
    };
    let addresses = attached.addresses.clone();
    channel.send(&FromProcessor::Attached { addresses })?;
    let start = incoming.start.recv().map_err(silent)?;
    let multicast = start.multicast.map(SocketAddr::V4);
    attached
        .connect(&start.peers, multicast)
        .map_err(std::io::Error::other)?;
    let options = options(&start, name, &channel, incoming.input);
    let (number, count) = (u32::from(prepare.number), u32::from(prepare.count));
    let group = start_group(&prepare, &start, attached, rng).map_err(std::io::Error::other)?;
    let mut group = Counted::new(group);
    let ready = channel.clone();
    group.transport.on_complete(move || {
        // If the launcher is gone the reading thread ends the process.
        let _ = ready.send(&FromProcessor::Ready);
    });
    let outcome = if count == 1 {
        channel.send(&FromProcessor::Ready)?;
        run_processor(
            program,
            0,
            1,
            &options,
            &mut crate::transport::Alone::default(),
        )
    } else {
        run_processor(program, number, count, &options, &mut group)
    };
    finish(&channel, &start, &outcome, &group)?;
    Ok(outcome.status)
}

/// Tells the launcher how it ended.
fn finish(
    channel: &Channel,
    start: &Start,
    outcome: &Outcome,
    group: &Counted<OverGroup>,
) -> std::io::Result<()> {
    if let Some(message) = &outcome.message {
        channel.show(Stream::Err, format!("{message}\n").as_bytes())?;
    }
    if start.option("stats").is_some() {
        channel.send(&FromProcessor::Stats(counters(group)))?;
    }
    channel.send(&FromProcessor::Status(outcome.status as u8))
}

fn counters(group: &Counted<OverGroup>) -> Vec<Counter> {
    let stats = group.transport.stats();
    let mut counters = Vec::new();
    let mut counter = |name: String, count: u64, bytes: u64| {
        if count != 0 {
            counters.push(Counter { name, count, bytes });
        }
    };
    let directions = [("sent", &group.sent), ("delivered", &group.delivered)];
    for (direction, traffic) in directions {
        for (below, count, bytes) in traffic.sizes() {
            counter(
                format!("broadcasts {direction}, below {below} bytes"),
                count,
                bytes,
            );
        }
    }
    for kind in stack::group::Kind::ALL {
        counter(
            format!("group {kind:?} sent"),
            stats.group.sent_of(*kind),
            0,
        );
        counter(
            format!("group {kind:?} received"),
            stats.group.received_of(*kind),
            0,
        );
    }
    for (below, count) in stats.sent.slots() {
        counter(format!("messages sent below {below} bytes"), count, 0);
    }
    for (number, network) in stats.flip.networks.iter().enumerate() {
        let directions = [
            (
                "sent",
                &network.sent,
                &network.flow_sent,
                network.bytes_sent,
            ),
            (
                "received",
                &network.received,
                &network.flow_received,
                network.bytes_received,
            ),
        ];
        for (direction, kinds, flow, bytes) in directions {
            let what = format!("{direction} on network {number}");
            counter(format!("packets {what}"), kinds.total(), bytes);
            for (name, count) in kinds.by_name() {
                counter(format!("{name} {what}"), count, 0);
            }
            for (at, count) in flow.iter().enumerate() {
                counter(format!("{} {what}", Flow::name_of(at)), *count, 0);
            }
        }
    }
    for (reason, count) in &stats.flip.dropped {
        counter(format!("packets dropped: {reason}"), *count, 0);
    }
    let peaks = &stats.group;
    counter(
        "peak of the delivery queue".to_owned(),
        stats.queue.messages_peak as u64,
        stats.queue.bytes_peak as u64,
    );
    counter(
        "peak of the history".to_owned(),
        peaks.history_messages_peak as u64,
        peaks.history_bytes_peak as u64,
    );
    counters
}

fn options(start: &Start, name: Vec<u8>, channel: &Channel, input: Receiver<Vec<u8>>) -> Options {
    let sink = channel.clone();
    let asker = channel.clone();
    let input = Mutex::new(input);
    let mut options = Options {
        arguments: std::iter::once(name)
            .chain(start.arguments.iter().cloned())
            .collect(),
        input: StandardInput::Read(Arc::new(move || {
            let answers = input.lock();
            match asker.send(&FromProcessor::InputRequest) {
                Ok(()) => answers.recv().unwrap_or_default(),
                Err(_) => Vec::new(),
            }
        })),
        output: Arc::new(move |_| Box::new(ChannelSink(sink.clone()))),
        ..Options::default()
    };
    if let Some(bytes) = start.option("stack").and_then(|value| value.parse().ok()) {
        options.stack_bytes = bytes;
    }
    options
}

/// Each processor draws its own addresses from the key of the run.
fn seed(prepare: &Prepare) -> u64 {
    let mut seed = Hasher::new();
    seed.bytes(&prepare.key);
    seed.word(u64::from(prepare.number));
    seed.finish()
}

fn start_group(
    prepare: &Prepare,
    start: &Start,
    attached: Attached,
    rng: Rng,
) -> Result<OverGroup, String> {
    let (number, count) = (u32::from(prepare.number), u32::from(prepare.count));
    let port = Port::new(
        start.group_port.to_be_bytes()[2..]
            .try_into()
            .expect("six of eight bytes"),
    );
    let mut config = stack::Config::new(attached.links, port, number == 0);
    config.group.members_max = config
        .group
        .members_max
        .max(prepare.count.saturating_add(2));
    if let Some(bytes) = start.option("buffer").and_then(|value| value.parse().ok()) {
        config.group.queue_bytes_max = bytes;
        config.group.history_bytes_max = bytes;
    }
    let devices = match start.option("capture") {
        Some(folder) => captured(attached.devices, Path::new(folder), prepare.number),
        None => attached.devices,
    };
    let driver = driver_config(count);
    OverGroup::start(config, devices, driver, number, count, rng).map_err(|error| error.to_string())
}
