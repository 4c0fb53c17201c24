//! The books of all instruments of one stream of market data, kept by what the stream tells and by snapshots. Pure.
//!
//! A book is *known* up to an `RptSeq`: from then on it is kept by changes, and each snapshot is compared with it. A hole in
//! `RptSeq` says that messages were lost, so no book is known any more. A book becomes known again by a
//! `BookStatus`, behind which the gateway tells all of it, or by a snapshot: what arrived of a book that is not known is kept for
//! a while, so that a snapshot taken before it can be brought up to date, and one that is ahead lets older changes pass.

use std::collections::{BTreeMap, VecDeque};

use crate::codec::market_data::{
    AuctionImbalance, MarketData, MarketDataIncrementalRefresh, TopOfBook,
};
use crate::mirror::{Assembly, Difference, MirroredBook, SnapshotOfBook};
use crate::types::{BookState, InstrumentId, TradingStatus};

/// Changes of books that are not known that are kept for a snapshot to be brought up to date with: the oldest goes first.
pub const HISTORY_MESSAGES_MAX: usize = 1 << 16;

/// Most instruments that are followed.
const INSTRUMENTS_MAX: usize = 1 << 17;

/// What a mirror met with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    /// Messages of the stream of market data.
    pub messages: u64,
    /// Holes in its sequence, and publishers that took over from another.
    pub holes: u64,
    /// States of books that the gateway left out, as it told.
    pub conflated: u64,
    /// Trades that it left out.
    pub dropped_trades: u64,
    /// Changes that did not fit their book, and pieces of snapshots that did not fit together.
    pub misfits: u64,
    /// Snapshots that made a book known.
    pub installed: u64,
    /// Snapshots that were equal to their book.
    pub matched: u64,
    /// Snapshots that were not; the book was made anew from them.
    pub differed: u64,
    /// Snapshots that could not be compared: their book had changed since, or they came too late to be brought up to date.
    pub passed: u64,
}

/// One instrument.
#[derive(Clone, Debug)]
struct Entry {
    book: MirroredBook,
    /// The `RptSeq` up to which the book is known; `None` while it is not.
    known: Option<u64>,
    /// The `RptSeq` of its last change.
    changed: u64,
    /// Only a snapshot that goes as far makes the book known: before it, something is not kept.
    floor: u64,
    /// A snapshot that is ahead of the stream, to be compared when the stream is there.
    ahead: Option<SnapshotOfBook>,
    top: Option<TopOfBook>,
    status: Option<TradingStatus>,
    auction: Option<AuctionImbalance>,
    symbol: Option<[u8; 8]>,
}

impl Entry {
    fn new() -> Entry {
        Entry {
            book: MirroredBook::empty(BookState::Stale),
            known: None,
            changed: 0,
            floor: 0,
            ahead: None,
            top: None,
            status: None,
            auction: None,
            symbol: None,
        }
    }

    /// Nothing is known any more; a snapshot has to go up to `floor`.
    fn lose(&mut self, floor: u64) {
        self.floor = floor;
        self.book.reset(BookState::Stale);
        self.known = None;
        self.ahead = None;
        self.top = None;
    }

    fn install(&mut self, snapshot: SnapshotOfBook) {
        self.known = Some(snapshot.rpt_seq);
        self.changed = snapshot.rpt_seq;
        self.book = snapshot.book;
    }
}

/// The books of one stream of market data. Allocates as it meets new instruments, levels and losses.
#[derive(Clone, Debug, Default)]
pub struct BookMirror {
    entries: BTreeMap<InstrumentId, Entry>,
    /// Who publishes the stream, as its messages or a snapshot said.
    source: Option<i32>,
    /// Whether a message of the stream was read since.
    is_heard: bool,
    /// First and next message of the stream since the last hole.
    joined: u64,
    next: u64,
    history: VecDeque<MarketDataIncrementalRefresh>,
    /// Changes up to this one may have gone from the history.
    forgotten: u64,
    assembly: Assembly,
    counts: MirrorCounts,
    difference: Option<Difference>,
}

