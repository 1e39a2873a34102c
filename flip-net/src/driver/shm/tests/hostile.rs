//! Segments full of nonsense: it is found out and counted, and nobody panics or waits for ever.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;
use crate::rng::Rng;

const SMALL: usize = 4_096;
const HEADER_BYTES: u64 = 24;

fn open(fd: impl AsFd) -> Result<(), ShmOpenError> {
    ShmDevice::open(fd, 0).map(|_| ())
}

fn file_of(segment: &ShmSegment) -> File {
    File::from(segment.as_fd().try_clone_to_owned().unwrap())
}

#[test]
fn every_byte_of_the_header_counts() {
    for at in 0..HEADER_BYTES {
        let segment = ShmSegment::create(3, SMALL).unwrap();
        let file = file_of(&segment);
        let mut byte = [0];
        for flip in [1, 0x80, 0xff] {
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ flip], at).unwrap();
            assert!(open(&segment).is_err(), "byte {at} does not matter");
            file.write_all_at(&byte, at).unwrap();
        }
        open(&segment).unwrap();
    }
}

#[test]
fn random_headers_are_refused() {
    let mut rng = Rng::new(1);
    let segment = ShmSegment::create(3, SMALL).unwrap();
    let file = file_of(&segment);
    let mut header = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut header, 0).unwrap();
    for _ in 0..2_000 {
        let mut random = header;
        let start = rng.below(HEADER_BYTES) as usize;
        rng.fill(&mut random[start..]);
        if random != header {
            file.write_all_at(&random, 0).unwrap();
            assert!(open(&segment).is_err(), "{random:02x?}");
        }
    }
}

#[test]
fn what_is_no_segment_is_refused() {
    let (pipe, _writer) = std::io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let program = File::open(std::env::current_exe().unwrap()).unwrap();
    for fd in [OwnedFd::from(pipe), null.into(), program.into()] {
        assert!(matches!(open(fd), Err(ShmOpenError::NotASegment(_))));
    }
    let old = ShmSegment::create(1, SMALL).unwrap();
    file_of(&old).write_all_at(&[77, 0, 0, 0], 8).unwrap();
    assert!(matches!(
        open(old),
        Err(ShmOpenError::Version { found: 77 })
    ));
}

#[test]
fn nobody_can_shrink_a_segment_under_the_others() {
    let segment = ShmSegment::create(1, SMALL).unwrap();
    let file = file_of(&segment);
    let len = file.metadata().unwrap().len();
    assert!(file.set_len(0).is_err());
    assert_eq!(file.metadata().unwrap().len(), len);
}

#[test]
fn random_records_are_counted_and_later_frames_arrive() {
    let mut rng = Rng::new(2);
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    let ring = b.own();
    let mut nonsense = 0;
    for round in 0..500 {
        ring.scribble(&mut rng);
        ring.set_tail(ring.tail() + 8 * (1 + rng.below(SMALL as u64 / 8)));
        receive_now(&b);
        let counts = b.counts();
        assert!(counts.nonsense > nonsense, "round {round}");
        nonsense = counts.nonsense;
        a.send(&[frame(b.station(), "on")]);
        assert_eq!(receive_now(&b), [(a.station(), b"on".to_vec())]);
    }
    assert_eq!(a.lost(), 0);
}

#[test]
fn records_that_nearly_make_sense_are_counted() {
    const FRAME: u64 = 0x4652;
    const PADDING: u64 = 0x5041;
    let segment = ShmSegment::create(2, SMALL).unwrap();
    let [a, b] = devices::<2>(&segment);
    let ring = b.own();
    // Kind, length of the payload, and how much the tail shows of the ring.
    for (kind, len, shown) in [
        (FRAME, 9, 16),
        (FRAME, 8, 8),
        (FRAME, u64::from(u32::MAX), 4_096),
        (FRAME, 4_089, 4_096),
        (PADDING, 8, 4_096),
        (PADDING, 4_080, 4_096),
        (PADDING, 4_096, 4_096),
        (0, 8, 16),
        (FRAME + 1, 0, 8),
    ] {
        // At the start of the ring, so that a record may be as long as that.
        while !ring.tail().is_multiple_of(SMALL as u64) {
            a.send(&[frame(b.station(), [])]);
            receive_now(&b);
        }
        let before = b.counts().nonsense;
        let start = ring.tail();
        ring.set_word(start, len | kind << 48);
        ring.set_tail(start + shown);
        assert_eq!(receive_now(&b), []);
        assert_eq!(b.counts().nonsense, before + 1, "{kind:#x} {len} {shown}");
        a.send(&[frame(b.station(), "on")]);
        assert_eq!(receive_now(&b), [(a.station(), b"on".to_vec())]);
    }
}

