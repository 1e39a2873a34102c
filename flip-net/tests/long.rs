//! Long messages between two boxes: the pace holds fragments back, the joiner puts them together,
//! whatever the link does to their order.

use flip_net::address::{EndpointId, FlipAddress, LinkAddress, NetworkId};
use flip_net::join::{JoinConfig, Joiner, Message};
use flip_net::link::fault::{FaultLink, Faults};
use flip_net::rng::Rng;
use flip_net::time::{Duration, Instant};
use flip_net::wire::Packet;
use flip_net::{Config, Event, FlipBox, Link, Machine, Pace, SendOptions};

const RECEIVER: FlipAddress = FlipAddress::new([0xd; 8]);
const SENDER: FlipAddress = FlipAddress::new([0x5; 8]);

/// Two boxes on one bad cable; the second one owns a joiner.
struct Pair {
    now: Instant,
    boxes: [FlipBox; 2],
    receiver: EndpointId,
    cable: FaultLink<(usize, Vec<u8>)>,
    joiner: Joiner,
    joined: Vec<Message>,
}

impl Pair {
    fn new(faults: Faults) -> (Pair, EndpointId) {
        Pair::with(Config::default(), faults)
    }

    fn with(config: Config, faults: Faults) -> (Pair, EndpointId) {
        let mut boxes = [FlipBox::new(config), FlipBox::new(config)];
        boxes
            .iter_mut()
            .for_each(|each| assert_eq!(each.attach(Link::memory()), NetworkId(0)));
        let interface = boxes[0].interface();
        let sender = boxes[0].register(interface, SENDER);
        let interface = boxes[1].interface();
        let receiver = boxes[1].register(interface, RECEIVER);
        let pair = Pair {
            now: Instant::ZERO,
            boxes,
            receiver,
            cable: FaultLink::new(faults, Rng::new(11)),
            joiner: Joiner::new(JoinConfig::default()),
            joined: Vec::new(),
        };
        (pair, sender)
    }

    /// Until nothing moves.
    fn run(&mut self) {
        loop {
            for at in 0..2 {
                while let Some(frame) = self.boxes[at].poll_transmit() {
                    self.cable
                        .send(self.now, (1 - at, frame.bytes().into_owned()));
                }
                while let Some(event) = self.boxes[at].poll_event() {
                    if let Event::Fragment { fragment, .. } = event {
                        self.joined
                            .extend(self.joiner.handle_fragment(self.now, fragment));
                    }
                }
            }
            if let Some(missing) = self.joiner.poll_missing(self.now) {
                let parts = &missing.parts;
                let (now, message) = (self.now, missing.message);
                self.boxes[1].ask_again(now, self.receiver, missing.source, message, parts);
                continue;
            }
            if let Some((to, bytes)) = self.cable.receive(self.now) {
                let from = LinkAddress::Station(1 - to as u64);
                self.boxes[to].handle_frame(self.now, NetworkId(0), from, &bytes);
                continue;
            }
            let busy = self.boxes.iter().filter(|each| each.is_busy());
            let timeouts = busy.filter_map(Machine::poll_timeout);
            let others = [self.cable.next_arrival(), self.joiner.poll_timeout()];
            let Some(next) = timeouts.chain(others.into_iter().flatten()).min() else {
                return;
            };
            assert!(next >= self.now);
            self.now = next;
            let now = self.now;
            self.joiner.handle_timeout(now);
            self.boxes
                .iter_mut()
                .for_each(|each| each.handle_timeout(now));
        }
    }
}

fn message(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(len as u64).fill(&mut bytes);
    bytes
}

/// How long 64 MiB take on a cable that loses nothing, in microseconds.
fn micros_of_64_mebibytes(pace: Pace) -> u64 {
    let config = Config {
        pace: Some(pace),
        ..Config::default()
    };
    let faults = Faults {
        delay: Duration::from_micros(50),
        ..Faults::default()
    };
    let (mut pair, sender) = Pair::with(config, faults);
    let sent = message(64 << 20);
    let options = SendOptions::default();
    let to = RECEIVER.one_way();
    pair.boxes[0]
        .unicast(Instant::ZERO, sender, to, sent.clone(), options)
        .unwrap();
    pair.run();
    assert!(
        pair.joined[0].payload == sent,
        "the message is what was sent"
    );
    pair.now.as_micros()
}

#[test]
fn sixty_four_mebibytes_go_through_and_take_their_time() {
    let pace = Pace {
        burst: 1 << 20,
        per_millisecond: 512 << 10,
        per_millisecond_max: 512 << 10,
    };
    // 64 MiB at 512 KiB a millisecond, less the first burst.
    let took = micros_of_64_mebibytes(pace);
    assert!((120_000..140_000).contains(&took), "took {took} us");
    // With a pace that grows by a factor of e every 16 ms: 16 ms * ln (1 + 63 / 8).
    let faster = Pace {
        per_millisecond_max: 16 << 20,
        ..pace
    };
    let took = micros_of_64_mebibytes(faster);
    assert!((34_000..37_000).contains(&took), "took {took} us");
}

