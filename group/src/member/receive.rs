//! Receiving: numbered broadcasts in, holes found and filled, everything handed on in order.
//!
//! A member that sees a number beyond the next one asks the sequencer for what is missing, at once
//! and then at growing intervals; it never asks another member. Bodies of BB requests are kept by
//! sender and message id until their accept comes; an accept without body waits a moment for it.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.16, 3.17; [Amoeba5] §3.5, member on BCAST.
//! Differs: bodies are kept by message id, since several of a sender's may be under way. Several
//! missing messages are asked for at once, except under `Rules::Amoeba5`.

use flip_net::step;
use std::collections::BTreeMap;

use capability::HEADER_SIZE;
use flip_net::time::{Duration, Instant};

use super::{Member, Phase};
use crate::config::{Rules, WINDOW_MAX};
use crate::event::Endpoint;
use crate::history::{Body, Entry, Method, Stored};
use crate::payload::Payload;
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::{Peer, PeerState};
use crate::wire::{self, GROUP_HEADER_SIZE, Kind, Packet, Repr};

/// A sender and one of its message ids, as a key.
type BodyKey = (MemberIndex, u32);

/// What a member keeps besides the history.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// Bodies of BB requests whose accept has not come.
    bodies: BTreeMap<BodyKey, Body>,
    bodies_bytes: usize,
    /// Accepts whose body has not come.
    awaiting: BTreeMap<BodyKey, SeqNo>,
    /// The first number that nobody has told us of.
    top: SeqNo,
    asked: Option<Asked>,
    /// The first number after the own join, until it has come.
    after_join: Option<SeqNo>,
    /// Messages and bytes received since we last told the sequencer anything.
    silent_messages: usize,
    silent_bytes: usize,
    /// What we last told the sequencer to expect.
    told: SeqNo,
    /// The sequencer waits to hear that we have come as far as this.
    solicited: Option<SeqNo>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    first: SeqNo,
    /// Behind the last one asked for.
    end: SeqNo,
    again: Instant,
    pause: Duration,
}

impl Receiver {
    /// At number `first`, with nothing known beyond.
    pub(crate) fn at(first: SeqNo) -> Receiver {
        Receiver {
            top: first,
            after_join: Some(first),
            told: first,
            ..Receiver::default()
        }
    }

    /// The sequencer hears from us how far we are.
    pub(crate) fn spoke(&mut self, expect: SeqNo) {
        self.silent_messages = 0;
        self.silent_bytes = 0;
        self.told = expect;
    }

    fn take_body(&mut self, key: BodyKey) -> Option<Body> {
        let body = self.bodies.remove(&key)?;
        self.bodies_bytes -= body.size();
        Some(body)
    }

    /// Drops what an in-order message of the sender makes superfluous.
    fn drop_stale(&mut self, member: MemberIndex, id: MessageId) {
        let stale = |key: &BodyKey| key.0 == member && !MessageId::new(key.1).is_after(id);
        let keys: Vec<BodyKey> = self.bodies.keys().copied().filter(stale).collect();
        for key in keys {
            self.take_body(key);
        }
        self.awaiting.retain(|key, _| !stale(key));
    }
}

impl Member {
    /// A numbered broadcast with data, or an accept without.
    pub(crate) fn on_broadcast(&mut self, repr: &Repr, message: Vec<u8>) {
        step!(self.config.walk);
        if message.len() == GROUP_HEADER_SIZE {
            return self.on_accept(repr);
        }
        match data_body(message) {
            Some(body) => {
                let key = (repr.member, repr.id.value());
                if self.receiver.take_body(key).is_some() && self.is_next_or_later(repr.seq) {
                    self.stats.mark(Mark::AcceptLost);
                }
                self.on_numbered(repr, Method::Pb, Some(body));
            }
            None => self.stats.mark(Mark::Malformed),
        }
    }

    fn is_next_or_later(&self, seq: SeqNo) -> bool {
        !self.history.next().is_after(seq)
    }

