//! The guard of a network: what a device calls to seal what it sends and to open what it receives.
//!
//! It draws the secrets that `seal` must not draw itself, has the clock, and lets many threads
//! seal while one opens. It decides nothing. On a network without a key it passes everything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant as StdInstant;

use ring::rand::{SecureRandom, SystemRandom};

use super::Sink;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::seal::{
    Incoming, Key, Opened, Outgoing, RekeyError, SEAL_OVERHEAD, SealConfig, SealDrop, SealStats,
    Sealer, SenderId,
};
use crate::time::{Duration, Instant};
use crate::wire::HEADER_LEN;

/// What takes the answers that a guard wants to be sent: the station, and the sealed bytes.
pub type Answers<'a> = dyn FnMut(LinkAddress, Vec<u8>) + 'a;

/// Seals and opens the frames of one station on one network.
pub struct Guard(Option<Keyed>);

struct Keyed {
    // Whoever needs both takes `incoming` first.
    incoming: Mutex<Incoming>,
    outgoing: RwLock<Outgoing>,
    start: StdInstant,
}

impl Guard {
    /// The guard of a network without a key.
    pub fn none() -> Guard {
        Guard(None)
    }

    /// The guard of a network with this key. Fails if the operating system has no random bytes.
    pub fn keyed(key: Key) -> io::Result<Guard> {
        Guard::with(key, SealConfig::default())
    }

    /// The same with other bounds.
    pub fn with(key: Key, config: SealConfig) -> io::Result<Guard> {
        let mut id = [0; 16];
        SystemRandom::new()
            .fill(&mut id)
            .map_err(|_| io::Error::other("the operating system gives no random bytes"))?;
        let (outgoing, incoming) = Sealer::new(key, SenderId::new(id), config).split();
        Ok(Guard(Some(Keyed {
            incoming: Mutex::new(incoming),
            outgoing: RwLock::new(outgoing),
            start: StdInstant::now(),
        })))
    }

    /// Whether frames are sealed.
    pub fn is_keyed(&self) -> bool {
        self.0.is_some()
    }

    /// How much longer a frame gets.
    pub fn overhead(&self) -> usize {
        if self.is_keyed() { SEAL_OVERHEAD } else { 0 }
    }

    /// What the link behind this guard is to a box: shorter frames, and trusted if they are sealed.
    ///
    /// # Panics
    /// If no packet fits into a sealed frame.
    pub fn link(&self, link: Link) -> Link {
        let mtu = link.mtu.saturating_sub(self.overhead());
        assert!(
            mtu > HEADER_LEN,
            "frames of {} bytes hold no sealed packet",
            link.mtu
        );
        Link {
            mtu,
            trusted: link.trusted || self.is_keyed(),
            ..link
        }
    }

    /// The bytes to put on the network. `None`, counted, when the key has sealed as many frames as
    /// it may; a new key is due then.
    pub fn seal<'a>(&self, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match &self.0 {
            None => Some(Cow::Borrowed(frame)),
            Some(keyed) => keyed.outgoing().seal(frame).map(Cow::Owned),
        }
    }

    /// The same for a frame that stands in memory in two parts.
    pub fn seal_parts(&self, frame: [&[u8]; 2]) -> Option<Vec<u8>> {
        match &self.0 {
            None => Some(frame.concat()),
            Some(keyed) => keyed.outgoing().seal_parts(frame),
        }
    }

    /// What to broadcast once, when the network is up, so that others know this station before its
    /// first frame comes.
    pub fn announcement(&self) -> Option<Vec<u8>> {
        self.0.as_ref()?.outgoing().announce()
    }

    /// Opens what came from the network, in place: gives the frames that may be believed now to
    /// `deliver`, and what is to be sent, by unicast, to `answer`. No lock is held meanwhile.
    pub fn open(
        &self,
        from: LinkAddress,
        frame: &mut [u8],
        deliver: &mut Sink<'_>,
        answer: &mut Answers<'_>,
    ) {
        let Some(keyed) = &self.0 else {
            return deliver(from, frame);
        };
        let mut incoming = keyed.incoming();
        let now = keyed.now();
        let opened = incoming.open(&keyed.outgoing(), now, from, frame);
        if let Opened::Frame(plain) = opened {
            drop(incoming);
            return deliver(from, plain);
        }
        let frames: Vec<_> = std::iter::from_fn(|| incoming.poll_frame()).collect();
        let answers: Vec<_> = std::iter::from_fn(|| incoming.poll_transmit()).collect();
        drop(incoming);
        for (to, sealed) in answers {
            answer(to, sealed);
        }
        for (from, plain) in &frames {
            deliver(*from, plain);
        }
    }

    /// Opens what is sealed with `key` too, before anybody here seals with it: the first of two
    /// steps to a new key, see `seal`. Nothing to do without a key.
    pub fn accept_next(&self, key: Key) -> Result<(), RekeyError> {
        let keyed = self.0.as_ref();
        keyed.map_or(Ok(()), |keyed| keyed.incoming().accept_next(key))
    }

    /// Seals with `key` from now on, and opens what was sealed with the present one until `grace`
    /// is over; the first frame after that makes it forgotten. Nothing to do without a key.
    pub fn rekey(&self, key: Key, grace: Duration) -> Result<(), RekeyError> {
        let Some(keyed) = &self.0 else {
            return Ok(());
        };
        let mut incoming = keyed.incoming();
        let outgoing = keyed.outgoing.write();
        let mut outgoing = outgoing.unwrap_or_else(PoisonError::into_inner);
        incoming.rekey(&mut outgoing, keyed.now(), key, grace)
    }

    /// Frames that came in and were thrown away, by reason.
    pub fn drops(&self) -> BTreeMap<SealDrop, u64> {
        self.stats().dropped
    }

    /// Adds these to the drops of the device, which may have the same reasons.
    pub(super) fn add_drops(&self, table: &mut BTreeMap<&'static str, u64>) {
        for (reason, count) in self.drops() {
            *table.entry(reason.name()).or_default() += count;
        }
    }

    /// Everything that was counted.
    pub fn stats(&self) -> SealStats {
        let keyed = self.0.as_ref();
        keyed.map_or_else(SealStats::default, |keyed| keyed.incoming().stats().clone())
    }

    /// Frames that were not sealed because the key was used up.
    pub fn refused(&self) -> u64 {
        let keyed = self.0.as_ref();
        keyed.map_or(0, |keyed| keyed.outgoing().refused())
    }
}

