//! Names and numbers: transactions, servers, kernels, and the table that gives indices out.

use std::collections::BTreeMap;
use std::fmt;

use flip_net::rng::Rng;

/// The number of one attempt of a transaction, counted by the client's endpoint; wraps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(u32);

impl Tid {
    /// The transaction with this number.
    pub const fn new(value: u32) -> Tid {
        Tid(value)
    }

    /// The number.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Tid {
        Tid(self.0.wrapping_add(1))
    }

    /// How many numbers after `earlier` this one is; beyond 2^31 it is before it.
    pub const fn distance(self, earlier: Tid) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this number comes before `other`.
    pub const fn is_before(self, other: Tid) -> bool {
        self.distance(other) > u32::MAX / 2
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose transaction numbers: a random name of one endpoint's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelId([u8; 8]);

impl KernelId {
    /// What stands where nobody looks.
    pub const NULL: KernelId = KernelId([0; 8]);

    /// The id with these bytes.
    pub const fn new(bytes: [u8; 8]) -> KernelId {
        KernelId(bytes)
    }

    /// A fresh one, never null.
    pub fn random(rng: &mut Rng) -> KernelId {
        loop {
            let id = KernelId(rng.next_u64().to_be_bytes());
            if id != KernelId::NULL {
                return id;
            }
        }
    }

    /// The bytes, byte 0 first.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Debug for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! slot_id {
    ($name:ident $letter:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            pub(crate) index: u16,
            pub(crate) serial: u64,
        }

        impl $name {
            /// The index that messages carry; used again once this one has ended.
            pub const fn index(self) -> u16 {
                self.index
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $letter, self.index)
            }
        }
    };
}

slot_id!(TransactionId "c" "One transaction of a client, from `trans` to its outcome.");
slot_id!(ServerId "s" "One turn of a server, from `get_request` to the end of its reply.");

/// Things by index, lowest free index first; the serial number tells two users of one index apart.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    taken: BTreeMap<u16, (u64, T)>,
    /// Every index below is taken.
    lowest_free: u16,
    serial: u64,
    len_max: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new(len_max: usize) -> Slots<T> {
        Slots {
            taken: BTreeMap::new(),
            lowest_free: 0,
            serial: 0,
            len_max: len_max.min(usize::from(u16::MAX)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.taken.len() < self.len_max
    }

    /// Puts `value` at the lowest free index.
    pub(crate) fn insert(&mut self, value: T) -> (u16, u64) {
        assert!(self.has_room(), "the caller looked for room");
        let index = self.lowest_free;
        self.serial += 1;
        let before = self.taken.insert(index, (self.serial, value));
        assert!(before.is_none(), "index {index} was said to be free");
        while self.taken.contains_key(&self.lowest_free) {
            self.lowest_free += 1;
        }
        (index, self.serial)
    }

    pub(crate) fn get(&self, index: u16) -> Option<&T> {
        self.taken.get(&index).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut T> {
        self.taken.get_mut(&index).map(|(_, value)| value)
    }

    pub(crate) fn serial(&self, index: u16) -> Option<u64> {
        self.taken.get(&index).map(|(serial, _)| *serial)
    }

    pub(crate) fn remove(&mut self, index: u16) -> Option<(u64, T)> {
        let removed = self.taken.remove(&index)?;
        self.lowest_free = self.lowest_free.min(index);
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u64, &T)> {
        let taken = self.taken.iter();
        taken.map(|(index, (serial, value))| (*index, *serial, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_index_is_given_out_and_serials_are_never_used_again() {
        let mut slots = Slots::new(3);
        let given: Vec<_> = (0..3).map(|value| slots.insert(value)).collect();
        assert_eq!(given, [(0, 1), (1, 2), (2, 3)]);
        assert!(!slots.has_room());
        assert_eq!(slots.remove(1), Some((2, 1)));
        assert_eq!(slots.remove(1), None);
        assert_eq!(slots.insert(9), (1, 4));
        assert_eq!((slots.serial(1), slots.len()), (Some(4), 3));
    }

    #[test]
    fn numbers_wrap() {
        let last = Tid::new(u32::MAX);
        assert!(last.is_before(last.next()));
        assert!(!last.next().is_before(last));
        assert_eq!(last.next().distance(last), 1);
    }
}
