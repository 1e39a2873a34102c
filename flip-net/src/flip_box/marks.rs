//! Coverage marks: what a box can come to do, counted, so that tests can say what they have seen.

use std::fmt;

macro_rules! marks {
    ($($(#[doc = $text:literal])+ $name:ident,)*) => {
        /// Something that a box does, and not on every day.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $($(#[doc = $text])+ $name,)*
        }

        impl Mark {
            /// Every mark, in the order of the list.
            pub const ALL: &[Mark] = &[$(Mark::$name),*];
        }
    };
}

marks! {
    /// A LOCATE went on to other networks.
    LocateForwarded,
    /// A LOCATE was answered from the routing table.
    AnsweredFromTable,
    /// A LOCATE was answered since the address is registered here.
    AnsweredByHost,
    /// A HEREIS went on towards who asked.
    HereIsForwarded,
    /// A unicast went on.
    UniDataForwarded,
    /// A multicast went on.
    MultiDataForwarded,
    /// A multicast used a way that a LOCATE had made us forget a moment before.
    DoubtedWayUsed,
    /// A fragment was cut further for a network with shorter frames.
    CutFurther,
    /// A unicast was sent back: its destination is unknown or too far away.
    SentBackNotHere,
    /// A unicast was sent back: no trusted way.
    SentBackUntrusted,
    /// What was sent back found another way.
    AlternativeAfterNotHere,
    /// What was sent back as untrusted found a trusted way.
    AlternativeAfterUntrusted,
    /// What was sent back went on towards its source.
    BounceForwarded,
    /// What was sent back came home.
    BounceCameHome,
    /// A route was forgotten since nothing had come by it for long.
    RouteAged,
    /// A route made room for another in a full table.
    RouteEvicted,
    /// All routes were forgotten since a network was switched.
    RoutesFlushed,
    /// A neighbour was asked for credit.
    CreditAsked,
    /// A neighbour gave no credit and was given up.
    CreditGivenUp,
    /// A credit rode along on a fragment.
    CreditRodeAlong,
    /// A neighbour agreed to hear a data-link multicast address.
    MulticastAgreed,
    /// A neighbour refused to.
    MulticastRefused,
    /// A multicast left as one frame for those who had agreed.
    MulticastFrame,
    /// A locate found what it sought.
    Located,
    /// A locate found nothing in time.
    NotLocated,
}

/// How often each mark was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Marks {
        Marks([0; Mark::ALL.len()])
    }
}

impl Marks {
    pub(crate) fn add(&mut self, mark: Mark, count: u64) {
        self.0[mark as usize] += count;
    }

    /// How often it was seen.
    pub fn of(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds what somebody else saw.
    pub fn merge(&mut self, other: &Marks) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }

    /// What was never seen.
    pub fn missed(&self) -> Vec<Mark> {
        let all = Mark::ALL.iter().copied();
        all.filter(|mark| self.of(*mark) == 0).collect()
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mark in Mark::ALL {
            writeln!(f, "{:>12}  {mark:?}", self.of(*mark))?;
        }
        Ok(())
    }
}
