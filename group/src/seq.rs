//! The numbers of the protocol, each a type of its own.
//!
//! Sequence numbers and message ids wrap, so `<` is not defined on them: [`SeqNo::is_after`] and
//! [`SeqNo::distance`] compare within half the range.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.9, fields `b_seqno`, `b_messnr`, `b_incarnation`, `b_cpu`.

use std::fmt;

macro_rules! wrapping_number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name(u32);

        impl $name {
            /// No number yet.
            pub const NONE: $name = $name(0);
            /// The first number given out.
            pub const FIRST: $name = $name(1);

            /// The number with this value.
            pub const fn new(value: u32) -> $name {
                $name(value)
            }

            /// The value, as on the wire.
            pub const fn value(self) -> u32 {
                self.0
            }

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> $name {
                $name(self.0.wrapping_add(1))
            }

            /// The number `count` further on.
            #[must_use]
            pub const fn plus(self, count: u32) -> $name {
                $name(self.0.wrapping_add(count))
            }

            /// Whether this number comes after `other`; false if they are equal.
            pub const fn is_after(self, other: $name) -> bool {
                (self.0.wrapping_sub(other.0) as i32) > 0
            }

            /// How far this number lies after `start`; zero if it does not.
            pub const fn distance(self, start: $name) -> u32 {
                let distance = self.0.wrapping_sub(start.0);
                if (distance as i32) > 0 { distance } else { 0 }
            }

            /// The earlier of the two.
            #[must_use]
            pub const fn earliest(self, other: $name) -> $name {
                if self.is_after(other) { other } else { self }
            }

            /// The later of the two.
            #[must_use]
            pub const fn latest(self, other: $name) -> $name {
                if self.is_after(other) { self } else { other }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

wrapping_number! {
    /// The place of a broadcast in the total order. The first is #1; 0 on the wire is "none yet".
    SeqNo, "#"
}

wrapping_number! {
    /// What a member numbers its own requests with, one up for each.
    MessageId, "/"
}

/// The number of the group's life: one up after each recovery.
///
/// When the network falls apart, or a coordinator crashes, several results may follow the same life. The
/// *branch* tells them apart: two results with the same predecessor never share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incarnation {
    number: u16,
    branch: u16,
}

impl Incarnation {
    /// A group that never recovered.
    pub const FIRST: Incarnation = Incarnation::new(0, 0);

    /// The incarnation with this number, on this branch.
    pub const fn new(number: u16, branch: u16) -> Incarnation {
        Incarnation { number, branch }
    }

    /// The number, as on the wire.
    pub const fn value(self) -> u16 {
        self.number
    }

    /// The branch, as on the wire.
    pub const fn branch(self) -> u16 {
        self.branch
    }

    /// The incarnation that the result `result` of this one leads to; the results of one life have
    /// different numbers.
    #[must_use]
    pub const fn next(self, result: u16) -> Incarnation {
        // The factor keeps apart what follows different branches.
        Incarnation {
            number: self.number.wrapping_add(1),
            branch: self.branch.wrapping_mul(0x9e37) ^ result,
        }
    }

    /// Whether this incarnation comes after `other`.
    pub const fn is_after(self, other: Incarnation) -> bool {
        (self.number.wrapping_sub(other.number) as i16) > 0
    }
}

/// A member's place in the member table; stays the same while it is a member.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberIndex(u16);

impl MemberIndex {
    /// The member in slot `slot`.
    pub const fn new(slot: u16) -> MemberIndex {
        MemberIndex(slot)
    }

    /// The slot, as on the wire.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// The slot, as an index of a table.
    pub const fn slot(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for MemberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Debug for MemberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let last = SeqNo::new(u32::MAX);
        assert!(last.next().is_after(last));
        assert!(!last.is_after(last.next()));
        assert_eq!(last.plus(3).distance(last), 3);
        assert_eq!(last.distance(last.plus(3)), 0);
        assert_eq!(last.latest(last.next()), last.next());
    }

    #[test]
    fn a_number_is_not_after_itself() {
        assert!(!MessageId::FIRST.is_after(MessageId::FIRST));
        assert_eq!(MessageId::FIRST.distance(MessageId::FIRST), 0);
        assert!(Incarnation::FIRST.is_after(Incarnation::new(u16::MAX, 0)));
    }

    #[test]
    fn results_of_one_life_lead_to_different_incarnations() {
        let life = Incarnation::new(3, 0x1234);
        assert_ne!(life.next(1), life.next(2));
        assert_ne!(life.next(1), Incarnation::new(3, 0).next(1));
        assert!(life.next(7).is_after(life));
        assert!(!life.next(1).is_after(life.next(2)));
    }
}
