//! The messages of ITCH 5.0 as plain values.

use crate::types::{Price, Side, Symbol, TradingStatus};

/// What every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The security's number for the day; 0 where the message is about none.
    pub locate: u16,
    /// The exchange's internal number.
    pub tracking: u16,
    /// Nanoseconds since the exchange's midnight, 48 bits.
    pub time_ns: u64,
}

/// `S`: the day's milestones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemEvent {
    /// What every message begins with.
    pub head: Head,
    /// One of `O S Q M E C` (section 1.1).
    pub event: u8,
}

/// `R`: a security and its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockDirectory {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// Listing market.
    pub market_category: u8,
    /// Compliance with listing requirements.
    pub financial_status: u8,
    /// Shares in a round lot.
    pub round_lot: u32,
    /// Whether only round lots are taken: `Y` or `N`.
    pub round_lots_only: u8,
    /// Security class.
    pub issue_classification: u8,
    /// Security sub-type.
    pub issue_sub_type: [u8; 2],
    /// `P` live, `T` test.
    pub authenticity: u8,
    /// Mandatory close-out of short sales: `Y`, `N` or space.
    pub short_sale_threshold: u8,
    /// Set up for an initial public offering.
    pub ipo: u8,
    /// Tier of the price band calculation.
    pub luld_tier: u8,
    /// Whether it is an exchange traded product.
    pub etp: u8,
    /// Leverage of that product.
    pub etp_leverage: u32,
    /// Whether that product is inverse.
    pub inverse: u8,
}

/// `H`: trading status of a security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingAction {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// The status; a letter this build does not know is [`TradingStatus::Unknown`].
    pub status: TradingStatus,
    /// Why.
    pub reason: [u8; 4],
}

/// `A` and `F`: an order entered the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddOrder {
    /// What every message begins with.
    pub head: Head,
    /// The order's number, unique for the day.
    pub reference: u64,
    /// Buy or sell.
    pub side: Side,
    /// Displayed shares.
    pub shares: u32,
    /// The security.
    pub symbol: Symbol,
    /// Displayed price.
    pub price: Price,
    /// Market participant (`F` only).
    pub attribution: Option<[u8; 4]>,
}

/// `E`: an order traded at its own price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderExecuted {
    /// What every message begins with.
    pub head: Head,
    /// The order.
    pub reference: u64,
    /// Shares traded.
    pub shares: u32,
    /// Number of the match.
    pub match_number: u64,
}

/// `C`: an order traded at another price than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderExecutedWithPrice {
    /// What every message begins with.
    pub head: Head,
    /// The order.
    pub reference: u64,
    /// Shares traded.
    pub shares: u32,
    /// Number of the match.
    pub match_number: u64,
    /// Whether it belongs into time and sales; `false` for part of a bulk print.
    pub printable: bool,
    /// Price of the trade.
    pub price: Price,
}

/// `X`: part of an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCancel {
    /// What every message begins with.
    pub head: Head,
    /// The order.
    pub reference: u64,
    /// Shares taken off.
    pub shares: u32,
}

/// `D`: an order left the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderDelete {
    /// What every message begins with.
    pub head: Head,
    /// The order.
    pub reference: u64,
}

/// `U`: an order was replaced by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderReplace {
    /// What every message begins with.
    pub head: Head,
    /// The order that leaves.
    pub reference: u64,
    /// The order that enters, on the same side of the same book.
    pub new_reference: u64,
    /// Its displayed shares.
    pub shares: u32,
    /// Its displayed price.
    pub price: Price,
}

/// `P`: a trade against an order that was not displayed; never touches the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// What every message begins with.
    pub head: Head,
    /// 0 since 2010.
    pub reference: u64,
    /// Always buy since 2014.
    pub side: Side,
    /// Shares traded.
    pub shares: u32,
    /// The security.
    pub symbol: Symbol,
    /// Price of the trade.
    pub price: Price,
    /// Number of the match.
    pub match_number: u64,
}

