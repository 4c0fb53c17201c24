//! The books of one IEX stream: price levels from DEEP, best bid and offer from TOPS; and each security's status.
//!
//! DEEP and TOPS say what is at a price rather than how it changed, so a message cannot fail to fit. What can go wrong is
//! that there is no room: levels that had to be left out mark their book stale until the next session, since it is then not
//! known to be all of the exchange's; the best ones are still right.
//!
//! An event of the exchange may take several updates. Until the last of them a book is in transition: its best bid and
//! offer stay what they were, and its levels are not shown (DEEP, "Consuming Price Level Update Messages and Updating the
//! IEX BBO").

use std::fmt;

use crate::feed::book::{Best, BookIndex};
use crate::feed::digest::BookDigest;
use crate::feed::iex::deep::PriceLevelUpdate;
use crate::feed::iex::levels::{Levels, Set};
use crate::feed::iex::message::Message;
use crate::feed::iex::symbols::Symbols;
use crate::feed::iex::tops::{QuoteFlags, QuoteUpdate};
use crate::types::{Price, Side, Symbol, TradingStatus};

/// How much the books of one stream can hold. All of it is allocated at start, except that following all symbols allocates a
/// book when its symbol is first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BooksConfig {
    /// Price levels of one side of one book; 16 bytes each. TOPS needs one.
    pub levels_max: usize,
    /// Books; at most 65,534.
    pub books_max: usize,
    /// Whether any symbol that shows up gets a book; else only the ones asked for.
    pub follow_all_symbols: bool,
}

/// The most books there may be.
const PLACES: usize = 65_534;

/// There is no room for another book: a security that should be followed is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BooksFull;

impl fmt::Display for BooksFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for another book")
    }
}

impl std::error::Error for BooksFull {}

/// What a message did to its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it only tells something of the security.
    None,
    /// The book is in transition: nothing that is shown changed.
    Pending,
    /// The book may show something else than before.
    Book,
    /// The security's state was told.
    State,
}

/// The book a message is about, and what it did to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The book.
    pub book: BookIndex,
    /// What the message did to it.
    pub change: Change,
}

/// What the exchange last said of a security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityState {
    /// Trading status of the market as a whole.
    pub trading: TradingStatus,
    /// Whether IEX alone halted it; `None` until that was told.
    pub is_halted_operationally: Option<bool>,
    /// Whether short sales are restricted; `None` until that was told.
    pub is_short_sale_restricted: Option<bool>,
    /// Interest to trade with retail orders: space none, `A` to buy, `B` to sell, `C` both.
    pub retail_interest: u8,
    /// Flags of the last quote (TOPS only).
    pub quote: Option<QuoteFlags>,
}

impl SecurityState {
    /// Of a security nothing was said of yet.
    pub const UNKNOWN: SecurityState = SecurityState {
        trading: TradingStatus::Unknown,
        is_halted_operationally: None,
        is_short_sale_restricted: None,
        retail_interest: b' ',
        quote: None,
    };

    /// The status at IEX: trading only if both the market's status and IEX's own say so. Each is told for every security
    /// before the day begins; of one that is left out it must not be assumed ("Operational Halt Status Message").
    #[inline]
    pub const fn status(&self) -> TradingStatus {
        match (self.trading, self.is_halted_operationally) {
            (_, Some(true)) => TradingStatus::Halted,
            (TradingStatus::Trading, None) => TradingStatus::Unknown,
            (trading, Some(false) | None) => trading,
        }
    }
}

/// What the books went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BooksCounts {
    /// Levels lost or left out for want of room.
    pub overflows: u64,
    /// Levels that were to be removed and were not there; harmless, since they are not there now either.
    pub absent_levels: u64,
    /// Updates after which a security that trades had a bid not below its offer.
    pub crossed: u64,
    /// Messages about securities that got no book for want of room.
    pub books_full: u64,
}

/// One security's book.
#[derive(Debug)]
struct Book {
    symbol: Symbol,
    bids: Levels,
    asks: Levels,
    /// Best bid and offer after the last complete event.
    best: Best,
    is_in_transition: bool,
    is_stale: bool,
    state: SecurityState,
}

