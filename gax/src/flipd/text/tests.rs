//! The text of a report.

use std::collections::BTreeMap;

use stack::flip_net::wire::Kind;

use super::super::report::{Tunnel, Way};
use super::*;

fn traffic(counts: [u64; 7], bytes: u64) -> Traffic {
    let types = Kind::ALL.iter().zip(counts);
    Traffic {
        packets: counts.iter().sum(),
        bytes,
        types: types
            .map(|(kind, count)| (kind.name().to_owned(), count))
            .collect(),
    }
}

fn report() -> Report {
    let lab = NetworkReport {
        name: "lab".to_owned(),
        kind: "udp".to_owned(),
        weight: 4,
        mtu: 61_440,
        on: true,
        trusted: true,
        keyed: false,
        address: Some("127.0.0.1:33094".to_owned()),
        tunnel: None,
        sent: traffic([1, 0, 12_345, 0, 0, 0, 0], 7_654_321),
        received: traffic([0, 1, 2, 3, 4, 5, 6], 90),
        lost: 0,
        dropped: BTreeMap::new(),
    };
    let tunnel = |peer: Option<&str>, ended: Option<&str>| {
        Some(Tunnel {
            peer: peer.map(str::to_owned),
            connections: 1,
            ended: ended.map(str::to_owned),
        })
    };
    let far = NetworkReport {
        name: "far-away".to_owned(),
        kind: "tunnel-tcp".to_owned(),
        weight: 10,
        trusted: false,
        address: None,
        tunnel: tunnel(None, Some("Connection refused (os error 111)")),
        sent: traffic([0; 7], 0),
        received: traffic([0; 7], 0),
        lost: 17,
        dropped: [("bad tag".to_owned(), 12)].into(),
        ..lab.clone()
    };
    let near = NetworkReport {
        name: "near".to_owned(),
        address: Some("0.0.0.0:33093".to_owned()),
        tunnel: tunnel(Some("192.0.2.1:50000"), Some("closed by the peer")),
        dropped: BTreeMap::new(),
        ..far.clone()
    };
    let way = Way {
        address: "d70d52d1b9d01900".to_owned(),
        network: "lab".to_owned(),
        station: "127.0.0.1:4000".to_owned(),
        hops: 4,
        count: 1,
        trusted: 1,
        idle_s: 75,
    };
    Report {
        version: "0.1.0".to_owned(),
        up_s: 3_700,
        networks: vec![lab, far, near],
        dropped: [("too many hops".to_owned(), 3)].into(),
        routes: vec![
            way.clone(),
            Way {
                network: "far-away".to_owned(),
                station: "peer".to_owned(),
                hops: 14,
                trusted: 0,
                ..way
            },
        ],
        routes_left_out: 5,
    }
}

#[test]
fn columns_are_as_wide_as_they_must_be() {
    let expected = "\
flipd 0.1.0, up 1 h 1 min

NETWORK   KIND        WEIGHT    MTU  STATE  TRUSTED  KEYED  LOST  WHERE
lab       udp              4  61440  on     yes      no        0  127.0.0.1:33094
far-away  tunnel-tcp      10  61440  on     no       no       17  not connected (Connection refused (os error 111))
near      tunnel-tcp      10  61440  on     no       no       17  0.0.0.0:33093, connected to 192.0.2.1:50000

PACKETS             LOCATE  HEREIS  UNIDATA  MULTIDATA  NOTHERE  UNTRUSTED  AGAIN    ALL    BYTES
lab       sent           1       0    12345          0        0          0      0  12346  7654321
          received       0       1        2          3        4          5      6     21       90
far-away  sent           0       0        0          0        0          0      0      0        0
          received       0       0        0          0        0          0      0      0        0
near      sent           0       0        0          0        0          0      0      0        0
          received       0       0        0          0        0          0      0      0        0

DROPPED   REASON         COUNT
far-away  bad tag           12
flipd     too many hops      3

ADDRESS           NETWORK   STATION         HOPS  COUNT  TRUSTED        IDLE
d70d52d1b9d01900  lab       127.0.0.1:4000     4      1        1  1 min 15 s
d70d52d1b9d01900  far-away  peer              14      1        0  1 min 15 s
and 5 more
";
    assert_eq!(of(&report()), expected);
}

#[test]
fn a_report_survives_its_way_through_json() {
    let document = serde_json::to_string(&report()).expect("JSON");
    let back: Report = serde_json::from_str(&document).expect("a report");
    assert_eq!(back, report());
    // A field that only a later flipd knows is no trouble.
    let later = document.replacen('{', "{\"later\":[1],", 1);
    assert_eq!(
        serde_json::from_str::<Report>(&later).expect("a report"),
        back
    );
}

#[test]
fn nothing_known_is_said_so() {
    let mut report = Report {
        routes: Vec::new(),
        routes_left_out: 0,
        dropped: BTreeMap::new(),
        ..report()
    };
    for network in &mut report.networks {
        network.dropped.clear();
    }
    let text = of(&report);
    assert!(text.ends_with("\n\nno routes\n"), "{text}");
    assert!(!text.contains("DROPPED"));
}

#[test]
fn the_manual_names_every_field() {
    let manual = include_str!("../../../../docs/man/flipd.1");
    let is_in_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = manual.split(|c| !is_in_word(c)).collect();
    // Who writes a field that is not known is told those that are.
    let mut fields = Vec::new();
    for text in ["none = 1", "[[network]]\nnone = 1"] {
        let mistake = crate::flipd::config::parse(text).expect_err("no such field");
        let (_, known) = mistake.text.split_once("expected").expect("a list");
        fields.extend(known.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    assert!(fields.iter().any(|field| field == "insecure"), "{fields:?}");
    keys(&serde_json::to_value(report()).expect("JSON"), &mut fields);
    assert!(fields.iter().any(|field| field == "idle_s"), "{fields:?}");
    for field in fields {
        assert!(
            words.contains(&field.as_str()),
            "`{field}` is not in the manual"
        );
    }
}

fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                // What comes below it are reasons.
                if name != "dropped" {
                    keys(value, found);
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}
