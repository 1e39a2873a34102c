//! Groups of whole stacks over UDP on the loopback interface, and what their broadcasts take.
//!
//! Every member is a thread with a stack of its own, as a processor is. Member 0 created the group and numbers; member 1 is the
//! one that sends where one sends. No thread of a member runs between two measurements except the receivers of the driver.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Barrier};
use std::time::{Duration as StdDuration, Instant};

use stack::capability::{Header, Port};
use stack::driver::{Doorbell, DriverConfig, Running, Woken};
use stack::flip_net::driver::{Device, UdpConfig, UdpDevice, namespace};
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant as Moment};
use stack::group::{MemberIndex, Payload};
use stack::rpc::{Endpoint, Event};
use stack::{Command, Config, Delivery, Refused, Stack};

use super::load::{Load, Method};
use super::namespaces::{self, Namespaces};
use super::placement::Placement;

/// Nothing takes so long that works.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long peers may take to find out that they hear each other.
const HEARING: StdDuration = StdDuration::from_secs(5);
/// Frames that fit into Ethernet's with the headers of IP and UDP.
const BRIDGE_MTU: usize = 1_472;
/// Who sends where one sends.
const SENDER: usize = 1;
const SERVER: usize = 0;
/// What member 0 serves; every group has a network of its own.
const SERVICE: Port = Port::new(*b"figure");

/// One member, at rest.
struct Member {
    running: Running<Stack>,
    device: Arc<UdpDevice>,
    me: MemberIndex,
}

/// See the module.
pub(super) struct Group {
    members: Vec<Member>,
    placement: Placement,
}

/// What a group is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub members: usize,
    pub method: Method,
    pub resilience: u8,
}

/// A group address and port on which nobody else listens.
pub(super) fn free_group() -> std::io::Result<SocketAddr> {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(SocketAddr::from((
        [239, 255, 77, 13],
        free.local_addr()?.port(),
    )))
}

impl Group {
    /// Starts all members on the loopback interface and waits until everybody is in and hears everybody.
    pub(super) fn start(shape: Shape, placement: Placement) -> Result<Group, String> {
        let address = free_group().map_err(|error| error.to_string())?;
        let config = UdpConfig::loopback(Some(address));
        let open = |_| UdpDevice::open(&config).map_err(|error| error.to_string());
        let devices = (0..shape.members).map(open).collect::<Result<_, _>>()?;
        Group::start_with(devices, address.port(), shape, placement)
    }

    /// The same, each member in its namespace.
    pub(super) fn start_within(
        namespaces: &Namespaces,
        shape: Shape,
        placement: Placement,
    ) -> Result<Group, String> {
        let group = free_group().map_err(|error| error.to_string())?;
        let open = |number| {
            let config = UdpConfig {
                multicast: Some(group),
                ..UdpConfig::at(namespaces::address(number).into(), BRIDGE_MTU)
            };
            let opened = namespace::within(namespaces.of(number), || UdpDevice::open(&config));
            let opened = opened.map_err(|error| error.to_string())?;
            opened.map_err(|error| error.to_string())
        };
        let devices = (0..shape.members).map(open).collect::<Result<_, _>>()?;
        Group::start_with(devices, group.port(), shape, placement)
    }

    fn start_with(
        devices: Vec<UdpDevice>,
        port: u16,
        shape: Shape,
        placement: Placement,
    ) -> Result<Group, String> {
        let devices: Vec<_> = devices.into_iter().map(Arc::new).collect();
        let peers: Vec<_> = devices.iter().map(|device| device.address()).collect();
        devices.iter().for_each(|device| device.set_peers(&peers));
        let mut group = Group {
            members: Vec::new(),
            placement,
        };
        for (number, device) in devices.into_iter().enumerate() {
            // The threads of the driver stay where the one that starts them is.
            let started = std::thread::scope(|scope| {
                let start = scope.spawn(|| {
                    placement.pin(number);
                    Member::start(device, number, port, shape)
                });
                start.join().map_err(|_| "a member panicked".to_owned())?
            });
            group.members.push(started?);
        }
        group.warm_up()?;
        Ok(group)
    }

