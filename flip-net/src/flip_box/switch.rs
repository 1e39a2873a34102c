//! The packet switch: what happens to each packet that comes in. The attached host is one more
//! network, of weight 0, which is never full, off or untrusted.
//!
//! Implements: [Thesis §2.4.2], Appendix A, Figs. 7.1 to 7.6; facts sheet 1.5.
//! Differs: the way back of a bounced packet may weigh what it has gathered so far (Amoeba 5),
//! not what is left of its budget (Figs. 7.4 and 7.5), since that would discard answers that can
//! return.

use bytes::Bytes;

use super::interface::SendOptions;
use super::locate::{Waiting, Want};
use super::routes::{Found, Location};
use super::{Drop, FlipBox, Fragment, Mark, Undelivered};
use crate::address::{FlipAddress, LinkAddress, NetworkId};
use crate::config::Rules;
use crate::step;
use crate::wire::{Kind, Repr};

/// Where a packet came from.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) network: NetworkId,
    pub(super) station: LinkAddress,
    pub(super) weight: u16,
}

impl FlipBox {
    /// One packet from a network: filter what can't be, then do what its type says.
    pub(super) fn switch(
        &mut self,
        network: NetworkId,
        station: LinkAddress,
        mut repr: Repr,
        payload: &[u8],
    ) {
        let link = self.link(network);
        let arrival = Arrival {
            network,
            station,
            weight: link.weight,
        };
        repr.flags.tainted |= !link.trusted;
        if repr.actual > repr.maximum {
            return self.stats.drop(Drop::Hops);
        }
        // A LOCATE may ask for more than anybody can travel: it makes boxes forget.
        if repr.maximum > self.config.hops_max && repr.kind != Kind::Locate {
            return self.stats.drop(Drop::HopsMax);
        }
        match repr.kind {
            Kind::Locate => self.on_locate(arrival, repr),
            Kind::HereIs { count, trusted } => self.on_here_is(arrival, repr, count, trusted),
            Kind::UniData => self.on_uni_data(arrival, repr, payload),
            Kind::MultiData => self.on_multi_data(arrival, repr, payload),
            Kind::NotHere => self.on_not_here(arrival, repr, payload),
            Kind::Untrusted => self.on_untrusted(arrival, repr, payload),
            Kind::Again => self.on_again(arrival, repr, payload),
        }
    }

    /// LOCATE: remembers the way to who asks, answers for what is known if this is as far as the
    /// question goes, and else forgets what is known and passes the question on. [Thesis] Fig. 7.1
    fn on_locate(&mut self, arrival: Arrival, repr: Repr) {
        if repr.source.is_null() || repr.destination.is_null() {
            return self.stats.drop(Drop::NullAddress);
        }
        if self.host.is_local(repr.source) {
            return self.stats.drop(Drop::Own);
        }
        // A question for a trusted way that came by another: one end of a network distrusts it.
        if repr.flags.security && repr.flags.tainted && self.config.rules == Rules::Thesis {
            return self.stats.drop(Drop::Untrusted);
        }
        if self.locates_too_often(arrival.network) {
            return self.stats.drop(Drop::TooManyLocates);
        }
        if self
            .loops
            .seen(self.now, (repr.source, repr.message, repr.offset))
        {
            return self.stats.drop(Drop::Loop);
        }
        self.routes.forget(repr.source);
        self.learn(arrival, &repr);
        let asks_all = repr.actual < repr.maximum;
        let local = self.host.count_of(repr.destination);
        if asks_all && repr.flags.security {
            // It is about trusted ways; messages without security go on using the others.
            self.routes
                .distrust_except(repr.destination, arrival.network);
        } else if asks_all {
            self.routes
                .forget_except(self.now, repr.destination, arrival.network);
        }
        let way = self.routes.best(
            repr.destination,
            u16::MAX,
            Some(arrival.network),
            repr.flags.security,
        );
        // Amoeba 5 asks its host by broadcast, which reaches only those who want broadcasts.
        let host_hears = !asks_all
            || self.config.rules == Rules::Thesis
            || self.host.is_local(FlipAddress::NULL);
        let known = !asks_all && matches!(way, Found::Way(_));
        if known || (local > 0 && host_hears) {
            self.stats.mark(match local {
                0 => Mark::AnsweredFromTable,
                _ => Mark::AnsweredByHost,
            });
            self.answer(arrival, &repr);
        }
        if asks_all {
            self.stats.mark(Mark::LocateForwarded);
            self.put_everywhere(repr, b"", Some(arrival.network));
        }
    }

