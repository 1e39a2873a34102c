//! The sequencer: numbers requests, stores them, accepts them, answers for what was missed.
//!
//! A request is numbered when it is the next of its sender and the history has room; it is accepted,
//! that is, multicast as official, when no member's history can overflow by it. Requests that
//! overtook another of the same sender wait for that one.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.14, 3.15; [Amoeba5] §3.5, §3.6 for resilience 0.
//! Differs: duplicates are told by a window of message ids; a missing request is asked for.

mod membership;
mod resilience;
mod retransmit;
mod sync;

use flip_net::step;
use std::collections::BTreeMap;

use flip_net::address::FlipAddress;
use flip_net::time::{Duration, Instant};

use crate::config::{Config, WINDOW_MAX};
use crate::event::{Destination, Endpoint};
use crate::history::{Body, Entry, Method};
use crate::member::{Member, data_body};
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::view::PeerState;
use crate::wire::{self, Kind, Packet, Repr};

use sync::Sync;

/// A missing request is not asked for twice within this time.
const ASK_REQUEST_PAUSE: Duration = Duration::from_millis(5);

/// A request that waits: for an earlier one of its sender, or for room.
#[derive(Debug)]
struct Request {
    id: MessageId,
    expect: SeqNo,
    method: Method,
    body: Body,
}

/// What only the numbering member keeps.
#[derive(Debug)]
pub(crate) struct Sequencer {
    /// By member, in no order.
    waiting: BTreeMap<MemberIndex, Vec<Request>>,
    waiting_bytes: usize,
    /// Whose requests found no room at all and must be sent again, and up to which.
    turned_away: BTreeMap<MemberIndex, MessageId>,
    /// Which request each member was last asked for.
    asked: BTreeMap<MemberIndex, (MessageId, Instant)>,
    /// The number of the LEAVE of each slot's last owner.
    left: BTreeMap<MemberIndex, SeqNo>,
    sync: Sync,
    /// How long to wait before the next request for acknowledgements.
    ack_pause: Duration,
    /// The own application has left.
    userless: bool,
}

impl Sequencer {
    pub(crate) fn new(config: &Config) -> Sequencer {
        Sequencer {
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            turned_away: BTreeMap::new(),
            asked: BTreeMap::new(),
            left: BTreeMap::new(),
            sync: Sync::new(&config.timing),
            ack_pause: config.timing.ask_again,
            userless: false,
        }
    }

    fn keep(&mut self, member: MemberIndex, request: Request) {
        self.waiting_bytes += request.body.size();
        self.waiting.entry(member).or_default().push(request);
    }

    fn knows(&self, member: MemberIndex, id: MessageId) -> bool {
        let waiting = self.waiting.get(&member);
        waiting.is_some_and(|requests| requests.iter().any(|request| request.id == id))
    }

    fn waiting_size(&self, member: MemberIndex, id: MessageId) -> Option<usize> {
        let requests = self.waiting.get(&member)?;
        let request = requests.iter().find(|request| request.id == id)?;
        Some(request.body.size())
    }

    fn take(&mut self, member: MemberIndex, id: MessageId) -> Option<Request> {
        let requests = self.waiting.get_mut(&member)?;
        let index = requests.iter().position(|request| request.id == id)?;
        let request = requests.swap_remove(index);
        if requests.is_empty() {
            self.waiting.remove(&member);
        }
        self.waiting_bytes -= request.body.size();
        Some(request)
    }

    fn forget(&mut self, member: MemberIndex) {
        for request in self.waiting.remove(&member).unwrap_or_default() {
            self.waiting_bytes -= request.body.size();
        }
        self.turned_away.remove(&member);
        self.asked.remove(&member);
    }
}

impl Member {
    fn seq_mut(&mut self) -> &mut Sequencer {
        self.sequencer
            .as_mut()
            .expect("only the sequencer's code comes here")
    }

    pub(crate) fn is_userless(&self) -> bool {
        self.sequencer
            .as_ref()
            .is_some_and(|sequencer| sequencer.userless)
            || self
                .recovery
                .as_ref()
                .is_some_and(|recovery| recovery.userless)
    }

    // Requests.

