//! FIX enumerations. The discriminant is the character on the wire.

use crate::types::wire_enum::wire_enum;

wire_enum! {
    /// Side of an order (FIX tag 54).
    Side {
        /// Buy.
        Buy = b'1',
        /// Sell.
        Sell = b'2',
    }
}

impl Side {
    /// The other side.
    #[inline]
    pub const fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
}

wire_enum! {
    /// Order type (FIX tag 40).
    OrdType {
        /// At any price.
        Market = b'1',
        /// At the limit price or better.
        Limit = b'2',
    }
}

wire_enum! {
    /// How long an order stands (FIX tag 59).
    TimeInForce {
        /// Until the end of the trading day.
        Day = b'0',
        /// What cannot trade at once is cancelled.
        ImmediateOrCancel = b'3',
    }
}

wire_enum! {
    /// What an execution report reports (FIX tag 150).
    ExecType {
        /// The order was accepted.
        New = b'0',
        /// The order was cancelled.
        Canceled = b'4',
        /// The order was replaced.
        Replaced = b'5',
        /// The order was refused.
        Rejected = b'8',
        /// The order ended by its own terms.
        Expired = b'C',
        /// The order traded.
        Trade = b'F',
    }
}

wire_enum! {
    /// State of an order (FIX tag 39).
    OrdStatus {
        /// Accepted, nothing traded.
        New = b'0',
        /// Part of it traded, the rest stands.
        PartiallyFilled = b'1',
        /// All of it traded.
        Filled = b'2',
        /// Cancelled; what traded before stays traded.
        Canceled = b'4',
        /// A cancel is on its way.
        PendingCancel = b'6',
        /// Refused.
        Rejected = b'8',
        /// On its way, not yet answered.
        PendingNew = b'A',
        /// Ended by its own terms.
        Expired = b'C',
        /// A replace is on its way.
        PendingReplace = b'E',
    }
}

impl OrdStatus {
    /// Whether nothing can happen to the order any more.
    #[inline]
    pub const fn is_final(self) -> bool {
        match self {
            OrdStatus::Filled | OrdStatus::Canceled | OrdStatus::Rejected | OrdStatus::Expired => {
                true
            }
            OrdStatus::New
            | OrdStatus::PartiallyFilled
            | OrdStatus::PendingCancel
            | OrdStatus::PendingNew
            | OrdStatus::PendingReplace => false,
        }
    }
}

wire_enum! {
    /// What a cancel reject answers (FIX tag 434).
    CancelRejectTo {
        /// An order cancel request.
        Cancel = b'1',
        /// An order cancel/replace request.
        Replace = b'2',
    }
}

wire_enum! {
    /// Trading status of an instrument (FIX tag 326, with the letters of ITCH 5.0 "Stock Trading Action").
    TradingStatus {
        /// Halted across all markets.
        Halted = b'H',
        /// Paused.
        Paused = b'P',
        /// Quotation only.
        QuotationOnly = b'Q',
        /// Trading.
        Trading = b'T',
        /// Not yet known.
        Unknown = b'U',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_byte_maps_to_one_value_or_none() {
        let known = (0..=u8::MAX).filter_map(OrdStatus::from_wire).collect::<Vec<_>>();
        assert_eq!(known.len(), OrdStatus::ALL.len());
        for &status in OrdStatus::ALL {
            assert_eq!(OrdStatus::from_wire(status.wire()), Some(status));
        }
    }
}