/// `Q`: a cross took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossTrade {
    /// What every message begins with.
    pub head: Head,
    /// Shares matched; may be 0.
    pub shares: u64,
    /// The security.
    pub symbol: Symbol,
    /// Price of the cross.
    pub price: Price,
    /// Number of the match.
    pub match_number: u64,
    /// `O` opening, `C` closing, `H` halted or new.
    pub cross: u8,
}

/// `B`: a trade was broken; never touches the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenTrade {
    /// What every message begins with.
    pub head: Head,
    /// Number of the match that is void.
    pub match_number: u64,
}

/// `Y`: the short sale price test of Regulation SHO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegShoRestriction {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// `0` none, `1` in effect since a price drop today, `2` remains in effect.
    pub action: u8,
}

/// `L`: a market participant's standing in a security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParticipantPosition {
    /// What every message begins with.
    pub head: Head,
    /// The participant.
    pub mpid: [u8; 4],
    /// The security.
    pub symbol: Symbol,
    /// Whether it is a primary market maker: `Y` or `N`.
    pub primary_market_maker: u8,
    /// One of `N P S R L` (section 1.2.4).
    pub market_maker_mode: u8,
    /// One of `A E W S D` (section 1.2.4).
    pub state: u8,
}

/// `V`: today's limits of the market-wide circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MwcbDeclineLevel {
    /// What every message begins with.
    pub head: Head,
    /// Levels 1 to 3 in units of 1e-8.
    pub levels: [u64; 3],
}

/// `W`: the market-wide circuit breaker tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MwcbStatus {
    /// What every message begins with.
    pub head: Head,
    /// `1`, `2` or `3`.
    pub breached_level: u8,
}

/// `K`: when a new issue is expected to be released for quotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotingPeriod {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// Seconds since midnight; 0 where the release is cancelled or put off.
    pub release_time_s: u32,
    /// `A` anticipated, `C` cancelled or put off.
    pub qualifier: u8,
    /// Price of the issue; 0 where the release is cancelled or put off.
    pub price: Price,
}

/// `J`: the prices within which a paused security may reopen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LuldCollar {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// What the collar was set by.
    pub reference_price: Price,
    /// Its upper end.
    pub upper_price: Price,
    /// Its lower end.
    pub lower_price: Price,
    /// How often the reopening was put off.
    pub extension: u32,
}

/// `h`: one market's trading in a security is interrupted or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationalHalt {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// `Q` Nasdaq, `B` Nasdaq Texas, `X` PSX.
    pub market: u8,
    /// `H` halted, `T` trading again.
    pub action: u8,
}

/// `I`: what a coming cross would match, and what it would leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// What every message begins with.
    pub head: Head,
    /// Shares that match at the reference price.
    pub paired_shares: u64,
    /// Shares left over there.
    pub imbalance_shares: u64,
    /// Side of those: one of `B S N O P` (section 1.6).
    pub direction: u8,
    /// The security.
    pub symbol: Symbol,
    /// Clearing price of the cross's own orders; 0 where there is none.
    pub far_price: Price,
    /// Clearing price of those and the book's; 0 where there is none.
    pub near_price: Price,
    /// Where the shares are counted.
    pub reference_price: Price,
    /// `O` opening, `C` closing, `H` halted or new, `A` extended close.
    pub cross: u8,
    /// How far the near price is from the reference (section 1.6).
    pub variation: u8,
}

/// `N`: retail price improvement is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetailInterest {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// `B` to buyers, `S` to sellers, `A` to both, `N` to none.
    pub interest: u8,
}

/// `O`: price discovery of a direct listing with a capital raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapitalRaise {
    /// What every message begins with.
    pub head: Head,
    /// The security.
    pub symbol: Symbol,
    /// Whether it may be released for trading: `Y` or `N`.
    pub is_eligible: u8,
    /// Lowest price allowed.
    pub lowest_price: Price,
    /// Highest price allowed.
    pub highest_price: Price,
    /// The reference when the volatility test passed.
    pub near_price: Price,
    /// When that was set, nanoseconds since midnight.
    pub near_time_ns: u64,
    /// A tenth below the near price.
    pub lower_collar: Price,
    /// A tenth above the near price.
    pub upper_collar: Price,
}

