//! The receiving half: opens frames, and finds out who is alive.
//!
//! `open` routes; what it does with a frame depends on whether its sender is known. A sender
//! becomes known when it names this receiver in a challenge or an introduction, and then has a
//! window; until then its frames are held.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use ring::aead::Aad;

use super::frame::{Control, Header, Kind, SEAL_HEADER_LEN, SenderId};
use super::key::{EpochKey, Key, KeyCache, SenderKey};
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

const _: () = assert!(size_of::<Known>() <= 200);

/// What opens the frames that come in.
pub struct Incoming {
    config: SealConfig,
    id: SenderId,
    current: EpochKey,
    previous: Option<(EpochKey, Instant)>,
    known: BTreeMap<SenderId, Known>,
    waiting: WaitingTable,
    keys: KeyCache,
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
            current,
            previous: None,
            known: BTreeMap::new(),
            waiting: WaitingTable::new(config),
            keys: KeyCache::new(config.keys_len_max),
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
        self.previous.as_ref().map(|(_, until)| *until)
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

    /// See [`super::Sealer::rekey`].
    pub fn rekey(
        &mut self,
        outgoing: &mut Outgoing,
        now: Instant,
        key: Key,
        grace: Duration,
    ) -> Result<(), RekeyError> {
        let (present, wanted) = (self.current.epoch, key.epoch());
        if wanted <= present {
            return Err(RekeyError { present, wanted });
        }
        self.forget_previous();
        let before = mem::replace(&mut self.current, EpochKey::new(&key));
        self.previous = Some((before, now + grace));
        outgoing.set_key(&self.current);
        self.handle_timeout(now);
        Ok(())
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
        let plain = self.authenticate(&header, frame)?;
        if self.known.contains_key(&header.sender) {
            self.on_known(outgoing, now, from, &header, plain)
        } else {
            self.on_unknown(outgoing, now, from, &header, plain)
        }
    }

