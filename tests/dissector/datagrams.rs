//! Packets in datagrams: found by what is in them, or because the port was said to carry them.

use std::fs;
use std::path::Path;

use super::cases;
use super::codec::{self, look_at_packet};
use super::tshark::{INFO, Tshark, check_no_failure};
use super::{GUESS, all_fields, check_case, check_seen, wrong_at};

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
