//! The price levels of all sides of all books: each side a sorted array, best last, in memory that all share.
//!
//! Changes happen near the touch, so they move few levels. A side has a small chunk of its own, its home; when it outgrows
//! that it moves to a larger one of a common pool, and back when it shrinks. So the sides of many books lie close together:
//! what a change costs is cache misses, and little else.
//!
//! A side holds its best levels; what lies further out than there is room for is spilled: only counted, and known to the
//! order table alone. Nothing worse than the array's worst level enters it while anything is spilled, so what the array
//! shows is always complete down to its worst level.

use crate::runtime::prefetch;
use crate::types::{Price, Side};

/// A price as ITCH has it, turned so that larger is better on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u32);

impl Rank {
    /// The rank of a `Price(4)` on `side`.
    #[inline]
    pub(super) fn of(price: u32, side: Side) -> Rank {
        Rank(match side {
            Side::Buy => price,
            Side::Sell => !price,
        })
    }

    #[inline]
    fn price(self, side: Side) -> Price {
        Price::from_itch4(match side {
            Side::Buy => self.0,
            Side::Sell => !self.0,
        })
    }
}

/// All orders at one price. In a chunk that is free, the first level's `shares` is the next free chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    rank: Rank,
    orders: u32,
    shares: u64,
}

const _: () = assert!(size_of::<Level>() == 16, "four levels share a cache line");

const VACANT: Level = Level { rank: Rank(0), orders: 0, shares: 0 };

/// Levels of a home, which is of class 0; each class has chunks twice as large as the one before.
const HOME_LEVELS: usize = 8;
/// No side has more levels than there are prices.
const CLASSES: usize = 30;
/// End of a list of free chunks.
const NONE: u32 = u32::MAX;

/// One side of one book: where its levels are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ladder {
    start: u32,
    len: u32,
    /// Orders beyond the array.
    spilled: u32,
    home: u32,
    class: u8,
}

impl Ladder {
    /// The side at `place` among all, without levels.
    pub(super) fn new(place: usize) -> Ladder {
        let home = number(place * HOME_LEVELS);
        Ladder { start: home, len: 0, spilled: 0, home, class: 0 }
    }

    #[inline]
    fn range(&self) -> std::ops::Range<usize> {
        place(self.start)..place(self.start) + place(self.len)
    }
}

/// The levels of all sides.
#[derive(Debug)]
pub(super) struct Levels {
    levels: Box<[Level]>,
    /// First free chunk of each class.
    free: [u32; CLASSES],
    /// Chunks begin here that were never used.
    unused: usize,
    levels_max: usize,
}

/// Levels looked at one by one from the touch before the rest is searched by halves.
const NEAR: usize = 8;

#[inline]
#[allow(
    clippy::as_conversions,
    reason = "there is no `From`; a u32 fits every usize there is here"
)]
const fn place(number: u32) -> usize {
    number as usize
}

#[inline]
fn number(place: usize) -> u32 {
    u32::try_from(place).expect("no more levels than 32 bits count")
}

const fn chunk_levels(class: u8) -> usize {
    HOME_LEVELS << class
}

impl Levels {
    /// Room for `sides` sides of at most `levels_max` levels that together hold at most `orders_max` orders.
    ///
    /// # Panics
    /// If a side has no room for a level, or there are more levels than 32 bits count.
    pub(super) fn new(levels_max: usize, sides: usize, orders_max: usize) -> Levels {
        assert!(levels_max > 0, "a side has room for a level");
        // Beyond its home a side's chunk is at least a quarter full when it moves there, and there are no more levels than
        // orders. More than one chunk of each size for every side is no use.
        let chunk_max = levels_max.next_power_of_two().max(HOME_LEVELS);
        let pool = orders_max.saturating_mul(4).max(2 * chunk_max).min(sides * 2 * chunk_max);
        let total = sides * HOME_LEVELS + if chunk_max > HOME_LEVELS { pool } else { 0 };
        assert!(u32::try_from(total).is_ok_and(|total| total < NONE), "{total} levels");
        Levels {
            levels: vec![VACANT; total].into_boxed_slice(),
            free: [NONE; CLASSES],
            unused: sides * HOME_LEVELS,
            levels_max,
        }
    }

    /// Where `rank` is among `levels`, or where it would be inserted.
    #[inline]
    fn find(levels: &[Level], rank: Rank) -> Result<usize, usize> {
        let mut at = levels.len();
        let near = at.saturating_sub(NEAR);
        while at > near {
            let level = levels[at - 1].rank;
            if level == rank {
                return Ok(at - 1);
            }
            if level < rank {
                return Err(at);
            }
            at -= 1;
        }
        levels[..at].binary_search_by_key(&rank, |level| level.rank)
    }

