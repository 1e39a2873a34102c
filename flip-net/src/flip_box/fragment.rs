//! Cutting messages. A message of one packet leaves at once; the fragments of a longer one wait
//! in a queue that is fair among stations and addresses, and leave at a pace.
//!
//! Messages to one address at one station do not interleave; reassembly is not done here.
//!
//! Implements: [Thesis §2.4.1], fragments; facts sheet 1.7, fair queueing.
//! Differs: a pace for all instead of credits by neighbour.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Drop, FlipBox};
use crate::address::{FlipAddress, LinkAddress, NetworkId};
use crate::config::Pace;
use crate::time::{Duration, Instant};
use crate::wire::Repr;

type Key = (NetworkId, LinkAddress, FlipAddress);

#[derive(Debug)]
struct Job {
    repr: Repr,
    payload: Arc<Vec<u8>>,
    /// Bytes that have left.
    sent: usize,
}

/// Messages on their way out, piece by piece.
#[derive(Debug)]
pub(crate) struct FragmentQueue {
    /// Whose turn it is.
    ring: VecDeque<Key>,
    jobs: BTreeMap<Key, VecDeque<Job>>,
    /// Bytes that have not left yet.
    bytes: usize,
    pace: Option<Pace>,
    /// Bytes that may leave now; below zero after a long fragment.
    tokens: i64,
    /// The tokens ran out, and a fair number has to gather first.
    stopped: bool,
    refilled: Instant,
}

impl FragmentQueue {
    pub(crate) fn new(pace: Option<Pace>) -> FragmentQueue {
        FragmentQueue {
            ring: VecDeque::new(),
            jobs: BTreeMap::new(),
            bytes: 0,
            pace,
            tokens: pace.map_or(0, |pace| pace.burst as i64),
            stopped: false,
            refilled: Instant::ZERO,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, key: Key, job: Job) {
        self.bytes += job.payload.len();
        let jobs = self.jobs.entry(key).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            self.ring.push_back(key);
        }
    }

    /// Lets the tokens grow with time.
    pub(crate) fn refill(&mut self, now: Instant) {
        let Some(pace) = self.pace else { return };
        let gone_by = now.since(self.refilled).as_micros();
        let gained = gone_by.saturating_mul(pace.per_millisecond) / 1_000;
        if gained == 0 {
            return;
        }
        self.refilled = now;
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(gained).min(pace.burst as i64);
        if self.tokens >= quantum(pace) {
            self.stopped = false;
        }
    }

    /// When fragments may leave again; none if nothing waits or they may now.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let pace = self.pace?;
        if self.ring.is_empty() || !self.stopped {
            return None;
        }
        let missing = (quantum(pace) - self.tokens).max(1) as u64;
        let wait = (missing * 1_000).div_ceil(pace.per_millisecond);
        Some(self.refilled + Duration::from_micros(wait))
    }

    /// The next piece of whoever's turn it is: at most `room(network)` bytes.
    fn pop(&mut self, room: impl Fn(NetworkId) -> usize) -> Option<(Key, Repr, Vec<u8>)> {
        if self.stopped {
            return None;
        }
        let key = self.ring.pop_front()?;
        let jobs = self
            .jobs
            .get_mut(&key)
            .expect("an address in the ring has messages");
        let job = jobs.front_mut().expect("and at least one");
        let end = job.payload.len().min(job.sent + room(key.0));
        let piece = job.payload[job.sent..end].to_vec();
        let repr = Repr {
            offset: job.repr.offset + job.sent as u32,
            ..job.repr
        };
        job.sent = end;
        if end == job.payload.len() {
            jobs.pop_front();
        }
        if jobs.is_empty() {
            self.jobs.remove(&key);
        } else {
            self.ring.push_back(key);
        }
        self.bytes -= piece.len();
        if self.pace.is_some() {
            self.tokens -= piece.len() as i64;
            self.stopped = self.tokens <= 0;
        }
        Some((key, repr, piece))
    }
}

/// So many tokens gather before fragments leave again: a wake-up for each would cost too much.
fn quantum(pace: Pace) -> i64 {
    (pace.burst / 4) as i64
}

impl FlipBox {
    /// Sends a message or a fragment to one station (or one multicast address): at once if it fits
    /// into a packet, else piece by piece.
    pub(super) fn send_cut(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        repr: Repr,
        payload: &Arc<Vec<u8>>,
    ) {
        if payload.len() <= self.link(network).payload_len_max() {
            return self.put(network, to, repr, payload);
        }
        if self.fragments.bytes() + payload.len() > self.config.queued_bytes_max {
            return self.stats.drop(Drop::QueueFull);
        }
        let job = Job {
            repr,
            payload: Arc::clone(payload),
            sent: 0,
        };
        self.fragments.push((network, to, repr.destination), job);
        self.stats.queued_bytes_peak = self.stats.queued_bytes_peak.max(self.fragments.bytes());
    }

    /// Sends a fragment of somebody else on, in smaller pieces if it must be.
    pub(super) fn forward(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        repr: Repr,
        payload: &[u8],
    ) {
        let room = self.link(network).payload_len_max();
        if payload.len() <= room {
            return self.put(network, to, repr, payload);
        }
        for (at, piece) in payload.chunks(room).enumerate() {
            let offset = repr.offset + (at * room) as u32;
            self.put(network, to, Repr { offset, ..repr }, piece);
        }
    }

    /// Moves the next waiting fragment to the frames that leave, if the pace allows.
    pub(super) fn next_fragment(&mut self) {
        let networks = &self.networks;
        let room = |network: NetworkId| networks[usize::from(network.0)].link.payload_len_max();
        if let Some(((network, to, _), repr, piece)) = self.fragments.pop(room) {
            self.put(network, to, repr, &piece);
        }
    }
}
