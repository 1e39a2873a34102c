//! What an endpoint counts: messages by kind, and marks, the things worth knowing that they happened.
//!
//! A storm that never reaches a mark has not tested the code behind it, so tests print the table
//! and fail on a zero.

use std::fmt;

use crate::wire::Kind;

macro_rules! marks {
    ($($name:ident $text:literal,)*) => {
        /// Something that happened inside an endpoint and can be counted.
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
    // Locating.
    CacheHit "server known from the cache",
    LocateSent "LOCATE sent",
    LocateRepeated "LOCATE sent again, wider or later",
    LocateShared "transaction joined a locate under way",
    PortFound "port located",
    PortNotFound "port not located in time",
    LocateAnswered "LOCATE answered",
    ServerForgotten "server struck from the cache",
    // Client.
    RequestSent "request sent",
    RequestRenumbered "request sent again under a new number after NAK",
    RequestHeld "request held back: too far ahead of older ones",
    RequestRerouted "request sent again after it was given back",
    RequestDoubted "asked whether a request came",
    RequestAcked "request known to have come",
    RequestRefused "request refused by a busy server",
    RequestLost "request known to be lost",
    ServerChanged "another server tried after a refusal",
    Enquired "asked whether a request is still executed",
    ServerAlive "server told that it is",
    ReplyTaken "reply taken",
    ReplyTruncated "reply longer than its buffer",
    ReplyStale "reply or forward that nobody waits for acknowledged",
    ReplyMissed "server told that its reply did not come",
    RequestForwarded "request forwarded to another server",
    NotExecuted "transaction ended: not executed",
    ContactLost "transaction ended: contact lost",
    ServerGone "server's address no longer located",
    ServerFailed "server does not know the result",
    AbortedEarly "transaction aborted, never executed",
    SignalSent "server signalled",
    TurnedAway "transaction turned away: too many under way",
    // Server.
    RequestTaken "request handed to a server",
    LongRequestAcked "request of several packets acknowledged at once",
    RequestTruncated "request longer than its buffer",
    ServersBusy "request refused: no server waits",
    RequestUnknown "request asked about that never came",
    DuplicateIgnored "duplicate request ignored",
    DuplicateAcked "request sent again while executed",
    DuplicateFailed "request sent again or asked about after its reply was dropped",
    RefusedAgain "copy of a refused request refused again",
    SignalDelivered "signal delivered to a server",
    SignalCancelled "signal that came before its request, which is refused",
    ReplyAcked "reply acknowledged",
    ReplyDoubted "asked whether a reply came",
    ReplyResent "reply sent again",
    ReplyGivenUp "reply given up",
    ClientGone "client's address no longer located",
    ServerCancelled "server went away while executing",
    NoClientRoom "request failed: too many clients to remember",
    // Local.
    LocalTransaction "transaction within the endpoint",
    // Bounces.
    Bounced "message given back by FLIP",
    // Drops.
    Malformed "malformed message dropped",
    OtherSelector "broadcast of another protocol dropped",
    OutOfPhase "message that makes no sense now dropped",
}

/// The counters of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    marks: [u64; Mark::ALL.len()],
    sent: [u64; Kind::ALL.len()],
    received: [u64; Kind::ALL.len()],
    /// Most transactions that were under way.
    pub transactions_peak: usize,
    /// Most servers that waited or executed.
    pub servers_peak: usize,
}

impl Stats {
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    pub(crate) fn sent(&mut self, kind: Kind) {
        self.sent[kind as usize - 1] += 1;
    }

    pub(crate) fn received(&mut self, kind: Kind) {
        self.received[kind as usize - 1] += 1;
    }

    /// How often `mark` was reached.
    pub fn count(&self, mark: Mark) -> u64 {
        self.marks[mark as usize]
    }

    /// Messages of this kind handed to FLIP.
    pub fn sent_of(&self, kind: Kind) -> u64 {
        self.sent[kind as usize - 1]
    }

    /// Messages handed to FLIP.
    pub fn sent_total(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// Messages of this kind received and understood.
    pub fn received_of(&self, kind: Kind) -> u64 {
        self.received[kind as usize - 1]
    }

    /// Adds another endpoint's counters, for a table over many; peaks are maxima.
    pub fn add(&mut self, other: &Stats) {
        let add = |mine: &mut [u64], theirs: &[u64]| {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        };
        add(&mut self.marks, &other.marks);
        add(&mut self.sent, &other.sent);
        add(&mut self.received, &other.received);
        self.transactions_peak = self.transactions_peak.max(other.transactions_peak);
        self.servers_peak = self.servers_peak.max(other.servers_peak);
    }
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            marks: [0; Mark::ALL.len()],
            sent: [0; Kind::ALL.len()],
            received: [0; Kind::ALL.len()],
            transactions_peak: 0,
            servers_peak: 0,
        }
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
