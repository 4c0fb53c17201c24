//! What happens to displayed orders, read without a branch on the type of message.
//!
//! A table gives for each letter where its fields lie; all are loaded, those a type does not have from anywhere. Which type
//! comes next cannot be predicted, and a mispredicted branch costs more than all of these loads.

use crate::feed::itch50::Message;
use crate::feed::itch50::messages::Head;
use crate::feed::moldudp64::Messages;
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

/// Where the fields of a type lie. Those it does not have lie anywhere in it.
#[derive(Clone, Copy)]
struct Layout {
    length: u8,
    kind: OrderEventKind,
    second: u8,
    shares: u8,
    price: u8,
    side: u8,
    printable: u8,
    is_sided: bool,
    has_printable: bool,
}

/// No message about a displayed order is as long.
const NEVER: u8 = u8::MAX;

/// By letter; [`NEVER`] of the right length for those that tell nothing of displayed orders. Offsets: sections 1.3 and 1.4.
const LAYOUTS: [Layout; 256] = {
    let none = Layout {
        length: NEVER,
        kind: OrderEventKind::Add,
        second: 11,
        shares: 11,
        price: 11,
        side: 11,
        printable: 11,
        is_sided: false,
        has_printable: false,
    };
    let add = Layout {
        kind: OrderEventKind::Add,
        second: 24,
        shares: 20,
        price: 32,
        side: 19,
        is_sided: true,
        ..none
    };
    let execute = Layout { kind: OrderEventKind::Execute, second: 23, shares: 19, ..none };
    let mut layouts = [none; 256];
    layouts[65] = Layout { length: 36, ..add }; // A
    layouts[70] = Layout { length: 40, ..add }; // F
    layouts[68] = Layout { length: 19, kind: OrderEventKind::Delete, ..none }; // D
    layouts[88] = Layout { length: 23, kind: OrderEventKind::Cancel, shares: 19, ..none }; // X
    layouts[69] = Layout { length: 31, ..execute }; // E
    layouts[67] = Layout {
        length: 36,
        kind: OrderEventKind::ExecuteAtPrice,
        price: 32,
        printable: 31,
        has_printable: true,
        ..execute
    }; // C
    layouts[85] = Layout {
        length: 35,
        kind: OrderEventKind::Replace,
        second: 19,
        shares: 27,
        price: 31,
        ..none
    }; // U
    layouts
};

/// Bytes of the longest message about a displayed order.
pub const EVENT_BYTES_MAX: usize = 40;
/// Bytes from a message's start that are looked at, whatever its length, where there are so many.
const AHEAD_BYTES: usize = 72;

// No field lies beyond its message, and none so far that the mask in `word` changes where it lies.
const _: () = {
    let mut letter = 0;
    while letter < 256 {
        let Layout { length, second, shares, price, side, printable, .. } = LAYOUTS[letter];
        let fits = second + 8 <= length && shares + 4 <= length && price + 4 <= length;
        let fits = fits && side < length && printable < length && length <= 40 && length > 18;
        assert!(length == NEVER || fits);
        letter += 1;
    }
};

/// The bytes at `at` of the message that begins at `from` in `window`.
#[inline(always)]
fn word<const N: usize, const WINDOW: usize>(
    window: &[u8; WINDOW],
    from: usize,
    at: u8,
) -> [u8; N] {
    // Mask and bound change nothing, and tell the compiler that the bytes are there.
    let at = (from + usize::from(at & 63)).min(WINDOW - N);
    std::array::from_fn(|place| window[at + place])
}

/// What the message of `length` bytes from `from` on in `window` tells, as [`decode_event`].
// Inlined by force: its result is taken apart at once, and never stored.
#[inline(always)]
fn decode_in<const WINDOW: usize>(
    window: &[u8; WINDOW],
    from: usize,
    length: usize,
) -> Option<OrderEvent> {
    let [letter] = word(window, from, 0);
    let layout = &LAYOUTS[usize::from(letter)];
    let [side] = word(window, from, layout.side);
    let [printable] = word(window, from, layout.printable);
    let has_side = (side == b'B') | (side == b'S');
    let is_event = (usize::from(layout.length) == length) & (!layout.is_sided | has_side);
    let event = OrderEvent {
        reference: u64::from_be_bytes(word(window, from, 11)),
        second: u64::from_be_bytes(word(window, from, layout.second)),
        // Tracking number and time share the word.
        time_ns: u64::from_be_bytes(word(window, from, 3)) & 0xFFFF_FFFF_FFFF,
        shares: u32::from_be_bytes(word(window, from, layout.shares)),
        price: u32::from_be_bytes(word(window, from, layout.price)),
        locate: u16::from_be_bytes(word(window, from, 1)),
        kind: layout.kind,
        side: if side == b'S' { Side::Sell } else { Side::Buy },
        is_printable: !layout.has_printable | (printable == b'Y'),
    };
    is_event.then_some(event)
}

