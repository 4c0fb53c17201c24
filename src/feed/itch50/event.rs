//! What happens to displayed orders, read without a branch on the type of message.
//!
//! A table gives for each letter where its fields lie; all are loaded, those a type does not have from anywhere. Which type
//! comes next cannot be predicted, and a mispredicted branch costs more than all of these loads.

use crate::feed::itch50::messages::Head;
use crate::feed::itch50::{ItchError, LENGTHS, Message, refused};
use crate::feed::moldudp64::split_block;
use crate::types::{Price, Side, Symbol};

/// What happens to a displayed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OrderEventKind {
    /// `A`, `F`: it enters the book.
    Add,
    /// `D`: it leaves.
    Delete,
    /// `U`: another takes its place.
    Replace,
    /// `E`: it trades at its own price.
    Execute,
    /// `C`: it trades at another price.
    ExecuteAtPrice,
    /// `X`: some of its shares leave.
    Cancel,
}

/// What happens to a displayed order, in one form for all the messages that tell it. Fields that the kind does not have
/// hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// The order's number.
    pub reference: u64,
    /// Number of the order that enters (replace) or of the match (execute); the symbol (add).
    pub second: u64,
    /// Nanoseconds since the exchange's midnight.
    pub time_ns: u64,
    /// Shares that enter, trade or leave.
    pub shares: u32,
    /// `Price(4)` of the order that enters, or of the trade.
    pub price: u32,
    /// The security's number for the day.
    pub locate: u16,
    /// What happens.
    pub kind: OrderEventKind,
    /// Buy or sell (add).
    pub side: Side,
    /// Whether a trade belongs into time and sales (execute at price).
    pub is_printable: bool,
}

impl OrderEvent {
    /// What a message tells of a displayed order; `None` for one that tells nothing.
    ///
    /// # Panics
    /// If a price is not a `Price(4)`, which those of messages read from bytes are.
    pub fn of(message: &Message) -> Option<OrderEvent> {
        let price4 = |price: Price| price.to_itch4().expect("a price of the feed");
        let event = |kind, head: Head, reference| OrderEvent {
            reference,
            second: 0,
            time_ns: head.time_ns,
            shares: 0,
            price: 0,
            locate: head.locate,
            kind,
            side: Side::Buy,
            is_printable: true,
        };
        use OrderEventKind::{Add, Cancel, Delete, Execute, ExecuteAtPrice, Replace};
        Some(match *message {
            Message::AddOrder(m) => OrderEvent {
                second: u64::from_be_bytes(m.symbol.wire()),
                shares: m.shares,
                price: price4(m.price),
                side: m.side,
                ..event(Add, m.head, m.reference)
            },
            Message::OrderDelete(m) => event(Delete, m.head, m.reference),
            Message::OrderReplace(m) => OrderEvent {
                second: m.new_reference,
                shares: m.shares,
                price: price4(m.price),
                ..event(Replace, m.head, m.reference)
            },
            Message::OrderExecuted(m) => OrderEvent {
                second: m.match_number,
                shares: m.shares,
                ..event(Execute, m.head, m.reference)
            },
            Message::OrderExecutedWithPrice(m) => OrderEvent {
                second: m.match_number,
                shares: m.shares,
                price: price4(m.price),
                is_printable: m.printable,
                ..event(ExecuteAtPrice, m.head, m.reference)
            },
            Message::OrderCancel(m) => {
                OrderEvent { shares: m.shares, ..event(Cancel, m.head, m.reference) }
            }
            Message::SystemEvent(_)
            | Message::StockDirectory(_)
            | Message::TradingAction(_)
            | Message::Trade(_)
            | Message::CrossTrade(_)
            | Message::BrokenTrade(_)
            | Message::RegShoRestriction(_)
            | Message::ParticipantPosition(_)
            | Message::MwcbDeclineLevel(_)
            | Message::MwcbStatus(_)
            | Message::QuotingPeriod(_)
            | Message::LuldCollar(_)
            | Message::OperationalHalt(_)
            | Message::Imbalance(_)
            | Message::RetailInterest(_)
            | Message::CapitalRaise(_) => return None,
        })
    }

