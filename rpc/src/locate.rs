//! From port to FLIP address: known servers first, then broadcasts in widening rings.
//!
//! All transactions that want a port share its broadcasts. Every answer is remembered, asked for or
//! not; the first one sets the transactions going. A process answers if one of its servers waits.
//!
//! Implements: [Thesis §2.5], locating ports; [Amoeba5] §2.5, §2.6.
//! Differs: transactions share a locate.

use capability::Port;
use flip_net::address::FlipAddress;
use flip_net::time::Duration;

use crate::cache::{Known, Search};
use crate::client::{EAGER_RESENDS, Phase};
use crate::endpoint::{Care, Endpoint};
use crate::id::Tid;
use crate::stats::Mark;
use crate::timers::Timer;
use crate::wire::{Kind, Repr};

impl Endpoint {
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
}
