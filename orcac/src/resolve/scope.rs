//! One level of names, and the nearest name to one that is not there.
//!
//! A scope knows nothing about what its names mean; `typecheck` stacks scopes and says what an entity is.
//!
//! Implements: ORCA.md 3.2.

use std::collections::BTreeMap;

use crate::source::Span;
use crate::symbol::{Interner, Symbol};

/// A declared name.
#[derive(Clone, Debug)]
pub struct Entry<E> {
    /// What it means.
    pub entity: E,
    /// Where it was declared or imported; `None`: given by the unit itself.
    pub span: Option<Span>,
    /// Whether it was looked up.
    pub used: bool,
    /// Whether an import brought it.
    pub imported: bool,
}

/// The names of one level.
#[derive(Clone, Debug)]
pub struct Scope<E> {
    names: BTreeMap<Symbol, Entry<E>>,
}

impl<E> Default for Scope<E> {
    fn default() -> Self {
        Scope {
            names: BTreeMap::new(),
        }
    }
}

impl<E: Clone> Scope<E> {
    /// Declares a name, or gives back where it was declared before.
    pub fn declare(
        &mut self,
        name: Symbol,
        entity: E,
        span: Option<Span>,
    ) -> Result<(), Option<Span>> {
        self.insert(name, entity, span, false)
    }

    /// Declares a name that an import brings.
    pub fn import(&mut self, name: Symbol, entity: E, span: Span) -> Result<(), Option<Span>> {
        self.insert(name, entity, Some(span), true)
    }

    fn insert(
        &mut self,
        name: Symbol,
        entity: E,
        span: Option<Span>,
        imported: bool,
    ) -> Result<(), Option<Span>> {
        if let Some(known) = self.names.get(&name) {
            return Err(known.span);
        }
        self.names.insert(
            name,
            Entry {
                entity,
                span,
                used: false,
                imported,
            },
        );
        Ok(())
    }

    /// Replaces what a name means.
    pub fn replace(&mut self, name: Symbol, entity: E) {
        if let Some(entry) = self.names.get_mut(&name) {
            entry.entity = entity;
        }
    }

    /// What a name means; it counts as used from now on.
    pub fn look_up(&mut self, name: Symbol) -> Option<E> {
        let entry = self.names.get_mut(&name)?;
        entry.used = true;
        Some(entry.entity.clone())
    }

    /// What a name means, without using it.
    pub fn get(&self, name: Symbol) -> Option<&Entry<E>> {
        self.names.get(&name)
    }

    /// All names, in the order of their symbols.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &Entry<E>)> {
        self.names.iter().map(|(&name, entry)| (name, entry))
    }
}

/// The name among `candidates` that `wanted` most likely was meant to be.
pub fn nearest(
    interner: &Interner,
    wanted: Symbol,
    candidates: impl Iterator<Item = Symbol>,
) -> Option<String> {
    let text = interner.name(wanted);
    nearest_text(text, candidates.map(|symbol| interner.name(symbol)))
}

/// The same over texts.
pub fn nearest_text<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let limit = match wanted.len() {
        0..=1 => return None,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    candidates
        .filter(|candidate| *candidate != wanted)
        .map(|candidate| (distance(wanted, candidate, limit), candidate))
        .filter(|&(distance, candidate)| distance <= limit && distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two names, as far as `limit`;
/// a difference of case counts half, rounded up over the whole.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    if a.eq_ignore_ascii_case(b) {
        return 1;
    }
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (previous[j] + 1)
                .min(row[j - 1] + 1)
                .min(previous[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_slip_away() {
        let names = ["count", "counter", "value", "i"];
        let near = |wanted| nearest_text(wanted, names.into_iter());
        assert_eq!(near("conut").as_deref(), Some("count"));
        assert_eq!(near("Value").as_deref(), Some("value"));
        assert_eq!(near("j"), None);
        assert_eq!(near("whatever"), None);
    }
}
