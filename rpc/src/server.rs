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
use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::step;
use flip_net::time::{Duration, Instant};

use crate::config::sabotaged;
use crate::endpoint::{Care, Endpoint, compose, recompose, user_part};
use crate::error::{ReplyOutcome, ServeError};
use crate::event::Event;
use crate::executed::Known;
use crate::id::{KernelId, ServerId, Tid, TransactionId};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::wire::{Flags, Kind, Repr};

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

    /// Sends an answer to a client elsewhere and keeps it until it is acknowledged.
    pub(crate) fn answer(&mut self, index: u16, client: Client, repr: Repr, message: Bytes) {
        let Client::Remote {
            address,
            kid,
            round_trip,
            ..
        } = client
        else {
            unreachable!("local clients get their answers without messages");
        };
        let timing = self.config.timing;
        let told = Duration::from_millis(u64::from(round_trip));
        let first_wait = match round_trip {
            1..=30_000 => told
                .times(timing.ack_round_trips)
                .max(timing.ack_min)
                .min(timing.ack_max),
            _ => timing.ack_max,
        };
        let server = self.servers.get_mut(index).expect("it executes");
        server.turn = Turn::Answered {
            address,
            repr,
            kid,
            message: message.clone(),
            first_wait,
            retries: timing.ack_retries,
        };
        self.executed.touch(self.now, kid);
        let len = message.len();
        self.send_message(address, repr.kind, message, Care::Full);
        let due = self.now + first_wait + timing.transfer(len);
        self.timers.set(Timer::AskClient(index), due);
        if sabotaged!(self.config, DropReplyEarly) {
            self.end_turn(index, ReplyOutcome::Acknowledged);
        }
    }

    /// Who serves a port says so.
    pub(crate) fn on_locate(&mut self, source: FlipAddress, repr: &Repr) {
        let waiting = self.waiting.get(&repr.port).and_then(|queue| queue.front());
        let Some(&index) = waiting else {
            return;
        };
        self.stats.mark(Mark::LocateAnswered);
        let here = Repr {
            port: repr.port,
            ..Repr::new(Kind::HereIs, repr.tid, index, repr.from)
        };
        self.send(source, &here, Care::Answer);
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

    /// `NAK` of a client: the reply did not come. `NAK` of a server: the request will never be
    /// executed.
    pub(crate) fn on_nak(&mut self, source: FlipAddress, repr: &Repr) {
        let Some(index) = self.answered_by(source, repr) else {
            return self.on_request_refused(source, repr);
        };
        let server = self.servers.get_mut(index).expect("it answered");
        let Turn::Answered {
            repr,
            message,
            first_wait,
            ..
        } = &mut server.turn
        else {
            unreachable!("only who answered is found");
        };
        repr.flags = Flags::RETRANS;
        let again = recompose(std::mem::take(message), repr);
        *message = again.clone();
        let due = self.now + *first_wait + self.config.timing.transfer(again.len());
        let kind = repr.kind;
        self.stats.mark(Mark::ReplyResent);
        self.timers.set(Timer::AskClient(index), due);
        self.send_message(source, kind, again, Care::Full);
    }

    /// The client has the reply. Says whether the word was for a server here.
    pub(crate) fn on_reply_acked(&mut self, source: FlipAddress, repr: &Repr) -> bool {
        let Some(index) = self.answered_by(source, repr) else {
            return false;
        };
        self.stats.mark(Mark::ReplyAcked);
        self.end_turn(index, ReplyOutcome::Acknowledged);
        true
    }

    /// The server whose answer a client speaks about.
    fn answered_by(&self, source: FlipAddress, repr: &Repr) -> Option<u16> {
        let server = self.servers.get(repr.dest)?;
        let Turn::Answered {
            address,
            repr: answer,
            ..
        } = &server.turn
        else {
            return None;
        };
        let any = sabotaged!(self.config, AckOfAnything) && repr.kind == Kind::Ack;
        let is_same = answer.tid == repr.tid && answer.dest == repr.from;
        (*address == source && (is_same || any)).then_some(repr.dest)
    }

    /// Nobody acknowledged: ask, or give up.
    pub(crate) fn ask_client(&mut self, index: u16) {
        self.ask_client_with(index, false);
    }

    fn ask_client_with(&mut self, index: u16, relocate: bool) {
        let timing = self.config.timing;
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        let Turn::Answered {
            address,
            repr,
            message,
            first_wait,
            retries,
            ..
        } = &mut server.turn
        else {
            return;
        };
        if *retries == 0 {
            self.stats.mark(Mark::ReplyGivenUp);
            return self.end_turn(index, ReplyOutcome::GivenUp);
        }
        *retries -= 1;
        let asked = timing.ack_retries - *retries;
        let wait = timing.wait(*first_wait, asked, timing.ack_max.max(*first_wait));
        let due = self.now + wait + timing.transfer(message.len());
        let question = Repr {
            flags: Flags::REPLY,
            ..Repr::new(Kind::Received, repr.tid, index, repr.dest)
        };
        let care = match relocate || *retries <= timing.ack_retries / 2 {
            true => Care::Relocate,
            false => Care::Full,
        };
        let to = *address;
        self.stats.mark(Mark::ReplyDoubted);
        self.timers.set(Timer::AskClient(index), due);
        self.send(to, &question, care);
    }

    /// FLIP gave a reply back, or a question about one.
    pub(crate) fn on_reply_bounced(&mut self, to: FlipAddress, repr: &Repr, reason: Undelivered) {
        let index = repr.from;
        let Some(server) = self.servers.get(index) else {
            return;
        };
        match &server.turn {
            Turn::Answered {
                address,
                repr: answer,
                ..
            } if *address == to && answer.tid == repr.tid => {}
            _ => return,
        }
        match reason {
            Undelivered::NotHere => self.ask_client_with(index, true),
            Undelivered::NotLocated | Undelivered::Untrusted => {
                self.stats.mark(Mark::ClientGone);
                self.end_turn(index, ReplyOutcome::ClientGone);
            }
        }
    }

    /// The turn is over and the reply is not kept any longer.
    pub(crate) fn end_turn(&mut self, index: u16, outcome: ReplyOutcome) {
        let (serial, server) = self.servers.remove(index).expect("it had a turn");
        self.timers.clear(Timer::AskClient(index));
        if let Turn::Answered {
            address, repr, kid, ..
        } = server.turn
        {
            self.serving.remove(&(address, repr.tid));
            self.executed.touch(self.now, kid);
        }
        let server = ServerId { index, serial };
        self.tell(Event::ReplyDone { server, outcome });
    }
}
