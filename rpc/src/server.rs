//! Servers: waiting for requests, executing them once, keeping the reply until it is acknowledged.
//!
//! ```text
//!  get_request -> Waiting --REQUEST--> Executing --put_reply, forward_request--> Answered
//!                                          | cancel: FAIL                  ACK, |  ^ | RECEIVED
//!                                          v                           given up v  +-+ NAK
//!                                        (gone)                             ReplyDone
//! ```
//! A request that finds no waiting server is answered with NAK, which is a promise: that number
//! will never be executed here, however many copies of it are still under way.
//!
//! Implements: [Thesis §2.5]; [Amoeba5] §2.6 to §2.8.

use bytes::Bytes;
use capability::{Header, Port};
use flip_net::address::FlipAddress;
use flip_net::step;
use flip_net::time::{Duration, Instant};

use crate::config::sabotaged;
use crate::endpoint::{Care, Endpoint, compose, user_part};
use crate::error::ServeError;
use crate::event::Event;
use crate::executed::Known;
use crate::id::{KernelId, ServerId, Tid, TransactionId};
use crate::stats::Mark;
use crate::wire::{Kind, Repr};

/// Whose request a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A transaction of this very endpoint.
    Local(TransactionId),
    /// A transaction elsewhere.
    Remote {
        address: FlipAddress,
        kid: KernelId,
        tid: Tid,
        index: u16,
        /// Its round trip in milliseconds, 0 if it knows none.
        round_trip: u16,
    },
}

/// Where a server is.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It waits for a request.
    Waiting,
    /// It has one.
    Executing { client: Client, signalled: bool },
    /// It answered, and the client has not said that it knows.
    Answered {
        address: FlipAddress,
        repr: Repr,
        kid: KernelId,
        message: Bytes,
        first_wait: Duration,
        retries: u32,
        /// How often the answer was lost, or not yet complete when the client was asked.
        losses: u32,
    },
}

/// A server: one turn of it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: Port,
    data_len_max: usize,
    pub(crate) turn: Turn,
}

impl Endpoint {
    /// A server waits for a request on the put-port of `get_port`. The request comes as
    /// [`Event::Request`].
    ///
    /// # Errors
    /// [`ServeError::BadPort`], [`ServeError::TryAgain`].
    pub fn get_request(&mut self, now: Instant, get_port: Port) -> Result<ServerId, ServeError> {
        self.get_request_up_to(now, get_port, usize::MAX)
    }

    /// The same; of the data of the request no more than `data_len_max` bytes are wanted.
    ///
    /// # Errors
    /// [`ServeError::BadPort`], [`ServeError::TryAgain`].
    pub fn get_request_up_to(
        &mut self,
        now: Instant,
        get_port: Port,
        data_len_max: usize,
    ) -> Result<ServerId, ServeError> {
        step!(self.config.walk);
        self.tick(now);
        if get_port.is_null() {
            return Err(ServeError::BadPort);
        }
        if !self.servers.has_room() {
            let servers = self.servers.len();
            return Err(ServeError::TryAgain { servers });
        }
        let port = self.put_port(get_port);
        let (index, serial) = self.servers.insert(Server {
            port,
            data_len_max,
            turn: Turn::Waiting,
        });
        self.waiting.entry(port).or_default().push_back(index);
        self.stats.servers_peak = self.stats.servers_peak.max(self.servers.len());
        // Who looks for the port may be here.
        self.serve_searching(port);
        Ok(ServerId { index, serial })
    }

    /// Answers the request that a server executes. Its turn ends with [`Event::ReplyDone`].
    ///
    /// # Errors
    /// [`ServeError::NotServing`], [`ServeError::TooBig`].
    pub fn put_reply(
        &mut self,
        now: Instant,
        server: ServerId,
        header: Header,
        data: &[u8],
    ) -> Result<(), ServeError> {
        step!(self.config.walk);
        self.tick(now);
        let client = self.client_of(server)?;
        let (size, size_max) = (data.len(), self.config.data_len_max);
        if size > size_max {
            return Err(ServeError::TooBig { size, size_max });
        }
        let repr = self.answer_repr(Kind::Reply, server.index, &client);
        let message = compose(&repr, &header, data);
        match client {
            Client::Local(transaction) => self.reply_locally(server, transaction, &message),
            Client::Remote { .. } => self.answer(server.index, client, repr, message),
        }
        Ok(())
    }

