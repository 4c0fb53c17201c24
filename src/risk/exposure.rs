//! What an account holds and has open in one instrument, and its row of identical orders (C18).
#![deny(clippy::arithmetic_side_effects)]

use crate::risk::limits::DuplicateConfig;
use crate::types::{Nanos, OrdType, Price, PriceOrNone, Side};

/// What makes orders of one account in one instrument identical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    pub(super) side: Side,
    pub(super) ord_type: OrdType,
    pub(super) price: PriceOrNone,
    pub(super) qty: u32,
}

/// C18: the row of identical orders that the last order belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    last: Option<(Likeness, Nanos)>,
    count: u32,
}

impl Row {
    /// Counts an order, whatever becomes of it, and returns its place in its row, from 1.
    #[inline]
    pub(super) fn place(&mut self, now: Nanos, order: Likeness, config: DuplicateConfig) -> u32 {
        let goes_on =
            self.last.is_some_and(|(last, at)| last == order && now.since(at) <= config.window_ns);
        self.count = if goes_on { self.count.saturating_add(1) } else { 1 };
        self.last = Some((order, now));
        self.count
    }
}

/// A limit that is never negative, and may be missing: half as large as an [`Option`] of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit<T>(T);

impl<T: Copy + Default + Ord + From<i8>> Limit<T> {
    /// # Panics
    /// If it is negative, which the configuration refuses.
    pub(super) fn of(limit: Option<T>) -> Limit<T> {
        assert!(limit.is_none_or(|limit| limit >= T::default()), "a limit is not negative");
        Limit(limit.unwrap_or(T::from(-1)))
    }

    #[inline]
    pub(super) fn get(self) -> Option<T> {
        (self.0 >= T::default()).then_some(self.0)
    }
}

/// Holding, open quantity and limits of one account in one instrument: what an order is checked against, on one pair of cache
/// lines.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(super) struct Exposure {
    pub(super) account: usize,
    pub(super) instrument: usize,
    /// Net position; the venue's word, beyond any limit if need be.
    pub(super) net: i64,
    /// Reserved for open buys and sells: may still fill.
    pub(super) open_buys: u64,
    pub(super) open_sells: u64,
    pub(super) row: Row,
    pub(super) qty_max: Option<u32>,
    pub(super) long_max: Limit<i64>,
    pub(super) short_max: Limit<i64>,
    pub(super) notional_max: Limit<i128>,
}

const _: () = assert!(size_of::<Exposure>() == 128, "an order is checked against one row");

/// What was traded on an exposure: told, and never compared with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traded {
    pub(super) bought: u64,
    pub(super) sold: u64,
    pub(super) bought_notional: i128,
    pub(super) sold_notional: i128,
}

impl Traded {
    /// A trade: the venue's word. Sums stop at their largest value rather than wrap.
    #[inline]
    pub(super) fn add(&mut self, side: Side, qty: u32, price: Price, multiplier: u32) {
        let worth = i128::from(price.units())
            .saturating_mul(i128::from(qty))
            .saturating_mul(i128::from(multiplier));
        match side {
            Side::Buy => {
                self.bought = self.bought.saturating_add(u64::from(qty));
                self.bought_notional = self.bought_notional.saturating_add(worth);
            }
            Side::Sell => {
                self.sold = self.sold.saturating_add(u64::from(qty));
                self.sold_notional = self.sold_notional.saturating_add(worth);
            }
        }
    }
}

impl Exposure {
    /// What is open on `side`.
    #[inline]
    pub(super) fn open(&self, side: Side) -> u64 {
        match side {
            Side::Buy => self.open_buys,
            Side::Sell => self.open_sells,
        }
    }

    /// Reserves `qty` on `side`.
    ///
    /// # Panics
    /// Beyond 2^64, which the bound of the order table keeps away.
    #[inline]
    pub(super) fn reserve(&mut self, side: Side, qty: u32) {
        let open = match side {
            Side::Buy => &mut self.open_buys,
            Side::Sell => &mut self.open_sells,
        };
        *open = open.checked_add(u64::from(qty)).expect("open orders are bounded in number");
    }

    /// Releases `qty` on `side`.
    ///
    /// # Panics
    /// If less is reserved: a bug of ours.
    #[inline]
    pub(super) fn release(&mut self, side: Side, qty: u32) {
        let open = match side {
            Side::Buy => &mut self.open_buys,
            Side::Sell => &mut self.open_sells,
        };
        *open = open.checked_sub(u64::from(qty)).expect("what is released was reserved");
    }

    /// A trade: the venue's word. The position stops at its largest value rather than wrap.
    #[inline]
    pub(super) fn trade(&mut self, side: Side, qty: u32) {
        self.net = match side {
            Side::Buy => self.net.saturating_add(i64::from(qty)),
            Side::Sell => self.net.saturating_sub(i64::from(qty)),
        };
    }
}
