//! The control channel: what a launcher and a processor say to each other, as bytes.
//!
//! A processor that was started by a launcher finds the number of a connected stream socket in the environment variable
//! [`CONTROL_VARIABLE`]. It sends [`FromProcessor::Hello`], receives [`ToProcessor::Prepare`] with the networks of the run, opens
//! them, and sends [`FromProcessor::Attached`] with the addresses at which it can be reached. [`ToProcessor::Start`] holds the rest
//! of what it must know and nobody else may; it joins, and says [`FromProcessor::Ready`]. From then on it sends its output and asks for input; its last message is
//! [`FromProcessor::Status`]. When the channel closes, the processor ends.
//!
//! Every chunk of output carries the host's monotonic clock, read when the text was written. A processor must have handed the
//! chunk to the socket before it sends anything that another processor could react to; then the launcher can put the output of all
//! processors of a host in an order that follows cause.
//!
//! This is a codec over byte slices and owns no socket. What it parses is not trusted: every length has a bound.
//!
//! Layout of a frame, little-endian:
//!
//! ```text
//!  0  u32  length of what follows the length: 1 .. FRAME_LEN_MAX
//!  4  u8   kind
//!  5  ..   body; a list is a u32 count and its elements, bytes and strings are a u32 length and the bytes
//! ```
//!
//! Implements: DESIGN.md section 9.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::networks::{Medium, Network};

/// Names the environment variable that holds the number of the channel's file descriptor.
pub const CONTROL_VARIABLE: &str = "ORCA_CONTROL";
/// What both sides must agree on; changes with any change of a message.
pub const VERSION: u16 = 2;
/// The longest frame; longer output is sent in pieces.
pub const FRAME_LEN_MAX: usize = 8 << 20;
/// The longest piece of output or input in one frame.
pub const CHUNK_LEN_MAX: usize = 64 << 10;
/// The most elements of any list.
pub const LIST_LEN_MAX: usize = 65_536;

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    Out,
    Err,
}

/// One line of the statistics of a processor: how often something was done, and with how many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What was counted, for readers: `group send`, `group receive`, `packets sent` ...
    pub name: String,
    pub count: u64,
    pub bytes: u64,
}

/// From a processor to the launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromProcessor {
    /// The first message: the protocol it speaks.
    Hello { version: u16 },
    /// It has opened the networks; where it can be reached by each.
    Attached { addresses: Vec<String> },
    /// It cannot open the networks, and why; it ends.
    Refused(String),
    /// It is a member of the group and has all its peers.
    Ready,
    /// It wrote this, when the monotonic clock of its host showed `at` nanoseconds.
    Output {
        stream: Stream,
        at: u64,
        text: Vec<u8>,
    },
    /// A process wants to read and the input received so far is used up.
    InputRequest,
    /// Sent before the status when it was asked for.
    Stats(Vec<Counter>),
    /// The last message: the exit status of the program as this processor knows it.
    Status(u8),
}

/// What a processor must know to open its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// Its own number, from 0.
    pub number: u16,
    /// How many processors run Orca processes: `NCPUS()`.
    pub count: u16,
    /// Drawn for this run; keys, seeds and addresses derive from it.
    pub key: [u8; 32],
    /// At least one.
    pub networks: Vec<Network>,
}

/// What else a processor must know before it can join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The 48-bit port of the program's group.
    pub group_port: u64,
    /// The multicast address of the run, if the network is to use one.
    pub multicast: Option<SocketAddrV4>,
    /// The addresses of every processor, by network, in the order of their numbers, its own included.
    pub peers: Vec<Vec<String>>,
    /// The program's arguments, without its name.
    pub arguments: Vec<Vec<u8>>,
    /// Settings by name: `stack` and `buffer` in bytes, `stats`, `backtrace`. Unknown ones are ignored.
    pub options: Vec<(String, String)>,
}

