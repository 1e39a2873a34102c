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

    /// The resets at or behind a number.
    fn resets_from(&self, seq: SeqNo) -> impl Iterator<Item = (SeqNo, &Change)> {
        let changes = self.changes.iter();
        changes
            .filter(move |(at, change)| change.is_reset() && !seq.is_after(*at))
            .map(|(at, change)| (*at, change))
    }

    /// Whether what lies at a number came of forming the group anew: the result itself, or what was
    /// tentative until then. Who leaves by it sees no result.
    fn came_of_reset(&self, seq: SeqNo) -> bool {
        let reset_since = |abort: SeqNo| {
            let mut resets = self.resets_from(abort);
            resets.next().is_some_and(|(reset, _)| seq.is_after(reset))
        };
        let mut aborts = self.aborts.iter();
        if aborts.any(|&abort| !abort.is_after(seq) && !reset_since(abort)) {
            return true;
        }
        let Some((reset, _)) = self.resets_from(seq).next() else {
            return false;
        };
        let aborted_behind = |at: &SeqNo| at.is_after(seq) && !at.is_after(reset);
        !self.aborts.iter().any(aborted_behind)
    }

    /// The life that begins with the next reset at or behind a number.
    fn life_after(&self, seq: SeqNo) -> Option<FlipAddress> {
        let (reset, _) = self.resets_from(seq).next()?;
        self.life(reset.next())
    }

    /// How many members the group had lost when it went on without this one.
    fn lost_until_without(&self, seq: SeqNo, member: Option<MemberIndex>) -> Option<usize> {
        let mut lost = 0;
        for (_, change) in self.resets_from(seq) {
            if let Change::Reset {
                members, removed, ..
            } = change
            {
                lost += removed.len();
                if !member.is_some_and(|member| members.contains(&member)) {
                    return Some(lost);
                }
            }
        }
        None
    }

    fn had_life(&self, life: FlipAddress) -> bool {
        self.lives.iter().any(|(_, known)| *known == life)
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

impl Change {
    fn is_reset(&self) -> bool {
        matches!(self, Change::Reset { .. })
    }
}

/// What one number was at one member.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item<'a, T> {
    Data(&'a Delivery<T>),
    Change(&'a Change),
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
    check_consent(traces)?;
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
            if is_leave_of(at_a, b.member) || is_leave_of(at_b, a.member) {
                // Who has left may not know it, and nobody keeps anything for it.
                return Ok(());
            }
            if is_parting(seq, a, b, resilience) {
                return Ok(());
            }
            let what = format!("{seq} is {at_a:?} at {} and {at_b:?} at {}", a.name, b.name);
            let is_gap = at_a.is_none() || at_b.is_none();
            return broken(if is_gap { "no gap" } else { "total order" }, what);
        }
        seq = seq.next();
    }
    Ok(())
}

fn is_leave_of<T>(item: Option<&Item<'_, T>>, member: Option<MemberIndex>) -> bool {
    matches!(item, Some(Item::Change(Change::Left(left))) if Some(*left) == member)
}

/// Whether two members may see different things from this number on: the group fell apart, and what one
/// part has lost is what more crashes than provided for have taken.
fn is_parting<T>(seq: SeqNo, a: &Trace<T>, b: &Trace<T>, resilience: usize) -> bool {
    match (a.came_of_reset(seq), b.came_of_reset(seq)) {
        (false, false) => false,
        (true, true) => {
            let lives = (a.life_after(seq), b.life_after(seq));
            !matches!(lives, (Some(a), Some(b)) if a == b)
        }
        (true, false) => is_left_behind(seq, b, a, resilience),
        (false, true) => is_left_behind(seq, a, b, resilience),
    }
}

/// Whether those that went on could lose what `left` had delivered.
fn is_left_behind<T>(seq: SeqNo, left: &Trace<T>, went_on: &Trace<T>, resilience: usize) -> bool {
    match went_on.lost_until_without(seq, left.member) {
        Some(lost) => lost > resilience || resilience == 0,
        None => went_on
            .life_after(seq)
            .is_some_and(|life| !left.had_life(life)),
    }
}

/// A group that was formed anew, and in which something was said, was formed by all that are in it: none
/// of them went another way.
fn check_consent<T: PartialEq + fmt::Debug>(traces: &[Trace<T>]) -> Result<(), Violation> {
    for trace in traces {
        for (reset, change) in trace.resets_from(trace.first) {
            let (before, after) = (trace.life(reset), trace.life(reset.next()));
            let Change::Reset { members, .. } = change else {
                continue;
            };
            let was_used = trace.delivered.iter().any(|delivery| {
                trace.life(delivery.seq) == after && !trace.came_of_reset(delivery.seq)
            });
            let others = traces.iter().filter(|other| {
                let is_in = other.member.is_some_and(|member| members.contains(&member));
                is_in && other.life(reset) == before && other.end.is_after(reset)
            });
            for other in others {
                if was_used && other.life(reset.next()) != after {
                    let what = format!(
                        "{} is in the group that {} formed at {reset}, and went another way",
                        other.name, trace.name
                    );
                    return broken("consent", what);
                }
            }
        }
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
