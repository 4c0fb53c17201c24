//! The books of one channel, order by order, built from ITCH 5.0.
//!
//! A message that does not fit what the books hold (an unknown order, more shares than an order has, a number that is
//! taken) changes nothing, is told to the caller and marks the book stale: the book is no longer known to be the
//! exchange's. So does running out of room. A stale book stays so until the session changes.

use crate::feed::digest::BookDigest;
use crate::feed::itch50::{AddOrder, Message, OrderReplace};
use crate::feed::levels::Levels;
use crate::feed::order_table::{InsertError, Order, OrderTable, Slot};
use crate::types::{Price, Side, Symbol, TradingStatus};

/// How much the books of one channel can hold. All of it is allocated at start, except that following all symbols
/// allocates a book when its symbol is first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BooksConfig {
    /// Orders in all books together; 64 to 128 bytes each.
    pub orders_max: usize,
    /// Price levels of one side of one book that are kept sorted; 24 bytes each.
    pub levels_max: usize,
    /// Books; at most 65,534.
    pub books_max: usize,
    /// Whether any symbol that shows up gets a book; else only the ones asked for.
    pub follow_all_symbols: bool,
}

/// Place of a book among its channel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookIndex(pub u16);

impl BookIndex {
    /// The place as an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Best bid and offer, each with the shares at that price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Best {
    /// Best bid; `None` where there is none.
    pub bid: Option<(Price, u64)>,
    /// Best offer; `None` where there is none.
    pub ask: Option<(Price, u64)>,
}

/// Why a message does not fit the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Misfit {
    /// No order has this number.
    UnknownOrder,
    /// An order has this number already.
    DuplicateOrder,
    /// More shares than the order has.
    TooManyShares,
    /// No shares.
    ZeroShares,
    /// The order or the symbol is another security's than the message says.
    WrongSecurity,
    /// No room for another order.
    OrdersFull,
    /// No room for another book.
    BooksFull,
}

/// A message that changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub misfit: Misfit,
    /// The book that is stale for it, where that is known.
    pub book: Option<BookIndex>,
}

/// A displayed order traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its book.
    pub book: BookIndex,
    /// Price of the trade.
    pub price: Price,
    /// Shares traded.
    pub shares: u32,
    /// Side of the order that stood in the book.
    pub resting: Side,
    /// Number of the match.
    pub match_number: u64,
    /// Whether it belongs into time and sales.
    pub printable: bool,
}

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing to any book that is kept.
    None,
    /// The book changed.
    Changed(BookIndex),
    /// The book changed by a trade.
    Executed(Execution),
}

/// One security's book.
#[derive(Debug)]
struct Book {
    symbol: Symbol,
    bids: Levels,
    asks: Levels,
    orders: u32,
    status: TradingStatus,
    is_stale: bool,
}

impl Book {
    fn new(symbol: Symbol, levels_max: usize) -> Book {
        Book {
            symbol,
            bids: Levels::new(Side::Buy, levels_max),
            asks: Levels::new(Side::Sell, levels_max),
            orders: 0,
            status: TradingStatus::Unknown,
            is_stale: false,
        }
    }

    #[inline]
    fn side(&mut self, side: Side) -> &mut Levels {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

/// Not yet seen; a book's place plus one otherwise, or this where it is not followed.
const UNSEEN: u16 = 0;
const IGNORED: u16 = u16::MAX;
const LOCATES: usize = 65_536;

/// Which book a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Unseen,
    Ignored,
    Book(BookIndex),
}

/// The books of one channel.
#[derive(Debug)]
pub struct Books {
    orders: OrderTable,
    books: Vec<Book>,
    /// By stock locate code.
    locates: Vec<u16>,
    config: BooksConfig,
    spill_count: u64,
    refill_count: u64,
}

impl Books {
    /// Books for `symbols`, in this order, and for more if all symbols are followed.
    ///
    /// # Panics
    /// If the configuration allows no order, level or book, or there are more symbols than books.
    pub fn new(config: BooksConfig, symbols: &[Symbol]) -> Books {
        let places = usize::from(IGNORED) - 1;
        assert!((1..=places).contains(&config.books_max), "1 to {places} books");
        assert!(symbols.len() <= config.books_max, "{} symbols", symbols.len());
        let mut books = Vec::with_capacity(config.books_max);
        books.extend(symbols.iter().map(|&symbol| Book::new(symbol, config.levels_max)));
        Books {
            orders: OrderTable::new(config.orders_max),
            books,
            locates: vec![UNSEEN; LOCATES],
            config,
            spill_count: 0,
            refill_count: 0,
        }
    }

