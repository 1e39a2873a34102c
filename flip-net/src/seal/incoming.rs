//! The receiving half: opens frames, and finds out who is alive.
//!
//! `open` routes; what it does with a frame depends on whether its sender is known. A sender
//! becomes known when it names this receiver in a challenge or an introduction, and then has a
//! window; until then its frames are held.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Control, Header, Kind, SenderId};
use super::key::{EpochKey, Key};
use super::keyring::Keyring;
use super::limit::Limit;
use super::outgoing::Outgoing;
use super::stats::{SealDrop, SealStats};
use super::waiting::{Held, WaitingTable};
use super::window::Window;
use super::{Opened, RekeyError, SealConfig};
use crate::address::LinkAddress;
use crate::time::{Duration, Instant};

/// The most answers that wait to be polled.
const TRANSMIT_LEN_MAX: usize = 1_024;

/// A sender that has introduced itself. There may be 65,536 of them.
struct Known {
    window: Window,
    /// The counter of ours when we first heard of it.
    floor: u64,
    /// When it gets the next introduction at the earliest.
    next_introduction: Instant,
    /// The newest epoch a frame was accepted in.
    epoch: u32,
}

const _: () = assert!(size_of::<Known>() <= 600);

/// A frame that is authentic, and how it came in.
struct Arrival<'o> {
    outgoing: &'o Outgoing,
    now: Instant,
    from: LinkAddress,
    header: Header,
}

/// What opens the frames that come in.
pub struct Incoming {
    config: SealConfig,
    id: SenderId,
    keys: Keyring,
    known: BTreeMap<SenderId, Known>,
    waiting: WaitingTable,
    answers: Limit,
    transmit: VecDeque<(LinkAddress, Vec<u8>)>,
    released: VecDeque<(LinkAddress, Vec<u8>)>,
    released_bytes: usize,
    stats: SealStats,
}

impl Incoming {
    pub(super) fn new(current: EpochKey, id: SenderId, config: SealConfig) -> Incoming {
        Incoming {
            config,
            id,
            keys: Keyring::new(current, config.keys_len_max),
            known: BTreeMap::new(),
            waiting: WaitingTable::new(config),
            answers: Limit::new(config.answers_burst, config.answers_per_second),
            transmit: VecDeque::new(),
            released: VecDeque::new(),
            released_bytes: 0,
            stats: SealStats::default(),
        }
    }

