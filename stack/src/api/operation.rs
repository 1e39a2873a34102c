//! An operation that may have to wait: polled by a blocked thread or, with the feature `async`, by
//! a task. It is the same operation on the same desk.

use std::sync::Arc;
use std::task::{Poll, Waker};

use flip_net::driver::Device;
use flip_net::rng::Rng;
use flip_net::time::Instant;

use super::desk::{Desk, Interest, Ticket};
use super::error::EnterError;
use crate::config::Config;
use crate::driver::{Desked, DriverConfig, seed};
use crate::stack::Stack;

/// A processor that runs, shared by the handles of its group and its RPC.
pub(crate) struct Processor {
    desked: Desked<Desk>,
}

impl Processor {
    pub(crate) fn start(
        config: Config,
        devices: Vec<Arc<dyn Device>>,
    ) -> Result<Arc<Processor>, EnterError> {
        if let Some(rpc) = &config.rpc {
            rpc.check()?;
        }
        let start = Instant::ZERO;
        let stack = Stack::new(config, Rng::new(seed()), start)?;
        let desked = Desked::start(Desk::new(stack, start), devices, DriverConfig::default())?;
        Ok(Arc::new(Processor { desked }))
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Desk, Instant) -> R) -> R {
        self.desked.with(|desk, now| {
            let result = act(desk, now);
            desk.attend(now);
            result
        })
    }

    /// Blocks this thread until the operation is done.
    pub(crate) fn run<O: Operation>(&self, mut operation: O) -> O::Output {
        self.desked.block(|desk, now, waker| {
            let polled = operation.poll(desk, now, waker);
            desk.attend(now);
            polled
        })
    }
}

/// See the module.
pub(crate) trait Operation {
    /// What comes of it.
    type Output;

    /// Goes on as far as it can. Who is told to wait is woken when there may be more to do.
    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output>;

    /// Nobody wants to know any more; not called when it is done.
    #[cfg_attr(
        not(feature = "async"),
        allow(dead_code, reason = "threads stay until the end")
    )]
    fn forget(&mut self, desk: &mut Desk, now: Instant);
}

/// The place of an operation on the desk, and how long it has patience.
#[derive(Debug)]
pub(crate) struct Patience {
    within: Option<std::time::Duration>,
    begun: Option<(Ticket, Option<Instant>)>,
    asleep_for: Option<Interest>,
}

impl Patience {
    pub(crate) fn new(within: Option<std::time::Duration>) -> Patience {
        Patience {
            within,
            begun: None,
            asleep_for: None,
        }
    }

    /// The operation's number, drawn when it is first polled.
    pub(crate) fn ticket(&mut self, desk: &mut Desk, now: Instant) -> Ticket {
        self.begin(desk, now).0
    }

    fn begin(&mut self, desk: &mut Desk, now: Instant) -> (Ticket, Option<Instant>) {
        let within = self.within;
        *self.begun.get_or_insert_with(|| {
            let span = within.map(|within| u64::try_from(within.as_micros()).unwrap_or(u64::MAX));
            let deadline = span.map(|span| now.as_micros().saturating_add(span));
            (desk.draw_ticket(), deadline.map(Instant::from_micros))
        })
    }

    /// Waits for something to happen, or says that the patience is over.
    pub(crate) fn wait<T>(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        waker: &Waker,
        interest: Interest,
    ) -> Result<Poll<T>, OutOfPatience> {
        let (ticket, deadline) = self.begin(desk, now);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.end(desk);
            return Err(OutOfPatience);
        }
        if self.asleep_for != Some(interest) {
            self.end(desk);
            self.asleep_for = Some(interest);
        }
        Ok(desk.sleep(ticket, interest, deadline, waker))
    }

    /// It waits no more.
    pub(crate) fn end(&mut self, desk: &mut Desk) {
        if let (Some((ticket, _)), Some(interest)) = (self.begun, self.asleep_for.take()) {
            desk.rise(ticket, interest);
        }
    }
}

/// The deadline of an operation has come.
pub(crate) struct OutOfPatience;

#[cfg(feature = "async")]
pub(crate) mod task {
    //! Operations as futures, for any executor.

    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use super::{Operation, Processor};

    /// An operation under way. Dropping it makes nobody wait for it.
    pub(crate) struct Task<O: Operation> {
        processor: Arc<Processor>,
        operation: Option<O>,
    }

    impl<O: Operation> Task<O> {
        pub(crate) fn new(processor: &Arc<Processor>, operation: O) -> Task<O> {
            Task {
                processor: Arc::clone(processor),
                operation: Some(operation),
            }
        }
    }

    impl<O: Operation + Unpin> Future for Task<O> {
        type Output = O::Output;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O::Output> {
            let this = &mut *self;
            let operation = this.operation.as_mut();
            let operation = operation.expect("a future is not polled after its end");
            let polled = this
                .processor
                .with(|desk, now| operation.poll(desk, now, context.waker()));
            if polled.is_ready() {
                this.operation = None;
            }
            polled
        }
    }

    impl<O: Operation> Drop for Task<O> {
        fn drop(&mut self) {
            if let Some(mut operation) = self.operation.take() {
                self.processor.with(|desk, now| operation.forget(desk, now));
            }
        }
    }
}