    /// Applies one message. Only what concerns a displayed order, a directory entry or a status does anything. Tens of
    /// nanoseconds, nearly all of them cache misses.
    ///
    /// # Errors
    /// A [`Refusal`] for a message that does not fit; nothing was changed then, but its book is stale.
    #[inline]
    pub fn apply(&mut self, message: &Message) -> Result<Effect, Refusal> {
        match message {
            Message::AddOrder(m) => self.add(m),
            Message::OrderDelete(m) => self.take(m.head.locate, m.reference, None, |_| None),
            Message::OrderReplace(m) => self.replace(m),
            Message::OrderCancel(m) => {
                self.take(m.head.locate, m.reference, Some(m.shares), |_| None)
            }
            Message::OrderExecuted(m) => {
                self.take(m.head.locate, m.reference, Some(m.shares), |order| {
                    Some((order.price, m.match_number, true))
                })
            }
            Message::OrderExecutedWithPrice(m) => {
                self.take(m.head.locate, m.reference, Some(m.shares), |_| {
                    Some((m.price, m.match_number, m.printable))
                })
            }
            Message::StockDirectory(m) => {
                self.follow(m.head.locate, m.symbol)?;
                Ok(Effect::None)
            }
            Message::TradingAction(m) => {
                if let Followed::Book(book) = self.follow(m.head.locate, m.symbol)? {
                    self.books[book.index()].status = m.status;
                }
                Ok(Effect::None)
            }
            Message::SystemEvent(_)
            | Message::Trade(_)
            | Message::CrossTrade(_)
            | Message::BrokenTrade(_)
            | Message::Other { .. } => Ok(Effect::None),
        }
    }

    #[inline]
    fn followed(&self, locate: u16) -> Followed {
        match self.locates[usize::from(locate)] {
            UNSEEN => Followed::Unseen,
            IGNORED => Followed::Ignored,
            place => Followed::Book(BookIndex(place - 1)),
        }
    }

    /// The book of a message that names its symbol, which may be the first to do so.
    #[inline]
    fn follow(&mut self, locate: u16, symbol: Symbol) -> Result<Followed, Refusal> {
        match self.followed(locate) {
            Followed::Ignored => Ok(Followed::Ignored),
            Followed::Book(book) if self.books[book.index()].symbol == symbol => {
                Ok(Followed::Book(book))
            }
            Followed::Book(book) => Err(self.refuse(Misfit::WrongSecurity, Some(book))),
            Followed::Unseen => self.learn(locate, symbol),
        }
    }

    #[cold]
    fn learn(&mut self, locate: u16, symbol: Symbol) -> Result<Followed, Refusal> {
        let place = match self.books.iter().position(|book| book.symbol == symbol) {
            Some(place) => place,
            None if !self.config.follow_all_symbols => {
                self.locates[usize::from(locate)] = IGNORED;
                return Ok(Followed::Ignored);
            }
            None if self.books.len() == self.config.books_max => {
                return Err(self.refuse(Misfit::BooksFull, None));
            }
            None => {
                self.books.push(Book::new(symbol, self.config.levels_max));
                self.books.len() - 1
            }
        };
        let book = BookIndex(u16::try_from(place).expect("no more books than fit 16 bits"));
        self.locates[usize::from(locate)] = book.0 + 1;
        Ok(Followed::Book(book))
    }

    #[cold]
    fn refuse(&mut self, misfit: Misfit, book: Option<BookIndex>) -> Refusal {
        if let Some(book) = book {
            self.books[book.index()].is_stale = true;
        }
        Refusal { misfit, book }
    }

