//! A box on one host with a user on top: it sends numbered messages and notes what it sees.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use stack::driver::{Doorbell, DriverConfig, Running};
use stack::flip_net::address::{EndpointId, FlipAddress, InterfaceId};
use stack::flip_net::driver::{
    self, Device, EthernetConfig, EthernetDevice, Guard, GuardedDevice, UdpConfig, UdpDevice,
    namespace, udp,
};
use stack::flip_net::flip_box::{Location, Stats};
use stack::flip_net::join::{JoinConfig, Joiner};
use stack::flip_net::seal::Key;
use stack::flip_net::time::Duration;
use stack::flip_net::{Config, Event, FlipBox, SendOptions, Undelivered};

use crate::segments::Segments;

const PATIENCE: StdDuration = StdDuration::from_secs(20);
/// How long a sender waits before it repeats.
const REPEAT_AFTER: StdDuration = StdDuration::from_millis(1_500);
const PORT: u16 = 33_094;

/// Looks until there is something, or it has taken too long.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it never came to this: {what}");
        std::thread::yield_now();
    }
}

/// What a user saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The message with this number.
    Arrived(u64),
    /// An own message came back.
    Returned(u64, Undelivered),
}

/// A box and its user.
pub(crate) struct Station {
    running: Running<FlipBox>,
    device: Arc<dyn Device>,
    interface: InterfaceId,
    endpoints: RefCell<BTreeMap<FlipAddress, EndpointId>>,
    joiner: RefCell<Joiner>,
    numbers: RefCell<BTreeMap<u32, u64>>,
    seen: RefCell<Vec<Seen>>,
    next: Cell<u64>,
}

impl Station {
    /// On the Ethernet of a host.
    pub(crate) fn open(segments: &Segments, host: usize, key: Option<[u8; 32]>) -> Station {
        let config = EthernetConfig {
            interface: "eth0".to_owned(),
            // Some hosts have two stations.
            station: driver::Station::draw(&mut seed(host)),
            mtu: None,
        };
        let open = || EthernetDevice::open(&config).expect("the host has eth0");
        let device = namespace::within(&segments.host(host).name, open).expect("it is there");
        let device: Arc<dyn Device> = match key {
            None => Arc::new(device),
            Some(key) => {
                let guard = Guard::keyed(Key::new(key, 0)).expect("random bytes");
                Arc::new(GuardedDevice::new(device, guard))
            }
        };
        Station::new(device, host, key.is_some())
    }

    /// On UDP, by the interface that leads to the peers.
    pub(crate) fn open_udp(segments: &Segments, host: usize, peers: &[usize]) -> Station {
        let addresses = peers
            .iter()
            .map(|peer| SocketAddr::new(segments.address(*peer), PORT));
        let addresses: Vec<SocketAddr> = addresses.collect();
        let other = peers
            .iter()
            .position(|peer| *peer != host)
            .expect("somebody else");
        let open = || {
            let interface = udp::source_towards(addresses[other]).expect("a route");
            let config = UdpConfig {
                port: PORT,
                ..UdpConfig::at(interface, 1_440)
            };
            UdpDevice::open(&config).expect("an address of the host")
        };
        let device = namespace::within(&segments.host(host).name, open).expect("it is there");
        assert_eq!(device.address().ip(), segments.address(host));
        device.set_peers(&addresses);
        Station::new(Arc::new(device), host, false)
    }

    fn new(device: Arc<dyn Device>, host: usize, trusted: bool) -> Station {
        let mut flip = FlipBox::new(Config::default());
        flip.attach(stack::flip_net::Link {
            trusted,
            ..device.link()
        });
        let interface = flip.interface_from(seed(host).next_u64() as u32);
        let devices = vec![Arc::clone(&device)];
        let running = Running::start(flip, devices, DriverConfig::default(), Doorbell::none());
        Station {
            running: running.expect("threads"),
            device,
            interface,
            endpoints: RefCell::default(),
            joiner: RefCell::new(Joiner::new(JoinConfig::default())),
            numbers: RefCell::default(),
            seen: RefCell::default(),
            // Nobody uses the numbers of others.
            next: Cell::new((host as u64 + 1) << 32),
        }
    }

    pub(crate) fn register(&self, private: FlipAddress) {
        let endpoint = self
            .running
            .with(|flip, _| flip.register(self.interface, private));
        self.endpoints
            .borrow_mut()
            .insert(private.one_way(), endpoint);
    }

    pub(crate) fn unregister(&self, public: FlipAddress) {
        if let Some(endpoint) = self.endpoints.borrow_mut().remove(&public) {
            self.running.with(|flip, _| flip.unregister(endpoint));
        }
    }

