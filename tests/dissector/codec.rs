//! What the project's own codec says about a packet, in the names of the dissector's fields.

use std::collections::BTreeMap;

use capability::{HEADER_SIZE, HeaderView, Order};
use flip_net::wire::{self, Flow, pretty};
use group::{BROADCAST_SELECTOR, GROUP_HEADER_SIZE, GroupHeader, Kind};
use orca_rts::MessageLine;

/// What the codec says. `None` as a value: the field must not be there.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) fields: BTreeMap<&'static str, Option<String>>,
    /// The line, as far as the codec knows it: later layers may follow.
    pub(crate) info: String,
    /// The line is all there is.
    pub(crate) is_all: bool,
    /// Some layer refuses the bytes.
    pub(crate) is_malformed: bool,
}

impl Seen {
    fn put(&mut self, name: &'static str, value: impl ToString) {
        self.fields.insert(name, Some(value.to_string()));
    }

    fn absent(&mut self, name: &'static str) {
        self.fields.insert(name, None);
    }
}

/// A packet without anything in front of it. What unicasts carry is a group message if `as_group`.
pub(crate) fn look_at_packet(bytes: &[u8], as_group: bool) -> Seen {
    let mut seen = Seen {
        info: pretty::line(bytes),
        is_all: true,
        ..Seen::default()
    };
    look_at_flip(&mut seen, bytes, as_group);
    seen
}

/// A frame that begins with the flow-control header.
pub(crate) fn look_at_frame(bytes: &[u8], as_group: bool) -> Seen {
    let mut seen = Seen {
        info: pretty::flow_line(bytes),
        is_all: true,
        ..Seen::default()
    };
    match Flow::parse(bytes) {
        Ok((flow, packet)) => {
            seen.put("amflow.type", flow.number());
            match flow {
                Flow::Data { credits } => {
                    seen.put("amflow.credits", credits);
                    look_at_flip(&mut seen, packet, as_group);
                }
                Flow::Credit(credits) | Flow::Absolute(credits) => {
                    seen.put("amflow.credits", credits);
                }
                Flow::MulticastRequest { group, address } => {
                    let [_, _, bytes @ ..] = group.to_be_bytes();
                    seen.put(
                        "amflow.location",
                        bytes.map(|b| format!("{b:02x}")).join(":"),
                    );
                    seen.put("amflow.address", address);
                }
                Flow::MulticastAck(address) | Flow::MulticastNak(address) => {
                    seen.put("amflow.address", address);
                }
                Flow::Request => {}
            }
        }
        Err(_) => seen.is_malformed = true,
    }
    seen
}

fn look_at_flip(seen: &mut Seen, bytes: &[u8], as_group: bool) {
    let Ok(packet) = wire::Packet::new_checked(bytes) else {
        seen.is_malformed = true;
        return;
    };
    seen.put("amflip.version", bytes[0]);
    seen.put("amflip.type", packet.kind());
    put_flip_flags(seen, packet.raw_flags());
    seen.put("amflip.actual", packet.actual());
    seen.put("amflip.maximum", packet.maximum());
    seen.put("amflip.destination", packet.destination());
    seen.put("amflip.source", packet.source());
    seen.put("amflip.message", packet.message());
    seen.put("amflip.length", packet.length());
    seen.put("amflip.offset", packet.offset());
    seen.put("amflip.total", packet.total());
    let Ok(repr) = wire::Repr::parse(&packet) else {
        seen.is_malformed = true;
        return;
    };
    let parameters: Vec<_> = packet.parameters().flatten().collect();
    let codes: Vec<_> = parameters.iter().map(|p| p.code.to_string()).collect();
    match codes.is_empty() {
        true => seen.absent("amflip.variable.code"),
        false => seen.put("amflip.variable.code", codes.join(",")),
    }
    match repr.kind {
        wire::Kind::HereIs { count, trusted } => {
            seen.put("amflip.hereis.count", count);
            seen.put("amflip.hereis.trusted", trusted);
        }
        wire::Kind::Locate => {}
        wire::Kind::Again => {
            let payload = packet.payload();
            if payload.len().is_multiple_of(8) && !payload.is_empty() {
                let numbers = payload.chunks(4).map(|n| u32::from_le_bytes(array(n)));
                let starts: Vec<_> = numbers.step_by(2).map(|n| n.to_string()).collect();
                seen.put("amflip.again.start", starts.join(","));
            }
        }
        wire::Kind::UniData
        | wire::Kind::MultiData
        | wire::Kind::NotHere
        | wire::Kind::Untrusted => look_at_payload(seen, &repr, packet.payload(), as_group),
    }
}