    /// Opens a frame in place. Drain `poll_frame` and `poll_transmit` after it.
    pub fn open<'a>(
        &mut self,
        outgoing: &Outgoing,
        now: Instant,
        from: LinkAddress,
        frame: &'a mut [u8],
    ) -> Opened<'a> {
        assert_eq!(outgoing.id(), self.id, "both halves of one sealer");
        self.handle_timeout(now);
        let opened = self.try_open(outgoing, now, from, frame);
        opened.unwrap_or_else(|reason| {
            self.stats.drop(reason, 1);
            Opened::Dropped(reason)
        })
    }

    /// Forgets the previous key if its time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|until| until <= now) {
            self.forget_previous();
        }
    }

    /// When the previous key is to be forgotten.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.keys.previous_until()
    }

    /// The next held frame whose sender has meanwhile introduced itself.
    pub fn poll_frame(&mut self) -> Option<(LinkAddress, Vec<u8>)> {
        let (from, plain) = self.released.pop_front()?;
        self.released_bytes -= plain.len();
        Some((from, plain))
    }

    /// The next sealed answer to send, and the station it is for.
    pub fn poll_transmit(&mut self) -> Option<(LinkAddress, Vec<u8>)> {
        self.transmit.pop_front()
    }

    /// What happened so far.
    pub fn stats(&self) -> &SealStats {
        &self.stats
    }

    /// Senders that introduced themselves, senders that have not, bytes of frames held for those.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let held = self.waiting.held_bytes() + self.released_bytes;
        (self.known.len(), self.waiting.len(), held)
    }

    /// See [`super::Sealer::accept_next`].
    pub fn accept_next(&mut self, key: Key) -> Result<(), RekeyError> {
        self.check_is_later(&key)?;
        self.keys.set_next(EpochKey::new(&key));
        Ok(())
    }

    /// See [`super::Sealer::rekey`].
    pub fn rekey(
        &mut self,
        outgoing: &mut Outgoing,
        now: Instant,
        key: Key,
        grace: Duration,
    ) -> Result<(), RekeyError> {
        self.check_is_later(&key)?;
        self.forget_previous();
        self.keys.replace(EpochKey::new(&key), now + grace);
        outgoing.set_key(self.keys.current());
        self.handle_timeout(now);
        Ok(())
    }

    fn check_is_later(&self, key: &Key) -> Result<(), RekeyError> {
        let (present, wanted) = (self.keys.current().epoch, key.epoch());
        match wanted > present {
            true => Ok(()),
            false => Err(RekeyError { present, wanted }),
        }
    }

    fn try_open<'a>(
        &mut self,
        outgoing: &Outgoing,
        now: Instant,
        from: LinkAddress,
        frame: &'a mut [u8],
    ) -> Result<Opened<'a>, SealDrop> {
        let header = Header::parse(frame)?;
        if header.sender == self.id {
            return Err(SealDrop::Own);
        }
        // A replay costs no cipher. Nothing is noted before the tag has been checked.
        if let Some(known) = self.known.get(&header.sender) {
            known.window.check(header.counter)?;
        }
        let plain = self.keys.open(&header, frame)?;
        let arrival = Arrival {
            outgoing,
            now,
            from,
            header,
        };
        if self.known.contains_key(&header.sender) {
            self.on_known(&arrival, plain)
        } else {
            self.on_unknown(&arrival, plain)
        }
    }

    fn on_known<'a>(
        &mut self,
        arrival: &Arrival<'_>,
        plain: &'a [u8],
    ) -> Result<Opened<'a>, SealDrop> {
        let header = &arrival.header;
        let known = self.known.get_mut(&header.sender).expect("just seen");
        known.window.accept(header.counter);
        known.epoch = known.epoch.max(header.epoch);
        if header.kind == Kind::Data {
            self.stats.opened += 1;
            return Ok(Opened::Frame(plain));
        }
        let control = Control::parse(header, plain)?;
        if ![self.id, SenderId::EVERYBODY].contains(&control.target) {
            return Err(SealDrop::NotForMe);
        }
        if header.kind == Kind::Challenge {
            self.introduce(arrival);
        }
        Ok(Opened::Control)
    }

    fn on_unknown<'a>(
        &mut self,
        arrival: &Arrival<'_>,
        plain: &'a [u8],
    ) -> Result<Opened<'a>, SealDrop> {
        if self.known.len() >= self.config.senders_max {
            return Err(SealDrop::TooManySenders);
        }
        let header = &arrival.header;
        let control = match header.kind {
            Kind::Data => None,
            Kind::Challenge | Kind::Introduction => Some(Control::parse(header, plain)?),
        };
        let lost = self.waiting.note(header.sender, arrival.outgoing.counter());
        self.stats.drop(SealDrop::Unintroduced, lost);
        match control {
            None => {
                self.hold(arrival, plain);
                self.challenge(arrival);
                Ok(Opened::Held)
            }
            Some(control) if control.target == SenderId::EVERYBODY => {
                self.challenge(arrival);
                Ok(Opened::Control)
            }
            Some(control) if control.target == self.id => {
                self.install(header, control.floor);
                if header.kind == Kind::Challenge {
                    self.introduce(arrival);
                }
                Ok(Opened::Control)
            }
            Some(_) => Err(SealDrop::NotForMe),
        }
    }

    fn hold(&mut self, arrival: &Arrival<'_>, plain: &[u8]) {
        let header = &arrival.header;
        let held = Held {
            from: arrival.from,
            epoch: header.epoch,
            counter: header.counter,
            plain: plain.to_vec(),
        };
        self.stats.held += 1;
        let lost = self.waiting.hold(header.sender, held);
        self.stats.drop(SealDrop::Unintroduced, lost);
    }

    /// The sender has shown that it is alive: it has sealed `header`, and everything from `floor`
    /// on, after this receiver's id was drawn.
    fn install(&mut self, header: &Header, floor: u64) {
        let waiting = self.waiting.remove(header.sender).expect("noted before");
        let mut window = Window::new(floor, header.counter);
        // The window outlives the epoch of every frame that has passed it, held ones included.
        let mut epoch = header.epoch;
        for held in waiting.held {
            match window.check(held.counter) {
                Ok(()) => {
                    window.accept(held.counter);
                    epoch = epoch.max(held.epoch);
                    self.release(held);
                }
                Err(reason) => self.stats.drop(reason, 1),
            }
        }
        let known = Known {
            window,
            floor: waiting.floor,
            next_introduction: Instant::ZERO,
            epoch,
        };
        self.stats.introduced += 1;
        self.known.insert(header.sender, known);
        assert!(
            self.known.len() <= self.config.senders_max,
            "there was room"
        );
    }

    fn release(&mut self, held: Held) {
        // There is room, unless the caller does not drain.
        if self.released_bytes + held.plain.len() > self.config.held_bytes_max {
            self.stats.drop(SealDrop::Unintroduced, 1);
            return;
        }
        self.stats.released += 1;
        self.released_bytes += held.plain.len();
        self.released.push_back((held.from, held.plain));
    }

    /// Asks an unknown sender to introduce itself, and introduces this one to it.
    fn challenge(&mut self, arrival: &Arrival<'_>) {
        let sender = arrival.header.sender;
        let floor = self.waiting.take_challenge(arrival.now, sender);
        if self.answer(arrival, Kind::Challenge, floor) {
            self.stats.challenges += 1;
        }
    }

    /// Introduces this one to a sender that is known, and has asked.
    fn introduce(&mut self, arrival: &Arrival<'_>) {
        let sender = arrival.header.sender;
        let known = self.known.get_mut(&sender).expect("known");
        let may = arrival.now >= known.next_introduction;
        if may {
            known.next_introduction = arrival.now + self.config.challenge_pause;
        }
        let floor = may.then_some(known.floor);
        if self.answer(arrival, Kind::Introduction, floor) {
            self.stats.introductions += 1;
        }
    }

    fn answer(&mut self, arrival: &Arrival<'_>, kind: Kind, floor: Option<u64>) -> bool {
        let is_station = matches!(arrival.from, LinkAddress::Station(_));
        let has_room = self.transmit.len() < TRANSMIT_LEN_MAX;
        let floor = floor.filter(|_| is_station && has_room && self.answers.take(arrival.now));
        let sealed = floor.and_then(|floor| self.seal(arrival, kind, floor));
        let Some(sealed) = sealed else {
            self.stats.unanswered += 1;
            return false;
        };
        self.transmit.push_back((arrival.from, sealed));
        true
    }

    /// Who still uses the previous epoch, or already the next one, is answered in it.
    fn seal(&self, arrival: &Arrival<'_>, kind: Kind, floor: u64) -> Option<Vec<u8>> {
        let Header { sender, epoch, .. } = arrival.header;
        let control = Control {
            target: sender,
            floor,
        };
        if epoch == arrival.outgoing.epoch() {
            return arrival.outgoing.seal_control(kind, None, control);
        }
        let key = self.keys.derive(self.id, epoch)?;
        arrival.outgoing.seal_control(kind, Some(&key), control)
    }

    /// With the key go the senders that were not heard since: nothing of theirs that was ever
    /// accepted can be opened any more, so they may introduce themselves anew.
    fn forget_previous(&mut self) {
        let Some(over) = self.keys.forget_previous() else {
            return;
        };
        self.known.retain(|_, known| known.epoch > over);
        let lost = self.waiting.forget(over);
        self.stats.drop(SealDrop::UnknownEpoch, lost);
    }
}
