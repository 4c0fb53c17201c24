//! The books of one channel, order by order, built from ITCH 5.0.
//!
//! A message that does not fit what the books hold (an unknown order, more shares than an order has, a number that is
//! taken) changes nothing, is told to the caller and marks the book stale: the book is no longer known to be the
//! exchange's. So does running out of room. A stale book stays so until the session changes.

use std::hint::select_unpredictable;

use crate::feed::digest::BookDigest;
use crate::feed::itch50::{Message, OrderEvent, OrderEventKind};
use crate::feed::levels::{Added, Change, Changed, Levels, Rank, SideIndex};
use crate::feed::order_table::{InsertError, Order, OrderTable, Slot};
use crate::types::{Price, Side, Symbol, TradingStatus};

/// How much the books of one channel can hold. All of it is allocated at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BooksConfig {
    /// Orders in all books together; 72 to 144 bytes each, above 131,072 128 to 256, above 524,288 64 to 128 and 32 MiB.
    pub orders_max: usize,
    /// Price levels of one side of one book, but never fewer than 16; 64 bytes each for each book, but no more in all than 32
    /// bytes for each order.
    pub levels_max: usize,
    /// Books; at most 65,534, 524 bytes each.
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
    /// No room for as many shares at one price: 68,719,476,735 (2^36 - 1).
    LevelFull,
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

/// What [`Books::prefetch`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefetchStep {
    /// The order, if it is young.
    First,
    /// The order, if it is old, and the side of its book.
    Second,
    /// All that can be asked for at once, for an event that has nobody to wait with.
    Alone,
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

/// What is known of a security besides its orders.
#[derive(Debug)]
struct Book {
    symbol: Symbol,
    status: TradingStatus,
    is_stale: bool,
}

impl Book {
    fn new(symbol: Symbol) -> Book {
        Book { symbol, status: TradingStatus::Unknown, is_stale: false }
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
    levels: Levels,
    books: Vec<Book>,
    /// The books by their symbols.
    by_symbol: Vec<BookIndex>,
    /// By stock locate code.
    locates: Box<[u16; LOCATES]>,
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
        let mut books = Books {
            orders: OrderTable::new(config.orders_max),
            levels: Levels::new(config.levels_max, config.books_max, config.orders_max),
            books: Vec::with_capacity(config.books_max),
            by_symbol: Vec::with_capacity(config.books_max),
            locates: Box::new([UNSEEN; LOCATES]),
            config,
            spill_count: 0,
            refill_count: 0,
        };
        for &symbol in symbols {
            books.open(symbol);
        }
        books
    }

    /// Opens one more book. There is room.
    fn open(&mut self, symbol: Symbol) -> BookIndex {
        let place = u16::try_from(self.books.len()).expect("no more books than fit 16 bits");
        let before = self.by_symbol.partition_point(|&book| self.symbol(book) <= symbol);
        self.by_symbol.insert(before, BookIndex(place));
        self.books.push(Book::new(symbol));
        self.levels.open(symbol);
        BookIndex(place)
    }

    /// Applies one message. Only what concerns a displayed order, a directory entry or a status does anything.
    ///
    /// # Errors
    /// A [`Refusal`] for a message that does not fit; nothing was changed then, but its book is stale.
    ///
    /// # Panics
    /// As [`OrderEvent::of`].
    pub fn apply(&mut self, message: &Message) -> Result<Effect, Refusal> {
        if let Some(event) = OrderEvent::of(message) {
            return self.apply_order(&event);
        }
        if let Message::StockDirectory(m) = message {
            self.follow(m.head.locate, m.symbol)?;
        } else if let Message::TradingAction(m) = message
            && let Followed::Book(book) = self.follow(m.head.locate, m.symbol)?
        {
            self.books[book.index()].status = m.status;
        }
        Ok(Effect::None)
    }

    /// Applies what happened to a displayed order. Some ten nanoseconds, and cache misses; fewer of those after
    /// [`Books::prefetch`].
    ///
    /// # Errors
    /// As [`Books::apply`].
    #[inline]
    pub fn apply_order(&mut self, event: &OrderEvent) -> Result<Effect, Refusal> {
        match self.apply_usual(event) {
            Some(effect) => Ok(effect),
            None => self.apply_unusual(event),
        }
    }

