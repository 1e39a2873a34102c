//! Coming in and going out.
//!
//! A joiner asks everybody, in widening rings, where the sequencer of the port is; takes the
//! parameters and the slot that the sequencer reserves; registers the group's addresses; and asks
//! to be let in. Its own JOIN carries the member table, and its life in the group begins at the
//! number after it. A leaver goes at the number of its LEAVE.
//!
//! Implements: [Thesis §3.3] JoinGroup, LeaveGroup; [Amoeba5] §3.6.
//! Differs: an incarnation is taken from HEREIS; a joiner that is not let in locates again.

use capability::{Header, Order};
use flip_net::address::FlipAddress;
use flip_net::time::{Duration, Instant};

use super::send::Request;
use super::{GroupAddresses, Member, Phase, bounds};
use crate::event::{Destination, Endpoint, Event};
use crate::history::History;
use crate::member::deliver::Delivery;
use crate::member::receive::Receiver;
use crate::seq::SeqNo;
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::{Peer, PeerState, View};
use crate::wire::{JoinTable, Kind, LocateBody, Packet, Parameters, Repr, SlotState};

/// The widest ring of a locate.
const HOP_COUNT_MAX: u16 = 25;

/// How far the search for the sequencer has come.
#[derive(Debug)]
pub(crate) struct Locate {
    ring: u16,
    pause: Duration,
    give_up: Instant,
    /// Whether a request of ours may have been numbered without our seeing it.
    pub(super) may_be_in: bool,
}

impl Member {
    pub(crate) fn begin_locate(&mut self, may_be_in: bool) {
        self.phase = Phase::Locating(Locate {
            ring: self.config.locate_first_ring.min(HOP_COUNT_MAX),
            pause: self.config.timing.locate_step,
            give_up: self.now + self.config.timing.locate_total,
            may_be_in,
        });
        self.ask_everybody();
    }

    fn ask_everybody(&mut self) {
        let Phase::Locating(locate) = &mut self.phase else {
            return;
        };
        let hop_count = locate.ring;
        self.timers.set(Timer::LocateAgain, self.now + locate.pause);
        // All rings of the first round keep the first pause; then it doubles.
        if locate.ring < HOP_COUNT_MAX {
            locate.ring += 1;
        } else {
            let doubled = locate.pause.times(2);
            locate.pause = doubled.min(self.config.timing.locate_step_max);
        }
        let body = LocateBody {
            header: Header::to(self.config.port),
            rpc_address: self.config.rpc_address,
            address: self.address,
        };
        let repr = self.header(Kind::Locate);
        let to = Destination::Broadcast { hop_count };
        self.transmit(Endpoint::Member, to, repr, |message| {
            message.extend(body.emit(Order::Little));
        });
    }

    pub(crate) fn on_locate_again(&mut self) {
        let Phase::Locating(locate) = &self.phase else {
            return;
        };
        if self.now >= locate.give_up {
            self.event(Event::JoinFailed);
            return self.close();
        }
        self.stats.mark(Mark::LocateRepeated);
        self.ask_everybody();
    }

    pub(crate) fn on_here_is(&mut self, from: FlipAddress, repr: &Repr, packet: &Packet<'_>) {
        let Ok(parameters) = Parameters::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        if !self.adopt(&parameters) {
            self.stats.mark(Mark::Malformed);
            return;
        }
        self.stats.mark(Mark::Located);
        self.incarnation = repr.incarnation;
        self.me = parameters.assigned;
        self.view = View::new(usize::from(parameters.members_max), parameters.sequencer);
        self.view.set(
            parameters.sequencer,
            Peer::new((from, FlipAddress::NULL), PeerState::Member, SeqNo::NONE),
        );
        let (a, b) = (parameters.private_a, parameters.private_b);
        self.addresses = GroupAddresses::new(a, b, &self.config);
        self.register(Endpoint::FromSequencer, a);
        self.register(Endpoint::ToAll, b);
        self.timers.clear(Timer::LocateAgain);
        self.phase = Phase::Joining { since: self.now };
        self.begin_request(Request::Join);
    }

    /// Takes over the group's parameters; false if they cannot work here.
    fn adopt(&mut self, parameters: &Parameters) -> bool {
        let mut config = self.config.clone();
        config.members_max = parameters.members_max;
        config.large = parameters.large;
        let (Ok(history_log2), Ok(message_log2), Ok(resilience)) = (
            u8::try_from(parameters.history_log2),
            u8::try_from(parameters.message_log2),
            u8::try_from(parameters.resilience),
        ) else {
            return false;
        };
        config.history_log2 = history_log2;
        config.message_log2 = message_log2;
        config.resilience = resilience;
        let works = config.check().is_ok();
        if works {
            self.config = config;
        }
        works
    }

    /// Nobody let us in: perhaps our slot was given away, perhaps the sequencer is another one.
    pub(crate) fn restart_join(&mut self) {
        self.unregister_group();
        self.reset_sender();
        self.begin_locate(true);
    }

    pub(crate) fn unregister_group(&mut self) {
        self.unregister(Endpoint::FromSequencer);
        self.unregister(Endpoint::ToAll);
    }

    pub(crate) fn on_join(&mut self, repr: &Repr, packet: &Packet<'_>) {
        let Ok(table) = JoinTable::parse(packet) else {
            return self.stats.mark(Mark::Malformed);
        };
        if !matches!(self.phase, Phase::Joining { .. }) {
            return self.on_numbered_join(repr, table);
        }
        // An old JOIN for the same slot may still come out of the history.
        let is_ours = repr.member == self.me
            && table.slots.len() == usize::from(self.config.members_max)
            && table.slots.get(self.me.slot()).is_some_and(|slot| {
                slot.address == self.address && slot.state == SlotState::Member
            })
            && table.sequencer == self.view.sequencer;
        if is_ours {
            self.enter(repr, &table);
        } else {
            self.stats.mark(Mark::OutOfPhase);
        }
    }

    fn enter(&mut self, repr: &Repr, table: &JoinTable) {
        let next = repr.seq.next();
        let sequencer_address = self.sequencer_address();
        self.view = View::from_table(table);
        if let Some(peer) = self.view.get_mut(table.sequencer) {
            peer.address = sequencer_address;
        }
        self.history = History::new(next, bounds(&self.config));
        self.delivery = Delivery::new(next);
        self.receiver = Receiver::at(next);
        self.phase = Phase::Inside;
        self.complete(repr.id, repr.seq);
        self.watch(table.sequencer);
        self.event(Event::Entered {
            me: self.me,
            sequencer: table.sequencer,
            next,
            group: self.addresses.b,
        });
        if self.leave_wanted {
            self.leave(self.now);
        }
    }

    /// The own LEAVE is the last message that concerns us, and all before it are here.
    pub(crate) fn on_own_leave_received(&mut self) {
        self.phase = Phase::Left;
        self.tell_state();
        self.unregister_group();
        self.liveness.forget_all();
        self.timers.clear_all();
    }

    /// The owner has seen its own leave.
    pub(crate) fn on_own_leave_delivered(&mut self) {
        if self.sequencer.is_some() {
            self.phase = Phase::Left;
            self.begin_userless();
        } else if let Some(recovery) = &mut self.recovery {
            self.phase = Phase::Left;
            recovery.userless = true;
        } else {
            self.close();
        }
    }
}
