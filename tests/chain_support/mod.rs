//! A second gateway's channel behind the first one's feed agent: a stream of bytes between them that a test loses, repeats and
//! delays, and a naive reader of the same bytes that forgets nothing.
#![allow(dead_code, reason = "each test uses its part of it")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use postern::client::Level;
use postern::codec::market_data::{
    AuctionImbalance, AuctionResult, ConflationNotice, MarketData, MarketDataIncrementalRefresh,
    SecurityStatus, TopOfBook, Trade, TradeBreak,
};
use postern::feed::book::{Best, BookIndex};
use postern::feed::sbe::{CHANGES_LINE, SNAPSHOTS_LINE, SbeChannel, SbeSettings, SbeSink};
use postern::net::PublisherChange;
use postern::transport::{OfferError, Outbound};
use postern::types::{BookState, InstrumentId, Nanos, Price, Side, UpdateAction, UtcNanos};

use crate::publish_support::{STALE_AFTER_NS, id, stock};
use crate::random::Random;

/// The inside of a [`Wire`].
#[derive(Debug)]
pub struct WireState {
    pub is_connected: bool,
    /// Messages it takes before it is full.
    pub room: usize,
    pub messages: VecDeque<Vec<u8>>,
    source: i32,
}

/// A stream of bytes that a test opens, fills and closes.
#[derive(Clone, Debug)]
pub struct Wire(pub Rc<RefCell<WireState>>);

impl Wire {
    pub fn open(source: i32) -> Wire {
        let (is_connected, room, messages) = (true, usize::MAX, VecDeque::new());
        Wire(Rc::new(RefCell::new(WireState { is_connected, room, messages, source })))
    }

    pub fn take(&self) -> Vec<Vec<u8>> {
        self.0.borrow_mut().messages.drain(..).collect()
    }

    pub fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    pub fn connect(&self, is_connected: bool) {
        self.0.borrow_mut().is_connected = is_connected;
    }
}

impl Outbound for Wire {
    fn offer(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Result<(), OfferError> {
        let mut wire = self.0.borrow_mut();
        if !wire.is_connected {
            return Err(OfferError::NotConnected);
        }
        if wire.room == 0 {
            return Err(OfferError::BackPressured);
        }
        wire.room -= usize::from(wire.room != usize::MAX);
        let mut message = vec![0; bytes];
        write(&mut message);
        wire.messages.push_back(message);
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.0.borrow().is_connected
    }

    fn source(&self) -> i32 {
        self.0.borrow().source
    }
}

/// A way that loses one message in so many, brings one in so many twice, and one late. 0: none.
#[derive(Debug)]
pub struct Way {
    random: Random,
    pub lost_in: u64,
    pub twice_in: u64,
    pub late_in: u64,
    held: Option<Vec<u8>>,
}

impl Way {
    pub fn good(seed: u64) -> Way {
        let random = Random::new(seed);
        Way { random, lost_in: 0, twice_in: 0, late_in: 0, held: None }
    }

    pub fn bad(seed: u64) -> Way {
        Way { lost_in: 60, twice_in: 40, late_in: 80, ..Way::good(seed) }
    }

    pub fn mend(&mut self) {
        (self.lost_in, self.twice_in, self.late_in) = (0, 0, 0);
    }

    fn happens(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.random.one_in(one_in)
    }

    /// What comes out where `message` goes in.
    pub fn pass(&mut self, message: Vec<u8>) -> Vec<Vec<u8>> {
        if self.happens(self.lost_in) {
            return Vec::new();
        }
        if self.held.is_none() && self.happens(self.late_in) {
            self.held = Some(message);
            return Vec::new();
        }
        let mut out = vec![message];
        if self.happens(self.twice_in) {
            out.push(out[0].clone());
        }
        out.extend(self.held.take());
        out
    }
}

/// One book as the naive reader has it.
#[derive(Clone, Debug)]
pub struct NaiveBook {
    pub state: BookState,
    bids: BTreeMap<Price, (u64, u32)>,
    asks: BTreeMap<Price, (u64, u32)>,
    pub is_whole: bool,
    best: Best,
    at: u64,
}

impl NaiveBook {
    fn new(state: BookState, at: u64) -> NaiveBook {
        let (bids, asks) = (BTreeMap::new(), BTreeMap::new());
        NaiveBook { state, bids, asks, is_whole: true, best: Best::default(), at }
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<Price, (u64, u32)> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn note_best(&mut self) {
        let of =
            |side: Option<(&Price, &(u64, u32))>| side.map(|(price, (size, _))| (*price, *size));
        self.best =
            Best { bid: of(self.bids.last_key_value()), ask: of(self.asks.first_key_value()) };
    }

    fn apply(&mut self, m: &MarketDataIncrementalRefresh) -> bool {
        let side = self.side(m.md_entry_type);
        let is_there = side.contains_key(&m.md_entry_px);
        let fits = is_there == (m.md_update_action != UpdateAction::New);
        if m.md_update_action == UpdateAction::Delete {
            side.remove(&m.md_entry_px);
        } else {
            side.insert(m.md_entry_px, (m.md_entry_size, m.number_of_orders));
        }
        self.is_whole = m.last_fragment;
        if self.is_whole {
            self.note_best();
        }
        fits
    }

    pub fn levels(&self, side: Side) -> Vec<Level> {
        let level =
            |(&price, &(size, orders)): (&Price, &(u64, u32))| Level { price, size, orders };
        match side {
            Side::Buy => self.bids.iter().rev().map(level).collect(),
            Side::Sell => self.asks.iter().map(level).collect(),
        }
    }
}

/// Reads the same as the channel, keeps every message since the last loss, and makes each book anew from all of them whenever it
/// is asked for it.
#[derive(Debug, Default)]
pub struct Naive {
    next: Option<u64>,
    joined: u64,
    log: Vec<MarketData>,
    /// Snapshots of the publisher that counts, whole, with their number.
    snapshots: BTreeMap<InstrumentId, Vec<(u64, NaiveBook)>>,
    partial: Vec<MarketData>,
    pub holes: u64,
}

impl Naive {
    pub fn restart(&mut self) {
        *self = Naive { holes: self.holes, ..Naive::default() };
    }

