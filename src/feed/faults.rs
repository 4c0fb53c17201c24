//! Why books are stale: what did not fit them, and what there was no room for.
//!
//! Everything is allocated at start. A message that fits costs nothing.

use crate::feed::book::{BookIndex, Misfit, Refusal};
use crate::types::Symbol;

/// Securities without a book that are remembered by name.
pub const NAMED_MAX: usize = 256;

/// Words of 64 bits for all stock locates.
const LOCATE_WORDS: usize = 65_536 / 64;

/// Messages that did not fit their book, by why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MisfitCounts {
    /// About orders that are not known.
    pub unknown_orders: u64,
    /// Orders that would enter under the number of one that stands, by an add or a replace.
    pub duplicate_orders: u64,
    /// More shares than the order has left: its quantity would be negative.
    pub excess_shares: u64,
    /// No shares where there have to be some.
    pub zero_shares: u64,
    /// About an order, or a symbol, of another security.
    pub wrong_securities: u64,
    /// Orders there was no room for.
    pub orders_full: u64,
    /// About securities there was no room for.
    pub books_full: u64,
    /// Orders at prices where there was no room for their shares.
    pub levels_full: u64,
}

impl MisfitCounts {
    const fn of(&mut self, misfit: Misfit) -> &mut u64 {
        match misfit {
            Misfit::UnknownOrder => &mut self.unknown_orders,
            Misfit::DuplicateOrder => &mut self.duplicate_orders,
            Misfit::TooManyShares => &mut self.excess_shares,
            Misfit::ZeroShares => &mut self.zero_shares,
            Misfit::WrongSecurity => &mut self.wrong_securities,
            Misfit::OrdersFull => &mut self.orders_full,
            Misfit::BooksFull => &mut self.books_full,
            Misfit::LevelFull => &mut self.levels_full,
        }
    }
}

/// What went wrong with the books of a channel.
#[derive(Debug)]
pub struct Faults {
    /// By book: what made it stale.
    first: Vec<Option<Misfit>>,
    /// By stock locate, a bit each: whether the security has no book for want of room.
    without_book: Box<[u64]>,
    without_book_count: u32,
    named: Vec<Symbol>,
    counts: MisfitCounts,
}

impl Faults {
    /// None yet, of at most so many books. Allocates all there is.
    pub fn new(books_max: usize) -> Faults {
        Faults {
            first: vec![None; books_max],
            without_book: vec![0; LOCATE_WORDS].into_boxed_slice(),
            without_book_count: 0,
            named: Vec::with_capacity(NAMED_MAX),
            counts: MisfitCounts::default(),
        }
    }

    /// A message with this stock locate was refused; `symbol` is the one it names, if it names one.
    #[cold]
    pub fn note(
        &mut self,
        refusal: &Refusal,
        locate: u16,
        symbol: impl FnOnce() -> Option<Symbol>,
    ) {
        if let Some(first) = refusal.book.and_then(|book| self.first.get_mut(book.index())) {
            first.get_or_insert(refusal.misfit);
        }
        let (word, bit) = (&mut self.without_book[usize::from(locate / 64)], 1 << (locate % 64));
        let was_without = *word & bit != 0;
        let is_without = was_without || refusal.misfit == Misfit::BooksFull;
        if is_without && !was_without {
            *word |= bit;
            self.without_book_count += 1;
            if self.named.len() < NAMED_MAX
                && let Some(symbol) = symbol()
            {
                self.named.push(symbol);
            }
        }
        // An order of a security without a book is not known for want of that book.
        let is_lost = refusal.book.is_none() && is_without;
        *self.counts.of(if is_lost { Misfit::BooksFull } else { refusal.misfit }) += 1;
    }

    /// Forgets everything but the counts: a new session begins, or a snapshot.
    pub fn clear(&mut self) {
        self.first.fill(None);
        self.without_book.fill(0);
        self.without_book_count = 0;
        self.named.clear();
    }

    /// What made a book stale; `None`: it is not.
    pub fn of(&self, book: BookIndex) -> Option<Misfit> {
        self.first.get(book.index()).copied().flatten()
    }

    /// What did not fit, over all sessions.
    pub const fn counts(&self) -> MisfitCounts {
        self.counts
    }

    /// How many securities have no book in this session, for want of room.
    pub const fn without_book_count(&self) -> u32 {
        self.without_book_count
    }

    /// The first [`NAMED_MAX`] of them.
    pub fn without_book(&self) -> &[Symbol] {
        &self.named
    }
}
