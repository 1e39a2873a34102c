//! Interned names: a `Symbol` is a small number that stands for a text, equal exactly when the texts are.
//!
//! The interner belongs to the session; there is no global table. String literals are interned too, by their
//! contents after escapes are resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

/// An interned text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Symbol(u32);

impl Symbol {
    /// The empty text: the name of something whose name did not parse. Nobody complains of it a second time.
    pub const MISSING: Symbol = Symbol(0);

    /// The position in the interner's table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The table behind `Symbol`.
#[derive(Debug)]
pub struct Interner {
    by_text: BTreeMap<Arc<str>, Symbol>,
    texts: Vec<Arc<str>>,
}

impl Default for Interner {
    fn default() -> Interner {
        let mut interner = Interner {
            by_text: BTreeMap::new(),
            texts: Vec::new(),
        };
        assert_eq!(
            interner.intern(""),
            Symbol::MISSING,
            "the empty text comes first"
        );
        interner
    }
}

impl Interner {
    /// The symbol of `text`, new or known.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.by_text.get(text) {
            return symbol;
        }
        let symbol = Symbol(u32::try_from(self.texts.len()).expect("fewer than 2^32 names"));
        let shared: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&shared));
        self.by_text.insert(shared, symbol);
        symbol
    }

    /// The symbol of `text` if some phase has interned it before.
    pub fn lookup(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).copied()
    }

    /// The text of a symbol.
    pub fn name(&self, symbol: Symbol) -> &str {
        &self.texts[symbol.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_symbol_and_others_do_not() {
        let mut interner = Interner::default();
        let a = interner.intern("value");
        let b = interner.intern("Value");
        assert_ne!(a, b);
        assert_eq!(a, interner.intern("value"));
        assert_eq!(interner.name(b), "Value");
        assert_eq!(interner.lookup("other"), None);
    }
}
