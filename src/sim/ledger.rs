//! What the simulated exchange remembers for the account at the end: participants' orders, their fills, the books.

use crate::feed::BookDigest;
use crate::sim::matching::{Exchange, VenueInstrument};
use crate::sim::order::{Order, OwnerId};
use crate::sim::slab::at;
use crate::types::{
    AccountId, ClOrdId, InstrumentId, OrdStatus, Price, SessionId, Side, TimeInForce,
};

/// A participant's order as it stands, or stood last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerOrder {
    /// Whose it is.
    pub session: SessionId,
    /// The identifier it was entered with.
    pub cl_ord_id: ClOrdId,
    /// The exchange's identifier; 0 for a rejected order.
    pub order_id: u64,
    /// The instrument asked for.
    pub security_id: InstrumentId,
    /// The account.
    pub account: AccountId,
    /// Buy or sell.
    pub side: Side,
    /// How long it stands.
    pub time_in_force: TimeInForce,
    /// The limit; none for a market order.
    pub price: Option<Price>,
    /// The total asked for.
    pub order_qty: u32,
    /// What has traded.
    pub cum_qty: u32,
    /// What can still trade.
    pub leaves_qty: u32,
    /// How it stands.
    pub status: OrdStatus,
    /// Why it was rejected; 0 for an order that was not.
    pub reject_reason: u16,
}

/// One side of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerParty {
    /// Whose order; none for a background order.
    pub session: Option<SessionId>,
    /// The identifier the order was entered with.
    pub cl_ord_id: ClOrdId,
    /// Buy or sell.
    pub side: Side,
}

/// A trade in which at least one participant's order took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerFill {
    /// Number of the trade.
    pub match_number: u64,
    /// The instrument.
    pub security_id: InstrumentId,
    /// The price.
    pub price: Price,
    /// Shares.
    pub qty: u32,
    /// Whose order was in the book.
    pub resting: LedgerParty,
    /// Whose order came.
    pub aggressor: LedgerParty,
}

/// An order in a book snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderSnapshot {
    /// Its reference number in the published feed.
    pub reference: u64,
    /// Shares.
    pub qty: u32,
    /// Whose it is; none for a background order.
    pub session: Option<SessionId>,
}

/// A price level in a book snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelSnapshot {
    /// The price.
    pub price: Price,
    /// Shares of all its orders.
    pub qty: u64,
    /// Its orders, first to trade first.
    pub orders: Vec<OrderSnapshot>,
}

/// One instrument's book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSnapshot {
    /// The instrument.
    pub instrument: VenueInstrument,
    /// Levels to buy, best first.
    pub bids: Vec<LevelSnapshot>,
    /// Levels to sell, best first.
    pub asks: Vec<LevelSnapshot>,
}

impl BookSnapshot {
    /// The book of the instrument at `index`; `None` where there is none. `session_of` names the owners. Allocates.
    pub fn of(
        exchange: &Exchange,
        index: u16,
        session_of: impl Fn(OwnerId) -> Option<SessionId>,
    ) -> Option<BookSnapshot> {
        let instrument = *exchange.instrument(index)?;
        let side = |side| {
            let order = |order: &Order| OrderSnapshot {
                reference: order.reference,
                qty: order.leaves_qty,
                session: session_of(order.owner),
            };
            let levels = exchange.levels(index, side);
            levels
                .map(|level| LevelSnapshot {
                    price: level.price,
                    qty: level.qty,
                    orders: exchange.orders(level).map(order).collect(),
                })
                .collect()
        };
        Some(BookSnapshot { instrument, bids: side(Side::Buy), asks: side(Side::Sell) })
    }

    /// Orders of both sides.
    pub fn order_count(&self) -> usize {
        self.bids.iter().chain(&self.asks).map(|level| level.orders.len()).sum()
    }
}

/// The exchange's account of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueLedger {
    /// Every participant's order, in the order in which they came.
    pub orders: Vec<LedgerOrder>,
    /// Every trade of a participant's order.
    pub fills: Vec<LedgerFill>,
    /// Fills for which there was no room: the account cannot be proven where this is not 0.
    pub fills_unrecorded_count: u64,
    /// The books at the end, in the order of the configuration.
    pub books: Vec<BookSnapshot>,
    /// Messages published, those that close the day included.
    pub message_count: u64,
    /// Market data packets for which a line had no room.
    pub packet_drop_count: u64,
    /// Times a market data line failed.
    pub line_error_count: u64,
}

impl VenueLedger {
    /// An empty ledger with room for so many orders and fills, allocated at once.
    pub fn with_capacity(orders_max: usize, fills_max: usize) -> VenueLedger {
        VenueLedger {
            orders: Vec::with_capacity(orders_max),
            fills: Vec::with_capacity(fills_max),
            fills_unrecorded_count: 0,
            books: Vec::new(),
            message_count: 0,
            packet_drop_count: 0,
            line_error_count: 0,
        }
    }

    /// The digest of the books: a feed that followed every published message has the same ([`BookDigest`]).
    pub fn digest(&self) -> u64 {
        let mut books: Vec<_> = self.books.iter().filter(|book| book.order_count() > 0).collect();
        books.sort_unstable_by_key(|book| book.instrument.symbol);
        let mut digest = BookDigest::new();
        for book in books {
            digest.book(book.instrument.symbol);
            for (side, levels) in [(Side::Buy, &book.bids), (Side::Sell, &book.asks)] {
                for level in levels {
                    for order in &level.orders {
                        digest.order(side, level.price, order.qty, order.reference);
                    }
                }
            }
        }
        digest.finish()
    }

    /// Notes an order, and returns its place; `None` where there is no room.
    #[inline]
    pub(super) fn open(&mut self, order: LedgerOrder) -> Option<u32> {
        let place = u32::try_from(self.orders.len()).ok().filter(|&place| place != u32::MAX)?;
        if self.orders.len() == self.orders.capacity() {
            return None;
        }
        self.orders.push(order);
        Some(place)
    }

    /// Brings the order at `order.tag` up to date, if it is in the ledger.
    #[inline]
    pub(super) fn update(&mut self, order: &Order) -> Option<&LedgerOrder> {
        let entry = self.orders.get_mut(at(order.tag))?;
        entry.order_id = order.order_id;
        entry.price = order.price;
        entry.order_qty = order.order_qty;
        entry.cum_qty = order.cum_qty;
        entry.leaves_qty = order.leaves_qty;
        entry.status = order.status;
        Some(entry)
    }

    /// Notes that the order at `tag` was rejected.
    #[inline]
    pub(super) fn reject(&mut self, tag: u32, reason: u16) -> Option<&LedgerOrder> {
        let entry = self.orders.get_mut(at(tag))?;
        entry.status = OrdStatus::Rejected;
        entry.leaves_qty = 0;
        entry.reject_reason = reason;
        Some(entry)
    }

    /// Notes a fill.
    #[inline]
    pub(super) fn fill(&mut self, fill: LedgerFill) {
        if self.fills.len() == self.fills.capacity() {
            self.fills_unrecorded_count += 1;
        } else {
            self.fills.push(fill);
        }
    }
}