impl Book {
    fn new(symbol: Symbol, levels_max: usize) -> Book {
        Book {
            symbol,
            bids: Levels::new(Side::Buy, levels_max),
            asks: Levels::new(Side::Sell, levels_max),
            best: Best::default(),
            is_in_transition: false,
            is_stale: false,
            state: SecurityState::UNKNOWN,
        }
    }

    #[inline]
    const fn side(&self, side: Side) -> &Levels {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    #[inline]
    const fn side_mut(&mut self, side: Side) -> &mut Levels {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// An event is complete. `true`: the book is crossed or locked although the security trades.
    #[inline]
    fn complete(&mut self) -> bool {
        self.is_in_transition = false;
        self.best = Best { bid: self.bids.best(), ask: self.asks.best() };
        match (self.best.bid, self.best.ask) {
            (Some((bid, _)), Some((ask, _))) => {
                bid >= ask && self.state.status() == TradingStatus::Trading
            }
            (Some(_) | None, _) => false,
        }
    }
}

/// The books of one stream.
#[derive(Debug)]
pub struct Books {
    books: Vec<Book>,
    symbols: Symbols,
    config: BooksConfig,
    counts: BooksCounts,
}

impl Books {
    /// Books for `symbols`, in this order, and for more if all symbols are followed.
    ///
    /// # Panics
    /// If the configuration allows no level or book, there are more symbols than books, or one is named twice.
    pub fn new(config: BooksConfig, symbols: &[Symbol]) -> Books {
        assert!((1..=PLACES).contains(&config.books_max), "1 to {PLACES} books");
        assert!(symbols.len() <= config.books_max, "{} symbols", symbols.len());
        let mut books = Books {
            books: Vec::with_capacity(config.books_max),
            symbols: Symbols::new(config.books_max),
            config,
            counts: BooksCounts::default(),
        };
        for &symbol in symbols {
            assert!(books.by_symbol(symbol).is_none(), "{symbol} is named twice");
            books.add(symbol);
        }
        books
    }

    fn add(&mut self, symbol: Symbol) -> BookIndex {
        let place = u16::try_from(self.books.len()).expect("no more books than fit 16 bits");
        self.books.push(Book::new(symbol, self.config.levels_max));
        self.symbols.insert(symbol, BookIndex(place));
        BookIndex(place)
    }

    /// Applies one message, and says what it did to which book; `None` for a security that is not followed and for a message
    /// about none. About 50 ns where the book is in the cache, a few hundred where all of it must be fetched.
    ///
    /// # Errors
    /// [`BooksFull`] if its security should have a book and there is no room for one; nothing was changed then.
    #[inline]
    pub fn apply(&mut self, message: &Message) -> Result<Option<Effect>, BooksFull> {
        let Some(symbol) = message.symbol() else { return Ok(None) };
        let Some(book) = self.follow(symbol)? else { return Ok(None) };
        let change = match message {
            Message::PriceLevelUpdate(m) => self.level(book, m),
            Message::QuoteUpdate(m) => self.quote(book, m),
            Message::TradingStatus(m) => {
                self.books[book.index()].state.trading = m.status();
                Change::State
            }
            Message::OperationalHaltStatus(m) => {
                self.books[book.index()].state.is_halted_operationally = Some(m.is_halted());
                Change::State
            }
            Message::ShortSalePriceTestStatus(m) => {
                self.books[book.index()].state.is_short_sale_restricted = Some(m.is_in_effect());
                Change::State
            }
            Message::RetailLiquidityIndicator(m) => {
                self.books[book.index()].state.retail_interest = m.indicator;
                Change::State
            }
            Message::SystemEvent(_)
            | Message::SecurityDirectory(_)
            | Message::SecurityEvent(_)
            | Message::TradeReport(_)
            | Message::OfficialPrice(_)
            | Message::TradeBreak(_)
            | Message::AuctionInformation(_) => Change::None,
        };
        Ok(Some(Effect { book, change }))
    }

    #[inline]
    fn follow(&mut self, symbol: Symbol) -> Result<Option<BookIndex>, BooksFull> {
        match self.symbols.find(symbol) {
            Some(book) => Ok(Some(book)),
            None if self.config.follow_all_symbols => self.learn(symbol).map(Some),
            None => Ok(None),
        }
    }

    #[cold]
    fn learn(&mut self, symbol: Symbol) -> Result<BookIndex, BooksFull> {
        if self.books.len() == self.config.books_max {
            self.counts.books_full += 1;
            return Err(BooksFull);
        }
        Ok(self.add(symbol))
    }

    #[inline]
    fn level(&mut self, book: BookIndex, m: &PriceLevelUpdate) -> Change {
        let entry = &mut self.books[book.index()];
        match entry.side_mut(m.side).set(m.price, m.size) {
            Set::Done => {}
            Set::Absent => self.counts.absent_levels += 1,
            Set::Beyond if m.size == 0 => {}
            Set::Overflow | Set::Beyond => {
                entry.is_stale = true;
                self.counts.overflows += 1;
            }
        }
        if m.is_complete() {
            self.counts.crossed += u64::from(entry.complete());
            Change::Book
        } else {
            entry.is_in_transition = true;
            Change::Pending
        }
    }

    #[inline]
    fn quote(&mut self, book: BookIndex, m: &QuoteUpdate) -> Change {
        let entry = &mut self.books[book.index()];
        entry.bids.set_only(m.bid_price, m.bid_size);
        entry.asks.set_only(m.ask_price, m.ask_size);
        entry.state.quote = Some(m.flags);
        self.counts.crossed += u64::from(entry.complete());
        Change::Book
    }

    /// Forgets all levels and all that was said of the securities: a new session begins. The books stay.
    pub fn clear(&mut self) {
        for book in &mut self.books {
            book.bids.clear();
            book.asks.clear();
            book.best = Best::default();
            book.is_in_transition = false;
            book.is_stale = false;
            book.state = SecurityState::UNKNOWN;
        }
    }

    /// The book of `symbol`, if it is followed.
    #[inline]
    pub fn by_symbol(&self, symbol: Symbol) -> Option<BookIndex> {
        self.symbols.find(symbol)
    }

    /// Every book's place.
    pub fn indices(&self) -> impl Iterator<Item = BookIndex> + use<> {
        (0..u16::try_from(self.books.len()).unwrap_or(u16::MAX)).map(BookIndex)
    }

    /// Best bid and offer, as of the last event that is complete.
    ///
    /// # Panics
    /// If the place is not one of these books'.
    #[inline]
    pub fn best(&self, book: BookIndex) -> Best {
        self.books[book.index()].best
    }

    /// The book's symbol.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn symbol(&self, book: BookIndex) -> Symbol {
        self.books[book.index()].symbol
    }

    /// Whether more updates are to come before the book may be looked at again.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn is_in_transition(&self, book: BookIndex) -> bool {
        self.books[book.index()].is_in_transition
    }

