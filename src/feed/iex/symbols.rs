//! From a symbol to its book: IEX's messages name their security by symbol alone.
//!
//! Open addressing in an array that is at most half full and never grows, so that a symbol nobody follows costs about as
//! much as one that is, and neither allocates.

use crate::feed::book::BookIndex;
use crate::types::Symbol;

#[derive(Debug)]
pub(super) struct Symbols {
    /// A power of two of them.
    slots: Vec<Option<(Symbol, BookIndex)>>,
    count: usize,
}

impl Symbols {
    /// A table for at most `symbols_max` symbols.
    pub(super) fn new(symbols_max: usize) -> Symbols {
        let slots = (symbols_max * 2).next_power_of_two().max(2);
        Symbols { slots: vec![None; slots], count: 0 }
    }

    /// Where a search for the symbol begins.
    #[inline]
    fn start(&self, symbol: Symbol) -> usize {
        // 2^64 divided by the golden ratio: the high bits of the product depend on every byte of the symbol.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u64::from_be_bytes(symbol.wire()).wrapping_mul(SPREAD);
        let bits = self.slots.len().trailing_zeros();
        usize::try_from(product >> (64 - bits)).expect("fewer than 2^32 slots")
    }

    /// The symbol's slot, or the free one where it belongs.
    #[inline]
    fn slot(&self, symbol: Symbol) -> usize {
        let mut at = self.start(symbol);
        // Ends: half of the slots are free.
        while self.slots[at].is_some_and(|(other, _)| other != symbol) {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    #[inline]
    pub(super) fn find(&self, symbol: Symbol) -> Option<BookIndex> {
        self.slots[self.slot(symbol)].map(|(_, book)| book)
    }

    /// Adds a symbol, or gives it another book.
    ///
    /// # Panics
    /// If there are more symbols than the table is for.
    pub(super) fn insert(&mut self, symbol: Symbol, book: BookIndex) {
        let at = self.slot(symbol);
        if self.slots[at].is_none() {
            self.count += 1;
            assert!(self.count * 2 <= self.slots.len(), "{} symbols are too many", self.count);
        }
        self.slots[at] = Some((symbol, book));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(number: u16) -> Symbol {
        Symbol::new(&format!("S{number}")).expect("a symbol")
    }

    #[test]
    fn every_symbol_is_found_and_no_other() {
        let mut symbols = Symbols::new(1_000);
        for number in 0..1_000 {
            assert_eq!(symbols.find(symbol(number)), None);
            symbols.insert(symbol(number), BookIndex(number));
        }
        for number in 0..2_000 {
            let expected = (number < 1_000).then_some(BookIndex(number));
            assert_eq!(symbols.find(symbol(number)), expected);
        }
    }

    #[test]
    fn symbols_that_begin_at_one_slot_are_told_apart() {
        let mut symbols = Symbols::new(8);
        let start = symbols.start(symbol(0));
        let same: Vec<u16> =
            (0..u16::MAX).filter(|&n| symbols.start(symbol(n)) == start).take(9).collect();
        for &number in &same[..8] {
            symbols.insert(symbol(number), BookIndex(number));
        }
        for &number in &same[..8] {
            assert_eq!(symbols.find(symbol(number)), Some(BookIndex(number)));
        }
        assert_eq!(symbols.find(symbol(same[8])), None);
    }

    #[test]
    #[should_panic(expected = "too many")]
    fn more_symbols_than_there_is_room_for_are_a_bug() {
        let mut symbols = Symbols::new(2);
        for number in 0..3 {
            symbols.insert(symbol(number), BookIndex(number));
        }
    }
}