    fn authenticate<'a>(
        &mut self,
        header: &Header,
        frame: &'a mut [u8],
    ) -> Result<&'a [u8], SealDrop> {
        let (_, body) = frame.split_at_mut(SEAL_HEADER_LEN);
        let epoch = self.epoch(header.epoch).ok_or(SealDrop::UnknownEpoch)?;
        if let Some(key) = self.keys.get(header.sender, header.epoch) {
            return open_body(key, header, body);
        }
        let key = epoch.sender(header.sender);
        let plain = open_body(&key, header, body)?;
        self.keys.insert(header.sender, key);
        Ok(plain)
    }

    fn on_known<'a>(
        &mut self,
        outgoing: &Outgoing,
        now: Instant,
        from: LinkAddress,
        header: &Header,
        plain: &'a [u8],
    ) -> Result<Opened<'a>, SealDrop> {
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
            self.introduce(outgoing, now, from, header);
        }
        Ok(Opened::Control)
    }

    fn on_unknown<'a>(
        &mut self,
        outgoing: &Outgoing,
        now: Instant,
        from: LinkAddress,
        header: &Header,
        plain: &'a [u8],
    ) -> Result<Opened<'a>, SealDrop> {
        if self.known.len() >= self.config.senders_max {
            return Err(SealDrop::TooManySenders);
        }
        let control = match header.kind {
            Kind::Data => None,
            Kind::Challenge | Kind::Introduction => Some(Control::parse(header, plain)?),
        };
        let lost = self.waiting.note(header.sender, outgoing.counter());
        self.stats.drop(SealDrop::Unintroduced, lost);
        match control {
            None => {
                self.hold(from, header, plain);
                self.challenge(outgoing, now, from, header);
                Ok(Opened::Held)
            }
            Some(control) if control.target == SenderId::EVERYBODY => {
                self.challenge(outgoing, now, from, header);
                Ok(Opened::Control)
            }
            Some(control) if control.target == self.id => {
                self.install(header, control.floor);
                if header.kind == Kind::Challenge {
                    self.introduce(outgoing, now, from, header);
                }
                Ok(Opened::Control)
            }
            Some(_) => Err(SealDrop::NotForMe),
        }
    }

    fn hold(&mut self, from: LinkAddress, header: &Header, plain: &[u8]) {
        let held = Held {
            from,
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
        // Only a caller that does not drain gets here twice without room.
        if self.released_bytes + held.plain.len() > self.config.held_bytes_max {
            self.stats.drop(SealDrop::Unintroduced, 1);
            return;
        }
        self.stats.released += 1;
        self.released_bytes += held.plain.len();
        self.released.push_back((held.from, held.plain));
    }

    /// Asks an unknown sender to introduce itself, and introduces this one to it.
    fn challenge(&mut self, outgoing: &Outgoing, now: Instant, from: LinkAddress, header: &Header) {
        let floor = self.waiting.take_challenge(now, header.sender);
        if self.answer(outgoing, now, from, header, Kind::Challenge, floor) {
            self.stats.challenges += 1;
        }
    }

    /// Introduces this one to a sender that is known, and has asked.
    fn introduce(&mut self, outgoing: &Outgoing, now: Instant, from: LinkAddress, header: &Header) {
        let known = self.known.get_mut(&header.sender).expect("known");
        let may = now >= known.next_introduction;
        if may {
            known.next_introduction = now + self.config.challenge_pause;
        }
        let floor = may.then_some(known.floor);
        if self.answer(outgoing, now, from, header, Kind::Introduction, floor) {
            self.stats.introductions += 1;
        }
    }

    fn answer(
        &mut self,
        outgoing: &Outgoing,
        now: Instant,
        from: LinkAddress,
        header: &Header,
        kind: Kind,
        floor: Option<u64>,
    ) -> bool {
        let sealed = match (floor, from) {
            (Some(floor), LinkAddress::Station(_))
                if self.transmit.len() < TRANSMIT_LEN_MAX && self.answers.take(now) =>
            {
                let target = header.sender;
                self.seal_in_epoch(outgoing, header.epoch, kind, Control { target, floor })
            }
            _ => None,
        };
        let Some(sealed) = sealed else {
            self.stats.unanswered += 1;
            return false;
        };
        self.transmit.push_back((from, sealed));
        true
    }

    /// Who still uses the previous epoch is answered in it.
    fn seal_in_epoch(
        &self,
        outgoing: &Outgoing,
        epoch: u32,
        kind: Kind,
        control: Control,
    ) -> Option<Vec<u8>> {
        if epoch == outgoing.epoch() {
            return outgoing.seal_control(kind, None, control);
        }
        let key = self.epoch(epoch)?.sender(self.id);
        outgoing.seal_control(kind, Some(&key), control)
    }

    fn epoch(&self, epoch: u32) -> Option<&EpochKey> {
        let previous = self.previous.as_ref().map(|(key, _)| key);
        [Some(&self.current), previous]
            .into_iter()
            .flatten()
            .find(|key| key.epoch == epoch)
    }

    /// With the key go the senders that were not heard since: nothing of theirs that was ever
    /// accepted can be opened any more, so they may introduce themselves anew.
    fn forget_previous(&mut self) {
        let Some((key, _)) = self.previous.take() else {
            return;
        };
        self.keys.forget(key.epoch);
        self.known.retain(|_, known| known.epoch > key.epoch);
        let lost = self.waiting.forget(key.epoch);
        self.stats.drop(SealDrop::UnknownEpoch, lost);
    }
}

fn open_body<'a>(
    key: &SenderKey,
    header: &Header,
    body: &'a mut [u8],
) -> Result<&'a [u8], SealDrop> {
    let aad = Aad::from(header.bytes());
    let opened = key.key.open_in_place(header.nonce(), aad, body);
    opened.map(|plain| &*plain).map_err(|_| SealDrop::BadTag)
}
