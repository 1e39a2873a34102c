//! Sending: a window of requests, PB or BB by size, again after silence, done when the own message
//! comes back in the order.
//!
//! The sequencer keeps each sender's order, so requests are completed oldest first and only the
//! oldest needs a timer. When a request behind it arrives first, the sequencer asks for the missing
//! one itself.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.13.
//! Differs: up to `Config::window` requests are outstanding instead of one; the caller does not
//! wait, `Event::Completed` tells. A silent sequencer is the business of `failure`.

use flip_net::step;
use std::collections::VecDeque;

use capability::{Header, Order};
use flip_net::time::Instant;

use super::rtt::Rtt;
use super::{Member, Phase};
use crate::event::{Destination, Endpoint, Event};
use crate::history::{Body, Method};
use crate::payload::Payload;
use crate::seq::{MessageId, SeqNo};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::Kind;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// As many requests or bytes as allowed are outstanding. Try again after the next
    /// [`Event::Completed`].
    #[error("the window of outstanding messages is full")]
    WindowFull,
    /// Larger than a message of this group may be.
    #[error("a message of {size} bytes is larger than the {size_max} that the group carries")]
    TooBig {
        /// Its size.
        size: usize,
        /// What the group carries.
        size_max: usize,
    },
    /// Not yet or no longer a member.
    #[error("not a member of the group")]
    NotMember,
    /// The group is broken; send again after the reset.
    #[error("the group is broken until it is reset")]
    Aborted,
}

/// What is asked of the sequencer.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join,
    Leave,
    Data { header: Header, data: Payload },
}

impl Request {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Request::Join => Kind::JoinReq,
            Request::Leave => Kind::LeaveReq,
            Request::Data { .. } => Kind::BcastReq,
        }
    }

    fn size(&self) -> usize {
        match self {
            Request::Join | Request::Leave => 0,
            Request::Data { data, .. } => data.len(),
        }
    }
}

#[derive(Debug)]
struct Outstanding {
    id: MessageId,
    request: Request,
    sent: Instant,
    resent: bool,
}

/// The requests of this member that have no number yet, oldest first.
#[derive(Debug)]
pub(crate) struct Sender {
    last: MessageId,
    outstanding: VecDeque<Outstanding>,
    bytes: usize,
    rtt: Rtt,
}

impl Sender {
    pub(crate) fn new() -> Sender {
        Sender {
            last: MessageId::NONE,
            outstanding: VecDeque::new(),
            bytes: 0,
            rtt: Rtt::new(),
        }
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    fn get(&self, id: MessageId) -> Option<&Outstanding> {
        let oldest = self.outstanding.front()?.id;
        if oldest.is_after(id) {
            return None;
        }
        self.outstanding.get(id.distance(oldest) as usize)
    }

    /// The body of an own request, for the accept that names it.
    pub(crate) fn body(&self, id: MessageId) -> Option<Body> {
        match &self.get(id)?.request {
            Request::Data { header, data } => Some(Body::Data {
                header: *header,
                data: data.clone(),
            }),
            Request::Join | Request::Leave => None,
        }
    }

    /// The last id that was used.
    pub(crate) fn last(&self) -> MessageId {
        self.last
    }

    /// This id is used for something that is not sent.
    pub(crate) fn take_id(&mut self, id: MessageId) {
        self.last = self.last.latest(id);
    }

    /// What a planted bug does.
    pub(crate) fn reuse_ids_behind(&mut self, last: MessageId) {
        self.last = last;
    }

    /// What a planted bug does.
    pub(crate) fn outstanding_ids(&self) -> Vec<MessageId> {
        self.outstanding.iter().map(|request| request.id).collect()
    }

    /// Forgets all requests; gives the ids of the data among them.
    pub(crate) fn fail_all(&mut self) -> Vec<MessageId> {
        let failed = self.outstanding.drain(..);
        let data = failed.filter(|failed| matches!(failed.request, Request::Data { .. }));
        let ids = data.map(|failed| failed.id).collect();
        self.bytes = 0;
        ids
    }

    fn push(&mut self, request: Request, now: Instant) -> MessageId {
        let id = self.last.next();
        self.last = id;
        self.bytes += request.size();
        self.outstanding.push_back(Outstanding {
            id,
            request,
            sent: now,
            resent: false,
        });
        id
    }
}

impl Member {
    /// Sends a message to the group. Its place in the order comes as [`Event::Completed`], the
    /// message itself as [`Event::Delivered`], here as everywhere.
    ///
    /// # Errors
    /// [`SendError`]; then nothing was sent.
    pub fn send(
        &mut self,
        now: Instant,
        header: Header,
        data: impl Into<Payload>,
    ) -> Result<MessageId, SendError> {
        step!(self.config.walk);
        self.advance_clock(now);
        let data = data.into();
        if !self.is_inside() {
            return Err(SendError::NotMember);
        }
        if self.recovery.is_some() {
            return Err(SendError::Aborted);
        }
        let size_max = self.config.message_bytes_max();
        if data.len() > size_max {
            return Err(SendError::TooBig {
                size: data.len(),
                size_max,
            });
        }
        if !self.has_send_room(data.len()) {
            self.stats.mark(Mark::WindowFull);
            return Err(SendError::WindowFull);
        }
        Ok(self.begin_request(Request::Data { header, data }))
    }

