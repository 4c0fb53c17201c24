//! Enumerations of market data as strategies get it. The discriminant is the byte on the wire.

use crate::types::wire_enum::wire_enum;

wire_enum! {
    /// What happened to a price level (FIX tag 279).
    UpdateAction {
        /// It was not there before.
        New = b'0',
        /// Its quantity or number of orders changed.
        Change = b'1',
        /// It is gone, or beyond the levels that are told.
        Delete = b'2',
    }
}

wire_enum! {
    /// Whether an instrument's book can be relied on.
    BookState {
        /// It may be wrong: no prices are shown.
        Stale = 0,
        /// It is the exchange's.
        Current = 1,
    }
}

wire_enum! {
    /// How far an exchange's day is (letters of ITCH 5.0 "System Event").
    SessionPhase {
        /// After the last message of the day.
        AfterEndOfMessages = b'C',
        /// No new orders are taken today.
        AfterSystemHours = b'E',
        /// The market has closed; orders for other hours are still taken.
        AfterMarketHours = b'M',
        /// Messages have begun; no orders are taken yet.
        BeforeSystemHours = b'O',
        /// The market is open.
        MarketHours = b'Q',
        /// Orders are taken; the market has not opened.
        BeforeMarketHours = b'S',
        /// The exchange has not said, or said something this build does not know.
        Unknown = b'U',
    }
}

wire_enum! {
    /// The short sale price test of Regulation SHO, rule 201 (FIX tag 1687, letters of ITCH 5.0 "Reg SHO Restriction").
    ShortSaleRestriction {
        /// None.
        NotRestricted = b'0',
        /// In effect, for a fall of the price today or for what the exchange does not say.
        InEffect = b'1',
        /// Still in effect, for a fall before today.
        Remains = b'2',
        /// Not yet known.
        Unknown = b'U',
    }
}

wire_enum! {
    /// On which side more is to be had than a cross would match (letters of ITCH 5.0 "Net Order Imbalance Indicator").
    ImbalanceSide {
        /// More to buy.
        Buy = b'B',
        /// As much on either.
        NoImbalance = b'N',
        /// Too few orders to say.
        NotComputable = b'O',
        /// The security is paused.
        Paused = b'P',
        /// More to sell.
        Sell = b'S',
        /// A letter this build does not know.
        Unknown = b'U',
    }
}

wire_enum! {
    /// Which cross, or auction (letters of ITCH 5.0 "Net Order Imbalance Indicator", and of IEX DEEP "Auction Information").
    CrossType {
        /// Extended trading close.
        ExtendedClose = b'A',
        /// Closing.
        Closing = b'C',
        /// Of a security halted or paused; of Nasdaq also of a new one.
        Halt = b'H',
        /// Of a new security (IEX).
        Initial = b'I',
        /// Opening.
        Opening = b'O',
        /// A letter this build does not know.
        Unknown = b'U',
        /// After a pause for volatility (IEX).
        Volatility = b'V',
    }
}
