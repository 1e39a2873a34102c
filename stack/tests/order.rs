//! Whole stacks on real threads and real networks: everybody sees the same order, nothing is lost,
//! a stopped worker stops the senders.

#![allow(
    clippy::disallowed_methods,
    reason = "real threads are measured by a real clock"
)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Barrier};
use std::time::{Duration as StdDuration, Instant as StdInstant};

use stack::capability::Port;
use stack::driver::{Doorbell, DriverConfig, Running, Woken};
use stack::flip_net::Link;
use stack::flip_net::driver::{Device, MemoryNetwork, UdpConfig, UdpDevice};
use stack::flip_net::link::fault::Faults;
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant};
use stack::group::{MemberIndex, Payload};
use stack::{Command, Config, Delivery, Refused, Stack};

const PATIENCE: Duration = Duration::from_secs(60);

/// One processor as a test has it.
struct Processor {
    running: Running<Stack>,
    me: MemberIndex,
    /// Everything ordered that came out so far: number, sender, hash and size of the payload.
    log: Vec<(u32, u16, u64, usize)>,
    own_seen: usize,
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn payload(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Rng::new(seed).fill(&mut bytes);
    bytes
}

impl Processor {
    /// Starts one and waits until it is in.
    fn start(device: Arc<dyn Device>, port: Port, number: usize, change: fn(&mut Config)) -> Self {
        let mut config = Config::new(vec![device.link()], port, number == 0);
        change(&mut config);
        let seed = Rng::new(u64::from(std::process::id()) << 32 | number as u64);
        let stack = Stack::new(config, seed, Instant::ZERO).unwrap();
        let driver = DriverConfig::default();
        let running = Running::start(stack, vec![device], driver, Doorbell::none()).unwrap();
        let mut processor = Processor {
            running,
            me: MemberIndex::new(0),
            log: Vec::new(),
            own_seen: 0,
        };
        match processor.next() {
            Delivery::Entered { me, .. } => processor.me = me,
            other => panic!("{other:?} instead of entering"),
        }
        processor
    }

    /// The next delivery, whenever it comes.
    fn next(&self) -> Delivery {
        let until = self.running.now() + PATIENCE;
        loop {
            if let Some(delivery) = self.running.try_delivery() {
                return delivery;
            }
            let woken = self.running.wait(Some(until));
            let stats = || self.running.stats().to_string();
            assert!(
                woken == Woken::Delivery,
                "{woken:?} at {:?}\n{}",
                self.me,
                stats()
            );
        }
    }

    /// Takes one delivery into the log.
    fn log_next(&mut self) {
        match self.next() {
            Delivery::Data {
                seq, from, payload, ..
            } => {
                self.own_seen += usize::from(from == self.me);
                let entry = (
                    seq.value(),
                    from.slot() as u16,
                    hash(&payload),
                    payload.len(),
                );
                self.log.push(entry);
            }
            Delivery::Joined { .. } | Delivery::Left { .. } => {}
            other => panic!("{other:?} at {:?}", self.me),
        }
    }

    /// Sends a message; takes deliveries while there is no room.
    fn broadcast(&mut self, bytes: Vec<u8>) {
        let mut payload = Payload::from(bytes);
        loop {
            let command = Command::Broadcast(payload);
            match self.running.command(command) {
                Ok(_) => return,
                Err(Refused::Full(back)) => {
                    payload = back;
                    self.log_next();
                }
                Err(refused) => panic!("{refused}"),
            }
        }
    }

