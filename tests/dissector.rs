//! The dissector for Wireshark, `docs/wireshark/orca.lua`: its tables are those of the codec, and
//! `tshark` shows with it what the codec sees, in every field, whether packets are good or not.
//!
//! Without `tshark`, or with one that has no Lua, only the tables are compared.

#[path = "dissector/cases.rs"]
mod cases;
#[path = "dissector/codec.rs"]
mod codec;
#[path = "dissector/tshark.rs"]
mod tshark;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cases::{Carries, Case};
use codec::{Seen, look_at_frame, look_at_packet};
use flip_net::address::{FlipAddress, LinkAddress};
use flip_net::link::capture::{Capture, Form};
use flip_net::rng::Rng;
use flip_net::wire::{self, Flow, WireError, packet};
use tshark::{EXPERT, Fields, INFO, Tshark, check_no_failure};

const GROUP: [&str; 2] = ["-o", "amflip.payload:group"];
const RPC: [&str; 2] = ["-o", "amflip.payload:rpc"];
const GUESS: [&str; 0] = [];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member")
}

// --- tables ---

type Table = BTreeMap<u64, String>;

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .unwrap_or_else(|_| panic!("{text} is a number"))
}

fn script() -> String {
    fs::read_to_string(root().join("docs/wireshark/orca.lua")).expect("the dissector")
}

/// The entries of `local NAME = {` in the script, one a line.
fn table_of(name: &str) -> Table {
    let script = script();
    let begin = format!("local {name} = {{\n");
    let (_, rest) = script.split_once(&begin).expect("the table is there");
    let (body, _) = rest.split_once("\n}\n").expect("the table ends");
    body.lines()
        .map(|line| {
            let entry = line.trim().strip_prefix('[').expect("an entry");
            let (key, value) = entry.split_once("] = \"").expect("a number and a name");
            (number(key), value.trim_end_matches("\",").to_owned())
        })
        .collect()
}

/// The number that the script gives a name.
fn constant_of(name: &str) -> u64 {
    let begin = format!("local {name} = ");
    let script = script();
    let line = script.lines().find_map(|line| line.strip_prefix(&begin));
    number(line.expect("the constant is there"))
}

fn check_table(name: &str, expected: impl IntoIterator<Item = (u64, String)>) {
    assert_eq!(table_of(name), expected.into_iter().collect(), "{name}");
}

/// Every number of a byte for which `name` knows a name.
fn by_trial(name: impl Fn(u8) -> Option<String>) -> Table {
    (0..=u8::MAX)
        .filter_map(|number| Some((u64::from(number), name(number)?)))
        .collect()
}

/// The name of a type of FLIP packet, found by parsing a packet of that type.
fn flip_name(kind: u8) -> Option<String> {
    let mut bytes = [0; 44];
    bytes[..2].copy_from_slice(&[packet::VERSION, kind]);
    // Room for the counters of a HEREIS: one endpoint, not trusted.
    (bytes[28], bytes[36], bytes[40]) = (4, 4, 1);
    let packet = wire::Packet::new_checked(&bytes).expect("a whole header");
    match wire::Repr::parse(&packet) {
        Ok(repr) => Some(repr.kind.name().to_owned()),
        Err(error) => {
            assert_eq!(error, WireError::UnknownKind);
            None
        }
    }
}

fn flow_name(kind: u8) -> Option<String> {
    let mut bytes = [0; 18];
    bytes[0] = kind;
    match Flow::parse(&bytes) {
        Ok((flow, _)) => Some(Flow::name_of(usize::from(flow.number())).to_owned()),
        Err(error) => {
            assert_eq!(error, WireError::UnknownFlow);
            None
        }
    }
}

/// The name of a kind of message of the run-time system: the first word of its line, if a body of
/// zeros of any length makes it a message.
fn rts_name(kind: u8) -> Option<String> {
    (0..64).find_map(|len| {
        let mut bytes = vec![0; 16 + len];
        bytes[..2].copy_from_slice(&[1, kind]);
        let line = orca_rts::MessageLine(&bytes).to_string();
        let name = line.split(' ').next()?.to_owned();
        (name != "?").then_some(name)
    })
}

