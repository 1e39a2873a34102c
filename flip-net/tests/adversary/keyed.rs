//! Boxes on a keyed network, and an adversary that has heard all of their conversation but has not
//! the key: nothing that it changes, repeats or makes up reaches a box, and the guard counts it.

use flip_net::rng::Rng;
use flip_net::seal::{Key, SEAL_HEADER_LEN, SEAL_OVERHEAD, SealConfig, SealDrop, Sealer, SenderId};

use super::pair::Pair;

const REPLAYS: u64 = 1_000_000;

/// What an adversary does, and how often it does it to each of the two. Nothing comes of it, all of
/// it is counted, and the conversation goes on.
fn check(mut adversary: impl FnMut(&Pair) -> [u64; 2]) {
    let mut pair = Pair::new(false);
    pair.talk();
    assert!(pair.heard.len() > 40, "{} frames", pair.heard.len());
    let before = pair
        .nodes
        .each_ref()
        .map(|node| (node.state(), node.dropped()));
    let attacks = adversary(&pair);
    for ((node, (state, dropped)), attacks) in pair.nodes.iter().zip(before).zip(attacks) {
        assert_eq!(node.state(), state);
        assert_eq!(node.dropped() - dropped, attacks);
        assert!(attacks > 0);
    }
    pair.talk();
}

#[test]
fn no_bit_of_a_sealed_frame_can_be_changed() {
    let mut pair = Pair::new(true);
    pair.talk();
    for (node, tampered) in pair.nodes.iter().zip(pair.tampered) {
        assert!(tampered > 20 * 8 * SEAL_OVERHEAD as u64, "{tampered}");
        // All of it was refused, and nothing else: each frame itself was taken.
        assert_eq!(node.dropped(), tampered);
        let drops = node.guard.drops();
        // The tag, the sender and most counters; the kind can become none, the epoch another.
        assert!(drops[&SealDrop::BadTag] > tampered / 2, "{drops:?}");
        assert!(
            drops[&SealDrop::UnknownEpoch] >= tampered * 32 / 368,
            "{drops:?}"
        );
    }
}

#[test]
fn a_million_sealed_frames_that_come_again_reach_nobody() {
    check(|pair| {
        let mut rng = Rng::new(3);
        let mut attacks = [0; 2];
        for _ in 0..REPLAYS {
            let (to, frame) = &pair.heard[rng.below(pair.heard.len() as u64) as usize];
            let at = if rng.chance(1, 8) { 1 - to } else { *to };
            let station = if rng.chance(1, 2) {
                rng.below(3)
            } else {
                rng.next_u64()
            };
            pair.attack(at, station, frame);
            attacks[at] += 1;
        }
        attacks
    });
}

#[test]
fn what_is_made_up_without_the_key_reaches_nobody() {
    check(|pair| {
        let mut rng = Rng::new(4);
        let mut attacks = [0; 2];
        let heard = &pair.heard;
        let pick = |rng: &mut Rng| &heard[rng.below(heard.len() as u64) as usize];
        // Sealers with the names of the two and another key, ahead of them in their counting.
        let impostors = [0, 1].map(|by| {
            let own = heard.iter().find(|(to, _)| *to == 1 - by);
            let id: [u8; 16] = own.expect("it spoke").1[6..22].try_into().expect("an id");
            let key = Key::new([8; 32], 0);
            Sealer::new(key, SenderId::new(id), SealConfig::default())
        });
        for round in 0..60_000_u64 {
            let (to, frame) = pick(&mut rng);
            let bytes = match round % 6 {
                0 => impostors[1 - to].seal(&[1; 60]).expect("a fresh key"),
                1 => impostors[1 - to].announce().expect("a fresh key"),
                // What a box would take, without a seal.
                2 => vec![[0, 1, 2, 6][rng.below(4) as usize], 9, 1, 3, 0, 0, 0, 0],
                // The header of one frame before the body of another.
                3 => {
                    let (_, other) = pick(&mut rng);
                    let mut bytes = [&frame[..SEAL_HEADER_LEN], &other[SEAL_HEADER_LEN..]].concat();
                    bytes[29] ^= 0x80;
                    bytes
                }
                // Random bytes behind a header that would come next.
                4 => {
                    let mut bytes = frame.clone();
                    bytes[22] = 1;
                    rng.fill(&mut bytes[SEAL_HEADER_LEN..]);
                    bytes
                }
                _ => {
                    let len = rng.below(frame.len() as u64) as usize;
                    let mut bytes = frame[..len].to_vec();
                    if len >= SEAL_OVERHEAD {
                        bytes[23] = 1;
                    }
                    bytes
                }
            };
            pair.attack(*to, round, &bytes);
            attacks[*to] += 1;
        }
        for node in &pair.nodes {
            let drops = node.guard.drops();
            let reasons = [SealDrop::BadTag, SealDrop::NotSealed, SealDrop::TooShort];
            assert!(
                reasons.iter().all(|reason| drops[reason] > 100),
                "{drops:?}"
            );
        }
        attacks
    });
}
