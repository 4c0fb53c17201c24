//! Writes the exchange's book events as Nasdaq TotalView-ITCH 5.0 messages.
//!
//! Our own small encoder, on purpose not shared with the feed's decoder: each checks the other.

use crate::sim::matching::{Exchange, VenueInstrument};
use crate::sim::order::BookEvent;
use crate::types::{Price, Side, Symbol, TradingStatus};

/// Bytes of the longest message written (ITCH 5.0 section 1.5.1, Trade).
pub const MESSAGE_BYTES_MAX: usize = 44;

/// What a system event tells (ITCH 5.0 section 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemEvent {
    /// First message of the day.
    StartOfMessages,
    /// Orders are taken.
    StartOfSystemHours,
    /// Orders trade.
    StartOfMarketHours,
    /// Orders trade no more.
    EndOfMarketHours,
    /// No new orders are taken.
    EndOfSystemHours,
    /// Last message of the day.
    EndOfMessages,
}

impl SystemEvent {
    const fn code(self) -> u8 {
        match self {
            SystemEvent::StartOfMessages => b'O',
            SystemEvent::StartOfSystemHours => b'S',
            SystemEvent::StartOfMarketHours => b'Q',
            SystemEvent::EndOfMarketHours => b'M',
            SystemEvent::EndOfSystemHours => b'E',
            SystemEvent::EndOfMessages => b'C',
        }
    }
}

/// A message of ITCH 5.0, of those an exchange such as this one has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItchMessage {
    /// `S`, section 1.1.
    System(SystemEvent),
    /// `R`, section 1.2.1.
    StockDirectory {
        /// Stock locate.
        locate: u16,
        /// Symbol.
        stock: Symbol,
        /// Shares in a round lot.
        round_lot: u32,
        /// Whether only round lots are taken.
        round_lots_only: bool,
    },
    /// `H`, section 1.2.2.
    TradingAction {
        /// Stock locate.
        locate: u16,
        /// Symbol.
        stock: Symbol,
        /// Trading state.
        state: TradingStatus,
    },
    /// `A`, section 1.3.1.
    Add {
        /// Stock locate.
        locate: u16,
        /// Order reference number.
        reference: u64,
        /// Buy or sell.
        side: Side,
        /// Shares.
        shares: u32,
        /// Symbol.
        stock: Symbol,
        /// Price(4).
        price: u32,
    },
    /// `E`, section 1.4.1.
    Executed {
        /// Stock locate.
        locate: u16,
        /// Order reference number.
        reference: u64,
        /// Shares.
        shares: u32,
        /// Match number.
        match_number: u64,
    },
    /// `C`, section 1.4.2.
    ExecutedWithPrice {
        /// Stock locate.
        locate: u16,
        /// Order reference number.
        reference: u64,
        /// Shares.
        shares: u32,
        /// Match number.
        match_number: u64,
        /// Price(4).
        price: u32,
    },
    /// `X`, section 1.4.3.
    Cancel {
        /// Stock locate.
        locate: u16,
        /// Order reference number.
        reference: u64,
        /// Shares taken away.
        shares: u32,
    },
    /// `D`, section 1.4.4.
    Delete {
        /// Stock locate.
        locate: u16,
        /// Order reference number.
        reference: u64,
    },
    /// `U`, section 1.4.5.
    Replace {
        /// Stock locate.
        locate: u16,
        /// Order reference number until now.
        old: u64,
        /// Order reference number from now on.
        new: u64,
        /// Shares.
        shares: u32,
        /// Price(4).
        price: u32,
    },
    /// `P`, section 1.5.1.
    Trade {
        /// Stock locate.
        locate: u16,
        /// Shares.
        shares: u32,
        /// Symbol.
        stock: Symbol,
        /// Price(4).
        price: u32,
        /// Match number.
        match_number: u64,
    },
}

impl ItchMessage {
    /// The stock directory entry of an instrument.
    pub fn directory(instrument: &VenueInstrument) -> ItchMessage {
        ItchMessage::StockDirectory {
            locate: instrument.stock_locate,
            stock: instrument.symbol,
            round_lot: instrument.lot,
            round_lots_only: instrument.lot > 1,
        }
    }

