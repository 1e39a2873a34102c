//! The group over a network on which nothing goes wrong: who delivers what, and what it costs.
//!
//! Implements: [Thesis §3.4.1]; scenarios 80 to 86, 95, 96.

mod exchange;

use exchange::{Calm, Exchange, PORT, config};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use group::checker::check_complete;
use group::{Config, ConfigError, Kind, LostReason, Member, MemberIndex, SendError};

fn group_of(count: usize, config: &Config) -> Exchange {
    let mut exchange = Exchange::new(7);
    exchange.create(config.clone(), &mut Calm);
    for _ in 1..count {
        exchange.join(config.clone(), &mut Calm);
        let until = exchange.now + Duration::from_millis(20);
        exchange.run_until(until, &mut Calm);
    }
    assert!(exchange.nodes.iter().all(|node| node.entered));
    exchange.run_until(exchange.now + Duration::from_millis(300), &mut Calm);
    exchange
}

fn check(exchange: &Exchange) {
    if let Err(violation) = check_complete(&exchange.traces(), true) {
        panic!("{violation}");
    }
    assert!(exchange.is_at_rest());
}

#[test]
fn one_member_alone_delivers_to_itself_without_a_packet() {
    let mut exchange = group_of(1, &config());
    for number in 0..1_000_u32 {
        let data = number.to_le_bytes().to_vec();
        exchange
            .send(0, data, &mut Calm)
            .expect("room for one at a time");
    }
    assert_eq!(exchange.nodes[0].trace.delivered.len(), 1_000);
    assert_eq!(exchange.transmits, 0);
    exchange.run_until(Instant::from_micros(60_000_000), &mut Calm);
    assert_eq!(exchange.transmits, 0, "nothing to probe, nobody to ask");
    check(&exchange);
}

/// [Thesis §3.4.1] The PB method costs a request and a broadcast; the sequencer's own messages
/// only the broadcast.
#[test]
fn a_broadcast_costs_two_messages_and_one_from_the_sequencer() {
    for members in [2, 3, 8] {
        let mut exchange = group_of(members, &config());
        let before = exchange.transmits;
        for _ in 0..100 {
            exchange
                .send(1, b"x".to_vec(), &mut Calm)
                .expect("one at a time");
            exchange.settle(&mut Calm);
        }
        assert_eq!(exchange.transmits - before, 200, "{members} members");
        for _ in 0..100 {
            exchange
                .send(0, b"y".to_vec(), &mut Calm)
                .expect("one at a time");
            exchange.settle(&mut Calm);
        }
        assert_eq!(exchange.transmits - before, 300, "{members} members");
        check(&exchange);
    }
}

#[test]
fn a_large_broadcast_costs_one_with_data_and_one_accept() {
    let mut exchange = group_of(3, &config());
    let before = exchange.stats();
    exchange.send(1, vec![9; 100_000], &mut Calm).expect("room");
    exchange.settle(&mut Calm);
    let after = exchange.stats();
    let sent = |kind| after.sent_of(kind) - before.sent_of(kind);
    assert_eq!((sent(Kind::BcastReq), sent(Kind::Bcast)), (1, 1));
    assert_eq!(after.sent_total() - before.sent_total(), 2);
    check(&exchange);
}

#[test]
fn a_window_of_sends_from_everybody_keeps_every_order() {
    let mut exchange = group_of(5, &config());
    let mut sent = 0;
    for round in 0..200_u32 {
        for node in 0..5 {
            let size = if round % 17 == 0 { 5_000 } else { 4 };
            let mut data = round.to_le_bytes().to_vec();
            data.resize(size, node as u8);
            sent += u32::from(exchange.send(node, data, &mut Calm).is_ok());
        }
        let until = exchange.now + Duration::from_micros(20);
        exchange.run_until(until, &mut Calm);
    }
    exchange.run_until(exchange.now + Duration::from_millis(200), &mut Calm);
    assert!(sent > 900, "{sent}");
    assert_eq!(exchange.nodes[4].trace.delivered.len(), sent as usize);
    check(&exchange);
}

