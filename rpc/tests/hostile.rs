//! Messages that no well-behaved endpoint sends: each is counted and dropped, or changes nothing
//! that matters; nothing panics, and what is kept stays within its bounds.
//!
//! Implements: [Amoeba5] §2.2, §2.7; scenario 65.

mod exchange;

use capability::{Header, Order, Port};
use exchange::{Calm, Exchange, one_way};
use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use rpc::{
    BROADCAST_SELECTOR, Config, Endpoint, Event, Kind, Listener, Mark, Packet, RPC_HEADER_SIZE,
    RpcHeader, ServerId, Sizes,
};

const PORT: Port = Port::new(*b"attack");

fn config() -> Config {
    Config {
        clients_max: 20,
        ports_max: 10,
        ..Config::new(one_way)
    }
}

fn endpoint(seed: u64) -> Endpoint {
    Endpoint::new(config(), Rng::new(seed), Instant::ZERO).expect("a configuration that works")
}

/// A message that may be anything, but often looks like one of ours.
fn forge(rng: &mut Rng, seen: &[Vec<u8>]) -> Vec<u8> {
    if !seen.is_empty() && rng.chance(1, 2) {
        let mut message = seen[rng.below(seen.len() as u64) as usize].clone();
        for _ in 0..rng.below(4) {
            let at = rng.below(message.len() as u64) as usize;
            message[at] = rng.next_u64() as u8;
        }
        let len = message.len() as u64;
        if rng.chance(1, 8) {
            message.truncate(rng.below(len + 1) as usize);
        }
        return message;
    }
    let mut message = vec![0; rng.below(100) as usize];
    rng.fill(&mut message);
    if message.len() > 23 && rng.chance(7, 8) {
        message[14] = rng.below(13) as u8;
        message[15] &= 0x1f;
        message[8..14].copy_from_slice(&PORT.put_port().bytes());
        // Small indices hit what is there.
        message[20] &= 3;
        message[21] = 0;
    }
    message
}

fn assert_bounded(sizes: Sizes) {
    let config = config();
    assert!(sizes.transactions <= config.transactions_max, "{sizes:?}");
    assert!(sizes.servers <= config.servers_max, "{sizes:?}");
    assert!(sizes.ports <= config.ports_max, "{sizes:?}");
    assert!(sizes.clients <= config.clients_max, "{sizes:?}");
    assert!(sizes.searches <= config.transactions_max, "{sizes:?}");
}

/// Feeds one endpoint with forged messages while it works; says what it counted as malformed.
fn attack(seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let mut victim = endpoint(seed);
    let mut now = Instant::ZERO;
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut executing: Vec<ServerId> = Vec::new();
    let peers: Vec<FlipAddress> = (1..=4).map(|peer| FlipAddress::new([peer; 8])).collect();
    for _ in 0..3_000 {
        now += Duration::from_micros(rng.below(20_000));
        let peer = peers[rng.below(4) as usize];
        let message = forge(&mut rng, &seen);
        match rng.below(20) {
            0 => {
                let _ = victim.trans(now, Header::to(PORT.put_port()), b"work");
            }
            1 => {
                let _ = victim.get_request(now, PORT);
            }
            2 if !executing.is_empty() => {
                let server = executing.remove(0);
                let _ = victim.put_reply(now, server, Header::to(PORT), b"done");
            }
            3 if !executing.is_empty() => {
                let _ = victim.forward_request(now, executing.remove(0), peer);
            }
            4 => {
                let reason = match rng.below(3) {
                    0 => Undelivered::NotHere,
                    1 => Undelivered::NotLocated,
                    _ => Undelivered::Untrusted,
                };
                victim.handle_undeliverable(now, peer, reason, rng.below(2) as u32, &message);
            }
            5 => {
                let mut broadcast = BROADCAST_SELECTOR.to_be_bytes().to_vec();
                broadcast.extend(message);
                victim.handle_message(now, Listener::Everybody, peer, broadcast);
            }
            6 => victim.handle_message(now, Listener::Everybody, peer, message),
            7 => victim.handle_timeout(now),
            _ => victim.handle_message(now, Listener::Process, peer, message),
        }
        while let Some(transmit) = victim.poll_transmit() {
            if seen.len() < 200 {
                let message = transmit.message.to_vec();
                let selector = BROADCAST_SELECTOR.to_be_bytes();
                let bare = message.strip_prefix(&selector).unwrap_or(&message);
                seen.push(bare.to_vec());
            }
        }
        while let Some(event) = victim.poll_event() {
            if let Event::Request { server, .. } = event {
                executing.push(server);
            }
        }
        assert_bounded(victim.sizes());
        assert!(victim.pending().count() <= 2_048);
    }
    victim.stats().count(Mark::Malformed)
}

