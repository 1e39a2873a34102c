//! Properties of a run, as pure functions from traces to the first violation. Scripts, storms and
//! runs over real sockets share them.
//!
//! Implements: [Thesis §3.2] reliable, totally ordered; [Thesis §3.4.1].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use flip_net::address::FlipAddress;

use crate::seq::{MemberIndex, MessageId, SeqNo};

/// One delivery as a member saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<T> {
    /// Its number.
    pub seq: SeqNo,
    /// Who sent it.
    pub from: MemberIndex,
    /// The sender's id of it.
    pub id: MessageId,
    /// What it says.
    pub data: T,
}

/// What one member did, in its own order.
#[derive(Clone, Debug)]
pub struct Trace<T> {
    /// A name for reports, unique in the run.
    pub name: String,
    /// Who it was in the group, once it was in.
    pub member: Option<MemberIndex>,
    /// The first number it was to deliver.
    pub first: SeqNo,
    /// The first number it was not to deliver any more: behind its own leave, or as far as the run
    /// went.
    pub end: SeqNo,
    /// What it sent, in order.
    pub sent: Vec<(MessageId, T)>,
    /// Which of that it was told to have failed, as places in `sent`.
    pub failed: BTreeSet<usize>,
    /// What it delivered, in order.
    pub delivered: Vec<Delivery<T>>,
    /// The changes of the group that it was told of, in order.
    pub changes: Vec<(SeqNo, Change)>,
    /// Where it was when it was told that the group was broken: the first number not delivered.
    pub aborts: Vec<SeqNo>,
    /// The lives of the group that it was in: from which number on, and the group's address.
    pub lives: Vec<(SeqNo, FlipAddress)>,
}

/// A change of the group, in the total order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody came.
    Joined(MemberIndex),
    /// Somebody left.
    Left(MemberIndex),
    /// The group was formed anew.
    Reset {
        /// Who is in.
        members: Vec<MemberIndex>,
        /// Who is out.
        removed: Vec<MemberIndex>,
        /// Who numbers.
        sequencer: MemberIndex,
    },
}

impl<T> Trace<T> {
    /// An empty trace.
    pub fn new(name: impl Into<String>) -> Trace<T> {
        Trace {
            name: name.into(),
            member: None,
            first: SeqNo::FIRST,
            end: SeqNo::FIRST,
            sent: Vec::new(),
            failed: BTreeSet::new(),
            delivered: Vec::new(),
            changes: Vec::new(),
            aborts: Vec::new(),
            lives: Vec::new(),
        }
    }

    /// The life of the group that gave a number.
    fn life(&self, seq: SeqNo) -> Option<FlipAddress> {
        let before = self.lives.iter().rev();
        let mut before = before.skip_while(|(from, _)| from.is_after(seq));
        before.next().map(|(_, group)| *group)
    }

    /// Notes that the last request with this id failed.
    pub fn fail(&mut self, id: MessageId) {
        self.failed
            .extend(self.sent.iter().rposition(|(sent, _)| *sent == id));
    }

    /// Whether a number was delivered only when the group was formed anew without `other`: it had
    /// been tentative.
    fn was_in_tail(&self, seq: SeqNo, other: Option<MemberIndex>) -> bool {
        let mut later = self.changes.iter().filter_map(|(at, change)| {
            let item = Item::<T>::Change(change);
            (item.is_reset() && !seq.is_after(*at)).then_some((*at, item))
        });
        let Some((reset, item)) = later.next() else {
            return false;
        };
        let aborted_behind = |at: &&SeqNo| at.is_after(seq) && !at.is_after(reset);
        item.removes(other).is_some() && self.aborts.iter().find(aborted_behind).is_none()
    }

    /// What lies at each number.
    fn items(&self) -> BTreeMap<u32, Item<'_, T>> {
        let data = self.delivered.iter();
        let data = data.map(|delivery| (delivery.seq.value(), Item::Data(delivery)));
        let changes = self.changes.iter();
        let changes = changes.map(|(seq, change)| (seq.value(), Item::Change(change)));
        data.chain(changes).collect()
    }
}

/// What one number was at one member.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item<'a, T> {
    Data(&'a Delivery<T>),
    Change(&'a Change),
}

impl<T> Item<'_, T> {
    fn is_reset(&self) -> bool {
        matches!(self, Item::Change(Change::Reset { .. }))
    }

    /// Whether here the group went on without this member, and how many it lost by that.
    fn removes(&self, member: Option<MemberIndex>) -> Option<usize> {
        match self {
            Item::Change(Change::Reset {
                members, removed, ..
            }) if !member.is_some_and(|member| members.contains(&member)) => Some(removed.len()),
            _ => None,
        }
    }
}

/// What went wrong first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which property.
    pub property: &'static str,
    /// Who saw what.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken: {}", self.property, self.what)
    }
}

fn broken<T>(property: &'static str, what: String) -> Result<T, Violation> {
    Err(Violation { property, what })
}

