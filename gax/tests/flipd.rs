//! flipd as a process between endpoints of this one: it forwards, tunnels, tells, and listens to signals.
//!
//! Every test has loopback addresses of its own, drawn from the number of this process, so ports are never in anybody's way.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gax::flipd::report::Report;
use rustix::process::{Pid, Signal, kill_process};
use stack::driver::{Doorbell, DriverConfig, Running, Woken};
use stack::flip_net::address::{EndpointId, FlipAddress};
use stack::flip_net::driver::{Device, UdpConfig, UdpDevice};
use stack::flip_net::join::{JoinConfig, Joiner};
use stack::flip_net::link::capture::MAGIC_NANOSECONDS;
use stack::flip_net::wire::Kind;
use stack::flip_net::{Config, Event, FlipBox, Fragment, SendOptions, Undelivered};

const PORT: u16 = 33_094;
const PATIENCE: Duration = Duration::from_secs(20);

/// An address that nobody else uses.
fn fresh() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(
        127,
        64 | high & 63,
        low,
        NEXT.fetch_add(1, Ordering::Relaxed),
    )
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it never came to this: {what}");
        std::thread::yield_now();
    }
}

/// An endpoint with a box of its own on one UDP network.
struct Node {
    running: Running<FlipBox>,
    endpoint: EndpointId,
    address: FlipAddress,
    at: Ipv4Addr,
}

impl Node {
    fn new(at: Ipv4Addr, peers: &[Ipv4Addr]) -> Node {
        let config = UdpConfig {
            interface: at.into(),
            port: PORT,
            ..UdpConfig::loopback(None)
        };
        let device = UdpDevice::open(&config).expect("a loopback address of our own");
        let peers = peers.iter().map(|peer| SocketAddr::from((*peer, PORT)));
        device.set_peers(&peers.collect::<Vec<_>>());
        let device: Arc<dyn Device> = Arc::new(device);
        let mut flip = FlipBox::new(Config::default());
        flip.attach(device.link());
        let interface = flip.interface();
        let [_, b, c, d] = at.octets();
        let private = FlipAddress::new([b, c, d, 1, 2, 3, 4, 0]);
        let endpoint = flip.register(interface, private);
        let config = DriverConfig::default();
        let running = Running::start(flip, vec![device], config, Doorbell::none());
        Node {
            running: running.expect("threads"),
            endpoint,
            address: private.one_way(),
            at,
        }
    }

    fn send_with(&self, to: &Node, payload: &[u8], options: SendOptions) {
        self.running.with(|flip, now| {
            flip.unicast(now, self.endpoint, to.address, payload.to_vec(), options)
                .expect("taken");
        });
    }

    fn send(&self, to: &Node, payload: &[u8]) {
        let locate_time = stack::flip_net::time::Duration::from_secs(20);
        let options = SendOptions {
            locate_time,
            ..SendOptions::default()
        };
        self.send_with(to, payload, options);
    }

    /// The next thing that the box tells.
    #[track_caller]
    fn event(&self) -> Event {
        let end = self.running.now() + stack::flip_net::time::Duration::from_secs(20);
        loop {
            if let Some(event) = self.running.try_delivery() {
                return event;
            }
            assert_ne!(
                self.running.wait(Some(end)),
                Woken::Deadline,
                "nothing came"
            );
        }
    }

    #[track_caller]
    fn fragment(&self) -> Fragment {
        match self.event() {
            Event::Fragment { fragment, .. } => fragment,
            other => panic!("{other:?}"),
        }
    }

