//! Frames that were captured and come again, to the receiver that had them and to one that started
//! later; and which frames of a living sender are lost for that.

use flip_net::rng::Rng;
use flip_net::seal::{SealDrop, Sealer, WINDOW_LEN};
use flip_net::time::{Duration, Instant};

use super::{Fate, START, answers, counter, exchange, meet, open, released, seal, sealer};

/// Two that talk, and all that the wire has seen of it.
fn conversation(frames: usize) -> (Sealer, Sealer, Vec<Vec<u8>>) {
    let (mut a, mut b) = (sealer(1), sealer(2));
    let mut captured = vec![a.announce().unwrap()];
    open(&mut b, START, &captured[0]);
    let challenge = answers(&mut b).remove(0);
    open(&mut a, START, &challenge);
    let introduction = answers(&mut a).remove(0);
    open(&mut b, START, &introduction);
    captured.extend([challenge, introduction]);
    for number in 0..frames {
        let frame = seal(&a, &number.to_be_bytes());
        assert!(matches!(open(&mut b, START, &frame), Fate::Frame(_)));
        captured.push(frame);
    }
    (a, b, captured)
}

fn is_refused(fate: &Fate) -> bool {
    matches!(fate, Fate::Dropped(_))
}

#[test]
fn a_million_replays_are_refused_and_leave_nothing() {
    let (_, mut b, captured) = conversation(2 * WINDOW_LEN as usize);
    let sizes = b.incoming().sizes();
    let mut rng = Rng::new(1);
    for round in 0..1_000_000 {
        let frame = &captured[rng.below(captured.len() as u64) as usize];
        let fate = open(&mut b, Instant::from_micros(round), frame);
        assert!(is_refused(&fate), "{fate:?}");
    }
    assert_eq!(b.incoming().sizes(), sizes);
    assert_eq!((b.poll_frame(), b.poll_transmit()), (None, None));
    let stats = b.stats();
    let old = stats.dropped_for(SealDrop::TooOld);
    assert!(old > 300_000 && stats.dropped_for(SealDrop::Replayed) > 300_000);
}

#[test]
fn a_receiver_that_starts_again_accepts_nothing_of_a_dead_sender() {
    let (_, _, captured) = conversation(3_000);
    let mut again = sealer(20);
    let mut rng = Rng::new(2);
    let mut challenges = 0;
    for round in 0..200_000 {
        let frame = &captured[rng.below(captured.len() as u64) as usize];
        let fate = open(&mut again, Instant::from_micros(round * 10), frame);
        assert!(!matches!(fate, Fate::Frame(_)), "{fate:?}");
        challenges += answers(&mut again).len();
    }
    assert_eq!(released(&mut again), Vec::<Vec<u8>>::new());
    let (known, waiting, held) = again.incoming().sizes();
    assert_eq!((known, waiting), (0, 2), "two senders, neither is alive");
    assert!(held <= 8 * 60, "{held} bytes");
    // Two seconds: 5 ms, 10, 20, ... up to a second between challenges to each.
    assert!(challenges <= 2 * 10, "{challenges} challenges");
}

#[test]
fn a_receiver_that_starts_again_accepts_only_new_frames_of_a_living_sender() {
    let (mut a, _, captured) = conversation(2_000);
    let mut again = sealer(20);
    let mut rng = Rng::new(3);
    let mut replay = |again: &mut Sealer, micros| {
        let frame = &captured[rng.below(captured.len() as u64) as usize];
        open(again, Instant::from_micros(micros), frame)
    };
    for round in 0..1_000 {
        assert!(!matches!(replay(&mut again, round), Fate::Frame(_)));
        // The sender hears the challenges, and answers.
        exchange(START, &mut again, &mut a);
    }
    assert_eq!(again.stats().introduced, 1);
    assert_eq!(released(&mut again), Vec::<Vec<u8>>::new(), "held, but old");
    for round in 0..100_000 {
        let fate = replay(&mut again, 1_000 + round);
        assert!(!matches!(fate, Fate::Frame(_)), "{fate:?}");
    }
    assert_eq!(released(&mut again), Vec::<Vec<u8>>::new());
    assert!(again.stats().dropped_for(SealDrop::Stale) > 50_000);
    let new = seal(&a, b"new");
    let fate = open(&mut again, START, &new);
    assert_eq!(fate, Fate::Frame(b"new".to_vec()));
    assert_eq!(
        open(&mut again, START, &new),
        Fate::Dropped(SealDrop::Replayed)
    );
}

#[test]
fn what_was_sealed_before_its_sender_had_heard_of_the_receiver_is_lost() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    assert_eq!(open(&mut b, START, &seal(&a, b"first")), Fate::Held);
    assert_eq!(exchange(START, &mut a, &mut b), 2);
    assert_eq!(released(&mut b), Vec::<Vec<u8>>::new());
    assert_eq!(b.stats().dropped_for(SealDrop::Stale), 1);
    let fate = open(&mut b, START, &seal(&a, b"second"));
    assert_eq!(fate, Fate::Frame(b"second".to_vec()));
}