    /// Applies an event that is about one young order and a level near the touch: most are. Whether the order comes, goes or
    /// stays is not predictable, and a mispredicted branch costs as much as all of this: so all three take the same way.
    /// `None`: nothing was done.
    #[inline(always)]
    fn apply_usual(&mut self, event: &OrderEvent) -> Option<Effect> {
        use OrderEventKind::{Add, Delete, Replace};
        let Books { orders, levels, locates, .. } = self;
        let is_add = event.kind == Add;
        // The places of what is not followed are beyond all books.
        let book = locates[usize::from(event.locate)].wrapping_sub(1);
        let (is_taken, entry) = (!orders.takes_young(event.reference), orders.next_entry());
        let era = orders.era();
        let order = orders.young_slot(event.reference);
        let old = *order;
        let side = select_unpredictable(is_add, event.side, old.side);
        let price = select_unpredictable(is_add, event.price, old.price);
        let shares = select_unpredictable(event.kind == Delete, old.shares, event.shares);
        let left = select_unpredictable(is_add, shares, old.shares.wrapping_sub(shares));
        let comes = !old.is_of(era) & !is_taken;
        let stood = (old.reference == event.reference)
            & (old.era == era)
            & (old.book == book)
            & (shares <= old.shares);
        let fits = select_unpredictable(is_add, comes, stood);
        if !(fits & (shares > 0) & (event.kind != Replace)) {
            return None;
        }
        let is_gone = left == 0;
        let index = SideIndex::of(usize::from(book), side);
        let change = Change {
            symbol: event.symbol(),
            rank: Rank::of(price, side),
            shares,
            is_add,
            is_order: is_add | is_gone,
        };
        let changed = levels.change(index, &change);
        if changed == Changed::Unusual {
            return None;
        }
        let entry = select_unpredictable(is_add, entry, old.entry);
        *order = Order { reference: event.reference, entry, price, shares: left, era, book, side };
        orders.note_young(is_add, is_gone);
        if changed == Changed::MadeEmpty {
            self.refill(BookIndex(book), side);
        }
        Some(effect(event, BookIndex(book), side, price))
    }

    /// Applies any event.
    #[inline(never)]
    fn apply_unusual(&mut self, event: &OrderEvent) -> Result<Effect, Refusal> {
        use OrderEventKind::{Add, Delete, Replace};
        let kind = event.kind;
        if kind == Add {
            return self.add(event);
        }
        let place = self.locates[usize::from(event.locate)];
        if place == UNSEEN || place == IGNORED {
            return self.of_no_book(place);
        }
        let book = BookIndex(place - 1);
        let Some(slot) = self.orders.find(event.reference) else {
            return Err(self.refuse(Misfit::UnknownOrder, Some(book)));
        };
        let order = *self.orders.get(slot);
        let is_whole = (kind == Delete) | (kind == Replace);
        let shares = if is_whole { order.shares } else { event.shares };
        let names_shares = (kind == Delete) | (event.shares > 0);
        if !((order.book == book.0) & names_shares & (shares <= order.shares)) {
            return Err(self.refuse(why(event, &order, book), Some(book)));
        }
        if kind == Replace && self.orders.find(event.second).is_some() {
            return Err(self.refuse(Misfit::DuplicateOrder, Some(book)));
        }
        self.reduce(slot, &order, shares);
        if kind == Replace {
            let reference = event.second;
            // There is room for it: one has just left.
            self.enter(Order { reference, price: event.price, shares: event.shares, ..order })?;
        }
        Ok(effect(event, book, order.side, order.price))
    }

    #[cold]
    fn of_no_book(&mut self, place: u16) -> Result<Effect, Refusal> {
        if place == IGNORED {
            Ok(Effect::None)
        } else {
            Err(self.refuse(Misfit::UnknownOrder, None))
        }
    }

