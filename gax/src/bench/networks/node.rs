//! A box on one device, driven by the thread that uses it.

use std::sync::Arc;

use bytes::Bytes;
use stack::driver::Clock;
use stack::flip_net::address::{EndpointId, FlipAddress, NetworkId};
use stack::flip_net::driver::Device;
use stack::flip_net::join::{JoinConfig, Joiner, Message};
use stack::flip_net::time::Duration;
use stack::flip_net::{Config, Event, FlipBox, Frame, Machine, SendOptions};

use super::echo::{Answers, Asks};

/// How long the answering end waits at a time.
const WAIT: Duration = Duration::from_millis(100);
/// The shortest wait that is one: to look only is for those who never sleep.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);
/// How often who never sleeps looks for an answer before it asks again.
const LOOKS: u32 = 10_000_000;

/// See the module.
pub(super) struct Node {
    flip: FlipBox,
    device: Arc<dyn Device>,
    clock: Clock,
    endpoint: EndpointId,
    other: FlipAddress,
    joiner: Joiner,
    frames: Vec<Frame>,
    /// How long one `receive` waits: zero to look only.
    wait: Duration,
    question: Vec<u8>,
    asked: u64,
}

/// Two boxes that know of each other.
pub(super) fn pair(devices: [Arc<dyn Device>; 2], len: usize, spins: bool) -> [Node; 2] {
    let addresses = [1_u8, 2].map(|n| FlipAddress::new([n, 3, 3, 3, 3, 3, 3, 0]));
    let mut numbers = 0..2;
    devices.map(|device| {
        let at = numbers.next().expect("two devices");
        let mut flip = FlipBox::new(Config::default());
        flip.attach(device.link());
        let interface = flip.interface();
        let endpoint = flip.register(interface, addresses[at]);
        Node {
            flip,
            device,
            clock: Clock::start(),
            endpoint,
            other: addresses[1 - at].one_way(),
            joiner: Joiner::new(JoinConfig::default()),
            frames: Vec::new(),
            wait: if spins { Duration::ZERO } else { WAIT },
            question: vec![7; len],
            asked: 0,
        }
    })
}

impl Node {
    /// Sends a message to the other end.
    pub(super) fn send(&mut self, payload: impl Into<Bytes>) {
        let (endpoint, other, now) = (self.endpoint, self.other, self.clock.now());
        let options = SendOptions::default();
        let sent = self.flip.unicast(now, endpoint, other, payload, options);
        sent.expect("nothing else waits");
        self.flush();
    }

    fn flush(&mut self) {
        self.frames.clear();
        while let Some(frame) = self.flip.poll_transmit() {
            self.frames.push(frame);
        }
        if !self.frames.is_empty() {
            self.device.send(&self.frames);
        }
    }

    /// Waits once, at most `wait`; the whole messages that came.
    pub(super) fn receive(&mut self, wait: Duration, mut take: impl FnMut(Message)) {
        let (flip, clock) = (&mut self.flip, &self.clock);
        let mut now = None;
        let count = self.device.receive(wait, &mut |from, frame| {
            // A batch came at one time.
            let now = *now.get_or_insert_with(|| clock.now());
            flip.handle_frame(now, NetworkId(0), from, frame);
        });
        let now = match now {
            Some(now) => now,
            // Who only looks has not used up any time; timers are for those who wait in vain.
            None if wait == Duration::ZERO => return,
            None => self.clock.now(),
        };
        if count == 0 && self.flip.poll_timeout().is_some_and(|due| due <= now) {
            self.flip.handle_timeout(now);
        }
        while let Some(event) = self.flip.poll_event() {
            if let Event::Fragment { fragment, .. } = event
                && let Some(message) = self.joiner.handle_fragment(now, fragment)
            {
                take(message);
            }
        }
        self.flush();
    }

    /// Waits until a message comes; asks the sender for parts that are missing.
    pub(super) fn message(&mut self) -> Message {
        loop {
            let mut got = None;
            // A long message leaves at a pace: that has deadlines, too.
            let now = self.clock.now();
            let due = [self.flip.poll_timeout(), self.joiner.poll_timeout()];
            let due = due.into_iter().flatten().map(|due| due.since(now));
            let wait = due.fold(self.wait, Duration::min);
            self.receive(wait.max(SHORTEST_WAIT), |message| got = Some(message));
            if let Some(message) = got {
                return message;
            }
            let now = self.clock.now();
            while let Some(missing) = self.joiner.poll_missing(now) {
                let (from, number) = (missing.source, missing.message);
                self.flip
                    .ask_again(now, self.endpoint, from, number, &missing.parts);
            }
            self.flush();
        }
    }
}

impl Asks for Node {
    fn ask(&mut self) {
        // An answer to an earlier question, which was asked twice, is none to this one: two that
        // are under way at once would spare waits.
        self.asked += 1;
        let asked = self.asked.to_le_bytes();
        self.question[..asked.len()].copy_from_slice(&asked);
        let mut came = false;
        while !came {
            self.send(self.question.clone());
            // So many looks, or so many waits, are long enough for any answer.
            let tries = if self.wait == Duration::ZERO {
                LOOKS
            } else {
                1
            };
            for _ in 0..tries {
                self.receive(self.wait, |message| {
                    came |= message.payload.starts_with(&asked);
                });
                if came {
                    break;
                }
            }
        }
    }
}

impl Answers for Node {
    fn answer(&mut self) {
        let mut questions = Vec::new();
        self.receive(self.wait, |message| {
            assert_eq!(message.payload.len(), 40, "a question");
            questions.push(message.payload);
        });
        for question in questions {
            self.send(question);
        }
    }
}
