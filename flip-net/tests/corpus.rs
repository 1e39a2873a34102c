//! Replays what the fuzz targets of `flip-net/fuzz` have found, with the very same code, and some
//! thousands of seeded mutations of it. No new input is sought here; `flip-net/fuzz/run` does that.

#![allow(
    unreachable_pub,
    reason = "what is included here is public in the fuzz crate"
)]

#[path = "../fuzz/src/flip_box/mod.rs"]
mod flip_box;
#[path = "../fuzz/src/join.rs"]
mod join;
#[path = "../fuzz/src/packet.rs"]
mod packet;
#[path = "support/replay.rs"]
mod replay;
#[path = "../fuzz/src/seal.rs"]
mod seal;

use flip_net::flip_box::{Mark, Marks};
use flip_net::rng::Rng;
use replay::{check, corpus};

#[test]
fn no_known_input_upsets_the_wire() {
    check("packet", 20_000, packet::run);
}

#[test]
fn no_known_input_upsets_a_joiner() {
    check("join", 5_000, join::run);
}

#[test]
fn no_known_input_upsets_a_sealer() {
    check("seal", 3_000, seal::run);
}

#[test]
fn no_known_input_upsets_a_box() {
    check("flip_box", 5_000, flip_box::run);
}

#[test]
fn the_corpus_of_the_box_comes_to_everything_that_a_box_does() {
    let mut marks = Marks::default();
    for (_, input) in corpus("flip_box") {
        marks.merge(&flip_box::run_counted(&input));
    }
    assert_eq!(marks.missed(), Vec::<Mark>::new(), "{marks}");
}
