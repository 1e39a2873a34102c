//! A network that changes its key while frames are under way.

use flip_net::seal::{Key, RekeyError, SealConfig, SealDrop, Sealer};
use flip_net::time::{Duration, Instant};

use super::{Fate, START, answers, exchange, id, key, meet, open, released, seal, sealer};

const GRACE: Duration = Duration::from_millis(500);

fn at(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

fn pair() -> (Sealer, Sealer) {
    let (mut a, mut b) = (sealer(1), sealer(2));
    meet(START, &mut a, &mut b);
    (a, b)
}

fn rekey(sealer: &mut Sealer, now: Instant, epoch: u32) {
    sealer.rekey(now, key(epoch), GRACE).expect("a later key");
}

#[test]
fn frames_under_way_are_accepted_until_the_grace_is_over() {
    let (mut a, mut b) = pair();
    let old: Vec<_> = (0..3).map(|_| seal(&a, b"old")).collect();
    rekey(&mut a, at(0), 1);
    let new: Vec<_> = (0..3).map(|_| seal(&a, b"new")).collect();
    let too_early = open(&mut b, at(0), &new[0]);
    assert_eq!(too_early, Fate::Dropped(SealDrop::UnknownEpoch));
    rekey(&mut b, at(1), 1);
    assert_eq!(b.poll_timeout(), Some(at(501)));
    assert_eq!(open(&mut b, at(2), &new[1]), Fate::Frame(b"new".to_vec()));
    assert_eq!(open(&mut b, at(2), &old[1]), Fate::Frame(b"old".to_vec()));
    assert_eq!(
        open(&mut b, at(2), &old[1]),
        Fate::Dropped(SealDrop::Replayed)
    );
    assert_eq!(open(&mut b, at(500), &old[0]), Fate::Frame(b"old".to_vec()));
    assert_eq!(
        open(&mut b, at(501), &old[2]),
        Fate::Dropped(SealDrop::UnknownEpoch)
    );
    assert_eq!(b.poll_timeout(), None);
    // The sender need not introduce itself again, and old frames are known in the new epoch too.
    assert_eq!(open(&mut b, at(502), &new[2]), Fate::Frame(b"new".to_vec()));
    assert_eq!(
        open(&mut b, at(502), &new[1]),
        Fate::Dropped(SealDrop::Replayed)
    );
}

#[test]
fn a_key_that_all_accept_before_anybody_seals_with_it_loses_nothing() {
    let mut all = [1, 2, 3].map(sealer);
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let [one, other] = all.get_disjoint_mut([one, other]).expect("two of them");
        meet(START, one, other);
    }
    let mut under_way = Vec::new();
    let mut passed = 0;
    for step in 0..6 {
        // Each accepts it, and then each seals with it, one after the other.
        match step {
            0..3 => all[step].accept_next(key(1)).expect("a later key"),
            _ => rekey(&mut all[step - 3], at(10 + step as u64), 1),
        }
        under_way.extend((0..3).map(|from| (from, seal(&all[from], b"data"))));
        let now = at(10 + step as u64);
        // What was sent a step ago comes in now.
        for (from, frame) in under_way.drain(..under_way.len() - 3) {
            for to in (0..3).filter(|to| *to != from) {
                assert_eq!(
                    open(&mut all[to], now, &frame),
                    Fate::Frame(b"data".to_vec())
                );
                passed += 1;
            }
        }
    }
    assert_eq!(passed, 5 * 3 * 2);
    for sealer in &all {
        assert!(sealer.stats().dropped.is_empty());
        assert_eq!((sealer.stats().held, sealer.outgoing().epoch()), (0, 1));
    }
}

#[test]
fn a_box_that_only_accepts_the_next_key_meets_one_that_seals_with_it() {
    let mut old = sealer(1);
    old.accept_next(key(1)).unwrap();
    let mut new = Sealer::new(key(1), id(2), SealConfig::default());
    assert_eq!(open(&mut old, at(0), &seal(&new, b"hello")), Fate::Held);
    // It has no key of the old epoch, and need not have one.
    exchange(at(0), &mut new, &mut old);
    let fate = open(&mut old, at(1), &seal(&new, b"known"));
    assert_eq!(fate, Fate::Frame(b"known".to_vec()));
    assert_eq!(old.outgoing().epoch(), 0);
    let fate = open(&mut new, at(1), &seal(&old, b"old"));
    assert_eq!(fate, Fate::Dropped(SealDrop::UnknownEpoch));
    rekey(&mut old, at(2), 1);
    let fate = open(&mut new, at(2), &seal(&old, b"new"));
    assert_eq!(fate, Fate::Frame(b"new".to_vec()));
}

