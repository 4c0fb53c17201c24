//! The price levels of all sides of all books.
//!
//! A side keeps its few best levels **near**: in no order, in a few cache lines of its own, where a price is found by comparing
//! all of them at once. Nearly all that happens, happens there, and it takes no branch that depends on where: to find a
//! level or to open one, to take from a level or to close it are the same few instructions. What lies further out is
//! **far**: a sorted array, best last, in a chunk of a pool that all sides share. When the near levels run out of room, the
//! worst of them go there; when few are left, some come back.
//!
//! What is beyond a side's room is **spilled**: only counted, and known to the order table alone. Nothing as bad as what was
//! spilled enters a side while anything is, so what a side shows is always complete down to its worst level.

use std::hint::select_unpredictable;

use crate::feed::order_table::ORDERS_MAX;
use crate::runtime::{ask_for_large_pages, lanes_equal, large_table, prefetch};
use crate::types::{Price, Side, Symbol};

/// A price as ITCH has it, turned so that larger is better on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u32);

impl Rank {
    /// The rank of a `Price(4)` on `side`.
    #[inline]
    pub(super) fn of(price: u32, side: Side) -> Rank {
        Rank(price ^ turn(side))
    }

    #[inline]
    fn price(self, side: Side) -> Price {
        Price::from_itch4(self.0 ^ turn(side))
    }
}

/// What turns a price into a rank and back: all bits of an offer's.
#[inline]
fn turn(side: Side) -> u32 {
    u32::from(side == Side::Sell).wrapping_neg()
}

/// The orders at one price and their shares, in one word: one subtraction takes from both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Queue(u64);

/// Bits that count shares; those above count orders.
const SHARES_BITS: u32 = 36;
/// Shares that a level has room for: 68,719,476,735.
const SHARES_MAX: u64 = (1 << SHARES_BITS) - 1;

const _: () = assert!(ORDERS_MAX < 1 << (64 - SHARES_BITS), "all orders there are, at one price");

impl Queue {
    const EMPTY: Queue = Queue(0);

    #[inline]
    fn of(shares: u32, orders: bool) -> Queue {
        Queue(u64::from(shares) | u64::from(orders) << SHARES_BITS)
    }

    #[inline]
    fn has_room(self, shares: u32) -> bool {
        self.shares() + u64::from(shares) <= SHARES_MAX
    }

    #[inline]
    const fn shares(self) -> u64 {
        self.0 & SHARES_MAX
    }

    #[inline]
    fn orders(self) -> u32 {
        u32::try_from(self.0 >> SHARES_BITS).expect("28 bits are left")
    }
}

/// A far level. In a chunk that is free, the first level's `queue` is the next free chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    rank: u32,
    queue: Queue,
}

const _: () = assert!(size_of::<Level>() == 16, "four levels share a cache line");

const VACANT: Level = Level { rank: 0, queue: Queue::EMPTY };

/// Near levels of a side at most.
const NEAR: usize = 16;
/// Near levels that go when there are too many, and far ones that come back at once.
const MOVING: usize = 4;
/// With fewer near levels than this, some come back.
const NEAR_MIN: u32 = 8;
/// Sizes of chunks, each twice the one before; the first is none at all. No side has more far levels than 16 bits count.
const CLASSES: usize = 14;
const LEVELS_MAX: usize = 65_535;
/// End of a list of free chunks.
const NONE: u32 = u32::MAX;

/// One side of one book: a cache line by which a near level is found, and three for all else; of these the third and fourth
/// are for sides with more than 4 and 12 levels.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Ladder {
    /// Ranks of the near levels, at the places that `taken` marks; 0 at the others.
    ranks: [u32; NEAR],
    /// The book's: whoever looks for the side wants to know whether it is the right one.
    symbol: Symbol,
    /// Near levels have this rank or a better one; what is far or spilled has a worse one. 0: all there is is near. Wider
    /// than a rank, as it may be one more than the largest.
    near_from: u64,
    /// Its chunk in the pool, if it is of class 1 or up.
    start: u32,
    /// Orders beyond its levels.
    spilled: u32,
    far_len: u16,
    class: u8,
    /// Places of near levels, a bit each.
    taken: u16,
    queues: [Queue; NEAR],
}

