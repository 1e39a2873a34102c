//! What happens to a frame on its way, said by tests: the first rule with an opinion wins; without
//! one the plan decides.

use flip_net::address::LinkAddress;
use flip_net::time::{Duration, Instant};

use crate::cable::CableId;
use crate::world::MachineId;

/// A frame about to travel to one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Flight<'a> {
    /// When it was handed over.
    pub now: Instant,
    /// On which network.
    pub cable: CableId,
    /// Who sends.
    pub from: MachineId,
    /// Who would receive this copy.
    pub to: MachineId,
    /// Whom the sender meant: one station or all.
    pub addressed: LinkAddress,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It travels undisturbed.
    Pass,
    /// It arrives so much later than it would.
    After(Duration),
    /// It arrives, and again so much later.
    Twice(Duration),
    /// It does not arrive.
    Drop,
}

/// Something that judges frames. Closures are rules.
pub trait Rule {
    /// A verdict, or no opinion.
    fn judge(&mut self, flight: &Flight<'_>) -> Option<Verdict>;
}

impl<F: FnMut(&Flight<'_>) -> Option<Verdict>> Rule for F {
    fn judge(&mut self, flight: &Flight<'_>) -> Option<Verdict> {
        self(flight)
    }
}
