//! What is sent in one round of a point.

/// How a broadcast travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// To the sequencer, which sends it to all.
    Pb,
    /// To all; the sequencer sends the number.
    Bb,
}

/// Messages of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Bytes of each.
    pub size: usize,
    /// How many are sent, by each of those that send.
    pub count: u32,
    /// How many before, where one is sent at a time and the clock starts after them.
    pub warm: u32,
}

/// Bytes of all messages of a round in which all send: bare programs have nothing but their receive buffers to hold them.
const POURED_BYTES_MAX: usize = 6 << 20;
const POURED_MAX: usize = 3_000;
/// The kernel keeps this much with each datagram, by which it counts.
const DATAGRAM_COST: usize = 1_000;

impl Load {
    /// Enough to find each other.
    pub(super) fn small() -> Load {
        Load {
            size: 0,
            count: 20,
            warm: 0,
        }
    }

    /// One at a time; fewer in large groups, where each takes longer.
    pub(super) fn one_at_a_time(size: usize, members: usize) -> Load {
        Load {
            size,
            count: (1_500 / members as u32).clamp(50, 500),
            warm: 10,
        }
    }

    /// As fast as it goes and for longer, by this many, where something holds back senders that are too fast.
    pub(super) fn streamed(size: usize, senders: usize) -> Load {
        Load {
            size,
            count: (20_000 / senders) as u32,
            warm: 0,
        }
    }

    /// As fast as it goes, by this many.
    pub(super) fn poured(size: usize, senders: usize) -> Load {
        let total = (POURED_BYTES_MAX / (size + DATAGRAM_COST)).min(POURED_MAX);
        Load {
            size,
            count: (total / senders).max(8) as u32,
            warm: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_poured_fits_into_receive_buffers() {
        for size in [0, 64, 1 << 10, 8 << 10, 1 << 20] {
            for senders in [2, 4, 8] {
                let load = Load::poured(size, senders);
                let bytes = load.count as usize * senders * size;
                assert!(bytes <= POURED_BYTES_MAX || load.count == 8, "{load:?}");
            }
        }
    }
}