const _: () = assert!(size_of::<Ladder>() == 256, "a side is four cache lines");

impl Ladder {
    fn of(symbol: Symbol) -> Ladder {
        Ladder {
            ranks: [0; NEAR],
            symbol,
            near_from: 0,
            start: 0,
            spilled: 0,
            far_len: 0,
            class: 0,
            taken: 0,
            queues: [Queue::EMPTY; NEAR],
        }
    }

    #[inline]
    fn is_near(&self, rank: u32) -> bool {
        u64::from(rank) >= self.near_from
    }

    /// The place of the near level with this rank, as a bit; none where there is no such level.
    #[inline]
    fn place_of(&self, rank: u32) -> u16 {
        lanes_equal(&self.ranks, rank) & self.taken
    }

    /// Near levels.
    #[inline]
    const fn near_len(&self) -> u32 {
        self.taken.count_ones()
    }

    /// The best level.
    #[inline]
    fn best(&self) -> Option<Level> {
        let rank = self.ranks.iter().fold(0, |best, &rank| best.max(rank));
        let place = first(self.place_of(rank))?;
        Some(Level { rank, queue: self.queues[place] })
    }

    /// Its near levels, worst first, and how many they are.
    fn near(&self) -> ([Level; NEAR], usize) {
        let (mut levels, mut len) = ([VACANT; NEAR], 0);
        for (place, (&rank, &queue)) in self.ranks.iter().zip(&self.queues).enumerate() {
            if self.taken & (1 << place) == 0 {
                continue;
            }
            let mut at = len;
            while at > 0 && levels[at - 1].rank > rank {
                levels[at] = levels[at - 1];
                at -= 1;
            }
            levels[at] = Level { rank, queue };
            len += 1;
        }
        (levels, len)
    }

    /// Puts a level at a free place.
    fn open(&mut self, level: Level) {
        let place = first(!self.taken).expect("a free place");
        (self.ranks[place], self.queues[place]) = (level.rank, level.queue);
        self.taken |= 1 << place;
    }

    /// Makes all near levels but these go.
    fn keep(&mut self, levels: &[Level]) {
        (self.ranks, self.queues) = ([0; NEAR], [Queue::EMPTY; NEAR]);
        self.taken = 0;
        levels.iter().for_each(|level| self.open(*level));
    }

    /// Its far levels, worst first.
    #[inline]
    fn far<'a>(&self, pool: &'a [Level]) -> &'a [Level] {
        if self.class == 0 { &[] } else { &pool[place(self.start)..][..usize::from(self.far_len)] }
    }

    /// The same, and the room for more.
    #[inline]
    fn far_room<'a>(&self, pool: &'a mut [Level]) -> &'a mut [Level] {
        &mut pool[place(self.start)..][..chunk_levels(self.class)]
    }
}

/// The lowest of some places.
#[inline]
fn first(places: u16) -> Option<usize> {
    (places != 0).then(|| place(places.trailing_zeros()))
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

/// What became of an order that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It stands in a level.
    Kept,
    /// It does, or it does not, and some orders were spilled for it.
    Spilled,
    /// Nothing was changed: its level has no room for so many shares.
    LevelFull,
}

/// An order comes to a level, or it or some of its shares leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// The book's symbol, for an order that comes.
    pub(super) symbol: Symbol,
    pub(super) rank: Rank,
    /// Shares that come or leave.
    pub(super) shares: u32,
    /// Whether they come.
    pub(super) is_add: bool,
    /// Whether an order comes or leaves with them.
    pub(super) is_order: bool,
}

/// What became of a change to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// It was made.
    Made,
    /// It was made, and now no level is left while there are spilled orders: the side must be filled again.
    MadeEmpty,
    /// Nothing was done: this is for [`Levels::add`] or [`Levels::reduce`].
    Unusual,
}

/// The levels of all sides.
#[derive(Debug)]
pub(super) struct Levels {
    sides: Vec<Ladder>,
    pool: Box<[Level]>,
    /// First free chunk of each class.
    free: [u32; CLASSES],
    /// Chunks begin here that were never used.
    unused: usize,
    /// Far levels of a side at most.
    far_max: usize,
}

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

/// Levels of a chunk of a class.
const fn chunk_levels(class: u8) -> usize {
    if class == 0 { 0 } else { 8 << class }
}