    /// Adds an order of `shares`. `true`: an order was spilled by it.
    #[inline]
    pub(super) fn add(&mut self, ladder: &mut Ladder, rank: Rank, shares: u32) -> bool {
        let levels = &mut self.levels[ladder.range()];
        match Levels::find(levels, rank) {
            Ok(at) => {
                let level = &mut levels[at];
                level.shares += u64::from(shares);
                level.orders += 1;
                false
            }
            Err(at) => {
                self.insert(ladder, at, Level { rank, orders: 1, shares: u64::from(shares) })
            }
        }
    }

    /// Puts a level in at `at`.
    #[inline]
    fn insert(&mut self, ladder: &mut Ladder, at: usize, level: Level) -> bool {
        let len = place(ladder.len);
        if at == 0 && ladder.spilled > 0 {
            ladder.spilled += 1;
            return true;
        }
        let has_room = len < chunk_levels(ladder.class);
        if len == self.levels_max || !(has_room || self.grow(ladder)) {
            return self.spill(ladder, at, level);
        }
        let start = place(ladder.start);
        let levels = &mut self.levels[start..=start + len];
        // By hand: a few levels at most, mostly none, for which a call to move memory is dear.
        let mut hole = len;
        while hole > at {
            levels[hole] = levels[hole - 1];
            hole -= 1;
        }
        levels[at] = level;
        ladder.len += 1;
        false
    }

    /// There is no room for one more level: the worst goes.
    #[cold]
    fn spill(&mut self, ladder: &mut Ladder, at: usize, level: Level) -> bool {
        if at == 0 {
            ladder.spilled += 1;
            return true;
        }
        let levels = &mut self.levels[ladder.range()];
        ladder.spilled += levels[0].orders;
        levels.copy_within(1..at, 0);
        levels[at - 1] = level;
        true
    }

    /// Takes `shares` off the level at `rank`, and an order if `order_gone`. `true`: the array is empty while there are
    /// spilled orders, so it must be filled again.
    #[inline]
    pub(super) fn reduce(
        &mut self,
        ladder: &mut Ladder,
        rank: Rank,
        shares: u32,
        order_gone: bool,
    ) -> bool {
        let levels = &mut self.levels[ladder.range()];
        if let Ok(at) = Levels::find(levels, rank) {
            let level = &mut levels[at];
            level.shares -= u64::from(shares);
            level.orders -= u32::from(order_gone);
            if level.orders == 0 {
                assert!(level.shares == 0, "{} shares without an order", level.shares);
                for place in at + 1..levels.len() {
                    levels[place - 1] = levels[place];
                }
                ladder.len -= 1;
                let is_sparse = place(ladder.len) * 4 <= chunk_levels(ladder.class);
                if is_sparse && ladder.class > 0 {
                    self.shrink(ladder);
                }
            }
        } else {
            assert!(ladder.spilled > 0, "an order stands in no level");
            ladder.spilled -= u32::from(order_gone);
        }
        ladder.len == 0 && ladder.spilled > 0
    }

    /// Moves a side to a chunk of twice the size. `false`: there is none.
    #[cold]
    fn grow(&mut self, ladder: &mut Ladder) -> bool {
        let class = ladder.class + 1;
        let Some(start) = self.take_chunk(class) else { return false };
        self.move_to(ladder, start, class);
        true
    }

    /// Moves a side to a chunk of half the size; it stays where it is if there is none.
    #[cold]
    fn shrink(&mut self, ladder: &mut Ladder) {
        let class = ladder.class - 1;
        let start = if class == 0 { Some(ladder.home) } else { self.take_chunk(class) };
        if let Some(start) = start {
            self.move_to(ladder, start, class);
        }
    }

    fn move_to(&mut self, ladder: &mut Ladder, start: u32, class: u8) {
        self.levels.copy_within(ladder.range(), place(start));
        self.give_chunk(ladder.start, ladder.class);
        (ladder.start, ladder.class) = (start, class);
    }