#[test]
fn a_tail_that_cannot_be_breaks_the_ring_and_nothing_else() {
    for wrong in [1, 4, 4_104, u64::MAX - 7, 1 << 63] {
        let segment = ShmSegment::create(3, SMALL).unwrap();
        let [a, b, c] = devices::<3>(&segment);
        let ring = b.own();
        ring.set_tail(ring.tail().wrapping_add(wrong));
        assert_eq!(receive_now(&b), []);
        assert_eq!(b.counts().nonsense, 1);
        // It waits like any receiver that gets nothing.
        let start = StdInstant::now();
        assert_eq!(b.receive(Duration::from_millis(5), &mut |_, _| {}), 0);
        assert!(start.elapsed().as_micros() >= 5_000);
        a.send(&[frame(LinkAddress::Broadcast, "all")]);
        assert_eq!((a.counts().broken, a.lost()), (1, 1));
        assert_eq!(receive_now(&c), [(a.station(), b"all".to_vec())]);
        b.send(&[frame(a.station(), "still here")]);
        assert_eq!(receive_now(&a), [(b.station(), b"still here".to_vec())]);
    }
}

#[test]
fn a_writer_notices_a_tail_that_cannot_be() {
    for wrong in [4, 8_192, 1 << 63] {
        let segment = ShmSegment::create(2, SMALL).unwrap();
        let [a, b] = devices::<2>(&segment);
        b.own().set_tail(wrong);
        a.send(&[frame(b.station(), "x")]);
        assert_eq!((a.counts().broken, a.lost()), (1, 1));
    }
}

#[test]
fn random_control_blocks_hurt_nobody() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let segment = ShmSegment::create(2, SMALL).unwrap();
        let devices = devices::<2>(&segment).map(|d| d.with_patience(Duration::from_millis(1)));
        let [a, b] = &devices;
        a.send(&[frame(b.station(), "before")]);
        let keep_kinds = rng.chance(3, 4);
        b.own().scribble_control(&mut rng, keep_kinds);
        if rng.chance(3, 4) {
            b.own().set_state(State::Open);
        }
        a.send(&[(); 3].map(|()| frame(b.station(), [7; 500])));
        b.receive(Duration::from_micros(100), &mut |_, bytes| {
            assert!(bytes.len() <= SMALL);
        });
        b.send(&[frame(a.station(), "back")]);
        // A ring of its own is not touched by what happened to another.
        assert_eq!(receive_now(a), [(b.station(), b"back".to_vec())]);
        assert!(a.lost() + b.counts().nonsense > 0, "seed {seed}");
    }
}

#[test]
fn rings_that_were_nonsense_before_are_opened_or_refused() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let segment = ShmSegment::create(2, SMALL).unwrap();
        let a = patient(&segment, 0).with_patience(Duration::from_millis(1));
        let ring = a.mapping.ring(1);
        // Mutexes that look right are waited for, which takes long.
        ring.scribble_control(&mut rng, seed % 50 == 0);
        if seed % 3 != 0 {
            ring.set_state(State::New);
        }
        match ShmDevice::open(&segment, 1) {
            Ok(_) => opened += 1,
            Err(_) => refused += 1,
        }
        a.send(&[frame(to(1), "x")]);
    }
    assert!(refused > 100, "{opened} opened, {refused} refused");
}
