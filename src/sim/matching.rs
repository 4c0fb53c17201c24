//! A price-time-priority matching engine: many instruments, limit and market orders, day and immediate-or-cancel.
//!
//! Pure: no input, no output, no clock. Priority is the order of calls, so the same calls give the same events.
//!
//! The rules, where exchanges differ: a trade is at the resting order's price. A replace that only takes shares away at
//! the same price keeps the order's place; any other loses it, also one that changes nothing. A participant's orders
//! may trade with each other: who minds must prevent it before. What is left of a market order expires. A replace to no
//! more than what has traded is refused and the order stands as it was. Cancels are taken when the market is closed or
//! the instrument halted; new orders and replaces are not.

use crate::sim::book::{BookSide, Level};
use crate::sim::order::{
    BookEvent, CancelCause, EventSink, NewOrder, Order, OwnerId, Replace, Report, VenueReject,
};
use crate::sim::slab::{Chain, Ends, NIL, Slab};
use crate::types::{
    ClOrdId, InstrumentId, OrdStatus, OrdType, Price, Side, Symbol, TimeInForce, TradingStatus,
};

/// The largest price taken: 200,000 (ITCH 5.0, "Data Types": the maximum of a Price(4)).
pub const PRICE_MAX: Price = Price::from_itch4(2_000_000_000);

/// An instrument as the exchange trades it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueInstrument {
    /// Its symbol.
    pub symbol: Symbol,
    /// Its number in the published feed (ITCH "Stock Locate"), at least 1 and unique.
    pub stock_locate: u16,
    /// Its number in order entry.
    pub security_id: InstrumentId,
    /// Prices are multiples of this, itself a multiple of 0.0001.
    pub tick: Price,
    /// Quantities are multiples of this, at least 1.
    pub lot: u32,
}

/// What an exchange is made with. All storage is allocated from it at once.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// What is traded, at most 65,535.
    pub instruments: Vec<VenueInstrument>,
    /// Orders held at once, open and lately ended: 1 to 2^24.
    pub orders_max: usize,
    /// Orders open at once, of all owners.
    pub open_orders_max: u32,
    /// Price levels on each side of each book, at least 1.
    pub levels_max: usize,
    /// Owners are numbered below this.
    pub owners_max: u32,
}

/// Why an exchange cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeConfigError {
    /// A bound is zero or too large.
    Bounds,
    /// The tick is not a positive multiple of 0.0001.
    Tick(Symbol),
    /// The lot is zero.
    Lot(Symbol),
    /// The stock locate is zero.
    Locate(Symbol),
    /// The symbol, security id or stock locate is another instrument's too.
    Duplicate(Symbol),
}

impl std::fmt::Display for ExchangeConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bounds => f.write_str("a bound of the exchange is zero or too large"),
            Self::Tick(symbol) => write!(f, "{symbol}: tick is not a positive multiple of 0.0001"),
            Self::Lot(symbol) => write!(f, "{symbol}: lot is zero"),
            Self::Locate(symbol) => write!(f, "{symbol}: stock locate is zero"),
            Self::Duplicate(symbol) => {
                write!(f, "{symbol}: symbol, security id or stock locate is used twice")
            }
        }
    }
}

impl std::error::Error for ExchangeConfigError {}

#[derive(Debug)]
struct Book {
    instrument: VenueInstrument,
    status: TradingStatus,
    bids: BookSide,
    asks: BookSide,
}