impl Levels {
    /// Room for `books` books whose sides have at most `levels_max` levels, but never fewer than 16, and that together hold at
    /// most `orders_max` orders. More than 65,535 levels a side has no room for.
    ///
    /// # Panics
    /// If a side has no room for a level, or there are more levels than 32 bits count.
    pub(super) fn new(levels_max: usize, books: usize, orders_max: usize) -> Levels {
        assert!(levels_max > 0, "a side has room for a level");
        let far_max = levels_max.min(LEVELS_MAX).saturating_sub(NEAR);
        // A chunk is mostly more than half full, there are no more levels than orders, and most of those are near. Should it
        // not be enough after all, levels are spilled. More than one chunk of each size for every side is no use.
        let chunk_max = far_max.next_power_of_two().max(16);
        let pool = orders_max.saturating_mul(2).max(2 * chunk_max).min(books * 4 * chunk_max);
        let pool = if far_max > 0 { pool } else { 0 };
        assert!(u32::try_from(pool).is_ok_and(|total| total < NONE), "{pool} levels");
        let mut sides = Vec::with_capacity(2 * books);
        ask_for_large_pages(&mut sides);
        Levels { sides, pool: large_table(VACANT, pool), free: [NONE; CLASSES], unused: 0, far_max }
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
        let ladder = &self.sides[side.0];
        let far = ladder.far(&self.pool).iter().map(|level| level.queue);
        let all = ladder.queues.iter().copied().chain(far);
        all.map(Queue::orders).sum::<u32>() + ladder.spilled
    }

    /// What [`Levels::add`] and [`Levels::reduce`] do, where it concerns a near level and nothing has to move: nearly always.
    /// Which of the two it is, and whether a level opens or closes, takes no branch.
    #[inline]
    pub(super) fn change(&mut self, side: SideIndex, change: &Change) -> Changed {
        let &Change { symbol, rank: Rank(rank), shares, is_add, is_order } = change;
        let Some(ladder) = self.sides.get_mut(side.0) else { return Changed::Unusual };
        let found = ladder.place_of(rank);
        let may_open = u16::from((found == 0) & is_add).wrapping_neg();
        let places = found | (!ladder.taken & may_open);
        let place = place(places.trailing_zeros()) & (NEAR - 1);
        let queue = ladder.queues[place];
        let is_right = !is_add | ((symbol == ladder.symbol) & queue.has_room(shares));
        if !(ladder.is_near(rank) & (places != 0) & is_right) {
            return Changed::Unusual;
        }
        let by = Queue::of(shares, is_order).0;
        let by = select_unpredictable(is_add, by, by.wrapping_neg());
        // Never below nothing: a level has what its orders have, and none loses more than it has.
        let queue = Queue(queue.0.wrapping_add(by));
        let is_left = queue != Queue::EMPTY;
        ladder.queues[place] = queue;
        ladder.ranks[place] = rank & u32::from(is_left).wrapping_neg();
        ladder.taken = (ladder.taken & !(1 << place)) | u16::from(is_left) << place;
        if (ladder.near_from != 0) && ladder.near_len() < NEAR_MIN && self.fetch_far(side) {
            return Changed::MadeEmpty;
        }
        Changed::Made
    }

    /// Adds an order of `shares`.
    pub(super) fn add(&mut self, side: SideIndex, rank: Rank, shares: u32) -> Added {
        let ladder = &mut self.sides[side.0];
        if !ladder.is_near(rank.0) {
            return self.add_far(side, rank.0, shares);
        }
        let found = ladder.place_of(rank.0);
        let Some(place) = first(if found == 0 { !ladder.taken } else { found }) else {
            return self.make_room(side, rank, shares);
        };
        let queue = &mut ladder.queues[place];
        if !queue.has_room(shares) {
            return Added::LevelFull;
        }
        queue.0 += Queue::of(shares, true).0;
        ladder.ranks[place] = rank.0;
        ladder.taken |= 1 << place;
        Added::Kept
    }

