//! Identifiers: each its own type, so that none is passed where another is meant.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $raw);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// An instrument, as numbered in the configuration (FIX `SecurityID`, tag 48).
    InstrumentId(u32)
}
id! {
    /// An account (FIX tag 1), as numbered in the configuration.
    AccountId(u32)
}
id! {
    /// A strategy's or venue's session, as numbered in the configuration.
    SessionId(u32)
}
id! {
    /// A venue, as numbered in the configuration.
    VenueId(u32)
}
id! {
    /// A market data channel, as numbered in the configuration.
    ChannelId(u32)
}
id! {
    /// A client's order identifier (FIX `ClOrdID`, tag 11): strictly increasing within a session; 0 is none.
    ClOrdId(u64)
}
id! {
    /// The gateway's order identifier (FIX `OrderID`, tag 37): assigned by risk, increasing; 0 is none.
    OrderId(u64)
}
id! {
    /// An execution's identifier (FIX `ExecID`, tag 17), unique within a venue session; 0 is none.
    ExecId(u64)
}
id! {
    /// A message's place in its session (FIX `MsgSeqNum`, tag 34): counts from 1.
    SeqNum(u32)
}

impl SeqNum {
    /// The first number of a session.
    pub const FIRST: SeqNum = SeqNum(1);

    /// The number after this one.
    ///
    /// # Panics
    /// After 4,294,967,294 messages: a session is renegotiated long before.
    #[inline]
    pub fn next(self) -> SeqNum {
        assert!(self.0 < u32::MAX - 1, "a session is out of sequence numbers");
        SeqNum(self.0 + 1)
    }
}

/// An instrument's symbol (FIX tag 55): eight ASCII bytes, padded on the right with spaces as in ITCH.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol([u8; 8]);

impl Symbol {
    /// A symbol from a text of 1 to 8 printable ASCII characters without spaces; `None` for any other.
    pub fn new(text: &str) -> Option<Symbol> {
        if text.is_empty() || text.len() > 8 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut bytes = [b' '; 8];
        for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
            *slot = byte;
        }
        Some(Symbol(bytes))
    }

    /// A symbol as it stands on the wire, whatever its bytes are.
    #[inline]
    pub const fn from_wire(bytes: [u8; 8]) -> Symbol {
        Symbol(bytes)
    }

    /// The eight bytes of the wire.
    #[inline]
    pub const fn wire(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for Symbol {
    /// Without the padding; a byte that is not printable ASCII as `?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().rposition(|&b| b != b' ').map_or(0, |last| last + 1);
        let text: String = self
            .0
            .iter()
            .take(end)
            .map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '?' })
            .collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_pads_and_prints() {
        let symbol = Symbol::new("AAPL").expect("valid");
        assert_eq!(&symbol.wire(), b"AAPL    ");
        assert_eq!(symbol.to_string(), "AAPL");
        assert_eq!(Symbol::from_wire(*b"A\0B\xff    ").to_string(), "A?B?");
        for bad in ["", "TOOLONGSY", "A B", "É"] {
            assert_eq!(Symbol::new(bad), None, "{bad}");
        }
    }
}
