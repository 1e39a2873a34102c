//! Which requests of which client were executed or refused here: a window of marks for each client.
//!
//! A number that is marked, or below the window, is never executed again. A *refused* number is one
//! that was answered with NAK: it is dead, too, or a late copy of it could be executed after the
//! client went elsewhere. A client that was silent for long is forgotten; no packet lives that long.
//!
//! Implements: [Amoeba5] §2.7, executed set.
//! Differs: refused numbers are remembered; the first number seen does not end the window below.

use std::collections::BTreeMap;

use flip_net::time::{Duration, Instant};

use crate::id::{KernelId, Tid};

/// By how many numbers the window moves at least.
const STEP: u32 = 32;

/// What is known of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it never came, and was never asked about.
    #[default]
    New,
    /// It was handed to a server, or is too old to tell.
    Executed,
    /// It was refused, for good.
    Refused,
}

#[derive(Debug)]
struct Window {
    lowest: Tid,
    /// By number, modulo the length.
    marks: Vec<Known>,
    last: Instant,
}

/// The table of all clients.
#[derive(Debug)]
pub(crate) struct Executed {
    clients: BTreeMap<KernelId, Window>,
    clients_max: usize,
    len: u32,
    memory: Duration,
}

impl Executed {
    pub(crate) fn new(clients_max: usize, len: u32, memory: Duration) -> Executed {
        assert!(
            len.is_power_of_two() && len > STEP,
            "numbers wrap around a window"
        );
        Executed {
            clients: BTreeMap::new(),
            clients_max,
            len,
            memory,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether something can be remembered of this client; makes room if one was silent for long.
    pub(crate) fn has_room(&mut self, now: Instant, kid: KernelId) -> bool {
        if self.clients.contains_key(&kid) || self.clients.len() < self.clients_max {
            return true;
        }
        let oldest = self.clients.iter().min_by_key(|(_, window)| window.last);
        match oldest {
            Some((&silent, window)) if now.since(window.last) >= self.memory => {
                self.clients.remove(&silent);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn look(&self, kid: KernelId, tid: Tid) -> Known {
        let Some(window) = self.clients.get(&kid) else {
            return Known::New;
        };
        if tid.is_before(window.lowest) {
            return Known::Executed;
        }
        if tid.distance(window.lowest) >= self.len {
            return Known::New;
        }
        window.marks[self.slot(tid)]
    }

    /// Notes what became of a request; the window moves if it must.
    pub(crate) fn mark(&mut self, now: Instant, kid: KernelId, tid: Tid, known: Known) {
        let len = self.len;
        let slot = self.slot(tid);
        let window = self.clients.entry(kid).or_insert_with(|| Window {
            // What was sent earlier may come later.
            lowest: Tid::new(tid.value().wrapping_sub(len - 1)),
            marks: vec![Known::New; len as usize],
            last: now,
        });
        window.last = now;
        if tid.is_before(window.lowest) {
            return;
        }
        window.move_to(tid, len);
        window.marks[slot] = known;
    }

    /// The client is heard of.
    pub(crate) fn touch(&mut self, now: Instant, kid: KernelId) {
        if let Some(window) = self.clients.get_mut(&kid) {
            window.last = now;
        }
    }

    fn slot(&self, tid: Tid) -> usize {
        (tid.value() % self.len) as usize
    }
}

impl Window {
    fn move_to(&mut self, tid: Tid, len: u32) {
        let ahead = tid.distance(self.lowest);
        if ahead < len {
            return;
        }
        let steps = (ahead - len) / STEP + 1;
        let moved = steps.saturating_mul(STEP);
        for offset in 0..moved.min(len) {
            let gone = self.lowest.value().wrapping_add(offset);
            self.marks[(gone % len) as usize] = Known::New;
        }
        self.lowest = Tid::new(self.lowest.value().wrapping_add(moved));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: KernelId = KernelId::new([1; 8]);
    const MEMORY: Duration = Duration::from_secs(600);

    fn table() -> Executed {
        Executed::new(2, 512, MEMORY)
    }

    fn execute(table: &mut Executed, tid: u32) -> bool {
        let tid = Tid::new(tid);
        let is_new = table.look(K, tid) == Known::New;
        if is_new {
            table.mark(Instant::ZERO, K, tid, Known::Executed);
        }
        is_new
    }

    /// Scenario 66.
    fn check_window(t: u32) {
        let mut table = table();
        let at = |offset: u32| t.wrapping_add(offset);
        for offset in 0..512 {
            assert!(execute(&mut table, at(offset)), "{offset}");
            assert!(!execute(&mut table, at(offset)), "{offset}");
        }
        assert!(!execute(&mut table, t.wrapping_sub(1)));
        assert!(execute(&mut table, at(600)));
        assert!(!execute(&mut table, at(10)), "below the window now");
        assert!(!execute(&mut table, at(500)), "marked before");
        assert!(execute(&mut table, at(599)), "never seen, and inside");
    }

    #[test]
    fn a_number_is_executed_once_whatever_the_window_does() {
        check_window(10_000);
        check_window(0);
        check_window(u32::MAX - 300);
    }

    #[test]
    fn what_was_sent_before_the_first_one_seen_is_not_refused() {
        let mut table = table();
        assert!(execute(&mut table, 700));
        assert!(execute(&mut table, 699));
        assert!(execute(&mut table, 700 - 511));
        assert!(!execute(&mut table, 700 - 512));
    }

    #[test]
    fn a_leap_forgets_nothing_but_what_is_below() {
        let mut table = table();
        assert!(execute(&mut table, 5));
        assert!(execute(&mut table, 5 + 1_000_000));
        assert!(!execute(&mut table, 5));
        assert!(execute(&mut table, 4 + 1_000_000));
    }

    #[test]
    fn clients_make_room_only_when_they_were_silent_for_long() {
        let mut table = table();
        for client in 1..=2 {
            let kid = KernelId::new([client; 8]);
            table.mark(Instant::ZERO, kid, Tid::new(1), Known::Refused);
        }
        let third = KernelId::new([3; 8]);
        let later = Instant::ZERO + MEMORY;
        table.touch(later, KernelId::new([2; 8]));
        assert!(!table.has_room(Instant::from_micros(5), third));
        assert!(table.has_room(Instant::ZERO, K));
        assert!(table.has_room(later, third));
        assert_eq!((table.len(), table.look(K, Tid::new(1))), (1, Known::New));
    }
}
