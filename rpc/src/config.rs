//! What can be set: rules, times and bounds. Plain data, per endpoint.

use flip_net::address::FlipAddress;
use flip_net::time::Duration;

/// Whose behaviour holds where the thesis and the later code differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// The thesis: the rings of a port locate grow by one.
    #[default]
    Thesis,
    /// Amoeba 5: they are 1, 3, 7, 15 and 25 wide.
    Amoeba5,
}

/// Every span of time the protocol knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Pause between two rings of a port locate; it doubles once the ring is widest.
    pub locate_step: Duration,
    /// Longest such pause.
    pub locate_step_max: Duration,
    /// How long a transaction looks for a server unless its options say otherwise.
    pub locate_time: Duration,
    /// The unit of the clock that a `LOCATE` carries and its answers echo.
    pub clock_unit: Duration,
    /// What a round trip is taken for before it was measured.
    pub round_trip: Duration,
    /// The longest that a measured round trip is taken for.
    pub round_trip_max: Duration,
    /// Whether round trips are measured by probes and replies, too, and not by `HEREIS` only.
    pub adaptive: bool,
    /// What a client waits beyond the round trip before it asks whether the request came.
    pub reply: Duration,
    /// Longest such wait, the round trip included; it doubles up to here where `backs_off`.
    pub reply_max: Duration,
    /// How often a client asks whether a request came that nobody acknowledges.
    pub retries: u32,
    /// How many round trips a server waits for the acknowledgement of its reply.
    pub ack_round_trips: u64,
    /// The shortest such wait.
    pub ack_min: Duration,
    /// The longest such wait, and the one for a client that tells no round trip.
    pub ack_max: Duration,
    /// How often a server asks whether a reply came that nobody acknowledges.
    pub ack_retries: u32,
    /// Whether waits for an answer double each time.
    pub backs_off: bool,
    /// How often a client asks whether its request is still being executed.
    pub keep_alive: Duration,
    /// As many such questions may stay without answer.
    pub silent_max: u32,
    /// How long a silent client is remembered by a server: no packet lives longer.
    pub memory: Duration,
    /// What a path is expected to carry at least: all waits grow with the bytes under way.
    pub bytes_per_milli: u64,
}

impl Timing {
    /// For today's networks and processors that share cores: quick to repair, slow to suspect.
    pub const fn modern() -> Timing {
        Timing {
            locate_step: Duration::from_millis(2),
            locate_step_max: Duration::from_millis(200),
            locate_time: Duration::from_secs(5),
            clock_unit: Duration::from_micros(1),
            round_trip: Duration::from_millis(2),
            round_trip_max: Duration::from_millis(500),
            adaptive: true,
            reply: Duration::from_millis(30),
            reply_max: Duration::from_millis(500),
            retries: 10,
            ack_round_trips: 4,
            ack_min: Duration::from_millis(20),
            ack_max: Duration::from_millis(500),
            ack_retries: 12,
            backs_off: true,
            keep_alive: Duration::from_millis(400),
            silent_max: 11,
            memory: Duration::from_secs(600),
            bytes_per_milli: 16 * 1024,
        }
    }

    /// The times of Amoeba 5, for conformance scenarios in virtual time.
    pub const fn amoeba5() -> Timing {
        Timing {
            locate_step: Duration::from_millis(100),
            locate_step_max: Duration::from_secs(60),
            locate_time: Duration::from_millis(5_200),
            clock_unit: Duration::from_millis(1),
            round_trip: Duration::from_millis(10),
            round_trip_max: Duration::from_millis(1_000),
            adaptive: false,
            reply: Duration::from_millis(1_000),
            reply_max: Duration::from_secs(60),
            retries: 10,
            ack_round_trips: 16,
            ack_min: Duration::from_millis(11),
            ack_max: Duration::from_secs(30),
            ack_retries: 10,
            backs_off: false,
            keep_alive: Duration::from_secs(20),
            silent_max: 11,
            memory: Duration::from_secs(600),
            bytes_per_milli: 1024,
        }
    }

    /// How much longer than a short message `bytes` may take on their way.
    pub(crate) fn transfer(&self, bytes: usize) -> Duration {
        const SHORT: usize = 2_048;
        let long = bytes.saturating_sub(SHORT) as u64;
        Duration::from_micros(long.saturating_mul(1_000) / self.bytes_per_milli.max(1))
    }

    /// The same for what was lost so often, or was on its way still when somebody asked: the answer
    /// to an early question is NAK, and what then comes, comes in vain. So it is given more time.
    pub(crate) fn transfer_after(&self, bytes: usize, losses: u32) -> Duration {
        const DOUBLINGS_MAX: u32 = 10;
        self.transfer(bytes).times(1 << losses.min(DOUBLINGS_MAX))
    }

    /// How long to wait for the `count`-th answer, the first being 0, if the first wait is `first`.
    pub(crate) fn wait(&self, first: Duration, count: u32, longest: Duration) -> Duration {
        const DOUBLINGS_MAX: u32 = 16;
        match self.backs_off {
            true => first.times(1 << count.min(DOUBLINGS_MAX)).min(longest),
            false => first,
        }
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing::modern()
    }
}