fn names(pairs: &[(u64, &str)]) -> Table {
    pairs
        .iter()
        .map(|(n, name)| (*n, (*name).to_owned()))
        .collect()
}

#[test]
fn the_tables_of_the_script_are_those_of_the_codec() {
    check_table("FLIP_TYPES", by_trial(flip_name));
    check_table("FLOW_TYPES", by_trial(flow_name));
    let flags = [
        (packet::FLAG_BIG_ENDIAN, "big_endian"),
        (packet::FLAG_VARIABLE, "variable"),
        (packet::FLAG_SECURITY, "security"),
        (packet::FLAG_UNREACHABLE, "unreachable"),
        (packet::FLAG_UNSAFE, "unsafe"),
    ];
    let flags = flags.map(|(mask, name)| (u64::from(mask), name));
    check_table("FLIP_FLAGS", names(&flags));
    let kinds = group::Kind::ALL.iter();
    check_table(
        "GROUP_TYPES",
        kinds.map(|k| (*k as u64, k.name().to_owned())),
    );
    let mut kinds = by_trial(rts_name);
    let introduction = orca_rts::MessageLine(&[255, 0, 0, 0, 0]).to_string();
    let name = introduction.split(' ').next().expect("a word");
    kinds.insert(255, name.to_owned());
    check_table("RTS_KINDS", kinds);
}

#[test]
fn the_sizes_of_the_script_are_those_of_the_codec() {
    for (name, expected) in [
        ("FLOW_HEADER_LEN", wire::flow::FLOW_HEADER_LEN),
        ("FLIP_HEADER_LEN", wire::HEADER_LEN),
        ("FLIP_VERSION", usize::from(packet::VERSION)),
        ("VARIABLE_LEN_MAX", wire::variable::VARIABLE_LEN_MAX),
        ("GROUP_HEADER_LEN", group::GROUP_HEADER_SIZE),
        ("HEADER_LEN", capability::HEADER_SIZE),
    ] {
        assert_eq!(constant_of(name), expected as u64, "{name}");
    }
    let ethertype = flip_net::link::capture::ETHERTYPE_FLIP;
    assert_eq!(constant_of("ETHERTYPE_FLIP"), u64::from(ethertype));
    assert_eq!(
        table_of("SELECTORS")[&u64::from(group::BROADCAST_SELECTOR)],
        "group"
    );
}

#[test]
fn the_rpc_tables_of_the_script_are_those_of_amoeba() {
    // [Amoeba5] §2.2.
    let types = [
        "LOCATE", "HEREIS", "REQUEST", "REPLY", "ACK", "NAK", "ENQUIRE", "ALIVE", "RECEIVED",
        "FORWARD", "FAIL",
    ];
    let numbered = (1..).zip(types.map(str::to_owned));
    check_table("RPC_TYPES", numbered);
    let flags = [
        (0x01, "big_endian"),
        (0x02, "retrans"),
        (0x04, "request"),
        (0x08, "reply"),
        (0x10, "sigtrans"),
    ];
    check_table("RPC_FLAGS", names(&flags));
    check_table("SELECTORS", names(&[(1, "RPC"), (2, "group")]));
}

// --- captures ---

const FROM: LinkAddress = LinkAddress::Station(0x0200_0000_000a);
const TO: LinkAddress = LinkAddress::Station(0x0200_0000_000b);

/// A capture file of the project's own writer.
fn capture<'a>(path: &Path, form: Form, frames: impl IntoIterator<Item = &'a [u8]>) {
    let file = std::io::BufWriter::new(File::create(path).expect("a file"));
    let mut capture = Capture::begin(file, form, u64::MAX).expect("room for a header");
    for (number, frame) in (0..).zip(frames) {
        let at = Duration::new(1_000_000_000, number);
        capture.add(at, FROM, TO, frame).expect("room for a frame");
    }
}