    /// The security (add).
    #[inline]
    pub fn symbol(&self) -> Symbol {
        Symbol::from_wire(self.second.to_be_bytes())
    }
}

/// Bytes that [`decode_event`] looks at, whatever the message's length.
pub const WINDOW_BYTES: usize = 72;

/// The bytes of a message at the start of `bytes` and what follows it, as [`decode_event`] takes them: where they are
/// or, at the end of a packet, in `pad`.
#[inline]
pub fn window<'a>(bytes: &'a [u8], pad: &'a mut [u8; WINDOW_BYTES]) -> &'a [u8; WINDOW_BYTES] {
    if let Some(window) = bytes.first_chunk() {
        return window;
    }
    pad[..bytes.len()].copy_from_slice(bytes);
    pad
}

/// Where the fields of a type lie. Those it does not have lie anywhere.
#[derive(Clone, Copy)]
struct Layout {
    length: u8,
    kind: Option<OrderEventKind>,
    second: u8,
    shares: u8,
    price: u8,
    is_sided: bool,
    has_printable: bool,
}

/// By letter. Offsets: sections 1.3 and 1.4.
const LAYOUTS: [Layout; 256] = {
    let none = Layout {
        length: 0,
        kind: None,
        second: 11,
        shares: 11,
        price: 11,
        is_sided: false,
        has_printable: false,
    };
    let mut layouts = [none; 256];
    let mut letter = 0;
    while letter < 256 {
        layouts[letter].length = LENGTHS[letter];
        letter += 1;
    }
    let add = Layout {
        kind: Some(OrderEventKind::Add),
        second: 24,
        shares: 20,
        price: 32,
        is_sided: true,
        ..none
    };
    layouts[65] = Layout { length: 36, ..add }; // A
    layouts[70] = Layout { length: 40, ..add }; // F
    layouts[68] = Layout { length: 19, kind: Some(OrderEventKind::Delete), ..none }; // D
    layouts[88] = Layout { length: 23, kind: Some(OrderEventKind::Cancel), shares: 19, ..none }; // X
    let execute = Layout { kind: Some(OrderEventKind::Execute), second: 23, shares: 19, ..none };
    layouts[69] = Layout { length: 31, ..execute }; // E
    layouts[67] = Layout {
        length: 36,
        kind: Some(OrderEventKind::ExecuteAtPrice),
        price: 32,
        has_printable: true,
        ..execute
    }; // C
    layouts[85] = Layout {
        length: 35,
        kind: Some(OrderEventKind::Replace),
        second: 19,
        shares: 27,
        price: 31,
        ..none
    }; // U
    layouts[80] = Layout { length: 44, is_sided: true, ..none }; // P
    layouts
};

#[inline]
fn word<const N: usize>(window: &[u8; WINDOW_BYTES], at: u8) -> [u8; N] {
    // The mask changes nothing, and tells the compiler that the bytes are there.
    let at = usize::from(at & 63);
    std::array::from_fn(|place| window[at + place])
}

/// What a message of `length` bytes at the start of `window` tells of a displayed order; `None` for one that tells nothing,
/// which [`decode`](crate::feed::itch50::decode) reads. About a nanosecond; never panics.
///
/// # Errors
/// An [`ItchError`] for bytes that are no message, as `decode`.
#[inline]
pub fn decode_event(
    window: &[u8; WINDOW_BYTES],
    length: usize,
) -> Result<Option<OrderEvent>, ItchError> {
    let letter = window[0];
    let layout = &LAYOUTS[usize::from(letter)];
    let side = window[19];
    let has_side = (side == b'B') | (side == b'S');
    let is_right =
        (usize::from(layout.length) == length) & (length != 0) & (!layout.is_sided | has_side);
    if !is_right {
        return Err(why(letter, length, side));
    }
    let Some(kind) = layout.kind else { return Ok(None) };
    Ok(Some(OrderEvent {
        reference: u64::from_be_bytes(word(window, 11)),
        second: u64::from_be_bytes(word(window, layout.second)),
        // Tracking number and time share the word.
        time_ns: u64::from_be_bytes(word(window, 3)) & 0xFFFF_FFFF_FFFF,
        shares: u32::from_be_bytes(word(window, layout.shares)),
        price: u32::from_be_bytes(word(window, layout.price)),
        locate: u16::from_be_bytes(word(window, 1)),
        kind,
        side: if side == b'S' { Side::Sell } else { Side::Buy },
        is_printable: !layout.has_printable | (window[31] == b'Y'),
    }))
}

