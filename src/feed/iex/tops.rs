//! TOPS 1.6: IEX's best bid and offer, one quote a message.
//!
//! "IEX TOPS Specification" 1.66. What TOPS shares with DEEP is in [`message`](crate::feed::iex::message).

use crate::feed::iex::bytes::{le32, symbol};
use crate::feed::iex::message::{
    IexError, Message, SHARED_TYPES, at_least, decode_shared, price, time,
};
use crate::types::{Price, Symbol, UtcNanos};

/// Letter and least length in bytes of the type only TOPS has ("Quote Update Message").
pub const QUOTE_TYPE: (u8, u8) = (b'Q', 42);

/// Letter and least length in bytes of every type of TOPS.
pub fn types() -> impl Iterator<Item = (u8, u8)> {
    SHARED_TYPES.into_iter().chain([QUOTE_TYPE])
}

/// When a quote is good (appendix A, "Quote Update: Flags").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteFlags(pub u8);

impl QuoteFlags {
    /// Whether the security can be traded at IEX; else it is halted, paused or otherwise not available.
    pub const fn is_available(self) -> bool {
        self.0 & 0x80 == 0
    }

    /// Whether it is before or after the regular session.
    pub const fn is_extended_hours(self) -> bool {
        self.0 & 0x40 != 0
    }
}

/// `Q`: best bid and offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteUpdate {
    /// When.
    pub time: UtcNanos,
    /// The security.
    pub symbol: Symbol,
    /// When it is good.
    pub flags: QuoteFlags,
    /// Shares at the best bid; 0 where there is none.
    pub bid_size: u32,
    /// Best bid; 0 where there is none.
    pub bid_price: Price,
    /// Best offer; 0 where there is none.
    pub ask_price: Price,
    /// Shares at the best offer; 0 where there is none.
    pub ask_size: u32,
}

/// Reads the message that `bytes` are. A few nanoseconds; never panics.
///
/// # Errors
/// An [`IexError`] for bytes that are no message of TOPS 1.6.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Message, IexError> {
    match bytes.first() {
        Some(b'Q') => quote(at_least(bytes)?),
        Some(&letter) => decode_shared(letter, bytes),
        None => Err(IexError::Empty),
    }
}

#[inline]
fn quote(m: &[u8; 42]) -> Result<Message, IexError> {
    Ok(Message::QuoteUpdate(QuoteUpdate {
        time: time(m)?,
        symbol: symbol(m, 10),
        flags: QuoteFlags(m[1]),
        bid_size: le32(m, 18),
        bid_price: price(m, 22)?,
        ask_price: price(m, 30)?,
        ask_size: le32(m, 38),
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
        // "Quote Update Message", "Example". It prints the time of New York.
        let bytes = [
            0x51, 0x00, 0xac, 0x63, 0xc0, 0x20, 0x96, 0x86, 0x6d, 0x14, 0x5a, 0x49, 0x45, 0x58,
            0x54, 0x20, 0x20, 0x20, 0xe4, 0x25, 0x00, 0x00, 0x24, 0x1d, 0x0f, 0x00, 0x00, 0x00,
            0x00, 0x00, 0xec, 0x1d, 0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe8, 0x03, 0x00, 0x00,
        ];
        let expected = QuoteUpdate {
            time: UtcNanos(1_471_980_632_572_715_948),
            symbol: Symbol::new("ZIEXT").expect("a symbol"),
            flags: QuoteFlags(0),
            bid_size: 9_700,
            bid_price: "99.05".parse().expect("a price"),
            ask_price: "99.07".parse().expect("a price"),
            ask_size: 1_000,
        };
        assert_eq!(decode(&bytes), Ok(Message::QuoteUpdate(expected)));
    }

    #[test]
    fn flags_have_the_bits_of_appendix_a() {
        for flags in 0..=u8::MAX {
            assert_eq!(QuoteFlags(flags).is_available(), flags >> 7 & 1 == 0);
            assert_eq!(QuoteFlags(flags).is_extended_hours(), flags >> 6 & 1 == 1);
        }
    }
}
