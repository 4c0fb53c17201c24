//! What goes out: which instruments a datagram touched, and what risk and strategies are told of them.

use crate::codec::journal::ReferencePrice;
use crate::codec::market_data::{
    AuctionImbalance, AuctionResult, ConflationNotice, SecurityStatus, Trade, TradeBreak,
};
use crate::feed::agent::InstrumentConfig;
use crate::feed::book::{Best, BookIndex, Books, Effect, Execution, Refusal};
use crate::feed::channel::FeedSink;
use crate::feed::iex::books::{BooksFull, Change};
use crate::feed::iex::{self, IexSink};
use crate::feed::itch50::{Message, OrderEvent};
use crate::feed::market_state::{Auction, Cross, MarketChange, MarketState, tick_of};
use crate::feed::publish::Publisher;
use crate::feed::reference::References;
use crate::feed::sbe::SbeSink;
use crate::feed::view::BookView;
use crate::transport::Outbound;
use crate::types::{
    ChannelId, CrossType, ImbalanceSide, Nanos, Price, ShortSaleRestriction, Side, TradingStatus,
    UtcNanos,
};

#[derive(Debug)]
pub(super) struct Instrument {
    pub(super) config: InstrumentConfig,
    /// What was told last.
    pub(super) best: Best,
    /// The status and short sale price test that were told last.
    pub(super) status: Option<(TradingStatus, ShortSaleRestriction)>,
    /// Whether its book was touched since.
    pub(super) is_touched: bool,
    /// Whether what the exchange says of lot and tick is known not to be what is configured.
    pub(super) is_contradicted: bool,
}

/// What was seen of instruments on the way out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OutCounts {
    /// Changes of best bid and offer by which they were crossed or locked although the security trades continuously.
    pub(super) crossed: u64,
    /// Instruments whose lot or tick is not the exchange's.
    pub(super) contradicted: u64,
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
    pub(super) counts: OutCounts,
}

