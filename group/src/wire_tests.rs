//! Golden packets of the group protocol, in both byte orders, and what happens to wrong ones.

use capability::{Header, Order, Port};
use expect_test::{Expect, expect};
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;

use super::*;

const LITTLE_HEADER: [u8; 20] = [
    7, 0, 0, 0, // type, flags, reserved
    0x02, 0x01, // member
    0x04, 0x03, // incarnation
    0x08, 0x07, 0x06, 0x05, // sequence number
    0x0c, 0x0b, 0x0a, 0x09, // message id
    0x10, 0x0f, 0x0e, 0x0d, // expect
];
const BIG_HEADER: [u8; 20] = [
    7, 1, 0, 0, // type, flags, reserved
    0x01, 0x02, // member
    0x03, 0x04, // incarnation
    0x05, 0x06, 0x07, 0x08, // sequence number
    0x09, 0x0a, 0x0b, 0x0c, // message id
    0x0d, 0x0e, 0x0f, 0x10, // expect
];

fn repr(kind: Kind, seq: u32, id: u32) -> Repr {
    Repr {
        kind,
        member: MemberIndex::new(2),
        incarnation: Incarnation::FIRST,
        seq: SeqNo::new(seq),
        id: MessageId::new(id),
        expect: SeqNo::new(5),
    }
}

fn address(first: u8) -> FlipAddress {
    FlipAddress::new([first, 1, 2, 3, 4, 5, 6, 0])
}

fn header() -> Header {
    Header::to(Port::new([1, 2, 3, 4, 5, 6]))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        match index {
            0 => {}
            index if index % 20 == 0 => text.push('\n'),
            index if index % 4 == 0 => text.push(' '),
            _ => {}
        }
        text += &format!("{byte:02x}");
    }
    text
}

/// The bytes as we send them, the line, and that the big-endian form says the same.
fn check(repr: Repr, body: impl Fn(Order) -> Vec<u8>, expected: &Expect) {
    let message = |order| {
        let mut bytes = repr.emit(order).to_vec();
        bytes.extend(body(order));
        bytes
    };
    let (little, big) = (message(Order::Little), message(Order::Big));
    let line = Pretty(&little).to_string();
    assert_eq!(Pretty(&big).to_string(), line);
    for bytes in [&little, &big] {
        let packet = Packet::new_checked(bytes).expect("a whole header");
        assert_eq!(Repr::parse(&packet), Ok(repr));
    }
    expected.assert_eq(&format!("{line}\n{}\n", hex(&little)));
}

fn nothing(_: Order) -> Vec<u8> {
    Vec::new()
}

fn data(order: Order) -> Vec<u8> {
    let mut bytes = header().emit(order).to_vec();
    bytes.extend(b"a");
    bytes
}

#[test]
fn the_golden_header_is_read_and_written_in_both_orders() {
    let golden = Repr {
        kind: Kind::Bcast,
        member: MemberIndex::new(0x0102),
        incarnation: Incarnation::new(0x0304, 0),
        seq: SeqNo::new(0x0506_0708),
        id: MessageId::new(0x090a_0b0c),
        expect: SeqNo::new(0x0d0e_0f10),
    };
    for (bytes, order) in [(LITTLE_HEADER, Order::Little), (BIG_HEADER, Order::Big)] {
        let packet = Packet::new_checked(&bytes).expect("a whole header");
        assert_eq!(packet.order(), order);
        assert_eq!(Repr::parse(&packet), Ok(golden));
        assert_eq!(golden.emit(order), bytes);
    }
}

#[test]
fn kinds_have_the_codes_of_the_implementation() {
    for (code, &kind) in Kind::ALL.iter().enumerate() {
        assert_eq!(kind as usize, code);
        assert_eq!(Kind::from_code(code as u8), Some(kind));
    }
    assert_eq!(Kind::from_code(19), None);
}