    /// Sends until it is there. A message comes back if a box on its way is being asked anew where the destination is; whoever is above
    /// FLIP then sends it again.
    #[track_caller]
    fn check_reaches(&self, other: &Node, payload: &[u8]) {
        let mut joiner = Joiner::new(JoinConfig::default());
        self.send(other, payload);
        let arrived = until("it arrives", || {
            match self.running.try_delivery() {
                Some(Event::NotDelivered { reason, .. }) => {
                    assert_eq!(reason, Undelivered::NotHere);
                    self.send(other, payload);
                }
                Some(Event::Fragment { fragment, .. }) => panic!("{fragment:?}"),
                None => {}
            }
            match other.running.try_delivery()? {
                Event::Fragment { fragment, .. } => {
                    joiner.handle_fragment(other.running.now(), fragment)
                }
                Event::NotDelivered { .. } => panic!("{} sent nothing", other.at),
            }
        });
        assert!(arrived.payload == payload, "{} bytes", payload.len());
    }
}

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("flipd-{}", fresh());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("sock")
    }

    fn config(&self) -> PathBuf {
        self.0.join("flipd.toml")
    }

    /// Writes a configuration with its socket in here.
    fn write(&self, networks: &str) {
        let text = format!("status = {:?}\n{networks}", self.socket());
        std::fs::write(self.config(), text).expect("a writable folder");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn udp(name: &str, at: Ipv4Addr, peers: &[Ipv4Addr], more: &str) -> String {
    let peers: Vec<_> = peers.iter().map(|peer| format!("{peer}:{PORT}")).collect();
    format!(
        "[[network]]\nname = \"{name}\"\nkind = \"udp\"\ninterface = \"{at}\"\nport = {PORT}\npeers = {peers:?}\n{more}\n"
    )
}

fn tunnel(kind: &str, more: &str) -> String {
    format!("[[network]]\nname = \"tunnel\"\nkind = \"{kind}\"\n{more}\n")
}

fn command(arguments: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flipd"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    gax::os::die_with_parent(&mut command);
    command
}

#[track_caller]
fn finish(arguments: &[&Path], code: i32) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(arguments).output().expect("flipd can be started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert_eq!(status.code(), Some(code), "{stderr}");
    (stdout, stderr)
}

/// A flipd that runs.
struct Flipd {
    child: Child,
    lines: Receiver<String>,
    folder: Folder,
}

impl Flipd {
    /// Starts one and waits until it says that it has joined all networks; its lines.
    fn start(networks: &str) -> (Flipd, Vec<String>) {
        let folder = Folder::new();
        folder.write(networks);
        Flipd::start_in(folder, networks.matches("[[network]]").count())
    }

    fn start_in(folder: Folder, networks: usize) -> (Flipd, Vec<String>) {
        Flipd::start_with(folder, networks, &[])
    }

    fn start_with(folder: Folder, networks: usize, options: &[&Path]) -> (Flipd, Vec<String>) {
        let config = folder.config();
        let mut child = command(&[options, &[&config]].concat())
            .spawn()
            .expect("flipd can be started");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            lines.for_each(|line| {
                // The test may have seen enough.
                let _ = sender.send(line);
            });
        });
        let flipd = Flipd {
            child,
            lines,
            folder,
        };
        let lines = (0..networks).map(|_| flipd.line()).collect();
        (flipd, lines)
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("the number of a process");
        kill_process(pid, signal).expect("our own child");
    }

    #[track_caller]
    fn expect_end(&mut self, code: i32) {
        let status = until("it ends", || self.child.try_wait().expect("our own child"));
        assert_eq!(status.code(), Some(code));
    }

    #[track_caller]
    fn status(&self) -> Report {
        let json = self.ask(&["--json"]);
        serde_json::from_str(&json).expect("a report")
    }

    #[track_caller]
    fn ask(&self, options: &[&str]) -> String {
        let socket = self.folder.socket();
        let mut arguments = vec![Path::new("status"), Path::new("--socket"), &socket];
        arguments.extend(options.iter().map(Path::new));
        let (stdout, stderr) = finish(&arguments, 0);
        assert_eq!(stderr, "");
        stdout
    }

    /// Waits until the tunnel, network 1, is connected or not.
    #[track_caller]
    fn expect_tunnel(&self, connected: bool) {
        until("the tunnel changes", || {
            let status = self.status();
            let tunnel = status.networks[1].tunnel.as_ref().expect("a tunnel");
            (tunnel.peer.is_some() == connected).then_some(())
        });
    }

    /// Writes the configuration anew and has it read; what it says to that.
    fn reload(&self, networks: &str) -> String {
        self.folder.write(networks);
        self.signal(Signal::HUP);
        self.line()
    }
}

