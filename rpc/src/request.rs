//! Sending a request, and asking about it after silence or a bounce.
//!
//! The request is sent again only under two conditions: the server said NAK, and so will never
//! execute that number, when a new number is taken; or FLIP gave it back, when the same number goes
//! to the same address, whose server knows it.
//!
//! Numbers run only so far ahead of the oldest request that a server may still have to take: a
//! server's window must never move over one, or it would count as executed.
//!
//! Implements: [Amoeba5] §2.5, §2.7, §2.8.
//! Differs: a request takes a new number after NAK; see `docs/differences.md`.

use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::time::Duration;

use crate::client::Phase;
use crate::config::sabotaged;
use crate::endpoint::{Care, Endpoint, recompose};
use crate::error::LostReason;
use crate::stats::Mark;
use crate::timers::Timer;
use crate::wire::{Flags, Kind, Repr};

impl Endpoint {
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
        if self.is_ahead(server) {
            return self.hold(index);
        }
        self.next_tid = tid.next();
        self.request(index, Care::Full);
    }

    /// Whether a new number would be so far ahead of one that the same server may still have to take
    /// that its window could move over that one.
    fn is_ahead(&self, server: FlipAddress) -> bool {
        let span_max = self.config.window / 2;
        self.transactions.iter().any(|(_, _, transaction)| {
            matches!(transaction.phase, Phase::Requested | Phase::Asked)
                && transaction.server == server
                && self.next_tid.distance(transaction.tid) >= span_max
        })
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
        let transfer = timing.transfer_after(transaction.message.len(), transaction.losses);
        let due = self.now + wait + transfer;
        self.timers.set(Timer::AskServer(index), due);
    }

    pub(crate) fn round_trip_of(&self, index: u16) -> Duration {
        let transaction = self.transactions.get(index).expect("it is under way");
        let known = self.cache.round_trip(transaction.port, transaction.server);
        known.unwrap_or(self.config.timing.round_trip)
    }

    /// The server was heard of: a measure, if exactly one question is open.
    pub(crate) fn measure(&mut self, index: u16) {
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

    pub(crate) fn enquire(&mut self, index: u16, care: Care) {
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
}

/// A round trip as `REQUEST` tells it: milliseconds, never 0, which means unknown.
fn millis(round_trip: Duration) -> u16 {
    let millis = round_trip.as_micros().div_ceil(1_000).max(1);
    u16::try_from(millis).unwrap_or(u16::MAX)
}
