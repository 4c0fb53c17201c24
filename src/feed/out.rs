//! What goes out: which instruments a datagram touched, and what risk and strategies are told of them.

use crate::codec::journal::ReferencePrice;
use crate::codec::market_data::{ConflationNotice, SecurityStatus, Trade};
use crate::feed::agent::InstrumentConfig;
use crate::feed::book::{Best, BookIndex, Books, Effect, Execution, Refusal};
use crate::feed::channel::FeedSink;
use crate::feed::iex::books::{BooksFull, Change};
use crate::feed::iex::{self, IexSink};
use crate::feed::itch50::{Message, OrderEvent};
use crate::feed::publish::Publisher;
use crate::feed::reference::References;
use crate::feed::sbe::SbeSink;
use crate::feed::view::BookView;
use crate::transport::Outbound;
use crate::types::{ChannelId, Nanos, Price, Side, TradingStatus, UtcNanos};

#[derive(Debug)]
pub(super) struct Instrument {
    pub(super) config: InstrumentConfig,
    /// What was told last.
    pub(super) best: Best,
    /// Whether its book was touched since.
    pub(super) is_touched: bool,
}

/// What goes out, and what decides about it.
#[derive(Debug)]
pub(super) struct Out<O> {
    /// Sorted by channel.
    pub(super) instruments: Vec<Instrument>,
    /// Instruments whose book was touched by the datagram in hand.
    pub(super) touched: Vec<usize>,
    pub(super) references: References,
    pub(super) publisher: Publisher<O>,
}

impl<O: Outbound> Out<O> {
    #[inline]
    fn touch(&mut self, place: usize) {
        if !self.instruments[place].is_touched {
            self.instruments[place].is_touched = true;
            self.touched.push(place);
        }
    }

    /// Tells what the datagram in hand changed of `books`, whose first is that of the instrument at `first`: risk the best
    /// bids and offers, then strategies. A book that may be wrong has no prices.
    #[inline]
    pub(super) fn tell_touched(
        &mut self,
        books: &impl BookView,
        first: usize,
        channel_id: ChannelId,
        time: UtcNanos,
        ingress: Nanos,
    ) {
        while let Some(place) = self.touched.pop() {
            let instrument = &mut self.instruments[place];
            instrument.is_touched = false;
            let Ok(book) = u16::try_from(place - first).map(BookIndex) else { continue };
            let best = if books.is_stale(book) { Best::default() } else { books.best(book) };
            if best != instrument.best {
                instrument.best = best;
                let price = |side: Option<(Price, u64)>| side.map(|(price, _)| price);
                self.references.price(
                    place,
                    ReferencePrice {
                        bid_px: price(best.bid),
                        offer_px: price(best.ask),
                        ingress_time: ingress,
                        security_id: instrument.config.id,
                        channel_id,
                    },
                );
            }
            self.publisher.tell(place, books, time);
        }
    }
}

/// What one channel's messages do to what goes out.
pub(super) struct Sink<'a, O> {
    out: &'a mut Out<O>,
    first: usize,
    count: usize,
    /// What the times of messages count from.
    epoch: UtcNanos,
    /// Time of the last message.
    last_ns: u64,
}

impl<'a, O: Outbound> Sink<'a, O> {
    /// Of a channel with as many instruments from `first` on.
    #[inline]
    pub(super) const fn new(
        out: &'a mut Out<O>,
        first: usize,
        count: usize,
        epoch: UtcNanos,
    ) -> Sink<'a, O> {
        Sink { out, first, count, epoch, last_ns: 0 }
    }

    /// The instrument's place, if the book is one's.
    #[inline]
    fn place(&self, book: BookIndex) -> Option<usize> {
        (book.index() < self.count).then_some(self.first + book.index())
    }

    #[inline]
    fn touch(&mut self, book: BookIndex) {
        if let Some(place) = self.place(book) {
            self.out.touch(place);
        }
    }

    /// When the last message was, UTC.
    #[inline]
    pub(super) const fn time(&self) -> UtcNanos {
        UtcNanos(self.epoch.0.saturating_add(self.last_ns))
    }

    fn execution(&mut self, execution: &Execution) {
        if execution.printable {
            let Execution { price, shares, resting, match_number, .. } = *execution;
            self.trade(execution.book, price, shares, resting, match_number);
        }
    }

    fn trade(
        &mut self,
        book: BookIndex,
        last_px: Price,
        last_qty: u32,
        aggressor_side: Side,
        trade_id: u64,
    ) {
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let transact_time = self.time();
        self.out.publisher.trade(
            place,
            Trade {
                rpt_seq: 0,
                transact_time,
                last_px,
                trade_id,
                last_qty,
                security_id,
                aggressor_side,
            },
        );
    }

    fn status(&mut self, book: BookIndex, status: TradingStatus) {
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let transact_time = self.time();
        self.out.publisher.status(
            place,
            SecurityStatus {
                rpt_seq: 0,
                transact_time,
                security_id,
                security_trading_status: status,
            },
        );
        // Told with the book, when the datagram is done.
        self.out.touch(place);
    }

    fn refused(&mut self, refusal: &Refusal) {
        if let Some(book) = refusal.book {
            self.touch(book);
        }
    }

    /// A message that is about no displayed order.
    fn other(&mut self, books: &Books, message: &Message) {
        let Some(book) = books.by_locate(message.head().locate) else { return };
        if let Message::Trade(m) = message {
            self.trade(book, m.price, m.shares, m.side, m.match_number);
        } else if let Message::CrossTrade(m) = message
            && m.shares > 0
        {
            // A cross has no side; `P` always says buy, and so does this.
            let shares = u32::try_from(m.shares).unwrap_or(u32::MAX);
            self.trade(book, m.price, shares, Side::Buy, m.match_number);
        } else if let Message::TradingAction(m) = message {
            self.status(book, m.status);
        }
    }
}