    /// A request to broadcast data, from whoever its source was checked to be.
    pub(crate) fn on_request(&mut self, endpoint: Endpoint, repr: &Repr, message: Vec<u8>) {
        step!(self.config.walk);
        if repr.seq != SeqNo::NONE {
            return self.on_tentative_data(endpoint, repr, message);
        }
        let Some(body) = data_body(message) else {
            return self.stats.mark(Mark::Malformed);
        };
        if self.sequencer.is_none() {
            return self.on_body(endpoint, repr, body);
        }
        let method = if endpoint == Endpoint::ToAll {
            Method::Bb
        } else {
            Method::Pb
        };
        self.take_request(repr, method, body);
    }

    /// JOINREQ or LEAVEREQ.
    pub(crate) fn on_membership_request(
        &mut self,
        endpoint: Endpoint,
        repr: &Repr,
        packet: &Packet<'_>,
    ) {
        if repr.seq != SeqNo::NONE {
            return self.on_tentative_membership(endpoint, repr, packet);
        }
        let Ok(header) = wire::parse_header(packet, repr.kind) else {
            return self.stats.mark(Mark::Malformed);
        };
        let body = if repr.kind == Kind::LeaveReq {
            Body::Leave(header)
        } else {
            // The table is made when the join is accepted; until then it only takes its room.
            let mut table = self.table(repr.member, SeqNo::NONE);
            table.header = header;
            Body::Join(table.into())
        };
        self.take_request(repr, Method::Pb, body);
    }

    fn take_request(&mut self, repr: &Repr, method: Method, body: Body) {
        let member = repr.member;
        self.hear_expect(member, repr.expect);
        let Some(peer) = self.view.get(member) else {
            return;
        };
        let (last, state) = (peer.id, peer.state);
        let mistaken = self.last_if_planted(last, repr.id);
        if mistaken != last
            && let Some(peer) = self.view.get_mut(member)
        {
            peer.id = mistaken;
        }
        let last = mistaken;
        if !repr.id.is_after(last) {
            return self.on_duplicate_request(member, repr.id);
        }
        let fits = match state {
            PeerState::Member => !matches!(body, Body::Join(_)),
            PeerState::Joining { .. } => matches!(body, Body::Join(_)),
            PeerState::Leaving { .. } | PeerState::LeftSequencer => false,
        };
        if !fits {
            return self.stats.mark(Mark::OutOfPhase);
        }
        if repr.id.distance(last) > WINDOW_MAX {
            return self.stats.mark(Mark::RequestBeyondWindow);
        }
        if self.seq_mut().knows(member, repr.id) {
            return self.stats.mark(Mark::DuplicateRequest);
        }
        self.keep_request(member, repr, method, body);
        self.number_waiting(member);
        self.process_history();
        self.ask_for_missing_request(member);
    }

    /// What a planted bug takes for the last request of the sender.
    fn last_if_planted(&mut self, last: MessageId, id: MessageId) -> MessageId {
        let is_duplicate = !id.is_after(last) && last.value().wrapping_sub(id.value()) < 3;
        let before = MessageId::new(id.value().wrapping_sub(1));
        if planted!(self, NumberDuplicates) && is_duplicate {
            return before;
        }
        if planted!(self, WindowOffByOne) && id == last {
            return before;
        }
        if planted!(self, ForgetSenderOrder) && id.is_after(last) {
            return before;
        }
        last
    }

    /// Takes in a request; the next of a sender needs no room among those that wait.
    fn keep_request(&mut self, member: MemberIndex, repr: &Repr, method: Method, body: Body) {
        let size = body.size();
        let last = self
            .view
            .get(member)
            .map_or(MessageId::NONE, |peer| peer.id);
        let is_next = repr.id == last.next();
        let numbered_at_once = is_next && self.history.has_room_to_append(size);
        let limit = self.config.early_bytes_max;
        let sequencer = self.seq_mut();
        if !numbered_at_once && sequencer.waiting_bytes + size > limit {
            let id = repr.id;
            let latest = sequencer.turned_away.entry(member).or_insert(id);
            *latest = latest.latest(id);
            self.stats.mark(Mark::RequestTurnedAway);
            self.begin_sync_full();
            return;
        }
        if !is_next {
            self.stats.mark(Mark::RequestEarly);
        }
        let request = Request {
            id: repr.id,
            expect: repr.expect,
            method,
            body,
        };
        self.seq_mut().keep(member, request);
    }

