//! One side of one book: price levels in a sorted array, best last, with a bounded number of them.
//!
//! Changes happen near the touch, so they move few levels. The array holds the best levels there are; what lies further
//! out than it has room for is spilled: only counted, and known to the order table alone. Nothing worse than the array's
//! worst level enters it while anything is spilled, so what the array shows is always complete down to its worst level.

use crate::types::{Price, Side};

/// All orders at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Larger is better.
    rank: i64,
    pub(super) shares: u64,
    pub(super) orders: u32,
}

#[derive(Debug)]
pub(super) struct Levels {
    side: Side,
    levels: Vec<Level>,
    levels_max: usize,
    /// Orders beyond the array.
    spilled: u32,
}

/// Levels looked at one by one from the touch before the rest is searched by halves.
const NEAR: usize = 8;

impl Levels {
    pub(super) fn new(side: Side, levels_max: usize) -> Levels {
        assert!(levels_max > 0, "a side has room for a level");
        Levels { side, levels: Vec::with_capacity(levels_max), levels_max, spilled: 0 }
    }

    #[inline]
    fn rank(&self, price: Price) -> i64 {
        match self.side {
            Side::Buy => price.units(),
            Side::Sell => !price.units(), // reverses the order and, unlike negation, never overflows
        }
    }

    #[inline]
    fn price(&self, rank: i64) -> Price {
        Price::from_units(match self.side {
            Side::Buy => rank,
            Side::Sell => !rank,
        })
    }

    /// Where `rank` is, or where it would be inserted.
    #[inline]
    fn find(&self, rank: i64) -> Result<usize, usize> {
        let mut at = self.levels.len();
        let near = at.saturating_sub(NEAR);
        while at > near {
            let level = self.levels[at - 1].rank;
            if level == rank {
                return Ok(at - 1);
            }
            if level < rank {
                return Err(at);
            }
            at -= 1;
        }
        self.levels[..at].binary_search_by_key(&rank, |level| level.rank)
    }

    /// Adds an order of `shares`. `true`: an order was spilled by it.
    #[inline]
    pub(super) fn add(&mut self, price: Price, shares: u32) -> bool {
        let rank = self.rank(price);
        let at = match self.find(rank) {
            Ok(at) => {
                let level = &mut self.levels[at];
                level.shares += u64::from(shares);
                level.orders += 1;
                return false;
            }
            Err(at) => at,
        };
        let level = Level { rank, shares: u64::from(shares), orders: 1 };
        let full = self.levels.len() == self.levels_max;
        if at == 0 && (full || self.spilled > 0) {
            self.spilled += 1;
            return true;
        }
        if full {
            self.spilled += self.levels[0].orders;
            self.levels.copy_within(1..at, 0);
            self.levels[at - 1] = level;
            return true;
        }
        self.levels.insert(at, level);
        false
    }

    /// Takes `shares` off the level at `price`, and an order if `order_gone`. `true`: the array is empty while there are
    /// spilled orders, so it must be filled again.
    #[inline]
    pub(super) fn reduce(&mut self, price: Price, shares: u32, order_gone: bool) -> bool {
        if let Ok(at) = self.find(self.rank(price)) {
            let level = &mut self.levels[at];
            level.shares -= u64::from(shares);
            level.orders -= u32::from(order_gone);
            if level.orders == 0 {
                assert!(level.shares == 0, "{} shares without an order", level.shares);
                self.levels.remove(at);
            }
        } else {
            assert!(self.spilled > 0, "an order at {price} stands in no level");
            self.spilled -= u32::from(order_gone);
        }
        self.levels.is_empty() && self.spilled > 0
    }

    #[inline]
    pub(super) fn best(&self) -> Option<(Price, u64)> {
        self.levels.last().map(|level| (self.price(level.rank), level.shares))
    }

    /// Price, shares and orders of the levels in the array, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Price, u64, u32)> + '_ {
        self.levels.iter().rev().map(|level| (self.price(level.rank), level.shares, level.orders))
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
        self.spilled = 0;
    }
}