impl Start {
    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// From the launcher to a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToProcessor {
    Prepare(Box<Prepare>),
    Start(Box<Start>),
    /// The next piece of standard input, at most [`CHUNK_LEN_MAX`] bytes; empty: there is no more.
    Input(Vec<u8>),
    /// This processor is gone.
    Lost(u16),
    /// End now, without a word.
    Shutdown,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("a frame of {0} bytes is too long or empty")]
    Length(usize),
    #[error("unknown kind of message {0}")]
    Kind(u8),
    #[error("the body of a message is too short, too long or out of range")]
    Body,
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const READY: u8 = 2;
    pub(super) const OUTPUT: u8 = 3;
    pub(super) const INPUT_REQUEST: u8 = 4;
    pub(super) const STATS: u8 = 5;
    pub(super) const STATUS: u8 = 6;
    pub(super) const ATTACHED: u8 = 7;
    pub(super) const REFUSED: u8 = 8;
    pub(super) const START: u8 = 129;
    pub(super) const INPUT: u8 = 130;
    pub(super) const LOST: u8 = 131;
    pub(super) const SHUTDOWN: u8 = 132;
    pub(super) const PREPARE: u8 = 133;
}

/// Collects the bytes that arrive and cuts them into messages.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    used: usize,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox::default()
    }

    /// Appends what was read from the socket.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.used > 0 && (self.used == self.bytes.len() || self.used > CHUNK_LEN_MAX) {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message of a processor, if there is one. After an error the channel is of no more use.
    pub fn next_from_processor(&mut self) -> Result<Option<FromProcessor>, ChannelError> {
        self.next(FromProcessor::parse)
    }

    /// The next whole message of the launcher, if there is one. After an error the channel is of no more use.
    pub fn next_to_processor(&mut self) -> Result<Option<ToProcessor>, ChannelError> {
        self.next(ToProcessor::parse)
    }

    fn next<T>(
        &mut self,
        parse: fn(u8, &mut Reader) -> Result<T, ChannelError>,
    ) -> Result<Option<T>, ChannelError> {
        let rest = &self.bytes[self.used..];
        let Some((length, body)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 || length > FRAME_LEN_MAX {
            return Err(ChannelError::Length(length));
        }
        let Some(frame) = body.get(..length) else {
            return Ok(None);
        };
        let mut reader = Reader { rest: &frame[1..] };
        let message = parse(frame[0], &mut reader)?;
        if !reader.rest.is_empty() {
            return Err(ChannelError::Body);
        }
        self.used += 4 + length;
        Ok(Some(message))
    }
}

impl FromProcessor {
    /// The frame of this message.
    pub fn to_frame(&self) -> Vec<u8> {
        match self {
            FromProcessor::Hello { version } => {
                let mut w = Writer::new(kind::HELLO);
                w.u16(*version);
                w.finish()
            }
            FromProcessor::Attached { addresses } => {
                let mut w = Writer::new(kind::ATTACHED);
                w.strings(addresses);
                w.finish()
            }
            FromProcessor::Refused(why) => {
                let mut w = Writer::new(kind::REFUSED);
                w.bytes(why.as_bytes());
                w.finish()
            }
            FromProcessor::Ready => Writer::new(kind::READY).finish(),
            FromProcessor::Output { stream, at, text } => {
                let mut w = Writer::new(kind::OUTPUT);
                w.u8(match stream {
                    Stream::Out => 1,
                    Stream::Err => 2,
                });
                w.u64(*at);
                w.bytes(text);
                w.finish()
            }
            FromProcessor::InputRequest => Writer::new(kind::INPUT_REQUEST).finish(),
            FromProcessor::Stats(counters) => {
                let mut w = Writer::new(kind::STATS);
                w.length(counters.len());
                for counter in counters {
                    w.bytes(counter.name.as_bytes());
                    w.u64(counter.count);
                    w.u64(counter.bytes);
                }
                w.finish()
            }
            FromProcessor::Status(status) => {
                let mut w = Writer::new(kind::STATUS);
                w.u8(*status);
                w.finish()
            }
        }
    }