    #[inline]
    fn add(&mut self, m: &AddOrder) -> Result<Effect, Refusal> {
        let Followed::Book(book) = self.follow(m.head.locate, m.symbol)? else {
            return Ok(Effect::None);
        };
        if m.shares == 0 {
            return Err(self.refuse(Misfit::ZeroShares, Some(book)));
        }
        self.enter(Order {
            reference: m.reference,
            entry: 0,
            price: m.price,
            shares: m.shares,
            book: book.0,
            side: m.side,
        })?;
        Ok(Effect::Changed(book))
    }

    #[inline]
    fn enter(&mut self, order: Order) -> Result<(), Refusal> {
        let book = BookIndex(order.book);
        match self.orders.insert(order) {
            Ok(()) => {}
            Err(InsertError::Duplicate) => {
                return Err(self.refuse(Misfit::DuplicateOrder, Some(book)));
            }
            Err(InsertError::Full) => return Err(self.refuse(Misfit::OrdersFull, Some(book))),
        }
        let entry = &mut self.books[book.index()];
        entry.orders += 1;
        let spilled = entry.side(order.side).add(order.price, order.shares);
        self.spill_count += u64::from(spilled);
        Ok(())
    }

    /// The order `reference` of the book that goes by `locate`; `None` for a security that is not followed.
    #[inline]
    fn standing(
        &mut self,
        locate: u16,
        reference: u64,
    ) -> Result<Option<(Slot, Order, BookIndex)>, Refusal> {
        let book = match self.followed(locate) {
            Followed::Ignored => return Ok(None),
            Followed::Unseen => return Err(self.refuse(Misfit::UnknownOrder, None)),
            Followed::Book(book) => book,
        };
        match self.orders.find(reference) {
            Some((slot, order)) if order.book == book.0 => Ok(Some((slot, order, book))),
            Some(_) => Err(self.refuse(Misfit::WrongSecurity, Some(book))),
            None => Err(self.refuse(Misfit::UnknownOrder, Some(book))),
        }
    }

    /// Takes `shares` off an order, or all of them; `trade` says whether that is a trade: price, match, printable.
    #[inline]
    fn take(
        &mut self,
        locate: u16,
        reference: u64,
        shares: Option<u32>,
        trade: impl FnOnce(&Order) -> Option<(Price, u64, bool)>,
    ) -> Result<Effect, Refusal> {
        let Some((slot, order, book)) = self.standing(locate, reference)? else {
            return Ok(Effect::None);
        };
        let shares = shares.unwrap_or(order.shares);
        if shares == 0 {
            return Err(self.refuse(Misfit::ZeroShares, Some(book)));
        }
        if shares > order.shares {
            return Err(self.refuse(Misfit::TooManyShares, Some(book)));
        }
        self.reduce(slot, &order, shares);
        Ok(match trade(&order) {
            None => Effect::Changed(book),
            Some((price, match_number, printable)) => Effect::Executed(Execution {
                book,
                price,
                shares,
                resting: order.side,
                match_number,
                printable,
            }),
        })
    }

    #[inline]
    fn reduce(&mut self, slot: Slot, order: &Order, shares: u32) {
        let gone = shares == order.shares;
        if gone {
            self.orders.remove(slot);
        } else {
            self.orders.reduce(slot, shares);
        }
        let book = &mut self.books[usize::from(order.book)];
        book.orders -= u32::from(gone);
        if book.side(order.side).reduce(order.price, shares, gone) {
            self.refill(order.book, order.side);
        }
    }

    /// Builds a side's levels anew from the order table. Walks all of it: the price of more levels than there is room
    /// for, paid only when all levels nearer to the touch are gone.
    #[cold]
    fn refill(&mut self, book: u16, side: Side) {
        self.refill_count += 1;
        let levels = self.books[usize::from(book)].side(side);
        levels.clear();
        for order in self.orders.iter().filter(|order| order.book == book && order.side == side) {
            levels.add(order.price, order.shares);
        }
    }

    #[inline]
    fn replace(&mut self, m: &OrderReplace) -> Result<Effect, Refusal> {
        let Some((slot, old, book)) = self.standing(m.head.locate, m.reference)? else {
            return Ok(Effect::None);
        };
        if m.shares == 0 {
            return Err(self.refuse(Misfit::ZeroShares, Some(book)));
        }
        if self.orders.find(m.new_reference).is_some() {
            return Err(self.refuse(Misfit::DuplicateOrder, Some(book)));
        }
        self.reduce(slot, &old, old.shares);
        // There is room: one order has just left.
        self.enter(Order { reference: m.new_reference, price: m.price, shares: m.shares, ..old })?;
        Ok(Effect::Changed(book))
    }

