//! What holds when nothing goes wrong: counts of messages, many transactions at once, bounds, times
//! that adapt, and the largest message.
//!
//! Implements: scenarios 57, 61 and 71.

mod exchange;

use capability::{Header, Port};
use exchange::{Calm, Exchange, Fate, Fates, one_way};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use rpc::{
    Config, ConfigError, Endpoint, Event, Kind, Listener, Mark, ServeError, Step, Timing,
    TransError,
};

const PORT: Port = Port::new(*b"calm\0\0");

fn header() -> Header {
    Header::to(PORT.put_port())
}

fn run(exchange: &mut Exchange, fates: &mut dyn Fates, millis: u64) {
    let until = exchange.now + Duration::from_millis(millis);
    while exchange.step(until, fates) {}
}

/// Answers everything that came to a node with what it got.
fn echo_all(exchange: &mut Exchange, node: usize, fates: &mut dyn Fates) -> usize {
    let mut count = 0;
    for event in std::mem::take(&mut exchange.nodes[node].inbox) {
        if let Event::Request { server, data, .. } = event {
            count += 1;
            exchange.act(node, fates, |endpoint, now| {
                endpoint
                    .put_reply(now, server, header(), &data)
                    .expect("it executes")
            });
        }
    }
    count
}

fn sent(exchange: &Exchange, kind: Kind) -> u64 {
    exchange.stats().sent_of(kind)
}

#[test]
fn hundreds_of_transactions_go_at_once_and_take_three_messages_each() {
    const COUNT: u16 = 700;
    let mut exchange = Exchange::new(1);
    for _ in 0..2 {
        exchange.add(Config::new(one_way));
    }
    for _ in 0..COUNT {
        exchange.act(1, &mut Calm, |endpoint, now| {
            endpoint.get_request(now, PORT).expect("room for a server")
        });
    }
    for number in 0..COUNT {
        exchange.act(0, &mut Calm, |endpoint, now| {
            let data = number.to_le_bytes();
            endpoint.trans(now, header(), &data).expect("room for it")
        });
    }
    run(&mut exchange, &mut Calm, 5);
    assert_eq!(echo_all(&mut exchange, 1, &mut Calm), usize::from(COUNT));
    run(&mut exchange, &mut Calm, 5);
    let mut seen = Vec::new();
    for event in &exchange.nodes[0].inbox {
        let Event::Replied {
            transaction, data, ..
        } = event
        else {
            panic!("{event:?}");
        };
        let number = u16::from_le_bytes([data[0], data[1]]);
        assert_eq!(transaction.index(), number, "each reply at its place");
        seen.push(number);
    }
    assert_eq!(seen, (0..COUNT).collect::<Vec<_>>());
    for kind in [Kind::Request, Kind::Reply, Kind::Ack] {
        assert_eq!(sent(&exchange, kind), u64::from(COUNT), "{kind}");
    }
    assert_eq!(sent(&exchange, Kind::Locate), 1);
    assert_eq!(exchange.stats().sent_total(), 3 * u64::from(COUNT) + 2);
    assert!(exchange.next_time().is_none(), "nobody waits for anything");
}

#[test]
fn what_is_too_much_is_turned_away_with_a_reason() {
    let config = Config {
        transactions_max: 2,
        servers_max: 2,
        data_len_max: 100,
        ..Config::new(one_way)
    };
    let now = Instant::ZERO;
    let mut endpoint = Endpoint::new(config, Rng::new(1), now).expect("a configuration that works");
    let too_big = Err(TransError::TooBig {
        size: 101,
        size_max: 100,
    });
    assert_eq!(endpoint.trans(now, header(), &[0; 101]), too_big);
    let first = endpoint.get_request(now, PORT).expect("room");
    let trans = |endpoint: &mut Endpoint| endpoint.trans(now, header(), b"x");
    trans(&mut endpoint).expect("taken at once");
    endpoint.get_request(now, PORT).expect("room");
    assert_eq!(
        endpoint.get_request(now, PORT),
        Err(ServeError::TryAgain { servers: 2 })
    );
    trans(&mut endpoint).expect("room");
    assert_eq!(
        trans(&mut endpoint),
        Err(TransError::TryAgain { under_way: 2 })
    );
    let big = endpoint.put_reply(now, first, header(), &[0; 101]);
    assert!(matches!(big, Err(ServeError::TooBig { .. })));
    endpoint
        .put_reply(now, first, header(), b"y")
        .expect("it executes");
    let again = endpoint.put_reply(now, first, header(), b"y");
    assert_eq!(again, Err(ServeError::NotServing));
    assert_eq!(again.expect_err("no turn").code(), -1);
}

#[test]
fn parameters_that_cannot_work_are_refused() {
    let config = |change: fn(&mut Config)| {
        let mut config = Config::new(one_way);
        change(&mut config);
        config.check()
    };
    let cases = [
        (
            config(|config| config.window = 100),
            ConfigError::Window(100),
        ),
        (
            config(|config| config.servers_max = 0),
            ConfigError::Slots(0),
        ),
        (
            config(|config| config.transactions_max = 70_000),
            ConfigError::Slots(70_000),
        ),
        (
            config(|config| config.data_len_max = usize::MAX),
            ConfigError::Message(usize::MAX),
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, Err(expected));
    }
}

/// Every message takes so long.
struct Far(Duration);

impl Fates for Far {
    fn fate(&mut self, _: Instant, _: usize, _: usize, _: &[u8]) -> Fate {
        Fate::after(self.0)
    }
}

