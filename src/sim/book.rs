//! One side of one instrument's book: price levels in a sorted array, the best one last.

use crate::sim::slab::Ends;
use crate::types::{Price, Side};

/// The orders at one price, in the order in which they trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// Shares of all its orders.
    pub qty: u64,
    /// How many orders, at least 1.
    pub count: u32,
    /// First and last of its queue.
    pub queue: Ends,
}

/// The levels of one side. Near the best price, where most happens, a new level moves few others.
#[derive(Debug)]
pub struct BookSide {
    side: Side,
    levels: Vec<Level>,
    levels_max: usize,
}

impl BookSide {
    /// A side that holds at most `levels_max` prices.
    pub fn new(side: Side, levels_max: usize) -> BookSide {
        BookSide { side, levels: Vec::with_capacity(levels_max), levels_max }
    }

    /// Whether `a` trades before `b` on this side.
    #[inline]
    fn better(&self, a: Price, b: Price) -> bool {
        match self.side {
            Side::Buy => a > b,
            Side::Sell => a < b,
        }
    }

    /// Whether an order of the other side with limit `limit` (none: any price) trades with `price` on this side.
    #[inline]
    pub fn trades_at(&self, price: Price, limit: Option<Price>) -> bool {
        limit.is_none_or(|limit| !self.better(limit, price))
    }

    #[inline]
    fn position(&self, price: Price) -> Result<usize, usize> {
        let index = self.levels.partition_point(|level| self.better(price, level.price));
        match self.levels.get(index) {
            Some(level) if level.price == price => Ok(index),
            Some(_) | None => Err(index),
        }
    }

    /// Whether an order at `price` finds a level or room for one.
    #[inline]
    pub fn has_room(&self, price: Price) -> bool {
        self.levels.len() < self.levels_max || self.position(price).is_ok()
    }

    /// The best level.
    #[inline]
    pub fn best(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// The best level, to be changed.
    #[inline]
    pub fn best_mut(&mut self) -> Option<&mut Level> {
        self.levels.last_mut()
    }

    /// The level at `price`, which must be there.
    ///
    /// # Panics
    /// If it is not.
    #[inline]
    pub fn level_mut(&mut self, price: Price) -> &mut Level {
        let index = self.position(price).expect("a resting order has a level");
        &mut self.levels[index]
    }

    /// The level at `price`, made if it is not there.
    ///
    /// # Panics
    /// If there is no room: ask [`BookSide::has_room`] first.
    #[inline]
    pub fn level_or_new(&mut self, price: Price) -> &mut Level {
        let index = match self.position(price) {
            Ok(index) => index,
            Err(index) => {
                assert!(self.levels.len() < self.levels_max, "a level was added to a full book");
                let level = Level { price, qty: 0, count: 0, queue: Ends::EMPTY };
                self.levels.insert(index, level);
                index
            }
        };
        &mut self.levels[index]
    }

    /// Takes the level at `price` away if its last order has left.
    #[inline]
    pub fn drop_if_empty(&mut self, price: Price) {
        if let Ok(index) = self.position(price)
            && self.levels[index].count == 0
        {
            assert_eq!(self.levels[index].qty, 0, "an empty level holds no shares");
            self.levels.remove(index);
        }
    }

    /// The levels, best first.
    pub fn levels(&self) -> impl ExactSizeIterator<Item = &Level> {
        self.levels.iter().rev()
    }
}
