//! Nasdaq TotalView-ITCH 5.0: one message in, one plain value out.
//!
//! Pure, total and without a copy of the bytes: the type's letter selects the one length the type may have, and after that
//! one check every field is a load at a constant offset of an array of that length. Messages a book or a strategy needs
//! are read in full; the others are recognised by letter and length and counted by whoever asked.
//!
//! Offsets and lengths: "Nasdaq TotalView-ITCH 5.0", section "Message Formats" of the specification of 2026-02-19. All
//! integers are big-endian; prices are unsigned in units of 1e-4 ("Data Types").

use std::fmt;

use crate::types::{Price, Side, Symbol, TradingStatus};

/// Types of message there are.
pub const TYPE_COUNT: usize = 23;

/// Letter and length in bytes of every type, in the order of the specification.
pub const TYPES: [(u8, u8); TYPE_COUNT] = [
    (b'S', 12), // 1.1 System Event
    (b'R', 39), // 1.2.1 Stock Directory
    (b'H', 25), // 1.2.2 Stock Trading Action
    (b'Y', 20), // 1.2.3 Reg SHO Restriction
    (b'L', 26), // 1.2.4 Market Participant Position
    (b'V', 35), // 1.2.5.1 MWCB Decline Level
    (b'W', 12), // 1.2.5.2 MWCB Status
    (b'K', 28), // 1.2.6 Quoting Period Update
    (b'J', 35), // 1.2.7 LULD Auction Collar
    (b'h', 21), // 1.2.8 Operational Halt
    (b'A', 36), // 1.3.1 Add Order, no MPID
    (b'F', 40), // 1.3.2 Add Order, MPID
    (b'E', 31), // 1.4.1 Order Executed
    (b'C', 36), // 1.4.2 Order Executed With Price
    (b'X', 23), // 1.4.3 Order Cancel
    (b'D', 19), // 1.4.4 Order Delete
    (b'U', 35), // 1.4.5 Order Replace
    (b'P', 44), // 1.5.1 Trade (Non-Cross)
    (b'Q', 40), // 1.5.2 Cross Trade
    (b'B', 19), // 1.5.3 Broken Trade
    (b'I', 50), // 1.6 NOII
    (b'N', 20), // 1.7 RPII
    (b'O', 48), // 1.8 Direct Listing with Capital Raise
];

/// The longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 50;

/// Length in bytes by letter; 0 for a letter no type has.
pub const LENGTHS: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut index = 0;
    while index < TYPE_COUNT {
        #[allow(clippy::as_conversions, reason = "`From` is not const; u8 to usize cannot fail")]
        let letter = TYPES[index].0 as usize;
        lengths[letter] = TYPES[index].1;
        index += 1;
    }
    lengths
};

/// Why bytes are not an ITCH 5.0 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItchError {
    /// No bytes.
    Empty,
    /// A letter no type has.
    UnknownType(u8),
    /// Not as long as its type is.
    WrongLength {
        /// The type's letter.
        letter: u8,
        /// Its length here, saturated at 65,535.
        bytes: u16,
    },
    /// A buy/sell indicator that is neither `B` nor `S`.
    BadSide(u8),
}

impl fmt::Display for ItchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ItchError::Empty => f.write_str("message of no bytes"),
            ItchError::UnknownType(letter) => {
                write!(f, "no such message type: `{}`", letter.escape_ascii())
            }
            ItchError::WrongLength { letter, bytes } => {
                write!(f, "message of type `{}` with {bytes} bytes", letter.escape_ascii())
            }
            ItchError::BadSide(side) => {
                write!(f, "neither buy nor sell: `{}`", side.escape_ascii())
            }
        }
    }
}

impl std::error::Error for ItchError {}

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
    /// `Y L V W K J h I N O`: of the right length, not read further.
    Other {
        /// The type's letter.
        letter: u8,
        /// What every message begins with.
        head: Head,
    },
}

impl Message {
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
            Message::Other { head, .. } => *head,
        }
    }
}