/// Everything that is asked of `tshark`: all fields of all cases, and those that the codec names.
fn all_fields(cases: &[Case]) -> Vec<&'static str> {
    let mut names: BTreeSet<&'static str> = cases
        .iter()
        .flat_map(|case| case.fields.keys().copied())
        .collect();
    for case in cases {
        names.extend(look_at_packet(&case.packet, true).fields.keys());
    }
    names.extend([
        "amflow.type",
        "amflow.credits",
        "amflow.location",
        "amflow.address",
    ]);
    names.into_iter().collect()
}

#[track_caller]
fn check_fields(shown: &Fields, seen: &Seen, what: &str) {
    for (name, expected) in &seen.fields {
        let value = shown.get(*name);
        assert_eq!(value, expected.as_ref(), "{what}: {name} in {shown:?}");
    }
}

/// What `tshark` shows is what the codec sees.
#[track_caller]
fn check_seen(shown: &Fields, seen: &Seen, what: &str) {
    check_no_failure(shown, what);
    check_fields(shown, seen, what);
    let info = shown.get(INFO).map_or("", String::as_str);
    if seen.is_all {
        assert_eq!(info, seen.info, "{what}");
    } else {
        assert!(
            info.starts_with(&seen.info),
            "{what}: {info} and {}",
            seen.info
        );
    }
    let expert = shown.get(EXPERT).map_or("", String::as_str);
    assert_eq!(
        expert.contains("Malformed: "),
        seen.is_malformed,
        "{what}: {expert}"
    );
}

#[track_caller]
fn check_case(shown: &Fields, case: &Case) {
    for (name, expected) in &case.fields {
        assert_eq!(shown.get(*name), Some(expected), "{}: {name}", case.name);
    }
    let carried = ["amgroup.type", "amrpc.type"].map(|name| shown.contains_key(name));
    let expected = [case.carries == Carries::Group, case.carries == Carries::Rpc];
    assert_eq!(carried, expected, "{}", case.name);
    if let Some(line) = &case.line {
        let info = &shown[INFO];
        assert!(
            info.ends_with(line),
            "{}: {info} ends with {line}",
            case.name
        );
    }
}

/// Good packets, behind whatever `form` has in front of them.
fn check_good(tshark: &Tshark, form: Form, flow: Option<u8>) {
    let cases = cases::all();
    let frames: Vec<Vec<u8>> = cases
        .iter()
        .map(|case| match flow {
            Some(credits) => [&[0, credits], &case.packet[..]].concat(),
            None => case.packet.clone(),
        })
        .collect();
    let path = tshark.folder().join("good.pcap");
    capture(&path, form, frames.iter().map(Vec::as_slice));
    let shown = tshark.read(&path, &GUESS, &all_fields(&cases));
    assert_eq!(shown.len(), cases.len());
    for ((shown, case), frame) in shown.iter().zip(&cases).zip(&frames) {
        let as_group = case.carries == Carries::Group;
        let seen = match flow {
            Some(_) => look_at_frame(frame, as_group),
            None => look_at_packet(frame, as_group),
        };
        // What carries something else has a line that the codec does not know.
        let is_all = seen.is_all && (case.carries != Carries::Rpc);
        check_seen(shown, &Seen { is_all, ..seen }, &case.name);
        check_case(shown, case);
        assert_eq!(shown.get(EXPERT), None, "{}", case.name);
    }
}

#[test]
fn every_kind_of_packet_is_shown_as_the_codec_sees_it() {
    let Some(tshark) = Tshark::find("good") else {
        return;
    };
    check_good(&tshark, Form::Bare, None);
    check_good(&tshark, Form::Flow, Some(0));
    check_good(&tshark, Form::Ethernet, Some(3));
}