#[test]
fn a_full_window_refuses_and_a_completion_makes_room() {
    let mut exchange = group_of(
        2,
        &Config {
            window: 4,
            ..config()
        },
    );
    for _ in 0..4 {
        exchange
            .send(1, b"x".to_vec(), &mut Calm)
            .expect("four fit");
    }
    assert_eq!(
        exchange.send(1, b"x".to_vec(), &mut Calm),
        Err(SendError::WindowFull)
    );
    exchange.settle(&mut Calm);
    exchange
        .send(1, b"x".to_vec(), &mut Calm)
        .expect("room again");
    exchange.settle(&mut Calm);
    check(&exchange);
}

#[test]
fn a_late_joiner_sees_no_old_message() {
    let mut exchange = group_of(2, &config());
    exchange.send(1, b"old".to_vec(), &mut Calm).expect("room");
    exchange.run_until(exchange.now + Duration::from_millis(50), &mut Calm);
    let joiner = exchange.join(config(), &mut Calm);
    exchange.run_until(exchange.now + Duration::from_millis(50), &mut Calm);
    exchange.send(1, b"new".to_vec(), &mut Calm).expect("room");
    exchange.run_until(exchange.now + Duration::from_millis(50), &mut Calm);
    let seen: Vec<&[u8]> = exchange.nodes[joiner]
        .trace
        .delivered
        .iter()
        .map(|delivery| &delivery.data[..])
        .collect();
    assert_eq!(seen, [b"new"]);
    check(&exchange);
}

#[test]
fn everybody_leaves_and_the_sequencer_closes_last() {
    for first in [0, 1, 2] {
        let mut exchange = group_of(3, &config());
        for turn in 0..3 {
            let node = (first + turn) % 3;
            exchange
                .send(node, vec![node as u8], &mut Calm)
                .expect("still in");
            exchange.act(node, &mut Calm, |member, now| member.leave(now));
            exchange.run_until(exchange.now + Duration::from_millis(5), &mut Calm);
            assert!(exchange.nodes[node].left, "{node} of {first}");
        }
        exchange.run_until(exchange.now + Duration::from_millis(5), &mut Calm);
        assert!(exchange.nodes.iter().all(|node| node.closed));
        assert_eq!(exchange.next_time(), None, "nothing is left to do");
        if let Err(violation) = check_complete(&exchange.traces(), true) {
            panic!("{violation}");
        }
    }
}

#[test]
fn a_slot_is_used_again_after_its_owner_left() {
    let mut exchange = group_of(3, &config());
    exchange.act(1, &mut Calm, |member, now| member.leave(now));
    exchange.run_until(exchange.now + Duration::from_millis(50), &mut Calm);
    let joiner = exchange.join(config(), &mut Calm);
    exchange.run_until(exchange.now + Duration::from_millis(50), &mut Calm);
    assert_eq!(exchange.member(joiner).me(), MemberIndex::new(1));
    exchange
        .send(joiner, b"hello".to_vec(), &mut Calm)
        .expect("room");
    exchange.run_until(exchange.now + Duration::from_millis(50), &mut Calm);
    assert_eq!(exchange.nodes[2].trace.delivered.len(), 1);
}

#[test]
fn a_full_group_does_not_answer() {
    let small = Config {
        members_max: 2,
        ..config()
    };
    let mut exchange = group_of(2, &small);
    let extra = exchange.join(small, &mut Calm);
    exchange.run_until(exchange.now + Duration::from_secs(30), &mut Calm);
    assert!(exchange.nodes[extra].failed && exchange.nodes[extra].closed);
    assert!(exchange.member(0).stats().count(group::Mark::GroupFull) > 0);
}

#[test]
fn without_a_group_a_joiner_gives_up() {
    let mut exchange = Exchange::new(1);
    exchange.join(config(), &mut Calm);
    exchange.run_until(Instant::from_micros(11_000_000), &mut Calm);
    assert!(exchange.nodes[0].failed);
}

