//! Bare datagram programs with the message patterns of broadcasts and transactions: what a figure is compared with.
//!
//! ```text
//!            PB, r = 0        BB, r = 0        PB, r > 0         BB, r > 0        transaction
//!  sender    request ->       data => all      request ->        data => all      request ->
//!  sequencer accept => all    accept => all    tentative => all  tentative => all <- reply
//!  members                                     acks ->           acks ->          ack ->
//!  sequencer                                   accept => all     accept => all
//! ```
//! Messages are as long as ours are with all headers. Each end blocks in the plainest receive on the one socket where the next
//! message of its role comes; nothing is repeated, so a datagram that the kernel drops ends the round.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, sockopt};
use stack::flip_net::wire::HEADER_LEN;
use stack::{capability, group, rpc};

use super::group::{Shape, free_group, longest};
use super::load::{Load, Method};
use super::placement::Placement;

const PATIENCE: Duration = Duration::from_secs(2);
const RECEIVE_BUFFER: usize = 32 << 20;
const BUFFER_LEN: usize = 1 << 16;
/// Bytes in front of the user's data.
const DATA_HEADERS_LEN: usize = HEADER_LEN + group::GROUP_HEADER_SIZE + capability::HEADER_SIZE;
/// An accept, or an acknowledgement.
const SHORT_LEN: usize = HEADER_LEN + group::GROUP_HEADER_SIZE;
/// A request or a reply without data, and its acknowledgement.
const CALL_LEN: usize = HEADER_LEN + rpc::DATA_OFFSET;
const ACK_LEN: usize = HEADER_LEN + rpc::RPC_HEADER_SIZE;
/// Requests of one member under way, where all send.
const WINDOW: u32 = 64;

const SEQUENCER: usize = 0;
const SENDER: usize = 1;

/// What a datagram is; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Request = 1,
    Data,
    Tentative,
    Ack,
    Accept,
    Reply,
}

/// The sockets of all members.
pub(super) struct Bare {
    shape: Shape,
    placement: Placement,
    group: SocketAddr,
    /// One of each member's own, and where it is.
    own: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
    polls: bool,
    /// Where each member hears the group. The sequencer hears nothing that it needs in PB.
    all: Vec<Option<UdpSocket>>,
    /// Numbers all messages of all rounds, so that none is mistaken for another.
    next: u32,
}

/// One end in one round.
struct End<'a> {
    bare: &'a Bare,
    number: usize,
    buffer: Vec<u8>,
    /// The message that is sent.
    out: Vec<u8>,
    /// Messages to the group that came before they were waited for.
    early: Vec<(u8, u32)>,
}

impl Bare {
    /// With `polls` it waits as our device does: in `ppoll` for both sockets, instead of in the receive itself.
    pub(super) fn open(shape: Shape, placement: Placement, polls: bool) -> io::Result<Bare> {
        let group = free_group()?;
        let hears = |number| number != SEQUENCER || shape.method == Method::Bb;
        let own: Vec<_> = (0..shape.members)
            .map(|_| own())
            .collect::<Result<_, _>>()?;
        let addresses = own.iter().map(UdpSocket::local_addr);
        Ok(Bare {
            shape,
            placement,
            group,
            addresses: addresses.collect::<Result<_, _>>()?,
            own,
            polls,
            all: (0..shape.members)
                .map(|number| hears(number).then(|| hearing(group)).transpose())
                .collect::<Result<_, _>>()?,
            next: 0,
        })
    }

    /// Seconds from request to accept, one at a time.
    pub(super) fn delay(&mut self, load: Load) -> io::Result<f64> {
        let total = load.warm + load.count;
        let first = self.number(total);
        let seconds = self.all(load.size, |number, end| {
            let mut begun = Instant::now();
            for at in 0..total {
                if at == load.warm {
                    begun = Instant::now();
                }
                match number {
                    SEQUENCER => end.sequence(first + at)?,
                    _ => end.follow(first + at)?,
                }
            }
            Ok(begun.elapsed().as_secs_f64() / f64::from(load.count))
        })?;
        Ok(seconds[SENDER])
    }

