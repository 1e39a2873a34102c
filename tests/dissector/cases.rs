//! Packets of every kind, in both byte orders, with the value of each field that was put into them.

use std::collections::BTreeMap;

use crate::codec::hex;

/// The order of the integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    Group,
    Rpc,
    Nothing,
}

/// A packet, and what must be seen in it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) packet: Vec<u8>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) carries: Carries,
    /// How the info column ends, where the codec does not know.
    pub(crate) line: Option<String>,
}

/// Bytes with the fields that they are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    order: Order,
    bytes: Vec<u8>,
    fields: Vec<(&'static str, String)>,
}

impl Layout {
    fn new(order: Order) -> Layout {
        Layout {
            order,
            bytes: Vec::new(),
            fields: Vec::new(),
        }
    }

    fn say(&mut self, field: &'static str, value: impl ToString) -> &mut Layout {
        self.fields.push((field, value.to_string()));
        self
    }

    fn number(&mut self, little: &[u8]) {
        match self.order {
            Order::Little => self.bytes.extend(little),
            Order::Big => self.bytes.extend(little.iter().rev()),
        }
    }

    fn u8(&mut self, field: &'static str, value: u8) -> &mut Layout {
        self.number(&[value]);
        self.say(field, value)
    }

    fn flags(&mut self, field: &'static str, value: u8) -> &mut Layout {
        self.number(&[value]);
        self.say(field, format!("0x{value:02x}"))
    }

    fn u16(&mut self, field: &'static str, value: u16) -> &mut Layout {
        self.number(&value.to_le_bytes());
        self.say(field, value)
    }

    fn u32(&mut self, field: &'static str, value: u32) -> &mut Layout {
        self.number(&value.to_le_bytes());
        self.say(field, value)
    }

    fn u64(&mut self, field: &'static str, value: u64) -> &mut Layout {
        self.number(&value.to_le_bytes());
        self.say(field, value)
    }

    fn u64_hex(&mut self, field: &'static str, value: u64) -> &mut Layout {
        self.number(&value.to_le_bytes());
        self.say(field, format!("0x{value:016x}"))
    }

    fn bytes(&mut self, field: &'static str, bytes: &[u8]) -> &mut Layout {
        self.bytes.extend_from_slice(bytes);
        self.say(field, hex(bytes))
    }

    fn then(&mut self, other: Layout) -> &mut Layout {
        self.bytes.extend(other.bytes);
        self.fields.extend(other.fields);
        self
    }

    fn bit(self: &Layout) -> u8 {
        u8::from(self.order == Order::Big)
    }
}

const A: [u8; 8] = [0xa1, 2, 3, 4, 5, 6, 7, 0];
const B: [u8; 8] = [0xb1, 2, 3, 4, 5, 6, 7, 9];
const NULL: [u8; 8] = [0; 8];
const PORT: [u8; 6] = [1, 2, 3, 4, 5, 6];
const UNICAST: u8 = 3;
const MULTICAST: u8 = 4;

/// A packet: type, flags besides the order, destination, and where the payload lies in its message.
struct Envelope {
    kind: u8,
    flags: u8,
    destination: [u8; 8],
    offset: u32,
    more: u32,
}

const UNIDATA: Envelope = Envelope {
    kind: UNICAST,
    flags: 0,
    destination: B,
    offset: 0,
    more: 0,
};

const BROADCAST: Envelope = Envelope {
    kind: MULTICAST,
    destination: NULL,
    ..UNIDATA
};

impl Envelope {
    fn around(&self, order: Order, variable: &[u8], payload: Layout) -> Layout {
        let mut packet = Layout::new(order);
        let length = payload.bytes.len() as u32;
        let has_variable = u8::from(!variable.is_empty()) << 1;
        let flags = self.flags | has_variable | packet.bit();
        packet.u8("amflip.version", 1).u8("amflip.type", self.kind);
        packet.flags("amflip.flags", flags);
        packet.flags("amflip.reserved", 0);
        packet.u16("amflip.actual", 3).u16("amflip.maximum", 25);
        packet.bytes("amflip.destination", &self.destination);
        packet.bytes("amflip.source", &A);
        packet.u32("amflip.message", 0x0102_0304);
        packet.u32("amflip.length", length);
        packet.u32("amflip.offset", self.offset);
        packet.u32("amflip.total", self.offset + length + self.more);
        packet.bytes.extend_from_slice(variable);
        packet.then(payload);
        packet
    }
}

fn case(name: String, packet: Layout, carries: Carries) -> Case {
    let mut fields: BTreeMap<&'static str, String> = BTreeMap::new();
    for (field, value) in packet.fields {
        fields
            .entry(field)
            .and_modify(|values| *values += &format!(",{value}"))
            .or_insert(value);
    }
    Case {
        name,
        packet: packet.bytes,
        fields,
        carries,
        line: None,
    }
}

