//! Whom a multicast goes to on a network, and the agreement on data-link multicast addresses.
//!
//! Some networks carry a frame to every station at no extra cost; there nothing has to be agreed
//! on. On Ethernet a station hears only the multicast addresses that it was told to hear. So as
//! soon as a FLIP address is known at two stations, those are asked to hear the data-link address
//! that belongs to it. Who agreed is served by one frame, who refused or has not answered yet by
//! a frame of its own.
//!
//! ```text
//!   A -> B, C   MULTICAST REQUEST 55:55:a2:a3:a4:a5 for G
//!   B -> A      MULTICAST ACK G            B and C hear it from now on
//!   C -> A      MULTICAST ACK G
//!   A -> 55:55:a2:a3:a4:a5  MULTIDATA ... G
//! ```
//! Under the modern timing an agreement is a lease: it is asked for again while it is used, and a
//! listener hears the address for longer than anybody believes it to. So nobody is forgotten for
//! good who came back after a while.
//!
//! Implements: [Thesis §2.4.2], [Thesis §2.5], group communication; facts sheet 1.9.
//! Differs: leases; data does not wait for answers but under the timing of Amoeba 5.

use std::collections::{BTreeMap, VecDeque};

use super::credit::Neighbour;
use super::{Drop, FlipBox, Mark};
use crate::address::{FlipAddress, LinkAddress, NetworkId};
use crate::config::Timing;
use crate::time::{Duration, Instant};
use crate::wire::Flow;
use crate::{Link, Listen};

/// Stations from which on a data-link multicast is worth its agreement.
const LISTENERS_MIN: usize = 2;
/// The most agreements with neighbours; more are served one by one.
pub(super) const AGREEMENTS_LEN_MAX: usize = 1 << 12;
/// How soon a neighbour is asked again that has not answered.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// How long an answer holds under the modern timing, and when it is asked for again.
const LEASE: Duration = Duration::from_secs(10);
const LEASE_RENEWAL: Duration = Duration::from_secs(5);
/// How long an address is heard after the last request: longer than any lease.
const HEARD: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    Listens,
    Refuses,
}

#[derive(Clone, Copy, Debug)]
struct Agreement {
    answer: Answer,
    answered: Instant,
    asked: Instant,
}

impl Agreement {
    /// What holds now.
    fn answer(&self, now: Instant, timing: Timing) -> Answer {
        let over = timing == Timing::Modern && now.since(self.answered) >= LEASE;
        if over { Answer::None } else { self.answer }
    }

    fn is_to_be_asked(&self, now: Instant, timing: Timing) -> bool {
        let answered = self.answer(now, timing) != Answer::None;
        let holds =
            answered && (timing == Timing::Amoeba5 || now.since(self.answered) < LEASE_RENEWAL);
        !holds && now.since(self.asked) >= ASK_INTERVAL
    }
}

/// Agreements with neighbours, and what is heard for their sake.
#[derive(Debug, Default)]
pub(crate) struct Multicasts {
    agreements: BTreeMap<(FlipAddress, Neighbour), Agreement>,
    /// What is heard, and when it was asked for last.
    heard: BTreeMap<(NetworkId, FlipAddress), Instant>,
    pub(super) changes: VecDeque<Listen>,
}

impl Multicasts {
    /// Agreements with neighbours, and addresses that are heard.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.agreements.len(), self.heard.len())
    }

    fn hears(&self, network: NetworkId, group: u64) -> bool {
        let from = (network, FlipAddress::NULL);
        let heard = self
            .heard
            .range(from..)
            .map(|((at, address), _)| (at, address));
        heard
            .take_while(|(at, _)| **at == network)
            .any(|(_, address)| address.link_multicast() == group)
    }

    /// Whether a neighbour should be asked now; notes that it is.
    fn begins_to_ask(
        &mut self,
        now: Instant,
        timing: Timing,
        address: FlipAddress,
        neighbour: Neighbour,
    ) -> bool {
        let key = (address, neighbour);
        if let Some(agreement) = self.agreements.get_mut(&key) {
            let due = agreement.is_to_be_asked(now, timing);
            if due {
                agreement.asked = now;
            }
            return due;
        }
        let room = self.agreements.len() < AGREEMENTS_LEN_MAX;
        if room {
            let agreement = Agreement {
                answer: Answer::None,
                answered: now,
                asked: now,
            };
            self.agreements.insert(key, agreement);
        }
        room
    }

    /// Takes an answer, if it was asked for.
    fn on_answer(&mut self, now: Instant, address: FlipAddress, from: Neighbour, answer: Answer) {
        if let Some(agreement) = self.agreements.get_mut(&(address, from)) {
            agreement.answer = answer;
            agreement.answered = now;
        }
    }
}

impl FlipBox {
    /// Whether multicasts may go out without anybody known to listen: on the only network, where a
    /// frame reaches every station in any case, if there is nobody behind it.
    pub(super) fn is_blind(&self) -> bool {
        let open = |link: &Link| link.multicast && !link.flow;
        self.config.flat && matches!(&self.networks[..], [only] if open(&only.link))
    }