    fn payload(&self, len: usize) -> (u64, Vec<u8>) {
        let number = self.next.replace(self.next.get() + 1);
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(len.max(8), 7);
        (number, payload)
    }

    /// Sends a message; its number.
    pub(crate) fn unicast(
        &self,
        from: FlipAddress,
        to: FlipAddress,
        len: usize,
        options: SendOptions,
    ) -> u64 {
        let (number, payload) = self.payload(len);
        let endpoint = self.endpoints.borrow()[&from.one_way()];
        let sent = self
            .running
            .with(|flip, now| flip.unicast(now, endpoint, to, payload, options));
        self.numbers
            .borrow_mut()
            .insert(sent.expect("taken"), number);
        number
    }

    /// Sends to all who listen, once so many are known; the number of the message.
    pub(crate) fn multicast(
        &self,
        from: FlipAddress,
        to: FlipAddress,
        len: usize,
        at_least: u16,
    ) -> u64 {
        let (number, payload) = self.payload(len);
        let endpoint = self.endpoints.borrow()[&from.one_way()];
        let options = SendOptions::default();
        let sent = self
            .running
            .with(|flip, now| flip.multicast(now, endpoint, to, payload, at_least, options));
        self.numbers
            .borrow_mut()
            .insert(sent.expect("taken"), number);
        number
    }

    /// Sends, and repeats with a new locate when the message came back or took too long; how often it was sent.
    #[track_caller]
    pub(crate) fn send_until_there(
        &self,
        from: FlipAddress,
        to: FlipAddress,
        len: usize,
        there: &Station,
    ) -> u32 {
        for attempt in 1..=8 {
            let options = SendOptions {
                relocate: attempt > 1,
                ..SendOptions::default()
            };
            let number = self.unicast(from, to.one_way(), len, options);
            let end = Instant::now() + REPEAT_AFTER;
            while Instant::now() < end {
                if there.has_seen(|seen| seen == Seen::Arrived(number)) {
                    return attempt;
                }
                if self.has_seen(|seen| matches!(seen, Seen::Returned(back, _) if back == number)) {
                    break;
                }
                std::thread::yield_now();
            }
        }
        panic!("{} does not reach {}", from.one_way(), to.one_way());
    }

    /// Takes out what the box tells, and looks whether something like that was seen.
    fn has_seen(&self, is: impl Fn(Seen) -> bool) -> bool {
        let now = self.running.now();
        while let Some(event) = self.running.try_delivery() {
            match event {
                Event::Fragment { fragment, .. } => {
                    let message = self.joiner.borrow_mut().handle_fragment(now, fragment);
                    if let Some(message) = message {
                        let number = message.payload[..8].try_into().expect("eight bytes");
                        self.seen
                            .borrow_mut()
                            .push(Seen::Arrived(u64::from_le_bytes(number)));
                    }
                }
                Event::NotDelivered {
                    message, reason, ..
                } => {
                    if let Some(number) = self.numbers.borrow().get(&message) {
                        self.seen.borrow_mut().push(Seen::Returned(*number, reason));
                    }
                }
            }
        }
        self.seen.borrow().iter().any(|seen| is(*seen))
    }

    /// Whether it is seen, sooner or later.
    pub(crate) fn waits_for(&self, what: Seen) -> bool {
        self.waits(what, PATIENCE)
    }

    /// Whether it is seen soon.
    pub(crate) fn waits_briefly_for(&self, what: Seen) -> bool {
        self.waits(what, StdDuration::from_millis(200))
    }

    fn waits(&self, what: Seen, patience: StdDuration) -> bool {
        let end = Instant::now() + patience;
        while !self.has_seen(|seen| seen == what) {
            if Instant::now() >= end {
                return false;
            }
            let now = self.running.now();
            self.running.wait(Some(now + Duration::from_millis(5)));
        }
        true
    }

    /// How often each message arrived.
    pub(crate) fn arrivals(&self) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        for seen in self.seen.borrow().iter() {
            if let Seen::Arrived(number) = seen {
                *counts.entry(*number).or_default() += 1;
            }
        }
        counts
    }

    pub(crate) fn routes_to(&self, address: FlipAddress) -> Vec<Location> {
        self.running
            .with(|flip, _| flip.locations(address).to_vec())
    }

    pub(crate) fn stats(&self) -> Stats {
        self.running.with(|flip, _| flip.stats())
    }

    /// Frames that the device did not take.
    pub(crate) fn lost(&self) -> u64 {
        self.device.lost()
    }
}

/// Fresh for each station: real addresses come from a real source.
fn seed(host: usize) -> stack::flip_net::rng::Rng {
    use std::hash::{BuildHasher, RandomState};
    stack::flip_net::rng::Rng::new(RandomState::new().hash_one(host))
}