    /// Broadcasts until everything is found out that can be.
    fn warm_up(&self) -> Result<(), String> {
        let load = Load::small();
        let end = Instant::now() + HEARING;
        loop {
            self.delay(load)?;
            let all = self.members.iter().all(|m| m.device.has_multicast());
            if all || self.members.len() < 2 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err("not everybody hears the multicast group".to_owned());
            }
        }
    }

    /// Seconds from a broadcast of the sender to its own delivery, one at a time.
    pub(super) fn delay(&self, load: Load) -> Result<f64, String> {
        let total = load.warm + load.count;
        self.all(|number, member| {
            if number != SENDER {
                member.take(total as usize, |_| {})?;
                return Ok(0.0);
            }
            let payload = Payload::from(vec![7; load.size]);
            let mut begun = Instant::now();
            for at in 0..total {
                if at == load.warm {
                    begun = Instant::now();
                }
                member.broadcast(&payload)?;
                member.take(1, |_| {})?;
            }
            Ok(begun.elapsed().as_secs_f64() / f64::from(load.count))
        })
        .map(|seconds| seconds[SENDER])
    }

    /// Messages a second with all sending as much as they may: all members begin together, and the last one has everything.
    pub(super) fn rate(&self, load: Load) -> Result<f64, String> {
        let together = Barrier::new(self.members.len());
        let spans = self.all(|_, member| {
            together.wait();
            let begun = Instant::now();
            member.pour(load, load.count as usize * self.members.len())?;
            Ok(begun.elapsed().as_secs_f64())
        })?;
        let total = f64::from(load.count) * self.members.len() as f64;
        Ok(total / longest(&spans))
    }

    /// Messages a second with one sending as much as it may.
    pub(super) fn rate_of_one(&self, load: Load) -> Result<f64, String> {
        let together = Barrier::new(self.members.len());
        let spans = self.all(|number, member| {
            together.wait();
            let begun = Instant::now();
            match number {
                SENDER => member.pour(load, load.count as usize)?,
                _ => member.take(load.count as usize, |_| {})?,
            }
            Ok(begun.elapsed().as_secs_f64())
        })?;
        Ok(f64::from(load.count) / longest(&spans))
    }

    /// Seconds a transaction of the sender with member 0, one at a time, both without data.
    pub(super) fn transact(&self, load: Load) -> Result<f64, String> {
        let total = load.warm + load.count;
        self.all(|number, member| match number {
            SERVER => member.serve(total).map(|()| 0.0),
            SENDER => member.ask(load),
            _ => Ok(0.0),
        })
        .map(|seconds| seconds[SENDER])
    }

    /// Lets every member do something at the same time, each on a thread where it belongs.
    fn all(
        &self,
        work: impl Fn(usize, &Member) -> Result<f64, String> + Sync,
    ) -> Result<Vec<f64>, String> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (self.members.iter().enumerate())
                .map(|(number, member)| {
                    let work = &work;
                    scope.spawn(move || {
                        self.placement.pin(number);
                        work(number, member)
                    })
                })
                .collect();
            (threads.into_iter())
                .map(|thread| thread.join().map_err(|_| "a member panicked".to_owned())?)
                .collect()
        })
    }
}

pub(super) fn longest(spans: &[f64]) -> f64 {
    spans.iter().copied().fold(0.0, f64::max)
}

impl Member {
    fn start(
        device: Arc<UdpDevice>,
        number: usize,
        port: u16,
        shape: Shape,
    ) -> Result<Member, String> {
        let [high, low] = port.to_be_bytes();
        let group = Port::new([3, 5, high, low, 1, 1]);
        let mut config = Config::new(vec![device.link()], group, number == 0).with_rpc();
        config.group.resilience = shape.resilience;
        config.group.large = match shape.method {
            Method::Pb => u32::MAX,
            Method::Bb => 0,
        };
        let seed = u64::from(std::process::id()) << 32 | u64::from(port) << 8 | number as u64;
        let stack = Stack::new(config, Rng::new(seed), Moment::ZERO);
        let stack = stack.map_err(|error| error.to_string())?;
        let devices = vec![Arc::clone(&device) as Arc<dyn Device>];
        let running = Running::start(stack, devices, DriverConfig::default(), Doorbell::none());
        let mut member = Member {
            running: running.map_err(|error| error.to_string())?,
            device,
            me: MemberIndex::new(0),
        };
        match member.next()? {
            Delivery::Entered { me, .. } => member.me = me,
            other => return Err(format!("{other:?} instead of entering")),
        }
        if number == SERVER {
            member.wait_for_request()?;
        }
        Ok(member)
    }

    /// The next delivery, whenever it comes.
    fn next(&self) -> Result<Delivery, String> {
        loop {
            if let Some(delivery) = self.running.try_delivery() {
                return Ok(delivery);
            }
            self.wait()?;
        }
    }

