//! Locating: which addresses are sought, how far the question goes next, and what waits.
//!
//! The question widens ring by ring. Amoeba 5 adds one to the hop count every 100 ms; the modern
//! timing starts at the weight of the cheapest network and doubles both distance and interval.
//! Where networks cannot multicast, listeners that came later are found by asking again in passing.
//! What is sent to an address that is being located queues behind the first and leaves in the
//! order of the calls.
//!
//! Who wants security asks over trusted networks only, so that a trusted way is found where a
//! faster one is not trusted. If nobody answers, the question goes everywhere, too, to tell what
//! cannot be reached from what cannot be reached safely.
//!
//! Only an answer to the last question counts under the modern timing: that question is still on
//! its way, makes boxes forget what they know, and a message sent on the strength of an earlier
//! answer would run into them. The interval doubles until it is longer than an answer takes.
//!
//! Implements: [Thesis §2.4.2], LOCATE; Fig. 7.1; facts sheet 1.9.
//! Differs: Amoeba 5 never asks with the security bit.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::interface::{SendError, SendOptions};
use super::{FlipBox, Mark, Undelivered};
use crate::address::{EndpointId, FlipAddress, InterfaceId};
use crate::config::{Rules, Timing};
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Kind, Repr};

const AMOEBA_INTERVAL: Duration = Duration::from_millis(100);
const MODERN_INTERVAL: Duration = Duration::from_millis(2);
/// Where the doubling of the modern interval ends.
const MODERN_INTERVAL_MAX: Duration = Duration::from_millis(100);

/// As long as so much of a locate's time is left, agreements are waited for.
const GATHER_TIME_MIN: Duration = Duration::from_millis(500);

/// How often a multicast address in use is asked for in passing.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);
/// How many such addresses are remembered.
pub(super) const REFRESHED_LEN_MAX: usize = 1_024;

/// How many endpoints a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// One, whichever.
    One,
    /// All; at least so many must be known where networks cannot multicast.
    Many(u16),
}

/// A message that waits for its destination to be found.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) endpoint: EndpointId,
    pub(crate) interface: InterfaceId,
    pub(crate) source: FlipAddress,
    pub(crate) destination: FlipAddress,
    pub(crate) message: u32,
    pub(crate) payload: Bytes,
    pub(crate) options: SendOptions,
    pub(crate) want: Want,
    pub(crate) begun: Instant,
}

#[derive(Debug)]
struct Locate {
    waiting: VecDeque<Waiting>,
    /// How far the last question went.
    hops: u16,
    /// How often it was asked.
    asked: u32,
    /// The last question: its number when asked everywhere, and when asked safely.
    plain: Option<u32>,
    secure: Option<u32>,
    interval: Duration,
    next: Instant,
}

/// The addresses that are sought.
#[derive(Debug, Default)]
pub(crate) struct Locates {
    sought: BTreeMap<FlipAddress, Locate>,
    bytes: usize,
    /// When multicast addresses were asked for in passing.
    refreshed: BTreeMap<FlipAddress, Instant>,
}

impl Locates {
    pub(crate) fn is_empty(&self) -> bool {
        self.sought.is_empty()
    }

    /// Addresses that are sought, bytes that wait, addresses that were asked for in passing.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.sought.len(), self.bytes, self.refreshed.len())
    }

    pub(crate) fn is_locating(&self, address: FlipAddress) -> bool {
        self.sought.contains_key(&address)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.sought.values().map(|locate| locate.next).min()
    }

    pub(crate) fn forget_endpoint(&mut self, endpoint: EndpointId) {
        let bytes = &mut self.bytes;
        self.sought.retain(|_, locate| {
            locate.waiting.retain(|waiting| {
                let keep = waiting.endpoint != endpoint;
                if !keep {
                    *bytes -= waiting.payload.len();
                }
                keep
            });
            !locate.waiting.is_empty()
        });
    }

    /// Takes out what `pick` picks from what waits for `address`, in order.
    fn take(
        &mut self,
        address: FlipAddress,
        mut pick: impl FnMut(&Waiting) -> bool,
    ) -> Vec<Waiting> {
        let Some(locate) = self.sought.get_mut(&address) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        for waiting in std::mem::take(&mut locate.waiting) {
            if pick(&waiting) {
                self.bytes -= waiting.payload.len();
                taken.push(waiting);
            } else {
                locate.waiting.push_back(waiting);
            }
        }
        if locate.waiting.is_empty() {
            self.sought.remove(&address);
        }
        taken
    }
}

