//! Credits: how many fragments of long unicasts a neighbour may send before we have digested some.
//! They hold on one network and in one direction; what has left a box is not its business.
//!
//! ```text
//!   sender                                   receiver
//!   credit 8   -- DATA fragment ---------->  holds 1
//!   credit 7   -- DATA fragment ---------->  holds 2
//!     ...                                    releases 6, owes 6
//!   credit 0   <------------- CREDIT 6 ----  owes 0
//!   credit 6
//!   credit 0, waits, asks  -- REQUEST ---->
//!              <------------- ABSOLUTE 5 --  holds 3
//! ```
//! Fragments that get lost take their credit with them; REQUEST and ABSOLUTE bring it back. Who does
//! not answer is given up with all that waits for it.
//!
//! Implements: facts sheet 1.7, credits.
//! Differs: under the modern timing there are more of them, they are given back at half, and the
//! question is repeated after 20 ms, doubling.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::address::{LinkAddress, NetworkId};
use crate::config::Config;
use crate::time::{Duration, Instant};

/// Somebody at the other end of one network.
pub(crate) type Neighbour = (NetworkId, LinkAddress);

/// The most neighbours that have an account; who was silent for longest makes room.
pub const ACCOUNTS_LEN_MAX: usize = 1 << 12;
/// Accounts that were not used for so long are closed.
const IDLE_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
struct Account {
    /// Fragments that we may send.
    credit: u8,
    /// When to ask for credit; none while nothing is blocked.
    ask_at: Option<Instant>,
    interval: Duration,
    asked: u32,
    /// Fragments that came and are not digested.
    held: u16,
    /// Fragments that were digested since the last credit was given.
    owed: u8,
    used: Instant,
}

/// What `expire` wants to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask for credit.
    Ask(Neighbour),
    /// It does not answer.
    GiveUp(Neighbour),
}

/// The accounts with all neighbours.
#[derive(Debug)]
pub(crate) struct Credits {
    credits_max: u8,
    owed_max: u8,
    interval: Duration,
    backs_off: bool,
    requests_max: u32,
    accounts: BTreeMap<Neighbour, Account>,
    /// All of them by their last use, and the blocked ones by when to ask.
    by_use: BTreeSet<(Instant, Neighbour)>,
    by_ask: BTreeSet<(Instant, Neighbour)>,
    /// Who was blocked and is not any more.
    unblocked: VecDeque<Neighbour>,
}

impl Credits {
    pub(crate) fn new(config: &Config) -> Credits {
        Credits {
            credits_max: config.credits_max.max(1),
            owed_max: config.credits_owed_max.max(1),
            interval: config.credit_interval,
            backs_off: config.timing == crate::Timing::Modern,
            requests_max: config.credit_requests_max,
            accounts: BTreeMap::new(),
            by_use: BTreeSet::new(),
            by_ask: BTreeSet::new(),
            unblocked: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether a fragment may go there.
    pub(crate) fn has(&mut self, now: Instant, to: Neighbour) -> bool {
        self.account(now, to).credit > 0
    }

    /// One goes there.
    pub(crate) fn spend(&mut self, now: Instant, to: Neighbour) {
        let account = self.account(now, to);
        assert!(account.credit > 0, "only who has credit spends it");
        account.credit -= 1;
    }

    /// Something waits that may not go there: ask, after a while.
    pub(crate) fn block(&mut self, now: Instant, to: Neighbour) {
        let interval = self.interval;
        let account = self.account(now, to);
        if account.ask_at.is_none() {
            account.interval = interval;
            self.set_ask(to, Some(now + interval));
        }
    }

    /// A fragment of a long unicast came from there.
    pub(crate) fn arrived(&mut self, now: Instant, from: Neighbour) {
        let account = self.account(now, from);
        account.held = account.held.saturating_add(1);
    }

    /// It is digested. Says how many credits to give, once that is worth a frame.
    pub(crate) fn released(&mut self, now: Instant, from: Neighbour) -> Option<u8> {
        let owed_max = self.owed_max;
        let account = self.account(now, from);
        account.held = account.held.saturating_sub(1);
        account.owed = account.owed.saturating_add(1);
        (account.owed >= owed_max).then(|| std::mem::take(&mut account.owed))
    }

    /// Credits that ride along on a fragment that goes there anyway.
    pub(crate) fn take_owed(&mut self, to: Neighbour) -> u8 {
        let account = self.accounts.get_mut(&to);
        account.map_or(0, |account| std::mem::take(&mut account.owed))
    }

    /// A neighbour gave so many more.
    pub(crate) fn on_credit(&mut self, now: Instant, from: Neighbour, count: u8) {
        let credits_max = self.credits_max;
        let account = self.account(now, from);
        account.credit = account.credit.saturating_add(count).min(credits_max);
        if account.credit > 0 {
            self.unblock(from);
        }
    }

    /// A neighbour said how many there are in all.
    pub(crate) fn on_absolute(&mut self, now: Instant, from: Neighbour, count: u8) {
        let credits_max = self.credits_max;
        let account = self.account(now, from);
        account.credit = count.min(credits_max);
        // None is no answer: who digests nothing for so long is given up, too.
        if account.credit > 0 {
            self.unblock(from);
        }
    }

    /// A neighbour asks; how many it has in all.
    pub(crate) fn on_request(&mut self, now: Instant, from: Neighbour) -> u8 {
        let credits_max = self.credits_max;
        let account = self.account(now, from);
        account.owed = 0;
        u8::try_from(u16::from(credits_max).saturating_sub(account.held))
            .expect("not more than there are at first")
    }

    /// When `expire` has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.by_ask.first().map(|(at, _)| *at)
    }

    /// Whether a neighbour was blocked and is not any more.
    pub(crate) fn has_unblocked(&self) -> bool {
        !self.unblocked.is_empty()
    }

    /// The next neighbour that was blocked and is not any more.
    pub(crate) fn poll_unblocked(&mut self) -> Option<Neighbour> {
        self.unblocked.pop_front()
    }

    /// Whom to ask, or to give up, by now. `waits` says whether anything waits for a neighbour.
    pub(crate) fn expire(&mut self, now: Instant, waits: impl Fn(Neighbour) -> bool) -> Vec<Due> {
        let by_now = self.by_ask.iter().take_while(|(at, _)| *at <= now);
        let mut by_now: Vec<Neighbour> = by_now.map(|(_, to)| *to).collect();
        by_now.sort_unstable();
        let mut due = Vec::new();
        for to in by_now {
            let account = self.accounts.get_mut(&to).expect("who is asked has one");
            if !waits(to) {
                self.unblock(to);
            } else if account.asked == self.requests_max {
                due.push(Due::GiveUp(to));
                self.remove(to);
            } else {
                account.asked += 1;
                if self.backs_off {
                    account.interval = account.interval.times(2);
                }
                let at = now + account.interval;
                self.set_ask(to, Some(at));
                due.push(Due::Ask(to));
            }
        }
        due
    }

    /// Closes accounts that nobody uses.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let by_use = self.by_use.iter();
        let idle = by_use.take_while(|(used, _)| now.since(*used) >= IDLE_MAX);
        let over: Vec<Neighbour> = idle
            .map(|(_, with)| *with)
            .filter(|with| self.accounts[with].ask_at.is_none())
            .collect();
        over.into_iter().for_each(|with| self.remove(with));
    }

