//! The world of these tests: hosts 0 to 2 on the left segment, 3 to 5 on the right one, a router between.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use gax::flipd::report::Report;
use stack::flip_net::address::LinkAddress;
use stack::flip_net::driver::{self, Device, EthernetConfig, EthernetDevice, namespace};
use stack::flip_net::time::Duration;

use crate::support::Namespace;

/// The segment of hosts 0 to 2.
pub(crate) const LEFT: &str = "left";
/// The segment of hosts 3 to 5.
pub(crate) const RIGHT: &str = "right";

/// Namespaces, bridges, cables and a router.
pub(crate) struct Segments {
    hosts: Vec<Namespace>,
    router: Namespace,
    /// Where the bridges are.
    wires: Namespace,
}

impl Segments {
    /// None without root or `ip`.
    pub(crate) fn new() -> Option<Segments> {
        let wires = Namespace::new()?;
        for segment in [LEFT, RIGHT] {
            wires.ip(&format!(
                "link add {segment} type bridge mcast_snooping 0 stp_state 0 forward_delay 0"
            ));
            wires.ip(&format!("link set {segment} up"));
        }
        let router = Namespace::new()?;
        let hosts: Option<Vec<Namespace>> = (0..6).map(|_| Namespace::new()).collect();
        let segments = Segments {
            hosts: hosts?,
            router,
            wires,
        };
        for (number, host) in segments.hosts.iter().enumerate() {
            // As on machines with containers: a bridge that leads nowhere, first in the list.
            host.ip("link add docker0 type bridge");
            host.ip("addr add 172.17.0.1/16 dev docker0");
            host.ip("link set docker0 up");
            segments.cable(host, "eth0", &format!("h{number}"));
            let ip = segments.address(number);
            host.ip(&format!("addr add {ip}/24 dev eth0"));
            segments.plug(number, segment_of(number));
        }
        for (interface, segment) in [("eth0", LEFT), ("eth1", RIGHT)] {
            segments.cable(&segments.router, interface, segment_end(segment));
            segments.attach(segment_end(segment), segment);
            segments.router.wait_until_up(interface);
        }
        (0..6).for_each(|number| segments.hosts[number].wait_until_up("eth0"));
        Some(segments)
    }

    pub(crate) fn host(&self, number: usize) -> &Namespace {
        &self.hosts[number]
    }

    /// The address of a host on its segment.
    pub(crate) fn address(&self, number: usize) -> IpAddr {
        let segment = if number < 3 { 1 } else { 2 };
        Ipv4Addr::new(10, 77, segment, number as u8 + 1).into()
    }

    /// A cable with one end in a host, the other one loose among the wires.
    fn cable(&self, host: &Namespace, interface: &str, end: &str) {
        let wires = &self.wires.name;
        host.ip(&format!(
            "link add {interface} type veth peer name {end} netns {wires}"
        ));
        host.ip(&format!("link set {interface} up"));
        self.wires.ip(&format!("link set {end} up"));
    }

    fn attach(&self, end: &str, segment: &str) {
        self.wires.ip(&format!("link set {end} master {segment}"));
    }

    /// Pulls the cable of a host out of its segment.
    pub(crate) fn pull(&self, host: usize) {
        self.wires.ip(&format!("link set h{host} nomaster"));
    }

    /// Plugs the cable of a host into a segment.
    pub(crate) fn plug(&self, host: usize, segment: &str) {
        self.attach(&format!("h{host}"), segment);
    }

    /// Starts the flipd that joins the segments.
    pub(crate) fn flipd(&self, key: Option<[u8; 32]>) -> Flipd {
        Flipd::start(&self.router, key)
    }

    /// Hears what goes to a data-link multicast address on a segment.
    pub(crate) fn tap(&self, segment: &str, group: u64) -> Tap {
        let config = EthernetConfig {
            interface: segment.to_owned(),
            station: driver::Station::Own,
            mtu: None,
        };
        let open = || EthernetDevice::open(&config).expect("a bridge is an interface");
        let device = namespace::within(&self.wires.name, open).expect("the namespace is there");
        device.listen(group, true);
        Tap {
            device,
            frames: RefCell::default(),
        }
    }
}

fn segment_of(host: usize) -> &'static str {
    if host < 3 { LEFT } else { RIGHT }
}

/// The loose end of the router's cable to a segment.
fn segment_end(segment: &str) -> &'static str {
    if segment == LEFT { "rl" } else { "rr" }
}

/// Counts the multicast frames on a segment.
pub(crate) struct Tap {
    device: EthernetDevice,
    frames: RefCell<Vec<Vec<u8>>>,
}

impl Tap {
    fn look(&self) {
        let mut frames = self.frames.borrow_mut();
        while self.device.receive(Duration::ZERO, &mut |from, bytes| {
            assert!(matches!(from, LinkAddress::Station(_)));
            // Broadcasts are heard, too; a multicast packet is DATA of type 4.
            if bytes[0] == 0 && bytes[3] == 4 {
                frames.push(bytes.to_vec());
            }
        }) > 0
        {}
    }

    /// How many frames were seen and not taken.
    pub(crate) fn seen(&self) -> usize {
        self.look();
        self.frames.borrow().len()
    }

    /// The frames since the last time.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        self.look();
        self.frames.take()
    }
}

/// A flipd on both segments. Ends when it is dropped.
pub(crate) struct Flipd {
    child: Child,
    folder: PathBuf,
}

impl Flipd {
    fn start(router: &Namespace, key: Option<[u8; 32]>) -> Flipd {
        let folder = std::env::temp_dir().join(&router.name);
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        let mut config = format!("status = {:?}\n", folder.join("flipd.sock"));
        let trust = match key {
            None => "trusted = true\ninsecure = true\n".to_owned(),
            Some(key) => {
                let path = folder.join("key");
                let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                std::fs::write(&path, digits + "\n").expect("ours");
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
                format!("key = {path:?}\n")
            }
        };
        for (name, interface) in [(LEFT, "eth0"), (RIGHT, "eth1")] {
            config += &format!(
                "[[network]]\nname = \"{name}\"\nkind = \"ethernet\"\ninterface = \"{interface}\"\n{trust}"
            );
        }
        let path = folder.join("flipd.toml");
        std::fs::write(&path, config).expect("ours");
        let mut child = Command::new("ip")
            .args(["netns", "exec", &router.name, env!("CARGO_BIN_EXE_flipd")])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`ip` made the namespace");
        // A line a network: then they are open.
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let lines: Vec<String> = lines.take(2).map(|line| line.expect("text")).collect();
        assert!(
            lines
                .iter()
                .all(|line| line.contains(": ethernet, weight 3")),
            "{lines:?}"
        );
        Flipd { child, folder }
    }
}

impl Flipd {
    /// Multicast packets that it has put on the right segment.
    pub(crate) fn multicasts_sent(&self) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_flipd"))
            .args(["status", "--json", "--socket"])
            .arg(self.folder.join("flipd.sock"))
            .output()
            .expect("flipd starts");
        let report: Report = serde_json::from_slice(&output.stdout).expect("a report");
        report.networks[1].sent.types["MULTIDATA"]
    }
}

impl Drop for Flipd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
