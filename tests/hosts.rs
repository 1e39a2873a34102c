//! Programs over every network, and what others can reach of them: in network namespaces that the tests make. Those need root and `ip`;
//! one line says so when they skip.
//!
//! Implements: DESIGN 9 and 12.

#[path = "../flip-net/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flip_net::driver::{Device, EthernetConfig, EthernetDevice, Station, namespace};
use orca_rts::control_channel::{CONTROL_VARIABLE, FromProcessor, Inbox, Prepare, ToProcessor};
use orca_rts::networks::{Medium, Network};
use support::Namespace;

const PATIENCE: Duration = Duration::from_secs(60);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member")
}

/// The folder of the binaries that were built with these tests.
fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    own.ancestors()
        .nth(2)
        .expect("tests lie in deps")
        .to_path_buf()
}

/// Builds a program; gives its executable.
fn build(source: &str) -> PathBuf {
    let source = root().join(source);
    let folder = binaries().join("hosts-tests");
    std::fs::create_dir_all(&folder).expect("a folder for executables");
    let executable = folder.join(source.file_stem().expect("a file name"));
    let built = Command::new(binaries().join("orcac"))
        .arg("build")
        .arg(&source)
        .arg("-o")
        .arg(&executable)
        .status();
    assert!(built.expect("orcac is built: run ./check").success());
    executable
}

/// A sample program: its executable, arguments and what it prints.
struct Sample {
    executable: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    expected: String,
}

impl Sample {
    fn new(name: &str) -> Sample {
        let folder = root().join("programs").join(name);
        let read =
            |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file of the program");
        Sample {
            executable: build(&format!("programs/{name}/{name}.orca")),
            arguments: read("args").split_whitespace().map(str::to_owned).collect(),
            expected: read("expected.stdout"),
            folder,
        }
    }

    /// `gax` with these options and this program, inside a namespace if there is one.
    fn gax(&self, host: Option<&Namespace>, options: &[&str]) -> Command {
        let gax = binaries().join("gax");
        let mut command = match host {
            None => Command::new(gax),
            Some(host) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &host.name]).arg(gax);
                command
            }
        };
        command
            .args(["--timeout", "100"])
            .args(options)
            .arg(&self.executable)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn check(&self, host: Option<&Namespace>, options: &[&str]) {
        let output = self.gax(host, options).output().expect("gax starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            (
                output.status.code(),
                text(&output.stdout),
                text(&output.stderr)
            ),
            (Some(0), self.expected.clone(), String::new()),
            "{options:?}"
        );
    }
}

/// Two hosts with a cable between them: eth0 with the addresses 10.78.0.1 and 10.78.0.2.
fn two_hosts() -> Option<[Namespace; 2]> {
    let hosts = [Namespace::new()?, Namespace::new()?];
    let far = &hosts[1].name;
    hosts[0].ip(&format!(
        "link add eth0 type veth peer name eth0 netns {far}"
    ));
    for (host, last) in hosts.iter().zip([1, 2]) {
        host.ip(&format!("addr add 10.78.0.{last}/24 dev eth0"));
        host.ip("link set eth0 up");
    }
    hosts.iter().for_each(|host| host.wait_until_up("eth0"));
    Some(hosts)
}

#[test]
fn programs_run_over_every_network() {
    let samples = ["asp", "pingpong"].map(Sample::new);
    for net in ["auto", "shm", "udp", "udp=::1", "shm,udp"] {
        for sample in &samples {
            for count in ["1", "2", "4"] {
                sample.check(None, &["--net", net, "-n", count]);
            }
        }
    }
}

#[test]
fn programs_run_over_raw_ethernet_with_the_key_of_the_run() {
    let Some([near, far]) = two_hosts() else {
        return;
    };
    let sample = Sample::new("asp");
    sample.check(Some(&near), &["--net", "ethernet=lo", "-n", "3"]);
    // Whoever is on the same cable hears the broadcasts, and they are sealed.
    let config = EthernetConfig {
        interface: "eth0".to_owned(),
        station: Station::Own,
        mtu: None,
    };
    let open = || EthernetDevice::open(&config).expect("eth0 is there");
    let tap = namespace::within(&far.name, open).expect("the namespace is there");
    let mut heard = Vec::new();
    let mut look = || {
        // A batch may hold nothing but multicasts, which the tap does not hear.
        let mut in_vain = 0;
        while in_vain < 1_000 {
            let count = tap.receive(flip_net::time::Duration::ZERO, &mut |_, bytes| {
                heard.push(bytes[0]);
            });
            in_vain = if count > 0 { 0 } else { in_vain + 1 };
        }
        std::mem::take(&mut heard)
    };
    sample.check(Some(&near), &["--net", "ethernet=eth0", "-n", "3"]);
    let first_bytes = look();
    assert!(
        !first_bytes.is_empty() && first_bytes.iter().all(|byte| *byte == 0xe5),
        "{first_bytes:?}"
    );
    // Without the key it works as well, if the user insists; then the packets are there to read.
    sample.check(
        Some(&near),
        &["--net", "ethernet=eth0", "--insecure", "-n", "3"],
    );
    let first_bytes = look();
    assert!(
        !first_bytes.is_empty() && !first_bytes.contains(&0xe5),
        "{first_bytes:?}"
    );
    sample.check(Some(&near), &["--net", "udp=10.78.0.1", "-n", "3"]);
    sample.check(Some(&near), &["--net", "shm,ethernet=eth0", "-n", "3"]);
}