/// What the message of `length` bytes at the end of `bytes` tells of a displayed order. `None` for one that tells nothing and
/// for bytes that are no message: [`decode`](crate::feed::itch50::decode) reads the one and says what is wrong with the
/// other. A few nanoseconds if at least [`EVENT_BYTES_MAX`] bytes are given, the message among them; never panics.
#[inline(always)]
pub fn decode_event(bytes: &[u8], length: usize) -> Option<OrderEvent> {
    // In a packet there always are as many: a header stands before the first message.
    if let Some(window) = bytes.last_chunk::<EVENT_BYTES_MAX>() {
        return decode_in(window, EVENT_BYTES_MAX.saturating_sub(length), length);
    }
    decode_short(bytes, length)
}

#[cold]
fn decode_short(bytes: &[u8], length: usize) -> Option<OrderEvent> {
    let mut window = [0; EVENT_BYTES_MAX];
    window[EVENT_BYTES_MAX - bytes.len()..].copy_from_slice(bytes);
    decode_in(&window, EVENT_BYTES_MAX.saturating_sub(length), length)
}

/// Messages, each with what it tells, as [`decode_event`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    messages: Messages<'a>,
}

impl<'a> Events<'a> {
    /// Those of a packet.
    #[inline]
    pub const fn new(messages: Messages<'a>) -> Events<'a> {
        Events { messages }
    }

    /// Where in the packet the last message that came ends.
    #[inline]
    pub const fn position(&self) -> usize {
        self.messages.position()
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = (&'a [u8], Option<OrderEvent>);

    // Inlined by force, as `decode_in`.
    #[inline(always)]
    fn next(&mut self) -> Option<(&'a [u8], Option<OrderEvent>)> {
        // With enough behind a message's start, less has to be checked: a nanosecond each, without a branch on the type.
        let ahead = self.messages.rest().first_chunk::<{ 2 + AHEAD_BYTES }>();
        let message = self.messages.next()?;
        let event = if let Some([_, _, window @ ..]) = ahead {
            decode_in(window, 0, message.len())
        } else {
            let to_end = &self.messages.packet()[..self.messages.position()];
            decode_event(to_end, message.len())
        };
        Some((message, event))
    }

    /// What `for_each` and its like are made of: checks less often whether the packet's end is near.
    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, first: B, mut take: F) -> B {
        let mut folded = first;
        let mut rest = self.messages.rest();
        while let Some([high, low, window @ ..]) = rest.first_chunk::<{ 2 + AHEAD_BYTES }>() {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some((block, after)) = rest.split_at_checked(2 + length) else { return folded };
            folded = take(folded, (&block[2..], decode_in(window, 0, length)));
            rest = after;
        }
        let packet = self.messages.packet();
        self.messages = Messages::new(packet, packet.len() - rest.len());
        for item in self {
            folded = take(folded, item);
        }
        folded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::feed::itch50::{TYPES, decode};
    use crate::feed::moldudp64::HEADER_BYTES;

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

    /// What the full decoder reads in `message`.
    fn expected(message: &[u8]) -> Option<OrderEvent> {
        decode(message).ok().and_then(|message| OrderEvent::of(&message)).map(blank)
    }

    proptest! {
        /// With as many bytes before the message as a packet has, with fewer, with none.
        #[test]
        fn it_reads_what_the_full_decoder_reads(
            message in bytes(),
            before in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let all: Vec<u8> = before.into_iter().chain(message.iter().copied()).collect();
            prop_assert_eq!(decode_event(&all, message.len()).map(blank), expected(&message));
        }

        /// With any number of messages behind, and so with room behind or none, both ways of going over them.
        #[test]
        fn it_reads_each_message_of_a_packet(messages in proptest::collection::vec(bytes(), 0..12)) {
            let mut packet = vec![0x55; HEADER_BYTES];
            for message in &messages {
                packet.extend(u16::try_from(message.len()).expect("short").to_be_bytes());
                packet.extend(message);
            }
            let all: Vec<_> = messages.iter().map(|message| (message.as_slice(), expected(message))).collect();
            let blanked = |(bytes, event): (_, Option<OrderEvent>)| (bytes, event.map(blank));
            let mut events = Events::new(Messages::new(&packet, HEADER_BYTES));
            prop_assert_eq!(&events.clone().map(blanked).collect::<Vec<_>>(), &all);
            let mut one_by_one = Vec::new();
            for item in events.by_ref() {
                one_by_one.push(blanked(item));
            }
            prop_assert_eq!(&one_by_one, &all);
            prop_assert!(events.next().is_none());
            prop_assert_eq!(events.position(), packet.len());
        }
    }

    /// The same without what its kind does not have: those fields hold anything.
    fn blank(mut event: OrderEvent) -> OrderEvent {
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
        event
    }
}
