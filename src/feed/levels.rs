//! The price levels of all sides of all books: each side a sorted array, best last, in memory that all share.
//!
//! Changes happen near the touch, so they move few levels. A side's few levels lie behind its head, in the same two cache
//! lines; when it outgrows them it moves to a chunk of a common pool, then to a larger one, and back when it shrinks. So the
//! sides of many books lie close together: what a change costs is cache misses, and little else.
//!
//! A side holds its best levels; what lies further out than there is room for is spilled: only counted, and known to the
//! order table alone. Nothing worse than the array's worst level enters it while anything is spilled, so what the array
//! shows is always complete down to its worst level.

use crate::runtime::prefetch;
use crate::types::{Price, Side, Symbol};

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

/// Levels behind a side's head: class 0. Chunks of the pool are of class 1 and up, each twice as large as the one before.
const NEAR_LEVELS: usize = 7;
/// No side has more levels than 16 bits count.
const CLASSES: usize = 14;
const LEVELS_MAX: usize = 65_535;
/// End of a list of free chunks.
const NONE: u32 = u32::MAX;

/// One side of one book.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
struct Ladder {
    /// The book's: whoever looks for the side wants to know whether it is the right one.
    symbol: Symbol,
    /// Its chunk in the pool, if it is of class 1 or up.
    start: u32,
    len: u16,
    class: u8,
    /// Whether it has orders beyond its levels.
    is_spilled: bool,
    near: [Level; NEAR_LEVELS],
}

const _: () = assert!(size_of::<Ladder>() == 128, "a small side is two cache lines");

impl Ladder {
    fn of(symbol: Symbol) -> Ladder {
        let near = [VACANT; NEAR_LEVELS];
        Ladder { symbol, start: 0, len: 0, class: 0, is_spilled: false, near }
    }

    #[inline]
    fn levels<'a>(&'a self, pool: &'a [Level]) -> &'a [Level] {
        let len = usize::from(self.len);
        if self.class == 0 { &self.near[..len] } else { &pool[place(self.start)..][..len] }
    }

    /// Its levels and the room for more.
    #[inline]
    fn room<'a>(&'a mut self, pool: &'a mut [Level]) -> &'a mut [Level] {
        if self.class == 0 {
            &mut self.near
        } else {
            &mut pool[place(self.start)..][..chunk_levels(self.class)]
        }
    }
}

/// Where one side is among all.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideIndex(usize);

impl SideIndex {
    /// That of a book's side.
    #[inline]
    pub(super) fn of(book: usize, side: Side) -> SideIndex {
        SideIndex(2 * book + usize::from(side == Side::Sell))
    }
}

/// The levels of all sides.
#[derive(Debug)]
pub(super) struct Levels {
    sides: Vec<Ladder>,
    /// Orders beyond a side's levels.
    spilled: Vec<u32>,
    pool: Box<[Level]>,
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

/// Levels of a chunk of a class, or of a head.
const fn chunk_levels(class: u8) -> usize {
    if class == 0 { NEAR_LEVELS } else { 8 << class }
}

impl Levels {
    /// Room for `books` books whose sides have at most `levels_max` levels and that together hold at most `orders_max`
    /// orders. More than 65,535 levels a side has no room for.
    ///
    /// # Panics
    /// If a side has no room for a level, or there are more levels than 32 bits count.
    pub(super) fn new(levels_max: usize, books: usize, orders_max: usize) -> Levels {
        assert!(levels_max > 0, "a side has room for a level");
        let levels_max = levels_max.min(LEVELS_MAX);
        // A side's chunk is at least a quarter full when it moves there, and there are no more levels than orders. More than
        // one chunk of each size for every side is no use.
        let chunk_max = levels_max.next_power_of_two().max(16);
        let pool = orders_max.saturating_mul(4).max(2 * chunk_max).min(books * 4 * chunk_max);
        let pool = if levels_max > NEAR_LEVELS { pool } else { 0 };
        assert!(u32::try_from(pool).is_ok_and(|total| total < NONE), "{pool} levels");
        Levels {
            sides: Vec::with_capacity(2 * books),
            spilled: vec![0; 2 * books],
            pool: vec![VACANT; pool].into_boxed_slice(),
            free: [NONE; CLASSES],
            unused: 0,
            levels_max,
        }
    }

    /// Adds the two sides of one more book.
    pub(super) fn open(&mut self, symbol: Symbol) {
        self.sides.extend([Ladder::of(symbol); 2]);
    }

    /// The symbol of a side's book.
    #[inline]
    pub(super) fn symbol(&self, side: SideIndex) -> Symbol {
        self.sides[side.0].symbol
    }

