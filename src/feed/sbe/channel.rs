//! One stream of another gateway's market data, from message to book, and the stream of its snapshots.
//!
//! The two come as the two lines of a channel, but unlike lines they do not carry the same.

use crate::codec::market_data::{
    AuctionImbalance, AuctionResult, ConflationNotice, MarketData, MarketDataSnapshotFullRefresh,
    SecurityStatus, Trade, TradeBreak,
};
use crate::feed::book::BookIndex;
use crate::feed::channel::NoSink;
use crate::feed::sbe::books::{Books, Outcome};
use crate::feed::sbe::upstream::{Place, Upstream};
use crate::net::PublisherChange;
use crate::types::{
    FeedState, Nanos, SessionPhase, ShortSaleRestriction, Symbol, TradingStatus, UtcNanos,
};

/// The line on which market data comes.
pub const CHANGES_LINE: u8 = 0;
/// The line on which snapshots come.
pub const SNAPSHOTS_LINE: u8 = 1;

/// What a channel needs to know of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SbeSettings {
    /// Silence after which it is stale; the other gateway says ten times a second that it is there.
    pub stale_after_ns: u64,
}

/// What a channel took in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SbeCounts {
    /// Messages of both lines, the refused ones too.
    pub packets: u64,
    /// Messages of the stream of market data that were its next.
    pub messages: u64,
    /// Messages of either line that could not be read, or do not belong there.
    pub message_errors: u64,
    /// States of books that the other gateway left out, as it told.
    pub conflated: u64,
    /// Trades that it left out.
    pub dropped_trades: u64,
}

/// Who wants to know what a channel's messages did.
pub trait SbeSink {
    /// The book may show something else than before.
    fn on_book(&mut self, book: BookIndex, time: UtcNanos);

    /// A trade.
    fn on_trade(&mut self, book: BookIndex, trade: &Trade);

    /// The instrument's trading status, short sale test or reason is another.
    fn on_status(&mut self, book: BookIndex, status: &SecurityStatus);

    /// How the instrument's coming cross stands.
    fn on_auction(&mut self, book: BookIndex, auction: &AuctionImbalance);

    /// A cross took place.
    fn on_result(&mut self, book: BookIndex, result: &AuctionResult);

    /// A trade is void.
    fn on_break(&mut self, book: BookIndex, broken: &TradeBreak);

    /// The other gateway left something out.
    fn on_left_out(&mut self, book: BookIndex, notice: &ConflationNotice);

    /// No book is known any more.
    fn on_clear(&mut self);
}

impl SbeSink for NoSink {
    #[inline]
    fn on_book(&mut self, _: BookIndex, _: UtcNanos) {}

    #[inline]
    fn on_trade(&mut self, _: BookIndex, _: &Trade) {}

    #[inline]
    fn on_status(&mut self, _: BookIndex, _: &SecurityStatus) {}

    #[inline]
    fn on_auction(&mut self, _: BookIndex, _: &AuctionImbalance) {}

    #[inline]
    fn on_result(&mut self, _: BookIndex, _: &AuctionResult) {}

    #[inline]
    fn on_break(&mut self, _: BookIndex, _: &TradeBreak) {}

    #[inline]
    fn on_left_out(&mut self, _: BookIndex, _: &ConflationNotice) {}

    #[inline]
    fn on_clear(&mut self) {}
}

/// Another gateway as a feed: how far it was heard, and its books.
#[derive(Debug)]
pub struct SbeChannel {
    upstream: Upstream,
    books: Books,
    /// How far the exchange's day is, and the circuit breaker that was breached, as the other gateway told last.
    session: (SessionPhase, u8),
    counts: SbeCounts,
}

impl SbeChannel {
    /// A channel with books for `symbols`, in this order.
    ///
    /// # Panics
    /// As [`Books::new`].
    pub fn new(settings: &SbeSettings, symbols: &[Symbol]) -> SbeChannel {
        SbeChannel {
            upstream: Upstream::new(settings.stale_after_ns),
            books: Books::new(symbols),
            session: (SessionPhase::Unknown, 0),
            counts: SbeCounts::default(),
        }
    }

    /// Takes that a publisher of one of the lines came or went.
    pub fn on_publisher(&mut self, line: u8, change: PublisherChange, sink: &mut impl SbeSink) {
        if line != CHANGES_LINE {
            self.books.begin_snapshot_anew();
        } else if self.upstream.on_publisher(change) {
            self.books.forget_numbers();
            self.lose(sink);
        }
    }

    /// Takes a message of either line and tells `sink` what it did.
    #[inline]
    pub fn on_message(&mut self, line: u8, bytes: &[u8], now: Nanos, sink: &mut impl SbeSink) {
        self.counts.packets += 1;
        match (MarketData::decode(bytes), line) {
            (Ok(message), CHANGES_LINE) => self.on_change(&message, now, sink),
            (Ok(message), _) => self.on_snapshot(&message, sink),
            (Err(_), CHANGES_LINE) => self.refuse(sink),
            (Err(_), _) => self.counts.message_errors += 1,
        }
    }

    /// A message that cannot be read, and may have changed any book; or one that contradicts what was said before.
    #[cold]
    fn refuse(&mut self, sink: &mut impl SbeSink) {
        self.counts.message_errors += 1;
        if self.upstream.is_heard() {
            self.upstream.lose();
            self.books.forget_numbers();
            self.lose(sink);
        }
    }

