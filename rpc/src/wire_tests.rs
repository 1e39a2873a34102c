//! Golden packets in both byte orders, the round trip, and the pretty printer on anything.

use flip_net::rng::Rng;

use super::*;

#[rustfmt::skip]
const LITTLE: [u8; RPC_HEADER_SIZE] = [
    1, 2, 3, 4, 5, 6, 7, 8,             // kernel id
    0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, // port
    3, 0x02,                            // REQUEST, RETRANS
    0x78, 0x56, 0x34, 0x12,             // transaction
    0x0a, 0x00, 0x02, 0x01,             // round trip, client
];
#[rustfmt::skip]
const BIG: [u8; RPC_HEADER_SIZE] = [
    1, 2, 3, 4, 5, 6, 7, 8,
    0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6,
    3, 0x03,
    0x12, 0x34, 0x56, 0x78,
    0x00, 0x0a, 0x01, 0x02,
];

fn golden() -> Repr {
    Repr {
        kind: Kind::Request,
        flags: Flags::RETRANS,
        kid: KernelId::new([1, 2, 3, 4, 5, 6, 7, 8]),
        port: Port::new([0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6]),
        tid: Tid::new(0x1234_5678),
        dest: 10,
        from: 0x0102,
    }
}

fn with_header(bytes: [u8; RPC_HEADER_SIZE], order: Order) -> Vec<u8> {
    let header = Header {
        command: 0x1234,
        offset: -2,
        size: 3,
        extra: 4,
        ..Header::to(golden().port)
    };
    [&bytes[..], &header.emit(order), b"data"].concat()
}

/// Scenario 74: whatever order the client writes, the integers come out and the data stay.
#[test]
fn the_golden_request_is_read_and_written_in_both_orders() {
    for (bytes, order) in [(LITTLE, Order::Little), (BIG, Order::Big)] {
        assert_eq!(golden().emit(order), bytes);
        let message = with_header(bytes, order);
        let packet = Packet::new_checked(&message).expect("a whole request");
        assert_eq!(Repr::parse(&packet), golden());
        let header = packet.header().expect("a request has one");
        assert_eq!((header.command, header.offset), (0x1234, -2));
        assert_eq!((header.size, header.extra), (3, 4));
        assert_eq!(&message[DATA_OFFSET..], b"data");
    }
}

#[test]
fn every_kind_has_its_golden_bytes() {
    let codes: Vec<u8> = Kind::ALL.iter().map(|kind| *kind as u8).collect();
    assert_eq!(codes, (1..=11).collect::<Vec<_>>());
    for &kind in Kind::ALL {
        for (order, flags, tid) in [
            (Order::Little, 0x1c, [1, 0, 0, 0]),
            (Order::Big, 0x1d, [0, 0, 0, 1]),
        ] {
            let repr = Repr {
                flags: Flags {
                    retrans: false,
                    request: true,
                    reply: true,
                    signal: true,
                },
                ..Repr::new(kind, Tid::new(1), 0, 0)
            };
            let mut golden = vec![0; RPC_HEADER_SIZE];
            golden[14] = kind as u8;
            golden[15] = flags;
            golden[16..20].copy_from_slice(&tid);
            assert_eq!(repr.emit(order)[..], golden, "{kind}");
        }
    }
}

#[test]
fn what_is_read_is_what_was_written() {
    let mut rng = Rng::new(7);
    for _ in 0..2_000 {
        let mut bytes = [0; RPC_HEADER_SIZE + 40];
        rng.fill(&mut bytes);
        bytes[14] = 1 + rng.below(11) as u8;
        bytes[15] &= 0x1f;
        let packet = Packet::new_checked(&bytes).expect("long enough for every kind");
        let repr = Repr::parse(&packet);
        assert_eq!(repr.emit(packet.order())[..], bytes[..RPC_HEADER_SIZE]);
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let short = |found, expected| Some(WireError::Short { found, expected });
    let error = |bytes: &[u8]| Packet::new_checked(bytes).err();
    assert_eq!(error(&LITTLE[..23]), short(23, 24));
    assert_eq!(error(&LITTLE), short(24, 56));
    let mut forward = LITTLE;
    forward[14] = 10;
    assert_eq!(error(&forward), short(24, 32));
    let mut unknown = LITTLE;
    unknown[14] = 12;
    assert_eq!(error(&unknown), Some(WireError::Kind(12)));
    unknown[15] = 0x20;
    assert_eq!(error(&unknown), Some(WireError::Flags(0x20)));
}

#[test]
fn anything_can_be_printed() {
    let mut rng = Rng::new(9);
    for _ in 0..5_000 {
        let mut bytes = vec![0; rng.below(80) as usize];
        rng.fill(&mut bytes);
        if bytes.len() > 15 && rng.chance(3, 4) {
            bytes[14] = rng.below(13) as u8;
            bytes[15] &= 0x1f;
        }
        assert!(!Pretty(&bytes).to_string().is_empty());
    }
    let message = with_header(LITTLE, Order::Little);
    let line = Pretty(&message).to_string();
    assert_eq!(line, "REQUEST RETRANS #305419896 c258 rtt 10 \"data\"");
}
