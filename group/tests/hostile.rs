//! Messages that no well-behaved member sends: each is counted, dropped, and changes nothing.
//!
//! Implements: [Thesis §3.4.2] incarnations; [Amoeba5] §3.9; scenario 109.

mod exchange;

use capability::{Header, Order};
use exchange::{Calm, Exchange, Fate, Fates, PORT, config};
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use group::checker::check_complete;
use group::{
    Config, Endpoint, GroupHeader, Incarnation, Kind, LostReason, Mark, MemberIndex, MessageId,
    SeqNo, WINDOW_MAX,
};

fn group_of(count: usize, config: &Config) -> Exchange {
    let mut exchange = Exchange::new(11);
    exchange.create(config.clone(), &mut Calm);
    for _ in 1..count {
        exchange.join(config.clone(), &mut Calm);
        exchange.run_until(exchange.now + Duration::from_millis(20), &mut Calm);
    }
    exchange.run_until(exchange.now + Duration::from_millis(300), &mut Calm);
    exchange
}

fn header(kind: Kind, member: u16) -> GroupHeader {
    GroupHeader {
        kind,
        member: MemberIndex::new(member),
        incarnation: Incarnation::FIRST,
        seq: SeqNo::NONE,
        id: MessageId::NONE,
        expect: SeqNo::NONE,
    }
}

fn message(header: GroupHeader, data: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = header.emit(Order::Little).to_vec();
    if let Some(data) = data {
        bytes.extend(Header::to(PORT).emit(Order::Little));
        bytes.extend(data);
    }
    bytes
}

/// Gives `bytes` to node `to` as coming from node `from`, and counts how often `mark` is reached.
fn check_marked(exchange: &mut Exchange, from: usize, to: usize, bytes: Vec<u8>, mark: Mark) {
    let source = exchange.member(from).address();
    let before = exchange.member(to).stats().count(mark);
    exchange.inject(to, Endpoint::Member, source, bytes);
    exchange.run_until(exchange.now + Duration::from_millis(1), &mut Calm);
    let after = exchange.member(to).stats().count(mark);
    assert_eq!(after - before, 1, "{mark:?}");
}

/// Afterwards the group works as if nothing had been.
fn check_works(mut exchange: Exchange) {
    for node in 0..exchange.nodes.len() {
        exchange
            .send(node, vec![node as u8], &mut Calm)
            .expect("still in");
    }
    exchange.run_until(exchange.now + Duration::from_millis(400), &mut Calm);
    assert!(exchange.is_at_rest());
    if let Err(violation) = check_complete(&exchange.traces(), true) {
        panic!("{violation}");
    }
}

#[test]
fn an_expect_from_the_future_frees_nothing() {
    let mut exchange = group_of(3, &config());
    let mut forged = header(Kind::State, 1);
    forged.expect = SeqNo::new(1_000);
    check_marked(&mut exchange, 1, 0, message(forged, None), Mark::BadExpect);
    check_works(exchange);
}

#[test]
fn a_request_far_beyond_the_window_is_not_kept() {
    let mut exchange = group_of(3, &config());
    let mut forged = header(Kind::BcastReq, 1);
    forged.id = MessageId::new(2 + WINDOW_MAX);
    let bytes = message(forged, Some(b"far"));
    check_marked(&mut exchange, 1, 0, bytes, Mark::RequestBeyondWindow);
    check_works(exchange);
}

#[test]
fn a_broadcast_far_beyond_the_history_is_not_kept() {
    let mut exchange = group_of(3, &config());
    let mut forged = header(Kind::Bcast, 2);
    forged.seq = SeqNo::new(1 << 20);
    forged.id = MessageId::new(77);
    let bytes = message(forged, Some(b"far"));
    check_marked(&mut exchange, 0, 1, bytes, Mark::BroadcastTooFar);
    // It asks for what it was told of, and is not told more than there is.
    check_works(exchange);
}

