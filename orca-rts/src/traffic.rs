//! What a processor's run-time system sent to its group and got from it, by size: the first lines of `--stats`.
//!
//! Implements: [Thesis §4.8] messages per primitive and size (Figure 4.12).

use std::collections::BTreeMap;
use std::time::Instant;

use crate::doorbell::Bell;
use crate::kernel::{Command, Delivery};
use crate::transport::Transport;

/// Broadcasts, counted by the power of two that their size stays below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic(BTreeMap<usize, (u64, u64)>);

impl Traffic {
    fn count(&mut self, len: usize) {
        let (count, bytes) = self.0.entry((len + 1).next_power_of_two()).or_default();
        *count += 1;
        *bytes += len as u64;
    }

    /// For each bound in use: the bound, how many broadcasts stayed below it, and their bytes.
    pub fn sizes(&self) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        self.0
            .iter()
            .map(|(below, (count, bytes))| (*below, *count, *bytes))
    }
}

/// A transport whose broadcasts are counted.
pub struct Counted<T> {
    /// What does the work.
    pub transport: T,
    /// Broadcasts of this processor.
    pub sent: Traffic,
    /// Broadcasts delivered here, its own included.
    pub delivered: Traffic,
}

impl<T: Transport> Counted<T> {
    /// Counts from now on.
    pub fn new(transport: T) -> Counted<T> {
        Counted {
            transport,
            sent: Traffic::default(),
            delivered: Traffic::default(),
        }
    }
}

impl<T: Transport> Transport for Counted<T> {
    fn attach(&mut self, bell: Bell) {
        self.transport.attach(bell);
    }

    fn command(&mut self, command: Command) {
        if let Command::Broadcast(bytes) = &command {
            self.sent.count(bytes.len());
        }
        self.transport.command(command);
    }

    fn try_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.transport.try_delivery()?;
        if let Delivery::Data { bytes, .. } = &delivery {
            self.delivered.count(bytes.len());
        }
        Some(delivery)
    }

    fn wait(&mut self, deadline: Option<Instant>) {
        self.transport.wait(deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_counts_below_the_next_power_of_two() {
        let mut traffic = Traffic::default();
        for len in [0, 1, 2003, 2047, 2048] {
            traffic.count(len);
        }
        let sizes: Vec<_> = traffic.sizes().collect();
        assert_eq!(
            sizes,
            [(1, 1, 0), (2, 1, 1), (2048, 2, 4050), (4096, 1, 2048)]
        );
    }
}
