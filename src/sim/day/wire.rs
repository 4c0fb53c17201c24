//! The generated day's messages as bytes: all 23 types of Nasdaq TotalView-ITCH 5.0, each field from its section.
//!
//! Written from the specification of 2026-02-19 and shared with no decoder, so that each checks the other.

use crate::types::{Side, Symbol};

/// Room a message is written to: any message and some to spare.
pub const BUFFER_BYTES: usize = 64;

/// What every message begins with, but for its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Stock locate; 0 where the message is about no security.
    pub(super) locate: u16,
    /// Tracking number.
    pub(super) tracking: u16,
    /// Nanoseconds since midnight; 48 bits are written.
    pub(super) time_ns: u64,
}

/// A message being written: fields in order, from the first byte on.
#[derive(Debug)]
pub(super) struct Message<'a> {
    out: &'a mut [u8; BUFFER_BYTES],
    at: usize,
}

impl<'a> Message<'a> {
    #[inline]
    fn new(letter: u8, head: Head, out: &'a mut [u8; BUFFER_BYTES]) -> Message<'a> {
        out[0] = letter;
        out[1..3].copy_from_slice(&head.locate.to_be_bytes());
        out[3..5].copy_from_slice(&head.tracking.to_be_bytes());
        out[5..11].copy_from_slice(&head.time_ns.to_be_bytes()[2..]);
        Message { out, at: 11 }
    }

    #[inline]
    fn bytes<const N: usize>(mut self, bytes: [u8; N]) -> Message<'a> {
        self.out[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
        self
    }

    #[inline]
    fn u32(self, value: u32) -> Message<'a> {
        self.bytes(value.to_be_bytes())
    }

    #[inline]
    fn u64(self, value: u64) -> Message<'a> {
        self.bytes(value.to_be_bytes())
    }

    #[inline]
    fn stock(self, symbol: Symbol) -> Message<'a> {
        self.bytes(symbol.wire())
    }

    #[inline]
    fn side(self, side: Side) -> Message<'a> {
        self.bytes([match side {
            Side::Buy => b'B',
            Side::Sell => b'S',
        }])
    }
}

/// Writes messages that begin with one head to one place; each function returns the message's size in bytes.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) head: Head,
    pub(super) out: &'a mut [u8; BUFFER_BYTES],
}