    /// Orders of a side, those beyond its levels too.
    pub(super) fn order_count(&self, side: SideIndex) -> u32 {
        let levels = self.sides[side.0].levels(&self.pool);
        levels.iter().map(|level| level.orders).sum::<u32>() + self.spilled[side.0]
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
    pub(super) fn add(&mut self, side: SideIndex, rank: Rank, shares: u32) -> bool {
        let ladder = &mut self.sides[side.0];
        let len = usize::from(ladder.len);
        let levels = &mut ladder.room(&mut self.pool)[..len];
        match Levels::find(levels, rank) {
            Ok(at) => {
                let level = &mut levels[at];
                level.shares += u64::from(shares);
                level.orders += 1;
                false
            }
            Err(at) => self.insert(side, at, Level { rank, orders: 1, shares: u64::from(shares) }),
        }
    }

    /// Puts a level in at `at`.
    #[inline]
    fn insert(&mut self, side: SideIndex, at: usize, level: Level) -> bool {
        let ladder = &mut self.sides[side.0];
        let len = usize::from(ladder.len);
        if at == 0 && ladder.is_spilled {
            self.spilled[side.0] += 1;
            return true;
        }
        let has_room = len < chunk_levels(ladder.class);
        if len == self.levels_max || !(has_room || self.grow(side)) {
            return self.spill(side, at, level);
        }
        let ladder = &mut self.sides[side.0];
        ladder.len += 1;
        let levels = &mut ladder.room(&mut self.pool)[..=len];
        // By hand: a few levels at most, mostly none, for which a call to move memory is dear.
        let mut hole = len;
        while hole > at {
            levels[hole] = levels[hole - 1];
            hole -= 1;
        }
        levels[at] = level;
        false
    }

    /// There is no room for one more level: the worst goes.
    #[cold]
    fn spill(&mut self, side: SideIndex, at: usize, level: Level) -> bool {
        let ladder = &mut self.sides[side.0];
        ladder.is_spilled = true;
        if at == 0 {
            self.spilled[side.0] += 1;
            return true;
        }
        let levels = ladder.room(&mut self.pool);
        self.spilled[side.0] += levels[0].orders;
        levels.copy_within(1..at, 0);
        levels[at - 1] = level;
        true
    }

    /// Takes `shares` off the level at `rank`, and an order if `order_gone`. `true`: the array is empty while there are
    /// spilled orders, so it must be filled again.
    #[inline]
    pub(super) fn reduce(
        &mut self,
        side: SideIndex,
        rank: Rank,
        shares: u32,
        order_gone: bool,
    ) -> bool {
        let ladder = &mut self.sides[side.0];
        let len = usize::from(ladder.len);
        let levels = &mut ladder.room(&mut self.pool)[..len];
        if let Ok(at) = Levels::find(levels, rank) {
            let level = &mut levels[at];
            level.shares -= u64::from(shares);
            level.orders -= u32::from(order_gone);
            if level.orders == 0 {
                assert!(level.shares == 0, "{} shares without an order", level.shares);
                for place in at + 1..len {
                    levels[place - 1] = levels[place];
                }
                ladder.len -= 1;
                if ladder.class > 0 && 4 * usize::from(ladder.len) <= chunk_levels(ladder.class) {
                    self.shrink(side);
                }
            }
        } else {
            self.reduce_spilled(side, order_gone);
        }
        let ladder = &self.sides[side.0];
        ladder.len == 0 && ladder.is_spilled
    }

    #[cold]
    fn reduce_spilled(&mut self, side: SideIndex, order_gone: bool) {
        assert!(self.spilled[side.0] > 0, "an order stands in no level");
        self.spilled[side.0] -= u32::from(order_gone);
        self.sides[side.0].is_spilled = self.spilled[side.0] > 0;
    }

    /// Moves a side to a chunk of about twice the size. `false`: there is none.
    #[cold]
    fn grow(&mut self, side: SideIndex) -> bool {
        let class = self.sides[side.0].class + 1;
        let Some(start) = self.take_chunk(class) else { return false };
        self.move_to(side, start, class);
        true
    }

    /// Moves a side to a chunk of half the size or behind its head; it stays where it is if there is no such chunk.
    #[cold]
    fn shrink(&mut self, side: SideIndex) {
        let class = self.sides[side.0].class - 1;
        let start = if class == 0 { Some(0) } else { self.take_chunk(class) };
        if let Some(start) = start {
            self.move_to(side, start, class);
        }
    }

    fn move_to(&mut self, side: SideIndex, start: u32, class: u8) {
        let ladder = &mut self.sides[side.0];
        let (old_start, old_class, len) = (ladder.start, ladder.class, usize::from(ladder.len));
        (ladder.start, ladder.class) = (start, class);
        let old = place(old_start)..place(old_start) + len;
        if old_class == 0 {
            self.pool[place(start)..][..len].copy_from_slice(&ladder.near[..len]);
        } else if class == 0 {
            ladder.near[..len].copy_from_slice(&self.pool[old]);
        } else {
            self.pool.copy_within(old, place(start));
        }
        self.give_chunk(old_start, old_class);
    }

    /// A chunk of a class: one that was given back, one never used, or half of a larger one.
    fn take_chunk(&mut self, class: u8) -> Option<u32> {
        let first = self.free[usize::from(class)];
        if first != NONE {
            let next = self.pool[place(first)].shares;
            self.free[usize::from(class)] = u32::try_from(next).unwrap_or(NONE);
            return Some(first);
        }
        let size = chunk_levels(class);
        if self.unused + size <= self.pool.len() {
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
            // That behind a head is its side's alone.
            return;
        }
        let next = u64::from(self.free[usize::from(class)]);
        self.pool[place(start)] = Level { shares: next, ..VACANT };
        self.free[usize::from(class)] = start;
    }

    /// Best price and the shares there.
    #[inline]
    pub(super) fn best(&self, book: usize, side: Side) -> Option<(Price, u64)> {
        let level = self.sides[SideIndex::of(book, side).0].levels(&self.pool).last()?;
        Some((level.rank.price(side), level.shares))
    }

    /// Asks for a side's head and what is behind it.
    #[inline]
    pub(super) fn prefetch_head(&self, side: SideIndex) {
        prefetch(&self.sides, side.0);
        // The second half of its two lines.
        if let Some(ladder) = self.sides.get(side.0) {
            prefetch(&ladder.near, 4);
        }
    }

    /// Asks for a side's best levels, where they are not behind its head.
    #[inline]
    pub(super) fn prefetch_levels(&self, side: SideIndex) {
        if let Some(ladder) = self.sides.get(side.0)
            && ladder.class > 0
        {
            let end = place(ladder.start) + usize::from(ladder.len);
            prefetch(&self.pool, end.wrapping_sub(1));
            prefetch(&self.pool, end.wrapping_sub(5));
        }
    }

    /// Price, shares and orders of the levels in the array, best first.
    pub(super) fn iter(
        &self,
        book: usize,
        side: Side,
    ) -> impl Iterator<Item = (Price, u64, u32)> + '_ {
        let levels = self.sides[SideIndex::of(book, side).0].levels(&self.pool).iter().rev();
        levels.map(move |level| (level.rank.price(side), level.shares, level.orders))
    }

