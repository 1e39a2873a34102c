//! How the next receive is best made, judged by the last ones.
//!
//! While frames flow, who waits blocks in the receive itself; that is one system call, and an alarm
//! has to end it. When nothing came for a whole wait, it is left to `ppoll`, which needs no alarm.
//! To look for a second frame is dear if there never is one, so it is done only now and then, until
//! there is one.

/// So many receives that wait for one frame, then one looks whether there are more.
const LOOK_EVERY: u32 = 128;

/// What the last receives were like.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The last wait ended by a frame.
    flows: bool,
    /// The last batch had more than one frame.
    crowded: bool,
    receives: u32,
}

impl Traffic {
    /// Whether to block in the next receive.
    pub(super) fn flows(&self) -> bool {
        self.flows
    }

    /// Whether the next receive that blocks looks for more than one frame.
    pub(super) fn looks(&mut self) -> bool {
        self.receives = self.receives.wrapping_add(1);
        self.crowded || self.receives.is_multiple_of(LOOK_EVERY)
    }

    /// A receive that blocked is over: so many frames, of as many as there were or of one.
    pub(super) fn blocked(&mut self, count: usize, looked: bool) {
        self.flows = count > 0;
        if looked {
            self.crowded = count > 1;
        }
    }

    /// Somebody waited, or only looked, without blocking in the receive.
    pub(super) fn polled(&mut self, given: usize, waited: bool) {
        // Looking without waiting says nothing about how the next wait will end.
        self.flows = given > 0 || (self.flows && !waited);
    }
}