impl Book {
    #[inline]
    fn side_mut(&mut self, side: Side) -> &mut BookSide {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    orders: Ends,
    open_count: u32,
}

/// The exchange. Allocates when made, and never after.
#[derive(Debug)]
pub struct Exchange {
    books: Vec<Book>,
    by_security: Vec<(InstrumentId, u16)>,
    slab: Slab,
    owners: Vec<Owner>,
    open_count: u32,
    open_count_max: u32,
    is_open: bool,
    next_order_id: u64,
    next_reference: u64,
    next_match_number: u64,
}

impl Exchange {
    /// An exchange with empty books, closed, every instrument trading.
    ///
    /// # Errors
    /// An [`ExchangeConfigError`].
    pub fn new(config: &ExchangeConfig) -> Result<Exchange, ExchangeConfigError> {
        check_config(config)?;
        let book = |&instrument: &VenueInstrument| Book {
            instrument,
            status: TradingStatus::Trading,
            bids: BookSide::new(Side::Buy, config.levels_max),
            asks: BookSide::new(Side::Sell, config.levels_max),
        };
        let mut by_security: Vec<_> =
            config.instruments.iter().map(|i| i.security_id).zip(0..u16::MAX).collect();
        by_security.sort_unstable();
        let owners = (0..config.owners_max).map(|_| Owner { orders: Ends::EMPTY, open_count: 0 });
        Ok(Exchange {
            books: config.instruments.iter().map(book).collect(),
            by_security,
            slab: Slab::new(config.orders_max),
            owners: owners.collect(),
            open_count: 0,
            open_count_max: config.open_orders_max,
            is_open: false,
            next_order_id: 1,
            next_reference: 1,
            next_match_number: 1,
        })
    }

    /// Opens or closes the market: new orders and replaces are taken only while it is open.
    pub fn set_open(&mut self, is_open: bool) {
        self.is_open = is_open;
    }

    /// Changes an instrument's trading status and publishes it. `false`: there is no such instrument.
    pub fn set_status(
        &mut self,
        security_id: InstrumentId,
        status: TradingStatus,
        sink: &mut impl EventSink,
    ) -> bool {
        let Some(instrument) = self.instrument_of(security_id) else { return false };
        self.books[usize::from(instrument)].status = status;
        sink.on_book(&BookEvent::Status { instrument, status });
        true
    }

    /// Publishes a trade of orders that were not displayed. `false`: there is no such instrument.
    pub fn print(
        &mut self,
        security_id: InstrumentId,
        price: Price,
        qty: u32,
        sink: &mut impl EventSink,
    ) -> bool {
        let Some(instrument) = self.instrument_of(security_id) else { return false };
        let match_number = take(&mut self.next_match_number);
        sink.on_book(&BookEvent::Printed { instrument, qty, price, match_number });
        true
    }

    /// Takes a new order: one of `Accepted` and `Rejected`, then its trades, then where it ends or rests.
    ///
    /// # Errors
    /// The reason with which it was also reported as rejected.
    ///
    /// # Panics
    /// If the owner is not below the configured number: a bug of whoever drives the exchange.
    pub fn submit(&mut self, new: &NewOrder, sink: &mut impl EventSink) -> Result<(), VenueReject> {
        let instrument = match self.check_new(new) {
            Ok(instrument) => instrument,
            Err(reason) => {
                sink.on_report(&Report::Rejected(*new, reason));
                return Err(reason);
            }
        };
        let order = Order {
            order_id: take(&mut self.next_order_id),
            reference: take(&mut self.next_reference),
            owner: new.owner,
            tag: new.tag,
            entry_id: new.client_id,
            client_id: new.client_id,
            instrument,
            security_id: new.security_id,
            side: new.side,
            ord_type: new.ord_type,
            time_in_force: new.time_in_force,
            status: OrdStatus::New,
            price: new.price,
            order_qty: new.qty,
            cum_qty: 0,
            leaves_qty: new.qty,
        };
        let slot = self.slab.insert(order).expect("`check_new` saw room");
        self.open_for_owner(slot);
        sink.on_report(&Report::Accepted(order));
        self.match_and_place(slot, sink);
        Ok(())
    }

