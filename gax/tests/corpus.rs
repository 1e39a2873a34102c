//! Replays what the fuzz target of the configuration of flipd has found, and mutations of it; see
//! `flip-net/fuzz`.

#![allow(
    unreachable_pub,
    reason = "what is included here is public in the fuzz crate"
)]

#[path = "../../flip-net/fuzz/src/flipd_config.rs"]
mod flipd_config;
#[path = "../../flip-net/tests/support/replay.rs"]
mod replay;

use gax::flipd;
use stack::flip_net::rng::Rng;

#[test]
fn no_known_text_upsets_the_configuration_of_flipd() {
    let texts = replay::corpus("flipd_config");
    let good = |text: &[u8]| {
        std::str::from_utf8(text).is_ok_and(|text| flipd::config::parse(text).is_ok())
    };
    assert!(
        texts.iter().any(|(_, text)| good(text)),
        "some of it is right"
    );
    replay::check("flipd_config", 10_000, flipd_config::run);
}
