//! Runs the scripts under `tests/data`: boxes on cables, one frame after the other, virtual time.
//! `UPDATE_EXPECT=1` writes the expectations anew. Each script runs twice, with packets in either
//! byte order, and gives the same trace.
//!
//! A script is a sentence in comments, then blocks of commands, a line of dashes, and the trace
//! that they cause. Addresses are single letters and stand for themselves; `-` is null.
//!
//! ```text
//! rules amoeba5, timing amoeba5           before any box
//! cable NAME [WEIGHT] [mtu N] [no-multicast] [untrusted] [flow] [delay MS]
//! box NAME CABLE...                       stations are numbered on each cable
//! register BOX ADDRESS                    from then on ADDRESS lives there
//! unicast BOX FROM TO BYTES [security] [relocate] [locate MS]
//! multicast BOX FROM TO BYTES [at-least N] [skip-own]
//! broadcast BOX FROM BYTES hops N
//! inject BOX CABLE STATION KIND SOURCE DESTINATION ID ACT/MAX [BYTES [OFFSET TOTAL]] [FLAG...]
//! inject BOX CABLE STATION FLOW-TYPE [COUNT | ADDRESS]
//! raw BOX CABLE STATION HEX|ADDRESS...
//! unregister BOX ADDRESS
//! stall BOX, digest BOX N                 nothing is taken out of the box, but N events
//! control BOX CABLE on|off trusted|untrusted
//! cut CABLE BOX, plug CABLE BOX           the box hears and reaches nobody there
//! lose N                                  the next N frames vanish
//! hold, release                           no frame moves in between
//! quiet, loud                             whether frames are printed
//! run [MS]                                until nothing moves, or for so long
//! routes BOX ADDRESS,  drops BOX,  sent BOX
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use flip_net::address::{EndpointId, FlipAddress, InterfaceId, LinkAddress, NetworkId};
use flip_net::time::{Duration, Instant};
use flip_net::wire::{Flags, Flow, Kind, Order, Repr, pretty};
use flip_net::{Config, Event, FlipBox, Frame, Link, Machine, SendOptions};

struct Cable {
    link: Link,
    /// How long a frame takes.
    delay: Duration,
    /// Box and the network that the cable is to it; the position is the station.
    stations: Vec<(String, NetworkId)>,
}

type Flying = (String, NetworkId, LinkAddress, Vec<u8>);

struct Boxed {
    flip: FlipBox,
    interface: InterfaceId,
    endpoints: BTreeMap<char, EndpointId>,
    cables: Vec<String>,
}

struct World {
    /// The byte order in which packets travel, whatever the boxes send.
    order: Order,
    config: Config,
    now: Instant,
    cables: BTreeMap<String, Cable>,
    boxes: BTreeMap<String, Boxed>,
    /// Frames on their way, in the order of their arrival.
    flying: BTreeMap<(Instant, u64), Flying>,
    sent: u64,
    to_lose: u64,
    /// Boxes that nobody takes events from, and how many are taken all the same.
    stalled: BTreeMap<String, u64>,
    /// Which box hears which multicast address on which cable, where that has to be agreed on.
    heard: BTreeSet<(String, String, u64)>,
    /// Who is not connected.
    cut: BTreeSet<(String, String)>,
    quiet: bool,
    hold: bool,
    out: String,
}

/// The private address that a letter stands for.
fn private(letter: char) -> FlipAddress {
    if letter == '-' {
        FlipAddress::NULL
    } else {
        FlipAddress::new([letter as u8; 8])
    }
}

/// The letter of a public address.
fn letter(address: FlipAddress) -> char {
    let letters = ('A'..='Z').chain(['-']);
    letters
        .into_iter()
        .find(|letter| private(*letter).one_way() == address)
        .unwrap_or('?')
}

/// The flow-control frame that these words describe, if it is one.
fn flow(words: &[&str]) -> Option<Flow> {
    Some(match *words {
        ["CREDIT-REQUEST"] => Flow::Request,
        ["CREDIT", count] => Flow::Credit(number(count)),
        ["CREDIT-ABSOLUTE", count] => Flow::Absolute(number(count)),
        ["MULTICAST-REQUEST", address] => {
            let address = private(initial(address)).one_way();
            let group = address.link_multicast();
            Flow::MulticastRequest { group, address }
        }
        ["MULTICAST-ACK", address] => Flow::MulticastAck(private(initial(address)).one_way()),
        ["MULTICAST-NAK", address] => Flow::MulticastNak(private(initial(address)).one_way()),
        _ => return None,
    })
}