    fn wait(&self) -> Result<(), String> {
        let until = self.running.now() + PATIENCE;
        match self.running.wait(Some(until)) {
            Woken::Delivery | Woken::Called => Ok(()),
            Woken::Deadline => Err(format!("nothing came to {:?}", self.me)),
            Woken::Failed => Err("the driver failed".to_owned()),
        }
    }

    /// Takes so many broadcasts.
    fn take(&self, count: usize, mut each: impl FnMut(MemberIndex)) -> Result<(), String> {
        let mut taken = 0;
        while taken < count {
            match self.next()? {
                Delivery::Data { from, .. } => {
                    taken += 1;
                    each(from);
                }
                Delivery::Joined { .. } => {}
                other => return Err(format!("{other:?} at {:?}", self.me)),
            }
        }
        Ok(())
    }

    fn broadcast(&self, payload: &Payload) -> Result<(), String> {
        let sent = self.running.command(Command::Broadcast(payload.clone()));
        sent.map(drop).map_err(|refused| refused.to_string())
    }

    /// Sends `load.count` broadcasts as fast as they are taken, and takes `total` deliveries.
    fn pour(&self, load: Load, total: usize) -> Result<(), String> {
        let payload = Payload::from(vec![7; load.size]);
        let mut taken = 0;
        for _ in 0..load.count {
            loop {
                match self.running.command(Command::Broadcast(payload.clone())) {
                    Ok(_) => break,
                    // There is room after the next own one.
                    Err(Refused::Full(_)) => {
                        let mut own = false;
                        while !own {
                            self.take(1, |from| own = from == self.me)?;
                            taken += 1;
                        }
                    }
                    Err(refused) => return Err(refused.to_string()),
                }
            }
        }
        self.take(total - taken, |_| {})
    }

    fn wait_for_request(&self) -> Result<(), String> {
        let waits = |rpc: &mut Endpoint, now| rpc.get_request(now, SERVICE);
        let waits = self.running.rpc(waits).expect("it has an endpoint");
        waits.map(drop).map_err(|error| error.to_string())
    }

    fn next_event(&self) -> Result<Event, String> {
        loop {
            if let Some(event) = self.running.try_rpc_event() {
                return Ok(event);
            }
            self.wait()?;
        }
    }

    /// Answers so many requests, waits for the next one, and sees to the end of all turns: an event that nobody takes would keep
    /// later waits from waiting.
    fn serve(&self, total: u32) -> Result<(), String> {
        let mut done = 0;
        while done < total {
            match self.next_event()? {
                Event::Request { server, header, .. } => {
                    let answer = |rpc: &mut Endpoint, now| {
                        rpc.put_reply(now, server, header, &[])?;
                        rpc.get_request(now, SERVICE)
                    };
                    let answer = self.running.rpc(answer).expect("it has an endpoint");
                    answer.map_err(|error| error.to_string())?;
                }
                Event::ReplyDone { .. } => done += 1,
                other => return Err(format!("{other:?} at the server")),
            }
        }
        Ok(())
    }

    fn ask(&self, load: Load) -> Result<f64, String> {
        let header = Header::to(SERVICE.put_port());
        let mut begun = Instant::now();
        for at in 0..load.warm + load.count {
            if at == load.warm {
                begun = Instant::now();
            }
            let ask = |rpc: &mut Endpoint, now| rpc.trans(now, header, &[]);
            let ask = self.running.rpc(ask).expect("it has an endpoint");
            ask.map_err(|error| error.to_string())?;
            match self.next_event()? {
                Event::Replied { .. } => {}
                other => return Err(format!("{other:?} instead of a reply")),
            }
        }
        Ok(begun.elapsed().as_secs_f64() / f64::from(load.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_broadcasts_and_transacts_by_either_method() {
        for method in [Method::Pb, Method::Bb] {
            let shape = Shape {
                members: 3,
                method,
                resilience: 1,
            };
            let group = Group::start(shape, Placement::Spread).expect("loopback");
            let load = Load {
                size: 10_000,
                ..Load::small()
            };
            assert!(group.delay(load).expect("it goes on") > 0.0);
            assert!(group.rate(load).expect("it goes on") > 0.0);
            assert!(group.rate_of_one(load).expect("it goes on") > 0.0);
            assert!(group.transact(load).expect("it goes on") > 0.0);
            // What an exchange leaves behind must not disturb the next one.
            assert!(group.delay(load).expect("it goes on") > 0.0);
        }
    }
}