#[test]
fn flow_control_messages_are_shown_as_the_codec_sees_them() {
    let Some(tshark) = Tshark::find("flow") else {
        return;
    };
    let address = FlipAddress::new([1, 2, 0xa2, 0xa3, 0xa4, 0xa5, 7, 0]);
    let group = address.link_multicast();
    let flows = [
        Flow::Data { credits: 3 },
        Flow::Request,
        Flow::Credit(6),
        Flow::MulticastRequest { group, address },
        Flow::MulticastRequest { group: 0, address },
        Flow::MulticastAck(address),
        Flow::MulticastNak(address),
        Flow::Absolute(5),
    ];
    let mut frames: Vec<Vec<u8>> = flows.map(Flow::emit).to_vec();
    // Padded as on Ethernet, cut, and with every byte wrong in turn.
    for frame in frames.clone() {
        frames.push([&frame[..], &[0; 46]].concat());
        frames.extend((1..frame.len()).map(|len| frame[..len].to_vec()));
        frames.extend((0..frame.len()).map(|at| wrong_at(&frame, at)));
    }
    let path = tshark.folder().join("flow.pcap");
    for form in [Form::Flow, Form::Ethernet] {
        capture(&path, form, frames.iter().map(Vec::as_slice));
        let shown = tshark.read(&path, &GUESS, &all_fields(&[]));
        assert_eq!(shown.len(), frames.len());
        for (shown, frame) in shown.iter().zip(&frames) {
            check_seen(shown, &look_at_frame(frame, false), &codec::hex(frame));
        }
    }
}

fn wrong_at(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut wrong = bytes.to_vec();
    wrong[at] ^= 0xff;
    wrong
}

/// Packets with one wrong byte, with one wrong bit, and cut short; none of them empty.
fn damaged(case: &Case) -> Vec<Vec<u8>> {
    let packet = &case.packet;
    let wrong = (0..packet.len()).map(|at| wrong_at(packet, at));
    let turned = (0..packet.len()).map(|at| {
        let mut turned = packet.clone();
        turned[at] ^= 1 << (at % 8);
        turned
    });
    let cut = (1..packet.len()).map(|len| packet[..len].to_vec());
    wrong.chain(turned).chain(cut).collect()
}

#[test]
fn damaged_packets_are_refused_as_the_codec_refuses_them() {
    let Some(tshark) = Tshark::find("damaged") else {
        return;
    };
    let cases = cases::all();
    let fields = all_fields(&cases);
    let path = tshark.folder().join("damaged.pcap");
    for (carries, options) in [(Carries::Group, GROUP), (Carries::Rpc, RPC)] {
        let chosen = cases.iter().filter(|case| {
            case.carries == carries
                || (carries == Carries::Group && case.carries == Carries::Nothing)
        });
        let packets: Vec<Vec<u8>> = chosen.flat_map(damaged).collect();
        capture(&path, Form::Bare, packets.iter().map(Vec::as_slice));
        let forced = tshark.read(&path, &options, &fields);
        let guessed = tshark.read(&path, &GUESS, &[]);
        assert_eq!(
            (forced.len(), guessed.len()),
            (packets.len(), packets.len())
        );
        for ((forced, guessed), packet) in forced.iter().zip(&guessed).zip(&packets) {
            let name = codec::hex(packet);
            let seen = look_at_packet(packet, carries == Carries::Group);
            check_no_failure(guessed, &name);
            match carries {
                Carries::Rpc => {
                    check_no_failure(forced, &name);
                    check_fields(forced, &seen, &name);
                }
                _ => check_seen(forced, &seen, &name),
            }
        }
    }
}

#[test]
fn payloads_are_cut_at_the_end_of_a_first_fragment_without_an_error() {
    let Some(tshark) = Tshark::find("cut") else {
        return;
    };
    let cases = cases::all();
    let mut packets = Vec::new();
    for case in cases.iter().filter(|case| case.carries != Carries::Nothing) {
        // As long as the whole message, in ever shorter first fragments.
        for len in 41..case.packet.len() {
            let mut packet = case.packet[..len].to_vec();
            let length = (len as u32 - 40).to_le_bytes();
            packet[28..32].copy_from_slice(&length);
            if packet[2] & packet::FLAG_BIG_ENDIAN != 0 {
                packet[28..32].reverse();
            }
            packets.push(packet);
        }
    }
    let path = tshark.folder().join("cut.pcap");
    capture(&path, Form::Bare, packets.iter().map(Vec::as_slice));
    for options in [&GUESS[..], &GROUP, &RPC] {
        let shown = tshark.read(&path, options, &["amflip.fragment"]);
        assert_eq!(shown.len(), packets.len());
        for (shown, packet) in shown.iter().zip(&packets) {
            let name = codec::hex(packet);
            check_no_failure(shown, &name);
            assert_eq!(shown["amflip.fragment"], "1", "{name}");
            if options.is_empty() {
                assert_eq!(shown.get(EXPERT), None, "{name}");
            }
        }
    }
}