    /// Leaves, and stays until the group needs it no more.
    fn leave(self) {
        self.running.command(Command::Leave).unwrap();
        while self.next() != Delivery::Closed {}
        self.running.stop();
    }
}

fn memory(count: usize, faults: Faults) -> Vec<Arc<dyn Device>> {
    let network = MemoryNetwork::with(Link::memory(), faults, 5);
    (0..count)
        .map(|_| network.device() as Arc<dyn Device>)
        .collect()
}

fn udp(count: usize, multicast: bool) -> Vec<Arc<dyn Device>> {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    let group = SocketAddr::from(([239, 255, 77, 12], port));
    let config = UdpConfig::loopback(multicast.then_some(group));
    let devices: Vec<_> = (0..count)
        .map(|_| UdpDevice::open(&config).unwrap())
        .collect();
    let peers: Vec<_> = devices.iter().map(UdpDevice::address).collect();
    devices.iter().for_each(|device| device.set_peers(&peers));
    devices
        .into_iter()
        .map(|device| Arc::new(device) as Arc<dyn Device>)
        .collect()
}

/// Starts all of them, each on a thread of its own, and lets `work` run there.
fn run_all<R: Send>(
    devices: Vec<Arc<dyn Device>>,
    port: u8,
    change: fn(&mut Config),
    work: impl Fn(usize, Processor) -> R + Sync,
) -> Vec<R> {
    let port = Port::new([port, 1, 2, 3, 4, 5]);
    let all_in = Barrier::new(devices.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = devices
            .into_iter()
            .enumerate()
            .map(|(number, device)| {
                let (all_in, work) = (&all_in, &work);
                scope.spawn(move || {
                    let processor = Processor::start(device, port, number, change);
                    all_in.wait();
                    work(number, processor)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Each of them sends `each` messages of sizes that `size` says; all logs are equal and complete.
fn check_order(
    devices: Vec<Arc<dyn Device>>,
    port: u8,
    each: usize,
    size: impl Fn(usize, usize) -> usize + Sync,
) {
    let count = devices.len();
    let finished = Barrier::new(count);
    let begun = StdInstant::now();
    let logs = run_all(
        devices,
        port,
        |_| {},
        |number, mut processor| {
            for at in 0..each {
                let seed = (number * each + at) as u64;
                processor.broadcast(payload(seed, size(number, at)));
            }
            while processor.log.len() < each * count {
                processor.log_next();
            }
            finished.wait();
            let log = std::mem::take(&mut processor.log);
            let (me, stats) = (processor.me, processor.running.stats());
            if number == 0 {
                println!("{:?}\n{stats}", processor.running.driver_stats());
            }
            processor.leave();
            (me, log)
        },
    );
    println!("{count} x {each} messages in {:?}", begun.elapsed());
    for (_, log) in &logs {
        assert_eq!(*log, logs[0].1, "everybody sees the same order");
    }
    // What came out is what went in, in each sender's order.
    for (number, (me, _)) in logs.iter().enumerate() {
        let own = logs[0]
            .1
            .iter()
            .filter(|(_, from, ..)| *from == me.slot() as u16);
        let sent = (0..each).map(|at| {
            let bytes = payload((number * each + at) as u64, size(number, at));
            (hash(&bytes), bytes.len())
        });
        assert!(
            own.map(|(.., hash, size)| (*hash, *size)).eq(sent),
            "all of {me:?} came"
        );
    }
}

fn small(_: usize, at: usize) -> usize {
    at % 200
}

#[test]
fn two_in_memory_see_one_order() {
    check_order(memory(2, Faults::default()), 1, 1_000, small);
}

#[test]
fn three_in_memory_see_one_order() {
    check_order(memory(3, Faults::default()), 2, 1_000, small);
}

#[test]
fn eight_in_memory_see_one_order() {
    check_order(memory(8, Faults::default()), 3, 1_000, small);
}

#[test]
fn two_over_udp_see_one_order() {
    check_order(udp(2, true), 4, 1_000, small);
}

#[test]
fn three_over_udp_peer_by_peer_see_one_order() {
    check_order(udp(3, false), 5, 1_000, small);
}

#[test]
fn eight_over_udp_see_one_order() {
    check_order(udp(8, true), 6, 1_000, small);
}

const SIZES: [usize; 8] = [0, 1, 1_000, 61_000, 61_400, 100_000, 400_000, 1 << 20];

fn any_size(number: usize, at: usize) -> usize {
    SIZES[(number + at) % SIZES.len()]
}

#[test]
fn sizes_from_nothing_to_a_mebibyte_go_through_in_memory() {
    check_order(memory(3, Faults::default()), 7, 24, any_size);
}

#[test]
fn sizes_from_nothing_to_a_mebibyte_go_through_over_udp() {
    check_order(udp(3, true), 8, 24, any_size);
}

#[test]
fn loss_duplicates_and_reordering_change_nothing() {
    let faults = Faults {
        loss: 50,
        duplication: 30,
        reordering: 50,
        ..Faults::default()
    };
    check_order(memory(3, faults), 9, 300, small);
    check_order(memory(3, faults), 10, 16, any_size);
}

#[test]
fn sixty_four_mebibytes_less_headers_go_through() {
    // The largest message that a group carries.
    check_order(
        udp(2, true),
        11,
        1,
        |number, _| if number == 1 { 64 << 20 } else { 1 },
    );
}

#[test]
fn a_stopped_worker_blocks_senders_and_nothing_is_lost() {
    const EACH: usize = 600;
    let resume = Barrier::new(2);
    let done = Barrier::new(3);
    let small_bounds = |config: &mut Config| {
        config.group.queue_messages_max = 40;
        config.group.history_log2 = 7;
        config.group.window = 16;
    };
    let logs = run_all(
        memory(3, Faults::default()),
        12,
        small_bounds,
        |number, mut processor| {
            match number {
                // The sequencer's worker only listens.
                0 => {}
                // The sender gets stuck long before it is done, and says so.
                1 => {
                    let mut sent = 0;
                    let mut stuck_since = StdInstant::now();
                    let mut resumed = false;
                    while sent < EACH {
                        let bytes = Payload::from(payload(sent as u64, 50));
                        let command = Command::Broadcast(bytes);
                        match processor.running.command(command) {
                            Ok(_) => {
                                sent += 1;
                                stuck_since = StdInstant::now();
                            }
                            Err(Refused::Full(_)) => {
                                if processor.running.has_delivery() {
                                    processor.log_next();
                                } else if stuck_since.elapsed() > StdDuration::from_millis(300)
                                    && !resumed
                                {
                                    assert!(sent < EACH / 2, "{sent} went out to a full queue");
                                    resumed = true;
                                    resume.wait();
                                } else {
                                    let soon = processor.running.now() + Duration::from_millis(1);
                                    processor.running.wait(Some(soon));
                                }
                            }
                            Err(refused) => panic!("{refused}"),
                        }
                    }
                    assert!(resumed, "the sender was never stuck");
                }
                // This worker does not touch its queue until the sender is stuck.
                _ => {
                    resume.wait();
                }
            }
            while processor.log.len() < EACH {
                processor.log_next();
            }
            let stats = processor.running.stats();
            assert!(
                stats.queue.messages_peak <= 40,
                "{}",
                stats.queue.messages_peak
            );
            done.wait();
            let log = std::mem::take(&mut processor.log);
            processor.leave();
            log
        },
    );
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[0], logs[2]);
    let sizes = logs[0].iter().map(|(.., hash, _)| *hash);
    assert!(sizes.eq((0..EACH).map(|at| hash(&payload(at as u64, 50)))));
}

#[test]
fn eight_over_udp_are_in_at_once() {
    let devices = udp(8, true);
    let begun = StdInstant::now();
    let times = run_all(
        devices,
        13,
        |_| {},
        |_, processor| {
            let took = begun.elapsed();
            processor.leave();
            took
        },
    );
    let slowest = times.into_iter().max().unwrap();
    println!("all in after {slowest:?}");
    // A few milliseconds where nobody else wants the cores; a tenth of a second is shown in
    // virtual time.
    assert!(slowest < StdDuration::from_millis(1_000), "{slowest:?}");
}

#[test]
fn one_broadcast_at_a_time_costs_two_packets() {
    const ROUNDS: usize = 500;
    let counted = Barrier::new(3);
    let finished = Barrier::new(3);
    let results = run_all(
        udp(3, true),
        14,
        |_| {},
        |number, mut processor| {
            let before = processor.running.stats().flip.networks[0].sent.total();
            counted.wait();
            let begun = StdInstant::now();
            if number == 2 {
                for at in 0..ROUNDS {
                    processor.broadcast(payload(at as u64, 10));
                    while processor.own_seen <= at {
                        processor.log_next();
                    }
                }
                println!(
                    "{:?} from a broadcast to its own delivery",
                    begun.elapsed() / ROUNDS as u32
                );
            }
            while processor.log.len() < ROUNDS {
                processor.log_next();
            }
            let stats = processor.running.stats();
            let sent = stats.flip.networks[0].sent.total() - before;
            finished.wait();
            processor.leave();
            sent
        },
    );
    // One to the sequencer, one from it to all; the rest is what a silent member says now and
    // then, and a time-out on a machine that is shared.
    let packets: u64 = results.iter().sum();
    let least = 2 * ROUNDS as u64;
    assert!(
        (least..least + least / 10).contains(&packets),
        "{results:?}"
    );
}