    fn on_change(&mut self, message: &MarketData) {
        let seq = message.rpt_seq();
        match self.next {
            Some(next) if seq < next => return,
            Some(next) if seq > next => {
                self.restart();
                self.holes += 1;
                self.joined = seq;
            }
            Some(_) => {}
            None => self.joined = seq,
        }
        self.next = Some(seq + 1);
        self.log.push(*message);
    }

    fn on_snapshot(&mut self, message: &MarketData, source: i32) {
        let MarketData::MarketDataSnapshotFullRefresh(m) = message else { return };
        if m.md_entry_position_no == 1 {
            self.partial.clear();
        }
        self.partial.push(*message);
        if m.md_entry_position_no != m.tot_num_reports || self.next.is_none() {
            return;
        }
        let mut book = NaiveBook::new(m.book_state, m.last_msg_seq_num_processed);
        let mut places = 1..;
        for piece in &self.partial {
            let MarketData::MarketDataSnapshotFullRefresh(piece) = piece else { return };
            let is_same = piece.security_id == m.security_id
                && piece.last_msg_seq_num_processed == m.last_msg_seq_num_processed
                && piece.source_id.cast_signed() == source
                && places.next() == Some(piece.md_entry_position_no);
            if !is_same {
                return;
            }
            if let Some(price) = piece.md_entry_px {
                let level = (piece.md_entry_size, piece.number_of_orders);
                book.side(piece.md_entry_type).insert(price, level);
            }
        }
        book.note_best();
        let at = m.last_msg_seq_num_processed;
        if at + 1 >= self.joined {
            self.snapshots.entry(m.security_id).or_default().push((at, book));
        }
    }

    fn last_best(&self, instrument: InstrumentId) -> Option<Best> {
        self.log.iter().rev().find_map(|m| match m {
            MarketData::TopOfBook(m) if m.security_id == instrument => Some(best_of(m)),
            _ => None,
        })
    }

    /// The book of an instrument, if anything that was read since the last loss tells all of it.
    pub fn book(&self, instrument: InstrumentId) -> Option<NaiveBook> {
        let of = |m: &&MarketData| m.security_id() == Some(instrument);
        let begun = self.log.iter().rev().filter(of).find_map(|m| match m {
            MarketData::BookStatus(m) => Some(NaiveBook::new(m.book_state, m.rpt_seq)),
            _ => None,
        });
        let position = self.next?.saturating_sub(1);
        let snapshots = || self.snapshots.get(&instrument).into_iter().flatten();
        let taken = snapshots().filter(|(at, _)| *at <= position).max_by_key(|(at, _)| *at);
        // One that is ahead of the stream, where there is no other.
        let ahead = snapshots().min_by_key(|(at, _)| *at);
        let taken = taken.map(|(_, book)| book.clone());
        let mut book = match (begun, taken) {
            (Some(begun), Some(taken)) if taken.at > begun.at => taken,
            (Some(begun), _) => begun,
            (None, Some(taken)) => taken,
            (None, None) => ahead?.1.clone(),
        };
        let at = book.at;
        for message in self.log.iter().filter(of).filter(|m| m.rpt_seq() > at) {
            match message {
                MarketData::MarketDataIncrementalRefresh(m) if !book.apply(m) => return None,
                MarketData::TopOfBook(m) => book.best = best_of(m),
                _ => {}
            }
        }
        Some(book)
    }
}

fn best_of(m: &TopOfBook) -> Best {
    let bid = m.bid_px.map(|price| (price, m.bid_size));
    Best { bid, ask: m.offer_px.map(|price| (price, m.offer_size)) }
}

/// What a channel told.
#[derive(Debug, Default)]
pub struct Told {
    pub trades: u64,
    pub statuses: u64,
    pub auctions: u64,
    pub results: u64,
    pub breaks: u64,
    pub clears: u64,
    pub left_out: (u64, u64),
    pub touched: u64,
}

impl SbeSink for Told {
    fn on_book(&mut self, _: BookIndex, _: UtcNanos) {
        self.touched += 1;
    }

