//! One transaction from request to acknowledged reply.
//!
//! ```text
//!  trans -> Locating --> Requested --silence--> Asked --ACK--> Accepted
//!              ^   HEREIS   |  ^      RECEIVED   |  |             | ENQUIRE, ALIVE
//!              |            |  +------ NAK ------+  +--FAIL-+     |
//!              +-- busy ----+                               v     v
//!                           +------- REPLY -----------> Replied, Failed
//! ```
//! A request is sent again only under two conditions: the server said NAK, and so will never
//! execute that number, when a new number is taken; or FLIP gave it back, when the same number goes
//! to the same address. Another server gets it only if the first one certainly has not executed it.
//!
//! Implements: [Thesis §2.5]; [Amoeba5] §2.5 to §2.8.
//! Differs: a request takes a new number after NAK; see `docs/differences.md`.

use bytes::Bytes;
use capability::{Header, Port};
use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::step;
use flip_net::time::{Duration, Instant};

use crate::config::sabotaged;
use crate::endpoint::{Care, Endpoint, compose, recompose, user_part};
use crate::error::{Failure, LostReason, TransError};
use crate::event::Event;
use crate::id::{ServerId, Tid, TransactionId};
use crate::locate::{Known, Search};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::wire::{Flags, Kind, Repr};

/// How often a refused request is sent to the same server again without looking elsewhere.
const EAGER_RESENDS: u32 = 4;

/// The data of a request or reply that the 16-bit calls of Amoeba take.
pub const SHORT_DATA_LEN_MAX: usize = 30_000;

/// What a client may say about one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransOptions {
    /// How long to look for a server that takes the request; the endpoint's own time if not told.
    pub locate_time: Option<Duration>,
    /// Bytes of the reply that are wanted; the rest is cut off without an error.
    pub reply_len_max: usize,
    /// Bytes that the request may have.
    pub data_len_max: usize,
}

impl Default for TransOptions {
    fn default() -> TransOptions {
        TransOptions {
            locate_time: None,
            reply_len_max: usize::MAX,
            data_len_max: usize::MAX,
        }
    }
}

impl TransOptions {
    /// Amoeba's 16-bit call.
    pub fn short() -> TransOptions {
        TransOptions {
            reply_len_max: SHORT_DATA_LEN_MAX,
            data_len_max: SHORT_DATA_LEN_MAX,
            ..TransOptions::default()
        }
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Looking for a server.
    Locating,
    /// The request was sent.
    Requested,
    /// The server was asked whether the request came.
    Asked,
    /// The server has the request. So many questions since it last was heard of.
    Accepted { silent: u32 },
    /// A server is known, but a new number would be too far ahead of the others.
    Held,
    /// A server of this very endpoint has it.
    Local { server: ServerId },
}

/// A transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) port: Port,
    /// The whole request; its first 24 bytes are written anew for each attempt.
    pub(crate) message: Bytes,
    reply_len_max: usize,
    locate_time: Duration,
    pub(crate) phase: Phase,
    pub(crate) tid: Tid,
    /// The server's address, or null while none was tried.
    pub(crate) server: FlipAddress,
    /// Copies of the request, under its present number, that the server may have got.
    copies: u32,
    /// How often it was sent under its present number.
    sent: u32,
    retries: u32,
    eager: u32,
    refusals: u32,
    /// Since when a server is looked for that takes it.
    searching: Option<Instant>,
    /// The client wants to end.
    aborted: bool,
    /// When the last question or request was sent; none once it was answered or doubled.
    asked_at: Option<Instant>,
}

impl Transaction {
    /// Whether no server has executed the request, or ever will.
    fn is_not_executed(&self) -> bool {
        self.copies == 0
    }
}

