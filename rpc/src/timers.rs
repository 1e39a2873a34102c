//! The deadlines of an endpoint: one enum, one table, ordered by time.

use std::collections::{BTreeMap, BTreeSet};

use capability::Port;
use flip_net::time::Instant;

/// What happens when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Ask once more where the port is, a ring wider, or give its transactions up.
    LocateAgain(Port),
    /// Ask a server whether it has the request, or whether it still executes it.
    AskServer(u16),
    /// Ask a client whether it has the reply.
    AskClient(u16),
}

/// When each of them is due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    due: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.clear(timer);
        self.due.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.due.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn at(&self, timer: Timer) -> Option<Instant> {
        self.due.get(&timer).copied()
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}
