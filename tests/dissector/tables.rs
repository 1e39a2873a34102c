//! The tables and sizes at the head of the script are those of the codec, in both directions.

use std::collections::BTreeMap;
use std::fs;

use flip_net::seal;
use flip_net::wire::{self, Flow, WireError, packet};

use super::root;

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
        ("SEAL_MAGIC", usize::from(seal::SEAL_MAGIC)),
        ("SEAL_HEADER_LEN", seal::SEAL_HEADER_LEN),
        ("SEAL_TAG_LEN", seal::SEAL_TAG_LEN),
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
