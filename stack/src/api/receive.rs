//! Receiving: what is next in the order.
//!
//! Implements: [Thesis §3.3] ReceiveFromGroup; [Amoeba5] §3.1.

use std::task::{Poll, Waker};
use std::time::Duration;

use flip_net::time::Instant;

use super::desk::{Desk, Interest};
use super::error::{End, Lost, ReceiveError};
use super::group::Received;
use super::operation::{Operation, OutOfPatience, Patience};
use crate::event::Delivery;

/// What is next in the order.
pub(super) struct Receive {
    patience: Patience,
}

impl Receive {
    pub(super) fn new(within: Option<Duration>) -> Receive {
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