impl<O: Outbound> Out<O> {
    /// Counts, once, that an instrument's lot or tick is not what the exchange says.
    fn contradict(&mut self, place: usize) {
        let instrument = &mut self.instruments[place];
        self.counts.contradicted += u64::from(!instrument.is_contradicted);
        instrument.is_contradicted = true;
    }

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
                if is_crossed(best) && books.is_continuous(book) {
                    self.counts.crossed += 1;
                }
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

/// Whether a bid is not below the offer: neither may stand in a book whose orders match as they come.
#[inline]
fn is_crossed(best: Best) -> bool {
    match (best.bid, best.ask) {
        (Some((bid, _)), Some((ask, _))) => bid >= ask,
        (Some(_) | None, _) => false,
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

    fn status(
        &mut self,
        book: BookIndex,
        status: TradingStatus,
        short_sale: ShortSaleRestriction,
        halt_reason: [u8; 4],
    ) {
        let Some(place) = self.place(book) else { return };
        let instrument = &mut self.out.instruments[place];
        instrument.status = Some((status, short_sale));
        let security_id = instrument.config.id;
        let transact_time = self.time();
        self.out.publisher.status(
            place,
            SecurityStatus {
                rpt_seq: 0,
                transact_time,
                security_id,
                security_trading_status: status,
                short_sale_restriction: short_sale,
                halt_reason,
            },
        );
        // Told with the book, when the datagram is done.
        self.out.touch(place);
    }

    fn status_of(&mut self, market: &MarketState, book: BookIndex) {
        let security = market.security(book);
        let status = security.status();
        // The reason is that of all markets' status.
        let reason = if status == security.trading { security.reason } else { *b"    " };
        self.status(book, status, security.short_sale, reason);
    }

    /// Any status may have changed: those that did are told, and crosses that nobody knows of any more are forgotten.
    #[cold]
    fn all_statuses(&mut self, market: &MarketState) {
        for place in self.first..self.first + self.count {
            let Ok(book) = u16::try_from(place - self.first).map(BookIndex) else { continue };
            let security = market.security(book);
            if security.auction.is_none() {
                self.out.publisher.forget_auction(place);
            }
            let known = (security.status(), security.short_sale);
            if self.out.instruments[place].status.is_some_and(|told| told != known)
                || self.out.instruments[place].status.is_none() && known.0 != TradingStatus::Unknown
            {
                self.status_of(market, book);
            }
        }
    }

    fn imbalance(&mut self, book: BookIndex, auction: &Auction) {
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let transact_time = self.time();
        self.out.publisher.auction(
            place,
            AuctionImbalance {
                rpt_seq: 0,
                transact_time,
                paired_qty: auction.paired_shares,
                imbalance_qty: auction.imbalance_shares,
                reference_px: auction.reference_price,
                near_px: auction.near_price,
                far_px: auction.far_price,
                security_id,
                imbalance_side: auction.side,
                cross_type: auction.kind,
            },
        );
        self.out.touch(place);
    }

    /// A cross took place; its trade was told before.
    fn cross(&mut self, book: BookIndex, cross: &Cross) {
        let Some(place) = self.place(book) else { return };
        let instrument = &mut self.out.instruments[place];
        let (security_id, tick) = (instrument.config.id, instrument.config.tick);
        let Cross { price, shares, match_number, kind, .. } = *cross;
        if shares > 0 && (!price.is_multiple_of(tick) || tick < tick_of(price)) {
            self.out.contradict(place);
        }
        let transact_time = self.time();
        self.out.publisher.event(place, |rpt_seq| AuctionResult {
            rpt_seq,
            transact_time,
            trade_id: match_number,
            md_entry_px: price,
            md_entry_size: shares,
            security_id,
            cross_type: kind,
        });
    }

    fn broken(&mut self, book: BookIndex, trade_id: u64, trade: Option<(Price, u64)>) {
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let transact_time = self.time();
        self.out.publisher.event(place, |rpt_seq| TradeBreak {
            rpt_seq,
            transact_time,
            trade_id,
            md_entry_px: trade.map(|(price, _)| price),
            md_entry_size: trade.map_or(0, |(_, shares)| shares),
            security_id,
        });
    }

    /// A directory entry: orders of the configured lot would be refused where only others are taken.
    fn directory(&mut self, market: &MarketState, book: BookIndex) {
        let Some(place) = self.place(book) else { return };
        let security = market.security(book);
        let lot = self.out.instruments[place].config.lot;
        let fits = security.round_lot().is_none_or(|round| round != 0 && lot.is_multiple_of(round));
        if security.is_round_lots_only() && !fits {
            self.out.contradict(place);
        }
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

    #[cold]
    fn on_market(&mut self, market: &MarketState, change: &MarketChange) {
        match change {
            // Looked at once a cycle, with the channel's state.
            MarketChange::Session => {}
            MarketChange::AllStatuses => self.all_statuses(market),
            MarketChange::Directory(book) => self.directory(market, *book),
            MarketChange::Status(book) => self.status_of(market, *book),
            MarketChange::Auction(book) => {
                if let Some(auction) = &market.security(*book).auction {
                    self.imbalance(*book, auction);
                }
            }
            MarketChange::Cross(book, cross) => {
                if cross.shares > 0 {
                    // A cross has no side; `P` always says buy, and so does this.
                    let shares = u32::try_from(cross.shares).unwrap_or(u32::MAX);
                    self.trade(*book, cross.price, shares, Side::Buy, cross.match_number);
                }
                if let (Some(place), None) = (self.place(*book), &market.security(*book).auction) {
                    self.out.publisher.forget_auction(place);
                }
                self.cross(*book, cross);
            }
            MarketChange::Break(book, number, sale) => {
                self.broken(*book, *number, sale.map(|sale| (sale.price, sale.shares)));
            }
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

    fn on_status(&mut self, book: BookIndex, status: &SecurityStatus) {
        self.last_ns = status.transact_time.0;
        let SecurityStatus { security_trading_status, short_sale_restriction, halt_reason, .. } =
            *status;
        self.status(book, security_trading_status, short_sale_restriction, halt_reason);
    }

    // What the other gateway says is passed on under this one's number of the instrument.

    fn on_auction(&mut self, book: BookIndex, auction: &AuctionImbalance) {
        self.last_ns = auction.transact_time.0;
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        self.out.publisher.auction(place, AuctionImbalance { rpt_seq: 0, security_id, ..*auction });
        self.out.touch(place);
    }

    fn on_result(&mut self, book: BookIndex, result: &AuctionResult) {
        self.last_ns = result.transact_time.0;
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        self.out.publisher.forget_auction(place);
        let numbered = |rpt_seq| AuctionResult { rpt_seq, security_id, ..*result };
        self.out.publisher.event(place, numbered);
    }

    fn on_break(&mut self, book: BookIndex, broken: &TradeBreak) {
        self.last_ns = broken.transact_time.0;
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let numbered = |rpt_seq| TradeBreak { rpt_seq, security_id, ..*broken };
        self.out.publisher.event(place, numbered);
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
            iex::Message::TradingStatus(_)
            | iex::Message::OperationalHaltStatus(_)
            | iex::Message::ShortSalePriceTestStatus(_) => {
                let state = books.state(book);
                let short_sale = match state.is_short_sale_restricted {
                    None => ShortSaleRestriction::Unknown,
                    Some(false) => ShortSaleRestriction::NotRestricted,
                    Some(true) => ShortSaleRestriction::InEffect,
                };
                self.status(book, state.status(), short_sale, *b"    ");
            }
            iex::Message::TradeBreak(m) => {
                let trade = Some((m.price, u64::from(m.size)));
                self.broken(book, m.trade_id.cast_unsigned(), trade);
            }
            iex::Message::OfficialPrice(m) => {
                let kind = match m.kind {
                    b'Q' => CrossType::Opening,
                    b'M' => CrossType::Closing,
                    _ => CrossType::Unknown,
                };
                if let Some(place) = self.place(book) {
                    self.out.publisher.forget_auction(place);
                }
                let (price, time_ns) = (m.price, m.time.0);
                self.cross(book, &Cross { kind, price, shares: 0, match_number: 0, time_ns });
            }
            iex::Message::AuctionInformation(m) => {
                let price = |price: Price| Some(price).filter(|price| price.units() != 0);
                let auction = Auction {
                    kind: CrossType::from_wire(m.kind).unwrap_or(CrossType::Unknown),
                    paired_shares: u64::from(m.paired_shares),
                    imbalance_shares: u64::from(m.imbalance_shares),
                    side: ImbalanceSide::from_wire(m.imbalance_side)
                        .unwrap_or(ImbalanceSide::Unknown),
                    reference_price: price(m.reference_price),
                    near_price: price(m.indicative_clearing_price),
                    far_price: price(m.book_clearing_price),
                    time_ns: m.time.0,
                };
                self.imbalance(book, &auction);
            }
            iex::Message::SystemEvent(_)
            | iex::Message::SecurityDirectory(_)
            | iex::Message::RetailLiquidityIndicator(_)
            | iex::Message::SecurityEvent(_)
            | iex::Message::PriceLevelUpdate(_)
            | iex::Message::QuoteUpdate(_) => {}
        }
    }
}
