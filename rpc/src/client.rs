//! One transaction from request to acknowledged reply.
//!
//! ```text
//!  trans -> Locating --> Requested --silence--> Asked --ACK--> Accepted
//!              ^   HEREIS   |  ^      RECEIVED   |  |             | ENQUIRE, ALIVE
//!              |            |  +------ NAK ------+  +--FAIL-+     |
//!              +-- busy ----+                               v     v
//!                           +------- REPLY -----------> Replied, Failed
//! ```
//! Another server gets the request only if the first one certainly has not executed it. `locate.rs`
//! has the left half of the picture, `request.rs` the middle; here are its two ends.
//!
//! Implements: [Thesis §2.5]; [Amoeba5] §2.6 to §2.8.

use bytes::Bytes;
use capability::{Header, Port};
use flip_net::address::FlipAddress;
use flip_net::step;
use flip_net::time::{Duration, Instant};

use crate::config::sabotaged;
use crate::endpoint::{Care, Endpoint, compose, user_part};
use crate::error::{Failure, LostReason, TransError};
use crate::event::Event;
use crate::id::{ServerId, Tid, TransactionId};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::wire::{Kind, Repr};

/// How often a refused request is sent to the same server again without looking elsewhere.
pub(crate) const EAGER_RESENDS: u32 = 4;

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
    pub(crate) reply_len_max: usize,
    pub(crate) locate_time: Duration,
    pub(crate) phase: Phase,
    pub(crate) tid: Tid,
    /// The server's address, or null while none was tried.
    pub(crate) server: FlipAddress,
    /// Copies of the request, under its present number, that the server may have got.
    pub(crate) copies: u32,
    /// How often it was sent under its present number.
    pub(crate) sent: u32,
    pub(crate) retries: u32,
    pub(crate) eager: u32,
    pub(crate) refusals: u32,
    /// How often it was lost, or not yet complete when the server was asked.
    pub(crate) losses: u32,
    /// Since when a server is looked for that takes it.
    pub(crate) searching: Option<Instant>,
    /// The client wants to end.
    pub(crate) aborted: bool,
    /// When the last question or request was sent; none once it was answered or doubled.
    pub(crate) asked_at: Option<Instant>,
}

impl Transaction {
    /// Whether no server has executed the request, or ever will.
    pub(crate) fn is_not_executed(&self) -> bool {
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
        if !self.transactions.has_room() {
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
            losses: 0,
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
            transaction.losses += 1;
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
    pub(crate) fn refused(&mut self, index: u16) {
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

    pub(crate) fn fail_not_found(&mut self, index: u16) {
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

    pub(crate) fn fail_aborted(&mut self, index: u16) {
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
