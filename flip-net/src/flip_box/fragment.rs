//! Cutting messages. A message of one packet leaves at once; the fragments of a longer one wait
//! in a queue that is fair among stations and addresses, and leave at a pace.
//!
//! Messages to one address at one station do not interleave; reassembly is not done here. A cut
//! message is kept for a while: who misses parts of it may ask for them (AGAIN), so that a lost
//! fragment costs a fragment and not the message. Who asks also slows the pace down.
//!
//! Implements: [Thesis §2.4.1], fragments; facts sheet 1.7, fair queueing.
//! Differs: a pace for all instead of credits by neighbour; AGAIN.

use crate::step;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::routes::Found;
use super::{Drop, FlipBox};
use crate::address::{EndpointId, FlipAddress, LinkAddress, NetworkId};
use crate::config::Pace;
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Kind, Repr};

type Key = (NetworkId, LinkAddress, FlipAddress);

#[derive(Debug)]
struct Job {
    repr: Repr,
    payload: Arc<Vec<u8>>,
    /// What has to leave: start and end. The start moves on.
    part: Range<usize>,
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
    /// Bytes in a millisecond, as fast as seems good now.
    rate: u64,
    /// When it was slowed down last.
    slowed: Instant,
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
            rate: pace.map_or(0, |pace| pace.per_millisecond),
            slowed: Instant::ZERO,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, key: Key, job: Job) {
        self.bytes += job.part.len();
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
        let gained = gone_by.saturating_mul(self.rate) / 1_000;
        if gained == 0 {
            return;
        }
        self.refilled = now;
        if !self.ring.is_empty() {
            // Back to full speed in a quarter of a second of sending.
            let grown = gone_by.saturating_mul(pace.per_millisecond) / (1_000 * 256);
            self.rate = (self.rate + grown.max(1)).min(pace.per_millisecond);
        }
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        let burst = self.burst(pace);
        self.tokens = self.tokens.saturating_add(gained).min(burst);
        if self.tokens >= burst / 4 {
            self.stopped = false;
        }
    }

    /// What may leave at once, in proportion to the rate.
    fn burst(&self, pace: Pace) -> i64 {
        let scaled = pace.burst as u128 * self.rate as u128 / pace.per_millisecond.max(1) as u128;
        (scaled as i64).max(BURST_MIN)
    }

    /// Somebody misses something: half the speed, but not twice for the same loss.
    fn slow_down(&mut self, now: Instant) {
        let Some(pace) = self.pace else { return };
        if now.since(self.slowed) >= SLOW_DOWN_INTERVAL {
            self.slowed = now;
            self.rate = (self.rate / 2).max(pace.per_millisecond / 64).max(1);
        }
    }

    /// Whether parts of this message still wait to leave.
    fn has(&self, source: FlipAddress, message: u32) -> bool {
        let jobs = self.jobs.values().flatten();
        jobs.map(|job| &job.repr)
            .any(|repr| (repr.source, repr.message) == (source, message))
    }

    /// When fragments may leave again; none if nothing waits or they may now.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let pace = self.pace?;
        if self.ring.is_empty() || !self.stopped {
            return None;
        }
        let missing = (self.burst(pace) / 4 - self.tokens).max(1) as u64;
        let wait = (missing * 1_000).div_ceil(self.rate.max(1));
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
        let end = job.part.end.min(job.part.start + room(key.0));
        let piece = job.payload[job.part.start..end].to_vec();
        let repr = Repr {
            offset: job.repr.offset + job.part.start as u32,
            ..job.repr
        };
        job.part.start = end;
        if job.part.is_empty() {
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

/// A message of several fragments that may be asked for again.
#[derive(Debug)]
struct Kept {
    repr: Repr,
    payload: Arc<Vec<u8>>,
    /// Counts messages; the smallest goes first.
    number: u64,
    until: Instant,
}

/// What was sent in fragments lately.
#[derive(Debug, Default)]
pub(crate) struct KeptMessages {
    messages: BTreeMap<(FlipAddress, u32), Kept>,
    bytes: usize,
    count: u64,
}

impl KeptMessages {
    fn keep(&mut self, repr: Repr, payload: &Arc<Vec<u8>>, until: Instant, bytes_max: usize) {
        if bytes_max == 0 || self.messages.contains_key(&(repr.source, repr.message)) {
            return;
        }
        while self.bytes + payload.len() > bytes_max {
            let oldest = self.messages.iter().min_by_key(|(_, kept)| kept.number);
            let Some(key) = oldest.map(|(key, _)| *key) else {
                break;
            };
            self.remove(key);
        }
        self.count += 1;
        self.bytes += payload.len();
        let kept = Kept {
            repr,
            payload: Arc::clone(payload),
            number: self.count,
            until,
        };
        self.messages.insert((repr.source, repr.message), kept);
    }

    fn remove(&mut self, key: (FlipAddress, u32)) {
        if let Some(kept) = self.messages.remove(&key) {
            self.bytes -= kept.payload.len();
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.messages.values().map(|kept| kept.until).min()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.messages.retain(|_, kept| {
            let keep = kept.until > now;
            if !keep {
                *bytes -= kept.payload.len();
            }
            keep
        });
    }
}

/// Fragments of a burst, however slow the pace: at least one long one.
const BURST_MIN: i64 = 64 << 10;
/// Complaints closer together are about the same loss.
const SLOW_DOWN_INTERVAL: Duration = Duration::from_millis(20);
/// The most missing parts in one packet.
pub const PARTS_MAX: usize = 64;

/// The body of AGAIN.
fn emit_parts(parts: &[(u32, u32)]) -> Vec<u8> {
    let numbers = parts.iter().flat_map(|&(start, end)| [start, end]);
    numbers.flat_map(u32::to_le_bytes).collect()
}

/// The parts in the body of AGAIN, if they are parts of a message of `total` bytes.
fn parse_parts(body: &[u8], total: usize) -> Option<Vec<Range<usize>>> {
    if body.is_empty() || !body.len().is_multiple_of(8) || body.len() > PARTS_MAX * 8 {
        return None;
    }
    let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let parts = body.chunks(8).map(|pair| {
        let (start, end) = (number(&pair[..4]) as usize, number(&pair[4..]) as usize);
        (start < end && end <= total).then_some(start..end)
    });
    let parts: Vec<Range<usize>> = parts.collect::<Option<_>>()?;
    // Parts that overlap would make little questions cause endless answers.
    let wanted: usize = parts.iter().map(Range::len).sum();
    (wanted <= total).then_some(parts)
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
        step!(self.walk);
        if payload.len() <= self.link(network).payload_len_max() {
            return self.put(network, to, repr, payload);
        }
        if self.fragments.bytes() + payload.len() > self.config.queued_bytes_max {
            return self.stats.drop(Drop::QueueFull);
        }
        let until = self.now + self.config.kept_time;
        self.kept
            .keep(repr, payload, until, self.config.kept_bytes_max);
        let job = Job {
            repr,
            payload: Arc::clone(payload),
            part: 0..payload.len(),
        };
        self.fragments.push((network, to, repr.destination), job);
        self.stats.queued_bytes_peak = self.stats.queued_bytes_peak.max(self.fragments.bytes());
    }

    /// Asks the sender of a message for the parts that did not arrive. The answer comes as more
    /// fragments, or never.
    pub fn ask_again(
        &mut self,
        now: Instant,
        from: EndpointId,
        sender: FlipAddress,
        message: u32,
        missing: &[(u32, u32)],
    ) {
        self.tick(now);
        let Some(asker) = self.host.get(from).map(|endpoint| endpoint.address) else {
            return;
        };
        let Found::Way(way) = self.routes.best(sender, u16::MAX, None, false) else {
            return self.stats.drop(Drop::NoWayBack);
        };
        let link = *self.link(way.network);
        let parts_max = PARTS_MAX.min(link.payload_len_max() / 8);
        let body = emit_parts(&missing[..missing.len().min(parts_max)]);
        let repr = Repr {
            kind: Kind::Again,
            flags: Flags::default(),
            actual: link.weight,
            maximum: way.hops,
            destination: sender,
            source: asker,
            message,
            offset: 0,
            total: body.len() as u32,
        };
        self.put(way.network, way.station, repr, &body);
    }

    /// Somebody behind this station misses parts of a message that was sent from here.
    pub(super) fn send_again(
        &mut self,
        network: NetworkId,
        to: LinkAddress,
        sender: FlipAddress,
        message: u32,
        body: &[u8],
    ) {
        let Some(kept) = self.kept.messages.get_mut(&(sender, message)) else {
            return self.stats.drop(Drop::NothingKept);
        };
        if self.fragments.has(sender, message) {
            // It is not all sent yet: too early to miss anything.
            return self.stats.drop(Drop::NothingKept);
        }
        let Some(parts) = parse_parts(body, kept.payload.len()) else {
            return self.stats.drop(Drop::BadParts);
        };
        kept.until = self.now + self.config.kept_time;
        let (repr, payload) = (kept.repr, Arc::clone(&kept.payload));
        for part in parts {
            self.stats.parts_again += 1;
            self.stats.bytes_again += part.len() as u64;
            let job = Job {
                repr,
                payload: Arc::clone(&payload),
                part,
            };
            self.fragments.push((network, to, repr.destination), job);
        }
        self.fragments.slow_down(self.now);
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