    /// Moves the worse near levels away to add an order.
    #[cold]
    fn make_room(&mut self, side: SideIndex, rank: Rank, shares: u32) -> Added {
        let (levels, len) = self.sides[side.0].near();
        // Where there is no place to move to, no more go than must.
        let going = if self.far_max == 0 { 1 } else { MOVING };
        let (going, staying) = levels[..len].split_at(going);
        let mut is_kept = true;
        for level in going {
            is_kept &= self.append_far(side, *level);
            self.sides[side.0].near_from = u64::from(level.rank) + 1;
        }
        self.sides[side.0].keep(staying);
        let added = self.add(side, rank, shares);
        if added == Added::Kept && !is_kept { Added::Spilled } else { added }
    }

    /// Puts a level that is better than all far ones behind them. Whether nothing was spilled for it.
    fn append_far(&mut self, side: SideIndex, level: Level) -> bool {
        let len = usize::from(self.sides[side.0].far_len);
        self.insert_far(side, len, level)
    }

    #[cold]
    fn add_far(&mut self, side: SideIndex, rank: u32, shares: u32) -> Added {
        let ladder = &mut self.sides[side.0];
        match ladder.far(&self.pool).binary_search_by_key(&rank, |level| level.rank) {
            Ok(at) => {
                let queue = &mut ladder.far_room(&mut self.pool)[at].queue;
                if !queue.has_room(shares) {
                    return Added::LevelFull;
                }
                queue.0 += Queue::of(shares, true).0;
                Added::Kept
            }
            Err(0) if ladder.spilled > 0 => {
                ladder.spilled += 1;
                Added::Spilled
            }
            Err(at) => {
                let level = Level { rank, queue: Queue::of(shares, true) };
                if self.insert_far(side, at, level) { Added::Kept } else { Added::Spilled }
            }
        }
    }

    /// Puts a level in at `at` of the far ones. Whether nothing was spilled for it.
    fn insert_far(&mut self, side: SideIndex, at: usize, level: Level) -> bool {
        let ladder = &self.sides[side.0];
        let len = usize::from(ladder.far_len);
        let has_room = len < chunk_levels(ladder.class);
        if len == self.far_max || !(has_room || self.grow(side)) {
            self.spill(side, at, level);
            return false;
        }
        let ladder = &mut self.sides[side.0];
        ladder.far_len += 1;
        let levels = ladder.far_room(&mut self.pool);
        levels.copy_within(at..len, at + 1);
        levels[at] = level;
        true
    }

    /// There is no room for one more level: the worst goes.
    fn spill(&mut self, side: SideIndex, at: usize, level: Level) {
        let ladder = &mut self.sides[side.0];
        if at == 0 {
            ladder.spilled += level.queue.orders();
            return;
        }
        let levels = ladder.far_room(&mut self.pool);
        ladder.spilled += levels[0].queue.orders();
        levels.copy_within(1..at, 0);
        levels[at - 1] = level;
    }

    /// Takes `shares` off the level at `rank`, and an order if `order_gone`. `true`: no level is left while there are spilled
    /// orders, so the side must be filled again.
    pub(super) fn reduce(
        &mut self,
        side: SideIndex,
        rank: Rank,
        shares: u32,
        order_gone: bool,
    ) -> bool {
        let ladder = &mut self.sides[side.0];
        if !ladder.is_near(rank.0) {
            self.reduce_far(side, rank.0, shares, order_gone);
            return false;
        }
        let found = ladder.place_of(rank.0);
        let place = first(found).expect("an order stands in a level");
        let queue = &mut ladder.queues[place];
        queue.0 -= Queue::of(shares, order_gone).0;
        if *queue == Queue::EMPTY {
            ladder.ranks[place] = 0;
            ladder.taken ^= found;
        }
        if ladder.near_from != 0 && ladder.near_len() < NEAR_MIN {
            return self.fetch_far(side);
        }
        false
    }

    #[cold]
    fn reduce_far(&mut self, side: SideIndex, rank: u32, shares: u32, order_gone: bool) {
        let ladder = &mut self.sides[side.0];
        let far = ladder.far(&self.pool);
        if let Ok(at) = far.binary_search_by_key(&rank, |level| level.rank) {
            let len = far.len();
            let levels = ladder.far_room(&mut self.pool);
            levels[at].queue.0 -= Queue::of(shares, order_gone).0;
            if levels[at].queue == Queue::EMPTY {
                levels.copy_within(at + 1..len, at);
                ladder.far_len -= 1;
                self.shrink(side);
            }
        } else {
            assert!(ladder.spilled > 0, "an order stands in no level");
            ladder.spilled -= u32::from(order_gone);
        }
        let ladder = &mut self.sides[side.0];
        if ladder.far_len == 0 && ladder.spilled == 0 {
            ladder.near_from = 0;
        }
    }

