//! The sequencer: numbers requests, stores them, accepts them, answers for what was missed.
//!
//! A request is numbered when it is the next of its sender and the history has room; it is accepted,
//! that is, multicast as official, when no member's history can overflow by it. Requests that
//! overtook another of the same sender wait for that one.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.14, 3.15; facts sheet §3.5, §3.6 for resilience 0.
//! Differs: duplicates are told by a window of message ids; a missing request is asked for.

mod sync;

use std::collections::BTreeMap;

use capability::{Header, Order};
use flip_net::address::FlipAddress;
use flip_net::time::{Duration, Instant};

use crate::config::{Config, WINDOW_MAX};
use crate::event::{Destination, Endpoint};
use crate::history::{Body, Entry, Method};
use crate::member::{Member, Phase, data_body};
use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::{Peer, PeerState};
use crate::wire::{self, JoinTable, Kind, LocateBody, Packet, Parameters, Repr, TableSlot};

use sync::Sync;

/// Most messages sent for one RETRANS.
const ANSWER_MESSAGES_MAX: u32 = 64;
/// Most bytes sent for one RETRANS, the first message not counted.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// A missing request is not asked for twice within this time.
const ASK_REQUEST_PAUSE: Duration = Duration::from_millis(5);

/// How often a leaver without a word is sent its LEAVE before it is taken for gone.
const LEAVE_REPEATS: u64 = 20;

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
    sync: Sync,
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
            sync: Sync::new(&config.timing),
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
    }

    // Requests.

    /// A request to broadcast data, from whoever its source was checked to be.
    pub(crate) fn on_request(&mut self, endpoint: Endpoint, repr: &Repr, message: Vec<u8>) {
        if repr.seq != SeqNo::NONE {
            // With a number it belongs to resilience above 0.
            return self.stats.mark(Mark::OutOfPhase);
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
    pub(crate) fn on_membership_request(&mut self, repr: &Repr, packet: &Packet<'_>) {
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
        if let Some(peer) = self.view.get_mut(member) {
            peer.id = request.id;
        }
        self.stats.mark(Mark::RequestNumbered);
        self.history.append(Entry {
            member,
            id: request.id,
            expect: request.expect,
            method: request.method,
            body: Some(request.body),
            answered: None,
        });
        self.note_history_peaks();
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

    /// Accepts numbered requests as long as no history overflows. [Thesis Fig. 3.15]
    fn process_history(&mut self) {
        while self.history.next() != self.history.end() {
            if !self.history.has_room_to_accept() {
                return self.begin_sync_full();
            }
            let seq = self.history.next();
            let leaver = self.enact(seq);
            self.history.advance();
            self.multicast_accepted(seq, leaver);
            self.on_accepted(seq);
        }
    }

    /// What a join or leave changes; gives who leaves by it.
    fn enact(&mut self, seq: SeqNo) -> Option<MemberIndex> {
        let entry = self.history.get(seq)?;
        let member = entry.member;
        match entry.body.as_ref()? {
            Body::Data { .. } => None,
            Body::Join(_) => {
                self.enact_join(seq, member);
                None
            }
            Body::Leave(_) => {
                self.enact_leave(seq, member);
                Some(member)
            }
        }
    }

    fn enact_join(&mut self, seq: SeqNo, member: MemberIndex) {
        if let Some(peer) = self.view.get_mut(member) {
            peer.state = PeerState::Member;
            // The JOIN itself is kept until the joiner shows that it has it.
            peer.expect = seq;
        }
        let table = self.table(member, seq.next());
        if let Some(entry) = self.history.get_mut(seq) {
            entry.body = Some(Body::Join(table.into()));
        }
        self.stats.mark(Mark::MemberJoined);
        self.watch(member);
    }

    fn enact_leave(&mut self, seq: SeqNo, member: MemberIndex) {
        self.stats.mark(Mark::MemberLeft);
        let until = self.now + self.config.timing.linger;
        let is_me = member == self.me;
        if let Some(peer) = self.view.get_mut(member) {
            peer.state = if is_me {
                PeerState::LeftSequencer
            } else {
                PeerState::Leaving { seq, until }
            };
        }
        if !is_me {
            self.liveness.forget(member);
            self.seq_mut().forget(member);
            if !self.timers.is_set(Timer::FreeLeaver) {
                self.set_leaver_timer();
            }
        }
    }

    /// The member table as a JOIN tells it.
    fn table(&self, joiner: MemberIndex, next: SeqNo) -> JoinTable {
        let slots = self.view.to_slots();
        JoinTable {
            header: Header::to(self.config.port),
            joiner: slots
                .get(joiner.slot())
                .map_or(FlipAddress::NULL, |slot: &TableSlot| slot.address),
            slots,
            private_b: self.addresses.private_b,
            total: self.view.total() as u16,
            sequencer: self.me,
            next,
            incarnation: self.incarnation,
            resilience: u16::from(self.config.resilience),
            large: self.config.large,
        }
    }

    /// Makes a number official. [Thesis §3.4.1] PB: with the data; BB: an accept.
    fn multicast_accepted(&mut self, seq: SeqNo, leaver: Option<MemberIndex>) {
        let leaver = leaver.filter(|&leaver| leaver != self.me);
        let listeners = self.other_members() + usize::from(leaver.is_some());
        if listeners == 0 {
            return;
        }
        let Some((repr, body)) = self.stored(seq) else {
            return;
        };
        let is_bb = self
            .history
            .get(seq)
            .is_some_and(|entry| entry.method == Method::Bb);
        let to = Destination::Multicast {
            group: self.addresses.a,
            listeners,
        };
        self.transmit(Endpoint::Member, to, repr, |message| {
            if !is_bb {
                body.emit(message);
            }
        });
    }

    fn stored(&self, seq: SeqNo) -> Option<(Repr, Body)> {
        let entry = self.history.get(seq)?;
        let body = entry.body.clone()?;
        let repr = Repr {
            kind: body.kind(),
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
    fn release(&mut self) {
        if let Some(lowest) = self.view.lowest_expect() {
            self.history.release_below(lowest);
        }
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

    fn ask_for_turned_away(&mut self) {
        let members: Vec<MemberIndex> = self.seq_mut().turned_away.keys().copied().collect();
        for member in members {
            self.ask_for_missing_request(member);
        }
    }

    // Retransmission.

    pub(crate) fn on_retrans(&mut self, repr: &Repr) {
        self.hear_expect(repr.member, repr.expect);
        let count = repr.id.value().clamp(1, ANSWER_MESSAGES_MAX);
        if self.history.lowest().is_after(repr.seq) {
            return self.stats.mark(Mark::RetransmissionImpossible);
        }
        let mut bytes = 0;
        let mut seq = repr.seq;
        for _ in 0..count {
            if !self.history.next().is_after(seq) || bytes > ANSWER_BYTES_MAX {
                return;
            }
            bytes += self.answer(repr.member, seq);
            seq = seq.next();
        }
    }

    /// Sends a stored message to one member, with its data and its final kind; gives its size.
    fn answer(&mut self, member: MemberIndex, seq: SeqNo) -> usize {
        let Some(address) = self.view.get(member).map(|peer| peer.address) else {
            return 0;
        };
        let Some((repr, body)) = self.stored(seq) else {
            self.stats.mark(Mark::RetransmissionImpossible);
            return 0;
        };
        let size = body.size();
        // A large message takes its time; asking again does not make it faster.
        let under_way = self.config.timing.transfer(size);
        let now = self.now;
        if let Some(entry) = self.history.get_mut(seq) {
            let recently = entry
                .answered
                .is_some_and(|(to, at)| to == member && now.since(at) < under_way);
            if recently {
                self.stats.mark(Mark::RetransmissionSpared);
                return 0;
            }
            entry.answered = Some((member, now));
        }
        self.stats.mark(Mark::RetransmissionAnswered);
        self.unicast(address, repr, |message| body.emit(message));
        size
    }

    // Joining and leaving, the sequencer's side.

    pub(crate) fn on_locate(&mut self, from: FlipAddress, packet: &Packet<'_>) {
        let Ok(body) = LocateBody::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        if body.header.port != self.config.port {
            return;
        }
        if body.address != from {
            return self.stats.mark(Mark::OtherSource);
        }
        match self.reserve(&body) {
            Ok(assigned) => self.tell_here_is(from, assigned),
            Err(mark) => self.stats.mark(mark),
        }
    }

    /// The slot for a joiner: the one it has, or a free one.
    fn reserve(&mut self, body: &LocateBody) -> Result<MemberIndex, Mark> {
        let until = self.now + self.config.timing.silence_max;
        let next = self.history.next();
        if let Some(member) = self.view.by_address(body.address) {
            let peer = self.view.get_mut(member).ok_or(Mark::OutOfPhase)?;
            return match peer.state {
                PeerState::Joining { .. } => {
                    peer.state = PeerState::Joining { until };
                    Ok(member)
                }
                // It is in but does not know, and begins again.
                PeerState::Member if peer.id == MessageId::FIRST => Ok(member),
                _ => Err(Mark::OutOfPhase),
            };
        }
        let member = self.view.free_slot(self.now).ok_or(Mark::GroupFull)?;
        self.seq_mut().forget(member);
        let peer = Peer {
            address: body.address,
            rpc_address: body.rpc_address,
            state: PeerState::Joining { until },
            expect: next,
            id: MessageId::NONE,
        };
        self.view.set(member, peer);
        Ok(member)
    }

    fn tell_here_is(&mut self, to: FlipAddress, assigned: MemberIndex) {
        let parameters = Parameters {
            members_max: self.config.members_max,
            history_log2: u16::from(self.config.history_log2),
            message_log2: u16::from(self.config.message_log2),
            resilience: u16::from(self.config.resilience),
            large: self.config.large,
            assigned,
            sequencer: self.me,
            private_a: self.addresses.private_a,
            private_b: self.addresses.private_b,
        };
        let repr = self.header(Kind::HereIs);
        self.unicast(to, repr, |message| {
            message.extend(parameters.emit(Order::Little));
        });
    }

    /// Sends leavers their LEAVE again, and frees the slots of those that had time enough.
    pub(crate) fn on_free_leaver(&mut self) {
        let leaving: Vec<(MemberIndex, SeqNo, Instant)> = self
            .view
            .iter()
            .filter_map(|(member, peer)| match peer.state {
                PeerState::Leaving { seq, until } => Some((member, seq, until)),
                _ => None,
            })
            .collect();
        for &(member, seq, until) in &leaving {
            if until <= self.now {
                self.stats.mark(Mark::LeaverGone);
                self.view.free(member);
            } else {
                self.stats.mark(Mark::LeaveRepeated);
                self.answer(member, seq);
            }
        }
        if !leaving.is_empty() {
            self.set_leaver_timer();
        }
        self.release();
        self.check_finished();
    }

    fn set_leaver_timer(&mut self) {
        let pause = self.config.timing.linger.divided(LEAVE_REPEATS);
        self.timers.set(Timer::FreeLeaver, self.now + pause);
    }

    /// The own application has left: number on as long as somebody else is there.
    pub(crate) fn begin_userless(&mut self) {
        self.seq_mut().userless = true;
        self.consume_unheard();
        self.check_finished();
        if !self.is_closed() {
            self.stats.mark(Mark::UserlessSequencer);
        }
    }

    fn consume_unheard(&mut self) {
        let next = self.history.next();
        self.delivery.expect = next;
        if let Some(peer) = self.view.get_mut(self.me) {
            peer.expect = next;
        }
        self.release();
    }

    fn check_finished(&mut self) {
        let others = self.view.iter().any(|(member, peer)| {
            member != self.me && !matches!(peer.state, PeerState::Joining { .. })
        });
        if self.is_userless() && !others && !matches!(self.phase, Phase::Gone) {
            self.close();
        }
    }
}