    /// Whether `send` would take a message of this size now.
    pub fn has_send_room(&self, size: usize) -> bool {
        let sender = &self.sender;
        if self.recovery.is_some() {
            return false;
        }
        sender.outstanding.is_empty()
            || (sender.outstanding.len() < self.config.window as usize
                && sender.bytes + size <= self.config.window_bytes_max)
    }

    /// Leaves the group, after everything sent so far. [`Event::Left`] with the own number comes at
    /// its place in the order, then [`Event::Closed`]. A sequencer numbers on until all others have
    /// left. Who has asked to be let in leaves as soon as it is in; who has not just stops.
    pub fn leave(&mut self, now: Instant) {
        self.advance_clock(now);
        match self.phase {
            Phase::Inside => {
                self.phase = Phase::Leaving;
                if self.recovery.is_none() {
                    self.begin_request(Request::Leave);
                }
            }
            Phase::Locating(ref locate) if !locate.may_be_in => self.close(),
            // The sequencer may count us already; going without a word would stop the group.
            Phase::Locating(_) | Phase::Joining { .. } => self.leave_wanted = true,
            Phase::Leaving | Phase::Left | Phase::Gone => {}
        }
    }

    pub(crate) fn begin_request(&mut self, request: Request) -> MessageId {
        let id = self.sender.push(request, self.now);
        if self.sequencer.is_some() {
            self.submit_own();
        } else {
            self.transmit_request(id);
            if !self.timers.is_set(Timer::ResendRequest) {
                self.set_resend_timer();
            }
        }
        id
    }

    /// At the sequencer: numbers own requests as far as there is room.
    pub(crate) fn submit_own(&mut self) {
        while let Some(id) = self.next_own_request() {
            let request = self
                .sender
                .get(id)
                .expect("it was just found")
                .request
                .clone();
            let body = match request {
                Request::Data { header, data } => Body::Data { header, data },
                // A sequencer created the group; it never joins one.
                Request::Join => return,
                Request::Leave => Body::Leave(Header::to(self.config.port)),
            };
            if !self.number_own(id, body) {
                return;
            }
        }
    }

    fn next_own_request(&self) -> Option<MessageId> {
        let id = self.view.get(self.me)?.id.next();
        Some(self.sender.get(id)?.id)
    }

