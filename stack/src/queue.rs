//! The delivery queue between receivers and the worker: bounded in messages and bytes.
//!
//! Nothing is dropped here. A full queue refuses, and then the group member is not asked for more:
//! its `expect` stands still, the sequencer's history fills, senders wait.
//!
//! Implements: DESIGN 6, back-pressure; [Thesis §3.4.2] Fig. 3.12.

use std::collections::VecDeque;

use crate::event::Delivery;

/// How full the queue was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Deliveries that went through.
    pub deliveries: u64,
    /// Most deliveries at once.
    pub messages_peak: usize,
    /// Most bytes at once.
    pub bytes_peak: usize,
    /// How often it was full when something more was there.
    pub full: u64,
}

#[derive(Debug)]
pub(crate) struct DeliveryQueue {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    pub(crate) stats: QueueStats,
}

impl DeliveryQueue {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> DeliveryQueue {
        assert!(messages_max > 0, "a queue holds something");
        let stats = QueueStats::default();
        DeliveryQueue {
            deliveries: VecDeque::new(),
            bytes: 0,
            messages_max,
            bytes_max,
            stats,
        }
    }

    /// Whether one more is taken: of any size if the queue is empty or has a byte to spare, so
    /// that no delivery is ever too large for it.
    pub(crate) fn has_room(&self) -> bool {
        self.deliveries.is_empty()
            || (self.deliveries.len() < self.messages_max && self.bytes < self.bytes_max)
    }

    pub(crate) fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.size();
        self.deliveries.push_back(delivery);
        self.stats.deliveries += 1;
        self.stats.messages_peak = self.stats.messages_peak.max(self.deliveries.len());
        self.stats.bytes_peak = self.stats.bytes_peak.max(self.bytes);
    }

    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front()?;
        self.bytes -= delivery.size();
        Some(delivery)
    }

    /// Takes out what has no place in the order.
    pub(crate) fn take_affairs(&mut self) -> impl Iterator<Item = Delivery> {
        let (affairs, ordered) = std::mem::take(&mut self.deliveries)
            .into_iter()
            .partition(Delivery::is_affair);
        self.deliveries = ordered;
        let affairs: VecDeque<Delivery> = affairs;
        affairs.into_iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use group::{MemberIndex, MessageId, Payload, SeqNo};

    fn data(size: usize) -> Delivery {
        Delivery::Data {
            seq: SeqNo::FIRST,
            from: MemberIndex::new(0),
            id: MessageId::FIRST,
            payload: Payload::from(vec![0; size]),
        }
    }

    #[test]
    fn bytes_and_messages_bound_the_queue_but_no_single_delivery() {
        let mut queue = DeliveryQueue::new(3, 100);
        queue.push(data(1_000));
        assert!(!queue.has_room());
        queue.pop();
        assert!(queue.has_room());
        for _ in 0..3 {
            assert!(queue.has_room());
            queue.push(data(0));
        }
        assert!(!queue.has_room());
        assert_eq!(
            (queue.stats.messages_peak, queue.stats.bytes_peak),
            (3, 1_000)
        );
    }
}