#[test]
fn what_everybody_has_cannot_be_asked_for_any_more() {
    let mut exchange = group_of(3, &config());
    exchange.send(0, b"x".to_vec(), &mut Calm).expect("room");
    exchange.run_until(exchange.now + Duration::from_millis(200), &mut Calm);
    let mut late = header(Kind::Retrans, 1);
    late.seq = SeqNo::FIRST;
    let bytes = message(late, None);
    check_marked(&mut exchange, 1, 0, bytes, Mark::RetransmissionImpossible);
    check_works(exchange);
}

#[test]
fn a_large_message_is_not_sent_again_while_it_is_under_way() {
    let mut exchange = group_of(2, &config());
    exchange.nodes[1].holding = true;
    exchange.send(0, vec![1; 1 << 20], &mut Calm).expect("room");
    exchange.run_until(exchange.now + Duration::from_millis(1), &mut Calm);
    let mut ask = header(Kind::Retrans, 1);
    ask.seq = SeqNo::new(2);
    let bytes = message(ask, None);
    check_marked(
        &mut exchange,
        1,
        0,
        bytes.clone(),
        Mark::RetransmissionAnswered,
    );
    check_marked(&mut exchange, 1, 0, bytes, Mark::RetransmissionSpared);
    exchange.resume(1, &mut Calm);
    check_works(exchange);
}

#[test]
fn only_the_own_incarnation_is_listened_to() {
    for (rules, lower) in [
        (group::Rules::Thesis, Mark::OtherIncarnation),
        (group::Rules::Amoeba5, Mark::DuplicateBroadcast),
    ] {
        let mut exchange = group_of(3, &Config { rules, ..config() });
        let mut other = header(Kind::Bcast, 2);
        other.incarnation = Incarnation::new(1, 0);
        other.seq = exchange.member(1).next();
        other.id = MessageId::new(2);
        let bytes = message(other, Some(b"other life"));
        check_marked(&mut exchange, 0, 1, bytes, Mark::OtherIncarnation);
        // 65535 comes before 0 as incarnations go.
        other.incarnation = Incarnation::new(u16::MAX, 0);
        other.seq = SeqNo::FIRST;
        let bytes = message(other, Some(b"other life"));
        check_marked(&mut exchange, 0, 1, bytes, lower);
        check_works(exchange);
    }
}

#[test]
fn nobody_speaks_for_the_sequencer_or_for_another_member() {
    let mut exchange = group_of(3, &config());
    let mut forged = header(Kind::Bcast, 2);
    forged.seq = exchange.member(1).next();
    let bytes = message(forged, Some(b"mine"));
    check_marked(&mut exchange, 2, 1, bytes, Mark::OtherSource);
    let mut request = header(Kind::LeaveReq, 1);
    request.id = MessageId::new(2);
    let bytes = message(request, Some(b""));
    check_marked(&mut exchange, 2, 0, bytes, Mark::OtherSource);
    check_works(exchange);
}

#[test]
fn answers_of_a_recovery_that_nobody_began_are_dropped() {
    let mut exchange = group_of(3, &config());
    for kind in [Kind::Ack, Kind::Vote, Kind::Result, Kind::ResultAck] {
        let bytes = message(header(kind, 0), None);
        check_marked(&mut exchange, 0, 1, bytes, Mark::OutOfPhase);
    }
    check_works(exchange);
}

#[test]
fn nobody_breaks_the_group_in_anothers_name() {
    let mut exchange = group_of(3, &config());
    for kind in [Kind::ReformReq, Kind::Dead] {
        let bytes = message(header(kind, 0), None);
        check_marked(&mut exchange, 2, 1, bytes, Mark::OtherSource);
    }
    check_works(exchange);
}

