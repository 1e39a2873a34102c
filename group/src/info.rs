//! What a member knows of its group, and what it waits for: for owners, and for people who ask why
//! nothing happens. Nothing here changes anything.
//!
//! Implements: [Thesis §3.3] GetInfoGroup; [Amoeba5] §3.1, the state record.

use std::fmt;

use flip_net::address::FlipAddress;
use flip_net::time::Instant;

use crate::config::Timing;
use crate::member::{Member, Phase};
use crate::recovery::Stage;
use crate::seq::{Incarnation, MemberIndex, SeqNo};
use crate::timers::Timer;
use crate::view::PeerState;

/// The state record of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Who we are.
    pub me: MemberIndex,
    /// Who numbers.
    pub sequencer: MemberIndex,
    /// Who is in, ourselves included.
    pub members: Vec<MemberIndex>,
    /// The next number to be delivered.
    pub expect: SeqNo,
    /// The next number to be received; what is before it is official.
    pub next: SeqNo,
    /// The first number that is not stored here; from `next` up to it numbers are tentative.
    pub unstable: SeqNo,
    /// How many crashes no delivered broadcast may be lost to.
    pub resilience: u8,
    /// Which life of the group this is.
    pub incarnation: Incarnation,
    /// Whether the group is broken, and not yet formed anew.
    pub is_broken: bool,
    /// The times that are in force.
    pub timing: Timing,
}

/// For what a member waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStep {
    /// For the group to be found.
    Locate,
    /// For the number of the own join.
    Join,
    /// For the number of the oldest own request.
    Request,
    /// For a broadcast that others have and we do not.
    Missing(SeqNo),
    /// The sequencer: for a member to acknowledge a tentative number.
    Acknowledgement(SeqNo),
    /// The sequencer, whose history is full: for a member to take what it has not delivered.
    Room(SeqNo),
    /// For somebody to reset the broken group.
    Reset,
    /// A coordinator: for the vote of a member.
    Vote,
    /// A coordinator: for what a voter has stored and we have not.
    Fetch,
    /// A coordinator: for a voter to have what we have.
    Update,
    /// A coordinator: for a voter to take the new group.
    Confirmation,
    /// A member that voted: for the coordinator's new group.
    Result,
    /// A sequencer that has left: for the others to leave.
    Leavers,
}

/// One wait of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// For what.
    pub step: WaitStep,
    /// From whom; none while that is not known.
    pub peer: Option<MemberIndex>,
    /// When something is done about it at the latest; none where only the owner can.
    pub deadline: Option<Instant>,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("waits ")?;
        match self.step {
            WaitStep::Locate => f.write_str("for a sequencer of the group to be located")?,
            WaitStep::Join => f.write_str("for the number of its join")?,
            WaitStep::Request => f.write_str("for the number of its oldest message")?,
            WaitStep::Missing(seq) => write!(f, "for the missing broadcast {seq}")?,
            WaitStep::Acknowledgement(seq) => write!(f, "for the acknowledgement of {seq}")?,
            WaitStep::Room(seq) => write!(f, "for broadcast {seq} to be received")?,
            WaitStep::Reset => f.write_str("for a reset of the broken group")?,
            WaitStep::Vote => f.write_str("for a vote")?,
            WaitStep::Fetch => f.write_str("for the broadcasts that only a voter has")?,
            WaitStep::Update => f.write_str("for a voter to catch up")?,
            WaitStep::Confirmation => f.write_str("for a voter to confirm the new group")?,
            WaitStep::Result => f.write_str("for the coordinator to form the new group")?,
            WaitStep::Leavers => f.write_str("for the others to leave")?,
        }
        if let Some(peer) = self.peer {
            write!(f, ", from {peer}")?;
        }
        match self.deadline {
            Some(deadline) => write!(f, ", next step at {deadline}"),
            None => Ok(()),
        }
    }
}

impl Member {
    /// The state record.
    pub fn info(&self) -> Info {
        Info {
            me: self.me,
            sequencer: self.view.sequencer,
            members: self.members(),
            expect: self.delivery.expect,
            next: self.history.next(),
            unstable: self.history.stored(),
            resilience: self.config.resilience,
            incarnation: self.incarnation,
            is_broken: self.recovery.is_some(),
            timing: self.config.timing,
        }
    }

