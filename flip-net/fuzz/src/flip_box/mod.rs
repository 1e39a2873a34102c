//! A list of operations on a box with small tables: frames from several stations on several
//! networks, well made and not, calls of the host interface, time. Nothing panics, tables keep their
//! bounds, deadlines move on, what leaves is well made and obeys the rule of sending.

mod ops;

use arbitrary::Unstructured;
use flip_net::address::{EndpointId, InterfaceId, LinkAddress, NetworkId};
use flip_net::flip_box::Marks;
use flip_net::time::{Duration, Instant};
use flip_net::wire::{Flow, Packet, Repr};
use flip_net::{Event, FlipBox, Frame, Link, Machine};
use ops::{At, Op, Setup, config, flow, here_is, options, private, public};

const OPS_MAX: usize = 200;
const ENDPOINTS_MAX: usize = 12;

/// Runs a box as `data` says.
pub fn run(data: &[u8]) {
    run_counted(data);
}

/// The same; says what the box came to do.
pub fn run_counted(data: &[u8]) -> Marks {
    let mut input = Unstructured::new(data);
    let Ok(setup) = input.arbitrary::<Setup>() else {
        return Marks::default();
    };
    let mut bench = Bench::new(&setup);
    for _ in 0..OPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(op) = input.arbitrary() else { break };
        bench.step(op);
        bench.drain();
    }
    bench.flip.stats().marks
}

struct Bench {
    now: Instant,
    flip: FlipBox,
    links: Vec<Link>,
    on: Vec<bool>,
    interfaces: Vec<InterfaceId>,
    endpoints: Vec<(InterfaceId, EndpointId)>,
    stalled: bool,
}

impl Bench {
    fn new(setup: &Setup) -> Bench {
        let mut flip = FlipBox::new(config(setup));
        let links = setup.links();
        for link in &links {
            flip.attach(*link);
        }
        let interfaces = vec![flip.interface(), flip.interface_from(200)];
        let mut bench = Bench {
            now: Instant::ZERO,
            flip,
            on: vec![true; links.len()],
            links,
            interfaces,
            endpoints: Vec::new(),
            stalled: false,
        };
        bench.register(0, 1);
        bench
    }

    fn register(&mut self, interface: u8, address: u8) {
        if self.endpoints.len() < ENDPOINTS_MAX {
            let interface = self.interfaces[usize::from(interface) % self.interfaces.len()];
            let endpoint = self.flip.register(interface, private(address));
            self.endpoints.push((interface, endpoint));
        }
    }

    fn endpoint(&self, number: u8) -> EndpointId {
        let at = usize::from(number) % (self.endpoints.len() + 1);
        // One too many is nobody.
        self.endpoints
            .get(at)
            .map_or(EndpointId(u32::MAX), |own| own.1)
    }

    fn network(&self, number: u8) -> usize {
        usize::from(number) % self.links.len()
    }

    fn step(&mut self, op: Op<'_>) {
        match op {
            Op::Raw { at, bytes } => self.arrive(&at, bytes),
            Op::Packet {
                at,
                credits,
                packet,
            } => {
                let bytes = packet.emit(self.link(&at), credits);
                self.arrive(&at, &bytes);
            }
            Op::Damaged { at, packet, bit } => {
                let mut bytes = packet.emit(self.link(&at), 0);
                let bit = usize::from(bit) % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                self.arrive(&at, &bytes);
            }
            Op::Flow {
                at,
                kind,
                count,
                address,
            } => {
                let bytes = flow(kind, count, public(address)).emit();
                self.arrive(&at, &bytes);
            }
            Op::Register { interface, address } => self.register(interface, address),
            Op::Unregister { endpoint } => {
                let endpoint = self.endpoint(endpoint);
                self.flip.unregister(endpoint);
                self.endpoints.retain(|own| own.1 != endpoint);
            }
            Op::End { interface } => {
                let at = usize::from(interface) % self.interfaces.len();
                let ended = self.interfaces[at];
                self.flip.end(ended);
                self.endpoints.retain(|own| own.0 != ended);
                self.interfaces[at] = self.flip.interface();
            }
            Op::Control {
                network,
                on,
                trusted,
            } => {
                let at = self.network(network);
                self.flip.control(NetworkId(at as u8), on, trusted);
                self.on[at] = on;
                self.links[at].trusted = trusted;
            }
            Op::Stall(stalled) => self.stalled = stalled,
            Op::Wait { millis } => self.wait(self.now + Duration::from_millis(millis.into())),
            Op::NextDeadline => {
                if let Some(next) = self.flip.poll_timeout() {
                    self.wait(next.max(self.now));
                }
            }
            Op::Listeners { network, address } => {
                for station in [2, 3] {
                    self.listener(&At { network, station }, address);
                }
            }
            op => self.call(&op),
        }
    }