impl Writer<'_> {
    #[inline]
    fn begin(&mut self, letter: u8) -> Message<'_> {
        Message::new(letter, self.head, self.out)
    }

    /// `S`, section 1.1.
    pub(super) fn system(&mut self, event: u8) -> usize {
        self.begin(b'S').bytes([event]).at
    }

    /// `R`, section 1.2.1. A test issue (`T`), so that nobody takes this feed for a real one; ordinary common stock.
    pub(super) fn directory(&mut self, symbol: Symbol, market: u8, round_lot: u32) -> usize {
        let is_nasdaq = is_nasdaq(market);
        // Only securities listed here have a financial status and a flag for public offerings.
        let [status, ipo] = if is_nasdaq { *b"NN" } else { *b"  " };
        let message = self.begin(b'R').stock(symbol).bytes([market, status]).u32(round_lot);
        message.bytes([b'N', b'C', b'Z', b' ', b'T', b'N', ipo, b'1', b'N']).u32(0).bytes(*b"N").at
    }

    /// `H`, section 1.2.2.
    pub(super) fn trading_action(&mut self, symbol: Symbol, state: u8, reason: [u8; 4]) -> usize {
        self.begin(b'H').stock(symbol).bytes([state, b' ']).bytes(reason).at
    }

    /// `Y`, section 1.2.3.
    pub(super) fn reg_sho(&mut self, symbol: Symbol, action: u8) -> usize {
        self.begin(b'Y').stock(symbol).bytes([action]).at
    }

    /// `L`, section 1.2.4.
    pub(super) fn participant(
        &mut self,
        participant: [u8; 4],
        symbol: Symbol,
        is_primary: bool,
        state: u8,
    ) -> usize {
        let primary = if is_primary { b'Y' } else { b'N' };
        self.begin(b'L').bytes(participant).stock(symbol).bytes([primary, b'N', state]).at
    }

    /// `V`, section 1.2.5.1: levels in units of 1e-8.
    pub(super) fn decline_levels(&mut self, levels: [u64; 3]) -> usize {
        self.begin(b'V').u64(levels[0]).u64(levels[1]).u64(levels[2]).at
    }

    /// `W`, section 1.2.5.2.
    pub(super) fn level_breached(&mut self, level: u8) -> usize {
        self.begin(b'W').bytes([level]).at
    }

    /// `K`, section 1.2.6.
    pub(super) fn quoting_period(&mut self, symbol: Symbol, seconds: u32, price: u32) -> usize {
        self.begin(b'K').stock(symbol).u32(seconds).bytes(*b"A").u32(price).at
    }

    /// `J`, section 1.2.7: 5 % about the reference price.
    pub(super) fn auction_collar(&mut self, symbol: Symbol, price: u32) -> usize {
        let twentieth = price / 20;
        let message = self.begin(b'J').stock(symbol).u32(price);
        message.u32(price + twentieth).u32(price - twentieth).u32(0).at
    }

    /// `h`, section 1.2.8, of the market `Q` (Nasdaq).
    pub(super) fn operational_halt(&mut self, symbol: Symbol, action: u8) -> usize {
        self.begin(b'h').stock(symbol).bytes([b'Q', action]).at
    }

    /// `A`, section 1.3.1.
    #[inline]
    pub(super) fn add(
        &mut self,
        reference: u64,
        side: Side,
        shares: u32,
        symbol: Symbol,
        price: u32,
    ) -> usize {
        self.begin(b'A').u64(reference).side(side).u32(shares).stock(symbol).u32(price).at
    }

    /// `F`, section 1.3.2.
    #[inline]
    pub(super) fn add_attributed(
        &mut self,
        reference: u64,
        side: Side,
        shares: u32,
        symbol: Symbol,
        price: u32,
        participant: [u8; 4],
    ) -> usize {
        let message = self.begin(b'F').u64(reference).side(side).u32(shares);
        message.stock(symbol).u32(price).bytes(participant).at
    }

    /// `E`, section 1.4.1.
    #[inline]
    pub(super) fn executed(&mut self, reference: u64, shares: u32, match_number: u64) -> usize {
        self.begin(b'E').u64(reference).u32(shares).u64(match_number).at
    }

    /// `C`, section 1.4.2.
    #[inline]
    pub(super) fn executed_with_price(
        &mut self,
        reference: u64,
        shares: u32,
        match_number: u64,
        is_printable: bool,
        price: u32,
    ) -> usize {
        let printable = if is_printable { b'Y' } else { b'N' };
        let message = self.begin(b'C').u64(reference).u32(shares).u64(match_number);
        message.bytes([printable]).u32(price).at
    }

    /// `X`, section 1.4.3.
    #[inline]
    pub(super) fn cancel(&mut self, reference: u64, shares: u32) -> usize {
        self.begin(b'X').u64(reference).u32(shares).at
    }

    /// `D`, section 1.4.4.
    #[inline]
    pub(super) fn delete(&mut self, reference: u64) -> usize {
        self.begin(b'D').u64(reference).at
    }

    /// `U`, section 1.4.5.
    #[inline]
    pub(super) fn replace(&mut self, old: u64, new: u64, shares: u32, price: u32) -> usize {
        self.begin(b'U').u64(old).u64(new).u32(shares).u32(price).at
    }

    /// `P`, section 1.5.1: the reference is 0 since 2010, the side always buy since 2014.
    #[inline]
    pub(super) fn trade(
        &mut self,
        shares: u32,
        symbol: Symbol,
        price: u32,
        match_number: u64,
    ) -> usize {
        let message = self.begin(b'P').u64(0).side(Side::Buy).u32(shares);
        message.stock(symbol).u32(price).u64(match_number).at
    }

    /// `Q`, section 1.5.2.
    pub(super) fn cross(
        &mut self,
        shares: u64,
        symbol: Symbol,
        price: u32,
        match_number: u64,
        kind: u8,
    ) -> usize {
        let message = self.begin(b'Q').u64(shares).stock(symbol).u32(price);
        message.u64(match_number).bytes([kind]).at
    }

    /// `B`, section 1.5.3.
    pub(super) fn broken(&mut self, match_number: u64) -> usize {
        self.begin(b'B').u64(match_number).at
    }

    /// `I`, section 1.6: far and near price equal the reference price, so the variation is less than 1 % (`L`).
    pub(super) fn imbalance(
        &mut self,
        paired: u64,
        imbalance: u64,
        direction: u8,
        symbol: Symbol,
        price: u32,
        kind: u8,
    ) -> usize {
        let message = self.begin(b'I').u64(paired).u64(imbalance).bytes([direction]).stock(symbol);
        message.u32(price).u32(price).u32(price).bytes([kind, b'L']).at
    }

    /// `N`, section 1.7.
    pub(super) fn retail_interest(&mut self, symbol: Symbol, interest: u8) -> usize {
        self.begin(b'N').stock(symbol).bytes([interest]).at
    }

    /// `O`, section 1.8: the allowed range about a registered price, the collars 10 % about the price of the test, passed
    /// at this message's time.
    pub(super) fn direct_listing(&mut self, symbol: Symbol, price: u32) -> usize {
        let (fifth, tenth, time_ns) = (price / 5, price / 10, self.head.time_ns);
        let message = self.begin(b'O').stock(symbol).bytes(*b"Y");
        let message = message.u32(price - fifth).u32(price + 4 * fifth).u32(price).u64(time_ns);
        message.u32(price - tenth).u32(price + tenth).at
    }
}