impl Drop for Flipd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_flipd_joins_two_networks_and_counts() {
    let [left, right, a, b] = [(); 4].map(|()| fresh());
    let config = udp("left", left, &[a], "") + &udp("right", right, &[b], "mtu = 30000");
    let (flipd, lines) = Flipd::start(&config);
    assert_eq!(
        lines,
        [
            format!("flipd: left: udp, weight 4, mtu 61440, trusted, not keyed, at {left}:{PORT}"),
            format!(
                "flipd: right: udp, weight 4, mtu 30000, trusted, not keyed, at {right}:{PORT}"
            ),
        ]
    );
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    a.check_reaches(&b, b"hello");
    b.check_reaches(&a, b"hello yourself");
    let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    a.check_reaches(&b, &long);

    let report = flipd.status();
    let [left, right] = &report.networks[..] else {
        panic!("{report:?}")
    };
    assert_eq!((left.name.as_str(), left.weight), ("left", 4));
    assert_eq!((right.name.as_str(), right.mtu), ("right", 30_000));
    assert!(left.on && left.trusted && !left.keyed && left.lost == 0);
    // One and five fragments one way, the five cut further; one the other way.
    assert!(left.received.types["UNIDATA"] >= 6);
    assert_eq!(right.sent.types["UNIDATA"], 1 + 4 * 3 + 2);
    assert_eq!(left.sent.types["UNIDATA"], 1);
    assert!(right.sent.types["LOCATE"] >= 1);
    assert!(left.received.bytes > 300_000 && right.sent.bytes > 300_000);
    assert!(left.received.packets >= 7);
    for (node, network) in [(&a, "left"), (&b, "right")] {
        let address = node.address.to_string();
        let way = report.routes.iter().find(|way| way.address == address);
        let way = way.expect("a route to each endpoint");
        assert_eq!((way.network.as_str(), way.hops), (network, 4));
        assert_eq!(way.station, format!("{}:{PORT}", node.at));
        assert_eq!((way.count, way.trusted, way.idle_s), (1, 1, 0));
    }
    let text = flipd.ask(&[]);
    assert!(text.contains(&a.address.to_string()), "{text}");
    assert!(
        text.contains("\nright    udp        4  30000  on"),
        "{text}"
    );
}