impl Endpoint {
    /// Begins a transaction with a server of the put-port in `header`. The outcome comes as
    /// [`Event::Replied`] or [`Event::Failed`].
    ///
    /// # Errors
    /// [`TransError`]; then nothing was begun.
    pub fn trans(
        &mut self,
        now: Instant,
        header: Header,
        data: &[u8],
    ) -> Result<TransactionId, TransError> {
        self.trans_with(now, header, data, TransOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// [`TransError`]; then nothing was begun.
    pub fn trans_with(
        &mut self,
        now: Instant,
        header: Header,
        data: &[u8],
        options: TransOptions,
    ) -> Result<TransactionId, TransError> {
        step!(self.config.walk);
        self.tick(now);
        if header.port.is_null() {
            return Err(TransError::BadPort);
        }
        let (size, size_max) = (
            data.len(),
            options.data_len_max.min(self.config.data_len_max),
        );
        if size > size_max {
            return Err(TransError::TooBig { size, size_max });
        }
        if !self.transactions.has_room() || self.is_ahead(self.config.window / 2) {
            self.stats.mark(Mark::TurnedAway);
            let under_way = self.transactions.len();
            return Err(TransError::TryAgain { under_way });
        }
        let repr = Repr::new(Kind::Request, self.next_tid, 0, 0);
        let (index, serial) = self.transactions.insert(Transaction {
            port: header.port,
            message: compose(&repr, &header, data),
            reply_len_max: options.reply_len_max,
            locate_time: options
                .locate_time
                .unwrap_or(self.config.timing.locate_time),
            phase: Phase::Locating,
            tid: self.next_tid,
            server: FlipAddress::NULL,
            copies: 0,
            sent: 0,
            retries: self.config.timing.retries,
            eager: EAGER_RESENDS,
            refusals: 0,
            searching: None,
            aborted: false,
            asked_at: None,
        });
        let peak = self.stats.transactions_peak.max(self.transactions.len());
        self.stats.transactions_peak = peak;
        self.seek(index);
        Ok(TransactionId { index, serial })
    }

    /// Ends a transaction if no server has it: its outcome then is [`Failure::Aborted`]. Otherwise
    /// the server is told, who decides; the outcome comes as always. Nothing happens to a
    /// transaction that has ended.
    pub fn abort(&mut self, now: Instant, transaction: TransactionId) {
        self.tick(now);
        let index = transaction.index;
        if self.transactions.serial(index) != Some(transaction.serial) {
            return;
        }
        let pending = self.transactions.get_mut(index).expect("it has a serial");
        pending.aborted = true;
        match pending.phase {
            Phase::Locating | Phase::Held => self.fail_aborted(index),
            Phase::Local { server } => self.signal(server.index),
            Phase::Requested | Phase::Asked | Phase::Accepted { .. } => {
                self.stats.mark(Mark::SignalSent);
                self.enquire(index, Care::Full);
            }
        }
    }

    /// Whether a new number would be so far ahead of one that a server may still have to take.
    /// The server's window must not move over that one: it would count as executed.
    fn is_ahead(&self, span_max: u32) -> bool {
        self.transactions.iter().any(|(_, _, transaction)| {
            matches!(transaction.phase, Phase::Requested | Phase::Asked)
                && self.next_tid.distance(transaction.tid) >= span_max
        })
    }

    /// Finds a server: here, in the cache, or by asking everybody.
    pub(crate) fn seek(&mut self, index: u16) {
        let transaction = self
            .transactions
            .get_mut(index)
            .expect("the caller has just seen it");
        let port = transaction.port;
        transaction.phase = Phase::Locating;
        // Who is only refused is given up in time, too.
        let since = transaction.searching.unwrap_or(self.now);
        let is_late = self.now.since(since) >= transaction.locate_time && transaction.refusals > 0;
        self.timers.clear(Timer::AskServer(index));
        if self.serve_locally(index) {
            return;
        }
        if is_late {
            return self.fail_not_found(index);
        }
        if let Some(known) = self.cache.first(self.now, port) {
            self.stats.mark(Mark::CacheHit);
            return self.request_anew(index, known.address);
        }
        self.join_search(port, index);
    }

    fn join_search(&mut self, port: Port, index: u16) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        transaction.searching.get_or_insert(self.now);
        let refusals = transaction.refusals;
        if let Some(search) = self.searches.get_mut(&port) {
            self.stats.mark(Mark::LocateShared);
            return search.waiting.push(index);
        }
        let mut search = Search::new(&self.config);
        search.waiting.push(index);
        self.searches.insert(port, search);
        if refusals <= EAGER_RESENDS + 1 {
            return self.locate_again(port);
        }
        // Whoever answered was taken by somebody else: let them finish.
        let doublings = (refusals - EAGER_RESENDS).min(8);
        let step = self.config.timing.locate_step.times(1 << doublings);
        let pause = step.min(self.config.timing.locate_step_max);
        self.timers.set(Timer::LocateAgain(port), self.now + pause);
    }

    /// Asks once more where the port is, unless it is time to give up.
    pub(crate) fn locate_again(&mut self, port: Port) {
        let Some(mut search) = self.searches.remove(&port) else {
            return;
        };
        let now = self.now;
        let tries = search.tries;
        let mut late = Vec::new();
        search.waiting.retain(|&index| {
            let transaction = self
                .transactions
                .get(index)
                .expect("who ends leaves its search");
            let since = transaction
                .searching
                .expect("who is in a search began to search");
            let is_late = tries > 0 && now.since(since) >= transaction.locate_time;
            if is_late {
                late.push(index);
            }
            !is_late
        });
        if !search.waiting.is_empty() {
            let (ring, pause) = search.next_ring(self.config.rules, &self.config.timing);
            let first = *search.waiting.first().expect("somebody waits");
            let clock = self.clock();
            let repr = Repr {
                port,
                ..Repr::new(Kind::Locate, Tid::new(clock), first, 0)
            };
            self.searches.insert(port, search);
            self.timers.set(Timer::LocateAgain(port), now + pause);
            self.stats.mark(match tries {
                0 => Mark::LocateSent,
                _ => Mark::LocateRepeated,
            });
            self.broadcast(&repr, ring);
        } else {
            self.timers.clear(Timer::LocateAgain(port));
        }
        for index in late {
            self.stats.mark(Mark::PortNotFound);
            self.fail_not_found(index);
        }
    }

    /// The clock that locates carry, in units of the timing.
    fn clock(&self) -> u32 {
        (self.now.as_micros() / self.config.timing.clock_unit.as_micros().max(1)) as u32
    }

    /// A server of a port says where it is.
    pub(crate) fn on_here_is(&mut self, source: FlipAddress, repr: &Repr) {
        if repr.port.is_null() {
            return self.stats.mark(Mark::Malformed);
        }
        let units = self.clock().wrapping_sub(repr.tid.value());
        let timing = &self.config.timing;
        let measured = match timing.clock_unit.times(u64::from(units)) {
            // A clock that stood still, or an answer that is no answer to us.
            Duration::ZERO => timing.round_trip,
            round_trip => round_trip.min(timing.round_trip_max),
        };
        let known = Known {
            address: source,
            round_trip: measured,
        };
        self.cache.add(self.now, repr.port, known);
        self.release(repr.port);
    }

    /// Sets going whoever waits for the port.
    pub(crate) fn release(&mut self, port: Port) {
        let Some(search) = self.searches.remove(&port) else {
            return;
        };
        self.timers.clear(Timer::LocateAgain(port));
        self.stats.mark(Mark::PortFound);
        for index in search.waiting {
            self.seek(index);
        }
    }

    /// Sends the request under a new number.
    pub(crate) fn request_anew(&mut self, index: u16, server: FlipAddress) {
        let tid = self.next_tid;
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        if !transaction.server.is_null() && transaction.server != server {
            self.stats.mark(Mark::ServerChanged);
        }
        transaction.tid = tid;
        transaction.server = server;
        transaction.copies = 0;
        transaction.sent = 0;
        if server == self.address {
            // A forwarding server named this endpoint, and no server waits here.
            return self.refused(index);
        }
        // What is sent again may go further ahead than what begins.
        if self.is_ahead(self.config.window / 4 * 3) {
            return self.hold(index);
        }
        self.next_tid = tid.next();
        self.request(index, Care::Full);
    }

    /// Waits until older requests are known to have come, or to be lost.
    fn hold(&mut self, index: u16) {
        self.stats.mark(Mark::RequestHeld);
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        transaction.phase = Phase::Held;
        transaction.searching.get_or_insert(self.now);
        let again = self.now + self.config.timing.locate_step;
        self.timers.set(Timer::AskServer(index), again);
    }

    /// The held request is sent now, if that is possible and not too late.
    fn send_held(&mut self, index: u16) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let since = transaction.searching.unwrap_or(self.now);
        if self.now.since(since) >= transaction.locate_time {
            return self.fail_not_found(index);
        }
        let server = transaction.server;
        self.request_anew(index, server);
    }