#[test]
fn messages_without_a_body() {
    check(
        repr(Kind::Bcast, 318, 17),
        nothing,
        &expect![[r#"
        BCAST #318 m2/17 accept
        07000000 02000000 3e010000 11000000 05000000
    "#]],
    );
    check(
        repr(Kind::Retrans, 318, 0),
        nothing,
        &expect![[r#"
        RETRANS #318
        09000000 02000000 3e010000 00000000 05000000
    "#]],
    );
    check(
        repr(Kind::Retrans, 318, 4),
        nothing,
        &expect![[r#"
        RETRANS #318 and 3 more
        09000000 02000000 3e010000 04000000 05000000
    "#]],
    );
    check(
        repr(Kind::Retrans, 0, 17),
        nothing,
        &expect![[r#"
        RETRANS request /17
        09000000 02000000 00000000 11000000 05000000
    "#]],
    );
    check(
        repr(Kind::State, 318, 0),
        nothing,
        &expect![[r#"
        STATE m2 next #318 expect #5
        0b000000 02000000 3e010000 00000000 05000000
    "#]],
    );
    check(
        repr(Kind::Ack, 318, 17),
        nothing,
        &expect![[r#"
        ACK #318
        08000000 02000000 3e010000 11000000 05000000
    "#]],
    );
    check(
        repr(Kind::AliveReq, 1, 0),
        nothing,
        &expect![[r#"
        ALIVEREQ m2
        11000000 02000000 01000000 00000000 05000000
    "#]],
    );
    check(
        repr(Kind::Alive, 0, 0),
        nothing,
        &expect![[r#"
        ALIVE m2
        10000000 02000000 00000000 00000000 05000000
    "#]],
    );
    check(
        repr(Kind::Dead, 0, 0),
        nothing,
        &expect![[r#"
        DEAD m2
        12000000 02000000 00000000 00000000 05000000
    "#]],
    );
}

#[test]
fn messages_with_data() {
    check(
        repr(Kind::BcastReq, 0, 17),
        data,
        &expect![[r#"
        BCASTREQ m2/17 "a"
        06000000 02000000 00000000 11000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000 61
    "#]],
    );
    check(
        repr(Kind::Bcast, 318, 17),
        data,
        &expect![[r#"
        BCAST #318 m2/17 "a"
        07000000 02000000 3e010000 11000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000 61
    "#]],
    );
    let only_header = |order| header().emit(order).to_vec();
    check(
        repr(Kind::JoinReq, 0, 1),
        only_header,
        &expect![[r#"
        JOINREQ m2/1
        02000000 02000000 00000000 01000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000
    "#]],
    );
    check(
        repr(Kind::LeaveReq, 0, 18),
        only_header,
        &expect![[r#"
        LEAVEREQ m2/18
        04000000 02000000 00000000 12000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000
    "#]],
    );
    check(
        repr(Kind::Leave, 318, 18),
        only_header,
        &expect![[r#"
        LEAVE #318 m2/18
        05000000 02000000 3e010000 12000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000
    "#]],
    );
}

#[test]
fn locate_and_its_answer() {
    let locate = LocateBody {
        header: header(),
        rpc_address: address(7),
        address: address(8),
    };
    check(
        repr(Kind::Locate, 0, 0),
        |order| locate.emit(order),
        &expect![[r#"
            LOCATE port 010203040506 for 0801020304050600
            00000000 02000000 00000000 00000000 05000000
            01020304 05060000 00000000 00000000 00000000
            00000000 00000000 00000000 07010203 04050600
            08010203 04050600
        "#]],
    );
    let parameters = Parameters {
        members_max: 0x40,
        history_log2: 13,
        message_log2: 26,
        resilience: 0,
        large: 0x57e,
        assigned: MemberIndex::new(3),
        sequencer: MemberIndex::new(0),
        private_a: address(10),
        private_b: address(11),
    };
    assert_eq!(parameters.emit(Order::Little).len(), PARAMETERS_SIZE);
    check(
        repr(Kind::HereIs, 0, 0),
        |order| parameters.emit(order),
        &expect![[r#"
            HEREIS m3 sequencer m0
            01000000 02000000 00000000 00000000 05000000
            40000d00 1a000000 7e050000 03000000 0a010203
            04050600 0b010203 04050600
        "#]],
    );
}

fn table() -> JoinTable {
    let slot = |state, number| TableSlot {
        address: address(number),
        rpc_address: address(number + 100),
        state,
        expect: SeqNo::new(300 + u32::from(number)),
        id: MessageId::new(u32::from(number)),
    };
    JoinTable {
        header: header(),
        joiner: address(2),
        slots: vec![
            slot(SlotState::LeftSequencer, 0),
            TableSlot::UNUSED,
            slot(SlotState::Member, 2),
            slot(SlotState::Leaving, 3),
        ],
        private_b: address(11),
        total: 1,
        sequencer: MemberIndex::new(0),
        next: SeqNo::new(319),
        incarnation: 0,
        resilience: 0,
        large: 1_406,
    }
}

/// A joiner of either byte order reads the same states, numbers, ids and totals. [scenario 99]
#[test]
fn the_join_table() {
    let table = table();
    assert_eq!(table.emit(Order::Little).len(), 64 + 28 * 4);
    check(
        repr(Kind::Join, 318, 1),
        |order| table.emit(order),
        &expect![[r#"
            JOIN #318 m2/1 total 1
            03000000 02000000 3e010000 01000000 05000000
            01020304 05060000 00000000 00000000 00000000
            00000000 00000000 00000000 02010203 04050600
            00010203 04050600 64010203 04050600 04000000
            2c010000 00000000 00000000 00000000 00000000
            00000000 00000000 00000000 00000000 02010203
            04050600 66010203 04050600 01000000 2e010000
            02000000 03010203 04050600 67010203 04050600
            03000000 2f010000 03000000 0b010203 04050600
            01000000 3f010000 00000000 7e050000
        "#]],
    );
    for order in [Order::Little, Order::Big] {
        let mut bytes = repr(Kind::Join, 318, 1).emit(order).to_vec();
        bytes.extend(table.emit(order));
        let packet = Packet::new_checked(&bytes).expect("a whole header");
        assert_eq!(JoinTable::parse(&packet).as_ref(), Ok(&table));
    }
}

#[test]
fn the_sync_list() {
    let list = [MemberIndex::new(1), MemberIndex::new(0x0203)];
    let body = |order| emit_sync_list(&list, order);
    check(
        repr(Kind::Sync, 318, 300),
        body,
        &expect![[r#"
        SYNC #318 m1 m515
        0a000000 02000000 3e010000 2c010000 05000000
        01000302
    "#]],
    );
}

#[test]
fn an_invitation() {
    let body = ReformBody {
        header: header(),
        members_min: 3,
    };
    check(
        repr(Kind::ReformReq, 318, 1),
        |order| body.emit(order),
        &expect![[r#"
        REFORMREQ m2 round 1 next #318
        0c000000 02000000 3e010000 01000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000 0300
    "#]],
    );
}

#[test]
fn votes() {
    let vote = |ballot| VoteBody {
        last: MessageId::new(0x0708),
        ballot,
    };
    let ballot = Ballot {
        round: 2,
        stored: SeqNo::new(0x013e),
        coordinator: MemberIndex::new(0x0203),
    };
    check(
        repr(Kind::Vote, 318, 1),
        |order| vote(None).emit(order),
        &expect![[r#"
        VOTE m2 round 1 next #318
        0d000000 02000000 3e010000 01000000 05000000
        08070000
    "#]],
    );
    check(
        repr(Kind::Vote, u32::MAX, 1),
        |order| vote(Some(ballot)).emit(order),
        &expect![[r#"
            VOTE m2 round 1 stop: round 2 of m515
            0d000000 02000000 ffffffff 01000000 05000000
            08070000 02000000 3e010000 0302
        "#]],
    );
}

#[test]
fn the_result() {
    let last = MessageId::new(0x0708);
    let table = ResultTable {
        header: header(),
        slots: vec![
            (SlotState::Member, last),
            (SlotState::Leaving, MessageId::NONE),
        ],
        private_a: FlipAddress::new([1, 2, 3, 4, 5, 6, 7, 0]),
        private_b: FlipAddress::new([2, 2, 3, 4, 5, 6, 7, 0]),
        total: 1,
        sequencer: MemberIndex::new(0),
        incarnation: 0x0102,
        round: 3,
    };
    check(
        repr(Kind::Result, 318, 1),
        |order| table.emit(order),
        &expect![[r#"
        RESULT #318 m2 incarnation 258 total 1
        0e000000 02000000 3e010000 01000000 05000000
        01020304 05060000 00000000 00000000 00000000
        00000000 00000000 00000000 01000000 03000000
        01020304 05060700 02020304 05060700 01000000
        02010300 00000807 00000000 0000
    "#]],
    );
    for order in [Order::Little, Order::Big] {
        let mut bytes = repr(Kind::Result, 318, 1).emit(order).to_vec();
        bytes.extend(table.emit(order));
        let packet = Packet::new_checked(&bytes).expect("a whole header");
        assert_eq!(ResultTable::parse(&packet).as_ref(), Ok(&table));
    }
}

/// The invitation of the higher round goes first, then that of who has more, then the lower index.
#[test]
fn invitations_have_an_order() {
    let ballot = |round, stored, coordinator| Ballot {
        round,
        stored: SeqNo::new(stored),
        coordinator: MemberIndex::new(coordinator),
    };
    let ordered = [
        ballot(2, 1, 9),
        ballot(1, 9, 7),
        ballot(1, 8, 0),
        ballot(1, 8, 1),
    ];
    for (index, better) in ordered.iter().enumerate() {
        assert!(!better.beats(*better));
        for worse in &ordered[index + 1..] {
            assert!(better.beats(*worse) && !worse.beats(*better));
        }
    }
}

fn check_refused(bytes: &[u8], expected: WireError) {
    let parsed = Packet::new_checked(bytes).and_then(|packet| {
        let repr = Repr::parse(&packet)?;
        match repr.kind {
            Kind::Join => JoinTable::parse(&packet).map(|_| ()),
            Kind::Sync => parse_sync_list(&packet).map(|_| ()),
            Kind::HereIs => Parameters::parse(&packet).map(|_| ()),
            Kind::Locate => LocateBody::parse(&packet).map(|_| ()),
            kind => parse_header(&packet, kind).map(|_| ()),
        }
    });
    assert_eq!(parsed, Err(expected));
}

#[test]
fn wrong_packets_are_refused() {
    check_refused(
        &LITTLE_HEADER[..19],
        WireError::Short {
            found: 19,
            expected: 20,
        },
    );
    let mut flags = LITTLE_HEADER;
    flags[1] = 2;
    check_refused(&flags, WireError::Flags(2));
    let mut kind = LITTLE_HEADER;
    kind[0] = 19;
    check_refused(&kind, WireError::Kind(19));
    check_refused(&LITTLE_HEADER, WireError::Body(Kind::Bcast));

    let with = |kind, body: Vec<u8>| {
        let mut bytes = repr(kind, 1, 1).emit(Order::Little).to_vec();
        bytes.extend(body);
        bytes
    };
    let join = table().emit(Order::Little);
    check_refused(
        &with(Kind::Join, join[..join.len() - 1].to_vec()),
        WireError::Body(Kind::Join),
    );
    let mut bad_state = join.clone();
    bad_state[40 + 16] = 9;
    check_refused(&with(Kind::Join, bad_state), WireError::Body(Kind::Join));
    let mut bad_sequencer = join;
    let at = bad_sequencer.len() - 14;
    bad_sequencer[at] = 77;
    check_refused(
        &with(Kind::Join, bad_sequencer),
        WireError::Body(Kind::Join),
    );
    check_refused(&with(Kind::Sync, vec![1]), WireError::Body(Kind::Sync));
    check_refused(
        &with(Kind::HereIs, vec![0; 31]),
        WireError::Body(Kind::HereIs),
    );
    check_refused(
        &with(Kind::HereIs, vec![0; 32]),
        WireError::Body(Kind::HereIs),
    );
    check_refused(
        &with(Kind::Locate, vec![0; 47]),
        WireError::Body(Kind::Locate),
    );
}

#[test]
fn any_bytes_have_a_line_and_any_header_comes_back() {
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let mut bytes = vec![0; rng.below(200) as usize];
        rng.fill(&mut bytes);
        if let Some(code) = bytes.first_mut() {
            *code %= 24;
        }
        if rng.chance(3, 4) && bytes.len() > 1 {
            bytes[1] &= 1;
        }
        assert!(!Pretty(&bytes).to_string().is_empty());
        let Ok(packet) = Packet::new_checked(&bytes) else {
            continue;
        };
        if let Ok(repr) = Repr::parse(&packet) {
            let again = repr.emit(packet.order());
            let packet = Packet::new_checked(&again).expect("we made it");
            assert_eq!(Repr::parse(&packet), Ok(repr));
        }
    }
}