    fn on_accept(&mut self, repr: &Repr) {
        let key = (repr.member, repr.id.value());
        let body = if repr.member == self.me {
            self.sender.body(repr.id)
        } else {
            #[cfg(feature = "sabotage")]
            let key = self.sabotage_body(key);
            self.receiver.take_body(key)
        };
        if body.is_none() && self.is_next_or_later(repr.seq) {
            let known = self.history.get(repr.seq);
            if known.is_none_or(|entry| entry.body.is_none()) {
                self.stats.mark(Mark::BodyLost);
                self.receiver.awaiting.insert(key, repr.seq);
            }
        }
        self.on_numbered(repr, Method::Bb, body);
        if self.receiver.awaiting.len() > self.config.history_messages_max() {
            // Only accepts beyond the history's reach can pile up; they will be asked for.
            self.receiver.awaiting.clear();
        }
    }

    /// Which body a planted bug takes for the one that is meant.
    #[cfg(feature = "sabotage")]
    fn sabotage_body(&self, key: BodyKey) -> BodyKey {
        let any = self.receiver.bodies.keys().find(|kept| kept.0 == key.0);
        match self.config.sabotage {
            Some(crate::config::Sabotage::MistakeBodies) => any.copied().unwrap_or(key),
            _ => key,
        }
    }

    /// A numbered JOIN, from the sequencer, at somebody who is already in.
    pub(crate) fn on_numbered_join(&mut self, repr: &Repr, table: wire::JoinTable) {
        if table.slots.len() != usize::from(self.config.members_max)
            || repr.member.slot() >= table.slots.len()
        {
            return self.stats.mark(Mark::Malformed);
        }
        self.on_numbered(repr, Method::Pb, Some(Body::Join(table.into())));
    }

    pub(crate) fn on_leave(&mut self, repr: &Repr, packet: &Packet<'_>) {
        match wire::parse_header(packet, Kind::Leave) {
            Ok(header) => self.on_numbered(repr, Method::Pb, Some(Body::Leave(header))),
            Err(_) => self.stats.mark(Mark::Malformed),
        }
    }

    fn on_numbered(&mut self, repr: &Repr, method: Method, body: Option<Body>) {
        step!(self.config.walk);
        if matches!(self.phase, Phase::Left) {
            return self.tell_state();
        }
        if repr.member.slot() >= usize::from(self.config.members_max) {
            return self.stats.mark(Mark::Malformed);
        }
        let floor = self.delivery.expect;
        let entry = Entry {
            member: repr.member,
            id: repr.id,
            expect: repr.expect,
            method,
            body,
            answered: None,
        };
        #[cfg(feature = "sabotage")]
        if self.config.sabotage == Some(crate::config::Sabotage::SkipHoles)
            && repr.seq.is_after(self.history.next())
        {
            let next = self.history.next();
            self.history.store(next, entry.clone(), floor);
        }
        match self.history.store(repr.seq, entry, floor) {
            Stored::Kept => self.raise_top(repr.seq.next()),
            Stored::Duplicate => return self.stats.mark(Mark::DuplicateBroadcast),
            Stored::NoRoom => {
                self.stats.mark(Mark::BroadcastTooFar);
                self.raise_top(repr.seq.next());
            }
        }
        self.note_history_peaks();
        self.advance();
        self.ask_if_missing();
    }

    /// Somebody has told us of all numbers below `top`.
    fn raise_top(&mut self, top: SeqNo) {
        let reach = self.history.bounds().messages_max as u32;
        let limit = self.history.lowest().plus(reach);
        let top = if top.is_after(limit) { limit } else { top };
        self.receiver.top = self.receiver.top.latest(top);
    }

    /// Processes everything that has become contiguous.
    fn advance(&mut self) {
        step!(self.config.walk);
        while !matches!(self.phase, Phase::Left) {
            let Some(seq) = self.history.advance() else {
                break;
            };
            self.on_sequenced(seq);
        }
        if self
            .receiver
            .asked
            .is_some_and(|asked| !asked.end.is_after(self.history.next()))
        {
            self.receiver.asked = None;
            self.timers.clear(Timer::AskAgain);
        }
        if self.is_silent() {
            self.stats.mark(Mark::StateWhenSilent);
            self.tell_state();
        }
    }