    /// Messages a second with all sending, a window of them under way.
    pub(super) fn rate(&mut self, load: Load) -> io::Result<f64> {
        let members = self.shape.members;
        let round = self.number(1);
        let together = Barrier::new(members);
        let spans = self.all(load.size, |number, end| {
            together.wait();
            let begun = Instant::now();
            match number {
                SEQUENCER => end.pour_as_sequencer(round, load.count)?,
                _ => end.pour(round, load.count)?,
            }
            Ok(begun.elapsed().as_secs_f64())
        })?;
        Ok(f64::from(load.count) * members as f64 / longest(&spans))
    }

    /// Messages a second that one member multicasts to the others, cut into datagrams of at most `piece` bytes; whenever `ahead`
    /// bytes are under way it waits until everybody says that they came.
    pub(super) fn multicast_rate(
        &mut self,
        load: Load,
        piece: usize,
        ahead: usize,
    ) -> io::Result<f64> {
        let round = self.number(1);
        let pieces = load.size.div_ceil(piece) * load.count as usize;
        let window = (ahead / piece).max(1);
        let others = self.shape.members - 1;
        let seconds = self.all(piece, |number, end| {
            let begun = Instant::now();
            for at in 1..=pieces {
                let is_stop = at % window == 0 || at == pieces;
                if number == SENDER {
                    end.multicast(Kind::Data, round, piece)?;
                    for _ in 0..if is_stop { others } else { 0 } {
                        end.receive_own(Kind::Ack, round)?;
                    }
                } else {
                    end.receive_all(Kind::Data, round)?;
                    if is_stop {
                        end.unicast(Kind::Ack, round, SENDER, SHORT_LEN)?;
                    }
                }
            }
            Ok(begun.elapsed().as_secs_f64())
        })?;
        Ok(f64::from(load.count) / longest(&seconds))
    }

    /// Seconds a request with its reply, one at a time; the acknowledgement leaves before the next one begins.
    pub(super) fn transact(&mut self, load: Load) -> io::Result<f64> {
        let total = load.warm + load.count;
        let first = self.number(total);
        let seconds = self.all(0, |number, end| {
            let mut begun = Instant::now();
            for at in 0..total {
                if at == load.warm {
                    begun = Instant::now();
                }
                if number == SEQUENCER {
                    end.receive_own(Kind::Request, first + at)?;
                    end.unicast(Kind::Reply, first + at, SENDER, CALL_LEN)?;
                } else {
                    end.unicast(Kind::Request, first + at, SEQUENCER, CALL_LEN)?;
                    end.receive_own(Kind::Reply, first + at)?;
                    end.unicast(Kind::Ack, first + at, SEQUENCER, ACK_LEN)?;
                }
            }
            Ok(begun.elapsed().as_secs_f64() / f64::from(load.count))
        })?;
        Ok(seconds[SENDER])
    }

    fn number(&mut self, count: u32) -> u32 {
        let first = self.next;
        self.next += count;
        first
    }

    /// Lets every end do its part at the same time, each on a thread where it belongs.
    fn all(
        &self,
        size: usize,
        work: impl Fn(usize, &mut End<'_>) -> io::Result<f64> + Sync,
    ) -> io::Result<Vec<f64>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.shape.members)
                .map(|number| {
                    let work = &work;
                    scope.spawn(move || {
                        self.placement.pin(number);
                        let mut end = End {
                            bare: self,
                            number,
                            buffer: vec![0; BUFFER_LEN],
                            out: vec![7; size + DATA_HEADERS_LEN],
                            early: Vec::new(),
                        };
                        work(number, &mut end)
                    })
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, io::Result<f64>>| {
                let lost = |_| io::Error::other("an end panicked");
                thread.join().map_err(lost)?
            };
            threads.into_iter().map(join).collect()
        })
    }
}

/// As much room as the devices of ours ask for, and no wait for ever.
fn prepare(socket: &UdpSocket) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?;
    }
    Ok(())
}

fn own() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    prepare(&socket)?;
    multicast_by_loopback(&socket)?;
    Ok(socket)
}

fn multicast_by_loopback(socket: &UdpSocket) -> io::Result<()> {
    // The standard library has no name for it.
    sockopt::set_ip_multicast_if(socket, &Ipv4Addr::LOCALHOST)?;
    Ok(())
}