impl FlipBox {
    /// Puts a message aside until its destination is found.
    pub(super) fn begin_locate(&mut self, waiting: Waiting) -> Result<(), SendError> {
        let locates = &mut self.locates;
        let bytes = locates.bytes + waiting.payload.len();
        if locates.bytes > 0 && bytes > self.config.waiting_bytes_max {
            return Err(SendError::NoRoom);
        }
        let address = waiting.destination;
        if !locates.sought.contains_key(&address) {
            if locates.sought.len() >= self.config.locates_len_max {
                return Err(SendError::NoRoom);
            }
            let (hops, interval) = self.first_ring(waiting.options.relocate);
            let next = self.now + interval;
            let locate = Locate {
                waiting: VecDeque::new(),
                hops,
                asked: 0,
                plain: None,
                secure: None,
                interval,
                next,
            };
            self.locates.sought.insert(address, locate);
            self.stats.locates += 1;
        }
        self.locates.bytes += waiting.payload.len();
        self.stats.waiting_bytes_peak = self.stats.waiting_bytes_peak.max(self.locates.bytes);
        let locate = self.locates.sought.get_mut(&address);
        let locate = locate.expect("inserted above");
        locate.waiting.push_back(waiting);
        if locate.waiting.len() == 1 {
            self.ask_for(address);
        }
        Ok(())
    }

    /// Asks once more for an address that is sought, for those who wait for it.
    fn ask_for(&mut self, address: FlipAddress) {
        let Some(locate) = self.locates.sought.get_mut(&address) else {
            return;
        };
        let first = locate.waiting.front().expect("a locate is for somebody");
        let (hops, source, interface) = (locate.hops, first.source, first.interface);
        let secure = |waiting: &Waiting| waiting.options.security;
        let is_secure = self.config.rules == Rules::Thesis && locate.waiting.iter().any(secure);
        let in_vain = locate.asked > 0 && hops >= self.config.hops_max;
        let is_plain = !is_secure || !locate.waiting.iter().all(secure) || in_vain;
        locate.asked += 1;
        // The secure one is last, so that what the boxes remember is the trusted way.
        let plain = is_plain.then(|| self.ask(address, hops, source, interface, false));
        let secure = is_secure.then(|| self.ask(address, hops, source, interface, true));
        let locate = self.locates.sought.get_mut(&address);
        let locate = locate.expect("asking ends no locate");
        (locate.plain, locate.secure) = (plain, secure);
    }

    /// Somebody answered: send what waited, unless a later question is still on its way.
    pub(super) fn on_answer(&mut self, address: FlipAddress, question: u32) {
        if self.config.timing == Timing::Amoeba5 {
            return self.satisfy(address);
        }
        let Some(locate) = self.locates.sought.get(&address) else {
            return;
        };
        if locate.secure == Some(question) {
            self.satisfy(address);
        } else if locate.plain == Some(question) {
            // The safe question, right behind, has an answer of its own.
            let secure_too = locate.secure.is_none();
            self.satisfy_waiting(address, secure_too, false);
        }
    }

    fn first_ring(&self, relocate: bool) -> (u16, Duration) {
        // Farther than anybody may travel: the boxes on the way forget what they know, and only
        // the endpoint itself answers.
        let everywhere = self.config.hops_max + 1;
        match self.config.timing {
            Timing::Amoeba5 => (if relocate { everywhere } else { 1 }, AMOEBA_INTERVAL),
            Timing::Modern if relocate => (everywhere, MODERN_INTERVAL),
            Timing::Modern => {
                let on = self.networks.iter().filter(|network| network.on);
                let cheapest = on.map(|network| network.link.weight).min();
                (
                    cheapest.unwrap_or(1).min(self.config.hops_max),
                    MODERN_INTERVAL,
                )
            }
        }
    }

    fn widen(&self, locate: &mut Locate) {
        let hops_max = self.config.hops_max;
        match self.config.timing {
            Timing::Amoeba5 if locate.hops < hops_max => locate.hops += 1,
            Timing::Amoeba5 => locate.interval = locate.interval.times(2),
            Timing::Modern => {
                if locate.hops < hops_max {
                    locate.hops = locate.hops.saturating_mul(2).min(hops_max);
                }
                locate.interval = locate.interval.times(2).min(MODERN_INTERVAL_MAX);
            }
        }
    }