/// A packet for somebody with this group message in it.
fn packet_around(message: &[u8]) -> Vec<u8> {
    let repr = wire::Repr {
        kind: wire::Kind::UniData,
        flags: wire::Flags::default(),
        actual: 3,
        maximum: 3,
        destination: FlipAddress::new([1; 8]),
        source: FlipAddress::new([2; 8]),
        message: 7,
        offset: 0,
        total: message.len() as u32,
    };
    repr.emit(message)
}

/// Bytes that are mostly zeros and ones, so that counts and indices often make sense.
fn random_bytes(rng: &mut Rng, len: u64) -> Vec<u8> {
    let mut byte = || match rng.below(8) {
        0 => rng.below(256) as u8,
        1 => rng.below(4) as u8,
        2 | 3 => 1,
        _ => 0,
    };
    (0..len).map(|_| byte()).collect()
}

#[test]
fn random_bodies_are_shown_as_the_codec_sees_them() {
    let Some(tshark) = Tshark::find("random") else {
        return;
    };
    let mut rng = Rng::new(7);
    let mut packets = Vec::new();
    for round in 0..300 {
        for kind in group::Kind::ALL {
            let mut message = vec![*kind as u8, (round % 2) as u8];
            let len = 18 + rng.below(160);
            message.extend(random_bytes(&mut rng, len));
            packets.push(packet_around(&message));
        }
        for kind in 1..=8 {
            let mut message = vec![7, 0];
            message.extend(random_bytes(&mut rng, 18 + 32));
            message.extend([1, kind]);
            let len = 14 + rng.below(60);
            message.extend(random_bytes(&mut rng, len));
            packets.push(packet_around(&message));
        }
    }
    let path = tshark.folder().join("random.pcap");
    capture(&path, Form::Bare, packets.iter().map(Vec::as_slice));
    let shown = tshark.read(&path, &GROUP, &all_fields(&cases::all()));
    assert_eq!(shown.len(), packets.len());
    let mut refused = 0;
    for (shown, packet) in shown.iter().zip(&packets) {
        let seen = look_at_packet(packet, true);
        refused += usize::from(seen.is_malformed);
        check_seen(shown, &seen, &codec::hex(packet));
    }
    // Both kinds of them must be there for this to say anything.
    let share = refused * 100 / packets.len();
    assert!((10..90).contains(&share), "{share} % are refused");
}

// --- datagrams ---

