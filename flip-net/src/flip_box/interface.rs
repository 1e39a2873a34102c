//! The host interface: who is here, and the calls that send.
//!
//! An entity gets an interface, registers addresses with it, and sends from one of them. Sending
//! to an address that is registered here never touches a network.
//!
//! Implements: [Thesis §2.3], Fig. 2.3; facts sheet 1.8.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::locate::{Waiting, Want};
use super::routes::Found;
use super::{Event, FlipBox, Fragment, LOCATE_TIME, Undelivered};
use crate::address::{EndpointId, FlipAddress, InterfaceId};
use crate::step;
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Kind, Repr};

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Only over trusted networks.
    pub security: bool,
    /// Forget what is known of the destination and locate it anew.
    pub relocate: bool,
    /// A multicast is not delivered to endpoints of the sender's own interface.
    pub skip_own: bool,
    /// How long to look for a destination that is not known; zero: fail at once.
    pub locate_time: Duration,
}

impl Default for SendOptions {
    fn default() -> SendOptions {
        SendOptions {
            security: false,
            relocate: false,
            skip_own: false,
            locate_time: LOCATE_TIME,
        }
    }
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No such endpoint.
    #[error("no such endpoint")]
    UnknownEndpoint,
    /// The endpoint has the null address, which is no source.
    #[error("an endpoint with the null address cannot send")]
    NullSource,
    /// The null address is for broadcasts only.
    #[error("the null address is for broadcasts only")]
    NullDestination,
    /// The message is longer than the box takes, or a broadcast longer than a packet.
    #[error("message too long")]
    TooLong,
    /// The destination is not known and there was no time to locate it.
    #[error("destination not known")]
    NotFound,
    /// Too much is waiting already.
    #[error("too much is waiting already")]
    NoRoom,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    pub(crate) interface: InterfaceId,
    pub(crate) address: FlipAddress,
}

/// Who is here.
#[derive(Debug, Default)]
pub(crate) struct Host {
    endpoints: BTreeMap<EndpointId, Endpoint>,
    by_address: BTreeMap<FlipAddress, Vec<EndpointId>>,
    /// The next message number of each interface.
    interfaces: BTreeMap<InterfaceId, u32>,
    next_endpoint: u32,
    next_interface: u32,
}

impl Host {
    pub(crate) fn endpoints_of(&self, address: FlipAddress) -> &[EndpointId] {
        self.by_address
            .get(&address)
            .map_or(&[], |endpoints| endpoints)
    }

    pub(crate) fn is_local(&self, address: FlipAddress) -> bool {
        self.by_address.contains_key(&address)
    }

    pub(crate) fn count_of(&self, address: FlipAddress) -> u16 {
        u16::try_from(self.endpoints_of(address).len()).unwrap_or(u16::MAX)
    }

    /// How many of the endpoints with the address belong to one interface.
    pub(crate) fn count_at(&self, address: FlipAddress, interface: InterfaceId) -> u16 {
        let endpoints = self.endpoints_of(address).iter();
        let own = endpoints.filter(|id| self.endpoints[*id].interface == interface);
        u16::try_from(own.count()).unwrap_or(u16::MAX)
    }

    pub(crate) fn get(&self, endpoint: EndpointId) -> Option<Endpoint> {
        self.endpoints.get(&endpoint).copied()
    }

    pub(crate) fn next_message(&mut self, interface: InterfaceId) -> u32 {
        let next = self.interfaces.entry(interface).or_default();
        let message = *next;
        *next = next.wrapping_add(1);
        message
    }
}

impl FlipBox {
    /// A new entity that will register and send; its messages are numbered from 0.
    pub fn interface(&mut self) -> InterfaceId {
        self.interface_from(0)
    }

    /// A new entity whose messages are numbered from `first`. Who may register an address that was
    /// in use elsewhere a moment ago draws it, since boxes take the same number from the same
    /// source for the same message.
    pub fn interface_from(&mut self, first: u32) -> InterfaceId {
        let id = InterfaceId(self.host.next_interface);
        self.host.next_interface += 1;
        self.host.interfaces.insert(id, first);
        id
    }

