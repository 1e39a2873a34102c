//! Fair queueing: the messages that leave piece by piece. Stations take turns, at each station its
//! addresses, and the messages to one address at one station leave one after the other.
//!
//! Implements: facts sheet 1.7, fair queueing.

use std::collections::{BTreeMap, VecDeque};
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

/// Messages on their way out, piece by piece.
#[derive(Debug)]
pub(crate) struct FragmentQueue {
    /// Whose turn it is.
    ring: VecDeque<Neighbour>,
    lines: BTreeMap<Neighbour, Line>,
    /// Bytes that have not left yet.
    bytes: usize,
    pub(crate) pacer: Pacer,
}

impl FragmentQueue {
    pub(crate) fn new(pace: Option<Pace>) -> FragmentQueue {
        FragmentQueue {
            ring: VecDeque::new(),
            lines: BTreeMap::new(),
            bytes: 0,
            pacer: Pacer::new(pace),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, to: Neighbour, job: Job) {
        self.bytes += job.part.len();
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
        let jobs = self.lines.values().flat_map(|line| line.jobs.values());
        jobs.flatten()
            .any(|job| (job.repr.source, job.repr.message) == (source, message))
    }

    /// When the pace lets fragments leave again; none if nothing waits for it.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let paced = |line: &Line| line.head().is_some_and(|job| job.gate != Gate::Credit);
        let waits = self.pacer.next_release()?;
        self.lines.values().any(paced).then_some(waits)
    }

    /// The next piece of whoever's turn it is and may: at most `room(network)` bytes. Who lacks
    /// credit is noted as blocked.
    pub(crate) fn pop(
        &mut self,
        now: Instant,
        credits: &mut Credits,
        room: impl Fn(NetworkId) -> usize,
    ) -> Option<Piece> {
        for _ in 0..self.ring.len() {
            let to = self.ring.pop_front()?;
            let line = self.lines.get_mut(&to).expect("who is in the ring waits");
            let gate = line.head().expect("at least one job waits").gate;
            let has_credit = gate == Gate::Pace || credits.has(now, to);
            if !has_credit {
                credits.block(now, to);
            }
            if !has_credit || (gate != Gate::Credit && !self.pacer.is_open()) {
                self.ring.push_back(to);
                continue;
            }
            let (repr, bytes, released) = line.cut(room(to.0));
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
        let bytes = &mut self.bytes;
        let mut keep = |job: &Job| {
            let keeps = (job.repr.source, job.repr.message) != (source, message);
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
        released
    }

    /// Throws away what waits for a neighbour: how many messages, and who gets credits back.
    pub(crate) fn give_up(&mut self, to: Neighbour) -> (u64, Vec<Neighbour>) {
        let Some(line) = self.lines.remove(&to) else {
            return (0, Vec::new());
        };
        self.ring.retain(|waiting| *waiting != to);
        let jobs: Vec<Job> = line.jobs.into_values().flatten().collect();
        self.bytes -= jobs.iter().map(|job| job.part.len()).sum::<usize>();
        let released = jobs.iter().filter_map(|job| job.held_for).collect();
        (jobs.len() as u64, released)
    }
}

impl Line {
    fn head(&self) -> Option<&Job> {
        self.jobs.get(self.ring.front()?)?.front()
    }

    /// Cuts a piece off the first message of whichever address has its turn.
    fn cut(&mut self, room: usize) -> (Repr, Vec<u8>, Option<Neighbour>) {
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
        let mut released = None;
        if job.part.is_empty() {
            released = job.held_for;
            jobs.pop_front();
        }
        if jobs.is_empty() {
            self.jobs.remove(&address);
        } else {
            self.ring.push_back(address);
        }
        (repr, bytes, released)
    }
}