    /// A book event of `exchange` as a message.
    ///
    /// # Panics
    /// If the event is not one of this exchange's: its prices are checked to fit when an order is taken.
    pub fn of_event(event: &BookEvent, exchange: &Exchange) -> ItchMessage {
        let instrument =
            |index: u16| exchange.instrument(index).expect("an event of this exchange");
        ItchMessage::of_event_in(event, instrument)
    }

    /// [`ItchMessage::of_event`] where the instruments are looked up elsewhere.
    pub fn of_event_in<'a>(
        event: &BookEvent,
        instrument_of: impl Fn(u16) -> &'a VenueInstrument,
    ) -> ItchMessage {
        match *event {
            BookEvent::Added { instrument, reference, side, qty: shares, price } => {
                let &VenueInstrument { stock_locate: locate, symbol: stock, .. } =
                    instrument_of(instrument);
                let price = price4(price);
                ItchMessage::Add { locate, reference, side, shares, stock, price }
            }
            BookEvent::Executed { instrument, reference, qty: shares, match_number } => {
                let locate = instrument_of(instrument).stock_locate;
                ItchMessage::Executed { locate, reference, shares, match_number }
            }
            BookEvent::Reduced { instrument, reference, qty: shares } => {
                let locate = instrument_of(instrument).stock_locate;
                ItchMessage::Cancel { locate, reference, shares }
            }
            BookEvent::Deleted { instrument, reference } => {
                ItchMessage::Delete { locate: instrument_of(instrument).stock_locate, reference }
            }
            BookEvent::Replaced { instrument, old, new, qty: shares, price } => {
                let locate = instrument_of(instrument).stock_locate;
                ItchMessage::Replace { locate, old, new, shares, price: price4(price) }
            }
            BookEvent::Printed { instrument, qty: shares, price, match_number } => {
                let &VenueInstrument { stock_locate: locate, symbol: stock, .. } =
                    instrument_of(instrument);
                ItchMessage::Trade { locate, shares, stock, price: price4(price), match_number }
            }
            BookEvent::Status { instrument, status: state } => {
                let &VenueInstrument { stock_locate: locate, symbol: stock, .. } =
                    instrument_of(instrument);
                ItchMessage::TradingAction { locate, stock, state }
            }
        }
    }

    /// Writes the message with the time `stamp`, nanoseconds since midnight, of which 48 bits are kept, to the start of
    /// `out`, and returns its size in bytes.
    pub fn encode(&self, stamp: u64, out: &mut [u8; MESSAGE_BYTES_MAX]) -> usize {
        let mut w = Writer { out, at: 0 };
        match *self {
            ItchMessage::System(event) => {
                w.header(b'S', 0, stamp);
                w.put(&[event.code()]);
            }
            ItchMessage::StockDirectory { locate, stock, round_lot, round_lots_only } => {
                w.header(b'R', locate, stamp);
                w.put(&stock.wire());
                w.put(b"QN"); // Nasdaq Global Select Market; financial status normal
                w.put(&round_lot.to_be_bytes());
                w.put(if round_lots_only { b"Y" } else { b"N" });
                // Common stock of no sub-type; a test issue, so that nobody takes this feed for a real one; no short
                // sale threshold, no IPO, price tier 1, not an exchange traded product, factor 0, not inverse.
                w.put(b"CZ TNN1N\0\0\0\0N");
            }
            ItchMessage::TradingAction { locate, stock, state } => {
                w.header(b'H', locate, stamp);
                w.put(&stock.wire());
                w.put(&[trading_state(state)]);
                w.put(b"     "); // reserved, and no reason
            }
            ItchMessage::Add { locate, reference, side, shares, stock, price } => {
                w.header(b'A', locate, stamp);
                w.put(&reference.to_be_bytes());
                w.put(&[match side {
                    Side::Buy => b'B',
                    Side::Sell => b'S',
                }]);
                w.put(&shares.to_be_bytes());
                w.put(&stock.wire());
                w.put(&price.to_be_bytes());
            }
            ItchMessage::Executed { locate, reference, shares, match_number } => {
                w.modify(b'E', locate, stamp, reference);
                w.put(&shares.to_be_bytes());
                w.put(&match_number.to_be_bytes());
            }
            ItchMessage::ExecutedWithPrice { locate, reference, shares, match_number, price } => {
                w.modify(b'C', locate, stamp, reference);
                w.put(&shares.to_be_bytes());
                w.put(&match_number.to_be_bytes());
                w.put(b"Y");
                w.put(&price.to_be_bytes());
            }
            ItchMessage::Cancel { locate, reference, shares } => {
                w.modify(b'X', locate, stamp, reference);
                w.put(&shares.to_be_bytes());
            }
            ItchMessage::Delete { locate, reference } => w.modify(b'D', locate, stamp, reference),
            ItchMessage::Replace { locate, old, new, shares, price } => {
                w.modify(b'U', locate, stamp, old);
                w.put(&new.to_be_bytes());
                w.put(&shares.to_be_bytes());
                w.put(&price.to_be_bytes());
            }
            ItchMessage::Trade { locate, shares, stock, price, match_number } => {
                // Since 2010 the reference is 0, and since 2014 the side is always `B`.
                w.modify(b'P', locate, stamp, 0);
                w.put(b"B");
                w.put(&shares.to_be_bytes());
                w.put(&stock.wire());
                w.put(&price.to_be_bytes());
                w.put(&match_number.to_be_bytes());
            }
        }
        w.at
    }
}

