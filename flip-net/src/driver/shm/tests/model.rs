//! One ring by itself: against a queue, and the steps of falling asleep.

use std::collections::VecDeque;

use super::*;
use crate::rng::Rng;

/// What a record takes at most: padding in front is shorter than it is.
fn space_max(len: usize) -> usize {
    2 * (len + 8).next_multiple_of(8)
}

fn run(seed: u64, ring_bytes: usize, start: u64) {
    let mut rng = Rng::new(seed);
    let segment = ShmSegment::create(1, ring_bytes).unwrap();
    let mapping = Mapping::open(segment.as_fd()).unwrap();
    let ring = mapping.ring(0);
    let reader = ring.start_at(start);
    let mut model: VecDeque<(u16, Vec<u8>)> = VecDeque::new();
    let mut in_use = 0;
    let len_max = payload_len_max(ring_bytes);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..2_000 {
        // Short and long frames, and phases in which the ring fills or runs empty.
        let puts = rng.below(12);
        for _ in 0..puts {
            let long = if rng.chance(1, 4) { len_max } else { 100 };
            let mut bytes = vec![0; rng.below(long as u64 + 1) as usize];
            rng.fill(&mut bytes);
            let from = rng.next_u64() as u16;
            let space = space_max(bytes.len());
            let (first, second) = bytes.split_at(rng.below(bytes.len() as u64 + 1) as usize);
            match ring.put(from, [first, second], &mut Patience::new(Duration::ZERO)) {
                Ok(()) => {
                    in_use += space;
                    model.push_back((from, bytes));
                }
                Err(Refused::Full) => {
                    refused += 1;
                    assert!(
                        in_use + space > ring_bytes && !model.is_empty(),
                        "seed {seed:#x}: {space} bytes have no room beside {in_use} of {ring_bytes}"
                    );
                }
                Err(other) => panic!("seed {seed:#x}: {other:?}"),
            }
        }
        for _ in 0..rng.below(3) {
            let drained = reader.drain(&ring, &mut |from, bytes| {
                let (expected, expected_bytes) = model.pop_front().expect("a frame that was put");
                assert_eq!(
                    from,
                    LinkAddress::Station(expected.into()),
                    "seed {seed:#x}"
                );
                assert_eq!(bytes, expected_bytes, "seed {seed:#x}");
                in_use -= space_max(bytes.len());
                taken += 1;
            });
            assert_eq!(drained.nonsense, 0, "seed {seed:#x}");
            if drained.frames == 0 {
                assert!(
                    model.is_empty(),
                    "seed {seed:#x}: {} frames stuck",
                    model.len()
                );
            }
        }
    }
    assert!(taken > 100 && refused > 0, "seed {seed:#x} tests little");
}

#[test]
fn a_ring_is_a_queue_with_a_bound() {
    for seed in 0..30 {
        run(seed, 4_096 << (seed % 3), 0);
    }
}

#[test]
fn positions_may_pass_every_number() {
    for seed in 100..105 {
        run(seed, 4_096, u64::MAX - 10_007);
    }
}

/// Runs `check` on a ring that is empty and open.
fn with_ring(check: impl FnOnce(Ring<'_>)) {
    let segment = ShmSegment::create(1, 4_096).unwrap();
    let mapping = Mapping::open(segment.as_fd()).unwrap();
    let ring = mapping.ring(0);
    ring.set_state(State::Open);
    check(ring);
}

fn put(ring: &Ring<'_>, len: usize) -> Result<(), Refused> {
    ring.put(0, [&vec![0; len], b""], &mut Patience::new(Duration::ZERO))
}

/// Goes to sleep; fails if nothing keeps it from that.
fn check_wakes(ring: &Ring<'_>, is_called: impl Fn() -> bool) {
    let start = StdInstant::now();
    ring.sleep(&Reader::default(), LONG, is_called);
    assert!(start.elapsed() < LONG_STD / 2, "it slept to the end");
    assert!(!ring.is_receiver_asleep());
}

#[test]
fn a_frame_before_the_sleep_is_announced_prevents_it() {
    with_ring(|ring| {
        put(&ring, 10).unwrap();
        check_wakes(&ring, || false);
    });
}

#[test]
fn a_frame_after_the_last_look_prevents_the_sleep() {
    with_ring(|ring| {
        // This question is the last thing before the kernel is asked to wait.
        check_wakes(&ring, || {
            put(&ring, 10).unwrap();
            false
        });
    });
}

#[test]
fn a_call_prevents_the_sleep_whenever_it_comes() {
    with_ring(|ring| {
        check_wakes(&ring, || true);
        check_wakes(&ring, || {
            ring.call_receiver();
            false
        });
    });
}

#[test]
fn who_makes_room_calls_those_who_want_it() {
    with_ring(|ring| {
        while put(&ring, 400).is_ok() {}
        let mut patience = Patience::new(Duration::from_millis(1));
        ring.wait_for_room(400, &mut patience);
        assert!(ring.is_writer_waiting());
        Reader::default().drain(&ring, &mut |_, _| {});
        assert!(!ring.is_writer_waiting());
        put(&ring, 400).unwrap();
    });
}