/// Hands each message of `blocks`, which stand behind their lengths in two bytes, big-endian, to `take` with what it tells,
/// as [`decode_event`]. What follows the last whole block is left out.
#[inline]
pub fn each_event<'a>(
    blocks: &'a [u8],
    mut take: impl FnMut(&'a [u8], Result<Option<OrderEvent>, ItchError>),
) {
    let mut rest = blocks;
    // While there is a window's room behind a message, nothing is copied and little is checked.
    while let Some(chunk) = rest.first_chunk::<{ 2 + WINDOW_BYTES }>() {
        let [high, low, window @ ..] = chunk;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((block, after)) = rest.split_at_checked(2 + length) else { return };
        take(&block[2..], decode_event(window, length));
        rest = after;
    }
    let mut pad = [0; WINDOW_BYTES];
    while let Some((message, after)) = split_block(rest) {
        take(message, decode_event(window(message, &mut pad), message.len()));
        rest = after;
    }
}

#[cold]
fn why(letter: u8, length: usize, side: u8) -> ItchError {
    if length == 0 {
        ItchError::Empty
    } else if usize::from(LENGTHS[usize::from(letter)]) == length {
        ItchError::BadSide(side)
    } else {
        refused(letter, length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::*;
    use crate::feed::itch50::{TYPES, decode};

    /// Bytes that are mostly a message: the right length for the letter, a side where one is looked for.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let any_bytes = proptest::collection::vec(any::<u8>(), 0..64);
        (any_bytes, 0..TYPES.len(), 0..8_u8).prop_map(|(mut bytes, of, odd)| {
            let (letter, length) = TYPES[of];
            if odd > 0 {
                bytes.resize(usize::from(length), 7);
                bytes[0] = letter;
            }
            if let (Some(side), 2..) = (bytes.get_mut(19), odd) {
                *side = if odd.is_multiple_of(2) { b'B' } else { b'S' };
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_the_full_decoder_reads(message in bytes(), behind in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut all = message.clone();
            all.extend(&behind);
            let mut pad = [0x55; WINDOW_BYTES];
            let window = window(&all, &mut pad);
            let mut read = decode_event(window, message.len());
            let plain = decode(&message);
            let mut expected = plain.map(|message| OrderEvent::of(&message));
            // Fields that the kind does not have hold anything.
            for event in [&mut read, &mut expected] {
                if let Ok(Some(event)) = event {
                    blank(event);
                }
            }
            prop_assert_eq!(read, expected);
        }
    }

    fn blank(event: &mut OrderEvent) {
        use OrderEventKind::{Add, Cancel, Delete, Execute, ExecuteAtPrice, Replace};
        let has = |kinds: &[OrderEventKind]| kinds.contains(&event.kind);
        let (second, shares) = (!has(&[Delete, Cancel]), !has(&[Delete]));
        let (price, side) = (has(&[Add, Replace, ExecuteAtPrice]), has(&[Add]));
        let printable = has(&[Execute, ExecuteAtPrice]);
        event.second *= u64::from(second);
        event.shares *= u32::from(shares);
        event.price *= u32::from(price);
        event.side = if side { event.side } else { Side::Buy };
        event.is_printable |= !printable;
    }
}
