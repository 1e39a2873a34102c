//! What others can make a sealer store or send, and what happens at each bound.

use flip_net::address::LinkAddress;
use flip_net::seal::{Opened, SEAL_OVERHEAD, SealConfig, SealDrop, Sealer};
use flip_net::time::{Duration, Instant};

use super::{Fate, START, answers, exchange, meet, open, released, seal, sealer, sealer_with};

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// Lets `a` hear of `b` without an answer, so that all of its frames from now on can be released.
fn hear(a: &mut Sealer, b: &Sealer) {
    open(a, START, &b.announce().unwrap());
    answers(a);
}

#[test]
fn the_newest_few_frames_of_an_unknown_sender_are_held() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    hear(&mut a, &b);
    for number in 0..100_u8 {
        assert_eq!(open(&mut b, START, &seal(&a, &[number])), Fate::Held);
        let (_, _, bytes) = b.incoming().sizes();
        assert!(bytes <= 8 * (SEAL_OVERHEAD + 1));
    }
    assert_eq!(b.stats().dropped_for(SealDrop::Unintroduced), 92);
    exchange(START, &mut a, &mut b);
    let newest: Vec<_> = (92..100).map(|number| vec![number]).collect();
    assert_eq!(released(&mut b), newest);
    assert_eq!(b.incoming().sizes(), (1, 0, 0));
}

#[test]
fn long_frames_are_held_up_to_the_bytes_of_their_sender() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    hear(&mut a, &b);
    let max = SealConfig::default().held_bytes_by_sender_max;
    for _ in 0..20 {
        open(&mut b, START, &seal(&a, &vec![1; 60 << 10]));
        assert!(b.incoming().sizes().2 <= max);
    }
    // One that fits nowhere costs its sender nothing else.
    open(&mut b, START, &seal(&a, &vec![2; max]));
    exchange(START, &mut a, &mut b);
    assert_eq!(released(&mut b).len(), 4);
}

#[test]
fn all_that_is_held_is_bounded_and_the_oldest_sender_makes_room() {
    let config = SealConfig {
        held_bytes_max: 10_000,
        held_bytes_by_sender_max: 4_000,
        ..SealConfig::default()
    };
    let mut b = sealer_with(2, config);
    let mut senders: Vec<_> = (100..120).map(sealer).collect();
    for sender in &mut senders {
        hear(sender, &b);
        for _ in 0..3 {
            assert_eq!(open(&mut b, START, &seal(sender, &[7; 1_000])), Fate::Held);
            assert!(b.incoming().sizes().2 <= 10_000);
        }
    }
    let (_, waiting, bytes) = b.incoming().sizes();
    assert_eq!((waiting, bytes), (3, 9 * (1_000 + SEAL_OVERHEAD)));
    answers(&mut b);
    for sender in &mut senders {
        let now = START + Duration::from_secs(1);
        meet(now, sender, &mut b);
    }
    assert_eq!(released(&mut b).len(), 9, "of the three newest");
    assert_eq!(b.incoming().sizes(), (20, 0, 0));
}

#[test]
fn released_frames_that_nobody_takes_are_bounded_too() {
    let config = SealConfig {
        held_bytes_max: 4_000,
        held_bytes_by_sender_max: 4_000,
        ..SealConfig::default()
    };
    let mut b = sealer_with(2, config);
    for number in 100..110 {
        let mut sender = sealer(number);
        hear(&mut sender, &b);
        (0..3).for_each(|_| drop(open(&mut b, START, &seal(&sender, &[7; 1_000]))));
        exchange(START, &mut sender, &mut b);
        assert!(b.incoming().sizes().2 <= 4_000);
    }
    assert_eq!(released(&mut b).len(), 4);
    assert_eq!(b.stats().dropped_for(SealDrop::Unintroduced), 26);
    assert_eq!(b.incoming().sizes(), (10, 0, 0));
}

#[test]
fn unknown_senders_are_bounded_and_the_oldest_is_forgotten() {
    let config = SealConfig {
        waiting_max: 50,
        ..SealConfig::default()
    };
    let mut b = sealer_with(2, config);
    let mut senders: Vec<_> = (0..200).map(|number| sealer(1_000 + number)).collect();
    for sender in &senders {
        assert_eq!(open(&mut b, START, &seal(sender, b"hello")), Fate::Held);
        assert!(b.incoming().sizes().1 <= 50);
    }
    assert_eq!(b.stats().dropped_for(SealDrop::Unintroduced), 150);
    // Who was forgotten can still come in: the challenges had been sent.
    for (sender, challenge) in senders.iter_mut().zip(answers(&mut b)) {
        open(sender, START, &challenge);
        exchange(START, sender, &mut b);
    }
    assert_eq!(b.incoming().sizes(), (200, 0, 0));
}