fn put_flip_flags(seen: &mut Seen, flags: u8) {
    use wire::packet::{
        FLAG_BIG_ENDIAN, FLAG_SECURITY, FLAG_UNREACHABLE, FLAG_UNSAFE, FLAG_VARIABLE,
    };
    seen.put("amflip.flags", format!("0x{flags:02x}"));
    for (name, mask) in [
        ("amflip.flags.big_endian", FLAG_BIG_ENDIAN),
        ("amflip.flags.variable", FLAG_VARIABLE),
        ("amflip.flags.security", FLAG_SECURITY),
        ("amflip.flags.unreachable", FLAG_UNREACHABLE),
        ("amflip.flags.unsafe", FLAG_UNSAFE),
    ] {
        seen.put(name, u8::from(flags & mask != 0));
    }
}

fn look_at_payload(seen: &mut Seen, repr: &wire::Repr, payload: &[u8], as_group: bool) {
    if repr.offset != 0 || payload.is_empty() {
        seen.absent("amgroup.type");
        if repr.offset != 0 && !payload.is_empty() {
            seen.put("amflip.fragment.later", 1);
        }
        return;
    }
    let is_whole = payload.len() == repr.total as usize;
    let is_broadcast = repr.kind == wire::Kind::MultiData && repr.destination.is_null();
    let message = match (is_broadcast, payload.split_first_chunk()) {
        (true, Some((selector, rest))) => {
            let selector = u32::from_be_bytes(*selector);
            seen.put("amflip.selector", selector);
            (selector == BROADCAST_SELECTOR && !rest.is_empty()).then_some(rest)
        }
        (true, None) => None,
        (false, _) => as_group.then_some(payload),
    };
    match message {
        Some(message) => look_at_group(seen, message, is_whole),
        // Another protocol has a line of its own.
        None => seen.is_all = false,
    }
}

fn look_at_group(seen: &mut Seen, bytes: &[u8], is_whole: bool) {
    // With the selector in front always, since the line of what begins like one leaves it out.
    let selected = [&BROADCAST_SELECTOR.to_be_bytes(), bytes].concat();
    let line = group::Pretty(&selected).to_string();
    if is_whole {
        seen.info += &format!(" | {line}");
        seen.is_malformed |= line.starts_with('?') || line.contains(" ? ");
    } else {
        seen.is_all = false;
    }
    let parsed = group::Packet::new_checked(bytes)
        .and_then(|packet| Ok((packet, GroupHeader::parse(&packet)?)));
    let Ok((packet, header)) = parsed else {
        // A first fragment may end within the header.
        seen.is_malformed |= bytes.len() >= GROUP_HEADER_SIZE;
        return;
    };
    let is_big = packet.order() == Order::Big;
    seen.put("amgroup.type", header.kind as u8);
    seen.put("amgroup.flags", format!("0x{:02x}", bytes[1]));
    seen.put("amgroup.flags.big_endian", u8::from(is_big));
    seen.put("amgroup.member", header.member.value());
    seen.put("amgroup.incarnation", header.incarnation.value());
    seen.put("amgroup.seq", header.seq.value());
    seen.put("amgroup.id", header.id.value());
    seen.put("amgroup.expect", header.expect.value());
    let has_header = matches!(
        header.kind,
        Kind::Locate | Kind::JoinReq | Kind::LeaveReq | Kind::Leave | Kind::BcastReq | Kind::Bcast
    );
    if has_header {
        look_at_header(seen, packet.body(), packet.order());
    }
    let is_broadcast = matches!(header.kind, Kind::BcastReq | Kind::Bcast);
    let data = packet.body().get(HEADER_SIZE..).unwrap_or_default();
    if is_broadcast && is_whole && !line.contains(" ? ") {
        look_at_data(seen, data);
    }
}

fn look_at_header(seen: &mut Seen, body: &[u8], order: Order) {
    let Ok(header) = HeaderView::new_checked(body, order) else {
        seen.absent("amheader.port");
        return;
    };
    let private = header.private();
    let object = u32::from_le_bytes([private[0], private[1], private[2], 0]);
    seen.put("amheader.port", header.port());
    seen.put("amheader.signature", hex(&header.signature()));
    seen.put("amheader.private", hex(&private));
    seen.put("amheader.object", object);
    seen.put("amheader.rights", format!("0x{:02x}", private[3]));
    seen.put("amheader.check", hex(&private[4..]));
    seen.put("amheader.command", header.command());
    seen.put("amheader.offset", header.offset());
    seen.put("amheader.size", header.size());
    seen.put("amheader.extra", header.extra());
}

/// What the run-time system says to the data of a broadcast. Bytes of a kind that it does not know
/// are anybody's data.
fn look_at_data(seen: &mut Seen, data: &[u8]) {
    let is_introduction = data.len() == 5 && data[0] == 0xff;
    let is_message = data.len() >= 16 && data[0] == 1 && (1..=8).contains(&data[1]);
    if !is_introduction && !is_message {
        seen.absent("orcarts.kind");
        return;
    }
    let line = MessageLine(data).to_string();
    seen.is_malformed |= line.starts_with('?');
    seen.info += &format!(" | {line}");
    seen.put("orcarts.kind", data[if is_introduction { 0 } else { 1 }]);
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn array(bytes: &[u8]) -> [u8; 4] {
    bytes.try_into().expect("chunks of four")
}
