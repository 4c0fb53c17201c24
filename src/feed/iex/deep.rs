//! DEEP 1.0: the depth of IEX's book, one price level a message.
//!
//! "IEX DEEP Specification" 1.08. What DEEP shares with TOPS is in [`message`](crate::feed::iex::message).

use crate::feed::iex::bytes::{le32, symbol};
use crate::feed::iex::message::{
    IexError, Message, SHARED_TYPES, at_least, decode_shared, price, time,
};
use crate::types::{Price, Side, Symbol, UtcNanos};

/// Letter and least length in bytes of the types only DEEP has ("Price Level Update Message").
pub const PRICE_LEVEL_TYPES: [(u8, u8); 2] = [(b'8', 30), (b'5', 30)];

/// Letter and least length in bytes of every type of DEEP.
pub fn types() -> impl Iterator<Item = (u8, u8)> {
    SHARED_TYPES.into_iter().chain(PRICE_LEVEL_TYPES)
}

/// `8` and `5`: all that is displayed at a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceLevelUpdate {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// Side of the book.
    pub side: Side,
    /// As they came; see [`PriceLevelUpdate::is_complete`].
    pub event_flags: u8,
    /// Shares of all orders displayed at the price; 0 where none is left.
    pub size: u32,
    /// The price.
    pub price: Price,
}

impl PriceLevelUpdate {
    /// Whether the security's book is now as the exchange has it. Otherwise it is in transition, and more updates belong to
    /// the same event; until the last of them the best bid and offer are what they were before the first ("Consuming Price
    /// Level Update Messages and Updating the IEX BBO").
    #[inline]
    pub const fn is_complete(&self) -> bool {
        self.event_flags & 1 == 1
    }
}

/// Reads the message that `bytes` are. A few nanoseconds; never panics.
///
/// # Errors
/// An [`IexError`] for bytes that are no message of DEEP 1.0.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Message, IexError> {
    match bytes.first() {
        Some(b'8') => price_level(at_least(bytes)?, Side::Buy),
        Some(b'5') => price_level(at_least(bytes)?, Side::Sell),
        Some(&letter) => decode_shared(letter, bytes),
        None => Err(IexError::Empty),
    }
}

#[inline]
fn price_level(m: &[u8; 30], side: Side) -> Result<Message, IexError> {
    Ok(Message::PriceLevelUpdate(PriceLevelUpdate {
        time: time(m)?,
        symbol: symbol(m, 10),
        side,
        event_flags: m[1],
        size: le32(m, 18),
        price: price(m, 22)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_taken_from_its_length_on() {
        for (letter, least) in types() {
            for bytes in 1..=u8::MAX {
                let mut message = vec![0; usize::from(bytes)];
                message[0] = letter;
                match decode(&message) {
                    Ok(_) => assert!(bytes >= least, "{} of {bytes}", char::from(letter)),
                    Err(error) => {
                        assert_eq!(error, IexError::ShortMessage { letter, bytes });
                        assert!(bytes < least, "{} of {bytes}", char::from(letter));
                    }
                }
            }
        }
    }

    #[test]
    fn unknown_letters_and_no_bytes_are_refused() {
        assert_eq!(decode(&[]), Err(IexError::Empty));
        for letter in (0..=u8::MAX).filter(|&letter| !types().any(|(known, _)| known == letter)) {
            for length in [1, 10, 30, 42, 80, 100] {
                assert_eq!(decode(&vec![letter; length]), Err(IexError::UnknownType(letter)));
            }
        }
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        // "Price Level Update Message", "Example", and a byte of a later specification. It prints the time of New York.
        let bytes = [
            0x38, 0x01, 0xac, 0x63, 0xc0, 0x20, 0x96, 0x86, 0x6d, 0x14, 0x5a, 0x49, 0x45, 0x58,
            0x54, 0x20, 0x20, 0x20, 0xe4, 0x25, 0x00, 0x00, 0x24, 0x1d, 0x0f, 0x00, 0x00, 0x00,
            0x00, 0x00, 0xff,
        ];
        let expected = PriceLevelUpdate {
            time: UtcNanos(1_471_980_632_572_715_948),
            symbol: Symbol::new("ZIEXT").expect("a symbol"),
            side: Side::Buy,
            event_flags: 1,
            size: 9_700,
            price: "99.05".parse().expect("a price"),
        };
        assert_eq!(decode(&bytes), Ok(Message::PriceLevelUpdate(expected)));
        assert_eq!(decode(&bytes[..30]), Ok(Message::PriceLevelUpdate(expected)));
        assert!(expected.is_complete());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let mut bytes = [0; 30];
        bytes[0] = b'5';
        for raw in [i64::MAX, i64::MIN, i64::MAX / Price::ITCH4_UNITS + 1] {
            bytes[22..30].copy_from_slice(&raw.to_le_bytes());
            assert_eq!(decode(&bytes), Err(IexError::PriceOutOfRange(raw)));
        }
        bytes[2..10].copy_from_slice(&(-1_i64).to_le_bytes());
        assert_eq!(decode(&bytes), Err(IexError::TimeOutOfRange(-1)));
    }
}
