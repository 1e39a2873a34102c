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

use super::acknowledge::Owed;
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
    /// Tentative numbers to acknowledge.
    pub(super) owed: Option<Owed>,
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

    /// The same with nothing under way: everything below `stored` is here.
    pub(crate) fn at_rest(&self, stored: SeqNo) -> Receiver {
        Receiver {
            top: stored,
            told: self.told,
            ..Receiver::default()
        }
    }

    /// Whether nothing is known that is not stored.
    pub(crate) fn has_all(&self, stored: SeqNo) -> bool {
        !self.top.is_after(stored)
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
        self.drop_bodies(|key| key.0 == member && !MessageId::new(key.1).is_after(id));
    }

    /// Drops everything of a member that has left: its slot may get another owner, whose ids begin
    /// anew.
    fn drop_all_of(&mut self, member: MemberIndex) {
        self.drop_bodies(|key| key.0 == member);
    }

    fn drop_bodies(&mut self, stale: impl Fn(&BodyKey) -> bool) {
        let keys: Vec<BodyKey> = self.bodies.keys().copied().filter(&stale).collect();
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
                self.on_official(repr, Method::Pb, body);
            }
            None => self.stats.mark(Mark::Malformed),
        }
    }

    fn is_next_or_later(&self, seq: SeqNo) -> bool {
        !self.history.next().is_after(seq)
    }

    fn on_accept(&mut self, repr: &Repr) {
        self.history.make_official(self.believed(repr.seq.next()));
        let body = self.take_body_for(repr);
        self.on_numbered(repr, Method::Bb, body);
    }

    /// The body of a large message that is named by its sender and id. One that is not here, nor
    /// in the history, is waited for.
    pub(super) fn take_body_for(&mut self, repr: &Repr) -> Option<Body> {
        let key = (repr.member, repr.id.value());
        let body = if repr.member == self.me {
            self.sender.body(repr.id)
        } else {
            let key = if planted!(self, MistakeBodies) {
                let mut kept = self.receiver.bodies.keys();
                kept.find(|kept| kept.0 == key.0).copied().unwrap_or(key)
            } else {
                key
            };
            self.receiver.take_body(key)
        };
        if body.is_none() && self.is_next_or_later(repr.seq) {
            let known = self.history.get(repr.seq);
            if known.is_none_or(|entry| entry.body.is_none()) {
                self.stats.mark(Mark::BodyLost);
                self.receiver.awaiting.insert(key, repr.seq);
            }
        }
        if self.receiver.awaiting.len() > self.config.history_messages_max() {
            // Only accepts beyond the history's reach can pile up; they will be asked for.
            self.receiver.awaiting.clear();
        }
        body
    }

    /// As much as may be believed of a number that somebody says to be official.
    fn believed(&self, end: SeqNo) -> SeqNo {
        let limit = self.reach();
        if end.is_after(limit) { limit } else { end }
    }

    /// The first number further ahead than any sequencer with this history can be: it keeps what our
    /// owner has not taken.
    fn reach(&self) -> SeqNo {
        let messages_max = self.history.bounds().messages_max as u32;
        self.delivery.expect.plus(messages_max)
    }

    /// A numbered JOIN, from the sequencer, at somebody who is already in.
    pub(crate) fn on_numbered_join(&mut self, repr: &Repr, table: wire::JoinTable) {
        if !self.fits_group(repr, &table) {
            return self.stats.mark(Mark::Malformed);
        }
        self.on_official(repr, Method::Pb, Body::Join(table.into()));
    }

    /// Whether a table has our slots, and one for the member that it is about.
    pub(super) fn fits_group(&self, repr: &Repr, table: &wire::JoinTable) -> bool {
        table.slots.len() == usize::from(self.config.members_max)
            && repr.member.slot() < table.slots.len()
    }

    pub(crate) fn on_leave(&mut self, repr: &Repr, packet: &Packet<'_>) {
        match wire::parse_header(packet, Kind::Leave) {
            Ok(header) => self.on_official(repr, Method::Pb, Body::Leave(header)),
            Err(_) => self.stats.mark(Mark::Malformed),
        }
    }

    /// A complete broadcast whose number, and hence every one before it, is official.
    fn on_official(&mut self, repr: &Repr, method: Method, body: Body) {
        self.history.make_official(self.believed(repr.seq.next()));
        self.on_numbered(repr, method, Some(body));
    }

    pub(super) fn on_numbered(&mut self, repr: &Repr, method: Method, body: Option<Body>) {
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
        if planted!(self, SkipHoles) && repr.seq.is_after(self.history.next()) {
            let next = self.history.next();
            self.history.store(next, entry.clone(), floor);
        }
        // The accept of what is stored under its tentative number brings nothing but itself.
        let is_word = entry.body.is_none() && !self.history.next().is_after(repr.seq);
        match self.history.store(repr.seq, entry, floor) {
            Stored::Kept => self.raise_top(repr.seq.next()),
            Stored::Duplicate if is_word => {}
            Stored::Duplicate => self.stats.mark(Mark::DuplicateBroadcast),
            Stored::NoRoom => {
                self.stats.mark(Mark::BroadcastTooFar);
                self.raise_top(repr.seq.next());
            }
        }
        self.note_history_peaks();
        self.advance();
        self.ask_if_missing();
        self.on_stored_in_recovery();
    }

    /// Gets everything below `goal` from whom we follow or have asked.
    pub(crate) fn fetch_below(&mut self, goal: SeqNo) {
        self.receiver.asked = None;
        self.raise_top(goal);
        self.ask_if_missing();
    }

    /// Somebody has told us of all numbers below `top`.
    fn raise_top(&mut self, top: SeqNo) {
        self.receiver.top = self.receiver.top.latest(self.believed(top));
    }

    /// Processes everything that has become contiguous.
    pub(crate) fn advance(&mut self) {
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
            .is_some_and(|asked| !asked.end.is_after(self.history.stored()))
        {
            self.receiver.asked = None;
            self.timers.clear(Timer::AskAgain);
        }
        if self.recovery.is_none() && self.is_silent() {
            self.stats.mark(Mark::StateWhenSilent);
            self.tell_state();
        }
    }

    /// One message has its place in the order here. [Thesis Fig. 3.17]
    pub(crate) fn on_sequenced(&mut self, seq: SeqNo) {
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
            let addresses = (slot.address, slot.rpc_address);
            self.view
                .set(member, Peer::new(addresses, PeerState::Member, seq));
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
        match body {
            Body::Leave(_) => self.on_leave_sequenced(member),
            Body::Reset(table) => self.on_reset_sequenced(seq, &table),
            Body::Data { .. } | Body::Join(_) => {}
        }
    }

    fn on_leave_sequenced(&mut self, member: MemberIndex) {
        self.stats.mark(Mark::MemberLeft);
        self.receiver.drop_all_of(member);
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
        let is_body = self.history.get(self.history.stored()).is_some();
        if planted!(self, ForgetBodies) && is_body {
            return;
        }
        let next = self.history.stored();
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
        let next = self.history.stored();
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
        self.tell_numberer(repr);
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
            if asked.first == self.history.stored() && asked.pause > Duration::ZERO {
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
            self.acknowledge();
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
        // What the sequencer has accepted is official; an accept may be what was lost.
        self.history.make_official(self.believed(repr.seq));
        self.raise_top(repr.seq);
        self.advance();
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
