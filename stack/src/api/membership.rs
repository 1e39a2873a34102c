//! Who is in: until this processor has entered, the group is formed anew, the leave has its place,
//! nobody needs who has left.
//!
//! Implements: [Thesis §3.3] JoinGroup, LeaveGroup, ResetGroup; [Amoeba5] §3.1.

use std::task::{Poll, Waker};
use std::time::Duration;

use capability::Port;
use flip_net::time::Instant;

use super::desk::{Desk, Interest};
use super::error::{End, EnterError, LeaveError, ResetError};
use super::operation::{Operation, OutOfPatience, Patience};
use crate::command::{Command, Refused};

/// Until the processor is in.
pub(super) struct Enter {
    port: Port,
    millis: u64,
    patience: Patience,
}

impl Enter {
    /// Has patience for the search, and for one attempt to join after it.
    pub(super) fn new(config: &group::Config) -> Enter {
        let patience = config.timing.locate_total + config.timing.join_give_up;
        Enter {
            port: config.port,
            millis: patience.as_micros() / 1_000,
            patience: Patience::new(Some(Duration::from_micros(patience.as_micros()))),
        }
    }
}

impl Operation for Enter {
    type Output = Result<(), EnterError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        let (port, millis) = (self.port, self.millis);
        if desk.has_entered {
            self.patience.end(desk);
            return Poll::Ready(Ok(()));
        }
        match desk.end {
            None => {}
            Some(End::Stopped) => return Poll::Ready(Err(EnterError::Stopped)),
            Some(_) => return Poll::Ready(Err(EnterError::NotFound { port, millis })),
        }
        let waited = self.patience.wait(desk, now, waker, Interest::State);
        waited.unwrap_or_else(|OutOfPatience| {
            let waits = desk.waits();
            Poll::Ready(Err(EnterError::TimedOut {
                port,
                millis,
                waits,
            }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
    }
}

/// Until the group is formed anew.
pub(super) struct Reset {
    members_min: u16,
    /// How many resets had failed here when ours began.
    begun: Option<u64>,
    patience: Patience,
}

impl Reset {
    pub(super) fn new(members_min: u16, within: Option<Duration>) -> Reset {
        Reset {
            members_min,
            begun: None,
            patience: Patience::new(within),
        }
    }

    fn begin(&mut self, desk: &mut Desk, now: Instant) -> Result<(), ResetError> {
        self.begun = Some(desk.resets_failed.0);
        let members_min = self.members_min;
        match desk
            .stack
            .handle_command(now, Command::Reset { members_min })
        {
            // What another thread has begun is as good.
            Ok(_) | Err(Refused::Reset(group::ResetError::AlreadyResetting)) => Ok(()),
            Err(Refused::Reset(group::ResetError::TooFew {
                members,
                members_min,
            })) => Err(ResetError::TooFew {
                members,
                members_min,
            }),
            Err(_) => Err(Reset::ended(desk).unwrap_or(ResetError::NotMember)),
        }
    }

    fn ended(desk: &Desk) -> Option<ResetError> {
        desk.end.map(|end| match end {
            End::Expelled => ResetError::Expelled,
            End::Stopped => ResetError::Stopped,
            End::Left | End::NotFound => ResetError::NotMember,
        })
    }

    fn result(&mut self, desk: &mut Desk, now: Instant) -> Option<Result<usize, ResetError>> {
        let begun = match self.begun {
            Some(begun) => begun,
            None => {
                let begun = desk.resets_failed.0;
                if let Err(error) = self.begin(desk, now) {
                    return Some(Err(error));
                }
                begun
            }
        };
        if let Some(error) = Reset::ended(desk) {
            return Some(Err(error));
        }
        if !desk.stack.member().is_recovering() {
            let members = desk.stack.members().len();
            let members_min = self.members_min;
            let is_enough = members >= usize::from(members_min);
            return Some(is_enough.then_some(members).ok_or(ResetError::TooFew {
                members,
                members_min,
            }));
        }
        let (failed, members, _) = desk.resets_failed;
        let members_min = self.members_min;
        (failed > begun).then_some(Err(ResetError::TooFew {
            members,
            members_min,
        }))
    }
}

impl Operation for Reset {
    type Output = Result<usize, ResetError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if let Some(result) = self.result(desk, now) {
            self.patience.end(desk);
            return Poll::Ready(result);
        }
        let waited = self.patience.wait(desk, now, waker, Interest::State);
        waited.unwrap_or_else(|OutOfPatience| {
            let waits = desk.waits();
            Poll::Ready(Err(ResetError::TimedOut { waits }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
    }
}

/// Until the leave has its place.
pub(super) struct Leave {
    is_begun: bool,
    millis: u64,
    patience: Patience,
}

impl Leave {
    /// Has patience for a failure to be noticed and a reset to be done meanwhile.
    pub(super) fn new(desk: &Desk) -> Leave {
        let timing = desk.stack.member().info().timing;
        let reset = timing.reset_max.times(u64::from(timing.reset_tries));
        let patience = timing.silence_max + timing.linger + reset;
        Leave {
            is_begun: false,
            millis: patience.as_micros() / 1_000,
            patience: Patience::new(Some(Duration::from_micros(patience.as_micros()))),
        }
    }
}

impl Operation for Leave {
    type Output = Result<(), LeaveError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if !self.is_begun {
            self.is_begun = true;
            desk.is_leaving = true;
            // It is never refused.
            let _ = desk.stack.handle_command(now, Command::Leave);
        }
        let ready = match desk.end {
            _ if desk.has_left => Some(Ok(())),
            None => None,
            Some(End::Stopped) => Some(Err(LeaveError::Stopped)),
            Some(_) => Some(Err(LeaveError::NotMember)),
        };
        if let Some(ready) = ready {
            self.patience.end(desk);
            return Poll::Ready(ready);
        }
        let waited = self.patience.wait(desk, now, waker, Interest::State);
        waited.unwrap_or_else(|OutOfPatience| {
            let (millis, waits) = (self.millis, desk.waits());
            Poll::Ready(Err(LeaveError::TimedOut { millis, waits }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
    }
}

/// Until nobody needs who has left.
pub(super) struct Finish(pub(super) Patience);

impl Operation for Finish {
    type Output = bool;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<bool> {
        if desk.end.is_some() {
            self.0.end(desk);
            return Poll::Ready(desk.stack.member().is_closed());
        }
        let waited = self.0.wait(desk, now, waker, Interest::State);
        waited.unwrap_or(Poll::Ready(false))
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.0.end(desk);
    }
}
