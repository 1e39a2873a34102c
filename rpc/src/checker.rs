//! What must hold of any run, as a pure function over what was seen at clients and servers.
//!
//! A request is executed at most once, wherever; a reply means once, and is the right one; "not
//! executed" means never, also later; a server's acknowledged reply means that the client's
//! transaction has ended. Scripts, storms and runs on real networks share this.

use std::collections::BTreeMap;
use std::fmt;

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The reply, and whether it is the one to this request.
    Replied {
        /// It is.
        is_right: bool,
    },
    /// Certainly not executed.
    NotExecuted,
    /// Executed once or not at all.
    ContactLost,
    /// The client itself went away.
    Crashed,
}

/// Everything that was seen of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What the client was told, each time.
    pub outcomes: Vec<Outcome>,
    /// Where it was executed, each time.
    pub executed: Vec<String>,
    /// A server was told that the client has its reply before the client had anything.
    pub acknowledged_early: bool,
    /// How often the server that executed was signalled.
    pub signals: u32,
}

/// A run: transactions by whatever names them.
#[derive(Clone, Debug)]
pub struct History<K> {
    /// What was seen of each.
    pub records: BTreeMap<K, Record>,
}

impl<K> Default for History<K> {
    fn default() -> History<K> {
        History {
            records: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> History<K> {
    /// The record of a transaction, made if it is new.
    pub fn of(&mut self, key: K) -> &mut Record {
        self.records.entry(key).or_default()
    }
}

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks what must hold at any time.
///
/// # Errors
/// The first violation, in the order of the transactions.
pub fn check_safety<K: Ord + fmt::Debug>(history: &History<K>) -> Result<(), Violation> {
    let records = history.records.iter();
    records
        .map(|(key, record)| check_record(record).map_err(|what| (key, record, what)))
        .find_map(Result::err)
        .map_or(Ok(()), |(key, record, what)| {
            Err(Violation(format!("{key:?} {what}: {record:?}")))
        })
}

/// Checks what must hold at the end: every transaction has ended, once.
///
/// # Errors
/// The first violation, in the order of the transactions.
pub fn check_complete<K: Ord + fmt::Debug>(history: &History<K>) -> Result<(), Violation> {
    check_safety(history)?;
    let mut open = history.records.iter();
    match open.find(|(_, record)| record.outcomes.is_empty()) {
        Some((key, record)) => Err(Violation(format!("{key:?} never ended: {record:?}"))),
        None => Ok(()),
    }
}

fn check_record(record: &Record) -> Result<(), &'static str> {
    let executions = record.executed.len();
    if executions > 1 {
        return Err("was executed twice");
    }
    if record.signals > 1 {
        return Err("was signalled twice");
    }
    if record.acknowledged_early {
        return Err("was acknowledged before it ended");
    }
    match record.outcomes[..] {
        [] | [Outcome::ContactLost | Outcome::Crashed] => Ok(()),
        [Outcome::Replied { is_right: false }] => Err("got a reply to something else"),
        [Outcome::Replied { is_right: true }] if executions != 1 => {
            Err("got a reply and was not executed")
        }
        [Outcome::Replied { .. }] => Ok(()),
        [Outcome::NotExecuted] if executions > 0 => Err("was executed, the client told otherwise"),
        [Outcome::NotExecuted] => Ok(()),
        [..] => Err("ended twice"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcomes: &[Outcome], executions: usize, expected: Option<&str>) {
        let mut history = History::default();
        *history.of(1) = Record {
            outcomes: outcomes.to_vec(),
            executed: vec!["s".to_string(); executions],
            ..Record::default()
        };
        let found = check_safety(&history).err().map(|violation| violation.0);
        let fits = match (&found, expected) {
            (Some(found), Some(expected)) => found.contains(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(fits, "{outcomes:?} {executions}: {found:?}");
    }

    #[test]
    fn each_promise_is_checked() {
        let right = Outcome::Replied { is_right: true };
        check(&[right], 1, None);
        check(&[right], 0, Some("not executed"));
        check(&[right], 2, Some("twice"));
        check(&[right, right], 1, Some("ended twice"));
        check(
            &[Outcome::Replied { is_right: false }],
            1,
            Some("something else"),
        );
        check(&[Outcome::NotExecuted], 0, None);
        check(&[Outcome::NotExecuted], 1, Some("told otherwise"));
        check(&[Outcome::ContactLost], 1, None);
        check(&[Outcome::ContactLost], 0, None);
        check(&[], 1, None);
        let mut open: History<u8> = History::default();
        open.of(1);
        assert!(check_complete(&open).is_err());
    }
}
