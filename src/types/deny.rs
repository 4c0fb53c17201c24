//! Why the gateway refuses a request: one table of codes that are stable for ever.
//!
//! A number stands in journals and in what strategies were told: once given it is never reused, not even when its check is
//! gone. It is ten times the number of its check and one digit more; 9xx are facts about the request, the order or the
//! gateway that no limit can change.

use std::fmt;

macro_rules! deny_reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $check:literal, $text:literal;)+) => {
        /// Why the gateway denied a request. `Denied` is ours; what a venue refuses is `Rejected` and has the venue's codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum DenyReason { $($(#[$doc])* $variant = $number,)+ }

        impl DenyReason {
            /// Every reason, by number.
            pub const ALL: &'static [DenyReason] = &[$(DenyReason::$variant,)+];

            /// The stable number, never 0: 0 on the wire is "not denied".
            #[inline]
            pub const fn code(self) -> u16 {
                match self { $(DenyReason::$variant => $number,)+ }
            }

            /// The reason with this number, or `None`.
            #[inline]
            pub const fn from_code(code: u16) -> Option<DenyReason> {
                match code { $($number => Some(DenyReason::$variant),)+ _ => None }
            }

            /// The name in metrics, reports and documentation.
            pub const fn name(self) -> &'static str {
                match self { $(DenyReason::$variant => stringify!($variant),)+ }
            }

            /// The check that denies so: `C01` and so on, or `-` where it is none of the limits.
            pub const fn check(self) -> &'static str {
                match self { $(DenyReason::$variant => $check,)+ }
            }

            /// One sentence for the one who was denied.
            pub const fn text(self) -> &'static str {
                match self { $(DenyReason::$variant => $text,)+ }
            }
        }
    };
}

