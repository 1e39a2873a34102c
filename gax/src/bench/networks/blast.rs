//! Messages of a megabyte over UDP, one after the other, each answered by a few bytes.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use bytes::Bytes;
use rustix::net::sockopt;
use stack::flip_net::driver::{Device, UdpConfig, UdpDevice};

use super::node::pair;
use super::{Pair, cores};

const RECEIVE_BUFFER: usize = 32 << 20;
const MESSAGE_LEN: usize = 1 << 20;
/// Messages of a round.
const COUNT: u32 = 100;
/// Messages before the clock starts.
const WARM: u32 = 5;

/// Seconds a message: `send` sends one and waits for its answer, `receive` waits for one and answers.
fn seconds(mut send: impl FnMut() + Send, mut receive: impl FnMut() + Send) -> f64 {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            cores::pin(1);
            (0..WARM + COUNT).for_each(|_| receive());
        });
        let sending = scope.spawn(|| {
            cores::pin(0);
            (0..WARM).for_each(|_| send());
            let begun = Instant::now();
            (0..COUNT).for_each(|_| send());
            begun.elapsed().as_secs_f64() / f64::from(COUNT)
        });
        sending.join().expect("an end that fails has said why")
    })
}

/// Datagrams of `len` bytes against messages in as long ones.
pub(super) fn udp(rounds: u32) -> Result<Pair, String> {
    let open = || UdpDevice::open(&UdpConfig::loopback(None)).map_err(|error| error.to_string());
    let devices = [Arc::new(open()?), Arc::new(open()?)];
    let addresses = devices.each_ref().map(|device| device.address());
    devices
        .iter()
        .for_each(|device| device.set_peers(&addresses));
    let len = devices[0].link().mtu;
    let [mut near, mut far] = pair(devices.map(|device| device as Arc<dyn Device>), 40, false);
    let bare = || -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(StdDuration::from_secs(5)))?;
        // As much room as the device asks for: a message is longer than the usual buffer.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        Ok(socket)
    };
    let (a, b) = (bare().map_err(text)?, bare().map_err(text)?);
    let (to_a, to_b) = (a.local_addr().map_err(text)?, b.local_addr().map_err(text)?);
    let message = Bytes::from(vec![7_u8; MESSAGE_LEN]);
    let mut buffer = vec![0_u8; MESSAGE_LEN + len];
    let mut pair = Pair::measure(
        rounds,
        Some(1.0 / 0.85),
        || {
            seconds(
                || bare_send(&a, to_b, &message, len),
                || bare_receive(&b, to_a, &mut buffer, len),
            )
        },
        || {
            seconds(
                || {
                    near.send(message.clone());
                    assert_eq!(near.message().payload.len(), 40, "the answer");
                },
                || {
                    assert_eq!(far.message().payload.len(), MESSAGE_LEN);
                    far.send(vec![1; 40]);
                },
            )
        },
    );
    pair.note = format!("  datagrams of {len} B");
    Ok(pair)
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// Sends the message until it was answered: bare datagrams get lost, too.
fn bare_send(socket: &UdpSocket, to: SocketAddr, message: &[u8], len: usize) {
    for piece in message.chunks(len) {
        socket.send_to(piece, to).expect("loopback");
    }
    socket
        .recv_from(&mut [0; 40])
        .expect("the answer; the receive buffer holds two messages");
}

fn bare_receive(socket: &UdpSocket, to: SocketAddr, buffer: &mut [u8], len: usize) {
    let mut at = 0;
    while at < MESSAGE_LEN {
        let (count, _) = socket
            .recv_from(&mut buffer[at..at + len])
            .expect("a piece");
        at += count;
    }
    socket.send_to(&[1; 40], to).expect("loopback");
}