#[test]
fn order_and_duplicates_do_not_matter() {
    let faults = Faults {
        duplication: 200,
        reordering: 300,
        delay: Duration::from_micros(50),
        delay_max: Duration::from_micros(2_000),
        ..Faults::default()
    };
    let (mut pair, sender) = Pair::new(faults);
    let sizes = [1 << 20, 0, 70_000, 3, 5 << 20];
    for size in sizes {
        let options = SendOptions::default();
        let now = pair.now;
        pair.boxes[0]
            .unicast(now, sender, RECEIVER.one_way(), message(size), options)
            .unwrap();
    }
    pair.run();
    for size in sizes {
        let sent = message(size);
        assert!(
            pair.joined.iter().any(|joined| joined.payload == sent),
            "{size} B came"
        );
    }
}

#[test]
fn a_lost_fragment_costs_a_fragment_and_not_the_message() {
    let faults = Faults {
        loss: 100,
        delay: Duration::from_micros(50),
        ..Faults::default()
    };
    let (mut pair, sender) = Pair::new(faults);
    let sent = message(16 << 20);
    let options = SendOptions::default();
    pair.boxes[0]
        .unicast(pair.now, sender, RECEIVER.one_way(), sent.clone(), options)
        .unwrap();
    pair.run();
    assert!(
        pair.joined[0].payload == sent,
        "the message is what was sent"
    );
    let again = pair.boxes[0].stats().bytes_again as usize;
    assert!(
        again > 0 && again < sent.len() / 5,
        "{again} B were sent again"
    );
}

/// Two boxes on a perfect cable, and what the first one sends to the second.
fn longest_message(link: Link) -> (FlipBox, FlipBox) {
    let mut boxes = [(); 2].map(|()| {
        FlipBox::new(Config {
            pace: None,
            ..Config::default()
        })
    });
    for each in &mut boxes {
        each.attach(link);
    }
    let [mut from, mut to] = boxes;
    let interface = from.interface();
    let sender = from.register(interface, SENDER);
    let interface = to.interface();
    to.register(interface, RECEIVER);
    // All zeroes cost no memory until they are written to.
    let longest = vec![0; u32::MAX as usize];
    let options = SendOptions::default();
    from.unicast(Instant::ZERO, sender, RECEIVER.one_way(), longest, options)
        .expect("a message may have 2^32 - 1 bytes");
    let (a, b) = (LinkAddress::Station(0), LinkAddress::Station(1));
    let locate = from.poll_transmit().expect("a LOCATE");
    to.handle_frame(Instant::ZERO, NetworkId(0), a, &locate.bytes());
    let here_is = to.poll_transmit().expect("a HEREIS");
    from.handle_frame(Instant::ZERO, NetworkId(0), b, &here_is.bytes());
    (from, to)
}

#[test]
fn the_longest_message_is_cut_to_its_last_byte() {
    let link = Link {
        flow: false,
        ..Link::ethernet()
    };
    let (mut from, _) = longest_message(link);
    let (mut at, mut count) = (0, 0_u64);
    while let Some(frame) = from.poll_transmit() {
        let bytes = frame.bytes();
        let packet = Packet::new_checked(&bytes).expect("a packet");
        assert_eq!(
            (u64::from(packet.offset()), packet.total()),
            (at, u32::MAX),
            "one fragment follows the other"
        );
        at += u64::from(packet.length());
        count += 1;
    }
    assert_eq!(at, u64::from(u32::MAX));
    assert_eq!(count, u64::from(u32::MAX).div_ceil(1_458));
}

#[test]
fn a_long_fragment_is_a_part_of_the_message_and_not_a_copy() {
    let (mut from, _) = longest_message(Link::memory());
    let first = from.poll_transmit().expect("the first fragment");
    let second = from.poll_transmit().expect("the second fragment");
    let [first, second] = [&first.body, &second.body].map(|body| body.as_ptr_range());
    assert_eq!(first.end, second.start, "one lies behind the other");
}

#[test]
fn the_longest_message_is_joined() {
    if std::env::var_os("ORCA_NIGHTLY").is_none() {
        println!("skipped: it takes 5 GB of memory, ORCA_NIGHTLY=1 runs it");
        return;
    }
    let (mut from, mut to) = longest_message(Link::memory());
    let mut joiner = Joiner::new(JoinConfig {
        message_len_max: u32::MAX as usize,
        bytes_max: 8 << 30,
        ..JoinConfig::default()
    });
    let mut joined = None;
    while let Some(frame) = from.poll_transmit() {
        to.handle_frame(
            Instant::ZERO,
            NetworkId(0),
            LinkAddress::Station(0),
            &frame.bytes(),
        );
        while let Some(event) = to.poll_event() {
            let Event::Fragment { fragment, .. } = event else {
                panic!("nothing comes back");
            };
            joined = joined.or(joiner.handle_fragment(Instant::ZERO, fragment));
        }
    }
    let joined = joined.expect("the message");
    assert_eq!(joined.payload.len(), u32::MAX as usize);
    assert!(joined.payload.iter().all(|byte| *byte == 0));
}
