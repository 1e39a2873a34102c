//! Recovery: the group is formed anew by those that are left.
//!
//! ```text
//!            a loss, or an invitation
//!  normal ------------------------------> recovering: Idle
//!    ^                                       | reset()         | REFORMREQ of another
//!    |                                       v                 v
//!    |                      Coordinator: Inviting  <------->  Cohort
//!    |                                   Fetching              |
//!    |                                   Updating              |
//!    |                                   Confirming            | prepared: RESULT is here
//!    | all acknowledged                      |                 |
//!    +---------------------------------------+                 |
//!    +---------------------------------------------------------+ somebody speaks of the new group
//! ```
//!
//! In phase 1 a coordinator invites everybody; the others vote: they tell how much they have stored,
//! and promise to follow no lesser invitation. In phase 2 it fetches what the best voter has more
//! than itself, brings the others up to date, and proposes the new group: RESULT, at the number
//! behind everything stored. A voter that has it acknowledges it. Only when all members of the new
//! group have done so does the coordinator enter it; the others follow with the first word that
//! they hear in the new incarnation. Tentative numbers become official at that moment, and no
//! earlier: everybody who goes on has them.
//!
//! A coordinator that crashes is replaced. Its result may have been decided only if everybody in it
//! has acknowledged it, so a new coordinator that finds one member without it drops it for good; if
//! all that it reaches have it, it takes it as decided and begins again from there.
//!
//! Implements: [Thesis §3.3] ResetGroup, [Thesis §3.4.3] Fig. 3.18; [Amoeba5] §3.8.
//! Differs: invitations have rounds; a member enters the new group when all have acknowledged, not
//! when the result comes; see `docs/differences.md`.

mod catch_up;
mod election;
mod notice;
mod result;

use std::collections::BTreeSet;

use capability::Header;
use flip_net::time::{Duration, Instant};

use crate::event::{Endpoint, Event, LostReason};
use crate::member::{Member, Phase};
use crate::seq::MemberIndex;
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::Ballot;

pub(crate) use notice::IN_RECOVERY;

use election::{Coordinator, Step};
use result::Prepared;

/// What the owner wanted, or what was inherited from a coordinator that crashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    header: Header,
    members_min: u16,
}

/// What a recovering member is doing.
#[derive(Debug)]
enum Role {
    /// Waiting for an invitation, or for the owner to call `reset`.
    Idle,
    Coordinator(Coordinator),
    /// Following the coordinator with this index.
    Cohort(MemberIndex),
}

/// How far a recovery is, for those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody has begun a reset.
    Idle,
    /// Votes are missing.
    Inviting,
    /// We lack what a voter has.
    Fetching,
    /// Voters lack what we have.
    Updating,
    /// Voters have not acknowledged the result.
    Confirming,
    /// A coordinator does it.
    Following,
}

/// The state of a member whose group is broken.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Taken for crashed: not waited for, but welcome.
    crashed: BTreeSet<MemberIndex>,
    /// They say that the group has gone on without us.
    expelled_by: BTreeSet<MemberIndex>,
    /// Nothing less than this is followed.
    promised: Option<Ballot>,
    /// The result that we have acknowledged.
    prepared: Option<Prepared>,
    order: Option<Order>,
    /// What the owner asked for while it followed somebody; holds when it coordinates itself.
    own: Option<Order>,
    /// Whether the owner, or the automatic reset, waits for the outcome.
    asked: bool,
    role: Role,
    /// Rounds of the present step without an answer.
    tries: u32,
    pause: Duration,
    since: Instant,
    /// We numbered, and our own leave has its place: we vote, so that what we hold is not lost, and go.
    left: bool,
    /// Our owner has taken its leave.
    pub(crate) userless: bool,
    /// The owner knows that the group is broken.
    pub(crate) aborted: bool,
}

/// What became of a call to `reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resetting {
    /// The group is well and has so many members.
    NotNeeded {
        /// How many.
        members: usize,
    },
    /// It has begun: [`Event::Reset`] or [`Event::ResetFailed`] tells how it ended.
    Begun,
}

/// Why a reset was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// Not yet or no longer a member.
    #[error("not a member of the group")]
    NotMember,
    /// This member already does it.
    #[error("this member is resetting the group already; wait for the outcome")]
    AlreadyResetting,
    /// The group is well, but smaller than wanted.
    #[error("the group has {members} members, {members_min} were wanted; nothing is to be reset")]
    TooFew {
        /// How many it has.
        members: usize,
        /// How many were wanted.
        members_min: u16,
    },
}

