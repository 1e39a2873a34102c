//! The box itself: packets from one network to the other, no device. Time by the clock, instructions by valgrind.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Instant;

use stack::flip_net::address::{FlipAddress, LinkAddress, NetworkId};
use stack::flip_net::time::Instant as Moment;
use stack::flip_net::wire::{Flags, Kind, Repr};
use stack::flip_net::{Config, FlipBox, Link, Machine};

use super::Pair;

const COUNT: u32 = 100_000;
/// Set by this benchmark for itself under valgrind: how many packets to switch.
const ALONE: &str = "ORCA_BENCH_SWITCH";

fn packet(kind: Kind, from: u8, to: u8, actual: u16, maximum: u16) -> Vec<u8> {
    let address = |n: u8| FlipAddress::new([n, 5, 5, 5, 5, 5, 5, 0]);
    let repr = Repr {
        kind,
        flags: Flags::default(),
        actual,
        maximum,
        destination: address(to),
        source: address(from),
        message: 1,
        offset: 0,
        total: 40,
    };
    repr.emit(&[7; 40])
}

/// A box between two networks that knows who is where.
fn middle() -> FlipBox {
    let mut flip = FlipBox::new(Config::default());
    let networks = [flip.attach(Link::memory()), flip.attach(Link::memory())];
    for (network, from) in networks.into_iter().zip([1, 2]) {
        let hello = packet(Kind::MultiData, from, 9, 1, 1);
        flip.handle_frame(Moment::ZERO, network, LinkAddress::Station(1), &hello);
    }
    flip
}

fn switch_many(flip: &mut FlipBox, count: u32) {
    let frame = packet(Kind::UniData, 1, 2, 1, 2);
    for _ in 0..count {
        flip.handle_frame(
            Moment::ZERO,
            NetworkId(0),
            LinkAddress::Station(1),
            black_box(&frame),
        );
        let out = flip.poll_transmit().expect("it goes on");
        black_box(out);
    }
}

/// Only the packets, for valgrind to count.
pub(crate) fn alone() -> bool {
    let Ok(count) = std::env::var(ALONE) else {
        return false;
    };
    switch_many(&mut middle(), count.parse().unwrap_or(0));
    true
}

/// Instructions a packet: the difference of two runs that differ in the number of packets.
fn instructions() -> Option<f64> {
    let counted = |packets: u32| -> Option<f64> {
        let own = std::env::current_exe().ok()?;
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(own)
            .env(ALONE, packets.to_string())
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("Collected :"))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    Some((counted(30_000)? - counted(10_000)?) / 20_000.0)
}

/// Seconds a packet against copying as many bytes into a buffer of its own.
pub(super) fn switch(rounds: u32) -> Result<Pair, String> {
    let mut flip = middle();
    let frame = packet(Kind::UniData, 1, 2, 1, 2);
    let timed = |act: &mut dyn FnMut()| {
        let begun = Instant::now();
        act();
        begun.elapsed().as_secs_f64() / f64::from(COUNT)
    };
    let mut pair = Pair::measure(
        rounds,
        None,
        || timed(&mut || (0..COUNT).for_each(|_| drop(black_box(black_box(&frame).clone())))),
        || timed(&mut || switch_many(&mut flip, COUNT)),
    );
    let nanos = super::estimate(&pair.measured).median * 1e9;
    let count = instructions().map_or("instructions: no valgrind".to_owned(), |count| {
        format!("{count:.0} instructions")
    });
    pair.note = format!("  {nanos:.0} ns and {count} a packet");
    Ok(pair)
}
