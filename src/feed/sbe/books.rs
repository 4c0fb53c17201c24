//! The books of one stream of another gateway's market data: what it tells, as far as it is known.
//!
//! A book is *known* up to a number of the stream: from then on it is kept by changes, and each snapshot is compared with
//! it. One that is not known is stale, and becomes known by a `BookStatus`, behind which the gateway tells all of it, or by a
//! snapshot. What arrives of it meanwhile is kept, as far as there is room, so that a snapshot taken before can be brought up to
//! date.
//!
//! That states were left out because we read slowly (`ConflationNotice`) makes no book wrong: what follows is the newest.

use std::collections::VecDeque;

use crate::codec::market_data::{
    BookStatus, MarketDataIncrementalRefresh, MarketDataSnapshotFullRefresh, SecurityDefinition,
    TopOfBook,
};
use crate::feed::book::{Best, BookIndex};
use crate::feed::digest::BookDigest;
use crate::feed::publish::DEPTH_MAX;
use crate::feed::sbe::instruments::{Contradiction, Instruments};
use crate::feed::sbe::upstream::Upstream;
use crate::mirror::{Assembly, Level, MirroredBook};
use crate::types::{BookState, InstrumentId, Price, Side, Symbol, TradingStatus};

/// Changes of books that are not known that are kept for a snapshot to be brought up to date with: the oldest goes first.
pub const HISTORY_MESSAGES_MAX: usize = 1 << 14;

/// How far a snapshot may be ahead of what was read of the stream of changes. The two streams do not wait for each other, but
/// one that is further ahead is not believed: all changes up to it would be passed over.
pub const AHEAD_MAX: u64 = 1 << 16;

/// What the books went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BooksCounts {
    /// Changes that did not fit their book.
    pub misfits: u64,
    /// Snapshots that made a book known.
    pub installed: u64,
    /// Snapshots that were equal to their book.
    pub matched: u64,
    /// Snapshots that were not; the book was made anew from them.
    pub differed: u64,
    /// Snapshots, and pieces of some, that were of no use: of another run, begun before we came, or too late.
    pub passed: u64,
}

/// What a snapshot did to its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing: it is equal.
    Same,
    /// The book may show something else.
    Changed,
}

/// One instrument.
#[derive(Debug)]
struct Entry {
    symbol: Symbol,
    book: MirroredBook,
    best: Best,
    /// The last best bid and offer that was told, and its number.
    top: Option<(u64, Best)>,
    /// The number up to which the book is known; `None` while it is not.
    known: Option<u64>,
    /// The number of its last change.
    changed: u64,
    /// Only a snapshot that goes as far makes the book known: something before it is not kept.
    floor: u64,
    status: Option<TradingStatus>,
}

impl Entry {
    fn new(symbol: Symbol) -> Entry {
        Entry {
            symbol,
            book: MirroredBook::with_room(DEPTH_MAX),
            best: Best::default(),
            top: None,
            known: None,
            changed: 0,
            floor: 0,
            status: None,
        }
    }

    /// The book is not known any more; a snapshot has to go up to `floor`.
    fn lose(&mut self, floor: u64) {
        self.book.reset(BookState::Stale);
        self.best = Best::default();
        self.known = None;
        self.floor = floor;
    }

    #[inline]
    fn best_of_levels(&self) -> Best {
        let best = |side| self.book.best(side).map(|level| (level.price, level.size));
        Best { bid: best(Side::Buy), ask: best(Side::Sell) }
    }

    /// Makes one change that is the book's next; `false` if it does not fit.
    #[inline]
    fn change(&mut self, change: &MarketDataIncrementalRefresh) -> bool {
        if self.book.apply(change).is_err() {
            self.lose(change.rpt_seq);
            return false;
        }
        self.known = Some(change.rpt_seq);
        self.changed = change.rpt_seq;
        if self.book.is_whole() {
            self.best = self.best_of_levels();
        }
        true
    }
}