impl BookMirror {
    /// A mirror that knows nothing yet.
    pub fn new() -> BookMirror {
        BookMirror::default()
    }

    /// Forgets everything but the counts.
    pub fn reset(&mut self) {
        let (counts, difference) = (self.counts, self.difference);
        *self = BookMirror { counts, difference, ..BookMirror::default() };
    }

    /// Takes a message of the stream of market data, which `source` publishes.
    pub fn on_message(&mut self, source: i32, message: &MarketData) {
        let rpt_seq = message.rpt_seq();
        self.counts.messages += 1;
        if self.source != Some(source) || !self.is_heard || rpt_seq != self.next {
            self.on_hole(source, rpt_seq);
        }
        self.next = rpt_seq.wrapping_add(1);
        match message {
            MarketData::MarketDataIncrementalRefresh(change) => self.on_change(change),
            MarketData::BookStatus(m) => {
                let Some(entry) = self.entry(m.security_id) else { return };
                if entry.known.is_none_or(|known| known < rpt_seq) {
                    self.compare_ahead(m.security_id, rpt_seq);
                    let Some(entry) = self.entry(m.security_id) else { return };
                    entry.book.reset(m.book_state);
                    entry.auction = None;
                    entry.known = Some(rpt_seq);
                    entry.changed = rpt_seq;
                    self.history.retain(|change| change.security_id != m.security_id);
                }
            }
            MarketData::TopOfBook(m) => self.note(m.security_id, |entry| entry.top = Some(*m)),
            MarketData::SecurityStatus(m) => self.note(m.security_id, |entry| {
                entry.status = Some(m.security_trading_status);
            }),
            MarketData::SecurityDefinition(m) => self.define(m.security_id, m.symbol),
            MarketData::ConflationNotice(m) => {
                self.counts.conflated += u64::from(m.conflated_count);
                self.counts.dropped_trades += u64::from(m.dropped_trade_count);
            }
            MarketData::AuctionImbalance(m) => self.note(m.security_id, |entry| {
                entry.auction = Some(*m);
            }),
            MarketData::AuctionResult(m) => self.note(m.security_id, |entry| {
                entry.auction = entry.auction.filter(|told| told.cross_type != m.cross_type);
            }),
            MarketData::Trade(_)
            | MarketData::TradeBreak(_)
            | MarketData::ChannelStatus(_)
            | MarketData::MarketDataSnapshotFullRefresh(_) => {}
        }
    }

    /// Takes a message of the stream of snapshots. Shared memory may first bring a new reader what was written after the last
    /// one left: nothing says how old that is until a message of market data came, so who reads snapshots alone drains their
    /// stream before it believes one.
    pub fn on_snapshot(&mut self, message: &MarketData) {
        match message {
            MarketData::MarketDataSnapshotFullRefresh(m) => match self.assembly.add(m) {
                Ok(Some(snapshot)) => {
                    let snapshot = snapshot.clone();
                    let status = m.security_trading_status;
                    self.note(m.security_id, |entry| {
                        entry.status = entry.status.or(Some(status));
                    });
                    self.on_whole_snapshot(snapshot);
                }
                Ok(None) => {}
                Err(_) => self.counts.misfits += 1,
            },
            MarketData::SecurityDefinition(m) => self.define(m.security_id, m.symbol),
            MarketData::TopOfBook(_)
            | MarketData::Trade(_)
            | MarketData::SecurityStatus(_)
            | MarketData::ChannelStatus(_)
            | MarketData::MarketDataIncrementalRefresh(_)
            | MarketData::BookStatus(_)
            | MarketData::ConflationNotice(_)
            | MarketData::AuctionImbalance(_)
            | MarketData::AuctionResult(_)
            | MarketData::TradeBreak(_) => {}
        }
    }