/// Reads the message that `bytes` are, all of them and nothing after. A few nanoseconds; never panics.
///
/// # Errors
/// An [`ItchError`] for any other bytes.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Message, ItchError> {
    let Some(&letter) = bytes.first() else { return Err(ItchError::Empty) };
    let length = LENGTHS[usize::from(letter)];
    if usize::from(length) != bytes.len() || length == 0 {
        return Err(refused(letter, bytes.len()));
    }
    let body = Body { bytes };
    match letter {
        b'A' => add_order(body.sized::<36>()?, None),
        b'D' => Ok(order_delete(body.sized::<19>()?)),
        b'U' => Ok(order_replace(body.sized::<35>()?)),
        b'E' => Ok(order_executed(body.sized::<31>()?)),
        b'X' => Ok(order_cancel(body.sized::<23>()?)),
        b'F' => {
            let m = body.sized::<40>()?;
            add_order(m, Some([m[36], m[37], m[38], m[39]]))
        }
        b'P' => trade(body.sized::<44>()?),
        b'C' => Ok(order_executed_with_price(body.sized::<36>()?)),
        b'S' => {
            let m = body.sized::<12>()?;
            Ok(Message::SystemEvent(SystemEvent { head: head(m), event: m[11] }))
        }
        b'R' => Ok(stock_directory(body.sized::<39>()?)),
        b'H' => Ok(trading_action(body.sized::<25>()?)),
        b'Q' => Ok(cross_trade(body.sized::<40>()?)),
        b'B' => {
            let m = body.sized::<19>()?;
            Ok(Message::BrokenTrade(BrokenTrade { head: head(m), match_number: be64(m, 11) }))
        }
        _ => Ok(Message::Other { letter, head: head(body.sized_at_least::<12>()?) }),
    }
}

#[cold]
fn refused(letter: u8, bytes: usize) -> ItchError {
    if LENGTHS[usize::from(letter)] == 0 {
        ItchError::UnknownType(letter)
    } else {
        ItchError::WrongLength { letter, bytes: u16::try_from(bytes).unwrap_or(u16::MAX) }
    }
}

/// Bytes on their way to being an array of the type's length.
#[derive(Clone, Copy)]
struct Body<'a> {
    bytes: &'a [u8],
}

impl<'a> Body<'a> {
    /// The message as the array it is; the length was checked against [`LENGTHS`], so this does not fail in practice.
    #[inline]
    fn sized<const N: usize>(self) -> Result<&'a [u8; N], ItchError> {
        self.bytes.try_into().map_err(|_| self.wrong_length())
    }

    #[inline]
    fn sized_at_least<const N: usize>(self) -> Result<&'a [u8; N], ItchError> {
        self.bytes.first_chunk::<N>().ok_or_else(|| self.wrong_length())
    }

    #[cold]
    fn wrong_length(self) -> ItchError {
        refused(self.bytes.first().copied().unwrap_or(0), self.bytes.len())
    }
}

#[inline]
fn be16<const N: usize>(m: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([m[at], m[at + 1]])
}

#[inline]
fn be32<const N: usize>(m: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([m[at], m[at + 1], m[at + 2], m[at + 3]])
}

#[inline]
fn eight<const N: usize>(m: &[u8; N], at: usize) -> [u8; 8] {
    [m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4], m[at + 5], m[at + 6], m[at + 7]]
}

#[inline]
fn be64<const N: usize>(m: &[u8; N], at: usize) -> u64 {
    u64::from_be_bytes(eight(m, at))
}

#[inline]
fn symbol<const N: usize>(m: &[u8; N], at: usize) -> Symbol {
    Symbol::from_wire(eight(m, at))
}

#[inline]
fn price4<const N: usize>(m: &[u8; N], at: usize) -> Price {
    Price::from_itch4(be32(m, at))
}

#[inline]
fn side(byte: u8) -> Result<Side, ItchError> {
    match byte {
        b'B' => Ok(Side::Buy),
        b'S' => Ok(Side::Sell),
        other => Err(ItchError::BadSide(other)),
    }
}

#[inline]
fn head<const N: usize>(m: &[u8; N]) -> Head {
    Head {
        locate: be16(m, 1),
        tracking: be16(m, 3),
        time_ns: u64::from_be_bytes([0, 0, m[5], m[6], m[7], m[8], m[9], m[10]]),
    }
}

#[inline]
fn add_order<const N: usize>(
    m: &[u8; N],
    attribution: Option<[u8; 4]>,
) -> Result<Message, ItchError> {
    Ok(Message::AddOrder(AddOrder {
        head: head(m),
        reference: be64(m, 11),
        side: side(m[19])?,
        shares: be32(m, 20),
        symbol: symbol(m, 24),
        price: price4(m, 32),
        attribution,
    }))
}