    /// Numbers a member's waiting requests as far as they follow each other and there is room.
    fn number_waiting(&mut self, member: MemberIndex) {
        while let Some(id) = self.view.get(member).map(|peer| peer.id.next()) {
            let Some(size) = self.seq_mut().waiting_size(member, id) else {
                return;
            };
            if !self.makes_room_to_append(size) {
                return self.begin_sync_full();
            }
            if let Some(request) = self.seq_mut().take(member, id) {
                self.number(member, request);
            }
        }
    }

    /// Whether one more request finds room, after accepting what can be accepted.
    fn makes_room_to_append(&mut self, size: usize) -> bool {
        if !self.history.has_room_to_append(size) {
            self.process_history();
        }
        self.history.has_room_to_append(size)
    }

    fn number(&mut self, member: MemberIndex, request: Request) {
        step!(self.config.walk);
        if let Some(peer) = self.view.get_mut(member) {
            peer.id = request.id;
        }
        self.stats.mark(Mark::RequestNumbered);
        let seq = self.history.append(Entry {
            member,
            id: request.id,
            expect: request.expect,
            method: request.method,
            body: Some(request.body),
            answered: None,
        });
        self.note_history_peaks();
        self.multicast_tentative(seq);
    }

    /// Numbers a request of our own; false if there is no room yet.
    pub(crate) fn number_own(&mut self, id: MessageId, body: Body) -> bool {
        if !self.makes_room_to_append(body.size()) {
            self.begin_sync_full();
            return false;
        }
        let request = Request {
            id,
            expect: self.delivery.expect,
            method: Method::Pb,
            body,
        };
        self.number(self.me, request);
        self.process_history();
        true
    }

    /// Asks for the member's next request if later ones came, or if it was turned away.
    fn ask_for_missing_request(&mut self, member: MemberIndex) {
        let Some(peer) = self.view.get(member) else {
            return;
        };
        let (last, address) = (peer.id, peer.address);
        let (wanted, now) = (last.next(), self.now);
        let sequencer = self.seq_mut();
        let turned_away = match sequencer.turned_away.get(&member) {
            Some(latest) if latest.is_after(last) => true,
            Some(_) => {
                sequencer.turned_away.remove(&member);
                false
            }
            None => false,
        };
        let has_later = turned_away || sequencer.waiting.contains_key(&member);
        // As long as there is no room it would only be turned away again.
        if !has_later || sequencer.sync.is_full() || sequencer.knows(member, wanted) {
            return;
        }
        let recently = sequencer
            .asked
            .get(&member)
            .is_some_and(|&(id, at)| id == wanted && now.since(at) < ASK_REQUEST_PAUSE);
        if !recently {
            self.ask_for_request(member, wanted, address);
        }
    }

    fn ask_for_request(&mut self, member: MemberIndex, wanted: MessageId, address: FlipAddress) {
        let now = self.now;
        self.seq_mut().asked.insert(member, (wanted, now));
        self.stats.mark(Mark::RequestMissing);
        let mut repr = self.header(Kind::Retrans);
        repr.id = wanted;
        self.unicast(address, repr, |_| {});
    }

    fn on_duplicate_request(&mut self, member: MemberIndex, id: MessageId) {
        self.stats.mark(Mark::DuplicateRequest);
        let until = self.now + self.config.timing.linger;
        if let Some(peer) = self.view.get_mut(member) {
            // A leaver that asks has not got its word yet.
            if let PeerState::Leaving { seq, .. } = peer.state {
                peer.state = PeerState::Leaving { seq, until };
            }
        }
        match self.history.find(member, id) {
            // Numbered, not yet accepted: the sender will see it when it is.
            Some(seq) if !self.history.next().is_after(seq) => {}
            Some(seq) => {
                self.stats.mark(Mark::DuplicateAnswered);
                self.answer(member, seq);
            }
            // Everybody has it, the sender too: this one was under way for long.
            None => {
                if let Some(address) = self.view.get(member).map(|peer| peer.address) {
                    let repr = self.header(Kind::Alive);
                    self.unicast(address, repr, |_| {});
                }
            }
        }
    }

    // Accepting.

    /// Accepts numbered requests as long as enough members have them and no history overflows.
    /// [Thesis Fig. 3.15]
    fn process_history(&mut self) {
        while self.history.next() != self.history.end() {
            let seq = self.history.next();
            if !self.is_stored_enough(seq) {
                return self.wait_for_acks();
            }
            if !self.history.has_room_to_accept() {
                return self.begin_sync_full();
            }
            let leaver = self.enact(seq);
            self.history.accept();
            self.multicast_accepted(seq, leaver);
            self.on_accepted(seq);
            self.restart_ack_timer();
        }
    }

