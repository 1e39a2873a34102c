//! Endpoints over real boxes on simulated networks: fragments, bounces, untrusted ways, migration,
//! both byte orders, and how many messages a transaction takes.
//!
//! Implements: scenarios 57, 71, 72, 74, 77 and 79.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use capability::{Header, Order, Port};
use flip_net::address::{EndpointId, FlipAddress, InterfaceId, LinkAddress, NetworkId};
use flip_net::join::{JoinConfig, Joiner};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use flip_net::wire::Flow;
use flip_net::{FlipBox, Frame, Link, Listen, Machine, SendOptions};
use rpc::{
    Config, DATA_OFFSET, Destination, Endpoint, Event, Failure, Kind, Listener, Packet,
    RPC_HEADER_SIZE, RpcHeader, Timing, Transmit,
};
use sim::{Actor, Cable, Flight, MachineId, Plan, Verdict, World};

const PORT: Port = Port::new(*b"flip\0\0");

/// A process: its endpoint, and the addresses it has registered.
struct Process {
    endpoint: Endpoint,
    private: FlipAddress,
    interface: InterfaceId,
    own: EndpointId,
}

/// A host: a box, a joiner, and at most one process.
struct Host {
    flip: FlipBox,
    joiner: Joiner,
    process: Option<Process>,
    inbox: VecDeque<Event>,
    /// Sends everything in the order that we do not use.
    big: bool,
    bounces: usize,
}

impl Host {
    fn new(link: Link) -> Host {
        let mut flip = FlipBox::new(flip_net::Config::thesis());
        flip.attach(link);
        let joiner = Joiner::new(JoinConfig {
            gap: Duration::from_millis(4_000),
            ..JoinConfig::default()
        });
        Host {
            flip,
            joiner,
            process: None,
            inbox: VecDeque::new(),
            big: false,
            bounces: 0,
        }
    }

    fn start(&mut self, config: Config, seed: u64, now: Instant) {
        let mut endpoint =
            Endpoint::new(config, Rng::new(seed), now).expect("a configuration that works");
        let own = endpoint.poll_registration().expect("the process' own");
        assert_eq!(own.listener, Listener::Process);
        let everybody = endpoint.poll_registration().expect("the null address");
        assert_eq!(everybody.listener, Listener::Everybody);
        self.settle(endpoint, own.private);
    }

    /// Gives a process its addresses here.
    fn settle(&mut self, endpoint: Endpoint, private: FlipAddress) {
        let interface = self.flip.interface_from(private.bytes()[0].into());
        let own = self.flip.register(interface, private);
        self.flip.register(interface, FlipAddress::NULL);
        assert_eq!(self.flip.address_of(own), Some(endpoint.address()));
        self.process = Some(Process {
            endpoint,
            private,
            interface,
            own,
        });
    }

    /// The process leaves with everything it has.
    fn leave(&mut self) -> (Endpoint, FlipAddress) {
        let process = self.process.take().expect("a process");
        self.flip.end(process.interface);
        (process.endpoint, process.private)
    }

    fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.process.as_mut().expect("a process").endpoint
    }

    /// Moves transmits down and events up until nothing moves.
    fn pump(&mut self, now: Instant) {
        loop {
            while let Some(process) = &mut self.process {
                let Some(transmit) = process.endpoint.poll_transmit() else {
                    break;
                };
                let own = process.own;
                self.send(now, own, transmit);
            }
            while let Some(process) = &mut self.process
                && let Some(event) = process.endpoint.poll_event()
            {
                self.inbox.push_back(event);
            }
            let Some(event) = self.flip.poll_event() else {
                return;
            };
            self.take(now, event);
        }
    }

    fn send(&mut self, now: Instant, from: EndpointId, transmit: Transmit) {
        let mut options = SendOptions {
            security: transmit.security,
            relocate: transmit.relocate,
            ..SendOptions::default()
        };
        if transmit.is_answer {
            options.locate_time = Duration::ZERO;
        }
        let message = match self.big {
            true => big_endian(&transmit.message).into(),
            false => transmit.message,
        };
        let sent = match transmit.to {
            Destination::Unicast(to) => self.flip.unicast(now, from, to, message, options),
            Destination::Broadcast { hop_count } => {
                self.flip.broadcast(now, from, message, hop_count)
            }
        };
        // As good as lost on the way.
        let _ = sent;
    }

    fn take(&mut self, now: Instant, event: flip_net::Event) {
        match event {
            flip_net::Event::Fragment { fragment, .. } => {
                let Some(message) = self.joiner.handle_fragment(now, fragment) else {
                    return;
                };
                let listener = match message.destination.is_null() {
                    true => Listener::Everybody,
                    false => Listener::Process,
                };
                if let Some(process) = &mut self.process {
                    let (source, payload) = (message.source, message.payload);
                    process
                        .endpoint
                        .handle_message(now, listener, source, payload);
                }
            }
            flip_net::Event::NotDelivered {
                destination,
                reason,
                offset,
                payload,
                ..
            } => {
                self.bounces += 1;
                if let Some(process) = &mut self.process {
                    process.endpoint.handle_undeliverable(
                        now,
                        destination,
                        reason,
                        offset,
                        &payload,
                    );
                }
            }
        }
    }
}

