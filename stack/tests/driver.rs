//! The driver with bare boxes: who is woken, what stays in order, what stops.

#![allow(
    clippy::disallowed_methods,
    reason = "real threads are measured by a real clock"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration as StdDuration, Instant as StdInstant};

use flip_net::address::{EndpointId, FlipAddress};
use flip_net::driver::{Device, MemoryNetwork, UdpConfig, UdpDevice};
use flip_net::time::Duration;
use flip_net::{Config, Event, FlipBox, Fragment, SendOptions};
use stack::driver::{Doorbell, DriverConfig, Running, Woken};

struct Node {
    running: Running<FlipBox>,
    endpoint: EndpointId,
    address: FlipAddress,
}

fn node(device: Arc<dyn Device>, number: u8, doorbell: Doorbell) -> Node {
    node_with(device, number, doorbell, DriverConfig::default())
}

fn node_with(
    device: Arc<dyn Device>,
    number: u8,
    doorbell: Doorbell,
    config: DriverConfig,
) -> Node {
    let mut flip = FlipBox::new(Config::default());
    flip.attach(device.link());
    let interface = flip.interface();
    let private = FlipAddress::new([number, 1, 2, 3, 4, 5, 6, 0]);
    let endpoint = flip.register(interface, private);
    let running = Running::start(flip, vec![device], config, doorbell).unwrap();
    Node {
        running,
        endpoint,
        address: private.one_way(),
    }
}

impl Node {
    fn send(&self, to: &Node, payload: Vec<u8>) {
        self.running.with(|flip, now| {
            flip.unicast(
                now,
                self.endpoint,
                to.address,
                payload,
                SendOptions::default(),
            )
            .unwrap();
        });
    }

    fn receive(&self) -> Fragment {
        let until = self.running.now() + Duration::from_secs(20);
        loop {
            if let Some(event) = self.running.try_delivery() {
                let Event::Fragment { fragment, .. } = event else {
                    panic!("{event:?}")
                };
                return fragment;
            }
            assert_ne!(
                self.running.wait(Some(until)),
                Woken::Deadline,
                "nothing came"
            );
        }
    }
}

fn udp() -> [Arc<dyn Device>; 2] {
    let devices = [(); 2].map(|()| UdpDevice::open(&UdpConfig::loopback(None)).unwrap());
    let peers = devices.each_ref().map(UdpDevice::address);
    devices.map(|device| {
        device.set_peers(&peers);
        Arc::new(device) as Arc<dyn Device>
    })
}

fn memory() -> [Arc<dyn Device>; 2] {
    let network = MemoryNetwork::new();
    [network.device(), network.device()]
}

fn check_ping_pong(devices: [Arc<dyn Device>; 2], spin_max: Duration) {
    let [a, b] = devices;
    let config = DriverConfig { spin_max };
    let a = node_with(a, 1, Doorbell::none(), config);
    let b = node_with(b, 2, Doorbell::none(), config);
    const ROUNDS: u32 = 2_000;
    let begun = StdInstant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..ROUNDS {
                assert_eq!(b.receive().payload[..], number.to_le_bytes());
                b.send(&a, number.to_be_bytes().to_vec());
            }
        });
        for number in 0..ROUNDS {
            a.send(&b, number.to_le_bytes().to_vec());
            assert_eq!(a.receive().payload[..], number.to_be_bytes());
        }
    });
    let micros = begun.elapsed().as_micros() / u128::from(ROUNDS);
    println!("{micros} us a round trip, {:?}", a.running.driver_stats());
    // Waiting workers receive for themselves: the receiver threads are nearly out of work.
    let stats = a.running.driver_stats();
    assert!(
        stats.received_by_worker > u64::from(ROUNDS) / 2,
        "{stats:?}"
    );
    b.running.stop();
}

#[test]
fn workers_that_wait_receive_for_themselves_in_memory() {
    check_ping_pong(memory(), Duration::ZERO);
}

#[test]
fn workers_that_wait_receive_for_themselves_over_udp() {
    check_ping_pong(udp(), Duration::ZERO);
}

#[test]
fn workers_may_look_for_frames_before_they_sleep() {
    check_ping_pong(udp(), Duration::from_micros(100));
}

#[test]
fn a_busy_worker_is_told_by_its_doorbell() {
    static FLAG: AtomicU32 = AtomicU32::new(0);
    let [a, b] = memory();
    let a = node(a, 1, Doorbell::none());
    let b = node(b, 2, Doorbell::flag(&FLAG));
    a.send(&b, b"hello".to_vec());
    let until = StdInstant::now() + StdDuration::from_secs(20);
    while FLAG.load(Ordering::SeqCst) == 0 {
        assert!(StdInstant::now() < until, "nobody rang");
        std::hint::spin_loop();
    }
    assert!(b.running.with(|flip, _| flip.has_event()));
}

#[test]
fn a_waker_and_a_deadline_end_the_wait() {
    let [a, _] = memory();
    let a = node(a, 1, Doorbell::none());
    let long = Some(a.running.now() + Duration::from_secs(20));
    let waker = a.running.waker();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| a.running.wait(long));
        waker.wake();
        assert_eq!(waiter.join().unwrap(), Woken::Called);
    });
    waker.wake();
    assert_eq!(a.running.wait(long), Woken::Called);
    let soon = a.running.now() + Duration::from_millis(3);
    assert_eq!(a.running.wait(Some(soon)), Woken::Deadline);
    assert!(a.running.now() >= soon);
}

#[test]
fn frames_of_many_threads_leave_and_keep_each_threads_order() {
    let [a, b] = udp();
    let a = node(a, 1, Doorbell::none());
    let b = node(b, 2, Doorbell::none());
    const SENDERS: u8 = 4;
    const EACH: u16 = 500;
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (a, b) = (&a, &b);
            scope.spawn(move || {
                for number in 0..EACH {
                    let [low, high] = number.to_le_bytes();
                    a.send(b, vec![sender, low, high]);
                }
            });
        }
        let mut next = [0; SENDERS as usize];
        for _ in 0..u32::from(SENDERS) * u32::from(EACH) {
            let payload = b.receive().payload;
            let next = &mut next[usize::from(payload[0])];
            assert_eq!(u16::from_le_bytes([payload[1], payload[2]]), *next);
            *next += 1;
        }
    });
}

#[test]
fn stopping_takes_no_time() {
    let begun = StdInstant::now();
    for device in memory().into_iter().chain(udp()) {
        node(device, 1, Doorbell::none()).running.stop();
    }
    assert!(begun.elapsed() < StdDuration::from_secs(2));
}