/// The books of the instruments that are followed. All memory is allocated at start.
#[derive(Debug)]
pub struct Books {
    entries: Vec<Entry>,
    /// Sorted.
    symbols: Vec<(Symbol, BookIndex)>,
    instruments: Instruments,
    history: VecDeque<(BookIndex, MarketDataIncrementalRefresh)>,
    /// Changes up to this one may have gone from the history.
    forgotten: u64,
    assembly: Assembly,
    /// What the stream of snapshots says next an instrument is: believed once a snapshot says of which run that is.
    announced: Option<SecurityDefinition>,
    counts: BooksCounts,
}

impl Books {
    /// Books for `symbols`, in this order.
    ///
    /// # Panics
    /// If there are more than fit 16 bits, or a symbol is named twice.
    pub fn new(symbols: &[Symbol]) -> Books {
        let index = |place| BookIndex(u16::try_from(place).expect("no more books than 16 bits"));
        let mut sorted: Vec<(Symbol, BookIndex)> =
            symbols.iter().enumerate().map(|(place, &symbol)| (symbol, index(place))).collect();
        sorted.sort_unstable_by_key(|(symbol, _)| *symbol);
        for pair in sorted.windows(2) {
            assert!(pair[0].0 != pair[1].0, "{} is named twice", pair[0].0);
        }
        Books {
            entries: symbols.iter().map(|&symbol| Entry::new(symbol)).collect(),
            symbols: sorted,
            instruments: Instruments::new(symbols.len()),
            history: VecDeque::with_capacity(HISTORY_MESSAGES_MAX),
            forgotten: 0,
            assembly: Assembly::with_room(DEPTH_MAX),
            announced: None,
            counts: BooksCounts::default(),
        }
    }

    /// Another run of the gateway publishes: it may number its instruments as it likes.
    pub(super) fn forget_numbers(&mut self) {
        self.instruments.clear();
        self.begin_snapshot_anew();
    }

    /// No book is known any more, nor any trading status.
    pub(super) fn lose_all(&mut self) {
        for entry in &mut self.entries {
            entry.lose(0);
            entry.top = None;
            entry.status = None;
        }
        self.history.clear();
        self.forgotten = 0;
    }

    /// Another publisher speaks on the stream of snapshots: what was begun is not gone on with.
    pub(super) fn begin_snapshot_anew(&mut self) {
        self.assembly.clear();
        self.announced = None;
    }

    /// The book of an instrument by the other gateway's number.
    #[inline]
    pub(super) fn by_number(&self, number: InstrumentId) -> Option<BookIndex> {
        self.instruments.book(number)
    }

    /// The book of `symbol`, if it is followed.
    pub fn by_symbol(&self, symbol: Symbol) -> Option<BookIndex> {
        let at = self.symbols.binary_search_by_key(&symbol, |(symbol, _)| *symbol).ok()?;
        Some(self.symbols[at].1)
    }

    /// Takes what an instrument's number is, after the stream was read up to `position`.
    ///
    /// # Errors
    /// [`Contradiction`] if this run of the gateway said something else before.
    pub(super) fn define(
        &mut self,
        definition: &SecurityDefinition,
        position: u64,
    ) -> Result<(), Contradiction> {
        let book = self.by_symbol(Symbol::from_wire(definition.symbol));
        let is_new = self.instruments.set(definition.security_id, book)?;
        if let Some(book) = book.filter(|_| is_new) {
            // What was told of it so far went unread.
            self.entries[book.index()].lose(position);
        }
        Ok(())
    }

    /// Takes a trading status; `true` if it is another.
    pub(super) fn set_status(&mut self, book: BookIndex, status: TradingStatus) -> bool {
        self.entries[book.index()].status.replace(status) != Some(status)
    }