fn price4(price: Price) -> u32 {
    price.to_itch4().expect("checked when the order was taken")
}

/// A status that ITCH has no letter for is sent as halted: nobody may trade on it.
fn trading_state(status: TradingStatus) -> u8 {
    match status {
        TradingStatus::Paused => b'P',
        TradingStatus::QuotationOnly => b'Q',
        TradingStatus::Trading => b'T',
        TradingStatus::Halted | TradingStatus::Unknown => b'H',
    }
}

struct Writer<'a> {
    out: &'a mut [u8; MESSAGE_BYTES_MAX],
    at: usize,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.out[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }

    /// Type, stock locate, tracking number and timestamp: the start of every message.
    #[inline]
    fn header(&mut self, kind: u8, locate: u16, stamp: u64) {
        self.put(&[kind]);
        self.put(&locate.to_be_bytes());
        self.put(&[0, 0]);
        let [_, _, stamp @ ..] = stamp.to_be_bytes();
        self.put(&stamp);
    }

    #[inline]
    fn modify(&mut self, kind: u8, locate: u16, stamp: u64, reference: u64) {
        self.header(kind, locate, stamp);
        self.put(&reference.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(message: ItchMessage) -> Vec<u8> {
        let mut out = [0xEE; MESSAGE_BYTES_MAX];
        let bytes = message.encode(0x0000_1A00_0000_0001, &mut out);
        out[..bytes].to_vec()
    }

    #[test]
    fn every_message_is_as_long_as_the_specification_says() {
        let stock = Symbol::new("AAPL").expect("valid");
        let (locate, reference, shares, match_number, price) = (13, 7, 100, 9, 3_201_500);
        let (old, new, side) = (7, 8, Side::Sell);
        let messages = [
            (12, ItchMessage::System(SystemEvent::StartOfMessages)),
            (
                39,
                ItchMessage::StockDirectory { locate, stock, round_lot: 1, round_lots_only: false },
            ),
            (25, ItchMessage::TradingAction { locate, stock, state: TradingStatus::Trading }),
            (36, ItchMessage::Add { locate, reference, side, shares, stock, price }),
            (31, ItchMessage::Executed { locate, reference, shares, match_number }),
            (36, ItchMessage::ExecutedWithPrice { locate, reference, shares, match_number, price }),
            (23, ItchMessage::Cancel { locate, reference, shares }),
            (19, ItchMessage::Delete { locate, reference }),
            (35, ItchMessage::Replace { locate, old, new, shares, price }),
            (44, ItchMessage::Trade { locate, shares, stock, price, match_number }),
        ];
        for (bytes, message) in messages {
            assert_eq!(encode(message).len(), bytes, "{message:?}");
        }
    }

    #[test]
    fn an_add_is_these_bytes() {
        let message = ItchMessage::Add {
            locate: 13,
            reference: 0x0102_0304_0506_0708,
            side: Side::Buy,
            shares: 100,
            stock: Symbol::new("AAPL").expect("valid"),
            price: 3_201_500,
        };
        let mut expected = vec![b'A', 0, 13, 0, 0, 0x1A, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        expected.extend(b"B\0\0\0\x64AAPL    \x00\x30\xD9\xDC");
        assert_eq!(encode(message), expected);
    }
}
