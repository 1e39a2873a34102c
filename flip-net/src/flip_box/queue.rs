//! Fair queueing: the messages that leave piece by piece. Stations take turns, at each station its
//! addresses, and the messages to one address at one station leave one after the other.
//!
//! Implements: facts sheet 1.7, fair queueing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::credit::{Credits, Neighbour};
use super::pace::Pacer;
use crate::address::{FlipAddress, NetworkId};
use crate::config::Pace;
use crate::time::Instant;
use crate::wire::Repr;

/// What has to be there for a fragment to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The pace allows it.
    Pace,
    /// The pace allows it and the neighbour has given credit, which stays: a copy of a multicast.
    PaceAndCredit,
    /// The neighbour has given credit, which is spent.
    Credit,
}

/// A message, or a part of one, on its way out.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) repr: Repr,
    pub(crate) payload: Arc<Vec<u8>>,
    /// What has to leave: start and end. The start moves on.
    pub(crate) part: Range<usize>,
    pub(crate) gate: Gate,
    /// Who gets a credit back when it has left: it is forwarded for this neighbour.
    pub(crate) held_for: Option<Neighbour>,
}

impl Job {
    fn key(&self) -> MessageKey {
        (self.repr.source, self.repr.message)
    }
}

/// What a job takes up besides the bytes of its message.
pub(super) const JOB_COST: usize = 256;

const _: () = assert!(
    size_of::<Job>() <= JOB_COST / 2,
    "with its place in the tables"
);

/// A piece that was cut off a job.
struct Cut {
    repr: Repr,
    bytes: Vec<u8>,
    released: Option<Neighbour>,
    /// Nothing is left of the job.
    is_last: bool,
}

/// A piece whose turn it is.
pub(crate) struct Piece {
    pub(crate) to: Neighbour,
    pub(crate) repr: Repr,
    pub(crate) bytes: Vec<u8>,
    /// It was the last one of something that was forwarded for this neighbour.
    pub(crate) released: Option<Neighbour>,
}

/// What waits for one neighbour.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn it is.
    ring: VecDeque<FlipAddress>,
    jobs: BTreeMap<FlipAddress, VecDeque<Job>>,
}

/// Source and number.
type MessageKey = (FlipAddress, u32);

/// Messages on their way out, piece by piece.
#[derive(Debug)]
pub(crate) struct FragmentQueue {
    /// Whose turn it is.
    ring: VecDeque<Neighbour>,
    /// Who has no turn until there is credit.
    blocked: BTreeSet<Neighbour>,
    lines: BTreeMap<Neighbour, Line>,
    /// How many jobs there are of a message.
    messages: BTreeMap<MessageKey, usize>,
    /// How many jobs there are, and bytes of them that have not left yet.
    len: usize,
    bytes: usize,
    pub(crate) pacer: Pacer,
}

impl FragmentQueue {
    pub(crate) fn new(pace: Option<Pace>) -> FragmentQueue {
        FragmentQueue {
            ring: VecDeque::new(),
            blocked: BTreeSet::new(),
            lines: BTreeMap::new(),
            messages: BTreeMap::new(),
            len: 0,
            bytes: 0,
            pacer: Pacer::new(pace),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Messages, and parts of them.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all of it takes up, so that many small ones are as much as a few large ones.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + self.len * JOB_COST
    }

    pub(crate) fn push(&mut self, to: Neighbour, job: Job) {
        self.bytes += job.part.len();
        self.len += 1;
        *self.messages.entry(job.key()).or_default() += 1;
        let line = self.lines.entry(to).or_default();
        if line.ring.is_empty() {
            self.ring.push_back(to);
        }
        let address = job.repr.destination;
        let jobs = line.jobs.entry(address).or_default();
        if jobs.is_empty() {
            line.ring.push_back(address);
        }
        jobs.push_back(job);
    }

    /// Whether anything waits for a neighbour.
    pub(crate) fn waits_for(&self, to: Neighbour) -> bool {
        self.lines.contains_key(&to)
    }

    /// Whether parts of this message still wait to leave.
    pub(crate) fn has(&self, source: FlipAddress, message: u32) -> bool {
        self.messages.contains_key(&(source, message))
    }

    /// When the pace lets fragments leave again; none if nothing waits for it.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let head = |to: &Neighbour| self.lines.get(to).and_then(Line::head);
        let paced = |to: &Neighbour| head(to).is_some_and(|job| job.gate != Gate::Credit);
        let waits = self.pacer.next_release()?;
        self.ring.iter().any(paced).then_some(waits)
    }