    /// Takes all levels off a side, the spilled ones too.
    pub(super) fn clear(&mut self, side: SideIndex) {
        let Ladder { symbol, start, class, .. } = self.sides[side.0];
        self.give_chunk(start, class);
        self.sides[side.0] = Ladder::of(symbol);
        self.spilled[side.0] = 0;
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
            let mut sides = vec![Plain::new(); SIDES];
            (0..SIDES).for_each(|_| levels.open(Symbol::new("S").expect("a symbol")));
            for (side, price, add) in steps {
                let plain = &mut sides[side];
                let of_side = SideIndex::of(side, Side::Buy);
                // All orders at a price have the same number of shares, so that any of them may leave.
                let (of, shares) = (price + 1, u64::from(price + 1));
                if add {
                    levels.add(of_side, Rank(price), of);
                    let level = plain.entry(price).or_default();
                    *level = (level.0 + 1, level.1 + shares);
                } else if let Some(level) = plain.get_mut(&price) {
                    *level = (level.0 - 1, level.1 - shares);
                    if level.0 == 0 {
                        plain.remove(&price);
                    }
                    if levels.reduce(of_side, Rank(price), of, true) {
                        levels.clear(of_side);
                        for (&price, &(orders, _)) in plain.iter() {
                            (0..orders).for_each(|_| {
                                levels.add(of_side, Rank(price), price + 1);
                            });
                        }
                    }
                }
                for (side, plain) in sides.iter().enumerate() {
                    let kept: Vec<_> = levels.iter(side, Side::Buy).collect();
                    let best = |(&price, &(orders, shares)): (&u32, &(u32, u64))| {
                        (Price::from_itch4(price), shares, orders)
                    };
                    let all: Vec<_> = plain.iter().rev().map(best).collect();
                    prop_assert_eq!(&kept, &all[..kept.len()]);
                    prop_assert_eq!(kept.is_empty(), all.is_empty());
                    let beyond: u32 = all[kept.len()..].iter().map(|level| level.2).sum();
                    prop_assert_eq!(levels.spilled[2 * side], beyond);
                    let orders: u32 = all.iter().map(|level| level.2).sum();
                    prop_assert_eq!(levels.order_count(SideIndex::of(side, Side::Buy)), orders);
                }
            }
        }
    }
}