deny_reasons! {
    /// The firm's kill switch is on.
    KilledFirm = 10, "C01", "the kill switch of the firm is on";
    /// The venue's kill switch is on.
    KilledVenue = 11, "C01", "the kill switch of the venue is on";
    /// The account's kill switch is on.
    KilledAccount = 12, "C01", "the kill switch of the account is on";
    /// The session's kill switch is on.
    KilledSession = 13, "C01", "the kill switch of the session is on";
    /// The instrument's kill switch is on.
    KilledInstrument = 14, "C01", "the kill switch of the instrument is on";
    /// The gateway is going down.
    ShuttingDown = 30, "C03", "the gateway is going down and takes no new risk";
    /// The strategy's session is not up.
    SessionDown = 31, "C03", "the session is not established";
    /// The venue's session is not up.
    VenueDown = 32, "C03", "the session with the venue is down";
    /// The market data channel is not known to be complete.
    FeedNotCurrent = 33, "C03", "the market data channel of the instrument is not current";
    /// Nothing was heard from the market data channel for too long.
    FeedStale = 34, "C03", "nothing was heard from the market data channel for too long";
    /// No limit is configured where one is needed.
    LimitMissing = 35, "C03", "a limit that the check needs is not configured";
    /// The account may not be used by this session.
    AccountNotOfSession = 40, "C04", "the session may not trade for the account";
    /// The account may not trade the instrument.
    InstrumentNotOfAccount = 41, "C04", "the account may not trade the instrument";
    /// The price is not a multiple of the tick.
    PriceOffTick = 100, "C10", "the price is not a multiple of the tick size";
    /// The quantity is not a multiple of the lot.
    QtyOffLot = 101, "C10", "the quantity is not a multiple of the lot size";
    /// The quantity is below the smallest one.
    QtyBelowMin = 102, "C10", "the quantity is below the smallest the instrument trades in";
    /// The quantity is above the limit.
    QtyAboveLimit = 110, "C11", "the quantity of the order is above the limit";
    /// The order is worth more than the limit.
    NotionalAboveLimit = 120, "C12", "the value of the order is above the limit";
    /// The price is too far from the market.
    PriceOutsideCollar = 130, "C13", "the price is too far from the market";
    /// There is no two-sided market to compare the price with.
    ReferenceMissing = 131, "C13", "there is no two-sided market to compare the price with";
    /// The market is crossed.
    ReferenceCrossed = 132, "C13", "the market is crossed and cannot be compared with";
    /// Market orders are not allowed in the instrument.
    MarketOrderNotAllowed = 160, "C16", "the instrument has no protection for market orders, so none are taken";
    /// One of too many identical orders in a row.
    DuplicateOrder = 180, "C18", "one of too many identical orders in a row";
    /// The ClOrdID is not larger than the last one.
    DuplicateClOrdId = 181, "C18", "the ClOrdID is not larger than the last one of the session";
    /// Too many messages: the burst is used up.
    RateAboveBurst = 200, "C20", "too many messages: the burst is used up";
    /// Too many messages in the window.
    RateAboveWindow = 201, "C20", "too many messages in the window";
    /// The worst-case long position would be above the limit.
    LongAboveLimit = 300, "C30", "position and open buy orders together would be above the long limit";
    /// The worst-case short position would be above the limit.
    ShortAboveLimit = 301, "C30", "position and open sell orders together would be above the short limit";
    /// The session has too many open orders.
    TooManyOpenOrders = 330, "C33", "too many orders are open";
    /// The session is not configured.
    UnknownSession = 900, "-", "the session is not known";
    /// The account is not configured.
    UnknownAccount = 901, "-", "the account is not known";
    /// The instrument is not configured.
    UnknownInstrument = 902, "-", "the instrument is not known";
    /// No such order.
    UnknownOrder = 903, "-", "no such order of this session is known";
    /// The order is not open any more.
    TooLateToCancel = 904, "-", "the order is not open any more";
    /// A cancel of the order is on its way.
    CancelPending = 905, "-", "a cancel of the order is on its way already";
    /// A replace of the order is on its way.
    ReplacePending = 906, "-", "a replace of the order is on its way already";
    /// The new total is not more than what has traded.
    ReplaceBelowFilled = 907, "-", "the new quantity is not above what has traded already";
    /// Only limit orders can be replaced.
    ReplaceNotAllowed = 908, "-", "only limit orders that rest can be replaced";
    /// A quantity of zero.
    QtyMissing = 909, "-", "the quantity is zero";
    /// A limit order without a price.
    PriceMissing = 910, "-", "a limit order needs a price";
    /// A market order with a price.
    PriceNotAllowed = 911, "-", "a market order has no price";
    /// A computation went beyond its range.
    Overflow = 912, "-", "price and quantity are beyond what can be computed with";
    /// The journal has no room, so nothing new may be sent.
    JournalFull = 920, "-", "the journal has no room to record the request";
    /// The router has no room for the order.
    RouterFull = 921, "-", "the router has no room for the order";
    /// The venue is not taking messages at this moment.
    VenueBackPressured = 922, "-", "the venue does not take messages at this moment";
    /// The venue's protocol cannot say it.
    NotRepresentable = 923, "-", "the protocol of the venue cannot express the request";
}

impl DenyReason {
    /// How many reasons there are.
    pub const COUNT: usize = DenyReason::ALL.len();

    /// Place in [`DenyReason::ALL`], for arrays of counts.
    #[inline]
    pub fn index(self) -> usize {
        // By number the table is sorted, which `numbers_are_unique_and_sorted` holds.
        match DenyReason::ALL.binary_search(&self) {
            Ok(index) | Err(index) => index,
        }
    }

    /// The table of all reasons in Markdown, for the documentation.
    pub fn table() -> String {
        let mut table = String::from("| Code | Name | Check | Meaning |\n|---|---|---|---|\n");
        for reason in DenyReason::ALL {
            table.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                reason.code(),
                reason.name(),
                reason.check(),
                reason.text()
            ));
        }
        table
    }
}

impl fmt::Display for DenyReason {
    /// `PriceOffTick (100, C10): the price is not a multiple of the tick size`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}): {}", self.name(), self.code(), self.check(), self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_sorted() {
        for pair in DenyReason::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code(), "{} before {}", pair[0], pair[1]);
        }
        for (index, &reason) in DenyReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(DenyReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(DenyReason::from_code(0), None);
    }

    #[test]
    fn the_number_of_a_limit_is_ten_times_its_check() {
        for reason in DenyReason::ALL {
            match reason.check().strip_prefix('C') {
                Some(check) => assert_eq!(check.parse(), Ok(reason.code() / 10), "{reason}"),
                None => assert!(reason.code() >= 900, "{reason}"),
            }
        }
    }

    #[test]
    fn the_table_has_every_reason() {
        assert_eq!(DenyReason::table().lines().count(), DenyReason::COUNT + 2);
    }
}