#[test]
fn what_was_sealed_after_the_announcement_was_heard_is_released() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    let before = seal(&a, b"before");
    // The announcement is heard, the answer to it is lost.
    open(&mut a, START, &b.announce().unwrap());
    assert_eq!(answers(&mut a).len(), 1);
    let plains: [&[u8]; 3] = [b"one", b"two", b"three"];
    let frames = plains.map(|plain| seal(&a, plain));
    for frame in [&before, &frames[1], &frames[0], &frames[1]] {
        assert_eq!(open(&mut b, START, frame), Fate::Held);
    }
    let later = START + Duration::from_secs(1);
    let challenges = answers(&mut b);
    assert_eq!(challenges.len(), 1, "one for all of them");
    open(&mut a, later, &challenges[0]);
    let introduction = answers(&mut a).remove(0);
    assert_eq!(counter(&introduction), 5);
    open(&mut b, later, &introduction);
    assert_eq!(released(&mut b), [b"two", b"one"], "each once");
    let fate = open(&mut b, later, &frames[2]);
    assert_eq!(
        fate,
        Fate::Frame(b"three".to_vec()),
        "below the introduction"
    );
    assert_eq!(open(&mut b, later, &before), Fate::Dropped(SealDrop::Stale));
}

#[test]
fn a_lost_challenge_or_introduction_comes_again_with_the_next_frames() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    let mut now = START;
    for lost in ["challenge", "introduction"] {
        assert_eq!(open(&mut b, now, &seal(&a, b"data")), Fate::Held);
        let challenge = answers(&mut b).remove(0);
        if lost == "introduction" {
            open(&mut a, now, &challenge);
            assert_eq!(answers(&mut a).len(), 1);
        }
        now += Duration::from_millis(20);
    }
    assert_eq!(open(&mut b, now, &seal(&a, b"kept")), Fate::Held);
    exchange(now, &mut a, &mut b);
    assert_eq!(released(&mut b), [b"kept"], "sealed after the challenge");
}

#[test]
fn an_introduction_to_one_receiver_is_nothing_to_another() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    open(&mut b, START, &seal(&a, b"data"));
    let challenge = answers(&mut b).remove(0);
    open(&mut a, START, &challenge);
    let introduction = answers(&mut a).remove(0);
    let mut again = sealer(20);
    for frame in [&introduction, &challenge] {
        let fate = open(&mut again, START, frame);
        assert_eq!(fate, Fate::Dropped(SealDrop::NotForMe));
    }
    assert_eq!(again.incoming().sizes().0, 0);
    assert_eq!(open(&mut b, START, &introduction), Fate::Control);
    assert_eq!(
        open(&mut b, START, &introduction),
        Fate::Dropped(SealDrop::Replayed)
    );
}

#[test]
fn a_challenge_of_a_known_sender_is_answered_once() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    meet(START, &mut a, &mut b);
    let later = START + Duration::from_secs(1);
    let challenge = a.announce().unwrap();
    assert_eq!(open(&mut b, later, &challenge), Fate::Control);
    assert_eq!(answers(&mut b).len(), 1);
    for seconds in 2..10 {
        let fate = open(&mut b, START + Duration::from_secs(seconds), &challenge);
        assert_eq!(fate, Fate::Dropped(SealDrop::Replayed));
        assert_eq!(answers(&mut b).len(), 0);
    }
}

#[test]
fn an_introduction_that_was_held_up_opens_nothing_old() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    let old: Vec<_> = (0..10).map(|_| seal(&a, b"old")).collect();
    open(&mut b, START, &old[0]);
    let challenge = answers(&mut b).remove(0);
    open(&mut a, START, &challenge);
    let introduction = answers(&mut a).remove(0);
    let new: Vec<_> = (0..10).map(|_| seal(&a, b"new")).collect();
    let much_later = START + Duration::from_secs(3_600);
    assert_eq!(open(&mut b, much_later, &introduction), Fate::Control);
    for frame in &old {
        assert_eq!(
            open(&mut b, much_later, frame),
            Fate::Dropped(SealDrop::Stale)
        );
    }
    for frame in &new {
        assert!(matches!(open(&mut b, much_later, frame), Fate::Frame(_)));
        assert_eq!(
            open(&mut b, much_later, frame),
            Fate::Dropped(SealDrop::Replayed)
        );
    }
}

#[test]
fn frames_may_overtake_each_other_within_the_window_and_not_beyond() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    meet(START, &mut a, &mut b);
    let frames: Vec<_> = (0..2 * WINDOW_LEN).map(|_| seal(&a, b"data")).collect();
    let (early, late) = frames.split_at(WINDOW_LEN as usize);
    // The newest of the first half first, then all others backwards: all are in the window.
    for frame in early.iter().rev() {
        assert!(matches!(open(&mut b, START, frame), Fate::Frame(_)));
    }
    let newest = &late[late.len() - 1];
    assert!(matches!(open(&mut b, START, newest), Fate::Frame(_)));
    for frame in early {
        assert_eq!(open(&mut b, START, frame), Fate::Dropped(SealDrop::TooOld));
    }
    for frame in &late[..late.len() - 1] {
        assert!(matches!(open(&mut b, START, frame), Fate::Frame(_)));
    }
    for frame in late {
        assert_eq!(
            open(&mut b, START, frame),
            Fate::Dropped(SealDrop::Replayed)
        );
    }
}