impl Keyed {
    fn now(&self) -> Instant {
        let micros = self.start.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> RwLockReadGuard<'_, Outgoing> {
        self.outgoing.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: LinkAddress = LinkAddress::Station(1);

    type Frames = Vec<(LinkAddress, Vec<u8>)>;

    fn open(guard: &Guard, mut frame: Vec<u8>) -> (Frames, Frames) {
        let (mut delivered, mut answers) = (Frames::new(), Frames::new());
        guard.open(
            HERE,
            &mut frame,
            &mut |from, plain| delivered.push((from, plain.to_vec())),
            &mut |to, sealed| answers.push((to, sealed)),
        );
        (delivered, answers)
    }

    fn keyed(epoch: u32) -> Guard {
        Guard::keyed(Key::new([7; 32], epoch)).unwrap()
    }

    /// Lets both know each other.
    fn meet(a: &Guard, b: &Guard) {
        let (_, challenge) = open(b, a.announcement().unwrap());
        let (_, introduction) = open(a, challenge[0].1.clone());
        open(b, introduction[0].1.clone());
        assert_eq!((a.stats().introduced, b.stats().introduced), (1, 1));
    }

    #[test]
    fn without_a_key_everything_passes_as_it_is() {
        let guard = Guard::none();
        let frame = b"as it is";
        let sealed = guard.seal(frame).unwrap();
        assert!(matches!(sealed, Cow::Borrowed(bytes) if std::ptr::eq(bytes, frame)));
        assert_eq!(
            open(&guard, sealed.to_vec()),
            (vec![(HERE, frame.to_vec())], vec![])
        );
        assert_eq!((guard.overhead(), guard.announcement()), (0, None));
        assert_eq!(guard.link(Link::ethernet()), Link::ethernet());
    }

    #[test]
    fn a_keyed_link_is_shorter_and_trusted() {
        let link = Link {
            trusted: false,
            ..Link::ethernet()
        };
        let keyed = keyed(0).link(link);
        assert_eq!(keyed.mtu, link.mtu - SEAL_OVERHEAD);
        assert!(keyed.trusted);
    }

    #[test]
    fn many_threads_seal_while_one_opens_and_nothing_is_lost() {
        let [a, b] = [keyed(0), keyed(0)];
        meet(&a, &b);
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut delivered = 0;
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let (a, sender) = (&a, sender.clone());
                scope.spawn(move || {
                    for _ in 0..100 {
                        let sealed = a.seal(&[thread; 50]).unwrap().into_owned();
                        sender.send(sealed).unwrap();
                    }
                });
            }
            drop(sender);
            delivered += receiver.iter().map(|f| open(&b, f).0.len()).sum::<usize>();
        });
        assert_eq!((delivered, b.drops()), (400, BTreeMap::new()));
    }

    #[test]
    fn a_key_that_both_accept_first_loses_nothing() {
        let [a, b] = [keyed(0), keyed(0)];
        meet(&a, &b);
        let next = || Key::new([8; 32], 1);
        for guard in [&a, &b] {
            guard.accept_next(next()).unwrap();
        }
        let grace = Duration::from_secs(1_000);
        a.rekey(next(), grace).unwrap();
        for (from, to) in [(&a, &b), (&b, &a)] {
            let sealed = from.seal(b"across").unwrap().into_owned();
            assert_eq!(open(to, sealed).0, [(HERE, b"across".to_vec())]);
        }
        assert!(a.accept_next(next()).is_err(), "it is not the next one");
        assert_eq!(Guard::none().accept_next(next()), Ok(()));
    }

    #[test]
    fn a_new_key_replaces_the_old_one() {
        let [a, b] = [keyed(0), keyed(0)];
        meet(&a, &b);
        let old = a.seal(b"old").unwrap().into_owned();
        for guard in [&a, &b] {
            let grace = Duration::from_secs(1_000);
            guard.rekey(Key::new([8; 32], 1), grace).unwrap();
        }
        let new = a.seal(b"new").unwrap().into_owned();
        for (sealed, plain) in [(new, b"new"), (old, b"old")] {
            assert_eq!(open(&b, sealed).0, [(HERE, plain.to_vec())]);
        }
        let error = RekeyError {
            present: 1,
            wanted: 1,
        };
        assert_eq!(a.rekey(Key::new([9; 32], 1), Duration::ZERO), Err(error));
    }
}