    /// A server waits no more, or goes away while it executes: then the client is told that the
    /// result is not known. Nothing happens to a server that has answered.
    pub fn cancel(&mut self, now: Instant, server: ServerId) {
        self.tick(now);
        let index = server.index;
        if self.servers.serial(index) != Some(server.serial) {
            return;
        }
        let gone = self.servers.get(index).expect("it has a serial");
        let port = gone.port;
        match gone.turn {
            Turn::Answered { .. } => return,
            Turn::Waiting => {
                if let Some(waiting) = self.waiting.get_mut(&port) {
                    waiting.retain(|&waiting| waiting != index);
                }
                if self
                    .waiting
                    .get(&port)
                    .is_some_and(|queue| queue.is_empty())
                {
                    self.waiting.remove(&port);
                }
            }
            Turn::Executing { client, .. } => {
                self.stats.mark(Mark::ServerCancelled);
                match client {
                    Client::Local(transaction) => self.fail_locally(transaction),
                    Client::Remote {
                        address,
                        tid,
                        index: to,
                        ..
                    } => {
                        self.serving.remove(&(address, tid));
                        let fail = Repr::new(Kind::Fail, tid, index, to);
                        self.send(address, &fail, Care::Answer);
                    }
                }
            }
        }
        self.servers.remove(index);
    }

    /// The process is about to end: every server goes away, so that no client has to find out from
    /// silence. Messages are then still to be sent.
    pub fn close(&mut self, now: Instant) {
        let servers = self.servers.iter();
        let all: Vec<ServerId> = servers
            .map(|(index, serial, _)| ServerId { index, serial })
            .collect();
        all.into_iter().for_each(|server| self.cancel(now, server));
    }

    /// Who is being served by this server.
    pub(crate) fn client_of(&self, server: ServerId) -> Result<Client, ServeError> {
        if self.servers.serial(server.index) != Some(server.serial) {
            return Err(ServeError::NotServing);
        }
        match self.servers.get(server.index).map(|server| &server.turn) {
            Some(Turn::Executing { client, .. }) => Ok(*client),
            _ => Err(ServeError::NotServing),
        }
    }

    pub(crate) fn answer_repr(&self, kind: Kind, index: u16, client: &Client) -> Repr {
        match client {
            Client::Local(_) => Repr::new(kind, Tid::new(0), index, 0),
            Client::Remote { tid, index: to, .. } => Repr::new(kind, *tid, index, *to),
        }
    }

    /// A request: executed if it is new and a server waits.
    pub(crate) fn on_request(&mut self, source: FlipAddress, repr: &Repr, message: &Bytes) {
        step!(self.config.walk);
        if repr.port.is_null() || repr.kid == KernelId::NULL {
            return self.stats.mark(Mark::Malformed);
        }
        let is_again = repr.flags.retrans;
        if self.is_served(source, repr) {
            if is_again {
                self.stats.mark(Mark::DuplicateAcked);
                return self.say(source, repr, Kind::Ack);
            }
            return self.stats.mark(Mark::DuplicateIgnored);
        }
        match self.executed.look(repr.kid, repr.tid) {
            Known::Executed if is_again => {
                self.stats.mark(Mark::DuplicateFailed);
                self.say(source, repr, Kind::Fail);
            }
            Known::Executed => self.stats.mark(Mark::DuplicateIgnored),
            Known::Refused => {
                self.stats.mark(Mark::RefusedAgain);
                self.say(source, repr, Kind::Nak);
            }
            Known::New => self.on_new_request(source, repr, message),
        }
    }

    fn on_new_request(&mut self, source: FlipAddress, repr: &Repr, message: &Bytes) {
        if !self.can_remember(source, repr) {
            return;
        }
        let Some(index) = self.take_waiting(repr.port) else {
            self.stats.mark(Mark::ServersBusy);
            return self.refuse(source, repr);
        };
        self.note_executed(repr);
        let client = Client::Remote {
            address: source,
            kid: repr.kid,
            tid: repr.tid,
            index: repr.from,
            round_trip: repr.dest,
        };
        self.serving.insert((source, repr.tid), index);
        self.stats.mark(Mark::RequestTaken);
        self.execute(index, client, source, message);
        // What took several packets is not sent again for want of a word.
        if self.config.is_long(message.len()) {
            self.stats.mark(Mark::LongRequestAcked);
            self.say(source, repr, Kind::Ack);
        }
    }

    fn note_executed(&mut self, repr: &Repr) {
        if sabotaged!(self.config, ForgetExecuted) {
            return;
        }
        let tid = match sabotaged!(self.config, MarkOffByOne) {
            true => repr.tid.next(),
            false => repr.tid,
        };
        self.executed.mark(self.now, repr.kid, tid, Known::Executed);
    }