    /// Whether levels of the book were left out for want of room.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn is_stale(&self, book: BookIndex) -> bool {
        self.books[book.index()].is_stale
    }

    /// What the exchange last said of the security.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn state(&self, book: BookIndex) -> SecurityState {
        self.books[book.index()].state
    }

    /// Price and shares of the levels of one side, best first, as many as there was room for; `None` while the book is in
    /// transition.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn levels(
        &self,
        book: BookIndex,
        side: Side,
    ) -> Option<impl Iterator<Item = (Price, u32)> + '_> {
        let book = &self.books[book.index()];
        (!book.is_in_transition).then(|| book.side(side).iter())
    }

    /// What the books went through.
    #[inline]
    pub const fn counts(&self) -> BooksCounts {
        self.counts
    }

    /// How many levels there are on both sides of a book, also while it is in transition.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn level_count(&self, book: BookIndex) -> usize {
        let book = &self.books[book.index()];
        book.bids.iter().count() + book.asks.iter().count()
    }

    /// The digest ([`BookDigest`]) of these books: each level goes in as one order with the reference number 0, and a book in
    /// transition as it then is. Sorts the places of all books.
    pub fn digest(&self) -> u64 {
        digest_of([self])
    }
}

/// The digest of the books of several streams; those of one symbol follow each other in the order of the streams.
pub fn digest_of<'a>(streams: impl IntoIterator<Item = &'a Books>) -> u64 {
    let mut books: Vec<&Book> = streams.into_iter().flat_map(|stream| &stream.books).collect();
    books.sort_by_key(|book| book.symbol);
    let mut digest = BookDigest::new();
    for book in books {
        if book.bids.best().is_none() && book.asks.best().is_none() {
            continue;
        }
        digest.book(book.symbol);
        for side in [Side::Buy, Side::Sell] {
            for (price, size) in book.side(side).iter() {
                digest.order(side, price, size, 0);
            }
        }
    }
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::iex::message::{OperationalHaltStatus, TradingStatusMessage};
    use crate::types::UtcNanos;

    const CONFIG: BooksConfig =
        BooksConfig { levels_max: 4, books_max: 2, follow_all_symbols: false };
    const BOOK: BookIndex = BookIndex(0);

    fn symbol(text: &str) -> Symbol {
        Symbol::new(text).expect("a symbol")
    }

    fn level(text: &str, side: Side, price: &str, size: u32, is_complete: bool) -> Message {
        Message::PriceLevelUpdate(PriceLevelUpdate {
            time: UtcNanos(0),
            symbol: symbol(text),
            side,
            event_flags: u8::from(is_complete),
            size,
            price: price.parse().expect("a price"),
        })
    }

    fn status(letter: u8) -> Message {
        let (time, symbol) = (UtcNanos(0), symbol("ZIEXT"));
        Message::TradingStatus(TradingStatusMessage { time, symbol, letter, reason: *b"    " })
    }

    fn halt(letter: u8) -> Message {
        let (time, symbol) = (UtcNanos(0), symbol("ZIEXT"));
        Message::OperationalHaltStatus(OperationalHaltStatus { time, symbol, letter })
    }

    fn price(text: &str) -> Price {
        text.parse().expect("a price")
    }

    fn change(books: &mut Books, message: &Message) -> Change {
        books.apply(message).expect("there is room").expect("it is followed").change
    }

    #[test]
    fn the_best_stay_while_the_book_is_in_transition() {
        // The example of "Consuming Price Level Update Messages and Updating the IEX BBO".
        let mut books = Books::new(CONFIG, &[symbol("ZIEXT")]);
        for (side, at) in [
            (Side::Sell, "25.30"),
            (Side::Sell, "25.20"),
            (Side::Sell, "25.10"),
            (Side::Buy, "25.00"),
            (Side::Buy, "24.90"),
        ] {
            assert_eq!(change(&mut books, &level("ZIEXT", side, at, 100, true)), Change::Book);
        }
        let bid = Some((price("25.00"), 100));
        let before = Best { bid, ask: Some((price("25.10"), 100)) };
        assert_eq!(books.best(BOOK), before);
        let first = level("ZIEXT", Side::Sell, "25.10", 0, false);
        assert_eq!(change(&mut books, &first), Change::Pending);
        assert_eq!(books.best(BOOK), before);
        assert!(books.is_in_transition(BOOK) && books.levels(BOOK, Side::Sell).is_none());
        assert_eq!(change(&mut books, &level("ZIEXT", Side::Sell, "25.20", 0, true)), Change::Book);
        assert_eq!(books.best(BOOK), Best { bid, ask: Some((price("25.30"), 100)) });
        let asks: Vec<_> = books.levels(BOOK, Side::Sell).expect("complete").collect();
        assert_eq!(asks, [(price("25.30"), 100)]);
    }

    #[test]
    fn another_symbols_event_completes_nothing() {
        let mut books = Books::new(CONFIG, &[symbol("ZIEXT"), symbol("ZXIET")]);
        change(&mut books, &level("ZIEXT", Side::Buy, "1", 5, false));
        change(&mut books, &level("ZXIET", Side::Buy, "2", 5, true));
        assert_eq!(books.best(BOOK), Best::default());
        assert!(books.is_in_transition(BOOK) && !books.is_in_transition(BookIndex(1)));
    }

    #[test]
    fn every_pair_of_statuses_has_its_meaning() {
        let trading = [None, Some(b'T'), Some(b'H'), Some(b'O'), Some(b'P')];
        for market in trading {
            for own in [None, Some(b'N'), Some(b'O')] {
                let mut books = Books::new(CONFIG, &[symbol("ZIEXT")]);
                for message in [market.map(status), own.map(halt)].into_iter().flatten() {
                    assert_eq!(change(&mut books, &message), Change::State);
                }
                let expected = match (market, own) {
                    (_, Some(b'O')) | (Some(b'H'), _) => TradingStatus::Halted,
                    (Some(b'T'), Some(_)) => TradingStatus::Trading,
                    (Some(b'O'), _) => TradingStatus::QuotationOnly,
                    (Some(b'P'), _) => TradingStatus::Paused,
                    (Some(_) | None, _) => TradingStatus::Unknown,
                };
                assert_eq!(books.state(BOOK).status(), expected, "{market:?} {own:?}");
            }
        }
    }

    #[test]
    fn a_crossed_book_counts_only_while_the_security_trades_and_the_event_is_complete() {
        let mut books = Books::new(CONFIG, &[symbol("ZIEXT")]);
        let crossed = |books: &mut Books, messages: &[Message]| {
            let before = books.counts().crossed;
            for message in messages {
                change(books, message);
            }
            books.counts().crossed - before
        };
        let bid = |is_complete| level("ZIEXT", Side::Buy, "10", 5, is_complete);
        let ask = level("ZIEXT", Side::Sell, "10", 5, true);
        assert_eq!(crossed(&mut books, &[bid(true), ask]), 0, "nothing was said of its status");
        assert_eq!(crossed(&mut books, &[status(b'T'), halt(b'N')]), 0);
        assert_eq!(crossed(&mut books, &[bid(false)]), 0, "in transition");
        assert_eq!(crossed(&mut books, &[bid(true)]), 1);
        assert_eq!(crossed(&mut books, &[status(b'O'), bid(true)]), 0, "no trading");
        let gone = level("ZIEXT", Side::Sell, "10", 0, true);
        assert_eq!(crossed(&mut books, &[status(b'T'), gone]), 0);
    }

    #[test]
    fn levels_without_room_are_counted_and_make_the_book_stale_until_the_next_session() {
        let mut books = Books::new(BooksConfig { levels_max: 1, ..CONFIG }, &[symbol("ZIEXT")]);
        change(&mut books, &level("ZIEXT", Side::Buy, "10", 5, true));
        assert!(!books.is_stale(BOOK));
        change(&mut books, &level("ZIEXT", Side::Buy, "9", 5, true));
        assert!(books.is_stale(BOOK));
        assert_eq!(books.best(BOOK).bid, Some((price("10"), 5)), "the best is right still");
        change(&mut books, &level("ZIEXT", Side::Buy, "8", 5, true));
        change(&mut books, &level("ZIEXT", Side::Buy, "8", 0, true));
        assert_eq!(books.counts(), BooksCounts { overflows: 2, ..BooksCounts::default() });
        books.clear();
        assert!(!books.is_stale(BOOK));
        assert_eq!(
            (books.best(BOOK), books.state(BOOK)),
            (Best::default(), SecurityState::UNKNOWN)
        );
    }

    #[test]
    fn symbols_are_followed_as_configured_and_as_there_is_room() {
        let mut few = Books::new(CONFIG, &[symbol("ZIEXT")]);
        assert_eq!(few.apply(&level("ZXIET", Side::Buy, "10", 5, true)), Ok(None));
        let mut all = Books::new(BooksConfig { follow_all_symbols: true, ..CONFIG }, &[]);
        for (text, place) in [("ZIEXT", 0), ("ZXIET", 1), ("ZIEXT", 0)] {
            let effect = Effect { book: BookIndex(place), change: Change::Book };
            assert_eq!(all.apply(&level(text, Side::Buy, "10", 5, true)), Ok(Some(effect)));
        }
        assert_eq!(all.apply(&level("ZEXIT", Side::Buy, "10", 5, true)), Err(BooksFull));
        assert_eq!(all.counts().books_full, 1);
        assert_eq!(all.by_symbol(symbol("ZXIET")), Some(BookIndex(1)));
        assert_eq!(all.symbol(BookIndex(1)), symbol("ZXIET"));
    }
}