/// A message of ITCH 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `S`.
    SystemEvent(SystemEvent),
    /// `R`.
    StockDirectory(StockDirectory),
    /// `H`.
    TradingAction(TradingAction),
    /// `A`, `F`.
    AddOrder(AddOrder),
    /// `E`.
    OrderExecuted(OrderExecuted),
    /// `C`.
    OrderExecutedWithPrice(OrderExecutedWithPrice),
    /// `X`.
    OrderCancel(OrderCancel),
    /// `D`.
    OrderDelete(OrderDelete),
    /// `U`.
    OrderReplace(OrderReplace),
    /// `P`.
    Trade(Trade),
    /// `Q`.
    CrossTrade(CrossTrade),
    /// `B`.
    BrokenTrade(BrokenTrade),
    /// `Y`.
    RegShoRestriction(RegShoRestriction),
    /// `L`.
    ParticipantPosition(ParticipantPosition),
    /// `V`.
    MwcbDeclineLevel(MwcbDeclineLevel),
    /// `W`.
    MwcbStatus(MwcbStatus),
    /// `K`.
    QuotingPeriod(QuotingPeriod),
    /// `J`.
    LuldCollar(LuldCollar),
    /// `h`.
    OperationalHalt(OperationalHalt),
    /// `I`.
    Imbalance(Imbalance),
    /// `N`.
    RetailInterest(RetailInterest),
    /// `O`.
    CapitalRaise(CapitalRaise),
}

impl Message {
    /// The symbol of the security it is about; `None` for one that is about the market, or names an order alone.
    pub const fn symbol(&self) -> Option<Symbol> {
        match self {
            Message::StockDirectory(m) => Some(m.symbol),
            Message::TradingAction(m) => Some(m.symbol),
            Message::AddOrder(m) => Some(m.symbol),
            Message::Trade(m) => Some(m.symbol),
            Message::CrossTrade(m) => Some(m.symbol),
            Message::RegShoRestriction(m) => Some(m.symbol),
            Message::ParticipantPosition(m) => Some(m.symbol),
            Message::QuotingPeriod(m) => Some(m.symbol),
            Message::LuldCollar(m) => Some(m.symbol),
            Message::OperationalHalt(m) => Some(m.symbol),
            Message::Imbalance(m) => Some(m.symbol),
            Message::RetailInterest(m) => Some(m.symbol),
            Message::CapitalRaise(m) => Some(m.symbol),
            Message::SystemEvent(_)
            | Message::OrderExecuted(_)
            | Message::OrderExecutedWithPrice(_)
            | Message::OrderCancel(_)
            | Message::OrderDelete(_)
            | Message::OrderReplace(_)
            | Message::BrokenTrade(_)
            | Message::MwcbDeclineLevel(_)
            | Message::MwcbStatus(_) => None,
        }
    }

    /// What the message begins with.
    #[inline]
    pub const fn head(&self) -> Head {
        match self {
            Message::SystemEvent(m) => m.head,
            Message::StockDirectory(m) => m.head,
            Message::TradingAction(m) => m.head,
            Message::AddOrder(m) => m.head,
            Message::OrderExecuted(m) => m.head,
            Message::OrderExecutedWithPrice(m) => m.head,
            Message::OrderCancel(m) => m.head,
            Message::OrderDelete(m) => m.head,
            Message::OrderReplace(m) => m.head,
            Message::Trade(m) => m.head,
            Message::CrossTrade(m) => m.head,
            Message::BrokenTrade(m) => m.head,
            Message::RegShoRestriction(m) => m.head,
            Message::ParticipantPosition(m) => m.head,
            Message::MwcbDeclineLevel(m) => m.head,
            Message::MwcbStatus(m) => m.head,
            Message::QuotingPeriod(m) => m.head,
            Message::LuldCollar(m) => m.head,
            Message::OperationalHalt(m) => m.head,
            Message::Imbalance(m) => m.head,
            Message::RetailInterest(m) => m.head,
            Message::CapitalRaise(m) => m.head,
        }
    }
}