/// The parameters of one endpoint.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose rules.
    pub rules: Rules,
    /// Which times.
    pub timing: Timing,
    /// Whether data and questions go over trusted networks only.
    pub security: bool,
    /// Whether a network may deliver a packet twice. If none does, a short request that FLIP gave
    /// back was certainly not executed, and may go to another server.
    pub duplicating: bool,
    /// The longest message, headers included, that fits in one packet: longer requests are
    /// acknowledged as soon as they are complete.
    pub packet_len_max: usize,
    /// The longest user data of a request or reply.
    pub data_len_max: usize,
    /// Transactions that may be under way.
    pub transactions_max: usize,
    /// Servers that may wait or execute.
    pub servers_max: usize,
    /// Clients whose executed requests are remembered.
    pub clients_max: usize,
    /// How many numbers of a client are remembered; a power of two, the same at all endpoints.
    pub window: u32,
    /// Ports whose servers are remembered.
    pub ports_max: usize,
    /// Servers that are remembered of one port.
    pub servers_by_port_max: usize,
    /// The hop count of the first ring of a locate: the weight of the cheapest attached network.
    pub locate_first_ring: u16,
    /// FLIP's step from a private to a public address.
    pub one_way: fn(FlipAddress) -> FlipAddress,
    /// Who hears which functions a message passes.
    pub walk: flip_net::walk::Walk,
    /// Which bug is planted.
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<Sabotage>,
}

/// A planted bug, for storms that must find it.
#[cfg(feature = "sabotage")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A client sends its request again, under a new number, instead of asking.
    ResendInsteadOfAsking,
    /// A server forgets what it executed.
    ForgetExecuted,
    /// A server marks the number after the one it executed.
    MarkOffByOne,
    /// A client takes a reply with the number of another transaction.
    AcceptAnyReply,
    /// A server says NAK of a request that it has executed.
    NakExecuted,
    /// A client turns to another server after a time-out.
    NewServerAfterTimeout,
    /// A server keeps no reply.
    DropReplyEarly,
    /// A server takes any acknowledgement of the client for that of its reply.
    AckOfAnything,
    /// A server that says NAK does not remember that it did.
    ForgetRefused,
    /// A client takes a bounced request for one that nobody got, whatever the networks do.
    BounceIsProof,
    /// A client says "not executed" of everything that has no reply.
    HopeForTheBest,
}

/// A parameter that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Numbers wrap around the window.
    #[error("a window of {0} numbers is no power of two from 128 on; try 4096")]
    Window(u32),
    /// Indices have 16 bits.
    #[error("{0} transactions or servers are more than 65535, or none")]
    Slots(usize),
    /// FLIP's lengths have 32 bits.
    #[error("messages of {0} bytes are more than FLIP carries (4294967000)")]
    Message(usize),
}

impl Config {
    /// The defaults: a thousand transactions and a thousand servers, messages up to 1 GiB.
    pub fn new(one_way: fn(FlipAddress) -> FlipAddress) -> Config {
        Config {
            rules: Rules::Thesis,
            timing: Timing::modern(),
            security: true,
            duplicating: true,
            packet_len_max: 1_458,
            data_len_max: 1 << 30,
            transactions_max: 1_024,
            servers_max: 1_024,
            clients_max: 4_096,
            window: 4_096,
            ports_max: 256,
            servers_by_port_max: 16,
            locate_first_ring: 1,
            one_way,
            walk: flip_net::walk::Walk::default(),
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// # Errors
    /// The first parameter that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        const DATA_LEN_MAX: usize = 4_294_967_000;
        if !self.window.is_power_of_two() || self.window < 128 {
            return Err(ConfigError::Window(self.window));
        }
        for slots in [self.transactions_max, self.servers_max] {
            if slots == 0 || slots > usize::from(u16::MAX) {
                return Err(ConfigError::Slots(slots));
            }
        }
        if self.data_len_max > DATA_LEN_MAX {
            return Err(ConfigError::Message(self.data_len_max));
        }
        Ok(())
    }

    /// Whether a message of this length is cut by FLIP.
    pub(crate) fn is_long(&self, len: usize) -> bool {
        len > self.packet_len_max
    }

    /// Whether this bug is planted; never, in a default build.
    #[cfg(feature = "sabotage")]
    pub(crate) fn has_bug(&self, bug: Sabotage) -> bool {
        self.sabotage == Some(bug)
    }
}

/// Whether a bug is planted: false in a default build, where the names do not exist.
macro_rules! sabotaged {
    ($config:expr, $bug:ident) => {{
        #[cfg(feature = "sabotage")]
        {
            $config.has_bug($crate::config::Sabotage::$bug)
        }
        #[cfg(not(feature = "sabotage"))]
        {
            false
        }
    }};
}
pub(crate) use sabotaged;
