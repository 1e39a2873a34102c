//! The network between processors of one process: a queue for each station, and threads that wait
//! on it. It loses frames when a queue is full, like any network; tests may ask for worse.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::{Device, Sink};
use crate::Frame;
use crate::address::LinkAddress;
use crate::link::Link;
use crate::link::fault::Faults;
use crate::rng::Rng;
use crate::time::Duration;

/// The most bytes that wait at one station.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// The most frames that wait at one station.
const QUEUE_LEN_MAX: usize = 1 << 20;
/// The most frames that one `receive` gives.
const BATCH_MAX: usize = 64;

/// The network: makes devices, and knows all of them.
#[derive(Clone)]
pub struct MemoryNetwork {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    stations: RwLock<Vec<Arc<Station>>>,
    faults: Faults,
    seed: u64,
}

struct Station {
    queue: Mutex<Queue>,
    arrival: Condvar,
    lost: AtomicU64,
}

struct Queue {
    frames: VecDeque<(LinkAddress, Bytes)>,
    bytes: usize,
    /// Somebody is, or will be, waiting on the condition.
    waiting: bool,
    woken: bool,
    rng: Rng,
    /// A frame that lets the next one overtake it.
    held: Option<(LinkAddress, Bytes)>,
}

/// One station on a memory network.
pub struct MemoryDevice {
    shared: Arc<Shared>,
    number: u64,
    own: Arc<Station>,
}

impl MemoryNetwork {
    /// A network that loses nothing but what does not fit.
    pub fn new() -> MemoryNetwork {
        MemoryNetwork::with(Link::memory(), Faults::default(), 0)
    }

    /// A network that carries frames as `link` says and treats them as `faults` says: loss,
    /// duplication, and reordering of neighbours. Delays are not made.
    pub fn with(link: Link, faults: Faults, seed: u64) -> MemoryNetwork {
        let stations = RwLock::new(Vec::new());
        MemoryNetwork {
            shared: Arc::new(Shared {
                link,
                stations,
                faults,
                seed,
            }),
        }
    }

    /// A new station.
    pub fn device(&self) -> Arc<MemoryDevice> {
        let mut stations = self
            .shared
            .stations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let number = stations.len() as u64;
        let queue = Queue {
            frames: VecDeque::new(),
            bytes: 0,
            waiting: false,
            woken: false,
            rng: Rng::new(self.shared.seed ^ number.wrapping_mul(0x9e37_79b9)),
            held: None,
        };
        let lost = AtomicU64::new(0);
        let own = Arc::new(Station {
            queue: Mutex::new(queue),
            arrival: Condvar::new(),
            lost,
        });
        stations.push(Arc::clone(&own));
        Arc::new(MemoryDevice {
            shared: Arc::clone(&self.shared),
            number,
            own,
        })
    }
}

impl Default for MemoryNetwork {
    fn default() -> MemoryNetwork {
        MemoryNetwork::new()
    }
}

impl Station {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, from: LinkAddress, bytes: &Bytes, faults: Faults) {
        let mut queue = self.lock();
        if faults != Faults::default() {
            if queue.rng.chance(faults.loss, 1_000) {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if queue.rng.chance(faults.duplication, 1_000) {
                queue.push(&self.lost, from, bytes);
            }
            if queue.held.is_none() && queue.rng.chance(faults.reordering, 1_000) {
                queue.held = Some((from, bytes.clone()));
                return;
            }
        }
        queue.push(&self.lost, from, bytes);
        if let Some((from, bytes)) = queue.held.take() {
            queue.push(&self.lost, from, &bytes);
        }
        if queue.waiting {
            queue.waiting = false;
            drop(queue);
            self.arrival.notify_one();
        }
    }
}

impl Queue {
    fn push(&mut self, lost: &AtomicU64, from: LinkAddress, bytes: &Bytes) {
        if self.bytes + bytes.len() > QUEUE_BYTES_MAX || self.frames.len() >= QUEUE_LEN_MAX {
            lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.bytes += bytes.len();
        self.frames.push_back((from, bytes.clone()));
    }
}

impl Device for MemoryDevice {
    fn link(&self) -> Link {
        self.shared.link
    }

    fn station(&self) -> LinkAddress {
        LinkAddress::Station(self.number)
    }

    fn send(&self, frames: &[Frame]) {
        let stations = self
            .shared
            .stations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for frame in frames {
            let bytes = Bytes::from(frame.bytes().into_owned());
            match frame.to {
                LinkAddress::Station(number) => {
                    let station = usize::try_from(number).ok().and_then(|at| stations.get(at));
                    match station {
                        Some(station) => station.put(self.station(), &bytes, self.shared.faults),
                        None => {
                            self.own.lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                LinkAddress::Broadcast | LinkAddress::Multicast(_) => {
                    for (number, station) in stations.iter().enumerate() {
                        if number as u64 != self.number {
                            station.put(self.station(), &bytes, self.shared.faults);
                        }
                    }
                }
            }
        }
    }

    fn receive(&self, wait: Duration, sink: &mut Sink<'_>) -> usize {
        let mut queue = self.own.lock();
        if queue.frames.is_empty() && !queue.woken && wait > Duration::ZERO {
            queue.waiting = true;
            let wait = std::time::Duration::from_micros(wait.as_micros());
            // One wait is enough: whoever comes back for nothing is called again.
            queue = match self.own.arrival.wait_timeout(queue, wait) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
            queue.waiting = false;
        }
        queue.woken = false;
        let count = queue.frames.len().min(BATCH_MAX);
        let frames: Vec<_> = queue.frames.drain(..count).collect();
        queue.bytes -= frames.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        drop(queue);
        for (from, bytes) in &frames {
            sink(*from, bytes);
        }
        count
    }

    fn wake(&self) {
        self.own.lock().woken = true;
        self.own.arrival.notify_one();
    }

    fn lost(&self) -> u64 {
        self.own.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::NetworkId;

    fn frame(to: LinkAddress, text: &str) -> Frame {
        Frame::new(NetworkId(0), to, text.as_bytes().to_vec())
    }

    fn receive(device: &dyn Device, wait: Duration) -> Vec<(LinkAddress, String)> {
        let mut frames = Vec::new();
        device.receive(wait, &mut |from, bytes| {
            frames.push((from, String::from_utf8_lossy(bytes).into_owned()));
        });
        frames
    }

    #[test]
    fn a_broadcast_reaches_everybody_else() {
        let network = MemoryNetwork::new();
        let [a, b, c] = [network.device(), network.device(), network.device()];
        a.send(&[
            frame(LinkAddress::Broadcast, "all"),
            frame(b.station(), "you"),
        ]);
        let from_a = |text: &str| (a.station(), text.to_owned());
        assert_eq!(receive(&*a, Duration::ZERO), []);
        assert_eq!(receive(&*b, Duration::ZERO), [from_a("all"), from_a("you")]);
        assert_eq!(receive(&*c, Duration::ZERO), [from_a("all")]);
    }

    #[test]
    fn a_waiting_receiver_is_woken_by_a_frame_and_by_hand() {
        let network = MemoryNetwork::new();
        let [a, b] = [network.device(), network.device()];
        let long = Duration::from_secs(20);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| receive(&*b, long));
            a.send(&[frame(LinkAddress::Broadcast, "up")]);
            assert_eq!(waiter.join().unwrap().len(), 1);
            let waiter = scope.spawn(|| receive(&*b, long));
            b.wake();
            assert_eq!(waiter.join().unwrap(), []);
        });
    }
}