#[test]
fn forged_messages_panic_nothing_and_fill_nothing() {
    let malformed: u64 = (0..60).map(attack).sum();
    assert!(malformed > 1_000, "{malformed}");
}

fn check_marked(message: &[u8], listener: Listener, mark: Mark) {
    let mut victim = endpoint(1);
    let peer = FlipAddress::new([9; 8]);
    victim.handle_message(Instant::ZERO, listener, peer, message.to_vec());
    assert_eq!(victim.stats().count(mark), 1, "{mark:?}");
    assert_eq!(victim.poll_transmit(), None);
    assert_eq!(victim.poll_event(), None);
}

#[test]
fn what_is_no_message_is_counted_by_reason() {
    let here = RpcHeader::new(Kind::HereIs, rpc::Tid::new(1), 0, 0).emit(Order::Little);
    let ask = RpcHeader::new(Kind::Received, rpc::Tid::new(1), 0, 0).emit(Order::Little);
    let locate = RpcHeader::new(Kind::Locate, rpc::Tid::new(1), 0, 0).emit(Order::Little);
    let alive = RpcHeader::new(Kind::Alive, rpc::Tid::new(1), 0, 0).emit(Order::Little);
    check_marked(&here[..20], Listener::Process, Mark::Malformed);
    check_marked(&here, Listener::Process, Mark::Malformed);
    check_marked(&ask, Listener::Process, Mark::Malformed);
    check_marked(&locate, Listener::Process, Mark::OutOfPhase);
    check_marked(&alive, Listener::Process, Mark::OutOfPhase);
    let group = [&2_u32.to_be_bytes()[..], &locate].concat();
    check_marked(&group, Listener::Everybody, Mark::OtherSelector);
}

/// Words of a third process, with the right numbers, change nothing.
#[test]
fn only_the_server_at_hand_is_believed() {
    let mut exchange = Exchange::new(5);
    for _ in 0..3 {
        exchange.add(config());
    }
    let run = |exchange: &mut Exchange, micros| {
        let until = exchange.now + Duration::from_micros(micros);
        while exchange.step(until, &mut Calm) {}
    };
    exchange.act(1, &mut Calm, |endpoint, now| {
        endpoint.get_request(now, PORT)
    });
    exchange.act(0, &mut Calm, |endpoint, now| {
        endpoint.trans(now, Header::to(PORT.put_port()), b"work")
    });
    run(&mut exchange, 1_000);
    let (client, request) = exchange.last[&(1, Kind::Request)].clone();
    let packet = Packet::new_checked(&request).expect("a request");
    let asked = RpcHeader::parse(&packet);
    let stranger = exchange.address(2);
    for kind in [
        Kind::Nak,
        Kind::Fail,
        Kind::Ack,
        Kind::Alive,
        Kind::Reply,
        Kind::Forward,
    ] {
        let mut forged = request.to_vec();
        let repr = RpcHeader::new(kind, asked.tid, 0, asked.from);
        forged[..RPC_HEADER_SIZE].copy_from_slice(&repr.emit(Order::Little));
        exchange.inject(0, stranger, forged.into());
    }
    run(&mut exchange, 1_000);
    assert!(exchange.nodes[0].inbox.is_empty(), "nobody was believed");
    let Some(Event::Request { server, .. }) = exchange.nodes[1].inbox.pop_front() else {
        panic!("the request came");
    };
    exchange.act(1, &mut Calm, |endpoint, now| {
        endpoint.put_reply(now, server, Header::to(PORT), b"done")
    });
    run(&mut exchange, 1_000);
    let reply = exchange.nodes[0].inbox.pop_front();
    assert!(matches!(reply, Some(Event::Replied { .. })), "{reply:?}");
    assert_ne!(client, stranger);
}
