//! What the thesis says of its figures, as far as its text has numbers. They were measured on 20-MHz processors with an Ethernet
//! of 10 Mbit/s: only their ratios are of use.
//!
//! Implements: [Thesis §3.5] Figures 3.19 to 3.26.

use serde_json::json;

/// One sentence with a number.
pub(super) struct Saying {
    pub figure: &'static str,
    pub what: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

const fn saying(
    figure: &'static str,
    what: &'static str,
    value: f64,
    unit: &'static str,
) -> Saying {
    Saying {
        figure,
        what,
        value,
        unit,
    }
}

pub(super) const SAYINGS: &[Saying] = &[
    saying("3.19", "delay, 0 bytes, 2 members", 2.7, "ms"),
    saying("3.19", "delay, 0 bytes, 30 members", 2.8, "ms"),
    saying("3.19", "more for 8,000 bytes, PB", 20.0, "ms"),
    saying("3.19", "null RPC", 2.6, "ms"),
    saying("3.22", "most messages of 0 bytes", 815.0, "/s"),
    saying("3.24", "messages of 5 groups of 2", 3_175.0, "/s"),
    saying("3.25", "delay, 0 bytes, r = 1, 2 members", 4.2, "ms"),
    saying("3.25", "delay, 0 bytes, r = 15, 16 members", 12.9, "ms"),
    saying("3.25", "more for each acknowledgement", 0.6, "ms"),
];

/// The shape of a curve: its value at two places.
pub(super) struct Shape {
    pub figure: &'static str,
    pub from: (f64, f64),
    pub to: (f64, f64),
}

/// Shapes that are drawn beside the curve for empty messages, scaled to its value at the first place.
pub(super) const SHAPES: &[Shape] = &[
    Shape {
        figure: "3.19",
        from: (2.0, 2.7),
        to: (30.0, 2.8),
    },
    Shape {
        figure: "3.21",
        from: (2.0, 2.7),
        to: (30.0, 2.8),
    },
    Shape {
        figure: "3.25",
        from: (1.0, 4.2),
        to: (15.0, 12.9),
    },
];

pub(super) fn all_json() -> serde_json::Value {
    let sayings = SAYINGS.iter().map(|one| {
        json!({ "figure": one.figure, "what": one.what, "value": one.value, "unit": one.unit })
    });
    json!(sayings.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_broadcast_is_a_little_slower_than_a_null_rpc() {
        let value = |what| {
            let found = SAYINGS.iter().find(|one| one.what == what);
            found.expect("it is there").value
        };
        let ratio = value("delay, 0 bytes, 2 members") / value("null RPC");
        assert!((1.03..1.05).contains(&ratio), "{ratio}");
    }

    #[test]
    fn shapes_lead_from_left_to_right() {
        assert!(SHAPES.iter().all(|shape| shape.from.0 < shape.to.0));
    }
}