    /// Hands a request to a server that waited.
    pub(crate) fn execute(
        &mut self,
        index: u16,
        client: Client,
        address: FlipAddress,
        message: &Bytes,
    ) {
        let serial = self.servers.serial(index).expect("it waited");
        let server = self.servers.get_mut(index).expect("it waited");
        assert!(
            matches!(server.turn, Turn::Waiting),
            "only who waits gets a request"
        );
        server.turn = Turn::Executing {
            client,
            signalled: false,
        };
        let (header, data, is_cut) = user_part(message, server.data_len_max);
        if is_cut {
            self.stats.mark(Mark::RequestTruncated);
        }
        self.tell(Event::Request {
            server: ServerId { index, serial },
            header,
            data,
            client: address,
        });
    }

    /// The server that has waited longest on a port.
    pub(crate) fn take_waiting(&mut self, port: Port) -> Option<u16> {
        let queue = self.waiting.get_mut(&port)?;
        let index = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&port);
        }
        index
    }

    /// Whether what becomes of the client's request can be remembered. If not, the client is told
    /// that nothing is known of it, now and for copies of it to come.
    fn can_remember(&mut self, source: FlipAddress, repr: &Repr) -> bool {
        let has_room = self.executed.has_room(self.now, repr.kid);
        if !has_room {
            self.stats.mark(Mark::NoClientRoom);
            self.say(source, repr, Kind::Fail);
        }
        has_room
    }

    /// `NAK`, and the number is dead.
    fn refuse(&mut self, source: FlipAddress, repr: &Repr) {
        if !sabotaged!(self.config, ForgetRefused) {
            self.executed
                .mark(self.now, repr.kid, repr.tid, Known::Refused);
        }
        self.say(source, repr, Kind::Nak);
    }

    /// A word about a request to the index it came from.
    fn say(&mut self, to: FlipAddress, repr: &Repr, kind: Kind) {
        let from = self.serving.get(&(to, repr.tid)).copied();
        let word = Repr::new(kind, repr.tid, from.unwrap_or(0), repr.from);
        self.send(to, &word, Care::Answer);
    }

    fn is_served(&self, source: FlipAddress, repr: &Repr) -> bool {
        self.serving.contains_key(&(source, repr.tid))
    }

    /// A client asks whether its request came.
    pub(crate) fn on_request_doubted(&mut self, source: FlipAddress, repr: &Repr) {
        if repr.kid == KernelId::NULL {
            return self.stats.mark(Mark::Malformed);
        }
        self.executed.touch(self.now, repr.kid);
        let known = self.executed.look(repr.kid, repr.tid);
        if known == Known::Executed && sabotaged!(self.config, NakExecuted) {
            return self.say(source, repr, Kind::Nak);
        }
        if self.is_served(source, repr) {
            return self.say(source, repr, Kind::Ack);
        }
        match known {
            Known::Executed => {
                self.stats.mark(Mark::DuplicateFailed);
                self.say(source, repr, Kind::Fail);
            }
            Known::Refused => {
                self.stats.mark(Mark::RefusedAgain);
                self.say(source, repr, Kind::Nak);
            }
            Known::New => {
                if self.can_remember(source, repr) {
                    self.stats.mark(Mark::RequestUnknown);
                    self.refuse(source, repr);
                }
            }
        }
    }

    /// A client asks whether its request is still executed, or wants that to end.
    pub(crate) fn on_enquire(&mut self, source: FlipAddress, repr: &Repr) {
        self.executed.touch(self.now, repr.kid);
        if let Some(&index) = self.serving.get(&(source, repr.tid)) {
            if repr.flags.signal {
                self.signal(index);
            }
            return self.say(source, repr, Kind::Alive);
        }
        let known = self.executed.look(repr.kid, repr.tid);
        let is_early = repr.flags.signal && repr.kid != KernelId::NULL && known != Known::Executed;
        if is_early && self.executed.has_room(self.now, repr.kid) {
            // The request is behind its signal, or lost: either way it is not wanted any more.
            self.stats.mark(Mark::SignalCancelled);
            return self.refuse(source, repr);
        }
        self.stats.mark(Mark::DuplicateFailed);
        self.say(source, repr, Kind::Fail);
    }

    /// Tells a server once that its client wants to end.
    pub(crate) fn signal(&mut self, index: u16) {
        let serial = self.servers.serial(index);
        let server = self.servers.get_mut(index);
        if let (Some(serial), Some(server)) = (serial, server)
            && let Turn::Executing { signalled, .. } = &mut server.turn
            && !std::mem::replace(signalled, true)
        {
            self.stats.mark(Mark::SignalDelivered);
            let server = ServerId { index, serial };
            self.tell(Event::Signalled { server });
        }
    }
}