/// Every kind of packet and message, good ones only.
pub(crate) fn all() -> Vec<Case> {
    [Order::Little, Order::Big]
        .into_iter()
        .flat_map(|order| {
            let mut cases = flip_cases(order);
            cases.extend(group_cases(order));
            cases.extend(rpc_cases(order));
            cases.extend(rts_cases(order));
            cases
        })
        .collect()
}

fn flip_cases(order: Order) -> Vec<Case> {
    let payload = |bytes: &[u8]| {
        let mut payload = Layout::new(order);
        payload.bytes("amflip.payload", bytes);
        payload
    };
    let nothing = || Layout::new(order);
    let of_kind = |kind, flags| Envelope {
        kind,
        flags,
        ..UNIDATA
    };
    let mut counters = nothing();
    counters.u16("amflip.hereis.count", 3);
    counters.u16("amflip.hereis.trusted", 2);
    // Always in little endian.
    let mut parts = Layout::new(Order::Little);
    for part in [(0, 1458), (2916, 3000)] {
        parts.u32("amflip.again.start", part.0);
        parts.u32("amflip.again.end", part.1);
    }
    let later = Envelope {
        offset: 1458,
        more: 100,
        ..UNIDATA
    };
    let mut later = later.around(order, &[], payload(b"a later part of a message"));
    later
        .say("amflip.fragment", 1)
        .say("amflip.fragment.later", 1);
    let mut variable = nothing();
    variable.u32("amflip.variable.length", 8);
    let mut variable = variable.bytes.clone();
    variable.extend([7, 2, 1, 2, 9, 0, 0, 0]);
    let mut with_variable = of_kind(UNICAST, 0).around(order, &variable, payload(b"abcd"));
    with_variable.say("amflip.variable.length", 8);
    with_variable.say("amflip.variable.code", "7,9");
    with_variable.say("amflip.variable.data", "0102");
    [
        ("LOCATE", of_kind(1, 0).around(order, &[], nothing())),
        ("HEREIS", of_kind(2, 0).around(order, &[], counters)),
        (
            "UNIDATA",
            of_kind(3, 4).around(order, &[], payload(b"abcd")),
        ),
        (
            "MULTIDATA",
            of_kind(4, 0x20).around(order, &[], payload(b"abcd")),
        ),
        ("empty", of_kind(4, 0).around(order, &[], nothing())),
        (
            "NOTHERE",
            of_kind(5, 0).around(order, &[], payload(b"abcd")),
        ),
        (
            "UNTRUSTED",
            of_kind(6, 0x34).around(order, &[], payload(b"abcd")),
        ),
        ("AGAIN", of_kind(7, 0).around(order, &[], parts)),
        ("later fragment", later),
        ("variable part", with_variable),
    ]
    .map(|(name, packet)| case(format!("{name} {order:?}"), packet, Carries::Nothing))
    .to_vec()
}

fn header(order: Order) -> Layout {
    let mut header = Layout::new(order);
    header.bytes("amheader.port", &PORT);
    header.bytes("amheader.signature", &[7, 8, 9, 10, 11, 12]);
    header.bytes.extend([0x56, 0x34, 0x12, 0xff]);
    header.bytes.extend([0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5]);
    header.say("amheader.private", "563412ffa0a1a2a3a4a5");
    header.say("amheader.object", 0x12_3456);
    header.say("amheader.rights", "0xff");
    header.say("amheader.check", "a0a1a2a3a4a5");
    header.u16("amheader.command", 0x1234);
    header.number(&(-2_i32).to_le_bytes());
    header.say("amheader.offset", -2);
    header.u16("amheader.size", 0x7788);
    header.u16("amheader.extra", 0xaabb);
    header
}

fn group_header(order: Order, kind: u8) -> Layout {
    let mut header = Layout::new(order);
    let bit = header.bit();
    header.u8("amgroup.type", kind).flags("amgroup.flags", bit);
    header.number(&[0, 0]);
    header.say("amgroup.branch", "0x0000");
    header.u16("amgroup.member", 0x0102);
    header.u16("amgroup.incarnation", 3);
    header.u32("amgroup.seq", 0x0506_0708);
    header.u32("amgroup.id", 0x090a_0b0c);
    header.u32("amgroup.expect", 0x0d0e_0f10);
    header
}