impl<O: Outbound> FeedSink for Sink<'_, O> {
    #[inline]
    fn on_event(&mut self, _: &Books, event: &OrderEvent, outcome: &Result<Effect, Refusal>) {
        self.last_ns = event.time_ns;
        match outcome {
            Ok(Effect::Changed(book)) => self.touch(*book),
            Ok(Effect::Executed(execution)) => {
                self.touch(execution.book);
                self.execution(execution);
            }
            Ok(Effect::None) => {}
            Err(refusal) => self.refused(refusal),
        }
    }

    #[cold]
    fn on_message(&mut self, books: &Books, message: &Message, outcome: &Result<Effect, Refusal>) {
        self.last_ns = message.head().time_ns;
        match outcome {
            Ok(_) => self.other(books, message),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn on_clear(&mut self, _: &Books) {
        for place in self.first..self.first + self.count {
            self.out.touch(place);
        }
    }
}

impl<O: Outbound> IexSink for Sink<'_, O> {
    #[inline]
    fn on_message(
        &mut self,
        books: &iex::Books,
        message: &iex::Message,
        outcome: Result<Option<iex::books::Effect>, BooksFull>,
    ) {
        self.last_ns = message.time().0;
        let Ok(Some(effect)) = outcome else { return };
        match effect.change {
            // A book in transition shows what it did before; the update that completes it touches it.
            Change::Pending => {}
            Change::Book => self.touch(effect.book),
            Change::None | Change::State => self.about(books, effect.book, message),
        }
    }

    fn on_clear(&mut self, _: &iex::Books) {
        for place in self.first..self.first + self.count {
            self.out.touch(place);
        }
    }
}

impl<O: Outbound> SbeSink for Sink<'_, O> {
    #[inline]
    fn on_book(&mut self, book: BookIndex, time: UtcNanos) {
        self.last_ns = time.0;
        self.touch(book);
    }

    #[inline]
    fn on_trade(&mut self, book: BookIndex, trade: &Trade) {
        self.last_ns = trade.transact_time.0;
        let Trade { last_px, last_qty, aggressor_side, trade_id, .. } = *trade;
        self.trade(book, last_px, last_qty, aggressor_side, trade_id);
    }

    fn on_status(&mut self, book: BookIndex, time: UtcNanos, status: TradingStatus) {
        self.last_ns = time.0;
        self.status(book, status);
    }

    #[cold]
    fn on_left_out(&mut self, book: BookIndex, notice: &ConflationNotice) {
        if let Some(place) = self.place(book) {
            self.out.publisher.left_out(place, notice.conflated_count, notice.dropped_trade_count);
        }
    }

    fn on_clear(&mut self) {
        for place in self.first..self.first + self.count {
            self.out.touch(place);
        }
    }
}

impl<O: Outbound> Sink<'_, O> {
    /// A message of IEX that is about a security and not about its book.
    #[cold]
    fn about(&mut self, books: &iex::Books, book: BookIndex, message: &iex::Message) {
        match message {
            iex::Message::TradeReport(m) => {
                // A report does not say who took; it says buy as the cross of another exchange does.
                let trade_id = m.trade_id.cast_unsigned();
                self.trade(book, m.price, m.size, Side::Buy, trade_id);
            }
            iex::Message::TradingStatus(_) | iex::Message::OperationalHaltStatus(_) => {
                self.status(book, books.state(book).status());
            }
            iex::Message::SystemEvent(_)
            | iex::Message::SecurityDirectory(_)
            | iex::Message::RetailLiquidityIndicator(_)
            | iex::Message::ShortSalePriceTestStatus(_)
            | iex::Message::SecurityEvent(_)
            | iex::Message::PriceLevelUpdate(_)
            | iex::Message::QuoteUpdate(_)
            | iex::Message::OfficialPrice(_)
            | iex::Message::TradeBreak(_)
            | iex::Message::AuctionInformation(_) => {}
        }
    }
}