    /// Brings the best far levels back. `true`: there are none, and no near ones either.
    #[cold]
    fn fetch_far(&mut self, side: SideIndex) -> bool {
        let ladder = &mut self.sides[side.0];
        for _ in 0..MOVING {
            let Some(&level) = ladder.far(&self.pool).last() else { break };
            ladder.far_len -= 1;
            ladder.open(level);
            ladder.near_from = u64::from(level.rank);
        }
        if ladder.far_len == 0 && ladder.spilled == 0 {
            ladder.near_from = 0;
        }
        let is_empty = ladder.taken == 0;
        self.shrink(side);
        is_empty
    }

    /// Moves a side's far levels to a chunk of twice the size. `false`: there is none.
    fn grow(&mut self, side: SideIndex) -> bool {
        let class = self.sides[side.0].class + 1;
        let Some(start) = self.take_chunk(class) else { return false };
        self.move_to(side, start, class);
        true
    }

    /// Moves far levels that have become few to a chunk of half the size; they stay where they are if there is no such
    /// chunk.
    fn shrink(&mut self, side: SideIndex) {
        let Ladder { far_len, class, .. } = self.sides[side.0];
        let len = usize::from(far_len);
        if class == 0 || 4 * len > chunk_levels(class) || (class == 1 && len > 0) {
            return;
        }
        let class = class - 1;
        let start = if class == 0 { Some(0) } else { self.take_chunk(class) };
        if let Some(start) = start {
            self.move_to(side, start, class);
        }
    }

    fn move_to(&mut self, side: SideIndex, start: u32, class: u8) {
        let ladder = &mut self.sides[side.0];
        let (old_start, old_class, len) = (ladder.start, ladder.class, usize::from(ladder.far_len));
        (ladder.start, ladder.class) = (start, class);
        let old = place(old_start)..place(old_start) + len;
        self.pool.copy_within(old, place(start));
        self.give_chunk(old_start, old_class);
    }

    /// A chunk of a class: one that was given back, one never used, or half of a larger one.
    fn take_chunk(&mut self, class: u8) -> Option<u32> {
        let first = self.free[usize::from(class)];
        if first != NONE {
            let next = self.pool[place(first)].queue.0;
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
            return;
        }
        let next = u64::from(self.free[usize::from(class)]);
        self.pool[place(start)] = Level { queue: Queue(next), ..VACANT };
        self.free[usize::from(class)] = start;
    }

    /// Best price and the shares there.
    #[inline]
    pub(super) fn best(&self, book: usize, side: Side) -> Option<(Price, u64)> {
        let level = self.sides[SideIndex::of(book, side).0].best()?;
        Some((Rank(level.rank).price(side), level.queue.shares()))
    }

    /// Asks for most of what there is of a side.
    #[inline]
    pub(super) fn prefetch(&self, side: SideIndex) {
        if let Some(ladder) = self.sides.get(side.0) {
            prefetch(&ladder.ranks, 0);
            prefetch(&ladder.queues, 0);
            prefetch(&ladder.queues, 4);
        }
    }