#[test]
fn a_frame_that_came_before_the_change_is_a_replay_after_it() {
    let (mut a, mut b) = pair();
    b.accept_next(key(1)).unwrap();
    rekey(&mut a, at(0), 1);
    let early = seal(&a, b"early");
    assert_eq!(open(&mut b, at(0), &early), Fate::Frame(b"early".to_vec()));
    rekey(&mut b, at(1), 1);
    b.handle_timeout(at(501));
    assert_eq!(b.incoming().sizes().0, 1, "it was heard in the new epoch");
    let fate = open(&mut b, at(600), &early);
    assert_eq!(fate, Fate::Dropped(SealDrop::Replayed));
}

#[test]
fn another_key_takes_the_place_of_the_one_that_was_accepted() {
    let (mut a, mut b) = pair();
    let wrong = || Key::new([0xbb; 32], 1);
    for sealer in [&mut a, &mut b] {
        sealer.accept_next(wrong()).unwrap();
    }
    // It was in use, so what is derived from it is at hand.
    a.rekey(at(0), wrong(), GRACE).unwrap();
    let fate = open(&mut b, at(0), &seal(&a, b"one"));
    assert_eq!(fate, Fate::Frame(b"one".to_vec()));
    rekey(&mut b, at(1), 1);
    let fate = open(&mut b, at(1), &seal(&a, b"two"));
    assert_eq!(fate, Fate::Dropped(SealDrop::BadTag));
    // A later one is still accepted when an earlier one comes to be used, and then is replaced.
    let (mut a, mut b) = pair();
    b.accept_next(key(3)).unwrap();
    rekey(&mut b, at(0), 2);
    rekey(&mut a, at(0), 3);
    let fate = open(&mut b, at(0), &seal(&a, b"three"));
    assert_eq!(fate, Fate::Frame(b"three".to_vec()));
    b.accept_next(key(4)).unwrap();
    let fate = open(&mut b, at(0), &seal(&a, b"three again"));
    assert_eq!(fate, Fate::Dropped(SealDrop::UnknownEpoch));
    let error = RekeyError {
        present: 2,
        wanted: 2,
    };
    assert_eq!(b.accept_next(key(2)), Err(error));
}

#[test]
fn without_grace_the_old_key_is_gone_at_once() {
    let (a, mut b) = pair();
    let old = seal(&a, b"old");
    b.rekey(at(1), key(1), Duration::ZERO).unwrap();
    assert_eq!(b.poll_timeout(), None);
    assert_eq!(
        open(&mut b, at(1), &old),
        Fate::Dropped(SealDrop::UnknownEpoch)
    );
}

#[test]
fn epochs_only_go_up() {
    let (mut a, _) = pair();
    rekey(&mut a, at(0), 5);
    for wanted in [0, 4, 5] {
        let error = RekeyError { present: 5, wanted };
        assert_eq!(a.rekey(at(1), key(wanted), GRACE), Err(error));
    }
    assert_eq!(a.outgoing().epoch(), 5);
}

#[test]
fn a_second_new_key_ends_the_first_grace() {
    let (mut a, mut b) = pair();
    let oldest = seal(&a, b"0");
    rekey(&mut a, at(0), 1);
    let old = seal(&a, b"1");
    rekey(&mut b, at(0), 1);
    rekey(&mut b, at(1), 2);
    assert_eq!(
        open(&mut b, at(10), &oldest),
        Fate::Dropped(SealDrop::UnknownEpoch)
    );
    // The sender was not heard in an epoch that is still open: it introduces itself anew.
    assert_eq!(open(&mut b, at(10), &old), Fate::Held);
    exchange(at(10), &mut a, &mut b);
    assert_eq!(released(&mut b), [b"1"], "it had heard of us before");
}

#[test]
fn two_in_different_epochs_can_meet_during_the_grace() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    rekey(&mut b, at(0), 1);
    assert_eq!(
        open(&mut b, at(1), &seal(&a, b"from the old epoch")),
        Fate::Held
    );
    assert_eq!(exchange(at(1), &mut a, &mut b), 2);
    let fate = open(&mut b, at(2), &seal(&a, b"heard"));
    assert_eq!(fate, Fate::Frame(b"heard".to_vec()));
    rekey(&mut a, at(3), 1);
    let fate = open(&mut a, at(4), &seal(&b, b"heard too"));
    assert_eq!(fate, Fate::Frame(b"heard too".to_vec()));
}