#[inline]
fn order_executed(m: &[u8; 31]) -> Message {
    Message::OrderExecuted(OrderExecuted {
        head: head(m),
        reference: be64(m, 11),
        shares: be32(m, 19),
        match_number: be64(m, 23),
    })
}

#[inline]
fn order_executed_with_price(m: &[u8; 36]) -> Message {
    Message::OrderExecutedWithPrice(OrderExecutedWithPrice {
        head: head(m),
        reference: be64(m, 11),
        shares: be32(m, 19),
        match_number: be64(m, 23),
        printable: m[31] == b'Y',
        price: price4(m, 32),
    })
}

#[inline]
fn order_cancel(m: &[u8; 23]) -> Message {
    Message::OrderCancel(OrderCancel { head: head(m), reference: be64(m, 11), shares: be32(m, 19) })
}

#[inline]
fn order_delete(m: &[u8; 19]) -> Message {
    Message::OrderDelete(OrderDelete { head: head(m), reference: be64(m, 11) })
}

#[inline]
fn order_replace(m: &[u8; 35]) -> Message {
    Message::OrderReplace(OrderReplace {
        head: head(m),
        reference: be64(m, 11),
        new_reference: be64(m, 19),
        shares: be32(m, 27),
        price: price4(m, 31),
    })
}

#[inline]
fn trade(m: &[u8; 44]) -> Result<Message, ItchError> {
    Ok(Message::Trade(Trade {
        head: head(m),
        reference: be64(m, 11),
        side: side(m[19])?,
        shares: be32(m, 20),
        symbol: symbol(m, 24),
        price: price4(m, 32),
        match_number: be64(m, 36),
    }))
}

fn cross_trade(m: &[u8; 40]) -> Message {
    Message::CrossTrade(CrossTrade {
        head: head(m),
        shares: be64(m, 11),
        symbol: symbol(m, 19),
        price: price4(m, 27),
        match_number: be64(m, 31),
        cross: m[39],
    })
}

fn trading_action(m: &[u8; 25]) -> Message {
    Message::TradingAction(TradingAction {
        head: head(m),
        symbol: symbol(m, 11),
        status: TradingStatus::from_wire(m[19]).unwrap_or(TradingStatus::Unknown),
        reason: [m[21], m[22], m[23], m[24]],
    })
}

fn stock_directory(m: &[u8; 39]) -> Message {
    Message::StockDirectory(StockDirectory {
        head: head(m),
        symbol: symbol(m, 11),
        market_category: m[19],
        financial_status: m[20],
        round_lot: be32(m, 21),
        round_lots_only: m[25],
        issue_classification: m[26],
        issue_sub_type: [m[27], m[28]],
        authenticity: m[29],
        short_sale_threshold: m[30],
        ipo: m[31],
        luld_tier: m[32],
        etp: m[33],
        etp_leverage: be32(m, 34),
        inverse: m[38],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_taken_at_its_length_and_at_no_other() {
        for (letter, length) in TYPES {
            for bytes in 1..=64_u8 {
                let mut message = vec![0; usize::from(bytes)];
                message[0] = letter;
                if let Some(side) = message.get_mut(19) {
                    *side = b'S';
                }
                let taken = decode(&message);
                assert_eq!(taken.is_ok(), bytes == length, "{} of {bytes}", char::from(letter));
            }
        }
    }

    #[test]
    fn unknown_letters_and_no_bytes_are_refused() {
        assert_eq!(decode(&[]), Err(ItchError::Empty));
        let known = |letter| TYPES.iter().any(|&(l, _)| l == letter);
        for letter in (0..=u8::MAX).filter(|&letter| !known(letter)) {
            for length in [1, 12, 19, 36, 50] {
                let message = vec![letter; length];
                assert_eq!(decode(&message), Err(ItchError::UnknownType(letter)));
            }
        }
    }

    #[test]
    fn an_order_neither_buy_nor_sell_is_refused() {
        for (letter, length) in [(b'A', 36), (b'F', 40), (b'P', 44)] {
            let mut message = vec![b'Z'; length];
            message[0] = letter;
            assert_eq!(decode(&message), Err(ItchError::BadSide(b'Z')));
        }
    }

    #[test]
    fn a_status_of_the_future_is_unknown_rather_than_trading() {
        let mut message = [b' '; 25];
        message[0] = b'H';
        message[19] = b'Z';
        let Ok(Message::TradingAction(action)) = decode(&message) else { panic!("a status") };
        assert_eq!(action.status, TradingStatus::Unknown);
    }
}
