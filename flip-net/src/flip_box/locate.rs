//! Locating: which addresses are sought, how far the question goes next, and what waits.
//!
//! The question widens ring by ring. Amoeba 5 adds one to the hop count every 100 ms; the modern
//! timing starts at the weight of the cheapest network and doubles both distance and interval.
//! Where networks cannot multicast, listeners that came later are found by asking again in passing.
//! What is sent to an address that is being located queues behind the first and leaves in the
//! order of the calls.
//!
//! Implements: [Thesis §2.4.2], LOCATE; facts sheet 1.9.

use std::collections::{BTreeMap, VecDeque};

use super::interface::{SendError, SendOptions};
use super::{FlipBox, Undelivered};
use crate::address::{EndpointId, FlipAddress, InterfaceId};
use crate::config::Timing;
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
const REFRESHED_LEN_MAX: usize = 1_024;

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
    pub(crate) payload: Vec<u8>,
    pub(crate) options: SendOptions,
    pub(crate) want: Want,
    pub(crate) begun: Instant,
}

#[derive(Debug)]
struct Locate {
    waiting: VecDeque<Waiting>,
    /// How far the last question went.
    hops: u16,
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
        if locates.bytes + waiting.payload.len() > self.config.waiting_bytes_max {
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
                interval,
                next,
            };
            self.locates.sought.insert(address, locate);
            self.stats.locates += 1;
            self.ask(address, hops, waiting.source, waiting.interface);
        }
        self.locates.bytes += waiting.payload.len();
        self.stats.waiting_bytes_peak = self.stats.waiting_bytes_peak.max(self.locates.bytes);
        let locate = self
            .locates
            .sought
            .get_mut(&address)
            .expect("inserted above");
        locate.waiting.push_back(waiting);
        Ok(())
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
    pub(super) fn refresh(&mut self, address: FlipAddress, from: FlipAddress, by: InterfaceId) {
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
        self.ask(address, self.config.hops_max, from, by);
    }

    fn ask(&mut self, address: FlipAddress, hops: u16, from: FlipAddress, by: InterfaceId) {
        let repr = Repr {
            kind: Kind::Locate,
            flags: Flags::default(),
            actual: 0,
            maximum: hops,
            destination: address,
            source: from,
            message: self.host.next_message(by),
            offset: 0,
            total: 0,
        };
        self.put_everywhere(repr, b"", None);
    }

    /// Deadlines of locates: ask farther away, or give up.
    pub(super) fn locate_again(&mut self) {
        let sought = self.locates.sought.iter();
        let due = sought
            .filter(|(_, locate)| locate.next <= self.now)
            .map(|(address, _)| *address);
        for address in due.collect::<Vec<_>>() {
            self.satisfy_waiting(address, true);
            let now = self.now;
            let given_up = self.locates.take(address, |waiting| {
                now.since(waiting.begun) > waiting.options.locate_time
            });
            for waiting in given_up {
                let untrusted = self.is_satisfied(address, waiting.want, false);
                let reason = if untrusted {
                    Undelivered::Untrusted
                } else {
                    Undelivered::NotLocated
                };
                self.give_back(waiting, 0, reason);
            }
            let Some(mut locate) = self.locates.sought.remove(&address) else {
                continue;
            };
            self.widen(&mut locate);
            locate.next = self.now + locate.interval;
            let first = &locate.waiting[0];
            let (hops, source, interface) = (locate.hops, first.source, first.interface);
            self.locates.sought.insert(address, locate);
            self.ask(address, hops, source, interface);
        }
    }

    /// Something new is known about `address`: send what waited for it.
    pub(super) fn satisfy(&mut self, address: FlipAddress) {
        self.satisfy_waiting(address, false);
    }

    fn satisfy_waiting(&mut self, address: FlipAddress, at_deadline: bool) {
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
            let security = usize::from(waiting.options.security);
            match waiting.want {
                Want::One => one[security],
                Want::Many(at_least) => blind || (!gathers && many[security] >= at_least),
            }
        });
        for waiting in ready {
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