    /// Cancels the order that `owner` knows as `orig_client_id`; `client_id` names the request.
    ///
    /// # Errors
    /// The reason with which the request was also reported as refused.
    pub fn cancel(
        &mut self,
        owner: OwnerId,
        client_id: ClOrdId,
        orig_client_id: ClOrdId,
        sink: &mut impl EventSink,
    ) -> Result<(), VenueReject> {
        match self.open_slot(owner, orig_client_id) {
            Ok(slot) => {
                self.cancel_slot(slot, CancelCause::Request(client_id), sink);
                Ok(())
            }
            Err((order, reason)) => {
                let replace = false;
                sink.on_report(&Report::CancelRejected {
                    owner,
                    client_id,
                    orig_client_id,
                    replace,
                    order,
                    reason,
                });
                Err(reason)
            }
        }
    }

    /// Replaces price and quantity of an order. See the module for what keeps its place.
    ///
    /// # Errors
    /// The reason with which the request was also reported as refused.
    pub fn replace(
        &mut self,
        request: &Replace,
        sink: &mut impl EventSink,
    ) -> Result<(), VenueReject> {
        let Replace { owner, client_id, orig_client_id, .. } = *request;
        match self.check_replace(request) {
            Ok(slot) => {
                self.replace_slot(slot, request, sink);
                Ok(())
            }
            Err((order, reason)) => {
                let replace = true;
                sink.on_report(&Report::CancelRejected {
                    owner,
                    client_id,
                    orig_client_id,
                    replace,
                    order,
                    reason,
                });
                Err(reason)
            }
        }
    }

    /// Cancels all open orders of `owner`, oldest first, or those in one instrument. Returns how many.
    pub fn mass_cancel(
        &mut self,
        owner: OwnerId,
        security_id: Option<InstrumentId>,
        cause: CancelCause,
        sink: &mut impl EventSink,
    ) -> u32 {
        let Some(&Owner { orders, .. }) = self.owners.get(crate::sim::slab::at(owner.0)) else {
            return 0;
        };
        let (mut slot, mut count) = (orders.head, 0);
        while slot != NIL {
            let next = self.slab.next(Chain::Owner, slot);
            if security_id.is_none_or(|id| id == self.slab.order(slot).security_id) {
                self.cancel_slot(slot, cause, sink);
                count += 1;
            }
            slot = next;
        }
        count
    }

    /// The order that `owner` knows as `client_id`, open or lately ended.
    #[inline]
    pub fn find(&self, owner: OwnerId, client_id: ClOrdId) -> Option<&Order> {
        self.slab.find(owner, client_id).map(|slot| self.slab.order(slot))
    }

    /// Open orders of all owners.
    #[inline]
    pub fn open_count(&self) -> u32 {
        self.open_count
    }

    /// Open orders of one owner.
    #[inline]
    pub fn open_count_of(&self, owner: OwnerId) -> u32 {
        self.owners.get(crate::sim::slab::at(owner.0)).map_or(0, |owner| owner.open_count)
    }

    /// The instruments, in the order of the configuration: an event's `instrument` is the index.
    pub fn instruments(&self) -> impl ExactSizeIterator<Item = &VenueInstrument> {
        self.books.iter().map(|book| &book.instrument)
    }

    /// The instrument at this index.
    #[inline]
    pub fn instrument(&self, index: u16) -> Option<&VenueInstrument> {
        self.books.get(usize::from(index)).map(|book| &book.instrument)
    }

    /// The trading status of the instrument at this index.
    #[inline]
    pub fn status(&self, index: u16) -> Option<TradingStatus> {
        self.books.get(usize::from(index)).map(|book| book.status)
    }

    /// The levels of one side, best first; none for an index that is no instrument's.
    pub fn levels(&self, instrument: u16, side: Side) -> impl Iterator<Item = &Level> {
        self.books.get(usize::from(instrument)).into_iter().flat_map(move |book| match side {
            Side::Buy => book.bids.levels(),
            Side::Sell => book.asks.levels(),
        })
    }

    /// The best price of one side.
    #[inline]
    pub fn best(&self, instrument: u16, side: Side) -> Option<Price> {
        let book = self.books.get(usize::from(instrument))?;
        let side = match side {
            Side::Buy => &book.bids,
            Side::Sell => &book.asks,
        };
        side.best().map(|level| level.price)
    }