    /// Forgets all orders, statuses and locate codes: a new session begins. The books stay.
    pub fn clear(&mut self) {
        self.orders.clear();
        self.locates.fill(UNSEEN);
        for book in &mut self.books {
            book.bids.clear();
            book.asks.clear();
            book.orders = 0;
            book.status = TradingStatus::Unknown;
            book.is_stale = false;
        }
    }

    /// The book that goes by this stock locate code now, if it is followed.
    #[inline]
    pub fn by_locate(&self, locate: u16) -> Option<BookIndex> {
        match self.followed(locate) {
            Followed::Book(book) => Some(book),
            Followed::Unseen | Followed::Ignored => None,
        }
    }

    /// The book of `symbol`. Looks through all books.
    pub fn by_symbol(&self, symbol: Symbol) -> Option<BookIndex> {
        let place = self.books.iter().position(|book| book.symbol == symbol)?;
        u16::try_from(place).ok().map(BookIndex)
    }

    /// Every book's place.
    pub fn indices(&self) -> impl Iterator<Item = BookIndex> + use<> {
        (0..u16::try_from(self.books.len()).unwrap_or(u16::MAX)).map(BookIndex)
    }

    /// Best bid and offer.
    ///
    /// # Panics
    /// If the place is not one of this channel's.
    #[inline]
    pub fn best(&self, book: BookIndex) -> Best {
        let book = &self.books[book.index()];
        Best { bid: book.bids.best(), ask: book.asks.best() }
    }

    /// The book's symbol.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn symbol(&self, book: BookIndex) -> Symbol {
        self.books[book.index()].symbol
    }

    /// Whether the book may differ from the exchange's.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn is_stale(&self, book: BookIndex) -> bool {
        self.books[book.index()].is_stale
    }

    /// The security's trading status.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn status(&self, book: BookIndex) -> TradingStatus {
        self.books[book.index()].status
    }

    /// Orders in one book.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn order_count(&self, book: BookIndex) -> u32 {
        self.books[book.index()].orders
    }

    /// Orders in all books.
    pub fn order_count_total(&self) -> usize {
        self.orders.count()
    }

    /// Price, shares and orders of the levels of one side, best first, as many as are kept sorted.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn levels(
        &self,
        book: BookIndex,
        side: Side,
    ) -> impl Iterator<Item = (Price, u64, u32)> + '_ {
        let book = &self.books[book.index()];
        match side {
            Side::Buy => book.bids.iter(),
            Side::Sell => book.asks.iter(),
        }
    }

    /// How often an order was spilled beyond the levels kept sorted, and how often a side was built anew for it.
    pub const fn spills_and_refills(&self) -> (u64, u64) {
        (self.spill_count, self.refill_count)
    }

    /// The digest of these books alone; see [`digest_of`].
    pub fn digest(&self) -> u64 {
        digest_of([self])
    }
}

/// The digest ([`BookDigest`]) of the books of several channels, as if they were one's. Sorts a copy of all orders.
pub fn digest_of<'a>(channels: impl IntoIterator<Item = &'a Books>) -> u64 {
    let mut orders: Vec<(Symbol, usize, Order)> = Vec::new();
    for (channel, books) in channels.into_iter().enumerate() {
        let symbol = |order: &Order| books.books[usize::from(order.book)].symbol;
        orders.extend(books.orders.iter().map(|order| (symbol(order), channel, *order)));
    }
    orders.sort_unstable_by_key(|&(symbol, channel, order)| {
        let rank = match order.side {
            Side::Buy => !order.price.units(),
            Side::Sell => order.price.units(),
        };
        (symbol, order.side, rank, channel, order.entry)
    });
    let mut digest = BookDigest::new();
    let mut last = None;
    for (symbol, _, order) in orders {
        if last != Some(symbol) {
            digest.book(symbol);
            last = Some(symbol);
        }
        digest.order(order.side, order.price, order.shares, order.reference);
    }
    digest.finish()
}
