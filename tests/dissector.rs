//! The dissector for Wireshark, `docs/wireshark/orca.lua`: its tables are those of the codec, and
//! `tshark` shows with it what the codec sees, in every field, whether packets are good or not.
//!
//! Without `tshark`, or with one that has no Lua, only the tables are compared.

#[path = "dissector/cases.rs"]
mod cases;
#[path = "dissector/codec.rs"]
mod codec;
#[path = "dissector/damage.rs"]
mod damage;
#[path = "dissector/datagrams.rs"]
mod datagrams;
#[path = "dissector/runs.rs"]
mod runs;
#[path = "dissector/tables.rs"]
mod tables;
#[path = "dissector/tshark.rs"]
mod tshark;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use cases::{Carries, Case};
use codec::{Seen, look_at_frame, look_at_packet};
use flip_net::address::{FlipAddress, LinkAddress};
use flip_net::link::capture::{Capture, Form};
use flip_net::seal::{KEY_LEN, Key, SEAL_HEADER_LEN, SEAL_TAG_LEN, SealConfig, Sealer, SenderId};
use flip_net::wire::Flow;
use tshark::{EXPERT, Fields, INFO, Tshark, check_no_failure};

const GROUP: [&str; 2] = ["-o", "amflip.payload:group"];
const RPC: [&str; 2] = ["-o", "amflip.payload:rpc"];
const GUESS: [&str; 0] = [];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member")
}

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

#[test]
fn sealed_frames_show_what_everybody_can_read() {
    let Some(tshark) = Tshark::find("seal") else {
        return;
    };
    let id: [u8; 16] = std::array::from_fn(|at| at as u8 + 1);
    let key = Key::new([7; KEY_LEN], 0x0102);
    let sealer = Sealer::new(key, SenderId::new(id), SealConfig::default());
    let packets = cases::all();
    let mut frames = vec![sealer.announce().expect("not used up")];
    frames.extend(packets.iter().filter_map(|case| sealer.seal(&case.packet)));
    let path = tshark.folder().join("seal.pcap");
    let names = ["kind", "epoch", "sender", "counter", "sealed", "tag"];
    let names = names.map(|name| format!("amseal.{name}"));
    for form in [Form::Bare, Form::Flow, Form::Ethernet] {
        capture(&path, form, frames.iter().map(Vec::as_slice));
        let shown = tshark.read(&path, &GUESS, &names.each_ref().map(String::as_str));
        assert_eq!(shown.len(), packets.len() + 1);
        for (number, (shown, frame)) in shown.iter().zip(&frames).enumerate() {
            assert_eq!(shown.get(EXPERT), None, "{shown:?}");
            let end = frame.len() - SEAL_TAG_LEN;
            let expected = [
                frame[1].to_string(),
                "258".to_owned(),
                codec::hex(&id),
                number.to_string(),
                codec::hex(&frame[SEAL_HEADER_LEN..end]),
                codec::hex(&frame[end..]),
            ];
            let values = names.each_ref().map(|name| shown[name].clone());
            assert_eq!(values, expected);
        }
    }
}

fn wrong_at(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut wrong = bytes.to_vec();
    wrong[at] ^= 0xff;
    wrong
}

#[test]
fn the_filters_of_the_page_are_understood() {
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
