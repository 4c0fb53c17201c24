//! What ITCH 5.0 tells of the securities of a channel besides their orders: directory, statuses, auctions, trades; and how
//! far the exchange's day is.
//!
//! It stands beside the books and never changes one. Everything is allocated at start; a message costs a few stores, an
//! execution one cache line more than its book. Trades are remembered by their match number in a table that the newest
//! overwrite, so that a broken one can be taken back out of volume and last sale: exchanges number trades one after the
//! other, so the table holds about the last [`trades_kept`]. A break of an older one is counted as unknown.
//!
//! Sections in comments are those of "Nasdaq TotalView-ITCH 5.0" of 2026-02-19.

use crate::feed::book::{BookIndex, Books, Execution};
use crate::feed::itch50::{
    self, BrokenTrade, CrossTrade, LuldCollar, Message, QuotingPeriod, StockDirectory,
};
use crate::types::{
    CrossType, ImbalanceSide, Price, SessionPhase, ShortSaleRestriction, Symbol, TradingStatus,
};

/// Trades that are remembered where `orders_max` orders may be open at once: an eighth as many or up to twice that, 1,024 to
/// 1,048,576; 40 bytes each. It is a busy market that has many orders, and trades.
pub fn trades_kept(orders_max: usize) -> usize {
    (orders_max / 8).clamp(1 << 10, 1 << 20).next_power_of_two()
}

/// Broken trades passed over, at most, on the way back to the last sale that stands.
const STEPS_BACK_MAX: usize = 256;

/// A cross that took place (section 1.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cross {
    /// Which.
    pub kind: CrossType,
    /// Its price.
    pub price: Price,
    /// Shares matched; may be 0, and the price is then none that anybody traded at.
    pub shares: u64,
    /// Number of the match.
    pub match_number: u64,
    /// When: nanoseconds since midnight.
    pub time_ns: u64,
}

/// A cross that is coming (section 1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auction {
    /// Which.
    pub kind: CrossType,
    /// Shares that match at the reference price.
    pub paired_shares: u64,
    /// Shares left over there.
    pub imbalance_shares: u64,
    /// Side of those.
    pub side: ImbalanceSide,
    /// Where the shares are counted; `None` where it says 0.
    pub reference_price: Option<Price>,
    /// Where the orders of cross and book would clear; `None` where it says 0.
    pub near_price: Option<Price>,
    /// Where the orders of the cross alone would clear; `None` where it says 0.
    pub far_price: Option<Price>,
    /// When it was so: nanoseconds since midnight.
    pub time_ns: u64,
}

/// What is known of one security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// Its properties (section 1.2.1).
    pub directory: Option<StockDirectory>,
    /// Trading status across all markets (section 1.2.2).
    pub trading: TradingStatus,
    /// Why, as told with it.
    pub reason: [u8; 4],
    /// Markets at which it is halted operationally (section 1.2.8).
    pub halts: MarketHalts,
    /// The short sale price test (section 1.2.3).
    pub short_sale: ShortSaleRestriction,
    /// The prices within which it may reopen after a pause (section 1.2.7); `None` once it trades again.
    pub collar: Option<LuldCollar>,
    /// When it is to be released for quotation, where it is new (section 1.2.6).
    pub release: Option<QuotingPeriod>,
    /// The cross that is coming, as told last; `None` once it took place.
    pub auction: Option<Auction>,
    /// The opening cross; of a new security the cross it was released by.
    pub opening: Option<Cross>,
    /// The closing cross.
    pub closing: Option<Cross>,
    /// The last cross of a halted, paused or new security.
    pub reopening: Option<Cross>,
}

impl Security {
    /// One nothing was said of yet.
    pub const UNKNOWN: Security = Security {
        directory: None,
        trading: TradingStatus::Unknown,
        reason: *b"    ",
        halts: MarketHalts(0),
        short_sale: ShortSaleRestriction::Unknown,
        collar: None,
        release: None,
        auction: None,
        opening: None,
        closing: None,
        reopening: None,
    };

    /// The status at Nasdaq: that of all markets, unless Nasdaq alone has halted it.
    #[inline]
    pub const fn status(&self) -> TradingStatus {
        if self.halts.at(MarketHalts::NASDAQ) { TradingStatus::Halted } else { self.trading }
    }