/// Everything that holds at any moment of a run.
///
/// # Errors
/// The first violation.
pub fn check_safety<T: PartialEq + fmt::Debug>(traces: &[Trace<T>]) -> Result<(), Violation> {
    check_resilient(traces, 0)
}

/// The same for a group with resilience: what was delivered anywhere is delivered by those who go on,
/// unless more members than that are lost at once.
///
/// # Errors
/// The first violation.
pub fn check_resilient<T: PartialEq + fmt::Debug>(
    traces: &[Trace<T>],
    resilience: u8,
) -> Result<(), Violation> {
    for trace in traces {
        check_ascending(trace)?;
        check_failed(trace)?;
    }
    check_same_order(traces, usize::from(resilience))?;
    check_nothing_invented(traces)?;
    for trace in traces {
        check_sender_order(trace)?;
    }
    Ok(())
}

/// What must hold when a run has come to rest: nothing is missing anywhere, and what a member sent
/// was delivered, if `all_sent` says that it got the time for it.
///
/// # Errors
/// The first violation.
pub fn check_complete<T: PartialEq + fmt::Debug>(
    traces: &[Trace<T>],
    all_sent: bool,
) -> Result<(), Violation> {
    check_safety(traces)?;
    let mut data_numbers: BTreeMap<u32, ()> = BTreeMap::new();
    for delivery in traces.iter().flat_map(|trace| &trace.delivered) {
        data_numbers.insert(delivery.seq.value(), ());
    }
    for trace in traces {
        check_no_gap(trace, &data_numbers)?;
        if all_sent {
            check_own_delivered(trace)?;
        }
    }
    Ok(())
}

/// No member sees a number twice or going back.
fn check_ascending<T>(trace: &Trace<T>) -> Result<(), Violation> {
    for pair in trace.delivered.windows(2) {
        if !pair[1].seq.is_after(pair[0].seq) {
            let what = format!(
                "{} delivered {} after {}",
                trace.name, pair[1].seq, pair[0].seq
            );
            return broken("no duplicate", what);
        }
    }
    Ok(())
}

/// A number means the same everywhere, up to where a group went on without a member.
fn check_same_order<T: PartialEq + fmt::Debug>(
    traces: &[Trace<T>],
    resilience: usize,
) -> Result<(), Violation> {
    let items: Vec<BTreeMap<u32, Item<'_, T>>> = traces.iter().map(Trace::items).collect();
    for (index, a) in traces.iter().enumerate() {
        for (b, b_items) in traces.iter().zip(&items).skip(index + 1) {
            check_agree((a, &items[index]), (b, b_items), resilience)?;
        }
    }
    Ok(())
}

type Log<'a, T> = (&'a Trace<T>, &'a BTreeMap<u32, Item<'a, T>>);

fn check_agree<T: PartialEq + fmt::Debug>(
    (a, a_items): Log<'_, T>,
    (b, b_items): Log<'_, T>,
    resilience: usize,
) -> Result<(), Violation> {
    let mut seq = a.first.latest(b.first);
    let end = a.end.earliest(b.end);
    while end.is_after(seq) {
        if a.life(seq) != b.life(seq) {
            // One of them came when the group was in two parts already.
            return Ok(());
        }
        let (at_a, at_b) = (a_items.get(&seq.value()), b_items.get(&seq.value()));
        if at_a != at_b {
            // What one side has lost may only be what more crashes than provided for have taken.
            let parts = |item: Option<&Item<'_, T>>, other: &Trace<T>| {
                item.and_then(|item| item.removes(other.member))
            };
            let lost = match (parts(at_a, b), parts(at_b, a)) {
                (Some(_), Some(_)) => return Ok(()),
                // Of two results one was never decided, but had to be taken for it.
                _ if at_a.is_some_and(Item::is_reset) && at_b.is_some_and(Item::is_reset) => {
                    return Ok(());
                }
                (Some(_), None) if b.was_in_tail(seq, a.member) => return Ok(()),
                (None, Some(_)) if a.was_in_tail(seq, b.member) => return Ok(()),
                (Some(lost), None) | (None, Some(lost)) => lost,
                (None, None) => 0,
            };
            if lost == 0 || (resilience > 0 && lost <= resilience) {
                let what = format!("{seq} is {at_a:?} at {} and {at_b:?} at {}", a.name, b.name);
                let is_gap = at_a.is_none() || at_b.is_none();
                return broken(if is_gap { "no gap" } else { "total order" }, what);
            }
            return Ok(());
        }
        seq = seq.next();
    }
    Ok(())
}

/// What failed was not delivered by who was told so.
fn check_failed<T: PartialEq + fmt::Debug>(trace: &Trace<T>) -> Result<(), Violation> {
    for (id, data) in trace.failed.iter().map(|&place| &trace.sent[place]) {
        let delivered = trace.delivered.iter().any(|delivery| {
            Some(delivery.from) == trace.member && delivery.id == *id && delivery.data == *data
        });
        if delivered {
            let what = format!("{} delivered {id} {data:?}, which had failed", trace.name);
            return broken("failed is not delivered", what);
        }
    }
    Ok(())
}

