//! Texts and what they mean, or why they mean nothing.

use super::*;

fn networks(text: &str) -> Vec<Network> {
    match parse(text) {
        Ok(config) => config.networks,
        Err(mistake) => panic!("line {mistake}\n{text}"),
    }
}

fn one(fields: &str) -> Network {
    let mut networks = networks(&format!("[[network]]\nname = \"n\"\n{fields}"));
    networks.pop().expect("one network")
}

#[track_caller]
fn check_mistake(text: &str, line: usize, expected: &str) {
    let mistake = parse(text).expect_err(text);
    assert!(
        mistake.text.contains(expected),
        "{:?} does not say {expected:?}",
        mistake.text
    );
    assert_eq!(mistake.line, line, "{mistake}\n{text}");
}

/// A mistake in the entry of a network that begins at line 1; the fields begin at line 3.
#[track_caller]
fn check_bad_entry(fields: &str, line: usize, expected: &str) {
    check_mistake(
        &format!("[[network]]\nname = \"n\"\n{fields}\n"),
        line,
        expected,
    );
}

const UDP: &str = "kind = \"udp\"\nport = 33094\npeers = [\"127.0.0.1:5\"]\n";
const WIDE: &str =
    "kind = \"udp\"\nport = 33094\ninterface = \"10.0.0.1\"\npeers = [\"10.0.0.2:33094\"]\n";

#[test]
fn every_field_has_its_meaning() {
    let text = r#"
        status = "/run/flipd.sock"
        [[network]]
        name = "lab"
        kind = "ethernet"
        interface = "eth0"
        weight = 5
        mtu = 9000
        key = "/etc/orca/lab.key"
        [[network]]
        name = "hall.2"
        kind = "udp"
        interface = "10.0.0.1"
        port = 33094
        peers = ["10.0.0.2:33094", "gate.example:33094", "[::1]:5"]
        multicast = "239.192.1.1:33095"
        trusted = false
        [[network]]
        name = "far"
        kind = "tunnel-udp"
        port = 33094
        peers = ["192.0.2.7:33094"]
        insecure = true
        trusted = true
    "#;
    let config = parse(text).expect("fine");
    assert_eq!(config.status, Some(PathBuf::from("/run/flipd.sock")));
    let peer = |text: &str| Peer(text.to_owned());
    let expected = [
        Network {
            name: "lab".to_owned(),
            line: 3,
            carrier: Carrier::Ethernet {
                interface: "eth0".to_owned(),
            },
            weight: 5,
            mtu: Some(9_000),
            key: Some(PathBuf::from("/etc/orca/lab.key")),
            trusted: true,
        },
        Network {
            name: "hall.2".to_owned(),
            line: 10,
            carrier: Carrier::Udp {
                interface: IpAddr::from([10, 0, 0, 1]),
                port: 33_094,
                peers: ["10.0.0.2:33094", "gate.example:33094", "[::1]:5"]
                    .map(peer)
                    .to_vec(),
                multicast: Some(SocketAddr::from(([239, 192, 1, 1], 33_095))),
            },
            weight: 4,
            mtu: Some(1_472),
            key: None,
            trusted: false,
        },
        Network {
            name: "far".to_owned(),
            line: 18,
            carrier: Carrier::TunnelUdp {
                interface: IpAddr::from([0, 0, 0, 0]),
                port: 33_094,
                peer: peer("192.0.2.7:33094"),
            },
            weight: 10,
            mtu: Some(1_472),
            key: None,
            trusted: true,
        },
    ];
    assert_eq!(config.networks, expected);
}

