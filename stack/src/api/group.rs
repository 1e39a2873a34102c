//! Groups: create, join, leave, send, receive, reset, info, set.
//!
//! Implements: [Thesis §3.3]; [Amoeba5] §3.1.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use capability::Port;
use flip_net::driver::Device;
use flip_net::time::Instant;
use group::{Info, MemberIndex, MessageId, Payload, SeqNo, Timing, Wait};

use super::desk::{Desk, Interest, Outcome};
use super::error::{End, EnterError, LeaveError, Lost, ReceiveError, ResetError, SendError};
#[cfg(feature = "async")]
use super::operation::task::Task;
use super::operation::{Operation, OutOfPatience, Patience, Processor};
use super::rpc::Rpc;
use crate::command::{Answer, Command, Refused};
use crate::config::Config;
use crate::event::Delivery;

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
        Group::start(config, devices, true)?.entered(|group, enter| group.processor.run(enter))
    }

    /// Joins the group with the port of the configuration, wherever its sequencer is. What the
    /// members have sent before is not received here.
    ///
    /// # Errors
    /// [`EnterError`], at the latest after the time in the configuration's timing; then nothing
    /// runs.
    pub fn join(config: Config, devices: Vec<Arc<dyn Device>>) -> Result<Group, EnterError> {
        Group::start(config, devices, false)?.entered(|group, enter| group.processor.run(enter))
    }

    fn start(
        mut config: Config,
        devices: Vec<Arc<dyn Device>>,
        founds: bool,
    ) -> Result<(Group, Enter), EnterError> {
        config.founds = founds;
        let timing = config.group.timing;
        let patience = timing.locate_total + timing.join_give_up;
        let enter = Enter {
            port: config.group.port,
            millis: patience.as_micros() / 1_000,
            patience: Patience::new(Some(Duration::from_micros(patience.as_micros()))),
        };
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

trait Entered {
    fn entered(
        self,
        run: impl FnOnce(&Group, Enter) -> Result<(), EnterError>,
    ) -> Result<Group, EnterError>;
}

impl Entered for (Group, Enter) {
    fn entered(
        self,
        run: impl FnOnce(&Group, Enter) -> Result<(), EnterError>,
    ) -> Result<Group, EnterError> {
        let (group, enter) = self;
        run(&group, enter)?;
        Ok(group)
    }
}

/// Until the processor is in.
struct Enter {
    port: Port,
    millis: u64,
    patience: Patience,
}

impl Operation for Enter {
    type Output = Result<(), EnterError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        let (port, millis) = (self.port, self.millis);
        if desk.has_entered {
            self.patience.end(desk);
            return Poll::Ready(Ok(()));
        }
        match desk.end {
            None => {}
            Some(End::Stopped) => return Poll::Ready(Err(EnterError::Stopped)),
            Some(_) => return Poll::Ready(Err(EnterError::NotFound { port, millis })),
        }
        let waited = self.patience.wait(desk, now, waker, Interest::State);
        waited.unwrap_or_else(|OutOfPatience| {
            let waits = desk.waits();
            Poll::Ready(Err(EnterError::TimedOut {
                port,
                millis,
                waits,
            }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
    }
}

/// A message on its way.
struct Send {
    stage: SendStage,
    patience: Patience,
}

enum SendStage {
    ToSend(Payload),
    Sent(MessageId),
    /// The group broke before; now somebody asks.
    Settling(MessageId),
}

impl Send {
    fn new(bytes: Payload, within: Option<Duration>) -> Send {
        Send {
            stage: SendStage::ToSend(bytes),
            patience: Patience::new(within),
        }
    }

    fn settling(message: MessageId, within: Duration) -> Send {
        Send {
            stage: SendStage::Settling(message),
            patience: Patience::new(Some(within)),
        }
    }

    /// Gives it to the stack; an error if it has to wait for room.
    fn try_send(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        bytes: Payload,
    ) -> Result<(), Option<SendError>> {
        match desk
            .stack
            .handle_command(now, Command::Broadcast(bytes.clone()))
        {
            Ok(Answer::Sent(id)) => {
                // Before anybody looks at what the stack has to tell; a sequencer may know already.
                desk.expect_outcome(id);
                desk.attend(now);
                self.stage = SendStage::Sent(id);
                Ok(())
            }
            Ok(Answer::Done) => unreachable!("a broadcast is answered by its id"),
            Err(Refused::Full(_)) => Err(None),
            Err(Refused::TooLarge { size, max }) => Err(Some(SendError::TooLarge {
                size,
                size_max: max,
            })),
            Err(Refused::Aborted) if resets_itself(desk) => Err(None),
            Err(Refused::Aborted) => Err(Some(SendError::Aborted {
                message: None,
                lost: Lost(desk.lost.clone()),
            })),
            Err(Refused::NotMember | Refused::Reset(_)) => Err(Some(match desk.end {
                Some(End::Expelled) => SendError::Expelled { message: None },
                Some(End::Stopped) => SendError::Stopped,
                _ => SendError::NotMember,
            })),
        }
    }

    /// What is known of a message that was sent.
    fn outcome(
        desk: &mut Desk,
        id: MessageId,
        returns_broken: bool,
    ) -> Option<Result<SeqNo, SendError>> {
        let message = Some(id);
        match desk.outcome(id) {
            Ok(Some(Outcome::Completed(seq))) => {
                desk.forget_outcome(id);
                return Some(Ok(seq));
            }
            Ok(Some(Outcome::Failed)) => {
                desk.forget_outcome(id);
                return Some(Err(SendError::Failed { message: id }));
            }
            Ok(None) => {}
            Err(()) => return Some(Err(SendError::NotMember)),
        }
        match desk.end {
            None => {}
            Some(End::Stopped) => return Some(Err(SendError::Stopped)),
            // Who leaves has the places of all its messages before.
            Some(_) => return Some(Err(SendError::Expelled { message })),
        }
        let is_broken = desk.stack.member().is_recovering() && !resets_itself(desk);
        (is_broken && returns_broken).then(|| {
            desk.keep_outcome(id);
            let lost = Lost(desk.lost.clone());
            Err(SendError::Aborted { message, lost })
        })
    }
}

/// Whether the broken group is being reset without anybody's doing.
fn resets_itself(desk: &Desk) -> bool {
    desk.stack.member().is_resetting()
}

impl Operation for Send {
    type Output = Result<SeqNo, SendError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if let SendStage::ToSend(bytes) = &self.stage {
            let bytes = bytes.clone();
            if let Err(Some(error)) = self.try_send(desk, now, bytes) {
                self.patience.end(desk);
                return Poll::Ready(Err(error));
            }
        }
        let interest = match &self.stage {
            SendStage::ToSend(_) => Interest::Room,
            SendStage::Sent(id) | SendStage::Settling(id) => {
                let id = *id;
                let returns_broken = matches!(self.stage, SendStage::Sent(_));
                if let Some(outcome) = Send::outcome(desk, id, returns_broken) {
                    self.patience.end(desk);
                    return Poll::Ready(outcome);
                }
                Interest::Outcome(id.value())
            }
        };
        let waited = self.patience.wait(desk, now, waker, interest);
        waited.unwrap_or_else(|OutOfPatience| {
            let message = match &self.stage {
                SendStage::ToSend(_) => None,
                SendStage::Sent(id) => {
                    desk.keep_outcome(*id);
                    Some(*id)
                }
                SendStage::Settling(id) => Some(*id),
            };
            let waits = desk.waits();
            Poll::Ready(Err(SendError::TimedOut { message, waits }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
        if let SendStage::Sent(id) = &self.stage {
            desk.forget_outcome(*id);
        }
    }
}

/// What is next in the order.
struct Receive {
    patience: Patience,
}

impl Receive {
    fn new(within: Option<Duration>) -> Receive {
        let patience = Patience::new(within);
        Receive { patience }
    }

    fn take(desk: &mut Desk, now: Instant) -> Option<Result<Received, ReceiveError>> {
        let delivery = desk.stack.poll_delivery(now)?;
        Some(match delivery {
            Delivery::Data {
                seq, from, payload, ..
            } => Ok(Received::Message {
                seq,
                from,
                bytes: payload,
            }),
            Delivery::Joined { seq, member } => Ok(Received::Joined { seq, member }),
            Delivery::Left { seq, member } => Ok(Received::Left { seq, member }),
            Delivery::Reset {
                seq,
                members,
                removed,
                sequencer,
            } => {
                desk.lost.clear();
                Ok(Received::Reset {
                    seq,
                    members,
                    removed,
                    sequencer,
                })
            }
            Delivery::Aborted => Err(ReceiveError::Aborted {
                lost: Lost(desk.lost.clone()),
            }),
            other => unreachable!("{other:?} does not come in the order"),
        })
    }
}

impl Operation for Receive {
    type Output = Result<Received, ReceiveError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        let ticket = self.patience.ticket(desk, now);
        if desk.receiver.is_some_and(|other| other != ticket) {
            return Poll::Ready(Err(ReceiveError::SecondReceiver));
        }
        desk.receiver = Some(ticket);
        let ready = match (Receive::take(desk, now), desk.end) {
            (Some(received), _) => Some(received),
            (None, None) => None,
            (None, Some(End::Expelled)) => Some(Err(ReceiveError::Expelled)),
            (None, Some(End::Stopped)) => Some(Err(ReceiveError::Stopped)),
            (None, Some(End::Left | End::NotFound)) => Some(Err(ReceiveError::NotMember)),
        };
        if let Some(ready) = ready {
            self.forget(desk, now);
            return Poll::Ready(ready);
        }
        let waited = self.patience.wait(desk, now, waker, Interest::Delivery);
        waited.unwrap_or_else(|OutOfPatience| {
            self.forget(desk, now);
            let waits = desk.waits();
            Poll::Ready(Err(ReceiveError::TimedOut { waits }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, now: Instant) {
        let ticket = self.patience.ticket(desk, now);
        self.patience.end(desk);
        if desk.receiver == Some(ticket) {
            desk.receiver = None;
        }
    }
}

/// Until the group is formed anew.
struct Reset {
    members_min: u16,
    /// How many resets had failed here when ours began.
    begun: Option<u64>,
    patience: Patience,
}

impl Reset {
    fn new(members_min: u16, within: Option<Duration>) -> Reset {
        Reset {
            members_min,
            begun: None,
            patience: Patience::new(within),
        }
    }

    fn begin(&mut self, desk: &mut Desk, now: Instant) -> Result<(), ResetError> {
        self.begun = Some(desk.resets_failed.0);
        let members_min = self.members_min;
        match desk
            .stack
            .handle_command(now, Command::Reset { members_min })
        {
            // What another thread has begun is as good.
            Ok(_) | Err(Refused::Reset(group::ResetError::AlreadyResetting)) => Ok(()),
            Err(Refused::Reset(group::ResetError::TooFew {
                members,
                members_min,
            })) => Err(ResetError::TooFew {
                members,
                members_min,
            }),
            Err(_) => Err(Reset::ended(desk).unwrap_or(ResetError::NotMember)),
        }
    }

    fn ended(desk: &Desk) -> Option<ResetError> {
        desk.end.map(|end| match end {
            End::Expelled => ResetError::Expelled,
            End::Stopped => ResetError::Stopped,
            End::Left | End::NotFound => ResetError::NotMember,
        })
    }

    fn result(&mut self, desk: &mut Desk, now: Instant) -> Option<Result<usize, ResetError>> {
        let begun = match self.begun {
            Some(begun) => begun,
            None => {
                let begun = desk.resets_failed.0;
                if let Err(error) = self.begin(desk, now) {
                    return Some(Err(error));
                }
                begun
            }
        };
        if let Some(error) = Reset::ended(desk) {
            return Some(Err(error));
        }
        if !desk.stack.member().is_recovering() {
            let members = desk.stack.members().len();
            let members_min = self.members_min;
            let is_enough = members >= usize::from(members_min);
            return Some(is_enough.then_some(members).ok_or(ResetError::TooFew {
                members,
                members_min,
            }));
        }
        let (failed, members, _) = desk.resets_failed;
        let members_min = self.members_min;
        (failed > begun).then_some(Err(ResetError::TooFew {
            members,
            members_min,
        }))
    }
}

impl Operation for Reset {
    type Output = Result<usize, ResetError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if let Some(result) = self.result(desk, now) {
            self.patience.end(desk);
            return Poll::Ready(result);
        }
        let waited = self.patience.wait(desk, now, waker, Interest::State);
        waited.unwrap_or_else(|OutOfPatience| {
            let waits = desk.waits();
            Poll::Ready(Err(ResetError::TimedOut { waits }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
    }
}

/// Until the leave has its place.
struct Leave {
    is_begun: bool,
    millis: u64,
    patience: Patience,
}

impl Leave {
    /// Has patience for a failure to be noticed and a reset to be done meanwhile.
    fn new(desk: &Desk) -> Leave {
        let timing = desk.stack.member().info().timing;
        let reset = timing.reset_max.times(u64::from(timing.reset_tries));
        let patience = timing.silence_max + timing.linger + reset;
        Leave {
            is_begun: false,
            millis: patience.as_micros() / 1_000,
            patience: Patience::new(Some(Duration::from_micros(patience.as_micros()))),
        }
    }
}

impl Operation for Leave {
    type Output = Result<(), LeaveError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if !self.is_begun {
            self.is_begun = true;
            desk.is_leaving = true;
            // It is never refused.
            let _ = desk.stack.handle_command(now, Command::Leave);
        }
        let ready = match desk.end {
            _ if desk.has_left => Some(Ok(())),
            None => None,
            Some(End::Stopped) => Some(Err(LeaveError::Stopped)),
            Some(_) => Some(Err(LeaveError::NotMember)),
        };
        if let Some(ready) = ready {
            self.patience.end(desk);
            return Poll::Ready(ready);
        }
        let waited = self.patience.wait(desk, now, waker, Interest::State);
        waited.unwrap_or_else(|OutOfPatience| {
            let (millis, waits) = (self.millis, desk.waits());
            Poll::Ready(Err(LeaveError::TimedOut { millis, waits }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
    }
}

/// Until nobody needs who has left.
struct Finish(Patience);

impl Operation for Finish {
    type Output = bool;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<bool> {
        if desk.end.is_some() {
            self.0.end(desk);
            return Poll::Ready(desk.stack.member().is_closed());
        }
        let waited = self.0.wait(desk, now, waker, Interest::State);
        waited.unwrap_or(Poll::Ready(false))
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.0.end(desk);
    }
}
