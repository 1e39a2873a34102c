//! Groups: create, join, leave, send, receive, reset, info, set.
//!
//! Implements: [Thesis §3.3]; [Amoeba5] §3.1.

use std::sync::Arc;
use std::time::Duration;

use flip_net::driver::Device;
use group::{Info, MemberIndex, MessageId, Payload, SeqNo, Timing, Wait};

use super::error::{EnterError, LeaveError, ReceiveError, ResetError, SendError};
use super::membership::{Enter, Finish, Leave, Reset};
#[cfg(feature = "async")]
use super::operation::task::Task;
use super::operation::{Patience, Processor};
use super::receive::Receive;
use super::rpc::Rpc;
use super::send::Send;
use crate::command::Command;
use crate::config::Config;

/// A processor in a group. See the [module](crate::api).
///
/// Dropping it (and the [`Rpc`] of the same processor) stops the processor without a word, as a
/// crash does: the others find out from silence. [`leave`](Group::leave) and [`die`](Group::die)
/// are the polite ways.
pub struct Group {
    processor: Arc<Processor>,
}

/// The state of the group as one member knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// The state record.
    pub group: Info,
    /// Whether something is to be received here at once.
    pub has_more: bool,
    /// What this member waits for, and from whom.
    pub waits: Vec<Wait>,
}

/// What is received, in the total order: every member gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message {
        /// Its place in the order.
        seq: SeqNo,
        /// Who sent it.
        from: MemberIndex,
        /// The bytes.
        bytes: Payload,
    },
    /// Somebody else came.
    Joined {
        /// The place of the join.
        seq: SeqNo,
        /// Who.
        member: MemberIndex,
    },
    /// Somebody left.
    Left {
        /// The place of the leave.
        seq: SeqNo,
        /// Who.
        member: MemberIndex,
    },
    /// The group was formed anew.
    Reset {
        /// The place of the reset.
        seq: SeqNo,
        /// Who is in now.
        members: Vec<MemberIndex>,
        /// Who was in and is taken for crashed.
        removed: Vec<MemberIndex>,
        /// Who numbers now.
        sequencer: MemberIndex,
    },
}

impl Group {
    /// Creates a group on these networks and becomes its first member and sequencer. The links of
    /// the configuration are those of the devices, in the same order; [`Config::of`] makes them so.
    ///
    /// # Errors
    /// [`EnterError`]; then nothing runs.
    pub fn create(config: Config, devices: Vec<Arc<dyn Device>>) -> Result<Group, EnterError> {
        let (group, enter) = Group::start(config, devices, true)?;
        group.processor.run(enter)?;
        Ok(group)
    }

    /// Joins the group with the port of the configuration, wherever its sequencer is. What the
    /// members have sent before is not received here.
    ///
    /// # Errors
    /// [`EnterError`], at the latest after the time in the configuration's timing; then nothing
    /// runs.
    pub fn join(config: Config, devices: Vec<Arc<dyn Device>>) -> Result<Group, EnterError> {
        let (group, enter) = Group::start(config, devices, false)?;
        group.processor.run(enter)?;
        Ok(group)
    }

    fn start(
        mut config: Config,
        devices: Vec<Arc<dyn Device>>,
        founds: bool,
    ) -> Result<(Group, Enter), EnterError> {
        config.founds = founds;
        let enter = Enter::new(&config.group);
        let processor = Processor::start(config, devices)?;
        Ok((Group { processor }, enter))
    }

    /// Sends a message to all members, this one included, and blocks until it has its place in the
    /// order: then every member that goes on receives it there, whatever happens to as many others
    /// as the group's resilience says. Messages of one thread keep their order.
    ///
    /// If nobody receives somewhere, or here, histories and queues fill, and this blocks until that
    /// changes. If the group breaks, this returns [`SendError::Aborted`], so that the caller can
    /// reset it; with an automatic reset it blocks until that has decided.
    ///
    /// # Errors
    /// [`SendError`], which says whether the message was sent, and what is known of it.
    pub fn send(&self, bytes: impl Into<Payload>) -> Result<SeqNo, SendError> {
        self.processor.run(Send::new(bytes.into(), None))
    }