/// The same frame with the integers of its packet the other way round.
fn big_endian(frame: &[u8], has_flow: bool) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let packet = if has_flow {
        &mut bytes[2..]
    } else {
        &mut bytes[..]
    };
    let is_data = !has_flow || frame[0] == 0;
    if is_data && packet.len() >= 40 && packet[2] & 1 == 0 {
        packet[2] |= 1;
        let counters = if packet[1] == 2 {
            &[40..42, 42..44][..]
        } else {
            &[]
        };
        let fields = [4..6, 6..8, 24..28, 28..32, 32..36, 36..40];
        for field in fields.iter().chain(counters) {
            packet[field.clone()].reverse();
        }
    }
    bytes
}

/// Bytes in hexadecimal, or an address.
fn raw(word: &str) -> Vec<u8> {
    if word.len() == 1 {
        return private(initial(word)).one_way().bytes().to_vec();
    }
    let digits = word.as_bytes().chunks(2);
    digits
        .map(|pair| std::str::from_utf8(pair).expect("digits"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits"))
        .collect()
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse()
        .ok()
        .unwrap_or_else(|| panic!("{word} should be a number"))
}

fn initial(word: &str) -> char {
    word.chars().next().expect("a word has a letter")
}

impl World {
    fn new(order: Order) -> World {
        World {
            order,
            config: Config::default(),
            now: Instant::ZERO,
            cables: BTreeMap::new(),
            boxes: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            to_lose: 0,
            stalled: BTreeMap::new(),
            heard: BTreeSet::new(),
            cut: BTreeSet::new(),
            quiet: false,
            hold: false,
            out: String::new(),
        }
    }

    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.out.write_fmt(line).expect("strings take everything");
        self.out.push('\n');
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["rules", "amoeba5"] => self.config = Config::amoeba5(),
            ["timing", "amoeba5"] => self.config = Config::thesis(),
            ["heard-max", count] => self.config.heard_len_max = number(count),
            ["stall", name] => {
                self.stalled.insert(name.to_owned(), 0);
            }
            ["digest", name, count] => {
                self.stalled.insert(name.to_owned(), number(count));
            }
            ["cut", cable, name] => {
                self.cut.insert((cable.to_owned(), name.to_owned()));
            }
            ["plug", cable, name] => {
                self.cut.remove(&(cable.to_owned(), name.to_owned()));
            }
            ["unregister", name, address] => {
                let boxed = self.boxes.get_mut(name).expect("a box");
                let endpoint = boxed.endpoints.remove(&initial(address));
                boxed.flip.unregister(endpoint.expect("registered here"));
            }
            ["hold"] => self.hold = true,
            ["release"] => self.hold = false,
            ["quiet"] => self.quiet = true,
            ["loud"] => self.quiet = false,
            ["cable", name, ref rest @ ..] => self.cable(name, rest),
            ["box", name, ref cables @ ..] => self.add_box(name, cables),
            ["register", name, address] => self.register(name, initial(address)),
            ["unicast", name, from, to, bytes, ref rest @ ..] => {
                self.send(name, from, to, number(bytes), rest, false);
            }
            ["multicast", name, from, to, bytes, ref rest @ ..] => {
                self.send(name, from, to, number(bytes), rest, true);
            }
            ["broadcast", name, from, bytes, "hops", hops] => {
                let now = self.now;
                let sender = self.boxes.get_mut(name).expect("a box");
                let endpoint = sender.endpoints[&initial(from)];
                let payload = vec![0; number(bytes)];
                if let Err(error) = sender.flip.broadcast(now, endpoint, payload, number(hops)) {
                    self.say(format_args!("{name}: {error}"));
                }
            }
            ["inject", name, cable, station, ref rest @ ..] => {
                self.inject(name, cable, number(station), rest);
            }
            ["control", name, cable, on, trusted] => {
                let boxed = self.boxes.get_mut(name).expect("a box");
                let network = boxed.cables.iter().position(|known| known == cable);
                let network = NetworkId(network.expect("a cable of the box") as u8);
                boxed
                    .flip
                    .control(network, on == "on", trusted == "trusted");
            }
            ["lose", count] => self.to_lose = number(count),
            ["run"] => {}
            ["run", millis] => {
                self.run_until(self.now + Duration::from_millis(number(millis)));
            }
            ["raw", name, cable, station, ref words @ ..] => {
                let frame: Vec<u8> = words.iter().flat_map(|word| raw(word)).collect();
                self.hand(name, cable, number(station), &frame);
            }
            ["routes", name, address] => self.routes(name, initial(address)),
            ["drops", name] => {
                let dropped = self.boxes[name].flip.stats().dropped;
                for (reason, count) in dropped {
                    self.say(format_args!("{name} dropped {count}: {reason}"));
                }
            }
            ["sent", name] => {
                for (at, network) in self.boxes[name].flip.stats().networks.iter().enumerate() {
                    let cable = self.boxes[name].cables[at].clone();
                    let total = network.sent.total();
                    self.say(format_args!("{name} sent {total} on {cable}"));
                }
            }
            _ => panic!("no such command: {line}"),
        }
        if !self.hold {
            self.run();
        }
    }

    fn cable(&mut self, name: &str, rest: &[&str]) {
        let mut link = Link {
            mtu: 1_498,
            weight: 3,
            multicast: true,
            trusted: true,
            flow: false,
        };
        let mut delay = Duration::ZERO;
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match *word {
                "delay" => {
                    delay = Duration::from_millis(number(words.next().expect("milliseconds")));
                }
                "mtu" => link.mtu = number(words.next().expect("a size")),
                "flow" => link.flow = true,
                "no-multicast" => link.multicast = false,
                "untrusted" => link.trusted = false,
                weight => link.weight = number(weight),
            }
        }
        self.cables.insert(
            name.to_owned(),
            Cable {
                link,
                delay,
                stations: Vec::new(),
            },
        );
    }

    fn add_box(&mut self, name: &str, cables: &[&str]) {
        let mut flip = FlipBox::new(self.config);
        for cable in cables {
            let cable = self.cables.get_mut(*cable).expect("a cable");
            let network = flip.attach(cable.link);
            cable.stations.push((name.to_owned(), network));
        }
        let interface = flip.interface();
        let cables = cables.iter().map(|cable| (*cable).to_owned()).collect();
        let boxed = Boxed {
            flip,
            interface,
            endpoints: BTreeMap::new(),
            cables,
        };
        self.boxes.insert(name.to_owned(), boxed);
    }

    fn register(&mut self, name: &str, letter: char) {
        let boxed = self.boxes.get_mut(name).expect("a box");
        let endpoint = boxed.flip.register(boxed.interface, private(letter));
        boxed.endpoints.insert(letter, endpoint);
    }

    fn send(
        &mut self,
        name: &str,
        from: &str,
        to: &str,
        bytes: usize,
        rest: &[&str],
        multicast: bool,
    ) {
        let mut options = SendOptions::default();
        let mut at_least = 0;
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match *word {
                "security" => options.security = true,
                "relocate" => options.relocate = true,
                "skip-own" => options.skip_own = true,
                "locate" => {
                    let millis = number(words.next().expect("a time"));
                    options.locate_time = Duration::from_millis(millis);
                }
                "at-least" => at_least = number(words.next().expect("a number")),
                word => panic!("no such option: {word}"),
            }
        }
        let (now, to) = (self.now, private(initial(to)).one_way());
        let sender = self.boxes.get_mut(name).expect("a box");
        let endpoint = sender.endpoints[&initial(from)];
        let payload = vec![0; bytes];
        let sent = if multicast {
            sender
                .flip
                .multicast(now, endpoint, to, payload, at_least, options)
        } else {
            sender.flip.unicast(now, endpoint, to, payload, options)
        };
        if let Err(error) = sent {
            self.say(format_args!("{name}: {error}"));
        }
    }

    fn inject(&mut self, name: &str, cable: &str, station: u64, words: &[&str]) {
        let has_flow = self.cables[cable].link.flow;
        if let Some(flow) = flow(words) {
            return self.hand(name, cable, station, &flow.emit());
        }
        let [kind, source, destination, id, hops, rest @ ..] = words else {
            panic!("too few words to inject");
        };
        let (numbers, flags): (Vec<&str>, Vec<&str>) = rest
            .iter()
            .partition(|word| word.chars().all(|letter| letter.is_ascii_digit()));
        let numbers: Vec<u32> = numbers.iter().map(|word| number(word)).collect();
        let (actual, maximum) = hops.split_once('/').expect("two hop counts");
        let length = numbers.first().copied().unwrap_or(0);
        let kind = match *kind {
            "LOCATE" => Kind::Locate,
            "HEREIS" => Kind::HereIs {
                count: numbers[0] as u16,
                trusted: numbers[1] as u16,
            },
            "UNIDATA" => Kind::UniData,
            "MULTIDATA" => Kind::MultiData,
            "NOTHERE" => Kind::NotHere,
            "UNTRUSTED" => Kind::Untrusted,
            kind => panic!("no such packet: {kind}"),
        };
        let (length, offset) = match kind {
            Kind::HereIs { .. } => (0, 0),
            _ => (length, numbers.get(1).copied().unwrap_or(0)),
        };
        let repr = Repr {
            kind,
            flags: Flags {
                security: flags.contains(&"security"),
                unreachable: flags.contains(&"unreachable"),
                tainted: flags.contains(&"unsafe"),
            },
            actual: number(actual),
            maximum: number(maximum),
            destination: private(initial(destination)).one_way(),
            source: private(initial(source)).one_way(),
            message: number(id),
            offset,
            total: numbers
                .get(2)
                .copied()
                .unwrap_or(length)
                .max(offset + length),
        };
        let bytes = repr.emit_behind(has_flow.then_some(0), &vec![0; length as usize]);
        self.hand(name, cable, station, &bytes);
    }

    /// Hands a frame to a box as if it had come from a station.
    fn hand(&mut self, name: &str, cable: &str, station: u64, frame: &[u8]) {
        let boxed = self.boxes.get_mut(name).expect("a box");
        let network = boxed.cables.iter().position(|known| known == cable);
        let network = NetworkId(network.expect("a cable of the box") as u8);
        let from = LinkAddress::Station(station);
        let bytes = match self.order {
            Order::Little => frame.to_vec(),
            Order::Big => big_endian(frame, self.cables[cable].link.flow),
        };
        boxed.flip.handle_frame(self.now, network, from, &bytes);
    }

    fn routes(&mut self, name: &str, letter: char) {
        let boxed = &self.boxes[name];
        let ways = boxed.flip.locations(private(letter).one_way()).to_vec();
        let cables = boxed.cables.clone();
        if ways.is_empty() {
            self.say(format_args!("{name} knows no way to {letter}"));
        }
        for way in ways {
            let cable = &cables[usize::from(way.network.0)];
            let (station, hops, count, trusted) = (way.station, way.hops, way.count, way.trusted);
            self.say(format_args!(
                "{name} knows {letter} at {cable} {station} hops {hops} count {count} trusted {trusted}"
            ));
        }
    }

    /// Moves frames until nothing moves; time stands still.
    fn run(&mut self) {
        loop {
            let names: Vec<String> = self.boxes.keys().cloned().collect();
            for name in &names {
                self.drain(name);
            }
            let first = self.flying.first_entry();
            let Some(first) = first.filter(|first| first.key().0 <= self.now) else {
                return;
            };
            let (name, network, from, bytes) = first.remove();
            let receiver = self.boxes.get_mut(&name).expect("a box");
            receiver.flip.handle_frame(self.now, network, from, &bytes);
        }
    }

    fn run_until(&mut self, end: Instant) {
        self.run();
        loop {
            let timeouts = self
                .boxes
                .values()
                .filter_map(|boxed| boxed.flip.poll_timeout());
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let next = timeouts.chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = next;
            let names: Vec<String> = self.boxes.keys().cloned().collect();
            for name in names {
                self.boxes
                    .get_mut(&name)
                    .expect("a box")
                    .flip
                    .handle_timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    fn drain(&mut self, name: &str) {
        self.drain_frames(name);
        while let Some(event) = self.next_event(name) {
            let at = self.now;
            match event {
                Event::Fragment { fragment, .. } => {
                    let (source, to) = (letter(fragment.source), letter(fragment.destination));
                    let (id, offset) = (fragment.message, fragment.offset);
                    let (length, total) = (fragment.payload.len(), fragment.total);
                    let tainted = if fragment.tainted { " unsafe" } else { "" };
                    self.say(format_args!(
                        "{at} {name} delivers {source} -> {to} #{id} {length} B @{offset} of {total}{tainted}"
                    ));
                }
                Event::NotDelivered {
                    destination,
                    message,
                    reason,
                    payload,
                    ..
                } => {
                    let (to, length) = (letter(destination), payload.len());
                    self.say(format_args!(
                        "{at} {name} did not deliver #{message} to {to}, {length} B: {reason}"
                    ));
                }
            }
        }
        // What was taken out may have made room for more.
        self.drain_frames(name);
    }

    /// The next thing that the box says, if anybody listens.
    fn next_event(&mut self, name: &str) -> Option<Event> {
        if let Some(left) = self.stalled.get_mut(name) {
            *left = left.checked_sub(1)?;
        }
        self.boxes.get_mut(name).expect("a box").flip.poll_event()
    }

    fn flip(&mut self, name: &str) -> &mut FlipBox {
        &mut self.boxes.get_mut(name).expect("a box").flip
    }

    fn drain_frames(&mut self, name: &str) {
        loop {
            while let Some(listen) = self.flip(name).poll_listen() {
                let at = usize::from(listen.network.0);
                let heard = (
                    name.to_owned(),
                    self.boxes[name].cables[at].clone(),
                    listen.group,
                );
                let verb = if listen.on { "hears" } else { "stops to hear" };
                if listen.on {
                    self.heard.insert(heard);
                } else {
                    self.heard.remove(&heard);
                }
                let now = self.now;
                self.out
                    .write_fmt(format_args!("{now} {name} {verb} m{:x}\n", listen.group))
                    .expect("strings take everything");
            }
            let Some(frame) = self.flip(name).poll_transmit() else {
                return;
            };
            self.transmit(name, frame);
        }
    }

    fn transmit(&mut self, name: &str, frame: Frame) {
        let cable_name = self.boxes[name].cables[usize::from(frame.network.0)].clone();
        let cable = &self.cables[&cable_name];
        let own = cable
            .stations
            .iter()
            .position(|(station, _)| station == name);
        let own = own.expect("a box is a station of its cables");
        let lost = self.to_lose > 0;
        self.to_lose -= u64::from(lost);
        for (at, (station, network)) in cable.stations.iter().enumerate() {
            let is_for = match frame.to {
                LinkAddress::Station(number) => number == at as u64,
                LinkAddress::Broadcast => at != own,
                LinkAddress::Multicast(group) => {
                    let heard = (station.clone(), cable_name.clone(), group);
                    at != own && (!cable.link.flow || self.heard.contains(&heard))
                }
            };
            let is_cut = |name: &str| self.cut.contains(&(cable_name.clone(), name.to_owned()));
            if is_for && !lost && !is_cut(name) && !is_cut(station) {
                let from = LinkAddress::Station(own as u64);
                let bytes = match self.order {
                    Order::Little => frame.bytes().into_owned(),
                    Order::Big => big_endian(&frame.bytes(), cable.link.flow),
                };
                self.sent += 1;
                let arrival = (self.now + cable.delay, self.sent);
                self.flying
                    .insert(arrival, (station.clone(), *network, from, bytes));
            }
        }
        if !self.quiet {
            let mut line = match cable.link.flow {
                true => pretty::flow_line(&frame.bytes()),
                false => pretty::line(&frame.bytes()),
            };
            for letter in ('A'..='Z').chain(['-']) {
                let address = private(letter).one_way().to_string();
                line = line.replace(&address, &letter.to_string());
            }
            let to = match frame.to {
                LinkAddress::Multicast(_) => "multicast".to_owned(),
                to => to.to_string(),
            };
            let lost = if lost { "  lost" } else { "" };
            let at = self.now;
            self.say(format_args!("{at} {name} {cable_name} {to}  {line}{lost}"));
        }
    }
}

fn run_script(text: &str, order: Order) -> String {
    let mut world = World::new(order);
    let mut result = String::new();
    let mut expecting = false;
    for line in text.lines() {
        if expecting {
            // An empty line ends what is expected; the commands of the next block follow.
            expecting = !line.is_empty();
            continue;
        }
        if line == "----" {
            result.push_str("----\n");
            result.push_str(&std::mem::take(&mut world.out));
            result.push('\n');
            expecting = true;
        } else {
            result.push_str(line);
            result.push('\n');
            if !line.is_empty() && !line.starts_with('#') {
                world.command(line);
            }
        }
    }
    assert!(world.out.is_empty(), "the last block has no line of dashes");
    result.truncate(result.trim_end().len());
    result.push('\n');
    result
}

fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder of scripts") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
}

#[test]
fn every_script_gives_its_trace() {
    let mut found = Vec::new();
    scripts(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"),
        &mut found,
    );
    found.sort();
    assert!(found.len() >= 10, "the scripts are there");
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let result = run_script(&text, Order::Little);
        assert_eq!(
            run_script(&text, Order::Big),
            result,
            "{path:?}: the byte order makes a difference"
        );
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, result).expect("a writable script");
        } else {
            expect_test::expect_file![&path].assert_eq(&result);
        }
    }
}