    /// One message has its place in the order here. [Thesis Fig. 3.17]
    fn on_sequenced(&mut self, seq: SeqNo) {
        if self.receiver.after_join == Some(seq) {
            self.receiver.after_join = None;
        }
        let entry = self.history.get(seq).expect("it was just passed over");
        let (member, id, expect) = (entry.member, entry.id, entry.expect);
        let body = entry
            .body
            .clone()
            .expect("only complete messages are passed over");
        self.receiver.silent_messages += 1;
        self.receiver.silent_bytes += body.size();

        if let Body::Join(table) = &body {
            let slot = table.slots[member.slot()];
            let peer = Peer {
                address: slot.address,
                rpc_address: slot.rpc_address,
                state: PeerState::Member,
                expect: seq,
                id,
            };
            self.view.set(member, peer);
            self.stats.mark(Mark::MemberJoined);
        }
        if let Some(peer) = self.view.get_mut(member) {
            peer.id = id;
            if !expect.is_after(seq) {
                peer.expect = peer.expect.latest(expect);
            }
        }
        self.receiver.drop_stale(member, id);
        if member == self.me {
            self.complete(id, seq);
        }
        if let Body::Leave(_) = body {
            self.on_leave_sequenced(member);
        }
    }

    fn on_leave_sequenced(&mut self, member: MemberIndex) {
        self.stats.mark(Mark::MemberLeft);
        if member == self.me {
            self.on_own_leave_received();
        } else if member == self.view.sequencer {
            if let Some(peer) = self.view.get_mut(member) {
                peer.state = PeerState::LeftSequencer;
            }
        } else {
            self.view.free(member);
        }
    }

    /// Asks for the first hole, unless that was done a moment ago.
    fn ask_if_missing(&mut self) {
        let missing = self.history.hole(self.receiver.top);
        if missing == 0 || matches!(self.phase, Phase::Left) {
            return;
        }
        let next = self.history.next();
        let known = self.receiver.asked.is_some_and(|asked| {
            !asked.first.is_after(next) && asked.end.is_after(next) && asked.again > self.now
        });
        if known {
            return;
        }
        self.stats.mark(Mark::HoleSeen);
        let grace = self.config.timing.body_grace;
        if grace > Duration::ZERO && self.history.get(next).is_some() {
            return self.wait_for_body(next, grace);
        }
        if self.receiver.after_join == Some(next) {
            self.stats.mark(Mark::HoleAtJoin);
        }
        self.stats.mark(Mark::RetransmissionAsked);
        self.ask(missing, self.config.timing.ask_again);
    }

    /// The accept is here, and nothing was asked yet: perhaps the body is right behind it.
    fn wait_for_body(&mut self, next: SeqNo, grace: Duration) {
        let again = self.now + grace;
        self.receiver.asked = Some(Asked {
            first: next,
            end: next.next(),
            again,
            pause: Duration::ZERO,
        });
        self.timers.set(Timer::AskAgain, again);
    }

    fn ask(&mut self, missing: u32, pause: Duration) {
        let next = self.history.next();
        let count = match self.config.rules {
            Rules::Thesis => missing,
            Rules::Amoeba5 => 1,
        };
        let again = self.now + pause;
        self.receiver.asked = Some(Asked {
            first: next,
            end: next.plus(count),
            again,
            pause,
        });
        self.timers.set(Timer::AskAgain, again);
        let mut repr = self.header(Kind::Retrans);
        repr.seq = next;
        repr.id = MessageId::new(if count > 1 { count } else { 0 });
        self.tell_sequencer(repr, |_| {});
    }

    pub(crate) fn on_ask_again(&mut self) {
        let missing = self.history.hole(self.receiver.top);
        if missing == 0 {
            self.receiver.asked = None;
            return;
        }
        let timing = &self.config.timing;
        let pause = self.receiver.asked.map_or(timing.ask_again, |asked| {
            // As long as holes are being filled the pause stays short.
            if asked.first == self.history.next() && asked.pause > Duration::ZERO {
                asked.pause.times(2).min(timing.ask_again_max)
            } else {
                timing.ask_again
            }
        });
        let was_asked = self
            .receiver
            .asked
            .is_some_and(|asked| asked.pause > Duration::ZERO);
        self.stats.mark(if was_asked {
            Mark::RetransmissionAskedAgain
        } else {
            Mark::RetransmissionAsked
        });
        self.ask(missing, pause);
    }