    fn locates_too_often(&mut self, network: NetworkId) -> bool {
        let second = self.now.as_micros() / 1_000_000;
        let network = &mut self.networks[usize::from(network.0)];
        if network.second != second {
            network.second = second;
            network.locates = 0;
        }
        network.locates += 1;
        network.locates >= self.config.locates_per_second
    }

    fn answer(&mut self, arrival: Arrival, locate: &Repr) {
        let totals = self
            .routes
            .totals(locate.destination, Some(arrival.network));
        let Some(actual) = locate.actual.checked_sub(arrival.weight) else {
            return self.stats.drop(Drop::Hops);
        };
        let maximum = locate.actual.saturating_add(totals.hops_max);
        let maximum = maximum.min(self.config.hops_max);
        if actual > maximum {
            // The question came from farther away than anybody may answer.
            return self.stats.drop(Drop::Hops);
        }
        let here_is = Repr {
            kind: self.here_is(locate.destination, arrival.network),
            maximum,
            actual,
            offset: 0,
            total: 4,
            ..*locate
        };
        self.put(arrival.network, arrival.station, here_is, b"");
    }

    /// HEREIS with all that is known off the network that it goes to.
    fn here_is(&self, address: FlipAddress, network: NetworkId) -> Kind {
        let local = self.host.count_of(address);
        let totals = self.routes.totals(address, Some(network));
        Kind::HereIs {
            count: totals.count.saturating_add(local),
            trusted: totals.trusted.saturating_add(local),
        }
    }

    /// HEREIS: remembers the way to what was found, and passes the answer on to who asked.
    /// [Thesis] Fig. 7.2
    fn on_here_is(&mut self, arrival: Arrival, repr: Repr, count: u16, trusted: u16) {
        if repr.source.is_null() || repr.destination.is_null() {
            return self.stats.drop(Drop::NullAddress);
        }
        // Also if the address is registered here: a multicast address lives in many places.
        let way = Location {
            network: arrival.network,
            station: arrival.station,
            hops: (repr.maximum - repr.actual).max(arrival.weight),
            count,
            trusted: if repr.flags.tainted { 0 } else { trusted },
            idle: 0,
        };
        self.routes.learn_counted(repr.destination, way);
        if self.host.is_local(repr.source) {
            return self.on_answer(repr.destination, repr.message);
        }
        let security = repr.flags.security;
        let way = self
            .routes
            .best(repr.source, repr.actual, Some(arrival.network), security);
        let Found::Way(way) = way else {
            return self.stats.drop(Drop::NoWayBack);
        };
        self.stats.mark(Mark::HereIsForwarded);
        let kind = self.here_is(repr.destination, way.network);
        self.put_back(way, Repr { kind, ..repr }, b"");
    }

    /// UNIDATA: delivers, passes on, or sends back: unknown or too far away as NOTHERE, reachable only
    /// by ways that are not trusted as UNTRUSTED. [Thesis] Fig. 7.3
    fn on_uni_data(&mut self, arrival: Arrival, repr: Repr, payload: &[u8]) {
        step!(self.walk);
        if repr.destination.is_null() {
            return self.stats.drop(Drop::NullAddress);
        }
        self.learn(arrival, &repr);
        if self.host.is_local(repr.destination) {
            return self.deliver_piece(&repr, payload);
        }
        match self.route_on(arrival, &repr) {
            Found::Way(way) => {
                self.stats.mark(Mark::UniDataForwarded);
                self.put_on(way, repr, payload);
            }
            found => {
                let Some(actual) = repr.actual.checked_sub(arrival.weight) else {
                    return self.stats.drop(Drop::Hops);
                };
                if repr.source.is_null() {
                    return self.stats.drop(Drop::NoWayBack);
                }
                let mut bounced = Repr {
                    kind: Kind::NotHere,
                    actual,
                    ..repr
                };
                let mut mark = Mark::SentBackNotHere;
                if found == Found::OnlyUntrusted {
                    bounced.kind = Kind::Untrusted;
                    bounced.flags.unreachable = true;
                    mark = Mark::SentBackUntrusted;
                }
                self.stats.mark(mark);
                // The sender may have used longer frames than we do.
                self.forward(arrival.network, arrival.station, bounced, payload);
            }
        }
    }