#[test]
fn held_frames_go_with_their_key() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    open(&mut a, at(0), &b.announce().unwrap());
    assert_eq!(open(&mut b, at(0), &seal(&a, b"held")), Fate::Held);
    assert!(b.incoming().sizes().2 > 0);
    rekey(&mut b, at(1), 1);
    b.handle_timeout(at(501));
    assert_eq!(b.incoming().sizes(), (0, 1, 0));
    assert_eq!(b.stats().dropped_for(SealDrop::UnknownEpoch), 1);
}

#[test]
fn a_sender_that_was_forgotten_with_its_epoch_comes_back_without_replays() {
    let (mut a, mut b) = pair();
    let first: Vec<_> = (0..5).map(|_| seal(&a, b"epoch 0")).collect();
    first
        .iter()
        .for_each(|frame| assert!(matches!(open(&mut b, at(0), frame), Fate::Frame(_))));
    rekey(&mut b, at(1), 1);
    rekey(&mut a, at(1), 1);
    let fate = open(&mut a, at(2), &seal(&b, b"not silent"));
    assert_eq!(fate, Fate::Frame(b"not silent".to_vec()));
    b.handle_timeout(at(501));
    assert_eq!(b.incoming().sizes().0, 0, "it was silent during the grace");
    let held = seal(&a, b"epoch 1");
    assert_eq!(open(&mut b, at(600), &held), Fate::Held);
    exchange(at(600), &mut a, &mut b);
    assert_eq!(released(&mut b), [b"epoch 1"], "it had heard of us before");
    assert_eq!(
        open(&mut b, at(600), &held),
        Fate::Dropped(SealDrop::Replayed)
    );
    for frame in &first {
        assert!(matches!(open(&mut b, at(600), frame), Fate::Dropped(_)));
    }
}

#[test]
fn a_window_outlives_the_epoch_of_held_frames_that_have_passed_it() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    open(&mut a, at(0), &b.announce().unwrap());
    answers(&mut a);
    // Two introductions: one in the old epoch, which arrives, one in the new epoch, which is kept.
    open(&mut b, at(0), &seal(&a, b"old"));
    let challenge = answers(&mut b).remove(0);
    open(&mut a, at(0), &challenge);
    let introduction = answers(&mut a).remove(0);
    rekey(&mut a, at(1), 1);
    rekey(&mut b, at(1), 1);
    let new = seal(&a, b"new");
    assert_eq!(open(&mut b, at(20), &new), Fate::Held);
    let challenge = answers(&mut b).remove(0);
    open(&mut a, at(20), &challenge);
    let kept = answers(&mut a).remove(0);
    assert_eq!(open(&mut b, at(21), &introduction), Fate::Control);
    assert_eq!(released(&mut b), [b"old", b"new"]);
    b.handle_timeout(at(501));
    assert_eq!(b.incoming().sizes().0, 1, "the sender is not forgotten");
    assert_eq!(open(&mut b, at(502), &kept), Fate::Control);
    assert_eq!(
        open(&mut b, at(502), &new),
        Fate::Dropped(SealDrop::Replayed)
    );
}

#[test]
fn a_key_that_is_used_up_seals_nothing_more_and_the_next_one_does() {
    let config = SealConfig {
        frames_max: 3,
        ..SealConfig::default()
    };
    let mut a = Sealer::new(key(0), id(1), config);
    let frames: Vec<_> = (0..5).map(|_| a.seal(b"data")).collect();
    assert!(frames[..3].iter().all(Option::is_some));
    assert_eq!(frames[3..], [None, None]);
    assert_eq!((a.announce(), a.outgoing().refused()), (None, 3));
    let mut b = sealer(2);
    open(&mut a, at(0), &b.announce().unwrap());
    assert_eq!((a.poll_transmit(), a.stats().unanswered), (None, 1));
    rekey(&mut a, at(1), 1);
    rekey(&mut b, at(1), 1);
    meet(at(20), &mut b, &mut a);
    assert_eq!(
        open(&mut b, at(20), &seal(&a, b"more")),
        Fate::Frame(b"more".to_vec())
    );
    assert!(a.seal(b"the third, after an answer and a frame").is_some());
    assert_eq!(a.seal(b"again"), None);
}

#[test]
fn the_next_key_is_a_key_like_any() {
    let next = || key(0).next(&[3; 32]).unwrap();
    let mut a = Sealer::new(next(), id(1), SealConfig::default());
    let mut b = Sealer::new(key(0), id(2), SealConfig::default());
    b.rekey(at(0), next(), GRACE).unwrap();
    meet(at(1), &mut a, &mut b);
    let other = Sealer::new(Key::new([3; 32], 1), id(3), SealConfig::default());
    let fate = open(&mut b, at(1), &seal(&other, b"with the fresh bytes alone"));
    assert_eq!(fate, Fate::Dropped(SealDrop::BadTag));
}
