//! Fair queueing: the messages that leave piece by piece. Stations take turns, at each station its
//! addresses, and the messages to one address at one station leave one after the other.
//!
//! Implements: facts sheet 1.7, fair queueing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use bytes::Bytes;

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
    pub(crate) payload: Bytes,
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

/// A piece whose turn it is.
pub(crate) struct Piece {
    pub(crate) to: Neighbour,
    pub(crate) repr: Repr,
    /// A part of the message: nothing is copied yet.
    pub(crate) payload: Bytes,
    /// It was the last one of something that was forwarded for this neighbour.
    pub(crate) released: Option<Neighbour>,
}

/// Counts jobs; what came first goes first.
type Serial = u64;

/// What waits for one neighbour.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn it is.
    ring: VecDeque<FlipAddress>,
    waiting: BTreeMap<FlipAddress, BTreeSet<Serial>>,
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
    /// Who has no turn until the pace allows it, in the order of turns.
    stopped: VecDeque<Neighbour>,
    lines: BTreeMap<Neighbour, Line>,
    jobs: BTreeMap<Serial, (Neighbour, Job)>,
    /// The jobs of a message.
    messages: BTreeMap<MessageKey, BTreeSet<Serial>>,
    next: Serial,
    /// Bytes that have not left yet.
    bytes: usize,
    pub(crate) pacer: Pacer,
}

impl FragmentQueue {
    pub(crate) fn new(pace: Option<Pace>) -> FragmentQueue {
        FragmentQueue {
            ring: VecDeque::new(),
            blocked: BTreeSet::new(),
            stopped: VecDeque::new(),
            lines: BTreeMap::new(),
            jobs: BTreeMap::new(),
            messages: BTreeMap::new(),
            next: 0,
            bytes: 0,
            pacer: Pacer::new(pace),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Messages, and parts of them.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all of it takes up, so that many small ones are as much as a few large ones.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + self.jobs.len() * JOB_COST
    }

    pub(crate) fn push(&mut self, to: Neighbour, job: Job) {
        let serial = self.next;
        self.next += 1;
        self.bytes += job.part.len();
        self.messages.entry(job.key()).or_default().insert(serial);
        let line = self.lines.entry(to).or_default();
        if line.ring.is_empty() {
            self.ring.push_back(to);
        }
        let address = job.repr.destination;
        let waiting = line.waiting.entry(address).or_default();
        if waiting.is_empty() {
            line.ring.push_back(address);
        }
        waiting.insert(serial);
        self.jobs.insert(serial, (to, job));
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
        let paced = |to: &Neighbour| self.jobs[&self.lines[to].head()].1.gate != Gate::Credit;
        let waits = self.pacer.next_release()?;
        let anybody = !self.stopped.is_empty() || self.ring.iter().any(paced);
        anybody.then_some(waits)
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
        if self.pacer.is_open() {
            self.ring.append(&mut self.stopped);
        }
        while let Some(to) = self.ring.pop_front() {
            let head = self.lines[&to].head();
            let gate = self.jobs[&head].1.gate;
            let has_credit = gate == Gate::Pace || credits.has(now, to);
            if !has_credit {
                credits.block(now, to);
                self.blocked.insert(to);
                continue;
            }
            if gate != Gate::Credit && !self.pacer.is_open() {
                self.stopped.push_back(to);
                continue;
            }
            let piece = self.cut(to, head, room(to.0));
            if self.lines.contains_key(&to) {
                self.ring.push_back(to);
            }
            match gate {
                Gate::Credit => credits.spend(now, to),
                Gate::Pace | Gate::PaceAndCredit => self.pacer.spend(piece.payload.len()),
            }
            return Some(piece);
        }
        None
    }

    /// Cuts a piece off the first job for whichever address has its turn.
    fn cut(&mut self, to: Neighbour, head: Serial, room: usize) -> Piece {
        let (_, job) = self.jobs.get_mut(&head).expect("who has the turn waits");
        let part = job.part.start..job.part.end.min(job.part.start + room);
        let repr = Repr {
            offset: job.repr.offset + part.start as u32,
            ..job.repr
        };
        let payload = job.payload.slice(part.clone());
        self.bytes -= part.len();
        job.part.start = part.end;
        let line = self.lines.get_mut(&to).expect("it has a job");
        line.ring.rotate_left(1);
        let released = if job.part.is_empty() {
            self.remove(head)
        } else {
            None
        };
        Piece {
            to,
            repr,
            payload,
            released,
        }
    }

    /// A job is gone: who gets a credit back.
    fn remove(&mut self, serial: Serial) -> Option<Neighbour> {
        let (to, job) = self.jobs.remove(&serial).expect("a job of the queue");
        self.bytes -= job.part.len();
        if let Some(serials) = self.messages.get_mut(&job.key()) {
            serials.remove(&serial);
            if serials.is_empty() {
                self.messages.remove(&job.key());
            }
        }
        let line = self.lines.get_mut(&to).expect("a line for each job");
        let address = job.repr.destination;
        let waiting = line.waiting.get_mut(&address).expect("it is in its line");
        waiting.remove(&serial);
        if waiting.is_empty() {
            line.waiting.remove(&address);
            // Who just had the turn is the last one.
            match line.ring.back() == Some(&address) {
                true => drop(line.ring.pop_back()),
                false => line.ring.retain(|turn| *turn != address),
            }
        }
        if line.ring.is_empty() {
            self.lines.remove(&to);
        }
        job.held_for
    }

    /// Throws jobs away: who gets credits back.
    fn remove_all(&mut self, serials: impl IntoIterator<Item = Serial>) -> Vec<Neighbour> {
        let before = self.lines.len();
        let removed = serials.into_iter().map(|serial| self.remove(serial));
        let released = removed.flatten().collect();
        if self.lines.len() < before {
            let lines = &self.lines;
            self.ring.retain(|to| lines.contains_key(to));
            self.stopped.retain(|to| lines.contains_key(to));
            self.blocked.retain(|to| lines.contains_key(to));
        }
        released
    }

    /// Throws away what waits of a message: who gets credits back.
    pub(crate) fn cancel(&mut self, source: FlipAddress, message: u32) -> Vec<Neighbour> {
        let serials = self.messages.remove(&(source, message)).unwrap_or_default();
        self.remove_all(serials)
    }

    /// Throws away what waits for a neighbour: how many messages, and who gets credits back.
    pub(crate) fn give_up(&mut self, to: Neighbour) -> (u64, Vec<Neighbour>) {
        let Some(line) = self.lines.get(&to) else {
            return (0, Vec::new());
        };
        let serials: Vec<Serial> = line.waiting.values().flatten().copied().collect();
        (serials.len() as u64, self.remove_all(serials))
    }
}

impl Line {
    /// The job whose turn it is.
    fn head(&self) -> Serial {
        let address = self.ring.front().expect("a line has somebody in it");
        *self.waiting[address]
            .first()
            .expect("with at least one job")
    }
}
