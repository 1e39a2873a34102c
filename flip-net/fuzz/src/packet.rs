//! Any bytes as a packet, as a frame of flow control and as a stream of packets: nothing panics,
//! whatever parses says the same after it was written again, every line can be printed, and a stream
//! has the same packets in it however it is cut.

use flip_net::wire::variable::{Parameters, VARIABLE_LEN_MAX};
use flip_net::wire::{
    Deframer, Flow, Framing, HEADER_LEN, Kind, Packet, Repr, StreamError, pretty,
};

/// Looks at `data` in every way there is.
pub fn run(data: &[u8]) {
    packet(data);
    flow(data);
    for framing in [Framing::Flip, Framing::Length] {
        let whole = deframe(framing, data, data.len().max(1));
        let cut = usize::from(data.first().copied().unwrap_or(0)) % 70 + 1;
        assert_eq!(deframe(framing, data, cut), whole);
    }
    assert!(Parameters(data).count() <= data.len(), "each takes a byte");
    for line in [pretty::line(data), pretty::flow_line(data)] {
        assert!(!line.is_empty() && !line.contains('\n'), "one line: {line}");
    }
}

fn packet(data: &[u8]) {
    let Ok(view) = Packet::new_checked(data) else {
        return;
    };
    let payload = view.payload();
    assert_eq!(payload.len(), view.length() as usize);
    assert!(HEADER_LEN + payload.len() <= data.len());
    assert!(u64::from(view.offset()) + u64::from(view.length()) <= u64::from(view.total()));
    assert!(
        view.parameters().all(|parameter| parameter.is_ok()),
        "checked before"
    );
    let Ok(repr) = Repr::parse(&view) else {
        return;
    };
    assert_eq!(repr.kind.number(), view.kind());
    assert!(repr.to_string().starts_with(repr.kind.name()));
    if let Kind::HereIs { count, trusted } = repr.kind {
        assert!(count >= 1 && trusted <= count);
    }
    let bytes = repr.emit(payload);
    assert_eq!(bytes.len(), HEADER_LEN + payload.len());
    assert_same(&bytes, repr, payload);
    let behind = repr.emit_behind(Some(7), payload);
    let (flow, packet) = Flow::parse(&behind).expect("it was made here");
    assert_eq!((flow, packet), (Flow::Data { credits: 7 }, &bytes[..]));
    // Links pad short frames.
    assert_same(&[&bytes[..], &[0xee; 46]].concat(), repr, payload);
}

fn assert_same(bytes: &[u8], repr: Repr, payload: &[u8]) {
    let view = Packet::new_checked(bytes).expect("what was written can be read");
    assert_eq!(Repr::parse(&view), Ok(repr));
    // Counters were in the order of the packet, and are in ours.
    let is_counted = matches!(repr.kind, Kind::HereIs { .. });
    assert!(is_counted || view.payload() == payload);
}

fn flow(data: &[u8]) {
    let Ok((flow, rest)) = Flow::parse(data) else {
        return;
    };
    assert_eq!(flow.number(), data[0]);
    assert!(
        flow.to_string()
            .starts_with(Flow::name_of(usize::from(data[0])))
    );
    if matches!(flow, Flow::Data { .. }) {
        assert_eq!(rest, &data[2..]);
        packet(rest);
    } else {
        assert_eq!(rest, b"");
    }
    assert_eq!(Flow::parse(&flow.emit()), Ok((flow, &[][..])));
}

const MTU: usize = 200;

/// The frames in a stream that comes in pieces of `cut` bytes, and what is wrong with it.
fn deframe(framing: Framing, data: &[u8], cut: usize) -> (Vec<Vec<u8>>, Option<StreamError>) {
    let mut deframer = Deframer::new(framing, MTU);
    let mut frames = Vec::new();
    for piece in data.chunks(cut) {
        let fed = deframer.feed(piece, &mut |frame| frames.push(frame.to_vec()));
        assert!(deframer.partial_len() <= MTU + 4 + VARIABLE_LEN_MAX);
        if let Err(error) = fed {
            assert_eq!(
                deframer.feed(b"more", &mut |_| panic!("it has ended")),
                Err(error)
            );
            return (frames, Some(error));
        }
    }
    (frames, None)
}