    fn on_trade(&mut self, _: BookIndex, _: &Trade) {
        self.trades += 1;
    }

    fn on_status(&mut self, _: BookIndex, _: &SecurityStatus) {
        self.statuses += 1;
    }

    fn on_auction(&mut self, _: BookIndex, _: &AuctionImbalance) {
        self.auctions += 1;
    }

    fn on_result(&mut self, _: BookIndex, _: &AuctionResult) {
        self.results += 1;
    }

    fn on_break(&mut self, _: BookIndex, _: &TradeBreak) {
        self.breaks += 1;
    }

    fn on_left_out(&mut self, _: BookIndex, notice: &ConflationNotice) {
        self.left_out.0 += u64::from(notice.conflated_count);
        self.left_out.1 += u64::from(notice.dropped_trade_count);
    }

    fn on_clear(&mut self) {
        self.clears += 1;
    }
}

/// The second gateway's channel, and a naive reader beside it.
pub struct Reader {
    pub channel: SbeChannel,
    pub naive: Naive,
    pub told: Told,
    pub source: i32,
    stocks: u16,
}

impl Reader {
    /// Reads the first `stocks` stocks of publisher `source`, which is there.
    pub fn new(stocks: u16, source: i32) -> Reader {
        // In another order than upstream has them.
        let symbols: Vec<_> = (1..=stocks).rev().map(stock).collect();
        let settings = SbeSettings { stale_after_ns: STALE_AFTER_NS };
        let channel = SbeChannel::new(&settings, &symbols);
        let mut reader =
            Reader { channel, naive: Naive::default(), told: Told::default(), source, stocks };
        reader.publisher(PublisherChange::Came(source));
        reader.publisher(PublisherChange::Speaks(source));
        reader
    }

    pub fn publisher(&mut self, change: PublisherChange) {
        self.channel.on_publisher(CHANGES_LINE, change, &mut self.told);
    }

    pub fn book(&self, locate: u16) -> BookIndex {
        BookIndex(self.stocks - locate)
    }

    pub fn changes(&mut self, messages: impl IntoIterator<Item = Vec<u8>>, now: Nanos) {
        for bytes in messages {
            self.channel.on_message(CHANGES_LINE, &bytes, now, &mut self.told);
            self.naive.on_change(&MarketData::decode(&bytes).expect("market data"));
            self.check();
        }
    }

    pub fn snapshots(&mut self, messages: impl IntoIterator<Item = Vec<u8>>, now: Nanos) {
        for bytes in messages {
            self.channel.on_message(SNAPSHOTS_LINE, &bytes, now, &mut self.told);
            let message = MarketData::decode(&bytes).expect("market data");
            self.naive.on_snapshot(&message, self.source);
            self.check();
        }
    }

    /// Fails if a book that is not stale is another than what the messages tell.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.channel.upstream().counts().gaps, self.naive.holes);
        for locate in 1..=self.stocks {
            let (books, book) = (self.channel.books(), self.book(locate));
            if books.is_stale(book) {
                assert_eq!(books.best(book), Best::default(), "a stale book has no prices");
                continue;
            }
            let naive = self.naive.book(id(locate)).expect("nothing tells of all of it");
            assert_eq!(naive.state, BookState::Current);
            assert_eq!(books.is_in_transition(book), !naive.is_whole);
            // The best may be told while there is no room for the levels that make it so; a snapshot has those that were told.
            let best = books.best(book);
            let is_told = best == naive.best || Some(best) == self.naive.last_best(id(locate));
            assert!(is_told, "best of {locate}: {best:?}, and not {:?}", naive.best);
            for side in [Side::Buy, Side::Sell] {
                assert_eq!(self.levels(locate, side), naive.levels(side), "{side:?} of {locate}");
            }
        }
    }

    pub fn levels(&self, locate: u16, side: Side) -> Vec<Level> {
        let levels = self.channel.books().levels(self.book(locate), side);
        levels.map(|(price, size, orders)| Level { price, size, orders }).collect()
    }

    pub fn stale_count(&self) -> usize {
        let books = self.channel.books();
        books.indices().filter(|&book| books.is_stale(book)).count()
    }
}