    fn transmit_request(&mut self, id: MessageId) {
        step!(self.config.walk);
        let Some(outstanding) = self.sender.get(id) else {
            return;
        };
        let request = outstanding.request.clone();
        let mut repr = self.header(request.kind());
        repr.id = id;
        let port = self.config.port;
        match request {
            Request::Data { header, data } => {
                let emit = |message: &mut Vec<u8>| {
                    message.extend(header.emit(Order::Little));
                    message.extend_from_slice(&data);
                };
                if self.method_of(data.len()) == Method::Bb {
                    self.stats.mark(Mark::SentBb);
                    self.receiver.spoke(repr.expect);
                    let to = Destination::Multicast {
                        group: self.addresses.b,
                        listeners: self.other_members(),
                    };
                    self.transmit(Endpoint::Member, to, repr, emit);
                } else {
                    self.stats.mark(Mark::SentPb);
                    self.tell_sequencer(repr, emit);
                }
            }
            Request::Join | Request::Leave => {
                self.tell_sequencer(repr, |message| {
                    message.extend(Header::to(port).emit(Order::Little));
                });
            }
        }
    }

    fn method_of(&self, data_size: usize) -> Method {
        if self.config.is_large(data_size) {
            Method::Bb
        } else {
            Method::Pb
        }
    }

    /// Everybody who listens but us, a sequencer without application included.
    pub(crate) fn other_members(&self) -> usize {
        let listens = |state| matches!(state, PeerState::Member | PeerState::LeftSequencer);
        self.view
            .iter()
            .filter(|&(member, peer)| member != self.me && listens(peer.state))
            .count()
    }

    fn set_resend_timer(&mut self) {
        if self.recovery.is_some() {
            return;
        }
        match self.sender.outstanding.front() {
            None => self.timers.clear(Timer::ResendRequest),
            Some(_) => {
                let timing = &self.config.timing;
                let wait = self.sender.rtt.timeout(timing) + timing.transfer(self.sender.bytes);
                self.timers.set(Timer::ResendRequest, self.now + wait);
            }
        }
    }

    pub(crate) fn on_resend(&mut self) {
        if let Phase::Joining { since } = self.phase
            && self.now.since(since) >= self.config.timing.join_give_up
        {
            self.stats.mark(Mark::JoinRestarted);
            return self.restart_join();
        }
        let Some(oldest) = self.sender.outstanding.front_mut() else {
            return;
        };
        oldest.resent = true;
        let id = oldest.id;
        self.sender.rtt.timed_out();
        self.stats.mark(Mark::RequestResent);
        self.transmit_request(id);
        self.set_resend_timer();
    }

    /// The sequencer misses one of our requests.
    pub(crate) fn on_request_wanted(&mut self, id: MessageId) {
        let oldest = self.sender.outstanding.front().map(|oldest| oldest.id);
        let Some(oldest) = oldest.filter(|oldest| !oldest.is_after(id)) else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        let index = id.distance(oldest) as usize;
        let Some(outstanding) = self.sender.outstanding.get_mut(index) else {
            return self.stats.mark(Mark::OutOfPhase);
        };
        outstanding.resent = true;
        self.stats.mark(Mark::RequestAskedFor);
        self.transmit_request(id);
    }

    /// One of our own requests came back in the order.
    pub(crate) fn complete(&mut self, id: MessageId, seq: SeqNo) {
        step!(self.config.walk);
        // Everything up to it is numbered: the sequencer keeps our order.
        while self
            .sender
            .outstanding
            .front()
            .is_some_and(|oldest| !oldest.id.is_after(id))
        {
            let done = self.sender.outstanding.pop_front();
            let done = done.expect("the loop's condition saw it");
            self.sender.bytes -= done.request.size();
            // Which of several copies was answered cannot be told; a slow sequencer would look
            // like a fast one and be sent everything twice.
            if !done.resent {
                self.sender.rtt.measure(self.now.since(done.sent));
                self.sender.rtt.answered();
            }
            if matches!(done.request, Request::Data { .. }) {
                self.event(Event::Completed { id: done.id, seq });
            }
        }
        if self.sequencer.is_none() {
            self.set_resend_timer();
        }
    }

    /// Forgets all requests, for a join that begins again.
    pub(crate) fn reset_sender(&mut self) {
        self.sender = Sender::new();
        self.timers.clear(Timer::ResendRequest);
    }
}
