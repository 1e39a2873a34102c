//! `Rules` and `Timing` of a box, and the sizes of its tables. Plain data.
//!
//! Implements: [Thesis §2.4]; facts sheet 1.4.

use crate::time::Duration;

/// Whose behaviour counts where the thesis and the later Amoeba sources differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// The thesis.
    #[default]
    Thesis,
    /// The sources of Amoeba 5.
    Amoeba5,
}

/// Which clocks a box runs by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Made for networks of today: locates start at the cheapest network and after 2 ms.
    #[default]
    Modern,
    /// The constants of Amoeba 5.
    Amoeba5,
}

/// What a box is told when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose behaviour counts.
    pub rules: Rules,
    /// Which clocks it runs by.
    pub timing: Timing,
    /// Whether the one attached network, if its frames reach every station, reaches everybody who
    /// can listen, since no box forwards from there. Then a multicast needs no listeners known.
    pub flat: bool,
    /// The largest weight a packet may gather.
    pub hops_max: u16,
    /// The most addresses in the routing table, local ones not counted.
    pub routes_len_max: usize,
    /// The most stations that are remembered for one address.
    pub locations_len_max: usize,
    /// How often routes grow older.
    pub sweep_interval: Duration,
    /// Sweeps without a packet after which a route is forgotten (rules of the thesis).
    pub route_age_max: u32,
    /// LOCATEs that one network may bring in a second.
    pub locates_per_second: u32,
    /// How long a broadcast is remembered by the loop cache (rules of the thesis).
    pub loop_memory: Duration,
    /// The most addresses that are located at the same time.
    pub locates_len_max: usize,
    /// The most bytes that wait for locates; one message of any size may.
    pub waiting_bytes_max: usize,
    /// The most bytes of cut messages that wait for their turn on the networks. A message counts
    /// once for each station, though it is in memory only once.
    pub queued_bytes_max: usize,
    /// How fast the fragments of long messages leave.
    pub pace: Option<Pace>,
    /// Fragments of long unicasts that a neighbour may have sent and we not digested, where a link
    /// has the flow-control header.
    pub credits_max: u8,
    /// Digested fragments after which credits are given back without waiting for a ride.
    pub credits_owed_max: u8,
    /// How long a sender without credit waits before it asks for some.
    pub credit_interval: Duration,
    /// Questions without an answer after which a neighbour is given up.
    pub credit_requests_max: u32,
    /// The most data-link multicast addresses that are heard for the sake of others.
    pub heard_len_max: usize,
    /// How long a message of several fragments is kept, so that missing parts can be sent again.
    pub kept_time: Duration,
    /// The most bytes of such messages; the newest one is always kept.
    pub kept_bytes_max: usize,
    /// The largest message.
    pub message_len_max: usize,
}

/// A limit on the fragments of long messages: short messages overtake. It grows fast while more
/// wants to leave, until somebody misses parts of a message; then it halves, down to a sixty-fourth
/// of where it began, and grows slowly from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes that may leave at once.
    pub burst: u64,
    /// Bytes that may leave in a millisecond, to begin with.
    pub per_millisecond: u64,
    /// The same at most, however fast everybody turns out to be.
    pub per_millisecond_max: u64,
}

impl Config {
    /// The sizes of Amoeba 5 with its rules and timing.
    pub fn amoeba5() -> Config {
        Config {
            rules: Rules::Amoeba5,
            timing: Timing::Amoeba5,
            routes_len_max: 400,
            locations_len_max: 600,
            locates_per_second: 100,
            pace: None,
            kept_bytes_max: 0,
            credits_max: 8,
            credits_owed_max: 6,
            credit_interval: Duration::from_millis(2_000),
            ..Config::default()
        }
    }

    /// The sizes and the timing of Amoeba 5 with the rules of the thesis.
    pub fn thesis() -> Config {
        Config {
            rules: Rules::Thesis,
            ..Config::amoeba5()
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            rules: Rules::Thesis,
            timing: Timing::Modern,
            flat: false,
            hops_max: 25,
            routes_len_max: 4_096,
            locations_len_max: 1_024,
            sweep_interval: Duration::from_millis(25_000),
            route_age_max: 12,
            locates_per_second: 10_000,
            loop_memory: Duration::from_secs(10),
            locates_len_max: 1_024,
            waiting_bytes_max: 256 << 20,
            queued_bytes_max: 2 << 30,
            pace: Some(Pace {
                burst: 1 << 20,
                per_millisecond: 512 << 10,
                per_millisecond_max: 16 << 20,
            }),
            credits_max: 64,
            credits_owed_max: 32,
            credit_interval: Duration::from_millis(20),
            credit_requests_max: 4,
            heard_len_max: 256,
            kept_time: Duration::from_secs(2),
            kept_bytes_max: 64 << 20,
            message_len_max: u32::MAX as usize,
        }
    }
}
