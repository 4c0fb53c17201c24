//! Nasdaq TotalView-ITCH 5.0: one message in, one plain value out.
//!
//! Pure, total and without a copy of the bytes: the type's letter selects the one length the type may have, and after that
//! one check every field is a load at a constant offset of an array of that length. [`decode`] reads any message into a value
//! of its own type; [`decode_event`] reads what happens to displayed orders, which is nearly all there is, into one form and
//! without a branch on the type.
//!
//! Offsets and lengths: "Nasdaq TotalView-ITCH 5.0", section "Message Formats" of the specification of 2026-02-19. All
//! integers are big-endian; prices are unsigned in units of 1e-4 ("Data Types").

mod event;
mod messages;

use std::fmt;

use crate::types::{Price, Side, Symbol, TradingStatus};

pub use event::{EVENT_BYTES_MAX, Events, OrderEvent, OrderEventKind, decode_event};
pub use messages::{
    AddOrder, BrokenTrade, CapitalRaise, CrossTrade, Head, Imbalance, LuldCollar, Message,
    MwcbDeclineLevel, MwcbStatus, OperationalHalt, OrderCancel, OrderDelete, OrderExecuted,
    OrderExecutedWithPrice, OrderReplace, ParticipantPosition, QuotingPeriod, RegShoRestriction,
    RetailInterest, StockDirectory, SystemEvent, Trade, TradingAction,
};

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
        b'I' => Ok(imbalance(body.sized::<50>()?)),
        b'Y' => {
            let m = body.sized::<20>()?;
            let (head, symbol) = (head(m), symbol(m, 11));
            Ok(Message::RegShoRestriction(RegShoRestriction { head, symbol, action: m[19] }))
        }
        b'L' => Ok(participant_position(body.sized::<26>()?)),
        b'V' => {
            let m = body.sized::<35>()?;
            let levels = [be64(m, 11), be64(m, 19), be64(m, 27)];
            Ok(Message::MwcbDeclineLevel(MwcbDeclineLevel { head: head(m), levels }))
        }
        b'W' => {
            let m = body.sized::<12>()?;
            Ok(Message::MwcbStatus(MwcbStatus { head: head(m), breached_level: m[11] }))
        }
        b'K' => Ok(quoting_period(body.sized::<28>()?)),
        b'J' => Ok(luld_collar(body.sized::<35>()?)),
        b'h' => Ok(operational_halt(body.sized::<21>()?)),
        b'N' => {
            let m = body.sized::<20>()?;
            let (head, symbol) = (head(m), symbol(m, 11));
            Ok(Message::RetailInterest(RetailInterest { head, symbol, interest: m[19] }))
        }
        b'O' => Ok(capital_raise(body.sized::<48>()?)),
        // Every letter that has a length is above.
        _ => Err(ItchError::UnknownType(letter)),
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

fn imbalance(m: &[u8; 50]) -> Message {
    Message::Imbalance(Imbalance {
        head: head(m),
        paired_shares: be64(m, 11),
        imbalance_shares: be64(m, 19),
        direction: m[27],
        symbol: symbol(m, 28),
        far_price: price4(m, 36),
        near_price: price4(m, 40),
        reference_price: price4(m, 44),
        cross: m[48],
        variation: m[49],
    })
}

fn participant_position(m: &[u8; 26]) -> Message {
    Message::ParticipantPosition(ParticipantPosition {
        head: head(m),
        mpid: [m[11], m[12], m[13], m[14]],
        symbol: symbol(m, 15),
        primary_market_maker: m[23],
        market_maker_mode: m[24],
        state: m[25],
    })
}

fn quoting_period(m: &[u8; 28]) -> Message {
    Message::QuotingPeriod(QuotingPeriod {
        head: head(m),
        symbol: symbol(m, 11),
        release_time_s: be32(m, 19),
        qualifier: m[23],
        price: price4(m, 24),
    })
}

fn luld_collar(m: &[u8; 35]) -> Message {
    Message::LuldCollar(LuldCollar {
        head: head(m),
        symbol: symbol(m, 11),
        reference_price: price4(m, 19),
        upper_price: price4(m, 23),
        lower_price: price4(m, 27),
        extension: be32(m, 31),
    })
}

fn operational_halt(m: &[u8; 21]) -> Message {
    Message::OperationalHalt(OperationalHalt {
        head: head(m),
        symbol: symbol(m, 11),
        market: m[19],
        action: m[20],
    })
}

fn capital_raise(m: &[u8; 48]) -> Message {
    Message::CapitalRaise(CapitalRaise {
        head: head(m),
        symbol: symbol(m, 11),
        is_eligible: m[19],
        lowest_price: price4(m, 20),
        highest_price: price4(m, 24),
        near_price: price4(m, 28),
        near_time_ns: be64(m, 32),
        lower_collar: price4(m, 40),
        upper_collar: price4(m, 44),
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