    /// The same, for at most this long.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_within(
        &self,
        bytes: impl Into<Payload>,
        within: Duration,
    ) -> Result<SeqNo, SendError> {
        self.processor.run(Send::new(bytes.into(), Some(within)))
    }

    /// What became of a message whose fate was open when its `send` returned. Blocks until it is
    /// decided: by the reset, if the group is broken, which somebody else has to do meanwhile. Tells
    /// it once.
    ///
    /// # Errors
    /// [`SendError`]; `NotMember` also for a message that nothing is known of.
    pub fn outcome(&self, message: MessageId, within: Duration) -> Result<SeqNo, SendError> {
        self.processor.run(Send::settling(message, within))
    }

    /// Receives what is next in the order; blocks until there is something.
    ///
    /// # Errors
    /// [`ReceiveError`]; after `Aborted` receiving goes on once the group is reset.
    pub fn receive(&self) -> Result<Received, ReceiveError> {
        self.processor.run(Receive::new(None))
    }

    /// The same, for at most this long.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive_within(&self, within: Duration) -> Result<Received, ReceiveError> {
        self.processor.run(Receive::new(Some(within)))
    }

    /// Forms the broken group anew from the members that are left, if there are at least
    /// `members_min` of them, and says how many there are. A group that is well stays as it is. Any
    /// number of members and threads may do this at once. Blocks as long as the reset takes: who
    /// does not answer it is taken for crashed.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&self, members_min: u16) -> Result<usize, ResetError> {
        self.processor.run(Reset::new(members_min, None))
    }

    /// The same, for at most this long.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset_within(&self, members_min: u16, within: Duration) -> Result<usize, ResetError> {
        self.processor.run(Reset::new(members_min, Some(within)))
    }

    /// Leaves the group, after everything that was sent here, and blocks until the leave has its
    /// place in the order; what was not received by then is dropped.
    ///
    /// # Errors
    /// [`LeaveError`].
    pub fn leave(self) -> Result<Departed, LeaveError> {
        let leave = self.processor.with(|desk, _| Leave::new(desk));
        self.processor.run(leave)?;
        Ok(Departed {
            processor: self.processor,
        })
    }

    /// Is gone from the group at once, and tells the others, so that they need not find out: the
    /// group is broken until they reset it.
    pub fn die(self) {
        self.processor.with(|desk, now| desk.stack.die(now));
    }

    /// Tells that a member's processor is known to be gone: nobody waits for it to be silent for
    /// long enough, and the group is broken until it is reset.
    pub fn declare_lost(&self, member: MemberIndex) {
        self.processor.with(|desk, now| {
            // It is never refused.
            let _ = desk.stack.handle_command(now, Command::DeclareLost(member));
        });
    }

    /// The state of the group as known here.
    pub fn info(&self) -> GroupInfo {
        self.processor.with(|desk, _| GroupInfo {
            group: desk.stack.member().info(),
            has_more: desk.stack.has_queued(),
            waits: desk.stack.member().waits(),
        })
    }

    /// Other times for this member from now on: how long it waits for replies, when it asks who is
    /// behind, after which silence it takes somebody for lost. What a deadline is set for already
    /// happens then.
    pub fn set(&self, timing: Timing) {
        self.processor
            .with(|desk, now| desk.stack.set_group_timing(now, timing));
    }

    /// The transactions of the same processor, if its configuration has an RPC endpoint.
    pub fn rpc(&self) -> Option<Rpc> {
        Rpc::on(&self.processor)
    }
}

/// The same as futures, for any executor; they do what their namesakes do. A future that is dropped
/// is forgotten: a message may have been sent, a delivery stays to be received.
#[cfg(feature = "async")]
impl Group {
    /// As [`Group::create`].
    pub async fn create_async(
        config: Config,
        devices: Vec<Arc<dyn Device>>,
    ) -> Result<Group, EnterError> {
        let (group, enter) = Group::start(config, devices, true)?;
        Task::new(&group.processor, enter).await?;
        Ok(group)
    }

    /// As [`Group::join`].
    pub async fn join_async(
        config: Config,
        devices: Vec<Arc<dyn Device>>,
    ) -> Result<Group, EnterError> {
        let (group, enter) = Group::start(config, devices, false)?;
        Task::new(&group.processor, enter).await?;
        Ok(group)
    }

    /// As [`Group::send`], or [`Group::send_within`].
    pub fn send_async(
        &self,
        bytes: Payload,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<SeqNo, SendError>> + use<> {
        Task::new(&self.processor, Send::new(bytes, within))
    }

    /// As [`Group::receive`], or [`Group::receive_within`].
    pub fn receive_async(
        &self,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<Received, ReceiveError>> + use<> {
        Task::new(&self.processor, Receive::new(within))
    }

    /// As [`Group::reset`], or [`Group::reset_within`].
    pub fn reset_async(
        &self,
        members_min: u16,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<usize, ResetError>> + use<> {
        Task::new(&self.processor, Reset::new(members_min, within))
    }

    /// As [`Group::leave`].
    pub async fn leave_async(self) -> Result<Departed, LeaveError> {
        let leave = self.processor.with(|desk, _| Leave::new(desk));
        Task::new(&self.processor, leave).await?;
        Ok(Departed {
            processor: self.processor,
        })
    }
}

/// A processor that has left its group. If it was the sequencer it numbers on until the others have
/// left, too: dropping it before that is a crash to them.
#[must_use = "dropping it stops the processor, which the others may still need"]
pub struct Departed {
    processor: Arc<Processor>,
}

impl Departed {
    /// Whether the members that are left still need this processor.
    pub fn is_needed(&self) -> bool {
        self.processor
            .with(|desk, _| !desk.stack.member().is_closed())
    }

    /// Blocks until nobody needs this processor any more, at most this long; says whether that is
    /// so, and stops it in any case.
    pub fn finish(self, within: Duration) -> bool {
        self.processor.run(Finish(Patience::new(Some(within))))
    }
}
