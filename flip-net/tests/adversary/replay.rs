//! A whole conversation, captured, and played again a million times over: in any order, from any
//! station, in front of any box.

use flip_net::address::LinkAddress;
use flip_net::flip_box::{PARTS_MAX, Sizes};
use flip_net::rng::Rng;
use flip_net::time::Duration;

use super::bits::conversation;
use super::lab::{Heard, LONG, Lab};

const REPLAYS: u64 = 1_000_000;

fn replay(lab: &mut Lab, rng: &mut Rng, heard: &[Heard], count: u64) -> [Sizes; 3] {
    let mut peaks = [Sizes::default(); 3];
    for number in 0..count {
        let frame = &heard[rng.below(heard.len() as u64) as usize];
        let from = LinkAddress::Station(match rng.below(4) {
            0 => rng.below(3),
            1 => rng.below(1_000),
            _ => rng.next_u64(),
        });
        lab.inject(frame.to, frame.network, from, &frame.bytes);
        // Each half is longer than anything is remembered.
        lab.run_for(Duration::from_micros(24));
        if number % 5_000 == 0 {
            lab.check_bounds();
            for (peak, node) in peaks.iter_mut().zip(&lab.nodes) {
                peak.raise(&node.flip.sizes());
            }
        }
        if number % 50_000 == 0 {
            lab.nodes.iter_mut().for_each(|node| node.messages.clear());
        }
    }
    peaks
}

#[test]
fn a_million_replays_leave_nothing_that_grows() {
    let (mut lab, heard) = conversation();
    let mut rng = Rng::new(1);
    let first = replay(&mut lab, &mut rng, &heard, REPLAYS / 2);
    let second = replay(&mut lab, &mut rng, &heard, REPLAYS / 2);
    for (first, second) in first.iter().zip(&second) {
        let bound = Sizes {
            loops: first.loops + first.loops / 10,
            // What happens to be under way.
            queued: first.queued + PARTS_MAX,
            queued_bytes: first.queued_bytes + LONG,
            kept: first.kept.max(1),
            kept_bytes: first.kept_bytes.max(LONG),
            ..*first
        };
        assert_eq!(second.beyond(&bound), None, "{first:?} {second:?}");
        assert!(
            second.routes <= 8,
            "there are but a few addresses: {second:?}"
        );
    }
    lab.gets_through();
}