#[test]
fn ten_runs_at_the_same_time_do_not_disturb_each_other() {
    let sample = Sample::new("asp");
    for net in ["udp", "shm"] {
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| (0..2).for_each(|_| sample.check(None, &["--net", net, "-n", "3"])));
            }
        });
    }
}

/// A run that goes on until it is dropped.
struct Endless(Child);

impl Endless {
    fn start(host: &Namespace, net: &str) -> Endless {
        let spin = Sample {
            executable: build("tests/launch/spin.orca"),
            arguments: Vec::new(),
            folder: root().to_path_buf(),
            expected: String::new(),
        };
        let mut command = spin.gax(Some(host), &["--net", net, "-n", "3"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("gax starts");
        // Once a process has said something all processors have joined.
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "it goes on");
        Endless(child)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        // The processors end with their launcher.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The local addresses of all sockets of a kind in a namespace, as /proc/net has them.
fn sockets(host: &Namespace, kind: &str) -> Vec<SocketAddr> {
    let table = Command::new("ip")
        .args([
            "netns",
            "exec",
            &host.name,
            "cat",
            &format!("/proc/net/{kind}"),
        ])
        .output()
        .expect("`ip` made the namespace");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| {
            let (address, port) = line.split_whitespace().nth(1)?.split_once(':')?;
            let ip: IpAddr = match address.len() {
                8 => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.swap_bytes()).into(),
                _ => panic!("a socket of IPv6: {line}"),
            };
            Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
        })
        .collect()
}

#[test]
fn no_socket_of_a_default_run_can_be_reached_from_another_host() {
    let Some([near, far]) = two_hosts() else {
        return;
    };
    for (net, sockets_expected) in [("auto", false), ("udp", true)] {
        let _run = Endless::start(&near, net);
        for kind in ["tcp", "tcp6", "udp6", "raw", "raw6"] {
            assert_eq!(sockets(&near, kind), [], "{kind} sockets over {net}");
        }
        let packet = Command::new("ip")
            .args(["netns", "exec", &near.name, "cat", "/proc/net/packet"])
            .output()
            .expect("`ip` made the namespace");
        assert_eq!(
            packet.stdout.iter().filter(|byte| **byte == b'\n').count(),
            1,
            "packet sockets over {net}"
        );
        let udp = sockets(&near, "udp");
        assert_eq!(!udp.is_empty(), sockets_expected, "{udp:?}");
        // The sockets for one processor are on loopback; the group is joined there only.
        let groups: Vec<_> = udp.iter().filter(|at| at.ip().is_multicast()).collect();
        assert!(
            udp.iter()
                .all(|at| at.ip().is_loopback() || at.ip().is_multicast()),
            "{udp:?}"
        );
        let joined = near.ip("maddr show dev eth0");
        assert!(
            groups
                .iter()
                .all(|at| !joined.contains(&at.ip().to_string())),
            "{joined}"
        );
        for at in &udp {
            let knock = || -> std::io::Error {
                let socket = UdpSocket::bind("10.78.0.2:0").expect("our own address");
                socket.set_read_timeout(Some(PATIENCE)).expect("a time");
                socket.connect(("10.78.0.1", at.port())).expect("a route");
                socket.send(&[1; 60]).expect("sent");
                socket.recv(&mut [0; 10]).expect_err("nobody is there")
            };
            let error = namespace::within(&far.name, knock).expect("it is there");
            assert_eq!(
                error.kind(),
                ErrorKind::ConnectionRefused,
                "port {}",
                at.port()
            );
        }
    }
}

#[test]
fn a_processor_refuses_a_network_beyond_the_host_without_a_key() {
    let executable = build("programs/asp/asp.orca");
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let mut child = Command::new(executable)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .env(CONTROL_VARIABLE, "0")
        .spawn()
        .expect("it starts");
    ours.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut inbox = Inbox::new();
    let mut next = |ours: &mut UnixStream| loop {
        if let Some(message) = inbox
            .next_from_processor()
            .expect("it follows the protocol")
        {
            return message;
        }
        let mut buffer = [0; 4_096];
        let count = ours.read(&mut buffer).expect("it says something");
        assert!(count > 0, "it closed the channel");
        inbox.extend(&buffer[..count]);
    };
    assert!(matches!(next(&mut ours), FromProcessor::Hello { .. }));
    let bare = Network {
        medium: Medium::Udp {
            interface: Ipv4Addr::new(10, 78, 0, 1).into(),
        },
        keyed: false,
        insecure: false,
    };
    let prepare = Prepare {
        number: 0,
        count: 2,
        key: [1; 32],
        networks: vec![bare],
    };
    ours.write_all(&ToProcessor::Prepare(Box::new(prepare)).to_frame())
        .expect("it reads");
    let FromProcessor::Refused(why) = next(&mut ours) else {
        panic!("it opened a network without a key")
    };
    assert!(
        why.contains("udp=10.78.0.1") && why.contains("--insecure"),
        "{why}"
    );
    let end = Instant::now() + PATIENCE;
    while child.try_wait().expect("our own child").is_none() {
        assert!(Instant::now() < end, "it does not end");
        std::thread::yield_now();
    }
}

#[test]
fn a_network_that_cannot_be_opened_is_told_once() {
    let sample = Sample::new("asp");
    let output = sample
        .gax(None, &["--net", "ethernet=nosuch0", "-n", "3"])
        .output()
        .expect("gax starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(70), "{text}");
    assert!(
        text.starts_with("gax: there is no interface nosuch0; there are: "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}
