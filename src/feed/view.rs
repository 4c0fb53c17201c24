//! Books of any protocol as those see them who tell of them.
//!
//! The way of a datagram knows the protocol and sees its books as they are; only what goes over channels asks [`AnyBooks`].

use crate::feed::book::{Best, BookIndex, Books};
use crate::feed::iex;
use crate::feed::market_state::MarketState;
use crate::feed::sbe;
use crate::types::{Price, Side, TradingStatus};

/// What is told of books, whatever they are made of.
pub(super) trait BookView {
    /// Best bid and offer.
    fn best(&self, book: BookIndex) -> Best;

    /// Whether the book may differ from the exchange's.
    fn is_stale(&self, book: BookIndex) -> bool;

    /// Whether the exchange is in the middle of a change of the book: its levels are not to be looked at.
    fn is_in_transition(&self, book: BookIndex) -> bool;

    /// Whether the security trades continuously, so that its book cannot be crossed.
    fn is_continuous(&self, book: BookIndex) -> bool;

    /// The security's trading status.
    fn status(&self, book: BookIndex) -> TradingStatus;

    /// Hands on the best `depth` levels of one side, best first: price, shares, and orders, which are 0 where the exchange
    /// does not tell how many there are.
    fn each_level(
        &self,
        book: BookIndex,
        side: Side,
        depth: usize,
        each: impl FnMut(Price, u64, u32),
    );
}

/// The books of a channel of ITCH, with what is known of their securities.
#[derive(Clone, Copy, Debug)]
pub(super) struct ItchBooks<'a> {
    pub(super) books: &'a Books,
    pub(super) market: &'a MarketState,
}

impl BookView for ItchBooks<'_> {
    #[inline]
    fn best(&self, book: BookIndex) -> Best {
        self.books.best(book)
    }

    #[inline]
    fn is_stale(&self, book: BookIndex) -> bool {
        self.books.is_stale(book)
    }

    #[inline]
    fn is_in_transition(&self, _: BookIndex) -> bool {
        false
    }

    #[inline]
    fn is_continuous(&self, book: BookIndex) -> bool {
        self.market.is_continuous(book)
    }

    #[inline]
    fn status(&self, book: BookIndex) -> TradingStatus {
        self.market.security(book).status()
    }

    #[inline]
    fn each_level(
        &self,
        book: BookIndex,
        side: Side,
        depth: usize,
        mut each: impl FnMut(Price, u64, u32),
    ) {
        let levels = self.books.levels(book, side).take(depth);
        levels.for_each(|(price, shares, orders)| each(price, shares, orders));
    }
}

impl BookView for iex::Books {
    #[inline]
    fn best(&self, book: BookIndex) -> Best {
        iex::Books::best(self, book)
    }

    #[inline]
    fn is_stale(&self, book: BookIndex) -> bool {
        iex::Books::is_stale(self, book)
    }

    #[inline]
    fn is_in_transition(&self, book: BookIndex) -> bool {
        iex::Books::is_in_transition(self, book)
    }

    /// IEX's own books count what is crossed, after each event.
    #[inline]
    fn is_continuous(&self, _: BookIndex) -> bool {
        false
    }

    #[inline]
    fn status(&self, book: BookIndex) -> TradingStatus {
        self.state(book).status()
    }

    #[inline]
    fn each_level(
        &self,
        book: BookIndex,
        side: Side,
        depth: usize,
        mut each: impl FnMut(Price, u64, u32),
    ) {
        if let Some(levels) = self.levels(book, side) {
            levels.take(depth).for_each(|(price, shares)| each(price, u64::from(shares), 0));
        }
    }
}

impl BookView for sbe::Books {
    #[inline]
    fn best(&self, book: BookIndex) -> Best {
        sbe::Books::best(self, book)
    }

    #[inline]
    fn is_stale(&self, book: BookIndex) -> bool {
        sbe::Books::is_stale(self, book)
    }

    #[inline]
    fn is_in_transition(&self, book: BookIndex) -> bool {
        sbe::Books::is_in_transition(self, book)
    }

    /// The other gateway counts what is crossed.
    #[inline]
    fn is_continuous(&self, _: BookIndex) -> bool {
        false
    }

    #[inline]
    fn status(&self, book: BookIndex) -> TradingStatus {
        sbe::Books::status(self, book)
    }

    #[inline]
    fn each_level(
        &self,
        book: BookIndex,
        side: Side,
        depth: usize,
        mut each: impl FnMut(Price, u64, u32),
    ) {
        if !self.is_in_transition(book) {
            let levels = self.levels(book, side).take(depth);
            levels.for_each(|(price, shares, orders)| each(price, shares, orders));
        }
    }
}

/// The books of one channel.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyBooks<'a> {
    Itch(ItchBooks<'a>),
    Iex(&'a iex::Books),
    Sbe(&'a sbe::Books),
}

impl BookView for AnyBooks<'_> {
    #[inline]
    fn best(&self, book: BookIndex) -> Best {
        match self {
            AnyBooks::Itch(books) => books.best(book),
            AnyBooks::Iex(books) => books.best(book),
            AnyBooks::Sbe(books) => books.best(book),
        }
    }

    #[inline]
    fn is_stale(&self, book: BookIndex) -> bool {
        match self {
            AnyBooks::Itch(books) => books.is_stale(book),
            AnyBooks::Iex(books) => books.is_stale(book),
            AnyBooks::Sbe(books) => books.is_stale(book),
        }
    }

    #[inline]
    fn is_in_transition(&self, book: BookIndex) -> bool {
        match self {
            AnyBooks::Itch(_) => false,
            AnyBooks::Iex(books) => books.is_in_transition(book),
            AnyBooks::Sbe(books) => books.is_in_transition(book),
        }
    }

    #[inline]
    fn is_continuous(&self, book: BookIndex) -> bool {
        match self {
            AnyBooks::Itch(books) => books.is_continuous(book),
            AnyBooks::Iex(books) => books.is_continuous(book),
            AnyBooks::Sbe(books) => books.is_continuous(book),
        }
    }

    #[inline]
    fn status(&self, book: BookIndex) -> TradingStatus {
        match self {
            AnyBooks::Itch(books) => books.status(book),
            AnyBooks::Iex(books) => BookView::status(*books, book),
            AnyBooks::Sbe(books) => books.status(book),
        }
    }

    #[inline]
    fn each_level(
        &self,
        book: BookIndex,
        side: Side,
        depth: usize,
        each: impl FnMut(Price, u64, u32),
    ) {
        match self {
            AnyBooks::Itch(books) => books.each_level(book, side, depth, each),
            AnyBooks::Iex(books) => books.each_level(book, side, depth, each),
            AnyBooks::Sbe(books) => books.each_level(book, side, depth, each),
        }
    }
}