    /// Shares of its round lot, once the directory was told.
    pub fn round_lot(&self) -> Option<u32> {
        self.directory.map(|directory| directory.round_lot)
    }

    /// Whether orders have to be whole multiples of its round lot; `false` until the directory was told.
    pub fn is_round_lots_only(&self) -> bool {
        self.directory.is_some_and(|directory| directory.round_lots_only == b'Y')
    }

    /// Whether it is to be traded for the first time.
    fn is_new(&self) -> bool {
        self.directory.is_some_and(|directory| directory.ipo == b'Y')
    }

    /// The official opening price; `None` where nothing was matched.
    pub fn opening_price(&self) -> Option<Price> {
        self.opening.filter(|cross| cross.shares > 0).map(|cross| cross.price)
    }

    /// The official closing price; `None` where nothing was matched.
    pub fn closing_price(&self) -> Option<Price> {
        self.closing.filter(|cross| cross.shares > 0).map(|cross| cross.price)
    }
}

/// The step between prices that orders may have, by Regulation NMS, rule 612 (17 CFR 242.612): a cent from 1.00 USD on, a
/// hundredth of a cent below. ITCH does not tell it.
pub fn tick_of(price: Price) -> Price {
    const DOLLAR: Price = Price::from_itch4(10_000);
    if price >= DOLLAR { Price::from_itch4(100) } else { Price::from_itch4(1) }
}

/// Markets at which a security is halted operationally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MarketHalts(u8);

impl MarketHalts {
    /// The letter of Nasdaq.
    pub const NASDAQ: u8 = b'Q';

    const fn bit(market: u8) -> u8 {
        match market {
            MarketHalts::NASDAQ => 1,
            b'B' => 2,
            b'X' => 4,
            _ => 0,
        }
    }

    /// Whether it is halted at the market with this letter (`Q`, `B`, `X`).
    #[inline]
    pub const fn at(self, market: u8) -> bool {
        self.0 & MarketHalts::bit(market) != 0
    }

    fn set(&mut self, market: u8, is_halted: bool) {
        self.0 &= !MarketHalts::bit(market);
        self.0 |= MarketHalts::bit(market) * u8::from(is_halted);
    }
}

/// What was traded of one security, without what was broken. Of a day that was joined late: see
/// [`MarketState::is_since_start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sales {
    /// Shares, of all trades that belong into time and sales.
    pub volume: u64,
    /// How many those were.
    pub trades: u64,
    /// The last of them; `None` where there was none, or where it is not known any more.
    pub last: Option<Sale>,
}

/// A trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Number of the match.
    pub match_number: u64,
    /// Price.
    pub price: Price,
    /// Shares.
    pub shares: u64,
}

/// A trade in the table of those remembered.
#[derive(Clone, Copy, Debug)]
struct Kept {
    sale: Sale,
    /// The one before it of the same security.
    previous: u64,
    book: BookIndex,
    is_kept: bool,
    is_broken: bool,
}

impl Kept {
    const NONE: Kept = Kept {
        sale: Sale { match_number: 0, price: Price::from_itch4(0), shares: 0 },
        previous: 0,
        book: BookIndex(0),
        is_kept: false,
        is_broken: false,
    };
}

/// What went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MarketCounts {
    /// Trades that were broken.
    pub breaks: u64,
    /// Those of them that were not known, or not any more.
    pub unknown_breaks: u64,
    /// Messages whose symbol is not that of their stock locate code, and that were left out for it.
    pub misfits: u64,
}

/// What a message changed of what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketChange {
    /// The session phase, or the market-wide circuit breaker.
    Session,
    /// The session phase, and any security's status: all are forgotten, or taken as halted for want of word.
    AllStatuses,
    /// A security's directory entry.
    Directory(BookIndex),
    /// A security's status or short sale price test.
    Status(BookIndex),
    /// How a security's cross stands.
    Auction(BookIndex),
    /// A cross took place.
    Cross(BookIndex, Cross),
    /// A trade is void: its number, and what it was, where that is known.
    Break(BookIndex, u64, Option<Sale>),
}

/// The state of a channel's securities and of its exchange's day.
#[derive(Debug)]
pub struct MarketState {
    securities: Vec<Security>,
    sales: Vec<Sales>,
    trades: Box<[Kept]>,
    phase: SessionPhase,
    decline_levels: Option<[u64; 3]>,
    breached_level: u8,
    is_since_start: bool,
    counts: MarketCounts,
}

