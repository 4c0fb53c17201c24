//! From the number an instrument has at the gateway we read from to its book here: the two are numbered apart, and what they
//! have in common is the symbol.
//!
//! Open addressing in an array that is at most half full and never grows.

use crate::feed::book::BookIndex;
use crate::types::InstrumentId;

/// A number and a book that do not go together: one of them goes with another already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

#[derive(Debug)]
pub(super) struct Instruments {
    /// A power of two of them.
    slots: Vec<Option<(InstrumentId, BookIndex)>>,
    /// The number of each book.
    numbers: Vec<Option<InstrumentId>>,
    /// Books that have none.
    nameless: usize,
}

impl Instruments {
    /// For so many books, none of which has a number.
    pub(super) fn new(books: usize) -> Instruments {
        let slots = (books.max(1) * 2).next_power_of_two();
        Instruments { slots: vec![None; slots], numbers: vec![None; books], nameless: books }
    }

    /// Where a search for the number begins.
    #[inline]
    fn start(&self, number: InstrumentId) -> usize {
        // 2^64 divided by the golden ratio: the high bits of the product depend on every bit of the number.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u64::from(number.0).wrapping_mul(SPREAD);
        let bits = self.slots.len().trailing_zeros();
        usize::try_from(product >> (64 - bits)).expect("fewer than 2^32 slots")
    }

    /// The number's slot, or the free one where it belongs.
    #[inline]
    fn slot(&self, number: InstrumentId) -> usize {
        let mut at = self.start(number);
        // Ends: half of the slots are free, since there is one for each book at most.
        while self.slots[at].is_some_and(|(other, _)| other != number) {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    /// The book with this number.
    #[inline]
    pub(super) fn book(&self, number: InstrumentId) -> Option<BookIndex> {
        self.slots[self.slot(number)].map(|(_, book)| book)
    }

    /// Gives a book its number; `Ok(true)` if it had none. `book` is that of the instrument the number is now said to be, if
    /// that is followed.
    ///
    /// # Errors
    /// [`Contradiction`] if the number is another book's or the book has another number; nothing was changed then.
    pub(super) fn set(
        &mut self,
        number: InstrumentId,
        book: Option<BookIndex>,
    ) -> Result<bool, Contradiction> {
        let at = self.slot(number);
        let held = self.slots[at].map(|(_, held)| held);
        match (held, book) {
            (None, None) => Ok(false),
            (Some(held), Some(book)) if held == book => Ok(false),
            (None, Some(book)) if self.numbers[book.index()].is_none() => {
                self.slots[at] = Some((number, book));
                self.numbers[book.index()] = Some(number);
                self.nameless -= 1;
                Ok(true)
            }
            (Some(_) | None, _) => Err(Contradiction),
        }
    }

    /// No book has a number any more.
    pub(super) fn clear(&mut self) {
        self.slots.fill(None);
        self.numbers.fill(None);
        self.nameless = self.numbers.len();
    }

    /// How many books have no number.
    pub(super) const fn nameless(&self) -> usize {
        self.nameless
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_number_leads_to_its_book_and_neither_goes_with_another() {
        const BOOKS: u16 = 100;
        let mut state = 7_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from((state >> 32) % bound).expect("32 bits")
        };
        let mut instruments = Instruments::new(usize::from(BOOKS));
        for _ in 0..20 {
            let mut naive: BTreeMap<InstrumentId, BookIndex> = BTreeMap::new();
            for _ in 0..2_000 {
                let number = InstrumentId(below(300));
                let book = (below(3) > 0).then(|| BookIndex(u16::try_from(below(100)).expect("")));
                let held = naive.get(&number).copied();
                let is_free = book.is_some_and(|book| !naive.values().any(|other| *other == book));
                let expected = match (held, book) {
                    (None, Some(_)) if is_free => Ok(true),
                    (held, book) if held == book => Ok(false),
                    _ => Err(Contradiction),
                };
                assert_eq!(instruments.set(number, book), expected);
                if let (Ok(true), Some(book)) = (expected, book) {
                    naive.insert(number, book);
                }
            }
            assert_eq!(instruments.nameless(), usize::from(BOOKS) - naive.len());
            for number in (0..300).map(InstrumentId) {
                assert_eq!(instruments.book(number), naive.get(&number).copied(), "{number}");
            }
            instruments.clear();
            assert!((0..300).all(|number| instruments.book(InstrumentId(number)).is_none()));
        }
    }

    #[test]
    fn without_books_nothing_is_found() {
        assert_eq!(Instruments::new(0).book(InstrumentId(1)), None);
    }
}