    /// The public address of a member's RPC endpoint, if it has one.
    pub fn rpc_address_of(&self, member: MemberIndex) -> Option<FlipAddress> {
        let address = self.view.get(member)?.rpc_address;
        (!address.is_null()).then_some(address)
    }

    /// Other times from now on. A deadline that is set already stays until it has come.
    pub fn set_timing(&mut self, now: Instant, timing: Timing) {
        self.advance_clock(now);
        self.config.timing = timing;
    }

    /// Everything that this member waits for.
    pub fn waits(&self) -> Vec<Wait> {
        let wait = |step, peer, timer| Wait {
            step,
            peer,
            deadline: self.timers.at(timer),
        };
        let sequencer = Some(self.view.sequencer);
        match self.phase {
            Phase::Gone => return Vec::new(),
            Phase::Locating(_) => return vec![wait(WaitStep::Locate, None, Timer::LocateAgain)],
            Phase::Joining { .. } => {
                return vec![wait(WaitStep::Join, sequencer, Timer::ResendRequest)];
            }
            Phase::Inside | Phase::Leaving | Phase::Left => {}
        }
        if let Some((stage, peers)) = self.recovery_stage() {
            let step = match stage {
                Stage::Idle => WaitStep::Reset,
                Stage::Inviting => WaitStep::Vote,
                Stage::Fetching => WaitStep::Fetch,
                Stage::Updating => WaitStep::Update,
                Stage::Confirming => WaitStep::Confirmation,
                Stage::Following => WaitStep::Result,
            };
            if peers.is_empty() {
                return vec![wait(step, None, Timer::Recover)];
            }
            let peers = peers.into_iter();
            return peers
                .map(|peer| wait(step, Some(peer), Timer::Recover))
                .collect();
        }
        let mut waits = Vec::new();
        if self.sequencer.is_some() {
            self.waits_of_sequencer(&mut waits);
        } else {
            if self.outstanding() > 0 {
                waits.push(wait(WaitStep::Request, sequencer, Timer::ResendRequest));
            }
            if self.timers.is_set(Timer::AskAgain) {
                let missing = WaitStep::Missing(self.history.next());
                waits.push(wait(missing, sequencer, Timer::AskAgain));
            }
        }
        waits
    }

    fn waits_of_sequencer(&self, waits: &mut Vec<Wait>) {
        let others = |keep: &dyn Fn(&crate::view::Peer) -> bool| {
            let is_in = |state| matches!(state, PeerState::Member);
            let others = self.view.iter();
            let others = others
                .filter(|&(member, peer)| member != self.me && is_in(peer.state) && keep(peer));
            others.map(|(member, _)| member).collect::<Vec<_>>()
        };
        let mut push = |step, members: Vec<MemberIndex>, timer| {
            let deadline = self.timers.at(timer);
            waits.extend(members.into_iter().map(|member| Wait {
                step,
                peer: Some(member),
                deadline,
            }));
        };
        let tentative = self.history.next();
        if self.history.end() != tentative && self.config.resilience > 0 {
            let lacks =
                |peer: &crate::view::Peer| !peer.stored.latest(peer.expect).is_after(tentative);
            let step = WaitStep::Acknowledgement(tentative);
            push(step, others(&lacks), Timer::AskForAcks);
        }
        if self.outstanding() > 0 && !self.history.has_room_to_accept() {
            let lowest = self.history.lowest();
            let holds_up = |peer: &crate::view::Peer| !peer.expect.is_after(lowest);
            let step = WaitStep::Room(lowest);
            push(step, others(&holds_up), Timer::Synchronise);
            if !self.delivery.expect.is_after(lowest) {
                push(step, vec![self.me], Timer::Synchronise);
            }
        }
        if matches!(self.phase, Phase::Left) {
            push(WaitStep::Leavers, others(&|_| true), Timer::FreeLeaver);
        }
    }
}