    /// Asks for the memory that an event will need, in two steps of which the second needs what the first asked for: to be
    /// called, step by step, for some events before the first of them is applied, so that their cache misses overlap. Changes
    /// nothing. About a nanosecond.
    #[inline]
    pub fn prefetch(&self, event: &OrderEvent, step: PrefetchStep) {
        let side = |side| {
            let place = self.locates[usize::from(event.locate)].wrapping_sub(1);
            self.levels.prefetch(SideIndex::of(usize::from(place), side));
        };
        let is_add = event.kind == OrderEventKind::Add;
        match step {
            PrefetchStep::First => {
                self.orders.prefetch_young(event.reference);
                self.orders.prefetch_coming(event.reference, is_add);
            }
            PrefetchStep::Second => {
                let young = self.orders.prefetch_old(event.reference);
                side(select_unpredictable(is_add, event.side, young.side));
            }
            PrefetchStep::Alone => {
                self.orders.prefetch_young(event.reference);
                self.orders.prefetch_coming(event.reference, is_add);
                side(Side::Buy);
                side(Side::Sell);
            }
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
        let book = match self.by_symbol(symbol) {
            Some(book) => book,
            None if !self.config.follow_all_symbols => {
                self.locates[usize::from(locate)] = IGNORED;
                return Ok(Followed::Ignored);
            }
            None if self.books.len() == self.config.books_max => {
                return Err(self.refuse(Misfit::BooksFull, None));
            }
            None => self.open(symbol),
        };
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
    fn add(&mut self, event: &OrderEvent) -> Result<Effect, Refusal> {
        let place = self.locates[usize::from(event.locate)];
        let is_known = place != UNSEEN && place != IGNORED && {
            let side = SideIndex::of(usize::from(place - 1), event.side);
            self.levels.symbol(side) == event.symbol()
        };
        let book = if is_known {
            BookIndex(place - 1)
        } else if let Followed::Book(book) = self.follow(event.locate, event.symbol())? {
            book
        } else {
            return Ok(Effect::None);
        };
        if event.shares == 0 {
            return Err(self.refuse(Misfit::ZeroShares, Some(book)));
        }
        self.enter(Order {
            reference: event.reference,
            entry: 0,
            price: event.price,
            shares: event.shares,
            era: 0,
            book: book.0,
            side: event.side,
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
        let rank = Rank::of(order.price, order.side);
        match self.levels.add(SideIndex::of(book.index(), order.side), rank, order.shares) {
            Added::Kept => {}
            Added::Spilled => self.spill_count += 1,
            Added::LevelFull => return Err(self.leave(&order)),
        }
        Ok(())
    }

    /// An order that no level has room for is not entered after all.
    #[cold]
    fn leave(&mut self, order: &Order) -> Refusal {
        let slot = self.orders.find(order.reference).expect("it was entered a moment ago");
        self.orders.remove(slot);
        self.refuse(Misfit::LevelFull, Some(BookIndex(order.book)))
    }

    /// Takes `shares`, all of them or fewer, off an order and its level.
    #[inline]
    fn reduce(&mut self, slot: Slot, order: &Order, shares: u32) {
        let is_gone = shares == order.shares;
        if is_gone {
            self.orders.remove(slot);
        } else {
            self.orders.reduce(slot, shares);
        }
        let rank = Rank::of(order.price, order.side);
        let side = SideIndex::of(usize::from(order.book), order.side);
        if self.levels.reduce(side, rank, shares, is_gone) {
            self.refill(BookIndex(order.book), order.side);
        }
    }

    /// Builds a side's levels anew from the order table. Walks all of it: the price of more levels than there is room
    /// for, paid only when all levels nearer to the touch are gone.
    #[cold]
    fn refill(&mut self, book: BookIndex, side: Side) {
        self.refill_count += 1;
        let place = SideIndex::of(book.index(), side);
        self.levels.clear(place);
        for order in self.orders.iter().filter(|order| order.book == book.0 && order.side == side) {
            self.levels.add(place, Rank::of(order.price, side), order.shares);
        }
    }

    /// Forgets all orders, statuses and locate codes: a new session begins. The books stay.
    pub fn clear(&mut self) {
        self.orders.clear();
        self.locates.fill(UNSEEN);
        for (place, book) in self.books.iter_mut().enumerate() {
            self.levels.clear(SideIndex::of(place, Side::Buy));
            self.levels.clear(SideIndex::of(place, Side::Sell));
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

    /// The book of `symbol`. A search by halves.
    pub fn by_symbol(&self, symbol: Symbol) -> Option<BookIndex> {
        let place = self.by_symbol.binary_search_by_key(&symbol, |&book| self.symbol(book)).ok()?;
        Some(self.by_symbol[place])
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
        Best {
            bid: self.levels.best(book.index(), Side::Buy),
            ask: self.levels.best(book.index(), Side::Sell),
        }
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

    /// Orders in one book. Walks its levels.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn order_count(&self, book: BookIndex) -> u32 {
        let side = |side| self.levels.order_count(SideIndex::of(book.index(), side));
        side(Side::Buy) + side(Side::Sell)
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
        self.levels.iter(book.index(), side)
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

/// What an event did to the book of an order that stood at `price`.
#[inline]
fn effect(event: &OrderEvent, book: BookIndex, resting: Side, price: u32) -> Effect {
    let at_price = event.kind == OrderEventKind::ExecuteAtPrice;
    if !at_price & (event.kind != OrderEventKind::Execute) {
        return Effect::Changed(book);
    }
    Effect::Executed(Execution {
        book,
        price: Price::from_itch4(if at_price { event.price } else { price }),
        shares: event.shares,
        resting,
        match_number: event.second,
        printable: event.is_printable,
    })
}

/// Why an event does not fit the order it is about.
#[cold]
fn why(event: &OrderEvent, order: &Order, book: BookIndex) -> Misfit {
    if order.book != book.0 {
        Misfit::WrongSecurity
    } else if event.shares == 0 {
        Misfit::ZeroShares
    } else {
        Misfit::TooManyShares
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
            Side::Buy => !order.price,
            Side::Sell => order.price,
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
        let price = Price::from_itch4(order.price);
        digest.order(order.side, price, order.shares, order.reference);
    }
    digest.finish()
}
