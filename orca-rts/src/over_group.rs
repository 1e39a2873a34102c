//! A processor's group as [`stack`] provides it, on threads. What deliveries there mean here is the [`Roster`]'s affair.

#![allow(
    clippy::disallowed_methods,
    reason = "converts deadlines between clocks"
)]

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stack::driver::{Doorbell, DriverConfig, Running, Woken};
use stack::flip_net::driver::Device;
use stack::flip_net::rng::Rng;
use stack::flip_net::time::{Duration, Instant as StackInstant};
use stack::{Config, Stack};

use crate::doorbell::Bell;
use crate::kernel::{Command, Delivery};
use crate::roster::Roster;
use crate::transport::Transport;

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
    roster: Roster,
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
            roster: Roster::new(processor, count),
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

    fn send_waiting(&mut self) {
        let running = &self.running;
        self.roster.send(|command| running.command(command));
    }

    fn translate(&mut self, delivery: stack::Delivery) -> Option<Delivery> {
        let delivery = self.roster.handle_delivery(delivery);
        self.send_waiting();
        if self.roster.is_complete()
            && let Some(call) = self.on_complete.take()
        {
            call();
        }
        delivery
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
        self.roster.handle_command(command);
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
        while !self.roster.is_closed() && Instant::now() < deadline {
            if self.try_delivery().is_none() && !self.roster.is_closed() {
                self.wait(Some(deadline));
            }
        }
    }
}
