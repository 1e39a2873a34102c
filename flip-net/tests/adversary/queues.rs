//! Floods of what makes a box or a joiner keep bytes: fragments, bounces, questions for what was sent.

use flip_net::SendOptions;
use flip_net::address::{FlipAddress, NetworkId};
use flip_net::flip_box::{Drop, PARTS_MAX};
use flip_net::join::JoinConfig;
use flip_net::time::Duration;
use flip_net::wire::{Flow, Kind, Repr};

use super::flood::{CABLE, FLOOD, PAUSE, address, dropped, flood, packet, station};
use super::lab::{A, B, HOMES, LONG, Lab, S};

#[test]
fn first_fragments_of_many_messages() {
    let b = HOMES[B].one_way();
    for sources in [FLOOD, 1] {
        let lab = flood(S, FLOOD, |number| {
            let first = Repr {
                message: number as u32,
                total: 20 + number as u32 % 9_000,
                ..packet(Kind::UniData, address(number % sources), b)
            };
            (station(number), first.emit_behind(Some(0), b"a part of it"))
        });
        let stats = lab.nodes[B].joiner.stats();
        assert!(stats.no_room + stats.displaced > FLOOD / 4, "{stats:?}");
    }
}

#[test]
fn messages_that_claim_to_be_huge() {
    let a = HOMES[A].one_way();
    let total = JoinConfig::default().message_len_max as u32;
    let lab = flood(A, FLOOD, |number| {
        let first = Repr {
            message: number as u32,
            total,
            offset: total / 2,
            ..packet(Kind::UniData, address(number), a)
        };
        (station(number), first.emit_behind(Some(0), b"x"))
    });
    let stats = lab.nodes[A].joiner.stats();
    assert!(stats.bytes_peak <= JoinConfig::default().bytes_max);
}

#[test]
fn one_message_of_single_bytes_far_apart() {
    let a = HOMES[A].one_way();
    let lab = flood(A, 3 * FLOOD, |number| {
        let piece = Repr {
            total: 100 << 20,
            offset: number as u32 * 2,
            ..packet(Kind::UniData, address(1), a)
        };
        (station(1), piece.emit_behind(Some(0), b"x"))
    });
    let stats = lab.nodes[A].joiner.stats();
    assert!(
        stats.no_room > 0,
        "there is a bound on stretches: {stats:?}"
    );
}

#[test]
fn fragments_for_many_who_give_no_credit() {
    let credits = 64;
    let mut lab = Lab::new();
    lab.gets_through();
    // All of these are behind stations of cable 0 which are silent.
    for number in 0..1_500 {
        let here = Repr {
            total: 4,
            ..packet(
                Kind::HereIs {
                    count: 1,
                    trusted: 1,
                },
                HOMES[B].one_way(),
                address(number),
            )
        };
        lab.inject(S, CABLE, station(number), &here.emit_behind(Some(0), b""));
    }
    for number in 0..FLOOD + 1_500 * credits {
        let fragment = Repr {
            message: number as u32,
            total: 50_000,
            ..packet(Kind::UniData, address(FLOOD), address(number % 1_500))
        };
        lab.inject(S, NetworkId(1), station(FLOOD), &fragment.emit(b"x"));
        if number % 5_000 == 0 {
            lab.check_bounds();
            lab.run_for(PAUSE);
        }
    }
    let sizes = lab.nodes[S].flip.sizes();
    assert!(sizes.queued > 10_000, "they wait: {sizes:?}");
    lab.gets_through();
    lab.run_for(Duration::from_secs(5));
    assert!(dropped(&lab, S, Drop::NoCredit) > 10_000);
    assert_eq!(lab.nodes[S].flip.sizes().queued, 0, "they were given up");
}