impl MarketState {
    /// State for as many securities as there may be books, which remembers `trades_kept` trades. Allocates all there is.
    ///
    /// # Panics
    /// If `trades_kept` is no power of two.
    pub fn new(books_max: usize, trades_kept: usize) -> MarketState {
        assert!(trades_kept.is_power_of_two(), "{trades_kept} trades");
        MarketState {
            securities: vec![Security::UNKNOWN; books_max],
            sales: vec![Sales::default(); books_max],
            trades: vec![Kept::NONE; trades_kept].into_boxed_slice(),
            phase: SessionPhase::Unknown,
            decline_levels: None,
            breached_level: 0,
            is_since_start: false,
            counts: MarketCounts::default(),
        }
    }

    /// What is known of a security.
    ///
    /// # Panics
    /// If the place is not one of this channel's.
    #[inline]
    pub fn security(&self, book: BookIndex) -> &Security {
        &self.securities[book.index()]
    }

    /// What was traded of a security.
    ///
    /// # Panics
    /// As [`MarketState::security`].
    #[inline]
    pub fn sales(&self, book: BookIndex) -> &Sales {
        &self.sales[book.index()]
    }

    /// How far the exchange's day is.
    #[inline]
    pub const fn phase(&self) -> SessionPhase {
        self.phase
    }

    /// Levels 1 to 3 of today's market-wide circuit breaker, in units of 1e-8 (section 1.2.5.1).
    pub const fn decline_levels(&self) -> Option<[u64; 3]> {
        self.decline_levels
    }

    /// The highest level of it that was breached today (section 1.2.5.2); 0: none.
    #[inline]
    pub const fn breached_level(&self) -> u8 {
        self.breached_level
    }

    /// Whether everything since the first message of the day is in here. If not (the channel was joined late, by a snapshot
    /// or without), crosses and sales are those since then, and what a snapshot does not tell is unknown until told.
    pub const fn is_since_start(&self) -> bool {
        self.is_since_start
    }

    /// What went by, over all sessions.
    pub const fn counts(&self) -> MarketCounts {
        self.counts
    }

    /// Whether orders of this security match as they come: market hours, trading, and no opening or reopening cross ahead.
    /// Then its book cannot be crossed. The closing cross is prepared while trading goes on.
    pub fn is_continuous(&self, book: BookIndex) -> bool {
        let security = self.security(book);
        let is_open = self.phase == SessionPhase::MarketHours;
        let is_crossing = security
            .auction
            .is_some_and(|auction| matches!(auction.kind, CrossType::Opening | CrossType::Halt));
        is_open && security.status() == TradingStatus::Trading && !is_crossing
    }

    /// Forgets everything but the counts: a new session begins, or a snapshot.
    pub fn clear(&mut self) {
        self.securities.fill(Security::UNKNOWN);
        self.sales.fill(Sales::default());
        self.trades.fill(Kept::NONE);
        self.phase = SessionPhase::Unknown;
        self.decline_levels = None;
        self.breached_level = 0;
        self.is_since_start = false;
    }

    /// Takes as halted what the directory names and no trading action does: so it is from the start of system hours on
    /// (section 1.2.2), and at the end of a snapshot ("Nasdaq GLIMPSE 5.0", section 1.4).
    pub fn halt_absent(&mut self) {
        for security in &mut self.securities {
            if security.directory.is_some() && security.trading == TradingStatus::Unknown {
                security.trading = TradingStatus::Halted;
            }
        }
    }

    /// An order of a book that is followed traded.
    #[inline]
    pub fn executed(&mut self, execution: &Execution) {
        if execution.printable {
            let Execution { price, match_number, .. } = *execution;
            let shares = u64::from(execution.shares);
            self.sold(execution.book, Sale { match_number, price, shares });
        }
    }

    #[inline]
    fn place(&self, match_number: u64) -> usize {
        let last = self.trades.len() - 1;
        usize::try_from(match_number & u64::try_from(last).unwrap_or(u64::MAX)).unwrap_or(last)
    }

    fn sold(&mut self, book: BookIndex, sale: Sale) {
        let place = self.place(sale.match_number);
        let sales = &mut self.sales[book.index()];
        let previous = sales.last.map_or(0, |last| last.match_number);
        sales.volume = sales.volume.saturating_add(sale.shares);
        sales.trades += 1;
        sales.last = Some(sale);
        self.trades[place] = Kept { sale, previous, book, is_kept: true, is_broken: false };
    }