    /// Whom a multicast goes to on one network.
    pub(super) fn multicast_targets(
        &mut self,
        network: NetworkId,
        destination: FlipAddress,
    ) -> Vec<LinkAddress> {
        let link = *self.link(network);
        let group = LinkAddress::Multicast(destination.link_multicast());
        if self.is_blind() {
            return vec![group];
        }
        let stations = self.routes.listeners(self.now, destination, network);
        if stations.len() > self.routes.stations_on(destination, network) {
            self.stats.mark(Mark::DoubtedWayUsed);
        }
        if !link.multicast || stations.len() < LISTENERS_MIN {
            return stations;
        }
        if !link.flow {
            return vec![group];
        }
        self.ask_to_listen(network, destination, &stations);
        let listens = |station: &LinkAddress| {
            let agreement = self
                .multicasts
                .agreements
                .get(&(destination, (network, *station)));
            agreement.is_some_and(|agreement| {
                agreement.answer(self.now, self.config.timing) == Answer::Listens
            })
        };
        let (agreed, others): (Vec<_>, Vec<_>) = stations.iter().partition(|s| listens(s));
        if agreed.len() < LISTENERS_MIN {
            return stations;
        }
        std::iter::once(group).chain(others).collect()
    }

    /// Asks stations to hear the data-link address of `destination`, those that have not answered.
    fn ask_to_listen(
        &mut self,
        network: NetworkId,
        destination: FlipAddress,
        stations: &[LinkAddress],
    ) {
        let (now, timing) = (self.now, self.config.timing);
        for &station in stations {
            let neighbour = (network, station);
            if self
                .multicasts
                .begins_to_ask(now, timing, destination, neighbour)
            {
                let request = Flow::MulticastRequest {
                    group: destination.link_multicast(),
                    address: destination,
                };
                self.put_flow(neighbour, request);
            }
        }
    }

    /// Whether somebody who listens to `destination` has not answered yet; asks again.
    pub(super) fn awaits_listeners(&mut self, destination: FlipAddress) -> bool {
        let mut waits = false;
        for network in self.network_ids() {
            let Link {
                flow, multicast, ..
            } = *self.link(network);
            let stations = self.routes.listeners(self.now, destination, network);
            if !flow || !multicast || stations.len() < LISTENERS_MIN {
                continue;
            }
            self.ask_to_listen(network, destination, &stations);
            waits |= stations.iter().any(|station| {
                let key = (destination, (network, *station));
                let agreement = self.multicasts.agreements.get(&key);
                agreement.is_some_and(|agreement| agreement.answer == Answer::None)
            });
        }
        waits
    }

    /// A neighbour wants us to hear a data-link address. We do if we, or somebody behind us on
    /// another network, has the FLIP address.
    pub(super) fn on_multicast_request(
        &mut self,
        from: Neighbour,
        group: u64,
        address: FlipAddress,
    ) {
        if address.is_null() || group != address.link_multicast() {
            return self.stats.drop(Drop::ForeignGroup);
        }
        let key = (from.0, address);
        let known = self.multicasts.heard.contains_key(&key);
        let wanted = self.is_wanted_on(from.0, address);
        let room = self.multicasts.heard.len() < self.config.heard_len_max;
        if !wanted || !(known || room) || !self.link(from.0).multicast {
            return self.put_flow(from, Flow::MulticastNak(address));
        }
        if !self.multicasts.hears(from.0, group) {
            self.multicasts.changes.push_back(Listen {
                network: from.0,
                group,
                on: true,
            });
        }
        self.multicasts.heard.insert(key, self.now);
        self.put_flow(from, Flow::MulticastAck(address));
    }

    /// A neighbour answers.
    pub(super) fn on_multicast_answer(
        &mut self,
        from: Neighbour,
        address: FlipAddress,
        agrees: bool,
    ) {
        let (answer, mark) = match agrees {
            true => (Answer::Listens, Mark::MulticastAgreed),
            false => (Answer::Refuses, Mark::MulticastRefused),
        };
        self.stats.mark(mark);
        self.multicasts.on_answer(self.now, address, from, answer);
    }

    fn is_wanted_on(&self, network: NetworkId, address: FlipAddress) -> bool {
        self.host.is_local(address) || self.routes.totals(address, Some(network)).count > 0
    }

    /// Stops hearing what nobody wants any more, and forgets agreements that are not used.
    pub(super) fn sweep_multicasts(&mut self) {
        let heard = self.multicasts.heard.iter();
        let over: Vec<_> = heard
            .filter(|((network, address), asked)| {
                self.now.since(**asked) >= HEARD && !self.is_wanted_on(*network, *address)
            })
            .map(|(key, _)| *key)
            .collect();
        for (network, address) in over {
            self.multicasts.heard.remove(&(network, address));
            let group = address.link_multicast();
            if !self.multicasts.hears(network, group) {
                self.multicasts.changes.push_back(Listen {
                    network,
                    group,
                    on: false,
                });
            }
        }
        let routes = &self.routes;
        self.multicasts
            .agreements
            .retain(|(address, neighbour), _| {
                let mut ways = routes.locations(*address).iter();
                ways.any(|way| (way.network, way.station) == *neighbour)
            });
    }
}