#[test]
fn credits_of_zero_do_not_keep_a_silent_neighbour() {
    let mut lab = Lab::new();
    lab.gets_through();
    let silent = station(1);
    let [a, _, b] = HOMES.map(FlipAddress::one_way);
    let hello = packet(Kind::UniData, b, a);
    let hello = hello.emit_behind(Some(0), b"");
    // B lives there, it says.
    lab.inject(A, CABLE, silent, &hello);
    lab.nodes[A].flip.control(CABLE, true, false);
    lab.inject(A, CABLE, silent, &hello);
    lab.send(A, b, &vec![1; 64 * 1_458 + LONG], SendOptions::default());
    assert!(lab.nodes[A].flip.sizes().queued > 0);
    for _ in 0..1_000 {
        lab.run_for(Duration::from_millis(5));
        for flow in [Flow::Credit(0), Flow::Absolute(0)] {
            lab.inject(A, CABLE, silent, &flow.emit());
        }
    }
    assert_eq!(lab.nodes[A].flip.sizes().queued, 0, "it was given up");
    lab.gets_through();
}

#[test]
fn everything_is_wanted_again() {
    let mut lab = Lab::new();
    lab.gets_through();
    let [a, _, b] = HOMES.map(FlipAddress::one_way);
    for _ in 0..50 {
        let payload = lab.payload(LONG);
        lab.send(A, b, &payload, SendOptions::default());
    }
    let parts: Vec<u8> = (0..PARTS_MAX as u32)
        .flat_map(|part| [part * 300, (part + 1) * 300])
        .flat_map(u32::to_le_bytes)
        .collect();
    let whole = [0, LONG as u32].map(u32::to_le_bytes).concat();
    for number in 0..FLOOD / 4 {
        let body = if number % 2 == 0 { &parts } else { &whole };
        let again = Repr {
            message: number as u32 % 80,
            total: body.len() as u32,
            ..packet(Kind::Again, address(number % 3_000), a)
        };
        lab.inject(A, CABLE, station(number), &again.emit_behind(Some(0), body));
        lab.run_for(PAUSE);
        if number % 1_000 == 0 {
            lab.check_bounds();
        }
    }
    let stats = lab.nodes[A].flip.stats();
    assert!(
        stats.parts_again > 1_000,
        "some of it is sent again: {stats:?}"
    );
    lab.gets_through();
    lab.run_for(Duration::from_secs(10));
    let sizes = lab.nodes[A].flip.sizes();
    assert_eq!((sizes.queued, sizes.kept), (0, 0), "{sizes:?}");
    assert!(!lab.nodes[A].flip.is_busy());
}

#[test]
fn what_was_never_sent_comes_back() {
    for kind in [Kind::NotHere, Kind::Untrusted] {
        for to in [A, S] {
            let lab = flood(to, FLOOD, |number| {
                let bounced = Repr {
                    message: number as u32,
                    total: 9,
                    ..packet(kind, HOMES[A].one_way(), address(number))
                };
                (station(number), bounced.emit_behind(Some(0), b"came back"))
            });
            assert!(lab.nodes[A].undelivered > FLOOD / 2 || to == S);
        }
    }
}

#[test]
fn a_long_queue_and_bounces_for_all_of_it() {
    let mut lab = Lab::new();
    lab.gets_through();
    let here = Repr {
        total: 4,
        ..packet(
            Kind::HereIs {
                count: 1,
                trusted: 1,
            },
            HOMES[B].one_way(),
            address(1),
        )
    };
    lab.inject(S, CABLE, station(1), &here.emit_behind(Some(0), b""));
    for number in 0..FLOOD {
        let fragment = Repr {
            message: number as u32,
            total: 50_000,
            ..packet(Kind::UniData, address(2), address(1))
        };
        lab.inject(S, NetworkId(1), station(2), &fragment.emit(b"x"));
    }
    let queued = lab.nodes[S].flip.sizes().queued;
    assert!(queued > FLOOD as usize * 9 / 10, "{queued}");
    for number in 0..FLOOD {
        let bounce = Repr {
            message: number as u32,
            total: 50_000,
            ..packet(Kind::NotHere, address(2), address(1))
        };
        lab.inject(S, CABLE, station(1), &bounce.emit_behind(Some(0), b"x"));
    }
    assert_eq!(
        lab.nodes[S].flip.sizes().queued,
        0,
        "all of it was cancelled"
    );
    lab.check_bounds();
    lab.gets_through();
}
