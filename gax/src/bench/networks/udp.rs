//! Echoes over UDP on the loopback interface, both ends on one core.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use stack::driver::{Doorbell, DriverConfig, Running};
use stack::flip_net::address::{EndpointId, FlipAddress};
use stack::flip_net::driver::{Device, Guard, GuardedDevice, UdpConfig, UdpDevice};
use stack::flip_net::seal::Key;
use stack::flip_net::{Config, Event, FlipBox, SendOptions};

use super::Pair;
use super::cores::ONE_CORE;
use super::echo::{Answers, Asks, seconds};
use super::node::pair;

/// Bytes of a question behind FLIP's header.
pub(super) const QUESTION_LEN: usize = 40;
/// Bytes of a datagram that carries it.
pub(super) const DATAGRAM_LEN: usize = 80;
const COUNT: u32 = 5_000;

/// A socket that knows whom it talks to.
struct Bare {
    socket: UdpSocket,
    other: std::net::SocketAddr,
}

fn bare() -> std::io::Result<[Bare; 2]> {
    let open = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let (a, b) = (open()?, open()?);
    let others = [b.local_addr()?, a.local_addr()?];
    let [to_b, to_a] = others;
    Ok([
        Bare {
            socket: a,
            other: to_b,
        },
        Bare {
            socket: b,
            other: to_a,
        },
    ])
}

impl Asks for Bare {
    fn ask(&mut self) {
        let mut buffer = [0; 2_048];
        self.socket
            .send_to(&[7; DATAGRAM_LEN], self.other)
            .expect("loopback");
        self.socket.recv_from(&mut buffer).expect("an answer");
    }

    fn release(&mut self) {
        self.socket.send_to(&[], self.other).expect("loopback");
    }
}

impl Answers for Bare {
    fn answer(&mut self) {
        let mut buffer = [0; 2_048];
        let (len, from) = self.socket.recv_from(&mut buffer).expect("a question");
        if len > 0 {
            self.socket.send_to(&buffer[..len], from).expect("loopback");
        }
    }
}

fn devices() -> Result<[Arc<UdpDevice>; 2], String> {
    let open = || UdpDevice::open(&UdpConfig::loopback(None)).map_err(|error| error.to_string());
    let devices = [Arc::new(open()?), Arc::new(open()?)];
    let addresses = devices.each_ref().map(|device| device.address());
    devices
        .iter()
        .for_each(|device| device.set_peers(&addresses));
    Ok(devices)
}

fn plain() -> Result<[Arc<dyn Device>; 2], String> {
    Ok(devices()?.map(|device| device as Arc<dyn Device>))
}

/// Box and device against bare sockets, the ends on these cores.
pub(super) fn echo(rounds: u32, on: [usize; 2]) -> Result<Pair, String> {
    let [mut ask, mut answer] = bare().map_err(|error| error.to_string())?;
    let [mut near, mut far] = pair(plain()?, QUESTION_LEN, false);
    Ok(Pair::measure(
        rounds,
        Some(1.15),
        || seconds(&mut ask, &mut answer, COUNT, on),
        || seconds(&mut near, &mut far, COUNT, on),
    ))
}

/// With the key against without.
pub(super) fn sealed(rounds: u32) -> Result<Pair, String> {
    let [mut ask, mut answer] = pair(plain()?, QUESTION_LEN, false);
    let [a, b] = devices()?;
    let keyed = |device| -> Result<Arc<dyn Device>, String> {
        let guard = Guard::keyed(Key::new([7; 32], 0)).map_err(|error| error.to_string())?;
        Ok(Arc::new(GuardedDevice::new(device, guard)))
    };
    let [mut near, mut far] = pair([keyed(a)?, keyed(b)?], QUESTION_LEN, false);
    Ok(Pair::measure(
        rounds,
        Some(1.15),
        || seconds(&mut ask, &mut answer, COUNT, ONE_CORE),
        || seconds(&mut near, &mut far, COUNT, ONE_CORE),
    ))
}

/// A box under the driver that processors run their stacks with.
struct Driven {
    running: Running<FlipBox>,
    endpoint: EndpointId,
    other: FlipAddress,
}

impl Driven {
    fn send(&self) {
        self.running.with(|flip, now| {
            let question = vec![7; QUESTION_LEN];
            let sent = flip.unicast(
                now,
                self.endpoint,
                self.other,
                question,
                SendOptions::default(),
            );
            sent.expect("nothing else waits");
        });
    }

    fn receive(&self, millis: u64) -> bool {
        let end = self.running.now() + stack::flip_net::time::Duration::from_millis(millis);
        self.running.wait(Some(end));
        matches!(self.running.try_delivery(), Some(Event::Fragment { .. }))
    }
}

impl Asks for Driven {
    fn ask(&mut self) {
        self.send();
        while !self.receive(500) {
            self.send();
        }
    }
}

impl Answers for Driven {
    fn answer(&mut self) {
        if self.receive(100) {
            self.send();
        }
    }
}

/// Box, device and driver against bare sockets.
pub(super) fn driver(rounds: u32) -> Result<Pair, String> {
    let [mut ask, mut answer] = bare().map_err(|error| error.to_string())?;
    let addresses = [1_u8, 2].map(|n| FlipAddress::new([n, 4, 4, 4, 4, 4, 4, 0]));
    let start = |at: usize, device: Arc<dyn Device>| -> Result<Driven, String> {
        let mut flip = FlipBox::new(Config::default());
        flip.attach(device.link());
        let interface = flip.interface();
        let endpoint = flip.register(interface, addresses[at]);
        let running = Running::start(
            flip,
            vec![device],
            DriverConfig::default(),
            Doorbell::none(),
        );
        Ok(Driven {
            running: running.map_err(|error| error.to_string())?,
            endpoint,
            other: addresses[1 - at].one_way(),
        })
    };
    let [a, b] = plain()?;
    let (mut near, mut far) = (start(0, a)?, start(1, b)?);
    Ok(Pair::measure(
        rounds,
        None,
        || seconds(&mut ask, &mut answer, COUNT, ONE_CORE),
        || seconds(&mut near, &mut far, COUNT, ONE_CORE),
    ))
}
