//! The acceptance filter: which messages are looked at at all, in this order.
//!
//! 1. Stage: who locates takes only HEREIS, who joins only JOIN, who is gone nothing; who recovers
//!    takes no requests.
//! 2. Incarnation: equal to ours ([Thesis §3.4.2]); under `Rules::Amoeba5` not higher. LOCATE,
//!    HEREIS and JOINREQ come from outside and are not checked.
//! 3. Source: what has a number must come from who numbers, or in recovery from whom we asked for
//!    it; SYNC from the sequencer or the coordinator; what a member says from the member's address.
//!
//! Implements: [Amoeba5] §3.9. Differs: sources of all kinds are checked, not of seven.

use flip_net::address::FlipAddress;

use crate::config::Rules;
use crate::seq::{Incarnation, SeqNo};
use crate::stats::Mark;
use crate::view::View;
use crate::wire::{Kind, Repr};

/// How far into the group's life a member is, as the filter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Locating,
    Joining,
    /// In the group, which is being formed anew.
    Recovering,
    /// In the group, or on its way out.
    Inside,
    Gone,
}

/// What the filter needs to know of the member.
pub(crate) struct Gate<'a> {
    pub(crate) rules: Rules,
    pub(crate) stage: Stage,
    pub(crate) incarnation: Incarnation,
    pub(crate) is_sequencer: bool,
    /// Who gives us messages with numbers: the sequencer, or whom we asked in recovery.
    pub(crate) numberer: FlipAddress,
    /// Who may ask how far we are: the sequencer, or the coordinator in recovery.
    pub(crate) leader: FlipAddress,
    pub(crate) view: &'a View,
}

impl Gate<'_> {
    /// Whether the message may pass.
    ///
    /// # Errors
    /// The mark to count it under, if not.
    pub(crate) fn check(&self, from: FlipAddress, repr: &Repr) -> Result<(), Mark> {
        self.check_stage(repr)?;
        self.check_incarnation(repr)?;
        self.check_source(from, repr)
    }

    fn check_stage(&self, repr: &Repr) -> Result<(), Mark> {
        let fits = match self.stage {
            Stage::Locating => repr.kind == Kind::HereIs,
            Stage::Joining => repr.kind == Kind::Join,
            Stage::Inside => self.fits_inside(repr),
            Stage::Recovering => fits_recovery(repr),
            Stage::Gone => false,
        };
        fits.then_some(()).ok_or(Mark::OutOfPhase)
    }

    fn fits_inside(&self, repr: &Repr) -> bool {
        match repr.kind {
            Kind::AliveReq | Kind::Alive | Kind::ReformReq | Kind::Dead => true,
            // With a number it is the sequencer's; without one everybody hears the large ones.
            Kind::BcastReq => repr.seq == SeqNo::NONE || !self.is_sequencer,
            Kind::JoinReq | Kind::LeaveReq => self.is_sequencer == (repr.seq == SeqNo::NONE),
            Kind::Locate | Kind::State | Kind::Ack => self.is_sequencer,
            Kind::Join | Kind::Leave | Kind::Bcast | Kind::Sync => !self.is_sequencer,
            // From the sequencer it asks for a request, from a member for a broadcast.
            Kind::Retrans => self.is_sequencer == (repr.seq != SeqNo::NONE),
            // These are answers to what only others ask.
            Kind::HereIs | Kind::Vote | Kind::Result | Kind::ResultAck => false,
        }
    }

    fn check_incarnation(&self, repr: &Repr) -> Result<(), Mark> {
        let passes = match repr.kind {
            Kind::Locate | Kind::HereIs => true,
            Kind::JoinReq if repr.seq == SeqNo::NONE => true,
            _ => match self.rules {
                Rules::Thesis => repr.incarnation == self.incarnation,
                Rules::Amoeba5 => !repr.incarnation.is_after(self.incarnation),
            },
        };
        passes.then_some(()).ok_or(Mark::OtherIncarnation)
    }

    fn check_source(&self, from: FlipAddress, repr: &Repr) -> Result<(), Mark> {
        let owner = |repr: &Repr| self.view.get(repr.member).map(|peer| peer.address);
        let passes = match repr.kind {
            // Whoever answers first is believed: the table in JOIN has the last word.
            Kind::Locate | Kind::HereIs => true,
            Kind::Join | Kind::Leave | Kind::Bcast => from == self.numberer,
            Kind::BcastReq | Kind::JoinReq | Kind::LeaveReq if repr.seq != SeqNo::NONE => {
                from == self.numberer
            }
            Kind::Sync => from == self.leader,
            Kind::Retrans if repr.seq == SeqNo::NONE => from == self.leader,
            // Those to the group come from the group's address, so that FLIP learns the way to it.
            Kind::Alive => owner(repr).is_some(),
            _ => owner(repr) == Some(from),
        };
        passes.then_some(()).ok_or(Mark::OtherSource)
    }
}

