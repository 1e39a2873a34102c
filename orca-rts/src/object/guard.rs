//! Invocations that wait for a guard, and the order in which they are tried again.
//!
//! After each completed write the queue is scanned from its head. Every completion that wrote starts the scan again at the head;
//! the scan ends when a round completes nothing. On every replica the queue holds the same replicated invocations in the same
//! order; invocations that only read are in the queue of their own processor alone, and change nothing for the others.
//!
//! Implements: [Thesis §4.3.2] blocking operations; ORCA 9.4.

use std::collections::VecDeque;

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// All guards failed.
    Blocked,
    /// It completed and left the object as it was.
    Read,
    /// It completed and may have changed the object.
    Wrote,
    /// It ended the program.
    Trapped,
}

/// The waiting invocations of one object.
#[derive(Debug)]
pub(crate) struct GuardQueue<T> {
    waiting: VecDeque<T>,
}

impl<T> Default for GuardQueue<T> {
    fn default() -> Self {
        GuardQueue {
            waiting: VecDeque::new(),
        }
    }
}

impl<T> GuardQueue<T> {
    /// Adds an invocation that blocked.
    pub(crate) fn push(&mut self, invocation: T) {
        self.waiting.push_back(invocation);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tries waiting invocations after a write; gives those that completed, in order. A trap ends the scan.
    pub(crate) fn scan(
        &mut self,
        mut attempt: impl FnMut(&T) -> Attempt,
        mut completed: impl FnMut(T),
    ) {
        let mut at = 0;
        while let Some(invocation) = self.waiting.get(at) {
            match attempt(invocation) {
                Attempt::Blocked => at += 1,
                Attempt::Trapped => return,
                outcome => {
                    completed(self.waiting.remove(at).expect("it was just looked at"));
                    // Where nothing was written the earlier ones would block again.
                    if outcome == Attempt::Wrote {
                        at = 0;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A counter that invocations wait on: they take `need`, and give `give`.
    fn scan(start: i32, invocations: &[(i32, i32)]) -> (Vec<usize>, Vec<usize>, i32) {
        let count = Cell::new(start);
        let tried = std::cell::RefCell::new(Vec::new());
        let mut queue = GuardQueue::default();
        (0..invocations.len()).for_each(|index| queue.push(index));
        let mut done = Vec::new();
        queue.scan(
            |&index| {
                tried.borrow_mut().push(index);
                let (need, give) = invocations[index];
                if count.get() < need {
                    return Attempt::Blocked;
                }
                if give == 0 {
                    return Attempt::Read;
                }
                count.set(count.get() + give);
                Attempt::Wrote
            },
            |index| done.push(index),
        );
        (tried.into_inner(), done, count.get())
    }

    #[test]
    fn a_completed_write_starts_the_scan_again_at_the_head() {
        let (tried, done, count) = scan(1, &[(5, -5), (1, 4), (9, 1)]);
        assert_eq!(tried, [0, 1, 0, 2]);
        assert_eq!(done, [1, 0]);
        assert_eq!(count, 0);
    }

    #[test]
    fn the_oldest_of_equals_goes_first() {
        let (_, done, count) = scan(2, &[(1, -1), (1, -1), (1, -1)]);
        assert_eq!(done, [0, 1]);
        assert_eq!(count, 0);
    }

    #[test]
    fn a_completed_read_wakes_nobody() {
        let (tried, done, _) = scan(3, &[(5, 1), (3, 0), (4, 1)]);
        assert_eq!(tried, [0, 1, 2]);
        assert_eq!(done, [1]);
    }
}