#[test]
fn what_is_left_out_has_the_value_for_its_kind() {
    let ethernet = one("kind = \"ethernet\"\ninterface = \"eth0\"");
    assert_eq!(
        (ethernet.weight, ethernet.mtu, ethernet.trusted),
        (3, None, false)
    );
    let udp = one(UDP);
    assert_eq!(
        (udp.weight, udp.mtu, udp.trusted),
        (4, Some(60 << 10), true)
    );
    let wide = one(WIDE);
    assert_eq!(
        (wide.weight, wide.mtu, wide.trusted),
        (4, Some(1_472), false)
    );
    let listen = one("kind = \"tunnel-tcp\"\nlisten = \"0.0.0.0:33093\"");
    assert_eq!(
        (listen.weight, listen.mtu, listen.trusted),
        (10, Some(60 << 10), false)
    );
    let address = SocketAddr::from(([0, 0, 0, 0], 33_093));
    assert_eq!(listen.carrier, Carrier::TunnelListen(address));
}

#[test]
fn only_numbers_of_this_host_are_this_host() {
    for (fields, loopback) in [
        ("kind = \"tunnel-tcp\"\nlisten = \"127.0.0.1:33093\"", true),
        ("kind = \"tunnel-tcp\"\nlisten = \"[::1]:33093\"", true),
        ("kind = \"tunnel-tcp\"\nlisten = \"[::]:33093\"", false),
        ("kind = \"tunnel-tcp\"\nconnect = \"127.8.9.1:33093\"", true),
        (
            "kind = \"tunnel-tcp\"\nconnect = \"localhost:33093\"",
            false,
        ),
        (
            "kind = \"tunnel-udp\"\nport = 5\npeers = [\"127.0.0.1:6\"]",
            true,
        ),
        (
            "kind = \"tunnel-udp\"\ninterface = \"0.0.0.0\"\nport = 5\npeers = [\"127.0.0.1:6\"]",
            false,
        ),
    ] {
        assert_eq!(one(fields).trusted, loopback, "{fields}");
    }
}

#[test]
fn trust_without_a_reason_is_refused_where_it_is_asked_for() {
    let trusted = format!("{WIDE}trusted = true");
    check_bad_entry(&trusted, 7, "cannot be trusted without a key");
    check_bad_entry(&trusted, 7, "`insecure = true`");
    assert!(one(&format!("{trusted}\ninsecure = true")).trusted);
    assert!(one(&format!("{WIDE}key = \"k\"")).trusted);
    assert!(!one(&format!("{WIDE}insecure = true")).trusted);
    assert!(!one(&format!("{UDP}trusted = false")).trusted);
}

#[test]
fn what_is_no_toml_or_unknown_is_told_with_its_line() {
    check_mistake("", 1, "there is no [[network]]");
    check_mistake("status = \"\"\n", 1, "`status`");
    check_mistake("\n\nstatus = 5\n", 3, "invalid type");
    check_mistake("\nstats = \"x\"\n", 2, "unknown field `stats`");
    check_mistake("[[network]\n", 1, "");
    check_mistake("[[network]]\n\nkind = \"udp\"\n", 1, "missing field `name`");
    check_mistake("[[network]]\nname = \"n\"\n", 1, "missing field `kind`");
    check_bad_entry("kind = \"token-ring\"", 3, "unknown variant `token-ring`");
    check_bad_entry(&format!("{UDP}wieght = 4"), 6, "unknown field `wieght`");
    check_bad_entry(&format!("{UDP}port = 5"), 6, "duplicate key");
    check_bad_entry(&format!("{UDP}trusted = \"yes\""), 6, "invalid type");
}

#[test]
fn numbers_have_bounds() {
    for (field, expected) in [
        ("weight = 0", "`weight` is from 1 to 25, not 0"),
        ("weight = 26", "not 26"),
        ("weight = -9223372036854775808", "`weight` is from 1 to 25"),
        ("mtu = 575", "`mtu` is from 576 to 65507"),
        ("mtu = 65508", "not 65508"),
    ] {
        check_bad_entry(&format!("{UDP}{field}"), 6, expected);
    }
    for port in [0, 65_536, -1] {
        let fields = format!("kind = \"udp\"\npeers = [\"127.0.0.1:5\"]\nport = {port}");
        check_bad_entry(&fields, 5, "`port` is from 1 to 65535");
    }
}