/// Recovery has its own messages, and fetches what is missing.
fn fits_recovery(repr: &Repr) -> bool {
    match repr.kind {
        Kind::ReformReq
        | Kind::Vote
        | Kind::Result
        | Kind::ResultAck
        | Kind::Sync
        | Kind::State
        | Kind::Alive
        | Kind::AliveReq
        | Kind::Dead
        | Kind::Join
        | Kind::Leave
        | Kind::Bcast => true,
        Kind::BcastReq | Kind::JoinReq | Kind::LeaveReq | Kind::Retrans => repr.seq != SeqNo::NONE,
        Kind::Locate | Kind::HereIs | Kind::Ack => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::{MemberIndex, MessageId};
    use crate::view::{Peer, PeerState};

    fn address(number: u8) -> FlipAddress {
        FlipAddress::new([number, 0, 0, 0, 0, 0, 0, 0])
    }

    fn view() -> View {
        let mut view = View::new(4, MemberIndex::new(0));
        for slot in 0..3 {
            let addresses = (address(slot + 1), FlipAddress::NULL);
            let peer = Peer::new(addresses, PeerState::Member, SeqNo::FIRST);
            view.set(MemberIndex::new(u16::from(slot)), peer);
        }
        view
    }

    fn check(
        stage: Stage,
        rules: Rules,
        from: u8,
        kind: Kind,
        incarnation: u16,
    ) -> Result<(), Mark> {
        let gate = Gate {
            rules,
            stage,
            incarnation: Incarnation::new(4, 0),
            is_sequencer: false,
            numberer: address(1),
            leader: address(1),
            view: &view(),
        };
        let repr = Repr {
            kind,
            member: MemberIndex::new(1),
            incarnation: Incarnation::new(incarnation, 0),
            seq: if kind == Kind::BcastReq {
                SeqNo::NONE
            } else {
                SeqNo::FIRST
            },
            id: MessageId::FIRST,
            expect: SeqNo::FIRST,
        };
        gate.check(address(from), &repr)
    }

    #[test]
    fn who_joins_hears_only_join() {
        let joining = |kind| check(Stage::Joining, Rules::Thesis, 1, kind, 4);
        assert_eq!(joining(Kind::Join), Ok(()));
        assert_eq!(joining(Kind::Bcast), Err(Mark::OutOfPhase));
        assert_eq!(joining(Kind::HereIs), Err(Mark::OutOfPhase));
    }

    #[test]
    fn only_equal_incarnations_pass_under_the_thesis() {
        let inside = |rules, incarnation| check(Stage::Inside, rules, 1, Kind::Bcast, incarnation);
        assert_eq!(inside(Rules::Thesis, 4), Ok(()));
        assert_eq!(inside(Rules::Thesis, 3), Err(Mark::OtherIncarnation));
        assert_eq!(inside(Rules::Thesis, 5), Err(Mark::OtherIncarnation));
        assert_eq!(inside(Rules::Amoeba5, 3), Ok(()));
        assert_eq!(inside(Rules::Amoeba5, 5), Err(Mark::OtherIncarnation));
    }

    #[test]
    fn nobody_speaks_for_somebody_else() {
        let inside = |from, kind| check(Stage::Inside, Rules::Thesis, from, kind, 4);
        assert_eq!(inside(2, Kind::Bcast), Err(Mark::OtherSource));
        assert_eq!(inside(2, Kind::BcastReq), Ok(()));
        assert_eq!(inside(3, Kind::BcastReq), Err(Mark::OtherSource));
        assert_eq!(inside(9, Kind::AliveReq), Err(Mark::OtherSource));
    }
}