    /// Sends the request under the number it has.
    fn request(&mut self, index: u16, care: Care) {
        let now = self.now;
        let round_trip = self.round_trip_of(index);
        let kid = self.kid;
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let is_again = transaction.sent > 0 || transaction.refusals > 0;
        let repr = Repr {
            kid,
            port: transaction.port,
            flags: Flags {
                retrans: is_again,
                ..Flags::NONE
            },
            dest: millis(round_trip),
            ..Repr::new(Kind::Request, transaction.tid, index, 0)
        };
        let message = recompose(std::mem::take(&mut transaction.message), &repr);
        transaction.message = message.clone();
        transaction.phase = Phase::Requested;
        transaction.sent += 1;
        transaction.copies += 1;
        transaction.asked_at = (transaction.sent == 1).then_some(now);
        let server = transaction.server;
        self.stats.mark(Mark::RequestSent);
        self.send_message(server, Kind::Request, message, care);
        self.await_answer(index, 0);
    }

    /// Sets the time at which the server is asked whether it has the request.
    fn await_answer(&mut self, index: u16, count: u32) {
        let timing = self.config.timing;
        let round_trip = self.round_trip_of(index);
        let transaction = self.transactions.get(index).expect("it is under way");
        let first = round_trip + timing.reply;
        let wait = timing.wait(first, count, timing.reply_max.max(first));
        let due = self.now + wait + timing.transfer(transaction.message.len());
        self.timers.set(Timer::AskServer(index), due);
    }

