//! Planted bugs, for storms that must find them. Without the feature `sabotage` there are none:
//! `planted!` is `false`.

macro_rules! bugs {
    ($($name:ident $text:literal,)*) => {
        /// A planted bug.
        #[cfg(feature = "sabotage")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage {
            $(#[doc = $text] $name,)*
        }

        #[cfg(feature = "sabotage")]
        impl Sabotage {
            /// Every planted bug.
            pub const ALL: &[Sabotage] = &[$(Sabotage::$name),*];
        }
    };
}

bugs! {
    // Numbering.
    NumberDuplicates "The sequencer numbers a request again that came twice.",
    WindowOffByOne "The sequencer takes the last request of a sender for a new one.",
    ForgetSenderOrder "The sequencer numbers a request although an earlier one of its sender is missing.",
    ReleaseEarly "The sequencer keeps messages only until the first member has them.",
    StaleTable "A JOIN tells of the members that there were when it was numbered.",
    NeverSync "The sequencer never asks who lacks something.",
    IgnoreRetrans "The sequencer does not answer who misses something.",
    // Receiving.
    MistakeBodies "A member takes any body of the sender for the one that an accept names.",
    SkipHoles "A member takes the next message that comes for the next one in order.",
    ForgetBodies "A member does not ask for a body that did not come.",
    SuspectEarly "A member that was silent for an instant is lost.",
    // Resilience.
    AcceptUnacknowledged "The sequencer accepts a tentative number that nobody has acknowledged.",
    AcceptOneAckEarly "The sequencer accepts a tentative number with one acknowledgement too few.",
    AcknowledgeHoles "A member acknowledges what it does not have.",
    DeliverTentative "A member delivers what is tentative.",
    // Recovery.
    PromoteEarly "A member that recovers delivers what is tentative before the group is formed.",
    VoteDelivered "A voter tells what it has delivered, not what it has stored.",
    ForgetPromise "A voter follows a lesser invitation after a better one.",
    KeepOldAddress "A member does not listen to the address of the new group.",
    DecideEarly "A coordinator takes a result for decided when the first has acknowledged it.",
    DropTail "Who is not the coordinator forgets what was tentative.",
    MisplaceResult "A coordinator puts its result behind what it has delivered.",
    ForgetIds "A new sequencer forgets which requests were numbered.",
    ReuseIds "A sender begins behind the last id that was numbered.",
    FailNumbered "A sender is told that everything outstanding has failed when the group breaks.",
    KeepOutstanding "A sender sends again what it was told had failed.",
}

/// Whether a bug is planted in this member.
#[cfg(feature = "sabotage")]
macro_rules! planted {
    ($member:expr, $bug:ident) => {
        $member.config.sabotage == Some(crate::sabotage::Sabotage::$bug)
    };
}

/// Whether a bug is planted in this member.
#[cfg(not(feature = "sabotage"))]
macro_rules! planted {
    ($member:expr, $bug:ident) => {{
        let _ = &$member.config;
        false
    }};
}
