//! What a member counts: packets by kind, and marks, the things worth knowing that they happened.
//!
//! A storm that never reaches a mark has not tested the code behind it, so tests print the table
//! and fail on a zero.

use std::fmt;

use crate::wire::Kind;

macro_rules! marks {
    ($($name:ident $text:literal,)*) => {
        /// Something that happened inside a member and can be counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $(#[doc = $text] $name,)*
        }

        impl Mark {
            /// Every mark, in the order of the table.
            pub const ALL: &[Mark] = &[$(Mark::$name),*];

            /// What happened, in words.
            pub const fn text(self) -> &'static str {
                match self { $(Mark::$name => $text,)* }
            }
        }
    };
}

marks! {
    // Sending.
    SentPb "request sent point to point (PB)",
    SentBb "request sent to the group (BB)",
    RequestResent "request sent again after silence",
    RequestAskedFor "request sent again because the sequencer asked",
    WindowFull "send refused: window full",
    // Receiving.
    HoleSeen "hole seen in the sequence",
    HoleAtJoin "hole right behind the own join",
    RetransmissionAsked "retransmission asked for",
    RetransmissionAskedAgain "retransmission asked for again",
    DuplicateBroadcast "duplicate broadcast dropped",
    BroadcastTooFar "broadcast beyond the history dropped",
    BodyKept "BB body kept for its accept",
    BodyLate "BB body came after its accept",
    BodyLost "BB body lost: accept without data",
    BodyRefused "BB body dropped: no room",
    BodyStale "BB body of a delivered message dropped",
    AcceptLost "BB accept lost: body came, number did not",
    QueueFull "delivery queue full",
    // Telling the sequencer.
    StateWhenSilent "STATE sent after much silence",
    StateSolicited "STATE sent on SYNC",
    StateCaughtUp "STATE sent when the queue had drained",
    // Sequencing.
    RequestNumbered "request numbered",
    DuplicateRequest "duplicate request dropped",
    DuplicateAnswered "duplicate request answered from the history",
    RequestEarly "request kept until the ones before it came",
    RequestBeyondWindow "request beyond the window dropped",
    RequestMissing "member asked for a missing request",
    RequestTurnedAway "request turned away: no room",
    HistoryFull "history full",
    HistoryFreed "history freed, numbering goes on",
    SyncSent "SYNC sent after quiet",
    SyncWhenFull "SYNC sent to the members that block",
    RetransmissionAnswered "retransmission answered",
    RetransmissionSpared "retransmission not answered: the last one is still under way",
    RetransmissionImpossible "retransmission of something not kept",
    // Resilience.
    NumberTentative "tentative number multicast",
    AckSent "acknowledgement sent",
    AckRepeated "acknowledgement sent again when asked",
    AckAskedFor "acknowledgement asked for again",
    BadAck "impossible acknowledgement ignored",
    // Recovery.
    RecoveryEntered "recovery entered",
    InvitationBegun "coordinator invites",
    InvitationRepeated "invitation repeated",
    InvitationStopped "lesser invitation answered with STOP",
    CoordinatorStopped "coordinator stopped by STOP",
    CoordinatorStepsDown "coordinator follows a better invitation",
    CoordinatorProbed "coordinator probed by its cohort",
    CoordinatorLost "coordinator lost by its cohort",
    VoterGivenUp "voter given up",
    HistoryFetched "history fetched from the best voter",
    VoterUpdated "voter told to catch up",
    ResultProposed "result proposed",
    ResultPrepared "result acknowledged",
    ResultDropped "undecided result dropped",
    ResultAdopted "result of a lost coordinator adopted",
    ResultDecided "result decided",
    ResultHeard "result heard to be decided",
    GroupReset "group formed anew",
    ResetFailed "reset failed: too few members",
    SendFailed "send failed by a reset",
    StragglerTold "straggler told of the new group",
    StragglerExpelled "straggler told that it is out",
    Expelled "expelled",
    // Membership.
    Located "group located",
    LocateRepeated "locate repeated",
    GroupFull "join refused: group full",
    JoinRestarted "join began again",
    MemberJoined "member joined",
    MemberLeft "member left",
    LeaveRepeated "LEAVE sent to the leaver again",
    LeaverGone "leaver freed without its word",
    UserlessSequencer "sequencer went on without its application",
    // Liveness.
    ProbeSent "liveness probe sent",
    ProbeRepeated "liveness probe repeated",
    OwnPause "own pause taken off others' silence",
    MemberLost "member reported lost",
    Undeliverable "message reported undeliverable",
    // Drops.
    Malformed "malformed message dropped",
    UnknownKind "message of unknown type or flag dropped",
    OwnEcho "own message dropped",
    OtherIncarnation "message of another incarnation dropped",
    OtherSource "message from the wrong source dropped",
    OutOfPhase "message that makes no sense now dropped",
    BadExpect "impossible expect ignored",
}

/// The counters of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    marks: [u64; Mark::ALL.len()],
    sent: [u64; Kind::ALL.len()],
    received: [u64; Kind::ALL.len()],
    /// Most messages the history ever held.
    pub history_messages_peak: usize,
    /// Most bytes the history ever held.
    pub history_bytes_peak: usize,
    /// Most bytes handed to the delivery queue and not consumed.
    pub queue_bytes_peak: usize,
}

impl Stats {
    pub(crate) fn new() -> Stats {
        Stats {
            marks: [0; Mark::ALL.len()],
            sent: [0; Kind::ALL.len()],
            received: [0; Kind::ALL.len()],
            history_messages_peak: 0,
            history_bytes_peak: 0,
            queue_bytes_peak: 0,
        }
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    pub(crate) fn sent(&mut self, kind: Kind) {
        self.sent[kind as usize] += 1;
    }

    pub(crate) fn received(&mut self, kind: Kind) {
        self.received[kind as usize] += 1;
    }

    /// How often `mark` was reached.
    pub fn count(&self, mark: Mark) -> u64 {
        self.marks[mark as usize]
    }

    /// Messages of this kind handed to FLIP; a multicast counts once.
    pub fn sent_of(&self, kind: Kind) -> u64 {
        self.sent[kind as usize]
    }

    /// Messages handed to FLIP.
    pub fn sent_total(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// Messages of this kind received and understood.
    pub fn received_of(&self, kind: Kind) -> u64 {
        self.received[kind as usize]
    }

    /// Adds another member's counters, for a table over many; peaks are maxima.
    pub fn add(&mut self, other: &Stats) {
        let add = |mine: &mut [u64], theirs: &[u64]| {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        };
        add(&mut self.marks, &other.marks);
        add(&mut self.sent, &other.sent);
        add(&mut self.received, &other.received);
        self.history_messages_peak = self.history_messages_peak.max(other.history_messages_peak);
        self.history_bytes_peak = self.history_bytes_peak.max(other.history_bytes_peak);
        self.queue_bytes_peak = self.queue_bytes_peak.max(other.queue_bytes_peak);
    }
}

impl Default for Stats {
    fn default() -> Stats {
        Stats::new()
    }
}

/// The table of marks, one a line, those never reached included.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Mark::ALL
            .iter()
            .try_for_each(|&mark| writeln!(f, "{:>10}  {}", self.count(mark), mark.text()))
    }
}