/// A datagram from port 40000 to port 40001 in a frame of Ethernet.
fn datagram(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let len = payload.len() as u16;
    frame.extend([0x45, 0]);
    frame.extend((28 + len).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    frame.extend([0x9c, 0x40, 0x9c, 0x41]);
    frame.extend((8 + len).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend_from_slice(payload);
    frame
}

fn capture_datagrams(path: &Path, payloads: &[Vec<u8>]) {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    for payload in payloads {
        let frame = datagram(payload);
        file.extend([0; 8]);
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    fs::write(path, file).expect("a capture");
}

#[test]
fn datagrams_are_known_by_what_is_in_them_or_by_choice() {
    let Some(tshark) = Tshark::find("udp") else {
        return;
    };
    let cases = cases::all();
    let mut payloads: Vec<Vec<u8>> = cases.iter().map(|case| case.packet.clone()).collect();
    let good = payloads.len();
    // Probes of the UDP device; a packet with bytes behind it, one with flags that nobody assigned,
    // one of a later version; and something else.
    payloads.push(b"\xf1\x01nonce567".to_vec());
    payloads.push(b"\xf1\x02nonce567".to_vec());
    payloads.push([&payloads[2][..], b"x"].concat());
    payloads.push(wrong_at(&payloads[2], 2));
    payloads.push([&[2], &payloads[2][1..]].concat());
    payloads.push(vec![0x5a; 60]);
    let path = tshark.folder().join("udp.pcap");
    capture_datagrams(&path, &payloads);
    let mut fields = all_fields(&cases);
    fields.extend(["amudp.kind", "amudp.nonce"]);
    let shown = tshark.read(&path, &GUESS, &fields);
    assert_eq!(shown.len(), payloads.len());
    for (shown, case) in shown.iter().zip(&cases) {
        check_case(shown, case);
    }
    for (shown, payload) in shown.iter().zip(&payloads).skip(good) {
        let is_ours = shown.contains_key("amflip.version") || shown.contains_key("amudp.kind");
        assert!(!is_ours, "{payload:?}: {shown:?}");
    }
    let shown = tshark.read(&path, &["-d", "udp.port==40001,amudp"], &fields);
    for (shown, payload) in shown.iter().zip(&payloads).skip(good) {
        if payload[0] == 0xf1 {
            assert!(!shown.contains_key("amflip.version"), "{shown:?}");
            assert_eq!(shown["amudp.kind"], payload[1].to_string());
            assert_eq!(shown["amudp.nonce"], codec::hex(b"nonce567"));
        } else {
            check_seen(shown, &look_at_packet(payload, false), "by choice");
        }
    }
}

#[test]
fn a_multicast_that_is_not_for_all_is_shown_with_its_list() {
    let Some(tshark) = Tshark::find("except") else {
        return;
    };
    let cases = cases::all();
    let list = [
        &[0xf2, 2, 4, 127, 0, 0, 1, 0x10, 0x01][..],
        &[6, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0x10, 0x02],
    ];
    let list = list.concat();
    let mut payloads: Vec<Vec<u8>> = cases
        .iter()
        .map(|case| [&list[..], &case.packet].concat())
        .collect();
    let good = payloads.len();
    // Cut everywhere, and with every byte of the list wrong.
    let whole = payloads[2].clone();
    payloads.extend((1..whole.len()).map(|len| whole[..len].to_vec()));
    payloads.extend((0..list.len()).map(|at| wrong_at(&whole, at)));
    let path = tshark.folder().join("except.pcap");
    capture_datagrams(&path, &payloads);
    let mut fields = all_fields(&cases);
    let own = ["amudp.count", "amudp.ipv4", "amudp.ipv6", "amudp.port"];
    fields.extend(own);
    let shown = tshark.read(&path, &GUESS, &fields);
    assert_eq!(shown.len(), payloads.len());
    for (shown, case) in shown.iter().zip(&cases).take(good) {
        check_case(shown, case);
        let values = own.map(|name| shown[name].as_str());
        assert_eq!(values, ["2", "127.0.0.1", "fe80::1", "4097,4098"]);
        let expected = "(except 127.0.0.1:4097 [fe80::1]:4098)";
        assert!(shown[INFO].contains(expected), "{shown:?}");
    }
    for options in [&GUESS[..], &["-d", "udp.port==40001,amudp"]] {
        for shown in tshark.read(&path, options, &[]).iter().skip(good) {
            check_no_failure(shown, "a damaged list");
        }
    }
}

#[test]
fn the_filters_of_the_page_are_understood_and_each_finds_only_its_packets() {
    let Some(tshark) = Tshark::find("filters") else {
        return;
    };
    let cases = cases::all();
    let path = tshark.folder().join("filters.pcap");
    capture(&path, Form::Bare, cases.iter().map(|case| &case.packet[..]));
    let page = fs::read_to_string(root().join("docs/wireshark/README.md")).expect("the page");
    let (_, table) = page
        .split_once("| filter | shows |")
        .expect("the table of filters");
    let (table, _) = table.split_once("\n\n").expect("the table ends");
    let filters: Vec<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(filter, _)| filter.replace("\\|", "|"))
        .collect();
    assert!(filters.len() >= 5, "{filters:?}");
    for filter in &filters {
        // One that tshark does not understand fails there.
        let shown = tshark.read(&path, &["-Y", filter], &[]);
        assert!(shown.len() < cases.len(), "{filter}");
    }
}

// --- a run ---

/// The folder of the binaries that were built with these tests.
fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let folder = own.ancestors().nth(2).expect("tests lie in deps");
    let folder = folder.to_path_buf();
    assert!(
        folder.join("orcac").exists() && folder.join("gax").exists(),
        "orcac and gax are not in {}: run ./check, which builds them first",
        folder.display()
    );
    folder
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    assert_eq!(errors, "", "{command:?}");
}

/// The packets of a capture of bare packets, read without any of our code.
fn packets_of(path: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(path).expect("a capture");
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((number(0), number(20)), (0xa1b2_3c4d, 147));
    let (mut packets, mut at) = (Vec::new(), 24);
    while at < file.len() {
        let end = at + 16 + number(at + 8) as usize;
        packets.push(file[at + 16..end].to_vec());
        at = end;
    }
    packets
}

/// Builds a program; gives its executable, in a folder of the test's own.
fn build(folder: &Path, source: &str) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder of the test's own");
    let executable = folder.join("program");
    run(Command::new(binaries().join("orcac"))
        .arg("build")
        .arg(root().join(source))
        .arg("-o")
        .arg(&executable));
    executable
}

