//! What DEEP and TOPS say in the same words: administrative messages, trades, auctions; and the message of either.
//!
//! Pure, total and without a copy of the bytes. A message may be longer than its type was when this was written, since IEX
//! may add to the end of any ("Architecture" of both specifications): what is known of it is read, the rest left. One that
//! is shorter is refused. Letters and flags are kept as they came, also those no specification names yet.
//!
//! Offsets and lengths: DEEP specification 1.08 and TOPS specification 1.66, sections "Administrative Message Formats",
//! "Trading Message Formats", "Auction Message Formats" and appendix A; in both they are the same.

use std::fmt;

use crate::feed::iex::bytes::{le32, long, symbol};
use crate::feed::iex::deep::PriceLevelUpdate;
use crate::feed::iex::tops::QuoteUpdate;
use crate::types::{Price, Symbol, TradingStatus, UtcNanos};

/// Types of message that both feeds have.
pub const SHARED_TYPE_COUNT: usize = 11;

/// Letter and least length in bytes of each of them, in the order of the specifications.
pub const SHARED_TYPES: [(u8, u8); SHARED_TYPE_COUNT] = [
    (b'S', 10), // System Event
    (b'D', 31), // Security Directory
    (b'H', 22), // Trading Status
    (b'I', 18), // Retail Liquidity Indicator
    (b'O', 18), // Operational Halt Status
    (b'P', 19), // Short Sale Price Test Status
    (b'E', 18), // Security Event
    (b'T', 38), // Trade Report
    (b'X', 26), // Official Price
    (b'B', 38), // Trade Break
    (b'A', 80), // Auction Information
];

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IexError {
    /// No bytes.
    Empty,
    /// A letter no type of the feed has.
    UnknownType(u8),
    /// Shorter than its type is.
    ShortMessage {
        /// The type's letter.
        letter: u8,
        /// Its length here; less than the type's, so it fits.
        bytes: u8,
    },
    /// A price beyond what [`Price`] holds, about ±9.2e9 currency units.
    PriceOutOfRange(i64),
    /// A time before 1970.
    TimeOutOfRange(i64),
}

impl fmt::Display for IexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            IexError::Empty => f.write_str("message of no bytes"),
            IexError::UnknownType(letter) => {
                write!(f, "no such message type: `{}`", letter.escape_ascii())
            }
            IexError::ShortMessage { letter, bytes } => {
                write!(f, "message of type `{}` with only {bytes} bytes", letter.escape_ascii())
            }
            IexError::PriceOutOfRange(raw) => write!(f, "no price is {raw} × 1e-4"),
            IexError::TimeOutOfRange(raw) => write!(f, "{raw} ns is before 1970"),
        }
    }
}

impl std::error::Error for IexError {}

/// `S`: the day's milestones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemEvent {
    /// When.
    pub time: UtcNanos,
    /// `O` start of messages, `S` and `E` start and end of system hours, `R` and `M` start and end of regular market hours,
    /// `C` end of messages: the last of the session.
    pub event: u8,
}

impl SystemEvent {
    /// The letter of the last message of a session.
    pub const END_OF_MESSAGES: u8 = b'C';
    /// The letter of the start of regular market hours.
    pub const START_OF_MARKET_HOURS: u8 = b'R';
}

/// Properties of a security (appendix A, "Security Directory: Flags").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityFlags(pub u8);

impl SecurityFlags {
    /// Whether it is there for tests only.
    pub const fn is_test(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Whether it is traded when, as and if issued.
    pub const fn is_when_issued(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Whether it is an exchange traded product.
    pub const fn is_exchange_traded_product(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// `D`: a security listed at IEX and its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityDirectory {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// Its properties.
    pub flags: SecurityFlags,
    /// Shares in a round lot.
    pub round_lot: u32,
    /// The last official closing price, adjusted for what the company did since; the issue price of a new issue.
    pub adjusted_close: Price,
    /// Tier of the price band calculation: 0 none, 1, 2.
    pub luld_tier: u8,
}

/// `H`: trading status of a security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingStatusMessage {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// `H` halted in all markets, `O` orders are accepted but not yet executed, `P` paused and orders accepted, `T` trading.
    pub letter: u8,
    /// Why, for a halt or an order acceptance period.
    pub reason: [u8; 4],
}

impl TradingStatusMessage {
    /// The status in the words of this program: an order acceptance period is quotation only, since nothing trades in it;
    /// a letter no specification names is [`TradingStatus::Unknown`].
    pub const fn status(&self) -> TradingStatus {
        match self.letter {
            b'H' => TradingStatus::Halted,
            b'O' => TradingStatus::QuotationOnly,
            b'P' => TradingStatus::Paused,
            b'T' => TradingStatus::Trading,
            _ => TradingStatus::Unknown,
        }
    }
}

/// `I`: whether there is interest to trade with retail orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetailLiquidityIndicator {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// Space none, `A` to buy, `B` to sell, `C` both.
    pub indicator: u8,
}

/// `O`: whether IEX alone halted a security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationalHaltStatus {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// `O` halted, `N` not halted.
    pub letter: u8,
}