/// [scenario 82]
#[test]
fn in_amoebas_time_a_joiner_gives_up_after_105_seconds() {
    let mut exchange = Exchange::new(1);
    let config = Config {
        timing: group::Timing::amoeba5(),
        ..config()
    };
    exchange.join(config, &mut Calm);
    exchange.run_until(Instant::from_micros(104_000_000), &mut Calm);
    assert!(!exchange.nodes[0].failed);
    exchange.run_until(Instant::from_micros(170_000_000), &mut Calm);
    assert!(exchange.nodes[0].failed);
}

#[test]
fn a_silent_host_is_reported_within_five_seconds_by_whoever_watches_it() {
    let mut exchange = group_of(3, &config());
    exchange.crash(2);
    let start = exchange.now;
    exchange.run_until(start + Duration::from_secs(5), &mut Calm);
    assert_eq!(exchange.nodes[0].lost, [MemberIndex::new(2)]);
    assert_eq!(
        exchange.nodes[1].lost,
        [MemberIndex::new(2)],
        "the sequencer told"
    );

    let mut exchange = group_of(3, &config());
    exchange.crash(0);
    let start = exchange.now;
    exchange.run_until(start + Duration::from_secs(5), &mut Calm);
    assert_eq!(exchange.nodes[1].lost, [MemberIndex::new(0)]);
    assert_eq!(exchange.nodes[2].lost, [MemberIndex::new(0)]);
}

#[test]
fn a_declared_loss_comes_at_once() {
    let mut exchange = group_of(3, &config());
    exchange.act(1, &mut Calm, |member, now| {
        member.declare_lost(now, MemberIndex::new(2))
    });
    let events = &exchange.nodes[1].events;
    let expected = group::Event::Lost {
        member: MemberIndex::new(2),
        reason: LostReason::Declared,
    };
    assert_eq!(
        events[events.len() - 2..],
        [expected, group::Event::Aborted]
    );
}

#[test]
fn idle_members_are_never_suspected() {
    let mut exchange = group_of(4, &config());
    let before = exchange.transmits;
    exchange.run_until(exchange.now + Duration::from_secs(600), &mut Calm);
    assert!(exchange.nodes.iter().all(|node| node.lost.is_empty()));
    let probes = exchange.transmits - before;
    assert!(probes < 600 * 20, "{probes} messages in ten idle minutes");
}

/// A member whose application takes nothing for half a minute stops the group, is not suspected,
/// and nothing is lost.
#[test]
fn a_member_that_does_not_consume_holds_the_group_up_and_loses_nothing() {
    let small = Config {
        history_log2: 5,
        ..config()
    };
    let mut exchange = group_of(3, &small);
    exchange.nodes[2].holding = true;
    let mut sent = 0;
    let start = exchange.now;
    while exchange.now < start + Duration::from_secs(30) {
        sent += usize::from(exchange.send(1, vec![1; 10], &mut Calm).is_ok());
        exchange.run_until(exchange.now + Duration::from_millis(5), &mut Calm);
    }
    let held_at = sent;
    assert!(
        held_at < 32 + 64 + 2,
        "the window and the history bound it: {held_at}"
    );
    assert!(exchange.nodes.iter().all(|node| node.lost.is_empty()));
    assert!(exchange.member(0).stats().count(group::Mark::HistoryFull) > 0);
    exchange.resume(2, &mut Calm);
    exchange.run_until(exchange.now + Duration::from_secs(3), &mut Calm);
    assert_eq!(exchange.nodes[2].trace.delivered.len(), sent);
    check(&exchange);
}