fn hearing(group: SocketAddr) -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let SocketAddr::V4(address) = group else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    let socket = UdpSocket::from(socket);
    socket.join_multicast_v4(address.ip(), &Ipv4Addr::LOCALHOST)?;
    prepare(&socket)?;
    Ok(socket)
}

impl End<'_> {
    fn shape(&self) -> Shape {
        self.bare.shape
    }

    /// How many members acknowledge: those with the lowest numbers behind the sequencer's.
    fn acks(&self) -> usize {
        usize::from(self.shape().resilience).min(self.shape().members - 1)
    }

    fn data_len(&self) -> usize {
        self.out.len()
    }

    /// The sequencer's part in one broadcast of the sender.
    fn sequence(&mut self, number: u32) -> io::Result<()> {
        let len = match self.shape().method {
            Method::Pb => {
                self.receive_own(Kind::Request, number)?;
                self.data_len()
            }
            Method::Bb => {
                self.receive_all(Kind::Data, number)?;
                SHORT_LEN
            }
        };
        if self.acks() == 0 {
            return self.multicast(Kind::Accept, number, len);
        }
        self.multicast(Kind::Tentative, number, len)?;
        for _ in 0..self.acks() {
            self.receive_own(Kind::Ack, number)?;
        }
        self.multicast(Kind::Accept, number, SHORT_LEN)
    }

    /// The part of another member, the sender's included.
    fn follow(&mut self, number: u32) -> io::Result<()> {
        let sends = self.number == SENDER;
        let len = self.data_len();
        match self.shape().method {
            Method::Pb if sends => self.unicast(Kind::Request, number, SEQUENCER, len)?,
            Method::Pb => {}
            Method::Bb if sends => self.multicast(Kind::Data, number, len)?,
            Method::Bb => self.hear(Kind::Data, number)?,
        }
        if self.acks() > 0 {
            self.hear(Kind::Tentative, number)?;
            if self.number <= self.acks() {
                self.unicast(Kind::Ack, number, SEQUENCER, SHORT_LEN)?;
            }
        }
        self.hear(Kind::Accept, number)
    }

    /// Waits for this message to the group. Those of different members overtake each other on their way to a third one, so what comes too
    /// early is remembered.
    fn hear(&mut self, kind: Kind, number: u32) -> io::Result<()> {
        self.early.retain(|early| early.1 >= number);
        let wanted = (kind as u8, number);
        if self.early.contains(&wanted) {
            return Ok(());
        }
        let socket = self.bare.all[self.number].as_ref();
        let socket = socket.expect("who needs the group hears it");
        loop {
            let came = self.receive_any(socket)?;
            if came == wanted {
                return Ok(());
            }
            if came.1 >= number {
                self.early.push(came);
            }
        }
    }

    /// All of one member's messages, and everybody's accepts.
    fn pour(&mut self, round: u32, count: u32) -> io::Result<()> {
        let total = count as usize * self.shape().members;
        let len = self.data_len();
        let (mut sent, mut own, mut seen) = (0, 0, 0);
        while seen < total {
            while sent < count && sent - own < WINDOW {
                match self.shape().method {
                    Method::Pb => self.unicast(Kind::Request, round, SEQUENCER, len)?,
                    Method::Bb => self.multicast(Kind::Data, round, len)?,
                }
                sent += 1;
            }
            self.receive_all(Kind::Accept, round)?;
            own += u32::from(self.from() == self.number);
            seen += 1;
        }
        Ok(())
    }

    /// The sequencer's own messages, one for one of each other member, and everybody's accepts.
    fn pour_as_sequencer(&mut self, round: u32, count: u32) -> io::Result<()> {
        let others = self.shape().members - 1;
        for _ in 0..count {
            let len = self.data_len();
            self.multicast(Kind::Accept, round, len)?;
            for _ in 0..others {
                let len = match self.shape().method {
                    Method::Pb => {
                        self.receive_own(Kind::Request, round)?;
                        len
                    }
                    Method::Bb => {
                        self.receive_all(Kind::Data, round)?;
                        SHORT_LEN
                    }
                };
                let from = self.from();
                self.multicast_for(from, Kind::Accept, round, len)?;
            }
        }
        Ok(())
    }

    /// Whose message the last one was.
    fn from(&self) -> usize {
        usize::from(self.buffer[5])
    }

    fn fill(&mut self, of: usize, kind: Kind, number: u32, len: usize) {
        if self.out.len() < len {
            self.out.resize(len, 7);
        }
        self.out[0] = kind as u8;
        self.out[1..5].copy_from_slice(&number.to_le_bytes());
        self.out[5] = of as u8;
    }

    fn unicast(&mut self, kind: Kind, number: u32, to: usize, len: usize) -> io::Result<()> {
        self.fill(self.number, kind, number, len);
        let to = self.bare.addresses[to];
        self.bare.own[self.number].send_to(&self.out[..len], to)?;
        Ok(())
    }

    fn multicast(&mut self, kind: Kind, number: u32, len: usize) -> io::Result<()> {
        self.multicast_for(self.number, kind, number, len)
    }

    fn multicast_for(&mut self, of: usize, kind: Kind, number: u32, len: usize) -> io::Result<()> {
        self.fill(of, kind, number, len);
        self.bare.own[self.number].send_to(&self.out[..len], self.bare.group)?;
        Ok(())
    }

    fn receive_own(&mut self, kind: Kind, number: u32) -> io::Result<()> {
        let bare = self.bare;
        self.receive(&bare.own[self.number], kind, number)
    }

    fn receive_all(&mut self, kind: Kind, number: u32) -> io::Result<()> {
        let socket = self.bare.all[self.number].as_ref();
        let socket = socket.expect("who needs the group hears it");
        self.receive(socket, kind, number)
    }

    /// Waits for this message; what else comes is one's own multicast, or too late.
    fn receive(&mut self, socket: &UdpSocket, kind: Kind, number: u32) -> io::Result<()> {
        while self.receive_any(socket)? != (kind as u8, number) {}
        Ok(())
    }

    /// Kind and number of the next message.
    fn receive_any(&mut self, socket: &UdpSocket) -> io::Result<(u8, u32)> {
        loop {
            match self.receive_one(socket) {
                Ok(len) if len >= SHORT_LEN => {
                    let [kind, a, b, c, d] = self.buffer[..5] else {
                        unreachable!("the buffer is longer")
                    };
                    return Ok((kind, u32::from_le_bytes([a, b, c, d])));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::other("the bare program lost a datagram"));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive_one(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        if !self.bare.polls {
            return Ok(socket.recv_from(&mut self.buffer)?.0);
        }
        self.poll()?;
        let flags = RecvFlags::DONTWAIT;
        match rustix::net::recvfrom(socket, &mut self.buffer[..], flags) {
            Ok((len, ..)) => Ok(len),
            // The other socket had something, which comes to nothing here.
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for both sockets.
    fn poll(&self) -> io::Result<()> {
        let own = &self.bare.own[self.number];
        let all = self.bare.all[self.number].as_ref().unwrap_or(own);
        let mut both = [own, all].map(|socket| PollFd::new(socket, PollFlags::IN));
        let patience = Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        match rustix::event::poll(&mut both, Some(&patience))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(members: usize, method: Method, resilience: u8, polls: bool) -> Bare {
        let shape = Shape {
            members,
            method,
            resilience,
        };
        Bare::open(shape, Placement::Spread, polls).expect("loopback")
    }

    #[test]
    fn every_pattern_comes_to_its_end() {
        for (members, resilience) in [(2, 0), (4, 0), (3, 2), (3, 1)] {
            for method in [Method::Pb, Method::Bb] {
                let load = Load {
                    size: 100,
                    count: 20,
                    warm: 2,
                };
                let mut bare = bare(members, method, resilience, resilience % 2 == 0);
                let what = format!("{members} members, {method:?}, r = {resilience}");
                assert!(bare.delay(load).expect(&what) > 0.0, "{what}");
                if resilience == 0 {
                    assert!(bare.rate(load).expect(&what) > 0.0, "{what}");
                }
            }
        }
    }

    #[test]
    fn transactions_and_long_messages_come_to_their_end() {
        let load = Load::small();
        let seconds = bare(2, Method::Pb, 0, false).transact(load);
        assert!(seconds.expect("loopback") > 0.0);
        let load = Load {
            size: 100_000,
            count: 5,
            warm: 0,
        };
        let rate = bare(3, Method::Bb, 0, false).multicast_rate(load, 50_000, 200_000);
        assert!(rate.expect("loopback") > 0.0);
    }
}