    /// The trade with this number, if it is remembered and of this security.
    fn kept(&self, book: BookIndex, match_number: u64) -> Option<&Kept> {
        let kept = &self.trades[self.place(match_number)];
        let is_it = kept.is_kept && kept.sale.match_number == match_number && kept.book == book;
        is_it.then_some(kept)
    }

    /// Takes a broken trade out of volume and last sale.
    fn void(&mut self, book: BookIndex, match_number: u64) -> Option<Sale> {
        let kept = *self.kept(book, match_number).filter(|kept| !kept.is_broken)?;
        let place = self.place(match_number);
        self.trades[place].is_broken = true;
        let sales = &mut self.sales[book.index()];
        sales.volume = sales.volume.saturating_sub(kept.sale.shares);
        sales.trades = sales.trades.saturating_sub(1);
        if sales.last.is_some_and(|last| last.match_number == match_number) {
            self.sales[book.index()].last = self.standing(book, kept.previous);
        }
        Some(kept.sale)
    }

    /// The newest trade from `match_number` back that stands; `None` if it is not known any more.
    fn standing(&self, book: BookIndex, mut match_number: u64) -> Option<Sale> {
        for _ in 0..STEPS_BACK_MAX {
            let kept = self.kept(book, match_number)?;
            if !kept.is_broken {
                return Some(kept.sale);
            }
            match_number = kept.previous;
        }
        None
    }

    /// Applies a message that fitted `books`; what it changed, if anything. A message about an order does nothing here:
    /// [`MarketState::executed`] is told what it did.
    #[cold]
    pub fn apply(&mut self, books: &Books, message: &Message) -> Option<MarketChange> {
        let locate = message.head().locate;
        match message {
            Message::SystemEvent(m) => Some(self.session(m.event)),
            Message::StockDirectory(m) => {
                let book = self.book(books, locate, m.symbol)?;
                self.securities[book.index()].directory = Some(*m);
                Some(MarketChange::Directory(book))
            }
            Message::TradingAction(m) => {
                let book = self.book(books, locate, m.symbol)?;
                self.act(book, m.status, m.reason);
                Some(MarketChange::Status(book))
            }
            Message::RegShoRestriction(m) => {
                let book = self.book(books, locate, m.symbol)?;
                let test = ShortSaleRestriction::from_wire(m.action);
                self.securities[book.index()].short_sale =
                    test.unwrap_or(ShortSaleRestriction::Unknown);
                Some(MarketChange::Status(book))
            }
            Message::OperationalHalt(m) => {
                let book = self.book(books, locate, m.symbol)?;
                // What is neither is not known to be trading.
                self.securities[book.index()].halts.set(m.market, m.action != b'T');
                Some(MarketChange::Status(book))
            }
            Message::LuldCollar(m) => {
                let book = self.book(books, locate, m.symbol)?;
                self.securities[book.index()].collar = Some(*m);
                None
            }
            Message::QuotingPeriod(m) => {
                // Its stock locate is always 0 (section 1.2.6).
                let book = books.by_symbol(m.symbol)?;
                let release = Some(*m).filter(|m| m.qualifier != b'C');
                self.securities[book.index()].release = release;
                None
            }
            Message::MwcbDeclineLevel(m) => {
                self.decline_levels = Some(m.levels);
                None
            }
            Message::MwcbStatus(m) => {
                let level = m.breached_level.saturating_sub(b'0');
                // A letter the specification does not have may be any level.
                let level = if (1..=3).contains(&level) { level } else { 3 };
                self.breached_level = self.breached_level.max(level);
                Some(MarketChange::Session)
            }
            Message::Imbalance(m) => self.imbalance(books, m),
            Message::CrossTrade(m) => self.cross(books, m),
            Message::Trade(m) => {
                let book = self.book(books, locate, m.symbol)?;
                let (match_number, price) = (m.match_number, m.price);
                self.sold(book, Sale { match_number, price, shares: u64::from(m.shares) });
                None
            }
            Message::BrokenTrade(m) => self.broken(books, m),
            Message::AddOrder(_)
            | Message::OrderExecuted(_)
            | Message::OrderExecutedWithPrice(_)
            | Message::OrderCancel(_)
            | Message::OrderDelete(_)
            | Message::OrderReplace(_)
            | Message::ParticipantPosition(_)
            | Message::RetailInterest(_)
            | Message::CapitalRaise(_) => None,
        }
    }