impl Member {
    /// Forms the group anew, with at least `members_min` members; all that go on deliver `header`
    /// at the same place. Any number of members may call this at once.
    ///
    /// # Errors
    /// [`ResetError`]; then nothing was begun.
    pub fn reset(
        &mut self,
        now: Instant,
        header: Header,
        members_min: u16,
    ) -> Result<Resetting, ResetError> {
        self.advance_clock(now);
        let left = self.recovery.as_ref().is_some_and(|recovery| recovery.left);
        if left || !matches!(self.phase, Phase::Inside | Phase::Leaving) {
            return Err(ResetError::NotMember);
        }
        let members = self.view.total();
        let Some(recovery) = &mut self.recovery else {
            if members < usize::from(members_min) {
                return Err(ResetError::TooFew {
                    members,
                    members_min,
                });
            }
            return Ok(Resetting::NotNeeded { members });
        };
        if recovery.asked {
            return Err(ResetError::AlreadyResetting);
        }
        recovery.asked = true;
        recovery.since = now;
        recovery.own = Some(Order {
            header,
            members_min,
        });
        if matches!(recovery.role, Role::Idle) {
            self.begin_invitation();
        }
        Ok(Resetting::Begun)
    }

    /// Whether the group is broken and waits for a reset, or is being reset.
    pub fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether the group is being reset: nobody has to ask for it.
    pub fn is_resetting(&self) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| {
            recovery.asked || recovery.order.is_some() || !matches!(recovery.role, Role::Idle)
        })
    }

    /// What a recovering member is doing, and on whom that waits.
    pub(crate) fn recovery_stage(&self) -> Option<(Stage, Vec<MemberIndex>)> {
        let coordinator = match &self.recovery.as_ref()?.role {
            Role::Idle => return Some((Stage::Idle, Vec::new())),
            Role::Cohort(coordinator) => return Some((Stage::Following, vec![*coordinator])),
            Role::Coordinator(coordinator) => coordinator,
        };
        let votes = &coordinator.votes;
        let voters = || votes.keys().copied().filter(|&voter| voter != self.me);
        Some(match &coordinator.step {
            Step::Inviting => {
                let mut silent = self.invited();
                silent.retain(|member| !votes.contains_key(member));
                (Stage::Inviting, silent)
            }
            Step::Fetching { from } => (Stage::Fetching, vec![*from]),
            Step::Updating => {
                let stored = self.history.stored();
                let behind = |voter: &MemberIndex| stored.is_after(votes[voter].stored);
                (Stage::Updating, voters().filter(behind).collect())
            }
            Step::Confirming { acknowledged } => {
                let silent = |voter: &MemberIndex| !acknowledged.contains(voter);
                (Stage::Confirming, voters().filter(silent).collect())
            }
        })
    }

    /// Nothing more is numbered: who is left must form the group anew. [Thesis §3.4.3]
    pub(crate) fn enter_recovery(&mut self, crashed: Option<MemberIndex>) {
        if let (Some(_), Some(crashed)) = (&self.recovery, crashed) {
            return self.on_crash_in_recovery(crashed);
        }
        let numbers = self.sequencer.is_some();
        let takes_part = matches!(self.phase, Phase::Inside | Phase::Leaving)
            || (numbers && matches!(self.phase, Phase::Left));
        if self.recovery.is_some() || !takes_part {
            return;
        }
        self.stats.mark(Mark::RecoveryEntered);
        let userless = self.is_userless();
        let own = self.view.get(self.me).map(|peer| peer.state);
        let left = userless || own == Some(PeerState::LeftSequencer);
        if numbers {
            self.unregister(Endpoint::ToAll);
            self.unregister(Endpoint::Everybody);
        } else {
            self.unregister_group();
        }
        self.sequencer = None;
        self.forget_outsiders();
        self.history.drop_behind_stored();
        if planted!(self, PromoteEarly) {
            self.history.make_official(self.history.stored());
            self.advance();
        }
        if planted!(self, FailNumbered) {
            self.fail_outstanding();
        }
        self.receiver = self.receiver.at_rest(self.history.stored());
        self.liveness.forget_all();
        self.timers.clear_all();
        self.recovery = Some(Recovery {
            crashed: crashed.into_iter().collect(),
            expelled_by: BTreeSet::new(),
            promised: None,
            prepared: None,
            order: None,
            own: None,
            asked: false,
            role: Role::Idle,
            tries: 0,
            pause: self.config.timing.reset,
            since: self.now,
            left,
            userless,
            aborted: false,
        });
        self.order_automatic_reset();
    }

    /// One more is gone while the group is being formed anew.
    fn on_crash_in_recovery(&mut self, crashed: MemberIndex) {
        let recovery = self.recovering();
        recovery.crashed.insert(crashed);
        match &mut recovery.role {
            Role::Idle => {}
            Role::Cohort(coordinator) if *coordinator == crashed => self.take_over(),
            Role::Cohort(_) => {}
            Role::Coordinator(coordinator) => {
                let voted = coordinator.votes.remove(&crashed).is_some();
                match coordinator.step {
                    // Another result needs another round.
                    Step::Confirming { .. } if voted => self.begin_invitation(),
                    _ => self.go_on(),
                }
            }
        }
    }

    /// What only the sequencer knew of: who was about to come, and who had gone.
    fn forget_outsiders(&mut self) {
        let outside = |state| !matches!(state, PeerState::Member | PeerState::LeftSequencer);
        let outsiders: Vec<MemberIndex> = self
            .view
            .iter()
            .filter(|(_, peer)| outside(peer.state))
            .map(|(member, _)| member)
            .collect();
        for member in outsiders {
            self.view.free(member);
        }
    }

    /// With automatic reset the lowest living member begins; the others do when it does not.
    fn order_automatic_reset(&mut self) {
        let left = self.recovering().left;
        let wait = match self.config.auto_reset {
            _ if left => self.config.timing.silence_max,
            None => return,
            Some(members_min) => {
                let header = Header::to(self.config.port);
                let recovery = self.recovering();
                recovery.order = Some(Order {
                    header,
                    members_min,
                });
                recovery.asked = true;
                self.config.timing.reset.times(self.place_among_living())
            }
        };
        self.timers.set(Timer::Recover, self.now + wait);
    }

    /// How many members with lower indices are not known to have crashed.
    fn place_among_living(&self) -> u64 {
        let crashed = self.recovery.as_ref().map(|recovery| &recovery.crashed);
        self.view
            .members()
            .filter(|&member| member < self.me)
            .filter(|member| crashed.is_none_or(|crashed| !crashed.contains(member)))
            .count() as u64
    }

    /// The state that all of recovery's code works on.
    fn recovering(&mut self) -> &mut Recovery {
        self.recovery
            .as_mut()
            .expect("only a recovering member's code comes here")
    }

    fn coordinator(&mut self) -> Option<&mut Coordinator> {
        match &mut self.recovery.as_mut()?.role {
            Role::Coordinator(coordinator) => Some(coordinator),
            Role::Idle | Role::Cohort(_) => None,
        }
    }

    /// A step begins, or somebody answered: patience starts anew.
    fn take_heart(&mut self) {
        let pause = self.config.timing.reset;
        let recovery = self.recovering();
        recovery.tries = 0;
        recovery.pause = pause;
        self.timers.set(Timer::Recover, self.now + pause);
    }

    /// The present step has had no answer for a while.
    pub(crate) fn on_recover(&mut self) {
        let timing = self.config.timing;
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        recovery.tries += 1;
        let is_over = recovery.tries > timing.reset_tries;
        recovery.pause = recovery.pause.times(2).min(timing.reset_max);
        self.timers.set(Timer::Recover, self.now + recovery.pause);
        match recovery.role {
            Role::Idle if recovery.left => self.finish_leaving(),
            Role::Idle if recovery.order.is_some() => self.begin_invitation(),
            Role::Idle => self.timers.clear(Timer::Recover),
            Role::Coordinator(_) if is_over => self.give_up_silent(),
            Role::Coordinator(_) => self.repeat_step(),
            Role::Cohort(_) if is_over => {
                self.stats.mark(Mark::CoordinatorLost);
                self.take_over();
            }
            Role::Cohort(coordinator) => self.probe_coordinator(coordinator),
        }
    }

    /// The coordinator is gone: somebody else must do it.
    fn take_over(&mut self) {
        if self.recovering().left {
            return self.finish_leaving();
        }
        if let &Role::Cohort(coordinator) = &self.recovering().role {
            self.recovering().crashed.insert(coordinator);
        }
        self.begin_invitation();
    }

    /// Too few members are left, or reachable.
    fn fail_reset(&mut self, members: usize) {
        self.stats.mark(Mark::ResetFailed);
        self.tell_failed(result::TOO_FEW);
        let timing = self.config.timing;
        let (now, automatic) = (self.now, self.config.auto_reset.is_some());
        let recovery = self.recovering();
        recovery.role = Role::Idle;
        let order = recovery.order;
        let again = automatic && now.since(recovery.since) < timing.silence_max;
        if again {
            recovery.crashed.clear();
            self.timers.set(Timer::Recover, now + timing.reset_max);
            return;
        }
        recovery.order = None;
        recovery.own = None;
        recovery.asked = false;
        self.timers.clear(Timer::Recover);
        self.event(Event::ResetFailed {
            members,
            members_min: order.map_or(0, |order| order.members_min),
        });
    }

    /// We are not needed any more; our owner may still have to take what came before its leave.
    fn finish_leaving(&mut self) {
        if self.recovering().userless {
            return self.close();
        }
        if self.recovering().prepared.is_some() {
            self.unregister_group();
        }
        self.recovery = None;
        self.phase = Phase::Left;
        self.timers.clear_all();
    }

    /// The others have formed a group without us, and too few are left to form another.
    fn leave_expelled(&mut self) {
        self.stats.mark(Mark::Expelled);
        // Those that voted are in the same place.
        self.tell_failed(result::EXPELLED);
        if self.recovering().left {
            return self.finish_leaving();
        }
        self.event(Event::Expelled);
        self.close();
    }

    /// Reports somebody as lost, once, and breaks the group up.
    pub(crate) fn report_lost(&mut self, member: MemberIndex, reason: LostReason) {
        let known = self
            .recovery
            .as_ref()
            .is_some_and(|recovery| recovery.crashed.contains(&member));
        if known || self.view.get(member).is_none() {
            return;
        }
        self.stats.mark(Mark::MemberLost);
        self.event(Event::Lost { member, reason });
        if self.recovery.is_none() && reason.is_own_finding() {
            self.tell_dead(member);
        }
        self.enter_recovery(Some(member));
    }
}