impl Machine for Host {
    fn handle_frame(&mut self, now: Instant, network: NetworkId, from: LinkAddress, frame: &[u8]) {
        self.flip.handle_frame(now, network, from, frame);
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.flip.handle_timeout(now);
        self.joiner.handle_timeout(now);
        self.pump(now);
        while self.joiner.poll_missing(now).is_some() {}
        if let Some(process) = &mut self.process {
            process.endpoint.handle_timeout(now);
        }
        self.pump(now);
    }

    fn poll_transmit(&mut self) -> Option<Frame> {
        self.flip.poll_transmit()
    }

    fn poll_listen(&mut self) -> Option<Listen> {
        self.flip.poll_listen()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let process = self.process.as_ref();
        let timeouts = [
            self.flip.poll_timeout(),
            self.joiner.poll_timeout(),
            process.and_then(|process| process.endpoint.poll_timeout()),
        ];
        timeouts.into_iter().flatten().min()
    }
}

impl Actor for Host {}

/// The same message with all integers the other way round.
fn big_endian(message: &[u8]) -> Vec<u8> {
    let selector = rpc::BROADCAST_SELECTOR.to_be_bytes();
    let (front, message) = match message.strip_prefix(&selector) {
        Some(rest) => (&selector[..], rest),
        None => (&[][..], message),
    };
    let packet = Packet::new_checked(message).expect("one of ours");
    let mut bytes = front.to_vec();
    bytes.extend(RpcHeader::parse(&packet).emit(Order::Big));
    let rest = match packet.code() {
        code if code == Kind::Request as u8 || code == Kind::Reply as u8 => {
            let header = packet.header().expect("they have one");
            bytes.extend(header.emit(Order::Big));
            &message[DATA_OFFSET..]
        }
        _ => &message[RPC_HEADER_SIZE..],
    };
    bytes.extend(rest);
    bytes
}

fn config() -> Config {
    Config {
        timing: Timing::amoeba5(),
        ..Config::new(FlipAddress::one_way)
    }
}

/// `count` hosts on one network; a process on each of the first `processes`.
fn world(link: Link, count: usize, processes: usize) -> World<Host> {
    let mut world = World::new(7, Plan::calm());
    let cable = world.add_cable(Cable::new("net", Duration::from_micros(100)));
    for number in 0..count {
        let mut host = Host::new(link);
        if number < processes {
            host.start(config(), 0x1000 + number as u64, Instant::ZERO);
        }
        world.add_machine(format!("h{number}"), host, &[cable]);
    }
    world
}

fn id(host: usize) -> MachineId {
    MachineId::new(host)
}

fn run(world: &mut World<Host>, millis: u64) {
    let until = world.now() + Duration::from_millis(millis);
    world.run_until(until);
}

fn act<T>(
    world: &mut World<Host>,
    host: usize,
    act: impl FnOnce(&mut Endpoint, Instant) -> T,
) -> T {
    let done = world.with(id(host), |host, now| {
        let done = act(host.endpoint(), now);
        host.pump(now);
        done
    });
    done.expect("the host is up")
}

fn serve(world: &mut World<Host>, host: usize) {
    act(world, host, |endpoint, now| {
        endpoint.get_request(now, PORT).expect("room for a server")
    });
}

