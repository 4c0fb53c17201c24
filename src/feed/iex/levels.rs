//! One side of one book: the best price levels in a sorted array, best last, with a bounded number of them.
//!
//! DEEP says each level's size outright, so a level is set rather than added to. What does not fit is lost: there are no
//! orders to build it from again. The best price that was ever lost is kept as the horizon, and nothing at or beyond it is
//! taken any more; so what the array shows is always complete down to its worst level.

use crate::types::{Price, Side};

/// All that is displayed at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    /// Larger is better.
    rank: i64,
    size: u32,
}

/// What setting a level did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// The level is as told.
    Done,
    /// There was none to remove.
    Absent,
    /// A level was lost for want of room.
    Overflow,
    /// The level is beyond the horizon: it was left out, of whatever size.
    Beyond,
}

#[derive(Debug)]
pub(super) struct Levels {
    side: Side,
    levels: Vec<Level>,
    levels_max: usize,
    /// Rank of the best level that was lost; every level in the array is better.
    horizon: Option<i64>,
}

/// Levels looked at one by one from the touch before the rest is searched by halves.
const NEAR: usize = 8;

impl Levels {
    pub(super) fn new(side: Side, levels_max: usize) -> Levels {
        assert!(levels_max > 0, "a side has room for a level");
        Levels { side, levels: Vec::with_capacity(levels_max), levels_max, horizon: None }
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

    /// Sets all that is displayed at `price` to `size` shares; none removes the level.
    #[inline]
    pub(super) fn set(&mut self, price: Price, size: u32) -> Set {
        let rank = self.rank(price);
        if self.horizon.is_some_and(|horizon| rank <= horizon) {
            return Set::Beyond;
        }
        match self.find(rank) {
            Ok(at) if size == 0 => {
                self.levels.remove(at);
                Set::Done
            }
            Ok(at) => {
                self.levels[at].size = size;
                Set::Done
            }
            Err(_) if size == 0 => Set::Absent,
            Err(at) if self.levels.len() < self.levels_max => {
                self.levels.insert(at, Level { rank, size });
                Set::Done
            }
            Err(at) => {
                self.overflow(at, Level { rank, size });
                Set::Overflow
            }
        }
    }

    /// The array is full: of its levels and this one, which belongs at `at`, the worst is lost.
    #[cold]
    fn overflow(&mut self, at: usize, level: Level) {
        if at == 0 {
            self.horizon = Some(level.rank);
            return;
        }
        self.horizon = Some(self.levels[0].rank);
        self.levels.copy_within(1..at, 0);
        self.levels[at - 1] = level;
    }

    /// Sets the side to one level, or to none where `size` is 0: all that a quote tells.
    #[inline]
    pub(super) fn set_only(&mut self, price: Price, size: u32) {
        self.clear();
        if size > 0 {
            self.levels.push(Level { rank: self.rank(price), size });
        }
    }

    #[inline]
    pub(super) fn best(&self) -> Option<(Price, u64)> {
        self.levels.last().map(|level| (self.price(level.rank), u64::from(level.size)))
    }

    /// Price and shares of the levels in the array, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Price, u32)> + '_ {
        self.levels.iter().rev().map(|level| (self.price(level.rank), level.size))
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
        self.horizon = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(raw: i64) -> Price {
        Price::from_signed4(raw).expect("small")
    }

    fn shown(levels: &Levels) -> Vec<(i64, u32)> {
        let raw = |price: Price| price.units() / Price::ITCH4_UNITS;
        levels.iter().map(|(price, size)| (raw(price), size)).collect()
    }

    #[test]
    fn a_level_is_set_changed_and_removed() {
        let mut levels = Levels::new(Side::Sell, 3);
        for (raw, size) in [(12, 5), (10, 7), (11, 1), (10, 8)] {
            assert_eq!(levels.set(price(raw), size), Set::Done);
        }
        assert_eq!(shown(&levels), [(10, 8), (11, 1), (12, 5)]);
        assert_eq!(levels.set(price(10), 0), Set::Done);
        assert_eq!(levels.set(price(10), 0), Set::Absent);
        assert_eq!(levels.best(), Some((price(11), 1)));
    }

    #[test]
    fn what_is_shown_is_complete_after_levels_were_lost() {
        let mut levels = Levels::new(Side::Buy, 2);
        assert_eq!(levels.set(price(10), 1), Set::Done);
        assert_eq!(levels.set(price(12), 1), Set::Done);
        assert_eq!(levels.set(price(9), 1), Set::Overflow, "the new one is the worst");
        assert_eq!(shown(&levels), [(12, 1), (10, 1)]);
        assert_eq!(levels.set(price(11), 1), Set::Overflow, "the last one is the worst");
        assert_eq!(shown(&levels), [(12, 1), (11, 1)]);
        assert_eq!(levels.set(price(12), 0), Set::Done);
        // Between 10, which was lost, and 9 nothing is known, so nothing may stand there.
        for raw in [10, 9, 8] {
            assert_eq!(levels.set(price(raw), 5), Set::Beyond);
            assert_eq!(levels.set(price(raw), 0), Set::Beyond);
        }
        assert_eq!(levels.set(price(13), 1), Set::Done);
        assert_eq!(shown(&levels), [(13, 1), (11, 1)]);
        levels.clear();
        assert_eq!(levels.set(price(8), 1), Set::Done, "a new session has no horizon");
    }

    #[test]
    fn one_level_of_room_keeps_the_best() {
        let mut levels = Levels::new(Side::Sell, 1);
        assert_eq!(levels.set(price(10), 1), Set::Done);
        assert_eq!(levels.set(price(9), 2), Set::Overflow);
        assert_eq!(shown(&levels), [(9, 2)]);
    }

    #[test]
    fn a_quote_replaces_the_side() {
        let mut levels = Levels::new(Side::Buy, 1);
        levels.set_only(price(10), 3);
        levels.set_only(price(9), 4);
        assert_eq!(shown(&levels), [(9, 4)]);
        levels.set_only(price(9), 0);
        assert_eq!(levels.best(), None);
    }
}