    /// MULTIDATA: delivers, and passes on to wherever somebody listens; what was here before goes no
    /// farther. [Thesis] Fig. 7.6
    fn on_multi_data(&mut self, arrival: Arrival, repr: Repr, payload: &[u8]) {
        step!(self.walk);
        if self.host.is_local(repr.source) {
            return self.stats.drop(Drop::Own);
        }
        let is_broadcast = repr.destination.is_null();
        if is_broadcast
            && self
                .loops
                .seen(self.now, (repr.source, repr.message, repr.offset))
        {
            return self.stats.drop(Drop::Loop);
        }
        if repr.offset == 0 {
            if is_broadcast && !repr.source.is_null() {
                self.routes.forget(repr.source);
            }
            self.learn(arrival, &repr);
        }
        if is_broadcast {
            self.put_everywhere(repr, payload, Some(arrival.network));
            self.remember_pieces(&repr);
            if self.host.is_local(FlipAddress::NULL) {
                self.deliver_piece(&repr, payload);
            }
            return;
        }
        // With one network there is nothing to go round; with several a copy can come by each.
        if self.networks.len() > 1
            && self
                .loops
                .seen(self.now, (repr.source, repr.message, repr.offset))
        {
            return self.stats.drop(Drop::Loop);
        }
        let goes_on = self.multicast_on(arrival, &repr, payload);
        self.remember_pieces(&repr);
        if self.host.is_local(repr.destination) {
            self.deliver_piece(&repr, payload);
        } else if !goes_on {
            self.stats.drop(Drop::UnknownDestination);
        }
    }

    /// What was cut further, for all networks that needed it, is not cut or sent again.
    fn remember_pieces(&mut self, repr: &Repr) {
        for offset in std::mem::take(&mut self.cut_pieces) {
            self.loops
                .seen(self.now, (repr.source, repr.message, offset));
        }
    }

    /// Sends a multicast on to wherever somebody listens; whether anybody does.
    fn multicast_on(&mut self, arrival: Arrival, repr: &Repr, payload: &[u8]) -> bool {
        let mut goes_on = false;
        let budget = repr.maximum - repr.actual;
        for network in self.network_ids() {
            let link = *self.link(network);
            let refused = repr.flags.security && !link.trusted;
            if network == arrival.network || link.weight > budget || refused {
                continue;
            }
            let onward = Repr {
                actual: repr.actual + link.weight,
                ..*repr
            };
            for to in self.multicast_targets(network, repr.destination) {
                self.forward(network, to, onward, payload);
                goes_on = true;
            }
        }
        if goes_on {
            self.stats.mark(Mark::MultiDataForwarded);
        }
        goes_on
    }

    /// NOTHERE: forgets the way it came by, tries another one, or passes it on to its source.
    /// [Thesis] Fig. 7.4
    fn on_not_here(&mut self, arrival: Arrival, repr: Repr, payload: &[u8]) {
        if repr.source.is_null() || repr.destination.is_null() {
            return self.stats.drop(Drop::NullAddress);
        }
        // What was too far away for this packet is a way that was learnt since: Amoeba 5 forgets
        // that, too, and then the rest of an old message keeps the next one from its way.
        let budget = match self.config.rules {
            Rules::Thesis => repr.maximum - repr.actual,
            Rules::Amoeba5 => u16::MAX,
        };
        let (network, station) = (arrival.network, arrival.station);
        self.routes
            .forget_way(repr.destination, network, station, budget);
        let others_left = !self.routes.locations(repr.destination).is_empty();
        match self.route_on(arrival, &repr) {
            Found::Way(way) => {
                self.stats.mark(Mark::AlternativeAfterNotHere);
                self.put_on(
                    way,
                    Repr {
                        kind: Kind::UniData,
                        ..repr
                    },
                    payload,
                );
            }
            _ if others_left && self.config.rules == Rules::Amoeba5 => {
                self.stats.drop(Drop::NoAlternative);
            }
            _ => {
                // The rest of the message would come back as well.
                self.cancel(&repr);
                self.bounce_on(arrival, repr, payload, Undelivered::NotHere);
            }
        }
    }

