//! The bytes of sealed frames, and what becomes of frames that are not quite theirs.

use flip_net::rng::Rng;
use flip_net::seal::{Key, SEAL_HEADER_LEN, SEAL_OVERHEAD, SealConfig, SealDrop, Sealer, SenderId};

use super::{Fate, START, answers, exchange, id, key, meet, open, seal, sealer};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes `first`, `first + 1`, ...
fn count<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first + at as u8)
}

/// One frame of each kind, sealed by somebody whom `receiver` knows.
fn one_of_each(receiver: &mut Sealer) -> Vec<Vec<u8>> {
    let mut sender = sealer(1);
    meet(START, &mut sender, receiver);
    let mut third = sealer(3);
    let data = seal(&sender, b"a frame that says something");
    let empty = seal(&sender, b"");
    let announcement = sender.announce().unwrap();
    open(&mut sender, START, &seal(&third, b"who are you"));
    let challenge = answers(&mut sender).remove(0);
    open(&mut third, START, &challenge);
    open(&mut sender, START, &third.announce().unwrap());
    let introduction = answers(&mut third).remove(0);
    vec![data, empty, announcement, challenge, introduction]
}

#[test]
fn sealed_frames_have_these_bytes() {
    // Computed by another implementation of HKDF and AES-GCM.
    let own = SenderId::new(count(0xa0));
    let config = SealConfig::default();
    let mut sealer = Sealer::new(Key::new(count(0), 7), own, config);
    let mut other = Sealer::new(Key::new(count(0), 7), SenderId::new(count(0xc0)), config);
    let head = "00000007a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
    let check = |frame: &[u8], kind: &str, rest: &str| {
        assert_eq!(hex(frame), format!("e5{kind}{head}{rest}"));
    };
    check(
        &sealer.seal(b"a FLIP packet").unwrap(),
        "01",
        "0000000000000000\
         7ad7c8b629db8dd023125c54c0\
         1de151e1292b715bb934749b186fb37b",
    );
    check(
        &sealer.announce().unwrap(),
        "02",
        "0000000000000001\
         cc74a778ea5bc2810b21fbf71c0e92a3b4dcc82b77aca3dd\
         e85ca0fbbc8da79eb7aa8733ca9d414d",
    );
    open(&mut sealer, START, &other.seal(b"anything").unwrap());
    let challenge = answers(&mut sealer).remove(0);
    check(
        &challenge,
        "02",
        "0000000000000002\
         68e8c11e03bb5af9dcaa9e4420f6f65b24dbd58d3e1e9524\
         c1f2290fafab29d2a411d661548af517",
    );
    open(&mut other, START, &challenge);
    for introduction in answers(&mut other) {
        open(&mut sealer, START, &introduction);
    }
    open(&mut sealer, START, &other.announce().unwrap());
    check(
        &answers(&mut sealer).remove(0),
        "03",
        "0000000000000003\
         1f65435ea710f1339c5605e2b1e56f919308b7c57d5a1d3d\
         1cdf8cc9f698c4099e8ee3bbaabed51f",
    );
}

#[test]
fn what_was_sealed_is_what_comes_out() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    meet(START, &mut a, &mut b);
    let mut rng = Rng::new(5);
    let random: Vec<usize> = (0..500).map(|_| rng.below(4_000) as usize).collect();
    let sizes: Vec<usize> = (0..=300)
        .chain(random)
        .chain([1_400, 8_192, 61_440, 1 << 20])
        .collect();
    for size in sizes {
        let mut plain = vec![0; size];
        rng.fill(&mut plain);
        let sealed = seal(&a, &plain);
        assert_eq!(sealed.len(), size + SEAL_OVERHEAD);
        let shows = size >= 16 && sealed.windows(16).any(|part| part == &plain[..16]);
        assert!(!shows, "nothing of the frame can be read");
        assert_eq!(open(&mut b, START, &sealed), Fate::Frame(plain.clone()));
        let back = seal(&b, &plain);
        assert_eq!(open(&mut a, START, &back), Fate::Frame(plain));
    }
}

#[test]
fn equal_frames_look_different() {
    let a = sealer(1);
    let [one, two] = [seal(&a, &[0; 64]), seal(&a, &[0; 64])];
    assert_ne!(one[SEAL_HEADER_LEN..], two[SEAL_HEADER_LEN..]);
    // Nor do two senders use the same stream at the same counter.
    let other = seal(&sealer(2), &[0; 64]);
    assert_ne!(one[SEAL_HEADER_LEN..], other[SEAL_HEADER_LEN..]);
}

