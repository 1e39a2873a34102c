//! The networks of FLIP against bare sockets, futexes and memory.
//!
//! | name | what is measured | reference | at most |
//! |---|---|---|---|
//! | `udp-echo` | box and UDP device, both ends on one core | blocking `sendto` and `recvfrom` | 1.15 |
//! | `udp-apart` | box and UDP device, the ends on two cores | the same there | 1.15 |
//! | `udp-driver` | the same under the driver of a processor | the same | - |
//! | `udp-sealed` | the same on a keyed network | without the key | 1.15 |
//! | `udp-blast` | messages of 1 MB, seconds each | datagrams of the same size | 1 / 0.85 |
//! | `ethernet-echo` | box and Ethernet device, between namespaces | bare packet sockets | 1.15 |
//! | `ethernet-apart` | the same, the ends on two cores | the same there | 1.15 |
//! | `shm-echo` | box and shared memory, both ends on one core | futexes | 1.5 |
//! | `shm-spin` | the same, both ends looking, two cores | one cache line to and fro; at most 1 us in all | - |
//! | `box` | one packet switched from network to network, no device | copying its bytes | - |
//!
//! An echo carries 40 bytes behind FLIP's header; the reference carries as many in all.
//!
//! Implements: DESIGN 12 and 13.

mod blast;
pub(crate) mod cores;
mod echo;
mod ethernet;
mod node;
mod shm;
mod switch;
mod udp;

use std::fmt::Write as _;

use serde_json::json;

use cores::{ONE_CORE, TWO_CORES};

use super::statistics::{Estimate, estimate, ratio};
pub(super) use switch::alone;

/// What can be timed.
pub const NAMES: &[&str] = &[
    "udp-echo",
    "udp-apart",
    "udp-driver",
    "udp-sealed",
    "udp-blast",
    "ethernet-echo",
    "ethernet-apart",
    "shm-echo",
    "shm-spin",
    "box",
];

fn cores_of(name: &str) -> [usize; 2] {
    match name.ends_with("apart") {
        true => TWO_CORES,
        false => ONE_CORE,
    }
}

/// Seconds an echo (or whatever is counted) of both, round by round.
pub(crate) struct Pair {
    reference: Vec<f64>,
    measured: Vec<f64>,
    /// What the ratio may be at most.
    limit: Option<f64>,
    /// What else there is to say.
    note: String,
}

impl Pair {
    /// Measures both in turn. The first round also warms up and is not counted.
    fn measure(
        rounds: u32,
        limit: Option<f64>,
        mut reference: impl FnMut() -> f64,
        mut measured: impl FnMut() -> f64,
    ) -> Pair {
        let mut pair = Pair {
            reference: Vec::new(),
            measured: Vec::new(),
            limit,
            note: String::new(),
        };
        for round in 0..=rounds {
            // Whoever is first finds the caches as the other left them; so they take turns in that.
            let (a, b) = if round % 2 == 0 {
                let a = reference();
                (a, measured())
            } else {
                let b = measured();
                (reference(), b)
            };
            if round > 0 {
                pair.reference.push(a);
                pair.measured.push(b);
            }
        }
        pair
    }
}

/// Times the networks with these names; gives the table, and everything as JSON.
///
/// # Errors
/// What could not be opened.
pub fn run(names: &[&str], rounds: u32) -> Result<(String, serde_json::Value), String> {
    let mut table = String::new();
    let _ = writeln!(
        table,
        "{:<16} {:>12} {:>12}  {:<22} limit",
        "network", "bare, us", "FLIP, us", "FLIP / bare [95 %]"
    );
    let mut all = Vec::new();
    for name in NAMES.iter().filter(|name| names.contains(name)) {
        eprintln!("{name}: {rounds} rounds");
        let pair = match *name {
            "udp-echo" | "udp-apart" => udp::echo(rounds, cores_of(name)),
            "udp-driver" => udp::driver(rounds),
            "udp-sealed" => udp::sealed(rounds),
            "udp-blast" => blast::udp(rounds),
            "ethernet-echo" | "ethernet-apart" => match ethernet::echo(rounds, cores_of(name)) {
                Err(why) => {
                    let _ = writeln!(table, "{name:<16} skipped: {why}");
                    continue;
                }
                pair => pair,
            },
            "shm-echo" => shm::echo(rounds),
            "shm-spin" => shm::spin(rounds),
            _ => switch::switch(rounds),
        }
        .map_err(|error| format!("{name}: {error}"))?;
        let behind = ratio(&pair.measured, &pair.reference);
        let us = |times: &[f64]| format!("{:.3}", estimate(times).median * 1e6);
        let limit = pair.limit.map_or("-".to_owned(), |limit| {
            let verdict = if behind.median <= limit {
                "kept"
            } else {
                "MISSED"
            };
            format!("{limit:.2} {verdict}")
        });
        let (bare, flip) = (us(&pair.reference), us(&pair.measured));
        let _ = writeln!(
            table,
            "{name:<16} {bare:>12} {flip:>12}  {:<22} {limit}{}",
            behind.to_string(),
            pair.note
        );
        let interval = |e: Estimate| json!({ "median": e.median, "low": e.low, "high": e.high });
        all.push(json!({
            "network": name,
            "ratio": interval(behind),
            "limit": pair.limit,
            "note": pair.note.trim(),
            "reference_seconds": pair.reference,
            "flip_seconds": pair.measured,
        }));
    }
    Ok((table, json!(all)))
}
