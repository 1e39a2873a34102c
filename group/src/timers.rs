//! The deadlines of a member: one enum, one table.

use flip_net::time::Instant;

/// What happens when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Ask again where the group's sequencer is, a ring wider.
    LocateAgain,
    /// Send the oldest unanswered request again.
    ResendRequest,
    /// Ask again for the first missing broadcast.
    AskAgain,
    /// Ask the members that are behind how far they are.
    Synchronise,
    /// Probe who has been silent.
    Probe,
    /// Ask again for acknowledgements of a tentative number.
    AskForAcks,
    /// The present step of recovery has waited for long.
    Recover,
    /// Repeat their LEAVE to leavers that do not say that they have it; free their slots at last.
    FreeLeaver,
}

impl Timer {
    const ALL: [Timer; 8] = [
        Timer::LocateAgain,
        Timer::ResendRequest,
        Timer::AskAgain,
        Timer::Synchronise,
        Timer::Probe,
        Timer::AskForAcks,
        Timer::Recover,
        Timer::FreeLeaver,
    ];
}

/// When each of them is due, if at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    due: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.due[timer as usize] = Some(at);
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        self.due[timer as usize] = None;
    }

    pub(crate) fn clear_all(&mut self) {
        self.due = [None; Timer::ALL.len()];
    }

    pub(crate) fn at(&self, timer: Timer) -> Option<Instant> {
        self.due[timer as usize]
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.due[timer as usize].is_some()
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }

    /// Takes one timer that is due, with the time it was due at.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Timer, Instant)> {
        let timer = Timer::ALL
            .into_iter()
            .find(|&timer| self.due[timer as usize].is_some_and(|at| at <= now))?;
        let at = self.due[timer as usize].take()?;
        Some((timer, at))
    }
}