impl OperationalHaltStatus {
    /// Whether the security is halted; only `N` says that it is not.
    pub const fn is_halted(&self) -> bool {
        self.letter != b'N'
    }
}

/// `P`: whether a short sale price test is in effect (Regulation SHO, rule 201).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortSalePriceTestStatus {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// 0 not in effect, 1 in effect.
    pub code: u8,
    /// Space none, `A` activated by today's fall, `C` continued from the day before, `D` deactivated, `N` not told.
    pub detail: u8,
}

impl ShortSalePriceTestStatus {
    /// Whether short sales are restricted; only 0 says that they are not.
    pub const fn is_in_effect(&self) -> bool {
        self.code != 0
    }
}

/// `E`: the opening or closing process of a security is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// `O` opening process complete, `C` closing process complete.
    pub event: u8,
}

/// How a trade came about (appendix A, "Trade Report & Trade Break: Sale Condition Flags").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaleConditions(pub u8);

impl SaleConditions {
    /// Whether an intermarket sweep order took.
    pub const fn is_intermarket_sweep(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Whether it took place before or after the regular session.
    pub const fn is_extended_hours(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Whether it is less than a round lot.
    pub const fn is_odd_lot(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Whether the rule against trading through other markets (611) does not apply.
    pub const fn is_trade_through_exempt(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// Whether it is part of a cross at a single price.
    pub const fn is_single_price_cross(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Whether it counts as last sale, and for the day's high and low ("Trade Eligibility Guidelines"); for the volume all
    /// trades count.
    pub const fn is_last_sale_eligible(self) -> bool {
        !self.is_extended_hours() && !self.is_odd_lot()
    }
}

/// `T` and `B`: one fill, of displayed orders or others; or one that was broken. Never touches the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// How it came about.
    pub conditions: SaleConditions,
    /// Shares.
    pub size: u32,
    /// Price.
    pub price: Price,
    /// The trade's number, unique for the day; a break names the report's.
    pub trade_id: i64,
}

/// `X`: an official price of a security listed at IEX; overrides the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfficialPrice {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// `Q` opening, `M` closing.
    pub kind: u8,
    /// The price.
    pub price: Price,
}

/// `A`: how an auction of a security listed at IEX stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionInformation {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// `O` opening, `C` closing, `I` initial offering, `H` halt, `V` volatility.
    pub kind: u8,
    /// Shares paired at the reference price, of orders on the auction book.
    pub paired_shares: u32,
    /// Clearing price within the reference price range, of orders on the auction book.
    pub reference_price: Price,
    /// Clearing price of all eligible orders.
    pub indicative_clearing_price: Price,
    /// Shares not paired at the reference price.
    pub imbalance_shares: u32,
    /// Their side: `B`, `S`, or `N` for none.
    pub imbalance_side: u8,
    /// Times the auction was put off.
    pub extensions: u8,
    /// When it is to match: seconds since 1970-01-01T00:00:00Z.
    pub scheduled_seconds: u32,
    /// Clearing price of orders on the auction book.
    pub book_clearing_price: Price,
    /// Price the collar is taken from; 0 where there is none.
    pub collar_reference_price: Price,
    /// Lower end of the collar; 0 where there is none.
    pub lower_collar: Price,
    /// Upper end of the collar; 0 where there is none.
    pub upper_collar: Price,
}

/// A message of DEEP or TOPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `S`.
    SystemEvent(SystemEvent),
    /// `D`.
    SecurityDirectory(SecurityDirectory),
    /// `H`.
    TradingStatus(TradingStatusMessage),
    /// `I`.
    RetailLiquidityIndicator(RetailLiquidityIndicator),
    /// `O`.
    OperationalHaltStatus(OperationalHaltStatus),
    /// `P`.
    ShortSalePriceTestStatus(ShortSalePriceTestStatus),
    /// `E`.
    SecurityEvent(SecurityEvent),
    /// `8` and `5`, DEEP only.
    PriceLevelUpdate(PriceLevelUpdate),
    /// `Q`, TOPS only.
    QuoteUpdate(QuoteUpdate),
    /// `T`.
    TradeReport(Trade),
    /// `X`.
    OfficialPrice(OfficialPrice),
    /// `B`.
    TradeBreak(Trade),
    /// `A`.
    AuctionInformation(AuctionInformation),
}

impl Message {
    /// When it happened.
    #[inline]
    pub const fn time(&self) -> UtcNanos {
        match self {
            Message::SystemEvent(m) => m.time,
            Message::SecurityDirectory(m) => m.time,
            Message::TradingStatus(m) => m.time,
            Message::RetailLiquidityIndicator(m) => m.time,
            Message::OperationalHaltStatus(m) => m.time,
            Message::ShortSalePriceTestStatus(m) => m.time,
            Message::SecurityEvent(m) => m.time,
            Message::PriceLevelUpdate(m) => m.time,
            Message::QuoteUpdate(m) => m.time,
            Message::TradeReport(m) | Message::TradeBreak(m) => m.time,
            Message::OfficialPrice(m) => m.time,
            Message::AuctionInformation(m) => m.time,
        }
    }

