//! Sending: until a message has its place in the order, or certainly never gets one, or that is not
//! known yet.
//!
//! Implements: [Thesis §3.3] SendToGroup; [Amoeba5] §3.1.

use std::task::{Poll, Waker};
use std::time::Duration;

use flip_net::time::Instant;
use group::{MessageId, Payload, SeqNo};

use super::desk::{Desk, Interest, Outcome};
use super::error::{End, Lost, SendError};
use super::operation::{Operation, OutOfPatience, Patience};
use crate::command::{Answer, Command, Refused};

/// A message on its way.
pub(super) struct Send {
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
    pub(super) fn new(bytes: Payload, within: Option<Duration>) -> Send {
        Send {
            stage: SendStage::ToSend(bytes),
            patience: Patience::new(within),
        }
    }

    pub(super) fn settling(message: MessageId, within: Duration) -> Send {
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