#[test]
fn names_are_plain_and_unique() {
    for name in ["", "a b", "ä", "x\\ny", &"n".repeat(33)] {
        let text = format!("[[network]]\nname = \"{name}\"\n{UDP}");
        check_mistake(&text, 2, "a name has 1 to 32");
    }
    let entry = format!("[[network]]\nname = \"n\"\n{UDP}");
    check_mistake(
        &format!("{entry}{entry}"),
        7,
        "there is a network `n` already",
    );
}

#[test]
fn there_are_at_most_255_networks() {
    let entries = |count| {
        let entry = |n| format!("[[network]]\nname = \"n{n}\"\n{UDP}");
        (0..count).map(entry).collect::<String>()
    };
    assert_eq!(networks(&entries(255)).len(), 255);
    check_mistake(&entries(256), 255 * 5 + 1, "at most 255 networks");
}

#[test]
fn fields_belong_to_kinds() {
    let tunnel = "kind = \"tunnel-tcp\"\n";
    check_bad_entry(
        &format!("{UDP}listen = \"127.0.0.1:5\""),
        6,
        "kind udp has no `listen`",
    );
    check_bad_entry(
        &format!("{tunnel}port = 5"),
        4,
        "kind tunnel-tcp has no `port`",
    );
    check_bad_entry(tunnel, 3, "either `listen` or `connect`");
    let both = format!("{tunnel}listen = \"127.0.0.1:5\"\nconnect = \"127.0.0.1:6\"");
    check_bad_entry(&both, 3, "either `listen` or `connect`");
    check_bad_entry("kind = \"ethernet\"", 3, "kind ethernet needs `interface`");
    check_bad_entry("kind = \"udp\"\nport = 5", 3, "`peers`, or `multicast`");
    check_bad_entry(
        "kind = \"udp\"\npeers = [\"127.0.0.1:5\"]",
        3,
        "kind udp needs `port`",
    );
    let two = "kind = \"tunnel-udp\"\nport = 5\npeers = [\"h:1\", \"h:2\"]";
    check_bad_entry(two, 5, "a tunnel has one peer");
    check_bad_entry(
        "kind = \"tunnel-udp\"\nport = 5",
        3,
        "kind tunnel-udp needs `peers`",
    );
}

#[test]
fn addresses_are_addresses() {
    for peer in [
        "",
        "host",
        "host:0",
        ":5",
        "host:99999",
        "ho st:5",
        "[::1]:0",
        "a/b:1",
    ] {
        let fields = format!("kind = \"udp\"\nport = 5\npeers = [\"127.0.0.1:5\",\n\"{peer}\"]");
        check_bad_entry(&fields, 6, "expected a host and a port");
    }
    let interface = format!("{UDP}interface = \"lo\"");
    check_bad_entry(&interface, 6, "`interface` is the address");
    check_bad_entry(
        &format!("{UDP}multicast = \"10.0.0.1:5\""),
        6,
        "expected a multicast address",
    );
    for listen in ["33093", "host:33093", "0.0.0.0:0"] {
        let fields = format!("kind = \"tunnel-tcp\"\nlisten = \"{listen}\"");
        check_bad_entry(&fields, 4, "expected an address and a port");
    }
    for interface in ["", "a/b", "a-name-of-16-let", "e 0"] {
        let fields = format!("kind = \"ethernet\"\ninterface = \"{interface}\"");
        check_bad_entry(&fields, 4, "there can be no interface");
    }
    let unreachable = "kind = \"udp\"\nport = 5\npeers = [\"10.0.0.2:5\"]";
    check_bad_entry(
        unreachable,
        5,
        "10.0.0.2:5 cannot be reached from the loopback interface",
    );
}

#[test]
fn no_text_makes_it_panic() {
    // Every good text cut off anywhere, and with any byte replaced.
    let text = format!("status = \"s\"\n[[network]]\nname = \"n\"\n{WIDE}weight = 3\nmtu = 1500\n");
    for at in 0..text.len() {
        let _ = parse(&text[..at]);
        for other in ["\"", "]", "\n", "0", "=", "\u{0}", "é"] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, other);
            let _ = parse(&changed);
        }
    }
}
