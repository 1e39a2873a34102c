//! Every bit of every header of packets of every kind, turned over, in front of every box.

use std::collections::BTreeMap;

use flip_net::address::{FlipAddress, LinkAddress, NetworkId};
use flip_net::time::Duration;
use flip_net::wire::{Flow, HEADER_LEN, Kind, Packet, Repr};
use flip_net::{Machine, SendOptions};

use super::lab::{A, B, GROUP, HOMES, Heard, LONG, Lab, S};

/// The header of flow control, that of FLIP, and the counters of a HEREIS or the first part of AGAIN.
const BITS: usize = (2 + HEADER_LEN + 8) * 8;

/// The kind of packet or flow-control frame.
fn kind_of(frame: &Heard) -> Option<String> {
    let has_flow = (frame.to, frame.network) != (B, NetworkId(0)) && frame.network == NetworkId(0);
    let packet = match has_flow.then(|| Flow::parse(&frame.bytes)) {
        None => &frame.bytes[..],
        Some(Ok((Flow::Data { .. }, packet))) => packet,
        Some(Ok((flow, _))) => return Some(Flow::name_of(usize::from(flow.number())).to_string()),
        Some(Err(_)) => return None,
    };
    let packet = Packet::new_checked(packet).ok()?;
    Some(Repr::parse(&packet).ok()?.kind.name().to_string())
}

/// A conversation in which everything happens that boxes say to each other.
pub(crate) fn conversation() -> (Lab, Vec<Heard>) {
    let mut lab = Lab::new();
    lab.heard = Some(Vec::new());
    lab.gets_through();
    let [a, _, b] = HOMES.map(FlipAddress::one_way);
    for from in [A, B] {
        let endpoint = lab.nodes[from].endpoint;
        let options = SendOptions::default();
        let payload = lab.payload(3_000);
        let (now, flip) = (lab.now, &mut lab.nodes[from].flip);
        let group = GROUP.one_way();
        flip.multicast(now, endpoint, group, payload, 2, options)
            .expect("room");
        flip.broadcast(now, endpoint, vec![from as u8; 50], 20)
            .expect("short");
        lab.run_for(Duration::from_millis(1_500));
    }
    // Lost fragments are asked for again.
    lab.loses = 9;
    for (from, to) in [(A, b), (B, a)] {
        let payload = lab.payload(LONG);
        lab.send(from, to, &payload, SendOptions::default());
        lab.run_for(Duration::from_millis(1_500));
    }
    lab.loses = 0;
    // Nobody is at home any more, and a way that may not be used.
    let endpoint = lab.nodes[B].endpoint;
    lab.nodes[B].flip.unregister(endpoint);
    lab.send(A, b, b"are you there", SendOptions::default());
    lab.run_for(Duration::from_millis(1_500));
    let interface = lab.nodes[B].interface;
    lab.nodes[B].endpoint = lab.nodes[B].flip.register(interface, HOMES[B]);
    lab.gets_through();
    let heard = lab.heard.take().expect("noted");
    (lab, heard)
}

/// One frame of each kind for each network of each box, and those that no box has a reason to send
/// here.
pub(crate) fn samples(heard: &[Heard]) -> BTreeMap<(String, usize, NetworkId), Heard> {
    let mut samples = BTreeMap::new();
    for frame in heard {
        if let Some(kind) = kind_of(frame) {
            samples
                .entry((kind, frame.to, frame.network))
                .or_insert_with(|| frame.clone());
        }
    }
    let fragments: Vec<_> = samples
        .iter()
        .filter(|((kind, _, _), _)| kind == Kind::UniData.name())
        .map(|(key, frame)| (key.clone(), frame.clone()))
        .collect();
    for ((_, to, network), frame) in fragments {
        for kind in [Kind::NotHere, Kind::Untrusted, Kind::Again, Kind::MultiData] {
            let mut frame = frame.clone();
            let header = frame.bytes.len() - payload_len(&frame.bytes) - HEADER_LEN;
            frame.bytes[header + 1] = kind.number();
            let key = (kind.name().to_string(), to, network);
            samples.entry(key).or_insert(frame);
        }
        let address = GROUP.one_way();
        let group = address.link_multicast();
        let flows = [
            Flow::Request,
            Flow::Credit(3),
            Flow::MulticastRequest { group, address },
            Flow::MulticastAck(address),
            Flow::MulticastNak(address),
            Flow::Absolute(3),
        ];
        for flow in flows
            .into_iter()
            .filter(|_| network == NetworkId(0) && to != B)
        {
            let key = (
                Flow::name_of(usize::from(flow.number())).to_string(),
                to,
                network,
            );
            let bytes = flow.emit();
            samples.entry(key).or_insert(Heard {
                bytes,
                ..frame.clone()
            });
        }
    }
    samples
}

fn payload_len(bytes: &[u8]) -> usize {
    let packet = Packet::new_checked(bytes).or_else(|_| Packet::new_checked(&bytes[2..]));
    packet.expect("a packet").payload().len()
}

#[test]
fn no_single_bit_of_a_header_stops_a_conversation() {
    let (mut lab, heard) = conversation();
    let samples = samples(&heard);
    let of = |to, network: u8| {
        let kinds = samples
            .keys()
            .filter(|key| (key.1, key.2) == (to, NetworkId(network)));
        kinds.count()
    };
    assert_eq!(
        [of(A, 0), of(S, 0), of(S, 1), of(B, 0)],
        [13, 13, 7, 7],
        "{:?}",
        samples.keys()
    );
    let mut injected = 0;
    for ((kind, to, network), frame) in &samples {
        for bit in 0..BITS.min(frame.bytes.len() * 8) {
            let mut bytes = frame.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // As the neighbour that it came from, and as somebody new.
            for from in [frame.from, LinkAddress::Station(77)] {
                lab.inject(*to, *network, from, &bytes);
                injected += 1;
            }
            lab.run_for(Duration::from_micros(200));
            if bit % 16 == 0 {
                lab.check_bounds();
            }
        }
        lab.gets_through();
        lab.check_bounds();
        assert!(
            lab.nodes
                .iter()
                .all(|node| node.flip.poll_timeout().is_some()),
            "{kind}"
        );
    }
    assert!(injected > 20_000, "{injected}");
}