    /// The orders of a level, first to trade first.
    pub fn orders(&self, level: &Level) -> impl Iterator<Item = &Order> {
        let first = Some(level.queue.head).filter(|&slot| slot != NIL);
        std::iter::successors(first, |&slot| {
            Some(self.slab.next(Chain::Queue, slot)).filter(|&slot| slot != NIL)
        })
        .map(|slot| self.slab.order(slot))
    }

    #[inline]
    fn instrument_of(&self, security_id: InstrumentId) -> Option<u16> {
        let index = self.by_security.binary_search_by_key(&security_id, |&(id, _)| id).ok()?;
        Some(self.by_security[index].1)
    }

    fn check_new(&self, new: &NewOrder) -> Result<u16, VenueReject> {
        let index = self.instrument_of(new.security_id).ok_or(VenueReject::UnknownInstrument)?;
        let book = &self.books[usize::from(index)];
        self.check_trading(book)?;
        check_qty(book, new.qty)?;
        match (new.ord_type, new.price) {
            (OrdType::Limit, Some(price)) => check_price(book, price)?,
            (OrdType::Market, None) => {}
            (OrdType::Limit, None) | (OrdType::Market, Some(_)) => {
                return Err(VenueReject::BadPrice);
            }
        }
        if self.slab.find(new.owner, new.client_id).is_some() {
            return Err(VenueReject::DuplicateOrder);
        }
        if self.open_count >= self.open_count_max || !self.slab.has_room() {
            return Err(VenueReject::TooManyOrders);
        }
        match new.price {
            Some(price) if new.time_in_force == TimeInForce::Day => {
                check_room(book, new.side, price)?;
            }
            Some(_) | None => {}
        }
        Ok(index)
    }

    fn check_trading(&self, book: &Book) -> Result<(), VenueReject> {
        if !self.is_open {
            Err(VenueReject::MarketClosed)
        } else if book.status != TradingStatus::Trading {
            Err(VenueReject::Halted)
        } else {
            Ok(())
        }
    }

    fn check_replace(&self, request: &Replace) -> Result<u32, (Option<Order>, VenueReject)> {
        let slot = self.open_slot(request.owner, request.orig_client_id)?;
        let order = self.slab.order(slot);
        let refuse = |reason| (Some(*order), reason);
        let book = &self.books[usize::from(order.instrument)];
        self.check_trading(book).map_err(refuse)?;
        check_qty(book, request.qty).map_err(refuse)?;
        check_price(book, request.price).map_err(refuse)?;
        if request.qty <= order.cum_qty {
            return Err(refuse(VenueReject::QtyBelowFilled));
        }
        match self.slab.find(request.owner, request.client_id) {
            Some(other) if other != slot => return Err(refuse(VenueReject::DuplicateOrder)),
            Some(_) | None => {}
        }
        check_room(book, order.side, request.price).map_err(refuse)?;
        Ok(slot)
    }

    fn open_slot(
        &self,
        owner: OwnerId,
        client_id: ClOrdId,
    ) -> Result<u32, (Option<Order>, VenueReject)> {
        let slot = self.slab.find(owner, client_id).ok_or((None, VenueReject::UnknownOrder))?;
        let order = self.slab.order(slot);
        if order.status.is_final() {
            return Err((Some(*order), VenueReject::TooLate));
        }
        Ok(slot)
    }