    /// The security it is about; `None` for one about the whole market.
    #[inline]
    pub const fn symbol(&self) -> Option<Symbol> {
        match self {
            Message::SystemEvent(_) => None,
            Message::SecurityDirectory(m) => Some(m.symbol),
            Message::TradingStatus(m) => Some(m.symbol),
            Message::RetailLiquidityIndicator(m) => Some(m.symbol),
            Message::OperationalHaltStatus(m) => Some(m.symbol),
            Message::ShortSalePriceTestStatus(m) => Some(m.symbol),
            Message::SecurityEvent(m) => Some(m.symbol),
            Message::PriceLevelUpdate(m) => Some(m.symbol),
            Message::QuoteUpdate(m) => Some(m.symbol),
            Message::TradeReport(m) | Message::TradeBreak(m) => Some(m.symbol),
            Message::OfficialPrice(m) => Some(m.symbol),
            Message::AuctionInformation(m) => Some(m.symbol),
        }
    }
}

/// Reads a message of one of the [`SHARED_TYPES`].
#[inline]
pub(super) fn decode_shared(letter: u8, bytes: &[u8]) -> Result<Message, IexError> {
    match letter {
        b'T' => Ok(Message::TradeReport(trade(at_least(bytes)?)?)),
        b'H' => trading_status(at_least(bytes)?),
        b'O' => operational_halt(at_least(bytes)?),
        b'P' => short_sale(at_least(bytes)?),
        b'I' => retail(at_least(bytes)?),
        b'E' => security_event(at_least(bytes)?),
        b'A' => auction(at_least(bytes)?),
        b'D' => directory(at_least(bytes)?),
        b'X' => official_price(at_least(bytes)?),
        b'B' => Ok(Message::TradeBreak(trade(at_least(bytes)?)?)),
        b'S' => system_event(at_least(bytes)?),
        _ => Err(IexError::UnknownType(letter)),
    }
}

/// The part of a message that is known: its first `N` bytes.
#[inline]
pub(super) fn at_least<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], IexError> {
    bytes.first_chunk::<N>().ok_or_else(|| short(bytes))
}

#[cold]
fn short(bytes: &[u8]) -> IexError {
    match bytes.first() {
        None => IexError::Empty,
        Some(&letter) => {
            IexError::ShortMessage { letter, bytes: u8::try_from(bytes.len()).unwrap_or(u8::MAX) }
        }
    }
}

/// A Timestamp, which follows the letter and one byte more in every message.
#[inline]
pub(super) fn time<const N: usize>(m: &[u8; N]) -> Result<UtcNanos, IexError> {
    let raw = long(m, 2);
    u64::try_from(raw).map(UtcNanos).map_err(|_| IexError::TimeOutOfRange(raw))
}

/// A Price: a signed number of 1e-4.
#[inline]
pub(super) fn price<const N: usize>(m: &[u8; N], at: usize) -> Result<Price, IexError> {
    let raw = long(m, at);
    Price::from_signed4(raw).ok_or(IexError::PriceOutOfRange(raw))
}

fn system_event(m: &[u8; 10]) -> Result<Message, IexError> {
    Ok(Message::SystemEvent(SystemEvent { time: time(m)?, event: m[1] }))
}

fn directory(m: &[u8; 31]) -> Result<Message, IexError> {
    Ok(Message::SecurityDirectory(SecurityDirectory {
        time: time(m)?,
        symbol: symbol(m, 10),
        flags: SecurityFlags(m[1]),
        round_lot: le32(m, 18),
        adjusted_close: price(m, 22)?,
        luld_tier: m[30],
    }))
}

