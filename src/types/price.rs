//! Prices and quantities: integers with a unit, never floats.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// A price in units of 1e-9 of the instrument's currency (SBE `PRICE9`).
///
/// Exact for ITCH 5.0 prices, which come in 1e-4 (ITCH 5.0, section "Data Types"). The range is that of an `i64`
/// less its largest value, which is the null value on the wire: about ±9.2e9 currency units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(i64);

impl Price {
    /// Units in one whole currency unit.
    pub const UNITS: i64 = 1_000_000_000;
    /// Units in one ITCH price step of 1e-4.
    pub const ITCH4_UNITS: i64 = 100_000;
    /// The smallest price.
    pub const MIN: Price = Price(i64::MIN);
    /// The largest price. One more is the null value on the wire.
    pub const MAX: Price = Price(i64::MAX - 1);

    /// A price of `units` × 1e-9; `i64::MAX` is the wire's null value and becomes [`Price::MAX`].
    #[inline]
    pub const fn from_units(units: i64) -> Price {
        if units == i64::MAX { Price::MAX } else { Price(units) }
    }

    /// A price from an ITCH `Price(4)` field: an unsigned integer in units of 1e-4. Exact.
    #[inline]
    pub const fn from_itch4(raw: u32) -> Price {
        #[allow(clippy::as_conversions, reason = "`From` is not const; u32 to i64 cannot fail")]
        Price(raw as i64 * Price::ITCH4_UNITS)
    }

    /// A price from a signed number of 1e-4, as IEX has them. Exact; `None` beyond what a price holds, which is about
    /// ±9.2e13.
    #[inline]
    pub const fn from_signed4(raw: i64) -> Option<Price> {
        // Never the null value, which is not a multiple of the step.
        match raw.checked_mul(Price::ITCH4_UNITS) {
            Some(units) => Some(Price(units)),
            None => None,
        }
    }

    /// The price as an ITCH `Price(4)` field, or `None` where it is negative, too large or not a multiple of 1e-4.
    #[inline]
    pub fn to_itch4(self) -> Option<u32> {
        if self.0 % Price::ITCH4_UNITS == 0 {
            u32::try_from(self.0 / Price::ITCH4_UNITS).ok()
        } else {
            None
        }
    }

    /// The price in units of 1e-9.
    #[inline]
    pub const fn units(self) -> i64 {
        self.0
    }

    /// Whether the price is a whole multiple of `tick`, which must be positive.
    ///
    /// # Panics
    /// If `tick` is not positive.
    #[inline]
    pub fn is_multiple_of(self, tick: Price) -> bool {
        assert!(tick.0 > 0, "a tick is positive, not {tick}");
        self.0 % tick.0 == 0
    }
}

impl fmt::Display for Price {
    /// A decimal number without trailing zeros: `320.15`, `-0.5`, `7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let (whole, part) =
            (units / Price::UNITS.unsigned_abs(), units % Price::UNITS.unsigned_abs());
        if part == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let digits = format!("{part:09}");
        f.pad(&format!("{sign}{whole}.{}", digits.trim_end_matches('0')))
    }
}

/// A price or none, in eight bytes that are read and written at once: for rows of tables. None is what it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceOrNone(i64);

impl PriceOrNone {
    /// No price.
    pub const NONE: PriceOrNone = PriceOrNone(i64::MAX);

    /// As an option.
    #[inline]
    pub const fn get(self) -> Option<Price> {
        if self.0 == i64::MAX { None } else { Some(Price(self.0)) }
    }
}

impl From<Option<Price>> for PriceOrNone {
    #[inline]
    fn from(price: Option<Price>) -> PriceOrNone {
        price.map_or(PriceOrNone::NONE, |price| PriceOrNone(price.0))
    }
}

/// Why a text is not a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParsePriceError {
    /// Not of the form `-123.456`.
    NotDecimal,
    /// More than nine digits after the point.
    TooPrecise,
    /// Beyond what a [`Price`] holds.
    OutOfRange,
}