/// A member table with three slots.
fn table(order: Order) -> Layout {
    let mut table = header(order);
    table.bytes("amgroup.join.joiner", &A);
    for (state, address) in [(1, A), (4, B), (0, NULL)] {
        table.bytes("amgroup.join.slot.address", &address);
        table.bytes("amgroup.join.slot.rpc_address", &B);
        table.u32("amgroup.join.slot.state", state);
        table.u32("amgroup.join.slot.expect", 77);
        table.u32("amgroup.join.slot.id", 78);
    }
    table.bytes("amgroup.join.private_b", &B);
    table.u16("amgroup.join.total", 2);
    table.u16("amgroup.join.sequencer", 1);
    table.u32("amgroup.join.next", 0x0102_0304);
    table.u16("amgroup.join.incarnation", 3);
    table.u16("amgroup.join.resilience", 1);
    table.u32("amgroup.join.large", 10_000);
    table
}

/// A new group with three slots.
fn result_table(order: Order) -> Layout {
    let mut table = header(order);
    for state in [1, 3, 0] {
        table.u32("amgroup.result.state", state);
    }
    table.bytes("amgroup.result.private_a", &A);
    table.bytes("amgroup.result.private_b", &B);
    table.u16("amgroup.result.total", 1);
    table.u16("amgroup.result.sequencer", 0);
    table.u16("amgroup.result.incarnation", 4);
    table.u32("amgroup.result.round", 2);
    for last in [78, 79, 0] {
        table.u32("amgroup.result.last", last);
    }
    table
}

fn parameters(order: Order) -> Layout {
    let mut body = Layout::new(order);
    body.u16("amgroup.hereis.members_max", 64);
    body.u16("amgroup.hereis.history_log2", 7);
    body.u16("amgroup.hereis.message_log2", 20);
    body.u16("amgroup.hereis.resilience", 1);
    body.u32("amgroup.hereis.large", 10_000);
    body.u16("amgroup.hereis.assigned", 5);
    body.u16("amgroup.hereis.sequencer", 6);
    body.bytes("amgroup.hereis.private_a", &A);
    body.bytes("amgroup.hereis.private_b", &B);
    body
}

fn group_body(order: Order, kind: u8) -> Layout {
    let mut body = Layout::new(order);
    match kind {
        0 => {
            body.then(header(order));
            body.bytes("amgroup.locate.rpc_address", &A);
            body.bytes("amgroup.locate.address", &B);
        }
        1 => drop(body.then(parameters(order))),
        2 | 4 | 5 => drop(body.then(header(order))),
        3 => drop(body.then(table(order))),
        6 | 7 => drop(
            body.then(header(order))
                .bytes("amgroup.data", b"it's \"me\""),
        ),
        10 => {
            for member in [1, 2, 300] {
                body.u16("amgroup.sync.member", member);
            }
        }
        12 => {
            body.then(header(order));
            body.u16("amgroup.reform.members_min", 3);
        }
        13 => {
            body.u32("amgroup.vote.last", 77);
            body.u32("amgroup.vote.round", 2);
            body.u32("amgroup.vote.next", 0x0102_0304);
            body.u16("amgroup.vote.coordinator", 1);
        }
        14 => drop(body.then(result_table(order))),
        _ => {}
    }
    body
}

fn group_message(order: Order, kind: u8, body: Layout) -> Layout {
    let mut message = group_header(order, kind);
    message.then(body);
    message
}

fn selected(order: Order, selector: u8, message: Layout) -> Layout {
    let mut payload = Layout::new(order);
    payload.bytes.extend([0, 0, 0, selector]);
    payload.say("amflip.selector", selector);
    payload.then(message);
    payload
}

fn group_cases(order: Order) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in group::Kind::ALL {
        let message = group_message(order, *kind as u8, group_body(order, *kind as u8));
        let packet = match kind {
            group::Kind::Locate => BROADCAST.around(order, &[], selected(order, 2, message)),
            _ => UNIDATA.around(order, &[], message),
        };
        cases.push(case(format!("{kind} {order:?}"), packet, Carries::Group));
    }
    let mut accept = group_header(order, 7);
    accept.say("amgroup.accept", 1);
    let accept = UNIDATA.around(order, &[], accept);
    cases.push(case(format!("accept {order:?}"), accept, Carries::Group));
    let first = Envelope {
        more: 5000,
        ..UNIDATA
    };
    let mut first = first.around(order, &[], group_message(order, 6, group_body(order, 6)));
    first.say("amflip.fragment", 1);
    let mut first = case(format!("first fragment {order:?}"), first, Carries::Group);
    first.line = Some(" | BCASTREQ [3] #84281096 m258/151653132 5009 B".to_owned());
    cases.push(first);
    cases
}