    /// A BB request seen by somebody who does not number: its body waits for the accept.
    pub(crate) fn on_body(&mut self, endpoint: Endpoint, repr: &Repr, body: Body) {
        if endpoint != Endpoint::ToAll || matches!(self.phase, Phase::Left) {
            return self.stats.mark(Mark::OutOfPhase);
        }
        let last = self
            .view
            .get(repr.member)
            .map_or(MessageId::NONE, |peer| peer.id);
        if !repr.id.is_after(last) {
            return self.stats.mark(Mark::BodyStale);
        }
        let key = (repr.member, repr.id.value());
        if let Some(seq) = self.receiver.awaiting.remove(&key) {
            self.stats.mark(Mark::BodyLate);
            self.history.fill(seq, body);
            self.advance();
            return self.ask_if_missing();
        }
        let too_much = self.receiver.bodies_bytes + body.size() > self.config.early_bytes_max
            && !self.receiver.bodies.is_empty();
        if repr.id.distance(last) > WINDOW_MAX || too_much {
            return self.stats.mark(Mark::BodyRefused);
        }
        self.stats.mark(Mark::BodyKept);
        self.receiver.bodies_bytes += body.size();
        if let Some(old) = self.receiver.bodies.insert(key, body) {
            self.receiver.bodies_bytes -= old.size();
        }
    }

    // Telling the sequencer how far we are.

    pub(crate) fn on_sync(&mut self, repr: &Repr, packet: &Packet<'_>) {
        let Ok(listed) = wire::parse_sync_list(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        if let Some(peer) = self.view.get_mut(repr.member) {
            peer.expect = peer.expect.latest(repr.expect);
        }
        self.release_tail(SeqNo::new(repr.id.value()));
        if listed.contains(&self.me) {
            self.stats.mark(Mark::StateSolicited);
            self.tell_state();
            if repr.seq.is_after(self.expect_to_tell()) {
                self.receiver.solicited = Some(repr.seq);
            }
        }
        self.raise_top(repr.seq);
        self.ask_if_missing();
    }

    /// Everybody has what lies below `lowest`; what we have delivered of it need not be kept.
    fn release_tail(&mut self, lowest: SeqNo) {
        let expect = self.delivery.expect;
        let known = self.view.lowest_expect().unwrap_or(lowest).latest(lowest);
        let below = if known.is_after(expect) {
            expect
        } else {
            known
        };
        self.history.release_below(below);
    }

    pub(crate) fn tell_state(&mut self) {
        let mut repr = self.header(Kind::State);
        repr.seq = self.history.next();
        self.tell_sequencer(repr, |_| {});
    }

    /// The owner has taken a delivery.
    pub(crate) fn on_member_expect_advanced(&mut self) {
        self.release_tail(SeqNo::NONE);
        let Some(wanted) = self.receiver.solicited else {
            return;
        };
        let expect = self.expect_to_tell();
        let caught_up = !wanted.is_after(expect);
        let quarter = self.config.history_messages_max() / 4;
        if caught_up || expect.distance(self.receiver.told) as usize >= quarter {
            if caught_up {
                self.receiver.solicited = None;
            }
            self.stats.mark(Mark::StateCaughtUp);
            self.tell_state();
        }
    }

    /// Whether so much came in without a word from us that the sequencer may need one.
    fn is_silent(&self) -> bool {
        let history = self.config.history_messages_max();
        let members = usize::from(self.config.members_max);
        let me = self.me.slot();
        let threshold = if history >= 4 * members {
            history / 2
        } else if history >= 2 * members {
            history / 4 + (me >> 1)
        } else {
            history / 4 + (me >> 2)
        };
        self.receiver.silent_messages >= threshold.max(1)
            || self.receiver.silent_bytes >= self.config.history_bytes_max / 2
    }

    pub(crate) fn note_history_peaks(&mut self) {
        let stats = &mut self.stats;
        stats.history_messages_peak = stats.history_messages_peak.max(self.history.len());
        stats.history_bytes_peak = stats.history_bytes_peak.max(self.history.bytes());
    }
}

/// The data behind the group header of a message; none if there is less than a header.
pub(crate) fn data_body(message: Vec<u8>) -> Option<Body> {
    let packet = Packet::new_checked(&message).ok()?;
    let header = wire::parse_header(&packet, Kind::Bcast).ok()?;
    let data = Payload::tail(message, GROUP_HEADER_SIZE + HEADER_SIZE);
    Some(Body::Data { header, data })
}
