//! What can be set: rules, times and bounds. Plain data, per member.

use capability::Port;
use flip_net::address::FlipAddress;
use flip_net::time::Duration;

use crate::wire::TABLE_SLOTS_MAX;

/// Whose behaviour holds where the thesis and the later code differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// The thesis: equal incarnations only, several missing messages asked for at once, PB and BB
    /// told apart by the size of the data.
    #[default]
    Thesis,
    /// Amoeba 5: only higher incarnations are refused, missing messages are asked for one by one,
    /// the 32-byte header counts for the choice between PB and BB.
    Amoeba5,
}

/// Every span of time the protocol knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// First pause between two rings of a locate.
    pub locate_step: Duration,
    /// Longest such pause; it doubles up to here.
    pub locate_step_max: Duration,
    /// A joiner gives up after this.
    pub locate_total: Duration,
    /// A joiner without an answer to its request locates again after this.
    pub join_give_up: Duration,
    /// Reply time-out before anything was measured.
    pub reply: Duration,
    /// Shortest reply time-out, whatever was measured.
    pub reply_min: Duration,
    /// Longest reply time-out; it doubles up to here.
    pub reply_max: Duration,
    /// Pause before a missing broadcast is asked for again; doubles up to `ask_again_max`.
    pub ask_again: Duration,
    /// Longest such pause.
    pub ask_again_max: Duration,
    /// How long an accept waits for its body before that is asked for: on its way through FLIP the
    /// short message may overtake the long one.
    pub body_grace: Duration,
    /// The sequencer asks who is behind when it has accepted nothing for so long; doubles up to
    /// `sync_max` as long as somebody stays behind.
    pub sync: Duration,
    /// Longest such pause.
    pub sync_max: Duration,
    /// Pause between two `SYNC` while the history is full; doubles up to `sync_full_max`.
    pub sync_full: Duration,
    /// Longest such pause.
    pub sync_full_max: Duration,
    /// Silence after which somebody is probed.
    pub probe_after: Duration,
    /// Pause before an unanswered probe is repeated; doubles up to `probe_max`.
    pub probe: Duration,
    /// Longest such pause.
    pub probe_max: Duration,
    /// Silence after which somebody is lost, if `probes_min` probes went unanswered too.
    pub silence_max: Duration,
    /// Fewest unanswered probes before somebody is lost.
    pub probes_min: u32,
    /// Pause between two rounds of a step of recovery; doubles up to `reset_max`.
    pub reset: Duration,
    /// Longest such pause.
    pub reset_max: Duration,
    /// Rounds without an answer after which a member counts as crashed, in recovery.
    pub reset_tries: u32,
    /// How long the sequencer waits for a leaver's word that it is gone.
    pub linger: Duration,
    /// What a path is expected to carry at least: all time-outs grow with the bytes under way.
    pub bytes_per_milli: u64,
}

impl Timing {
    /// For today's networks and processors that share cores: quick to repair, slow to suspect.
    pub const fn modern() -> Timing {
        Timing {
            locate_step: Duration::from_millis(2),
            locate_step_max: Duration::from_millis(20),
            locate_total: Duration::from_secs(10),
            join_give_up: Duration::from_secs(1),
            reply: Duration::from_millis(50),
            reply_min: Duration::from_millis(5),
            reply_max: Duration::from_millis(500),
            ask_again: Duration::from_millis(5),
            ask_again_max: Duration::from_millis(200),
            body_grace: Duration::from_millis(2),
            sync: Duration::from_millis(20),
            sync_max: Duration::from_millis(500),
            sync_full: Duration::from_millis(5),
            sync_full_max: Duration::from_millis(100),
            probe_after: Duration::from_millis(500),
            probe: Duration::from_millis(20),
            probe_max: Duration::from_millis(320),
            silence_max: Duration::from_millis(3_500),
            probes_min: 8,
            reset: Duration::from_millis(20),
            reset_max: Duration::from_millis(160),
            reset_tries: 10,
            linger: Duration::from_secs(1),
            bytes_per_milli: 16 * 1024,
        }
    }

    /// The times of Amoeba 5, for conformance scenarios in virtual time.
    pub const fn amoeba5() -> Timing {
        Timing {
            locate_step: Duration::from_millis(100),
            locate_step_max: Duration::from_secs(60),
            locate_total: Duration::from_secs(105),
            join_give_up: Duration::from_secs(10),
            reply: Duration::from_secs(1),
            reply_min: Duration::from_secs(1),
            reply_max: Duration::from_secs(1),
            ask_again: Duration::from_millis(50),
            ask_again_max: Duration::from_millis(50),
            body_grace: Duration::ZERO,
            sync: Duration::from_secs(8),
            sync_max: Duration::from_secs(8),
            sync_full: Duration::from_millis(100),
            sync_full_max: Duration::from_millis(100),
            probe_after: Duration::from_secs(10),
            probe: Duration::from_secs(10),
            probe_max: Duration::from_secs(10),
            silence_max: Duration::from_secs(100),
            probes_min: 8,
            reset: Duration::from_secs(2),
            reset_max: Duration::from_secs(2),
            reset_tries: 10,
            linger: Duration::from_secs(50),
            bytes_per_milli: 1024,
        }
    }

    /// How long `bytes` may take on their way.
    pub(crate) fn transfer(&self, bytes: usize) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000 / self.bytes_per_milli.max(1))
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing::modern()
    }
}

/// Highest resilience, as in Amoeba.
pub const RESILIENCE_MAX: u8 = 31;

/// Most requests a sender may have outstanding, whatever its configuration says; the sequencer
/// keeps no request further ahead than this.
pub const WINDOW_MAX: u32 = 1_024;

