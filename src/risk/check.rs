//! The checks, as pure functions of what they compare. Each denies where it cannot compute.
//!
//! A limit is a value one may reach: equal passes. Numbers are integers in the units of [`Price`] (1e-9) and whole
//! shares or contracts; a value of an order is in 128 bits, where the largest price times the largest quantity times the largest
//! multiplier fits.
#![deny(clippy::arithmetic_side_effects)]

use crate::risk::limits::{Band, CollarConfig, CollarReference, CollarSides};
use crate::types::{DenyReason, FeedState, Nanos, Price, Side};

/// Why a request is denied, with the two numbers that were compared where a limit was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub reason: DenyReason,
    /// The limit, in the unit of its check.
    pub limit: Option<i64>,
    /// What was compared with it.
    pub value: Option<i64>,
}

impl Denial {
    /// `value` went beyond `limit`. Numbers beyond 63 bits are shown as the largest there is.
    #[cold]
    pub fn beyond(
        reason: DenyReason,
        limit: impl TryInto<i64>,
        value: impl TryInto<i64>,
    ) -> Denial {
        // i64::MAX is the wire's null.
        let shown = |number: Option<i64>| Some(number.unwrap_or(i64::MAX).min(Price::MAX.units()));
        Denial { reason, limit: shown(limit.try_into().ok()), value: shown(value.try_into().ok()) }
    }
}

impl From<DenyReason> for Denial {
    #[inline]
    fn from(reason: DenyReason) -> Denial {
        Denial { reason, limit: None, value: None }
    }
}

/// Passes, or says why not. An outcome, not an error.
pub type Verdict = Result<(), Denial>;

/// C01, for the five scopes in their order: firm, venue, account, session, instrument.
#[inline(always)]
pub fn kill_switch(
    firm: bool,
    venue: bool,
    account: bool,
    session: bool,
    instrument: bool,
) -> Verdict {
    // In one look, since hardly anything ever is.
    if !(firm | venue | account | session | instrument) {
        return Ok(());
    }
    let killed = [
        (firm, DenyReason::KilledFirm),
        (venue, DenyReason::KilledVenue),
        (account, DenyReason::KilledAccount),
        (session, DenyReason::KilledSession),
        (instrument, DenyReason::KilledInstrument),
    ];
    match killed.into_iter().find(|&(is_killed, _)| is_killed) {
        Some((_, reason)) => Err(reason.into()),
        None => Ok(()),
    }
}

/// C03, market data: the channel must have said that it is complete, and have been heard within `stale_ns`.
#[inline(always)]
pub fn feed_ready(now: Nanos, heard: Option<(FeedState, Nanos)>, stale_ns: u64) -> Verdict {
    match heard {
        Some((FeedState::Current, at)) if now.since(at) <= stale_ns => Ok(()),
        Some((FeedState::Current, at)) => {
            Err(Denial::beyond(DenyReason::FeedStale, stale_ns, now.since(at)))
        }
        Some((FeedState::Stale | FeedState::Ended, _)) | None => {
            Err(DenyReason::FeedNotCurrent.into())
        }
    }
}

/// C10: `price` is a multiple of `tick`.
#[inline(always)]
pub fn tick(price: Price, tick: Price) -> Verdict {
    if price.is_multiple_of(tick) {
        Ok(())
    } else {
        Err(Denial::beyond(DenyReason::PriceOffTick, tick.units(), price.units()))
    }
}

/// C10: `qty` is a multiple of `lot`, which is at least 1, and not below `qty_min`.
#[inline(always)]
pub fn lot(qty: u32, lot: u32, qty_min: u32) -> Verdict {
    if qty.checked_rem(lot) != Some(0) {
        return Err(Denial::beyond(DenyReason::QtyOffLot, lot, qty));
    }
    if qty < qty_min {
        return Err(Denial::beyond(DenyReason::QtyBelowMin, qty_min, qty));
    }
    Ok(())
}

/// C11: the whole quantity of the order is within the limit.
#[inline(always)]
pub fn max_qty(qty: u32, limit: Option<u32>) -> Verdict {
    match limit {
        None => Err(DenyReason::LimitMissing.into()),
        Some(limit) if qty <= limit => Ok(()),
        Some(limit) => Err(Denial::beyond(DenyReason::QtyAboveLimit, limit, qty)),
    }
}

/// What an order is worth, in units of 1e-9, never negative.
#[inline(always)]
pub fn notional(price: Price, qty: u32, multiplier: u32) -> u128 {
    // 32 bits by 32, and 64 by 64: nothing is lost.
    let units = u64::from(qty).wrapping_mul(u64::from(multiplier));
    u128::from(price.units().unsigned_abs()).wrapping_mul(u128::from(units))
}

/// C12: the whole order is worth no more than the limit, which is not negative.
#[inline(always)]
pub fn max_notional(price: Price, qty: u32, multiplier: u32, limit: Option<i128>) -> Verdict {
    let Some(limit) = limit else { return Err(DenyReason::LimitMissing.into()) };
    let worth = notional(price, qty, multiplier);
    // No limit that is negative is ever kept.
    if u128::try_from(limit).is_ok_and(|limit| worth <= limit) {
        Ok(())
    } else {
        Err(Denial::beyond(DenyReason::NotionalAboveLimit, limit, worth))
    }
}