    /// Takes a best bid and offer; `true` if the book shows it.
    #[inline]
    pub(super) fn top(&mut self, book: BookIndex, m: &TopOfBook) -> bool {
        let entry = &mut self.entries[book.index()];
        let best = Best {
            bid: m.bid_px.map(|price| (price, m.bid_size)),
            ask: m.offer_px.map(|price| (price, m.offer_size)),
        };
        entry.top = Some((m.rpt_seq, best));
        let is_news = entry.known.is_some_and(|known| m.rpt_seq > known);
        if is_news && entry.book.state() == BookState::Current {
            entry.best = best;
        }
        is_news
    }

    /// Takes a change of a level; `true` if the book may show something else than before.
    #[inline]
    pub(super) fn change(&mut self, book: BookIndex, m: &MarketDataIncrementalRefresh) -> bool {
        let entry = &mut self.entries[book.index()];
        match entry.known {
            Some(known) if m.rpt_seq <= known => false,
            Some(_) => {
                let fits = entry.change(m);
                self.counts.misfits += u64::from(!fits);
                !fits || entry.book.is_whole()
            }
            None => {
                self.keep(book, m);
                false
            }
        }
    }

    #[cold]
    fn keep(&mut self, book: BookIndex, m: &MarketDataIncrementalRefresh) {
        if self.history.len() == HISTORY_MESSAGES_MAX
            && let Some((_, oldest)) = self.history.pop_front()
        {
            self.forgotten = oldest.rpt_seq;
        }
        self.history.push_back((book, *m));
    }

    /// Takes that a book begins anew; `true` if that is news.
    pub(super) fn begin(&mut self, book: BookIndex, m: &BookStatus) -> bool {
        let entry = &mut self.entries[book.index()];
        if entry.known.is_some_and(|known| m.rpt_seq <= known) {
            return false;
        }
        entry.book.reset(m.book_state);
        entry.best = Best::default();
        entry.known = Some(m.rpt_seq);
        entry.changed = m.rpt_seq;
        true
    }

    /// Takes what the stream of snapshots says an instrument is.
    pub(super) fn announce(&mut self, definition: &SecurityDefinition) {
        self.announced = Some(*definition);
    }

    /// Takes a message of a snapshot; the book that it completes the snapshot of, and what came of it.
    ///
    /// # Errors
    /// [`Contradiction`] if this run of the gateway gave the instrument another number before.
    pub(super) fn snapshot(
        &mut self,
        m: &MarketDataSnapshotFullRefresh,
        upstream: &Upstream,
    ) -> Result<Option<(BookIndex, Outcome)>, Contradiction> {
        let is_own = upstream.current() == Some(i32::from_ne_bytes(m.source_id.to_ne_bytes()));
        let Some(next) = upstream.next().filter(|_| is_own) else {
            self.counts.passed += 1;
            return Ok(None);
        };
        let position = next.saturating_sub(1);
        if let Some(definition) = self.announced.take_if(|it| it.security_id == m.security_id) {
            self.define(&definition, position)?;
        }
        let Some(book) = self.by_number(m.security_id) else { return Ok(None) };
        let Books { assembly, entries, counts, .. } = self;
        let snapshot = match assembly.add(m) {
            Ok(None) => return Ok(None),
            Ok(Some(snapshot)) => snapshot,
            Err(_) => {
                counts.passed += 1;
                return Ok(None);
            }
        };
        let entry = &mut entries[book.index()];
        let at = snapshot.rpt_seq;
        match entry.known {
            None => {
                let oldest = upstream.joined().saturating_sub(1);
                let oldest = oldest.max(self.forgotten).max(entry.floor);
                if at < oldest || at > position.saturating_add(AHEAD_MAX) {
                    counts.passed += 1;
                    return Ok(None);
                }
                counts.installed += 1;
            }
            // Not of the same moment.
            Some(_) if at > position || at < entry.changed => {
                counts.passed += 1;
                return Ok(None);
            }
            Some(_) if entry.book.check(snapshot).is_ok() => {
                counts.matched += 1;
                return Ok(Some((book, Outcome::Same)));
            }
            Some(_) => counts.differed += 1,
        }
        // The assembly has no more room than the book.
        if entry.book.copy_from(&snapshot.book).is_err() {
            entry.lose(at);
        } else {
            self.bring_up_to_date(book, at);
        }
        Ok(Some((book, Outcome::Changed)))
    }