    fn round_trip_of(&self, index: u16) -> Duration {
        let transaction = self.transactions.get(index).expect("it is under way");
        let known = self.cache.round_trip(transaction.port, transaction.server);
        known.unwrap_or(self.config.timing.round_trip)
    }

    /// Silence: ask, or give up.
    pub(crate) fn ask_server(&mut self, index: u16) {
        let silent_max = self.config.timing.silent_max;
        let Some(transaction) = self.transactions.get_mut(index) else {
            return;
        };
        match transaction.phase {
            Phase::Locating | Phase::Local { .. } => {}
            Phase::Held => self.send_held(index),
            Phase::Requested | Phase::Asked => {
                if sabotaged!(self.config, ResendInsteadOfAsking) {
                    let server = transaction.server;
                    return self.request_anew(index, server);
                }
                if sabotaged!(self.config, NewServerAfterTimeout) {
                    let (port, server) = (transaction.port, transaction.server);
                    self.cache.forget(port, server);
                    return self.seek(index);
                }
                self.doubt(index);
            }
            Phase::Accepted { silent } if silent >= silent_max => {
                self.lose(index, LostReason::Silent);
            }
            Phase::Accepted { silent } => {
                transaction.phase = Phase::Accepted { silent: silent + 1 };
                let care = match silent > silent_max / 2 {
                    true => Care::Relocate,
                    false => Care::Full,
                };
                let next = self.now + self.config.timing.keep_alive;
                self.timers.set(Timer::AskServer(index), next);
                self.enquire(index, care);
            }
        }
    }

    /// Asks whether the request came; one question fewer is left.
    fn doubt(&mut self, index: u16) {
        let (now, kid, retries_all) = (self.now, self.kid, self.config.timing.retries);
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        transaction.retries -= 1;
        let left = transaction.retries;
        if left == 0 {
            return self.lose(index, LostReason::Silent);
        }
        let is_first = transaction.phase == Phase::Requested;
        transaction.phase = Phase::Asked;
        transaction.asked_at = is_first.then_some(now);
        let repr = Repr {
            kid,
            flags: Flags::REQUEST,
            ..Repr::new(Kind::Received, transaction.tid, index, 0)
        };
        let server = transaction.server;
        let care = match left <= retries_all / 2 {
            true => Care::Relocate,
            false => Care::Full,
        };
        self.stats.mark(Mark::RequestDoubted);
        self.send(server, &repr, care);
        self.await_answer(index, retries_all - left);
    }

    fn enquire(&mut self, index: u16, care: Care) {
        let (now, kid) = (self.now, self.kid);
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let is_first = matches!(transaction.phase, Phase::Accepted { silent: 0 | 1 });
        transaction.asked_at = is_first.then_some(now);
        let repr = Repr {
            kid,
            flags: Flags {
                signal: transaction.aborted,
                ..Flags::NONE
            },
            ..Repr::new(Kind::Enquire, transaction.tid, index, 0)
        };
        let server = transaction.server;
        self.stats.mark(Mark::Enquired);
        self.send(server, &repr, care);
    }