    /// UNTRUSTED: distrusts the way it came by, tries a trusted one, or passes it on to its source.
    /// [Thesis] Fig. 7.5
    fn on_untrusted(&mut self, arrival: Arrival, repr: Repr, payload: &[u8]) {
        if repr.source.is_null() || repr.destination.is_null() {
            return self.stats.drop(Drop::NullAddress);
        }
        let way = Location {
            network: arrival.network,
            station: arrival.station,
            hops: (repr.maximum - repr.actual).max(arrival.weight),
            count: 1,
            trusted: 0,
            idle: 0,
        };
        self.routes.learn_counted(repr.destination, way);
        let mut safe = repr;
        safe.flags.security = true;
        match self.route_on(arrival, &safe) {
            Found::Way(way) => {
                self.stats.mark(Mark::AlternativeAfterUntrusted);
                self.put_on(
                    way,
                    Repr {
                        kind: Kind::UniData,
                        ..safe
                    },
                    payload,
                );
            }
            _ => self.bounce_on(arrival, safe, payload, Undelivered::Untrusted),
        }
    }

    /// A bounced packet goes on towards its source, or has come home.
    fn bounce_on(&mut self, arrival: Arrival, repr: Repr, payload: &[u8], reason: Undelivered) {
        if let Some(&endpoint) = self.host.endpoints_of(repr.source).first() {
            let interface = self
                .host
                .get(endpoint)
                .expect("a registered endpoint")
                .interface;
            let waiting = Waiting {
                endpoint,
                interface,
                source: repr.source,
                destination: repr.destination,
                message: repr.message,
                payload: Bytes::copy_from_slice(payload),
                options: SendOptions::default(),
                want: Want::One,
                begun: self.now,
            };
            self.stats.mark(Mark::BounceCameHome);
            return self.give_back(waiting, repr.offset, reason);
        }
        let security = repr.flags.security;
        match self
            .routes
            .best(repr.source, repr.actual, Some(arrival.network), security)
        {
            Found::Way(way) => {
                self.stats.mark(Mark::BounceForwarded);
                self.put_back(way, repr, payload);
            }
            _ => self.stats.drop(Drop::NoWayBack),
        }
    }

    /// Remembers how the source of a packet can be reached.
    pub(super) fn learn(&mut self, arrival: Arrival, repr: &Repr) {
        if repr.source.is_null() || self.host.is_local(repr.source) {
            return;
        }
        let way = Location {
            network: arrival.network,
            station: arrival.station,
            // Nobody on a network is nearer than the network is wide.
            hops: repr.actual.max(arrival.weight),
            count: 1,
            trusted: u16::from(!repr.flags.tainted),
            idle: 0,
        };
        self.routes.learn(repr.source, way);
        self.satisfy(repr.source);
    }

    /// The way on to the destination, within what is left of the budget.
    pub(super) fn route_on(&mut self, arrival: Arrival, repr: &Repr) -> Found {
        let budget = repr.maximum - repr.actual;
        let security = repr.flags.security;
        self.routes
            .best(repr.destination, budget, Some(arrival.network), security)
    }

    fn deliver_piece(&mut self, repr: &Repr, payload: &[u8]) {
        // Nothing can be joined from pieces without bytes.
        if payload.is_empty() && repr.total > 0 {
            return self.stats.drop(Drop::EmptyFragment);
        }
        let fragment = Fragment {
            source: repr.source,
            destination: repr.destination,
            message: repr.message,
            offset: repr.offset,
            total: repr.total,
            multicast: repr.kind == Kind::MultiData,
            tainted: repr.flags.tainted,
            payload: Bytes::copy_from_slice(payload),
        };
        self.deliver(None, fragment);
    }

    /// Towards the destination: the hop count grows.
    pub(super) fn put_on(&mut self, way: Location, repr: Repr, payload: &[u8]) {
        let actual = repr.actual.saturating_add(self.link(way.network).weight);
        self.forward(way.network, way.station, Repr { actual, ..repr }, payload);
    }

    /// Towards the source: the hop count shrinks.
    fn put_back(&mut self, way: Location, repr: Repr, payload: &[u8]) {
        match repr.actual.checked_sub(self.link(way.network).weight) {
            Some(actual) => {
                self.forward(way.network, way.station, Repr { actual, ..repr }, payload);
            }
            None => self.stats.drop(Drop::Hops),
        }
    }

    /// On all networks but `except` that are within the budget and, if need be, trusted.
    pub(super) fn put_everywhere(&mut self, repr: Repr, payload: &[u8], except: Option<NetworkId>) {
        let budget = repr.maximum - repr.actual;
        for network in self.network_ids() {
            let link = *self.link(network);
            let refused = repr.flags.security && !link.trusted;
            if Some(network) == except || !self.is_on(network) || link.weight > budget || refused {
                continue;
            }
            let onward = Repr {
                actual: repr.actual + link.weight,
                ..repr
            };
            self.forward(network, LinkAddress::Broadcast, onward, payload);
        }
    }
}