    /// Price, shares and orders of the levels kept, best first.
    pub(super) fn iter(
        &self,
        book: usize,
        side: Side,
    ) -> impl Iterator<Item = (Price, u64, u32)> + '_ {
        let ladder = &self.sides[SideIndex::of(book, side).0];
        let (near, len) = ladder.near();
        let near = (0..len).rev().map(move |place| near[place]);
        let all = near.chain(ladder.far(&self.pool).iter().rev().copied());
        all.map(move |Level { rank, queue }| {
            (Rank(rank).price(side), queue.shares(), queue.orders())
        })
    }

    /// Takes all levels off a side, the spilled ones too.
    pub(super) fn clear(&mut self, side: SideIndex) {
        let Ladder { symbol, start, class, .. } = self.sides[side.0];
        self.give_chunk(start, class);
        self.sides[side.0] = Ladder::of(symbol);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const SIDES: usize = 3;

    fn symbol() -> Symbol {
        Symbol::new("S").expect("a symbol")
    }

    /// Adds an order as books do.
    fn put(levels: &mut Levels, side: SideIndex, rank: u32, shares: u32) -> Added {
        let rank = Rank(rank);
        let change = Change { symbol: symbol(), rank, shares, is_add: true, is_order: true };
        match levels.change(side, &change) {
            Changed::Unusual => levels.add(side, rank, shares),
            Changed::Made => Added::Kept,
            Changed::MadeEmpty => unreachable!("an order has just come"),
        }
    }

    /// Takes from a level as books do.
    fn take(levels: &mut Levels, side: SideIndex, rank: u32, shares: u32, is_order: bool) -> bool {
        let rank = Rank(rank);
        let change = Change { symbol: symbol(), rank, shares, is_add: false, is_order };
        match levels.change(side, &change) {
            Changed::Unusual => levels.reduce(side, rank, shares, is_order),
            Changed::Made => false,
            Changed::MadeEmpty => true,
        }
    }

    #[test]
    fn a_level_that_is_full_takes_no_more() {
        let mut levels = Levels::new(64, 1, 64);
        levels.open(symbol());
        let side = SideIndex::of(0, Side::Sell);
        // Near, and far.
        for rank in [1_000, 1] {
            for times in 0..16 {
                assert_eq!(put(&mut levels, side, rank, u32::MAX), Added::Kept, "{times}");
            }
            assert_eq!(put(&mut levels, side, rank, 16), Added::LevelFull);
            assert_eq!(put(&mut levels, side, rank, 15), Added::Kept);
            assert_eq!(put(&mut levels, side, rank, 1), Added::LevelFull);
            assert!(!take(&mut levels, side, rank, 1, false));
            assert_eq!(put(&mut levels, side, rank, 1), Added::Kept);
            (500..520).for_each(|rank| {
                put(&mut levels, side, rank, 7);
            });
        }
    }

    #[test]
    fn the_largest_and_the_smallest_price_are_prices_like_others() {
        let mut levels = Levels::new(8, 1, 64);
        levels.open(symbol());
        let side = SideIndex::of(0, Side::Buy);
        // More than there is room for: the worst are spilled, down to 0.
        let prices = (0..20).chain([u32::MAX]);
        prices.clone().for_each(|price| {
            put(&mut levels, side, price, 1);
        });
        let best = |levels: &Levels| levels.best(0, Side::Buy).map(|(price, _)| price);
        assert_eq!(best(&levels), Some(Price::from_itch4(u32::MAX)));
        assert_eq!(levels.order_count(side), 21);
        take(&mut levels, side, u32::MAX, 1, true);
        take(&mut levels, side, 0, 1, true);
        assert_eq!(best(&levels), Some(Price::from_itch4(19)));
        assert_eq!(levels.order_count(side), 19);
    }

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
            (0..SIDES).for_each(|_| levels.open(symbol()));
            for (side, price, add) in steps {
                let plain = &mut sides[side];
                let of_side = SideIndex::of(side, Side::Buy);
                // All orders at a price have the same number of shares, so that any of them may leave.
                let (of, shares) = (price + 1, u64::from(price + 1));
                if add {
                    let added = put(&mut levels, of_side, price, of);
                    prop_assert!(added != Added::LevelFull);
                    let level = plain.entry(price).or_default();
                    *level = (level.0 + 1, level.1 + shares);
                } else if let Some(level) = plain.get_mut(&price) {
                    *level = (level.0 - 1, level.1 - shares);
                    if level.0 == 0 {
                        plain.remove(&price);
                    }
                    if take(&mut levels, of_side, price, of, true) {
                        levels.clear(of_side);
                        for (&price, &(orders, _)) in plain.iter() {
                            (0..orders).for_each(|_| {
                                put(&mut levels, of_side, price, price + 1);
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
                    prop_assert_eq!(levels.sides[2 * side].spilled, beyond);
                    let orders: u32 = all.iter().map(|level| level.2).sum();
                    prop_assert_eq!(levels.order_count(SideIndex::of(side, Side::Buy)), orders);
                }
            }
        }
    }
}
