//! A processor's group as [`stack`] provides it: the adapter between deliveries there and deliveries here.
//!
//! Members are numbered in the order in which they came, processors by the launcher. So each member tells its processor's number, and it does so
//! only when it knows that all are in, so that everybody hears it; the kernel learns of a processor when that is delivered.
//! Broadcasts beyond the window wait here. Numbers of the order become 64 bits wide; they wrap everywhere alike.

#![allow(
    clippy::disallowed_methods,
    reason = "converts deadlines between clocks"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stack::driver::{Doorbell, DriverConfig, Running, Woken};
use stack::flip_net::driver::Device;
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant as StackInstant};
use stack::group::{MemberIndex, SeqNo};
use stack::{Config, Stack};

use crate::doorbell::Bell;
use crate::kernel::{Command, Delivery};
use crate::transport::Transport;

/// First byte of an introduction; no message of the kernel starts with it.
const INTRODUCTION: u8 = 0xff;
const _: () = assert!(INTRODUCTION != crate::message::VERSION);

/// Why a processor has no group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// A parameter of the group cannot work.
    #[error(transparent)]
    Config(#[from] stack::group::ConfigError),
    /// The operating system refused.
    #[error("cannot start receiving: {0}")]
    Start(#[from] std::io::Error),
}

/// The group of a program, as one of its processors sees it.
pub struct OverGroup {
    running: Running<Stack>,
    bell: Arc<OnceLock<Bell>>,
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
    /// Called once, when all processors are known.
    on_complete: Option<Box<dyn FnOnce() + Send>>,
}

impl OverGroup {
    /// Creates the group if `config` says so, else begins to join it.
    pub fn start(
        config: Config,
        devices: Vec<Arc<dyn Device>>,
        driver: DriverConfig,
        processor: u32,
        count: u32,
        rng: Rng,
    ) -> Result<OverGroup, GroupError> {
        let bell: Arc<OnceLock<Bell>> = Arc::new(OnceLock::new());
        let rung = Arc::clone(&bell);
        let doorbell = Doorbell::call(move || {
            if let Some(bell) = rung.get() {
                bell.raise();
            }
        });
        let stack = Stack::new(config, rng, StackInstant::ZERO)?;
        let running = Running::start(stack, devices, driver, doorbell)?;
        Ok(OverGroup {
            running,
            bell,
            processor,
            count,
            members: 0,
            introduced: false,
            processors: BTreeMap::new(),
            waiting: VecDeque::new(),
            leaving: false,
            last: 0,
            closed: false,
            on_complete: None,
        })
    }

    /// Calls this when all processors are known.
    pub fn on_complete(&mut self, call: impl FnOnce() + Send + 'static) {
        self.on_complete = Some(Box::new(call));
    }

    /// What the stack counted so far.
    pub fn stats(&self) -> stack::StackStats {
        self.running.stats()
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
            self.send_waiting();
        }
    }

    fn send_waiting(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            let command = stack::Command::Broadcast(message.into());
            match self.running.command(command) {
                Ok(_) => {}
                Err(stack::Refused::Full(payload)) => {
                    self.waiting.push_front(payload.to_vec());
                    return;
                }
                // Not a member any more: a delivery says so. Too large: the kernel knows the limit.
                Err(stack::Refused::NotMember | stack::Refused::TooLarge { .. }) => {}
            }
        }
        if self.leaving {
            self.leaving = false;
            // Leaving is refused to those who are out already.
            let _ = self.running.command(stack::Command::Leave);
        }
    }

    fn on_data(&mut self, seq: SeqNo, from: MemberIndex, payload: &[u8]) -> Option<Delivery> {
        let seq = self.widen(seq);
        if !self.waiting.is_empty() {
            self.send_waiting();
        }
        match payload.split_first()? {
            (&INTRODUCTION, number) => {
                let processor = u32::from_le_bytes(number.try_into().ok()?);
                if processor >= self.count || self.processors.contains_key(&from) {
                    return None;
                }
                self.processors.insert(from, processor);
                if self.processors.len() as u32 == self.count
                    && let Some(call) = self.on_complete.take()
                {
                    call();
                }
                Some(Delivery::Joined { processor })
            }
            _ => Some(Delivery::Data {
                seq,
                from: *self.processors.get(&from)?,
                bytes: payload.to_vec(),
            }),
        }
    }

    /// What a delivery of the stack means to the kernel, if anything.
    fn translate(&mut self, delivery: stack::Delivery) -> Option<Delivery> {
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
            stack::Delivery::JoinFailed | stack::Delivery::Expelled => Some(lost_self),
        }
    }

    fn until(&self, deadline: Option<Instant>) -> Option<StackInstant> {
        deadline.map(|deadline| {
            let rest = deadline.saturating_duration_since(Instant::now());
            let micros = u64::try_from(rest.as_micros()).unwrap_or(u64::MAX >> 1);
            self.running.now() + Duration::from_micros(micros + 1)
        })
    }
}

impl Transport for OverGroup {
    fn attach(&mut self, bell: Bell) {
        let waker = self.running.waker();
        bell.also_wake(move || waker.wake());
        // There is one worker, which attaches once.
        let _ = self.bell.set(bell.clone());
        bell.ring();
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Broadcast(bytes) => self.waiting.push_back(bytes),
            Command::Leave => self.leaving = true,
        }
        self.send_waiting();
    }

    fn try_delivery(&mut self) -> Option<Delivery> {
        while let Some(delivery) = self.running.try_delivery() {
            if let Some(delivery) = self.translate(delivery) {
                return Some(delivery);
            }
        }
        None
    }

    fn wait(&mut self, deadline: Option<Instant>) {
        let until = self.until(deadline);
        assert!(
            self.running.wait(until) != Woken::Failed,
            "a receiver of the stack failed"
        );
    }

    fn close(&mut self, deadline: Instant) {
        while !self.closed && Instant::now() < deadline {
            if self.try_delivery().is_none() && !self.closed {
                self.wait(Some(deadline));
            }
        }
    }
}