/// The parameters of one member. A joiner's `members_max`, `history_log2`, `message_log2`, `large`
/// and `resilience` are replaced by those of the group it finds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which group: its put-port.
    pub port: Port,
    /// Whose rules.
    pub rules: Rules,
    /// Which times.
    pub timing: Timing,
    /// How many crashes no delivered broadcast may be lost to.
    pub resilience: u8,
    /// Whether a member that notices a failure resets the group by itself, and with how many members
    /// at least. Without it the owner decides, by `Member::reset`.
    pub auto_reset: Option<u16>,
    /// Slots of the member table.
    pub members_max: u16,
    /// Messages that the history holds, as a power of two.
    pub history_log2: u8,
    /// Bytes that the history holds.
    pub history_bytes_max: usize,
    /// Largest user data of a message, as a power of two.
    pub message_log2: u8,
    /// From this size on data goes by BB. Should be what does not fit in one packet any more.
    pub large: u32,
    /// Requests that may be outstanding.
    pub window: u32,
    /// Bytes that may be outstanding; one message of any size always may.
    pub window_bytes_max: usize,
    /// Bodies of BB messages and requests out of order that are kept, in bytes.
    pub early_bytes_max: usize,
    /// Deliveries handed out and not yet consumed, in messages.
    pub queue_messages_max: usize,
    /// Deliveries handed out and not yet consumed, in bytes; one of any size is always handed out.
    pub queue_bytes_max: usize,
    /// The hop count of the first ring of a locate: the weight of the cheapest attached network.
    pub locate_first_ring: u16,
    /// The address of this processor's RPC, told to the group; null without one.
    pub rpc_address: FlipAddress,
    /// FLIP's step from a private to a public address.
    pub one_way: fn(FlipAddress) -> FlipAddress,
    /// Who hears which functions a message passes.
    pub walk: flip_net::walk::Walk,
    /// Which bug is planted.
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<crate::Sabotage>,
}

/// A parameter that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The null port names no group.
    #[error("a group needs a port that is not null")]
    NullPort,
    /// More crashes than anybody provides for.
    #[error("a resilience of {0} is out of range (0 to {RESILIENCE_MAX})")]
    Resilience(u8),
    /// Too few or too many slots.
    #[error("a group has 2 to {TABLE_SLOTS_MAX} slots, not {0}")]
    Members(u16),
    /// A history that cannot hold a message of each member and two more.
    #[error("a history of 2^{history_log2} messages is too small for {members_max} members")]
    History {
        /// The history asked for.
        history_log2: u8,
        /// The slots asked for.
        members_max: u16,
    },
    /// A size that the numbers on the wire cannot carry.
    #[error("messages of 2^{0} bytes are out of range (10 to 26)")]
    Message(u8),
    /// A window without room, or beyond what a sequencer keeps.
    #[error("a window of {0} requests is out of range (1 to {WINDOW_MAX})")]
    Window(u32),
}

impl Config {
    /// The defaults for `port`: 64 outstanding sends, 64 MiB wherever bytes are kept.
    pub fn new(port: Port, one_way: fn(FlipAddress) -> FlipAddress) -> Config {
        const BYTES: usize = 64 << 20;
        Config {
            port,
            rules: Rules::Thesis,
            timing: Timing::modern(),
            resilience: 0,
            auto_reset: None,
            members_max: 64,
            history_log2: 13,
            history_bytes_max: BYTES,
            message_log2: 26,
            large: 1_406,
            window: 64,
            window_bytes_max: BYTES,
            early_bytes_max: BYTES,
            queue_messages_max: 1 << 16,
            queue_bytes_max: BYTES,
            locate_first_ring: 0,
            rpc_address: FlipAddress::NULL,
            walk: flip_net::walk::Walk::default(),
            one_way,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// # Errors
    /// The first parameter that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.port.is_null() {
            return Err(ConfigError::NullPort);
        }
        if self.resilience > RESILIENCE_MAX {
            return Err(ConfigError::Resilience(self.resilience));
        }
        if self.members_max < 2 || usize::from(self.members_max) > TABLE_SLOTS_MAX {
            return Err(ConfigError::Members(self.members_max));
        }
        let history_fits = (4..=24).contains(&self.history_log2)
            && (1_usize << self.history_log2) > usize::from(self.members_max) + 2;
        if !history_fits {
            return Err(ConfigError::History {
                history_log2: self.history_log2,
                members_max: self.members_max,
            });
        }
        if !(10..=26).contains(&self.message_log2) {
            return Err(ConfigError::Message(self.message_log2));
        }
        if self.window == 0 || self.window > WINDOW_MAX {
            return Err(ConfigError::Window(self.window));
        }
        Ok(())
    }

    pub(crate) fn history_messages_max(&self) -> usize {
        1 << self.history_log2
    }

    /// How many messages may be accepted and not yet with everybody: the history without the part
    /// in which requests wait for room.
    pub(crate) fn accepted_messages_max(&self) -> usize {
        self.history_messages_max() - usize::from(self.members_max) - 2
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        1 << self.message_log2
    }

    /// The longest of the messages that carry a member table.
    pub(crate) fn table_bytes_max(&self) -> usize {
        crate::wire::JoinTable::size_of(usize::from(self.members_max))
    }

    /// Whether data of this size goes by BB.
    pub(crate) fn is_large(&self, data_size: usize) -> bool {
        let size = match self.rules {
            Rules::Thesis => data_size,
            Rules::Amoeba5 => data_size + capability::HEADER_SIZE,
        };
        size >= self.large as usize
    }
}