    /// The book of a message that names its symbol, if it is followed and the symbol is its own.
    fn book(&mut self, books: &Books, locate: u16, symbol: Symbol) -> Option<BookIndex> {
        let book = books.by_locate(locate)?;
        let is_its_own = books.symbol(book) == symbol;
        self.counts.misfits += u64::from(!is_its_own);
        is_its_own.then_some(book)
    }

    /// A milestone of the day (section 1.1).
    fn session(&mut self, event: u8) -> MarketChange {
        self.phase = SessionPhase::from_wire(event).unwrap_or(SessionPhase::Unknown);
        match self.phase {
            SessionPhase::BeforeSystemHours => self.is_since_start = true,
            SessionPhase::BeforeMarketHours if self.is_since_start => {
                self.halt_absent();
                return MarketChange::AllStatuses;
            }
            // The closing crosses, and the extended close, are over.
            SessionPhase::AfterSystemHours | SessionPhase::AfterEndOfMessages => {
                self.securities.iter_mut().for_each(|security| security.auction = None);
            }
            SessionPhase::BeforeMarketHours
            | SessionPhase::MarketHours
            | SessionPhase::AfterMarketHours
            | SessionPhase::Unknown => {}
        }
        MarketChange::Session
    }

    /// A trading action (section 1.2.2).
    fn act(&mut self, book: BookIndex, status: TradingStatus, reason: [u8; 4]) {
        let security = &mut self.securities[book.index()];
        (security.trading, security.reason) = (status, reason);
        if status == TradingStatus::Trading {
            security.collar = None;
            security.release = None;
            security.auction = security.auction.filter(|auction| auction.kind != CrossType::Halt);
        }
    }

    fn imbalance(&mut self, books: &Books, m: &itch50::Imbalance) -> Option<MarketChange> {
        let book = self.book(books, m.head.locate, m.symbol)?;
        let price = |price: Price| Some(price).filter(|&price| price != Price::from_itch4(0));
        self.securities[book.index()].auction = Some(Auction {
            kind: CrossType::from_wire(m.cross).unwrap_or(CrossType::Unknown),
            paired_shares: m.paired_shares,
            imbalance_shares: m.imbalance_shares,
            side: ImbalanceSide::from_wire(m.direction).unwrap_or(ImbalanceSide::Unknown),
            reference_price: price(m.reference_price),
            near_price: price(m.near_price),
            far_price: price(m.far_price),
            time_ns: m.head.time_ns,
        });
        Some(MarketChange::Auction(book))
    }

    fn cross(&mut self, books: &Books, m: &CrossTrade) -> Option<MarketChange> {
        let book = self.book(books, m.head.locate, m.symbol)?;
        let CrossTrade { price, shares, match_number, .. } = *m;
        let kind = CrossType::from_wire(m.cross).unwrap_or(CrossType::Unknown);
        let cross = Cross { kind, price, shares, match_number, time_ns: m.head.time_ns };
        let security = &mut self.securities[book.index()];
        match kind {
            CrossType::Opening => security.opening = Some(cross),
            CrossType::Closing => security.closing = Some(cross),
            CrossType::Halt => {
                let was_opened = security.opening.is_some_and(|cross| cross.shares > 0);
                if security.is_new() && !was_opened {
                    security.opening = Some(cross);
                }
                security.reopening = Some(cross);
            }
            CrossType::ExtendedClose
            | CrossType::Initial
            | CrossType::Volatility
            | CrossType::Unknown => {}
        }
        security.auction = security.auction.filter(|auction| auction.kind != kind);
        if shares > 0 {
            self.sold(book, Sale { match_number, price, shares });
        }
        Some(MarketChange::Cross(book, cross))
    }

    /// A broken trade (section 1.5.3): it names no symbol.
    fn broken(&mut self, books: &Books, m: &BrokenTrade) -> Option<MarketChange> {
        let book = books.by_locate(m.head.locate)?;
        let sale = self.void(book, m.match_number);
        self.counts.breaks += 1;
        self.counts.unknown_breaks += u64::from(sale.is_none());
        Some(MarketChange::Break(book, m.match_number, sale))
    }
}