    fn replace_slot(&mut self, slot: u32, request: &Replace, sink: &mut impl EventSink) {
        let before = *self.slab.order(slot);
        let old_price = before.price.expect("only limit orders rest");
        let leaves = request.qty - before.cum_qty;
        let kept_place = request.price == old_price && leaves < before.leaves_qty;
        if !kept_place {
            self.leave_level(slot);
        }
        self.slab.rename(slot, request.client_id);
        let order = self.slab.order_mut(slot);
        order.price = Some(request.price);
        order.order_qty = request.qty;
        order.leaves_qty = leaves;
        if !kept_place {
            order.reference = take(&mut self.next_reference);
        }
        let order = *order;
        let orig_client_id = before.client_id;
        sink.on_report(&Report::Replaced { order, orig_client_id, kept_place });
        let (instrument, old) = (order.instrument, before.reference);
        let book = &mut self.books[usize::from(instrument)];
        if kept_place {
            let qty = before.leaves_qty - leaves;
            book.side_mut(order.side).level_mut(old_price).qty -= u64::from(qty);
            sink.on_book(&BookEvent::Reduced { instrument, reference: old, qty });
            return;
        }
        let opposite = book.side_mut(order.side.opposite());
        if opposite.best().is_some_and(|best| opposite.trades_at(best.price, order.price)) {
            sink.on_book(&BookEvent::Deleted { instrument, reference: old });
            self.match_and_place(slot, sink);
        } else {
            self.join_level(slot);
            let (new, qty, price) = (order.reference, leaves, request.price);
            sink.on_book(&BookEvent::Replaced { instrument, old, new, qty, price });
        }
    }

    /// Lets the order in `slot`, which is in no level, trade, and rest or end.
    fn match_and_place(&mut self, slot: u32, sink: &mut impl EventSink) {
        while self.trade_once(slot, sink) {}
        let Order { instrument, reference, side, leaves_qty: qty, .. } = *self.slab.order(slot);
        let order = self.slab.order(slot);
        match order.price {
            _ if qty == 0 => self.finish(slot, OrdStatus::Filled),
            Some(price) if order.time_in_force == TimeInForce::Day => {
                self.join_level(slot);
                sink.on_book(&BookEvent::Added { instrument, reference, side, qty, price });
            }
            Some(_) | None => {
                self.finish(slot, OrdStatus::Expired);
                sink.on_report(&Report::Expired(*self.slab.order(slot)));
            }
        }
    }

    /// One trade of the order in `slot` with the first of the best level of the other side, if they meet.
    #[inline]
    fn trade_once(&mut self, slot: u32, sink: &mut impl EventSink) -> bool {
        let Order { instrument, side, price: limit, leaves_qty, .. } = *self.slab.order(slot);
        let opposite = self.books[usize::from(instrument)].side_mut(side.opposite());
        let Some(&Level { price, queue, .. }) = opposite.best() else { return false };
        if leaves_qty == 0 || !opposite.trades_at(price, limit) {
            return false;
        }
        let resting_slot = queue.head;
        let qty = leaves_qty.min(self.slab.order(resting_slot).leaves_qty);
        let resting = fill(self.slab.order_mut(resting_slot), qty);
        let aggressor = fill(self.slab.order_mut(slot), qty);
        let level = opposite.best_mut().expect("seen above");
        level.qty -= u64::from(qty);
        if resting.leaves_qty == 0 {
            level.count -= 1;
            self.slab.unlink(&mut level.queue, Chain::Queue, resting_slot);
            opposite.drop_if_empty(price);
            self.finish(resting_slot, OrdStatus::Filled);
        }
        let match_number = take(&mut self.next_match_number);
        sink.on_report(&Report::Trade { resting, aggressor, price, qty, match_number });
        let reference = resting.reference;
        sink.on_book(&BookEvent::Executed { instrument, reference, qty, match_number });
        true
    }

    fn cancel_slot(&mut self, slot: u32, cause: CancelCause, sink: &mut impl EventSink) {
        self.leave_level(slot);
        self.finish(slot, OrdStatus::Canceled);
        let order = *self.slab.order(slot);
        sink.on_report(&Report::Canceled(order, cause));
        let Order { instrument, reference, .. } = order;
        sink.on_book(&BookEvent::Deleted { instrument, reference });
    }

    fn join_level(&mut self, slot: u32) {
        let Order { instrument, side, price, leaves_qty, .. } = *self.slab.order(slot);
        let price = price.expect("only limit orders rest");
        let level = self.books[usize::from(instrument)].side_mut(side).level_or_new(price);
        level.qty += u64::from(leaves_qty);
        level.count += 1;
        self.slab.push_back(&mut level.queue, Chain::Queue, slot);
    }

