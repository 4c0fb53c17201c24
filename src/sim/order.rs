//! The words of the simulated exchange: orders, refusals, and the events that matching makes.

use std::fmt;

use crate::types::{ClOrdId, InstrumentId, OrdStatus, OrdType, Price, Side, TimeInForce};

/// Who an order belongs to, as numbered by whoever drives the exchange: reports go to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u32);

/// Why the exchange refuses a request. The number is sent as `OrdRejReason` or `CxlRejReason` and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum VenueReject {
    /// No such instrument is traded here.
    UnknownInstrument = 1,
    /// The price is not a multiple of the instrument's tick.
    BadTick = 2,
    /// The quantity is not a multiple of the instrument's lot.
    BadLot = 3,
    /// The quantity is zero.
    ZeroQty = 4,
    /// The participant has no such order, or it ended long ago.
    UnknownOrder = 5,
    /// The order has ended already.
    TooLate = 6,
    /// The instrument is not trading.
    Halted = 7,
    /// The market is not open.
    MarketClosed = 8,
    /// The participant has used this identifier.
    DuplicateOrder = 9,
    /// A limit order without a price, a market order with one, or a price outside 0.0001 to 200,000.
    BadPrice = 10,
    /// A replace asks for no more than what has traded already.
    QtyBelowFilled = 11,
    /// The exchange holds as many orders as it can.
    TooManyOrders = 12,
    /// The book has as many price levels as it can.
    TooManyLevels = 13,
}

impl VenueReject {
    /// Every reason.
    pub const ALL: [VenueReject; 13] = [
        VenueReject::UnknownInstrument,
        VenueReject::BadTick,
        VenueReject::BadLot,
        VenueReject::ZeroQty,
        VenueReject::UnknownOrder,
        VenueReject::TooLate,
        VenueReject::Halted,
        VenueReject::MarketClosed,
        VenueReject::DuplicateOrder,
        VenueReject::BadPrice,
        VenueReject::QtyBelowFilled,
        VenueReject::TooManyOrders,
        VenueReject::TooManyLevels,
    ];

    /// The stable number, at least 1.
    #[inline]
    pub const fn code(self) -> u16 {
        #[allow(clippy::as_conversions, reason = "the discriminant of a repr(u16) enum")]
        {
            self as u16
        }
    }

    /// The reason with this number, if there is one.
    pub fn from_code(code: u16) -> Option<VenueReject> {
        VenueReject::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for VenueReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VenueReject::UnknownInstrument => "no such instrument",
            VenueReject::BadTick => "price is not a multiple of the tick",
            VenueReject::BadLot => "quantity is not a multiple of the lot",
            VenueReject::ZeroQty => "quantity is zero",
            VenueReject::UnknownOrder => "no such order",
            VenueReject::TooLate => "the order has ended already",
            VenueReject::Halted => "the instrument is not trading",
            VenueReject::MarketClosed => "the market is closed",
            VenueReject::DuplicateOrder => "the identifier was used before",
            VenueReject::BadPrice => "the price does not fit the order",
            VenueReject::QtyBelowFilled => "as much has traded already",
            VenueReject::TooManyOrders => "the exchange is full of orders",
            VenueReject::TooManyLevels => "the book is full of price levels",
        })
    }
}

/// A new order as a participant asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Whose it is.
    pub owner: OwnerId,
    /// The owner's identifier.
    pub client_id: ClOrdId,
    /// Anything the owner's desk wants to find on the order again.
    pub tag: u32,
    /// The instrument.
    pub security_id: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub ord_type: OrdType,
    /// Day or immediate-or-cancel. What is left of a market order always expires: it has no price to rest at.
    pub time_in_force: TimeInForce,
    /// The limit; none for a market order.
    pub price: Option<Price>,
    /// Shares.
    pub qty: u32,
}

/// A replace as a participant asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replace {
    /// Whose order.
    pub owner: OwnerId,
    /// The identifier of this request; the order goes by it from then on. May be the order's own.
    pub client_id: ClOrdId,
    /// The identifier of the order: its first, or the one of the last replace.
    pub orig_client_id: ClOrdId,
    /// The new limit.
    pub price: Price,
    /// The new total, what has traded included.
    pub qty: u32,
}

