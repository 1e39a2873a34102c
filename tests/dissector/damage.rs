//! Packets that are damaged, cut or made of random bytes: refused as the codec refuses them, and never an
//! error of the script.

use flip_net::address::FlipAddress;
use flip_net::link::capture::Form;
use flip_net::rng::Rng;
use flip_net::wire::{self, packet};

use super::cases::{self, Carries, Case};
use super::codec::{self, look_at_packet};
use super::tshark::{EXPERT, Tshark, check_no_failure};
use super::{GROUP, GUESS, RPC, all_fields, capture, check_fields, check_seen, wrong_at};

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