    fn leave_level(&mut self, slot: u32) {
        let Order { instrument, side, price, leaves_qty, .. } = *self.slab.order(slot);
        let price = price.expect("only limit orders rest");
        let book_side = self.books[usize::from(instrument)].side_mut(side);
        let level = book_side.level_mut(price);
        level.qty -= u64::from(leaves_qty);
        level.count -= 1;
        self.slab.unlink(&mut level.queue, Chain::Queue, slot);
        book_side.drop_if_empty(price);
    }

    fn open_for_owner(&mut self, slot: u32) {
        let index = crate::sim::slab::at(self.slab.order(slot).owner.0);
        assert!(index < self.owners.len(), "owner {index} is not one of the exchange's");
        let owner = &mut self.owners[index];
        self.slab.push_back(&mut owner.orders, Chain::Owner, slot);
        owner.open_count += 1;
        self.open_count += 1;
    }

    /// Ends an order that is in no level.
    fn finish(&mut self, slot: u32, status: OrdStatus) {
        let order = self.slab.order_mut(slot);
        order.status = status;
        order.leaves_qty = 0;
        let owner = &mut self.owners[crate::sim::slab::at(order.owner.0)];
        self.slab.unlink(&mut owner.orders, Chain::Owner, slot);
        owner.open_count -= 1;
        self.open_count -= 1;
        self.slab.end(slot);
    }
}

#[inline]
fn take(counter: &mut u64) -> u64 {
    let number = *counter;
    *counter += 1;
    number
}

#[inline]
fn fill(order: &mut Order, qty: u32) -> Order {
    order.leaves_qty -= qty;
    order.cum_qty += qty;
    order.status =
        if order.leaves_qty == 0 { OrdStatus::Filled } else { OrdStatus::PartiallyFilled };
    *order
}

fn check_qty(book: &Book, qty: u32) -> Result<(), VenueReject> {
    if qty == 0 {
        Err(VenueReject::ZeroQty)
    } else if !qty.is_multiple_of(book.instrument.lot) {
        Err(VenueReject::BadLot)
    } else {
        Ok(())
    }
}

fn check_price(book: &Book, price: Price) -> Result<(), VenueReject> {
    if price.units() <= 0 || price > PRICE_MAX {
        Err(VenueReject::BadPrice)
    } else if !price.is_multiple_of(book.instrument.tick) {
        Err(VenueReject::BadTick)
    } else {
        Ok(())
    }
}

fn check_room(book: &Book, side: Side, price: Price) -> Result<(), VenueReject> {
    let side = match side {
        Side::Buy => &book.bids,
        Side::Sell => &book.asks,
    };
    if side.has_room(price) { Ok(()) } else { Err(VenueReject::TooManyLevels) }
}

fn check_config(config: &ExchangeConfig) -> Result<(), ExchangeConfigError> {
    let ExchangeConfig { instruments, orders_max, levels_max, .. } = config;
    if instruments.len() > usize::from(u16::MAX)
        || !(1..=1 << 24).contains(orders_max)
        || *levels_max == 0
    {
        return Err(ExchangeConfigError::Bounds);
    }
    for (index, instrument) in instruments.iter().enumerate() {
        let symbol = instrument.symbol;
        if instrument.tick.units() <= 0 || instrument.tick.units() % Price::ITCH4_UNITS != 0 {
            return Err(ExchangeConfigError::Tick(symbol));
        }
        if instrument.lot == 0 {
            return Err(ExchangeConfigError::Lot(symbol));
        }
        if instrument.stock_locate == 0 {
            return Err(ExchangeConfigError::Locate(symbol));
        }
        let same = |other: &VenueInstrument| {
            other.symbol == symbol
                || other.security_id == instrument.security_id
                || other.stock_locate == instrument.stock_locate
        };
        if instruments[..index].iter().any(same) {
            return Err(ExchangeConfigError::Duplicate(symbol));
        }
    }
    Ok(())
}