/// Passes the bytes of a TCP tunnel on, until it is dropped: then both ends see their connections closed.
struct Relay {
    address: SocketAddr,
    listening: Arc<Mutex<bool>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Relay {
    fn open(address: SocketAddr, to: SocketAddr) -> Relay {
        let listener = TcpListener::bind(address).expect("an address of our own");
        let listening = Arc::new(Mutex::new(true));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (still, all) = (Arc::clone(&listening), Arc::clone(&streams));
        let thread = std::thread::spawn(move || {
            for near in listener.incoming() {
                let listening = still.lock().expect("no panic");
                if !*listening {
                    return;
                }
                let near = near.expect("a connection");
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
                    let (mut from, mut to) = (clone(from), clone(to));
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                all.lock().expect("no panic").extend([near, far]);
            }
        });
        Relay {
            address,
            listening,
            streams,
            thread: Some(thread),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        *self.listening.lock().expect("no panic") = false;
        // So that the one who accepts looks.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.streams.lock().expect("no panic").iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn what_passes_is_in_the_captures_of_both_networks() {
    let [left, right, a, b] = [(); 4].map(|()| fresh());
    let folder = Folder::new();
    folder.write(&(udp("left", left, &[a], "") + &udp("right", right, &[b], "")));
    let captures = folder.0.join("not/yet/there");
    let (_flipd, _) = Flipd::start_with(folder, 2, &[Path::new("--capture"), &captures]);
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    a.check_reaches(&b, b"seen on either side");
    for name in ["left", "right"] {
        let file = captures.join(format!("{name}.pcap"));
        let bytes = std::fs::read(&file).expect("a capture");
        assert_eq!(bytes[..4], MAGIC_NANOSECONDS.to_le_bytes());
        let payload = b"seen on either side";
        assert!(
            bytes.windows(payload.len()).any(|part| part == payload),
            "{name}"
        );
    }
}

#[test]
fn a_capture_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    folder.write(&udp("left", fresh(), &[fresh()], ""));
    let config = folder.config();
    // A file is no folder.
    let (_, stderr) = finish(&[Path::new("--capture"), &config, &config], 70);
    let expected = format!("flipd: cannot write the capture {}: ", config.display());
    assert!(stderr.starts_with(&expected), "{stderr}");
}

#[test]
fn a_tunnel_over_tcp_joins_two_flipds_and_comes_back_when_it_was_cut() {
    let [left, right, a, b, door] = [(); 5].map(|()| fresh());
    let at = |ip: Ipv4Addr, port| SocketAddr::new(IpAddr::V4(ip), port);
    let listen = tunnel("tunnel-tcp", &format!("listen = \"{}\"", at(door, 33_093)));
    let connect = tunnel("tunnel-tcp", &format!("connect = \"{}\"", at(door, 33_095)));
    let relay = Relay::open(at(door, 33_095), at(door, 33_093));
    let (one, lines) = Flipd::start(&(udp("left", left, &[a], "") + &listen));
    let expected = "flipd: tunnel: tunnel-tcp, weight 10, mtu 61440, trusted, not keyed, at ";
    assert!(lines[1].starts_with(expected), "{}", lines[1]);
    let (two, _) = Flipd::start(&(udp("right", right, &[b], "") + &connect));
    one.expect_tunnel(true);
    two.expect_tunnel(true);
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    a.check_reaches(&b, b"through the tunnel");
    b.check_reaches(&a, &vec![9; 200_000]);
    let status = two.status();
    let way = status
        .routes
        .iter()
        .find(|way| way.address == a.address.to_string());
    let way = way.expect("a route to the other side");
    assert_eq!((way.station.as_str(), way.hops), ("peer", 14));

    drop(relay);
    one.expect_tunnel(false);
    two.expect_tunnel(false);
    let ended = |flipd: &Flipd| flipd.status().networks[1].tunnel.as_ref()?.ended.clone();
    assert_eq!(ended(&one).as_deref(), Some("closed by the peer"));
    // What is sent now is lost, and counted; nobody waits.
    a.send(&b, b"lost");
    until("the loss is counted", || {
        (one.status().networks[1].lost > 0).then_some(())
    });

    let _relay = Relay::open(at(door, 33_095), at(door, 33_093));
    one.expect_tunnel(true);
    two.expect_tunnel(true);
    a.check_reaches(&b, b"here again");
    b.check_reaches(&a, b"so I see");
    let connections = |flipd: &Flipd| {
        flipd.status().networks[1]
            .tunnel
            .as_ref()
            .map(|t| t.connections)
    };
    assert!(connections(&one) >= Some(2));
}

#[test]
fn a_tunnel_finds_a_flipd_that_was_started_again() {
    let [left, right, a, b, door] = [(); 5].map(|()| fresh());
    let listen = tunnel("tunnel-tcp", &format!("listen = \"{door}:33093\""));
    let connect = tunnel("tunnel-tcp", &format!("connect = \"{door}:33093\""));
    let near = udp("left", left, &[a], "") + &listen;
    let (two, _) = Flipd::start(&(udp("right", right, &[b], "") + &connect));
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    for round in 0..2_u8 {
        let (mut one, _) = Flipd::start(&near);
        one.expect_tunnel(true);
        two.expect_tunnel(true);
        // Who was restarted knows nothing: the message comes back, and then its destination is located anew.
        a.check_reaches(&b, &[round]);
        one.signal(Signal::TERM);
        one.expect_end(143);
        two.expect_tunnel(false);
    }
}

#[test]
fn a_tunnel_over_udp_joins_two_flipds() {
    let [left, right, a, b, near, far] = [(); 6].map(|()| fresh());
    let end = |at: Ipv4Addr, peer: Ipv4Addr| {
        let more =
            format!("interface = \"{at}\"\nport = {PORT}\npeers = [\"{peer}:{PORT}\"]\nmtu = 1000");
        tunnel("tunnel-udp", &more)
    };
    let (one, lines) = Flipd::start(&(udp("left", left, &[a], "") + &end(near, far)));
    let (_two, _) = Flipd::start(&(udp("right", right, &[b], "") + &end(far, near)));
    assert!(lines[1].starts_with("flipd: tunnel: tunnel-udp, weight 10, mtu 1000, trusted"));
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    a.check_reaches(&b, b"through the tunnel");
    // Cut further on its way.
    b.check_reaches(&a, &[7; 50_000]);
    assert!(one.status().networks[1].received.types["UNIDATA"] > 50);
}

/// Two flipds joined by a tunnel of this kind, each end with its own key: whether they reach each other.
fn check_keyed(ends: [String; 2], keys: [&str; 2], expected: bool) {
    let [left, right, a, b] = [(); 4].map(|()| fresh());
    let folder = Folder::new();
    let keyed = |end: &String, key: &str| {
        let path = folder.0.join(key);
        if !path.exists() {
            std::fs::write(&path, format!("{}\n", key.repeat(64))).expect("a file of our own");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
        }
        format!("{end}key = {:?}\n", path)
    };
    let near = udp("left", left, &[a], "") + &keyed(&ends[0], keys[0]);
    let far = udp("right", right, &[b], "") + &keyed(&ends[1], keys[1]);
    let (one, lines) = Flipd::start(&near);
    let (two, _) = Flipd::start(&far);
    assert!(lines[1].contains(", trusted, keyed"), "{}", lines[1]);
    assert!(one.status().networks[1].keyed);
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    if expected {
        a.check_reaches(&b, b"sealed");
        b.check_reaches(&a, &vec![3; 100_000]);
        return;
    }
    a.send_with(&b, b"for other eyes", SendOptions::default());
    let Event::NotDelivered { reason, .. } = a.event() else {
        panic!("it was delivered")
    };
    assert_eq!(reason, Undelivered::NotLocated);
    for flipd in [&one, &two] {
        assert_eq!(flipd.status().networks[1].received.packets, 0);
    }
    let dropped = two.status().networks[1].dropped.clone();
    assert!(dropped["bad tag"] > 0, "{dropped:?}");
}

#[test]
fn a_tunnel_with_a_key_is_for_those_who_have_it() {
    let ends = || {
        let (near, far) = (fresh(), fresh());
        let end = |at: Ipv4Addr, peer: Ipv4Addr| {
            let more = format!("interface = \"{at}\"\nport = {PORT}\npeers = [\"{peer}:{PORT}\"]");
            tunnel("tunnel-udp", &more)
        };
        [end(near, far), end(far, near)]
    };
    check_keyed(ends(), ["a", "a"], true);
    check_keyed(ends(), ["a", "b"], false);
    let streams = || {
        let door = fresh();
        [
            tunnel("tunnel-tcp", &format!("listen = \"{door}:33093\"")),
            tunnel("tunnel-tcp", &format!("connect = \"{door}:33093\"")),
        ]
    };
    check_keyed(streams(), ["a", "a"], true);
    check_keyed(streams(), ["a", "b"], false);
}

#[test]
fn a_network_that_loses_its_trust_refuses_what_asks_for_security() {
    let [left, right, a, b] = [(); 4].map(|()| fresh());
    let config = |more: &str| udp("left", left, &[a], "") + &udp("right", right, &[b], more);
    let (flipd, _) = Flipd::start(&config(""));
    let (a, b) = (Node::new(a, &[left]), Node::new(b, &[right]));
    let secure = SendOptions {
        security: true,
        ..SendOptions::default()
    };
    a.check_reaches(&b, b"to find the way");
    a.send_with(&b, b"secret", secure);
    assert_eq!(b.fragment().payload, &b"secret"[..]);

    let line = flipd.reload(&config("trusted = false"));
    assert_eq!(
        line,
        "flipd: network right is no longer trusted; all routes are forgotten"
    );
    let status = flipd.status();
    assert_eq!(status.routes, []);
    assert!(status.networks[0].trusted && !status.networks[1].trusted);
    // The flipd hears of the destination again, by a broadcast that goes no farther; the sender hears nothing.
    b.running.with(|flip, now| {
        let sent = flip.broadcast(now, b.endpoint, b"here I am".to_vec(), 4);
        sent.expect("taken");
    });
    until("the flipd knows it, as untrusted", || {
        let status = flipd.status();
        let way = status
            .routes
            .iter()
            .find(|way| way.address == b.address.to_string())?;
        assert_eq!(way.trusted, 0);
        Some(())
    });
    a.send_with(&b, b"secret", secure);
    let Event::NotDelivered {
        reason, payload, ..
    } = a.event()
    else {
        panic!("it was delivered")
    };
    assert_eq!(
        (reason, &payload[..]),
        (Undelivered::Untrusted, &b"secret"[..])
    );
    let received = a.running.with(|flip, _| flip.stats().networks[0].received);
    assert_eq!(received.of(Kind::Untrusted), 1);
    assert_eq!(flipd.status().networks[0].sent.types["UNTRUSTED"], 1);
    // Without security it passes, and is marked.
    a.send(&b, b"anybody may read this");
    assert!(b.fragment().tainted);

    let line = flipd.reload(&config("trusted = true"));
    assert_eq!(
        line,
        "flipd: network right is now trusted; all routes are forgotten"
    );
}

#[test]
fn a_configuration_read_again_says_what_it_cannot_change() {
    let [left, peer] = [(); 2].map(|()| fresh());
    let config = |more: &str| udp("left", left, &[peer], more);
    let (flipd, _) = Flipd::start(&config(""));
    let file = flipd.folder.config().display().to_string();
    assert_eq!(
        flipd.reload(&config("")),
        format!("flipd: {file}: nothing has changed")
    );
    assert_eq!(
        flipd.reload(&config("weight = 7")),
        format!("flipd: {file}: `weight` of network left has changed: that needs a restart")
    );
    assert_eq!(
        flipd
            .reload(&config("wait = 7"))
            .lines()
            .next()
            .expect("a line"),
        format!(
            "flipd: {file}:8: unknown field `wait`, expected one of `name`, `kind`, `interface`, `port`, `peers`, \
             `multicast`, `listen`, `connect`, `weight`, `mtu`, `key`, `trusted`, `insecure`; nothing is changed"
        )
    );
    let status = flipd.status();
    assert_eq!(
        (status.networks[0].weight, status.networks[0].trusted),
        (4, true)
    );
}

#[test]
fn signals_end_it_with_their_statuses_and_nothing_is_left() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (mut flipd, _) = Flipd::start(&udp("left", fresh(), &[fresh()], ""));
        let socket = flipd.folder.socket();
        let mode = std::fs::metadata(&socket)
            .expect("a socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        flipd.signal(signal);
        flipd.expect_end(code);
        assert!(!socket.exists());
    }
}

#[test]
fn a_configuration_with_a_mistake_is_refused_with_its_line() {
    let folder = Folder::new();
    let here = udp("n", Ipv4Addr::LOCALHOST, &[Ipv4Addr::LOCALHOST], "");
    let wide = udp(
        "n",
        Ipv4Addr::new(10, 0, 0, 1),
        &[Ipv4Addr::new(10, 0, 0, 2)],
        "trusted = true",
    );
    for (networks, line, expected) in [
        ("", 1, "there is no [[network]]"),
        ("[[network]\n", 2, "unclosed array table"),
        (&format!("{here}wieght = 3\n"), 9, "unknown field `wieght`"),
        (
            &format!("{here}weight = 99\n"),
            9,
            "`weight` is from 1 to 25, not 99",
        ),
        (
            &format!("{here}{here}"),
            10,
            "there is a network `n` already",
        ),
        (&wide, 8, "cannot be trusted without a key"),
        (
            &tunnel("ethernet", "interface = \"nosuch0\""),
            2,
            "network tunnel: there is no interface nosuch0; there are: ",
        ),
        (
            &format!("{here}key = \"/nosuch/key\"\n"),
            2,
            "network n: cannot read the key of the network from /nosuch/key: ",
        ),
    ] {
        folder.write(networks);
        let (stdout, stderr) = finish(&[&folder.config()], 2);
        assert_eq!(stdout, "");
        let place = format!("flipd: {}:{line}: ", folder.config().display());
        assert!(stderr.starts_with(&place), "{stderr} is not at {place}");
        assert!(
            stderr.contains(expected),
            "{stderr} does not say {expected}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = Folder::new();
    let (_, stderr) = finish(&[&folder.config()], 66);
    assert!(stderr.starts_with("flipd: cannot read "), "{stderr}");
    // An address of documentation is none of ours.
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1);
    folder.write(&udp("left", elsewhere, &[elsewhere], ""));
    let (_, stderr) = finish(&[&folder.config()], 70);
    assert!(
        stderr.contains(":2: network left: cannot open a UDP socket at 192.0.2.1:33094: "),
        "{stderr}"
    );
}

#[test]
fn a_flipd_that_does_not_run_is_said_not_to() {
    let folder = Folder::new();
    let socket = folder.socket();
    let ask = || {
        let arguments = [Path::new("status"), Path::new("--socket"), &socket];
        finish(&arguments, 70).1
    };
    let expected = format!("flipd: no flipd is running at {}: ", socket.display());
    assert!(ask().starts_with(&expected), "{}", ask());
    // What a killed one leaves behind is no flipd either, and in nobody's way.
    let network = udp("left", fresh(), &[fresh()], "");
    folder.write(&network);
    let (mut flipd, _) = Flipd::start_in(folder, 1);
    flipd.signal(Signal::KILL);
    until("it is gone", || {
        flipd.child.try_wait().expect("our own child")
    });
    assert!(socket.exists());
    assert!(ask().starts_with(&expected), "{}", ask());
    // The folder is needed on; the second one takes the place of the first.
    let config = flipd.folder.config();
    let mut second = command(&[&config]).spawn().expect("flipd can be started");
    until("it answers", || gax::flipd::ask::ask(&socket).ok());
    // While one runs, another is refused.
    let other = Folder::new();
    let text = format!("status = {socket:?}\n{}", udp("l", fresh(), &[fresh()], ""));
    std::fs::write(other.config(), text).expect("a writable folder");
    let (_, stderr) = finish(&[&other.config()], 70);
    assert!(
        stderr.contains("another flipd is running there"),
        "{stderr}"
    );
    second.kill().expect("our own child");
    second.wait().expect("our own child");
}

#[test]
fn an_answer_that_is_none_is_not_printed() {
    let folder = Folder::new();
    let socket = folder.socket();
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a call");
            stream
                .write_all(b"220 mail.example ready\n")
                .expect("a reader");
        });
        let (stdout, stderr) = finish(&[Path::new("status"), Path::new("--socket"), &socket], 70);
        assert_eq!(stdout, "");
        assert!(stderr.contains("is no flipd of this version"), "{stderr}");
    });
}

#[test]
fn the_command_line_is_explained_and_checked() {
    let (stdout, _) = finish(&[Path::new("--help")], 0);
    for expected in ["CONFIG.toml", "status", "SIGHUP", "flipd(1)"] {
        assert!(stdout.contains(expected), "{stdout}");
    }
    let (stdout, _) = finish(&[Path::new("status"), Path::new("--help")], 0);
    assert!(
        stdout.contains("--json") && stdout.contains("--socket"),
        "{stdout}"
    );
    for wrong in [
        &[][..],
        &[Path::new("--jsn")],
        &[Path::new("a"), Path::new("b")],
    ] {
        finish(wrong, 2);
    }
}