    fn parse(kind: u8, r: &mut Reader) -> Result<FromProcessor, ChannelError> {
        Ok(match kind {
            kind::HELLO => FromProcessor::Hello { version: r.u16()? },
            kind::ATTACHED => FromProcessor::Attached {
                addresses: r.list(Reader::string)?,
            },
            kind::REFUSED => FromProcessor::Refused(r.string()?),
            kind::READY => FromProcessor::Ready,
            kind::OUTPUT => FromProcessor::Output {
                stream: match r.u8()? {
                    1 => Stream::Out,
                    2 => Stream::Err,
                    _ => return Err(ChannelError::Body),
                },
                at: r.u64()?,
                text: r.bytes()?.to_vec(),
            },
            kind::INPUT_REQUEST => FromProcessor::InputRequest,
            kind::STATS => FromProcessor::Stats(r.list(|r| {
                Ok(Counter {
                    name: r.string()?,
                    count: r.u64()?,
                    bytes: r.u64()?,
                })
            })?),
            kind::STATUS => FromProcessor::Status(r.u8()?),
            other => return Err(ChannelError::Kind(other)),
        })
    }
}

impl ToProcessor {
    /// The frame of this message.
    pub fn to_frame(&self) -> Vec<u8> {
        match self {
            ToProcessor::Prepare(prepare) => {
                let mut w = Writer::new(kind::PREPARE);
                w.u16(prepare.number);
                w.u16(prepare.count);
                w.frame.extend_from_slice(&prepare.key);
                w.length(prepare.networks.len());
                for network in &prepare.networks {
                    w.network(network);
                }
                w.finish()
            }
            ToProcessor::Start(start) => {
                let mut w = Writer::new(kind::START);
                w.u64(start.group_port);
                match start.multicast {
                    None => w.u8(0),
                    Some(address) => {
                        w.u8(1);
                        w.address(address);
                    }
                }
                w.length(start.peers.len());
                for peer in &start.peers {
                    w.strings(peer);
                }
                w.length(start.arguments.len());
                for argument in &start.arguments {
                    w.bytes(argument);
                }
                w.length(start.options.len());
                for (name, value) in &start.options {
                    w.bytes(name.as_bytes());
                    w.bytes(value.as_bytes());
                }
                w.finish()
            }
            ToProcessor::Input(text) => {
                let mut w = Writer::new(kind::INPUT);
                w.bytes(text);
                w.finish()
            }
            ToProcessor::Lost(processor) => {
                let mut w = Writer::new(kind::LOST);
                w.u16(*processor);
                w.finish()
            }
            ToProcessor::Shutdown => Writer::new(kind::SHUTDOWN).finish(),
        }
    }

    fn parse(kind: u8, r: &mut Reader) -> Result<ToProcessor, ChannelError> {
        Ok(match kind {
            kind::PREPARE => {
                let prepare = Prepare {
                    number: r.u16()?,
                    count: r.u16()?,
                    key: *r.array::<32>()?,
                    networks: r.list(Reader::network)?,
                };
                if prepare.number >= prepare.count || prepare.networks.is_empty() {
                    return Err(ChannelError::Body);
                }
                ToProcessor::Prepare(Box::new(prepare))
            }
            kind::START => {
                let start = Start {
                    group_port: r.u64()?,
                    multicast: match r.u8()? {
                        0 => None,
                        1 => Some(r.address()?),
                        _ => return Err(ChannelError::Body),
                    },
                    peers: r.list(|r| r.list(Reader::string))?,
                    arguments: r.list(|r| Ok(r.bytes()?.to_vec()))?,
                    options: r.list(|r| Ok((r.string()?, r.string()?)))?,
                };
                if start.peers.is_empty() {
                    return Err(ChannelError::Body);
                }
                ToProcessor::Start(Box::new(start))
            }
            kind::INPUT => ToProcessor::Input(r.bytes()?.to_vec()),
            kind::LOST => ToProcessor::Lost(r.u16()?),
            kind::SHUTDOWN => ToProcessor::Shutdown,
            other => return Err(ChannelError::Kind(other)),
        })
    }
}