#[test]
fn a_frame_with_one_bit_flipped_is_dropped() {
    let mut knows = sealer(2);
    let frames = one_of_each(&mut knows);
    let mut fresh = sealer(4);
    for receiver in [&mut knows, &mut fresh] {
        let sizes = receiver.incoming().sizes();
        for frame in &frames {
            for bit in 0..frame.len() * 8 {
                let mut changed = frame.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let fate = open(receiver, START, &changed);
                assert!(matches!(fate, Fate::Dropped(_)), "bit {bit}: {fate:?}");
                assert_eq!(receiver.poll_transmit(), None, "bit {bit}");
            }
        }
        assert_eq!(receiver.incoming().sizes(), sizes, "nothing was noted");
    }
    // The frames themselves are good.
    for frame in &frames {
        let fate = open(&mut knows, START, frame);
        let for_others = Fate::Dropped(SealDrop::NotForMe);
        assert!(!matches!(fate, Fate::Dropped(_)) || fate == for_others);
    }
    assert_eq!(open(&mut fresh, START, &frames[0]), Fate::Held);
}

#[test]
fn a_frame_of_another_length_is_dropped() {
    let mut receiver = sealer(2);
    let frames = one_of_each(&mut receiver);
    for frame in &frames {
        for len in 0..frame.len() {
            let reason = if len < SEAL_OVERHEAD {
                SealDrop::TooShort
            } else {
                SealDrop::BadTag
            };
            let fate = open(&mut receiver, START, &frame[..len]);
            assert_eq!(fate, Fate::Dropped(reason), "{len} of {}", frame.len());
        }
        for more in 1..40 {
            let longer = [&frame[..], &vec![0; more]].concat();
            let fate = open(&mut receiver, START, &longer);
            assert_eq!(fate, Fate::Dropped(SealDrop::BadTag));
        }
    }
}

#[test]
fn who_has_another_key_is_not_heard() {
    let mut receiver = sealer(2);
    meet(START, &mut sealer(1), &mut receiver);
    let sizes = receiver.incoming().sizes();
    // Under an id of its own, and under one that the receiver knows.
    for (sender, counters) in [(id(7), 0), (id(1), 100)] {
        let forger = Sealer::new(Key::new([0x4c; 32], 0), sender, SealConfig::default());
        (0..counters).for_each(|_| drop(seal(&forger, b"")));
        for frame in [seal(&forger, b"let me in"), forger.announce().unwrap()] {
            let fate = open(&mut receiver, START, &frame);
            assert_eq!(fate, Fate::Dropped(SealDrop::BadTag));
        }
    }
    let later = Sealer::new(key(1), id(8), SealConfig::default());
    let fate = open(&mut receiver, START, &seal(&later, b"from tomorrow"));
    assert_eq!(fate, Fate::Dropped(SealDrop::UnknownEpoch));
    assert_eq!(receiver.incoming().sizes(), sizes);
    assert_eq!(receiver.poll_transmit(), None);
}

#[test]
fn made_up_frames_are_dropped_whatever_is_in_them() {
    let mut receiver = sealer(2);
    let template = one_of_each(&mut receiver).remove(0);
    let sizes = receiver.incoming().sizes();
    let mut rng = Rng::new(77);
    for _ in 0..50_000 {
        let mut frame = vec![0; rng.below(120) as usize];
        rng.fill(&mut frame);
        // Half of them start like a sealed frame.
        let like = (rng.below(80) as usize).min(frame.len().min(template.len() - 8));
        if rng.chance(1, 2) {
            frame[..like].copy_from_slice(&template[..like]);
        }
        let fate = open(&mut receiver, START, &frame);
        assert!(matches!(fate, Fate::Dropped(_)), "{}", hex(&frame));
    }
    assert_eq!(receiver.incoming().sizes(), sizes);
    assert_eq!(receiver.poll_transmit(), None);
    let reasons = receiver.stats();
    for reason in [
        SealDrop::TooShort,
        SealDrop::NotSealed,
        SealDrop::UnknownKind,
        SealDrop::UnknownEpoch,
        SealDrop::BadTag,
    ] {
        assert!(reasons.dropped_for(reason) > 0, "{reason}");
    }
}

#[test]
fn frames_without_a_key_do_not_pass() {
    let mut receiver = sealer(2);
    for first in (0..=255).filter(|first| *first != flip_net::seal::SEAL_MAGIC) {
        let fate = open(&mut receiver, START, &[first; 60]);
        assert_eq!(fate, Fate::Dropped(SealDrop::NotSealed));
    }
    assert_eq!(
        open(&mut receiver, START, b""),
        Fate::Dropped(SealDrop::TooShort)
    );
}

#[test]
fn an_own_frame_that_comes_back_is_dropped() {
    let mut a = sealer(1);
    for frame in [seal(&a, b"echo"), a.announce().unwrap()] {
        assert_eq!(open(&mut a, START, &frame), Fate::Dropped(SealDrop::Own));
    }
    assert_eq!(exchange(START, &mut a, &mut sealer(2)), 0);
}