    /// A chunk of a class: one that was given back, one never used, or half of a larger one.
    fn take_chunk(&mut self, class: u8) -> Option<u32> {
        let first = self.free[usize::from(class)];
        if first != NONE {
            let next = self.levels[place(first)].shares;
            self.free[usize::from(class)] = u32::try_from(next).unwrap_or(NONE);
            return Some(first);
        }
        let size = chunk_levels(class);
        if self.unused + size <= self.levels.len() {
            let start = number(self.unused);
            self.unused += size;
            return Some(start);
        }
        let larger = (class + 1..).take_while(|&class| usize::from(class) < CLASSES);
        let larger = larger.into_iter().find(|&class| self.free[usize::from(class)] != NONE)?;
        let start = self.take_chunk(larger)?;
        for class in (class..larger).rev() {
            self.give_chunk(start + number(chunk_levels(class)), class);
        }
        Some(start)
    }

    fn give_chunk(&mut self, start: u32, class: u8) {
        if class == 0 {
            // A home is its side's alone.
            return;
        }
        let next = u64::from(self.free[usize::from(class)]);
        self.levels[place(start)] = Level { shares: next, ..VACANT };
        self.free[usize::from(class)] = start;
    }

    /// Best price and the shares there.
    #[inline]
    pub(super) fn best(&self, ladder: &Ladder, side: Side) -> Option<(Price, u64)> {
        let level = self.levels[ladder.range()].last()?;
        Some((level.rank.price(side), level.shares))
    }

    /// Asks for the two lines that hold a side's best levels.
    #[inline]
    pub(super) fn prefetch(&self, ladder: &Ladder) {
        let end = place(ladder.start) + place(ladder.len);
        prefetch(&self.levels, end.wrapping_sub(1));
        prefetch(&self.levels, end.wrapping_sub(5));
    }

    /// Price, shares and orders of the levels in the array, best first.
    pub(super) fn iter(
        &self,
        ladder: &Ladder,
        side: Side,
    ) -> impl Iterator<Item = (Price, u64, u32)> + '_ {
        let levels = self.levels[ladder.range()].iter().rev();
        levels.map(move |level| (level.rank.price(side), level.shares, level.orders))
    }

    /// Takes all levels off a side, the spilled ones too.
    pub(super) fn clear(&mut self, ladder: &mut Ladder) {
        self.give_chunk(ladder.start, ladder.class);
        *ladder = Ladder { start: ladder.home, len: 0, spilled: 0, home: ladder.home, class: 0 };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    const SIDES: usize = 3;

    /// Orders and shares by price, best last.
    type Plain = BTreeMap<u32, (u32, u64)>;

    proptest! {
        /// Orders come at a price, or leave at one that has some; prices are few, so that levels come and go.
        #[test]
        fn the_levels_agree_with_maps(
            steps in proptest::collection::vec((0..SIDES, 0..90_u32, any::<bool>()), 0..900),
            levels_max in 1..100_usize,
            orders_max in 1..60_usize,
        ) {
            let mut levels = Levels::new(levels_max, SIDES, orders_max);
            let mut sides: Vec<(Ladder, Plain)> =
                (0..SIDES).map(|side| (Ladder::new(side), Plain::new())).collect();
            for (side, price, add) in steps {
                let (ladder, plain) = &mut sides[side];
                // All orders at a price have the same number of shares, so that any of them may leave.
                let (of, shares) = (price + 1, u64::from(price + 1));
                if add {
                    levels.add(ladder, Rank(price), of);
                    let level = plain.entry(price).or_default();
                    *level = (level.0 + 1, level.1 + shares);
                } else if let Some(level) = plain.get_mut(&price) {
                    *level = (level.0 - 1, level.1 - shares);
                    if level.0 == 0 {
                        plain.remove(&price);
                    }
                    if levels.reduce(ladder, Rank(price), of, true) {
                        levels.clear(ladder);
                        for (&price, &(orders, _)) in plain.iter() {
                            (0..orders).for_each(|_| {
                                levels.add(ladder, Rank(price), price + 1);
                            });
                        }
                    }
                }
                for (ladder, plain) in &sides {
                    let kept: Vec<_> = levels.iter(ladder, Side::Buy).collect();
                    let best = |(&price, &(orders, shares)): (&u32, &(u32, u64))| {
                        (Price::from_itch4(price), shares, orders)
                    };
                    let all: Vec<_> = plain.iter().rev().map(best).collect();
                    prop_assert_eq!(&kept, &all[..kept.len()]);
                    prop_assert_eq!(kept.is_empty(), all.is_empty());
                    let beyond: u32 = all[kept.len()..].iter().map(|level| level.2).sum();
                    prop_assert_eq!(ladder.spilled, beyond);
                }
            }
        }
    }
}