#[test]
fn beyond_the_last_place_new_senders_are_refused_and_the_known_are_served() {
    let config = SealConfig {
        senders_max: 100,
        ..SealConfig::default()
    };
    let mut b = sealer_with(2, config);
    let mut first = sealer(1);
    meet(START, &mut first, &mut b);
    let used = seal(&first, b"used");
    open(&mut b, START, &used);
    (0..99).for_each(|number| meet(START, &mut sealer(1_000 + number), &mut b));
    for number in 0..50 {
        let late = sealer(2_000 + number);
        for frame in [seal(&late, b"late"), late.announce().unwrap()] {
            let fate = open(&mut b, START, &frame);
            assert_eq!(fate, Fate::Dropped(SealDrop::TooManySenders));
        }
    }
    assert_eq!(b.poll_transmit(), None);
    assert_eq!(b.incoming().sizes(), (100, 0, 0));
    let fate = open(&mut b, START, &seal(&first, b"here"));
    assert_eq!(fate, Fate::Frame(b"here".to_vec()));
    assert_eq!(
        open(&mut b, START, &used),
        Fate::Dropped(SealDrop::Replayed)
    );
}

#[test]
fn a_replay_cannot_make_a_flood() {
    let mut b = sealer(2);
    let captured = seal(&sealer(1), b"captured");
    let mut challenges = 0;
    // Ten seconds, one replay each 10 us.
    for tick in 0..1_000_000 {
        open(&mut b, at(tick * 10), &captured);
        challenges += answers(&mut b).len();
    }
    // 5, 10, ... 640 ms make 1.275 s; then one a second.
    assert_eq!(challenges, 8 + 9);
}

#[test]
fn many_replayed_senders_cannot_make_a_flood() {
    let config = SealConfig {
        answers_burst: 100,
        answers_per_second: 50,
        waiting_max: 10,
        ..SealConfig::default()
    };
    let mut b = sealer_with(2, config);
    let captured: Vec<_> = (0..300)
        .map(|number| seal(&sealer(1_000 + number), b"captured"))
        .collect();
    let mut challenges = 0;
    for tick in 0..100_000 {
        open(&mut b, at(tick * 20), &captured[tick as usize % 300]);
        challenges += answers(&mut b).len();
    }
    assert_eq!(challenges, 100 + 2 * 50 - 1, "two seconds, less a tick");
}

#[test]
fn who_asks_too_often_is_not_always_answered() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    meet(START, &mut a, &mut b);
    let mut introductions = 0;
    for tick in 1..=1_000 {
        let asked = open(&mut b, at(tick * 100), &a.announce().unwrap());
        assert_eq!(asked, Fate::Control);
        introductions += answers(&mut b).len();
    }
    assert_eq!(introductions, 20, "one each 5 ms");
}

#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut b = sealer(2);
    for number in 0..2_000 {
        open(&mut b, START, &seal(&sealer(1_000 + number), b"hello"));
    }
    assert_eq!(answers(&mut b).len(), 1_024);
    assert_eq!(b.stats().unanswered, 976);
}

#[test]
fn only_stations_are_answered() {
    let mut b = sealer(2);
    let mut frame = seal(&sealer(1), b"from nowhere");
    let opened = b.open(START, LinkAddress::Broadcast, &mut frame);
    assert_eq!(opened, Opened::Held);
    assert_eq!(b.poll_transmit(), None);
}

#[test]
fn more_senders_than_cached_keys_are_served_all_the_same() {
    let config = SealConfig {
        keys_len_max: 4,
        ..SealConfig::default()
    };
    let mut b = sealer_with(2, config);
    let mut senders: Vec<_> = (0..20).map(|number| sealer(1_000 + number)).collect();
    senders
        .iter_mut()
        .for_each(|sender| meet(START, sender, &mut b));
    for _ in 0..5 {
        for sender in &senders {
            let fate = open(&mut b, START, &seal(sender, b"data"));
            assert_eq!(fate, Fate::Frame(b"data".to_vec()));
        }
    }
}