    /// The transaction that an answer of a server is about, if it waits for one.
    pub(crate) fn answered(&mut self, source: FlipAddress, repr: &Repr) -> Option<u16> {
        let index = repr.dest;
        let transaction = self.transactions.get(index)?;
        let is_sent = matches!(
            transaction.phase,
            Phase::Requested | Phase::Asked | Phase::Accepted { .. }
        );
        let any = sabotaged!(self.config, AcceptAnyReply) && repr.kind == Kind::Reply;
        let is_ours = transaction.server == source && (transaction.tid == repr.tid || any);
        (is_sent && is_ours).then_some(index)
    }

    /// The server was heard of: a measure, if exactly one question is open.
    fn measure(&mut self, index: u16) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let Some(asked_at) = transaction.asked_at.take() else {
            return;
        };
        let (port, server) = (transaction.port, transaction.server);
        if self.config.timing.adaptive && !self.config.is_long(transaction.message.len()) {
            let sample = self.now.since(asked_at);
            let sample = sample.min(self.config.timing.round_trip_max);
            self.cache.measured(port, server, sample);
        }
    }

    /// The server has the request.
    pub(crate) fn accepted(&mut self, index: u16) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        if !matches!(transaction.phase, Phase::Accepted { .. }) {
            self.stats.mark(Mark::RequestAcked);
        }
        transaction.phase = Phase::Accepted { silent: 0 };
        transaction.retries = self.config.timing.retries;
        let next = self.now + self.config.timing.keep_alive;
        self.timers.set(Timer::AskServer(index), next);
    }

    /// `ACK`: of a request if a transaction waits for it, else of a reply.
    pub(crate) fn on_ack(&mut self, source: FlipAddress, repr: &Repr) {
        if self.on_reply_acked(source, repr) {
            return;
        }
        let Some(index) = self.answered(source, repr) else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        self.measure(index);
        let was_accepted = matches!(
            self.transactions.get(index).expect("it is under way").phase,
            Phase::Accepted { .. }
        );
        // A signal may have come before its request.
        let aborted = self
            .transactions
            .get(index)
            .is_some_and(|transaction| transaction.aborted);
        self.accepted(index);
        if aborted && !was_accepted {
            self.enquire(index, Care::Full);
        }
    }

    /// The server still executes the request.
    pub(crate) fn on_alive(&mut self, source: FlipAddress, repr: &Repr) {
        let Some(index) = self.answered(source, repr) else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        self.measure(index);
        self.stats.mark(Mark::ServerAlive);
        self.accepted(index);
    }

    /// The server will never execute this number.
    pub(crate) fn on_request_refused(&mut self, source: FlipAddress, repr: &Repr) {
        let Some(index) = self.answered(source, repr) else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let (phase, server) = (transaction.phase, transaction.server);
        if matches!(phase, Phase::Accepted { .. }) {
            return self.stats.mark(Mark::OutOfPhase);
        }
        transaction.copies = 0;
        transaction.refusals += 1;
        if transaction.aborted {
            return self.fail_aborted(index);
        }
        if phase == Phase::Asked {
            // It was lost, or the first NAK was.
            self.stats.mark(Mark::RequestLost);
            transaction.retries -= 1;
            if transaction.retries == 0 {
                return self.refused(index);
            }
            self.measure(index);
            self.stats.mark(Mark::RequestRenumbered);
            return self.request_anew(index, server);
        }
        self.stats.mark(Mark::RequestRefused);
        let is_long = self.config.is_long(transaction.message.len());
        if transaction.eager == 0 || is_long {
            return self.refused(index);
        }
        transaction.eager -= 1;
        self.stats.mark(Mark::RequestRenumbered);
        self.request_anew(index, server);
    }

    /// The server at hand does not take the request, for certain: look for another one.
    fn refused(&mut self, index: u16) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        assert!(transaction.is_not_executed(), "{transaction:?}");
        // However it was refused, it counts: what is refused for too long is given up.
        transaction.refusals = transaction.refusals.max(1);
        transaction.searching.get_or_insert(self.now);
        let (port, server) = (transaction.port, transaction.server);
        transaction.retries = self.config.timing.retries;
        if self.cache.forget(port, server) {
            self.stats.mark(Mark::ServerForgotten);
        }
        self.seek(index);
    }

    /// The server had the request, and does not know its result.
    pub(crate) fn on_fail(&mut self, source: FlipAddress, repr: &Repr) {
        let Some(index) = self.answered(source, repr) else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        self.stats.mark(Mark::ServerFailed);
        self.lose(index, LostReason::Failed);
    }

    /// The result; acknowledged in any case, so that the server can go on.
    pub(crate) fn on_reply(&mut self, source: FlipAddress, repr: &Repr, message: &Bytes) {
        step!(self.config.walk);
        let waiting = self.answered(source, repr);
        self.acknowledge(source, repr, waiting.is_none());
        let Some(index) = waiting else {
            return;
        };
        self.stats.mark(Mark::ReplyTaken);
        // A fast answer is a measure; a slow one measures the server.
        let known = self.round_trip_of(index);
        let asked_at = self.transactions.get(index).expect("it is under way");
        if asked_at
            .asked_at
            .is_some_and(|at| self.now.since(at) <= known.times(2))
        {
            self.measure(index);
        }
        self.finish(index, message);
    }

    /// Tells the owner the result and ends the transaction.
    pub(crate) fn finish(&mut self, index: u16, message: &Bytes) {
        let transaction = self.transactions.get(index).expect("it is under way");
        let (header, data, is_cut) = user_part(message, transaction.reply_len_max);
        if is_cut {
            self.stats.mark(Mark::ReplyTruncated);
        }
        let (transaction, _) = self.remove(index);
        self.tell(Event::Replied {
            transaction,
            header,
            data,
        });
    }

    /// `ACK` for a reply, a forward, or a question about one.
    pub(crate) fn acknowledge(&mut self, to: FlipAddress, repr: &Repr, is_stale: bool) {
        let ack = Repr::new(Kind::Ack, repr.tid, repr.dest, repr.from);
        if is_stale {
            self.stats.mark(Mark::ReplyStale);
            self.send(to, &ack, Care::Answer);
        } else {
            self.send(to, &ack, Care::Full);
        }
    }

    /// A server asks whether its reply came.
    pub(crate) fn on_reply_doubted(&mut self, source: FlipAddress, repr: &Repr) {
        let Some(index) = self.answered(source, repr) else {
            return self.acknowledge(source, repr, true);
        };
        self.stats.mark(Mark::ReplyMissed);
        // Who answers has the request.
        self.accepted(index);
        let nak = Repr::new(Kind::Nak, repr.tid, repr.dest, repr.from);
        self.send(source, &nak, Care::Answer);
    }

    /// FLIP gave a request back.
    pub(crate) fn on_request_bounced(&mut self, to: FlipAddress, repr: &Repr, reason: Undelivered) {
        let Some(index) = self.bounced(to, repr) else {
            return;
        };
        let is_proof = sabotaged!(self.config, BounceIsProof) || !self.config.duplicating;
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let is_short = !self.config.is_long(transaction.message.len());
        let certain = match reason {
            // It never left, or not the box that knows of no safe way.
            Undelivered::NotLocated | Undelivered::Untrusted => true,
            Undelivered::NotHere => is_proof && is_short,
        };
        if certain {
            transaction.copies = transaction.copies.saturating_sub(1);
        }
        self.mend_path(index, reason, Kind::Request);
    }

    /// FLIP gave a question about a request back.
    pub(crate) fn on_question_bounced(
        &mut self,
        to: FlipAddress,
        repr: &Repr,
        reason: Undelivered,
    ) {
        if let Some(index) = self.bounced(to, repr) {
            self.mend_path(index, reason, repr.kind);
        }
    }

    /// The transaction whose message to a server came back.
    fn bounced(&self, to: FlipAddress, repr: &Repr) -> Option<u16> {
        let index = repr.from;
        let transaction = self.transactions.get(index)?;
        let is_sent = matches!(
            transaction.phase,
            Phase::Requested | Phase::Asked | Phase::Accepted { .. }
        );
        (is_sent && transaction.server == to && transaction.tid == repr.tid).then_some(index)
    }

    /// After a bounce: the same message to the same address by another way, or what follows if
    /// there is none.
    fn mend_path(&mut self, index: u16, reason: Undelivered, kind: Kind) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        let is_accepted = matches!(transaction.phase, Phase::Accepted { .. });
        match reason {
            Undelivered::NotLocated => {
                self.stats.mark(Mark::ServerGone);
                self.lose(index, LostReason::Gone);
            }
            Undelivered::Untrusted => self.lose(index, LostReason::Untrusted),
            // The server has it: a request that comes back was a spare copy.
            Undelivered::NotHere if is_accepted && kind == Kind::Request => {}
            Undelivered::NotHere if is_accepted => self.enquire(index, Care::Relocate),
            Undelivered::NotHere if kind == Kind::Request => {
                transaction.retries -= 1;
                if transaction.retries == 0 {
                    return self.lose(index, LostReason::Gone);
                }
                self.stats.mark(Mark::RequestRerouted);
                self.request(index, Care::Relocate);
            }
            Undelivered::NotHere => self.doubt(index),
        }
    }

    /// There is no contact with the server. If it has certainly not executed the request another
    /// one may; otherwise that is the end.
    pub(crate) fn lose(&mut self, index: u16, why: LostReason) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        if sabotaged!(self.config, HopeForTheBest) {
            transaction.copies = 0;
        }
        let (port, server) = (transaction.port, transaction.server);
        if !transaction.is_not_executed() {
            if self.cache.forget(port, server) {
                self.stats.mark(Mark::ServerForgotten);
            }
            self.stats.mark(Mark::ContactLost);
            return self.fail(index, Failure::ContactLost { port, server, why });
        }
        if transaction.aborted {
            return self.fail_aborted(index);
        }
        if why == LostReason::Untrusted {
            self.cache.forget(port, server);
            self.stats.mark(Mark::NotExecuted);
            return self.fail(index, Failure::Unsafe { port, server });
        }
        self.refused(index);
    }

    fn fail_not_found(&mut self, index: u16) {
        let transaction = self.transactions.get(index).expect("it is under way");
        let since = transaction.searching.unwrap_or(self.now);
        let failure = Failure::NotFound {
            port: transaction.port,
            searched: self.now.since(since),
            refusals: transaction.refusals,
        };
        self.stats.mark(Mark::NotExecuted);
        self.fail(index, failure);
    }

    fn fail_aborted(&mut self, index: u16) {
        let transaction = self.transactions.get(index).expect("it is under way");
        let port = transaction.port;
        self.stats.mark(Mark::AbortedEarly);
        self.stats.mark(Mark::NotExecuted);
        self.fail(index, Failure::Aborted { port });
    }

    /// Tells the owner that there is no reply and ends the transaction.
    pub(crate) fn fail(&mut self, index: u16, error: Failure) {
        let (transaction, ended) = self.remove(index);
        assert!(
            !error.was_not_executed() || ended.is_not_executed(),
            "{error} is not certain: {ended:?}"
        );
        self.tell(Event::Failed { transaction, error });
    }

    fn remove(&mut self, index: u16) -> (TransactionId, Transaction) {
        let (serial, ended) = self.transactions.remove(index).expect("it is under way");
        self.timers.clear(Timer::AskServer(index));
        self.leave_search(ended.port, index);
        (TransactionId { index, serial }, ended)
    }

    /// A transaction looks for the port no more; nobody does if it was the last.
    pub(crate) fn leave_search(&mut self, port: Port, index: u16) {
        let Some(search) = self.searches.get_mut(&port) else {
            return;
        };
        search.waiting.retain(|&waiting| waiting != index);
        if search.waiting.is_empty() {
            self.searches.remove(&port);
            self.timers.clear(Timer::LocateAgain(port));
        }
    }

    /// Everything begins anew with a server that another one named.
    pub(crate) fn turn_to(&mut self, index: u16, server: FlipAddress) {
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        transaction.copies = 0;
        transaction.eager = EAGER_RESENDS;
        transaction.retries = self.config.timing.retries;
        transaction.refusals = 0;
        transaction.searching = None;
        if transaction.aborted {
            return self.fail_aborted(index);
        }
        if server == self.address && self.serve_locally(index) {
            return;
        }
        self.request_anew(index, server);
    }
}

/// A round trip as `REQUEST` tells it: milliseconds, never 0, which means unknown.
fn millis(round_trip: Duration) -> u16 {
    let millis = round_trip.as_micros().div_ceil(1_000).max(1);
    u16::try_from(millis).unwrap_or(u16::MAX)
}
