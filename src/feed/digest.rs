//! One number that tells whether two sets of books are the same.
//!
//! FNV-1a with 64-bit words in place of bytes, over, for each book that holds an order, in the order of symbols: the
//! symbol's eight bytes (big-endian); then for each side, bids before offers, its orders from the best price on and
//! within a price from the earliest on: side (the FIX letter), price (units of 1e-9), shares, reference number. Books
//! without orders leave no trace, so it does not matter how much a reader learned of securities nobody quotes.

use crate::types::{Price, Side, Symbol};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The digest of books, fed in the order the module describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookDigest(u64);

impl BookDigest {
    /// The digest of no books.
    pub const fn new() -> BookDigest {
        BookDigest(OFFSET)
    }

    const fn word(&mut self, word: u64) {
        // The turn lets high bits reach low ones, which multiplication alone does not.
        self.0 = (self.0 ^ word).wrapping_mul(PRIME).rotate_left(29);
    }

    /// The next book.
    pub const fn book(&mut self, symbol: Symbol) {
        self.word(u64::from_be_bytes(symbol.wire()));
    }

    /// The next order of the book.
    pub fn order(&mut self, side: Side, price: Price, shares: u32, reference: u64) {
        self.word(u64::from(side.wire()));
        self.word(price.units().cast_unsigned());
        self.word(u64::from(shares));
        self.word(reference);
    }

    /// The number.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for BookDigest {
    fn default() -> BookDigest {
        BookDigest::new()
    }
}