    /// Makes a number official. [Thesis §3.4.1] PB: with the data; BB: an accept.
    fn multicast_accepted(&mut self, seq: SeqNo, leaver: Option<MemberIndex>) {
        step!(self.config.walk);
        let leaver = leaver.filter(|&leaver| leaver != self.me);
        let listeners = self.other_members() + usize::from(leaver.is_some());
        if listeners == 0 {
            return;
        }
        let Some((repr, body)) = self.stored(seq) else {
            return;
        };
        // What is in a large message was sent by its sender, what was tentative with its number.
        let is_accept = matches!(body, Body::Data { .. })
            && (self.is_resilient() || self.method(seq) == Some(Method::Bb));
        let to = Destination::Multicast {
            group: self.addresses.a,
            listeners,
        };
        self.transmit(Endpoint::Member, to, repr, |message| {
            if !is_accept {
                body.emit(message);
            }
        });
    }

    fn method(&self, seq: SeqNo) -> Option<Method> {
        Some(self.history.get(seq)?.method)
    }

    /// A stored message as it is sent again, or for the first time with its number.
    pub(crate) fn stored(&self, seq: SeqNo) -> Option<(Repr, Body)> {
        let entry = self.history.get(seq)?;
        let body = entry.body.clone()?;
        let is_official = self.history.next().is_after(seq);
        let repr = Repr {
            kind: if is_official {
                body.kind()
            } else {
                body.tentative_kind()
            },
            member: entry.member,
            incarnation: self.incarnation,
            seq,
            id: entry.id,
            expect: entry.expect,
        };
        Some((repr, body))
    }

    fn on_accepted(&mut self, seq: SeqNo) {
        if let Some(entry) = self.history.get(seq) {
            let (member, id) = (entry.member, entry.id);
            if member == self.me {
                self.complete(id, seq);
            }
        }
        self.after_accept();
        if self.is_userless() {
            self.consume_unheard();
        }
    }

    // What is kept, and for whom.

    /// A member's delivery queue waits for `expect`: what lies below needs not be kept for it.
    pub(crate) fn hear_expect(&mut self, member: MemberIndex, expect: SeqNo) {
        let next = self.history.next();
        let Some(peer) = self.view.get_mut(member) else {
            return;
        };
        if expect.is_after(next) {
            return self.stats.mark(Mark::BadExpect);
        }
        if !expect.is_after(peer.expect) {
            return;
        }
        peer.expect = expect;
        if let PeerState::Leaving { seq, .. } = peer.state
            && expect.is_after(seq)
        {
            self.view.free(member);
        }
        self.release();
        self.check_finished();
    }

    /// Forgets what everybody has, and goes on with what waited for the room.
    pub(super) fn release(&mut self) {
        if let Some(lowest) = self.view.lowest_expect() {
            let lowest = if planted!(self, ReleaseEarly) {
                self.highest_expect().unwrap_or(lowest)
            } else {
                lowest
            };
            self.history.release_below(lowest);
        }
        self.use_room();
        if self.is_resilient() {
            // A leave may have waited for what others still needed.
            self.process_history();
        }
    }

    /// Goes on with what waited, if the history was full and is not any more.
    pub(super) fn use_room(&mut self) {
        let was_full = self.seq_mut().sync.is_full();
        if !was_full || !self.history.has_room_to_accept() {
            return;
        }
        self.stats.mark(Mark::HistoryFreed);
        self.seq_mut().sync.end_full();
        self.process_history();
        let members: Vec<MemberIndex> = self.seq_mut().waiting.keys().copied().collect();
        for member in members {
            self.number_waiting(member);
        }
        self.submit_own();
        self.process_history();
        self.ask_for_turned_away();
    }

    /// What a planted bug takes for the lowest number that somebody still needs.
    fn highest_expect(&self) -> Option<SeqNo> {
        let own = self.delivery.expect;
        let others = self.view.iter().filter(|(member, _)| *member != self.me);
        let highest = others.map(|(_, peer)| peer.expect).reduce(SeqNo::latest)?;
        Some(own.earliest(highest))
    }

    fn ask_for_turned_away(&mut self) {
        let members: Vec<MemberIndex> = self.seq_mut().turned_away.keys().copied().collect();
        for member in members {
            self.ask_for_missing_request(member);
        }
    }
}