    /// Ends an entity: its endpoints are unregistered and what waits for locates is dropped.
    pub fn end(&mut self, interface: InterfaceId) {
        let endpoints = self.host.endpoints.iter();
        let own = endpoints.filter(|(_, endpoint)| endpoint.interface == interface);
        for endpoint in own.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.unregister(endpoint);
        }
        self.host.interfaces.remove(&interface);
    }

    /// Registers the public address that belongs to `private`: fragments for it become events.
    /// The null address stands for: wants broadcasts.
    ///
    /// # Panics
    /// If the interface was not given out by this box, or has ended.
    pub fn register(&mut self, interface: InterfaceId, private: FlipAddress) -> EndpointId {
        assert!(
            self.host.interfaces.contains_key(&interface),
            "the interface is of this box"
        );
        let id = EndpointId(self.host.next_endpoint);
        self.host.next_endpoint += 1;
        let address = private.one_way();
        self.host
            .endpoints
            .insert(id, Endpoint { interface, address });
        self.host.by_address.entry(address).or_default().push(id);
        id
    }

    /// Takes a registration back.
    pub fn unregister(&mut self, endpoint: EndpointId) {
        let Some(gone) = self.host.endpoints.remove(&endpoint) else {
            return;
        };
        if let Some(endpoints) = self.host.by_address.get_mut(&gone.address) {
            endpoints.retain(|id| *id != endpoint);
            if endpoints.is_empty() {
                self.host.by_address.remove(&gone.address);
            }
        }
        self.locates.forget_endpoint(endpoint);
    }

    /// The public address of an endpoint.
    pub fn address_of(&self, endpoint: EndpointId) -> Option<FlipAddress> {
        self.host.get(endpoint).map(|endpoint| endpoint.address)
    }

    /// Tries to send a message to one endpoint with the address. Says the message's number.
    pub fn unicast(
        &mut self,
        now: Instant,
        from: EndpointId,
        destination: FlipAddress,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<u32, SendError> {
        step!(self.walk);
        let want = Want::One;
        self.begin_send(now, from, destination, payload.into(), options, want)
    }

    /// Tries to send a message to all endpoints with the address, as far as they are known, once
    /// at least `at_least` are known; those of the sender's own interface count unless they are
    /// left out. Where the only network carries a frame to every station, nobody has to be known.
    pub fn multicast(
        &mut self,
        now: Instant,
        from: EndpointId,
        destination: FlipAddress,
        payload: impl Into<Bytes>,
        at_least: u16,
        options: SendOptions,
    ) -> Result<u32, SendError> {
        step!(self.walk);
        self.begin_send(
            now,
            from,
            destination,
            payload.into(),
            options,
            Want::Many(at_least),
        )
    }

    /// Sends one packet to everybody within the virtual distance `hops` who wants broadcasts, the
    /// sender's own interface excepted. Distance 0 is this box.
    pub fn broadcast(
        &mut self,
        now: Instant,
        from: EndpointId,
        payload: impl Into<Bytes>,
        hops: u16,
    ) -> Result<u32, SendError> {
        self.tick(now);
        let payload = payload.into();
        let endpoint = self.sender(from)?;
        let within = |network: &super::Network| network.on && network.link.weight <= hops;
        let room = self.networks.iter().filter(|network| within(network));
        if room.map(|network| network.link.payload_len_max()).min() < Some(payload.len())
            && self.networks.iter().any(within)
        {
            return Err(SendError::TooLong);
        }
        let message = self.host.next_message(endpoint.interface);
        let fragment = Fragment {
            source: endpoint.address,
            destination: FlipAddress::NULL,
            message,
            offset: 0,
            total: payload.len() as u32,
            multicast: true,
            tainted: false,
            payload,
        };
        let repr = outgoing(Kind::MultiData, &fragment, hops, false);
        self.put_everywhere(repr, &fragment.payload, None);
        self.deliver(Some(endpoint.interface), fragment);
        Ok(message)
    }

    fn sender(&self, from: EndpointId) -> Result<Endpoint, SendError> {
        let endpoint = self.host.get(from).ok_or(SendError::UnknownEndpoint)?;
        if endpoint.address.is_null() {
            return Err(SendError::NullSource);
        }
        Ok(endpoint)
    }

    fn begin_send(
        &mut self,
        now: Instant,
        from: EndpointId,
        destination: FlipAddress,
        payload: Bytes,
        options: SendOptions,
        want: Want,
    ) -> Result<u32, SendError> {
        self.tick(now);
        let endpoint = self.sender(from)?;
        if destination.is_null() {
            return Err(SendError::NullDestination);
        }
        if payload.len() > self.config.message_len_max {
            return Err(SendError::TooLong);
        }
        if options.relocate {
            self.routes.forget(destination);
        }
        let want = match want {
            // What is left out is known, but does not count.
            Want::Many(at_least) if options.skip_own => Want::Many(
                at_least.saturating_add(self.host.count_at(destination, endpoint.interface)),
            ),
            want => want,
        };
        let is_here = want == Want::One && self.host.is_local(destination);
        let known = is_here
            || (!options.relocate && self.is_satisfied(destination, want, options.security));
        if !known && options.locate_time == Duration::ZERO {
            return Err(SendError::NotFound);
        }
        if !self.has_queue_room(payload.len()) {
            return Err(SendError::NoRoom);
        }
        let waiting = Waiting {
            endpoint: from,
            interface: endpoint.interface,
            source: endpoint.address,
            destination,
            message: self.host.next_message(endpoint.interface),
            payload,
            options,
            want,
            begun: self.now,
        };
        let message = waiting.message;
        // What waits for this address already goes first.
        if known && !self.locates.is_locating(destination) {
            self.finish_send(waiting);
        } else {
            self.begin_locate(waiting)?;
        }
        Ok(message)
    }

    /// Whether enough of the destination is known to send.
    pub(super) fn is_satisfied(
        &mut self,
        destination: FlipAddress,
        want: Want,
        security: bool,
    ) -> bool {
        match want {
            Want::One => {
                self.host.is_local(destination)
                    || matches!(
                        self.routes.best(destination, u16::MAX, None, security),
                        Found::Way(_)
                    )
            }
            Want::Many(at_least) => {
                let totals = self.routes.totals(destination, None);
                let remote = if security {
                    totals.trusted
                } else {
                    totals.count
                };
                self.is_blind()
                    || self.host.count_of(destination).saturating_add(remote) >= at_least
            }
        }
    }

    /// Sends what has waited long enough: its destination is known.
    pub(super) fn finish_send(&mut self, waiting: Waiting) {
        let Waiting {
            interface,
            destination,
            payload,
            options,
            want,
            ..
        } = waiting;
        let fragment = Fragment {
            source: waiting.source,
            destination,
            message: waiting.message,
            offset: 0,
            total: payload.len() as u32,
            multicast: want != Want::One,
            tainted: false,
            payload,
        };
        match want {
            Want::One if self.host.is_local(destination) => self.deliver(None, fragment),
            Want::One => {
                let way = self
                    .routes
                    .best(destination, u16::MAX, None, options.security);
                let Found::Way(way) = way else {
                    unreachable!("only what is satisfied is sent");
                };
                let mut repr = outgoing(Kind::UniData, &fragment, way.hops, options.security);
                repr.actual = self.link(way.network).weight;
                self.send_cut(way.network, way.station, repr, &fragment.payload);
            }
            Want::Many(_) => {
                let hops = self.config.hops_max;
                let repr = outgoing(Kind::MultiData, &fragment, hops, options.security);
                let has_local = self.host.is_local(destination);
                self.send_to_all(repr, &fragment.payload);
                self.refresh(&repr, interface);
                if has_local {
                    let skipped = options.skip_own.then_some(interface);
                    self.deliver(skipped, fragment);
                }
            }
        }
    }

    /// A multicast from here, on every network with somebody who listens.
    fn send_to_all(&mut self, repr: Repr, payload: &Bytes) {
        for network in self.network_ids() {
            let link = self.link(network);
            if !self.is_on(network) || (repr.flags.security && !link.trusted) {
                continue;
            }
            let repr = Repr {
                actual: link.weight,
                ..repr
            };
            for to in self.multicast_targets(network, repr.destination) {
                self.send_cut(network, to, repr, payload);
            }
        }
    }

    /// Hands a fragment to endpoints here: to one of them, or to all of a multicast, those of
    /// interface `skipped` excepted.
    pub(super) fn deliver(&mut self, skipped: Option<InterfaceId>, fragment: Fragment) {
        step!(self.walk);
        let endpoints = self.host.endpoints_of(fragment.destination).iter();
        let targets = endpoints
            .map(|&id| (self.host.endpoints[&id].interface, id))
            .filter(|(interface, _)| Some(*interface) != skipped);
        let most = if fragment.multicast { usize::MAX } else { 1 };
        let mut targets = targets.take(most).peekable();
        let is_from_here = fragment.total as usize == fragment.payload.len()
            && self.host.is_local(fragment.source);
        let mut fragment = Some(fragment);
        let mut count = 0;
        while let Some((interface, endpoint)) = targets.next() {
            count += 1;
            let (fragment, held_for) = match targets.peek() {
                Some(_) => (fragment.clone(), None),
                None => (fragment.take(), self.held.take()),
            };
            let event = Event::Fragment {
                interface,
                endpoint,
                fragment: fragment.expect("only the last one takes it"),
            };
            self.events.push_back((event, held_for));
        }
        self.stats.delivered += count;
        self.stats.local += if is_from_here { count } else { 0 };
    }

    /// Tells the sender that a message, or a piece of it, came back.
    pub(super) fn give_back(&mut self, waiting: Waiting, offset: u32, reason: Undelivered) {
        self.stats.not_delivered += 1;
        let event = Event::NotDelivered {
            interface: waiting.interface,
            endpoint: waiting.endpoint,
            destination: waiting.destination,
            message: waiting.message,
            reason,
            offset,
            payload: waiting.payload,
        };
        self.events.push_back((event, None));
    }
}

fn outgoing(kind: Kind, fragment: &Fragment, maximum: u16, security: bool) -> Repr {
    Repr {
        kind,
        flags: Flags {
            security,
            ..Flags::default()
        },
        actual: 0,
        maximum,
        destination: fragment.destination,
        source: fragment.source,
        message: fragment.message,
        offset: 0,
        total: fragment.total,
    }
}