struct Writer {
    frame: Vec<u8>,
}

impl Writer {
    fn new(kind: u8) -> Writer {
        Writer {
            frame: vec![0, 0, 0, 0, kind],
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.frame.len() - 4;
        assert!(
            length <= FRAME_LEN_MAX,
            "a frame of {length} bytes is too long"
        );
        self.frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
        self.frame
    }

    fn u8(&mut self, value: u8) {
        self.frame.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.frame.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.frame.extend_from_slice(&value.to_le_bytes());
    }

    fn length(&mut self, value: usize) {
        let value = u32::try_from(value).expect("lengths were checked against their bounds");
        self.frame.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.frame.extend_from_slice(bytes);
    }

    fn address(&mut self, address: SocketAddrV4) {
        self.frame.extend_from_slice(&address.ip().octets());
        self.u16(address.port());
    }

    fn strings(&mut self, strings: &[String]) {
        self.length(strings.len());
        for string in strings {
            self.bytes(string.as_bytes());
        }
    }

    fn network(&mut self, network: &Network) {
        let (kind, text) = match &network.medium {
            Medium::Shm { segment } => (1, segment.to_string()),
            Medium::Udp { interface } => (2, interface.to_string()),
            Medium::Ethernet { interface } => (3, interface.clone()),
        };
        self.u8(kind);
        self.bytes(text.as_bytes());
        self.u8(u8::from(network.keyed));
        self.u8(u8::from(network.insecure));
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], ChannelError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(ChannelError::Body)?;
        self.rest = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, ChannelError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, ChannelError> {
        Ok(u16::from_le_bytes(*self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ChannelError> {
        Ok(u64::from_le_bytes(*self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], ChannelError> {
        let length = u32::from_le_bytes(*self.array()?) as usize;
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ChannelError::Body)?;
        self.rest = rest;
        Ok(head)
    }

    fn string(&mut self) -> Result<String, ChannelError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| ChannelError::Body)
    }

    fn address(&mut self) -> Result<SocketAddrV4, ChannelError> {
        let [a, b, c, d] = *self.array::<4>()?;
        Ok(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), self.u16()?))
    }

    fn network(&mut self) -> Result<Network, ChannelError> {
        let (kind, text) = (self.u8()?, self.string()?);
        let number = || text.parse().map_err(|_| ChannelError::Body);
        let medium = match kind {
            1 => Medium::Shm { segment: number()? },
            2 => Medium::Udp {
                interface: text.parse().map_err(|_| ChannelError::Body)?,
            },
            3 => Medium::Ethernet { interface: text },
            _ => return Err(ChannelError::Body),
        };
        Ok(Network {
            medium,
            keyed: self.bit()?,
            insecure: self.bit()?,
        })
    }

    fn bit(&mut self) -> Result<bool, ChannelError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ChannelError::Body),
        }
    }

    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, ChannelError>,
    ) -> Result<Vec<T>, ChannelError> {
        let count = u32::from_le_bytes(*self.array()?) as usize;
        // Every element takes at least four bytes, so this also bounds the memory.
        if count > LIST_LEN_MAX || count * 4 > self.rest.len() {
            return Err(ChannelError::Body);
        }
        (0..count).map(|_| element(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare() -> Prepare {
        let media = [
            Medium::Shm { segment: 17 },
            Medium::Udp {
                interface: Ipv4Addr::LOCALHOST.into(),
            },
            Medium::Ethernet {
                interface: "eth0".into(),
            },
        ];
        Prepare {
            number: 1,
            count: 2,
            key: [7; 32],
            networks: media.map(|medium| Network::new(medium, false)).to_vec(),
        }
    }

    fn start() -> Start {
        Start {
            group_port: 0x1234_5678_9abc,
            multicast: Some(SocketAddrV4::new(Ipv4Addr::new(239, 192, 1, 2), 4711)),
            peers: vec![
                vec!["0".into(), "127.0.0.1:4711".into()],
                vec!["1".into(), "127.0.0.1:4712".into()],
            ],
            arguments: vec![b"tsp14".to_vec(), vec![]],
            options: vec![("stack".into(), "65536".into())],
        }
    }

    fn to_processor() -> Vec<ToProcessor> {
        vec![
            ToProcessor::Prepare(Box::new(prepare())),
            ToProcessor::Start(Box::new(start())),
            ToProcessor::Input(b"12 13\n".to_vec()),
            ToProcessor::Lost(3),
            ToProcessor::Shutdown,
        ]
    }

    fn from_processor() -> Vec<FromProcessor> {
        vec![
            FromProcessor::Hello { version: VERSION },
            FromProcessor::Attached {
                addresses: vec!["127.0.0.1:5000".into()],
            },
            FromProcessor::Refused("no interface".into()),
            FromProcessor::Ready,
            FromProcessor::Output {
                stream: Stream::Err,
                at: 1 << 50,
                text: b"a line\n".to_vec(),
            },
            FromProcessor::InputRequest,
            FromProcessor::Stats(vec![Counter {
                name: "group send".into(),
                count: 125,
                bytes: 250_000,
            }]),
            FromProcessor::Status(70),
        ]
    }

    #[test]
    fn messages_survive_arriving_byte_by_byte() {
        let mut inbox = Inbox::new();
        let mut seen = Vec::new();
        for message in from_processor() {
            for byte in message.to_frame() {
                inbox.extend(&[byte]);
                seen.extend(inbox.next_from_processor().expect("a good frame"));
            }
        }
        assert_eq!(seen, from_processor());

        let mut inbox = Inbox::new();
        let all: Vec<u8> = to_processor()
            .iter()
            .flat_map(ToProcessor::to_frame)
            .collect();
        inbox.extend(&all);
        for message in to_processor() {
            assert_eq!(inbox.next_to_processor(), Ok(Some(message)));
        }
        assert_eq!(inbox.next_to_processor(), Ok(None));
    }

    #[test]
    fn a_damaged_message_is_refused_and_never_panics() {
        let frames: Vec<Vec<u8>> = (from_processor().iter().map(FromProcessor::to_frame))
            .chain(to_processor().iter().map(ToProcessor::to_frame))
            .collect();
        for frame in frames {
            for place in 0..frame.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut damaged = frame.clone();
                    damaged[place] = value;
                    let mut inbox = Inbox::new();
                    inbox.extend(&damaged);
                    let _ = inbox.next_from_processor();
                    let _ = inbox.next_to_processor();
                }
            }
        }
    }

    #[test]
    fn lengths_have_bounds() {
        let mut inbox = Inbox::new();
        inbox.extend(&u32::MAX.to_le_bytes());
        assert_eq!(
            inbox.next_from_processor(),
            Err(ChannelError::Length(u32::MAX as usize))
        );
        // A list that claims more elements than the frame could hold.
        let mut inbox = Inbox::new();
        inbox.extend(&[5, 0, 0, 0, kind::ATTACHED, 0xff, 0xff, 0, 0]);
        assert_eq!(inbox.next_from_processor(), Err(ChannelError::Body));
    }

    #[test]
    fn a_number_must_be_one_of_the_processors() {
        let mut wrong = prepare();
        wrong.number = 2;
        let mut inbox = Inbox::new();
        inbox.extend(&ToProcessor::Prepare(Box::new(wrong)).to_frame());
        assert_eq!(inbox.next_to_processor(), Err(ChannelError::Body));
    }
}
