//! From the group as [`stack`] provides it to the group as the kernel knows it: names and waiting, without threads or clocks.
//!
//! Members are numbered in the order in which they came, processors by the launcher. So each member tells its processor's number, and it does so
//! only when it knows that all are in, so that everybody hears it; the kernel learns of a processor when that is delivered.
//! Broadcasts beyond the window wait here. Numbers of the order become 64 bits wide; they wrap everywhere alike.
//!
//! The driver over threads and the simulator both use it. After each call, [`Roster::send`].

use std::collections::{BTreeMap, VecDeque};

use stack::group::{MemberIndex, SeqNo};

use crate::kernel::{Command, Delivery};

/// First byte of an introduction; no message of the kernel starts with it.
const INTRODUCTION: u8 = 0xff;
const _: () = assert!(INTRODUCTION != crate::message::VERSION);

/// The number of the processor that introduces itself, if that is what the message does.
pub(crate) fn parse_introduction(message: &[u8]) -> Option<u32> {
    let (&INTRODUCTION, number) = message.split_first()? else {
        return None;
    };
    Some(u32::from_le_bytes(number.try_into().ok()?))
}

/// Who is who, as one processor sees it, and what it has still to send.
#[derive(Debug)]
pub struct Roster {
    processor: u32,
    count: u32,
    /// Members that are in.
    members: u32,
    introduced: bool,
    processors: BTreeMap<MemberIndex, u32>,
    /// Broadcasts that the window had no room for.
    waiting: VecDeque<Vec<u8>>,
    leaving: bool,
    /// Number of the last delivery that had one.
    last: u64,
    closed: bool,
}

impl Roster {
    /// Nobody is in yet. This is processor `processor` of `count`.
    pub fn new(processor: u32, count: u32) -> Roster {
        Roster {
            processor,
            count,
            members: 0,
            introduced: false,
            processors: BTreeMap::new(),
            waiting: VecDeque::new(),
            leaving: false,
            last: 0,
            closed: false,
        }
    }

    /// All processors are known.
    pub fn is_complete(&self) -> bool {
        self.processors.len() as u32 == self.count
    }

    /// This processor has left, and is not needed any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes a command of the kernel.
    pub fn handle_command(&mut self, command: Command) {
        match command {
            Command::Broadcast(bytes) => self.waiting.push_back(bytes),
            Command::Leave => self.leaving = true,
        }
    }

    /// Gives the stack as much of what waits as it takes.
    pub fn send(
        &mut self,
        mut give: impl FnMut(stack::Command) -> Result<stack::Answer, stack::Refused>,
    ) {
        while let Some(message) = self.waiting.pop_front() {
            match give(stack::Command::Broadcast(message.into())) {
                Ok(_) => {}
                Err(stack::Refused::Full(payload)) => {
                    self.waiting.push_front(payload.to_vec());
                    return;
                }
                // Not a member any more: a delivery says so. Too large: the kernel knows the limit.
                Err(
                    stack::Refused::NotMember
                    | stack::Refused::Aborted
                    | stack::Refused::Reset(_)
                    | stack::Refused::TooLarge { .. },
                ) => {}
            }
        }
        if self.leaving {
            self.leaving = false;
            // Leaving is refused to those who are out already.
            let _ = give(stack::Command::Leave);
        }
    }

    /// What a delivery of the stack means to the kernel, if anything.
    pub fn handle_delivery(&mut self, delivery: stack::Delivery) -> Option<Delivery> {
        let lost_self = Delivery::Lost {
            processor: self.processor,
        };
        match delivery {
            stack::Delivery::Entered { next, members, .. } => {
                // So that the distance to the first number is small.
                self.last = u64::from(next.value()).wrapping_sub(1) & u64::from(u32::MAX);
                self.members = members.len() as u32;
                self.introduce();
                None
            }
            stack::Delivery::Joined { seq, .. } => {
                self.widen(seq);
                self.members += 1;
                self.introduce();
                None
            }
            stack::Delivery::Data {
                seq, from, payload, ..
            } => self.on_data(seq, from, &payload),
            stack::Delivery::Left { seq, member } => {
                self.widen(seq);
                let processor = *self.processors.get(&member)?;
                Some(Delivery::Left { processor })
            }
            stack::Delivery::Lost { member, .. } => match self.processors.get(&member) {
                Some(&processor) => Some(Delivery::Lost { processor }),
                // It was never introduced; nobody knows its number.
                None => Some(lost_self),
            },
            stack::Delivery::Closed => {
                self.closed = true;
                None
            }
            // Whose loss broke the group was said before.
            stack::Delivery::Aborted
            | stack::Delivery::Completed { .. }
            | stack::Delivery::Failed { .. } => None,
            stack::Delivery::JoinFailed
            | stack::Delivery::Expelled
            | stack::Delivery::Reset { .. }
            | stack::Delivery::ResetFailed { .. } => Some(lost_self),
        }
    }

    /// The number as 64 bits: the one that is nearest to the last one.
    fn widen(&mut self, seq: SeqNo) -> u64 {
        let distance = seq.distance(SeqNo::new(self.last as u32));
        self.last = self.last.wrapping_add(u64::from(distance));
        self.last
    }

    /// Tells who we are as soon as everybody is in to hear it.
    fn introduce(&mut self) {
        if self.members == self.count && !self.introduced {
            self.introduced = true;
            let mut message = vec![INTRODUCTION];
            message.extend_from_slice(&self.processor.to_le_bytes());
            self.waiting.push_back(message);
        }
    }

    fn on_data(&mut self, seq: SeqNo, from: MemberIndex, payload: &[u8]) -> Option<Delivery> {
        let seq = self.widen(seq);
        match payload.split_first()? {
            (&INTRODUCTION, _) => {
                let processor = parse_introduction(payload)?;
                if processor >= self.count || self.processors.contains_key(&from) {
                    return None;
                }
                self.processors.insert(from, processor);
                Some(Delivery::Joined { processor })
            }
            _ => Some(Delivery::Data {
                seq,
                from: *self.processors.get(&from)?,
                bytes: payload.to_vec(),
            }),
        }
    }
}
