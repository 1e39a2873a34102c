//! How full the tables of a box are, and how full they may get. For tests and for whoever watches a
//! box that strangers talk to.

use super::locate::REFRESHED_LEN_MAX;
use super::multicast::AGREEMENTS_LEN_MAX;
use super::queue::JOB_COST;
use super::{ACCOUNTS_LEN_MAX, FlipBox, LOOPS_LEN_MAX, PARTS_MAX};

macro_rules! sizes {
    ($($(#[doc = $text:literal])+ $name:ident,)*) => {
        /// Lengths of the tables and queues of a box; see [`FlipBox::sizes`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Sizes {
            $($(#[doc = $text])+ pub $name: usize,)*
        }

        impl Sizes {
            /// The first table that is larger than in `bounds`.
            pub fn beyond(&self, bounds: &Sizes) -> Option<&'static str> {
                $(if self.$name > bounds.$name {
                    return Some(stringify!($name));
                })*
                None
            }

            /// Makes each at least as large as in `other`.
            pub fn raise(&mut self, other: &Sizes) {
                $(self.$name = self.$name.max(other.$name);)*
            }
        }
    };
}

sizes! {
    /// Addresses in the routing table.
    routes,
    /// Ways to all of them.
    locations,
    /// Addresses whose ways a LOCATE has put into doubt.
    doubted,
    /// Fragments in the loop cache.
    loops,
    /// Addresses that are sought.
    locates,
    /// Bytes that wait for these.
    waiting_bytes,
    /// Multicast addresses that were asked for in passing.
    refreshed,
    /// Messages that leave piece by piece, and parts of some.
    queued,
    /// Bytes of these.
    queued_bytes,
    /// Messages that may be asked for again.
    kept,
    /// Bytes of these.
    kept_bytes,
    /// Neighbours with an account of credits.
    accounts,
    /// Agreements on data-link multicast addresses.
    agreements,
    /// Such addresses that are heard for the sake of others.
    heard,
    /// Frames that wait to be polled.
    transmits,
    /// Events that wait to be polled.
    events,
    /// Changes of what is heard that wait to be polled.
    listens,
}

impl FlipBox {
    /// How full everything is. Counts the ways one table entry at a time.
    pub fn sizes(&self) -> Sizes {
        let (locates, waiting_bytes, refreshed) = self.locates.sizes();
        let (kept, kept_bytes) = self.kept.sizes();
        let (agreements, heard) = self.multicasts.sizes();
        Sizes {
            routes: self.routes.len(),
            locations: self.routes.locations_len(),
            doubted: self.routes.doubted_len(),
            loops: self.loops.len(),
            locates,
            waiting_bytes,
            refreshed,
            queued: self.fragments.len(),
            queued_bytes: self.fragments.bytes(),
            kept,
            kept_bytes,
            accounts: self.credits.len(),
            agreements,
            heard,
            transmits: self.transmits.len(),
            events: self.events.len(),
            listens: self.multicasts.changes.len(),
        }
    }

    /// How full everything may get, between one drain and the next: what is polled is gone then.
    /// A message that is alone waits, is queued and is kept however
    /// long it is.
    pub fn bounds(&self) -> Sizes {
        let config = &self.config;
        let message = config.message_len_max;
        Sizes {
            routes: config.routes_len_max,
            locations: config.routes_len_max * config.locations_len_max,
            doubted: config.routes_len_max,
            loops: LOOPS_LEN_MAX,
            locates: config.locates_len_max,
            waiting_bytes: config.waiting_bytes_max.max(message),
            refreshed: REFRESHED_LEN_MAX,
            queued: config.queued_bytes_max / JOB_COST + PARTS_MAX + 1,
            queued_bytes: config.queued_bytes_max.max(message),
            kept: config.kept_bytes_max,
            kept_bytes: config.kept_bytes_max.max(message),
            accounts: ACCOUNTS_LEN_MAX,
            agreements: AGREEMENTS_LEN_MAX,
            heard: config.heard_len_max,
            transmits: 0,
            events: 0,
            listens: 0,
        }
    }
}