fn trans(world: &mut World<Host>, host: usize, header: Header, data: &[u8]) {
    act(world, host, |endpoint, now| {
        endpoint
            .trans(now, header, data)
            .expect("room for a transaction")
    });
}

fn header() -> Header {
    Header {
        command: 0x1234,
        offset: -5,
        size: 0x0102,
        extra: 0x0304,
        ..Header::to(PORT.put_port())
    }
}

fn next(world: &mut World<Host>, host: usize) -> Option<Event> {
    world
        .with(id(host), |host, _| host.inbox.pop_front())
        .expect("the host is up")
}

/// The one request that came to a host, answered with its own header and data.
fn echo(world: &mut World<Host>, host: usize) -> Vec<u8> {
    let Some(Event::Request {
        server,
        header,
        data,
        ..
    }) = next(world, host)
    else {
        panic!("no request at h{host}");
    };
    act(world, host, |endpoint, now| {
        endpoint
            .put_reply(now, server, header, &data)
            .expect("it executes")
    });
    data.to_vec()
}

fn replied(world: &mut World<Host>, host: usize) -> (Header, Vec<u8>) {
    match next(world, host) {
        Some(Event::Replied { header, data, .. }) => (header, data.to_vec()),
        other => panic!("{other:?} instead of a reply"),
    }
}

/// One whole transaction of h0 with h1.
fn check_echo(world: &mut World<Host>, data: &[u8]) {
    serve(world, 1);
    trans(world, 0, header(), data);
    run(world, 1_000);
    assert_eq!(echo(world, 1), data);
    run(world, 1_000);
    assert_eq!(replied(world, 0), (header(), data.to_vec()));
    assert!(matches!(next(world, 1), Some(Event::ReplyDone { .. })));
}

/// What a FLIP packet in an Ethernet frame says of its place in a message: offset, bytes, total.
fn piece(frame: &[u8]) -> Option<(u32, usize, u32)> {
    let (_, packet) = Flow::parse(frame).ok()?;
    let packet = flip_net::wire::Packet::new_checked(packet).ok()?;
    Some((packet.offset(), packet.payload().len(), packet.total()))
}

/// Scenario 57, on the network: three frames for a transaction whose port is known, and no fourth.
#[test]
fn a_null_transaction_takes_three_messages() {
    let mut world = world(Link::memory(), 2, 2);
    check_echo(&mut world, b"first");
    let frames = Rc::new(RefCell::new(Vec::new()));
    let seen = frames.clone();
    world.add_rule(move |flight: &Flight<'_>| {
        seen.borrow_mut().push((flight.from, flight.to));
        None::<Verdict>
    });
    let before = [0, 1].map(|host| act(&mut world, host, |end, _| end.stats().sent_total()));
    check_echo(&mut world, b"");
    let after = [0, 1].map(|host| act(&mut world, host, |end, _| end.stats().sent_total()));
    assert_eq!([after[0] - before[0], after[1] - before[1]], [2, 1]);
    let (request, reply) = ((id(0), id(1)), (id(1), id(0)));
    assert_eq!(*frames.borrow(), [request, reply, request]);
}

/// Scenario 71: 69 fragments, 1,402 bytes of data in the first; acknowledged at once.
#[test]
fn a_large_request_is_acknowledged_when_it_is_complete() {
    let mut world = world(Link::ethernet(), 2, 2);
    check_echo(&mut world, b"first");
    let pieces = Rc::new(RefCell::new(Vec::new()));
    let seen = pieces.clone();
    world.add_rule(move |flight: &Flight<'_>| {
        seen.borrow_mut().extend(piece(flight.bytes));
        None::<Verdict>
    });
    serve(&mut world, 1);
    let data: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
    trans(&mut world, 0, header(), &data);
    run(&mut world, 500);
    let of_request = |total: &u32| *total == 100_056;
    let request: Vec<_> = pieces
        .borrow()
        .iter()
        .filter(|(.., total)| of_request(total))
        .copied()
        .collect();
    assert_eq!(request.len(), 69);
    assert_eq!(request[0].1 - DATA_OFFSET, 1_402);
    assert_eq!(pieces.borrow().last(), Some(&(0, RPC_HEADER_SIZE, 24)));
    let acks = |world: &mut World<Host>, host| {
        act(world, host, |endpoint, _| {
            endpoint.stats().sent_of(Kind::Ack)
        })
    };
    let before = acks(&mut world, 0);
    assert_eq!(acks(&mut world, 1), 1);
    assert_eq!(echo(&mut world, 1), data);
    run(&mut world, 500);
    assert_eq!(replied(&mut world, 0).1, data);
    assert_eq!(acks(&mut world, 0), before + 1);
}

