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