#[test]
fn questions_wait_for_as_long_as_the_path_takes() {
    let mut far = Far(Duration::from_millis(60));
    let mut exchange = Exchange::new(1);
    for _ in 0..2 {
        exchange.add(Config::new(one_way));
    }
    for _ in 0..20 {
        exchange.act(1, &mut far, |endpoint, now| {
            endpoint.get_request(now, PORT).expect("room for a server")
        });
        exchange.act(0, &mut far, |endpoint, now| {
            endpoint.trans(now, header(), b"x").expect("room for it")
        });
        for _ in 0..50 {
            run(&mut exchange, &mut far, 10);
            echo_all(&mut exchange, 1, &mut far);
        }
    }
    let replies = exchange.nodes[0].inbox.iter();
    let replies = replies.filter(|event| matches!(event, Event::Replied { .. }));
    assert_eq!(replies.count(), 20);
    assert_eq!(sent(&exchange, Kind::Request), 20);
    assert_eq!(sent(&exchange, Kind::Received), 0, "nobody was hasty");
}

#[test]
fn every_wait_has_a_deadline_but_those_of_the_application() {
    let config = Config {
        timing: Timing::amoeba5(),
        ..Config::new(one_way)
    };
    let mut exchange = Exchange::new(1);
    for _ in 0..2 {
        exchange.add(config.clone());
    }
    exchange.act(1, &mut Calm, |endpoint, now| {
        endpoint.get_request(now, PORT).expect("room for a server")
    });
    exchange.act(0, &mut Calm, |endpoint, now| {
        endpoint.trans(now, header(), b"x").expect("room for it")
    });
    let mut steps = Vec::new();
    for round in 0..40 {
        run(&mut exchange, &mut Calm, 100);
        if round == 20 {
            // The reply is lost, and so are the questions about it.
            let mut lost = Far(Duration::from_secs(1_000));
            echo_all(&mut exchange, 1, &mut lost);
        }
        for node in &exchange.nodes {
            let endpoint = node.endpoint.as_ref().expect("it is up");
            for pending in endpoint.pending() {
                let of_application = matches!(pending.step, Step::GetRequest | Step::Execution);
                assert_ne!(of_application, pending.deadline.is_some(), "{pending}");
                if !steps.contains(&pending.step) {
                    steps.push(pending.step);
                }
            }
        }
    }
    assert!(steps.contains(&Step::Reply) && steps.contains(&Step::Acknowledgement));
}

/// A message of 1 GiB there and back, without FLIP in between.
#[test]
fn the_largest_message_is_carried_whole() {
    const LEN: usize = 1 << 30;
    if std::env::var_os("ORCA_NIGHTLY").is_none() {
        println!("skipped: 1 GiB messages need ORCA_NIGHTLY=1");
        return;
    }
    let now = Instant::ZERO;
    let make = |seed| {
        let config = Config::new(one_way);
        Endpoint::new(config, Rng::new(seed), now).expect("a configuration that works")
    };
    let (mut client, mut server) = (make(1), make(2));
    server.get_request(now, PORT).expect("room for a server");
    let data = vec![0xa5; LEN];
    client.trans(now, header(), &data).expect("room for it");
    drop(data);
    let move_all = |from: &mut Endpoint, to: &mut Endpoint| {
        let source = from.address();
        while let Some(transmit) = from.poll_transmit() {
            let listener = match transmit.to {
                rpc::Destination::Broadcast { .. } => Listener::Everybody,
                rpc::Destination::Unicast(_) => Listener::Process,
            };
            to.handle_message(now, listener, source, transmit.message);
        }
    };
    for _ in 0..2 {
        move_all(&mut client, &mut server);
        move_all(&mut server, &mut client);
    }
    let Some(Event::Request {
        server: turn, data, ..
    }) = server.poll_event()
    else {
        panic!("no request");
    };
    assert_eq!(data.len(), LEN);
    assert_eq!(server.stats().count(Mark::LongRequestAcked), 1);
    server
        .put_reply(now, turn, header(), &data)
        .expect("it executes");
    drop(data);
    move_all(&mut server, &mut client);
    match client.poll_event() {
        Some(Event::Replied { data, .. }) => {
            assert_eq!((data.len(), data[LEN - 1]), (LEN, 0xa5));
        }
        other => panic!("{other:?}"),
    }
}

/// Long messages take a second for so many bytes, short ones overtake them.
struct Slow(u64);

impl Fates for Slow {
    fn fate(&mut self, _: Instant, _: usize, _: usize, message: &[u8]) -> Fate {
        let travel = message.len() as u64 * 1_000_000 / self.0;
        Fate::after(Duration::from_micros(100 + travel))
    }
}

#[test]
fn a_long_request_gets_through_where_the_path_is_slower_than_was_thought() {
    let mut slow = Slow(100_000);
    let mut exchange = Exchange::new(1);
    for _ in 0..2 {
        exchange.add(Config::new(one_way));
    }
    exchange.act(1, &mut slow, |endpoint, now| {
        endpoint.get_request(now, PORT).expect("room for a server")
    });
    exchange.act(0, &mut slow, |endpoint, now| {
        let data = vec![1; 1 << 20];
        endpoint.trans(now, header(), &data).expect("room for it")
    });
    for _ in 0..200 {
        run(&mut exchange, &mut slow, 1_000);
        echo_all(&mut exchange, 1, &mut slow);
    }
    let replied = exchange.nodes[0].inbox.pop_front();
    assert!(
        matches!(replied, Some(Event::Replied { .. })),
        "{replied:?}"
    );
}