#[inline]
fn trading_status(m: &[u8; 22]) -> Result<Message, IexError> {
    Ok(Message::TradingStatus(TradingStatusMessage {
        time: time(m)?,
        symbol: symbol(m, 10),
        letter: m[1],
        reason: [m[18], m[19], m[20], m[21]],
    }))
}

#[inline]
fn retail(m: &[u8; 18]) -> Result<Message, IexError> {
    Ok(Message::RetailLiquidityIndicator(RetailLiquidityIndicator {
        time: time(m)?,
        symbol: symbol(m, 10),
        indicator: m[1],
    }))
}

#[inline]
fn operational_halt(m: &[u8; 18]) -> Result<Message, IexError> {
    Ok(Message::OperationalHaltStatus(OperationalHaltStatus {
        time: time(m)?,
        symbol: symbol(m, 10),
        letter: m[1],
    }))
}

#[inline]
fn short_sale(m: &[u8; 19]) -> Result<Message, IexError> {
    Ok(Message::ShortSalePriceTestStatus(ShortSalePriceTestStatus {
        time: time(m)?,
        symbol: symbol(m, 10),
        code: m[1],
        detail: m[18],
    }))
}

#[inline]
fn security_event(m: &[u8; 18]) -> Result<Message, IexError> {
    Ok(Message::SecurityEvent(SecurityEvent { time: time(m)?, symbol: symbol(m, 10), event: m[1] }))
}

#[inline]
fn trade(m: &[u8; 38]) -> Result<Trade, IexError> {
    Ok(Trade {
        time: time(m)?,
        symbol: symbol(m, 10),
        conditions: SaleConditions(m[1]),
        size: le32(m, 18),
        price: price(m, 22)?,
        trade_id: long(m, 30),
    })
}

fn official_price(m: &[u8; 26]) -> Result<Message, IexError> {
    Ok(Message::OfficialPrice(OfficialPrice {
        time: time(m)?,
        symbol: symbol(m, 10),
        kind: m[1],
        price: price(m, 18)?,
    }))
}

#[inline]
fn auction(m: &[u8; 80]) -> Result<Message, IexError> {
    Ok(Message::AuctionInformation(AuctionInformation {
        time: time(m)?,
        symbol: symbol(m, 10),
        kind: m[1],
        paired_shares: le32(m, 18),
        reference_price: price(m, 22)?,
        indicative_clearing_price: price(m, 30)?,
        imbalance_shares: le32(m, 38),
        imbalance_side: m[42],
        extensions: m[43],
        scheduled_seconds: le32(m, 44),
        book_clearing_price: price(m, 48)?,
        collar_reference_price: price(m, 56)?,
        lower_collar: price(m, 64)?,
        upper_collar: price(m, 72)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_the_future_is_unknown_rather_than_trading() {
        let status = |letter| {
            let mut m = [0; 22];
            m[1] = letter;
            let Ok(Message::TradingStatus(status)) = trading_status(&m) else { panic!("a status") };
            status.status()
        };
        for (letter, expected) in [
            (b'H', TradingStatus::Halted),
            (b'O', TradingStatus::QuotationOnly),
            (b'P', TradingStatus::Paused),
            (b'T', TradingStatus::Trading),
            (b't', TradingStatus::Unknown),
            (0, TradingStatus::Unknown),
        ] {
            assert_eq!(status(letter), expected);
        }
    }

    #[test]
    fn what_is_not_known_to_be_free_is_restricted() {
        let (time, symbol) = (UtcNanos(0), Symbol::from_wire(*b"ZIEXT   "));
        for letter in 0..=u8::MAX {
            let halt = OperationalHaltStatus { time, symbol, letter };
            assert_eq!(halt.is_halted(), letter != b'N');
            let test = ShortSalePriceTestStatus { time, symbol, code: letter, detail: b' ' };
            assert_eq!(test.is_in_effect(), letter != 0);
        }
    }

    #[test]
    fn flags_have_the_bits_of_appendix_a() {
        for flags in 0..=u8::MAX {
            let bit = |number: u8| flags >> number & 1 == 1;
            let security = SecurityFlags(flags);
            assert_eq!(security.is_test(), bit(7));
            assert_eq!(security.is_when_issued(), bit(6));
            assert_eq!(security.is_exchange_traded_product(), bit(5));
            let sale = SaleConditions(flags);
            assert_eq!(sale.is_intermarket_sweep(), bit(7));
            assert_eq!(sale.is_extended_hours(), bit(6));
            assert_eq!(sale.is_odd_lot(), bit(5));
            assert_eq!(sale.is_trade_through_exempt(), bit(4));
            assert_eq!(sale.is_single_price_cross(), bit(3));
            assert_eq!(sale.is_last_sale_eligible(), !bit(6) && !bit(5));
        }
    }
}