    /// Calls from above. They fail or not.
    fn call(&mut self, op: &Op<'_>) {
        let now = self.now;
        match *op {
            Op::Unicast {
                from,
                to,
                len,
                ref how,
            } => {
                let payload = vec![to; usize::from(len) % 6_000];
                let from = self.endpoint(from);
                let _ = self
                    .flip
                    .unicast(now, from, public(to), payload, options(how));
            }
            Op::Multicast {
                from,
                to,
                len,
                ref how,
                at_least,
            } => {
                let payload = vec![to; usize::from(len) % 6_000];
                let (from, at_least) = (self.endpoint(from), u16::from(at_least % 5));
                let options = options(how);
                let _ = self
                    .flip
                    .multicast(now, from, public(to), payload, at_least, options);
            }
            Op::Broadcast { from, len, hops } => {
                let from = self.endpoint(from);
                let _ = self
                    .flip
                    .broadcast(now, from, vec![0; usize::from(len)], hops);
            }
            Op::AskAgain {
                from,
                sender,
                message,
                start,
                len,
            } => {
                let part = (u32::from(start), u32::from(start) + u32::from(len));
                let from = self.endpoint(from);
                self.flip
                    .ask_again(now, from, public(sender), message.into(), &[part]);
            }
            _ => unreachable!("not a call: {op:?}"),
        }
    }

    fn link(&self, at: &At) -> &Link {
        &self.links[self.network(at.network)]
    }

    fn listener(&mut self, at: &At, address: u8) {
        let link = *self.link(at);
        let repr = here_is(&link, public(address));
        self.arrive(at, &repr.emit_behind(link.flow.then_some(0), b""));
        if link.flow {
            self.arrive(at, &Flow::MulticastAck(public(address)).emit());
        }
    }

    fn arrive(&mut self, at: &At, bytes: &[u8]) {
        let network = NetworkId(self.network(at.network) as u8);
        let from = match at.station % 12 {
            0 => LinkAddress::Broadcast,
            1 => LinkAddress::Multicast(7),
            station => LinkAddress::Station(station.into()),
        };
        self.flip.handle_frame(self.now, network, from, bytes);
    }

    fn wait(&mut self, until: Instant) {
        self.now = until;
        self.flip.handle_timeout(until);
        self.drain();
        let next = self.flip.poll_timeout();
        assert!(next.is_none_or(|next| next > until), "it stands still");
    }

    fn drain(&mut self) {
        while let Some(listen) = self.flip.poll_listen() {
            assert!(self.links[usize::from(listen.network.0)].multicast);
        }
        loop {
            while let Some(frame) = self.flip.poll_transmit() {
                self.check_frame(&frame);
            }
            // An event that is taken may give a credit back.
            let stalled = self.stalled;
            let event = (!stalled).then(|| self.flip.poll_event()).flatten();
            let Some(event) = event else { break };
            check_event(&event);
        }
        let mut sizes = self.flip.sizes();
        if self.stalled {
            sizes.events = 0;
        }
        assert_eq!(sizes.beyond(&self.flip.bounds()), None, "{sizes:?}");
        assert!(self.flip.stats().queued_bytes_peak <= self.flip.bounds().queued_bytes);
    }

    fn check_frame(&self, frame: &Frame) {
        let at = usize::from(frame.network.0);
        let link = self.links[at];
        assert!(self.on[at], "nothing goes on a network that is off");
        let bytes = frame.bytes();
        let packet = if link.flow {
            match Flow::parse(&bytes).expect("a frame of flow control") {
                (Flow::Data { .. }, packet) => packet,
                (_, _) => return,
            }
        } else {
            &bytes[..]
        };
        assert!(packet.len() <= link.mtu, "it fits");
        let view = Packet::new_checked(packet).expect("a packet");
        let repr = Repr::parse(&view).expect("a packet that makes sense");
        let in_budget = repr.actual <= repr.maximum;
        assert!(in_budget, "{repr}");
        assert!(link.trusted || (repr.flags.tainted && !repr.flags.security));
    }
}

fn check_event(event: &Event) {
    if let Event::Fragment { fragment, .. } = event {
        let end = u64::from(fragment.offset) + fragment.payload.len() as u64;
        assert!(end <= u64::from(fragment.total), "inside of its message");
    }
}