    /// A multicast has gone to the known listeners. That enough of them are known does not mean
    /// that they are the right ones: some have left, others have come, and an answer may have been
    /// lost. So they are asked for again from time to time, and whoever answers gets the next one.
    pub(super) fn refresh(&mut self, repr: &Repr, by: InterfaceId) {
        let address = repr.destination;
        if self.is_blind() || self.config.timing == Timing::Amoeba5 {
            return;
        }
        let refreshed = &mut self.locates.refreshed;
        if refreshed
            .get(&address)
            .is_some_and(|at| self.now.since(*at) < REFRESH_INTERVAL)
        {
            return;
        }
        if refreshed.len() >= REFRESHED_LEN_MAX {
            refreshed.clear();
        }
        refreshed.insert(address, self.now);
        let security = repr.flags.security && self.config.rules == Rules::Thesis;
        self.ask(address, self.config.hops_max, repr.source, by, security);
    }

    fn ask(
        &mut self,
        address: FlipAddress,
        hops: u16,
        from: FlipAddress,
        by: InterfaceId,
        security: bool,
    ) -> u32 {
        let repr = Repr {
            kind: Kind::Locate,
            flags: Flags {
                security,
                ..Flags::default()
            },
            actual: 0,
            maximum: hops,
            destination: address,
            source: from,
            message: self.host.next_message(by),
            offset: 0,
            total: 0,
        };
        self.put_everywhere(repr, b"", None);
        repr.message
    }

    /// Deadlines of locates: ask farther away, or give up.
    pub(super) fn locate_again(&mut self) {
        let sought = self.locates.sought.iter();
        let due = sought
            .filter(|(_, locate)| locate.next <= self.now)
            .map(|(address, _)| *address);
        for address in due.collect::<Vec<_>>() {
            if self.config.timing == Timing::Amoeba5 {
                self.satisfy_waiting(address, true, true);
            }
            let now = self.now;
            let given_up = self.locates.take(address, |waiting| {
                now.since(waiting.begun) > waiting.options.locate_time
            });
            for waiting in given_up {
                if self.is_satisfied(address, waiting.want, waiting.options.security) {
                    self.finish_send(waiting);
                    continue;
                }
                let untrusted = self.is_satisfied(address, waiting.want, false);
                let reason = if untrusted {
                    Undelivered::Untrusted
                } else {
                    Undelivered::NotLocated
                };
                self.stats.mark(Mark::NotLocated);
                self.give_back(waiting, 0, reason);
            }
            let Some(mut locate) = self.locates.sought.remove(&address) else {
                continue;
            };
            self.widen(&mut locate);
            locate.next = self.now + locate.interval;
            self.locates.sought.insert(address, locate);
            self.ask_for(address);
        }
    }

    /// Something new is known about `address`: send what waited for it.
    pub(super) fn satisfy(&mut self, address: FlipAddress) {
        self.satisfy_waiting(address, true, false);
    }

    fn satisfy_waiting(&mut self, address: FlipAddress, secure_too: bool, at_deadline: bool) {
        if !self.locates.is_locating(address) {
            return;
        }
        let one = [false, true].map(|security| self.is_satisfied(address, Want::One, security));
        let totals = self.routes.totals(address, None);
        let local = self.host.count_of(address);
        let blind = self.is_blind();
        // The timing of Amoeba 5 lets answers to a question about many gather until its deadline,
        // and waits for data-link multicast addresses to be agreed on.
        let gathers =
            self.config.timing == Timing::Amoeba5 && !(at_deadline && self.has_gathered(address));
        let many = [totals.count, totals.trusted].map(|count| count.saturating_add(local));
        let ready = self.locates.take(address, |waiting| {
            if waiting.options.security && !secure_too {
                return false;
            }
            let security = usize::from(waiting.options.security);
            match waiting.want {
                Want::One => one[security],
                Want::Many(at_least) => blind || (!gathers && many[security] >= at_least),
            }
        });
        for waiting in ready {
            self.stats.mark(Mark::Located);
            self.finish_send(waiting);
        }
    }

    /// Whether nothing is gained by waiting longer for those who listen to `address`: all have
    /// agreed or refused, or hardly any time is left.
    fn has_gathered(&mut self, address: FlipAddress) -> bool {
        let waiting = self.locates.sought.get(&address);
        let waiting = waiting.into_iter().flat_map(|locate| &locate.waiting);
        let mut for_many = waiting.filter(|waiting| waiting.want != Want::One);
        let now = self.now;
        let in_time = for_many.any(|waiting| {
            let time = waiting.options.locate_time;
            now.since(waiting.begun) + GATHER_TIME_MIN <= time
        });
        !(in_time && self.awaits_listeners(address))
    }
}
