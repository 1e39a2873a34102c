//! Asking the members how far they are: some time after the last broadcast, so that a lost last one
//! is noticed; and at once when the history is full, so that it can shrink.
//!
//! Implements: [Thesis §3.4.2] `synchronize`, SYNC; [Amoeba5] §3.5, flow.
//! Differs: SYNC comes soon after the last broadcast and ever later, instead of every eight seconds;
//! it carries the lowest number kept, so that members can forget too.

use capability::Order;
use flip_net::time::{Duration, Instant};

use crate::config::Timing;
use crate::event::{Destination, Endpoint};
use crate::member::Member;
use crate::seq::{MemberIndex, MessageId};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::view::PeerState;
use crate::wire::{self, Kind};

/// When to ask.
#[derive(Debug)]
pub(super) struct Sync {
    full: bool,
    pause: Duration,
    /// When the members that block were last asked.
    asked_blockers: Option<Instant>,
}

impl Sync {
    pub(super) fn new(timing: &Timing) -> Sync {
        Sync {
            full: false,
            pause: timing.sync,
            asked_blockers: None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn end_full(&mut self) {
        self.full = false;
    }
}

impl Member {
    /// A number was accepted: ask who lacks it when it has been quiet for a while.
    pub(super) fn after_accept(&mut self) {
        if self.seq_mut().sync.full {
            return;
        }
        let pause = self.config.timing.sync;
        self.seq_mut().sync.pause = pause;
        self.timers.set(Timer::Synchronise, self.now + pause);
    }

    /// A new sequencer tells all that it numbers, and asks how far they are.
    pub(crate) fn begin_numbering(&mut self) {
        let expect = self.delivery.expect;
        if let Some(peer) = self.view.get_mut(self.me) {
            peer.expect = peer.expect.latest(expect);
        }
        self.synchronise(&self.others_with(|_| true), Mark::SyncSent);
        self.after_accept();
    }

    /// The history has no room: ask those that keep it full, now and until it has.
    pub(super) fn begin_sync_full(&mut self) {
        if self.seq_mut().sync.full {
            return;
        }
        self.stats.mark(Mark::HistoryFull);
        let (now, pause) = (self.now, self.config.timing.sync_full);
        let sync = &mut self.seq_mut().sync;
        sync.full = true;
        sync.pause = pause;
        // A history that is freed message by message fills again after each.
        let recently = sync.asked_blockers.is_some_and(|at| now.since(at) < pause);
        if !recently {
            sync.asked_blockers = Some(now);
            self.synchronise(&self.blockers(), Mark::SyncWhenFull);
        }
        self.timers.set(Timer::Synchronise, now + pause);
    }

    pub(crate) fn on_synchronise(&mut self) {
        let full = self.seq_mut().sync.full;
        let (listed, mark, longest) = if full {
            let longest = self.config.timing.sync_full_max;
            (self.blockers(), Mark::SyncWhenFull, longest)
        } else {
            let longest = self.config.timing.sync_max;
            (self.laggards(), Mark::SyncSent, longest)
        };
        if listed.is_empty() && !full {
            return;
        }
        self.synchronise(&listed, mark);
        let pause = self.seq_mut().sync.pause.times(2).min(longest);
        self.seq_mut().sync.pause = pause;
        self.timers.set(Timer::Synchronise, self.now + pause);
    }

    /// Who has not told that it has everything.
    fn laggards(&self) -> Vec<MemberIndex> {
        let next = self.history.next();
        self.others_with(|expect| expect != next)
    }

    /// Who keeps the lowest message in the history.
    fn blockers(&self) -> Vec<MemberIndex> {
        let lowest = self.view.lowest_expect();
        self.others_with(|expect| Some(expect) == lowest)
    }

    fn others_with(&self, is_behind: impl Fn(crate::seq::SeqNo) -> bool) -> Vec<MemberIndex> {
        self.view
            .iter()
            .filter(|&(member, peer)| {
                member != self.me && peer.state == PeerState::Member && is_behind(peer.expect)
            })
            .map(|(member, _)| member)
            .collect()
    }

    fn synchronise(&mut self, listed: &[MemberIndex], mark: Mark) {
        if listed.is_empty() || planted!(self, NeverSync) {
            return;
        }
        self.stats.mark(mark);
        let mut repr = self.header(Kind::Sync);
        repr.seq = self.history.next();
        repr.id = MessageId::new(self.history.lowest().value());
        let to = Destination::Multicast {
            group: self.addresses.a,
            listeners: self.other_members(),
        };
        let list = wire::emit_sync_list(listed, Order::Little);
        self.transmit(Endpoint::Member, to, repr, |message| message.extend(list));
    }
}