impl fmt::Display for ParsePriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDecimal => "not a decimal number such as 320.15",
            Self::TooPrecise => "more than nine digits after the point",
            Self::OutOfRange => "larger than a price can be (about 9.2 billion)",
        })
    }
}

impl std::error::Error for ParsePriceError {}

impl FromStr for Price {
    type Err = ParsePriceError;

    fn from_str(text: &str) -> Result<Price, ParsePriceError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(part) || digits.ends_with('.') {
            return Err(ParsePriceError::NotDecimal);
        }
        if part.len() > 9 {
            return Err(ParsePriceError::TooPrecise);
        }
        let whole: i64 = whole.parse().map_err(|_| ParsePriceError::OutOfRange)?;
        let part: i64 = format!("{part:0<9}").parse().map_err(|_| ParsePriceError::NotDecimal)?;
        let units = whole
            .checked_mul(Price::UNITS)
            .and_then(|u| u.checked_add(part))
            .filter(|&u| u != i64::MAX)
            .ok_or(ParsePriceError::OutOfRange)?;
        Ok(Price(if negative { -units } else { units }))
    }
}

/// A quantity of whole shares or contracts. Zero is not a quantity: its absence is `Option::None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qty(NonZeroU32);

impl Qty {
    /// A quantity, or `None` for zero.
    #[inline]
    pub const fn new(raw: u32) -> Option<Qty> {
        match NonZeroU32::new(raw) {
            Some(n) => Some(Qty(n)),
            None => None,
        }
    }

    /// The number of shares or contracts, at least 1.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Qty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_text_round_trips() {
        for (text, units) in [
            ("0", 0),
            ("320.15", 320_150_000_000),
            ("-0.5", -500_000_000),
            ("0.000000001", 1),
            ("9223372036.854775806", i64::MAX - 1),
        ] {
            let price: Price = text.parse().expect("a valid price");
            assert_eq!(price.units(), units);
            assert_eq!(price.to_string(), text);
        }
    }

    #[test]
    fn price_refuses_what_it_cannot_hold() {
        assert_eq!("9223372036.854775807".parse::<Price>(), Err(ParsePriceError::OutOfRange));
        assert_eq!("99999999999999999999".parse::<Price>(), Err(ParsePriceError::OutOfRange));
        assert_eq!("1.0000000001".parse::<Price>(), Err(ParsePriceError::TooPrecise));
        for bad in ["", "-", ".5", "5.", "1e5", "1,5", "--1", "+1", "1.-5"] {
            assert_eq!(bad.parse::<Price>(), Err(ParsePriceError::NotDecimal), "{bad}");
        }
    }

    #[test]
    fn itch_prices_convert_exactly() {
        for raw in [0, 1, 3_201_500, u32::MAX] {
            assert_eq!(Price::from_itch4(raw).to_itch4(), Some(raw));
        }
        assert_eq!(Price::from_units(1).to_itch4(), None);
        assert_eq!(Price::from_units(-Price::ITCH4_UNITS).to_itch4(), None);
    }

    #[test]
    fn signed_prices_convert_exactly_or_not_at_all() {
        let largest = i64::MAX / Price::ITCH4_UNITS;
        for raw in [0, 1, -1, 990_500, largest, -largest] {
            let price = Price::from_signed4(raw).expect("within range");
            assert_eq!(price.units(), raw * Price::ITCH4_UNITS);
            assert!(price < Price::MAX);
        }
        for raw in [largest + 1, -largest - 1, i64::MAX, i64::MIN] {
            assert_eq!(Price::from_signed4(raw), None, "{raw}");
        }
    }

    #[test]
    fn the_null_value_is_not_a_price() {
        assert_eq!(Price::from_units(i64::MAX), Price::MAX);
        for price in [None, Some(Price::MAX), Some(Price::MIN), Some(Price::default())] {
            assert_eq!(PriceOrNone::from(price).get(), price);
        }
    }
}