/// What is delivered was sent, by the one it names, with that content.
fn check_nothing_invented<T: PartialEq + fmt::Debug>(traces: &[Trace<T>]) -> Result<(), Violation> {
    for trace in traces {
        for delivery in &trace.delivered {
            let was_sent = traces
                .iter()
                .filter(|sender| sender.member == Some(delivery.from))
                .flat_map(|sender| &sender.sent)
                .any(|(id, data)| *id == delivery.id && *data == delivery.data);
            if !was_sent {
                let what = format!(
                    "{} delivered {} {}{} {:?}, which nobody sent",
                    trace.name, delivery.seq, delivery.from, delivery.id, delivery.data
                );
                return broken("nothing invented", what);
            }
        }
    }
    Ok(())
}

/// Each sender's messages come in the order it sent them. A slot may be used by one member after
/// another; then ids begin again.
fn check_sender_order<T>(trace: &Trace<T>) -> Result<(), Violation> {
    let mut last: BTreeMap<MemberIndex, (MessageId, SeqNo)> = BTreeMap::new();
    for delivery in &trace.delivered {
        let known = last.insert(delivery.from, (delivery.id, delivery.seq));
        if let Some((id, seq)) = known {
            let changed = trace
                .changes
                .iter()
                .any(|(change, _)| change.is_after(seq) && delivery.seq.is_after(*change));
            if !delivery.id.is_after(id) && !changed {
                let what = format!(
                    "{} delivered {}{} after {}{id}",
                    trace.name, delivery.from, delivery.id, delivery.from
                );
                return broken("sender order", what);
            }
        }
    }
    Ok(())
}

/// Every data number between a member's first and end was delivered by it.
fn check_no_gap<T>(trace: &Trace<T>, data_numbers: &BTreeMap<u32, ()>) -> Result<(), Violation> {
    let mut delivered = trace
        .delivered
        .iter()
        .map(|delivery| delivery.seq)
        .peekable();
    let mut seq = trace.first;
    while trace.end.is_after(seq) {
        while delivered.peek().is_some_and(|next| seq.is_after(*next)) {
            delivered.next();
        }
        if data_numbers.contains_key(&seq.value()) && delivered.peek() != Some(&seq) {
            return broken("no gap", format!("{} never delivered {seq}", trace.name));
        }
        seq = seq.next();
    }
    Ok(())
}

fn check_own_delivered<T>(trace: &Trace<T>) -> Result<(), Violation> {
    for (place, (id, _)) in trace.sent.iter().enumerate() {
        if trace.failed.contains(&place) {
            continue;
        }
        let delivered = trace
            .delivered
            .iter()
            .any(|delivery| Some(delivery.from) == trace.member && delivery.id == *id);
        if !delivered {
            let what = format!("{} sent {id} and never delivered it", trace.name);
            return broken("sent is delivered", what);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(seq: u32, from: u16, id: u32) -> Delivery<u32> {
        Delivery {
            seq: SeqNo::new(seq),
            from: MemberIndex::new(from),
            id: MessageId::new(id),
            data: id,
        }
    }

    /// Two members; m0 sent ids 1 to 3, both delivered what the lists say.
    fn traces(lists: [&[(u32, u16, u32)]; 2]) -> Vec<Trace<u32>> {
        let trace = |member: u16, list: &[(u32, u16, u32)]| Trace {
            member: Some(MemberIndex::new(member)),
            end: SeqNo::new(4),
            sent: if member == 0 {
                (1..=3).map(|id| (MessageId::new(id), id)).collect()
            } else {
                Vec::new()
            },
            delivered: list
                .iter()
                .map(|&(seq, from, id)| delivery(seq, from, id))
                .collect(),
            ..Trace::new(format!("m{member}"))
        };
        vec![trace(0, lists[0]), trace(1, lists[1])]
    }

    fn check_broken(lists: [&[(u32, u16, u32)]; 2], property: &str) {
        let found = check_complete(&traces(lists), true).expect_err("a violation");
        assert_eq!(found.property, property, "{found}");
    }

    const GOOD: &[(u32, u16, u32)] = &[(1, 0, 1), (2, 0, 2), (3, 0, 3)];

    #[test]
    fn a_good_run_passes() {
        assert_eq!(check_complete(&traces([GOOD, GOOD]), true), Ok(()));
    }

    #[test]
    fn each_violation_is_found() {
        check_broken([GOOD, &[(1, 0, 1), (3, 0, 3)]], "no gap");
        check_broken([GOOD, &[(1, 0, 1), (1, 0, 1)]], "no duplicate");
        check_broken([GOOD, &[(1, 0, 2), (2, 0, 1), (3, 0, 3)]], "total order");
        check_broken([&[(4, 0, 9)], &[]], "nothing invented");
        let swapped: &[_] = &[(1, 0, 2), (2, 0, 1), (3, 0, 3)];
        check_broken([swapped, swapped], "sender order");
        let short: &[_] = &[(1, 0, 1), (2, 0, 2)];
        check_broken([short, short], "sent is delivered");
    }
}