#[test]
fn what_processors_of_a_program_say_is_shown_as_the_codec_sees_it() {
    let folder = std::env::temp_dir().join(format!("dissector-run-{}", std::process::id()));
    let executable = build(&folder, "programs/pingpong/pingpong.orca");
    let captures = folder.join("made/by gax");
    run(Command::new(binaries().join("gax"))
        .args(["-n", "3", "--timeout", "120", "--capture"])
        .arg(&captures)
        .arg(&executable)
        .arg("50"));
    let fields = all_fields(&cases::all());
    let tshark = Tshark::find("run");
    for number in 0..3 {
        let path = captures.join(format!("processor-{number}.pcap"));
        let packets = packets_of(&path);
        let numbered = packets.iter().filter(|packet| {
            let line = look_at_packet(packet, true).info;
            line.contains(" | BCAST #")
        });
        // A round is two writes, and every processor sees all of them.
        let count = numbered.count();
        assert!(count >= 100, "processor {number}: {count} broadcasts");
        let Some(tshark) = &tshark else { continue };
        let shown = tshark.read(&path, &GUESS, &fields);
        assert_eq!(shown.len(), packets.len());
        for (shown, packet) in shown.iter().zip(&packets) {
            let seen = look_at_packet(packet, true);
            assert!(!seen.is_malformed, "{}", seen.info);
            check_seen(shown, &seen, &format!("processor {number}"));
        }
    }
    fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn a_killed_run_leaves_captures_that_end_with_a_whole_record() {
    let folder = std::env::temp_dir().join(format!("dissector-kill-{}", std::process::id()));
    let executable = build(&folder, "tests/launch/spin.orca");
    let mut child = Command::new(binaries().join("gax"))
        .args(["-n", "3", "--timeout", "120", "--capture"])
        .arg(&folder)
        .arg(&executable)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gax starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "spinning\n");
    // Processors die with it, and no one has time to say anything.
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    for number in 0..3 {
        let packets = packets_of(&folder.join(format!("processor-{number}.pcap")));
        let joined = packets.iter().any(|packet| {
            let line = look_at_packet(packet, true).info;
            line.contains(" | JOIN #")
        });
        assert!(joined, "processor {number}");
    }
    fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn a_folder_that_cannot_be_written_stops_the_run_before_it_begins() {
    let executable = binaries().join("orcac");
    let output = Command::new(binaries().join("gax"))
        .args(["-n", "2", "--capture", "/dev/null/captures"])
        .arg(executable)
        .output()
        .expect("gax starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{errors}");
    let expected = "gax: cannot make the folder `/dev/null/captures` for captures: ";
    assert!(
        errors.starts_with(expected) && errors.lines().count() == 1,
        "{errors}"
    );
}
