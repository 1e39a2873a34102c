//! Where members run. Waking an idle core costs more than the whole protocol, so it is said with every figure.

use crate::bench::networks::cores;

/// Which member is on which core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// All on one core: what is measured is the work.
    OneCore,
    /// Sequencer and sender on one core, all others on the next one: as on hosts of their own, their work delays nobody.
    Apart,
    /// Member by member on the next core.
    Spread,
    /// Everything on this core: one of several groups.
    At(usize),
}

impl Placement {
    /// Pins the calling thread where a member belongs.
    pub(super) fn pin(self, member: usize) {
        cores::pin(match self {
            Placement::OneCore => 0,
            Placement::Apart => usize::from(member > 1) % cores::count(),
            Placement::Spread => member % cores::count(),
            Placement::At(core) => core % cores::count(),
        });
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Placement::OneCore => "all on one core",
            Placement::Apart => "sequencer and sender on one core, the others on another",
            Placement::Spread => "members on the cores in turn",
            Placement::At(_) => "groups on the cores in turn",
        }
    }
}