    /// The next piece of whoever's turn it is and may: at most `room(network)` bytes. Who lacks
    /// credit is noted as blocked.
    pub(crate) fn pop(
        &mut self,
        now: Instant,
        credits: &mut Credits,
        room: impl Fn(NetworkId) -> usize,
    ) -> Option<Piece> {
        while let Some(to) = credits.poll_unblocked() {
            if self.blocked.remove(&to) {
                self.ring.push_back(to);
            }
        }
        for _ in 0..self.ring.len() {
            let to = self.ring.pop_front()?;
            let line = self.lines.get_mut(&to).expect("who is in the ring waits");
            let gate = line.head().expect("at least one job waits").gate;
            let has_credit = gate == Gate::Pace || credits.has(now, to);
            if !has_credit {
                credits.block(now, to);
                self.blocked.insert(to);
                continue;
            }
            if gate != Gate::Credit && !self.pacer.is_open() {
                self.ring.push_back(to);
                continue;
            }
            let Cut {
                repr,
                bytes,
                released,
                is_last,
            } = line.cut(room(to.0));
            if is_last {
                forget_job(
                    &mut self.messages,
                    &mut self.len,
                    (repr.source, repr.message),
                );
            }
            let line = &self.lines[&to];
            if line.ring.is_empty() {
                self.lines.remove(&to);
            } else {
                self.ring.push_back(to);
            }
            self.bytes -= bytes.len();
            match gate {
                Gate::Credit => credits.spend(now, to),
                Gate::Pace | Gate::PaceAndCredit => self.pacer.spend(bytes.len()),
            }
            return Some(Piece {
                to,
                repr,
                bytes,
                released,
            });
        }
        None
    }

    /// Throws away what waits of a message: who gets credits back.
    pub(crate) fn cancel(&mut self, source: FlipAddress, message: u32) -> Vec<Neighbour> {
        let mut released = Vec::new();
        let Some(count) = self.messages.remove(&(source, message)) else {
            return released;
        };
        self.len -= count;
        let bytes = &mut self.bytes;
        let mut keep = |job: &Job| {
            let keeps = job.key() != (source, message);
            if !keeps {
                *bytes -= job.part.len();
                released.extend(job.held_for);
            }
            keeps
        };
        self.lines.retain(|_, line| {
            line.jobs.retain(|_, jobs| {
                jobs.retain(&mut keep);
                !jobs.is_empty()
            });
            line.ring.retain(|address| line.jobs.contains_key(address));
            !line.jobs.is_empty()
        });
        self.ring.retain(|to| self.lines.contains_key(to));
        self.blocked.retain(|to| self.lines.contains_key(to));
        released
    }

    /// Throws away what waits for a neighbour: how many messages, and who gets credits back.
    pub(crate) fn give_up(&mut self, to: Neighbour) -> (u64, Vec<Neighbour>) {
        let Some(line) = self.lines.remove(&to) else {
            return (0, Vec::new());
        };
        if !self.blocked.remove(&to) {
            self.ring.retain(|waiting| *waiting != to);
        }
        let jobs: Vec<Job> = line.jobs.into_values().flatten().collect();
        self.bytes -= jobs.iter().map(|job| job.part.len()).sum::<usize>();
        for job in &jobs {
            forget_job(&mut self.messages, &mut self.len, job.key());
        }
        let released = jobs.iter().filter_map(|job| job.held_for).collect();
        (jobs.len() as u64, released)
    }
}

impl Line {
    fn head(&self) -> Option<&Job> {
        self.jobs.get(self.ring.front()?)?.front()
    }

    /// Cuts a piece off the first message of whichever address has its turn.
    fn cut(&mut self, room: usize) -> Cut {
        let address = self.ring.pop_front().expect("somebody has the turn");
        let jobs = self.jobs.get_mut(&address).expect("who has the turn waits");
        let job = jobs.front_mut().expect("with at least one job");
        let end = job.part.end.min(job.part.start + room);
        let bytes = job.payload[job.part.start..end].to_vec();
        let repr = Repr {
            offset: job.repr.offset + job.part.start as u32,
            ..job.repr
        };
        job.part.start = end;
        let is_last = job.part.is_empty();
        let released = job.held_for.filter(|_| is_last);
        if is_last {
            jobs.pop_front();
        }
        if jobs.is_empty() {
            self.jobs.remove(&address);
        } else {
            self.ring.push_back(address);
        }
        Cut {
            repr,
            bytes,
            released,
            is_last,
        }
    }
}

/// A job is gone.
fn forget_job(messages: &mut BTreeMap<MessageKey, usize>, len: &mut usize, key: MessageKey) {
    *len -= 1;
    let count = messages.get_mut(&key).expect("every job is counted");
    *count -= 1;
    if *count == 0 {
        messages.remove(&key);
    }
}