#[test]
fn an_address_that_flip_cannot_find_is_lost_only_after_long_silence() {
    let mut exchange = group_of(3, &config());
    let address = exchange.member(2).address();
    exchange.act(0, &mut Calm, |member, now| {
        member.handle_undeliverable(now, address)
    });
    assert!(
        exchange.nodes[0].lost.is_empty(),
        "it was heard a moment ago"
    );
    exchange.crash(2);
    exchange.run_until(exchange.now + Duration::from_millis(2_500), &mut Calm);
    assert!(exchange.nodes[0].lost.is_empty());
    exchange.act(0, &mut Calm, |member, now| {
        member.handle_undeliverable(now, address)
    });
    let expected = group::Event::Lost {
        member: MemberIndex::new(2),
        reason: LostReason::Unreachable,
    };
    assert!(exchange.nodes[0].events.contains(&expected));
}

/// The watcher's host stands still for ten seconds: it must not blame the others.
#[test]
fn a_host_that_stood_still_suspects_nobody() {
    let mut exchange = group_of(3, &config());
    exchange.nodes[0].frozen_until = exchange.now + Duration::from_secs(3);
    exchange.run_until(exchange.now + Duration::from_secs(4), &mut Calm);
    assert!(exchange.member(0).stats().count(Mark::OwnPause) > 0);
    assert!(exchange.nodes.iter().all(|node| node.lost.is_empty()));

    // Everybody stands still, as when the whole computer was suspended.
    for node in &mut exchange.nodes {
        node.frozen_until = exchange.now + Duration::from_secs(60);
    }
    exchange.run_until(exchange.now + Duration::from_secs(65), &mut Calm);
    assert!(exchange.nodes.iter().all(|node| node.lost.is_empty()));
    check_works(exchange);
}

/// Every answer to a question takes two seconds, as on twenty busy runs that share two cores, or
/// worse: nobody is suspected.
#[test]
fn slow_answers_are_answers() {
    struct Slow;
    impl Fates for Slow {
        fn fate(&mut self, _: Instant, _: usize, _: usize, _: &[u8]) -> Fate {
            Fate::after(Duration::from_secs(1))
        }
    }
    let mut exchange = group_of(3, &config());
    exchange.run_until(exchange.now + Duration::from_secs(60), &mut Slow);
    assert!(exchange.nodes.iter().all(|node| node.lost.is_empty()));
    exchange.run_until(exchange.now + Duration::from_secs(5), &mut Calm);
    check_works(exchange);
}

/// Random bytes, and real messages with random bytes in them, at every endpoint.
#[test]
fn random_bytes_never_stop_a_member() {
    let mut rng = Rng::new(5);
    let mut exchange = group_of(3, &config());
    let stranger = FlipAddress::random(&mut rng);
    for round in 0..20_000 {
        let to = rng.below(3) as usize;
        let from = match rng.below(4) {
            3 => stranger,
            node => exchange.member(node as usize).address(),
        };
        let mut bytes = vec![0; rng.below(120) as usize];
        rng.fill(&mut bytes);
        if bytes.len() > 7 && rng.chance(3, 4) {
            bytes[..8].copy_from_slice(&[
                rng.below(19) as u8,
                0,
                0,
                0,
                rng.below(4) as u8,
                0,
                0,
                0,
            ]);
            // What a member may not do is forge the sequencer's numbers from its address.
            if from == exchange.member(0).address() {
                bytes[0] = Kind::AliveReq as u8;
            }
        }
        let endpoint = match rng.below(4) {
            0 => Endpoint::Everybody,
            1 => Endpoint::FromSequencer,
            2 => Endpoint::ToAll,
            _ => Endpoint::Member,
        };
        exchange.inject(to, endpoint, from, bytes);
        if round % 50 == 0 {
            exchange.run_until(exchange.now + Duration::from_millis(1), &mut Calm);
        }
    }
    exchange.run_until(exchange.now + Duration::from_secs(1), &mut Calm);
    assert!(exchange.nodes.iter().all(|node| node.lost.is_empty()));
}