/// Scenario 72: the third fragment is lost, and so the request; asked about, it is sent again.
#[test]
fn a_gap_in_a_request_has_it_sent_again_and_executed_once() {
    let mut world = world(Link::ethernet(), 2, 2);
    check_echo(&mut world, b"first");
    let mut lost = false;
    world.add_rule(move |flight: &Flight<'_>| {
        let third = piece(flight.bytes).is_some_and(|piece| piece.0 == 2 * 1_458);
        let drop = third && !std::mem::replace(&mut lost, true);
        drop.then_some(Verdict::Drop)
    });
    serve(&mut world, 1);
    let data = vec![7; 100_000];
    trans(&mut world, 0, header(), &data);
    run(&mut world, 30_000);
    assert_eq!(echo(&mut world, 1), data);
    run(&mut world, 5_000);
    assert_eq!(replied(&mut world, 0).1, data);
    let stats = act(&mut world, 0, |endpoint, _| endpoint.stats().clone());
    assert_eq!(stats.sent_of(Kind::Request), 3);
    assert!(stats.sent_of(Kind::Received) >= 1);
    assert!(matches!(next(&mut world, 1), Some(Event::ReplyDone { .. })));
    assert_eq!(next(&mut world, 1), None, "executed once");
}

/// Scenario 74.
#[test]
fn either_order_of_bytes_is_understood() {
    for big in [0, 1] {
        let mut world = world(Link::ethernet(), 2, 2);
        world.with(id(big), |host, _| host.big = true);
        let data: Vec<u8> = (0..=255).collect();
        check_echo(&mut world, &data);
        check_echo(&mut world, &vec![9; 20_000]);
    }
}

/// Scenario 77.
#[test]
fn a_server_that_can_be_reached_only_by_untrusted_ways_is_not_asked() {
    let link = Link {
        trusted: false,
        ..Link::ethernet()
    };
    let mut world = world(link, 2, 2);
    serve(&mut world, 1);
    trans(&mut world, 0, header(), b"secret");
    run(&mut world, 20_000);
    match next(&mut world, 0) {
        Some(Event::Failed { error, .. }) => {
            assert!(matches!(error, Failure::Unsafe { .. }), "{error}");
            assert!(error.was_not_executed());
            assert_eq!(error.code(), -9);
        }
        other => panic!("{other:?} instead of a failure"),
    }
    assert_eq!(next(&mut world, 1), None, "nothing came");
}

/// Scenario 79.
#[test]
fn a_server_that_moves_is_found_again() {
    let mut world = world(Link::ethernet(), 3, 2);
    check_echo(&mut world, b"first");
    serve(&mut world, 1);
    let (endpoint, private) = world
        .with(id(1), |host, _| host.leave())
        .expect("the host is up");
    world.with(id(2), |host, _| host.settle(endpoint, private));
    trans(&mut world, 0, header(), b"second");
    run(&mut world, 10_000);
    let bounces = world.with(id(0), |host, _| host.bounces);
    assert_eq!(bounces, Some(1));
    assert_eq!(echo(&mut world, 2), b"second");
    run(&mut world, 1_000);
    assert_eq!(replied(&mut world, 0).1, b"second");
}

/// A server that executes while it moves: its client's questions follow it.
#[test]
fn a_server_may_move_while_it_executes() {
    let mut world = world(Link::ethernet(), 3, 2);
    serve(&mut world, 1);
    trans(&mut world, 0, header(), b"long");
    run(&mut world, 5_000);
    let (endpoint, private) = world
        .with(id(1), |host, _| host.leave())
        .expect("the host is up");
    world.with(id(2), |host, _| host.settle(endpoint, private));
    run(&mut world, 60_000);
    let event = next(&mut world, 1).expect("the request came before");
    world.with(id(2), |host, _| host.inbox.push_back(event));
    assert_eq!(echo(&mut world, 2), b"long");
    run(&mut world, 1_000);
    assert_eq!(replied(&mut world, 0).1, b"long");
}