    #[cold]
    fn lose(&mut self, sink: &mut impl SbeSink) {
        self.books.lose_all();
        self.session = (SessionPhase::Unknown, 0);
        sink.on_clear();
    }

    #[inline]
    fn on_change(&mut self, message: &MarketData, now: Nanos, sink: &mut impl SbeSink) {
        match self.upstream.judge(message.rpt_seq(), now) {
            Place::Next | Place::First => {}
            Place::AfterHole => self.lose(sink),
            Place::Repeated | Place::Foreign => return,
        }
        self.counts.messages += 1;
        let book = message.security_id().and_then(|number| self.books.by_number(number));
        match (message, book) {
            (MarketData::TopOfBook(m), Some(book)) => {
                if self.books.top(book, m) {
                    sink.on_book(book, m.transact_time);
                }
            }
            (MarketData::MarketDataIncrementalRefresh(m), Some(book)) => {
                if self.books.change(book, m) {
                    sink.on_book(book, m.transact_time);
                }
            }
            (MarketData::Trade(m), Some(book)) => sink.on_trade(book, m),
            (message, book) => self.on_other(message, book, sink),
        }
    }

    /// A message that is neither a price nor a trade, or about an instrument that is not followed.
    fn on_other(&mut self, message: &MarketData, book: Option<BookIndex>, sink: &mut impl SbeSink) {
        match (message, book) {
            (MarketData::ChannelStatus(m), _) => {
                self.upstream.set_state(m.channel_id, m.channel_state);
                self.session = (m.session_phase, m.circuit_breaker_level);
            }
            (MarketData::SecurityDefinition(m), _) => {
                if self.books.define(m, m.rpt_seq).is_err() {
                    self.refuse(sink);
                }
            }
            (MarketData::BookStatus(m), Some(book)) => {
                if self.books.begin(book, m) {
                    sink.on_book(book, m.transact_time);
                }
            }
            (MarketData::SecurityStatus(m), Some(book)) => {
                self.books.set_status(book, m.security_trading_status);
                sink.on_status(book, m);
            }
            (MarketData::AuctionImbalance(m), Some(book)) => sink.on_auction(book, m),
            (MarketData::AuctionResult(m), Some(book)) => sink.on_result(book, m),
            (MarketData::TradeBreak(m), Some(book)) => sink.on_break(book, m),
            (MarketData::ConflationNotice(m), Some(book)) => {
                self.counts.conflated += u64::from(m.conflated_count);
                self.counts.dropped_trades += u64::from(m.dropped_trade_count);
                sink.on_left_out(book, m);
            }
            (MarketData::MarketDataSnapshotFullRefresh(_), _) => self.counts.message_errors += 1,
            (
                MarketData::TopOfBook(_)
                | MarketData::Trade(_)
                | MarketData::MarketDataIncrementalRefresh(_)
                | MarketData::BookStatus(_)
                | MarketData::SecurityStatus(_)
                | MarketData::AuctionImbalance(_)
                | MarketData::AuctionResult(_)
                | MarketData::TradeBreak(_)
                | MarketData::ConflationNotice(_),
                _,
            ) => {}
        }
    }

    fn on_snapshot(&mut self, message: &MarketData, sink: &mut impl SbeSink) {
        match message {
            MarketData::SecurityDefinition(m) => self.books.announce(m),
            MarketData::MarketDataSnapshotFullRefresh(m) => {
                let Ok(done) = self.books.snapshot(m, &self.upstream) else {
                    return self.refuse(sink);
                };
                let Some((book, outcome)) = done else { return };
                if outcome == Outcome::Changed {
                    sink.on_book(book, m.transact_time);
                }
                // What is known of it is newer, or as new.
                let status = m.security_trading_status;
                if self.books.status(book) == TradingStatus::Unknown
                    && self.books.set_status(book, status)
                {
                    sink.on_status(book, &status_of(m));
                }
            }
            MarketData::TopOfBook(_)
            | MarketData::Trade(_)
            | MarketData::SecurityStatus(_)
            | MarketData::ChannelStatus(_)
            | MarketData::MarketDataIncrementalRefresh(_)
            | MarketData::BookStatus(_)
            | MarketData::AuctionImbalance(_)
            | MarketData::AuctionResult(_)
            | MarketData::TradeBreak(_)
            | MarketData::ConflationNotice(_) => self.counts.message_errors += 1,
        }
    }

    /// Its state at `now`.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.upstream.check(now)
    }

    /// The other gateway, as far as it was heard.
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Its books.
    #[inline]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// How far the exchange's day is, and the level of the market-wide circuit breaker that was breached, as the other gateway
    /// told last, of whichever of its channels.
    pub const fn session(&self) -> (SessionPhase, u8) {
        self.session
    }

    /// What it took in.
    pub const fn counts(&self) -> &SbeCounts {
        &self.counts
    }
}

/// The status in a snapshot, which tells no more of it.
fn status_of(snapshot: &MarketDataSnapshotFullRefresh) -> SecurityStatus {
    SecurityStatus {
        rpt_seq: 0,
        transact_time: snapshot.transact_time,
        security_id: snapshot.security_id,
        security_trading_status: snapshot.security_trading_status,
        short_sale_restriction: ShortSaleRestriction::Unknown,
        halt_reason: *b"    ",
    }
}