/// Best bid and offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: Option<Price>,
    /// Best offer.
    pub offer: Option<Price>,
}

impl Quote {
    /// Bid and offer of a market that can be compared with: two-sided and not crossed. Locked is not crossed.
    ///
    /// # Errors
    /// What is wrong with it.
    #[inline]
    pub fn two_sided(self) -> Result<(Price, Price), DenyReason> {
        match (self.bid, self.offer) {
            (Some(bid), Some(offer)) if bid <= offer => Ok((bid, offer)),
            (Some(_), Some(_)) => Err(DenyReason::ReferenceCrossed),
            (None, _) | (_, None) => Err(DenyReason::ReferenceMissing),
        }
    }
}

/// How far `band` reaches from `price`: the larger of its share and its ticks.
#[inline(always)]
pub fn reach(band: Band, price: Price, tick: Price) -> i128 {
    let (units, points) = (price.units().unsigned_abs(), band.basis_points);
    let share = match units.checked_mul(u64::from(points)) {
        // To divide by a constant is to multiply, within 64 bits.
        Some(product) => i128::from(product / 10_000),
        // 64 bits by 32: fits.
        None => i128::from(units).wrapping_mul(i128::from(points)) / 10_000,
    };
    share.max(i128::from(tick.units()).wrapping_mul(i128::from(band.ticks)))
}

/// C16: the worst price a market order is taken to trade at: the far touch, and the protection beyond it.
///
/// # Errors
/// Where there is no protection, no market, or no such price.
#[inline(always)]
pub fn protected_price(
    side: Side,
    quote: Quote,
    protection: Option<Band>,
    tick: Price,
) -> Result<Price, DenyReason> {
    let protection = protection.ok_or(DenyReason::MarketOrderNotAllowed)?;
    let (bid, offer) = quote.two_sided()?;
    let touch = match side {
        Side::Buy => offer,
        Side::Sell => bid,
    };
    let reach = reach(protection, touch, tick);
    let touch = i128::from(touch.units());
    let worst = match side {
        Side::Buy => touch.checked_add(reach),
        Side::Sell => touch.checked_sub(reach),
    };
    let units = worst.and_then(|worst| i64::try_from(worst).ok()).ok_or(DenyReason::Overflow)?;
    Ok(Price::from_units(units))
}

/// The price a collar compares with.
///
/// # Errors
/// Where there is none.
#[inline(always)]
pub fn reference(collar: CollarReference, side: Side, quote: Quote) -> Result<Price, DenyReason> {
    let (bid, offer) = quote.two_sided()?;
    Ok(match (collar, side) {
        (CollarReference::Mid, _) => {
            // The shift rounds down for negative sums too, and half of a sum of two prices is a price.
            let sum = i128::from(bid.units()).saturating_add(i128::from(offer.units()));
            Price::from_units(i64::try_from(sum >> 1).map_err(|_| DenyReason::Overflow)?)
        }
        (CollarReference::FarTouch, Side::Buy) => offer,
        (CollarReference::FarTouch, Side::Sell) => bid,
    })
}

/// C13: `price` is no further from `reference` than the collar's band.
#[inline(always)]
pub fn collar(
    collar: CollarConfig,
    side: Side,
    price: Price,
    reference: Price,
    tick: Price,
) -> Verdict {
    let reach = reach(collar.band, reference, tick);
    let above = i128::from(price.units()).saturating_sub(i128::from(reference.units()));
    let distance = match (collar.sides, side) {
        (CollarSides::Aggressive, Side::Buy) => above,
        (CollarSides::Aggressive, Side::Sell) => above.saturating_neg(),
        (CollarSides::Both, _) => above.saturating_abs(),
    };
    if distance <= reach {
        Ok(())
    } else {
        Err(Denial::beyond(DenyReason::PriceOutsideCollar, reach, distance))
    }
}

/// C30: `net` and everything open on the order's side, grown by `growth`, stay within the limit of that side.
///
/// A request that lets nothing grow passes, and so does one that leads back to zero: the other side's limit is not looked
/// at, because reducing a position must never be denied for its size.
#[inline(always)]
pub fn worst_position(
    side: Side,
    net: i64,
    open: u64,
    growth: u32,
    long_max: Option<i64>,
    short_max: Option<i64>,
) -> Verdict {
    if growth == 0 {
        return Ok(());
    }
    let (held, limit, reason) = match side {
        Side::Buy => (i128::from(net), long_max, DenyReason::LongAboveLimit),
        Side::Sell => (i128::from(net).saturating_neg(), short_max, DenyReason::ShortAboveLimit),
    };
    let Some(limit) = limit else { return Err(DenyReason::LimitMissing.into()) };
    // 64 bits each: the sum fits 128.
    let worst = held.saturating_add(i128::from(open)).saturating_add(i128::from(growth));
    if worst <= i128::from(limit) { Ok(()) } else { Err(Denial::beyond(reason, limit, worst)) }
}
