//! Echoes over raw Ethernet between two network namespaces, both ends on one core.

use std::process::Command;
use std::sync::Arc;

use stack::flip_net::driver::ethernet::BareSocket;
use stack::flip_net::driver::{Device, EthernetConfig, EthernetDevice, Station, namespace};

use super::Pair;
use super::echo::{Answers, Asks, seconds};
use super::node::pair;
use super::udp::QUESTION_LEN;

const COUNT: u32 = 5_000;
/// The flow-control header, FLIP's and the question.
const PAYLOAD_LEN: usize = 2 + 40 + QUESTION_LEN;

/// The shortest frame that Ethernet has; questions are longer.
const FRAME_LEN_MIN: usize = 60;

/// Two namespaces and a cable, gone when this is.
struct Cable([String; 2]);

impl Cable {
    fn new(what: &str) -> Result<Cable, String> {
        let names = ["a", "b"].map(|end| format!("bench-{}-{what}-{end}", std::process::id()));
        let cable = Cable(names);
        let [a, b] = &cable.0;
        for line in [
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("-n {a} link add eth0 type veth peer name eth0 netns {b}"),
            format!("-n {a} link set eth0 up"),
            format!("-n {b} link set eth0 up"),
        ] {
            ip(&line)?;
        }
        Ok(cable)
    }

    /// Opens something at each end.
    fn open<T: Send, E: ToString + Send>(
        &self,
        open: impl Fn() -> Result<T, E> + Sync,
    ) -> Result<[T; 2], String> {
        let at = |name: &str| {
            let opened = namespace::within(name, &open).map_err(|error| error.to_string())?;
            opened.map_err(|error| error.to_string())
        };
        Ok([at(&self.0[0])?, at(&self.0[1])?])
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.0 {
            // What was not made is not there to be removed.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.map_err(|error| format!("no `ip`: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

struct Bare {
    socket: BareSocket,
    frame: Vec<u8>,
}

impl Asks for Bare {
    fn ask(&mut self) {
        self.socket
            .send(&self.frame)
            .expect("the cable is plugged in");
        self.socket.receive(&mut [0; 2_048]).expect("an answer");
    }

    fn release(&mut self) {
        let nothing = &self.frame[..FRAME_LEN_MIN];
        self.socket.send(nothing).expect("the cable is plugged in");
    }
}

impl Answers for Bare {
    fn answer(&mut self) {
        let len = self.socket.receive(&mut [0; 2_048]);
        if len.expect("a question") > FRAME_LEN_MIN {
            self.socket
                .send(&self.frame)
                .expect("the cable is plugged in");
        }
    }
}

/// Box and device against bare packet sockets, each on a cable of their own: nobody hears the other. The
/// ends are on these cores.
pub(super) fn echo(rounds: u32, on: [usize; 2]) -> Result<Pair, String> {
    let cables = [Cable::new("bare")?, Cable::new("flip")?];
    let sockets = cables[0].open(|| BareSocket::open("eth0"))?;
    let [a, b] = sockets.each_ref().map(BareSocket::address);
    let mut others = [b, a].into_iter();
    let [mut ask, mut answer] = sockets.map(|socket| {
        let other = others.next().expect("two ends");
        let frame = socket.frame_to(other, &[7; PAYLOAD_LEN]);
        Bare { socket, frame }
    });
    let config = EthernetConfig {
        interface: "eth0".to_owned(),
        station: Station::Own,
        mtu: None,
    };
    let devices = cables[1].open(|| EthernetDevice::open(&config))?;
    let devices = devices.map(|device| Arc::new(device) as Arc<dyn Device>);
    let [mut near, mut far] = pair(devices, QUESTION_LEN, false);
    Ok(Pair::measure(
        rounds,
        Some(1.15),
        || seconds(&mut ask, &mut answer, COUNT, on),
        || seconds(&mut near, &mut far, COUNT, on),
    ))
}