    /// The book of an instrument; `None` while it is not known.
    pub fn book(&self, instrument: InstrumentId) -> Option<&MirroredBook> {
        self.entries.get(&instrument).filter(|entry| entry.known.is_some()).map(|entry| &entry.book)
    }

    /// The `RptSeq` up to which an instrument's book is known: that of its last change, or of a snapshot; `None` while it is
    /// not known.
    pub fn known(&self, instrument: InstrumentId) -> Option<u64> {
        self.entries.get(&instrument)?.known
    }

    /// The best bid and offer as last told since the last hole.
    pub fn top(&self, instrument: InstrumentId) -> Option<&TopOfBook> {
        self.entries.get(&instrument)?.top.as_ref()
    }

    /// The trading status of an instrument, as last told.
    pub fn status(&self, instrument: InstrumentId) -> Option<TradingStatus> {
        self.entries.get(&instrument)?.status
    }

    /// The cross that is coming, as last told since the last hole; `None` while none is.
    pub fn auction(&self, instrument: InstrumentId) -> Option<&AuctionImbalance> {
        self.entries.get(&instrument)?.auction.as_ref()
    }

    /// The symbol of an instrument, padded with spaces.
    pub fn symbol(&self, instrument: InstrumentId) -> Option<[u8; 8]> {
        self.entries.get(&instrument)?.symbol
    }

