//! What a processor needs of a group.
//!
//! A [`Transport`] carries commands out and deliveries in, in one total order. The group protocol over FLIP is one
//! ([`crate::over_group`]); a processor that is alone needs none.

use std::time::Instant;

use crate::doorbell::Bell;
use crate::kernel::{Command, Delivery};

/// The group as one processor sees it.
pub trait Transport: Send {
    /// From now on `bell` is rung whenever a delivery waits; it also wakes [`Transport::wait`].
    fn attach(&mut self, bell: Bell);

    /// Does what the processor asks for.
    fn command(&mut self, command: Command);

    /// The next delivery, if one waits.
    fn try_delivery(&mut self) -> Option<Delivery>;

    /// Rests until a delivery waits, the bell rings, or the deadline.
    fn wait(&mut self, deadline: Option<Instant>);

    /// After [`Command::Leave`]: stays until the others need this member no more, or until the deadline.
    fn close(&mut self, _deadline: Instant) {}
}

/// The group of a processor that is alone: nothing ever comes.
#[derive(Default)]
pub(crate) struct Alone {
    bell: Option<Bell>,
}

impl Transport for Alone {
    fn attach(&mut self, bell: Bell) {
        self.bell = Some(bell);
    }

    fn command(&mut self, _command: Command) {}

    fn try_delivery(&mut self) -> Option<Delivery> {
        None
    }

    fn wait(&mut self, deadline: Option<Instant>) {
        if let Some(bell) = &self.bell {
            bell.wait(deadline);
        }
    }
}