fn rpc_message(order: Order, kind: u8) -> (Layout, &'static str) {
    let mut message = Layout::new(order);
    let flags = message.bit() | if kind == 9 { 0x14 } else { 0 };
    message.bytes("amrpc.kid", &[0xff, 1, 2, 3, 4, 5, 6, 7]);
    message.bytes("amrpc.port", &PORT).u8("amrpc.type", kind);
    message.flags("amrpc.flags", flags);
    message.u32("amrpc.tid", 0x0102_0304);
    match kind {
        3 => message.u16("amrpc.estimate", 10),
        _ => message.u16("amrpc.destination", 10),
    };
    message.u16("amrpc.source", 11);
    match kind {
        3 | 4 => drop(message.then(header(order)).bytes("amrpc.data", b"data")),
        10 => drop(message.bytes("amrpc.forward.address", &B)),
        _ => {}
    }
    let line = match kind {
        1 => "LOCATE port 010203040506 tid 16909060 thread 11 -> 10",
        2 => "HEREIS port 010203040506 tid 16909060 thread 11 -> 10",
        3 => "REQUEST port 010203040506 tid 16909060 thread 11 estimate 10 ms 4 B",
        4 => "REPLY tid 16909060 thread 11 -> 10 4 B",
        5 => "ACK tid 16909060 thread 11 -> 10",
        6 => "NAK tid 16909060 thread 11 -> 10",
        7 => "ENQUIRE tid 16909060 thread 11 -> 10",
        8 => "ALIVE tid 16909060 thread 11 -> 10",
        9 => "RECEIVED tid 16909060 thread 11 -> 10 request sigtrans",
        10 => "FORWARD tid 16909060 thread 11 -> 10",
        _ => "FAIL tid 16909060 thread 11 -> 10",
    };
    (message, line)
}

fn rpc_cases(order: Order) -> Vec<Case> {
    (1..=11)
        .map(|kind| {
            let (message, line) = rpc_message(order, kind);
            let packet = match kind {
                1 => BROADCAST.around(order, &[], selected(order, 1, message)),
                _ => UNIDATA.around(order, &[], message),
            };
            let mut case = case(format!("RPC {kind} {order:?}"), packet, Carries::Rpc);
            case.line = Some(format!(" | {line}"));
            case
        })
        .collect()
}

fn rts_body(kind: u8) -> Layout {
    let mut body = Layout::new(Order::Little);
    match kind {
        1 => {
            body.u32("orcarts.object", 3).u32("orcarts.operation", 2);
            body.u32("orcarts.process", 7).u32("orcarts.site", 9);
            body.u64("orcarts.invocation", 1 << 40);
            body.bytes("orcarts.arguments", b"args")
        }
        2 => {
            body.u32("orcarts.process", 1).u32("orcarts.cpu", 5);
            body.u32("orcarts.forker", 0).u64("orcarts.invocation", 8)
        }
        3 | 4 => {
            body.u32("orcarts.count", 2);
            body.u32("orcarts.object", 1).u32("orcarts.object", 2)
        }
        5 => {
            body.u32("orcarts.count", 2);
            body.u64_hex("orcarts.hash", u64::MAX);
            body.u64_hex("orcarts.hash", 1)
        }
        6 => {
            body.u64("orcarts.sent", 1).u64("orcarts.received", 2);
            body.u32("orcarts.waiting", 40).u32("orcarts.count", 1);
            body.u32("orcarts.waiting.process", 1);
            body.u32("orcarts.waiting.site", 2);
            body.u32("orcarts.waiting.object_type", 3);
            body.u32("orcarts.waiting.operation", 4)
        }
        7 => {
            body.u32("orcarts.status", 70);
            body.bytes.extend(b"Run-time error: \"x\"");
            body.say("orcarts.line", "Run-time error: \"x\"")
        }
        _ => {
            body.u32("orcarts.object", 1).u64("orcarts.writes", 64);
            body.u64_hex("orcarts.digest", 99)
        }
    };
    body
}

fn rts_cases(order: Order) -> Vec<Case> {
    let mut introduction = Layout::new(Order::Little);
    introduction.u8("orcarts.kind", 255);
    introduction.u32("orcarts.processor", 258);
    let mut messages = vec![introduction];
    for kind in 1..=8 {
        let mut message = Layout::new(Order::Little);
        message.u8("orcarts.version", 1).u8("orcarts.kind", kind);
        message.u16("orcarts.epoch", 0x1234);
        message.number(&[0; 4]);
        message.say("orcarts.reserved", "0x00000000");
        message.u64("orcarts.applied", 77).then(rts_body(kind));
        messages.push(message);
    }
    let in_broadcast = |message: Layout| {
        let mut body = header(order);
        body.then(message);
        UNIDATA.around(order, &[], group_message(order, 7, body))
    };
    messages
        .into_iter()
        .enumerate()
        .map(|(number, message)| {
            let name = format!("run-time system {number} {order:?}");
            case(name, in_broadcast(message), Carries::Group)
        })
        .collect()
}