/// Whether a market category is one of securities listed at Nasdaq (section 1.2.1).
pub(super) const fn is_nasdaq(market: u8) -> bool {
    matches!(market, b'Q' | b'G' | b'S')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::itch50::TYPES;

    const HEAD: Head = Head { locate: 0x0102, tracking: 3, time_ns: 0x0405_0607_0809 };

    fn written(write: impl FnOnce(&mut Writer<'_>) -> usize) -> Vec<u8> {
        let mut out = [0xEE; BUFFER_BYTES];
        let length = write(&mut Writer { head: HEAD, out: &mut out });
        out[..length].to_vec()
    }

    #[test]
    fn every_type_has_the_length_of_the_specification() {
        let stock = Symbol::new("TEST").expect("a symbol");
        let all = [
            written(|w| w.system(b'O')),
            written(|w| w.directory(stock, b'Q', 100)),
            written(|w| w.trading_action(stock, b'T', *b"    ")),
            written(|w| w.reg_sho(stock, b'0')),
            written(|w| w.participant(*b"ABCD", stock, true, b'A')),
            written(|w| w.decline_levels([3, 2, 1])),
            written(|w| w.level_breached(b'1')),
            written(|w| w.quoting_period(stock, 36_000, 10)),
            written(|w| w.auction_collar(stock, 100)),
            written(|w| w.operational_halt(stock, b'H')),
            written(|w| w.add(1, Side::Buy, 2, stock, 3)),
            written(|w| w.add_attributed(1, Side::Buy, 2, stock, 3, *b"ABCD")),
            written(|w| w.executed(1, 2, 3)),
            written(|w| w.executed_with_price(1, 2, 3, true, 4)),
            written(|w| w.cancel(1, 2)),
            written(|w| w.delete(1)),
            written(|w| w.replace(1, 2, 3, 4)),
            written(|w| w.trade(1, stock, 2, 3)),
            written(|w| w.cross(1, stock, 2, 3, b'O')),
            written(|w| w.broken(1)),
            written(|w| w.imbalance(1, 2, b'B', stock, 3, b'O')),
            written(|w| w.retail_interest(stock, b'A')),
            written(|w| w.direct_listing(stock, 100)),
        ];
        assert_eq!(all.len(), TYPES.len());
        for (bytes, (letter, length)) in all.iter().zip(TYPES) {
            assert_eq!((bytes[0], bytes.len()), (letter, usize::from(length)));
            assert_eq!(bytes[1..11], [1, 2, 0, 3, 4, 5, 6, 7, 8, 9]);
        }
    }

    #[test]
    fn the_fields_no_decoder_here_reads_are_these_bytes() {
        let stock = Symbol::new("TEST").expect("a symbol");
        let body = |bytes: Vec<u8>| bytes[11..].to_vec();
        let imbalance = body(written(|w| w.imbalance(1, 2, b'S', stock, 3, b'C')));
        assert_eq!(
            imbalance,
            b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02STEST    \0\0\0\x03\0\0\0\x03\0\0\0\x03CL"
        );
        let collar = body(written(|w| w.auction_collar(stock, 1_000)));
        assert_eq!(collar, b"TEST    \0\0\x03\xE8\0\0\x04\x1A\0\0\x03\xB6\0\0\0\0");
        let listing = body(written(|w| w.direct_listing(stock, 100)));
        assert_eq!(
            listing,
            b"TEST    Y\0\0\0\x50\0\0\0\xB4\0\0\0\x64\0\0\x04\x05\x06\x07\x08\x09\0\0\0\x5A\0\0\0\x6E"
        );
        let period = body(written(|w| w.quoting_period(stock, 36_000, 10)));
        assert_eq!(period, b"TEST    \0\0\x8C\xA0A\0\0\0\x0A");
        assert_eq!(
            body(written(|w| w.participant(*b"ABCD", stock, true, b'A'))),
            b"ABCDTEST    YNA"
        );
        assert_eq!(body(written(|w| w.operational_halt(stock, b'H'))), b"TEST    QH");
        assert_eq!(body(written(|w| w.retail_interest(stock, b'A'))), b"TEST    A");
    }
}