    fn account(&mut self, now: Instant, with: Neighbour) -> &mut Account {
        if let Some(used) = self.accounts.get(&with).map(|account| account.used) {
            if used != now {
                self.by_use.remove(&(used, with));
                self.by_use.insert((now, with));
            }
        } else {
            if self.accounts.len() >= ACCOUNTS_LEN_MAX {
                let (_, oldest) = *self.by_use.first().expect("a full table");
                self.remove(oldest);
            }
            self.by_use.insert((now, with));
        }
        let fresh = Account {
            credit: self.credits_max,
            ask_at: None,
            interval: self.interval,
            asked: 0,
            held: 0,
            owed: 0,
            used: now,
        };
        let account = self.accounts.entry(with).or_insert(fresh);
        account.used = now;
        account
    }

    fn set_ask(&mut self, with: Neighbour, at: Option<Instant>) {
        let account = self.accounts.get_mut(&with).expect("an open account");
        if let Some(before) = std::mem::replace(&mut account.ask_at, at) {
            self.by_ask.remove(&(before, with));
        }
        self.by_ask.extend(at.map(|at| (at, with)));
    }

    fn unblock(&mut self, with: Neighbour) {
        let account = self.accounts.get_mut(&with).expect("an open account");
        account.asked = 0;
        if account.ask_at.is_some() {
            self.set_ask(with, None);
            self.unblocked.push_back(with);
        }
    }

    /// A neighbour without an account is not blocked: it would get a new one.
    fn remove(&mut self, with: Neighbour) {
        self.unblock(with);
        let account = self.accounts.remove(&with).expect("an open account");
        self.by_use.remove(&(account.used, with));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: Neighbour = (NetworkId(0), LinkAddress::Station(1));
    const T: Instant = Instant::ZERO;

    fn credits() -> Credits {
        Credits::new(&Config::amoeba5())
    }

    #[test]
    fn a_sender_without_credit_asks_four_times_and_gives_up() {
        // Scenario 50.
        let mut credits = credits();
        (0..8).for_each(|_| credits.spend(T, B));
        assert!(!credits.has(T, B));
        credits.block(T, B);
        for number in 1..=4 {
            let now = T + Duration::from_secs(2 * number);
            assert_eq!(credits.next_timeout(), Some(now));
            assert_eq!(credits.expire(now, |_| true), [Due::Ask(B)]);
        }
        let now = T + Duration::from_secs(10);
        assert_eq!(credits.expire(now, |_| true), [Due::GiveUp(B)]);
        assert_eq!(credits.next_timeout(), None);
    }

    #[test]
    fn credits_come_back_six_at_a_time_or_all_at_once() {
        // Scenarios 51 and 52.
        let mut credits = credits();
        (0..8).for_each(|_| credits.arrived(T, B));
        let given: Vec<_> = (0..6).filter_map(|_| credits.released(T, B)).collect();
        assert_eq!(given, [6]);
        credits.arrived(T, B);
        assert_eq!(credits.on_request(T, B), 5);
        assert_eq!(credits.take_owed(B), 0);
    }

    #[test]
    fn a_neighbour_cannot_give_more_than_there_are() {
        let mut credits = credits();
        credits.on_credit(T, B, 255);
        credits.on_absolute(T, B, 200);
        (0..8).for_each(|_| credits.spend(T, B));
        assert!(!credits.has(T, B));
    }

    #[test]
    fn accounts_have_a_bound_and_end() {
        let mut credits = credits();
        for station in 0..2 * ACCOUNTS_LEN_MAX as u64 {
            let from = (NetworkId(0), LinkAddress::Station(station));
            credits.arrived(T + Duration::from_micros(station), from);
        }
        assert_eq!(credits.accounts.len(), ACCOUNTS_LEN_MAX);
        credits.sweep(T + Duration::from_secs(400));
        assert!(credits.accounts.is_empty());
    }
}
