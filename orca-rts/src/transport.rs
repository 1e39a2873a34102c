//! What a processor needs of a group, and the group of a program whose processors are threads of one process.
//!
//! A [`Transport`] carries commands out and deliveries in, in one total order. The group protocol over FLIP is one
//! ([`crate::over_group`]); [`ordered`] makes another out of a queue behind a lock, for processors that share their memory anyway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::doorbell::Bell;
use crate::kernel::{Command, Delivery};

/// The group as one processor sees it.
pub trait Transport: Send {
    /// From now on `bell` is rung whenever a delivery waits; it also wakes [`Transport::wait`].
    fn attach(&mut self, bell: Bell);

    /// Does what the processor asks for.
    fn command(&mut self, command: Command);

    /// The next delivery, if one waits.
    fn try_delivery(&mut self) -> Option<Delivery>;

    /// Rests until a delivery waits, the bell rings, or the deadline.
    fn wait(&mut self, deadline: Option<Instant>);

    /// After [`Command::Leave`]: stays until the others need this member no more, or until the deadline.
    fn close(&mut self, _deadline: Instant) {}
}

/// The deliveries of a group, as far as not everybody has taken them.
struct Log {
    deliveries: VecDeque<Arc<Delivery>>,
    /// Number of the first delivery in the log.
    first: u64,
    /// The next delivery of each member; members that have left take no more.
    next: Vec<Option<u64>>,
    bells: Vec<Option<Bell>>,
    /// Number of the last broadcast.
    seq: u64,
}

impl Log {
    fn push(&mut self, delivery: Delivery) {
        self.deliveries.push_back(Arc::new(delivery));
        for bell in self.bells.iter().flatten() {
            bell.ring();
        }
    }

    fn trim(&mut self) {
        let end = self.first + self.deliveries.len() as u64;
        let needed = self.next.iter().flatten().min().copied().unwrap_or(end);
        while self.first < needed {
            self.deliveries.pop_front();
            self.first += 1;
        }
    }
}

/// A member of a group whose members share their memory.
pub struct OrderedMember {
    processor: u32,
    log: Arc<Mutex<Log>>,
    bell: Option<Bell>,
}

/// The members of a new group; each joins when a processor attaches its bell.
pub fn ordered(members: u32) -> Vec<OrderedMember> {
    let log = Arc::new(Mutex::new(Log {
        deliveries: VecDeque::new(),
        first: 0,
        next: vec![Some(0); members as usize],
        bells: vec![None; members as usize],
        seq: 0,
    }));
    (0..members)
        .map(|processor| OrderedMember {
            processor,
            log: Arc::clone(&log),
            bell: None,
        })
        .collect()
}

impl Transport for OrderedMember {
    fn attach(&mut self, bell: Bell) {
        let mut log = self.log.lock();
        log.bells[self.processor as usize] = Some(bell.clone());
        log.push(Delivery::Joined {
            processor: self.processor,
        });
        self.bell = Some(bell);
    }

    fn command(&mut self, command: Command) {
        let mut log = self.log.lock();
        match command {
            Command::Broadcast(bytes) => {
                log.seq += 1;
                let seq = log.seq;
                log.push(Delivery::Data {
                    seq,
                    from: self.processor,
                    bytes,
                });
            }
            Command::Leave => {
                log.next[self.processor as usize] = None;
                log.bells[self.processor as usize] = None;
                log.push(Delivery::Left {
                    processor: self.processor,
                });
                log.trim();
            }
        }
    }

    fn try_delivery(&mut self) -> Option<Delivery> {
        let mut log = self.log.lock();
        let next = log.next[self.processor as usize]?;
        let delivery = Arc::clone(log.deliveries.get((next - log.first) as usize)?);
        log.next[self.processor as usize] = Some(next + 1);
        log.trim();
        drop(log);
        Some(Arc::unwrap_or_clone(delivery))
    }

    fn wait(&mut self, deadline: Option<Instant>) {
        if let Some(bell) = &self.bell {
            bell.wait(deadline);
        }
    }
}

impl Drop for OrderedMember {
    /// A member that goes without having left is lost.
    fn drop(&mut self) {
        let mut log = self.log.lock();
        if log.next[self.processor as usize].take().is_some() {
            log.bells[self.processor as usize] = None;
            log.push(Delivery::Lost {
                processor: self.processor,
            });
            log.trim();
        }
    }
}

/// The group of a processor that is alone: nothing ever comes.
#[derive(Default)]
pub(crate) struct Alone {
    bell: Option<Bell>,
}

impl Transport for Alone {
    fn attach(&mut self, bell: Bell) {
        self.bell = Some(bell);
    }

    fn command(&mut self, _command: Command) {}

    fn try_delivery(&mut self) -> Option<Delivery> {
        None
    }

    fn wait(&mut self, deadline: Option<Instant>) {
        if let Some(bell) = &self.bell {
            bell.wait(deadline);
        }
    }
}