    /// All instruments heard of, by number.
    pub fn instruments(&self) -> impl Iterator<Item = InstrumentId> + '_ {
        self.entries.keys().copied()
    }

    /// Whether something was heard of, and every instrument's book of that is known.
    pub fn is_known(&self) -> bool {
        !self.entries.is_empty() && self.entries.values().all(|entry| entry.known.is_some())
    }

    /// What was met with so far.
    pub const fn counts(&self) -> MirrorCounts {
        self.counts
    }

    /// The first difference to a snapshot that was found.
    pub const fn difference(&self) -> Option<Difference> {
        self.difference
    }

    /// The entry of an instrument; `None` if there are too many.
    fn entry(&mut self, instrument: InstrumentId) -> Option<&mut Entry> {
        if !self.entries.contains_key(&instrument) && self.entries.len() == INSTRUMENTS_MAX {
            return None;
        }
        Some(self.entries.entry(instrument).or_insert_with(Entry::new))
    }

    fn note(&mut self, instrument: InstrumentId, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entry(instrument) {
            note(entry);
        }
    }

    fn define(&mut self, instrument: InstrumentId, symbol: [u8; 8]) {
        self.note(instrument, |entry| entry.symbol = Some(symbol));
    }

    /// The stream goes on with `rpt_seq`, and not where it was: only what a snapshot told of the time since is still known.
    fn on_hole(&mut self, source: i32, rpt_seq: u64) {
        // A publisher's numbers only grow: one that begins anew is another one.
        let is_same = self.source == Some(source);
        let is_forward = is_same && (!self.is_heard || rpt_seq > self.next);
        self.counts.holes += u64::from(self.is_heard || !(is_same || self.source.is_none()));
        self.source = Some(source);
        self.is_heard = true;
        self.joined = rpt_seq;
        self.history.clear();
        self.forgotten = 0;
        for entry in self.entries.values_mut() {
            entry.auction = None;
            // Known by a snapshot that goes as far as the hole: nothing of it is lost.
            let is_covered = entry.known.is_some_and(|known| {
                is_forward && known.checked_add(1).is_some_and(|next| next >= rpt_seq)
            });
            if is_covered {
                entry.floor = 0;
            } else {
                entry.lose(0);
            }
        }
    }

    fn on_change(&mut self, change: &MarketDataIncrementalRefresh) {
        let (instrument, rpt_seq) = (change.security_id, change.rpt_seq);
        self.compare_ahead(instrument, rpt_seq);
        let Some(entry) = self.entry(instrument) else { return };
        match entry.known {
            Some(known) if rpt_seq <= known => {}
            Some(_) => {
                if entry.book.apply(change).is_ok() {
                    entry.known = Some(rpt_seq);
                    entry.changed = rpt_seq;
                } else {
                    entry.lose(rpt_seq);
                    self.counts.misfits += 1;
                }
            }
            None => self.keep(change),
        }
    }

    fn keep(&mut self, change: &MarketDataIncrementalRefresh) {
        if self.history.len() == HISTORY_MESSAGES_MAX
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.rpt_seq;
        }
        self.history.push_back(*change);
    }

    /// Compares an instrument's snapshot that was ahead, now that its next change is `rpt_seq`.
    fn compare_ahead(&mut self, instrument: InstrumentId, rpt_seq: u64) {
        let Some(entry) = self.entries.get_mut(&instrument) else { return };
        if entry.ahead.as_ref().is_some_and(|snapshot| snapshot.rpt_seq < rpt_seq)
            && let Some(snapshot) = entry.ahead.take()
        {
            self.compare(snapshot);
        }
    }

    fn on_whole_snapshot(&mut self, snapshot: SnapshotOfBook) {
        if self.source != Some(snapshot.source) {
            if self.is_heard {
                // Of another publisher, or of one that is gone.
                self.counts.passed += 1;
                return;
            }
            self.source = Some(snapshot.source);
            self.entries.values_mut().for_each(|entry| entry.lose(0));
        }
        let position = self.next.saturating_sub(1);
        // The one before may be compared by now.
        self.compare_ahead(snapshot.instrument, self.next);
        let is_heard = self.is_heard;
        let (joined, forgotten) = (self.joined, self.forgotten);
        let Some(entry) = self.entry(snapshot.instrument) else { return };
        match entry.known {
            None => {
                let reaches = snapshot.rpt_seq.saturating_add(1) >= joined;
                let is_early = !reaches || snapshot.rpt_seq < forgotten.max(entry.floor);
                if is_heard && is_early {
                    self.counts.passed += 1;
                    return;
                }
                self.install(snapshot);
            }
            // Where nobody reads the changes, they are in the snapshots alone: a difference is no fault.
            Some(_) if !is_heard && entry.book.check(&snapshot).is_err() => entry.install(snapshot),
            Some(_) if !is_heard => {
                entry.install(snapshot);
                self.counts.matched += 1;
            }
            // What the last one was ahead of has not come in all the time since: it is lost, or we read far too slowly.
            Some(_) if snapshot.rpt_seq > position && entry.ahead.is_some() => {
                entry.ahead = None;
                self.install(snapshot);
            }
            Some(_) if snapshot.rpt_seq > position => entry.ahead = Some(snapshot),
            Some(_) if entry.changed > snapshot.rpt_seq => self.counts.passed += 1,
            Some(_) => self.compare(snapshot),
        }
    }

    /// Makes a book known from a snapshot and what is kept of later changes.
    fn install(&mut self, snapshot: SnapshotOfBook) {
        let (instrument, rpt_seq) = (snapshot.instrument, snapshot.rpt_seq);
        self.counts.installed += 1;
        let Some(entry) = self.entries.get_mut(&instrument) else { return };
        entry.install(snapshot);
        for change in &self.history {
            if change.security_id == instrument && change.rpt_seq > rpt_seq {
                if entry.book.apply(change).is_err() {
                    entry.lose(change.rpt_seq);
                    self.counts.misfits += 1;
                    break;
                }
                entry.known = Some(change.rpt_seq);
                entry.changed = change.rpt_seq;
            }
        }
        self.history.retain(|change| change.security_id != instrument);
    }

    fn compare(&mut self, snapshot: SnapshotOfBook) {
        let Some(entry) = self.entries.get_mut(&snapshot.instrument) else { return };
        if entry.known.is_none() {
            return;
        }
        match entry.book.check(&snapshot) {
            Ok(()) => self.counts.matched += 1,
            Err(difference) => {
                self.counts.differed += 1;
                self.difference = self.difference.or(Some(difference));
                entry.install(snapshot);
            }
        }
    }
}