#[test]
fn deliveries_that_are_not_consumed_are_bounded() {
    let small = Config {
        history_log2: 6,
        queue_messages_max: 10,
        ..config()
    };
    let mut exchange = group_of(2, &small);
    exchange.nodes[1].consume_later = true;
    for number in 0..40 {
        exchange
            .send(0, vec![number], &mut Calm)
            .expect("the window is wider");
    }
    exchange.run_until(exchange.now + Duration::from_secs(1), &mut Calm);
    let handed = exchange.nodes[1].trace.delivered.len();
    assert_eq!(handed, 10);
    let last = exchange.nodes[1].trace.delivered[handed - 1].seq;
    exchange.nodes[1].consume_later = false;
    exchange.act(1, &mut Calm, |member, now| member.consumed(now, last));
    exchange.run_until(exchange.now + Duration::from_secs(1), &mut Calm);
    assert_eq!(exchange.nodes[1].trace.delivered.len(), 40);
    check(&exchange);
}

/// [scenario 80]
#[test]
fn parameters_that_cannot_work_are_refused() {
    let refused = |config: Config| Member::create(config, Rng::new(1), Instant::ZERO).err();
    let null = Config {
        port: capability::Port::NULL,
        ..config()
    };
    assert_eq!(refused(null), Some(ConfigError::NullPort));
    assert_eq!(
        refused(Config {
            members_max: 1,
            ..config()
        }),
        Some(ConfigError::Members(1))
    );
    assert_eq!(
        refused(Config {
            history_log2: 3,
            members_max: 2,
            ..config()
        }),
        Some(ConfigError::History {
            history_log2: 3,
            members_max: 2
        })
    );
    assert_eq!(
        refused(Config {
            message_log2: 9,
            ..config()
        }),
        Some(ConfigError::Message(9))
    );
    assert_eq!(
        refused(Config {
            resilience: 32,
            ..config()
        }),
        Some(ConfigError::Resilience(32))
    );
    assert_eq!(
        refused(Config {
            window: 0,
            ..config()
        }),
        Some(ConfigError::Window(0))
    );
    assert!(!PORT.is_null());
}

#[test]
fn a_message_larger_than_the_group_carries_is_refused() {
    let small = Config {
        message_log2: 10,
        ..config()
    };
    let mut exchange = group_of(2, &small);
    assert_eq!(
        exchange.send(1, vec![0; 1_025], &mut Calm),
        Err(SendError::TooBig {
            size: 1_025,
            size_max: 1_024
        })
    );
    exchange
        .send(1, vec![0; 1_024], &mut Calm)
        .expect("just fits");
    exchange.settle(&mut Calm);
    check(&exchange);
}

/// Whatever order an owner drains in, a leaver's last word leaves before its address goes.
#[test]
fn an_address_is_given_up_after_the_last_message_from_it() {
    let mut exchange = group_of(2, &config());
    exchange.nodes[1].holding = true;
    exchange.act(1, &mut Calm, |member, now| member.leave(now));
    let mut member = exchange.nodes[1].member.take().expect("up");
    let sequencer = exchange.member(0).address();
    // Its LEAVE, as the sequencer would send it.
    let leave = group::GroupHeader {
        kind: Kind::Leave,
        member: member.me(),
        incarnation: group::Incarnation::FIRST,
        seq: member.next(),
        id: group::MessageId::new(2),
        expect: group::SeqNo::FIRST,
    };
    let mut bytes = leave.emit(capability::Order::Little).to_vec();
    bytes.extend(capability::Header::to(PORT).emit(capability::Order::Little));
    member.handle_message(
        exchange.now,
        group::Endpoint::FromSequencer,
        sequencer,
        bytes,
    );
    while member.poll_event().is_some() {}
    assert!(member.is_closed());
    assert_eq!(
        member.poll_registration(),
        None,
        "STATE is still to be sent"
    );
    let last = member.poll_transmit().expect("the last word");
    assert_eq!(exchange::kind_of(&last.message), Some(Kind::State));
    assert_eq!(member.poll_transmit(), None);
    let mut given_up = 0;
    while member.poll_registration().is_some() {
        given_up += 1;
    }
    assert_eq!(given_up, 3);
}

#[test]
fn a_member_can_be_handed_from_thread_to_thread() {
    fn check_send<T: Send>() {}
    check_send::<Member>();
}