/// An order at the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The exchange's identifier, counting from 1; stays through replaces.
    pub order_id: u64,
    /// The reference number under which the book is published; new after a replace that loses its place.
    pub reference: u64,
    /// Whose it is.
    pub owner: OwnerId,
    /// The owner's desk's mark.
    pub tag: u32,
    /// The identifier it was entered with.
    pub entry_id: ClOrdId,
    /// The identifier it goes by now.
    pub client_id: ClOrdId,
    /// The instrument's place in the exchange's table.
    pub instrument: u16,
    /// The instrument.
    pub security_id: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub ord_type: OrdType,
    /// Day or immediate-or-cancel.
    pub time_in_force: TimeInForce,
    /// How it stands.
    pub status: OrdStatus,
    /// The limit; none for a market order.
    pub price: Option<Price>,
    /// The total asked for.
    pub order_qty: u32,
    /// What has traded.
    pub cum_qty: u32,
    /// What can still trade; 0 once the order has ended.
    pub leaves_qty: u32,
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelCause {
    /// Its owner asked, in the request of this identifier.
    Request(ClOrdId),
    /// Its owner cancelled many.
    Mass,
    /// Its owner is gone.
    Disconnect,
}

/// What an owner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The order was taken.
    Accepted(Order),
    /// The order was refused.
    Rejected(NewOrder, VenueReject),
    /// Two orders traded, at the resting order's price. Both are shown as they stand after the trade.
    Trade {
        /// The one that was in the book.
        resting: Order,
        /// The one that came.
        aggressor: Order,
        /// The price.
        price: Price,
        /// Shares.
        qty: u32,
        /// Number of the trade, counting from 1.
        match_number: u64,
    },
    /// The order was cancelled.
    Canceled(Order, CancelCause),
    /// The order was replaced; shown as it stands after, before it trades on.
    Replaced {
        /// The order.
        order: Order,
        /// The identifier it went by before.
        orig_client_id: ClOrdId,
        /// Whether it kept its place in the queue.
        kept_place: bool,
    },
    /// What was left of the order ended by its own terms.
    Expired(Order),
    /// A cancel or replace was refused.
    CancelRejected {
        /// Whose request.
        owner: OwnerId,
        /// The request.
        client_id: ClOrdId,
        /// The order it names.
        orig_client_id: ClOrdId,
        /// Whether it was a replace.
        replace: bool,
        /// The order, where it is known.
        order: Option<Order>,
        /// Why.
        reason: VenueReject,
    },
}

/// What happens to the public book. `instrument` is the place in the exchange's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookEvent {
    /// An order rests.
    Added {
        /// The instrument.
        instrument: u16,
        /// Its reference number.
        reference: u64,
        /// Buy or sell.
        side: Side,
        /// Shares.
        qty: u32,
        /// The limit.
        price: Price,
    },
    /// A resting order traded at its price.
    Executed {
        /// The instrument.
        instrument: u16,
        /// Its reference number.
        reference: u64,
        /// Shares.
        qty: u32,
        /// Number of the trade.
        match_number: u64,
    },
    /// A resting order shrank and kept its place.
    Reduced {
        /// The instrument.
        instrument: u16,
        /// Its reference number.
        reference: u64,
        /// Shares taken away.
        qty: u32,
    },
    /// A resting order left.
    Deleted {
        /// The instrument.
        instrument: u16,
        /// Its reference number.
        reference: u64,
    },
    /// A resting order was replaced and stands last in its queue, under a new reference number.
    Replaced {
        /// The instrument.
        instrument: u16,
        /// Its reference number until now.
        old: u64,
        /// Its reference number from now on.
        new: u64,
        /// Shares.
        qty: u32,
        /// The limit.
        price: Price,
    },
    /// A trade of orders that were not displayed.
    Printed {
        /// The instrument.
        instrument: u16,
        /// Shares.
        qty: u32,
        /// The price.
        price: Price,
        /// Number of the trade.
        match_number: u64,
    },
    /// The instrument's trading status changed.
    Status {
        /// The instrument.
        instrument: u16,
        /// The status.
        status: crate::types::TradingStatus,
    },
}

/// What takes the events of a request, in the order in which they happen.
pub trait EventSink {
    /// Takes a report to an owner; a trade concerns two.
    fn on_report(&mut self, report: &Report);

    /// Takes a change of the public book.
    fn on_book(&mut self, event: &BookEvent);
}