    /// Makes the book, which is that of the moment `at`, what it is now.
    fn bring_up_to_date(&mut self, book: BookIndex, at: u64) {
        let entry = &mut self.entries[book.index()];
        (entry.known, entry.changed) = (Some(at), at);
        entry.best = entry.best_of_levels();
        let first = self.history.partition_point(|(_, change)| change.rpt_seq <= at);
        for (other, change) in self.history.range(first..) {
            if *other == book && !entry.change(change) {
                self.counts.misfits += 1;
                return;
            }
        }
        // What is told of the best comes before the levels that make it so.
        let told = if entry.book.is_whole() { entry.changed } else { at };
        if let Some((rpt_seq, best)) = entry.top
            && rpt_seq > told
            && entry.book.state() == BookState::Current
        {
            entry.best = best;
        }
    }

    /// Every book's place.
    pub fn indices(&self) -> impl Iterator<Item = BookIndex> + use<> {
        (0..u16::try_from(self.entries.len()).unwrap_or(u16::MAX)).map(BookIndex)
    }

    /// Best bid and offer; none of a stale book.
    ///
    /// # Panics
    /// If the place is not one of these books'.
    #[inline]
    pub fn best(&self, book: BookIndex) -> Best {
        self.entries[book.index()].best
    }

    /// The book's symbol.
    ///
    /// # Panics
    /// As [`Books::best`].
    pub fn symbol(&self, book: BookIndex) -> Symbol {
        self.entries[book.index()].symbol
    }

    /// Whether the book is not known, or the other gateway says that it may be wrong.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn is_stale(&self, book: BookIndex) -> bool {
        let entry = &self.entries[book.index()];
        entry.known.is_none() || entry.book.state() != BookState::Current
    }

    /// Whether a change was told in part.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn is_in_transition(&self, book: BookIndex) -> bool {
        !self.entries[book.index()].book.is_whole()
    }

    /// The trading status as last told.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn status(&self, book: BookIndex) -> TradingStatus {
        self.entries[book.index()].status.unwrap_or(TradingStatus::Unknown)
    }

    /// The levels of one side, best first, as many as are told.
    ///
    /// # Panics
    /// As [`Books::best`].
    #[inline]
    pub fn levels(
        &self,
        book: BookIndex,
        side: Side,
    ) -> impl Iterator<Item = (Price, u64, u32)> + '_ {
        let levels = self.entries[book.index()].book.levels(side);
        levels.iter().map(|Level { price, size, orders }| (*price, *size, *orders))
    }

    /// Followed instruments that the other gateway's run has not named: their books stay stale.
    pub const fn unnamed_count(&self) -> usize {
        self.instruments.nameless()
    }

    /// What the books went through.
    pub const fn counts(&self) -> &BooksCounts {
        &self.counts
    }
}

/// The digest ([`BookDigest`]) of the books of several streams: each level goes in as one order, with the number of its orders
/// for a reference. Those of one symbol follow each other in the order of the streams.
pub fn digest_of<'a>(streams: impl IntoIterator<Item = &'a Books>) -> u64 {
    let mut entries: Vec<&Entry> = streams.into_iter().flat_map(|stream| &stream.entries).collect();
    entries.sort_by_key(|entry| entry.symbol);
    let mut digest = BookDigest::new();
    for entry in entries {
        let sides = [Side::Buy, Side::Sell];
        if sides.iter().all(|side| entry.book.levels(*side).is_empty()) {
            continue;
        }
        digest.book(entry.symbol);
        for side in sides {
            for level in entry.book.levels(side) {
                let shares = u32::try_from(level.size).unwrap_or(u32::MAX);
                digest.order(side, level.price, shares, u64::from(level.orders));
            }
        }
    }
    digest.finish()
}
